/* SPDX-License-Identifier: GPL-2.0-or-later */
/* peers.c - other AMAs: those that pass updates on to us, and what of theirs is not believed
 *
 * Those that we pass updates on to are serving.c's; one AMA is often both. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "anchor.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct relay *find_relay(struct amad *a, const uint8_t key[32])
{
	for (unsigned i = 0; i < a->n_relays; i++)
		if (!memcmp(a->relay[i].key, key, sizeof(a->relay[i].key)))
			return &a->relay[i];
	return NULL;
}

/* The AMA behind an index, to be sent to now; NULL = none. As its peer may be an anchor, too, whose address a node
 * named, where its answers go is said each time. */
struct channel_peer *peers_relay(struct amad *a, uint16_t relay)
{
	struct channel_peer *peer = relay ? channel_find_peer(a->channel, a->relay[relay - 1].key) : NULL;

	if (peer)
		channel_peer_set_endpoint(peer, &a->relay[relay - 1].ep);
	return peer;
}

/* A heartbeat (RFC 5847), for the round trip; not again while one is on its way, or has just come back. */
void peers_ping(struct amad *a, struct relay *r)
{
	struct mh_heartbeat hb = {.sequence = randombytes_random()};
	uint64_t now_us = loop_now_us(a->loop);
	uint8_t buf[32];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_heartbeat(&w, &hb);
	struct channel_peer *peer;

	if (r->pinged_us && now_us - r->pinged_us < PING_US)
		return;
	peer = peers_relay(a, (uint16_t)(r - a->relay + 1));
	mh_end(&m);
	if (!peer || !wcur_ok(&w) || channel_send(a->channel, peer, buf, wcur_len(&w)) < 0)
		return;
	r->ping = hb.sequence;
	r->pinged_us = now_us;
	r->waits = true;
}

void peers_ponged(struct amad *a, const struct channel_peer *peer, uint32_t sequence)
{
	struct relay *r = find_relay(a, channel_peer_key(peer));

	if (!r || !r->waits || r->ping != sequence)
		return;
	r->waits = false;
	r->rtt_us = loop_now_us(a->loop) - r->pinged_us;
}

uint16_t peers_relay_index(struct amad *a, const struct channel_peer *peer, const struct channel_endpoint *ep)
{
	struct relay *r = find_relay(a, channel_peer_key(peer));

	if (!r) {
		if (a->n_relays == RELAYS) {
			a->count_relays_full++;
			peers_doubt(a, peer, NULL, "no room for more AMAs that pass updates on");
			return 0;
		}
		r = &a->relay[a->n_relays++];
		memcpy(r->key, channel_peer_key(peer), sizeof(r->key));
		r->ep = *ep;
		peers_ping(a, r);
	}
	r->ep = *ep;
	return (uint16_t)(r - a->relay + 1);
}

void peers_answer(struct amad *a, uint16_t relay, uint16_t sequence, uint8_t status, uint32_t lifetime_s,
	const struct prefix6 *prefix)
{
	struct relay *r = relay ? &a->relay[relay - 1] : NULL;

	if (r && status < 128) {
		r->accepted++;
	} else if (r) {
		r->refused++;
		(void)snprintf(r->last_error, sizeof(r->last_error), "refused %s: %u (%s)", prefix6_text(prefix),
			status, mh_status_name(status));
	}
	updates_send_pba(a, peers_relay(a, relay), sequence, status, lifetime_s, prefix);
}

/* What another AMA said changes nothing; that it was so is counted where it was found. */
void peers_doubt(void *ctx, const struct channel_peer *peer, const struct prefix6 *prefix, const char *why)
{
	struct amad *a = ctx;
	struct relay *r = find_relay(a, channel_peer_key(peer));
	unsigned left_out;

	if (r)
		(void)snprintf(r->last_error, sizeof(r->last_error), "%s%s%s", prefix ? prefix6_text(prefix) : "",
			prefix ? ": " : "", why);
	if (log_bucket_take(&a->doubt_bucket, loop_now_us(a->loop), 20, 10 * SEC, &left_out))
		log_warning("trust", "not believed: AMA %s%s%s: %s%s", channel_peer_name(peer), prefix ? " about " : "",
			prefix ? prefix6_text(prefix) : "", why, left_out ? "; more were left out" : "");
}

/* --- for people ------------------------------------------------------------------------------------------------ */

struct list {
	struct amad *a;
	json_t *rows;
	bool shown[RELAYS];
};

static void add_relay(struct amad *a, json_t *row, struct relay *r)
{
	(void)json_object_set_new(row, "received", json_integer((json_int_t)r->received));
	(void)json_object_set_new(row, "received_accepted", json_integer((json_int_t)r->accepted));
	(void)json_object_set_new(row, "received_refused", json_integer((json_int_t)r->refused));
	if (r->rtt_us)
		(void)json_object_set_new(row, "rtt_ms", json_real((double)r->rtt_us / 1000));
	if (r->last_error[0] && json_is_null(json_object_get(row, "last_error")))
		(void)json_object_set_new(row, "last_error", json_string(r->last_error));
	if (r->waits && loop_now_us(a->loop) - r->pinged_us > SILENT_US)
		(void)json_object_set_new(row, "state", json_string("silent"));
	peers_ping(a, r);
}

static json_t *row_of(const struct amad *a, const struct in6_addr *address, const char *name, const char *domain,
	const struct channel_peer *peer)
{
	struct channel_peer_info info = {0};
	uint64_t now_us = loop_now_us(a->loop);

	if (peer)
		channel_peer_info(peer, &info);
	return json_pack("{s:s, s:s?, s:s?, s:s, s:n, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:n}", "address",
		in6_text(address), "name", name, "domain", domain, "state",
		!name		   ? "unknown"
		: info.has_session ? "connected"
				   : "known",
		"rtt_ms", "heard_s", info.heard_us ? json_real((double)(now_us - info.heard_us) / SEC) : json_null(),
		"sent", 0, "accepted", 0, "refused", 0, "received", 0, "received_accepted", 0, "received_refused", 0,
		"rx_bytes", (json_int_t)info.rx_bytes, "tx_bytes", (json_int_t)info.tx_bytes, "last_error");
}

static void serving_row(void *ctx, const struct serving_peer *p)
{
	struct list *l = ctx;
	json_t *row = row_of(l->a, &p->address, p->name, p->domain, p->peer);
	struct relay *r = p->peer ? find_relay(l->a, channel_peer_key(p->peer)) : NULL;

	(void)json_object_set_new(row, "sent", json_integer((json_int_t)p->sent));
	(void)json_object_set_new(row, "accepted", json_integer((json_int_t)p->accepted));
	(void)json_object_set_new(row, "refused", json_integer((json_int_t)p->refused));
	if (p->rtt_us)
		(void)json_object_set_new(row, "rtt_ms", json_real((double)p->rtt_us / 1000));
	if (p->last_error)
		(void)json_object_set_new(row, "last_error", json_string(p->last_error));
	if (r) {
		l->shown[r - l->a->relay] = true;
		add_relay(l->a, row, r);
	}
	(void)json_array_append_new(l->rows, row);
}

json_t *peers_json(struct amad *a)
{
	struct list l = {.a = a, .rows = json_array()};

	serving_each_peer(a->serving, serving_row, &l);
	for (unsigned i = 0; i < a->n_relays; i++) {
		struct relay *r = &a->relay[i];
		struct channel_peer *peer = channel_find_peer(a->channel, r->key);
		json_t *row;

		if (l.shown[i] || !peer)
			continue;
		row = row_of(
			a, &r->ep.remote, channel_peer_name(peer), channel_peer_domain(a->channel, peer)->name, peer);
		add_relay(a, row, r);
		(void)json_array_append_new(l.rows, row);
	}
	return l.rows;
}
