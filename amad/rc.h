/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rc.h - routing control: turns leases and bindings into forwarding state (ARCHITECTURE, "Kernel state");
 * pure */
#pragma once

#include <stdint.h>

#include "anchoring.h"
#include "fwd.h"
#include "lm.h"
#include "mr.h"

#define RC_MAIN_TABLE 254
#define RC_METRIC     1024

/* The pool's own route: what is not leased, or whose node is nowhere, is unreachable and does not loop. */
void rc_want_pool(struct fwd_set *set, const struct prefix6 *pool);

/* The node is on this link: HNP via its link-local address. cookie as in fwd_want. */
int rc_native(struct fwd_set *set, const struct lease *l, uint64_t cookie);

/* The binding moved to (or came into being at) new outer addresses, which are set in b. Takes and gives back references
 * to locators. The kernel's answer may come in two parts, for the nexthop and for the route: it was taken only if both
 * were. Returns 0, or -ENOMEM with b as it was or bound by half: rc_unbind ends it. */
int rc_bind(struct fwd_set *set, struct mr *mr, struct binding *b, const struct in6_addr *care_of,
	const struct in6_addr *self, uint32_t tunnel, uint64_t cookie);

/* All that is behind this locator is behind care_of now: one replacement of its nexthop. False, nothing done: there is
 * a locator for that already, or no memory. */
bool rc_move_locator(
	struct fwd_set *set, struct mr *mr, struct locator *l, const struct in6_addr *care_of, uint32_t tunnel);

/* The binding ends: b gives its locator back. native: rc_native follows and takes the route over; else the
 * route goes. */
void rc_unbind(struct fwd_set *set, struct mr *mr, struct binding *b, bool native, uint64_t cookie);

/* The tunnel device is another one (it was deleted and made again): the locator's nexthop has to name it. */
void rc_retunnel(struct fwd_set *set, const struct locator *l, uint32_t tunnel);

/* The lease ends or its node left the link without a binding: no route. */
void rc_withdraw(struct fwd_set *set, const struct prefix6 *prefix, uint64_t cookie);

/* --- a serving AMA: prefixes of others, whose nodes are on our links --- */

#define RC_VISITING_TABLE 7790 /* by source: which anchor packets of a prefix go to */
#define RC_VISITING_RULE  1077 /* "iif ACCESS lookup 7790"; one an access interface, none a prefix */
#define RC_EARLY_TABLE	  7791 /* where to deliver what an anchor sends ahead of its word */
#define RC_EARLY_RULE	  1076 /* "fwmark RC_EARLY_MARK lookup 7791" */
#define RC_EARLY_MARK	  0x6e000000

/* Packets from nodes on this interface look at the table first. */
void rc_want_access(struct fwd_set *set, const char *ifname, bool want);
/* What the source check marks as early looks at its table first. */
void rc_want_early(struct fwd_set *set, bool want);
/* The node has asked to be served here, and its anchor has not said yes yet. What the anchor already sends for the HNP
 * through the tunnel (the source check marks it) goes to the node; nothing else does. Returns 0 or -ENOMEM. */
int rc_expect(struct fwd_set *set, const struct prefix6 *hnp, uint32_t ifindex, const struct in6_addr *link_local);
/* The same when the node is behind another AMA. *forward as in rc_forward; after rc_expect_end, rc_stop_forwarding
 * gives it back. */
int rc_expect_through(struct fwd_set *set, struct mr *mr, const struct prefix6 *hnp, const struct in6_addr *through,
	const struct in6_addr *self, uint32_t tunnel, struct locator **forward);
void rc_expect_end(struct fwd_set *set, const struct prefix6 *hnp);
/* HNP via the node's link-local address, and from the HNP into the tunnel to its anchor. (Linux has no source-specific
 * routes by nexthop object: each carries its encapsulation.) Returns 0 or -ENOMEM. */
int rc_visit(struct fwd_set *set, const struct prefix6 *hnp, uint32_t ifindex, const struct in6_addr *link_local,
	const struct in6_addr *anchor, const struct in6_addr *self, uint32_t tunnel);
/* The same when the node is behind another AMA: the way up alone; rc_forward is the way down. */
int rc_upstream(struct fwd_set *set, const struct prefix6 *hnp, const struct in6_addr *anchor,
	const struct in6_addr *self, uint32_t tunnel);
/* The kernel's word on what rc_visit and rc_forward want comes with this cookie. */
#define RC_VISIT_COOKIE UINT64_MAX
/* The node has left: its packets that still arrive go to care_of. *forward: the locator, NULL at first; the reference
 * is the caller's until rc_leave or rc_stop_forwarding, after which rc_visit takes the route back. */
int rc_forward(struct fwd_set *set, struct mr *mr, const struct prefix6 *hnp, const struct in6_addr *care_of,
	const struct in6_addr *self, uint32_t tunnel, struct locator **forward);
void rc_stop_forwarding(struct fwd_set *set, struct mr *mr, struct locator **forward);
/* It is over; gives the reference back (forward may be NULL). */
void rc_leave(struct fwd_set *set, struct mr *mr, const struct prefix6 *hnp, struct locator *forward);
