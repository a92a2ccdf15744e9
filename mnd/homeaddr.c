/* SPDX-License-Identifier: GPL-2.0-or-later */
/* homeaddr.c - life of one home address
 *
 * The machine is driven by levels. At each step it works out what its anchor should know (nothing, "on your link", "at
 * this care-of address", "take it back"), compares that with what the anchor acknowledged and with what is outstanding,
 * and asks for a location update only when the three differ. The state is a name for where these stand.
 *
 *   ALLOCATING -> NATIVE -> (moved, in use)  BINDING -> BOUND -> (last session ends) IDLE -> RELEASING -> RELEASED
 *                   ^    -> (moved, unused)  DEPRECATED ------------(grace over)----------------^
 *                   +---- RETURNING <- (any of them, back on the anchor's link)
 *
 * An address of an anchor that is being drained is released where it is native, too, once it is unused for the grace
 * time. An address that is not in use costs its anchor no message when the node moves (RFC 7333 REQ2). */
#include "homeaddr.h"

#include <string.h>

#define SEC 1000000ULL

/* RFC 6275 gives no figure for trying again after a refusal; MAX_BINDACK_TIMEOUT is the pace of "may continue". */
#define HOLD_REFUSED_US	     (32 * SEC)
#define HOLD_NO_RESOURCES_US (60 * SEC)

const char *homeaddr_state_name(enum homeaddr_state state)
{
	switch (state) {
	case HOMEADDR_ALLOCATING:
		return "allocating";
	case HOMEADDR_NATIVE:
		return "native";
	case HOMEADDR_RETURNING:
		return "returning";
	case HOMEADDR_DEPRECATED:
		return "deprecated";
	case HOMEADDR_BINDING:
		return "binding";
	case HOMEADDR_BOUND:
		return "bound";
	case HOMEADDR_IDLE:
		return "idle";
	case HOMEADDR_RELEASING:
		return "releasing";
	case HOMEADDR_RELEASED:
		return "released";
	}
	return "?";
}

const char *homeaddr_reason_name(enum homeaddr_reason reason)
{
	switch (reason) {
	case HOMEADDR_NEW:
		return "new network";
	case HOMEADDR_RESTARTED:
		return "daemon restarted";
	case HOMEADDR_LEASED:
		return "leased";
	case HOMEADDR_MOVED:
		return "moved";
	case HOMEADDR_CAME_BACK:
		return "came back";
	case HOMEADDR_ACKNOWLEDGED:
		return "acknowledged";
	case HOMEADDR_SESSION_BEGAN:
		return "session began";
	case HOMEADDR_SESSION_ENDED:
		return "last session ended";
	case HOMEADDR_BINDING_ENDED:
		return "binding expired";
	case HOMEADDR_GRACE_OVER:
		return "grace time over";
	case HOMEADDR_GIVEN_UP:
		return "given up";
	case HOMEADDR_REVOKED:
		return "revoked";
	case HOMEADDR_LEASE_ENDED:
		return "lease expired";
	case HOMEADDR_NEVER_LEASED:
		return "never leased";
	case HOMEADDR_REFUSED:
		return "refused";
	case HOMEADDR_NO_ANSWER:
		return "no answer";
	}
	return "?";
}

void homeaddr_init(struct home_address *h, const struct prefix6 *prefix, const struct in6_addr *address,
	uint64_t lease_until_us, uint64_t now_us)
{
	memset(h, 0, sizeof(*h));
	h->state = HOMEADDR_ALLOCATING;
	h->since_us = now_us;
	h->refresh_us = UINT64_MAX;
	if (prefix) {
		h->known = true;
		h->prefix = *prefix;
		h->address = *address;
		h->lease_until_us = lease_until_us;
		h->state = HOMEADDR_DEPRECATED;
		h->reason = HOMEADDR_RESTARTED;
	}
}

static void enter(struct home_address *h, enum homeaddr_state state, enum homeaddr_reason reason, uint64_t now_us)
{
	if (h->state == state)
		return;
	h->state = state;
	h->reason = reason;
	h->since_us = now_us;
}

/* What the anchor should know now. */
static enum lu_kind wanted(
	const struct home_address *h, const struct homeaddr_world *w, const struct homeaddr_policy *policy)
{
	if (!w->path)
		return LU_NONE;
	if (h->known && h->idle_since_us && w->now_us >= h->idle_since_us + policy->grace_us)
		return LU_RELEASE;
	if (w->at_home)
		return LU_ATTACH;
	return h->known && w->in_use ? LU_BIND : LU_NONE;
}

static bool is_confirmed(const struct home_address *h, enum lu_kind want, const struct homeaddr_world *w)
{
	if (want == LU_NONE)
		return true;
	if (h->confirmed != want || h->confirmed_generation != w->generation || w->now_us >= h->refresh_us)
		return false;
	return want != LU_BIND || IN6_ARE_ADDR_EQUAL(&h->confirmed_care_of, &w->care_of);
}

static bool is_asked(const struct home_address *h, enum lu_kind want, const struct homeaddr_world *w)
{
	return h->asked == want && h->asked_generation == w->generation &&
		(want != LU_BIND || IN6_ARE_ADDR_EQUAL(&h->asked_care_of, &w->care_of));
}

static enum homeaddr_state state_for(const struct home_address *h, enum lu_kind want, const struct homeaddr_world *w)
{
	if (!h->known)
		return HOMEADDR_ALLOCATING;
	if (want == LU_RELEASE)
		return HOMEADDR_RELEASING;
	if (w->at_home)
		return h->confirmed == LU_BIND || h->confirmed == LU_NONE ? HOMEADDR_RETURNING : HOMEADDR_NATIVE;
	if (!w->in_use)
		return h->confirmed == LU_BIND ? HOMEADDR_IDLE : HOMEADDR_DEPRECATED;
	if (h->confirmed == LU_BIND && IN6_ARE_ADDR_EQUAL(&h->confirmed_care_of, &w->care_of))
		return HOMEADDR_BOUND;
	return HOMEADDR_BINDING;
}

/* Why a step goes from h's state to another one. */
static enum homeaddr_reason reason_for(
	const struct home_address *h, enum homeaddr_state to, const struct homeaddr_world *w)
{
	/* the first step after a restart: what was true before is not known, and is no event of now */
	if (h->state == HOMEADDR_DEPRECATED && h->reason == HOMEADDR_RESTARTED && to != HOMEADDR_RELEASING)
		return HOMEADDR_RESTARTED;
	switch (to) {
	case HOMEADDR_ALLOCATING:
		return HOMEADDR_NEW;
	case HOMEADDR_NATIVE:
		if (h->state == HOMEADDR_ALLOCATING)
			return HOMEADDR_LEASED;
		if (h->state == HOMEADDR_RELEASING && w->in_use)
			return HOMEADDR_SESSION_BEGAN;
		return h->state == HOMEADDR_RETURNING ? HOMEADDR_ACKNOWLEDGED : HOMEADDR_CAME_BACK;
	case HOMEADDR_RETURNING:
		return HOMEADDR_CAME_BACK;
	case HOMEADDR_DEPRECATED:
		if (h->state == HOMEADDR_IDLE)
			return HOMEADDR_BINDING_ENDED;
		return h->state == HOMEADDR_BINDING ? HOMEADDR_SESSION_ENDED : HOMEADDR_MOVED;
	case HOMEADDR_BINDING:
		if (h->state == HOMEADDR_BOUND)
			return h->confirmed == LU_BIND ? HOMEADDR_MOVED : HOMEADDR_BINDING_ENDED;
		return h->state == HOMEADDR_DEPRECATED || h->state == HOMEADDR_IDLE || h->state == HOMEADDR_RELEASING
			? HOMEADDR_SESSION_BEGAN
			: HOMEADDR_MOVED;
	case HOMEADDR_BOUND:
		return h->state == HOMEADDR_BINDING && w->in_use ? HOMEADDR_ACKNOWLEDGED : HOMEADDR_SESSION_BEGAN;
	case HOMEADDR_IDLE:
		return HOMEADDR_SESSION_ENDED;
	case HOMEADDR_RELEASING:
		return w->unwanted ? HOMEADDR_GIVEN_UP : HOMEADDR_GRACE_OVER;
	case HOMEADDR_RELEASED:
		break; /* not by this way */
	}
	return HOMEADDR_NO_ANSWER;
}

static void wake_at(uint64_t *wake_us, uint64_t at_us)
{
	if (at_us < *wake_us)
		*wake_us = at_us;
}

enum homeaddr_action homeaddr_step(struct home_address *h, const struct homeaddr_world *w,
	const struct homeaddr_policy *policy, uint64_t *ret_wake_us)
{
	uint64_t wake_us = UINT64_MAX;
	enum homeaddr_action action = HOMEADDR_WAIT;
	enum lu_kind want;

	*ret_wake_us = UINT64_MAX;
	if (h->state == HOMEADDR_RELEASED)
		return HOMEADDR_WAIT;
	if (h->lease_until_us && w->now_us >= h->lease_until_us) {
		enter(h, HOMEADDR_RELEASED, HOMEADDR_LEASE_ENDED, w->now_us);
		return HOMEADDR_CANCEL;
	}
	if (h->confirmed == LU_BIND && w->now_us >= h->confirmed_until_us)
		h->confirmed = LU_NONE;

	if (w->path && !w->at_home && !h->known) {
		/* never got a prefix there, and has left: nothing to keep */
		enter(h, HOMEADDR_RELEASED, HOMEADDR_NEVER_LEASED, w->now_us);
		return HOMEADDR_CANCEL;
	}
	if (w->in_use || !w->path || (w->at_home && !w->unwanted))
		h->idle_since_us = 0;
	else if (!h->idle_since_us)
		h->idle_since_us = w->now_us;

	want = wanted(h, w, policy);
	if (w->path) {
		enum homeaddr_state to = state_for(h, want, w);

		enter(h, to, reason_for(h, to, w), w->now_us);
	}

	if (is_confirmed(h, want, w)) {
		if (h->asked != LU_NONE) {
			h->asked = LU_NONE;
			action = HOMEADDR_CANCEL;
		}
		if (want != LU_NONE)
			wake_at(&wake_us, h->refresh_us);
	} else if (is_asked(h, want, w)) {
		/* lu retransmits */
	} else if (w->now_us < h->hold_us && h->asked_generation == w->generation) {
		wake_at(&wake_us, h->hold_us);
	} else {
		h->asked = want;
		h->asked_care_of = w->care_of;
		h->asked_generation = w->generation;
		action = HOMEADDR_SEND;
	}
	if (h->idle_since_us && want != LU_RELEASE)
		wake_at(&wake_us, h->idle_since_us + policy->grace_us);
	if (h->lease_until_us)
		wake_at(&wake_us, h->lease_until_us);
	if (h->confirmed == LU_BIND)
		wake_at(&wake_us, h->confirmed_until_us);
	*ret_wake_us = wake_us;
	return action;
}

void homeaddr_acked(struct home_address *h, uint64_t sent_us, const struct prefix6 *prefix,
	const struct in6_addr *address, uint32_t lifetime_s, uint32_t refresh_s, uint32_t lease_s)
{
	enum lu_kind asked = h->asked;

	h->asked = LU_NONE;
	h->hold_us = 0;
	if (asked == LU_RELEASE) {
		h->confirmed = LU_NONE;
		enter(h, HOMEADDR_RELEASED, HOMEADDR_ACKNOWLEDGED, sent_us);
		return;
	}
	h->known = true;
	h->prefix = *prefix;
	h->address = *address;
	h->confirmed = asked;
	h->confirmed_care_of = h->asked_care_of;
	h->confirmed_generation = h->asked_generation;
	if (lease_s)
		h->lease_until_us = sent_us + lease_s * SEC;
	h->refresh_us = UINT64_MAX;
	if (asked == LU_BIND) {
		h->confirmed_until_us = sent_us + lifetime_s * SEC;
		/* RFC 6275 11.7.1: before it expires, or when the anchor advises; a quarter is left
		 * for retransmissions */
		h->refresh_us = sent_us + (refresh_s && refresh_s < lifetime_s ? refresh_s : lifetime_s * 3 / 4) * SEC;
	}
	if (h->lease_until_us > sent_us) {
		/* half of what is left, whoever granted it */
		uint64_t half_us = sent_us + (h->lease_until_us - sent_us) / 2;

		if (half_us < h->refresh_us)
			h->refresh_us = half_us;
	}
}

void homeaddr_revoked(struct home_address *h, uint64_t now_us)
{
	h->asked = LU_NONE;
	h->confirmed = LU_NONE;
	enter(h, HOMEADDR_RELEASED, HOMEADDR_REVOKED, now_us);
}

void homeaddr_refresh(struct home_address *h, uint64_t now_us)
{
	if (h->confirmed != LU_NONE)
		h->refresh_us = now_us;
}

void homeaddr_refused(struct home_address *h, uint8_t status, uint64_t now_us)
{
	h->asked = LU_NONE;
	switch (status) {
	case 133: /* not home agent for this mobile node: the lease is gone */
	case 155: /* not authorised for this prefix: it is somebody else's */
		h->confirmed = LU_NONE;
		enter(h, HOMEADDR_RELEASED, HOMEADDR_REFUSED, now_us);
		return;
	case 130:
		h->hold_us = now_us + HOLD_NO_RESOURCES_US;
		return;
	default:
		h->hold_us = now_us + HOLD_REFUSED_US;
	}
}

void homeaddr_unanswered(struct home_address *h, unsigned tries, const struct homeaddr_policy *policy)
{
	/* The lease runs out by itself; an anchor that cannot be reached is not worth more than this. */
	if (h->asked == LU_RELEASE && tries >= policy->release_try) {
		h->asked = LU_NONE;
		h->state = HOMEADDR_RELEASED;
		h->reason = HOMEADDR_NO_ANSWER;
	}
}

bool homeaddr_is_tunnelled(const struct home_address *h)
{
	switch (h->state) {
	case HOMEADDR_BINDING:
	case HOMEADDR_BOUND:
	case HOMEADDR_IDLE:
		return true;
	case HOMEADDR_ALLOCATING:
	case HOMEADDR_NATIVE:
	case HOMEADDR_RETURNING:
	case HOMEADDR_DEPRECATED:
	case HOMEADDR_RELEASING:
	case HOMEADDR_RELEASED:
		return false;
	}
	return false;
}

bool homeaddr_is_due(const struct home_address *h, uint64_t grace_us, uint64_t now_us)
{
	if (h->state == HOMEADDR_RELEASED)
		return false;
	if (h->confirmed == LU_BIND && h->asked == LU_NONE && now_us >= h->refresh_us && now_us >= h->hold_us)
		return true;
	return h->idle_since_us && now_us >= h->idle_since_us + grace_us && h->state != HOMEADDR_RELEASING;
}

bool homeaddr_is_unused(const struct home_address *h)
{
	return h->known && (h->state == HOMEADDR_DEPRECATED || h->state == HOMEADDR_IDLE);
}
