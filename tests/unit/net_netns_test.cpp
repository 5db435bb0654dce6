// Needs root: each case makes network namespaces of its own.
#include <doctest/doctest.h>
#include <sys/mount.h>

#include <cerrno>
#include <fstream>

#include "loader/net/netlink.hpp"
#include "tests/unit/net_lab.hpp"

using namespace sluice;
using namespace sluice::loader::net;
using namespace sluice::tests;

TEST_SUITE_BEGIN("root");

TEST_CASE("a new network namespace is another one, has its loopback up, and is found by its path") {
  if (!has_root()) return;
  const TemporaryNetns made;
  const auto current = must(Netns::current());
  CHECK_FALSE(made.netns().same_as(current));
  CHECK(made.netns().same_as(must(Netns::open(made.path()))));
  auto netlink = must(Netlink::open_in(made.netns()));
  const auto loopback = must(netlink.link("lo"));
  CHECK(loopback.up);
  CHECK(loopback.ifindex == 1);
}

TEST_CASE("work runs inside a namespace and the thread comes back, also after an error") {
  if (!has_root()) return;
  const TemporaryNetns made;
  const auto home = must(Netns::current());
  bool inside = false;
  must(made.netns().run([&]() -> Result<void> {
    inside = TRY(Netns::current()).same_as(made.netns());
    return {};
  }));
  CHECK(inside);
  CHECK(must(Netns::current()).same_as(home));

  const auto failed = made.netns().run([] { return Result<void>(refuse(ENOTTY, "work failed")); });
  CHECK(failed.failed_with(ENOTTY));
  CHECK(must(Netns::current()).same_as(home));
}

TEST_CASE("a namespace that exists is not made again, and destroying twice is no error") {
  if (!has_root()) return;
  const TemporaryNetns made;
  CHECK(Netns::create(made.path()).failed_with(EEXIST));
  CHECK(Netns::open(made.path()));  // the failed creation did not take it away
  CHECK(Netns::destroy(made.path()));
  CHECK(Netns::destroy(made.path()));
  CHECK(Netns::open(made.path()).failed_with(ENOENT));
}

TEST_CASE("a bare file is not a network namespace, and is removed like one") {
  const auto path = std::filesystem::temp_directory_path() / ("sluice-unit-file-" + std::to_string(getpid()));
  std::ofstream(path) << "left by a reboot";
  CHECK(Netns::open(path).failed_with(EINVAL));
  if (geteuid() == 0) CHECK(Netns::destroy(path));
  std::filesystem::remove(path);
}

TEST_CASE("another kind of namespace is refused") {
  CHECK(Netns::open("/proc/self/ns/uts").failed_with(EINVAL));
  CHECK(Netns::open("/proc/self/ns/net"));
}

TEST_SUITE_END();
