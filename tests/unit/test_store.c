/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_store.c - the store over commits, crashes, torn journals and damage */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "amad/store.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_store.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static const char *file(const char *name)
{
	static char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static int teardown(void **state)
{
	(void)state;
	(void)unlink(file("data.mdb"));
	(void)unlink(file("lock.mdb"));
	(void)unlink(file("journal"));
	return rmdir(dir);
}

static struct prefix6 prefix(unsigned n)
{
	struct in6_addr a;

	(void)inet_pton(AF_INET6, "2001:db8::", &a);
	a.s6_addr[4] = (uint8_t)(n >> 24);
	a.s6_addr[5] = (uint8_t)(n >> 16);
	a.s6_addr[6] = (uint8_t)(n >> 8);
	a.s6_addr[7] = (uint8_t)n;
	return prefix6_make(&a, 64);
}

static struct store_binding binding(unsigned n, uint16_t sequence)
{
	struct store_binding b = {
		.prefix = prefix(n), .until_s = 1000 + n, .mtu = 1400, .sequence = sequence, .nexthop = 0x40000000 + n};

	b.care_of = prefix(sequence).addr;
	b.care_of.s6_addr[15] = 1;
	b.self = prefix(77).addr;
	return b;
}

static struct store_lease lease(unsigned n)
{
	struct store_lease l = {.prefix = prefix(n), .until_s = 5000 + n, .sequence = 9, .has_sequence = true};

	memset(l.key, (int)n, sizeof(l.key));
	(void)snprintf(l.node, sizeof(l.node), "node%u", n);
	(void)snprintf(l.ifname, sizeof(l.ifname), "lan0");
	l.link_local.s6_addr[0] = 0xfe;
	l.link_local.s6_addr[1] = 0x80;
	l.link_local.s6_addr[15] = (uint8_t)n;
	return l;
}

static struct store *reopen(void)
{
	char err[STORE_ERR] = "";
	struct store *s;

	if (store_open(dir, &s, err) < 0)
		fail_msg("%s", err);
	return s;
}

struct loaded {
	unsigned n_leases, n_bindings;
	struct store_lease lease;
	struct store_binding binding[16]; /* by their number */
	struct store_meta meta;
};

static void got_lease(void *ctx, const struct store_lease *l)
{
	struct loaded *x = ctx;

	x->n_leases++;
	x->lease = *l;
}

static void got_binding(void *ctx, const struct store_binding *b)
{
	struct loaded *x = ctx;

	x->n_bindings++;
	x->binding[b->prefix.addr.s6_addr[7] % 16] = *b;
}

static struct loaded load(struct store *s)
{
	struct loaded x = {0};

	assert_int_equal(store_load(s, got_lease, got_binding, &x, &x.meta), 0);
	return x;
}

static void keeps_all_fields(void **state)
{
	struct store *s = reopen();
	struct store_lease l = lease(3);
	struct store_binding b = binding(3, 10);
	struct store_meta m = {.restart_counter = 42, .boot_id = "0a1b"};
	struct loaded x = load(s);

	(void)state;
	assert_int_equal(x.n_leases + x.n_bindings, 0);
	assert_int_equal(x.meta.restart_counter, 0);
	assert_int_equal(store_put_lease(s, &l, true), 0);
	assert_int_equal(store_put_binding(s, &b), 0);
	assert_int_equal(store_put_meta(s, &m), 0);
	assert_int_equal(store_commit(s), 0); /* all on disk */
	store_close(s);
	s = reopen();
	x = load(s);
	assert_int_equal(x.n_leases, 1);
	assert_int_equal(x.n_bindings, 1);
	assert_true(prefix6_equal(&x.lease.prefix, &l.prefix));
	assert_memory_equal(x.lease.key, l.key, 32);
	assert_string_equal(x.lease.node, "node3");
	assert_int_equal(x.lease.until_s, l.until_s);
	assert_int_equal(x.lease.sequence, 9);
	assert_true(x.lease.has_sequence);
	assert_string_equal(x.lease.ifname, "lan0");
	assert_memory_equal(&x.lease.link_local, &l.link_local, 16);
	assert_true(prefix6_equal(&x.binding[3].prefix, &b.prefix));
	assert_memory_equal(&x.binding[3].care_of, &b.care_of, 16);
	assert_memory_equal(&x.binding[3].self, &b.self, 16);
	assert_int_equal(x.binding[3].until_s, b.until_s);
	assert_int_equal(x.binding[3].mtu, 1400);
	assert_int_equal(x.binding[3].sequence, 10);
	assert_int_equal(x.binding[3].nexthop, 0x40000003);
	assert_int_equal(x.meta.restart_counter, 42);
	assert_string_equal(x.meta.boot_id, "0a1b");
	assert_int_equal(store_delete_lease(s, &l.prefix), 0);
	assert_int_equal(store_delete_binding(s, &b.prefix), 0);
	assert_int_equal(store_delete_binding(s, &b.prefix), 0); /* twice is no harm */
	assert_int_equal(store_commit(s), 1);
	assert_int_equal(store_sync(s), 0);
	assert_int_equal(store_commit(s), 0);
	x = load(s);
	assert_int_equal(x.n_leases + x.n_bindings, 0);
	store_close(s);
}

static off_t size_of(const char *name)
{
	struct stat st;

	assert_int_equal(stat(file(name), &st), 0);
	return st.st_size;
}

/* Committed but not synced: the process may die, what it committed is there. */
static void journal_survives_the_process(void **state)
{
	struct store *s = reopen();
	struct loaded x;

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		struct store_binding b = binding(i % 5, (uint16_t)i);

		assert_int_equal(store_put_binding(s, &b), 0);
		assert_int_equal(store_commit(s), 1);
	}
	assert_int_equal(store_put_binding(s, &(struct store_binding){.prefix = prefix(6)}), 0); /* never committed */
	assert_true(size_of("journal") > 0);
	store_close(s); /* closes files, writes nothing */
	s = reopen();
	x = load(s);
	assert_int_equal(x.n_bindings, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(x.binding[i].sequence, i + 5);
	assert_int_equal(size_of("journal"), 0);
	store_close(s);
}

/* A power cut tears the journal anywhere: what is whole counts, in order, and nothing else does. */
static void torn_journal(void **state)
{
	uint8_t whole[4096];
	struct store *s = reopen();
	ssize_t len;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct store_binding b = binding(i, (uint16_t)(i + 1));

		(void)store_put_binding(s, &b);
		(void)store_commit(s);
	}
	store_close(s);
	fd = open(file("journal"), O_RDONLY);
	len = read(fd, whole, sizeof(whole));
	(void)close(fd);
	assert_true(len > 0 && len % 4 == 0);
	for (ssize_t cut = 0; cut <= len; cut += 3) {
		for (int flip = 0; flip < 2; flip++) {
			uint8_t torn[4096];
			struct loaded x;

			(void)teardown(NULL);
			assert_int_equal(mkdir(dir, 0700), 0);
			s = reopen();
			store_close(s);
			memcpy(torn, whole, (size_t)len);
			if (flip && cut < len)
				torn[cut] ^= 0x10;
			fd = open(file("journal"), O_WRONLY);
			assert_int_equal(write(fd, torn, (size_t)(flip ? len : cut)), flip ? len : cut);
			(void)close(fd);
			s = reopen();
			x = load(s);
			assert_int_equal(x.n_bindings, cut / (len / 4));
			store_close(s);
		}
	}
}

/* The journal of an earlier generation, which came back after a power cut, does not undo what LMDB has. */
static void old_journal(void **state)
{
	uint8_t old[512];
	struct store *s = reopen();
	struct store_binding b = binding(1, 1);
	struct loaded x;
	ssize_t len;
	int fd;

	(void)state;
	(void)store_put_binding(s, &b);
	assert_int_equal(store_commit(s), 1);
	fd = open(file("journal"), O_RDWR);
	len = read(fd, old, sizeof(old));
	assert_int_equal(store_sync(s), 0);
	b = binding(1, 2);
	(void)store_put_binding(s, &b);
	assert_int_equal(store_commit(s), 1);
	assert_int_equal(store_sync(s), 0);
	store_close(s);
	assert_int_equal(pwrite(fd, old, (size_t)len, 0), len);
	(void)close(fd);
	s = reopen();
	x = load(s);
	assert_int_equal(x.binding[1].sequence, 2);
	store_close(s);
}

/* A child counts up in one binding and one lease a turn, and reports each number when it was committed; killed at any
 * time, the store has at least the last number reported. */
static void killed(void **state)
{
	unsigned last = 0;

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct loaded x;
		struct store *s;
		int pipes[2], status;
		uint16_t n;
		pid_t pid;

		assert_int_equal(pipe(pipes), 0);
		pid = fork();
		if (pid == 0) {
			char err[STORE_ERR];

			(void)close(pipes[0]);
			if (store_open(dir, &s, err) < 0)
				_exit(1);
			for (n = (uint16_t)(last + 1);; n++) {
				struct store_binding b = binding(1, n);
				struct store_lease l = lease(1);

				l.sequence = n;
				(void)store_put_binding(s, &b);
				if (n % 16 == 0)
					(void)store_put_lease(s, &l, n % 64 == 0);
				if (store_commit(s) < 0 || write(pipes[1], &n, sizeof(n)) != sizeof(n))
					_exit(1);
				if (n % 7 == 0)
					(void)store_sync(s);
			}
		}
		(void)close(pipes[1]);
		for (int i = 0; i < 50 + 13 * round; i++)
			if (read(pipes[0], &n, sizeof(n)) == sizeof(n))
				last = n;
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		while (read(pipes[0], &n, sizeof(n)) == sizeof(n))
			last = n;
		(void)close(pipes[0]);
		s = reopen();
		x = load(s);
		assert_int_equal(x.n_bindings, 1);
		assert_true(x.binding[1].sequence >= last);
		assert_true(x.binding[1].sequence <= last + 1);
		if (last >= 16)
			assert_true(x.lease.sequence >= last / 16 * 16);
		last = x.binding[1].sequence;
		store_close(s);
	}
}

static void refuses_damage(void **state)
{
	struct store *s = reopen();
	struct store *other;
	char err[STORE_ERR] = "", path[256], copy[300];
	struct stat st;
	off_t size;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 500; i++) {
		struct store_lease l = lease(i);

		(void)store_put_lease(s, &l, false);
	}
	(void)store_commit(s);
	assert_int_equal(store_sync(s), 0);
	store_close(s);
	size = size_of("data.mdb");
	assert_int_equal(truncate(file("data.mdb"), size / 2), 0);
	assert_int_equal(store_open(dir, &s, err), -EBADMSG);
	assert_non_null(strstr(err, dir));
	assert_int_equal(size_of("data.mdb"), size / 2); /* left as it is */
	fd = open(file("data.mdb"), O_WRONLY);
	for (int i = 0; i < 2; i++) /* both meta pages */
		assert_int_equal(pwrite(fd, "this is not a store at all, sorry", 34, i * 4096), 34);
	(void)close(fd);
	assert_int_equal(store_open(dir, &s, err), -EBADMSG);
	/* put aside whole, and a new one takes its place */
	assert_int_equal(store_put_aside(dir, path, sizeof(path), err), 0);
	assert_int_equal(access(file("data.mdb"), F_OK), -1);
	(void)snprintf(copy, sizeof(copy), "%s/data.mdb", path);
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_size, size / 2);
	assert_int_equal(store_open(dir, &s, err), 0);
	/* one at a time */
	assert_int_equal(store_open(dir, &other, err), -EBUSY);
	assert_non_null(strstr(err, "running amad"));
	store_close(s);
	(void)unlink(copy);
	(void)snprintf(copy, sizeof(copy), "%s/journal", path);
	(void)unlink(copy);
	(void)rmdir(path);
}

/* A record of another version refuses the store, and says so. */
static void another_version(void **state)
{
	struct store *s = reopen();
	char err[STORE_ERR];
	uint8_t *image;
	unsigned opened = 0, refused = 0;
	off_t size;
	int fd;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct store_lease l = lease(i);
		struct store_binding b = binding(i, 1);

		(void)store_put_lease(s, &l, false);
		(void)store_put_binding(s, &b);
	}
	(void)store_commit(s);
	assert_int_equal(store_sync(s), 0);
	store_close(s);
	size = size_of("data.mdb");
	image = malloc((size_t)size);
	fd = open(file("data.mdb"), O_RDWR);
	assert_int_equal(pread(fd, image, (size_t)size, 0), size);
	/* where a record's version stands: another version is refused with that reason */
	for (off_t at = 8192, versions = 0; at < size && versions < 20; at++) {
		if (memcmp(image + at, "node", 4) != 0)
			continue;
		at -= 1 + 32 + 8 + 1 + 2 + 16 + 16 + 6 + 8;
		versions++;
		image[at] ^= 0x40;
		assert_int_equal(pwrite(fd, image + at, 1, at), 1);
		err[0] = '\0';
		if (store_open(dir, &s, err) == 0) { /* an old page */
			opened++;
			store_close(s);
		} else {
			refused++;
			assert_non_null(strstr(err, "another version"));
		}
		image[at] ^= 0x40;
		assert_int_equal(pwrite(fd, image + at, 1, at), 1);
		at += 1 + 32 + 8 + 1 + 2 + 16 + 16 + 6 + 8 + 64;
	}
	assert_true(refused > 0);
	assert_int_equal(store_open(dir, &s, err), 0);
	store_close(s);
	(void)close(fd);
	free(image);
}

/* Where the journal cannot be written the turn is refused whole, and the next works. */
static void journal_fails(void **state)
{
	struct rlimit none, before;
	struct store *s = reopen();
	struct store_binding b = binding(1, 1);
	struct loaded x;

	(void)state;
	(void)store_put_binding(s, &b);
	assert_int_equal(store_commit(s), 1);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)getrlimit(RLIMIT_FSIZE, &before);
	none = before;
	none.rlim_cur = (rlim_t)size_of("journal") + 20; /* the next record is torn */
	(void)setrlimit(RLIMIT_FSIZE, &none);
	b = binding(2, 2);
	(void)store_put_binding(s, &b);
	assert_true(store_commit(s) < 0);
	(void)setrlimit(RLIMIT_FSIZE, &before);
	b = binding(3, 3);
	(void)store_put_binding(s, &b);
	assert_int_equal(store_commit(s), 1);
	store_close(s);
	s = reopen();
	x = load(s);
	assert_int_equal(x.n_bindings, 2);
	assert_int_equal(x.binding[1].sequence, 1);
	assert_int_equal(x.binding[2].sequence, 0);
	assert_int_equal(x.binding[3].sequence, 3);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(keeps_all_fields, setup, teardown),
		cmocka_unit_test_setup_teardown(journal_survives_the_process, setup, teardown),
		cmocka_unit_test_setup_teardown(torn_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(old_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(killed, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(another_version, setup, teardown),
		cmocka_unit_test_setup_teardown(journal_fails, setup, teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
