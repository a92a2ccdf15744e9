/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ctl.c - what mnctl and amactl share */
#include "ctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int reach(const struct ctl *c)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", c->socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	(void)fprintf(stderr, "%s: cannot reach %s at %s: %s\n%s: is it running? 'systemctl start %s' starts it\n", c->program,
		c->daemon, c->socket, strerror(errno), c->program, c->daemon);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* Takes the reference to parameters, which may be NULL. */
static bool send_call(int fd, const struct ctl *c, const char *method, json_t *parameters, bool more)
{
	char name[128];
	json_t *j;
	char *text;
	bool ok;

	(void)snprintf(name, sizeof(name), "%s.%s", c->interface, method);
	j = json_pack("{s:s, s:o, s:b}", "method", name, "parameters", parameters ? parameters : json_object(), "more", more);
	text = json_dumps(j, JSON_COMPACT);
	ok = text && send(fd, text, strlen(text) + 1, MSG_NOSIGNAL) == (ssize_t)strlen(text) + 1;
	free(text);
	json_decref(j);
	return ok;
}

/* The next message, up to its NUL; NULL when the daemon is gone. Bytes behind it stay for the next call. */
static json_t *receive(int fd, char **buf, size_t *len, size_t *size)
{
	for (;;) {
		char *end = *len ? memchr(*buf, '\0', *len) : NULL;
		ssize_t n;

		if (end) {
			size_t used = (size_t)(end - *buf) + 1;
			json_error_t e;
			json_t *j = json_loads(*buf, 0, &e);

			memmove(*buf, *buf + used, *len - used);
			*len -= used;
			return j;
		}
		if (*size - *len < 65536) {
			char *more = realloc(*buf, *size + 131072);

			if (!more)
				return NULL;
			*buf = more;
			*size += 131072;
		}
		n = recv(fd, *buf + *len, *size - *len, 0);
		if (n <= 0)
			return NULL;
		*len += (size_t)n;
	}
}

static int say_error(const struct ctl *c, const json_t *reply)
{
	const char *error = json_string_value(json_object_get(reply, "error"));
	const char *message = json_string_value(json_object_get(json_object_get(reply, "parameters"), "message"));

	if (!reply)
		(void)fprintf(stderr, "%s: %s closed the connection\n", c->program, c->daemon);
	else
		(void)fprintf(stderr, "%s: %s\n", c->program, message ? message : error);
	return CTL_FAILED;
}

json_t *ctl_call(const struct ctl *c, const char *method, int *ret_status)
{
	return ctl_call_with(c, method, NULL, ret_status);
}

json_t *ctl_call_with(const struct ctl *c, const char *method, json_t *call_parameters, int *ret_status)
{
	int fd = reach(c);
	size_t len = 0, size = 0;
	json_t *reply, *parameters = NULL;
	char *buf = NULL;

	*ret_status = CTL_UNREACHABLE;
	if (fd < 0) {
		json_decref(call_parameters);
		return NULL;
	}
	reply = send_call(fd, c, method, call_parameters, false) ? receive(fd, &buf, &len, &size) : NULL;
	if (!reply || json_object_get(reply, "error")) {
		*ret_status = say_error(c, reply);
	} else {
		parameters = json_incref(json_object_get(reply, "parameters"));
		*ret_status = CTL_OK;
	}
	json_decref(reply);
	free(buf);
	(void)close(fd);
	return parameters;
}

const char *ctl_text(const char *key, const json_t *value)
{
	static char bufs[8][96];
	static unsigned turn;
	char *buf = bufs[turn++ % 8];
	size_t n = strlen(key);

	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value))
		return json_is_true(value) ? "yes" : "no";
	if (!json_is_number(value))
		return "-";
	if (n > 2 && !strcmp(key + n - 2, "_s")) {
		unsigned long s = (unsigned long)json_number_value(value);

		if (s >= 86400)
			(void)snprintf(buf, 96, "%lud%luh", s / 86400, s % 86400 / 3600);
		else if (s >= 3600)
			(void)snprintf(buf, 96, "%luh%lum", s / 3600, s % 3600 / 60);
		else if (s >= 60)
			(void)snprintf(buf, 96, "%lum%lus", s / 60, s % 60);
		else
			(void)snprintf(buf, 96, "%lus", s);
	} else if (json_is_integer(value)) {
		(void)snprintf(buf, 96, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	} else {
		(void)snprintf(buf, 96, "%.1f", json_number_value(value));
	}
	return buf;
}

static const char *cell(const json_t *object, const char *keys)
{
	char key[64];

	while (*keys) {
		size_t n = strcspn(keys, "|");
		const json_t *v;

		(void)snprintf(key, sizeof(key), "%.*s", (int)n, keys);
		v = json_object_get(object, key);
		if (v && !json_is_null(v))
			return ctl_text(key, v);
		keys += n + (keys[n] == '|');
	}
	return "-";
}

void ctl_table(const json_t *list, const struct ctl_column *columns, const char *empty)
{
	size_t width[16] = {0}, i;
	const json_t *row;
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	if (json_array_size(list) == 0) {
		(void)printf("%s\n", empty);
		return;
	}
	for (unsigned c = 0; columns[c].key; c++) {
		width[c] = strlen(columns[c].heading);
		json_array_foreach(list, i, row)
		{
			size_t n = strlen(cell(row, columns[c].key));

			if (n > width[c])
				width[c] = n;
		}
	}
	if (colour)
		(void)printf("\033[1m");
	for (unsigned c = 0; columns[c].key; c++)
		(void)printf("%-*s%s", columns[c + 1].key ? (int)width[c] : 0, columns[c].heading, columns[c + 1].key ? "  " : "\n");
	if (colour)
		(void)printf("\033[0m");
	json_array_foreach(list, i, row)
	{
		for (unsigned c = 0; columns[c].key; c++)
			(void)printf("%-*s%s", columns[c + 1].key ? (int)width[c] : 0, cell(row, columns[c].key),
				columns[c + 1].key ? "  " : "\n");
	}
}

void ctl_print_json(json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));

	(void)printf("%s\n", text ? text : "{}");
	(void)fflush(stdout);
	free(text);
	json_decref(value);
}

static void print_event(const json_t *parameters)
{
	const json_t *data = json_object_get(parameters, "data"), *v;
	time_t now = time(NULL);
	char at[32];
	const char *key;

	(void)strftime(at, sizeof(at), "%H:%M:%S", localtime(&now));
	(void)printf("%s  %s", at, json_string_value(json_object_get(parameters, "event")));
	json_object_foreach((json_t *)data, key, v) if (!json_is_null(v))
		(void)printf("  %s=%s", key, ctl_text(key, v));
	(void)printf("\n");
	(void)fflush(stdout);
}

int ctl_monitor(const struct ctl *c)
{
	int fd = reach(c), status = CTL_OK;
	size_t len = 0, size = 0;
	char *buf = NULL;
	json_t *reply;

	if (fd < 0)
		return CTL_UNREACHABLE;
	if (!send_call(fd, c, "Monitor", NULL, true)) {
		(void)close(fd);
		return say_error(c, NULL);
	}
	while ((reply = receive(fd, &buf, &len, &size))) {
		json_t *parameters = json_object_get(reply, "parameters");

		if (json_object_get(reply, "error")) {
			status = say_error(c, reply);
			json_decref(reply);
			break;
		}
		if (c->json)
			ctl_print_json(json_incref(parameters));
		else
			print_event(parameters);
		json_decref(reply);
		if (ferror(stdout))
			break;
	}
	free(buf);
	(void)close(fd);
	return status;
}

bool ctl_confirm(const struct ctl *c, const char *question, bool yes)
{
	char line[16] = "";

	if (yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		(void)fprintf(stderr, "%s\n%s: nobody to ask: --yes does it\n", question, c->program);
		return false;
	}
	(void)fprintf(stderr, "%s [y/N] ", question);
	if (fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y'))
		return true;
	(void)fprintf(stderr, "%s: nothing was done\n", c->program);
	return false;
}
