// The watched folder: what files do to it, and what is told of it.
#include <doctest/doctest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "loader/kube/folder_source.hpp"

using namespace sluice;
using namespace sluice::loader::kube;

namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  Folder() {
    char name[] = "/tmp/sluice-source-XXXXXX";
    path = fs::path(mkdtemp(name)) / "objects";
  }
  ~Folder() { fs::remove_all(path.parent_path()); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path / name) << text; }
};

std::string space(const std::string& name, const std::string& label = "a") {
  return "{apiVersion: v1, kind: Namespace, metadata: {name: " + name + ", labels: {l: " + label + "}}}\n";
}

/// "+ns a" for one that is there or changed, "-ns a" for one that is gone, each ended by a blank.
std::string words(const Batch& batch) {
  std::string text;
  for (const Change& change : batch.changes)
    text += (change.object ? "+" : "-") + change.id.name +
            (change.object ? "=" + change.object->labels.at("l") : std::string()) + " ";
  return text;
}

struct Watched : Folder {
  std::unique_ptr<FolderSource> source;
  Watched() {
    auto opened = FolderSource::open(path);
    REQUIRE_MESSAGE(opened, opened.error().message);
    source = std::move(*opened);
  }
  Batch take() const {
    auto batch = source->take();
    REQUIRE_MESSAGE(batch, batch.error().message);
    return *batch;
  }
  [[nodiscard]] bool readable() const {
    pollfd poll_fd{source->fd(), POLLIN, 0};
    return poll(&poll_fd, 1, 0) == 1;
  }
};

}  // namespace

TEST_CASE("a folder gives all of its objects first, and then what changes") {
  Watched folder;
  folder.write("a.yaml", space("a") + "---\n" + space("b"));
  folder.write("c.json",
               R"({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "c", "labels": {"l": "a"}}})");
  CHECK(words(folder.take()) == "+a=a +b=a +c=a ");
  CHECK(words(folder.take()).empty());
  CHECK(!folder.readable());
  folder.write("a.yaml", space("a") + "---\n" + space("d"));
  CHECK(folder.readable());
  CHECK(words(folder.take()) == "-b +d=a ");
  fs::remove(folder.path / "c.json");
  CHECK(words(folder.take()) == "-c ");
}

TEST_CASE("what is written half, or beside a file, is not looked at") {
  Watched folder;
  CHECK(words(folder.take()).empty());
  std::ofstream half(folder.path / "a.yaml");
  half << "{apiVersion: v1, kind: Names" << std::flush;
  CHECK(words(folder.take()).empty());
  half << "pace, metadata: {name: a, labels: {l: a}}}";
  half.close();
  CHECK(words(folder.take()) == "+a=a ");
  folder.write(".a.yaml.swp", "}");
  folder.write("README", "}");
  CHECK(folder.take().problems.empty());
  // An editor's way: a new file under another name, renamed over the old one.
  folder.write("a.yaml~", space("a", "z"));
  fs::rename(folder.path / "a.yaml~", folder.path / "a.yaml");
  CHECK(words(folder.take()) == "+a=z ");
  fs::rename(folder.path / "a.yaml", folder.path / "a.off");
  CHECK(words(folder.take()) == "-a ");
}

TEST_CASE("a file that becomes wrong keeps its last good objects in force, and says what is wrong") {
  Watched folder;
  folder.write("a.yaml", space("a"));
  folder.write("b.yaml", space("b"));
  CHECK(words(folder.take()) == "+a=a +b=a ");
  folder.write("a.yaml", "{apiVersion: v1, kind: Namespace, metadata: {name: [1]}}");
  folder.write("b.yaml", space("b", "new"));
  const Batch batch = folder.take();
  CHECK(words(batch) == "+b=new ");
  REQUIRE(batch.problems.size() == 1);
  CHECK(batch.problems[0].find("a.yaml") != std::string::npos);
  CHECK(batch.problems[0].find("metadata.name") != std::string::npos);
  CHECK(batch.problems[0].find("last good version") != std::string::npos);
  folder.write("a.yaml", space("a", "good"));
  CHECK(words(folder.take()) == "+a=good ");
}

TEST_CASE("an object in two files is that of the file whose name sorts first") {
  Watched folder;
  folder.write("b.yaml", space("x", "from-b"));
  CHECK(words(folder.take()) == "+x=from-b ");
  folder.write("a.yaml", space("x", "from-a"));
  const Batch both = folder.take();
  CHECK(words(both) == "+x=from-a ");
  REQUIRE(both.problems.size() == 1);
  CHECK(both.problems[0] == "a.yaml: Namespace x stands in a.yaml and b.yaml: the first one counts");
  fs::remove(folder.path / "a.yaml");
  CHECK(words(folder.take()) == "+x=from-b ");
}

TEST_CASE("what is saved without a change is no change") {
  Watched folder;
  folder.write("a.yaml", space("a"));
  CHECK(words(folder.take()) == "+a=a ");
  folder.write("a.yaml", "# a comment\n" + space("a"));
  CHECK(words(folder.take()).empty());
}

TEST_CASE("a folder that is taken away is made and watched again") {
  Watched folder;
  folder.write("a.yaml", space("a"));
  CHECK(words(folder.take()) == "+a=a ");
  fs::remove_all(folder.path);
  CHECK(words(folder.take()) == "-a ");
  folder.write("b.yaml", space("b"));
  CHECK(words(folder.take()) == "+b=a ");
}
