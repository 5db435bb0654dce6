/// Where policy is written: the maps of a loaded datapath, or what a test has in their place. Each call that changes
/// something is one step, and programs may judge packets behind each.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "loader/root.hpp"
#include "maps/endpoint.h"
#include "maps/ipcache.h"
#include "maps/policy.h"
#include "maps/result.hpp"

namespace sluice::loader::state::policy {

/// A map that the agent writes.
template <typename Key, typename Value>
class Elements {
 public:
  Elements() = default;
  Elements(const Elements&) = delete;
  Elements& operator=(const Elements&) = delete;
  virtual ~Elements() = default;

  [[nodiscard]] virtual Result<void> each(const std::function<void(const Key&, const Value&)>& visit) const = 0;
  /// E2BIG, ENOSPC: there is no room for a new one.
  virtual Result<void> put(const Key& key, const Value& value) = 0;
  /// The same for each of these in turn: so many steps. `done` are in, also where one fails.
  virtual Result<void> put_all(const std::vector<std::pair<Key, Value>>& elements, std::size_t& done) = 0;
  /// ENOENT: it is not there.
  virtual Result<void> replace(const Key& key, const Value& value) = 0;
  /// Succeeds where it is not there.
  virtual Result<void> erase(const Key& key) = 0;
  [[nodiscard]] virtual Result<std::uint32_t> capacity() const = 0;
};

/// Which generation of policy decides, and since when (maps/runtime.h).
class Moment {
 public:
  Moment() = default;
  Moment(const Moment&) = delete;
  Moment& operator=(const Moment&) = delete;
  virtual ~Moment() = default;

  [[nodiscard]] virtual std::uint32_t generation() const = 0;
  virtual void switch_generation() = 0;
  virtual void advance_epoch() = 0;
  /// Returns when each program that runs now has come to its end.
  virtual Result<void> wait_for_programs() = 0;
};

struct Store {
  std::unique_ptr<Elements<std::uint32_t, maps::policy>> policies;
  std::unique_ptr<Elements<maps::policy_port_key, maps::policy_port>> ports;
  std::unique_ptr<Elements<maps::peer_key, maps::peer_verdict>> peers;
  std::unique_ptr<Elements<maps::ipcache_key, maps::ipcache_entry>> ipcache;
  std::unique_ptr<Elements<maps::addr, maps::endpoint>> endpoints;
  std::unique_ptr<Moment> moment;
  /// As long as what it returns lives, nobody else writes endpoints.
  std::function<Result<std::shared_ptr<void>>()> lock_endpoints;

  /// The maps under this root. ENOENT: no datapath is loaded.
  static Result<Store> open(const Root& root);
};

}  // namespace sluice::loader::state::policy
