/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session.c - who uses a home address
 *
 * The kernel's socket tables are read when it matters, never on a timer:
 *   - at a move, because what is in use decides what the anchors hear;
 *   - when a TCP or UDP socket of ours was destroyed (sock_diag's news);
 *   - when a packet leaves from an address that had no session (session_watch): sock_diag has no news of sockets that
 * begin;
 *   - before a binding is renewed or an address given back: protocols of whose end there is no news are noticed there
 * at the latest.
 *
 * A listening socket is not a session: nothing is lost when its address goes. TIME_WAIT is not one either: both
 * sides have closed. UDP has no end, so a UDP socket counts as long as it is bound or connected to the address. */
#include "session.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mnd/session.bpf.inc" /* the object file as bytes: session_object[] */

#ifndef IPPROTO_SCTP
#define IPPROTO_SCTP 132
#endif

#define TIMER_TIME_WAIT 3  /* idiag_timer of a socket that only its port's reuse waits for */
#define NEW_SYN_RECV	12 /* of the kernel's tcp_states.h: no socket yet, and no application */
#define LIVE		(0xfffu & ~((1u << TCP_LISTEN) | (1u << TCP_TIME_WAIT) | (1u << TCP_CLOSE) | (1u << NEW_SYN_RECV)))

static const struct table {
	uint8_t protocol;
	bool optional; /* a kernel without it has no such sockets either */
	uint32_t states;
	const char *name;
} tables[] = {
	{IPPROTO_TCP, false, LIVE, "tcp"},
	{IPPROTO_UDP, false, ~0u, "udp"},
	{IPPROTO_UDPLITE, true, ~0u, "udplite"},
	{IPPROTO_SCTP, true, LIVE, "sctp"},
	{IPPROTO_RAW, true, ~0u, "raw"},
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

struct session {
	struct mnl_socket *news;
	struct mnl_socket *dump;
	unsigned seq;
	struct session_seen *seen; /* sorted by cookie */
	unsigned n_seen;
};

/* One session_list at work. */
struct walk {
	struct session *s;
	session_cb *cb;
	void *ctx;
	uint64_t now_s;
	struct session_seen *found;
	unsigned n, size;
	struct session_info last; /* given to cb */
};

const char *session_protocol_name(uint8_t protocol)
{
	for (unsigned i = 0; i < TABLES; i++)
		if (tables[i].protocol == protocol)
			return tables[i].name;
	return "?";
}

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
	free(s->seen);
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

/* --- the tables ------------------------------------------------------------------------------------------------ */

static int compare(const void *a, const void *b)
{
	uint64_t x = ((const struct session_seen *)a)->cookie, y = ((const struct session_seen *)b)->cookie;

	return x < y ? -1 : x > y;
}

static int found(struct walk *w, struct session_info *info)
{
	struct session_seen key = {.cookie = info->cookie, .since_s = w->now_s}, *old = NULL;

	if (w->s->n_seen)
		old = bsearch(&key, w->s->seen, w->s->n_seen, sizeof(key), compare);
	if (old)
		key.since_s = old->since_s;
	info->since_s = key.since_s;
	/* an SCTP association may come several times, once a path */
	if (info->protocol == IPPROTO_SCTP && !memcmp(info, &w->last, sizeof(*info)))
		return 0;
	memcpy(&w->last, info, sizeof(*info));
	if (IN6_IS_ADDR_UNSPECIFIED(&info->home_address) || !w->cb(w->ctx, info))
		return 0;
	if (w->n == w->size) {
		unsigned size = w->size ? 2 * w->size : 64;
		struct session_seen *more = realloc(w->found, size * sizeof(*more));

		if (!more)
			return -ENOMEM;
		w->found = more;
		w->size = size;
	}
	w->found[w->n++] = key;
	return 0;
}

/* The addresses of an SCTP association: all of them, in an attribute. */
static const struct nlattr *locals_of(const struct nlmsghdr *nlh)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct inet_diag_msg))
		if (mnl_attr_get_type(a) == INET_DIAG_LOCALS)
			return a;
	return NULL;
}

static int one_socket(struct walk *w, const struct table *t, const struct nlmsghdr *nlh)
{
	const struct inet_diag_msg *m = diag_of(nlh);
	struct session_info info;
	const struct nlattr *locals;
	int r = 0;

	memset(&info, 0, sizeof(info)); /* compared with the next one as bytes */
	info.protocol = t->protocol;
	/* FIN_WAIT2 may be a TIME_WAIT in all but name: the application is gone, and of its end there will be
	 * no news */
	if (!m || m->idiag_family != AF_INET6 || m->idiag_timer == TIMER_TIME_WAIT)
		return 0;
	memcpy(&info.home_address, m->id.idiag_src, sizeof(info.home_address));
	memcpy(&info.peer, m->id.idiag_dst, sizeof(info.peer));
	info.port = ntohs(m->id.idiag_sport);
	info.peer_port = ntohs(m->id.idiag_dport);
	info.uid = m->idiag_uid;
	info.inode = m->idiag_inode;
	info.cookie = m->id.idiag_cookie[0] | (uint64_t)m->id.idiag_cookie[1] << 32;
	locals = t->protocol == IPPROTO_SCTP ? locals_of(nlh) : NULL;
	if (!locals)
		return found(w, &info);
	for (size_t at = 0; r == 0 && at + sizeof(struct sockaddr_storage) <= mnl_attr_get_payload_len(locals);
		at += sizeof(struct sockaddr_storage)) {
		struct sockaddr_in6 a;

		memcpy(&a, (const char *)mnl_attr_get_payload(locals) + at, sizeof(a));
		info.home_address = a.sin6_addr;
		if (a.sin6_family == AF_INET6)
			r = found(w, &info);
	}
	return r;
}

static int list_protocol(struct walk *w, const struct table *t)
{
	struct session *s = w->s;
	char buf[32768];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = ++s->seq;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = AF_INET6;
	req->sdiag_protocol = t->protocol;
	req->idiag_states = t->states;
	if (mnl_socket_sendto(s->dump, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(s->dump, buf, sizeof(buf));
		const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
		int left = (int)n, r, e;

		if (n < 0)
			return -errno;
		for (; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_seq != s->seq)
				continue; /* left over from a dump that was given up */
			if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR) {
				/* both begin with the error; a dump that fails may end in either */
				if (mnl_nlmsg_get_payload_len(h) < sizeof(e))
					return h->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
				memcpy(&e, mnl_nlmsg_get_payload(h), sizeof(e));
				return e == -ENOENT && t->optional ? 0 : e;
			}
			r = one_socket(w, t, h);
			if (r < 0)
				return r;
		}
	}
}

int session_list(struct session *s, uint64_t now_s, session_cb *cb, void *ctx)
{
	struct walk w = {.s = s, .cb = cb, .ctx = ctx, .now_s = now_s};
	int r = 0;

	for (unsigned i = 0; i < TABLES && r == 0; i++)
		r = list_protocol(&w, &tables[i]);
	if (r < 0) {
		free(w.found);
		return r;
	}
	/* those that were not met are gone */
	if (w.n)
		qsort(w.found, w.n, sizeof(*w.found), compare);
	free(s->seen);
	s->seen = w.found;
	s->n_seen = w.n;
	return 0;
}

unsigned session_seen(const struct session *s, const struct session_seen **ret)
{
	*ret = s->seen;
	return s->n_seen;
}

int session_remember(struct session *s, const struct session_seen *seen, unsigned n)
{
	struct session_seen *copy = n ? malloc(n * sizeof(*copy)) : NULL;

	if (n && !copy)
		return -ENOMEM;
	if (n) {
		memcpy(copy, seen, n * sizeof(*copy));
		qsort(copy, n, sizeof(*copy), compare);
	}
	free(s->seen);
	s->seen = copy;
	s->n_seen = n;
	return 0;
}

/* --- sessions that begin --------------------------------------------------------------------------------------- */

/* Of a filter of ours among others, if anybody has any on this device. */
#define HANDLE	 7872
#define PRIORITY 7872

int session_watch(uint32_t ifindex, const struct in6_addr *addresses, unsigned n)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = PRIORITY, .flags = BPF_TC_F_REPLACE);
	struct bpf_object *object = bpf_object__open_mem(session_object, sizeof(session_object), NULL);
	int watched, r = object ? bpf_object__load(object) : -ENOMEM;

	if (r == 0) {
		opts.prog_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "on_leaving"));
		watched = bpf_map__fd(bpf_object__find_map_by_name(object, "watched"));
		for (unsigned i = 0; r == 0 && i < n && i < SESSION_WATCH_MAX; i++) {
			uint64_t prefix;
			uint8_t one = 1;

			memcpy(&prefix, &addresses[i], sizeof(prefix));
			r = bpf_map_update_elem(watched, &prefix, &one, BPF_ANY);
		}
	}
	if (r == 0) {
		r = bpf_tc_hook_create(&hook);
		if (r == 0 || r == -EEXIST)
			r = bpf_tc_attach(&hook, &opts);
	}
	if (r == 0) {
		/* readable as soon as something is in it, as nobody takes anything out */
		r = fcntl(bpf_map__fd(bpf_object__find_map_by_name(object, "seen")), F_DUPFD_CLOEXEC, 0);
		if (r < 0)
			r = -errno;
	}
	bpf_object__close(object);
	return r;
}

void session_watch_end(uint32_t ifindex, int fd)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = PRIORITY);

	(void)bpf_tc_detach(&hook, &opts); /* the device may be gone */
	(void)close(fd);
}
