/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_metrics.c - what is counted as text and as JSON; the endpoint, and clients that behave badly */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "metrics.c" /* for its limits */

static const struct metric one = {"test_things_total", METRIC_COUNTER, NULL, "things", "Things"};
static const struct metric kinds = {"test_kinds", METRIC_GAUGE, "kind", "kind-", "Kinds"};
static const struct metric hidden = {"test_hidden_bytes", METRIC_GAUGE, NULL, NULL, "Not in the status"};
static const struct metric span = {"test_span_seconds", METRIC_HISTOGRAM, NULL, NULL, "Times"};
static struct histogram times;
static size_t many; /* samples more */

static void collect(void *ctx, struct metrics *w)
{
	char value[32];

	(void)ctx;
	metrics_put(w, &one, NULL, UINT64_C(9007199254740993)); /* more than a double holds */
	metrics_put(w, &kinds, "a", 1);
	metrics_put_real(w, &kinds, "b\"\\\nc", 2.5);
	for (size_t i = 0; i < many; i++) {
		(void)snprintf(value, sizeof(value), "%zu", i);
		metrics_put(w, &kinds, value, i);
	}
	metrics_put(w, &hidden, NULL, 7);
	metrics_put_histogram(w, &span, &times);
}

static void text(void **state)
{
	static const char expected[] =
		"# HELP test_things_total Things.\n# TYPE test_things_total counter\ntest_things_total 9007199254740993\n"
		"# HELP test_kinds Kinds.\n# TYPE test_kinds gauge\ntest_kinds{kind=\"a\"} 1\n"
		"test_kinds{kind=\"b\\\"\\\\\\nc\"} 2.500000\n"
		"# HELP test_hidden_bytes Not in the status.\n# TYPE test_hidden_bytes gauge\ntest_hidden_bytes 7\n"
		"# HELP test_span_seconds Times.\n# TYPE test_span_seconds histogram\n"
		"test_span_seconds_bucket{le=\"0.005\"} 2\n"
		"test_span_seconds_bucket{le=\"0.01\"} 3\ntest_span_seconds_bucket{le=\"0.025\"} 3\n"
		"test_span_seconds_bucket{le=\"0.05\"} 3\ntest_span_seconds_bucket{le=\"0.1\"} 3\n"
		"test_span_seconds_bucket{le=\"0.25\"} 3\ntest_span_seconds_bucket{le=\"0.5\"} 3\n"
		"test_span_seconds_bucket{le=\"1\"} 3\ntest_span_seconds_bucket{le=\"2.5\"} 3\n"
		"test_span_seconds_bucket{le=\"5\"} 3\ntest_span_seconds_bucket{le=\"10\"} 4\n"
		"test_span_seconds_bucket{le=\"+Inf\"} 5\ntest_span_seconds_sum 30.010002\ntest_span_seconds_count 5\n";
	size_t len = 0;
	char *got;

	(void)state;
	memset(&times, 0, sizeof(times));
	histogram_add(&times, 1);
	histogram_add(&times, 5000); /* a bound belongs to its bucket */
	histogram_add(&times, 5001);
	histogram_add(&times, 10000000);
	histogram_add(&times, 20000000);
	got = metrics_text(collect, NULL, &len);
	assert_non_null(got);
	assert_string_equal(got, expected);
	assert_int_equal(len, strlen(expected));
	free(got);
}

static void json(void **state)
{
	json_t *j = metrics_json(collect, NULL);

	(void)state;
	assert_int_equal(json_object_size(j), 3);
	assert_int_equal(json_integer_value(json_object_get(j, "things")), INT64_C(9007199254740993));
	assert_int_equal(json_integer_value(json_object_get(j, "kind-a")), 1);
	assert_true(json_real_value(json_object_get(j, "kind-b\"\\\nc")) == 2.5);
	json_decref(j);
}

static void too_much_text(void **state)
{
	size_t len;

	(void)state;
	many = METRICS_BYTES / 10;
	assert_null(metrics_text(collect, NULL, &len));
	many = 0;
}

static unsigned ask(const char *request)
{
	size_t len = strlen(request);
	unsigned status = metrics_request(request, len);

	/* cut anywhere: either not yet complete, or already what it will be */
	for (size_t n = 0; n < len; n++) {
		char *cut = malloc(n ? n : 1); /* so that a sanitizer sees what is read behind it */
		unsigned early;

		memcpy(cut, request, n);
		early = metrics_request(cut, n);
		assert_true(early == 0 || early == status);
		free(cut);
	}
	return status;
}

static void requests(void **state)
{
	static const char zero[] = "GET /met\0rics HTTP/1.0\r\n\r\n";
	char longest[REQUEST_BYTES + 200];

	(void)state;
	assert_int_equal(ask("GET /metrics HTTP/1.0\r\n\r\n"), 200);
	assert_int_equal(
		ask("GET /metrics HTTP/1.1\r\nHost: [::1]:9872\r\nUser-Agent: Prometheus/2.42.0\r\nAccept: */*\r\n\r\n"),
		200);
	assert_int_equal(ask("GET /metrics HTTP/1.1\nHost: x\n\n"), 200);
	assert_int_equal(ask("GET /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"), 200);
	assert_int_equal(ask("GET / HTTP/1.1\r\n\r\n"), 404);
	assert_int_equal(ask("GET /metrics/ HTTP/1.1\r\n\r\n"), 404);
	assert_int_equal(ask("GET /../metrics HTTP/1.1\r\n\r\n"), 404);
	assert_int_equal(ask("GET http://x/metrics HTTP/1.1\r\n\r\n"), 404);
	assert_int_equal(ask("HEAD /metrics HTTP/1.1\r\n\r\n"), 405);
	assert_int_equal(ask("POST /metrics HTTP/1.1\r\n\r\n"), 405);
	assert_int_equal(ask("get /metrics HTTP/1.1\r\n\r\n"), 405);
	assert_int_equal(ask("GET /metrics\r\n\r\n"), 400); /* HTTP/0.9 */
	assert_int_equal(ask("GET /metrics HTTP/2.0\r\n\r\n"), 400);
	assert_int_equal(ask("GET /metrics  HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(ask("GET /metrics HTTP/1.1 x\r\n\r\n"), 400);
	assert_int_equal(ask(" /metrics HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(ask("GET  HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(ask("GET /metrics\r HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(ask("GET /m\xc3\xa4trics HTTP/1.1\r\n\r\n"), 400);
	assert_int_equal(ask("\r\n\r\n"), 400);
	assert_int_equal(ask("\n\n"), 400);
	assert_int_equal(metrics_request(zero, sizeof(zero) - 1), 400);
	assert_int_equal(ask("GET /metrics HTTP/1.1\r\nHost: x\r\n"), 0);
	/* a head may have REQUEST_BYTES, with its empty line */
	(void)snprintf(longest, sizeof(longest), "GET /metrics HTTP/1.1\r\nX: %*s\r\n\r\n", REQUEST_BYTES - 30, "x");
	assert_int_equal(strlen(longest), REQUEST_BYTES);
	assert_int_equal(ask(longest), 200);
	(void)snprintf(longest, sizeof(longest), "GET /metrics HTTP/1.1\r\nX: %*s\r\n\r\n", REQUEST_BYTES - 29, "x");
	assert_int_equal(ask(longest), 431);
	memset(longest, 'A', sizeof(longest));
	assert_int_equal(metrics_request(longest, REQUEST_BYTES - 1), 0);
	assert_int_equal(metrics_request(longest, REQUEST_BYTES), 431);
	assert_int_equal(metrics_request(longest, sizeof(longest)), 431);
}

static void addresses(void **state)
{
	static const char *const bad[] = {"", "[::1]:", "[::1]:0", "[::1]:65536", "[::1]:99999999999999999999",
		"[::1]:9872x", "[::1]: 9872", "[::1]:+1", "[::]:9872", "[2001:db8::1]:9872", "0.0.0.0:9872",
		"127.0.0.1:9872", "9872", "localhost:9872", "mnd.metrics"};
	union metrics_address at;
	char path[200];

	(void)state;
	assert_true(metrics_address("[::1]:9872", &at));
	assert_int_equal(at.in6.sin6_family, AF_INET6);
	assert_int_equal(ntohs(at.in6.sin6_port), 9872);
	assert_true(IN6_IS_ADDR_LOOPBACK(&at.in6.sin6_addr));
	assert_true(metrics_address("/run/dmm/mnd.metrics", &at));
	assert_string_equal(at.un.sun_path, "/run/dmm/mnd.metrics");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(metrics_address(bad[i], &at));
	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[sizeof(at.un.sun_path)] = '\0';
	assert_false(metrics_address(path, &at));
	path[sizeof(at.un.sun_path) - 1] = '\0';
	assert_true(metrics_address(path, &at));
}

/* --- the endpoint ---------------------------------------------------------------------------------------------- */

static char dir[64], path[96];
static struct loop *loop;
static struct metrics_server *server;

static int setup(void **state)
{
	char err[METRICS_ERR] = "";

	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_metrics.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	if (loop_new(&loop) < 0 || metrics_server_new(loop, path, "test", collect, NULL, &server, err) < 0) {
		print_error("%s\n", err);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	metrics_server_free(server);
	loop_free(loop);
	return rmdir(dir); /* the socket is taken away */
}

static int dial(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), small = 4096;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	loop_turn(loop);
	return fd;
}

/* What comes until the end, or until nothing does. */
static size_t hear(int fd, char *buf, size_t size, bool *ret_end)
{
	size_t len = 0;

	*ret_end = false;
	for (int i = 0; i < 1000 && !*ret_end; i++) {
		ssize_t n = recv(fd, buf + len, size - len - 1, MSG_DONTWAIT);

		if (n > 0)
			len += (size_t)n;
		*ret_end = n == 0;
		loop_turn(loop);
	}
	buf[len] = '\0';
	return len;
}

static char heard[METRICS_BYTES + 1024];

static void an_answer(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n";
	int fd = dial();
	bool end;
	size_t len, n;
	const char *body;
	char *expected;

	(void)state;
	for (size_t i = 0; i < sizeof(request) - 1; i++) { /* a byte at a time */
		assert_int_equal(send(fd, request + i, 1, 0), 1);
		loop_turn(loop);
	}
	len = hear(fd, heard, sizeof(heard), &end);
	assert_true(end);
	assert_memory_equal(heard, "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n", 70);
	body = strstr(heard, "\r\n\r\n") + 4;
	expected = metrics_text(collect, NULL, &n);
	assert_int_equal(heard + len - body, n);
	assert_string_equal(body, expected);
	free(expected);
	(void)close(fd);
	loop_turn(loop);
	loop_turn(loop);
	assert_int_equal(server->n_clients, 0);
}

static void a_long_answer_to_a_slow_reader(void **state)
{
	static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
	size_t len;
	bool end;
	int fd;

	(void)state;
	many = 9000;
	fd = dial();
	assert_true(send(fd, request, sizeof(request) - 1, 0) > 0);
	for (int i = 0; i < 10; i++) /* it does not read, and the loop goes on */
		loop_turn(loop);
	len = hear(fd, heard, sizeof(heard), &end);
	assert_true(end);
	assert_true(len > 200000);
	assert_non_null(strstr(heard, "test_kinds{kind=\"8999\"} 8999\n"));
	(void)close(fd);
	many = 0;
}

static void refusals_say_why(void **state)
{
	static const char *const request[] = {
		"GET /secret HTTP/1.1\r\n\r\n", "DELETE /metrics HTTP/1.1\r\n\r\n", "\x16\x03\x01\r\n\r\n"};
	static const char *const answers[] = {
		"HTTP/1.0 404 Not Found\r\n", "HTTP/1.0 405 Method Not Allowed\r\n", "HTTP/1.0 400 Bad Request\r\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		int fd = dial();
		bool end;

		assert_true(send(fd, request[i], strlen(request[i]), 0) > 0);
		(void)hear(fd, heard, sizeof(heard), &end);
		assert_true(end);
		assert_memory_equal(heard, answers[i], strlen(answers[i]));
		assert_null(strstr(heard, "test_things"));
		(void)close(fd);
		loop_turn(loop);
	}
}

static void an_endless_request(void **state)
{
	static char flood[64 << 10];
	int fd = dial();
	bool end;

	(void)state;
	memset(flood, 'A', sizeof(flood));
	for (int i = 0; i < 100; i++) {
		(void)send(fd, flood, sizeof(flood), MSG_NOSIGNAL);
		loop_turn(loop);
	}
	(void)hear(fd, heard, sizeof(heard), &end);
	assert_memory_equal(heard, "HTTP/1.0 431 ", 13);
	(void)close(fd);
	for (int i = 0; i < 5000 && server->n_clients; i++)
		loop_turn(loop);
	assert_int_equal(server->n_clients, 0);
}

static void a_full_house(void **state)
{
	int fd[CLIENTS + 1];
	char c;

	(void)state;
	for (int i = 0; i <= CLIENTS; i++)
		fd[i] = dial();
	loop_turn(loop);
	assert_int_equal(server->n_clients, CLIENTS);
	assert_int_equal(recv(fd[CLIENTS], &c, 1, MSG_DONTWAIT), 0); /* turned away */
	/* those who say nothing are sent away when their time is over, not before: the timer is at 5 s */
	assert_true(server->clients->timer.ev.at > 4 || ev_is_active(&server->clients->timer.ev));
	client_timeout(server->clients);
	assert_int_equal(recv(fd[0], &c, 1, MSG_DONTWAIT), 0);
	(void)close(fd[1]); /* and one leaves by itself */
	loop_turn(loop);
	loop_turn(loop);
	assert_int_equal(server->n_clients, CLIENTS - 2);
	for (int i = 2; i <= CLIENTS; i++)
		(void)close(fd[i]);
	(void)close(fd[0]);
}

static void it_does_not_listen_twice(void **state)
{
	struct metrics_server *other;
	char err[METRICS_ERR] = "";

	(void)state;
	assert_int_equal(metrics_server_new(loop, path, "test", collect, NULL, &other, err), -EADDRINUSE);
	assert_non_null(strstr(err, "another test answers at"));
}

static void it_removes_nothing_but_a_socket(void **state)
{
	struct metrics_server *other;
	char err[METRICS_ERR] = "", file[128];
	struct stat st;
	FILE *f;

	(void)state;
	(void)snprintf(file, sizeof(file), "%s/precious", dir);
	f = fopen(file, "we");
	assert_non_null(f);
	(void)fclose(f);
	assert_int_equal(metrics_server_new(loop, file, "test", collect, NULL, &other, err), -EADDRINUSE);
	assert_non_null(strstr(err, "cannot open the socket"));
	assert_int_equal(stat(file, &st), 0);
	(void)unlink(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(json),
		cmocka_unit_test(too_much_text),
		cmocka_unit_test(requests),
		cmocka_unit_test(addresses),
		cmocka_unit_test_setup_teardown(an_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_answer_to_a_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(refusals_say_why, setup, teardown),
		cmocka_unit_test_setup_teardown(an_endless_request, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_house, setup, teardown),
		cmocka_unit_test_setup_teardown(it_does_not_listen_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(it_removes_nothing_but_a_socket, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
