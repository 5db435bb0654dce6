/// End-to-end tests. Needs root. Labs that a killed run has left are taken down first.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>

#include "tests/e2e/process.hpp"

namespace {

/// A lab's name has the number of the process that made it: e2e-PID-COUNT.
void remove_leftovers() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/run/sluice-lab", error)) {
    const auto name = entry.path().filename().string();
    int pid = 0;
    int count = 0;
    if (!entry.is_directory(error) || std::sscanf(name.c_str(), "e2e-%d-%d", &pid, &count) != 2) continue;
    if (::kill(pid, 0) != 0) sluice::e2e::run({sluice::e2e::binary("sluice-lab").string(), "--name", name, "down"});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (::geteuid() != 0) {
    std::fprintf(stderr, "e2e_tests: labs need root\n");
    return 1;
  }
  remove_leftovers();
  doctest::Context context(argc, argv);
  return context.run();
}
