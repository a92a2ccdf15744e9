/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics.h - what a daemon counts: written once, as JSON for its status and as Prometheus's text for whoever scrapes
 * it
 *
 * A daemon has one function that tells all its values to a writer. metrics_json gives what has a key as an object, the
 * server gives everything (GET /metrics, HTTP/1.0, text format 0.0.4) on a Unix socket or a port of ::1. Values name no
 * node, address or key. */
#pragma once

#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "loop.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* A family: one row of a table. */
struct metric {
	const char *name; /* with its unit: dmm_udp_datagrams_received_total */
	enum metric_type type;
	const char *label; /* name of its only label, NULL = none */
	const char *key;   /* its name in the status's counters, followed by the label's value; NULL = not there */
	const char *help;  /* a sentence without its full stop */
};

/* Durations by size; the bounds are those of metrics.c, 5 ms to 10 s. */
#define METRIC_BUCKETS 11
struct histogram {
	uint64_t bucket[METRIC_BUCKETS + 1]; /* the last: longer than all bounds; not cumulative */
	uint64_t sum_us;
};
void histogram_add(struct histogram *h, uint64_t us);

struct metrics; /* a writer: lives for one reading */

/* All values of a family one after another. value: of its label, NULL without. */
void metrics_put(struct metrics *w, const struct metric *m, const char *value, uint64_t n);
void metrics_put_real(struct metrics *w, const struct metric *m, const char *value, double n);
void metrics_put_histogram(struct metrics *w, const struct metric *m, const struct histogram *h);

/* Tells all values. */
typedef void metrics_collect_cb(void *ctx, struct metrics *w);

/* A new reference: what has a key. NULL = no memory. */
json_t *metrics_json(metrics_collect_cb *collect, void *ctx);
/* Everything as text; to be freed. NULL = no memory, or more than METRICS_BYTES. */
#define METRICS_BYTES (256u << 10)
char *metrics_text(metrics_collect_cb *collect, void *ctx, size_t *ret_len);

union metrics_address {
	struct sockaddr any;
	struct sockaddr_un un;
	struct sockaddr_in6 in6;
};
/* "/run/dmm/mnd.metrics" or "[::1]:9872". False if it is neither. */
bool metrics_address(const char *text, union metrics_address *ret);

struct metrics_server;
#define METRICS_ERR 256
/* Serve on that address: 8 clients at once, 5 s and 4 KiB a request, one request a connection. Returns 0, or -errno
 * with a sentence in reterr. product: for the sentence when another one is there. */
int metrics_server_new(struct loop *loop, const char *address, const char *product, metrics_collect_cb *collect,
	void *ctx, struct metrics_server **ret, char *reterr);
void metrics_server_free(struct metrics_server *s);

/* What to answer to these bytes (pure): 0 = the request is not complete, else an HTTP status: 200 for GET /metrics. */
unsigned metrics_request(const char *bytes, size_t len);
