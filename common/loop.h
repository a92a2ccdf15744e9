/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.h - the event loop; the only file that sees libev is loop.c
 *
 * One clock reading a turn. Watchers are embedded in their owners; stopping one is idempotent and safe from its own
 * callback. At the end of each turn the hooks run in the order of their phases: what handlers wanted is decided,
 * committed, put into the kernel, and then sent. */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

enum loop_phase { LOOP_DECIDE, LOOP_COMMIT, LOOP_KERNEL, LOOP_DATAGRAMS, LOOP_PHASES };

int loop_new(struct loop **ret); /* 0 or -errno */
void loop_free(struct loop *l);
/* Run until loop_stop. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* One pass without blocking, for tests. */
void loop_turn(struct loop *l);

/* CLOCK_MONOTONIC in microseconds, read once a turn. */
uint64_t loop_now_us(const struct loop *l);
/* That clock at loop_new. */
uint64_t loop_started_us(const struct loop *l);
/* Read the clock now: for measuring within a turn. */
uint64_t loop_clock_us(void);
/* Wall clock, nanoseconds since 1970. */
uint64_t loop_wall_ns(void);

struct loop_io {
	ev_io ev;
	struct loop *loop;
	void (*cb)(void *ctx);
	void *ctx;
	const char *name; /* in the log when the callback was slow */
	bool active;
};
/* Call cb while fd is readable (and, with loop_io_write on, writable). */
void loop_io_start(struct loop_io *io, struct loop *l, int fd, void (*cb)(void *ctx), void *ctx, const char *name);
/* Which events: read and write; neither pauses it. */
void loop_io_want(struct loop_io *io, bool read, bool write);
void loop_io_stop(struct loop_io *io);

struct loop_timer {
	ev_timer ev;
	struct loop *loop;
	void (*cb)(void *ctx);
	void *ctx;
	const char *name;
};
void loop_timer_init(struct loop_timer *t, struct loop *l, void (*cb)(void *ctx), void *ctx, const char *name);
/* Fire once at an absolute time of loop_now_us; UINT64_MAX = never. Replaces an earlier setting. */
void loop_timer_at(struct loop_timer *t, uint64_t at_us);
void loop_timer_stop(struct loop_timer *t);

struct loop_signal {
	ev_signal ev;
	void (*cb)(void *ctx, int signum);
	void *ctx;
	struct loop *loop;
};
void loop_signal_start(struct loop_signal *s, struct loop *l, int signum, void (*cb)(void *ctx, int signum), void *ctx);
void loop_signal_stop(struct loop_signal *s);

/* Run cb at the end of every turn, in its phase; at most four a phase. */
void loop_at_end(struct loop *l, enum loop_phase phase, void (*cb)(void *ctx), void *ctx);

/* Call cb when the machine was suspended (slept_us > 0) or the wall clock was set (slept_us = 0). One a loop. */
int loop_on_clock_jump(struct loop *l, void (*cb)(void *ctx, uint64_t slept_us), void *ctx);

struct loop_stats {
	uint64_t turns, slow; /* callbacks that took longer than 50 ms */
	uint64_t worst_us;
	const char *worst; /* its name */
};
const struct loop_stats *loop_stats(const struct loop *l);
