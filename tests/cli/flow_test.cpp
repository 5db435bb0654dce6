#include "tests/cli/bpfctl.hpp"

using namespace sluice;
using namespace sluice::e2e;

TEST_CASE("flow list shows each connection, and its filters really filter") {
  const Bpfctl bpfctl;
  bpfctl.send_udp(true, 5300);
  bpfctl.send_udp(false, 5301);
  bpfctl.open_and_close_tcp(true);
  const std::string web_v4 = bpfctl.web.address(true).text(), web_v6 = bpfctl.web.address(false).text();

  const auto counted = [&](Command filter) {
    Command words{"flow", "list"};
    words.insert(words.end(), filter.begin(), filter.end());
    return bpfctl.json(words).size();
  };
  const struct {
    Command filter;
    std::size_t flows;
  } rows[] = {{{"--pod", "default/client"}, 3},
              {{"--pod", "web", "--protocol", "udp"}, 2},
              {{"--address", web_v4}, 2},
              {{"--address", web_v6 + "/64"}, 1},
              {{"--address", "192.0.2.0/24"}, 0},
              {{"--port", "5300"}, 1},
              {{"--port", "5300", "--protocol", "tcp"}, 0},
              {{"--protocol", "6", "--state", "closed"}, 1},
              {{"--protocol", "tcp", "--state", "established"}, 0},
              {{"--protocol", "udp", "--state", "opening"}, 2},
              {{"--state", "expired"}, 0}};
  for (const auto& row : rows) {
    std::string words;
    for (const auto& word : row.filter) words += word + " ";
    CAPTURE(words);
    CHECK(counted(row.filter) == row.flows);
  }

  const auto flow = bpfctl.json({"flow", "list", "--port", "5301"}).at(0);
  CHECK(flow.at("sourcePod") == "default/client");
  CHECK(flow.at("destinationPod") == "default/web");
  CHECK(flow.at("destination") == web_v6);
  CHECK(flow.at("sentPackets") == 1);
  CHECK(flow.at("receivedPackets") == 0);
  const auto table = bpfctl.run({"flow", "list", "--port", "5301"}).output;
  CHECK_MESSAGE(table.find("[" + web_v6 + "]:5301") != std::string::npos, table);
  const auto wide = bpfctl.run({"flow", "list", "--port", "5301", "-o", "wide"}).output;
  CHECK_MESSAGE(wide.find("peer slu") != std::string::npos, wide);
  CHECK(bpfctl.run({"flow", "list", "--pod", "default/nobody"}).status == 3);
}
