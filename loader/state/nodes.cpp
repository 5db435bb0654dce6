#include "loader/state/nodes.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "maps/views.hpp"

namespace sluice::loader::state {

namespace {

using Addresses = std::vector<Address>;

std::optional<Address> first_of(const Addresses& addresses, bool v4) {
  const auto found = std::ranges::find(addresses, v4, &Address::is_v4);
  return found == addresses.end() ? std::nullopt : std::optional(*found);
}

/// Where the tunnel from a node with the addresses `here` to one with `there` ends.
std::optional<Address> tunnel_end(const Addresses& here, const Addresses& there) {
  for (const Address& own : here)
    if (const auto end = first_of(there, own.is_v4())) return end;
  return std::nullopt;
}

/// Gives out the lowest numbers that nobody has.
class FreeNumbers {
 public:
  explicit FreeNumbers(std::uint32_t capacity) : capacity_(capacity) {}
  void take(std::uint32_t number) { taken_.insert(number); }
  std::optional<std::uint32_t> next() {
    while (taken_.contains(last_)) last_++;
    if (last_ >= capacity_) return std::nullopt;
    return last_++;
  }

 private:
  std::uint32_t capacity_;
  std::uint32_t last_ = 1;
  std::set<std::uint32_t> taken_;
};

void add_addresses(NodePlan& plan, const kube::Node& node, maps::identity identity, std::uint32_t number) {
  for (const auto* addresses : {&node.internal_addresses, &node.external_addresses})
    for (const Address& address : *addresses)
      plan.prefixes.emplace_back(Prefix::host(address), AddressOwner{identity, number});
}

Error full(const char* map) {
  return refuse(E2BIG, std::string("the map ") + map + " is full (maps." + map + " in sluice.yaml)");
}

}  // namespace

std::uint32_t NodePlan::node_of(const Prefix& block) const {
  const std::pair<Prefix, AddressOwner>* best = nullptr;
  for (const auto& known : prefixes) {
    if (known.first.address.is_v4() != block.address.is_v4() || known.first.length > block.length) continue;
    if (!known.first.contains(block.first()) || (best != nullptr && best->first.length >= known.first.length)) continue;
    best = &known;
  }
  return best != nullptr ? best->second.node : 0;
}

NodePlan plan_nodes(const NodesByName& nodes, const std::string& this_node, const NodeNumbers& known,
                    std::uint32_t capacity) {
  NodePlan plan;
  const auto own = nodes.find(this_node);
  if (own == nodes.end()) {
    plan.warnings.push_back("there is no Node " + this_node +
                            ": other nodes are not reached (nodeName in sluice.yaml)");
    return plan;
  }
  const Addresses& here = own->second->internal_addresses;
  add_addresses(plan, *own->second, maps::IDENTITY_HOST, 0);

  FreeNumbers numbers(capacity);
  for (const auto& [address, number] : known) numbers.take(number);
  for (const auto& [name, node] : nodes) {
    if (name == this_node) continue;
    const auto end = tunnel_end(here, node->internal_addresses);
    std::optional<std::uint32_t> number;
    if (!end) {
      plan.warnings.push_back("Node " + name +
                              " has no InternalIP of a family that this node has, too: it is not reached");
    } else if (const auto has = known.find(*end); has != known.end()) {
      number = has->second;
    } else if (number = numbers.next(); !number) {
      plan.warnings.push_back("Node " + name + " is not reached: " + full(maps::Nodes::kName).message);
    }
    add_addresses(plan, *node, maps::IDENTITY_REMOTE_NODE, number.value_or(0));
    if (!end || !number) continue;
    if (!plan.nodes.emplace(*end, *number).second) {
      plan.warnings.push_back("Node " + name + " has the address " + end->text() + " of another: it is not reached");
      continue;
    }
    for (const Prefix& cidr : node->pod_cidrs) {
      plan.prefixes.emplace_back(cidr, AddressOwner{maps::IDENTITY_UNKNOWN, *number});
      plan.routes.push_back({name, *number, cidr, first_of(node->internal_addresses, cidr.address.is_v4())});
    }
  }
  return plan;
}

Result<NodeNumbers> read_nodes(const std::filesystem::path& maps) {
  NodeNumbers numbers;
  const auto map = TRY(maps::open<maps::Nodes>(maps));
  TRY(map.each([&](std::uint32_t number, const maps::node& node) {
    const Address address(node.address);
    if (number != NODE_HERE && address != Address()) numbers.emplace(address, number);
  }));
  return numbers;
}

Result<NodePlan> plan_nodes(const Cluster& cluster, const std::string& this_node, const std::filesystem::path& maps) {
  NodesByName nodes;
  cluster.each<kube::Node>(
      [&](const kube::Object& object, const kube::Node& node) { nodes.emplace(object.id.name, &node); });
  const std::uint32_t capacity = TRY(TRY(maps::open<maps::Nodes>(maps)).capacity());
  return plan_nodes(nodes, this_node, TRY(read_nodes(maps)), capacity);
}

Result<std::size_t> write_nodes(const std::filesystem::path& maps, const NodePlan& plan,
                                const std::set<std::uint32_t>& routed) {
  auto map = TRY(maps::open<maps::Nodes>(maps));
  std::map<std::uint32_t, maps::node> wanted;
  for (const auto& [address, number] : plan.nodes) {
    maps::node& node = wanted[number];
    node.address = address.wire();
    node.flags = routed.contains(number) ? NODE_NATIVE : 0;
  }
  // A number that is free now is written, too: the map is an array.
  for (const auto& [address, number] : TRY(read_nodes(maps))) wanted.try_emplace(number);
  std::size_t written = 0;
  for (const auto& [number, node] : wanted) {
    const auto there = TRY(map.lookup(number));
    if (there && std::memcmp(&*there, &node, sizeof(node)) == 0) continue;
    TRY(map.put(number, node).context("write node " + Address(node.address).text()));
    written++;
  }
  if (written == 0) return written;
  const auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(maps)).fd()));
  maps::advance_epoch(*runtime);
  return written;
}

}  // namespace sluice::loader::state
