/* SPDX-License-Identifier: GPL-2.0-or-later */
/* store.h - committed state: leases, bindings, the restart counter (DESIGN 6) */
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
	char ifname[IF_NAMESIZE]; /* the node is on this link; "" = it is not */
	struct in6_addr link_local;
};
struct store_binding {
	struct prefix6 prefix;
	struct in6_addr care_of, self;
	uint64_t until_s;
	uint16_t mtu;
};

/* Open or make the store in a directory. Returns 0, or -errno with a sentence in reterr; a damaged store is left alone. */
int store_open(const char *directory, struct store **ret, char *reterr);
void store_close(struct store *s);

/* Read everything; the callbacks must not call store functions. Returns 0 or -errno. */
int store_load(struct store *s, void (*lease)(void *ctx, const struct store_lease *l),
	void (*binding)(void *ctx, const struct store_binding *b), void *ctx, uint32_t *ret_restart_counter);

/* Changes of a turn; they are committed together by store_commit. 0 or -errno. */
int store_put_lease(struct store *s, const struct store_lease *l);
int store_delete_lease(struct store *s, const struct prefix6 *prefix);
int store_put_binding(struct store *s, const struct store_binding *b);
int store_delete_binding(struct store *s, const struct prefix6 *prefix);
int store_put_restart_counter(struct store *s, uint32_t counter);

/* Commit: what was put survives the death of the process. A changed lease is also on disk before this returns; bindings
 * are by the next store_sync. Returns 1 when something waits for store_sync, 0, or -errno: nothing of this turn was committed. */
int store_commit(struct store *s);
int store_sync(struct store *s);
