#include "loader/state/attachment.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <thread>

namespace sluice::loader::state {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kSuffix = ".json";

fs::path path_of(const Root& root, const AttachmentKey& key) {
  return attachment_folder(root) / (key.container_id + ":" + key.ifname + kSuffix);
}

std::optional<AttachmentKey> key_of(const fs::path& path) {
  const auto name = path.stem().string();
  const auto colon = name.find(':');
  if (path.extension() != kSuffix || colon == std::string::npos) return std::nullopt;
  return AttachmentKey{name.substr(0, colon), name.substr(colon + 1)};
}

std::string encode(const Attachment& attachment) {
  json addresses = json::array();
  for (const auto& address : attachment.addresses) addresses.push_back(address.text());
  json ports = json::array();
  for (const HostPort& port : attachment.host_ports)
    ports.push_back({{"protocol", port.proto},
                     {"hostIP", port.host_ip ? port.host_ip->text() : ""},
                     {"hostPort", port.host_port},
                     {"containerPort", port.container_port}});
  return json{{"containerID", attachment.key.container_id},
              {"ifname", attachment.key.ifname},
              {"complete", attachment.complete},
              {"adopted", attachment.adopted},
              {"network", attachment.network},
              {"netns", attachment.netns},
              {"podNamespace", attachment.pod_namespace},
              {"podName", attachment.pod_name},
              {"hostIfname", attachment.host_ifname},
              {"hostIfindex", attachment.host_ifindex},
              {"podMac", attachment.pod_mac.text()},
              {"mtu", attachment.mtu},
              {"ips", addresses},
              {"hostPorts", ports},
              {"throughStack", attachment.through_stack},
              {"shaped", attachment.shaped},
              {"policyTable", attachment.policy_table},
              {"ipamType", attachment.ipam_type},
              {"ipamConfig", attachment.ipam_config}}
             .dump(-1, ' ', false, json::error_handler_t::replace) +
         "\n";
}

/// `key` out of `object` when it is there and of the type of `value`.
template <typename T>
void read_into(T& value, const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return;
  if constexpr (std::is_same_v<T, bool>) {
    if (found->is_boolean()) value = found->get<bool>();
  } else if constexpr (std::is_same_v<T, int>) {
    if (found->is_number_integer()) value = found->get<int>();
  } else {
    if (found->is_string()) value = found->get<std::string>();
  }
}

/// nullopt: it cannot be understood.
std::optional<HostPort> host_port_of(const json& item) {
  if (!item.is_object()) return std::nullopt;
  int proto = 0, host_port = 0, container_port = 0;
  std::string host_ip;
  read_into(proto, item, "protocol");
  read_into(host_port, item, "hostPort");
  read_into(container_port, item, "containerPort");
  read_into(host_ip, item, "hostIP");
  HostPort port{.proto = static_cast<std::uint8_t>(proto),
                .host_ip = {},
                .host_port = static_cast<std::uint16_t>(host_port),
                .container_port = static_cast<std::uint16_t>(container_port)};
  if (const auto address = Address::parse(host_ip)) port.host_ip = *address;
  return port;
}

std::optional<Attachment> decode(const std::string& text) {
  const auto object = json::parse(text, nullptr, false);
  if (!object.is_object()) return std::nullopt;
  Attachment attachment;
  read_into(attachment.key.container_id, object, "containerID");
  read_into(attachment.key.ifname, object, "ifname");
  read_into(attachment.complete, object, "complete");
  read_into(attachment.adopted, object, "adopted");
  read_into(attachment.network, object, "network");
  read_into(attachment.netns, object, "netns");
  read_into(attachment.pod_namespace, object, "podNamespace");
  read_into(attachment.pod_name, object, "podName");
  read_into(attachment.host_ifname, object, "hostIfname");
  read_into(attachment.host_ifindex, object, "hostIfindex");
  read_into(attachment.mtu, object, "mtu");
  read_into(attachment.through_stack, object, "throughStack");
  read_into(attachment.shaped, object, "shaped");
  read_into(attachment.policy_table, object, "policyTable");
  read_into(attachment.ipam_type, object, "ipamType");
  read_into(attachment.ipam_config, object, "ipamConfig");
  std::string mac;
  read_into(mac, object, "podMac");
  attachment.pod_mac = Mac::parse(mac).value_or(Mac{});
  for (const auto& item : object.value("ips", json::array())) {
    const auto address = item.is_string() ? Address::parse(item.get<std::string>()) : refuse(EINVAL, "");
    if (address) attachment.addresses.push_back(*address);
  }
  for (const auto& item : object.value("hostPorts", json::array()))
    if (const auto port = host_port_of(item)) attachment.host_ports.push_back(*port);
  if (attachment.key.container_id.empty() || attachment.network.empty()) return std::nullopt;
  return attachment;
}

std::string read_all(const Fd& file) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (off_t at = 0;; at += static_cast<off_t>(buffer.size())) {
    const auto length = pread(file.get(), buffer.data(), buffer.size(), at);
    if (length > 0) text.append(buffer.data(), static_cast<std::size_t>(length));
    if (length < static_cast<ssize_t>(buffer.size())) return text;
  }
}

/// False: the name has been removed, or belongs to another file by now.
bool is_at(const Fd& file, const fs::path& path) {
  struct stat mine {};
  struct stat theirs {};
  return fstat(file.get(), &mine) == 0 && stat(path.c_str(), &theirs) == 0 && mine.st_ino == theirs.st_ino &&
         mine.st_dev == theirs.st_dev;
}

Result<Fd> open_or_make(const fs::path& path) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC;
  int fd = open(path.c_str(), kFlags, 0600);
  if (fd < 0 && errno == ENOENT) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    if (error) return fail(error.value(), "make folder " + path.parent_path().string());
    fd = open(path.c_str(), kFlags, 0600);
  }
  if (fd < 0) return fail(errno, "open " + path.string());
  return Fd(fd);
}

}  // namespace

fs::path attachment_folder(const Root& root) { return root.state() / "attachments"; }

std::string host_ifname(const AttachmentKey& key) {
  // FNV-1a, and a mixing step (MurmurHash3's) since only 44 of the bits are used.
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : key.container_id + ":" + key.ifname) hash = (hash ^ c) * 0x100000001b3;
  hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
  hash ^= hash >> 33;
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "slu%011llx", static_cast<unsigned long long>(hash >> 20));
  return name.data();
}

Result<std::vector<AttachmentKey>> attachment_keys(const Root& root) {
  std::vector<AttachmentKey> keys;
  std::error_code error;
  fs::directory_iterator entries(attachment_folder(root), error);
  if (error == std::errc::no_such_file_or_directory) return keys;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (auto key = key_of(entries->path())) keys.push_back(*std::move(key));
  }
  if (error) return fail(error.value(), "read folder " + attachment_folder(root).string());
  std::sort(keys.begin(), keys.end());
  return keys;
}

Result<std::optional<Attachment>> find_attachment(const Root& root, const AttachmentKey& key) {
  const auto path = path_of(root, key);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return std::optional<Attachment>();
  if (fd < 0) return fail(errno, "open " + path.string());
  return decode(read_all(Fd(fd)));
}

Result<std::vector<Attachment>> attachments(const Root& root) {
  std::vector<Attachment> found;
  for (const auto& key : TRY(attachment_keys(root))) {
    if (auto attachment = TRY(find_attachment(root, key))) found.push_back(*std::move(attachment));
  }
  return found;
}

Result<LockedAttachment> LockedAttachment::lock(const Root& root, const AttachmentKey& key,
                                                std::chrono::milliseconds patience) {
  constexpr std::chrono::milliseconds kPause{5};
  const auto path = path_of(root, key);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;;) {
    Fd file = TRY(open_or_make(path));
    if (flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      // The holder before may have removed the name: then this file is nobody's.
      if (is_at(file, path)) return LockedAttachment(std::move(file), path);
      continue;
    }
    if (errno != EWOULDBLOCK && errno != EINTR) return fail(errno, "lock " + path.string());
    if (std::chrono::steady_clock::now() >= deadline) {
      return refuse(EAGAIN, "another process works on interface " + key.ifname + " of container " + key.container_id);
    }
    std::this_thread::sleep_for(kPause);
  }
}

std::optional<Attachment> LockedAttachment::read() const { return decode(read_all(file_)); }

Result<void> LockedAttachment::write(const Attachment& attachment) {
  // Padded to the length of what it replaces, so that it is one write and never a mixture: JSON ends in blanks as well.
  auto text = encode(attachment);
  struct stat before {};
  if (fstat(file_.get(), &before) == 0 && static_cast<std::size_t>(before.st_size) > text.size()) {
    text.resize(static_cast<std::size_t>(before.st_size), '\n');
  }
  const auto written = pwrite(file_.get(), text.data(), text.size(), 0);
  if (written != static_cast<ssize_t>(text.size()))
    return fail(written < 0 ? errno : ENOSPC, "write " + path_.string());
  return {};
}

Result<void> LockedAttachment::remove() {
  if (unlink(path_.c_str()) != 0 && errno != ENOENT) return fail(errno, "remove " + path_.string());
  return {};
}

}  // namespace sluice::loader::state
