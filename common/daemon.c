/* SPDX-License-Identifier: GPL-2.0-or-later */
/* daemon.c - what mnd and amad have in common as programs */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "daemon.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "keylog.h"
#include "log.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static void print_fault(void *ctx, const char *text)
{
	(void)ctx;
	(void)fprintf(stderr, "%s\n", text);
}

int daemon_main(const struct daemon_program *program, int argc, char **argv)
{
	enum { CHECK = 256, HELP_CONFIG, SHOW_VERSION };
	static const struct option options[] = {{"config", required_argument, NULL, 'c'},
		{"debug", required_argument, NULL, 'd'}, {"check", no_argument, NULL, CHECK},
		{"help", no_argument, NULL, 'h'}, {"help-config", no_argument, NULL, HELP_CONFIG},
		{"foreground", no_argument, NULL, 'f'}, {"version", no_argument, NULL, SHOW_VERSION}, {0}};
	const char *path = program->config, *tokens = NULL;
	bool required = program->config_required, check = false;
	char err[DAEMON_ERR];
	int o;

	while ((o = getopt_long(argc, argv, "c:d:hf", options, NULL)) != -1) {
		switch (o) {
		case 'c':
			path = optarg;
			required = true;
			break;
		case 'd':
			tokens = optarg;
			break;
		case 'f':
			break; /* it never goes into the background */
		case CHECK:
			check = true;
			break;
		case 'h':
			(void)fputs(program->usage, stdout);
			return 0;
		case HELP_CONFIG:
			conf_print_help(stdout, program->settings);
			return 0;
		case SHOW_VERSION:
			(void)printf("%s (DMM for Linux) %s\n", program->name, PACKAGE_VERSION);
			return 0;
		default:
			(void)fputs(program->usage, stderr);
			return 2;
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, "%s: unexpected argument '%s'\n%s", program->name, argv[optind], program->usage);
		return 2;
	}
	log_start(program->name, tokens);
	if (program->read(path, required, print_fault, NULL) > 0)
		return 2;
	if (check)
		return 0;
	if (program->run(path, required, err) < 0) {
		log_error("main", "%s", err);
		return 1;
	}
	return 0;
}

static int open_key_log(struct daemon *d, const char *path, char *reterr)
{
	int fd = keylog_open(path, reterr);

	if (fd < 0)
		return fd;
	d->key_log = fd;
	log_warning("main",
		"THE KEYS OF THE SECURE CHANNEL ARE WRITTEN TO %s: whoever reads it can read, and forge, all signalling. Take 'key-log' out of the "
		"configuration, restart, and delete the file when the debugging is over",
		path);
	return 0;
}

int daemon_open(struct daemon *d, const struct daemon_config *config, char *reterr)
{
	int r = loop_new(&d->loop);

	if (r < 0)
		(void)snprintf(reterr, DAEMON_ERR, "cannot make the event loop: %s", strerror(-r));
	if (r == 0)
		r = control_new(d->loop, &config->control, &d->control, reterr);
	if (r == 0 && config->key_log[0])
		r = open_key_log(d, config->key_log, reterr);
	if (r == 0 && config->metrics[0])
		r = metrics_server_new(d->loop, config->metrics, config->control.product, config->collect,
			config->control.ctx, &d->metrics, reterr);
	return r;
}

/* --- signals, systemd ------------------------------------------------------------------------------------------ */

static void tell_systemd(const char *what)
{
#ifdef HAVE_SYSTEMD
	(void)sd_notify(0, what);
#else
	(void)what;
#endif
}

static void on_stop(void *ctx, int signum)
{
	struct daemon *d = ctx;

	log_info("main", "stopping: %s", strsignal(signum));
	tell_systemd("STOPPING=1");
	loop_stop(d->loop);
}

static void on_hangup(void *ctx, int signum)
{
	struct daemon *d = ctx;
	char text[64], err[DAEMON_ERR];

	(void)signum;
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu", (unsigned long long)loop_clock_us());
	tell_systemd(text);
	(void)d->reload(d->ctx, err, sizeof(err));
	daemon_ready();
}

static void on_watchdog(void *ctx)
{
	struct daemon *d = ctx;

#ifdef HAVE_SYSTEMD
	uint64_t us;

	if (sd_watchdog_enabled(0, &us) > 0) {
		tell_systemd("WATCHDOG=1");
		loop_timer_at(&d->watchdog, loop_now_us(d->loop) + us / 2);
	}
#else
	(void)d;
#endif
}

void daemon_watch(struct daemon *d, int (*reload)(void *ctx, char *reterr, size_t size), void *ctx)
{
	d->reload = reload;
	d->ctx = ctx;
	loop_timer_init(&d->watchdog, d->loop, on_watchdog, d, "watchdog");
	loop_signal_start(&d->term, d->loop, SIGTERM, on_stop, d);
	loop_signal_start(&d->interrupt, d->loop, SIGINT, on_stop, d);
	loop_signal_start(&d->hangup, d->loop, SIGHUP, on_hangup, d);
}

void daemon_ready(void)
{
	tell_systemd("READY=1");
}

void daemon_run(struct daemon *d)
{
	on_watchdog(d);
	loop_run(d->loop);
}

void daemon_unwatch(struct daemon *d)
{
	loop_signal_stop(&d->hangup);
	loop_signal_stop(&d->interrupt);
	loop_signal_stop(&d->term);
	loop_timer_stop(&d->watchdog);
}

void daemon_close(struct daemon *d)
{
	daemon_unwatch(d);
	metrics_server_free(d->metrics);
	if (d->key_log > 0)
		(void)close(d->key_log);
	control_free(d->control);
	loop_free(d->loop);
}

void daemon_collect_fault(void *ctx, const char *text)
{
	struct daemon_faults *f = ctx;
	size_t n = strlen(f->text);

	log_error("conf", "%s", text);
	(void)snprintf(f->text + n, f->size - n, "%s%s", n ? "; " : "", text);
}

void daemon_keep_settings(const char *name, const struct conf_section *sections, const struct conf_setting *settings,
	const void *running, void *fresh, char *names, size_t size)
{
	unsigned n = conf_keep(sections, settings, running, fresh, names, size);

	if (n > 0)
		log_warning("conf", "%s: changed, but read only at the start; 'systemctl restart %s' takes %s over",
			names, name, n == 1 ? "it" : "them");
}

int daemon_reload_reply(const char *names, json_t **ret)
{
	json_t *list = json_array();
	size_t n;

	for (; *names; names += n + strspn(names + n, ", ")) {
		n = strcspn(names, ", ");
		(void)json_array_append_new(list, json_stringn(names, n));
	}
	*ret = json_pack("{s:o}", "restart", list);
	return *ret ? 0 : -ENOMEM;
}
