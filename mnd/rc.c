/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rc.c - routing control of the node
 *
 * The node has few objects, so all that is wanted is said anew at each change, and fwd finds the difference. Per home
 * address: the address on mnd0, a rule to a table of its own, in that table a default route (native or into the tunnel)
 * and behind it an unreachable one, so that nothing leaks out under an address that would not come back. Per
 * attachment: a table with its router, reached by the care-of address, so that the outer packets and the channel leave
 * by the link they belong to. */
#include "rc.h"

#include <string.h>

static const struct prefix6 anywhere;

static void want_route(struct fwd_set *set, uint32_t table, uint32_t metric, struct fwd_object *o)
{
	o->kind = FWD_ROUTE;
	o->route.dst = anywhere;
	o->route.table = table;
	o->route.metric = metric;
	(void)fwd_want(set, o, 0);
}

static void want_native(struct fwd_set *set, uint32_t table, uint32_t metric, const struct attachment *at,
	const struct in6_addr *source)
{
	struct fwd_object o = {.route = {.type = FWD_UNICAST, .oif = at->ifindex, .gateway = at->router->link_local}};

	if (source)
		o.route.prefsrc = *source;
	want_route(set, table, metric, &o);
}

static void want_rule(struct fwd_set *set, const struct prefix6 *from, uint32_t mark, uint32_t table, uint32_t priority)
{
	struct fwd_object o = {
		.kind = FWD_RULE, .rule = {.from = *from, .mark = mark, .table = table, .priority = priority}};

	(void)fwd_want(set, &o, 0);
}

/* The way to the care-of address that the anchor knows: our own on some link, or that of the AMA on some link. NULL:
 * lost. */
static const struct attachment *acknowledged(
	const struct attach *attach, const struct home_address *h, bool *ret_tunnel)
{
	const struct attachment *at = attach_find_care_of(attach, &h->confirmed_care_of);

	if (at)
		return at;
	at = attach_find_ama(attach, &h->confirmed_care_of);
	if (at)
		*ret_tunnel = false;
	return at;
}

const struct attachment *rc_path(
	const struct attach *attach, const struct home_address *h, const struct in6_addr *anchor, bool *ret_tunnel)
{
	const struct attachment *at;

	*ret_tunnel = homeaddr_is_tunnelled(h);
	switch (h->state) {
	case HOMEADDR_NATIVE:
	case HOMEADDR_RETURNING:
		return attach->selected;
	case HOMEADDR_BINDING:
		/* until the anchor has answered, the way it knows is the better one, as long as it is there */
		at = NULL;
		if (h->confirmed == LU_ATTACH) {
			at = attach_find_ama(attach, anchor);
			*ret_tunnel = !at;
		} else if (h->confirmed == LU_BIND) {
			at = acknowledged(attach, h, ret_tunnel);
		}
		return at ? at : attach->selected;
	case HOMEADDR_BOUND:
	case HOMEADDR_IDLE:
		return acknowledged(attach, h, ret_tunnel);
	case HOMEADDR_ALLOCATING:
	case HOMEADDR_DEPRECATED:
	case HOMEADDR_RELEASING:
	case HOMEADDR_RELEASED:
		return NULL;
	}
	return NULL;
}

static void want_home(struct fwd_set *set, const struct attach *attach, const struct rc_home *x, uint32_t tunnel)
{
	const struct home_address *h = x->home;
	struct fwd_object address = {.kind = FWD_ADDRESS,
		.address = {.ifindex = tunnel, .address = h->address, .deprecated = x->deprecated}};
	struct fwd_object end = {.route = {.type = FWD_UNREACHABLE}};
	uint32_t table = RC_TABLE_HOME + x->slot;
	/* sockets that are pinned have no source yet when they come here; those of other software come by it */
	struct in6_addr source = x->mark ? h->address : in6addr_any;
	const struct attachment *at;
	bool encapsulate;

	(void)fwd_want(set, &address, 0);
	want_rule(set, &h->prefix, 0, table, RC_RULE_HOME);
	if (x->mark)
		want_rule(set, &anywhere, x->mark, table, RC_RULE_PIN);
	want_route(set, table, UINT32_MAX, &end);
	at = rc_path(attach, h, &x->anchor, &encapsulate);
	if (attach->selected &&
		(((!at || !at->router) && homeaddr_is_unused(h)) ||
			(x->through && encapsulate && !attach_find_care_of(attach, &h->confirmed_care_of)))) {
		/* The device drops what has no encapsulation, after session_watch has seen that somebody begins: a
		 * connection waits for its second SYN instead of being told that there is no way. */
		struct fwd_object o = {.route = {.type = FWD_UNICAST, .oif = tunnel}};

		o.route.prefsrc = source;
		want_route(set, table, RC_METRIC, &o);
		return;
	}
	if (!at || !at->router)
		return;
	if (encapsulate) {
		struct fwd_object o = {.route = {.type = FWD_UNICAST, .oif = tunnel, .mtu = x->mtu}};

		o.route.encap.dst = x->anchor;
		o.route.encap.src = at->care_of;
		o.route.prefsrc = source;
		want_route(set, table, RC_METRIC, &o);
	} else {
		want_native(set, table, RC_METRIC, at, x->mark ? &source : NULL);
	}
}

void rc_want(struct fwd_set *set, const struct attach *attach, const struct rc_home *homes, unsigned n, uint32_t tunnel,
	bool default_route, bool need_source)
{
	const struct in6_addr *source = NULL;

	for (unsigned i = 0; i < n; i++) {
		if (!homes[i].home->known || homes[i].home->state == HOMEADDR_RELEASED)
			continue;
		want_home(set, attach, &homes[i], tunnel);
		if (!homes[i].deprecated)
			source = &homes[i].home->address;
	}
	for (unsigned i = 0; i < attach->n; i++) {
		const struct attachment *at = &attach->at[i];
		struct prefix6 care_of;

		if (!at->usable_us)
			continue;
		care_of = prefix6_make(&at->care_of, 128);
		want_rule(set, &care_of, 0, RC_TABLE_CARE + at->ifindex, RC_RULE_CARE_OF);
		want_native(set, RC_TABLE_CARE + at->ifindex, RC_METRIC, at, NULL);
		if (default_route && at == attach->selected)
			want_native(set, 254, RC_METRIC, at, !source ? &at->care_of : need_source ? source : NULL);
	}
}
