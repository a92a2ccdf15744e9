/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.h - committed state: leases, bindings, the restart counter (ARCHITECTURE, "State") */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "prefix6.h"

struct store;

#define STORE_ERR 512

/* Times are wall clock, unix seconds: they have to mean something after a restart. */
struct store_lease {
	struct prefix6 prefix; /* /64 */
	uint8_t key[32];
	char node[64];
	uint64_t until_s;
	uint16_t sequence;
	bool has_sequence;
	bool resting; /* ended at until_s: kept so that nobody else gets the prefix before its quarantine is over */
	char ifname[IF_NAMESIZE]; /* the node is on this link; "" = it is not */
	struct in6_addr link_local;
	uint8_t link_layer[6]; /* zero = not known */
	uint64_t domain;       /* of the node: 63 bits of its key, 0 = not known */
};
struct store_binding {
	struct prefix6 prefix;
	struct in6_addr care_of, self;
	uint64_t until_s;
	uint16_t mtu;
	bool proxied;	   /* the care-of address is an AMA's */
	uint16_t sequence; /* of the update that made it: newer than the one in the lease */
	uint32_t nexthop;  /* id of its nexthop object */
};
/* A prefix of another anchor whose node is on a link of ours (serving.h). */
struct store_visit {
	struct prefix6 prefix;
	uint8_t key[32];
	char node[64];
	struct in6_addr anchor, self, link_local;
	uint8_t link_layer[6];
	char ifname[IF_NAMESIZE]; /* "" = behind the AMA whose address is link_local */
	uint64_t until_s;
	uint64_t domain; /* as in a lease */
	uint32_t node_cookie;
	uint16_t sequence;
};
struct store_meta {
	uint32_t restart_counter;  /* RFC 5847: another one than before means that bindings may have been lost */
	char boot_id[40];	   /* of the machine while the daemon runs; "" = it stopped by itself */
	uint64_t timestamps_until; /* of handshakes (channel_go_on_after()) */
};

#define STORE_NONE "none" /* in place of a directory: keep nothing, to measure what keeping costs */

/* Open or make the store in a directory, and look at every record. One process has it at a time. Returns 0, or -errno
 * with a sentence in reterr: -EBUSY in use, -EBADMSG damaged or of another version (it is left alone: store_put_aside).
 */
int store_open(const char *directory, struct store **ret, char *reterr);
void store_close(struct store *s);
/* Move a store that cannot be opened into directory/damaged-TIME, whose name is in ret_path. Returns 0, or -errno with
 * a sentence in reterr. */
int store_put_aside(const char *directory, char *ret_path, size_t size, char *reterr);

/* What was there when it was opened. */
struct store_summary {
	uint64_t records[3]; /* leases, bindings, visits */
	uint64_t resting;    /* leases that ended, whose prefixes rest */
	uint64_t bad, other_version;
};
int store_summary(struct store *s, struct store_summary *ret);

/* Read everything; the callbacks must not call store functions. ret_meta is zeroed when there is none yet. Returns 0 or
 * -errno. */
int store_load(struct store *s, void (*lease)(void *ctx, const struct store_lease *l),
	void (*binding)(void *ctx, const struct store_binding *b), void *ctx, struct store_meta *ret_meta);

/* The visits, likewise. */
int store_load_visits(struct store *s, void (*visit)(void *ctx, const struct store_visit *v), void *ctx);

/* Changes of a turn; they are committed together by store_commit. now: must be on disk when that returns. 0
 * or -errno. */
int store_put_lease(struct store *s, const struct store_lease *l, bool now);
int store_delete_lease(struct store *s, const struct prefix6 *prefix);
int store_put_binding(struct store *s, const struct store_binding *b);
int store_delete_binding(struct store *s, const struct prefix6 *prefix);
int store_put_visit(struct store *s, const struct store_visit *v);
int store_delete_visit(struct store *s, const struct prefix6 *prefix);
/* One of the three that take a record out. */
typedef int store_delete_fn(struct store *s, const struct prefix6 *prefix);
int store_put_meta(struct store *s, const struct store_meta *m); /* on disk at store_commit */

/* Commit: what was put survives the death of the process; it is on disk when something of it had to be, else after the
 * next store_sync. Returns 1 when something waits for store_sync, 0, or -errno: nothing of this turn was committed. */
int store_commit(struct store *s);
/* Returns 0, or -errno: what waits goes on waiting, and is safe from the death of the process. */
int store_sync(struct store *s);
