#include "cni/delegate.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "cni/error.hpp"
#include "cni/json.hpp"

namespace sluice::cni {

namespace {

using nlohmann::json;

constexpr int kHeldFd = 3;  // where the plugin inherits the lock

struct Output {
  int status = 0;  ///< as wait() has it
  std::string text;
};

/// A file in memory that reads as `text`: the plugin may read and write in any order without anybody waiting.
Result<Fd> memory_file(const std::string& text) {
  const int fd = memfd_create("cni-config", MFD_CLOEXEC);
  if (fd < 0) return fail(errno, "make the plugin's input");
  Fd file(fd);
  std::size_t done = 0;
  while (done < text.size()) {
    const auto written = write(file.get(), text.data() + done, text.size() - done);
    if (written < 0) return fail(errno, "write the plugin's input");
    done += static_cast<std::size_t>(written);
  }
  lseek(file.get(), 0, SEEK_SET);
  return file;
}

/// This process' environment, with the parameters of `delegate`.
std::vector<std::string> environment_of(const Delegate& delegate, const std::string& command) {
  std::vector<std::string> variables;
  const Environment ours = {{"CNI_COMMAND", command},
                            {"CNI_CONTAINERID", delegate.container_id},
                            {"CNI_IFNAME", delegate.ifname},
                            {"CNI_NETNS", delegate.netns},
                            {"CNI_PATH", delegate.path}};
  for (const auto& [name, value] : ours) variables.push_back(name + "=" + value);
  for (char** entry = environ; *entry != nullptr; entry++) {
    const std::string_view text(*entry);
    if (!ours.contains(std::string(text.substr(0, text.find('='))))) variables.emplace_back(text);
  }
  return variables;
}

std::string read_to_end(const Fd& pipe) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto length = read(pipe.get(), buffer.data(), buffer.size());
    if (length > 0) text.append(buffer.data(), static_cast<std::size_t>(length));
    if (length == 0 || (length < 0 && errno != EINTR)) return text;
  }
}

Result<Output> spawn(const std::string& program, const Delegate& delegate, const std::string& command) {
  const Fd input = TRY(memory_file(delegate.config));
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return fail(errno, "make pipe");
  const Fd reader(ends[0]);
  std::optional<Fd> writer(ends[1]);

  auto variables = environment_of(delegate, command);
  std::vector<char*> environment;
  environment.reserve(variables.size() + 1);
  for (auto& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  std::string name = program;
  std::array<char*, 2> arguments = {name.data(), nullptr};

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, writer->get(), STDOUT_FILENO);
  if (delegate.held != nullptr) posix_spawn_file_actions_adddup2(&actions, delegate.held->get(), kHeldFd);
  pid_t child = 0;
  const int error = posix_spawn(&child, program.c_str(), &actions, nullptr, arguments.data(), environment.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return fail(error, "run " + program);

  writer.reset();  // so that the end of the plugin ends the pipe
  Output output{0, read_to_end(reader)};
  while (waitpid(child, &output.status, 0) < 0) {
    if (errno != EINTR) return fail(errno, "wait for " + program);
  }
  return output;
}

/// The error object of a plugin as an error of ours.
Error error_of(const std::string& type, const json& answer, int status) {
  const auto text = [&](const char* key) {
    const auto found = answer.find(key);
    return answer.is_object() && found != answer.end() && found->is_string() ? found->get<std::string>() : "";
  };
  const auto code = answer.is_object() ? get_integer(answer, "code").value_or(std::nullopt) : std::nullopt;
  if (!code || *code <= 0 || *code > 0xffff) {
    return failure(Code::kDelegate, "IPAM plugin " + type + " ended with status " +
                                        std::to_string(WEXITSTATUS(status)) +
                                        (WIFSIGNALED(status) ? " by signal " + std::to_string(WTERMSIG(status)) : ""));
  }
  const auto details = text("details");
  return failure(static_cast<int>(*code),
                 "IPAM plugin " + type + ": " + text("msg") + (details.empty() ? "" : "; " + details));
}

Result<json> run_once(const Delegate& delegate, const std::string& command) {
  const auto program = TRY(find_plugin(delegate));
  const auto output = TRY(as(Code::kDelegate, spawn(program, delegate, command)));
  auto answer = json::parse(output.text, nullptr, false);
  if (output.status != 0) return error_of(delegate.type, answer, output.status);
  if (output.text.find_first_not_of(" \t\r\n") == std::string::npos) return json(nullptr);
  if (!answer.is_object()) return failure(Code::kDelegate, "IPAM plugin " + delegate.type + " answered no JSON object");
  return json(std::move(answer));
}

}  // namespace

Delegate delegate_of(const Request& request, const std::string& type) {
  return {type, request.path, request.config.dump(), request.container_id, request.ifname, request.netns, nullptr};
}

Result<std::string> find_plugin(const Delegate& delegate) {
  std::string_view rest = delegate.path;
  while (!rest.empty()) {
    const auto folder = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), folder.size() + 1));
    const auto program = std::string(folder) + "/" + delegate.type;
    if (!folder.empty() && access(program.c_str(), X_OK) == 0) return program;
  }
  return failure(Code::kDelegate,
                 "IPAM plugin " + delegate.type + " is in no folder of CNI_PATH '" + delegate.path + "'");
}

Result<json> run(const Delegate& delegate, const std::string& command) {
  auto answer = run_once(delegate, command);
  if (answer || code_of(answer.error()) != static_cast<int>(Code::kIncompatibleVersion)) return answer;
  auto config = json::parse(delegate.config, nullptr, false);
  if (!config.is_object() || config.value("cniVersion", "") != std::string("1.1.0")) return answer;
  config["cniVersion"] = "1.0.0";
  Delegate older = delegate;
  older.config = config.dump();
  return run_once(older, command);
}

bool is_unknown_command(const Error& error) {
  const int code = code_of(error);
  // kUnknownContainer: the plugins of containernetworking 1.1 look for a container id before they look at the command.
  return code == static_cast<int>(Code::kIncompatibleVersion) || code == static_cast<int>(Code::kBadEnvironment) ||
         code == static_cast<int>(Code::kUnknownContainer);
}

}  // namespace sluice::cni
