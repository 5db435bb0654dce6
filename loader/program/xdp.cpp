#include "loader/program/xdp.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "loader/program/lock.hpp"
#include "loader/program/pin.hpp"

namespace sluice::loader::program {
namespace {

namespace fs = std::filesystem;

fs::path folder(const Root& root) { return root.pins() / "xdp"; }

/// A name may have a dot (eth0.5), a pin may not.
fs::path pin_of(const Root& root, std::string name) {
  std::ranges::replace(name, '.', ':');
  return folder(root) / name;
}

struct LinkState {
  std::uint32_t ifindex;  ///< 0: the interface is gone, or somebody has detached the link
  std::uint32_t program_id;
};

Result<LinkState> link_state(const Fd& link) {
  bpf_link_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0) return fail(errno, "read what a link is");
  return LinkState{.ifindex = info.xdp.ifindex, .program_id = info.prog_id};
}

Result<bool> hangs_native(int ifindex) {
  LIBBPF_OPTS(bpf_xdp_query_opts, options);
  if (const int err = bpf_xdp_query(ifindex, 0, &options); err != 0)
    return fail(-err, "ask how XDP hangs on interface " + std::to_string(ifindex));
  return options.attach_mode == XDP_ATTACHED_DRV;
}

/// 0: it is done; else the errno of the refusal.
Result<int> create(const Fd& program, int ifindex, bool native, const fs::path& pin) {
  LIBBPF_OPTS(bpf_link_create_opts, options, .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
  const Fd link(bpf_link_create(program.get(), ifindex, BPF_XDP, &options));
  if (link.get() < 0) return errno;
  TRY(replace_pin(link, pin));
  return 0;
}

std::string refusal(const std::string& name, Xdp wanted, int code) {
  const std::string begin = "uplink " + name + " is without xdp_uplink, and from_uplink does all: ";
  if (code == EBUSY || code == EEXIST)
    return begin + "another program has its XDP hook (`ip link show " + name + "` shows which)";
  const std::string words = std::generic_category().message(code);
  if (wanted != Xdp::kNative) return begin + words;
  return begin + "its driver takes none, at this MTU at least (" + words +
         "); xdp: generic in sluice.yaml works with any";
}

/// What `kAuto` may try first. A veth's other end takes what XDP sends back only where it has an XDP program itself,
/// which nobody sees from here.
bool may_be_native(const Uplink& uplink, Xdp wanted) {
  return wanted == Xdp::kNative || (wanted == Xdp::kAuto && uplink.kind != "veth");
}

bool fits(const Uplink& uplink, Xdp wanted, bool native) {
  return wanted == Xdp::kAuto ? !native || may_be_native(uplink, wanted) : native == (wanted == Xdp::kNative);
}

/// False: nothing hung there.
Result<bool> detach(const fs::path& pin) {
  const auto link = open_pin(pin);
  if (!link && !link.failed_with(ENOENT)) return link.error();
  const bool hung = link && TRY(link_state(*link)).ifindex != 0;
  if (hung) bpf_link_detach(link->get());
  TRY(remove_pin(pin));
  return hung;
}

}  // namespace

Result<bool> attach_xdp(const Root& root, const Uplink& uplink, Xdp wanted, const Fd& program,
                        std::vector<std::string>& warnings) {
  const fs::path pin = pin_of(root, uplink.name);
  const auto there = TRY(xdp_attachment(root, uplink.ifindex, uplink.name));
  if (there && fits(uplink, wanted, there->native)) {
    const Fd link = TRY(open_pin(pin));
    if (bpf_link_update(link.get(), program.get(), nullptr) == 0) return true;
    if (errno != ENOLINK) return fail(errno, "give uplink " + uplink.name + " another xdp_uplink");
  }
  TRY(detach(pin));
  int code = EOPNOTSUPP;
  if (may_be_native(uplink, wanted)) code = TRY(create(program, uplink.ifindex, true, pin));
  if (code != 0 && wanted != Xdp::kNative) code = TRY(create(program, uplink.ifindex, false, pin));
  if (code != 0) warnings.push_back(refusal(uplink.name, wanted, code));
  return code == 0;
}

Result<bool> detach_xdp(const Root& root, const Uplink& uplink) { return detach(pin_of(root, uplink.name)); }

Result<std::size_t> detach_xdp(const Root& root, const std::vector<Uplink>& but) {
  std::vector<fs::path> gone;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder(root), error)) {
    const auto stays = [&](const Uplink& uplink) { return pin_of(root, uplink.name) == entry.path(); };
    if (std::ranges::none_of(but, stays)) gone.push_back(entry.path());
  }
  std::size_t hung = 0;
  for (const fs::path& pin : gone) hung += TRY(detach(pin)) ? 1 : 0;
  return hung;
}

Result<std::optional<XdpAttachment>> xdp_attachment(const Root& root, int ifindex, const std::string& name) {
  const auto link = open_pin(pin_of(root, name));
  if (link.failed_with(ENOENT)) return std::optional<XdpAttachment>();
  if (!link) return link.error();
  const LinkState state = TRY(link_state(*link));
  if (state.ifindex != static_cast<std::uint32_t>(ifindex)) return std::optional<XdpAttachment>();
  return std::optional(XdpAttachment{.program_id = state.program_id, .native = TRY(hangs_native(ifindex))});
}

Result<std::vector<std::string>> repair_xdp(const Root& root, const NodeConfig& config) {
  const Lock lock = TRY(Lock::shared(root));
  TRY(open_pin(program_pin(root, kToPod)));
  std::vector<std::string> changes;
  const auto program = open_pin(program_pin(root, kXdpUplink));
  if (program.failed_with(ENOENT) || config.xdp == Xdp::kOff) return changes;  // a load is yet to follow the other
  if (!program) return program.error();
  const Uplinks uplinks = TRY(find_uplinks(config));
  for (const Uplink& uplink : uplinks.all) {
    if (TRY(xdp_attachment(root, uplink.ifindex, uplink.name))) continue;
    std::vector<std::string> told_at_load;
    if (TRY(attach_xdp(root, uplink, config.xdp, *program, told_at_load)))
      changes.push_back("uplink " + uplink.name + " was without xdp_uplink: attached");
  }
  if (TRY(detach_xdp(root, uplinks.all)) > 0)
    changes.emplace_back("an interface is no uplink any more: xdp_uplink taken off");
  return changes;
}

}  // namespace sluice::loader::program
