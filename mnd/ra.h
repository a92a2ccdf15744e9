/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ra.h - router solicitations out, router advertisements in (RFC 4861 4.1, 4.2; RFC 6275 7) */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prefix6.h"

#define RA_PREFIX_MAX 8

struct ra_prefix {
	struct prefix6 prefix;
	bool on_link;	      /* L: addresses in it are on this link */
	bool autonomous;      /* A: the kernel forms addresses in it */
	uint32_t preferred_s; /* seconds; 0xffffffff = for ever */
	uint32_t valid_s;
};

struct router_advert {
	bool home_agent;      /* H: an AMA is on this link (RFC 6275 7.1) */
	bool has_ama;	      /* a prefix option with the R bit was there */
	struct in6_addr ama;  /* its global address (RFC 6275 7.2) */
	uint16_t lifetime_s;  /* router lifetime; 0 = not a default router */
	uint32_t interval_ms; /* Advertisement Interval option (RFC 6275 7.3), 0 = absent */
	uint32_t mtu;	      /* MTU option, 0 = absent */
	unsigned n_prefix;
	struct ra_prefix prefix[RA_PREFIX_MAX]; /* what does not fit is left out */
};

/* Read one ICMPv6 router advertisement.
 *   buf, len  from the ICMPv6 type byte to the end of the packet
 * Returns 0, or -EBADMSG (not an RA, cut short, an option of length 0 or running over the end: RFC 4861 6.1.2). Pure.
 */
int ra_read(const uint8_t *buf, size_t len, struct router_advert *ret);

/* Open the ICMPv6 socket: non-blocking, only advertisements pass its filter. Returns the descriptor or -errno. */
int ra_open(void);

/* Take one advertisement from the socket.
 *   ret_router   link-local address of the sender
 *   ret_ifindex  interface it came in on
 * Returns 1, 0 when there is none left, or -EBADMSG for one that must be ignored (hop limit not 255, source not
 * link-local, malformed). */
int ra_receive(int fd, struct router_advert *ret, struct in6_addr *ret_router, uint32_t *ret_ifindex);

/* Send one router solicitation to all routers on the interface. with_address: with the source link-layer address
 * option, which it must not have from an optimistic or unspecified address (RFC 4429 3.2): the link-local address is
 * past duplicate address detection. Returns 0 or -errno. */
int ra_solicit(int fd, uint32_t ifindex, bool with_address);
