/// Writes an element of a map of a loaded skeleton. Private to the harness.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

namespace sluice::test {

template <typename Key, typename Value>
void put(const bpf_map* map, const Key& key, const Value& value) {
  if (bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY) != 0)
    throw std::runtime_error(std::string("write ") + bpf_map__name(map) + ": " + std::strerror(errno));
}

}  // namespace sluice::test
