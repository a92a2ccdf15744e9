/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rc.h - routing control: what should be in the kernel now (ARCHITECTURE, "Kernel state"); pure */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "attach.h"
#include "fwd.h"
#include "homeaddr.h"

#define RC_RULE_PIN	1077 /* priority of "fwmark M lookup T" */
#define RC_RULE_HOME	1078 /* priority of "from HNP lookup T" */
#define RC_RULE_CARE_OF 1079 /* priority of "from CoA lookup A" */
#define RC_TABLE_HOME	7700 /* T = this + the home address's slot */
#define RC_TABLE_CARE	7800 /* A = this + ifindex */
/* of the default route in the main table: better than the kernel's, NetworkManager's and networkd's */
#define RC_METRIC 50

/* One home address and the path its packets take. */
struct rc_home {
	const struct home_address *home;
	unsigned slot;		/* of its table */
	struct in6_addr anchor; /* locator of its anchor */
	uint16_t mtu;		/* of the tunnel, 0 = the device's */
	uint32_t mark;		/* of the sockets pinned to it, 0 = none are */
	bool deprecated;	/* not of the present network: new sessions take another */
	bool through;		/* its anchor is being told through the AMA (pLU): no tunnel of our own meanwhile */
};

/* Say to set, between fwd_begin and fwd_end, what is wanted for the attachments and home addresses.
 *   tunnel        ifindex of mnd0
 *   default_route install the selected attachment's default route in the main table
 *   need_source   the kernel does not select home addresses by itself, or there is none: the default route says which
 */
void rc_want(struct fwd_set *set, const struct attach *attach, const struct rc_home *homes, unsigned n, uint32_t tunnel,
	bool default_route, bool need_source);

/* The attachment whose link is the path of this home address: for a native one its anchor's link, for a tunnelled one
 * that of the care-of address the anchor has acknowledged as long as it is usable (make before break), else the
 * selected one. A care-of address that is an AMA's (pLU) is reached natively on that AMA's link. NULL = none.
 * *ret_tunnel says whether packets are encapsulated there. */
const struct attachment *rc_path(
	const struct attach *attach, const struct home_address *h, const struct in6_addr *anchor, bool *ret_tunnel);
