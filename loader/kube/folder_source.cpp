#include "loader/kube/folder_source.hpp"

#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <tuple>

#include "loader/kube/manifest.hpp"

namespace sluice::loader::kube {

namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kFileEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
constexpr std::uint32_t kFolderEvents = IN_CREATE | IN_MOVED_TO;
constexpr std::uint32_t kOwnEvents = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

/// A file may change again without a sign of it in its time stamp, whose clock ticks every few milliseconds.
constexpr std::int64_t kFreshNs = 100'000'000;

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

bool is_fresh(std::int64_t changed_ns) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return std::abs(nanoseconds(now) - changed_ns) < kFreshNs;
}

/// What the text says; one object twice is an error, and the first counts.
Manifest parse_once(const std::string& text) {
  auto manifest = parse_documents(text, Keep::kUsed);
  std::set<ObjectId> seen;
  std::erase_if(manifest.objects, [&](const Object& object) {
    if (seen.insert(object.id).second) return false;
    manifest.errors.push_back(object.id.text() + " stands in the file twice");
    return true;
  });
  return manifest;
}

bool is_manifest(const std::string& name) {
  if (name.empty() || name.front() == '.') return false;
  return name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json");
}

}  // namespace

/// What was in force before a batch, of each object that it touches.
class FolderSource::Touched {
 public:
  explicit Touched(FolderSource& source) : source_(source) {}

  void add(const ObjectId& id) {
    if (const auto at = before_.lower_bound(id); at == before_.end() || at->first != id) {
      before_.emplace_hint(at, id, source_.in_force(id));
    }
  }

  void problems() { batch_.problems_changed = true; }

  Batch end() {
    for (const auto& [id, before] : before_) {
      note_contest(id);
      auto now = source_.in_force(id);
      if (now == before) continue;
      if (has_warnings(now) || has_warnings(before)) problems();
      if (now == nullptr) {
        batch_.changes.push_back({id, nullptr});
      } else if (before == nullptr || *before != *now) {
        batch_.changes.push_back({id, std::move(now)});
      }
    }
    return std::move(batch_);
  }

 private:
  static bool has_warnings(const ObjectPtr& object) { return object != nullptr && !object->warnings.empty(); }

  void note_contest(const ObjectId& id) {
    const std::string first;
    const auto claim = source_.claims_.lower_bound({&id, &first, nullptr});
    const auto second = claim == source_.claims_.end() ? claim : std::next(claim);
    const bool contested = second != source_.claims_.end() && *second->id == id;
    // Who contests may have changed, too.
    if (contested || source_.contested_.contains(id)) problems();
    if (contested) {
      source_.contested_.insert(id);
    } else {
      source_.contested_.erase(id);
    }
  }

  FolderSource& source_;
  Batch batch_;
  std::map<ObjectId, ObjectPtr> before_;
};

bool FolderSource::Claim::operator<(const Claim& other) const {
  return std::tie(*id, *file) < std::tie(*other.id, *other.file);
}

Result<std::unique_ptr<FolderSource>> FolderSource::open(fs::path folder, fs::path last_good) {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) return fail(errno, "watch " + folder.string());
  folder = fs::absolute(folder).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();  // "objects/"
  std::unique_ptr<FolderSource> source(new FolderSource(std::move(folder), std::move(last_good), Fd(fd)));
  TRY(source->watch());
  return source;
}

Result<Batch> FolderSource::take() {
  const auto names = TRY(changed_files());
  if (!watch_is_right()) TRY(watch());
  Touched touched(*this);
  if (scan_) {
    TRY(scan(touched));
  } else {
    for (const auto& name : names) read(name, true, touched);
  }
  return touched.end();
}

std::vector<Problem> FolderSource::problems() const {
  std::vector<Problem> all;
  for (const auto& [name, file] : files_) {
    for (const auto& object : file.objects) {
      for (const auto& warning : object->warnings) all.push_back({name, object->id.text() + ": " + warning});
    }
    for (const auto& error : file.errors) {
      const bool older = file.good && !file.objects.empty();
      all.push_back({name, error + (older ? "; the file's last good version stays in force" : "")});
    }
  }
  for (const auto& id : contested_) {
    const std::string first;
    auto claim = claims_.lower_bound({&id, &first, nullptr});
    const auto& winner = *claim->file;
    for (++claim; claim != claims_.end() && *claim->id == id; ++claim) {
      all.push_back({*claim->file, id.text() + " stands in " + winner + " too, and that one is in force"});
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

/// Watches the folder, or the deepest one above it that is there. Sets `scan_`.
Result<void> FolderSource::watch() {
  if (watch_ >= 0) ::inotify_rm_watch(inotify_.get(), watch_);
  watch_ = -1;
  scan_ = true;
  fs::path path = folder_;
  for (;;) {
    const auto events = (path == folder_ ? kFileEvents : kFolderEvents) | kOwnEvents;
    watch_ = ::inotify_add_watch(inotify_.get(), path.c_str(), events);
    if (watch_ < 0 && errno != ENOENT && errno != ENOTDIR) return fail(errno, "watch " + path.string());
    struct stat status {};
    if (watch_ >= 0 && ::stat(path.c_str(), &status) == 0) {
      watched_ = path;
      watched_stamp_ = Stamp{status.st_dev, status.st_ino, 0, 0};
      if (!next_is_there()) return {};
      // It came after it was looked for and before this watch.
      ::inotify_rm_watch(inotify_.get(), watch_);
      path = folder_;
    } else if (watch_ < 0) {
      path = path.parent_path();
    }
  }
}

/// Whether what is watched is still what would be watched now.
bool FolderSource::watch_is_right() const {
  if (watch_ < 0) return false;
  struct stat status {};
  if (::stat(watched_.c_str(), &status) != 0) return false;
  if (watched_stamp_ != Stamp{status.st_dev, status.st_ino, 0, 0}) return false;
  return !next_is_there();
}

/// Whether the next folder on the way from the one that is watched to the source's is there.
bool FolderSource::next_is_there() const {
  if (watched_ == folder_) return false;
  std::error_code error;
  return fs::is_directory(watched_ / *folder_.lexically_relative(watched_).begin(), error);
}

/// The manifests that events name. Sets `scan_` where events were lost or the folder is another.
Result<std::set<std::string>> FolderSource::changed_files() {
  std::set<std::string> names;
  alignas(inotify_event) std::array<char, 65536> buffer{};
  for (;;) {
    const auto length = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (length < 0 && errno == EINTR) continue;
    if (length < 0 && errno == EAGAIN) return names;
    if (length < 0) {
      scan_ = true;
      return fail(errno, "watch " + folder_.string());
    }
    for (ssize_t at = 0; at < length;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* const name = buffer.data() + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) scan_ = true;
      if (event.wd != watch_) continue;  // of a folder that is watched no more
      if ((event.mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)) != 0) {
        scan_ = true;
        watched_stamp_.reset();  // whatever is at the path now, it has to be watched anew
      }
      if ((event.mask & kFileEvents) != 0 && watched_ == folder_ && event.len > 0 && is_manifest(name)) {
        names.insert(name);
      }
    }
  }
}

/// Reads what is in the folder and differs from what was read.
Result<void> FolderSource::scan(Touched& touched) {
  std::set<std::string> present;
  if (watched_ == folder_) {
    std::error_code error;
    for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
      if (auto name = at->path().filename().string(); is_manifest(name)) present.insert(std::move(name));
    }
    if (error && error != std::errc::no_such_file_or_directory) return fail(error.value(), "read " + folder_.string());
  }
  scan_ = false;
  for (auto file = files_.begin(); file != files_.end();) {
    const auto next = std::next(file);
    if (!present.contains(file->first)) forget(file, touched);
    file = next;
  }
  for (const auto& name : present) read(name, false, touched);
  return {};
}

void FolderSource::read(const std::string& name, bool even_if_same, Touched& touched) {
  const auto path = folder_ / name;
  struct stat status {};
  const bool there = ::stat(path.c_str(), &status) == 0;
  auto file = files_.find(name);
  if (!there && errno == ENOENT) {
    if (file != files_.end()) forget(file, touched);
    return;
  }
  const Stamp stamp{status.st_dev, status.st_ino, status.st_size, nanoseconds(status.st_mtim)};
  if (there && !even_if_same && file != files_.end() && file->second.stamp == stamp) return;
  if (file == files_.end()) file = files_.try_emplace(name).first;

  auto text = read_text(path);
  auto manifest = text ? parse_once(*text) : Manifest{{}, {text.error().message}};
  file->second.stamp = there && !is_fresh(stamp.changed_ns) ? std::optional(stamp) : std::nullopt;
  if (manifest.errors.empty()) {
    last_good_.note(name, *std::move(text));
    file->second.good = true;
    replace(file, std::move(manifest.objects), touched);
  } else if (!file->second.good) {
    const auto kept = last_good_.text(name);
    auto former = kept ? parse_once(*kept) : Manifest{};
    file->second.good = kept && former.errors.empty();
    replace(file, std::move(file->second.good ? former : manifest).objects, touched);
  }
  if (file->second.errors != manifest.errors) touched.problems();
  file->second.errors = std::move(manifest.errors);
}

void FolderSource::write_down() {
  std::set<std::string> present;
  for (const auto& [name, file] : files_) present.insert(name);
  last_good_.write_down(present);
}

void FolderSource::forget(Files::iterator file, Touched& touched) {
  last_good_.note(file->first, std::nullopt);
  if (!file->second.errors.empty()) touched.problems();
  replace(file, {}, touched);
  files_.erase(file);
}

/// Puts `objects` in place of those that the file had. One that is equal stays the very same.
void FolderSource::replace(Files::iterator file, std::vector<Object> objects, Touched& touched) {
  std::set<Claim> fresh;
  std::vector<ObjectPtr> now;
  now.reserve(objects.size());
  for (auto& object : objects) {
    touched.add(object.id);
    const auto old = claims_.find({&object.id, &file->first, nullptr});
    const bool same = old != claims_.end() && *old->object == object;
    auto pointer = same ? old->object : std::make_shared<const Object>(std::move(object));
    fresh.insert({&pointer->id, &file->first, pointer});
    now.push_back(std::move(pointer));
  }
  for (const auto& object : file->second.objects) {
    touched.add(object->id);
    claims_.erase({&object->id, &file->first, nullptr});
  }
  claims_.merge(fresh);
  file->second.objects = std::move(now);
}

/// Null: no file has it.
ObjectPtr FolderSource::in_force(const ObjectId& id) const {
  const std::string first;
  const auto claim = claims_.lower_bound({&id, &first, nullptr});
  return claim != claims_.end() && *claim->id == id ? claim->object : nullptr;
}

}  // namespace sluice::loader::kube
