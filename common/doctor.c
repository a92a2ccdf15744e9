/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor.c - the checks of both daemons, and how findings are kept and written
 *
 * A check that fails says what is wrong in words of the manuals, and prints a command that mends it when run exactly as
 * printed. Where nobody but a person can know what to do there is no command, and the text says who has to do what. */
#include "doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl.h"
#include "firewall.h"

#define CAP_NET_ADMIN_BIT 12
#define CAP_NET_RAW_BIT	  13
#define CAP_BPF_BIT	  39
#define TEXT		  1024
#define SOON_S		  (7 * 86400)
#define LEAST_MTU	  1320 /* 1280 and the outer header */

struct doctor {
	json_t *list;
	const char *check;
	unsigned said;
};

const char *doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = {"ok", "skipped", "warn", "fail"};

	return names[level];
}

/* Text of others goes to a terminal. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 127)
			*text = '?';
}

void doctor_say(struct doctor *d, enum doctor_level level, const char *format, ...)
{
	char text[TEXT];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	make_printable(text);
	d->said++;
	(void)json_array_append_new(d->list,
		json_pack("{s:s, s:s, s:s, s:n}", "check", d->check, "level", doctor_level_name(level), "text", text,
			"remedy"));
}

void doctor_mend(struct doctor *d, const char *format, ...)
{
	char text[TEXT];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	make_printable(text);
	(void)json_object_set_new(json_array_get(d->list, json_array_size(d->list) - 1), "remedy", json_string(text));
}

json_t *doctor_run(const struct doctor_check *checks, const json_t *facts)
{
	struct doctor d = {.list = json_array()};
	json_t *result = json_pack("{s:O}", "checks", d.list), *f;
	size_t i;

	for (const struct doctor_check *c = checks; c->name; c++) {
		d.check = c->name;
		d.said = 0;
		c->judge(&d, facts);
		if (!d.said)
			doctor_say(&d, DOCTOR_OK, "%s", c->help);
	}
	for (int level = DOCTOR_OK; level <= DOCTOR_FAIL; level++) {
		int n = 0;

		json_array_foreach(d.list, i, f) n += !strcmp(fact_text(f, "level"), doctor_level_name(level));
		(void)json_object_set_new(result, doctor_level_name(level), json_integer(n));
	}
	json_decref(d.list);
	return result;
}

bool doctor_print(const json_t *result)
{
	bool colour = ctl_in_colour();
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(result, "checks"), i, f)
	{
		const char *level = fact_text(f, "level"), *remedy = fact_text(f, "remedy");
		const char *paint = !colour	 ? ""
			: !strcmp(level, "fail") ? "\033[1;31m"
			: !strcmp(level, "warn") ? "\033[1;33m"
						 : "";

		(void)printf("%s%-8s%s%-12s %s\n", paint, level, *paint ? "\033[0m" : "", fact_text(f, "check"),
			fact_text(f, "text"));
		if (*remedy)
			(void)printf("        mend it:     %s\n", remedy);
	}
	(void)printf("\n%lld ok, %lld skipped, %lld to look at, %lld wrong\n", fact_int(result, "ok"),
		fact_int(result, "skipped"), fact_int(result, "warn"), fact_int(result, "fail"));
	return fact_int(result, "fail") == 0;
}

int doctor_command(const struct ctl *ctl, const struct doctor_check *checks, json_t *facts)
{
	json_t *result = doctor_run(checks, facts);
	bool good = fact_int(result, "fail") == 0;

	json_decref(facts);
	if (ctl->json) {
		ctl_print_json(result);
		return good ? CTL_OK : CTL_FAILED;
	}
	(void)doctor_print(result);
	json_decref(result);
	return good ? CTL_OK : CTL_FAILED;
}

/* --- facts ------------------------------------------------------------------------------------------------------- */

const json_t *fact(const json_t *facts, const char *path)
{
	char key[64];

	while (facts && *path) {
		size_t n = strcspn(path, ".");

		(void)snprintf(key, sizeof(key), "%.*s", (int)n, path);
		facts = json_object_get(facts, key);
		path += n + (path[n] == '.');
	}
	return json_is_null(facts) ? NULL : facts;
}

const char *fact_text(const json_t *facts, const char *path)
{
	const char *text = json_string_value(fact(facts, path));

	return text ? text : "";
}

long long fact_int(const json_t *facts, const char *path)
{
	return json_integer_value(fact(facts, path));
}

bool fact_is(const json_t *facts, const char *path)
{
	return json_is_true(fact(facts, path));
}

const char *doctor_word(const char *text)
{
	static char bufs[8][400];
	static unsigned turn;
	char *buf = bufs[turn++ % 8];
	size_t n = 0;

	if (*text &&
		strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-") ==
			strlen(text)) {
		(void)snprintf(buf, sizeof(bufs[0]), "%s", text);
		return buf;
	}
	buf[n++] = '\'';
	for (; *text && n < sizeof(bufs[0]) - 8; text++) {
		if (*text == '\'') {
			memcpy(buf + n, "'\\''", 4);
			n += 4;
		} else {
			buf[n++] = *text;
		}
	}
	buf[n++] = '\'';
	buf[n] = '\0';
	return buf;
}

const char *doctor_start(const json_t *facts)
{
	static char buf[TEXT];
	const char *init = fact_text(facts, "init"), *daemon = fact_text(facts, "daemon");

	if (!strcmp(init, "systemd"))
		(void)snprintf(buf, sizeof(buf), "systemctl start %s", daemon);
	else if (!strcmp(init, "procd"))
		(void)snprintf(buf, sizeof(buf), "/etc/init.d/%s start", daemon);
	else
		(void)snprintf(buf, sizeof(buf), "setsid %s -c %s </dev/null >/dev/null 2>&1 &", daemon,
			doctor_word(fact_text(facts, "config.path")));
	return buf;
}

/* --- checks of both daemons -------------------------------------------------------------------------------------- */

void doctor_root(struct doctor *d, const json_t *facts)
{
	if (fact_is(facts, "root"))
		return;
	doctor_say(d, DOCTOR_WARN, "not run by root: what only root may read is not looked at");
	doctor_mend(d, "sudo %s doctor", fact_text(facts, "program"));
}

void doctor_config(struct doctor *d, const json_t *facts)
{
	const json_t *fault;
	size_t i;

	json_array_foreach(fact(facts, "config.faults"), i, fault)
	{
		const char *text = json_string_value(fault);
		char path[300], *colon;

		doctor_say(d, DOCTOR_FAIL, "%s", text);
		(void)snprintf(path, sizeof(path), "%s", text);
		colon = strstr(path, ": ");
		if (colon)
			*colon = '\0';
		colon = strrchr(path, ':');
		if (colon && strtoul(colon + 1, NULL, 10) > 0) { /* without the line its default holds */
			*colon = '\0';
			doctor_mend(d, "sed -i '%lus/^/#/' %s", strtoul(colon + 1, NULL, 10), doctor_word(path));
		}
	}
}

/* The commands that get this key a credential, where the domain's signing key is on this machine; else who has to do
 * what. */
static void mend_credential(struct doctor *d, const json_t *facts)
{
	const char *path = fact_text(facts, "identity.path"), *name = fact_text(facts, "identity.name"),
		   *dir = fact_text(facts, "trust.domain_dir");
	const json_t *pool = fact(facts, "pool"), *p;
	bool ama = !strcmp(fact_text(facts, "daemon"), "amad");
	char prefixes[512] = "";
	size_t i, n = 0;

	if (json_array_size(pool) == 0)
		pool = fact(facts, "identity.credential.prefixes");
	json_array_foreach(pool, i, p) if (n < sizeof(prefixes))
		n += (size_t)snprintf(prefixes + n, sizeof(prefixes) - n, " --prefix %s", json_string_value(p));
	if (!*dir && ama)
		doctor_say(d, DOCTOR_WARN,
			"where the domain's signing key is, 'amactl domain add-ama --renew --out FILE%s %s' renews a "
			"copy of %s",
			*prefixes ? prefixes : " --prefix PREFIX", *name ? name : "NAME", path);
	else if (!*dir)
		doctor_say(d, DOCTOR_WARN,
			"where the domain's signing key is, 'amactl domain add-mn --key TOKEN %s' with the TOKEN of "
			"'mnctl keygen' prints a line for 'mnctl join'",
			*name ? name : "NAME");
	else if (ama && *prefixes && *name)
		doctor_mend(d, "amactl domain add-ama --dir %s --renew --out %s%s %s", doctor_word(dir),
			doctor_word(path), prefixes, doctor_word(name));
	else if (!ama)
		doctor_mend(d,
			"mnctl --identity %s join $(amactl domain add-mn --dir %s --key $(mnctl --identity %s keygen "
			"2>/dev/null) %s)",
			doctor_word(path), doctor_word(dir), doctor_word(path), doctor_word(name));
}

void doctor_identity(struct doctor *d, const json_t *facts)
{
	const char *path = fact_text(facts, "identity.path"), *daemon = fact_text(facts, "daemon"),
		   *dir = fact_text(facts, "trust.domain_dir");
	const char *role = !strcmp(daemon, "amad") ? "ama" : "mn";
	long long mode = fact_int(facts, "identity.mode");

	if (!fact_is(facts, "identity.exists")) {
		if (!fact_is(facts, "root") && *fact_text(facts, "identity.error")) {
			doctor_say(d, DOCTOR_SKIPPED, "%s", fact_text(facts, "identity.error"));
			return;
		}
		doctor_say(d, DOCTOR_FAIL, "this machine has no key: %s is missing", path);
		if (!strcmp(role, "mn"))
			doctor_mend(d, "mnctl --identity %s keygen", doctor_word(path));
		else if (*dir && json_array_size(fact(facts, "pool")) > 0)
			doctor_mend(d, "amactl domain add-ama --dir %s --out %s --prefix %s $(uname -n)",
				doctor_word(dir), doctor_word(path),
				json_string_value(json_array_get(fact(facts, "pool"), 0)));
		else
			doctor_say(d, DOCTOR_WARN,
				"'amactl domain add-ama NAME --prefix PREFIX' makes one where the domain's signing key "
				"is; copy it to %s",
				path);
	} else if (mode & 077) {
		doctor_say(d, DOCTOR_FAIL, "the private key in %s can be read by others (mode %04llo)", path, mode);
		doctor_mend(d, "chmod 600 %s", doctor_word(path));
	} else if (*fact_text(facts, "identity.error")) {
		doctor_say(d, fact_is(facts, "root") ? DOCTOR_FAIL : DOCTOR_SKIPPED, "%s",
			fact_text(facts, "identity.error"));
	} else if (strcmp(fact_text(facts, "identity.role"), role) != 0) {
		doctor_say(d, DOCTOR_FAIL, "%s is the key of a %s, and %s needs one of a %s", path,
			fact_text(facts, "identity.role"), daemon, role);
	}
}

void doctor_credential(struct doctor *d, const json_t *facts)
{
	long long now_s = fact_int(facts, "now_s"), from_s = fact_int(facts, "identity.credential.from_s"),
		  until_s = fact_int(facts, "identity.credential.until_s");
	const char *path = fact_text(facts, "identity.path");
	char date[32];
	time_t t;

	if (!*fact_text(facts, "identity.name"))
		return; /* said by the identity */
	if (!fact(facts, "identity.credential")) {
		doctor_say(d, DOCTOR_FAIL, "the domain has not signed the key in %s: there is no credential with it",
			path);
		mend_credential(d, facts);
		return;
	}
	t = (time_t)(now_s < from_s ? from_s : until_s);
	(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M", localtime(&t));
	if (now_s < from_s) {
		doctor_say(d, DOCTOR_FAIL,
			"by this machine's clock the credential in %s is not valid before %s: the clock is slow", path,
			date);
		if (!strcmp(fact_text(facts, "init"), "systemd"))
			doctor_mend(d, "timedatectl set-ntp true");
		else /* not earlier than that: the domain's clock said so */
			doctor_mend(d, "date -s @%lld", from_s + 3600);
	} else if (now_s > until_s) {
		doctor_say(d, DOCTOR_FAIL, "the credential in %s is not valid after %s", path, date);
		mend_credential(d, facts);
	} else if (until_s - now_s < SOON_S) {
		doctor_say(d, DOCTOR_WARN, "the credential in %s is not valid after %s", path, date);
		mend_credential(d, facts);
	}
}

void doctor_trust(struct doctor *d, const json_t *facts)
{
	const char *error = fact_text(facts, "trust.error"), *path = fact_text(facts, "trust.path");
	size_t n = strlen(path);

	if (*error) {
		doctor_say(d, DOCTOR_FAIL, "%s", error);
		if (!strncmp(error, path, n) && error[n] == ':')
			doctor_mend(d, "sed -i '%lus/^/#/' %s", strtoul(error + n + 1, NULL, 10), doctor_word(path));
	}
	if (fact_int(facts, "status.counters.channel-untrusted") > 0) {
		doctor_say(d, DOCTOR_WARN,
			"%lld credentials of domains that are not trusted here were refused: trust another domain with "
			"'amactl domain trust TOKEN'",
			fact_int(facts, "status.counters.channel-untrusted"));
	}
}

void doctor_kernel(struct doctor *d, const json_t *facts)
{
	static const char *const modules[][2] = {{"tunnel", "ip6_tunnel"}, {"nexthop", "ip6_tunnel"},
		{"source-route", "ip6_tunnel"}, {"inet-diag", "tcp_diag"}};
	const json_t *kernel = fact(facts, "kernel"), *why;
	const char *feature;

	if (!kernel) {
		doctor_say(d, DOCTOR_SKIPPED, "only root can try what this kernel has");
		return;
	}
	json_object_foreach((json_t *)kernel, feature, why)
	{
		if (json_is_null(why))
			continue;
		doctor_say(d, DOCTOR_FAIL, "this kernel does not do '%s': %s", feature, json_string_value(why));
		for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
			if (!strcmp(modules[i][0], feature))
				doctor_mend(d, "modprobe %s", modules[i][1]);
	}
}

void doctor_state(struct doctor *d, const json_t *facts)
{
	const char *path = fact_text(facts, "state.path");

	if (!fact(facts, "state"))
		return;
	if (!fact_is(facts, "state.exists")) {
		if (strcmp(fact_text(facts, "daemon"), "mnd") != 0)
			return; /* amad makes its own */
		doctor_say(d, DOCTOR_FAIL,
			"%s, where the daemon keeps its state, does not exist: a restart would forget sessions", path);
		doctor_mend(d, "mkdir -p %s", doctor_word(path));
	} else if (fact_int(facts, "state.free_bytes") < 1 << 20 && fact(facts, "state.free_bytes")) {
		doctor_say(
			d, DOCTOR_FAIL, "no space is left on the disk of %s: the daemon cannot keep its state", path);
	} else if (*fact_text(facts, "state.not_writable")) {
		doctor_say(d, DOCTOR_FAIL, "%s is not writable for user %s, as whom the daemon runs", path,
			fact_text(facts, "state.not_writable"));
		doctor_mend(
			d, "chown -R %s %s", doctor_word(fact_text(facts, "state.not_writable")), doctor_word(path));
	}
}

void doctor_port(struct doctor *d, const json_t *facts)
{
	const json_t *owner;
	size_t i;

	json_array_foreach(fact(facts, "port.owners"), i, owner)
	{
		if (fact_int(owner, "pid") == fact_int(facts, "answer.pid") ||
			!strcmp(fact_text(owner, "name"), fact_text(facts, "daemon")))
			continue;
		doctor_say(d, DOCTOR_FAIL, "UDP port %lld is taken by another program: %s, process %lld",
			fact_int(facts, "port.number"), fact_text(owner, "name"), fact_int(owner, "pid"));
		if (fact_int(owner, "pid") > 1)
			doctor_mend(d, "kill %lld", fact_int(owner, "pid"));
	}
}

void doctor_tunnel(struct doctor *d, const json_t *facts)
{
	const char *name = fact_text(facts, "tunnel.name"), *other = fact_text(facts, "tunnel.other");

	if (fact_is(facts, "tunnel.exists") && !fact_is(facts, "tunnel.external")) {
		doctor_say(d, DOCTOR_FAIL, "device %s exists and is not an external ip6tnl", name);
		doctor_mend(d, "ip link del %s", doctor_word(name));
	} else if (!fact_is(facts, "tunnel.exists") && *other) {
		doctor_say(d, DOCTOR_FAIL, "%s holds the one external ip6tnl that a network namespace can have", other);
		doctor_mend(d, "ip link del %s", doctor_word(other));
	}
}

void doctor_daemon(struct doctor *d, const json_t *facts)
{
	const char *daemon = fact_text(facts, "daemon");
	const json_t *e;
	size_t i;

	if (*fact_text(facts, "answer.error")) {
		doctor_say(d, DOCTOR_FAIL, "%s does not answer: %s", daemon, fact_text(facts, "answer.error"));
		doctor_mend(d, "%s", doctor_start(facts));
		return;
	}
	json_array_foreach(fact(facts, "status.errors"), i, e)
		doctor_say(d, DOCTOR_WARN, "%s says: %s", daemon, json_string_value(e));
}

void doctor_privileges(struct doctor *d, const json_t *facts)
{
	unsigned long long set = (unsigned long long)fact_int(facts, "daemon_capabilities");
	bool node = !strcmp(fact_text(facts, "daemon"), "mnd");

	if (!fact(facts, "daemon_capabilities"))
		return;
	if (!(set >> CAP_NET_ADMIN_BIT & 1) || !(set >> CAP_BPF_BIT & 1) || (node && !(set >> CAP_NET_RAW_BIT & 1))) {
		doctor_say(d, DOCTOR_FAIL,
			"%s runs without a capability that it needs (CAP_NET_ADMIN, CAP_BPF%s): it has %llx",
			fact_text(facts, "daemon"), node ? ", CAP_NET_RAW" : "", set);
		if (!strcmp(fact_text(facts, "init"), "systemd"))
			doctor_mend(d, "systemctl revert %s && systemctl restart %s", fact_text(facts, "daemon"),
				fact_text(facts, "daemon"));
	}
}

/* Is there a line KEY=VALUE in one of the files whose path contains folder? */
static bool file_has(const json_t *facts, const char *folder, const char *what)
{
	const json_t *text;
	const char *path;

	json_object_foreach((json_t *)fact(facts, "files"), path, text)
	{
		const char *at = strstr(path, folder) ? json_string_value(text) : NULL;

		for (; at && (at = strstr(at, what)); at++) {
			const char *line = at;

			while (line > json_string_value(text) && line[-1] != '\n')
				line--;
			if (*line != '#' && *line != ';')
				return true;
		}
	}
	return false;
}

void doctor_managers(struct doctor *d, const json_t *facts)
{
	const char *device = fact_text(facts, "tunnel.name");
	char what[64];

	if (fact_int(facts, "processes.systemd-network") &&
		(!file_has(facts, "networkd.conf", "ManageForeignRoutes=no") ||
			!file_has(facts, "networkd.conf", "ManageForeignRoutingPolicyRules=no"))) {
		doctor_say(d, DOCTOR_WARN,
			"systemd-networkd removes routes and rules that it did not install, also ours (%s puts them "
			"back)",
			fact_text(facts, "daemon"));
		doctor_mend(d,
			"mkdir -p /etc/systemd/networkd.conf.d && printf "
			"'[Network]\\nManageForeignRoutes=no\\nManageForeignRoutingPolicyRules=no\\n' "
			">/etc/systemd/networkd.conf.d/50-dmm.conf%s",
			strcmp(fact_text(facts, "init"), "systemd") ? "" : " && systemctl restart systemd-networkd");
	}
	(void)snprintf(what, sizeof(what), "interface-name:%s", device);
	if (fact_int(facts, "processes.NetworkManager") && !file_has(facts, "NetworkManager", what)) {
		doctor_say(d, DOCTOR_WARN, "NetworkManager takes %s for an interface of its own to manage", device);
		doctor_mend(d,
			"mkdir -p /etc/NetworkManager/conf.d && printf "
			"'[keyfile]\\nunmanaged-devices+=interface-name:%s\\n' "
			">/etc/NetworkManager/conf.d/50-dmm.conf%s",
			device,
			strcmp(fact_text(facts, "init"), "systemd") ? "" : " && systemctl reload NetworkManager");
	}
}

void doctor_restored(struct doctor *d, const json_t *facts)
{
	const json_t *n;
	const char *name;
	char text[200] = "";
	size_t used = 0;

	json_object_foreach((json_t *)fact(facts, "status.counters"), name, n) if (!strncmp(name, "restored-", 9) &&
		json_integer_value(n) > 0 && used < sizeof(text)) used += (size_t)snprintf(text + used,
		sizeof(text) - used, "%s%lld %s", used ? ", " : "", (long long)json_integer_value(n), name + 9);
	if (*text)
		doctor_say(d, DOCTOR_WARN,
			"other software deleted or changed what is ours in the kernel, and it was put back (%s): the "
			"daemon's log names what",
			text);
	used = 0;
	text[0] = '\0';
	json_object_foreach((json_t *)fact(facts, "status.counters"), name,
		n) if (!strncmp(name, "kernel-refused-", 15) && json_integer_value(n) > 0 && used < sizeof(text))
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%lld %s", used ? ", " : "",
			(long long)json_integer_value(n), name + 15);
	if (*text)
		doctor_say(d, DOCTOR_WARN,
			"the kernel refused changes since the daemon was started (%s): its log says which and why",
			text);
}

static struct firewall *read_firewall(const json_t *facts)
{
	struct firewall *f = firewall_new();

	if (f) {
		(void)firewall_add_save(f, "ip6tables-legacy", fact_text(facts, "firewall.ip6tables_legacy"));
		/* what iptables-nft made is in both: the words of who made it say more */
		(void)firewall_add_save(f, "ip6tables", fact_text(facts, "firewall.ip6tables"));
		(void)firewall_add_nft(f, fact(facts, "firewall.nft"));
	}
	return f;
}

void doctor_firewall(struct doctor *d, const json_t *facts, const struct firewall_packet *packets, size_t n)
{
	struct firewall *f = read_firewall(facts);

	if (!fact_is(facts, "root"))
		doctor_say(d, DOCTOR_SKIPPED, "only root may read the packet filter's rules");
	for (size_t i = 0; f && i < n; i++) {
		struct firewall_drop drop;

		switch (firewall_try(f, &packets[i], &drop)) {
		case FIREWALL_PASSES:
			continue;
		case FIREWALL_UNCERTAIN:
			doctor_say(d, DOCTOR_WARN, "the packet filter may drop %s: %s", packets[i].what, drop.rule);
			break;
		case FIREWALL_DROPS:
			doctor_say(d, DOCTOR_FAIL, "the packet filter drops %s: %s", packets[i].what, drop.rule);
			break;
		}
		doctor_mend(d, "%s", drop.remedy);
	}
	firewall_free(f);
}

void doctor_rpfilter(struct doctor *d, const json_t *facts)
{
	struct firewall *f = read_firewall(facts);
	struct firewall_drop drop;

	if (f && firewall_has_rpfilter(f, &drop)) {
		doctor_say(d, DOCTOR_FAIL,
			"a strict reverse path check drops packets that come by another way than ours go, as around a "
			"move they do: %s",
			drop.rule);
		doctor_mend(d, "%s", drop.remedy);
	}
	firewall_free(f);
}

void doctor_mtu(struct doctor *d, const json_t *interface)
{
	if (fact_int(interface, "mtu") >= LEAST_MTU || !fact(interface, "mtu"))
		return;
	doctor_say(d, DOCTOR_FAIL,
		"%s takes packets of at most %lld bytes: a tunnelled one needs %d, or is cut in pieces",
		fact_text(interface, "name"), fact_int(interface, "mtu"), LEAST_MTU);
	doctor_mend(d, "ip link set dev %s mtu 1500", doctor_word(fact_text(interface, "name")));
}
