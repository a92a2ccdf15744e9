/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pin.h - processes that are pinned to a home address: a cgroup each, whose sockets carry a mark
 *
 * The mark leads to the home address's own table (rc), which names the source. Besides, nothing that the sockets send
 * leaves under another address. Both are BPF programs of the cgroup: they hold for whatever is started in it, and while
 * mnd does not run. */
#pragma once

#include "isolate.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PINS	   64
#define PINS_FIXED 8 /* home addresses that are kept for good */
#define PIN_ERR	   256
#define PIN_CGROUP 256
/* Of the sockets: this, and 13 bits out of the prefix. Bits that others use as masks (Docker, Kubernetes, Tailscale)
 * stay clear. */
#define PIN_MARK 0x6d000000

#define PIN_PREVIOUS 4

/* What a program wants of its address (RFC 8653; the fourth kind, non-persistent, is the care-of address: no pin). */
enum pin_type {
	PIN_SESSION,  /* kept as long as somebody uses it */
	PIN_FIXED,    /* kept for good */
	PIN_GRACEFUL, /* new sockets take the home address of the network the node is in; those from before keep theirs
		       */
	PIN_TYPES
};
const char *pin_type_name(enum pin_type type);
/* PIN_TYPES = there is none of that name. NULL is "session". */
enum pin_type pin_type_of(const char *name);

/* One cgroup. One that was made for the pin ends when its last process does, another when it is removed. */
struct pin {
	char cgroup[PIN_CGROUP]; /* below the root of the hierarchy, with a leading slash; "" = not in use */
	uint64_t inode;		 /* of its directory: one that is made anew under this name is another cgroup */
	bool in_place;		 /* it was there before, and is somebody else's */
	bool lenient;		 /* sockets that were there before it keep what they have */
	enum pin_type type;
	struct in6_addr home_address;
	struct in6_addr previous[PIN_PREVIOUS]; /* of a graceful one, the newest first; :: = none */
	bool stale;				/* home_address is another one than its programs know */
	/* isolated: the outer end of its pair (isolate.h), and home_address is its own within a home prefix; 0 = not */
	uint32_t outer;
	struct isolate_way way; /* ... which its packets take */
	uid_t uid;		/* whose */
	pid_t pid;		/* the first process */
	char command[64];	/* its name */
	uint64_t since_s;	/* wall clock, unix seconds */
};

/* The mark of sockets pinned to a home address: the same after a restart. */
uint32_t pin_mark(const struct in6_addr *home_address);

/* Pin process pid, and what it will start, to home_address: makes a cgroup below the one it is in and moves it there;
 * or, in place, pin the cgroup that it is in with all that is in it. lenient: sockets in it that have no mark may go on
 * under any address. Only for uid's own processes and cgroups (all three user identities; 0 may pin any). Fills *ret.
 * Returns 0, or -errno with a sentence in reterr and nothing changed. */
int pin_begin(pid_t pid, uid_t uid, bool in_place, bool lenient, enum pin_type type,
	const struct in6_addr *home_address, uint64_t now_s, struct pin *ret, char *reterr);
/* Pin a cgroup as it is, for a rule of the administrator's. As above. */
int pin_begin_cgroup(const char *cgroup, bool lenient, enum pin_type type, const struct in6_addr *home_address,
	uint64_t now_s, struct pin *ret, char *reterr);
/* The cgroup of a process; "" = the root. Returns 0, or -errno with a sentence in reterr. */
int pin_cgroup_of(pid_t pid, char ret[PIN_CGROUP], char *reterr);
/* Is home_address one of its own, now or before? */
bool pin_has(const struct pin *p, const struct in6_addr *home_address);
/* From now on its new sockets take another address; pin_attach makes it so. */
void pin_follow(struct pin *p, const struct in6_addr *home_address);
/* Put the programs in place again, after a restart or with another address. Returns 0 or -errno (-ENOENT: the cgroup is
 * gone) with a sentence in reterr. */
int pin_attach(struct pin *p, char *reterr);
/* Take them away: the processes go on unpinned. */
void pin_detach(const struct pin *p);
/* True when no process is left, and the cgroup is then removed; one that is somebody else's is over when it is gone,
 * also when another one has its name. */
bool pin_is_over(const struct pin *p);
/* Let the inotify descriptor fd become readable when the last process ends. Returns 0 or -errno. */
int pin_watch(const struct pin *p, int fd);
