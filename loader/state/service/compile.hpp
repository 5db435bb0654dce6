/// One Service's wanted map contents, before anything has a number. Private to loader/state/service.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "loader/kube/object.hpp"
#include "loader/state/service/services.hpp"
#include "maps/service.h"

namespace sluice::loader::state::service {

/// An endpoint of the Service: its row has a backend for each port of the Service.
struct EndpointRow {
  Address address;
  unsigned ordinal = 0;  ///< tells rows of one address apart, where slices give it several target ports
  struct Port {
    std::uint16_t port = 0;
    std::uint8_t state = maps::BACKEND_GONE;
  };
  std::vector<Port> ports;  ///< by the Service's port
  bool local = false;
  /// May take over the numbers of `old`: frontends that still use them meet no other port.
  [[nodiscard]] bool continues(const EndpointRow& old) const {
    const auto stays = [](const Port& now, const Port& before) { return before.port == 0 || now.port == before.port; };
    return address == old.address && ordinal == old.ordinal && std::ranges::equal(ports, old.ports, stays);
  }
};

/// What a frontend chooses from: rows, by index, for each slot.
using Slots = std::vector<std::uint32_t>;

struct WantedFrontend {
  maps::service_key key{};
  std::uint32_t flags = 0;
  std::uint32_t port_index = 0;
  Slots inside, outside;
};

struct WantedService {
  std::uint32_t affinity_s = 0;
  std::size_t ports = 0;
  std::vector<EndpointRow> rows;
  std::vector<WantedFrontend> frontends;
  std::vector<Prefix> source_ranges;
  std::vector<std::string> warnings;  ///< what of it cannot be done as it says
};

WantedService compile(const kube::Object& object, const kube::Service& service,
                      const std::vector<const kube::EndpointSlice*>& slices, const NodeView& node);

}  // namespace sluice::loader::state::service
