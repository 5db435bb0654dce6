// bpfctl deny.
#include <doctest/doctest.h>

#include "tests/cli/bpfctl.hpp"

using namespace sluice::e2e;

TEST_CASE("blocks are denied, listed and allowed again; what is no block and what is not there is refused") {
  const Bpfctl bpfctl;
  CHECK(bpfctl.json({"deny", "list"}).empty());
  const auto added = bpfctl.run({"deny", "add", "203.0.113.7/24", "2001:db8:bad::7", "203.0.113.0/24"});
  CHECK_MESSAGE(added.output == "2 added\n", added.output);
  const auto listed = bpfctl.json({"deny", "list"});
  REQUIRE(listed.size() == 2);
  CHECK(listed[0].at("block") == "203.0.113.0/24");
  CHECK(listed[1].at("block") == "2001:db8:bad::7/128");
  for (const auto& row : listed) CHECK(row.at("inForce") == true);
  CHECK(bpfctl.json({"map", "dump", "denied"}).size() == 2);

  CHECK(bpfctl.run({"deny", "add", "203.0.113.0/33"}).status == 2);
  CHECK(bpfctl.run({"deny", "delete", "203.0.113.0/25"}).status == 3);
  CHECK(bpfctl.run({"deny", "delete", "203.0.113.0/24"}).output == "1 deleted\n");
  CHECK(bpfctl.json({"deny", "list"}).size() == 1);
  CHECK(bpfctl.json({"status"}).at("xdp").empty());
}
