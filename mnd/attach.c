/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach.c - attachments
 *
 * An attachment is usable when its link has a carrier, a router was heard since that carrier came, and the kernel holds
 * an address in one of that router's prefixes that may be a source. Addresses and routes of a network that was left
 * stay in the kernel for a while; they do not count, because their router is not heard.
 *
 * Movement is noticed by the carrier, or, where a radio changes its network without one, by an unknown router: then a
 * solicitation goes out, and if the present router does not answer it is taken to be gone (RFC 6275 11.5.1).
 *
 * What it leaves out: no I/O, no timers; mnd calls attach_step when anything changed or the wake-up time has come. */
#include "attach.h"

#include <string.h>

#define MS 1000ULL

/* First solicitation at once (the random delay of RFC 4861 6.3.7 is for many hosts that boot together, not for one that
 * moves), the answer may be lost on a link that has just come up, then the RFC's pace. */
static const uint32_t rs_pause_ms[] = {200, 800, 4000, 4000};
/* How long the present router has to answer when an unknown one was heard. */
#define SUSPECT_US (500 * MS)
/* A router that promised an interval and is silent for three of them is asked, and given up after one second more. */
#define SILENT_MIN_US (3000 * MS)
#define SILENT_ASK_US (1000 * MS)

struct attachment *attach_find(struct attach *a, uint32_t ifindex)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->at[i].ifindex == ifindex)
			return &a->at[i];
	return NULL;
}

const struct attachment *attach_find_care_of(const struct attach *a, const struct in6_addr *care_of)
{
	for (unsigned i = 0; i < a->n; i++)
		if (a->at[i].usable_us && IN6_ARE_ADDR_EQUAL(&a->at[i].care_of, care_of))
			return &a->at[i];
	return NULL;
}

const struct in6_addr *attach_ama(const struct attachment *at)
{
	if (!at || !at->router || !at->router->ra.home_agent || !at->router->ra.has_ama)
		return NULL;
	return &at->router->ra.ama;
}

const struct attachment *attach_find_ama(const struct attach *a, const struct in6_addr *ama)
{
	const struct in6_addr *there = attach_ama(a->selected);

	if (there && IN6_ARE_ADDR_EQUAL(there, ama))
		return a->selected;
	for (unsigned i = 0; i < a->n; i++) {
		there = a->at[i].usable_us ? attach_ama(&a->at[i]) : NULL;
		if (there && IN6_ARE_ADDR_EQUAL(there, ama))
			return &a->at[i];
	}
	return NULL;
}

static void solicit_from(struct attachment *at, uint64_t now_us)
{
	at->rs_sent = 0;
	at->rs_next_us = now_us;
}

void attach_link(struct attach *a, uint32_t ifindex, const char *name, int priority, bool carrier,
	uint32_t carrier_changes, uint64_t now_us)
{
	struct attachment *at = attach_find(a, ifindex);
	bool bounced;

	if (!at) {
		if (a->n == ATTACH_MAX) {
			a->ignored++;
			return;
		}
		at = &a->at[a->n++];
		memset(at, 0, sizeof(*at));
		at->ifindex = ifindex;
		at->rs_next_us = UINT64_MAX;
	}
	strncpy(at->name, name, sizeof(at->name) - 1);
	at->priority = priority;
	bounced = carrier && at->carrier && carrier_changes != at->carrier_changes;
	at->carrier_changes = carrier_changes;
	if (carrier == at->carrier && !bounced)
		return;
	at->carrier = carrier;
	if (carrier) {
		at->link_up_us = now_us;
		for (unsigned i = 0; i < at->n_routers; i++)
			at->routers[i].confirmed = false;
		solicit_from(at, now_us);
	} else {
		at->rs_next_us = UINT64_MAX;
		at->suspect_us = 0;
	}
}

void attach_link_gone(struct attach *a, uint32_t ifindex)
{
	struct attachment *at = attach_find(a, ifindex);
	uint32_t selected = a->selected ? a->selected->ifindex : 0;

	if (!at)
		return;
	*at = a->at[--a->n];
	/* pointers into the moved element are set anew */
	a->selected = NULL;
	for (unsigned i = 0; i < a->n; i++) {
		struct attachment *m = &a->at[i];

		if (m->router) {
			size_t off = (size_t)((const char *)m->router - (const char *)a->at) % sizeof(*m);

			m->router = (struct attach_router *)(void *)((char *)m + off);
		}
		if (m->ifindex == selected)
			a->selected = m;
	}
	if (!a->selected && selected)
		a->generation++;
}

void attach_address(
	struct attach *a, uint32_t ifindex, const struct in6_addr *address, bool present, bool usable, bool deprecated)
{
	struct attachment *at = attach_find(a, ifindex);
	unsigned i;

	if (!at || IN6_IS_ADDR_LINKLOCAL(address) || IN6_IS_ADDR_MULTICAST(address))
		return;
	for (i = 0; i < at->n_addresses; i++)
		if (IN6_ARE_ADDR_EQUAL(&at->addresses[i].address, address))
			break;
	if (!present) {
		if (i < at->n_addresses)
			at->addresses[i] = at->addresses[--at->n_addresses];
		return;
	}
	if (i == at->n_addresses) {
		if (i == ATTACH_ADDRS) {
			a->ignored++;
			return;
		}
		at->n_addresses++;
	}
	at->addresses[i] = (struct attach_address){*address, usable, deprecated};
}

void attach_forget_addresses(struct attach *a)
{
	for (unsigned i = 0; i < a->n; i++)
		a->at[i].n_addresses = 0;
}

static struct attach_router *router_find(struct attachment *at, const struct in6_addr *link_local)
{
	for (unsigned i = 0; i < at->n_routers; i++)
		if (IN6_ARE_ADDR_EQUAL(&at->routers[i].link_local, link_local))
			return &at->routers[i];
	return NULL;
}

static struct attach_router *router_room(struct attachment *at)
{
	struct attach_router *oldest = NULL;

	if (at->n_routers < ATTACH_ROUTERS)
		return &at->routers[at->n_routers++];
	for (unsigned i = 0; i < at->n_routers; i++) {
		struct attach_router *r = &at->routers[i];

		if (r != at->router && (!oldest || r->heard_us < oldest->heard_us))
			oldest = r;
	}
	return oldest;
}

void attach_advert(struct attach *a, uint32_t ifindex, const struct in6_addr *link_local,
	const struct router_advert *ra, uint64_t now_us)
{
	struct attachment *at = attach_find(a, ifindex);
	struct attach_router *r;

	if (!at || !at->carrier)
		return;
	r = router_find(at, link_local);
	if (ra->lifetime_s == 0) {
		if (r)
			r->confirmed = false;
		return;
	}
	if (!r) {
		r = router_room(at);
		memset(r, 0, sizeof(*r));
		r->link_local = *link_local;
	}
	if (!r->confirmed && at->router && at->router != r && at->router->confirmed && !at->suspect_us) {
		at->suspect_us = now_us;
		solicit_from(at, now_us);
	} else if (at->rs_next_us != UINT64_MAX && !at->suspect_us) {
		at->rs_next_us = UINT64_MAX;
	}
	r->ra = *ra;
	r->heard_us = now_us;
	r->confirmed = true;
}

void attach_doubt(struct attach *a, uint64_t now_us)
{
	a->generation++;
	for (unsigned i = 0; i < a->n; i++) {
		struct attachment *at = &a->at[i];

		for (unsigned j = 0; j < at->n_routers; j++)
			at->routers[j].confirmed = false;
		if (at->carrier)
			solicit_from(at, now_us);
	}
}

struct attachment *attach_solicit_due(struct attach *a, uint64_t now_us)
{
	for (unsigned i = 0; i < a->n; i++) {
		struct attachment *at = &a->at[i];

		if (!at->carrier || now_us < at->rs_next_us)
			continue;
		at->rs_next_us = at->rs_sent < sizeof(rs_pause_ms) / sizeof(rs_pause_ms[0])
			? now_us + rs_pause_ms[at->rs_sent] * MS
			: UINT64_MAX;
		at->rs_sent++;
		return at;
	}
	return NULL;
}

static void wake_at(uint64_t *wake_us, uint64_t at_us)
{
	if (at_us < *wake_us)
		*wake_us = at_us;
}

static struct attach_router *router_newest(struct attachment *at)
{
	struct attach_router *best = NULL;

	for (unsigned i = 0; i < at->n_routers; i++)
		if (at->routers[i].confirmed && (!best || at->routers[i].heard_us > best->heard_us))
			best = &at->routers[i];
	return best;
}

/* Which router is in use on this interface. */
static void router_choose(struct attachment *at, uint64_t now_us, uint64_t *wake_us)
{
	struct attach_router *r = at->router;

	if (r && r->confirmed) {
		uint64_t silent_us = 3 * r->ra.interval_ms * MS;
		uint64_t dead_us = r->heard_us + r->ra.lifetime_s * 1000 * MS;

		if (r->ra.interval_ms) {
			uint64_t ask_us = r->heard_us + (silent_us > SILENT_MIN_US ? silent_us : SILENT_MIN_US);

			if (now_us >= ask_us && at->rs_next_us == UINT64_MAX && r->heard_us + 1 != at->suspect_us) {
				solicit_from(at, now_us);
				at->suspect_us = r->heard_us + 1; /* asked once for this silence */
			}
			wake_at(wake_us, now_us < ask_us ? ask_us : ask_us + SILENT_ASK_US);
			if (ask_us + SILENT_ASK_US < dead_us)
				dead_us = ask_us + SILENT_ASK_US;
		}
		if (at->suspect_us) {
			if (r->heard_us > at->suspect_us)
				at->suspect_us = 0;
			else if (router_newest(at) != r && now_us >= at->suspect_us + SUSPECT_US)
				dead_us = now_us;
			else if (now_us < at->suspect_us + SUSPECT_US)
				wake_at(wake_us, at->suspect_us + SUSPECT_US);
		}
		wake_at(wake_us, dead_us);
		if (now_us >= dead_us)
			r->confirmed = false;
	}
	if (!r || !r->confirmed) {
		at->router = router_newest(at);
		if (at->router)
			at->suspect_us = 0;
		if (at->router && (at->router != r || !at->heard_us))
			at->heard_us = now_us;
	}
}

/* An address in one of its prefixes. One with neither flag only names the AMA (RFC 6275 7.2), which may have its
 * address on another link: what the node has from there is not reached here. */
static bool is_of_router(const struct router_advert *ra, const struct in6_addr *address)
{
	for (unsigned i = 0; i < ra->n_prefix; i++)
		if ((ra->prefix[i].on_link || ra->prefix[i].autonomous) &&
			prefix6_contains(&ra->prefix[i].prefix, address))
			return true;
	return false;
}

static const struct attach_address *address_choose(const struct attachment *at)
{
	const struct attach_address *best = NULL;

	for (unsigned i = 0; i < at->n_addresses; i++) {
		const struct attach_address *x = &at->addresses[i];

		if (!x->usable || !is_of_router(&at->router->ra, &x->address))
			continue;
		if (IN6_ARE_ADDR_EQUAL(&x->address, &at->care_of) && !x->deprecated)
			return x;
		if (!best || (best->deprecated && !x->deprecated))
			best = x;
	}
	return best;
}

bool attach_step(struct attach *a, uint64_t now_us, uint64_t *ret_wake_us)
{
	struct attachment *old = a->selected, *best = NULL;
	uint32_t old_generation = a->generation;
	bool changed = false;
	uint64_t wake_us = UINT64_MAX;

	for (unsigned i = 0; i < a->n; i++) {
		struct attachment *at = &a->at[i];
		const struct attach_router *router = at->router;
		const struct attach_address *x = NULL;
		uint64_t usable_us = at->usable_us;

		if (at->carrier)
			router_choose(at, now_us, &wake_us);
		if (at->carrier && at->router && at->router->confirmed)
			x = address_choose(at);
		if (!x) {
			at->usable_us = 0;
			if (!at->carrier || !at->router || !at->router->confirmed)
				at->heard_us = 0;
		} else if (!at->usable_us || router != at->router || !IN6_ARE_ADDR_EQUAL(&at->care_of, &x->address)) {
			at->care_of = x->address;
			at->usable_us = now_us;
		}
		if (at == old && at->usable_us != usable_us)
			changed = true;
		if (at->usable_us &&
			(!best || at->priority > best->priority ||
				(at->priority == best->priority && at->usable_us > best->usable_us)))
			best = at;
		if (at->carrier)
			wake_at(&wake_us, at->rs_next_us);
	}
	a->selected = best;
	changed |= best != old;
	if (changed)
		a->generation++;
	*ret_wake_us = wake_us;
	return a->generation != old_generation;
}
