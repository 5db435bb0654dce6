#include "loader/kube/labels.hpp"

#include <string>

#include "tests/unit/kube_text.hpp"

using namespace sluice;
using namespace sluice::loader::kube;
using sluice::tests::Refused;

namespace {

constexpr const char* kPolicy = R"(
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: SELECTOR}
)";

LabelSelector selector(const std::string& text) {
  return tests::only_body<NetworkPolicy>(tests::with(kPolicy, "SELECTOR", text)).pods;
}

}  // namespace

TEST_CASE("a selector matches where all its requirements do") {
  const Labels web{{"app", "web"}, {"tier", "front"}};
  const struct {
    const char* text;
    bool matches;
  } rows[] = {
      {"{}", true},
      {"{matchLabels: {}}", true},
      {"{matchLabels: {app: web}}", true},
      {"{matchLabels: {app: db}}", false},
      {"{matchLabels: {app: web, tier: back}}", false},
      {"{matchLabels: {none: ''}}", false},
      {"{matchExpressions: [{key: app, operator: In, values: [db, web]}]}", true},
      {"{matchExpressions: [{key: app, operator: In, values: [db]}]}", false},
      {"{matchExpressions: [{key: none, operator: In, values: [db]}]}", false},
      {"{matchExpressions: [{key: app, operator: NotIn, values: [db]}]}", true},
      {"{matchExpressions: [{key: app, operator: NotIn, values: [web, db]}]}", false},
      {"{matchExpressions: [{key: none, operator: NotIn, values: [web]}]}", true},
      {"{matchExpressions: [{key: app, operator: Exists}]}", true},
      {"{matchExpressions: [{key: none, operator: Exists}]}", false},
      {"{matchExpressions: [{key: app, operator: DoesNotExist}]}", false},
      {"{matchExpressions: [{key: none, operator: DoesNotExist, values: []}]}", true},
      {"{matchLabels: {app: web}, matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}", false},
  };
  for (const auto& row : rows) {
    CAPTURE(std::string(row.text));
    CHECK(selector(row.text).matches(web) == row.matches);
  }
}

TEST_CASE("selectors that say the same are equal, and their text is kubectl's") {
  const auto one = selector("{matchLabels: {app: web}, matchExpressions: [{key: a, operator: In, values: [y, x, y]}]}");
  const auto other =
      selector("{matchExpressions: [{key: a, operator: In, values: [x, y]}, {key: app, operator: In, values: [web]}]}");
  CHECK(one == other);
  CHECK(one.text() == "a in (x,y),app=web");
  CHECK(selector("{matchExpressions: [{key: a, operator: NotIn, values: [x]}, {key: b, operator: DoesNotExist},"
                 "{key: c, operator: Exists}, {key: d, operator: NotIn, values: [x, y]}]}")
            .text() == "a!=x,!b,c,d notin (x,y)");
  CHECK(selector("{}").everything());
}

TEST_CASE("a selector that the API server would refuse is refused") {
  const Refused rows[] = {
      {kPolicy, "SELECTOR", "{matchLabels: {-a: x}}",
       "NetworkPolicy default/p: spec.podSelector.matchLabels: \"-a\" is not a key"},
      {kPolicy, "SELECTOR", "{matchLabels: {a: x y}}",
       "NetworkPolicy default/p: spec.podSelector.matchLabels: \"x y\" is not a value"},
      {kPolicy, "SELECTOR", "{matchLabels: {a: 1}}",
       "NetworkPolicy default/p: spec.podSelector.matchLabels.a: must be a string, not 1"},
      {kPolicy, "SELECTOR", "{matchExpressions: [{key: a, operator: in, values: [x]}]}",
       "NetworkPolicy default/p: spec.podSelector.matchExpressions[0].operator: \"in\" is none of In, NotIn, Exists"},
      {kPolicy, "SELECTOR", "{matchExpressions: [{key: a, values: [x]}]}",
       "NetworkPolicy default/p: spec.podSelector.matchExpressions[0].operator: is missing"},
      {kPolicy, "SELECTOR", "{matchExpressions: [{operator: Exists}]}",
       "NetworkPolicy default/p: spec.podSelector.matchExpressions[0].key: is missing"},
      {kPolicy, "SELECTOR", "{matchExpressions: [{key: a, operator: In}]}",
       "NetworkPolicy default/p: spec.podSelector.matchExpressions[0].values: must have a value"},
      {kPolicy, "SELECTOR", "{matchExpressions: [{key: a, operator: Exists, values: [x]}]}",
       "NetworkPolicy default/p: spec.podSelector.matchExpressions[0].values: must be empty"},
  };
  check_refused(rows);
}
