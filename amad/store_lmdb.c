/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store_lmdb.c - the store in LMDB
 *
 * One write transaction a turn. The environment is opened without synchronous commits: a commit is in the page cache, where it survives
 * the death of the process, and mdb_env_sync puts it on disk. Records are written field by field in network order, so that a
 * store is the same on every machine. */
#include "store.h"

#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "wire.h"

#define MAP_BYTES (4ULL << 30) /* address space, not memory */
#define RECORD    256
#define VERSION   1

struct store {
	MDB_env *env;
	MDB_txn *txn; /* of this turn, NULL = nothing changed yet */
	MDB_dbi leases, bindings, meta;
	bool urgent;  /* the turn changed a lease */
	bool unsynced;
};

static int to_errno(int r)
{
	if (r == 0)
		return 0;
	if (r > 0)
		return -r;
	return r == MDB_MAP_FULL ? -ENOSPC : -EIO;
}

static int begin(struct store *s)
{
	return s->txn ? 0 : to_errno(mdb_txn_begin(s->env, NULL, 0, &s->txn));
}

int store_open(const char *directory, struct store **ret, char *reterr)
{
	struct store *s = calloc(1, sizeof(*s));
	char path[4096];
	int r;

	if (!s)
		return -ENOMEM;
	/* the last two levels are ours to make: LOCALSTATEDIR/lib/dmm/amad */
	(void)snprintf(path, sizeof(path), "%s", directory);
	if (strrchr(path, '/'))
		*strrchr(path, '/') = '\0';
	(void)mkdir(path, 0755);
	(void)mkdir(directory, 0700);
	r = mdb_env_create(&s->env);
	if (r == 0)
		r = mdb_env_set_maxdbs(s->env, 4);
	if (r == 0)
		r = mdb_env_set_mapsize(s->env, MAP_BYTES);
	if (r == 0)
		r = mdb_env_open(s->env, directory, MDB_NOSYNC | MDB_NOTLS, 0600);
	if (r == 0)
		r = mdb_txn_begin(s->env, NULL, 0, &s->txn);
	if (r == 0)
		r = mdb_dbi_open(s->txn, "leases", MDB_CREATE, &s->leases);
	if (r == 0)
		r = mdb_dbi_open(s->txn, "bindings", MDB_CREATE, &s->bindings);
	if (r == 0)
		r = mdb_dbi_open(s->txn, "meta", MDB_CREATE, &s->meta);
	if (r == 0) {
		r = mdb_txn_commit(s->txn);
		s->txn = NULL;
	}
	if (r != 0) {
		(void)snprintf(reterr, STORE_ERR, "cannot open the store in %.200s: %.100s%s", directory, mdb_strerror(r),
			r < 0 ? "; it was left as it is: move it away to start empty" : "");
		store_close(s);
		return to_errno(r);
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->txn)
		mdb_txn_abort(s->txn);
	if (s->env)
		mdb_env_close(s->env);
	free(s);
}

static int put(struct store *s, MDB_dbi dbi, const void *key, size_t key_len, const struct wcur *w)
{
	MDB_val k = {.mv_size = key_len, .mv_data = (void *)key}, v = {.mv_size = wcur_len(w), .mv_data = w->base};
	int r = wcur_ok(w) ? begin(s) : -EMSGSIZE;

	return r < 0 ? r : to_errno(mdb_put(s->txn, dbi, &k, &v, 0));
}

static int del(struct store *s, MDB_dbi dbi, const struct prefix6 *prefix)
{
	MDB_val k = {.mv_size = 8, .mv_data = (void *)&prefix->addr};
	int r = begin(s);

	if (r == 0)
		r = mdb_del(s->txn, dbi, &k, NULL);
	return r == MDB_NOTFOUND ? 0 : r < 0 ? r : to_errno(r);
}

int store_put_lease(struct store *s, const struct store_lease *l)
{
	uint8_t buf[RECORD];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u8(&w, VERSION);
	wcur_bytes(&w, l->key, 32);
	wcur_u64(&w, l->until_s);
	wcur_u8(&w, l->has_sequence);
	wcur_u16(&w, l->sequence);
	wcur_bytes(&w, l->ifname, sizeof(l->ifname));
	wcur_in6(&w, &l->link_local);
	wcur_bytes(&w, l->node, sizeof(l->node));
	s->urgent = true;
	return put(s, s->leases, &l->prefix.addr, 8, &w);
}

int store_delete_lease(struct store *s, const struct prefix6 *prefix)
{
	s->urgent = true;
	return del(s, s->leases, prefix);
}

int store_put_binding(struct store *s, const struct store_binding *b)
{
	uint8_t buf[RECORD];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u8(&w, VERSION);
	wcur_in6(&w, &b->care_of);
	wcur_in6(&w, &b->self);
	wcur_u64(&w, b->until_s);
	wcur_u16(&w, b->mtu);
	return put(s, s->bindings, &b->prefix.addr, 8, &w);
}

int store_delete_binding(struct store *s, const struct prefix6 *prefix)
{
	return del(s, s->bindings, prefix);
}

int store_put_restart_counter(struct store *s, uint32_t counter)
{
	uint8_t buf[4];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u32(&w, counter);
	s->urgent = true;
	return put(s, s->meta, "restart", 7, &w);
}

int store_commit(struct store *s)
{
	int r;

	if (!s->txn)
		return s->unsynced;
	r = to_errno(mdb_txn_commit(s->txn));
	s->txn = NULL;
	if (r < 0)
		return r;
	s->unsynced = true;
	if (s->urgent) {
		s->urgent = false;
		r = store_sync(s);
		if (r < 0)
			return r;
	}
	return s->unsynced;
}

int store_sync(struct store *s)
{
	int r;

	if (!s->unsynced)
		return 0;
	r = to_errno(mdb_env_sync(s->env, 1));
	if (r == 0)
		s->unsynced = false;
	return r;
}

static bool read_lease(const MDB_val *k, const MDB_val *v, struct store_lease *ret)
{
	struct rcur c = rcur_make(v->mv_data, v->mv_size);
	struct in6_addr prefix = IN6ADDR_ANY_INIT;

	if (k->mv_size != 8 || rcur_u8(&c) != VERSION)
		return false;
	memcpy(&prefix, k->mv_data, 8);
	ret->prefix = prefix6_make(&prefix, 64);
	rcur_bytes(&c, ret->key, 32);
	ret->until_s = rcur_u64(&c);
	ret->has_sequence = rcur_u8(&c);
	ret->sequence = rcur_u16(&c);
	rcur_bytes(&c, ret->ifname, sizeof(ret->ifname));
	rcur_in6(&c, &ret->link_local);
	rcur_bytes(&c, ret->node, sizeof(ret->node));
	ret->ifname[sizeof(ret->ifname) - 1] = ret->node[sizeof(ret->node) - 1] = '\0';
	return rcur_ok(&c) && rcur_left(&c) == 0;
}

static bool read_binding(const MDB_val *k, const MDB_val *v, struct store_binding *ret)
{
	struct rcur c = rcur_make(v->mv_data, v->mv_size);
	struct in6_addr prefix = IN6ADDR_ANY_INIT;

	if (k->mv_size != 8 || rcur_u8(&c) != VERSION)
		return false;
	memcpy(&prefix, k->mv_data, 8);
	ret->prefix = prefix6_make(&prefix, 64);
	rcur_in6(&c, &ret->care_of);
	rcur_in6(&c, &ret->self);
	ret->until_s = rcur_u64(&c);
	ret->mtu = rcur_u16(&c);
	return rcur_ok(&c) && rcur_left(&c) == 0;
}

int store_load(struct store *s, void (*lease)(void *ctx, const struct store_lease *l),
	void (*binding)(void *ctx, const struct store_binding *b), void *ctx, uint32_t *ret_restart_counter)
{
	MDB_val k = {.mv_size = 7, .mv_data = (void *)"restart"}, v;
	MDB_cursor *cursor;
	MDB_txn *txn;
	int r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

	if (r != 0)
		return to_errno(r);
	*ret_restart_counter = 0;
	if (mdb_get(txn, s->meta, &k, &v) == 0) {
		struct rcur c = rcur_make(v.mv_data, v.mv_size);

		*ret_restart_counter = rcur_u32(&c);
	}
	for (int pass = 0; pass < 2; pass++) {
		r = mdb_cursor_open(txn, pass ? s->bindings : s->leases, &cursor);
		if (r != 0)
			break;
		while ((r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
			struct store_lease l;
			struct store_binding b;

			if (pass ? !read_binding(&k, &v, &b) : !read_lease(&k, &v, &l)) {
				r = MDB_CORRUPTED;
				break;
			}
			if (pass)
				binding(ctx, &b);
			else
				lease(ctx, &l);
		}
		mdb_cursor_close(cursor);
		if (r != MDB_NOTFOUND)
			break;
		r = 0;
	}
	mdb_txn_abort(txn);
	return to_errno(r);
}
