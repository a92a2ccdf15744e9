/* SPDX-License-Identifier: GPL-2.0-or-later */
/* amad.c - the access mobility anchor
 *
 * A Binding Update changes leases, the binding cache and the wanted forwarding state at once, and its acknowledgement
 * waits in a list. At the end of the turn the store commits, the kernel gets all changes in one batch and says what it
 * thinks of each, and then the acknowledgements leave: one that says 0 is in the store and in the kernel.
 *
 * The node is whoever holds the key of the channel; nothing in a message names it. Order of checks: form, who (lease),
 * place (on the link, care-of address), sequence, resources. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "anchor.h"

#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* --- small things ---------------------------------------------------------------------------------------------- */

static void remember_error(struct amad *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void remember_error(struct amad *a, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(a->error[a->n_errors++ % ERRORS], sizeof(a->error[0]), format, ap);
	va_end(ap);
}

void amad_emit(struct amad *a, const char *event, const struct lease *l, const struct in6_addr *care_of)
{
	if (!control_is_monitored(a->daemon.control))
		return;
	control_emit(a->daemon.control, event,
		json_pack("{s:s, s:s, s:s?}", "hnp", prefix6_text(&l->prefix), "mn", l->node, "care_of",
			care_of ? in6_text(care_of) : NULL));
}

bool amad_is_access(const struct amad *a, uint32_t ifindex)
{
	for (unsigned i = 0; i < a->n_access; i++)
		if (a->access[i] == ifindex)
			return true;
	return false;
}

/* Switched off, we still forward for nodes that are served until they have gone another way, or do not come back. */
static bool serves(const struct amad *a)
{
	return a->config.proxy || serving_count(a->serving) > 0;
}

static void want_rules(struct amad *a)
{
	a->serves = serves(a);
	for (unsigned i = 0; i < a->n_access; i++)
		rc_want_access(a->set, a->access_name[i], a->serves);
	rc_want_early(a->set, a->serves);
}

/* The wall clock is read once a turn. */
static uint64_t wall_now_us(struct amad *a)
{
	uint64_t turn_us = loop_now_us(a->daemon.loop);

	if (a->wall_turn_us != turn_us) {
		a->wall_turn_us = turn_us;
		a->wall_us = loop_wall_ns() / 1000;
	}
	return a->wall_us;
}

static uint64_t to_wall_s(struct amad *a, uint64_t at_us)
{
	return (wall_now_us(a) + (at_us - loop_now_us(a->daemon.loop)) + SEC - 1) / SEC;
}

/* 0: it is over. The clock may be behind, as that of a machine without a battery is when it starts: nothing that was
 * given for most_us can have more of it left. */
static uint64_t from_wall_s(struct amad *a, uint64_t wall_s, uint64_t most_us)
{
	uint64_t now_wall_us = wall_now_us(a), left_us = wall_s * SEC > now_wall_us ? wall_s * SEC - now_wall_us : 0;

	if (left_us > most_us)
		left_us = most_us;
	return left_us ? loop_now_us(a->daemon.loop) + left_us : 0;
}

/* The configuration may have been another one when it was given. */
static uint64_t or_usual(uint64_t configured_us, uint64_t usual_us)
{
	return configured_us > usual_us ? configured_us : usual_us;
}

void amad_stored(struct amad *a, int r)
{
	if (r >= 0)
		return;
	a->count_store++;
	remember_error(a, "store: %s", strerror(-r));
}

/* Name of the interface that the lease's node is on, "" if it is on none. */
const char *amad_lease_ifname(const struct amad *a, const struct lease *l, char buf[IF_NAMESIZE])
{
	buf[0] = '\0';
	if (l->ifindex & ABSENT_BIT)
		return a->absent[l->ifindex & ~ABSENT_BIT];
	for (unsigned i = 0; i < a->n_access; i++)
		if (a->access[i] == l->ifindex)
			return a->access_name[i];
	if (l->ifindex)
		(void)if_indextoname(l->ifindex, buf);
	return buf;
}

static uint32_t absent_index(struct amad *a, const char *name)
{
	for (unsigned i = 0; i < a->n_absent; i++)
		if (!strcmp(a->absent[i], name))
			return ABSENT_BIT | i;
	if (a->n_absent == ABSENT)
		return 0;
	(void)snprintf(a->absent[a->n_absent], IF_NAMESIZE, "%s", name);
	return ABSENT_BIT | a->n_absent++;
}

void amad_write_lease(struct amad *a, const struct lease *l, bool resting, bool now)
{
	char name[IF_NAMESIZE];
	struct store_lease s = {.prefix = l->prefix,
		.until_s = resting ? loop_wall_ns() / 1000000000 : to_wall_s(a, lease_until_us(l)),
		.resting = resting,
		.sequence = l->sequence,
		.has_sequence = l->has_sequence,
		.link_local = l->link_local};

	if (!l->revoked)
		memcpy(s.key, l->key, sizeof(s.key));
	memcpy(s.link_layer, l->link_layer, sizeof(s.link_layer));
	s.domain = peers_domain_id(a, l->domain);
	(void)snprintf(s.node, sizeof(s.node), "%s", l->node);
	(void)snprintf(s.ifname, sizeof(s.ifname), "%s", amad_lease_ifname(a, l, name));
	amad_stored(a, store_put_lease(a->store, &s, now));
}

/* is_new: the promise of this prefix has to be on disk before it is given. */
void amad_keep_lease(struct amad *a, const struct lease *l, bool is_new)
{
	amad_write_lease(a, l, l->revoked, is_new);
}

void amad_keep_binding(struct amad *a, const struct binding *b, const struct lease *l)
{
	struct store_binding s = {.prefix = b->prefix,
		.care_of = *mr_care_of(b->locator),
		.self = *mr_self(b->locator),
		.until_s = to_wall_s(a, binding_until_us(b)),
		.mtu = b->mtu,
		.proxied = b->proxied,
		.sequence = l->sequence,
		.nexthop = b->nexthop};

	amad_stored(a, store_put_binding(a->store, &s));
}

/* --- leases and bindings end ----------------------------------------------------------------------------------- */

/* One that came into being only by half. */
void amad_drop_binding(struct amad *a, struct binding *b)
{
	if (b->locator)
		rc_unbind(a->set, a->mr, b, false, 0);
	lm_delete(a->lm, b);
}

/* Do updates of nodes on our links go through another AMA? */
bool amad_has_regional(const struct amad *a)
{
	return !IN6_IS_ADDR_UNSPECIFIED(&a->config.through);
}

/* native: its route becomes the native one instead of going. */
void amad_end_binding(struct amad *a, struct binding *b, bool native, uint64_t cookie)
{
	if (b->proxied)
		updates_tell_previous(a, mr_care_of(b->locator), &b->prefix);
	if (a->srccheck) {
		srccheck_delete(a->srccheck, &b->prefix);
		srccheck_leave(a->srccheck, &b->prefix, mr_care_of(b->locator));
	}
	rc_unbind(a->set, a->mr, b, native, cookie);
	amad_stored(a, store_delete_binding(a->store, &b->prefix));
	lm_delete(a->lm, b);
}

/* Only the node of a lease sends from its prefix on our links. It stays so while the node is elsewhere. */
void amad_check_sender(struct amad *a, const struct lease *l)
{
	if (a->srccheck && l->ifindex && !(l->ifindex & ABSENT_BIT) &&
		srccheck_on_link(a->srccheck, &l->prefix, l->ifindex, l->link_layer) < 0)
		log_warning("anchoring", "cannot check who sends from %s", prefix6_text(&l->prefix));
}

void amad_set_domain(struct amad *a, struct lease *l, uint8_t domain)
{
	if (l->domain != NO_DOMAIN)
		a->domain[l->domain].leases--;
	if (domain != NO_DOMAIN)
		a->domain[domain].leases++;
	l->domain = domain;
}

void amad_end_lease(struct amad *a, struct lease *l, uint64_t cookie)
{
	struct binding *b = lm_find(a->lm, &l->prefix);

	if (b)
		amad_end_binding(a, b, false, cookie);
	else
		rc_withdraw(a->set, &l->prefix, cookie);
	if (a->srccheck)
		srccheck_off_link(a->srccheck, &l->prefix);
	if (a->config.quarantine_us)
		amad_write_lease(a, l, true, false);
	else
		amad_stored(a, store_delete_lease(a->store, &l->prefix));
	amad_set_domain(a, l, NO_DOMAIN);
	anchoring_release(a->anchoring, l, loop_now_us(a->daemon.loop) + a->config.quarantine_us);
}

/* The store or the kernel refused an update: everything is as before it. What ends something is not undone: the node
 * was going to let go of it, and says so again. */
void amad_undo(struct amad *a, const struct pending *p)
{
	const struct before *was = &p->before;
	struct lease *l = anchoring_find(a->anchoring, &p->prefix);
	struct binding *b = lm_find(a->lm, &p->prefix);

	if (!p->changes || !l)
		return;
	if (!was->leased) {
		amad_end_lease(a, l, 0);
		return;
	}
	l->ifindex = was->ifindex;
	l->link_local = was->link_local;
	memcpy(l->link_layer, was->link_layer, sizeof(l->link_layer));
	amad_check_sender(a, l);
	anchoring_renew(a->anchoring, l, was->leased_until_us);
	if (was->bound)
		b = b ? b : lm_get(a->lm, &p->prefix);
	else if (b)
		amad_end_binding(a, b, was->ifindex != 0, 0);
	else if (!was->ifindex)
		rc_withdraw(a->set, &p->prefix, 0);
	if (was->bound && b) {
		b->mtu = was->mtu;
		b->proxied = was->proxied;
		b->relay = was->relay;
		if (rc_bind(a->set, a->mr, b, &was->care_of, &was->self, a->tunnel, 0) < 0) { /* no memory */
			amad_drop_binding(a, b);
			return;
		}
		lm_set_until(a->lm, b, was->until_us);
		if (a->srccheck)
			(void)srccheck_set(a->srccheck, &p->prefix, &was->care_of);
		amad_keep_binding(a, b, l);
	} else if (was->ifindex && !(was->ifindex & ABSENT_BIT)) {
		(void)rc_native(a->set, l, 0);
	}
	amad_keep_lease(a, l, false);
}

static void tick(void *ctx)
{
	struct amad *a = ctx;
	uint64_t now_us = loop_now_us(a->daemon.loop);
	struct prefix6 prefix;
	struct binding *b;
	struct lease *l;

	while ((b = lm_expired(a->lm, now_us))) {
		l = anchoring_find(a->anchoring, &b->prefix);
		log_about(LOG_LEVEL_INFO, "lm", l ? l->node : NULL, prefix6_text(&b->prefix), NULL,
			"binding of %s (%s) to %s expired", prefix6_text(&b->prefix), l ? l->node : "?",
			in6_text(mr_care_of(b->locator)));
		if (l)
			amad_emit(a, "binding_expired", l, mr_care_of(b->locator));
		amad_end_binding(a, b, false, 0);
	}
	while ((l = anchoring_expired(a->anchoring, now_us))) {
		log_about(LOG_LEVEL_NOTICE, "anchoring", l->node, prefix6_text(&l->prefix), NULL,
			"lease of %s to %s expired", prefix6_text(&l->prefix), l->node);
		amad_emit(a, "lease_expired", l, NULL);
		amad_end_lease(a, l, 0);
	}
	while (anchoring_aged(a->anchoring, now_us, &prefix))
		amad_stored(a, store_delete_lease(a->store, &prefix));
	serving_tick(a->serving, now_us);
	if (a->serves != serves(a))
		want_rules(a);
	fwd_release(a->set, now_us);
	if (now_us / SEC % 60 == 0)
		channel_expire(a->channel, now_us);
	if (a->tunnel_lost || a->resync)
		loop_timer_at(&a->retry, now_us);
	loop_timer_at(&a->tick, now_us + SEC);
}

/* --- the end of a turn ----------------------------------------------------------------------------------------- */

static void kernel_done(void *ctx, uint64_t cookie, int result, const char *text)
{
	struct amad *a = ctx;
	struct pending *p;
	unsigned left_out;

	if (cookie == RC_VISIT_COOKIE && result < 0 && result != -ECANCELED) {
		remember_error(a, "kernel refused a route of a visiting node: %s%s%s", strerror(-result),
			text ? ": " : "", text ? text : "");
		if (log_bucket_take(&a->kernel_bucket, loop_now_us(a->daemon.loop), 10, 10 * SEC, &left_out))
			log_warning("nl", "the kernel refused a route of a visiting node: %s%s%s", strerror(-result),
				text ? ": " : "", text ? text : "");
	}
	if (cookie <= a->cookie || cookie > a->cookie + a->n_pending)
		return;
	p = &a->pending[cookie - a->cookie - 1];
	if (result == -ECANCELED) {
		p->superseded = p->ba.status < 128;
		return;
	}
	if (result == 0)
		return;
	p->kernel = result;
	remember_error(a, "kernel refused %s: %s%s%s", prefix6_text(&p->prefix), strerror(-result), text ? ": " : "",
		text ? text : "");
	if (log_bucket_take(&a->kernel_bucket, loop_now_us(a->daemon.loop), 10, 10 * SEC, &left_out))
		log_warning("nl", "the kernel refused the route of %s: %s%s%s; the update is refused",
			prefix6_text(&p->prefix), strerror(-result), text ? ": " : "", text ? text : "");
}

static void sync_soon(struct amad *a)
{
	if (a->syncing)
		return;
	a->syncing = true;
	loop_timer_at(&a->sync, loop_now_us(a->daemon.loop) + SYNC_US);
}

static void commit(void *ctx)
{
	struct amad *a = ctx;
	int r = store_commit(a->store);

	if (r == 1)
		sync_soon(a);
	if (r >= 0)
		return;
	a->count_store++;
	remember_error(a, "store: %s", strerror(-r));
	if (a->n_pending == 0) {
		log_error(
			"store", "cannot commit: %s; what expired is in the store until the next start", strerror(-r));
		return;
	}
	log_error("store", "cannot commit: %s; the %u updates of this turn are refused", strerror(-r), a->n_pending);
	/* the kernel has not heard of them; backwards: of two for one prefix the first knows what was */
	for (unsigned i = a->n_pending; i-- > 0;) {
		if (a->pending[i].ba.status >= 128)
			continue;
		a->pending[i].ba.status = MH_STATUS_RESOURCES;
		amad_undo(a, &a->pending[i]);
	}
}

static void on_sync(void *ctx)
{
	struct amad *a = ctx;
	int r = store_sync(a->store);

	a->syncing = false;
	if (r == 0)
		return;
	log_error("store", "cannot sync: %s; trying again in a second", strerror(-r));
	a->count_store++;
	a->syncing = true;
	loop_timer_at(&a->sync, loop_now_us(a->daemon.loop) + SEC);
}

static void apply(void *ctx)
{
	struct amad *a = ctx;
	int r;

	if (nl_apply(a->nl, a->set) < 0)
		a->resync = true;
	r = a->srccheck ? srccheck_flush(a->srccheck) : 0;
	if (r < 0) {
		remember_error(a, "source check: %s", strerror(-r));
		for (unsigned i = 0; i < a->n_pending; i++) /* it does not say which */
			if (a->pending[i].binds)
				a->pending[i].kernel = r;
	}
	if (a->resync || a->tunnel_lost)
		loop_timer_at(&a->retry, loop_now_us(a->daemon.loop));
}

/* The AMA at which it was until this turn hears of it now that it is so. */
static void tell_if_moved(struct amad *a, const struct pending *p)
{
	const struct binding *b = p->binds && p->before.bound && p->before.proxied ? lm_find(a->lm, &p->prefix) : NULL;

	if (b && !IN6_ARE_ADDR_EQUAL(mr_care_of(b->locator), &p->before.care_of))
		updates_tell_previous(a, &p->before.care_of, &p->prefix);
}

/* Ready is who has looked at the kernel once and has everything there: at the end of a turn that failed in nothing. */
static void say_ready(struct amad *a)
{
	a->ready = true;
	log_info("main", "amad %s is ready: %s of domain %s, %zu leases, %zu bindings", PACKAGE_VERSION,
		a->identity.name, a->identity.credential.domain, anchoring_count(a->anchoring), lm_count(a->lm));
	daemon_ready();
}

void amad_answer(void *ctx)
{
	struct amad *a = ctx;

	for (unsigned i = 0; i < a->n_pending; i++) {
		struct pending *p = &a->pending[i];
		uint8_t buf[128];
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_writer m;

		if (p->ba.status < 128 && p->kernel >= 0)
			tell_if_moved(a, p);
		if (p->superseded)
			continue;
		if (p->kernel < 0 && p->ba.status < 128) {
			p->ba.status = MH_STATUS_UNSPECIFIED;
			amad_undo(a, p);
			loop_timer_at(&a->retry, loop_now_us(a->daemon.loop)); /* another turn, for what that changed */
		}
		a->count_status[p->ba.status]++;
		if (p->ba.status >= 128)
			p->ba.lifetime_s = 0;
		m = mh_begin_ba(&w, &p->ba);
		mh_put_prefix(&m, MHOPT_HNP, &p->prefix);
		if (p->with_lease && p->ba.status < 128)
			mh_put_lease(&m, &p->lease);
		if (p->with_lease && amad_has_regional(a))
			mh_put_regional(&m, &a->config.through);
		mh_end(&m);
		if (wcur_ok(&w))
			(void)channel_send(a->channel, p->peer, buf, wcur_len(&w));
		/* before the sealed answer, so that the last hop is there when the node reads it */
		if (p->relay)
			peers_answer(a, p->relay, p->proxy_sequence, p->ba.status, p->ba.lifetime_s, &p->prefix);
	}
	a->cookie += a->n_pending;
	a->n_pending = 0;
	channel_flush(a->channel, loop_now_us(a->daemon.loop));
	if (a->timestamps_due) { /* a handshake begins that needs more of them */
		a->timestamps_due = false;
		commit(a);
	}
	transport_flush(a->transport);
	if (!a->ready && !a->resync && !a->tunnel_lost)
		say_ready(a);
}

/* --- the kernel's news ----------------------------------------------------------------------------------------- */

struct came_ctx {
	struct amad *a;
	uint32_t from, to;
};

static void renumber(void *ctx, struct lease *l)
{
	struct came_ctx *c = ctx;

	if (l->ifindex != c->from)
		return;
	l->ifindex = c->to;
	amad_check_sender(c->a, l);
	if (!(c->to & ABSENT_BIT) && !lm_find(c->a->lm, &l->prefix))
		(void)rc_native(c->a->set, l, 0);
}

/* Nodes that were on an interface of this name are on it again. */
static void link_came(struct amad *a, const struct nl_link *link)
{
	for (unsigned i = 0; i < a->n_absent; i++) {
		struct came_ctx c = {a, ABSENT_BIT | i, link->ifindex};

		if (!strcmp(a->absent[i], link->name))
			anchoring_each(a->anchoring, renumber, &c);
	}
}

static void link_went(struct amad *a, const struct nl_link *link)
{
	struct came_ctx c = {a, link->ifindex, absent_index(a, link->name)};

	if (c.to)
		anchoring_each(a->anchoring, renumber, &c);
}

static void check_access(struct amad *a, const struct nl_link *link)
{
	int r = a->srccheck && link->ethernet ? srccheck_attach_access(a->srccheck, link->ifindex) : 0;

	if (r < 0 && r != -ENODEV)
		log_warning("anchoring", "cannot check who sends what on %s: %s", link->name, strerror(-r));
}

static void on_link(void *ctx, const struct nl_link *link, bool present)
{
	struct amad *a = ctx;
	bool wanted = false;

	if (link->ifindex == a->tunnel) {
		a->tunnel_lost |= (!present || !link->up) && !nl_link_is_up(a->tunnel);
		return;
	}
	for (unsigned i = 0; i < a->config.access.n; i++)
		wanted |= fnmatch(a->config.access.word[i], link->name, 0) == 0;
	for (unsigned i = 0; i < a->n_access; i++) {
		if (a->access[i] != link->ifindex)
			continue;
		if (!present)
			link_went(a, link);
		if (!present || !wanted || strcmp(a->access_name[i], link->name) != 0)
			rc_want_access(a->set, a->access_name[i], false);
		if (present && wanted)
			rc_want_access(a->set, link->name, a->serves);
		(void)snprintf(a->access_name[i], IF_NAMESIZE, "%s", link->name);
		if (!present || !wanted) {
			if (present && a->srccheck)
				srccheck_detach_access(a->srccheck, link->ifindex);
			a->access[i] = a->access[--a->n_access];
			memcpy(a->access_name[i], a->access_name[a->n_access], IF_NAMESIZE);
		} else if (link->up)
			fwd_retry(a->set); /* routes that a link which was down refused */
		return;
	}
	if (present && wanted && a->n_access < ACCESS) {
		(void)snprintf(a->access_name[a->n_access], IF_NAMESIZE, "%s", link->name);
		a->access[a->n_access++] = link->ifindex;
		rc_want_access(a->set, link->name, a->serves);
		log_info("anchoring", "nodes may attach on %s", link->name);
		check_access(a, link);
		link_came(a, link);
	}
}

static void on_address(void *ctx, const struct nl_address *address, bool present)
{
	(void)ctx;
	(void)address;
	(void)present;
}

static void put_back(struct amad *a, const struct fwd_object *o, const char *what)
{
	unsigned left_out;

	if (log_bucket_take(&a->kernel_bucket, loop_now_us(a->daemon.loop), 10, 10 * SEC, &left_out))
		log_notice("nl", "%s was %s by somebody else: putting it back", fwd_object_text(o), what);
	control_emit(a->daemon.control, "restored", json_pack("{s:s}", "object", fwd_object_text(o)));
}

static void on_deleted(void *ctx, const struct fwd_object *o)
{
	struct amad *a = ctx;

	if (o->kind == FWD_ADDRESS || !fwd_lost(a->set, o, loop_now_us(a->daemon.loop)))
		return;
	put_back(a, o, "deleted");
}

static void on_changed(void *ctx, const struct fwd_object *o)
{
	struct amad *a = ctx;

	if (o->kind != FWD_ADDRESS && fwd_changed(a->set, o, loop_now_us(a->daemon.loop)))
		put_back(a, o, "changed");
}

static void on_overrun(void *ctx)
{
	struct amad *a = ctx;

	log_notice("nl", "netlink news were lost: reading everything again");
	a->resync = true;
}

static const struct nl_ops nl_ops = {on_link, on_address, on_deleted, on_changed, on_overrun};

static void read_news(void *ctx)
{
	struct amad *a = ctx;

	nl_read_news(a->nl);
}

static void retunnel(void *ctx, struct binding *b)
{
	struct amad *a = ctx;

	if (b->locator)
		rc_retunnel(a->set, b->locator, a->tunnel);
}

/* The access interfaces are found again, by other settings perhaps: what is not found has no rule. */
struct access_before {
	char name[ACCESS][IF_NAMESIZE];
	unsigned n;
};

static void begin_access(struct amad *a, struct access_before *ret)
{
	memcpy(ret->name, a->access_name, sizeof(ret->name));
	ret->n = a->n_access;
	a->n_access = 0;
	want_rules(a);
}

static void end_access(struct amad *a, const struct access_before *was)
{
	for (unsigned i = 0; i < was->n; i++) {
		bool found = false;

		for (unsigned k = 0; k < a->n_access; k++)
			found |= !strcmp(was->name[i], a->access_name[k]);
		if (!found)
			rc_want_access(a->set, was->name[i], false);
	}
}

/* Nothing comes out of the tunnel before the source check looks at it: its device is up only then. */
static int raise_tunnel(struct amad *a, char *reterr)
{
	int r = a->srccheck ? srccheck_attach(a->srccheck, a->tunnel, reterr) : 0;

	return r < 0 ? r : nl_tunnel_up(a->nl, a->tunnel, a->config.tunnel_mtu, reterr);
}

static void on_retry(void *ctx)
{
	struct amad *a = ctx;
	char err[NL_ERR];

	if (a->tunnel_lost) {
		a->tunnel_lost = false;
		log_notice("nl", "the tunnel device %s was removed or set down by somebody else: putting it back",
			a->config.tunnel_device);
		if (nl_tunnel_open(a->nl, a->config.tunnel_device, &a->tunnel, err) < 0 || raise_tunnel(a, err) < 0) {
			log_error("nl", "%s", err);
			a->tunnel_lost = true;
			loop_timer_at(&a->retry, loop_now_us(a->daemon.loop) + SEC);
			return;
		}
		a->count_device++;
		lm_each(a->lm, retunnel, a);
		serving_set_tunnel(a->serving, a->tunnel);
		a->resync = true;
	}
	if (a->resync) {
		struct access_before was;

		a->resync = false;
		begin_access(a, &was);
		if (nl_dump_links(a->nl) < 0 || nl_dump_objects(a->nl, a->set, 0, true) < 0) {
			log_error("nl", "cannot read the kernel's state; trying again in a second");
			a->resync = true;
			loop_timer_at(&a->retry, loop_now_us(a->daemon.loop) + SEC);
		}
		end_access(a, &was);
	}
}

/* --- start from the store -------------------------------------------------------------------------------------- */

/* What ended while we did not run is taken out when the store has been read: of a prefix that record alone. */
static void add_over(struct amad *a, store_delete_fn *take_out, const struct prefix6 *prefix)
{
	struct over *x = reallocarray(a->over, a->n_over + 1, sizeof(*x));

	if (!x)
		return; /* the next start finds it again */
	a->over = x;
	x[a->n_over++] = (struct over){.take_out = take_out, .prefix = *prefix};
}

static void drop_over(struct amad *a)
{
	for (size_t i = 0; i < a->n_over; i++)
		amad_stored(a, a->over[i].take_out(a->store, &a->over[i].prefix));
	free(a->over);
	a->over = NULL;
	a->n_over = 0;
}

static void load_lease(void *ctx, const struct store_lease *s)
{
	struct amad *a = ctx;
	uint64_t until_us = from_wall_s(a, s->until_s, or_usual(a->config.lease_us, USUAL_LEASE_US));
	struct lease *l;

	if (s->resting || !until_us) {
		uint64_t free_us = from_wall_s(a, s->until_s + a->config.quarantine_us / SEC,
			or_usual(a->config.quarantine_us, USUAL_LEASE_US));

		if (!free_us || anchoring_rest(a->anchoring, &s->prefix, s->key, free_us) < 0)
			add_over(a, store_delete_lease, &s->prefix);
		return;
	}
	if (anchoring_restore(a->anchoring, &s->prefix, s->key, s->node, until_us, &l) < 0)
		return; /* no longer of our pools; a pool that was left out by mistake finds its leases again */
	l->sequence = s->sequence;
	l->has_sequence = s->has_sequence;
	l->link_local = s->link_local;
	memcpy(l->link_layer, s->link_layer, sizeof(l->link_layer));
	amad_set_domain(a, l, peers_domain_of_id(a, s->domain));
	l->ifindex = s->ifname[0] ? if_nametoindex(s->ifname) : 0;
	if (s->ifname[0] && !l->ifindex)
		l->ifindex = absent_index(a, s->ifname);
	amad_check_sender(a, l);
}

static void load_binding(void *ctx, const struct store_binding *s)
{
	struct amad *a = ctx;
	uint64_t until_us = from_wall_s(a, s->until_s, or_usual(a->config.binding_us, USUAL_BINDING_US));
	struct lease *l = anchoring_find(a->anchoring, &s->prefix);
	struct binding *b;

	if (!until_us) {
		add_over(a, store_delete_binding, &s->prefix);
		return;
	}
	if (!l)
		return;
	b = lm_get(a->lm, &s->prefix);
	if (!b)
		return;
	b->mtu = s->mtu;
	b->proxied = s->proxied;
	b->nexthop = s->nexthop;
	b->since_s = (uint32_t)(loop_now_us(a->daemon.loop) / SEC);
	if (rc_bind(a->set, a->mr, b, &s->care_of, &s->self, a->tunnel, 0) < 0) {
		amad_drop_binding(a, b);
		return;
	}
	lm_set_until(a->lm, b, until_us);
	l->ifindex = 0;
	if (!l->has_sequence || lm_sequence_ok(l->sequence, s->sequence)) {
		l->sequence = s->sequence;
		l->has_sequence = true;
	}
	if (a->srccheck)
		(void)srccheck_set(a->srccheck, &s->prefix, &s->care_of);
}

static void load_visit(void *ctx, const struct store_visit *s)
{
	struct amad *a = ctx;
	uint64_t now_us = loop_now_us(a->daemon.loop);
	struct serving_visit v = {.prefix = s->prefix,
		.node = s->node,
		.anchor = s->anchor,
		.self = s->self,
		.ifindex = if_nametoindex(s->ifname),
		.link_local = s->link_local,
		.sequence = s->sequence,
		.domain = peers_domain_of_id(a, s->domain),
		/* its anchor says for how long: the most that a lifetime of an answer can be */
		.until_us = from_wall_s(a, s->until_s, 65535 * 4 * SEC)};

	memcpy(v.link_layer, s->link_layer, sizeof(v.link_layer));
	if (!s->ifname[0] && in6_is_global(&s->link_local))
		v.through = s->link_local;
	if (v.until_us <= now_us || (!v.ifindex && IN6_IS_ADDR_UNSPECIFIED(&v.through)) || !a->config.proxy ||
		serving_restore(a->serving, &v, s->key, s->node_cookie, now_us) < 0)
		add_over(a, store_delete_visit, &s->prefix);
}

static void keep_visit(void *ctx, const struct serving_visit *v, const uint8_t key[32], uint32_t node_cookie)
{
	struct amad *a = ctx;
	struct store_visit s = {.prefix = v->prefix,
		.anchor = v->anchor,
		.self = v->self,
		.link_local = v->link_local,
		.until_s = to_wall_s(a, v->until_us),
		.sequence = v->sequence,
		.domain = peers_domain_id(a, v->domain),
		.node_cookie = node_cookie};

	memcpy(s.key, key, sizeof(s.key));
	memcpy(s.link_layer, v->link_layer, sizeof(s.link_layer));
	(void)snprintf(s.node, sizeof(s.node), "%s", v->node);
	if (IN6_IS_ADDR_UNSPECIFIED(&v->through))
		(void)if_indextoname(v->ifindex, s.ifname);
	else
		s.link_local = v->through;
	amad_stored(a, store_put_visit(a->store, &s));
}

static void forget_visit(void *ctx, const struct prefix6 *prefix)
{
	struct amad *a = ctx;

	amad_stored(a, store_delete_visit(a->store, prefix));
}

static void want_native(void *ctx, struct lease *l)
{
	struct amad *a = ctx;

	if (l->ifindex && !(l->ifindex & ABSENT_BIT))
		(void)rc_native(a->set, l, 0);
}

/* A power cut can take the last bindings: then the counter tells the nodes to register again (RFC 5847 3.3). Whatever
 * else ends the daemon loses nothing. A store that begins anew has a counter that no earlier one had. */
static void start_meta(struct amad *a)
{
	char boot_id[sizeof(a->meta.boot_id)] = "unknown";
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (f) {
		if (fgets(boot_id, sizeof(boot_id), f))
			boot_id[strcspn(boot_id, "\n")] = '\0';
		(void)fclose(f);
	}
	if (a->meta.restart_counter == 0)
		a->meta.restart_counter = (uint32_t)(loop_wall_ns() / 1000000000) & 0x7fffffff;
	else if (a->meta.boot_id[0] && strcmp(a->meta.boot_id, boot_id) != 0)
		a->meta.restart_counter++;
	memcpy(a->meta.boot_id, boot_id, sizeof(boot_id));
	channel_go_on_after(a->channel, a->meta.timestamps_until);
	amad_stored(a, store_put_meta(a->store, &a->meta));
}

/* --- life ------------------------------------------------------------------------------------------------------ */

static int add_pools(struct amad *a, char *reterr)
{
	const struct credential *c = &a->identity.credential;
	unsigned n = a->config.pool.n ? a->config.pool.n : c->n_prefixes;

	for (unsigned i = 0; i < n; i++) {
		const struct prefix6 *p = a->config.pool.n ? &a->config.pool.prefix[i] : &c->prefixes[i];
		int r;

		if (!credential_covers(c, p)) {
			(void)snprintf(reterr, DAEMON_ERR,
				"pool %s is not covered by the credential of %s: nodes would refuse it; have the "
				"domain sign a credential with --prefix %s",
				prefix6_text(p), c->node, prefix6_text(p));
			return -EACCES;
		}
		r = anchoring_add_pool(a->anchoring, p);
		if (r < 0) {
			(void)snprintf(reterr, DAEMON_ERR, "pool %s: %s", prefix6_text(p),
				r == -EEXIST	       ? "overlaps another pool"
					: r == -EINVAL ? "must be /64 or shorter"
						       : "too many pools");
			return r;
		}
	}
	if (n == 0) {
		(void)snprintf(reterr, DAEMON_ERR,
			"no pool: neither the configuration nor the credential names a prefix to lease from");
		return -EINVAL;
	}
	return 0;
}

static void on_visit(void *ctx, const char *event, const struct serving_visit *v)
{
	struct amad *a = ctx;

	if (control_is_monitored(a->daemon.control))
		control_emit(a->daemon.control, event,
			json_pack("{s:s, s:s, s:s, s:s?}", "hnp", prefix6_text(&v->prefix), "mn", v->node, "anchor",
				v->anchor_name, "care_of", v->ifindex ? NULL : in6_text(&v->care_of)));
}

static void on_relocated(void *ctx, const char *anchor, unsigned visits)
{
	struct amad *a = ctx;

	log_notice("lu", "%s knows our new address: %u visits go on there", anchor, visits);
	control_emit(a->daemon.control, "relocated", json_pack("{s:s, s:i}", "anchor", anchor, "visits", (int)visits));
}

/* A store that cannot be read is put aside, and the anchor begins anew: its nodes register again. What it had leased it
 * leases again to whoever asks first; 'amactl store import' of an export is better. */
static int open_store(struct amad *a, char *reterr)
{
	char path[CONF_TEXT + 64];
	int r = store_open(a->config.state_dir, &a->store, reterr);

	if (r != -EBADMSG)
		return r;
	log_error("store", "%s", reterr);
	r = store_put_aside(a->config.state_dir, path, sizeof(path), reterr);
	if (r < 0)
		return r;
	log_error("store",
		"it was moved to %s, and all leases and bindings are forgotten; 'amactl store import' takes an export",
		path);
	remember_error(a, "the store was damaged and is in %s", path);
	return store_open(a->config.state_dir, &a->store, reterr);
}

static int open_all(struct amad *a, char *reterr)
{
	struct serving_env serving = {.port = (uint16_t)a->config.port,
		.max_visits = a->config.max_visits,
		.max_amas = AMAS,
		.tunnel_device = a->config.tunnel_device,
		.keep = keep_visit,
		.forget = forget_visit,
		.event = on_visit,
		.answer_via = updates_answer_behind,
		.room = peers_room,
		.may_ask = peers_may_ask,
		.believes = peers_believe,
		.visits = peers_visit,
		.relocated = on_relocated,
		.doubt = peers_doubt,
		.tell_left = updates_tell_previous,
		.attached_since = updates_attached_since,
		.ctx = a};
	struct channel_config channel = {.ops = &updates_channel_ops, .ctx = a, .max_peers = a->config.max_nodes};
	struct daemon_config doors = {.control = {.path = a->config.control_socket,
					      .interface = "org.dmm.amad",
					      .description = amad_description,
					      .product = "amad",
					      .version = PACKAGE_VERSION,
					      .methods = amad_methods,
					      .ctx = a},
		.metrics = a->config.metrics,
		.collect = methods_collect,
		.key_log = a->config.key_log};
	struct domain trusted[TRUST_MAX];
	struct trust_policy policy[TRUST_MAX];
	uint64_t now_us;
	char path[512];
	int r = secret_start(), n, forwarding;

	if (r < 0) {
		(void)snprintf(reterr, DAEMON_ERR, "libsodium does not start");
		return r;
	}
	if (identity_load(identity_find(a->config.identity, SYSCONFDIR "/dmm/amad.identity", path, sizeof(path)),
		    &a->identity, reterr) < 0)
		return -ENOENT;
	if (!a->identity.has_credential || a->identity.role != CREDENTIAL_AMA) {
		(void)snprintf(reterr, DAEMON_ERR,
			"%s holds no credential of an AMA: make one with 'amactl domain add-ama' and copy it here",
			a->config.identity);
		return -ENOENT;
	}
	n = trust_load(a->config.trusted_domains, &a->identity, trusted, policy, reterr);
	if (n < 0)
		return n;
	/* first: it finds another amad before anything is touched */
	r = daemon_open(&a->daemon, &doors, reterr);
	if (r < 0)
		return r;
	now_us = loop_now_us(a->daemon.loop);
	updates_start(a);
	a->anchoring = anchoring_new(now_us);
	a->lm = lm_new(now_us);
	a->mr = mr_new();
	a->set = fwd_new(kernel_done, a);
	if (!a->anchoring || !a->lm || !a->mr || !a->set)
		return -ENOMEM;
	r = add_pools(a, reterr);
	if (r < 0)
		return r;
	r = open_store(a, reterr);
	if (r < 0)
		return r;
	r = nl_new(&nl_ops, a, &a->nl, reterr);
	if (r < 0)
		return r;
	r = nl_tunnel_open(a->nl, a->config.tunnel_device, &a->tunnel, reterr);
	if (r < 0)
		return r;
	r = transport_new(a->daemon.loop, (uint16_t)a->config.port, updates_input, a, &a->transport, reterr);
	if (r < 0)
		return r;
	channel.identity = &a->identity;
	r = channel_new(&channel, &a->channel);
	if (r < 0) {
		(void)snprintf(reterr, DAEMON_ERR, "cannot make the secure channel: %s", strerror(-r));
		return r;
	}
	r = peers_set_trusted(a, trusted, policy, (unsigned)n, reterr);
	if (r < 0)
		return r;
	if (a->config.source_check && srccheck_new(SRCCHECK_ANCHOR, a->config.max_nodes, &a->srccheck, reterr) < 0)
		return -EPERM; /* fail closed: 'source-check = no' goes on without */
	serving.set = a->set;
	serving.mr = a->mr;
	serving.channel = a->channel;
	serving.srccheck = a->srccheck;
	a->serving = serving_new(&serving, now_us);
	if (!a->serving)
		return -ENOMEM;
	serving_set_tunnel(a->serving, a->tunnel);
	serving_set_through(a->serving, &a->config.through);
	want_rules(a);
	if (nl_sysctl_get("all", "forwarding", &forwarding) == 0 && !forwarding)
		log_warning("main",
			"this machine does not forward IPv6: 'sysctl -w net.ipv6.conf.all.forwarding=1' "
			"(and accept_ra=2 on an uplink that needs router advertisements)");
	return 0;
}

/* The identity stays root's, who reads it at each start. */
static int give_up_privileges(struct amad *a, char *reterr)
{
	char data[CONF_TEXT + 16], lock[CONF_TEXT + 16];
	const char *own[] = {a->config.state_dir, data, lock, NULL};
	int r;

	(void)snprintf(data, sizeof(data), "%s/data.mdb", a->config.state_dir);
	(void)snprintf(lock, sizeof(lock), "%s/lock.mdb", a->config.state_dir);
	r = priv_drop(a->config.user, false, false, own, reterr);
	if (r == 0 && a->config.seccomp != PRIV_SECCOMP_NO)
		r = priv_filter(false, a->config.seccomp == PRIV_SECCOMP_TRAP, reterr);
	return r;
}

int amad_new(const char *config_path, bool config_required, const struct amad_config *config, struct amad **ret,
	char *reterr)
{
	struct amad *a = calloc(1, sizeof(*a));
	const struct prefix6 *pool;
	int r;

	if (!a)
		return -ENOMEM;
	a->config = *config;
	(void)snprintf(a->config_path, sizeof(a->config_path), "%s", config_path);
	a->config_required = config_required;
	(void)snprintf(reterr, DAEMON_ERR, "out of memory");
	r = open_all(a, reterr);
	if (r < 0) {
		amad_free(a);
		return r;
	}
	a->started_us = loop_now_us(a->daemon.loop);
	for (unsigned i = anchoring_pools(a->anchoring, &pool); i > 0; i--)
		rc_want_pool(a->set, &pool[i - 1]);
	r = store_load(a->store, load_lease, load_binding, a, &a->meta);
	if (r == 0)
		r = store_load_visits(a->store, load_visit, a);
	if (r < 0) {
		(void)snprintf(reterr, DAEMON_ERR,
			"the store in %s is damaged (%s): it was left as it is; move it away to start empty",
			a->config.state_dir, strerror(-r));
		amad_free(a);
		return r;
	}
	drop_over(a);
	start_meta(a);
	anchoring_each(a->anchoring, want_native, a);
	/* what is allowed is filled in before the check replaces one of an earlier run */
	if (a->srccheck)
		(void)srccheck_flush(a->srccheck);
	r = raise_tunnel(a, reterr);
	if (r < 0) {
		amad_free(a);
		return r;
	}
	loop_io_start(&a->nl_io, a->daemon.loop, nl_fd(a->nl), read_news, a, "netlink news");
	loop_timer_init(&a->tick, a->daemon.loop, tick, a, "tick");
	loop_timer_init(&a->sync, a->daemon.loop, on_sync, a, "store sync");
	loop_timer_init(&a->retry, a->daemon.loop, on_retry, a, "resync");
	loop_timer_init(&a->revoke, a->daemon.loop, updates_revoke_due, a, "revocation");
	daemon_watch(&a->daemon, methods_reload, a);
	loop_at_end(a->daemon.loop, LOOP_COMMIT, commit, a);
	loop_at_end(a->daemon.loop, LOOP_KERNEL, apply, a);
	loop_at_end(a->daemon.loop, LOOP_DATAGRAMS, amad_answer, a);
	if (nl_dump_links(a->nl) < 0 || nl_dump_objects(a->nl, a->set, 0, false) < 0) {
		(void)snprintf(reterr, DAEMON_ERR, "cannot read the kernel's links and routes");
		amad_free(a);
		return -EIO;
	}
	if (a->n_access == 0)
		log_warning("main", "none of the access interfaces exists yet: waiting for %s%s",
			a->config.access.word[0], a->config.access.n > 1 ? " and others" : "");
	loop_timer_at(&a->tick, loop_now_us(a->daemon.loop) + SEC);
	if (give_up_privileges(a, reterr) < 0) {
		amad_free(a);
		return -EPERM;
	}
	*ret = a;
	return 0;
}

void amad_run(struct amad *a)
{
	daemon_run(&a->daemon);
	a->meta.boot_id[0] = '\0'; /* all is on disk: nothing can have been lost */
	(void)store_put_meta(a->store, &a->meta);
	if (store_commit(a->store) < 0)
		log_error("store", "cannot commit at the end; the next start reads the journal");
	if (a->config.flush_on_exit) {
		fwd_begin(a->set);
		fwd_end(a->set);
		(void)nl_apply(a->nl, a->set);
		(void)nl_link_delete(a->nl, a->tunnel);
	}
}

void amad_free(struct amad *a)
{
	if (!a)
		return;
	daemon_unwatch(&a->daemon);
	loop_timer_stop(&a->revoke);
	loop_timer_stop(&a->retry);
	loop_timer_stop(&a->sync);
	loop_timer_stop(&a->tick);
	loop_io_stop(&a->nl_io);
	serving_free(a->serving);
	srccheck_free(a->srccheck);
	channel_free(a->channel);
	transport_free(a->transport);
	nl_free(a->nl);
	store_close(a->store);
	fwd_free(a->set);
	lm_free(a->lm);
	mr_free(a->mr);
	anchoring_free(a->anchoring);
	daemon_close(&a->daemon);
	identity_done(&a->identity);
	updates_stop(a);
	free(a->over);
	free(a);
}
