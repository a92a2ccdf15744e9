/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hoa-exec.c - run a command on one home address for its whole life
 *
 * mnd does what needs privileges, after looking who calls: it moves this process to a cgroup of its own. Then this
 * process becomes the command: environment, standard streams, terminal, signals, working directory and exit status are
 * its own. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <jansson.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "fwd.h"
#include "isolate.h"
#include "nl.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* As env(1) and ip(8): what is not the command's own status. */
enum { NO_MOBILITY = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

#define DEFAULT_SOCKET RUNSTATEDIR "/dmm/mnd.sock"

static struct ctl ctl = {.program = "hoa-exec",
	.daemon = "mnd",
	.interface = "org.dmm.mnd",
	.socket = DEFAULT_SOCKET,
	.doctor = "mnctl"};

/* What was asked for, as the options say it. */
static struct {
	const char *type, *address, *anchor;
	bool fresh, best_effort, in_place, of_user, isolate;
	long pid; /* 0 = this process */
} wish;

static void usage(FILE *f)
{
	(void)fputs(
		"usage: hoa-exec [OPTIONS] [--] COMMAND [ARG...]\n"
		"       hoa-exec [OPTIONS] --pid PID\n"
		"       hoa-exec [OPTIONS] enable|disable UNIT\n"
		"       hoa-exec [--json] identify [PID]\n"
		"       hoa-exec [--json] pids ADDRESS\n\n"
		"Runs a command, and all that it starts, on one home address, whatever network this machine is in.\n\n"
		"  -t, --type TYPE        session (default): the address is kept as long as the command lives; fixed: for good;\n"
		"                         graceful: after a move new sockets take the new network's, old ones keep theirs\n"
		"  -a, --address ADDRESS  on this home address ('mnctl leases' lists them)\n"
		"  -n, --anchor NAME      on the home address of this anchor\n"
		"  -N, --new              on a new one, which no other program takes\n"
		"  -i, --isolate          in a network namespace of its own that holds just an address of the home network prefix:\n"
		"                         the command sees nothing of a move\n"
		"  -p, --pid PID          pin a process that runs, for the sockets it opens from now on\n"
		"  -c, --cgroup           pin the cgroup that hoa-exec runs in, as a whole (for units)\n"
		"  -b, --best-effort      run the command unpinned when it cannot be pinned\n"
		"  -u, --user             with enable and disable: a unit of yours\n"
		"  -j, --json             with identify and pids: write JSON\n"
		"  -s, --socket PATH      control socket of mnd\n"
		"  -h, --help, --version\n\n"
		"  enable UNIT            a systemd service is pinned whenever it is started\n"
		"  disable UNIT           it no longer is\n"
		"  identify [PID]         print the home address a process is pinned to\n"
		"  pids ADDRESS           print the processes that are pinned to it\n\n"
		"Exit status: the command's; 125 no home address, 126 the command cannot be run, 127 it is not found. See hoa-exec(1).\n",
		f);
}

/* The pin whose cgroup is, or is around, that of a process; the innermost counts. NULL = none. */
static const json_t *pin_of(const json_t *pins, long pid)
{
	const json_t *p, *best = NULL;
	size_t i, best_len = 0;
	char path[64], line[4096];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%ld/cgroup", pid);
	f = fopen(path, "re");
	if (!f) {
		(void)fprintf(stderr, "hoa-exec: there is no process %ld\n", pid);
		exit(CTL_FAILED);
	}
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "0::", 3) != 0)
			continue;
		line[strcspn(line, "\n")] = '\0';
		json_array_foreach(pins, i, p)
		{
			const char *cgroup = json_string_value(json_object_get(p, "cgroup"));
			size_t n = cgroup ? strlen(cgroup) : 0;

			if (n > best_len && !strncmp(line + 3, cgroup, n) &&
				(line[3 + n] == '\0' || line[3 + n] == '/')) {
				best = p;
				best_len = n;
			}
		}
	}
	(void)fclose(f);
	return best;
}

static long number(const char *text, const char *what)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (errno || *end || end == text || n <= 0 || n > INT32_MAX) {
		(void)fprintf(stderr, "hoa-exec: '%s' is not a %s\n", text, what);
		exit(NO_MOBILITY);
	}
	return n;
}

static int identify(const char *pid_text)
{
	long pid = pid_text ? number(pid_text, "process number") : (long)getpid();
	int status;
	json_t *reply = ctl_call(&ctl, "ListPins", &status);
	const json_t *p = reply ? pin_of(json_object_get(reply, "pins"), pid) : NULL;

	if (p && ctl.json)
		ctl_print_json(json_deep_copy(p));
	else if (p)
		(void)printf("%s\n", json_string_value(json_object_get(p, "home_address")));
	else if (reply)
		status = CTL_FAILED; /* not pinned: nothing to print, as ip vrf identify */
	json_decref(reply);
	return status;
}

static json_t *found; /* by add_procs, for which nftw has no context */

static int add_procs(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char line[32];
	FILE *f;

	(void)st;
	if (type != FTW_F || strcmp(path + ftw->base, "cgroup.procs") != 0)
		return 0;
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		(void)json_array_append_new(found, json_integer(strtol(line, NULL, 10)));
	if (f)
		(void)fclose(f);
	return 0;
}

static int pids(const char *text)
{
	struct in6_addr want, have;
	int status;
	json_t *reply;
	const json_t *p;
	size_t i;

	if (inet_pton(AF_INET6, text, &want) != 1) {
		(void)fprintf(stderr, "hoa-exec: '%s' is not an IPv6 address\n", text);
		return CTL_USAGE;
	}
	reply = ctl_call(&ctl, "ListPins", &status);
	found = json_array();
	json_array_foreach(json_object_get(reply, "pins"), i, p)
	{
		const char *address = json_string_value(json_object_get(p, "home_address"));
		char path[4096];

		if (!address || inet_pton(AF_INET6, address, &have) != 1 || memcmp(&have, &want, sizeof(have)) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s", json_string_value(json_object_get(p, "cgroup")));
		(void)nftw(path, add_procs, 8, FTW_PHYS);
	}
	if (reply && ctl.json)
		ctl_print_json(json_pack("{s:O}", "pids", found));
	else
		json_array_foreach(found, i, p)
		{
			(void)printf("%lld\n", (long long)json_integer_value(p));
		}
	json_decref(found);
	json_decref(reply);
	return status;
}

/* --- units of systemd ------------------------------------------------------------------------------------------- */

/* Where the drop-in of a unit is, its directory in dir. False after saying why not. */
static bool drop_in_of(const char *unit, char dir[PATH_MAX], char path[PATH_MAX])
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME"), *dot = strrchr(unit, '.');
	char parent[PATH_MAX];
	int n;

	if (strchr(unit, '/') || !*unit || (dot && strcmp(dot, ".service") != 0)) {
		(void)fprintf(stderr,
			"hoa-exec: '%s' is not the name of a service: only services start programs that can be pinned\n",
			unit);
		return false;
	}
	if (!wish.of_user)
		n = snprintf(parent, sizeof(parent), "/etc/systemd/system");
	else if (config && *config)
		n = snprintf(parent, sizeof(parent), "%s/systemd/user", config);
	else
		n = snprintf(parent, sizeof(parent), "%s/.config/systemd/user", home ? home : "");
	if (n >= PATH_MAX || snprintf(dir, PATH_MAX, "%s/%s%s.d", parent, unit, dot ? "" : ".service") >= PATH_MAX ||
		snprintf(path, PATH_MAX, "%s/50-hoa-exec.conf", dir) >= PATH_MAX) {
		(void)fprintf(stderr, "hoa-exec: the name of the unit is too long\n");
		return false;
	}
	return true;
}

static void make_directories(char *path)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		(void)mkdir(path, 0755);
		*p = '/';
	}
	(void)mkdir(path, 0755);
}

/* systemd reads its units again. Where it does not run, it will when it starts. */
static void reload_units(void)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		(void)execlp(
			"systemctl", "systemctl", wish.of_user ? "--user" : "--system", "daemon-reload", (char *)NULL);
		_exit(NOT_FOUND);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		(void)fprintf(stderr,
			"hoa-exec: systemd did not read its units again: run 'systemctl %sdaemon-reload'\n",
			wish.of_user ? "--user " : "");
}

/* The program runs before those of the unit, in its cgroup, and pins that. */
static int enable(const char *unit)
{
	char dir[PATH_MAX], path[PATH_MAX], self[PATH_MAX] = "";
	struct in6_addr address;
	FILE *f;

	if (!drop_in_of(unit, dir, path))
		return CTL_USAGE;
	if (wish.isolate) {
		(void)fprintf(stderr,
			"hoa-exec: a unit cannot be isolated by a program that runs before its own: 'hoa-exec --isolate' in its ExecStart= does it\n");
		return CTL_USAGE;
	}
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		(void)snprintf(self, sizeof(self), "hoa-exec"); /* systemd looks for it */
	if ((wish.anchor &&
		    wish.anchor[strspn(
			    wish.anchor, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")]) ||
		(wish.address && inet_pton(AF_INET6, wish.address, &address) != 1) || strchr(ctl.socket, ' ')) {
		(void)fprintf(stderr,
			"hoa-exec: an anchor's name has letters, digits, '.', '_' and '-', an address is an IPv6 address, and no path has blanks\n");
		return CTL_USAGE;
	}
	make_directories(dir);
	f = fopen(path, "we");
	if (f) {
		/* "+": with full privileges, whatever the unit's own programs run with */
		(void)fprintf(f,
			"# made by 'hoa-exec enable'; 'hoa-exec disable' removes it\n%s[Service]\n"
			"# without the package the unit starts as if it were not pinned\n"
			"ExecStartPre=%s/bin/sh -c 'test ! -x %s || exec %s --cgroup",
			wish.of_user ? "" : "[Unit]\nWants=mnd.service\nAfter=mnd.service\n\n", wish.of_user ? "" : "+",
			self, self);
		if (strcmp(ctl.socket, DEFAULT_SOCKET) != 0)
			(void)fprintf(f, " --socket %s", ctl.socket);
		if (wish.type)
			(void)fprintf(f, " --type %s", wish.type);
		if (wish.address)
			(void)fprintf(f, " --address %s", wish.address);
		if (wish.anchor)
			(void)fprintf(f, " --anchor %s", wish.anchor);
		(void)fprintf(f, "%s%s'\n", wish.fresh ? " --new" : "", wish.best_effort ? " --best-effort" : "");
	}
	if (!f || fclose(f) != 0) {
		(void)fprintf(stderr, "hoa-exec: cannot write %s: %s%s\n", path, strerror(errno),
			errno == EACCES ? " (root may; --user is for units of yours)" : "");
		return CTL_FAILED;
	}
	reload_units();
	(void)printf("%s is pinned from its next start on (%s)\n", unit, path);
	return CTL_OK;
}

static int disable(const char *unit)
{
	char dir[PATH_MAX], path[PATH_MAX];

	if (!drop_in_of(unit, dir, path))
		return CTL_USAGE;
	if (unlink(path) < 0) {
		(void)fprintf(stderr, "hoa-exec: %s %s: %s\n",
			errno == ENOENT ? "was not enabled, there is no" : "cannot remove", path, strerror(errno));
		return CTL_FAILED;
	}
	(void)rmdir(dir); /* there may be drop-ins of others */
	reload_units();
	(void)printf("%s is not pinned any more from its next start on\n", unit);
	return CTL_OK;
}

/* --- a network namespace ---------------------------------------------------------------------------------------- */

static int refuse(const char *what)
{
	(void)fprintf(stderr, "hoa-exec: %s: %s\n", what, strerror(errno));
	return -1;
}

static bool write_to(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		(void)close(fd);
	return ok;
}

/* This process goes into a network namespace of its own. Users may make one inside a user namespace, where they are who
 * they were. Returns a descriptor of it, or -1 after saying why not. */
static int enter_namespace(void)
{
	unsigned uid = geteuid(), gid = getegid();
	char map[64];
	int fd;

	if (unshare(uid == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return refuse(
			"this system does not let users make a network namespace "
			"(user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)");
	if (uid != 0) {
		(void)write_to("/proc/self/setgroups", "deny");
		(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
		if (!write_to("/proc/self/uid_map", map))
			return refuse("cannot keep the user in a user namespace");
		(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
		if (!write_to("/proc/self/gid_map", map))
			return refuse("cannot keep the group in a user namespace");
	}
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd < 0 ? refuse("cannot open the network namespace") : fd;
}

static void count_failure(void *ctx, const struct fwd_object *o, int error)
{
	(void)o;
	if (error)
		*(int *)ctx = error;
}

/* What is in it: the loopback, one address, one route. Nothing of that changes as long as it lives. */
static int furnish_namespace(const char *address)
{
	static const struct nl_ops ops = {0};
	struct fwd_object a = {.kind = FWD_ADDRESS},
			  route = {.kind = FWD_ROUTE,
				  .route = {.type = FWD_UNICAST, .table = 254, .metric = 50, .mtu = ISOLATE_MTU}};
	struct fwd_set *set = fwd_new(NULL, NULL);
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;
	char err[NL_ERR] = "no memory";
	struct nl *nl = NULL;

	r = set ? nl_new(&ops, NULL, &nl, err) : -ENOMEM;
	a.address.ifindex = route.route.oif = if_nametoindex(ISOLATE_INNER);
	if (r == 0 && (!a.address.ifindex || inet_pton(AF_INET6, address, &a.address.address) != 1))
		r = -ENODEV;
	if (r == 0 && (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0))
		r = -errno;
	if (r == 0)
		r = nl_link_up_quietly(nl, a.address.ifindex);
	if (r == 0)
		r = fwd_want(set, &a, 0);
	if (r == 0)
		r = fwd_want(set, &route, 0);
	if (r == 0) {
		r = nl_apply(nl, set);
		if (r >= 0) {
			r = 0;
			fwd_each(set, count_failure, &r);
		}
	}
	if (r < 0)
		(void)fprintf(stderr, "hoa-exec: cannot set up the network namespace: %s\n", strerror(-r));
	if (fd >= 0)
		(void)close(fd);
	nl_free(nl);
	fwd_free(set);
	return r;
}

/* --- pinning ---------------------------------------------------------------------------------------------------- */

/* Returns 0 when it is pinned, NO_MOBILITY after saying why not. */
static int pin(void)
{
	json_t *parameters = json_object(), *reply;
	int status, netns = wish.isolate ? enter_namespace() : -1;

	if (wish.type)
		(void)json_object_set_new(parameters, "type", json_string(wish.type));
	if (wish.address)
		(void)json_object_set_new(parameters, "address", json_string(wish.address));
	if (wish.anchor)
		(void)json_object_set_new(parameters, "anchor", json_string(wish.anchor));
	if (wish.fresh)
		(void)json_object_set_new(parameters, "new", json_true());
	if (wish.in_place)
		(void)json_object_set_new(parameters, "in_place", json_true());
	if (wish.pid)
		(void)json_object_set_new(parameters, "pid", json_integer(wish.pid));
	if (wish.isolate)
		(void)json_object_set_new(parameters, "isolate", json_true());
	if (wish.isolate && netns < 0) {
		json_decref(parameters);
		return NO_MOBILITY;
	}
	reply = ctl_call_passing(&ctl, "Pin", parameters, netns, &status);
	status = reply ? 0 : NO_MOBILITY;
	if (netns >= 0)
		(void)close(netns);
	if (reply && wish.isolate && furnish_namespace(json_string_value(json_object_get(reply, "home_address"))) < 0)
		status = NO_MOBILITY;
	json_decref(reply);
	return status;
}

static int run(char **command)
{
	int status = pin();

	if (status != 0 && !wish.best_effort) {
		(void)fprintf(stderr, "hoa-exec: %s was not started%s\n", command[0],
			wish.isolate ? "" : " ('--best-effort' runs it unpinned)");
		return status;
	}
	if (status != 0)
		(void)fprintf(stderr, "hoa-exec: running %s unpinned\n", command[0]);
	(void)execvp(command[0], command);
	status = errno == ENOENT ? NOT_FOUND : CANNOT_RUN;
	(void)fprintf(stderr, "hoa-exec: %s: %s\n", command[0], strerror(errno));
	return status;
}

/* What can be wrong before anybody is asked. */
static bool is_consistent(void)
{
	static const char *const types[] = {"session", "fixed", "graceful"};
	bool known = !wish.type;

	for (unsigned i = 0; i < 3; i++)
		known |= wish.type && !strcmp(wish.type, types[i]);
	if (!known)
		(void)fprintf(
			stderr, "hoa-exec: '%s' is not a type of address: session, fixed or graceful\n", wish.type);
	else if ((wish.address && (wish.anchor || wish.fresh)))
		(void)fprintf(stderr, "hoa-exec: one of --address, --anchor and --new says which address\n");
	else if (wish.in_place && wish.pid)
		(void)fprintf(stderr,
			"hoa-exec: --cgroup is about the cgroup that hoa-exec runs in, not about another process\n");
	else if (wish.isolate &&
		(wish.in_place || wish.pid || wish.best_effort || (wish.type && !strcmp(wish.type, "graceful"))))
		(void)fprintf(stderr,
			"hoa-exec: what is isolated is a command, on one address, or it does not run: "
			"not with --pid, --cgroup, --best-effort or --type graceful\n");
	else
		return true;
	return false;
}

int main(int argc, char **argv)
{
	enum { SHOW_VERSION = 256 };
	static const struct option options[] = {{"type", required_argument, NULL, 't'},
		{"address", required_argument, NULL, 'a'}, {"anchor", required_argument, NULL, 'n'},
		{"new", no_argument, NULL, 'N'}, {"pid", required_argument, NULL, 'p'},
		{"cgroup", no_argument, NULL, 'c'}, {"best-effort", no_argument, NULL, 'b'},
		{"user", no_argument, NULL, 'u'}, {"json", no_argument, NULL, 'j'}, {"isolate", no_argument, NULL, 'i'},
		{"socket", required_argument, NULL, 's'}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, SHOW_VERSION}, {0}};
	const char *verb;
	int o, n;

	while ((o = getopt_long(argc, argv, "+t:a:n:Nip:cbjus:h", options, NULL)) != -1) {
		switch (o) {
		case 't':
			wish.type = optarg;
			break;
		case 'a':
			wish.address = optarg;
			break;
		case 'n':
			wish.anchor = optarg;
			break;
		case 'N':
			wish.fresh = true;
			break;
		case 'p':
			wish.pid = number(optarg, "process number");
			break;
		case 'c':
			wish.in_place = true;
			break;
		case 'b':
			wish.best_effort = true;
			break;
		case 'i':
			wish.isolate = true;
			break;
		case 'u':
			wish.of_user = true;
			break;
		case 'j':
			ctl.json = true;
			break;
		case 's':
			ctl.socket = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case SHOW_VERSION:
			(void)printf("hoa-exec (DMM for Linux) %s\n", PACKAGE_VERSION);
			return 0;
		default:
			usage(stderr);
			return NO_MOBILITY;
		}
	}
	if (!is_consistent())
		return NO_MOBILITY;
	n = argc - optind;
	/* after "--" a command may have any name */
	verb = !wish.pid && !wish.in_place && n > 0 && strcmp(argv[optind - 1], "--") != 0 ? argv[optind] : "";
	if (!strcmp(verb, "identify") && n <= 2)
		return identify(argv[optind + 1]);
	if (!strcmp(verb, "pids") && n == 2)
		return pids(argv[optind + 1]);
	if (!strcmp(verb, "enable") && n == 2)
		return enable(argv[optind + 1]);
	if (!strcmp(verb, "disable") && n == 2)
		return disable(argv[optind + 1]);
	if ((wish.pid || wish.in_place) ? n > 0 : n == 0) {
		(void)fprintf(stderr, "hoa-exec: %s\n",
			n == 0		   ? "which command?"
				: wish.pid ? "--pid takes no command"
					   : "--cgroup takes no command");
		usage(stderr);
		return NO_MOBILITY;
	}
	if (n > 0)
		return run(argv + optind);
	o = pin();
	return wish.best_effort ? 0 : o;
}
