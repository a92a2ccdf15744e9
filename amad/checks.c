/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checks.c - what "amactl doctor" looks at (pure: common/facts.c has read it) */
#include "checks.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "firewall.h"
#include "prefix6.h"

#define PACKETS 64

static const json_t *interface_of(const json_t *facts, const char *name)
{
	const json_t *i;
	size_t k;

	json_array_foreach(fact(facts, "interfaces"), k, i) if (!strcmp(fact_text(i, "name"), name)) return i;
	return NULL;
}

static bool is_access(const json_t *facts, const char *name)
{
	const json_t *a;
	size_t i;

	json_array_foreach(fact(facts, "access"), i, a) if (!strcmp(json_string_value(a), name)) return true;
	return false;
}

static void judge_pool(struct doctor *d, const json_t *facts)
{
	const json_t *covers = fact(facts, "identity.credential.prefixes"), *p, *c;
	struct prefix6 pool, cover;
	size_t i, k;

	json_array_foreach(fact(facts, "pool"), i, p)
	{
		bool covered = !covers || prefix6_parse(json_string_value(p), &pool) < 0;

		json_array_foreach(covers, k, c)
			covered |= prefix6_parse(json_string_value(c), &cover) == 0 && prefix6_covers(&cover, &pool);
		if (covered)
			continue;
		doctor_say(d, DOCTOR_FAIL,
			"the credential does not cover the pool %s: nodes would not believe this anchor (without "
			"'pool', the credential's prefixes are leased)",
			json_string_value(p));
		doctor_mend(d, "sed -i 's/^[[:space:]]*pool[[:space:]]*=/#&/' %s",
			doctor_word(fact_text(facts, "config.path")));
	}
	if (covers && json_array_size(covers) == 0)
		doctor_say(d, DOCTOR_FAIL, "the credential covers no prefix: this anchor can lease nothing");
}

static void judge_access(struct doctor *d, const json_t *facts)
{
	const json_t *a, *i;
	size_t k;

	json_array_foreach(fact(facts, "access"), k, a)
	{
		const char *name = json_string_value(a);

		i = interface_of(facts, name);
		if (!i) {
			doctor_say(d, DOCTOR_FAIL, "there is no interface %s, which 'access' in amad.conf names", name);
			continue;
		}
		if (fact_int(i, "disable_ipv6")) {
			doctor_say(d, DOCTOR_FAIL, "IPv6 is switched off on %s", name);
			doctor_mend(d, "sysctl -w net.ipv6.conf.%s.disable_ipv6=0", name);
		} else if (!fact_is(i, "up")) {
			doctor_say(d, DOCTOR_FAIL, "%s is down", name);
			doctor_mend(d, "ip link set %s up", doctor_word(name));
		} else if (json_array_size(fact(i, "addresses")) == 0) {
			doctor_say(d, DOCTOR_FAIL, "%s has no address that nodes could register at", name);
		}
	}
}

static void judge_forwarding(struct doctor *d, const json_t *facts)
{
	const json_t *i;
	size_t k;

	if (fact(facts, "forwarding") && !fact_int(facts, "forwarding")) {
		doctor_say(d, DOCTOR_FAIL, "this machine does not forward IPv6: nothing gets through to nodes");
		doctor_mend(d, "sysctl -w net.ipv6.conf.all.forwarding=1");
	}
	json_array_foreach(fact(facts, "interfaces"), k, i)
	{
		const char *name = fact_text(i, "name");

		if (is_access(facts, name) || !fact_is(i, "ethernet") || !fact_int(i, "forwarding") ||
			fact_int(i, "accept_ra") != 1 || fact_is(facts, "default_route"))
			continue;
		doctor_say(d, DOCTOR_FAIL,
			"there is no default route, and as forwarding is on the kernel ignores router advertisements "
			"on %s",
			name);
		doctor_mend(d, "sysctl -w net.ipv6.conf.%s.accept_ra=2", name);
	}
	if (!fact_is(facts, "default_route"))
		doctor_say(d, DOCTOR_WARN, "there is no default route: is this router connected?");
}

static void judge_mtu(struct doctor *d, const json_t *facts)
{
	const json_t *i;
	size_t k;

	json_array_foreach(fact(facts, "interfaces"), k, i) if (fact_is(i, "ethernet") && fact_is(i, "up"))
		doctor_mtu(d, i);
}

static void judge_firewall(struct doctor *d, const json_t *facts)
{
	uint16_t port = (uint16_t)fact_int(facts, "port.number");
	const char *device = fact_text(facts, "tunnel.name");
	struct firewall_packet packets[PACKETS] = {
		{.what = "location updates (UDP)", .hook = "input", .protocol = 17, .dport = port},
		{.what = "acknowledgements (UDP)", .hook = "output", .protocol = 17, .sport = port},
		{.what = "tunnelled packets (IPv6 in IPv6)", .hook = "input", .protocol = 41},
		{.what = "tunnelled packets (IPv6 in IPv6)", .hook = "output", .protocol = 41},
		{.what = "packets that come out of the tunnel", .hook = "forward", .iif = device},
		{.what = "packets that go into the tunnel", .hook = "forward", .oif = device}};
	size_t n = 6, k;
	const json_t *a;

	json_array_foreach(fact(facts, "access"), k, a) if (n + 2 <= PACKETS)
	{
		packets[n++] = (struct firewall_packet){
			.what = "packets of nodes", .hook = "forward", .iif = json_string_value(a)};
		packets[n++] = (struct firewall_packet){
			.what = "packets to nodes", .hook = "forward", .oif = json_string_value(a)};
	}
	doctor_firewall(d, facts, packets, n);
}

/* --- router
 * advertisements ------------------------------------------------------------------------------------------ */

/* A copy of radvd's configuration without comments. */
static char *without_comments(const char *text)
{
	char *copy = strdup(text), *to = copy;

	for (const char *from = copy; from && *from; from++) {
		if (*from == '#')
			from += strcspn(from, "\n");
		if (!*from)
			break;
		*to++ = *from;
	}
	if (copy)
		*to = '\0';
	return copy;
}

/* The block of an interface, "{ ... }", cut out of text; NULL = there is none. */
static char *interface_block(char *text, const char *name)
{
	char word[64];
	int used;

	for (char *p = text; (p = strstr(p, "interface")); p += strlen("interface")) {
		char *start;
		unsigned depth = 0;

		if (sscanf(p, "interface %63[^ \t\n{]%n", word, &used) != 1 || strcmp(word, name) != 0)
			continue;
		start = strchr(p + used, '{');
		for (char *q = start; q && *q; q++) {
			depth += *q == '{';
			if (*q == '}' && --depth == 0) {
				q[1] = '\0';
				return start;
			}
		}
	}
	return NULL;
}

/* "AdvHomeAgentFlag on", with any blanks between; *ret_off: it is there and off. */
static bool is_on(const char *block, const char *setting, bool *ret_off)
{
	*ret_off = false;
	for (const char *p = block; (p = strstr(p, setting)); p++) {
		const char *value = p + strlen(setting);

		if (!isspace((unsigned char)*value))
			continue;
		value += strspn(value, " \t\n");
		if (!strncmp(value, "on", 2))
			return true;
		*ret_off = true;
	}
	return false;
}

static void mend_radvd(
	struct doctor *d, const json_t *facts, const char *name, const char *setting, bool off, const char *insert)
{
	const char *path = fact_text(facts, "radvd_config");

	if (off)
		doctor_mend(d, "sed -i 's/%s[[:space:]]*off/%s on/' %s && kill -HUP %lld", setting, setting,
			doctor_word(path), fact_int(facts, "processes.radvd"));
	else
		doctor_mend(d, "sed -i 's|interface %s[[:space:]]*{|& %s|' %s && kill -HUP %lld", name, insert,
			doctor_word(path), fact_int(facts, "processes.radvd"));
}

static void judge_one_link(struct doctor *d, const json_t *facts, const char *name, const char *config)
{
	const char *address = json_string_value(json_array_get(fact(interface_of(facts, name), "addresses"), 0));
	char *text = without_comments(config), *block = text ? interface_block(text, name) : NULL, insert[160];
	bool off;

	if (!address)
		address = "ADDRESS";
	if (!block) {
		doctor_say(d, DOCTOR_FAIL, "radvd has nothing about %s in %s: nodes there do not hear of this anchor",
			name, fact_text(facts, "radvd_config"));
		doctor_mend(d,
			"printf 'interface %s {\\n\\tAdvSendAdvert on;\\n\\tAdvHomeAgentFlag on;\\n\\tprefix %s/64 { "
			"AdvRouterAddr on; };\\n};\\n' >>%s && kill -HUP %lld",
			name, address, doctor_word(fact_text(facts, "radvd_config")),
			fact_int(facts, "processes.radvd"));
		free(text);
		return;
	}
	if (!is_on(block, "AdvSendAdvert", &off)) {
		doctor_say(d, DOCTOR_FAIL, "radvd sends no router advertisements on %s (AdvSendAdvert)", name);
		mend_radvd(d, facts, name, "AdvSendAdvert", off, "AdvSendAdvert on;");
	}
	if (!is_on(block, "AdvHomeAgentFlag", &off)) {
		doctor_say(d, DOCTOR_FAIL,
			"router advertisements on %s do not carry the home-agent flag (AdvHomeAgentFlag): nodes take "
			"this for a network without an AMA",
			name);
		mend_radvd(d, facts, name, "AdvHomeAgentFlag", off, "AdvHomeAgentFlag on;");
	}
	if (!is_on(block, "AdvRouterAddr", &off)) {
		doctor_say(d, DOCTOR_FAIL,
			"router advertisements on %s do not carry this anchor's address (AdvRouterAddr with a prefix "
			"of the whole address)",
			name);
		(void)snprintf(insert, sizeof(insert),
			"prefix %s/64 { AdvOnLink off; AdvAutonomous off; AdvRouterAddr on; };", address);
		mend_radvd(d, facts, name, "AdvRouterAddr", off, insert);
	}
	free(text);
}

static void judge_advertisements(struct doctor *d, const json_t *facts)
{
	const char *path = fact_text(facts, "radvd_config"),
		   *config = json_string_value(json_object_get(fact(facts, "files"), path));
	const json_t *a;
	size_t k;

	if (!fact_int(facts, "processes.radvd")) {
		const char *other = fact_int(facts, "processes.odhcpd") ? "odhcpd"
			: fact_int(facts, "processes.dnsmasq")		? "dnsmasq"
									: NULL;

		if (other) {
			doctor_say(d, DOCTOR_SKIPPED,
				"radvd does not run; if %s sends the router advertisements, they must carry the "
				"home-agent flag and this anchor's address",
				other);
			return;
		}
		doctor_say(d, DOCTOR_FAIL, "radvd does not run: nodes do not hear of this anchor");
		if (!strcmp(fact_text(facts, "init"), "systemd"))
			doctor_mend(d, "systemctl start radvd");
		else
			doctor_mend(d, "radvd -C %s", doctor_word(path));
		return;
	}
	if (!config) {
		doctor_say(d, DOCTOR_SKIPPED, "radvd runs, but %s cannot be read", path);
		return;
	}
	json_array_foreach(fact(facts, "access"), k, a) judge_one_link(d, facts, json_string_value(a), config);
}

static void judge_draining(struct doctor *d, const json_t *facts)
{
	if (!fact_is(facts, "status.draining"))
		return;
	doctor_say(d, DOCTOR_WARN, "this anchor is being drained: it leases nothing more");
	doctor_mend(d, "amactl --socket %s drain off", doctor_word(fact_text(facts, "socket")));
}

static void judge_peers(struct doctor *d, const json_t *facts)
{
	const json_t *p;
	size_t i;

	json_array_foreach(fact(facts, "peers"), i, p) if (!strcmp(fact_text(p, "state"), "silent")) doctor_say(d,
		DOCTOR_WARN, "the AMA %s at %s does not answer: it is down, or what is on the way drops UDP port %lld",
		fact_text(p, "name"), fact_text(p, "address"), fact_int(facts, "port.number"));
	json_array_foreach(fact(facts, "peers"), i, p) if (*fact_text(p, "last_error")) doctor_say(d, DOCTOR_WARN,
		"the AMA %s at %s: %s", *fact_text(p, "name") ? fact_text(p, "name") : "(unknown)",
		fact_text(p, "address"), fact_text(p, "last_error"));
}

const struct doctor_check amad_checks[] = {
	{"root", "run by root: everything can be looked at", doctor_root},
	{"config", "the configuration has no fault", doctor_config},
	{"identity", "this anchor has its key, and nobody else can read it", doctor_identity},
	{"credential", "the domain's credential is valid by this machine's clock", doctor_credential},
	{"pool", "the credential covers what is leased", judge_pool},
	{"trust", "the list of trusted domains has no fault", doctor_trust},
	{"kernel", "the kernel does what is needed", doctor_kernel},
	{"state", "there is a place to keep state", doctor_state},
	{"port", "no other program has the UDP port", doctor_port},
	{"tunnel", "no other program has the tunnel device", doctor_tunnel},
	{"daemon", "amad runs and answers", doctor_daemon},
	{"privileges", "amad has the capabilities that it needs", doctor_privileges},
	{"access", "access interfaces are there, up, and have an address", judge_access},
	{"forwarding", "this machine forwards, and has a default route", judge_forwarding},
	{"mtu", "interfaces take packets large enough", judge_mtu},
	{"firewall", "the packet filter lets pass what is needed", judge_firewall},
	{"rpfilter", "no strict reverse path check", doctor_rpfilter},
	{"managers", "network managers leave ours alone", doctor_managers},
	{"restored", "nothing of ours was deleted or refused", doctor_restored},
	{"radvd", "router advertisements name this anchor", judge_advertisements},
	{"draining", "it is not being drained", judge_draining},
	{"peers", "AMAs that it talked to answered", judge_peers},
	{0},
};
