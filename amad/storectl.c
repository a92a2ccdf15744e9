/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storectl.c - 'amactl store' */
#include "storectl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"
#include "store.h"

#define FORMAT 1

static int fail(const char *text)
{
	(void)fprintf(stderr, "amactl: %s\n", text);
	return CTL_FAILED;
}

static bool exists(const char *directory)
{
	char path[4200];

	(void)snprintf(path, sizeof(path), "%.4000s/data.mdb", directory);
	return access(path, F_OK) == 0;
}

static struct store *open_it(const char *directory)
{
	char err[STORE_ERR];
	struct store *s;

	if (!exists(directory)) {
		(void)fprintf(stderr, "amactl: there is no store in %s (--state-dir names another place)\n", directory);
		return NULL;
	}
	if (store_open(directory, &s, err) < 0) {
		(void)fail(err);
		return NULL;
	}
	return s;
}

/* --- to JSON --------------------------------------------------------------------------------------------------- */

struct lists {
	json_t *leases, *bindings, *visits;
};

static json_t *key_json(const uint8_t key[32])
{
	char text[65];

	return json_string(sodium_bin2hex(text, sizeof(text), key, 32));
}

static json_t *link_layer_json(const uint8_t link_layer[6])
{
	char text[13];

	return json_string(sodium_bin2hex(text, sizeof(text), link_layer, 6));
}

static void lease_json(void *ctx, const struct store_lease *l)
{
	struct lists *x = ctx;

	(void)json_array_append_new(x->leases,
		json_pack("{s:s, s:s, s:o, s:I, s:b, s:o, s:s, s:s, s:o, s:I}", "hnp", prefix6_text(&l->prefix), "mn",
			l->node, "key", key_json(l->key), "until_s", (json_int_t)l->until_s, "resting", l->resting,
			"sequence", l->has_sequence ? json_integer(l->sequence) : json_null(), "interface", l->ifname,
			"link_local", in6_text(&l->link_local), "link_layer", link_layer_json(l->link_layer), "domain",
			(json_int_t)l->domain));
}

static void binding_json(void *ctx, const struct store_binding *b)
{
	struct lists *x = ctx;

	(void)json_array_append_new(x->bindings,
		json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:I, s:b}", "hnp", prefix6_text(&b->prefix), "care_of",
			in6_text(&b->care_of), "self", in6_text(&b->self), "until_s", (json_int_t)b->until_s, "mtu",
			(int)b->mtu, "sequence", (int)b->sequence, "nexthop", (json_int_t)b->nexthop, "proxied",
			b->proxied));
}

static void visit_json(void *ctx, const struct store_visit *v)
{
	struct lists *x = ctx;

	(void)json_array_append_new(x->visits,
		json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:i}", "hnp",
			prefix6_text(&v->prefix), "mn", v->node, "key", key_json(v->key), "anchor",
			in6_text(&v->anchor), "self", in6_text(&v->self), "link_local", in6_text(&v->link_local),
			"link_layer", link_layer_json(v->link_layer), "interface", v->ifname, "until_s",
			(json_int_t)v->until_s, "node_cookie", (json_int_t)v->node_cookie, "domain",
			(json_int_t)v->domain, "sequence", (int)v->sequence));
}

int storectl_export(const char *directory)
{
	struct lists x = {json_array(), json_array(), json_array()};
	struct store *s = open_it(directory);
	struct store_meta meta;
	int r;

	if (!s)
		return CTL_FAILED;
	r = store_load(s, lease_json, binding_json, &x, &meta);
	if (r == 0)
		r = store_load_visits(s, visit_json, &x);
	store_close(s);
	if (r < 0)
		return fail(strerror(-r));
	ctl_print_json(json_pack("{s:i, s:I, s:o, s:o, s:o}", "version", FORMAT, "restart_counter",
		(json_int_t)meta.restart_counter, "leases", x.leases, "bindings", x.bindings, "visits", x.visits));
	return CTL_OK;
}

int storectl_check(const char *directory, bool json)
{
	struct store *s = open_it(directory);
	struct store_summary sum;

	if (!s)
		return CTL_FAILED;
	(void)store_summary(s, &sum);
	store_close(s);
	if (json) {
		ctl_print_json(json_pack("{s:b, s:I, s:I, s:I, s:I}", "ok", true, "leases", (json_int_t)sum.records[0],
			"resting", (json_int_t)sum.resting, "bindings", (json_int_t)sum.records[1], "visits",
			(json_int_t)sum.records[2]));
		return CTL_OK;
	}
	(void)printf("%s is whole: %" PRIu64 " leases, %" PRIu64 " prefixes that rest, %" PRIu64 " bindings, %" PRIu64
		     " visits\n",
		directory, sum.records[0], sum.resting, sum.records[1], sum.records[2]);
	return CTL_OK;
}

/* --- from JSON ------------------------------------------------------------------------------------------------- */

static bool get_address(const json_t *o, const char *name, struct in6_addr *ret)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text && inet_pton(AF_INET6, text, ret) == 1;
}

static bool get_hnp(const json_t *o, struct prefix6 *ret)
{
	const char *text = json_string_value(json_object_get(o, "hnp"));

	return text && prefix6_parse(text, ret) == 0 && ret->len == 64;
}

static bool get_key(const json_t *o, uint8_t ret[32])
{
	const char *text = json_string_value(json_object_get(o, "key"));
	size_t n = 0;

	return text && strlen(text) == 64 && sodium_hex2bin(ret, 32, text, 64, NULL, &n, NULL) == 0 && n == 32;
}

static bool get_text(const json_t *o, const char *name, char *ret, size_t size)
{
	const char *text = json_string_value(json_object_get(o, name));

	return text && (size_t)snprintf(ret, size, "%s", text) < size;
}

static bool get_number(const json_t *o, const char *name, uint64_t most, uint64_t *ret)
{
	const json_t *v = json_object_get(o, name);

	*ret = (uint64_t)json_integer_value(v);
	return json_is_integer(v) && json_integer_value(v) >= 0 && *ret <= most;
}

/* One that exports of before did not have. */
static uint64_t get_optional(const json_t *o, const char *name, uint64_t most)
{
	uint64_t n;

	return get_number(o, name, most, &n) ? n : 0;
}

static bool get_link_layer(const json_t *o, uint8_t ret[6])
{
	const char *text = json_string_value(json_object_get(o, "link_layer"));
	size_t len;

	return text && sodium_hex2bin(ret, 6, text, strlen(text), NULL, &len, NULL) == 0 && len == 6;
}

static bool put_lease(struct store *s, const json_t *o)
{
	const json_t *sequence = json_object_get(o, "sequence");
	struct store_lease l = {
		.resting = json_is_true(json_object_get(o, "resting")), .has_sequence = json_is_integer(sequence)};
	uint64_t n = 0;

	if (!get_hnp(o, &l.prefix) || !get_key(o, l.key) || !get_text(o, "mn", l.node, sizeof(l.node)) ||
		!get_text(o, "interface", l.ifname, sizeof(l.ifname)) || !get_address(o, "link_local", &l.link_local) ||
		!get_link_layer(o, l.link_layer) || !get_number(o, "until_s", INT64_MAX, &l.until_s) ||
		(l.has_sequence && !get_number(o, "sequence", UINT16_MAX, &n)))
		return false;
	l.sequence = (uint16_t)n;
	l.domain = get_optional(o, "domain", INT64_MAX);
	return store_put_lease(s, &l, true) == 0;
}

static bool put_binding(struct store *s, const json_t *o)
{
	struct store_binding b = {0};
	uint64_t mtu, sequence, nexthop;

	if (!get_hnp(o, &b.prefix) || !get_address(o, "care_of", &b.care_of) || !get_address(o, "self", &b.self) ||
		!get_number(o, "until_s", INT64_MAX, &b.until_s) || !get_number(o, "mtu", UINT16_MAX, &mtu) ||
		!get_number(o, "sequence", UINT16_MAX, &sequence) || !get_number(o, "nexthop", UINT32_MAX, &nexthop))
		return false;
	b.mtu = (uint16_t)mtu;
	b.sequence = (uint16_t)sequence;
	b.nexthop = (uint32_t)nexthop;
	b.proxied = json_is_true(json_object_get(o, "proxied"));
	return store_put_binding(s, &b) == 0;
}

static bool put_visit(struct store *s, const json_t *o)
{
	struct store_visit v = {0};
	uint64_t cookie;

	if (!get_hnp(o, &v.prefix) || !get_key(o, v.key) || !get_text(o, "mn", v.node, sizeof(v.node)) ||
		!get_address(o, "anchor", &v.anchor) || !get_address(o, "self", &v.self) ||
		!get_address(o, "link_local", &v.link_local) || !get_link_layer(o, v.link_layer) ||
		!get_text(o, "interface", v.ifname, sizeof(v.ifname)) ||
		!get_number(o, "until_s", INT64_MAX, &v.until_s) || !get_number(o, "node_cookie", UINT32_MAX, &cookie))
		return false;
	v.node_cookie = (uint32_t)cookie;
	v.domain = get_optional(o, "domain", INT64_MAX);
	v.sequence = (uint16_t)get_optional(o, "sequence", UINT16_MAX);
	return store_put_visit(s, &v) == 0;
}

static int put_all(struct store *s, const json_t *all, size_t counts[3])
{
	static const struct {
		const char *name;
		bool (*put)(struct store *s, const json_t *o);
	} kinds[] = {{"leases", put_lease}, {"bindings", put_binding}, {"visits", put_visit}};
	const json_t *list, *o;
	struct store_meta meta = {0};
	uint64_t counter;
	size_t i;

	if (json_integer_value(json_object_get(all, "version")) != FORMAT)
		return fail("this is no export of a store, or one of another version");
	if (!get_number(all, "restart_counter", UINT32_MAX, &counter))
		return fail("restart_counter is missing");
	/* the bindings may be older than what the nodes were told since: they are asked to register again */
	meta.restart_counter = (uint32_t)counter + 1;
	(void)store_put_meta(s, &meta);
	for (size_t k = 0; k < 3; k++) {
		list = json_object_get(all, kinds[k].name);
		json_array_foreach(list, i, o)
		{
			char text[128];

			if (kinds[k].put(s, o)) {
				counts[k]++;
				continue;
			}
			(void)snprintf(text, sizeof(text),
				"%s, number %zu: a field is missing or cannot be; nothing was imported", kinds[k].name,
				i + 1);
			return fail(text);
		}
	}
	return CTL_OK;
}

int storectl_import(const char *directory, const char *path, bool force)
{
	json_error_t error;
	json_t *all = strcmp(path, "-") ? json_load_file(path, 0, &error) : json_loadf(stdin, 0, &error);
	char err[STORE_ERR], aside[4300];
	size_t counts[3] = {0};
	struct store *s;
	int status;

	if (!all) {
		(void)fprintf(stderr, "amactl: %s:%d: %s\n", path, error.line, error.text);
		return CTL_FAILED;
	}
	if (exists(directory)) {
		if (!force) {
			json_decref(all);
			(void)snprintf(
				err, sizeof(err), "%.300s has a store already (--force puts it aside)", directory);
			return fail(err);
		}
		if (store_open(directory, &s, err) == -EBUSY) {
			json_decref(all);
			return fail(err);
		}
		store_close(s);
		if (store_put_aside(directory, aside, sizeof(aside), err) < 0) {
			json_decref(all);
			return fail(err);
		}
		(void)fprintf(stderr, "the store that was there is in %s\n", aside);
	}
	if (store_open(directory, &s, err) < 0) {
		json_decref(all);
		return fail(err);
	}
	status = put_all(s, all, counts);
	if (status == CTL_OK && store_commit(s) < 0)
		status = fail("cannot commit");
	store_close(s);
	json_decref(all);
	if (status == CTL_OK)
		(void)printf("imported %zu leases, %zu bindings, %zu visits\n", counts[0], counts[1], counts[2]);
	return status;
}
