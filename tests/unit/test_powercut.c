/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_powercut.c - the store after a power cut
 *
 * Every write, truncation and sync that store and LMDB make is recorded. For hundreds of moments a disk is made that
 * holds what was synced, and of what was not any part, torn at sectors and in any order, as a disk may. From each the
 * store must open without repair: every lease that was acknowledged is there, and every binding that was synced; one
 * that was not is an earlier or a later one, never anything else. The seed is printed; POWERCUT_SEED and POWERCUT_CUTS
 * choose others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "amad/store.h"

#define KEYS   40
#define TURNS  400
#define CUTS   400
#define SECTOR 512

/* --- the recorder: these take the place of the C library's for the whole
 * process ----------------------------------- */

enum op { WRITE, TRUNCATE, SYNC };
enum disk { DATA, JOURNAL, FILES };
static const char *const file_name[FILES] = {"data.mdb", "journal"};

static struct record {
	enum op op;
	enum disk file;
	bool durable; /* the file is open with O_DSYNC */
	off_t offset; /* or new length */
	size_t len;
	uint8_t *bytes;
} * record;
static size_t n_records, room;
static bool recording;

static int which(int fd)
{
	char link[64], path[256];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -1;
	path[n] = '\0';
	for (int i = 0; i < FILES; i++)
		if (strrchr(path, '/') && !strcmp(strrchr(path, '/') + 1, file_name[i]))
			return i;
	return -1;
}

static void add(enum op op, int fd, off_t offset, const struct iovec *iov, int n, ssize_t done)
{
	int file = recording ? which(fd) : -1;
	struct record *r;

	if (file < 0 || done < 0)
		return;
	if (n_records == room) {
		room = room ? 2 * room : 1024;
		record = realloc(record, room * sizeof(*record));
		if (!record)
			abort();
	}
	r = &record[n_records++];
	*r = (struct record){
		.op = op, .file = (enum disk)file, .offset = offset, .durable = fcntl(fd, F_GETFL) & O_DSYNC};
	if (op != WRITE)
		return;
	r->bytes = malloc((size_t)done);
	for (int i = 0; i < n && r->len < (size_t)done; i++) {
		size_t k = iov[i].iov_len < (size_t)done - r->len ? iov[i].iov_len : (size_t)done - r->len;

		memcpy(r->bytes + r->len, iov[i].iov_base, k);
		r->len += k;
	}
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t n = syscall(SYS_pwrite64, fd, buf, len, offset);
	struct iovec iov = {(void *)buf, len};

	add(WRITE, fd, offset, &iov, 1, n);
	return n;
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
	ssize_t done = syscall(SYS_pwritev, fd, iov, n, (long)offset, 0L);

	add(WRITE, fd, offset, iov, n, done);
	return done;
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t done = syscall(SYS_writev, fd, iov, n);

	add(WRITE, fd, at, iov, n, done);
	return done;
}

ssize_t write(int fd, const void *buf, size_t len)
{
	off_t at = recording ? lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t n = syscall(SYS_write, fd, buf, len);
	struct iovec iov = {(void *)buf, len};

	add(WRITE, fd, at, &iov, 1, n);
	return n;
}

int ftruncate(int fd, off_t len)
{
	int r = (int)syscall(SYS_ftruncate, fd, len);

	add(TRUNCATE, fd, len, NULL, 0, r);
	return r;
}

int fdatasync(int fd)
{
	int r = (int)syscall(SYS_fdatasync, fd);

	add(SYNC, fd, 0, NULL, 0, r);
	return r;
}

int fsync(int fd)
{
	int r = (int)syscall(SYS_fsync, fd);

	add(SYNC, fd, 0, NULL, 0, r);
	return r;
}

/* --- what was
 * promised --------------------------------------------------------------------------------------------- */

static struct promise {
	size_t at; /* records made when it was given */
	bool lease;
	unsigned key;
	uint64_t value; /* until_s: counts up */
} promise[TURNS * 8];
static size_t n_promises;
static uint64_t put[2][KEYS][TURNS]; /* value put at turn, 0 = none */
static size_t turn_began[TURNS];

static char dir[64];
static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(seed >> 33) % n;
}

static struct prefix6 prefix(unsigned n)
{
	struct in6_addr a = {.s6_addr = {0x20, 1, 0xd, 0xb8, 0, 0, 0, (uint8_t)n}};

	return prefix6_make(&a, 64);
}

static void promised(bool is_lease, unsigned key, uint64_t value)
{
	assert_true(n_promises < sizeof(promise) / sizeof(promise[0]));
	promise[n_promises++] = (struct promise){n_records, is_lease, key, value};
}

/* Turns as the daemon makes them: leases are on disk when the commit returns, bindings after the next sync. */
static void run(struct store *s)
{
	uint64_t waiting[KEYS] = {0};

	for (unsigned t = 0; t < TURNS; t++) {
		unsigned n = rnd(4);
		bool now = rnd(5) == 0;
		unsigned lease_key = rnd(KEYS);
		uint64_t value = 1000 + t;

		turn_began[t] = n_records;
		if (now) {
			struct store_lease l = {.prefix = prefix(lease_key), .until_s = value};

			(void)snprintf(l.node, sizeof(l.node), "node%u", lease_key);
			put[1][lease_key][t] = value;
			assert_int_equal(store_put_lease(s, &l, true), 0);
		}
		for (unsigned i = 0; i < n; i++) {
			unsigned key = rnd(KEYS);
			struct store_binding b = {.prefix = prefix(key), .until_s = value, .nexthop = key};

			put[0][key][t] = value;
			waiting[key] = value;
			assert_int_equal(store_put_binding(s, &b), 0);
		}
		assert_true(store_commit(s) >= 0);
		if (now)
			promised(true, lease_key, value);
		if (rnd(6) == 0)
			assert_int_equal(store_sync(s), 0);
		else if (!now)
			continue;
		for (unsigned key = 0; key < KEYS; key++) {
			if (waiting[key])
				promised(false, key, waiting[key]);
			waiting[key] = 0;
		}
	}
}

/* --- the disk after a
 * cut ------------------------------------------------------------------------------------------ */

struct image {
	uint8_t *bytes;
	size_t len, room;
};

static void grow(struct image *f, size_t len)
{
	if (len > f->room) {
		f->room = len + 65536;
		f->bytes = realloc(f->bytes, f->room);
		if (!f->bytes)
			abort();
	}
	if (len > f->len)
		memset(f->bytes + f->len, 0, len - f->len);
	f->len = len;
}

static void apply(struct image *f, const struct record *r, size_t from, size_t to)
{
	if (r->op == TRUNCATE) {
		grow(f, (size_t)r->offset);
		return;
	}
	if ((size_t)r->offset + to > f->len)
		grow(f, (size_t)r->offset + to);
	memcpy(f->bytes + r->offset + from, r->bytes + from, to - from);
}

/* What is not synced may be there, or not, or in part. */
static void apply_by_chance(struct image *f, const struct record *r)
{
	switch (rnd(3)) {
	case 0:
		return;
	case 1:
		apply(f, r, 0, r->len);
		return;
	default:
		for (size_t at = 0; at < r->len;) {
			size_t end = at + SECTOR - ((size_t)r->offset + at) % SECTOR;

			if (end > r->len)
				end = r->len;
			if (rnd(2))
				apply(f, r, at, end);
			at = end;
		}
	}
}

static void make_disk(size_t cut)
{
	for (int i = 0; i < FILES; i++) {
		struct image f = {0};
		char path[128];
		size_t synced = 0;
		FILE *out;

		for (size_t k = 0; k < cut; k++)
			if (record[k].file == (enum disk)i && record[k].op == SYNC)
				synced = k;
		for (size_t k = 0; k < cut; k++) {
			const struct record *r = &record[k];

			if (r->file != (enum disk)i || r->op == SYNC)
				continue;
			if (k < synced || r->durable)
				apply(&f, r, 0, r->len);
			else
				apply_by_chance(&f, r);
		}
		(void)snprintf(path, sizeof(path), "%s/after/%s", dir, file_name[i]);
		out = fopen(path, "w");
		assert_non_null(out);
		if (f.len > 0) /* of nothing there is no address either */
			assert_int_equal(fwrite(f.bytes, 1, f.len, out), f.len);
		(void)fclose(out);
		free(f.bytes);
	}
}

static uint64_t found[2][KEYS];

static void got_lease(void *ctx, const struct store_lease *l)
{
	(void)ctx;
	found[1][l->prefix.addr.s6_addr[7] % KEYS] = l->until_s;
}

static void got_binding(void *ctx, const struct store_binding *b)
{
	(void)ctx;
	found[0][b->prefix.addr.s6_addr[7] % KEYS] = b->until_s;
}

static bool was_put(int kind, unsigned key, uint64_t value, size_t cut)
{
	for (unsigned t = 0; t < TURNS && turn_began[t] <= cut; t++)
		if (put[kind][key][t] == value)
			return true;
	return false;
}

static void after_a_cut(size_t cut)
{
	char path[128], err[STORE_ERR] = "";
	struct store_meta meta;
	struct store *s;

	make_disk(cut);
	(void)snprintf(path, sizeof(path), "%s/after", dir);
	memset(found, 0, sizeof(found));
	if (store_open(path, &s, err) < 0)
		fail_msg("cut after %zu of %zu operations: %s", cut, n_records, err);
	assert_int_equal(store_load(s, got_lease, got_binding, NULL, &meta), 0);
	for (size_t i = 0; i < n_promises && promise[i].at <= cut; i++)
		if (found[promise[i].lease][promise[i].key] < promise[i].value)
			fail_msg("cut after %zu operations: %s %u of turn %u is lost, %u is there", cut,
				promise[i].lease ? "lease" : "binding", promise[i].key,
				(unsigned)promise[i].value - 1000, (unsigned)found[promise[i].lease][promise[i].key]);
	for (int kind = 0; kind < 2; kind++)
		for (unsigned key = 0; key < KEYS; key++)
			if (found[kind][key] && !was_put(kind, key, found[kind][key], cut))
				fail_msg("cut after %zu operations: %u has %u, which nobody put", cut, key,
					(unsigned)found[kind][key]);
	store_close(s);
	for (int i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof(path), "%s/after/%s", dir, file_name[i]);
		(void)unlink(path);
	}
	(void)snprintf(path, sizeof(path), "%s/after/lock.mdb", dir);
	(void)unlink(path);
}

static void any_moment(void **state)
{
	const char *text = getenv("POWERCUT_SEED"), *many = getenv("POWERCUT_CUTS");
	unsigned cuts = many ? (unsigned)atoi(many) : CUTS;
	char path[128], err[STORE_ERR] = "";
	struct store *s;
	size_t first;

	(void)state;
	seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);
	print_message("seed %llu\n", (unsigned long long)seed);
	(void)snprintf(dir, sizeof(dir), "/tmp/test_powercut.XXXXXX");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/after", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/before", dir);
	recording = true;
	if (store_open(path, &s, err) < 0)
		fail_msg("%s", err);
	/* a store that was never whole is begun anew by the next start; what counts begins here */
	assert_int_equal(store_put_meta(s, &(struct store_meta){.restart_counter = 1}), 0);
	assert_true(store_commit(s) >= 0);
	first = n_records;
	run(s);
	recording = false;
	store_close(s);
	assert_true(n_promises > 50 && n_records > first + 500);
	for (unsigned i = 0; i < cuts; i++)
		after_a_cut(first + rnd((uint32_t)(n_records - first + 1)));
	after_a_cut(n_records);
	print_message("%u cuts among %zu operations, %zu promises\n", cuts, n_records - first, n_promises);
	for (int i = 0; i < 3; i++) {
		static const char *const files[] = {"data.mdb", "journal", "lock.mdb"};

		(void)snprintf(path, sizeof(path), "%s/before/%s", dir, files[i]);
		(void)unlink(path);
	}
	(void)snprintf(path, sizeof(path), "%s/before", dir);
	(void)rmdir(path);
	(void)snprintf(path, sizeof(path), "%s/after", dir);
	(void)rmdir(path);
	(void)rmdir(dir);
	for (size_t i = 0; i < n_records; i++)
		free(record[i].bytes);
	free(record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(any_moment)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
