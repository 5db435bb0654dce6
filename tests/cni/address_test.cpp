// Which addresses pods are given, by Sluice itself and by the plugins that it delegates to.
#include <doctest/doctest.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <filesystem>
#include <future>
#include <set>

#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

Address address(const std::string& text) { return must(Address::parse(text)); }

json host_local(const Host& host) {
  return {{"ipam",
           {{"type", "host-local"},
            {"dataDir", (host.root().prefix() / "host-local").string()},
            {"ranges", {{{{"subnet", "10.66.0.0/28"}}}, {{{"subnet", "fd00:66::/64"}}}}},
            {"routes", {{{"dst", "0.0.0.0/0"}}, {{"dst", "::/0"}}}}}}};
}

/// Addresses that host-local has given away; its lock and cursors are no addresses.
std::size_t host_local_addresses(const Host& host) {
  std::size_t count = 0;
  std::error_code error;
  for (const auto& file : std::filesystem::directory_iterator(host.root().prefix() / "host-local/pods", error)) {
    const auto name = file.path().filename().string();
    if (name != "lock" && !name.starts_with("last_reserved_ip")) count++;
  }
  return count;
}

/// The kernel takes packets to each of the addresses for the pod's own.
bool answers_for(const Container& pod, const std::vector<Address>& addresses) {
  auto netlink = pod.netlink();
  const auto local = must(netlink.routes(must(netlink.link("eth0")).ifindex, RT_TABLE_LOCAL));
  return std::all_of(addresses.begin(), addresses.end(), [&](const Address& address) {
    return std::any_of(local.begin(), local.end(),
                       [&](const auto& route) { return route.destination == Prefix::host(address); });
  });
}

}  // namespace

TEST_CASE("a pod has an address of each family that the node has blocks of") {
  const struct {
    std::vector<std::string> blocks;
    std::vector<Address> want;
  } rows[] = {
      {{"10.88.0.0/24", "fd00:88::/64"}, {address("10.88.0.2"), address("fd00:88::2")}},
      {{"fd00:88::/64", "10.88.0.0/24"}, {address("10.88.0.2"), address("fd00:88::2")}},
      {{"10.88.0.0/24"}, {address("10.88.0.2")}},
      {{"fd00:88::/64"}, {address("fd00:88::2")}},
      {{"10.88.0.7/32", "fd00:88::7/128"}, {address("10.88.0.7"), address("fd00:88::7")}},
  };
  for (const auto& row : rows) {
    CAPTURE(row.blocks.front());
    const Host host(row.blocks);
    const Container pod;
    const auto added = host.add(pod);
    REQUIRE_MESSAGE(added.good(), added.output);
    CHECK(added.addresses() == row.want);
    for (const auto& given : added.addresses()) CHECK(e2e::run({"ping", "-c1", "-W2", given.text()}).status == 0);
    CHECK(host.del(pod).good());
    CHECK(host.remains() == "");
  }
}

TEST_CASE("no block at all is an error that names the key") {
  const Host host(std::vector<std::string>{});
  const Container pod;
  const auto refused = host.add(pod);
  CHECK(refused.error() == 7);
  CHECK(refused.object["msg"] == "podCIDRs: is neither in the network configuration nor in sluice.yaml");
  CHECK(host.remains() == "");
}

TEST_CASE("blocks that are used up are a clear error, and of no family anything is kept") {
  const Host host({"10.88.0.0/30", "fd00:88::/64"});
  const Container one;
  const Container other;
  REQUIRE(host.add(one).good());
  const auto before = host.remains();
  const auto refused = host.add(other);
  CHECK(refused.error() == 100);
  CHECK(refused.object["msg"] == "no address is free in 10.88.0.0/30: all 1 that pods can have are in use");
  CHECK(host.remains() == before);
  CHECK(host.del(one).good());
  CHECK(host.add(other).addresses().front() == address("10.88.0.2"));
}

TEST_CASE("a second block of a family takes over when the first is used up") {
  const Host host({"10.88.0.0/31", "10.89.0.0/31"});
  std::set<Address> given;
  const Container pods[4];
  for (const auto& pod : pods) given.insert(host.add(pod).addresses().front());
  CHECK(given == std::set{address("10.88.0.0"), address("10.88.0.1"), address("10.89.0.0"), address("10.89.0.1")});
}

TEST_CASE("an address can be asked for by capability, by args and by CNI_ARGS") {
  const Host host;
  const Container pod;
  const json by_capability{{"runtimeConfig", {{"ips", {"10.88.0.50"}}}}};
  const json by_args{{"args", {{"cni", {{"ips", {"10.88.0.60/24", "fd00:88::60"}}}}}}};
  json both = by_capability;
  both.update(by_args);
  const std::string cni_args = "IgnoreUnknown=1;IP=10.88.0.70,fd00:88::70";
  const struct {
    std::string name;
    json extra;
    std::string args;
    Address v4;
    Address v6;
  } rows[] = {
      {"capability", by_capability, "", address("10.88.0.50"), address("fd00:88::2")},
      {"args", by_args, "", address("10.88.0.60"), address("fd00:88::60")},
      {"CNI_ARGS", json::object(), cni_args, address("10.88.0.70"), address("fd00:88::70")},
      {"the capability counts", both, cni_args, address("10.88.0.50"), address("fd00:88::3")},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const auto added = host.call("ADD", pod, host.config(row.extra), "eth0", row.args);
    REQUIRE_MESSAGE(added.good(), added.output);
    CHECK(added.addresses() == std::vector{row.v4, row.v6});
    CHECK(host.del(pod).good());
  }
}

TEST_CASE("an address that another pod has is not given, and the message names the pod") {
  const Host host;
  const Container one;
  const Container other;
  REQUIRE(host.add(one).good());
  const auto before = host.remains();
  const auto refused = host.call("ADD", other, host.config({{"runtimeConfig", {{"ips", {"fd00:88::2"}}}}}));
  CHECK(refused.error() == 101);
  CHECK(refused.object["msg"].get<std::string>().find("fd00:88::2 belongs to pods/" + one.id()) != std::string::npos);
  CHECK(host.remains() == before);
}

TEST_CASE("50 ADDs at a time give 50 different addresses of each family") {
  const Host host;
  const std::vector<Container> pods(50);
  std::vector<std::future<Answer>> running;
  for (const auto& pod : pods) {
    running.push_back(std::async(std::launch::async, [&] {
      auto added = host.add(pod);
      CHECK(answers_for(pod, added.addresses()));
      return added;
    }));
  }
  std::set<Address> given;
  for (auto& one : running) {
    const auto added = one.get();
    REQUIRE_MESSAGE(added.good(), added.output);
    for (const auto& address : added.addresses()) given.insert(address);
  }
  CHECK(given.size() == 100);
  CHECK(host.datapath().endpoints().value_or({}).size() == 100);
  CHECK(pods.front().reaches(*given.rbegin()));
  running.clear();
  for (const auto& pod : pods) running.push_back(std::async(std::launch::async, [&] { return host.del(pod); }));
  for (auto& one : running) CHECK(one.get().good());
  CHECK(host.remains() == "");
}

TEST_CASE("after a reboot no address is given that a pod from before still owns") {
  const Host host({"10.88.0.0/29"});
  const Container before;
  const auto first = host.add(before);
  REQUIRE(first.good());
  // What a reboot takes: interfaces, pins, the run folder. The state folder stays.
  must(before.netlink().delete_link("eth0"));
  e2e::run({"umount", host.root().bpffs().string()});
  std::filesystem::remove_all(host.root().run());

  const Container pods[4];
  std::set<Address> given{first.addresses().front()};
  for (const auto& pod : pods) {
    const auto added = host.add(pod);
    REQUIRE_MESSAGE(added.good(), added.output);
    given.insert(added.addresses().front());
  }
  CHECK(given.size() == 5);
  const Container last;
  CHECK(host.add(last).error() == 100);
  // kubelet deletes the sandboxes of before: their addresses are free then.
  CHECK(host.del(before).good());
  CHECK(host.add(last).addresses() == first.addresses());
}

TEST_CASE("host-local gives the addresses where the configuration delegates to it") {
  for (const std::string version : {"0.4.0", "1.0.0", "1.1.0"}) {
    CAPTURE(version);
    const Host host;
    const Container pod;
    json config = host.config(host_local(host));
    config["cniVersion"] = version;
    const auto added = host.call("ADD", pod, config);
    REQUIRE_MESSAGE(added.good(), added.output);
    CHECK(added.addresses() == std::vector{address("10.66.0.2"), address("fd00:66::2")});
    CHECK(host_local_addresses(host) == 2);
    for (const auto& given : added.addresses()) CHECK(e2e::run({"ping", "-c1", "-W2", given.text()}).status == 0);
    config["prevResult"] = added.object;
    CHECK(host.call("CHECK", pod, config).output == "");
    std::filesystem::remove(host.root().prefix() / "host-local/pods/10.66.0.2");
    CHECK(host.call("CHECK", pod, config).error(version) == 0);  // host-local keeps the other family: no error
    CHECK(host.call("DEL", pod, config).good());
    CHECK(host.call("DEL", pod, config).good());
    CHECK(host_local_addresses(host) == 0);
    CHECK(host.remains() == "");
  }
}

TEST_CASE("a delegate that has no address left says so in its own words, and nothing is kept") {
  const Host host;
  json config = host.config(host_local(host));
  config["ipam"]["ranges"] = {{{{"subnet", "10.66.0.0/30"}}}};
  const Container one;
  const Container other;
  REQUIRE(host.call("ADD", one, config).good());
  const auto before = host.remains();
  const auto refused = host.call("ADD", other, config);
  CHECK(refused.error() != 0);
  CHECK(refused.object["msg"].get<std::string>().find("IPAM plugin host-local: ") == 0);
  CHECK(host.remains() == before);
  CHECK(host_local_addresses(host) == 1);
}

TEST_CASE("static gives the addresses and routes that the configuration names") {
  const Host host;
  const Container pod;
  const json config = host.config({{"ipam",
                                    {{"type", "static"},
                                     {"addresses", {{{"address", "10.44.0.9/24"}}, {{"address", "fd00:44::9/64"}}}},
                                     {"routes", {{{"dst", "192.0.2.0/24"}}, {{"dst", "2001:db8::/32"}}}},
                                     {"dns", {{"nameservers", {"10.44.0.1"}}}}}}});
  const auto added = host.call("ADD", pod, config);
  REQUIRE_MESSAGE(added.good(), added.output);
  CHECK(added.addresses() == std::vector{address("10.44.0.9"), address("fd00:44::9")});
  CHECK(added.object.at("dns").at("nameservers") == json{"10.44.0.1"});
  CHECK(added.object.at("routes").size() == 2);
  CHECK(pod.reaches(address("192.0.2.1")));
  CHECK(pod.reaches(address("2001:db8::1")));
  CHECK(pod.exec({"ip", "route", "get", "198.51.100.1"}).status != 0);
  CHECK(host.call("DEL", pod, config).good());
  CHECK(host.remains() == "");
}
