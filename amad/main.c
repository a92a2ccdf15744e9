/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - amad: what it says of itself */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "daemon.h"
#include "amad.h"

static struct amad_config config;

static unsigned read_config(const char *path, bool required, conf_fault_cb *fault, void *ctx)
{
	return amad_config_read(path, required, &config, fault, ctx);
}

static int run(const char *path, bool required, char *reterr)
{
	struct amad *a;
	int r = amad_new(path, required, &config, &a, reterr);

	if (r < 0)
		return r;
	amad_run(a);
	amad_free(a);
	return 0;
}

static const struct daemon_program program = {
	.name = "amad",
	.usage = "usage: amad [-c FILE] [-d TOKENS] [--check]\n"
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
		 "See amad(8), amad.conf(5); amactl status tells what it does.\n",
	.config = SYSCONFDIR "/dmm/amad.conf",
	.config_required = true,
	.settings = amad_settings,
	.read = read_config,
	.run = run,
};

int main(int argc, char **argv)
{
	return daemon_main(&program, argc, argv);
}
