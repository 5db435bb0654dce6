#include "loader/state/ipam.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <optional>

#include "maps/fd.hpp"

namespace sluice::loader::state {

namespace {

namespace fs = std::filesystem;
using Number = unsigned __int128;

/// The addresses of a block that pods are given: `first` to `last`, both of them included.
struct Range {
  Number first;
  Number last;
};

Range range_of(const Prefix& block) {
  const unsigned bits = (block.address.is_v4() ? 32 : 128) - block.length;
  Range range{block.first().number(), block.last().number()};
  if (bits <= 1) return range;
  range.first += 2;
  if (block.address.is_v4()) range.last -= 1;
  return range;
}

std::string target_of(const Owner& owner) { return owner.network + "/" + owner.container_id + "/" + owner.ifname; }

std::optional<Owner> owner_of(const std::string& target) {
  const auto first = target.find('/');
  const auto last = target.rfind('/');
  if (first == std::string::npos || first == last) return std::nullopt;
  return Owner{target.substr(0, first), target.substr(first + 1, last - first - 1), target.substr(last + 1)};
}

/// The target of a symbolic link. nullopt: there is none, or something else is there.
std::optional<std::string> link_target(const fs::path& path) {
  std::array<char, 1024> buffer{};
  const auto length = readlink(path.c_str(), buffer.data(), buffer.size());
  if (length < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(length));
}

constexpr std::size_t kCursorSize = 48;  // longer than any address, and written whole each time

/// The address that was given last. nullopt: none yet, or it cannot be told.
std::optional<Address> read_cursor(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  const Fd file(fd);
  std::array<char, kCursorSize> buffer{};
  const auto length = read(file.get(), buffer.data(), buffer.size());
  const std::string text(buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  const auto address = Address::parse(text.substr(0, text.find(' ')));
  return address ? std::optional(*address) : std::nullopt;
}

/// Where this fails, the next search begins where this one began: slower, no less right.
void write_cursor(const fs::path& path, const Address& address) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 && errno == ENOENT) {
    std::error_code ignored;
    fs::create_directories(path.parent_path(), ignored);
    fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  }
  if (fd < 0) return;
  const Fd file(fd);
  std::string text = address.text();
  text.resize(kCursorSize, ' ');
  if (pwrite(file.get(), text.data(), text.size(), 0) < 0) return;
}

}  // namespace

Ipam::Ipam(const Root& root) : folder_(root.state() / "ipam"), cursors_(root.run() / "ipam") {}

fs::path Ipam::cursor_file(const Prefix& block) const {
  return cursors_ / (block.first().text() + "-" + std::to_string(block.length));
}

/// False: somebody has it.
Result<bool> Ipam::claim(const Address& address, const Owner& owner) {
  const auto path = folder_ / address.text();
  const auto target = target_of(owner);
  if (symlink(target.c_str(), path.c_str()) == 0) return true;
  if (errno == ENOENT) {
    std::error_code error;
    fs::create_directories(folder_, error);
    if (error) return fail(error.value(), "make folder " + folder_.string());
    if (symlink(target.c_str(), path.c_str()) == 0) return true;
  }
  if (errno == EEXIST) return false;
  return fail(errno, "reserve address " + path.string());
}

Result<Address> Ipam::reserve(const Prefix& block, const Owner& owner) {
  const Range range = range_of(block);
  const auto cursor = cursor_file(block);
  Number next = range.first;
  if (const auto last = read_cursor(cursor); last && last->number() >= range.first && last->number() < range.last) {
    next = last->number() + 1;
  }
  const Number begin = next;
  do {
    const auto address = Address::from_number(next);
    if (TRY(claim(address, owner))) {
      write_cursor(cursor, address);
      return address;
    }
    next = next == range.last ? range.first : next + 1;
  } while (next != begin);
  return refuse(EADDRNOTAVAIL, "no address is free in " + block.text() + ": all " + std::to_string(capacity(block)) +
                                   " that pods can have are in use");
}

Result<void> Ipam::reserve(const Prefix& block, const Address& address, const Owner& owner) {
  if (!can_give(block, address)) {
    return refuse(EINVAL, address.text() + " is not an address of " + block.text() + " that pods can have");
  }
  if (TRY(claim(address, owner))) return {};
  const auto holder = link_target(folder_ / address.text());
  return refuse(EADDRINUSE, address.text() + " belongs to " + holder.value_or("another"));
}

Result<void> Ipam::sync() {
  const int fd = open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "open " + folder_.string());
  const Fd directory(fd);
  if (fsync(directory.get()) != 0) return fail(errno, "write " + folder_.string() + " to disk");
  return {};
}

bool Ipam::holds(const Address& address, const Owner& owner) const {
  return link_target(folder_ / address.text()) == target_of(owner);
}

Result<void> Ipam::release(const Address& address, const Owner& owner) {
  const auto path = folder_ / address.text();
  if (!holds(address, owner)) return {};
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return fail(errno, "give back address " + path.string());
  return {};
}

Result<void> Ipam::release_all(const std::string& container_id, const std::string& ifname) {
  for (const auto& [address, owner] : TRY(reservations())) {
    if (owner.container_id == container_id && owner.ifname == ifname) TRY(release(address, owner));
  }
  return {};
}

Result<std::vector<Reservation>> Ipam::reservations() const {
  std::vector<Reservation> found;
  std::error_code error;
  fs::directory_iterator entries(folder_, error);
  if (error == std::errc::no_such_file_or_directory) return found;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const auto address = Address::parse(entries->path().filename().string());
    const auto target = link_target(entries->path());
    const auto owner = target ? owner_of(*target) : std::nullopt;
    if (address && owner) found.push_back({*address, *owner});
  }
  if (error) return fail(error.value(), "read folder " + folder_.string());
  return found;
}

std::uint64_t Ipam::capacity(const Prefix& block) {
  const Range range = range_of(block);
  return static_cast<std::uint64_t>(std::min<Number>(range.last - range.first, (Number{1} << 63) - 1)) + 1;
}

bool Ipam::can_give(const Prefix& block, const Address& address) {
  const Range range = range_of(block);
  return block.contains(address) && range.first <= address.number() && address.number() <= range.last;
}

}  // namespace sluice::loader::state
