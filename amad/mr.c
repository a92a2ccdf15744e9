/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mr.c - locators */
#include "mr.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#define ID_LEAST 0x40000000u /* a power of two, away from the small numbers people type */

struct key {
	struct in6_addr care_of, self;
};

struct locator {
	struct key key;
	uint32_t id, users;
	UT_hash_handle hh, hh_id;
};

struct mr {
	struct locator *by_key, *by_id;
};

struct mr *mr_new(void)
{
	return calloc(1, sizeof(struct mr));
}

void mr_free(struct mr *mr)
{
	struct locator *l, *tmp;

	if (!mr)
		return;
	HASH_CLEAR(hh_id, mr->by_id);
	HASH_ITER (hh, mr->by_key, l, tmp) {
		HASH_DEL(mr->by_key, l);
		free(l);
	}
	free(mr);
}

static struct locator *find(const struct mr *mr, const struct key *k)
{
	struct locator *l;

	HASH_FIND(hh, mr->by_key, k, sizeof(*k), l);
	return l;
}

static bool is_taken(const struct mr *mr, uint32_t id)
{
	struct locator *l;

	HASH_FIND(hh_id, mr->by_id, &id, sizeof(id), l);
	return l;
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
		HASH_ADD(hh, mr->by_key, key, sizeof(l->key), l);
		HASH_ADD(hh_id, mr->by_id, id, sizeof(l->id), l);
	}
	l->users++;
	return l;
}

bool mr_put(struct mr *mr, struct locator *l, uint32_t *ret_id)
{
	*ret_id = l->id;
	if (--l->users > 0)
		return false;
	HASH_DEL(mr->by_key, l);
	HASH_DELETE(hh_id, mr->by_id, l);
	free(l);
	return true;
}

bool mr_move(struct mr *mr, struct locator *l, const struct in6_addr *care_of, const struct in6_addr *self)
{
	struct key k = {*care_of, *self};

	if (l->users != 1 || find(mr, &k))
		return false;
	HASH_DEL(mr->by_key, l);
	l->key = k;
	HASH_ADD(hh, mr->by_key, key, sizeof(l->key), l);
	return true;
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
	return HASH_COUNT(mr->by_key);
}
