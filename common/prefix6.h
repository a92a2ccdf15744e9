/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prefix6.h - an IPv6 prefix as a value */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define PREFIX6_STRLEN (INET6_ADDRSTRLEN + 4) /* "address/128" and the NUL */

/* Always masked: the bits of addr behind len are 0. Make one with the functions below; `= {0}` is ::/0. No padding
 * inside. */
struct prefix6 {
	struct in6_addr addr;
	uint8_t len; /* 0..128 */
};

/* The prefix of len bits (above 128 counts as 128) that addr is in. */
struct prefix6 prefix6_make(const struct in6_addr *addr, uint8_t len);

/* Read "2001:db8::/32". Bits set behind the length are an error (-EINVAL), as is any other text. */
int prefix6_parse(const char *text, struct prefix6 *ret);

/* Write it as "2001:db8::/32" into buf and return buf. */
const char *prefix6_format(const struct prefix6 *p, char buf[PREFIX6_STRLEN]);

bool prefix6_equal(const struct prefix6 *a, const struct prefix6 *b);
/* Order by address, then by length: <0, 0, >0. */
int prefix6_compare(const struct prefix6 *a, const struct prefix6 *b);

bool prefix6_contains(const struct prefix6 *p, const struct in6_addr *addr);
/* Is inner the same as outer, or a part of it? */
bool prefix6_covers(const struct prefix6 *outer, const struct prefix6 *inner);

/* For log lines: text in one of eight static buffers that take turns. */
const char *in6_text(const struct in6_addr *addr);
const char *prefix6_text(const struct prefix6 *p);
const char *link_layer_text(const uint8_t link_layer[6]); /* 02:00:5e:10:00:01; NULL when it is zero */

/* Could a host elsewhere reach it: not unspecified, loopback, multicast, link-local, IPv4-mapped or -compatible. */
bool in6_is_global(const struct in6_addr *addr);
