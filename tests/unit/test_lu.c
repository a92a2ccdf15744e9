/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_lu.c - what a location update says and when it is sent again */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "mh.h"
#include "mnd/lu.h"

static struct binding_update make(enum lu_kind kind)
{
	struct binding_update bu = {.kind = kind, .lifetime_s = 600, .lease_s = 86400};
	struct in6_addr a;

	inet_pton(AF_INET6, "2001:db8:101::", &a);
	bu.prefix = prefix6_make(&a, 64);
	inet_pton(AF_INET6, "2001:db8:a2::10", &bu.care_of);
	inet_pton(AF_INET6, "fe80::10", &bu.link_local);
	return bu;
}

static struct mh_msg written(const struct binding_update *bu)
{
	static uint8_t buf[LU_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct rcur c;
	struct mh_msg m;
	enum mh_why why;

	lu_write(bu, 7, &w);
	assert_true(wcur_ok(&w));
	c = rcur_make(buf, wcur_len(&w));
	assert_int_equal(mh_read(&c, &m, &why), 0);
	assert_int_equal(rcur_left(&c), 0);
	assert_int_equal(m.type, MH_BU);
	assert_int_equal(m.bu.sequence, 7);
	assert_int_equal(m.bu.flags, MH_BU_A | MH_BU_H);
	return m;
}

static void each_kind_says_what_the_anchor_must_do(void **state)
{
	struct binding_update bu = make(LU_ATTACH);
	struct mh_msg m = written(&bu);
	struct dmmopt_lease lease;
	struct prefix6 prefix;
	struct in6_addr addr;
	uint16_t mtu;

	(void)state;
	assert_int_equal(m.bu.lifetime_s, 0);
	assert_true(mhopt_prefix(mh_find(&m, MHOPT_HNP, NULL), &prefix) && prefix6_equal(&prefix, &bu.prefix));
	assert_true(
		mhopt_address(mh_find(&m, MHOPT_LINK_LOCAL, NULL), &addr) && IN6_ARE_ADDR_EQUAL(&addr, &bu.link_local));
	assert_null(mh_find(&m, MHOPT_ALT_COA, NULL));
	assert_true(dmmopt_lease(&m, &lease) && lease.lifetime_s == 86400 && lease.flags == DMMOPT_LEASE_ATTACH);

	bu.wish = 0x1234;
	m = written(&bu);
	assert_true(dmmopt_lease(&m, &lease) &&
		lease.flags == (DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW | DMMOPT_LEASE_WISH(0x1234)));
	assert_int_equal(DMMOPT_LEASE_WISHED(lease.flags), 0x1234);

	bu = make(LU_BIND);
	bu.tunnel_mtu = 1400;
	m = written(&bu);
	assert_int_equal(m.bu.lifetime_s, 600);
	assert_true(mhopt_address(mh_find(&m, MHOPT_ALT_COA, NULL), &addr) && IN6_ARE_ADDR_EQUAL(&addr, &bu.care_of));
	assert_true(dmmopt_lease(&m, &lease) && lease.lifetime_s == 86400 && lease.flags == 0);
	assert_true(dmmopt_tunnel_mtu(&m, &mtu) && mtu == 1400);
	bu.lease_s = 0;
	m = written(&bu);
	assert_false(dmmopt_lease(&m, &lease));

	bu = make(LU_RELEASE);
	m = written(&bu);
	assert_int_equal(m.bu.lifetime_s, 0);
	assert_true(dmmopt_lease(&m, &lease) && lease.lifetime_s == 0);
}

static void backs_off_as_rfc_6275_says(void **state)
{
	static const unsigned first[] = {1500, 3000, 6000, 12000, 24000, 32000, 32000},
			      later[] = {1000, 2000, 4000, 8000, 16000, 32000, 32000};

	(void)state;
	for (int kind = 0; kind < 2; kind++) {
		struct binding_update bu = make(kind ? LU_BIND : LU_ATTACH);
		uint64_t now = 5000000;

		bu.first = !kind;
		bu.next_us = now;
		for (unsigned i = 0; i < 7; i++) {
			assert_true(lu_is_due(&bu, now));
			lu_sent(&bu, (uint16_t)i, now);
			assert_int_equal(bu.next_us - now, (kind ? later : first)[i] * 1000ULL);
			assert_false(lu_is_due(&bu, bu.next_us - 1));
			now = bu.next_us;
		}
		assert_int_equal(bu.begun_us, 5000000);
		bu.kind = LU_NONE;
		assert_false(lu_is_due(&bu, now));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_says_what_the_anchor_must_do),
		cmocka_unit_test(backs_off_as_rfc_6275_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
