/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pinning.c - programs pinned to a home address: who may pin what to which, and when a pin is over. pin.c has the
 * cgroup and its programs. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- input: pins ------------------------------------------------------------------------------------------------ */

/* An isolated one has an address of its own in the home network prefix. */
static bool is_on(const struct pin *p, const struct home_address *h)
{
	return p->cgroup[0] && h->known &&
		(p->outer ? prefix6_contains(&h->prefix, &p->home_address)
			  : IN6_ARE_ADDR_EQUAL(&p->home_address, &h->address));
}

unsigned pinning_count(const struct mnd *m, const struct home_address *h)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PINS; i++)
		n += is_on(&m->pins[i], h);
	return n;
}

bool pinning_is_outer(const struct mnd *m, uint32_t ifindex)
{
	for (unsigned i = 0; i < PINS; i++)
		if (m->pins[i].cgroup[0] && m->pins[i].outer == ifindex)
			return true;
	return false;
}

void pinning_adopt(struct mnd *m)
{
	char err[ISOLATE_ERR];

	for (unsigned i = 0; i < PINS; i++) {
		struct pin *p = &m->pins[i];
		int r = 0;

		if (!p->cgroup[0] || !p->outer)
			continue;
		if (!m->isolate && isolate_new(&m->isolate, err) < 0) {
			log_warning("pin", "%s: isolated programs stay where they are", err);
			return;
		}
		r = isolate_adopt(m->isolate, p->outer);
		if (r < 0)
			log_warning(
				"pin", "cannot take over the network namespace of %s: %s", p->command, strerror(-r));
	}
}

/* --- isolated programs ------------------------------------------------------------------------------------------- */

static void leave(struct mnd *m, const struct pin *p)
{
	if (!p->outer || !m->isolate)
		return;
	isolate_end(m->isolate, p->outer, &p->home_address);
	(void)nl_link_delete(m->nl, p->outer); /* it goes with the namespace, whenever that does */
}

/* The way of packets of this address: the one that its home address's table says. */
static struct isolate_way way_of(const struct mnd *m, const struct pin *p)
{
	struct isolate_way w = {.address = p->home_address};

	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &m->homes[i];
		const struct attachment *at;
		bool tunnel = false;

		if (!x->used || !is_on(p, &x->h))
			continue;
		at = rc_path(&m->attach, &x->h, &x->anchor->address, &tunnel);
		if (!at || !at->router ||
			(tunnel && x->bu.kind == LU_BIND && x->bu.proxied &&
				!attach_find_care_of(&m->attach, &x->h.confirmed_care_of)))
			break;
		w.kind = tunnel ? ISOLATE_TUNNEL : ISOLATE_NATIVE;
		w.ifindex = tunnel ? m->tunnel : at->ifindex;
		w.router = tunnel ? in6addr_any : at->router->link_local;
		w.anchor = tunnel ? x->anchor->address : in6addr_any;
		w.care_of = tunnel ? at->care_of : in6addr_any;
		break;
	}
	return w;
}

static void steer(struct mnd *m)
{
	bool any = false;

	if (!m->isolate)
		return;
	for (unsigned i = 0; i < PINS; i++) {
		struct pin *p = &m->pins[i];
		struct isolate_way w;
		int r;

		if (!p->cgroup[0] || !p->outer)
			continue;
		any = true;
		w = way_of(m, p);
		if (!memcmp(&w, &p->way, sizeof(w)))
			continue;
		r = isolate_set(m->isolate, p->outer, &w);
		if (r < 0)
			log_warning("pin", "cannot say which way %s goes: %s", p->command, strerror(-r));
		else
			p->way = w;
	}
	for (unsigned i = 0; i <= m->attach.n; i++) {
		uint32_t ifindex = i < m->attach.n ? m->attach.at[i].ifindex : m->tunnel;
		int r = any ? isolate_listen(m->isolate, ifindex) : 0;

		if (!any)
			isolate_deafen(m->isolate, ifindex);
		if (r < 0)
			log_warning("pin", "cannot take packets for isolated programs from device %u: %s", ifindex,
				strerror(-r));
	}
	if (any)
		return;
	isolate_free(m->isolate);
	m->isolate = NULL;
}

/* --- news -------------------------------------------------------------------------------------------------------- */

/* Are there sockets with its mark? Also those of graceful pins from before a move. */
bool pinning_has_mark(const struct mnd *m, const struct home_address *h)
{
	for (unsigned i = 0; i < PINS; i++)
		if (m->pins[i].cgroup[0] && h->known && pin_has(&m->pins[i], &h->address))
			return true;
	return false;
}

/* A cgroup is empty: its pin ends, and perhaps one around it. */
static void end_pin(struct mnd *m, struct pin *p)
{
	log_info("pin", "%s of user %u on %s has ended", p->command, (unsigned)p->uid, in6_text(&p->home_address));
	mnd_emit(m, "unpinned",
		json_pack("{s:s, s:s, s:i}", "home_address", in6_text(&p->home_address), "command", p->command, "pid",
			(int)p->pid));
	leave(m, p);
	memset(p, 0, sizeof(*p));
}

void pinning_read_news(void *ctx)
{
	struct mnd *m = ctx;
	char news[4096];
	bool ended = true, any = false;

	while (read(m->pin_fd, news, sizeof(news)) > 0)
		;
	while (ended) {
		ended = false;
		for (unsigned i = 0; i < PINS; i++) {
			if (!m->pins[i].cgroup[0] || !pin_is_over(&m->pins[i]))
				continue;
			end_pin(m, &m->pins[i]);
			ended = any = true;
		}
	}
	if (any) {
		mnd_save(m);
		mnd_touch(m);
	}
}

/* May this user have it: alive, and nobody else's. */
static bool is_to_be_had(const struct home *x, uid_t uid)
{
	return x->used && x->h.known && !x->given_up && x->h.state != HOMEADDR_RELEASING &&
		x->h.state != HOMEADDR_RELEASED && (!x->exclusive || uid == 0 || x->owner == uid);
}

/* The AMA on the link is being asked for its first address. */
static bool is_coming(struct mnd *m)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	const struct anchor *a = ama ? mnd_anchor_by_address(m, ama) : NULL;

	if (ama && !a)
		return m->discovery_tries < DISCOVERY_TRIES && !mnd_anchor_by_other(m, ama);
	for (unsigned i = 0; i < HOMES && a; i++)
		if (m->homes[i].used && m->homes[i].anchor == a && !m->homes[i].exclusive)
			return !m->homes[i].h.known && !m->homes[i].h.hold_us;
	return a;
}

/* Which home address a request is for: the one named, else that of the anchor named, else (fixed) the one that is
 * fixed, else the one that new sessions take, else one that is in use. */
static struct home *find_home(struct mnd *m, const struct pin_request *q)
{
	struct home *best = NULL;
	int best_rank = -1;

	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];
		int rank = (q->type == PIN_FIXED && x->fixed ? 8 : 0) + (x->h.state == HOMEADDR_NATIVE ? 4 : 0) +
			(x->draining ? 0 : 2) + (x->sessions > 0 || pinning_count(m, &x->h) > 0);

		if (!is_to_be_had(x, q->uid) || (x->exclusive && !q->by_address))
			continue;
		if (q->by_address && !IN6_ARE_ADDR_EQUAL(&x->h.address, &q->address))
			continue;
		if (*q->anchor && strcmp(x->anchor->credential.node, q->anchor) != 0)
			continue;
		if (rank > best_rank) {
			best = x;
			best_rank = rank;
		}
	}
	return best;
}

/* Ask the AMA on the link for an address that is this request's alone. */
static int begin_fresh(struct mnd *m, struct pin_request *q, char *reterr)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	struct anchor *a = ama ? mnd_anchor_by_address(m, ama) : NULL;

	if (!a || (*q->anchor && strcmp(a->credential.node, q->anchor) != 0)) {
		(void)snprintf(reterr, CONTROL_ERR,
			"only the anchor of the network that the node is in leases a new address, and that is %.80s ('mnctl status')",
			a ? a->credential.node : "none here");
		return -ENOENT;
	}
	q->home = mnd_home_new(m, a);
	if (!q->home) {
		(void)snprintf(reterr, CONTROL_ERR, "this node has %d home addresses, and no room for more", HOMES);
		return -ENOSPC;
	}
	q->home->exclusive = true;
	q->home->owner = q->uid;
	if (!q->home->wish) /* the first there, but another one may follow */
		q->home->wish = (uint16_t)(1 + randombytes_uniform(0xffff));
	return 0;
}

/* Nobody waits for it any more: given back as soon as it is there. */
static void forsake(struct pin_request *q)
{
	if (q->home && q->home->used && q->home->exclusive)
		q->home->given_up = true;
	q->home = NULL;
}

/* The home address for a request: NULL = not yet, with *ret 0, or not at all, with an error and its sentence. */
static struct home *home_for(struct mnd *m, struct pin_request *q, uint64_t now_us, int *ret, char *reterr)
{
	bool in_time = now_us < q->until_us;
	struct home *x;

	*ret = 0;
	if (q->fresh) {
		x = q->home;
		if (x->used && x->exclusive && x->h.known)
			return x;
		if (x->used && x->exclusive && x->h.hold_us)
			(void)snprintf(reterr, CONTROL_ERR,
				"%.80s refused another address ('mnctl monitor' and the log say why; 'leases-a-node' in its amad.conf says how many a node may have)",
				x->anchor->credential.node);
		else if (!x->used || !x->exclusive || x->h.state != HOMEADDR_ALLOCATING)
			(void)snprintf(reterr, CONTROL_ERR,
				"the node left the network before its anchor had leased an address");
		else if (!in_time)
			(void)snprintf(reterr, CONTROL_ERR, "%.80s does not answer", x->anchor->credential.node);
		else
			return NULL;
		*ret = -ENOENT;
		return NULL;
	}
	if (in_time && !q->by_address && !*q->anchor && is_coming(m))
		return NULL;
	x = find_home(m, q);
	if (x)
		return x;
	if (q->by_address || *q->anchor)
		(void)snprintf(reterr, CONTROL_ERR, "this node has no home address %s%.100s: 'mnctl leases' lists them",
			*q->anchor ? "of " : "", q->by_address ? in6_text(&q->address) : q->anchor);
	else
		(void)snprintf(reterr, CONTROL_ERR,
			"this node has no home address yet: no network so far had an anchor ('mnctl status')");
	*ret = -ENOENT;
	return NULL;
}

/* Its address stays, in use or not. */
static int fix(struct mnd *m, struct home *x, char *reterr)
{
	unsigned n = 0;

	for (unsigned i = 0; i < HOMES; i++)
		n += m->homes[i].used && m->homes[i].fixed;
	if (!x->fixed && n >= PINS_FIXED) {
		(void)snprintf(reterr, CONTROL_ERR,
			"%u home addresses are fixed already, which is the most: 'mnctl release ADDRESS' gives one back",
			n);
		return -ENOSPC;
	}
	if (!x->fixed)
		log_notice("pin", "%s of %s is kept for good", in6_text(&x->h.address), x->anchor->credential.node);
	x->fixed = true;
	return 0;
}

/* An address of a home network prefix for one namespace: like no other, and so telling nothing. */
static void own_address(const struct prefix6 *prefix, struct in6_addr *ret)
{
	*ret = prefix->addr;
	randombytes_buf(&ret->s6_addr[8], 8);
	ret->s6_addr[8] &= 0xfd; /* not a universal identifier */
}

static void tell_pinned(struct mnd *m, const struct pin *p)
{
	log_info("pin", "%s of user %u is pinned to %s (%s)", p->command, (unsigned)p->uid, in6_text(&p->home_address),
		pin_type_name(p->type));
	mnd_emit(m, "pinned",
		json_pack("{s:s, s:s, s:i, s:i, s:s}", "home_address", in6_text(&p->home_address), "command",
			p->command, "pid", (int)p->pid, "uid", (int)p->uid, "type", pin_type_name(p->type)));
}

static int make_pin(struct mnd *m, const struct pin_request *q, const struct home *x, char *reterr)
{
	struct pin *p = NULL, pin;
	struct in6_addr address = x->h.address;
	char err[PIN_ERR];
	unsigned own = 0;
	uint32_t outer = 0;
	int r = 0;

	for (unsigned i = 0; i < PINS; i++) {
		if (!m->pins[i].cgroup[0])
			p = &m->pins[i];
		else
			own += m->pins[i].uid == q->uid;
	}
	/* one user leaves room for others */
	if (!p || (q->uid != 0 && own >= PINS / 2)) {
		(void)snprintf(reterr, CONTROL_ERR,
			"%u of your programs are pinned already; %d, and %d of one user, are the most ('mnctl pins' lists them)",
			own, PINS, PINS / 2);
		return -ENOSPC;
	}
	if (q->netns >= 0) {
		own_address(&x->h.prefix, &address);
		r = m->isolate ? 0 : isolate_new(&m->isolate, err);
		if (r == 0)
			r = isolate_join(m->isolate, m->nl, q->netns, q->uid, &outer, err);
	}
	if (r == 0)
		r = pin_begin(q->pid, q->uid, q->in_place, q->lenient, q->type, &address, loop_wall_ns() / 1000000000,
			&pin, err);
	if (r < 0 && outer)
		(void)nl_link_delete(m->nl, outer);
	if (r < 0) {
		(void)snprintf(reterr, CONTROL_ERR, "%s", err);
		return r;
	}
	for (unsigned i = 0; i < PINS; i++) /* the same cgroup again */
		if (!strcmp(m->pins[i].cgroup, pin.cgroup))
			p = &m->pins[i];
	pin.outer = outer;
	*p = pin;
	r = pin_watch(p, m->pin_fd);
	if (r < 0)
		log_warning("pin", "cannot watch %s: %s; its end is noticed late", p->cgroup, strerror(-r));
	tell_pinned(m, p);
	return (int)(p - m->pins);
}

static void drop_request(struct pin_request *q, int failed, json_t *ret, const char *err)
{
	struct control_call *call = q->call;

	if (q->netns >= 0)
		(void)close(q->netns);
	q->call = NULL;
	q->done = NULL;
	control_answer(call, failed, ret, err);
}

/* --- rules of mnd.conf ------------------------------------------------------------------------------------------- */

void pinning_read_rules(void *ctx)
{
	struct mnd *m = ctx;

	if (rules_read_news(m->rules))
		mnd_touch(m);
}

static struct pin_request request_of(const struct mnd_pin *rule)
{
	struct pin_request q = {.type = (enum pin_type)rule->type,
		.address = rule->address,
		.by_address = !IN6_IS_ADDR_UNSPECIFIED(&rule->address),
		.netns = -1,
		.lenient = true};

	(void)snprintf(q.anchor, sizeof(q.anchor), "%.*s", (int)sizeof(q.anchor) - 1, rule->anchor);
	return q;
}

/* A cgroup that a rule means, as soon as there is an address for it. */
static void obey(struct mnd *m, struct rules_match *x)
{
	const struct mnd_pin *rule = &m->config.pin[x->rule];
	struct pin_request q = request_of(rule);
	char err[CONTROL_ERR];
	struct pin *p = NULL;
	struct home *home;
	int r = 0;

	for (unsigned i = 0; i < PINS; i++) {
		bool same = !strcmp(m->pins[i].cgroup, x->cgroup);

		if (same && pin_is_over(&m->pins[i])) /* it was removed and made anew before we looked: nothing holds */
			end_pin(m, &m->pins[i]);
		else if (same) /* of an earlier run, or by its unit itself */
			x->done = true;
		if (!m->pins[i].cgroup[0])
			p = &m->pins[i];
	}
	home = x->done ? NULL : find_home(m, &q);
	if (!home || !p)
		return;
	x->done = true;
	if (q.type == PIN_FIXED)
		r = fix(m, home, err);
	if (r == 0)
		r = pin_begin_cgroup(
			x->cgroup, x->was_there, q.type, &home->h.address, loop_wall_ns() / 1000000000, p, err);
	if (r < 0) {
		log_warning("pin", "[pin %s] cannot be obeyed: %s", rule->name, err);
		memset(p, 0, sizeof(*p));
		return;
	}
	(void)pin_watch(p, m->pin_fd);
	tell_pinned(m, p);
	mnd_save(m);
}

void pinning_read_exe(void *ctx)
{
	struct mnd *m = ctx;

	exe_read_news(m->exe, loop_now_us(m->daemon.loop));
	mnd_touch(m);
}

void pinning_load_rules(struct mnd *m)
{
	bool by_path = false;

	rules_load(m->rules, m->config.pin, m->config.n_pin);
	for (unsigned i = 0; i < m->config.n_pin; i++) {
		const char *exe = m->config.pin[i].exe;

		by_path |= exe[0];
		if (exe[0] && access(exe, R_OK) < 0)
			log_warning("pin", "[pin %s] waits: mnd cannot read %s: %s", m->config.pin[i].name, exe,
				strerror(errno));
	}
	if (m->exe)
		exe_load(m->exe, m->config.pin, m->config.n_pin, loop_now_us(m->daemon.loop));
	else if (by_path)
		log_error("pin",
			"rules with exe are not obeyed: mnd was not started with one, or without CAP_SYS_PTRACE; see mnd.conf(5), then restart it");
}

/* In a cgroup that is pinned, by this rule or otherwise. */
static bool is_pinned(const struct mnd *m, const char *cgroup)
{
	for (unsigned i = 0; i < PINS; i++) {
		size_t len = strlen(m->pins[i].cgroup);

		if (len > 0 && !strncmp(m->pins[i].cgroup, cgroup, len) && (cgroup[len] == '\0' || cgroup[len] == '/'))
			return true;
	}
	return false;
}

static void obey_for(struct mnd *m, const struct exe_found *x)
{
	const struct mnd_pin *rule = &m->config.pin[x->rule];
	struct pin_request q = request_of(rule);
	char cgroup[PIN_CGROUP], err[CONTROL_ERR];
	struct home *home;
	int r = 0;

	for (unsigned i = 0; i < sizeof(m->exe_refused) / sizeof(m->exe_refused[0]); i++)
		if (m->exe_refused[i] == x->pid)
			return;
	if (pin_cgroup_of(x->pid, cgroup, err) < 0 || is_pinned(m, cgroup))
		return;
	q.pid = x->pid;
	q.uid = x->uid;
	home = find_home(m, &q);
	if (!home) {
		m->exe_waits |= 1u << x->rule;
		return;
	}
	if (q.type == PIN_FIXED)
		r = fix(m, home, err);
	if (r == 0)
		r = make_pin(m, &q, home, err);
	if (r >= 0) {
		mnd_save(m);
	} else if (r != -ESRCH) { /* which has ended meanwhile */
		log_warning("pin", "[pin %s] cannot be obeyed for process %d: %s", rule->name, (int)x->pid, err);
		memmove(&m->exe_refused[1], &m->exe_refused[0], sizeof(m->exe_refused) - sizeof(m->exe_refused[0]));
		m->exe_refused[0] = x->pid;
	}
}

/* Programs that rules name by their path: after one was opened, or when there is an address at last. */
static void find_programs(struct mnd *m, uint64_t now_us, uint64_t *wake_us)
{
	struct exe_found found[EXE_FOUND];
	bool waited = false;
	int n = 0;

	for (unsigned i = 0; i < m->config.n_pin && m->exe_waits; i++) {
		struct pin_request q = request_of(&m->config.pin[i]);

		waited |= (m->exe_waits & 1u << i) && find_home(m, &q);
	}
	if (now_us >= exe_due_us(m->exe) || waited) {
		m->exe_waits = 0;
		n = exe_find(m->exe, now_us, found);
	}
	if (n < 0) {
		log_error("pin",
			"rules with exe are not obeyed any more: the process that looks for programs has ended (%s); restart mnd",
			strerror(-n));
		loop_io_stop(&m->exe_io);
		exe_free(m->exe);
		m->exe = NULL;
		return;
	}
	for (int i = 0; i < n; i++)
		obey_for(m, &found[i]);
	if (exe_due_us(m->exe) < *wake_us)
		*wake_us = exe_due_us(m->exe);
}

/* One request: done, refused, or left for later. */
static void serve(struct mnd *m, struct pin_request *q, uint64_t now_us)
{
	char err[CONTROL_ERR];
	struct home *x;
	int r;

	x = home_for(m, q, now_us, &r, err);
	if (!x && r == 0)
		return;
	if (x && q->type == PIN_FIXED)
		r = fix(m, x, err);
	if (x && r == 0 && !q->address_only)
		r = make_pin(m, q, x, err);
	if (r < 0) {
		forsake(q);
		drop_request(q, r, NULL, err);
		return;
	}
	if (q->address_only)
		q->done = json_pack(
			"{s:s, s:s}", "address", in6_text(&x->h.address), "anchor", x->anchor->credential.node);
	else
		q->done = json_pack("{s:s, s:s, s:s}", "home_address", in6_text(&m->pins[r].home_address), "anchor",
			x->anchor->credential.node, "cgroup", m->pins[r].cgroup);
	mnd_save(m);
}

/* Whoever waits for an address, and whether it has come. */
void pinning_step(struct mnd *m, uint64_t now_us, uint64_t *wake_us)
{
	unsigned n;
	struct rules_match *x = rules_matches(m->rules, &n);

	for (unsigned i = 0; i < n; i++)
		if (!x[i].done)
			obey(m, &x[i]);
	if (m->exe)
		find_programs(m, now_us, wake_us);
	for (unsigned i = 0; i < PIN_REQUESTS; i++) {
		struct pin_request *q = &m->pin_requests[i];

		if (!q->call || q->done)
			continue;
		serve(m, q, now_us);
		if (q->call && !q->done && q->until_us < *wake_us)
			*wake_us = q->until_us;
	}
}

/* New sockets of a graceful pin take the home address of the network that the node is in. */
void pinning_follow(struct mnd *m)
{
	const struct home *x = NULL;

	for (unsigned i = 0; i < HOMES && !x; i++)
		if (is_to_be_had(&m->homes[i], 0) && m->homes[i].h.state == HOMEADDR_NATIVE && !m->homes[i].exclusive &&
			!m->homes[i].draining)
			x = &m->homes[i];
	for (unsigned i = 0; i < PINS && x; i++) {
		struct pin *p = &m->pins[i];

		if (!p->cgroup[0] || p->type != PIN_GRACEFUL || IN6_ARE_ADDR_EQUAL(&p->home_address, &x->h.address))
			continue;
		mnd_emit(m, "pin_moved",
			json_pack("{s:s, s:s, s:s, s:i}", "home_address", in6_text(&x->h.address), "from",
				in6_text(&p->home_address), "command", p->command, "pid", (int)p->pid));
		pin_follow(p, &x->h.address);
	}
}

/* The kernel has the rules: now the programs may use them, and whoever asked goes on. */
void pinning_answer(struct mnd *m)
{
	char err[PIN_ERR];
	bool moved = false;

	for (unsigned i = 0; i < PINS; i++) {
		struct pin *p = &m->pins[i];

		if (!p->cgroup[0] || !p->stale)
			continue;
		moved = true;
		if (pin_attach(p, err) < 0) {
			log_warning("pin", "%s: its sockets stay on the address before", err);
			p->stale = false;
		}
	}
	if (moved)
		mnd_save(m);
	steer(m);
	for (unsigned i = 0; i < PIN_REQUESTS; i++)
		if (m->pin_requests[i].call && m->pin_requests[i].done)
			drop_request(&m->pin_requests[i], 0, m->pin_requests[i].done, NULL);
}

void pinning_free(struct mnd *m)
{
	for (unsigned i = 0; i < PIN_REQUESTS; i++)
		if (m->pin_requests[i].call)
			drop_request(&m->pin_requests[i], -ECANCELED, NULL, "mnd was stopped");
}

/* Read what the caller wants; *ret is a request not in use. */
static int read_request(struct mnd *m, const json_t *parameters, struct pin_request **ret, char *reterr)
{
	const char *address = json_string_value(json_object_get(parameters, "address"));
	const char *anchor = json_string_value(json_object_get(parameters, "anchor"));
	const char *type = json_string_value(json_object_get(parameters, "type"));
	json_t *other = json_object_get(parameters, "pid");
	const struct ucred *who = control_caller(m->daemon.control);
	json_int_t pid = other ? json_integer_value(other) : who->pid;
	struct pin_request *q = NULL;
	unsigned own = 0;

	for (unsigned i = 0; i < PIN_REQUESTS; i++) {
		if (!m->pin_requests[i].call)
			q = &m->pin_requests[i];
		else
			own += m->pin_requests[i].uid == who->uid;
	}
	if (!q || own >= PIN_REQUESTS / 2) {
		(void)snprintf(reterr, CONTROL_ERR, "too many wait for an address already: try again in a moment");
		return -EAGAIN;
	}
	memset(q, 0, sizeof(*q));
	q->pid = (pid_t)pid;
	q->uid = who->uid;
	q->type = pin_type_of(type);
	q->fresh = json_is_true(json_object_get(parameters, "new"));
	q->in_place = json_is_true(json_object_get(parameters, "in_place"));
	q->by_address = address;
	q->until_us = loop_now_us(m->daemon.loop) + PIN_WAIT_US;
	if (pid <= 0 || pid > INT32_MAX)
		(void)snprintf(reterr, CONTROL_ERR, "pid: which process is to be pinned?");
	else if (q->type == PIN_TYPES)
		(void)snprintf(
			reterr, CONTROL_ERR, "'%.60s' is not a type of address: session, fixed or graceful", type);
	else if (address && inet_pton(AF_INET6, address, &q->address) != 1)
		(void)snprintf(reterr, CONTROL_ERR, "'%.100s' is not an IPv6 address", address);
	else if (anchor && (size_t)snprintf(q->anchor, sizeof(q->anchor), "%s", anchor) >= sizeof(q->anchor))
		(void)snprintf(reterr, CONTROL_ERR, "there is no anchor of so long a name");
	else if (q->fresh && (address || q->type == PIN_GRACEFUL))
		(void)snprintf(reterr, CONTROL_ERR, "a new address cannot be %s",
			address ? "one that is named" : "graceful, which follows the node");
	else if (json_is_true(json_object_get(parameters, "isolate")) &&
		(q->in_place || q->type == PIN_GRACEFUL || control_passed_fd(m->daemon.control) < 0))
		(void)snprintf(reterr, CONTROL_ERR,
			"what is isolated is one command on one address, and its network namespace has to be passed");
	else if (q->type == PIN_GRACEFUL && (address || anchor))
		(void)snprintf(reterr, CONTROL_ERR, "graceful follows the node from anchor to anchor: name none");
	else {
		*ret = q;
		return 0;
	}
	return -EINVAL;
}

static int ask(struct mnd *m, const json_t *parameters, bool address_only, char *reterr)
{
	struct pin_request *q;
	int r = read_request(m, parameters, &q, reterr);

	if (r == 0 && !m->config.pins && !(address_only && q->type != PIN_FIXED && !q->fresh)) {
		(void)snprintf(reterr, CONTROL_ERR, "the administrator has switched pinning off ('pins' in mnd.conf)");
		return -EPERM;
	}
	if (r == 0)
		q->address_only = address_only;
	if (r == 0 && q->fresh)
		r = begin_fresh(m, q, reterr);
	if (r < 0)
		return r;
	q->netns = json_is_true(json_object_get(parameters, "isolate"))
		? fcntl(control_passed_fd(m->daemon.control), F_DUPFD_CLOEXEC, 3)
		: -1;
	q->call = control_defer(m->daemon.control);
	if (!q->call)
		return -ENOMEM;
	mnd_touch(m);
	return CONTROL_LATER;
}

int pinning_pin(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)ret;
	return ask(ctx, parameters, false, reterr);
}

int pinning_get_address(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	const char *type = json_string_value(json_object_get(parameters, "type"));
	struct mnd *m = ctx;

	if (!type || strcmp(type, "non-persistent") != 0)
		return ask(m, parameters, true, reterr);
	if (!m->attach.selected) {
		(void)snprintf(reterr, CONTROL_ERR, "this node is in no network now, so it has no care-of address");
		return -ENOENT;
	}
	*ret = json_pack("{s:s}", "address", in6_text(&m->attach.selected->care_of));
	return *ret ? 0 : -ENOMEM;
}

/* What the first process runs now: hoa-exec became it after it was pinned. fallback when it has ended and its children
 * have not. */
static void command_of(pid_t pid, const char *fallback, char ret[64])
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%63[^\n]", ret) != 1)
		(void)snprintf(ret, 64, "%s", fallback);
	if (f)
		(void)fclose(f);
}

int pinning_list(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;
	json_t *list = json_array();
	uint64_t now_s = loop_wall_ns() / 1000000000;

	(void)parameters;
	(void)reterr;
	for (unsigned i = 0; i < PINS; i++) {
		const struct pin *p = &m->pins[i];
		const struct home *x = NULL;
		char command[64];

		if (!p->cgroup[0])
			continue;
		command_of(p->pid, p->command, command);
		for (unsigned k = 0; k < HOMES && !x; k++)
			if (m->homes[k].used && is_on(p, &m->homes[k].h))
				x = &m->homes[k];
		(void)json_array_append_new(list,
			json_pack("{s:s, s:i, s:i, s:s, s:s?, s:s, s:f, s:s, s:s, s:b, s:b}", "command", command, "pid",
				(int)p->pid, "uid", (int)p->uid, "home_address", in6_text(&p->home_address), "anchor",
				x ? x->anchor->credential.node : NULL, "state",
				x ? homeaddr_state_name(x->h.state) : "lost", "since_s",
				(double)(now_s > p->since_s ? now_s - p->since_s : 0), "cgroup", p->cgroup, "type",
				pin_type_name(p->type), "in_place", p->in_place, "isolated", p->outer != 0));
	}
	*ret = json_pack("{s:o}", "pins", list);
	return *ret ? 0 : -ENOMEM;
}
