/* SPDX-License-Identifier: GPL-2.0-or-later */
/* priv.h - give up what start-up needed: run as a user of our own with the capabilities in use, for good */
#pragma once

#include <stdbool.h>

#define PRIV_ERR 256

/* Become user and keep CAP_NET_ADMIN and CAP_BPF, for good.
 *   user     "" = stay who we are, but drop every other capability all the same
 *   raw      keep CAP_NET_RAW
 *   cgroups  keep CAP_DAC_OVERRIDE: a cgroup is made below somebody else's
 *   own      paths of files and directories, NULL-terminated: those that exist become the user's
 * Sets no_new_privs, and verifies that nothing can be regained. Returns 0, or -errno with a sentence in reterr
 * (PRIV_ERR bytes): any step that failed, and the caller ends. */
int priv_drop(const char *user, bool raw, bool cgroups, const char *const *own, char *reterr);
