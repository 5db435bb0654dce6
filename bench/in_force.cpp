/// bench_in_force MAPS NEW FILE: renames NEW to FILE, a manifest that an agent watches, and prints the microseconds
/// until policy has switched in MAPS, the node's folder of maps.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "maps/views.hpp"

namespace {

constexpr auto kLookEvery = std::chrono::microseconds(50);
constexpr auto kLongest = std::chrono::seconds(10);

sluice::Result<std::chrono::microseconds> in_force(const std::filesystem::path& maps, const char* fresh,
                                                   const char* file) {
  using Clock = std::chrono::steady_clock;
  using sluice::maps::Runtime;
  const auto runtime =
      TRY(sluice::maps::Mapped<sluice::maps::runtime>::open(TRY(sluice::maps::open<Runtime>(maps)).fd()));
  const std::uint32_t before = sluice::maps::generation(*runtime);
  const auto begin = Clock::now();
  std::filesystem::rename(fresh, file);
  while (sluice::maps::generation(*runtime) == before) {
    if (Clock::now() - begin > kLongest) return sluice::refuse(ETIMEDOUT, "policy has not changed");
    std::this_thread::sleep_for(kLookEvery);
  }
  return std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const auto took = in_force(argv[1], argv[2], argv[3]);
  if (!took) {
    std::fprintf(stderr, "bench_in_force: %s\n", took.error().message.c_str());
    return 1;
  }
  std::printf("%lld\n", static_cast<long long>((*took).count()));
  return 0;
}
