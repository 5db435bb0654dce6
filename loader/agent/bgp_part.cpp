#include <fcntl.h>
#include <grp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <thread>

#include "loader/agent/part.hpp"
#include "loader/bgp/bird.hpp"
#include "loader/bgp/configuration.hpp"
#include "loader/bgp/peers.hpp"
#include "loader/undo.hpp"
#include "maps/fd.hpp"

namespace sluice::loader::agent {
namespace {

constexpr int kLooks = 10;
constexpr std::chrono::milliseconds kPause{20};

bool is_announced(const kube::ObjectId& id) {
  return id.kind == "Node" || id.kind == "Service" || id.kind == "EndpointSlice";
}

/// There are passwords in it: for root, and for the group that BIRD of Debian runs as.
Result<void> write_for_bird(const std::filesystem::path& path, const std::string& text) {
  const auto doing = "write " + path.string();
  std::error_code error;
  std::filesystem::remove(path, error);
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
  if (file.get() < 0) return fail(errno, doing);
  const group* bird = ::getgrnam("bird");
  if (bird != nullptr && ::fchown(file.get(), 0, bird->gr_gid) != 0) return fail(errno, doing);
  for (std::string_view rest = text; !rest.empty();) {
    const auto written = ::write(file.get(), rest.data(), rest.size());
    if (written < 0) return fail(errno, doing);
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

class BgpPart : public Part {
 public:
  explicit BgpPart(Root root) : root_(std::move(root)), file_(root_.state() / "bird.conf") {}

  [[nodiscard]] const char* name() const override { return "bgp"; }

  Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                        const NodeConfig& config) override {
    std::error_code error;
    if (!config.bgp && !std::filesystem::exists(file_, error)) return Applied{};
    if (started_ && !look_again_ && config.bgp == bgp_ && std::ranges::none_of(changed, is_announced))
      return Applied{0, 0, warnings_};
    const auto blocks = bgp::announced(cluster, config.name(), config);
    const auto wanted = TRY(bgp::configuration(config, blocks));
    const bool told = TRY(tell(wanted));
    bgp_ = config.bgp;
    started_ = true;
    look_again_ = false;
    return Applied{told ? blocks.size() : 0, told ? 1U : 0U, warnings_};
  }

  void maps_are_new() override {}  // it has nothing to do with them
  void look_again() override { look_again_ = true; }

 private:
  /// True: BIRD had another configuration. What it refuses changes nothing.
  Result<bool> tell(const bgp::Configuration& wanted) {
    warnings_.clear();
    const auto now = bgp::bgp_status(root_);
    if (now && now->mark == wanted.mark) return false;
    const std::filesystem::path fresh = file_.string() + ".new";
    const Undo remove([&] {
      std::error_code ignored;
      std::filesystem::remove(fresh, ignored);
    });
    TRY(write_for_bird(fresh, wanted.text));
    if (now) TRY(bgp::ask_bird(root_, "configure check \"" + fresh.string() + "\""));
    if (std::rename(fresh.c_str(), file_.c_str()) != 0) return fail(errno, "write " + file_.string());
    if (!now) {
      warnings_.push_back("BIRD is not there, so nothing is announced or learned: " + now.error().message);
      return false;
    }
    TRY(bgp::ask_bird(root_, "configure"));
    // It answers before all of it is in force.
    for (int look = 0; TRY(bgp::bgp_status(root_)).mark != wanted.mark; look++) {
      if (look == kLooks) {
        warnings_.push_back("BIRD does not read " + file_.string() + ": its own configuration must include it");
        break;
      }
      std::this_thread::sleep_for(kPause);
    }
    return true;
  }

  Root root_;
  std::filesystem::path file_;
  std::optional<Bgp> bgp_;  ///< that BIRD was told last
  std::vector<std::string> warnings_;
  bool started_ = false, look_again_ = false;
};

}  // namespace

std::unique_ptr<Part> bgp_part(const Root& root) { return std::make_unique<BgpPart>(root); }

}  // namespace sluice::loader::agent
