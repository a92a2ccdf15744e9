/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ping.c - round trip and path MTU of the channel to an anchor
 *
 * The daemon sends a Heartbeat with a PROBE option, padded to a packet of the size asked for, and tells of the answer
 * by an event. What is lost is known here, by the time that has passed. */
#include "ping.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SIZE_MIN    1280 /* every IPv6 path carries this */
#define SIZE_MAX_   1500
#define TRIES	    2 /* of one size, before it is taken not to pass */
#define INTERVAL_MS 200
#define WAIT_MS	    1000 /* for an answer, while the round trip is unknown */
#define CONNECT_MS  3000 /* for a handshake */
#define WAIT_MIN_MS 200

struct ping {
	const struct ctl *ctl;
	struct ctl_events events;
	const char *anchor;
	char name[128], address[64], *reterr;
	unsigned sent, received;
	double min_ms, max_ms, sum_ms;
};

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1000000;
}

/* Wait for the answer with this id, or until the time is over. Its time in ms; -1 = none. */
static double wait_pong(struct ping *p, json_int_t id, double wait_ms)
{
	double end = now_ms() + wait_ms, left;

	while ((left = end - now_ms()) > 0) {
		json_t *event = ctl_events_next(&p->events, (int)left + 1);
		const json_t *data = json_object_get(event, "data");
		const char *what = json_string_value(json_object_get(event, "event"));
		double ms = what && !strcmp(what, "pong") && json_integer_value(json_object_get(data, "id")) == id
			? json_number_value(json_object_get(data, "ms"))
			: -1;

		json_decref(event);
		if (ms >= 0 || !event)
			return ms;
	}
	return -1;
}

/* One packet of this size there and back. Its time in ms; -1 = lost, -2 = could not be sent, with why in reterr. */
static double ask(struct ping *p, int size, double wait_ms)
{
	double begun = now_ms();

	for (;;) {
		int status, pid;
		json_t *r = ctl_try(p->ctl, "Ping", json_pack("{s:s, s:i}", "anchor", p->anchor, "size", size), &status,
			p->reterr, &pid);
		json_int_t id = json_integer_value(json_object_get(r, "id"));

		if (!r)
			return -2;
		(void)snprintf(p->name, sizeof(p->name), "%s", json_string_value(json_object_get(r, "anchor")));
		(void)snprintf(p->address, sizeof(p->address), "%s", json_string_value(json_object_get(r, "address")));
		json_decref(r);
		if (id)
			return wait_pong(p, id, wait_ms);
		if (now_ms() - begun > CONNECT_MS) /* the handshake gets no answer: nor would we */
			return -1;
		(void)wait_pong(p, 0, INTERVAL_MS / 2);
	}
}

static void wait_ms(struct ping *p, double ms)
{
	if (ms > 0)
		(void)wait_pong(p, 0, ms);
}

/* Between what passes and what does not, to the byte. */
static int search_mtu(struct ping *p)
{
	double wait = 3 * p->max_ms > WAIT_MIN_MS ? 3 * p->max_ms : WAIT_MIN_MS;
	int low = SIZE_MIN, high = SIZE_MAX_, size = high;

	while (low < high) {
		bool passes = false;

		for (int i = 0; i < TRIES && !passes; i++)
			passes = ask(p, size, wait) >= 0;
		if (passes)
			low = size;
		else
			high = size - 1;
		size = low + (high - low + 1) / 2;
	}
	return low;
}

json_t *ping_anchor(const struct ctl *ctl, const char *anchor, unsigned count, bool shown, char *reterr)
{
	struct ping p = {.ctl = ctl, .anchor = anchor, .reterr = reterr};
	json_t *mtu = NULL;
	int r = ctl_events_open(ctl, &p.events);

	if (r < 0) {
		(void)snprintf(reterr, CTL_ERR, "%s: %s", ctl->socket, strerror(-r));
		return NULL;
	}
	json_decref(ctl_events_next(&p.events, -1)); /* ready: no answer is missed from now on */
	while (p.sent < count) {
		double ms = ask(&p, SIZE_MIN, p.received ? 10 * p.max_ms + WAIT_MS : WAIT_MS);

		if (ms == -2)
			break;
		p.sent++;
		if (ms >= 0) {
			p.min_ms = p.received == 0 || ms < p.min_ms ? ms : p.min_ms;
			p.max_ms = ms > p.max_ms ? ms : p.max_ms;
			p.sum_ms += ms;
			p.received++;
		}
		if (shown && ms >= 0)
			(void)printf("%d bytes from %s (%s): sequence %u, %.2f ms\n", SIZE_MIN, p.name, p.address,
				p.sent, ms);
		else if (shown)
			(void)printf("no answer from %s (%s): sequence %u\n", p.name, p.address, p.sent);
		(void)fflush(stdout);
		if (p.sent < count)
			wait_ms(&p, INTERVAL_MS);
	}
	if (p.received)
		mtu = json_integer(search_mtu(&p));
	ctl_events_close(&p.events);
	if (!p.sent)
		return NULL;
	return json_pack("{s:s, s:s, s:i, s:i, s:o, s:o, s:o, s:o}", "anchor", p.name, "address", p.address, "sent",
		(int)p.sent, "received", (int)p.received, "min_ms", p.received ? json_real(p.min_ms) : json_null(),
		"avg_ms", p.received ? json_real(p.sum_ms / p.received) : json_null(), "max_ms",
		p.received ? json_real(p.max_ms) : json_null(), "path_mtu", mtu ? mtu : json_null());
}

int ping_command(const struct ctl *ctl, const char *anchor, unsigned count)
{
	char err[CTL_ERR] = "";
	json_t *r = ping_anchor(ctl, anchor, count, !ctl->json, err);
	int sent = (int)json_integer_value(json_object_get(r, "sent")),
	    received = (int)json_integer_value(json_object_get(r, "received"));
	int mtu = (int)json_integer_value(json_object_get(r, "path_mtu"));

	if (!r) {
		(void)fprintf(stderr, "%s: %s\n", ctl->program, err);
		return CTL_FAILED;
	}
	if (ctl->json) {
		ctl_print_json(r);
		return received ? CTL_OK : CTL_FAILED;
	}
	(void)printf("\n%s: %d sent, %d received, %d %% lost\n", json_string_value(json_object_get(r, "anchor")), sent,
		received, (sent - received) * 100 / sent);
	if (received) {
		(void)printf("round trip %.2f ms least, %.2f ms on average, %.2f ms most\n",
			json_real_value(json_object_get(r, "min_ms")), json_real_value(json_object_get(r, "avg_ms")),
			json_real_value(json_object_get(r, "max_ms")));
		(void)printf("path MTU %d bytes: packets of up to %d bytes fit in the tunnel whole\n", mtu, mtu - 40);
	}
	json_decref(r);
	return received ? CTL_OK : CTL_FAILED;
}
