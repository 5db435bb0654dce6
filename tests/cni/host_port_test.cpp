// The capability portMappings (CNI CONVENTIONS.md), done by the plugin itself.
#include <doctest/doctest.h>
#include <netinet/in.h>

#include "loader/program/host_ports.hpp"
#include "maps/views.hpp"
#include "tests/cni/host.hpp"

using namespace sluice;        // NOLINT(google-build-using-namespace)
using namespace sluice::test;  // NOLINT(google-build-using-namespace)

namespace {

json mapping(int host_port, int container_port, const std::string& protocol = "tcp", const std::string& host_ip = "") {
  return {{"hostPort", host_port}, {"containerPort", container_port}, {"protocol", protocol}, {"hostIP", host_ip}};
}

json with_ports(const std::vector<json>& mappings) { return {{"runtimeConfig", {{"portMappings", mappings}}}}; }

/// Where a port of the node leads: "10.88.0.2:80"; empty: nowhere.
std::string behind(const Host& host, const char* address, int port, int proto = IPPROTO_TCP) {
  maps::service_key key{};
  key.addr = must(Address::parse(address)).wire();
  key.port = maps::be16::from_host(static_cast<std::uint16_t>(port));
  key.proto = static_cast<std::uint8_t>(proto);
  const auto frontend = must(must(maps::open<maps::Services>(host.root().maps())).lookup(key));
  if (!frontend) return "";
  CHECK(frontend->inside.count == 1);
  const auto slot = must(must(maps::open<maps::BackendSlots>(host.root().maps())).lookup(frontend->inside.first));
  const auto backend = must(must(maps::open<maps::Backends>(host.root().maps())).lookup(slot.value()));
  CHECK(backend->service == frontend->id);
  return Address(backend->addr).text() + ":" + std::to_string(backend->port.to_host());
}

}  // namespace

TEST_CASE("a host port leads to the pod from every address of the node, in both families") {
  const Host host;
  const Container pod;
  const json config = host.config(with_ports({mapping(8080, 80), mapping(5353, 53, "UDP"), mapping(0, 99)}));
  const auto added = host.call("ADD", pod, config);
  REQUIRE_MESSAGE(added.good(), added.output);
  auto netlink = host.netlink();
  const auto node = must(loader::program::node_addresses(netlink));
  REQUIRE(node.size() == 2);
  for (const Address& at : node) {
    const bool v4 = at.is_v4();
    CHECK(behind(host, at.text().c_str(), 8080) == (v4 ? "10.88.0.2:80" : "fd00:88::2:80"));
    CHECK(behind(host, at.text().c_str(), 5353, IPPROTO_UDP) == (v4 ? "10.88.0.2:53" : "fd00:88::2:53"));
    CHECK(behind(host, at.text().c_str(), 5353) == "");
  }
  const auto wanted = host.after(added, with_ports({mapping(8080, 80), mapping(5353, 53, "udp")}));
  CHECK(host.call("CHECK", pod, wanted).output == "");
  CHECK(host.call("CHECK", pod, host.after(added, with_ports({mapping(8081, 80)}))).error() == 102);
  CHECK(host.call("CHECK", pod, host.after(added, with_ports({mapping(8080, 81)}))).error() == 102);
  must(must(loader::program::HostPorts::open(host.root())).erase({must(Address::parse("10.88.0.2"))}));
  const auto broken = host.call("CHECK", pod, wanted);
  CHECK(broken.error() == 102);
  CHECK_MESSAGE(broken.output.find("host port 8080/tcp at " + node[node[0].is_v4() ? 0 : 1].text() + " is missing") !=
                    std::string::npos,
                broken.output);
  CHECK(host.del(pod).good());
  CHECK(host.remains() == "");
}

TEST_CASE("a host port that is taken is refused with who has it, and what was open stays") {
  const Host host;
  const Container one;
  const Container other;
  REQUIRE(host.call("ADD", one, host.config(with_ports({mapping(8080, 80)}))).good());
  const auto before = host.remains();
  const auto refused = host.call("ADD", other, host.config(with_ports({mapping(9090, 90), mapping(8080, 80)})));
  CHECK(refused.error() == 108);
  CHECK_MESSAGE(refused.output.find("leads to the pod 10.88.0.2 already") != std::string::npos, refused.output);
  CHECK(host.remains() == before);
  CHECK(host.call("ADD", other, host.config(with_ports({mapping(8080, 80, "udp")}))).good());
  CHECK(host.del(other).good());

  // One address of the node each: they are different ports.
  CHECK(host.del(one).good());
  CHECK(host.call("ADD", one, host.config(with_ports({mapping(8080, 80, "tcp", "192.0.2.1")}))).good());
  CHECK(host.call("ADD", other, host.config(with_ports({mapping(8080, 80, "tcp", "127.0.0.1")}))).good());
  CHECK(behind(host, "192.0.2.1", 8080) != behind(host, "127.0.0.1", 8080));
  CHECK(behind(host, "192.0.2.1", 8080).ends_with(":80"));
  CHECK(behind(host, "127.0.0.1", 8080).ends_with(":80"));

  // GC closes what is nobody's any more, a record or not.
  std::filesystem::remove_all(host.root().state() / "attachments");
  CHECK(host.collect({}).good());
  CHECK(host.remains() == "");
}

TEST_CASE("a port that a Service has is not given to a pod") {
  const Host host;
  const Container pod;
  REQUIRE(host.add(pod).good());
  REQUIRE(host.del(pod).good());
  auto services = must(maps::open<maps::Services>(host.root().maps()));
  maps::service_key key{};
  auto netlink = host.netlink();
  key.addr = must(loader::program::node_addresses(netlink)).front().wire();
  key.port = maps::be16::from_host(30080);
  key.proto = IPPROTO_TCP;
  maps::service service{};
  service.id = 7;
  must(services.put(key, service));
  const auto refused = host.call("ADD", pod, host.config(with_ports({mapping(30080, 80)})));
  CHECK(refused.error() == 108);
  CHECK_MESSAGE(refused.output.find("is a Service's (number 7") != std::string::npos, refused.output);
  CHECK(must(services.lookup(key))->id == 7);
}
