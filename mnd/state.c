/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.c - what mnd keeps over a restart
 *
 * A killed daemon finds its addresses, rules and routes still in the kernel; this file says which anchor each belongs
 * to, so that they are adopted and sessions go on. Written when something changes, which is at moves and renewals. */
#include "state.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int home_from_json(const json_t *j, struct state_home *ret)
{
	const char *address, *prefix, *anchor, *credential;
	char err[CREDENTIAL_ERR];
	json_int_t until, sequence, owner = 0, slot = 0;
	int fixed = 0, exclusive = 0;

	if (json_unpack((json_t *)j, "{s:s, s:s, s:I, s:I, s:s, s:s, s?b, s?b, s?I, s?I}", "address", &address,
		    "prefix", &prefix, "lease_until", &until, "sequence", &sequence, "anchor", &anchor, "credential",
		    &credential, "fixed", &fixed, "exclusive", &exclusive, "owner", &owner, "slot", &slot) < 0)
		return -EBADMSG;
	if (inet_pton(AF_INET6, address, &ret->address) != 1 || prefix6_parse(prefix, &ret->prefix) < 0 ||
		inet_pton(AF_INET6, anchor, &ret->anchor) != 1 ||
		credential_from_text(credential, &ret->credential, err) < 0 || until < 0 || sequence < 0 || slot < 0 ||
		slot >= STATE_HOMES || sequence > 0xffff || !prefix6_contains(&ret->prefix, &ret->address))
		return -EBADMSG;
	ret->slot = (unsigned)slot;
	ret->lease_until_s = (uint64_t)until;
	ret->sequence = (uint16_t)sequence;
	ret->fixed = fixed;
	ret->exclusive = exclusive;
	ret->owner = (uid_t)owner;
	return 0;
}

/* The kernel numbers sockets anew after each start of the machine. */
static void boot_id(char ret[64])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || fscanf(f, "%63s", ret) != 1)
		(void)snprintf(ret, 64, "unknown");
	if (f)
		(void)fclose(f);
}

/* What is wrong here costs no more than a time shown to people. */
static void sessions_from_json(const json_t *root, struct state *ret)
{
	const char *boot = json_string_value(json_object_get(root, "boot_id"));
	const json_t *j;
	char id[64];
	size_t i;

	boot_id(id);
	if (!boot || strcmp(boot, id))
		return;
	json_array_foreach(json_object_get(root, "sessions"), i, j)
	{
		json_int_t cookie, since;

		if (ret->n_sessions == STATE_SESSIONS ||
			json_unpack((json_t *)j, "{s:I, s:I}", "cookie", &cookie, "since", &since) < 0 || cookie < 0 ||
			since < 0)
			return;
		ret->sessions[ret->n_sessions].cookie = (uint64_t)cookie;
		ret->sessions[ret->n_sessions++].since_s = (uint64_t)since;
	}
}

static void pins_from_json(const json_t *root, struct state *ret)
{
	const char *boot = json_string_value(json_object_get(root, "boot_id"));
	const json_t *j;
	char id[64];
	size_t i;

	boot_id(id);
	if (!boot || strcmp(boot, id))
		return;
	json_array_foreach(json_object_get(root, "pins"), i, j)
	{
		const char *cgroup, *address, *command, *type = NULL;
		json_int_t uid, pid, since, outer = 0;
		json_t *previous = NULL;
		int in_place = 0, lenient = 0;
		struct pin *p = &ret->pins[ret->n_pins];

		if (ret->n_pins == PINS ||
			json_unpack((json_t *)j, "{s:s, s:s, s:s, s:I, s:I, s:I, s?s, s?b, s?o, s?I, s?b}", "cgroup",
				&cgroup, "address", &address, "command", &command, "uid", &uid, "pid", &pid, "since",
				&since, "type", &type, "in_place", &in_place, "previous", &previous, "outer", &outer,
				"lenient", &lenient) < 0 ||
			pin_type_of(type) == PIN_TYPES || cgroup[0] != '/' || strlen(cgroup) >= sizeof(p->cgroup) ||
			strlen(command) >= sizeof(p->command) || inet_pton(AF_INET6, address, &p->home_address) != 1)
			return;
		(void)snprintf(p->cgroup, sizeof(p->cgroup), "%s", cgroup);
		(void)snprintf(p->command, sizeof(p->command), "%s", command);
		p->type = pin_type_of(type);
		p->in_place = in_place;
		p->outer = (uint32_t)outer;
		p->lenient = lenient;
		for (size_t k = 0; k < PIN_PREVIOUS && k < json_array_size(previous); k++) {
			const char *text = json_string_value(json_array_get(previous, k));

			if (!text || inet_pton(AF_INET6, text, &p->previous[k]) != 1)
				p->previous[k] = in6addr_any;
		}
		p->uid = (uid_t)uid;
		p->pid = (pid_t)pid;
		p->since_s = (uint64_t)since;
		ret->n_pins++;
	}
}

int state_load(const char *path, struct state *ret, char *reterr)
{
	json_error_t e;
	json_t *root, *j;
	char bad[4096];
	size_t i;

	ret->n_homes = ret->n_sessions = ret->n_pins = 0;
	ret->timestamps_until = 0;
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	root = json_load_file(path, 0, &e);
	if (json_is_object(root)) {
		json_array_foreach(json_object_get(root, "home_addresses"), i, j)
		{
			if (ret->n_homes == STATE_HOMES || home_from_json(j, &ret->homes[ret->n_homes]) < 0)
				break;
			ret->n_homes++;
		}
		if (i == json_array_size(json_object_get(root, "home_addresses"))) {
			sessions_from_json(root, ret);
			pins_from_json(root, ret);
			ret->timestamps_until = (uint64_t)json_integer_value(json_object_get(root, "handshakes_until"));
			json_decref(root);
			return 0;
		}
		(void)snprintf(e.text, sizeof(e.text), "home address %zu is not valid", i + 1);
	}
	json_decref(root);
	ret->n_homes = 0;
	(void)snprintf(bad, sizeof(bad), "%s.bad", path);
	(void)rename(path, bad);
	(void)snprintf(reterr, CREDENTIAL_ERR, "%.200s is damaged (%.100s): moved to %.100s.bad, starting without",
		path, e.text, path);
	return -EBADMSG;
}

int state_store(const char *path, const struct state *state)
{
	json_t *root = json_object(), *list = json_array(), *sessions = json_array(), *pins = json_array();
	char temporary[4096], text[CREDENTIAL_TEXT], id[64];
	int fd, r = 0;
	char *out;

	(void)json_object_set_new(root, "version", json_integer(1));
	(void)json_object_set_new(root, "home_addresses", list);
	(void)json_object_set_new(root, "handshakes_until", json_integer((json_int_t)state->timestamps_until));
	boot_id(id);
	(void)json_object_set_new(root, "boot_id", json_string(id));
	(void)json_object_set_new(root, "sessions", sessions);
	for (unsigned i = 0; i < state->n_sessions; i++)
		(void)json_array_append_new(sessions,
			json_pack("{s:I, s:I}", "cookie", (json_int_t)state->sessions[i].cookie, "since",
				(json_int_t)state->sessions[i].since_s));
	(void)json_object_set_new(root, "pins", pins);
	for (unsigned i = 0; i < state->n_pins; i++) {
		const struct pin *p = &state->pins[i];
		json_t *previous = json_array();

		for (unsigned k = 0; k < PIN_PREVIOUS; k++)
			(void)json_array_append_new(previous, json_string(in6_text(&p->previous[k])));
		(void)json_array_append_new(pins,
			json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s, s:b, s:o, s:I, s:b}", "cgroup", p->cgroup,
				"address", in6_text(&p->home_address), "command", p->command, "uid", (json_int_t)p->uid,
				"pid", (json_int_t)p->pid, "since", (json_int_t)p->since_s, "type",
				pin_type_name(p->type), "in_place", p->in_place, "previous", previous, "outer",
				(json_int_t)p->outer, "lenient", p->lenient));
	}
	for (unsigned i = 0; i < state->n_homes; i++) {
		const struct state_home *h = &state->homes[i];

		if (credential_to_text(&h->credential, text) < 0)
			continue;
		(void)json_array_append_new(list,
			json_pack("{s:i, s:s, s:s, s:I, s:i, s:s, s:s, s:b, s:b, s:I}", "slot", (int)h->slot, "address",
				in6_text(&h->address), "prefix", prefix6_text(&h->prefix), "lease_until",
				(json_int_t)h->lease_until_s, "sequence", h->sequence, "anchor", in6_text(&h->anchor),
				"credential", text, "fixed", h->fixed, "exclusive", h->exclusive, "owner",
				(json_int_t)h->owner));
	}
	out = json_dumps(root, JSON_INDENT(1));
	json_decref(root);
	if (!out)
		return -ENOMEM;
	(void)snprintf(temporary, sizeof(temporary), "%s.new", path);
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		r = -errno;
	} else {
		size_t len = strlen(out);

		if (write(fd, out, len) != (ssize_t)len || fsync(fd) < 0)
			r = errno ? -errno : -EIO;
		(void)close(fd);
		if (r == 0 && rename(temporary, path) < 0)
			r = -errno;
		if (r < 0)
			(void)unlink(temporary);
	}
	free(out);
	return r;
}
