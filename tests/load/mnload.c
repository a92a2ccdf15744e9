/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mnload.c - acts as many mobile nodes towards one anchor: attaches, binds, moves, and measures
 *
 * Each node has its own key, credential (signed with the domain key given), channel and addresses. The addresses come
 * out of one prefix, which this machine must hold whole (ip -6 route add local PREFIX dev lo) and the anchor must route
 * here; attaching works from any of them, as the anchor looks at hop limit and interface. A node's k-th address is
 * PREFIX:k:n; it moves by using the next. One node has at most one datagram on the way, with an update for each of its
 * prefixes; --window bounds the nodes that wait. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <utlist.h>

#include "channel.h"
#include "mh.h"

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

#define SEC	1000000ULL
#define BATCH	64
#define RETRY	SEC
#define TRIES	10
#define SAMPLES 4000000u

struct node {
	struct node *prev, *next; /* in a queue */
	struct channel *channel;
	struct channel_peer *peer, *serving; /* serving: the AMA that passes updates on, NULL = none */
	size_t relay_len;		     /* what it handed over, to be read */
	uint8_t relay[1000];
	uint32_t number, place; /* its address now */
	uint64_t sent_us;
	uint16_t sequence;
	uint16_t waits; /* updates without an answer */
	uint8_t tries;
	bool attaching, waiting;
	char kind; /* of what is out: a attach, b bind, h home again, u unbind, r release */
	unsigned n_hnp;
	struct prefix6 hnp[];
};

static struct {
	struct in6_addr anchor, prefix, link_local;
	const char *domain_key, *interface;
	unsigned nodes, prefixes, window, port, anchor_port;
	uint64_t moves;
	unsigned mix, n_through;
	struct in6_addr through[32]; /* serving AMAs, one after the other */
	const struct in6_addr *at;   /* the present one, NULL = none */
	FILE *journal;
	double rate, seconds;
	uint32_t lifetime_s, lease_s, first;
	bool json, no_bind, step, home;
} option = {
	.nodes = 100, .prefixes = 1, .window = 64, .anchor_port = CHANNEL_PORT, .lifetime_s = 3600, .lease_s = 86400};

static struct node **nodes, *idle, *waiting, *attached; /* attached: with all leases */
static struct credential anchor;
static bool has_anchor;
static unsigned n_waiting;
static uint64_t now_us, count_ok, count_status[256], count_retries, count_lost;
static uint32_t *sample, n_sample;
static int fd;

static struct mmsghdr tx_msg[BATCH], rx_msg[BATCH];
static struct slot {
	struct sockaddr_in6 peer;
	struct iovec iov;
	uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int))];
	uint8_t buf[2048];
} tx[BATCH], rx[BATCH];
static unsigned n_tx;

static void die(const char *what, int error)
{
	(void)fprintf(stderr, "mnload: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
	exit(1);
}

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec / 1000;
}

static struct in6_addr place_of(const struct node *n)
{
	struct in6_addr a = option.prefix;

	for (int i = 0; i < 4; i++) {
		a.s6_addr[8 + i] = (uint8_t)(n->place >> (24 - 8 * i));
		a.s6_addr[12 + i] = (uint8_t)((n->number + 1) >> (24 - 8 * i));
	}
	return a;
}

/* --- the socket ------------------------------------------------------------------------------------------------ */

static void flush(void)
{
	for (unsigned at = 0; at < n_tx;) {
		int n = sendmmsg(fd, tx_msg + at, n_tx - at, 0);

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			die("cannot send", errno);
		at += n > 0 ? (unsigned)n : 0;
	}
	n_tx = 0;
}

/* Ask the serving AMA to pass on what is sealed for the anchor. */
static void pass(struct node *n, const uint8_t *sealed, size_t len)
{
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_bu bu = {.sequence = n->sequence, .flags = MH_BU_A | MH_BU_P, .lifetime_s = option.lifetime_s};
	struct mh_writer m = mh_begin_bu(&w, &bu);

	mh_put_anchor(&m, &option.anchor);
	for (unsigned i = 0; i < n->n_hnp; i++)
		mh_put_prefix(&m, MHOPT_HNP, &n->hnp[i]);
	mh_put_address(&m, MHOPT_LINK_LOCAL, &option.link_local);
	mh_put_sealed(&m, 1, sealed, len);
	mh_end(&m);
	if (wcur_ok(&w))
		(void)channel_send_flags(
			n->channel, n->serving, buf, wcur_len(&w), n->tries ? CHANNEL_FORCE_HANDSHAKE : 0);
}

static void op_send(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	const struct node *n = ctx;
	struct in6_pktinfo info = {.ipi6_addr = place_of(n), .ipi6_ifindex = ep->ifindex};
	struct slot *x;
	struct cmsghdr *c;

	(void)flags;
	if (ep->relay) {
		pass(ctx, buf, len);
		return;
	}
	if (len > sizeof(x->buf))
		return;
	if (n_tx == BATCH)
		flush();
	x = &tx[n_tx];
	memcpy(x->buf, buf, len);
	x->peer = (struct sockaddr_in6){.sin6_family = AF_INET6,
		.sin6_port = htons(ep->port),
		.sin6_addr = ep->remote,
		.sin6_scope_id = ep->ifindex};
	x->iov = (struct iovec){.iov_base = x->buf, .iov_len = len};
	tx_msg[n_tx].msg_hdr = (struct msghdr){.msg_name = &x->peer,
		.msg_namelen = sizeof(x->peer),
		.msg_iov = &x->iov,
		.msg_iovlen = 1,
		.msg_control = x->control,
		.msg_controllen = CMSG_SPACE(sizeof(info))};
	c = CMSG_FIRSTHDR(&tx_msg[n_tx].msg_hdr);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	n_tx++;
}

static void open_socket(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)option.port)};
	int on = 1, hops = 255, size = 8 << 20;

	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
		die("cannot open a UDP socket", errno);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
}

static void input(struct node *n, const struct channel_rx *r, const uint8_t *buf, size_t len)
{
	struct channel_rx inner = {.ep = {.remote = option.anchor, .port = (uint16_t)option.anchor_port, .relay = 1}};

	(void)channel_input(n->channel, r, buf, len, now_us);
	if (n->relay_len)
		(void)channel_input(n->channel, &inner, n->relay, n->relay_len, now_us);
	n->relay_len = 0;
}

/* Take what has come; waits at most timeout_ms for the first. */
static void receive(int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (timeout_ms && poll(&p, 1, timeout_ms) <= 0)
		return;
	for (;;) {
		int n;

		for (int i = 0; i < BATCH; i++) {
			rx[i].iov = (struct iovec){.iov_base = rx[i].buf, .iov_len = sizeof(rx[i].buf)};
			rx_msg[i].msg_hdr = (struct msghdr){.msg_name = &rx[i].peer,
				.msg_namelen = sizeof(rx[i].peer),
				.msg_iov = &rx[i].iov,
				.msg_iovlen = 1,
				.msg_control = rx[i].control,
				.msg_controllen = sizeof(rx[i].control)};
		}
		n = recvmmsg(fd, rx_msg, BATCH, MSG_DONTWAIT, NULL);
		if (n <= 0)
			return;
		now_us = clock_us(CLOCK_MONOTONIC);
		for (int i = 0; i < n; i++) {
			struct channel_rx r = {.ep.remote = rx[i].peer.sin6_addr,
				.ep.port = ntohs(rx[i].peer.sin6_port),
				.hoplimit = 64};
			const uint8_t *a = r.ep.local.s6_addr;
			uint32_t number;

			for (struct cmsghdr *c = CMSG_FIRSTHDR(&rx_msg[i].msg_hdr); c;
				c = CMSG_NXTHDR(&rx_msg[i].msg_hdr, c)) {
				struct in6_pktinfo info;

				if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO)
					continue;
				memcpy(&info, CMSG_DATA(c), sizeof(info));
				r.ep.local = info.ipi6_addr;
			}
			number = (uint32_t)a[12] << 24 | (uint32_t)a[13] << 16 | (uint32_t)a[14] << 8 | a[15];
			if (number - 1 - option.first < option.nodes)
				input(nodes[number - 1 - option.first], &r, rx[i].buf, rx_msg[i].msg_len);
		}
		if (n < BATCH)
			return;
	}
}

/* --- a node ---------------------------------------------------------------------------------------------------- */

static void op_recv(void *ctx, struct channel_peer *peer, const struct channel_rx *r, const uint8_t *mh, size_t len)
{
	struct rcur c = rcur_make(mh, len);
	struct node *n = ctx;

	(void)peer;
	(void)r;
	while (rcur_left(&c) > 0) {
		static struct mh_msg m;
		struct prefix6 hnp;
		enum mh_why why;

		if (mh_read(&c, &m, &why) == 0 && mh_is_relay(&m)) {
			uint32_t cookie;

			n->relay_len = dmmopt_sealed(&m, &cookie, n->relay, sizeof(n->relay));
			continue;
		}
		if (m.type == MH_BA && (m.ba.flags & MH_BA_P)) {
			count_status[m.ba.status]++;
			continue;
		}
		if (m.type != MH_BA || !n->waiting)
			continue;
		if ((uint16_t)(n->sequence - m.ba.sequence) >= n->waits && m.ba.status != MH_STATUS_SEQUENCE)
			continue; /* to an earlier one, sent twice */
		count_status[m.ba.status]++;
		if (option.journal)
			(void)fprintf(option.journal, "A %u %u %u %s\n", n->number, m.ba.sequence, m.ba.status,
				mhopt_prefix(mh_find(&m, MHOPT_HNP, NULL), &hnp) ? prefix6_text(&hnp) : "-");
		if (m.ba.status == MH_STATUS_NOT_HOME_AGENT)
			n->n_hnp = 0; /* the release was taken, its answer lost */
		if (m.ba.status == MH_STATUS_SEQUENCE)
			n->sequence = (uint16_t)(m.ba.sequence + option.prefixes);
		if (m.ba.status < 128) {
			count_ok++;
			if (sample && n_sample < SAMPLES)
				sample[n_sample++] = (uint32_t)(now_us - n->sent_us);
			if (n->attaching && n->n_hnp < option.prefixes &&
				mhopt_prefix(mh_find(&m, MHOPT_HNP, NULL), &hnp))
				n->hnp[n->n_hnp++] = hnp;
			if (n->kind == 'r')
				n->n_hnp = 0;
		}
		if (--n->waits > 0)
			continue;
		n->waiting = false;
		n_waiting--;
		DL_DELETE(waiting, n);
		if (n->attaching && n->n_hnp == option.prefixes && !option.mix)
			DL_APPEND(attached, n);
		else
			DL_APPEND(idle, n);
	}
}

static void op_discovered(void *ctx, const struct in6_addr *from, const struct credential *cred)
{
	(void)ctx;
	(void)from;
	anchor = *cred;
	has_anchor = true;
}

static uint64_t op_wall(void *ctx)
{
	static uint64_t last;
	uint64_t ns = clock_us(CLOCK_REALTIME) * 1000;

	(void)ctx;
	last = ns > last ? ns : last + 1;
	return last;
}

static const struct channel_ops ops = {
	.send = op_send, .recv = op_recv, .discovered = op_discovered, .wall_ns = op_wall};

static struct node *node_new(uint32_t number, const struct domain_key *key)
{
	struct node *n = calloc(1, sizeof(*n) + option.prefixes * sizeof(struct prefix6));
	struct channel_config cfg = {.trusted = &key->domain, .n_trusted = 1, .ops = &ops, .ctx = n, .max_peers = 4};
	struct credential c = {.role = CREDENTIAL_MN, .until_s = (uint64_t)time(NULL) + 86400};
	struct identity id;
	char err[CREDENTIAL_ERR];

	if (!n)
		die("out of memory", 0);
	n->number = number;
	(void)snprintf(c.node, sizeof(c.node), "load%u", number);
	if (identity_generate(CREDENTIAL_MN, c.node, &id, err) < 0)
		die(err, 0);
	memcpy(c.key, id.public_key, sizeof(c.key));
	cfg.identity = &id;
	if (credential_sign(&c, key) < 0 || identity_set_credential(&id, &c, err) < 0 ||
		channel_new(&cfg, &n->channel) < 0)
		die("cannot make a node", 0);
	identity_done(&id);
	return n;
}

static void set_place(struct node *n)
{
	struct channel_endpoint ep = {
		.remote = option.anchor, .local = place_of(n), .port = (uint16_t)option.anchor_port};

	if (IN6_IS_ADDR_LINKLOCAL(&option.anchor))
		ep.ifindex = if_nametoindex(option.interface);
	if (option.at) {
		struct channel_endpoint to = {.remote = *option.at, .local = ep.local, .port = ep.port};

		channel_peer_set_endpoint(n->serving, &to);
		ep.relay = 1;
	}
	channel_peer_set_endpoint(n->peer, &ep);
}

/* One update for each prefix, in one datagram if they fit. */
static void send_updates(struct node *n, bool again)
{
	static const struct prefix6 any = {.len = 64};
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct in6_addr at = option.at ? *option.at : place_of(n);
	unsigned flags = again ? CHANNEL_FORCE_HANDSHAKE : 0;

	n->waits = n->attaching ? 1 : (uint16_t)n->n_hnp;
	for (unsigned i = 0; i < n->waits; i++) {
		struct mh_bu bu = {.sequence = ++n->sequence, .flags = MH_BU_A | MH_BU_H};
		struct mh_writer m;

		if (wcur_len(&w) > CHANNEL_MESSAGE_MAX - 100) {
			(void)channel_send_flags(n->channel, n->peer, buf, wcur_len(&w), flags);
			w = wcur_make(buf, sizeof(buf));
		}
		if (n->kind == 'b')
			bu.lifetime_s = option.lifetime_s;
		m = mh_begin_bu(&w, &bu);
		mh_put_prefix(&m, MHOPT_HNP, n->attaching ? &any : &n->hnp[i]);
		if (n->kind == 'h') {
			mh_put_address(&m, MHOPT_LINK_LOCAL, &option.link_local);
			mh_put_lease(&m, &(struct dmmopt_lease){option.lease_s, DMMOPT_LEASE_ATTACH});
		}
		if (n->attaching) {
			mh_put_address(&m, MHOPT_LINK_LOCAL, &option.link_local);
			mh_put_lease(&m,
				&(struct dmmopt_lease){
					option.lease_s, DMMOPT_LEASE_ATTACH | (n->n_hnp ? DMMOPT_LEASE_NEW : 0)});
		} else if (n->kind == 'b') {
			mh_put_address(&m, MHOPT_ALT_COA, &at);
		} else if (n->kind == 'r') {
			mh_put_lease(&m, &(struct dmmopt_lease){0, 0});
		}
		mh_end(&m);
		if (option.journal) {
			char text[INET6_ADDRSTRLEN];

			(void)fprintf(option.journal, "S %u %u %c %s %s\n", n->number, bu.sequence, n->kind,
				n->attaching ? "-" : prefix6_text(&n->hnp[i]),
				inet_ntop(AF_INET6, &at, text, sizeof(text)));
		}
	}
	(void)channel_send_flags(n->channel, n->peer, buf, wcur_len(&w), flags);
	channel_flush(n->channel, now_us);
}

static void start(struct node *n)
{
	n->sent_us = now_us;
	n->tries = 0;
	n->waiting = true;
	n_waiting++;
	DL_DELETE(idle, n);
	DL_APPEND(waiting, n);
	send_updates(n, false);
}

/* Twice as late each time (RFC 6275 11.8): else an anchor that is slow gets more to do, and no answer is in time. */
static void repeat_late(void)
{
	static uint64_t next_us;
	struct node *n, *tmp;

	if (now_us < next_us)
		return;
	next_us = now_us + RETRY / 10;
	DL_FOREACH_SAFE(waiting, n, tmp) {
		if (now_us - n->sent_us <= RETRY << (n->tries < 4 ? n->tries : 4))
			continue;
		if (++n->tries == TRIES) {
			count_lost++;
			n->waiting = false;
			n_waiting--;
			DL_DELETE(waiting, n);
			DL_APPEND(idle, n);
			continue;
		}
		count_retries++;
		n->sent_us = now_us;
		send_updates(n, true);
	}
}

/* --- phases ---------------------------------------------------------------------------------------------------- */

static void discover(struct node *n, const struct in6_addr *at)
{
	struct channel_endpoint ep = {.remote = *at, .local = place_of(n), .port = (uint16_t)option.anchor_port};

	if (IN6_IS_ADDR_LINKLOCAL(&option.anchor))
		ep.ifindex = if_nametoindex(option.interface);
	has_anchor = false;
	for (int i = 0; i < 20 && !has_anchor; i++) {
		now_us = clock_us(CLOCK_MONOTONIC);
		channel_discover(n->channel, &ep, now_us);
		flush();
		receive(500);
	}
	if (!has_anchor)
		die("the anchor does not answer", 0);
}

struct phase {
	uint64_t ok, us, cpu_us;
	uint32_t p50, p90, p99, worst;
};

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Let nodes go on, oldest idle one first, until this many began and all were answered. */
static struct phase run(char kind, uint64_t todo, uint64_t until_us)
{
	bool attaching = kind == 'a';
	uint64_t begin_us = clock_us(CLOCK_MONOTONIC), begin_cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID), began = 0,
		 ok = count_ok;
	struct phase r = {0};

	n_sample = 0;
	now_us = begin_us;
	for (;;) {
		bool more = began < todo && now_us < until_us;

		while (more && idle && n_waiting < option.window) {
			struct node *n = idle;

			if (option.rate > 0 && (double)began > (double)(now_us - begin_us) / 1e6 * option.rate)
				break;
			n->attaching = attaching || (option.mix && n->n_hnp == 0);
			n->kind = kind;
			if (n->attaching)
				n->kind = 'a';
			else if ((unsigned)(random() % 100) < option.mix)
				n->kind = random() % 2 ? 'u' : 'r';
			if (!n->attaching && n->n_hnp == 0) { /* never attached */
				DL_DELETE(idle, n);
				continue;
			}
			if (!n->attaching) {
				n->place++;
				set_place(n);
			}
			start(n);
			more = ++began < todo;
		}
		flush();
		if (!more && n_waiting == 0)
			break;
		if (!idle && n_waiting == 0)
			break;
		receive(option.rate > 0 ? 1 : 100);
		now_us = clock_us(CLOCK_MONOTONIC);
		repeat_late();
	}
	DL_CONCAT(idle, attached);
	attached = NULL;
	r.us = clock_us(CLOCK_MONOTONIC) - begin_us;
	r.cpu_us = clock_us(CLOCK_PROCESS_CPUTIME_ID) - begin_cpu_us;
	r.ok = count_ok - ok;
	if (n_sample > 0) {
		qsort(sample, n_sample, sizeof(*sample), compare);
		r.p50 = sample[n_sample / 2];
		r.p90 = sample[(uint64_t)n_sample * 90 / 100];
		r.p99 = sample[(uint64_t)n_sample * 99 / 100];
		r.worst = sample[n_sample - 1];
	}
	return r;
}

static double per_s(uint64_t n, uint64_t us)
{
	return us ? (double)n * 1e6 / (double)us : 0;
}

/* On a machine with one processor this program takes time from the anchor: net is the rate without its share. */
static void print(const char *name, const struct phase *p)
{
	uint64_t net_us = p->us > p->cpu_us ? p->us - p->cpu_us : 1;

	if (option.json)
		(void)printf("{\"phase\": \"%s\", \"updates\": %" PRIu64
			     ", \"seconds\": %.6f, \"own_cpu_s\": %.6f, \"per_s\": %.1f, \"net_per_s\": %.1f, "
			     "\"p50_us\": %u, \"p90_us\": %u, \"p99_us\": %u, \"worst_us\": %u, \"retries\": %" PRIu64
			     "}\n",
			name, p->ok, (double)p->us / 1e6, (double)p->cpu_us / 1e6, per_s(p->ok, p->us),
			per_s(p->ok, net_us), p->p50, p->p90, p->p99, p->worst, count_retries);
	else
		(void)printf("%-8s %" PRIu64
			     " updates in %.3f s, %.0f/s (%.0f/s without the load's own %.3f s); answer after %.2f ms "
			     "median, %.2f 90 %%, %.2f 99 %%, %.2f worst\n",
			name, p->ok, (double)p->us / 1e6, per_s(p->ok, p->us), per_s(p->ok, net_us),
			(double)p->cpu_us / 1e6, p->p50 / 1e3, p->p90 / 1e3, p->p99 / 1e3, p->worst / 1e3);
	(void)fflush(stdout);
}

/* Between the phases somebody measures. */
static void step(void)
{
	char line[80];

	if (option.step && !fgets(line, sizeof(line), stdin))
		die("standard input ended", 0);
}

static void usage(FILE *f)
{
	(void)fprintf(f,
		"usage: mnload --domain-key FILE --prefix PREFIX --link-local ADDR [options] ANCHOR\n"
		"\n"
		"Acts as many mobile nodes. PREFIX (a /64) must be local here (ip -6 route add local PREFIX dev lo) "
		"and\n"
		"routed here by the anchor; ADDR is this machine's link-local address on the anchor's link.\n"
		"\n"
		"  --nodes N       nodes (100)             --first N      number of the first node (0)\n"
		"  --prefixes N    leases of each (1)      --window N     nodes that wait for an answer at a time "
		"(64)\n"
		"  --moves N       moves in all (one of each node)\n"
		"  --seconds S     stop moving after S     --rate R       moves a second (as many as are answered)\n"
		"  --lifetime S    of a binding (3600)     --lease S      of a lease (86400)\n"
		"  --interface IF  if ANCHOR is link-local --no-bind      attach only\n"
		"  --port N        source port (any)       --anchor-port N  (7872)\n"
		"  --journal FILE  write down what is sent and answered: S NODE SEQUENCE KIND PREFIX CARE-OF, A NODE SEQUENCE STATUS PREFIX;\n"
		"                  kinds are a attach, b bind, u unbind, r release\n"
		"  --through ADDR  bind through this AMA (pLU), may be given again: then through that one\n"
		"  --home          after the moves all come home, and go away again\n"
		"  --mix PERCENT   of moves are unbindings and releases (0), with --prefixes 1\n"
		"  --json          one object a line       --step         wait for a line of input before binds and "
		"moves\n");
}

int main(int argc, char **argv)
{
	enum {
		KEY = 256,
		PREFIX,
		LINK_LOCAL,
		NODES,
		FIRST,
		PREFIXES,
		WINDOW,
		MOVES,
		SECONDS,
		RATE,
		LIFETIME,
		LEASE,
		INTERFACE,
		PORT,
		ANCHOR_PORT,
		JOURNAL,
		MIX,
		THROUGH
	};
	const struct option options[] = {{"domain-key", 1, NULL, KEY}, {"prefix", 1, NULL, PREFIX},
		{"link-local", 1, NULL, LINK_LOCAL}, {"nodes", 1, NULL, NODES}, {"first", 1, NULL, FIRST},
		{"prefixes", 1, NULL, PREFIXES}, {"window", 1, NULL, WINDOW}, {"moves", 1, NULL, MOVES},
		{"seconds", 1, NULL, SECONDS}, {"rate", 1, NULL, RATE}, {"lifetime", 1, NULL, LIFETIME},
		{"lease", 1, NULL, LEASE}, {"interface", 1, NULL, INTERFACE}, {"port", 1, NULL, PORT},
		{"anchor-port", 1, NULL, ANCHOR_PORT}, {"json", 0, NULL, 'j'}, {"no-bind", 0, NULL, 'n'},
		{"journal", 1, NULL, JOURNAL}, {"mix", 1, NULL, MIX}, {"through", 1, NULL, THROUGH},
		{"step", 0, NULL, 's'}, {"home", 0, NULL, 'H'}, {"help", 0, NULL, 'h'}, {0}};
	struct prefix6 prefix = {0};
	struct domain_key key;
	char err[CREDENTIAL_ERR];
	struct phase p;
	int o;

	while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (o) {
		case KEY:
			option.domain_key = optarg;
			break;
		case PREFIX:
			if (prefix6_parse(optarg, &prefix) < 0 || prefix.len > 64)
				die("--prefix takes a /64", 0);
			break;
		case LINK_LOCAL:
			if (inet_pton(AF_INET6, optarg, &option.link_local) != 1)
				die("--link-local takes an address", 0);
			break;
		case NODES:
			option.nodes = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case FIRST:
			option.first = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case PREFIXES:
			option.prefixes = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case WINDOW:
			option.window = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case MOVES:
			option.moves = strtoull(optarg, NULL, 10);
			break;
		case SECONDS:
			option.seconds = strtod(optarg, NULL);
			break;
		case RATE:
			option.rate = strtod(optarg, NULL);
			break;
		case LIFETIME:
			option.lifetime_s = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case LEASE:
			option.lease_s = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case INTERFACE:
			option.interface = optarg;
			break;
		case PORT:
			option.port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case ANCHOR_PORT:
			option.anchor_port = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case JOURNAL:
			option.journal = fopen(optarg, "we");
			if (!option.journal)
				die(optarg, errno);
			(void)setvbuf(option.journal, NULL, _IOLBF, 0);
			break;
		case THROUGH:
			if (option.n_through == 32 ||
				inet_pton(AF_INET6, optarg, &option.through[option.n_through++]) != 1)
				die("--through takes an address, at most 32 times", 0);
			break;
		case MIX:
			option.mix = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'j':
			option.json = true;
			break;
		case 's':
			option.step = true;
			break;
		case 'H':
			option.home = true;
			break;
		case 'n':
			option.no_bind = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind + 1 != argc || inet_pton(AF_INET6, argv[optind], &option.anchor) != 1 || !option.domain_key ||
		prefix.len == 0 || !IN6_IS_ADDR_LINKLOCAL(&option.link_local) || option.nodes == 0 ||
		option.prefixes == 0 || option.window == 0) {
		usage(stderr);
		return 2;
	}
	option.prefix = prefix.addr;
	if (secret_start() < 0 || domain_key_load(option.domain_key, &key, err) < 0)
		die(err, 0);
	open_socket();
	nodes = calloc(option.nodes, sizeof(*nodes));
	sample = malloc(SAMPLES * sizeof(*sample));
	if (!nodes || !sample)
		die("out of memory", 0);
	for (unsigned i = 0; i < option.nodes; i++)
		nodes[i] = node_new(option.first + i, &key);
	domain_key_done(&key);
	discover(nodes[0], &option.anchor);
	for (unsigned i = 0; i < option.nodes; i++) {
		if (channel_peer_add(nodes[i]->channel, &anchor, &nodes[i]->peer) < 0)
			die("out of memory", 0);
		set_place(nodes[i]);
		DL_APPEND(idle, nodes[i]);
	}
	p = run('a', (uint64_t)option.nodes * option.prefixes, UINT64_MAX);
	print("attach", &p);
	for (unsigned k = 0; k < option.n_through; k++) {
		step();
		option.at = &option.through[k];
		discover(nodes[0], option.at);
		for (unsigned i = 0; i < option.nodes; i++)
			if (channel_peer_add(nodes[i]->channel, &anchor, &nodes[i]->serving) < 0)
				die("out of memory", 0);
		p = run('b', option.nodes, UINT64_MAX);
		print("through", &p);
	}
	option.at = NULL;
	if (!option.no_bind) {
		step();
		p = run('b', option.nodes, UINT64_MAX);
		print("bind", &p);
	}
	if (option.moves || option.seconds > 0) {
		step();
		p = run('b', option.moves ? option.moves : UINT64_MAX,
			option.seconds > 0 ? clock_us(CLOCK_MONOTONIC) + (uint64_t)(option.seconds * 1e6) : UINT64_MAX);
		print("move", &p);
	}
	if (option.home) {
		step();
		p = run('h', option.nodes, UINT64_MAX);
		print("home", &p);
		step();
		p = run('b', option.nodes, UINT64_MAX);
		print("bind", &p);
	}
	if (option.json)
		(void)printf("{\"phase\": \"end\", \"retries\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"refused\": {",
			count_retries, count_lost);
	else
		(void)printf("retries  %" PRIu64 ", given up %" PRIu64 ", refused:", count_retries, count_lost);
	for (unsigned s = 1, n = 0; s < 256; s++)
		if (count_status[s])
			(void)printf(option.json ? "%s\"%u\": %" PRIu64 : "%s %u: %" PRIu64, n++ ? "," : "", s,
				count_status[s]);
	(void)printf(option.json ? "}}\n" : "\n");
	return count_lost ? 1 : 0;
}
