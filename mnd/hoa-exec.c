/* SPDX-License-Identifier: GPL-2.0-or-later */
/* hoa-exec.c - run a command on one home address for its whole life
 *
 * mnd does what needs privileges, after looking who calls: it moves this process to a cgroup of its own. Then this process becomes
 * the command: environment, standard streams, terminal, signals, working directory and exit status are its own. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

/* As env(1) and ip(8): what is not the command's own status. */
enum { NO_MOBILITY = 125, CANNOT_RUN = 126, NOT_FOUND = 127 };

static struct ctl ctl = {.program = "hoa-exec", .daemon = "mnd", .interface = "org.dmm.mnd", .socket = RUNSTATEDIR "/dmm/mnd.sock"};

static void usage(FILE *f)
{
	(void)fputs("usage: hoa-exec [OPTIONS] [--] COMMAND [ARG...]\n"
		    "       hoa-exec [OPTIONS] --pid PID\n"
		    "       hoa-exec [OPTIONS] identify [PID]\n"
		    "       hoa-exec [OPTIONS] pids ADDRESS\n\n"
		    "Runs a command, and all that it starts, on one home address, whatever network this machine is in.\n\n"
		    "  -a, --address ADDRESS  on this home address ('mnctl leases' lists them)\n"
		    "  -n, --anchor NAME      on the home address of this anchor\n"
		    "  -p, --pid PID          pin a process that runs, for the sockets it opens from now on\n"
		    "  -b, --best-effort      run the command unpinned when it cannot be pinned\n"
		    "  -s, --socket PATH      control socket of mnd\n"
		    "  -h, --help, --version\n\n"
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

			if (n > best_len && !strncmp(line + 3, cgroup, n) && (line[3 + n] == '\0' || line[3 + n] == '/')) {
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

	if (p)
		(void)printf("%s\n", json_string_value(json_object_get(p, "home_address")));
	else if (reply)
		status = CTL_FAILED; /* not pinned: nothing to print, as ip vrf identify */
	json_decref(reply);
	return status;
}

static int print_procs(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	char line[32];
	FILE *f;

	(void)st;
	if (type != FTW_F || strcmp(path + ftw->base, "cgroup.procs") != 0)
		return 0;
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		(void)fputs(line, stdout);
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
	json_array_foreach(json_object_get(reply, "pins"), i, p)
	{
		const char *address = json_string_value(json_object_get(p, "home_address"));
		char path[4096];

		if (!address || inet_pton(AF_INET6, address, &have) != 1 || memcmp(&have, &want, sizeof(have)) != 0)
			continue;
		(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s", json_string_value(json_object_get(p, "cgroup")));
		(void)nftw(path, print_procs, 8, FTW_PHYS);
	}
	json_decref(reply);
	return status;
}

int main(int argc, char **argv)
{
	enum { SHOW_VERSION = 256 };
	static const struct option options[] = {{"address", required_argument, NULL, 'a'}, {"anchor", required_argument, NULL, 'n'},
		{"pid", required_argument, NULL, 'p'}, {"best-effort", no_argument, NULL, 'b'}, {"socket", required_argument, NULL, 's'},
		{"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, SHOW_VERSION}, {0}};
	json_t *parameters = json_object(), *reply;
	bool best_effort = false, running = false;
	int o, status;

	while ((o = getopt_long(argc, argv, "+a:n:p:bs:h", options, NULL)) != -1) {
		switch (o) {
		case 'a':
			(void)json_object_set_new(parameters, "address", json_string(optarg));
			break;
		case 'n':
			(void)json_object_set_new(parameters, "anchor", json_string(optarg));
			break;
		case 'p':
			(void)json_object_set_new(parameters, "pid", json_integer(number(optarg, "process number")));
			running = true;
			break;
		case 'b':
			best_effort = true;
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
	/* after "--" a command may have any name */
	if (!running && optind < argc && strcmp(argv[optind - 1], "--") != 0) {
		if (!strcmp(argv[optind], "identify") && argc - optind <= 2)
			return identify(argv[optind + 1]);
		if (!strcmp(argv[optind], "pids") && argc - optind == 2)
			return pids(argv[optind + 1]);
	}
	if (running == (optind < argc)) {
		(void)fprintf(stderr, running ? "hoa-exec: --pid takes no command\n" : "hoa-exec: which command?\n");
		usage(stderr);
		return NO_MOBILITY;
	}
	reply = ctl_call_with(&ctl, "Pin", parameters, &status);
	json_decref(reply);
	if (running)
		return reply ? 0 : NO_MOBILITY;
	if (!reply && !best_effort) {
		(void)fprintf(stderr, "hoa-exec: %s was not started ('--best-effort' runs it unpinned)\n", argv[optind]);
		return NO_MOBILITY;
	}
	if (!reply)
		(void)fprintf(stderr, "hoa-exec: running %s unpinned\n", argv[optind]);
	(void)execvp(argv[optind], argv + optind);
	status = errno == ENOENT ? NOT_FOUND : CANNOT_RUN;
	(void)fprintf(stderr, "hoa-exec: %s: %s\n", argv[optind], strerror(errno));
	return status;
}
