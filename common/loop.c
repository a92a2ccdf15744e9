/* SPDX-License-Identifier: GPL-2.0-or-later */
/* loop.c - the event loop on libev
 *
 * The end-of-turn hooks run from an ev_prepare watcher, that is before the loop blocks: whatever the handlers of this
 * turn queued leaves then, and nothing waits for a timer. */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define HOOKS	4
#define SLOW_US 50000

struct loop {
	struct ev_loop *ev;
	ev_prepare prepare;
	ev_check check;
	uint64_t now_us, started_us;
	struct {
		void (*cb)(void *ctx);
		void *ctx;
	} hook[LOOP_PHASES][HOOKS];
	struct loop_io jump_io;
	int jump_fd;
	int64_t asleep_us; /* CLOCK_BOOTTIME - CLOCK_MONOTONIC */
	void (*jump_cb)(void *ctx, uint64_t slept_us);
	void *jump_ctx;
	struct loop_stats stats;
};

static uint64_t clock_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t loop_clock_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t loop_wall_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t loop_started_us(const struct loop *l)
{
	return l->started_us;
}

uint64_t loop_now_us(const struct loop *l)
{
	return l->now_us;
}

static void took(struct loop *l, const char *name, uint64_t begin_us)
{
	uint64_t us = loop_clock_us() - begin_us;

	if (us > SLOW_US)
		l->stats.slow++;
	if (us > l->stats.worst_us) {
		l->stats.worst_us = us;
		l->stats.worst = name;
	}
}

static int64_t asleep(void)
{
	return (int64_t)clock_us(CLOCK_BOOTTIME) - (int64_t)clock_us(CLOCK_MONOTONIC);
}

static void check_jump(struct loop *l, bool clock_set)
{
	int64_t now = asleep(), slept = now - l->asleep_us;

	/* the two clocks are read one after the other: less than a tenth of a second is that */
	if (!l->jump_cb || (slept < 100000 && !clock_set))
		return;
	l->asleep_us = now;
	l->jump_cb(l->jump_ctx, slept < 100000 ? 0 : (uint64_t)slept);
}

static void prepare_cb(struct ev_loop *ev, ev_prepare *w, int revents)
{
	struct loop *l = w->data;

	(void)ev;
	(void)revents;
	for (int phase = 0; phase < LOOP_PHASES; phase++)
		for (int i = 0; i < HOOKS && l->hook[phase][i].cb; i++)
			l->hook[phase][i].cb(l->hook[phase][i].ctx);
	l->stats.turns++;
}

static void check_cb(struct ev_loop *ev, ev_check *w, int revents)
{
	struct loop *l = w->data;

	(void)ev;
	(void)revents;
	l->now_us = loop_clock_us();
	check_jump(l, false);
}

int loop_new(struct loop **ret)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->ev = ev_loop_new(EVFLAG_AUTO);
	if (!l->ev) {
		free(l);
		return -ENOMEM;
	}
	l->jump_fd = -1;
	l->now_us = l->started_us = loop_clock_us();
	ev_prepare_init(&l->prepare, prepare_cb);
	l->prepare.data = l;
	ev_prepare_start(l->ev, &l->prepare);
	ev_check_init(&l->check, check_cb);
	ev_set_priority(&l->check, EV_MAXPRI); /* the clock is read before any handler of the turn */
	l->check.data = l;
	ev_check_start(l->ev, &l->check);
	*ret = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	loop_io_stop(&l->jump_io);
	if (l->jump_fd >= 0)
		(void)close(l->jump_fd);
	ev_prepare_stop(l->ev, &l->prepare);
	ev_check_stop(l->ev, &l->check);
	ev_loop_destroy(l->ev);
	free(l);
}

void loop_run(struct loop *l)
{
	(void)ev_run(l->ev, 0);
	/* what the last turn queued still leaves */
	prepare_cb(l->ev, &l->prepare, 0);
}

void loop_stop(struct loop *l)
{
	ev_break(l->ev, EVBREAK_ALL);
}

void loop_turn(struct loop *l)
{
	(void)ev_run(l->ev, EVRUN_NOWAIT);
}

static void io_cb(struct ev_loop *ev, ev_io *w, int revents)
{
	struct loop_io *io = w->data;
	struct loop *l = io->loop;
	const char *name = io->name;
	uint64_t begin_us = loop_clock_us();

	(void)ev;
	(void)revents;
	io->cb(io->ctx); /* io may be gone after this */
	took(l, name, begin_us);
}

void loop_io_start(struct loop_io *io, struct loop *l, int fd, void (*cb)(void *ctx), void *ctx, const char *name)
{
	*io = (struct loop_io){.loop = l, .cb = cb, .ctx = ctx, .name = name, .active = true};
	ev_io_init(&io->ev, io_cb, fd, EV_READ);
	io->ev.data = io;
	ev_io_start(l->ev, &io->ev);
}

void loop_io_want(struct loop_io *io, bool read, bool write)
{
	int events = (read ? EV_READ : 0) | (write ? EV_WRITE : 0);

	if (!io->active || (io->ev.events & (EV_READ | EV_WRITE)) == events)
		return;
	ev_io_stop(io->loop->ev, &io->ev);
	ev_io_set(&io->ev, io->ev.fd, events);
	if (events)
		ev_io_start(io->loop->ev, &io->ev);
}

void loop_io_stop(struct loop_io *io)
{
	if (!io->active)
		return;
	ev_io_stop(io->loop->ev, &io->ev);
	io->active = false;
}

static void timer_cb(struct ev_loop *ev, ev_timer *w, int revents)
{
	struct loop_timer *t = w->data;
	struct loop *l = t->loop;
	const char *name = t->name;
	uint64_t begin_us = loop_clock_us();

	(void)ev;
	(void)revents;
	t->cb(t->ctx);
	took(l, name, begin_us);
}

void loop_timer_init(struct loop_timer *t, struct loop *l, void (*cb)(void *ctx), void *ctx, const char *name)
{
	*t = (struct loop_timer){.loop = l, .cb = cb, .ctx = ctx, .name = name};
	ev_timer_init(&t->ev, timer_cb, 0, 0);
	t->ev.data = t;
}

void loop_timer_at(struct loop_timer *t, uint64_t at_us)
{
	uint64_t now_us = loop_clock_us();

	ev_timer_stop(t->loop->ev, &t->ev);
	if (at_us == UINT64_MAX)
		return;
	ev_now_update(t->loop->ev); /* libev counts from the time it read last */
	ev_timer_set(&t->ev, at_us > now_us ? (double)(at_us - now_us) / 1e6 : 0, 0);
	ev_timer_start(t->loop->ev, &t->ev);
}

void loop_timer_stop(struct loop_timer *t)
{
	if (t->loop)
		ev_timer_stop(t->loop->ev, &t->ev);
}

static void signal_cb(struct ev_loop *ev, ev_signal *w, int revents)
{
	struct loop_signal *s = w->data;

	(void)ev;
	(void)revents;
	s->cb(s->ctx, w->signum);
}

void loop_signal_start(struct loop_signal *s, struct loop *l, int signum, void (*cb)(void *ctx, int signum), void *ctx)
{
	*s = (struct loop_signal){.cb = cb, .ctx = ctx, .loop = l};
	ev_signal_init(&s->ev, signal_cb, signum);
	s->ev.data = s;
	ev_signal_start(l->ev, &s->ev);
}

void loop_signal_stop(struct loop_signal *s)
{
	if (s->loop)
		ev_signal_stop(s->loop->ev, &s->ev);
	s->loop = NULL;
}

void loop_at_end(struct loop *l, enum loop_phase phase, void (*cb)(void *ctx), void *ctx)
{
	for (int i = 0; i < HOOKS; i++) {
		if (l->hook[phase][i].cb)
			continue;
		l->hook[phase][i].cb = cb;
		l->hook[phase][i].ctx = ctx;
		return;
	}
	abort(); /* our mistake: a fixed number of modules registers at start */
}

/* Far in the future, cancelled by the kernel when the wall clock is set and on resume. */
static int arm_jump(struct loop *l)
{
	struct itimerspec far = {.it_value = {.tv_sec = 0x7fffffff}};

	return timerfd_settime(l->jump_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

static void jump_cb(void *ctx)
{
	struct loop *l = ctx;
	uint64_t n;

	if (read(l->jump_fd, &n, sizeof(n)) < 0 && errno == ECANCELED)
		check_jump(l, true);
	(void)arm_jump(l);
}

int loop_on_clock_jump(struct loop *l, void (*cb)(void *ctx, uint64_t slept_us), void *ctx)
{
	l->jump_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->jump_fd < 0 || arm_jump(l) < 0)
		return -errno;
	l->asleep_us = asleep();
	l->jump_cb = cb;
	l->jump_ctx = ctx;
	loop_io_start(&l->jump_io, l, l->jump_fd, jump_cb, l, "clock jump");
	return 0;
}

const struct loop_stats *loop_stats(const struct loop *l)
{
	return &l->stats;
}
