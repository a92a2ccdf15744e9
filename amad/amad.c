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

#include "amad.h"

#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "anchoring.h"
#include "channel.h"
#include "control.h"
#include "lm.h"
#include "log.h"
#include "mh.h"
#include "mr.h"
#include "nl.h"
#include "priv.h"
#include "rc.h"
#include "serving.h"
#include "srccheck.h"
#include "store.h"
#include "transport.h"
#include "trust.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define SEC 1000000ULL
#define MS  1000ULL
/* acknowledgements a turn: more than transport reads in one, 256 datagrams of at most 30 updates */
#define PENDING 8192
#define ACCESS	64
#define ABSENT	64 /* interfaces that are not there, but nodes were on them */
#define SYNC_US (50 * MS)
#define ERRORS	8
#define RELAYS	1024 /* AMAs that pass updates on to us */
#define INNER	64   /* sealed datagrams a datagram or so; what is more is sent again */
/* RFC 5846 13: InitMINDelayBRIs, MAX_BRACK_TIMEOUT; BRIMaxRetriesNumber is 1 */
#define REVOKE_FIRST_US	 (1 * SEC)
#define REVOKE_SECOND_US (2 * SEC)

/* What was, so that an update which the store or the kernel refuses leaves nothing. */
struct before {
	bool leased, bound;
	uint32_t ifindex;
	struct in6_addr link_local;
	uint8_t link_layer[6];
	uint64_t leased_until_us;
	struct in6_addr care_of, self;
	uint64_t until_us;
	uint16_t mtu;
	bool proxied;
};

/* An AMA that passes updates on to us. */
struct relay {
	uint8_t key[32];
	struct channel_endpoint ep; /* where its last update came from */
};

/* What a node sealed for us, out of an AMA's PBU: it is read when that has been. */
struct inner {
	struct channel_rx rx;
	uint16_t sequence;
	struct prefix6 prefix; /* the first of the PBU */
	size_t len;
	uint8_t sealed[1000];
};

/* An acknowledgement that waits for the store and the kernel. */
struct pending {
	struct channel_peer *peer;
	struct mh_ba ba;
	struct prefix6 prefix;
	struct dmmopt_lease lease;
	bool with_lease;
	uint16_t relay;	   /* the AMA that passed it on, 0 = it came straight from the node */
	uint16_t proxy_sequence; /* of its PBU */
	bool changes;	 /* something: a refusal puts back what was before */
	bool binds;	 /* waits for the source check, too */
	bool superseded; /* a later update of this turn took its place: it is answered instead */
	int kernel;	 /* its answer, 0 or -errno */
	struct before before;
};

/* A lease whose node was told that it ends. The lease is marked; what it says counts. */
struct revocation {
	struct revocation *prev, *next;
	struct prefix6 prefix;
	uint16_t sequence;
	uint64_t due_us;
};

struct amad {
	struct amad_config config;
	char config_path[CONF_TEXT];
	bool config_required;
	struct identity identity;
	struct domain trusted[TRUST_MAX];

	struct loop *loop;
	struct nl *nl;
	struct fwd_set *set;
	struct transport *transport;
	struct channel *channel;
	struct control *control;
	struct srccheck *srccheck;
	struct anchoring *anchoring;
	struct lm *lm;
	struct mr *mr;
	struct serving *serving;
	struct store *store;
	uint32_t tunnel;
	struct store_meta meta;
	uint64_t wall_us, wall_turn_us; /* see to_wall_s */

	struct loop_io nl_io;
	struct loop_timer tick, sync, retry, watchdog, revoke;
	struct loop_signal sig_term, sig_int, sig_hup;

	uint32_t access[ACCESS]; /* ifindexes on which nodes may attach */
	char access_name[ACCESS][IF_NAMESIZE];
	unsigned n_access;
	bool serves; /* the rules of visiting nodes are wanted on them */
	char absent[ABSENT][IF_NAMESIZE]; /* a lease's ifindex may be ABSENT_BIT | an index of this */
	unsigned n_absent;
	struct prefix6 *over; /* of leases and bindings in the store whose time has come; only while loading */
	size_t n_over;
	struct relay relay[RELAYS]; /* ep.relay is its index + 1 */
	unsigned n_relays;
	struct inner inner[INNER];
	unsigned n_inner;
	const struct inner *reading; /* the one whose update is handled now */
	struct pending pending[PENDING];
	unsigned n_pending;
	uint64_t cookie; /* of the kernel's answer: that of pending[0] is cookie + 1; never used twice */
	bool resync, tunnel_lost, syncing, draining;
	struct revocation *told_once, *told_twice; /* in order of due_us */
	uint16_t revocations;			   /* ever */
	uint64_t started_us;
	uint64_t count_status[256], count_mh[MH_WHY_N], count_heartbeat, count_unexpected, count_store, count_device, count_proxied,
		count_unsealed, count_sealed_bad;
	struct log_bucket refused_bucket, kernel_bucket;
	char error[ERRORS][160]; /* the last ones, for status */
	unsigned n_errors;
};

/* The interface index of a lease whose interface is not there now: its node is routed to again when it comes. */
#define ABSENT_BIT 0x80000000u

/* --- small things ---------------------------------------------------------------------------------------------- */

static void remember_error(struct amad *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void remember_error(struct amad *a, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(a->error[a->n_errors++ % ERRORS], sizeof(a->error[0]), format, ap);
	va_end(ap);
}

static void emit(struct amad *a, const char *event, const struct lease *l, const struct in6_addr *care_of)
{
	if (!control_is_monitored(a->control))
		return;
	control_emit(a->control, event,
		json_pack("{s:s, s:s, s:s?}", "hnp", prefix6_text(&l->prefix), "mn", l->node, "care_of",
			care_of ? in6_text(care_of) : NULL));
}

static bool is_access(const struct amad *a, uint32_t ifindex)
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
	uint64_t turn_us = loop_now_us(a->loop);

	if (a->wall_turn_us != turn_us) {
		a->wall_turn_us = turn_us;
		a->wall_us = loop_wall_ns() / 1000;
	}
	return a->wall_us;
}

static uint64_t to_wall_s(struct amad *a, uint64_t at_us)
{
	return (wall_now_us(a) + (at_us - loop_now_us(a->loop)) + SEC - 1) / SEC;
}

static uint64_t from_wall_s(struct amad *a, uint64_t wall_s)
{
	uint64_t now_wall_us = wall_now_us(a);

	return wall_s * SEC > now_wall_us ? loop_now_us(a->loop) + (wall_s * SEC - now_wall_us) : 0;
}

static void stored(struct amad *a, int r)
{
	if (r >= 0)
		return;
	a->count_store++;
	remember_error(a, "store: %s", strerror(-r));
}

/* Name of the interface that the lease's node is on, "" if it is on none. */
static const char *lease_ifname(const struct amad *a, const struct lease *l, char buf[IF_NAMESIZE])
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

static void write_lease(struct amad *a, const struct lease *l, bool resting, bool now)
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
	(void)snprintf(s.node, sizeof(s.node), "%s", l->node);
	(void)snprintf(s.ifname, sizeof(s.ifname), "%s", lease_ifname(a, l, name));
	stored(a, store_put_lease(a->store, &s, now));
}

/* is_new: the promise of this prefix has to be on disk before it is given. */
static void put_lease(struct amad *a, const struct lease *l, bool is_new)
{
	write_lease(a, l, l->revoked, is_new);
}

static void put_binding(struct amad *a, const struct binding *b, const struct lease *l)
{
	struct store_binding s = {.prefix = b->prefix,
		.care_of = *mr_care_of(b->locator),
		.self = *mr_self(b->locator),
		.until_s = to_wall_s(a, binding_until_us(b)),
		.mtu = b->mtu,
		.sequence = l->sequence,
		.nexthop = b->nexthop};

	stored(a, store_put_binding(a->store, &s));
}

/* --- leases and bindings end ----------------------------------------------------------------------------------- */

/* One that came into being only by half. */
static void drop_binding(struct amad *a, struct binding *b)
{
	if (b->locator)
		rc_unbind(a->set, a->mr, b, false, 0);
	lm_delete(a->lm, b);
}

/* Do updates of nodes on our links go through another AMA? */
static bool has_through(const struct amad *a)
{
	return !IN6_IS_ADDR_UNSPECIFIED(&a->config.through);
}

/* The AMA behind an index, to be sent to now; NULL = none. As its peer may be an anchor, too, whose address a node named, where its answers go is
 * said each time. */
static struct channel_peer *relay_peer(struct amad *a, uint16_t relay)
{
	struct channel_peer *peer = relay ? channel_find_peer(a->channel, a->relay[relay - 1].key) : NULL;

	if (peer)
		channel_peer_set_endpoint(peer, &a->relay[relay - 1].ep);
	return peer;
}

/* Tell the AMA at which a prefix was until now that it is elsewhere (RFC 5846 with flag P, inter-MAG handover). */
static void tell_previous(struct amad *a, const struct in6_addr *address, const struct prefix6 *prefix)
{
	struct mh_revocation r = {.b_type = MH_REVOCATION_INDICATION,
		.trigger = MH_REVOCATION_HANDOVER,
		.flags = MH_REVOCATION_P,
		.sequence = a->revocations++};
	struct channel_peer *peer = NULL;
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_revocation(&w, &r);

	for (unsigned i = 0; i < a->n_relays && !peer; i++)
		if (IN6_ARE_ADDR_EQUAL(&a->relay[i].ep.remote, address))
			peer = relay_peer(a, (uint16_t)(i + 1));
	mh_put_prefix(&m, MHOPT_HNP, prefix);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w)); /* once: without it the visit runs out */
}

/* native: its route becomes the native one instead of going. */
static void end_binding(struct amad *a, struct binding *b, bool native, uint64_t cookie)
{
	if (b->proxied)
		tell_previous(a, mr_care_of(b->locator), &b->prefix);
	if (a->srccheck) {
		srccheck_delete(a->srccheck, &b->prefix);
		srccheck_leave(a->srccheck, &b->prefix, mr_care_of(b->locator));
	}
	rc_unbind(a->set, a->mr, b, native, cookie);
	stored(a, store_delete_binding(a->store, &b->prefix));
	lm_delete(a->lm, b);
}

/* Only the node of a lease sends from its prefix on our links. It stays so while the node is elsewhere. */
static void check_node(struct amad *a, const struct lease *l)
{
	if (a->srccheck && l->ifindex && !(l->ifindex & ABSENT_BIT) && srccheck_on_link(a->srccheck, &l->prefix, l->ifindex, l->link_layer) < 0)
		log_warning("anchoring", "cannot check who sends from %s", prefix6_text(&l->prefix));
}

static void end_lease(struct amad *a, struct lease *l, uint64_t cookie)
{
	struct binding *b = lm_find(a->lm, &l->prefix);

	if (b)
		end_binding(a, b, false, cookie);
	else
		rc_withdraw(a->set, &l->prefix, cookie);
	if (a->srccheck)
		srccheck_off_link(a->srccheck, &l->prefix);
	if (a->config.quarantine_us)
		write_lease(a, l, true, false);
	else
		stored(a, store_delete_lease(a->store, &l->prefix));
	anchoring_release(a->anchoring, l, loop_now_us(a->loop) + a->config.quarantine_us);
}

/* The store or the kernel refused an update: everything is as before it. What ends something is not undone: the node
 * was going to let go of it, and says so again. */
static void undo(struct amad *a, const struct pending *p)
{
	const struct before *was = &p->before;
	struct lease *l = anchoring_find(a->anchoring, &p->prefix);
	struct binding *b = lm_find(a->lm, &p->prefix);

	if (!p->changes || !l)
		return;
	if (!was->leased) {
		end_lease(a, l, 0);
		return;
	}
	l->ifindex = was->ifindex;
	l->link_local = was->link_local;
	memcpy(l->link_layer, was->link_layer, sizeof(l->link_layer));
	check_node(a, l);
	anchoring_renew(a->anchoring, l, was->leased_until_us);
	if (was->bound)
		b = b ? b : lm_get(a->lm, &p->prefix);
	else if (b)
		end_binding(a, b, was->ifindex != 0, 0);
	else if (!was->ifindex)
		rc_withdraw(a->set, &p->prefix, 0);
	if (was->bound && b) {
		b->mtu = was->mtu;
		b->proxied = was->proxied;
		if (rc_bind(a->set, a->mr, b, &was->care_of, &was->self, a->tunnel, 0) < 0) { /* no memory */
			drop_binding(a, b);
			return;
		}
		lm_set_until(a->lm, b, was->until_us);
		if (a->srccheck)
			(void)srccheck_set(a->srccheck, &p->prefix, &was->care_of);
		put_binding(a, b, l);
	} else if (was->ifindex && !(was->ifindex & ABSENT_BIT)) {
		(void)rc_native(a->set, l, 0);
	}
	put_lease(a, l, false);
}

static void tick(void *ctx)
{
	struct amad *a = ctx;
	uint64_t now_us = loop_now_us(a->loop);
	struct prefix6 prefix;
	struct binding *b;
	struct lease *l;

	while ((b = lm_expired(a->lm, now_us))) {
		l = anchoring_find(a->anchoring, &b->prefix);
		log_info("lm", "binding of %s (%s) to %s expired", prefix6_text(&b->prefix), l ? l->node : "?",
			in6_text(mr_care_of(b->locator)));
		if (l)
			emit(a, "binding_expired", l, mr_care_of(b->locator));
		end_binding(a, b, false, 0);
	}
	while ((l = anchoring_expired(a->anchoring, now_us))) {
		log_notice("anchoring", "lease of %s to %s expired", prefix6_text(&l->prefix), l->node);
		emit(a, "lease_expired", l, NULL);
		end_lease(a, l, 0);
	}
	while (anchoring_aged(a->anchoring, now_us, &prefix))
		stored(a, store_delete_lease(a->store, &prefix));
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

/* --- Binding Updates (ARCHITECTURE, "The Binding Update, host form") ------------------------------------------- */

struct update {
	const struct mh_msg *msg;
	const struct channel_rx *rx;
	const uint8_t *key;
	const char *node; /* its name */
	struct prefix6 prefix;
	bool wants_any; /* ::/64 */
	bool with_lease;
	struct dmmopt_lease lease;
	struct in6_addr care_of, link_local;
	uint8_t link_layer[6];
	bool with_care_of, with_link_local;
	uint16_t mtu;
};

/* l: the lease to renew, or NULL. While the anchor is drained a node on its link gets no more time than it has. */
static uint64_t granted_lease_us(const struct amad *a, const struct update *u, const struct lease *l)
{
	uint64_t us = u->lease.lifetime_s * SEC, now_us = loop_now_us(a->loop);

	if (us > a->config.lease_us)
		us = a->config.lease_us;
	if (a->draining && l && (u->lease.flags & DMMOPT_LEASE_ATTACH) && lease_until_us(l) < now_us + us)
		us = lease_until_us(l) > now_us ? lease_until_us(l) - now_us : SEC;
	return us;
}

static uint8_t do_attach(struct amad *a, const struct update *u, struct lease *l, struct pending *p, uint64_t cookie)
{
	uint64_t now_us = loop_now_us(a->loop), granted_us = granted_lease_us(a, u, l);
	struct binding *b;
	bool is_new = !l;
	int r;

	/* hop limit 255 and an access interface: the node is on our link (as in RFC 4861 6.1.1) */
	if (u->rx->hoplimit != 255 || !is_access(a, u->rx->ep.ifindex))
		return MH_STATUS_PROHIBITED;
	if (!u->with_link_local || !IN6_IS_ADDR_LINKLOCAL(&u->link_local))
		return MH_STATUS_UNSPECIFIED;
	if (!l && a->draining)
		return MH_STATUS_RESOURCES;
	if (!l) {
		r = anchoring_allocate(a->anchoring, u->key, u->node, a->config.leases_a_node, now_us + granted_us, &l);
		if (r < 0)
			return r == -ENOSPC ? MH_STATUS_RESOURCES : MH_STATUS_UNSPECIFIED;
	} else {
		anchoring_renew(a->anchoring, l, now_us + granted_us);
	}
	p->changes = true;
	p->prefix = l->prefix;
	l->sequence = u->msg->bu.sequence;
	l->has_sequence = true;
	l->ifindex = u->rx->ep.ifindex;
	l->link_local = u->link_local;
	memcpy(l->link_layer, u->link_layer, sizeof(l->link_layer));
	b = lm_find(a->lm, &l->prefix);
	if (b)
		end_binding(a, b, true, 0);
	if (rc_native(a->set, l, cookie) < 0)
		return MH_STATUS_UNSPECIFIED;
	check_node(a, l);
	serving_attached(a->serving, l->key, l->ifindex, &l->link_local, l->link_layer);
	put_lease(a, l, is_new);
	log_write(is_new ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, "anchoring",
		&(struct log_fields){.mn = l->node, .hnp = prefix6_text(&l->prefix)},
		"%s is here: %s %s, native via %s%s", l->node, is_new ? "leased" : "keeps", prefix6_text(&l->prefix),
		in6_text(&l->link_local), b ? ", binding ended" : "");
	emit(a, is_new ? "lease_granted" : "attached", l, NULL);
	p->lease.lifetime_s = (uint32_t)(granted_us / SEC);
	p->lease.flags = a->draining ? DMMOPT_LEASE_DRAIN : 0;
	return MH_STATUS_OK;
}

static uint8_t do_bind(struct amad *a, const struct update *u, struct lease *l, struct pending *p, uint64_t cookie)
{
	uint64_t now_us = loop_now_us(a->loop), until_us;
	struct binding *b;
	bool is_new, is_moved, tells_lease;

	if (!u->with_care_of || !in6_is_global(&u->care_of) || !IN6_ARE_ADDR_EQUAL(&u->care_of, &u->rx->ep.remote) ||
		anchoring_covers(a->anchoring, &u->care_of))
		return MH_STATUS_INVALID_COA;
	if (lm_count(a->lm) >= a->config.max_nodes && !lm_find(a->lm, &l->prefix))
		return MH_STATUS_RESOURCES;
	b = lm_get(a->lm, &l->prefix);
	if (!b)
		return MH_STATUS_UNSPECIFIED;
	p->changes = p->binds = true;
	is_new = !b->locator;
	is_moved = is_new || !IN6_ARE_ADDR_EQUAL(mr_care_of(b->locator), &u->care_of) ||
		   !IN6_ARE_ADDR_EQUAL(mr_self(b->locator), &u->rx->ep.local);
	b->mtu = u->mtu;
	if (a->srccheck && !is_new && is_moved)
		srccheck_leave(a->srccheck, &b->prefix, mr_care_of(b->locator));
	if (rc_bind(a->set, a->mr, b, &u->care_of, &u->rx->ep.local, a->tunnel, cookie) < 0) {
		if (is_new)
			drop_binding(a, b);
		return MH_STATUS_UNSPECIFIED;
	}
	tells_lease = l->ifindex || u->with_lease;
	l->ifindex = 0;
	if (u->with_lease) {
		uint64_t granted_us = granted_lease_us(a, u, l);

		anchoring_renew(a->anchoring, l, now_us + granted_us);
		p->lease.lifetime_s = (uint32_t)(granted_us / SEC);
		emit(a, "lease_renewed", l, NULL);
	}
	until_us = now_us + u->msg->bu.lifetime_s * SEC;
	if (until_us > now_us + a->config.binding_us)
		until_us = now_us + a->config.binding_us;
	if (until_us > lease_until_us(l))
		until_us = lease_until_us(l);
	lm_set_until(a->lm, b, until_us);
	if (is_new || is_moved)
		b->since_s = (uint32_t)(now_us / SEC);
	b->proxied = u->rx->ep.relay;
	l->sequence = u->msg->bu.sequence;
	l->has_sequence = true;
	if (a->srccheck && is_moved)
		(void)srccheck_set(a->srccheck, &l->prefix, &u->care_of);
	if (tells_lease)
		put_lease(a, l, false);
	put_binding(a, b, l);
	p->ba.lifetime_s = (uint32_t)((until_us - now_us) / SEC);
	if (is_new || is_moved) {
		log_debug("lm", "%s: %s is at %s for %u s", l->node, prefix6_text(&l->prefix), in6_text(&u->care_of),
			p->ba.lifetime_s);
	}
	emit(a,
		is_new	   ? "binding_created"
		: is_moved ? "binding_moved"
			   : "binding_refreshed",
		l, &u->care_of);
	return MH_STATUS_OK;
}

/* A node that we served is elsewhere now, and binds its prefix, of another anchor, here: what still arrives follows it for a
 * moment. */
static bool forwards(struct amad *a, const struct update *u)
{
	return u->msg->bu.lifetime_s > 0 && u->with_care_of && in6_is_global(&u->care_of) && !u->rx->ep.relay &&
	       IN6_ARE_ADDR_EQUAL(&u->care_of, &u->rx->ep.remote) && !anchoring_covers(a->anchoring, &u->care_of) &&
	       serving_forward(a->serving, u->key, &u->prefix, &u->care_of, &u->rx->ep.local, loop_now_us(a->loop));
}

static uint8_t handle_update(struct amad *a, const struct update *u, struct pending *p, uint64_t cookie)
{
	const struct mh_bu *bu = &u->msg->bu;
	struct lease *l = u->wants_any ? NULL : anchoring_find(a->anchoring, &u->prefix);
	bool attach = u->with_lease && (u->lease.flags & DMMOPT_LEASE_ATTACH) && bu->lifetime_s == 0 &&
		      u->lease.lifetime_s > 0;
	struct binding *b;

	p->prefix = u->prefix;
	if (l && memcmp(l->key, u->key, sizeof(l->key)) != 0) {
		if (!attach)
			return MH_STATUS_NOT_AUTHORISED_HNP;
		l = NULL;
	}
	if (attach && !l && !(u->lease.flags & DMMOPT_LEASE_NEW))
		l = anchoring_find_key(a->anchoring, u->key); /* the answer to its first request was lost */
	if (!l && !attach && forwards(a, u))
		return MH_STATUS_OK;
	if (!l && !attach)
		return MH_STATUS_NOT_HOME_AGENT;
	if (l && l->revoked && !(u->with_lease && u->lease.lifetime_s == 0))
		return MH_STATUS_PROHIBITED; /* it is being told */
	if (l && l->has_sequence && !lm_sequence_ok(l->sequence, bu->sequence)) {
		p->ba.sequence = l->sequence; /* RFC 6275 9.5.1: the last accepted */
		return MH_STATUS_SEQUENCE;
	}
	if (l) {
		b = lm_find(a->lm, &l->prefix);
		p->before = (struct before){.leased = true,
			.ifindex = l->ifindex,
			.link_local = l->link_local,
			.leased_until_us = lease_until_us(l)};
		memcpy(p->before.link_layer, l->link_layer, sizeof(l->link_layer));
		if (b) {
			p->before.bound = true;
			p->before.care_of = *mr_care_of(b->locator);
			p->before.self = *mr_self(b->locator);
			p->before.until_us = binding_until_us(b);
			p->before.mtu = b->mtu;
			p->before.proxied = b->proxied;
		}
	}
	if (attach)
		return do_attach(a, u, l, p, cookie);
	if (bu->lifetime_s > 0)
		return do_bind(a, u, l, p, cookie);
	l->sequence = bu->sequence;
	l->has_sequence = true;
	if (u->with_lease && u->lease.lifetime_s == 0) {
		log_notice("anchoring", "%s released %s", l->node, prefix6_text(&l->prefix));
		emit(a, "lease_released", l, NULL);
		end_lease(a, l, cookie);
		return MH_STATUS_OK;
	}
	b = lm_find(a->lm, &l->prefix);
	emit(a, "binding_deleted", l, NULL);
	put_lease(a, l, false);
	if (b)
		end_binding(a, b, false, cookie);
	return MH_STATUS_OK;
}

static void put_proxy_ack(struct amad *a, struct channel_peer *peer, uint16_t sequence, uint8_t status, uint32_t lifetime_s,
	const struct prefix6 *prefix)
{
	struct mh_ba ba = {.status = status, .flags = MH_BA_P, .sequence = sequence, .lifetime_s = lifetime_s};
	uint8_t buf[96];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_ba(&w, &ba);

	mh_put_prefix(&m, MHOPT_HNP, prefix);
	if (status == MH_STATUS_PROHIBITED && has_through(a)) /* not straight, but that way */
		mh_put_regional(&m, &a->config.through);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

/* To the AMA that a node of ours is behind. */
static void answer_via(void *ctx, const struct serving_via *via, uint8_t status, uint32_t lifetime_s, const struct prefix6 *prefix)
{
	struct amad *a = ctx;

	put_proxy_ack(a, relay_peer(a, via->relay), via->sequence, status, lifetime_s, prefix);
}

static void tell_left(void *ctx, const struct in6_addr *ama, const struct prefix6 *prefix)
{
	tell_previous(ctx, ama, prefix);
}

/* A node behind another AMA, which passed on what the node sealed for us (RFC 5380: we are its MAP). It names that AMA, in what it
 * sealed. Without something to pass on it has moved among the AMAs below us. */
static uint8_t on_regional_request(
	struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg, const struct prefix6 *prefix)
{
	struct serving_via via = {.relay = rx->ep.relay, .sequence = a->reading->sequence, .address = rx->ep.remote};
	struct in6_addr care_of;
	uint32_t lifetime_s;

	if (!mhopt_address(mh_find(msg, MHOPT_ALT_COA, NULL), &care_of) || !IN6_ARE_ADDR_EQUAL(&care_of, &via.address))
		return MH_STATUS_INVALID_COA;
	if (dmmopt_anchor(msg, &care_of))
		return serving_request(a->serving, peer, rx, &via, msg, loop_now_us(a->loop));
	lifetime_s = serving_moved(a->serving, channel_peer_key(peer), prefix, &via.address, loop_now_us(a->loop));
	if (!lifetime_s)
		return MH_STATUS_NOT_HOME_AGENT;
	answer_via(a, &via, 0, lifetime_s, prefix);
	put_proxy_ack(a, peer, msg->bu.sequence, 0, lifetime_s, prefix);
	return 0;
}

/* pLU: a node on our link, or behind another AMA, asks to have its sealed update passed on. */
static void on_request(struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg)
{
	struct serving_via none = {0};
	struct prefix6 prefix = {.len = 64}, other;
	uint8_t status = MH_STATUS_PROHIBITED;
	struct in6_addr anchor;
	bool own = false, here = rx->hoplimit == 255 && is_access(a, rx->ep.ifindex), straight;

	(void)mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix);
	/* of a prefix of ours no other AMA may say where it is */
	for (const struct mh_option *o = NULL; (o = mh_find(msg, MHOPT_HNP, o));)
		own |= mhopt_prefix(o, &other) && anchoring_covers(a->anchoring, &other.addr);
	straight = has_through(a) && !(dmmopt_anchor(msg, &anchor) && IN6_ARE_ADDR_EQUAL(&anchor, &a->config.through));
	if (!a->config.proxy || channel_peer_role(peer) != CREDENTIAL_MN || own)
		status = MH_STATUS_PROHIBITED;
	else if (rx->ep.relay && a->reading)
		status = on_regional_request(a, peer, rx, msg, &prefix);
	else if (here && !straight)
		status = serving_request(a->serving, peer, rx, &none, msg, loop_now_us(a->loop));
	if (status == 0)
		return;
	a->count_status[status]++;
	put_proxy_ack(a, peer, msg->bu.sequence, status, 0, &prefix);
	if (a->reading)
		put_proxy_ack(a, relay_peer(a, rx->ep.relay), a->reading->sequence, status, 0, &prefix);
}

static uint16_t relay_index(struct amad *a, struct channel_peer *peer, const struct channel_endpoint *ep)
{
	unsigned i;

	for (i = 0; i < a->n_relays; i++)
		if (!memcmp(a->relay[i].key, channel_peer_key(peer), sizeof(a->relay[i].key)))
			break;
	if (i == RELAYS)
		return 0;
	if (i == a->n_relays) {
		memcpy(a->relay[i].key, channel_peer_key(peer), sizeof(a->relay[i].key));
		a->n_relays++;
	}
	a->relay[i].ep = *ep;
	return (uint16_t)(i + 1);
}

/* pLU: an AMA passes a node's update on (PBU, RFC 5213). The PBU itself is believed in nothing: it carries what the node
 * sealed for us, and the care-of address in that must be the address this AMA speaks from. */
static void on_proxy_update(struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg)
{
	struct prefix6 prefix = {.len = 64};
	struct inner *in = &a->inner[a->n_inner];
	uint8_t status = MH_STATUS_PROHIBITED;
	uint32_t cookie = 0;

	(void)mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix);
	if (!a->config.accept_proxies || rx->ep.relay) {
		put_proxy_ack(a, peer, msg->bu.sequence, status, 0, &prefix);
		return;
	}
	if (a->n_inner == INNER)
		return; /* the node sends it again */
	in->len = dmmopt_sealed(msg, &cookie, in->sealed, sizeof(in->sealed));
	if (in->len == 0) {
		a->count_unsealed++;
		put_proxy_ack(a, relay_peer(a, relay_index(a, peer, &rx->ep)), msg->bu.sequence, MH_STATUS_NOT_AUTHORISED_HNP, 0, &prefix);
		return;
	}
	in->rx = (struct channel_rx){.ep = rx->ep, .hoplimit = 0};
	in->rx.ep.relay = relay_index(a, peer, &rx->ep);
	in->rx.ep.ifindex = cookie;
	in->sequence = msg->bu.sequence;
	in->prefix = prefix;
	if (in->rx.ep.relay)
		a->n_inner++;
}

/* What was sealed for us, one after the other: the channel does not call itself. */
static void read_inner(struct amad *a)
{
	for (unsigned i = 0; i < a->n_inner; i++) {
		struct inner *in = &a->inner[i];
		enum channel_why why;

		a->reading = in;
		why = channel_input(a->channel, &in->rx, in->sealed, in->len, loop_now_us(a->loop));
		a->reading = NULL;
		if (why == CHANNEL_OK)
			continue;
		a->count_sealed_bad++;
		put_proxy_ack(a, relay_peer(a, in->rx.ep.relay), in->sequence, MH_STATUS_NOT_AUTHORISED_HNP, 0, &in->prefix);
	}
	a->n_inner = 0;
}

static void on_update(struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg)
{
	struct update u = {.msg = msg, .rx = rx, .key = channel_peer_key(peer), .node = channel_peer_name(peer)};
	struct pending *p;
	unsigned left_out;

	if ((msg->bu.flags & (MH_BU_A | MH_BU_H | MH_BU_P)) == (MH_BU_A | MH_BU_P)) {
		on_request(a, peer, rx, msg);
		return;
	}
	if (a->n_pending == PENDING) {
		a->count_unexpected++; /* the node sends it again */
		return;
	}
	/* our updates are home registrations of a host: others (MAP, proxy, correspondent) come with later carriers */
	if ((msg->bu.flags & (MH_BU_A | MH_BU_H | MH_BU_P)) != (MH_BU_A | MH_BU_H) ||
		!mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &u.prefix) || u.prefix.len != 64 ||
		mh_find(msg, MHOPT_HNP, mh_find(msg, MHOPT_HNP, NULL))) {
		a->count_mh[MH_WHY_VALUE]++;
		return;
	}
	u.wants_any = IN6_IS_ADDR_UNSPECIFIED(&u.prefix.addr);
	u.with_lease = dmmopt_lease(msg, &u.lease);
	u.with_care_of = mhopt_address(mh_find(msg, MHOPT_ALT_COA, NULL), &u.care_of);
	u.with_link_local = mhopt_address(mh_find(msg, MHOPT_LINK_LOCAL, NULL), &u.link_local);
	(void)mhopt_link_layer(mh_find(msg, MHOPT_LL_ID, NULL), u.link_layer);
	(void)dmmopt_tunnel_mtu(msg, &u.mtu);
	if (u.mtu && (u.mtu < 1280 || u.mtu >= a->config.tunnel_mtu))
		u.mtu = 0;
	p = &a->pending[a->n_pending++];
	*p = (struct pending){.peer = peer, .ba = {.sequence = msg->bu.sequence}, .with_lease = u.with_lease};
	if (a->reading) {
		p->relay = a->reading->rx.ep.relay;
		p->proxy_sequence = a->reading->sequence;
		a->count_proxied++;
	}
	p->ba.status = handle_update(a, &u, p, a->cookie + a->n_pending);
	if (p->ba.status < 128)
		return;
	undo(a, p);
	p->changes = false;
	if (log_bucket_take(&a->refused_bucket, loop_now_us(a->loop), 20, 10 * SEC, &left_out)) {
		log_info("lm", "refused update of %s for %s from %s: %u (%s)%s", u.node, prefix6_text(&u.prefix),
			in6_text(&rx->ep.remote), p->ba.status, mh_status_name(p->ba.status),
			left_out ? "; more were left out" : "");
	}
}

/* RFC 5847, and the probes of ARCHITECTURE, "Path MTU of the tunnel". */
static void on_heartbeat(struct amad *a, struct channel_peer *peer, const struct mh_msg *msg)
{
	uint8_t buf[2048];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_heartbeat hb = {.flags = MH_HEARTBEAT_R, .sequence = msg->heartbeat.sequence};
	struct dmmopt_probe probe;
	struct mh_writer m;
	bool probed = dmmopt_probe(msg, &probe);

	if (msg->heartbeat.flags & MH_HEARTBEAT_R)
		return;
	a->count_heartbeat++;
	m = mh_begin_heartbeat(&w, &hb);
	mh_put_u32(&m, MHOPT_RESTART_COUNTER, a->meta.restart_counter);
	/* the answer is as large as the question, never larger: nobody is amplified */
	if (probed && probe.size >= 1280 && probe.size <= 2000 && msg->len + 400 >= probe.size) {
		mh_put_probe(&m, &probe);
		mh_pad_to(&m, (size_t)(probe.size - 74) & ~7u);
		mh_end(&m);
		if (wcur_ok(&w))
			(void)channel_send_probe(a->channel, peer, buf, wcur_len(&w), probe.size, loop_now_us(a->loop));
		return;
	}
	mh_end(&m);
	(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

/* --- revocation (RFC 5846) ------------------------------------------------------------------------------------- */

static void tell_revocation(struct amad *a, const struct lease *l, uint16_t sequence)
{
	struct channel_peer *peer = channel_find_peer(a->channel, l->key);
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_revocation r = {
		.b_type = MH_REVOCATION_INDICATION, .trigger = MH_REVOCATION_ADMINISTRATIVE, .sequence = sequence};
	struct mh_writer m = mh_begin_revocation(&w, &r);

	mh_put_prefix(&m, MHOPT_HNP, &l->prefix);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

static void wake_for_revocations(struct amad *a)
{
	uint64_t due_us = UINT64_MAX;

	if (a->told_once)
		due_us = a->told_once->due_us;
	if (a->told_twice && a->told_twice->due_us < due_us)
		due_us = a->told_twice->due_us;
	loop_timer_at(&a->revoke, due_us);
}

/* Tell the node, twice if it does not answer, and end the lease. In the store it has ended already. */
static void revoke_lease(struct amad *a, struct lease *l)
{
	struct revocation *r;

	if (l->revoked)
		return;
	l->revoked = true;
	write_lease(a, l, true, true);
	stored(a, store_delete_binding(a->store, &l->prefix));
	log_notice("anchoring", "revoking the lease of %s to %s", prefix6_text(&l->prefix), l->node);
	emit(a, "lease_revoked", l, NULL);
	r = channel_find_peer(a->channel, l->key) ? calloc(1, sizeof(*r)) : NULL;
	if (!r) { /* it was not heard since we started, or no memory: it hears when it speaks */
		end_lease(a, l, 0);
		return;
	}
	r->prefix = l->prefix;
	r->sequence = a->revocations++;
	r->due_us = loop_now_us(a->loop) + REVOKE_FIRST_US;
	DL_APPEND(a->told_once, r);
	tell_revocation(a, l, r->sequence);
	wake_for_revocations(a);
}

static void on_revoke_timer(void *ctx)
{
	struct amad *a = ctx;
	uint64_t now_us = loop_now_us(a->loop);
	struct revocation *r;

	while ((r = a->told_twice) && r->due_us <= now_us) {
		struct lease *l = anchoring_find(a->anchoring, &r->prefix);

		DL_DELETE(a->told_twice, r);
		if (l && l->revoked) {
			log_info("anchoring", "%s did not answer: %s is revoked without it", l->node,
				prefix6_text(&l->prefix));
			end_lease(a, l, 0);
		}
		free(r);
	}
	while ((r = a->told_once) && r->due_us <= now_us) {
		struct lease *l = anchoring_find(a->anchoring, &r->prefix);

		DL_DELETE(a->told_once, r);
		if (!l || !l->revoked) { /* it has answered */
			free(r);
			continue;
		}
		tell_revocation(a, l, r->sequence);
		r->due_us = now_us + REVOKE_SECOND_US;
		DL_APPEND(a->told_twice, r);
	}
	wake_for_revocations(a);
}

static void on_revocation(struct amad *a, struct channel_peer *peer, const struct mh_msg *msg)
{
	struct prefix6 prefix;
	struct lease *l;

	if (msg->revocation.b_type == MH_REVOCATION_INDICATION && channel_peer_role(peer) == CREDENTIAL_AMA &&
		(msg->revocation.flags & MH_REVOCATION_P) && mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix)) {
		serving_revoked(a->serving, peer, &prefix, loop_now_us(a->loop));
		return;
	}
	if (msg->revocation.b_type != MH_REVOCATION_ACK || !mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix)) {
		a->count_unexpected++;
		return;
	}
	l = anchoring_find(a->anchoring, &prefix);
	if (!l || !l->revoked || memcmp(l->key, channel_peer_key(peer), sizeof(l->key)) != 0)
		return;
	log_info("anchoring", "%s knows that %s is revoked", l->node, prefix6_text(&prefix));
	end_lease(a, l, 0);
}

static void channel_recv(
	void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len)
{
	struct amad *a = ctx;
	struct rcur c = rcur_make(mh, len);

	while (rcur_left(&c) > 0) {
		static struct mh_msg msg;
		enum mh_why why;

		if (mh_read(&c, &msg, &why) < 0) {
			a->count_mh[why]++;
			if (!rcur_ok(&c))
				return;
			continue;
		}
		if (channel_peer_role(peer) == CREDENTIAL_AMA && (msg.type == MH_BU || msg.type == MH_BA || mh_is_relay(&msg))) {
			if (msg.type == MH_BA && (msg.ba.flags & MH_BA_P))
				serving_ack(a->serving, peer, &msg, loop_now_us(a->loop));
			else if (mh_is_relay(&msg))
				serving_relay(a->serving, peer, &msg);
			else if (msg.type == MH_BU && (msg.bu.flags & (MH_BU_A | MH_BU_H | MH_BU_P)) == (MH_BU_A | MH_BU_H | MH_BU_P))
				on_proxy_update(a, peer, rx, &msg);
			else
				a->count_unexpected++;
			continue;
		}
		switch (msg.type) {
		case MH_BU:
			on_update(a, peer, rx, &msg);
			break;
		case MH_HEARTBEAT:
			on_heartbeat(a, peer, &msg);
			break;
		case MH_REVOCATION:
			on_revocation(a, peer, &msg);
			break;
		default:
			a->count_unexpected++;
		}
	}
}

/* ep->relay: the node is behind an AMA, which knows it by the cookie of its PBU. */
static void channel_tx(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	struct amad *a = ctx;
	uint8_t out[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(out, sizeof(out));
	struct channel_peer *peer;
	struct mh_writer m;

	if (!ep->relay) {
		transport_send(a->transport, ep, buf, len, flags);
		return;
	}
	peer = relay_peer(a, ep->relay);
	m = mh_begin_relay(&w);
	mh_put_sealed(&m, ep->ifindex, buf, len);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, out, wcur_len(&w));
}

static int channel_accept(void *ctx, const struct credential *cred)
{
	const struct amad *a = ctx;

	return cred->role == CREDENTIAL_MN || a->config.accept_proxies ? 0 : -EACCES;
}

static void channel_discovered(void *ctx, const struct in6_addr *from, const struct credential *cred)
{
	struct amad *a = ctx;

	serving_discovered(a->serving, from, cred, loop_now_us(a->loop));
}

static uint64_t channel_wall(void *ctx)
{
	(void)ctx;
	return loop_wall_ns();
}

static const struct channel_ops channel_ops = {
	.send = channel_tx,
	.recv = channel_recv,
	.accept = channel_accept,
	.discovered = channel_discovered,
	.wall_ns = channel_wall};

static void datagram(void *ctx, const struct channel_rx *rx, const uint8_t *buf, size_t len)
{
	struct amad *a = ctx;

	(void)channel_input(a->channel, rx, buf, len, loop_now_us(a->loop));
	read_inner(a);
}

/* --- the end of a turn ----------------------------------------------------------------------------------------- */

static void kernel_done(void *ctx, uint64_t cookie, int result, const char *text)
{
	struct amad *a = ctx;
	struct pending *p;
	unsigned left_out;

	if (cookie == RC_VISIT_COOKIE && result < 0 && result != -ECANCELED) {
		remember_error(a, "kernel refused a route of a visiting node: %s%s%s", strerror(-result), text ? ": " : "",
			text ? text : "");
		if (log_bucket_take(&a->kernel_bucket, loop_now_us(a->loop), 10, 10 * SEC, &left_out))
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
	if (log_bucket_take(&a->kernel_bucket, loop_now_us(a->loop), 10, 10 * SEC, &left_out))
		log_warning("nl", "the kernel refused the route of %s: %s%s%s; the update is refused",
			prefix6_text(&p->prefix), strerror(-result), text ? ": " : "", text ? text : "");
}

static void sync_soon(struct amad *a)
{
	if (a->syncing)
		return;
	a->syncing = true;
	loop_timer_at(&a->sync, loop_now_us(a->loop) + SYNC_US);
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
		undo(a, &a->pending[i]);
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
	loop_timer_at(&a->sync, loop_now_us(a->loop) + SEC);
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
		loop_timer_at(&a->retry, loop_now_us(a->loop));
}

/* The AMA at which it was until this turn hears of it now that it is so. */
static void tell_if_moved(struct amad *a, const struct pending *p)
{
	const struct binding *b = p->binds && p->before.bound && p->before.proxied ? lm_find(a->lm, &p->prefix) : NULL;

	if (b && !IN6_ARE_ADDR_EQUAL(mr_care_of(b->locator), &p->before.care_of))
		tell_previous(a, &p->before.care_of, &p->prefix);
}

static void answer(void *ctx)
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
			undo(a, p);
			loop_timer_at(&a->retry, loop_now_us(a->loop)); /* another turn, for what that changed */
		}
		a->count_status[p->ba.status]++;
		if (p->ba.status >= 128)
			p->ba.lifetime_s = 0;
		m = mh_begin_ba(&w, &p->ba);
		mh_put_prefix(&m, MHOPT_HNP, &p->prefix);
		if (p->with_lease && p->ba.status < 128)
			mh_put_lease(&m, &p->lease);
		if (p->with_lease && has_through(a))
			mh_put_regional(&m, &a->config.through);
		mh_end(&m);
		if (wcur_ok(&w))
			(void)channel_send(a->channel, p->peer, buf, wcur_len(&w));
		/* before the sealed answer, so that the last hop is there when the node reads it */
		if (p->relay)
			put_proxy_ack(a, relay_peer(a, p->relay), p->proxy_sequence, p->ba.status, p->ba.lifetime_s, &p->prefix);
	}
	a->cookie += a->n_pending;
	a->n_pending = 0;
	channel_flush(a->channel, loop_now_us(a->loop));
	transport_flush(a->transport);
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
	check_node(c->a, l);
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

	if (log_bucket_take(&a->kernel_bucket, loop_now_us(a->loop), 10, 10 * SEC, &left_out))
		log_notice("nl", "%s was %s by somebody else: putting it back", fwd_object_text(o), what);
	control_emit(a->control, "restored", json_pack("{s:s}", "object", fwd_object_text(o)));
}

static void on_deleted(void *ctx, const struct fwd_object *o)
{
	struct amad *a = ctx;

	if (o->kind == FWD_ADDRESS || !fwd_lost(a->set, o, loop_now_us(a->loop)))
		return;
	put_back(a, o, "deleted");
}

static void on_changed(void *ctx, const struct fwd_object *o)
{
	struct amad *a = ctx;

	if (o->kind != FWD_ADDRESS && fwd_changed(a->set, o, loop_now_us(a->loop)))
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

static void on_retry(void *ctx)
{
	struct amad *a = ctx;
	char err[NL_ERR];

	if (a->tunnel_lost) {
		a->tunnel_lost = false;
		log_notice("nl", "the tunnel device %s was removed or set down by somebody else: putting it back",
			a->config.tunnel_device);
		if (nl_tunnel_open(a->nl, a->config.tunnel_device, a->config.tunnel_mtu, &a->tunnel, err) < 0) {
			log_error("nl", "%s", err);
			a->tunnel_lost = true;
			loop_timer_at(&a->retry, loop_now_us(a->loop) + SEC);
			return;
		}
		a->count_device++;
		if (a->srccheck && srccheck_attach(a->srccheck, a->tunnel, err) < 0)
			log_error("nl", "%s", err);
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
			loop_timer_at(&a->retry, loop_now_us(a->loop) + SEC);
		}
		end_access(a, &was);
	}
}

/* --- start from the store -------------------------------------------------------------------------------------- */

/* What ended while we did not run is taken out when the store has been read. */
static void add_over(struct amad *a, const struct prefix6 *prefix)
{
	struct prefix6 *x = reallocarray(a->over, a->n_over + 1, sizeof(*x));

	if (!x)
		return; /* the next start finds it again */
	a->over = x;
	x[a->n_over++] = *prefix;
}

static void drop_over(struct amad *a)
{
	for (size_t i = 0; i < a->n_over; i++) {
		if (!anchoring_find(a->anchoring, &a->over[i]))
			stored(a, store_delete_lease(a->store, &a->over[i]));
		stored(a, store_delete_binding(a->store, &a->over[i]));
		stored(a, store_delete_visit(a->store, &a->over[i]));
	}
	free(a->over);
	a->over = NULL;
	a->n_over = 0;
}

static void load_lease(void *ctx, const struct store_lease *s)
{
	struct amad *a = ctx;
	uint64_t until_us = from_wall_s(a, s->until_s);
	struct lease *l;

	if (s->resting || !until_us) {
		uint64_t free_us = from_wall_s(a, s->until_s + a->config.quarantine_us / SEC);

		if (!free_us || anchoring_rest(a->anchoring, &s->prefix, s->key, free_us) < 0)
			add_over(a, &s->prefix);
		return;
	}
	if (anchoring_restore(a->anchoring, &s->prefix, s->key, s->node, until_us, &l) < 0)
		return; /* no longer of our pools; a pool that was left out by mistake finds its leases again */
	l->sequence = s->sequence;
	l->has_sequence = s->has_sequence;
	l->link_local = s->link_local;
	memcpy(l->link_layer, s->link_layer, sizeof(l->link_layer));
	l->ifindex = s->ifname[0] ? if_nametoindex(s->ifname) : 0;
	if (s->ifname[0] && !l->ifindex)
		l->ifindex = absent_index(a, s->ifname);
	check_node(a, l);
}

static void load_binding(void *ctx, const struct store_binding *s)
{
	struct amad *a = ctx;
	uint64_t until_us = from_wall_s(a, s->until_s);
	struct lease *l = anchoring_find(a->anchoring, &s->prefix);
	struct binding *b;

	if (!until_us) {
		add_over(a, &s->prefix);
		return;
	}
	if (!l)
		return;
	b = lm_get(a->lm, &s->prefix);
	if (!b)
		return;
	b->mtu = s->mtu;
	b->nexthop = s->nexthop;
	b->since_s = (uint32_t)(loop_now_us(a->loop) / SEC);
	if (rc_bind(a->set, a->mr, b, &s->care_of, &s->self, a->tunnel, 0) < 0) {
		drop_binding(a, b);
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
	uint64_t now_us = loop_now_us(a->loop);
	struct serving_visit v = {.prefix = s->prefix,
		.node = s->node,
		.anchor = s->anchor,
		.self = s->self,
		.ifindex = if_nametoindex(s->ifname),
		.link_local = s->link_local,
		.until_us = from_wall_s(a, s->until_s)};

	memcpy(v.link_layer, s->link_layer, sizeof(v.link_layer));
	if (!s->ifname[0] && in6_is_global(&s->link_local))
		v.through = s->link_local;
	if (v.until_us <= now_us || (!v.ifindex && IN6_IS_ADDR_UNSPECIFIED(&v.through)) || !a->config.proxy ||
		serving_restore(a->serving, &v, s->key, s->node_cookie, now_us) < 0)
		add_over(a, &s->prefix);
}

static void keep_visit(void *ctx, const struct serving_visit *v, const uint8_t key[32], uint32_t node_cookie)
{
	struct amad *a = ctx;
	struct store_visit s = {.prefix = v->prefix,
		.anchor = v->anchor,
		.self = v->self,
		.link_local = v->link_local,
		.until_s = to_wall_s(a, v->until_us),
		.node_cookie = node_cookie};

	memcpy(s.key, key, sizeof(s.key));
	memcpy(s.link_layer, v->link_layer, sizeof(s.link_layer));
	(void)snprintf(s.node, sizeof(s.node), "%s", v->node);
	if (IN6_IS_ADDR_UNSPECIFIED(&v->through))
		(void)if_indextoname(v->ifindex, s.ifname);
	else
		s.link_local = v->through;
	stored(a, store_put_visit(a->store, &s));
}

static void forget_visit(void *ctx, const struct prefix6 *prefix)
{
	struct amad *a = ctx;

	stored(a, store_delete_visit(a->store, prefix));
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
	stored(a, store_put_meta(a->store, &a->meta));
}

/* --- control --------------------------------------------------------------------------------------------------- */

static double left_s(const struct amad *a, uint64_t until_us)
{
	uint64_t now_us = loop_now_us(a->loop);

	return until_us > now_us ? (double)(until_us - now_us) / SEC : 0;
}

struct list_ctx {
	struct amad *a;
	json_t *list;
};

static void lease_json(void *ctx, struct lease *l)
{
	struct list_ctx *c = ctx;
	char name[IF_NAMESIZE];

	(void)json_array_append_new(c->list,
		json_pack("{s:s, s:s, s:s, s:s?, s:s?, s:s?, s:f}", "mn", l->node, "hnp", prefix6_text(&l->prefix), "state",
			l->ifindex			? "native"
			: lm_find(c->a->lm, &l->prefix) ? "bound"
							: "away",
			"interface", l->ifindex ? lease_ifname(c->a, l, name) : NULL, "link_local",
			l->ifindex ? in6_text(&l->link_local) : NULL, "link_layer",
			l->ifindex ? link_layer_text(l->link_layer) : NULL, "remaining_s", left_s(c->a, lease_until_us(l))));
}

static void binding_json(void *ctx, struct binding *b)
{
	struct list_ctx *c = ctx;
	const struct lease *l = anchoring_find(c->a->anchoring, &b->prefix);

	(void)json_array_append_new(c->list,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:i}", "mn", l ? l->node : "?", "hnp",
			prefix6_text(&b->prefix), "care_of", in6_text(mr_care_of(b->locator)), "self",
			in6_text(mr_self(b->locator)), "type", b->proxied ? "proxied" : "direct", "sequence", l ? l->sequence : 0, "remaining_s",
			left_s(c->a, binding_until_us(b)), "since_s", (double)loop_now_us(c->a->loop) / SEC - b->since_s,
			"mtu", b->mtu ? b->mtu : (int)c->a->config.tunnel_mtu));
}

static int list_leases(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct list_ctx c = {ctx, json_array()};

	(void)parameters;
	(void)reterr;
	anchoring_each(c.a->anchoring, lease_json, &c);
	*ret = json_pack("{s:o}", "leases", c.list);
	return *ret ? 0 : -ENOMEM;
}

static int list_bindings(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct list_ctx c = {ctx, json_array()};

	(void)parameters;
	(void)reterr;
	lm_each(c.a->lm, binding_json, &c);
	*ret = json_pack("{s:o}", "bindings", c.list);
	return *ret ? 0 : -ENOMEM;
}

static void visit_json(void *ctx, const struct serving_visit *v)
{
	struct list_ctx *c = ctx;
	char name[IF_NAMESIZE] = "";
	bool through = !IN6_IS_ADDR_UNSPECIFIED(&v->through);

	if (v->ifindex)
		(void)if_indextoname(v->ifindex, name);
	(void)json_array_append_new(c->list,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:f, s:f}", "mn", v->node, "hnp", prefix6_text(&v->prefix),
			"anchor", in6_text(&v->anchor), "anchor_name", v->anchor_name, "self", in6_text(&v->self), "interface",
			v->ifindex ? name : NULL, "link_local", v->ifindex ? in6_text(&v->link_local) : NULL, "link_layer", v->ifindex ? link_layer_text(v->link_layer) : NULL, "through",
			through ? in6_text(&v->through) : NULL, "forwarded_to", v->ifindex || through ? NULL : in6_text(&v->care_of), "remaining_s", left_s(c->a, v->until_us), "since_s",
			(double)(loop_now_us(c->a->loop) - v->since_us) / SEC));
}

static int list_visits(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct list_ctx c = {ctx, json_array()};

	(void)parameters;
	(void)reterr;
	serving_each(c.a->serving, visit_json, &c);
	*ret = json_pack("{s:o}", "visits", c.list);
	return *ret ? 0 : -ENOMEM;
}

static void peer_json(void *ctx, const struct serving_peer *p)
{
	struct list_ctx *c = ctx;
	uint64_t now_us = loop_now_us(c->a->loop);

	(void)json_array_append_new(c->list,
		json_pack("{s:s, s:s?, s:s?, s:s, s:o, s:o, s:I, s:I, s:I, s:s?}", "address", in6_text(&p->address), "name", p->name,
			"domain", p->domain, "state", !p->name ? "unknown" : p->has_session ? "connected" : "known", "rtt_ms",
			p->rtt_us ? json_real((double)p->rtt_us / 1000) : json_null(), "heard_s",
			p->heard_us ? json_real((double)(now_us - p->heard_us) / SEC) : json_null(), "sent", (json_int_t)p->sent,
			"accepted", (json_int_t)p->accepted, "refused", (json_int_t)p->refused, "last_error", p->last_error));
}

static int list_peers(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct list_ctx c = {ctx, json_array()};

	(void)parameters;
	(void)reterr;
	serving_each_peer(c.a->serving, peer_json, &c);
	*ret = json_pack("{s:o}", "peers", c.list);
	return *ret ? 0 : -ENOMEM;
}

static json_t *counters_json(struct amad *a)
{
	const struct channel_counters *cc = channel_counters(a->channel);
	const struct transport_counters *tc = transport_counters(a->transport);
	const struct fwd_counters *fc = fwd_counters(a->set);
	const struct nl_counters *nc = nl_counters(a->nl);
	const struct loop_stats *ls = loop_stats(a->loop);
	struct srccheck_counters sc = {0};
	json_t *j = json_object();
	char name[128];

#define COUNT(n, v) (void)json_object_set_new(j, n, json_integer((json_int_t)(v)))
	for (int i = 0; i < CHANNEL_WHY_COUNT; i++) {
		(void)snprintf(name, sizeof(name), "channel-%s", channel_why_name((enum channel_why)i));
		COUNT(name, cc->why[i]);
	}
	for (int i = 0; i < MH_WHY_N; i++)
		COUNT(mh_why_name((enum mh_why)i), a->count_mh[i]);
	for (int i = 0; i < 256; i++) {
		if (!a->count_status[i] && i != 0)
			continue;
		(void)snprintf(name, sizeof(name), "ba-status-%d", i);
		COUNT(name, a->count_status[i]);
	}
	for (int i = 0; i < FWD_KINDS; i++) {
		(void)snprintf(name, sizeof(name), "restored-%s", fwd_kind_name((enum fwd_kind)i));
		COUNT(name, fc->restored[i]);
		(void)snprintf(name, sizeof(name), "kernel-refused-%s", fwd_kind_name((enum fwd_kind)i));
		COUNT(name, fc->failures[i]);
	}
	COUNT("restored-device", a->count_device);
	COUNT("kernel-requests", nc->requests);
	COUNT("kernel-batches", nc->batches);
	COUNT("netlink-overruns", nc->overruns);
	COUNT("udp-rx", tc->rx);
	COUNT("udp-tx", tc->tx);
	COUNT("udp-tx-full", tc->tx_full);
	COUNT("udp-tx-unreachable", tc->tx_unreachable);
	COUNT("handshakes", cc->rx_initiation);
	COUNT("discoveries", cc->rx_discovery);
	COUNT("heartbeats", a->count_heartbeat);
	COUNT("unexpected-messages", a->count_unexpected);
	COUNT("proxied-updates", a->count_proxied);
	COUNT("proxied-not-sealed", a->count_unsealed);
	COUNT("proxied-seal-bad", a->count_sealed_bad);
	COUNT("proxy-requests", serving_counters(a->serving)->requests);
	COUNT("proxy-refused", serving_counters(a->serving)->refused);
	COUNT("proxy-limited", serving_counters(a->serving)->limited);
	COUNT("proxy-not-covered", serving_counters(a->serving)->not_covered);
	COUNT("proxy-accepted", serving_counters(a->serving)->accepted);
	COUNT("proxy-unmatched", serving_counters(a->serving)->unmatched);
	COUNT("store-failures", a->count_store);
	COUNT("slow-callbacks", ls->slow);
	if (a->srccheck && srccheck_counters(a->srccheck, &sc) == 0) {
		COUNT("decap-passed", sc.passed);
		COUNT("decap-unbound", sc.unbound);
		COUNT("decap-wrong-source", sc.wrong_source);
		COUNT("decap-malformed", sc.malformed);
		COUNT("access-wrong-node", sc.wrong_node);
	}
#undef COUNT
	return j;
}

static int get_status(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct amad *a = ctx;
	json_t *pools = json_array(), *errors = json_array();
	const struct prefix6 *pool;
	unsigned n = anchoring_pools(a->anchoring, &pool);

	(void)parameters;
	(void)reterr;
	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(pools, json_string(prefix6_text(&pool[i])));
	for (unsigned i = a->n_errors > ERRORS ? a->n_errors - ERRORS : 0; i < a->n_errors; i++)
		(void)json_array_append_new(errors, json_string(a->error[i % ERRORS]));
	*ret = json_pack("{s:s, s:f, s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:i, s:b, s:o, s:o}", "version",
		PACKAGE_VERSION, "uptime_s", (double)(loop_now_us(a->loop) - a->started_us) / SEC, "node",
		a->identity.name, "domain", a->identity.credential.domain, "device", a->config.tunnel_device, "pools",
		pools, "leases", (int)anchoring_count(a->anchoring), "bindings", (int)lm_count(a->lm), "locators",
		(int)mr_count(a->mr), "nodes", (int)channel_counters(a->channel)->peers, "restart_counter",
		(int)a->meta.restart_counter, "draining", a->draining, "counters", counters_json(a), "errors", errors);
	return *ret ? 0 : -ENOMEM;
}

struct revoke_ctx {
	struct amad *a;
	const char *node;
	struct prefix6 prefix;
	bool by_prefix, all;
	struct prefix6 *found;
	size_t n, room;
};

static void collect_revoked(void *ctx, struct lease *l)
{
	struct revoke_ctx *c = ctx;

	if (!c->all && (c->by_prefix ? !prefix6_covers(&c->prefix, &l->prefix) : strcmp(c->node, l->node) != 0))
		return;
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		struct prefix6 *more = reallocarray(c->found, room, sizeof(*more));

		if (!more)
			return;
		c->found = more;
		c->room = room;
	}
	c->found[c->n++] = l->prefix;
}

static int do_revoke(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct revoke_ctx c = {.a = ctx};
	const char *what = json_string_value(json_object_get(parameters, "what"));

	c.all = json_is_true(json_object_get(parameters, "all"));
	if (!what && !c.all) {
		(void)snprintf(reterr, CONTROL_ERR, "what is to be revoked: a prefix, a node's name, or all");
		return -EINVAL;
	}
	c.node = what;
	c.by_prefix = what && prefix6_parse(what, &c.prefix) == 0;
	anchoring_each(c.a->anchoring, collect_revoked, &c);
	for (size_t i = 0; i < c.n; i++) {
		struct lease *l = anchoring_find(c.a->anchoring, &c.found[i]);

		if (l)
			revoke_lease(c.a, l);
	}
	free(c.found);
	if (c.n == 0 && !c.all) {
		(void)snprintf(reterr, CONTROL_ERR, "no lease of %.200s: 'amactl leases' lists them", what);
		return -ENOENT;
	}
	*ret = json_pack("{s:i}", "revoked", (int)c.n);
	return *ret ? 0 : -ENOMEM;
}

/* Ask the node to update now (RFC 6275 6.1.2): it hears of the drain in the answer. */
static void ask_refresh(void *ctx, struct lease *l)
{
	struct amad *a = ctx;
	struct channel_peer *peer = channel_find_peer(a->channel, l->key);
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m;

	if (!peer || !l->ifindex || l->revoked)
		return;
	m = mh_begin_brr(&w);
	mh_put_prefix(&m, MHOPT_HNP, &l->prefix);
	mh_end(&m);
	if (wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

static int do_drain(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct amad *a = ctx;
	const json_t *on = json_object_get(parameters, "on");

	(void)reterr;
	if (a->draining == !json_is_false(on)) {
		*ret = json_pack("{s:b, s:i}", "draining", a->draining, "leases", (int)anchoring_count(a->anchoring));
		return *ret ? 0 : -ENOMEM;
	}
	a->draining = !json_is_false(on);
	log_notice("anchoring", a->draining ? "draining: no new leases; %zu are left" : "no longer draining; %zu leases",
		anchoring_count(a->anchoring));
	control_emit(a->control, "draining",
		json_pack("{s:b, s:i}", "on", a->draining, "leases", (int)anchoring_count(a->anchoring)));
	anchoring_each(a->anchoring, ask_refresh, a);
	*ret = json_pack("{s:b, s:i}", "draining", a->draining, "leases", (int)anchoring_count(a->anchoring));
	return *ret ? 0 : -ENOMEM;
}

struct faults {
	char *text;
	size_t size;
};

static void collect_fault(void *ctx, const char *text)
{
	struct faults *f = ctx;
	size_t n = strlen(f->text);

	log_error("conf", "%s", text);
	(void)snprintf(f->text + n, f->size - n, "%s%s", n ? "; " : "", text);
}

static int reload(struct amad *a, char *reterr, size_t size)
{
	struct amad_config *config = malloc(sizeof(*config));
	struct faults faults = {reterr, size};
	struct domain trusted[TRUST_MAX];
	char err[CREDENTIAL_ERR];
	int n;

	reterr[0] = '\0';
	if (!config)
		return -ENOMEM;
	if (amad_config_read(a->config_path, a->config_required, config, collect_fault, &faults) > 0) {
		free(config);
		log_error("conf", "configuration refused, keeping the old one");
		return -EINVAL;
	}
	n = trust_load(config->trusted_domains, &a->identity, trusted, err);
	if (n < 0) {
		log_error("conf", "%s; keeping the old configuration", err);
		(void)snprintf(reterr, size, "%s", err);
		free(config);
		return n;
	}
	if (config->port != a->config.port || strcmp(config->tunnel_device, a->config.tunnel_device) ||
		strcmp(config->control_socket, a->config.control_socket) ||
		strcmp(config->identity, a->config.identity) || strcmp(config->state_dir, a->config.state_dir) ||
		memcmp(&config->pool, &a->config.pool, sizeof(config->pool)))
		log_warning("conf",
			"pool, port, tunnel-device, control-socket, identity and state-dir change only with a restart");
	config->port = a->config.port;
	memcpy(config->tunnel_device, a->config.tunnel_device, sizeof(config->tunnel_device));
	config->pool = a->config.pool;
	a->config = *config;
	free(config);
	serving_set_through(a->serving, &a->config.through);
	memcpy(a->trusted, trusted, sizeof(trusted));
	(void)channel_set_trusted(a->channel, a->trusted, (size_t)n);
	a->resync = true; /* access interfaces */
	log_info("conf", "configuration read again");
	return 0;
}

static int do_reload(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)parameters;
	(void)ret;
	return reload(ctx, reterr, CONTROL_ERR);
}

static const struct control_method methods[] = {{"GetStatus", get_status, false}, {"ListLeases", list_leases, false},
	{"ListBindings", list_bindings, false}, {"ListVisits", list_visits, false}, {"ListPeers", list_peers, false}, {"Reload", do_reload, true}, {"Revoke", do_revoke, true},
	{"Drain", do_drain, true}, {0}};

static const char description[] = "# The access mobility anchor\n"
				  "interface org.dmm.amad\n"
				  "method GetStatus() -> (version: string, uptime_s: float, node: string, domain: "
				  "string, device: string, pools: []string, "
				  "leases: int, bindings: int, locators: int, nodes: int, restart_counter: int, draining: bool, "
				  "counters: [string]int, errors: []string)\n"
				  "method ListLeases() -> (leases: []object)\n"
				  "method ListBindings() -> (bindings: []object)\n"
				  "method ListVisits() -> (visits: []object)\n"
				  "method ListPeers() -> (peers: []object)\n"
				  "# Call with more; event is ready, lease_granted, attached, lease_renewed, "
				  "lease_released, lease_expired, lease_revoked, draining, binding_created, binding_moved,\n"
				  "# binding_refreshed, binding_deleted, binding_expired, visit_began, visit_refreshed, visit_moved,\n"
				  "# visit_forwarded, visit_ended or restored\n"
				  "method Monitor() -> (event: string, data: object)\n"
				  "method Reload() -> ()\n"
				  "# what: a prefix (all leases inside it) or the name of a node\n"
				  "method Revoke(what: ?string, all: ?bool) -> (revoked: int)\n"
				  "method Drain(on: ?bool) -> (draining: bool, leases: int)\n"
				  "error Failed (message: string)\n"
				  "error PermissionDenied (message: string)\n";

/* --- life ------------------------------------------------------------------------------------------------------ */

static void on_signal(void *ctx, int signum)
{
	struct amad *a = ctx;

	log_info("main", "stopping: %s", strsignal(signum));
#ifdef HAVE_SYSTEMD
	(void)sd_notify(0, "STOPPING=1");
#endif
	loop_stop(a->loop);
}

static void on_hup(void *ctx, int signum)
{
	char err[AMAD_ERR];

	(void)signum;
#ifdef HAVE_SYSTEMD
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)loop_clock_us());
#endif
	(void)reload(ctx, err, sizeof(err));
#ifdef HAVE_SYSTEMD
	(void)sd_notify(0, "READY=1");
#endif
}

static void on_watchdog(void *ctx)
{
	struct amad *a = ctx;

#ifdef HAVE_SYSTEMD
	uint64_t us;

	if (sd_watchdog_enabled(0, &us) > 0) {
		(void)sd_notify(0, "WATCHDOG=1");
		loop_timer_at(&a->watchdog, loop_now_us(a->loop) + us / 2);
	}
#else
	(void)a;
#endif
}

static int add_pools(struct amad *a, char *reterr)
{
	const struct credential *c = &a->identity.credential;
	unsigned n = a->config.pool.n ? a->config.pool.n : c->n_prefixes;

	for (unsigned i = 0; i < n; i++) {
		const struct prefix6 *p = a->config.pool.n ? &a->config.pool.prefix[i] : &c->prefixes[i];
		int r;

		if (!credential_covers(c, p)) {
			(void)snprintf(reterr, AMAD_ERR,
				"pool %s is not covered by the credential of %s: nodes would refuse it; have the "
				"domain sign a credential with --prefix %s",
				prefix6_text(p), c->node, prefix6_text(p));
			return -EACCES;
		}
		r = anchoring_add_pool(a->anchoring, p);
		if (r < 0) {
			(void)snprintf(reterr, AMAD_ERR, "pool %s: %s", prefix6_text(p),
				r == -EEXIST   ? "overlaps another pool"
				: r == -EINVAL ? "must be /64 or shorter"
					       : "too many pools");
			return r;
		}
	}
	if (n == 0) {
		(void)snprintf(reterr, AMAD_ERR,
			"no pool: neither the configuration nor the credential names a prefix to lease from");
		return -EINVAL;
	}
	return 0;
}

static void on_visit(void *ctx, const char *event, const struct serving_visit *v)
{
	struct amad *a = ctx;

	if (control_is_monitored(a->control))
		control_emit(a->control, event,
			json_pack("{s:s, s:s, s:s, s:s?}", "hnp", prefix6_text(&v->prefix), "mn", v->node, "anchor", v->anchor_name,
				"care_of", v->ifindex ? NULL : in6_text(&v->care_of)));
}

/* A store that cannot be read is put aside, and the anchor begins anew: its nodes register again. What it had leased it leases again to
 * whoever asks first; 'amactl store import' of an export is better. */
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
	log_error("store", "it was moved to %s, and all leases and bindings are forgotten; 'amactl store import' takes an export", path);
	remember_error(a, "the store was damaged and is in %s", path);
	return store_open(a->config.state_dir, &a->store, reterr);
}

static int open_all(struct amad *a, char *reterr)
{
	struct serving_env serving = {.port = (uint16_t)a->config.port, .max_visits = a->config.max_visits,
		.tunnel_device = a->config.tunnel_device, .keep = keep_visit, .forget = forget_visit, .event = on_visit,
		.answer_via = answer_via, .tell_left = tell_left, .ctx = a};
	struct channel_config channel = {.ops = &channel_ops, .ctx = a, .max_peers = a->config.max_nodes};
	struct control_config control = {.path = a->config.control_socket,
		.interface = "org.dmm.amad",
		.description = description,
		.product = "amad",
		.version = PACKAGE_VERSION,
		.methods = methods,
		.ctx = a};
	uint64_t now_us;
	int r = secret_start(), n, forwarding;

	if (r < 0) {
		(void)snprintf(reterr, AMAD_ERR, "libsodium does not start");
		return r;
	}
	if (identity_load(a->config.identity, &a->identity, reterr) < 0)
		return -ENOENT;
	if (!a->identity.has_credential || a->identity.role != CREDENTIAL_AMA) {
		(void)snprintf(reterr, AMAD_ERR,
			"%s holds no credential of an AMA: make one with 'amactl domain add-ama' and copy it here",
			a->config.identity);
		return -ENOENT;
	}
	n = trust_load(a->config.trusted_domains, &a->identity, a->trusted, reterr);
	if (n < 0)
		return n;
	r = loop_new(&a->loop);
	if (r < 0)
		return r;
	now_us = loop_now_us(a->loop);
	a->anchoring = anchoring_new(now_us);
	a->lm = lm_new(now_us);
	a->mr = mr_new();
	a->set = fwd_new(kernel_done, a);
	if (!a->anchoring || !a->lm || !a->mr || !a->set)
		return -ENOMEM;
	r = add_pools(a, reterr);
	if (r < 0)
		return r;
	/* the control socket first: it finds another amad before anything is touched */
	r = control_new(a->loop, &control, &a->control, reterr);
	if (r < 0)
		return r;
	r = open_store(a, reterr);
	if (r < 0)
		return r;
	r = nl_new(&nl_ops, a, &a->nl, reterr);
	if (r < 0)
		return r;
	r = nl_tunnel_open(a->nl, a->config.tunnel_device, a->config.tunnel_mtu, &a->tunnel, reterr);
	if (r < 0)
		return r;
	r = transport_new(a->loop, (uint16_t)a->config.port, datagram, a, &a->transport, reterr);
	if (r < 0)
		return r;
	channel.identity = &a->identity;
	channel.trusted = a->trusted;
	channel.n_trusted = (size_t)n;
	r = channel_new(&channel, &a->channel);
	if (r < 0) {
		(void)snprintf(reterr, AMAD_ERR, "cannot make the secure channel: %s", strerror(-r));
		return r;
	}
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
		log_warning("main", "this machine does not forward IPv6: 'sysctl -w net.ipv6.conf.all.forwarding=1' "
				    "(and accept_ra=2 on an uplink that needs router advertisements)");
	return 0;
}

/* The identity stays root's, who reads it at each start. */
static int give_up_privileges(struct amad *a, char *reterr)
{
	char data[CONF_TEXT + 16], lock[CONF_TEXT + 16];
	const char *own[] = {a->config.state_dir, data, lock, NULL};

	(void)snprintf(data, sizeof(data), "%s/data.mdb", a->config.state_dir);
	(void)snprintf(lock, sizeof(lock), "%s/lock.mdb", a->config.state_dir);
	return priv_drop(a->config.user, false, false, own, reterr);
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
	(void)snprintf(reterr, AMAD_ERR, "out of memory");
	r = open_all(a, reterr);
	if (r < 0) {
		amad_free(a);
		return r;
	}
	a->started_us = loop_now_us(a->loop);
	for (unsigned i = anchoring_pools(a->anchoring, &pool); i > 0; i--)
		rc_want_pool(a->set, &pool[i - 1]);
	r = store_load(a->store, load_lease, load_binding, a, &a->meta);
	if (r == 0)
		r = store_load_visits(a->store, load_visit, a);
	if (r < 0) {
		(void)snprintf(reterr, AMAD_ERR,
			"the store in %s is damaged (%s): it was left as it is; move it away to start empty",
			a->config.state_dir, strerror(-r));
		amad_free(a);
		return r;
	}
	drop_over(a);
	start_meta(a);
	anchoring_each(a->anchoring, want_native, a);
	/* what is allowed is filled in before the check replaces one of an earlier run */
	if (a->srccheck) {
		(void)srccheck_flush(a->srccheck);
		r = srccheck_attach(a->srccheck, a->tunnel, reterr);
		if (r < 0) {
			amad_free(a);
			return r;
		}
	}
	loop_io_start(&a->nl_io, a->loop, nl_fd(a->nl), read_news, a, "netlink news");
	loop_timer_init(&a->tick, a->loop, tick, a, "tick");
	loop_timer_init(&a->sync, a->loop, on_sync, a, "store sync");
	loop_timer_init(&a->retry, a->loop, on_retry, a, "resync");
	loop_timer_init(&a->watchdog, a->loop, on_watchdog, a, "watchdog");
	loop_timer_init(&a->revoke, a->loop, on_revoke_timer, a, "revocation");
	loop_signal_start(&a->sig_term, a->loop, SIGTERM, on_signal, a);
	loop_signal_start(&a->sig_int, a->loop, SIGINT, on_signal, a);
	loop_signal_start(&a->sig_hup, a->loop, SIGHUP, on_hup, a);
	loop_at_end(a->loop, LOOP_COMMIT, commit, a);
	loop_at_end(a->loop, LOOP_KERNEL, apply, a);
	loop_at_end(a->loop, LOOP_DATAGRAMS, answer, a);
	if (nl_dump_links(a->nl) < 0 || nl_dump_objects(a->nl, a->set, 0, false) < 0) {
		(void)snprintf(reterr, AMAD_ERR, "cannot read the kernel's links and routes");
		amad_free(a);
		return -EIO;
	}
	if (a->n_access == 0)
		log_warning("main", "none of the access interfaces exists yet: waiting for %s%s",
			a->config.access.word[0], a->config.access.n > 1 ? " and others" : "");
	loop_timer_at(&a->tick, loop_now_us(a->loop) + SEC);
	if (give_up_privileges(a, reterr) < 0) {
		amad_free(a);
		return -EPERM;
	}
	*ret = a;
	return 0;
}

int amad_run(struct amad *a)
{
	log_info("main", "amad %s is ready: %s of domain %s, %zu leases, %zu bindings", PACKAGE_VERSION,
		a->identity.name, a->identity.credential.domain, anchoring_count(a->anchoring), lm_count(a->lm));
#ifdef HAVE_SYSTEMD
	(void)sd_notify(0, "READY=1");
#endif
	on_watchdog(a);
	loop_run(a->loop);
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
	return 0;
}

void amad_free(struct amad *a)
{
	struct revocation *r, *tmp;

	if (!a)
		return;
	loop_signal_stop(&a->sig_hup);
	loop_signal_stop(&a->sig_int);
	loop_signal_stop(&a->sig_term);
	loop_timer_stop(&a->revoke);
	loop_timer_stop(&a->watchdog);
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
	control_free(a->control);
	fwd_free(a->set);
	lm_free(a->lm);
	mr_free(a->mr);
	anchoring_free(a->anchoring);
	loop_free(a->loop);
	identity_done(&a->identity);
	DL_FOREACH_SAFE(a->told_once, r, tmp)
	{
		free(r);
	}
	DL_FOREACH_SAFE(a->told_twice, r, tmp)
	{
		free(r);
	}
	free(a->over);
	free(a);
}
