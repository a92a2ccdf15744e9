/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_control.c - control socket: calls, errors, the monitor, and clients that behave badly */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.c" /* for its limits, and to see how much waits for a client */

static char dir[64], path[96];
static struct loop *loop;
static struct control *control;
static unsigned called;

static int echo(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)ctx;
	(void)reterr;
	called++;
	assert_true(json_is_object(parameters));
	*ret = json_deep_copy(parameters);
	return 0;
}

static int nothing(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)ctx;
	(void)ret;
	(void)reterr;
	called++;
	assert_true(json_is_object(parameters));
	return 0;
}

static int fails(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)ctx;
	(void)parameters;
	*ret = json_object(); /* must not leak */
	(void)snprintf(reterr, CONTROL_ERR, "there is no such lease");
	return -ENOENT;
}

static int large(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	char *text = malloc(4 << 20);

	(void)ctx;
	(void)parameters;
	(void)reterr;
	memset(text, 'x', 4 << 20);
	*ret = json_pack("{s:s#}", "text", text, 4 << 20);
	free(text);
	return 0;
}

static struct control_call *waiting;

static int later(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)ctx;
	(void)parameters;
	(void)ret;
	(void)reterr;
	called++;
	waiting = control_defer(control);
	assert_non_null(waiting);
	return CONTROL_LATER;
}

static const struct control_method methods[] = {
	{.name = "Later", .cb = later},
	{.name = "Echo", .cb = echo},
	{.name = "Nothing", .cb = nothing},
	{.name = "Fails", .cb = fails},
	{.name = "Large", .cb = large},
	{.name = "Change", .cb = nothing, .privileged = true},
	{0},
};

static struct control_config config(void)
{
	return (struct control_config){.path = path,
		.interface = "org.dmm.test",
		.description = "interface org.dmm.test\n",
		.product = "test",
		.version = "1.2",
		.methods = methods};
}

static int setup(void **state)
{
	struct control_config cfg = config();
	char err[CONTROL_ERR] = "";

	(void)state;
	called = 0;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_control.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/run/socket", dir); /* the directory is made */
	if (loop_new(&loop) < 0 || control_new(loop, &cfg, &control, err) < 0) {
		print_error("%s\n", err);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	char run[96];

	(void)state;
	control_free(control);
	loop_free(loop);
	if (access(path, F_OK) == 0)
		return -1; /* the socket is taken away */
	(void)snprintf(run, sizeof(run), "%s/run", dir);
	return rmdir(run) || rmdir(dir);
}

static void turns(unsigned n)
{
	while (n--)
		loop_turn(loop);
}

static int dial(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	turns(2);
	return fd;
}

static void say_bytes(int fd, const void *bytes, size_t len)
{
	const char *p = bytes;

	for (int i = 0; len > 0 && i < 10000; i++) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN) {
			return; /* it was cut off */
		}
		turns(1);
	}
	turns(2);
}

static void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text) + 1);
}

/* The next message; NULL = the connection is closed. */
static json_t *hear(int fd)
{
	static char buf[8 << 20];
	size_t n = 0;

	for (int i = 0; i < 10000; i++) {
		ssize_t r = recv(fd, buf + n, 1, 0);

		if (r == 0 || (r < 0 && errno != EAGAIN))
			return NULL;
		if (r < 0) {
			turns(1);
			continue;
		}
		i = 0;
		if (buf[n++] == '\0') {
			json_t *j = json_loads(buf, 0, NULL);

			assert_non_null(j);
			return j;
		}
		/* fast: the rest of what is there, up to the end of the message */
		r = recv(fd, buf + n, sizeof(buf) - n, MSG_PEEK);
		if (r > 0) {
			char *end = memchr(buf + n, '\0', (size_t)r);

			r = recv(fd, buf + n, end ? (size_t)(end - (buf + n)) : (size_t)r, 0);
			n += r > 0 ? (size_t)r : 0;
		}
	}
	fail_msg("no answer");
	return NULL;
}

static void hears(int fd, const char *want)
{
	json_t *j = hear(fd), *w = json_loads(want, 0, NULL);

	assert_non_null(j);
	assert_non_null(w);
	if (!json_equal(j, w))
		fail_msg("%s\nnot %s", json_dumps(j, JSON_COMPACT), want);
	json_decref(j);
	json_decref(w);
}

static void is_silent(int fd)
{
	char b;

	turns(5);
	assert_int_equal(recv(fd, &b, 1, MSG_PEEK), -1);
	assert_int_equal(errno, EAGAIN);
}

static void is_closed(int fd)
{
	turns(3);
	assert_null(hear(fd));
	(void)close(fd);
}

/* Whatever happened before, somebody else is served. */
static void still_serves(void)
{
	int fd = dial();

	say(fd, "{\"method\":\"org.dmm.test.Nothing\"}");
	hears(fd, "{\"parameters\":{}}");
	(void)close(fd);
	turns(2);
}

static void info(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{}}");
	hears(fd,
		"{\"parameters\":{\"vendor\":\"DMM for Linux\",\"product\":\"test\",\"version\":\"1.2\",\"url\":\"\","
		"\"interfaces\":[\"org.varlink.service\",\"org.dmm.test\"]}}");
	say(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"org.dmm.test\"}}");
	hears(fd, "{\"parameters\":{\"description\":\"interface org.dmm.test\\n\"}}");
	say(fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"org.x\"}}");
	hears(fd, "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.x\"}}");
	(void)close(fd);
}

static void calls(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "{\"method\":\"org.dmm.test.Echo\",\"parameters\":{\"a\":[1,\"\\u00e4\",null]}}");
	hears(fd, "{\"parameters\":{\"a\":[1,\"\\u00e4\",null]}}");
	say(fd, "{\"method\":\"org.dmm.test.Echo\"}"); /* parameters may be left out */
	hears(fd, "{\"parameters\":{}}");
	say(fd, "{\"method\":\"org.dmm.test.Echo\",\"parameters\":[1]}");
	hears(fd, "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"parameters\"}}");
	say(fd, "{\"method\":\"org.dmm.test.Change\"}"); /* it is our own user */
	hears(fd, "{\"parameters\":{}}");
	say(fd, "{\"method\":\"org.dmm.test.Fails\"}");
	hears(fd, "{\"error\":\"org.dmm.test.Failed\",\"parameters\":{\"message\":\"there is no such lease\"}}");
	say(fd, "{\"method\":\"org.dmm.test.Fail\"}");
	hears(fd, "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"Fail\"}}");
	say(fd, "{\"method\":\"org.varlink.service.Get\"}");
	hears(fd, "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"Get\"}}");
	say(fd, "{\"method\":\"org.dmm.testing.Echo\"}");
	hears(fd,
		"{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.dmm.testing\"}}");
	say(fd, "{\"method\":\"org.dmm.test\"}");
	hears(fd, "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.dmm\"}}");
	say(fd, "{\"method\":\"Echo\"}");
	hears(fd, "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"\"}}");
	(void)close(fd);
}

/* One call in many pieces, many calls in one piece: answered in order. */
static void pieces(void **state)
{
	static const char one[] = "{\"method\":\"org.dmm.test.Echo\",\"parameters\":{\"n\":1}}",
			  two[] = "{\"method\":\"org.dmm.test.Echo\",\"parameters\":{\"n\":1}}\0"
				  "{\"method\":\"org.dmm.test.Nothing\"}\0{\"method\":\"org.dmm.test.Echo\"";
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < sizeof(one); i++) {
		assert_int_equal(called, 0);
		say_bytes(fd, one + i, 1);
	}
	hears(fd, "{\"parameters\":{\"n\":1}}");
	say_bytes(fd, two, sizeof(two) - 1);
	hears(fd, "{\"parameters\":{\"n\":1}}");
	hears(fd, "{\"parameters\":{}}");
	is_silent(fd);
	say_bytes(fd, "}", 2);
	hears(fd, "{\"parameters\":{}}");
	(void)close(fd);
}

/* An answer that comes later: what the caller says meanwhile waits for it, others do not, and the caller may
 * have gone. */
static void answers_later(void **state)
{
	static const char two[] =
		"{\"method\":\"org.dmm.test.Later\"}\0{\"method\":\"org.dmm.test.Echo\",\"parameters\":{\"n\":2}}";
	int fd = dial();

	(void)state;
	say_bytes(fd, two, sizeof(two));
	is_silent(fd);
	still_serves();
	assert_int_equal(called, 2);
	control_answer(waiting, 0, json_pack("{s:i}", "n", 1), NULL);
	hears(fd, "{\"parameters\":{\"n\":1}}");
	hears(fd, "{\"parameters\":{\"n\":2}}");
	say(fd, "{\"method\":\"org.dmm.test.Later\"}");
	control_answer(waiting, -ENOENT, NULL, "it never came");
	hears(fd, "{\"error\":\"org.dmm.test.Failed\",\"parameters\":{\"message\":\"it never came\"}}");
	say(fd, "{\"method\":\"org.dmm.test.Later\"}");
	(void)close(fd);
	turns(3);
	control_answer(waiting, 0, json_pack("{s:i}", "n", 1), NULL);
	/* nobody asks the answer of one who wants none */
	fd = dial();
	say(fd, "{\"method\":\"org.dmm.test.Later\",\"oneway\":true}");
	control_answer(waiting, 0, NULL, NULL);
	is_silent(fd);
	say(fd, "{\"method\":\"org.dmm.test.Nothing\"}");
	hears(fd, "{\"parameters\":{}}");
	(void)close(fd);
}

/* Varlink: a call with oneway is carried out and not answered. */
static void oneway(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "{\"method\":\"org.dmm.test.Echo\",\"oneway\":true}");
	assert_int_equal(called, 1);
	say(fd, "{\"method\":\"org.dmm.test.None\",\"oneway\":true}");
	is_silent(fd);
	say(fd, "{\"method\":\"org.dmm.test.Nothing\"}");
	hears(fd, "{\"parameters\":{}}");
	(void)close(fd);
}

static void not_varlink(void **state)
{
	static const char *const bad[] = {"", "x", "{", "[]", "{}", "5", "\"method\"", "{\"method\":5}",
		"{\"method\":null}", "{\"method\":\"a\",\"method\":\"b\"}", "{\"method\":\"org.dmm.test.Echo\"} x",
		"\xff\xfe", "GET / HTTP/1.1\r\n"};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		int fd = dial();

		say(fd, bad[i]);
		is_closed(fd);
		assert_int_equal(called, i);
		still_serves();
	}
	/* nested as deep as it fits */
	char *deep = malloc(60000);
	int fd = dial();

	memset(deep, '[', 60000);
	say_bytes(fd, deep, 60000);
	say_bytes(fd, "", 1);
	is_closed(fd);
	free(deep);
	still_serves();
}

static void too_large_a_request(void **state)
{
	char *text = malloc(2 * IN_BYTES);
	int fd = dial();

	(void)state;
	memset(text, ' ', 2 * IN_BYTES);
	say_bytes(fd, text, 2 * IN_BYTES); /* without an end */
	is_closed(fd);
	still_serves();
	/* one that just fits */
	fd = dial();
	memcpy(text, "{\"method\":\"org.dmm.test.Nothing\"", 32);
	text[IN_BYTES - 2] = '}';
	text[IN_BYTES - 1] = '\0';
	say_bytes(fd, text, IN_BYTES);
	hears(fd, "{\"parameters\":{}}");
	(void)close(fd);
	free(text);
}

static void monitor(void **state)
{
	int fd = dial(), other = dial();

	(void)state;
	assert_false(control_is_monitored(control));
	control_emit(control, "unheard", json_object());
	say(fd, "{\"method\":\"org.dmm.test.Monitor\"}");
	hears(fd, "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
	assert_false(control_is_monitored(control));
	say(fd, "{\"method\":\"org.dmm.test.Monitor\",\"more\":true}");
	hears(fd, "{\"continues\":true,\"parameters\":{\"event\":\"ready\",\"data\":{}}}");
	say(other, "{\"method\":\"org.dmm.test.Monitor\",\"more\":true}");
	hears(other, "{\"continues\":true,\"parameters\":{\"event\":\"ready\",\"data\":{}}}");
	assert_true(control_is_monitored(control));
	for (int i = 0; i < 100; i++)
		control_emit(control, "lease", json_pack("{s:i}", "n", i));
	for (int i = 0; i < 100; i++) {
		char want[128];

		(void)snprintf(want, sizeof(want),
			"{\"continues\":true,\"parameters\":{\"event\":\"lease\",\"data\":{\"n\":%d}}}", i);
		hears(fd, want);
		hears(other, want);
	}
	(void)close(other);
	turns(3);
	assert_true(control_is_monitored(control));
	control_emit(control, "last", json_object());
	hears(fd, "{\"continues\":true,\"parameters\":{\"event\":\"last\",\"data\":{}}}");
	/* twice is once */
	say(fd, "{\"method\":\"org.dmm.test.Monitor\",\"more\":true}");
	hears(fd, "{\"continues\":true,\"parameters\":{\"event\":\"ready\",\"data\":{}}}");
	(void)close(fd);
	turns(3);
	assert_false(control_is_monitored(control));
}

static json_t *event_of(size_t len)
{
	char *text = malloc(len);
	json_t *j;

	memset(text, 'e', len);
	j = json_pack("{s:s#}", "text", text, (int)len);
	free(text);
	return j;
}

/* Who does not read is cut off when 64 MB wait; until then, and after, others are served. */
static void a_slow_client(void **state)
{
	int slow = dial(), fd = dial();

	(void)state;
	say(slow, "{\"method\":\"org.dmm.test.Monitor\",\"more\":true}");
	for (unsigned n = 0; n < 9; n++) {
		control_emit(control, "large", event_of(8 << 20));
		turns(1);
		say(fd, "{\"method\":\"org.dmm.test.Nothing\"}");
		hears(fd, "{\"parameters\":{}}");
		if (n == 6)
			assert_true(control_is_monitored(control));
	}
	assert_false(control_is_monitored(control));
	say(fd, "{\"method\":\"org.dmm.test.Monitor\",\"more\":true}");
	hears(fd, "{\"continues\":true,\"parameters\":{\"event\":\"ready\",\"data\":{}}}");
	turns(5);
	/* it gets what the kernel had taken, and the end */
	for (;;) {
		static char buf[65536];
		ssize_t r = recv(slow, buf, sizeof(buf), 0);

		if (r <= 0) {
			assert_true(r == 0 || errno != EAGAIN);
			break;
		}
	}
	(void)close(slow);
	assert_true(control_is_monitored(control));
	control_emit(control, "last", json_object());
	hears(fd, "{\"continues\":true,\"parameters\":{\"event\":\"last\",\"data\":{}}}");
	(void)close(fd);
}

/* Who is always a little behind costs what is waiting, not all that ever was sent. */
static void always_behind(void **state)
{
	static char buf[1 << 20];
	int fd = dial();
	size_t sent = 0, got = 0;

	(void)state;
	say(fd, "{\"method\":\"org.dmm.test.Monitor\",\"more\":true}");
	for (int i = 0; i < 100; i++) {
		control_emit(control, "e", event_of(1 << 17));
		sent += 1 << 17;
		while (sent > got + (1 << 20)) {
			ssize_t r = recv(fd, buf, sizeof(buf), 0);

			if (r > 0)
				got += (size_t)r;
			turns(1);
		}
	}
	assert_true(control->clients->out_size < 4u << 20);
	(void)close(fd);
}

/* A reply larger than the socket takes at once. */
static void a_large_reply(void **state)
{
	int fd = dial();
	json_t *j;

	(void)state;
	say(fd, "{\"method\":\"org.dmm.test.Large\"}");
	say(fd, "{\"method\":\"org.dmm.test.Nothing\"}"); /* behind it */
	j = hear(fd);
	assert_int_equal(json_string_length(json_object_get(json_object_get(j, "parameters"), "text")), 4 << 20);
	json_decref(j);
	hears(fd, "{\"parameters\":{}}");
	/* gone before it has it */
	say(fd, "{\"method\":\"org.dmm.test.Large\"}");
	(void)close(fd);
	still_serves();
}

static void too_many_clients(void **state)
{
	int fd[CLIENTS], more;

	(void)state;
	for (int i = 0; i < CLIENTS; i++)
		fd[i] = dial();
	more = dial();
	is_closed(more);
	say(fd[0], "{\"method\":\"org.dmm.test.Nothing\"}");
	hears(fd[0], "{\"parameters\":{}}");
	(void)close(fd[5]);
	turns(3);
	still_serves();
	for (int i = 0; i < CLIENTS; i++)
		if (i != 5)
			(void)close(fd[i]);
}

static void the_socket(void **state)
{
	struct control_config cfg = config();
	struct control *second = NULL;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	char err[CONTROL_ERR] = "", more[160];
	struct stat st;
	int fd;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0666);
	assert_int_equal(control_new(loop, &cfg, &second, err), -EADDRINUSE); /* somebody answers */
	assert_non_null(strstr(err, path));
	still_serves();
	/* one that was left over is taken away */
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/old", dir);
	memcpy(more, un.sun_path, sizeof(un.sun_path));
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	(void)close(fd);
	cfg.path = more;
	assert_int_equal(control_new(loop, &cfg, &second, err), 0);
	control_free(second);
	assert_int_equal(access(more, F_OK), -1);
	memset(more, 'x', 150);
	more[150] = '\0';
	assert_int_equal(control_new(loop, &cfg, &second, err), -ENAMETOOLONG);
	cfg.path = "/proc/none/socket";
	assert_true(control_new(loop, &cfg, &second, err) < 0);
	assert_non_null(strstr(err, "/proc/none/socket"));
}

/* Freed with clients and work under way. */
static void freed_in_the_middle(void **state)
{
	int fd = dial(), other = dial();

	(void)state;
	say(fd, "{\"method\":\"org.dmm.test.Monitor\",\"more\":true}");
	control_emit(control, "large", event_of(4 << 20));
	say(other, "{\"method\":\"org.dm");
	control_free(control);
	control = NULL;
	turns(3);
	(void)close(fd);
	(void)close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(info, setup, teardown),
		cmocka_unit_test_setup_teardown(calls, setup, teardown),
		cmocka_unit_test_setup_teardown(pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_later, setup, teardown),
		cmocka_unit_test_setup_teardown(oneway, setup, teardown),
		cmocka_unit_test_setup_teardown(not_varlink, setup, teardown),
		cmocka_unit_test_setup_teardown(too_large_a_request, setup, teardown),
		cmocka_unit_test_setup_teardown(monitor, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_client, setup, teardown),
		cmocka_unit_test_setup_teardown(always_behind, setup, teardown),
		cmocka_unit_test_setup_teardown(a_large_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_clients, setup, teardown),
		cmocka_unit_test_setup_teardown(the_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(freed_in_the_middle, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
