/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pin.h - processes that are pinned to a home address: a cgroup each, whose sockets carry a mark
 *
 * The mark leads to the home address's own table (rc), which names the source. Besides, nothing that the sockets send leaves under
 * another address. Both are BPF programs of the cgroup: they hold for whatever is started in it, and while mnd does not run. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PINS       64
#define PIN_ERR    256
#define PIN_CGROUP 256
/* Of the sockets: this, and 13 bits out of the prefix. Bits that others use as masks (Docker, Kubernetes, Tailscale) stay clear. */
#define PIN_MARK   0x6d000000

/* One cgroup. It ends when its last process does. */
struct pin {
	char cgroup[PIN_CGROUP]; /* below the root of the hierarchy, with a leading slash; "" = not in use */
	struct in6_addr home_address;
	uid_t uid;        /* whose */
	pid_t pid;        /* the first process */
	char command[64]; /* its name */
	uint64_t since_s; /* wall clock, unix seconds */
};

/* The mark of sockets pinned to a home address: the same after a restart. */
uint32_t pin_mark(const struct in6_addr *home_address);

/* Pin process pid, and what it will start, to home_address: makes a cgroup below the one it is in and moves it there. Only for uid's own
 * processes (all three user identities; 0 may pin any). Fills *ret. Returns 0, or -errno with a sentence in reterr and nothing changed. */
int pin_begin(pid_t pid, uid_t uid, const struct in6_addr *home_address, uint64_t now_s, struct pin *ret, char *reterr);
/* Put the programs in place again, after a restart. Returns 0 or -errno (-ENOENT: the cgroup is gone) with a sentence in reterr. */
int pin_attach(const struct pin *p, char *reterr);
/* Take them away: the processes go on unpinned. */
void pin_detach(const struct pin *p);
/* True when no process is left; the cgroup is then removed. */
bool pin_is_over(const struct pin *p);
/* Let the inotify descriptor fd become readable when the last process ends. Returns 0 or -errno. */
int pin_watch(const struct pin *p, int fd);
