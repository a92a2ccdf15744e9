/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pmtu.c - path MTU search of one tunnel
 *
 * Packet-too-big messages do the work where they get through. Where they do not, full-size packets vanish and TCP
 * hangs. So after each move one probe of the full size goes to the anchor and comes back as large. If it is lost three
 * times the path is taken to be a black hole: the tunnel drops to what must pass at once, so that TCP goes on, and then
 * searches upwards, several sizes at a time: what is found within 3 s is not a matter of the round trip alone, as lost
 * probes cost a wait each. */
#include "pmtu.h"

#include <string.h>

#define PROBES	    3u /* RFC 8899 MAX_PROBES, before anything is changed */
#define PROBES_LESS 2u /* while searching: a wrong "no" costs only some bytes a packet; sent[] has room for them */
#define GRANULARITY 8
#define WAIT_MIN_US 200000u
#define WAIT_MAX_US 2000000u

static void begin_round(struct pmtu *p, unsigned n, uint64_t now_us)
{
	p->n = n;
	p->next = n; /* the first try begins at once */
	p->tries = p->n_sent = 0;
	p->first_id = p->id + 1;
	p->next_us = now_us;
}

void pmtu_start(struct pmtu *p, uint16_t mtu, uint32_t rtt_us, uint64_t now_us)
{
	uint32_t id = p->id;

	memset(p, 0, sizeof(*p));
	p->id = id;
	if (mtu <= PMTU_BASE)
		return;
	p->state = PMTU_CONFIRM;
	p->low = PMTU_BASE;
	p->high = p->sizes[0] = mtu;
	begin_round(p, 1, now_us);
	p->wait_us = 2 * rtt_us + 100000;
	if (p->wait_us < WAIT_MIN_US)
		p->wait_us = WAIT_MIN_US;
	if (p->wait_us > WAIT_MAX_US)
		p->wait_us = WAIT_MAX_US;
}

void pmtu_stop(struct pmtu *p)
{
	p->state = PMTU_OFF;
}

/* The next sizes between low and high, or the end of the search. */
static void next_sizes(struct pmtu *p, uint64_t now_us)
{
	unsigned gap = (unsigned)(p->high - p->low);

	if (gap < GRANULARITY) {
		p->state = PMTU_DONE;
		return;
	}
	for (unsigned i = 0; i < PMTU_SIZES; i++)
		p->sizes[i] = (uint16_t)(p->low + (gap * (i + 1) + PMTU_SIZES) / (PMTU_SIZES + 1));
	begin_round(p, PMTU_SIZES, now_us);
}

bool pmtu_step(struct pmtu *p, uint64_t now_us, uint64_t *ret_wake_us, bool *ret_changed)
{
	uint16_t old = pmtu_inner_mtu(p);

	*ret_wake_us = UINT64_MAX;
	*ret_changed = false;
	for (;;) {
		if (p->state != PMTU_CONFIRM && p->state != PMTU_SEARCH)
			return false;
		while (p->next < p->n && p->sizes[p->next] <= p->low) /* known to pass by now */
			p->next++;
		*ret_wake_us = p->next_us;
		if (p->next < p->n) {
			p->size = p->sizes[p->next++];
			p->sent[p->n_sent++] = p->size;
			p->id++;
			return true;
		}
		if (now_us < p->next_us)
			return false;
		if (p->tries < (p->state == PMTU_CONFIRM ? PROBES : PROBES_LESS)) {
			p->tries++;
			p->next = 0;
			p->next_us = now_us + p->wait_us;
			continue;
		}
		for (unsigned i = p->n; i-- > 0 && p->sizes[i] > p->low;)
			p->high = (uint16_t)(p->sizes[i] - 1);
		p->state = PMTU_SEARCH;
		next_sizes(p, now_us);
		*ret_changed = pmtu_inner_mtu(p) != old;
		if (p->state == PMTU_DONE)
			*ret_wake_us = UINT64_MAX;
	}
}

bool pmtu_answered(struct pmtu *p, uint32_t id, uint64_t now_us)
{
	uint16_t old = pmtu_inner_mtu(p), size;

	/* an answer to an earlier probe of the same round counts as well */
	if ((p->state != PMTU_CONFIRM && p->state != PMTU_SEARCH) || id - p->first_id >= p->n_sent)
		return false;
	size = p->sent[id - p->first_id];
	if (size > p->low)
		p->low = size;
	if (p->state == PMTU_CONFIRM)
		p->state = PMTU_DONE;
	else if (p->low >= p->sizes[p->n - 1])
		next_sizes(p, now_us);
	return pmtu_inner_mtu(p) != old;
}

uint16_t pmtu_inner_mtu(const struct pmtu *p)
{
	uint16_t path = p->state == PMTU_SEARCH || (p->state == PMTU_DONE && p->low < p->high) ? p->low : 0;

	if (!path)
		return 0;
	return path < PMTU_BASE + PMTU_TUNNEL ? PMTU_BASE : (uint16_t)(path - PMTU_TUNNEL);
}
