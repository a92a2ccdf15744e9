/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mr.c - locators */
#include "mr.h"

#include <stdlib.h>
#include <string.h>

#include "table.h"

#define ID_LEAST 0x40000000u /* a power of two, away from the small numbers people type */

struct key {
	struct in6_addr care_of, self;
};

struct locator {
	struct key key;
	uint32_t id, users;
	struct table_entry by_key, by_id;
};

struct mr {
	struct table by_key, by_id;
};

#define LOCATOR(e)    TABLE_OBJECT(e, struct locator, by_key)
#define ID_LOCATOR(e) TABLE_OBJECT(e, struct locator, by_id)

static uint64_t hash_key(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&LOCATOR(e)->key, sizeof(struct key));
}

static uint64_t hash_id(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&ID_LOCATOR(e)->id, sizeof(uint32_t));
}

struct mr *mr_new(void)
{
	struct mr *mr = calloc(1, sizeof(*mr));

	if (!mr)
		return NULL;
	table_init(&mr->by_key, hash_key, NULL);
	table_init(&mr->by_id, hash_id, NULL);
	return mr;
}

void mr_free(struct mr *mr)
{
	struct table_entry *e, *tmp;

	if (!mr)
		return;
	TABLE_EACH(&mr->by_key, e, tmp) {
		free(LOCATOR(e));
	}
	table_done(&mr->by_key);
	table_done(&mr->by_id);
	free(mr);
}

static struct locator *find(const struct mr *mr, const struct key *k)
{
	struct table_entry *e = table_first(&mr->by_key, table_hash_bytes(k, sizeof(*k)));

	while (e && memcmp(&LOCATOR(e)->key, k, sizeof(*k)) != 0)
		e = e->next;
	return e ? LOCATOR(e) : NULL;
}

static bool is_taken(const struct mr *mr, uint32_t id)
{
	struct table_entry *e = table_first(&mr->by_id, table_hash_bytes(&id, sizeof(id)));

	while (e && ID_LOCATOR(e)->id != id)
		e = e->next;
	return e;
}

/* The stored id, so that a restarted daemon finds its objects; else a hash of the outer addresses, for a store that was
 * lost. */
static uint32_t free_id(const struct mr *mr, const struct key *k, uint32_t hint)
{
	const uint8_t *p = (const uint8_t *)k;
	uint32_t h = 2166136261u, id;

	if (hint >= ID_LEAST && !is_taken(mr, hint))
		return hint;
	for (size_t i = 0; i < sizeof(*k); i++)
		h = (h ^ p[i]) * 16777619u;
	for (;; h++) {
		id = ID_LEAST | (h & (ID_LEAST - 1));
		if (!is_taken(mr, id))
			return id;
	}
}

struct locator *mr_get(
	struct mr *mr, const struct in6_addr *care_of, const struct in6_addr *self, uint32_t hint, bool *ret_new)
{
	struct key k = {*care_of, *self};
	struct locator *l = find(mr, &k);

	*ret_new = !l;
	if (!l) {
		l = calloc(1, sizeof(*l));
		if (!l)
			return NULL;
		l->key = k;
		l->id = free_id(mr, &k, hint);
		if (table_add(&mr->by_key, &l->by_key) < 0) {
			free(l);
			return NULL;
		}
		if (table_add(&mr->by_id, &l->by_id) < 0) {
			table_remove(&mr->by_key, &l->by_key);
			free(l);
			return NULL;
		}
	}
	l->users++;
	return l;
}

bool mr_put(struct mr *mr, struct locator *l, uint32_t *ret_id)
{
	*ret_id = l->id;
	if (--l->users > 0)
		return false;
	table_remove(&mr->by_key, &l->by_key);
	table_remove(&mr->by_id, &l->by_id);
	free(l);
	return true;
}

static bool move(struct mr *mr, struct locator *l, const struct in6_addr *care_of, const struct in6_addr *self)
{
	struct key k = {*care_of, *self};

	if (find(mr, &k))
		return false;
	table_remove(&mr->by_key, &l->by_key);
	l->key = k;
	(void)table_add(&mr->by_key, &l->by_key); /* cannot fail: the table has its buckets */
	return true;
}

bool mr_move(struct mr *mr, struct locator *l, const struct in6_addr *care_of, const struct in6_addr *self)
{
	return l->users == 1 && move(mr, l, care_of, self);
}

bool mr_move_all(struct mr *mr, struct locator *l, const struct in6_addr *care_of)
{
	return move(mr, l, care_of, mr_self(l));
}

uint32_t mr_users(const struct locator *l)
{
	return l->users;
}

uint32_t mr_id(const struct locator *l)
{
	return l->id;
}

const struct in6_addr *mr_care_of(const struct locator *l)
{
	return &l->key.care_of;
}

const struct in6_addr *mr_self(const struct locator *l)
{
	return &l->key.self;
}

size_t mr_count(const struct mr *mr)
{
	return mr->by_key.n;
}
