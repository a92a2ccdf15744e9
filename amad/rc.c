/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rc.c - routing control of an anchor */
#include "rc.h"

#include <errno.h>
#include <stdio.h>

static struct fwd_object route_to(const struct prefix6 *dst)
{
	struct fwd_object o = {.kind = FWD_ROUTE};

	o.route.dst = *dst;
	o.route.table = RC_MAIN_TABLE;
	o.route.metric = RC_METRIC;
	return o;
}

static struct fwd_object nexthop_of(const struct locator *l, uint32_t tunnel)
{
	struct fwd_object o = {.kind = FWD_NEXTHOP, .nexthop = {.id = mr_id(l), .oif = tunnel}};

	o.nexthop.encap.dst = *mr_care_of(l);
	o.nexthop.encap.src = *mr_self(l);
	return o;
}

void rc_want_pool(struct fwd_set *set, const struct prefix6 *pool)
{
	struct fwd_object o = route_to(pool);

	/* a pool of one /64 must not collide with its lease's route */
	o.route.metric = UINT32_MAX;
	o.route.type = FWD_UNREACHABLE;
	(void)fwd_want(set, &o, 0);
}

int rc_native(struct fwd_set *set, const struct lease *l, uint64_t cookie)
{
	struct fwd_object o = route_to(&l->prefix);

	o.route.oif = l->ifindex;
	o.route.gateway = l->link_local;
	return fwd_want(set, &o, cookie);
}

static void put_locator(struct fwd_set *set, struct mr *mr, struct locator *l)
{
	struct fwd_object o = {.kind = FWD_NEXTHOP};

	if (mr_put(mr, l, &o.nexthop.id))
		fwd_unwant(set, &o, 0);
}

int rc_bind(struct fwd_set *set, struct mr *mr, struct binding *b, const struct in6_addr *care_of,
	const struct in6_addr *self, uint32_t tunnel, uint64_t cookie)
{
	struct fwd_object route = route_to(&b->prefix), nexthop;
	struct locator *old = b->locator, *l;
	bool is_new;

	if (old && mr_move(mr, old, care_of, self)) {
		/* nobody else is behind it: one replacement of the nexthop moves the route */
		nexthop = nexthop_of(old, tunnel);
		route.route.nexthop = mr_id(old);
		route.route.mtu = b->mtu;
		if (fwd_want(set, &nexthop, cookie) < 0)
			return -ENOMEM;
	} else {
		l = mr_get(mr, care_of, self, b->nexthop, &is_new);
		if (!l)
			return -ENOMEM;
		nexthop = nexthop_of(l, tunnel);
		if (is_new && fwd_want(set, &nexthop, 0) < 0) {
			uint32_t id;

			(void)mr_put(mr, l, &id);
			return -ENOMEM;
		}
		b->locator = l;
		if (old)
			put_locator(set, mr, old);
		route.route.nexthop = mr_id(l);
		route.route.mtu = b->mtu;
	}
	b->nexthop = route.route.nexthop;
	return fwd_want(set, &route, cookie);
}

bool rc_move_locator(
	struct fwd_set *set, struct mr *mr, struct locator *l, const struct in6_addr *care_of, uint32_t tunnel)
{
	struct in6_addr old = *mr_care_of(l);
	struct fwd_object o;

	if (!mr_move_all(mr, l, care_of))
		return false;
	o = nexthop_of(l, tunnel);
	if (fwd_want(set, &o, 0) == 0)
		return true;
	(void)mr_move_all(mr, l, &old);
	return false;
}

void rc_unbind(struct fwd_set *set, struct mr *mr, struct binding *b, bool native, uint64_t cookie)
{
	if (!native)
		rc_withdraw(set, &b->prefix, cookie);
	if (b->locator)
		put_locator(set, mr, b->locator);
	b->locator = NULL;
}

void rc_withdraw(struct fwd_set *set, const struct prefix6 *prefix, uint64_t cookie)
{
	struct fwd_object o = route_to(prefix);

	fwd_unwant(set, &o, cookie);
}

void rc_retunnel(struct fwd_set *set, const struct locator *l, uint32_t tunnel)
{
	struct fwd_object o = nexthop_of(l, tunnel);

	(void)fwd_want(set, &o, 0);
}

/* --- a serving AMA --------------------------------------------------------------------------------------------- */

void rc_want_access(struct fwd_set *set, const char *ifname, bool want)
{
	struct fwd_object o = {.kind = FWD_RULE, .rule = {.table = RC_VISITING_TABLE, .priority = RC_VISITING_RULE}};

	(void)snprintf(o.rule.iif, sizeof(o.rule.iif), "%s", ifname);
	if (want)
		(void)fwd_want(set, &o, 0);
	else
		fwd_unwant(set, &o, 0);
}

void rc_want_early(struct fwd_set *set, bool want)
{
	struct fwd_object o = {
		.kind = FWD_RULE, .rule = {.table = RC_EARLY_TABLE, .priority = RC_EARLY_RULE, .mark = RC_EARLY_MARK}};

	if (want)
		(void)fwd_want(set, &o, 0);
	else
		fwd_unwant(set, &o, 0);
}

static struct fwd_object early_route(const struct prefix6 *hnp)
{
	struct fwd_object o = route_to(hnp);

	o.route.table = RC_EARLY_TABLE;
	return o;
}

int rc_expect(struct fwd_set *set, const struct prefix6 *hnp, uint32_t ifindex, const struct in6_addr *link_local)
{
	struct fwd_object o = early_route(hnp);

	o.route.oif = ifindex;
	o.route.gateway = *link_local;
	return fwd_want(set, &o, RC_VISIT_COOKIE);
}

void rc_expect_end(struct fwd_set *set, const struct prefix6 *hnp)
{
	struct fwd_object o = early_route(hnp);

	fwd_unwant(set, &o, 0);
}

/* A reference to a locator, with its nexthop wanted. NULL = no memory. */
static struct locator *get_locator(
	struct fwd_set *set, struct mr *mr, const struct in6_addr *to, const struct in6_addr *self, uint32_t tunnel)
{
	bool is_new;
	struct locator *l = mr_get(mr, to, self, 0, &is_new);
	struct fwd_object o;

	if (!l || !is_new)
		return l;
	o = nexthop_of(l, tunnel);
	if (fwd_want(set, &o, 0) == 0)
		return l;
	put_locator(set, mr, l);
	return NULL;
}

static struct fwd_object upstream_route(const struct prefix6 *hnp)
{
	struct fwd_object o = {.kind = FWD_ROUTE};

	o.route.src = *hnp;
	o.route.table = RC_VISITING_TABLE;
	o.route.metric = RC_METRIC;
	return o;
}

int rc_visit(struct fwd_set *set, const struct prefix6 *hnp, uint32_t ifindex, const struct in6_addr *link_local,
	const struct in6_addr *anchor, const struct in6_addr *self, uint32_t tunnel)
{
	struct fwd_object down = route_to(hnp);

	down.route.oif = ifindex;
	down.route.gateway = *link_local;
	if (rc_upstream(set, hnp, anchor, self, tunnel) < 0)
		return -ENOMEM;
	return fwd_want(set, &down, RC_VISIT_COOKIE);
}

int rc_upstream(struct fwd_set *set, const struct prefix6 *hnp, const struct in6_addr *anchor,
	const struct in6_addr *self, uint32_t tunnel)
{
	struct fwd_object up = upstream_route(hnp);

	up.route.oif = tunnel;
	up.route.encap.dst = *anchor;
	up.route.encap.src = *self;
	return fwd_want(set, &up, RC_VISIT_COOKIE);
}

static int forward_by(struct fwd_set *set, struct mr *mr, struct fwd_object route, const struct in6_addr *to,
	const struct in6_addr *self, uint32_t tunnel, struct locator **forward)
{
	struct locator *l = get_locator(set, mr, to, self, tunnel), *old = *forward;

	if (!l)
		return -ENOMEM;
	*forward = l;
	route.route.nexthop = mr_id(l);
	if (fwd_want(set, &route, RC_VISIT_COOKIE) < 0)
		return -ENOMEM;
	if (old)
		put_locator(set, mr, old);
	return 0;
}

int rc_forward(struct fwd_set *set, struct mr *mr, const struct prefix6 *hnp, const struct in6_addr *care_of,
	const struct in6_addr *self, uint32_t tunnel, struct locator **forward)
{
	return forward_by(set, mr, route_to(hnp), care_of, self, tunnel, forward);
}

int rc_expect_through(struct fwd_set *set, struct mr *mr, const struct prefix6 *hnp, const struct in6_addr *through,
	const struct in6_addr *self, uint32_t tunnel, struct locator **forward)
{
	return forward_by(set, mr, early_route(hnp), through, self, tunnel, forward);
}

void rc_stop_forwarding(struct fwd_set *set, struct mr *mr, struct locator **forward)
{
	if (*forward)
		put_locator(set, mr, *forward);
	*forward = NULL;
}

void rc_leave(struct fwd_set *set, struct mr *mr, const struct prefix6 *hnp, struct locator *forward)
{
	struct fwd_object up = upstream_route(hnp);

	rc_withdraw(set, hnp, 0);
	fwd_unwant(set, &up, 0);
	if (forward)
		put_locator(set, mr, forward);
}
