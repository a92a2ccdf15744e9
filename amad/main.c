/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - amad: options and one call */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "log.h"
#include "amad.h"

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
		"usage: amad [-c FILE] [-d TOKENS] [--check]\n"
		"\n"
		"Access mobility anchor: leases prefixes to mobile nodes and tunnels to where they are.\n"
		"\n"
		"  -c, --config FILE   configuration (" SYSCONFDIR "/dmm/amad.conf)\n"
		"      --check         check the configuration and exit: 0, or 2 if something is wrong\n"
		"  -d, --debug TOKENS  log each message of anchoring, lm, nl, channel (or all)\n"
		"  -f, --foreground    nothing: it never goes into the background\n"
		"      --help-config   print every setting with its default\n"
		"      --version, --help\n"
		"\n"
		"See amad(8), amad.conf(5); amactl status tells what it does.\n");
}

int main(int argc, char **argv)
{
	enum { CHECK = 256, HELP_CONFIG, SHOW_VERSION };
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"debug", required_argument, NULL, 'd'}, {"check", no_argument, NULL, CHECK},
		{"help", no_argument, NULL, 'h'}, {"help-config", no_argument, NULL, HELP_CONFIG},
		{"foreground", no_argument, NULL, 'f'}, {"version", no_argument, NULL, SHOW_VERSION}, {0}};
	const char *path = SYSCONFDIR "/dmm/amad.conf", *tokens = NULL;
	bool required = true, check = false;
	static struct amad_config config;
	char err[AMAD_ERR];
	struct amad *m;
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
			conf_print_help(stdout, amad_settings);
			return 0;
		case SHOW_VERSION:
			(void)printf("amad (DMM for Linux) %s\n", PACKAGE_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "amad: unexpected argument '%s'\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	log_start("amad", tokens);
	faults = amad_config_read(path, required, &config, fault, NULL);
	if (faults)
		return 2;
	if (check)
		return 0;
	r = amad_new(path, required, &config, &m, err);
	if (r < 0) {
		log_error("main", "%s", err);
		return 1;
	}
	r = amad_run(m);
	amad_free(m);
	return r;
}
