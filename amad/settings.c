/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.c - settings of amad */
#include "settings.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "metrics.h"

#define AT(field) offsetof(struct amad_config, field)

const struct conf_section amad_sections[] = {{.name = "ama"}, {0}};

const struct conf_setting amad_settings[] = {
	{"ama", "access", CONF_WORDS, AT(access), NULL, 0, 0, "interfaces on which nodes may attach", false},
	{"ama", "pool", CONF_PREFIXES, AT(pool), NULL, 0, 0,
		"prefixes to lease /64s from; unset = those of the credential", true},
	{"ama", "identity", CONF_STRING, AT(identity), SYSCONFDIR "/dmm/amad.identity", 0, 0,
		"the anchor's key and credential", true},
	{"ama", "trusted-domains", CONF_STRING, AT(trusted_domains), SYSCONFDIR "/dmm/trusted-domains", 0, 0,
		"domains that are trusted, one a line, and what theirs may do here", false},
	{"ama", "lease", CONF_TIME, AT(lease_us), "24h", 2, 31536000, "longest lease", false},
	{"ama", "binding-lifetime", CONF_TIME, AT(binding_us), "1h", 4, 262140, "longest binding", false},
	{"ama", "quarantine", CONF_TIME, AT(quarantine_us), "1h", 0, 31536000,
		"how long a prefix rests before another node gets it; never longer than the lease", false},
	{"ama", "leases-a-node", CONF_UINT, AT(leases_a_node), "8", 1, 1024, "prefixes one node may hold", false},
	{"ama", "max-nodes", CONF_UINT, AT(max_nodes), "50000", 1, 10000000, "nodes and bindings served at once", true},
	{"ama", "proxy", CONF_BOOL, AT(proxy), "yes", 0, 0,
		"pass the updates of nodes on our links on to their anchors, and be their locator", false},
	{"ama", "through", CONF_ADDRESS, AT(through), NULL, 0, 0,
		"address of a regional AMA: updates of nodes on our links go through it, and moves between its AMAs stay below it",
		false},
	{"ama", "accept-proxies", CONF_BOOL, AT(accept_proxies), "yes", 0, 0,
		"take updates that other AMAs of trusted domains pass on", false},
	{"ama", "max-visits", CONF_UINT, AT(max_visits), "65536", 1, 65536, "prefixes of other anchors served at once",
		true},
	{"ama", "tunnel-device", CONF_STRING, AT(tunnel_device), "amad0", 0, 0, "name of the tunnel device", true},
	{"ama", "tunnel-mtu", CONF_UINT, AT(tunnel_mtu), "1460", 1280, 65000, "its MTU in bytes", true},
	{"ama", "source-check", CONF_BOOL, AT(source_check), "yes", 0, 0,
		"drop tunnelled packets whose outer source is not the binding's locator", true},
	{"ama", "port", CONF_UINT, AT(port), "7872", 1, 65535, "UDP port of the secure channel", true},
	{"ama", "state-dir", CONF_STRING, AT(state_dir), LOCALSTATEDIR "/lib/dmm/amad", 0, 0,
		"the store of leases and bindings", true},
	{"ama", "control-socket", CONF_STRING, AT(control_socket), RUNSTATEDIR "/dmm/amad.sock", 0, 0,
		"where amactl asks", true},
	{"ama", "metrics", CONF_STRING, AT(metrics), "", 0, 0, "serve Prometheus metrics there: a path, or [::1]:PORT",
		true},
	{"ama", "key-log", CONF_STRING, AT(key_log), "", 0, 0,
		"for debugging: write the keys of the secure channel to this file; then it protects nothing", true},
	{"ama", "user", CONF_STRING, AT(user), "", 0, 0, "run as this user with only the capabilities needed", true},
	{"ama", "seccomp", CONF_CHOICE, AT(seccomp), "yes no trap", 0, 0, /* as enum priv_seccomp */
		"allow only the system calls needed; trap names the first other one and ends", true},
	{"ama", "flush-on-exit", CONF_BOOL, AT(flush_on_exit), "no", 0, 0,
		"take everything out of the kernel when stopped; without it forwarding goes on", false},
	{0},
};

unsigned amad_config_read(const char *path, bool required, struct amad_config *ret, conf_fault_cb *fault, void *ctx)
{
	char text[2 * CONF_TEXT + 128];
	union metrics_address at;
	unsigned faults;

	memset(ret, 0, sizeof(*ret));
	faults = conf_read(path, required, amad_sections, amad_settings, ret, fault, ctx);
	if (strlen(ret->tunnel_device) == 0 || strlen(ret->tunnel_device) >= IF_NAMESIZE) {
		(void)snprintf(text, sizeof(text), "%s: tunnel-device '%s' is not a device name of 1 to %d bytes", path,
			ret->tunnel_device, IF_NAMESIZE - 1);
		fault(ctx, text);
		faults++;
	}
	if (ret->metrics[0] && !metrics_address(ret->metrics, &at)) {
		(void)snprintf(text, sizeof(text),
			"%s: metrics '%s' is neither the path of a socket nor a port of this machine, as [::1]:9872",
			path, ret->metrics);
		fault(ctx, text);
		faults++;
	}
	if (ret->access.n == 0) {
		(void)snprintf(text, sizeof(text),
			"%s: access is not set: name the interfaces on which nodes attach, as access = lan0", path);
		fault(ctx, text);
		faults++;
	}
	for (unsigned i = 0; i < ret->pool.n; i++) {
		if (ret->pool.prefix[i].len >= 16 && ret->pool.prefix[i].len <= 64)
			continue;
		(void)snprintf(text, sizeof(text), "%s: pool %s is not between /16 and /64: each node gets a /64 of it",
			path, prefix6_text(&ret->pool.prefix[i]));
		fault(ctx, text);
		faults++;
	}
	if (ret->quarantine_us > ret->lease_us)
		ret->quarantine_us = ret->lease_us;
	return faults;
}
