#include "tests/cli/bpfctl.hpp"

#include <algorithm>

namespace sluice::e2e {

Command Bpfctl::command(const Command& words) const {
  Command all{binary("sluice-lab").string(), "--name", cluster.name(), "node", "node-1", "--", "bpfctl"};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

Outcome Bpfctl::run(const Command& words) const { return e2e::run(command(words)); }

nlohmann::json Bpfctl::json(Command words) const {
  words.insert(words.end(), {"-o", "json"});
  const auto outcome = run(words);
  REQUIRE_MESSAGE(outcome.status == 0, outcome.output);
  return nlohmann::json::parse(outcome.output);
}

void Bpfctl::send_udp(bool v4, std::uint16_t port) const {
  const auto server = must(Socket::udp(web.netns, web.address(v4), port));
  const auto sender = must(Socket::udp(client.netns, client.address(v4)));
  must(sender.send_to("question", web.address(v4), port));
  CHECK(must(server.receive()).data == "question");
}

void Bpfctl::open_and_close_tcp(bool v4) const {
  const auto listener = must(Socket::tcp_listener(web.netns, web.address(v4)));
  const auto from = must(Socket::tcp_connected(client.netns, web.address(v4), must(listener.port())));
  const auto accepted = must(listener.accept());
}

void Bpfctl::lose_packet() const {
  (void)cluster.exec("client", {"ping", "-c1", "-W1", "-t1", web.address(true).text()});
}

bool Bpfctl::observers_are(std::size_t number) const {
  return within(std::chrono::seconds(5), [&] {
    const auto observers = json({"status"}).at("observers");
    return observers.size() == number &&
           std::ranges::none_of(observers, [](const auto& one) { return one.at("events").empty(); });
  });
}

}  // namespace sluice::e2e
