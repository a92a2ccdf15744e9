/* SPDX-License-Identifier: GPL-2.0-or-later */
/* isolate.c - loads and feeds the programs, and makes the pairs */
#include "isolate.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mnd/isolate.bpf.inc" /* the object file as bytes: isolate_object[] */

/* Behind the source check on the tunnel device; on links there may be filters of others. */
#define HANDLE	 7874
#define PRIORITY 7874
#define LISTENS	 32

struct isolate {
	struct bpf_object *object;
	int from, to, ways, inside;
	uint32_t listens[LISTENS];
};

int isolate_new(struct isolate **ret, char *reterr)
{
	struct isolate *s = calloc(1, sizeof(*s));
	int r = -ENOMEM;

	if (s)
		s->object = bpf_object__open_mem(isolate_object, sizeof(isolate_object), NULL);
	if (s && s->object)
		r = bpf_object__load(s->object);
	if (r < 0) {
		(void)snprintf(reterr, ISOLATE_ERR,
			"cannot load the BPF programs of isolated commands: %s (Linux 5.11 or newer is needed)",
			strerror(-r));
		isolate_free(s);
		return r;
	}
	s->from = bpf_program__fd(bpf_object__find_program_by_name(s->object, "from_inside"));
	s->to = bpf_program__fd(bpf_object__find_program_by_name(s->object, "to_inside"));
	s->ways = bpf_map__fd(bpf_object__find_map_by_name(s->object, "ways"));
	s->inside = bpf_map__fd(bpf_object__find_map_by_name(s->object, "inside"));
	*ret = s;
	return 0;
}

void isolate_free(struct isolate *s)
{
	if (!s)
		return;
	bpf_object__close(s->object);
	free(s);
}

static int attach(uint32_t ifindex, int program)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program, .handle = HANDLE, .priority = PRIORITY,
		.flags = BPF_TC_F_REPLACE);
	int r = bpf_tc_hook_create(&hook);

	return r == 0 || r == -EEXIST ? bpf_tc_attach(&hook, &opts) : r;
}

/* A namespace that its user made, by way of a user namespace: there the user may do anything as it is. */
static int check_owner(int netns, uid_t uid, char *reterr)
{
	struct stat own, other;
	uid_t owner = (uid_t)-1;
	int user;

	if (netns < 0 || ioctl(netns, NS_GET_NSTYPE) != CLONE_NEWNET || fstat(netns, &other) < 0 ||
		stat("/proc/self/ns/net", &own) < 0 || own.st_ino == other.st_ino) {
		(void)snprintf(reterr, ISOLATE_ERR,
			"isolate: the caller has to pass a network namespace, and another one than mnd's");
		return -EINVAL;
	}
	if (uid == 0)
		return 0;
	user = ioctl(netns, NS_GET_USERNS);
	if (user >= 0 && ioctl(user, NS_GET_OWNER_UID, &owner) < 0)
		owner = (uid_t)-1;
	if (user >= 0)
		(void)close(user);
	if (owner == uid)
		return 0;
	(void)snprintf(reterr, ISOLATE_ERR, "the network namespace is not yours");
	return -EPERM;
}

int isolate_join(struct isolate *s, struct nl *nl, int netns, uid_t uid, uint32_t *ret_outer, char *reterr)
{
	char name[IF_NAMESIZE], err[NL_ERR];
	int r = check_owner(netns, uid, reterr);

	if (r < 0)
		return r;
	(void)snprintf(name, sizeof(name), "hoa%08x", randombytes_random());
	r = nl_veth_open(nl, name, ISOLATE_INNER, netns, ret_outer, err);
	if (r < 0) {
		(void)snprintf(
			reterr, ISOLATE_ERR, "cannot make the pair of devices for the network namespace: %.150s", err);
		return r;
	}
	r = attach(*ret_outer, s->from);
	if (r < 0) {
		(void)snprintf(reterr, ISOLATE_ERR, "cannot attach a BPF program to %s: %s", name, strerror(-r));
		(void)nl_link_delete(nl, *ret_outer);
	}
	return r;
}

int isolate_adopt(struct isolate *s, uint32_t outer)
{
	return attach(outer, s->from);
}

int isolate_set(struct isolate *s, uint32_t outer, const struct isolate_way *way)
{
	if (bpf_map_update_elem(s->ways, &outer, way, BPF_ANY) < 0 ||
		bpf_map_update_elem(s->inside, &way->address, &outer, BPF_ANY) < 0)
		return -errno;
	return 0;
}

void isolate_end(struct isolate *s, uint32_t outer, const struct in6_addr *address)
{
	(void)bpf_map_delete_elem(s->ways, &outer);
	(void)bpf_map_delete_elem(s->inside, address);
}

int isolate_listen(struct isolate *s, uint32_t ifindex)
{
	uint32_t *place = NULL;
	int r;

	for (unsigned i = 0; i < LISTENS; i++) {
		if (s->listens[i] == ifindex)
			return 0;
		if (!s->listens[i])
			place = &s->listens[i];
	}
	if (!place)
		return -ENOSPC;
	r = attach(ifindex, s->to);
	if (r == 0)
		*place = ifindex;
	return r;
}

void isolate_deafen(struct isolate *s, uint32_t ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = HANDLE, .priority = PRIORITY);

	(void)bpf_tc_detach(&hook, &opts); /* the qdisc may be somebody else's */
	for (unsigned i = 0; s && i < LISTENS; i++)
		if (s->listens[i] == ifindex)
			s->listens[i] = 0;
}
