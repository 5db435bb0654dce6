// Calls of real sockets that name a Service, or are told of one, through the programs for sockets (lib/socket.h).
#include "maps/service.h"

#include <doctest/doctest.h>
#include <netinet/in.h>

#include <cerrno>
#include <set>

#include "tests/datapath/socket_hooks.hpp"

using namespace sluice;
using namespace sluice::maps;
using namespace sluice::test;
using e2e::Correspondent;
using e2e::Family;
using e2e::Socket;

namespace {

template <typename T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

constexpr std::uint16_t kPort = 8080;

/// A Service, where its backends listen, and the socket that asks for it.
struct Row {
  const char* name;
  const char* frontend;
  const char* backend;
  Family family;
};
constexpr Row kRows[] = {{"IPv4", "10.96.0.1:80", "127.0.0.1:8080", Family::kOwn},
                         {"IPv6", "[fd00:96::1]:80", "[::1]:8080", Family::kOwn},
                         {"IPv4 by an IPv6 socket", "10.96.0.1:80", "127.0.0.1:8080", Family::kIpv6}};

Correspondent at(const char* text) {
  const test::SocketAddress parsed(text);
  return {parsed.address, parsed.port};
}

Result<Socket> connect_to(const SocketHooks& node, const Correspondent& to, Family family = Family::kOwn) {
  return Socket::tcp_connected(node.home(), to.address, to.port, family);
}

/// What sending a datagram there fails with; 0: it does not.
int send_error(const SocketHooks& node, const Correspondent& to) {
  const Socket client = must(Socket::udp_for(node.home(), to.address));
  const auto sent = client.send_to("x", to.address, to.port);
  return sent ? 0 : sent.error().code;
}

int connect_error(const SocketHooks& node, const Correspondent& to) {
  const auto client = connect_to(node, to);
  return client ? 0 : client.error().code;
}

Socket listener(const SocketHooks& node, const Correspondent& own) {
  return must(Socket::tcp_listener(node.home().netns, own.address, own.port));
}

Socket receiver(const SocketHooks& node, const Correspondent& own) {
  return must(Socket::udp(node.home().netns, own.address, own.port));
}

}  // namespace

TEST_CASE("a connection to a Service goes to a backend, and its socket is told the Service's address") {
  for (const auto whose : {SocketHooks::Whose::kNode, SocketHooks::Whose::kPod}) {
    SocketHooks node(whose);
    for (const Row& row : kRows) {
      CAPTURE(row.name);
      node.service(row.frontend, IPPROTO_TCP, {row.backend});
      const Socket server = listener(node, at(row.backend));
      const Socket client = must(connect_to(node, at(row.frontend), row.family));
      CHECK(must(client.peer()) == at(row.frontend));
      const auto accepted = must(server.accept());
      must(client.send("hello"));
      CHECK(must(accepted.first.read(5)) == "hello");
      const Socket direct = must(connect_to(node, at(row.backend), row.family));
      CHECK(must(direct.peer()) == at(row.backend));
    }
    CHECK(node.translated() == 3);
  }
}

TEST_CASE("datagrams of the node's sockets reach a Service, connected or not, and answers come from it") {
  SocketHooks node;
  for (const Row& row : kRows) {
    node.service(row.frontend, IPPROTO_UDP, {row.backend});
    const Correspondent service = at(row.frontend);
    const Socket server = receiver(node, at(row.backend));
    for (const bool connected : {true, false}) {
      CAPTURE(row.name);
      CAPTURE(connected);
      Socket client = must(Socket::udp_for(node.home(), service.address, row.family));
      if (connected) {
        must(client.connect(service.address, service.port));
        CHECK(must(client.peer()) == service);
        must(client.send("question"));
      } else {
        must(client.send_to("question", service.address, service.port));
      }
      const auto question = must(server.receive());
      CHECK(question.data == "question");
      must(server.send_to("answer", question.from, question.port));
      const auto answer = must(client.receive());
      CHECK(answer.data == "answer");
      CHECK(Correspondent{answer.from, answer.port} == service);
    }
  }
  CHECK(node.translated() == 6);
}

TEST_CASE("a pod's socket leaves to its packets what they can do better") {
  SocketHooks pod(SocketHooks::Whose::kPod);
  pod.service("10.96.0.1:80", IPPROTO_UDP, {"127.0.0.1:8080"})
      .service("10.96.0.2:80", IPPROTO_TCP, {"127.0.0.1:8080"}, {.id = 2, .affinity_s = 60})
      .service("10.96.0.3:80", IPPROTO_TCP, {"127.0.0.1:8080"}, {.id = 3, .source_ranges = {"127.0.0.1"}})
      .service("10.96.0.4:80", IPPROTO_TCP, {}, {.id = 4})
      .service("192.0.2.1:30080", IPPROTO_TCP, {"127.0.0.1:8080"}, {.id = 5, .flags = SERVICE_NODE_PORT})
      .service_address("10.96.0.4");
  const Socket server = listener(pod, at("127.0.0.1:8080"));
  // Nothing but loopback is there, so that no packet can go.
  for (const char* service : {"10.96.0.2:80", "10.96.0.3:80", "10.96.0.4:80", "10.96.0.4:81"})
    CHECK(connect_error(pod, at(service)) == ENETUNREACH);
  CHECK(send_error(pod, at("10.96.0.1:80")) == ENETUNREACH);
  // A pod's own loopback has no node ports.
  CHECK(connect_error(pod, at("127.0.0.1:30080")) == ECONNREFUSED);
  CHECK(pod.translated() == 0);
  for (const auto reason : {DROP_NO_BACKEND, DROP_SOURCE_RANGE, DROP_NO_LOCAL_BACKEND}) CHECK(pod.refused(reason) == 0);
}

TEST_CASE("a call of the node's own is refused with an errno that says why, and counted") {
  SocketHooks node;
  node.service("10.96.0.1:80", IPPROTO_TCP, {})
      .service("10.96.0.1:80", IPPROTO_UDP, {})
      .service_address("10.96.0.1")
      .service("10.96.0.2:80", IPPROTO_TCP, {}, {.id = 2, .flags = SERVICE_DROP_INSIDE})
      .service("10.96.0.3:80", IPPROTO_TCP, {"127.0.0.1:8080"}, {.id = 3, .source_ranges = {"192.0.2.9"}})
      .service("10.96.0.4:80", IPPROTO_TCP, {"127.0.0.1:8080"}, {.id = 4, .source_ranges = {"192.0.2.1"}})
      .service("[fd00:96::4]:80", IPPROTO_TCP, {"[::1]:8080"}, {.id = 5, .source_ranges = {"2001:db8::1"}});
  const Socket server = listener(node, at("127.0.0.1:8080")), server6 = listener(node, at("[::1]:8080"));
  CHECK(connect_error(node, at("10.96.0.1:80")) == ECONNREFUSED);
  CHECK(connect_error(node, at("10.96.0.1:81")) == ECONNREFUSED);  // a port that no Service has
  CHECK(send_error(node, at("10.96.0.1:80")) == ECONNREFUSED);
  CHECK(node.refused(DROP_NO_BACKEND) == 3);
  CHECK(connect_error(node, at("10.96.0.2:80")) == EHOSTUNREACH);
  CHECK(node.refused(DROP_NO_LOCAL_BACKEND) == 1);
  CHECK(connect_error(node, at("10.96.0.3:80")) == EPERM);
  CHECK(node.refused(DROP_SOURCE_RANGE) == 1);
  CHECK(connect_error(node, at("10.96.0.4:80")) == 0);
  CHECK(connect_error(node, at("[fd00:96::4]:80")) == 0);
  CHECK(connect_error(node, at("10.97.0.1:80")) == ENETUNREACH);  // nobody's
}

TEST_CASE("the node reaches its node ports at each of its own addresses, and loopback has nothing else") {
  SocketHooks node;
  node.service("192.0.2.1:30080", IPPROTO_TCP, {"127.0.0.1:8080"}, {.flags = SERVICE_NODE_PORT})
      .service("[2001:db8::1]:30080", IPPROTO_TCP, {"[::1]:8080"}, {.flags = SERVICE_NODE_PORT})
      .service("192.0.2.1:80", IPPROTO_TCP, {"127.0.0.1:8080"}, {.id = 2});  // an external IP, say
  const Socket server = listener(node, at("127.0.0.1:8080")), server6 = listener(node, at("[::1]:8080"));
  for (const char* own :
       {"192.0.2.1:30080", "127.0.0.1:30080", "127.9.9.9:30080", "[2001:db8::1]:30080", "[::1]:30080"}) {
    CAPTURE(own);
    const Socket client = must(connect_to(node, at(own)));
    CHECK(must(client.peer()) == at(own));
  }
  CHECK(connect_error(node, at("127.0.0.1:80")) == ECONNREFUSED);
  CHECK(node.translated() == 5);
}

TEST_CASE("a socket that sends datagrams stays with its backend as long as that serves, and not a datagram longer") {
  SocketHooks node;
  node.service("10.96.0.1:80", IPPROTO_UDP, {"127.0.0.1:8080"});
  const Correspondent service = at("10.96.0.1:80");
  const Socket one = receiver(node, at("127.0.0.1:8080")), two = receiver(node, at("127.0.0.1:8081"));
  const Socket client = must(Socket::udp_for(node.home(), service.address));
  const auto ask = [&] { must(client.send_to("x", service.address, service.port)); };
  ask();
  CHECK(one.receive());
  node.backends_become(BACKEND_ENDING);
  node.service("10.96.0.1:80", IPPROTO_UDP, {"127.0.0.1:8081"});
  ask();
  CHECK(one.receive());
  node.backends_become(BACKEND_GONE);
  node.service("10.96.0.1:80", IPPROTO_UDP, {"127.0.0.1:8081"});
  ask();
  const auto got = must(two.receive());
  must(two.send_to("answer", got.from, got.port));
  CHECK(must(client.receive()).from == service.address);
}

TEST_CASE("what the table of sockets has lost is written again with the next datagram") {
  SocketHooks node;
  node.service("10.96.0.1:80", IPPROTO_UDP, {"127.0.0.1:8080", "127.0.0.1:8081"});
  const Correspondent service = at("10.96.0.1:80");
  const Socket servers[] = {receiver(node, at("127.0.0.1:8080")), receiver(node, at("127.0.0.1:8081"))};
  const Socket client = must(Socket::udp_for(node.home(), service.address));
  for (const auto direction : {SOCKET_HEARS, SOCKET_SENDS}) {
    for (int i = 0; i < 2; i++) {
      CAPTURE(direction);
      must(client.send_to("x", service.address, service.port));
      bool answered = false;
      for (const Socket& server : servers)
        if (const auto got = server.receive_now()) {
          must(server.send_to("answer", got->from, got->port));
          answered = true;
        }
      REQUIRE(answered);
      const auto answer = must(client.receive());
      CHECK(Correspondent{answer.from, answer.port} == service);
      if (i == 0) node.forget(direction);
    }
  }
}

/// Ports of the two backends, both listening, that 24 connections to 10.96.0.1:80 go to.
std::set<std::uint16_t> chosen(SocketHooks& node) {
  const Socket servers[] = {listener(node, at("127.0.0.1:8080")), listener(node, at("127.0.0.1:8081"))};
  std::set<std::uint16_t> ports;
  for (int i = 0; i < 24; i++) {
    const Socket client = must(connect_to(node, at("10.96.0.1:80")));
    for (const Socket& server : servers) (void)server.accept_now();
    node.forget(SOCKET_HEARS);
    ports.insert(must(client.peer()).port);
  }
  return ports;
}

TEST_CASE("with session affinity the node's connections go to one endpoint, else they spread, by Maglev as well") {
  const struct {
    const char* name;
    ServiceOptions options;
    std::size_t chosen;
  } rows[] = {{"affinity", {.affinity_s = 60}, 1},
              {"affinity and Maglev", {.flags = SERVICE_MAGLEV, .affinity_s = 60}, 1},
              {"at random", {}, 2},
              {"Maglev, without a port to hash", {.flags = SERVICE_MAGLEV}, 2}};
  for (const auto& row : rows) {
    CAPTURE(row.name);
    SocketHooks node;
    node.service("10.96.0.1:80", IPPROTO_TCP, {"127.0.0.1:8080", "127.0.0.1:8081"}, row.options);
    CHECK(chosen(node).size() == row.chosen);
  }
}

TEST_CASE("a trace says what a call of the node's own is given, and leaves nothing behind") {
  for (const Row& row : kRows) {
    CAPTURE(row.name);
    SocketHooks node;
    const auto refusals = [&] { return node.refused(DROP_NO_BACKEND) + node.refused(DROP_SOURCE_RANGE); };
    CHECK(!node.traced(row.frontend, IPPROTO_TCP));
    node.service(row.frontend, IPPROTO_TCP, {row.backend}, {.id = 7});
    const auto given = node.traced(row.frontend, IPPROTO_TCP);
    REQUIRE(given);
    CHECK(given->service == 7);
    CHECK(given->refused == DROP_NONE);
    CHECK(given->backend.address == at(row.backend).address);
    CHECK(given->backend.port == at(row.backend).port);
    CHECK(!node.traced(row.frontend, IPPROTO_UDP));
    CHECK(!node.traced(row.backend, IPPROTO_TCP));

    node.service(row.frontend, IPPROTO_TCP, {});
    CHECK(node.traced(row.frontend, IPPROTO_TCP)->refused == DROP_NO_BACKEND);
    CHECK(node.translated() == 0);
    CHECK(refusals() == 0);
    CHECK(connect_error(node, at(row.frontend)) == ECONNREFUSED);
    CHECK(refusals() == 1);
  }
}

TEST_CASE("with session affinity a trace says the endpoint that the node has, and gives it none") {
  SocketHooks node;
  const std::vector<test::SocketAddress> backends{"127.0.0.1:8080", "127.0.0.2:8080", "127.0.0.3:8080",
                                                  "127.0.0.4:8080"};
  node.service("10.96.0.1:80", IPPROTO_TCP, backends, {.affinity_s = 60});
  std::set<std::string> seen;
  for (int i = 0; i < 12; i++) seen.insert(node.traced("10.96.0.1:80", IPPROTO_TCP)->backend.text());
  CHECK(seen.size() > 1);
  std::vector<Socket> servers;
  for (const test::SocketAddress& backend : backends)
    servers.push_back(listener(node, {backend.address, backend.port}));
  const Socket client = must(connect_to(node, at("10.96.0.1:80")));
  std::string chosen;
  for (std::size_t i = 0; i < servers.size(); i++)
    if (servers[i].accept_now()) chosen = "127.0.0." + std::to_string(i + 1) + ":8080";
  for (int i = 0; i < 3; i++) CHECK(node.traced("10.96.0.1:80", IPPROTO_TCP)->backend.text() == chosen);
}
