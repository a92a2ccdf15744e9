/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wheel.h - timer wheel: many deadlines of one second's precision, O(1) to set, move and drop (pure) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_SLOTS 4096 /* a power of two */

/* Embedded in what expires; zeroed = not set. */
struct wheel_entry {
	struct wheel_entry *prev, *next;
	uint64_t at_s;
};

struct wheel {
	struct wheel_entry *slot[WHEEL_SLOTS];
	uint64_t now_s; /* all before this have fired */
	unsigned n;
};

void wheel_start(struct wheel *w, uint64_t now_us);
/* Fire at at_us (rounded up to a second); moves an entry that is set. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t at_us);
void wheel_drop(struct wheel *w, struct wheel_entry *e);
/* The next entry that is due at now_us, taken out, or NULL: call until NULL. */
struct wheel_entry *wheel_due(struct wheel *w, uint64_t now_us);
