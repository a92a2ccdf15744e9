/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libmnd.c - for programs that know what they want of their address
 *
 * Speaks Varlink (JSON objects that end in a NUL byte) to mnd and blocks for the answer. Which address it is, mnd
 * decides, for sockets here as for programs of hoa-exec; binding is the caller's own right. News come over a second
 * connection, so that they do not mix with answers. */
#include "libmnd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#define INTERFACE "org.dmm.mnd."
#define ANSWER	  65536 /* nothing that is asked here has a longer one */

struct mnd {
	int fd, news;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char error[256];
};

static const char *const type_names[] = {"session", "fixed", "graceful", "non-persistent"};

static int fail(struct mnd *m, int error, const char *what)
{
	(void)snprintf(m->error, sizeof(m->error), "%s", what);
	return error;
}

static int dial(const char *path)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0)
		return -errno;
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	r = -errno;
	(void)close(fd);
	return r;
}

int mnd_open(const char *path, struct mnd **ret)
{
	struct mnd *m;
	int r;

	if (!path)
		path = RUNSTATEDIR "/dmm/mnd.sock";
	if (strlen(path) >= sizeof(m->path))
		return -ENAMETOOLONG;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	(void)snprintf(m->path, sizeof(m->path), "%s", path);
	m->news = -1;
	m->fd = r = dial(path);
	if (r < 0) {
		free(m);
		return r;
	}
	*ret = m;
	return 0;
}

void mnd_close(struct mnd *m)
{
	if (!m)
		return;
	if (m->fd >= 0)
		(void)close(m->fd);
	if (m->news >= 0)
		(void)close(m->news);
	free(m);
}

const char *mnd_error(const struct mnd *m)
{
	return m->error;
}

/* Takes the reference to parameters. */
static int say(int fd, const char *method, json_t *parameters, bool more)
{
	json_t *j = json_pack("{s:s+, s:o, s:b}", "method", INTERFACE, method, "parameters", parameters, "more", more);
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	int r = 0;

	json_decref(j);
	if (!text)
		return -ENOMEM;
	if (send(fd, text, strlen(text) + 1, MSG_NOSIGNAL) != (ssize_t)strlen(text) + 1)
		r = -ECONNRESET;
	free(text);
	return r;
}

/* One message. */
static int hear(int fd, json_t **ret)
{
	char *buf = malloc(ANSWER);
	size_t len = 0;
	int r = buf ? -EMSGSIZE : -ENOMEM;

	while (buf && len < ANSWER) {
		ssize_t n = recv(fd, buf + len, ANSWER - len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			r = -ECONNRESET;
			break;
		}
		len += (size_t)n;
		if (buf[len - 1] == '\0') { /* it says nothing else before it is asked again */
			*ret = json_loads(buf, 0, NULL);
			r = *ret ? 0 : -EBADMSG;
			break;
		}
	}
	free(buf);
	return r;
}

/* Call a method; takes the reference to parameters. *ret gets the parameters of the answer. */
static int call(struct mnd *m, const char *method, json_t *parameters, json_t **ret)
{
	json_t *reply = NULL;
	int r;

	m->error[0] = '\0';
	if (!parameters)
		return fail(m, -ENOMEM, "no memory");
	r = m->fd < 0 ? -ECONNRESET : say(m->fd, method, parameters, false);
	if (m->fd < 0)
		json_decref(parameters);
	if (r == 0)
		r = hear(m->fd, &reply);
	if (r < 0) { /* what may still come is the answer to nothing */
		if (m->fd >= 0)
			(void)close(m->fd);
		m->fd = -1;
		return fail(m, r, "the connection to mnd has ended: close it and open another");
	}
	if (json_object_get(reply, "error")) {
		const char *message = json_string_value(
			json_object_get(json_object_get(reply, "parameters"), "message"));

		(void)fail(m, -EADDRNOTAVAIL, message ? message : json_string_value(json_object_get(reply, "error")));
		json_decref(reply);
		return -EADDRNOTAVAIL;
	}
	*ret = json_incref(json_object_get(reply, "parameters"));
	json_decref(reply);
	return 0;
}

static json_t *wish(enum mnd_type type, const char *anchor)
{
	json_t *j = (unsigned)type < sizeof(type_names) / sizeof(type_names[0])
		? json_pack("{s:s}", "type", type_names[type])
		: NULL;

	if (j && anchor)
		(void)json_object_set_new(j, "anchor", json_string(anchor));
	return j;
}

int mnd_get_address(struct mnd *m, enum mnd_type type, const char *anchor, struct in6_addr *ret)
{
	json_t *reply, *parameters = wish(type, anchor);
	const char *text;
	int r;

	if (!parameters)
		return fail(m, -EINVAL, "there is no such type of address");
	r = call(m, "GetAddress", parameters, &reply);
	if (r < 0)
		return r;
	text = json_string_value(json_object_get(reply, "address"));
	if (!text || inet_pton(AF_INET6, text, ret) != 1)
		r = fail(m, -EBADMSG, "mnd gave an answer without an address");
	json_decref(reply);
	return r;
}

int mnd_set_type(struct mnd *m, int fd, enum mnd_type type, const char *anchor)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	int one = 1, r = mnd_get_address(m, type, anchor, &a.sin6_addr);

	if (r < 0)
		return r;
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
		return 0;
	r = -errno;
	(void)snprintf(m->error, sizeof(m->error), "cannot bind the socket to the address: %s", strerror(-r));
	return r;
}

int mnd_pin(struct mnd *m, pid_t pid, enum mnd_type type, const char *anchor)
{
	json_t *reply, *parameters = type == MND_NON_PERSISTENT ? NULL : wish(type, anchor);
	int r;

	if (!parameters)
		return fail(m, -EINVAL, "there is no such type of pin");
	(void)json_object_set_new(parameters, "pid", json_integer(pid ? pid : getpid()));
	r = call(m, "Pin", parameters, &reply);
	if (r == 0)
		json_decref(reply);
	return r;
}

int mnd_watch(struct mnd *m)
{
	json_t *ready = NULL;
	int r;

	m->error[0] = '\0';
	if (m->news >= 0)
		return m->news;
	m->news = r = dial(m->path);
	if (r >= 0)
		r = say(m->news, "Monitor", json_object(), true);
	if (r >= 0)
		r = hear(m->news, &ready);
	json_decref(ready);
	if (r >= 0)
		return m->news;
	if (m->news >= 0)
		(void)close(m->news);
	m->news = -1;
	return fail(m, r, "mnd cannot be watched");
}

int mnd_read_news(struct mnd *m)
{
	char buf[4096];
	ssize_t n;

	m->error[0] = '\0';
	/* what it was is asked anew: only that something was counts */
	while ((n = recv(m->news, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		;
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : fail(m, -ECONNRESET, "mnd has ended");
}

int mnd_is_current(struct mnd *m, int fd, enum mnd_type type)
{
	struct sockaddr_in6 a = {0};
	socklen_t len = sizeof(a);
	struct in6_addr now;
	int r;

	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return fail(m, -errno, "this is not a socket");
	r = mnd_get_address(m, type, NULL, &now);
	return r < 0 ? r : a.sin6_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&a.sin6_addr, &now);
}
