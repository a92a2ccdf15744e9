/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mnd.c - the mobile node daemon
 *
 * Input handlers (netlink news, advertisements, the channel, timers) only change tables and mark the daemon dirty. At the end
 * of the turn decide() looks at everything once: which attachment is in use, what each home address should tell its anchor,
 * what should be in the kernel, when to look again. Then the kernel changes are made, then datagrams leave.
 *
 * Owners: mnd owns anchors and homes; an anchor lives as long as a home or an attachment refers to it. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "mnd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <linux/if_addr.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "attach.h"
#include "channel.h"
#include "control.h"
#include "homeaddr.h"
#include "log.h"
#include "lu.h"
#include "mh.h"
#include "nl.h"
#include "pin.h"
#include "pmtu.h"
#include "priv.h"
#include "ra.h"
#include "rc.h"
#include "session.h"
#include "srccheck.h"
#include "state.h"
#include "transport.h"
#include "trust.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define SEC        1000000ULL
#define MS         1000ULL
#define HOMES      STATE_HOMES
#define ANCHORS    STATE_HOMES
#define HISTORY    32
#define SESSIONS   256 /* shown by ListSessions */
#define SETTLE_US  (20 * MS) /* socket news are coalesced for this long */
#define WATCH_HOLD_US (1 * SEC) /* after a packet of an unused home address, the next one is looked for no earlier */
#define DISCOVERY_TRIES 8
#define LOCAL_IDLE_US (5 * SEC) /* a regional AMA that was not heard for so long may have been started again */
#define INNER      8  /* datagrams inside one */
#define FORWARD_S  4  /* how long the AMA that served us until now forwards what still arrives there */
#define HEARTBEATS_MISSED 3 /* RFC 5847 5: MISSING_HEARTBEATS_ALLOWED */

/* An AMA that we know by its credential: the serving one, or one that anchors a home address. */
struct anchor {
	bool used;
	struct credential credential;
	struct in6_addr address;
	struct channel_peer *peer;
	uint16_t sequence; /* last used; counted over all home addresses of this anchor (RFC 6275 6.1.7) */
	uint32_t rtt_us;   /* of the last update that was answered at the first try, 0 = unknown */
	bool doubt;        /* suspended since we last spoke: the session may be gone at the other side */
	struct pmtu pmtu;
	uint32_t heartbeat; /* sequence */
	uint64_t heartbeat_us;    /* when the next is due, 0 = nothing at this anchor depends on it */
	unsigned unheard;         /* heartbeats since it was heard */
	bool restart_known;
	uint32_t restart_counter; /* RFC 5847 3.3; with restart_known */
	uint32_t restarts;        /* seen */
	/* proxied updates (pLU); generations of attach, plus one */
	uint32_t refused_generation; /* as serving AMA: does not pass updates on */
	struct in6_addr regional;    /* as serving AMA: updates go through that one as well, :: = none */
	uint32_t flipped_generation; /* as anchor: the preferred way failed, the other one is taken */
	char way[64];                /* why updates to this anchor go the way they go */
	bool forwards;               /* as the AMA that served us before: was asked to, with this sequence number */
	uint16_t forward_sequence;
};

/* A datagram of the channel that came inside another one. */
struct inner {
	struct channel_rx rx;
	size_t len;
	uint8_t bytes[1000];
};

struct home {
	bool used;
	struct home_address h;
	struct anchor *anchor;
	struct binding_update bu;
	uint64_t wake_us;
	unsigned sessions;
	uint16_t told_mtu; /* the tunnel MTU that the anchor was told */
	struct in6_addr told; /* the care-of address that the anchor was told: that of a regional AMA stays while we move below it */
	bool draining;     /* its anchor is: nothing new begins on it */
	bool given_up;     /* somebody told us to release it, sessions or not */
	enum homeaddr_state shown; /* in the last event, if begun */
	bool begun;
};

struct handover {
	uint64_t at_wall_s;
	char from[IF_NAMESIZE], to[IF_NAMESIZE];
	struct in6_addr care_of;
	char ama[CREDENTIAL_NAME_MAX + 1];
	uint64_t link_up_us, heard_us, usable_us, sent_us, acked_us; /* 0 = not yet, or not needed */
};

struct mnd {
	struct mnd_config config;
	char config_path[CONF_TEXT];
	bool config_required;
	struct identity identity;
	struct domain trusted[TRUST_MAX];
	size_t n_trusted;

	struct loop *loop;
	struct nl *nl;
	struct fwd_set *set;
	struct transport *transport;
	struct channel *channel;
	struct control *control;
	struct session *session;
	struct srccheck *srccheck;
	int ra_fd;
	uint32_t tunnel;

	struct loop_io nl_io, ra_io, session_io, watch_io, pin_io;
	struct loop_timer timer, watchdog;
	struct loop_signal sig_term, sig_int, sig_hup;

	struct attach attach;
	struct anchor anchors[ANCHORS];
	struct home homes[HOMES];
	struct inner inner[INNER];
	unsigned n_inner;
	struct in6_addr discovering; /* :: = not */
	unsigned discovery_tries;
	uint64_t discovery_us;
	uint32_t seen_generation;
	uint32_t ama_generation; /* that of attach when the node came to the AMA it is with: its other links are no news to anchors */
	struct in6_addr ama;     /* ... which is this one, :: = none */
	uint64_t session_due_us; /* when the socket tables are to be read, UINT64_MAX = not */
	int watch_fd;            /* session_watch on the device watch_tunnel for the slots in watched, -1 = not open */
	uint32_t watch_tunnel;
	uint64_t watched, watch_hold_us;
	struct pin pins[PINS];
	int pin_fd; /* inotify: a pinned cgroup is empty */
	bool dirty, resync, tunnel_lost, need_source, source_known, stopping;
	uint64_t started_us, sysctl_off;
	uint64_t counter_mh[MH_WHY_N], counter_ba_unmatched, counter_ra_ignored, counter_device;
	struct handover history[HISTORY];
	unsigned n_history; /* ever */
};

/* --- small things ---------------------------------------------------------------------------------------------- */

static void touch(struct mnd *m)
{
	m->dirty = true;
}

static void emit(struct mnd *m, const char *event, json_t *data)
{
	control_emit(m->control, event, data);
}

static struct anchor *anchor_by_address(struct mnd *m, const struct in6_addr *address)
{
	for (unsigned i = 0; i < ANCHORS; i++)
		if (m->anchors[i].used && IN6_ARE_ADDR_EQUAL(&m->anchors[i].address, address))
			return &m->anchors[i];
	return NULL;
}

static struct anchor *anchor_by_peer(struct mnd *m, const struct channel_peer *peer)
{
	for (unsigned i = 0; i < ANCHORS; i++)
		if (m->anchors[i].used && m->anchors[i].peer == peer)
			return &m->anchors[i];
	return NULL;
}

static bool anchor_is_needed(const struct mnd *m, const struct anchor *a)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);

	if (ama && IN6_ARE_ADDR_EQUAL(ama, &a->address))
		return true;
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && (m->homes[i].anchor == a || IN6_ARE_ADDR_EQUAL(&m->homes[i].told, &a->address)))
			return true;
	return false;
}

/* Credentials of AMAs are kept while there is room, so that coming back costs no discovery. */
static struct anchor *anchor_new(struct mnd *m, const struct in6_addr *address, const struct credential *credential)
{
	struct anchor *a = NULL;

	for (unsigned i = 0; i < ANCHORS && !a; i++)
		if (!m->anchors[i].used)
			a = &m->anchors[i];
	for (unsigned i = 0; i < ANCHORS && !a; i++)
		if (!anchor_is_needed(m, &m->anchors[i])) {
			a = &m->anchors[i];
			channel_peer_remove(m->channel, a->peer);
		}
	if (!a)
		return NULL;
	memset(a, 0, sizeof(*a));
	if (channel_peer_add(m->channel, credential, &a->peer) < 0)
		return NULL;
	a->used = true;
	a->credential = *credential;
	a->address = *address;
	a->sequence = (uint16_t)randombytes_random();
	return a;
}

static struct home *home_of_anchor(struct mnd *m, const struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].anchor == a)
			return &m->homes[i];
	return NULL;
}

static struct home *home_new(struct mnd *m, struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (x->used)
			continue;
		memset(x, 0, sizeof(*x));
		x->used = true;
		x->anchor = a;
		homeaddr_init(&x->h, NULL, NULL, 0, loop_now_us(m->loop));
		return x;
	}
	return NULL;
}

/* The home address in a prefix: stable there and unlike those in other prefixes (RFC 7217, with our key as the secret). */
static struct in6_addr form_address(const struct mnd *m, const struct prefix6 *prefix)
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

static void save(struct mnd *m)
{
	static struct state state;
	struct state_home *list = state.homes;
	const struct session_seen *seen;
	uint64_t now_us = loop_now_us(m->loop), now_s = loop_wall_ns() / 1000000000;
	unsigned n = 0;
	int r;

	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &m->homes[i];

		if (!x->used || !x->h.known || x->h.state == HOMEADDR_RELEASED)
			continue;
		list[n].address = x->h.address;
		list[n].prefix = x->h.prefix;
		list[n].lease_until_s = now_s + (x->h.lease_until_us > now_us ? (x->h.lease_until_us - now_us) / SEC : 0);
		list[n].sequence = x->anchor->sequence;
		list[n].anchor = x->anchor->address;
		list[n++].credential = x->anchor->credential;
	}
	state.n_homes = n;
	state.n_sessions = session_seen(m->session, &seen);
	if (state.n_sessions > STATE_SESSIONS)
		state.n_sessions = STATE_SESSIONS; /* of the others it is forgotten since when they are known, no more */
	if (state.n_sessions)
		memcpy(state.sessions, seen, state.n_sessions * sizeof(*seen));
	state.n_pins = 0;
	for (unsigned i = 0; i < PINS; i++)
		if (m->pins[i].cgroup[0])
			state.pins[state.n_pins++] = m->pins[i];
	r = state_store(m->config.state, &state);
	if (r < 0)
		log_warning("main", "cannot write %s: %s; home addresses would be lost by a restart", m->config.state, strerror(-r));
}

static void load(struct mnd *m)
{
	static struct state state;
	const struct state_home *list = state.homes;
	uint64_t now_us = loop_now_us(m->loop), now_s = loop_wall_ns() / 1000000000;
	char err[CREDENTIAL_ERR];

	if (state_load(m->config.state, &state, err) < 0)
		log_warning("main", "%s", err);
	(void)session_remember(m->session, state.sessions, state.n_sessions);
	for (unsigned i = 0; i < state.n_homes; i++) {
		enum credential_why why;
		struct anchor *a;
		struct home *x;

		if (list[i].lease_until_s <= now_s)
			continue;
		if (credential_verify(&list[i].credential, m->trusted, m->n_trusted, now_s, &why) < 0) {
			log_notice("main", "forgetting home address %s: its anchor's credential is %s", in6_text(&list[i].address),
				credential_why_name(why));
			continue;
		}
		a = anchor_by_address(m, &list[i].anchor);
		if (!a)
			a = anchor_new(m, &list[i].anchor, &list[i].credential);
		if (!a)
			break;
		a->doubt = true;
		a->sequence = (uint16_t)(list[i].sequence + 64); /* what was sent since it was written */
		x = home_new(m, a);
		if (!x)
			break;
		homeaddr_init(&x->h, &list[i].prefix, &list[i].address, now_us + (list[i].lease_until_s - now_s) * SEC, now_us);
		log_info("main", "home address %s of %s taken over from the last run", in6_text(&x->h.address),
			a->credential.node);
	}
	for (unsigned i = 0; i < state.n_pins; i++) {
		char why[PIN_ERR];

		if (pin_is_over(&state.pins[i]))
			continue;
		if (pin_attach(&state.pins[i], why) < 0)
			log_warning("pin", "%s: it keeps what the last run gave it", why);
		m->pins[i] = state.pins[i];
		(void)pin_watch(&m->pins[i], m->pin_fd);
	}
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

/* Optimistic DAD, so that a new address can be used at once (RFC 4429). Kernels without it have neither setting. */
static void prepare_interface(struct mnd *m, const char *name)
{
	static const char *const keys[] = {"optimistic_dad", "use_optimistic"};

	for (unsigned i = 0; i < 2; i++) {
		int v = 1, r = nl_sysctl_get(name, keys[i], &v);

		if (r == 0 && v == 0)
			r = nl_sysctl_set(name, keys[i], 1);
		if (r == -ENOENT && !(m->sysctl_off++))
			log_info("attach", "this kernel has no optimistic DAD: a new care-of address can be used only after about a second, unless accept_dad is 0");
		else if (r < 0 && r != -ENOENT)
			log_warning("attach", "cannot set net.ipv6.conf.%s.%s: %s; a new care-of address will wait for DAD", name, keys[i],
				strerror(-r));
	}
	/* routers hear of another link-layer address at once */
	(void)nl_sysctl_set(name, "ndisc_notify", 1);
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
			touch(m);
		}
		return;
	}
	if (!present || !is_eligible(m, link)) {
		if (attach_find(&m->attach, link->ifindex)) {
			log_info("attach", "%s is gone", link->name);
			attach_link_gone(&m->attach, link->ifindex);
			touch(m);
		}
		return;
	}
	at = attach_find(&m->attach, link->ifindex);
	if (!at)
		prepare_interface(m, link->name);
	else if (memcmp(at->link_layer, link->link_layer, sizeof(at->link_layer)) != 0) /* our AMA has to hear of it: as a new link */
		attach_link(&m->attach, link->ifindex, link->name, at->priority, false, at->carrier_changes, loop_clock_us());
	priority = i && i->priority ? i->priority : nl_is_wireless(link->name) ? 50 : 100;
	attach_link(&m->attach, link->ifindex, link->name, (int)priority, link->carrier, link->carrier_changes,
		loop_clock_us());
	at = attach_find(&m->attach, link->ifindex);
	if (at)
		memcpy(at->link_layer, link->link_layer, sizeof(at->link_layer));
	log_debug("attach", "%s: %s, %s", link->name, link->up ? "up" : "down", link->carrier ? "carrier" : "no carrier");
	touch(m);
}

static void on_address(void *ctx, const struct nl_address *address, bool present)
{
	struct mnd *m = ctx;

	if (address->ifindex == m->tunnel)
		return;
	log_debug("attach", "address %s on %u: %s", in6_text(&address->address), address->ifindex,
		!present ? "gone" : address->usable ? "usable" : "tentative");
	attach_address(&m->attach, address->ifindex, &address->address, present, address->usable, address->deprecated);
	touch(m);
}

static void put_back(struct mnd *m, const struct fwd_object *o, const char *what)
{
	log_notice("nl", "%s was %s by somebody else: putting it back", fwd_object_text(o), what);
	emit(m, "restored", json_pack("{s:s}", "object", fwd_object_text(o)));
	touch(m);
}

static void on_deleted(void *ctx, const struct fwd_object *o)
{
	struct mnd *m = ctx;

	if (fwd_lost(m->set, o, loop_now_us(m->loop)))
		put_back(m, o, "deleted");
}

static void on_changed(void *ctx, const struct fwd_object *o)
{
	struct mnd *m = ctx;

	if (o->kind == FWD_ADDRESS && o->address.ifindex != m->tunnel)
		return;
	if (fwd_changed(m->set, o, loop_now_us(m->loop)))
		put_back(m, o, "changed");
	touch(m);
}

static void on_overrun(void *ctx)
{
	struct mnd *m = ctx;

	log_notice("nl", "netlink news were lost: reading everything again");
	m->resync = true;
	touch(m);
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
		touch(m);
	}
}

/* --- input: sessions ------------------------------------------------------------------------------------------- */

static bool count_session(void *ctx, const struct session_info *info)
{
	struct mnd *m = ctx;

	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].h.known && IN6_ARE_ADDR_EQUAL(&m->homes[i].h.address, &info->home_address)) {
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
		log_warning("home", "cannot read the socket tables: %s; every home address counts as used", strerror(-r));
		for (unsigned i = 0; i < HOMES; i++)
			m->homes[i].sessions = before[i] ? before[i] : 1;
	}
}

static void read_session_news(void *ctx)
{
	struct mnd *m = ctx;
	uint64_t due_us = loop_now_us(m->loop) + SETTLE_US;

	if (session_read_news(m->session, is_home_address, m) && due_us < m->session_due_us) {
		m->session_due_us = due_us;
		touch(m);
	}
}

/* A packet left from an address that had no session: somebody may have begun one. If not (an answer to a ping, a late segment), the next packet
 * is looked for after a while only. */
static void read_watch(void *ctx)
{
	struct mnd *m = ctx;

	loop_io_stop(&m->watch_io);
	(void)close(m->watch_fd);
	m->watch_fd = -1;
	m->session_due_us = loop_now_us(m->loop);
	m->watch_hold_us = m->session_due_us + WATCH_HOLD_US;
	touch(m);
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
	if (m->watch_fd >= 0 && (unused != m->watched || m->tunnel != m->watch_tunnel)) {
		loop_io_stop(&m->watch_io);
		(void)close(m->watch_fd);
		m->watch_fd = -1;
	}
	if (n == 0 || m->watch_fd >= 0)
		return;
	if (now_us < m->watch_hold_us) {
		if (m->watch_hold_us < *wake_us)
			*wake_us = m->watch_hold_us;
		return;
	}
	m->watch_fd = session_watch(m->tunnel, addresses, n);
	if (m->watch_fd < 0) {
		log_debug("home", "cannot watch for new sessions: %s; they are noticed when the grace time ends", strerror(-m->watch_fd));
		return;
	}
	m->watched = unused;
	m->watch_tunnel = m->tunnel;
	loop_io_start(&m->watch_io, m->loop, m->watch_fd, read_watch, m, "packets of unused home addresses");
}

/* --- input: pins ------------------------------------------------------------------------------------------------ */

static unsigned pins_of(const struct mnd *m, const struct home_address *h)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PINS; i++)
		n += m->pins[i].cgroup[0] && h->known && IN6_ARE_ADDR_EQUAL(&m->pins[i].home_address, &h->address);
	return n;
}

/* A cgroup is empty: its pin ends, and perhaps one around it. */
static void read_pins(void *ctx)
{
	struct mnd *m = ctx;
	char news[4096];
	bool ended = true, any = false;

	while (read(m->pin_fd, news, sizeof(news)) > 0)
		;
	while (ended) {
		ended = false;
		for (unsigned i = 0; i < PINS; i++) {
			struct pin *p = &m->pins[i];

			if (!p->cgroup[0] || !pin_is_over(p))
				continue;
			log_info("pin", "%s of user %u on %s has ended", p->command, (unsigned)p->uid, in6_text(&p->home_address));
			emit(m, "unpinned",
				json_pack("{s:s, s:s, s:i}", "home_address", in6_text(&p->home_address), "command", p->command, "pid", (int)p->pid));
			memset(p, 0, sizeof(*p));
			ended = any = true;
		}
	}
	if (any) {
		save(m);
		touch(m);
	}
}

/* --- what goes to an anchor ------------------------------------------------------------------------------------ */

/* *ret_settled: it is past duplicate address detection. */
static struct in6_addr link_local_of(const struct attachment *at, bool *ret_settled)
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

/* Talk to this anchor from the selected attachment. */
static void set_endpoint(struct mnd *m, struct anchor *a)
{
	const struct attachment *at = m->attach.selected;
	struct channel_endpoint ep = {
		.remote = a->address, .local = at->care_of, .ifindex = at->ifindex, .port = (uint16_t)m->config.port};

	channel_peer_set_endpoint(a->peer, &ep);
}

/* An update to this anchor is on its way through an AMA: what else it hears goes with that. */
static bool is_asking_through(const struct mnd *m, const struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].anchor == a && m->homes[i].bu.kind == LU_BIND && m->homes[i].bu.proxied)
			return true;
	return false;
}

/* --- through the serving AMA (pLU) ------------------------------------------------------------------------------ */

/* The AMA of this network, if updates to that anchor go through it now. */
static struct anchor *serving_for(struct mnd *m, struct anchor *a)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	struct anchor *serving = ama ? anchor_by_address(m, ama) : NULL;
	bool flipped = a->flipped_generation == m->attach.generation + 1;

	if (m->config.updates == MND_DIRECT_ONLY || !serving || serving == a ||
		serving->refused_generation == m->attach.generation + 1)
		return NULL;
	return (m->config.updates == MND_PREFER_PROXY) != flipped ? serving : NULL;
}

/* The regional AMA between them, if there is one and we know it. */
static struct anchor *regional_for(struct mnd *m, const struct anchor *serving, const struct anchor *a)
{
	return !serving || IN6_IS_ADDR_UNSPECIFIED(&serving->regional) || IN6_ARE_ADDR_EQUAL(&serving->regional, &a->address)
		       ? NULL
		       : anchor_by_address(m, &serving->regional);
}

/* Talk to this anchor through an AMA: the one of this network, or the regional one, which is reached through that. */
static void set_endpoint_through(const struct mnd *m, const struct anchor *a, const struct anchor *through)
{
	struct channel_endpoint ep = {
		.remote = a->address, .port = (uint16_t)m->config.port, .relay = (uint16_t)(through - m->anchors + 1)};

	channel_peer_set_endpoint(a->peer, &ep);
}

/* Wrap what is sealed for an AMA into a request to the one before it on the way: a proxy registration of all prefixes whose updates go
 * that way now. The AMA that we are with is told our link; the regional one which AMA we are with. */
static void send_through(struct mnd *m, const struct channel_endpoint *ep, const uint8_t *buf, size_t len)
{
	struct anchor *a = anchor_by_address(m, &ep->remote), *through = &m->anchors[ep->relay - 1];
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	struct anchor *serving = ama ? anchor_by_address(m, ama) : NULL;
	struct mh_bu head = {
		.flags = MH_BU_A | MH_BU_P, .sequence = ++through->sequence, .lifetime_s = (uint32_t)(m->config.binding_us / SEC)};
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
		link_local = link_local_of(m->attach.selected, &settled);
		mh_put_address(&mw, MHOPT_LINK_LOCAL, &link_local);
		mh_put_link_layer(&mw, m->attach.selected->link_layer);
		set_endpoint(m, through);
	} else {
		mh_put_address(&mw, MHOPT_ALT_COA, &serving->address);
		set_endpoint_through(m, through, serving);
	}
	mh_put_sealed(&mw, (uint32_t)(a - m->anchors) + 1, buf, len);
	mh_end(&mw);
	if (wcur_ok(&w))
		(void)channel_send(m->channel, through->peer, out, wcur_len(&w));
}

/* The AMA that served this home address until now sends on what still arrives there: a binding of a few seconds, straight to
 * where we are, while its anchor is being told. Once: without it what is in the air is lost, as on any move. */
static void ask_previous(struct mnd *m, const struct home *x)
{
	struct binding_update bu = {.kind = LU_BIND, .prefix = x->h.prefix, .lifetime_s = FORWARD_S};
	struct anchor *previous = x->h.confirmed == LU_BIND ? anchor_by_address(m, &x->h.confirmed_care_of) : NULL;
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	uint8_t buf[LU_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));

	if (!previous || !m->attach.selected || (ama && IN6_ARE_ADDR_EQUAL(ama, &previous->address)))
		return;
	bu.care_of = m->attach.selected->care_of;
	previous->forwards = true;
	previous->forward_sequence = ++previous->sequence;
	lu_write(&bu, previous->forward_sequence, &w);
	set_endpoint(m, previous);
	if (wcur_ok(&w))
		(void)channel_send(m->channel, previous->peer, buf, wcur_len(&w));
	if (m->srccheck)
		srccheck_leave(m->srccheck, &x->h.prefix, &previous->address);
	log_debug("lu", "asked %s to send on what still arrives for %s", previous->credential.node, prefix6_text(&x->h.prefix));
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
		(void)channel_input(m->channel, &m->inner[i].rx, m->inner[i].bytes, m->inner[i].len, loop_now_us(m->loop));
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
	struct anchor *a = anchor_by_address(m, from);

	if (cred->role != CREDENTIAL_AMA)
		return;
	if (a && !memcmp(a->credential.key, cred->key, sizeof(cred->key)))
		a->credential = *cred;
	else if (a && anchor_is_needed(m, a) && home_of_anchor(m, a))
		log_warning("attach", "%s now has another key than the anchor %s we know there; keeping the one we know", in6_text(from),
			a->credential.node);
	else
		(void)anchor_new(m, from, cred);
	m->discovering = in6addr_any;
	touch(m);
}

static void handover_acked(struct mnd *m, const struct home *x, uint64_t now_us)
{
	struct handover *ho = m->n_history ? &m->history[(m->n_history - 1) % HISTORY] : NULL;

	/* the update that sessions wait for, if there is one, is what the move cost */
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].bu.kind == LU_BIND && x->bu.kind != LU_BIND)
			return;
	if (!ho || ho->acked_us || !m->attach.selected || ho->usable_us != m->attach.selected->usable_us)
		return;
	ho->sent_us = x->bu.begun_us;
	ho->acked_us = now_us;
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
		log_warning("lu", "%s acknowledged without a /64 home network prefix: ignoring it", x->anchor->credential.node);
		return;
	}
	if (!credential_covers(&x->anchor->credential, &prefix)) {
		log_warning("lu", "%s leased %s, which its credential does not cover: refusing it", x->anchor->credential.node,
			prefix6_text(&prefix));
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
		if (!dmmopt_regional(msg, &x->anchor->regional))
			x->anchor->regional = in6addr_any;
	}
	address = x->h.known && prefix6_equal(&x->h.prefix, &prefix) ? x->h.address : form_address(m, &prefix);
	if (x->h.known && !prefix6_equal(&x->h.prefix, &prefix))
		log_notice("home", "%s gave %s in place of %s: sessions on the old home address end", x->anchor->credential.node,
			prefix6_text(&prefix), in6_text(&x->h.address));
	homeaddr_acked(&x->h, x->bu.sent_us, &prefix, &address, msg->ba.lifetime_s, advice * 4u, lease.lifetime_s);
	if (kind == LU_BIND || kind == LU_ATTACH)
		handover_acked(m, x, now_us);
	log_debug("lu", "%s acknowledged %s of %s after %llu us, %u tries", x->anchor->credential.node, lu_kind_name(kind),
		prefix6_text(&prefix), (unsigned long long)(now_us - x->bu.begun_us), x->bu.tries);
	emit(m, "location_update",
		json_pack("{s:s, s:s, s:s, s:i, s:f, s:i}", "kind", lu_kind_name(kind), "prefix", prefix6_text(&prefix), "anchor",
			x->anchor->credential.node, "status", msg->ba.status, "ms", (double)(now_us - x->bu.begun_us) / 1000, "tries",
			(int)x->bu.tries));
	x->bu.kind = LU_NONE;
	if (kind == LU_BIND) {
		x->told_mtu = x->bu.tunnel_mtu;
		if (x->anchor->pmtu.state == PMTU_OFF && !proxied)
			pmtu_start(&x->anchor->pmtu, (uint16_t)(m->config.tunnel_mtu + PMTU_TUNNEL), x->anchor->rtt_us, now_us);
	}
	save(m);
}

/* By which way the update goes, and the care-of address that says so. */
static void set_way(struct mnd *m, struct home *x)
{
	struct anchor *serving = x->bu.kind == LU_BIND ? serving_for(m, x->anchor) : NULL, *regional = regional_for(m, serving, x->anchor);

	x->bu.proxied = serving;
	x->bu.regional = regional ? regional->address : in6addr_any;
	x->bu.care_of = regional ? regional->address : serving ? serving->address : m->attach.selected->care_of;
	/* not when it is time to renew the binding, which takes the anchor */
	x->bu.local = regional && x->h.confirmed == LU_BIND && IN6_ARE_ADDR_EQUAL(&x->told, &regional->address) &&
		      !IN6_ARE_ADDR_EQUAL(&x->h.confirmed_care_of, &serving->address);
}

static void begin_update(struct mnd *m, struct home *x, uint64_t now_us)
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
		bu->link_local = link_local_of(at, &settled);
		memcpy(bu->link_layer, at->link_layer, sizeof(bu->link_layer));
		bu->lease_s = (uint32_t)lease_s;
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
	log_debug("lu", "%s knows where %s is, after %.1f ms, %u tries", in6_text(&x->bu.regional), prefix6_text(&x->h.prefix), ms, x->bu.tries);
	emit(m, "location_update",
		json_pack("{s:s, s:s, s:s, s:s, s:i, s:f, s:i}", "kind", "local", "prefix", prefix6_text(&x->h.prefix), "anchor",
			x->anchor->credential.node, "regional", in6_text(&x->bu.regional), "status", msg->ba.status, "ms", ms, "tries", (int)x->bu.tries));
	x->bu.kind = LU_NONE;
	save(m);
}

/* An AMA on the way answers itself. The regional one: it knows where we are now. Or it does not pass the update on, and says why: by
 * another way, then, or straight to the anchor. */
static void on_proxy_answer(struct mnd *m, struct anchor *ama, const struct mh_msg *msg)
{
	struct in6_addr regional;
	struct prefix6 prefix;
	bool refused = msg->ba.status >= 128, has_way;

	if (!mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix))
		return;
	has_way = refused && dmmopt_regional(msg, &regional) && !IN6_ARE_ADDR_EQUAL(&regional, &ama->address);
	if (has_way)
		ama->regional = regional; /* that is how it passes them on */
	else if (refused)
		log_info("lu", "%s does not pass updates for %s on: %u (%s)", ama->credential.node, prefix6_text(&prefix),
			msg->ba.status, mh_status_name(msg->ba.status));
	if (msg->ba.status == MH_STATUS_PROHIBITED && !has_way)
		ama->refused_generation = m->attach.generation + 1;
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];
		bool local = x->bu.local && x->bu.tries > 0 && x->bu.sequence == msg->ba.sequence &&
			     IN6_ARE_ADDR_EQUAL(&x->bu.regional, &ama->address);

		if (!x->used || !x->h.known || !prefix6_equal(&x->h.prefix, &prefix) || x->bu.kind != LU_BIND || !x->bu.proxied)
			continue;
		if (local && !refused) {
			on_acknowledged_locally(m, x, msg);
		} else if (refused && (local || (has_way && !IN6_ARE_ADDR_EQUAL(&regional, &x->bu.regional)))) {
			if (local)
				x->told = in6addr_any; /* with all that its anchor has to know */
			begin_update(m, x, loop_now_us(m->loop));
		} else if (refused) {
			(void)snprintf(x->anchor->way, sizeof(x->anchor->way), "the AMA refused: %s", mh_status_name(msg->ba.status));
			x->anchor->flipped_generation = m->attach.generation + 1;
		}
	}
	touch(m);
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
			/* RFC 6275 11.7.3: go on from the number that the anchor has. It cannot be matched by its own. */
			if ((int16_t)(msg->ba.sequence - a->sequence) > 0)
				a->sequence = msg->ba.sequence;
			x->bu.next_us = now_us;
			touch(m);
			continue;
		}
		if (x->bu.sequence != msg->ba.sequence)
			continue;
		touch(m);
		if (msg->ba.status < 128) {
			on_acknowledged(m, x, msg);
			return;
		}
		log_notice("lu", "%s refused %s of %s: %u (%s)", a->credential.node, lu_kind_name(x->bu.kind),
			x->h.known ? prefix6_text(&x->h.prefix) : "a new prefix", msg->ba.status, mh_status_name(msg->ba.status));
		emit(m, "location_update",
			json_pack("{s:s, s:s, s:i, s:s}", "kind", lu_kind_name(x->bu.kind), "anchor", a->credential.node, "status",
				msg->ba.status, "reason", mh_status_name(msg->ba.status)));
		x->bu.kind = LU_NONE;
		homeaddr_refused(&x->h, msg->ba.status, now_us);
		return;
	}
	if (msg->ba.status != MH_STATUS_SEQUENCE)
		m->counter_ba_unmatched++;
}

/* RFC 5847: the answer of an anchor, with its restart counter. Another one than before: it may have lost our bindings. */
static void on_heartbeat(struct mnd *m, struct anchor *a, const struct mh_msg *msg)
{
	struct dmmopt_probe probe;
	uint32_t counter;

	touch(m);
	if (!(msg->heartbeat.flags & MH_HEARTBEAT_R))
		return;
	if (dmmopt_probe(msg, &probe))
		(void)pmtu_answered(&a->pmtu, probe.id, loop_clock_us());
	if (!mhopt_u32(mh_find(msg, MHOPT_RESTART_COUNTER, NULL), &counter))
		return;
	if (a->restart_known && a->restart_counter != counter) {
		a->restarts++;
		log_notice("lu", "%s restarted and may have lost bindings: registering again", a->credential.node);
		emit(m, "anchor_restarted", json_pack("{s:s, s:I}", "anchor", a->credential.node, "restart_counter", (json_int_t)counter));
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

/* RFC 5846: the anchor takes a lease back. It is answered whether we know the prefix or not: an answer may have been lost. */
static void on_revocation(struct mnd *m, struct anchor *a, const struct mh_msg *msg)
{
	struct mh_revocation ack = {.b_type = MH_REVOCATION_ACK, .sequence = msg->revocation.sequence};
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer mw;
	struct prefix6 prefix;
	struct home *x;

	if (msg->revocation.b_type != MH_REVOCATION_INDICATION || !mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix)) {
		m->counter_mh[MH_WHY_VALUE]++;
		return;
	}
	x = home_by_prefix(m, a, &prefix);
	if (!x)
		ack.trigger = MH_REVOCATION_NO_BINDING;
	mw = mh_begin_revocation(&w, &ack);
	mh_put_prefix(&mw, MHOPT_HNP, &prefix);
	mh_end(&mw);
	if (m->attach.selected && !is_asking_through(m, a))
		set_endpoint(m, a);
	if (wcur_ok(&w))
		(void)channel_send(m->channel, a->peer, buf, wcur_len(&w));
	if (!x)
		return;
	log_notice("home", "%s revoked %s: %u sessions on %s end", a->credential.node, prefix6_text(&prefix), x->sessions,
		in6_text(&x->h.address));
	emit(m, "revoked",
		json_pack("{s:s, s:s, s:i}", "prefix", prefix6_text(&prefix), "anchor", a->credential.node, "sessions", (int)x->sessions));
	homeaddr_revoked(&x->h, loop_clock_us());
	x->bu.kind = LU_NONE;
	touch(m);
}

static void on_refresh_request(struct mnd *m, struct anchor *a, const struct mh_msg *msg)
{
	struct prefix6 prefix;
	struct home *x = mhopt_prefix(mh_find(msg, MHOPT_HNP, NULL), &prefix) ? home_by_prefix(m, a, &prefix) : NULL;

	if (x)
		homeaddr_refresh(&x->h, loop_clock_us());
	touch(m);
}

static void channel_recv(void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len)
{
	struct mnd *m = ctx;
	struct anchor *a = anchor_by_peer(m, peer);
	struct rcur c = rcur_make(mh, len);

	(void)rx;
	if (a && a->unheard >= HEARTBEATS_MISSED) {
		log_notice("lu", "%s is heard again", a->credential.node);
		emit(m, "anchor_heard", json_pack("{s:s}", "anchor", a->credential.node));
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

static const struct channel_ops channel_ops = {.send = channel_tx,
	.recv = channel_recv,
	.accept = channel_accept,
	.discovered = channel_discovered,
	.wall_ns = channel_wall};

static void datagram(void *ctx, const struct channel_rx *rx, const uint8_t *buf, size_t len)
{
	struct mnd *m = ctx;

	(void)channel_input(m->channel, rx, buf, len, loop_now_us(m->loop));
	read_inner(m);
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
	m->session_due_us = now_us; /* what is in use decides what the anchors hear */
	for (unsigned i = 0; i < ANCHORS; i++)
		if (m->anchors[i].used)
			pmtu_stop(&m->anchors[i].pmtu);
	if (!at) {
		log_notice("attach", "no usable network: sessions wait");
		emit(m, "detached", json_object());
		return;
	}
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
	log_notice("attach", "attached on %s: router %s, care-of address %s, %s%s", at->name, in6_text(&at->router->link_local),
		in6_text(&at->care_of), ama ? "AMA " : "no AMA here", ama ? in6_text(ama) : "");
	emit(m, "attached",
		json_pack("{s:s, s:s, s:s, s:s?}", "interface", at->name, "router", in6_text(&at->router->link_local), "care_of",
			in6_text(&at->care_of), "ama", ama ? in6_text(ama) : NULL));
}

/* Ask who is at an AMA's address, until it answers or does not. */
static void discover(struct mnd *m, const struct in6_addr *ama, uint64_t now_us, uint64_t *wake_us)
{
	const struct attachment *at = m->attach.selected;
	struct channel_endpoint ep = {.port = (uint16_t)m->config.port};

	if (!IN6_ARE_ADDR_EQUAL(&m->discovering, ama)) {
		m->discovering = *ama;
		m->discovery_tries = 0;
		m->discovery_us = now_us;
	}
	if (m->discovery_tries >= DISCOVERY_TRIES)
		return; /* the next attachment tries again */
	if (now_us >= m->discovery_us) {
		ep.remote = *ama;
		ep.local = at->care_of;
		ep.ifindex = at->ifindex;
		channel_discover(m->channel, &ep, now_us);
		m->discovery_us = now_us + (250 * MS << m->discovery_tries);
		if (++m->discovery_tries == DISCOVERY_TRIES)
			log_notice("attach", "the AMA %s does not answer: using this network without it", in6_text(ama));
	}
	if (m->discovery_us < *wake_us)
		*wake_us = m->discovery_us;
}

/* Make sure that the AMA on the link is known and anchors an address for us, and that the regional one is, if there is one. */
static void seek_ama(struct mnd *m, uint64_t now_us, uint64_t *wake_us)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	struct anchor *a = ama ? anchor_by_address(m, ama) : NULL;

	if (ama && !a)
		discover(m, ama, now_us, wake_us);
	if (!a)
		return;
	if (!home_of_anchor(m, a) && !home_new(m, a))
		log_warning("home", "no room for another home address");
	if (m->config.updates != MND_DIRECT_ONLY && !IN6_IS_ADDR_UNSPECIFIED(&a->regional) && !anchor_by_address(m, &a->regional))
		discover(m, &a->regional, now_us, wake_us);
}

/* To the regional AMA, through the one that we are with: that is where it is now. */
static void send_local(struct mnd *m, struct home *x, uint64_t now_us)
{
	struct anchor *regional = anchor_by_address(m, &x->bu.regional), *serving = serving_for(m, x->anchor);
	struct mh_bu head = {.flags = MH_BU_A | MH_BU_P, .sequence = ++regional->sequence, .lifetime_s = x->bu.lifetime_s};
	struct channel_peer_info info = {0};
	uint8_t buf[LU_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer mw = mh_begin_bu(&w, &head);

	mh_put_prefix(&mw, MHOPT_HNP, &x->h.prefix);
	mh_put_address(&mw, MHOPT_ALT_COA, &serving->address);
	mh_end(&mw);
	set_endpoint_through(m, regional, serving);
	lu_sent(&x->bu, regional->sequence, now_us);
	/* nothing of it is heard between moves, and it may have been started again since: inside a handshake it costs no more time */
	channel_peer_info(regional->peer, &info);
	if (wcur_ok(&w))
		(void)channel_send_flags(m->channel, regional->peer, buf, wcur_len(&w),
			x->bu.tries > 1 || info.heard_us + LOCAL_IDLE_US < now_us ? CHANNEL_FORCE_HANDSHAKE : 0);
}

static void send_update(struct mnd *m, struct home *x, uint64_t now_us)
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
			IN6_IS_ADDR_UNSPECIFIED(&x->bu.regional) ? serving_for(m, x->anchor) : anchor_by_address(m, &x->bu.regional));
	else
		set_endpoint(m, x->anchor);
	if (wcur_ok(&w))
		(void)channel_send_flags(m->channel, x->anchor->peer, buf, wcur_len(&w), handshake ? CHANNEL_FORCE_HANDSHAKE : 0);
	lu_sent(&x->bu, x->anchor->sequence, now_us);
	log_debug("lu", "%s of %s to %s, sequence %u, try %u", lu_kind_name(x->bu.kind), prefix6_text(&x->bu.prefix),
		x->anchor->credential.node, x->anchor->sequence, x->bu.tries);
}

/* Changes when this anchor has to hear from us although nothing else changed. */
static uint32_t generation(struct mnd *m, const struct home *x)
{
	return (serving_for(m, x->anchor) ? m->ama_generation : m->attach.generation) + x->anchor->restarts;
}

/* Is the AMA on the link, or the regional one that updates of this home address go through, being asked for the first time? */
static bool is_discovering(struct mnd *m, const struct home *x, const struct in6_addr *ama)
{
	const struct anchor *serving = anchor_by_address(m, ama);

	if (IN6_IS_ADDR_UNSPECIFIED(&m->discovering) || m->discovery_tries > 1)
		return false;
	return !serving ? IN6_ARE_ADDR_EQUAL(&m->discovering, ama)
			: IN6_ARE_ADDR_EQUAL(&m->discovering, &serving->regional) && !IN6_ARE_ADDR_EQUAL(&serving->regional, &x->anchor->address);
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
		.in_use = (x->sessions > 0 || pins_of(m, &x->h) > 0) && !x->given_up,
		.unwanted = x->draining || x->given_up,
		.generation = generation(m, x)};
	uint16_t mtu = pmtu_inner_mtu(&x->anchor->pmtu);
	uint64_t home_wake_us;

	if (at)
		w.care_of = serving_for(m, x->anchor) ? *ama : at->care_of;
	/* the first answer of an AMA that we do not know is worth waiting for: else its anchors would hear twice */
	if (ama && m->config.updates == MND_PREFER_PROXY && !w.at_home && is_discovering(m, x, ama))
		w.path = false;
	switch (homeaddr_step(&x->h, &w, &policy, &home_wake_us)) {
	case HOMEADDR_SEND:
		if (x->h.asked != LU_RELEASE)
			ask_previous(m, x);
		begin_update(m, x, now_us);
		break;
	case HOMEADDR_CANCEL:
		x->bu.kind = LU_NONE;
		break;
	case HOMEADDR_WAIT:
		break;
	}
	/* a black hole was found, or the path grew: the anchor sets it on the prefix's route */
	if (x->h.state == HOMEADDR_BOUND && x->bu.kind == LU_NONE && x->told_mtu != mtu && at && !serving_for(m, x->anchor)) {
		x->h.asked = LU_BIND;
		x->h.asked_care_of = at->care_of;
		x->h.asked_generation = generation(m, x);
		begin_update(m, x, now_us);
	}
	/* one way did not work: the other, if there is one */
	if (at && x->bu.kind == LU_BIND && lu_is_due(&x->bu, now_us) && x->anchor->flipped_generation != m->attach.generation + 1 &&
		((x->bu.proxied && x->bu.tries >= (x->bu.local ? 2u : 1u)) || (!x->bu.proxied && x->bu.tries >= 3 && m->config.updates == MND_PREFER_DIRECT))) {
		x->anchor->flipped_generation = m->attach.generation + 1;
		(void)snprintf(x->anchor->way, sizeof(x->anchor->way), "no answer %s", x->bu.proxied ? "through the AMA" : "to direct updates");
		touch(m);
		return;
	}
	if (at && lu_is_due(&x->bu, now_us)) {
		homeaddr_unanswered(&x->h, x->bu.tries, &policy);
		if (x->h.state == HOMEADDR_RELEASED)
			x->bu.kind = LU_NONE;
		else
			send_update(m, x, now_us);
	}
	if (x->bu.kind != LU_NONE && x->bu.next_us < *wake_us)
		*wake_us = x->bu.next_us;
	if (home_wake_us < *wake_us)
		*wake_us = home_wake_us;
	if (x->begun && x->h.state == x->shown)
		return;
	log_write(LOG_LEVEL_NOTICE, "home",
		&(struct log_fields){.hnp = x->h.known ? prefix6_text(&x->h.prefix) : NULL, .anchor = x->anchor->credential.node},
		"%s of %s: %s, %s (%u sessions)", x->h.known ? in6_text(&x->h.address) : "address", x->anchor->credential.node,
		homeaddr_state_name(x->h.state), homeaddr_reason_name(x->h.reason), x->sessions);
	emit(m, "home_address",
		json_pack("{s:s?, s:s, s:s?, s:s, s:s, s:i}", "address", x->h.known ? in6_text(&x->h.address) : NULL, "anchor",
			x->anchor->credential.node, "from", x->begun ? homeaddr_state_name(x->shown) : NULL, "to",
			homeaddr_state_name(x->h.state), "reason", homeaddr_reason_name(x->h.reason), "sessions", (int)x->sessions));
	x->begun = true;
	x->shown = x->h.state;
}

/* RFC 5847: where an anchor has a binding of ours, it is asked whether it lives, and whether it restarted. Paced: once a period,
 * spread by a tenth so that nodes do not ask in step; without an answer after 1 s, 2 s, 4 s, ... */
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
	if (a->heartbeat_us <= 1) /* begin, or something was heard; the probe after a bind has brought the first restart counter */
		a->heartbeat_us = now_us + period_us - period_us / 20 +
				  randombytes_uniform((uint32_t)(period_us / 10 / MS) + 1) * MS;
	if (now_us >= a->heartbeat_us) {
		hb = (struct mh_heartbeat){.sequence = ++a->heartbeat};
		mw = mh_begin_heartbeat(&w, &hb);
		mh_end(&mw);
		if (!is_asking_through(m, a))
			set_endpoint(m, a);
		/* unanswered: the anchor may have lost the session as well */
		(void)channel_send_flags(m->channel, a->peer, buf, wcur_len(&w), a->unheard ? CHANNEL_FORCE_HANDSHAKE : 0);
		a->heartbeat_us = now_us + (SEC << (a->unheard < 5 ? a->unheard : 5));
		if (++a->unheard == HEARTBEATS_MISSED) {
			log_notice("lu", "%s does not answer: its home addresses wait for it", a->credential.node);
			emit(m, "anchor_silent", json_pack("{s:s}", "anchor", a->credential.node));
		}
	}
	if (a->heartbeat_us < *wake_us)
		*wake_us = a->heartbeat_us;
}

static void probe_mtu(struct mnd *m, struct anchor *a, uint64_t now_us, uint64_t *wake_us)
{
	uint8_t buf[2048];
	uint64_t at_us;
	bool changed;

	while (a->used && pmtu_step(&a->pmtu, now_us, &at_us, &changed)) {
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_heartbeat hb = {.sequence = ++a->heartbeat};
		struct mh_writer mw = mh_begin_heartbeat(&w, &hb);
		size_t len = (size_t)(a->pmtu.size - 74) & ~7u; /* the rest is the trailer's padding */

		mh_put_probe(&mw, &(struct dmmopt_probe){.id = a->pmtu.id, .size = a->pmtu.size});
		mh_pad_to(&mw, len);
		mh_end(&mw);
		if (!wcur_ok(&w) || channel_send_probe(m->channel, a->peer, buf, wcur_len(&w), a->pmtu.size, now_us) < 0)
			break;
		log_debug("lu", "path MTU probe of %u bytes to %s", a->pmtu.size, a->credential.node);
	}
	if (changed)
		touch(m);
	if (at_us < *wake_us)
		*wake_us = at_us;
}

/* Which source does the kernel take for a new session? If it is not the home address of this network (no RFC 6724 rule 4: a
 * kernel without CONFIG_IPV6_MIP6), the default route has to say it. Asked once, when there is one to choose. */
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
			log_info("nl", "this kernel does not prefer home addresses as source: the default route names them");
			touch(m);
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
		/* with no network at all nothing is toggled: applications watch (chromium drops sockets at any flag change) */
		homes[n].deprecated = m->attach.selected ? !(ama && IN6_ARE_ADDR_EQUAL(ama, &x->anchor->address))
							 : x->h.state != HOMEADDR_NATIVE;
		homes[n].deprecated |= x->draining || x->given_up;
		if (pins_of(m, &x->h))
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
		save(m);
}

static void open_tunnel(struct mnd *m)
{
	char err[NL_ERR];

	m->tunnel_lost = false;
	if (nl_tunnel_open(m->nl, m->config.tunnel_device, m->config.tunnel_mtu, &m->tunnel, err) < 0) {
		log_error("nl", "%s", err);
		return;
	}
	m->counter_device++;
	if (m->srccheck && srccheck_attach(m->srccheck, m->tunnel, err) < 0)
		log_error("nl", "%s", err);
	if (nl_dump_objects(m->nl, m->set, m->tunnel, true) < 0)
		m->resync = true;
}

static void resync(struct mnd *m)
{
	m->resync = false;
	attach_forget_addresses(&m->attach);
	if (nl_dump_links(m->nl) < 0 || nl_dump_addresses(m->nl) < 0 || nl_dump_objects(m->nl, m->set, m->tunnel, true) < 0)
		log_error("nl", "cannot read the kernel's state; trying again at the next event");
}

static void decide(void *ctx)
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
			log_notice("nl", "the tunnel device %s was removed or set down by somebody else: putting it back",
				m->config.tunnel_device);
			open_tunnel(m);
		}
		if (m->resync)
			resync(m);
		(void)attach_step(&m->attach, now_us, &at_us);
		while ((at = attach_solicit_due(&m->attach, now_us))) {
			bool settled = false;
			int r;

			(void)link_local_of(at, &settled);
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
		/* before an address is given back or its binding renewed its sockets are looked at once more: one may have begun or, of a
		 * protocol without news of that, ended since */
		for (unsigned i = 0; i < HOMES; i++)
			if (m->homes[i].used && homeaddr_is_due(&m->homes[i].h, m->config.grace_us, now_us))
				m->session_due_us = now_us;
		if (now_us >= m->session_due_us)
			refresh_sessions(m);
		if (m->session_due_us < wake_us)
			wake_us = m->session_due_us;
		seek_ama(m, now_us, &wake_us);
		for (unsigned i = 0; i < HOMES; i++)
			if (m->homes[i].used)
				step_home(m, &m->homes[i], now_us, &wake_us);
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

static void apply(void *ctx)
{
	struct mnd *m = ctx;

	if (nl_apply(m->nl, m->set) < 0) {
		m->resync = true;
		touch(m);
	}
	if (m->srccheck) {
		int r = srccheck_flush(m->srccheck);

		if (r < 0)
			log_error("nl", "cannot change the source check: %s", strerror(-r));
	}
	learn_source(m);
}

static void flush(void *ctx)
{
	struct mnd *m = ctx;

	channel_flush(m->channel, loop_clock_us());
	transport_flush(m->transport);
}

static void on_timer(void *ctx)
{
	struct mnd *m = ctx;

	fwd_release(m->set, loop_now_us(m->loop));
	touch(m);
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
	touch(m);
}

static void on_signal(void *ctx, int signum)
{
	struct mnd *m = ctx;

	log_info("main", "stopping: %s", strsignal(signum));
	loop_stop(m->loop);
}

/* --- trust and reload ------------------------------------------------------------------------------------------ */

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

static int reload(struct mnd *m, char *reterr, size_t size)
{
	struct mnd_config *config = malloc(sizeof(*config));
	struct faults faults = {reterr, size};
	struct domain trusted[TRUST_MAX];
	char err[CREDENTIAL_ERR];
	int n;

	reterr[0] = '\0';
	if (!config)
		return -ENOMEM;
	if (mnd_config_read(m->config_path, m->config_required, config, collect_fault, &faults) > 0) {
		free(config);
		log_error("conf", "configuration refused, keeping the old one");
		return -EINVAL;
	}
	if (config->port != m->config.port || strcmp(config->tunnel_device, m->config.tunnel_device) ||
		strcmp(config->control_socket, m->config.control_socket) || strcmp(config->identity, m->config.identity))
		log_warning("conf", "port, tunnel-device, control-socket and identity change only with a restart");
	config->port = m->config.port;
	memcpy(config->tunnel_device, m->config.tunnel_device, sizeof(config->tunnel_device));
	n = trust_load(config->trusted_domains, &m->identity, trusted, err);
	if (n < 0) {
		log_error("conf", "%s; keeping the old configuration", err);
		(void)snprintf(reterr, size, "%s", err);
		free(config);
		return n;
	}
	memcpy(m->trusted, trusted, sizeof(trusted));
	m->n_trusted = (size_t)n;
	m->config = *config;
	free(config);
	(void)channel_set_trusted(m->channel, m->trusted, m->n_trusted);
	m->resync = true; /* interfaces may have become eligible */
	touch(m);
	log_info("conf", "configuration read again");
	return 0;
}

static void on_hup(void *ctx, int signum)
{
	char err[MND_ERR];

	(void)signum;
	(void)reload(ctx, err, sizeof(err));
}

/* --- control --------------------------------------------------------------------------------------------------- */

static double left_s(uint64_t until_us, uint64_t now_us)
{
	return until_us > now_us ? (double)(until_us - now_us) / SEC : 0;
}

/* How updates go to this anchor, and why. */
static const char *way_text(const struct mnd *m, const struct home *x, bool proxied)
{
	static char text[128];
	const char *why = x->anchor->flipped_generation == m->attach.generation + 1 ? x->anchor->way
			  : m->config.updates == MND_DIRECT_ONLY		   ? "configured"
			  : proxied == (m->config.updates == MND_PREFER_PROXY)	   ? "preferred"
									   : "no AMA here that passes updates on";

	if (proxied && !IN6_IS_ADDR_UNSPECIFIED(&x->told) && !IN6_ARE_ADDR_EQUAL(&x->told, &x->h.confirmed_care_of))
		(void)snprintf(text, sizeof(text), "proxied, behind the regional AMA %s (%s)", in6_text(&x->told), why);
	else
		(void)snprintf(text, sizeof(text), "%s (%s)", proxied ? "proxied" : "direct", why);
	return text;
}

static json_t *home_json(struct mnd *m, const struct home *x)
{
	uint64_t now_us = loop_now_us(m->loop);
	bool encapsulate = false;
	const struct attachment *at = rc_path(&m->attach, &x->h, &x->anchor->address, &encapsulate);
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	bool proxied = at && !encapsulate && x->h.confirmed == LU_BIND;

	return json_pack("{s:s?, s:s?, s:s, s:s, s:s, s:b, s:i, s:s, s:s?, s:f, s:f, s:f, s:s?}", "address",
		x->h.known ? in6_text(&x->h.address) : NULL, "prefix", x->h.known ? prefix6_text(&x->h.prefix) : NULL, "anchor",
		in6_text(&x->anchor->address), "anchor_name", x->anchor->credential.node, "state", homeaddr_state_name(x->h.state),
		"deprecated", x->draining || x->given_up || !(ama && IN6_ARE_ADDR_EQUAL(ama, &x->anchor->address)), "sessions", (int)x->sessions, "path",
		!at ? "none" : encapsulate ? "tunnel" : proxied ? "proxied" : "native", "care_of",
		!at ? NULL : encapsulate ? in6_text(&at->care_of) : proxied ? in6_text(&x->h.confirmed_care_of) : NULL, "since_s", (double)(now_us - x->h.since_us) / SEC, "lease_remaining_s",
		left_s(x->h.lease_until_us, now_us), "binding_remaining_s",
		x->h.confirmed == LU_BIND ? left_s(x->h.confirmed_until_us, now_us) : 0.0, "way",
		x->h.state == HOMEADDR_BOUND || x->h.state == HOMEADDR_IDLE ? way_text(m, x, proxied) : NULL);
}

static json_t *homes_json(struct mnd *m)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used)
			(void)json_array_append_new(list, home_json(m, &m->homes[i]));
	return list;
}

static json_t *attachments_json(struct mnd *m)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < m->attach.n; i++) {
		const struct attachment *at = &m->attach.at[i];
		const struct in6_addr *ama = at->usable_us ? attach_ama(at) : NULL;
		const struct anchor *a = ama ? anchor_by_address(m, ama) : NULL;

		(void)json_array_append_new(list,
			json_pack("{s:s, s:b, s:b, s:b, s:i, s:s?, s:s?, s:s?, s:s?}", "interface", at->name, "carrier", at->carrier,
				"usable", at->usable_us != 0, "selected", at == m->attach.selected, "priority", at->priority, "router",
				at->usable_us ? in6_text(&at->router->link_local) : NULL, "care_of",
				at->usable_us ? in6_text(&at->care_of) : NULL, "ama", ama ? in6_text(ama) : NULL, "ama_name",
				a ? a->credential.node : NULL));
	}
	return list;
}

static json_t *ms_between(uint64_t from_us, uint64_t to_us)
{
	return from_us && to_us >= from_us ? json_real((double)(to_us - from_us) / 1000) : json_null();
}

static json_t *history_json(struct mnd *m)
{
	json_t *list = json_array();
	unsigned n = m->n_history < HISTORY ? m->n_history : HISTORY;

	for (unsigned i = m->n_history - n; i < m->n_history; i++) {
		const struct handover *ho = &m->history[i % HISTORY];

		(void)json_array_append_new(list,
			json_pack("{s:I, s:I, s:I, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "at", (json_int_t)ho->at_wall_s,
				"link_up_at_us", (json_int_t)ho->link_up_us, "usable_at_us", (json_int_t)ho->usable_us, "from", ho->from, "to",
				ho->to, "care_of", in6_text(&ho->care_of), "router_ms", ms_between(ho->link_up_us, ho->heard_us),
				"address_ms", ms_between(ho->heard_us, ho->usable_us), "registration_ms",
				ms_between(ho->sent_us, ho->acked_us), "total_ms", ms_between(ho->link_up_us, ho->acked_us)));
	}
	return list;
}

static json_t *counters_json(struct mnd *m)
{
	const struct channel_counters *cc = channel_counters(m->channel);
	const struct transport_counters *tc = transport_counters(m->transport);
	const struct fwd_counters *fc = fwd_counters(m->set);
	const struct nl_counters *nc = nl_counters(m->nl);
	struct srccheck_counters sc = {0};
	json_t *j = json_object();
	char name[96];

	for (int i = 0; i < CHANNEL_WHY_COUNT; i++) {
		(void)snprintf(name, sizeof(name), "channel-%s", channel_why_name((enum channel_why)i));
		(void)json_object_set_new(j, name, json_integer((json_int_t)cc->why[i]));
	}
	for (int i = 0; i < MH_WHY_N; i++)
		(void)json_object_set_new(j, mh_why_name((enum mh_why)i), json_integer((json_int_t)m->counter_mh[i]));
	for (int i = 0; i < FWD_KINDS; i++) {
		(void)snprintf(name, sizeof(name), "restored-%s", fwd_kind_name((enum fwd_kind)i));
		(void)json_object_set_new(j, name, json_integer((json_int_t)fc->restored[i]));
		(void)snprintf(name, sizeof(name), "kernel-refused-%s", fwd_kind_name((enum fwd_kind)i));
		(void)json_object_set_new(j, name, json_integer((json_int_t)fc->failures[i]));
	}
	(void)json_object_set_new(j, "restored-device", json_integer((json_int_t)m->counter_device));
	(void)json_object_set_new(j, "channel-tx-initiation", json_integer((json_int_t)cc->tx_initiation));
	(void)json_object_set_new(j, "channel-tx-transport", json_integer((json_int_t)cc->tx_transport));
	(void)json_object_set_new(j, "udp-rx", json_integer((json_int_t)tc->rx));
	(void)json_object_set_new(j, "udp-tx", json_integer((json_int_t)tc->tx));
	(void)json_object_set_new(j, "udp-tx-unreachable", json_integer((json_int_t)tc->tx_unreachable));
	(void)json_object_set_new(j, "netlink-overruns", json_integer((json_int_t)nc->overruns));
	(void)json_object_set_new(j, "ba-unmatched", json_integer((json_int_t)m->counter_ba_unmatched));
	(void)json_object_set_new(j, "ra-ignored", json_integer((json_int_t)m->counter_ra_ignored));
	if (m->srccheck && srccheck_counters(m->srccheck, &sc) == 0) {
		(void)json_object_set_new(j, "decap-passed", json_integer((json_int_t)sc.passed));
		(void)json_object_set_new(j, "decap-unbound", json_integer((json_int_t)sc.unbound));
		(void)json_object_set_new(j, "decap-wrong-source", json_integer((json_int_t)sc.wrong_source));
		(void)json_object_set_new(j, "decap-malformed", json_integer((json_int_t)sc.malformed));
	}
	return j;
}

static int get_status(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;

	(void)parameters;
	(void)reterr;
	*ret = json_pack("{s:s, s:f, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "version", PACKAGE_VERSION, "uptime_s",
		(double)(loop_now_us(m->loop) - m->started_us) / SEC, "node", m->identity.name, "domain",
		m->identity.credential.domain, "device", m->config.tunnel_device, "attachments", attachments_json(m),
		"home_addresses", homes_json(m), "handovers", history_json(m), "counters", counters_json(m));
	return *ret ? 0 : -ENOMEM;
}

static int list_leases(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)parameters;
	(void)reterr;
	*ret = json_pack("{s:o}", "leases", homes_json(ctx));
	return *ret ? 0 : -ENOMEM;
}

static int list_bindings(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;
	json_t *list = json_array();

	(void)parameters;
	(void)reterr;
	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &m->homes[i];

		if (!x->used || (x->bu.kind == LU_NONE && x->h.confirmed != LU_BIND))
			continue;
		(void)json_array_append_new(list,
			json_pack("{s:s?, s:s, s:s?, s:i, s:f, s:s, s:i}", "hnp", x->h.known ? prefix6_text(&x->h.prefix) : NULL, "anchor",
				x->anchor->credential.node, "care_of",
				x->h.confirmed == LU_BIND ? in6_text(&x->h.confirmed_care_of) : NULL, "sequence", x->anchor->sequence,
				"remaining_s", x->h.confirmed == LU_BIND ? left_s(x->h.confirmed_until_us, loop_now_us(m->loop)) : 0.0,
				"outstanding", lu_kind_name(x->bu.kind), "tries", (int)x->bu.tries));
	}
	*ret = json_pack("{s:o}", "bindings", list);
	return *ret ? 0 : -ENOMEM;
}

struct session_list_ctx {
	struct mnd *m;
	json_t *list;
	uint64_t now_s;
	unsigned left_out;
};

static bool session_json(void *ctx, const struct session_info *info)
{
	struct session_list_ctx *c = ctx;

	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &c->m->homes[i];

		if (!x->used || !x->h.known || !IN6_ARE_ADDR_EQUAL(&x->h.address, &info->home_address))
			continue;
		if (json_array_size(c->list) == SESSIONS) {
			c->left_out++;
			return true;
		}
		(void)json_array_append_new(c->list,
			json_pack("{s:s, s:s, s:i, s:s?, s:i, s:s, s:b, s:s, s:f, s:i, s:I}", "protocol",
				session_protocol_name(info->protocol), "home_address", in6_text(&info->home_address), "port", info->port,
				"peer", IN6_IS_ADDR_UNSPECIFIED(&info->peer) ? NULL : in6_text(&info->peer), "peer_port", info->peer_port,
				"anchor", x->anchor->credential.node, "tunnelled", homeaddr_is_tunnelled(&x->h), "state",
				homeaddr_state_name(x->h.state), "since_s",
				(double)(c->now_s > info->since_s ? c->now_s - info->since_s : 0), "uid", (int)info->uid, "inode",
				(json_int_t)info->inode));
		return true;
	}
	return false;
}

static int list_sessions(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct session_list_ctx c = {.m = ctx, .list = json_array(), .now_s = loop_wall_ns() / 1000000000};
	int r = session_list(c.m->session, c.now_s, session_json, &c);

	(void)parameters;
	if (r < 0) {
		(void)snprintf(reterr, CONTROL_ERR, "cannot read the socket tables: %s", strerror(-r));
		json_decref(c.list);
		return r;
	}
	*ret = json_pack("{s:o, s:i}", "sessions", c.list, "left_out", (int)c.left_out);
	return *ret ? 0 : -ENOMEM;
}

static int do_release(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;
	const char *text = json_string_value(json_object_get(parameters, "address"));
	struct in6_addr address;

	(void)ret;
	if (!text || inet_pton(AF_INET6, text, &address) != 1) {
		(void)snprintf(reterr, CONTROL_ERR, "address: which home address is to be released?");
		return -EINVAL;
	}
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (!x->used || !x->h.known || !IN6_ARE_ADDR_EQUAL(&x->h.address, &address))
			continue;
		log_notice("home", "releasing %s as told; %u sessions on it end", text, x->sessions);
		x->given_up = true;
		touch(m);
		return 0;
	}
	(void)snprintf(reterr, CONTROL_ERR, "%.100s is not a home address of this node: 'mnctl leases' lists them", text);
	return -ENOENT;
}

/* Which home address a pin is for: the one named, else that of the anchor named, else the one that new sessions take, else one that is in use. */
static struct home *home_to_pin(struct mnd *m, const char *address, const char *anchor, char *reterr)
{
	struct in6_addr a = IN6ADDR_ANY_INIT;
	struct home *best = NULL;
	int best_rank = -1;

	if (address && inet_pton(AF_INET6, address, &a) != 1) {
		(void)snprintf(reterr, CONTROL_ERR, "'%.100s' is not an IPv6 address", address);
		return NULL;
	}
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];
		int rank = (x->h.state == HOMEADDR_NATIVE ? 4 : 0) + (x->draining ? 0 : 2) + (x->sessions > 0 || pins_of(m, &x->h) > 0);

		if (!x->used || !x->h.known || x->given_up || x->h.state == HOMEADDR_RELEASING || x->h.state == HOMEADDR_RELEASED)
			continue;
		if (address && !IN6_ARE_ADDR_EQUAL(&x->h.address, &a))
			continue;
		if (anchor && strcmp(x->anchor->credential.node, anchor) != 0)
			continue;
		if (rank > best_rank) {
			best = x;
			best_rank = rank;
		}
	}
	if (!best && (address || anchor))
		(void)snprintf(reterr, CONTROL_ERR, "this node has no home address %s%.100s: 'mnctl leases' lists them", anchor ? "of " : "",
			address ? address : anchor);
	else if (!best)
		(void)snprintf(reterr, CONTROL_ERR, "this node has no home address yet: no network so far had an anchor ('mnctl status')");
	return best;
}

static int do_pin(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;
	const char *address = json_string_value(json_object_get(parameters, "address"));
	const char *anchor = json_string_value(json_object_get(parameters, "anchor"));
	json_t *other = json_object_get(parameters, "pid");
	const struct ucred *who = control_caller(m->control);
	json_int_t pid = other ? json_integer_value(other) : who->pid;
	struct pin *p = NULL;
	unsigned own = 0;
	struct home *x;
	char err[PIN_ERR];
	int r;

	if (!m->config.pins) {
		(void)snprintf(reterr, CONTROL_ERR, "the administrator has switched pinning off ('pins' in mnd.conf)");
		return -EPERM;
	}
	if (pid <= 0 || pid > INT32_MAX) {
		(void)snprintf(reterr, CONTROL_ERR, "pid: which process is to be pinned?");
		return -EINVAL;
	}
	x = home_to_pin(m, address, anchor, reterr);
	if (!x)
		return -ENOENT;
	for (unsigned i = 0; i < PINS; i++) {
		if (!m->pins[i].cgroup[0])
			p = &m->pins[i];
		else
			own += m->pins[i].uid == who->uid;
	}
	/* one user leaves room for others */
	if (!p || (who->uid != 0 && own >= PINS / 2)) {
		(void)snprintf(reterr, CONTROL_ERR, "%u of your programs are pinned already; %d, and %d of one user, are the most ('mnctl pins' lists them)",
			own, PINS, PINS / 2);
		return -ENOSPC;
	}
	r = pin_begin((pid_t)pid, who->uid, &x->h.address, loop_wall_ns() / 1000000000, p, err);
	if (r < 0) {
		(void)snprintf(reterr, CONTROL_ERR, "%s", err);
		return r;
	}
	r = pin_watch(p, m->pin_fd);
	if (r < 0)
		log_warning("pin", "cannot watch %s: %s; its end is noticed late", p->cgroup, strerror(-r));
	log_info("pin", "%s of user %u is pinned to %s", p->command, (unsigned)p->uid, in6_text(&p->home_address));
	emit(m, "pinned",
		json_pack("{s:s, s:s, s:i, s:i}", "home_address", in6_text(&p->home_address), "command", p->command, "pid", (int)p->pid, "uid",
			(int)p->uid));
	save(m);
	/* the caller goes on as soon as it is answered: its first socket has to find the rule */
	touch(m);
	decide(m);
	apply(m);
	*ret = json_pack("{s:s, s:s, s:s}", "home_address", in6_text(&p->home_address), "anchor", x->anchor->credential.node, "cgroup", p->cgroup);
	return *ret ? 0 : -ENOMEM;
}

/* What the first process runs now: hoa-exec became it after it was pinned. fallback when it has ended and its children have not. */
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

static int list_pins(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
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
			if (m->homes[k].used && m->homes[k].h.known && IN6_ARE_ADDR_EQUAL(&m->homes[k].h.address, &p->home_address))
				x = &m->homes[k];
		(void)json_array_append_new(list,
			json_pack("{s:s, s:i, s:i, s:s, s:s?, s:s, s:f, s:s}", "command", command, "pid", (int)p->pid, "uid", (int)p->uid,
				"home_address", in6_text(&p->home_address), "anchor", x ? x->anchor->credential.node : NULL, "state",
				x ? homeaddr_state_name(x->h.state) : "lost", "since_s",
				(double)(now_s > p->since_s ? now_s - p->since_s : 0), "cgroup", p->cgroup));
	}
	*ret = json_pack("{s:o}", "pins", list);
	return *ret ? 0 : -ENOMEM;
}

static int do_reload(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)parameters;
	(void)ret;
	return reload(ctx, reterr, CONTROL_ERR);
}

static const struct control_method methods[] = {{"GetStatus", get_status, false}, {"ListLeases", list_leases, false},
	{"ListBindings", list_bindings, false}, {"ListSessions", list_sessions, false}, {"Release", do_release, true},
	{"Pin", do_pin, false}, {"ListPins", list_pins, false},
	{"Reload", do_reload, true}, {0}};

static const char description[] =
	"# The mobile node daemon\n"
	"interface org.dmm.mnd\n"
	"method GetStatus() -> (version: string, uptime_s: float, node: string, domain: string, device: string, attachments: []object, "
	"home_addresses: []object, handovers: []object, counters: [string]int)\n"
	"method ListLeases() -> (leases: []object)\n"
	"method ListBindings() -> (bindings: []object)\n"
	"method ListSessions() -> (sessions: []object, left_out: int)\n"
	"# Sessions on it end\n"
	"method Release(address: string) -> ()\n"
	"# The caller, or a process of the same user, and all that it starts, is on one home address from now on\n"
	"method Pin(address: ?string, anchor: ?string, pid: ?int) -> (home_address: string, anchor: string, cgroup: string)\n"
	"method ListPins() -> (pins: []object)\n"
	"# Call with more; event is ready, attached, detached, home_address, location_update, anchor_restarted, anchor_silent,\n"
	"# anchor_heard, revoked, pinned, unpinned or restored\n"
	"method Monitor() -> (event: string, data: object)\n"
	"method Reload() -> ()\n"
	"error Failed (message: string)\n"
	"error PermissionDenied (message: string)\n";

/* --- life ------------------------------------------------------------------------------------------------------ */

static void on_watchdog(void *ctx)
{
	struct mnd *m = ctx;

#ifdef HAVE_SYSTEMD
	uint64_t us;

	if (sd_watchdog_enabled(0, &us) > 0) {
		(void)sd_notify(0, "WATCHDOG=1");
		loop_timer_at(&m->watchdog, loop_now_us(m->loop) + us / 2);
	}
#else
	(void)m;
#endif
}

static int open_all(struct mnd *m, char *reterr)
{
	struct channel_config channel = {.ops = &channel_ops, .ctx = m, .max_peers = ANCHORS};
	struct control_config control = {.path = m->config.control_socket,
		.interface = "org.dmm.mnd",
		.description = description,
		.product = "mnd",
		.version = PACKAGE_VERSION,
		.methods = methods,
		.ctx = m};
	int r = secret_start();

	if (r < 0) {
		(void)snprintf(reterr, MND_ERR, "libsodium does not start");
		return r;
	}
	if (identity_load(m->config.identity, &m->identity, reterr) < 0)
		return -ENOENT;
	if (!m->identity.has_credential) {
		(void)snprintf(reterr, MND_ERR, "%s has no credential yet: have the domain sign the token of 'mnctl keygen' and run 'mnctl join'",
			m->config.identity);
		return -ENOENT;
	}
	r = trust_load(m->config.trusted_domains, &m->identity, m->trusted, reterr);
	if (r < 0)
		return r;
	m->n_trusted = (size_t)r;
	r = loop_new(&m->loop);
	if (r < 0)
		return r;
	/* the control socket first: it finds another mnd before anything is touched */
	r = control_new(m->loop, &control, &m->control, reterr);
	if (r < 0)
		return r;
	r = nl_new(&nl_ops, m, &m->nl, reterr);
	if (r < 0)
		return r;
	r = nl_tunnel_open(m->nl, m->config.tunnel_device, m->config.tunnel_mtu, &m->tunnel, reterr);
	if (r < 0)
		return r;
	m->ra_fd = ra_open();
	if (m->ra_fd < 0) {
		r = m->ra_fd;
		(void)snprintf(reterr, MND_ERR, "cannot open an ICMPv6 socket: %s (CAP_NET_RAW is needed)", strerror(-r));
		return r;
	}
	m->pin_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (m->pin_fd < 0) {
		r = -errno;
		(void)snprintf(reterr, MND_ERR, "cannot watch cgroups (inotify): %s", strerror(-r));
		return r;
	}
	r = session_new(&m->session);
	if (r < 0) {
		(void)snprintf(reterr, MND_ERR, "cannot open the socket diagnostics: %s (the kernel needs inet_diag, tcp_diag and udp_diag)",
			strerror(-r));
		return r;
	}
	r = transport_new(m->loop, (uint16_t)m->config.port, datagram, m, &m->transport, reterr);
	if (r < 0)
		return r;
	channel.identity = &m->identity;
	channel.trusted = m->trusted;
	channel.n_trusted = m->n_trusted;
	r = channel_new(&channel, &m->channel);
	if (r < 0) {
		(void)snprintf(reterr, MND_ERR, "cannot make the secure channel: %s", strerror(-r));
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

/* The directory of the state file is the user's: the file is replaced in it. The identity stays root's, who reads it at each start. */
static int give_up_privileges(struct mnd *m, char *reterr)
{
	char dir[CONF_TEXT];
	const char *own[] = {m->config.state, dir, NULL};
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", m->config.state);
	slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	return priv_drop(m->config.user, true, m->config.pins, own, reterr);
}

int mnd_new(const char *config_path, bool config_required, const struct mnd_config *config, struct mnd **ret, char *reterr)
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
	(void)snprintf(reterr, MND_ERR, "out of memory");
	r = open_all(m, reterr);
	if (r < 0) {
		mnd_free(m);
		return r;
	}
	m->started_us = loop_now_us(m->loop);
	load(m);
	/* what the source check allows is filled before it replaces one of an earlier run */
	for (unsigned i = 0; m->srccheck && i < HOMES; i++)
		if (m->homes[i].used)
			(void)srccheck_set(m->srccheck, &m->homes[i].h.prefix, &m->homes[i].anchor->address);
	if (m->srccheck) {
		(void)srccheck_flush(m->srccheck);
		r = srccheck_attach(m->srccheck, m->tunnel, reterr);
		if (r < 0) {
			mnd_free(m);
			return r;
		}
	}
	loop_io_start(&m->nl_io, m->loop, nl_fd(m->nl), read_news, m, "netlink news");
	loop_io_start(&m->ra_io, m->loop, m->ra_fd, read_adverts, m, "router advertisements");
	loop_io_start(&m->session_io, m->loop, session_fd(m->session), read_session_news, m, "socket news");
	loop_io_start(&m->pin_io, m->loop, m->pin_fd, read_pins, m, "pins");
	loop_timer_init(&m->timer, m->loop, on_timer, m, "timer");
	loop_timer_init(&m->watchdog, m->loop, on_watchdog, m, "watchdog");
	loop_signal_start(&m->sig_term, m->loop, SIGTERM, on_signal, m);
	loop_signal_start(&m->sig_int, m->loop, SIGINT, on_signal, m);
	loop_signal_start(&m->sig_hup, m->loop, SIGHUP, on_hup, m);
	loop_at_end(m->loop, LOOP_DECIDE, decide, m);
	loop_at_end(m->loop, LOOP_KERNEL, apply, m);
	loop_at_end(m->loop, LOOP_DATAGRAMS, flush, m);
	if (loop_on_clock_jump(m->loop, on_jump, m) < 0)
		log_warning("main", "cannot watch the clock: a resume is noticed late");
	if (nl_dump_links(m->nl) < 0 || nl_dump_addresses(m->nl) < 0 || nl_dump_objects(m->nl, m->set, m->tunnel, false) < 0) {
		(void)snprintf(reterr, MND_ERR, "cannot read the kernel's links, addresses and routes");
		mnd_free(m);
		return -EIO;
	}
	touch(m);
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
		begin_update(m, x, loop_clock_us());
		send_update(m, x, loop_clock_us());
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
	(void)unlink(m->config.state);
}

int mnd_run(struct mnd *m)
{
	log_info("main", "mnd %s is ready: node %s of domain %s", PACKAGE_VERSION, m->identity.name, m->identity.credential.domain);
#ifdef HAVE_SYSTEMD
	(void)sd_notify(0, "READY=1");
#endif
	on_watchdog(m);
	loop_run(m->loop);
	m->stopping = true;
	save(m);
	if (m->config.flush_on_exit)
		flush_everything(m);
	return 0;
}

void mnd_free(struct mnd *m)
{
	if (!m)
		return;
	loop_signal_stop(&m->sig_hup);
	loop_signal_stop(&m->sig_int);
	loop_signal_stop(&m->sig_term);
	loop_timer_stop(&m->watchdog);
	loop_timer_stop(&m->timer);
	loop_io_stop(&m->pin_io);
	loop_io_stop(&m->watch_io);
	loop_io_stop(&m->session_io);
	loop_io_stop(&m->ra_io);
	loop_io_stop(&m->nl_io);
	fwd_free(m->set);
	srccheck_free(m->srccheck);
	channel_free(m->channel);
	transport_free(m->transport);
	session_free(m->session);
	if (m->watch_fd >= 0)
		(void)close(m->watch_fd);
	if (m->pin_fd >= 0)
		(void)close(m->pin_fd);
	if (m->ra_fd >= 0)
		(void)close(m->ra_fd);
	nl_free(m->nl);
	control_free(m->control);
	loop_free(m->loop);
	identity_done(&m->identity);
	free(m);
}
