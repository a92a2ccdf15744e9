/* SPDX-License-Identifier: GPL-2.0-or-later */
/* isolate.h - the way into and out of network namespaces that hold one address of a home network prefix and nothing
 * else
 *
 * A veth pair joins each with mnd's namespace. Packets never pass the node's forwarding, which stays off (it would
 * silence router advertisements): a BPF program at the outer end sends them on to the router, or through the tunnel to
 * the anchor; another one where links and the tunnel device receive takes what is for them. A move changes an entry of
 * a map; nothing changes inside. While mnd does not run the programs go on. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "nl.h"

#define ISOLATE_ERR   256
#define ISOLATE_INNER "home0" /* the inner end of the pair */
#define ISOLATE_MTU   1280    /* of the route inside: what every path carries, so that it never has to change */

/* As in isolate.bpf.c. */
enum isolate_kind { ISOLATE_NOWHERE, ISOLATE_NATIVE, ISOLATE_TUNNEL };
struct isolate_way {
	struct in6_addr address;	 /* of the namespace */
	uint32_t kind;			 /* enum isolate_kind */
	uint32_t ifindex;		 /* to leave by: the link, or the tunnel device */
	struct in6_addr router;		 /* native */
	struct in6_addr anchor, care_of; /* tunnel: outer destination and source */
};

struct isolate; /* the programs; owned by mnd, made when somebody needs them */

int isolate_new(struct isolate **ret, char *reterr);
void isolate_free(struct isolate *s);

/* Make a pair whose inner end is in the network namespace netns, which must belong to uid (its user namespace was made
 * by uid; 0 may use any) and not be ours. Returns 0, or -errno with a sentence in reterr. The pair goes with the
 * namespace. */
int isolate_join(struct isolate *s, struct nl *nl, int netns, uid_t uid, uint32_t *ret_outer, char *reterr);
/* An outer end that was there before this run: its program is replaced. 0 or -errno. */
int isolate_adopt(struct isolate *s, uint32_t outer);
/* Say which way its packets go. */
int isolate_set(struct isolate *s, uint32_t outer, const struct isolate_way *way);
void isolate_end(struct isolate *s, uint32_t outer, const struct in6_addr *address);
/* Take what is for them where ifindex receives. Does nothing if it does already. */
int isolate_listen(struct isolate *s, uint32_t ifindex);
/* Do not any more; also if it was an earlier run that did. s may be NULL. */
void isolate_deafen(struct isolate *s, uint32_t ifindex);
