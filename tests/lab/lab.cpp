#include "tests/lab/lab.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "loader/net/netns.hpp"
#include "loader/undo.hpp"
#include "maps/fd.hpp"
#include "tests/lab/agent.hpp"
#include "tests/lab/cgroup.hpp"
#include "tests/lab/node.hpp"
#include "tests/lab/object_folder.hpp"
#include "tests/lab/plan.hpp"
#include "tests/lab/pod.hpp"

namespace sluice::lab {

namespace {

using loader::kube::Object;

/// Set by SIGINT, SIGTERM and SIGHUP while a Change is under way.
volatile std::sig_atomic_t interrupted = 0;

/// Holds the lab's lock. Signals that would end the process are only noted: `go_on` then says so between two steps,
/// and what was done is undone.
class Change {
 public:
  static Result<Change> begin(const Paths& paths) {
    std::error_code error;
    std::filesystem::create_directories(kLabs, error);
    if (error) return fail(error.value(), std::string("make ") + kLabs);
    const auto doing = "lock lab " + paths.lab();
    for (;;) {
      const int fd = ::open(paths.lock_file().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
      if (fd < 0) return fail(errno, doing);
      Fd lock(fd);
      if (::flock(fd, LOCK_EX) != 0) return fail(errno, doing);
      // `down` removes the file; whoever waited for the old one starts again with the new.
      struct stat locked {};
      struct stat present {};
      if (::fstat(fd, &locked) == 0 && ::stat(paths.lock_file().c_str(), &present) == 0 &&
          locked.st_ino == present.st_ino) {
        note_signals();
        return Change(std::move(lock));
      }
    }
  }

  static Result<void> go_on() {
    if (interrupted != 0) return refuse(EINTR, "interrupted");
    return {};
  }

 private:
  explicit Change(Fd lock) : lock_(std::move(lock)) {}

  static void note_signals() {
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = 1; };
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  }

  Fd lock_;
};

/// What was done so far, undone in reverse order unless the whole succeeds.
class Undone {
 public:
  Undone() = default;
  Undone(const Undone&) = delete;
  Undone& operator=(const Undone&) = delete;
  ~Undone() {
    for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) (*step)();
  }
  void add(std::function<void()> step) { steps_.push_back(std::move(step)); }
  void release() { steps_.clear(); }

 private:
  std::vector<std::function<void()>> steps_;
};

bool there_is(const Path& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

Result<void> must_exist(const Paths& paths) {
  if (there_is(paths.folder())) return {};
  return refuse(ENOENT, "there is no lab " + paths.lab() + "; sluice-lab up makes one");
}

std::string words(const loader::kube::ObjectId& id) {
  const auto kind = id.kind == "Node" ? "node" : id.kind == "Pod" ? "pod" : id.kind;
  return kind + "/" + (id.ns.empty() ? "" : id.ns + "/") + id.name;
}

/// Whether the object was there, and the same.
enum class Before { kAbsent, kOther, kSame };

Result<Before> give_nodes(const Lab& lab, const loader::kube::ObjectId& id, const std::string& text, Undone& undone) {
  const auto before = TRY(get_object(lab.paths, id));
  undone.add(
      [&lab, id, before] { (void)(before ? put_object(lab.paths, id, *before) : remove_object(lab.paths, id)); });
  TRY(put_object(lab.paths, id, text));
  return !before ? Before::kAbsent : *before == text ? Before::kSame : Before::kOther;
}

const char* words(Before before) {
  return before == Before::kAbsent ? " created" : before == Before::kSame ? " unchanged" : " configured";
}

Result<void> apply_node(const Lab& lab, const Planned<NodeRecord>& planned, Undone& undone, const Tell& tell) {
  const auto& node = planned.record;
  const auto text = planned.object.json + "\n";
  const auto present = TRY(load_node(lab.paths, node.name));
  if (present && present->ready) {
    tell(words(planned.object.id) + words(TRY(give_nodes(lab, planned.object.id, text, undone))));
    return {};
  }
  if (present) TRY(destroy_node(lab.paths, node.name));
  TRY(create_node(lab.paths, node));
  undone.add([&lab, name = node.name] { (void)destroy_node(lab.paths, name); });
  TRY(give_nodes(lab, planned.object.id, text, undone));
  if (const auto agent = TRY(read_file(lab.paths.agent_file()))) TRY(start_agent(lab.paths, *agent, node.name));
  tell(words(planned.object.id) + " created");
  return {};
}

Result<void> apply_object(const Lab& lab, const Object& object, Undone& undone, const Tell& tell) {
  tell(words(object.id) + words(TRY(give_nodes(lab, object.id, object.json + "\n", undone))));
  return {};
}

/// As in a cluster, agents know a new pod before it is attached, and its addresses after.
Result<void> apply_pod(const Lab& lab, const Planned<PodRecord>& planned, Undone& undone, const Tell& tell) {
  const auto& [pod, object] = planned;
  const auto present = TRY(load_pod(lab.paths, pod.pod));
  if (present && present->ready) {
    tell(words(object.id) + words(TRY(give_nodes(lab, object.id, pod_text(object, present->ips), undone))));
    return {};
  }
  if (present) TRY(destroy_pod(lab.paths, lab.plugin, *present));
  TRY(give_nodes(lab, object.id, pod_text(object, {}), undone));
  const auto created = TRY(create_pod(lab.paths, lab.plugin, pod));
  undone.add([&lab, created] { (void)destroy_pod(lab.paths, lab.plugin, created); });
  TRY(give_nodes(lab, object.id, pod_text(object, created.ips), undone));
  std::string line = words(object.id) + " created on " + pod.node + ":";
  for (const auto& ip : created.ips) line += " " + ip.text();
  tell(line);
  return {};
}

Result<void> apply_locked(const Lab& lab, const Objects& objects, const Tell& tell) {
  const auto plan = TRY(make_plan(objects, TRY(load_nodes(lab.paths)), TRY(load_pods(lab.paths))));
  Undone undone;
  for (const auto& node : plan.nodes) {
    TRY(Change::go_on());
    TRY(apply_node(lab, node, undone, tell));
  }
  for (const auto& object : plan.others) TRY(apply_object(lab, object, undone, tell));
  for (const auto& pod : plan.pods) {
    TRY(Change::go_on());
    TRY(apply_pod(lab, pod, undone, tell));
  }
  TRY(Change::go_on());
  undone.release();
  return {};
}

Result<void> remove_pod(const Lab& lab, const PodName& name, const Tell& tell) {
  const auto pod = TRY(load_pod(lab.paths, name));
  if (pod) TRY(destroy_pod(lab.paths, lab.plugin, *pod));
  TRY(remove_object(lab.paths, {"Pod", name.ns, name.name}));
  tell("pod/" + name.text() + (pod ? " deleted" : " is not there"));
  return {};
}

Result<void> remove_node(const Lab& lab, const std::string& name, const Tell& tell) {
  for (const auto& pod : TRY(load_pods(lab.paths))) {
    if (pod.node == name) TRY(remove_pod(lab, pod.pod, tell));
  }
  const bool there = TRY(load_node(lab.paths, name)).has_value();
  if (there) TRY(destroy_node(lab.paths, name));
  TRY(remove_object(lab.paths, {"Node", "", name}));
  tell("node/" + name + (there ? " deleted" : " is not there"));
  return {};
}

Result<void> remove_other(const Lab& lab, const loader::kube::ObjectId& id, const Tell& tell) {
  const bool there = TRY(get_object(lab.paths, id)).has_value();
  TRY(remove_object(lab.paths, id));
  tell(words(id) + (there ? " deleted" : " is not there"));
  return {};
}

/// All of the lab, whatever state it is in; the lock is held. A network namespace is known by its node's or pod's
/// record, which is written before it is made.
Result<void> clear(const Paths& paths) {
  TRY(cgroup::destroy(paths.cgroup()));
  (void)::rmdir((TRY(cgroup::hierarchy()) / paths.cgroup().parent_path()).c_str());  // other labs may have it in use
  for (const auto& pod : TRY(load_pods(paths))) TRY(loader::net::Netns::destroy(paths.pod_netns(pod.pod)));
  for (const auto& node : TRY(load_nodes(paths))) TRY(loader::net::Netns::destroy(paths.node_netns(node.name)));
  TRY(loader::net::Netns::destroy(paths.underlay_netns()));
  TRY(unmount_below(paths.folder()));
  std::error_code error;
  std::filesystem::remove_all(paths.folder(), error);
  if (error) return fail(error.value(), "remove " + paths.folder().string());
  return {};
}

/// The lock file of a lab that is gone. The lock is held.
Result<void> forget(const Paths& paths) {
  TRY(remove_file(paths.lock_file()));
  (void)::rmdir(kLabs);  // other labs may be in it
  return {};
}

}  // namespace

Result<void> up(const Lab& lab, const Objects& objects, const Tell& tell) {
  const bool has_node = std::any_of(objects.begin(), objects.end(), [](const Object& object) {
    return std::holds_alternative<loader::kube::Node>(object.body);
  });
  if (!has_node) return refuse(EINVAL, "a lab needs a Node");
  TRY(make_plan(objects, {}, {}));
  const auto change = TRY(Change::begin(lab.paths));
  if (there_is(lab.paths.folder())) {
    return refuse(EEXIST, "lab " + lab.paths.lab() + " is there; sluice-lab apply adds to it, down removes it");
  }
  auto made = [&]() -> Result<void> {
    std::error_code error;
    std::filesystem::create_directories(lab.paths.objects(), error);
    if (error) return fail(error.value(), "make " + lab.paths.objects().string());
    TRY(put_first_objects(lab.paths));
    if (!lab.agent.empty()) TRY(write_file(lab.paths.agent_file(), lab.agent));
    TRY(create_underlay(lab.paths).context("make the underlay"));
    return apply_locked(lab, objects, tell);
  }();
  if (!made) {
    if (auto cleared = clear(lab.paths); !cleared) return std::move(cleared).context(made.error().message);
    TRY(forget(lab.paths));
  }
  return made;
}

Result<void> apply(const Lab& lab, const Objects& objects, const Tell& tell) {
  TRY(must_exist(lab.paths));
  const auto change = TRY(Change::begin(lab.paths));
  TRY(must_exist(lab.paths));
  return apply_locked(lab, objects, tell);
}

Result<void> remove(const Lab& lab, const Objects& objects, const Tell& tell) {
  TRY(must_exist(lab.paths));
  const auto change = TRY(Change::begin(lab.paths));
  TRY(must_exist(lab.paths));
  for (const auto& object : objects) {
    TRY(Change::go_on());
    if (std::holds_alternative<loader::kube::Pod>(object.body)) {
      TRY(remove_pod(lab, {object.id.ns, object.id.name}, tell));
    } else if (!std::holds_alternative<loader::kube::Node>(object.body)) {
      TRY(remove_other(lab, object.id, tell));
    }
  }
  for (const auto& object : objects) {
    TRY(Change::go_on());
    if (std::holds_alternative<loader::kube::Node>(object.body)) TRY(remove_node(lab, object.id.name, tell));
  }
  return {};
}

Result<bool> down(const Paths& paths) {
  const auto change = TRY(Change::begin(paths));
  const bool there = there_is(paths.folder());
  if (there) TRY(clear(paths));
  TRY(forget(paths));
  return there;
}

}  // namespace sluice::lab
