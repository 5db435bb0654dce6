#include "loader/kube/folder_source.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "tests/unit/net_lab.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using sluice::tests::must;

namespace fs = std::filesystem;

namespace {

std::string service(const std::string& name, int port = 80) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec: {clusterIP: 10.96.0.7, ports: [{port: " + std::to_string(port) + "}]}\n";
}

/// A folder of manifests of the test's own, and the source that watches it.
class Watched {
 public:
  explicit Watched(bool make = true) {
    static int count = 0;
    top_ =
        fs::temp_directory_path() / ("sluice-unit-source-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    fs::create_directories(make ? folder() : top_);
    start();
  }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched() { fs::remove_all(top_); }

  /// Another process looks at the same folder.
  void start() { source = must(FolderSource::open(folder(), kept())); }

  [[nodiscard]] fs::path top() const { return top_; }
  [[nodiscard]] fs::path kept() const { return top_ / "kept"; }
  [[nodiscard]] fs::path folder() const { return top_ / "etc" / "objects"; }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder() / name) << text; }
  void rename(const std::string& from, const std::string& to) const { fs::rename(folder() / from, folder() / to); }

  [[nodiscard]] bool wakes() const {
    pollfd wait{source->fd(), POLLIN, 0};
    return ::poll(&wait, 1, 0) == 1;
  }

  /// The next batch in words, sorted: "+a:80" with the port, "-b".
  std::string take() {
    const auto batch = must(source->take());
    problems_changed = batch.problems_changed;
    std::set<std::string> words;
    for (const auto& [id, object] : batch.changes) {
      words.insert(object == nullptr
                       ? "-" + id.name
                       : "+" + id.name + ":" + std::to_string(std::get<Service>(object->body).ports.at(0).port));
    }
    std::string all;
    for (const auto& word : words) all += (all.empty() ? "" : " ") + word;
    return all;
  }

  [[nodiscard]] std::string problems() const {
    std::string all;
    for (const auto& problem : source->problems()) all += problem.place + ": " + problem.message + "\n";
    return all;
  }

  std::unique_ptr<FolderSource> source;
  bool problems_changed = false;

 private:
  fs::path top_;
};

}  // namespace

TEST_CASE("the first batch has all objects of the folder, later ones what a file changes") {
  Watched it;
  it.write("a.yaml", service("a") + service("b"));
  it.write("c.json", R"({"apiVersion":"v1","kind":"Service","metadata":{"name":"c"},"spec":{"ports":[{"port":1}]}})");
  it.write("d.yml", service("d"));
  CHECK(it.take() == "+a:80 +b:80 +c:1 +d:80");
  CHECK_FALSE(it.wakes());
  CHECK(it.take().empty());

  it.write("a.yaml", service("b", 81) + service("e"));
  CHECK(it.wakes());
  CHECK(it.take() == "+b:81 +e:80 -a");
  it.write("a.yaml", service("b", 81) + "# the same\n" + service("e"));
  CHECK(it.take().empty());
  fs::remove(it.folder() / "a.yaml");
  CHECK(it.take() == "-b -e");
  CHECK(it.problems().empty());
}

TEST_CASE("only manifests count, and of them only kinds that Sluice uses, without their JSON") {
  Watched it;
  for (const char* name : {".a.yaml", "a.yaml~", "a.yaml.swp", "notes.txt", "4913"}) it.write(name, service("a"));
  it.write("b.yaml", service("b") + "---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: m}\n");
  const auto batch = must(it.source->take());
  REQUIRE(batch.changes.size() == 1);
  CHECK(batch.changes[0].id.text() == "Service default/b");
  CHECK(batch.changes[0].object->json.empty());
  it.write(".a.yaml", "kind: [");
  CHECK(it.take().empty());
  CHECK_FALSE(it.problems_changed);
}

TEST_CASE("a file that is being written counts when it is closed") {
  Watched it;
  CHECK(it.take().empty());
  std::ofstream file(it.folder() / "a.yaml");
  file << service("a") << "---\nkind: Ser" << std::flush;
  CHECK_FALSE(it.wakes());
  CHECK(it.take().empty());
  file << "vice\napiVersion: v1\nmetadata: {name: b}\nspec: {ports: [{port: 2}]}\n";
  file.close();
  CHECK(it.take() == "+a:80 +b:2");
}

TEST_CASE("editors save by renaming: one change, nothing is gone between") {
  Watched it;
  it.write("a.yaml", service("a"));
  CHECK(it.take() == "+a:80");
  SUBCASE("a temporary file takes the name") {
    it.write(".a.yaml.new", service("a", 81));
    it.rename(".a.yaml.new", "a.yaml");
  }
  SUBCASE("the old file becomes the backup first") {
    it.rename("a.yaml", "a.yaml~");
    it.write("a.yaml", service("a", 81));
  }
  CHECK(it.take() == "+a:81");
  it.rename("a.yaml", "a.off");
  CHECK(it.take() == "-a");
  it.rename("a.off", "z.yaml");
  CHECK(it.take() == "+a:81");
  it.rename("z.yaml", "y.yaml");
  CHECK(it.take().empty());
}

TEST_CASE("a broken new version keeps the file's last good objects in force and is reported until it is good") {
  const struct {
    const char* name;
    std::string text;
    const char* want;
  } rows[] = {
      {"a wrong field", service("a", 81) + service("b", 0),
       "a.yaml: document 2: Service default/b: spec.ports[0].port: must be "},
      {"not YAML", service("a", 81) + "---\nkind: [Service\n", "a.yaml: document 2: line "},
      {"the same object twice", service("a", 81) + service("a", 82),
       "a.yaml: Service default/a stands in the file twice"},
      {"not UTF-8", service("a", 81) + "# \xff\n", "a.yaml: document 1: line 6: "},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    Watched it;
    it.write("a.yaml", service("a") + service("b"));
    it.write("other.yaml", service("c"));
    CHECK(it.take() == "+a:80 +b:80 +c:80");
    it.write("a.yaml", row.text);
    it.write("other.yaml", service("c", 90));
    CHECK(it.take() == "+c:90");
    CHECK(it.problems_changed);
    CHECK_MESSAGE(it.problems().starts_with(row.want), it.problems());
    CHECK(it.problems().find("; the file's last good version stays in force\n") != std::string::npos);
    it.write("a.yaml", service("a", 82));
    CHECK(it.take() == "+a:82 -b");
    CHECK(it.problems_changed);
    CHECK(it.problems().empty());
  }
}

TEST_CASE("the last good version outlives the process, and what is kept of a file goes with it") {
  const std::string broken = service("a", 81) + "---\nkind: [Service\n";
  Watched it;
  it.write("a.yaml", service("a") + service("b"));
  it.write("gone.yaml", service("c"));
  CHECK(it.take() == "+a:80 +b:80 +c:80");
  it.source->write_down();
  it.write("a.yaml", broken);
  fs::remove(it.folder() / "gone.yaml");
  it.start();
  CHECK(it.take() == "+a:80 +b:80");
  CHECK(it.problems().find("; the file's last good version stays in force\n") != std::string::npos);
  it.source->write_down();
  CHECK(!fs::exists(it.kept() / "gone.yaml"));
  // Again, and after a good version that was not kept yet.
  it.start();
  CHECK(it.take() == "+a:80 +b:80");
  it.write("a.yaml", service("a", 82));
  CHECK(it.take() == "+a:82 -b");
  it.source->write_down();
  it.write("a.yaml", broken);
  it.start();
  CHECK(it.take() == "+a:82");
  // A torn copy is none.
  fs::resize_file(it.kept() / "a.yaml", fs::file_size(it.kept() / "a.yaml") - 1);
  it.start();
  CHECK(it.take() == "+a:81");
  fs::remove(it.folder() / "a.yaml");
  CHECK(it.take() == "-a");
  it.source->write_down();
  CHECK(fs::is_empty(it.kept()));
}

TEST_CASE("good versions that are very long are not held in memory until they are written down") {
  Watched it;
  const std::string filler(700'000, '#');
  it.write("a.yaml", service("a") + filler);
  CHECK(it.take() == "+a:80");
  CHECK(!fs::exists(it.kept() / "a.yaml"));
  it.write("b.yaml", service("b") + filler);
  CHECK(it.take() == "+b:80");
  CHECK(fs::exists(it.kept() / "a.yaml"));
  CHECK(fs::exists(it.kept() / "b.yaml"));
  // One that is kept already is not written again, neither then nor later.
  fs::resize_file(it.kept() / "a.yaml", fs::file_size(it.kept() / "a.yaml") - 1);
  const auto before = fs::last_write_time(it.kept() / "b.yaml");
  it.start();
  CHECK(it.take() == "+a:80 +b:80");
  it.source->write_down();
  CHECK(fs::file_size(it.kept() / "a.yaml") > filler.size());
  CHECK(fs::last_write_time(it.kept() / "b.yaml") == before);
}

TEST_CASE("of a new file with an error the good objects count, and removal of the file ends the report") {
  Watched it;
  it.write("a.yaml", service("a") + service("b", 70000) + service("c"));
  CHECK(it.take() == "+a:80 +c:80");
  CHECK(it.problems().starts_with("a.yaml: document 2: Service default/b: spec.ports[0].port: "));
  it.write("a.yaml", service("a", 81) + service("b", 70000));
  CHECK(it.take() == "+a:81 -c");
  fs::remove(it.folder() / "a.yaml");
  CHECK(it.take() == "-a");
  CHECK(it.problems_changed);
  CHECK(it.problems().empty());
}

TEST_CASE("of an object in two files the one in the file with the first name is in force, whichever came first") {
  Watched it;
  it.write("b.yaml", service("x", 2));
  CHECK(it.take() == "+x:2");
  it.write("a.yaml", service("x", 1));
  CHECK(it.take() == "+x:1");
  const std::string want = "b.yaml: Service default/x stands in a.yaml too, and that one is in force\n";
  CHECK(it.problems_changed);
  CHECK(it.problems() == want);
  it.write("b.yaml", service("x", 3));
  CHECK(it.take().empty());
  CHECK(it.problems() == want);
  fs::remove(it.folder() / "a.yaml");
  CHECK(it.take() == "+x:3");
  CHECK(it.problems_changed);
  CHECK(it.problems().empty());

  // Moved from one file to the other in one batch, it never goes.
  it.write("a.yaml", service("x", 3));
  fs::remove(it.folder() / "b.yaml");
  CHECK(it.take().empty());
}

TEST_CASE("events that the kernel had no room for are made up for by a scan") {
  Watched it;
  it.write("gone.yaml", service("gone"));
  it.write("same.yaml", service("same"));
  CHECK(it.take() == "+gone:80 +same:80");
  int limit = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> limit;
  REQUIRE(limit > 0);
  // Equal events in a row are one, so two names take turns.
  for (int i = 0; i <= limit / 2; ++i) {
    it.write("x.txt", "");
    it.write("y.txt", "");
  }
  it.write("new.yaml", service("new"));
  fs::remove(it.folder() / "gone.yaml");
  CHECK(it.take() == "+new:80 -gone");
  it.write("later.yaml", service("later"));
  CHECK(it.take() == "+later:80");
}

TEST_CASE("the folder may come later, level by level, go, and come again") {
  Watched it(false);
  CHECK(it.take().empty());
  fs::create_directory(it.top() / "etc");
  CHECK(it.wakes());
  CHECK(it.take().empty());
  fs::create_directory(it.folder());
  it.write("a.yaml", service("a"));
  CHECK(it.wakes());
  CHECK(it.take() == "+a:80");
  it.write("b.yaml", service("b"));
  CHECK(it.take() == "+b:80");

  SUBCASE("removed") { fs::remove_all(it.top() / "etc"); }
  SUBCASE("moved away") { fs::rename(it.folder(), it.top() / "old"); }
  CHECK(it.wakes());
  CHECK(it.take() == "-a -b");
  fs::create_directories(it.folder());
  CHECK(it.wakes());
  it.write("b.yaml", service("b", 81));
  CHECK(it.take() == "+b:81");
  it.write("b.yaml", service("b", 82));
  CHECK(it.wakes());
  CHECK(it.take() == "+b:82");
}

TEST_CASE("another folder in the folder's place gives the difference alone") {
  Watched it;
  it.write("a.yaml", service("a"));
  it.write("b.yaml", service("b"));
  CHECK(it.take() == "+a:80 +b:80");
  const auto fresh = it.top() / "etc" / "fresh";
  fs::create_directory(fresh);
  std::ofstream(fresh / "a.yaml") << service("a", 81);
  std::ofstream(fresh / "b.yaml") << service("b");
  fs::rename(it.folder(), it.top() / "etc" / "old");
  fs::rename(fresh, it.folder());
  CHECK(it.take() == "+a:81");
}

TEST_CASE("a file that cannot be read is reported and its objects stay") {
  Watched it;
  it.write("a.yaml", service("a"));
  CHECK(it.take() == "+a:80");
  fs::create_directory(it.folder() / "new");
  fs::remove(it.folder() / "a.yaml");
  fs::rename(it.folder() / "new", it.folder() / "a.yaml");
  CHECK(it.take().empty());
  CHECK(it.problems().find("a.yaml: read ") == 0);
  CHECK(it.problems().find("Is a directory; the file's last good version stays in force") != std::string::npos);
}

TEST_CASE("what of an object cannot be done as it says is a problem as long as it says so") {
  Watched it;
  const std::string policy =
      "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\nmetadata: {name: p}\n"
      "spec: {tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Accept, to: [";
  it.write("a.yaml", policy + "{planets: {}}]}]}");
  CHECK(must(it.source->take()).problems_changed);
  CHECK_MESSAGE(it.problems().starts_with("a.yaml: ClusterNetworkPolicy p: spec.egress[0].to[0]: "), it.problems());
  it.write("a.yaml", policy + "{namespaces: {}}]}]}");
  CHECK(must(it.source->take()).problems_changed);
  CHECK(it.problems().empty());
}
