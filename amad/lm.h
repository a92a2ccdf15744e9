/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lm.h - location management: the binding cache, home network prefix -> locator (RFC 6275 9.1); pure */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prefix6.h"
#include "table.h"
#include "wheel.h"

/* A binding cache entry. Owned by lm; others hold it for one callback only. The node and the sequence number are the
 * lease's. */
struct binding {
	struct wheel_entry expiry; /* first: the wheel hands this out */
	struct table_entry in_table;
	struct locator *locator; /* mr's: care-of address, and ours that the node speaks to; NULL until rc_bind */
	struct prefix6 prefix;	 /* HNP */
	bool proxied;		 /* the care-of address is that of an AMA, which told us (pLU) */
	uint16_t relay;		 /* which: the owner's number; 0 = none, or not known since a restart */
	uint16_t mtu;		 /* of the tunnel as measured by the node, 0 = the device's */
	uint32_t nexthop;	 /* id of the nexthop object, kept over a restart */
	uint32_t since_s;	 /* when it came to this locator, monotonic */
};

/* The end of its lifetime, on a whole second. */
static inline uint64_t binding_until_us(const struct binding *b)
{
	return b->expiry.at_s * 1000000;
}

struct lm;

struct lm *lm_new(uint64_t now_us); /* NULL = no memory */
void lm_free(struct lm *lm);

struct binding *lm_find(const struct lm *lm, const struct prefix6 *prefix);
/* Find or make the entry of a prefix; a new one has no locator. NULL = no memory. */
struct binding *lm_get(struct lm *lm, const struct prefix6 *prefix);
void lm_set_until(struct lm *lm, struct binding *b, uint64_t until_us);
void lm_delete(struct lm *lm, struct binding *b);
/* A binding whose lifetime is over at now_us, or NULL; the caller deletes it. Call until NULL. */
struct binding *lm_expired(struct lm *lm, uint64_t now_us);

/* RFC 6275 9.5.1: is this sequence number acceptable after last? Greater modulo 2^16. */
bool lm_sequence_ok(uint16_t last, uint16_t sequence);

size_t lm_count(const struct lm *lm);
void lm_each(const struct lm *lm, void (*cb)(void *ctx, struct binding *b), void *ctx);
