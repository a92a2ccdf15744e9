/* SPDX-License-Identifier: GPL-2.0-or-later */
/* serving.h - the serving AMA: passes the location updates of nodes on its links on to their anchors (pLU), and is the
 * locator of their prefixes: the anchor's LM maps HNP -> this AMA, the table here maps HNP -> the node's link
 * (framework, fig. 8; ARCHITECTURE, "Through an AMA")
 *
 * What a node says to its anchor is sealed for the anchor: here it is bytes. What this AMA believes is the anchor's
 * PBA, from the peer whose credential covers the prefix. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "fwd.h"
#include "mh.h"
#include "mr.h"
#include "prefix6.h"
#include "srccheck.h"

struct serving;

/* A prefix of another anchor whose node is on one of our links. Owned by serving; for one callback only. */
struct serving_visit {
	struct prefix6 prefix;
	const char *node, *anchor_name;
	struct in6_addr anchor, self; /* the two ends of the tunnel */
	/* the AMA that the node is behind (hierarchy), :: = none; then no link, and care_of is the same */
	struct in6_addr through;
	uint32_t ifindex; /* last hop; 0 = the node has left, forwarded to care_of */
	struct in6_addr link_local, care_of;
	uint8_t link_layer[6]; /* of the node on that link, or zero */
	uint16_t sequence;     /* last that the node used with us about where it is */
	uint8_t domain;	       /* of the node */
	uint64_t until_us, since_us;
};

/* Another AMA that we spoke to. Same rule. */
struct serving_peer {
	struct in6_addr address;
	const char *name, *domain;	 /* NULL while it is not known who is there */
	const struct channel_peer *peer; /* likewise */
	uint64_t rtt_us;		 /* 0 = never */
	uint64_t sent, accepted, refused;
	const char *last_error; /* NULL = none */
};

/* Of whom a request is, and how it came: through another AMA, which passed it on in a PBU with this sequence number? */
struct serving_via {
	uint8_t domain; /* of the node: the owner's number */
	uint16_t relay; /* the owner's name for that AMA, 0 = none: the node is on our link */
	uint16_t sequence;
	struct in6_addr address; /* of the AMA */
};

struct serving_env {
	struct fwd_set *set;
	struct mr *mr;
	struct channel *channel;
	struct srccheck *srccheck; /* NULL = no source check */
	uint16_t port;
	uint32_t max_visits, max_amas; /* max_amas: that nodes have named */
	const char *tunnel_device;
	/* A visit is to be kept over a restart (with what serving_restore takes), or no longer. */
	void (*keep)(void *ctx, const struct serving_visit *v, const uint8_t key[32], uint32_t node_cookie);
	void (*forget)(void *ctx, const struct prefix6 *prefix);
	/* An anchor sends to our new address now. */
	void (*relocated)(void *ctx, const char *anchor, unsigned visits);
	/* Something happened to a visit: visit_began, visit_refreshed, visit_moved, visit_forwarded, visit_ended. */
	void (*event)(void *ctx, const char *event, const struct serving_visit *v);
	/* Send a PBA to the AMA that a node is behind, for the request that came with via. */
	void (*answer_via)(void *ctx, const struct serving_via *via, uint8_t status, uint32_t lifetime_s,
		const struct prefix6 *prefix);
	/* May a node of this domain have so many visits more? May an update be passed on to this anchor? NULL = yes. */
	bool (*room)(void *ctx, uint8_t domain, const char *node, unsigned more);
	bool (*may_ask)(void *ctx, const struct credential *anchor);
	/* Do we believe AMAs of this one's domain about this prefix? NULL = yes. */
	bool (*believes)(void *ctx, const struct credential *anchor, const struct prefix6 *prefix);
	/* Has the node said that it is on a link of ours, later than its message with that number? Then which. NULL =
	 * it has not. */
	bool (*attached_since)(void *ctx, const uint8_t key[32], uint16_t sequence, uint32_t *ret_ifindex,
		struct in6_addr *ret_link_local, uint8_t ret_link_layer[6]);
	/* A domain has a visit more (1) or less (-1). */
	void (*visits)(void *ctx, uint8_t domain, int change);
	/* An AMA said something that it was not asked, or is not believed about. prefix may be NULL. */
	void (*doubt)(void *ctx, const struct channel_peer *ama, const struct prefix6 *prefix, const char *why);
	/* Tell the AMA that a node was behind that it is elsewhere (RFC 5846 with flag P). */
	void (*tell_left)(void *ctx, const struct in6_addr *ama, const struct prefix6 *prefix);
	void *ctx;
};

struct serving_counters {
	uint64_t requests, refused; /* of nodes */
	uint64_t limited;	    /* of nodes: too many, refused with status 130 */
	uint64_t passed, accepted;  /* PBUs to anchors; those they took */
	uint64_t unmatched;	    /* PBAs and relays that nobody waits for */
	uint64_t old;		    /* what nodes said through other AMAs, and an AMA kept back or sent again */
	uint64_t not_covered;	    /* anchors named for prefixes that their credential does not cover */
};

struct serving *serving_new(const struct serving_env *env, uint64_t now_us); /* NULL = no memory */
void serving_free(struct serving *s);
void serving_set_tunnel(struct serving *s, uint32_t tunnel); /* at the start, and when the device is another one */

/* A visit of an earlier run, until until_us. 0 or -ENOMEM. */
int serving_restore(
	struct serving *s, const struct serving_visit *v, const uint8_t key[32], uint32_t node_cookie, uint64_t now_us);

/* A node's request (BU with flag P) to pass its sealed update on; it came in on access interface rx->ep.ifindex, or
 * with via->relay through another AMA, of which the caller has checked that the node named it. The answer, if there is
 * one to give at once, is a status >= 128; 0 = passed on, or waiting to be. */
uint8_t serving_request(struct serving *s, struct channel_peer *node, const struct channel_rx *rx,
	const struct serving_via *via, const struct mh_msg *msg, uint64_t now_us);
/* The node, whose prefix we serve, is behind that AMA now (RFC 5380: a local binding update); its anchor does not hear
 * of it. Returns a status; with 0 the visit goes on for *ret_lifetime_s. */
uint8_t serving_moved(struct serving *s, const uint8_t key[32], const struct prefix6 *prefix,
	const struct in6_addr *through, uint16_t sequence, uint64_t now_us, uint32_t *ret_lifetime_s);
/* What a node says through another AMA counts only if it is newer than all that it has said (RFC 6275 9.5.1): that AMA
 * could have kept it back. The last number, to be told with status 135. */
uint16_t serving_sequence(const struct serving *s, const uint8_t key[32], const struct prefix6 *prefix);
/* The regional AMA, through which requests go: it is believed about any prefix, as it has the anchor's word. ::
 * = none. */
void serving_set_through(struct serving *s, const struct in6_addr *regional);
/* An anchor's answer (PBA), and a sealed datagram for a node (relay). */
void serving_ack(struct serving *s, struct channel_peer *anchor, const struct mh_msg *msg, uint64_t now_us);
void serving_relay(struct serving *s, struct channel_peer *anchor, const struct mh_msg *msg);
/* Discovery told who is at an address. */
void serving_discovered(struct serving *s, const struct in6_addr *from, const struct credential *cred, uint64_t now_us);
/* The node with this key is on that link of ours now, says its message with this number: its visits follow. No anchor
 * hears of it. */
void serving_attached(struct serving *s, const uint8_t key[32], uint16_t sequence, uint32_t ifindex,
	const struct in6_addr *link_local, const uint8_t link_layer[6], uint64_t now_us);
/* The node, on another network now, asks to have what still arrives here forwarded for a moment. False: no
 * such visit. */
bool serving_forward(struct serving *s, const uint8_t key[32], uint16_t sequence, const struct prefix6 *prefix,
	const struct in6_addr *care_of, const struct in6_addr *self, uint64_t now_us);
#define SERVING_FORWARD_S 4
/* An AMA that was not heard for so long may have been started again. */
#define SERVING_IDLE_US (5 * 1000000ULL)
/* The anchor says that the prefix is elsewhere (RFC 5846): what is on its way is still delivered, then the
 * visit ends. Returns 0; -ENOENT, it is not here by that anchor's word; or
 * -EAGAIN, we do not know yet who its anchor is. */
int serving_revoked(struct serving *s, struct channel_peer *anchor, const struct prefix6 *prefix, uint64_t now_us);
/* Is a node of this prefix, which we serve, reached through that AMA? */
bool serving_is_behind(const struct serving *s, const struct prefix6 *prefix, const struct in6_addr *ama);
/* Our address `from` goes, and `to` is there: tell the anchors of all visits whose tunnel ends at it (vendor FORMER),
 * one message each. A visit goes on at the new address when its anchor has said yes. Returns how many anchors are told,
 * or -EBUSY: there are nodes behind other AMAs, which reach us at the old one. *ret_visits: how many visits. */
int serving_relocate(struct serving *s, const struct in6_addr *from, const struct in6_addr *to, uint64_t now_us,
	unsigned *ret_visits);
/* Once a second: what is over ends. */
void serving_tick(struct serving *s, uint64_t now_us);

const struct serving_counters *serving_counters(const struct serving *s);
size_t serving_count(const struct serving *s); /* visits */
size_t serving_amas(const struct serving *s);  /* anchors that are known, or asked who they are */
void serving_each(struct serving *s, void (*cb)(void *ctx, const struct serving_visit *v), void *ctx);
void serving_each_peer(struct serving *s, void (*cb)(void *ctx, const struct serving_peer *p), void *ctx);
