/// What a lab consists of, for people and for programs.
#pragma once

#include <string>

#include "maps/result.hpp"
#include "tests/lab/paths.hpp"

namespace sluice::lab {

/// {"nodes": [{"name", "netns", "root", "addresses", "podCIDRs"}], "pods": [{"namespace", "name", "node", "netns",
/// "ips"}]}: what is ready, sorted by name. ENOENT: there is no such lab.
Result<std::string> list_json(const Paths& paths);

/// The same as two tables, and how much is half made where something is.
Result<std::string> list_table(const Paths& paths);

}  // namespace sluice::lab
