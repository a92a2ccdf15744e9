/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon.h - what mnd and amad have in common as programs: options, signals, a word to systemd, the doors through which
 * people look in */
#pragma once

#include "conf.h"
#include "control.h"
#include "loop.h"
#include "metrics.h"

#define DAEMON_ERR 1024

/* Options and exit statuses are the same for both: mnd(8), amad(8). */
struct daemon_program {
	const char *name;
	const char *usage;		     /* all that --help prints */
	const char *config;		     /* path of the configuration without -c */
	bool config_required;		     /* also without -c */
	const struct conf_setting *settings; /* for --help-config */
	/* Read the configuration. Returns the number of faults; each was told. The configuration is the program's. */
	unsigned (*read)(const char *path, bool required, conf_fault_cb *fault, void *ctx);
	/* Run on what was read until told to stop. Returns 0, or -errno with a sentence in reterr (DAEMON_ERR bytes)
	 * and all undone. */
	int (*run)(const char *path, bool required, char *reterr);
};

/* The whole of main(): the exit status, 0 done, 1 failed, 2 wrong usage or configuration. */
int daemon_main(const struct daemon_program *program, int argc, char **argv);

/* Embedded in its owner, all zero before daemon_open; the members are the owner's to use. */
struct daemon {
	struct loop *loop;
	struct control *control;
	struct metrics_server *metrics; /* NULL = off */
	int key_log;			/* 0 = off */
	/* private */
	struct loop_signal term, interrupt, hangup;
	struct loop_timer watchdog;
	int (*reload)(void *ctx, char *reterr, size_t size);
	void *ctx;
};

struct daemon_config {
	struct control_config control;
	const char *metrics; /* where to serve them, "" = nowhere */
	metrics_collect_cb *collect;
	const char *key_log; /* "" = none */
};

/* Make the loop, the control socket (which finds another daemon of this kind before anything is touched), the metrics'
 * server and the key log. Returns 0, or -errno with a sentence in reterr (DAEMON_ERR bytes); daemon_close in any case.
 */
int daemon_open(struct daemon *d, const struct daemon_config *config, char *reterr);
/* From now on SIGTERM and SIGINT stop the loop, and SIGHUP calls reload (0 with what daemon_keep_settings says in
 * reterr, or -errno with a sentence there, which it has logged). */
void daemon_watch(struct daemon *d, int (*reload)(void *ctx, char *reterr, size_t size), void *ctx);
/* Tell systemd that everything works, as it also is when a reload is over. */
void daemon_ready(void);
/* Run until told to stop, and tell systemd's watchdog that the loop turns. */
void daemon_run(struct daemon *d);
/* Stop watching; may be called at any time, also twice. */
void daemon_unwatch(struct daemon *d);
/* Close all that daemon_open made. */
void daemon_close(struct daemon *d);

/* Where the faults of a configuration that is read again are collected: a conf_fault_cb, with a daemon_faults as ctx.
 * Each is logged, and text has them all in one line. */
struct daemon_faults {
	char *text;
	size_t size;
};
void daemon_collect_fault(void *ctx, const char *text);
/* A configuration was read again: keep what is read only at the start (conf_keep), and log the keys, which names gets.
 */
void daemon_keep_settings(const char *name, const struct conf_section *sections, const struct conf_setting *settings,
	const void *running, void *fresh, char *names, size_t size);
/* The reply of the method Reload, of these names: {"restart": ["port", ...]}. Returns 0 or -ENOMEM. */
int daemon_reload_reply(const char *names, json_t **ret);
