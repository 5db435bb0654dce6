#include "loader/state/service/compile.hpp"

#include <algorithm>
#include <map>
#include <numeric>

#include "loader/state/service/maglev.hpp"
#include "loader/state/service/wishes.hpp"

namespace sluice::loader::state::service {
namespace {

using Policy = kube::Service::TrafficPolicy;

/// The choices of one port in one family.
struct PortChoice {
  Slots cluster, local;    ///< rows of all nodes, of this one
  bool somewhere = false;  ///< some endpoint could be used if it were here
};

class Compiler {
 public:
  Compiler(const kube::Object& object, const kube::Service& service,
           const std::vector<const kube::EndpointSlice*>& slices, const NodeView& node)
      : service_(service), slices_(slices), node_(node), wishes_(wishes_of(object, node.algorithm)) {}

  WantedService run() {
    wanted_.affinity_s = service_.affinity_seconds;
    wanted_.ports = service_.ports.size();
    wanted_.source_ranges = service_.source_ranges;
    wanted_.warnings = wishes_.warnings;
    for (std::size_t index = 0; index < service_.ports.size(); index++)
      for (const bool v4 : {true, false}) add_port(static_cast<std::uint32_t>(index), v4);
    for (const Address& address : service_.cluster_ips) {
      WantedFrontend whole;
      whole.key.addr = address.wire();
      wanted_.frontends.push_back(whole);
    }
    return std::move(wanted_);
  }

 private:
  std::uint32_t row_of(const Candidate& one, unsigned ordinal) {
    auto [found, fresh] = index_.try_emplace({one.address, ordinal}, static_cast<std::uint32_t>(wanted_.rows.size()));
    if (fresh) {
      wanted_.rows.push_back({one.address, ordinal, {}, one.local});
      wanted_.rows.back().ports.resize(wanted_.ports);
    }
    return found->second;
  }

  [[nodiscard]] bool maglev() const { return wishes_.algorithm == Algorithm::kMaglev; }

  /// Which slots a choice has: a row's index each, as often as its weight says, or Maglev's table over them.
  [[nodiscard]] Slots slots(const std::vector<std::uint32_t>& rows, std::vector<unsigned> weights,
                            std::uint32_t index) const {
    unsigned common = 0;
    for (const unsigned weight : weights) common = std::gcd(common, weight);
    for (unsigned& weight : weights) weight /= common;
    Slots table;
    if (!maglev()) {
      for (std::size_t i = 0; i < rows.size(); i++) table.insert(table.end(), weights[i], rows[i]);
      return table;
    }
    std::vector<std::string> names;
    for (const std::uint32_t row : rows)
      names.push_back(wanted_.rows[row].address.text() + " " + std::to_string(wanted_.rows[row].ports[index].port));
    table = maglev_table(names, weights);
    for (std::uint32_t& slot : table) slot = rows[slot];
    return table;
  }

  PortChoice choose_port(std::uint32_t index, bool v4) {
    const auto all = candidates(service_, service_.ports[index], slices_, v4, node_.here);
    std::vector<std::uint32_t> rows;
    std::map<Address, unsigned> seen;
    for (const Candidate& one : all) {
      const std::uint32_t row = row_of(one, seen[one.address]++);
      rows.push_back(row);
      const bool keeps = one.serving || one.ready;
      wanted_.rows[row].ports[index] = {one.port,
                                        static_cast<std::uint8_t>(keeps ? maps::BACKEND_ENDING : maps::BACKEND_GONE)};
    }
    PortChoice choice;
    const auto take = [&](bool local_only) {
      std::vector<std::uint32_t> chosen;
      std::vector<unsigned> weights;
      for (const std::size_t i : choose(all, local_only, node_.here)) {
        const unsigned weight = wishes_.weights.of(*all[i].from);
        if (weight == 0) continue;
        chosen.push_back(rows[i]);
        weights.push_back(weight);
        wanted_.rows[rows[i]].ports[index].state = maps::BACKEND_SERVING;
      }
      return slots(chosen, std::move(weights), index);
    };
    choice.cluster = take(false);
    const bool asks_local = service_.internal_policy == Policy::kLocal || service_.external_policy == Policy::kLocal;
    if (asks_local) choice.local = take(true);
    choice.somewhere = !choice.cluster.empty();
    return choice;
  }

  void add_frontend(const Address& address, std::uint16_t port, std::uint32_t index, const PortChoice& choice,
                    std::uint32_t flags, Policy inside, Policy outside) {
    WantedFrontend frontend;
    frontend.key.addr = address.wire();
    frontend.key.port = maps::be16::from_host(port);
    frontend.key.proto = static_cast<__u8>(service_.ports[index].protocol);
    frontend.port_index = index;
    frontend.flags = flags | (maglev() ? SERVICE_MAGLEV : 0);
    frontend.inside = inside == Policy::kLocal ? choice.local : choice.cluster;
    frontend.outside = outside == Policy::kLocal ? choice.local : choice.cluster;
    if (inside == Policy::kLocal && choice.somewhere) frontend.flags |= SERVICE_DROP_INSIDE;
    if (outside == Policy::kLocal && choice.somewhere) frontend.flags |= SERVICE_DROP_OUTSIDE;
    if (outside == Policy::kLocal) frontend.flags |= SERVICE_KEEP_CLIENT;
    wanted_.frontends.push_back(std::move(frontend));
  }

  void add_port(std::uint32_t index, bool v4) {
    const kube::ServicePort& port = service_.ports[index];
    const auto of_family = [&](const std::vector<Address>& list) {
      std::vector<Address> some;
      std::ranges::copy_if(list, std::back_inserter(some), [&](const Address& one) { return one.is_v4() == v4; });
      return some;
    };
    const auto cluster = of_family(service_.cluster_ips), external = of_family(service_.external_ips),
               balancer = of_family(service_.load_balancer_ips);
    if (cluster.empty() && external.empty() && balancer.empty()) return;
    const PortChoice choice = choose_port(index, v4);
    for (const Address& address : cluster)
      add_frontend(address, port.port, index, choice, 0, service_.internal_policy, Policy::kCluster);
    const Policy outside = service_.external_policy;
    for (const Address& address : external)
      add_frontend(address, port.port, index, choice, SERVICE_OUTSIDE, Policy::kCluster, outside);
    const std::uint32_t ranges = service_.source_ranges.empty() ? 0 : SERVICE_SOURCE_RANGES;
    for (const Address& address : balancer)
      add_frontend(address, port.port, index, choice, SERVICE_OUTSIDE | ranges, Policy::kCluster, outside);
    if (port.node_port == 0) return;
    for (const Address& address : of_family(node_.addresses))
      add_frontend(address, port.node_port, index, choice, SERVICE_OUTSIDE | SERVICE_NODE_PORT, Policy::kCluster,
                   outside);
  }

  const kube::Service& service_;
  const std::vector<const kube::EndpointSlice*>& slices_;
  const NodeView& node_;
  Wishes wishes_;
  WantedService wanted_;
  std::map<std::pair<Address, unsigned>, std::uint32_t> index_;
};

}  // namespace

WantedService compile(const kube::Object& object, const kube::Service& service,
                      const std::vector<const kube::EndpointSlice*>& slices, const NodeView& node) {
  if (service.hands_off != kube::Service::HandsOff::kNo) return {};
  return Compiler(object, service, slices, node).run();
}

}  // namespace sluice::loader::state::service
