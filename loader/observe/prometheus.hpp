/// Prometheus' text format, version 0.0.4. Private to those who write metrics.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace sluice::loader::observe::prometheus {

/// For the values of labels that need no escape: names that Sluice gives.
inline std::string label(const char* name, const std::string& value) {
  return std::string(name) + "=\"" + value + "\"";
}

/// One metric with its head; `samples` calls what it is given, (labels, value), for each line.
void write(std::string& text, const std::string& name, const char* type, std::string_view help, auto samples) {
  text.append("# HELP ").append(name).append(" ").append(help).append("\n# TYPE ").append(name).append(" ");
  text.append(type).append("\n");
  samples([&](const std::string& labels, std::uint64_t value) {
    text.append(name).append(labels.empty() ? "" : "{" + labels + "}").append(" ");
    text.append(std::to_string(value)).append("\n");
  });
}

}  // namespace sluice::loader::observe::prometheus
