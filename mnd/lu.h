/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lu.h - location updates: one entry of the binding update list (RFC 6275 11.1, 11.7, 11.8), pure */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "prefix6.h"

struct wcur;

/* What a location update says; ARCHITECTURE.md, "The Binding Update, host form". */
enum lu_kind {
	LU_NONE,
	LU_ATTACH,  /* on the anchor's link: lease, native route, no binding */
	LU_BIND,    /* at a care-of address: binding and tunnel */
	LU_RELEASE, /* take the lease back */
};
const char *lu_kind_name(enum lu_kind kind);

/* One outstanding update. Owned by its home address; kind LU_NONE = nothing outstanding. */
struct binding_update {
	enum lu_kind kind;
	struct prefix6 prefix;	    /* HNP; ::/64 = please allocate */
	struct in6_addr care_of;    /* Alternate CoA of a bind: ours, that of the AMA, or that of the regional AMA */
	struct in6_addr link_local; /* with attach */
	uint8_t link_layer[6];	    /* with attach; zero = the link has none */
	uint32_t lifetime_s;	    /* binding lifetime to ask for, multiple of 4 */
	uint32_t lease_s;	    /* lease to ask for, 0 with LU_BIND = leave it alone */
	/* with attach and no prefix yet: another one than the node has there, by this number; 0 = any */
	uint16_t wish;
	uint16_t tunnel_mtu;	  /* 0 = not measured */
	bool proxied;		  /* sealed, through the AMA that we are with (pLU) */
	struct in6_addr regional; /* with proxied: and through this one, whose address is care_of; :: = none */
	bool local;		  /* to the regional AMA alone (RFC 5380): the anchor knows that we are behind it */
	bool first;		  /* no lease yet: InitialBindackTimeoutFirstReg */
	uint16_t sequence;	  /* of the transmission that is out */
	unsigned tries;
	uint64_t begun_us; /* first transmission */
	uint64_t sent_us;  /* last transmission */
	uint64_t next_us;  /* when the next one is due */
};

/* When to send. The first transmission is due at once; then after 1 s (1.5 s if first), doubling to 32 s, for ever
 * (RFC 6275 11.8, 12). Returns true when one is due at now_us: the caller sends and calls lu_sent. */
bool lu_is_due(const struct binding_update *bu, uint64_t now_us);
/* It was sent with this sequence number, which is higher than that of any earlier transmission (RFC 6275 11.8). */
void lu_sent(struct binding_update *bu, uint16_t sequence, uint64_t now_us);

/* Write the update as one mobility header message of at most LU_MAX_LEN bytes; failure shows in the cursor. */
#define LU_MAX_LEN 128
void lu_write(const struct binding_update *bu, uint16_t sequence, struct wcur *w);
