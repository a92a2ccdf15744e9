/* SPDX-License-Identifier: GPL-2.0-or-later */
/* signalling.c - what the node says to its anchors and the AMAs on the way, and what they say (RFC 6275 11.7, 11.8; RFC
 * 5846, 5847)
 *
 * Updates go straight to the anchor, or sealed through the AMA that the node is with (pLU). Handlers change tables and
 * mark the daemon dirty; what follows from it is decided in mnd.c, at the end of the turn. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "node.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <string.h>

/* --- what goes to an anchor ------------------------------------------------------------------------------------ */

/* *ret_settled: it is past duplicate address detection. */
struct in6_addr signalling_link_local(const struct attachment *at, bool *ret_settled)
{
	struct in6_addr a = IN6ADDR_ANY_INIT;
	FILE *f = fopen("/proc/net/if_inet6", "re");
	char hex[33], name[32];
	unsigned ifindex, plen, scope, flags;

	while (f && fscanf(f, "%32s %x %x %x %x %31s", hex, &ifindex, &plen, &scope, &flags, name) == 6) {
		if (ifindex != at->ifindex || scope != 0x20)
			continue;
		*ret_settled = !(flags & (IFA_F_TENTATIVE | IFA_F_OPTIMISTIC));
		for (int i = 0; i < 16; i++) {
			unsigned b;

			(void)sscanf(hex + 2 * i, "%2x", &b);
			a.s6_addr[i] = (uint8_t)b;
		}
		break;
	}
	if (f)
		(void)fclose(f);
	return a;
}

/* What is said to an anchor from now on goes by that way; what was said before by the one that it was said for: a
 * request to send on what arrives is good only from where we are, a proxied update only through the AMA. */
static void set_endpoint(struct mnd *m, struct anchor *a, const struct channel_endpoint *ep)
{
	channel_flush_peer(m->channel, a->peer, ep, loop_clock_us());
	channel_peer_set_endpoint(a->peer, ep);
}

/* Talk to this anchor from the selected attachment. */
void signalling_go_direct(struct mnd *m, struct anchor *a)
{
	const struct attachment *at = m->attach.selected;
	struct channel_endpoint ep = {
		.remote = a->address, .local = at->care_of, .ifindex = at->ifindex, .port = (uint16_t)m->config.port};

	set_endpoint(m, a, &ep);
}

/* An update to this anchor is on its way through an AMA: what else it hears goes with that. */
bool signalling_is_proxied(const struct mnd *m, const struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].anchor == a && m->homes[i].bu.kind == LU_BIND &&
			m->homes[i].bu.proxied)
			return true;
	return false;
}

/* --- through the serving AMA (pLU) ------------------------------------------------------------------------------ */

/* The AMA of this network, if updates to that anchor go through it now. */
struct anchor *signalling_proxy(struct mnd *m, struct anchor *a)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	struct anchor *serving = ama ? mnd_anchor_by_address(m, ama) : NULL;
	bool flipped = a->flipped_generation == m->attach.generation + 1;

	if (m->config.updates == MND_DIRECT_ONLY || !serving || serving == a ||
		serving->refused_generation == m->attach.generation + 1)
		return NULL;
	return (m->config.updates == MND_PREFER_PROXY) != flipped ? serving : NULL;
}

/* The regional AMA between them, if there is one and we know it. */
static struct anchor *regional_for(struct mnd *m, const struct anchor *serving, const struct anchor *a)
{
	return !serving || IN6_IS_ADDR_UNSPECIFIED(&serving->regional) ||
			IN6_ARE_ADDR_EQUAL(&serving->regional, &a->address)
		? NULL
		: mnd_anchor_by_address(m, &serving->regional);
}

/* Talk to this anchor through an AMA: the one of this network, or the regional one, which is reached through that. */
static void set_endpoint_through(struct mnd *m, struct anchor *a, const struct anchor *through)
{
	struct channel_endpoint ep = {
		.remote = a->address, .port = (uint16_t)m->config.port, .relay = (uint16_t)(through - m->anchors + 1)};

	set_endpoint(m, a, &ep);
}

/* Wrap what is sealed for an AMA into a request to the one before it on the way: a proxy registration of all prefixes
 * whose updates go that way now. The AMA that we are with is told our link; the regional one which AMA we are with. */
static void send_through(struct mnd *m, const struct channel_endpoint *ep, const uint8_t *buf, size_t len)
{
	struct anchor *a = mnd_anchor_by_address(m, &ep->remote), *through = &m->anchors[ep->relay - 1];
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	struct anchor *serving = ama ? mnd_anchor_by_address(m, ama) : NULL;
	struct mh_bu head = {.flags = MH_BU_A | MH_BU_P,
		.sequence = ++through->sequence,
		.lifetime_s = (uint32_t)(m->config.binding_us / SEC)};
	struct in6_addr link_local;
	bool settled;
	uint8_t out[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(out, sizeof(out));
	struct mh_writer mw = mh_begin_bu(&w, &head);

	if (!a || !through->used || !serving || a == serving)
		return;
	mh_put_anchor(&mw, &a->address);
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].bu.kind == LU_BIND && m->homes[i].bu.proxied &&
			(m->homes[i].anchor == a || IN6_ARE_ADDR_EQUAL(&m->homes[i].bu.regional, &a->address)))
			mh_put_prefix(&mw, MHOPT_HNP, &m->homes[i].h.prefix);
	if (through == serving) {
		link_local = signalling_link_local(m->attach.selected, &settled);
		mh_put_address(&mw, MHOPT_LINK_LOCAL, &link_local);
		mh_put_link_layer(&mw, m->attach.selected->link_layer);
	} else {
		mh_put_address(&mw, MHOPT_ALT_COA, &serving->address);
	}
	mh_put_sealed(&mw, (uint32_t)(a - m->anchors) + 1, buf, len); /* buf is the channel's, and lasts no longer */
	mh_end(&mw);
	if (through == serving)
		signalling_go_direct(m, through);
	else
		set_endpoint_through(m, through, serving);
	if (wcur_ok(&w))
		(void)channel_send(m->channel, through->peer, out, wcur_len(&w));
}

/* The AMA that served this home address until now sends on what still arrives there: a binding of a few seconds,
 * straight to where we are, while its anchor is being told. Once: without it what is in the air is lost, as on any
 * move. */
void signalling_ask_forwarding(struct mnd *m, const struct home *x)
{
	struct binding_update bu = {.kind = LU_BIND, .prefix = x->h.prefix, .lifetime_s = FORWARD_S};
	struct anchor *previous = x->h.confirmed == LU_BIND ? mnd_anchor_by_address(m, &x->h.confirmed_care_of) : NULL;
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	uint8_t buf[LU_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));

	if (!previous || !m->attach.selected || (ama && IN6_ARE_ADDR_EQUAL(ama, &previous->address)))
		return;
	bu.care_of = m->attach.selected->care_of;
	previous->forwards = true;
	previous->forward_sequence = ++previous->sequence;
	lu_write(&bu, previous->forward_sequence, &w);
	signalling_go_direct(m, previous);
	if (wcur_ok(&w))
		(void)channel_send(m->channel, previous->peer, buf, wcur_len(&w));
	if (m->srccheck)
		srccheck_leave(m->srccheck, &x->h.prefix, &previous->address);
	log_debug("lu", "asked %s to send on what still arrives for %s", previous->credential.node,
		prefix6_text(&x->h.prefix));
}

/* The AMA hands over what an anchor sealed for us. It is read when the datagram around it has been. */
static void on_relay(struct mnd *m, const struct anchor *serving, const struct mh_msg *msg)
{
	struct inner *in = &m->inner[m->n_inner];
	uint32_t cookie = 0;

	if (m->n_inner == INNER)
		return;
	in->len = dmmopt_sealed(msg, &cookie, in->bytes, sizeof(in->bytes));
	if (in->len == 0 || cookie == 0 || cookie > ANCHORS || !m->anchors[cookie - 1].used)
		return;
	in->rx = (struct channel_rx){.ep = {.remote = m->anchors[cookie - 1].address,
					     .port = (uint16_t)m->config.port,
					     .relay = (uint16_t)(serving - m->anchors + 1)}};
	m->n_inner++;
}

static void read_inner(struct mnd *m)
{
	for (unsigned i = 0; i < m->n_inner; i++)
		(void)channel_input(
			m->channel, &m->inner[i].rx, m->inner[i].bytes, m->inner[i].len, loop_now_us(m->daemon.loop));
	m->n_inner = 0;
}

/* --- input: the channel ---------------------------------------------------------------------------------------- */

static void channel_tx(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	struct mnd *m = ctx;

	if (ep->relay)
		send_through(m, ep, buf, len);
	else
		transport_send(m->transport, ep, buf, len, flags);
}

static int channel_accept(void *ctx, const struct credential *cred)
{
	(void)ctx;
	(void)cred;
	return -EACCES; /* a node is not called by others yet: it begins every handshake */
}

static uint64_t channel_wall(void *ctx)
{
	(void)ctx;
	return loop_wall_ns();
}

static void channel_discovered(void *ctx, const struct in6_addr *from, const struct credential *cred)
{
	struct mnd *m = ctx;

	if (cred->role != CREDENTIAL_AMA)
		return;
	mnd_anchor_found(m, from, cred);
	if (IN6_ARE_ADDR_EQUAL(&m->discovering, from) &&
		(mnd_anchor_by_address(m, from) || mnd_anchor_by_other(m, from)))
		m->discovering = in6addr_any;
	mnd_touch(m);
}

static void handover_acked(struct mnd *m, const struct home *x, uint64_t now_us)
{
	struct handover *ho = m->n_history ? &m->history[(m->n_history - 1) % HISTORY] : NULL;
	const struct in6_addr *ama;
	const struct anchor *serving;

	/* the update that sessions wait for, if there is one, is what the move cost */
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].bu.kind == LU_BIND && x->bu.kind != LU_BIND)
			return;
	if (!ho || ho->acked_us || !m->attach.selected || ho->usable_us != m->attach.selected->usable_us)
		return;
	ho->sent_us = x->bu.begun_us;
	ho->acked_us = now_us;
	histogram_add(&m->handover_time, now_us - ho->usable_us);
	/* what is queued in this turn leaves after it: the update itself left before its answer came */
	ho->rx = transport_counters(m->transport)->rx - ho->rx;
	ho->tx = transport_counters(m->transport)->tx - ho->tx;
	ho->tries = x->bu.tries;
	ama = attach_ama(m->attach.selected);
	serving = ama ? mnd_anchor_by_address(m, ama) : NULL;
	(void)snprintf(ho->ama, sizeof(ho->ama), "%s", serving ? serving->credential.node : "");
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && homeaddr_is_tunnelled(&m->homes[i].h))
			ho->sessions += m->homes[i].sessions;
}

static void on_acknowledged(struct mnd *m, struct home *x, const struct mh_msg *msg)
{
	uint64_t now_us = loop_clock_us();
	struct prefix6 prefix;
	struct in6_addr address;
	struct dmmopt_lease lease = {0};
	uint16_t advice = 0;
	enum lu_kind kind = x->bu.kind;
	bool proxied = x->bu.proxied;

	if (!mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix) || prefix.len != 64) {
		log_about(LOG_LEVEL_WARNING, "lu", NULL, NULL, x->anchor->credential.node,
			"%s acknowledged without a /64 home network prefix: ignoring it", x->anchor->credential.node);
		return;
	}
	if (!credential_covers(&x->anchor->credential, &prefix)) {
		log_warning("lu", "%s leased %s, which its credential does not cover: refusing it",
			x->anchor->credential.node, prefix6_text(&prefix));
		homeaddr_refused(&x->h, MH_STATUS_NOT_AUTHORISED_HNP, now_us);
		x->bu.kind = LU_NONE;
		return;
	}
	(void)dmmopt_lease(msg, &lease);
	(void)mhopt_u16(mh_find(msg, MHOPT_REFRESH_ADVICE, NULL), &advice);
	if (x->bu.tries == 1)
		x->anchor->rtt_us = (uint32_t)(now_us - x->bu.sent_us);
	x->anchor->doubt = false;
	x->told = kind == LU_BIND ? x->bu.care_of : in6addr_any;
	if (kind == LU_ATTACH) {
		x->draining = lease.flags & DMMOPT_LEASE_DRAIN;
		if (x->anchor->elsewhere) { /* we are on its link */
			x->anchor->elsewhere = false;
			x->anchor->other = in6addr_any;
		}
		if (!dmmopt_regional(msg, &x->anchor->regional))
			x->anchor->regional = in6addr_any;
	}
	address = x->h.known && prefix6_equal(&x->h.prefix, &prefix) ? x->h.address : mnd_form_address(m, &prefix);
	if (x->h.known && !prefix6_equal(&x->h.prefix, &prefix))
		log_about(LOG_LEVEL_NOTICE, "home", NULL, NULL, x->anchor->credential.node,
			"%s gave %s in place of %s: sessions on the old home address end", x->anchor->credential.node,
			prefix6_text(&prefix), in6_text(&x->h.address));
	homeaddr_acked(&x->h, x->bu.sent_us, &prefix, &address, msg->ba.lifetime_s, advice * 4u, lease.lifetime_s);
	if (kind == LU_BIND || kind == LU_ATTACH)
		handover_acked(m, x, now_us);
	log_debug("lu", "%s acknowledged %s of %s after %llu us, %u tries", x->anchor->credential.node,
		lu_kind_name(kind), prefix6_text(&prefix), (unsigned long long)(now_us - x->bu.begun_us), x->bu.tries);
	mnd_emit(m, "location_update",
		json_pack("{s:s, s:s, s:s, s:i, s:f, s:i}", "kind", lu_kind_name(kind), "prefix", prefix6_text(&prefix),
			"anchor", x->anchor->credential.node, "status", msg->ba.status, "ms",
			(double)(now_us - x->bu.begun_us) / 1000, "tries", (int)x->bu.tries));
	x->bu.kind = LU_NONE;
	if (kind == LU_BIND) {
		x->told_mtu = x->bu.tunnel_mtu;
		if (x->anchor->pmtu.state == PMTU_OFF && !proxied)
			pmtu_start(&x->anchor->pmtu, (uint16_t)(m->config.tunnel_mtu + PMTU_TUNNEL), x->anchor->rtt_us,
				now_us);
	}
	mnd_save(m);
}

/* By which way the update goes, and the care-of address that says so. */
static void set_way(struct mnd *m, struct home *x)
{
	struct anchor *serving = x->bu.kind == LU_BIND ? signalling_proxy(m, x->anchor) : NULL,
		      *regional = regional_for(m, serving, x->anchor);

	x->bu.proxied = serving;
	x->bu.regional = regional ? regional->address : in6addr_any;
	x->bu.care_of = regional ? regional->address : serving ? serving->address : m->attach.selected->care_of;
	/* not when it is time to renew the binding, which takes the anchor */
	x->bu.local = regional && x->h.confirmed == LU_BIND && IN6_ARE_ADDR_EQUAL(&x->told, &regional->address) &&
		!IN6_ARE_ADDR_EQUAL(&x->h.confirmed_care_of, &serving->address);
}

void signalling_begin_update(struct mnd *m, struct home *x, uint64_t now_us)
{
	const struct attachment *at = m->attach.selected;
	struct binding_update *bu = &x->bu;
	uint64_t lease_s = m->config.lease_us / SEC;
	bool settled;

	memset(bu, 0, sizeof(*bu));
	bu->kind = x->h.asked;
	bu->prefix.len = 64;
	if (x->h.known)
		bu->prefix = x->h.prefix;
	set_way(m, x);
	bu->lifetime_s = (uint32_t)(m->config.binding_us / SEC);
	bu->next_us = now_us;
	bu->first = !x->h.known;
	if (bu->kind == LU_ATTACH) {
		bu->link_local = signalling_link_local(at, &settled);
		memcpy(bu->link_layer, at->link_layer, sizeof(bu->link_layer));
		bu->lease_s = (uint32_t)lease_s;
		bu->wish = x->h.known ? 0 : x->wish;
	}
	/* a renewal is a synchronous write at the anchor: only when half of the lease is over */
	if (bu->kind == LU_BIND && x->h.lease_until_us && x->h.lease_until_us - now_us < lease_s * SEC / 2)
		bu->lease_s = (uint32_t)lease_s;
	if (bu->kind == LU_BIND && !bu->proxied)
		bu->tunnel_mtu = pmtu_inner_mtu(&x->anchor->pmtu);
}

static void on_acknowledged_locally(struct mnd *m, struct home *x, const struct mh_msg *msg)
{
	uint64_t now_us = loop_clock_us();
	double ms = (double)(now_us - x->bu.begun_us) / 1000;

	homeaddr_acked(&x->h, x->bu.sent_us, &x->h.prefix, &x->h.address, msg->ba.lifetime_s, 0, 0);
	handover_acked(m, x, now_us);
	log_debug("lu", "%s knows where %s is, after %.1f ms, %u tries", in6_text(&x->bu.regional),
		prefix6_text(&x->h.prefix), ms, x->bu.tries);
	mnd_emit(m, "location_update",
		json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:i}", "kind", "local", "prefix", prefix6_text(&x->h.prefix),
			"anchor", x->anchor->credential.node, "regional", in6_text(&x->bu.regional), "status",
			msg->ba.status, "ms", ms, "tries", (int)x->bu.tries));
	x->bu.kind = LU_NONE;
	mnd_save(m);
}

/* An AMA on the way answers itself. The regional one: it knows where we are now. Or it does not pass the update on, and
 * says why: by another way, then, or straight to the anchor. */
static void on_proxy_answer(struct mnd *m, struct anchor *ama, const struct mh_msg *msg)
{
	struct in6_addr regional;
	struct prefix6 prefix;
	bool refused = msg->ba.status >= 128, has_way;

	if (!mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix))
		return;
	/* it knows us from before: go on from its number (RFC 6275 11.7.3) */
	if (msg->ba.status == MH_STATUS_SEQUENCE) {
		if ((int16_t)(msg->ba.sequence - ama->sequence) > 0)
			ama->sequence = msg->ba.sequence;
		for (unsigned i = 0; i < HOMES; i++)
			if (m->homes[i].used && m->homes[i].bu.kind == LU_BIND && m->homes[i].bu.proxied &&
				IN6_ARE_ADDR_EQUAL(&m->homes[i].bu.regional, &ama->address))
				m->homes[i].bu.next_us = loop_clock_us();
		mnd_touch(m);
		return;
	}
	has_way = refused && dmmopt_regional(msg, &regional) && !IN6_ARE_ADDR_EQUAL(&regional, &ama->address);
	if (has_way)
		ama->regional = regional; /* that is how it passes them on */
	else if (refused)
		log_about(LOG_LEVEL_INFO, "lu", NULL, prefix6_text(&prefix), ama->credential.node,
			"%s does not pass updates for %s on: %u (%s)", ama->credential.node, prefix6_text(&prefix),
			msg->ba.status, mh_status_name(msg->ba.status));
	if (msg->ba.status == MH_STATUS_PROHIBITED && !has_way)
		ama->refused_generation = m->attach.generation + 1;
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];
		bool local = x->bu.local && x->bu.tries > 0 && x->bu.sequence == msg->ba.sequence &&
			IN6_ARE_ADDR_EQUAL(&x->bu.regional, &ama->address);

		if (!x->used || !x->h.known || !prefix6_equal(&x->h.prefix, &prefix) || x->bu.kind != LU_BIND ||
			!x->bu.proxied)
			continue;
		if (local && !refused) {
			on_acknowledged_locally(m, x, msg);
		} else if (refused && (local || (has_way && !IN6_ARE_ADDR_EQUAL(&regional, &x->bu.regional)))) {
			if (local)
				x->told = in6addr_any; /* with all that its anchor has to know */
			signalling_begin_update(m, x, loop_now_us(m->daemon.loop));
		} else if (refused) {
			bool by_anchor = msg->ba.status == MH_STATUS_NO_PROXIES ||
				msg->ba.status == MH_STATUS_NOT_AUTHORISED_MAG;

			(void)snprintf(x->anchor->way, sizeof(x->anchor->way), "the %s refused: %s",
				by_anchor ? "anchor" : "AMA", mh_status_name(msg->ba.status));
			x->anchor->flipped_generation = m->attach.generation + 1;
			x->bu.next_us = loop_clock_us();
		}
	}
	mnd_touch(m);
}

static void on_ba(struct mnd *m, struct anchor *a, const struct mh_msg *msg)
{
	uint64_t now_us = loop_clock_us();

	if (a->forwards && msg->ba.sequence == a->forward_sequence) { /* or not: no more can be done */
		a->forwards = false;
		return;
	}

	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (!x->used || x->anchor != a || x->bu.kind == LU_NONE || x->bu.tries == 0 || x->h.asked != x->bu.kind)
			continue;
		if (msg->ba.status == MH_STATUS_SEQUENCE) {
			/* RFC 6275 11.7.3: go on from the number that the anchor has. It cannot be matched by
			 * its own. */
			if ((int16_t)(msg->ba.sequence - a->sequence) > 0)
				a->sequence = msg->ba.sequence;
			x->bu.next_us = now_us;
			mnd_touch(m);
			continue;
		}
		if (x->bu.sequence != msg->ba.sequence)
			continue;
		mnd_touch(m);
		if (msg->ba.status < 128) {
			on_acknowledged(m, x, msg);
			return;
		}
		log_about(LOG_LEVEL_NOTICE, "lu", NULL, x->h.known ? prefix6_text(&x->h.prefix) : NULL,
			a->credential.node, "%s refused %s of %s: %u (%s)", a->credential.node,
			lu_kind_name(x->bu.kind), x->h.known ? prefix6_text(&x->h.prefix) : "a new prefix",
			msg->ba.status, mh_status_name(msg->ba.status));
		mnd_emit(m, "location_update",
			json_pack("{s:s, s:s, s:i, s:s}", "kind", lu_kind_name(x->bu.kind), "anchor",
				a->credential.node, "status", msg->ba.status, "reason",
				mh_status_name(msg->ba.status)));
		/* that would have told it that we are on this link: the updates that go through it do */
		if (x->bu.kind == LU_ATTACH && IN6_ARE_ADDR_EQUAL(&a->address, &m->ama))
			m->ama_generation = m->attach.generation;
		x->bu.kind = LU_NONE;
		homeaddr_refused(&x->h, msg->ba.status, now_us);
		return;
	}
	if (msg->ba.status != MH_STATUS_SEQUENCE)
		m->counter_ba_unmatched++;
}

int signalling_send_probe(struct mnd *m, struct anchor *a, uint32_t id, uint16_t size, uint64_t now_us)
{
	uint8_t buf[2048];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_heartbeat hb = {.sequence = ++a->heartbeat};
	struct mh_writer mw = mh_begin_heartbeat(&w, &hb);

	mh_put_probe(&mw, &(struct dmmopt_probe){.id = id, .size = size});
	mh_pad_to(&mw, (size_t)(size - 74) & ~7u); /* the rest is the trailer's padding */
	mh_end(&mw);
	return wcur_ok(&w) ? channel_send_probe(m->channel, a->peer, buf, wcur_len(&w), size, now_us) : -EMSGSIZE;
}

int signalling_ping(struct mnd *m, struct anchor *a, uint16_t size, uint32_t *ret_id)
{
	uint64_t now_us = loop_clock_us();
	uint32_t id = PING_ID | ++m->n_pings;
	int r;

	if (!m->attach.selected)
		return -ENETUNREACH;
	if (!signalling_is_proxied(m, a))
		signalling_go_direct(m, a);
	*ret_id = 0;
	r = signalling_send_probe(m, a, id, size, now_us);
	if (r == -ENOTCONN) {
		uint8_t buf[64];
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_writer mw = mh_begin_heartbeat(&w, &(struct mh_heartbeat){.sequence = ++a->heartbeat});

		mh_end(&mw);
		return channel_send(m->channel, a->peer, buf, wcur_len(&w));
	}
	if (r < 0)
		return r;
	*ret_id = id;
	m->pings[id % PINGS].id = id;
	m->pings[id % PINGS].sent_us = now_us;
	return 0;
}

static void on_pong(struct mnd *m, const struct anchor *a, const struct dmmopt_probe *probe)
{
	uint64_t *sent_us = &m->pings[probe->id % PINGS].sent_us;

	if (m->pings[probe->id % PINGS].id != probe->id || !*sent_us)
		return;
	mnd_emit(m, "pong",
		json_pack("{s:s, s:I, s:i, s:f}", "anchor", a->credential.node, "id", (json_int_t)probe->id, "size",
			probe->size, "ms", (double)(loop_clock_us() - *sent_us) / 1000));
	*sent_us = 0;
}

/* RFC 5847: the answer of an anchor, with its restart counter. Another one than before: it may have lost
 * our bindings. */
static void on_heartbeat(struct mnd *m, struct anchor *a, const struct mh_msg *msg)
{
	struct dmmopt_probe probe;
	uint32_t counter;

	mnd_touch(m);
	if (!(msg->heartbeat.flags & MH_HEARTBEAT_R))
		return;
	if (dmmopt_probe(msg, &probe) && probe.id >= PING_ID)
		on_pong(m, a, &probe);
	else if (dmmopt_probe(msg, &probe))
		(void)pmtu_answered(&a->pmtu, probe.id, loop_clock_us());
	if (!mhopt_u32(mh_find(msg, MHOPT_RESTART_COUNTER, NULL), &counter))
		return;
	if (a->restart_known && a->restart_counter != counter) {
		a->restarts++;
		m->counter_anchor_restarts++;
		log_about(LOG_LEVEL_NOTICE, "lu", NULL, NULL, a->credential.node,
			"%s restarted and may have lost bindings: registering again", a->credential.node);
		mnd_emit(m, "anchor_restarted",
			json_pack("{s:s, s:I}", "anchor", a->credential.node, "restart_counter", (json_int_t)counter));
	}
	a->restart_known = true;
	a->restart_counter = counter;
}

static struct home *home_by_prefix(struct mnd *m, const struct anchor *a, const struct prefix6 *prefix)
{
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (x->used && x->anchor == a && x->h.known && prefix6_equal(&x->h.prefix, prefix))
			return x;
	}
	return NULL;
}

/* RFC 5846: the anchor takes a lease back. It is answered whether we know the prefix or not: an answer may have been
 * lost. */
static void on_revocation(struct mnd *m, struct anchor *a, const struct mh_msg *msg)
{
	struct mh_revocation ack = {.b_type = MH_REVOCATION_ACK, .sequence = msg->revocation.sequence};
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer mw;
	struct prefix6 prefix;
	struct home *x;

	if (msg->revocation.b_type != MH_REVOCATION_INDICATION ||
		!mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix)) {
		m->counter_mh[MH_WHY_VALUE]++;
		return;
	}
	x = home_by_prefix(m, a, &prefix);
	if (!x)
		ack.trigger = MH_REVOCATION_NO_BINDING;
	mw = mh_begin_revocation(&w, &ack);
	mh_put_prefix(&mw, MHOPT_HNP, &prefix);
	mh_end(&mw);
	if (m->attach.selected && !signalling_is_proxied(m, a))
		signalling_go_direct(m, a);
	if (wcur_ok(&w))
		(void)channel_send(m->channel, a->peer, buf, wcur_len(&w));
	if (!x)
		return;
	log_about(LOG_LEVEL_NOTICE, "home", NULL, prefix6_text(&prefix), a->credential.node,
		"%s revoked %s: %u sessions on %s end", a->credential.node, prefix6_text(&prefix), x->sessions,
		in6_text(&x->h.address));
	mnd_emit(m, "revoked",
		json_pack("{s:s, s:s, s:i}", "prefix", prefix6_text(&prefix), "anchor", a->credential.node, "sessions",
			(int)x->sessions));
	homeaddr_revoked(&x->h, loop_clock_us());
	x->bu.kind = LU_NONE;
	mnd_touch(m);
}

static void on_refresh_request(struct mnd *m, struct anchor *a, const struct mh_msg *msg)
{
	struct prefix6 prefix;
	struct home *x = mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix) ? home_by_prefix(m, a, &prefix) : NULL;

	if (x)
		homeaddr_refresh(&x->h, loop_clock_us());
	mnd_touch(m);
}

static void channel_recv(
	void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len)
{
	struct mnd *m = ctx;
	struct anchor *a = mnd_anchor_by_peer(m, peer);
	struct rcur c = rcur_make(mh, len);

	(void)rx;
	if (a && a->unheard >= HEARTBEATS_MISSED) {
		log_about(LOG_LEVEL_NOTICE, "lu", NULL, NULL, a->credential.node, "%s is heard again",
			a->credential.node);
		mnd_emit(m, "anchor_heard", json_pack("{s:s}", "anchor", a->credential.node));
	}
	if (a && a->heartbeat_us) { /* whatever it says, it lives */
		a->unheard = 0;
		a->heartbeat_us = 1;
	}
	while (a && rcur_left(&c) > 0) {
		static struct mh_msg msg;
		enum mh_why why;

		if (mh_read(&c, &msg, &why) < 0) {
			m->counter_mh[why]++;
			if (!rcur_ok(&c))
				return;
			continue;
		}
		if (mh_is_relay(&msg)) {
			on_relay(m, a, &msg);
			continue;
		}
		switch (msg.type) {
		case MH_BA:
			if (msg.ba.flags & MH_BA_P)
				on_proxy_answer(m, a, &msg);
			else
				on_ba(m, a, &msg);
			break;
		case MH_HEARTBEAT:
			on_heartbeat(m, a, &msg);
			break;
		case MH_REVOCATION:
			on_revocation(m, a, &msg);
			break;
		case MH_BRR:
			on_refresh_request(m, a, &msg);
			break;
		default:
			m->counter_mh[MH_WHY_UNKNOWN_TYPE]++;
		}
	}
}

static void channel_key_log(void *ctx, const char *what, uint32_t spi, const uint8_t key[static 32])
{
	const struct mnd *m = ctx;

	if (m->daemon.key_log > 0)
		keylog_write(m->daemon.key_log, what, spi, key);
}

static void channel_timestamps(void *ctx, uint64_t until_ns)
{
	struct mnd *m = ctx;

	m->timestamps_until = until_ns;
	mnd_save(m);
}

const struct channel_ops signalling_channel_ops = {.send = channel_tx,
	.recv = channel_recv,
	.accept = channel_accept,
	.discovered = channel_discovered,
	.key_log = channel_key_log,
	.wall_ns = channel_wall,
	.timestamps = channel_timestamps};

void signalling_input(void *ctx, const struct channel_rx *rx, const uint8_t *buf, size_t len)
{
	struct mnd *m = ctx;

	(void)channel_input(m->channel, rx, buf, len, loop_now_us(m->daemon.loop));
	read_inner(m);
}

void signalling_ask(struct mnd *m, const struct in6_addr *ama, uint64_t now_us)
{
	const struct attachment *at = m->attach.selected;
	struct channel_endpoint ep = {
		.remote = *ama, .local = at->care_of, .ifindex = at->ifindex, .port = (uint16_t)m->config.port};

	channel_discover(m->channel, &ep, now_us);
}

/* Ask who is at an AMA's address, until it answers or does not. */
void signalling_discover(struct mnd *m, const struct in6_addr *ama, uint64_t now_us, uint64_t *wake_us)
{
	if (!IN6_ARE_ADDR_EQUAL(&m->discovering, ama)) {
		m->discovering = *ama;
		m->discovery_tries = 0;
		m->discovery_us = now_us;
	}
	if (m->discovery_tries >= DISCOVERY_TRIES)
		return; /* the next attachment tries again */
	if (now_us >= m->discovery_us) {
		signalling_ask(m, ama, now_us);
		m->discovery_us = now_us + (250 * MS << m->discovery_tries);
		if (++m->discovery_tries == DISCOVERY_TRIES)
			log_notice(
				"attach", "the AMA %s does not answer: using this network without it", in6_text(ama));
	}
	if (m->discovery_us < *wake_us)
		*wake_us = m->discovery_us;
}

/* To the regional AMA, through the one that we are with: that is where it is now. */
static void send_local(struct mnd *m, struct home *x, uint64_t now_us)
{
	struct anchor *regional = mnd_anchor_by_address(m, &x->bu.regional), *serving = signalling_proxy(m, x->anchor);
	struct mh_bu head = {
		.flags = MH_BU_A | MH_BU_P, .sequence = ++regional->sequence, .lifetime_s = x->bu.lifetime_s};
	struct channel_peer_info info = {0};
	uint8_t buf[LU_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer mw = mh_begin_bu(&w, &head);

	mh_put_prefix(&mw, MHOPT_HNP, &x->h.prefix);
	mh_put_address(&mw, MHOPT_ALT_COA, &serving->address);
	mh_end(&mw);
	set_endpoint_through(m, regional, serving);
	lu_sent(&x->bu, regional->sequence, now_us);
	/* nothing of it is heard between moves, and it may have been started again since: inside a handshake it costs
	 * no more time */
	channel_peer_info(regional->peer, &info);
	if (wcur_ok(&w))
		(void)channel_send_flags(m->channel, regional->peer, buf, wcur_len(&w),
			x->bu.tries > 1 || info.heard_us + LOCAL_IDLE_US < now_us ? CHANNEL_FORCE_HANDSHAKE : 0);
}

void signalling_send_update(struct mnd *m, struct home *x, uint64_t now_us)
{
	uint8_t buf[LU_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));
	/* no answer, or long asleep: the anchor may have lost the session; a handshake costs no more time */
	bool handshake = x->bu.tries > 0 || x->anchor->doubt;

	set_way(m, x);
	if (x->bu.local) {
		send_local(m, x, now_us);
		return;
	}
	lu_write(&x->bu, ++x->anchor->sequence, &w);
	if (x->bu.proxied)
		set_endpoint_through(m, x->anchor,
			IN6_IS_ADDR_UNSPECIFIED(&x->bu.regional) ? signalling_proxy(m, x->anchor)
								 : mnd_anchor_by_address(m, &x->bu.regional));
	else
		signalling_go_direct(m, x->anchor);
	if (wcur_ok(&w))
		(void)channel_send_flags(
			m->channel, x->anchor->peer, buf, wcur_len(&w), handshake ? CHANNEL_FORCE_HANDSHAKE : 0);
	lu_sent(&x->bu, x->anchor->sequence, now_us);
	log_debug("lu", "%s of %s to %s, sequence %u, try %u", lu_kind_name(x->bu.kind), prefix6_text(&x->bu.prefix),
		x->anchor->credential.node, x->anchor->sequence, x->bu.tries);
}
