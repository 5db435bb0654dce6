/// What the fuzzers share. Each defines LLVMFuzzerTestOneInput; with the preset `fuzz` libFuzzer calls it, else
/// replay.cpp does with the corpus, as a test.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace sluice::fuzz {

/// What must hold whatever the input is.
inline void must(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what.c_str());
  std::abort();
}

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace sluice::fuzz
