/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_srccheck.c - the source check: batches, and packets that come out of a real tunnel
 *
 * Two network namespaces joined by a veth: one has the tunnel device with the check, the other sends encapsulated
 * packets. Skipped where the kernel lacks privileges, BPF or ip6tnl; tests/scenarios/kernel_door.py runs it in a kernel
 * that has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "nl.h"
#include "srccheck.h"

static struct nl *nl;
static bool has_bpf;
static uint32_t tunnel;
static int here = -1, there = -1; /* namespaces */
static int sender = -1;		  /* a raw socket there */

static struct in6_addr in6(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static struct prefix6 prefix(const char *text)
{
	struct prefix6 p;

	assert_int_equal(prefix6_parse(text, &p), 0);
	return p;
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

static struct srccheck *load(enum srccheck_mode mode, uint32_t n)
{
	struct srccheck *s = NULL;
	char err[SRCCHECK_ERR] = "";

	if (srccheck_new(mode, n, &s, err) < 0)
		fail_msg("%s", err);
	return s;
}

static struct srccheck_counters counted(const struct srccheck *s)
{
	struct srccheck_counters c;

	assert_int_equal(srccheck_counters(s, &c), 0);
	return c;
}

#define NEEDS(what)                                                                                                    \
	do {                                                                                                           \
		if (!(what))                                                                                           \
			skip();                                                                                        \
	} while (0)

/* IPv6 in IPv6 from one outer source; the inner packet holds nothing (next header 59). */
static void send_packet(const char *outer, const char *inner_src, const char *inner_dst, int version)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = in6("2001:db8:f::1")};
	uint8_t p[80] = {0x60, 0, 0, 0, 0, 40, 41, 64};
	struct in6_addr a;

	a = in6(outer);
	memcpy(p + 8, &a, 16);
	memcpy(p + 24, &to.sin6_addr, 16);
	p[40] = (uint8_t)(version << 4);
	p[46] = 59;
	p[47] = 64;
	a = in6(inner_src);
	memcpy(p + 48, &a, 16);
	a = in6(inner_dst);
	memcpy(p + 64, &a, 16);
	assert_int_equal(sendto(sender, p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)), sizeof(p));
}

static void wait_until(const struct srccheck *s, uint64_t packets)
{
	struct srccheck_counters c;

	for (int i = 0; i < 500; i++) {
		c = counted(s);
		if (c.passed + c.unbound + c.wrong_source + c.malformed >= packets)
			return;
		(void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	fail_msg("of %llu packets %llu came", (unsigned long long)packets,
		(unsigned long long)(c.passed + c.unbound + c.wrong_source + c.malformed));
}

static void many_in_few_calls(void **state)
{
	struct in6_addr outer = in6("2001:db8:b2::2");
	struct prefix6 p = prefix("2001:db8::/64");
	struct srccheck *s;

	(void)state;
	NEEDS(has_bpf);
	s = load(SRCCHECK_ANCHOR, 5000);
	for (uint32_t round = 0; round < 3; round++) { /* there is room for 5000, again and again */
		for (uint32_t i = 0; i < 5000; i++) {
			p.addr.s6_addr32[1] = htonl(i);
			outer.s6_addr32[3] = htonl(round);
			assert_int_equal(srccheck_set(s, &p, &outer), 0);
		}
		assert_int_equal(srccheck_flush(s), 0);
	}
	/* one too many is said; when others go in the same turn, there is room */
	p.addr.s6_addr32[1] = htonl(5000);
	(void)srccheck_set(s, &p, &outer);
	assert_int_equal(srccheck_flush(s), -E2BIG);
	for (uint32_t i = 0; i < 5000; i++) {
		p.addr.s6_addr32[1] = htonl(i);
		srccheck_delete(s, &p);
	}
	for (uint32_t i = 0; i < 5000; i++) {
		p.addr.s6_addr32[1] = htonl(10000 + i);
		(void)srccheck_set(s, &p, &outer);
	}
	assert_int_equal(srccheck_flush(s), 0);
	srccheck_free(s);
}

static void at_an_anchor(void **state)
{
	struct in6_addr b2 = in6("2001:db8:b2::2"), b3 = in6("2001:db8:b3::2");
	struct prefix6 p = prefix("2001:db8:1001::/64"), q = prefix("2001:db8:1002::/64");
	struct srccheck_counters c;
	struct srccheck *s, *next;
	char err[SRCCHECK_ERR];

	(void)state;
	NEEDS(tunnel && has_bpf);
	s = load(SRCCHECK_ANCHOR, 100);
	assert_int_equal(srccheck_attach(s, tunnel, err), 0);
	(void)srccheck_set(s, &p, &b2);
	assert_int_equal(srccheck_flush(s), 0);
	send_packet("2001:db8:b2::2", "2001:db8:1001::1", "2001:db8:c::2", 6); /* bound */
	send_packet("2001:db8:b2::2", "2001:db8:1001::ffff", "2001:db8:c::2", 6);
	send_packet("2001:db8:b3::2", "2001:db8:1001::1", "2001:db8:c::2", 6); /* from another place */
	send_packet("2001:db8:b2::2", "2001:db8:1002::1", "2001:db8:c::2", 6); /* another prefix */
	send_packet("2001:db8:b2::3", "2001:db8:1001::1", "2001:db8:c::2", 6); /* one bit beside */
	wait_until(s, 5);
	c = counted(s);
	assert_int_equal(c.passed, 2);
	assert_int_equal(c.wrong_source, 2);
	assert_int_equal(c.unbound, 1);
	/* it moves: what is still in the tunnel is let through for a moment, nobody else's */
	srccheck_leave(s, &p, &b2);
	(void)srccheck_set(s, &p, &b3);
	assert_int_equal(srccheck_flush(s), 0);
	send_packet("2001:db8:b3::2", "2001:db8:1001::1", "2001:db8:c::2", 6);
	send_packet("2001:db8:b2::2", "2001:db8:1001::1", "2001:db8:c::2", 6);
	send_packet("2001:db8:b2::2", "2001:db8:1002::1", "2001:db8:c::2", 6);
	send_packet("2001:db8:b4::2", "2001:db8:1001::1", "2001:db8:c::2", 6);
	wait_until(s, 9);
	c = counted(s);
	assert_int_equal(c.passed, 4);
	assert_int_equal(c.wrong_source, 3);
	assert_int_equal(c.unbound, 2);
	/* set and deleted, deleted and set within one flush: the last word counts */
	(void)srccheck_set(s, &q, &b2);
	srccheck_delete(s, &q);
	srccheck_delete(s, &p);
	(void)srccheck_set(s, &p, &b2);
	assert_int_equal(srccheck_flush(s), 0);
	send_packet("2001:db8:b2::2", "2001:db8:1002::1", "2001:db8:c::2", 6);
	send_packet("2001:db8:b2::2", "2001:db8:1001::1", "2001:db8:c::2", 6);
	wait_until(s, 11);
	c = counted(s);
	assert_int_equal(c.passed, 5);
	assert_int_equal(c.unbound, 3);
	/* a restarted daemon takes the place of the one before, filled */
	next = load(SRCCHECK_ANCHOR, 100);
	(void)srccheck_set(next, &q, &b3);
	assert_int_equal(srccheck_flush(next), 0);
	assert_int_equal(srccheck_attach(next, tunnel, err), 0);
	srccheck_free(s);
	send_packet("2001:db8:b3::2", "2001:db8:1002::1", "2001:db8:c::2", 6);
	send_packet("2001:db8:b2::2", "2001:db8:1001::1", "2001:db8:c::2", 6);
	wait_until(next, 2);
	c = counted(next);
	assert_int_equal(c.passed, 1);
	assert_int_equal(c.unbound, 1);
	srccheck_free(next);
}

static void at_a_node(void **state)
{
	struct in6_addr anchor = in6("2001:db8:b2::2");
	struct prefix6 p = prefix("2001:db8:1001::/64");
	struct srccheck_counters c;
	char err[SRCCHECK_ERR];
	struct srccheck *s;

	(void)state;
	NEEDS(tunnel && has_bpf);
	s = load(SRCCHECK_NODE, 16);
	assert_int_equal(srccheck_attach(s, tunnel, err), 0);
	(void)srccheck_set(s, &p, &anchor);
	assert_int_equal(srccheck_flush(s), 0);
	send_packet("2001:db8:b2::2", "2001:db8:c::2", "2001:db8:1001::1", 6);
	send_packet("2001:db8:b3::2", "2001:db8:c::2", "2001:db8:1001::1", 6);
	send_packet("2001:db8:b2::2", "2001:db8:1001::1", "2001:db8:c::2", 6); /* the right prefix on the wrong side */
	wait_until(s, 3);
	c = counted(s);
	assert_int_equal(c.passed, 1);
	assert_int_equal(c.wrong_source, 1);
	assert_int_equal(c.unbound, 1);
	srccheck_free(s);
}

static void no_such_device(void **state)
{
	char err[SRCCHECK_ERR] = "";
	struct srccheck *s;

	(void)state;
	NEEDS(has_bpf);
	s = load(SRCCHECK_ANCHOR, 16);
	assert_true(srccheck_attach(s, 9999, err) < 0);
	assert_non_null(strstr(err, "source check"));
	srccheck_free(s);
}

/* --- two namespaces ----------------------------------------------------------------------------------------------- */

static int sh(const char *command)
{
	return system(command);
}

static int setup(void **state)
{
	char err[NL_ERR];
	int on = 1;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0 || nl_new(&ops, NULL, &nl, err) < 0)
		return 0;
	here = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	has_bpf = true;
	{
		struct srccheck *s;
		char text[SRCCHECK_ERR];

		if (srccheck_new(SRCCHECK_ANCHOR, 1, &s, text) < 0) {
			has_bpf = false;
			print_message("%s\n", text);
		} else {
			srccheck_free(s);
		}
	}
	if (nl_tunnel_open(nl, "tun0", &tunnel, err) < 0 || nl_tunnel_up(nl, tunnel, 1400, err) < 0) {
		print_message("%s\n", err);
		tunnel = 0;
		return 0;
	}
	if (sh("sysctl -q net.ipv6.conf.default.accept_dad=0 && ip link add e0 type veth peer name e1") ||
		unshare(CLONE_NEWNET) < 0)
		return -1;
	there = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	sender = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (sender < 0 || setsockopt(sender, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof(on)) < 0 ||
		sh("sysctl -q net.ipv6.conf.default.accept_dad=0"))
		return -1;
	/* the far end comes here */
	(void)setns(here, CLONE_NEWNET);
	(void)snprintf(err, sizeof(err), "ip link set e1 netns /proc/%d/fd/%d", (int)getpid(), there);
	if (sh(err) ||
		sh("ip link set e0 up && ip -6 addr add 2001:db8:f::1/64 dev e0 nodad && ip -6 route add "
		   "default via 2001:db8:f::2 dev e0"))
		return -1;
	(void)setns(there, CLONE_NEWNET);
	if (sh("ip link set e1 up && ip -6 addr add 2001:db8:f::2/64 dev e1 nodad"))
		return -1;
	(void)setns(here, CLONE_NEWNET);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	nl_free(nl);
	if (sender >= 0)
		(void)close(sender);
	if (here >= 0)
		(void)close(here);
	if (there >= 0)
		(void)close(there);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_in_few_calls),
		cmocka_unit_test(no_such_device),
		cmocka_unit_test(at_an_anchor),
		cmocka_unit_test(at_a_node),
	};
	int r;

	r = cmocka_run_group_tests(tests, setup, teardown);
	if (r == 0 && argc == 2 && !strcmp(argv[1], "--all") && !(has_bpf && tunnel))
		return 77;
	return r;
}
