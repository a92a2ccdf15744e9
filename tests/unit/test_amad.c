/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_amad.c - Binding Updates at the anchor, each through a real channel into the real store, with a scripted kernel
 *
 * Includes amad.c and its rooms: a turn of the loop is made by hand, and time stands still between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <sys/resource.h>

#define loop_now_us test_now_us
#include "amad/amad.c"
#include "amad/peers.c"
#include "amad/updates.c"

#define SELF "2001:db8:f::1"
#define HERE "2001:db8:a::11" /* care-of addresses of the first node on the link, and away */
#define AWAY "2001:db8:b::11"
#define LAN  1 /* that of lo: a name that is kept leads to it again */

/* --- the world: an anchor, nodes, a kernel ----------------------------------------------------------------------- */

static uint64_t now_us = 1000 * SEC;

uint64_t test_now_us(const struct loop *l)
{
	(void)l;
	return now_us;
}

struct node {
	struct identity id;
	struct channel *channel;
	struct channel_peer *peer;
	struct in6_addr at; /* its address */
	uint16_t sequence;
	struct mh_ba ba; /* last acknowledgement */
	struct prefix6 prefix;
	struct dmmopt_lease lease;
	bool has_lease;
	unsigned n_ba, n_heartbeat, n_revoked;
	uint16_t asked; /* as an AMA: sequence number of the last PBU */
	uint16_t left;	/* ... and of the last word that a node has left it */
	uint32_t ping;	/* and of the last heartbeat */
	unsigned n_moved;
	struct in6_addr former; /* of the answer to its move */
	size_t probe_len;
	size_t sealed_len; /* what it sent to go through an AMA; as an AMA, what it got to hand on */
	uint32_t cookie;
	uint8_t sealed[1000];
};

static struct amad *a;
static struct node nodes[3];
static struct domain_key domain;
static char dir[64];

static struct {
	struct {
		enum fwd_op op;
		struct fwd_object o;
	} change[256];
	unsigned n;
	enum fwd_kind refuse; /* changes of this kind ... */
	int error;	      /* ... with this */
} kernel;

static struct in6_addr address(const char *text)
{
	struct in6_addr x;

	assert_int_equal(inet_pton(AF_INET6, text, &x), 1);
	return x;
}

static struct prefix6 prefix(const char *text)
{
	struct prefix6 p;

	assert_int_equal(prefix6_parse(text, &p), 0);
	return p;
}

static void node_recv(void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len)
{
	struct node *n = ctx;
	struct rcur c = rcur_make(mh, len);

	(void)peer;
	(void)rx;
	while (rcur_left(&c) > 0) {
		struct mh_msg m;
		enum mh_why why;

		assert_int_equal(mh_read(&c, &m, &why), 0);
		if (m.type == MH_HEARTBEAT) {
			n->n_heartbeat++;
			assert_true(n->id.role == CREDENTIAL_AMA || (m.heartbeat.flags & MH_HEARTBEAT_R));
			n->ping = m.heartbeat.sequence;
			continue;
		}
		if (mh_is_relay(&m)) {
			n->sealed_len = dmmopt_sealed(&m, &n->cookie, n->sealed, sizeof(n->sealed));
			assert_true(n->sealed_len > 0);
			continue;
		}
		if (n->id.role == CREDENTIAL_AMA && (m.type == MH_BU || m.type == MH_REVOCATION)) {
			n->n_revoked += m.type == MH_REVOCATION;
			if (m.type == MH_REVOCATION)
				n->left = m.revocation.sequence;
			if (m.type == MH_BU) {
				n->asked = m.bu.sequence;
				n->sealed_len = dmmopt_sealed(&m, &n->cookie, n->sealed, sizeof(n->sealed));
			}
			continue;
		}
		assert_int_equal(m.type, MH_BA);
		n->ba = m.ba;
		if (dmmopt_former(&m, &n->former)) {
			n->n_moved++;
			continue;
		}
		assert_true(mhopt_prefix(mh_find(&m, MHOPT_HNP, NULL), &n->prefix));
		n->has_lease = dmmopt_lease(&m, &n->lease);
		n->n_ba++;
	}
}

static uint8_t hoplimit;
static uint32_t ifindex;
#define MOST_AMAS 8

static enum channel_why may_fail; /* for this reason what a node sends may be refused by the channel */

/* What a node sends arrives at once, from where the node is. */
static void node_send(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	struct node *n = ctx;
	struct channel_rx rx = {.ep = {.remote = n->at, .local = ep->remote, .ifindex = ifindex, .port = CHANNEL_PORT},
		.hoplimit = hoplimit};
	enum channel_why why;

	(void)flags;
	if (ep->relay) {
		assert_true(len <= sizeof(n->sealed));
		memcpy(n->sealed, buf, len);
		n->sealed_len = len;
		return;
	}
	why = channel_input(a->channel, &rx, buf, len, now_us);
	assert_true(why == CHANNEL_OK || why == may_fail);
	if (!a->reading) /* an answer to what is sent while that is read is read here, but by the daemon later */
		read_inner(a);
}

/* What the anchor sends goes to the node with that address. */
static void anchor_send(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	(void)ctx;
	for (size_t i = 0; i < 3; i++) {
		struct node *n = &nodes[i];
		struct channel_rx rx = {
			.ep = {.remote = ep->local, .local = ep->remote, .port = CHANNEL_PORT}, .hoplimit = 64};

		if (memcmp(&n->at, &ep->remote, 16) != 0)
			continue;
		if (flags & CHANNEL_TX_DONTFRAG)
			n->probe_len = len;
		assert_int_equal(channel_input(n->channel, &rx, buf, len, now_us), CHANNEL_OK);
	}
}

/* Only AMAs are called. */
static int node_accept(void *ctx, const struct credential *cred)
{
	const struct node *n = ctx;

	(void)cred;
	return n->id.role == CREDENTIAL_AMA ? 0 : -EACCES;
}

static const struct channel_ops node_ops = {
	.send = node_send, .recv = node_recv, .accept = node_accept, .wall_ns = channel_wall};
/* What leaves to a node behind an AMA is wrapped by the daemon. */
static void anchor_tx(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	if (ep->relay)
		channel_tx(ctx, ep, buf, len, flags);
	else
		anchor_send(ctx, ep, buf, len, flags);
}

static const struct channel_ops anchor_ops = {.send = anchor_tx,
	.recv = channel_recv,
	.accept = channel_accept,
	.discovered = channel_discovered,
	.wall_ns = channel_wall};

static void take_changes(void)
{
	const struct fwd_object *o;
	struct fwd_entry *e;
	enum fwd_op op;

	kernel.n = 0;
	while ((e = fwd_next(a->set, &op, &o))) {
		int r = o->kind == kernel.refuse && op != FWD_DELETE ? kernel.error : 0;

		assert_true(kernel.n < 256);
		kernel.change[kernel.n].op = op;
		fwd_object_copy(&kernel.change[kernel.n++].o, o);
		fwd_result(a->set, e, r, r ? "no, says the test" : NULL);
	}
}

static void turn(void)
{
	commit(a);
	take_changes();
	amad_answer(a);
}

static void identify(struct identity *id, enum credential_role role, const char *name, const char *covers)
{
	char err[CREDENTIAL_ERR];
	struct credential c = {.role = role, .until_s = UINT64_C(5000000000)};

	assert_int_equal(identity_generate(role, name, id, err), 0);
	(void)snprintf(c.node, sizeof(c.node), "%s", name);
	memcpy(c.key, id->public_key, 32);
	if (covers) {
		c.n_prefixes = 1;
		c.prefixes[0] = prefix(covers);
	}
	assert_int_equal(credential_sign(&c, &domain), 0);
	assert_int_equal(identity_set_credential(id, &c, err), 0);
}

static void fault(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("%s", text);
}

static void start_anchor(void)
{
	struct control_config control = {.path = "",
		.interface = "org.dmm.amad",
		.description = "",
		.product = "amad",
		.version = "0",
		.methods = amad_methods};
	struct channel_config channel = {
		.identity = &a->identity, .trusted = &domain.domain, .n_trusted = 1, .ops = &anchor_ops, .ctx = a};
	struct prefix6 pool = prefix("2001:db8:101::/62");
	char err[DAEMON_ERR] = "", path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/amad.conf", dir);
	f = fopen(path, "w");
	(void)fprintf(f, "[ama]\naccess = lan0\nlease = 1h\nbinding-lifetime = 10m\nquarantine = 1m\n");
	(void)fclose(f);
	assert_int_equal(amad_config_read(path, true, &a->config, fault, NULL), 0);
	assert_int_equal(loop_new(&a->daemon.loop), 0);
	updates_start(a);
	a->anchoring = anchoring_new(now_us);
	a->lm = lm_new(now_us);
	a->mr = mr_new();
	a->set = fwd_new(kernel_done, a);
	a->tunnel = 9;
	a->access[a->n_access++] = LAN;
	assert_int_equal(anchoring_add_pool(a->anchoring, &pool), 0);
	(void)snprintf(path, sizeof(path), "%s/sock", dir);
	control.path = path;
	assert_int_equal(control_new(a->daemon.loop, &control, &a->daemon.control, err), 0);
	assert_int_equal(store_open(dir, &a->store, err), 0);
	assert_int_equal(transport_new(a->daemon.loop, 0, updates_input, a, &a->transport, err), 0);
	assert_int_equal(channel_new(&channel, &a->channel), 0);
	assert_int_equal(peers_set_trusted(a, &domain.domain, &trust_default, 1, err), 0);
	a->serving = serving_new(&(struct serving_env){.set = a->set,
					 .mr = a->mr,
					 .channel = a->channel,
					 .port = CHANNEL_PORT,
					 .max_visits = 16,
					 .max_amas = MOST_AMAS,
					 .tunnel_device = "amad0",
					 .answer_via = updates_answer_behind,
					 .room = peers_room,
					 .may_ask = peers_may_ask,
					 .believes = peers_believe,
					 .visits = peers_visit,
					 .doubt = peers_doubt,
					 .tell_left = updates_tell_previous,
					 .attached_since = updates_attached_since,
					 .keep = keep_visit,
					 .forget = forget_visit,
					 .event = on_visit,
					 .ctx = a},
		now_us);
	assert_non_null(a->serving);
	serving_set_tunnel(a->serving, a->tunnel);
	a->serves = serves(a);
	loop_timer_init(&a->revoke, a->daemon.loop, updates_revoke_due, a, "revoke");
	loop_timer_init(&a->tick, a->daemon.loop, tick, a, "tick");
	loop_timer_init(&a->sync, a->daemon.loop, on_sync, a, "sync");
	loop_timer_init(&a->retry, a->daemon.loop, on_retry, a, "retry");
	rc_want_pool(a->set, &pool);
	assert_int_equal(store_load(a->store, load_lease, load_binding, a, &a->meta), 0);
	drop_over(a);
	start_meta(a);
	anchoring_each(a->anchoring, want_native, a);
	turn();
}

/* The process dies: nothing is written, nobody is told. */
static void kill_anchor(void)
{
	struct identity id = a->identity;

	memset(&a->identity, 0, sizeof(a->identity));
	amad_free(a);
	a = calloc(1, sizeof(*a));
	assert_non_null(a);
	a->identity = id;
}

static void start_node(struct node *n, const char *name, const char *at)
{
	struct channel_config cfg = {
		.identity = &n->id, .trusted = &domain.domain, .n_trusted = 1, .ops = &node_ops, .ctx = n};
	struct channel_endpoint ep = {.remote = address(SELF), .port = CHANNEL_PORT};

	if (!n->id.has_credential)
		identify(&n->id, CREDENTIAL_MN, name, NULL);
	n->at = address(at);
	assert_int_equal(channel_new(&cfg, &n->channel), 0);
	assert_int_equal(channel_peer_add(n->channel, &a->identity.credential, &n->peer), 0);
	channel_peer_set_endpoint(n->peer, &ep);
}

static char said[8192]; /* what was logged about who is not believed, or refused, since it was looked at */

static void catch_log(void *ctx, enum log_level level, const char *token, const char *text)
{
	(void)ctx;
	if ((!strcmp(token, "trust") && level <= LOG_LEVEL_NOTICE) || strstr(text, "refused update"))
		(void)snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", text);
}

/* It was counted, to that number, and the log says so. */
#define COUNTED(counter, n, words)                                                                                     \
	do {                                                                                                           \
		assert_int_equal(counter, n);                                                                          \
		assert_non_null(strstr(said, words));                                                                  \
		said[0] = '\0';                                                                                        \
	} while (0)

static int setup(void **state)
{
	char err[CREDENTIAL_ERR];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_amad.XXXXXX");
	if (!mkdtemp(dir) || secret_start() < 0 || domain_key_generate("test", &domain, err) < 0)
		return -1;
	log_register_handler(catch_log, NULL);
	said[0] = '\0';
	memset(nodes, 0, sizeof(nodes));
	memset(&kernel, 0, sizeof(kernel));
	a = calloc(1, sizeof(*a));
	identify(&a->identity, CREDENTIAL_AMA, "ama1", "2001:db8:101::/48");
	start_anchor();
	start_node(&nodes[0], "laptop", HERE);
	start_node(&nodes[1], "phone", "2001:db8:a::12");
	start_node(&nodes[2], "watch", "2001:db8:a::13");
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {"amad.conf", "sock", "data.mdb", "lock.mdb", "journal"};
	char path[128];

	(void)state;
	for (int i = 0; i < 3; i++) {
		channel_free(nodes[i].channel);
		identity_done(&nodes[i].id);
	}
	amad_free(a);
	domain_key_done(&domain);
	for (size_t i = 0; i < 5; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	return rmdir(dir);
}

/* --- what a node asks -------------------------------------------------------------------------------------------- */

struct ask {
	const char *prefix; /* NULL = ::/64 */
	uint16_t lifetime_s;
	int32_t lease_s; /* 0 = no LEASE option, -1 = LEASE with lifetime 0 */
	uint32_t lease_flags;
	const char *care_of;	/* NULL = where the node is, "" = none */
	const char *link_local; /* likewise */
	uint16_t mtu;
	int sequence;	  /* 0 = the next */
	uint16_t flags;	  /* 0 = A and H */
	uint8_t hoplimit; /* 0 = 255 */
	uint32_t ifindex; /* 0 = LAN */
	bool quiet;	  /* do not end the turn */
};

static void queue(struct node *n, const struct ask *q)
{
	uint8_t buf[512];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_bu bu = {.lifetime_s = q->lifetime_s, .flags = q->flags ? q->flags : MH_BU_A | MH_BU_H};
	struct prefix6 p = {.len = 64};
	struct in6_addr x;
	struct mh_writer m;

	n->sequence = q->sequence ? (uint16_t)q->sequence : (uint16_t)(n->sequence + 1);
	bu.sequence = n->sequence;
	m = mh_begin_bu(&w, &bu);
	if (q->prefix)
		p = prefix(q->prefix);
	mh_put_prefix(&m, MHOPT_HNP, &p);
	if (q->lifetime_s > 0 && !(q->care_of && !*q->care_of)) {
		x = q->care_of ? address(q->care_of) : n->at;
		mh_put_address(&m, MHOPT_ALT_COA, &x);
	}
	if ((q->lease_flags & DMMOPT_LEASE_ATTACH) && !(q->link_local && !*q->link_local)) {
		x = address(q->link_local ? q->link_local : "fe80::11");
		mh_put_address(&m, MHOPT_LINK_LOCAL, &x);
	}
	if (q->lease_s)
		mh_put_lease(&m, &(struct dmmopt_lease){q->lease_s < 0 ? 0 : (uint32_t)q->lease_s, q->lease_flags});
	if (q->mtu)
		mh_put_tunnel_mtu(&m, q->mtu);
	mh_end(&m);
	assert_true(wcur_ok(&w));
	assert_int_equal(channel_send(n->channel, n->peer, buf, wcur_len(&w)), 0);
}

/* Ask, and return the status of the answer; 255 = no answer. */
static unsigned ask(struct node *n, const struct ask *q)
{
	unsigned before = n->n_ba;

	queue(n, q);
	hoplimit = q->hoplimit ? q->hoplimit : 255;
	ifindex = q->ifindex ? q->ifindex : LAN;
	channel_flush(n->channel, now_us);
	turn();
	if (n->n_ba == before)
		return 255;
	if (n->ba.status != 135)
		assert_int_equal(n->ba.sequence, n->sequence);
	return n->ba.status;
}

#define ASK(n, ...) ask(n, &(struct ask){__VA_ARGS__})
#define P0	    "2001:db8:101::/64"
#define P1	    "2001:db8:101:1::/64"
#define P2	    "2001:db8:101:2::/64"
#define ATTACH	    .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH

static unsigned changes_of(enum fwd_kind kind, enum fwd_op op)
{
	unsigned n = 0;

	for (unsigned i = 0; i < kernel.n; i++)
		n += kernel.change[i].o.kind == kind && kernel.change[i].op == op;
	return n;
}

static const struct fwd_object *change_of(enum fwd_kind kind)
{
	for (unsigned i = 0; i < kernel.n; i++)
		if (kernel.change[i].o.kind == kind)
			return &kernel.change[i].o;
	fail_msg("no change of a %s", fwd_kind_name(kind));
	return NULL;
}

/* --- the four kinds ---------------------------------------------------------------------------------------------- */

static void life(void **state)
{
	struct node *n = &nodes[0];
	const struct fwd_object *o;
	struct in6_addr coa, link_local = address("fe80::11");

	(void)state;
	/* attach: a lease, a native route, no binding */
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_string_equal(prefix6_text(&n->prefix), P0);
	assert_true(n->has_lease);
	assert_int_equal(n->lease.lifetime_s, 600);
	assert_int_equal(n->ba.lifetime_s, 0);
	assert_int_equal(kernel.n, 1);
	o = change_of(FWD_ROUTE);
	assert_int_equal(o->route.oif, LAN);
	assert_memory_equal(&o->route.gateway, &link_local, 16);
	assert_int_equal(lm_count(a->lm), 0);

	/* bind: a nexthop, the route over it */
	n->at = coa = address(AWAY);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 120), 0);
	assert_int_equal(n->ba.lifetime_s, 120);
	assert_false(n->has_lease);
	assert_int_equal(kernel.n, 2);
	assert_int_equal(change_of(FWD_NEXTHOP)->nexthop.oif, 9);
	assert_memory_equal(&change_of(FWD_NEXTHOP)->nexthop.encap.dst, &coa, 16);
	coa = address(SELF);
	assert_memory_equal(&change_of(FWD_NEXTHOP)->nexthop.encap.src, &coa, 16);
	assert_int_equal(change_of(FWD_ROUTE)->route.nexthop, change_of(FWD_NEXTHOP)->nexthop.id);
	assert_int_equal(change_of(FWD_ROUTE)->route.oif, 0);

	/* refresh: no change */
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 120), 0);
	assert_int_equal(kernel.n, 0);

	/* move: one replacement */
	n->at = coa = address("2001:db8:c::11");
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 120), 0);
	assert_int_equal(kernel.n, 1);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_REPLACE), 1);
	assert_memory_equal(&change_of(FWD_NEXTHOP)->nexthop.encap.dst, &coa, 16);

	/* the path is smaller than the tunnel: the route says so */
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 120, .mtu = 1300), 0);
	assert_int_equal(change_of(FWD_ROUTE)->route.mtu, 1300);
	assert_int_equal(
		ASK(n, .prefix = P0, .lifetime_s = 120, .mtu = 1200), 0); /* below IPv6's minimum: not believed */
	assert_int_equal(change_of(FWD_ROUTE)->route.mtu, 0);

	/* unbind: neither route nor nexthop; the lease stays */
	assert_int_equal(ASK(n, .prefix = P0), 0);
	assert_int_equal(changes_of(FWD_ROUTE, FWD_DELETE), 1);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_DELETE), 1);
	assert_int_equal(lm_count(a->lm), 0);
	assert_int_equal(anchoring_count(a->anchoring), 1);

	/* home again: the same prefix, native */
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 120), 0);
	n->at = address(HERE);
	assert_int_equal(ASK(n, .prefix = P0, ATTACH), 0);
	assert_string_equal(prefix6_text(&n->prefix), P0);
	assert_int_equal(changes_of(FWD_ROUTE, FWD_REPLACE), 1);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_DELETE), 1);
	assert_int_equal(lm_count(a->lm), 0);

	/* release: nothing left */
	assert_int_equal(ASK(n, .prefix = P0, .lease_s = -1), 0);
	assert_int_equal(changes_of(FWD_ROUTE, FWD_DELETE), 1);
	assert_int_equal(anchoring_count(a->anchoring), 0);
	assert_int_equal(fwd_count(a->set), 1); /* the pool's own */
}

static void statuses(void **state)
{
	struct node *n = &nodes[0], *other = &nodes[1];

	(void)state;
	/* 129: attach from beyond a router, and from an interface that is not for nodes */
	assert_int_equal(ASK(n, ATTACH, .hoplimit = 254), 129);
	assert_int_equal(ASK(n, ATTACH, .ifindex = LAN + 1), 129);
	assert_int_equal(ASK(n, ATTACH, .link_local = ""), 128);
	assert_int_equal(ASK(n, ATTACH, .link_local = "2001:db8::1"), 128);
	assert_int_equal(anchoring_count(a->anchoring), 0);
	/* 133: no such lease */
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 133);
	assert_int_equal(ASK(n, .prefix = P0), 133);
	assert_int_equal(ASK(n, .prefix = P0, .lease_s = -1), 133);
	assert_int_equal(ASK(n, .lifetime_s = 60), 133);
	assert_int_equal(ASK(n, .prefix = "2001:db8:999::/64", .lifetime_s = 60), 133);
	assert_int_equal(ASK(n, ATTACH), 0);
	/* 155: another key's */
	assert_int_equal(ASK(other, .prefix = P0, .lifetime_s = 60), 155);
	assert_int_equal(ASK(other, .prefix = P0), 155);
	assert_int_equal(ASK(other, .prefix = P0, .lease_s = -1), 155);
	/* attach with another key's prefix, or a foreign one: gets one of its own */
	assert_int_equal(ASK(other, .prefix = P0, ATTACH), 0);
	assert_string_equal(prefix6_text(&other->prefix), P1);
	assert_int_equal(ASK(&nodes[2], .prefix = "2001:db8:999::/64", ATTACH), 0);
	assert_string_equal(prefix6_text(&nodes[2].prefix), "2001:db8:101:2::/64");
	/* 135, with the last accepted: the same again, older, from the other half of the circle */
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 100), 0);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 100), 135);
	assert_int_equal(n->ba.sequence, 100);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 99), 135);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 100 + 32768), 135);
	assert_int_equal(ASK(n, .prefix = P0, .sequence = 100), 135);
	assert_int_equal(ASK(n, .prefix = P0, ATTACH, .sequence = 100), 135);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 100 + 32767), 0);
	/* the number outlives the binding */
	assert_int_equal(ASK(n, .prefix = P0, .sequence = 40000), 0);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 40000), 135);
	/* 174: not where it comes from; none; ours; not global */
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .care_of = "2001:db8:b::99", .sequence = 40001), 174);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .care_of = ""), 174);
	n->at = address("2001:db8:101:3::1");
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 174);
	n->at = address("fe80::11");
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 174);
	assert_int_equal(lm_count(a->lm), 0);
	/* no answer at all: not a home registration of a host */
	n->at = address(HERE);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .flags = MH_BU_A), 255);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .flags = MH_BU_A | MH_BU_H | MH_BU_P), 255);
	assert_int_equal(a->count_status[135], 6);
	assert_int_equal(a->count_status[174], 4);
}

static void pool_full(void **state)
{
	struct node *n = &nodes[0];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW), 0);
	assert_int_equal(ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW), 130);
	assert_int_equal(ASK(&nodes[1], ATTACH), 130);
	assert_int_equal(ASK(n, .prefix = P0, .lease_s = -1), 0);
	assert_int_equal(ASK(&nodes[1], ATTACH), 130); /* it rests */
	now_us += 59 * SEC;
	tick(a);
	assert_int_equal(ASK(&nodes[1], ATTACH), 130);
	now_us += 2 * SEC;
	tick(a);
	assert_int_equal(ASK(&nodes[1], ATTACH), 0);
	assert_string_equal(prefix6_text(&nodes[1].prefix), P0);
}

/* The acknowledgement was lost: asking again gives the same lease, unless another is wanted. */
static void lost_acknowledgement(void **state)
{
	struct node *n = &nodes[0];

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_string_equal(prefix6_text(&n->prefix), P0);
	assert_int_equal(ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW), 0);
	assert_string_equal(prefix6_text(&n->prefix), P1);
	assert_int_equal(anchoring_count(a->anchoring), 2);
	/* another one, by a number: the same wish again is no further lease */
	assert_int_equal(
		ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW | DMMOPT_LEASE_WISH(7)),
		0);
	assert_string_equal(prefix6_text(&n->prefix), P2);
	assert_int_equal(
		ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW | DMMOPT_LEASE_WISH(7)),
		0);
	assert_string_equal(prefix6_text(&n->prefix), P2);
	assert_int_equal(anchoring_count(a->anchoring), 3);
	assert_int_equal(
		ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW | DMMOPT_LEASE_WISH(8)),
		0);
	assert_int_equal(anchoring_count(a->anchoring), 4);
}

static void lifetimes(void **state)
{
	struct node *n = &nodes[0];

	(void)state;
	assert_int_equal(ASK(n, .lease_s = 1000000, .lease_flags = DMMOPT_LEASE_ATTACH), 0);
	assert_int_equal(n->lease.lifetime_s, 3600);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60000), 0);
	assert_int_equal(n->ba.lifetime_s, 600);
	/* never longer than the lease, which a bind can renew */
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 400, .lease_s = 200), 0);
	assert_int_equal(n->lease.lifetime_s, 200);
	assert_int_equal(n->ba.lifetime_s, 200);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 400, .lease_s = 1000), 0);
	assert_int_equal(n->ba.lifetime_s, 400);
	/* a binding that is not refreshed goes, and its lease later */
	now_us += 399 * SEC;
	tick(a);
	assert_int_equal(lm_count(a->lm), 1);
	now_us += 2 * SEC;
	tick(a);
	turn();
	assert_int_equal(lm_count(a->lm), 0);
	assert_int_equal(changes_of(FWD_ROUTE, FWD_DELETE), 1);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_DELETE), 1);
	assert_int_equal(anchoring_count(a->anchoring), 1);
	now_us += 600 * SEC;
	tick(a);
	assert_int_equal(anchoring_count(a->anchoring), 0);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 133);
}

/* --- locators, turns, refusals ------------------------------------------------------------------------------------ */

static void shared_locator(void **state)
{
	struct node *n = &nodes[0];
	uint32_t id;

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_int_equal(ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW), 0);
	n->at = address(AWAY);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 0);
	id = change_of(FWD_NEXTHOP)->nexthop.id;
	assert_int_equal(ASK(n, .prefix = P1, .lifetime_s = 60), 0);
	assert_int_equal(kernel.n, 1); /* the route only */
	assert_int_equal(change_of(FWD_ROUTE)->route.nexthop, id);
	/* the first to move takes a new nexthop, the last one changes the old one's place: none is left over */
	n->at = address(HERE);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 0);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_ADD), 1);
	assert_int_equal(changes_of(FWD_ROUTE, FWD_REPLACE), 1);
	assert_int_equal(ASK(n, .prefix = P1, .lifetime_s = 60), 0);
	assert_int_equal(changes_of(FWD_ROUTE, FWD_REPLACE), 1);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_DELETE), 1);
	assert_int_equal(mr_count(a->mr), 1);
}

/* Two updates of one prefix in a turn: the later one counts and is answered. */
static void twice_in_a_turn(void **state)
{
	struct node *n = &nodes[0];
	struct ask q = {.prefix = P0, .lifetime_s = 60};

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	n->n_ba = 0;
	queue(n, &q);
	queue(n, &q);
	n->at = address(AWAY);
	queue(n, &q); /* care-of addresses of the first two are not the source now */
	channel_flush(n->channel, now_us);
	turn();
	assert_int_equal(n->ba.status, 0);
	assert_int_equal(n->ba.sequence, n->sequence);
	assert_int_equal(lm_count(a->lm), 1);
	n->n_ba = 0;
	queue(n, &q);
	queue(n, &(struct ask){.prefix = P0});
	channel_flush(n->channel, now_us);
	turn();
	assert_int_equal(n->ba.sequence, n->sequence);
	assert_int_equal(n->ba.status, 0);
	assert_int_equal(lm_count(a->lm), 0);
}

/* Whatever the kernel refuses: the node hears it, and all is as before, in the next turn also in the kernel. */
static void kernel_refuses(void **state)
{
	struct node *n = &nodes[0];
	const struct binding *b;
	struct in6_addr old;
	struct prefix6 p = prefix(P0);

	(void)state;
	kernel.refuse = FWD_ROUTE;
	kernel.error = -ENOMEM;
	assert_int_equal(ASK(n, ATTACH), 128);
	assert_int_equal(anchoring_count(a->anchoring), 0);
	kernel.error = 0;
	now_us += 120 * SEC;
	tick(a);
	turn();
	assert_int_equal(fwd_count(a->set), 1);
	assert_int_equal(ASK(n, ATTACH), 0);
	p = n->prefix;

	/* from native to a binding: native again */
	n->at = old = address(AWAY);
	kernel.error = -ENOMEM;
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), .lifetime_s = 60), 128);
	kernel.error = 0;
	turn();
	assert_int_equal(lm_count(a->lm), 0);
	assert_int_equal(change_of(FWD_ROUTE)->route.oif, LAN);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_DELETE), 1);

	/* a move, refused where only the nexthop changes: the old locator */
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), .lifetime_s = 60), 0);
	n->at = address("2001:db8:c::11");
	kernel.refuse = FWD_NEXTHOP;
	kernel.error = -ENODEV;
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), .lifetime_s = 60), 128);
	kernel.error = 0;
	turn();
	b = lm_find(a->lm, &p);
	assert_non_null(b);
	assert_memory_equal(mr_care_of(b->locator), &old, 16);
	assert_memory_equal(&change_of(FWD_NEXTHOP)->nexthop.encap.dst, &old, 16);
	assert_true(a->n_errors > 0);
	/* and the node's next try works */
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), .lifetime_s = 60), 0);
	assert_memory_equal(mr_care_of(b->locator), &n->at, 16);
	assert_int_equal(mr_count(a->mr), 1);
}

static void refuse_writes(bool refuse)
{
	static struct rlimit before;
	struct rlimit none;

	(void)signal(SIGXFSZ, SIG_IGN);
	if (refuse) {
		(void)getrlimit(RLIMIT_FSIZE, &before);
		none = before;
		none.rlim_cur = 0;
		(void)setrlimit(RLIMIT_FSIZE, &none);
	} else {
		(void)setrlimit(RLIMIT_FSIZE, &before);
	}
}

/* What the store refuses never reaches the kernel. */
static void store_refuses(void **state)
{
	struct node *n = &nodes[0];
	const struct binding *b;
	struct prefix6 p = prefix(P0);
	struct in6_addr old;

	(void)state;
	refuse_writes(true);
	assert_int_equal(ASK(n, ATTACH), 130);
	refuse_writes(false);
	assert_int_equal(kernel.n, 0);
	assert_int_equal(anchoring_count(a->anchoring), 0);
	now_us += 120 * SEC;
	tick(a);
	assert_int_equal(ASK(n, ATTACH), 0);
	p = n->prefix;
	n->at = old = address(AWAY);
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), .lifetime_s = 60), 0);
	n->at = address(HERE);
	refuse_writes(true);
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), .lifetime_s = 60), 130);
	assert_int_equal(kernel.n, 0);
	b = lm_find(a->lm, &p);
	assert_memory_equal(mr_care_of(b->locator), &old, 16);
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), ATTACH), 130);
	refuse_writes(false);
	turn();
	assert_int_equal(lm_count(a->lm), 1);
	assert_int_equal(fwd_count(a->set), 3);
	assert_int_equal(ASK(n, .prefix = prefix6_text(&p), .lifetime_s = 60), 0);
}

/* --- over a
 * restart ------------------------------------------------------------------------------------------------ */

static void restart(void **state)
{
	struct node *n = &nodes[0];
	struct prefix6 p = prefix(P0);
	const struct binding *b;
	uint32_t id, counter = a->meta.restart_counter;
	uint64_t until_us;

	(void)state;
	assert_int_not_equal(counter, 0);
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_int_equal(ASK(&nodes[1], ATTACH), 0);
	n->at = address(AWAY);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .mtu = 1400), 0);
	n->at = address("2001:db8:c::11");
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .mtu = 1400, .sequence = 500), 0);
	id = change_of(FWD_NEXTHOP)->nexthop.id;
	until_us = binding_until_us(lm_find(a->lm, &p));

	kill_anchor();
	start_anchor();
	b = lm_find(a->lm, &p);
	assert_non_null(b);
	assert_memory_equal(mr_care_of(b->locator), &n->at, 16);
	assert_int_equal(b->mtu, 1400);
	assert_true(binding_until_us(b) >= until_us && binding_until_us(b) < until_us + 2 * SEC);
	assert_int_equal(
		change_of(FWD_NEXTHOP)->nexthop.id, id); /* so that what is in the kernel is found to be right */
	assert_int_equal(anchoring_count(a->anchoring), 2);
	assert_int_equal(a->meta.restart_counter, counter); /* nothing was lost */

	/* the replay of an old update, with a session from before the restart gone: refused by its sequence number */
	channel_free(n->channel);
	start_node(n, "laptop", AWAY);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 499), 135);
	assert_int_equal(n->ba.sequence, 500);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .sequence = 501), 0);

	/* another boot, not a clean stop: bindings may be lost, and nodes are told */
	a->meta.boot_id[0] = 'x';
	assert_int_equal(store_put_meta(a->store, &a->meta), 0);
	assert_int_equal(store_commit(a->store), 0);
	kill_anchor();
	start_anchor();
	assert_int_equal(a->meta.restart_counter, counter + 1);
	/* a clean stop */
	a->meta.boot_id[0] = '\0';
	assert_int_equal(store_put_meta(a->store, &a->meta), 0);
	assert_int_equal(store_commit(a->store), 0);
	kill_anchor();
	start_anchor();
	assert_int_equal(a->meta.restart_counter, counter + 1);
}

/* A lease on an interface that is gone, or not there yet at the start, is routed to when the interface comes. */
static void interface_comes_and_goes(void **state)
{
	struct node *n = &nodes[0];
	struct nl_link link = {.ifindex = LAN, .name = "lan0", .up = true};

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	on_link(a, &link, false);
	assert_int_equal(a->n_access, 0);
	assert_int_equal(ASK(n, .prefix = P0, ATTACH), 129);
	link.ifindex = LAN + 100;
	on_link(a, &link, true);
	turn();
	assert_int_equal(change_of(FWD_ROUTE)->route.oif, LAN + 100);
	on_link(a, &link, false);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 0); /* it is somewhere else */
	link.ifindex = LAN;
	on_link(a, &link, true);
	turn();
	assert_int_equal(kernel.n, changes_of(FWD_RULE, FWD_ADD)); /* that of the interface, nothing of the node */
	assert_int_equal(ASK(n, .prefix = P0, ATTACH), 0);
	on_link(a, &link, false);
	/* stored while it is not there */
	assert_int_equal(ASK(&nodes[1], .prefix = P0, .lifetime_s = 60), 155);
	amad_keep_lease(a, anchoring_find_key(a->anchoring, n->id.public_key), true);
	turn();
	kill_anchor();
	start_anchor();
	a->n_access = 0;
	on_link(a, &link, true);
	turn();
	assert_int_equal(change_of(FWD_ROUTE)->route.oif, LAN);
}

/* ---
 * heartbeats ------------------------------------------------------------------------------------------------------ */

static void heartbeats(void **state)
{
	struct node *n = &nodes[0];
	uint8_t buf[2048];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_heartbeat(&w, &(struct mh_heartbeat){.sequence = 77});

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	mh_end(&m);
	assert_int_equal(channel_send(n->channel, n->peer, buf, wcur_len(&w)), 0);
	channel_flush(n->channel, now_us);
	turn();
	assert_int_equal(n->n_heartbeat, 1);
	assert_int_equal(n->probe_len, 0);
	/* a probe: the answer is a packet of the same size */
	w = wcur_make(buf, sizeof(buf));
	m = mh_begin_heartbeat(&w, &(struct mh_heartbeat){.sequence = 78});
	mh_put_probe(&m, &(struct dmmopt_probe){.id = 5, .size = 1500});
	mh_pad_to(&m, (1500 - 74) & ~7);
	mh_end(&m);
	assert_int_equal(channel_send_probe(n->channel, n->peer, buf, wcur_len(&w), 1500, now_us), 0);
	turn();
	assert_int_equal(n->n_heartbeat, 2);
	assert_int_equal(n->probe_len, 1500 - 48);
	/* a small question cannot buy a large answer */
	n->probe_len = 0;
	w = wcur_make(buf, sizeof(buf));
	m = mh_begin_heartbeat(&w, &(struct mh_heartbeat){.sequence = 79});
	mh_put_probe(&m, &(struct dmmopt_probe){.id = 6, .size = 1500});
	mh_end(&m);
	assert_int_equal(channel_send(n->channel, n->peer, buf, wcur_len(&w)), 0);
	channel_flush(n->channel, now_us);
	turn();
	assert_int_equal(n->probe_len, 0);
	assert_int_equal(a->count_heartbeat, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* --- through another AMA (pLU) ----------------------------------------------------------------------------------- */

#define AMA2 "2001:db8:a2::1"
#define AMA3 "2001:db8:a3::1"

static void become_ama(struct node *n, const char *name, const char *covers, const char *at)
{
	channel_free(n->channel);
	identity_done(&n->id);
	memset(n, 0, sizeof(*n));
	identify(&n->id, CREDENTIAL_AMA, name, covers);
	start_node(n, name, at);
}

/* What the node would send through an AMA at care_of. */
static void seal(struct node *n, const char *prefix_text, const char *care_of, int sequence)
{
	struct channel_endpoint through = {.remote = address(SELF), .port = CHANNEL_PORT, .relay = 1},
				direct = {.remote = address(SELF), .port = CHANNEL_PORT};

	channel_peer_set_endpoint(n->peer, &through);
	queue(n, &(struct ask){.prefix = prefix_text, .lifetime_s = 300, .care_of = care_of, .sequence = sequence});
	channel_flush(n->channel, now_us);
	channel_peer_set_endpoint(n->peer, &direct);
}

/* An AMA passes bytes on; returns the status of its PBA, 255 = none. */
static unsigned pass_on_sealed(
	struct node *ama, const char *prefix_text, const uint8_t *bytes, size_t len, uint32_t cookie)
{
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_bu bu = {.sequence = ++ama->sequence, .flags = MH_BU_A | MH_BU_H | MH_BU_P, .lifetime_s = 300};
	struct mh_writer m = mh_begin_bu(&w, &bu);
	struct prefix6 p = prefix(prefix_text);
	unsigned before = ama->n_ba;

	mh_put_nai(&m, "laptop");
	mh_put_bytes(&m, MHOPT_HANDOFF, (uint8_t[]){0, 4}, 2);
	mh_put_bytes(&m, MHOPT_ACCESS_TECH, (uint8_t[]){0, 0}, 2);
	mh_put_prefix(&m, MHOPT_HNP, &p);
	if (len)
		mh_put_sealed(&m, cookie, bytes, len);
	mh_end(&m);
	assert_true(wcur_ok(&w));
	ama->sealed_len = 0;
	assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
	channel_flush(ama->channel, now_us);
	turn();
	if (ama->n_ba == before)
		return 255;
	assert_true(ama->ba.flags & MH_BA_P);
	assert_int_equal(ama->ba.sequence, bu.sequence);
	assert_true(prefix6_equal(&ama->prefix, &p));
	return ama->ba.status;
}

/* What the anchor sealed for the node reaches it. */
static void hand_over(const struct node *ama, struct node *n)
{
	struct channel_rx rx = {.ep = {.remote = address(SELF), .local = n->at, .port = CHANNEL_PORT, .relay = 1}};

	assert_true(ama->sealed_len > 0);
	assert_int_equal(channel_input(n->channel, &rx, ama->sealed, ama->sealed_len, now_us), CHANNEL_OK);
}

static void ask_through(
	struct node *n, const struct in6_addr *anchor, const char *prefix_text, const char *link_local_text);
static void say(struct node *ama, uint16_t sequence, uint8_t status, const char *prefix_text);

static void is_at(const char *prefix_text, const char *care_of, bool proxied)
{
	struct prefix6 p = prefix(prefix_text);
	const struct binding *b = lm_find(a->lm, &p);
	struct in6_addr x = address(care_of);

	assert_non_null(b);
	assert_memory_equal(mr_care_of(b->locator), &x, sizeof(x));
	assert_int_equal(b->proxied, proxied);
}

/* The same, and who is at the anchor's address is not known yet: it is this AMA. */
static void ask_first(
	struct node *n, const struct node *ama, const struct in6_addr *anchor, const char *hnp, const char *link_local)
{
	ask_through(n, anchor, hnp, link_local);
	serving_discovered(a->serving, anchor, &ama->id.credential, now_us);
	channel_flush(a->channel, now_us);
	turn();
}

static void time_goes_on(unsigned s)
{
	now_us += s * SEC;
	updates_revoke_due(a);
	turn();
	channel_flush(nodes[2].channel, now_us); /* it answers a handshake */
	turn();
}

/* An AMA says that a node has left us, or that it knows that it has left it. */
static void say_revoked(struct node *ama, uint8_t b_type, uint16_t sequence, const char *prefix_text)
{
	struct mh_revocation r = {.b_type = b_type, .flags = MH_REVOCATION_P, .sequence = sequence};
	struct prefix6 p = prefix(prefix_text);
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_revocation(&w, &r);

	mh_put_prefix(&m, MHOPT_HNP, &p);
	mh_end(&m);
	assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
	channel_flush(ama->channel, now_us);
	turn();
}

static void knows(struct node *ama, uint16_t sequence, const char *prefix_text)
{
	say_revoked(ama, MH_REVOCATION_ACK, sequence, prefix_text);
}

static void through_an_ama(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2];

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	assert_int_equal(ASK(n, ATTACH), 0);
	seal(n, P0, AMA2, 0);
	n->n_ba = 0;
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 99), 0);
	assert_int_equal(ama->ba.lifetime_s, 300);
	assert_int_equal(ama->cookie, 99);
	hand_over(ama, n);
	assert_int_equal(n->n_ba, 1);
	assert_int_equal(n->ba.status, 0);
	assert_int_equal(n->ba.sequence, n->sequence);
	is_at(P0, AMA2, true);
	assert_int_equal(a->count_proxied, 1);
	/* straight again */
	n->at = address(AWAY);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 300), 0);
	is_at(P0, AWAY, false);
	assert_int_equal(ama->n_revoked, 1); /* the AMA is told that it is not the locator any more */
	time_goes_on(1);
	assert_int_equal(ama->n_revoked, 2); /* again, as it has not answered */
	time_goes_on(2);
	assert_int_equal(ama->n_revoked, 3);
	knows(ama, ama->left + 1, P0); /* to another question */
	time_goes_on(2);
	assert_int_equal(ama->n_revoked, 4);
	knows(ama, ama->left, P0);
	assert_null(a->told_once);
	assert_null(a->told_twice);
	time_goes_on(2);
	assert_int_equal(ama->n_revoked, 4);
	/* there again before it has answered: it is not told once more */
	seal(n, P0, AMA2, n->sequence + 1);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 101), 0);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 300), 0);
	assert_int_equal(ama->n_revoked, 5);
	seal(n, P0, AMA2, n->sequence + 1);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 102), 0);
	is_at(P0, AMA2, true);
	time_goes_on(1);
	assert_int_equal(ama->n_revoked, 5);
	assert_null(a->told_once);
	assert_null(a->told_twice);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 300), 0);
	knows(ama, ama->left, P0);
	/* and in a handshake, when the session is gone at one side */
	kill_anchor();
	start_anchor();
	is_at(P0, AWAY, false);
	channel_free(n->channel);
	start_node(n, "laptop", AWAY);
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	seal(n, P0, AMA2, n->sequence + 1);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 100), 0);
	hand_over(ama, n);
	assert_int_equal(n->ba.status, 0);
	is_at(P0, AMA2, true);
}

/* The anchor has been started again since an AMA passed a binding on: it asks who is at its address, to tell it that
 * the node has left. */
static void left_after_a_restart(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2];

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	assert_int_equal(ASK(n, ATTACH), 0);
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 99), 0);
	kill_anchor();
	start_anchor();
	is_at(P0, AMA2, true);
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	channel_free(n->channel);
	start_node(n, "laptop", AWAY);
	n->sequence = 100;
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 300), 0);
	is_at(P0, AWAY, false);
	time_goes_on(1);
	assert_true(ama->n_revoked > 0);
	knows(ama, ama->left, P0);
	assert_null(a->told_once);
	assert_null(a->told_twice);
}

/* It asks at two addresses, and the first one answers last. */
static void two_are_asked_who_they_are(void **state)
{
	struct node *ama = &nodes[2];
	struct prefix6 p = prefix(P0), q = prefix(P1);
	struct in6_addr one = address(AMA2), two = address(AMA3);

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ama->at = address(AWAY); /* nobody answers */
	updates_tell_previous(a, &one, &p);
	updates_tell_previous(a, &two, &q);
	updates_channel_ops.discovered(a, &one, &ama->id.credential);
	assert_non_null(peers_relay_at(a, &one));
	/* somebody at the other address shows the same credential: the AMA stays where it is known */
	updates_channel_ops.discovered(a, &two, &ama->id.credential);
	assert_non_null(peers_relay_at(a, &one));
	assert_null(peers_relay_at(a, &two));
}

/* What ended while the anchor did not run rests, over another restart, too; and a clock that is behind makes nothing
 * last for years. */
static void over_when_it_starts(void **state)
{
	uint64_t wall_s = loop_wall_ns() / 1000000000;
	struct node *n = &nodes[0], *other = &nodes[1];
	struct store_lease l = {.prefix = prefix(P0), .node = "laptop", .until_s = wall_s - 2};
	struct store_binding b = {
		.prefix = prefix(P0), .care_of = address(AWAY), .self = address(SELF), .until_s = wall_s - 2};

	(void)state;
	memcpy(l.key, n->id.public_key, sizeof(l.key));
	assert_int_equal(store_put_lease(a->store, &l, true), 0);
	assert_int_equal(store_put_binding(a->store, &b), 0);
	l.prefix = prefix(P1);
	l.until_s = wall_s + 1000ull * 86400;
	assert_int_equal(store_put_lease(a->store, &l, true), 0);
	assert_int_equal(store_commit(a->store), 0);
	for (int i = 0; i < 2; i++) {
		kill_anchor();
		start_anchor();
		assert_int_equal(anchoring_rest(a->anchoring, &b.prefix, n->id.public_key, now_us), -EEXIST);
		assert_null(anchoring_find(a->anchoring, &b.prefix));
		assert_true(lease_until_us(anchoring_find(a->anchoring, &l.prefix)) <= now_us + 8ull * 86400 * SEC);
	}
	channel_free(other->channel);
	start_node(other, "phone", "2001:db8:a::12");
	assert_int_equal(ASK(other, ATTACH), 0);
	assert_string_equal(prefix6_text(&other->prefix), "2001:db8:101:2::/64");
}

/* What 'amactl peers' shows of an AMA. */
static json_t *listed(const char *name, const char *field)
{
	static json_t *rows;
	json_t *row;
	size_t i;

	json_decref(rows);
	rows = peers_json(a);
	json_array_foreach(rows, i, row)
	{
		if (json_string_value(json_object_get(row, "name")) &&
			!strcmp(json_string_value(json_object_get(row, "name")), name))
			return json_object_get(row, field);
	}
	fail_msg("no peer %s", name);
	return NULL;
}

static void is_listed(const char *name, const char *field, int value)
{
	assert_int_equal(json_integer_value(listed(name, field)), value);
}

/* Both sides of 'amactl peers': an AMA that passes on to us, and that we pass on to. */
static void peers_of_both_sides(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m;
	json_t *rows;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	assert_int_equal(ASK(n, ATTACH), 0);
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), 0);
	assert_string_equal(json_string_value(listed("ama2", "state")), "connected");
	assert_string_equal(json_string_value(listed("ama2", "domain")), "test");
	assert_string_equal(json_string_value(listed("ama2", "address")), AMA2);
	is_listed("ama2", "received_accepted", 1);
	assert_true(json_is_null(listed("ama2", "last_error")));
	assert_true(json_integer_value(listed("ama2", "rx_bytes")) > 200 &&
		json_integer_value(listed("ama2", "tx_bytes")) > 50);
	/* the round trip is measured by a heartbeat; without an answer the peer is silent */
	assert_int_equal(ama->n_heartbeat, 1);
	assert_true(json_is_null(listed("ama2", "rtt_ms")));
	now_us += 4 * SEC;
	assert_string_equal(json_string_value(listed("ama2", "state")), "silent");
	now_us += 2 * SEC;
	(void)listed("ama2", "state"); /* asks again */
	channel_flush(a->channel, now_us);
	assert_int_equal(ama->n_heartbeat, 2);
	for (int right = 0; right < 2; right++) {
		w = wcur_make(buf, sizeof(buf));
		m = mh_begin_heartbeat(
			&w, &(struct mh_heartbeat){.flags = MH_HEARTBEAT_R, .sequence = ama->ping + !right});
		mh_end(&m);
		now_us += 7000;
		assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
		channel_flush(ama->channel, now_us);
		assert_int_equal((int)json_real_value(listed("ama2", "rtt_ms")), right ? 14 : 0);
	}
	assert_string_equal(json_string_value(listed("ama2", "state")), "connected");
	/* the same AMA as anchor of somebody here: one row */
	ask_first(n, ama, &anchor, "2001:db8:102:5::/64", "fe80::11");
	say(ama, ama->asked, MH_STATUS_NOT_AUTHORISED_HNP, "2001:db8:102:5::/64");
	is_listed("ama2", "sent", 1);
	is_listed("ama2", "refused", 1);
	is_listed("ama2", "received", 1);
	assert_non_null(strstr(json_string_value(listed("ama2", "last_error")), "155"));
	rows = peers_json(a);
	assert_int_equal(json_array_size(rows), 1);
	json_decref(rows);
}

/* Whatever an AMA makes up changes nothing, is counted and logged. */
static void an_ama_that_lies(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2], *other = &nodes[1];
	uint8_t first[1000], second[1000], forged[200] = {0x80, 1, 2, 3};
	size_t first_len, second_len;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	become_ama(other, "ama3", "2001:db8:103::/48", AMA3);
	assert_int_equal(ASK(n, ATTACH), 0);
	n->at = address(AWAY);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 300), 0);
	is_at(P0, AWAY, false);

	/* a PBU that nobody's update is in: for a prefix that nobody gave it */
	assert_int_equal(pass_on_sealed(ama, P0, NULL, 0, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	COUNTED(a->count_unsealed, 1, "AMA ama2 about " P0 ": passed on no update of a node");
	/* forged */
	assert_int_equal(pass_on_sealed(ama, P0, forged, sizeof(forged), 1), MH_STATUS_NOT_AUTHORISED_HNP);
	COUNTED(a->count_sealed_bad, 1, "AMA ama2 about " P0 ": what it passed on is not a node's update: unknown-spi");
	is_at(P0, AWAY, false);
	/* redirected: sealed for ama2, passed on by ama3, which would get the traffic */
	seal(n, P0, AMA2, 0);
	memcpy(first, n->sealed, first_len = n->sealed_len);
	assert_int_equal(pass_on_sealed(other, P0, first, first_len, 1), MH_STATUS_INVALID_COA);
	COUNTED(a->count_status[MH_STATUS_INVALID_COA], 1, "refused update of laptop for " P0 " from " AMA3 ": 174");
	is_at(P0, AWAY, false);
	/* and now it is known: a replay */
	assert_int_equal(pass_on_sealed(ama, P0, first, first_len, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	COUNTED(a->count_sealed_bad, 2, "not a node's update: replay");
	is_at(P0, AWAY, false);
	/* re-ordered: the older one is kept back and comes last */
	seal(n, P0, AMA2, 0);
	memcpy(first, n->sealed, first_len = n->sealed_len);
	seal(n, P0, AMA3, 0);
	memcpy(second, n->sealed, second_len = n->sealed_len);
	assert_int_equal(pass_on_sealed(other, P0, second, second_len, 1), 0);
	is_at(P0, AMA3, true);
	assert_int_equal(pass_on_sealed(ama, P0, first, first_len, 1), MH_STATUS_SEQUENCE);
	COUNTED(a->count_status[MH_STATUS_SEQUENCE], 1, "refused update of laptop for " P0 " from " AMA2 ": 135");
	is_at(P0, AMA3, true);
	/* replayed after it was taken */
	assert_int_equal(pass_on_sealed(other, P0, second, second_len, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	COUNTED(a->count_sealed_bad, 3, "AMA ama3 about " P0 ": what it passed on is not a node's update: replay");
	/* one byte of it is another */
	seal(n, P0, AMA2, 0);
	n->sealed[n->sealed_len - 20] ^= 1;
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	COUNTED(a->count_sealed_bad, 4, "not a node's update: auth");
	is_at(P0, AMA3, true);
	/* not asked to: switched off */
	a->config.accept_proxies = false;
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), MH_STATUS_NO_PROXIES);
	assert_int_equal(a->count_status[MH_STATUS_NO_PROXIES], 1);
	is_at(P0, AMA3, true);
	is_listed("ama2", "received", 6);
	is_listed("ama2", "received_refused", 6);
	is_listed("ama3", "received", 3);
	is_listed("ama3", "received_accepted", 1);
	assert_non_null(
		strstr(json_string_value(listed("ama2", "last_error")), "152 (proxy registration not enabled)"));
}

/* A node asks us, its serving AMA, to pass something on to its anchor. */
static void ask_through(
	struct node *n, const struct in6_addr *anchor, const char *prefix_text, const char *link_local_text)
{
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_bu bu = {.sequence = 1, .flags = MH_BU_A | MH_BU_P, .lifetime_s = 300};
	struct mh_writer m = mh_begin_bu(&w, &bu);
	struct prefix6 p = prefix(prefix_text);
	struct in6_addr link_local = address(link_local_text);

	mh_put_anchor(&m, anchor);
	mh_put_prefix(&m, MHOPT_HNP, &p);
	mh_put_address(&m, MHOPT_LINK_LOCAL, &link_local);
	mh_put_sealed(&m, 7, (const uint8_t *)"for the anchor alone", 20);
	mh_end(&m);
	hoplimit = 255;
	ifindex = LAN;
	assert_int_equal(channel_send(n->channel, n->peer, buf, wcur_len(&w)), 0);
	channel_flush(n->channel, now_us);
	turn();
}

/* An AMA says something about it. */
static void say(struct node *ama, uint16_t sequence, uint8_t status, const char *prefix_text)
{
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_ba ba = {
		.flags = MH_BA_P, .sequence = sequence, .status = status, .lifetime_s = status < 128 ? 300 : 0};
	struct mh_writer m = mh_begin_ba(&w, &ba);
	struct prefix6 p = prefix(prefix_text);

	mh_put_prefix(&m, MHOPT_HNP, &p);
	mh_end(&m);
	assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
	channel_flush(ama->channel, now_us);
	turn();
}

/* The routes to a prefix that the kernel was told about in this turn: table and last byte of the gateway, -
 * = deleted. */
static const char *told(const char *prefix_text)
{
	static char text[128];
	struct prefix6 p = prefix(prefix_text);

	text[0] = '\0';
	for (unsigned i = 0; i < kernel.n; i++) {
		const struct fwd_object *o = &kernel.change[i].o;
		size_t len = strlen(text);

		if (o->kind != FWD_ROUTE || !prefix6_equal(&o->route.dst, &p))
			continue;
		if (kernel.change[i].op == FWD_DELETE)
			(void)snprintf(text + len, sizeof(text) - len, "-%u ", o->route.table);
		else
			(void)snprintf(
				text + len, sizeof(text) - len, "%u:%x ", o->route.table, o->route.gateway.s6_addr[15]);
	}
	return text;
}

/* As serving AMA: an anchor is asked only about prefixes that its credential covers, and believed only when it was
 * asked. */
static void an_anchor_that_lies(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);
	const struct serving_counters *counters;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	counters = serving_counters(a->serving);
	/* nobody asked there: nothing of it stays */
	serving_discovered(a->serving, &anchor, &ama->id.credential, now_us);
	for (int covered = 0; covered < 2; covered++) {
		n->n_ba = 0;
		ask_through(n, &anchor, covered ? "2001:db8:102:5::/64" : "2001:db8:999:5::/64", "fe80::11");
		if (!covered) {
			assert_int_equal(n->n_ba, 0);
			serving_discovered(a->serving, &anchor, &ama->id.credential, now_us);
			channel_flush(a->channel, now_us);
			turn();
		}
		assert_int_equal(n->n_ba, !covered);
		if (!covered)
			assert_int_equal(n->ba.status, MH_STATUS_NOT_AUTHORISED_HNP);
		assert_int_equal(counters->not_covered, 1);
		assert_true(covered ||
			strstr(said,
				"AMA ama2 about 2001:db8:999:5::/64: named as anchor of a prefix that its credential does not cover"));
		assert_int_equal(counters->passed, covered);
		/* nothing is forwarded before the anchor has said yes, but what it has put in the tunnel itself
		 * by then */
		assert_int_equal(kernel.n, covered);
		if (covered)
			assert_string_equal(told("2001:db8:102:5::/64"), "7791:11 ");
	}
	/* an AMA that was not asked says yes */
	for (uint16_t sequence = 0; sequence < 4; sequence++) {
		say(ama, sequence, 0, "2001:db8:999:5::/64");
		COUNTED(counters->unmatched, sequence + 1, "AMA ama2 about 2001:db8:999:5::/64: answered ");
		assert_int_equal(serving_count(a->serving), 0);
		assert_int_equal(kernel.n, 0);
	}
}

/* What an anchor sends between the change of its route and its yes is delivered to the node that has asked; not to one
 * whom it refuses or does not answer, nor where two ask. */
static void ahead_of_the_word(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64", other[] = "2001:db8:102:6::/64";
	struct node *n = &nodes[0], *thief = &nodes[1], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);
	uint16_t asked;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_through(n, &anchor, hnp, "fe80::11");
	assert_string_equal(told(hnp), ""); /* who the anchor is, is not known */
	serving_discovered(a->serving, &anchor, &ama->id.credential, now_us);
	channel_flush(a->channel, now_us);
	turn();
	assert_string_equal(told(hnp), "7791:11 ");
	say(ama, ama->asked, 0, hnp);
	assert_string_equal(told(hnp), "254:11 -7791 "); /* in this order: there is always one of the two */
	/* the same again changes nothing, but on another link the node is expected anew */
	ask_through(n, &anchor, hnp, "fe80::11");
	assert_string_equal(told(hnp), "");
	ask_through(n, &anchor, hnp, "fe80::12");
	assert_string_equal(told(hnp), "7791:12 ");
	say(ama, ama->asked, 0, hnp);
	assert_string_equal(told(hnp), "254:12 -7791 ");
	/* another one asks for a prefix that is visiting */
	ask_through(thief, &anchor, hnp, "fe80::66");
	assert_string_equal(told(hnp), "");
	say(ama, ama->asked, MH_STATUS_NOT_AUTHORISED_HNP, hnp);
	assert_string_equal(told(hnp), "");
	/* for one that is not, what comes early is its until the anchor says no; after that nothing is for a minute */
	ask_through(thief, &anchor, other, "fe80::66");
	assert_string_equal(told(other), "7791:66 ");
	say(ama, ama->asked, MH_STATUS_NOT_AUTHORISED_HNP, other);
	assert_string_equal(told(other), "-7791 ");
	for (int i = 0; i < 2; i++) {
		ask_through(thief, &anchor, other, "fe80::66");
		assert_string_equal(told(other), i ? "7791:66 " : "");
		now_us += 61 * SEC;
	}
	serving_tick(a->serving, now_us); /* there was no answer */
	turn();
	assert_string_equal(told(other), "-7791 ");
	now_us += 61 * SEC;
	/* it is first, and then the right one asks: none gets it, also when the thief asks again */
	ask_through(thief, &anchor, other, "fe80::66");
	assert_string_equal(told(other), "7791:66 ");
	ask_through(n, &anchor, other, "fe80::11");
	assert_string_equal(told(other), "-7791 ");
	/* after so long a silence the first one went in a handshake, and this one waits for its answer */
	channel_flush(ama->channel, now_us);
	channel_flush(a->channel, now_us);
	asked = ama->asked;
	ask_through(thief, &anchor, other, "fe80::66");
	assert_string_equal(told(other), "");
	say(ama, asked, 0, other);
	assert_string_equal(told(other), "254:11 ");
}

/* A node changes links while its anchor is asked about it for the first time: the visit begins where it is, not where
 * it was. */
static void moves_while_its_anchor_is_asked(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64";
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	n->sequence = 1; /* of what it has asked */
	assert_int_equal(ASK(n, ATTACH, .link_local = "fe80::12"), 0);
	say(ama, ama->asked, 0, hnp);
	assert_string_equal(told(hnp), "254:12 -7791 ");
}

/* What an anchor has sealed for the node that asked last. */
static void hand_to_node(struct node *ama)
{
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_relay(&w);

	mh_put_sealed(&m, ama->cookie, (const uint8_t *)"yes", 3);
	mh_end(&m);
	assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
	channel_flush(ama->channel, now_us);
	turn();
}

/* The anchor's yes to us is lost, its yes to the node is not: the node hears it when we have heard it, too. */
static void a_node_is_not_told_before_us(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64";
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	n->sealed_len = 0;
	hand_to_node(ama);
	assert_int_equal(n->sealed_len, 0);
	say(ama, ama->asked, 0, hnp);
	assert_int_equal(n->sealed_len, 3);
	n->sealed_len = 0;
	hand_to_node(ama); /* what it says later is passed on as it comes */
	assert_int_equal(n->sealed_len, 3);
}

static void note_end(void *ctx, const struct serving_visit *v)
{
	*(uint64_t *)ctx = v->until_us;
}

static uint64_t end_of_visit(void)
{
	uint64_t until_us = 0;

	serving_each(a->serving, note_end, &until_us);
	return until_us;
}

/* The anchor says that a node has left, and is answered: that holds over a restart. One whose anchor we do not know yet
 * is not answered. */
static void a_node_has_left(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64";
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	say(ama, ama->asked, 0, hnp);
	assert_true(end_of_visit() > now_us + 100 * SEC);
	say_revoked(ama, MH_REVOCATION_INDICATION, 7, "2001:db8:102:6::/64"); /* no such visit */
	assert_int_equal(ama->n_revoked, 1);
	assert_int_equal(ama->left, 7);
	assert_true(end_of_visit() > now_us + 100 * SEC);
	kill_anchor();
	ama->at = address(AWAY); /* what asks who it is gets lost */
	start_anchor();
	assert_int_equal(store_load_visits(a->store, load_visit, a), 0);
	turn();
	assert_true(end_of_visit() > now_us + 100 * SEC);
	channel_free(ama->channel);
	start_node(ama, "ama2", AMA2);
	ama->n_revoked = 0;
	say_revoked(ama, MH_REVOCATION_INDICATION, 8, hnp);
	assert_int_equal(ama->n_revoked, 0); /* it says so again */
	now_us += 2 * SEC;
	serving_tick(a->serving, now_us); /* it is asked again, and answers */
	turn();
	say_revoked(ama, MH_REVOCATION_INDICATION, 9, hnp);
	assert_int_equal(ama->n_revoked, 1);
	assert_int_equal(ama->left, 9);
	assert_true(end_of_visit() > now_us && end_of_visit() <= now_us + (SERVING_FORWARD_S + 1) * SEC);
	kill_anchor();
	start_anchor();
	assert_int_equal(store_load_visits(a->store, load_visit, a), 0);
	/* up to the second in the wheel, in the store, as a time that is left, and in the wheel again */
	assert_true(end_of_visit() > now_us && end_of_visit() <= now_us + (SERVING_FORWARD_S + 4) * SEC);
}

/* Who came back here, and whose word to send on, from before, arrives only now. */
static void sending_on_is_over(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64";
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	say(ama, ama->asked, 0, hnp);
	n->at = address(AWAY);
	assert_int_equal(ASK(n, .prefix = hnp, .lifetime_s = 4, .sequence = 65535), MH_STATUS_NOT_HOME_AGENT);
	assert_true(end_of_visit() > now_us + 100 * SEC);
	assert_int_equal(serving_counters(a->serving)->old, 1);
	assert_int_equal(ASK(n, .prefix = hnp, .lifetime_s = 4, .sequence = 100), 0);
	assert_true(end_of_visit() <= now_us + (SERVING_FORWARD_S + 1) * SEC);
}

static struct domain_key evil; /* a domain that is trusted, and should not be */

static void trust_evil(const struct trust_policy *its)
{
	struct domain both[2] = {domain.domain};
	struct trust_policy policy[2] = {trust_default, *its};
	char err[CREDENTIAL_ERR];

	assert_int_equal(domain_key_generate("evil", &evil, err), 0);
	both[1] = evil.domain;
	assert_int_equal(peers_set_trusted(a, both, policy, 2, err), 0);
}

/* A domain signs a credential with somebody else's public key: it proves nothing, and changes nothing. */
static void a_key_of_somebody_else(void **state)
{
	struct node *n = &nodes[0], *thief = &nodes[1];
	struct in6_addr anchor = address(AMA2);
	struct credential c = {.role = CREDENTIAL_AMA, .until_s = UINT64_C(5000000000), .node = "nobody"};
	const struct channel_peer *peer;

	(void)state;
	trust_evil(&(struct trust_policy){0});
	assert_int_equal(ASK(n, ATTACH), 0);
	memcpy(c.key, n->id.public_key, sizeof(c.key));
	assert_int_equal(credential_sign(&c, &evil), 0);
	ask_through(thief, &anchor, "2001:db8:102:5::/64", "fe80::66");
	thief->n_ba = 0;
	serving_discovered(a->serving, &anchor, &c, now_us);
	channel_flush(a->channel, now_us);
	turn();
	assert_int_equal(thief->n_ba, 1);
	assert_int_equal(thief->ba.status, MH_STATUS_PROHIBITED);
	peer = channel_find_peer(a->channel, n->id.public_key);
	assert_string_equal(channel_peer_name(peer), "laptop");
	assert_int_equal(channel_peer_role(peer), CREDENTIAL_MN);
	assert_memory_equal(channel_peer_domain(a->channel, peer)->key, domain.domain.key, 32);
	assert_int_equal(ASK(n, .prefix = P0, ATTACH), 0);
}

/* An anchor whose credential covers everything says yes to its node about a prefix that a node of another anchor is
 * here with. */
static void a_yes_for_who_is_here(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64";
	struct domain_key ours = domain;
	struct node *n = &nodes[0], *liar = &nodes[1], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2), other = address(AMA3);
	struct trust_policy policy = trust_default;
	struct domain both[2];
	char err[CREDENTIAL_ERR];

	(void)state;
	trust_evil(&trust_default);
	both[0] = ours.domain;
	both[1] = evil.domain;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	say(ama, ama->asked, 0, hnp);
	assert_string_equal(told(hnp), "254:11 -7791 ");
	channel_free(ama->channel); /* it is the liar's node from now on */
	identity_done(&ama->id);
	memset(ama, 0, sizeof(*ama));
	domain = evil;
	become_ama(liar, "liar", "2000::/3", AMA3);
	identify(&ama->id, CREDENTIAL_MN, "mole", NULL);
	domain = ours;
	start_node(ama, "mole", "2001:db8:a::66");
	assert_int_equal(channel_set_trusted(liar->channel, both, 2), 0);
	assert_int_equal(channel_set_trusted(ama->channel, both, 2), 0);
	ask_first(ama, liar, &other, hnp, "fe80::66");
	say(liar, liar->asked, 0, hnp);
	assert_string_equal(told(hnp), "");
	assert_int_equal(serving_count(a->serving), 1);
	COUNTED(serving_counters(a->serving)->unmatched, 1, "another anchor's node is here with");
	/* and is not asked where its domain has no say */
	assert_int_equal(prefix6_parse("2001:db8:900::/40", &policy.prefix[0]), 0);
	policy.n_prefixes = 1;
	assert_int_equal(peers_set_trusted(a, both, (struct trust_policy[]){trust_default, policy}, 2, err), 0);
	ama->n_ba = 0;
	ask_through(ama, &other, "2001:db8:902:1::/64", "fe80::66");
	assert_int_equal(ama->n_ba, 0);
	said[0] = '\0';
	now_us += 11 * SEC;
	ask_first(ama, liar, &other, "2001:db8:802:1::/64", "fe80::66");
	assert_int_equal(ama->n_ba, 1);
	assert_int_equal(ama->ba.status, MH_STATUS_NOT_AUTHORISED_HNP);
}

/* Somebody at another address shows the credential of an AMA that we speak to: we go on speaking to it where it
 * answers, also about what it is asked for by that address. */
static void an_ama_has_two_addresses(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64", more[] = "2001:db8:102:6::/64";
	struct node *n = &nodes[0], *phone = &nodes[1], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2), x = address("2001:db8:66::66");
	struct channel_peer_info info;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	say(ama, ama->asked, 0, hnp);
	ask_first(phone, ama, &x, more, "fe80::66");
	channel_peer_info(channel_find_peer(a->channel, ama->id.public_key), &info);
	assert_memory_equal(&info.ep.remote, &anchor, 16);
	say(ama, ama->asked, 0, more);
	assert_int_equal(serving_count(a->serving), 2);
	/* it is known by then */
	ask_through(phone, &x, "2001:db8:102:7::/64", "fe80::66");
	channel_flush(a->channel, now_us);
	turn();
	say(ama, ama->asked, 0, "2001:db8:102:7::/64");
	assert_int_equal(serving_count(a->serving), 3);
	/* it is silent there: whoever is at the other address is asked again, and spoken to */
	ask_through(n, &anchor, hnp, "fe80::12");
	now_us += 3 * SEC;
	ask_through(phone, &x, more, "fe80::67");
	serving_discovered(a->serving, &x, &ama->id.credential, now_us);
	channel_peer_info(channel_find_peer(a->channel, ama->id.public_key), &info);
	assert_memory_equal(&info.ep.remote, &x, 16);
}

/* Anchors that answered, and have no node here, leave their places to others. */
static void anchors_are_bounded(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2), other = address("2001:db8:66::1");
	char err[CREDENTIAL_ERR];
	uint32_t peers;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, "2001:db8:102:5::/64", "fe80::11");
	say(ama, ama->asked, 0, "2001:db8:102:5::/64");
	assert_int_equal(serving_count(a->serving), 1);
	for (int i = 0; i < 3 * MOST_AMAS; i++) {
		struct credential c = {.role = CREDENTIAL_AMA, .until_s = UINT64_C(5000000000), .node = "liar"};
		struct identity id;

		assert_int_equal(identity_generate(CREDENTIAL_AMA, "liar", &id, err), 0);
		memcpy(c.key, id.public_key, sizeof(c.key));
		identity_done(&id);
		assert_int_equal(credential_sign(&c, &domain), 0);
		other.s6_addr[15]++;
		ask_through(n, &other, "2001:db8:166:6::/64", "fe80::11");
		serving_discovered(a->serving, &other, &c, now_us);
		turn();
		now_us += 5 * SEC;
		serving_tick(a->serving, now_us);
		assert_true(serving_amas(a->serving) <= MOST_AMAS);
	}
	assert_int_equal(serving_counters(a->serving)->limited, 0);
	/* nothing is left of those that had to go */
	channel_expire(a->channel, now_us);
	peers = channel_counters(a->channel)->peers;
	assert_true(peers <= MOST_AMAS + 2);
	/* who is needed is known */
	ask_through(n, &anchor, "2001:db8:102:5::/64", "fe80::12");
	channel_flush(a->channel, now_us);
	channel_flush(ama->channel, now_us);
	turn();
	say(ama, ama->asked, 0, "2001:db8:102:5::/64");
	assert_string_equal(told("2001:db8:102:5::/64"), "254:12 -7791 ");
}

/* --- what a domain may do here
 * (trusted-domains) ------------------------------------------------------------------- */

/* As a line of the file would say it, of the domain that all are of. */
static void set_policy(const char *options)
{
	char line[CREDENTIAL_TEXT + 256], err[CREDENTIAL_ERR];
	struct trust_policy policy;
	struct domain d;

	(void)domain_to_text(&domain.domain, line);
	(void)snprintf(line + strlen(line), 256, " %s", options);
	assert_int_equal(trust_parse(line, &d, &policy, err), 1);
	assert_int_equal(peers_set_trusted(a, &d, &policy, 1, err), 0);
}

/* AMAs that may pass nothing on take no place from those that may. */
static void places_of_amas(void **state)
{
	struct node *ama = &nodes[2];

	(void)state;
	set_policy("proxy=no");
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	assert_int_equal(pass_on_sealed(ama, P0, (const uint8_t *)"x", 1, 1), MH_STATUS_NOT_AUTHORISED_MAG);
	assert_int_equal(a->n_relays, 1); /* seen, as there is room */
	a->n_relays = RELAYS / 2;
	become_ama(ama, "ama3", "2001:db8:103::/48", AMA3);
	assert_int_equal(pass_on_sealed(ama, P0, (const uint8_t *)"x", 1, 1), MH_STATUS_NOT_AUTHORISED_MAG);
	assert_int_equal(a->n_relays, RELAYS / 2);
	set_policy("");
	assert_int_equal(pass_on_sealed(ama, P0, (const uint8_t *)"x", 1, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	assert_int_equal(a->n_relays, RELAYS / 2 + 1);
}

/* All places of AMAs are taken: another one is refused with an answer, until one was not heard for so long that nothing
 * of it can be left. */
static void a_place_of_an_ama_is_given_away(void **state)
{
	struct node *ama = &nodes[2], *next = &nodes[1];
	const uint8_t *x = (const uint8_t *)"x";

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	become_ama(next, "ama3", "2001:db8:103::/48", AMA3);
	assert_int_equal(pass_on_sealed(ama, P0, x, 1, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	now_us += 3600 * SEC;
	while (a->n_relays < RELAYS) {
		struct relay *r = &a->relay[a->n_relays++];

		randombytes_buf(r->key, sizeof(r->key));
		r->heard_us = now_us;
	}
	assert_int_equal(pass_on_sealed(next, P0, x, 1, 1), MH_STATUS_RESOURCES);
	COUNTED(a->count_relays_full, 1, "no room for more AMAs that pass updates on");
	now_us += RELAY_UNUSED_US - 3600 * SEC - 1;
	assert_int_equal(pass_on_sealed(next, P0, x, 1, 1), MH_STATUS_RESOURCES);
	assert_memory_equal(a->relay[0].key, ama->id.public_key, 32);
	now_us += 1;
	assert_int_equal(pass_on_sealed(next, P0, x, 1, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	assert_memory_equal(a->relay[0].key, next->id.public_key, 32);
	assert_int_equal(a->relay[0].received, 1);
	assert_int_equal(a->n_relays, RELAYS);
}

/* An AMA that was set up anew has another key at the same address: that one is at it. */
static void an_ama_with_another_key(void **state)
{
	struct node *ama = &nodes[2];
	struct in6_addr at = address(AMA2);

	(void)state;
	for (unsigned i = 1; i <= 2; i++) {
		become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
		assert_int_equal(pass_on_sealed(ama, P0, (const uint8_t *)"x", 1, 1), MH_STATUS_NOT_AUTHORISED_HNP);
		assert_int_equal(a->n_relays, i);
		assert_memory_equal(channel_peer_key(peers_relay_at(a, &at)), ama->id.public_key, 32);
		now_us += SEC;
	}
}

/* Nodes that are not served take no place from those that are. */
static void places_of_nodes(void **state)
{
	struct node *n = &nodes[0], *other = &nodes[1];

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	set_policy("roaming=no");
	assert_int_equal(ASK(other, ATTACH), MH_STATUS_PROHIBITED); /* told, as there is room */
	channel_free(n->channel);
	channel_free(other->channel);
	kill_anchor();
	start_anchor();
	set_policy("roaming=no");
	a->config.max_nodes = 1;
	start_node(n, "laptop", "2001:db8:a::11");
	start_node(other, "phone", "2001:db8:a::12");
	may_fail = CHANNEL_REFUSED;
	assert_int_equal(ASK(other, ATTACH), 255);
	assert_int_equal(channel_counters(a->channel)->why[CHANNEL_REFUSED], 1);
	may_fail = CHANNEL_OK;
	n->sequence = 100; /* it has a lease */
	assert_int_equal(ASK(n, .prefix = P0, ATTACH), 0);
}

static void refused_by(const char *reason, int value, const char *words)
{
	json_t *list = peers_domains_json(a);

	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(json_array_get(list, 0), "refused"), reason)),
		value);
	json_decref(list);
	assert_non_null(strstr(said, words));
	said[0] = '\0';
}

static uint64_t lease_of(const char *prefix_text)
{
	struct prefix6 p = prefix(prefix_text);

	return lease_until_us(anchoring_find(a->anchoring, &p));
}

static void policy_of_leases(void **state)
{
	struct node *n = &nodes[0], *other = &nodes[1];
	uint64_t until_us;

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	until_us = lease_of(P0);
	/* no more of them: what is leased stays until its time is over, at home and away, and is not renewed */
	set_policy("lend=no");
	now_us += 10 * SEC;
	assert_int_equal(ASK(other, ATTACH), 129);
	refused_by("lend", 1, "phone of domain test is refused: lend in trusted-domains");
	assert_int_equal(ASK(n, .prefix = P0, ATTACH), 0);
	assert_int_equal(n->lease.lifetime_s, 590);
	assert_int_equal(lease_of(P0), until_us);
	n->at = address(AWAY);
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60, .lease_s = 3600), 0);
	assert_int_equal(lease_of(P0), until_us);
	/* not served at all: the same for leases */
	set_policy("roaming=no");
	assert_int_equal(ASK(other, ATTACH), 129);
	refused_by("roaming", 1, "phone of domain test is refused: roaming in trusted-domains");
	assert_int_equal(ASK(n, .prefix = P0, .lifetime_s = 60), 0);
	/* as many as there are, not one more */
	set_policy("max-leases=1");
	assert_int_equal(ASK(other, ATTACH), 130);
	refused_by("max-leases", 1, "phone of domain test is refused: max-leases in trusted-domains");
	assert_int_equal(ASK(n, .prefix = P0, .lease_s = -1), 0);
	assert_int_equal(ASK(other, ATTACH), 0);
	assert_int_equal(ASK(n, ATTACH), 130);
	/* also those from before a restart count */
	kill_anchor();
	start_anchor();
	set_policy("max-leases=1");
	channel_free(n->channel);
	start_node(n, "laptop", HERE);
	assert_int_equal(ASK(n, ATTACH), 130);
	set_policy("max-leases=2");
	assert_int_equal(ASK(n, ATTACH), 0);
}

/* The domain is taken out of the file: its nodes have sessions of the channel, and get nothing by them. */
static void trusted_no_more(void **state)
{
	struct node *n = &nodes[0];
	char err[CREDENTIAL_ERR];
	json_t *none;

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_int_equal(peers_set_trusted(a, NULL, NULL, 0, err), 0);
	assert_int_equal(ASK(&nodes[0], .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW), 129);
	refused_by("untrusted", 1, "laptop of domain test is refused: it is trusted no more");
	may_fail = CHANNEL_UNTRUSTED;
	assert_int_equal(ASK(&nodes[1], ATTACH), 255); /* who has none gets none */
	may_fail = CHANNEL_OK;
	assert_int_equal(ASK(n, .prefix = P0, .lease_s = -1), 0);
	none = peers_domains_json(a);
	assert_int_equal(json_array_size(none), 0);
	json_decref(none);
	set_policy("");
	assert_int_equal(ASK(n, ATTACH), 0);
}

static void policy_of_updates(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64", hnp2[] = "2001:db8:102:6::/64";
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);
	json_t *list;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	assert_int_equal(ASK(n, ATTACH), 0);
	set_policy("proxy=no");
	/* nothing from its AMAs */
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), MH_STATUS_NOT_AUTHORISED_MAG);
	refused_by("proxy", 1, "ama2 of domain test is refused: proxy in trusted-domains");
	assert_string_equal(json_string_value(listed("ama2", "policy")), "proxy=no");
	assert_int_equal(lm_count(a->lm), 0);
	/* nothing for its nodes */
	ask_through(n, &anchor, hnp, "fe80::11");
	assert_int_equal(n->ba.status, 129);
	refused_by("proxy", 2, "refused update of laptop");
	/* more than it may in a second */
	set_policy("updates=2");
	now_us += SEC;
	for (int i = 0; i < 3; i++) {
		seal(n, P0, AMA2, 0);
		assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), i < 2 ? 0 : 130);
	}
	refused_by("updates", 1, "ama2 of domain test is refused: updates in trusted-domains");
	now_us += SEC / 2;
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), 0);
	/* more visits than its nodes may have */
	set_policy("max-visits=1");
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	say(ama, ama->asked, 0, hnp);
	assert_int_equal(serving_count(a->serving), 1);
	ask_through(n, &anchor, hnp2, "fe80::11");
	assert_int_equal(n->ba.status, 130);
	assert_int_equal(a->domain[0].visits, 1);
	list = peers_domains_json(a);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "visits")), 1);
	json_decref(list);
	ask_through(n, &anchor, hnp, "fe80::11"); /* the one that it has goes on */
	channel_flush(a->channel, now_us);
	say(ama, ama->asked, 0, hnp);
	assert_int_equal(a->domain[0].visits, 1);
	refused_by("max-visits", 1, "");
	now_us += 301 * SEC;
	tick(a);
	assert_int_equal(a->domain[0].visits, 0);
}

/* Trust in one direction: their AMAs pass on to us, and ours do not to theirs; and the other way round. */
static void trust_in_one_direction(void **state)
{
	struct domain_key ours = domain, theirs;
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2);
	const struct channel_counters *c = channel_counters(a->channel);
	struct domain both[2];
	uint64_t untrusted;
	struct trust_policy policy[2] = {trust_default, trust_default};
	char err[CREDENTIAL_ERR];

	(void)state;
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_int_equal(domain_key_generate("theirs", &theirs, err), 0);
	both[0] = ours.domain;
	both[1] = theirs.domain;
	domain = theirs;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	domain = ours;

	/* we do not trust them (whether they trust us is nothing to us): their AMA is not heard, and their anchor not
	 * asked */
	may_fail = CHANNEL_UNTRUSTED;
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), 255);
	untrusted = c->why[CHANNEL_UNTRUSTED];
	assert_true(untrusted > 0);
	ask_through(n, &anchor, "2001:db8:102:5::/64", "fe80::11");
	assert_true(c->why[CHANNEL_UNTRUSTED] > untrusted); /* it told its credential */
	assert_int_equal(serving_counters(a->serving)->passed, 0);
	may_fail = CHANNEL_OK;
	assert_int_equal(lm_count(a->lm), 0);

	/* we trust them: our nodes come to us through their AMAs; their own nodes are not served here */
	policy[1].roaming = false;
	assert_int_equal(peers_set_trusted(a, both, policy, 2, err), 0);
	now_us += 5 * SEC;
	channel_free(n->channel);
	start_node(n, "laptop", HERE);
	seal(n, P0, AMA2, n->sequence + 1);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), 0);
	is_at(P0, AMA2, true);
	domain = theirs;
	identity_done(&nodes[1].id);
	channel_free(nodes[1].channel);
	memset(&nodes[1], 0, sizeof(nodes[1]));
	start_node(&nodes[1], "guest", "2001:db8:a::12");
	domain = ours;
	assert_int_equal(ASK(&nodes[1], ATTACH), 129);
	assert_non_null(strstr(said, "refused"));
	assert_int_equal(a->domain[1].refused[REFUSAL_ROAMING], 1);
	/* their anchors are not asked for ours */
	policy[1] = trust_default;
	policy[1].proxy = false;
	assert_int_equal(peers_set_trusted(a, both, policy, 2, err), 0);
	hand_over(ama, n);
	ask_first(n, ama, &anchor, "2001:db8:102:5::/64", "fe80::11");
	assert_int_equal(n->ba.status, 129);
	assert_int_equal(serving_counters(a->serving)->passed, 0);
	assert_int_equal(a->domain[1].refused[REFUSAL_PROXY], 2); /* with the one that has waited since then */
	assert_int_equal(ASK(&nodes[1], ATTACH), 0);		  /* but its nodes are leased to */
	assert_int_equal(a->domain[1].leases, 1);
	domain_key_done(&theirs);
}

/* --- an AMA has another address ----------------------------------------------------------------------------------- */

#define MOVED "2001:db8:a9::1"

/* It says so from where it is. */
static void say_moved(struct node *ama, const char *former)
{
	uint8_t buf[128];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_bu bu = {.sequence = ++ama->sequence, .flags = MH_BU_A | MH_BU_H | MH_BU_P, .lifetime_s = 4};
	struct mh_writer m = mh_begin_bu(&w, &bu);
	struct in6_addr x = address(former);

	mh_put_former(&m, &x);
	mh_end(&m);
	assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
	channel_flush(ama->channel, now_us);
	turn();
}

static void answer_heartbeat(struct node *ama, uint32_t sequence)
{
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_heartbeat(
		&w, &(struct mh_heartbeat){.flags = MH_HEARTBEAT_R, .sequence = sequence});

	mh_end(&m);
	assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
	channel_flush(ama->channel, now_us);
	turn();
}

static void an_ama_moves(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2], *other = &nodes[1];
	struct in6_addr was = address(AMA2), is = address(MOVED);
	uint32_t id;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	assert_int_equal(ASK(n, ATTACH), 0);
	assert_int_equal(ASK(n, .lease_s = 600, .lease_flags = DMMOPT_LEASE_ATTACH | DMMOPT_LEASE_NEW), 0);
	assert_int_equal(ASK(other, ATTACH), 0); /* 101:2 */
	other->at = address(AWAY);
	assert_int_equal(ASK(other, .prefix = "2001:db8:101:2::/64", .lifetime_s = 300), 0);
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), 0);
	id = change_of(FWD_NEXTHOP)->nexthop.id;
	seal(n, P1, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P1, n->sealed, n->sealed_len, 1), 0);
	is_at(P1, AMA2, true);

	/* it says that it is elsewhere: until it has answered there, nothing is */
	ama->at = is;
	say_moved(ama, AMA2);
	assert_int_equal(kernel.n, 0);
	answer_heartbeat(ama, ama->ping + 1); /* made up */
	assert_int_equal(kernel.n, 0);
	ama->at = address("2001:db8:a8::1"); /* from somewhere else: it may have read it on the way */
	answer_heartbeat(ama, ama->ping);
	assert_int_equal(kernel.n, 0);
	is_at(P0, AMA2, true);
	assert_int_equal(ama->n_moved, 0);
	ama->at = is;
	answer_heartbeat(ama, ama->ping);
	assert_int_equal(kernel.n, 1); /* both prefixes, by one replacement */
	assert_int_equal(kernel.change[0].op, FWD_REPLACE);
	assert_int_equal(change_of(FWD_NEXTHOP)->nexthop.id, id);
	assert_memory_equal(&change_of(FWD_NEXTHOP)->nexthop.encap.dst, &is, 16);
	is_at(P0, MOVED, true);
	is_at(P1, MOVED, true);
	is_at("2001:db8:101:2::/64", AWAY, false);
	assert_int_equal(ama->n_moved, 1);
	assert_memory_equal(&ama->former, &was, 16);
	assert_int_equal(a->count_relocations, 1);
	/* the same answer again does nothing */
	answer_heartbeat(ama, ama->ping);
	assert_int_equal(kernel.n, 0);
	/* a renewal through it finds it there */
	seal(n, P0, MOVED, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), 0);
	assert_int_equal(kernel.n, 0);

	/* again at once, which costs a look at all bindings: that it has to wait for */
	ama->at = address("2001:db8:a8::1");
	ama->ping = 0;
	say_moved(ama, MOVED);
	assert_int_equal(ama->ping, 0);
	now_us += RELOCATED_US;

	/* where it has passed on one of the two behind its address, that one moves */
	n->at = address(MOVED); /* the node itself, at the address of the AMA */
	assert_int_equal(ASK(n, .prefix = P1, .lifetime_s = 300), 0);
	assert_int_equal(kernel.n, 0);
	say_moved(ama, MOVED);
	answer_heartbeat(ama, ama->ping);
	is_at(P0, "2001:db8:a8::1", true);
	is_at(P1, MOVED, false);
	assert_int_equal(changes_of(FWD_NEXTHOP, FWD_ADD), 1);
	assert_int_equal(changes_of(FWD_ROUTE, FWD_REPLACE), 1);

	/* over a restart */
	kill_anchor();
	start_anchor();
	is_at(P0, "2001:db8:a8::1", true);
}

/* Another AMA says that it was there: what was passed on by others does not move; nor does what a domain may not do. */
static void an_ama_that_lies_about_its_address(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2], *liar = &nodes[1];

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	become_ama(liar, "ama3", "2001:db8:103::/48", AMA3);
	assert_int_equal(ASK(n, ATTACH), 0);
	seal(n, P0, AMA2, 0);
	assert_int_equal(pass_on_sealed(ama, P0, n->sealed, n->sealed_len, 1), 0);
	say_moved(liar, AMA2);
	answer_heartbeat(liar, liar->ping);
	assert_int_equal(kernel.n, 0);
	is_at(P0, AMA2, true);
	/* into our own pool: a tunnel that swallows itself */
	ama->at = address("2001:db8:101:1::1");
	say_moved(ama, AMA2);
	answer_heartbeat(ama, ama->ping);
	is_at(P0, AMA2, true);
	/* too late */
	ama->at = address(MOVED);
	say_moved(ama, AMA2);
	now_us += 11 * SEC;
	answer_heartbeat(ama, ama->ping);
	is_at(P0, AMA2, true);
	set_policy("proxy=no");
	say_moved(ama, AMA2);
	assert_int_equal(ama->ba.status, MH_STATUS_NOT_AUTHORISED_MAG);
	answer_heartbeat(ama, ama->ping);
	is_at(P0, AMA2, true);
}

/* The other side: we have another address. */
static void we_move(void **state)
{
	static const char hnp[] = "2001:db8:102:5::/64";
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr anchor = address(AMA2), from = address(SELF), to = address("2001:db8:f::2");
	const struct serving_counters *counters = serving_counters(a->serving);
	struct mh_writer m;
	unsigned visits = 0;

	(void)state;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	ask_first(n, ama, &anchor, hnp, "fe80::11");
	say(ama, ama->asked, 0, hnp);
	assert_int_equal(serving_relocate(a->serving, &to, &from, now_us, &visits), 0); /* nothing is there */
	assert_int_equal(visits, 0);
	assert_int_equal(serving_relocate(a->serving, &from, &to, now_us, &visits), 1);
	assert_int_equal(visits, 1);
	channel_flush(a->channel, now_us);
	turn();
	assert_int_equal(kernel.n, 0);
	for (int right = 0; right < 2; right++) {
		uint8_t buf[64];
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_ba ba = {.flags = MH_BA_P, .sequence = (uint16_t)(ama->asked - !right)};

		m = mh_begin_ba(&w, &ba);
		mh_put_former(&m, &from);
		mh_end(&m);
		assert_int_equal(channel_send(ama->channel, ama->peer, buf, wcur_len(&w)), 0);
		channel_flush(ama->channel, now_us);
		turn();
		assert_int_equal(counters->unmatched, 1);
		assert_int_equal(kernel.n, right); /* the way up: from the new address */
	}
	assert_int_equal(kernel.change[0].o.route.table, RC_VISITING_TABLE);
	assert_memory_equal(&kernel.change[0].o.route.encap.src, &to, 16);
	/* one who does not answer is told again, for a while */
	ama->asked = 0;
	assert_int_equal(serving_relocate(a->serving, &to, &from, now_us, &visits), 1);
	for (int i = 0; i < 20; i++) {
		now_us += SEC;
		serving_tick(a->serving, now_us);
		channel_flush(a->channel, now_us);
	}
	turn();
	assert_int_not_equal(ama->asked, 0);
	assert_string_equal(
		json_string_value(listed("ama2", "last_error")), "does not answer that we have another address");
	assert_int_equal(kernel.n, 0);
}

/* --- in the middle (regional AMA, RFC 5380) ----------------------------------------------------------------------- */

#define ANCHOR "2001:db8:102::1"
#define HNP    "2001:db8:102:5::/64"

/* What the node seals for us, the regional AMA, to go through the AMA at below: pass something on to its anchor, or
 * only that it is there now. */
static void seal_regional(
	struct node *n, const char *anchor_text, const char *prefix_text, const char *below, uint16_t sequence)
{
	struct channel_endpoint through = {.remote = address(SELF), .port = CHANNEL_PORT, .relay = 1};
	uint8_t buf[CHANNEL_MESSAGE_MAX];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_bu bu = {.sequence = sequence, .flags = MH_BU_A | MH_BU_P, .lifetime_s = 300};
	struct mh_writer m = mh_begin_bu(&w, &bu);
	struct prefix6 p = prefix(prefix_text);
	struct in6_addr x;

	if (anchor_text) {
		x = address(anchor_text);
		mh_put_anchor(&m, &x);
	}
	mh_put_prefix(&m, MHOPT_HNP, &p);
	x = address(below);
	mh_put_address(&m, MHOPT_ALT_COA, &x);
	if (anchor_text)
		mh_put_sealed(&m, 7, (const uint8_t *)"for the anchor alone", 20);
	mh_end(&m);
	channel_peer_set_endpoint(n->peer, &through);
	assert_int_equal(channel_send(n->channel, n->peer, buf, wcur_len(&w)), 0);
	channel_flush(n->channel, now_us);
}

/* An AMA below passes that on, and hands over what comes back. */
static unsigned pass_up(struct node *ama, const char *prefix_text, struct node *n)
{
	unsigned status = pass_on_sealed(ama, prefix_text, n->sealed, n->sealed_len, 1);

	if (ama->sealed_len > 0)
		hand_over(ama, n);
	return status;
}

struct below {
	struct prefix6 prefix;
	struct in6_addr ama;
};

static void find_below(void *ctx, const struct serving_visit *v)
{
	struct below *b = ctx;

	if (prefix6_equal(&v->prefix, &b->prefix))
		b->ama = v->through;
}

static struct in6_addr below_us(const char *prefix_text)
{
	struct below b = {.prefix = prefix(prefix_text), .ama = address("2001:db8:dead::")};

	serving_each(a->serving, find_below, &b);
	return b.ama;
}

#define IS_BELOW(text)                                                                                                 \
	do {                                                                                                           \
		struct in6_addr is = below_us(HNP), want = address(text);                                              \
		assert_memory_equal(&is, &want, 16);                                                                   \
	} while (0)

/* The node comes to us through ama3, for the first time. */
static void enter_region(struct node *n, struct node *anchor, struct node *ama)
{
	struct in6_addr x = address(ANCHOR);

	seal_regional(n, ANCHOR, HNP, AMA3, 10);
	assert_int_equal(pass_up(ama, HNP, n), 255); /* its anchor has to be found */
	serving_discovered(a->serving, &x, &anchor->id.credential, now_us);
	channel_flush(a->channel, now_us);
	turn();
	say(anchor, anchor->asked, 0, HNP);
	channel_flush(a->channel, now_us);
	IS_BELOW(AMA3);
}

/* What AMAs below, and nodes, may try at a regional AMA. */
static void lies_to_a_regional_ama(void **state)
{
	struct node *n = &nodes[0], *anchor = &nodes[1], *ama3 = &nodes[2];
	const struct serving_counters *counters = serving_counters(a->serving);
	uint8_t kept[1000], again[1000];
	size_t kept_len, again_len;
	struct in6_addr moved = address("2001:db8:a4::1"), back = address(AMA3);

	(void)state;
	become_ama(anchor, "ama1", "2001:db8:102::/48", ANCHOR);
	become_ama(ama3, "ama3", "2001:db8:103::/48", AMA3);
	/* it names another AMA than the one that passes it on */
	seal_regional(n, ANCHOR, HNP, "2001:db8:a4::1", 5);
	assert_int_equal(pass_up(ama3, HNP, n), MH_STATUS_INVALID_COA);
	COUNTED(a->count_status[MH_STATUS_INVALID_COA], 1, "refused update of laptop for " HNP " from " AMA3 ": 174");
	/* a local move of what is not here */
	seal_regional(n, NULL, HNP, AMA3, 6);
	assert_int_equal(pass_up(ama3, HNP, n), MH_STATUS_NOT_HOME_AGENT);
	COUNTED(a->count_status[MH_STATUS_NOT_HOME_AGENT], 1, "refused update of laptop for " HNP);
	assert_int_equal(serving_count(a->serving), 0);
	/* a prefix of ours: nobody else says where that is */
	seal_regional(n, ANCHOR, P0, AMA3, 7);
	assert_int_equal(pass_up(ama3, P0, n), MH_STATUS_PROHIBITED);
	assert_int_equal(counters->requests, 0);

	enter_region(n, anchor, ama3);
	/* it is kept back until the node has moved on ... */
	seal_regional(n, NULL, HNP, AMA3, 11);
	memcpy(kept, n->sealed, kept_len = n->sealed_len);
	seal_regional(n, ANCHOR, HNP, AMA3, 12);
	memcpy(again, n->sealed, again_len = n->sealed_len);
	ama3->at = moved; /* the same AMA at another place does for one more */
	seal_regional(n, NULL, HNP, "2001:db8:a4::1", 13);
	assert_int_equal(pass_up(ama3, HNP, n), 0);
	IS_BELOW("2001:db8:a4::1");
	/* ... and would bring it back: both are older than what it said since, and its anchor is not asked either */
	ama3->at = back;
	assert_int_equal(pass_on_sealed(ama3, HNP, kept, kept_len, 1), MH_STATUS_SEQUENCE);
	COUNTED(counters->old, 1, "refused update of laptop for " HNP " from " AMA3 ": 135");
	anchor->asked = 0;
	assert_int_equal(pass_on_sealed(ama3, HNP, again, again_len, 1), MH_STATUS_SEQUENCE);
	COUNTED(counters->old, 2, ": 135");
	assert_int_equal(anchor->asked, 0);
	assert_string_equal(told(HNP), "");
	IS_BELOW("2001:db8:a4::1");
	/* replayed: the channel knows it */
	assert_int_equal(pass_on_sealed(ama3, HNP, kept, kept_len, 1), MH_STATUS_NOT_AUTHORISED_HNP);
	COUNTED(a->count_sealed_bad, 1, "AMA ama3 about " HNP ": what it passed on is not a node's update: replay");
	IS_BELOW("2001:db8:a4::1");
	/* forged */
	n->sealed[n->sealed_len - 20] ^= 1;
	assert_int_equal(pass_up(ama3, HNP, n), MH_STATUS_NOT_AUTHORISED_HNP);
	COUNTED(a->count_sealed_bad, 2, "not a node's update");
	/* the node tells us on our own link; what was kept back meanwhile is old as well */
	seal_regional(n, NULL, HNP, AMA3, 20);
	memcpy(kept, n->sealed, kept_len = n->sealed_len);
	channel_peer_set_endpoint(n->peer, &(struct channel_endpoint){.remote = address(SELF), .port = CHANNEL_PORT});
	assert_int_equal(ASK(n, ATTACH, .sequence = 21), 0);
	IS_BELOW("::");
	assert_int_equal(pass_on_sealed(ama3, HNP, kept, kept_len, 1), MH_STATUS_SEQUENCE);
	IS_BELOW("::");
}

/* Another node asks for a prefix that is below us, in both ways. */
static void a_node_that_lies_to_a_regional_ama(void **state)
{
	struct node *n = &nodes[0], *anchor = &nodes[1], *ama3 = &nodes[2], thief = {0};
	struct in6_addr self = address(SELF);
	unsigned visits;

	(void)state;
	become_ama(anchor, "ama1", "2001:db8:102::/48", ANCHOR);
	become_ama(ama3, "ama3", "2001:db8:103::/48", AMA3);
	enter_region(n, anchor, ama3);
	start_node(&thief, "thief", "2001:db8:a::66");
	ama3->at = address("2001:db8:a4::1");
	seal_regional(&thief, NULL, HNP, "2001:db8:a4::1", 100);
	assert_int_equal(pass_up(ama3, HNP, &thief), MH_STATUS_NOT_HOME_AGENT);
	COUNTED(a->count_status[MH_STATUS_NOT_HOME_AGENT], 1, "refused update of thief for " HNP);
	seal_regional(&thief, ANCHOR, HNP, "2001:db8:a4::1", 101);
	assert_int_equal(pass_up(ama3, HNP, &thief), 255);
	assert_string_equal(told(HNP), ""); /* nothing of what comes early is its */
	say(anchor, anchor->asked, MH_STATUS_NOT_AUTHORISED_HNP, HNP);
	assert_int_equal(ama3->ba.status, MH_STATUS_NOT_AUTHORISED_HNP); /* the AMA below hears it too */
	IS_BELOW(AMA3);
	/* a regional AMA stays where it is: the AMAs below reach it there */
	assert_int_equal(serving_relocate(a->serving, &self, &ama3->at, now_us, &visits), -EBUSY);
	channel_free(thief.channel);
	identity_done(&thief.id);
}

/* Two AMAs that are each other's regional one, and others that would make a circle. */
static void loops(void **state)
{
	struct node *n = &nodes[0], *anchor = &nodes[1], *ama3 = &nodes[2];
	struct in6_addr x = address(AMA3), self = address(SELF);

	(void)state;
	become_ama(anchor, "ama1", "2001:db8:102::/48", ANCHOR);
	become_ama(ama3, "ama3", "2001:db8:103::/48", AMA3);
	a->config.through = x;
	serving_set_through(a->serving, &x);
	/* through us, back to where it came from */
	seal_regional(n, AMA3, HNP, AMA3, 1);
	assert_int_equal(pass_up(ama3, HNP, n), MH_STATUS_PROHIBITED);
	COUNTED(a->count_status[MH_STATUS_PROHIBITED], 1, "refused update of laptop for " HNP " from " AMA3 ": 129");
	/* to ourselves */
	seal_regional(n, SELF, HNP, AMA3, 2);
	assert_int_equal(pass_up(ama3, HNP, n), MH_STATUS_PROHIBITED);
	/* to another address of ours: who is asked there has our key */
	seal_regional(n, "2001:db8:f::99", HNP, AMA3, 3);
	assert_int_equal(pass_up(ama3, HNP, n), 255);
	self = address("2001:db8:f::99");
	serving_discovered(a->serving, &self, &a->identity.credential, now_us);
	channel_flush(a->channel, now_us);
	turn();
	assert_int_equal(ama3->ba.status, MH_STATUS_PROHIBITED);
	/* its anchor is AMA3 (we are below it), and then it says that it is behind AMA3 */
	channel_peer_set_endpoint(n->peer, &(struct channel_endpoint){.remote = address(SELF), .port = CHANNEL_PORT});
	ask_first(n, ama3, &x, HNP, "fe80::11");
	say(ama3, ama3->asked, 0, HNP);
	assert_int_equal(serving_count(a->serving), 1);
	seal_regional(n, NULL, HNP, AMA3, 10);
	assert_int_equal(pass_up(ama3, HNP, n), MH_STATUS_NOT_HOME_AGENT);
	IS_BELOW("::");
}

/* The regional AMA that is set is of nobody whom we trust: no credential of it is taken, so nothing goes there. */
static void a_regional_ama_that_is_not_trusted(void **state)
{
	struct node *n = &nodes[0], *ama = &nodes[2];
	struct in6_addr x = address(AMA2);
	struct domain_key ours = domain, other;
	char err[CREDENTIAL_ERR];
	struct mh_ba before;

	(void)state;
	assert_int_equal(domain_key_generate("other", &other, err), 0);
	domain = other;
	become_ama(ama, "ama2", "2001:db8:102::/48", AMA2);
	domain = ours;
	a->config.through = x;
	serving_set_through(a->serving, &x);
	before = n->ba;
	may_fail = CHANNEL_UNTRUSTED;
	ask_through(n, &x, HNP, "fe80::11");
	assert_memory_equal(&before, &n->ba, sizeof(before));
	assert_int_equal(serving_counters(a->serving)->passed, 0);
	/* and what it says itself is not heard */
	assert_int_equal(channel_counters(a->channel)->why[CHANNEL_UNTRUSTED], 1);
	assert_int_equal(pass_on_sealed(ama, HNP, (const uint8_t *)"forged", 6, 1), 255);
	may_fail = CHANNEL_OK;
	assert_int_equal(channel_counters(a->channel)->why[CHANNEL_UNTRUSTED], 2);
	assert_int_equal(a->n_relays, 0);
	/* a node that asks to go past it is told the way */
	x = address(ANCHOR);
	ask_through(n, &x, HNP, "fe80::11");
	assert_int_equal(n->ba.status, MH_STATUS_PROHIBITED);
	domain_key_done(&other);
}

/* The regional AMA is started again: it knows who is below it, by which AMA, and what it has said. */
static void a_regional_ama_restarts(void **state)
{
	struct node *n = &nodes[0], *anchor = &nodes[1], *ama3 = &nodes[2];

	(void)state;
	become_ama(anchor, "ama1", "2001:db8:102::/48", ANCHOR);
	become_ama(ama3, "ama3", "2001:db8:103::/48", AMA3);
	enter_region(n, anchor, ama3);
	kill_anchor();
	start_anchor();
	assert_int_equal(store_load_visits(a->store, load_visit, a), 0);
	turn();
	IS_BELOW(AMA3);
	become_ama(anchor, "ama1", "2001:db8:102::/48", ANCHOR);
	become_ama(ama3, "ama3", "2001:db8:103::/48", "2001:db8:a4::1");
	channel_free(n->channel);
	start_node(n, "laptop", HERE);
	seal_regional(n, NULL, HNP, "2001:db8:a4::1", 10); /* the one that it had said last */
	assert_int_equal(pass_up(ama3, HNP, n), MH_STATUS_SEQUENCE);
	IS_BELOW(AMA3);
	seal_regional(n, NULL, HNP, "2001:db8:a4::1", 11);
	assert_int_equal(pass_up(ama3, HNP, n), 0);
	IS_BELOW("2001:db8:a4::1");
}

static void count_peer(void *ctx, const struct serving_peer *p)
{
	(void)p;
	++*(unsigned *)ctx;
}

/* A node asks an AMA to pass something on to an anchor, which nobody is. */
static void ask_about(struct node *n, unsigned i)
{
	struct in6_addr anchor = address("2001:db8:66::1");

	anchor.s6_addr[14] = (uint8_t)i;
	ask_through(n, &anchor, "2001:db8:999:5::/64", "fe80::11");
}

/* A node names anchors that are not there: few of them are asked, and they are forgotten. */
static void a_node_that_names_strangers(void **state)
{
	struct node *n = &nodes[0];
	const struct channel_counters *c = channel_counters(a->channel);
	unsigned peers = 0;

	(void)state;
	now_us += 10 * SEC;
	for (unsigned i = 0; i < 100; i++)
		ask_about(n, i);
	/* a request and a discovery are 9 of the 64 that it may have at once */
	assert_int_equal(c->tx_discovery, 7);
	assert_int_equal(n->ba.status, MH_STATUS_RESOURCES);
	assert_int_equal(serving_counters(a->serving)->limited, 93);
	serving_each_peer(a->serving, count_peer, &peers);
	assert_int_equal(peers, 7);
	/* it may go on, slowly */
	now_us += SEC;
	for (unsigned i = 0; i < 100; i++)
		ask_about(n, 100 + i);
	assert_int_equal(c->tx_discovery, 8);
	for (unsigned i = 0; i < 130; i++) {
		now_us += SEC;
		serving_tick(a->serving, now_us);
	}
	peers = 0;
	serving_each_peer(a->serving, count_peer, &peers);
	assert_int_equal(peers, 0);
	assert_int_equal(serving_count(a->serving), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(life), TEST(statuses), TEST(pool_full), TEST(lost_acknowledgement),
		TEST(lifetimes), TEST(shared_locator), TEST(twice_in_a_turn), TEST(kernel_refuses), TEST(store_refuses),
		TEST(restart), TEST(interface_comes_and_goes), TEST(heartbeats), TEST(through_an_ama),
		TEST(left_after_a_restart), TEST(two_are_asked_who_they_are), TEST(places_of_amas),
		TEST(a_place_of_an_ama_is_given_away), TEST(an_ama_with_another_key), TEST(places_of_nodes),
		TEST(over_when_it_starts), TEST(peers_of_both_sides), TEST(an_ama_that_lies), TEST(an_anchor_that_lies),
		TEST(policy_of_leases), TEST(trusted_no_more), TEST(policy_of_updates), TEST(trust_in_one_direction),
		TEST(an_ama_moves), TEST(an_ama_that_lies_about_its_address), TEST(we_move),
		TEST(lies_to_a_regional_ama), TEST(a_node_that_lies_to_a_regional_ama), TEST(loops),
		TEST(a_regional_ama_that_is_not_trusted), TEST(a_regional_ama_restarts), TEST(ahead_of_the_word),
		TEST(moves_while_its_anchor_is_asked), TEST(a_node_has_left), TEST(sending_on_is_over),
		TEST(a_key_of_somebody_else), TEST(a_yes_for_who_is_here), TEST(an_ama_has_two_addresses),
		TEST(anchors_are_bounded), TEST(a_node_is_not_told_before_us), TEST(a_node_that_names_strangers)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
