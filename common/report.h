/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.h - "mnctl report", "amactl report": one text with what a bug report needs, and no secret in it */
#pragma once

#include <jansson.h>

#include "ctl.h"
#include "doctor.h"

/* Write the report to standard output: what doctor found and all facts (whose reference is taken), what the daemon
 * answers to methods (NULL ends them), the configuration, the log, and what the kernel has. The private keys of
 * identity and of a domain whose key is on this machine are looked for in it, in every usual encoding, and blotted out.
 * Returns an exit status. */
int report_command(const struct ctl *ctl, const struct doctor_check *checks, json_t *facts, const char *const *methods);
