#include "tests/loader/hanging.hpp"

#include <filesystem>

#include "loader/program/status.hpp"
#include "tests/loader/pod.hpp"

namespace sluice::test {

namespace program = loader::program;
using loader::AttachMode;

loader::NodeConfig config_with_udp_timeout(int seconds) {
  loader::NodeConfig config;
  config.maps.flows = 1024;
  config.maps.endpoints = 64;
  config.maps.fragments = 64;
  config.timeouts.udp_established = std::chrono::seconds(seconds);
  return config;
}

Hanging hanging(const Node& node) {
  Hanging found;
  for (const auto& program : must(program::program_status(node.root())))
    for (const auto& attachment : program.attachments) {
      found.ids.insert(attachment.program_id);
      found.hooks++;
    }
  return found;
}

std::set<std::uint32_t> pinned_ids(const Node& node) {
  const auto programs = must(program::program_status(node.root()));
  std::set<std::uint32_t> ids = {programs.at(0).id, programs.at(1).id};  // pins come first
  if (!programs.at(3).attachments.empty()) ids.insert(programs.at(3).id);
  return ids;
}

std::vector<std::string> unfinished_pins(const Node& node) {
  std::vector<std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(node.root().pins()))
    if (entry.path().string().ends_with("_new")) found.push_back(entry.path());
  return found;
}

void attach_both_ways(Node& node, program::Datapath& datapath, const std::string& name) {
  attach_by(datapath, node.add_interface(name + "0"), AttachMode::kClsact);
  attach_by(datapath, node.add_interface(name + "1"), AttachMode::kTcx);
}

}  // namespace sluice::test
