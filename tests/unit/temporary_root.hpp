/// A root of a test's own, gone with it.
#pragma once

#include <doctest/doctest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "loader/root.hpp"

namespace sluice::tests {

class TemporaryRoot {
 public:
  TemporaryRoot() : root_(make_folder()) {}
  TemporaryRoot(const TemporaryRoot&) = delete;
  TemporaryRoot& operator=(const TemporaryRoot&) = delete;
  ~TemporaryRoot() {
    std::error_code ignored;
    std::filesystem::remove_all(root_.prefix(), ignored);
  }

  [[nodiscard]] const loader::Root& operator*() const { return root_; }
  [[nodiscard]] const loader::Root* operator->() const { return &root_; }

 private:
  static std::filesystem::path make_folder() {
    std::string name = std::filesystem::temp_directory_path() / "sluice-unit-root-XXXXXX";
    REQUIRE(mkdtemp(name.data()) != nullptr);
    return name;
  }

  loader::Root root_;
};

}  // namespace sluice::tests
