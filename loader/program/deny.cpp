#include "loader/program/deny.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>

#include "loader/program/lock.hpp"
#include "maps/trie_key.hpp"
#include "maps/views.hpp"

namespace sluice::loader::program {
namespace {

/// The key's bytes are its order.
struct KeyLess {
  bool operator()(const maps::denied_key& one, const maps::denied_key& other) const {
    return std::memcmp(&one, &other, sizeof(one)) < 0;
  }
};
using Wanted = std::map<maps::denied_key, std::uint32_t, KeyLess>;

constexpr unsigned kV4Bits = 96;  ///< of a key, before those of an IPv4 address

std::string block_in(const std::string& line) {
  const std::string words = line.substr(0, line.find('#'));
  const auto first = words.find_first_not_of(" \t\r");
  return first == std::string::npos ? "" : words.substr(first, words.find_last_not_of(" \t\r") + 1 - first);
}

Prefix whole(const Prefix& block) { return {block.first(), block.length}; }

struct Line {
  std::string text;
  std::optional<Prefix> block;  ///< nullopt: empty, or a comment
};

Result<std::vector<Line>> read_lines(const Root& root) {
  std::vector<Line> lines;
  std::ifstream file(root.deny_list());
  if (!file) {
    if (errno == ENOENT) return lines;
    return fail(errno, "open " + root.deny_list().string());
  }
  for (std::string text; std::getline(file, text);) {
    Line line{text, {}};
    if (const std::string words = block_in(text); !words.empty()) {
      const auto block = Prefix::parse(words);
      if (!block)
        return refuse(EINVAL, root.deny_list().string() + ": line " + std::to_string(lines.size() + 1) + ": " +
                                  block.error().message);
      line.block = whole(*block);
    }
    lines.push_back(std::move(line));
  }
  if (file.bad()) return fail(EIO, "read " + root.deny_list().string());
  return lines;
}

Result<void> write_lines(const Root& root, const std::vector<Line>& lines) {
  const std::string path = root.deny_list(), fresh = path + ".new";
  std::error_code error;
  std::filesystem::create_directories(root.deny_list().parent_path(), error);
  if (error) return fail(error.value(), "make folder " + root.deny_list().parent_path().string());
  std::ofstream file(fresh, std::ios::trunc);
  for (const Line& line : lines) file << line.text << '\n';
  file.close();
  if (!file) return fail(EIO, "write " + fresh);
  if (rename(fresh.c_str(), path.c_str()) != 0) return fail(errno, "rename " + fresh);
  return {};
}

/// The elements that the map must have. An IPv6 block around ::ffff:0:0/96, in which IPv4 lies there, means no IPv4.
Wanted wanted_elements(const std::vector<Prefix>& blocks) {
  const Prefix all_v4{Address::from_number(static_cast<unsigned __int128>(0xffff) << 32), 0};
  Wanted wanted;
  for (const Prefix& block : blocks) {
    wanted[maps::denied_key_of(block)] = maps::DENIED_YES;
    if (!block.address.is_v4() && block.first() <= all_v4.first() && all_v4.last() <= block.last())
      wanted.emplace(maps::denied_key_of(all_v4), maps::DENIED_NO);
  }
  return wanted;
}

using Current = std::vector<std::pair<maps::denied_key, std::uint32_t>>;

/// What comes before what goes: whom the list denies before and after a change is denied in between.
Result<std::size_t> write_elements(maps::Denied& map, const Current& there, Wanted wanted) {
  std::size_t changes = 0;
  std::vector<maps::denied_key> gone;
  for (const auto& [key, value] : there) {
    const auto found = wanted.find(key);
    if (found == wanted.end())
      gone.push_back(key);
    else if (found->second == value)
      wanted.erase(found);
  }
  for (const auto& [key, value] : wanted) {
    TRY(map.put(key, value).context("deny a block"));
    changes++;
  }
  for (const maps::denied_key& key : gone) {
    TRY(map.erase(key).context("deny a block no more"));
    changes++;
  }
  return changes;
}

Prefix block_of(const maps::denied_key& key) {
  maps::addr wire{};
  std::ranges::copy(key.word, wire.word);
  const Address address(wire);
  return {address, key.prefix_len - (address.is_v4() && key.prefix_len >= kV4Bits ? kV4Bits : 0)};
}

}  // namespace

Result<std::vector<Prefix>> read_deny_list(const Root& root) {
  std::vector<Prefix> blocks;
  for (const Line& line : TRY(read_lines(root)))
    if (line.block) blocks.push_back(*line.block);
  return blocks;
}

Result<std::size_t> add_to_deny_list(const Root& root, const std::vector<Prefix>& blocks) {
  const Lock lock = TRY(Lock::deny_list(root));
  auto lines = TRY(read_lines(root));
  std::size_t added = 0;
  for (const Prefix& block : blocks) {
    if (std::ranges::find(lines, std::optional(whole(block)), &Line::block) != lines.end()) continue;
    lines.push_back({whole(block).text(), whole(block)});
    added++;
  }
  if (added > 0) TRY(write_lines(root, lines));
  return added;
}

Result<std::size_t> delete_from_deny_list(const Root& root, const std::vector<Prefix>& blocks) {
  const Lock lock = TRY(Lock::deny_list(root));
  auto lines = TRY(read_lines(root));
  std::size_t deleted = 0;
  for (const Prefix& block : blocks)
    deleted += std::erase_if(lines, [&](const Line& line) { return line.block == whole(block); }) > 0 ? 1 : 0;
  if (deleted > 0) TRY(write_lines(root, lines));
  return deleted;
}

Result<std::size_t> apply_deny_list(const Root& root) {
  const Lock lock = TRY(Lock::deny_list(root));
  const Wanted wanted = wanted_elements(TRY(read_deny_list(root)));
  auto map = TRY(maps::open<maps::Denied>(root.maps()));
  const auto room = TRY(map.capacity());
  if (wanted.size() > room)
    return refuse(E2BIG, root.deny_list().string() + " has " + std::to_string(wanted.size()) +
                             " blocks and the map room for " + std::to_string(room) +
                             ": what was in force still is (maps.denied in sluice.yaml)");
  const auto runtime = TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd()));
  const auto there = TRY(map.dump());
  if (!wanted.empty()) __atomic_store_n(&runtime->has_denied, 1, __ATOMIC_SEQ_CST);
  const std::size_t changes = TRY(write_elements(map, there, wanted));
  if (wanted.empty()) __atomic_store_n(&runtime->has_denied, 0, __ATOMIC_SEQ_CST);
  return changes;
}

Result<std::vector<Prefix>> denied_blocks(const Root& root) {
  std::vector<Prefix> blocks;
  const auto map = TRY(maps::open<maps::Denied>(root.maps()));
  TRY(map.each([&](const maps::denied_key& key, std::uint32_t value) {
    if (value == maps::DENIED_YES) blocks.push_back(block_of(key));
  }));
  return blocks;
}

}  // namespace sluice::loader::program
