#include "loader/net/socket_diag.hpp"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace sluice::loader::net {
namespace {

struct NlDelete {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
  void operator()(nl_sock* socket) const { nl_socket_free(socket); }
};
using Connection = std::unique_ptr<nl_sock, NlDelete>;

Result<Connection> open_diag() {
  Connection connection(nl_socket_alloc());
  if (!connection) return fail(ENOMEM, "open netlink socket");
  if (const int err = nl_connect(connection.get(), NETLINK_SOCK_DIAG); err < 0)
    return refuse(EIO, std::string("open netlink socket for sockets: ") + nl_geterror(err));
  return connection;
}

Result<void> send(nl_sock* connection, int type, int flags, inet_diag_req_v2 request) {
  request.sdiag_protocol = IPPROTO_UDP;
  const std::unique_ptr<nl_msg, NlDelete> message(nlmsg_alloc_simple(type, flags));
  if (!message || nlmsg_append(message.get(), &request, sizeof request, NLMSG_ALIGNTO) < 0)
    return fail(ENOMEM, "ask for sockets");
  if (const int err = nl_send_auto(connection, message.get()); err < 0)
    return refuse(EIO, std::string("ask for sockets: ") + nl_geterror(err));
  return {};
}

int on_socket(nl_msg* message, void* found) {
  const auto* header = nlmsg_hdr(message);
  if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY) return NL_SKIP;
  inet_diag_msg shown{};
  std::memcpy(&shown, nlmsg_data(header), sizeof shown);
  const bool v4 = shown.idiag_family == AF_INET;
  static_cast<std::vector<UdpSocket>*>(found)->push_back(
      {.own = Address::from_bytes(shown.id.idiag_src, v4),
       .peer = Address::from_bytes(shown.id.idiag_dst, v4),
       .own_port = ntohs(shown.id.idiag_sport),
       .peer_port = ntohs(shown.id.idiag_dport),
       .ifindex = static_cast<int>(shown.id.idiag_if),
       .cookie = shown.id.idiag_cookie[0] | static_cast<std::uint64_t>(shown.id.idiag_cookie[1]) << 32,
       .v4 = v4});
  return NL_OK;
}

void copy_address(__be32 (&to)[4], const Address& from, bool v4) {
  const auto wire = from.wire();
  if (v4)
    std::memcpy(to, from.bytes(), 4);
  else
    std::memcpy(to, &wire, sizeof wire);
}

}  // namespace

Result<std::vector<UdpSocket>> connected_udp_sockets() {
  const Connection connection = TRY(open_diag());
  std::vector<UdpSocket> found;
  nl_socket_modify_cb(connection.get(), NL_CB_VALID, NL_CB_CUSTOM, on_socket, &found);
  for (const int family : {AF_INET, AF_INET6}) {
    inet_diag_req_v2 request{};
    request.sdiag_family = static_cast<__u8>(family);
    request.idiag_states = 1 << TCP_ESTABLISHED;  // UDP's connected sockets are shown as such
    TRY(send(connection.get(), SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, request));
    if (const int err = nl_recvmsgs_default(connection.get()); err < 0)
      return refuse(err == -NLE_OBJ_NOTFOUND ? EOPNOTSUPP : EIO, std::string("list UDP sockets: ") + nl_geterror(err));
  }
  return found;
}

Result<bool> end_udp_socket(const UdpSocket& socket) {
  const Connection connection = TRY(open_diag());
  inet_diag_req_v2 request{};
  request.sdiag_family = socket.v4 ? AF_INET : AF_INET6;
  request.id.idiag_sport = htons(socket.own_port);
  request.id.idiag_dport = htons(socket.peer_port);
  copy_address(request.id.idiag_src, socket.own, socket.v4);
  copy_address(request.id.idiag_dst, socket.peer, socket.v4);
  request.id.idiag_if = static_cast<__u32>(socket.ifindex);
  request.id.idiag_cookie[0] = static_cast<__u32>(socket.cookie);
  request.id.idiag_cookie[1] = static_cast<__u32>(socket.cookie >> 32);
  TRY(send(connection.get(), SOCK_DESTROY, NLM_F_ACK, request));
  const int err = nl_wait_for_ack(connection.get());
  if (err == -NLE_OBJ_NOTFOUND) return false;
  if (err == -NLE_OPNOTSUPP)
    return refuse(EOPNOTSUPP, "end a UDP socket: the kernel cannot (CONFIG_INET_DIAG_DESTROY)");
  if (err < 0) return refuse(EIO, std::string("end a UDP socket: ") + nl_geterror(err));
  return true;
}

}  // namespace sluice::loader::net
