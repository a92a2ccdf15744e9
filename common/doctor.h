/* SPDX-License-Identifier: GPL-2.0-or-later */
/* doctor.h - what is wrong on this machine, and the command that mends it ("mnctl doctor", "amactl doctor")
 *
 * facts.[ch] reads, as one JSON object (see facts.h); the checks here and in mnd/checks.c and amad/checks.c judge it
 * and touch nothing. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum doctor_level { DOCTOR_OK, DOCTOR_SKIPPED, DOCTOR_WARN, DOCTOR_FAIL };
const char *doctor_level_name(enum doctor_level level);

struct doctor;

/* One check of the table of a daemon; name NULL ends it. A check that says nothing is ok, and its help is what is shown
 * then. */
struct doctor_check {
	const char *name, *help;
	void (*judge)(struct doctor *d, const json_t *facts);
};

/* Run all checks. Returns {"checks": [{"check", "level", "text", "remedy"}...], "ok", "skipped", "warn", "fail"} (a new
 * reference). remedy is a shell command or null. NULL = no memory. */
json_t *doctor_run(const struct doctor_check *checks, const json_t *facts);
/* Write it for people. Returns true if nothing failed. */
bool doctor_print(const json_t *result);

/* The command "doctor": judge the facts, whose reference is taken, and write the result. Returns an exit status. */
struct ctl;
int doctor_command(const struct ctl *ctl, const struct doctor_check *checks, json_t *facts);

/* For checks: a finding, and the command that mends the last finding. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void doctor_mend(struct doctor *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Facts, by a path with dots; NULL, "" or 0 where there is none. */
const json_t *fact(const json_t *facts, const char *path);
const char *fact_text(const json_t *facts, const char *path);
long long fact_int(const json_t *facts, const char *path);
bool fact_is(const json_t *facts, const char *path); /* true, and not false, null or missing */
/* A word of a shell command. In one of eight static buffers. */
const char *doctor_word(const char *text);
/* The command that starts the daemon. In a static buffer. */
const char *doctor_start(const json_t *facts);

/* Checks of both daemons. */
void doctor_root(struct doctor *d, const json_t *facts);
void doctor_config(struct doctor *d, const json_t *facts);
void doctor_identity(struct doctor *d, const json_t *facts);
void doctor_credential(struct doctor *d, const json_t *facts);
void doctor_trust(struct doctor *d, const json_t *facts);
void doctor_kernel(struct doctor *d, const json_t *facts);
void doctor_state(struct doctor *d, const json_t *facts);
void doctor_port(struct doctor *d, const json_t *facts);
void doctor_tunnel(struct doctor *d, const json_t *facts);
void doctor_daemon(struct doctor *d, const json_t *facts);
void doctor_privileges(struct doctor *d, const json_t *facts);
void doctor_managers(struct doctor *d, const json_t *facts);
void doctor_restored(struct doctor *d, const json_t *facts);
void doctor_rpfilter(struct doctor *d, const json_t *facts);

/* Every packet must pass, or is reported with who drops it. */
struct firewall_packet;
void doctor_firewall(struct doctor *d, const json_t *facts, const struct firewall_packet *packets, size_t n);
/* The interface carries a tunnelled packet of the least size. */
void doctor_mtu(struct doctor *d, const json_t *interface);
