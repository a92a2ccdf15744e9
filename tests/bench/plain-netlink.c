/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plain-netlink.c - the rate at which this kernel takes the route changes of an anchor from one plain batched sender:
 * the limit for amad
 *
 *   plain-netlink DEVICE N CHANGES BATCH [PREFIXES [LINK GATEWAY]]
 *   plain-netlink DEVICE N CHANGES BATCH answer PORT [ADDRESS]
 *
 * It makes the requests that amad makes, for N nodes with PREFIXES (1) routes each, the routes are counted:
 *
 * bind:   a node goes away: a nexthop object with encapsulation on DEVICE, and its native routes (via GATEWAY on LINK)
 * are replaced by routes to that. home:   it comes back: its routes are replaced by native ones, the nexthop is
 * deleted. moves:  nexthops are replaced (another tunnel end), which is what a moving binding causes. With PREFIXES
 * more than 1 a node moves as amad moves it: a new nexthop, its routes replaced one by one, the old nexthop deleted.
 * shared: routes are replaced by routes to another of two nexthops, which is what a node causes that moves from one AMA
 *         to another, with many others behind each.
 *
 * With "answer" each move is asked for by a datagram that is answered, both of the size that an update in the secure
 * channel has: what the datagrams alone leave of the rate, without a look into them. With ADDRESS it is the one that
 * asks, there.
 *
 * Prints one JSON object: changes a second of wall clock and of its own CPU time. Knows nothing of nl.c: libmnl and as
 * little as possible. */
#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/lwtunnel.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FIRST_ID 0x20000000u

static struct mnl_socket *nl;
static char buf[1 << 20];
static size_t used;
static unsigned n_batch, seq;
static struct nlmsghdr *last;

static double now_s(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void flush(void)
{
	static char answer[65536];

	if (!used)
		return;
	last->nlmsg_flags |= NLM_F_ACK;
	if (mnl_socket_sendto(nl, buf, used) < 0) {
		perror("plain-netlink: send");
		exit(1);
	}
	for (bool done = false; !done;) {
		ssize_t n = mnl_socket_recvfrom(nl, answer, sizeof(answer));
		const struct nlmsghdr *h = (const struct nlmsghdr *)answer;

		for (int left = (int)n; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

			if (e->error) {
				(void)fprintf(stderr, "plain-netlink: refused: %s\n", strerror(-e->error));
				exit(1);
			}
			done |= h->nlmsg_seq == last->nlmsg_seq;
		}
	}
	used = n_batch = 0;
}

static struct nlmsghdr *message(uint16_t type)
{
	last = mnl_nlmsg_put_header(buf + used);
	last->nlmsg_type = type;
	last->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE;
	last->nlmsg_seq = ++seq;
	return last;
}

static void end(unsigned batch)
{
	used += MNL_ALIGN(last->nlmsg_len);
	if (++n_batch == batch || used + 512 > sizeof(buf))
		flush();
}

static void put_nexthop(unsigned id, unsigned turn, unsigned i, unsigned oif, unsigned batch)
{
	struct nlmsghdr *h = message(RTM_NEWNEXTHOP);
	struct nhmsg *nhm = mnl_nlmsg_put_extra_header(h, sizeof(*nhm));
	struct in6_addr dst, src;
	struct nlattr *nest;

	nhm->nh_family = AF_INET6;
	nhm->nh_protocol = 4;
	(void)inet_pton(AF_INET6, "2001:db8:bb::", &dst);
	(void)inet_pton(AF_INET6, "2001:db8:a1::1", &src);
	dst.s6_addr32[2] = htonl(turn);
	dst.s6_addr32[3] = htonl(i);
	mnl_attr_put_u32(h, NHA_ID, id);
	mnl_attr_put_u32(h, NHA_OIF, oif);
	mnl_attr_put_u16(h, NHA_ENCAP_TYPE, LWTUNNEL_ENCAP_IP6);
	nest = mnl_attr_nest_start(h, NHA_ENCAP);
	mnl_attr_put(h, LWTUNNEL_IP6_DST, sizeof(dst), &dst);
	mnl_attr_put(h, LWTUNNEL_IP6_SRC, sizeof(src), &src);
	mnl_attr_put_u8(h, LWTUNNEL_IP6_HOPLIMIT, 64);
	mnl_attr_nest_end(h, nest);
	end(batch);
}

static void delete_nexthop(unsigned id, unsigned batch)
{
	struct nlmsghdr *h = message(RTM_DELNEXTHOP);

	h->nlmsg_flags = NLM_F_REQUEST;
	(void)mnl_nlmsg_put_extra_header(h, sizeof(struct nhmsg));
	mnl_attr_put_u32(h, NHA_ID, id);
	end(batch);
}

static unsigned link_oif;
static struct in6_addr gateway;

/* id 0: native */
static void put_route(unsigned i, unsigned id, unsigned batch)
{
	struct nlmsghdr *h = message(RTM_NEWROUTE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));
	struct in6_addr dst;

	(void)inet_pton(AF_INET6, "2001:db9::", &dst);
	dst.s6_addr32[1] = htonl(i);
	rtm->rtm_family = AF_INET6;
	rtm->rtm_dst_len = 64;
	rtm->rtm_protocol = 4;
	rtm->rtm_type = RTN_UNICAST;
	rtm->rtm_table = RT_TABLE_MAIN;
	mnl_attr_put(h, RTA_DST, sizeof(dst), &dst);
	if (id) {
		mnl_attr_put_u32(h, RTA_NH_ID, id);
	} else {
		mnl_attr_put_u32(h, RTA_OIF, link_oif);
		mnl_attr_put(h, RTA_GATEWAY, sizeof(gateway), &gateway);
	}
	end(batch);
}

static void delete_route(unsigned i, unsigned batch)
{
	struct nlmsghdr *h = message(RTM_DELROUTE);
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(h, sizeof(*rtm));
	struct in6_addr dst;

	h->nlmsg_flags = NLM_F_REQUEST;
	(void)inet_pton(AF_INET6, "2001:db9::", &dst);
	dst.s6_addr32[1] = htonl(i);
	rtm->rtm_family = AF_INET6;
	rtm->rtm_dst_len = 64;
	rtm->rtm_table = RT_TABLE_MAIN;
	mnl_attr_put(h, RTA_DST, sizeof(dst), &dst);
	end(batch);
}

struct phase {
	const char *name;
	double wall_s, cpu_s;
	unsigned changes;
};

static double wall_begin_s, cpu_begin_s;

static void begin(void)
{
	flush();
	wall_begin_s = now_s(CLOCK_MONOTONIC);
	cpu_begin_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
}

static void end_phase(struct phase *p, unsigned n)
{
	flush();
	p->wall_s += now_s(CLOCK_MONOTONIC) - wall_begin_s;
	p->cpu_s += now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin_s;
	p->changes += n;
}

static void print(const struct phase *p)
{
	(void)printf("{\"phase\": \"%s\", \"changes\": %u, \"per_s\": %.0f, \"per_cpu_s\": %.0f}\n", p->name,
		p->changes, p->changes / p->wall_s, p->changes / (p->cpu_s > 0 ? p->cpu_s : p->wall_s));
}

#define ASKED	 168 /* bytes of UDP payload: a Binding Update, and its acknowledgement */
#define ANSWERED 152
#define WINDOW	 512

static struct mmsghdr datagrams[WINDOW];

static int datagram_socket(const char *at, const char *port, bool ask)
{
	static struct iovec iov[WINDOW];
	static struct sockaddr_in6 name[WINDOW];
	static uint8_t payload[WINDOW][256];
	struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), size = 1 << 24;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if ((at && inet_pton(AF_INET6, at, &sa.sin6_addr) != 1) ||
		(ask ? connect : bind)(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		perror("plain-netlink: socket");
		exit(1);
	}
	for (unsigned i = 0; i < WINDOW; i++) {
		iov[i] = (struct iovec){payload[i], ask ? ASKED : sizeof(payload[i])};
		datagrams[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i],
			.msg_iovlen = 1,
			.msg_name = ask ? NULL : &name[i],
			.msg_namelen = ask ? 0 : sizeof(name[i])};
	}
	return fd;
}

static int receive_some(int fd)
{
	int r = recvmmsg(fd, datagrams, WINDOW, MSG_WAITFORONE, NULL);

	if (r < 0) {
		perror("plain-netlink: recvmmsg");
		exit(1);
	}
	return r;
}

static void send_all(int fd, unsigned n, size_t size)
{
	for (unsigned i = 0; i < n; i++)
		datagrams[i].msg_hdr.msg_iov->iov_len = size;
	for (unsigned sent = 0; sent < n;) {
		int r = sendmmsg(fd, datagrams + sent, n - sent, 0);

		if (r < 0) {
			perror("plain-netlink: sendmmsg");
			exit(1);
		}
		sent += (unsigned)r;
	}
}

static int ask(const char *at, const char *port, unsigned changes)
{
	int fd = datagram_socket(at, port, true);

	for (unsigned done = 0; done < changes; done += WINDOW) {
		send_all(fd, WINDOW, ASKED);
		for (unsigned got = 0; got < WINDOW; got += (unsigned)receive_some(fd))
			;
	}
	return 0;
}

static int answer(const char *port, unsigned oif, unsigned n, unsigned changes, unsigned batch)
{
	struct phase p = {.name = "answered"};
	int fd = datagram_socket(NULL, port, false);
	unsigned done = 0;

	for (unsigned i = 0; i < n; i++)
		put_nexthop(FIRST_ID + 2 * i, 0, i, oif, batch);
	flush();
	(void)printf("{\"phase\": \"ready\"}\n");
	(void)fflush(stdout);
	while (done < (changes + WINDOW - 1) / WINDOW * WINDOW) {
		int r = receive_some(fd);

		if (done == 0)
			begin();
		for (int i = 0; i < r; i++, done++)
			put_nexthop(FIRST_ID + 2 * (done % n), 1 + done / n, done % n, oif, batch);
		flush();
		send_all(fd, (unsigned)r, ANSWERED);
		for (int i = 0; i < r; i++)
			datagrams[i].msg_hdr.msg_iov->iov_len = 256;
	}
	end_phase(&p, done);
	print(&p);
	for (unsigned i = 0; i < n; i++)
		delete_nexthop(FIRST_ID + 2 * i, batch);
	flush();
	return 0;
}

int main(int argc, char **argv)
{
	struct phase bind = {.name = "bind"}, home = {.name = "home"}, moves = {.name = "move"},
		     shared = {.name = "shared"};
	unsigned n, changes, batch, oif, prefixes, turn = 0;
	int size = 1 << 23;

	if (argc == 8 && !strcmp(argv[5], "answer"))
		return ask(argv[7], argv[6], (unsigned)atoi(argv[3]));
	if ((argc < 5 || argc > 8) || !(oif = if_nametoindex(argv[1]))) {
		(void)fprintf(stderr, "usage: plain-netlink DEVICE N CHANGES BATCH [PREFIXES [LINK GATEWAY]]\n");
		return 2;
	}
	n = (unsigned)atoi(argv[2]);
	changes = (unsigned)atoi(argv[3]);
	batch = (unsigned)atoi(argv[4]);
	prefixes = argc > 5 ? (unsigned)atoi(argv[5]) : 1;
	if (argc > 7 && (!(link_oif = if_nametoindex(argv[6])) || inet_pton(AF_INET6, argv[7], &gateway) != 1))
		return 2;
	nl = mnl_socket_open(NETLINK_ROUTE);
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		perror("plain-netlink");
		return 1;
	}
	(void)setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (argc == 7)
		return answer(argv[6], oif, n, changes, batch);
	for (unsigned i = 0; link_oif && i < n * prefixes; i++)
		put_route(i, 0, batch);
	for (unsigned done = 0; done < changes; done += n * prefixes) { /* clocks may count in ticks of 10 ms */
		if (done > 0) {
			begin();
			for (unsigned i = 0; i < n; i++) {
				for (unsigned k = 0; link_oif && k < prefixes; k++)
					put_route(i * prefixes + k, 0, batch);
				delete_nexthop(FIRST_ID + 2 * i, batch);
			}
			end_phase(&home, n * prefixes);
		}
		begin();
		for (unsigned i = 0; i < n; i++) {
			put_nexthop(FIRST_ID + 2 * i, 0, i, oif, batch);
			for (unsigned k = 0; k < prefixes; k++)
				put_route(i * prefixes + k, FIRST_ID + 2 * i, batch);
		}
		end_phase(&bind, n * prefixes);
	}
	begin();
	for (unsigned i = 0; prefixes == 1 && i < changes; i++)
		put_nexthop(FIRST_ID + 2 * (i % n), 1 + i / n, i % n, oif, batch);
	for (unsigned i = 0; prefixes > 1 && i < changes / prefixes; i++) {
		unsigned node = i % n, id = FIRST_ID + 2 * node;

		turn = 1 + i / n;
		put_nexthop(id + turn % 2, turn, node, oif, batch);
		for (unsigned k = 0; k < prefixes; k++)
			put_route(node * prefixes + k, id + turn % 2, batch);
		delete_nexthop(id + !(turn % 2), batch);
	}
	end_phase(&moves, changes / prefixes * prefixes);
	for (unsigned k = 0; k < 2; k++)
		put_nexthop(FIRST_ID - 1 - k, 0, k, oif, batch);
	for (unsigned i = 0; i < n * prefixes; i++)
		put_route(i, FIRST_ID - 1, batch);
	begin();
	for (unsigned i = 0; i < changes; i++)
		put_route(i % (n * prefixes), FIRST_ID - 1 - (1 + i / (n * prefixes)) % 2, batch);
	end_phase(&shared, changes);
	print(&bind);
	print(&home);
	print(&moves);
	print(&shared);
	for (unsigned i = 0; i < n * prefixes; i++) /* leave the kernel as it was */
		delete_route(i, batch);
	for (unsigned k = 0; k < 2; k++)
		delete_nexthop(FIRST_ID - 1 - k, batch);
	for (unsigned i = 0; i < n; i++)
		delete_nexthop(FIRST_ID + 2 * i +
				(prefixes > 1 && changes / prefixes > i ? (1 + (changes / prefixes - 1 - i) / n) % 2
									: 0),
			batch);
	flush();
	return 0;
}
