/* SPDX-License-Identifier: GPL-2.0-or-later */
/* anchoring.h - anchoring: leases a home network prefix, a /64, to a mobile node (ARCHITECTURE, "Life of a home
 * address"); pure */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prefix6.h"
#include "table.h"
#include "wheel.h"

#define ANCHORING_POOLS 32

/* A lease. Owned by anchoring; others hold it for one callback only. */
struct lease {
	struct wheel_entry expiry; /* first: the wheel hands this out */
	struct table_entry by_prefix, by_key;
	struct lease *next_of_key;  /* further leases of the same node */
	uint8_t key[32];	    /* static public key of the node: only it may move the binding */
	struct in6_addr link_local; /* with ifindex: where to route to */
	uint8_t link_layer[6];	    /* of the node on that link, or zero */
	uint8_t domain;		    /* of the node: the owner's number, 0xff at first */
	struct prefix6 prefix;	    /* HNP, /64 */
	bool has_sequence;
	bool revoked;	   /* it ends when the node has been told */
	uint16_t sequence; /* last accepted, with has_sequence */
	/* the node's number of the request that it was given for, 0 = none; not kept over a restart */
	uint16_t wish;
	uint32_t ifindex; /* the node is on this link, 0 = it is not */
	char node[];	  /* its name */
};

/* Its end, on a whole second. */
static inline uint64_t lease_until_us(const struct lease *l)
{
	return l->expiry.at_s * 1000000;
}

struct anchoring;

struct anchoring *anchoring_new(uint64_t now_us); /* NULL = no memory */
void anchoring_free(struct anchoring *a);

/* Add a pool; prefixes of at most 64 bits. -EINVAL, -ENOSPC, or -EEXIST when it overlaps another. */
int anchoring_add_pool(struct anchoring *a, const struct prefix6 *pool);
/* Is this prefix, or the prefix around this address, ours to lease? */
bool anchoring_covers(const struct anchoring *a, const struct in6_addr *address);
/* All pools, a's; returns how many. */
unsigned anchoring_pools(const struct anchoring *a, const struct prefix6 **ret);

/* Lease a free prefix to the node with this key: the one it had before if nobody else has it now. Returns 0, -ENOSPC
 * when the pool is full or the node has max leases, -ENOMEM. */
int anchoring_allocate(struct anchoring *a, const uint8_t key[32], const char *node, unsigned max, uint64_t until_us,
	struct lease **ret);
/* Put a lease back that was stored. 0, -EEXIST, -ENOMEM; -ENOENT if no pool covers it. */
int anchoring_restore(struct anchoring *a, const struct prefix6 *prefix, const uint8_t key[32], const char *node,
	uint64_t until_us, struct lease **ret);
/* It ends at until_us, rounded up to a second. */
void anchoring_renew(struct anchoring *a, struct lease *l, uint64_t until_us);
/* End a lease; its prefix is not leased to another node before free_us, nor to the same one if it was revoked. */
void anchoring_release(struct anchoring *a, struct lease *l, uint64_t free_us);
/* A prefix that was leased to the node with this key rests until free_us (from the store). 0, -EEXIST, -ENOMEM; -ENOENT
 * if no pool covers it. */
int anchoring_rest(struct anchoring *a, const struct prefix6 *prefix, const uint8_t key[32], uint64_t free_us);

struct lease *anchoring_find(const struct anchoring *a, const struct prefix6 *prefix);
/* The first lease of a node, or NULL; the others hang on next_of_key. */
struct lease *anchoring_find_key(const struct anchoring *a, const uint8_t key[32]);
/* A lease that has run out at now_us, or NULL; the caller releases it. Call until NULL. */
struct lease *anchoring_expired(struct anchoring *a, uint64_t now_us);
/* Let a prefix whose time is over out of quarantine; false when there is none (more). Call until false. */
bool anchoring_aged(struct anchoring *a, uint64_t now_us, struct prefix6 *ret);

size_t anchoring_count(const struct anchoring *a);
void anchoring_each(const struct anchoring *a, void (*cb)(void *ctx, struct lease *l), void *ctx);
