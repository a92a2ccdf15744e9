/* SPDX-License-Identifier: GPL-2.0-or-later */
/* amad.h - the access mobility anchor: start order, turns, reload, stop in reverse order */
#pragma once

#include "settings.h"

struct amad;

/* Open everything and begin. config is copied. Returns 0, or -errno with a sentence in reterr (DAEMON_ERR bytes) and
 * all undone. */
int amad_new(const char *config_path, bool config_required, const struct amad_config *config, struct amad **ret,
	char *reterr);
/* Run until a signal ends it. */
void amad_run(struct amad *a);
void amad_free(struct amad *a);
