/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_lm.c - an anchor's leases and bindings as forwarding state: attach, bind, move, share a locator, return */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "amad/anchoring.h"
#include "amad/lm.h"
#include "amad/mr.h"
#include "amad/rc.h"

#define TUNNEL 9
#define SEC    1000000ULL

static struct fwd_set *set;
static struct mr *mr;
static struct lm *lm;
static struct anchoring *anchoring;
static struct in6_addr self, there, elsewhere;
static int refuse; /* what the kernel answers to the next changes */

static struct {
	unsigned times;
	int result; /* the first that was no success */
} told[1000];

static void done(void *ctx, uint64_t cookie, int result, const char *text)
{
	(void)ctx;
	(void)text;
	told[cookie].times++;
	if (!told[cookie].result)
		told[cookie].result = result;
}

static struct in6_addr address(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static int setup(void **state)
{
	struct prefix6 pool;

	(void)state;
	set = fwd_new(done, NULL);
	mr = mr_new();
	lm = lm_new(0);
	anchoring = anchoring_new(0);
	if (!set || !mr || !lm || !anchoring || prefix6_parse("2001:db8:101::/48", &pool) < 0)
		return -1;
	memset(told, 0, sizeof(told));
	refuse = 0;
	self = address("2001:db8:1::1");
	there = address("2001:db8:f::5");
	elsewhere = address("2001:db8:e::6");
	return anchoring_add_pool(anchoring, &pool);
}

static int teardown(void **state)
{
	(void)state;
	fwd_free(set);
	mr_free(mr);
	lm_free(lm);
	anchoring_free(anchoring);
	return 0;
}

static struct lease *lease(uint8_t n)
{
	uint8_t key[32] = {n};
	struct lease *l;

	assert_int_equal(anchoring_allocate(anchoring, key, "mn", 8, 1000 * SEC, &l), 0);
	return l;
}

/* The changes that leave now, one a line. */
static const char *changes(void)
{
	static const char *const ops[] = {[FWD_ADD] = "add", [FWD_REPLACE] = "replace", [FWD_DELETE] = "delete"};
	static char text[8192];
	const struct fwd_object *object;
	struct fwd_entry *e;
	enum fwd_op op;
	size_t n = 0;

	text[0] = '\0';
	while ((e = fwd_next(set, &op, &object))) {
		struct fwd_object o;

		fwd_object_copy(&o, object);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s %s", ops[op], fwd_kind_name(o.kind));
		if (o.kind == FWD_NEXTHOP)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %x", o.nexthop.id);
		if (o.kind == FWD_NEXTHOP && op != FWD_DELETE)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " dev %u from %s to %s", o.nexthop.oif,
				in6_text(&o.nexthop.encap.src), in6_text(&o.nexthop.encap.dst));
		if (o.kind == FWD_ROUTE)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " %s table %u metric %u",
				prefix6_text(&o.route.dst), o.route.table, o.route.metric);
		if (o.kind == FWD_ROUTE && op != FWD_DELETE && o.route.type == FWD_UNREACHABLE)
			n += (size_t)snprintf(text + n, sizeof(text) - n, " unreachable");
		else if (o.kind == FWD_ROUTE && op != FWD_DELETE && o.route.nexthop)
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, " nexthop %x mtu %u", o.route.nexthop, o.route.mtu);
		else if (o.kind == FWD_ROUTE && op != FWD_DELETE)
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, " dev %u via %s", o.route.oif, in6_text(&o.route.gateway));
		n += (size_t)snprintf(text + n, sizeof(text) - n, "\n");
		fwd_result(set, e, refuse, NULL);
	}
	return text;
}

static void expect(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void expect(const char *format, ...)
{
	char want[4096];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(want, sizeof(want), format, ap);
	va_end(ap);
	assert_string_equal(changes(), want);
}

#define R0 "2001:db8:101::/64 table 254 metric 1024"
#define R1 "2001:db8:101:1::/64 table 254 metric 1024"

static struct binding *bind_to(const struct lease *l, const struct in6_addr *care_of, uint64_t cookie)
{
	struct binding *b = lm_get(lm, &l->prefix);

	assert_non_null(b);
	assert_int_equal(rc_bind(set, mr, b, care_of, &self, TUNNEL, cookie), 0);
	return b;
}

/* The pool is unreachable but for what is leased, also where it is no larger than a lease. */
static void pool(void **state)
{
	struct prefix6 one;
	struct lease l = {.ifindex = 2, .link_local = address("fe80::7")};

	(void)state;
	assert_int_equal(prefix6_parse("2001:db8:101::/64", &one), 0);
	rc_want_pool(set, &one);
	l.prefix = one;
	assert_int_equal(rc_native(set, &l, 1), 0);
	expect("add route 2001:db8:101::/64 table 254 metric 4294967295 unreachable\n"
	       "add route " R0 " dev 2 via fe80::7\n");
	assert_int_equal(told[1].times, 1);
	rc_withdraw(set, &one, 2);
	expect("delete route " R0 "\n");
	assert_int_equal(told[2].times, 1);
}

static void attach_leave_return(void **state)
{
	struct lease *l = lease(1);
	struct binding *b;
	uint32_t id;

	(void)state;
	l->ifindex = 2;
	l->link_local = address("fe80::7");
	assert_int_equal(rc_native(set, l, 1), 0);
	expect("add route " R0 " dev 2 via fe80::7\n");
	/* away: the route is replaced, it is never missing */
	b = bind_to(l, &there, 2);
	id = b->nexthop;
	assert_int_equal(mr_id(b->locator), id);
	expect("add nexthop %x dev 9 from 2001:db8:1::1 to 2001:db8:f::5\nreplace route " R0 " nexthop %x mtu 0\n", id,
		id);
	assert_true(told[2].times >= 1 && told[2].result == 0);
	/* back: likewise */
	rc_unbind(set, mr, b, true, 0);
	assert_null(b->locator);
	assert_int_equal(rc_native(set, l, 3), 0);
	lm_delete(lm, b);
	expect("replace route " R0 " dev 2 via fe80::7\ndelete nexthop %x\n", id);
	assert_int_equal(told[3].times, 1);
	assert_int_equal(mr_count(mr), 0);
	assert_int_equal(fwd_count(set), 1);
}

/* A node that moves: one request, the nexthop under its route. */
static void move(void **state)
{
	struct lease *l = lease(1);
	struct binding *b = bind_to(l, &there, 1);
	uint32_t id = b->nexthop;

	(void)state;
	(void)changes();
	b = bind_to(l, &elsewhere, 2);
	assert_int_equal(b->nexthop, id);
	expect("replace nexthop %x dev 9 from 2001:db8:1::1 to 2001:db8:e::6\n", id);
	assert_true(told[2].times >= 1 && told[2].result == 0);
	/* the same again, as a refresh does: nothing */
	(void)bind_to(l, &elsewhere, 3);
	expect("%s", "");
	assert_true(told[3].times >= 1 && told[3].result == 0);
	/* another outer address of ours is another tunnel */
	self = address("2001:db8:1::2");
	(void)bind_to(l, &elsewhere, 4);
	expect("replace nexthop %x dev 9 from 2001:db8:1::2 to 2001:db8:e::6\n", id);
	/* a measured MTU changes the route only */
	b->mtu = 1400;
	(void)bind_to(l, &elsewhere, 5);
	expect("replace route " R0 " nexthop %x mtu 1400\n", id);
	rc_unbind(set, mr, b, false, 6);
	expect("delete route " R0 "\ndelete nexthop %x\n", id);
	assert_int_equal(told[6].times, 1);
	assert_int_equal(fwd_count(set), 0);
}

/* Two prefixes behind one locator: one nexthop, which stays until the last has gone. */
static void shared(void **state)
{
	struct lease *l = lease(1), *m = lease(2);
	struct binding *b = bind_to(l, &there, 1), *c = bind_to(m, &there, 2);
	uint32_t id = b->nexthop, other;

	(void)state;
	assert_ptr_equal(b->locator, c->locator);
	assert_int_equal(mr_count(mr), 1);
	expect("add nexthop %x dev 9 from 2001:db8:1::1 to 2001:db8:f::5\nadd route " R0 " nexthop %x mtu 0\n"
	       "add route " R1 " nexthop %x mtu 0\n",
		id, id, id);
	/* one moves away: it gets its own, the other is not touched */
	b = bind_to(l, &elsewhere, 3);
	other = b->nexthop;
	assert_int_not_equal(other, id);
	expect("add nexthop %x dev 9 from 2001:db8:1::1 to 2001:db8:e::6\nreplace route " R0 " nexthop %x mtu 0\n",
		other, other);
	/* the other follows: it joins, and the locator it leaves goes last */
	c = bind_to(m, &elsewhere, 4);
	assert_ptr_equal(b->locator, c->locator);
	expect("replace route " R1 " nexthop %x mtu 0\ndelete nexthop %x\n", other, id);
	assert_int_equal(mr_count(mr), 1);
	rc_unbind(set, mr, b, false, 0);
	expect("delete route " R0 "\n");
	rc_unbind(set, mr, c, false, 0);
	expect("delete route " R1 "\ndelete nexthop %x\n", other);
	assert_int_equal(mr_count(mr), 0);
	assert_int_equal(fwd_count(set), 0);
}

/* Away and back again before the kernel was asked. */
static void coalesced(void **state)
{
	struct lease *l = lease(1);
	struct binding *b;

	(void)state;
	l->ifindex = 2;
	l->link_local = address("fe80::7");
	(void)rc_native(set, l, 0);
	(void)changes();
	b = bind_to(l, &there, 1);
	(void)bind_to(l, &elsewhere, 2);
	rc_unbind(set, mr, b, true, 0);
	assert_int_equal(rc_native(set, l, 3), 0);
	expect("%s", "");
	for (int i = 1; i <= 3; i++)
		assert_true(told[i].times >= 1);
	assert_int_equal(told[3].result, 0);
	assert_int_equal(fwd_count(set), 1);
}

/* A restart: the store has the id, the kernel has the objects, nothing is changed. */
static void restart(void **state)
{
	struct fwd_object nexthop = {.kind = FWD_NEXTHOP, .nexthop = {.id = 0x40001234, .oif = TUNNEL}};
	struct fwd_object route = {.kind = FWD_ROUTE, .route = {.table = 254, .metric = 1024, .nexthop = 0x40001234}};
	struct lease *l = lease(1);
	struct binding *b = lm_get(lm, &l->prefix);

	(void)state;
	nexthop.nexthop.encap.dst = there;
	nexthop.nexthop.encap.src = self;
	route.route.dst = l->prefix;
	fwd_found(set, &nexthop);
	fwd_found(set, &route);
	b->nexthop = 0x40001234;
	assert_int_equal(rc_bind(set, mr, b, &there, &self, TUNNEL, 1), 0);
	assert_int_equal(b->nexthop, 0x40001234);
	expect("%s", "");
	assert_true(told[1].times >= 1 && told[1].result == 0);
}

static void another_tunnel_device(void **state)
{
	struct lease *l = lease(1), *m = lease(2);
	struct binding *b = bind_to(l, &there, 0), *c = bind_to(m, &there, 0);

	(void)state;
	(void)changes();
	rc_retunnel(set, b->locator, 10);
	rc_retunnel(set, c->locator, 10);
	expect("replace nexthop %x dev 10 from 2001:db8:1::1 to 2001:db8:f::5\n", b->nexthop);
}

/* The kernel refuses: whoever asked hears it, and it is tried again when asked for. */
static void refused(void **state)
{
	struct lease *l = lease(1);
	struct binding *b;

	(void)state;
	refuse = -ENETDOWN;
	b = bind_to(l, &there, 1);
	(void)changes();
	assert_int_equal(told[1].result, -ENETDOWN);
	refuse = 0;
	expect("%s", "");
	fwd_retry(set);
	expect("add nexthop %x dev 9 from 2001:db8:1::1 to 2001:db8:f::5\nadd route " R0 " nexthop %x mtu 0\n",
		b->nexthop, b->nexthop);
}

/* Bindings come, move and go: as many locators as different ones are in use, and no object is left over. */
static void walk(void **state)
{
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);
	struct lease *l[20];
	struct binding *b[20] = {0};
	unsigned place[20] = {0};

	(void)state;
	print_message("SEED=%u\n", seed);
	srand(seed);
	for (unsigned i = 0; i < 20; i++)
		l[i] = lease((uint8_t)i);
	for (unsigned step = 0; step < 3000; step++) {
		unsigned i = (unsigned)rand() % 20, locators = 0, bound = 0;
		struct in6_addr to = there;

		to.s6_addr[15] = (uint8_t)(rand() % 6);
		if (rand() % 3) {
			b[i] = bind_to(l[i], &to, 0);
			place[i] = to.s6_addr[15];
		} else if (b[i]) {
			rc_unbind(set, mr, b[i], false, 0);
			lm_delete(lm, b[i]);
			b[i] = NULL;
		}
		if (rand() % 2)
			(void)changes();
		for (unsigned at = 0; at < 6; at++) {
			const struct locator *x = NULL;

			for (unsigned j = 0; j < 20; j++) {
				if (!b[j] || place[j] != at)
					continue;
				assert_true(!x || x == b[j]->locator);
				x = b[j]->locator;
				assert_int_equal(mr_care_of(x)->s6_addr[15], at);
				assert_int_equal(mr_id(x), b[j]->nexthop);
			}
			locators += x != NULL;
		}
		for (unsigned j = 0; j < 20; j++)
			bound += b[j] != NULL;
		assert_int_equal(mr_count(mr), locators);
		assert_int_equal(lm_count(lm), bound);
		if (step % 50 == 0) {
			(void)changes();
			assert_int_equal(fwd_count(set), locators + bound);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pool, setup, teardown),
		cmocka_unit_test_setup_teardown(attach_leave_return, setup, teardown),
		cmocka_unit_test_setup_teardown(move, setup, teardown),
		cmocka_unit_test_setup_teardown(shared, setup, teardown),
		cmocka_unit_test_setup_teardown(coalesced, setup, teardown),
		cmocka_unit_test_setup_teardown(restart, setup, teardown),
		cmocka_unit_test_setup_teardown(another_tunnel_device, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(walk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
