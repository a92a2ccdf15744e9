/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ctl.h - what mnctl and amactl share: asking a daemon over Varlink, and writing the answer for people or as JSON */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Exit statuses of both tools. */
enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

struct ctl {
	const char *program;   /* mnctl, amactl */
	const char *daemon;    /* mnd, amad */
	const char *interface; /* org.dmm.mnd */
	const char *socket;
	const char *doctor; /* the program that has one; NULL: program */
	bool json;
	bool quiet; /* do not say why a call failed */
};

/* Call a method. Returns its reply's parameters (a new reference), or NULL after saying why on standard error, with the
 * exit status in *ret_status. */
json_t *ctl_call(const struct ctl *c, const char *method, int *ret_status);
/* The same with parameters, an object whose reference is taken; NULL = none. */
json_t *ctl_call_with(const struct ctl *c, const char *method, json_t *call_parameters, int *ret_status);
/* The same, handing over the descriptor fd. */
json_t *ctl_call_passing(const struct ctl *c, const char *method, json_t *call_parameters, int fd, int *ret_status);
/* The same, saying nothing: NULL with why in reterr (CTL_ERR bytes). *ret_pid: of who listens at the socket, 0 =
 * nobody. */
#define CTL_ERR 512
json_t *ctl_try(
	const struct ctl *c, const char *method, json_t *call_parameters, int *ret_status, char *reterr, int *ret_pid);
/* Ask on the terminal; true when yes was given or is the answer. Without a terminal and without yes: false, and says
 * so. */
bool ctl_confirm(const struct ctl *c, const char *question, bool yes);
/* Events, one after another. open: 0 or -errno. next: the next one, {"event", "data"} (a new reference), or NULL when
 * timeout_ms (-1 = for ever) is over or the daemon is gone. */
struct ctl_events {
	int fd;
	char *buf;
	size_t len, size;
};
int ctl_events_open(const struct ctl *c, struct ctl_events *ret);
json_t *ctl_events_next(struct ctl_events *e, int timeout_ms);
void ctl_events_close(struct ctl_events *e);
/* Print events until the daemon ends or standard output closes: one line each. Returns an exit status. */
int ctl_monitor(const struct ctl *c);

/* --color=WHEN: auto (on a terminal, unless NO_COLOR is set: the default), always or never; NULL = always. False: none
 * of these. */
bool ctl_set_colour(const char *when);
bool ctl_in_colour(void);
#define CTL_COLOUR_HELP "auto, always or never in colour; auto is only on a terminal and without NO_COLOR"

/* Where tables go: standard output, or what ctl_live shows. Whatever stands between tables belongs there, too. */
FILE *ctl_out(void);

/* Show what draw writes to ctl_out(), again whenever the daemon tells of an event and every second, until q or an
 * interrupt. draw returns an exit status; when it is CTL_UNREACHABLE, that is shown and tried again. Without a terminal
 * draw is called once. rows: how many lines there are. Returns an exit status. */
int ctl_live(struct ctl *c, int (*draw)(void *ctx, unsigned rows), void *ctx);

/* A column: key of the objects, or several separated by '|' of which the first that is set counts; heading. */
struct ctl_column {
	const char *key, *heading;
};
/* Print an array of objects as an aligned table, numbers to the right, or say what says the empty sentence. columns end
 * with key NULL. */
void ctl_table(const json_t *list, const struct ctl_column *columns, const char *empty);
/* Text of a value for people; seconds in keys that end in _s become "1h2m". In one of eight static buffers. */
const char *ctl_text(const char *key, const json_t *value);
/* One line of JSON on standard output; takes the reference. */
void ctl_print_json(json_t *value);

/* A command of mnctl or amactl. args: what follows it, for people; "" = nothing may. run NULL: only a line of --help.
 */
struct ctl_command {
	const char *name, *args, *help;
	int (*run)(int argc, char **argv);
};
/* Run the one that argv[0] names, with what follows it. Returns its exit status, or CTL_USAGE after saying why. */
int ctl_run(const struct ctl *c, const struct ctl_command *commands, int argc, char **argv);
/* The command reload: also tells what waits for a restart. Returns an exit status. */
int ctl_reload(const struct ctl *c);
/* What a command was run for: a line, or {key: value} as JSON. */
void ctl_say(const struct ctl *c, const char *key, const char *value);
