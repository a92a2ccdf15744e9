/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fwd.h - forwarding state as values: what should be in the kernel, what is, and the difference (pure)
 *
 * rc says what it wants (fwd_want, fwd_unwant), nl says what it found (fwd_found, fwd_lost), and fwd_next hands out the
 * changes that bring one to the other: nexthops before the routes that use them, deletions of routes before deletions
 * of nexthops. A change costs O(1), whatever the number of objects. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prefix6.h"

#define FWD_PROTOCOL 108 /* rtm_protocol, FRA_PROTOCOL, nh_protocol of everything that is ours */

enum fwd_kind { FWD_NEXTHOP, FWD_ADDRESS, FWD_ROUTE, FWD_RULE, FWD_KINDS };
const char *fwd_kind_name(enum fwd_kind kind);

/* IPv6-in-IPv6 encapsulation; dst :: = none. */
struct fwd_encap {
	struct in6_addr dst, src;
};

enum fwd_route_type { FWD_UNICAST, FWD_UNREACHABLE };

struct fwd_object {
	enum fwd_kind kind;
	union {
		struct { /* identity: id */
			uint32_t id, oif;
			struct fwd_encap encap;
		} nexthop;
		struct { /* identity: ifindex, address */
			uint32_t ifindex;
			struct in6_addr address; /* /128 */
			bool deprecated;	 /* preferred lifetime 0, else for ever */
		} address;
		struct { /* identity: dst, src, table, metric */
			struct prefix6 dst;
			uint8_t type; /* enum fwd_route_type */
			/* set by the set in what it hands out: prefsrc, encap and src are none, and must not be read */
			bool brief;
			uint32_t table, metric;
			uint32_t nexthop; /* id of a nexthop object, 0 = none; then no oif, gateway, encap */
			uint32_t mtu;	  /* 0 = the device's */
			uint32_t oif;
			struct in6_addr gateway; /* :: = none, as below */
			struct in6_addr prefsrc;
			struct fwd_encap encap;
			struct prefix6 src; /* only for packets from there; length 0 = from anywhere */
		} route;
		struct { /* identity: all */
			struct prefix6 from;
			uint32_t table, priority;
			uint32_t mark;	       /* only for sockets with this mark, and then from anywhere; 0 = any */
			char iif[IF_NAMESIZE]; /* only for packets that come in there; "" = anywhere */
		} rule;
	};
};

/* Copy what a set handed out. */
void fwd_object_copy(struct fwd_object *to, const struct fwd_object *from);

/* One line about an object, in a static buffer: "route 2001:db8::/64 table 254". */
const char *fwd_object_text(const struct fwd_object *o);

enum fwd_op { FWD_ADD, FWD_REPLACE, FWD_DELETE };

/* An object we want or have; owned by the set. ctx and cookie are the owner's: whom to tell when the kernel has
 * answered. */
struct fwd_entry;
struct fwd_set;

struct fwd_counters {
	uint64_t changes[FWD_KINDS];  /* requests that were made */
	uint64_t failures[FWD_KINDS]; /* requests that the kernel refused */
	uint64_t restored[FWD_KINDS]; /* put back after somebody else deleted or changed it */
	/* deletions and changes by others not undone at once, because they came too fast */
	uint64_t held_back;
};

/* result: 0 or -errno; text: the kernel's sentence or NULL. Called once for each fwd_want and fwd_unwant with a cookie,
 * also when nothing had to be changed. */
typedef void fwd_done_cb(void *ctx, uint64_t cookie, int result, const char *text);

struct fwd_set *fwd_new(fwd_done_cb *done, void *ctx); /* NULL = no memory */
void fwd_free(struct fwd_set *s);
size_t fwd_count(const struct fwd_set *s);
const struct fwd_counters *fwd_counters(const struct fwd_set *s);

/* Want this object, in place of another of the same identity. cookie 0 = nobody waits. Returns 0 or -ENOMEM. */
int fwd_want(struct fwd_set *s, const struct fwd_object *o, uint64_t cookie);
/* Do not want the object of this identity any more. */
void fwd_unwant(struct fwd_set *s, const struct fwd_object *o, uint64_t cookie);
/* Between the two calls everything that is wanted is said with fwd_want; what was not is no longer wanted after
 * fwd_end. */
void fwd_begin(struct fwd_set *s);
void fwd_end(struct fwd_set *s);

/* The kernel has this object of ours (from a dump). Not wanted: it will be deleted. */
void fwd_found(struct fwd_set *s, const struct fwd_object *o);
/* A dump begins: forget what the kernel is thought to have. After all fwd_found calls, what is wanted and was not found
 * is a change again. count_restored: the dump follows a loss of news or of a device, not a start. */
void fwd_forget(struct fwd_set *s, bool count_restored);
/* News: somebody else deleted this. Returns true when it is wanted, and so will be put back by the next changes. At
 * most 20 times in 10 s an object; then it is held back until the time is over (fwd_wake_us). */
bool fwd_lost(struct fwd_set *s, const struct fwd_object *o, uint64_t now_us);
/* News: somebody else made or changed this. Returns true when it is wanted, but otherwise, and so will be put back;
 * false also when it is held back as above. Not wanted: it will be deleted. */
bool fwd_changed(struct fwd_set *s, const struct fwd_object *o, uint64_t now_us);
/* Something that refused a change before may accept it now (a link came): try failed ones again. */
void fwd_retry(struct fwd_set *s);
/* When objects held back become due, UINT64_MAX = none are. Call fwd_release then. */
uint64_t fwd_wake_us(const struct fwd_set *s);
void fwd_release(struct fwd_set *s, uint64_t now_us);

/* Take the next change to make, or NULL. *ret_object lives until fwd_result is called for the entry. */
struct fwd_entry *fwd_next(struct fwd_set *s, enum fwd_op *ret_op, const struct fwd_object **ret_object);
/* The kernel's answer to a change that fwd_next handed out. ADD of what exists becomes a REPLACE, DELETE of what is not
 * there is success: decided here and nowhere else. */
void fwd_result(struct fwd_set *s, struct fwd_entry *e, int result, const char *text);

/* Walk over what is wanted; error is the result of the last change, 0 = in the kernel as far as we know. */
void fwd_each(const struct fwd_set *s, void (*cb)(void *ctx, const struct fwd_object *o, int error), void *ctx);
