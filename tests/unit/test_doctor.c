/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_doctor.c - what doctors find in facts, and what packet filters do to packets
 *
 * Includes the tables of both daemons: the facts are written by hand, so every fault that a laboratory cannot have is
 * here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "amad/checks.h"
#include "firewall.h"
#include "mnd/checks.h"

/* A machine where nothing is wrong; ' stands for ". */
static const char good[] =
	"{'program': 'mnctl', 'daemon': 'mnd', 'root': true, 'init': 'systemd', 'now_s': 1700000000, 'user': '', "
	"'cgroup2': true, 'socket': '/run/dmm/amad.sock',"
	" 'config': {'path': '/etc/dmm/mnd.conf', 'faults': []}, 'access': ['lan0'], 'pool': ['2001:db8:1::/48'],"
	" 'identity': {'path': '/etc/dmm/mnd.identity', 'exists': true, 'mode': 384, 'error': null, 'role': 'mn', "
	"'name': 'laptop',"
	"  'credential': {'domain': 'lab', 'from_s': 1690000000, 'until_s': 1800000000, 'prefixes': "
	"['2001:db8:1::/48']}},"
	" 'trust': {'path': '/etc/dmm/trusted-domains', 'error': null, 'domain_dir': null},"
	" 'answer': {'error': null, 'pid': 7}, 'daemon_capabilities': 549755826176,"
	" 'status': {'attachments': [{'interface': 'wlan0', 'carrier': true, 'usable': true, 'selected': true, 'ama': "
	"'2001:db8::1', 'ama_name': 'ama1'}],"
	"  'counters': {}, 'draining': false},"
	" 'kernel': {'tunnel': null, 'nexthop': null, 'source-route': null, 'mark-rule': null, 'source-check': null, "
	"'cgroup-bpf': null, 'inet-diag': null},"
	" 'tunnel': {'name': 'mnd0', 'exists': true, 'external': true, 'other': null}, 'port': {'number': 7872, "
	"'owners': [{'pid': 7, 'name': 'mnd'}]},"
	" 'state': {'path': '/var/lib/dmm/mnd', 'exists': true, 'not_writable': null, 'free_bytes': 1000000000},"
	" 'interfaces': [{'name': 'wlan0', 'up': true, 'carrier': true, 'ethernet': true, 'mtu': 1500, 'addresses': "
	"['2001:db8::5'], 'accept_ra': 1, 'autoconf': 1,"
	"   'disable_ipv6': 0, 'forwarding': 0}, {'name': 'lan0', 'up': true, 'ethernet': true, 'mtu': 1500, "
	"'addresses': ['2001:db8::1'], 'accept_ra': 0, 'autoconf': 1,"
	"   'disable_ipv6': 0, 'forwarding': 1}],"
	" 'forwarding': 1, 'default_route': true, 'processes': {'radvd': 9}, 'radvd_config': '/etc/radvd.conf',"
	" 'files': {'/etc/radvd.conf': 'interface lan0 { AdvSendAdvert on; AdvHomeAgentFlag on; # no\\n prefix "
	"2001:db8::1/64 { AdvRouterAddr on; }; };'},"
	" 'firewall': {'ip6tables_legacy': null, 'ip6tables': null, 'nft': null}, 'peers': []}";

static json_t *parse(const char *text)
{
	char buf[8192];
	json_error_t e;
	json_t *j;

	assert_true(strlen(text) < sizeof(buf));
	(void)snprintf(buf, sizeof(buf), "%s", text);
	for (char *c = buf; *c; c++)
		if (*c == '\'')
			*c = '"';
	j = json_loads(buf, JSON_DECODE_ANY, &e);
	if (!j)
		fail_msg("%s at %d: %s", e.text, e.position, text);
	return j;
}

/* The good machine with one thing changed. value is JSON with ' for ". */
static json_t *with(const char *path, const char *value, bool ama)
{
	json_t *facts = parse(good), *at = facts;
	char key[64];

	if (ama) {
		(void)json_object_set_new(facts, "daemon", json_string("amad"));
		(void)json_object_set_new(facts, "program", json_string("amactl"));
		(void)json_object_set_new(json_object_get(facts, "identity"), "role", json_string("ama"));
	}
	while (path) {
		size_t n = strcspn(path, "|");

		(void)snprintf(key, sizeof(key), "%.*s", (int)n, path);
		path = path[n] ? path + n + 1 : NULL;
		if (key[0] >= '0' && key[0] <= '9') {
			at = json_array_get(at, (size_t)(key[0] - '0'));
		} else if (path) {
			if (!json_object_get(at, key))
				(void)json_object_set_new(at, key, json_object());
			at = json_object_get(at, key);
		} else {
			(void)json_object_set_new(at, key, parse(value));
		}
	}
	return facts;
}

struct fault {
	const char *path, *value;
	bool ama;
	const char *check, *level, *text, *remedy; /* parts of them; remedy NULL = there is none */
};

static const struct fault faults[] = {
	{"root", "false", false, "root", "warn", "not run by root", "sudo mnctl doctor"},
	{"config|faults", "['/etc/dmm/mnd.conf:3: unknown key']", false, "config", "fail", "unknown key",
		"sed -i '3s/^/#/' /etc/dmm/mnd.conf"},
	{"config|faults", "['/etc/dmm/amad.conf: access is not set']", true, "config", "fail", "access is not set",
		NULL},
	{"identity|exists", "false", false, "identity", "fail", "no key",
		"mnctl --identity /etc/dmm/mnd.identity keygen"},
	{"identity|exists", "false", true, "identity", "warn", "amactl domain add-ama", NULL},
	{"identity|mode", "420", false, "identity", "fail", "read by others (mode 0644)",
		"chmod 600 /etc/dmm/mnd.identity"},
	{"identity|error", "'damaged'", false, "identity", "fail", "damaged", NULL},
	{"identity|role", "'ama'", false, "identity", "fail", "key of a ama", NULL},
	{"identity|credential", "null", false, "credential", "fail", "has not signed", NULL},
	{"now_s", "1", false, "credential", "fail", "the clock is slow", "timedatectl set-ntp true"},
	{"now_s", "1900000000", false, "credential", "fail", "not valid after", NULL},
	{"now_s", "1799999999", false, "credential", "warn", "not valid after", NULL},
	{"now_s", "1900000000", true, "credential", "warn", "--renew --out FILE --prefix 2001:db8:1::/48 laptop", NULL},
	{"pool", "['2001:db8:2::/48']", true, "pool", "fail", "does not cover the pool 2001:db8:2::/48", "sed -i"},
	{"identity|credential|prefixes", "[]", true, "pool", "fail", "covers no prefix", NULL},
	{"trust|error", "'/etc/dmm/trusted-domains:4: not a token'", false, "trust", "fail", "not a token",
		"sed -i '4s/^/#/' /etc/dmm/trusted-domains"},
	{"status|counters|channel-untrusted", "3", true, "trust", "warn",
		"3 credentials of domains that are not trusted", NULL},
	{"kernel|tunnel", "'no ip6tnl'", false, "kernel", "fail", "no ip6tnl", "modprobe ip6_tunnel"},
	{"kernel|inet-diag", "'No such file'", false, "kernel", "fail", "'inet-diag'", "modprobe tcp_diag"},
	{"kernel|cgroup-bpf", "'Invalid argument'", false, "kernel", "fail", "'cgroup-bpf'", NULL},
	{"kernel", "null", false, "kernel", "skipped", "only root", NULL},
	{"state|exists", "false", false, "state", "fail", "does not exist", "mkdir -p /var/lib/dmm/mnd"},
	{"state|not_writable", "'dmm'", true, "state", "fail", "not writable for user dmm",
		"chown -R dmm /var/lib/dmm/mnd"},
	{"state|free_bytes", "0", true, "state", "fail", "no space is left", NULL},
	{"port|owners", "[{'pid': 8, 'name': 'other'}]", false, "port", "fail", "other, process 8", "kill 8"},
	{"tunnel", "{'name': 'mnd0', 'exists': false, 'other': 'x0'}", false, "tunnel", "fail", "x0 holds",
		"ip link del x0"},
	{"tunnel|external", "false", false, "tunnel", "fail", "not an external ip6tnl", "ip link del mnd0"},
	{"answer|error", "'Connection refused'", false, "daemon", "fail", "mnd does not answer", "systemctl start mnd"},
	{"status|errors", "['store: disk full']", true, "daemon", "warn", "amad says: store: disk full", NULL},
	{"daemon_capabilities", "0", false, "privileges", "fail", "CAP_NET_RAW", "systemctl revert mnd"},
	{"interfaces|0|disable_ipv6", "1", false, "interfaces", "fail", "switched off on wlan0",
		"sysctl -w net.ipv6.conf.wlan0.disable_ipv6=0"},
	{"interfaces|0|up", "false", false, "interfaces", "warn", "wlan0 is down", "ip link set wlan0 up"},
	{"interfaces|0|mtu", "1300", false, "interfaces", "fail", "at most 1300", "ip link set dev wlan0 mtu 1500"},
	{"status|attachments", "[]", false, "interfaces", "warn", "no interface for mnd", NULL},
	{"status|attachments|0|ama_name", "null", false, "network", "warn", "has not shown a credential", NULL},
	{"status|attachments|0|usable", "false", false, "network", "warn", "no router has been heard", NULL},
	{"anchors", "[{'anchor': 'ama1', 'address': '2001:db8::1', 'received': 0}]", false, "anchors", "fail",
		"ama1 at 2001:db8::1 does not answer", NULL},
	{"anchors", "[{'anchor': 'ama1', 'address': '2001:db8::1', 'received': 2, 'path_mtu': 1300}]", false, "anchors",
		"warn", "at most 1300 bytes", NULL},
	{"access", "['lan1']", true, "access", "fail", "no interface lan1", NULL},
	{"interfaces|1|addresses", "[]", true, "access", "fail", "lan0 has no address", NULL},
	{"forwarding", "0", true, "forwarding", "fail", "does not forward", "sysctl -w net.ipv6.conf.all.forwarding=1"},
	{"default_route", "false", true, "forwarding", "warn", "no default route", NULL},
	{"processes|systemd-network", "5", false, "managers", "warn", "systemd-networkd removes",
		"ManageForeignRoutes=no"},
	{"processes|NetworkManager", "5", true, "managers", "warn", "NetworkManager takes",
		"unmanaged-devices+=interface-name:mnd0"},
	{"status|counters|restored-route", "2", false, "restored", "warn", "2 route", NULL},
	{"status|counters|kernel-refused-rule", "2", false, "restored", "warn", "refused changes", NULL},
	{"cgroup2", "false", false, "pins", "warn", "cannot pin", NULL},
	{"processes|radvd", "0", true, "radvd", "fail", "radvd does not run", "systemctl start radvd"},
	{"files",
		"{'/etc/radvd.conf': 'interface lan0 { AdvSendAdvert on; AdvHomeAgentFlag off; prefix 2001:db8::1/64 { "
		"AdvRouterAddr on; }; };'}",
		true, "radvd", "fail", "AdvHomeAgentFlag", "s/AdvHomeAgentFlag[[:space:]]*off/AdvHomeAgentFlag on/"},
	{"files",
		"{'/etc/radvd.conf': 'interface lan0 { AdvSendAdvert on; AdvHomeAgentFlag on; prefix 2001:db8::/64 { "
		"}; };'}",
		true, "radvd", "fail", "AdvRouterAddr", "prefix 2001:db8::1/64 { AdvOnLink off"},
	{"files", "{'/etc/radvd.conf': '# interface lan0 {\\ninterface lan01 { AdvSendAdvert on; };'}", true, "radvd",
		"fail", "nothing about lan0", ">>/etc/radvd.conf"},
	{"status|draining", "true", true, "draining", "warn", "being drained", "drain off"},
	{"peers", "[{'name': 'ama2', 'address': '2001:db8::2', 'state': 'silent', 'last_error': null}]", true, "peers",
		"warn", "ama2 at 2001:db8::2 does not answer", NULL},
	{"peers", "[{'name': 'ama2', 'address': '2001:db8::2', 'last_error': 'no answer'}]", true, "peers", "warn",
		"ama2 at 2001:db8::2: no answer", NULL},
	{"firewall|ip6tables_legacy",
		"'*filter\\n:INPUT DROP [0:0]\\n:OUTPUT ACCEPT [0:0]\\n-A INPUT -i lo -j ACCEPT\\nCOMMIT\\n'", true,
		"firewall", "fail", "policy drop of chain INPUT",
		"ip6tables-legacy -t filter -I INPUT -p udp --dport 7872 -j ACCEPT"},
};

static void every_fault_is_found_with_its_remedy(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const struct fault *x = &faults[i];
		json_t *facts = with(x->path, x->value, x->ama),
		       *result = doctor_run(x->ama ? amad_checks : mnd_checks, facts), *f;
		bool found = false;
		size_t k;

		json_array_foreach(json_object_get(result, "checks"), k, f)
		{
			const char *remedy = fact_text(f, "remedy");

			found |= !strcmp(fact_text(f, "check"), x->check) && !strcmp(fact_text(f, "level"), x->level) &&
				strstr(fact_text(f, "text"), x->text) &&
				(x->remedy ? strstr(remedy, x->remedy) != NULL : !*remedy);
		}
		if (!found)
			fail_msg("%s = %s: %s", x->path, x->value, json_dumps(result, JSON_INDENT(1)));
		json_decref(result);
		json_decref(facts);
	}
}

static void nothing_is_found_where_nothing_is_wrong(void **state)
{
	(void)state;
	for (int ama = 0; ama < 2; ama++) {
		json_t *facts = with("cgroup2", "true", ama),
		       *result = doctor_run(ama ? amad_checks : mnd_checks, facts);

		if (fact_int(result, "warn") + fact_int(result, "fail") + fact_int(result, "skipped") != 0)
			fail_msg("%s", json_dumps(result, JSON_INDENT(1)));
		json_decref(result);
		json_decref(facts);
	}
}

/* With the domain's key on this machine the command is complete, and names from outside are quoted. */
static void remedies_are_complete_and_quoted(void **state)
{
	json_t *facts = with("identity|credential", "null", false), *result, *f;
	const char *expected = "mnctl --identity '/etc/d mm/x' join $(amactl domain add-mn --dir /etc/dmm --key "
			       "$(mnctl --identity '/etc/d mm/x' keygen 2>/dev/null) laptop)";
	bool found = false;
	size_t i;

	(void)state;
	(void)json_object_set_new(json_object_get(facts, "identity"), "path", json_string("/etc/d mm/x"));
	(void)json_object_set_new(json_object_get(facts, "trust"), "domain_dir", json_string("/etc/dmm"));
	result = doctor_run(mnd_checks, facts);
	json_array_foreach(json_object_get(result, "checks"), i, f) found |= !strcmp(fact_text(f, "remedy"), expected);
	assert_true(found);
	json_decref(result);
	json_decref(facts);
	assert_string_equal(doctor_word("a'b;c"), "'a'\\''b;c'");
	assert_string_equal(doctor_word(""), "''");
}

/* --- the packet filter ------------------------------------------------------------------------------------------- */

static enum firewall_verdict try_save(const char *text, const struct firewall_packet *p, struct firewall_drop *drop)
{
	struct firewall *f = firewall_new();
	enum firewall_verdict v;

	assert_int_equal(firewall_add_save(f, "ip6tables-legacy", text), 0);
	v = firewall_try(f, p, drop);
	firewall_free(f);
	return v;
}

static void ip6tables_rules_are_walked_as_the_kernel_does(void **state)
{
	static const struct firewall_packet udp = {.hook = "input", .protocol = 17, .dport = 7872},
					    tunnel = {.hook = "input", .protocol = 41},
					    answer = {.hook = "input",
						    .protocol = 17,
						    .sport = 7872,
						    .established = true};
	static const struct {
		const char *rules;
		enum firewall_verdict udp, tunnel, answer;
	} cases[] = {
		{":INPUT ACCEPT [0:0]\n", FIREWALL_PASSES, FIREWALL_PASSES, FIREWALL_PASSES},
		{":INPUT DROP [0:0]\n", FIREWALL_DROPS, FIREWALL_DROPS, FIREWALL_DROPS},
		{":INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n", FIREWALL_DROPS,
			FIREWALL_DROPS, FIREWALL_PASSES},
		{":INPUT DROP [0:0]\n[1:40] -A INPUT -p udp -m udp --dport 7000:8000 -j ACCEPT\n", FIREWALL_PASSES,
			FIREWALL_DROPS, FIREWALL_UNCERTAIN},
		{":INPUT DROP [0:0]\n-A INPUT -p udp -m multiport --dports 53,7872 -j ACCEPT\n", FIREWALL_PASSES,
			FIREWALL_DROPS, FIREWALL_UNCERTAIN},
		{":INPUT ACCEPT [0:0]\n-A INPUT ! -p udp -j DROP\n", FIREWALL_PASSES, FIREWALL_DROPS, FIREWALL_PASSES},
		{":INPUT ACCEPT [0:0]\n-A INPUT -i lo -j DROP\n", FIREWALL_PASSES, FIREWALL_PASSES, FIREWALL_PASSES},
		{":INPUT ACCEPT [0:0]\n-A INPUT ! -i lo -p 41 -j DROP\n", FIREWALL_PASSES, FIREWALL_DROPS,
			FIREWALL_PASSES},
		{":INPUT ACCEPT [0:0]\n-A INPUT -s 2001:db8::/32 -j DROP\n", FIREWALL_PASSES, FIREWALL_PASSES,
			FIREWALL_PASSES},
		{":INPUT DROP [0:0]\n-A INPUT -s 2001:db8::/32 -j ACCEPT\n", FIREWALL_UNCERTAIN, FIREWALL_UNCERTAIN,
			FIREWALL_UNCERTAIN},
		{":INPUT ACCEPT [0:0]\n:X - [0:0]\n-A INPUT -p udp -j X\n-A INPUT -j DROP\n-A X -m comment --comment "
		 "\"a -j DROP b\" -j RETURN\n",
			FIREWALL_DROPS, FIREWALL_DROPS, FIREWALL_DROPS},
		{":INPUT ACCEPT [0:0]\n:X - [0:0]\n-A INPUT -p udp -g X\n-A INPUT -j DROP\n-A X -p tcp -j DROP\n",
			FIREWALL_PASSES, FIREWALL_DROPS, FIREWALL_PASSES},
		{":INPUT ACCEPT [0:0]\n:X - [0:0]\n-A INPUT -j X\n-A X -p ipv6 -j REJECT --reject-with "
		 "icmp6-port-unreachable\n",
			FIREWALL_PASSES, FIREWALL_DROPS, FIREWALL_PASSES},
		{":INPUT ACCEPT [0:0]\n:X - [0:0]\n-A INPUT -j X\n-A X -j X\n", FIREWALL_PASSES, FIREWALL_PASSES,
			FIREWALL_PASSES}, /* no such thing; no loop either */
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct firewall_drop drop;

		(void)snprintf(text, sizeof(text), "*filter\n%sCOMMIT\n", cases[i].rules);
		if (try_save(text, &udp, &drop) != cases[i].udp || try_save(text, &tunnel, &drop) != cases[i].tunnel ||
			try_save(text, &answer, &drop) != cases[i].answer)
			fail_msg("case %zu: %s: %d %d %d", i, cases[i].rules, try_save(text, &udp, &drop),
				try_save(text, &tunnel, &drop), try_save(text, &answer, &drop));
	}
}

/* What firewalld 1.3 loads, shortened; and a person's own rules. */
static const char firewalld[] =
	"{'nftables': [{'table': {'family': 'inet', 'name': 'firewalld'}},"
	"{'chain': {'family': 'inet', 'table': 'firewalld', 'name': 'mangle_PREROUTING', 'type': 'filter', 'hook': "
	"'prerouting', 'prio': -140, 'policy': 'accept'}},"
	"{'rule': {'family': 'inet', 'table': 'firewalld', 'chain': 'mangle_PREROUTING', 'handle': 12, 'expr': "
	"[{'match': {'op': '==', 'left': {'meta': {'key': 'nfproto'}}, 'right': 'ipv6'}},"
	" {'match': {'op': '==', 'left': {'fib': {'result': 'oif', 'flags': ['saddr', 'mark', 'iif']}}, 'right': "
	"false}}, {'drop': null}]}},"
	"{'chain': {'family': 'inet', 'table': 'firewalld', 'name': 'filter_INPUT', 'type': 'filter', 'hook': 'input', "
	"'prio': 10, 'policy': 'accept'}},"
	"{'chain': {'family': 'inet', 'table': 'firewalld', 'name': 'zones'}},"
	"{'rule': {'family': 'inet', 'table': 'firewalld', 'chain': 'filter_INPUT', 'handle': 20, 'expr': [{'match': "
	"{'op': 'in', 'left': {'ct': {'key': 'state'}}, 'right': ['established', 'related']}}, {'accept': null}]}},"
	"{'rule': {'family': 'inet', 'table': 'firewalld', 'chain': 'filter_INPUT', 'handle': 21, 'expr': [{'vmap': "
	"{'key': {'meta': {'key': 'iifname'}}, 'data': {'set': [['lo', {'accept': null}], ['*', {'jump': {'target': "
	"'zones'}}]]}}}]}},"
	"{'rule': {'family': 'inet', 'table': 'firewalld', 'chain': 'zones', 'handle': 22, 'expr': [{'match': {'op': "
	"'==', 'left': {'payload': {'protocol': 'udp', 'field': 'dport'}}, 'right': {'set': [53, {'range': [7000, "
	"7100]}]}}}, {'accept': null}]}},"
	"{'rule': {'family': 'inet', 'table': 'firewalld', 'chain': 'zones', 'handle': 24, 'expr': [{'match': {'op': "
	"'==', 'left': {'payload': {'protocol': 'ip', 'field': 'saddr'}}, 'right': '192.0.2.1'}}, {'drop': null}]}},"
	"{'rule': {'family': 'inet', 'table': 'firewalld', 'chain': 'filter_INPUT', 'handle': 23, 'expr': [{'reject': "
	"{'type': 'icmpx', 'expr': 'admin-prohibited'}}]}}]}";

static void nft_rules_are_walked_too(void **state)
{
	struct firewall_packet udp = {.hook = "input", .protocol = 17, .dport = 7872},
			       tunnel = {.hook = "input", .protocol = 41};
	struct firewall *f = firewall_new();
	struct firewall_drop drop = {0};
	json_t *rules = parse(firewalld);

	(void)state;
	assert_int_equal(firewall_add_nft(f, rules), 0);
	assert_int_equal(firewall_try(f, &udp, &drop), FIREWALL_DROPS);
	assert_non_null(strstr(drop.rule, "handle 23"));
	assert_string_equal(drop.remedy, "firewall-cmd --permanent --add-port=7872/udp && firewall-cmd --reload");
	assert_int_equal(firewall_try(f, &tunnel, &drop), FIREWALL_DROPS);
	assert_string_equal(drop.remedy, "firewall-cmd --permanent --add-protocol=ipv6 && firewall-cmd --reload");
	udp.dport = 7050;
	assert_int_equal(firewall_try(f, &udp, &drop), FIREWALL_PASSES);
	udp.dport = 7872;
	udp.established = true;
	assert_int_equal(firewall_try(f, &udp, &drop), FIREWALL_PASSES);
	udp.established = false;
	udp.iif = "lo";
	assert_int_equal(firewall_try(f, &udp, &drop), FIREWALL_PASSES);
	assert_true(firewall_has_rpfilter(f, &drop));
	assert_non_null(strstr(drop.remedy, "IPv6_rpfilter=no"));
	json_decref(rules);
	firewall_free(f);

	f = firewall_new();
	rules = parse("{'nftables': [{'chain': {'family': 'inet', 'table': 't', 'name': 'c', 'hook': 'input', "
		      "'policy': 'drop'}},"
		      "{'rule': {'family': 'inet', 'table': 't', 'chain': 'c', 'handle': 4, 'expr': [{'match': {'op': "
		      "'==', 'left': {'meta': {'key': 'l4proto'}}, 'right': 'ipv6'}}, {'accept': null}]}}]}");
	udp.iif = NULL;
	assert_int_equal(firewall_add_nft(f, rules), 0);
	assert_int_equal(firewall_try(f, &tunnel, &drop), FIREWALL_PASSES);
	assert_int_equal(firewall_try(f, &udp, &drop), FIREWALL_DROPS);
	assert_string_equal(drop.remedy, "nft insert rule inet t c udp dport 7872 accept");
	assert_false(firewall_has_rpfilter(f, &drop));
	json_decref(rules);
	firewall_free(f);
}

static void a_strict_reverse_path_check_becomes_a_loose_one(void **state)
{
	struct firewall *f = firewall_new();
	struct firewall_drop drop;

	(void)state;
	(void)firewall_add_save(f, "ip6tables",
		"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -i lo -j ACCEPT\n-A PREROUTING -m rpfilter --validmark "
		"--invert -j DROP\nCOMMIT\n");
	assert_true(firewall_has_rpfilter(f, &drop));
	assert_string_equal(
		drop.remedy, "ip6tables -t raw -R PREROUTING 2 -m rpfilter --loose --validmark --invert -j DROP");
	firewall_free(f);
	f = firewall_new();
	(void)firewall_add_save(f, "ip6tables",
		"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -m rpfilter --loose --invert -j DROP\nCOMMIT\n");
	assert_false(firewall_has_rpfilter(f, &drop));
	firewall_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fault_is_found_with_its_remedy),
		cmocka_unit_test(nothing_is_found_where_nothing_is_wrong),
		cmocka_unit_test(remedies_are_complete_and_quoted),
		cmocka_unit_test(ip6tables_rules_are_walked_as_the_kernel_does),
		cmocka_unit_test(nft_rules_are_walked_too),
		cmocka_unit_test(a_strict_reverse_path_check_becomes_a_loose_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
