/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_mnd.c - whom a node takes for its anchors: AMAs with real channels, and a network that the test makes
 *
 * Includes mnd.c and signalling.c: a turn of the loop is made by hand, and time stands still between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define loop_now_us	   test_now_us
#define loop_clock_us	   test_clock_us
#define loop_wall_ns	   test_wall_ns
#define transport_send	   test_send
#define transport_counters test_counters
#define session_seen	   test_seen
#define session_list	   test_list
#define session_remember   test_remember
#define session_watch	   test_watch
#include "mnd/anchors.c"
#include "mnd/mnd.c"
#include "mnd/signalling.c"

#define FIRST  "2001:db8:1::1" /* of the AMA that most of this is about */
#define SECOND "2001:db8:2::1"
#define THIRD  "2001:db8:3::1"

/* --- the world: AMAs at addresses, and what is on its way ----------------------------------------------------------
 */

static uint64_t now_us;
static const uint64_t wall_s = 1800000000; /* when now_us is 0 */

uint64_t test_now_us(const struct loop *l)
{
	(void)l;
	return now_us;
}

uint64_t test_clock_us(void)
{
	return now_us;
}

uint64_t test_wall_ns(void)
{
	return (wall_s * SEC + now_us) * 1000;
}

struct ama {
	struct identity id;
	struct channel *channel;
	struct prefix6 prefix; /* what it leases, to whoever asks */
	struct in6_addr at;    /* where the last update came to */
	unsigned updates;
};

/* What answers at an address. */
static struct place {
	const char *address; /* NULL = the list ends */
	struct ama *ama;
	bool down, relay; /* relay: only discovery comes through, to the AMA and back */
} places[80];

static struct datagram {
	bool to_node;
	struct in6_addr remote, local; /* as its receiver sees it */
	size_t len;
	uint8_t bytes[CHANNEL_DATAGRAM_MAX];
} queue[32];
static unsigned n_queue, n_discoveries;

static struct mnd *m;
static struct domain_key domain;
static char dir[64];
static unsigned n_sessions; /* of every home address */
static char said[8192];

static struct in6_addr address(const char *text)
{
	struct in6_addr x;

	assert_int_equal(inet_pton(AF_INET6, text, &x), 1);
	return x;
}

static bool is_at(const struct in6_addr *x, const char *text)
{
	struct in6_addr y = address(text);

	return IN6_ARE_ADDR_EQUAL(x, &y);
}

static void put(bool to_node, const struct channel_endpoint *ep, const uint8_t *buf, size_t len)
{
	struct datagram *d = &queue[n_queue++];

	assert_true(n_queue <= 32 && len <= sizeof(d->bytes));
	d->to_node = to_node;
	d->remote = ep->local;
	d->local = ep->remote;
	d->len = len;
	memcpy(d->bytes, buf, len);
}

void test_send(struct transport *t, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	(void)t;
	(void)flags;
	n_discoveries += buf[0] >> 4 == 15 && buf[4] == 4;
	put(false, ep, buf, len);
}

static void ama_send(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags)
{
	(void)ctx;
	(void)flags;
	put(true, ep, buf, len);
}

const struct transport_counters *test_counters(const struct transport *t)
{
	static const struct transport_counters none;

	(void)t;
	return &none;
}

unsigned test_seen(const struct session *s, const struct session_seen **ret)
{
	(void)s;
	(void)ret;
	return 0;
}

int test_remember(struct session *s, const struct session_seen *seen, unsigned n)
{
	(void)s;
	(void)seen;
	(void)n;
	return 0;
}

int test_list(struct session *s, uint64_t now_s, session_cb *cb, void *ctx)
{
	(void)s;
	(void)now_s;
	for (unsigned i = 0; i < HOMES; i++) {
		struct session_info info = {.home_address = m->homes[i].h.address};

		for (unsigned k = 0; k < n_sessions && m->homes[i].used && m->homes[i].h.known; k++)
			(void)cb(ctx, &info);
	}
	return 0;
}

int test_watch(uint32_t ifindex, const struct in6_addr *addresses, unsigned n)
{
	(void)ifindex;
	(void)addresses;
	(void)n;
	return -EPERM;
}

static void ama_recv(void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len)
{
	struct ama *a = ctx;
	struct rcur c = rcur_make(mh, len);

	while (rcur_left(&c) > 0) {
		struct mh_msg msg;
		enum mh_why why;
		uint8_t buf[128];
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_writer mw;

		assert_int_equal(mh_read(&c, &msg, &why), 0);
		if (msg.type == MH_BU) {
			struct mh_ba ba = {.sequence = msg.bu.sequence, .lifetime_s = msg.bu.lifetime_s};
			struct dmmopt_lease lease;
			bool leases = dmmopt_lease(&msg, &lease);

			a->updates++;
			a->at = rx->ep.local;
			mw = mh_begin_ba(&w, &ba);
			mh_put_prefix(&mw, MHOPT_HNP, &a->prefix);
			if (leases)
				mh_put_lease(&mw, &lease);
		} else if (msg.type == MH_HEARTBEAT && !(msg.heartbeat.flags & MH_HEARTBEAT_R)) {
			struct mh_heartbeat hb = {.flags = MH_HEARTBEAT_R, .sequence = msg.heartbeat.sequence};

			mw = mh_begin_heartbeat(&w, &hb);
		} else {
			continue;
		}
		mh_end(&mw);
		assert_true(wcur_ok(&w));
		assert_int_equal(channel_send(a->channel, peer, buf, wcur_len(&w)), 0);
	}
}

static const struct channel_ops ama_ops = {.send = ama_send, .recv = ama_recv, .wall_ns = channel_wall};

static void deliver(const struct datagram *d)
{
	struct channel_rx rx = {.ep = {.remote = d->remote, .local = d->local, .port = CHANNEL_PORT}, .hoplimit = 255};

	if (d->to_node) {
		signalling_input(m, &rx, d->bytes, d->len);
		return;
	}
	for (struct place *p = places; p->address; p++) {
		bool discovery = d->bytes[0] >> 4 == 15 && d->bytes[4] == 4;

		if (!is_at(&d->local, p->address) || p->down || (p->relay && !discovery))
			continue;
		(void)channel_input(p->ama->channel, &rx, d->bytes, d->len, now_us);
		channel_flush(p->ama->channel, now_us);
	}
}

static void turn(void)
{
	unsigned rounds = 0;

	do {
		mnd_touch(m);
		mnd_decide(m);
		channel_flush(m->channel, now_us);
		for (unsigned i = 0; i < n_queue; i++) {
			struct datagram d = queue[i];

			deliver(&d);
		}
		if (!n_queue)
			return;
		n_queue = 0;
	} while (++rounds < 50);
	fail_msg("no end of what is sent");
}

static void pass(unsigned seconds)
{
	for (uint64_t until_us = now_us + seconds * SEC; now_us < until_us;) {
		now_us += 250 * MS;
		turn();
	}
}

static void sign(struct ama *a, uint64_t from_s, uint64_t until_s)
{
	struct credential c = {.role = CREDENTIAL_AMA, .from_s = from_s, .until_s = until_s, .n_prefixes = 1};
	char err[CREDENTIAL_ERR];

	(void)snprintf(c.node, sizeof(c.node), "%s", a->id.name);
	memcpy(c.key, a->id.public_key, 32);
	c.prefixes[0] = a->prefix;
	assert_int_equal(credential_sign(&c, &domain), 0);
	assert_int_equal(identity_set_credential(&a->id, &c, err), 0);
	if (a->channel)
		assert_int_equal(channel_set_credential(a->channel, &c), 0);
}

static struct ama *new_ama(const char *name, const char *prefix)
{
	struct ama *a = calloc(1, sizeof(*a));
	struct channel_config cfg = {
		.identity = &a->id, .trusted = &domain.domain, .n_trusted = 1, .ops = &ama_ops, .ctx = a};
	char err[CREDENTIAL_ERR];

	assert_int_equal(prefix6_parse(prefix, &a->prefix), 0);
	assert_int_equal(identity_generate(CREDENTIAL_AMA, name, &a->id, err), 0);
	sign(a, 0, wall_s + 400 * 86400);
	assert_int_equal(channel_new(&cfg, &a->channel), 0);
	return a;
}

static void free_ama(struct ama *a)
{
	channel_free(a->channel);
	identity_done(&a->id);
	free(a);
}

static struct place *place(const char *where, struct ama *a)
{
	struct place *p = places;

	while (p->address && strcmp(p->address, where) != 0)
		p++;
	*p = (struct place){.address = where, .ama = a};
	return p;
}

/* The node comes to a network of its own kind, whose routers name that AMA. */
static void go_to(const char *ama)
{
	static unsigned n;
	struct router_advert ra = {.home_agent = ama, .has_ama = ama, .lifetime_s = 65535, .n_prefix = 1};
	struct in6_addr router = address("fe80::1"), care_of = address("2001:db8:f000::11");
	uint32_t ifindex = 100 + ++n;

	care_of.s6_addr[5] = (uint8_t)n;
	assert_int_equal(prefix6_parse("2001:db8:f000::/64", &ra.prefix[0].prefix), 0);
	ra.prefix[0].prefix.addr.s6_addr[5] = (uint8_t)n;
	ra.prefix[0].on_link = ra.prefix[0].autonomous = true;
	ra.prefix[0].valid_s = ra.prefix[0].preferred_s = UINT32_MAX;
	router.s6_addr[14] = (uint8_t)n;
	if (ama)
		ra.ama = address(ama);
	if (n > 1)
		attach_link_gone(&m->attach, ifindex - 1);
	attach_link(&m->attach, ifindex, "lan", 100, true, 1, now_us);
	attach_advert(&m->attach, ifindex, &router, &ra, now_us);
	attach_address(&m->attach, ifindex, &care_of, true, true, false);
	turn();
	assert_non_null(m->attach.selected);
}

static void catch_log(void *ctx, enum log_level level, const char *token, const char *text)
{
	(void)ctx;
	(void)token;
	if (level <= LOG_LEVEL_WARNING)
		(void)snprintf(said + strlen(said), sizeof(said) - strlen(said), "%s\n", text);
}

static void fault(void *ctx, const char *text)
{
	(void)ctx;
	fail_msg("%s", text);
}

static void start_node(struct identity *id)
{
	struct control_config control = {.interface = "org.dmm.mnd",
		.description = "",
		.product = "mnd",
		.version = "0",
		.methods = mnd_methods};
	struct channel_config channel = {.identity = &m->identity,
		.trusted = m->trusted,
		.n_trusted = 1,
		.ops = &signalling_channel_ops,
		.ctx = m,
		.max_peers = ANCHORS + 1};
	char err[DAEMON_ERR] = "", path[128];

	m->identity = *id;
	memset(id, 0, sizeof(*id));
	m->trusted[0] = domain.domain;
	m->n_trusted = 1;
	(void)snprintf(path, sizeof(path), "%s/mnd.conf", dir);
	assert_int_equal(mnd_config_read(path, false, &m->config, fault, NULL), 0);
	(void)snprintf(m->config.state, sizeof(m->config.state), "%s/state", dir);
	m->ra_fd = m->watch_fd = m->pin_fd = -1;
	m->session_due_us = UINT64_MAX;
	m->tunnel = 9;
	assert_int_equal(loop_new(&m->daemon.loop), 0);
	(void)snprintf(path, sizeof(path), "%s/sock", dir);
	control.path = path;
	assert_int_equal(control_new(m->daemon.loop, &control, &m->daemon.control, err), 0);
	assert_int_equal(channel_new(&channel, &m->channel), 0);
	m->rules = rules_new();
	m->set = fwd_new(NULL, NULL);
	loop_timer_init(&m->timer, m->daemon.loop, on_timer, m, "timer");
	load(m);
}

/* The process dies, and is started again. */
static void start_again(void)
{
	struct identity id = m->identity;

	memset(&m->identity, 0, sizeof(m->identity));
	mnd_free(m);
	m = calloc(1, sizeof(*m));
	start_node(&id);
}

static int setup(void **state)
{
	struct identity id = {0};
	struct credential c = {.role = CREDENTIAL_MN, .node = "laptop", .until_s = UINT32_MAX};
	char err[CREDENTIAL_ERR];

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_mnd.XXXXXX");
	if (!mkdtemp(dir) || secret_start() < 0 || domain_key_generate("test", &domain, err) < 0)
		return -1;
	log_register_handler(catch_log, NULL);
	said[0] = '\0';
	now_us = 1000 * SEC;
	n_queue = n_sessions = n_discoveries = 0;
	memset(places, 0, sizeof(places));
	assert_int_equal(identity_generate(CREDENTIAL_MN, "laptop", &id, err), 0);
	memcpy(c.key, id.public_key, 32);
	assert_int_equal(credential_sign(&c, &domain), 0);
	assert_int_equal(identity_set_credential(&id, &c, err), 0);
	m = calloc(1, sizeof(*m));
	start_node(&id);
	return 0;
}

static int teardown(void **state)
{
	static const char *const files[] = {"sock", "state"};
	char path[128];

	(void)state;
	mnd_free(m);
	domain_key_done(&domain);
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, files[i]);
		(void)unlink(path);
	}
	return rmdir(dir);
}

/* The only home address, which has to be of this AMA. */
static struct home *home_of(const struct ama *a)
{
	struct home *x = NULL;

	for (unsigned i = 0; i < HOMES; i++) {
		if (!m->homes[i].used)
			continue;
		assert_null(x);
		x = &m->homes[i];
	}
	assert_non_null(x);
	assert_memory_equal(x->anchor->credential.key, a->id.public_key, 32);
	return x;
}

static unsigned count_anchors(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ANCHORS; i++) {
		n += m->anchors[i].used;
		for (unsigned k = 0; k < i; k++)
			assert_false(
				m->anchors[i].used && m->anchors[k].used && m->anchors[i].peer == m->anchors[k].peer);
	}
	assert_int_equal(channel_counters(m->channel)->peers, n);
	return n;
}

/* --- one AMA, two addresses ----------------------------------------------------------------------------------------
 */

/* Somebody hands on the AMA's credential from another address: what works goes on, however many AMAs are met. */
static void a_relayed_credential(void **state)
{
	static char names[ANCHORS + 2][32];
	struct ama *a = new_ama("ama1", "2001:db8:101::/64"), *others[ANCHORS + 2];
	struct home *x;

	(void)state;
	(void)place(FIRST, a);
	place(SECOND, a)->relay = true;
	go_to(FIRST);
	x = home_of(a);
	assert_int_equal(x->h.state, HOMEADDR_NATIVE);
	n_sessions = 1;
	go_to(SECOND);
	assert_int_equal(x->h.state, HOMEADDR_BOUND);
	assert_true(is_at(&x->anchor->address, FIRST));
	assert_true(is_at(&a->at, FIRST));
	assert_int_equal(count_anchors(), 1);
	/* it is asked less and less often, and not used */
	pass(60);
	assert_in_range(n_discoveries, 2, 8);
	assert_int_equal(x, home_of(a));
	n_sessions = 0;
	for (unsigned i = 0; i < ANCHORS + 2; i++) {
		struct in6_addr where = address(THIRD);

		others[i] = new_ama("other", "2001:db8:102::/64");
		where.s6_addr[7] = (uint8_t)(1 + i);
		(void)snprintf(names[i], sizeof(names[i]), "%s", in6_text(&where));
		mnd_anchor_found(m, &where, &others[i]->id.credential);
	}
	assert_int_equal(count_anchors(), ANCHORS);
	n_sessions = 1;
	go_to(NULL);
	assert_int_equal(x->h.state, HOMEADDR_BOUND);
	assert_true(is_at(&x->anchor->address, FIRST));
	for (unsigned i = 0; i < ANCHORS + 2; i++)
		free_ama(others[i]);
	free_ama(a);
}

/* ... also when the anchor does not answer for a while. */
static void a_relay_and_an_anchor_that_was_away(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64");
	struct place *first = place(FIRST, a);
	struct home *x;

	(void)state;
	place(SECOND, a)->relay = true;
	go_to(FIRST);
	n_sessions = 1;
	first->down = true;
	go_to(SECOND);
	x = home_of(a);
	pass(20);
	assert_true(is_at(&x->anchor->address, SECOND));
	first->down = false;
	pass(70);
	assert_int_equal(x->h.state, HOMEADDR_BOUND);
	assert_true(is_at(&x->anchor->address, FIRST));
	/* and it is where it was first after the next move ... */
	first->down = true;
	go_to(SECOND);
	pass(20);
	assert_true(is_at(&x->anchor->address, SECOND));
	first->down = false;
	go_to(NULL);
	assert_int_equal(x->h.state, HOMEADDR_BOUND);
	assert_true(is_at(&x->anchor->address, FIRST));
	/* ... and after a restart */
	first->down = true;
	go_to(SECOND);
	pass(20);
	assert_true(is_at(&x->anchor->address, SECOND));
	mnd_save(m);
	start_again();
	assert_true(is_at(&home_of(a)->anchor->address, FIRST));
	first->down = false;
	go_to(NULL);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_BOUND);
	free_ama(a);
}

/* The AMA itself has another address on the next link. */
static void an_ama_at_two_addresses(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64");
	struct home *x;

	(void)state;
	(void)place(FIRST, a);
	(void)place(SECOND, a);
	go_to(FIRST);
	x = home_of(a);
	n_sessions = 1;
	go_to(SECOND);
	assert_int_equal(x->h.state, HOMEADDR_BOUND);
	assert_true(is_at(&a->at, FIRST));
	/* when the session has ended, and what it used was given back, it is there */
	n_sessions = 0;
	m->session_due_us = now_us;
	pass((unsigned)(m->config.grace_us / SEC) + 10);
	x = home_of(a);
	assert_int_equal(x->h.state, HOMEADDR_NATIVE);
	assert_true(is_at(&x->anchor->address, SECOND));
	assert_true(is_at(&a->at, SECOND));
	assert_int_equal(count_anchors(), 1);
	free_ama(a);
}

/* It has moved for good: sessions go on, and the home address is native there. */
static void an_ama_that_moved(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64");
	struct home *x;

	(void)state;
	(void)place(FIRST, a);
	go_to(FIRST);
	x = home_of(a);
	n_sessions = 1;
	place(FIRST, a)->down = true;
	(void)place(SECOND, a);
	go_to(SECOND);
	pass(20);
	assert_int_equal(x->h.state, HOMEADDR_NATIVE);
	assert_true(is_at(&x->anchor->address, SECOND));
	go_to(NULL);
	assert_int_equal(x->h.state, HOMEADDR_BOUND);
	assert_true(is_at(&x->anchor->address, SECOND));
	assert_int_equal(count_anchors(), 1);
	free_ama(a);
}

/* An AMA that nothing depends on is where it was found last. */
static void an_ama_that_nobody_needs(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64"), *b = new_ama("ama2", "2001:db8:102::/64");

	(void)state;
	(void)place(FIRST, a);
	(void)place(SECOND, b);
	go_to(FIRST);
	go_to(SECOND);
	pass((unsigned)(m->config.grace_us / SEC) + 10);
	assert_int_equal(home_of(b)->h.state, HOMEADDR_NATIVE);
	assert_int_equal(count_anchors(), 2);
	(void)place(THIRD, a);
	go_to(THIRD);
	assert_true(is_at(&a->at, THIRD));
	assert_int_equal(count_anchors(), 2);
	free_ama(a);
	free_ama(b);
}

/* --- other credentials, other keys ---------------------------------------------------------------------------------
 */

/* Hours go by. */
static void wait_minutes(unsigned minutes)
{
	for (unsigned i = 0; i < minutes * 6; i++) {
		now_us += 10 * SEC;
		turn();
	}
}

static unsigned count_said(const char *words)
{
	unsigned n = 0;

	for (const char *p = said; (p = strstr(p, words)); p++)
		n++;
	return n;
}

/* The AMA has a new credential before the old one is over, and the node hears of it. */
static void a_credential_renewed_in_time(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64");
	struct credential old;
	struct in6_addr first = address(FIRST);
	unsigned before;

	(void)state;
	sign(a, wall_s, wall_s + 6 * 3600);
	(void)place(FIRST, a);
	go_to(FIRST);
	n_sessions = 1;
	old = a->id.credential;
	go_to(NULL); /* it is asked from afar, too */
	before = n_discoveries;
	wait_minutes(180);
	assert_int_equal(n_discoveries, before);
	sign(a, wall_s + 3600, wall_s + 24 * 3600);
	wait_minutes(180);
	assert_int_equal(n_discoveries, before + 1);
	assert_true(home_of(a)->anchor->credential.until_s == wall_s + 24 * 3600);
	go_to(FIRST);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_NATIVE);
	assert_int_equal(count_said("is over"), 0);
	/* somebody has kept the old one */
	mnd_anchor_found(m, &first, &old);
	assert_true(home_of(a)->anchor->credential.until_s == wall_s + 24 * 3600);
	/* the next one is there after a restart, too */
	sign(a, wall_s + 7200, wall_s + 48 * 3600);
	mnd_anchor_found(m, &first, &a->id.credential);
	start_again();
	assert_true(home_of(a)->anchor->credential.until_s == wall_s + 48 * 3600);
	free_ama(a);
}

/* The AMA has a new one too late: until then it hears nothing, from then on everything. */
static void a_credential_renewed_late(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64");
	struct home *x;

	(void)state;
	sign(a, 0, wall_s + 5400);
	(void)place(FIRST, a);
	go_to(FIRST);
	wait_minutes(180);
	n_sessions = 1;
	go_to(NULL);
	x = home_of(a);
	assert_int_equal(x->h.state, HOMEADDR_BINDING);
	assert_true(count_said("the credential of ama1 is over") > 0);
	sign(a, 0, wall_s + 24 * 3600);
	for (unsigned i = 0; i < 70 && x->anchor->credential.until_s != wall_s + 24 * 3600; i++)
		pass(1);
	assert_int_equal(x->h.state, HOMEADDR_BOUND); /* at once */
	free_ama(a);
}

/* ... and the node was started again between: its home address is kept as long as the lease lives. */
static void a_credential_over_at_a_start(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64");

	(void)state;
	sign(a, 0, wall_s + 5400);
	(void)place(FIRST, a);
	go_to(FIRST);
	wait_minutes(180);
	start_again();
	assert_true(home_of(a)->h.known);
	n_sessions = 1;
	go_to(NULL);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_BINDING);
	sign(a, 0, wall_s + 24 * 3600);
	pass(70);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_BOUND);
	/* the new one is what the next start finds */
	start_again();
	assert_true(home_of(a)->anchor->credential.until_s == wall_s + 24 * 3600);
	/* not what nobody signed */
	sign(a, 0, wall_s + 3600);
	home_of(a)->anchor->credential = a->id.credential;
	home_of(a)->anchor->credential.signature[0] ^= 1;
	mnd_save(m);
	start_again();
	assert_int_equal(count_anchors(), 0);
	free_ama(a);
}

/* An AMA was set up anew, with another key: what it leased before lives as long as it would, then it is a new AMA. */
static void a_new_key(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64"), *b = new_ama("ama1", "2001:db8:102::/64");

	(void)state;
	m->config.lease_us = 600 * SEC;
	(void)place(FIRST, a);
	go_to(FIRST);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_NATIVE);
	(void)place(FIRST, b);
	pass(590);
	assert_true(home_of(a)->h.known);
	assert_int_equal(count_said("has another key"), 1);
	pass(30);
	assert_int_equal(home_of(b)->h.state, HOMEADDR_NATIVE);
	assert_int_equal(count_anchors(), 1);
	free_ama(a);
	free_ama(b);
}

/* The same where no lease lives: a stranger is not believed while the one that we know may still answer. */
static void a_new_key_without_a_lease(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64"), *b = new_ama("ama1", "2001:db8:102::/64"),
		   *c = new_ama("ama3", "2001:db8:103::/64");
	struct in6_addr first = address(FIRST);

	(void)state;
	(void)place(FIRST, a);
	(void)place(SECOND, c);
	go_to(FIRST);
	go_to(SECOND);
	pass((unsigned)(m->config.grace_us / SEC) + 10);
	assert_int_equal(home_of(c)->h.state, HOMEADDR_NATIVE);
	n_sessions = 1;
	(void)place(FIRST, b);
	go_to(FIRST);
	mnd_anchor_found(m, &first, &b->id.credential);
	assert_memory_equal(mnd_anchor_by_address(m, &first)->credential.key, a->id.public_key, 32);
	pass(20);
	assert_memory_equal(mnd_anchor_by_address(m, &first)->credential.key, b->id.public_key, 32);
	assert_int_equal(b->updates, 1);
	assert_int_equal(count_anchors(), 2);
	free_ama(a);
	free_ama(b);
	free_ama(c);
}

/* On its way to the AMA on the link the first question was answered by somebody else, with a credential of another. */
static void an_answer_of_somebody_else(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64"), *b = new_ama("ama2", "2001:db8:102::/64");
	struct in6_addr second = address(SECOND);

	(void)state;
	(void)place(FIRST, a);
	place(SECOND, a)->relay = true;
	go_to(FIRST);
	n_sessions = 1;
	go_to(SECOND);
	assert_null(mnd_anchor_by_address(m, &second));
	(void)place(SECOND, b);
	pass(10);
	assert_non_null(mnd_anchor_by_address(m, &second));
	assert_true(is_at(&b->at, SECOND));
	assert_true(is_at(&a->at, FIRST));
	assert_int_equal(count_anchors(), 2);
	free_ama(a);
	free_ama(b);
}

/* Two AMAs have changed places; the node has a lease of one. */
static void two_amas_change_places(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64"), *b = new_ama("ama2", "2001:db8:102::/64");
	unsigned grace_s = (unsigned)(m->config.grace_us / SEC);

	(void)state;
	(void)place(FIRST, a);
	(void)place(SECOND, b);
	go_to(SECOND);
	go_to(FIRST);
	pass(grace_s + 10);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_NATIVE);
	(void)place(FIRST, b);
	(void)place(SECOND, a);
	go_to(SECOND);
	pass(grace_s + 120);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_NATIVE);
	assert_true(is_at(&home_of(a)->anchor->address, SECOND));
	assert_int_equal(count_anchors(), 1);
	free_ama(a);
	free_ama(b);
}

/* An AMA that did not answer is asked again when the node comes back. */
static void an_ama_that_was_down(void **state)
{
	struct ama *a = new_ama("ama1", "2001:db8:101::/64");
	struct place *first = place(FIRST, a);

	(void)state;
	first->down = true;
	go_to(FIRST);
	pass(120);
	assert_int_equal(n_discoveries, DISCOVERY_TRIES);
	first->down = false;
	go_to(NULL);
	go_to(FIRST);
	assert_int_equal(home_of(a)->h.state, HOMEADDR_NATIVE);
	free_ama(a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(a_relayed_credential), TEST(a_relay_and_an_anchor_that_was_away),
		TEST(an_ama_at_two_addresses), TEST(an_ama_that_moved), TEST(an_ama_that_nobody_needs),
		TEST(a_credential_renewed_in_time), TEST(a_credential_renewed_late), TEST(a_credential_over_at_a_start),
		TEST(a_new_key), TEST(a_new_key_without_a_lease), TEST(an_answer_of_somebody_else),
		TEST(two_amas_change_places), TEST(an_ama_that_was_down)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
