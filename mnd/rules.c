/* SPDX-License-Identifier: GPL-2.0-or-later */
/* rules.c - watches the cgroup hierarchy for what the rules mean
 *
 * Each directory is watched for directories made in it. One that is made is looked into at once, as others may have
 * been made in it before it was watched. */
#include "rules.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define ROOT	"/sys/fs/cgroup"
#define DEEP	24
#define MATCHES 64

struct watch {
	int wd;
	char *path; /* below ROOT, "" = itself */
};

struct rules {
	int fd;
	const struct mnd_pin *rules;
	unsigned n_rules;
	struct watch *watches;
	unsigned n_watches;
	struct rules_match matches[MATCHES];
	unsigned n_matches;
	bool news;
};

struct rules *rules_new(void)
{
	struct rules *s = calloc(1, sizeof(*s));

	if (s)
		s->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s && s->fd < 0) {
		free(s);
		s = NULL;
	}
	return s;
}

static void forget(struct rules *s)
{
	for (unsigned i = 0; i < s->n_watches; i++) {
		(void)inotify_rm_watch(s->fd, s->watches[i].wd);
		free(s->watches[i].path);
	}
	free(s->watches);
	s->watches = NULL;
	s->n_watches = s->n_matches = 0;
}

void rules_free(struct rules *s)
{
	if (!s)
		return;
	forget(s);
	(void)close(s->fd);
	free(s);
}

int rules_fd(const struct rules *s)
{
	return s->fd;
}

struct rules_match *rules_matches(struct rules *s, unsigned *ret_n)
{
	*ret_n = s->n_matches;
	return s->matches;
}

bool rules_mean(const struct mnd_pin *rule, const char *cgroup)
{
	const char *name = strrchr(cgroup, '/');
	char unit[CONF_TEXT + 16];

	if (!name || !name[1] || rule->exe[0])
		return false;
	if (rule->cgroup[0])
		return fnmatch(rule->cgroup, cgroup, FNM_PATHNAME) == 0;
	(void)snprintf(unit, sizeof(unit), "%s%s", rule->unit, strchr(rule->unit, '.') ? "" : ".service");
	return fnmatch(unit, name + 1, 0) == 0;
}

static void match(struct rules *s, const char *cgroup, bool was_there)
{
	for (unsigned i = 0; i < s->n_matches; i++)
		if (!strcmp(s->matches[i].cgroup, cgroup))
			return;
	for (unsigned i = 0; i < s->n_rules && s->n_matches < MATCHES; i++) {
		struct rules_match *x = &s->matches[s->n_matches];

		if (strlen(cgroup) >= sizeof(x->cgroup) || !rules_mean(&s->rules[i], cgroup))
			continue;
		*x = (struct rules_match){.rule = i, .was_there = was_there};
		memcpy(x->cgroup, cgroup, strlen(cgroup) + 1);
		s->n_matches++;
		s->news = true;
		return; /* the first rule counts */
	}
}

static void watch(struct rules *s, const char *path, bool was_there, unsigned deep)
{
	char full[sizeof(ROOT) + PIN_CGROUP], child[PIN_CGROUP];
	struct watch *more;
	struct dirent *d;
	DIR *dir;
	int wd;

	match(s, path, was_there);
	(void)snprintf(full, sizeof(full), ROOT "%s", path);
	wd = inotify_add_watch(s->fd, full, IN_CREATE | IN_DELETE | IN_ONLYDIR);
	if (wd < 0)
		return; /* gone, or more than fs.inotify.max_user_watches */
	for (unsigned i = 0; i < s->n_watches; i++)
		if (s->watches[i].wd == wd) /* it was told of, and found here, too */
			return;
	more = realloc(s->watches, (s->n_watches + 1) * sizeof(*more));
	if (!more)
		return;
	s->watches = more;
	more[s->n_watches] = (struct watch){.wd = wd, .path = strdup(path)};
	if (!more[s->n_watches].path)
		return;
	s->n_watches++;
	dir = deep < DEEP ? opendir(full) : NULL;
	while (dir && (d = readdir(dir)))
		if (d->d_type == DT_DIR && d->d_name[0] != '.' &&
			(size_t)snprintf(child, sizeof(child), "%s/%s", path, d->d_name) < sizeof(child))
			watch(s, child, was_there, deep + 1);
	if (dir)
		(void)closedir(dir);
}

void rules_load(struct rules *s, const struct mnd_pin *rules, unsigned n)
{
	forget(s);
	s->rules = rules;
	s->n_rules = n;
	if (n > 0)
		watch(s, "", true, 0);
}

static void gone(struct rules *s, const char *cgroup)
{
	for (unsigned i = 0; i < s->n_matches; i++)
		if (!strcmp(s->matches[i].cgroup, cgroup))
			s->matches[i--] = s->matches[--s->n_matches];
}

static void take(struct rules *s, const struct inotify_event *e)
{
	char path[PIN_CGROUP];

	if (e->mask & IN_Q_OVERFLOW) {
		rules_load(s, s->rules, s->n_rules);
		return;
	}
	for (unsigned i = 0; i < s->n_watches; i++) {
		struct watch *w = &s->watches[i];

		if (w->wd != e->wd)
			continue;
		if (e->mask & IN_IGNORED) {
			free(w->path);
			*w = s->watches[--s->n_watches];
		} else if ((e->mask & IN_ISDIR) &&
			(size_t)snprintf(path, sizeof(path), "%s/%s", w->path, e->name) < sizeof(path)) {
			if (e->mask & IN_DELETE)
				gone(s, path);
			else
				watch(s, path, false, 0);
		}
		return;
	}
}

bool rules_read_news(struct rules *s)
{
	char buf[8192] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t n;

	s->news = false;
	while ((n = read(s->fd, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;
			p += sizeof(struct inotify_event) + ((struct inotify_event *)(void *)p)->len)
			take(s, (struct inotify_event *)(void *)p);
	return s->news;
}
