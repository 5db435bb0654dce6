// DEL and GC: what is undone, and how little they need for it (CNI spec 1.1.0, "DEL" and "GC").
#include <doctest/doctest.h>

#include <filesystem>
#include <functional>
#include <memory>

#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

Answer collect(const Host& host, const json& valid) {
  return call("sluice-cni", {.command = "GC", .path = "/usr/lib/cni"},
              host.config({{"cni.dev/valid-attachments", valid}}).dump());
}

}  // namespace

TEST_CASE("DEL succeeds whatever is gone already, and a second time") {
  const json runtime{{"runtimeConfig", {{"ips", {"10.88.0.20"}}, {"mac", "02:00:00:00:00:20"}}}};
  const struct {
    std::string name;
    std::function<void(const Host&, Variables&, std::string& config)> before;
  } rows[] = {
      {"nothing is gone", [](auto&, auto&, auto&) {}},
      {"prevResult and runtimeConfig", [](auto& host, auto&, auto& config) { config = host.config().dump(); }},
      {"the network namespace's name",
       [](auto&, auto& variables, auto&) { variables.netns = "/run/no-such-namespace"; }},
      {"CNI_NETNS", [](auto&, auto& variables, auto&) { variables.netns.clear(); }},
      {"the interface",
       [](auto&, auto& variables, auto&) {
         const auto pod = must(loader::net::Netns::open(variables.netns));
         must(must(loader::net::Netlink::open_in(pod)).delete_link("eth0"));
       }},
      {"the record",
       [](auto& host, auto&, auto&) { std::filesystem::remove_all(host.root().state() / "attachments"); }},
      {"the record's end",
       [](auto& host, auto& variables, auto&) {
         std::filesystem::resize_file(host.root().state() / "attachments" / (variables.container_id + ":eth0.json"),
                                      40);
       }},
      {"the run folder", [](auto& host, auto&, auto&) { std::filesystem::remove_all(host.root().run()); }},
      {"the state folder", [](auto& host, auto&, auto&) { std::filesystem::remove_all(host.root().state()); }},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    const Host host;
    const Container pod;
    const auto added = host.call("ADD", pod, host.config(runtime));
    REQUIRE_MESSAGE(added.good(), added.output);
    Variables variables{"DEL", pod.id(), pod.path(), "eth0", "", "/usr/lib/cni"};
    std::string config = host.after(added, runtime).dump();
    row.before(host, variables, config);
    for (int i = 0; i < 2; i++) CHECK(call("sluice-cni", variables, config).output == "");
    // Without its record nobody knows which addresses the pod had in the map; an interface that is gone is no endpoint.
    const auto known = must(host.datapath().endpoints());
    for (const auto& [address, endpoint] : known) CHECK(!host.netlink().link(endpoint.ifindex));
    const bool forgotten = row.name.starts_with("the record") || row.name == "the state folder";
    CHECK((forgotten || known.empty()));
    for (const auto& [address, endpoint] : known) must(host.datapath().erase_endpoint(address, 0));
    CHECK(host.remains() == "");
  }
}

TEST_CASE("DEL of what was never added succeeds") {
  const Host host;
  const Container pod;
  CHECK(host.del(pod).output == "");
  CHECK(host.remains() == "");
}

TEST_CASE("DEL succeeds when the container is gone with its namespace") {
  const Host host;
  auto pod = std::make_unique<Container>();
  const auto id = pod->id();
  const auto path = pod->path();
  const auto added = host.add(*pod);
  REQUIRE(added.good());
  pod.reset();
  for (int i = 0; i < 2; i++) {
    CHECK(call("sluice-cni", {"DEL", id, path, "eth0", "", ""}, host.after(added).dump()).output == "");
  }
  CHECK(host.remains() == "");
}

TEST_CASE("DEL and GC of a pod from before a reboot leave the pod alone that has its interface index now") {
  const Host host;
  const Container other;
  const Container gone[2];
  const auto added = host.add(other);
  REQUIRE(added.good());
  const int ifindex = must(host.netlink().link(added.object["interfaces"][0]["name"].get<std::string>())).ifindex;
  for (const auto& pod : gone) {
    REQUIRE(host.add(pod).good());
    // A reboot counts interfaces from one again: the record's index is another's then.
    must(pod.netlink().delete_link("eth0"));
    const auto record = host.root().state() / "attachments" / (pod.id() + ":eth0.json");
    REQUIRE(e2e::run({"sed", "-i", "s/\"hostIfindex\":[0-9]*/\"hostIfindex\":" + std::to_string(ifindex) + "/",
                      record.string()})
                .status == 0);
  }
  CHECK(host.del(gone[0]).good());
  CHECK(host.collect({&other}).good());
  const auto checked = host.call("CHECK", other, host.after(added));
  CHECK_MESSAGE(checked.good(), checked.output);
}

TEST_CASE("DEL and GC leave nothing of a pod whose record is lost or damaged, and all of the other") {
  for (const std::string command : {"DEL", "GC"}) {
    for (const bool damaged : {false, true}) {
      for (const bool link_gone : {false, true}) {
        CAPTURE(command);
        CAPTURE(damaged);
        CAPTURE(link_gone);
        const Host host;
        const Container other;
        REQUIRE(host.add(other).good());
        const auto before = host.remains();
        const Container pod;
        REQUIRE(host.add(pod).good());
        const auto record = host.root().state() / "attachments" / (pod.id() + ":eth0.json");
        REQUIRE(std::filesystem::exists(record));
        if (damaged) {
          std::filesystem::resize_file(record, 7);
        } else {
          std::filesystem::remove(record);
        }
        if (link_gone) must(pod.netlink().delete_link("eth0"));
        const auto answer = command == "DEL" ? host.del(pod) : host.collect({&other});
        CHECK_MESSAGE(answer.good(), answer.output);
        CHECK(host.remains() == before);
      }
    }
  }
}

TEST_CASE("GC goes by pairs of container id and interface") {
  const Host host;
  const Container kept;
  const Container half;
  const Container gone;
  const json second{{"podCIDRs", {"10.99.0.0/24"}}};
  for (const auto* pod : {&kept, &half, &gone}) {
    REQUIRE(host.add(*pod).good());
    REQUIRE(host.call("ADD", *pod, host.config(second), "net1").good());
  }
  const auto pair = [](const Container& pod, const char* ifname) {
    return json{{"containerID", pod.id()}, {"ifname", ifname}};
  };
  CHECK(collect(host, {pair(kept, "eth0"), pair(kept, "net1"), pair(half, "net1")}).output == "");
  CHECK(must(kept.netlink().links()).size() == 3);
  CHECK(must(half.netlink().links()).size() == 2);
  CHECK(half.netlink().link("net1"));
  CHECK(must(gone.netlink().links()).size() == 1);
  CHECK(host.remains().find(gone.id()) == std::string::npos);
  // The order of GC and DEL does not matter.
  CHECK(host.del(gone).good());
  CHECK(collect(host, json::array()).output == "");
  CHECK(host.remains() == "");
}

TEST_CASE("GC removes nothing where it is not told what is valid, or cannot make it out") {
  const Host host;
  const Container pod;
  REQUIRE(host.add(pod).good());
  const auto before = host.remains();
  CHECK(call("sluice-cni", {.command = "GC", .path = "/usr/lib/cni"}, host.config().dump()).output == "");
  json null = host.config();
  null["cni.dev/valid-attachments"] = nullptr;
  CHECK(call("sluice-cni", {.command = "GC", .path = "/usr/lib/cni"}, null.dump()).output == "");
  const json bad[] = {5,
                      "x",
                      json::object(),
                      json{5},
                      json::array({json::object()}),
                      json::array({json{{"containerID", "a"}}}),
                      json::array({json{{"ifname", "eth0"}}}),
                      json::array({json{{"containerID", 5}, {"ifname", "eth0"}}})};
  for (const auto& valid : bad) {
    CAPTURE(valid.dump());
    json config = host.config();
    config["cni.dev/valid-attachments"] = valid;
    CHECK(call("sluice-cni", {.command = "GC", .path = "/usr/lib/cni"}, config.dump()).error() == 7);
  }
  CHECK(host.remains() == before);
}

TEST_CASE("GC of one network leaves the others alone") {
  const Host host;
  const Container pod;
  const Container other;
  REQUIRE(host.add(pod).good());
  REQUIRE(host.call("ADD", other, host.config({{"name", "second"}})).good());
  const auto before = host.remains();
  CHECK(call("sluice-cni", {.command = "GC", .path = "/usr/lib/cni"},
             host.config({{"name", "third"}, {"cni.dev/valid-attachments", json::array()}}).dump())
            .good());
  CHECK(host.remains() == before);
  CHECK(host.collect({}).good());
  CHECK(other.netlink().link("eth0"));
  CHECK(host.remains().find(pod.id()) == std::string::npos);
}

TEST_CASE("GC gives back what host-local gave") {
  const Host host;
  const Container pod;
  const auto folder = host.root().prefix() / "host-local";
  const json config =
      host.config({{"ipam", {{"type", "host-local"}, {"dataDir", folder.string()}, {"subnet", "10.66.0.0/28"}}}});
  REQUIRE(host.call("ADD", pod, config).good());
  REQUIRE(std::filesystem::exists(folder / "pods/10.66.0.2"));
  json collect = config;
  collect["cni.dev/valid-attachments"] = json::array();
  CHECK(call("sluice-cni", {.command = "GC", .path = "/usr/lib/cni"}, collect.dump()).output == "");
  CHECK(!std::filesystem::exists(folder / "pods/10.66.0.2"));
  CHECK(host.remains() == "");
}
