/* SPDX-License-Identifier: GPL-2.0-or-later */
/* storectl.h - 'amactl store': check, export and import the store of an amad that does not run */
#pragma once

#include <stdbool.h>

/* Each says what it found or why it failed; returns an exit status (ctl.h). directory: amad's state-dir.
 *   check   reads everything; CTL_FAILED when it is damaged
 *   export  one JSON object on standard output: {version, restart_counter, leases, bindings, visits}
 *   import  the same from a file, "-" = standard input, into a store that is not there yet; force puts one that is
 * aside */
int storectl_check(const char *directory, bool json);
int storectl_export(const char *directory);
int storectl_import(const char *directory, const char *path, bool force);
