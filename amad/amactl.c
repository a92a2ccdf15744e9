/* SPDX-License-Identifier: GPL-2.0-or-later */
/* amactl.c - asks and tells amad; makes a domain and signs the credentials of its nodes */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <errno.h>
#include <fnmatch.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "checks.h"
#include "credential.h"
#include "ctl.h"
#include "facts.h"
#include "report.h"
#include "settings.h"
#include "storectl.h"
#include "trust.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define DEFAULT_DAYS 3650

static struct ctl ctl = {
	.program = "amactl", .daemon = "amad", .interface = "org.dmm.amad", .socket = RUNSTATEDIR "/dmm/amad.sock"};
static const char *dir = SYSCONFDIR "/dmm", *key_token, *out_path, *state_dir = LOCALSTATEDIR "/lib/dmm/amad";
static struct prefix6 prefixes[CREDENTIAL_PREFIXES_MAX];
static unsigned n_prefixes, days = DEFAULT_DAYS;
static const char *config_path = SYSCONFDIR "/dmm/amad.conf";
static bool force, yes, renew, socket_given;

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

static int cmd_status(int argc, char **argv)
{
	static const struct ctl_column domain_columns[] = {{"name", "DOMAIN"}, {"trusted", "TRUSTED"},
		{"roaming", "ROAMING"}, {"lend", "LEND"}, {"proxy", "PROXY"}, {"leases", "LEASES"},
		{"max_leases", "MOST"}, {"visits", "VISITS"}, {"max_visits", "MOST"}, {"updates", "UPDATES/s"},
		{"refusals", "REFUSED"}, {0}};
	static const char *const keys[] = {"leases", "bindings", "locators", "nodes", "restart_counter", "draining"};
	int status;
	json_t *reply = ctl_call(&ctl, "GetStatus", &status), *v;
	const char *key;
	size_t i;

	(void)argc;
	(void)argv;
	if (!reply)
		return status;
	if (ctl.json) {
		ctl_print_json(reply);
		return CTL_OK;
	}
	(void)printf("anchor %s of domain %s, amad %s, up %s\n\n", ctl_text("node", json_object_get(reply, "node")),
		ctl_text("domain", json_object_get(reply, "domain")),
		ctl_text("version", json_object_get(reply, "version")),
		ctl_text("uptime_s", json_object_get(reply, "uptime_s")));
	json_array_foreach(json_object_get(reply, "pools"), i, v)(void)
		printf("%-16s %s\n", "pool", json_string_value(v));
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		(void)printf("%-16s %s\n", keys[i], ctl_text(keys[i], json_object_get(reply, keys[i])));
	(void)printf("\n");
	ctl_table(json_object_get(reply, "domains"), domain_columns, "no domain is trusted");
	(void)printf("\n");
	json_object_foreach(json_object_get(reply, "counters"), key, v) if (json_integer_value(v) > 0)(void)
		printf("%-32s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(v));
	if (json_array_size(json_object_get(reply, "errors")) > 0)
		(void)printf("\n");
	json_array_foreach(json_object_get(reply, "errors"), i, v)(void)
		printf("last error: %s\n", json_string_value(v));
	json_decref(reply);
	return CTL_OK;
}

static const struct ctl_column lease_columns[] = {{"hnp", "HOME PREFIX"}, {"mn", "NODE"}, {"state", "STATE"},
	{"interface", "INTERFACE"}, {"link_local", "LINK-LOCAL"}, {"remaining_s", "REMAINING"}, {0}};

static int cmd_leases(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return list("ListLeases", "leases", lease_columns, "no lease");
}

static const struct ctl_column binding_columns[] = {{"hnp", "HOME PREFIX"}, {"mn", "NODE"},
	{"care_of", "CARE-OF ADDRESS"}, {"type", "TYPE"}, {"sequence", "SEQUENCE"}, {"remaining_s", "REMAINING"},
	{"since_s", "SINCE"}, {"mtu", "MTU"}, {0}};

static int cmd_bindings(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return list("ListBindings", "bindings", binding_columns, "no binding");
}

static int cmd_visits(int argc, char **argv)
{
	static const struct ctl_column columns[] = {{"hnp", "HOME PREFIX"}, {"mn", "NODE"}, {"anchor_name", "ANCHOR"},
		{"interface", "INTERFACE"}, {"link_local|forwarded_to", "NEXT HOP"}, {"remaining_s", "REMAINING"},
		{"since_s", "SINCE"}, {0}};

	(void)argc;
	(void)argv;
	return list("ListVisits", "visits", columns, "no prefix of another anchor is served");
}

static const struct ctl_column peer_columns[] = {{"name", "AMA"}, {"domain", "DOMAIN"}, {"address", "ADDRESS"},
	{"state", "STATE"}, {"rtt_ms", "RTT ms"}, {"heard_s", "HEARD"}, {"sent", "SENT"}, {"refused", "REFUSED"},
	{"received", "RECEIVED"}, {"received_refused", "REFUSED"}, {"tx_bytes", "OUT B"}, {"rx_bytes", "IN B"},
	{"policy", "POLICY"}, {"last_error", "LAST ERROR"}, {0}};
static const char no_peer[] = "no update was passed on to another AMA, or by one";

static int cmd_peers(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return list("ListPeers", "peers", peer_columns, no_peer);
}

/* --- top ------------------------------------------------------------------------------------------------------- */

#define TOP_BINDINGS 1000 /* of more there is only the number: a list of them every second is work for the daemon */

struct top {
	json_t *counters; /* of the last time */
	double at_s;	  /* the daemon's uptime then */
};

/* What was counted under names that begin so, but for those that go on with but (NULL = none), a second since the last
 * time. */
static double rate(const struct top *t, const json_t *now, double at_s, const char *begin, const char *but)
{
	const json_t *v;
	const char *key;
	size_t n = strlen(begin);
	double sum = 0;

	if (!t->counters || at_s <= t->at_s) /* the first time, or another daemon */
		return 0;
	json_object_foreach(
		(json_t *)now, key, v) if (!strncmp(key, begin, n) && !(but && !strncmp(key + n, but, strlen(but))))
		sum += json_number_value(v) - json_number_value(json_object_get(t->counters, key));
	return sum / (at_s - t->at_s);
}

static int by_since(const void *a, const void *b)
{
	double x = json_number_value(json_object_get(*(json_t *const *)a, "since_s")),
	       y = json_number_value(json_object_get(*(json_t *const *)b, "since_s"));

	return x < y ? -1 : x > y;
}

/* The last that came or moved first. */
static json_t *newest_first(const json_t *all)
{
	size_t n = json_array_size(all);
	json_t **sorted = calloc(n ? n : 1, sizeof(*sorted)), *ret = json_array();

	for (size_t i = 0; sorted && i < n; i++)
		sorted[i] = json_array_get(all, i);
	if (sorted)
		qsort(sorted, n, sizeof(*sorted), by_since);
	for (size_t i = 0; sorted && i < n; i++)
		(void)json_array_append(ret, sorted[i]);
	free(sorted);
	return ret;
}

static int draw_top(void *ctx, unsigned rows)
{
	static const struct ctl_column rates[] = {{"updates", "ANSWERS/s"}, {"refused", "REFUSALS/s"},
		{"handshakes", "HANDSHAKES/s"}, {"received", "RECEIVED/s"}, {"dropped", "DROPPED/s"},
		{"kernel", "KERNEL CHANGES/s"}, {0}};
	struct top *t = ctx;
	int status;
	json_t *reply = ctl_call(&ctl, "GetStatus", &status), *counters = json_object_get(reply, "counters"), *other,
	       *sorted;
	double at_s = json_number_value(json_object_get(reply, "uptime_s"));

	(void)rows;
	if (!reply)
		return status;
	(void)fprintf(ctl_out(), "%s of %s, up %s%s: %s leases, %s bindings, %s locators, %s nodes\n\n",
		ctl_text("node", json_object_get(reply, "node")), ctl_text("domain", json_object_get(reply, "domain")),
		ctl_text("uptime_s", json_object_get(reply, "uptime_s")),
		json_is_true(json_object_get(reply, "draining")) ? ", draining" : "",
		ctl_text("leases", json_object_get(reply, "leases")),
		ctl_text("bindings", json_object_get(reply, "bindings")),
		ctl_text("locators", json_object_get(reply, "locators")),
		ctl_text("nodes", json_object_get(reply, "nodes")));
	other = json_pack("[{s:f, s:f, s:f, s:f, s:f, s:f}]", "updates", rate(t, counters, at_s, "ba-status-", NULL),
		"refused", rate(t, counters, at_s, "ba-status-1", NULL), "handshakes",
		rate(t, counters, at_s, "handshakes", NULL), "received", rate(t, counters, at_s, "udp-rx", NULL),
		"dropped", rate(t, counters, at_s, "decap-", "passed") + rate(t, counters, at_s, "access-", NULL),
		"kernel", rate(t, counters, at_s, "kernel-requests", NULL));
	ctl_table(other, rates, "");
	json_decref(other);
	json_decref(t->counters);
	t->counters = json_incref(counters);
	t->at_s = at_s;
	(void)fprintf(ctl_out(), "\n");
	other = ctl_call(&ctl, "ListPeers", &status);
	ctl_table(json_object_get(other, "peers"), peer_columns, no_peer);
	json_decref(other);
	(void)fprintf(ctl_out(), "\n");
	if (json_integer_value(json_object_get(reply, "bindings")) <= TOP_BINDINGS) {
		other = ctl_call(&ctl, "ListBindings", &status);
		sorted = newest_first(json_object_get(other, "bindings"));
		ctl_table(sorted, binding_columns, "no binding");
		json_decref(sorted);
		json_decref(other);
	} else {
		(void)fprintf(ctl_out(), "more than %d bindings: 'amactl bindings' lists them\n", TOP_BINDINGS);
	}
	json_decref(reply);
	return CTL_OK;
}

static int cmd_top(int argc, char **argv)
{
	struct top t = {0};
	int status = ctl_live(&ctl, draw_top, &t);

	(void)argc;
	(void)argv;
	json_decref(t.counters);
	return status;
}

static int cmd_monitor(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ctl_monitor(&ctl);
}

/* The leases inside a prefix, of a node, or all (what NULL); a new array. NULL after saying why. */
static json_t *affected(const char *what, int *ret_status)
{
	json_t *reply = ctl_call(&ctl, "ListLeases", ret_status), *list, *l;
	struct prefix6 prefix, hnp;
	bool by_prefix = what && prefix6_parse(what, &prefix) == 0;
	size_t i;

	if (!reply)
		return NULL;
	list = json_array();
	json_array_foreach(json_object_get(reply, "leases"), i, l)
	{
		const char *text = json_string_value(json_object_get(l, "hnp")),
			   *node = json_string_value(json_object_get(l, "mn"));

		if (!text || !node ||
			(by_prefix && (prefix6_parse(text, &hnp) < 0 || !prefix6_covers(&prefix, &hnp))) ||
			(what && !by_prefix && strcmp(node, what) != 0))
			continue;
		(void)json_array_append(list, l);
	}
	json_decref(reply);
	return list;
}

static int cmd_revoke(int argc, char **argv)
{
	bool all = argc == 1 && !strcmp(argv[0], "all");
	char question[128];
	json_t *list, *reply;
	int status;

	if (argc != 1) {
		(void)fprintf(stderr, "usage: amactl revoke [--yes] PREFIX | NODE | all\n");
		return CTL_USAGE;
	}
	list = affected(all ? NULL : argv[0], &status);
	if (!list)
		return status;
	if (json_array_size(list) == 0) {
		json_decref(list);
		(void)fprintf(stderr, "amactl: no lease of '%s': 'amactl leases' lists them\n", argv[0]);
		return CTL_FAILED;
	}
	if (!ctl.json)
		ctl_table(list, lease_columns, "");
	(void)snprintf(question, sizeof(question), "Revoke %zu lease%s? Sessions on these prefixes end.",
		json_array_size(list), json_array_size(list) == 1 ? "" : "s");
	json_decref(list);
	if (!ctl_confirm(&ctl, question, yes))
		return CTL_FAILED;
	reply = ctl_call_with(
		&ctl, "Revoke", all ? json_pack("{s:b}", "all", true) : json_pack("{s:s}", "what", argv[0]), &status);
	if (!reply)
		return status;
	if (ctl.json) {
		ctl_print_json(reply);
		return CTL_OK;
	}
	(void)printf("%s revoked; nodes that do not answer are cut off in 3 s\n",
		ctl_text("revoked", json_object_get(reply, "revoked")));
	json_decref(reply);
	return CTL_OK;
}

static int cmd_relocate(int argc, char **argv)
{
	json_t *reply;
	int status;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: amactl relocate FROM TO\n");
		return CTL_USAGE;
	}
	reply = ctl_call_with(&ctl, "Relocate", json_pack("{s:s, s:s}", "from", argv[0], "to", argv[1]), &status);
	if (!reply)
		return status;
	if (ctl.json) {
		ctl_print_json(reply);
		return CTL_OK;
	}
	(void)printf("%s anchors are told, of %s visits; 'amactl peers' shows those that do not answer\n",
		ctl_text("anchors", json_object_get(reply, "anchors")),
		ctl_text("visits", json_object_get(reply, "visits")));
	json_decref(reply);
	return CTL_OK;
}

static int cmd_drain(int argc, char **argv)
{
	bool off = argc == 1 && !strcmp(argv[0], "off");
	char question[160];
	json_t *reply, *list;
	int status;

	if (argc > 1 || (argc == 1 && !off)) {
		(void)fprintf(stderr, "usage: amactl drain [--yes] [off]\n");
		return CTL_USAGE;
	}
	list = affected(NULL, &status);
	if (!list)
		return status;
	(void)snprintf(question, sizeof(question), "Lease nothing more, and let the sessions on %zu lease%s run out?",
		json_array_size(list), json_array_size(list) == 1 ? "" : "s");
	if (!off && !ctl.json)
		ctl_table(list, lease_columns, "no lease");
	json_decref(list);
	if (!off && !ctl_confirm(&ctl, question, yes))
		return CTL_FAILED;
	reply = ctl_call_with(&ctl, "Drain", json_pack("{s:b}", "on", !off), &status);
	if (!reply)
		return status;
	if (ctl.json) {
		ctl_print_json(reply);
		return CTL_OK;
	}
	if (off)
		(void)printf("not draining: new nodes get leases again\n");
	else
		(void)printf(
			"draining: %s left; 'amactl leases' tells who, 'amactl revoke all' ends them, 'amactl drain off' undoes it\n",
			ctl_text("leases", json_object_get(reply, "leases")));
	json_decref(reply);
	return CTL_OK;
}

static int cmd_reload(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ctl_reload(&ctl);
}

/* --- the domain ------------------------------------------------------------------------------------------------ */

static int fail(const char *err)
{
	(void)fprintf(stderr, "amactl: %s\n", err);
	return CTL_FAILED;
}

static const char *in_dir(const char *name, const char *suffix)
{
	static char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%s%s", dir, name, suffix);
	return path;
}

/* Put this line into trusted-domains, in the place of one with the same key. keep: that one stays as it is. */
static int put_trusted(const struct domain *domain, const char *policy, bool keep)
{
	char text[CREDENTIAL_TEXT], line[2048], temporary[4096 + 8], err[CREDENTIAL_ERR];
	const char *path = in_dir("trusted-domains", "");
	FILE *old = fopen(path, "re"), *f;
	struct trust_policy p;
	struct domain d;
	bool found = false;

	(void)domain_to_text(domain, text);
	(void)snprintf(temporary, sizeof(temporary), "%s.new", path);
	f = fopen(temporary, "we");
	if (!f) {
		(void)fprintf(stderr, "amactl: cannot write %s: %s\n", temporary, strerror(errno));
		if (old)
			(void)fclose(old);
		return CTL_FAILED;
	}
	(void)fchmod(fileno(f), 0644);
	while (old && fgets(line, sizeof(line), old)) {
		line[strcspn(line, "\r\n")] = '\0';
		if (trust_parse(line, &d, &p, err) == 1 && !memcmp(d.key, domain->key, sizeof(d.key))) {
			found = true;
			if (!keep)
				continue;
		}
		(void)fprintf(f, "%s\n", line);
	}
	if (old)
		(void)fclose(old);
	if (!found || !keep)
		(void)fprintf(f, "%s%s%s\n", text, *policy ? " " : "", policy);
	if (fflush(f) != 0 || fsync(fileno(f)) < 0 || fclose(f) != 0 || rename(temporary, path) < 0) {
		(void)fprintf(stderr, "amactl: cannot write %s: %s\n", path, strerror(errno));
		(void)unlink(temporary);
		return CTL_FAILED;
	}
	return CTL_OK;
}

static int domain_init(int argc, char **argv)
{
	char err[CREDENTIAL_ERR], text[CREDENTIAL_TEXT];
	const char *path = in_dir("domain.key", "");
	struct domain_key key;

	if (argc != 1) {
		(void)fprintf(stderr, "usage: amactl domain init [--dir DIR] NAME\n");
		return CTL_USAGE;
	}
	(void)mkdir(dir, 0755);
	if (access(path, F_OK) == 0 && !force) {
		(void)fprintf(stderr,
			"amactl: %s exists: a new key would make every credential it signed worthless (--force does it)\n",
			path);
		return CTL_FAILED;
	}
	if (domain_key_generate(argv[0], &key, err) < 0)
		return fail(err);
	if (domain_key_store(path, &key, err) < 0) {
		domain_key_done(&key);
		return fail(err);
	}
	(void)put_trusted(&key.domain, "", true);
	(void)domain_to_text(&key.domain, text);
	domain_key_done(&key);
	ctl_say(&ctl, "token", text);
	(void)fprintf(stderr,
		"domain %s: its signing key is %s, keep it safe; domains that shall trust it run 'amactl domain trust' with the token above\n",
		argv[0], in_dir("domain.key", ""));
	return CTL_OK;
}

static int domain_add(enum credential_role role, int argc, char **argv)
{
	char err[CREDENTIAL_ERR], text[CREDENTIAL_TEXT];
	const char *role_name = role == CREDENTIAL_AMA ? "add-ama" : "add-mn", *final;
	struct credential cred = {.role = role, .from_s = (uint64_t)time(NULL) - 3600, .n_prefixes = n_prefixes};
	struct domain_key key;
	struct identity id = {0};
	struct key_request request;
	int status = CTL_FAILED;

	if (argc != 1 || (role == CREDENTIAL_AMA) != (n_prefixes > 0)) {
		(void)fprintf(stderr,
			"usage: amactl domain %s [--dir DIR] [--days N] [--key TOKEN] [--out FILE] NAME%s\n", role_name,
			role == CREDENTIAL_AMA ? " --prefix PREFIX..." : "");
		return CTL_USAGE;
	}
	if (domain_key_load(in_dir("domain.key", ""), &key, err) < 0)
		return fail(err);
	if (key_token) {
		if (key_request_from_text(key_token, &request, err) < 0)
			goto out;
		if (request.role != role) {
			(void)snprintf(err, sizeof(err), "the token is of a %s: use 'amactl domain %s'",
				credential_role_name(request.role),
				request.role == CREDENTIAL_AMA ? "add-ama" : "add-mn");
			goto out;
		}
		if (strcmp(request.name, argv[0])) {
			(void)snprintf(err, sizeof(err),
				"the token is of a node called %s, not %s: its key belongs to that name", request.name,
				argv[0]);
			goto out;
		}
	} else {
		if (!out_path)
			out_path = in_dir(argv[0], ".identity");
		if ((renew ? identity_load(out_path, &id, err) : identity_generate(role, argv[0], &id, err)) < 0)
			goto out;
		if (id.role != role || strcmp(id.name, argv[0]) != 0) {
			(void)snprintf(err, sizeof(err),
				"%.200s is the identity of the %s %s: nothing to renew for %.60s", out_path,
				credential_role_name(id.role), id.name, argv[0]);
			goto out;
		}
		identity_request(&id, &request);
	}
	(void)snprintf(cred.node, sizeof(cred.node), "%s", argv[0]);
	memcpy(cred.key, request.key, sizeof(cred.key));
	cred.until_s = (uint64_t)time(NULL) + days * 86400ULL;
	memcpy(cred.prefixes, prefixes, n_prefixes * sizeof(prefixes[0]));
	if (credential_sign(&cred, &key) < 0) {
		(void)snprintf(err, sizeof(err), "'%s' cannot be certified: a name has 1 to %d of A-Z a-z 0-9 . _ -",
			argv[0], CREDENTIAL_NAME_MAX);
		goto out;
	}
	if (key_token) {
		(void)credential_to_text(&cred, text);
		ctl_say(&ctl, "credential", text);
		status = CTL_OK;
		goto out;
	}
	if (access(out_path, F_OK) == 0 && !force && !renew) {
		(void)snprintf(err, sizeof(err),
			"%.300s exists (--renew gives its key a new credential, --force replaces it)", out_path);
		goto out;
	}
	if (identity_set_credential(&id, &cred, err) < 0 || identity_store(out_path, &id, err) < 0)
		goto out;
	ctl_say(&ctl, "identity", out_path);
	final = role == CREDENTIAL_AMA ? SYSCONFDIR "/dmm/amad.identity" : SYSCONFDIR "/dmm/mnd.identity";
	if (strcmp(out_path, final) != 0 && !renew)
		(void)fprintf(stderr, "copy it to the %s as %s, mode 0600; it holds a private key\n",
			role == CREDENTIAL_AMA ? "router" : "node", final);
	status = CTL_OK;
out:
	domain_key_done(&key);
	identity_done(&id);
	return status == CTL_OK ? CTL_OK : fail(err);
}

static int domain_trust(int argc, char **argv)
{
	char err[CREDENTIAL_ERR], line[2048] = "";
	struct trust_policy policy;
	struct domain domain;

	if (argc < 1) {
		(void)fprintf(stderr,
			"usage: amactl domain trust [--dir DIR] TOKEN [roaming=no] [lend=no] [proxy=no] [max-leases=N] [max-visits=N] [updates=N] [prefix=PREFIX]...\n");
		return CTL_USAGE;
	}
	for (int i = 0; i < argc; i++)
		if (strlen(line) + strlen(argv[i]) + 2 < sizeof(line))
			(void)snprintf(line + strlen(line), sizeof(line) - strlen(line), "%s ", argv[i]);
	if (strpbrk(line, "#\r\n") || trust_parse(line, &domain, &policy, err) != 1)
		return fail(strpbrk(line, "#\r\n") ? "a token and options are words" : err);
	return put_trusted(&domain, trust_policy_text(&policy), argc == 1);
}

static int cmd_domain(int argc, char **argv)
{
	if (argc > 0 && !strcmp(argv[0], "init"))
		return domain_init(argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], "add-ama"))
		return domain_add(CREDENTIAL_AMA, argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], "add-mn"))
		return domain_add(CREDENTIAL_MN, argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], "trust"))
		return domain_trust(argc - 1, argv + 1);
	(void)fprintf(
		stderr, "usage: amactl domain init NAME | add-ama NAME --prefix PREFIX | add-mn NAME | trust TOKEN\n");
	return CTL_USAGE;
}

static int cmd_store(int argc, char **argv)
{
	if (argc == 1 && !strcmp(argv[0], "check"))
		return storectl_check(state_dir, ctl.json);
	if (argc == 1 && !strcmp(argv[0], "export"))
		return storectl_export(state_dir);
	if (argc == 2 && !strcmp(argv[0], "import"))
		return storectl_import(state_dir, argv[1], force);
	(void)fprintf(stderr, "usage: amactl store [--state-dir DIR] check | export | import [--force] FILE\n");
	return CTL_USAGE;
}

/* --- help when it does not work --------------------------------------------------------------------------------- */

static void add_fault(void *ctx, const char *text)
{
	(void)json_array_append_new(ctx, json_string(text));
}

/* 'access' as interfaces that there are: of a pattern those that it matches, and itself if there are none. */
static void expand_access(struct conf_words *access)
{
	struct conf_words was = *access;
	struct if_nameindex *all = if_nameindex(), *x;

	access->n = 0;
	for (unsigned i = 0; i < was.n; i++) {
		unsigned before = access->n;

		for (x = all; x && x->if_name && strpbrk(was.word[i], "*?["); x++) {
			bool known = false;

			for (unsigned k = 0; k < access->n; k++)
				known |= !strcmp(access->word[k], x->if_name);
			if (known || access->n == CONF_LIST || fnmatch(was.word[i], x->if_name, 0) != 0)
				continue;
			(void)snprintf(access->word[access->n++], sizeof(access->word[0]), "%s", x->if_name);
		}
		if (access->n == before && access->n < CONF_LIST)
			memcpy(access->word[access->n++], was.word[i], sizeof(was.word[0]));
	}
	if (all)
		if_freenameindex(all);
}

/* Everything that doctor judges. */
static json_t *gather(void)
{
	static struct amad_config config;
	struct facts_request q = {.ctl = &ctl, .config = config_path};
	json_t *faults = json_array(), *facts, *pool = json_array(), *access_list = json_array(), *peers;
	char err[CTL_ERR];
	int status, pid;

	(void)amad_config_read(config_path, true, &config, add_fault, faults);
	if (!socket_given)
		ctl.socket = config.control_socket;
	q.identity = config.identity;
	q.trusted = config.trusted_domains;
	q.state = config.state_dir;
	q.user = config.user;
	q.tunnel = config.tunnel_device;
	q.port = config.port;
	q.faults = faults;
	facts = facts_gather(&q);
	json_decref(faults);
	for (unsigned i = 0; i < config.pool.n; i++)
		(void)json_array_append_new(pool, json_string(prefix6_text(&config.pool.prefix[i])));
	expand_access(&config.access);
	for (unsigned i = 0; i < config.access.n; i++)
		(void)json_array_append_new(access_list, json_string(config.access.word[i]));
	(void)json_object_set_new(facts, "pool", pool);
	(void)json_object_set_new(facts, "access", access_list);
	(void)json_object_set_new(facts, "socket", json_string(ctl.socket));
	peers = ctl_try(&ctl, "ListPeers", NULL, &status, err, &pid);
	(void)json_object_set(facts, "peers", json_object_get(peers, "peers"));
	json_decref(peers);
	return facts;
}

static int cmd_report(int argc, char **argv)
{
	static const char *const methods[] = {
		"GetStatus", "ListLeases", "ListBindings", "ListVisits", "ListPeers", NULL};

	(void)argc;
	(void)argv;
	return report_command(&ctl, amad_checks, gather(), methods);
}

static int cmd_doctor(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return doctor_command(&ctl, amad_checks, gather());
}

static void print_fault(void *ctx, const char *text)
{
	(void)ctx;
	(void)fprintf(stderr, "amactl: %s\n", text);
}

/* The on-link prefix of an address, if a node can form an address in it (RFC 4862): /64, and not link-local. */
static bool can_be_advertised(const struct ifaddrs *a, const char *link)
{
	const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)a->ifa_addr,
				  *mask = (const struct sockaddr_in6 *)a->ifa_netmask;
	static const uint8_t half[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	return address && mask && address->sin6_family == AF_INET6 && !strcmp(a->ifa_name, link) &&
		!IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr) && !memcmp(&mask->sin6_addr, half, sizeof(half));
}

/* What radvd is to say on the access interfaces so that nodes find this anchor (RFC 6275 7.1 and 7.2: home-agent flag
 * and router address). The intervals are the shortest that radvd takes there (RFC 6275 7.5): a node that has moved
 * hears where it is before it has asked. */
static int cmd_radvd_config(int argc, char **argv)
{
	static struct amad_config config;
	struct ifaddrs *all, *a;
	int status = CTL_OK;

	(void)argc;
	(void)argv;
	if (amad_config_read(config_path, true, &config, print_fault, NULL) > 0)
		return CTL_FAILED;
	if (getifaddrs(&all) < 0) {
		(void)fprintf(stderr, "amactl: cannot list the interfaces' addresses: %s\n", strerror(errno));
		return CTL_FAILED;
	}
	(void)printf(
		"# radvd.conf(5), by 'amactl radvd-config' from %s and the addresses of the interfaces\n", config_path);
	expand_access(&config.access);
	for (unsigned i = 0; i < config.access.n; i++) {
		const char *link = config.access.word[i];
		unsigned n = 0;

		for (a = all; a; a = a->ifa_next) {
			if (!can_be_advertised(a, link))
				continue;
			if (n++ == 0)
				(void)printf(
					"interface %s {\n"
					"\tAdvSendAdvert on; AdvHomeAgentFlag on;\n"
					"\tMinRtrAdvInterval 0.03; MaxRtrAdvInterval 0.07; MinDelayBetweenRAs 0.03;\n"
					"\tAdvIntervalOpt on; AdvDefaultLifetime 30;\n",
					link);
			/* the whole address: it is where the anchor is asked */
			(void)printf("\tprefix %s/64 { AdvRouterAddr on; };\n",
				in6_text(&((const struct sockaddr_in6 *)a->ifa_addr)->sin6_addr));
		}
		if (n) {
			(void)printf("};\n");
			continue;
		}
		(void)fprintf(stderr,
			"amactl: %s has no IPv6 address of a /64 that nodes could use: 'ip -6 addr add PREFIX::1/64 "
			"dev %s' gives it one\n",
			link, link);
		status = CTL_FAILED;
	}
	freeifaddrs(all);
	return status;
}

static const struct ctl_command commands[] = {
	{"status", "", "pools, leases, bindings, counters, last errors", cmd_status},
	{"leases", "", "who holds which home network prefix", cmd_leases},
	{"bindings", "", "the binding cache", cmd_bindings},
	{"visits", "", "prefixes of other anchors whose nodes are on our links", cmd_visits},
	{"peers", "", "AMAs that we passed updates on to, or that did so to us", cmd_peers},
	{"top", "", "rates, peers and bindings, live; q ends it", cmd_top},
	{"monitor", "", "a line an event, until interrupted", cmd_monitor},
	{"revoke", "WHAT", "take leases back: those in a PREFIX, of a NODE, or all", cmd_revoke},
	{"drain", "[off]", "no new leases, let sessions run out, tell what is left", cmd_drain},
	{"relocate", "FROM TO", "our address FROM goes, TO is there: move the tunnels of all visits", cmd_relocate},
	{"reload", "", "read the configuration again", cmd_reload},
	{"doctor", "", "what is wrong here, and the command that mends it", cmd_doctor},
	{"report", "", "what a bug report needs, without keys", cmd_report},
	{"radvd-config", "", "a radvd.conf for the access interfaces", cmd_radvd_config},
	{"store", "...", NULL, cmd_store},
	{"store check", "", "is the store of a stopped amad whole?", NULL},
	{"store export", "", "write it as JSON", NULL},
	{"store import", "FILE", "make one of that", NULL},
	{"domain", "...", NULL, cmd_domain},
	{"domain init", "NAME", "make a domain's signing key", NULL},
	{"domain add-ama", "NAME", "an anchor's identity, with --prefix PREFIX for each it may anchor", NULL},
	{"domain add-mn", "NAME", "a node's identity, or with --key TOKEN its credential on one line", NULL},
	{"domain trust", "TOKEN", "believe another domain; behind it what its nodes and AMAs may do here, as lend=no",
		NULL},
	{0},
};

static void usage(FILE *f)
{
	(void)fprintf(f, "usage: amactl [--json] [--color[=WHEN]] [--socket PATH] [--config FILE] COMMAND\n\n");
	for (const struct ctl_command *c = commands; c->name; c++)
		if (c->help)
			(void)fprintf(f, "  %-14s %-6s %s\n", c->name, c->args, c->help);
	(void)fprintf(f,
		"\n  --dir DIR (" SYSCONFDIR
		"/dmm), --prefix PREFIX, --key TOKEN, --out FILE, --days N (%d), --force, --renew: of domain\n"
		"  --state-dir DIR (" LOCALSTATEDIR "/lib/dmm/amad), --force: of store\n"
		"  --yes: do not ask\n"
		"  --color=WHEN: " CTL_COLOUR_HELP "\n"
		"  --help, --version\n\n"
		"Exit status: 0 done, 1 failed, 2 wrong usage, 3 amad cannot be reached. See amactl(1).\n",
		DEFAULT_DAYS);
}

int main(int argc, char **argv)
{
	enum { SHOW_VERSION = 256, COLOUR, RENEW, DIR_OPTION, STATE_DIR, PREFIX, KEY, OUT, DAYS };
	static const struct option options[] = {{"json", no_argument, NULL, 'j'},
		{"color", optional_argument, NULL, COLOUR}, {"socket", required_argument, NULL, 's'},
		{"config", required_argument, NULL, 'c'}, {"renew", no_argument, NULL, RENEW},
		{"dir", required_argument, NULL, DIR_OPTION}, {"state-dir", required_argument, NULL, STATE_DIR},
		{"prefix", required_argument, NULL, PREFIX}, {"key", required_argument, NULL, KEY},
		{"out", required_argument, NULL, OUT}, {"days", required_argument, NULL, DAYS},
		{"force", no_argument, NULL, 'f'}, {"yes", no_argument, NULL, 'y'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, SHOW_VERSION}, {0}};
	int o;

	(void)secret_start();
	while ((o = getopt_long(argc, argv, "js:c:fyh", options, NULL)) != -1) {
		switch (o) {
		case 'j':
			ctl.json = true;
			break;
		case COLOUR:
			if (ctl_set_colour(optarg))
				break;
			(void)fprintf(stderr, "amactl: --color takes " CTL_COLOUR_HELP "\n");
			return CTL_USAGE;
		case 's':
			ctl.socket = optarg;
			socket_given = true;
			break;
		case 'c':
			config_path = optarg;
			break;
		case RENEW:
			renew = true;
			break;
		case DIR_OPTION:
			dir = optarg;
			break;
		case STATE_DIR:
			state_dir = optarg;
			break;
		case PREFIX:
			if (n_prefixes == CREDENTIAL_PREFIXES_MAX || prefix6_parse(optarg, &prefixes[n_prefixes]) < 0) {
				(void)fprintf(stderr,
					"amactl: '%s' is not an IPv6 prefix as 2001:db8:1::/48 (at most %d of them)\n",
					optarg, CREDENTIAL_PREFIXES_MAX);
				return CTL_USAGE;
			}
			n_prefixes++;
			break;
		case KEY:
			key_token = optarg;
			break;
		case OUT:
			out_path = optarg;
			break;
		case DAYS:
			days = (unsigned)strtoul(optarg, NULL, 10);
			if (days == 0 || days > 36500) {
				(void)fprintf(stderr, "amactl: --days takes a number from 1 to 36500\n");
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
			(void)printf("amactl (DMM for Linux) %s\n", PACKAGE_VERSION);
			return CTL_OK;
		default:
			usage(stderr);
			return CTL_USAGE;
		}
	}
	argc -= optind;
	argv += optind;
	if (argc == 0)
		return cmd_status(0, NULL);
	return ctl_run(&ctl, commands, argc, argv);
}
