#include "loader/observe/metrics.hpp"

#include <set>

#include "loader/observe/prometheus.hpp"
#include "maps/array.hpp"
#include "maps/names.hpp"
#include "maps/views.hpp"

namespace sluice::loader::observe {

namespace {

template <typename View>
Result<MapLevel> level(const Root& root) {
  const auto map = TRY(maps::open<View>(root.maps()));
  MapLevel level{.name = View::kName, .capacity = TRY(map.capacity())};
  TRY(map.each([&](const auto&, const auto&) { level.entries++; }));
  return level;
}

/// Of the arrays that Services choose from: how many numbers are in use.
Result<std::vector<MapLevel>> choice_levels(const Root& root) {
  const auto services = TRY(maps::open<maps::Services>(root.maps()));
  const auto slots = TRY(maps::open<maps::BackendSlots>(root.maps()));
  const auto backends_map = TRY(maps::open<maps::Backends>(root.maps()));
  const auto backends = TRY(maps::MappedArray<maps::backend>::open(backends_map.fd(), TRY(backends_map.capacity())));
  MapLevel used_slots{.name = maps::BackendSlots::kName, .capacity = TRY(slots.capacity())};
  std::set<std::uint32_t> runs;  // frontends share them
  TRY(services.each([&](const maps::service_key&, const maps::service& one) {
    for (const maps::backend_table& table : {one.inside, one.outside})
      if (table.count != 0 && runs.insert(table.first).second) used_slots.entries += table.count;
  }));
  MapLevel used_backends{.name = maps::Backends::kName, .capacity = backends.capacity()};
  for (std::uint32_t number = 0; number < backends.capacity(); number++)
    used_backends.entries += backends[number].service != 0 ? 1 : 0;
  return std::vector{used_slots, used_backends};
}

bool known(std::uint32_t reason, std::uint32_t hook) {
  const bool known_reason = reason == maps::DROP_NONE || maps::drop_reason_of(maps::drop_reason_name(reason));
  return known_reason && !maps::hook_name(hook).starts_with("hook_");
}

void write_traffic(std::string& text, const std::vector<Traffic>& all, bool dropped) {
  const std::string stem = dropped ? "sluice_drop_" : "sluice_forward_";
  for (const bool bytes : {false, true}) {
    const std::string help = std::string(bytes ? "Bytes of frames" : "Packets") +
                             (dropped ? " that were dropped, by reason and hook" : " that went their way, by hook");
    prometheus::write(text, stem + (bytes ? "bytes_total" : "packets_total"), "counter", help, [&](auto sample) {
      for (const Traffic& one : all) {
        if ((one.reason != maps::DROP_NONE) != dropped) continue;
        std::string labels = prometheus::label("hook", maps::hook_name(one.hook));
        if (dropped) labels += "," + prometheus::label("reason", maps::drop_reason_name(one.reason));
        sample(labels, bytes ? one.bytes : one.packets);
      }
    });
  }
}

}  // namespace

Result<std::vector<Traffic>> traffic(const Root& root) {
  auto map = TRY(maps::open<maps::Metrics>(root.maps()));
  std::vector<Traffic> all;
  for (std::uint32_t reason = 0; reason < maps::DROP_REASON_MAX; reason++)
    for (std::uint32_t hook = 0; hook < maps::HOOK_MAX; hook++) {
      Traffic sum{.reason = reason, .hook = hook};
      for (const maps::metric& cpu : TRY(map.lookup(maps::metric_index(reason, hook)))) {
        sum.packets += cpu.packets;
        sum.bytes += cpu.bytes;
      }
      if (sum.packets != 0 || known(reason, hook)) all.push_back(sum);
    }
  return all;
}

Result<std::vector<Counter>> counters(const Root& root) {
  auto map = TRY(maps::open<maps::Counters>(root.maps()));
  std::vector<Counter> all;
  for (const maps::CounterWords& words : maps::counter_words()) {
    Counter sum{words.name, words.text};
    for (const std::uint64_t cpu : TRY(map.lookup(words.number))) sum.value += cpu;
    all.push_back(sum);
  }
  return all;
}

Result<std::vector<MapLevel>> map_levels(const Root& root) {
  std::vector<MapLevel> levels{TRY(level<maps::Flows>(root)),        TRY(level<maps::Endpoints>(root)),
                               TRY(level<maps::Fragments>(root)),    TRY(level<maps::Services>(root)),
                               TRY(level<maps::SourceRanges>(root)), TRY(level<maps::Affinity>(root)),
                               TRY(level<maps::Sockets>(root))};
  const auto choice = TRY(choice_levels(root));
  levels.insert(levels.end(), choice.begin(), choice.end());
  return levels;
}

Result<std::string> prometheus_text(const Root& root) {
  const auto all = TRY(traffic(root));
  const auto levels = TRY(map_levels(root));
  std::string text;
  write_traffic(text, all, false);
  write_traffic(text, all, true);
  for (const Counter& counter : TRY(counters(root)))
    prometheus::write(text, "sluice_" + std::string(counter.name) + "_total", "counter", counter.text,
                      [&](auto sample) { sample("", counter.value); });
  prometheus::write(text, "sluice_map_entries", "gauge", "Entries of a map", [&](auto sample) {
    for (const MapLevel& map : levels) sample(prometheus::label("map", map.name), map.entries);
  });
  prometheus::write(text, "sluice_map_capacity", "gauge", "Most entries that a map may hold", [&](auto sample) {
    for (const MapLevel& map : levels) sample(prometheus::label("map", map.name), map.capacity);
  });
  return text;
}

}  // namespace sluice::loader::observe
