/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session.c - who uses a home address
 *
 * The kernel's socket tables are read when it matters (at a move, and when a socket of ours was destroyed), never on a
 * timer. A listening socket is not a session: nothing is lost when its address goes. TIME_WAIT is not one either: both
 * sides have closed. UDP has no end, so a UDP socket counts as long as it is bound or connected to the address. */
#include "session.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
	struct mnl_socket *news;
	struct mnl_socket *dump;
	unsigned seq;
};

static int open_diag(unsigned groups, struct mnl_socket **ret)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	int r;

	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, groups, MNL_SOCKET_AUTOPID) < 0) {
		r = -errno;
		(void)mnl_socket_close(nl);
		return r;
	}
	*ret = nl;
	return 0;
}

int session_new(struct session **ret)
{
	struct session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	r = open_diag((1u << (SKNLGRP_INET6_TCP_DESTROY - 1)) | (1u << (SKNLGRP_INET6_UDP_DESTROY - 1)), &s->news);
	if (r == 0)
		r = open_diag(0, &s->dump);
	if (r < 0) {
		session_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void session_free(struct session *s)
{
	if (!s)
		return;
	if (s->news)
		(void)mnl_socket_close(s->news);
	if (s->dump)
		(void)mnl_socket_close(s->dump);
	free(s);
}

int session_fd(const struct session *s)
{
	return mnl_socket_get_fd(s->news);
}

static const struct inet_diag_msg *diag_of(const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_type != SOCK_DIAG_BY_FAMILY || mnl_nlmsg_get_payload_len(nlh) < sizeof(struct inet_diag_msg))
		return NULL;
	return mnl_nlmsg_get_payload(nlh);
}

bool session_read_news(struct session *s, bool (*is_ours)(void *ctx, const struct in6_addr *address), void *ctx)
{
	char buf[16384];
	bool hit = false;

	for (;;) {
		ssize_t n = recv(session_fd(s), buf, sizeof(buf), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0 && errno == ENOBUFS) {
			hit = true;
			continue;
		}
		if (n <= 0)
			return hit;
		for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			const struct inet_diag_msg *m = diag_of(nlh);
			struct in6_addr local;

			if (!m || m->idiag_family != AF_INET6)
				continue;
			memcpy(&local, m->id.idiag_src, sizeof(local));
			hit |= is_ours(ctx, &local);
		}
	}
}

static int list_protocol(struct session *s, uint8_t protocol, uint32_t states, session_cb *cb, void *ctx)
{
	char buf[32768];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++s->seq;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = AF_INET6;
	req->sdiag_protocol = protocol;
	req->idiag_states = states;
	if (mnl_socket_sendto(s->dump, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(s->dump, buf, sizeof(buf));
		const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
		int left = (int)n;

		if (n < 0)
			return -errno;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			const struct inet_diag_msg *m;
			struct session_info info = {.protocol = protocol};

			if (h->nlmsg_seq != s->seq)
				continue; /* left over from a dump that was given up */
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

				return mnl_nlmsg_get_payload_len(h) < sizeof(*e) ? -EBADMSG : e->error;
			}
			m = diag_of(h);
			if (!m || m->idiag_family != AF_INET6)
				continue;
			memcpy(&info.home_address, m->id.idiag_src, sizeof(info.home_address));
			memcpy(&info.peer, m->id.idiag_dst, sizeof(info.peer));
			info.port = ntohs(m->id.idiag_sport);
			info.peer_port = ntohs(m->id.idiag_dport);
			info.uid = m->idiag_uid;
			info.inode = m->idiag_inode;
			if (!IN6_IS_ADDR_UNSPECIFIED(&info.home_address))
				cb(ctx, &info);
		}
	}
}

int session_list(struct session *s, session_cb *cb, void *ctx)
{
	uint32_t tcp = ~((1u << TCP_LISTEN) | (1u << TCP_TIME_WAIT) | (1u << TCP_CLOSE) | (1u << 12 /* NEW_SYN_RECV */)) & 0xfff;
	int r = list_protocol(s, IPPROTO_TCP, tcp, cb, ctx);

	return r < 0 ? r : list_protocol(s, IPPROTO_UDP, ~0u, cb, ctx);
}
