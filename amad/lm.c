/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lm.c - the binding cache */
#include "lm.h"

#include <stdlib.h>
#include <string.h>

struct lm {
	struct table bindings;
	struct wheel wheel;
};

#define BINDING(e) TABLE_OBJECT(e, struct binding, in_table)

static uint64_t hash(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&BINDING(e)->prefix.addr, 8);
}

struct lm *lm_new(uint64_t now_us)
{
	struct lm *lm = calloc(1, sizeof(*lm));

	if (!lm)
		return NULL;
	table_init(&lm->bindings, hash, NULL);
	wheel_start(&lm->wheel, now_us);
	return lm;
}

void lm_free(struct lm *lm)
{
	struct table_entry *e, *tmp;

	if (!lm)
		return;
	TABLE_EACH(&lm->bindings, e, tmp) {
		free(BINDING(e));
	}
	table_done(&lm->bindings);
	free(lm);
}

struct binding *lm_find(const struct lm *lm, const struct prefix6 *prefix)
{
	struct table_entry *e = table_first(&lm->bindings, table_hash_bytes(&prefix->addr, 8));

	while (e && memcmp(&BINDING(e)->prefix.addr, &prefix->addr, 8) != 0)
		e = e->next;
	return e ? BINDING(e) : NULL;
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
	if (table_add(&lm->bindings, &b->in_table) < 0) {
		free(b);
		return NULL;
	}
	return b;
}

void lm_set_until(struct lm *lm, struct binding *b, uint64_t until_us)
{
	wheel_set(&lm->wheel, &b->expiry, until_us);
}

void lm_delete(struct lm *lm, struct binding *b)
{
	wheel_drop(&lm->wheel, &b->expiry);
	table_remove(&lm->bindings, &b->in_table);
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
	return lm->bindings.n;
}

void lm_each(const struct lm *lm, void (*cb)(void *ctx, struct binding *b), void *ctx)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&lm->bindings, e, tmp) {
		cb(ctx, BINDING(e));
	}
}
