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
#include "tests/lab/cgroup.hpp"
#include "tests/lab/node.hpp"
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

/// Names of all kinds have no "/" or "%"; where they have what shells and people stumble over, that stays.
std::string file_name(const loader::kube::ObjectId& id) {
  return id.kind + "." + (id.ns.empty() ? "" : id.ns + ".") + id.name + ".json";
}

/// The folders of all nodes for objects, and that of the lab for nodes to come.
Result<std::vector<Path>> object_folders(const Paths& paths) {
  std::vector<Path> folders{paths.objects()};
  for (const auto& node : TRY(load_nodes(paths))) folders.push_back(paths.node_root(node.name).objects());
  return folders;
}

Result<void> apply_nodes(const Lab& lab, const std::vector<NodeRecord>& nodes, Undone& undone, const Tell& tell) {
  for (const auto& node : nodes) {
    TRY(Change::go_on());
    const auto present = TRY(load_node(lab.paths, node.name));
    if (present && present->ready) {
      tell("node/" + node.name + " unchanged");
      continue;
    }
    if (present) TRY(destroy_node(lab.paths, node.name));
    TRY(create_node(lab.paths, node));
    undone.add([&lab, name = node.name] { (void)destroy_node(lab.paths, name); });
    tell("node/" + node.name + " created");
  }
  return {};
}

Result<void> apply_object(const Lab& lab, const Object& object, Undone& undone, const Tell& tell) {
  const auto before = TRY(read_file(lab.paths.objects() / file_name(object.id)));
  const auto text = object.json + "\n";
  for (const auto& folder : TRY(object_folders(lab.paths))) {
    const auto file = folder / file_name(object.id);
    const auto old_text = TRY(read_file(file));
    if (old_text == text) continue;
    undone.add([=] { (void)(old_text ? write_file(file, *old_text) : remove_file(file)); });
    TRY(write_file(file, text));
  }
  const auto what = !before ? " created" : *before == text ? " unchanged" : " configured";
  tell(object.id.kind + "/" + (object.id.ns.empty() ? "" : object.id.ns + "/") + object.id.name + what);
  return {};
}

Result<void> apply_pods(const Lab& lab, const std::vector<PodRecord>& pods, Undone& undone, const Tell& tell) {
  for (const auto& pod : pods) {
    TRY(Change::go_on());
    const auto present = TRY(load_pod(lab.paths, pod.pod));
    if (present && present->ready) {
      tell("pod/" + pod.pod.text() + " unchanged");
      continue;
    }
    if (present) TRY(destroy_pod(lab.paths, lab.plugin, *present));
    const auto created = TRY(create_pod(lab.paths, lab.plugin, pod));
    undone.add([&lab, created] { (void)destroy_pod(lab.paths, lab.plugin, created); });
    std::string line = "pod/" + pod.pod.text() + " created on " + pod.node + ":";
    for (const auto& ip : created.ips) line += " " + ip.text();
    tell(line);
  }
  return {};
}

Result<void> apply_locked(const Lab& lab, const Objects& objects, const Tell& tell) {
  const auto plan = TRY(make_plan(objects, TRY(load_nodes(lab.paths)), TRY(load_pods(lab.paths))));
  Undone undone;
  TRY(apply_nodes(lab, plan.nodes, undone, tell));
  for (const auto& object : plan.others) TRY(apply_object(lab, object, undone, tell));
  TRY(apply_pods(lab, plan.pods, undone, tell));
  TRY(Change::go_on());
  undone.release();
  return {};
}

Result<void> remove_pod(const Lab& lab, const PodName& name, const Tell& tell) {
  const auto pod = TRY(load_pod(lab.paths, name));
  if (pod) TRY(destroy_pod(lab.paths, lab.plugin, *pod));
  tell("pod/" + name.text() + (pod ? " deleted" : " is not there"));
  return {};
}

Result<void> remove_node(const Lab& lab, const std::string& name, const Tell& tell) {
  for (const auto& pod : TRY(load_pods(lab.paths))) {
    if (pod.node == name) TRY(remove_pod(lab, pod.pod, tell));
  }
  const bool there = TRY(load_node(lab.paths, name)).has_value();
  if (there) TRY(destroy_node(lab.paths, name));
  tell("node/" + name + (there ? " deleted" : " is not there"));
  return {};
}

Result<void> remove_object(const Lab& lab, const loader::kube::ObjectId& id, const Tell& tell) {
  const bool there = there_is(lab.paths.objects() / file_name(id));
  for (const auto& folder : TRY(object_folders(lab.paths))) TRY(remove_file(folder / file_name(id)));
  tell(id.kind + "/" + (id.ns.empty() ? "" : id.ns + "/") + id.name + (there ? " deleted" : " is not there"));
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
      TRY(remove_object(lab, object.id, tell));
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
