#include <linux/fib_rules.h>
#include <netlink/addr.h>
#include <netlink/route/rule.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>

#include "loader/net/socket.hpp"

namespace sluice::loader::net {

namespace {

struct RuleDelete {
  void operator()(rtnl_rule* rule) const { rtnl_rule_put(rule); }
};

/// nullptr: out of memory.
std::unique_ptr<rtnl_rule, RuleDelete> nl_rule(const Rule& rule) {
  const int family = rule.source.is_v4() ? AF_INET : AF_INET6;
  const NlAddr source(nl_addr_build(family, rule.source.bytes(), rule.source.bytes_size()));
  std::unique_ptr<rtnl_rule, RuleDelete> request(rtnl_rule_alloc());
  if (!request || !source) return nullptr;
  rtnl_rule_set_family(request.get(), family);
  rtnl_rule_set_src(request.get(), source.get());
  rtnl_rule_set_table(request.get(), static_cast<unsigned>(rule.table));
  rtnl_rule_set_action(request.get(), FR_ACT_TO_TBL);
  return request;
}

/// nullopt: a rule with more to it than Rule can say.
std::optional<Rule> rule_of(nl_object* object) {
  auto* const rule = reinterpret_cast<rtnl_rule*>(object);
  nl_addr* const source = rtnl_rule_get_src(rule);
  const int family = rtnl_rule_get_family(rule);
  if (source == nullptr || rtnl_rule_get_action(rule) != FR_ACT_TO_TBL) return std::nullopt;
  const unsigned bytes = family == AF_INET ? 4 : 16;
  if (nl_addr_get_len(source) != bytes || nl_addr_get_prefixlen(source) != bytes * 8) return std::nullopt;
  return Rule{Address::from_bytes(nl_addr_get_binary_addr(source), family == AF_INET),
              static_cast<int>(rtnl_rule_get_table(rule))};
}

std::string words(const Rule& rule) { return rule.source.text() + " to table " + std::to_string(rule.table); }

}  // namespace

Result<void> Netlink::add_rule(const Rule& rule) {
  const auto doing = "add rule from " + words(rule);
  const auto request = nl_rule(rule);
  nl_msg* message = nullptr;
  if (!request || rtnl_rule_build_add_request(request.get(), NLM_F_CREATE | NLM_F_EXCL, &message) < 0) {
    return fail(ENOMEM, doing);
  }
  auto added = socket_->exchange(Message(message), doing);
  if (added.failed_with(EEXIST)) return {};
  return added;
}

Result<void> Netlink::delete_rule(const Rule& rule) {
  const auto doing = "delete rule from " + words(rule);
  const auto request = nl_rule(rule);
  nl_msg* message = nullptr;
  if (!request || rtnl_rule_build_delete_request(request.get(), 0, &message) < 0) return fail(ENOMEM, doing);
  auto deleted = socket_->exchange(Message(message), doing);
  // A kernel without IPv6 says EAFNOSUPPORT, and has no rules of it.
  if (deleted.failed_with(ENOENT) || deleted.failed_with(EAFNOSUPPORT)) return {};
  return deleted;
}

Result<std::vector<Rule>> Netlink::rules() {
  std::vector<Rule> all;
  for (const int family : {AF_INET, AF_INET6}) {
    fib_rule_hdr header{};
    header.family = static_cast<unsigned char>(family);
    auto found = socket_->dump<Rule>([&] { return dump_request(RTM_GETRULE, header); }, "list rules",
                                     [](nl_object* object, auto& rules) {
                                       if (const auto rule = rule_of(object)) rules.push_back(*rule);
                                     });
    if (found.failed_with(EAFNOSUPPORT)) continue;  // as in delete_rule
    if (!found) return found;
    all.insert(all.end(), found->begin(), found->end());
  }
  return all;
}

}  // namespace sluice::loader::net
