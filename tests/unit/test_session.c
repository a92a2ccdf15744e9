/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_session.c - which sockets are sessions, asked of the real kernel about sockets on ::1; skipped where it has no
 * sock_diag */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mnd/session.h"

static struct session *session;
static bool alone; /* in a network namespace of our own: nobody else's sockets and packets */

/* The sockets found whose local or peer port is port. */
static struct {
	uint16_t port;
	unsigned n;
	struct session_info last;
} found;

static bool is_loopback(void *ctx, const struct in6_addr *a)
{
	(void)ctx;
	return IN6_IS_ADDR_LOOPBACK(a);
}

static bool one(void *ctx, const struct session_info *info)
{
	(void)ctx;
	if (info->port == found.port || info->peer_port == found.port) {
		found.n++;
		found.last = *info;
	}
	return IN6_IS_ADDR_LOOPBACK(&info->home_address);
}

static unsigned count(uint16_t port, uint64_t now_s)
{
	memset(&found, 0, sizeof(found));
	found.port = port;
	assert_int_equal(session_list(session, now_s, one, NULL), 0);
	return found.n;
}

static int make(int kind, const char *address, uint16_t *ret_port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET6, kind | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (address) {
		assert_int_equal(inet_pton(AF_INET6, address, &a.sin6_addr), 1);
		assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
		assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
		*ret_port = ntohs(a.sin6_port);
	}
	return fd;
}

static void to(int fd, uint16_t port)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port)};

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
}

/* Waits for news of the end of one of our sockets. */
static bool news(int timeout_ms)
{
	struct pollfd p = {.fd = session_fd(session), .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1 && session_read_news(session, is_loopback, NULL);
}

static int loopback_of_our_own(void **state)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return 0;
	fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	alone = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
	(void)close(fd);
	return 0;
}

static int setup(void **state)
{
	int r;

	(void)state;
	if (session_new(&session) < 0)
		skip();
	r = session_list(session, 1, one, NULL);
	if (r == -ENOENT || r == -EPERM || r == -EACCES)
		skip();
	assert_int_equal(r, 0);
	(void)news(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	session_free(session);
	session = NULL;
	return 0;
}

static void tcp(void **state)
{
	uint16_t port;
	int listener = make(SOCK_STREAM, "::1", &port), client = make(SOCK_STREAM, NULL, NULL), server;

	(void)state;
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(count(port, 10), 0); /* who listens has no session */
	to(client, port);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	assert_int_equal(count(port, 11), 2); /* both ends are ours here */
	assert_int_equal(found.last.protocol, IPPROTO_TCP);
	assert_int_equal(found.last.since_s, 11);
	assert_true(found.last.cookie != 0 && found.last.inode != 0 && found.last.uid == geteuid());
	/* the process is gone, the peer has not closed: FIN_WAIT2, first of a socket, which ends, then of what waits
	 * for the port */
	assert_int_equal(close(client), 0);
	assert_true(news(2000));
	assert_int_equal(count(port, 12), 1);
	assert_int_equal(found.last.port, port); /* the peer's end is still one */
	assert_int_equal(close(server), 0);
	assert_true(news(2000));
	assert_int_equal(count(port, 13), 0); /* TIME_WAIT */
	(void)close(listener);
	assert_true(news(2000)); /* not to be met by the next test */
}

static void udp(void **state)
{
	uint16_t port, other;
	int any = make(SOCK_DGRAM, "::", &port), bound, connected = make(SOCK_DGRAM, NULL, NULL);

	(void)state;
	assert_int_equal(count(port, 10), 0);
	bound = make(SOCK_DGRAM, "::1", &other);
	assert_int_equal(count(other, 10), 1);
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&found.last.peer));
	to(connected, other);
	assert_int_equal(count(other, 11), 2);
	(void)close(any);
	if (alone)
		assert_false(news(200)); /* was on no address of ours */
	(void)close(bound);
	assert_true(news(2000));
	assert_int_equal(count(other, 12), 1);
	assert_int_equal(found.last.peer_port, other);
	(void)close(connected);
	assert_true(news(2000));
	assert_int_equal(count(other, 13), 0);
}

static void since_when(void **state)
{
	const struct session_seen *seen;
	struct session_seen kept[64];
	uint16_t port, later;
	int fd = make(SOCK_DGRAM, "::1", &port), other;
	unsigned n;

	(void)state;
	assert_int_equal(count(port, 100), 1);
	other = make(SOCK_DGRAM, "::1", &later);
	assert_int_equal(count(port, 200), 1);
	assert_int_equal(found.last.since_s, 100);
	assert_int_equal(count(later, 300), 1);
	assert_int_equal(found.last.since_s, 200); /* seen when the other was asked for */
	/* another run of the daemon */
	n = session_seen(session, &seen);
	assert_true(n >= 2 && n <= 64);
	for (unsigned i = 0; i < n; i++)
		kept[n - 1 - i] = seen[i]; /* in any order */
	session_free(session);
	assert_int_equal(session_new(&session), 0);
	assert_int_equal(session_remember(session, kept, n), 0);
	assert_int_equal(count(port, 400), 1);
	assert_int_equal(found.last.since_s, 100);
	/* one that is gone is forgotten */
	(void)close(fd);
	n = session_seen(session, &seen);
	(void)count(later, 500);
	assert_int_equal(found.last.since_s, 200);
	assert_true(session_seen(session, &seen) < n);
	(void)close(other);
}

static bool watched(int watch)
{
	struct pollfd p = {.fd = watch, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

/* Of the packets that leave lo, those from the addresses asked for: ::1 is in ::/64. */
static void watch(void **state)
{
	struct in6_addr addresses[SESSION_WATCH_MAX] = {0};
	uint16_t port, from;
	int receiver = make(SOCK_DGRAM, "::1", &port), sender = make(SOCK_DGRAM, "::1", &from), fd;

	(void)state;
	if (!alone)
		skip();
	to(sender, port);
	for (unsigned i = 0; i < SESSION_WATCH_MAX; i++) {
		assert_int_equal(inet_pton(AF_INET6, "2001:db8::1", &addresses[i]), 1);
		addresses[i].s6_addr[7] = (uint8_t)i;
	}
	for (unsigned last = 1; last <= SESSION_WATCH_MAX; last += SESSION_WATCH_MAX - 1) {
		fd = session_watch(if_nametoindex("lo"), addresses, last);
		if (fd == -EPERM) /* root of a user namespace may not load BPF programs */
			skip();
		assert_true(fd >= 0);
		assert_int_equal(send(sender, "x", 1, 0), 1);
		assert_false(watched(fd));
		session_watch_end(if_nametoindex("lo"), fd);
		addresses[last - 1] = in6addr_loopback;
		fd = session_watch(if_nametoindex("lo"), addresses, last);
		assert_true(fd >= 0);
		assert_int_equal(send(sender, "x", 1, 0), 1);
		assert_true(watched(fd));
		session_watch_end(if_nametoindex("lo"), fd);
		addresses[last - 1].s6_addr[7] = 9; /* only the lower half is the same */
		fd = session_watch(if_nametoindex("lo"), addresses, last);
		assert_int_equal(send(sender, "x", 1, 0), 1);
		assert_false(watched(fd));
		session_watch_end(if_nametoindex("lo"), fd);
	}
	(void)close(sender);
	(void)close(receiver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tcp, setup, teardown),
		cmocka_unit_test_setup_teardown(udp, setup, teardown),
		cmocka_unit_test_setup_teardown(since_when, setup, teardown),
		cmocka_unit_test(watch),
	};

	return cmocka_run_group_tests(tests, loopback_of_our_own, NULL);
}
