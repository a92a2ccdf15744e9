/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mnd.h - the mobile node daemon: start order, decisions of a turn, reload, stop in reverse order */
#pragma once

#include "settings.h"

struct mnd;

/* Open everything and begin. config is copied. Returns 0, or -errno with a sentence in reterr (DAEMON_ERR bytes) and
 * all undone. */
int mnd_new(
	const char *config_path, bool config_required, const struct mnd_config *config, struct mnd **ret, char *reterr);
/* Run until a signal ends it. */
void mnd_run(struct mnd *m);
void mnd_free(struct mnd *m);
