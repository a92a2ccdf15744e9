/* SPDX-License-Identifier: GPL-2.0-or-later */
/* table.c - hash table of objects that carry their own link */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 16
#define LOAD  4 /* objects a bucket before it grows */

void table_init(struct table *t, table_hash_cb *hash, const void *ctx)
{
	*t = (struct table){.hash = hash, .ctx = ctx};
}

void table_done(struct table *t)
{
	free(t->bucket);
	t->bucket = NULL;
	t->mask = t->n = 0;
}

static int resize(struct table *t, uint32_t buckets)
{
	struct table_entry **bucket = calloc(buckets, sizeof(struct table_entry *)), *e, *tmp;

	if (!bucket)
		return -ENOMEM;
	TABLE_EACH(t, e, tmp) {
		struct table_entry **to = &bucket[t->hash(t->ctx, e) & (buckets - 1)];

		e->next = *to;
		*to = e;
	}
	free(t->bucket);
	t->bucket = bucket;
	t->mask = buckets - 1;
	return 0;
}

int table_add(struct table *t, struct table_entry *e)
{
	struct table_entry **to;

	if (!t->bucket && resize(t, LEAST) < 0)
		return -ENOMEM;
	if (t->n >= LOAD * ((uint64_t)t->mask + 1) && t->mask < UINT32_MAX / 2)
		(void)resize(t, 2 * (t->mask + 1));
	to = &t->bucket[t->hash(t->ctx, e) & t->mask];
	e->next = *to;
	*to = e;
	t->n++;
	return 0;
}

void table_remove(struct table *t, struct table_entry *e)
{
	struct table_entry **at = &t->bucket[t->hash(t->ctx, e) & t->mask];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	t->n--;
}

uint64_t table_hash_bytes(const void *p, size_t len)
{
	const uint8_t *b = p;
	uint64_t h = len * 0x9e3779b97f4a7c15ULL;

	while (len > 0) {
		size_t n = len < 8 ? len : 8;
		uint64_t v = 0;

		memcpy(&v, b, n);
		h = (h ^ v) * 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
		b += n;
		len -= n;
	}
	return h * 0xc4ceb9fe1a85ec53ULL >> 32; /* each of these bits depends on all of h */
}
