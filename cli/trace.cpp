/// bpfctl trace: what the datapath would do with a packet, decision by decision.
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>

#include "cli/command.hpp"
#include "cli/text.hpp"
#include "loader/observe/cluster_names.hpp"
#include "loader/observe/policy_words.hpp"
#include "loader/observe/trace.hpp"
#include "maps/ipcache.h"
#include "maps/names.hpp"
#include "maps/policy.h"
#include "maps/service.h"

namespace sluice::cli {

namespace {

using loader::Root;
namespace observe = loader::observe;

constexpr const char* kExamples =
    R"(  bpfctl trace --from default/web --to 10.96.0.10:53/udp     through a Service
  bpfctl trace --from default/web --to default/db:5432       to a pod, TCP SYN in IPv4
  bpfctl trace -6 --from default/web --to default/db:5432
  bpfctl trace --from node --to default/web:8080             a probe of the node itself
  bpfctl trace --from node --to 10.96.0.1:443                what a call of its processes is given, and where that goes
  bpfctl trace --from 203.0.113.9 --to 192.0.2.7:30080       a client from outside, through a node port
  bpfctl trace --from 203.0.113.9 --to default/web:80        or whoever the host's stack brings in
  bpfctl trace --from default/web --to 10.244.2.7/icmp --size 1500
  bpfctl trace --from default/web:40123 --to 10.96.0.1:443 --flags A    a packet of a known connection
  bpfctl trace --from default/web --to default/db:5432 -o json | jq -r .reason

An end is HOST[:PORT], with /tcp (as without), /udp, /sctp or /icmp behind --to. HOST is an address, a pod or a Service
NAMESPACE/NAME (Services and other nodes' pods by the objects in the node's folder), or `node`.

The programs that are loaded run on the packet in the kernel, and write nothing: no connection, no count, no event. Where
a Service chooses its backend at random, another run may choose another.

Exit status: 0 the packet would go its way, 4 it would be dropped.)";

struct Options {
  std::string from, to, flags = "S";
  unsigned size = 0, ttl = 64;
  bool v4 = false, v6 = false, may_fragment = false;
  Format format = Format::kTable;
};

constexpr unsigned kLargest = 3500;  // bytes: a test run takes what fits into a page

CLI::Validator end_words() { return checked_by("HOST[:PORT][/PROTOCOL]", observe::EndWords::parse); }

CLI::Validator tcp_flags() {
  return checked_by("FLAGS", [](const std::string& text) -> Result<std::uint8_t> {
    if (const auto flags = maps::tcp_flags_of(text)) return *flags;
    return refuse(EINVAL, "'" + text + "' are no TCP flags: letters of FSRPAUEC");
  });
}

/// Puts one trace into words.
class Story {
 public:
  /// `words`: what the numbers of rules stand for, where that is known.
  Story(const observe::Trace& trace, const observe::ClusterNames& names,
        const std::optional<observe::PolicyWords>& words)
      : trace_(trace),
        names_(names),
        words_(words),
        said_(trace.traced.decision),
        half_(said_.entry.half[said_.dir & 1]),
        answers_(said_.continues && trace.known && trace.known->answers) {}

  [[nodiscard]] bool dropped() const { return trace_.traced.reason != maps::DROP_NONE; }

  [[nodiscard]] Details tell() const {
    Details all;
    const auto line = [&](const char* key, const char* heading, const std::string& text) {
      all.add({key, heading, text.empty() ? Show::kJson : Show::kAlways}, name(text));
    };
    line("packet", "Packet", packet());
    line("seenBy", "Seen by", seen_by());
    line("socket", "Socket", socket());
    line("connection", "Connection", connection());
    line("service", "Service", service());
    line("source", "Source", end_text_of(said_.source, source_classes()));
    line("destination", "Destination", end_text_of(said_.target, target_classes()));
    line("egress", "Egress policy", policy(client(), said_.egress, true));
    line("ingress", "Ingress policy", policy(server(), said_.ingress, false));
    line("translation", "Leaves as", translation());
    line("way", "Way", way());
    line("verdict", "Verdict", verdict());
    add_facts(all);
    return all;
  }

 private:
  /// For programs that read JSON: what the sentences have inside them.
  void add_facts(Details& all) const {
    const auto fact = [&](const std::string& key, Cell cell) { all.add({key, "", Show::kJson}, std::move(cell)); };
    const auto number = [](std::uint32_t value) { return value != 0 ? Cell(value) : nothing(); };
    fact("delivered", !dropped());
    fact("reason", dropped() ? Cell(maps::drop_reason_name(trace_.traced.reason)) : nothing());
    fact("answeredWith", name(answer()));
    fact("hook", maps::hook_name(trace_.packet.hook));
    fact("interface", name(device(trace_.packet.ifindex)));
    fact("protocol", maps::protocol_name(trace_.packet.proto));
    fact("sourceAddress", trace_.packet.source.address.text());
    fact("sourcePort", trace_.packet.source.port);
    fact("destinationAddress", trace_.packet.destination.address.text());
    fact("destinationPort", trace_.packet.destination.port);
    fact("known", trace_.known.has_value());
    fact("serviceNumber", number(trace_.socket ? trace_.socket->service : said_.entry.service));
    fact("backend", translated() ? Cell(end_text(backend()))
                    : given()    ? Cell(trace_.socket->backend.text())
                                 : nothing());
    for (const auto& [prefix, answer] : {std::pair("egress", &said_.egress), {"ingress", &said_.ingress}}) {
      const bool asked = answer->policy != 0;
      const std::string key = prefix;
      fact(key + "Verdict", asked ? Cell(answer->denied != 0 ? "deny" : "allow") : nothing());
      fact(key + "RuleSet", number(answer->policy));
      fact(key + "Rule", number(answer->rule));
    }
    fact("delivery",
         half_.delivery != maps::FLOW_UNDECIDED ? Cell(maps::flow_delivery_name(half_.delivery)) : nothing());
    fact("outInterface", name(device(static_cast<int>(half_.egress_ifindex))));
    fact("mtu", number(half_.mtu));
  }

  [[nodiscard]] bool begun() const { return half_.epoch != 0; }
  [[nodiscard]] bool translated() const { return (said_.entry.flags & FLOW_TRANSLATED) != 0; }
  [[nodiscard]] const maps::end& client() const { return answers_ ? said_.target : said_.source; }
  [[nodiscard]] const maps::end& server() const { return answers_ ? said_.source : said_.target; }

  [[nodiscard]] std::string who(const Address& address) const {
    const std::string known = names_.of(address);
    return known.empty() ? address.text() : known;
  }

  [[nodiscard]] std::string packet() const {
    const auto& [source, destination, proto, size, hook, ifindex] = trace_.packet;
    if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6)
      return fmt::format("{} echo {} -> {}, identifier {}, {} bytes", maps::protocol_name(proto), source.address.text(),
                         destination.address.text(), source.port, size);
    return fmt::format("{} {} -> {}, {} bytes", maps::protocol_name(proto), end_text(source), end_text(destination),
                       size);
  }

  /// A call of the node's own was given a backend.
  [[nodiscard]] bool given() const { return trace_.socket && trace_.socket->refused == maps::DROP_NONE; }
  /// No program sees the packet, only the call that it would come from.
  [[nodiscard]] bool only_called() const { return trace_.packet.hook == maps::HOOK_SOCKET; }

  [[nodiscard]] std::string socket() const {
    if (!trace_.socket) return "";
    const std::string called = names_.service(trace_.called.address, trace_.called.port, trace_.packet.proto);
    std::string text = "a call to " + end_text(trace_.called);
    if (trace_.socket->service != 0)
      text +=
          fmt::format(", {} (number {}),", called.empty() ? "a Service" : "Service " + called, trace_.socket->service);
    return text + (given() ? " is given " + trace_.socket->backend.text() : " fails");
  }

  [[nodiscard]] std::string seen_by() const {
    if (only_called()) return "the hooks of sockets alone: the packet is the host's stack's";
    return fmt::format("{} at {}: {}", maps::hook_name(trace_.packet.hook), device(trace_.packet.ifindex),
                       maps::hook_text(trace_.packet.hook));
  }

  [[nodiscard]] std::string connection() const {
    if (only_called()) return "";
    if (!trace_.known) return "new";
    const auto& known = *trace_.known;
    const bool expired = known.flow.expired;
    std::string text =
        fmt::format("{}{}, {} old", known.answers ? "answer of a known one: " : "known: ",
                    expired ? "expired" : maps::flow_state_name(known.flow.state), duration_text(known.flow.age));
    if (Address(said_.target.addr) == Address()) return text;  // dropped before it mattered
    if (!said_.continues) return text + "; a new one begins";
    text += known.epoch == trace_.epoch
                ? fmt::format(", decided in epoch {}, which is in force", known.epoch)
                : fmt::format(", decided in epoch {}; in force is {}", known.epoch, trace_.epoch);
    return text + "; this is what is decided now";
  }

  [[nodiscard]] observe::FlowEnd backend() const {
    return {Address(said_.entry.to.dst), said_.entry.to.dport.to_host()};
  }

  /// Only the client's packets go to a Service; an answer comes from its backend.
  [[nodiscard]] std::string service() const {
    const auto& [address, port] = trace_.packet.destination;
    const std::string called = names_.service(address, port, trace_.packet.proto);
    if (said_.entry.service == 0)
      return !answers_ && trace_.traced.reason == maps::DROP_NO_BACKEND ? "an address of Services, none at this port"
                                                                        : "";
    std::string text = called.empty() || answers_ ? fmt::format("number {}", said_.entry.service)
                                                  : fmt::format("{} (number {})", called, said_.entry.service);
    if (translated() && !answers_) text += ", backend " + end_text(backend());
    return text;
  }

  /// What policy took an end for, where it was asked about it.
  [[nodiscard]] std::optional<maps::policy_answer> classes(bool of_client) const {
    const maps::policy_answer& answer = of_client ? said_.ingress : said_.egress;
    return answer.identity != 0 ? std::optional(answer) : std::nullopt;
  }
  [[nodiscard]] std::optional<maps::policy_answer> source_classes() const { return classes(!answers_); }
  [[nodiscard]] std::optional<maps::policy_answer> target_classes() const { return classes(answers_); }

  static std::string identity_text(std::uint32_t identity) {
    switch (identity) {
      case maps::IDENTITY_HOST:
        return "this node";
      case maps::IDENTITY_REMOTE_NODE:
        return "another node";
      case maps::IDENTITY_WORLD:
        return "the world";
      case maps::IDENTITY_INIT:
        return "a pod that awaits its policy";
      default:
        return fmt::format("identity {}", identity);
    }
  }

  [[nodiscard]] std::string end_text_of(const maps::end& end, const std::optional<maps::policy_answer>& as) const {
    const Address address(end.addr);
    if (address == Address()) return "";  // it was dropped before
    const bool here = end.pod.ifindex != 0;
    std::string text = who(address) + (here ? ", a pod of this node" : ", no pod of this node");
    const std::uint32_t identity = here ? end.policy.classes.identity : as ? as->identity : 0;
    const std::uint32_t blocks = here ? end.policy.classes.blocks : as ? as->blocks : 0;
    if (identity != 0) text += "; to policy: " + identity_text(identity);
    if (blocks != 0) text += fmt::format("{} block class {}", identity != 0 ? "," : ";", blocks);
    return text;
  }

  /// Where policy was never come to, the reason says why.
  [[nodiscard]] bool judged() const {
    switch (trace_.traced.reason) {
      case maps::DROP_NONE:
      case maps::DROP_POLICY_EGRESS:
      case maps::DROP_POLICY_INGRESS:
      case maps::DROP_TTL_EXPIRED:
      case maps::DROP_TOO_BIG:
      case maps::DROP_NO_TUNNEL:
      case maps::DROP_NO_PORT:
      case maps::DROP_NO_UPLINK:
      case maps::DROP_NO_SOURCE:
      case maps::DROP_REWRITE:
        return begun();
      default:
        return false;
    }
  }

  [[nodiscard]] std::string policy(const maps::end& end, const maps::policy_answer& answer, bool egress) const {
    if (!judged() || (!egress && trace_.traced.reason == maps::DROP_POLICY_EGRESS)) return "";
    const std::string pod = who(Address(end.addr));
    const std::uint32_t rules = egress ? end.policy.egress : end.policy.ingress;
    if (end.pod.ifindex == 0) return "not judged here: " + pod + " is no pod of this node";
    if (rules == 0) return std::string("no rules for what ") + pod + (egress ? " sends" : " gets");
    if (answer.policy == 0)
      return said_.source.pod.ifindex == said_.target.pod.ifindex ? "a pod always reaches itself"
                                                                  : "its node always reaches a pod";
    return fmt::format(
        "{} (rule set {} of {})",
        verdict_text(answer, {names_.of(Address(end.addr)), !egress, trace_.packet.proto, server_port()}),
        answer.policy, pod);
  }

  /// As the server sees it, and policy with it.
  [[nodiscard]] std::uint16_t server_port() const {
    if (answers_) return trace_.packet.source.port;
    return translated() ? backend().port : trace_.packet.destination.port;
  }

  [[nodiscard]] std::string verdict_text(const maps::policy_answer& answer,
                                         const observe::PolicyQuestion& question) const {
    if ((answer.flags & POLICY_IN_FORCE) == 0) return "denied: the rule set is not in force";
    const bool audited = answer.denied != 0 && (answer.flags & POLICY_AUDIT) != 0;
    const std::string text = audited              ? "allowed by audit mode alone, else denied"
                             : answer.denied != 0 ? "denied"
                                                  : "allowed";
    if (answer.rule == 0 && answer.denied == 0) return text + ": no rule speaks of it";
    if (answer.rule == 0) return text + ": " + (words_ ? words_->denial(0, question) : "isolated, no rule allows");
    const std::string rule = words_ ? words_->rule(answer.rule, question) : "";
    return text + " by " +
           (rule.empty() ? fmt::format("rule {} ({})", answer.rule, maps::policy_tier_name(answer.tier)) : rule);
  }

  [[nodiscard]] std::string translation() const {
    if (!translated() || dropped()) return "";
    const auto& to = said_.entry.to;
    return fmt::format("{} -> {}", end_text({Address(to.src), to.sport.to_host()}),
                       end_text({Address(to.dst), to.dport.to_host()}));
  }

  [[nodiscard]] std::string way() const {
    if (only_called()) return dropped() ? "" : route_words(trace_.packet.destination.address);
    const std::string target = who(Address(said_.target.addr));
    const std::string out = device(static_cast<int>(half_.egress_ifindex));
    switch (half_.delivery) {
      case maps::FLOW_TO_PEER:
        return fmt::format("straight into {}, behind {}, MTU {}", target, out, half_.mtu);
      case maps::FLOW_TO_DEVICE:
        return fmt::format("through the qdisc of {} into {}, MTU {}", out, target, half_.mtu);
      case maps::FLOW_TO_TUNNEL:
        return fmt::format("tunnel to the node with number {}, by {}, MTU {}", half_.node, out, half_.mtu);
      case maps::FLOW_TO_UPLINK:
        return fmt::format("to the world by {}, MTU {}", out, half_.mtu);
      case maps::FLOW_TO_STACK:
        if (trace_.packet.hook == maps::HOOK_TO_POD)
          return fmt::format("on into {}, behind {}", target, device(trace_.packet.ifindex));
        return said_.target.pod.ifindex != 0 ? fmt::format("through the host's stack into {}", target)
                                             : route_words(Address(said_.target.addr));
      default:
        return "";
    }
  }

  static std::string route_words(const Address& to) {
    return fmt::format("the host's stack: `ip route get {}` shows its way", to.text());
  }

  /// What the sender gets in place of silence.
  [[nodiscard]] std::string answer() const {
    const auto& traced = trace_.traced;
    if (!dropped() || traced.action == kShot) return "";
    const std::size_t at =
        kEthernet + (trace_.packet.source.address.is_v4() ? offsetof(iphdr, protocol) : offsetof(ip6_hdr, ip6_nxt));
    return traced.frame.size() > at && traced.frame[at] == IPPROTO_TCP ? "TCP reset" : "ICMP error";
  }

  [[nodiscard]] std::string verdict() const {
    const auto& traced = trace_.traced;
    if (only_called() && dropped())
      return fmt::format("the call fails: {}: {}", maps::drop_reason_name(traced.reason),
                         maps::drop_reason_text(traced.reason));
    if (only_called()) return "handed to the host's stack";
    if (dropped()) {
      const std::string told = answer();
      return fmt::format("dropped: {}: {}{}", maps::drop_reason_name(traced.reason),
                         maps::drop_reason_text(traced.reason),
                         told.empty() ? "" : "; it gets " + std::string(told == "TCP reset" ? "a " : "an ") + told);
    }
    if (trace_.packet.hook == maps::HOOK_TO_POD) return "delivered to " + who(Address(said_.target.addr));
    if (traced.action == kPass && !begun())
      return "handed to the host's stack: it is of no Service that is open to the outside, and of no connection of a "
             "pod";
    if (traced.action == kPass && half_.delivery != maps::FLOW_TO_STACK)
      return fmt::format("handed to the host's stack, which fragments it: it is larger than {} bytes", half_.mtu);
    if (traced.action == kPass) return "handed to the host's stack";
    if (half_.delivery == maps::FLOW_TO_UPLINK) return "sent to the world";
    return half_.delivery == maps::FLOW_TO_TUNNEL ? "sent to the other node"
                                                  : "delivered to " + who(Address(said_.target.addr));
  }

  static std::string device(int ifindex) {
    std::array<char, IF_NAMESIZE> text{};
    if (ifindex == 0) return "";
    const bool known = if_indextoname(static_cast<unsigned>(ifindex), text.data()) != nullptr;
    return known ? text.data() : fmt::format("interface {}", ifindex);
  }

  static constexpr int kPass = -1, kShot = 2;  // TC_ACT_UNSPEC, TC_ACT_SHOT
  static constexpr std::size_t kEthernet = 14;

  const observe::Trace& trace_;
  const observe::ClusterNames& names_;
  const std::optional<observe::PolicyWords>& words_;
  const maps::decision& said_;
  const maps::flow_half& half_;
  bool answers_;
};

Result<Status> trace(const Root& root, const Options& options) {
  observe::TraceRequest request{.from = TRY(observe::EndWords::parse(options.from)),
                                .to = TRY(observe::EndWords::parse(options.to)),
                                .v4 = {},
                                .tcp_flags = maps::tcp_flags_of(options.flags).value_or(0),
                                .size = options.size,
                                .ttl = static_cast<std::uint8_t>(options.ttl),
                                .may_fragment = options.may_fragment};
  if (options.v4 || options.v6) request.v4 = options.v4;
  const auto names = TRY(observe::ClusterNames::read(root));
  const auto traced = TRY(observe::trace(root, names, request));
  std::optional<observe::PolicyWords> words;
  if (auto read = observe::PolicyWords::read(root)) words = *std::move(read);  // else there are only numbers
  const Story story(traced, names, words);
  if (options.format == Format::kJson)
    print_json(story.tell().json());
  else
    fmt::print("{}", story.tell().text());
  return story.dropped() ? kDropped : kDone;
}

}  // namespace

void add_trace(Commands& commands) {
  auto options = std::make_shared<Options>();
  CLI::App& verb = commands.verb("trace", "Show what the datapath would do with a packet, and why", kExamples,
                                 [options](const Root& root) { return trace(root, *options); });
  const auto hosts = [](const Root& root) {
    auto all = pod_names(root);
    all.emplace_back(observe::kThisNode);
    return all;
  };
  commands.complete(verb.add_option("--from", options->from, "Who sends it")->required()->check(end_words()), hosts);
  commands.complete(verb.add_option("--to", options->to, "Whom it is for")->required()->check(end_words()), hosts);
  CLI::Option* v4 = verb.add_flag("-4", options->v4, "In IPv4, which it is anyway where both ends have both");
  verb.add_flag("-6", options->v6, "In IPv6")->excludes(v4);
  verb.add_option("--flags", options->flags, "Of TCP: letters of FSRPAUEC [S]")->check(tcp_flags());
  verb.add_option("--size", options->size, "From the IP header on; as small as it can be without")
      ->check(CLI::Range(1U, kLargest))
      ->type_name("BYTES");
  verb.add_option("--ttl", options->ttl, "Or hop limit [64]")->check(CLI::Range(1, 255))->type_name("HOPS");
  verb.add_flag("--may-fragment", options->may_fragment, "IPv4 without \"don't fragment\"");
  commands.output(verb, options->format, {"table", "json"});
}

}  // namespace sluice::cli
