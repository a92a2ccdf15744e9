/* SPDX-License-Identifier: GPL-2.0-or-later */
/* srccheck.h - source check at decapsulation: a tc BPF program on the tunnel device's ingress
 *
 * A decapsulated packet passes only if its outer source is the locator bound to its inner source prefix (at an anchor),
 * or the anchor of its inner destination prefix (at a mobile node, and at the AMA that serves one). On access
 * interfaces a second program lets packets with a source in a node's prefix pass only from that node. Prefixes are
 * /64s. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "prefix6.h"

enum srccheck_mode { SRCCHECK_ANCHOR, SRCCHECK_NODE };

struct srccheck;

#define SRCCHECK_ERR 256

struct srccheck_counters {
	uint64_t passed, unbound, wrong_source, malformed;
	uint64_t wrong_node; /* on an access interface */
};

/* Load the program with room for max_entries prefixes. Returns 0, or -errno with a sentence in reterr. */
int srccheck_new(enum srccheck_mode mode, uint32_t max_entries, struct srccheck **ret, char *reterr);
/* Put it on the device, in place of one from an earlier run. */
int srccheck_attach(struct srccheck *s, uint32_t ifindex, char *reterr);
/* The program and its map go with the last reference: the device's filter keeps them, so that forwarding goes on
 * without the daemon. */
void srccheck_free(struct srccheck *s);

/* Allow outer source for a prefix; replaces. Takes effect at srccheck_flush, with all others of the turn in few system
 * calls. */
int srccheck_set(struct srccheck *s, const struct prefix6 *prefix, const struct in6_addr *outer);
void srccheck_delete(struct srccheck *s, const struct prefix6 *prefix);
/* The prefix is leaving this outer source (its binding moves or ends): what is still in the tunnel is let through for
 * SRCCHECK_LEAVE_MS more. Call beside srccheck_set or srccheck_delete. */
#define SRCCHECK_LEAVE_MS 3000
void srccheck_leave(struct srccheck *s, const struct prefix6 *prefix, const struct in6_addr *outer);
/* At an AMA: packets to this prefix, of a node that it serves, come from this anchor, and get this mark (0: none).
 * Replaces; takes effect at srccheck_flush, after which the routes that the mark leads to must be there, or, without a
 * mark, the others. */
#define SRCCHECK_VISITING_MAX 65536
void srccheck_visit(struct srccheck *s, const struct prefix6 *prefix, const struct in6_addr *anchor, uint32_t mark);
void srccheck_visit_end(struct srccheck *s, const struct prefix6 *prefix);
/* At an AMA: on access interfaces, packets from this prefix come in on this one, from this Ethernet address (all zero:
 * from any). Replaces, at once; what was allowed before stays so for SRCCHECK_LEAVE_MS. 0 or -errno. */
int srccheck_on_link(struct srccheck *s, const struct prefix6 *prefix, uint32_t ifindex, const uint8_t link_layer[6]);
void srccheck_off_link(struct srccheck *s, const struct prefix6 *prefix);
/* Put that program on an access interface, or take it off. It stays when the daemon ends. 0 or -errno; -ENODEV: it is
 * gone. */
int srccheck_attach_access(struct srccheck *s, uint32_t ifindex);
void srccheck_detach_access(struct srccheck *s, uint32_t ifindex);
/* Returns 0 or -errno. */
int srccheck_flush(struct srccheck *s);

/* At a node: note when the first packet comes out of a tunnel that ends at care_of, in place of what was waited for
 * before. */
void srccheck_await(struct srccheck *s, const struct in6_addr *care_of);
/* When that was: CLOCK_MONOTONIC in us; 0 = not yet, or another care-of address is waited for. */
uint64_t srccheck_first_us(const struct srccheck *s, const struct in6_addr *care_of);

int srccheck_counters(const struct srccheck *s, struct srccheck_counters *ret);
