/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mnd.c - the mobile node daemon
 *
 * Input handlers (netlink news, advertisements, the channel, timers) only change tables and mark the daemon dirty. At
 * the end of the turn decide() looks at everything once: which attachment is in use, what each home address should tell
 * its anchor, what should be in the kernel, when to look again. Then the kernel changes are made, then datagrams leave.
 *
 * Owners: mnd owns anchors and homes; an anchor lives as long as a home or an attachment refers to it. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define SETTINGS_FILE "/mnd.sysctl" /* debian/mnd.prerm reads it */

/* --- small things ---------------------------------------------------------------------------------------------- */

void mnd_touch(struct mnd *m)
{
	m->dirty = true;
}

void mnd_emit(struct mnd *m, const char *event, json_t *data)
{
	control_emit(m->daemon.control, event, data);
}

struct home *mnd_home_of_anchor(struct mnd *m, const struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].anchor == a)
			return &m->homes[i];
	return NULL;
}

/* The home address of this anchor that any program may use. */
static struct home *common_home_of(struct mnd *m, const struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].anchor == a && !m->homes[i].exclusive)
			return &m->homes[i];
	return NULL;
}

/* In the first slot that is free, from this one on. */
static struct home *home_in(struct mnd *m, struct anchor *a, unsigned slot)
{
	bool another = mnd_home_of_anchor(m, a);

	for (unsigned i = slot; i < slot + HOMES; i++) {
		struct home *x = &m->homes[i % HOMES];

		if (x->used)
			continue;
		memset(x, 0, sizeof(*x));
		x->used = true;
		x->anchor = a;
		x->wish = another ? (uint16_t)(1 + randombytes_uniform(0xffff)) : 0;
		homeaddr_init(&x->h, NULL, NULL, 0, loop_now_us(m->daemon.loop));
		return x;
	}
	return NULL;
}

struct home *mnd_home_new(struct mnd *m, struct anchor *a)
{
	return home_in(m, a, 0);
}

/* The home address in a prefix: stable there and unlike those in other prefixes (RFC 7217, with our key as
 * the secret). */
struct in6_addr mnd_form_address(const struct mnd *m, const struct prefix6 *prefix)
{
	struct in6_addr a = prefix->addr;
	uint8_t iid[16];

	(void)crypto_generichash(iid, sizeof(iid), (const uint8_t *)&prefix->addr, 8, m->identity.key.b, SECRET_LEN);
	memcpy(&a.s6_addr[8], iid, 8);
	a.s6_addr[8] &= 0xfd; /* not a universal identifier */
	return a;
}

static bool is_home_address(void *ctx, const struct in6_addr *address)
{
	struct mnd *m = ctx;

	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].h.known && IN6_ARE_ADDR_EQUAL(&m->homes[i].h.address, address))
			return true;
	return false;
}

/* --- what is kept over a restart ------------------------------------------------------------------------------- */

void mnd_save(struct mnd *m)
{
	static struct state state;
	struct state_home *list = state.homes;
	const struct session_seen *seen;
	uint64_t now_us = loop_now_us(m->daemon.loop), now_s = loop_wall_ns() / 1000000000;
	unsigned n = 0;
	int r;

	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &m->homes[i];

		if (!x->used || !x->h.known || x->h.state == HOMEADDR_RELEASED)
			continue;
		list[n].slot = i;
		list[n].address = x->h.address;
		list[n].prefix = x->h.prefix;
		list[n].lease_until_s = now_s +
			(x->h.lease_until_us > now_us ? (x->h.lease_until_us - now_us) / SEC : 0);
		list[n].sequence = x->anchor->sequence;
		list[n].anchor = x->anchor->elsewhere ? x->anchor->other : x->anchor->address;
		list[n].fixed = x->fixed;
		list[n].exclusive = x->exclusive;
		list[n].owner = x->owner;
		list[n++].credential = x->anchor->credential;
	}
	state.n_homes = n;
	state.n_sessions = session_seen(m->session, &seen);
	if (state.n_sessions > STATE_SESSIONS)
		/* of the others it is forgotten since when they are known, no more */
		state.n_sessions = STATE_SESSIONS;
	if (state.n_sessions)
		memcpy(state.sessions, seen, state.n_sessions * sizeof(*seen));
	state.n_pins = 0;
	for (unsigned i = 0; i < PINS; i++)
		if (m->pins[i].cgroup[0])
			state.pins[state.n_pins++] = m->pins[i];
	state.timestamps_until = m->timestamps_until;
	r = state_store(m->config.state, &state);
	if (r < 0)
		log_warning("main", "cannot write %s: %s; home addresses would be lost by a restart", m->config.state,
			strerror(-r));
}

static void load(struct mnd *m)
{
	static struct state state;
	const struct state_home *list = state.homes;
	uint64_t now_us = loop_now_us(m->daemon.loop), now_s = loop_wall_ns() / 1000000000;
	char err[CREDENTIAL_ERR];

	if (state_load(m->config.state, &state, err) < 0)
		log_warning("main", "%s", err);
	m->timestamps_until = state.timestamps_until;
	channel_go_on_after(m->channel, m->timestamps_until);
	(void)session_remember(m->session, state.sessions, state.n_sessions);
	for (unsigned i = 0; i < state.n_homes; i++) {
		const struct credential *c = &list[i].credential;
		enum credential_why why;
		struct anchor *a;
		struct home *x;

		if (list[i].lease_until_s <= now_s)
			continue;
		/* one that is over is enough to ask for a new one of the same key (mnd_anchor_ask_again): its lease
		 * lives */
		if (credential_verify(c, m->trusted, m->n_trusted, now_s < c->until_s ? now_s : c->until_s, &why) < 0) {
			log_notice("main", "forgetting home address %s: its anchor's credential is %s",
				in6_text(&list[i].address), credential_why_name(why));
			continue;
		}
		a = mnd_anchor_new(m, &list[i].anchor, c);
		if (!a)
			break;
		a->doubt = true;
		a->sequence = (uint16_t)(list[i].sequence + 64); /* what was sent since it was written */
		x = home_in(m, a, list[i].slot);
		if (!x)
			break;
		homeaddr_init(&x->h, &list[i].prefix, &list[i].address, now_us + (list[i].lease_until_s - now_s) * SEC,
			now_us);
		x->fixed = list[i].fixed;
		x->exclusive = list[i].exclusive;
		x->owner = list[i].owner;
		log_info("main", "home address %s of %s taken over from the last run", in6_text(&x->h.address),
			a->credential.node);
	}
	for (unsigned i = 0; i < state.n_pins; i++) {
		char why[PIN_ERR];

		if (pin_is_over(&state.pins[i]))
			continue;
		m->pins[i] = state.pins[i];
		if (pin_attach(&m->pins[i], why) < 0)
			log_warning("pin", "%s: it keeps what the last run gave it", why);
		(void)pin_watch(&m->pins[i], m->pin_fd);
	}
	pinning_adopt(m);
}

/* --- input: the kernel ----------------------------------------------------------------------------------------- */

static const struct mnd_interface *interface_config(const struct mnd *m, const char *name)
{
	for (unsigned i = 0; i < m->config.n_interface; i++)
		if (!fnmatch(m->config.interface[i].name, name, 0))
			return &m->config.interface[i];
	return NULL;
}

static bool is_eligible(const struct mnd *m, const struct nl_link *link)
{
	const struct mnd_interface *i = interface_config(m, link->name);

	if (link->loopback || !link->ethernet || link->port || link->ifindex == m->tunnel || (i && i->ignore))
		return false;
	for (unsigned k = 0; k < m->config.interfaces.n; k++)
		if (!fnmatch(m->config.interfaces.word[k], link->name, 0))
			return true;
	return false;
}

/* What a setting of the kernel was before us is noted beside the control socket: it is to be so again when mnd is
 * removed. */
static FILE *open_settings(const struct mnd *m, const char *mode)
{
	char path[CONF_TEXT + 16];
	const char *slash = strrchr(m->config.control_socket, '/');
	int dir = slash ? (int)(slash - m->config.control_socket) : 0;

	(void)snprintf(path, sizeof(path), "%.*s" SETTINGS_FILE, dir, m->config.control_socket);
	if (!mode)
		(void)unlink(path);
	return mode ? fopen(path, mode) : NULL;
}

static void note_setting(const struct mnd *m, const char *name, const char *key, int was)
{
	char line[160], had[160];
	FILE *f = open_settings(m, "a+e");
	bool noted = false;

	if (!f)
		return;
	(void)snprintf(line, sizeof(line), "net/ipv6/conf/%s/%s = %d\n", name, key, was);
	while (!noted && fgets(had, sizeof(had), f))
		noted = !strcmp(had, line);
	if (!noted)
		(void)fputs(line, f);
	(void)fclose(f);
}

static void restore_settings(const struct mnd *m)
{
	char line[160], name[64], key[64];
	FILE *f = open_settings(m, "re");
	int was;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "net/ipv6/conf/%63[^/]/%63s = %d", name, key, &was) == 3)
			(void)nl_sysctl_set(name, key, was);
	if (f)
		(void)fclose(f);
	(void)open_settings(m, NULL);
}

/* Returns 0 when it is on, or -errno: -ENOENT, this kernel has none. */
static int turn_on(const struct mnd *m, const char *name, const char *key)
{
	int v, r = nl_sysctl_get(name, key, &v);

	if (r < 0 || v > 0)
		return r;
	r = nl_sysctl_set(name, key, 1);
	if (r == 0)
		note_setting(m, name, key, v);
	return r;
}

/* Optimistic DAD, so that a new address can be used at once (RFC 4429). Kernels without it have neither setting. */
static void prepare_interface(struct mnd *m, const char *name)
{
	static const char *const keys[] = {"optimistic_dad", "use_optimistic"};

	for (unsigned i = 0; i < 2; i++) {
		int r = turn_on(m, name, keys[i]);

		if (r == -ENOENT && !(m->sysctl_off++))
			log_info("attach",
				"this kernel has no optimistic DAD: a new care-of address can be used only after about a second, unless accept_dad is 0");
		else if (r < 0 && r != -ENOENT)
			log_warning("attach",
				"cannot set net.ipv6.conf.%s.%s: %s; a new care-of address will wait for DAD", name,
				keys[i], strerror(-r));
	}
	/* routers hear of another link-layer address at once */
	(void)turn_on(m, name, "ndisc_notify");
}

static void on_link(void *ctx, const struct nl_link *link, bool present)
{
	struct mnd *m = ctx;
	struct attachment *at;
	const struct mnd_interface *i = interface_config(m, link->name);
	uint32_t priority;

	if (link->ifindex == m->tunnel) {
		if ((!present || !link->up) && !nl_link_is_up(m->tunnel)) {
			m->tunnel_lost = true;
			mnd_touch(m);
		}
		return;
	}
	if (pinning_is_outer(m, link->ifindex))
		return;
	if (!present || !is_eligible(m, link)) {
		if (attach_find(&m->attach, link->ifindex)) {
			log_info("attach", "%s is gone", link->name);
			attach_link_gone(&m->attach, link->ifindex);
			mnd_touch(m);
		}
		return;
	}
	at = attach_find(&m->attach, link->ifindex);
	if (!at && !m->isolate)
		isolate_deafen(NULL, link->ifindex); /* left from an earlier run */
	if (!at)
		prepare_interface(m, link->name);
	/* our AMA has to hear of it: as a new link */
	else if (memcmp(at->link_layer, link->link_layer, sizeof(at->link_layer)) != 0)
		attach_link(&m->attach, link->ifindex, link->name, at->priority, false, at->carrier_changes,
			loop_clock_us());
	priority = i && i->priority ? i->priority : nl_is_wireless(link->name) ? 50 : 100;
	attach_link(&m->attach, link->ifindex, link->name, (int)priority, link->carrier, link->carrier_changes,
		loop_clock_us());
	at = attach_find(&m->attach, link->ifindex);
	if (at)
		memcpy(at->link_layer, link->link_layer, sizeof(at->link_layer));
	log_debug(
		"attach", "%s: %s, %s", link->name, link->up ? "up" : "down", link->carrier ? "carrier" : "no carrier");
	mnd_touch(m);
}

static void on_address(void *ctx, const struct nl_address *address, bool present)
{
	struct mnd *m = ctx;

	if (address->ifindex == m->tunnel)
		return;
	log_debug("attach", "address %s on %u: %s", in6_text(&address->address), address->ifindex,
		!present		  ? "gone"
			: address->usable ? "usable"
					  : "tentative");
	attach_address(&m->attach, address->ifindex, &address->address, present, address->usable, address->deprecated);
	mnd_touch(m);
}

static void put_back(struct mnd *m, const struct fwd_object *o, const char *what)
{
	log_notice("nl", "%s was %s by somebody else: putting it back", fwd_object_text(o), what);
	mnd_emit(m, "restored", json_pack("{s:s}", "object", fwd_object_text(o)));
	mnd_touch(m);
}

static void on_deleted(void *ctx, const struct fwd_object *o)
{
	struct mnd *m = ctx;

	if (fwd_lost(m->set, o, loop_now_us(m->daemon.loop)))
		put_back(m, o, "deleted");
}

static void on_changed(void *ctx, const struct fwd_object *o)
{
	struct mnd *m = ctx;

	if (o->kind == FWD_ADDRESS && o->address.ifindex != m->tunnel)
		return;
	if (fwd_changed(m->set, o, loop_now_us(m->daemon.loop)))
		put_back(m, o, "changed");
	mnd_touch(m);
}

static void on_overrun(void *ctx)
{
	struct mnd *m = ctx;

	log_notice("nl", "netlink news were lost: reading everything again");
	m->resync = true;
	mnd_touch(m);
}

static const struct nl_ops nl_ops = {on_link, on_address, on_deleted, on_changed, on_overrun};

static void read_news(void *ctx)
{
	struct mnd *m = ctx;

	nl_read_news(m->nl);
}

static void read_adverts(void *ctx)
{
	struct mnd *m = ctx;
	struct router_advert ra;
	struct in6_addr router;
	uint32_t ifindex;
	int r;

	for (int i = 0; i < 32 && (r = ra_receive(m->ra_fd, &ra, &router, &ifindex)) != 0; i++) {
		if (r < 0) {
			m->counter_ra_ignored++;
			if (r != -EBADMSG)
				return;
			continue;
		}
		attach_advert(&m->attach, ifindex, &router, &ra, loop_clock_us());
		mnd_touch(m);
	}
}

/* --- input: sessions ------------------------------------------------------------------------------------------- */

static bool count_session(void *ctx, const struct session_info *info)
{
	struct mnd *m = ctx;

	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].h.known &&
			IN6_ARE_ADDR_EQUAL(&m->homes[i].h.address, &info->home_address)) {
			m->homes[i].sessions++;
			return true;
		}
	return false;
}

static void refresh_sessions(struct mnd *m)
{
	unsigned before[HOMES];
	int r;

	m->session_due_us = UINT64_MAX;
	for (unsigned i = 0; i < HOMES; i++) {
		before[i] = m->homes[i].sessions;
		m->homes[i].sessions = 0;
	}
	r = session_list(m->session, loop_wall_ns() / 1000000000, count_session, m);
	if (r < 0) {
		/* not knowing is not a reason to cut somebody off */
		log_warning(
			"home", "cannot read the socket tables: %s; every home address counts as used", strerror(-r));
		for (unsigned i = 0; i < HOMES; i++)
			m->homes[i].sessions = before[i] ? before[i] : 1;
	}
}

/* Nobody tells of sessions that begin at home, where none needs us: who asks counts them. */
void mnd_count_sessions(struct mnd *m)
{
	uint64_t due_us = m->session_due_us;

	refresh_sessions(m);
	m->session_due_us = due_us; /* what is waited for may not be there yet */
	mnd_touch(m);
}

static void read_session_news(void *ctx)
{
	struct mnd *m = ctx;
	uint64_t due_us = loop_now_us(m->daemon.loop) + SETTLE_US;

	if (session_read_news(m->session, is_home_address, m) && due_us < m->session_due_us) {
		m->session_due_us = due_us;
		mnd_touch(m);
	}
}

static void stop_watch(struct mnd *m)
{
	loop_io_stop(&m->watch_io);
	session_watch_end(m->watch_tunnel, m->watch_fd);
	m->watch_fd = -1;
}

/* A packet left from an address that had no session: somebody may have begun one. If not (an answer to a ping, a late
 * segment), the next packet is looked for after a while only. */
static void read_watch(void *ctx)
{
	struct mnd *m = ctx;

	stop_watch(m);
	m->session_due_us = loop_now_us(m->daemon.loop);
	m->watch_hold_us = m->session_due_us + WATCH_HOLD_US;
	mnd_touch(m);
}

/* Look for packets of the home addresses that have no session now. */
static void watch_unused(struct mnd *m, uint64_t now_us, uint64_t *wake_us)
{
	struct in6_addr addresses[HOMES];
	uint64_t unused = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &m->homes[i];

		if (!x->used || x->sessions || !homeaddr_is_unused(&x->h) || !m->attach.selected)
			continue;
		unused |= 1ULL << i;
		addresses[n++] = x->h.address;
	}
	if (m->watch_fd >= 0 && (unused != m->watched || m->tunnel != m->watch_tunnel))
		stop_watch(m);
	if (n == 0 || m->watch_fd >= 0)
		return;
	if (now_us < m->watch_hold_us) {
		if (m->watch_hold_us < *wake_us)
			*wake_us = m->watch_hold_us;
		return;
	}
	m->watch_fd = session_watch(m->tunnel, addresses, n);
	if (m->watch_fd < 0) {
		log_debug("home", "cannot watch for new sessions: %s; they are noticed when the grace time ends",
			strerror(-m->watch_fd));
		return;
	}
	m->watched = unused;
	m->watch_tunnel = m->tunnel;
	loop_io_start(&m->watch_io, m->daemon.loop, m->watch_fd, read_watch, m, "packets of unused home addresses");
}

/* --- decisions of a turn --------------------------------------------------------------------------------------- */

static void moved(struct mnd *m, uint64_t now_us)
{
	const struct attachment *at = m->attach.selected;
	struct handover *last = m->n_history ? &m->history[(m->n_history - 1) % HISTORY] : NULL, *ho;
	const struct in6_addr *ama = attach_ama(at);

	if (at && (!ama || !IN6_ARE_ADDR_EQUAL(ama, &m->ama))) {
		m->ama = ama ? *ama : in6addr_any;
		m->ama_generation = m->attach.generation;
	}
	m->discovering = in6addr_any; /* who did not answer there may do so here */
	channel_doubt(m->channel);
	m->session_due_us = now_us; /* what is in use decides what the anchors hear */
	for (unsigned i = 0; i < ANCHORS; i++)
		if (m->anchors[i].used)
			mnd_anchor_moved(m, &m->anchors[i], now_us);
	if (!at) {
		log_notice("attach", "no usable network: sessions wait");
		mnd_emit(m, "detached", json_object());
		return;
	}
	if (last && m->srccheck)
		last->first_us = srccheck_first_us(m->srccheck, &last->care_of);
	if (m->srccheck)
		srccheck_await(m->srccheck, &at->care_of);
	ho = &m->history[m->n_history++ % HISTORY];
	memset(ho, 0, sizeof(*ho));
	ho->at_wall_s = loop_wall_ns() / 1000000000;
	if (last)
		memcpy(ho->from, last->to, sizeof(ho->from));
	memcpy(ho->to, at->name, sizeof(ho->to));
	ho->care_of = at->care_of;
	ho->link_up_us = at->link_up_us;
	ho->heard_us = at->heard_us;
	ho->usable_us = at->usable_us;
	ho->rx = transport_counters(m->transport)->rx;
	ho->tx = transport_counters(m->transport)->tx;
	log_notice("attach", "attached on %s: router %s, care-of address %s, %s%s", at->name,
		in6_text(&at->router->link_local), in6_text(&at->care_of), ama ? "AMA " : "no AMA here",
		ama ? in6_text(ama) : "");
	mnd_emit(m, "attached",
		json_pack("{s:s, s:s, s:s, s:s?}", "interface", at->name, "router", in6_text(&at->router->link_local),
			"care_of", in6_text(&at->care_of), "ama", ama ? in6_text(ama) : NULL));
}

/* Make sure that the AMA on the link is known and anchors an address for us, and that the regional one is, if there is
 * one. */
static void seek_ama(struct mnd *m, uint64_t now_us, uint64_t *wake_us)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	struct anchor *a = ama ? mnd_anchor_by_address(m, ama) : NULL,
		      *other = ama ? mnd_anchor_by_other(m, ama) : NULL;

	if (!a && other && !mnd_anchor_is_needed(m, other)) {
		mnd_anchor_put(other, ama);
		a = other;
	}
	if (ama && !a && !other)
		signalling_discover(m, ama, now_us, wake_us);
	if (!a)
		return;
	if (!common_home_of(m, a) && !mnd_home_new(m, a))
		log_warning("home", "no room for another home address");
	if (m->config.updates != MND_DIRECT_ONLY && !IN6_IS_ADDR_UNSPECIFIED(&a->regional) &&
		!mnd_anchor_by_address(m, &a->regional) && !mnd_anchor_by_other(m, &a->regional))
		signalling_discover(m, &a->regional, now_us, wake_us);
}

/* Changes when this anchor has to hear from us although nothing else changed. */
static uint32_t generation(struct mnd *m, const struct home *x)
{
	return (signalling_proxy(m, x->anchor) ? m->ama_generation : m->attach.generation) + x->anchor->restarts;
}

/* Is the AMA on the link, or the regional one that updates of this home address go through, being asked for the first
 * time? */
static bool is_discovering(struct mnd *m, const struct home *x, const struct in6_addr *ama)
{
	const struct anchor *serving = mnd_anchor_by_address(m, ama);

	if (IN6_IS_ADDR_UNSPECIFIED(&m->discovering) || m->discovery_tries > 1)
		return false;
	return !serving ? IN6_ARE_ADDR_EQUAL(&m->discovering, ama)
			: IN6_ARE_ADDR_EQUAL(&m->discovering, &serving->regional) &&
			!IN6_ARE_ADDR_EQUAL(&serving->regional, &x->anchor->address);
}

static void step_home(struct mnd *m, struct home *x, uint64_t now_us, uint64_t *wake_us)
{
	struct homeaddr_policy policy = {.grace_us = x->given_up ? 0 : m->config.grace_us,
		.lease_s = (uint32_t)(m->config.lease_us / SEC),
		.binding_s = (uint32_t)(m->config.binding_us / SEC),
		.release_try = 3};
	const struct attachment *at = m->attach.selected;
	const struct in6_addr *ama = attach_ama(at);
	struct homeaddr_world w = {.now_us = now_us,
		.path = at,
		.at_home = ama && IN6_ARE_ADDR_EQUAL(ama, &x->anchor->address),
		.in_use = (x->sessions > 0 || x->fixed || pinning_count(m, &x->h) > 0) && !x->given_up,
		.unwanted = x->draining || x->given_up || x->exclusive,
		.generation = generation(m, x)};
	uint16_t mtu = pmtu_inner_mtu(&x->anchor->pmtu);
	uint64_t home_wake_us;

	if (at)
		w.care_of = signalling_proxy(m, x->anchor) ? *ama : at->care_of;
	/* the first answer of an AMA that we do not know is worth waiting for: else its anchors would hear twice */
	if (ama && m->config.updates == MND_PREFER_PROXY && !w.at_home && is_discovering(m, x, ama))
		w.path = false;
	switch (homeaddr_step(&x->h, &w, &policy, &home_wake_us)) {
	case HOMEADDR_SEND:
		if (x->h.asked != LU_RELEASE)
			signalling_ask_forwarding(m, x);
		signalling_begin_update(m, x, now_us);
		break;
	case HOMEADDR_CANCEL:
		x->bu.kind = LU_NONE;
		break;
	case HOMEADDR_WAIT:
		break;
	}
	/* a black hole was found, or the path grew: the anchor sets it on the prefix's route */
	if (x->h.state == HOMEADDR_BOUND && x->bu.kind == LU_NONE && x->told_mtu != mtu && at &&
		!signalling_proxy(m, x->anchor)) {
		x->h.asked = LU_BIND;
		x->h.asked_care_of = at->care_of;
		x->h.asked_generation = generation(m, x);
		signalling_begin_update(m, x, now_us);
	}
	/* one way did not work: the other, if there is one */
	if (at && x->bu.kind == LU_BIND && lu_is_due(&x->bu, now_us) &&
		x->anchor->flipped_generation != m->attach.generation + 1 &&
		((x->bu.proxied && x->bu.tries >= (x->bu.local ? 2u : 1u)) ||
			(!x->bu.proxied && x->bu.tries >= 3 && m->config.updates == MND_PREFER_DIRECT))) {
		x->anchor->flipped_generation = m->attach.generation + 1;
		(void)snprintf(x->anchor->way, sizeof(x->anchor->way), "no answer %s",
			x->bu.proxied ? "through the AMA" : "to direct updates");
		mnd_touch(m);
		return;
	}
	if (at && lu_is_due(&x->bu, now_us)) {
		homeaddr_unanswered(&x->h, x->bu.tries, &policy);
		if (x->h.state == HOMEADDR_RELEASED)
			x->bu.kind = LU_NONE;
		else
			signalling_send_update(m, x, now_us);
	}
	if (x->bu.kind != LU_NONE && x->bu.next_us < *wake_us)
		*wake_us = x->bu.next_us;
	if (home_wake_us < *wake_us)
		*wake_us = home_wake_us;
	if (x->begun && x->h.state == x->shown)
		return;
	log_write(LOG_LEVEL_NOTICE, "home",
		&(struct log_fields){
			.hnp = x->h.known ? prefix6_text(&x->h.prefix) : NULL, .anchor = x->anchor->credential.node},
		"%s of %s: %s, %s (%u sessions)", x->h.known ? in6_text(&x->h.address) : "address",
		x->anchor->credential.node, homeaddr_state_name(x->h.state), homeaddr_reason_name(x->h.reason),
		x->sessions);
	mnd_emit(m, "home_address",
		json_pack("{s:s?, s:s, s:s?, s:s, s:s, s:i}", "address", x->h.known ? in6_text(&x->h.address) : NULL,
			"anchor", x->anchor->credential.node, "from", x->begun ? homeaddr_state_name(x->shown) : NULL,
			"to", homeaddr_state_name(x->h.state), "reason", homeaddr_reason_name(x->h.reason), "sessions",
			(int)x->sessions));
	x->begun = true;
	x->shown = x->h.state;
}

/* RFC 5847: where an anchor has a binding of ours, it is asked whether it lives, and whether it restarted. Paced: once
 * a period, spread by a tenth so that nodes do not ask in step; without an answer after 1 s, 2 s, 4 s, ... */
static void ask_heartbeat(struct mnd *m, struct anchor *a, uint64_t now_us, uint64_t *wake_us)
{
	uint64_t period_us = m->config.heartbeat_us;
	uint8_t buf[32];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_heartbeat hb;
	struct mh_writer mw;
	bool needed = false;

	for (unsigned i = 0; i < HOMES; i++)
		needed |= m->homes[i].used && m->homes[i].anchor == a && m->homes[i].h.confirmed == LU_BIND;
	if (!needed || !period_us || !m->attach.selected) {
		a->heartbeat_us = 0;
		a->unheard = 0;
		return;
	}
	/* begin, or something was heard; the probe after a bind has brought the first restart counter */
	if (a->heartbeat_us <= 1)
		a->heartbeat_us = now_us + period_us - period_us / 20 +
			randombytes_uniform((uint32_t)(period_us / 10 / MS) + 1) * MS;
	if (now_us >= a->heartbeat_us) {
		hb = (struct mh_heartbeat){.sequence = ++a->heartbeat};
		mw = mh_begin_heartbeat(&w, &hb);
		mh_end(&mw);
		if (!signalling_is_proxied(m, a))
			signalling_go_direct(m, a);
		/* unanswered: the anchor may have lost the session as well */
		(void)channel_send_flags(
			m->channel, a->peer, buf, wcur_len(&w), a->unheard ? CHANNEL_FORCE_HANDSHAKE : 0);
		a->heartbeat_us = now_us + (SEC << (a->unheard < 5 ? a->unheard : 5));
		if (++a->unheard == HEARTBEATS_MISSED) {
			log_about(LOG_LEVEL_NOTICE, "lu", NULL, NULL, a->credential.node,
				"%s does not answer: its home addresses wait for it", a->credential.node);
			mnd_emit(m, "anchor_silent", json_pack("{s:s}", "anchor", a->credential.node));
		}
	}
	if (a->heartbeat_us < *wake_us)
		*wake_us = a->heartbeat_us;
}

static void probe_mtu(struct mnd *m, struct anchor *a, uint64_t now_us, uint64_t *wake_us)
{
	uint64_t at_us;
	bool changed;

	while (a->used && pmtu_step(&a->pmtu, now_us, &at_us, &changed)) {
		if (signalling_send_probe(m, a, a->pmtu.id, a->pmtu.size, now_us) < 0)
			break;
		log_debug("lu", "path MTU probe of %u bytes to %s", a->pmtu.size, a->credential.node);
	}
	if (changed)
		mnd_touch(m);
	if (at_us < *wake_us)
		*wake_us = at_us;
}

/* Which source does the kernel take for a new session? If it is not the home address of this network (no RFC 6724 rule
 * 4: a kernel without CONFIG_IPV6_MIP6), the default route has to say it. Asked once, when there is one to choose. */
static void learn_source(struct mnd *m)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
	socklen_t len = sizeof(a);
	bool native = false;
	int fd;

	for (unsigned i = 0; i < HOMES; i++)
		native |= m->homes[i].used && m->homes[i].h.state == HOMEADDR_NATIVE;
	if (m->source_known || !native || !m->config.default_route)
		return;
	(void)inet_pton(AF_INET6, "2001:db8::9", &a.sin6_addr); /* connecting a UDP socket sends nothing */
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && getsockname(fd, (struct sockaddr *)&a, &len) == 0) {
		m->source_known = true;
		m->need_source = !is_home_address(m, &a.sin6_addr);
		if (m->need_source) {
			log_info("nl",
				"this kernel does not prefer home addresses as source: the default route names them");
			mnd_touch(m);
		}
	}
	(void)close(fd);
}

static void want_kernel_state(struct mnd *m)
{
	struct rc_home homes[HOMES] = {0};
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	unsigned n = 0;

	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (!x->used)
			continue;
		homes[n].home = &x->h;
		homes[n].slot = i;
		homes[n].anchor = x->anchor->address;
		homes[n].mtu = pmtu_inner_mtu(&x->anchor->pmtu);
		/* with no network at all nothing is toggled: applications watch (chromium drops sockets at any flag
		 * change) */
		homes[n].deprecated = m->attach.selected ? !(ama && IN6_ARE_ADDR_EQUAL(ama, &x->anchor->address))
							 : x->h.state != HOMEADDR_NATIVE;
		homes[n].deprecated |= x->draining || x->given_up || x->exclusive;
		if (pinning_has_mark(m, &x->h))
			homes[n].mark = pin_mark(&x->h.address);
		homes[n].through = x->bu.kind == LU_BIND && x->bu.proxied;
		n++;
		if (m->srccheck && x->h.known)
			(void)srccheck_set(m->srccheck, &x->h.prefix, &x->anchor->address);
	}
	fwd_begin(m->set);
	rc_want(m->set, &m->attach, homes, n, m->tunnel, m->config.default_route, m->need_source);
	fwd_end(m->set);
}

static void remove_released(struct mnd *m)
{
	bool removed = false;

	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (!x->used || x->h.state != HOMEADDR_RELEASED)
			continue;
		if (m->srccheck && x->h.known)
			srccheck_delete(m->srccheck, &x->h.prefix);
		x->used = false;
		removed = true;
	}
	if (removed)
		mnd_save(m);
}

/* Nothing comes out of the tunnel before the source check looks at it: its device is up only then. */
static int raise_tunnel(struct mnd *m, char *reterr)
{
	int r = m->srccheck ? srccheck_attach(m->srccheck, m->tunnel, reterr) : 0;

	return r < 0 ? r : nl_tunnel_up(m->nl, m->tunnel, m->config.tunnel_mtu, reterr);
}

static void open_tunnel(struct mnd *m)
{
	char err[NL_ERR];

	m->tunnel_lost = false;
	if (nl_tunnel_open(m->nl, m->config.tunnel_device, &m->tunnel, err) < 0 || raise_tunnel(m, err) < 0) {
		log_error("nl", "%s", err);
		return;
	}
	m->counter_device++;
	if (nl_dump_objects(m->nl, m->set, m->tunnel, true) < 0)
		m->resync = true;
}

static void resync(struct mnd *m)
{
	m->resync = false;
	attach_forget_addresses(&m->attach);
	if (nl_dump_links(m->nl) < 0 || nl_dump_addresses(m->nl) < 0 ||
		nl_dump_objects(m->nl, m->set, m->tunnel, true) < 0)
		log_error("nl", "cannot read the kernel's state; trying again at the next event");
}

void mnd_decide(void *ctx)
{
	struct mnd *m = ctx;
	uint64_t now_us, wake_us, at_us;
	struct attachment *at;

	if (m->stopping)
		return;
	/* A decision may touch again (an answer in hand, a size found): few rounds, each cheap. */
	for (int round = 0; m->dirty && round < 4; round++) {
		m->dirty = false;
		now_us = loop_clock_us();
		wake_us = UINT64_MAX;
		if (m->tunnel_lost) {
			log_notice("nl",
				"the tunnel device %s was removed or set down by somebody else: putting it back",
				m->config.tunnel_device);
			open_tunnel(m);
		}
		if (m->resync)
			resync(m);
		(void)attach_step(&m->attach, now_us, &at_us);
		while ((at = attach_solicit_due(&m->attach, now_us))) {
			bool settled = false;
			int r;

			(void)signalling_link_local(at, &settled);
			r = ra_solicit(m->ra_fd, at->ifindex, settled);

			if (r < 0)
				log_debug("attach", "router solicitation on %s: %s", at->name, strerror(-r));
			(void)attach_step(&m->attach, now_us, &at_us);
		}
		if (at_us < wake_us)
			wake_us = at_us;
		if (m->attach.generation != m->seen_generation) {
			m->seen_generation = m->attach.generation;
			moved(m, now_us);
		}
		/* before an address is given back or its binding renewed its sockets are looked at once more: one may
		 * have begun or, of a protocol without news of that, ended since */
		for (unsigned i = 0; i < HOMES; i++)
			if (m->homes[i].used && homeaddr_is_due(&m->homes[i].h, m->config.grace_us, now_us))
				m->session_due_us = now_us;
		if (now_us >= m->session_due_us)
			refresh_sessions(m);
		if (m->session_due_us < wake_us)
			wake_us = m->session_due_us;
		for (unsigned i = 0; i < ANCHORS; i++)
			if (m->anchors[i].used) {
				mnd_anchor_try_other(m, &m->anchors[i], now_us, &wake_us);
				mnd_anchor_ask_again(m, &m->anchors[i], now_us, &wake_us);
			}
		seek_ama(m, now_us, &wake_us);
		pinning_step(m, now_us, &wake_us);
		for (unsigned i = 0; i < HOMES; i++)
			if (m->homes[i].used)
				step_home(m, &m->homes[i], now_us, &wake_us);
		pinning_follow(m);
		for (unsigned i = 0; i < ANCHORS; i++)
			if (m->anchors[i].used)
				probe_mtu(m, &m->anchors[i], now_us, &wake_us);
		for (unsigned i = 0; i < ANCHORS; i++)
			if (m->anchors[i].used)
				ask_heartbeat(m, &m->anchors[i], now_us, &wake_us);
		remove_released(m);
		watch_unused(m, now_us, &wake_us);
		want_kernel_state(m);
		if (fwd_wake_us(m->set) < wake_us)
			wake_us = fwd_wake_us(m->set);
		loop_timer_at(&m->timer, wake_us);
	}
}

void mnd_apply(void *ctx)
{
	struct mnd *m = ctx;

	if (nl_apply(m->nl, m->set) < 0) {
		m->resync = true;
		mnd_touch(m);
	} else {
		learn_source(m);
	}
	if (m->srccheck) {
		int r = srccheck_flush(m->srccheck);

		if (r < 0)
			log_error("nl", "cannot change the source check: %s", strerror(-r));
	}
	pinning_answer(m);
}

/* Ready is who has looked at the kernel once and has everything there: at the end of a turn that failed in nothing. */
static void say_ready(struct mnd *m)
{
	m->ready = true;
	log_info("main", "mnd %s is ready: node %s of domain %s", PACKAGE_VERSION, m->identity.name,
		m->identity.credential.domain);
	daemon_ready();
}

static void flush(void *ctx)
{
	struct mnd *m = ctx;

	channel_flush(m->channel, loop_clock_us());
	transport_flush(m->transport);
	if (!m->ready && !m->resync && !m->tunnel_lost)
		say_ready(m);
}

static void on_timer(void *ctx)
{
	struct mnd *m = ctx;

	fwd_release(m->set, loop_now_us(m->daemon.loop));
	mnd_touch(m);
}

static void on_jump(void *ctx, uint64_t slept_us)
{
	struct mnd *m = ctx;

	if (!slept_us) {
		log_info("main", "the wall clock was set");
		return;
	}
	log_notice("main", "asleep for %llu s: looking at everything anew", (unsigned long long)(slept_us / SEC));
	attach_doubt(&m->attach, loop_clock_us());
	for (unsigned i = 0; i < ANCHORS; i++)
		m->anchors[i].doubt = true;
	/* leases and bindings went on while our clock stood */
	for (unsigned i = 0; i < HOMES; i++) {
		struct home_address *h = &m->homes[i].h;

		if (!m->homes[i].used)
			continue;
		if (h->lease_until_us)
			h->lease_until_us = h->lease_until_us > slept_us ? h->lease_until_us - slept_us : 1;
		if (h->confirmed == LU_BIND)
			h->confirmed_until_us = h->confirmed_until_us > slept_us ? h->confirmed_until_us - slept_us : 1;
	}
	m->resync = true;
	mnd_touch(m);
}

/* --- trust and reload ------------------------------------------------------------------------------------------ */

int mnd_reload(void *ctx, char *reterr, size_t size)
{
	struct mnd *m = ctx;
	struct mnd_config *config = malloc(sizeof(*config));
	struct daemon_faults faults = {reterr, size};
	struct domain trusted[TRUST_MAX];
	char err[CREDENTIAL_ERR];
	int n;

	reterr[0] = '\0';
	if (!config)
		return -ENOMEM;
	if (mnd_config_read(m->config_path, m->config_required, config, daemon_collect_fault, &faults) > 0) {
		free(config);
		log_error("conf", "configuration refused, keeping the old one");
		return -EINVAL;
	}
	n = trust_load(config->trusted_domains, &m->identity, trusted, NULL, err);
	if (n < 0) {
		log_error("conf", "%s; keeping the old configuration", err);
		(void)snprintf(reterr, size, "%s", err);
		free(config);
		return n;
	}
	memcpy(m->trusted, trusted, sizeof(trusted));
	m->n_trusted = (size_t)n;
	daemon_keep_settings("mnd", mnd_sections, mnd_settings, &m->config, config, reterr, size);
	m->config = *config;
	free(config);
	pinning_load_rules(m);
	(void)channel_set_trusted(m->channel, m->trusted, m->n_trusted);
	m->resync = true; /* interfaces may have become eligible */
	mnd_touch(m);
	log_info("conf", "configuration read again");
	return 0;
}

/* --- life ------------------------------------------------------------------------------------------------------ */

static int open_all(struct mnd *m, char *reterr)
{
	struct channel_config channel = {.ops = &signalling_channel_ops, .ctx = m, .max_peers = ANCHORS + 1};
	struct daemon_config doors = {.control = {.path = m->config.control_socket,
					      .interface = "org.dmm.mnd",
					      .description = mnd_description,
					      .product = "mnd",
					      .version = PACKAGE_VERSION,
					      .methods = mnd_methods,
					      .ctx = m},
		.metrics = m->config.metrics,
		.collect = methods_collect,
		.key_log = m->config.key_log};
	char path[512];
	int r = secret_start();

	if (r < 0) {
		(void)snprintf(reterr, DAEMON_ERR, "libsodium does not start");
		return r;
	}
	if (identity_load(identity_find(m->config.identity, SYSCONFDIR "/dmm/mnd.identity", path, sizeof(path)),
		    &m->identity, reterr) < 0)
		return -ENOENT;
	if (!m->identity.has_credential) {
		(void)snprintf(reterr, DAEMON_ERR,
			"%s has no credential yet: have the domain sign the token of 'mnctl keygen' and run 'mnctl join'",
			m->config.identity);
		return -ENOENT;
	}
	r = trust_load(m->config.trusted_domains, &m->identity, m->trusted, NULL, reterr);
	if (r < 0)
		return r;
	m->n_trusted = (size_t)r;
	/* first: it finds another mnd before anything is touched */
	r = daemon_open(&m->daemon, &doors, reterr);
	if (r < 0)
		return r;
	r = nl_new(&nl_ops, m, &m->nl, reterr);
	if (r < 0)
		return r;
	r = nl_tunnel_open(m->nl, m->config.tunnel_device, &m->tunnel, reterr);
	if (r < 0)
		return r;
	m->ra_fd = ra_open();
	if (m->ra_fd < 0) {
		r = m->ra_fd;
		(void)snprintf(
			reterr, DAEMON_ERR, "cannot open an ICMPv6 socket: %s (CAP_NET_RAW is needed)", strerror(-r));
		return r;
	}
	m->pin_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	m->rules = rules_new();
	if (m->pin_fd < 0 || !m->rules) {
		r = -errno;
		(void)snprintf(reterr, DAEMON_ERR, "cannot watch cgroups (inotify): %s", strerror(-r));
		return r;
	}
	r = session_new(&m->session);
	if (r < 0) {
		(void)snprintf(reterr, DAEMON_ERR,
			"cannot open the socket diagnostics: %s (the kernel needs inet_diag, tcp_diag and udp_diag)",
			strerror(-r));
		return r;
	}
	r = transport_new(m->daemon.loop, (uint16_t)m->config.port, signalling_input, m, &m->transport, reterr);
	if (r < 0)
		return r;
	channel.identity = &m->identity;
	channel.trusted = m->trusted;
	channel.n_trusted = m->n_trusted;
	r = channel_new(&channel, &m->channel);
	if (r < 0) {
		(void)snprintf(reterr, DAEMON_ERR, "cannot make the secure channel: %s", strerror(-r));
		return r;
	}
	if (srccheck_new(SRCCHECK_NODE, HOMES, &m->srccheck, reterr) < 0) {
		log_warning("nl", "%s: tunnelled packets are taken from anybody", reterr);
		m->srccheck = NULL;
	}
	m->set = fwd_new(NULL, NULL);
	if (!m->set)
		return -ENOMEM;
	return 0;
}

/* The directory of the state file is the user's: the file is replaced in it. The identity stays root's, who reads it at
 * each start. */
static int give_up_privileges(struct mnd *m, char *reterr)
{
	char dir[CONF_TEXT];
	const char *own[] = {m->config.state, dir, NULL};
	char *slash;
	int r;

	(void)snprintf(dir, sizeof(dir), "%s", m->config.state);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	r = priv_drop(m->config.user, true, m->config.pins || m->exe, own, reterr);
	if (r == 0 && m->config.seccomp != PRIV_SECCOMP_NO)
		r = priv_filter(true, m->config.seccomp == PRIV_SECCOMP_TRAP, reterr);
	return r;
}

/* A rule names a program by its path. */
static bool is_by_path(const struct mnd_config *config)
{
	bool any = false;

	for (unsigned i = 0; i < config->n_pin; i++)
		any |= config->pin[i].exe[0];
	return any;
}

static void look_for_programs(struct mnd *m)
{
	char err[EXE_ERR];

	m->exe = is_by_path(&m->config) ? exe_new(&m->config, err) : NULL;
	if (!m->exe && is_by_path(&m->config))
		log_error("pin", "%s", err);
}

int mnd_new(
	const char *config_path, bool config_required, const struct mnd_config *config, struct mnd **ret, char *reterr)
{
	struct mnd *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->config = *config;
	(void)snprintf(m->config_path, sizeof(m->config_path), "%s", config_path);
	m->config_required = config_required;
	m->ra_fd = m->watch_fd = m->pin_fd = -1;
	m->session_due_us = UINT64_MAX;
	(void)snprintf(reterr, DAEMON_ERR, "out of memory");
	look_for_programs(m); /* while there is no secret in memory that its process would have, too */
	r = open_all(m, reterr);
	if (r < 0) {
		mnd_free(m);
		return r;
	}
	m->started_us = loop_now_us(m->daemon.loop);
	load(m);
	/* what the source check allows is filled before it replaces one of an earlier run */
	for (unsigned i = 0; m->srccheck && i < HOMES; i++)
		if (m->homes[i].used)
			(void)srccheck_set(m->srccheck, &m->homes[i].h.prefix, &m->homes[i].anchor->address);
	if (m->srccheck)
		(void)srccheck_flush(m->srccheck);
	r = raise_tunnel(m, reterr);
	if (r < 0) {
		mnd_free(m);
		return r;
	}
	loop_io_start(&m->nl_io, m->daemon.loop, nl_fd(m->nl), read_news, m, "netlink news");
	loop_io_start(&m->ra_io, m->daemon.loop, m->ra_fd, read_adverts, m, "router advertisements");
	loop_io_start(&m->session_io, m->daemon.loop, session_fd(m->session), read_session_news, m, "socket news");
	loop_io_start(&m->pin_io, m->daemon.loop, m->pin_fd, pinning_read_news, m, "pins");
	loop_io_start(&m->rules_io, m->daemon.loop, rules_fd(m->rules), pinning_read_rules, m, "cgroups of rules");
	if (m->exe)
		loop_io_start(&m->exe_io, m->daemon.loop, exe_fd(m->exe), pinning_read_exe, m, "programs of rules");
	pinning_load_rules(m);
	loop_timer_init(&m->timer, m->daemon.loop, on_timer, m, "timer");
	daemon_watch(&m->daemon, mnd_reload, m);
	loop_at_end(m->daemon.loop, LOOP_DECIDE, mnd_decide, m);
	loop_at_end(m->daemon.loop, LOOP_KERNEL, mnd_apply, m);
	loop_at_end(m->daemon.loop, LOOP_DATAGRAMS, flush, m);
	if (loop_on_clock_jump(m->daemon.loop, on_jump, m) < 0)
		log_warning("main", "cannot watch the clock: a resume is noticed late");
	if (nl_dump_links(m->nl) < 0 || nl_dump_addresses(m->nl) < 0 ||
		nl_dump_objects(m->nl, m->set, m->tunnel, false) < 0) {
		(void)snprintf(reterr, DAEMON_ERR, "cannot read the kernel's links, addresses and routes");
		mnd_free(m);
		return -EIO;
	}
	mnd_touch(m);
	if (give_up_privileges(m, reterr) < 0) {
		mnd_free(m);
		return -EPERM;
	}
	*ret = m;
	return 0;
}

/* Give everything back: the anchors are told once, without waiting for the answer. */
static void flush_everything(struct mnd *m)
{
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (!x->used || !x->h.known || !m->attach.selected)
			continue;
		x->h.asked = LU_RELEASE;
		signalling_begin_update(m, x, loop_clock_us());
		signalling_send_update(m, x, loop_clock_us());
	}
	for (unsigned i = 0; i < PINS; i++)
		if (m->pins[i].cgroup[0])
			pin_detach(&m->pins[i]);
	channel_flush(m->channel, loop_clock_us());
	transport_flush(m->transport);
	fwd_begin(m->set);
	fwd_end(m->set);
	(void)nl_apply(m->nl, m->set);
	(void)nl_link_delete(m->nl, m->tunnel);
	restore_settings(m);
	(void)unlink(m->config.state);
}

void mnd_run(struct mnd *m)
{
	daemon_run(&m->daemon);
	m->stopping = true;
	mnd_save(m);
	if (m->config.flush_on_exit)
		flush_everything(m);
}

void mnd_free(struct mnd *m)
{
	if (!m)
		return;
	pinning_free(m);
	daemon_unwatch(&m->daemon);
	loop_timer_stop(&m->timer);
	loop_io_stop(&m->exe_io);
	loop_io_stop(&m->rules_io);
	loop_io_stop(&m->pin_io);
	loop_io_stop(&m->watch_io);
	loop_io_stop(&m->session_io);
	loop_io_stop(&m->ra_io);
	loop_io_stop(&m->nl_io);
	fwd_free(m->set);
	isolate_free(m->isolate);
	exe_free(m->exe);
	rules_free(m->rules);
	srccheck_free(m->srccheck);
	channel_free(m->channel);
	transport_free(m->transport);
	session_free(m->session);
	if (m->watch_fd >= 0)
		session_watch_end(m->watch_tunnel, m->watch_fd);
	if (m->pin_fd >= 0)
		(void)close(m->pin_fd);
	if (m->ra_fd >= 0)
		(void)close(m->ra_fd);
	nl_free(m->nl);
	daemon_close(&m->daemon);
	identity_done(&m->identity);
	free(m);
}
