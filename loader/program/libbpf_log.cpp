#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <string>

#include "loader/program/object.hpp"

namespace sluice::loader::program {
namespace {

constexpr std::size_t kKept = 4000;  // bytes: the end of a verifier log says why

thread_local std::string words;

int keep(libbpf_print_level level, const char* format, va_list arguments) {
  if (level == LIBBPF_DEBUG) return 0;
  char line[2048];
  const int length = std::vsnprintf(line, sizeof(line), format, arguments);
  words += line;
  if (words.size() > kKept) words.erase(0, words.size() - kKept);
  return length;
}

}  // namespace

void quiet_libbpf() { libbpf_set_print(keep); }

std::string libbpf_words() {
  std::string taken = std::move(words);
  words.clear();
  return taken;
}

}  // namespace sluice::loader::program
