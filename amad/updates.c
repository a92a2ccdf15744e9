/* SPDX-License-Identifier: GPL-2.0-or-later */
/* updates.c - what nodes and other AMAs say: Binding Updates, proxied ones (pLU), heartbeats, revocations (RFC 6275,
 * 5213, 5846, 5847)
 *
 * A Binding Update changes leases, the binding cache and the wanted forwarding state at once; its acknowledgement waits
 * in a->pending until the store and the kernel have what it says (amad.c, "the end of a turn"). */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "anchor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* --- Binding Updates (ARCHITECTURE, "The Binding Update, host form") ------------------------------------------- */

struct update {
	const struct mh_msg *msg;
	const struct channel_rx *rx;
	const uint8_t *key;
	const char *node; /* its name */
	uint8_t domain;
	struct prefix6 prefix;
	bool wants_any; /* ::/64 */
	bool with_lease;
	struct dmmopt_lease lease;
	struct in6_addr care_of, link_local;
	uint8_t link_layer[6];
	bool with_care_of, with_link_local;
	uint16_t mtu;
};

static bool may_lease(struct amad *a, const struct update *u)
{
	return peers_allow(a, u->domain, REFUSAL_ROAMING, u->node) && peers_allow(a, u->domain, REFUSAL_LEND, u->node);
}

/* l: the lease to renew, or NULL. While the anchor is drained a node on its link gets no more time than it has; one of
 * a domain that nothing is leased to (any more) neither. */
static uint64_t granted_lease_us(struct amad *a, const struct update *u, const struct lease *l)
{
	bool ends = l && ((a->draining && (u->lease.flags & DMMOPT_LEASE_ATTACH)) || !may_lease(a, u));
	uint64_t us = u->lease.lifetime_s * SEC, now_us = loop_now_us(a->daemon.loop);

	if (us > a->config.lease_us)
		us = a->config.lease_us;
	if (ends && lease_until_us(l) < now_us + us)
		us = lease_until_us(l) > now_us ? lease_until_us(l) - now_us : SEC;
	return us;
}

bool updates_attached_since(void *ctx, const uint8_t key[32], uint16_t sequence, uint32_t *ret_ifindex,
	struct in6_addr *ret_link_local, uint8_t ret_link_layer[6])
{
	const struct amad *a = ctx;
	const struct lease *l = anchoring_find_key(a->anchoring, key);

	while (l &&
		(!l->has_sequence || !l->ifindex || (l->ifindex & ABSENT_BIT) ||
			!lm_sequence_ok(sequence, l->sequence)))
		l = l->next_of_key;
	if (!l)
		return false;
	*ret_ifindex = l->ifindex;
	*ret_link_local = l->link_local;
	memcpy(ret_link_layer, l->link_layer, sizeof(l->link_layer));
	return true;
}

static uint8_t do_attach(struct amad *a, const struct update *u, struct lease *l, struct pending *p, uint64_t cookie)
{
	uint64_t now_us = loop_now_us(a->daemon.loop), granted_us = granted_lease_us(a, u, l);
	struct binding *b;
	bool is_new = !l;
	int r;

	/* hop limit 255 and an access interface: the node is on our link (as in RFC 4861 6.1.1) */
	if (u->rx->hoplimit != 255 || !amad_is_access(a, u->rx->ep.ifindex))
		return MH_STATUS_PROHIBITED;
	if (!u->with_link_local || !IN6_IS_ADDR_LINKLOCAL(&u->link_local))
		return MH_STATUS_UNSPECIFIED;
	if (!l && a->draining)
		return MH_STATUS_RESOURCES;
	if (!l && !may_lease(a, u))
		return MH_STATUS_PROHIBITED;
	if (!l && !peers_allow(a, u->domain, REFUSAL_LEASES, u->node))
		return MH_STATUS_RESOURCES;
	if (!l) {
		r = anchoring_allocate(a->anchoring, u->key, u->node, a->config.leases_a_node, now_us + granted_us, &l);
		if (r < 0)
			return r == -ENOSPC ? MH_STATUS_RESOURCES : MH_STATUS_UNSPECIFIED;
		l->wish = DMMOPT_LEASE_WISHED(u->lease.flags);
		amad_set_domain(a, l, u->domain);
	} else {
		anchoring_renew(a->anchoring, l, now_us + granted_us);
		if (l->domain != u->domain)
			amad_set_domain(a, l, u->domain);
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
		amad_end_binding(a, b, true, 0);
	if (rc_native(a->set, l, cookie) < 0)
		return MH_STATUS_UNSPECIFIED;
	amad_check_sender(a, l);
	serving_attached(a->serving, l->key, u->msg->bu.sequence, l->ifindex, &l->link_local, l->link_layer, now_us);
	amad_keep_lease(a, l, is_new);
	log_write(is_new ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, "anchoring",
		&(struct log_fields){.mn = l->node, .hnp = prefix6_text(&l->prefix)},
		"%s is here: %s %s, native via %s%s", l->node, is_new ? "leased" : "keeps", prefix6_text(&l->prefix),
		in6_text(&l->link_local), b ? ", binding ended" : "");
	amad_emit(a, is_new ? "lease_granted" : "attached", l, NULL);
	p->lease.lifetime_s = (uint32_t)(granted_us / SEC);
	p->lease.flags = a->draining ? DMMOPT_LEASE_DRAIN : 0;
	return MH_STATUS_OK;
}

static uint8_t do_bind(struct amad *a, const struct update *u, struct lease *l, struct pending *p, uint64_t cookie)
{
	uint64_t now_us = loop_now_us(a->daemon.loop), until_us;
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
			amad_drop_binding(a, b);
		return MH_STATUS_UNSPECIFIED;
	}
	tells_lease = l->ifindex || u->with_lease;
	l->ifindex = 0;
	if (u->with_lease) {
		uint64_t granted_us = granted_lease_us(a, u, l);

		anchoring_renew(a->anchoring, l, now_us + granted_us);
		p->lease.lifetime_s = (uint32_t)(granted_us / SEC);
		amad_emit(a, "lease_renewed", l, NULL);
	}
	until_us = now_us + u->msg->bu.lifetime_s * SEC;
	if (until_us > now_us + a->config.binding_us)
		until_us = now_us + a->config.binding_us;
	if (until_us > lease_until_us(l))
		until_us = lease_until_us(l);
	lm_set_until(a->lm, b, until_us);
	if (is_new || is_moved)
		b->since_s = (uint32_t)(now_us / SEC);
	b->relay = u->rx->ep.relay;
	b->proxied = b->relay;
	l->sequence = u->msg->bu.sequence;
	l->has_sequence = true;
	if (a->srccheck && is_moved)
		(void)srccheck_set(a->srccheck, &l->prefix, &u->care_of);
	if (tells_lease)
		amad_keep_lease(a, l, false);
	amad_keep_binding(a, b, l);
	p->ba.lifetime_s = (uint32_t)((until_us - now_us) / SEC);
	if (is_new || is_moved) {
		log_debug("lm", "%s: %s is at %s for %u s", l->node, prefix6_text(&l->prefix), in6_text(&u->care_of),
			p->ba.lifetime_s);
	}
	amad_emit(a, is_new ? "binding_created" : is_moved ? "binding_moved" : "binding_refreshed", l, &u->care_of);
	return MH_STATUS_OK;
}

/* A node that we served is elsewhere now, and binds its prefix, of another anchor, here: what still arrives follows it
 * for a moment. */
static bool forwards(struct amad *a, const struct update *u)
{
	return u->msg->bu.lifetime_s > 0 && u->with_care_of && in6_is_global(&u->care_of) && !u->rx->ep.relay &&
		IN6_ARE_ADDR_EQUAL(&u->care_of, &u->rx->ep.remote) && !anchoring_covers(a->anchoring, &u->care_of) &&
		serving_forward(a->serving, u->key, u->msg->bu.sequence, &u->prefix, &u->care_of, &u->rx->ep.local,
			loop_now_us(a->daemon.loop));
}

/* The prefix that the node got when it asked before with the same number. */
static struct lease *find_wish(const struct amad *a, const struct update *u)
{
	uint16_t wish = DMMOPT_LEASE_WISHED(u->lease.flags);
	struct lease *l = wish ? anchoring_find_key(a->anchoring, u->key) : NULL;

	while (l && l->wish != wish)
		l = l->next_of_key;
	return l;
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
	if (attach && !l) /* the answer to its first request was lost */
		l = u->lease.flags & DMMOPT_LEASE_NEW ? find_wish(a, u) : anchoring_find_key(a->anchoring, u->key);
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
			p->before.relay = b->relay;
		}
	}
	if (attach)
		return do_attach(a, u, l, p, cookie);
	if (bu->lifetime_s > 0)
		return do_bind(a, u, l, p, cookie);
	l->sequence = bu->sequence;
	l->has_sequence = true;
	if (u->with_lease && u->lease.lifetime_s == 0) {
		log_about(LOG_LEVEL_NOTICE, "anchoring", l->node, prefix6_text(&l->prefix), NULL, "%s released %s",
			l->node, prefix6_text(&l->prefix));
		amad_emit(a, "lease_released", l, NULL);
		amad_end_lease(a, l, cookie);
		return MH_STATUS_OK;
	}
	b = lm_find(a->lm, &l->prefix);
	amad_emit(a, "binding_deleted", l, NULL);
	amad_keep_lease(a, l, false);
	if (b)
		amad_end_binding(a, b, false, cookie);
	return MH_STATUS_OK;
}

static void log_refused(
	struct amad *a, const char *node, const struct prefix6 *prefix, const struct in6_addr *from, uint8_t status)
{
	unsigned left_out;

	if (log_bucket_take(&a->refused_bucket, loop_now_us(a->daemon.loop), 20, 10 * SEC, &left_out))
		log_about(LOG_LEVEL_INFO, "lm", node, prefix6_text(prefix), NULL,
			"refused update of %s for %s from %s: %u (%s)%s", node, prefix6_text(prefix), in6_text(from),
			status, mh_status_name(status), left_out ? "; more were left out" : "");
}

void updates_send_pba(struct amad *a, struct channel_peer *peer, uint16_t sequence, uint8_t status, uint32_t lifetime_s,
	const struct prefix6 *prefix)
{
	struct mh_ba ba = {.status = status, .flags = MH_BA_P, .sequence = sequence, .lifetime_s = lifetime_s};
	uint8_t buf[96];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_ba(&w, &ba);

	mh_put_prefix(&m, MHOPT_HNP, prefix);
	if (status == MH_STATUS_PROHIBITED && amad_has_regional(a)) /* not straight, but that way */
		mh_put_regional(&m, &a->config.through);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

/* To the AMA that a node of ours is behind. */
void updates_answer_behind(
	void *ctx, const struct serving_via *via, uint8_t status, uint32_t lifetime_s, const struct prefix6 *prefix)
{
	struct amad *a = ctx;

	peers_answer(a, via->relay, via->sequence, status, lifetime_s, prefix);
}

/* A node behind another AMA, which passed on what the node sealed for us (RFC 5380: we are its MAP). It names that AMA,
 * in what it sealed. Without something to pass on it has moved among the AMAs below us. */
static uint8_t on_regional_request(struct amad *a, struct channel_peer *peer, const struct channel_rx *rx,
	const struct mh_msg *msg, const struct prefix6 *prefix)
{
	struct serving_via via = {.domain = peers_domain(a, peer),
		.relay = rx->ep.relay,
		.sequence = a->reading->sequence,
		.address = rx->ep.remote};
	struct in6_addr care_of;
	uint32_t lifetime_s;
	uint8_t status;

	if (!mhopt_address(mh_find(msg, MHOPT_ALT_COA, NULL), &care_of) || !IN6_ARE_ADDR_EQUAL(&care_of, &via.address))
		return MH_STATUS_INVALID_COA;
	if (dmmopt_anchor(msg, &care_of))
		return serving_request(a->serving, peer, rx, &via, msg, loop_now_us(a->daemon.loop));
	status = serving_moved(a->serving, channel_peer_key(peer), prefix, &via.address, msg->bu.sequence,
		loop_now_us(a->daemon.loop), &lifetime_s);
	if (status)
		return status;
	updates_answer_behind(a, &via, 0, lifetime_s, prefix);
	updates_send_pba(a, peer, msg->bu.sequence, 0, lifetime_s, prefix);
	return 0;
}

/* pLU: a node on our link, or behind another AMA, asks to have its sealed update passed on. */
static void on_request(struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg)
{
	struct serving_via none = {.domain = peers_domain(a, peer)};
	struct prefix6 prefix = {.len = 64}, other;
	uint8_t status = MH_STATUS_PROHIBITED;
	struct in6_addr anchor;
	bool own = false, here = rx->hoplimit == 255 && amad_is_access(a, rx->ep.ifindex), straight;

	(void)mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix);
	/* of a prefix of ours no other AMA may say where it is */
	for (const struct mh_option *o = NULL; (o = mh_find(msg, MHOPT_HNP, o));)
		own |= mhopt_prefix(o, &other) && anchoring_covers(a->anchoring, &other.addr);
	straight = amad_has_regional(a) &&
		!(dmmopt_anchor(msg, &anchor) && IN6_ARE_ADDR_EQUAL(&anchor, &a->config.through));
	if (!a->config.proxy || channel_peer_role(peer) != CREDENTIAL_MN || own ||
		!peers_allow(a, none.domain, REFUSAL_ROAMING, channel_peer_name(peer)) ||
		!peers_allow(a, none.domain, REFUSAL_PROXY, channel_peer_name(peer)))
		status = MH_STATUS_PROHIBITED;
	else if (rx->ep.relay && a->reading)
		status = on_regional_request(a, peer, rx, msg, &prefix);
	else if (here && !straight)
		status = serving_request(a->serving, peer, rx, &none, msg, loop_now_us(a->daemon.loop));
	if (status == 0)
		return;
	a->count_status[status]++;
	log_refused(a, channel_peer_name(peer), &prefix, &rx->ep.remote, status);
	updates_send_pba(a, peer,
		status == MH_STATUS_SEQUENCE ? serving_sequence(a->serving, channel_peer_key(peer), &prefix)
					     : msg->bu.sequence,
		status, 0, &prefix);
	if (a->reading)
		peers_answer(a, rx->ep.relay, a->reading->sequence, status, 0, &prefix);
}

/* pLU: an AMA passes a node's update on (PBU, RFC 5213). The PBU itself is believed in nothing: it carries what the
 * node sealed for us, and the care-of address in that must be the address this AMA speaks from. */
static void on_proxy_update(
	struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg)
{
	struct prefix6 prefix = {.len = 64};
	struct inner *in = &a->inner[a->n_inner];
	struct in6_addr former;
	uint8_t status = MH_STATUS_OK;
	uint16_t relay;
	uint32_t cookie = 0;

	(void)mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix);
	if (rx->ep.relay) { /* no PBU in a PBU */
		a->count_unexpected++;
		return;
	}
	if (!a->config.accept_proxies)
		status = MH_STATUS_NO_PROXIES;
	else if (!peers_allow(a, peers_domain(a, peer), REFUSAL_PROXY, channel_peer_name(peer)))
		status = MH_STATUS_NOT_AUTHORISED_MAG;
	/* people see who is refused, but not in the places of those that are not */
	relay = status == MH_STATUS_OK || a->n_relays < RELAYS / 2 || peers_knows(a, peer)
		? peers_relay_index(a, peer, &rx->ep)
		: 0;
	if (!relay) {
		status = status ? status : MH_STATUS_RESOURCES;
		a->count_status[status]++;
		updates_send_pba(a, peer, msg->bu.sequence, status, 0, &prefix);
		return;
	}
	a->relay[relay - 1].received++;
	if (!peers_take_update(a, relay, peer)) {
		a->count_status[MH_STATUS_RESOURCES]++;
		peers_answer(a, relay, msg->bu.sequence, MH_STATUS_RESOURCES, 0, &prefix);
		return;
	}
	if (status != MH_STATUS_OK) {
		a->count_status[status]++;
		peers_answer(a, relay, msg->bu.sequence, status, 0, &prefix);
		return;
	}
	if (dmmopt_former(msg, &former)) {
		peers_moves(a, relay, msg->bu.sequence, &former);
		return;
	}
	if (a->n_inner == INNER) {
		a->count_unexpected++; /* the node sends it again */
		return;
	}
	in->len = dmmopt_sealed(msg, &cookie, in->sealed, sizeof(in->sealed));
	if (in->len == 0) {
		a->count_unsealed++;
		peers_answer(a, relay, msg->bu.sequence, MH_STATUS_NOT_AUTHORISED_HNP, 0, &prefix);
		peers_doubt(a, peer, &prefix, "passed on no update of a node");
		return;
	}
	in->rx = (struct channel_rx){.ep = rx->ep, .hoplimit = 0};
	in->rx.ep.relay = relay;
	in->rx.ep.ifindex = cookie;
	in->sequence = msg->bu.sequence;
	in->prefix = prefix;
	a->n_inner++;
}

/* What was sealed for us, one after the other: the channel does not call itself. */
static void read_inner(struct amad *a)
{
	for (unsigned i = 0; i < a->n_inner; i++) {
		struct inner *in = &a->inner[i];
		struct channel_peer *peer;
		enum channel_why why;
		char text[96];

		a->reading = in;
		why = channel_input(a->channel, &in->rx, in->sealed, in->len, loop_now_us(a->daemon.loop));
		a->reading = NULL;
		if (why == CHANNEL_OK)
			continue;
		a->count_sealed_bad++;
		peers_answer(a, in->rx.ep.relay, in->sequence, MH_STATUS_NOT_AUTHORISED_HNP, 0, &in->prefix);
		peer = peers_relay(a, in->rx.ep.relay);
		if (!peer)
			continue;
		(void)snprintf(
			text, sizeof(text), "what it passed on is not a node's update: %s", channel_why_name(why));
		peers_doubt(a, peer, &in->prefix, text);
	}
	a->n_inner = 0;
}

static void on_update(struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg)
{
	struct update u = {.msg = msg,
		.rx = rx,
		.key = channel_peer_key(peer),
		.node = channel_peer_name(peer),
		.domain = peers_domain(a, peer)};
	struct pending *p;

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
	amad_undo(a, p);
	p->changes = false;
	log_refused(a, u.node, &u.prefix, &rx->ep.remote, p->ba.status);
}

/* RFC 5847, and the probes of ARCHITECTURE, "Path MTU of the tunnel". */
static void on_heartbeat(
	struct amad *a, struct channel_peer *peer, const struct channel_rx *rx, const struct mh_msg *msg)
{
	uint8_t buf[2048];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_heartbeat hb = {.flags = MH_HEARTBEAT_R, .sequence = msg->heartbeat.sequence};
	struct dmmopt_probe probe;
	struct mh_writer m;
	bool probed = dmmopt_probe(msg, &probe);

	if (msg->heartbeat.flags & MH_HEARTBEAT_R) {
		peers_ponged(a, peer, &rx->ep.remote, msg->heartbeat.sequence);
		return;
	}
	a->count_heartbeat++;
	m = mh_begin_heartbeat(&w, &hb);
	mh_put_u32(&m, MHOPT_RESTART_COUNTER, a->meta.restart_counter);
	/* the answer is as large as the question, never larger: nobody is amplified */
	if (probed && probe.size >= 1280 && probe.size <= 2000 && msg->len + 400 >= probe.size) {
		mh_put_probe(&m, &probe);
		mh_pad_to(&m, (size_t)(probe.size - 74) & ~7u);
		mh_end(&m);
		if (wcur_ok(&w))
			(void)channel_send_probe(
				a->channel, peer, buf, wcur_len(&w), probe.size, loop_now_us(a->daemon.loop));
		return;
	}
	mh_end(&m);
	(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

/* --- revocation (RFC 5846) ------------------------------------------------------------------------------------- */

static void send_revocation(struct amad *a, struct channel_peer *peer, const struct mh_revocation *head,
	const struct prefix6 *prefix, unsigned flags)
{
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_revocation(&w, head);

	mh_put_prefix(&m, MHOPT_HNP, prefix);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send_flags(a->channel, peer, buf, wcur_len(&w), flags);
}

static void tell_revocation(struct amad *a, const struct lease *l, uint16_t sequence)
{
	struct mh_revocation r = {
		.b_type = MH_REVOCATION_INDICATION, .trigger = MH_REVOCATION_ADMINISTRATIVE, .sequence = sequence};

	send_revocation(a, channel_find_peer(a->channel, l->key), &r, &l->prefix, 0);
}

/* After a restart we do not know which AMA is at the address that a binding names: it is asked, once a second. Two
 * whose addresses have one place are asked more often. */
static void ask_who_is_at(struct amad *a, const struct in6_addr *ama)
{
	struct channel_endpoint ep = {.remote = *ama, .port = (uint16_t)a->config.port};
	struct asked *asked = &a->asked[table_hash_bytes(ama, 16) % ASKED];
	uint64_t now_us = loop_now_us(a->daemon.loop);

	if (IN6_ARE_ADDR_EQUAL(&asked->address, ama) && now_us - asked->at_us < SEC)
		return;
	*asked = (struct asked){*ama, now_us};
	channel_discover(a->channel, &ep, now_us);
}

static void tell_left(struct amad *a, struct revocation *x)
{
	struct channel_peer *peer = peers_relay_at(a, &x->left);
	struct mh_revocation r = {.b_type = MH_REVOCATION_INDICATION,
		.trigger = MH_REVOCATION_HANDOVER,
		.flags = MH_REVOCATION_P,
		.sequence = x->sequence};
	struct channel_peer_info info = {0};
	bool lost;

	if (peer)
		channel_peer_info(peer, &info);
	else
		ask_who_is_at(a, &x->left);
	/* it may have lost the session; but whatever else goes to it would wait for a handshake's answer */
	lost = x->tries++ > 0 && info.heard_us + SERVING_IDLE_US < loop_now_us(a->daemon.loop);
	send_revocation(a, peer, &r, &x->prefix, lost ? CHANNEL_FORCE_HANDSHAKE : 0);
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

#define REVOCATION(e) TABLE_OBJECT(e, struct revocation, by_question)

static uint64_t question_hash(uint16_t sequence, const struct prefix6 *prefix)
{
	return table_hash_bytes(&prefix->addr, 8) + sequence;
}

static uint64_t revocation_hash(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return question_hash(REVOCATION(e)->sequence, &REVOCATION(e)->prefix);
}

void updates_start(struct amad *a)
{
	table_init(&a->told, revocation_hash, NULL);
}

static void revocation_put(struct revocation *r, struct revocation **list, uint64_t due_us)
{
	if (r->list)
		DL_DELETE(*r->list, r);
	r->list = list;
	r->due_us = due_us;
	DL_APPEND(*list, r);
}

static void revocation_free(struct amad *a, struct revocation *r)
{
	DL_DELETE(*r->list, r);
	table_remove(&a->told, &r->by_question);
	free(r);
}

/* What has to be answered from now on. left is the AMA that hears it; :: = the node, of its lease. NULL: no memory. */
static struct revocation *revocation_new(struct amad *a, const struct prefix6 *prefix, const struct in6_addr *left)
{
	struct revocation *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->prefix = *prefix;
	r->left = *left;
	r->sequence = a->revocations++;
	if (table_add(&a->told, &r->by_question) < 0) {
		free(r);
		return NULL;
	}
	revocation_put(r, &a->told_once, loop_now_us(a->daemon.loop) + REVOKE_FIRST_US);
	return r;
}

void updates_stop(struct amad *a)
{
	while (a->told_once)
		revocation_free(a, a->told_once);
	while (a->told_twice)
		revocation_free(a, a->told_twice);
	table_done(&a->told);
}

void updates_tell_previous(void *ctx, const struct in6_addr *ama, const struct prefix6 *prefix)
{
	struct amad *a = ctx;
	struct revocation *r = revocation_new(a, prefix, ama);

	if (!r) /* the visit runs out */
		return;
	tell_left(a, r);
	wake_for_revocations(a);
}

/* Is there something to tell the AMA at this address? */
static bool is_missed(const struct revocation *list, const struct in6_addr *ama)
{
	while (list && !IN6_ARE_ADDR_EQUAL(&list->left, ama))
		list = list->next;
	return list;
}

/* Who is at the address is known now: it hears what it has to hear. */
static void meet(struct amad *a, const struct in6_addr *ama, const struct credential *cred)
{
	struct channel_endpoint ep = {.remote = *ama, .port = (uint16_t)a->config.port};
	struct channel_peer *peer;
	struct revocation *r;

	if (!is_missed(a->told_once, ama) && !is_missed(a->told_twice, ama))
		return;
	/* an AMA that we know is where we know it: who shows its credential elsewhere may not have its key */
	peer = channel_find_peer(a->channel, cred->key);
	if (peer && peers_knows(a, peer))
		return;
	if (channel_peer_add(a->channel, cred, &peer) < 0 || !peers_relay_index(a, peer, &ep))
		return;
	DL_FOREACH(a->told_once, r) {
		if (IN6_ARE_ADDR_EQUAL(&r->left, ama))
			tell_left(a, r);
	}
	DL_FOREACH(a->told_twice, r) {
		if (IN6_ARE_ADDR_EQUAL(&r->left, ama))
			tell_left(a, r);
	}
}

/* The node has come back to it: what it was told is no longer true. */
static bool is_there_again(const struct amad *a, const struct revocation *r)
{
	const struct binding *b = lm_find(a->lm, &r->prefix);

	return (b && b->proxied && IN6_ARE_ADDR_EQUAL(mr_care_of(b->locator), &r->left)) ||
		serving_is_behind(a->serving, &r->prefix, &r->left);
}

/* An AMA has answered that it knows. */
static bool is_told(struct amad *a, const struct channel_peer *peer, uint16_t sequence, const struct prefix6 *prefix)
{
	for (struct table_entry *e = table_first(&a->told, question_hash(sequence, prefix)); e; e = e->next) {
		struct revocation *r = REVOCATION(e);

		if (r->sequence != sequence || !prefix6_equal(&r->prefix, prefix) ||
			IN6_IS_ADDR_UNSPECIFIED(&r->left) || peers_relay_at(a, &r->left) != peer)
			continue;
		revocation_free(a, r);
		return true;
	}
	return false;
}

/* Tell the node, twice if it does not answer, and end the lease. In the store it has ended already. */
void updates_revoke(struct amad *a, struct lease *l)
{
	struct revocation *r;

	if (l->revoked)
		return;
	l->revoked = true;
	amad_write_lease(a, l, true, true);
	amad_stored(a, store_delete_binding(a->store, &l->prefix));
	log_about(LOG_LEVEL_NOTICE, "anchoring", l->node, prefix6_text(&l->prefix), NULL,
		"revoking the lease of %s to %s", prefix6_text(&l->prefix), l->node);
	amad_emit(a, "lease_revoked", l, NULL);
	r = channel_find_peer(a->channel, l->key) ? revocation_new(a, &l->prefix, &in6addr_any) : NULL;
	if (!r) { /* it was not heard since we started, or no memory: it hears when it speaks */
		amad_end_lease(a, l, 0);
		return;
	}
	tell_revocation(a, l, r->sequence);
	wake_for_revocations(a);
}

/* False when it is not to be told again. */
static bool tell_left_again(struct amad *a, struct revocation *r, uint64_t now_us)
{
	if (IN6_IS_ADDR_UNSPECIFIED(&r->left) || r->tries >= TELL_LEFT_TRIES || is_there_again(a, r))
		return false;
	tell_left(a, r);
	revocation_put(r, &a->told_twice, now_us + REVOKE_SECOND_US);
	return true;
}

void updates_revoke_due(void *ctx)
{
	struct amad *a = ctx;
	uint64_t now_us = loop_now_us(a->daemon.loop);
	struct revocation *r;

	while ((r = a->told_twice) && r->due_us <= now_us) {
		struct lease *l = anchoring_find(a->anchoring, &r->prefix);

		if (tell_left_again(a, r, now_us))
			continue;
		if (IN6_IS_ADDR_UNSPECIFIED(&r->left) && l && l->revoked) {
			log_about(LOG_LEVEL_INFO, "anchoring", l->node, prefix6_text(&l->prefix), NULL,
				"%s did not answer: %s is revoked without it", l->node, prefix6_text(&l->prefix));
			amad_end_lease(a, l, 0);
		}
		if (r->tries >= TELL_LEFT_TRIES && !is_there_again(a, r))
			log_about(LOG_LEVEL_INFO, "lu", NULL, prefix6_text(&r->prefix), NULL,
				"the AMA at %s did not answer that %s has left it: its visit there runs out",
				in6_text(&r->left), prefix6_text(&r->prefix));
		revocation_free(a, r);
	}
	while ((r = a->told_once) && r->due_us <= now_us) {
		struct lease *l = anchoring_find(a->anchoring, &r->prefix);

		if (tell_left_again(a, r, now_us))
			continue;
		if (!IN6_IS_ADDR_UNSPECIFIED(&r->left) || !l || !l->revoked) { /* it has answered */
			revocation_free(a, r);
			continue;
		}
		tell_revocation(a, l, r->sequence);
		revocation_put(r, &a->told_twice, now_us + REVOKE_SECOND_US);
	}
	wake_for_revocations(a);
}

static void on_revocation(struct amad *a, struct channel_peer *peer, const struct mh_msg *msg)
{
	struct prefix6 prefix;
	struct lease *l;

	if (msg->revocation.b_type == MH_REVOCATION_INDICATION && channel_peer_role(peer) == CREDENTIAL_AMA &&
		(msg->revocation.flags & MH_REVOCATION_P) && mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix)) {
		struct mh_revocation ack = {
			.b_type = MH_REVOCATION_ACK, .flags = MH_REVOCATION_P, .sequence = msg->revocation.sequence};

		int r = serving_revoked(a->serving, peer, &prefix, loop_now_us(a->daemon.loop));

		if (r == -ENOENT)
			ack.trigger = MH_REVOCATION_NO_BINDING;
		if (r != -EAGAIN) /* then it says so again */
			send_revocation(a, peer, &ack, &prefix, 0);
		return;
	}
	if (msg->revocation.b_type != MH_REVOCATION_ACK || !mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix)) {
		a->count_unexpected++;
		return;
	}
	if (is_told(a, peer, msg->revocation.sequence, &prefix))
		return;
	l = anchoring_find(a->anchoring, &prefix);
	if (!l || !l->revoked || memcmp(l->key, channel_peer_key(peer), sizeof(l->key)) != 0)
		return;
	log_about(LOG_LEVEL_INFO, "anchoring", l->node, prefix6_text(&prefix), NULL, "%s knows that %s is revoked",
		l->node, prefix6_text(&prefix));
	amad_end_lease(a, l, 0);
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
		if (channel_peer_role(peer) == CREDENTIAL_AMA &&
			(msg.type == MH_BU || msg.type == MH_BA || mh_is_relay(&msg))) {
			if (msg.type == MH_BA && (msg.ba.flags & MH_BA_P))
				serving_ack(a->serving, peer, &msg, loop_now_us(a->daemon.loop));
			else if (mh_is_relay(&msg))
				serving_relay(a->serving, peer, &msg);
			else if (msg.type == MH_BU &&
				(msg.bu.flags & (MH_BU_A | MH_BU_H | MH_BU_P)) == (MH_BU_A | MH_BU_H | MH_BU_P))
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
			on_heartbeat(a, peer, rx, &msg);
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
	peer = peers_relay(a, ep->relay);
	m = mh_begin_relay(&w);
	mh_put_sealed(&m, ep->ifindex, buf, len);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, out, wcur_len(&w));
}

static int channel_accept(void *ctx, const struct credential *cred)
{
	const struct amad *a = ctx;

	if (cred->role == CREDENTIAL_AMA)
		return a->config.accept_proxies ? 0 : -EACCES;
	/* who may nothing here is told so, but has a place for a day: not in that half of them which is for others */
	return channel_counters(a->channel)->peers < a->config.max_nodes / 2 || peers_serves(a, cred->domain_key) ||
			anchoring_find_key(a->anchoring, cred->key)
		? 0
		: -EACCES;
}

static void channel_discovered(void *ctx, const struct in6_addr *from, const struct credential *cred)
{
	struct amad *a = ctx;

	serving_discovered(a->serving, from, cred, loop_now_us(a->daemon.loop));
	if (cred->role == CREDENTIAL_AMA && !peers_relay_at(a, from))
		meet(a, from, cred);
}

static void channel_timestamps(void *ctx, uint64_t until_ns)
{
	struct amad *a = ctx;

	a->meta.timestamps_until = until_ns;
	a->timestamps_due = true;
	amad_stored(a, store_put_meta(a->store, &a->meta));
}

static uint64_t channel_wall(void *ctx)
{
	(void)ctx;
	return loop_wall_ns();
}

static void channel_key_log(void *ctx, const char *what, uint32_t spi, const uint8_t key[static 32])
{
	const struct amad *a = ctx;

	if (a->daemon.key_log > 0)
		keylog_write(a->daemon.key_log, what, spi, key);
}

const struct channel_ops updates_channel_ops = {.send = channel_tx,
	.recv = channel_recv,
	.accept = channel_accept,
	.discovered = channel_discovered,
	.key_log = channel_key_log,
	.wall_ns = channel_wall,
	.timestamps = channel_timestamps};

void updates_input(void *ctx, const struct channel_rx *rx, const uint8_t *buf, size_t len)
{
	struct amad *a = ctx;

	(void)channel_input(a->channel, rx, buf, len, loop_now_us(a->daemon.loop));
	read_inner(a);
}
