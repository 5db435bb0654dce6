/// What the benchmarks of the programs share: runs by BPF_PROG_TEST_RUN that take turns, and tables of them in
/// Markdown.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tests/datapath/interpreter.hpp"
#include "tests/datapath/packet.hpp"

namespace sluice::bench {

/// Ends the benchmark with `what` and errno's words.
void need(bool fine, const char* what);

/// Mean nanoseconds of one run, over `calls` calls of BPF_PROG_TEST_RUN with `repeat` runs each.
double run(int program, const test::Bytes& frame, std::uint32_t ifindex, int repeat, int calls);

/// The same of a program for XDP.
double run_xdp(int program, const test::Bytes& frame, std::uint32_t ifindex, int repeat, int calls);

struct Contender {
  std::string name;
  std::function<double()> measure;
  std::vector<double> samples;  ///< one for each round
};

/// A median, and in brackets the quartiles.
std::string spread(std::vector<double> samples, int digits);

/// The first contender is the price of being run at all, which the last column takes off; the second is what the others
/// are compared with.
void measure_and_print(const char* title, std::vector<Contender> contenders);

/// A table of what packets do, and a row of it.
void print_paths_head();
void print_path(const std::string& name, const test::Path& path);

}  // namespace sluice::bench
