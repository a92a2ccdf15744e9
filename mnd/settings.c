/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.c - settings of mnd */
#include "settings.h"

#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "metrics.h"

#define AT(field)  offsetof(struct mnd_config, field)
#define IF(field)  offsetof(struct mnd_interface, field)
#define PIN(field) offsetof(struct mnd_pin, field)

const struct conf_section mnd_sections[] = {
	{.name = "mnd"},
	{.name = "interface",
		.argument = true,
		.offset = AT(interface),
		.size = sizeof(struct mnd_interface),
		.count_offset = AT(n_interface),
		.max = MND_INTERFACES},
	{.name = "pin",
		.argument = true,
		.offset = AT(pin),
		.size = sizeof(struct mnd_pin),
		.count_offset = AT(n_pin),
		.max = MND_PINS},
	{0},
};

const struct conf_setting mnd_settings[] = {
	{"mnd", "identity", CONF_STRING, AT(identity), SYSCONFDIR "/dmm/mnd.identity", 0, 0,
		"the node's key and credential", true},
	{"mnd", "trusted-domains", CONF_STRING, AT(trusted_domains), SYSCONFDIR "/dmm/trusted-domains", 0, 0,
		"domains whose anchors are believed, one token a line", false},
	{"mnd", "interfaces", CONF_WORDS, AT(interfaces), "*", 0, 0, "interfaces to use, as shell patterns", false},
	{"mnd", "grace", CONF_TIME, AT(grace_us), "10s", 0, 86400, "how long an unused earlier home address is kept",
		false},
	{"mnd", "lease", CONF_TIME, AT(lease_us), "24h", 10, 31536000, "lease to ask for", false},
	{"mnd", "binding-lifetime", CONF_TIME, AT(binding_us), "10m", 4, 262140, "lifetime of a binding to ask for",
		false},
	{"mnd", "heartbeat", CONF_TIME, AT(heartbeat_us), "60s", 0, 86400,
		"how often an anchor with a binding is asked whether it lives, 0 = never", false},
	{"mnd", "updates", CONF_CHOICE, AT(updates), "prefer-direct prefer-proxy direct-only", 0,
		0, /* as enum mnd_proxy */
		"straight to the anchor, or through the AMA that the node is with", false},
	{"mnd", "tunnel-device", CONF_STRING, AT(tunnel_device), "mnd0", 0, 0, "name of the tunnel device", true},
	{"mnd", "tunnel-mtu", CONF_UINT, AT(tunnel_mtu), "1460", 1280, 65000, "its MTU in bytes", true},
	{"mnd", "default-route", CONF_BOOL, AT(default_route), "yes", 0, 0,
		"install a default route for the attachment in use", false},
	{"mnd", "port", CONF_UINT, AT(port), "7872", 1, 65535, "UDP port of the secure channel", true},
	{"mnd", "state", CONF_STRING, AT(state), LOCALSTATEDIR "/lib/dmm/mnd/state.json", 0, 0, "kept over a restart",
		true},
	{"mnd", "control-socket", CONF_STRING, AT(control_socket), RUNSTATEDIR "/dmm/mnd.sock", 0, 0,
		"where mnctl asks", true},
	{"mnd", "metrics", CONF_STRING, AT(metrics), "", 0, 0, "serve Prometheus metrics there: a path, or [::1]:PORT",
		true},
	{"mnd", "key-log", CONF_STRING, AT(key_log), "", 0, 0,
		"for debugging: write the keys of the secure channel to this file; then it protects nothing", true},
	{"mnd", "user", CONF_STRING, AT(user), "", 0, 0, "run as this user with only the capabilities needed", true},
	{"mnd", "seccomp", CONF_CHOICE, AT(seccomp), "yes no trap", 0, 0, /* as enum priv_seccomp */
		"allow only the system calls needed; trap names the first other one and ends", true},
	{"mnd", "pins", CONF_BOOL, AT(pins), "yes", 0, 0, "let users pin programs to a home address (hoa-exec)", false},
	{"mnd", "flush-on-exit", CONF_BOOL, AT(flush_on_exit), "no", 0, 0, "release everything when stopped", false},
	{"interface", "priority", CONF_UINT, IF(priority), NULL, 1, 1000,
		"the usable interface with the greatest is used", false},
	{"interface", "ignore", CONF_BOOL, IF(ignore), "no", 0, 0, "do not use this interface", false},
	{"pin", "unit", CONF_STRING, PIN(unit), "", 0, 0,
		"units of systemd that are pinned whenever they run, as a shell pattern", false},
	{"pin", "cgroup", CONF_STRING, PIN(cgroup), "", 0, 0,
		"or cgroups, as a shell pattern of the path below /sys/fs/cgroup", false},
	{"pin", "exe", CONF_STRING, PIN(exe), "", 0, 0, "or a program, by the path of its file", false},
	{"pin", "type", CONF_CHOICE, PIN(type), "session fixed graceful", 0, 0, "kind of address (hoa-exec --type)",
		false}, /* as enum pin_type */
	{"pin", "anchor", CONF_STRING, PIN(anchor), "", 0, 0, "on the home address of this anchor", false},
	{"pin", "address", CONF_ADDRESS, PIN(address), NULL, 0, 0, "on this home address", false},
	{0},
};

unsigned mnd_config_read(const char *path, bool required, struct mnd_config *ret, conf_fault_cb *fault, void *ctx)
{
	char text[2 * CONF_TEXT];
	union metrics_address at;
	unsigned faults;

	memset(ret, 0, sizeof(*ret));
	faults = conf_read(path, required, mnd_sections, mnd_settings, ret, fault, ctx);
	if (strlen(ret->tunnel_device) == 0 || strlen(ret->tunnel_device) >= IF_NAMESIZE) {
		(void)snprintf(text, sizeof(text), "%s: tunnel-device '%s' is not a device name of 1 to %d bytes", path,
			ret->tunnel_device, IF_NAMESIZE - 1);
		fault(ctx, text);
		faults++;
	}
	for (unsigned i = 0; i < ret->n_pin; i++) {
		const struct mnd_pin *p = &ret->pin[i];
		const char *why = !!p->unit[0] + !!p->cgroup[0] + !!p->exe[0] != 1
			? "has to say one of unit, cgroup and exe"
			: p->cgroup[0] && p->cgroup[0] != '/' ? "has a cgroup that does not begin with '/'"
			: p->exe[0] && p->exe[0] != '/'	      ? "has an exe that does not begin with '/'"
			: p->anchor[0] && !IN6_IS_ADDR_UNSPECIFIED(&p->address)
			? "can say either anchor or address, not both"
			: p->type == 2 && (p->anchor[0] || !IN6_IS_ADDR_UNSPECIFIED(&p->address))
			? "is graceful, and so names no anchor and no address"
			: NULL;

		if (!why)
			continue;
		(void)snprintf(text, sizeof(text), "%.200s: [pin %.60s] %s", path, p->name, why);
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
	return faults;
}
