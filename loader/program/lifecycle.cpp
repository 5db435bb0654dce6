#include "loader/program/lifecycle.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <functional>
#include <iterator>
#include <optional>

#include "loader/net/netlink.hpp"
#include "loader/program/datapath.hpp"
#include "loader/program/deny.hpp"
#include "loader/program/forwarding.hpp"
#include "loader/program/hook.hpp"
#include "loader/program/lock.hpp"
#include "loader/program/object.hpp"
#include "loader/program/overlay.hpp"
#include "loader/program/own_routes.hpp"
#include "loader/program/pin.hpp"
#include "loader/program/record.hpp"
#include "loader/program/socket_hooks.hpp"
#include "loader/program/uplink.hpp"
#include "loader/program/xdp.hpp"
#include "loader/undo.hpp"

namespace sluice::loader::program {
namespace {

namespace fs = std::filesystem;

/// The two programs that a pod's interface has, by hook, those of the tunnel device and of uplinks, and those of
/// sockets.
struct Programs {
  Fd ingress;
  Fd egress;
  Fd overlay;
  std::optional<Fd> to_overlay;  ///< nullopt: of a version that had none
  std::optional<Fd> uplink;      ///< nullopt: of a version that had none
  std::optional<Fd> xdp;         ///< nullopt: xdp is off
  std::vector<Fd> sockets;       ///< as kSocketPrograms; empty: sockets are left alone
  [[nodiscard]] OverlayPrograms of_overlay() const { return {&overlay, to_overlay ? &*to_overlay : nullptr}; }
  [[nodiscard]] const Fd& of(Hook hook) const { return hook == Hook::kIngress ? ingress : egress; }
};

/// All of kSocketPrograms, or none where `find` knows one of them not (ENOENT).
Result<std::vector<Fd>> socket_programs(const std::function<Result<Fd>(const char*)>& find) {
  std::vector<Fd> found;
  for (const char* name : kSocketPrograms) {
    auto program = find(name);
    if (program.failed_with(ENOENT)) return std::vector<Fd>();
    found.push_back(TRY(std::move(program)));
  }
  return found;
}

/// nullopt: there is none (ENOENT).
Result<std::optional<Fd>> if_there(Result<Fd> program) {
  if (program.failed_with(ENOENT)) return std::optional<Fd>();
  return std::optional(TRY(std::move(program)));
}

Result<Programs> programs_of(const Object& object) {
  return Programs{TRY(object.program(kFromPod)),
                  TRY(object.program(kToPod)),
                  TRY(object.program(kFromOverlay)),
                  TRY(object.program(kToOverlay)),
                  TRY(object.program(kFromUplink)),
                  TRY(if_there(object.program(kXdpUplink))),
                  TRY(socket_programs([&](const char* name) { return object.program(name); }))};
}

/// ENOENT: nothing is loaded.
Result<Programs> pinned_programs(const Root& root) {
  return Programs{TRY(open_pin(program_pin(root, kFromPod))),
                  TRY(open_pin(program_pin(root, kToPod))),
                  TRY(open_pin(program_pin(root, kFromOverlay))),
                  TRY(if_there(open_pin(program_pin(root, kToOverlay)))),
                  TRY(if_there(open_pin(program_pin(root, kFromUplink)))),
                  TRY(if_there(open_pin(program_pin(root, kXdpUplink)))),
                  TRY(socket_programs([&](const char* name) { return open_pin(program_pin(root, name)); }))};
}

/// One place where a program of ours may be, and how it is given another. False: there is none any more.
using Place = std::function<Result<bool>(const Programs&)>;

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) files.push_back(entry.path());
  return files;
}

Hook hook_of_link(const fs::path& pin) {
  return pin.string().ends_with("-in") ? Hook::kIngress : Hook::kEgress;  // as link_pin names them
}

/// The group whose sockets get hooks. nullopt: the configuration wants none, or there is no such group, and `warnings`
/// says what that costs.
std::optional<ControlGroup> socket_group(const Root& root, const NodeConfig& config,
                                         std::vector<std::string>& warnings) {
  if (!config.socket_balancing) return std::nullopt;
  auto group = ControlGroup::find(root, config);
  if (group) return *std::move(group);
  warnings.push_back("sockets are left alone: " + group.error().message +
                     "; connections of pods to Services are balanced packet by packet, and the node's own processes "
                     "reach no Service");
  return std::nullopt;
}

/// The hook of kSocketPrograms[index] on `group`, which is empty where there are no programs for sockets.
Place socket_place(const Root& root, const ControlGroup& group, std::size_t index) {
  return [&root, &group, index](const Programs& programs) -> Result<bool> {
    const char* name = kSocketPrograms.at(index);
    if (programs.sockets.empty()) return detach_socket_hook(root, name);
    TRY(attach_socket_hook(root, group, name, programs.sockets.at(index)));
    return true;
  };
}

/// The XDP hook of an uplink. What refuses it is told in `warnings`, once for a load.
Place xdp_place(const Root& root, const Uplink& uplink, Xdp wanted, std::vector<std::string>& warnings) {
  return [&root, uplink, wanted, &warnings](const Programs& programs) -> Result<bool> {
    if (!programs.xdp) return detach_xdp(root, uplink);
    return attach_xdp(root, uplink, wanted, *programs.xdp, warnings);
  };
}

Result<std::size_t> detach_socket_hooks(const Root& root) {
  std::size_t hooks = 0;
  for (const char* name : kSocketPrograms) hooks += TRY(detach_socket_hook(root, name)) ? 1 : 0;
  return hooks;
}

/// The hooks of the uplinks.
std::vector<Place> uplink_places(const Root& root, const NodeConfig& config, const std::vector<Uplink>& uplinks,
                                 std::vector<std::string>& warnings) {
  std::vector<Place> found;
  for (const Uplink& uplink : uplinks) {
    found.push_back([uplink](const Programs& programs) -> Result<bool> {
      if (programs.uplink)
        TRY(attach_uplink(uplink, *programs.uplink));
      else
        TRY(clsact::detach(uplink.ifindex, Hook::kUplink));
      return programs.uplink.has_value();
    });
    if (config.xdp != Xdp::kOff) found.push_back(xdp_place(root, uplink, config.xdp, warnings));
  }
  return found;
}

/// Takes the uplinks' programs off what is no uplink any more.
Result<void> let_go(const Root& root, const NodeConfig& config, const std::vector<Uplink>& uplinks) {
  TRY(detach_uplinks(uplinks));
  TRY(detach_xdp(root, config.xdp != Xdp::kOff ? uplinks : std::vector<Uplink>()));
  return {};
}

/// A list that cannot be read stops no load: whom it denied before is denied still.
void follow_deny_list(const Root& root, std::vector<std::string>& warnings) {
  if (const auto done = apply_deny_list(root); !done)
    warnings.push_back("the deny list is not taken over: " + done.error().message);
}

/// All others: the sockets' hooks on `group`, and in this network namespace the tunnel device, the clsact hooks of
/// every veth, and the pinned tcx links.
Result<std::vector<Place>> other_places(const Root& root, const std::optional<OverlayDevice>& overlay,
                                        const std::optional<ControlGroup>& group) {
  std::vector<Place> found;
  for (std::size_t index = 0; group && index < kSocketPrograms.size(); index++)
    found.push_back(socket_place(root, *group, index));
  if (overlay)
    found.push_back([device = *overlay](const Programs& programs) -> Result<bool> {
      TRY(attach_overlay(device, programs.of_overlay()));
      return true;
    });
  net::Netlink netlink = TRY(net::Netlink::open());
  for (const net::Link& link : TRY(netlink.links())) {
    if (link.kind != "veth") continue;
    for (const Hook hook : {Hook::kIngress, Hook::kEgress})
      found.push_back([hook, ifindex = link.ifindex](const Programs& programs) {
        return clsact::replace(ifindex, hook, programs.of(hook));
      });
  }
  for (const fs::path& pin : files_in(root.pins() / "links"))
    found.push_back([pin](const Programs& programs) { return tcx::replace(pin, programs.of(hook_of_link(pin))); });
  return found;
}

/// Switches all places to `next`, or, where one refuses, those before it back to `former`.
Result<std::size_t> switch_programs(const std::vector<Place>& all, const Programs& next,
                                    const std::optional<Programs>& former) {
  std::size_t switched = 0;
  for (std::size_t i = 0; i < all.size(); i++) {
    auto done = all[i](next);
    if (done) {
      switched += *done ? 1 : 0;
      continue;
    }
    std::string message = done.error().message;
    for (std::size_t back = 0; former && back < i; back++)
      if (auto undone = all[back](*former); !undone) message += "; undo: " + undone.error().message;
    return refuse(done.error().code, message);
  }
  return switched;
}

Result<void> pin_programs(const Root& root, const Programs& programs) {
  for (std::size_t index = 0; index < kSocketPrograms.size(); index++) {
    const fs::path pin = program_pin(root, kSocketPrograms.at(index));
    if (programs.sockets.empty())
      TRY(remove_pin(pin));
    else
      TRY(replace_pin(programs.sockets.at(index), pin));
  }
  for (const auto& [program, name] : {std::pair(&programs.to_overlay, kToOverlay),
                                      std::pair(&programs.uplink, kFromUplink), std::pair(&programs.xdp, kXdpUplink)}) {
    if (*program)
      TRY(replace_pin(**program, program_pin(root, name)));
    else
      TRY(remove_pin(program_pin(root, name)));
  }
  TRY(replace_pin(programs.overlay, program_pin(root, kFromOverlay)));
  TRY(replace_pin(programs.ingress, program_pin(root, kFromPod)));
  return replace_pin(programs.egress, program_pin(root, kToPod));
}

/// Maps of other layouts, which no program uses any more.
void remove_old_maps(const Root& root) {
  for (const fs::path& folder : files_in(root.pins() / "maps")) {
    std::error_code error;
    if (folder != root.maps()) fs::remove_all(folder, error);
  }
}

}  // namespace

Result<LoadReport> load(const Root& root, const NodeConfig& config) {
  quiet_libbpf();
  const Lock lock = TRY(Lock::exclusive(root));
  const std::string identity = object_identity(config);
  TRY(prepare_pins(root));
  if (config.forwarding) TRY(enable_forwarding());

  std::optional<Programs> former;
  if (auto pinned = pinned_programs(root)) former = std::move(*pinned);
  const auto record = load_record(root);
  LoadReport report;
  const auto group = socket_group(root, config, report.warnings);
  const auto overlay = TRY(prepare_overlay(config));
  const Uplinks uplinks = TRY(find_uplinks(config));
  report.warnings.insert(report.warnings.end(), uplinks.warnings.begin(), uplinks.warnings.end());
  Undo devices([&] {
    if (overlay && overlay->made) (void)remove_overlay();
    if (!former) (void)detach_uplinks();
  });
  if (former && former->uplink && record && record->complete && record->identity == identity) {
    follow_deny_list(root, report.warnings);
    TRY(publish_uplinks(root, uplinks.all));
    for (const Place& place : uplink_places(root, config, uplinks.all, report.warnings)) TRY(place(*former));
    TRY(let_go(root, config, uplinks.all));
    if (overlay) TRY(attach_overlay(*overlay, former->of_overlay()));
    for (std::size_t index = 0; group && index < kSocketPrograms.size(); index++)
      TRY(socket_place(root, *group, index)(*former));
    if (!group) TRY(detach_socket_hooks(root));
    TRY(publish_overlay(root, config, overlay));
    devices.release();
    return report;
  }

  Undo pins([&] {
    std::error_code ignored;
    if (!former) fs::remove_all(root.pins(), ignored);
  });
  const Object object = TRY(Object::load(root, config));
  const Programs next = TRY(programs_of(object));
  // A kill between here and the end leaves two generations side by side, which the next load must not take for one.
  TRY(write_load_record(root, {SLUICE_VERSION, identity, false}));
  report.outcome = former ? LoadReport::Outcome::kUpgraded : LoadReport::Outcome::kLoaded;
  report.warnings.insert(report.warnings.end(), object.warnings().begin(), object.warnings().end());
  follow_deny_list(root, report.warnings);
  TRY(publish_uplinks(root, uplinks.all));
  std::vector<Place> all = uplink_places(root, config, uplinks.all, report.warnings);
  std::ranges::move(TRY(other_places(root, overlay, group)), std::back_inserter(all));
  report.hooks = TRY(switch_programs(all, next, former));
  Undo hooks([&] {
    if (!former) return;
    (void)switch_programs(all, *former, std::nullopt);
    (void)pin_programs(root, *former);
  });
  TRY(publish_overlay(root, config, overlay));
  TRY(pin_programs(root, next));
  TRY(write_load_record(root, {SLUICE_VERSION, identity, true}));
  hooks.release();
  pins.release();
  devices.release();
  TRY(let_go(root, config, uplinks.all));
  if (!overlay) TRY(remove_overlay());
  if (config.mode == Mode::kNone) TRY(remove_own_routes());
  if (!group) TRY(detach_socket_hooks(root));
  remove_old_maps(root);
  return report;
}

Result<std::size_t> remove(const Root& root) {
  quiet_libbpf();  // it has words for every interface without a qdisc of ours
  const Lock lock = TRY(Lock::exclusive(root));
  std::size_t hooks = TRY(detach_uplinks()) + TRY(detach_xdp(root));
  net::Netlink netlink = TRY(net::Netlink::open());
  for (const net::Link& link : TRY(netlink.links())) {
    if (link.kind != "veth") continue;
    for (const Hook hook : {Hook::kIngress, Hook::kEgress}) {
      if (!TRY(clsact::attached(link.ifindex, hook))) continue;
      TRY(clsact::detach(link.ifindex, hook));
      hooks++;
    }
  }
  for (const fs::path& pin : files_in(root.pins() / "links")) {
    TRY(tcx::detach(pin));
    hooks++;
  }
  hooks += TRY(detach_socket_hooks(root));
  if (TRY(remove_overlay())) hooks++;
  TRY(remove_own_routes());
  std::error_code error;
  fs::remove_all(root.pins(), error);
  if (error) return fail(error.value(), "remove " + root.pins().string());
  TRY(erase_load_record(root));
  return hooks;
}

Result<std::size_t> repair(const Root& root, AttachMode mode) {
  Datapath datapath = TRY(Datapath::open(root));
  net::Netlink netlink = TRY(net::Netlink::open());
  std::size_t repaired = 0;
  for (const auto& [address, endpoint] : TRY(datapath.endpoints())) {
    auto link = netlink.link(endpoint.ifindex);
    if (link.failed_with(ENODEV)) continue;  // the pod is gone and its DEL has not come yet
    if (!link) return link.error();
    const PodAttachment now = TRY(datapath.pod_attachment(endpoint.ifindex, link->name));
    if (now.from_pod && now.to_pod) continue;
    TRY(datapath.attach_pod(endpoint.ifindex, link->name, mode));
    repaired++;
  }
  return repaired;
}

}  // namespace sluice::loader::program
