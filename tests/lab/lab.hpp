/// A cluster on one machine: brought up, changed and taken down. Each change takes the lab's lock and waits for
/// another one to end.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "loader/kube/object.hpp"
#include "maps/result.hpp"
#include "tests/lab/paths.hpp"

namespace sluice::lab {

struct Lab {
  Paths paths;
  Path plugin;  ///< the CNI plugin that attaches pods
  Path agent;   ///< for `up`: runs on every node, those of a later `apply` too; empty: none does
};

/// Is told of each thing that was done, in one line.
using Tell = std::function<void(const std::string&)>;

using Objects = std::vector<loader::kube::Object>;

/// Makes the lab from the objects, of which at least one is a Node. After an error, or SIGINT or SIGTERM, nothing is
/// left. EEXIST: the lab is there.
Result<void> up(const Lab& lab, const Objects& objects, const Tell& tell);

/// Makes what is not there yet, first Nodes, then objects of other kinds, then Pods; what is there already stays. All
/// objects are kept, as they are now, for each node's agent. After an error what this call has done is undone. ENOENT:
/// there is no such lab.
Result<void> apply(const Lab& lab, const Objects& objects, const Tell& tell);

/// Removes the objects, Pods first, and a Node's pods with it; of each only kind, namespace and name count. Those that
/// are not there are no error. ENOENT: there is no such lab.
Result<void> remove(const Lab& lab, const Objects& objects, const Tell& tell);

/// Ends the lab's processes and removes all of it, whatever a killed command has left of it. Processes that entered
/// its namespaces without `exec` or `node` are left alone. Returns false where there was nothing.
Result<bool> down(const Paths& paths);

}  // namespace sluice::lab
