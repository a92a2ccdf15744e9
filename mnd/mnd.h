/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mnd.h - the mobile node daemon: start order, decisions of a turn, reload, stop in reverse order */
#pragma once

#include "settings.h"

struct mnd;

#define MND_ERR 1024

/* Open everything and begin. config is copied. Returns 0, or -errno with a sentence in reterr (MND_ERR bytes) and all
 * undone. */
int mnd_new(
	const char *config_path, bool config_required, const struct mnd_config *config, struct mnd **ret, char *reterr);
/* Run until a signal ends it. Returns 0 or 1. */
int mnd_run(struct mnd *m);
void mnd_free(struct mnd *m);
