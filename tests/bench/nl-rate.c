/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nl-rate.c - what plain-netlink.c measures, done by fwd.c and nl.c: same arguments, same changes, same batches */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fwd.h"
#include "nl.h"

#define FIRST_ID 0x20000000u

static struct fwd_set *set;
static struct nl *nl;
static unsigned n_batch, n_failed;

static double now_s(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void on_link(void *ctx, const struct nl_link *link, bool present)
{
	(void)ctx, (void)link, (void)present;
}

static void on_address(void *ctx, const struct nl_address *address, bool present)
{
	(void)ctx, (void)address, (void)present;
}

static void on_object(void *ctx, const struct fwd_object *o)
{
	(void)ctx, (void)o;
}

static void on_overrun(void *ctx)
{
	(void)ctx;
}

static const struct nl_ops ops = {on_link, on_address, on_object, on_object, on_overrun};

static void on_done(void *ctx, uint64_t cookie, int result, const char *text)
{
	(void)ctx, (void)cookie;
	if (result < 0 && n_failed++ == 0)
		(void)fprintf(stderr, "nl-rate: refused: %s (%s)\n", strerror(-result), text ? text : "");
}

static void flush(void)
{
	if (nl_apply(nl, set) < 0) {
		(void)fprintf(stderr, "nl-rate: netlink failed\n");
		exit(1);
	}
	n_batch = 0;
}

static void end(unsigned batch)
{
	if (++n_batch == batch)
		flush();
}

static void want_nexthop(unsigned id, unsigned turn, unsigned i, unsigned oif, unsigned batch)
{
	struct fwd_object o = {.kind = FWD_NEXTHOP, .nexthop = {.id = id, .oif = oif}};

	(void)inet_pton(AF_INET6, "2001:db8:bb::", &o.nexthop.encap.dst);
	(void)inet_pton(AF_INET6, "2001:db8:a1::1", &o.nexthop.encap.src);
	o.nexthop.encap.dst.s6_addr32[2] = htonl(turn);
	o.nexthop.encap.dst.s6_addr32[3] = htonl(i);
	(void)fwd_want(set, &o, 1);
	end(batch);
}

static void want_route(unsigned i, unsigned id, unsigned batch)
{
	struct fwd_object o = {.kind = FWD_ROUTE,
		.route = {.dst.len = 64, .type = FWD_UNICAST, .table = 254, .metric = 1024, .nexthop = id}};

	(void)inet_pton(AF_INET6, "2001:db9::", &o.route.dst.addr);
	o.route.dst.addr.s6_addr32[1] = htonl(i);
	(void)fwd_want(set, &o, 1);
	end(batch);
}

int main(int argc, char **argv)
{
	unsigned n, changes, batch, oif, prefixes;
	double wall_s, cpu_s;
	char err[NL_ERR];

	if (argc < 5 || argc > 6 || !(oif = if_nametoindex(argv[1]))) {
		(void)fprintf(stderr, "usage: nl-rate DEVICE N CHANGES BATCH [PREFIXES]\n");
		return 2;
	}
	n = (unsigned)atoi(argv[2]);
	changes = (unsigned)atoi(argv[3]);
	batch = (unsigned)atoi(argv[4]);
	prefixes = argc > 5 ? (unsigned)atoi(argv[5]) : 1;
	set = fwd_new(on_done, NULL);
	if (!set || nl_new(&ops, NULL, &nl, err) < 0)
		return 1;
	for (unsigned i = 0; i < n; i++)
		want_nexthop(FIRST_ID + 2 * i, 0, i, oif, 512);
	for (unsigned i = 0; i < n * prefixes; i++)
		want_route(i, FIRST_ID + 2 * (i / prefixes), 512);
	flush();
	wall_s = now_s(CLOCK_MONOTONIC);
	cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
	for (unsigned i = 0; prefixes == 1 && i < changes; i++)
		want_nexthop(FIRST_ID + 2 * (i % n), 1 + i / n, i % n, oif, batch);
	for (unsigned i = 0; prefixes > 1 && i < changes / prefixes; i++) {
		unsigned node = i % n, turn = 1 + i / n, id = FIRST_ID + 2 * node;
		struct fwd_object old = {.kind = FWD_NEXTHOP, .nexthop.id = id + !(turn % 2)};

		want_nexthop(id + turn % 2, turn, node, oif, batch);
		for (unsigned k = 0; k < prefixes; k++)
			want_route(node * prefixes + k, id + turn % 2, batch);
		fwd_unwant(set, &old, 1);
		end(batch);
	}
	flush();
	changes = changes / prefixes * prefixes;
	(void)printf("{\"phase\": \"moves\", \"changes\": %u, \"per_s\": %.0f, \"per_cpu_s\": %.0f}\n", changes,
		changes / (now_s(CLOCK_MONOTONIC) - wall_s), changes / (now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s));
	fwd_begin(set); /* leave the kernel as it was */
	fwd_end(set);
	flush();
	nl_free(nl);
	fwd_free(set);
	return n_failed ? 1 : 0;
}
