// What the agent writes down about Services.
#include <doctest/doctest.h>

#include "loader/state/service/record.hpp"

using namespace sluice;
using namespace sluice::loader;
using namespace sluice::loader::state::service;

namespace {

kube::Service balanced() {
  kube::Service service;
  service.type = kube::Service::Type::kLoadBalancer;
  service.ports = {{"http", kube::Protocol::kTcp, 80, {8080, ""}, 0}, {"", kube::Protocol::kUdp, 53, {53, ""}, 0}};
  service.external_policy = kube::Service::TrafficPolicy::kLocal;
  service.load_balancer_ips = {*Address::parse("192.0.2.9")};
  return service;
}

}  // namespace

TEST_CASE("what is written down of Services is read back, and written again only when it has changed") {
  RecordText text;
  const kube::ObjectId web{"Service", "shop", "web"}, db{"Service", "shop", "db"};
  const auto service = balanced();
  text.set_here({"node-1", "zone-a"});
  text.put(web, &service, 7);
  text.put(db, &service, 0);  // in no map
  auto record = parse_record(text.text());
  REQUIRE(record);
  CHECK(record->here == Here{"node-1", "zone-a"});
  REQUIRE(record->services.size() == 1);
  const auto& one = record->services[0];
  CHECK(one.service == "shop/web");
  CHECK(one.number == 7);
  CHECK(one.type == "LoadBalancer");
  CHECK(one.ports == std::vector<std::string>{"http", ""});
  CHECK(one.internal_policy == "Cluster");
  CHECK(one.external_policy == "Local");
  CHECK(one.balancers == service.load_balancer_ips);
  CHECK(one.external.empty());

  CHECK(!text.changed());
  text.put(web, &service, 7);
  text.set_here({"node-1", "zone-a"});
  CHECK(!text.changed());
  text.put(web, &service, 8);
  CHECK(text.changed());
  CHECK(parse_record(text.text())->services[0].number == 8);
  text.put(web, nullptr, 0);
  CHECK(text.changed());
  CHECK(parse_record(text.text())->services.empty());
}

TEST_CASE("a file that is no record of Services is refused") {
  for (const char* text : {"", "{", "[]", R"({"node": "n", "zone": "", "services": [{}]})"})
    CHECK(parse_record(text).failed_with(EPROTO));
}
