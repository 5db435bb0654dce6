// What each command answers, in each version of the configuration.
#include <doctest/doctest.h>

#include "loader/config.hpp"
#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kVersions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};

bool older(const std::string& version, const std::string& other) { return version < other; }

}  // namespace

TEST_CASE("ADD gives a pod its interface, addresses and routes, and says so in the version's own format") {
  for (const std::string version : kVersions) {
    CAPTURE(version);
    const Host host;
    const Container pod;
    const auto added = host.call("ADD", pod, host.config({{"cniVersion", version}, {"mtu", 1400}}));
    REQUIRE_MESSAGE(added.good(), added.output);
    const auto& result = added.object;
    CHECK(result.at("cniVersion") == version);

    REQUIRE(result.at("interfaces").size() == 2);
    const auto& outside = result["interfaces"][0];
    const auto& inside = result["interfaces"][1];
    CHECK(!outside.contains("sandbox"));
    CHECK(inside.at("sandbox") == pod.path());
    CHECK(inside.at("name") == "eth0");
    CHECK(inside.contains("mtu") == !older(version, "1.1.0"));
    const auto link = must(pod.netlink().link("eth0"));
    CHECK(link.up);
    CHECK(link.mtu == 1400);
    CHECK(link.mac.text() == inside.at("mac").get<std::string>());
    CHECK(must(host.netlink().link(outside.at("name").get<std::string>())).mac.text() ==
          outside.at("mac").get<std::string>());

    REQUIRE(result.at("ips").size() == 2);
    for (const auto& ip : result["ips"]) {
      const auto address = must(Prefix::parse(ip.at("address").get<std::string>()));
      CHECK(address.length == (address.address.is_v4() ? 32 : 128));
      CHECK(ip.at("interface") == 1);
      CHECK(ip.at("gateway") == (address.address.is_v4() ? loader::kGatewayV4 : loader::kGatewayV6));
      CHECK(ip.contains("version") == older(version, "1.0.0"));
      if (ip.contains("version")) CHECK(ip["version"] == (address.address.is_v4() ? "4" : "6"));
      const auto there = must(pod.netlink().addresses(link.ifindex));
      CHECK(std::count(there.begin(), there.end(), address) == 1);
    }
    CHECK(result.at("routes").size() == 2);
    for (const auto& address : added.addresses()) CHECK(pod.exec({"ping", "-c1", "-W2", address.text()}).status == 0);
    CHECK(host.call("DEL", pod, host.after(added, {{"cniVersion", version}})).output == "");
    CHECK(host.remains() == "");
  }
}

TEST_CASE("two pods and their node reach each other") {
  const Host host;
  const Container one;
  const Container other;
  REQUIRE(host.add(one).good());
  const auto added = host.add(other);
  REQUIRE(added.good());
  for (const auto& address : added.addresses()) {
    CAPTURE(address.text());
    CHECK(one.reaches(address));
    CHECK(e2e::run({"ping", "-c1", "-W2", address.text()}).status == 0);
  }
}

TEST_CASE("VERSION lists the versions, whatever the version that asks") {
  for (const std::string input :
       {R"({"cniVersion": "1.1.0"})", R"({"cniVersion": "0.1.0"})", R"({"cniVersion": "2.0.0"})", "{}", "", "\n"}) {
    CAPTURE(input);
    const auto answer = call("sluice-cni", {.command = "VERSION"}, input);
    CHECK(answer.good());
    CHECK(answer.object.at("supportedVersions") == json(kVersions));
    const auto asked = input.size() > 2 ? json::parse(input) : json::object();
    CHECK(answer.object.at("cniVersion") == asked.value("cniVersion", "1.1.0"));
  }
}

TEST_CASE("a version that has not got the command, or is not known, is refused in its own words") {
  const Host host;
  const Container pod;
  const struct {
    std::string command;
    std::string version;
  } rows[] = {{"ADD", "0.1.0"},    {"ADD", "0.2.0"},    {"ADD", "1.2.0"},   {"DEL", "2.0.0"},
              {"CHECK", "0.3.0"},  {"CHECK", "0.3.1"},  {"GC", "0.4.0"},    {"GC", "1.0.0"},
              {"STATUS", "0.3.1"}, {"STATUS", "1.0.0"}, {"STATUS", "9.9.9"}};
  for (const auto& row : rows) {
    CAPTURE(row.command);
    CAPTURE(row.version);
    CHECK(host.call(row.command, pod, host.config({{"cniVersion", row.version}})).error(row.version) == 1);
  }
  CHECK(host.call("ADD", pod, host.config({{"cniVersion", nullptr}})).error() == 1);
  CHECK(host.remains() == "");
}

TEST_CASE("STATUS says whether an ADD would succeed") {
  const Host host({"10.88.0.0/30"});
  const Container pod;
  const auto status = [&](const json& extra = json::object()) { return host.call("STATUS", pod, host.config(extra)); };
  CHECK(status().output == "");
  REQUIRE(host.add(pod).good());
  // Of four addresses one is a pod's: the network's, the node's and broadcast are not given away.
  auto full = status();
  CHECK(full.error() == 50);
  CHECK(full.object["msg"] == "no IPv4 address is free in the pod CIDRs");
  CHECK(host.del(pod).good());
  CHECK(status().good());

  CHECK(status({{"ipam", {{"type", "no-such-plugin"}}}}).error() == 50);
  const json delegated = host.config({{"ipam", {{"type", "host-local"}, {"subnet", "10.9.0.0/24"}}}});
  CHECK(host.call("STATUS", pod, delegated).good());
  CHECK(call("sluice-cni", {.command = "STATUS", .path = "/usr/lib/cni"}, delegated.dump()).good());
  CHECK(Host(std::vector<std::string>{}).call("STATUS", pod, Host(std::vector<std::string>{}).config()).error() == 50);
}

TEST_CASE("STATUS says when pods are there whose datapath is gone") {
  const Host host;
  const Container pod;
  REQUIRE(host.add(pod).good());
  REQUIRE(e2e::run({"env", "SLUICE_ROOT=" + host.root().prefix().string(), plugin_path("sluiced"), "remove"}).status ==
          0);
  CHECK(host.call("STATUS", pod, host.config()).error() == 51);
  CHECK(host.del(pod).good());
  CHECK(host.call("STATUS", pod, host.config()).good());
}

TEST_CASE("an interface is attached once") {
  const Host host;
  const Container pod;
  const auto first = host.add(pod);
  REQUIRE(first.good());
  const auto before = host.remains();
  CHECK(host.add(pod).error() == 105);
  CHECK(host.remains() == before);
  CHECK(host.call("CHECK", pod, host.after(first)).good());
}

TEST_CASE("a pod in several networks has an interface in each, and answers on the one that was asked") {
  const Host host;
  const Container pod;
  const Container peer;
  const auto networks = {
      std::pair{"eth0", host.config()},
      std::pair{"net1", host.config({{"name", "second"}, {"podCIDRs", {"10.99.0.0/24", "fd00:99::/64"}}})},
      std::pair{"a-name-of-15-ch", host.config({{"name", "third"}, {"podCIDRs", {"10.77.0.0/24"}}})}};
  REQUIRE(host.add(peer).good());
  std::vector<std::pair<std::string, json>> attached;
  for (const auto& [ifname, config] : networks) {
    const auto added = host.call("ADD", pod, config, ifname);
    REQUIRE_MESSAGE(added.good(), added.output);
    json follow = config;
    follow["prevResult"] = added.object;
    attached.emplace_back(ifname, follow);
    for (const auto& address : added.addresses()) {
      CAPTURE(address.text());
      CHECK(peer.reaches(address));
    }
  }
  for (const auto& [ifname, config] : attached) CHECK(host.call("CHECK", pod, config, ifname).output == "");
  // One interface goes, the others stay as they are.
  CHECK(host.call("DEL", pod, attached[1].second, "net1").good());
  CHECK(pod.exec({"ip", "rule"}).output.find("10.99.0.") == std::string::npos);
  CHECK(pod.exec({"ip", "-6", "rule"}).output.find("fd00:99::") == std::string::npos);
  for (const auto i : {0, 2}) CHECK(host.call("CHECK", pod, attached[i].second, attached[i].first).output == "");
  for (const auto i : {0, 2}) CHECK(host.call("DEL", pod, attached[i].second, attached[i].first).good());
  CHECK(host.del(peer).good());
  CHECK(host.remains() == "");
}

TEST_CASE("the mac, ips and bandwidth capabilities and dns are done") {
  const Host host;
  const Container pod;
  const json runtime{
      {"mac", "02:11:22:33:44:55"},
      {"ips", {"10.88.0.77/24", "fd00:88::77"}},
      {"bandwidth",
       {{"ingressRate", 8000000}, {"ingressBurst", 800000}, {"egressRate", 4000000}, {"egressBurst", 400000}}}};
  const json dns{
      {"nameservers", {"10.0.0.10"}}, {"domain", "cluster.local"}, {"search", {"a", "b"}}, {"options", json::array()}};
  const auto added = host.call("ADD", pod, host.config({{"runtimeConfig", runtime}, {"dns", dns}}));
  REQUIRE_MESSAGE(added.good(), added.output);
  CHECK(must(pod.netlink().link("eth0")).mac.text() == "02:11:22:33:44:55");
  CHECK(added.addresses() == std::vector{must(Address::parse("10.88.0.77")), must(Address::parse("fd00:88::77"))});
  CHECK(added.object.at("dns") == dns);
  const auto outside = added.object["interfaces"][0]["name"].get<std::string>();
  const auto received = e2e::run({"tc", "qdisc", "show", "dev", outside}).output;
  const auto sent = pod.exec({"tc", "qdisc", "show", "dev", "eth0"}).output;
  CHECK_MESSAGE(received.find("rate 8Mbit burst 100000b") != std::string::npos, received);
  CHECK_MESSAGE(sent.find("rate 4Mbit burst 50000b") != std::string::npos, sent);
}
