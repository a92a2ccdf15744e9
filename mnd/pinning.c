/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pinning.c - programs pinned to a home address: who may pin what to which, and when a pin is over. pin.c has the cgroup and its programs. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "node.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- input: pins ------------------------------------------------------------------------------------------------ */

unsigned pinning_count(const struct mnd *m, const struct home_address *h)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PINS; i++)
		n += m->pins[i].cgroup[0] && h->known && IN6_ARE_ADDR_EQUAL(&m->pins[i].home_address, &h->address);
	return n;
}

/* A cgroup is empty: its pin ends, and perhaps one around it. */
void pinning_read_news(void *ctx)
{
	struct mnd *m = ctx;
	char news[4096];
	bool ended = true, any = false;

	while (read(m->pin_fd, news, sizeof(news)) > 0)
		;
	while (ended) {
		ended = false;
		for (unsigned i = 0; i < PINS; i++) {
			struct pin *p = &m->pins[i];

			if (!p->cgroup[0] || !pin_is_over(p))
				continue;
			log_info("pin", "%s of user %u on %s has ended", p->command, (unsigned)p->uid, in6_text(&p->home_address));
			mnd_emit(m, "unpinned",
				json_pack("{s:s, s:s, s:i}", "home_address", in6_text(&p->home_address), "command", p->command, "pid", (int)p->pid));
			memset(p, 0, sizeof(*p));
			ended = any = true;
		}
	}
	if (any) {
		mnd_save(m);
		mnd_touch(m);
	}
}

/* Which home address a pin is for: the one named, else that of the anchor named, else the one that new sessions take, else one that is in use. */
static struct home *home_to_pin(struct mnd *m, const char *address, const char *anchor, char *reterr)
{
	struct in6_addr a = IN6ADDR_ANY_INIT;
	struct home *best = NULL;
	int best_rank = -1;

	if (address && inet_pton(AF_INET6, address, &a) != 1) {
		(void)snprintf(reterr, CONTROL_ERR, "'%.100s' is not an IPv6 address", address);
		return NULL;
	}
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];
		int rank = (x->h.state == HOMEADDR_NATIVE ? 4 : 0) + (x->draining ? 0 : 2) + (x->sessions > 0 || pinning_count(m, &x->h) > 0);

		if (!x->used || !x->h.known || x->given_up || x->h.state == HOMEADDR_RELEASING || x->h.state == HOMEADDR_RELEASED)
			continue;
		if (address && !IN6_ARE_ADDR_EQUAL(&x->h.address, &a))
			continue;
		if (anchor && strcmp(x->anchor->credential.node, anchor) != 0)
			continue;
		if (rank > best_rank) {
			best = x;
			best_rank = rank;
		}
	}
	if (!best && (address || anchor))
		(void)snprintf(reterr, CONTROL_ERR, "this node has no home address %s%.100s: 'mnctl leases' lists them", anchor ? "of " : "",
			address ? address : anchor);
	else if (!best)
		(void)snprintf(reterr, CONTROL_ERR, "this node has no home address yet: no network so far had an anchor ('mnctl status')");
	return best;
}

int pinning_pin(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;
	const char *address = json_string_value(json_object_get(parameters, "address"));
	const char *anchor = json_string_value(json_object_get(parameters, "anchor"));
	json_t *other = json_object_get(parameters, "pid");
	const struct ucred *who = control_caller(m->control);
	json_int_t pid = other ? json_integer_value(other) : who->pid;
	struct pin *p = NULL;
	unsigned own = 0;
	struct home *x;
	char err[PIN_ERR];
	int r;

	if (!m->config.pins) {
		(void)snprintf(reterr, CONTROL_ERR, "the administrator has switched pinning off ('pins' in mnd.conf)");
		return -EPERM;
	}
	if (pid <= 0 || pid > INT32_MAX) {
		(void)snprintf(reterr, CONTROL_ERR, "pid: which process is to be pinned?");
		return -EINVAL;
	}
	x = home_to_pin(m, address, anchor, reterr);
	if (!x)
		return -ENOENT;
	for (unsigned i = 0; i < PINS; i++) {
		if (!m->pins[i].cgroup[0])
			p = &m->pins[i];
		else
			own += m->pins[i].uid == who->uid;
	}
	/* one user leaves room for others */
	if (!p || (who->uid != 0 && own >= PINS / 2)) {
		(void)snprintf(reterr, CONTROL_ERR, "%u of your programs are pinned already; %d, and %d of one user, are the most ('mnctl pins' lists them)",
			own, PINS, PINS / 2);
		return -ENOSPC;
	}
	r = pin_begin((pid_t)pid, who->uid, &x->h.address, loop_wall_ns() / 1000000000, p, err);
	if (r < 0) {
		(void)snprintf(reterr, CONTROL_ERR, "%s", err);
		return r;
	}
	r = pin_watch(p, m->pin_fd);
	if (r < 0)
		log_warning("pin", "cannot watch %s: %s; its end is noticed late", p->cgroup, strerror(-r));
	log_info("pin", "%s of user %u is pinned to %s", p->command, (unsigned)p->uid, in6_text(&p->home_address));
	mnd_emit(m, "pinned",
		json_pack("{s:s, s:s, s:i, s:i}", "home_address", in6_text(&p->home_address), "command", p->command, "pid", (int)p->pid, "uid",
			(int)p->uid));
	mnd_save(m);
	/* the caller goes on as soon as it is answered: its first socket has to find the rule */
	mnd_touch(m);
	mnd_decide(m);
	mnd_apply(m);
	*ret = json_pack("{s:s, s:s, s:s}", "home_address", in6_text(&p->home_address), "anchor", x->anchor->credential.node, "cgroup", p->cgroup);
	return *ret ? 0 : -ENOMEM;
}

/* What the first process runs now: hoa-exec became it after it was pinned. fallback when it has ended and its children have not. */
static void command_of(pid_t pid, const char *fallback, char ret[64])
{
	char path[64];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%63[^\n]", ret) != 1)
		(void)snprintf(ret, 64, "%s", fallback);
	if (f)
		(void)fclose(f);
}

int pinning_list(void *ctx, const json_t *parameters, json_t **ret, char *reterr)
{
	struct mnd *m = ctx;
	json_t *list = json_array();
	uint64_t now_s = loop_wall_ns() / 1000000000;

	(void)parameters;
	(void)reterr;
	for (unsigned i = 0; i < PINS; i++) {
		const struct pin *p = &m->pins[i];
		const struct home *x = NULL;
		char command[64];

		if (!p->cgroup[0])
			continue;
		command_of(p->pid, p->command, command);
		for (unsigned k = 0; k < HOMES && !x; k++)
			if (m->homes[k].used && m->homes[k].h.known && IN6_ARE_ADDR_EQUAL(&m->homes[k].h.address, &p->home_address))
				x = &m->homes[k];
		(void)json_array_append_new(list,
			json_pack("{s:s, s:i, s:i, s:s, s:s?, s:s, s:f, s:s}", "command", command, "pid", (int)p->pid, "uid", (int)p->uid,
				"home_address", in6_text(&p->home_address), "anchor", x ? x->anchor->credential.node : NULL, "state",
				x ? homeaddr_state_name(x->h.state) : "lost", "since_s",
				(double)(now_s > p->since_s ? now_s - p->since_s : 0), "cgroup", p->cgroup));
	}
	*ret = json_pack("{s:o}", "pins", list);
	return *ret ? 0 : -ENOMEM;
}
