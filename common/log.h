/* SPDX-License-Identifier: GPL-2.0-or-later */
/* log.h - log of the daemons: standard error or the journal
 *
 * Libraries return errors; only the modules of a daemon that know who and why log, once. Each message has a subsystem
 * token, which also selects debug output (-d attach,lu). */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* program: name put before lines on a terminal; tokens: comma-separated subsystems to debug, "all", or NULL.
 * Goes to the journal with fields when standard error is connected to it and libsystemd is there. */
void log_start(const char *program, const char *tokens);

/* Fields for the journal beside the text; NULL ones are left out. The innermost call wins. */
struct log_fields {
	const char *mn, *hnp, *anchor;
};

#define log_error(token, ...)	log_write(LOG_LEVEL_ERROR, token, NULL, __VA_ARGS__)
#define log_warning(token, ...) log_write(LOG_LEVEL_WARNING, token, NULL, __VA_ARGS__)
#define log_notice(token, ...)	log_write(LOG_LEVEL_NOTICE, token, NULL, __VA_ARGS__)
#define log_info(token, ...)	log_write(LOG_LEVEL_INFO, token, NULL, __VA_ARGS__)
/* With fields: mn, hnp, anchor. */
#define log_about(level, token, m, h, a, ...)                                                                          \
	log_write(level, token, &(struct log_fields){.mn = m, .hnp = h, .anchor = a}, __VA_ARGS__)
#define log_debug(token, ...)                                                                                          \
	do {                                                                                                           \
		if (log_debugs(token))                                                                                 \
			log_write(LOG_LEVEL_DEBUG, token, NULL, __VA_ARGS__);                                          \
	} while (0)
bool log_debugs(const char *token);
void log_write(enum log_level level, const char *token, const struct log_fields *fields, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Token bucket for what strangers can cause: returns true when a line may be written now. *ret_left_out is how many
 * were not since the last one. */
struct log_bucket {
	uint64_t next_us;
	unsigned left, left_out;
};
bool log_bucket_take(struct log_bucket *b, uint64_t now_us, unsigned burst, uint64_t refill_us, unsigned *ret_left_out);

/* Catch messages, for tests; NULL restores. */
typedef void log_handler(void *ctx, enum log_level level, const char *token, const char *text);
void log_register_handler(log_handler *handler, void *ctx);
