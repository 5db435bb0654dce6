// A program with a fault of each kind, the one that it is asked for.
#include <climits>
#include <cstring>
#include <memory>
#include <string_view>

int main(int argc, char** argv) {
  const std::string_view fault = argc > 1 ? argv[1] : "";
  if (fault == "address") return std::make_unique<char[]>(8)[7 + argc];
  if (fault == "undefined") return INT_MAX - 1 + argc;
  if (fault == "leak") std::memset(new char[8], 0, 8);
  return 0;
}
