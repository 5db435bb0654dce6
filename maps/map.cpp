#include "maps/map.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace sluice::maps::raw {
namespace {

constexpr std::uint32_t kBatch = 4096;  // elements a system call; grows where one bucket holds more
constexpr int kAttempts = 100;          // EBUSY: before 6.15, a bucket that another CPU has locked

Result<bpf_map_info> info(const Fd& map) {
  bpf_map_info result{};
  std::uint32_t size = sizeof(result);
  if (bpf_obj_get_info_by_fd(map.get(), &result, &size) != 0) return fail(errno, "read what a map is");
  return result;
}

using Visit = std::function<void(const std::byte* key, const std::byte* value)>;

Result<void> walk_one_by_one(const Fd& map, std::size_t key_size, std::size_t value_size, const Visit& visit) {
  std::vector<std::byte> key(key_size), next(key_size), value(value_size);
  for (const void* from = nullptr; bpf_map_get_next_key(map.get(), from, next.data()) == 0; from = key.data()) {
    key = next;
    if (bpf_map_lookup_elem(map.get(), key.data(), value.data()) != 0) continue;  // erased meanwhile
    visit(key.data(), value.data());
  }
  if (errno != ENOENT) return fail(errno, "walk a map");
  return {};
}

}  // namespace

Result<Fd> open_pin(const std::filesystem::path& pin, std::size_t key_size, std::size_t value_size) {
  const int fd = bpf_obj_get(pin.c_str());
  if (fd < 0) return fail(errno, "open map " + pin.string());
  Fd map(fd);
  const bpf_map_info found = TRY(info(map).context("open map " + pin.string()));
  if (found.key_size != key_size || found.value_size != value_size)
    return refuse(EPROTO, "open map " + pin.string() + ": it has another layout (keys of " +
                              std::to_string(found.key_size) + " and values of " + std::to_string(found.value_size) +
                              " bytes instead of " + std::to_string(key_size) + " and " + std::to_string(value_size) +
                              "): it was made by another version of Sluice");
  return map;
}

Result<bool> lookup(const Fd& map, const void* key, void* value) {
  if (bpf_map_lookup_elem(map.get(), key, value) == 0) return true;
  if (errno == ENOENT) return false;
  return fail(errno, "look up an element of a map");
}

Result<void> update(const Fd& map, const void* key, const void* value, std::uint64_t flags) {
  for (int attempt = 1;; attempt++) {
    if (bpf_map_update_elem(map.get(), key, value, flags) == 0) return {};
    if (errno != EBUSY || attempt == kAttempts) return fail(errno, "write an element of a map");
  }
}

Result<void> update_all(const Fd& map, const std::byte* keys, std::size_t key_size, const std::byte* values,
                        std::size_t value_size, std::size_t count, std::size_t& done) {
  done = 0;
  for (int attempt = 1; done < count;) {
    auto step = static_cast<std::uint32_t>(std::min<std::size_t>(count - done, kBatch));
    const int err = bpf_map_update_batch(map.get(), keys + done * key_size, values + done * value_size, &step, nullptr);
    const int code = err == 0 ? 0 : errno;
    done += step;
    if (step > 0) attempt = 1;
    if (code != 0 && (code != EBUSY || attempt++ == kAttempts)) return fail(code, "write elements of a map");
  }
  return {};
}

Result<bool> erase(const Fd& map, const void* key) {
  for (int attempt = 1;; attempt++) {
    if (bpf_map_delete_elem(map.get(), key) == 0) return true;
    if (errno == ENOENT) return false;
    if (errno != EBUSY || attempt == kAttempts) return fail(errno, "erase an element of a map");
  }
}

Result<void> walk(const Fd& map, std::size_t key_size, std::size_t value_size, const Visit& visit) {
  std::vector<std::byte> token(std::max<std::size_t>(key_size, 8)), next_token(token.size()), keys, values;
  std::uint32_t batch = kBatch;
  bool first = true;
  while (true) {
    keys.resize(batch * key_size);
    values.resize(batch * value_size);
    std::uint32_t got = batch;
    const int err = bpf_map_lookup_batch(map.get(), first ? nullptr : token.data(), next_token.data(), keys.data(),
                                         values.data(), &got, nullptr);
    const int code = err == 0 ? 0 : errno;
    if (code == ENOSPC) {
      batch *= 2;
      continue;
    }
    if (first && code != 0 && code != ENOENT)  // this type of map knows no batches
      return walk_one_by_one(map, key_size, value_size, visit);
    if (code != 0 && code != ENOENT) return fail(code, "read the elements of a map");
    for (std::uint32_t i = 0; i < got; i++) visit(&keys[i * key_size], &values[i * value_size]);
    if (code == ENOENT) return {};
    token = next_token;
    first = false;
  }
}

Result<std::uint32_t> capacity(const Fd& map) { return TRY(info(map)).max_entries; }

Result<void*> map_memory(const Fd& map, std::size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  if (memory == MAP_FAILED) return fail(errno, "map the memory of a map");
  return memory;
}

void unmap_memory(void* memory, std::size_t size) { munmap(memory, size); }

std::size_t possible_cpus() {
  static const int cpus = libbpf_num_possible_cpus();
  return cpus > 0 ? cpus : 1;
}

}  // namespace sluice::maps::raw
