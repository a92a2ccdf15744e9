/* SPDX-License-Identifier: GPL-2.0-or-later */
/* facts.c - what a doctor looks at, read and not judged
 *
 * Nothing here changes anything: the packet filter is listed, files are read, and what the kernel can do is tried in a
 * network namespace of a child that ends at once. */
#include "facts.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <linux/bpf.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "credential.h"
#include "fwd.h"
#include "nl.h"
#include "srccheck.h"
#include "trust.h"

#define FILE_LIMIT   (256 * 1024)
#define OUTPUT_LIMIT (16 * 1024 * 1024)

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

/* All of a file or a program's output, up to a limit; NULL if there is none. Freed by the caller. */
static char *read_all(FILE *f, size_t limit)
{
	size_t n = 0, size = 65536;
	char *buf = f ? malloc(size + 1) : NULL;

	while (buf && n < limit) {
		size_t got = fread(buf + n, 1, size - n, f);
		char *more;

		if (got == 0)
			break;
		n += got;
		if (n < size)
			continue;
		more = realloc(buf, 2 * size + 1);
		if (!more)
			break;
		buf = more;
		size *= 2;
	}
	if (buf)
		buf[n] = '\0';
	return buf;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = read_all(f, FILE_LIMIT);

	if (f)
		(void)fclose(f);
	return text;
}

char *facts_output(const char *command)
{
	char line[256];
	FILE *f;
	char *text;

	(void)snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin:/sbin exec %s 2>/dev/null </dev/null", command);
	f = popen(line, "re");
	text = read_all(f, OUTPUT_LIMIT);
	if (f && pclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static json_t *credential_facts(const struct credential *c)
{
	json_t *prefixes = json_array();

	for (unsigned i = 0; i < c->n_prefixes; i++)
		(void)json_array_append_new(prefixes, json_string(prefix6_text(&c->prefixes[i])));
	return json_pack("{s:s, s:I, s:I, s:o}", "domain", c->domain, "from_s", (json_int_t)c->from_s, "until_s",
		(json_int_t)c->until_s, "prefixes", prefixes);
}

static void read_keys(json_t *facts, const struct facts_request *q)
{
	char err[CREDENTIAL_ERR] = "", trust_err[CREDENTIAL_ERR] = "", dir[512], *slash;
	struct domain trusted[TRUST_MAX];
	struct identity id = {0};
	struct stat st = {0};
	bool exists = stat(q->identity, &st) == 0, loaded = exists && identity_load(q->identity, &id, err) == 0;

	if (!exists && errno != ENOENT)
		(void)snprintf(err, sizeof(err), "%.300s: %s", q->identity, strerror(errno));
	(void)json_object_set_new(facts, "identity",
		json_pack("{s:s, s:b, s:i, s:o, s:o, s:o, s:o}", "path", q->identity, "exists", exists, "mode",
			(int)(st.st_mode & 07777), "error", text_or_null(err), "role",
			text_or_null(loaded ? credential_role_name(id.role) : ""), "name", text_or_null(id.name),
			"credential", loaded && id.has_credential ? credential_facts(&id.credential) : json_null()));
	(void)trust_load(q->trusted, &id, trusted, NULL, trust_err);
	identity_done(&id);

	(void)snprintf(dir, sizeof(dir), "%s", q->trusted);
	slash = strrchr(dir, '/');
	if (slash)
		(void)snprintf(slash, sizeof(dir) - (size_t)(slash - dir), "/domain.key");
	exists = access(dir, R_OK) == 0;
	if (slash)
		*slash = '\0';
	(void)json_object_set_new(facts, "trust",
		json_pack("{s:s, s:o, s:o}", "path", q->trusted, "error", text_or_null(trust_err), "domain_dir",
			text_or_null(exists ? dir : "")));
}

/* --- the kernel --------------------------------------------------------------------------------------------------- */

static void no_link(void *ctx, const struct nl_link *link, bool present)
{
	(void)ctx, (void)link, (void)present;
}

static void no_address(void *ctx, const struct nl_address *address, bool present)
{
	(void)ctx, (void)address, (void)present;
}

static void no_object(void *ctx, const struct fwd_object *object)
{
	(void)ctx, (void)object;
}

static void no_overrun(void *ctx)
{
	(void)ctx;
}

static const struct nl_ops probe_ops = {no_link, no_address, no_object, no_object, no_overrun};
static const char *const probed[] = {"nexthop", "source-route", "mark-rule"}; /* by cookie, from 1 */

static void probe_done(void *ctx, uint64_t cookie, int result, const char *text)
{
	(void)json_object_set_new(ctx, probed[cookie - 1],
		result < 0 ? json_string(text && *text ? text : strerror(-result)) : json_null());
}

/* Try what routes and rules of ours need, in this network namespace, which is nobody's. */
static void probe_forwarding(json_t *ret)
{
	struct fwd_object o = {.kind = FWD_NEXTHOP};
	struct fwd_set *set = fwd_new(probe_done, ret);
	char err[NL_ERR] = "no memory";
	uint32_t tunnel = 0;
	struct nl *nl = NULL;
	int r = set ? nl_new(&probe_ops, NULL, &nl, err) : -ENOMEM;

	if (r == 0)
		r = nl_tunnel_open(nl, "probe0", &tunnel, err);
	if (r == 0)
		r = nl_tunnel_up(nl, tunnel, 1460, err);
	(void)json_object_set_new(ret, "tunnel", r < 0 ? json_string(err) : json_null());
	if (r == 0) {
		char source_err[SRCCHECK_ERR];
		struct srccheck *check = NULL;

		o.nexthop.id = 1;
		o.nexthop.oif = tunnel;
		(void)inet_pton(AF_INET6, "2001:db8::1", &o.nexthop.encap.dst);
		(void)inet_pton(AF_INET6, "2001:db8::2", &o.nexthop.encap.src);
		(void)fwd_want(set, &o, 1);
		memset(&o, 0, sizeof(o));
		o.kind = FWD_ROUTE;
		o.route.table = 7790;
		o.route.metric = 50;
		o.route.oif = tunnel;
		(void)prefix6_parse("2001:db8:1::/64", &o.route.src);
		(void)inet_pton(AF_INET6, "2001:db8::1", &o.route.encap.dst);
		(void)inet_pton(AF_INET6, "2001:db8::2", &o.route.encap.src);
		(void)fwd_want(set, &o, 2);
		memset(&o, 0, sizeof(o));
		o.kind = FWD_RULE;
		o.rule.table = 7791;
		o.rule.priority = 100;
		o.rule.mark = 1;
		(void)fwd_want(set, &o, 3);
		(void)nl_apply(nl, set);
		r = srccheck_new(SRCCHECK_NODE, 16, &check, source_err);
		if (r == 0)
			r = srccheck_attach(check, tunnel, source_err);
		(void)json_object_set_new(ret, "source-check", r < 0 ? json_string(source_err) : json_null());
		srccheck_free(check);
	}
	nl_free(nl);
	fwd_free(set);
}

/* "return 1" as a program for sockets of a cgroup: what pins are made of. */
static void probe_cgroup_bpf(json_t *ret)
{
	struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_CGROUP_SOCK,
		.expected_attach_type = BPF_CGROUP_INET_SOCK_CREATE,
		.insns = (uintptr_t)code,
		.insn_cnt = 2,
		.license = (uintptr_t) "GPL"};
	long fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	(void)json_object_set_new(ret, "cgroup-bpf", fd < 0 ? json_string(strerror(errno)) : json_null());
	if (fd >= 0)
		(void)close((int)fd);
}

static void probe_inet_diag(json_t *ret)
{
	struct {
		struct nlmsghdr head;
		struct inet_diag_req_v2 body;
	} question = {{.nlmsg_len = sizeof(question),
			      .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		{.sdiag_family = AF_INET6, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u}};
	char answer[8192] __attribute__((aligned(8)));
	const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG),
	    r = fd < 0 || send(fd, &question, sizeof(question), 0) < 0 ? -errno : 0;
	ssize_t n = r == 0 ? recv(fd, answer, sizeof(answer), 0) : 0;

	if (n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) && head->nlmsg_type == NLMSG_ERROR)
		r = ((const struct nlmsgerr *)NLMSG_DATA(head))->error;
	if (fd >= 0)
		(void)close(fd);
	(void)json_object_set_new(ret, "inet-diag", r < 0 ? json_string(strerror(-r)) : json_null());
}

static json_t *probe_kernel(void)
{
	int fds[2];
	json_t *result = NULL;
	pid_t pid;

	if (geteuid() != 0 || pipe(fds) < 0)
		return json_null();
	pid = fork();
	if (pid == 0) {
		json_t *ret = json_object();

		(void)close(fds[0]);
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		probe_forwarding(ret);
		probe_cgroup_bpf(ret);
		probe_inet_diag(ret);
		(void)json_dumpfd(ret, fds[1], JSON_COMPACT);
		_exit(0);
	}
	(void)close(fds[1]);
	if (pid > 0) {
		result = json_loadfd(fds[0], 0, NULL);
		(void)waitpid(pid, NULL, 0);
	}
	(void)close(fds[0]);
	return result ? result : json_null();
}

/* ---
 * interfaces ---------------------------------------------------------------------------------------------------- */

static json_t *sysctl_fact(const char *name, const char *key)
{
	int v;

	return nl_sysctl_get(name, key, &v) == 0 ? json_integer(v) : json_null();
}

static void add_link(void *ctx, const struct nl_link *link, bool present)
{
	json_t *i;

	if (!present || link->loopback)
		return;
	i = json_pack("{s:s, s:i, s:b, s:b, s:b, s:i, s:[], s:n}", "name", link->name, "ifindex", (int)link->ifindex,
		"up", link->up, "carrier", link->carrier, "ethernet", link->ethernet && !link->port, "mtu",
		(int)link->mtu, "addresses", "link_local");
	for (size_t k = 0; k < 4; k++) {
		static const char *const keys[] = {"accept_ra", "autoconf", "disable_ipv6", "forwarding"};

		(void)json_object_set_new(i, keys[k], sysctl_fact(link->name, keys[k]));
	}
	(void)json_array_append_new(ctx, i);
}

static void add_address(void *ctx, const struct nl_address *address, bool present)
{
	json_t *i;
	size_t k;

	json_array_foreach(ctx, k, i)
	{
		if (!present || json_integer_value(json_object_get(i, "ifindex")) != (json_int_t)address->ifindex)
			continue;
		if (IN6_IS_ADDR_LINKLOCAL(&address->address))
			(void)json_object_set_new(i, "link_local", json_string(in6_text(&address->address)));
		else
			(void)json_array_append_new(
				json_object_get(i, "addresses"), json_string(in6_text(&address->address)));
	}
}

static bool has_default_route(void)
{
	FILE *f = fopen("/proc/net/ipv6_route", "re");
	char line[256];
	bool found = false;

	/* from anywhere, to anywhere; lo has the kernel's own, unreachable one */
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "00000000000000000000000000000000 00 00000000000000000000000000000000 00 ", 72) &&
			!strstr(line, " lo\n"))
			found = true;
	if (f)
		(void)fclose(f);
	return found;
}

static void read_interfaces(json_t *facts, const struct facts_request *q)
{
	static const struct nl_ops ops = {add_link, add_address, no_object, no_object, no_overrun};
	json_t *list = json_array();
	char err[NL_ERR], other[IF_NAMESIZE] = "";
	bool external = false;
	uint32_t ifindex = 0;
	struct nl *nl;

	if (nl_new(&ops, list, &nl, err) == 0) {
		(void)nl_dump_links(nl);
		(void)nl_dump_addresses(nl);
		if (nl_tunnel_find(nl, q->tunnel, &ifindex, &external, other) == 0)
			(void)json_object_set_new(facts, "tunnel",
				json_pack("{s:s, s:b, s:b, s:o}", "name", q->tunnel, "exists", ifindex != 0, "external",
					external, "other", text_or_null(other)));
		nl_free(nl);
	}
	(void)json_object_set_new(facts, "interfaces", list);
	(void)json_object_set_new(facts, "forwarding", sysctl_fact("all", "forwarding"));
	(void)json_object_set_new(facts, "default_route", json_boolean(has_default_route()));
}

/* ---
 * processes ----------------------------------------------------------------------------------------------------- */

static void name_of(int pid, char *ret, size_t size)
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	(void)snprintf(ret, size, "?");
	if (f && fgets(ret, (int)size, f))
		ret[strcspn(ret, "\n")] = '\0';
	if (f)
		(void)fclose(f);
}

static bool has_socket(int pid, unsigned long inode)
{
	char path[64], want[64], link[64];
	const struct dirent *e;
	bool found = false;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	(void)snprintf(want, sizeof(want), "socket:[%lu]", inode);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = '\0';
		found = !strcmp(link, want);
	}
	if (d)
		(void)closedir(d);
	return found;
}

/* Processes of this network namespace, by the names that doctors know; and who has the sockets. */
static void read_processes(json_t *facts, const unsigned long *inodes, unsigned n_inodes, json_t *owners)
{
	static const char *const known[] = {"systemd-network", "NetworkManager", "radvd", "dockerd", "firewalld",
		"dnsmasq", "odhcpd", "mnd", "amad"};
	json_t *processes = json_object();
	char own[64] = "", theirs[64], path[64], name[64];
	const struct dirent *e;
	DIR *d = opendir("/proc");

	if (readlink("/proc/self/ns/net", own, sizeof(own) - 1) < 0)
		own[0] = '\0';
	while (d && (e = readdir(d))) {
		int pid = atoi(e->d_name);
		ssize_t n;

		if (pid <= 0)
			continue;
		for (unsigned i = 0; i < n_inodes; i++)
			if (has_socket(pid, inodes[i])) {
				name_of(pid, name, sizeof(name));
				(void)json_array_append_new(owners, json_pack("{s:i, s:s}", "pid", pid, "name", name));
			}
		(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
		n = readlink(path, theirs, sizeof(theirs) - 1);
		theirs[n > 0 ? n : 0] = '\0';
		if (n > 0 && strcmp(own, theirs) != 0)
			continue;
		name_of(pid, name, sizeof(name));
		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			if (!strcmp(name, known[i]) && !json_object_get(processes, name))
				(void)json_object_set_new(processes, name, json_integer(pid));
	}
	if (d)
		(void)closedir(d);
	(void)json_object_set_new(facts, "processes", processes);
}

static void read_port(json_t *facts, uint32_t port)
{
	static const char *const tables[] = {"/proc/net/udp6", "/proc/net/udp"};
	json_t *owners = json_array();
	unsigned long inodes[8];
	unsigned n = 0;

	for (size_t i = 0; i < 2; i++) {
		FILE *f = fopen(tables[i], "re");
		char line[512], address[40];
		unsigned local, uid;
		unsigned long inode;

		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "%*d: %39[0-9A-F]:%x %*s %*s %*s %*s %*s %u %*d %lu", address, &local, &uid,
				    &inode) == 4 &&
				local == port && n < 8)
				inodes[n++] = inode;
		if (f)
			(void)fclose(f);
	}
	read_processes(facts, inodes, n, owners);
	(void)json_object_set_new(facts, "port", json_pack("{s:i, s:o}", "number", (int)port, "owners", owners));
}

static json_t *capabilities_of(int pid)
{
	char path[64], *text, *at;
	json_t *j = json_null();

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	text = pid > 0 ? read_file(path) : NULL;
	at = text ? strstr(text, "\nCapEff:") : NULL;
	if (at)
		j = json_integer((json_int_t)strtoull(at + 8, NULL, 16));
	free(text);
	return j;
}

/* --- other
 * software ------------------------------------------------------------------------------------------------ */

static void add_files(json_t *files, const char *pattern)
{
	glob_t g;

	if (glob(pattern, 0, NULL, &g) == 0)
		for (size_t i = 0; i < g.gl_pathc; i++) {
			char *text = read_file(g.gl_pathv[i]);

			if (text)
				(void)json_object_set_new(files, g.gl_pathv[i], json_string(text));
			free(text);
		}
	globfree(&g);
}

/* The file that radvd was told to read. */
static void add_radvd(json_t *facts, json_t *files)
{
	char path[64], config[256] = "/etc/radvd.conf", argument[256];
	long long pid = json_integer_value(json_object_get(json_object_get(facts, "processes"), "radvd"));
	bool next = false;
	FILE *f;
	int c;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "/proc/%lld/cmdline", pid);
	f = pid ? fopen(path, "re") : NULL;
	while (f && (c = fgetc(f)) != EOF) {
		if (n < sizeof(argument) - 1)
			argument[n++] = (char)c;
		if (c)
			continue;
		argument[n] = '\0';
		n = 0;
		if (next || (!strncmp(argument, "-C", 2) && argument[2]))
			(void)snprintf(config, sizeof(config), "%s", next ? argument : argument + 2);
		next = !strcmp(argument, "-C") || !strcmp(argument, "--config");
	}
	if (f)
		(void)fclose(f);
	(void)json_object_set_new(facts, "radvd_config", json_string(config));
	add_files(files, config);
}

static json_t *firewall_facts(void)
{
	char *legacy = facts_output("ip6tables-legacy-save"), *save = facts_output("ip6tables-save"),
	     *ruleset = facts_output("nft -j list ruleset");
	json_t *nft = ruleset ? json_loads(ruleset, 0, NULL) : NULL, *j;

	/* the same program under two names */
	if (legacy && save && !strcmp(legacy, save)) {
		free(save);
		save = NULL;
	}
	j = json_pack("{s:o, s:o, s:o}", "ip6tables_legacy", text_or_null(legacy), "ip6tables", text_or_null(save),
		"nft", nft ? nft : json_null());
	free(legacy);
	free(save);
	free(ruleset);
	return j;
}

static json_t *state_facts(const struct facts_request *q)
{
	char path[512], *slash;
	const struct passwd *pw = *q->user ? getpwnam(q->user) : NULL;
	struct statvfs fs = {0};
	struct stat st = {0};
	bool exists;
	const char *not_writable = "";

	(void)snprintf(path, sizeof(path), "%s", q->state);
	slash = q->state_is_file ? strrchr(path, '/') : NULL;
	if (slash && slash != path)
		*slash = '\0';
	exists = stat(path, &st) == 0;
	if (exists && pw && pw->pw_uid != 0 && !(st.st_uid == pw->pw_uid && st.st_mode & S_IWUSR) &&
		!(st.st_gid == pw->pw_gid && st.st_mode & S_IWGRP) && !(st.st_mode & S_IWOTH))
		not_writable = q->user;
	return json_pack("{s:s, s:b, s:i, s:o, s:o}", "path", path, "exists", exists, "mode", (int)(st.st_mode & 07777),
		"not_writable", text_or_null(not_writable), "free_bytes",
		statvfs(path, &fs) == 0 ? json_integer((json_int_t)(fs.f_bavail * fs.f_frsize)) : json_null());
}

json_t *facts_gather(const struct facts_request *q)
{
	const char *init = access("/run/systemd/system", F_OK) == 0 ? "systemd"
		: access("/sbin/procd", F_OK) == 0		    ? "procd"
								    : "none";
	json_t *facts = json_pack("{s:s, s:s, s:b, s:s, s:I, s:{s:s, s:O}, s:s}", "program", q->ctl->program, "daemon",
		       q->ctl->daemon, "root", geteuid() == 0, "init", init, "now_s", (json_int_t)time(NULL), "config",
		       "path", q->config, "faults", q->faults, "user", q->user),
	       *files = json_object();
	char err[CTL_ERR] = "", *text;
	int status, pid;
	json_t *answer;

	if (!facts)
		return NULL;
	text = read_file(q->config);
	(void)json_object_set_new(json_object_get(facts, "config"), "text", text_or_null(text));
	free(text);
	read_keys(facts, q);
	answer = ctl_try(q->ctl, "GetStatus", NULL, &status, err, &pid);
	(void)json_object_set_new(facts, "status", answer ? answer : json_null());
	(void)json_object_set_new(
		facts, "answer", json_pack("{s:o, s:i}", "error", text_or_null(answer ? "" : err), "pid", pid));
	(void)json_object_set_new(facts, "daemon_capabilities", capabilities_of(pid));
	(void)json_object_set_new(facts, "kernel", probe_kernel());
	read_interfaces(facts, q);
	read_port(facts, q->port);
	(void)json_object_set_new(facts, "state", state_facts(q));
	add_files(files, "/etc/systemd/networkd.conf");
	add_files(files, "/*/systemd/networkd.conf.d/*.conf");
	add_files(files, "/usr/lib/systemd/networkd.conf.d/*.conf");
	add_files(files, "/etc/NetworkManager/NetworkManager.conf");
	add_files(files, "/*/NetworkManager/conf.d/*.conf");
	add_files(files, "/usr/lib/NetworkManager/conf.d/*.conf");
	add_radvd(facts, files);
	(void)json_object_set_new(facts, "files", files);
	(void)json_object_set_new(facts, "firewall", firewall_facts());
	(void)json_object_set_new(
		facts, "cgroup2", json_boolean(access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0));
	return facts;
}
