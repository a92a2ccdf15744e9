/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transport.c - the UDP socket of the secure channel
 *
 * Everything leaves with hop limit 255, by which an AMA knows that a node is on its link. Path MTU probes are rare: for
 * each the socket is switched to "do not fragment, do not believe the cached path MTU" and back. */
#include "transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH	    64
#define TX_BYTES    1300 /* more than CHANNEL_DATAGRAM; longer ones are probes and leave at once */
#define RX_BYTES    2048
#define BATCHES_IN  4 /* a turn */
#define SOCKET_SIZE 4194304

struct tx {
	struct sockaddr_in6 to;
	struct iovec iov;
	uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	uint8_t buf[TX_BYTES];
};

struct rx {
	struct sockaddr_in6 from;
	struct iovec iov;
	uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
	uint8_t buf[RX_BYTES];
};

struct transport {
	int fd;
	struct loop_io io;
	transport_recv_cb *recv;
	void *ctx;
	struct transport_counters counters;
	unsigned n_tx;
	struct mmsghdr tx_msg[BATCH], rx_msg[BATCH];
	struct tx tx[BATCH];
	struct rx rx[BATCH];
};

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value));
}

static void receive(void *ctx)
{
	struct transport *t = ctx;

	for (int b = 0; b < BATCHES_IN; b++) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			struct rx *r = &t->rx[i];

			r->iov = (struct iovec){.iov_base = r->buf, .iov_len = sizeof(r->buf)};
			t->rx_msg[i].msg_hdr = (struct msghdr){.msg_name = &r->from,
				.msg_namelen = sizeof(r->from),
				.msg_iov = &r->iov,
				.msg_iovlen = 1,
				.msg_control = r->control,
				.msg_controllen = sizeof(r->control)};
		}
		n = recvmmsg(t->fd, t->rx_msg, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0)
			return;
		for (int i = 0; i < n; i++) {
			struct rx *r = &t->rx[i];
			struct msghdr *m = &t->rx_msg[i].msg_hdr;
			struct channel_rx rx = {.ep.remote = r->from.sin6_addr, .ep.port = ntohs(r->from.sin6_port)};

			if (m->msg_flags & (MSG_TRUNC | MSG_CTRUNC))
				continue;
			for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
				if (c->cmsg_level != IPPROTO_IPV6)
					continue;
				if (c->cmsg_type == IPV6_PKTINFO) {
					struct in6_pktinfo info;

					memcpy(&info, CMSG_DATA(c), sizeof(info));
					rx.ep.local = info.ipi6_addr;
					rx.ep.ifindex = info.ipi6_ifindex;
				} else if (c->cmsg_type == IPV6_HOPLIMIT) {
					int hops;

					memcpy(&hops, CMSG_DATA(c), sizeof(hops));
					rx.hoplimit = (uint8_t)hops;
				}
			}
			t->counters.rx++;
			t->recv(t->ctx, &rx, r->buf, t->rx_msg[i].msg_len);
		}
		if (n < BATCH)
			return;
	}
}

int transport_new(
	struct loop *loop, uint16_t port, transport_recv_cb *recv, void *ctx, struct transport **ret, char *reterr)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	struct transport *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return -ENOMEM;
	t->recv = recv;
	t->ctx = ctx;
	t->fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0 || set(t->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) < 0 ||
		set(t->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) < 0 ||
		set(t->fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1) < 0 ||
		set(t->fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255) < 0 ||
		bind(t->fd, (struct sockaddr *)&any, sizeof(any)) < 0) {
		r = -errno;
		(void)snprintf(reterr, TRANSPORT_ERR, "cannot open UDP port %u: %s%s", port, strerror(-r),
			r == -EADDRINUSE ? " (is another mnd or amad running in this network namespace?)" : "");
		transport_free(t);
		return r;
	}
	if (set(t->fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_SIZE) < 0)
		(void)set(t->fd, SOL_SOCKET, SO_RCVBUF, SOCKET_SIZE);
	if (set(t->fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_SIZE) < 0)
		(void)set(t->fd, SOL_SOCKET, SO_SNDBUF, SOCKET_SIZE);
	/* nothing of ours exceeds 1280 bytes but probes, which say so */
	loop_io_start(&t->io, loop, t->fd, receive, t, "transport");
	*ret = t;
	return 0;
}

void transport_free(struct transport *t)
{
	if (!t)
		return;
	loop_io_stop(&t->io);
	if (t->fd >= 0)
		(void)close(t->fd);
	free(t);
}

static void put_source(struct msghdr *m, uint8_t *control, const struct channel_endpoint *ep)
{
	struct in6_pktinfo info = {.ipi6_addr = ep->local, .ipi6_ifindex = ep->ifindex};
	struct cmsghdr *c;

	m->msg_control = control;
	m->msg_controllen = CMSG_SPACE(sizeof(info));
	c = CMSG_FIRSTHDR(m);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
}

static void count_error(struct transport *t, int error)
{
	if (error == EAGAIN || error == ENOBUFS)
		t->counters.tx_full++;
	else if (error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL || error == EINVAL ||
		error == ENODEV)
		t->counters.tx_unreachable++; /* EINVAL: the source address is not ours (any more) */
	else
		t->counters.tx_failed++;
}

/* A probe may be larger than the path takes, which is what it asks: neither fragment it nor believe the cached path
 * MTU. */
static void send_probe(struct transport *t, const struct channel_endpoint *ep, const uint8_t *buf, size_t len)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons(ep->port), .sin6_addr = ep->remote};
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
	struct msghdr m = {.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &iov, .msg_iovlen = 1};

	put_source(&m, control, ep);
	(void)set(t->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	if (sendmsg(t->fd, &m, MSG_DONTWAIT) < 0)
		count_error(t, errno);
	else
		t->counters.tx++;
	(void)set(t->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_WANT);
}

void transport_send(
	struct transport *t, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	struct tx *x;

	if ((flags & CHANNEL_TX_DONTFRAG) || len > TX_BYTES) {
		send_probe(t, ep, buf, len);
		return;
	}
	if (t->n_tx == BATCH)
		transport_flush(t);
	x = &t->tx[t->n_tx];
	memcpy(x->buf, buf, len);
	x->to = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(ep->port), .sin6_addr = ep->remote};
	if (IN6_IS_ADDR_LINKLOCAL(&ep->remote))
		x->to.sin6_scope_id = ep->ifindex;
	x->iov = (struct iovec){.iov_base = x->buf, .iov_len = len};
	t->tx_msg[t->n_tx].msg_hdr = (struct msghdr){
		.msg_name = &x->to, .msg_namelen = sizeof(x->to), .msg_iov = &x->iov, .msg_iovlen = 1};
	put_source(&t->tx_msg[t->n_tx].msg_hdr, x->control, ep);
	t->n_tx++;
}

void transport_flush(struct transport *t)
{
	unsigned at = 0;

	while (at < t->n_tx) {
		int n = sendmmsg(t->fd, t->tx_msg + at, t->n_tx - at, MSG_DONTWAIT);

		if (n > 0) {
			t->counters.tx += (unsigned)n;
			at += (unsigned)n;
			continue;
		}
		count_error(t, errno); /* that one; the others have their own addresses */
		at++;
	}
	t->n_tx = 0;
}

const struct transport_counters *transport_counters(const struct transport *t)
{
	return &t->counters;
}
