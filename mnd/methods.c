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
		const struct anchor *a = ama ? mnd_anchor_by_address(m, ama) : NULL;

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
		mnd_touch(m);
		return 0;
	}
	(void)snprintf(reterr, CONTROL_ERR, "%.100s is not a home address of this node: 'mnctl leases' lists them", text);
	return -ENOENT;
}

static int do_reload(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)parameters;
	(void)ret;
	return mnd_reload(ctx, reterr, CONTROL_ERR);
}

const struct control_method mnd_methods[] = {{"GetStatus", get_status, false}, {"ListLeases", list_leases, false},
	{"ListBindings", list_bindings, false}, {"ListSessions", list_sessions, false}, {"Release", do_release, true},
	{"Pin", pinning_pin, false}, {"ListPins", pinning_list, false},
	{"Reload", do_reload, true}, {0}};

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
	"method Pin(address: ?string, anchor: ?string, pid: ?int) -> (home_address: string, anchor: string, cgroup: string)\n"
	"method ListPins() -> (pins: []object)\n"
	"# Call with more; event is ready, attached, detached, home_address, location_update, anchor_restarted, anchor_silent,\n"
	"# anchor_heard, revoked, pinned, unpinned or restored\n"
	"method Monitor() -> (event: string, data: object)\n"
	"method Reload() -> ()\n"
	"error Failed (message: string)\n"
	"error PermissionDenied (message: string)\n";
