/* SPDX-License-Identifier: GPL-2.0-or-later */
/* methods.c - what amactl asks: the methods of org.dmm.amad and the JSON of their answers (amactl(1), "JSON") */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "anchor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* --- control --------------------------------------------------------------------------------------------------- */

static double left_s(const struct amad *a, uint64_t until_us)
{
	uint64_t now_us = loop_now_us(a->daemon.loop);

	return until_us > now_us ? (double)(until_us - now_us) / SEC : 0;
}

struct list_ctx {
	struct amad *a;
	json_t *list;
};

static void lease_json(void *ctx, struct lease *l)
{
	struct list_ctx *c = ctx;
	char name[IF_NAMESIZE];

	(void)json_array_append_new(c->list,
		json_pack("{s:s, s:s?, s:s, s:s, s:s?, s:s?, s:s?, s:f}", "mn", l->node, "domain",
			peers_domain_name(c->a, l->domain), "hnp", prefix6_text(&l->prefix), "state",
			l->ifindex				? "native"
				: lm_find(c->a->lm, &l->prefix) ? "bound"
								: "away",
			"interface", l->ifindex ? amad_lease_ifname(c->a, l, name) : NULL, "link_local",
			l->ifindex ? in6_text(&l->link_local) : NULL, "link_layer",
			l->ifindex ? link_layer_text(l->link_layer) : NULL, "remaining_s",
			left_s(c->a, lease_until_us(l))));
}

static void binding_json(void *ctx, struct binding *b)
{
	struct list_ctx *c = ctx;
	const struct lease *l = anchoring_find(c->a->anchoring, &b->prefix);

	(void)json_array_append_new(c->list,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:f, s:i}", "mn", l ? l->node : "?", "hnp",
			prefix6_text(&b->prefix), "care_of", in6_text(mr_care_of(b->locator)), "self",
			in6_text(mr_self(b->locator)), "type", b->proxied ? "proxied" : "direct", "sequence",
			l ? l->sequence : 0, "remaining_s", left_s(c->a, binding_until_us(b)), "since_s",
			(double)loop_now_us(c->a->daemon.loop) / SEC - b->since_s, "mtu",
			b->mtu ? b->mtu : (int)c->a->config.tunnel_mtu));
}

static int list_leases(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct list_ctx c = {ctx, json_array()};

	(void)parameters;
	(void)reterr;
	anchoring_each(c.a->anchoring, lease_json, &c);
	*ret = json_pack("{s:o}", "leases", c.list);
	return *ret ? 0 : -ENOMEM;
}

static int list_bindings(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct list_ctx c = {ctx, json_array()};

	(void)parameters;
	(void)reterr;
	lm_each(c.a->lm, binding_json, &c);
	*ret = json_pack("{s:o}", "bindings", c.list);
	return *ret ? 0 : -ENOMEM;
}

static void visit_json(void *ctx, const struct serving_visit *v)
{
	struct list_ctx *c = ctx;
	char name[IF_NAMESIZE] = "";
	bool through = !IN6_IS_ADDR_UNSPECIFIED(&v->through);

	if (v->ifindex)
		(void)if_indextoname(v->ifindex, name);
	(void)json_array_append_new(c->list,
		json_pack("{s:s, s:s?, s:s, s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:f, s:f}", "mn", v->node,
			"domain", peers_domain_name(c->a, v->domain), "hnp", prefix6_text(&v->prefix), "anchor",
			in6_text(&v->anchor), "anchor_name", v->anchor_name, "self", in6_text(&v->self), "interface",
			v->ifindex ? name : NULL, "link_local", v->ifindex ? in6_text(&v->link_local) : NULL,
			"link_layer", v->ifindex ? link_layer_text(v->link_layer) : NULL, "through",
			through ? in6_text(&v->through) : NULL, "forwarded_to",
			v->ifindex || through ? NULL : in6_text(&v->care_of), "remaining_s", left_s(c->a, v->until_us),
			"since_s", (double)(loop_now_us(c->a->daemon.loop) - v->since_us) / SEC));
}

static int list_visits(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct list_ctx c = {ctx, json_array()};

	(void)parameters;
	(void)reterr;
	serving_each(c.a->serving, visit_json, &c);
	*ret = json_pack("{s:o}", "visits", c.list);
	return *ret ? 0 : -ENOMEM;
}

static int list_peers(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)parameters;
	(void)reterr;
	*ret = json_pack("{s:o}", "peers", peers_json(ctx));
	return *ret ? 0 : -ENOMEM;
}

/* --- counters and metrics -------------------------------------------------------------------------------------- */

#define COUNTER(name, label, key, help)                                                                                \
	{                                                                                                              \
		name, METRIC_COUNTER, label, key, help                                                                 \
	}
#define GAUGE(name, label, help)                                                                                       \
	{                                                                                                              \
		name, METRIC_GAUGE, label, NULL, help                                                                  \
	}

static const struct metric acknowledgements = COUNTER("amad_acknowledgements_total", "status", "ba-status-",
	"Binding acknowledgements by their status (RFC 6275 6.1.8); below 128 is yes");
static const struct metric heartbeats = COUNTER(
	"amad_heartbeats_total", NULL, "heartbeats", "Heartbeats that nodes asked for");
static const struct metric unexpected = COUNTER("amad_messages_unexpected_total", NULL, "unexpected-messages",
	"Messages that make no sense from who sent them");
static const struct metric proxied = COUNTER(
	"amad_proxied_updates_total", NULL, "proxied-updates", "Updates that other AMAs passed on to us");
static const struct metric proxied_bad = COUNTER("amad_proxied_updates_refused_total", "reason", "proxied-",
	"Of those, the ones without anything authentic inside");
static const struct metric relocations = COUNTER("amad_relocations_total", NULL, "relocations",
	"AMAs that moved to another address, with all that is bound there");
static const struct metric proxy_requests = COUNTER(
	"amad_proxy_requests_total", NULL, "proxy-requests", "Updates that nodes asked us to pass on");
static const struct metric proxy_results = COUNTER(
	"amad_proxy_results_total", "result", "proxy-", "What became of requests to pass on, and of answers to them");
static const struct metric refusals = COUNTER("amad_trust_refusals_total", "reason", "trust-",
	"What was refused to nodes and AMAs of a domain, by what trusted-domains says of it");
static const struct metric store_failures = COUNTER(
	"amad_store_failures_total", NULL, "store-failures", "Writes that the store refused");
static const struct metric leases = GAUGE("amad_leases", NULL, "Leases");
static const struct metric bindings = GAUGE("amad_bindings", NULL, "Bindings in the cache");
static const struct metric locators = GAUGE("amad_locators", NULL, "Addresses that tunnels lead to");
static const struct metric nodes = GAUGE("amad_nodes", NULL, "Nodes and AMAs that the channel knows");
static const struct metric visits = GAUGE("amad_visits", NULL, "Prefixes of other anchors that are served here");
static const struct metric peers = GAUGE("amad_peers", "state", "AMAs that updates were passed on to");
static const struct metric draining = GAUGE("amad_draining", NULL, "1 while nothing new is leased");
static const struct metric restarts = COUNTER("amad_restarts_total", NULL, NULL,
	"Restarts with which bindings may have been lost: the restart counter of RFC 5847");

static void count_peer(void *ctx, const struct serving_peer *p)
{
	struct channel_peer_info info = {0};
	uint64_t *n = ctx;

	if (p->peer)
		channel_peer_info(p->peer, &info);
	n[!p->peer ? 0 : info.has_session ? 2 : 1]++;
}

void methods_collect(void *ctx, struct metrics *w)
{
	struct amad *a = ctx;
	const struct serving_counters *sv = serving_counters(a->serving);
	const struct counters_parts parts = {.version = PACKAGE_VERSION,
		.channel = a->channel,
		.transport = a->transport,
		.set = a->set,
		.nl = a->nl,
		.srccheck = a->srccheck,
		.loop = a->daemon.loop,
		.mh = a->count_mh,
		.restored_device = a->count_device};
	uint64_t by_state[3] = {0};

	counters_put(w, &parts);
	for (int i = 0; i < 256; i++) {
		char status[8];

		(void)snprintf(status, sizeof(status), "%d", i);
		if (a->count_status[i] || i == 0)
			metrics_put(w, &acknowledgements, status, a->count_status[i]);
	}
	metrics_put(w, &heartbeats, NULL, a->count_heartbeat);
	metrics_put(w, &unexpected, NULL, a->count_unexpected);
	metrics_put(w, &proxied, NULL, a->count_proxied);
	metrics_put(w, &proxied_bad, "not-sealed", a->count_unsealed);
	metrics_put(w, &proxied_bad, "seal-bad", a->count_sealed_bad);
	metrics_put(w, &proxied_bad, "no-room", a->count_relays_full);
	metrics_put(w, &relocations, NULL, a->count_relocations);
	metrics_put(w, &proxy_requests, NULL, sv->requests);
	metrics_put(w, &proxy_results, "accepted", sv->accepted);
	metrics_put(w, &proxy_results, "refused", sv->refused);
	metrics_put(w, &proxy_results, "limited", sv->limited);
	metrics_put(w, &proxy_results, "not-covered", sv->not_covered);
	metrics_put(w, &proxy_results, "unmatched", sv->unmatched);
	metrics_put(w, &proxy_results, "old", sv->old);
	for (int i = 0; i < REFUSALS; i++)
		metrics_put(w, &refusals, peers_refusal_name((enum refusal)i), a->count_refusal[i]);
	metrics_put(w, &store_failures, NULL, a->count_store);
	metrics_put(w, &leases, NULL, anchoring_count(a->anchoring));
	metrics_put(w, &bindings, NULL, lm_count(a->lm));
	metrics_put(w, &locators, NULL, mr_count(a->mr));
	metrics_put(w, &nodes, NULL, channel_counters(a->channel)->peers);
	metrics_put(w, &visits, NULL, serving_count(a->serving));
	serving_each_peer(a->serving, count_peer, by_state);
	metrics_put(w, &peers, "unknown", by_state[0]);
	metrics_put(w, &peers, "known", by_state[1]);
	metrics_put(w, &peers, "connected", by_state[2]);
	metrics_put(w, &draining, NULL, a->draining);
	metrics_put(w, &restarts, NULL, a->meta.restart_counter);
}

static int get_status(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct amad *a = ctx;
	json_t *pools = json_array(), *errors = json_array();
	const struct prefix6 *pool;
	unsigned n = anchoring_pools(a->anchoring, &pool);

	(void)parameters;
	(void)reterr;
	for (unsigned i = 0; i < n; i++)
		(void)json_array_append_new(pools, json_string(prefix6_text(&pool[i])));
	for (unsigned i = a->n_errors > ERRORS ? a->n_errors - ERRORS : 0; i < a->n_errors; i++)
		(void)json_array_append_new(errors, json_string(a->error[i % ERRORS]));
	*ret = json_pack("{s:s, s:f, s:s, s:s, s:s, s:o, s:i, s:i, s:i, s:i, s:i, s:b, s:o, s:o, s:o}", "version",
		PACKAGE_VERSION, "uptime_s", (double)(loop_now_us(a->daemon.loop) - a->started_us) / SEC, "node",
		a->identity.name, "domain", a->identity.credential.domain, "device", a->config.tunnel_device, "pools",
		pools, "leases", (int)anchoring_count(a->anchoring), "bindings", (int)lm_count(a->lm), "locators",
		(int)mr_count(a->mr), "nodes", (int)channel_counters(a->channel)->peers, "restart_counter",
		(int)a->meta.restart_counter, "draining", a->draining, "domains", peers_domains_json(a), "counters",
		metrics_json(methods_collect, a), "errors", errors);
	return *ret ? 0 : -ENOMEM;
}

struct revoke_ctx {
	struct amad *a;
	const char *node;
	struct prefix6 prefix;
	bool by_prefix, all;
	struct prefix6 *found;
	size_t n, room;
};

static void collect_revoked(void *ctx, struct lease *l)
{
	struct revoke_ctx *c = ctx;

	if (!c->all && (c->by_prefix ? !prefix6_covers(&c->prefix, &l->prefix) : strcmp(c->node, l->node) != 0))
		return;
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : 64;
		struct prefix6 *more = reallocarray(c->found, room, sizeof(*more));

		if (!more)
			return;
		c->found = more;
		c->room = room;
	}
	c->found[c->n++] = l->prefix;
}

static int do_revoke(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct revoke_ctx c = {.a = ctx};
	const char *what = json_string_value(json_object_get(parameters, "what"));

	c.all = json_is_true(json_object_get(parameters, "all"));
	if (!what && !c.all) {
		(void)snprintf(reterr, CONTROL_ERR, "what is to be revoked: a prefix, a node's name, or all");
		return -EINVAL;
	}
	c.node = what;
	c.by_prefix = what && prefix6_parse(what, &c.prefix) == 0;
	anchoring_each(c.a->anchoring, collect_revoked, &c);
	for (size_t i = 0; i < c.n; i++) {
		struct lease *l = anchoring_find(c.a->anchoring, &c.found[i]);

		if (l)
			updates_revoke(c.a, l);
	}
	free(c.found);
	if (c.n == 0 && !c.all) {
		(void)snprintf(reterr, CONTROL_ERR, "no lease of %.200s: 'amactl leases' lists them", what);
		return -ENOENT;
	}
	*ret = json_pack("{s:i}", "revoked", (int)c.n);
	return *ret ? 0 : -ENOMEM;
}

/* Ask the node to update now (RFC 6275 6.1.2): it hears of the drain in the answer. */
static void ask_refresh(void *ctx, struct lease *l)
{
	struct amad *a = ctx;
	struct channel_peer *peer = channel_find_peer(a->channel, l->key);
	uint8_t buf[64];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m;

	if (!peer || !l->ifindex || l->revoked)
		return;
	m = mh_begin_brr(&w);
	mh_put_prefix(&m, MHOPT_HNP, &l->prefix);
	mh_end(&m);
	if (wcur_ok(&w))
		(void)channel_send(a->channel, peer, buf, wcur_len(&w));
}

static int do_drain(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct amad *a = ctx;
	const json_t *on = json_object_get(parameters, "on");

	(void)reterr;
	if (a->draining == !json_is_false(on)) {
		*ret = json_pack("{s:b, s:i}", "draining", a->draining, "leases", (int)anchoring_count(a->anchoring));
		return *ret ? 0 : -ENOMEM;
	}
	a->draining = !json_is_false(on);
	log_notice("anchoring",
		a->draining ? "draining: no new leases; %zu are left" : "no longer draining; %zu leases",
		anchoring_count(a->anchoring));
	control_emit(a->daemon.control, "draining",
		json_pack("{s:b, s:i}", "on", a->draining, "leases", (int)anchoring_count(a->anchoring)));
	anchoring_each(a->anchoring, ask_refresh, a);
	*ret = json_pack("{s:b, s:i}", "draining", a->draining, "leases", (int)anchoring_count(a->anchoring));
	return *ret ? 0 : -ENOMEM;
}

static int do_relocate(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct amad *a = ctx;
	const char *from_text = json_string_value(json_object_get(parameters, "from")),
		   *to_text = json_string_value(json_object_get(parameters, "to"));
	struct in6_addr from, to;
	unsigned n = 0;
	int anchors;

	if (!from_text || !to_text || inet_pton(AF_INET6, from_text, &from) != 1 ||
		inet_pton(AF_INET6, to_text, &to) != 1 || !in6_is_global(&to)) {
		(void)snprintf(reterr, CONTROL_ERR,
			"from and to are addresses of ours, the one that goes and the one that comes");
		return -EINVAL;
	}
	anchors = serving_relocate(a->serving, &from, &to, loop_now_us(a->daemon.loop), &n);
	if (anchors == -EBUSY) {
		(void)snprintf(reterr, CONTROL_ERR,
			"nodes behind other AMAs are reached from here, at the old address: a regional AMA cannot move");
		return anchors;
	}
	*ret = json_pack("{s:i, s:i}", "visits", (int)n, "anchors", anchors);
	return *ret ? 0 : -ENOMEM;
}

int methods_reload(void *ctx, char *reterr, size_t size)
{
	struct amad *a = ctx;
	struct amad_config *config = malloc(sizeof(*config));
	struct daemon_faults faults = {reterr, size};
	struct domain trusted[TRUST_MAX];
	struct trust_policy policy[TRUST_MAX];
	char err[CREDENTIAL_ERR];
	int n;

	reterr[0] = '\0';
	if (!config)
		return -ENOMEM;
	if (amad_config_read(a->config_path, a->config_required, config, daemon_collect_fault, &faults) > 0) {
		free(config);
		log_error("conf", "configuration refused, keeping the old one");
		return -EINVAL;
	}
	n = trust_load(config->trusted_domains, &a->identity, trusted, policy, err);
	if (n >= 0 && peers_set_trusted(a, trusted, policy, (unsigned)n, err) < 0)
		n = -ENOMEM;
	if (n < 0) {
		log_error("conf", "%s; keeping the old configuration", err);
		(void)snprintf(reterr, size, "%s", err);
		free(config);
		return n;
	}
	daemon_keep_settings("amad", amad_sections, amad_settings, &a->config, config, reterr, size);
	a->config = *config;
	free(config);
	serving_set_through(a->serving, &a->config.through);
	a->resync = true; /* access interfaces */
	log_info("conf", "configuration read again");
	return 0;
}

static int do_reload(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	int r = methods_reload(ctx, reterr, CONTROL_ERR);

	(void)parameters;
	return r < 0 ? r : daemon_reload_reply(reterr, ret);
}

const struct control_method amad_methods[] = {{"GetStatus", get_status, false}, {"ListLeases", list_leases, false},
	{"ListBindings", list_bindings, false}, {"ListVisits", list_visits, false}, {"ListPeers", list_peers, false},
	{"Reload", do_reload, true}, {"Revoke", do_revoke, true}, {"Drain", do_drain, true},
	{"Relocate", do_relocate, true}, {0}};

const char amad_description[] =
	"# The access mobility anchor\n"
	"interface org.dmm.amad\n"
	"method GetStatus() -> (version: string, uptime_s: float, node: string, domain: "
	"string, device: string, pools: []string, "
	"leases: int, bindings: int, locators: int, nodes: int, restart_counter: int, draining: bool, "
	"domains: []object, "
	"counters: [string]int, errors: []string)\n"
	"method ListLeases() -> (leases: []object)\n"
	"method ListBindings() -> (bindings: []object)\n"
	"method ListVisits() -> (visits: []object)\n"
	"method ListPeers() -> (peers: []object)\n"
	"# Call with more; event is ready, lease_granted, attached, lease_renewed, "
	"lease_released, lease_expired, lease_revoked, draining, binding_created, binding_moved,\n"
	"# binding_refreshed, binding_deleted, binding_expired, visit_began, visit_refreshed, visit_moved,\n"
	"# visit_forwarded, visit_ended, relocated or restored\n"
	"method Monitor() -> (event: string, data: object)\n"
	"# restart: settings that were changed and are read only at the start\n"
	"method Reload() -> (restart: []string)\n"
	"# what: a prefix (all leases inside it) or the name of a node\n"
	"method Revoke(what: ?string, all: ?bool) -> (revoked: int)\n"
	"method Drain(on: ?bool) -> (draining: bool, leases: int)\n"
	"# Addresses of ours: the one that goes and the one that comes\n"
	"method Relocate(from: string, to: string) -> (visits: int, anchors: int)\n"
	"error Failed (message: string)\n"
	"error PermissionDenied (message: string)\n";
