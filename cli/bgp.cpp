/// bpfctl bgp: what BIRD says of this node's peers.
#include <algorithm>
#include <memory>

#include "cli/command.hpp"
#include "loader/bgp/peers.hpp"

namespace sluice::cli {

namespace {

using loader::Root;

constexpr const char* kExamples =
    R"(  bpfctl bgp               the peers of sluice.yaml, whether they talk, and what is announced to them
  bpfctl bgp -o json | jq -r '.peers[] | select(.state != "Established") | .address')";

Listing peers_listing(const loader::bgp::BgpStatus& status) {
  Listing listing({{"address", "PEER"},
                   {"asn", "AS"},
                   {"state", "STATE"},
                   {"since", "SINCE"},
                   {"imported", "LEARNED"},
                   {"exported", "ANNOUNCED"},
                   {"error", "LAST ERROR"},
                   {"protocol", "IN BIRD", Show::kJson}});
  for (const auto& peer : status.peers)
    listing.add({peer.address, peer.asn, peer.state, peer.since, peer.imported, peer.exported, name(peer.error),
                 peer.protocol});
  return listing;
}

Result<void> show(const Root& root, Format format) {
  const auto status = TRY(loader::bgp::bgp_status(root));
  const Listing peers = peers_listing(status);
  Details details;
  details.add({"bird", "BIRD"}, status.version);
  details.add({"configured", "Configuration"},
              Cell(status.mark.empty() ? "not Sluice's: its own must include /var/lib/sluice/bird.conf" : "Sluice's",
                   !status.mark.empty()));
  std::string blocks;
  for (const auto& block : status.announced) blocks += (blocks.empty() ? "" : ", ") + block;
  details.add({"announced", "Announced"}, Cell(blocks.empty() ? "nothing" : blocks, status.announced));
  if (format == Format::kJson) {
    Json all = details.json();
    all["peers"] = peers.json();
    print_json(all);
    return {};
  }
  fmt::print("{}\n{}", details.text(), peers.table(format));
  return {};
}

}  // namespace

void add_bgp(Commands& commands) {
  auto format = std::make_shared<Format>(Format::kTable);
  CLI::App& verb = commands.verb("bgp", "Show the peers that BIRD talks to for this node", kExamples,
                                 [format](const Root& root) { return show(root, *format); });
  commands.output(verb, *format, {"table", "json"});
}

}  // namespace sluice::cli
