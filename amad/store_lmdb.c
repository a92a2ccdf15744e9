/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store_lmdb.c - the store: LMDB, and a journal of the last moments
 *
 * LMDB commits with its default flags, data pages on disk before the page that refers to them: a power cut at any
 * moment leaves the last commit whole. (MDB_NOSYNC would be faster and promises that only where the file system keeps
 * the order of writes, which ext4 and others do not.) Such a commit waits for the disk, and a handover must not. So the
 * records of a turn are appended to the file "journal" by one write(), which survives the process but not a power cut;
 * store_sync soon puts them into LMDB and empties the journal. A turn with something that must be on disk goes into
 * LMDB at once, with all that waits.
 *
 * Each LMDB commit raises a generation number. Journal records carry the one they follow, and a checksum: after a crash
 * those that LMDB has already, and those that a power cut tore, do not count. Records are written field by field in
 * network order, so that a store is the same on every machine. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "wire.h"

#define MAP_BYTES    (4ULL << 30) /* address space, not memory */
#define VERSION	     3		  /* 1 had no link-layer addresses, 2 no domains */
#define JOURNAL_MOST 1000000	  /* records: reached only when LMDB cannot commit for a long time */
#define KEY	     8
#define VALUE	     192

/* flags of a lease */
#define HAS_SEQUENCE 1
#define RESTING	     2
#define PROXIED	     1 /* of a binding */

/* Journal record: checksum u64 | generation u64 | database u8 | value length u8, 0 = deleted | key 8 | value */
#define HEADER (8 + 8 + 1 + 1 + KEY)

enum database { LEASES, BINDINGS, META, VISITS, DATABASES };
static const char *const database_name[DATABASES] = {"leases", "bindings", "meta", "visits"};
static const uint8_t key_restart[KEY] = "restart", key_generation[KEY] = "generat";

struct record {
	uint8_t db, len, key[KEY], value[VALUE];
};

struct store {
	MDB_env *env;
	MDB_dbi dbi[DATABASES];
	int journal;	       /* file */
	off_t journal_len;     /* of what is whole */
	uint64_t generation;   /* of the last LMDB commit */
	struct record *record; /* [0, n_waiting) are in the journal, the rest is of this turn */
	size_t n, n_waiting, room;
	struct store_summary summary; /* of what was there when it was opened */
	bool now;		      /* the turn has to be on disk */
	int error;		      /* of a put in this turn */
};

static int to_errno(int r)
{
	if (r == 0)
		return 0;
	if (r > 0)
		return -r;
	return r == MDB_MAP_FULL ? -ENOSPC : -EIO;
}

static uint64_t checksum(const uint8_t *p, size_t len)
{
	uint64_t h = 14695981039346656037ULL; /* FNV-1a: against tearing, not against malice */

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211ULL;
	return h;
}

static int add_record(struct store *s, enum database db, const void *key, const void *value, size_t len)
{
	struct record *r = NULL;

	if (!s->env)
		return 0;
	if (s->n == s->room && s->n < JOURNAL_MOST) {
		size_t room = s->room ? 2 * s->room : 256;

		r = reallocarray(s->record, room, sizeof(*r));
		if (r) {
			s->record = r;
			s->room = room;
		}
	}
	if (s->n == s->room) {
		s->error = s->n < JOURNAL_MOST ? -ENOMEM : -ENOSPC;
		return s->error;
	}
	r = &s->record[s->n++];
	r->db = (uint8_t)db;
	r->len = (uint8_t)len;
	memcpy(r->key, key, KEY);
	memcpy(r->value, value, len);
	return 0;
}

/* --- records --------------------------------------------------------------------------------------------------- */

int store_put_lease(struct store *s, const struct store_lease *l, bool now)
{
	uint8_t buf[VALUE];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u8(&w, VERSION);
	wcur_bytes(&w, l->key, 32);
	wcur_u64(&w, l->until_s);
	wcur_u8(&w, (uint8_t)((l->has_sequence ? HAS_SEQUENCE : 0) | (l->resting ? RESTING : 0)));
	wcur_u16(&w, l->sequence);
	wcur_bytes(&w, l->ifname, sizeof(l->ifname));
	wcur_in6(&w, &l->link_local);
	wcur_bytes(&w, l->link_layer, sizeof(l->link_layer));
	wcur_u64(&w, l->domain);
	wcur_bytes(&w, l->node, sizeof(l->node));
	s->now |= now;
	return add_record(s, LEASES, &l->prefix.addr, buf, wcur_len(&w));
}

int store_delete_lease(struct store *s, const struct prefix6 *prefix)
{
	return add_record(s, LEASES, &prefix->addr, "", 0);
}

int store_put_binding(struct store *s, const struct store_binding *b)
{
	uint8_t buf[VALUE];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u8(&w, VERSION);
	wcur_in6(&w, &b->care_of);
	wcur_in6(&w, &b->self);
	wcur_u64(&w, b->until_s);
	wcur_u16(&w, b->mtu);
	wcur_u16(&w, b->sequence);
	wcur_u32(&w, b->nexthop);
	wcur_u8(&w, b->proxied ? PROXIED : 0);
	return add_record(s, BINDINGS, &b->prefix.addr, buf, wcur_len(&w));
}

int store_delete_binding(struct store *s, const struct prefix6 *prefix)
{
	return add_record(s, BINDINGS, &prefix->addr, "", 0);
}

int store_put_visit(struct store *s, const struct store_visit *v)
{
	uint8_t buf[VALUE];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u8(&w, VERSION);
	wcur_bytes(&w, v->key, 32);
	wcur_u64(&w, v->until_s);
	wcur_in6(&w, &v->anchor);
	wcur_in6(&w, &v->self);
	wcur_bytes(&w, v->ifname, sizeof(v->ifname));
	wcur_in6(&w, &v->link_local);
	wcur_bytes(&w, v->link_layer, sizeof(v->link_layer));
	wcur_u64(&w, v->domain);
	wcur_u32(&w, v->node_cookie);
	wcur_u16(&w, v->sequence);
	wcur_bytes(&w, v->node, sizeof(v->node));
	return add_record(s, VISITS, &v->prefix.addr, buf, wcur_len(&w));
}

int store_delete_visit(struct store *s, const struct prefix6 *prefix)
{
	return add_record(s, VISITS, &prefix->addr, "", 0);
}

int store_put_meta(struct store *s, const struct store_meta *m)
{
	uint8_t buf[VALUE];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u8(&w, VERSION);
	wcur_u32(&w, m->restart_counter);
	wcur_bytes(&w, m->boot_id, sizeof(m->boot_id));
	wcur_u64(&w, m->timestamps_until);
	s->now = true;
	return add_record(s, META, key_restart, buf, wcur_len(&w));
}

static bool read_key(const MDB_val *k, struct prefix6 *ret)
{
	struct rcur c = rcur_make(k->mv_data, k->mv_size);
	struct in6_addr prefix = IN6ADDR_ANY_INIT;

	rcur_bytes(&c, &prefix, KEY);
	*ret = prefix6_make(&prefix, 64);
	return rcur_ok(&c) && rcur_left(&c) == 0;
}

static bool read_lease(const MDB_val *k, const MDB_val *v, struct store_lease *ret)
{
	struct rcur c = rcur_make(v->mv_data, v->mv_size);
	uint8_t flags;

	if (!read_key(k, &ret->prefix) || rcur_u8(&c) != VERSION)
		return false;
	rcur_bytes(&c, ret->key, 32);
	ret->until_s = rcur_u64(&c);
	flags = rcur_u8(&c);
	ret->has_sequence = flags & HAS_SEQUENCE;
	ret->resting = flags & RESTING;
	ret->sequence = rcur_u16(&c);
	rcur_bytes(&c, ret->ifname, sizeof(ret->ifname));
	rcur_in6(&c, &ret->link_local);
	rcur_bytes(&c, ret->link_layer, sizeof(ret->link_layer));
	ret->domain = rcur_u64(&c);
	rcur_bytes(&c, ret->node, sizeof(ret->node));
	ret->ifname[sizeof(ret->ifname) - 1] = ret->node[sizeof(ret->node) - 1] = '\0';
	return rcur_ok(&c) && rcur_left(&c) == 0;
}

static bool read_binding(const MDB_val *k, const MDB_val *v, struct store_binding *ret)
{
	struct rcur c = rcur_make(v->mv_data, v->mv_size);

	if (!read_key(k, &ret->prefix) || rcur_u8(&c) != VERSION)
		return false;
	rcur_in6(&c, &ret->care_of);
	rcur_in6(&c, &ret->self);
	ret->until_s = rcur_u64(&c);
	ret->mtu = rcur_u16(&c);
	ret->sequence = rcur_u16(&c);
	ret->nexthop = rcur_u32(&c);
	ret->proxied = rcur_u8(&c) & PROXIED;
	return rcur_ok(&c) && rcur_left(&c) == 0;
}

static bool read_visit(const MDB_val *k, const MDB_val *v, struct store_visit *ret)
{
	struct rcur c = rcur_make(v->mv_data, v->mv_size);

	if (!read_key(k, &ret->prefix) || rcur_u8(&c) != VERSION)
		return false;
	rcur_bytes(&c, ret->key, 32);
	ret->until_s = rcur_u64(&c);
	rcur_in6(&c, &ret->anchor);
	rcur_in6(&c, &ret->self);
	rcur_bytes(&c, ret->ifname, sizeof(ret->ifname));
	rcur_in6(&c, &ret->link_local);
	rcur_bytes(&c, ret->link_layer, sizeof(ret->link_layer));
	ret->domain = rcur_u64(&c);
	ret->node_cookie = rcur_u32(&c);
	ret->sequence = rcur_u16(&c);
	rcur_bytes(&c, ret->node, sizeof(ret->node));
	ret->ifname[sizeof(ret->ifname) - 1] = ret->node[sizeof(ret->node) - 1] = '\0';
	return rcur_ok(&c) && rcur_left(&c) == 0;
}

/* --- commit ---------------------------------------------------------------------------------------------------- */

static int put(MDB_txn *txn, MDB_dbi dbi, const uint8_t key[KEY], const uint8_t *value, size_t len)
{
	MDB_val k = {.mv_size = KEY, .mv_data = (void *)key}, v = {.mv_size = len, .mv_data = (void *)value};
	int r = len ? mdb_put(txn, dbi, &k, &v, 0) : mdb_del(txn, dbi, &k, NULL);

	return r == MDB_NOTFOUND ? 0 : r;
}

static void cut_journal(struct store *s, off_t len)
{
	s->journal_len = len;
	if (ftruncate(s->journal, len) < 0)
		return; /* what stays there is overwritten, or its generation says that it is old */
}

/* Everything into LMDB, on disk when this returns. On failure the records stay where they are. */
static int commit_all(struct store *s)
{
	uint8_t buf[8];
	struct wcur w = wcur_make(buf, sizeof(buf));
	MDB_txn *txn;
	int r = mdb_txn_begin(s->env, NULL, 0, &txn);

	if (r != 0)
		return to_errno(r);
	for (size_t i = 0; r == 0 && i < s->n; i++) {
		const struct record *x = &s->record[i];

		r = put(txn, s->dbi[x->db], x->key, x->value, x->len);
	}
	wcur_u64(&w, s->generation + 1);
	if (r == 0)
		r = put(txn, s->dbi[META], key_generation, buf, wcur_len(&w));
	if (r != 0) {
		mdb_txn_abort(txn);
		return to_errno(r);
	}
	r = mdb_txn_commit(txn);
	if (r != 0)
		return to_errno(r);
	s->generation++;
	s->n = s->n_waiting = 0;
	if (s->room > 1024) { /* a burst is over */
		free(s->record);
		s->record = NULL;
		s->room = 0;
	}
	cut_journal(s, 0);
	return 0;
}

static int write_journal(struct store *s, const void *buf, size_t len)
{
	ssize_t n = pwrite(s->journal, buf, len, s->journal_len);

	if (n != (ssize_t)len)
		return n < 0 ? -errno : -ENOSPC;
	s->journal_len += n;
	return 0;
}

static int append(struct store *s)
{
	uint8_t buf[64 * (HEADER + VALUE)];
	struct wcur w = wcur_make(buf, sizeof(buf));
	int r = 0;

	for (size_t i = s->n_waiting; r == 0 && i < s->n; i++) {
		const struct record *x = &s->record[i];
		uint8_t *at = w.pos;
		struct wcur sum;

		wcur_zero(&w, 8);
		wcur_u64(&w, s->generation);
		wcur_u8(&w, x->db);
		wcur_u8(&w, x->len);
		wcur_bytes(&w, x->key, KEY);
		wcur_bytes(&w, x->value, x->len);
		sum = wcur_make(at, 8);
		wcur_u64(&sum, checksum(at + 8, (size_t)(w.pos - at) - 8));
		if (i + 1 < s->n && wcur_len(&w) + HEADER + VALUE <= sizeof(buf))
			continue;
		r = write_journal(s, buf, wcur_len(&w));
		w = wcur_make(buf, sizeof(buf));
	}
	return r;
}

int store_commit(struct store *s)
{
	off_t before = s->journal_len;
	int r = s->error;

	if (!s->env)
		return 0;
	if (r == 0 && s->now)
		r = commit_all(s);
	else if (r == 0 && s->n > s->n_waiting)
		r = append(s);
	s->now = false;
	s->error = 0;
	if (r < 0) {
		cut_journal(s, before);
		s->n = s->n_waiting;
		return r;
	}
	s->n_waiting = s->n;
	return s->n > 0;
}

int store_sync(struct store *s)
{
	return s->n_waiting > 0 ? commit_all(s) : 0;
}

/* --- open and load --------------------------------------------------------------------------------------------- */

/* LMDB maps the file and believes it: one that was cut short would end in SIGBUS. */
static int check_size(struct store *s)
{
	MDB_envinfo info;
	MDB_stat stat;
	struct stat st;
	int fd;

	if (mdb_env_info(s->env, &info) != 0 || mdb_env_stat(s->env, &stat) != 0 || mdb_env_get_fd(s->env, &fd) != 0 ||
		fstat(fd, &st) < 0)
		return MDB_INVALID;
	return (uint64_t)st.st_size < (info.me_last_pgno + 1) * stat.ms_psize ? MDB_CORRUPTED : 0;
}

/* Put what is in the journal, but not in LMDB, into LMDB. */
static int read_journal(struct store *s)
{
	struct stat st;
	uint8_t *buf;
	struct rcur c;
	int r = 0;

	if (fstat(s->journal, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	buf = malloc((size_t)st.st_size);
	if (!buf)
		return -ENOMEM;
	if (pread(s->journal, buf, (size_t)st.st_size, 0) != st.st_size) {
		free(buf);
		return -EIO;
	}
	for (c = rcur_make(buf, (size_t)st.st_size); r == 0 && rcur_left(&c) >= HEADER;) {
		uint64_t sum = rcur_u64(&c), generation;
		const uint8_t *summed = c.pos, *key, *value;
		uint8_t db, len;

		generation = rcur_u64(&c);
		db = rcur_u8(&c);
		len = rcur_u8(&c);
		key = rcur_take(&c, KEY);
		value = rcur_take(&c, len);
		if (!rcur_ok(&c) || generation != s->generation || db >= DATABASES || len > VALUE ||
			sum != checksum(summed, (size_t)(c.pos - summed)))
			break;
		r = add_record(s, (enum database)db, key, value, len);
	}
	free(buf);
	s->n_waiting = s->n;
	return r < 0 ? r : store_sync(s);
}

static int open_databases(struct store *s)
{
	MDB_val k = {.mv_size = KEY, .mv_data = (void *)key_generation}, v;
	MDB_txn *txn;
	int r = mdb_txn_begin(s->env, NULL, 0, &txn);

	if (r != 0)
		return r;
	for (int i = 0; r == 0 && i < DATABASES; i++)
		r = mdb_dbi_open(txn, database_name[i], MDB_CREATE, &s->dbi[i]);
	if (r == 0)
		r = mdb_get(txn, s->dbi[META], &k, &v);
	if (r == 0) {
		struct rcur c = rcur_make(v.mv_data, v.mv_size);

		s->generation = rcur_u64(&c);
	}
	if (r != 0 && r != MDB_NOTFOUND) {
		mdb_txn_abort(txn);
		return r;
	}
	return mdb_txn_commit(txn);
}

/* Every record can be read: a start finds damage before anything is believed. */
static int check_records(struct store *s, struct store_summary *sum)
{
	MDB_cursor *cursor;
	MDB_txn *txn;
	MDB_val k, v;
	int r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);

	if (r != 0)
		return r;
	for (int db = 0; r == 0 && db < DATABASES; db++) {
		r = mdb_cursor_open(txn, s->dbi[db], &cursor);
		if (r != 0)
			break;
		while ((r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
			struct store_lease l;
			struct store_binding b;
			struct store_visit x;
			bool ok = db == LEASES	 ? read_lease(&k, &v, &l)
				: db == BINDINGS ? read_binding(&k, &v, &b)
				: db == VISITS	 ? read_visit(&k, &v, &x)
						 : k.mv_size == KEY;

			if (!ok && v.mv_size > 0 && *(const uint8_t *)v.mv_data != VERSION)
				sum->other_version++;
			if (!ok)
				sum->bad++;
			else if (db == LEASES && l.resting)
				sum->resting++;
			else if (db != META)
				sum->records[db == VISITS ? 2 : db]++;
		}
		mdb_cursor_close(cursor);
		if (r == MDB_NOTFOUND)
			r = 0;
	}
	mdb_txn_abort(txn);
	return r == 0 && sum->bad ? MDB_CORRUPTED : r;
}

int store_put_aside(const char *directory, char *ret_path, size_t size, char *reterr)
{
	static const char *const files[] = {"data.mdb", "journal"};
	char from[4200], to[4300];
	time_t t = time(NULL);
	struct tm tm;
	char stamp[32] = "";

	if (gmtime_r(&t, &tm))
		(void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	(void)snprintf(ret_path, size, "%.4000s/damaged-%s", directory, stamp);
	if (mkdir(ret_path, 0700) < 0 && errno != EEXIST) {
		int r = -errno;

		(void)snprintf(reterr, STORE_ERR, "cannot make %.300s: %s", ret_path, strerror(-r));
		return r;
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(from, sizeof(from), "%.4000s/%s", directory, files[i]);
		(void)snprintf(to, sizeof(to), "%.4200s/%s", ret_path, files[i]);
		if (rename(from, to) < 0 && errno != ENOENT) {
			int r = -errno;

			(void)snprintf(reterr, STORE_ERR, "cannot move %.300s aside: %s", from, strerror(-r));
			return r;
		}
	}
	(void)snprintf(from, sizeof(from), "%.4000s/lock.mdb", directory);
	(void)unlink(from);
	return 0;
}

int store_summary(struct store *s, struct store_summary *ret)
{
	*ret = s->summary;
	return 0;
}

int store_open(const char *directory, struct store **ret, char *reterr)
{
	struct store *s = calloc(1, sizeof(*s));
	char path[4096];
	int r;

	*ret = NULL;
	if (!s)
		return -ENOMEM;
	s->journal = -1;
	if (!strcmp(directory, STORE_NONE)) {
		*ret = s;
		return 0;
	}
	/* the last two levels are ours to make: LOCALSTATEDIR/lib/dmm/amad */
	(void)snprintf(path, sizeof(path), "%s", directory);
	if (strrchr(path, '/'))
		*strrchr(path, '/') = '\0';
	(void)mkdir(path, 0755);
	(void)mkdir(directory, 0700);
	(void)snprintf(path, sizeof(path), "%.4000s/journal", directory);
	s->journal = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = s->journal < 0 ? errno : 0;
	if (r == 0 && flock(s->journal, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? EBUSY : errno;
		(void)snprintf(reterr, STORE_ERR,
			r == EBUSY ? "the store in %.200s is in use by a running amad: stop it first"
				   : "cannot lock the store in %.200s",
			directory);
		store_close(s);
		return -r;
	}
	if (r == 0)
		r = mdb_env_create(&s->env);
	if (r == 0)
		r = mdb_env_set_maxdbs(s->env, DATABASES);
	if (r == 0)
		r = mdb_env_set_mapsize(s->env, MAP_BYTES);
	if (r == 0)
		r = mdb_env_open(s->env, directory, MDB_NOTLS, 0600);
	if (r == 0)
		r = check_size(s);
	if (r == 0)
		r = open_databases(s);
	if (r == 0)
		r = -read_journal(s);
	if (r == 0)
		r = check_records(s, &s->summary);
	if (r != 0) {
		(void)snprintf(reterr, STORE_ERR, "cannot open the store in %.200s: %s", directory,
			s->summary.other_version ? "it was written by another version of amad"
				: s->summary.bad ? "it has records that cannot be read"
						 : mdb_strerror(r));
		store_close(s);
		return r < 0 && r != MDB_MAP_FULL ? -EBADMSG : to_errno(r);
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->env)
		mdb_env_close(s->env);
	if (s->journal >= 0)
		(void)close(s->journal);
	free(s->record);
	free(s);
}

static void load_meta(struct store *s, MDB_txn *txn, struct store_meta *ret)
{
	MDB_val k = {.mv_size = KEY, .mv_data = (void *)key_restart}, v;
	struct rcur c;

	memset(ret, 0, sizeof(*ret));
	if (mdb_get(txn, s->dbi[META], &k, &v) != 0)
		return;
	c = rcur_make(v.mv_data, v.mv_size);
	if (rcur_u8(&c) != VERSION)
		return;
	ret->restart_counter = rcur_u32(&c);
	rcur_bytes(&c, ret->boot_id, sizeof(ret->boot_id));
	ret->boot_id[sizeof(ret->boot_id) - 1] = '\0';
	ret->timestamps_until = rcur_u64(&c); /* 0 in a record that has none */
}

int store_load(struct store *s, void (*lease)(void *ctx, const struct store_lease *l),
	void (*binding)(void *ctx, const struct store_binding *b), void *ctx, struct store_meta *ret_meta)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	MDB_txn *txn;
	int r;

	if (!s->env) {
		*ret_meta = (struct store_meta){0};
		return 0;
	}
	r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (r != 0)
		return to_errno(r);
	for (enum database db = LEASES; db <= BINDINGS; db++) {
		r = mdb_cursor_open(txn, s->dbi[db], &cursor);
		if (r != 0)
			break;
		while ((r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
			struct store_lease l;
			struct store_binding b;

			if (db == LEASES ? !read_lease(&k, &v, &l) : !read_binding(&k, &v, &b)) {
				r = MDB_CORRUPTED;
				break;
			}
			if (db == LEASES)
				lease(ctx, &l);
			else
				binding(ctx, &b);
		}
		mdb_cursor_close(cursor);
		if (r != MDB_NOTFOUND)
			break;
		r = 0;
	}
	if (r == 0)
		load_meta(s, txn, ret_meta);
	mdb_txn_abort(txn);
	return to_errno(r);
}

int store_load_visits(struct store *s, void (*visit)(void *ctx, const struct store_visit *v), void *ctx)
{
	MDB_cursor *cursor;
	MDB_val k, v;
	MDB_txn *txn;
	int r;

	if (!s->env)
		return 0;
	r = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
	if (r != 0)
		return to_errno(r);
	r = mdb_cursor_open(txn, s->dbi[VISITS], &cursor);
	while (r == 0 && (r = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
		struct store_visit x;

		if (read_visit(&k, &v, &x))
			visit(ctx, &x);
		else
			r = MDB_CORRUPTED;
	}
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return r == MDB_NOTFOUND ? 0 : to_errno(r);
}
