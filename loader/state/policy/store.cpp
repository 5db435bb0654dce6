#include "loader/state/policy/store.hpp"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "loader/program/lock.hpp"
#include "maps/views.hpp"

namespace sluice::loader::state::policy {
namespace {

template <typename View>
class Pinned : public Elements<typename View::key_type, typename View::value_type> {
 public:
  using Key = typename View::key_type;
  using Value = typename View::value_type;

  explicit Pinned(View view) : view_(std::move(view)) {}

  [[nodiscard]] Result<void> each(const std::function<void(const Key&, const Value&)>& visit) const override {
    return view_.each(visit);
  }
  Result<void> put(const Key& key, const Value& value) override { return view_.put(key, value); }
  Result<void> put_all(const std::vector<std::pair<Key, Value>>& elements, std::size_t& done) override {
    return view_.put_all(elements, done);
  }
  Result<void> replace(const Key& key, const Value& value) override { return view_.replace(key, value); }
  Result<void> erase(const Key& key) override {
    (void)TRY(view_.erase(key));
    return {};
  }
  [[nodiscard]] Result<std::uint32_t> capacity() const override { return view_.capacity(); }

 private:
  View view_;
};

class Words : public Moment {
 public:
  explicit Words(maps::Mapped<maps::runtime> words) : words_(std::move(words)) {}

  [[nodiscard]] std::uint32_t generation() const override { return maps::generation(*words_); }
  void switch_generation() override { maps::switch_generation(*words_); }
  void advance_epoch() override { maps::advance_epoch(*words_); }

  /// Programs run inside of RCU's read side, and this is a grace period of it (membarrier(2): every processor has been
  /// in user space, or idle, since). The kernel refuses it only where nohz_full is set: then a moment must do.
  Result<void> wait_for_programs() override {
    if (::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return {};
    if (errno != EINVAL && errno != ENOSYS) return fail(errno, "wait for running programs");
    ::usleep(kMomentUs);
    return {};
  }

 private:
  static constexpr unsigned kMomentUs = 50'000;

  maps::Mapped<maps::runtime> words_;
};

template <typename View>
Result<std::unique_ptr<Pinned<View>>> open_pinned(const Root& root) {
  return std::make_unique<Pinned<View>>(TRY(maps::open<View>(root.maps())));
}

}  // namespace

Result<Store> Store::open(const Root& root) {
  Store store;
  store.policies = TRY(open_pinned<maps::Policies>(root));
  store.ports = TRY(open_pinned<maps::PolicyPorts>(root));
  store.peers = TRY(open_pinned<maps::Peers>(root));
  store.ipcache = TRY(open_pinned<maps::Ipcache>(root));
  store.endpoints = TRY(open_pinned<maps::Endpoints>(root));
  store.moment =
      std::make_unique<Words>(TRY(maps::Mapped<maps::runtime>::open(TRY(maps::open<maps::Runtime>(root.maps())).fd())));
  store.lock_endpoints = [root]() -> Result<std::shared_ptr<void>> {
    return std::shared_ptr<void>(std::make_shared<program::Lock>(TRY(program::Lock::endpoints(root))));
  };
  return store;
}

}  // namespace sluice::loader::state::policy
