#include "loader/observe/observer.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "loader/observe/flows.hpp"
#include "loader/program/status.hpp"
#include "maps/views.hpp"

namespace sluice::loader::observe {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::chrono::nanoseconds kLease = seconds(20);
constexpr std::chrono::nanoseconds kRenewal = seconds(5);

using Filters = maps::Mapped<maps::FilterSlots>;
using Runtime = maps::Mapped<maps::runtime>;

struct RingDelete {
  void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};
using Ring = std::unique_ptr<ring_buffer, RingDelete>;

/// The words and maps that all observers share.
struct Shared {
  Filters filters;
  Runtime runtime;
  maps::Observers rings;

  static Result<Shared> open(const Root& root) {
    return Shared{TRY(Filters::open(TRY(maps::open<maps::ObserverFilters>(root.maps())).fd())),
                  TRY(Runtime::open(TRY(maps::open<maps::Runtime>(root.maps())).fd())),
                  TRY(maps::open<maps::Observers>(root.maps()))};
  }

  /// The programs find nothing of the slot any more. To take the ring away waits for all that run at the moment, so
  /// that none of them writes what this slot's filter let pass into a ring that comes after.
  void clear(unsigned slot) {
    const std::uint32_t bit = 1U << slot;
    __atomic_and_fetch(&runtime->observers, ~bit, __ATOMIC_SEQ_CST);
    __atomic_and_fetch(&runtime->packet_observers, ~bit, __ATOMIC_SEQ_CST);
    __atomic_store_n(&(*filters)[slot].events, 0, __ATOMIC_SEQ_CST);
    (void)rings.erase(slot);  // fails only where there is none
  }
};

maps::addr mask_of(unsigned bits) {
  maps::addr mask{};
  for (unsigned i = 0; i < 4; i++) {
    const unsigned here = std::min(bits, 32U);
    bits -= here;
    mask.word[i] = maps::be32::from_host(here == 0 ? 0 : ~std::uint32_t{0} << (32 - here));
  }
  return mask;
}

maps::observer_filter to_layout(const EventFilter& filter) {
  constexpr unsigned kMappedBits = 96;  // before an IPv4 address
  maps::observer_filter entry{};
  for (const auto type : filter.types) entry.events |= 1U << type;
  if (filter.address) {
    entry.address = filter.address->first().wire();
    entry.mask = mask_of(filter.address->length + (filter.address->address.is_v4() ? kMappedBits : 0));
  }
  entry.port = maps::be16::from_host(filter.port.value_or(0));
  entry.proto = filter.proto.value_or(0);
  entry.reason = static_cast<std::uint8_t>(filter.reason.value_or(maps::DROP_NONE));
  entry.ifindex = static_cast<std::uint32_t>(filter.ifindex.value_or(0));
  return entry;
}

/// Tells this datapath's maps from those of one that was loaded later.
Result<std::uint32_t> rings_id(const Root& root) {
  for (const auto& map : TRY(program::map_status(root)))
    if (map.name == maps::Observers::kName) return map.id;
  return refuse(ENOENT, std::string("there is no map ") + maps::Observers::kName);
}

}  // namespace

struct Observer::State {
  Root root;
  Slot slot;
  Shared shared;
  std::uint32_t rings_id;
  Fd ring_map;
  Ring ring;
  const Visit* visit = nullptr;  // of the poll that is running
  std::uint64_t lapses = 0;

  State(Root in, Slot own, Shared all, std::uint32_t id, Fd map)
      : root(std::move(in)), slot(std::move(own)), shared(std::move(all)), rings_id(id), ring_map(std::move(map)) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { shared.clear(slot.number()); }

  [[nodiscard]] maps::observer_filter& filter() const { return (*shared.filters)[slot.number()]; }

  Result<void> start(const EventFilter& wanted) {
    // libbpf gives the callback one pointer for the ring's whole life, each poll has a visitor of its own.
    ring.reset(ring_buffer__new(
        ring_map.get(),
        [](void* state, void* data, std::size_t size) {
          maps::flow_event event{};
          std::memcpy(&event, data, std::min(size, sizeof(event)));
          (*static_cast<State*>(state)->visit)(event);
          return 0;
        },
        this, nullptr));
    if (!ring) return fail(errno, "map the ring buffer");
    const std::uint32_t number = slot.number(), bit = 1U << number;
    TRY(shared.rings.put(number, static_cast<std::uint32_t>(ring_map.get())).context("put the ring buffer in place"));
    maps::observer_filter entry = to_layout(wanted);
    entry.lease_ns = monotonic_ns() + kLease.count();
    filter() = entry;
    if ((entry.events & 1U << maps::EVENT_PACKET) != 0)
      __atomic_or_fetch(&shared.runtime->packet_observers, bit, __ATOMIC_SEQ_CST);
    __atomic_or_fetch(&shared.runtime->observers, bit, __ATOMIC_SEQ_CST);  // last: whoever sees it sees all
    return {};
  }

  Result<void> renew() {
    const std::uint64_t now = monotonic_ns(), lease = __atomic_load_n(&filter().lease_ns, __ATOMIC_RELAXED);
    if (now + (kLease - kRenewal).count() < lease) return {};
    if (now > lease) lapses++;
    const auto id = observe::rings_id(root);
    if (!id.failed_with(ENOENT) && !id) return id.error();
    if (!id || *id != rings_id)
      return refuse(ESTALE, "the datapath was removed or loaded anew meanwhile: look again to see the new one");
    __atomic_store_n(&filter().lease_ns, now + kLease.count(), __ATOMIC_RELAXED);
    return {};
  }
};

Observer::Observer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Observer::Observer(Observer&&) noexcept = default;
Observer& Observer::operator=(Observer&&) noexcept = default;
Observer::~Observer() = default;

Result<Observer> Observer::open(const Root& root, const EventFilter& filter, std::uint32_t ring_bytes) {
  Shared shared = TRY(Shared::open(root));
  const std::uint32_t id = TRY(rings_id(root));
  Fd ring(bpf_map_create(BPF_MAP_TYPE_RINGBUF, "observer_ring", 0, 0, ring_bytes, nullptr));
  if (ring.get() < 0) return fail(errno, "make a ring buffer");
  Slot slot = TRY(Slot::take(root));
  shared.clear(slot.number());  // what a dead owner may have left
  auto state = std::make_unique<State>(root, std::move(slot), std::move(shared), id, std::move(ring));
  TRY(state->start(filter));
  return Observer(std::move(state));
}

Result<std::size_t> Observer::poll(milliseconds patience, const Visit& visit) {
  TRY(state_->renew());
  const auto longest = std::chrono::duration_cast<milliseconds>(kRenewal);
  state_->visit = &visit;
  const int got =
      ring_buffer__poll(state_->ring.get(), static_cast<int>(std::clamp(patience, milliseconds(0), longest).count()));
  state_->visit = nullptr;
  if (got < 0 && got != -EINTR) return fail(-got, "read events");
  return static_cast<std::size_t>(std::max(got, 0));
}

std::uint64_t Observer::lost() const { return __atomic_load_n(&state_->filter().lost, __ATOMIC_RELAXED); }
std::uint64_t Observer::lapses() const { return state_->lapses; }
unsigned Observer::slot() const { return state_->slot.number(); }

Result<std::vector<ObserverStatus>> observers(const Root& root) {
  const Shared shared = TRY(Shared::open(root));
  std::vector<ObserverStatus> found;
  for (unsigned slot = 0; slot < OBSERVER_SLOTS; slot++) {
    const auto holder = TRY(slot_holder(root, slot));
    const bool in_use = (__atomic_load_n(&shared.runtime->observers, __ATOMIC_RELAXED) & 1U << slot) != 0;
    if (!holder && !in_use) continue;
    const maps::observer_filter& filter = (*shared.filters)[slot];
    ObserverStatus status{
        .slot = slot, .holder = holder, .types = {}, .lost = __atomic_load_n(&filter.lost, __ATOMIC_RELAXED)};
    for (const auto type :
         {maps::EVENT_NEW, maps::EVENT_CLOSED, maps::EVENT_DROPPED, maps::EVENT_PACKET, maps::EVENT_AUDITED})
      if (in_use && (filter.events & 1U << type) != 0) status.types.push_back(type);
    found.push_back(std::move(status));
  }
  return found;
}

}  // namespace sluice::loader::observe
