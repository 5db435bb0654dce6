#include "tests/e2e/process.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <stdexcept>

namespace sluice::e2e {

namespace {

pid_t start(const Command& command, int input, int output) {
  std::vector<char*> arguments;
  for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("fork");
  if (child == 0) {
    if (::dup2(input, STDIN_FILENO) >= 0 && ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(output, STDERR_FILENO) >= 0) {
      ::execvp(arguments[0], arguments.data());
    }
    ::_exit(127);
  }
  return child;
}

int exit_status(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

}  // namespace

Outcome run(const Command& command, const std::string& input) {
  const int in = ::memfd_create("input", MFD_CLOEXEC);
  (void)!::write(in, input.data(), input.size());
  ::lseek(in, 0, SEEK_SET);
  std::array<int, 2> out{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
  const pid_t child = start(command, in, out[1]);
  ::close(in);
  ::close(out[1]);
  Outcome outcome;
  std::array<char, 4096> buffer{};
  for (ssize_t length = 0; (length = ::read(out[0], buffer.data(), buffer.size())) > 0;) {
    outcome.output.append(buffer.data(), static_cast<std::size_t>(length));
  }
  ::close(out[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  outcome.status = exit_status(status);
  return outcome;
}

Process::Process(const Command& command) {
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  pid_ = start(command, null, null);
  ::close(null);
}

Process::~Process() {
  if (runs()) {
    signal(SIGKILL);
    wait();
  }
}

bool Process::runs() {
  if (status_ >= 0) return false;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == 0) return true;
  status_ = exit_status(status);
  return false;
}

void Process::signal(int number) const {
  if (status_ < 0) ::kill(pid_, number);
}

int Process::wait() {
  if (status_ >= 0) return status_;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  return status_ = exit_status(status);
}

std::filesystem::path binary(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

}  // namespace sluice::e2e
