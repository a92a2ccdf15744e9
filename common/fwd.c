/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fwd.c - forwarding state as values
 *
 * One entry an identity: what is wanted (object), whether it is, and a hash of what the kernel is thought to have. An
 * entry whose two sides differ stands in one of four queues, emptied in order:
 *
 *   0 nexthops to add or replace     2 addresses, routes and rules to delete
 *   1 addresses, routes and rules    3 nexthops to delete
 *
 * An entry whose wish changes between fwd_next and fwd_result is stale: its next change comes after the answer. As long
 * as a nexthop is, queue 1 waits, which may need it; as long as anything else is, queue 3 waits, which it may still
 * use.
 *
 * An entry that is neither wanted nor installed is freed. */
#include "fwd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "table.h"

#define QUEUES	       4
#define RESTORE_MOST   20
#define RESTORE_WINDOW 10 /* s */
#define UNKNOWN	       1  /* installed: something, but not what (a replacement was refused); no hash */

struct fwd_key {
	struct in6_addr addr;
	uint32_t a, b;
	uint16_t kind, len;
	uint32_t src_len;
	uint8_t more[16]; /* source prefix, or interface */
};

/* There are two for each binding: so an object takes only the room its kind needs. One that outgrows it moves to memory
 * of its own. */
struct fwd_entry {
	struct table_entry in_table;
	struct fwd_entry *prev, *next; /* in its queue */
	uint64_t cookie;
	uint32_t wish;	    /* hash of its object */
	uint32_t installed; /* hash of what the kernel has, 0 = nothing */
	uint32_t asked;	    /* with busy: hash of what it was asked for, 0 = to delete it */
	uint32_t window_s;  /* begin of the present window of restores */
	int16_t error;
	int8_t queue; /* -1 = in none */
	uint8_t restores, generation;
	bool wanted : 1, busy : 1, replacing : 1, stale : 1, lost : 1, held : 1, failed : 1, moved : 1;
	uint8_t size;			/* of the object */
	_Alignas(void *) uint8_t own[]; /* the object, or with moved: where it is */
};

struct fwd_set {
	struct table entries;
	struct fwd_entry *queue[QUEUES];
	unsigned stale_nexthops, stale_others;
	struct fwd_counters counters;
	fwd_done_cb *done;
	void *ctx;
	uint8_t generation;
	uint64_t wake_us;
};

const char *fwd_kind_name(enum fwd_kind kind)
{
	switch (kind) {
	case FWD_NEXTHOP:
		return "nexthop";
	case FWD_ADDRESS:
		return "address";
	case FWD_ROUTE:
		return "route";
	case FWD_RULE:
		return "rule";
	case FWD_KINDS:
		break;
	}
	return "?";
}

const char *fwd_object_text(const struct fwd_object *o)
{
	static char buf[256];

	switch (o->kind) {
	case FWD_NEXTHOP:
		(void)snprintf(buf, sizeof(buf), "nexthop %u to %s", o->nexthop.id, in6_text(&o->nexthop.encap.dst));
		break;
	case FWD_ADDRESS:
		(void)snprintf(buf, sizeof(buf), "address %s", in6_text(&o->address.address));
		break;
	case FWD_ROUTE:
		(void)snprintf(buf, sizeof(buf), "route %s%s%s table %u metric %u", prefix6_text(&o->route.dst),
			!o->route.brief && o->route.src.len ? " from " : "",
			!o->route.brief && o->route.src.len ? prefix6_text(&o->route.src) : "", o->route.table,
			o->route.metric);
		break;
	case FWD_RULE:
		if (o->rule.mark)
			(void)snprintf(buf, sizeof(buf), "rule fwmark 0x%x table %u", o->rule.mark, o->rule.table);
		else
			(void)snprintf(buf, sizeof(buf), "rule from %s%s%s table %u", prefix6_text(&o->rule.from),
				o->rule.iif[0] ? " iif " : "", o->rule.iif, o->rule.table);
		break;
	case FWD_KINDS:
		break;
	}
	return buf;
}

static struct fwd_key key_of(const struct fwd_object *o)
{
	struct fwd_key k;

	memset(&k, 0, sizeof(k));
	k.kind = (uint16_t)o->kind;
	switch (o->kind) {
	case FWD_NEXTHOP:
		k.a = o->nexthop.id;
		break;
	case FWD_ADDRESS:
		k.addr = o->address.address;
		k.a = o->address.ifindex;
		break;
	case FWD_ROUTE:
		k.addr = o->route.dst.addr;
		k.len = o->route.dst.len;
		k.a = o->route.table;
		k.b = o->route.metric;
		if (!o->route.brief && o->route.src.len) {
			k.src_len = o->route.src.len;
			memcpy(k.more, &o->route.src.addr, sizeof(k.more));
		}
		break;
	case FWD_RULE:
		k.addr = o->rule.from.addr;
		k.len = o->rule.from.len;
		if (o->rule.mark) /* such a rule is for packets from anywhere: there is room */
			memcpy(&k.addr, &o->rule.mark, sizeof(o->rule.mark));
		k.a = o->rule.table;
		k.b = o->rule.priority;
		memcpy(k.more, o->rule.iif, strnlen(o->rule.iif, sizeof(k.more)));
		break;
	case FWD_KINDS:
		break;
	}
	return k;
}

static uint32_t mix(uint32_t h, const void *p, size_t len)
{
	return (uint32_t)((table_hash_bytes(p, len) ^ h) * 0x9e3779b97f4a7c15ULL >> 32);
}

static bool is_none(const struct in6_addr *a)
{
	return IN6_IS_ADDR_UNSPECIFIED(a);
}

static bool is_brief(const struct fwd_object *o)
{
	return o->route.brief ||
		(!o->route.src.len && is_none(&o->route.prefsrc) &&
			(is_none(&o->route.encap.dst) || o->route.nexthop || o->route.type != FWD_UNICAST));
}

static size_t size_of(const struct fwd_object *o)
{
	size_t size = 0;

	switch (o->kind) {
	case FWD_NEXTHOP:
		size = offsetof(struct fwd_object, nexthop) + sizeof(o->nexthop);
		break;
	case FWD_ADDRESS:
		size = offsetof(struct fwd_object, address) + sizeof(o->address);
		break;
	case FWD_ROUTE:
		size = is_brief(o) ? offsetof(struct fwd_object, route.prefsrc) : sizeof(*o);
		break;
	case FWD_RULE:
		size = offsetof(struct fwd_object, rule) + sizeof(o->rule);
		break;
	case FWD_KINDS:
		break;
	}
	return size;
}

void fwd_object_copy(struct fwd_object *to, const struct fwd_object *from)
{
	memset(to, 0, sizeof(*to));
	memcpy(to, from, size_of(from));
	if (to->kind == FWD_ROUTE)
		to->route.brief = false;
}

/* Of everything that makes two objects of one identity differ; never 0 or UNKNOWN. Field by field: padding does not
 * count. */
static uint32_t hash_of(const struct fwd_object *o)
{
	uint32_t h = 2166136261u ^ (uint32_t)o->kind;

	switch (o->kind) {
	case FWD_NEXTHOP:
		h = mix(h, &o->nexthop.oif, sizeof(o->nexthop.oif));
		h = mix(h, &o->nexthop.encap, sizeof(o->nexthop.encap));
		break;
	case FWD_ADDRESS:
		h = mix(h, &o->address.deprecated, sizeof(o->address.deprecated));
		break;
	case FWD_ROUTE:
		h = mix(h, &o->route.type, sizeof(o->route.type));
		h = mix(h, &o->route.nexthop, sizeof(o->route.nexthop));
		h = mix(h, &o->route.mtu, sizeof(o->route.mtu));
		/* an unreachable route shows a device (lo) in dumps that nobody asked for */
		if (o->route.type == FWD_UNICAST && !o->route.nexthop) {
			h = mix(h, &o->route.oif, sizeof(o->route.oif));
			h = mix(h, &o->route.gateway, sizeof(o->route.gateway));
		}
		if (is_brief(o))
			break;
		h = mix(h, &o->route.encap, sizeof(o->route.encap));
		h = mix(h, &o->route.prefsrc, sizeof(o->route.prefsrc));
		break;
	case FWD_RULE:
	case FWD_KINDS:
		break;
	}
	return h > UNKNOWN ? h : UNKNOWN + 1;
}

static struct fwd_object *object_of(const struct fwd_entry *e)
{
	struct fwd_object *o = (struct fwd_object *)(void *)(uintptr_t)e->own;

	if (e->moved)
		memcpy(&o, e->own, sizeof(struct fwd_object *));
	return o;
}

#define ENTRY(e) TABLE_OBJECT(e, struct fwd_entry, in_table)

static uint64_t hash_key(const void *ctx, const struct table_entry *e)
{
	struct fwd_key k = key_of(object_of(ENTRY(e)));

	(void)ctx;
	return table_hash_bytes(&k, sizeof(k));
}

static void entry_free(struct fwd_entry *e)
{
	if (e->moved)
		free(object_of(e));
	free(e);
}

/* Returns 0 or -ENOMEM, nothing changed. */
static int entry_set(struct fwd_entry *e, const struct fwd_object *o)
{
	size_t size = size_of(o);

	if (size > e->size) {
		struct fwd_object *larger = malloc(sizeof(*larger)); /* never grows again */

		if (!larger)
			return -ENOMEM;
		memcpy(e->own, &larger, sizeof(struct fwd_object *));
		e->moved = true;
		e->size = sizeof(*larger);
	}
	memcpy(object_of(e), o, size);
	e->wish = hash_of(o);
	if (o->kind == FWD_ROUTE)
		object_of(e)->route.brief = size < sizeof(*o);
	return 0;
}

struct fwd_set *fwd_new(fwd_done_cb *done, void *ctx)
{
	struct fwd_set *s = calloc(1, sizeof(*s));

	if (s) {
		s->done = done;
		s->ctx = ctx;
		s->wake_us = UINT64_MAX;
		table_init(&s->entries, hash_key, NULL);
	}
	return s;
}

void fwd_free(struct fwd_set *s)
{
	struct table_entry *e, *tmp;

	if (!s)
		return;
	TABLE_EACH(&s->entries, e, tmp) {
		entry_free(ENTRY(e));
	}
	table_done(&s->entries);
	free(s);
}

size_t fwd_count(const struct fwd_set *s)
{
	return s->entries.n;
}

const struct fwd_counters *fwd_counters(const struct fwd_set *s)
{
	return &s->counters;
}

static struct fwd_entry *entry_find(const struct fwd_set *s, const struct fwd_object *o)
{
	struct fwd_key k = key_of(o);
	struct table_entry *e = table_first(&s->entries, table_hash_bytes(&k, sizeof(k)));

	for (; e; e = e->next) {
		struct fwd_key other = key_of(object_of(ENTRY(e)));

		if (memcmp(&other, &k, sizeof(k)) == 0)
			return ENTRY(e);
	}
	return NULL;
}

static struct fwd_entry *entry_get(struct fwd_set *s, const struct fwd_object *o)
{
	struct fwd_entry *e = entry_find(s, o);

	if (e)
		return e;
	e = calloc(1, offsetof(struct fwd_entry, own) + size_of(o));
	if (!e)
		return NULL;
	e->size = (uint8_t)size_of(o);
	(void)entry_set(e, o);
	e->queue = -1;
	if (table_add(&s->entries, &e->in_table) < 0) {
		free(e);
		return NULL;
	}
	return e;
}

static void dequeue(struct fwd_set *s, struct fwd_entry *e)
{
	if (e->queue < 0)
		return;
	DL_DELETE(s->queue[e->queue], e);
	e->queue = -1;
}

static void tell(struct fwd_set *s, struct fwd_entry *e, int result, const char *text)
{
	uint64_t cookie = e->cookie;

	e->cookie = 0;
	if (cookie && s->done)
		s->done(s->ctx, cookie, result, text);
}

static uint32_t wish_of(const struct fwd_entry *e)
{
	return e->wanted ? e->wish : 0;
}

static void set_stale(struct fwd_set *s, struct fwd_entry *e, bool stale)
{
	unsigned *n = object_of(e)->kind == FWD_NEXTHOP ? &s->stale_nexthops : &s->stale_others;

	*n += (unsigned)stale - (unsigned)e->stale;
	e->stale = stale;
}

/* Put the entry where it belongs: into a queue if its two sides differ, away if it has none. e may be freed. */
static void settle(struct fwd_set *s, struct fwd_entry *e)
{
	int queue = -1;

	if (e->busy) { /* fwd_result settles it */
		set_stale(s, e, wish_of(e) != e->asked || e->installed != e->asked);
		return;
	}
	if (e->wanted && !e->held && !e->failed && e->installed != e->wish)
		queue = object_of(e)->kind == FWD_NEXTHOP ? 0 : 1;
	else if (!e->wanted && e->installed)
		queue = object_of(e)->kind == FWD_NEXTHOP ? 3 : 2;
	if (queue != e->queue) {
		dequeue(s, e);
		if (queue >= 0)
			DL_APPEND(s->queue[queue], e);
		e->queue = (int8_t)queue;
	}
	if (queue < 0 && !e->failed && !e->held)
		tell(s, e, 0, NULL);
	if (queue < 0 && !e->wanted) {
		table_remove(&s->entries, &e->in_table);
		entry_free(e);
	}
}

int fwd_want(struct fwd_set *s, const struct fwd_object *o, uint64_t cookie)
{
	struct fwd_entry *e = entry_get(s, o);
	uint32_t was;

	if (!e)
		return -ENOMEM;
	if (e->cookie && e->cookie != cookie)
		tell(s, e, -ECANCELED, NULL);
	was = e->wanted ? e->wish : 0;
	if (entry_set(e, o) < 0)
		return -ENOMEM;
	if (e->wish != was)
		e->failed = e->held = false;
	e->wanted = true;
	e->generation = s->generation;
	e->cookie = cookie;
	if (e->failed) {
		tell(s, e, e->error, NULL);
		return 0;
	}
	settle(s, e);
	return 0;
}

static void entry_unwant(struct fwd_set *s, struct fwd_entry *e, uint64_t cookie)
{
	if (e->cookie && e->cookie != cookie)
		tell(s, e, -ECANCELED, NULL);
	e->cookie = cookie;
	e->wanted = e->failed = e->held = false;
	settle(s, e);
}

void fwd_unwant(struct fwd_set *s, const struct fwd_object *o, uint64_t cookie)
{
	struct fwd_entry *e = entry_find(s, o);

	if (e)
		entry_unwant(s, e, cookie);
	else if (cookie && s->done)
		s->done(s->ctx, cookie, 0, NULL);
}

void fwd_begin(struct fwd_set *s)
{
	s->generation++;
}

void fwd_end(struct fwd_set *s)
{
	struct table_entry *at, *tmp;

	TABLE_EACH(&s->entries, at, tmp) {
		struct fwd_entry *e = ENTRY(at);

		if (e->wanted && e->generation != s->generation)
			entry_unwant(s, e, 0);
	}
}

void fwd_found(struct fwd_set *s, const struct fwd_object *o)
{
	struct fwd_entry *e = entry_get(s, o);

	if (!e)
		return;
	e->installed = hash_of(o);
	e->lost = false;
	settle(s, e);
}

void fwd_forget(struct fwd_set *s, bool count_restored)
{
	struct table_entry *at, *tmp;

	TABLE_EACH(&s->entries, at, tmp) {
		struct fwd_entry *e = ENTRY(at);

		e->lost |= count_restored && e->installed;
		e->installed = 0;
		e->failed = false;
		settle(s, e);
	}
}

/* Somebody else did something to what is wanted: to be put back, now or when its time is over. */
static void spoiled(struct fwd_set *s, struct fwd_entry *e, uint64_t now_us)
{
	uint32_t now_s = (uint32_t)(now_us / 1000000);

	if (now_s - e->window_s >= RESTORE_WINDOW) {
		e->window_s = now_s;
		e->restores = 0;
	}
	e->lost = true;
	if (e->restores == RESTORE_MOST) {
		e->held = true;
		s->counters.held_back++;
		if ((e->window_s + RESTORE_WINDOW) * 1000000ULL < s->wake_us)
			s->wake_us = (e->window_s + RESTORE_WINDOW) * 1000000ULL;
	} else {
		e->restores++;
	}
}

bool fwd_lost(struct fwd_set *s, const struct fwd_object *o, uint64_t now_us)
{
	struct fwd_entry *e = entry_find(s, o);
	bool wanted = e && e->wanted;

	if (!e)
		return false;
	e->installed = 0;
	if (wanted)
		spoiled(s, e, now_us);
	settle(s, e);
	return wanted;
}

bool fwd_changed(struct fwd_set *s, const struct fwd_object *o, uint64_t now_us)
{
	struct fwd_entry *e = entry_get(s, o);
	bool spoils = e && e->wanted && hash_of(o) != e->wish, held;

	if (!e)
		return false;
	e->installed = hash_of(o);
	if (spoils)
		spoiled(s, e, now_us);
	held = e->held;
	settle(s, e);
	return spoils && !held;
}

void fwd_retry(struct fwd_set *s)
{
	struct table_entry *at, *tmp;

	TABLE_EACH(&s->entries, at, tmp) {
		struct fwd_entry *e = ENTRY(at);

		if (!e->failed)
			continue;
		e->failed = false;
		settle(s, e);
	}
}

uint64_t fwd_wake_us(const struct fwd_set *s)
{
	return s->wake_us;
}

void fwd_release(struct fwd_set *s, uint64_t now_us)
{
	struct table_entry *at, *tmp;

	if (now_us < s->wake_us)
		return;
	s->wake_us = UINT64_MAX;
	TABLE_EACH(&s->entries, at, tmp) {
		struct fwd_entry *e = ENTRY(at);

		if (!e->held)
			continue;
		if (now_us < (e->window_s + RESTORE_WINDOW) * 1000000ULL) { /* another was due */
			if ((e->window_s + RESTORE_WINDOW) * 1000000ULL < s->wake_us)
				s->wake_us = (e->window_s + RESTORE_WINDOW) * 1000000ULL;
			continue;
		}
		e->held = false;
		e->window_s = (uint32_t)(now_us / 1000000);
		e->restores = 0;
		settle(s, e);
	}
}

struct fwd_entry *fwd_next(struct fwd_set *s, enum fwd_op *ret_op, const struct fwd_object **ret_object)
{
	for (int i = 0; i < QUEUES; i++) {
		struct fwd_entry *e = s->queue[i];

		if (!e || (i == 1 && s->stale_nexthops))
			continue;
		if (i == 3 && (s->stale_others || s->queue[1]))
			continue;
		dequeue(s, e);
		e->busy = true;
		e->replacing = e->wanted && e->installed;
		*ret_op = !e->wanted ? FWD_DELETE : e->installed ? FWD_REPLACE : FWD_ADD;
		*ret_object = object_of(e);
		s->counters.changes[object_of(e)->kind]++;
		/* what was asked for; if the wish changes before the answer, settle sees the difference */
		e->error = 0;
		e->installed = e->asked = wish_of(e);
		return e;
	}
	return NULL;
}

void fwd_result(struct fwd_set *s, struct fwd_entry *e, int result, const char *text)
{
	bool deleting = !e->asked, changed = wish_of(e) != e->asked, gone = !deleting && !e->installed;

	e->busy = false;
	set_stale(s, e, false);
	if (deleting && (result == -ESRCH || result == -ENOENT || result == -ENODEV || result == -EADDRNOTAVAIL))
		result = 0; /* it is gone, which is what was wanted */
	e->error = (int16_t)result;
	if (result == 0) {
		if (e->wanted && e->lost)
			s->counters.restored[object_of(e)->kind]++;
		e->lost = false;
		settle(s, e);
		return;
	}
	s->counters.failures[object_of(e)->kind]++;
	/* What the kernel keeps against our will (a nexthop in use) is forgotten here, found by the next dump. What it
	 * did not replace is there still. */
	e->installed = e->replacing && !gone ? UNKNOWN : 0;
	/* the answer is not about a wish that came later, nor about what was deleted by somebody else in between */
	if (!changed && !gone) {
		e->failed = !deleting;
		tell(s, e, result, text);
	}
	settle(s, e);
}

void fwd_each(const struct fwd_set *s, void (*cb)(void *ctx, const struct fwd_object *o, int error), void *ctx)
{
	struct table_entry *at, *tmp;

	TABLE_EACH(&s->entries, at, tmp) {
		const struct fwd_entry *e = ENTRY(at);

		if (e->wanted)
			cb(ctx, object_of(e), e->failed ? e->error : 0);
	}
}
