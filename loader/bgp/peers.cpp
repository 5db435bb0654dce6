#include "loader/bgp/peers.hpp"

#include <charconv>
#include <optional>
#include <sstream>
#include <string_view>

#include "loader/bgp/bird.hpp"
#include "loader/bgp/configuration.hpp"

namespace sluice::loader::bgp {
namespace {

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream stream(line);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::uint32_t number_in(std::string_view text) {
  std::uint32_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// What stands behind "  Neighbor AS:      " in a line of that kind.
std::optional<std::string> value_of(const std::string& line, std::string_view key) {
  const auto begin = line.find_first_not_of(' ');
  if (begin == std::string::npos || line.compare(begin, key.size(), key) != 0) return std::nullopt;
  const auto value = line.find_first_not_of(' ', begin + key.size());
  return value == std::string::npos ? std::string() : line.substr(value);
}

/// A line of a protocol by itself: NAME PROTO TABLE STATE SINCE [INFO].
bool begins_protocol(const std::vector<std::string>& words, const std::string& line) {
  return words.size() >= 5 && !line.starts_with(' ') && words[0] != "Name";
}

void read_detail(const std::string& line, PeerStatus& peer) {
  if (const auto state = value_of(line, "BGP state:")) peer.state = *state;
  if (const auto address = value_of(line, "Neighbor address:")) peer.address = *address;
  if (const auto asn = value_of(line, "Neighbor AS:")) peer.asn = number_in(*asn);
  if (const auto error = value_of(line, "Last error:")) peer.error = *error;
  if (const auto routes = value_of(line, "Routes:")) {
    for (const auto& [key, count] : {std::pair(" imported", &peer.imported), std::pair(" exported", &peer.exported)}) {
      const auto end = routes->find(key);
      if (end == std::string::npos) continue;
      const auto begin = routes->find_last_not_of("0123456789", end - 1);
      *count = number_in(std::string_view(*routes).substr(begin == std::string::npos ? 0 : begin + 1));
    }
  }
}

}  // namespace

std::vector<PeerStatus> peers_in(const std::vector<std::string>& lines) {
  std::vector<PeerStatus> peers;
  bool ours = false;
  for (const std::string& line : lines) {
    const auto words = words_of(line);
    if (begins_protocol(words, line)) {
      ours = words[0].starts_with(std::string(kPrefix) + "peer_");
      if (ours) peers.push_back({.protocol = words[0], .since = words[4]});
    } else if (ours) {
      read_detail(line, peers.back());
    }
  }
  return peers;
}

Result<BgpStatus> bgp_status(const Root& root) {
  BgpStatus status;
  for (const std::string& line : TRY(ask_bird(root, "show status")))
    if (line.starts_with("BIRD ")) status.version = line.substr(5);
  const auto lines = TRY(ask_bird(root, "show protocols all"));
  status.peers = peers_in(lines);
  for (const std::string& line : lines)
    if (const auto mark = value_of(line, "Description:"); mark && mark->starts_with("sluice ")) status.mark = *mark;
  if (status.mark.empty()) return status;
  for (const char* family : {"4", "6"}) {
    const auto routes = ask_bird(root, std::string("show route protocol sluice_announced_v") + family);
    if (!routes) continue;  // nobody is talked to
    for (const std::string& line : *routes)
      if (const auto words = words_of(line); words.size() > 1 && words[1] == "blackhole")
        status.announced.push_back(words[0]);
  }
  return status;
}

}  // namespace sluice::loader::bgp
