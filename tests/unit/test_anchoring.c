/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_anchoring.c - leases, binding cache, locators */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "amad/anchoring.h"
#include "amad/lm.h"
#include "amad/mr.h"

#define SEC 1000000ULL

static struct prefix6 prefix(const char *text)
{
	struct prefix6 p;

	assert_int_equal(prefix6_parse(text, &p), 0);
	return p;
}

static struct in6_addr address(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static const uint8_t *key(unsigned n)
{
	static uint8_t k[4][32];
	static unsigned turn;
	uint8_t *p = k[turn++ % 4];

	memset(p, 0, 32);
	p[0] = (uint8_t)n;
	p[1] = (uint8_t)(n >> 8);
	return p;
}

static struct anchoring *with_pool(const char *text)
{
	struct anchoring *a = anchoring_new(0);
	struct prefix6 p = prefix(text);

	assert_non_null(a);
	assert_int_equal(anchoring_add_pool(a, &p), 0);
	return a;
}

static void pools(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/48");
	struct prefix6 p;
	struct in6_addr in = address("2001:db8:101:7::1"), out = address("2001:db8:102::1");

	(void)state;
	p = prefix("2001:db8:101:8000::/49");
	assert_int_equal(anchoring_add_pool(a, &p), -EEXIST);
	p = prefix("2001:db8::/32");
	assert_int_equal(anchoring_add_pool(a, &p), -EEXIST);
	p = prefix("2001:db8:200::/65");
	assert_int_equal(anchoring_add_pool(a, &p), -EINVAL);
	p = prefix("::/0");
	assert_int_equal(anchoring_add_pool(a, &p), -EINVAL);
	assert_true(anchoring_covers(a, &in));
	assert_false(anchoring_covers(a, &out));
	for (unsigned i = 1; i < ANCHORING_POOLS; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "2001:db8:%x::/48", 0x1000 + i);
		p = prefix(text);
		assert_int_equal(anchoring_add_pool(a, &p), 0);
	}
	p = prefix("2001:db8:3000::/48");
	assert_int_equal(anchoring_add_pool(a, &p), -ENOSPC);
	anchoring_free(a);
}

static void allocates_in_order_until_full(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/62");
	struct lease *l;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		char want[64];

		assert_int_equal(anchoring_allocate(a, key(i), "mn", 8, 100 * SEC, &l), 0);
		(void)snprintf(want, sizeof(want), i ? "2001:db8:101:%x::/64" : "2001:db8:101::/64", i);
		assert_string_equal(prefix6_text(&l->prefix), want);
		assert_string_equal(l->node, "mn");
		assert_ptr_equal(anchoring_find(a, &l->prefix), l);
		assert_ptr_equal(anchoring_find_key(a, key(i)), l);
	}
	assert_int_equal(anchoring_allocate(a, key(9), "mn", 8, 100 * SEC, &l), -ENOSPC);
	assert_int_equal(anchoring_count(a), 4);
	anchoring_free(a);
}

static void limits_leases_of_a_node(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/48");
	struct lease *l[3], *x;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(anchoring_allocate(a, key(1), "mn", 3, 100 * SEC, &l[i]), 0);
	assert_int_equal(anchoring_allocate(a, key(1), "mn", 3, 100 * SEC, &x), -ENOSPC);
	assert_int_equal(anchoring_allocate(a, key(2), "other", 3, 100 * SEC, &x), 0);
	/* whichever goes, the others stay reachable by their key */
	anchoring_release(a, l[0], 0);
	assert_non_null(x = anchoring_find_key(a, key(1)));
	assert_non_null(x->next_of_key);
	assert_null(x->next_of_key->next_of_key);
	anchoring_release(a, l[2], 0);
	assert_ptr_equal(anchoring_find_key(a, key(1)), l[1]);
	anchoring_release(a, l[1], 0);
	assert_null(anchoring_find_key(a, key(1)));
	anchoring_free(a);
}

static void rests_in_quarantine(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/63");
	struct prefix6 first, p;
	struct lease *l, *m;

	(void)state;
	assert_int_equal(anchoring_allocate(a, key(1), "mn", 8, 100 * SEC, &l), 0);
	assert_int_equal(anchoring_allocate(a, key(2), "mn", 8, 100 * SEC, &m), 0);
	first = l->prefix;
	anchoring_release(a, l, 50 * SEC);
	anchoring_release(a, m, 60 * SEC);
	assert_false(anchoring_aged(a, 49 * SEC, &p));
	assert_int_equal(anchoring_allocate(a, key(3), "mn", 8, 100 * SEC, &l), -ENOSPC);
	assert_true(anchoring_aged(a, 50 * SEC, &p));
	assert_true(prefix6_equal(&p, &first));
	assert_false(anchoring_aged(a, 50 * SEC, &p));
	assert_int_equal(anchoring_allocate(a, key(3), "mn", 8, 100 * SEC, &l), 0);
	assert_true(prefix6_equal(&l->prefix, &first));
	assert_int_equal(anchoring_allocate(a, key(3), "mn", 8, 100 * SEC, &l), -ENOSPC);
	assert_true(anchoring_aged(a, 60 * SEC, &p));
	assert_int_equal(anchoring_allocate(a, key(3), "mn", 8, 100 * SEC, &l), 0);
	anchoring_free(a);
}

/* The node that had a prefix finds it again while it is free: in quarantine and after, before any other prefix. */
static void returns_to_its_node(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/60");
	struct prefix6 mine, out;
	struct lease *l, *m;

	(void)state;
	assert_int_equal(anchoring_allocate(a, key(1), "mn", 8, 100 * SEC, &l), 0);
	assert_int_equal(anchoring_allocate(a, key(2), "mn", 8, 100 * SEC, &m), 0);
	mine = m->prefix;
	anchoring_release(a, l, 60 * SEC);
	anchoring_release(a, m, 50 * SEC);
	assert_int_equal(anchoring_allocate(a, key(2), "mn", 8, 100 * SEC, &m), 0);
	assert_true(prefix6_equal(&m->prefix, &mine));
	assert_false(anchoring_aged(a, 55 * SEC, &out)); /* it rests no more */
	anchoring_release(a, m, 70 * SEC);
	assert_true(anchoring_aged(a, 70 * SEC, &out));
	assert_true(anchoring_aged(a, 70 * SEC, &out));
	assert_true(prefix6_equal(&out, &mine));
	assert_false(anchoring_aged(a, 70 * SEC, &out));
	assert_int_equal(anchoring_allocate(a, key(2), "mn", 8, 100 * SEC, &m), 0);
	assert_true(prefix6_equal(&m->prefix, &mine));
	/* a second one is another */
	assert_int_equal(anchoring_allocate(a, key(2), "mn", 8, 100 * SEC, &l), 0);
	assert_false(prefix6_equal(&l->prefix, &mine));
	anchoring_free(a);
}

/* From the store: not leased to others while it rests, though the pool was never asked for it; in order of time,
 * whatever order they come in. */
static void rests_after_a_restart(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/62");
	struct prefix6 p[3] = {prefix("2001:db8:101::/64"), prefix("2001:db8:101:1::/64"),
		prefix("2001:db8:101:2::/64")},
		       other = prefix("2001:db8:9::/64"), out;
	static const uint64_t free_s[3] = {30, 10, 20};
	struct lease *l;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(anchoring_rest(a, &p[i], key(i), free_s[i] * SEC), 0);
	assert_int_equal(anchoring_rest(a, &p[0], key(0), SEC), -EEXIST);
	assert_int_equal(anchoring_rest(a, &other, key(0), SEC), -ENOENT);
	assert_int_equal(anchoring_restore(a, &p[0], key(0), "mn", 100 * SEC, &l), -EEXIST);
	assert_int_equal(anchoring_allocate(a, key(9), "mn", 8, 100 * SEC, &l), 0);
	assert_int_equal(l->prefix.addr.s6_addr[7], 3);
	assert_int_equal(anchoring_rest(a, &l->prefix, key(9), SEC), -EEXIST);
	assert_int_equal(anchoring_allocate(a, key(9), "mn", 8, 100 * SEC, &l), -ENOSPC);
	assert_true(anchoring_aged(a, 25 * SEC, &out) && prefix6_equal(&out, &p[1]));
	assert_true(anchoring_aged(a, 25 * SEC, &out) && prefix6_equal(&out, &p[2]));
	assert_false(anchoring_aged(a, 25 * SEC, &out));
	assert_int_equal(anchoring_count(a), 1);
	anchoring_free(a);
}

static void expires(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/48");
	struct lease *l, *m;

	(void)state;
	assert_int_equal(anchoring_allocate(a, key(1), "mn", 8, 10 * SEC, &l), 0);
	assert_int_equal(anchoring_allocate(a, key(2), "mn", 8, 20 * SEC, &m), 0);
	assert_null(anchoring_expired(a, 9 * SEC));
	anchoring_renew(a, l, 100000 * SEC); /* more than a turn of the wheel */
	assert_null(anchoring_expired(a, 19 * SEC));
	assert_ptr_equal(anchoring_expired(a, 20 * SEC), m);
	anchoring_release(a, m, 0);
	assert_null(anchoring_expired(a, 99999 * SEC));
	assert_ptr_equal(anchoring_expired(a, 100000 * SEC), l);
	anchoring_release(a, l, 0);
	assert_null(anchoring_expired(a, 200000 * SEC));
	assert_int_equal(anchoring_count(a), 0);
	anchoring_free(a);
}

static void restores(void **state)
{
	struct anchoring *a = with_pool("2001:db8:101::/62");
	struct prefix6 p = prefix("2001:db8:101:1::/64"), other = prefix("2001:db8:999::/64");
	struct lease *l;

	(void)state;
	assert_int_equal(anchoring_restore(a, &p, key(7), "mn", 100 * SEC, &l), 0);
	assert_int_equal(anchoring_restore(a, &p, key(8), "mn", 100 * SEC, &l), -EEXIST);
	assert_int_equal(anchoring_restore(a, &other, key(8), "mn", 100 * SEC, &l), -ENOENT);
	/* allocation passes over it */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(anchoring_allocate(a, key(i), "mn", 8, 100 * SEC, &l), 0);
		assert_false(prefix6_equal(&l->prefix, &p));
	}
	assert_int_equal(anchoring_allocate(a, key(3), "mn", 8, 100 * SEC, &l), -ENOSPC);
	anchoring_free(a);
}

static void binding_cache(void **state)
{
	struct lm *lm = lm_new(0);
	struct prefix6 p = prefix("2001:db8:101::/64"), q = prefix("2001:db8:101:1::/64");
	struct binding *b, *c;

	(void)state;
	assert_null(lm_find(lm, &p));
	b = lm_get(lm, &p);
	assert_ptr_equal(lm_get(lm, &p), b);
	assert_ptr_equal(lm_find(lm, &p), b);
	c = lm_get(lm, &q);
	assert_int_equal(lm_count(lm), 2);
	lm_set_until(lm, b, 5 * SEC);
	lm_set_until(lm, c, 6 * SEC);
	lm_set_until(lm, b, 7 * SEC); /* refreshed */
	assert_null(lm_expired(lm, 5 * SEC));
	assert_ptr_equal(lm_expired(lm, 8 * SEC), c);
	lm_delete(lm, c);
	assert_ptr_equal(lm_expired(lm, 8 * SEC), b);
	assert_null(lm_expired(lm, 8 * SEC));
	lm_delete(lm, b);
	assert_int_equal(lm_count(lm), 0);
	lm_free(lm);
}

/* RFC 6275 9.5.1: greater modulo 2^16 */
static void sequence(void **state)
{
	(void)state;
	assert_true(lm_sequence_ok(0, 1));
	assert_true(lm_sequence_ok(0, 32767));
	assert_false(lm_sequence_ok(0, 32768));
	assert_false(lm_sequence_ok(0, 0));
	assert_false(lm_sequence_ok(1, 0));
	assert_true(lm_sequence_ok(65535, 0));
	assert_true(lm_sequence_ok(65000, 100));
	assert_false(lm_sequence_ok(100, 65000));
}

static void locators(void **state)
{
	struct mr *mr = mr_new(), *again = mr_new();
	struct in6_addr self = address("2001:db8::1"), a = address("2001:db8:a::1"), b = address("2001:db8:b::1");
	struct locator *l, *m;
	bool is_new;
	uint32_t id;

	(void)state;
	l = mr_get(mr, &a, &self, 0, &is_new);
	assert_true(is_new);
	assert_true(mr_id(l) >= 0x40000000u);
	/* a restarted daemon finds the same id */
	assert_int_equal(mr_id(mr_get(again, &a, &self, 0, &is_new)), mr_id(l));
	assert_ptr_equal(mr_get(mr, &a, &self, 0, &is_new), l);
	assert_false(is_new);
	assert_false(mr_move(mr, l, &b, &self)); /* shared */
	assert_false(mr_put(mr, l, &id));
	id = mr_id(l);
	assert_true(mr_move(mr, l, &b, &self)); /* alone: keeps its id */
	assert_int_equal(mr_id(l), id);
	assert_memory_equal(mr_care_of(l), &b, sizeof(b));
	m = mr_get(mr, &a, &self, 0, &is_new);
	assert_true(is_new);
	assert_int_not_equal(mr_id(m), id);	 /* though it hashes to the same */
	assert_false(mr_move(mr, m, &b, &self)); /* taken */
	assert_true(mr_put(mr, l, &id));
	assert_true(mr_move(mr, m, &b, &self));
	assert_true(mr_put(mr, m, &id));
	assert_int_equal(mr_count(mr), 0);
	/* a stored id is used again, if it can be one of ours and is free */
	l = mr_get(mr, &a, &self, 0x50000001, &is_new);
	assert_int_equal(mr_id(l), 0x50000001);
	m = mr_get(mr, &b, &self, 0x50000001, &is_new);
	assert_int_not_equal(mr_id(m), 0x50000001);
	assert_int_equal(mr_id(mr_get(mr, &self, &self, 7, &is_new)) >> 30, 1);
	mr_free(mr);
	mr_free(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(pools), cmocka_unit_test(allocates_in_order_until_full),
		cmocka_unit_test(limits_leases_of_a_node), cmocka_unit_test(rests_in_quarantine),
		cmocka_unit_test(returns_to_its_node), cmocka_unit_test(rests_after_a_restart),
		cmocka_unit_test(expires), cmocka_unit_test(restores), cmocka_unit_test(binding_cache),
		cmocka_unit_test(sequence), cmocka_unit_test(locators)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
