/* SPDX-License-Identifier: GPL-2.0-or-later */
/* serving.c - the serving AMA
 *
 * A request is what a node asked and an anchor has not answered, and later the way back to the node; a visit is what an
 * anchor said yes to. Only visits have forwarding state. Nothing waits for anything else: each request goes to its
 * anchor at once, and each answer is acted on when it comes.
 *
 * A node may be hostile: what it can make us hold (requests, visits, AMAs that nobody has heard of) and send to
 * addresses of its choice (discoveries) has limits, a node and in all. An anchor may be: it is believed about what it
 * was asked, and what its credential covers. */
#include "serving.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "lm.h"
#include "log.h"
#include "rc.h"
#include "table.h"
#include "wheel.h"

#define SEC	    1000000ULL
#define REQUEST_US  (20 * SEC)
#define DISCOVER_US 200000u   /* not more often at one address */
#define SILENT_US   (2 * SEC) /* an AMA that is not heard for so long may be another one now: it is asked */
/* a credential that is older may have been renewed: before it says no, it is asked for */
#define RENEWED_US (10 * SEC)
#define REQUESTS   32768 /* not answered, or younger than REQUEST_US */
/* Of one node: so many requests at once, then one each; a discovery counts as some. Nodes whose keys have one hash
 * share. */
#define NODES	     4096 /* a power of two */
#define NODE_BURST   64
#define NODE_EACH_US (SEC / 16)
#define DISCOVERY    8
#define NODE_VISITS  64
/* Discoveries in all. */
#define ASK_BURST     100
#define ASK_EACH_US   (SEC / 50)
#define FORGET_US     (60 * SEC) /* an address at which nobody answered */
#define REACQUAINT_US (2 * SEC)	 /* after a restart the anchors of visits are asked who they are, until they answer */
#define PREFIXES      8
#define EXPECT_US     (2 * SEC) /* an anchor that takes longer to say yes: what comes before that is dropped */
#define EXPECTED      4096
#define DISTRUST_US   (60 * SEC)
#define SEALED_MAX    1000
#define RELOCATE_US   SEC /* told again, ... */
#define RELOCATE_MOST 10  /* so often */
#define ACCESS_OTHER  0	  /* handoff indicator and access technology: we do not know (RFC 5213 8.4, 8.5) */
#define HANDOFF_OTHER 4

struct ama {
	struct table_entry by_address;
	struct in6_addr address;
	bool known, restored; /* restored: it has bindings of ours from before we were restarted */
	struct ama *same; /* which this is another address of, and at which it answers; counted there as a request */
	struct credential credential;
	struct channel_peer *peer;
	struct in6_addr self;	 /* with restored */
	unsigned refs;		 /* requests, and others that are the same */
	struct request *waiting; /* for discovery */
	uint64_t asked_us, known_us, rtt_us;
	uint64_t unheard_us; /* since when it owes us an answer, 0 = it does not */
	uint64_t sent, accepted, refused;
	struct in6_addr moving_from, moving_to; /* it is told that we are there now; moving_to :: = it is not */
	uint16_t moving_sequence;
	unsigned moving_tries;
	uint64_t moving_us;
	char last_error[96];
};

/* Where a node is: on a link of ours, or behind another AMA. */
struct place {
	uint32_t ifindex;
	struct in6_addr link_local;
	uint8_t link_layer[6];	 /* zero = not known */
	struct in6_addr through; /* :: = on our link */
};

struct request {
	struct wheel_entry expiry; /* first */
	struct table_entry by_cookie, by_sequence;
	struct request *prev, *next; /* of its AMA's that wait */
	unsigned refs;		     /* visits, and one until it expires */
	uint32_t cookie, node_cookie;
	uint16_t sequence, node_sequence; /* of our PBU; of the node's request */
	bool waiting, over; /* for discovery; it can be answered no more, but is the way back to the node */
	uint8_t key[32];
	char node[CREDENTIAL_NAME_MAX + 1];
	struct ama *anchor;
	uint32_t lifetime_s;
	struct in6_addr self;
	struct place at;
	struct serving_via via;
	unsigned n_prefixes;
	struct prefix6 prefix[PREFIXES];
	uint64_t sent_us;
	uint8_t *sealed; /* len bytes; NULL when it was passed on */
	size_t len;
	bool answered; /* its anchor has said something about it */
	uint8_t *held; /* held_len bytes for the node, until it has */
	size_t held_len;
};

struct visit {
	struct wheel_entry expiry; /* first */
	struct table_entry by_prefix, by_key;
	struct request *request;
	struct prefix6 prefix;
	/* mr's: to where the node went, or to the AMA it is behind; NULL = it is on our link */
	struct locator *forward;
	struct place at;
	uint16_t sequence; /* the node's last, whichever way it came */
	uint64_t since_us;
	uint64_t moved_us; /* when the node last moved without its anchor */
};

/* What an anchor sends through the tunnel between the change of its route and the arrival of its yes is delivered as
 * well: a prefix that a node has asked for. Only one node has: of two who ask for the same, neither gets what comes
 * early. */
struct expectation {
	struct wheel_entry expiry; /* first */
	struct table_entry by_prefix;
	struct prefix6 prefix;
	uint8_t key[32];
	uint16_t sequence;	 /* of the node's request */
	struct locator *forward; /* mr's; NULL = the node is on our link */
	bool contested;
};

struct serving {
	struct serving_env env;
	uint32_t tunnel;
	struct in6_addr through; /* the regional AMA, :: = none */
	unsigned n_through;	 /* visits of nodes behind other AMAs */
	struct table amas, by_cookie, by_sequence, by_prefix, by_key, expected;
	struct wheel requests, visits, expectations;
	uint64_t rate[NODES], ask_rate; /* when the burst is whole again */
	uint64_t distrust_us[NODES];	/* until then nothing is expected for who asked for what it did not get */
	uint64_t swept_us;
	uint32_t cookie;
	uint16_t sequence;
	struct serving_counters counters;
};

#define AMA(e)	       TABLE_OBJECT(e, struct ama, by_address)
#define REQUEST(e)     TABLE_OBJECT(e, struct request, by_cookie)
#define SEQ_REQUEST(e) TABLE_OBJECT(e, struct request, by_sequence)
#define VISIT(e)       TABLE_OBJECT(e, struct visit, by_prefix)
#define KEY_VISIT(e)   TABLE_OBJECT(e, struct visit, by_key)
#define EXPECTATION(e) TABLE_OBJECT(e, struct expectation, by_prefix)

static uint64_t hash_address(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&AMA(e)->address, 16);
}

static uint64_t hash_cookie(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&REQUEST(e)->cookie, 4);
}

static uint64_t hash_sequence(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&SEQ_REQUEST(e)->sequence, 2);
}

static uint64_t hash_prefix(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&VISIT(e)->prefix.addr, 8);
}

static uint64_t hash_key(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(KEY_VISIT(e)->request->key, 32);
}

static uint64_t hash_expected(const void *ctx, const struct table_entry *e)
{
	(void)ctx;
	return table_hash_bytes(&EXPECTATION(e)->prefix.addr, 8);
}

struct serving *serving_new(const struct serving_env *env, uint64_t now_us)
{
	struct serving *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->env = *env;
	table_init(&s->amas, hash_address, NULL);
	table_init(&s->by_cookie, hash_cookie, NULL);
	table_init(&s->by_sequence, hash_sequence, NULL);
	table_init(&s->by_prefix, hash_prefix, NULL);
	table_init(&s->by_key, hash_key, NULL);
	table_init(&s->expected, hash_expected, NULL);
	wheel_start(&s->expectations, now_us);
	wheel_start(&s->requests, now_us);
	wheel_start(&s->visits, now_us);
	s->cookie = (uint32_t)now_us; /* another than before a restart, most likely: what comes late is nobody's */
	return s;
}

void serving_free(struct serving *s)
{
	struct table_entry *e, *tmp;

	if (!s)
		return;
	TABLE_EACH(&s->by_prefix, e, tmp) {
		free(VISIT(e));
	}
	TABLE_EACH(&s->expected, e, tmp) {
		free(EXPECTATION(e));
	}
	TABLE_EACH(&s->by_cookie, e, tmp) {
		free(REQUEST(e)->sealed);
		free(REQUEST(e));
	}
	TABLE_EACH(&s->amas, e, tmp) {
		free(AMA(e));
	}
	table_done(&s->expected);
	table_done(&s->by_prefix);
	table_done(&s->by_key);
	table_done(&s->by_cookie);
	table_done(&s->by_sequence);
	table_done(&s->amas);
	free(s);
}

/* --- looking up ------------------------------------------------------------------------------------------------ */

static struct visit *visit_find(const struct serving *s, const struct prefix6 *prefix)
{
	struct table_entry *e = table_first(&s->by_prefix, table_hash_bytes(&prefix->addr, 8));

	while (e && memcmp(&VISIT(e)->prefix.addr, &prefix->addr, 8) != 0)
		e = e->next;
	return e ? VISIT(e) : NULL;
}

static struct request *request_by_cookie(const struct serving *s, uint32_t cookie)
{
	struct table_entry *e = table_first(&s->by_cookie, table_hash_bytes(&cookie, 4));

	while (e && REQUEST(e)->cookie != cookie)
		e = e->next;
	return e ? REQUEST(e) : NULL;
}

static struct request *request_by_sequence(
	const struct serving *s, const struct channel_peer *anchor, uint16_t sequence)
{
	struct table_entry *e = table_first(&s->by_sequence, table_hash_bytes(&sequence, 2));

	while (e && (SEQ_REQUEST(e)->sequence != sequence || SEQ_REQUEST(e)->anchor->peer != anchor))
		e = e->next;
	return e ? SEQ_REQUEST(e) : NULL;
}

static struct ama *ama_find(const struct serving *s, const struct in6_addr *address)
{
	struct table_entry *e = table_first(&s->amas, table_hash_bytes(address, 16));

	while (e && !IN6_ARE_ADDR_EQUAL(&AMA(e)->address, address))
		e = e->next;
	return e ? AMA(e) : NULL;
}

static void is_same_as(struct ama *a, struct ama *same)
{
	if (a->same)
		a->same->refs--;
	a->same = same;
	if (same)
		same->refs++;
}

static void ama_end(struct serving *s, struct ama *a)
{
	struct table_entry *e, *tmp;
	bool shared = false;

	if (a->known) {
		TABLE_EACH(&s->amas, e, tmp) {
			shared |= AMA(e) != a && AMA(e)->known && AMA(e)->peer == a->peer;
		}
		if (!shared)
			channel_peer_release(a->peer);
	}
	is_same_as(a, NULL);
	table_remove(&s->amas, &a->by_address);
	free(a);
}

/* All places are taken: the one of who was asked or heard longest ago, and has no node here. */
static void make_room(struct serving *s)
{
	struct table_entry *e, *tmp;
	struct ama *oldest = NULL;
	uint64_t oldest_us = UINT64_MAX;

	TABLE_EACH(&s->amas, e, tmp) {
		struct ama *a = AMA(e);
		struct channel_peer_info info = {0};

		if (a->refs > 0 || !IN6_IS_ADDR_UNSPECIFIED(&a->moving_to))
			continue;
		if (a->known)
			channel_peer_info(a->peer, &info);
		if (info.heard_us < a->asked_us)
			info.heard_us = a->asked_us;
		if (info.heard_us >= oldest_us)
			continue;
		oldest = a;
		oldest_us = info.heard_us;
	}
	if (oldest)
		ama_end(s, oldest);
}

static struct ama *ama_get(struct serving *s, const struct in6_addr *address)
{
	struct ama *a = ama_find(s, address);

	if (a)
		return a;
	if (s->amas.n >= s->env.max_amas)
		make_room(s);
	if (s->amas.n >= s->env.max_amas)
		return NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->address = *address;
	if (table_add(&s->amas, &a->by_address) < 0) {
		free(a);
		return NULL;
	}
	return a;
}

static void describe(const struct visit *v, struct serving_visit *ret)
{
	*ret = (struct serving_visit){.prefix = v->prefix,
		.node = v->request->node,
		.anchor_name = v->request->anchor->credential.node,
		.anchor = v->request->anchor->address,
		.self = v->request->self,
		.through = v->at.through,
		.ifindex = v->forward ? 0 : v->at.ifindex,
		.link_local = v->at.link_local,
		.sequence = v->sequence,
		.domain = v->request->via.domain,
		.until_us = v->expiry.at_s * SEC,
		.since_us = v->since_us};
	memcpy(ret->link_layer, v->at.link_layer, sizeof(ret->link_layer));
	if (v->forward)
		ret->care_of = *mr_care_of(v->forward);
}

static void tell(struct serving *s, const char *event, const struct visit *v)
{
	struct serving_visit d;

	if (!s->env.event)
		return;
	describe(v, &d);
	s->env.event(s->env.ctx, event, &d);
}

static void keep(struct serving *s, const struct visit *v)
{
	struct serving_visit d;

	describe(v, &d);
	d.ifindex = v->at.ifindex; /* forwarding is over sooner than a restart */
	if (s->env.keep)
		s->env.keep(s->env.ctx, &d, v->request->key, v->request->node_cookie);
}

/* Is it a visit of the node with this key? */
static bool is_of(const struct visit *v, const uint8_t key[32])
{
	return memcmp(v->request->key, key, 32) == 0;
}

/* --- places ---------------------------------------------------------------------------------------------------- */

static bool is_through(const struct place *p)
{
	return !IN6_IS_ADDR_UNSPECIFIED(&p->through);
}

/* Is the node of this visit there, and what arrives goes there? */
static bool is_there(const struct visit *v, const struct place *p)
{
	if (is_through(p) || is_through(&v->at))
		return IN6_ARE_ADDR_EQUAL(&v->at.through, &p->through);
	return !v->forward && v->at.ifindex == p->ifindex && IN6_ARE_ADDR_EQUAL(&v->at.link_local, &p->link_local) &&
		!memcmp(v->at.link_layer, p->link_layer, sizeof(p->link_layer));
}

/* --- visits ---------------------------------------------------------------------------------------------------- */

static void request_put(struct serving *s, struct request *r)
{
	if (--r->refs > 0)
		return;
	wheel_drop(&s->requests, &r->expiry);
	if (r->waiting)
		DL_DELETE(r->anchor->waiting, r);
	r->anchor->refs--;
	table_remove(&s->by_cookie, &r->by_cookie);
	if (!r->over)
		table_remove(&s->by_sequence, &r->by_sequence);
	free(r->sealed);
	free(r->held);
	free(r);
}

static struct expectation *expectation_find(const struct serving *s, const struct prefix6 *prefix)
{
	struct table_entry *e = table_first(&s->expected, table_hash_bytes(&prefix->addr, 8));

	while (e && memcmp(&EXPECTATION(e)->prefix.addr, &prefix->addr, 8) != 0)
		e = e->next;
	return e ? EXPECTATION(e) : NULL;
}

/* Nothing comes early for it any more: the filter is as its visit says, if there is one. */
static void expect_nothing(struct serving *s, struct expectation *e)
{
	const struct visit *v = visit_find(s, &e->prefix);

	rc_expect_end(s->env.set, &e->prefix);
	rc_stop_forwarding(s->env.set, s->env.mr, &e->forward);
	if (s->env.srccheck && v)
		srccheck_visit(s->env.srccheck, &e->prefix, &v->request->anchor->address, 0);
	else if (s->env.srccheck)
		srccheck_visit_end(s->env.srccheck, &e->prefix);
}

static void expect_end(struct serving *s, struct expectation *e)
{
	if (!e)
		return;
	if (!e->contested)
		expect_nothing(s, e);
	wheel_drop(&s->expectations, &e->expiry);
	table_remove(&s->expected, &e->by_prefix);
	free(e);
}

static uint64_t *distrust_of(struct serving *s, const uint8_t key[32])
{
	return &s->distrust_us[table_hash_bytes(key, 32) % NODES];
}

/* The anchor said no, or nothing: asking again is not a way to get another node's packets. */
static void expected_in_vain(struct serving *s, struct expectation *e, uint64_t now_us)
{
	if (!e->contested)
		*distrust_of(s, e->key) = now_us + DISTRUST_US;
	expect_end(s, e);
}

/* The request goes to its anchor now, which turns its route a moment before we hear of it. */
static void expect(struct serving *s, const struct request *r, const struct prefix6 *prefix, uint64_t now_us)
{
	const struct visit *v = visit_find(s, prefix);
	struct expectation *e = expectation_find(s, prefix);

	if (v &&
		(!is_of(v, r->key) || !IN6_ARE_ADDR_EQUAL(&v->request->anchor->address, &r->anchor->address) ||
			is_there(v, &r->at)))
		return; /* another's, or as it will be */
	if (e && memcmp(e->key, r->key, 32) != 0) {
		if (!e->contested)
			expect_nothing(s, e);
		e->contested = true;
		return;
	}
	if (!e) {
		if (*distrust_of(s, r->key) > now_us || s->expected.n >= EXPECTED)
			return;
		e = calloc(1, sizeof(*e));
		if (!e)
			return;
		e->prefix = *prefix;
		memcpy(e->key, r->key, sizeof(e->key));
		if (table_add(&s->expected, &e->by_prefix) < 0) {
			free(e);
			return;
		}
		wheel_set(&s->expectations, &e->expiry, now_us + EXPECT_US);
	}
	if (e->contested)
		return;
	e->sequence = r->node_sequence;
	if (is_through(&r->at)) {
		if (rc_expect_through(s->env.set, s->env.mr, prefix, &r->at.through, &r->self, s->tunnel, &e->forward) <
			0)
			return;
	} else {
		rc_stop_forwarding(s->env.set, s->env.mr, &e->forward);
		if (rc_expect(s->env.set, prefix, r->at.ifindex, &r->at.link_local) < 0)
			return;
	}
	if (s->env.srccheck)
		srccheck_visit(s->env.srccheck, prefix, &r->anchor->address, RC_EARLY_MARK);
}

/* Only this node sends from the prefix: on our links, or through the tunnel. */
static void check_node(struct serving *s, const struct visit *v, const struct place *was)
{
	struct srccheck *c = s->env.srccheck;

	if (!c)
		return;
	if (is_through(was) && !IN6_ARE_ADDR_EQUAL(&was->through, &v->at.through))
		srccheck_leave(c, &v->prefix, &was->through);
	if (is_through(&v->at)) {
		srccheck_off_link(c, &v->prefix);
		(void)srccheck_set(c, &v->prefix, &v->at.through);
		return;
	}
	if (is_through(was))
		srccheck_delete(c, &v->prefix);
	if (srccheck_on_link(c, &v->prefix, v->at.ifindex, v->at.link_layer) < 0)
		log_warning("lu", "cannot check who sends from %s", prefix6_text(&v->prefix));
}

/* What comes out of the tunnel from nodes behind other AMAs has to find the table of its anchors. */
static void count_through(struct serving *s, bool before, bool now)
{
	s->n_through += (unsigned)now - (unsigned)before;
	if (before != now && s->n_through <= 1)
		rc_want_access(s->env.set, s->env.tunnel_device, s->n_through > 0);
}

/* Packets of this visit go from there and to there now. 0 or -ENOMEM. */
static int visit_place(struct serving *s, struct visit *v, const struct place *at)
{
	struct place was = v->at;
	const struct in6_addr *anchor = &v->request->anchor->address, *self = &v->request->self;

	v->at = *at;
	count_through(s, is_through(&was), is_through(at));
	check_node(s, v, &was);
	if (is_through(&was) && !IN6_ARE_ADDR_EQUAL(&was.through, &at->through) && s->env.tell_left)
		s->env.tell_left(s->env.ctx, &was.through, &v->prefix);
	if (!is_through(at)) {
		rc_stop_forwarding(s->env.set, s->env.mr, &v->forward);
		return rc_visit(s->env.set, &v->prefix, at->ifindex, &at->link_local, anchor, self, s->tunnel);
	}
	if (rc_upstream(s->env.set, &v->prefix, anchor, self, s->tunnel) < 0)
		return -ENOMEM;
	return rc_forward(s->env.set, s->env.mr, &v->prefix, &at->through, self, s->tunnel, &v->forward);
}

static void count_visit(struct serving *s, const struct request *r, int change)
{
	if (s->env.visits)
		s->env.visits(s->env.ctx, r->via.domain, change);
}

static void visit_end(struct serving *s, struct visit *v)
{
	const struct expectation *e = expectation_find(s, &v->prefix);

	tell(s, "visit_ended", v);
	if (s->env.forget)
		s->env.forget(s->env.ctx, &v->prefix);
	rc_leave(s->env.set, s->env.mr, &v->prefix, v->forward);
	if (s->env.srccheck) {
		if (!e || e->contested) /* else it is what has the entry */
			srccheck_visit_end(s->env.srccheck, &v->prefix);
		srccheck_off_link(s->env.srccheck, &v->prefix);
		if (is_through(&v->at)) {
			srccheck_delete(s->env.srccheck, &v->prefix);
			srccheck_leave(s->env.srccheck, &v->prefix, &v->at.through);
		}
		srccheck_leave(s->env.srccheck, &v->prefix, &v->request->anchor->address);
	}
	count_through(s, is_through(&v->at), false);
	wheel_drop(&s->visits, &v->expiry);
	table_remove(&s->by_prefix, &v->by_prefix);
	table_remove(&s->by_key, &v->by_key);
	count_visit(s, v->request, -1);
	request_put(s, v->request);
	free(v);
}

static void doubt(struct serving *s, const struct channel_peer *ama, const struct prefix6 *prefix, const char *why)
{
	if (s->env.doubt)
		s->env.doubt(s->env.ctx, ama, prefix, why);
}

static void count_unmatched(
	struct serving *s, const struct channel_peer *ama, const struct prefix6 *prefix, const char *why)
{
	s->counters.unmatched++;
	doubt(s, ama, prefix, why);
}

/* The anchor said yes: packets of this prefix go to the node's link, and from there to the anchor. */
static void visit_begin(
	struct serving *s, struct request *r, const struct prefix6 *prefix, uint32_t lifetime_s, uint64_t now_us)
{
	struct visit *v = visit_find(s, prefix);
	bool is_new = !v, moved_since = v && is_of(v, r->key) && v->moved_us > r->sent_us;
	struct place at = r->at;

	/* an anchor leases its prefix to another node, but not another anchor's */
	if (v && !is_of(v, r->key) && v->request->anchor != r->anchor && v->request->anchor->peer != r->anchor->peer) {
		count_unmatched(
			s, r->anchor->peer, prefix, "said yes for a prefix that another anchor's node is here with");
		return;
	}
	if (!v) {
		v = s->by_prefix.n < s->env.max_visits ? calloc(1, sizeof(*v)) : NULL;
		if (!v) {
			log_error("lu", "no room for %s of %s: it is not forwarded", prefix6_text(prefix), r->node);
			return;
		}
		v->prefix = *prefix;
		v->since_us = now_us;
		v->request = r;
		if (table_add(&s->by_prefix, &v->by_prefix) < 0) {
			free(v);
			return;
		}
	} else {
		table_remove(&s->by_key, &v->by_key); /* its hash is the request's */
	}
	r->refs++;
	count_visit(s, r, 1);
	if (!is_new) {
		count_visit(s, v->request, -1);
		request_put(s, v->request);
	}
	if (is_new || !is_of(v, r->key) || lm_sequence_ok(v->sequence, r->node_sequence))
		v->sequence = r->node_sequence;
	v->request = r;
	wheel_set(&s->visits, &v->expiry, now_us + lifetime_s * SEC);
	if (table_add(&s->by_key, &v->by_key) < 0) { /* only if it is empty: v was not in it, and is the only visit */
		table_remove(&s->by_prefix, &v->by_prefix);
		wheel_drop(&s->visits, &v->expiry);
		count_visit(s, r, -1);
		request_put(s, r);
		free(v);
		return;
	}
	/* or while its anchor was asked for the first time */
	if (r->sent_us && !is_through(&at) && s->env.attached_since)
		(void)s->env.attached_since(
			s->env.ctx, r->key, r->node_sequence, &at.ifindex, &at.link_local, at.link_layer);
	if (visit_place(s, v, moved_since ? &v->at : &at) < 0) {
		log_error("lu", "no memory for %s of %s: it is not forwarded", prefix6_text(prefix), r->node);
		visit_end(s, v);
		return;
	}
	expect_end(s, expectation_find(s, prefix));
	if (s->env.srccheck)
		srccheck_visit(s->env.srccheck, prefix, &r->anchor->address, 0);
	keep(s, v);
	if (is_new && r->anchor->known) /* not for each that is taken over from an earlier run */
		log_about(LOG_LEVEL_INFO, "lu", r->node, prefix6_text(prefix), r->anchor->credential.node,
			"serving %s of %s, anchored at %s", prefix6_text(prefix), r->node, r->anchor->credential.node);
	tell(s, is_new ? "visit_began" : "visit_refreshed", v);
}

/* The node of this visit is there now, and its anchor does not hear of it. */
static void visit_follow(struct serving *s, struct visit *v, const struct place *at, uint64_t now_us)
{
	v->moved_us = now_us;
	expect_end(s, expectation_find(s, &v->prefix));
	if (visit_place(s, v, at) < 0)
		log_error("lu", "no memory to follow %s with %s", v->request->node, prefix6_text(&v->prefix));
	keep(s, v);
	tell(s, "visit_moved", v);
}

void serving_set_through(struct serving *s, const struct in6_addr *regional)
{
	s->through = *regional;
}

/* An AMA is believed about what its credential covers; the regional one has the anchor's word. */
static bool is_believed(const struct serving *s, const struct ama *a, const struct prefix6 *prefix)
{
	return (credential_covers(&a->credential, prefix) &&
		       (!s->env.believes || s->env.believes(s->env.ctx, &a->credential, prefix))) ||
		(!IN6_IS_ADDR_UNSPECIFIED(&s->through) && IN6_ARE_ADDR_EQUAL(&a->address, &s->through));
}

void serving_attached(struct serving *s, const uint8_t key[32], uint16_t sequence, uint32_t ifindex,
	const struct in6_addr *link_local, const uint8_t link_layer[6], uint64_t now_us)
{
	struct table_entry *e = table_first(&s->by_key, table_hash_bytes(key, 32));
	struct place at = {.ifindex = ifindex, .link_local = *link_local};

	memcpy(at.link_layer, link_layer, sizeof(at.link_layer));
	for (; e; e = e->next) {
		struct visit *v = KEY_VISIT(e);

		if (!is_of(v, key))
			continue;
		v->sequence = sequence;
		if (!is_there(v, &at))
			visit_follow(s, v, &at, now_us);
	}
}

uint16_t serving_sequence(const struct serving *s, const uint8_t key[32], const struct prefix6 *prefix)
{
	const struct expectation *e = expectation_find(s, prefix);
	const struct visit *v = visit_find(s, prefix);

	if (e && memcmp(e->key, key, 32) == 0) /* it is the newer one */
		return e->sequence;
	return v && is_of(v, key) ? v->sequence : 0;
}

/* Is a number that came through another AMA one of before? */
static bool is_old(struct serving *s, const uint8_t key[32], const struct prefix6 *prefix, uint16_t sequence)
{
	const struct expectation *e = expectation_find(s, prefix);
	const struct visit *v = visit_find(s, prefix);
	bool is_known = (e && memcmp(e->key, key, 32) == 0) || (v && is_of(v, key)),
	     r = is_known && !lm_sequence_ok(serving_sequence(s, key, prefix), sequence);

	s->counters.old += r;
	return r;
}

uint8_t serving_moved(struct serving *s, const uint8_t key[32], const struct prefix6 *prefix,
	const struct in6_addr *through, uint16_t sequence, uint64_t now_us, uint32_t *ret_lifetime_s)
{
	struct visit *v = visit_find(s, prefix);
	struct place at = {.through = *through};

	/* the AMA that we reach it from cannot be behind us */
	if (!v || !is_of(v, key) || v->expiry.at_s * SEC <= now_us ||
		IN6_ARE_ADDR_EQUAL(through, &v->request->anchor->address))
		return MH_STATUS_NOT_HOME_AGENT;
	if (is_old(s, key, prefix, sequence))
		return MH_STATUS_SEQUENCE;
	v->sequence = sequence;
	if (is_there(v, &at))
		keep(s, v);
	else
		visit_follow(s, v, &at, now_us);
	*ret_lifetime_s = (uint32_t)(v->expiry.at_s - now_us / SEC);
	return MH_STATUS_OK;
}

bool serving_forward(struct serving *s, const uint8_t key[32], uint16_t sequence, const struct prefix6 *prefix,
	const struct in6_addr *care_of, const struct in6_addr *self, uint64_t now_us)
{
	struct visit *v = visit_find(s, prefix);
	bool again = v && v->forward;

	if (!v || !is_of(v, key) || is_through(&v->at))
		return false;
	if (!lm_sequence_ok(v->sequence, sequence)) { /* it has come back since it said so */
		s->counters.old++;
		return false;
	}
	v->sequence = sequence;
	expect_end(s, expectation_find(s, prefix));
	if (rc_forward(s->env.set, s->env.mr, prefix, care_of, self, s->tunnel, &v->forward) < 0)
		return false;
	if (!again) { /* what is on its way is here in that time; nobody is forwarded for good */
		wheel_set(&s->visits, &v->expiry, now_us + SERVING_FORWARD_S * SEC);
		keep(s, v);
	}
	tell(s, "visit_forwarded", v);
	return true;
}

int serving_revoked(struct serving *s, struct channel_peer *anchor, const struct prefix6 *prefix, uint64_t now_us)
{
	struct visit *v = visit_find(s, prefix);
	uint64_t end_us = now_us + SERVING_FORWARD_S * SEC;

	if (v && !v->request->anchor->known) /* we have just been started, and ask who it is */
		return -EAGAIN;
	if (!v || v->request->anchor->peer != anchor || !is_believed(s, v->request->anchor, prefix))
		return -ENOENT;
	if (v->expiry.at_s * SEC <= end_us) /* it ends already */
		return 0;
	wheel_set(&s->visits, &v->expiry, end_us);
	keep(s, v);
	if (is_through(&v->at) && s->env.tell_left)
		s->env.tell_left(s->env.ctx, &v->at.through, prefix);
	return 0;
}

bool serving_is_behind(const struct serving *s, const struct prefix6 *prefix, const struct in6_addr *ama)
{
	const struct visit *v = visit_find(s, prefix);

	return v && is_through(&v->at) && IN6_ARE_ADDR_EQUAL(&v->at.through, ama);
}

static void ask_again(struct serving *s, struct ama *a, uint64_t now_us)
{
	struct channel_endpoint ep = {.remote = a->address, .local = a->self, .port = s->env.port};

	a->asked_us = now_us;
	channel_discover(s->env.channel, &ep, now_us);
}

/* It speaks to us in a session that is gone: begin another. */
static void reacquaint(struct serving *s, struct ama *a, const struct in6_addr *self, uint64_t now_us)
{
	if (!a || a->restored)
		return;
	a->restored = true;
	a->self = *self;
	ask_again(s, a, now_us);
}

int serving_restore(
	struct serving *s, const struct serving_visit *d, const uint8_t key[32], uint32_t node_cookie, uint64_t now_us)
{
	struct request *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->anchor = ama_get(s, &d->anchor);
	if (r->anchor)
		r->anchor->refs++;
	r->refs = 1;
	r->over = r->answered = true; /* long ago */
	r->cookie = ++s->cookie;
	r->node_cookie = node_cookie;
	r->node_sequence = d->sequence;
	r->via.domain = d->domain;
	memcpy(r->key, key, sizeof(r->key));
	(void)snprintf(r->node, sizeof(r->node), "%s", d->node);
	r->at = (struct place){.ifindex = d->ifindex, .link_local = d->link_local, .through = d->through};
	memcpy(r->at.link_layer, d->link_layer, sizeof(r->at.link_layer));
	r->self = d->self;
	reacquaint(s, r->anchor, &d->self, now_us);
	if (is_through(&r->at))
		reacquaint(s, ama_get(s, &d->through), &d->self, now_us);
	if (!r->anchor || table_add(&s->by_cookie, &r->by_cookie) < 0) {
		if (r->anchor)
			r->anchor->refs--;
		free(r);
		return -ENOMEM;
	}
	visit_begin(s, r, &d->prefix, (uint32_t)((d->until_us - now_us + SEC - 1) / SEC), now_us);
	request_put(s, r);
	return 0;
}

void serving_set_tunnel(struct serving *s, uint32_t tunnel)
{
	struct table_entry *e, *tmp;

	s->tunnel = tunnel;
	TABLE_EACH(&s->by_prefix, e, tmp) {
		struct visit *v = VISIT(e);

		if (v->forward)
			rc_retunnel(s->env.set, v->forward, tunnel);
		if (is_through(&v->at))
			(void)rc_upstream(
				s->env.set, &v->prefix, &v->request->anchor->address, &v->request->self, tunnel);
		else if (!v->forward)
			(void)rc_visit(s->env.set, &v->prefix, v->at.ifindex, &v->at.link_local,
				&v->request->anchor->address, &v->request->self, tunnel);
	}
}

/* --- requests -------------------------------------------------------------------------------------------------- */

static void fault(struct ama *a, const char *text)
{
	a->refused++;
	(void)snprintf(a->last_error, sizeof(a->last_error), "%s", text);
}

/* Proxy Binding Update (RFC 5213 8.1), with the node's own update inside. */
static void pass_on(struct serving *s, struct request *r, uint64_t now_us)
{
	struct channel_endpoint ep = {.remote = r->anchor->address, .local = r->self, .port = s->env.port};
	struct mh_bu head = {
		.sequence = r->sequence, .flags = MH_BU_A | MH_BU_H | MH_BU_P, .lifetime_s = r->lifetime_s};
	struct channel_peer_info info = {0};
	unsigned flags = 0;
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_bu(&w, &head);

	mh_put_nai(&m, r->node);
	mh_put_bytes(&m, MHOPT_HANDOFF, (uint8_t[]){0, HANDOFF_OTHER}, 2);
	mh_put_bytes(&m, MHOPT_ACCESS_TECH, (uint8_t[]){0, ACCESS_OTHER}, 2);
	for (unsigned i = 0; i < r->n_prefixes; i++)
		mh_put_prefix(&m, MHOPT_HNP, &r->prefix[i]);
	if (!is_through(&r->at))
		mh_put_address(&m, MHOPT_LINK_LOCAL, &r->at.link_local);
	mh_put_sealed(&m, r->cookie, r->sealed, r->len);
	mh_end(&m);
	channel_peer_set_endpoint(r->anchor->peer, &ep);
	channel_peer_info(r->anchor->peer, &info);
	if (info.heard_us + SERVING_IDLE_US < now_us) /* with the update inside a handshake costs no time */
		flags = CHANNEL_FORCE_HANDSHAKE;
	if (!wcur_ok(&w) || channel_send_flags(s->env.channel, r->anchor->peer, buf, wcur_len(&w), flags) < 0) {
		fault(r->anchor, "an update could not be sent");
		return;
	}
	for (unsigned i = 0; r->lifetime_s > 0 && i < r->n_prefixes; i++)
		expect(s, r, &r->prefix[i], now_us);
	free(r->sealed);
	r->sealed = NULL;
	r->sent_us = now_us;
	r->anchor->sent++;
	if (!r->anchor->unheard_us)
		r->anchor->unheard_us = now_us;
	s->counters.passed++;
}

static void answer_node(struct serving *s, const struct request *r, uint8_t status)
{
	struct channel_peer *peer = channel_find_peer(s->env.channel, r->key);
	struct mh_ba ba = {.status = status, .flags = MH_BA_P};
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_ba(&w, &ba);

	mh_put_prefix(&m, MHOPT_HNP, &r->prefix[0]);
	mh_end(&m);
	s->counters.refused++;
	if (peer && wcur_ok(&w))
		(void)channel_send(s->env.channel, peer, buf, wcur_len(&w));
	if (r->via.relay)
		s->env.answer_via(s->env.ctx, &r->via, status, 0, &r->prefix[0]);
}

/* It can be answered no more: what an anchor still says about it is nobody's. */
static void give_up(struct serving *s, struct request *r)
{
	r->over = true;
	table_remove(&s->by_sequence, &r->by_sequence);
	request_put(s, r);
}

/* A token bucket in one number (as in channel.c): n of the burst are taken, or it is too much. */
static bool rate_ok(uint64_t *whole_us, uint64_t each_us, unsigned burst, unsigned n, uint64_t now_us)
{
	if (*whole_us < now_us)
		*whole_us = now_us;
	if (*whole_us - now_us + n * each_us > burst * each_us)
		return false;
	*whole_us += n * each_us;
	return true;
}

/* Are the visits that this request would begin too many, of the node or in all? */
static bool has_room(const struct serving *s, const struct request *r)
{
	const struct table_entry *e = table_first(&s->by_key, table_hash_bytes(r->key, 32));
	unsigned more = 0, n = 0;

	for (unsigned i = 0; i < r->n_prefixes; i++)
		more += !visit_find(s, &r->prefix[i]);
	for (; e; e = e->next)
		n += !memcmp(KEY_VISIT(e)->request->key, r->key, 32);
	if (more == 0)
		return true;
	return n + more <= NODE_VISITS && s->by_prefix.n + more <= s->env.max_visits &&
		(!s->env.room || s->env.room(s->env.ctx, r->via.domain, r->node, more));
}

/* Ask who is at the anchor's address, for this request. It is an address of the node's choice. */
static bool discover(struct serving *s, struct ama *a, const struct in6_addr *self, uint64_t *rate, uint64_t now_us)
{
	struct channel_endpoint ep = {.remote = a->address, .local = *self, .port = s->env.port};

	if (a->asked_us && now_us - a->asked_us < DISCOVER_US)
		return true;
	if (!rate_ok(rate, NODE_EACH_US, NODE_BURST, DISCOVERY, now_us) ||
		!rate_ok(&s->ask_rate, ASK_EACH_US, ASK_BURST, 1, now_us))
		return false;
	a->asked_us = now_us;
	channel_discover(s->env.channel, &ep, now_us);
	return true;
}

/* It may have a newer one. */
static bool is_valid(const struct serving *s, const struct ama *a)
{
	return a->credential.until_s >= channel_wall_s(s->env.channel);
}

static bool is_covered(const struct serving *s, const struct request *r)
{
	for (unsigned i = 0; i < r->n_prefixes; i++)
		if (!is_believed(s, r->anchor, &r->prefix[i]))
			return false;
	return true;
}

/* Does its domain want to hear from us? */
static bool may_ask(const struct serving *s, const struct request *r)
{
	return !s->env.may_ask || s->env.may_ask(s->env.ctx, &r->anchor->credential);
}

static void count_not_covered(struct serving *s, const struct request *r)
{
	s->counters.not_covered++;
	fault(r->anchor, "named as anchor of a prefix that its credential does not cover");
	doubt(s, r->anchor->peer, &r->prefix[0], r->anchor->last_error);
}

static bool is_silent(const struct ama *a, uint64_t now_us)
{
	return a->unheard_us && now_us - a->unheard_us >= SILENT_US;
}

/* Nodes name whom they like: who never answered does not stay. */
static void forget(struct serving *s, struct ama *a, uint64_t now_us)
{
	if (a->refs > 0 || a->known || (a->asked_us && now_us - a->asked_us < FORGET_US))
		return;
	ama_end(s, a);
}

/* From now on an earlier request of the node is an old one, whatever its anchor says to this. */
static void note_sequence(struct serving *s, const struct request *r)
{
	for (unsigned i = 0; i < r->n_prefixes; i++) {
		struct visit *v = visit_find(s, &r->prefix[i]);

		if (v && is_of(v, r->key) && lm_sequence_ok(v->sequence, r->node_sequence))
			v->sequence = r->node_sequence;
	}
}

uint8_t serving_request(struct serving *s, struct channel_peer *node, const struct channel_rx *rx,
	const struct serving_via *via, const struct mh_msg *msg, uint64_t now_us)
{
	uint8_t sealed[SEALED_MAX];
	struct place at = {0};
	struct in6_addr anchor;
	uint32_t cookie = 0;
	size_t len = dmmopt_sealed(msg, &cookie, sealed, sizeof(sealed));
	uint64_t *rate = &s->rate[table_hash_bytes(channel_peer_key(node), 32) % NODES];
	struct request *r;
	bool covered;

	s->counters.requests++;
	if (!rate_ok(rate, NODE_EACH_US, NODE_BURST, 1, now_us) || s->requests.n >= REQUESTS) {
		s->counters.limited++;
		return MH_STATUS_RESOURCES;
	}
	if (via->relay) {
		at.through = via->address;
	} else {
		at.ifindex = rx->ep.ifindex;
		(void)mhopt_address(mh_find(msg, MHOPT_LINK_LOCAL, NULL), &at.link_local);
		(void)mhopt_link_layer(mh_find(msg, MHOPT_LL_ID, NULL), at.link_layer);
	}
	if (len == 0 || !dmmopt_anchor(msg, &anchor) || !in6_is_global(&anchor) || !mh_find(msg, MHOPT_HNP, NULL) ||
		(!via->relay && !IN6_IS_ADDR_LINKLOCAL(&at.link_local))) {
		s->counters.refused++;
		return MH_STATUS_UNSPECIFIED;
	}
	/* a loop: the anchor is reached directly, or is where it came from */
	if (IN6_ARE_ADDR_EQUAL(&anchor, &rx->ep.local) || IN6_ARE_ADDR_EQUAL(&anchor, &at.through)) {
		s->counters.refused++;
		return MH_STATUS_PROHIBITED;
	}
	r = calloc(1, sizeof(*r));
	if (!r)
		return MH_STATUS_RESOURCES;
	r->sealed = malloc(len);
	for (const struct mh_option *o = NULL; (o = mh_find(msg, MHOPT_HNP, o));) {
		const struct prefix6 *p = &r->prefix[r->n_prefixes];
		uint8_t status = MH_STATUS_OK;

		if (r->n_prefixes == PREFIXES || !mhopt_prefix(o, &r->prefix[r->n_prefixes]) || p->len != 64)
			status = MH_STATUS_UNSPECIFIED;
		else if (via->relay && is_old(s, channel_peer_key(node), p, msg->bu.sequence))
			status = MH_STATUS_SEQUENCE;
		if (status) {
			free(r->sealed);
			free(r);
			s->counters.refused++;
			return status;
		}
		r->n_prefixes++;
	}
	memcpy(r->key, channel_peer_key(node), sizeof(r->key));
	(void)snprintf(r->node, sizeof(r->node), "%s", channel_peer_name(node));
	r->via = *via;
	r->anchor = r->sealed && has_room(s, r) ? ama_get(s, &anchor) : NULL;
	if (r->anchor && r->anchor->same && is_silent(r->anchor->same, now_us))
		is_same_as(r->anchor, NULL);
	if (r->anchor && r->anchor->same)
		r->anchor = r->anchor->same;
	r->refs = 1;
	r->cookie = ++s->cookie;
	r->sequence = ++s->sequence;
	r->node_cookie = cookie;
	r->node_sequence = msg->bu.sequence;
	r->at = at;
	r->self = rx->ep.local;
	r->lifetime_s = msg->bu.lifetime_s;
	r->len = len;
	if (!r->anchor || table_add(&s->by_cookie, &r->by_cookie) < 0) {
		free(r->sealed);
		free(r);
		s->counters.limited++;
		return MH_STATUS_RESOURCES;
	}
	r->anchor->refs++;
	memcpy(r->sealed, sealed, len);
	note_sequence(s, r);
	if (table_add(&s->by_sequence, &r->by_sequence) < 0) {
		r->over = true;
		request_put(s, r);
		return MH_STATUS_RESOURCES;
	}
	wheel_set(&s->requests, &r->expiry, now_us + REQUEST_US);
	covered = r->anchor->known && is_valid(s, r->anchor) && is_covered(s, r);
	if (covered && !may_ask(s, r)) {
		give_up(s, r);
		s->counters.refused++;
		return MH_STATUS_PROHIBITED;
	}
	if (covered) {
		if (is_silent(r->anchor, now_us))
			(void)discover(s, r->anchor, &r->self, rate, now_us); /* it may have another key now */
		pass_on(s, r, now_us);
		return 0;
	}
	if (r->anchor->known && now_us - r->anchor->known_us < RENEWED_US) {
		count_not_covered(s, r);
		give_up(s, r);
		s->counters.refused++;
		return MH_STATUS_NOT_AUTHORISED_HNP;
	}
	if (!discover(s, r->anchor, &r->self, rate, now_us)) {
		struct ama *a = r->anchor;

		give_up(s, r);
		forget(s, a, now_us);
		s->counters.limited++;
		return MH_STATUS_RESOURCES;
	}
	r->waiting = true;
	DL_APPEND(r->anchor->waiting, r);
	return 0;
}

/* A heartbeat, for the session that it makes. */
static void greet(struct serving *s, const struct ama *a)
{
	struct channel_endpoint ep = {.remote = a->address, .local = a->self, .port = s->env.port};
	struct mh_heartbeat hb = {.sequence = 1};
	uint8_t buf[32];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_heartbeat(&w, &hb);

	mh_end(&m);
	channel_peer_set_endpoint(a->peer, &ep);
	(void)channel_send(s->env.channel, a->peer, buf, wcur_len(&w));
}

/* Another address where an AMA with this key is. */
static struct ama *with_key(const struct serving *s, const struct ama *except, const struct credential *cred)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&s->amas, e, tmp) {
		if (AMA(e) != except && AMA(e)->known && !memcmp(AMA(e)->credential.key, cred->key, sizeof(cred->key)))
			return AMA(e);
	}
	return NULL;
}

/* A credential can be shown by anybody who has seen it. So an AMA has one address at a time at which we speak to it,
 * and another one only when it is silent there: what is asked of it by its other addresses goes there, too. */
void serving_discovered(struct serving *s, const struct in6_addr *from, const struct credential *cred, uint64_t now_us)
{
	struct ama *a = ama_find(s, from), *to;
	struct channel_peer *peer;
	struct request *r;
	bool another;
	int error;

	if (!a || cred->role != CREDENTIAL_AMA)
		return;
	another = a->known && memcmp(a->credential.key, cred->key, sizeof(cred->key)) != 0;
	to = a->known && !another ? a : with_key(s, a, cred);
	if (!to || is_silent(to, now_us))
		to = a;
	/* the address is another's now, or somebody's trick: who we know and answers stays */
	if (another && (to != a || !is_silent(a, now_us)))
		return;
	if (to != a) {
		is_same_as(a, to);
		error = 0;
	} else {
		if (another)
			log_notice("lu", "%s at %s has another key: it is %s now", a->credential.node, in6_text(from),
				cred->node);
		error = channel_peer_add(s->env.channel, cred, &peer);
	}
	if (error == 0 && to == a) {
		a->peer = peer;
		a->credential = *cred;
		a->known_us = now_us;
		if (a->restored && !a->known)
			greet(s, a);
		a->known = true;
		a->unheard_us = 0;
	}
	while ((r = a->waiting)) {
		bool covered;

		DL_DELETE(a->waiting, r);
		r->waiting = false;
		a->refs--;
		r->anchor = to;
		to->refs++;
		covered = error == 0 && is_covered(s, r);
		if (covered && may_ask(s, r)) {
			pass_on(s, r, now_us);
			continue;
		}
		if (error == 0 && !covered)
			count_not_covered(s, r);
		answer_node(s, r,
			covered		     ? MH_STATUS_PROHIBITED
				: error == 0 ? MH_STATUS_NOT_AUTHORISED_HNP
				: error == -EINVAL || error == -EEXIST
				? MH_STATUS_PROHIBITED /* it is us: a loop; or a trick */
				: MH_STATUS_RESOURCES);
		give_up(s, r);
	}
}

/* --- we are at another address ----------------------------------------------------------------------------------- */

static void tell_relocation(struct serving *s, struct ama *a, uint64_t now_us)
{
	struct channel_endpoint ep = {.remote = a->address, .local = a->moving_to, .port = s->env.port};
	struct mh_bu head = {.sequence = a->moving_sequence, .flags = MH_BU_A | MH_BU_H | MH_BU_P, .lifetime_s = 4};
	struct channel_peer_info info = {0};
	uint8_t buf[96];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_bu(&w, &head);

	mh_put_former(&m, &a->moving_from);
	mh_end(&m);
	channel_peer_set_endpoint(a->peer, &ep);
	channel_peer_info(a->peer, &info);
	a->moving_us = now_us;
	a->moving_tries++;
	if (wcur_ok(&w))
		(void)channel_send_flags(s->env.channel, a->peer, buf, wcur_len(&w),
			a->moving_tries > 1 || info.heard_us + SERVING_IDLE_US < now_us ? CHANNEL_FORCE_HANDSHAKE : 0);
}

int serving_relocate(struct serving *s, const struct in6_addr *from, const struct in6_addr *to, uint64_t now_us,
	unsigned *ret_visits)
{
	struct table_entry *e, *tmp;
	unsigned visits = 0;
	int told = 0;

	if (s->n_through > 0)
		return -EBUSY;
	TABLE_EACH(&s->by_prefix, e, tmp) {
		struct request *r = VISIT(e)->request;

		if (!IN6_ARE_ADDR_EQUAL(&r->self, from) || !r->anchor->known)
			continue;
		visits++;
		if (IN6_ARE_ADDR_EQUAL(&r->anchor->moving_from, from) && IN6_ARE_ADDR_EQUAL(&r->anchor->moving_to, to))
			continue;
		r->anchor->moving_from = *from;
		r->anchor->moving_to = *to;
		r->anchor->moving_sequence = ++s->sequence;
		r->anchor->moving_tries = 0;
		tell_relocation(s, r->anchor, now_us);
		told++;
	}
	*ret_visits = visits;
	return told;
}

/* The anchor sends to the new address: what goes to it comes from there as well. */
static void relocated(struct serving *s, struct ama *a)
{
	struct table_entry *e, *tmp;
	unsigned n = 0;

	TABLE_EACH(&s->by_prefix, e, tmp) {
		struct visit *v = VISIT(e);

		if (v->request->anchor != a || is_through(&v->at))
			continue;
		if (!IN6_ARE_ADDR_EQUAL(&v->request->self, &a->moving_to) &&
			!IN6_ARE_ADDR_EQUAL(&v->request->self, &a->moving_from))
			continue;
		v->request->self = a->moving_to; /* visits may share it */
		n++;
		(void)rc_upstream(s->env.set, &v->prefix, &a->address, &a->moving_to, s->tunnel);
		keep(s, v);
	}
	a->moving_to = in6addr_any;
	if (s->env.relocated)
		s->env.relocated(s->env.ctx, a->credential.node, n);
}

static void acknowledged_relocation(struct serving *s, struct channel_peer *anchor, uint16_t sequence, uint8_t status)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&s->amas, e, tmp) {
		struct ama *a = AMA(e);

		if (!a->known || a->peer != anchor || IN6_IS_ADDR_UNSPECIFIED(&a->moving_to) ||
			a->moving_sequence != sequence)
			continue;
		if (status < 128) {
			relocated(s, a);
		} else {
			fault(a, "does not take our new address");
			a->moving_to = in6addr_any;
		}
		return;
	}
	count_unmatched(s, anchor, NULL, "answered that we have moved, which it was not told");
}

static void relocation_due(struct serving *s, struct ama *a, uint64_t now_us)
{
	if (IN6_IS_ADDR_UNSPECIFIED(&a->moving_to) || now_us - a->moving_us < RELOCATE_US)
		return;
	if (a->moving_tries < RELOCATE_MOST) {
		tell_relocation(s, a, now_us);
		return;
	}
	a->moving_to = in6addr_any;
	fault(a, "does not answer that we have another address");
	log_warning("lu", "%s does not answer that we are no longer at %s: its nodes here have to tell it themselves",
		a->credential.node, in6_text(&a->moving_from));
}

static void relay_to_node(struct serving *s, const struct request *r, const uint8_t *sealed, size_t len)
{
	struct channel_peer *peer = channel_find_peer(s->env.channel, r->key);
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_relay(&w);

	mh_put_sealed(&m, r->node_cookie, sealed, len);
	mh_end(&m);
	if (peer && wcur_ok(&w))
		(void)channel_send(s->env.channel, peer, buf, wcur_len(&w));
}

/* What the node is told by its anchor is true here, too: it waits until the anchor has told us, in a datagram that can
 * get lost while the other does not. */
static void answered(struct serving *s, struct request *r)
{
	r->answered = true;
	if (!r->held)
		return;
	relay_to_node(s, r, r->held, r->held_len);
	free(r->held);
	r->held = NULL;
}

void serving_relay(struct serving *s, struct channel_peer *anchor, const struct mh_msg *msg)
{
	uint8_t sealed[SEALED_MAX];
	uint32_t cookie = 0;
	size_t len = dmmopt_sealed(msg, &cookie, sealed, sizeof(sealed));
	struct request *r = len ? request_by_cookie(s, cookie) : NULL;

	if (!r || r->anchor->peer != anchor || !channel_find_peer(s->env.channel, r->key)) {
		count_unmatched(s, anchor, NULL, "sent something for a node that did not ask it");
		return;
	}
	r->anchor->unheard_us = 0;
	if (r->answered) {
		relay_to_node(s, r, sealed, len);
		return;
	}
	free(r->held);
	r->held = malloc(len);
	r->held_len = len;
	if (r->held)
		memcpy(r->held, sealed, len);
}

void serving_ack(struct serving *s, struct channel_peer *anchor, const struct mh_msg *msg, uint64_t now_us)
{
	struct request *r = request_by_sequence(s, anchor, msg->ba.sequence);
	struct expectation *e;
	struct prefix6 prefix;
	struct in6_addr former;
	struct visit *v;
	bool asked = false;

	if (dmmopt_former(msg, &former)) {
		acknowledged_relocation(s, anchor, msg->ba.sequence, msg->ba.status);
		return;
	}
	if (!mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix)) {
		count_unmatched(s, anchor, NULL, "answered without a prefix");
		return;
	}
	if (!r) {
		count_unmatched(s, anchor, &prefix, "answered what it was not asked");
		return;
	}
	for (unsigned i = 0; i < r->n_prefixes; i++)
		asked |= prefix6_equal(&r->prefix[i], &prefix);
	if (!asked || !r->sent_us || !is_believed(s, r->anchor, &prefix)) {
		count_unmatched(s, anchor, &prefix,
			asked ? "answered about a prefix that its credential does not cover"
			      : "answered about another prefix than it was asked");
		return;
	}
	r->anchor->rtt_us = now_us - r->sent_us;
	r->anchor->unheard_us = 0;
	if (msg->ba.status >= 128) {
		char text[96];

		(void)snprintf(text, sizeof(text), "refused %s: %u (%s)", prefix6_text(&prefix), msg->ba.status,
			mh_status_name(msg->ba.status));
		fault(r->anchor, text);
		e = expectation_find(s, &prefix);
		if (e && memcmp(e->key, r->key, sizeof(e->key)) == 0)
			expected_in_vain(s, e, now_us);
		if (msg->ba.status == MH_STATUS_NO_PROXIES || msg->ba.status == MH_STATUS_NOT_AUTHORISED_MAG)
			/* the anchor did not read the node's update: there is no sealed answer */
			answer_node(s, r, msg->ba.status);
		else if (r->via.relay)
			s->env.answer_via(s->env.ctx, &r->via, msg->ba.status, 0, &prefix);
		answered(s, r);
		return;
	}
	r->anchor->accepted++;
	s->counters.accepted++;
	v = visit_find(s, &prefix);
	if (msg->ba.lifetime_s > 0)
		visit_begin(s, r, &prefix, msg->ba.lifetime_s, now_us);
	else if (v && is_of(v, r->key))
		visit_end(s, v);
	if (r->via.relay)
		s->env.answer_via(s->env.ctx, &r->via, msg->ba.status, msg->ba.lifetime_s, &prefix);
	answered(s, r);
}

void serving_tick(struct serving *s, uint64_t now_us)
{
	struct table_entry *e, *tmp;
	struct expectation *x;
	struct visit *v;
	struct request *r;

	TABLE_EACH(&s->amas, e, tmp) {
		struct ama *a = AMA(e);

		relocation_due(s, a, now_us);
		if (a->restored && !a->known && a->refs > 0 && now_us - a->asked_us >= REACQUAINT_US)
			ask_again(s, a, now_us);
	}
	while ((x = (struct expectation *)(void *)wheel_due(&s->expectations, now_us)))
		expected_in_vain(s, x, now_us);
	while ((v = (struct visit *)(void *)wheel_due(&s->visits, now_us)))
		visit_end(s, v);
	while ((r = (struct request *)(void *)wheel_due(&s->requests, now_us)))
		give_up(s, r);
	if (now_us - s->swept_us < FORGET_US)
		return;
	s->swept_us = now_us;
	TABLE_EACH(&s->amas, e, tmp) {
		forget(s, AMA(e), now_us);
	}
}

/* --- for people ------------------------------------------------------------------------------------------------ */

const struct serving_counters *serving_counters(const struct serving *s)
{
	return &s->counters;
}

size_t serving_count(const struct serving *s)
{
	return s->by_prefix.n;
}

size_t serving_amas(const struct serving *s)
{
	return s->amas.n;
}

void serving_each(struct serving *s, void (*cb)(void *ctx, const struct serving_visit *v), void *ctx)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&s->by_prefix, e, tmp) {
		struct serving_visit d;

		describe(VISIT(e), &d);
		cb(ctx, &d);
	}
}

void serving_each_peer(struct serving *s, void (*cb)(void *ctx, const struct serving_peer *p), void *ctx)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&s->amas, e, tmp) {
		const struct ama *a = AMA(e);
		struct serving_peer p = {.address = a->address,
			.rtt_us = a->rtt_us,
			.sent = a->sent,
			.accepted = a->accepted,
			.refused = a->refused,
			.last_error = a->last_error[0] ? a->last_error : NULL};

		if (a->known) {
			p.peer = a->peer;
			p.name = a->credential.node;
			p.domain = a->credential.domain;
		}
		cb(ctx, &p);
	}
}
