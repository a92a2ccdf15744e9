/* SPDX-License-Identifier: GPL-2.0-or-later */
/* anchoring.c - leases
 *
 * Each pool hands out its /64s in order, once; what comes back goes through quarantine into a queue and is taken from
 * there, oldest first. So finding a free prefix is O(1), and a prefix rests as long as possible before it is another
 * node's. Its last node finds it again while nobody else has it, quarantine or not. */
#include "anchoring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

struct resting {
	struct resting *prev, *next;
	struct table_entry by_prefix, by_key;
	struct prefix6 prefix;
	uint8_t key[32]; /* of the node that had it */
	bool is_free;	 /* in which of the two queues */
	bool is_nobodys; /* it was revoked: the key is zero */
	uint64_t free_us;
};

struct pool {
	struct prefix6 prefix;
	uint64_t first, count, next; /* upper 64 bits of the first /64; how many; how many were passed */
};

struct anchoring {
	struct pool pool[ANCHORING_POOLS];
	unsigned n_pools;
	struct table by_prefix, by_key; /* by_key: the first lease of each node */
	struct table resting_by_prefix, resting_by_key;
	struct resting *quarantine, *free; /* queues, oldest first; quarantine in order of time of release */
	struct wheel wheel;
};

static uint64_t upper(const struct in6_addr *a)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | a->s6_addr[i];
	return v;
}

static struct prefix6 prefix_of(uint64_t u)
{
	struct prefix6 p = {.len = 64};

	for (int i = 7; i >= 0; i--, u >>= 8)
		p.addr.s6_addr[i] = (uint8_t)u;
	return p;
}

#define LEASE(e)     TABLE_OBJECT(e, struct lease, by_prefix)
#define KEY_LEASE(e) TABLE_OBJECT(e, struct lease, by_key)

static uint64_t hash_prefix(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&LEASE(e)->prefix.addr, 8);
}

static uint64_t hash_key(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(KEY_LEASE(e)->key, 32);
}

static const uint8_t nobody[32];

#define RESTING(e)     TABLE_OBJECT(e, struct resting, by_prefix)
#define KEY_RESTING(e) TABLE_OBJECT(e, struct resting, by_key)

static uint64_t hash_resting_prefix(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&RESTING(e)->prefix.addr, 8);
}

static uint64_t hash_resting_key(const void *ctx, const struct table_entry *e)
{
	const struct resting *r = KEY_RESTING(e);

	(void)ctx;
	/* nobody gets those back, and they are not to be in one chain */
	return r->is_nobodys ? table_hash_bytes(&r->prefix.addr, 8) : table_hash_bytes(r->key, 32);
}

struct anchoring *anchoring_new(uint64_t now_us)
{
	struct anchoring *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	table_init(&a->by_prefix, hash_prefix, NULL);
	table_init(&a->by_key, hash_key, NULL);
	table_init(&a->resting_by_prefix, hash_resting_prefix, NULL);
	table_init(&a->resting_by_key, hash_resting_key, NULL);
	wheel_start(&a->wheel, now_us);
	return a;
}

void anchoring_free(struct anchoring *a)
{
	struct table_entry *e, *tmp;
	struct resting *r, *rtmp;

	if (!a)
		return;
	TABLE_EACH(&a->by_prefix, e, tmp) {
		free(LEASE(e));
	}
	table_done(&a->by_prefix);
	table_done(&a->by_key);
	table_done(&a->resting_by_prefix);
	table_done(&a->resting_by_key);
	DL_FOREACH_SAFE(a->quarantine, r, rtmp) {
		free(r);
	}
	DL_FOREACH_SAFE(a->free, r, rtmp) {
		free(r);
	}
	free(a);
}

int anchoring_add_pool(struct anchoring *a, const struct prefix6 *pool)
{
	struct pool *p;

	if (pool->len > 64 || pool->len < 1)
		return -EINVAL;
	if (a->n_pools == ANCHORING_POOLS)
		return -ENOSPC;
	for (unsigned i = 0; i < a->n_pools; i++)
		if (prefix6_covers(&a->pool[i].prefix, pool) || prefix6_covers(pool, &a->pool[i].prefix))
			return -EEXIST;
	p = &a->pool[a->n_pools++];
	p->prefix = *pool;
	p->first = upper(&pool->addr);
	p->count = 1ULL << (64 - pool->len);
	p->next = 0;
	return 0;
}

bool anchoring_covers(const struct anchoring *a, const struct in6_addr *address)
{
	for (unsigned i = 0; i < a->n_pools; i++)
		if (prefix6_contains(&a->pool[i].prefix, address))
			return true;
	return false;
}

unsigned anchoring_pools(const struct anchoring *a, const struct prefix6 **ret)
{
	static struct prefix6 list[ANCHORING_POOLS];

	for (unsigned i = 0; i < a->n_pools; i++)
		list[i] = a->pool[i].prefix;
	*ret = list;
	return a->n_pools;
}

struct lease *anchoring_find(const struct anchoring *a, const struct prefix6 *prefix)
{
	struct table_entry *e;

	if (prefix->len != 64)
		return NULL;
	e = table_first(&a->by_prefix, table_hash_bytes(&prefix->addr, 8));
	while (e && memcmp(&LEASE(e)->prefix.addr, &prefix->addr, 8) != 0)
		e = e->next;
	return e ? LEASE(e) : NULL;
}

struct lease *anchoring_find_key(const struct anchoring *a, const uint8_t key[32])
{
	struct table_entry *e = table_first(&a->by_key, table_hash_bytes(key, 32));

	while (e && memcmp(KEY_LEASE(e)->key, key, 32) != 0)
		e = e->next;
	return e ? KEY_LEASE(e) : NULL;
}

static int lease_new(struct anchoring *a, const struct prefix6 *prefix, const uint8_t key[32], const char *node,
	uint64_t until_us, struct lease **ret)
{
	struct lease *l = calloc(1, offsetof(struct lease, node) + strlen(node) + 1),
		     *first = anchoring_find_key(a, key);

	if (!l)
		return -ENOMEM;
	l->prefix = *prefix;
	memcpy(l->key, key, 32);
	l->domain = 0xff;
	memcpy(l->node, node, strlen(node) + 1);
	if (!first && table_add(&a->by_key, &l->by_key) < 0) {
		free(l);
		return -ENOMEM;
	}
	if (table_add(&a->by_prefix, &l->by_prefix) < 0) {
		if (!first)
			table_remove(&a->by_key, &l->by_key);
		free(l);
		return -ENOMEM;
	}
	if (first) {
		l->next_of_key = first->next_of_key;
		first->next_of_key = l;
	}
	anchoring_renew(a, l, until_us);
	*ret = l;
	return 0;
}

/* --- what nobody has now --------------------------------------------------------------------------------------- */

static struct resting *resting_find(const struct anchoring *a, const struct prefix6 *prefix)
{
	struct table_entry *e = table_first(&a->resting_by_prefix, table_hash_bytes(&prefix->addr, 8));

	while (e && memcmp(&RESTING(e)->prefix.addr, &prefix->addr, 8) != 0)
		e = e->next;
	return e ? RESTING(e) : NULL;
}

static struct resting *resting_find_key(const struct anchoring *a, const uint8_t key[32])
{
	struct table_entry *e = table_first(&a->resting_by_key, table_hash_bytes(key, 32));

	while (e && memcmp(KEY_RESTING(e)->key, key, 32) != 0)
		e = e->next;
	return e ? KEY_RESTING(e) : NULL;
}

static void resting_end(struct anchoring *a, struct resting *r)
{
	if (r->is_free)
		DL_DELETE(a->free, r);
	else
		DL_DELETE(a->quarantine, r);
	table_remove(&a->resting_by_prefix, &r->by_prefix);
	table_remove(&a->resting_by_key, &r->by_key);
	free(r);
}

int anchoring_rest(struct anchoring *a, const struct prefix6 *prefix, const uint8_t key[32], uint64_t free_us)
{
	struct resting *r, *at;

	if (!anchoring_covers(a, &prefix->addr))
		return -ENOENT;
	if (anchoring_find(a, prefix) || resting_find(a, prefix))
		return -EEXIST;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->prefix = *prefix;
	memcpy(r->key, key, 32);
	r->is_nobodys = !memcmp(key, nobody, 32);
	r->free_us = free_us;
	if (table_add(&a->resting_by_prefix, &r->by_prefix) < 0) {
		free(r);
		return -ENOMEM;
	}
	if (table_add(&a->resting_by_key, &r->by_key) < 0) {
		table_remove(&a->resting_by_prefix, &r->by_prefix);
		free(r);
		return -ENOMEM;
	}
	/* in order of time: all rest equally long, but for a reload or a restart */
	for (at = a->quarantine ? a->quarantine->prev : NULL; at && at->free_us > free_us;
		at = at == a->quarantine ? NULL : at->prev)
		;
	if (!at)
		DL_PREPEND(a->quarantine, r);
	else
		DL_APPEND_ELEM(a->quarantine, at, r);
	return 0;
}

bool anchoring_aged(struct anchoring *a, uint64_t now_us, struct prefix6 *ret)
{
	struct resting *r = a->quarantine;

	if (!r || r->free_us > now_us)
		return false;
	DL_DELETE(a->quarantine, r);
	DL_APPEND(a->free, r);
	r->is_free = true;
	*ret = r->prefix;
	return true;
}

/* --- leases ---------------------------------------------------------------------------------------------------- */

int anchoring_allocate(struct anchoring *a, const uint8_t key[32], const char *node, unsigned max, uint64_t until_us,
	struct lease **ret)
{
	struct resting *r = resting_find_key(a, key);
	struct prefix6 prefix;
	unsigned n = 0;
	int e;

	for (const struct lease *l = anchoring_find_key(a, key); l; l = l->next_of_key)
		n++;
	if (n >= max)
		return -ENOSPC;
	for (unsigned i = 0; !r && i < a->n_pools; i++) {
		struct pool *p = &a->pool[i];

		while (p->next < p->count) {
			prefix = prefix_of(p->first + p->next++);
			if (!anchoring_find(a, &prefix) && !resting_find(a, &prefix))
				return lease_new(a, &prefix, key, node, until_us, ret);
		}
	}
	if (!r)
		r = a->free;
	if (!r)
		return -ENOSPC;
	e = lease_new(a, &r->prefix, key, node, until_us, ret);
	if (e == 0)
		resting_end(a, r);
	return e;
}

int anchoring_restore(struct anchoring *a, const struct prefix6 *prefix, const uint8_t key[32], const char *node,
	uint64_t until_us, struct lease **ret)
{
	if (!anchoring_covers(a, &prefix->addr))
		return -ENOENT;
	if (anchoring_find(a, prefix) || resting_find(a, prefix))
		return -EEXIST;
	return lease_new(a, prefix, key, node, until_us, ret);
}

void anchoring_renew(struct anchoring *a, struct lease *l, uint64_t until_us)
{
	wheel_set(&a->wheel, &l->expiry, until_us);
}

void anchoring_release(struct anchoring *a, struct lease *l, uint64_t free_us)
{
	struct lease *first = anchoring_find_key(a, l->key), *x;

	wheel_drop(&a->wheel, &l->expiry);
	table_remove(&a->by_prefix, &l->by_prefix);
	if (first == l) {
		table_remove(&a->by_key, &l->by_key);
		x = l->next_of_key;
		if (x)
			(void)table_add(&a->by_key, &x->by_key); /* cannot fail: the table has its buckets */
	} else {
		for (x = first; x->next_of_key != l; x = x->next_of_key)
			;
		x->next_of_key = l->next_of_key;
	}
	/* no memory: the prefix is out of use until a restart, the lesser evil */
	(void)anchoring_rest(a, &l->prefix, l->revoked ? nobody : l->key, free_us);
	free(l);
}

struct lease *anchoring_expired(struct anchoring *a, uint64_t now_us)
{
	return (struct lease *)(void *)wheel_due(&a->wheel, now_us);
}

size_t anchoring_count(const struct anchoring *a)
{
	return a->by_prefix.n;
}

void anchoring_each(const struct anchoring *a, void (*cb)(void *ctx, struct lease *l), void *ctx)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&a->by_prefix, e, tmp) {
		cb(ctx, LEASE(e));
	}
}
