/* SPDX-License-Identifier: GPL-2.0-or-later */
/* checks.c - what "mnctl doctor" looks at (pure: common/facts.c has read it) */
#include "checks.h"

#include <string.h>

#include "firewall.h"

/* Does mnd use this interface? As far as one can tell from outside: it takes Ethernet-like ones. */
static bool is_used(const json_t *facts, const json_t *interface)
{
	const json_t *attachments = fact(facts, "status.attachments"), *at;
	size_t i;

	if (!attachments)
		return fact_is(interface, "ethernet");
	json_array_foreach(
		attachments, i, at) if (!strcmp(fact_text(at, "interface"), fact_text(interface, "name"))) return true;
	return false;
}

static void judge_interfaces(struct doctor *d, const json_t *facts)
{
	const json_t *i;
	size_t k;
	unsigned used = 0;

	json_array_foreach(fact(facts, "interfaces"), k, i)
	{
		const char *name = fact_text(i, "name");
		bool has_address = json_array_size(fact(i, "addresses")) > 0;

		if (!is_used(facts, i))
			continue;
		used++;
		if (fact_int(i, "disable_ipv6")) {
			doctor_say(d, DOCTOR_FAIL, "IPv6 is switched off on %s", name);
			doctor_mend(d, "sysctl -w net.ipv6.conf.%s.disable_ipv6=0", name);
		} else if (!fact_is(i, "up")) {
			doctor_say(d, DOCTOR_WARN, "%s is down", name);
			doctor_mend(d, "ip link set %s up", doctor_word(name));
		} else if (fact_int(i, "forwarding") && fact(i, "accept_ra") && fact_int(i, "accept_ra") < 2 &&
			!has_address) {
			doctor_say(d, DOCTOR_FAIL,
				"forwarding is on for %s (Docker and other software do that), so the kernel ignores "
				"router advertisements there",
				name);
			doctor_mend(d, "sysctl -w net.ipv6.conf.%s.accept_ra=2", name);
		} else if (fact(i, "accept_ra") && !fact_int(i, "accept_ra") && !has_address) {
			doctor_say(d, DOCTOR_FAIL,
				"the kernel ignores router advertisements on %s, and nobody else has given it an "
				"address",
				name);
			doctor_mend(
				d, "sysctl -w net.ipv6.conf.%s.accept_ra=%d", name, fact_int(i, "forwarding") ? 2 : 1);
		} else if (fact(i, "autoconf") && !fact_int(i, "autoconf") && !has_address) {
			doctor_say(d, DOCTOR_FAIL,
				"the kernel makes no address from router advertisements on %s, and nobody else has "
				"given it one",
				name);
			doctor_mend(d, "sysctl -w net.ipv6.conf.%s.autoconf=1", name);
		}
		doctor_mtu(d, i);
	}
	if (!used)
		doctor_say(d, DOCTOR_WARN, "there is no interface for mnd to use: see 'interfaces' in mnd.conf(5)");
}

static void judge_network(struct doctor *d, const json_t *facts)
{
	const json_t *at;
	size_t i;
	bool usable = false;

	if (!fact(facts, "status")) {
		doctor_say(d, DOCTOR_SKIPPED, "only mnd knows, and it does not answer");
		return;
	}
	json_array_foreach(fact(facts, "status.attachments"), i, at)
	{
		usable |= fact_is(at, "usable");
		if (fact_is(at, "usable") && fact_is(at, "selected") && !*fact_text(at, "ama"))
			doctor_say(d, DOCTOR_OK,
				"%s is in a network without an AMA: sessions keep their earlier home addresses, new "
				"ones get none here",
				fact_text(at, "interface"));
		else if (fact_is(at, "usable") && fact_is(at, "selected") && !*fact_text(at, "ama_name"))
			doctor_say(d, DOCTOR_WARN,
				"the AMA %s on %s has not shown a credential of a trusted domain: no home address from "
				"it",
				fact_text(at, "ama"), fact_text(at, "interface"));
		else if (fact_is(at, "carrier") && !fact_is(at, "usable"))
			doctor_say(d, DOCTOR_WARN,
				"%s has a carrier, but no router has been heard or no address is usable",
				fact_text(at, "interface"));
	}
	if (!usable)
		doctor_say(d, DOCTOR_WARN, "no network with IPv6 is in reach: sessions wait");
}

static void judge_firewall(struct doctor *d, const json_t *facts)
{
	uint16_t port = (uint16_t)fact_int(facts, "port.number");
	const char *device = fact_text(facts, "tunnel.name");
	const struct firewall_packet packets[] = {{.what = "location updates to anchors (UDP)",
							  .hook = "output",
							  .protocol = 17,
							  .sport = port,
							  .dport = port},
		{.what = "answers of anchors (UDP)",
			.hook = "input",
			.protocol = 17,
			.sport = port,
			.dport = port,
			.established = true},
		{.what = "tunnelled packets to anchors (IPv6 in IPv6)", .hook = "output", .protocol = 41},
		{.what = "tunnelled packets of anchors (IPv6 in IPv6)", .hook = "input", .protocol = 41},
		{.what = "answers that come out of the tunnel",
			.hook = "input",
			.protocol = 6,
			.iif = device,
			.established = true},
		{.what = "router advertisements", .hook = "input", .protocol = 58, .icmp_type = 134},
		{.what = "packet-too-big messages",
			.hook = "input",
			.protocol = 58,
			.icmp_type = 2,
			.established = true}};

	doctor_firewall(d, facts, packets, sizeof(packets) / sizeof(packets[0]));
}

static void judge_anchors(struct doctor *d, const json_t *facts)
{
	const json_t *a;
	size_t i;

	json_array_foreach(fact(facts, "anchors"), i, a)
	{
		const char *name = fact_text(a, "anchor");

		if (*fact_text(a, "error"))
			doctor_say(d, DOCTOR_FAIL, "the anchor %s cannot be asked: %s", name, fact_text(a, "error"));
		else if (!fact_int(a, "received"))
			doctor_say(d, DOCTOR_FAIL,
				"the anchor %s at %s does not answer: sessions on its home address wait. It is down, or what is on the way drops UDP port %lld",
				name, fact_text(a, "address"), fact_int(facts, "port.number"));
		else if (fact_int(a, "path_mtu") < 1320)
			doctor_say(d, DOCTOR_WARN,
				"the path to the anchor %s takes packets of at most %lld bytes: tunnelled ones larger than %lld are cut in pieces",
				name, fact_int(a, "path_mtu"), fact_int(a, "path_mtu") - 40);
	}
}

static void judge_pins(struct doctor *d, const json_t *facts)
{
	if (!fact_is(facts, "cgroup2"))
		doctor_say(d, DOCTOR_WARN, "/sys/fs/cgroup is not a version 2 hierarchy: hoa-exec cannot pin programs");
}

const struct doctor_check mnd_checks[] = {
	{"root", "run by root: everything can be looked at", doctor_root},
	{"config", "the configuration has no fault", doctor_config},
	{"identity", "this machine has its key, and nobody else can read it", doctor_identity},
	{"credential", "the domain's credential is valid by this machine's clock", doctor_credential},
	{"trust", "the list of trusted domains has no fault", doctor_trust},
	{"kernel", "the kernel does what is needed", doctor_kernel},
	{"state", "there is a place to keep state", doctor_state},
	{"port", "no other program has the UDP port", doctor_port},
	{"tunnel", "no other program has the tunnel device", doctor_tunnel},
	{"daemon", "mnd runs and answers", doctor_daemon},
	{"privileges", "mnd has the capabilities that it needs", doctor_privileges},
	{"interfaces", "interfaces take router advertisements and packets large enough", judge_interfaces},
	{"network", "a router and a usable address are there", judge_network},
	{"anchors", "anchors answer, and tunnelled packets fit on the way to them", judge_anchors},
	{"firewall", "the packet filter lets pass what is needed", judge_firewall},
	{"rpfilter", "no strict reverse path check", doctor_rpfilter},
	{"managers", "network managers leave ours alone", doctor_managers},
	{"restored", "nothing of ours was deleted or refused", doctor_restored},
	{"pins", "programs can be pinned", judge_pins},
	{0},
};
