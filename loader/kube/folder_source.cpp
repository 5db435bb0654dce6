#include "loader/kube/folder_source.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <functional>

#include "loader/kube/manifest.hpp"

namespace sluice::loader::kube {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kEvents =
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

bool is_manifest(const std::string& name) {
  const std::string extension = fs::path(name).extension();
  return !name.starts_with('.') && (extension == ".yaml" || extension == ".yml" || extension == ".json");
}

}  // namespace

Result<std::unique_ptr<FolderSource>> FolderSource::open(const fs::path& folder) {
  Fd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (inotify.get() < 0) return fail(errno, "watch " + folder.string());
  std::unique_ptr<FolderSource> source(new FolderSource(folder, std::move(inotify)));
  TRY(source->watch());
  return source;
}

Result<void> FolderSource::watch() {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return fail(error.value(), "make " + folder_.string());
  if (inotify_add_watch(inotify_.get(), folder_.c_str(), kEvents) < 0) return fail(errno, "watch " + folder_.string());
  complete_ = false;
  return {};
}

Result<std::set<std::string>> FolderSource::all_files() const {
  std::set<std::string> names;
  std::error_code error;
  for (auto entry = fs::directory_iterator(folder_, error); !error && entry != fs::directory_iterator();
       entry.increment(error))
    if (const std::string name = entry->path().filename(); is_manifest(name)) names.insert(name);
  if (error) return fail(error.value(), "read folder " + folder_.string());
  for (const auto& [name, file] : files_) names.insert(name);  // those that are gone
  return names;
}

/// Events that were lost (the queue is bounded) and a folder that was taken away are answered by looking at everything.
Result<std::set<std::string>> FolderSource::changed_files() {
  std::set<std::string> names;
  bool gone = false;
  alignas(inotify_event) std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t size = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno != EAGAIN) return fail(errno, "read the events of " + folder_.string());
    if (size <= 0) break;
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += static_cast<ssize_t>(sizeof(inotify_event)) + event->len;
      if ((event->mask & IN_Q_OVERFLOW) != 0) complete_ = false;
      if ((event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) gone = true;
      if (event->len > 0 && is_manifest(event->name)) names.insert(event->name);
    }
  }
  if (gone) TRY(watch());
  if (complete_) return names;
  names = TRY(all_files());
  complete_ = true;
  return names;
}

void FolderSource::read(const std::string& name, Batch& batch, std::set<ObjectId>& touched) {
  auto objects = read_manifest(folder_ / name);
  const bool gone = objects.failed_with(ENOENT);
  if (!objects && !gone) {
    batch.problems.push_back(objects.error().message +
                             (files_.contains(name) ? "; its last good version stays in force" : ""));
    return;
  }
  for (const auto& [id, entry] : files_[name]) {
    touched.insert(id);
    where_[id].erase(name);
  }
  files_.erase(name);
  if (gone) return;
  File& file = files_[name];
  for (Object& object : *objects) {
    if (std::holds_alternative<std::monostate>(object.body)) continue;
    for (const std::string& warning : object.warnings)
      batch.problems.push_back(name + ": " + object.id.text() + ": " + warning);
    const ObjectId id = object.id;
    const std::size_t hash = std::hash<std::string>()(object.json);
    object.json = {};
    if (file.contains(id))
      batch.problems.push_back(name + ": " + id.text() + " stands there twice: the last one counts");
    touched.insert(id);
    where_[id].insert(name);
    if (*where_[id].begin() != name || where_[id].size() > 1)
      batch.problems.push_back(name + ": " + id.text() + " stands in " + *where_[id].begin() + " and " +
                               *where_[id].rbegin() + ": the first one counts");
    file[id] = {std::make_shared<const Object>(std::move(object)), hash};
  }
}

void FolderSource::announce(const std::set<ObjectId>& touched, Batch& batch) {
  for (const ObjectId& id : touched) {
    const auto& files = where_[id];
    if (files.empty()) {
      where_.erase(id);
      if (announced_.erase(id) > 0) batch.changes.push_back({id, nullptr});
      continue;
    }
    const Entry& entry = files_[*files.begin()][id];
    const auto known = announced_.find(id);
    if (known != announced_.end() && known->second == entry.hash) continue;
    announced_[id] = entry.hash;
    batch.changes.push_back({id, entry.object});
  }
}

Result<Batch> FolderSource::take() {
  Batch batch;
  std::set<ObjectId> touched;
  for (const std::string& name : TRY(changed_files())) read(name, batch, touched);
  announce(touched, batch);
  return batch;
}

}  // namespace sluice::loader::kube
