#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>

#include "loader/agent/part.hpp"
#include "loader/state/service/choice.hpp"

namespace sluice::loader::agent {
namespace {

/// A load balancer asks each node whether it has endpoints of the Service (spec.healthCheckNodePort), and sends to
/// those that have. The answer is kube-proxy's.
HttpAnswer answer(const kube::ObjectId& service, std::size_t ready) {
  const nlohmann::json body{{"service", {{"namespace", service.ns}, {"name", service.name}}},
                            {"localEndpoints", ready}};
  return {.status = ready > 0 ? 200U : 503U,
          .type = "application/json",
          .body = body.dump() + "\n",
          .headers = {{"X-Load-Balancing-Endpoint-Weight", std::to_string(ready)}}};
}

class HealthChecksPart : public Part {
 public:
  explicit HealthChecksPart(HttpServers& servers) : servers_(servers) {}

  [[nodiscard]] const char* name() const override { return "health-checks"; }

  Result<Applied> apply(const state::Cluster& cluster, const std::vector<kube::ObjectId>& changed,
                        const NodeConfig& config) override {
    const state::service::Here here{config.name(), {}};
    Applied applied;
    std::optional<Error> failed;
    for (const kube::ObjectId& id : changed) {
      if (id.kind != "Service") continue;
      applied.compiled++;
      auto done = look_at(cluster, id, here);
      if (!done) failed = done.error();  // the others are looked at all the same
      if (done && *done) applied.written++;
    }
    if (failed) return *failed;
    return applied;
  }

  /// It has nothing to do with maps.
  void maps_are_new() override {}

 private:
  struct Check {
    std::uint16_t port = 0;
    std::size_t ready = 0;
    bool operator==(const Check&) const = default;
  };

  /// True: something is another.
  Result<bool> look_at(const state::Cluster& cluster, const kube::ObjectId& id, const state::service::Here& here) {
    const kube::Object* object = cluster.find(id);
    const auto* service = object != nullptr ? std::get_if<kube::Service>(&object->body) : nullptr;
    const auto known = checks_.find(id);
    if (service == nullptr || service->health_check_node_port == 0 ||
        service->hands_off != kube::Service::HandsOff::kNo) {
      if (known == checks_.end()) return false;
      servers_.stop(id.text());
      checks_.erase(known);
      return true;
    }
    const Check wanted{service->health_check_node_port,
                       state::service::ready_here(*service, cluster.slices(id.ns, id.name), here)};
    if (known != checks_.end() && known->second == wanted) return false;
    checks_.erase(id);
    TRY(servers_
            .serve(id.text(), {Address(), wanted.port},
                   {{"", [id, ready = wanted.ready] { return answer(id, ready); }}})
            .context("health check of " + id.text()));
    checks_[id] = wanted;
    return true;
  }

  HttpServers& servers_;
  std::map<kube::ObjectId, Check> checks_;  ///< that are answered
};

}  // namespace

std::unique_ptr<Part> health_checks_part(HttpServers& servers) { return std::make_unique<HealthChecksPart>(servers); }

}  // namespace sluice::loader::agent
