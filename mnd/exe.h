/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exe.h - programs that mnd.conf says are to be pinned by their path: [pin NAME] with exe
 *
 * The kernel tells (inotify) when such a file is opened, as it is to be executed; then processes are looked at, a few
 * times. Nothing is polled. Which file a process of somebody else runs may only be asked with CAP_SYS_PTRACE. A process
 * of its own has that capability, and nothing else; it is there only with such a rule. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "settings.h"

#define EXE_FOUND 64
#define EXE_ERR	  256

struct exe;

/* A process that runs the file of a rule. */
struct exe_found {
	pid_t pid;
	uid_t uid;     /* whose */
	unsigned rule; /* index in the configuration */
};

/* Begin the process that looks, for config's user; before mnd gives its own privileges up. NULL with a sentence in
 * reterr (EXE_ERR bytes). */
struct exe *exe_new(const struct mnd_config *config, char *reterr);
void exe_free(struct exe *s);
/* Go by these rules from now on, which the caller keeps. What runs already is found, too. */
void exe_load(struct exe *s, const struct mnd_pin *rules, unsigned n, uint64_t now_us);
/* Becomes readable when a file is opened; then exe_read_news, then exe_find when it is due. */
int exe_fd(const struct exe *s);
void exe_read_news(struct exe *s, uint64_t now_us);
/* When to look next: UINT64_MAX = not before there is news. */
uint64_t exe_due_us(const struct exe *s);
/* Look now. Returns how many are in ret, or -errno. */
int exe_find(struct exe *s, uint64_t now_us, struct exe_found ret[EXE_FOUND]);
