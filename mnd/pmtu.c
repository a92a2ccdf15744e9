/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pmtu.c - path MTU search of one tunnel
 *
 * Packet-too-big messages do the work where they get through. Where they do not, full-size packets vanish and TCP hangs.
 * So after each move one probe of the full size goes to the anchor and comes back as large. If it is lost three times the
 * path is taken to be a black hole: the tunnel drops to what must pass at once, so that TCP goes on, and then searches upwards. */
#include "pmtu.h"

#include <string.h>

#define PROBES      3u /* RFC 8899 MAX_PROBES, before anything is changed */
#define PROBES_LESS 2u /* while searching: a wrong "no" costs only some bytes a packet */
#define GRANULARITY 8
#define WAIT_MIN_US 200000u
#define WAIT_MAX_US 2000000u

void pmtu_start(struct pmtu *p, uint16_t mtu, uint32_t rtt_us, uint64_t now_us)
{
	uint32_t id = p->id;

	memset(p, 0, sizeof(*p));
	p->id = id;
	if (mtu <= PMTU_BASE)
		return;
	p->state = PMTU_CONFIRM;
	p->low = PMTU_BASE;
	p->high = p->size = mtu;
	p->next_us = now_us;
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

/* The next size between low and high, or the end of the search. */
static void next_size(struct pmtu *p, uint64_t now_us)
{
	p->lost = 0;
	if (p->high - p->low < GRANULARITY) {
		p->state = PMTU_DONE;
		return;
	}
	p->size = (uint16_t)(p->low + (p->high - p->low + 1) / 2);
	p->next_us = now_us;
}

bool pmtu_step(struct pmtu *p, uint64_t now_us, uint64_t *ret_wake_us, bool *ret_changed)
{
	uint16_t old = pmtu_inner_mtu(p);

	*ret_wake_us = UINT64_MAX;
	*ret_changed = false;
	if (p->state != PMTU_CONFIRM && p->state != PMTU_SEARCH)
		return false;
	if (now_us < p->next_us) {
		*ret_wake_us = p->next_us;
		return false;
	}
	if (p->lost == (p->state == PMTU_CONFIRM ? PROBES : PROBES_LESS)) {
		p->high = (uint16_t)(p->size - 1);
		p->state = PMTU_SEARCH;
		next_size(p, now_us);
		*ret_changed = pmtu_inner_mtu(p) != old;
		if (p->state == PMTU_DONE)
			return false;
	}
	p->lost++; /* until it is answered */
	p->id++;
	p->sent_us = now_us;
	p->next_us = now_us + p->wait_us;
	*ret_wake_us = p->next_us;
	return true;
}

bool pmtu_answered(struct pmtu *p, uint32_t id, uint64_t now_us)
{
	uint16_t old = pmtu_inner_mtu(p);

	/* an answer to an earlier probe of the same size counts as well */
	if ((p->state != PMTU_CONFIRM && p->state != PMTU_SEARCH) || p->id - id >= p->lost)
		return false;
	p->low = p->size;
	if (p->state == PMTU_CONFIRM)
		p->state = PMTU_DONE;
	else
		next_size(p, now_us);
	return pmtu_inner_mtu(p) != old;
}

uint16_t pmtu_inner_mtu(const struct pmtu *p)
{
	uint16_t path = p->state == PMTU_SEARCH || (p->state == PMTU_DONE && p->low < p->high) ? p->low : 0;

	if (!path)
		return 0;
	return path < PMTU_BASE + PMTU_TUNNEL ? PMTU_BASE : (uint16_t)(path - PMTU_TUNNEL);
}
