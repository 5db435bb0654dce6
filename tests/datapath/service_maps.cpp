#include "tests/datapath/service_maps.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstring>
#include <stdexcept>

#include "tests/datapath/put.hpp"

namespace sluice::test {

void ServiceMaps::service(const SocketAddress& frontend, std::uint8_t proto, const std::vector<SocketAddress>& backends,
                          const ServiceOptions& options) {
  const std::uint32_t first = count_;
  for (const SocketAddress& one : backends) {
    maps::backend backend{};
    backend.addr = one.address.wire();
    backend.port = maps::be16::from_host(one.port);
    backend.state = maps::BACKEND_SERVING;
    backend.service = options.id;
    put(backends_, count_, backend);
    put(slots_, count_, count_);
    count_++;
  }
  for (const std::string& client : options.source_ranges) {
    maps::source_range_key range{32 + 128, options.id, {}};
    const auto address = Address::parse(client);
    if (!address) throw std::runtime_error(address.error().message);
    std::memcpy(range.word, &address->wire(), sizeof(range.word));
    put(source_ranges_, range, std::uint32_t{1});
  }
  const maps::backend_table table{first, static_cast<std::uint32_t>(backends.size())};
  maps::service_key key{};
  key.addr = frontend.address.wire();
  key.port = maps::be16::from_host(frontend.port);
  key.proto = proto;
  const std::uint32_t ranges = options.source_ranges.empty() ? 0 : SERVICE_SOURCE_RANGES;
  put(services_, key, maps::service{options.id, options.flags | ranges, options.affinity_s, 0, table, table});
}

void ServiceMaps::address(const Address& address) {
  maps::service_key key{};
  key.addr = address.wire();
  put(services_, key, maps::service{});
}

void ServiceMaps::backends_become(maps::backend_state state) {
  for (std::uint32_t number = 0; number < count_; number++) {
    maps::backend backend{};
    bpf_map_lookup_elem(bpf_map__fd(backends_), &number, &backend);
    backend.state = state;
    put(backends_, number, backend);
  }
}

}  // namespace sluice::test
