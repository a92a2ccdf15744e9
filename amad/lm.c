/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lm.c - the binding cache */
#include "lm.h"

#include <stdlib.h>
#include <string.h>

struct lm {
	struct binding *bindings;
	struct wheel wheel;
};

struct lm *lm_new(uint64_t now_us)
{
	struct lm *lm = calloc(1, sizeof(*lm));

	if (lm)
		wheel_start(&lm->wheel, now_us);
	return lm;
}

void lm_free(struct lm *lm)
{
	struct binding *b, *tmp;

	if (!lm)
		return;
	HASH_ITER(hh, lm->bindings, b, tmp)
	{
		HASH_DEL(lm->bindings, b);
		free(b);
	}
	free(lm);
}

struct binding *lm_find(const struct lm *lm, const struct prefix6 *prefix)
{
	struct binding *b;

	HASH_FIND(hh, lm->bindings, &prefix->addr, 8, b);
	return b;
}

struct binding *lm_get(struct lm *lm, const struct prefix6 *prefix)
{
	struct binding *b = lm_find(lm, prefix);

	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->prefix = *prefix;
	HASH_ADD(hh, lm->bindings, prefix.addr, 8, b);
	return b;
}

void lm_set_until(struct lm *lm, struct binding *b, uint64_t until_us)
{
	b->until_us = until_us;
	wheel_set(&lm->wheel, &b->expiry, until_us);
}

void lm_delete(struct lm *lm, struct binding *b)
{
	wheel_drop(&lm->wheel, &b->expiry);
	HASH_DEL(lm->bindings, b);
	free(b);
}

struct binding *lm_expired(struct lm *lm, uint64_t now_us)
{
	return (struct binding *)(void *)wheel_due(&lm->wheel, now_us);
}

bool lm_sequence_ok(uint16_t last, uint16_t sequence)
{
	return (int16_t)(uint16_t)(sequence - last) > 0;
}

size_t lm_count(const struct lm *lm)
{
	return HASH_COUNT(lm->bindings);
}

void lm_each(const struct lm *lm, void (*cb)(void *ctx, struct binding *b), void *ctx)
{
	struct binding *b, *tmp;

	HASH_ITER(hh, lm->bindings, b, tmp)
	{
		cb(ctx, b);
	}
}
