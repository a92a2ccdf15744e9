/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_table.c - the table of small objects, and objects of forwarding state that outgrow their entry */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "fwd.h"
#include "table.h"

static struct in6_addr address(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static struct fwd_object route(const char *dst)
{
	struct fwd_object o = {.kind = FWD_ROUTE, .route = {.table = 254, .metric = 1024}};

	assert_int_equal(prefix6_parse(dst, &o.route.dst), 0);
	return o;
}

/* The next change, which the kernel answers; false when there is none. */
static bool change(struct fwd_set *s, int result, enum fwd_op *ret_op, struct fwd_object *ret)
{
	const struct fwd_object *o;
	struct fwd_entry *e = fwd_next(s, ret_op, &o);

	if (!e)
		return false;
	fwd_object_copy(ret, o);
	fwd_result(s, e, result, NULL);
	return true;
}

/* A route that outgrows its entry: gateway, then encapsulation and source, then a nexthop, and every field arrives. */
static void grows(void **state)
{
	struct fwd_set *s = fwd_new(NULL, NULL);
	struct fwd_object r = route("2001:db8:1::/64"), with = r, o;
	enum fwd_op op;

	(void)state;
	r.route.oif = 3;
	r.route.gateway = address("fe80::1");
	assert_int_equal(fwd_want(s, &r, 0), 0);
	assert_true(change(s, 0, &op, &o));
	assert_memory_equal(&o.route.gateway, &r.route.gateway, 16);
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&o.route.encap.dst));
	with.route.oif = 4;
	with.route.encap.dst = address("2001:db8::7");
	with.route.encap.src = address("2001:db8::8");
	with.route.prefsrc = address("2001:db8:1::1");
	with.route.mtu = 1300;
	assert_int_equal(fwd_want(s, &with, 0), 0);
	assert_true(change(s, 0, &op, &o));
	assert_int_equal(op, FWD_REPLACE);
	assert_memory_equal(&o.route.encap, &with.route.encap, sizeof(o.route.encap));
	assert_memory_equal(&o.route.prefsrc, &with.route.prefsrc, 16);
	assert_int_equal(o.route.mtu, 1300);
	/* each of them is a difference */
	with.route.prefsrc = address("2001:db8:1::2");
	assert_int_equal(fwd_want(s, &with, 0), 0);
	assert_true(change(s, 0, &op, &o));
	with.route.encap.src = address("2001:db8::9");
	assert_int_equal(fwd_want(s, &with, 0), 0);
	assert_true(change(s, 0, &op, &o));
	assert_int_equal(fwd_want(s, &r, 0), 0);
	assert_true(change(s, 0, &op, &o));
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&o.route.prefsrc));
	/* what a dump tells in full is the same */
	fwd_found(s, &r);
	assert_false(change(s, 0, &op, &o));
	fwd_found(s, &with);
	assert_true(change(s, 0, &op, &o));
	assert_int_equal(op, FWD_REPLACE);
	fwd_free(s);
}

struct thing {
	uint32_t number;
	struct table_entry in_table;
};

static uint64_t hash_thing(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&TABLE_OBJECT(e, struct thing, in_table)->number, 4);
}

static struct thing *find(const struct table *t, uint32_t number)
{
	struct table_entry *e = table_first(t, table_hash_bytes(&number, 4));

	while (e && TABLE_OBJECT(e, struct thing, in_table)->number != number)
		e = e->next;
	return e ? TABLE_OBJECT(e, struct thing, in_table) : NULL;
}

static void table(void **state)
{
	static struct thing thing[5000];
	bool in[5000] = {false};
	struct table_entry *e, *tmp;
	uint32_t n = 0, seen = 0;
	struct table t;

	(void)state;
	table_init(&t, hash_thing, NULL);
	assert_null(find(&t, 1));
	srandom(1);
	for (unsigned i = 0; i < 50000; i++) {
		uint32_t k = (uint32_t)random() % 5000;

		thing[k].number = k;
		assert_int_equal(find(&t, k) != NULL, in[k]);
		if (in[k])
			table_remove(&t, &thing[k].in_table);
		else
			assert_int_equal(table_add(&t, &thing[k].in_table), 0);
		in[k] = !in[k];
		n += in[k] ? 1 : -1u;
		assert_int_equal(t.n, n);
	}
	TABLE_EACH(&t, e, tmp) {
		assert_true(in[TABLE_OBJECT(e, struct thing, in_table)->number]);
		table_remove(&t, e); /* allowed on the way */
		seen++;
	}
	assert_int_equal(seen, n);
	assert_int_equal(t.n, 0);
	table_done(&t);
}

/* What a pool hands out differs in few bits, and in the last bytes of the key: no bucket may get much more than its
 * share. */
static void spread(void **state)
{
	static const uint8_t at[] = {7, 6, 5, 3, 0}; /* the byte of the key that counts */
	static uint16_t bucket[16384];

	(void)state;
	for (unsigned k = 0; k < sizeof(at); k++) {
		memset(bucket, 0, sizeof(bucket));
		for (unsigned i = 0; i < 65536; i++) {
			uint8_t key[32] = {0x20, 0x01, 0x0d, 0xb8, 0x10};
			uint64_t h;

			key[at[k]] ^= (uint8_t)i;
			key[(at[k] + 7) % 8] ^= (uint8_t)(i >> 8);
			h = table_hash_bytes(key, k % 2 ? 32 : 8);
			bucket[h % 16384]++;
		}
		for (unsigned i = 0; i < 16384; i++) /* 4 each */
			assert_in_range(bucket[i], 0, 24);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(spread), cmocka_unit_test(grows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
