/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rc.h - routing control: turns leases and bindings into forwarding state (DESIGN 5; ARCHITECTURE, "Kernel state");
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

/* The binding ends: b gives its locator back. native: rc_native follows and takes the route over; else the route goes.
 */
void rc_unbind(struct fwd_set *set, struct mr *mr, struct binding *b, bool native, uint64_t cookie);

/* The tunnel device is another one (it was deleted and made again): the binding's nexthop has to name it. */
void rc_retunnel(struct fwd_set *set, const struct binding *b, uint32_t tunnel);

/* The lease ends or its node left the link without a binding: no route. */
void rc_withdraw(struct fwd_set *set, const struct prefix6 *prefix, uint64_t cookie);
