/// An observer of events: a ring buffer of its own, behind a filter of its own that the programs judge, in a slot of
/// its own (maps/observer.h). Several observers each see everything that their filter lets pass.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/observe/slot.hpp"
#include "loader/root.hpp"
#include "maps/address.hpp"
#include "maps/drop_reason.h"
#include "maps/observer.h"
#include "maps/result.hpp"

namespace sluice::loader::observe {

/// An event must pass all that is set.
struct EventFilter {
  std::vector<maps::event_type> types;  ///< empty: no event
  std::optional<Prefix> address;        ///< of either end
  std::optional<std::uint16_t> port;    ///< of either end
  std::optional<std::uint8_t> proto;    ///< IPPROTO_*
  std::optional<maps::drop_reason> reason;
  std::optional<int> ifindex;  ///< the host's end of a pod's veth pair: what the pod sends, and what goes to it
};

class Observer {
 public:
  using Visit = std::function<void(const maps::flow_event&)>;

  /// Events are kept from here on. `ring_bytes`: a power of two, not less than a page. ENOENT: no datapath is loaded.
  /// EBUSY: all slots are in use.
  static Result<Observer> open(const Root& root, const EventFilter& filter,
                               std::uint32_t ring_bytes = OBSERVER_RING_BYTES);

  Observer(Observer&&) noexcept;
  Observer& operator=(Observer&&) noexcept;
  /// Gives the slot back.
  ~Observer();

  /// Waits up to `patience` for events and calls `visit`, which must not throw, for each one that is there; returns
  /// their number, also early when a signal comes. Has to be called at least every 20 seconds: the programs stop
  /// writing for an observer that seems dead. ESTALE: the datapath was removed, or is another one by now.
  Result<std::size_t> poll(std::chrono::milliseconds patience, const Visit& visit);

  /// Events so far that found the ring full.
  [[nodiscard]] std::uint64_t lost() const;
  /// How often so long went by between two calls of poll that events were not even written.
  [[nodiscard]] std::uint64_t lapses() const;
  [[nodiscard]] unsigned slot() const;

 private:
  struct State;
  explicit Observer(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

/// A slot in use, or one that a process has left in use when it died: the next observer takes it.
struct ObserverStatus {
  unsigned slot = 0;
  std::optional<SlotHolder> holder;     ///< nullopt: it died
  std::vector<maps::event_type> types;  ///< what it is told of; none: it has only just taken the slot
  std::uint64_t lost = 0;
};
Result<std::vector<ObserverStatus>> observers(const Root& root);

}  // namespace sluice::loader::observe
