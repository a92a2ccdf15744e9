/* SPDX-License-Identifier: GPL-2.0-or-later */
/* transport.h - the UDP socket of the secure channel: datagrams in batches, source address and interface for each */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "loop.h"

struct transport;

#define TRANSPORT_ERR 256

/* One datagram has come; buf is the transport's. */
typedef void transport_recv_cb(void *ctx, const struct channel_rx *rx, const uint8_t *buf, size_t len);

struct transport_counters {
	uint64_t rx, tx;
	uint64_t tx_full;	 /* dropped: more than a turn's queue takes, or the socket was full */
	uint64_t tx_unreachable; /* the kernel had no route or no such source address */
	uint64_t tx_failed;
};

/* Open UDP port on all addresses and call recv for what comes. Returns 0, or -errno with a sentence in reterr. */
int transport_new(
	struct loop *loop, uint16_t port, transport_recv_cb *recv, void *ctx, struct transport **ret, char *reterr);
void transport_free(struct transport *t);

/* Queue one datagram (copied); flags as in channel_ops.send. It leaves at transport_flush, or at once when the queue is
 * full. */
void transport_send(
	struct transport *t, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned flags);
void transport_flush(struct transport *t);

const struct transport_counters *transport_counters(const struct transport *t);
