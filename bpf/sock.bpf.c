// SPDX-License-Identifier: GPL-2.0-only
/* The programs on the node's control group: they see the calls in which its sockets, and its pods', name an address
 * (connect, and of datagrams sendmsg) or are told one (recvmsg, getpeername). An IPv6 socket that talks IPv4 names
 * ::ffff:a.b.c.d, which is how addresses are written here anyway; so the two families differ in where the address lies. */
#include "lib/common.h"
#include "lib/socket.h"

static __always_inline void end_read_v4(struct bpf_sock_addr *ctx, struct socket_end *end)
{
	addr_set_v4(&end->addr, ctx->user_ip4);
	end->port = ctx->user_port;
}

static __always_inline void end_write_v4(struct bpf_sock_addr *ctx, const struct socket_end *end)
{
	ctx->user_ip4 = end->addr.word[3];
	ctx->user_port = end->port;
}

static __always_inline void end_read_v6(struct bpf_sock_addr *ctx, struct socket_end *end)
{
	for (int i = 0; i < 4; i++)
		end->addr.word[i] = ctx->user_ip6[i];
	end->port = ctx->user_port;
}

static __always_inline void end_write_v6(struct bpf_sock_addr *ctx, const struct socket_end *end)
{
	for (int i = 0; i < 4; i++)
		ctx->user_ip6[i] = end->addr.word[i];
	ctx->user_port = end->port;
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};
	int verdict;

	end_read_v4(ctx, &end);
	verdict = socket_connect(ctx, &end);
	end_write_v4(ctx, &end);
	return verdict;
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};
	int verdict;

	end_read_v6(ctx, &end);
	verdict = socket_connect(ctx, &end);
	end_write_v6(ctx, &end);
	return verdict;
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};
	int verdict;

	end_read_v4(ctx, &end);
	verdict = socket_send(ctx, &end);
	end_write_v4(ctx, &end);
	return verdict;
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};
	int verdict;

	end_read_v6(ctx, &end);
	verdict = socket_send(ctx, &end);
	end_write_v6(ctx, &end);
	return verdict;
}

SEC("cgroup/recvmsg4")
int sock_recvmsg4(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};

	end_read_v4(ctx, &end);
	if (socket_is_of_node(ctx) && socket_untranslate(ctx, &end))
		end_write_v4(ctx, &end);
	return SOCKET_PROCEED;
}

SEC("cgroup/recvmsg6")
int sock_recvmsg6(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};

	end_read_v6(ctx, &end);
	if (socket_is_of_node(ctx) && socket_untranslate(ctx, &end))
		end_write_v6(ctx, &end);
	return SOCKET_PROCEED;
}

SEC("cgroup/getpeername4")
int sock_peername4(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};

	end_read_v4(ctx, &end);
	if (socket_untranslate(ctx, &end))
		end_write_v4(ctx, &end);
	return SOCKET_PROCEED;
}

SEC("cgroup/getpeername6")
int sock_peername6(struct bpf_sock_addr *ctx)
{
	struct socket_end end = {};

	end_read_v6(ctx, &end);
	if (socket_untranslate(ctx, &end))
		end_write_v6(ctx, &end);
	return SOCKET_PROCEED;
}

char sluice_license[] SEC("license") = "GPL";
