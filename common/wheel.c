/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wheel.c - timer wheel
 *
 * A slot a second; what lies further away than one turn stays in its slot and is passed over until its turn comes. */
#include "wheel.h"

#include <stddef.h>
#include <string.h>

#include <utlist.h>

void wheel_start(struct wheel *w, uint64_t now_us)
{
	memset(w, 0, sizeof(*w));
	w->now_s = now_us / 1000000;
}

void wheel_drop(struct wheel *w, struct wheel_entry *e)
{
	if (!e->at_s)
		return;
	DL_DELETE(w->slot[e->at_s % WHEEL_SLOTS], e);
	e->at_s = 0;
	w->n--;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t at_us)
{
	uint64_t at_s = at_us / 1000000 + (at_us % 1000000 > 0); /* also of UINT64_MAX */

	wheel_drop(w, e);
	if (at_s <= w->now_s)
		at_s = w->now_s + 1;
	e->at_s = at_s;
	DL_APPEND(w->slot[at_s % WHEEL_SLOTS], e);
	w->n++;
}

struct wheel_entry *wheel_due(struct wheel *w, uint64_t now_us)
{
	uint64_t now_s = now_us / 1000000;

	for (;;) {
		struct wheel_entry *e;

		DL_FOREACH(w->slot[w->now_s % WHEEL_SLOTS], e) {
			if (e->at_s <= w->now_s) {
				wheel_drop(w, e);
				return e;
			}
		}
		if (w->now_s >= now_s)
			return NULL;
		w->now_s++;
	}
}
