/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.c - control socket
 *
 * Per client: an input buffer that ends a client whose request grows too long, and an output buffer that ends one who
 * does not read. Calls are answered at once; a Monitor call stays open and gets events. Nothing here waits for a
 * client. */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <utlist.h>

#define CLIENTS	   64
#define IN_BYTES   65536
#define OUT_BYTES  (64u << 20) /* a list of 100,000 bindings fits */
#define READ_BYTES 4096

struct control_call {
	struct client *client; /* NULL = it has gone */
};

struct client {
	struct client *prev, *next;
	struct control *control;
	struct loop_io io;
	int fd, passed; /* what it handed over, -1 = nothing */
	struct ucred cred;
	bool monitors, dead;
	bool oneway;		    /* the present call wants no answer */
	struct control_call *waits; /* for the answer to this one */
	char *in, *out;
	size_t in_len, out_len, out_at, out_size;
};

struct control {
	struct loop *loop;
	struct control_config cfg;
	char path[108];
	int fd;
	struct loop_io io;
	struct client *clients;
	unsigned n_clients, n_monitors;
	struct client *calling;
};

static void client_free(struct client *k)
{
	struct control *c = k->control;

	if (k->waits)
		k->waits->client = NULL;
	loop_io_stop(&k->io);
	(void)close(k->fd);
	if (k->passed >= 0)
		(void)close(k->passed);
	DL_DELETE(c->clients, k);
	c->n_clients--;
	c->n_monitors -= k->monitors;
	free(k->in);
	free(k->out);
	free(k);
}

static void client_flush(struct client *k)
{
	while (k->out_at < k->out_len) {
		ssize_t n = send(k->fd, k->out + k->out_at, k->out_len - k->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			k->dead |= errno != EAGAIN && errno != EINTR;
			break;
		}
		k->out_at += (size_t)n;
	}
	if (k->out_at == k->out_len)
		k->out_at = k->out_len = 0;
	loop_io_want(&k->io, true, k->out_len > 0);
}

/* Queue one message; takes the reference. */
static void client_send(struct client *k, json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);
	size_t n;

	json_decref(message);
	if (!text || k->dead || k->oneway) {
		free(text);
		return;
	}
	n = strlen(text) + 1; /* with its NUL: Varlink's end of message */
	/* what has left makes room, but is not worth moving more than has left */
	if (k->out_len + n > k->out_size && k->out_at && k->out_at >= k->out_len / 2) {
		k->out_len -= k->out_at;
		memmove(k->out, k->out + k->out_at, k->out_len);
		k->out_at = 0;
	}
	if (k->out_len + n > k->out_size) {
		size_t size = k->out_len + n + 4096;
		char *out = k->out_len - k->out_at + n > OUT_BYTES ? NULL : realloc(k->out, size);

		if (!out) {
			k->dead = true;
			free(text);
			return;
		}
		k->out = out;
		k->out_size = size;
	}
	memcpy(k->out + k->out_len, text, n);
	k->out_len += n;
	free(text);
	client_flush(k);
}

static void reply_error(struct client *k, const char *error, json_t *parameters)
{
	client_send(k, json_pack("{s:s, s:o}", "error", error, "parameters", parameters ? parameters : json_object()));
}

static void reply(struct client *k, int failed, json_t *ret, const char *err)
{
	char name[128];

	if (failed >= 0) {
		client_send(k, json_pack("{s:o}", "parameters", ret ? ret : json_object()));
		return;
	}
	(void)snprintf(name, sizeof(name), "%s.Failed", k->control->cfg.interface);
	json_decref(ret);
	reply_error(k, name, json_pack("{s:s}", "message", err));
}

static bool may(const struct client *k)
{
	return k->cred.uid == 0 || k->cred.uid == geteuid();
}

static void own_method(struct client *k, const char *method, const json_t *call)
{
	struct control *c = k->control;
	json_t *parameters = json_object_get(call, "parameters"), *none = NULL, *ret = NULL;
	char err[CONTROL_ERR] = "", name[128];
	int failed;

	if (!strcmp(method, "Monitor")) {
		if (!json_is_true(json_object_get(call, "more"))) {
			reply_error(k, "org.varlink.service.ExpectedMore", NULL);
			return;
		}
		if (!k->monitors)
			c->n_monitors++;
		k->monitors = true;
		client_send(
			k, json_pack("{s:b, s:{s:s, s:{}}}", "continues", 1, "parameters", "event", "ready", "data"));
		return;
	}
	for (const struct control_method *m = c->cfg.methods; m->name; m++) {
		if (strcmp(m->name, method))
			continue;
		if (m->privileged && !may(k)) {
			(void)snprintf(name, sizeof(name), "%s.PermissionDenied", c->cfg.interface);
			reply_error(k, name, json_pack("{s:s}", "message", "only root may do this"));
			return;
		}
		if (parameters && !json_is_object(parameters)) {
			reply_error(k, "org.varlink.service.InvalidParameter",
				json_pack("{s:s}", "parameter", "parameters"));
			return;
		}
		if (!parameters)
			parameters = none = json_object(); /* it may be left out */
		c->calling = k;
		failed = m->cb(c->cfg.ctx, parameters, &ret, err);
		c->calling = NULL;
		json_decref(none);
		if (failed != CONTROL_LATER)
			reply(k, failed, ret, err);
		return;
	}
	reply_error(k, "org.varlink.service.MethodNotFound", json_pack("{s:s}", "method", method));
}

static void reply_no_interface(struct client *k, const char *interface, size_t len)
{
	reply_error(k, "org.varlink.service.InterfaceNotFound", json_pack("{s:s%}", "interface", interface, len));
}

static void call(struct client *k, const char *text)
{
	static const char service[] = "org.varlink.service.";
	struct control *c = k->control;
	json_error_t e;
	json_t *j = json_loads(text, JSON_REJECT_DUPLICATES, &e);
	const char *method = json_string_value(json_object_get(j, "method"));
	size_t n = strlen(c->cfg.interface);

	k->oneway = json_is_true(json_object_get(j, "oneway"));
	if (!method) {
		k->dead = true; /* not Varlink: there is nothing to answer to */
	} else if (!strcmp(method, "org.varlink.service.GetInfo")) {
		client_send(k,
			json_pack("{s:{s:s, s:s, s:s, s:s, s:[s, s]}}", "parameters", "vendor", "DMM for Linux",
				"product", c->cfg.product, "version", c->cfg.version, "url", "", "interfaces",
				"org.varlink.service", c->cfg.interface));
	} else if (!strcmp(method, "org.varlink.service.GetInterfaceDescription")) {
		const char *name = json_string_value(json_object_get(json_object_get(j, "parameters"), "interface"));

		if (name && !strcmp(name, c->cfg.interface))
			client_send(k, json_pack("{s:{s:s}}", "parameters", "description", c->cfg.description));
		else
			reply_no_interface(k, name ? name : "", name ? strlen(name) : 0);
	} else if (!strncmp(method, c->cfg.interface, n) && method[n] == '.') {
		own_method(k, method + n + 1, j);
	} else if (!strncmp(method, service, sizeof(service) - 1)) {
		reply_error(k, "org.varlink.service.MethodNotFound",
			json_pack("{s:s}", "method", method + sizeof(service) - 1));
	} else {
		const char *dot = strrchr(method, '.');

		reply_no_interface(k, method, dot ? (size_t)(dot - method) : 0);
	}
	if (!k->waits)
		k->oneway = false;
	json_decref(j);
}

static void read_calls(struct client *k)
{
	char *end;

	while (!k->dead && !k->waits && (end = memchr(k->in, '\0', k->in_len))) {
		size_t used = (size_t)(end - k->in) + 1;

		call(k, k->in);
		memmove(k->in, k->in + used, k->in_len - used);
		k->in_len -= used;
	}
}

/* With room for one descriptor; the kernel closes what is more. */
static ssize_t receive(struct client *k)
{
	struct iovec iov = {.iov_base = k->in + k->in_len, .iov_len = READ_BYTES};
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} extra;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &extra, .msg_controllen = sizeof(extra)};
	ssize_t n = recvmsg(k->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int))) {
		if (k->passed >= 0)
			(void)close(k->passed);
		memcpy(&k->passed, CMSG_DATA(c), sizeof(int));
	}
	return n;
}

static void client_io(void *ctx)
{
	struct client *k = ctx;
	ssize_t n;

	client_flush(k);
	if (!k->dead) {
		char *in = realloc(k->in, k->in_len + READ_BYTES);

		if (!in) {
			client_free(k);
			return;
		}
		k->in = in;
		n = receive(k);
		if (n > 0)
			k->in_len += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR))
			k->dead = true;
	}
	read_calls(k);
	if (k->dead || k->in_len > IN_BYTES)
		client_free(k);
}

static void accept_client(void *ctx)
{
	struct control *c = ctx;
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct client *k;

	if (fd < 0)
		return;
	k = c->n_clients < CLIENTS ? calloc(1, sizeof(*k)) : NULL;
	if (!k || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		free(k);
		(void)close(fd);
		return;
	}
	k->control = c;
	k->fd = fd;
	k->passed = -1;
	k->cred = cred;
	DL_APPEND(c->clients, k);
	c->n_clients++;
	loop_io_start(&k->io, c->loop, fd, client_io, k, "control client");
}

static void make_directory(const char *path)
{
	char dir[108];
	char *slash;

	(void)snprintf(dir, sizeof(dir), "%s", path);
	slash = strrchr(dir, '/');
	if (slash && slash != dir) {
		*slash = '\0';
		(void)mkdir(dir, 0755);
	}
}

int control_listen(const char *path, const char *product, int *ret_fd, char *reterr)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct stat st;
	int r, probe, fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		(void)snprintf(reterr, CONTROL_ERR, "the path of a socket is longer than %zu bytes: %.100s...",
			sizeof(un.sun_path) - 1, path);
		return -ENAMETOOLONG;
	}
	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	make_directory(path);
	/* somebody answers there: another daemon runs; nobody does: it is left over from one that was killed */
	probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (probe >= 0 && connect(probe, (struct sockaddr *)&un, sizeof(un)) == 0) {
		(void)snprintf(reterr, CONTROL_ERR, "another %s answers at %s", product, path);
		(void)close(probe);
		return -EADDRINUSE;
	}
	if (probe >= 0)
		(void)close(probe);
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) /* not what else a slip of the pen may name */
		(void)unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || chmod(path, 0666) < 0 || listen(fd, 16) < 0) {
		r = -errno;
		(void)snprintf(reterr, CONTROL_ERR, "cannot open the socket %.100s: %s", path, strerror(-r));
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

int control_new(struct loop *loop, const struct control_config *cfg, struct control **ret, char *reterr)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->cfg = *cfg;
	r = control_listen(cfg->path, cfg->product, &c->fd, reterr);
	if (r < 0) {
		free(c);
		return r;
	}
	(void)snprintf(c->path, sizeof(c->path), "%s", cfg->path);
	loop_io_start(&c->io, loop, c->fd, accept_client, c, "control");
	*ret = c;
	return 0;
}

void control_free(struct control *c)
{
	struct client *k, *tmp;

	if (!c)
		return;
	DL_FOREACH_SAFE(c->clients, k, tmp) {
		client_free(k);
	}
	loop_io_stop(&c->io);
	(void)close(c->fd);
	(void)unlink(c->path);
	free(c);
}

const struct ucred *control_caller(const struct control *c)
{
	return &c->calling->cred;
}

int control_passed_fd(const struct control *c)
{
	return c->calling->passed;
}

struct control_call *control_defer(struct control *c)
{
	struct control_call *call = calloc(1, sizeof(*call));

	if (call) {
		call->client = c->calling;
		c->calling->waits = call;
	}
	return call;
}

void control_answer(struct control_call *later, int failed, json_t *ret, const char *err)
{
	struct client *k = later->client;

	free(later);
	if (!k) {
		json_decref(ret);
		return;
	}
	k->waits = NULL;
	reply(k, failed, ret, err);
	k->oneway = false;
	read_calls(k);
	if (k->dead) /* as below */
		(void)shutdown(k->fd, SHUT_RDWR);
}

bool control_is_monitored(const struct control *c)
{
	return c && c->n_monitors > 0;
}

void control_emit(struct control *c, const char *event, json_t *parameters)
{
	struct client *k, *tmp;

	if (!control_is_monitored(c)) {
		json_decref(parameters);
		return;
	}
	DL_FOREACH_SAFE(c->clients, k, tmp) {
		if (!k->monitors)
			continue;
		client_send(k,
			json_pack("{s:b, s:{s:s, s:O}}", "continues", 1, "parameters", "event", event, "data",
				parameters));
		/* a dead one is freed by its own watcher, which the closed socket wakes */
		if (k->dead)
			(void)shutdown(k->fd, SHUT_RDWR);
	}
	json_decref(parameters);
}
