/* SPDX-License-Identifier: GPL-2.0-or-later */
/* methods.c - what mnctl asks: the methods of org.dmm.mnd and the JSON of their answers (mnctl(1), "JSON") */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

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
		: m->config.updates == MND_DIRECT_ONLY				    ? "configured"
		: proxied == (m->config.updates == MND_PREFER_PROXY)		    ? "preferred"
								     : "no AMA here that passes updates on";

	if (proxied && !IN6_IS_ADDR_UNSPECIFIED(&x->told) && !IN6_ARE_ADDR_EQUAL(&x->told, &x->h.confirmed_care_of))
		(void)snprintf(text, sizeof(text), "proxied, behind the regional AMA %s (%s)", in6_text(&x->told), why);
	else
		(void)snprintf(text, sizeof(text), "%s (%s)", proxied ? "proxied" : "direct", why);
	return text;
}

static json_t *home_json(struct mnd *m, const struct home *x)
{
	uint64_t now_us = loop_now_us(m->daemon.loop);
	bool encapsulate = false;
	const struct attachment *at = rc_path(&m->attach, &x->h, &x->anchor->address, &encapsulate);
	const struct in6_addr *ama = attach_ama(m->attach.selected);
	bool proxied = at && !encapsulate && x->h.confirmed == LU_BIND;

	return json_pack("{s:s?, s:s?, s:s, s:s, s:s, s:b, s:i, s:s, s:s?, s:f, s:f, s:f, s:s?, s:b, s:b}", "address",
		x->h.known ? in6_text(&x->h.address) : NULL, "prefix", x->h.known ? prefix6_text(&x->h.prefix) : NULL,
		"anchor", in6_text(&x->anchor->address), "anchor_name", x->anchor->credential.node, "state",
		homeaddr_state_name(x->h.state), "deprecated",
		x->draining || x->given_up || x->exclusive || !(ama && IN6_ARE_ADDR_EQUAL(ama, &x->anchor->address)),
		"sessions", (int)x->sessions, "path",
		!at		      ? "none"
			: encapsulate ? "tunnel"
			: proxied     ? "proxied"
				      : "native",
		"care_of",
		!at		      ? NULL
			: encapsulate ? in6_text(&at->care_of)
			: proxied     ? in6_text(&x->h.confirmed_care_of)
				      : NULL,
		"since_s", (double)(now_us - x->h.since_us) / SEC, "lease_remaining_s",
		left_s(x->h.lease_until_us, now_us), "binding_remaining_s",
		x->h.confirmed == LU_BIND ? left_s(x->h.confirmed_until_us, now_us) : 0.0, "way",
		x->h.state == HOMEADDR_BOUND || x->h.state == HOMEADDR_IDLE ? way_text(m, x, proxied) : NULL, "fixed",
		x->fixed, "exclusive", x->exclusive);
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
		const struct anchor *a = ama ? mnd_anchor_by_address(m, ama) : NULL;

		(void)json_array_append_new(list,
			json_pack("{s:s, s:b, s:b, s:b, s:i, s:s?, s:s?, s:s?, s:s?}", "interface", at->name, "carrier",
				at->carrier, "usable", at->usable_us != 0, "selected", at == m->attach.selected,
				"priority", at->priority, "router",
				at->usable_us ? in6_text(&at->router->link_local) : NULL, "care_of",
				at->usable_us ? in6_text(&at->care_of) : NULL, "ama", ama ? in6_text(ama) : NULL,
				"ama_name", a ? a->credential.node : NULL));
	}
	return list;
}

static json_t *ms_between(uint64_t from_us, uint64_t to_us)
{
	return from_us && to_us >= from_us ? json_real((double)(to_us - from_us) / 1000) : json_null();
}

/* What is known when the update is acknowledged. */
static json_t *with_ack(const struct handover *ho, uint64_t n)
{
	return ho->acked_us ? json_integer((json_int_t)n) : json_null();
}

static json_t *history_json(struct mnd *m)
{
	json_t *list = json_array();
	unsigned n = m->n_history < HISTORY ? m->n_history : HISTORY;

	for (unsigned i = m->n_history - n; i < m->n_history; i++) {
		const struct handover *ho = &m->history[i % HISTORY];
		uint64_t first_us = i == m->n_history - 1 && m->srccheck ? srccheck_first_us(m->srccheck, &ho->care_of)
									 : ho->first_us;

		(void)json_array_append_new(list,
			json_pack("{s:I, s:I, s:I, s:s, s:s, s:s, s:s?, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
				"at", (json_int_t)ho->at_wall_s, "link_up_at_us", (json_int_t)ho->link_up_us,
				"usable_at_us", (json_int_t)ho->usable_us, "from", ho->from, "to", ho->to, "care_of",
				in6_text(&ho->care_of), "ama", ho->ama[0] ? ho->ama : NULL, "router_ms",
				ms_between(ho->link_up_us, ho->heard_us), "address_ms",
				ms_between(ho->heard_us, ho->usable_us), "registration_ms",
				ms_between(ho->sent_us, ho->acked_us), "first_packet_ms",
				ms_between(ho->usable_us, first_us), "total_ms",
				ms_between(ho->link_up_us, ho->acked_us), "datagrams_sent", with_ack(ho, ho->tx),
				"datagrams_received", with_ack(ho, ho->rx), "tries", with_ack(ho, ho->tries),
				"sessions", with_ack(ho, ho->sessions)));
	}
	return list;
}

/* --- counters and metrics -------------------------------------------------------------------------------------- */

static const struct metric unmatched = {"mnd_acknowledgements_unmatched_total", METRIC_COUNTER, NULL, "ba-unmatched",
	"Acknowledgements that nobody waits for"};
static const struct metric adverts_ignored = {"mnd_router_advertisements_ignored_total", METRIC_COUNTER, NULL,
	"ra-ignored", "Router advertisements that were malformed or from elsewhere"};
static const struct metric anchor_restarts = {"mnd_anchor_restarts_total", METRIC_COUNTER, NULL, "anchor-restarts",
	"Anchors heard of that had restarted and may have lost bindings"};
static const struct metric handovers = {
	"mnd_handovers_total", METRIC_COUNTER, NULL, "handovers", "Moves to another attachment"};
static const struct metric handover_time = {"mnd_handover_duration_seconds", METRIC_HISTOGRAM, NULL, NULL,
	"From a usable care-of address to the acknowledgement that sessions wait for, in seconds"};
static const struct metric homes = {
	"mnd_home_addresses", METRIC_GAUGE, "state", NULL, "Home addresses by state; each is a lease"};
static const struct metric leases = {"mnd_leases", METRIC_GAUGE, NULL, NULL, "Leases held"};
static const struct metric bindings = {"mnd_bindings", METRIC_GAUGE, NULL, NULL, "Bindings that anchors acknowledged"};
static const struct metric sessions_now = {"mnd_sessions", METRIC_GAUGE, NULL, NULL, "Sockets that use a home address"};
static const struct metric peers = {"mnd_peers", METRIC_GAUGE, NULL, NULL, "AMAs that are known"};
static const struct metric pins_now = {
	"mnd_pins", METRIC_GAUGE, NULL, NULL, "Cgroups that are pinned to a home address"};
static const struct metric attached = {
	"mnd_attachments_usable", METRIC_GAUGE, NULL, NULL, "Interfaces with a router and a care-of address"};

static void collect_state(const struct mnd *m, struct metrics *w)
{
	unsigned by_state[HOMEADDR_STATES] = {0}, n_leases = 0, n_bindings = 0, n_sessions = 0, n_peers = 0, n_pins = 0,
		 n_usable = 0;

	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &m->homes[i];

		if (!x->used)
			continue;
		by_state[x->h.state]++;
		n_leases += x->h.known;
		n_bindings += x->h.confirmed == LU_BIND;
		n_sessions += x->sessions;
	}
	for (unsigned i = 0; i < ANCHORS; i++)
		n_peers += m->anchors[i].used;
	for (unsigned i = 0; i < PINS; i++)
		n_pins += m->pins[i].cgroup[0] != '\0';
	for (unsigned i = 0; i < m->attach.n; i++)
		n_usable += m->attach.at[i].usable_us != 0;
	for (unsigned i = 0; i < HOMEADDR_STATES; i++)
		metrics_put(w, &homes, homeaddr_state_name((enum homeaddr_state)i), by_state[i]);
	metrics_put(w, &leases, NULL, n_leases);
	metrics_put(w, &bindings, NULL, n_bindings);
	metrics_put(w, &sessions_now, NULL, n_sessions);
	metrics_put(w, &peers, NULL, n_peers);
	metrics_put(w, &pins_now, NULL, n_pins);
	metrics_put(w, &attached, NULL, n_usable);
}

void methods_collect(void *ctx, struct metrics *w)
{
	struct mnd *m = ctx;
	const struct counters_parts parts = {.version = PACKAGE_VERSION,
		.channel = m->channel,
		.transport = m->transport,
		.set = m->set,
		.nl = m->nl,
		.srccheck = m->srccheck,
		.loop = m->daemon.loop,
		.mh = m->counter_mh,
		.restored_device = m->counter_device};

	mnd_count_sessions(m);
	counters_put(w, &parts);
	metrics_put(w, &unmatched, NULL, m->counter_ba_unmatched);
	metrics_put(w, &adverts_ignored, NULL, m->counter_ra_ignored);
	metrics_put(w, &anchor_restarts, NULL, m->counter_anchor_restarts);
	metrics_put(w, &handovers, NULL, m->n_history);
	metrics_put_histogram(w, &handover_time, &m->handover_time);
	collect_state(m, w);
}

static int get_status(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;

	(void)parameters;
	(void)reterr;
	mnd_count_sessions(m);
	*ret = json_pack("{s:s, s:f, s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "version", PACKAGE_VERSION, "uptime_s",
		(double)(loop_now_us(m->daemon.loop) - m->started_us) / SEC, "node", m->identity.name, "domain",
		m->identity.credential.domain, "device", m->config.tunnel_device, "attachments", attachments_json(m),
		"home_addresses", homes_json(m), "handovers", history_json(m), "counters",
		metrics_json(methods_collect, m));
	return *ret ? 0 : -ENOMEM;
}

static int list_leases(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)parameters;
	(void)reterr;
	mnd_count_sessions(ctx);
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
			json_pack("{s:s?, s:s, s:s?, s:i, s:f, s:s, s:i}", "hnp",
				x->h.known ? prefix6_text(&x->h.prefix) : NULL, "anchor", x->anchor->credential.node,
				"care_of", x->h.confirmed == LU_BIND ? in6_text(&x->h.confirmed_care_of) : NULL,
				"sequence", x->anchor->sequence, "remaining_s",
				x->h.confirmed == LU_BIND ? left_s(x->h.confirmed_until_us, loop_now_us(m->daemon.loop))
							  : 0.0,
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
				session_protocol_name(info->protocol), "home_address", in6_text(&info->home_address),
				"port", info->port, "peer",
				IN6_IS_ADDR_UNSPECIFIED(&info->peer) ? NULL : in6_text(&info->peer), "peer_port",
				info->peer_port, "anchor", x->anchor->credential.node, "tunnelled",
				homeaddr_is_tunnelled(&x->h), "state", homeaddr_state_name(x->h.state), "since_s",
				(double)(c->now_s > info->since_s ? c->now_s - info->since_s : 0), "uid",
				(int)info->uid, "inode", (json_int_t)info->inode));
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
		mnd_touch(m);
		return 0;
	}
	(void)snprintf(
		reterr, CONTROL_ERR, "%.100s is not a home address of this node: 'mnctl leases' lists them", text);
	return -ENOENT;
}

static int do_ping(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;
	const char *text = json_string_value(json_object_get(parameters, "anchor"));
	json_int_t size = json_integer_value(json_object_get(parameters, "size"));
	struct in6_addr address = in6addr_any;
	uint32_t id;
	int r;

	if (!text || size < PMTU_BASE || size > 2000) {
		(void)snprintf(reterr, CONTROL_ERR, "which anchor, and with how large a packet (1280 to 2000 bytes)?");
		return -EINVAL;
	}
	(void)inet_pton(AF_INET6, text, &address);
	for (unsigned i = 0; i < ANCHORS; i++) {
		struct anchor *a = &m->anchors[i];

		if (!a->used || (strcmp(a->credential.node, text) != 0 && !IN6_ARE_ADDR_EQUAL(&a->address, &address)))
			continue;
		r = signalling_ping(m, a, (uint16_t)size, &id);
		if (r < 0) {
			(void)snprintf(reterr, CONTROL_ERR, "cannot ask %s: %s", a->credential.node, strerror(-r));
			return r;
		}
		mnd_touch(m);
		*ret = json_pack("{s:I, s:s, s:s}", "id", (json_int_t)id, "anchor", a->credential.node, "address",
			in6_text(&a->address));
		return *ret ? 0 : -ENOMEM;
	}
	(void)snprintf(reterr, CONTROL_ERR,
		"no anchor '%.100s' is known: 'mnctl leases' and 'mnctl status' name those that are", text);
	return -ENOENT;
}

static int do_reload(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	int r = mnd_reload(ctx, reterr, CONTROL_ERR);

	(void)parameters;
	return r < 0 ? r : daemon_reload_reply(reterr, ret);
}

const struct control_method mnd_methods[] = {{"GetStatus", get_status, false}, {"ListLeases", list_leases, false},
	{"ListBindings", list_bindings, false}, {"ListSessions", list_sessions, false}, {"Release", do_release, true},
	{"Pin", pinning_pin, false}, {"ListPins", pinning_list, false}, {"GetAddress", pinning_get_address, false},
	{"Ping", do_ping, false}, {"Reload", do_reload, true}, {0}};

const char mnd_description[] =
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
	"# (in place: and all that is in its cgroup; isolate: in the network namespace whose descriptor is passed, on an address of its own). A type of RFC 8653: session, fixed or graceful; new: an address that nobody else takes\n"
	"method Pin(address: ?string, anchor: ?string, pid: ?int, type: ?string, new: ?bool, in_place: ?bool, isolate: ?bool) -> (home_address: string, "
	"anchor: string, cgroup: string)\n"
	"method ListPins() -> (pins: []object)\n"
	"# An address for the caller to bind to; also of the type non-persistent, which is the care-of address and has no anchor\n"
	"method GetAddress(type: ?string, address: ?string, anchor: ?string, new: ?bool) -> (address: string, anchor: ?string)\n"
	"# Sends a packet of this many bytes; the event pong tells when it is back. id 0: a handshake was begun instead, ask again\n"
	"method Ping(anchor: string, size: int) -> (id: int, anchor: string, address: string)\n"
	"# Call with more; event is ready, attached, detached, home_address, location_update, anchor_restarted, anchor_silent,\n"
	"# anchor_heard, revoked, pinned, pin_moved, unpinned, pong or restored\n"
	"method Monitor() -> (event: string, data: object)\n"
	"# restart: settings that were changed and are read only at the start\n"
	"method Reload() -> (restart: []string)\n"
	"error Failed (message: string)\n"
	"error PermissionDenied (message: string)\n";
