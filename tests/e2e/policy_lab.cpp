#include "tests/e2e/policy_lab.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

namespace sluice::e2e {

namespace {

constexpr std::chrono::seconds kSoon{10};

/// A kind that nothing else in these labs is of: how many there are tells which change an agent has applied.
std::string generation_yaml(unsigned number) {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: generation-" + std::to_string(number) +
         ", namespace: generation}\nspec: {clusterIP: None, ports: [{port: 1}]}\n";
}

}  // namespace

PolicyLab::PolicyLab(const std::string& yaml, std::vector<std::string> nodes, const std::vector<std::string>& pods)
    : cluster_(yaml), nodes_(std::move(nodes)) {
  for (const std::string& node : nodes_) {
    agents_.emplace_back(cluster_, node);
    places_.emplace(node, cluster_.node(node));
  }
  for (const std::string& pod : pods) places_.emplace(pod, cluster_.pod(pod));
}

void PolicyLab::put(const std::string& objects) {
  write(objects);
  wait();
}

void PolicyLab::write(const std::string& objects) {
  generation_ = generation_ % 3 + 1;
  std::string yaml = objects;
  for (unsigned number = 1; number <= generation_; number++) yaml += generation_yaml(number);
  for (const std::string& node : nodes_) {
    const auto folder = cluster_.root(node).objects();
    std::ofstream(folder / "test.new") << yaml;
    std::filesystem::rename(folder / "test.new", folder / "test.yaml");
  }
}

void PolicyLab::wait() const {
  const bool done =
      within(kSoon, [&] { return std::ranges::all_of(nodes_, [&](auto& node) { return applied(node); }); });
  REQUIRE_MESSAGE(done, "an agent takes no notice");
}

Agent& PolicyLab::agent(const std::string& node) {
  return *std::next(agents_.begin(), std::ranges::find(nodes_, node) - nodes_.begin());
}

bool PolicyLab::applied(const std::string& node) const {
  std::ifstream file(cluster_.root(node).run() / "agent.json");
  const auto json = nlohmann::json::parse(file, nullptr, false);
  if (json.is_discarded()) return false;
  REQUIRE_MESSAGE(json.at("problems").empty(), json.at("problems").dump());
  if (json.at("objects").value("Service", 0U) != generation_) return false;
  for (const auto& part : json.at("parts")) REQUIRE_MESSAGE(part.at("failure") == "", part.dump());
  return true;
}

}  // namespace sluice::e2e
