#include "tests/lab/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "maps/fd.hpp"

namespace sluice::lab {

namespace {

/// Puts the calling process there. 0 or an errno; async-signal-safe, as a child after fork must be.
int enter(int netns, int cgroup_procs) {
  if (::write(cgroup_procs, "0", 1) != 1) return errno;
  return ::setns(netns, CLONE_NEWNET) == 0 ? 0 : errno;
}

Result<Fd> open_procs(const Path& group) {
  const Path file = group / "cgroup.procs";
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail(errno, "open " + file.string());
  return Fd(fd);
}

Result<Fd> file_with(const std::string& text) {
  const int fd = ::memfd_create("stdin", MFD_CLOEXEC);
  if (fd < 0) return fail(errno, "make standard input");
  Fd file(fd);
  if (::write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || ::lseek(fd, 0, SEEK_SET) != 0) {
    return fail(errno, "make standard input");
  }
  return file;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const auto& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

std::string read_all(int fd) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto length = ::read(fd, buffer.data(), buffer.size());
    if (length > 0) text.append(buffer.data(), static_cast<std::size_t>(length));
    if (length == 0 || (length < 0 && errno != EINTR)) return text;
  }
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

Result<Finished> run(const Inside& inside, const Path& program, const std::map<std::string, std::string>& environment,
                     const std::string& input) {
  const auto doing = "run " + program.string();
  const Fd procs = TRY(open_procs(inside.cgroup));
  const Fd standard_input = TRY(file_with(input));
  std::array<int, 2> output{};
  std::array<int, 2> start{};
  if (::pipe2(output.data(), O_CLOEXEC) != 0) return fail(errno, doing);
  const Fd output_end(output[0]);
  std::optional<Fd> output_start(output[1]);
  if (::pipe2(start.data(), O_CLOEXEC) != 0) return fail(errno, doing);
  const Fd start_end(start[0]);
  std::optional<Fd> start_start(start[1]);

  std::vector<std::string> variables;
  for (const auto& [key, value] : environment) variables.push_back(key + "=" + value);
  const auto environment_pointers = pointers(variables);
  const std::vector<std::string> command{program.string()};
  const auto argument_pointers = pointers(command);

  const pid_t child = ::fork();
  if (child < 0) return fail(errno, doing);
  if (child == 0) {
    int error = enter(inside.netns.fd(), procs.get());
    if (error == 0 && ::dup2(standard_input.get(), STDIN_FILENO) >= 0 && ::dup2(output[1], STDOUT_FILENO) >= 0) {
      ::execve(program.c_str(), argument_pointers.data(), environment_pointers.data());
    }
    if (error == 0) error = errno;
    (void)!::write(start[1], &error, sizeof error);  // closed by a successful execve
    ::_exit(127);
  }
  output_start.reset();
  start_start.reset();
  Finished finished{.output = read_all(output_end.get())};
  const auto error = read_all(start_end.get());
  finished.status = wait_for(child);
  if (error.size() == sizeof(int)) {
    int code = 0;
    error.copy(reinterpret_cast<char*>(&code), sizeof code);
    return fail(code, doing);
  }
  return finished;
}

Result<pid_t> start(const Inside& inside, const std::vector<std::string>& command,
                    const std::map<std::string, std::string>& extra, const Path& log) {
  const auto doing = "start " + command.front();
  std::error_code error;
  std::filesystem::create_directories(log.parent_path(), error);
  if (error) return fail(error.value(), "make " + log.parent_path().string());
  const int log_fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (log_fd < 0) return fail(errno, "open " + log.string());
  const Fd output(log_fd);
  const int null_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null_fd < 0) return fail(errno, doing);
  const Fd null(null_fd);
  const pid_t child = ::fork();
  if (child < 0) return fail(errno, doing);
  if (child > 0) return child;
  ::setsid();
  if (::dup2(null_fd, STDIN_FILENO) >= 0 && ::dup2(log_fd, STDOUT_FILENO) >= 0 && ::dup2(log_fd, STDERR_FILENO) >= 0) {
    const auto words = become(inside, command, extra).message + "\n";
    (void)!::write(STDERR_FILENO, words.data(), words.size());
  }
  ::_exit(127);
}

Error become(const Inside& inside, const std::vector<std::string>& command,
             const std::map<std::string, std::string>& extra) {
  const auto doing = "run " + command.front();
  const auto procs = open_procs(inside.cgroup);
  if (!procs) return procs.error();
  if (const int error = enter(inside.netns.fd(), procs->get())) return fail(error, doing);
  for (const auto& [key, value] : extra) ::setenv(key.c_str(), value.c_str(), 1);
  const auto arguments = pointers(command);
  ::execvp(command.front().c_str(), arguments.data());
  return fail(errno, doing);
}

}  // namespace sluice::lab
