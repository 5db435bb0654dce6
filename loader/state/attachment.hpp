/// What the CNI plugin remembers of each interface that it attached: <state>/attachments/<container
/// id>:<interface>.json.
///
/// The file is written before anything is changed and removed when all is undone, so that whatever an ADD leaves behind
/// that was killed, the file names it. Its lock (flock) is held by whoever works on the attachment, and the kernel
/// drops it with the process: a file that can be locked and is not complete is a dead ADD's. Neither a container id
/// nor an interface's name has a colon in it.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "loader/host_port.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/fd.hpp"
#include "maps/result.hpp"

namespace sluice::loader::state {

struct AttachmentKey {
  std::string container_id;
  std::string ifname;  ///< inside the container
  auto operator<=>(const AttachmentKey&) const = default;
};

struct Attachment {
  AttachmentKey key;
  bool complete = false;      ///< ADD has come to its end
  bool adopted = false;       ///< an earlier plugin of the chain made the interface, and removes it
  std::string network;        ///< the configuration's name
  std::string netns;          ///< path
  std::string pod_namespace;  ///< empty: unknown
  std::string pod_name;
  std::string host_ifname;
  int host_ifindex = 0;  ///< 0: not made yet
  Mac pod_mac;
  int mtu = 0;
  std::vector<Address> addresses;
  std::vector<HostPort> host_ports;
  bool through_stack = false;
  bool shaped = false;
  int policy_table = 0;     ///< of the pod's routing rules, where another interface has its default route; 0: none
  std::string ipam_type;    ///< the IPAM plugin that gave the addresses; empty: Sluice's own
  std::string ipam_config;  ///< the configuration that it was called with
};

/// Where the files are.
std::filesystem::path attachment_folder(const Root& root);

/// The name of a pod interface's host end: "slu" and eleven hex digits that belong to `key` alone.
std::string host_ifname(const AttachmentKey& key);

/// All attachments of the node, those in the making included, by key. A file that cannot be understood (after a
/// loss of power) is left out.
Result<std::vector<Attachment>> attachments(const Root& root);

/// The keys of all files, also of those that cannot be understood.
Result<std::vector<AttachmentKey>> attachment_keys(const Root& root);

/// nullopt: there is none.
Result<std::optional<Attachment>> find_attachment(const Root& root, const AttachmentKey& key);

/// An attachment's file, locked: as long as this lives nobody else works on the attachment.
class LockedAttachment {
 public:
  /// Makes the file where there is none. Waits for another holder. EAGAIN: it still holds the lock after `patience`.
  static Result<LockedAttachment> lock(const Root& root, const AttachmentKey& key, std::chrono::milliseconds patience);

  /// What the file holds. nullopt: nothing that can be understood.
  [[nodiscard]] std::optional<Attachment> read() const;
  /// Replaces what the file holds, whole also for one that reads meanwhile.
  Result<void> write(const Attachment& attachment);
  /// Removes the file; the lock is held on.
  Result<void> remove();
  /// A process that inherits this holds the lock too, until it ends.
  [[nodiscard]] const Fd& file() const { return file_; }

 private:
  LockedAttachment(Fd file, std::filesystem::path path) : file_(std::move(file)), path_(std::move(path)) {}

  Fd file_;
  std::filesystem::path path_;
};

}  // namespace sluice::loader::state
