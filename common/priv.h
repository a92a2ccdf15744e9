/* SPDX-License-Identifier: GPL-2.0-or-later */
/* priv.h - give up what start-up needed: run as a user of our own with the capabilities in use, for good */
#pragma once

#include <stdbool.h>

#define PRIV_ERR 256

enum priv_seccomp { PRIV_SECCOMP_YES, PRIV_SECCOMP_NO, PRIV_SECCOMP_TRAP };

/* Become user and keep CAP_NET_ADMIN and CAP_BPF, for good.
 *   user     "" = stay who we are, but drop every other capability all the same
 *   raw      keep CAP_NET_RAW
 *   cgroups  keep CAP_DAC_OVERRIDE: a cgroup is made below somebody else's
 *   own      paths of files and directories, NULL-terminated: those that exist become the user's
 * Sets no_new_privs, and verifies that nothing can be regained. Returns 0, or -errno with a sentence in reterr
 * (PRIV_ERR bytes): any step that failed, and the caller ends. */
int priv_drop(const char *user, bool raw, bool cgroups, const char *const *own, char *reterr);

/* After that, and before anything from outside is read: allow only the system calls that are needed from now on, some
 * only with certain arguments (socket families, BPF commands, no executable memory). Any other fails as if the kernel
 * did not have it, and those that only an intruder makes (a program started, another process traced) end the daemon.
 * load_programs: allow to load BPF programs, and what pins need. trap: any other ends the daemon and is named on
 * standard error, for tests. Returns 0, or -errno with a sentence in reterr. */
int priv_filter(bool load_programs, bool trap, char *reterr);

/* Become user and keep one capability (linux/capability.h), for good. As priv_drop. */
int priv_drop_to(const char *user, unsigned capability, char *reterr);

/* After that: read files and answer on sockets that are open, and nothing else; any other call ends the process. As
 * priv_filter. */
int priv_filter_reader(char *reterr);
