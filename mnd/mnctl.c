/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mnctl.c - asks and tells mnd; makes the node's key and takes its credential */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "checks.h"
#include "credential.h"
#include "ctl.h"
#include "facts.h"
#include "ping.h"
#include "report.h"
#include "settings.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static struct ctl ctl = {
	.program = "mnctl", .daemon = "mnd", .interface = "org.dmm.mnd", .socket = RUNSTATEDIR "/dmm/mnd.sock"};
static const char *identity_path = SYSCONFDIR "/dmm/mnd.identity", *config_path = SYSCONFDIR "/dmm/mnd.conf";
static bool config_given, socket_given;
static bool force, yes;
static unsigned count = 4;

static int list(const char *method, const char *key, const struct ctl_column *columns, const char *empty)
{
	int status;
	json_t *reply = ctl_call(&ctl, method, &status);

	if (!reply)
		return status;
	if (ctl.json) {
		ctl_print_json(reply);
		return CTL_OK;
	}
	ctl_table(json_object_get(reply, key), columns, empty);
	json_decref(reply);
	return CTL_OK;
}

static const struct ctl_column home_columns[] = {{"address", "HOME ADDRESS"}, {"anchor_name", "ANCHOR"},
	{"state", "STATE"}, {"path", "PATH"}, {"care_of", "CARE-OF ADDRESS"}, {"sessions", "SESSIONS"},
	{"lease_remaining_s", "LEASE"}, {0}};

/* Of the last handovers, at most n: from, to, and what each part took. */
static void show_handovers(const json_t *all, size_t n)
{
	static const struct ctl_column columns[] = {{"when", "WHEN"}, {"from", "FROM"}, {"to", "TO"}, {"ama", "AMA"},
		{"router_ms", "LINK ms"}, {"address_ms", "ADDRESS ms"}, {"registration_ms", "REGISTRATION ms"},
		{"first_packet_ms", "PACKET ms"}, {"total_ms", "TOTAL ms"}, {"sessions", "SESSIONS"},
		{"tries", "TRIES"}, {"datagrams_sent", "SENT"}, {"datagrams_received", "RECEIVED"}, {0}};
	size_t size = json_array_size(all);
	json_t *last = json_array();

	for (size_t i = size > n ? size - n : 0; i < size; i++) {
		json_t *h = json_copy(json_array_get(all, i));
		time_t at = (time_t)json_integer_value(json_object_get(h, "at"));
		char when[32];

		(void)strftime(
			when, sizeof(when), time(NULL) - at < 86400 ? "%H:%M:%S" : "%b %d %H:%M", localtime(&at));
		(void)json_object_set_new(h, "when", json_string(when));
		if (!*json_string_value(json_object_get(h, "from")))
			(void)json_object_set_new(h, "from", json_null());
		(void)json_array_append_new(last, h);
	}
	ctl_table(last, columns, "no handover yet");
	json_decref(last);
}

static int cmd_status(int argc, char **argv)
{
	static const struct ctl_column attachments[] = {{"interface", "INTERFACE"}, {"carrier", "CARRIER"},
		{"selected", "IN USE"}, {"care_of", "CARE-OF ADDRESS"}, {"router", "ROUTER"}, {"ama_name|ama", "AMA"},
		{0}};
	static const char *const alarming[] = {
		"channel-", "mh-", "restored-", "kernel-refused-", "decap-wrong", "decap-unbound", "netlink-overruns"};
	int status;
	json_t *reply = ctl_call(&ctl, "GetStatus", &status), *v;
	const char *key;

	(void)argc;
	(void)argv;
	if (!reply)
		return status;
	if (ctl.json) {
		ctl_print_json(reply);
		return CTL_OK;
	}
	(void)printf("node %s of domain %s, mnd %s, up %s\n\n", ctl_text("node", json_object_get(reply, "node")),
		ctl_text("domain", json_object_get(reply, "domain")),
		ctl_text("version", json_object_get(reply, "version")),
		ctl_text("uptime_s", json_object_get(reply, "uptime_s")));
	ctl_table(json_object_get(reply, "attachments"), attachments, "no interface to use");
	(void)printf("\n");
	ctl_table(json_object_get(reply, "home_addresses"), home_columns, "no home address");
	(void)printf("\n");
	show_handovers(json_object_get(reply, "handovers"), 5);
	(void)printf("\n");
	json_object_foreach(json_object_get(reply, "counters"), key, v)
	{
		for (size_t i = 0; i < sizeof(alarming) / sizeof(alarming[0]); i++)
			if (!strncmp(key, alarming[i], strlen(alarming[i])) && json_integer_value(v) > 0 &&
				strcmp(key, "channel-ok") && strncmp(key, "channel-tx", 10))
				(void)printf("%-32s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(v));
	}
	json_decref(reply);
	return CTL_OK;
}

static int cmd_leases(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return list("ListLeases", "leases", home_columns, "no home address");
}

static int cmd_bindings(int argc, char **argv)
{
	static const struct ctl_column columns[] = {{"hnp", "HOME PREFIX"}, {"anchor", "ANCHOR"},
		{"care_of", "CARE-OF ADDRESS"}, {"remaining_s", "REMAINING"}, {"sequence", "SEQUENCE"},
		{"outstanding", "OUTSTANDING"}, {"tries", "TRIES"}, {0}};

	(void)argc;
	(void)argv;
	return list("ListBindings", "bindings", columns, "no binding: every session is on an address of this network");
}

/* Tell each session whose socket this is that process pid has it open. */
static void add_process(json_t *sessions, unsigned long inode, int pid, const char *name)
{
	json_t *session;
	size_t i;

	json_array_foreach(sessions, i, session)
	{
		json_t *processes = json_object_get(session, "processes");
		const json_t *last = json_array_get(processes, json_array_size(processes) - 1);

		/* two descriptors of one process are one process */
		if ((unsigned long)json_integer_value(json_object_get(session, "inode")) == inode &&
			json_integer_value(json_object_get(last, "pid")) != pid)
			(void)json_array_append_new(processes, json_pack("{s:i, s:s}", "pid", pid, "name", name));
	}
}

static void search_process(json_t *sessions, int pid)
{
	char path[64], link[64], name[64] = "?";
	const struct dirent *e;
	FILE *f;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		return; /* it has ended, or is somebody else's */
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (f && fgets(name, sizeof(name), f))
		name[strcspn(name, "\n")] = '\0';
	for (char *c = name; *c; c++) /* a process may call itself anything */
		if (*c < ' ' || *c > '~')
			*c = '?';
	if (f)
		(void)fclose(f);
	while ((e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);
		unsigned long inode;

		link[n > 0 ? n : 0] = '\0';
		if (sscanf(link, "socket:[%lu]", &inode) == 1)
			add_process(sessions, inode, pid, name);
	}
	(void)closedir(d);
}

/* Which processes have these sockets open: mnctl looks, with the rights of who asks, because mnd has none to look into
 * processes. */
static void add_processes(json_t *sessions)
{
	DIR *d = opendir("/proc");
	const struct dirent *e;
	json_t *session;
	size_t i;

	json_array_foreach(sessions, i, session)(void) json_object_set_new(session, "processes", json_array());
	while (d && json_array_size(sessions) > 0 && (e = readdir(d)))
		if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
			search_process(sessions, atoi(e->d_name));
	if (d)
		(void)closedir(d);
}

/* For people: "[peer]:port" and "name(pid)", "+1" if there is another. */
static void add_texts(json_t *sessions)
{
	char text[160];
	json_t *session;
	size_t i;

	json_array_foreach(sessions, i, session)
	{
		const json_t *processes = json_object_get(session, "processes"), *first = json_array_get(processes, 0);
		const char *peer = json_string_value(json_object_get(session, "peer"));

		if (peer) {
			(void)snprintf(text, sizeof(text), "[%s]:%d", peer,
				(int)json_integer_value(json_object_get(session, "peer_port")));
			(void)json_object_set_new(session, "peer", json_string(text));
		}
		if (!first)
			continue;
		(void)snprintf(text, sizeof(text), "%s(%d)", json_string_value(json_object_get(first, "name")),
			(int)json_integer_value(json_object_get(first, "pid")));
		if (json_array_size(processes) > 1)
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), " +%zu",
				json_array_size(processes) - 1);
		(void)json_object_set_new(session, "process", json_string(text));
	}
}

/* Takes from the reply of ListSessions what people read. */
static void show_sessions(json_t *reply)
{
	static const struct ctl_column columns[] = {{"process", "PROCESS"}, {"protocol", "PROTOCOL"}, {"peer", "PEER"},
		{"home_address", "HOME ADDRESS"}, {"port", "PORT"}, {"anchor", "ANCHOR"}, {"tunnelled", "TUNNELLED"},
		{"since_s", "SINCE"}, {0}};
	json_t *sessions = json_object_get(reply, "sessions");

	add_processes(sessions);
	add_texts(sessions);
	ctl_table(sessions, columns, "no session on a home address");
	if (json_integer_value(json_object_get(reply, "left_out")) > 0)
		(void)fprintf(ctl_out(), "and %s more\n", ctl_text("left_out", json_object_get(reply, "left_out")));
}

static int cmd_sessions(int argc, char **argv)
{
	int status;
	json_t *reply = ctl_call(&ctl, "ListSessions", &status);

	(void)argc;
	(void)argv;
	if (!reply)
		return status;
	if (ctl.json) {
		add_processes(json_object_get(reply, "sessions"));
		ctl_print_json(reply);
		return CTL_OK;
	}
	show_sessions(reply);
	json_decref(reply);
	return CTL_OK;
}

static int cmd_pins(int argc, char **argv)
{
	static const struct ctl_column columns[] = {{"command", "COMMAND"}, {"pid", "PID"}, {"uid", "USER"},
		{"type", "TYPE"}, {"home_address", "HOME ADDRESS"}, {"anchor", "ANCHOR"}, {"state", "STATE"},
		{"since_s", "SINCE"}, {0}};
	int status;
	json_t *j = ctl_call(&ctl, "ListPins", &status);

	(void)argc;
	(void)argv;
	if (!j)
		return status;
	if (ctl.json) {
		ctl_print_json(j);
		return status;
	}
	ctl_table(json_object_get(j, "pins"), columns, "no program is pinned: 'hoa-exec COMMAND' pins one");
	json_decref(j);
	return status;
}

static int cmd_history(int argc, char **argv)
{
	int status;
	json_t *reply = ctl_call(&ctl, "GetStatus", &status);

	(void)argc;
	(void)argv;
	if (!reply)
		return status;
	if (ctl.json)
		ctl_print_json(json_pack("{s:O}", "handovers", json_object_get(reply, "handovers")));
	else
		show_handovers(
			json_object_get(reply, "handovers"), json_array_size(json_object_get(reply, "handovers")));
	json_decref(reply);
	return CTL_OK;
}

static int draw_top(void *ctx, unsigned rows)
{
	int status;
	json_t *reply = ctl_call(&ctl, "GetStatus", &status), *sessions, *v;
	const char *network = "no network";
	size_t i;

	(void)ctx;
	if (!reply)
		return status;
	sessions = ctl_call(&ctl, "ListSessions", &status);
	json_array_foreach(
		json_object_get(reply, "attachments"), i, v) if (json_is_true(json_object_get(v, "selected")))
		network = ctl_text("interface", json_object_get(v, "interface"));
	(void)fprintf(ctl_out(), "%s of %s, up %s, on %s, %zu sessions\n\n",
		ctl_text("node", json_object_get(reply, "node")), ctl_text("domain", json_object_get(reply, "domain")),
		ctl_text("uptime_s", json_object_get(reply, "uptime_s")), network,
		json_array_size(json_object_get(sessions, "sessions")));
	ctl_table(json_object_get(reply, "home_addresses"), home_columns, "no home address");
	(void)fprintf(ctl_out(), "\n");
	show_handovers(json_object_get(reply, "handovers"), rows > 40 ? 10 : 5);
	(void)fprintf(ctl_out(), "\n");
	show_sessions(sessions);
	json_decref(sessions);
	json_decref(reply);
	return CTL_OK;
}

static int cmd_top(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ctl_live(&ctl, draw_top, NULL);
}

static int cmd_monitor(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ctl_monitor(&ctl);
}

static int cmd_release(int argc, char **argv)
{
	static const struct ctl_column columns[] = {
		{"protocol", "PROTOCOL"}, {"port", "PORT"}, {"peer", "PEER"}, {"peer_port", "PORT"}, {0}};
	struct in6_addr released, home;
	json_t *reply, *list, *s;
	char question[160];
	int status;
	size_t i;

	if (argc != 1 || inet_pton(AF_INET6, argv[0], &released) != 1) {
		(void)fprintf(stderr, "usage: mnctl release [--yes] ADDRESS\n");
		return CTL_USAGE;
	}
	reply = ctl_call(&ctl, "ListSessions", &status);
	if (!reply)
		return status;
	list = json_array();
	json_array_foreach(json_object_get(reply, "sessions"), i, s)
	{
		const char *address = json_string_value(json_object_get(s, "home_address"));

		if (address && inet_pton(AF_INET6, address, &home) == 1 && IN6_ARE_ADDR_EQUAL(&home, &released))
			(void)json_array_append(list, s);
	}
	json_decref(reply);
	if (!ctl.json && json_array_size(list) > 0)
		ctl_table(list, columns, "");
	(void)snprintf(question, sizeof(question), "Release %.64s? %zu session%s on it end%s.", argv[0],
		json_array_size(list), json_array_size(list) == 1 ? "" : "s", json_array_size(list) == 1 ? "s" : "");
	json_decref(list);
	if (!ctl_confirm(&ctl, question, yes))
		return CTL_FAILED;
	json_decref(ctl_call_with(&ctl, "Release", json_pack("{s:s}", "address", argv[0]), &status));
	return status;
}

static int cmd_reload(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ctl_reload(&ctl);
}

static int cmd_keygen(int argc, char **argv)
{
	char err[CREDENTIAL_ERR], text[CREDENTIAL_TEXT], name[CREDENTIAL_NAME_MAX + 1] = "";
	struct key_request request;
	struct identity id;
	int r;

	if (argc > 1) {
		(void)fprintf(stderr, "usage: mnctl keygen [NAME]\n");
		return CTL_USAGE;
	}
	if (argc == 1)
		(void)snprintf(name, sizeof(name), "%s", argv[0]);
	else
		(void)gethostname(name, sizeof(name) - 1);
	if (access(identity_path, F_OK) == 0 && !force) {
		r = identity_load(identity_path, &id, err);
		if (r < 0) {
			(void)fprintf(stderr, "mnctl: %s\n", err);
			return CTL_FAILED;
		}
		(void)fprintf(stderr,
			"mnctl: %s exists already; this is its token (--force makes a new key and loses the old one)\n",
			identity_path);
	} else {
		r = identity_generate(CREDENTIAL_MN, name, &id, err);
		if (r < 0 || identity_store(identity_path, &id, err) < 0) {
			(void)fprintf(stderr, "mnctl: %s\n", err);
			return CTL_FAILED;
		}
	}
	identity_request(&id, &request);
	(void)key_request_to_text(&request, text);
	ctl_say(&ctl, "token", text);
	identity_done(&id);
	return CTL_OK;
}

static void joined(const struct credential *cred, bool runs)
{
	if (ctl.json)
		ctl_print_json(json_pack("{s:s, s:s, s:b}", "node", cred->node, "domain", cred->domain, "runs", runs));
	else
		(void)printf("%s is a node of domain %s now; %s\n", cred->node, cred->domain,
			runs ? "mnd runs: 'mnctl status' shows what it does" : "start mnd");
}

/* A node that has joined wants mnd, now and after each boot. Only where the key is that mnd reads, and systemd
 * runs it. */
static int start_daemon(const struct credential *cred)
{
	char name[] = "systemctl", enable[] = "enable", now[] = "--now",
	     unit[] = "mnd", *const command[] = {name, enable, now, unit, NULL};
	pid_t pid;
	int status, r;

	if (strcmp(identity_path, SYSCONFDIR "/dmm/mnd.identity") != 0 || access("/run/systemd/system", F_OK) < 0) {
		joined(cred, false);
		return CTL_OK;
	}
	r = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);
	if (r == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		joined(cred, true);
		return CTL_OK;
	}
	(void)fprintf(stderr,
		"mnctl: %s is a node of domain %s now, but 'systemctl enable --now mnd' failed%s%s; 'journalctl -u mnd' has the reason\n",
		cred->node, cred->domain, r ? ": " : "", r ? strerror(r) : "");
	return CTL_FAILED;
}

static int cmd_join(int argc, char **argv)
{
	char err[CREDENTIAL_ERR];
	struct credential cred;
	struct identity id;
	int r = -1;

	if (argc != 1) {
		(void)fprintf(stderr, "usage: mnctl join TOKEN   (what 'amactl domain add-mn' printed)\n");
		return CTL_USAGE;
	}
	if (identity_load(identity_path, &id, err) < 0) {
		(void)fprintf(stderr, "mnctl: %s; run 'mnctl keygen' first\n", err);
		return CTL_FAILED;
	}
	if (credential_from_text(argv[0], &cred, err) == 0 && identity_set_credential(&id, &cred, err) == 0 &&
		identity_store(identity_path, &id, err) == 0)
		r = 0;
	identity_done(&id);
	if (r < 0) {
		(void)fprintf(stderr, "mnctl: %s\n", err);
		return CTL_FAILED;
	}
	return start_daemon(&cred);
}

/* --- help when it does not work --------------------------------------------------------------------------------- */

static void add_fault(void *ctx, const char *text)
{
	(void)json_array_append_new(ctx, json_string(text));
}

/* How each anchor of a home address is reached, asked twice. */
static void add_anchors(json_t *facts)
{
	json_t *anchors = json_array(), *home, *a;
	size_t i, k;

	json_array_foreach(json_object_get(json_object_get(facts, "status"), "home_addresses"), i, home)
	{
		const char *address = json_string_value(json_object_get(home, "anchor"));
		char err[CTL_ERR];
		bool known = !address;

		json_array_foreach(anchors, k, a)
			known |= !known && !strcmp(json_string_value(json_object_get(a, "address")), address);
		a = known ? NULL : ping_anchor(&ctl, address, 2, false, err);
		if (a)
			(void)json_array_append_new(anchors, a);
		else if (!known)
			(void)json_array_append_new(anchors,
				json_pack("{s:s, s:s, s:s, s:i}", "anchor", address, "address", address, "error", err,
					"received", 0));
	}
	(void)json_object_set_new(facts, "anchors", anchors);
}

/* Everything that doctor judges. */
static json_t *gather(void)
{
	static struct mnd_config config;
	struct facts_request q = {.ctl = &ctl, .config = config_path, .state_is_file = true};
	json_t *faults = json_array(), *facts;

	(void)mnd_config_read(config_path, config_given, &config, add_fault, faults);
	if (!socket_given)
		ctl.socket = config.control_socket;
	q.identity = config.identity;
	q.trusted = config.trusted_domains;
	q.state = config.state;
	q.user = config.user;
	q.tunnel = config.tunnel_device;
	q.port = config.port;
	q.faults = faults;
	facts = facts_gather(&q);
	json_decref(faults);
	add_anchors(facts);
	return facts;
}

static int cmd_ping(int argc, char **argv)
{
	if (argc != 1) {
		(void)fprintf(stderr,
			"usage: mnctl ping [--count N] ANCHOR   (name or address; 'mnctl leases' lists them)\n");
		return CTL_USAGE;
	}
	return ping_command(&ctl, argv[0], count);
}

static int cmd_report(int argc, char **argv)
{
	static const char *const methods[] = {
		"GetStatus", "ListLeases", "ListBindings", "ListSessions", "ListPins", NULL};

	(void)argc;
	(void)argv;
	return report_command(&ctl, mnd_checks, gather(), methods);
}

static int cmd_doctor(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return doctor_command(&ctl, mnd_checks, gather());
}

static const struct ctl_command commands[] = {
	{"status", "", "where this node is, its home addresses, the last handovers", cmd_status},
	{"leases", "", "home addresses and who anchors them", cmd_leases},
	{"bindings", "", "the binding update list", cmd_bindings},
	{"sessions", "", "sockets that use a home address", cmd_sessions},
	{"pins", "", "programs that hoa-exec has pinned to a home address", cmd_pins},
	{"history", "", "the last handovers, their parts and what they cost", cmd_history},
	{"top", "", "home addresses, handovers and sessions, live; q ends it", cmd_top},
	{"monitor", "", "a line an event, until interrupted", cmd_monitor},
	{"release", "ADDRESS", "give a home address back, sessions or not", cmd_release},
	{"reload", "", "read the configuration again", cmd_reload},
	{"ping", "ANCHOR", "round trip and path MTU of the channel to an anchor", cmd_ping},
	{"doctor", "", "what is wrong here, and the command that mends it", cmd_doctor},
	{"report", "", "what a bug report needs, without keys", cmd_report},
	{"keygen", "[NAME]", "make this node's key and print its token for the domain", cmd_keygen},
	{"join", "TOKEN", "take the credential that the domain made", cmd_join},
	{0},
};

static void usage(FILE *f)
{
	(void)fprintf(f,
		"usage: mnctl [--json] [--color[=WHEN]] [--socket PATH] [--config FILE] [--identity PATH] [--force] [--yes] [--count N] COMMAND\n\n");
	for (const struct ctl_command *c = commands; c->name; c++)
		(void)fprintf(f, "  %-9s %-7s %s\n", c->name, c->args, c->help);
	(void)fprintf(f,
		"\n  --color=WHEN: " CTL_COLOUR_HELP "\n  --help, --version\n"
		"\nExit status: 0 done, 1 failed, 2 wrong usage, 3 mnd cannot be reached. See mnctl(1).\n");
}

int main(int argc, char **argv)
{
	enum { SHOW_VERSION = 256, COLOUR };
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"color", optional_argument, NULL, COLOUR}, {"socket", required_argument, NULL, 's'},
		{"config", required_argument, NULL, 'c'}, {"identity", required_argument, NULL, 'i'},
		{"force", no_argument, NULL, 'f'}, {"yes", no_argument, NULL, 'y'},
		{"count", required_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, SHOW_VERSION}, {0}};
	int o;

	(void)secret_start();
	(void)umask(077);
	while ((o = getopt_long(argc, argv, "js:c:i:n:fyh", options, NULL)) != -1) {
		switch (o) {
		case 'j':
			ctl.json = true;
			break;
		case COLOUR:
			if (ctl_set_colour(optarg))
				break;
			(void)fprintf(stderr, "mnctl: --color takes " CTL_COLOUR_HELP "\n");
			return CTL_USAGE;
		case 's':
			ctl.socket = optarg;
			socket_given = true;
			break;
		case 'c':
			config_path = optarg;
			config_given = true;
			break;
		case 'i':
			identity_path = optarg;
			break;
		case 'n':
			count = (unsigned)strtoul(optarg, NULL, 10);
			if (count == 0 || count > 100000) {
				(void)fprintf(stderr, "mnctl: --count takes a number from 1 to 100000\n");
				return CTL_USAGE;
			}
			break;
		case 'f':
			force = true;
			break;
		case 'y':
			yes = true;
			break;
		case 'h':
			usage(stdout);
			return CTL_OK;
		case SHOW_VERSION:
			(void)printf("mnctl (DMM for Linux) %s\n", PACKAGE_VERSION);
			return CTL_OK;
		default:
			usage(stderr);
			return CTL_USAGE;
		}
	}
	if (optind == argc)
		return cmd_status(0, NULL);
	return ctl_run(&ctl, commands, argc - optind, argv + optind);
}
