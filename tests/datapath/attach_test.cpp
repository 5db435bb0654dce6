// The programs hang on an interface in both of the ways that the loader has.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>

#include "tests/datapath/datapath.hpp"

using namespace sluice::test;

namespace {

// linux/bpf.h, since 6.6; libbpf 1.1 does not know them.
constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46), kTcxEgress = static_cast<bpf_attach_type>(47);

struct Hook {
  const char* program;
  bpf_tc_attach_point clsact;
  bpf_attach_type tcx;
};
constexpr Hook kHooks[] = {{"from_pod", BPF_TC_INGRESS, kTcxIngress}, {"to_pod", BPF_TC_EGRESS, kTcxEgress}};

}  // namespace

TEST_CASE("the programs attach to a clsact qdisc") {
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5");
  for (const Hook& hook : kHooks) {
    CAPTURE(std::string(hook.program));
    LIBBPF_OPTS(bpf_tc_hook, qdisc, .ifindex = static_cast<int>(node.ifindex("web")), .attach_point = hook.clsact);
    LIBBPF_OPTS(bpf_tc_opts, filter, .prog_fd = node.program(hook.program), .handle = 1, .priority = 1);
    const int created = bpf_tc_hook_create(&qdisc);
    CHECK((created == 0 || created == -EEXIST));
    CHECK(bpf_tc_attach(&qdisc, &filter) == 0);
    LIBBPF_OPTS(bpf_tc_opts, there, .handle = 1, .priority = 1);
    CHECK(bpf_tc_query(&qdisc, &there) == 0);
    CHECK(there.prog_id != 0);
    there.prog_fd = 0;
    there.prog_id = 0;
    CHECK(bpf_tc_detach(&qdisc, &there) == 0);
  }
  LIBBPF_OPTS(bpf_tc_hook, both, .ifindex = static_cast<int>(node.ifindex("web")),
              .attach_point = static_cast<bpf_tc_attach_point>(BPF_TC_INGRESS | BPF_TC_EGRESS));
  CHECK(bpf_tc_hook_destroy(&both) == 0);
}

TEST_CASE("the programs attach by tcx, and are replaced there in place") {
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5");
  for (const Hook& hook : kHooks) {
    CAPTURE(std::string(hook.program));
    const int link =
        bpf_link_create(node.program(hook.program), static_cast<int>(node.ifindex("web")), hook.tcx, nullptr);
    if (link < 0 && (errno == EINVAL || errno == EOPNOTSUPP)) {
      MESSAGE("skipped: this kernel has no tcx");
      return;
    }
    REQUIRE(link >= 0);
    CHECK(bpf_link_update(link, node.program(hook.program), nullptr) == 0);
    close(link);
  }
}
