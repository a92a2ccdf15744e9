/* SPDX-License-Identifier: GPL-2.0-or-later */
/* priv.h - give up what start-up needed: run as a user of our own with the capabilities in use, for good */
#pragma once

#define PRIV_ERR 256

#include <stdbool.h>

enum priv_seccomp { PRIV_SECCOMP_YES, PRIV_SECCOMP_NO, PRIV_SECCOMP_TRAP };

/* Become user and keep CAP_NET_ADMIN, CAP_BPF, if raw CAP_NET_RAW, and if cgroups CAP_DAC_OVERRIDE (making one below somebody else's); own (NULL-terminated paths, files and directories that exist) becomes the
 * user's. "" as user: stay who we are, but drop every other capability all the same. Sets no_new_privs, and verifies that nothing can be regained. Any
 * step that fails is an error: the caller ends. Returns 0, or -errno with a sentence in reterr. */
int priv_drop(const char *user, bool raw, bool cgroups, const char *const *own, char *reterr);

/* After that, and before anything from outside is read: allow only the system calls that are needed from now on, some
 * only with certain arguments (socket families, BPF commands, no executable memory). Any other fails as if the kernel
 * did not have it, and those that only an intruder makes (a program started, another process traced) end the daemon.
 * load_programs: allow to load BPF programs, and what pins need. trap: any other ends the daemon and is named on
 * standard error, for tests. Returns 0, or -errno with a sentence in reterr. */
int priv_filter(bool load_programs, bool trap, char *reterr);
