/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_attach.c - which router, which care-of address, which AMA; and the advertisement reader */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "mnd/attach.h"

#define MS  1000ULL
#define SEC 1000000ULL

static struct in6_addr addr(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

/* RFC 4861 4.2, RFC 6275 7.1-7.3: what radvd sends with AdvHomeAgentFlag, AdvRouterAddr and AdvIntervalOpt. */
static const uint8_t golden_ra[] = {
	0x86, 0x00, 0x12, 0x34, /* type 134, code 0, checksum */
	0x40, 0x20, 0x00, 0x1e, /* hop limit 64, H, router lifetime 30 s */
	0x00, 0x00, 0x00, 0x00, /* reachable time */
	0x00, 0x00, 0x00, 0x00, /* retrans timer */
	0x03, 0x04, 0x40, 0xe0, /* prefix option, 32 octets, /64, L A R */
	0x00, 0x01, 0x51, 0x80, /* valid 86400 s */
	0x00, 0x00, 0x38, 0x40, /* preferred 14400 s */
	0x00, 0x00, 0x00, 0x00, /* reserved */
	0x20, 0x01, 0x0d, 0xb8, 0x00, 0xa1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x07, 0x01,
	0x00, 0x00,		/* advertisement interval */
	0x00, 0x00, 0x00, 0x46, /* 70 ms */
	0x05, 0x01, 0x00, 0x00, /* MTU */
	0x00, 0x00, 0x05, 0xdc, /* 1500 */
};

static void reads_an_advertisement(void **state)
{
	struct router_advert ra;
	struct in6_addr ama = addr("2001:db8:a1::1"), prefix = addr("2001:db8:a1::");

	(void)state;
	assert_int_equal(ra_read(golden_ra, sizeof(golden_ra), &ra), 0);
	assert_true(ra.home_agent);
	assert_true(ra.has_ama);
	assert_true(IN6_ARE_ADDR_EQUAL(&ra.ama, &ama));
	assert_int_equal(ra.lifetime_s, 30);
	assert_int_equal(ra.interval_ms, 70);
	assert_int_equal(ra.mtu, 1500);
	assert_int_equal(ra.n_prefix, 1);
	assert_int_equal(ra.prefix[0].prefix.len, 64);
	assert_true(IN6_ARE_ADDR_EQUAL(&ra.prefix[0].prefix.addr, &prefix));
	assert_true(ra.prefix[0].autonomous);
	assert_true(ra.prefix[0].on_link);
	assert_int_equal(ra.prefix[0].valid_s, 86400);
	assert_int_equal(ra.prefix[0].preferred_s, 14400);
}

static void refuses_malformed_advertisements(void **state)
{
	uint8_t buf[sizeof(golden_ra)];
	struct router_advert ra;

	(void)state;
	for (size_t len = 0; len < sizeof(golden_ra); len++) {
		bool whole = len == 16 || len == 48 || len == 56; /* ends on an option's border */

		assert_int_equal(ra_read(golden_ra, len, &ra), whole ? 0 : -EBADMSG);
	}
	memcpy(buf, golden_ra, sizeof(buf));
	buf[17] = 0; /* option of length 0 */
	assert_int_equal(ra_read(buf, sizeof(buf), &ra), -EBADMSG);
	memcpy(buf, golden_ra, sizeof(buf));
	buf[17] = 3; /* prefix option too short for its fields */
	assert_int_equal(ra_read(buf, 16 + 24, &ra), -EBADMSG);
	buf[17] = 4;
	buf[18] = 129; /* prefix length */
	assert_int_equal(ra_read(buf, sizeof(buf), &ra), -EBADMSG);
	memcpy(buf, golden_ra, sizeof(buf));
	buf[0] = 133;
	assert_int_equal(ra_read(buf, sizeof(buf), &ra), -EBADMSG);
}

struct fixture {
	struct attach a;
	uint64_t now_us, wake_us;
	uint32_t changes;
};

static struct router_advert advert(const char *ama, bool home_agent)
{
	struct router_advert ra = {
		.lifetime_s = 1800, .home_agent = home_agent, .has_ama = true, .ama = addr(ama), .n_prefix = 1};

	ra.prefix[0].prefix = prefix6_make(&ra.ama, 64);
	ra.prefix[0].autonomous = true;
	return ra;
}

static void link_is(struct fixture *f, uint32_t ifindex, int priority, bool carrier)
{
	attach_link(&f->a, ifindex, ifindex == 2 ? "wlan0" : "wlan1", priority, carrier, f->changes, f->now_us);
}

static void hear(struct fixture *f, uint32_t ifindex, int network, bool home_agent)
{
	char text[64];
	struct in6_addr ll;
	struct router_advert ra;

	snprintf(text, sizeof(text), "2001:db8:a%d::1", network);
	ra = advert(text, home_agent);
	snprintf(text, sizeof(text), "fe80::a%d", network);
	ll = addr(text);
	attach_advert(&f->a, ifindex, &ll, &ra, f->now_us);
}

static void address(struct fixture *f, uint32_t ifindex, int network, bool usable)
{
	char text[64];
	struct in6_addr x;

	snprintf(text, sizeof(text), "2001:db8:a%d::10", network);
	x = addr(text);
	attach_address(&f->a, ifindex, &x, true, usable, false);
}

static bool step(struct fixture *f)
{
	f->now_us += 1 * MS;
	return attach_step(&f->a, f->now_us, &f->wake_us);
}

static void start(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->now_us = 50 * SEC;
	link_is(f, 2, 100, true);
	assert_non_null(attach_solicit_due(&f->a, f->now_us));
	assert_null(attach_solicit_due(&f->a, f->now_us));
	hear(f, 2, 1, true);
	assert_false(step(f)); /* no address yet */
	address(f, 2, 1, false);
	assert_false(step(f)); /* tentative: an update from it would be answered into the void */
	address(f, 2, 1, true);
	assert_true(step(f));
	assert_non_null(f->a.selected);
}

static void usable_with_carrier_router_and_address(void **state)
{
	struct fixture f;
	struct in6_addr ama = addr("2001:db8:a1::1");

	(void)state;
	start(&f);
	assert_true(IN6_ARE_ADDR_EQUAL(attach_ama(f.a.selected), &ama));
	assert_false(step(&f));
	link_is(&f, 2, 100, false);
	assert_true(step(&f));
	assert_null(f.a.selected);
}

static void addresses_of_the_network_that_was_left_do_not_count(void **state)
{
	struct fixture f;
	struct in6_addr coa2 = addr("2001:db8:a2::10");

	(void)state;
	start(&f);
	link_is(&f, 2, 100, false);
	(void)step(&f);
	link_is(&f, 2, 100, true);
	assert_non_null(attach_solicit_due(&f.a, f.now_us));
	(void)step(&f);
	assert_null(f.a.selected); /* the old address is still there, its router is not heard */
	hear(&f, 2, 2, true);
	(void)step(&f);
	assert_null(f.a.selected);
	address(&f, 2, 2, true);
	assert_true(step(&f));
	assert_true(IN6_ARE_ADDR_EQUAL(&f.a.selected->care_of, &coa2));
}

/* Two links of one AMA: the second one's advertisements name it by a prefix that is not on that link. */
static void a_prefix_that_only_names_the_ama_gives_no_care_of_address(void **state)
{
	struct in6_addr coa9 = addr("2001:db8:a9::10"), here = addr("2001:db8:a9::"), router = addr("fe80::99");
	struct router_advert ra = advert("2001:db8:a1::1", true);
	struct fixture f;

	(void)state;
	start(&f);
	link_is(&f, 2, 100, false);
	(void)step(&f);
	link_is(&f, 2, 100, true);
	ra.prefix[0].autonomous = false;
	ra.prefix[1].prefix = prefix6_make(&here, 64);
	ra.prefix[1].autonomous = true;
	ra.n_prefix = 2;
	attach_advert(&f.a, 2, &router, &ra, f.now_us);
	(void)step(&f);
	assert_null(f.a.selected); /* that of the first link is there still */
	address(&f, 2, 9, true);
	assert_true(step(&f));
	assert_true(IN6_ARE_ADDR_EQUAL(&f.a.selected->care_of, &coa9));
	assert_true(IN6_ARE_ADDR_EQUAL(attach_ama(f.a.selected), &ra.ama));
	/* where addresses are given by DHCPv6 the prefix is only on the link */
	ra.n_prefix = 1;
	ra.prefix[0].on_link = true;
	attach_advert(&f.a, 2, &router, &ra, f.now_us);
	assert_true(step(&f));
	assert_true(IN6_ARE_ADDR_EQUAL(&f.a.selected->care_of, &f.a.at[0].addresses[0].address));
}

static void the_same_network_again_is_a_new_generation(void **state)
{
	struct fixture f;
	uint32_t generation;

	(void)state;
	start(&f);
	generation = f.a.generation;
	link_is(&f, 2, 100, false);
	(void)step(&f);
	link_is(&f, 2, 100, true);
	(void)step(&f);
	hear(&f, 2, 1, true);
	assert_true(step(&f));
	assert_non_null(f.a.selected);
	assert_int_not_equal(f.a.generation, generation);
}

static void a_bounce_too_quick_to_be_seen(void **state)
{
	struct fixture f;
	uint32_t generation;

	(void)state;
	start(&f);
	generation = f.a.generation;
	link_is(&f, 2, 100, true);
	assert_false(step(&f)); /* only news */
	f.changes += 2;
	link_is(&f, 2, 100, true); /* the same flags, but the carrier went and came */
	assert_non_null(attach_solicit_due(&f.a, f.now_us));
	(void)step(&f);
	assert_null(f.a.selected);
	hear(&f, 2, 1, true);
	assert_true(step(&f));
	assert_int_not_equal(f.a.generation, generation);
}

static void solicitations_are_repeated_and_end(void **state)
{
	struct fixture f = {.now_us = 50 * SEC};
	int sent = 0;

	(void)state;
	link_is(&f, 2, 100, true);
	for (int i = 0; i < 100; i++) {
		while (attach_solicit_due(&f.a, f.now_us))
			sent++;
		(void)step(&f);
		if (f.wake_us != UINT64_MAX && f.wake_us > f.now_us)
			f.now_us = f.wake_us;
	}
	assert_int_equal(sent, 5);
}

static void a_network_without_an_ama(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	link_is(&f, 2, 100, false);
	link_is(&f, 2, 100, true);
	hear(&f, 2, 4, false);
	address(&f, 2, 4, true);
	assert_true(step(&f));
	assert_non_null(f.a.selected);
	assert_null(attach_ama(f.a.selected));
}

static void moved_without_losing_carrier(void **state)
{
	struct fixture f;
	struct in6_addr coa2 = addr("2001:db8:a2::10");

	(void)state;
	start(&f);
	address(&f, 2, 2, true);
	hear(&f, 2, 2, true); /* an unknown router: is the present one gone? */
	assert_non_null(attach_solicit_due(&f.a, f.now_us));
	(void)step(&f);
	hear(&f, 2, 2, true);
	assert_false(step(&f));
	f.now_us += 600 * MS; /* it does not answer */
	assert_true(step(&f));
	assert_true(IN6_ARE_ADDR_EQUAL(&f.a.selected->care_of, &coa2));
}

static void two_routers_on_one_link_are_not_a_movement(void **state)
{
	struct fixture f;
	struct in6_addr coa1 = addr("2001:db8:a1::10");

	(void)state;
	start(&f);
	address(&f, 2, 2, true);
	for (int i = 0; i < 50; i++) {
		hear(&f, 2, 2, true);
		(void)step(&f);
		while (attach_solicit_due(&f.a, f.now_us))
			;
		f.now_us += 100 * MS;
		hear(&f, 2, 1, true);
		assert_false(step(&f));
		f.now_us += 100 * MS;
	}
	assert_true(IN6_ARE_ADDR_EQUAL(&f.a.selected->care_of, &coa1));
}

static void priority_then_the_newest(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	link_is(&f, 3, 100, true);
	hear(&f, 3, 2, true);
	address(&f, 3, 2, true);
	assert_true(step(&f)); /* make before break: where the node is going */
	assert_int_equal(f.a.selected->ifindex, 3);
	link_is(&f, 2, 200, true);
	assert_true(step(&f));
	assert_int_equal(f.a.selected->ifindex, 2);
	link_is(&f, 2, 200, false);
	assert_true(step(&f));
	assert_int_equal(f.a.selected->ifindex, 3);
	attach_link_gone(&f.a, 2);
	assert_false(step(&f));
	assert_int_equal(f.a.selected->ifindex, 3);
	assert_non_null(f.a.selected->router);
	assert_true(f.a.selected->router >= f.a.selected->routers &&
		f.a.selected->router < f.a.selected->routers + ATTACH_ROUTERS);
	attach_link_gone(&f.a, 3);
	(void)step(&f);
	assert_null(f.a.selected);
}

static void after_suspend_nothing_is_certain(void **state)
{
	struct fixture f;
	uint32_t generation;

	(void)state;
	start(&f);
	generation = f.a.generation;
	attach_doubt(&f.a, f.now_us);
	assert_non_null(attach_solicit_due(&f.a, f.now_us));
	(void)step(&f);
	assert_null(f.a.selected);
	hear(&f, 2, 1, true);
	assert_true(step(&f));
	assert_non_null(f.a.selected);
	assert_int_not_equal(f.a.generation, generation);
}

static void a_router_that_keeps_silent_is_given_up(void **state)
{
	struct fixture f;
	struct router_advert ra = advert("2001:db8:a1::1", true);
	struct in6_addr ll = addr("fe80::a1");
	int solicited = 0;

	(void)state;
	start(&f);
	ra.interval_ms = 70;
	attach_advert(&f.a, 2, &ll, &ra, f.now_us);
	for (int i = 0; i < 60 && f.a.selected; i++) {
		f.now_us += 100 * MS;
		while (attach_solicit_due(&f.a, f.now_us))
			solicited++;
		(void)step(&f);
	}
	assert_null(f.a.selected);
	assert_true(solicited >= 1);
}

static void router_lifetime_zero_and_full_tables(void **state)
{
	struct fixture f;
	struct router_advert ra = advert("2001:db8:a1::1", true);
	struct in6_addr ll = addr("fe80::a1");

	(void)state;
	start(&f);
	ra.lifetime_s = 0;
	attach_advert(&f.a, 2, &ll, &ra, f.now_us);
	assert_true(step(&f));
	assert_null(f.a.selected);

	start(&f);
	for (int i = 0; i < 100; i++) {
		struct in6_addr x = addr("2001:db8:ff::");

		x.s6_addr[15] = (uint8_t)i;
		attach_address(&f.a, 2, &x, true, true, false);
		x.s6_addr[0] = 0xfe;
		x.s6_addr[1] = 0x80;
		ra = advert("2001:db8:ff::1", false);
		attach_advert(&f.a, 2, &x, &ra, f.now_us);
		attach_link(&f.a, 10 + (uint32_t)i, "veth", 1, true, 0, f.now_us);
	}
	assert_true(f.a.ignored > 0);
	assert_int_equal(f.a.n, ATTACH_MAX);
	(void)step(&f);
	assert_int_equal(f.a.selected->ifindex, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_an_advertisement),
		cmocka_unit_test(refuses_malformed_advertisements),
		cmocka_unit_test(usable_with_carrier_router_and_address),
		cmocka_unit_test(addresses_of_the_network_that_was_left_do_not_count),
		cmocka_unit_test(a_prefix_that_only_names_the_ama_gives_no_care_of_address),
		cmocka_unit_test(the_same_network_again_is_a_new_generation),
		cmocka_unit_test(a_bounce_too_quick_to_be_seen),
		cmocka_unit_test(solicitations_are_repeated_and_end),
		cmocka_unit_test(a_network_without_an_ama),
		cmocka_unit_test(moved_without_losing_carrier),
		cmocka_unit_test(two_routers_on_one_link_are_not_a_movement),
		cmocka_unit_test(priority_then_the_newest),
		cmocka_unit_test(after_suspend_nothing_is_certain),
		cmocka_unit_test(a_router_that_keeps_silent_is_given_up),
		cmocka_unit_test(router_lifetime_zero_and_full_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
