#include "bench/measure.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <stdexcept>

namespace sluice::bench {

using test::Bytes;
using test::Path;

namespace {

constexpr int kRounds = 41;

std::string words(const std::map<std::string, unsigned>& counts) {
  std::string text;
  for (const auto& [name, count] : counts)
    text += (text.empty() ? "" : ", ") + name + (count == 1 ? "" : " " + std::to_string(count) + " times");
  return text.empty() ? "none" : text;
}

template <typename Context>
double mean_of(int program, const Bytes& frame, const Context& context, int repeat, int calls) {
  double sum = 0;
  for (int i = 0; i < calls; i++) {
    LIBBPF_OPTS(bpf_test_run_opts, options);
    options.data_in = frame.data();
    options.data_size_in = static_cast<__u32>(frame.size());
    options.ctx_in = &context;
    options.ctx_size_in = sizeof(context);
    options.repeat = repeat;
    need(bpf_prog_test_run_opts(program, &options) == 0, "run a program");
    sum += options.duration;
  }
  return sum / calls;
}

}  // namespace

void need(bool fine, const char* what) {
  if (!fine) throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

double run(int program, const Bytes& frame, std::uint32_t ifindex, int repeat, int calls) {
  __sk_buff context{};
  context.ifindex = context.ingress_ifindex = ifindex;
  return mean_of(program, frame, context, repeat, calls);
}

double run_xdp(int program, const Bytes& frame, std::uint32_t ifindex, int repeat, int calls) {
  xdp_md context{};
  context.data_end = static_cast<__u32>(frame.size());
  context.ingress_ifindex = ifindex;
  return mean_of(program, frame, context, repeat, calls);
}

std::string spread(std::vector<double> samples, int digits) {
  std::ranges::sort(samples);
  const auto quantile = [&](std::size_t quarters) { return samples[(samples.size() - 1) * quarters / 4]; };
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f (%.*f to %.*f)", digits, quantile(2), digits, quantile(1), digits,
                quantile(3));
  return text;
}

void measure_and_print(const char* title, std::vector<Contender> contenders) {
  for (int round = 0; round < kRounds; round++)
    for (Contender& contender : contenders) contender.samples.push_back(contender.measure());
  const auto &nothing = contenders[0].samples, &least = contenders[1].samples;
  std::printf("\n| %s | ns | beside %s | both less \"%s\" |\n|---|--:|--:|--:|\n", title, contenders[1].name.c_str(),
              contenders[0].name.c_str());
  for (const Contender& contender : contenders) {
    std::vector<double> whole, less;
    for (std::size_t i = 0; i < contender.samples.size(); i++) {
      whole.push_back(contender.samples[i] / least[i]);
      less.push_back((contender.samples[i] - nothing[i]) / std::max(least[i] - nothing[i], 0.1));
    }
    std::printf("| %s | %s | %s | %s |\n", contender.name.c_str(), spread(contender.samples, 1).c_str(),
                spread(whole, 2).c_str(), spread(less, 2).c_str());
  }
}

void print_path(const std::string& name, const Path& path) {
  std::printf("| %s | %llu | %u | %s | %s | %s |\n", name.c_str(), static_cast<unsigned long long>(path.instructions),
              path.calls(), words(path.lookups).c_str(), words(path.updates).c_str(), words(path.helpers).c_str());
}

void print_paths_head() {
  std::printf(
      "\n| what a packet does | instructions | calls of helpers | map lookups | inserts | other helpers |\n"
      "|---|--:|--:|---|---|---|\n");
}

}  // namespace sluice::bench
