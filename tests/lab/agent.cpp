#include "tests/lab/agent.hpp"

#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>

#include "loader/net/netns.hpp"
#include "tests/lab/cgroup.hpp"
#include "tests/lab/process.hpp"
#include "tests/lab/record.hpp"

namespace sluice::lab {

namespace {

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::milliseconds kPause{5};

std::string last_line(const Path& file) {
  const auto read = read_file(file);
  std::string text = read ? read->value_or("") : "";
  while (text.ends_with('\n')) text.pop_back();
  return text.substr(text.rfind('\n') + 1);  // npos + 1 is 0
}

}  // namespace

Result<void> start_agent(const Paths& paths, const Path& agent, const std::string& node) {
  const auto doing = "run " + agent.filename().string() + " on Node " + node;
  const auto root = paths.node_root(node);
  const auto status_file = root.run() / "agent.json";
  TRY(remove_file(status_file));
  const auto netns = TRY(loader::net::Netns::open(paths.node_netns(node)).context(doing));
  const auto group = TRY(cgroup::create(paths.node_cgroup(node)));
  const auto pid = TRY(
      start({netns, group}, {agent.string()}, {{"SLUICE_ROOT", root.prefix()}}, paths.agent_log(node)).context(doing));
  const auto end = std::chrono::steady_clock::now() + kPatience;
  std::error_code error;
  while (!std::filesystem::exists(status_file, error)) {
    if (::waitpid(pid, nullptr, WNOHANG) == pid) {
      return refuse(EIO, doing + ": it ended: " + last_line(paths.agent_log(node)));
    }
    if (std::chrono::steady_clock::now() > end) return fail(ETIMEDOUT, doing);
    std::this_thread::sleep_for(kPause);
  }
  return {};
}

}  // namespace sluice::lab
