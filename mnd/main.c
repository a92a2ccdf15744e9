/* SPDX-License-Identifier: GPL-2.0-or-later */
/* main.c - mnd: what it says of itself */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "daemon.h"
#include "mnd.h"

static struct mnd_config config;

static unsigned read_config(const char *path, bool required, conf_fault_cb *fault, void *ctx)
{
	return mnd_config_read(path, required, &config, fault, ctx);
}

static int run(const char *path, bool required, char *reterr)
{
	struct mnd *m;
	int r = mnd_new(path, required, &config, &m, reterr);

	if (r < 0)
		return r;
	mnd_run(m);
	mnd_free(m);
	return 0;
}

static const struct daemon_program program = {
	.name = "mnd",
	.usage = "usage: mnd [-c FILE] [-d TOKENS] [--check]\n"
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
		 "See mnd(8), mnd.conf(5); mnctl status tells what it does.\n",
	.config = SYSCONFDIR "/dmm/mnd.conf",
	.config_required = false,
	.settings = mnd_settings,
	.read = read_config,
	.run = run,
};

int main(int argc, char **argv)
{
	return daemon_main(&program, argc, argv);
}
