/// One rtnetlink exchange over libnl: a request, its answers, and the kernel's errno and words where it refuses.
/// Private to loader/net: netlink's types go no further.
#pragma once

#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/object.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "loader/net/netlink.hpp"

namespace sluice::loader::net {

struct NlDelete {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  void operator()(nl_addr* address) const { nl_addr_put(address); }
};

using Message = std::unique_ptr<nl_msg, NlDelete>;
using NlAddr = std::unique_ptr<nl_addr, NlDelete>;

/// A dump request: `header` is the family's own, as the kernel checks it (NETLINK_GET_STRICT_CHK).
template <typename Header>
Message dump_request(int type, const Header& header) {
  Message message(nlmsg_alloc_simple(type, NLM_F_DUMP));
  if (message) nlmsg_append(message.get(), const_cast<Header*>(&header), sizeof header, NLMSG_ALIGNTO);
  return message;
}

/// Called with each object of an answer, which lives as long as the call.
using Visit = std::function<void(nl_object*)>;

struct Netlink::Socket {
  std::unique_ptr<nl_sock, NlDelete> handle;

  /// Sends `message` and waits until the kernel has acknowledged it or ended its dump. An error starts with `doing`
  /// and has the kernel's own explanation where it gives one.
  Result<void> exchange(Message message, std::string_view doing, const Visit& visit = {});
  /// Sends the dump request that `make` makes, again where the table changed while it was read, and returns what `read`
  /// makes of each object: never a mixture of two states. EAGAIN: it changed too often.
  template <typename T>
  Result<std::vector<T>> dump(const std::function<Message()>& make, std::string_view doing,
                              const std::function<void(nl_object*, std::vector<T>&)>& read);
};

inline constexpr int kDumpAttempts = 50;

template <typename T>
Result<std::vector<T>> Netlink::Socket::dump(const std::function<Message()>& make, std::string_view doing,
                                             const std::function<void(nl_object*, std::vector<T>&)>& read) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    std::vector<T> found;
    auto done = exchange(make(), doing, [&](nl_object* object) { read(object, found); });
    if (done) return found;
    if (!done.failed_with(EINTR)) return done.error();
  }
  return fail(EAGAIN, doing);
}

}  // namespace sluice::loader::net
