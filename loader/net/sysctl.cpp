#include <fcntl.h>

#include <array>
#include <cerrno>

#include "loader/net/netlink.hpp"

namespace sluice::loader::net {

Result<void> set_sysctl(const std::string& key, const std::string& value) {
  const auto doing = "set net/" + key + " to " + value;
  const std::string path = "/proc/sys/net/" + key;
  const int reader = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (reader < 0) return fail(errno, doing);
  std::array<char, 256> buffer{};
  const auto length = ::read(Fd(reader).get(), buffer.data(), buffer.size());
  std::string_view present(buffer.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  while (!present.empty() && present.back() == '\n') present.remove_suffix(1);
  if (present == value) return {};

  const int writer = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (writer < 0) return fail(errno, doing);
  const Fd file(writer);
  if (::write(file.get(), value.data(), value.size()) != static_cast<ssize_t>(value.size())) return fail(errno, doing);
  return {};
}

}  // namespace sluice::loader::net
