#include "loader/net/socket.hpp"

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <sys/socket.h>

#include <cerrno>

namespace sluice::loader::net {

namespace {

/// What the callbacks of one exchange write down. libnl's own error numbers are coarser than errno (ENOENT and ESRCH
/// are one of them), so the kernel's is taken from the message.
struct Answer {
  bool done = false;
  int error = 0;
  std::string explanation;  ///< NLMSGERR_ATTR_MSG
  const Visit* visit = nullptr;
};

void read_explanation(nlattr* attributes, int length, Answer& answer) {
  nlattr* const message = length > 0 ? nla_find(attributes, length, NLMSGERR_ATTR_MSG) : nullptr;
  if (message != nullptr) answer.explanation = nla_get_string(message);
}

int on_error(sockaddr_nl*, nlmsgerr* error, void* arg) {
  auto& answer = *static_cast<Answer*>(arg);
  answer.done = true;
  answer.error = -error->error;
  // The nlmsgerr is the payload of its message; the attributes follow the copy of the request, of which only the header
  // is there when NLM_F_CAPPED says so.
  auto* const header = reinterpret_cast<nlmsghdr*>(reinterpret_cast<char*>(error) - NLMSG_HDRLEN);
  if (header->nlmsg_flags & NLM_F_ACK_TLVS) {
    int skip = sizeof(nlmsgerr);
    if (!(header->nlmsg_flags & NLM_F_CAPPED)) skip += static_cast<int>(error->msg.nlmsg_len - sizeof(nlmsghdr));
    read_explanation(nlmsg_attrdata(header, skip), nlmsg_attrlen(header, skip), answer);
  }
  return NL_STOP;
}

int on_ack(nl_msg*, void* arg) {
  static_cast<Answer*>(arg)->done = true;
  return NL_STOP;
}

/// The end of a dump carries the error that it ended with, in an int that libnl does not look at.
int on_finish(nl_msg* message, void* arg) {
  auto& answer = *static_cast<Answer*>(arg);
  nlmsghdr* const header = nlmsg_hdr(message);
  answer.done = true;
  if (nlmsg_datalen(header) >= static_cast<int>(sizeof(int))) {
    answer.error = -*static_cast<int*>(nlmsg_data(header));
    if (header->nlmsg_flags & NLM_F_ACK_TLVS) {
      read_explanation(nlmsg_attrdata(header, sizeof(int)), nlmsg_attrlen(header, sizeof(int)), answer);
    }
  }
  return NL_STOP;
}

void on_object(nl_object* object, void* arg) { (*static_cast<Answer*>(arg)->visit)(object); }

int on_valid(nl_msg* message, void* arg) {
  auto& answer = *static_cast<Answer*>(arg);
  if (*answer.visit) nl_msg_parse(message, on_object, arg);
  return NL_OK;
}

}  // namespace

Result<void> Netlink::Socket::exchange(Message message, std::string_view doing, const Visit& visit) {
  if (!message) return fail(ENOMEM, doing);
  Answer answer;
  answer.visit = &visit;
  nl_sock* const sock = handle.get();
  nl_socket_modify_cb(sock, NL_CB_VALID, NL_CB_CUSTOM, on_valid, &answer);
  nl_socket_modify_cb(sock, NL_CB_ACK, NL_CB_CUSTOM, on_ack, &answer);
  nl_socket_modify_cb(sock, NL_CB_FINISH, NL_CB_CUSTOM, on_finish, &answer);
  nl_socket_modify_err_cb(sock, NL_CB_CUSTOM, on_error, &answer);

  bool interrupted = false;
  if (int sent = nl_send_auto(sock, message.get()); sent < 0) {
    return refuse(EIO, std::string(doing) + ": send: " + nl_geterror(sent));
  }
  while (!answer.done) {
    const int received = nl_recvmsgs_default(sock);
    interrupted |= received == -NLE_DUMP_INTR;
    if (received < 0 && received != -NLE_DUMP_INTR && !answer.done) {
      return refuse(EIO, std::string(doing) + ": receive: " + nl_geterror(received));
    }
  }
  if (answer.error != 0) {
    return answer.explanation.empty() ? fail(answer.error, doing)
                                      : fail(answer.error, std::string(doing) + ": " + answer.explanation);
  }
  if (interrupted) return fail(EINTR, doing);
  return {};
}

Netlink::Netlink(std::unique_ptr<Socket> socket) : socket_(std::move(socket)) {}
Netlink::Netlink(Netlink&&) noexcept = default;
Netlink& Netlink::operator=(Netlink&&) noexcept = default;
Netlink::~Netlink() = default;

Result<Netlink> Netlink::open() {
  auto socket = std::make_unique<Socket>();
  socket->handle.reset(nl_socket_alloc());
  nl_sock* const sock = socket->handle.get();
  if (sock == nullptr) return fail(ENOMEM, "open netlink socket");
  if (int err = nl_connect(sock, NETLINK_ROUTE); err < 0) {
    return refuse(errno != 0 ? errno : EIO, std::string("open netlink socket: ") + nl_geterror(err));
  }
  // As large as the kernel makes an answer; a fixed size saves libnl a look at the length before each receive.
  nl_socket_set_msg_buf_size(sock, 32768);
  // Words with each error, and dumps that the kernel filters itself (4.12 and 4.20).
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    if (setsockopt(nl_socket_get_fd(sock), SOL_NETLINK, option, &on, sizeof on) != 0) {
      return fail(errno, "set option of netlink socket");
    }
  }
  return Netlink(std::move(socket));
}

Result<Netlink> Netlink::open_in(const Netns& netns) {
  Result<Netlink> opened = fail(ENOTCONN, "open netlink socket");
  TRY(netns.run([&]() -> Result<void> {
    opened = open();
    return {};
  }));
  return opened;
}

}  // namespace sluice::loader::net
