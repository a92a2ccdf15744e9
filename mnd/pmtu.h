/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pmtu.h - path MTU search of one tunnel, in the manner of RFC 8899 (pure)
 *
 * Sizes are of whole IPv6 packets on the path, in bytes: outer header included. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PMTU_BASE   1280u /* every IPv6 path carries this (RFC 8200 5) */
#define PMTU_TUNNEL 40u	  /* IPv6-in-IPv6 without encapsulation limit (RFC 2473 6.4) */

enum pmtu_state {
	PMTU_OFF,
	PMTU_CONFIRM, /* asking whether the largest size passes */
	PMTU_SEARCH,  /* it does not: a black hole; between low and high */
	PMTU_DONE,
};

#define PMTU_SIZES 5u /* asked about at once */

struct pmtu {
	enum pmtu_state state;
	uint16_t low, high;	       /* low passes; above high nothing does */
	uint16_t sizes[PMTU_SIZES];    /* of this round, ascending; one in PMTU_CONFIRM */
	unsigned n, next, tries;       /* how many, which is to be sent next, how often they were asked about */
	uint16_t size;		       /* of the probe to send */
	uint32_t id;		       /* of the probe to send, counted over the whole life */
	uint32_t first_id;	       /* of this round */
	uint16_t sent[2 * PMTU_SIZES]; /* sizes of its probes, by id */
	unsigned n_sent;
	uint64_t next_us;
	uint32_t wait_us; /* how long an answer may take */
};

/* Begin anew on a path whose first link takes packets of mtu bytes; rtt_us = measured round trip, 0 = unknown. */
void pmtu_start(struct pmtu *p, uint16_t mtu, uint32_t rtt_us, uint64_t now_us);
void pmtu_stop(struct pmtu *p);

/* Time passed. Returns true when a probe of p->size with p->id has to be sent now.
 *   ret_wake_us  when to call again, UINT64_MAX = never
 *   ret_changed  pmtu_inner_mtu() is another than before */
bool pmtu_step(struct pmtu *p, uint64_t now_us, uint64_t *ret_wake_us, bool *ret_changed);

/* The probe id came back. Returns true when pmtu_inner_mtu() is another than before. */
bool pmtu_answered(struct pmtu *p, uint32_t id, uint64_t now_us);

/* The largest inner packet that should enter the tunnel, 0 = nothing known against the link's own. Never below 1280:
 * smaller paths are the outer header's fragmentation (RFC 2473 7.1). */
uint16_t pmtu_inner_mtu(const struct pmtu *p);
