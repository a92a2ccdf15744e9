/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_fwd.c - fwd against a kernel of ours: order, who is told, changes in flight; random walks */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fwd.h"

#define SEC    1000000ULL
#define MOST   64
#define COOKIE 100000

/* --- a kernel --------------------------------------------------------------------------------------------------- */

static struct {
	struct fwd_object object[MOST];
	unsigned n;
	unsigned no_nexthop; /* routes that named a nexthop which was not there */
	unsigned in_use;     /* nexthops deleted under a route */
} kernel;

static struct {
	unsigned times;
	int result;
} told[COOKIE];
static uint64_t n_cookies;

static void done(void *ctx, uint64_t cookie, int result, const char *text)
{
	(void)ctx;
	(void)text;
	assert_true(cookie > 0 && cookie < COOKIE);
	told[cookie].times++;
	told[cookie].result = result;
}

static bool same_identity(const struct fwd_object *a, const struct fwd_object *b)
{
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case FWD_NEXTHOP:
		return a->nexthop.id == b->nexthop.id;
	case FWD_ADDRESS:
		return a->address.ifindex == b->address.ifindex &&
			IN6_ARE_ADDR_EQUAL(&a->address.address, &b->address.address);
	case FWD_ROUTE:
		return prefix6_equal(&a->route.dst, &b->route.dst) && a->route.table == b->route.table &&
			a->route.metric == b->route.metric;
	case FWD_RULE:
		return prefix6_equal(&a->rule.from, &b->rule.from) && a->rule.table == b->rule.table &&
			a->rule.priority == b->rule.priority;
	case FWD_KINDS:
		break;
	}
	return false;
}

static bool same(const struct fwd_object *a, const struct fwd_object *b)
{
	return memcmp(a, b, sizeof(*a)) == 0; /* all are made on zeroes */
}

static int find(const struct fwd_object *o)
{
	for (unsigned i = 0; i < kernel.n; i++)
		if (same_identity(&kernel.object[i], o))
			return (int)i;
	return -1;
}

static void kernel_put(const struct fwd_object *o)
{
	int i = find(o);

	assert_true(kernel.n < MOST);
	kernel.object[i < 0 ? (int)kernel.n++ : i] = *o;
}

static void kernel_delete(const struct fwd_object *o)
{
	int i = find(o);

	if (i >= 0)
		kernel.object[i] = kernel.object[--kernel.n];
}

static bool has_nexthop(uint32_t id)
{
	struct fwd_object o = {.kind = FWD_NEXTHOP, .nexthop = {.id = id}};

	return !id || find(&o) >= 0;
}

static int kernel_change(enum fwd_op op, const struct fwd_object *o)
{
	int i = find(o);

	if (op == FWD_DELETE) {
		if (i < 0)
			return -ESRCH;
		for (unsigned j = 0; o->kind == FWD_NEXTHOP && j < kernel.n; j++)
			if (kernel.object[j].kind == FWD_ROUTE && kernel.object[j].route.nexthop == o->nexthop.id)
				kernel.in_use++;
		kernel_delete(o);
		return 0;
	}
	if (o->kind == FWD_ROUTE && !has_nexthop(o->route.nexthop)) {
		kernel.no_nexthop++;
		return -EINVAL;
	}
	kernel_put(o);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	memset(told, 0, sizeof(told));
	n_cookies = 1;
	return 0;
}

/* --- objects ---------------------------------------------------------------------------------------------------- */

static struct fwd_object nexthop(uint32_t id, uint32_t oif)
{
	struct fwd_object o;

	memset(&o, 0, sizeof(o));
	o.kind = FWD_NEXTHOP;
	o.nexthop.id = id;
	o.nexthop.oif = oif;
	o.nexthop.encap.dst.s6_addr[15] = (uint8_t)oif;
	return o;
}

static struct fwd_object address(uint32_t n, bool deprecated)
{
	struct fwd_object o;

	memset(&o, 0, sizeof(o));
	o.kind = FWD_ADDRESS;
	o.address.ifindex = 7;
	o.address.address.s6_addr[0] = 0x20;
	o.address.address.s6_addr[15] = (uint8_t)n;
	o.address.deprecated = deprecated;
	return o;
}

static struct fwd_object route(uint32_t n, uint32_t nh)
{
	struct fwd_object o;

	memset(&o, 0, sizeof(o));
	o.kind = FWD_ROUTE;
	o.route.dst.addr.s6_addr[0] = 0x20;
	o.route.dst.addr.s6_addr[7] = (uint8_t)n;
	o.route.dst.len = 64;
	o.route.table = 254;
	o.route.metric = 1024;
	o.route.nexthop = nh;
	return o;
}

static struct fwd_object native(uint32_t n, uint32_t oif, bool with_source)
{
	struct fwd_object o = route(n, 0);

	o.route.oif = oif;
	o.route.gateway.s6_addr[0] = 0xfe;
	o.route.prefsrc.s6_addr[0] = with_source ? 0x20 : 0;
	return o;
}

static struct fwd_object rule(uint32_t n)
{
	struct fwd_object o;

	memset(&o, 0, sizeof(o));
	o.kind = FWD_RULE;
	o.rule.from.addr.s6_addr[7] = (uint8_t)n;
	o.rule.from.len = 64;
	o.rule.table = 7700 + n;
	o.rule.priority = 1078;
	return o;
}

/* The next change has to be this one; it is not answered. */
static struct fwd_entry *expect_next(struct fwd_set *s, enum fwd_op op, const struct fwd_object *o)
{
	const struct fwd_object *object;
	struct fwd_object copy;
	enum fwd_op got;
	struct fwd_entry *e = fwd_next(s, &got, &object);

	assert_non_null(e);
	fwd_object_copy(&copy, object);
	if (!same_identity(&copy, o))
		fail_msg("%s", fwd_object_text(&copy));
	assert_int_equal(got, op);
	if (op != FWD_DELETE)
		assert_true(same(&copy, o));
	return e;
}

static void expect(struct fwd_set *s, enum fwd_op op, const struct fwd_object *o)
{
	fwd_result(s, expect_next(s, op, o), 0, NULL);
}

static void expect_none(struct fwd_set *s)
{
	const struct fwd_object *object;
	enum fwd_op op;

	assert_null(fwd_next(s, &op, &object));
}

static void want(struct fwd_set *s, struct fwd_object o)
{
	assert_int_equal(fwd_want(s, &o, 0), 0);
}

static void drain(struct fwd_set *s)
{
	const struct fwd_object *object;
	struct fwd_entry *e;
	enum fwd_op op;

	while ((e = fwd_next(s, &op, &object))) {
		struct fwd_object copy;

		fwd_object_copy(&copy, object);
		fwd_result(s, e, kernel_change(op, &copy), NULL);
	}
}

/* --- one thing each --------------------------------------------------------------------------------------------- */

static void nexthops_first_and_last(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object r = route(1, 5), n = nexthop(5, 3), n2 = nexthop(6, 3), r2 = route(1, 6), u = rule(1);

	(void)state;
	want(s, r);
	want(s, u);
	want(s, n);
	expect(s, FWD_ADD, &n);
	expect(s, FWD_ADD, &r);
	expect(s, FWD_ADD, &u);
	expect_none(s);
	/* the nexthop goes first in our words, last in what is done: the route moves off it in between */
	fwd_unwant(s, &n, 0);
	fwd_unwant(s, &u, 0);
	want(s, r2);
	want(s, n2);
	expect(s, FWD_ADD, &n2);
	expect(s, FWD_REPLACE, &r2);
	expect(s, FWD_DELETE, &u);
	expect(s, FWD_DELETE, &n);
	expect_none(s);
	assert_int_equal(fwd_count(s), 2);
	fwd_free(s);
}

static void changes_are_coalesced(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), m = nexthop(5, 4);

	(void)state;
	want(s, n);
	want(s, m);
	expect(s, FWD_ADD, &m);
	expect_none(s);
	want(s, n);
	want(s, m); /* back before anything was asked of the kernel */
	expect_none(s);
	fwd_unwant(s, &m, 0);
	want(s, n);
	expect(s, FWD_REPLACE, &n);
	fwd_unwant(s, &n, 0);
	expect(s, FWD_DELETE, &n);
	want(s, n);
	fwd_unwant(s, &n, 0); /* never was there */
	expect_none(s);
	assert_int_equal(fwd_count(s), 0);
	assert_int_equal(fwd_counters(s)->changes[FWD_NEXTHOP], 3);
	fwd_free(s);
}

/* Fields that the kernel fills in by itself, or that another field makes meaningless, are no difference. */
static void found_as_wanted_is_no_change(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object r = route(1, 5), end = route(2, 0), x;

	(void)state;
	end.route.type = FWD_UNREACHABLE;
	want(s, r);
	want(s, end);
	want(s, native(3, 4, true));
	x = r;
	x.route.oif = 9; /* of the nexthop */
	fwd_found(s, &x);
	x = end;
	x.route.oif = 1; /* lo */
	fwd_found(s, &x);
	x = native(3, 4, true);
	fwd_found(s, &x);
	expect_none(s);
	x.route.prefsrc.s6_addr[1] = 1; /* but this is */
	fwd_found(s, &x);
	x = native(3, 4, true);
	expect(s, FWD_REPLACE, &x);
	x.route.mtu = 1400;
	fwd_found(s, &x);
	x.route.mtu = 0;
	expect(s, FWD_REPLACE, &x);
	x = native(3, 4, false); /* smaller, then larger again */
	want(s, x);
	expect(s, FWD_REPLACE, &x);
	x = native(3, 4, true);
	want(s, x);
	expect(s, FWD_REPLACE, &x);
	fwd_free(s);
}

static void found_but_not_wanted_is_deleted(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object r = route(1, 5), n = nexthop(5, 3);

	(void)state;
	fwd_found(s, &n);
	fwd_found(s, &r);
	expect(s, FWD_DELETE, &r);
	expect(s, FWD_DELETE, &n);
	assert_int_equal(fwd_count(s), 0);
	/* wanted again before it was deleted: nothing at all */
	fwd_found(s, &n);
	want(s, n);
	expect_none(s);
	fwd_free(s);
}

static void a_generation_replaces_the_one_before(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object keep = rule(1), go = rule(2), come = rule(3);

	(void)state;
	fwd_begin(s);
	want(s, keep);
	want(s, go);
	fwd_end(s);
	expect(s, FWD_ADD, &keep);
	expect(s, FWD_ADD, &go);
	for (int i = 0; i < 600; i++) { /* a counter of eight bits wraps */
		fwd_begin(s);
		want(s, keep);
		if (i == 255 || i == 256)
			want(s, come);
		fwd_end(s);
		if (i == 0)
			expect(s, FWD_DELETE, &go);
		if (i == 255)
			expect(s, FWD_ADD, &come);
		if (i == 257)
			expect(s, FWD_DELETE, &come);
		expect_none(s);
	}
	fwd_begin(s);
	fwd_end(s);
	expect(s, FWD_DELETE, &keep);
	assert_int_equal(fwd_count(s), 0);
	fwd_free(s);
}

static void cookies(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), m = nexthop(5, 4);
	struct fwd_entry *e;

	(void)state;
	(void)fwd_want(s, &n, 1);
	e = expect_next(s, FWD_ADD, &n);
	assert_int_equal(told[1].times, 0); /* not before the kernel has answered */
	fwd_result(s, e, 0, NULL);
	assert_int_equal(told[1].times, 1);
	assert_int_equal(told[1].result, 0);
	(void)fwd_want(s, &n, 2); /* nothing to do */
	assert_int_equal(told[2].times, 1);
	(void)fwd_want(s, &m, 3);
	(void)fwd_want(s, &n, 4); /* takes 3's place, and there is nothing to do */
	assert_int_equal(told[3].times, 1);
	assert_int_equal(told[3].result, -ECANCELED);
	assert_int_equal(told[4].times, 1);
	assert_int_equal(told[4].result, 0);
	fwd_unwant(s, &n, 5);
	assert_int_equal(told[5].times, 0);
	expect(s, FWD_DELETE, &n);
	fwd_unwant(s, &n, 6); /* unknown */
	assert_int_equal(told[6].result, 0);
	(void)fwd_want(s, &n, 7);
	fwd_result(s, expect_next(s, FWD_ADD, &n), -ENETDOWN, "link is down");
	assert_int_equal(told[7].result, -ENETDOWN);
	expect_none(s);
	(void)fwd_want(s, &n, 8); /* the same again fails the same way */
	assert_int_equal(told[8].result, -ENETDOWN);
	for (int i = 1; i <= 8; i++)
		assert_int_equal(told[i].times, 1);
	fwd_free(s);
}

static void count_error(void *ctx, const struct fwd_object *o, int error)
{
	(void)o;
	*(int *)ctx += error;
}

static void refused_changes_wait_for_retry(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), m = nexthop(5, 4), r = rule(1);
	int error = 0;

	(void)state;
	want(s, n);
	fwd_result(s, expect_next(s, FWD_ADD, &n), -ENETDOWN, NULL);
	expect_none(s);
	fwd_each(s, count_error, &error);
	assert_int_equal(error, -ENETDOWN);
	assert_int_equal(fwd_counters(s)->failures[FWD_NEXTHOP], 1);
	fwd_retry(s);
	fwd_result(s, expect_next(s, FWD_ADD, &n), -ENETDOWN, NULL);
	want(s, m); /* another wish is tried at once */
	expect(s, FWD_ADD, &m);
	error = 0;
	fwd_each(s, count_error, &error);
	assert_int_equal(error, 0);
	fwd_retry(s);
	expect_none(s);
	/* deletion of what is not there is success; of what the kernel keeps, a failure that is told */
	fwd_unwant(s, &m, 1);
	fwd_result(s, expect_next(s, FWD_DELETE, &m), -ENOENT, NULL);
	assert_int_equal(told[1].result, 0);
	assert_int_equal(told[1].times, 1);
	want(s, r);
	expect(s, FWD_ADD, &r);
	fwd_unwant(s, &r, 2);
	fwd_result(s, expect_next(s, FWD_DELETE, &r), -EPERM, NULL);
	assert_int_equal(told[2].result, -EPERM);
	assert_int_equal(told[2].times, 1);
	expect_none(s);
	assert_int_equal(fwd_count(s), 0);
	fwd_free(s);
}

/* A refusal speaks about what was asked. Who changed the wish in the meantime waits for his own answer. */
static void a_refusal_is_not_for_a_later_wish(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), m = nexthop(5, 4);
	struct fwd_entry *e;

	(void)state;
	(void)fwd_want(s, &n, 1);
	e = expect_next(s, FWD_ADD, &n);
	(void)fwd_want(s, &m, 2);
	assert_int_equal(told[1].result, -ECANCELED);
	fwd_result(s, e, -ENETDOWN, NULL);
	assert_int_equal(told[2].times, 0);
	expect(s, FWD_ADD, &m);
	assert_int_equal(told[2].times, 1);
	assert_int_equal(told[2].result, 0);
	/* the replacement is refused, but nobody wants the object any more: what was there before has to go */
	want(s, n);
	e = expect_next(s, FWD_REPLACE, &n);
	fwd_unwant(s, &n, 3);
	fwd_result(s, e, -ENETDOWN, NULL);
	expect(s, FWD_DELETE, &n);
	assert_int_equal(told[3].times, 1);
	assert_int_equal(told[3].result, 0);
	/* the deletion is refused, and it is wanted again */
	want(s, n);
	expect(s, FWD_ADD, &n);
	fwd_unwant(s, &n, 0);
	e = expect_next(s, FWD_DELETE, &n);
	(void)fwd_want(s, &n, 4);
	fwd_result(s, e, -EPERM, NULL);
	assert_int_equal(told[4].times, 0);
	expect(s, FWD_ADD, &n);
	assert_int_equal(told[4].times, 1);
	assert_int_equal(told[4].result, 0);
	fwd_free(s);
}

/* The replacement is refused: the kernel has what it had. Unwanted then, that has to go; wanted, it is not taken on
 * trust. */
static void what_a_refused_replacement_left(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), m = nexthop(5, 4);

	(void)state;
	want(s, n);
	expect(s, FWD_ADD, &n);
	want(s, m);
	fwd_result(s, expect_next(s, FWD_REPLACE, &m), -ENETDOWN, NULL);
	want(s, n);
	expect(s, FWD_REPLACE, &n);
	want(s, m);
	fwd_result(s, expect_next(s, FWD_REPLACE, &m), -ENETDOWN, NULL);
	fwd_unwant(s, &m, 1);
	expect(s, FWD_DELETE, &m);
	assert_int_equal(told[1].times, 1);
	assert_int_equal(told[1].result, 0);
	fwd_free(s);
}

/* Order holds also for what was handed out and not answered yet. */
static void order_holds_in_flight(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), r = route(1, 5), u = rule(1);
	struct fwd_entry *e;

	(void)state;
	want(s, n);
	expect(s, FWD_ADD, &n);
	fwd_unwant(s, &n, 0);
	e = expect_next(s, FWD_DELETE, &n);
	want(s, r);
	want(s, n); /* its deletion is not answered: the route has to wait for it to come again */
	expect_none(s);
	fwd_result(s, e, 0, NULL);
	expect(s, FWD_ADD, &n);
	e = expect_next(s, FWD_ADD, &r);
	fwd_unwant(s, &r, 0);
	fwd_unwant(s, &n, 0);
	want(s, u);
	expect(s, FWD_ADD, &u); /* has nothing to do with it */
	expect_none(s);
	fwd_result(s, e, 0, NULL);
	expect(s, FWD_DELETE, &r);
	expect(s, FWD_DELETE, &n);
	fwd_free(s);
}

static void put_back_what_others_delete(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object r = rule(1), other = rule(2);

	(void)state;
	want(s, r);
	expect(s, FWD_ADD, &r);
	assert_false(fwd_lost(s, &other, 100 * SEC)); /* not ours */
	for (int i = 0; i < 20; i++) {
		assert_true(fwd_lost(s, &r, 100 * SEC));
		expect(s, FWD_ADD, &r);
	}
	assert_int_equal(fwd_counters(s)->restored[FWD_RULE], 20);
	assert_true(fwd_wake_us(s) == UINT64_MAX);
	assert_true(fwd_lost(s, &r, 101 * SEC)); /* enough */
	expect_none(s);
	assert_int_equal(fwd_counters(s)->held_back, 1);
	assert_true(fwd_wake_us(s) > 101 * SEC && fwd_wake_us(s) <= 110 * SEC);
	(void)fwd_want(s, &r, 1);
	assert_int_equal(told[1].times, 0);
	fwd_release(s, 102 * SEC);
	expect_none(s);
	fwd_release(s, 110 * SEC);
	expect(s, FWD_ADD, &r);
	assert_int_equal(told[1].times, 1);
	assert_true(fwd_wake_us(s) == UINT64_MAX);
	/* slower than that: for ever */
	for (int i = 0; i < 100; i++) {
		assert_true(fwd_lost(s, &r, (200 + (uint64_t)i) * SEC));
		expect(s, FWD_ADD, &r);
	}
	/* our own deletion comes back as news */
	fwd_unwant(s, &r, 0);
	expect(s, FWD_DELETE, &r);
	assert_false(fwd_lost(s, &r, 400 * SEC));
	fwd_free(s);
}

/* Deleted by somebody else while our change is under way: made anew, whatever the answer is. */
static void lost_in_flight(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), m = nexthop(5, 4);
	struct fwd_entry *e;

	(void)state;
	want(s, n);
	expect(s, FWD_ADD, &n);
	(void)fwd_want(s, &m, 1);
	e = expect_next(s, FWD_REPLACE, &m);
	assert_true(fwd_lost(s, &n, SEC));
	fwd_result(s, e, -ENOENT, NULL);
	assert_int_equal(told[1].times, 0);
	e = expect_next(s, FWD_ADD, &m);
	assert_true(fwd_lost(s, &m, SEC));
	fwd_result(s, e, 0, NULL);
	expect(s, FWD_ADD, &m);
	expect_none(s);
	assert_int_equal(told[1].times, 1);
	assert_int_equal(told[1].result, 0);
	fwd_free(s);
}

/* Each object has its own time: that one is due does not free the others. */
static void held_back_each_for_its_own_time(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object r = rule(1), q = rule(2);

	(void)state;
	want(s, r);
	want(s, q);
	expect(s, FWD_ADD, &r);
	expect(s, FWD_ADD, &q);
	for (int i = 0; i < 20; i++) {
		(void)fwd_lost(s, &r, 100 * SEC);
		expect(s, FWD_ADD, &r);
		(void)fwd_lost(s, &q, 108 * SEC);
		expect(s, FWD_ADD, &q);
	}
	(void)fwd_lost(s, &r, 109 * SEC);
	(void)fwd_lost(s, &q, 109 * SEC);
	expect_none(s);
	fwd_release(s, fwd_wake_us(s));
	expect(s, FWD_ADD, &r);
	expect_none(s);
	assert_true(fwd_wake_us(s) > 110 * SEC && fwd_wake_us(s) <= 118 * SEC);
	/* no longer wanted: nothing to release */
	fwd_unwant(s, &q, 1);
	assert_int_equal(told[1].times, 1);
	fwd_release(s, 118 * SEC);
	expect_none(s);
	assert_true(fwd_wake_us(s) == UINT64_MAX);
	fwd_free(s);
}

static void a_dump_after_lost_news(void **state)
{
	struct fwd_set *s = fwd_new(done, NULL);
	struct fwd_object n = nexthop(5, 3), r = route(1, 5), r2 = route(2, 5), old = route(3, 0);

	(void)state;
	want(s, n);
	want(s, r);
	want(s, r2);
	drain(s);
	fwd_forget(s, true);
	fwd_found(s, &n);
	fwd_found(s, &r2);
	fwd_found(s, &old);
	expect(s, FWD_ADD, &r);
	expect(s, FWD_DELETE, &old);
	expect_none(s);
	assert_int_equal(fwd_counters(s)->restored[FWD_ROUTE], 1);
	fwd_forget(s, false); /* a start */
	drain(s);
	assert_int_equal(fwd_counters(s)->restored[FWD_ROUTE], 1);
	fwd_free(s);
}

/* --- random walks ----------------------------------------------------------------------------------------------- */

#define NEXTHOPS 4
#define ROUTES	 6
#define PLACES	 (NEXTHOPS + ROUTES + 6)
#define FLIGHT	 8

struct walk {
	struct fwd_set *s;
	struct fwd_object want[PLACES]; /* nexthops, routes, rules, addresses by place; kind FWD_KINDS = not */
	struct {
		struct fwd_entry *e;
		int result;
	} flight[FLIGHT];
	unsigned n_flight;
	uint64_t now_us;
	bool failures;
};

static uint64_t cookie(void)
{
	return rand() % 2 && n_cookies < COOKIE - 1 ? n_cookies++ : 0;
}

static struct fwd_object make(const struct walk *w, unsigned place)
{
	unsigned n = place, variant = (unsigned)rand() % 3;

	if (n < NEXTHOPS)
		return nexthop(n + 1, variant + 1);
	n -= NEXTHOPS;
	if (n < ROUTES) {
		unsigned nh = (unsigned)rand() % NEXTHOPS;

		if (w->want[nh].kind == FWD_NEXTHOP)
			return route(n, nh + 1);
		return native(n, variant, rand() % 2);
	}
	n -= ROUTES;
	return n < 3 ? rule(n) : address(n, variant == 0);
}

static void walk_want(struct walk *w, unsigned place, uint64_t c)
{
	w->want[place] = make(w, place);
	assert_int_equal(fwd_want(w->s, &w->want[place], c), 0);
}

static void walk_unwant(struct walk *w, unsigned place)
{
	struct fwd_object o = w->want[place];

	if (o.kind == FWD_KINDS)
		return;
	w->want[place].kind = FWD_KINDS;
	for (unsigned i = NEXTHOPS; place < NEXTHOPS && i < NEXTHOPS + ROUTES; i++) {
		/* as its users do: nothing wanted points to what is not */
		if (w->want[i].kind != FWD_ROUTE || w->want[i].route.nexthop != o.nexthop.id)
			continue;
		if (rand() % 2)
			walk_want(w, i, cookie());
		else
			walk_unwant(w, i);
	}
	fwd_unwant(w->s, &o, cookie());
}

/* The kernel does it now; we hear of it later. */
static void walk_next(struct walk *w)
{
	const struct fwd_object *object;
	struct fwd_entry *e;
	struct fwd_object o;
	enum fwd_op op;

	if (w->n_flight == FLIGHT)
		return;
	e = fwd_next(w->s, &op, &object);
	if (!e)
		return;
	fwd_object_copy(&o, object);
	w->flight[w->n_flight].e = e;
	w->flight[w->n_flight++].result = w->failures && rand() % 8 == 0 ? -ENOMEM : kernel_change(op, &o);
}

static void walk_result(struct walk *w)
{
	struct fwd_entry *e = w->flight[0].e;
	int result = w->flight[0].result;

	if (!w->n_flight)
		return;
	memmove(&w->flight[0], &w->flight[1], --w->n_flight * sizeof(w->flight[0]));
	fwd_result(w->s, e, result, result ? "refused" : NULL);
}

/* Somebody deletes an object, and with a nexthop its routes, or changes one. */
static void walk_other(struct walk *w)
{
	struct fwd_object o;

	if (!kernel.n)
		return;
	o = kernel.object[(unsigned)rand() % kernel.n];
	if (rand() % 4 == 0 && o.kind == FWD_ROUTE) {
		o.route.nexthop = 0;
		o.route.mtu = 1300;
		kernel_put(&o);
		fwd_found(w->s, &o);
		return;
	}
	for (unsigned i = 0; o.kind == FWD_NEXTHOP && i < kernel.n;) {
		struct fwd_object r = kernel.object[i];

		if (r.kind == FWD_ROUTE && r.route.nexthop == o.nexthop.id) {
			kernel_delete(&r);
			(void)fwd_lost(w->s, &r, w->now_us);
			i = 0;
		} else {
			i++;
		}
	}
	kernel_delete(&o);
	(void)fwd_lost(w->s, &o, w->now_us);
}

static void walk_dump(struct walk *w)
{
	while (w->n_flight)
		walk_result(w);
	fwd_forget(w->s, rand() % 2);
	for (unsigned i = 0; i < kernel.n; i++)
		fwd_found(w->s, &kernel.object[i]);
}

static void walk_say_all(struct walk *w)
{
	fwd_begin(w->s);
	for (unsigned i = 0; i < PLACES; i++)
		if (w->want[i].kind != FWD_KINDS)
			(void)fwd_want(w->s, &w->want[i], cookie());
	fwd_end(w->s);
}

static void walk_step(struct walk *w, bool others)
{
	unsigned place = (unsigned)rand() % PLACES;

	w->now_us += (unsigned)rand() % SEC;
	switch (rand() % 12) {
	case 0:
	case 1:
	case 2:
		walk_want(w, place, cookie());
		break;
	case 3:
	case 4:
		walk_unwant(w, place);
		break;
	case 5:
		if (others)
			walk_other(w);
		break;
	case 6:
		if (others && rand() % 8 == 0)
			walk_dump(w);
		break;
	case 7:
		if (rand() % 8 == 0)
			walk_say_all(w);
		fwd_release(w->s, w->now_us);
		break;
	case 8:
	case 9:
		walk_next(w);
		break;
	default:
		walk_result(w);
		break;
	}
}

/* Let everything come to rest; then the kernel has what is wanted, and nothing else. */
static void walk_settle(struct walk *w)
{
	unsigned n = 0;

	if (w->failures)
		walk_dump(w); /* finds what the kernel kept against our will */
	w->failures = false;
	while (w->n_flight)
		walk_result(w);
	w->now_us += 30 * SEC;
	fwd_release(w->s, w->now_us);
	fwd_retry(w->s);
	for (int i = 0; i < 1000; i++) {
		walk_next(w);
		walk_result(w);
	}
	for (unsigned i = 0; i < PLACES; i++) {
		int at;

		if (w->want[i].kind == FWD_KINDS)
			continue;
		n++;
		at = find(&w->want[i]);
		if (at < 0)
			fail_msg("%s is not there", fwd_object_text(&w->want[i]));
		if (!same(&kernel.object[at], &w->want[i]))
			fail_msg("%s is another", fwd_object_text(&w->want[i]));
	}
	assert_int_equal(fwd_count(w->s), n);
	assert_int_equal(kernel.n, n);
}

static void walk(bool failures, bool others)
{
	const char *given = getenv("SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)time(NULL);

	print_message("SEED=%u\n", seed);
	srand(seed);
	for (int round = 0; round < 60; round++) {
		struct walk w = {.s = fwd_new(done, NULL), .now_us = 1000 * SEC, .failures = failures};

		(void)setup(NULL);
		for (unsigned i = 0; i < PLACES; i++)
			w.want[i].kind = FWD_KINDS;
		for (int step = 0; step < 400; step++)
			walk_step(&w, others);
		walk_settle(&w);
		if (!failures && !others)
			assert_int_equal(kernel.no_nexthop + kernel.in_use, 0);
		for (uint64_t c = 1; c < n_cookies; c++) {
			if (told[c].times != 1)
				fail_msg("cookie %llu was told %u times", (unsigned long long)c, told[c].times);
			if (!failures && !others && told[c].result && told[c].result != -ECANCELED)
				fail_msg("cookie %llu was told %d", (unsigned long long)c, told[c].result);
		}
		fwd_free(w.s);
	}
}

static void walks_alone(void **state)
{
	(void)state;
	walk(false, false);
}

static void walks_among_others(void **state)
{
	(void)state;
	walk(false, true);
}

static void walks_with_failures(void **state)
{
	(void)state;
	walk(true, false);
}

static void walks_with_both(void **state)
{
	(void)state;
	walk(true, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nexthops_first_and_last, setup),
		cmocka_unit_test_setup(changes_are_coalesced, setup),
		cmocka_unit_test_setup(found_as_wanted_is_no_change, setup),
		cmocka_unit_test_setup(found_but_not_wanted_is_deleted, setup),
		cmocka_unit_test_setup(a_generation_replaces_the_one_before, setup),
		cmocka_unit_test_setup(cookies, setup),
		cmocka_unit_test_setup(refused_changes_wait_for_retry, setup),
		cmocka_unit_test_setup(a_refusal_is_not_for_a_later_wish, setup),
		cmocka_unit_test_setup(what_a_refused_replacement_left, setup),
		cmocka_unit_test_setup(order_holds_in_flight, setup),
		cmocka_unit_test_setup(put_back_what_others_delete, setup),
		cmocka_unit_test_setup(lost_in_flight, setup),
		cmocka_unit_test_setup(held_back_each_for_its_own_time, setup),
		cmocka_unit_test_setup(a_dump_after_lost_news, setup),
		cmocka_unit_test_setup(walks_alone, setup),
		cmocka_unit_test_setup(walks_among_others, setup),
		cmocka_unit_test_setup(walks_with_failures, setup),
		cmocka_unit_test_setup(walks_with_both, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
