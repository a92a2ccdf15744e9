/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peers.c - other domains and other AMAs: what they may do here, which AMAs pass updates on to us, what of theirs is
 * not believed
 *
 * A domain's policy (trusted-domains) is looked at whenever something new is asked for: a lease, a visit, an update
 * passed on. What was given before stays until its time is over. AMAs that we pass updates on to are serving.c's; one
 * AMA is often both. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "anchor.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* --- domains ------------------------------------------------------------------------------------------------------ */

static const char *const refusal_name[REFUSALS] = {
	"untrusted", "roaming", "lend", "proxy", "max-leases", "max-visits", "updates"};

const char *peers_refusal_name(enum refusal why)
{
	return refusal_name[why];
}

static uint8_t find_domain(const struct amad *a, const uint8_t key[32])
{
	for (uint8_t i = 0; i < a->n_domains; i++)
		if (!memcmp(a->domain[i].domain.key, key, 32))
			return i;
	return NO_DOMAIN;
}

/* A place for one that was not known: behind the others, or of one that nobody trusts or needs any more. */
static struct known_domain *new_domain(struct amad *a)
{
	if (a->n_domains < DOMAINS)
		return &a->domain[a->n_domains++];
	for (unsigned i = 0; i < DOMAINS; i++)
		if (!a->domain[i].trusted && !a->domain[i].leases && !a->domain[i].visits)
			return &a->domain[i];
	return NULL;
}

int peers_set_trusted(
	struct amad *a, const struct domain *domain, const struct trust_policy *policy, unsigned n, char *reterr)
{
	int r = channel_set_trusted(a->channel, domain, n);

	if (r < 0) {
		(void)snprintf(reterr, CREDENTIAL_ERR, "out of memory");
		return r;
	}
	for (unsigned i = 0; i < a->n_domains; i++)
		a->domain[i].trusted = false;
	for (unsigned i = 0; i < n; i++) { /* first those that are known: their places are not for others */
		uint8_t k = find_domain(a, domain[i].key);

		if (k == NO_DOMAIN)
			continue;
		a->domain[k].trusted = true;
		a->domain[k].policy = policy[i];
	}
	for (unsigned i = 0; i < n; i++) {
		struct known_domain *d = find_domain(a, domain[i].key) == NO_DOMAIN ? new_domain(a) : NULL;

		if (d)
			*d = (struct known_domain){.domain = domain[i], .trusted = true, .policy = policy[i]};
		else if (find_domain(a, domain[i].key) == NO_DOMAIN)
			log_error("trust",
				"no room for domain %s: too many others have leases or visits; it is served after a restart",
				domain[i].name);
	}
	return 0;
}

uint8_t peers_domain(const struct amad *a, const struct channel_peer *peer)
{
	return find_domain(a, channel_peer_domain(a->channel, peer)->key);
}

static uint64_t id_of(const struct domain *d)
{
	uint64_t id = 0;

	for (int i = 0; i < 8; i++)
		id = id << 8 | d->key[i];
	return id & INT64_MAX;
}

uint64_t peers_domain_id(const struct amad *a, uint8_t domain)
{
	return domain == NO_DOMAIN ? 0 : id_of(&a->domain[domain].domain);
}

uint8_t peers_domain_of_id(const struct amad *a, uint64_t id)
{
	for (uint8_t i = 0; id && i < a->n_domains; i++)
		if (id_of(&a->domain[i].domain) == id)
			return i;
	return NO_DOMAIN;
}

const char *peers_domain_name(const struct amad *a, uint8_t domain)
{
	return domain == NO_DOMAIN ? NULL : a->domain[domain].domain.name;
}

static void refuse(struct amad *a, struct known_domain *d, enum refusal why, const char *who)
{
	unsigned left_out;

	if (d)
		d->refused[why]++;
	a->count_refusal[why]++;
	if (log_bucket_take(&a->doubt_bucket, loop_now_us(a->daemon.loop), 20, 10 * SEC, &left_out))
		log_notice("trust", "%s of domain %s is refused: %s%s%s", who, d ? d->domain.name : "?",
			why == REFUSAL_UNTRUSTED ? "it is trusted no more" : refusal_name[why],
			why == REFUSAL_UNTRUSTED ? "" : " in trusted-domains", left_out ? "; more were left out" : "");
}

static bool is_allowed(const struct known_domain *d, enum refusal what)
{
	switch (what) {
	case REFUSAL_ROAMING:
		return d->policy.roaming;
	case REFUSAL_LEND:
		return d->policy.lend;
	case REFUSAL_PROXY:
		return d->policy.proxy;
	case REFUSAL_LEASES:
		return d->leases < d->policy.max_leases;
	case REFUSAL_UNTRUSTED:
	case REFUSAL_VISITS:  /* peers_room */
	case REFUSAL_UPDATES: /* peers_take_update */
	case REFUSALS:
		break;
	}
	return true;
}

bool peers_allow(struct amad *a, uint8_t domain, enum refusal what, const char *who)
{
	struct known_domain *d = domain == NO_DOMAIN ? NULL : &a->domain[domain];

	if (d && d->trusted && is_allowed(d, what))
		return true;
	refuse(a, d, d && d->trusted ? what : REFUSAL_UNTRUSTED, who);
	return false;
}

bool peers_serves(const struct amad *a, const uint8_t domain_key[32])
{
	uint8_t domain = find_domain(a, domain_key);

	return domain != NO_DOMAIN && a->domain[domain].trusted && is_allowed(&a->domain[domain], REFUSAL_ROAMING);
}

bool peers_take_update(struct amad *a, uint16_t relay, const struct channel_peer *peer)
{
	struct relay *r = &a->relay[relay - 1];
	uint8_t domain = peers_domain(a, peer);
	uint64_t now_us = loop_now_us(a->daemon.loop), each_us;

	if (domain == NO_DOMAIN)
		return true; /* it is refused for that */
	each_us = SEC / a->domain[domain].policy.updates;
	if (r->whole_us < now_us)
		r->whole_us = now_us;
	if (r->whole_us + each_us > now_us + SEC) { /* a second's worth at once */
		refuse(a, &a->domain[domain], REFUSAL_UPDATES, channel_peer_name(peer));
		return false;
	}
	r->whole_us += each_us;
	return true;
}

bool peers_room(void *ctx, uint8_t domain, const char *node, unsigned more)
{
	struct amad *a = ctx;
	struct known_domain *d = domain == NO_DOMAIN ? NULL : &a->domain[domain];

	if (!d || d->visits + more <= d->policy.max_visits)
		return true;
	refuse(a, d, REFUSAL_VISITS, node);
	return false;
}

void peers_visit(void *ctx, uint8_t domain, int change)
{
	struct amad *a = ctx;

	if (domain != NO_DOMAIN)
		a->domain[domain].visits += (uint32_t)change;
}

bool peers_may_ask(void *ctx, const struct credential *anchor)
{
	struct amad *a = ctx;

	return peers_allow(a, find_domain(a, anchor->domain_key), REFUSAL_PROXY, anchor->node);
}

bool peers_believe(void *ctx, const struct credential *anchor, const struct prefix6 *prefix)
{
	struct amad *a = ctx;
	uint8_t domain = find_domain(a, anchor->domain_key);

	return domain != NO_DOMAIN && trust_covers(&a->domain[domain].policy, prefix);
}

json_t *peers_domains_json(struct amad *a)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < a->n_domains; i++) {
		const struct known_domain *d = &a->domain[i];
		const struct trust_policy *p = &d->policy;
		json_t *refused, *prefixes;
		uint64_t n = 0;

		if (!d->trusted && !d->leases && !d->visits)
			continue;
		prefixes = json_array();
		for (unsigned k = 0; k < p->n_prefixes; k++)
			(void)json_array_append_new(prefixes, json_string(prefix6_text(&p->prefix[k])));
		refused = json_object();
		for (int k = 0; k < REFUSALS; k++) {
			(void)json_object_set_new(refused, refusal_name[k], json_integer((json_int_t)d->refused[k]));
			n += d->refused[k];
		}
		(void)json_array_append_new(list,
			json_pack("{s:s, s:b, s:b, s:b, s:b, s:o, s:o, s:i, s:o, s:i, s:i, s:I, s:o}", "name",
				d->domain.name, "trusted", d->trusted, "roaming", p->roaming, "lend", p->lend, "proxy",
				p->proxy, "max_leases",
				p->max_leases == UINT32_MAX ? json_null() : json_integer(p->max_leases), "max_visits",
				p->max_visits == UINT32_MAX ? json_null() : json_integer(p->max_visits), "updates",
				(int)p->updates, "prefixes", prefixes, "leases", (int)d->leases, "visits",
				(int)d->visits, "refusals", (json_int_t)n, "refused", refused));
	}
	return list;
}

/* --- AMAs that pass updates on to us --------------------------------------------------------------------------- */

static struct relay *find_relay(struct amad *a, const uint8_t key[32])
{
	for (unsigned i = 0; i < a->n_relays; i++)
		if (!memcmp(a->relay[i].key, key, sizeof(a->relay[i].key)))
			return &a->relay[i];
	return NULL;
}

bool peers_knows(struct amad *a, const struct channel_peer *peer)
{
	return find_relay(a, channel_peer_key(peer));
}

/* The AMA behind an index, to be sent to now; NULL = none. As its peer may be an anchor, too, whose address a node
 * named, where its answers go is said each time. */
struct channel_peer *peers_relay(struct amad *a, uint16_t relay)
{
	struct channel_peer *peer = relay ? channel_find_peer(a->channel, a->relay[relay - 1].key) : NULL;

	if (peer)
		channel_peer_set_endpoint(peer, &a->relay[relay - 1].ep);
	return peer;
}

struct channel_peer *peers_relay_at(struct amad *a, const struct in6_addr *address)
{
	struct relay *newest = NULL; /* one that was set up anew has had another key there */

	for (struct relay *r = a->relay; r < a->relay + a->n_relays; r++)
		if (IN6_ARE_ADDR_EQUAL(&r->ep.remote, address) && (!newest || r->heard_us > newest->heard_us))
			newest = r;
	return newest ? peers_relay(a, (uint16_t)(newest - a->relay + 1)) : NULL;
}

/* A heartbeat (RFC 5847), for the round trip; not again while one is on its way, or has just come back. */
void peers_ping(struct amad *a, struct relay *r)
{
	struct mh_heartbeat hb = {.sequence = randombytes_random()};
	uint64_t now_us = loop_now_us(a->daemon.loop);
	uint8_t buf[32];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_heartbeat(&w, &hb);
	struct channel_peer *peer;

	if (r->pinged_us && now_us - r->pinged_us < PING_US)
		return;
	peer = peers_relay(a, (uint16_t)(r - a->relay + 1));
	mh_end(&m);
	if (!peer || !wcur_ok(&w) || channel_send(a->channel, peer, buf, wcur_len(&w)) < 0)
		return;
	r->ping = hb.sequence;
	r->pinged_us = now_us;
	r->waits = true;
}

/* --- an AMA moves --------------------------------------------------------------------------------------------------
 *
 * Its nodes have named it in what they sealed, by the address that it had. Another address of the same AMA, which has
 * the same key, is no redirection: it has their packets anyway. That it is there, and not somebody who would be
 * flooded, it has to show: it answers a number that was sent there. */

struct relocation {
	struct amad *a;
	uint16_t relay;
	const struct in6_addr *from, *to;
	struct locator *locator[8];
	uint32_t count[8];
	bool moved[8];
	unsigned n, bindings;
};

static int locator_index(const struct relocation *x, const struct binding *b)
{
	if (b->relay != x->relay || !b->locator)
		return -1;
	for (unsigned i = 0; i < x->n; i++)
		if (x->locator[i] == b->locator)
			return (int)i;
	return IN6_ARE_ADDR_EQUAL(mr_care_of(b->locator), x->from) ? (int)x->n : -1;
}

static void find_locators(void *ctx, struct binding *b)
{
	struct relocation *x = ctx;
	int i = locator_index(x, b);

	if (i < 0 || i == sizeof(x->locator) / sizeof(x->locator[0]))
		return; /* we have so many addresses: those move one by one, when they are renewed */
	if ((unsigned)i == x->n)
		x->locator[x->n++] = b->locator;
	x->count[i]++;
}

static void move_binding(void *ctx, struct binding *b)
{
	struct relocation *x = ctx;
	struct amad *a = x->a;
	const struct lease *l = anchoring_find(a->anchoring, &b->prefix);
	int i = locator_index(x, b);
	struct in6_addr self;

	if (i < 0 || (unsigned)i == x->n || !l)
		return;
	self = *mr_self(b->locator);
	if (!x->moved[i] && rc_bind(a->set, a->mr, b, x->to, &self, a->tunnel, 0) < 0)
		return; /* no memory: it goes on at the old address until the node renews it */
	if (a->srccheck) {
		srccheck_leave(a->srccheck, &b->prefix, x->from);
		(void)srccheck_set(a->srccheck, &b->prefix, x->to);
	}
	b->since_s = (uint32_t)(loop_now_us(a->daemon.loop) / SEC);
	amad_keep_binding(a, b, l);
	amad_emit(a, "binding_moved", l, x->to);
	x->bindings++;
}

static void relocate(struct amad *a, struct relay *r)
{
	struct relocation x = {.a = a, .relay = (uint16_t)(r - a->relay + 1), .from = &r->former, .to = &r->moving_to};
	struct channel_peer *peer = peers_relay(a, x.relay);
	struct mh_ba ba = {.flags = MH_BA_P, .sequence = r->moving_sequence};
	uint8_t buf[96];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_ba(&w, &ba);

	lm_each(a->lm, find_locators, &x);
	for (unsigned i = 0; i < x.n; i++) /* others may be behind it, too */
		x.moved[i] = x.count[i] == mr_users(x.locator[i]) &&
			rc_move_locator(a->set, a->mr, x.locator[i], x.to, a->tunnel);
	lm_each(a->lm, move_binding, &x);
	a->count_relocations++;
	log_notice("lm", "AMA %s is at %s, no longer at %s: %u bindings moved with it",
		peer ? channel_peer_name(peer) : "?", in6_text(x.to), in6_text(x.from), x.bindings);
	mh_put_former(&m, &r->former);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w));
	r->moving_to = in6addr_any;
	r->relocated_us = loop_now_us(a->daemon.loop);
}

static void send_heartbeat(struct amad *a, struct channel_peer *peer, uint32_t sequence)
{
	struct mh_heartbeat hb = {.sequence = sequence};
	uint8_t buf[32];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_heartbeat(&w, &hb);

	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

void peers_moves(struct amad *a, uint16_t relay, uint16_t sequence, const struct in6_addr *former)
{
	struct relay *r = &a->relay[relay - 1];

	if (!in6_is_global(&r->ep.remote) || anchoring_covers(a->anchoring, &r->ep.remote) ||
		IN6_ARE_ADDR_EQUAL(former, &r->ep.remote))
		return;
	/* all bindings are looked through for it: not as often as it likes (it says so again, for ten seconds) */
	if (r->relocated_us && loop_now_us(a->daemon.loop) - r->relocated_us < RELOCATED_US)
		return;
	r->former = *former;
	r->moving_to = r->ep.remote;
	r->moving_sequence = sequence;
	r->challenge = randombytes_random();
	r->challenged_us = loop_now_us(a->daemon.loop);
	send_heartbeat(a, peers_relay(a, relay), r->challenge);
}

void peers_ponged(struct amad *a, const struct channel_peer *peer, const struct in6_addr *from, uint32_t sequence)
{
	struct relay *r = find_relay(a, channel_peer_key(peer));

	if (!r)
		return;
	if (!IN6_IS_ADDR_UNSPECIFIED(&r->moving_to) && r->challenge == sequence &&
		IN6_ARE_ADDR_EQUAL(from, &r->moving_to) &&
		loop_now_us(a->daemon.loop) - r->challenged_us < CHALLENGE_US)
		relocate(a, r);
	if (!r->waits || r->ping != sequence)
		return;
	r->waits = false;
	r->rtt_us = loop_now_us(a->daemon.loop) - r->pinged_us;
}

/* A place that nobody had, or that of the AMA that was not heard for longest, if that is long enough. NULL = none. */
static struct relay *relay_place(struct amad *a)
{
	struct relay *oldest = a->relay;

	if (a->n_relays < RELAYS)
		return &a->relay[a->n_relays++];
	for (struct relay *r = a->relay; r < a->relay + RELAYS; r++)
		if (r->heard_us < oldest->heard_us)
			oldest = r;
	return loop_now_us(a->daemon.loop) - oldest->heard_us >= RELAY_UNUSED_US ? oldest : NULL;
}

uint16_t peers_relay_index(struct amad *a, const struct channel_peer *peer, const struct channel_endpoint *ep)
{
	struct relay *r = find_relay(a, channel_peer_key(peer));

	if (!r) {
		r = relay_place(a);
		if (!r) {
			a->count_relays_full++;
			peers_doubt(a, peer, NULL, "no room for more AMAs that pass updates on");
			return 0;
		}
		*r = (struct relay){.ep = *ep};
		memcpy(r->key, channel_peer_key(peer), sizeof(r->key));
		peers_ping(a, r);
	}
	r->ep = *ep;
	r->heard_us = loop_now_us(a->daemon.loop);
	return (uint16_t)(r - a->relay + 1);
}

void peers_answer(struct amad *a, uint16_t relay, uint16_t sequence, uint8_t status, uint32_t lifetime_s,
	const struct prefix6 *prefix)
{
	struct relay *r = relay ? &a->relay[relay - 1] : NULL;

	if (r && status < 128) {
		r->accepted++;
	} else if (r) {
		r->refused++;
		(void)snprintf(r->last_error, sizeof(r->last_error), "refused %s: %u (%s)", prefix6_text(prefix),
			status, mh_status_name(status));
	}
	updates_send_pba(a, peers_relay(a, relay), sequence, status, lifetime_s, prefix);
}

/* What another AMA said changes nothing; that it was so is counted where it was found. */
void peers_doubt(void *ctx, const struct channel_peer *peer, const struct prefix6 *prefix, const char *why)
{
	struct amad *a = ctx;
	struct relay *r = find_relay(a, channel_peer_key(peer));
	unsigned left_out;

	if (r)
		(void)snprintf(r->last_error, sizeof(r->last_error), "%s%s%s", prefix ? prefix6_text(prefix) : "",
			prefix ? ": " : "", why);
	if (log_bucket_take(&a->doubt_bucket, loop_now_us(a->daemon.loop), 20, 10 * SEC, &left_out))
		log_warning("trust", "not believed: AMA %s%s%s: %s%s", channel_peer_name(peer), prefix ? " about " : "",
			prefix ? prefix6_text(prefix) : "", why, left_out ? "; more were left out" : "");
}

/* --- for people ------------------------------------------------------------------------------------------------ */

struct list {
	struct amad *a;
	json_t *rows;
	bool shown[RELAYS];
};

static void add_relay(struct amad *a, json_t *row, struct relay *r)
{
	(void)json_object_set_new(row, "received", json_integer((json_int_t)r->received));
	(void)json_object_set_new(row, "received_accepted", json_integer((json_int_t)r->accepted));
	(void)json_object_set_new(row, "received_refused", json_integer((json_int_t)r->refused));
	if (r->rtt_us)
		(void)json_object_set_new(row, "rtt_ms", json_real((double)r->rtt_us / 1000));
	if (r->last_error[0] && json_is_null(json_object_get(row, "last_error")))
		(void)json_object_set_new(row, "last_error", json_string(r->last_error));
	if (r->waits && loop_now_us(a->daemon.loop) - r->pinged_us > SILENT_US)
		(void)json_object_set_new(row, "state", json_string("silent"));
	peers_ping(a, r);
}

static const char *policy_text(const struct amad *a, uint8_t domain)
{
	return domain == NO_DOMAIN || !a->domain[domain].trusted ? "untrusted"
								 : trust_policy_text(&a->domain[domain].policy);
}

static json_t *row_of(const struct amad *a, const struct in6_addr *address, const char *name, const char *domain,
	const struct channel_peer *peer)
{
	struct channel_peer_info info = {0};
	uint64_t now_us = loop_now_us(a->daemon.loop);

	if (peer)
		channel_peer_info(peer, &info);
	return json_pack("{s:s, s:s?, s:s?, s:s, s:n, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:n, s:s}",
		"address", in6_text(address), "name", name, "domain", domain, "state",
		!name			   ? "unknown"
			: info.has_session ? "connected"
					   : "known",
		"rtt_ms", "heard_s", info.heard_us ? json_real((double)(now_us - info.heard_us) / SEC) : json_null(),
		"sent", 0, "accepted", 0, "refused", 0, "received", 0, "received_accepted", 0, "received_refused", 0,
		"rx_bytes", (json_int_t)info.rx_bytes, "tx_bytes", (json_int_t)info.tx_bytes, "last_error", "policy",
		peer ? policy_text(a, peers_domain(a, peer)) : "");
}

static void serving_row(void *ctx, const struct serving_peer *p)
{
	struct list *l = ctx;
	json_t *row = row_of(l->a, &p->address, p->name, p->domain, p->peer);
	struct relay *r = p->peer ? find_relay(l->a, channel_peer_key(p->peer)) : NULL;

	(void)json_object_set_new(row, "sent", json_integer((json_int_t)p->sent));
	(void)json_object_set_new(row, "accepted", json_integer((json_int_t)p->accepted));
	(void)json_object_set_new(row, "refused", json_integer((json_int_t)p->refused));
	if (p->rtt_us)
		(void)json_object_set_new(row, "rtt_ms", json_real((double)p->rtt_us / 1000));
	if (p->last_error)
		(void)json_object_set_new(row, "last_error", json_string(p->last_error));
	if (r) {
		l->shown[r - l->a->relay] = true;
		add_relay(l->a, row, r);
	}
	(void)json_array_append_new(l->rows, row);
}

json_t *peers_json(struct amad *a)
{
	struct list l = {.a = a, .rows = json_array()};

	serving_each_peer(a->serving, serving_row, &l);
	for (unsigned i = 0; i < a->n_relays; i++) {
		struct relay *r = &a->relay[i];
		struct channel_peer *peer = channel_find_peer(a->channel, r->key);
		json_t *row;

		if (l.shown[i] || !peer)
			continue;
		row = row_of(
			a, &r->ep.remote, channel_peer_name(peer), channel_peer_domain(a->channel, peer)->name, peer);
		add_relay(a, row, r);
		(void)json_array_append_new(l.rows, row);
	}
	return l.rows;
}
