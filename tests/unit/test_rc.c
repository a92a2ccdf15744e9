/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_rc.c - what the node wants in the kernel, by state of its home addresses */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "mnd/rc.h"

#define TUNNEL 9
#define SEC    1000000ULL

/* The world: eth0 with the anchor's link, wlan0 elsewhere. */
static struct attach attach;
static struct home_address home;
static struct rc_home x;
static char text[8192]; /* what is wanted, a line an object, in no order */
static unsigned n_wanted;

static struct in6_addr address(const char *t)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, t, &a), 1);
	return a;
}

static struct attachment *add(uint32_t ifindex, const char *care_of, const char *router, const char *ama)
{
	struct attachment *at = &attach.at[attach.n++];

	at->ifindex = ifindex;
	at->carrier = true;
	at->usable_us = SEC;
	at->care_of = address(care_of);
	at->n_routers = 1;
	at->router = &at->routers[0];
	at->router->link_local = address(router);
	at->router->confirmed = true;
	at->router->ra.lifetime_s = 1800;
	if (ama) {
		at->router->ra.home_agent = at->router->ra.has_ama = true;
		at->router->ra.ama = address(ama);
	}
	return at;
}

static int setup(void **state)
{
	(void)state;
	memset(&attach, 0, sizeof(attach));
	memset(&home, 0, sizeof(home));
	memset(&x, 0, sizeof(x));
	home.known = true;
	home.address = address("2001:db8:101::7");
	home.prefix = prefix6_make(&home.address, 64);
	x.home = &home;
	x.slot = 3;
	x.anchor = address("2001:db8:1::1");
	x.mtu = 1400;
	return 0;
}

static void one(void *ctx, const struct fwd_object *from, int error)
{
	struct fwd_object o;
	size_t n = strlen(text);
	char *to = text + n;

	(void)ctx;
	(void)error;
	fwd_object_copy(&o, from);
	n_wanted++;
	switch (o.kind) {
	case FWD_ADDRESS:
		(void)snprintf(to, sizeof(text) - n, "address %s dev %u%s\n", in6_text(&o.address.address),
			o.address.ifindex, o.address.deprecated ? " deprecated" : "");
		break;
	case FWD_RULE:
		if (o.rule.mark)
			(void)snprintf(to, sizeof(text) - n, "rule %u mark %x table %u\n", o.rule.priority, o.rule.mark,
				o.rule.table);
		else
			(void)snprintf(to, sizeof(text) - n, "rule %u from %s table %u\n", o.rule.priority,
				prefix6_text(&o.rule.from), o.rule.table);
		break;
	case FWD_ROUTE:
		if (o.route.type == FWD_UNREACHABLE)
			(void)snprintf(to, sizeof(text) - n, "unreachable %s table %u metric %u\n",
				prefix6_text(&o.route.dst), o.route.table, o.route.metric);
		else
			(void)snprintf(to, sizeof(text) - n,
				"%s table %u metric %u dev %u via %s src %s encap %s from %s mtu %u\n",
				prefix6_text(&o.route.dst), o.route.table, o.route.metric, o.route.oif,
				in6_text(&o.route.gateway), in6_text(&o.route.prefsrc), in6_text(&o.route.encap.dst),
				in6_text(&o.route.encap.src), o.route.mtu);
		break;
	case FWD_NEXTHOP:
	case FWD_KINDS:
		fail();
	}
}

static void wanted(unsigned n_homes, bool default_route, bool need_source)
{
	struct fwd_set *s = fwd_new(NULL, NULL);

	assert_non_null(s);
	text[0] = '\0';
	n_wanted = 0;
	fwd_begin(s);
	rc_want(s, &attach, &x, n_homes, TUNNEL, default_route, need_source);
	fwd_end(s);
	fwd_each(s, one, NULL);
	fwd_free(s);
}

/* Exactly these lines, NULL ends them. */
static void are(const char *line, ...)
{
	unsigned n = 0;
	va_list ap;

	va_start(ap, line);
	for (; line; line = va_arg(ap, const char *)) {
		char with_end[256];
		const char *at;

		(void)snprintf(with_end, sizeof(with_end), "%s\n", line);
		at = strstr(text, with_end);
		if (!at || (at != text && at[-1] != '\n'))
			fail_msg("'%s' is not in:\n%s", line, text);
		n++;
	}
	va_end(ap);
	if (n != n_wanted)
		fail_msg("more than %u:\n%s", n, text);
}

#define ADDRESS	    "address 2001:db8:101::7 dev 9"
#define RULE	    "rule 1078 from 2001:db8:101::/64 table 7703"
#define END	    "unreachable ::/0 table 7703 metric 4294967295"
#define VIA_ETH(t)  "::/0 table " t " metric 50 dev 2 via fe80::1 src :: encap :: from :: mtu 0"
#define VIA_WLAN(t) "::/0 table " t " metric 50 dev 3 via fe80::2 src :: encap :: from :: mtu 0"
#define ETH_RULE    "rule 1079 from 2001:db8:e::5/128 table 7802"
#define WLAN_RULE   "rule 1079 from 2001:db8:f::5/128 table 7803"
#define TUNNELLED   "::/0 table 7703 metric 50 dev 9 via :: src :: encap 2001:db8:1::1 from "

static void eth(void)
{
	(void)add(2, "2001:db8:e::5", "fe80::1", "2001:db8:1::1");
}

static void wlan(void)
{
	(void)add(3, "2001:db8:f::5", "fe80::2", NULL);
}

static void native(void **state)
{
	(void)state;
	eth();
	attach.selected = &attach.at[0];
	home.state = HOMEADDR_NATIVE;
	home.confirmed = LU_ATTACH;
	wanted(1, false, false);
	are(ADDRESS, RULE, END, VIA_ETH("7703"), ETH_RULE, VIA_ETH("7802"), NULL);
	/* with the default route: the kernel selects the source itself, or is told */
	wanted(1, true, false);
	are(ADDRESS, RULE, END, VIA_ETH("7703"), ETH_RULE, VIA_ETH("7802"), VIA_ETH("254"), NULL);
	wanted(1, true, true);
	are(ADDRESS, RULE, END, VIA_ETH("7703"), ETH_RULE, VIA_ETH("7802"),
		"::/0 table 254 metric 50 dev 2 via fe80::1 src 2001:db8:101::7 encap :: from :: mtu 0", NULL);
}

/* No home address yet: new sessions go out under the care-of address, and nothing goes to a table that is not there. */
static void no_home_address(void **state)
{
	(void)state;
	eth();
	attach.selected = &attach.at[0];
	wanted(0, true, false);
	are(ETH_RULE, VIA_ETH("7802"),
		"::/0 table 254 metric 50 dev 2 via fe80::1 src 2001:db8:e::5 encap :: from :: mtu 0", NULL);
	home.known = false; /* asked for, not leased */
	home.state = HOMEADDR_ALLOCATING;
	wanted(1, false, false);
	are(ETH_RULE, VIA_ETH("7802"), NULL);
	home.known = true;
	home.state = HOMEADDR_RELEASED;
	wanted(1, false, false);
	are(ETH_RULE, VIA_ETH("7802"), NULL);
}

static void bound(void **state)
{
	(void)state;
	wlan();
	attach.selected = &attach.at[0];
	home.confirmed = LU_BIND;
	home.confirmed_care_of = address("2001:db8:f::5");
	home.state = HOMEADDR_BOUND;
	wanted(1, false, false);
	are(ADDRESS, RULE, END, TUNNELLED "2001:db8:f::5 mtu 1400", WLAN_RULE, VIA_WLAN("7803"), NULL);
	home.state = HOMEADDR_IDLE;
	x.deprecated = true;
	wanted(1, true, true); /* new sessions do not take it */
	are(ADDRESS " deprecated", RULE, END, TUNNELLED "2001:db8:f::5 mtu 1400", WLAN_RULE, VIA_WLAN("7803"),
		"::/0 table 254 metric 50 dev 3 via fe80::2 src 2001:db8:f::5 encap :: from :: mtu 0", NULL);
}

/* Away, new care-of address not acknowledged. */
static void binding(void **state)
{
	bool tunnel;

	(void)state;
	(void)add(2, "2001:db8:e::5", "fe80::1", NULL);
	wlan();
	attach.selected = &attach.at[1];
	home.state = HOMEADDR_BINDING;
	home.confirmed = LU_BIND;
	home.confirmed_care_of = address("2001:db8:e::5");
	/* make before break: the path that the anchor knows is alive */
	wanted(1, false, false);
	are(ADDRESS, RULE, END, TUNNELLED "2001:db8:e::5 mtu 1400", ETH_RULE, VIA_ETH("7802"), WLAN_RULE,
		VIA_WLAN("7803"), NULL);
	assert_ptr_equal(rc_path(&attach, &home, &x.anchor, &tunnel), &attach.at[0]);
	assert_true(tunnel);
	/* it is dead: the new one, which the anchor will know in a moment */
	attach.at[0].usable_us = 0;
	wanted(1, false, false);
	are(ADDRESS, RULE, END, TUNNELLED "2001:db8:f::5 mtu 1400", WLAN_RULE, VIA_WLAN("7803"), NULL);
	assert_ptr_equal(rc_path(&attach, &home, &x.anchor, &tunnel), &attach.at[1]);
	assert_true(tunnel);
}

/* It leaves its anchor's link, which is still there (two radios). */
static void binding_from_home(void **state)
{
	bool tunnel;

	(void)state;
	eth();
	wlan();
	attach.selected = &attach.at[1];
	home.state = HOMEADDR_BINDING;
	home.confirmed = LU_ATTACH;
	wanted(1, false, false);
	are(ADDRESS, RULE, END, VIA_ETH("7703"), ETH_RULE, VIA_ETH("7802"), WLAN_RULE, VIA_WLAN("7803"), NULL);
	assert_ptr_equal(rc_path(&attach, &home, &x.anchor, &tunnel), &attach.at[0]);
	assert_false(tunnel);
	attach.at[0].usable_us = 0;
	assert_ptr_equal(rc_path(&attach, &home, &x.anchor, &tunnel), &attach.at[1]);
	assert_true(tunnel);
	attach.at[0].usable_us = SEC; /* another anchor's link is no way home */
	attach.at[0].router->ra.ama = address("2001:db8:2::1");
	wanted(1, false, false);
	are(ADDRESS, RULE, END, TUNNELLED "2001:db8:f::5 mtu 1400", ETH_RULE, VIA_ETH("7802"), WLAN_RULE,
		VIA_WLAN("7803"), NULL);
}

#define NOTICED "::/0 table 7703 metric 50 dev 9 via :: src :: encap :: from :: mtu 0"

/* Packets must not leave by the main table: the unreachable route stays. Before it, as long as a session may begin, a
 * way into the device that drops what has no encapsulation, where it is seen. */
static void deprecated(void **state)
{
	static const enum homeaddr_state states[] = {HOMEADDR_DEPRECATED, HOMEADDR_IDLE, HOMEADDR_RELEASING};

	(void)state;
	wlan();
	attach.selected = &attach.at[0];
	x.deprecated = true;
	for (unsigned i = 0; i < 3; i++) {
		static const char main_route[] =
			"::/0 table 254 metric 50 dev 3 via fe80::2 src 2001:db8:f::5 encap :: from :: mtu 0";

		home.state = states[i];
		wanted(1, true, true);
		if (home.state == HOMEADDR_RELEASING)
			are(ADDRESS " deprecated", RULE, END, WLAN_RULE, VIA_WLAN("7803"), main_route, NULL);
		else
			are(ADDRESS " deprecated", RULE, END, NOTICED, WLAN_RULE, VIA_WLAN("7803"), main_route, NULL);
	}
}

static void no_attachment(void **state)
{
	bool tunnel;

	(void)state;
	home.confirmed = LU_BIND;
	home.confirmed_care_of = address("2001:db8:f::5");
	for (enum homeaddr_state s = HOMEADDR_NATIVE; s <= HOMEADDR_RELEASING; s++) {
		home.state = s;
		wanted(1, true, true);
		are(ADDRESS, RULE, END, NULL);
		assert_null(rc_path(&attach, &home, &x.anchor, &tunnel));
	}
	/* known, but its care-of address is not usable (any more) */
	wlan();
	attach.at[0].usable_us = 0;
	home.state = HOMEADDR_BOUND;
	wanted(1, true, true);
	are(ADDRESS, RULE, END, NULL);
}

/* Several: each in its own table; the source of new sessions is the one of the present network. */
static void several(void **state)
{
	struct rc_home homes[2];
	struct home_address other;
	struct fwd_set *s = fwd_new(NULL, NULL);

	(void)state;
	eth();
	attach.selected = &attach.at[0];
	home.state = HOMEADDR_NATIVE;
	homes[0] = x;
	other = home;
	other.address = address("2001:db8:202::7");
	other.prefix = prefix6_make(&other.address, 64);
	other.state = HOMEADDR_BOUND;
	other.confirmed = LU_BIND;
	other.confirmed_care_of = address("2001:db8:e::5");
	homes[1] = (struct rc_home){.home = &other, .slot = 0, .anchor = address("2001:db8:2::1"), .deprecated = true};
	text[0] = '\0';
	n_wanted = 0;
	fwd_begin(s);
	rc_want(s, &attach, homes, 2, TUNNEL, true, true);
	fwd_end(s);
	fwd_each(s, one, NULL);
	fwd_free(s);
	are(ADDRESS, RULE, END, VIA_ETH("7703"), ETH_RULE, VIA_ETH("7802"), "address 2001:db8:202::7 dev 9 deprecated",
		"rule 1078 from 2001:db8:202::/64 table 7700", "unreachable ::/0 table 7700 metric 4294967295",
		"::/0 table 7700 metric 50 dev 9 via :: src :: encap 2001:db8:2::1 from 2001:db8:e::5 mtu 0",
		"::/0 table 254 metric 50 dev 2 via fe80::1 src 2001:db8:101::7 encap :: from :: mtu 0", NULL);
}

/* Sockets are pinned to it: their mark leads to its table, which names the source, native and tunnelled. Two marks are
 * two rules. */
static void pinned(void **state)
{
	struct fwd_object one_mark = {.kind = FWD_RULE, .rule = {.mark = 1, .table = 5, .priority = 6}},
			  other_mark = one_mark;
	struct fwd_set *s = fwd_new(NULL, NULL);

	(void)state;
	eth();
	attach.selected = &attach.at[0];
	home.state = HOMEADDR_NATIVE;
	x.mark = 0x6d000123;
	wanted(1, false, false);
	are(ADDRESS, RULE, "rule 1077 mark 6d000123 table 7703", END,
		"::/0 table 7703 metric 50 dev 2 via fe80::1 src 2001:db8:101::7 encap :: from :: mtu 0", ETH_RULE,
		VIA_ETH("7802"), NULL);
	home.state = HOMEADDR_BOUND;
	home.confirmed = LU_BIND;
	home.confirmed_care_of = attach.at[0].care_of;
	wanted(1, false, false);
	assert_non_null(
		strstr(text, "::/0 table 7703 metric 50 dev 9 via :: src 2001:db8:101::7 encap 2001:db8:1::1 from "));
	other_mark.rule.mark = 2;
	assert_int_equal(fwd_want(s, &one_mark, 0), 0);
	assert_int_equal(fwd_want(s, &other_mark, 0), 0);
	assert_int_equal(fwd_count(s), 2);
	fwd_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(native, setup),
		cmocka_unit_test_setup(no_home_address, setup),
		cmocka_unit_test_setup(bound, setup),
		cmocka_unit_test_setup(binding, setup),
		cmocka_unit_test_setup(binding_from_home, setup),
		cmocka_unit_test_setup(deprecated, setup),
		cmocka_unit_test_setup(no_attachment, setup),
		cmocka_unit_test_setup(several, setup),
		cmocka_unit_test_setup(pinned, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
