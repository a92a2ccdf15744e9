/* SPDX-License-Identifier: GPL-2.0-or-later */
/* srccheck.c - loads and feeds the source check */
#include "srccheck.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

#include "common/srccheck.bpf.inc" /* the object file as bytes: srccheck_object[] */

#define BATCH	 1024
#define HANDLE	 1
#define PRIORITY 1
/* On an access interface there may be filters of others. */
#define ACCESS_HANDLE	7872
#define ACCESS_PRIORITY 7872

struct srccheck {
	struct bpf_object *object;
	int prog, access_prog, map, left, visiting, on_link, was_on_link, counters, awaited;
	unsigned n_set, n_del, n_left, n_visit;
	uint64_t set_key[BATCH], del_key[BATCH];
	struct in6_addr set_value[BATCH];
	struct leaving {
		uint64_t prefix;
		struct in6_addr outer;
	} left_key[BATCH];
	struct visit {
		uint64_t prefix;
		struct visiting {
			struct in6_addr anchor;
			uint32_t mark;
		} value;
		bool over;
	} visit[BATCH]; /* in the order they were said */
	int error;	/* of a flush within a turn, told at its end */
};

static int quiet(enum libbpf_print_level level, const char *format, va_list ap)
{
	(void)level;
	(void)format;
	(void)ap;
	return 0;
}

int srccheck_new(enum srccheck_mode mode, uint32_t max_entries, struct srccheck **ret, char *reterr)
{
	struct srccheck *s = calloc(1, sizeof(*s));
	struct bpf_program *by_source, *by_destination, *by_node, *prog;
	struct bpf_map *map, *left, *visiting, *on_link, *was_on_link, *counters, *awaited;
	int r = 0;

	if (!s)
		return -ENOMEM;
	(void)libbpf_set_print(quiet);
	s->object = bpf_object__open_mem(srccheck_object, sizeof(srccheck_object), NULL);
	if (!s->object) {
		r = -errno;
		goto fail;
	}
	by_source = bpf_object__find_program_by_name(s->object, "by_inner_source");
	by_destination = bpf_object__find_program_by_name(s->object, "by_inner_destination");
	by_node = bpf_object__find_program_by_name(s->object, "by_node");
	map = bpf_object__find_map_by_name(s->object, "bindings");
	left = bpf_object__find_map_by_name(s->object, "left");
	visiting = bpf_object__find_map_by_name(s->object, "visiting");
	on_link = bpf_object__find_map_by_name(s->object, "on_link");
	was_on_link = bpf_object__find_map_by_name(s->object, "was_on_link");
	counters = bpf_object__find_map_by_name(s->object, "counters");
	awaited = bpf_object__find_map_by_name(s->object, "awaited");
	prog = mode == SRCCHECK_ANCHOR ? by_source : by_destination;
	if (!prog || !by_node || !map || !left || !visiting || !on_link || !was_on_link || !counters || !awaited) {
		r = -EINVAL;
		goto fail;
	}
	(void)bpf_program__set_autoload(mode == SRCCHECK_ANCHOR ? by_destination : by_source, false);
	(void)bpf_map__set_max_entries(map, max_entries);
	if (mode == SRCCHECK_ANCHOR) {
		(void)bpf_map__set_max_entries(visiting, SRCCHECK_VISITING_MAX);
		(void)bpf_map__set_max_entries(on_link, max_entries + SRCCHECK_VISITING_MAX);
	} else {
		(void)bpf_program__set_autoload(by_node, false);
	}
	r = bpf_object__load(s->object);
	if (r < 0)
		goto fail;
	s->prog = bpf_program__fd(prog);
	s->access_prog = mode == SRCCHECK_ANCHOR ? bpf_program__fd(by_node) : -1;
	s->on_link = bpf_map__fd(on_link);
	s->was_on_link = bpf_map__fd(was_on_link);
	s->map = bpf_map__fd(map);
	s->left = bpf_map__fd(left);
	s->visiting = bpf_map__fd(visiting);
	s->counters = bpf_map__fd(counters);
	s->awaited = bpf_map__fd(awaited);
	*ret = s;
	return 0;
fail:
	(void)snprintf(reterr, SRCCHECK_ERR, "cannot load the BPF source check: %s%s", strerror(-r),
		r == -EPERM ? " (CAP_BPF and CAP_NET_ADMIN are needed)" : "");
	srccheck_free(s);
	return r;
}

static int attach(uint32_t ifindex, int prog, uint32_t handle, uint32_t priority)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(
		bpf_tc_opts, opts, .prog_fd = prog, .handle = handle, .priority = priority, .flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	return r == 0 || r == -EEXIST ? bpf_tc_attach(&hook, &opts) : r;
}

int srccheck_attach_access(struct srccheck *s, uint32_t ifindex)
{
	return attach(ifindex, s->access_prog, ACCESS_HANDLE, ACCESS_PRIORITY);
}

void srccheck_detach_access(struct srccheck *s, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = ACCESS_HANDLE, .priority = ACCESS_PRIORITY);

	(void)s;
	(void)bpf_tc_detach(&hook, &opts); /* the qdisc may be somebody else's */
}

int srccheck_attach(struct srccheck *s, uint32_t ifindex, char *reterr)
{
	int r = attach(ifindex, s->prog, HANDLE, PRIORITY);

	if (r < 0)
		(void)snprintf(reterr, SRCCHECK_ERR, "cannot attach the BPF source check to the tunnel device: %s",
			strerror(-r));
	return r;
}

void srccheck_free(struct srccheck *s)
{
	if (!s)
		return;
	bpf_object__close(s->object);
	free(s);
}

static uint64_t key_of(const struct prefix6 *prefix)
{
	uint64_t key;

	memcpy(&key, &prefix->addr, sizeof(key));
	return key;
}

int srccheck_set(struct srccheck *s, const struct prefix6 *prefix, const struct in6_addr *outer)
{
	if (s->n_del > 0 || s->n_set == BATCH) /* a deletion of the same key must not come after this */
		(void)srccheck_flush(s);
	s->set_key[s->n_set] = key_of(prefix);
	s->set_value[s->n_set++] = *outer;
	return 0;
}

void srccheck_delete(struct srccheck *s, const struct prefix6 *prefix)
{
	if (s->n_set > 0 || s->n_del == BATCH)
		(void)srccheck_flush(s);
	s->del_key[s->n_del++] = key_of(prefix);
}

void srccheck_leave(struct srccheck *s, const struct prefix6 *prefix, const struct in6_addr *outer)
{
	if (s->n_left == BATCH)
		(void)srccheck_flush(s);
	s->left_key[s->n_left++] = (struct leaving){key_of(prefix), *outer};
}

static uint64_t leave_until_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec + SRCCHECK_LEAVE_MS * 1000000ULL;
}

/* Best effort: without it a few packets are lost, as on any move. */
static void flush_left(struct srccheck *s)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint64_t until[BATCH];
	uint32_t n = s->n_left;
	uint64_t until_ns = leave_until_ns();

	for (unsigned i = 0; i < n; i++)
		until[i] = until_ns;
	if (n == 1)
		(void)bpf_map_update_elem(s->left, s->left_key, until, BPF_ANY);
	else if (n > 1)
		(void)bpf_map_update_batch(s->left, s->left_key, until, &n, &opts);
	s->n_left = 0;
}

static struct visit *next_visit(struct srccheck *s, const struct prefix6 *prefix)
{
	if (s->n_visit == BATCH)
		(void)srccheck_flush(s);
	s->visit[s->n_visit] = (struct visit){.prefix = key_of(prefix)};
	return &s->visit[s->n_visit++];
}

void srccheck_visit(struct srccheck *s, const struct prefix6 *prefix, const struct in6_addr *anchor, uint32_t mark)
{
	next_visit(s, prefix)->value = (struct visiting){*anchor, mark};
}

void srccheck_visit_end(struct srccheck *s, const struct prefix6 *prefix)
{
	next_visit(s, prefix)->over = true;
}

/* Packets of one that did not fit are dropped, and counted. */
static void flush_visits(struct srccheck *s)
{
	int error = 0;

	for (unsigned i = 0; i < s->n_visit; i++)
		if (s->visit[i].over)
			(void)bpf_map_delete_elem(s->visiting, &s->visit[i].prefix);
		else if (bpf_map_update_elem(s->visiting, &s->visit[i].prefix, &s->visit[i].value, BPF_ANY) < 0)
			error = errno;
	s->n_visit = 0;
	if (error)
		log_warning("lu", "the source check cannot take a visiting prefix, whose packets are dropped: %s",
			strerror(error));
}

/* As the program has them. */
struct here {
	uint32_t ifindex;
	uint8_t link_layer[6];
	uint16_t zero;
};

struct was_here {
	uint64_t prefix;
	struct here here;
};

int srccheck_on_link(struct srccheck *s, const struct prefix6 *prefix, uint32_t ifindex, const uint8_t link_layer[6])
{
	struct was_here was = {.prefix = key_of(prefix)};
	struct here here = {.ifindex = ifindex};
	uint64_t until = leave_until_ns();

	memcpy(here.link_layer, link_layer, sizeof(here.link_layer));
	if (bpf_map_lookup_elem(s->on_link, &was.prefix, &was.here) == 0) {
		if (!memcmp(&was.here, &here, sizeof(here)))
			return 0;
		(void)bpf_map_update_elem(s->was_on_link, &was, &until, BPF_ANY);
	}
	return bpf_map_update_elem(s->on_link, &was.prefix, &here, BPF_ANY) < 0 ? -errno : 0;
}

void srccheck_off_link(struct srccheck *s, const struct prefix6 *prefix)
{
	uint64_t key = key_of(prefix);

	(void)bpf_map_delete_elem(s->on_link, &key);
}

int srccheck_flush(struct srccheck *s)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	int error = 0;

	flush_left(s);
	flush_visits(s);
	if (s->n_set > 0) {
		uint32_t n = s->n_set;

		if (n == 1 || bpf_map_update_batch(s->map, s->set_key, s->set_value, &n, &opts) < 0)
			for (unsigned i = 0; i < s->n_set; i++) /* kernels without batches, and the exact error */
				if (bpf_map_update_elem(s->map, &s->set_key[i], &s->set_value[i], BPF_ANY) < 0)
					error = -errno;
	}
	for (unsigned i = 0; i < s->n_del; i++)
		(void)bpf_map_delete_elem(s->map, &s->del_key[i]);
	s->n_set = s->n_del = 0;
	if (error)
		s->error = error;
	error = s->error;
	s->error = 0;
	return error;
}

/* As the program has it. */
struct awaited {
	struct in6_addr care_of;
	uint64_t first_ns;
};

void srccheck_await(struct srccheck *s, const struct in6_addr *care_of)
{
	struct awaited w = {.care_of = *care_of};
	uint32_t zero = 0;

	(void)bpf_map_update_elem(s->awaited, &zero, &w, BPF_ANY);
}

uint64_t srccheck_first_us(const struct srccheck *s, const struct in6_addr *care_of)
{
	struct awaited w = {0};
	uint32_t zero = 0;

	return bpf_map_lookup_elem(s->awaited, &zero, &w) == 0 && IN6_ARE_ADDR_EQUAL(&w.care_of, care_of)
		? w.first_ns / 1000
		: 0;
}

int srccheck_counters(const struct srccheck *s, struct srccheck_counters *ret)
{
	uint64_t *to[] = {&ret->passed, &ret->unbound, &ret->wrong_source, &ret->malformed, &ret->wrong_node};
	int cpus = libbpf_num_possible_cpus();

	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < sizeof(to) / sizeof(to[0]); i++) {
		uint64_t v[1024];

		if (cpus < 1 || cpus > 1024 || bpf_map_lookup_elem(s->counters, &i, v) < 0)
			return -EIO;
		for (int c = 0; c < cpus; c++)
			*to[i] += v[c];
	}
	return 0;
}
