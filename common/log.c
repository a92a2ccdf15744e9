/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.c - log of the daemons */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

static struct {
	const char *program, *tokens;
	bool journal, tty;
	log_handler *handler;
	void *ctx;
} lg = {.program = "dmm"};

/* True when standard error is the journal's stream: its device and inode are in the environment (systemd.exec(5)). */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
		st.st_dev == dev && st.st_ino == ino;
}

void log_start(const char *program, const char *tokens)
{
	lg.program = program;
	lg.tokens = tokens;
	lg.journal = is_journal();
	lg.tty = isatty(STDERR_FILENO);
}

bool log_debugs(const char *token)
{
	size_t n = strlen(token);

	if (!lg.tokens)
		return false;
	for (const char *p = lg.tokens; *p;) {
		size_t k = strcspn(p, ",");

		if ((k == n && !strncmp(p, token, n)) || (k == 3 && !strncmp(p, "all", 3)))
			return true;
		p += k + (p[k] == ',');
	}
	return false;
}

static const char *const level_name[] = {"error: ", "warning: ", "", "", "debug: "};
static const int level_priority[] = {3, 4, 5, 6, 7};

void log_write(enum log_level level, const char *token, const struct log_fields *fields, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* what came from outside must not begin a line of its own */
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20)
			*p = ' ';
	if (lg.handler) {
		lg.handler(lg.ctx, level, token, text);
		return;
	}
#ifdef HAVE_SYSTEMD
	if (lg.journal) {
		char mn[128] = "", hnp[128] = "", anchor[128] = "";

		if (fields && fields->mn)
			(void)snprintf(mn, sizeof(mn), "MN=%s", fields->mn);
		if (fields && fields->hnp)
			(void)snprintf(hnp, sizeof(hnp), "HNP=%s", fields->hnp);
		if (fields && fields->anchor)
			(void)snprintf(anchor, sizeof(anchor), "ANCHOR=%s", fields->anchor);
		(void)sd_journal_send("MESSAGE=%s", text, "PRIORITY=%i", level_priority[level], "DMM_SUBSYSTEM=%s",
			token, "%s", *mn ? mn : "DMM_NONE=", "%s", *hnp ? hnp : "DMM_NONE=", "%s",
			*anchor ? anchor : "DMM_NONE=", NULL);
		return;
	}
#else
	(void)fields;
#endif
	if (lg.journal)
		(void)fprintf(stderr, "<%d>%s: %s%s\n", level_priority[level], token, level_name[level], text);
	else
		(void)fprintf(stderr, "%s: %s: %s%s\n", lg.program, token, level_name[level], text);
}

bool log_bucket_take(struct log_bucket *b, uint64_t now_us, unsigned burst, uint64_t refill_us, unsigned *ret_left_out)
{
	if (now_us >= b->next_us) {
		b->left = burst;
		b->next_us = now_us + refill_us;
	}
	if (b->left == 0) {
		b->left_out++;
		return false;
	}
	b->left--;
	*ret_left_out = b->left_out;
	b->left_out = 0;
	return true;
}

void log_register_handler(log_handler *handler, void *ctx)
{
	lg.handler = handler;
	lg.ctx = ctx;
}
