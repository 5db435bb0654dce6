#include "loader/state/attachment.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/net_lab.hpp"
#include "tests/unit/temporary_root.hpp"

using namespace sluice;                 // NOLINT(google-build-using-namespace)
using namespace sluice::loader::state;  // NOLINT(google-build-using-namespace)
using sluice::tests::must;
using sluice::tests::TemporaryRoot;
using std::chrono::milliseconds;

namespace fs = std::filesystem;

namespace {

const AttachmentKey kWeb{"web", "eth0"};
const AttachmentKey kDb{"db", "eth0"};

Attachment attachment_of(const AttachmentKey& key) {
  Attachment attachment;
  attachment.key = key;
  attachment.network = "pods";
  attachment.netns = "/run/netns/" + key.container_id;
  attachment.host_ifname = host_ifname(key);
  attachment.addresses = {must(Address::parse("10.0.0.5")), must(Address::parse("fd00::5"))};
  return attachment;
}

void write(const TemporaryRoot& root, const Attachment& attachment) {
  must(must(LockedAttachment::lock(*root, attachment.key, milliseconds(0))).write(attachment));
}

}  // namespace

TEST_CASE("an attachment is read as it was written") {
  const TemporaryRoot root;
  Attachment written = attachment_of(kWeb);
  written.complete = true;
  written.pod_namespace = "shop";
  written.pod_name = "web-0";
  written.host_ifindex = 7;
  written.pod_mac = must(Mac::parse("02:00:00:00:00:05"));
  written.mtu = 1400;
  written.policy_table = 12;
  written.ipam_type = "host-local";
  written.ipam_config = R"({"type": "host-local"})";
  write(root, written);
  const auto read = must(find_attachment(*root, kWeb));
  REQUIRE(read);
  CHECK(read->key == kWeb);
  CHECK(read->complete);
  CHECK_FALSE(read->adopted);
  CHECK(read->network == "pods");
  CHECK(read->netns == "/run/netns/web");
  CHECK(read->pod_namespace == "shop");
  CHECK(read->pod_name == "web-0");
  CHECK(read->host_ifname == host_ifname(kWeb));
  CHECK(read->host_ifindex == 7);
  CHECK(read->pod_mac == written.pod_mac);
  CHECK(read->mtu == 1400);
  CHECK(read->addresses == written.addresses);
  CHECK(read->policy_table == 12);
  CHECK(read->ipam_type == "host-local");
  CHECK(read->ipam_config == written.ipam_config);
}

TEST_CASE("a shorter attachment replaces a longer one whole") {
  const TemporaryRoot root;
  Attachment attachment = attachment_of(kWeb);
  attachment.ipam_config = std::string(9000, 'x');  // more than one page
  write(root, attachment);
  CHECK(must(find_attachment(*root, kWeb))->ipam_config.size() == 9000);
  attachment.ipam_config = "";
  write(root, attachment);
  const auto read = must(find_attachment(*root, kWeb));
  REQUIRE(read);
  CHECK(read->ipam_config.empty());
  CHECK(read->addresses == attachment.addresses);
}

TEST_CASE("a file that cannot be understood is no attachment, and its key is known") {
  const TemporaryRoot root;
  CHECK(must(attachments(*root)).empty());
  write(root, attachment_of(kDb));
  const auto folder = root->state() / "attachments";
  for (const char* text : {"", "{\"containerID\": \"web\", \"netw", "[]", "{\"containerID\": \"web\"}"}) {
    CAPTURE(text);
    std::ofstream(folder / "web:eth0.json") << text;
    CHECK_FALSE(must(find_attachment(*root, kWeb)));
    CHECK_FALSE(must(LockedAttachment::lock(*root, kWeb, milliseconds(0))).read());
    const auto found = must(attachments(*root));
    REQUIRE(found.size() == 1);
    CHECK(found[0].key == kDb);
    CHECK(must(attachment_keys(*root)) == std::vector{kDb, kWeb});
  }
}

TEST_CASE("of the keys of a file, one of another type is passed over") {
  const TemporaryRoot root;
  write(root, attachment_of(kWeb));
  std::ofstream(root->state() / "attachments" / "web:eth0.json")
      << R"({"containerID": "web", "ifname": "eth0", "network": "pods", "mtu": "1400", "complete": 1,
             "podMac": "none", "ips": ["10.0.0.5", 6, "ten"]})";
  const auto read = must(find_attachment(*root, kWeb));
  REQUIRE(read);
  CHECK(read->mtu == 0);
  CHECK_FALSE(read->complete);
  CHECK(read->pod_mac == Mac{});
  CHECK(read->addresses == std::vector{must(Address::parse("10.0.0.5"))});
}

TEST_CASE("who works on an attachment works on it alone") {
  const TemporaryRoot root;
  {
    const auto held = must(LockedAttachment::lock(*root, kWeb, milliseconds(0)));
    const auto begin = std::chrono::steady_clock::now();
    const auto refused = LockedAttachment::lock(*root, kWeb, milliseconds(50));
    CHECK(std::chrono::steady_clock::now() - begin >= milliseconds(50));
    REQUIRE(refused.failed_with(EAGAIN));
    CHECK(refused.error().message == "another process works on interface eth0 of container web");
    CHECK(LockedAttachment::lock(*root, kDb, milliseconds(0)));  // another's is free
  }
  CHECK(LockedAttachment::lock(*root, kWeb, milliseconds(0)));
}

TEST_CASE("a file that was removed under its lock is made anew by the next") {
  const TemporaryRoot root;
  auto first = must(LockedAttachment::lock(*root, kWeb, milliseconds(0)));
  must(first.write(attachment_of(kWeb)));
  must(first.remove());
  must(first.remove());
  CHECK_FALSE(must(find_attachment(*root, kWeb)));
  const auto second = must(LockedAttachment::lock(*root, kWeb, milliseconds(0)));
  CHECK_FALSE(second.read());
  CHECK(must(attachment_keys(*root)) == std::vector{kWeb});
}

TEST_CASE("the name of a host end fits the kernel and is its key's alone") {
  CHECK(host_ifname(kWeb).size() == 14);
  CHECK(host_ifname(kWeb) == host_ifname({"web", "eth0"}));
  CHECK(host_ifname(kWeb) != host_ifname({"web", "eth1"}));
  CHECK(host_ifname(kWeb) != host_ifname(kDb));
}
