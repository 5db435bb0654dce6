// ADD that fails or is killed, at whatever step: nothing stays that GC or the next DEL does not clear.
#include <doctest/doctest.h>
#include <sys/mount.h>

#include <csignal>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <set>
#include <thread>

#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

/// A folder that cannot be written as long as this lives.
class ReadOnly {
 public:
  explicit ReadOnly(const std::filesystem::path& folder) : folder_(folder.string()) {
    std::filesystem::create_directories(folder_);
    REQUIRE(mount(folder_.c_str(), folder_.c_str(), nullptr, MS_BIND, nullptr) == 0);
    REQUIRE(mount(nullptr, folder_.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0);
  }
  ReadOnly(const ReadOnly&) = delete;
  ReadOnly& operator=(const ReadOnly&) = delete;
  ~ReadOnly() { umount2(folder_.c_str(), MNT_DETACH); }

 private:
  std::string folder_;
};

/// The ADD of `pod` as a command that a test can start and kill; its configuration is in a file.
e2e::Command add_command(const Container& pod, const std::filesystem::path& config) {
  e2e::Command command{"sh", "-c", "exec \"$0\" \"$@\" <" + config.string()};
  const auto plugin = command_line("sluice-cni", {"ADD", pod.id(), pod.path(), "eth0", "", "/usr/lib/cni"});
  command.insert(command.end(), plugin.begin(), plugin.end());
  return command;
}

}  // namespace

TEST_CASE("an interface name that the pod has already is refused, and the interface stays") {
  const Host host;
  const Container pod;
  REQUIRE(pod.exec({"ip", "link", "add", "eth0", "type", "bridge"}).status == 0);
  const auto refused = host.add(pod);
  CHECK(refused.error() == 4);
  CHECK(refused.object["msg"] == "CNI_IFNAME: the container has an interface eth0");
  CHECK(must(pod.netlink().link("eth0")).kind == "bridge");
  CHECK(host.remains() == "");
  CHECK(host.call("ADD", pod, host.config(), "eth1").good());
}

TEST_CASE("a state folder that cannot be written is an I/O error, and the pod stays as it was") {
  const Host host;
  const Container pod;
  REQUIRE(host.add(pod).good());
  REQUIRE(host.del(pod).good());
  {
    const ReadOnly guard(host.root().state());
    CHECK(host.add(pod).error() == 5);
  }
  {
    const ReadOnly guard(host.root().state() / "ipam");
    CHECK(host.add(pod).error() == 5);
  }
  CHECK(must(pod.netlink().links()).size() == 1);
  CHECK(host.remains() == "");
  CHECK(host.add(pod).good());
}

TEST_CASE("a full endpoints map is an error that names the setting, and nothing is kept") {
  const Host host({"10.88.0.0/24", "fd00:88::/64"}, 64);
  const Container pod;
  REQUIRE(host.add(pod).good());
  // Room for one more: the next pod's IPv4 address still finds its place, its IPv6 address does not.
  for (int i = 0; i < 61; i++) {
    must(host.datapath().put_endpoint(must(Address::parse("10.1.0." + std::to_string(i))), {.ifindex = 1}));
  }
  const auto before = host.remains();
  const Container last;
  const auto refused = host.add(last);
  CHECK(refused.error() == 103);
  CHECK(refused.object["msg"].get<std::string>().find("maps.endpoints in sluice.yaml") != std::string::npos);
  CHECK(host.remains() == before);
  CHECK(must(last.netlink().links()).size() == 1);
  CHECK(host.del(pod).good());
  CHECK(host.add(last).good());
}

TEST_CASE("a node whose programs cannot be loaded attaches nothing") {
  const Host host;
  const Container pod;
  // Where the pins belong lies a file.
  std::filesystem::create_directories(host.root().bpffs().parent_path());
  std::ofstream(host.root().bpffs().string()) << "in the way";
  CHECK(host.add(pod).error() == 103);
  CHECK(must(pod.netlink().links()).size() == 1);
  CHECK(host.remains() == "");
}

TEST_CASE("an address that is at another pod's interface is not taken from it") {
  const Host host;
  const Container one;
  const Container other;
  const auto added = host.add(one);
  REQUIRE(added.good());
  // Its reservation is lost, and the same address asked for.
  std::filesystem::remove_all(host.root().state() / "ipam");
  const auto refused = host.call("ADD", other, host.config({{"runtimeConfig", {{"ips", {"10.88.0.2"}}}}}));
  CHECK(refused.error() == 101);
  CHECK(refused.object["msg"].get<std::string>().find("10.88.0.2 belongs to the pod behind slu") == 0);
  CHECK(must(other.netlink().links()).size() == 1);
  CHECK(must(host.datapath().endpoint(must(Address::parse("10.88.0.2"))))->ifindex ==
        must(host.netlink().link(added.object["interfaces"][0]["name"].get<std::string>())).ifindex);
}

TEST_CASE("a container that goes away under its ADD leaves nothing behind a DEL") {
  const Host host;
  REQUIRE(host.add(Container()).good());
  REQUIRE(host.collect({}).good());
  std::minstd_rand random(11);
  for (int round = 0; round < 30; round++) {
    std::string id, path;
    std::future<Answer> adding;
    {
      const Container pod;
      id = pod.id();
      path = pod.path();
      const Variables variables{"ADD", id, path, "eth0", "", ""};
      adding = std::async(std::launch::async,
                          [&host, variables] { return call("sluice-cni", variables, host.config().dump()); });
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 10000));
    }
    const auto added = adding.get();
    CAPTURE(added.output);
    if (!added.good()) CHECK(added.error() != 0);
    CHECK(call("sluice-cni", {"DEL", id, path, "eth0", "", ""}, host.config().dump()).good());
  }
  CHECK(host.remains() == "");
}

TEST_CASE("200 ADDs killed at random moments leave nothing after GC, and no address is given twice") {
  const Host host({"10.88.0.0/22", "fd00:88::/64"}, 1024);
  const Container loader;
  REQUIRE(host.add(loader).good());
  const auto before = host.remains();
  const auto file = host.root().prefix() / "config";
  const auto folder = (host.root().prefix() / "host-local").string();
  // All of them the same ports: none may stay taken.
  const json ports{{"portMappings", {{{"hostPort", 8080}, {"containerPort", 80}}}}};
  const json configs[] = {
      host.config({{"runtimeConfig", ports}}), host.config({{"attach", "tcx"}}),
      host.config({{"ipam", {{"type", "host-local"}, {"dataDir", folder}, {"subnet", "10.66.0.0/22"}}}})};
  std::minstd_rand random(3);
  std::set<Address> given{loader.netlink().addresses(2).value_or({}).front().address};
  int killed = 0;
  std::deque<Container> pods;
  for (int round = 0; round < 200; round++) {
    const auto& config = configs[round % std::size(configs)];
    std::ofstream(file, std::ios::trunc) << config;
    const auto& pod = pods.emplace_back();
    // How long a whole one takes: the moment of death wanders over all of it.
    const int longest = round % std::size(configs) == 0 ? 12000 : 25000;
    e2e::Process adding(add_command(pod, file));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % static_cast<unsigned>(longest)));
    adding.signal(SIGKILL);
    if (adding.wait() == 128 + SIGKILL) killed++;
    if (round % 20 == 0) {
      // Another pod meanwhile: of what is acknowledged nothing is given again.
      const Container other;
      const auto added = host.add(other);
      REQUIRE_MESSAGE(added.good(), added.output);
      for (const auto& address : added.addresses()) CHECK(given.insert(address).second);
    }
  }
  MESSAGE(killed, " of 200 ADDs were killed before their end");
  CHECK(killed > 50);
  CHECK(host.remains() != before);
  for (const auto& config : {configs[0], configs[2]}) {
    json collect = config;
    collect["cni.dev/valid-attachments"] = {{{"containerID", loader.id()}, {"ifname", "eth0"}}};
    const auto collected = call("sluice-cni", {.command = "GC", .path = "/usr/lib/cni"}, collect.dump());
    CHECK_MESSAGE(collected.good(), collected.output);
  }
  CHECK(host.remains() == before);
  for (const auto& pod : pods) CHECK(must(pod.netlink().links()).size() == 1);
  std::size_t held = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(folder) / "pods", error)) {
    held += entry.path().filename().string().starts_with("10.") ? 1U : 0U;
  }
  CHECK(held == 0);
  // And each of them can be added now.
  CHECK(host.add(pods.front()).good());
}

TEST_CASE("an ADD comes to its end where a killed one has begun") {
  const Host host;
  const Container pod;
  const auto file = host.root().prefix() / "config";
  std::ofstream(file) << host.config();
  REQUIRE(host.add(pod).good());
  REQUIRE(host.del(pod).good());
  for (int delay = 0; delay < 12000; delay += 300) {
    CAPTURE(delay);
    e2e::Process adding(add_command(pod, file));
    std::this_thread::sleep_for(std::chrono::microseconds(delay));
    adding.signal(SIGKILL);
    adding.wait();
    auto added = host.add(pod);
    if (added.error() == 105) {  // the killed one had come to its end
      CHECK(host.del(pod).good());
      added = host.add(pod);
    }
    REQUIRE_MESSAGE(added.good(), added.output);
    CHECK(host.call("CHECK", pod, host.after(added)).output == "");
    CHECK(host.del(pod).good());
    REQUIRE(host.remains() == "");
  }
}
