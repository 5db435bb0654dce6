#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "loader/net/socket.hpp"

namespace sluice::loader::net {

namespace {

constexpr std::uint64_t kLatencyMs = 25;

std::uint32_t clamped(std::uint64_t value) {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

// The attributes are put one by one since libnl's own tbf calls (3.7) end at 2^31 bytes a second, 17 Gbit/s.
Result<void> Netlink::put_rate_limit(int ifindex, std::uint64_t bits_per_second, std::uint32_t burst_bytes) {
  const auto doing = "limit the rate of device " + std::to_string(ifindex);
  const std::uint64_t rate = bits_per_second / 8;
  if (rate == 0) return fail(ERANGE, doing);

  tc_tbf_qopt options{};
  options.rate.rate = clamped(rate);
  options.rate.linklayer = TC_LINKLAYER_ETHERNET;  // then the kernel asks for no table of transmission times
  options.limit =
      clamped(static_cast<std::uint64_t>(static_cast<unsigned __int128>(rate) * kLatencyMs / 1000) + burst_bytes);
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = ifindex;
  header.tcm_handle = TC_H_MAKE(1U << 16, 0);
  header.tcm_parent = TC_H_ROOT;

  Message message(nlmsg_alloc_simple(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE));
  if (!message || nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0 ||
      nla_put_string(message.get(), TCA_KIND, "tbf") < 0) {
    return fail(ENOMEM, doing);
  }
  nlattr* const nest = nla_nest_start(message.get(), TCA_OPTIONS);
  if (nest == nullptr || nla_put(message.get(), TCA_TBF_PARMS, sizeof options, &options) < 0 ||
      nla_put_u64(message.get(), TCA_TBF_RATE64, rate) < 0 ||
      nla_put_u32(message.get(), TCA_TBF_BURST, burst_bytes) < 0) {
    return fail(ENOMEM, doing);
  }
  nla_nest_end(message.get(), nest);
  return socket_->exchange(std::move(message), doing);
}

}  // namespace sluice::loader::net
