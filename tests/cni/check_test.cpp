// CHECK fails as soon as a part of what ADD made is gone (CNI spec 1.1.0, "CHECK").
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>

#include "loader/config.hpp"
#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

struct Attached {
  const Host& host;
  const Container& pod;
  std::string outside;  ///< the host's end
  Address v4;
  Address v6;

  [[nodiscard]] int ifindex() const { return must(host.netlink().link(outside)).ifindex; }
  void on_node(const e2e::Command& command) const { REQUIRE(e2e::run(command).status == 0); }
  void in_pod(e2e::Command command) const { REQUIRE(pod.exec(std::move(command)).status == 0); }
};

}  // namespace

TEST_CASE("CHECK tells what of an attachment is gone") {
  const struct {
    std::string want;  ///< words of the message
    std::function<void(const Attached&)> harm;
  } rows[] = {
      {"interface eth0 is missing in the container", [](auto& it) { must(it.pod.netlink().delete_link("eth0")); }},
      {"interface eth0 is down",
       [](auto& it) {
         it.in_pod({"ip", "link", "set", "eth0", "down"});
       }},
      {"has MAC address 02:00:00:00:00:09",
       [](auto& it) {
         it.in_pod({"ip", "link", "set", "eth0", "address", "02:00:00:00:00:09"});
       }},
      {"address 10.88.0.2 is missing",
       [](auto& it) {
         it.in_pod({"ip", "addr", "del", it.v4.text() + "/32", "dev", "eth0"});
       }},
      {"address fd00:88::2 is missing",
       [](auto& it) {
         it.in_pod({"ip", "addr", "del", it.v6.text() + "/128", "dev", "eth0"});
       }},
      {"the pod's route to 0.0.0.0/0 is missing",
       [](auto& it) {
         it.in_pod({"ip", "route", "del", "default"});
       }},
      {"the pod's route to ::/0 is missing",
       [](auto& it) {
         it.in_pod({"ip", "-6", "route", "del", "default"});
       }},
      {"MAC address of its gateway 169.254.1.1",
       [](auto& it) {
         it.in_pod({"ip", "neigh", "del", "169.254.1.1", "dev", "eth0"});
       }},
      {"MAC address of its gateway fe80::1",
       [](auto& it) {
         it.in_pod({"ip", "neigh", "del", "fe80::1", "dev", "eth0"});
       }},
      {"is down on the node",
       [](auto& it) {
         it.on_node({"ip", "link", "set", it.outside, "down"});
       }},
      {"the node's route to 10.88.0.2",
       [](auto& it) {
         it.on_node({"ip", "route", "del", it.v4.text()});
       }},
      {"the node's route to fd00:88::2",
       [](auto& it) {
         it.on_node({"ip", "-6", "route", "del", it.v6.text()});
       }},
      {"MAC address of 10.88.0.2",
       [](auto& it) {
         it.on_node({"ip", "neigh", "del", it.v4.text(), "dev", it.outside});
       }},
      {"MAC address of fd00:88::2",
       [](auto& it) {
         it.on_node({"ip", "neigh", "del", it.v6.text(), "dev", it.outside});
       }},
      {"program from_pod is missing",
       [](auto& it) {
         it.on_node({"tc", "filter", "del", "dev", it.outside, "ingress"});
       }},
      {"program to_pod is missing",
       [](auto& it) {
         it.on_node({"tc", "filter", "del", "dev", it.outside, "egress"});
       }},
      {"program from_pod is missing",
       [](auto& it) {
         it.on_node({"tc", "qdisc", "del", "dev", it.outside, "clsact"});
       }},
      {"the endpoints map lacks 10.88.0.2", [](auto& it) { must(it.host.datapath().erase_endpoint(it.v4, 0)); }},
      {"the endpoints map lacks fd00:88::2", [](auto& it) { must(it.host.datapath().erase_endpoint(it.v6, 0)); }},
      {"the endpoints map has 10.88.0.2 at another interface",
       [](auto& it) { must(it.host.datapath().put_endpoint(it.v4, {.ifindex = it.ifindex() + 1})); }},
      {"address fd00:88::2 is not reserved",
       [](auto& it) { std::filesystem::remove(it.host.root().state() / "ipam" / it.v6.text()); }},
      {"the datapath is not loaded",
       [](auto& it) {
         it.on_node({"env", "SLUICE_ROOT=" + it.host.root().prefix().string(), plugin_path("sluiced"), "remove"});
       }},
  };
  for (const auto& row : rows) {
    CAPTURE(row.want);
    const Host host;
    const Container pod;
    const auto added = host.add(pod);
    REQUIRE(added.good());
    CHECK(host.call("CHECK", pod, host.after(added)).output == "");
    row.harm({host, pod, added.object["interfaces"][0]["name"], added.addresses()[0], added.addresses()[1]});
    const auto checked = host.call("CHECK", pod, host.after(added));
    CHECK_MESSAGE(checked.error() == 102, checked.output);
    CHECK_MESSAGE(checked.output.find(row.want) != std::string::npos, checked.output);
    // However broken it is, DEL takes it down.
    CHECK(host.del(pod).output == "");
    // An entry that names another interface is another pod's, which DEL lets be.
    if (row.want.ends_with("at another interface")) must(host.datapath().erase_endpoint(added.addresses()[0], 0));
    CHECK(host.remains() == "");
  }
}

TEST_CASE("CHECK of a second interface tells that its own routes or rules are gone") {
  for (const std::string command : {"ip route flush table $table; ip -6 route flush table $table",
                                    "ip rule del from 10.99.0.2", "ip -6 rule del from fd00:99::2"}) {
    CAPTURE(command);
    const Host host;
    const Container pod;
    json second = host.config({{"name", "second"}, {"podCIDRs", {"10.99.0.0/24", "fd00:99::/64"}}});
    REQUIRE(host.add(pod).good());
    second["prevResult"] = host.call("ADD", pod, second, "net1").object;
    CHECK(host.call("CHECK", pod, second, "net1").output == "");
    REQUIRE(pod.exec({"sh", "-c", "table=$(ip rule | sed -n 's/.*lookup \\([0-9]\\{5,\\}\\).*/\\1/p'); " + command})
                .status == 0);
    CHECK(host.call("CHECK", pod, second, "net1").error() == 102);
  }
}

TEST_CASE("CHECK needs the prevResult, and it must tell of what is there") {
  const Host host;
  const Container pod;
  const auto added = host.add(pod);
  REQUIRE(added.good());
  CHECK(host.call("CHECK", pod, host.config()).error() == 7);
  json other = host.after(added);
  other["prevResult"]["ips"][0]["address"] = "10.88.0.99/32";
  CHECK(host.call("CHECK", pod, other).error() == 102);
  other = host.after(added);
  other["prevResult"]["interfaces"].erase(1);
  other["prevResult"]["ips"] = json::array();
  CHECK(host.call("CHECK", pod, other).error() == 102);
  other = host.after(added);
  other["prevResult"]["ips"].push_back({{"address", "10.88.0.100/32"}, {"interface", 1}});
  CHECK(host.call("CHECK", pod, other).error() == 102);
}

TEST_CASE("CHECK of what is not attached says that the container is unknown") {
  const Host host;
  const Container pod;
  const auto added = host.add(pod);
  CHECK(host.call("CHECK", pod, host.after(added), "eth1").error() == 3);
  REQUIRE(host.del(pod).good());
  CHECK(host.call("CHECK", pod, host.after(added)).error() == 3);
}
