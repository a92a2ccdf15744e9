/* SPDX-License-Identifier: GPL-2.0-or-later */
/* metrics.c - what a daemon counts, and the endpoint that Prometheus scrapes
 *
 * The endpoint is the least that works: a request is read up to its empty line, everything in it but the first line is
 * ignored, one answer is made and the connection ends. A client costs at most its 4 KiB and one answer, for 5 s;
 * whoever comes when 8 are there is turned away. It is for loopback and Unix sockets only: what should be seen from
 * elsewhere goes through a server that knows who asks. */
#include "metrics.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "control.h"

#define CLIENTS	      8
#define REQUEST_BYTES 4096
#define TIMEOUT_US    5000000

/* --- writing --------------------------------------------------------------------------------------------------- */

struct metrics {
	json_t *json; /* or text */
	char *text;
	size_t len, size;
	const struct metric *last;
	bool failed;
};

static const struct {
	uint64_t us;
	const char *text;
} bounds[METRIC_BUCKETS] = {{5000, "0.005"}, {10000, "0.01"}, {25000, "0.025"}, {50000, "0.05"}, {100000, "0.1"},
	{250000, "0.25"}, {500000, "0.5"}, {1000000, "1"}, {2500000, "2.5"}, {5000000, "5"}, {10000000, "10"}};

void histogram_add(struct histogram *h, uint64_t us)
{
	unsigned i = 0;

	while (i < METRIC_BUCKETS && us > bounds[i].us)
		i++;
	h->bucket[i]++;
	h->sum_us += us;
}

static void write_text(struct metrics *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_text(struct metrics *w, const char *format, ...)
{
	va_list ap;
	int n;

	for (;;) {
		size_t size = w->size ? 2 * w->size : 8192;
		char *more;

		if (w->failed)
			return;
		va_start(ap, format);
		n = vsnprintf(w->text ? w->text + w->len : NULL, w->size - w->len, format, ap);
		va_end(ap);
		if (n >= 0 && w->len + (size_t)n < w->size) {
			w->len += (size_t)n;
			return;
		}
		more = n < 0 || size > METRICS_BYTES ? NULL : realloc(w->text, size);
		if (!more) {
			w->failed = true;
			return;
		}
		w->text = more;
		w->size = size;
	}
}

/* The head of a family, once. Its samples stand together: the format asks for that. */
static void begin_family(struct metrics *w, const struct metric *m)
{
	static const char *const types[] = {
		[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

	if (w->last == m)
		return;
	w->last = m;
	write_text(w, "# HELP %s %s.\n# TYPE %s %s\n", m->name, m->help, m->name, types[m->type]);
}

static void put(struct metrics *w, const struct metric *m, const char *value, const char *number)
{
	assert((m->label != NULL) == (value != NULL));
	begin_family(w, m);
	if (!value) {
		write_text(w, "%s %s\n", m->name, number);
		return;
	}
	write_text(w, "%s{%s=\"", m->name, m->label);
	for (const char *c = value; *c; c++)
		write_text(w, *c == '\n' ? "\\n" : *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
	write_text(w, "\"} %s\n", number);
}

static void put_json(struct metrics *w, const struct metric *m, const char *value, json_t *number)
{
	char key[128];

	(void)snprintf(key, sizeof(key), "%s%s", m->key ? m->key : "", value ? value : "");
	if (!m->key)
		json_decref(number);
	else if (json_object_set_new(w->json, key, number) < 0)
		w->failed = true;
}

void metrics_put(struct metrics *w, const struct metric *m, const char *value, uint64_t n)
{
	char number[32];

	if (w->json) {
		put_json(w, m, value, json_integer((json_int_t)n));
		return;
	}
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
	put(w, m, value, number);
}

void metrics_put_real(struct metrics *w, const struct metric *m, const char *value, double n)
{
	char number[32];

	if (w->json) {
		put_json(w, m, value, json_real(n));
		return;
	}
	(void)snprintf(number, sizeof(number), "%.6f", n);
	put(w, m, value, number);
}

void metrics_put_histogram(struct metrics *w, const struct metric *m, const struct histogram *h)
{
	unsigned long long n = 0;

	if (w->json)
		return;
	begin_family(w, m);
	for (unsigned i = 0; i <= METRIC_BUCKETS; i++) {
		n += h->bucket[i];
		write_text(w, "%s_bucket{le=\"%s\"} %llu\n", m->name, i < METRIC_BUCKETS ? bounds[i].text : "+Inf", n);
	}
	write_text(w, "%s_sum %.6f\n%s_count %llu\n", m->name, (double)h->sum_us / 1e6, m->name, n);
}

json_t *metrics_json(metrics_collect_cb *collect, void *ctx)
{
	struct metrics w = {.json = json_object()};

	if (w.json)
		collect(ctx, &w);
	if (w.failed) {
		json_decref(w.json);
		return NULL;
	}
	return w.json;
}

char *metrics_text(metrics_collect_cb *collect, void *ctx, size_t *ret_len)
{
	struct metrics w = {0};

	collect(ctx, &w);
	if (w.failed) {
		free(w.text);
		return NULL;
	}
	*ret_len = w.len;
	return w.text;
}

/* --- requests -------------------------------------------------------------------------------------------------- */

/* Where the head ends: behind its first empty line; 0 = not yet. */
static size_t head_end(const char *bytes, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++) {
		if (bytes[i] != '\n')
			continue;
		if (bytes[i + 1] == '\n')
			return i + 2;
		if (i + 2 < len && bytes[i + 1] == '\r' && bytes[i + 2] == '\n')
			return i + 3;
	}
	return 0;
}

unsigned metrics_request(const char *bytes, size_t len)
{
	size_t head = head_end(bytes, len < REQUEST_BYTES ? len : REQUEST_BYTES);
	char line[REQUEST_BYTES + 1], *path, *version;
	size_t n = 0;

	if (!head)
		return len >= REQUEST_BYTES ? 431 : 0;
	while (bytes[n] != '\n') {
		/* a carriage return only at the end; nothing else that is not printed */
		if ((bytes[n] < ' ' || bytes[n] > '~') && !(bytes[n] == '\r' && bytes[n + 1] == '\n'))
			return 400;
		line[n] = bytes[n];
		n++;
	}
	if (n > 0 && line[n - 1] == '\r')
		n--;
	line[n] = '\0';
	path = strchr(line, ' ');
	version = path ? strchr(path + 1, ' ') : NULL;
	if (!version || path == line || version == path + 1)
		return 400;
	*path++ = *version++ = '\0';
	if (strcmp(version, "HTTP/1.0") != 0 && strcmp(version, "HTTP/1.1") != 0)
		return 400;
	if (strcmp(line, "GET") != 0)
		return 405;
	return strcmp(path, "/metrics") == 0 ? 200 : 404;
}

static const char *reason(unsigned status)
{
	return status == 200	? "OK"
		: status == 400 ? "Bad Request"
		: status == 404 ? "Not Found"
		: status == 405 ? "Method Not Allowed"
		: status == 431 ? "Request Header Fields Too Large"
				: "Internal Server Error";
}

/* --- clients --------------------------------------------------------------------------------------------------- */

struct client {
	struct client *prev, *next;
	struct metrics_server *server;
	struct loop_io io;
	struct loop_timer timer;
	int fd;
	size_t in_len, out_len, out_at;
	char in[REQUEST_BYTES];
	char *out; /* set when answered */
	char head[192];
	size_t head_len, head_at;
};

struct metrics_server {
	struct loop *loop;
	metrics_collect_cb *collect;
	void *ctx;
	int fd;
	char path[108]; /* "" for a port */
	struct loop_io io;
	struct client *clients;
	unsigned n_clients;
};

static void client_free(struct client *k)
{
	loop_io_stop(&k->io);
	loop_timer_stop(&k->timer);
	(void)close(k->fd);
	DL_DELETE(k->server->clients, k);
	k->server->n_clients--;
	free(k->out);
	free(k);
}

static void client_timeout(void *ctx)
{
	client_free(ctx);
}

static void answer(struct client *k, unsigned status)
{
	const struct metrics_server *s = k->server;

	if (status == 200) {
		k->out = metrics_text(s->collect, s->ctx, &k->out_len);
		if (!k->out)
			status = 500;
	}
	if (!k->out) {
		k->out = strdup(status == 404 ? "it is /metrics\n" : "\n");
		k->out_len = k->out ? strlen(k->out) : 0;
	}
	k->head_len = (size_t)snprintf(k->head, sizeof(k->head),
		"HTTP/1.0 %u %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: %zu\r\n%sConnection: close\r\n\r\n",
		status, reason(status), k->out_len, status == 405 ? "Allow: GET\r\n" : "");
}

/* One piece of the answer; true when it has left. */
static bool send_part(struct client *k, const char *bytes, size_t len, size_t *at, bool *ret_gone)
{
	while (*at < len) {
		ssize_t n = send(k->fd, bytes + *at, len - *at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			*ret_gone = errno != EAGAIN && errno != EINTR;
			return false;
		}
		*at += (size_t)n;
	}
	return true;
}

static void client_io(void *ctx)
{
	struct client *k = ctx;
	char ignored[1024];
	bool gone = false;
	unsigned status;
	ssize_t n;

	if (!k->head_len) {
		n = recv(k->fd, k->in + k->in_len, sizeof(k->in) - k->in_len, MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			client_free(k);
			return;
		}
		k->in_len += n > 0 ? (size_t)n : 0;
		status = metrics_request(k->in, k->in_len);
		if (!status)
			return;
		answer(k, status);
	} else {
		/* what it says now is not heard; but while it is unread, closing would take the answer back (RST) */
		n = recv(k->fd, ignored, sizeof(ignored), MSG_DONTWAIT);
		gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	}
	if (!gone && send_part(k, k->head, k->head_len, &k->head_at, &gone) &&
		send_part(k, k->out, k->out_len, &k->out_at, &gone)) {
		(void)shutdown(k->fd, SHUT_WR); /* it closes, or the timer does */
		loop_io_want(&k->io, true, false);
	} else if (!gone) {
		loop_io_want(&k->io, true, true);
	}
	if (gone)
		client_free(k);
}

static void accept_client(void *ctx)
{
	struct metrics_server *s = ctx;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *k;

	if (fd < 0)
		return;
	k = s->n_clients < CLIENTS ? calloc(1, sizeof(*k)) : NULL;
	if (!k) {
		(void)close(fd);
		return;
	}
	k->server = s;
	k->fd = fd;
	DL_APPEND(s->clients, k);
	s->n_clients++;
	loop_timer_init(&k->timer, s->loop, client_timeout, k, "metrics client");
	loop_timer_at(&k->timer, loop_now_us(s->loop) + TIMEOUT_US);
	loop_io_start(&k->io, s->loop, fd, client_io, k, "metrics client");
}

/* --- life ------------------------------------------------------------------------------------------------------ */

bool metrics_address(const char *text, union metrics_address *ret)
{
	static const char loopback[] = "[::1]:";
	unsigned long port;
	char *end;

	memset(ret, 0, sizeof(*ret));
	if (text[0] == '/') {
		ret->un.sun_family = AF_UNIX;
		return (size_t)snprintf(ret->un.sun_path, sizeof(ret->un.sun_path), "%s", text) <
			sizeof(ret->un.sun_path);
	}
	if (strncmp(text, loopback, sizeof(loopback) - 1) != 0)
		return false;
	text += sizeof(loopback) - 1;
	port = strtoul(text, &end, 10);
	if (*text < '1' || *text > '9' || *end || port > 65535)
		return false;
	ret->in6 = (struct sockaddr_in6){
		.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = in6addr_loopback};
	return true;
}

static int listen_port(const union metrics_address *address, int *ret_fd)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, r;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &address->any, sizeof(address->in6)) < 0 || listen(fd, CLIENTS) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int metrics_server_new(struct loop *loop, const char *address, const char *product, metrics_collect_cb *collect,
	void *ctx, struct metrics_server **ret, char *reterr)
{
	struct metrics_server *s = calloc(1, sizeof(*s));
	union metrics_address at;
	int r;

	if (!s)
		return -ENOMEM;
	s->loop = loop;
	s->collect = collect;
	s->ctx = ctx;
	if (!metrics_address(address, &at)) {
		(void)snprintf(reterr, METRICS_ERR, "metrics = %.100s: neither a path nor [::1]:PORT", address);
		free(s);
		return -EINVAL;
	}
	if (at.any.sa_family == AF_UNIX) {
		r = control_listen(at.un.sun_path, product, &s->fd, reterr);
	} else {
		r = listen_port(&at, &s->fd);
		if (r < 0)
			(void)snprintf(
				reterr, METRICS_ERR, "cannot listen at %.100s for metrics: %s", address, strerror(-r));
	}
	if (r < 0) {
		free(s);
		return r;
	}
	if (at.any.sa_family == AF_UNIX)
		(void)snprintf(s->path, sizeof(s->path), "%s", at.un.sun_path);
	loop_io_start(&s->io, loop, s->fd, accept_client, s, "metrics");
	*ret = s;
	return 0;
}

void metrics_server_free(struct metrics_server *s)
{
	struct client *k, *tmp;

	if (!s)
		return;
	DL_FOREACH_SAFE(s->clients, k, tmp) {
		client_free(k);
	}
	loop_io_stop(&s->io);
	(void)close(s->fd);
	if (s->path[0])
		(void)unlink(s->path);
	free(s);
}
