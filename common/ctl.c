/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ctl.c - what mnctl and amactl share */
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

/* A connection, or -errno. */
static int connect_to(const struct ctl *c)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	(void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", c->socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	r = -errno;
	if (fd >= 0)
		(void)close(fd);
	return r;
}

static int reach(const struct ctl *c)
{
	int fd = connect_to(c);

	if (fd < 0 && !c->quiet)
		(void)fprintf(stderr,
			"%s: cannot reach %s at %s: %s\n%s: is it running? 'systemctl start %s' starts it, '%s doctor' looks for what is wrong\n",
			c->program, c->daemon, c->socket, strerror(-fd), c->program, c->daemon,
			c->doctor ? c->doctor : c->program);
	return fd;
}

/* Takes the reference to parameters, which may be NULL. */
static bool send_call(int fd, const struct ctl *c, const char *method, json_t *parameters, bool more, int pass)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} extra = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
	struct iovec iov;
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	char name[128];
	json_t *j;
	char *text;
	bool ok;

	(void)snprintf(name, sizeof(name), "%s.%s", c->interface, method);
	j = json_pack(
		"{s:s, s:o, s:b}", "method", name, "parameters", parameters ? parameters : json_object(), "more", more);
	text = json_dumps(j, JSON_COMPACT);
	if (pass >= 0) {
		m.msg_control = &extra;
		m.msg_controllen = sizeof(extra);
		memcpy(CMSG_DATA(&extra.head), &pass, sizeof(pass));
	}
	iov = (struct iovec){.iov_base = text, .iov_len = text ? strlen(text) + 1 : 0};
	ok = text && sendmsg(fd, &m, MSG_NOSIGNAL) == (ssize_t)iov.iov_len;
	free(text);
	json_decref(j);
	return ok;
}

/* The next message, up to its NUL; NULL when the daemon is gone or says nothing for timeout_ms. Bytes behind it stay
 * for the next call. */
static json_t *receive(int fd, char **buf, size_t *len, size_t *size, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

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
		if (timeout_ms >= 0 && poll(&p, 1, timeout_ms) != 1)
			return NULL;
		n = recv(fd, *buf + *len, *size - *len, 0);
		if (n <= 0)
			return NULL;
		*len += (size_t)n;
	}
}

static void error_text(const struct ctl *c, const json_t *reply, char *ret)
{
	const char *error = json_string_value(json_object_get(reply, "error"));
	const char *message = json_string_value(json_object_get(json_object_get(reply, "parameters"), "message"));

	if (!reply)
		(void)snprintf(ret, CTL_ERR, "%s closed the connection", c->daemon);
	else
		(void)snprintf(ret, CTL_ERR, "%s", message ? message : error);
}

static int say_error(const struct ctl *c, const json_t *reply)
{
	char text[CTL_ERR];

	error_text(c, reply, text);
	if (!c->quiet)
		(void)fprintf(stderr, "%s: %s\n", c->program, text);
	return CTL_FAILED;
}

json_t *ctl_call(const struct ctl *c, const char *method, int *ret_status)
{
	return ctl_call_with(c, method, NULL, ret_status);
}

/* Call a method over a connection, which is closed. NULL with why in reterr. */
static json_t *call_over(
	int fd, const struct ctl *c, const char *method, json_t *call_parameters, int pass, char *reterr)
{
	size_t len = 0, size = 0;
	json_t *reply, *parameters = NULL;
	char *buf = NULL;

	reply = send_call(fd, c, method, call_parameters, false, pass) ? receive(fd, &buf, &len, &size, -1) : NULL;
	if (!reply || json_object_get(reply, "error"))
		error_text(c, reply, reterr);
	else
		parameters = json_incref(json_object_get(reply, "parameters"));
	json_decref(reply);
	free(buf);
	(void)close(fd);
	return parameters;
}

json_t *ctl_try(
	const struct ctl *c, const char *method, json_t *call_parameters, int *ret_status, char *reterr, int *ret_pid)
{
	int fd = connect_to(c);
	struct ucred peer = {0};
	socklen_t len = sizeof(peer);
	json_t *parameters;

	*ret_pid = 0;
	*ret_status = CTL_UNREACHABLE;
	if (fd < 0) {
		(void)snprintf(reterr, CTL_ERR, "%s: %s", c->socket, strerror(-fd));
		json_decref(call_parameters);
		return NULL;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
		*ret_pid = (int)peer.pid;
	parameters = call_over(fd, c, method, call_parameters, -1, reterr);
	*ret_status = parameters ? CTL_OK : CTL_FAILED;
	return parameters;
}

json_t *ctl_call_with(const struct ctl *c, const char *method, json_t *call_parameters, int *ret_status)
{
	return ctl_call_passing(c, method, call_parameters, -1, ret_status);
}

json_t *ctl_call_passing(const struct ctl *c, const char *method, json_t *call_parameters, int pass, int *ret_status)
{
	int fd = reach(c);
	char text[CTL_ERR];
	json_t *parameters;

	*ret_status = CTL_UNREACHABLE;
	if (fd < 0) {
		json_decref(call_parameters);
		return NULL;
	}
	parameters = call_over(fd, c, method, call_parameters, pass, text);
	*ret_status = parameters ? CTL_OK : CTL_FAILED;
	if (!parameters && !c->quiet)
		(void)fprintf(stderr, "%s: %s\n", c->program, text);
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

/* Of the first key that is set; NULL = none is. *ret_key: that key, in a static buffer. */
static const json_t *value_of_key(const json_t *object, const char *keys, const char **ret_key)
{
	static char key[64];

	while (*keys) {
		size_t n = strcspn(keys, "|");
		const json_t *v;

		(void)snprintf(key, sizeof(key), "%.*s", (int)n, keys);
		*ret_key = key;
		v = json_object_get(object, key);
		if (v && !json_is_null(v))
			return v;
		keys += n + (keys[n] == '|');
	}
	return NULL;
}

static const json_t *value_of(const json_t *object, const char *keys)
{
	const char *key;

	return value_of_key(object, keys, &key);
}

static const char *cell(const json_t *object, const char *keys)
{
	const char *key = "";
	const json_t *v = value_of_key(object, keys, &key);

	return v ? ctl_text(key, v) : "-";
}

static FILE *out; /* NULL = standard output */
static enum { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER } colour;

FILE *ctl_out(void)
{
	return out ? out : stdout;
}

bool ctl_set_colour(const char *when)
{
	static const char *const words[] = {
		[COLOUR_AUTO] = "auto", [COLOUR_ALWAYS] = "always", [COLOUR_NEVER] = "never"};

	for (int i = COLOUR_AUTO; i <= COLOUR_NEVER; i++) {
		if (when && strcmp(when, words[i]) != 0)
			continue;
		colour = when ? i : COLOUR_ALWAYS;
		return true;
	}
	return false;
}

bool ctl_in_colour(void)
{
	if (colour == COLOUR_AUTO) {		     /* asked for each cell of a table: once is enough */
		const char *no = getenv("NO_COLOR"); /* no-color.org: set and not empty */

		colour = isatty(STDOUT_FILENO) && !(no && *no) ? COLOUR_ALWAYS : COLOUR_NEVER;
	}
	return colour == COLOUR_ALWAYS;
}

/* Words that people look for: green = as it should be, yellow = on its way, red = look here. */
static const char *colour_of(const char *key, const char *text)
{
	static const struct {
		const char *word, *colour;
	} words[] = {{"native", "32"}, {"bound", "32"}, {"connected", "32"}, {"allocating", "33"}, {"binding", "33"},
		{"returning", "33"}, {"releasing", "33"}, {"lost", "31"}};

	if (strcmp(key, "state") != 0)
		return NULL;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(text, words[i].word))
			return words[i].colour;
	return NULL;
}

/* Left with its width, right with minus its width; the last of a line without blanks behind it. */
static void put_cell(const char *text, int width, bool last, const char *code)
{
	if (code)
		(void)fprintf(ctl_out(), "\033[%sm", code);
	if (width < 0)
		(void)fprintf(ctl_out(), "%*s", -width, text);
	else
		(void)fprintf(ctl_out(), "%-*s", last ? 0 : width, text);
	if (code)
		(void)fprintf(ctl_out(), "\033[0m");
	(void)fputs(last ? "\n" : "  ", ctl_out());
}

void ctl_table(const json_t *list, const struct ctl_column *columns, const char *empty)
{
	int width[16] = {0};
	bool left[16] = {false};
	size_t i;
	const json_t *row;

	if (json_array_size(list) == 0) {
		(void)fprintf(ctl_out(), "%s\n", empty);
		return;
	}
	for (unsigned c = 0; columns[c].key; c++) {
		bool number = false;

		width[c] = (int)strlen(columns[c].heading);
		json_array_foreach(list, i, row)
		{
			const json_t *v = value_of(row, columns[c].key);
			int n = (int)strlen(cell(row, columns[c].key));

			if (n > width[c])
				width[c] = n;
			left[c] |= v && !json_is_number(v);
			number |= json_is_number(v);
		}
		if (number && !left[c])
			width[c] = -width[c];
	}
	for (unsigned c = 0; columns[c].key; c++)
		put_cell(columns[c].heading, width[c], !columns[c + 1].key, ctl_in_colour() ? "1" : NULL);
	json_array_foreach(list, i, row)
	{
		for (unsigned c = 0; columns[c].key; c++) {
			const char *text = cell(row, columns[c].key);

			put_cell(text, width[c], !columns[c + 1].key,
				ctl_in_colour() ? colour_of(columns[c].key, text) : NULL);
		}
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
	json_object_foreach((json_t *)data, key, v) if (!json_is_null(v))(void)
		printf("  %s=%s", key, ctl_text(key, v));
	(void)printf("\n");
	(void)fflush(stdout);
}

int ctl_events_open(const struct ctl *c, struct ctl_events *ret)
{
	int fd = connect_to(c);

	memset(ret, 0, sizeof(*ret));
	ret->fd = fd;
	if (fd < 0)
		return fd;
	if (send_call(fd, c, "Monitor", NULL, true, -1))
		return 0;
	(void)close(fd);
	return -EPIPE;
}

json_t *ctl_events_next(struct ctl_events *e, int timeout_ms)
{
	json_t *message = receive(e->fd, &e->buf, &e->len, &e->size, timeout_ms),
	       *event = json_incref(json_object_get(message, "parameters"));

	json_decref(message);
	return event;
}

void ctl_events_close(struct ctl_events *e)
{
	(void)close(e->fd);
	free(e->buf);
}

int ctl_monitor(const struct ctl *c)
{
	int fd = reach(c), status = CTL_OK;
	size_t len = 0, size = 0;
	char *buf = NULL;
	json_t *reply;

	if (fd < 0)
		return CTL_UNREACHABLE;
	if (!send_call(fd, c, "Monitor", NULL, true, -1)) {
		(void)close(fd);
		return say_error(c, NULL);
	}
	while ((reply = receive(fd, &buf, &len, &size, -1))) {
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

/* --- a live view ----------------------------------------------------------------------------------------------- */

#define REDRAW_MS 100 /* no more often than that, however many events there are */

/* At most rows lines of at most columns characters; what is longer is cut. */
static void show_screen(const char *text, unsigned rows, unsigned columns)
{
	unsigned row = 1, column = 0;

	(void)printf("\033[H");
	for (const char *p = text; *p; p++) {
		if (*p == '\n') {
			(void)printf("\033[K");
			if (row++ == rows)
				break;
			(void)printf("\r\n");
			column = 0;
		} else if (*p == '\033') {
			/* one of ours: it takes no room, and is never left out, so that colours end */
			do
				(void)putchar(*p);
			while (*p != 'm' && p[1] && p++);
		} else if (column < columns) {
			(void)putchar(*p);
			column += (*p & 0xc0) != 0x80; /* the first byte of a character */
		}
	}
	(void)printf("\033[J");
	(void)fflush(stdout);
}

static void draw_screen(const struct ctl *c, int (*draw)(void *ctx, unsigned rows), void *ctx)
{
	struct winsize ws = {0};
	char *text = NULL;
	size_t len = 0;
	int status;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0 || ws.ws_row == 0 || ws.ws_col == 0)
		ws = (struct winsize){.ws_row = 24, .ws_col = 80};
	out = open_memstream(&text, &len);
	if (!out)
		return;
	status = draw(ctx, ws.ws_row);
	if (status == CTL_UNREACHABLE)
		(void)fprintf(out, "%s cannot be reached at %s; trying again\n", c->daemon, c->socket);
	(void)fclose(out);
	out = NULL;
	show_screen(text, ws.ws_row, ws.ws_col);
	free(text);
}

/* All that waits to be read. False: the other end is gone. */
static bool swallow(int fd, bool *ret_quit)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	for (ssize_t i = 0; ret_quit && i < n; i++)
		*ret_quit |= buf[i] == 'q' || buf[i] == 3;
	return n > 0 || (n < 0 && errno == EINTR);
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int ctl_live(struct ctl *c, int (*draw)(void *ctx, unsigned rows), void *ctx)
{
	struct pollfd fds[3] = {
		{.fd = STDIN_FILENO, .events = POLLIN}, {.events = POLLIN}, {.fd = -1, .events = POLLIN}};
	struct termios before, raw;
	struct signalfd_siginfo si;
	int64_t due_ms = 0, drawn_ms = 0;
	bool quit = false;
	sigset_t set;

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &before) < 0)
		return draw(ctx, 0);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fds[1].fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fds[1].fd < 0)
		return CTL_FAILED;
	raw = before;
	raw.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	(void)printf("\033[?1049h\033[?25l"); /* a screen of its own, without the cursor */
	c->quiet = true;
	while (!quit) {
		int64_t now = now_ms();

		if (now >= due_ms) {
			if (fds[2].fd < 0) {
				fds[2].fd = reach(c);
				if (fds[2].fd >= 0)
					(void)send_call(fds[2].fd, c, "Monitor", NULL, true, -1);
			}
			draw_screen(c, draw, ctx);
			drawn_ms = now_ms();
			due_ms = drawn_ms + 1000;
			continue;
		}
		if (poll(fds, 3, (int)(due_ms - now)) < 0 && errno != EINTR)
			break;
		if (fds[0].revents && !swallow(STDIN_FILENO, &quit))
			break;
		if (fds[1].revents && read(fds[1].fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
			quit |= si.ssi_signo != SIGWINCH;
			due_ms = 0;
		}
		if (fds[2].fd >= 0 && fds[2].revents) {
			if (!swallow(fds[2].fd, NULL)) {
				(void)close(fds[2].fd);
				fds[2].fd = -1; /* the next second tries again */
			}
			if (due_ms > drawn_ms + REDRAW_MS)
				due_ms = drawn_ms + REDRAW_MS;
		}
	}
	(void)printf("\033[?25h\033[?1049l");
	(void)fflush(stdout);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &before);
	if (fds[2].fd >= 0)
		(void)close(fds[2].fd);
	(void)close(fds[1].fd);
	return CTL_OK;
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

int ctl_run(const struct ctl *c, const struct ctl_command *commands, int argc, char **argv)
{
	for (const struct ctl_command *k = commands; k->name; k++) {
		if (!k->run || strcmp(k->name, argv[0]) != 0)
			continue;
		if (*k->args || argc == 1)
			return k->run(argc - 1, argv + 1);
		(void)fprintf(stderr, "%s: nothing follows '%s', but here does '%s'\n", c->program, k->name, argv[1]);
		return CTL_USAGE;
	}
	(void)fprintf(stderr, "%s: unknown command '%s' (--help lists them)\n", c->program, argv[0]);
	return CTL_USAGE;
}

int ctl_reload(const struct ctl *c)
{
	int status;
	json_t *reply = ctl_call(c, "Reload", &status);
	const json_t *list = json_object_get(reply, "restart"), *key;
	size_t i;

	if (reply && c->json) {
		ctl_print_json(reply);
		return status;
	}
	json_array_foreach(list, i, key)
	{
		(void)fprintf(stderr, "%s%s", i ? ", " : "", json_string_value(key));
	}
	if (json_array_size(list) > 0)
		(void)fprintf(stderr, ": changed, but read only at the start; 'systemctl restart %s' takes %s over\n",
			c->daemon, json_array_size(list) == 1 ? "it" : "them");
	json_decref(reply);
	return status;
}

void ctl_say(const struct ctl *c, const char *key, const char *value)
{
	if (c->json)
		ctl_print_json(json_pack("{s:s}", key, value));
	else
		(void)printf("%s\n", value);
}
