#include "loader/bgp/bird.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

#include "maps/fd.hpp"

namespace sluice::loader::bgp {
namespace {

constexpr timeval kPatience{2, 0};
constexpr int kRuntimeError = 8000;  ///< and above: parse errors

Result<Fd> connect_to(const std::filesystem::path& path) {
  const auto doing = "ask BIRD at " + path.string();
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.string().size() >= sizeof(name.sun_path)) return fail(ENAMETOOLONG, doing);
  std::strcpy(name.sun_path, path.c_str());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return fail(errno, doing);
  for (const int direction : {SO_RCVTIMEO, SO_SNDTIMEO})
    ::setsockopt(socket.get(), SOL_SOCKET, direction, &kPatience, sizeof(kPatience));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) return fail(errno, doing);
  return socket;
}

/// "1002-sluice_bfd BFD": the code before the text; nullopt: there is none.
std::optional<int> code_of(const std::string& line) {
  if (line.size() < 5) return std::nullopt;
  int code = 0;
  const char* const begin = line.data();
  return std::from_chars(begin, begin + 4, code).ptr == begin + 4 ? std::optional(code) : std::nullopt;
}

/// The lines of one answer; of a line without a code of its own, that of the one before.
class Answer {
 public:
  explicit Answer(const Fd& socket) : socket_(socket) {}

  /// Reads up to the line that ends it.
  Result<void> read() {
    for (;;) {
      const std::string line = TRY(next_line());
      const auto code = code_of(line);
      if (!code && !line.starts_with(' ') && !line.starts_with('+')) return refuse(EPROTO, "that is no BIRD");
      lines_.push_back(line.substr(code ? 5 : 1));
      if (code) code_ = *code;
      if (code && line[4] == ' ') return {};
    }
  }
  [[nodiscard]] int code() const { return code_; }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  Result<std::string> next_line() {
    std::string::size_type end = 0;
    while ((end = text_.find('\n')) == std::string::npos) {
      char part[4096];
      const auto got = ::recv(socket_.get(), part, sizeof(part), 0);
      if (got < 0) return fail(errno == EAGAIN ? ETIMEDOUT : errno, "wait for BIRD's answer");
      if (got == 0) return refuse(EPROTO, "BIRD hung up");
      text_.append(part, static_cast<std::size_t>(got));
    }
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }

  const Fd& socket_;
  std::string text_;
  std::vector<std::string> lines_;
  int code_ = 0;
};

}  // namespace

std::filesystem::path control_socket(const Root& root) { return root.prefix().string() + "/run/bird/bird.ctl"; }

Result<std::vector<std::string>> ask_bird(const Root& root, const std::string& command) {
  const Fd socket = TRY(connect_to(control_socket(root)));
  Answer welcome(socket);
  TRY(welcome.read());
  const std::string line = command + "\n";
  if (::send(socket.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    return fail(errno, "ask BIRD");
  Answer answer(socket);
  TRY(answer.read());
  if (answer.code() >= kRuntimeError) return refuse(EINVAL, "BIRD: " + answer.lines().back());
  return answer.lines();
}

}  // namespace sluice::loader::bgp
