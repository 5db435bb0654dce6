#include <csignal>
#include <future>
#include <set>
#include <sstream>

#include "tests/cli/bpfctl.hpp"

using namespace sluice;
using namespace sluice::e2e;

namespace {

std::vector<nlohmann::json> lines(const std::string& text) {
  std::vector<nlohmann::json> all;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) all.push_back(nlohmann::json::parse(line));
  return all;
}

}  // namespace

TEST_CASE("two watchers at once each see what opens, ends and is dropped") {
  const Bpfctl bpfctl;
  const auto watch = [&] {
    return bpfctl.run({"flow", "watch", "--timeout", "3", "-o", "json", "--address", bpfctl.web.address(true).text()});
  };
  auto one = std::async(std::launch::async, watch), other = std::async(std::launch::async, watch);
  REQUIRE(bpfctl.observers_are(2));
  bpfctl.open_and_close_tcp(true);
  bpfctl.open_and_close_tcp(false);  // not of this address
  bpfctl.lose_packet();
  for (auto* watcher : {&one, &other}) {
    const auto outcome = watcher->get();
    CHECK(outcome.status == 0);
    std::set<std::string> seen;
    for (const auto& event : lines(outcome.output)) {
      seen.insert(event.at("event").get<std::string>() + " " + event.at("protocol").get<std::string>());
      CHECK(event.at("sourcePod") == "default/client");
      CHECK(event.at("destinationPod") == "default/web");
      if (event.at("event") == "dropped") CHECK(event.at("reason") == "TTL_EXPIRED");
    }
    CHECK(seen == std::set<std::string>{"new tcp", "closed tcp", "new icmp", "dropped icmp"});
  }
  CHECK(bpfctl.observers_are(0));
}

TEST_CASE("a watch ends after --count, and fails where fewer events come in time") {
  const Bpfctl bpfctl;
  auto watcher = std::async(std::launch::async, [&] {
    return bpfctl.run({"flow", "watch", "--count", "2", "--timeout", "10", "--event", "packet", "--port", "5300"});
  });
  REQUIRE(bpfctl.observers_are(1));
  for (int i = 0; i < 3; i++) bpfctl.send_udp(true, 5300);
  const auto outcome = watcher.get();
  CHECK(outcome.status == 0);
  CHECK_MESSAGE(std::ranges::count(outcome.output, '\n') == 3, outcome.output);  // with the heading
  const auto late = bpfctl.run({"flow", "watch", "--count", "1", "--timeout", "0.3", "--port", "1"});
  CHECK(late.status == 1);
  CHECK_MESSAGE(late.output.find("0 of 1 events came within 0.3 s") != std::string::npos, late.output);
}

TEST_CASE("the slot of a killed watcher is shown, costs no one, and is used again") {
  const Bpfctl bpfctl;
  {
    Process watcher(bpfctl.command({"flow", "watch"}));
    REQUIRE(bpfctl.observers_are(1));
    watcher.signal(SIGKILL);
    watcher.wait();
  }
  const auto left = bpfctl.json({"status"}).at("observers");
  REQUIRE(left.size() == 1);
  CHECK(left[0].at("pid").is_null());
  const auto slot = left[0].at("slot");

  Process watcher(bpfctl.command({"flow", "watch", "--event", "dropped"}));
  REQUIRE(
      within(std::chrono::seconds(5), [&] { return !bpfctl.json({"status"}).at("observers")[0].at("pid").is_null(); }));
  const auto now = bpfctl.json({"status"}).at("observers");
  CHECK(now.size() == 1);
  CHECK(now[0].at("slot") == slot);
  CHECK(now[0].at("pid") == watcher.pid());
  watcher.signal(SIGTERM);
  CHECK(watcher.wait() == 0);
  CHECK(bpfctl.observers_are(0));
}

TEST_CASE("a watcher more than there are slots is told so") {
  const Bpfctl bpfctl;
  std::vector<std::unique_ptr<Process>> watchers;
  for (int i = 0; i < 8; i++) watchers.push_back(std::make_unique<Process>(bpfctl.command({"flow", "watch"})));
  REQUIRE(bpfctl.observers_are(8));
  const auto outcome = bpfctl.run({"flow", "watch", "--timeout", "1"});
  CHECK(outcome.status == 1);
  CHECK_MESSAGE(outcome.output.find("all 8 observer slots are in use") != std::string::npos, outcome.output);
}
