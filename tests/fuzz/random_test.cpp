// Packets that nobody would send, through every program: always a verdict, always one count, never a changed packet
// where it goes on, and right checksums on what the programs make themselves.
//
// SLUICE_FUZZ_SEED picks another run (the default is always the same), SLUICE_FUZZ_SECONDS a longer one.
#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "tests/datapath/datapath.hpp"
#include "tests/datapath/families.hpp"

using namespace sluice::test;
using namespace sluice::maps;

namespace {

constexpr std::size_t kEthernet = 14, kLargest = 1600;

long setting(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtol(text, nullptr, 0) : otherwise;
}

// One of each shape that the programs know, as a point to start from.
std::vector<Packet> shapes() {
  std::vector<Packet> all;
  for (const Family& family : kFamilies) {
    const auto web = family.at(family.web, 999), db = family.at(family.db, 53), world = family.at(family.world, 443);
    const Packet plain = udp(web, db);
    for (const Packet& packet : {plain, tcp(web, db, "S"), tcp(web, world), sctp(web, db), ping(family.web, family.db),
                                 other(family.web, family.db, 47), plain.ttl(1), plain.payload(64).fragment(7, 0),
                                 plain.payload(64).fragment(7, 64), plain.payload(1400).dont_fragment(),
                                 icmp_about(family.web, family.db, family.v4 ? 3 : 1, 1, 0, udp(db, web)),
                                 udp(family.at(family.host, 1), web), tcp(family.at(family.world, 443), web, "SA")})
      all.push_back(packet);
  }
  all.push_back(udp("10.0.0.5:1", "10.0.0.6:2").options({0x94, 4, 0, 0}));
  all.push_back(udp("[fd00::5]:1", "[fd00::6]:2").extension(0).extension(43).extension(60).fragment(9, 0));
  all.push_back(neighbour_solicitation("fd00::5", "fe80::1", sluice::Mac{{2, 0, 0, 0, 0, 1}}));
  return all;
}

class Source {
 public:
  explicit Source(std::uint64_t seed) : random_(seed), shapes_(shapes()) {}

  unsigned below(std::size_t limit) { return static_cast<unsigned>(random_() % limit); }

  /// Mostly a valid frame with some damage; sometimes noise behind an Ethernet header.
  Bytes frame(const sluice::Mac& from, const sluice::Mac& to) {
    if (below(8) == 0) return noise(from, to);
    Packet packet = shapes_[below(shapes_.size())];
    if (below(6) == 0) packet = packet.vlan(below(2) == 0 ? 0 : static_cast<std::uint16_t>(random_()));
    Bytes bytes = packet.frame(from, to);
    for (unsigned i = below(5); i > 0; i--) bytes[below(bytes.size())] = static_cast<std::uint8_t>(random_());
    // Headers are where a wrong byte tells.
    for (unsigned i = below(3); i > 0; i--)
      bytes[kEthernet + below(60) % (bytes.size() - kEthernet)] ^= static_cast<std::uint8_t>(1U << below(8));
    if (below(3) == 0) bytes.resize(kEthernet + below(bytes.size() - kEthernet + 1));
    if (below(20) == 0) bytes.resize(std::min(kLargest, bytes.size() + below(200)));
    return runnable(bytes);
  }

 private:
  Bytes noise(const sluice::Mac& from, const sluice::Mac& to) {
    static constexpr std::uint16_t kTypes[] = {0x0800, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x88cc};
    Bytes bytes(to.bytes.begin(), to.bytes.end());
    bytes.insert(bytes.end(), from.bytes.begin(), from.bytes.end());
    const std::uint16_t type = kTypes[below(std::size(kTypes))];
    bytes.push_back(static_cast<std::uint8_t>(type >> 8));
    bytes.push_back(static_cast<std::uint8_t>(type));
    for (unsigned i = below(200); i > 0; i--) bytes.push_back(static_cast<std::uint8_t>(random_()));
    return runnable(bytes);
  }

  // From 6.14 on the kernel itself refuses to run a frame that ends inside the IP header; a tag hides it.
  static Bytes runnable(Bytes bytes) {
    const bool v4 = bytes[12] == 0x08 && bytes[13] == 0x00, v6 = bytes[12] == 0x86 && bytes[13] == 0xdd;
    if ((v4 && bytes.size() < kEthernet + 20) || (v6 && bytes.size() < kEthernet + 40))
      bytes.insert(bytes.begin() + 12, {0x81, 0x00, 0x00, 0x00});
    return bytes;
  }

  std::mt19937_64 random_;
  std::vector<Packet> shapes_;
};

}  // namespace

TEST_CASE("whatever a packet is, it gets a verdict and is counted once") {
  const long seed = setting("SLUICE_FUZZ_SEED", 20240229), seconds = setting("SLUICE_FUZZ_SECONDS", 3);
  CAPTURE(seed);
  Source source(static_cast<std::uint64_t>(seed));
  Datapath node;
  node.pod("web", "10.0.0.5", "fd00::5").pod("db", "10.0.0.6", "fd00::6", {.mtu = 1300});
  node.observe(0, {.events = 0xf}, 4096);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  unsigned long packets = 0, kinds[Verdict::kOddity + 1] = {};
  for (; std::chrono::steady_clock::now() < end; packets++) {
    CAPTURE(packets);
    const bool out = source.below(3) != 0;
    const Bytes frame = out ? source.frame(node.mac("web"), sluice::loader::kHostMac)
                            : source.frame(sluice::loader::kHostMac, node.mac("web"));
    const Outcome outcome = out ? node.from_pod("web", frame) : node.to_pod("web", frame);
    const bool sound = outcome.problems.empty() && outcome.verdict.kind != Verdict::kOddity;
    kinds[outcome.verdict.kind]++;
    if (!sound) {
      CAPTURE(outcome);
      FAIL_CHECK("no clean verdict");
    }
    if (source.below(100) == 0) node.new_epoch();
  }
  // The packets are bad, but not so bad that none finds its way.
  CHECK(packets > 100);
  CHECK(kinds[Verdict::kDelivered] > packets / 100);
  CHECK(kinds[Verdict::kToStack] > packets / 100);
  CHECK(kinds[Verdict::kDropped] > packets / 100);
  MESSAGE(packets << " packets");
}
