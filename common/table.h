/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.h - hash table of objects that carry their own link: 8 bytes an object and 2 to 4 in the table (pure)
 *
 * Where there are many small objects this is what counts: uthash takes 56. The table finds the bucket, the owner
 * compares. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_entry {
	struct table_entry *next;
};

/* Of an object in the table; the same for the key it is searched by. */
typedef uint64_t table_hash_cb(const void *ctx, const struct table_entry *e);

struct table {
	struct table_entry **bucket;
	uint32_t mask, n; /* buckets less one; objects */
	table_hash_cb *hash;
	const void *ctx;
};

void table_init(struct table *t, table_hash_cb *hash, const void *ctx);
/* The objects are the owner's. */
void table_done(struct table *t);
/* 0, or -ENOMEM (only when the table is empty: else it stays as it is and gets slower). */
int table_add(struct table *t, struct table_entry *e);
void table_remove(struct table *t, struct table_entry *e); /* which is in it */

/* The first of those that may have this hash; go on with next. */
static inline struct table_entry *table_first(const struct table *t, uint64_t hash)
{
	return t->bucket ? t->bucket[hash & t->mask] : NULL;
}

/* Walk over all; e may be removed on the way, nothing may be added. tmp is another struct table_entry pointer. */
#define TABLE_EACH(t, e, tmp)                                                                                          \
	for (uint32_t i_each = 0; (t)->bucket && i_each <= (t)->mask; i_each++)                                        \
		for ((e) = (t)->bucket[i_each]; (e) && ((tmp) = (e)->next, true); (e) = (tmp))

/* The object around its link. */
#define TABLE_OBJECT(e, type, member) ((type *)(void *)((uint8_t *)(e)-offsetof(type, member)))

/* A hash of bytes, well mixed; not against somebody who chooses them. */
uint64_t table_hash_bytes(const void *p, size_t len);
