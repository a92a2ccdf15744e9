/* SPDX-License-Identifier: GPL-2.0-or-later */
/* exe.c - who runs the programs that rules name by their path
 *
 * A file is opened before it is executed, so the process is not yet what it becomes when the news come: it is looked
 * for at once and again, at longer and longer intervals. A new version of a program is another file of that name: its
 * directory is watched for that.
 *
 * The process that looks is asked with files (device, inode) and answers with processes. It has CAP_SYS_PTRACE alone, a
 * filter of system calls that lets it write nothing but the answer, and ends with mnd. */
#include "exe.h"

#include "priv.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* After news: now, and so much later. */
static const uint32_t again_us[] = {2000, 10000, 50000, 250000, 1000000};
#define TIMES (sizeof(again_us) / sizeof(again_us[0]))

struct file {
	dev_t dev;
	ino_t ino; /* 0 = there is none */
};

struct exe {
	int fd, asks;
	pid_t looker;
	const struct mnd_pin *rules;
	unsigned n_rules;
	struct {
		struct file file;
		int wd, dir_wd;
	} watched[MND_PINS];
	uint64_t due_us;
	unsigned times; /* looked since the news */
};

/* --- the process that looks -------------------------------------------------------------------------------------- */

static ssize_t look(const struct file *files, size_t n_files, struct exe_found *ret)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	size_t n = 0;

	while (proc && n < EXE_FOUND && (d = readdir(proc))) {
		char path[64];
		struct stat st, owner;
		long pid = strtol(d->d_name, NULL, 10);

		(void)snprintf(path, sizeof(path), "/proc/%ld/exe", pid);
		if (pid <= 0 || stat(path, &st) < 0)
			continue;
		*strrchr(path, '/') = '\0';
		for (size_t i = 0; i < n_files; i++) {
			if (!files[i].ino || files[i].ino != st.st_ino || files[i].dev != st.st_dev)
				continue;
			if (stat(path, &owner) == 0)
				ret[n++] = (struct exe_found){
					.pid = (pid_t)pid, .uid = owner.st_uid, .rule = (unsigned)i};
			break; /* the first rule counts */
		}
	}
	if (proc)
		(void)closedir(proc);
	return (ssize_t)n;
}

static void be_looker(int fd, const struct mnd_config *config)
{
	struct file files[MND_PINS];
	struct exe_found found[EXE_FOUND];
	char err[EXE_ERR] = "";
	ssize_t n;
	int r = priv_drop_to(config->user, CAP_SYS_PTRACE, err);

	if (r == 0 && config->seccomp != PRIV_SECCOMP_NO)
		r = priv_filter_reader(err);
	(void)send(fd, err, sizeof(err), MSG_NOSIGNAL);
	while (r == 0 && (n = recv(fd, files, sizeof(files), 0)) > 0) {
		n = look(files, (size_t)n / sizeof(files[0]), found);
		/* a message without a byte is the end */
		found[n < EXE_FOUND ? n : EXE_FOUND - 1].pid = n < EXE_FOUND ? 0 : found[EXE_FOUND - 1].pid;
		if (send(fd, found, (size_t)(n < EXE_FOUND ? n + 1 : n) * sizeof(found[0]), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

/* Of mnd it has nothing but its end of the pair. */
static void close_all_but(int fd)
{
	long max = sysconf(_SC_OPEN_MAX);

	for (int i = STDERR_FILENO + 1; i < (max > 4096 || max < 0 ? 4096 : max); i++)
		if (i != fd)
			(void)close(i);
}

struct exe *exe_new(const struct mnd_config *config, char *reterr)
{
	struct exe *s = calloc(1, sizeof(*s));
	char err[EXE_ERR] = "it ended";
	int pair[2];

	(void)snprintf(reterr, EXE_ERR, "out of memory");
	if (!s)
		return NULL;
	s->asks = -1;
	s->due_us = UINT64_MAX;
	s->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		(void)snprintf(reterr, EXE_ERR, "cannot watch programs: %s", strerror(errno));
		exe_free(s);
		return NULL;
	}
	s->asks = pair[0];
	s->looker = fork();
	if (s->looker == 0) {
		struct sigaction ignored = {.sa_handler = SIG_IGN};

		/* they are for mnd, and its end is ours */
		(void)sigaction(SIGINT, &ignored, NULL);
		(void)sigaction(SIGTERM, &ignored, NULL);
		(void)sigaction(SIGHUP, &ignored, NULL);
		close_all_but(pair[1]);
		be_looker(pair[1], config);
	}
	(void)close(pair[1]);
	if (s->looker > 0 && recv(s->asks, err, sizeof(err), 0) == (ssize_t)sizeof(err) && !err[0])
		return s;
	(void)snprintf(reterr, EXE_ERR, "cannot ask which program a process runs (CAP_SYS_PTRACE): %.*s", EXE_ERR - 80,
		s->looker < 0 ? strerror(errno) : err);
	exe_free(s);
	return NULL;
}

void exe_free(struct exe *s)
{
	if (!s)
		return;
	if (s->asks >= 0)
		(void)close(s->asks);
	if (s->fd >= 0)
		(void)close(s->fd);
	free(s); /* the other process ends by itself; who waits for it is whoever started mnd */
}

/* --- mnd --------------------------------------------------------------------------------------------------------- */

static void watch(struct exe *s, unsigned i)
{
	char path[CONF_TEXT];
	struct stat st;

	s->watched[i].file = (struct file){0};
	s->watched[i].wd = s->watched[i].dir_wd = -1;
	if (!s->rules[i].exe[0])
		return;
	(void)snprintf(path, sizeof(path), "%s", s->rules[i].exe);
	s->watched[i].wd = inotify_add_watch(s->fd, path, IN_OPEN | IN_ATTRIB | IN_MOVE_SELF);
	if (stat(path, &st) == 0)
		s->watched[i].file = (struct file){.dev = st.st_dev, .ino = st.st_ino};
	*strrchr(path, '/') = '\0';
	s->watched[i].dir_wd = inotify_add_watch(s->fd, *path ? path : "/", IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
}

static void forget(struct exe *s)
{
	for (unsigned i = 0; i < s->n_rules; i++) {
		(void)inotify_rm_watch(s->fd, s->watched[i].wd);
		(void)inotify_rm_watch(s->fd, s->watched[i].dir_wd);
	}
}

void exe_load(struct exe *s, const struct mnd_pin *rules, unsigned n, uint64_t now_us)
{
	forget(s);
	s->rules = rules;
	s->n_rules = n;
	for (unsigned i = 0; i < n; i++)
		watch(s, i);
	s->due_us = now_us;
	s->times = 0;
}

int exe_fd(const struct exe *s)
{
	return s->fd;
}

uint64_t exe_due_us(const struct exe *s)
{
	return s->due_us;
}

void exe_read_news(struct exe *s, uint64_t now_us)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	bool opened = false, other = false;
	ssize_t n;

	while ((n = read(s->fd, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;
			p += sizeof(struct inotify_event) + ((struct inotify_event *)(void *)p)->len) {
			const struct inotify_event *e = (struct inotify_event *)(void *)p;

			opened |= (e->mask & (IN_OPEN | IN_Q_OVERFLOW)) != 0;
			other |= (e->mask & (IN_ATTRIB | IN_MOVE_SELF | IN_Q_OVERFLOW)) != 0;
			for (unsigned i = 0; e->len && i < s->n_rules; i++)
				other |= e->wd == s->watched[i].dir_wd &&
					!strcmp(e->name, strrchr(s->rules[i].exe, '/') + 1);
		}
	if (other)
		exe_load(s, s->rules, s->n_rules, now_us);
	if (!opened && !other)
		return;
	s->due_us = now_us;
	s->times = 0;
}

int exe_find(struct exe *s, uint64_t now_us, struct exe_found ret[EXE_FOUND])
{
	struct file files[MND_PINS] = {{0}};
	ssize_t n;

	s->due_us = s->times < TIMES ? now_us + again_us[s->times] : UINT64_MAX;
	s->times++;
	for (unsigned i = 0; i < s->n_rules; i++)
		files[i] = s->watched[i].file;
	if (s->n_rules == 0)
		return 0;
	if (send(s->asks, files, s->n_rules * sizeof(files[0]), MSG_NOSIGNAL) < 0)
		return -errno;
	n = recv(s->asks, ret, EXE_FOUND * sizeof(*ret), 0);
	if (n <= 0)
		return n < 0 ? -errno : -EPIPE;
	n /= (ssize_t)sizeof(*ret);
	for (ssize_t i = 0; i < n; i++)
		if (ret[i].pid == 0)
			return (int)i;
	return (int)n;
}
