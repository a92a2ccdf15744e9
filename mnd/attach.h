/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attach.h - attachments: which routers are heard on which interface, which care-of address and AMA that gives (pure)
 *
 * Fed with what the kernel and router advertisements say; answers which attachment the node uses. Owned by mnd. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "ra.h"

#define ATTACH_MAX     16 /* interfaces; more are ignored and counted */
#define ATTACH_ROUTERS 4  /* routers an interface: the one heard longest ago makes room */
#define ATTACH_ADDRS   16 /* global addresses an interface */

struct attach_router {
	struct in6_addr link_local;
	struct router_advert ra;
	uint64_t heard_us; /* last advertisement */
	bool confirmed;	   /* heard since the link came up or the machine woke */
};

struct attach_address {
	struct in6_addr address;
	bool usable; /* may be a source now: not tentative (or optimistic), not duplicated */
	bool deprecated;
};

struct attachment {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	uint8_t link_layer[6];	  /* of Ethernet, else zero; the caller of attach_link sets it */
	int priority;		  /* greater wins; among equals the newest */
	bool carrier;		  /* up and a carrier is there */
	uint32_t carrier_changes; /* the kernel's count: it went and came between two pieces of news if this jumps */
	uint64_t link_up_us;	  /* when the carrier came */
	uint64_t heard_us;	  /* when the present router was first heard since */
	uint64_t usable_us;	  /* since when care_of can be used, 0 = it cannot */
	struct in6_addr care_of;
	struct attach_router *router; /* the router in use, NULL = none; points into routers[] */
	unsigned n_routers;
	struct attach_router routers[ATTACH_ROUTERS];
	unsigned n_addresses;
	struct attach_address addresses[ATTACH_ADDRS];
	unsigned rs_sent;    /* solicitations since the link came up without an answer */
	uint64_t rs_next_us; /* when the next is due, UINT64_MAX = not */
	uint64_t suspect_us; /* an unknown router was heard: has the present one gone? 0 = no */
};

struct attach {
	unsigned n;
	struct attachment at[ATTACH_MAX];
	struct attachment *selected; /* NULL = no usable attachment; points into at[] */
	uint32_t generation;	     /* changes when the selected attachment is another link, or the same one anew */
	uint64_t ignored;	     /* interfaces and addresses for which there was no room */
};

/* An interface exists, or its state or priority changed. Going from no carrier to carrier makes all its routers
 * unconfirmed and a solicitation due at once. */
void attach_link(struct attach *a, uint32_t ifindex, const char *name, int priority, bool carrier,
	uint32_t carrier_changes, uint64_t now_us);
void attach_link_gone(struct attach *a, uint32_t ifindex);
/* A global address appeared, changed or (present = false) went. */
void attach_address(
	struct attach *a, uint32_t ifindex, const struct in6_addr *address, bool present, bool usable, bool deprecated);
/* An advertisement was heard. Router lifetime 0 takes the router out. */
void attach_advert(struct attach *a, uint32_t ifindex, const struct in6_addr *router, const struct router_advert *ra,
	uint64_t now_us);
/* The machine was suspended: nothing that was heard before is certain, as after a loss of carrier; solicitations are
 * due at once. */
void attach_doubt(struct attach *a, uint64_t now_us);
/* Forget addresses (before they are read anew after a netlink overrun). */
void attach_forget_addresses(struct attach *a);

/* Work out what is usable and selected now.
 *   ret_wake_us  when to call again at the latest, absolute
 * Returns true when the selected attachment or its care-of address, router or generation changed. */
bool attach_step(struct attach *a, uint64_t now_us, uint64_t *ret_wake_us);

/* The interface whose solicitation is due now, or NULL; counts it as sent. Call until NULL. */
struct attachment *attach_solicit_due(struct attach *a, uint64_t now_us);

/* The address of the AMA on this attachment's link, or NULL. */
const struct in6_addr *attach_ama(const struct attachment *at);

struct attachment *attach_find(struct attach *a, uint32_t ifindex);
/* The usable attachment that has this care-of address, or NULL. */
const struct attachment *attach_find_care_of(const struct attach *a, const struct in6_addr *care_of);
/* The usable attachment on the link of this AMA, the selected one first, or NULL. */
const struct attachment *attach_find_ama(const struct attach *a, const struct in6_addr *ama);
