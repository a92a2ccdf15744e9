/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plain-netlink.c - the rate at which this kernel takes the route changes of an anchor from one plain batched sender:
 * the limit for amad
 *
 *   plain-netlink DEVICE N CHANGES BATCH [PREFIXES]
 *
 * new:   for each of N nodes a nexthop object with encapsulation on DEVICE, and its PREFIXES (1) routes to it, which is
 *        what a new binding causes; the routes are counted.
 * moves: nexthops are replaced (another tunnel end), which is what a moving binding causes. With PREFIXES more than 1 a
 *        node moves as amad moves it: a new nexthop, its routes replaced one by one, the old nexthop deleted; the
 *        routes are counted.
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
	mnl_attr_put_u32(h, RTA_NH_ID, id);
	end(batch);
}

/* Each node's nexthop, its routes go with it. Which of a node's two is there depends on how often it moved. */
static void delete_all(unsigned n, unsigned moves, unsigned batch)
{
	for (unsigned i = 0; i < n; i++)
		delete_nexthop(FIRST_ID + 2 * i + (moves / n + (i < moves % n)) % 2, batch);
	flush();
}

static double wall_s, cpu_s, wall_begin_s, cpu_begin_s;
static unsigned counted;

static void begin(void)
{
	wall_begin_s = now_s(CLOCK_MONOTONIC);
	cpu_begin_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
}

static void end_phase(unsigned n)
{
	wall_s += now_s(CLOCK_MONOTONIC) - wall_begin_s;
	cpu_s += now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin_s;
	counted += n;
}

static void print(const char *name)
{
	(void)printf("{\"phase\": \"%s\", \"changes\": %u, \"per_s\": %.0f, \"per_cpu_s\": %.0f}\n", name, counted,
		counted / wall_s, counted / (cpu_s > 0 ? cpu_s : wall_s));
	wall_s = cpu_s = 0;
	counted = 0;
}

int main(int argc, char **argv)
{
	unsigned n, changes, batch, oif, prefixes;
	int size = 1 << 23;

	if (argc < 5 || argc > 6 || !(oif = if_nametoindex(argv[1]))) {
		(void)fprintf(stderr, "usage: plain-netlink DEVICE N CHANGES BATCH [PREFIXES]\n");
		return 2;
	}
	n = (unsigned)atoi(argv[2]);
	changes = (unsigned)atoi(argv[3]);
	batch = (unsigned)atoi(argv[4]);
	prefixes = argc > 5 ? (unsigned)atoi(argv[5]) : 1;
	nl = mnl_socket_open(NETLINK_ROUTE);
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		perror("plain-netlink");
		return 1;
	}
	(void)setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	for (unsigned done = 0; done < changes; done += n * prefixes) { /* clocks may count in ticks of 10 ms */
		if (done > 0)
			delete_all(n, 0, batch);
		begin();
		for (unsigned i = 0; i < n; i++) {
			put_nexthop(FIRST_ID + 2 * i, 0, i, oif, batch);
			for (unsigned k = 0; k < prefixes; k++)
				put_route(i * prefixes + k, FIRST_ID + 2 * i, batch);
		}
		flush();
		end_phase(n * prefixes);
	}
	print("new");
	begin();
	for (unsigned i = 0; prefixes == 1 && i < changes; i++)
		put_nexthop(FIRST_ID + 2 * (i % n), 1 + i / n, i % n, oif, batch);
	for (unsigned i = 0; prefixes > 1 && i < changes / prefixes; i++) {
		unsigned node = i % n, turn = 1 + i / n, id = FIRST_ID + 2 * node;

		put_nexthop(id + turn % 2, turn, node, oif, batch);
		for (unsigned k = 0; k < prefixes; k++)
			put_route(node * prefixes + k, id + turn % 2, batch);
		delete_nexthop(id + !(turn % 2), batch);
	}
	flush();
	end_phase(changes / prefixes * prefixes);
	print("moves");
	delete_all(n, prefixes == 1 ? 0 : changes / prefixes, batch);
	return 0;
}
