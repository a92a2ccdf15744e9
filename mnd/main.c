/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - mnd: options and one call */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "mnd.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static void fault(void *ctx, const char *text)
{
	(void)ctx;
	(void)fprintf(stderr, "%s\n", text);
}

static void usage(FILE *f)
{
	(void)fprintf(f,
		"usage: mnd [-c FILE] [-d TOKENS] [--check]\n"
		"\n"
		"Keeps sessions on their home addresses while this machine roams.\n"
		"\n"
		"  -c, --config FILE   configuration (" SYSCONFDIR "/dmm/mnd.conf; may be missing)\n"
		"      --check         check the configuration and exit: 0, or 2 if something is wrong\n"
		"  -d, --debug TOKENS  log each message of attach, home, lu, nl, channel (or all)\n"
		"  -f, --foreground    nothing: it never goes into the background\n"
		"      --help-config   print every setting with its default\n"
		"      --version, --help\n"
		"\n"
		"See mnd(8), mnd.conf(5); mnctl status tells what it does.\n");
}

int main(int argc, char **argv)
{
	enum { CHECK = 256, HELP_CONFIG, SHOW_VERSION };
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"debug", required_argument, NULL, 'd'}, {"check", no_argument, NULL, CHECK},
		{"help", no_argument, NULL, 'h'}, {"help-config", no_argument, NULL, HELP_CONFIG},
		{"foreground", no_argument, NULL, 'f'}, {"version", no_argument, NULL, SHOW_VERSION}, {0}};
	const char *path = SYSCONFDIR "/dmm/mnd.conf", *tokens = NULL;
	bool required = false, check = false;
	static struct mnd_config config;
	char err[MND_ERR];
	struct mnd *m;
	unsigned faults;
	int o, r;

	while ((o = getopt_long(argc, argv, "c:d:hf", options, NULL)) != -1) {
		switch (o) {
		case 'c':
			path = optarg;
			required = true;
			break;
		case 'd':
			tokens = optarg;
			break;
		case 'f':
			break; /* it never goes into the background */
		case CHECK:
			check = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case HELP_CONFIG:
			conf_print_help(stdout, mnd_settings);
			return 0;
		case SHOW_VERSION:
			(void)printf("mnd (DMM for Linux) %s\n", PACKAGE_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "mnd: unexpected argument '%s'\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	log_start("mnd", tokens);
	faults = mnd_config_read(path, required, &config, fault, NULL);
	if (faults)
		return 2;
	if (check)
		return 0;
	r = mnd_new(path, required, &config, &m, err);
	if (r < 0) {
		log_error("main", "%s", err);
		return 1;
	}
	r = mnd_run(m);
	mnd_free(m);
	return r;
}
