/// Times what a container runtime waits for: one ADD and one DEL of a CNI plugin, from the start of its process to the
/// end, and beside it what the kernel alone takes to delete a veth pair. The contenders take turns.
///
/// Prints one line a figure: "add|del CONTENDER PODS MILLISECONDS", PODS being how many pods were there already.
#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "loader/net/netlink.hpp"
#include "loader/net/netns.hpp"
#include "maps/result.hpp"

namespace sluice::bench {
namespace {

using loader::net::Netlink;
using loader::net::Netns;
using Clock = std::chrono::steady_clock;

constexpr const char* kVeth = "veth";  // the contender that is no plugin: a veth pair, made and deleted by netlink

struct Contender {
  std::string name, plugin, configuration;
  Netns host;
  Netns guest;              // of the pod that comes and goes; kept, since the kernel's removal of a namespace holds
                            // the lock that the next ADD would wait for
  std::vector<Netns> pods;  // those that stay
};

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// A namespace without a name, which is gone when nobody holds it.
Result<Netns> new_pod() {
  const Netns home = TRY(Netns::current());
  if (unshare(CLONE_NEWNET) != 0) return fail(errno, "make a network namespace");
  auto pod = Netns::current();
  if (setns(home.fd(), CLONE_NEWNET) != 0) return fail(errno, "come back to the first network namespace");
  return pod;
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return fail(errno, "open " + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// A file in memory that holds `text`, at its beginning.
Result<Fd> memory_file(const char* name, const std::string& text) {
  const int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd < 0) return fail(errno, "memfd_create");
  Fd file(fd);
  if (pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) return fail(errno, "write");
  return file;
}

/// Runs the plugin as a runtime does (CNI spec 1.1.0, section 2); milliseconds from start to end.
Result<double> call_plugin(const Contender& contender, const char* command, const Netns& pod, const std::string& id) {
  const Fd input = TRY(memory_file("configuration", contender.configuration));
  const Fd output = TRY(memory_file("result", ""));
  setenv("CNI_COMMAND", command, 1);
  setenv("CNI_CONTAINERID", id.c_str(), 1);
  setenv("CNI_NETNS", ("/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(pod.fd())).c_str(), 1);
  setenv("CNI_IFNAME", "eth0", 1);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, output.get(), STDOUT_FILENO);
  std::vector<char*> arguments{const_cast<char*>(contender.plugin.c_str()), nullptr};

  const auto begin = Clock::now();
  pid_t pid = 0;
  const int err = posix_spawn(&pid, contender.plugin.c_str(), &files, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (err != 0) return fail(err, "start " + contender.plugin);
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) return fail(errno, "wait for " + contender.plugin);
  const double took = milliseconds_since(begin);
  if (status == 0) return took;
  std::string said(4096, '\0');
  said.resize(std::max<ssize_t>(0, pread(output.get(), said.data(), said.size(), 0)));
  return refuse(ECHILD, contender.plugin + " " + command + ": " + said);
}

Result<double> make_veth(const std::string& id, const Netns& pod) {
  Netlink here = TRY(Netlink::open());
  Netlink there = TRY(Netlink::open_in(pod));
  const auto begin = Clock::now();
  TRY(here.create_veth(
      {.host_name = id, .host_mac = {{2, 0, 0, 0, 0, 1}}, .pod_name = "eth0", .pod_mac = {{2, 0, 0, 0, 0, 2}}}, pod));
  TRY(here.set_up(TRY(here.link(id)).ifindex));
  TRY(there.set_up(TRY(there.link("eth0")).ifindex));
  return milliseconds_since(begin);
}

Result<double> delete_veth(const std::string& id) {
  Netlink here = TRY(Netlink::open());
  const auto begin = Clock::now();
  TRY(here.delete_link(id));
  return milliseconds_since(begin);
}

Result<double> add(const Contender& contender, const Netns& pod, const std::string& id) {
  return contender.plugin == kVeth ? make_veth(id, pod) : call_plugin(contender, "ADD", pod, id);
}

Result<double> del(const Contender& contender, const Netns& pod, const std::string& id) {
  return contender.plugin == kVeth ? delete_veth(id) : call_plugin(contender, "DEL", pod, id);
}

/// Does `work` in the contender's namespace, where its host ends are.
template <typename Work>
Result<void> at(const Contender& contender, Work work) {
  return contender.host.run(work).context(contender.name);
}

Result<void> fill(Contender& contender, std::size_t pods) {
  return at(contender, [&]() -> Result<void> {
    while (contender.pods.size() < pods) {
      contender.pods.push_back(TRY(new_pod()));
      TRY(add(contender, contender.pods.back(), "stays" + std::to_string(contender.pods.size())));
    }
    return {};
  });
}

Result<void> time_one(const Contender& contender, bool report) {
  return at(contender, [&]() -> Result<void> {
    const double added = TRY(add(contender, contender.guest, "comesandgoes"));
    const double deleted = TRY(del(contender, contender.guest, "comesandgoes"));
    if (report) {
      std::printf("add %s %zu %.3f\n", contender.name.c_str(), contender.pods.size(), added);
      std::printf("del %s %zu %.3f\n", contender.name.c_str(), contender.pods.size(), deleted);
    }
    return {};
  });
}

Result<void> run(std::vector<Contender>& contenders, const std::vector<std::size_t>& steps, int rounds) {
  for (const std::size_t pods : steps) {
    for (Contender& contender : contenders) TRY(fill(contender, pods));
    for (int round = -1; round < rounds; ++round)  // the first warms up and is not reported
      for (const Contender& contender : contenders) TRY(time_one(contender, round >= 0));
  }
  return {};
}

Result<Contender> contender(const std::vector<std::string>& words) {
  std::string configuration;
  if (words[2] != kVeth) configuration = TRY(read_file(words[3]));
  return Contender{words[0], words[2], std::move(configuration), TRY(Netns::open(words[1])), TRY(new_pod()), {}};
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  using namespace sluice::bench;
  std::vector<std::vector<std::string>> wanted;
  std::vector<std::size_t> pods{1, 250};
  int rounds = 20;
  CLI::App app{"Times ADD and DEL of CNI plugins, taking turns. Prints: add|del NAME PODS-THERE MILLISECONDS"};
  app.add_option("--contender", wanted, "NAME HOST-NETNS PLUGIN CONFIGURATION-FILE; PLUGIN veth: a veth pair, no file")
      ->required()
      ->type_size(4);
  app.add_option("--pods", pods, "how many pods are there already, in growing order; default 1 250");
  app.add_option("--rounds", rounds, "how often each is timed, default 20")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  std::vector<Contender> contenders;
  for (const auto& words : wanted) {
    auto made = contender(words);
    if (!made) {
      std::fprintf(stderr, "bench_attach: %s\n", made.error().message.c_str());
      return 1;
    }
    contenders.push_back(*std::move(made));
  }
  if (auto done = run(contenders, pods, rounds); !done) {
    std::fprintf(stderr, "bench_attach: %s\n", done.error().message.c_str());
    return 1;
  }
  return 0;
}
