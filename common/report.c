/* SPDX-License-Identifier: GPL-2.0-or-later */
/* report.c - one text with what a bug report needs
 *
 * Nothing that is put into it should hold a key: identities are read for their names only. What people wrote into
 * configuration files is not ours to know, so the whole text is searched for the keys of this machine before it is
 * written. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "report.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"
#include "facts.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

#define KEY 32

static void blot(char *text, const char *secret)
{
	size_t n = strlen(secret);

	for (char *at = text; n && (at = strstr(at, secret)); at += n)
		memset(at, '*', n);
}

/* A key in the forms that people write keys in. */
static void blot_key(char *text, const unsigned char key[KEY])
{
	static const int variants[] = {
		sodium_base64_VARIANT_ORIGINAL_NO_PADDING, sodium_base64_VARIANT_URLSAFE_NO_PADDING};
	char form[2 * KEY + 1];

	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
		(void)sodium_bin2base64(form, sizeof(form), key, KEY, variants[i]);
		blot(text, form);
	}
	(void)sodium_bin2hex(form, sizeof(form), key, KEY);
	blot(text, form);
	for (char *c = form; *c; c++)
		if (*c >= 'a')
			*c = (char)(*c - 'a' + 'A');
	blot(text, form);
	sodium_memzero(form, sizeof(form));
}

static void blot_keys(char *text, const json_t *facts)
{
	const char *dir = fact_text(facts, "trust.domain_dir");
	char err[CREDENTIAL_ERR], path[512];
	struct domain_key domain;
	struct identity id;

	if (identity_load(fact_text(facts, "identity.path"), &id, err) == 0) {
		blot_key(text, id.key.b);
		identity_done(&id);
	}
	(void)snprintf(path, sizeof(path), "%s/domain.key", dir);
	if (*dir && domain_key_load(path, &domain, err) == 0) {
		blot_key(text, domain.seed.b);
		domain_key_done(&domain);
	}
}

/* Keys of others, by what stands before them: what is left of such a line. */
static void blot_lines(char *text)
{
	static const char *const names[] = {"private-key", "signing-key"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (char *at = text; (at = strstr(at, names[i]));) {
			at += strlen(names[i]);
			memset(at, '*', strcspn(at, "\n"));
		}
}

static void blot_json(json_t *value)
{
	json_t *v;
	const char *key;
	char *text;
	size_t i;

	json_object_foreach(value, key, v) blot_json(v);
	json_array_foreach(value, i, v) blot_json(v);
	text = json_is_string(value) ? strdup(json_string_value(value)) : NULL;
	if (text) {
		blot_lines(text);
		(void)json_string_set(value, text);
	}
	free(text);
}

static void section(FILE *out, const char *title)
{
	(void)fprintf(out, "\n=== %s\n", title);
}

static void add_json(FILE *out, const char *title, const json_t *value)
{
	section(out, title);
	(void)json_dumpf(value, out, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
	(void)fputc('\n', out);
}

static void add_output(FILE *out, const char *command)
{
	char *text = facts_output(command);

	section(out, command);
	if (text)
		blot_lines(text);
	(void)fputs(text ? text : "(failed)\n", out);
	free(text);
}

static void write_text(
	FILE *out, const struct ctl *ctl, const json_t *facts, const json_t *result, const json_t *answers)
{
	static const char *const commands[] = {"uname -a", "cat /etc/os-release", "ip -d link", "ip -6 addr",
		"ip -6 rule", "ip -6 route show table all", "ip nexthop", "cat /proc/net/snmp6"};
	const json_t *f, *answer;
	const char *name, *text = json_string_value(fact(facts, "config.text"));
	char command[128];
	size_t i;

	(void)fprintf(out,
		"%s report, DMM for Linux %s\nIt has names and addresses of this machine, its networks and its peers, "
		"and no key.\n",
		ctl->program, PACKAGE_VERSION);
	section(out, "doctor");
	json_array_foreach(json_object_get(result, "checks"), i, f)(void)
		fprintf(out, "%-8s%-12s %s\n", fact_text(f, "level"), fact_text(f, "check"), fact_text(f, "text"));
	json_object_foreach((json_t *)answers, name, answer) add_json(out, name, answer);
	section(out, fact_text(facts, "config.path"));
	(void)fputs(text ? text : "(cannot be read)\n", out);
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		add_output(out, commands[i]);
	(void)snprintf(command, sizeof(command), "journalctl --unit %s --lines 500 --no-pager", ctl->daemon);
	add_output(out, command);
	add_json(out, "facts", facts);
}

int report_command(const struct ctl *ctl, const struct doctor_check *checks, json_t *facts, const char *const *methods)
{
	json_t *result = doctor_run(checks, facts), *answers = json_object(), *all;
	char *text = NULL, err[CTL_ERR];
	size_t size = 0;
	FILE *out;
	int status, pid;

	for (; *methods; methods++) {
		json_t *answer = ctl_try(ctl, *methods, NULL, &status, err, &pid);

		(void)json_object_set_new(answers, *methods, answer ? answer : json_string(err));
	}
	blot_json(facts);
	blot_json(answers);
	if (ctl->json) {
		all = json_pack("{s:s, s:O, s:O, s:O}", "version", PACKAGE_VERSION, "doctor", result, "answers",
			answers, "facts", facts);
		text = json_dumps(all, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(12));
		json_decref(all);
	} else {
		out = open_memstream(&text, &size);
		if (out) {
			write_text(out, ctl, facts, result, answers);
			(void)fclose(out);
		}
	}
	if (text) {
		blot_keys(text, facts);
		(void)printf("%s%s", text, ctl->json ? "\n" : "");
	}
	free(text);
	json_decref(answers);
	json_decref(result);
	json_decref(facts);
	return text ? CTL_OK : CTL_FAILED;
}
