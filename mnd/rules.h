/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rules.h - cgroups that mnd.conf says are to be pinned: [pin NAME] with a unit or a cgroup
 *
 * The kernel tells (inotify) of each cgroup that is made; nothing is polled, and without a rule nothing is watched. */
#pragma once

#include <stdbool.h>

#include "pin.h"
#include "settings.h"

struct rules;

/* A cgroup that exists and is meant by a rule. */
struct rules_match {
	char cgroup[PIN_CGROUP];
	unsigned rule;	/* index in the configuration */
	bool was_there; /* before the rule looked: it may have sockets */
	bool done;	/* the owner's: nothing is left to do about it */
};

struct rules *rules_new(void); /* NULL = no memory, or no inotify */
void rules_free(struct rules *s);
/* Go by these rules from now on, which the caller keeps: look at what exists, and watch. */
void rules_load(struct rules *s, const struct mnd_pin *rules, unsigned n);
/* Becomes readable when cgroups come and go. */
int rules_fd(const struct rules *s);
/* Take the news. Returns true when there is another match. */
bool rules_read_news(struct rules *s);
struct rules_match *rules_matches(struct rules *s, unsigned *ret_n);

/* Does this rule mean this cgroup? A unit is the last part of its path, "NAME" is "NAME.service"; both are shell
 * patterns. */
bool rules_mean(const struct mnd_pin *rule, const char *cgroup);
