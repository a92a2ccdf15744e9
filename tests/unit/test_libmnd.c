/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_libmnd.c - the client library against a control socket that answers as mnd does, in another process */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control.h"
#include "mnd/libmnd.h"

static char dir[64], path[96];
static pid_t server;
static struct control *control;

/* --- the other side ---------------------------------------------------------------------------------------------- */

static int get_address(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	const char *type = json_string_value(json_object_get(parameters, "type"));
	const char *anchor = json_string_value(json_object_get(parameters, "anchor"));

	(void)ctx;
	control_emit(control, "home_address", json_object());
	if (anchor && !strcmp(anchor, "gone"))
		exit(0);
	if (anchor && !strcmp(anchor, "odd"))
		*ret = json_pack("{s:s}", "address", "here");
	else if (anchor) {
		(void)snprintf(reterr, CONTROL_ERR, "this node has no home address of %s", anchor);
		return -ENOENT;
	} else
		*ret = json_pack("{s:s}", "address", !strcmp(type, "fixed") ? "2001:db8::f" : "::1");
	return 0;
}

static int pin(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	(void)ctx;
	(void)ret;
	(void)snprintf(reterr, CONTROL_ERR, "%s %d", json_string_value(json_object_get(parameters, "type")),
		(int)json_integer_value(json_object_get(parameters, "pid")));
	return -EPERM;
}

static void serve(void)
{
	static const struct control_method methods[] = {{"GetAddress", get_address, false}, {"Pin", pin, false}, {0}};
	struct control_config cfg = {.path = path,
		.interface = "org.dmm.mnd",
		.description = "",
		.product = "mnd",
		.version = "1",
		.methods = methods};
	struct loop *loop;
	char err[CONTROL_ERR];

	if (loop_new(&loop) == 0 && control_new(loop, &cfg, &control, err) == 0)
		loop_run(loop);
	exit(1);
}

static int setup(void **state)
{
	(void)snprintf(dir, sizeof(dir), "/tmp/test_libmnd.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	server = fork();
	if (server == 0)
		serve();
	for (int i = 0; i < 5000 && mnd_open(path, (struct mnd **)state) < 0; i++)
		(void)usleep(2000);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	mnd_close(*state);
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	(void)unlink(path);
	return rmdir(dir);
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

static void addresses(void **state)
{
	struct mnd *m = *state;
	struct in6_addr a, want;

	(void)inet_pton(AF_INET6, "2001:db8::f", &want);
	assert_int_equal(mnd_get_address(m, MND_FIXED, NULL, &a), 0);
	assert_memory_equal(&a, &want, sizeof(a));
	assert_string_equal(mnd_error(m), "");
	assert_int_equal(mnd_get_address(m, MND_SESSION_LASTING, "ama9", &a), -EADDRNOTAVAIL);
	assert_string_equal(mnd_error(m), "this node has no home address of ama9");
	assert_int_equal(mnd_get_address(m, MND_SESSION_LASTING, "odd", &a), -EBADMSG);
	assert_int_equal(mnd_get_address(m, (enum mnd_type)7, NULL, &a), -EINVAL);
	assert_int_equal(mnd_get_address(m, MND_NON_PERSISTENT, NULL, &a), 0); /* it goes on */
}

static void sockets(void **state)
{
	struct mnd *m = *state;
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	assert_int_equal(mnd_set_type(m, fd, MND_SESSION_LASTING, NULL), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	assert_true(IN6_IS_ADDR_LOOPBACK(&a.sin6_addr));
	assert_int_equal(mnd_is_current(m, fd, MND_GRACEFUL_REPLACEMENT), 1);
	assert_int_equal(mnd_is_current(m, fd, MND_FIXED), 0);
	(void)close(fd);
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	assert_int_equal(mnd_set_type(m, fd, MND_FIXED, NULL), -EADDRNOTAVAIL); /* not an address of this machine */
	assert_non_null(strstr(mnd_error(m), "cannot bind"));
	(void)close(fd);
	assert_true(mnd_is_current(m, fd, MND_FIXED) < 0);
}

static void pins(void **state)
{
	struct mnd *m = *state;
	char want[64];

	assert_int_equal(mnd_pin(m, 4711, MND_GRACEFUL_REPLACEMENT, NULL), -EADDRNOTAVAIL);
	assert_string_equal(mnd_error(m), "graceful 4711");
	assert_int_equal(mnd_pin(m, 0, MND_SESSION_LASTING, NULL), -EADDRNOTAVAIL);
	(void)snprintf(want, sizeof(want), "session %d", (int)getpid());
	assert_string_equal(mnd_error(m), want);
	assert_int_equal(mnd_pin(m, 0, MND_NON_PERSISTENT, NULL), -EINVAL);
}

static void news(void **state)
{
	struct mnd *m = *state;
	struct in6_addr a;
	int fd = mnd_watch(m);
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_true(fd >= 0);
	assert_int_equal(mnd_watch(m), fd);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(mnd_get_address(m, MND_FIXED, NULL, &a), 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(mnd_read_news(m), 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(mnd_get_address(m, MND_FIXED, "gone", &a), -ECONNRESET);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(mnd_read_news(m), -ECONNRESET);
	assert_int_equal(mnd_get_address(m, MND_FIXED, NULL, &a), -ECONNRESET);
}

static void nobody_there(void **state)
{
	struct mnd *m = NULL;

	(void)state;
	assert_true(mnd_open("/nonexistent/mnd.sock", &m) < 0);
	assert_null(m);
	mnd_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(sockets, setup, teardown),
		cmocka_unit_test_setup_teardown(pins, setup, teardown),
		cmocka_unit_test_setup_teardown(news, setup, teardown),
		cmocka_unit_test(nobody_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
