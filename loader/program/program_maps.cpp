#include "loader/program/program_maps.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace sluice::loader::program {
namespace {

constexpr std::size_t kKernelName = BPF_OBJ_NAME_LEN - 1;  // it keeps so much of a map's name

}  // namespace

Result<std::vector<ProgramMap>> maps_of(const Fd& program) {
  std::array<std::uint32_t, 64> ids{};
  bpf_prog_info info{};
  info.nr_map_ids = ids.size();
  info.map_ids = reinterpret_cast<std::uint64_t>(ids.data());
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0) return fail(errno, "read which maps a program uses");
  std::vector<ProgramMap> maps;
  for (std::uint32_t i = 0; i < std::min<std::size_t>(info.nr_map_ids, ids.size()); i++) {
    Fd map(bpf_map_get_fd_by_id(ids[i]));
    bpf_map_info about{};
    size = sizeof(about);
    if (map.get() < 0 || bpf_obj_get_info_by_fd(map.get(), &about, &size) != 0)
      return fail(errno, "open a map of a program");
    maps.push_back({std::move(map), about.name, about.value_size});
  }
  return maps;
}

const ProgramMap* find_map(const std::vector<ProgramMap>& maps, std::string_view name) {
  const auto found = std::ranges::find(maps, name.substr(0, kKernelName), &ProgramMap::name);
  return found != maps.end() ? &*found : nullptr;
}

Error other_build() {
  return refuse(EPROTO,
                "the loaded programs are of another version than this bpfctl: `sluiced load` of this version "
                "puts its own in their place");
}

}  // namespace sluice::loader::program
