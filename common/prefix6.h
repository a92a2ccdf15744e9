/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prefix6.h - an IPv6 prefix as a value */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#define PREFIX6_TEXT (INET6_ADDRSTRLEN + 4) /* "address/128" and the NUL */

/* Always masked: the bits of addr behind len are 0. Make one with the functions below; `= {0}` is ::/0. No padding
 * inside. */
struct prefix6 {
	struct in6_addr addr;
	uint8_t len; /* 0..128 */
};

/* The prefix of len bits (asserted <= 128) that addr is in. */
struct prefix6 prefix6_make(const struct in6_addr *addr, unsigned int len);

/* Read "2001:db8::/32"; without "/", a /128. Bits set behind the length are an error (-EINVAL), as is any other text.
 */
int prefix6_parse(const char *text, struct prefix6 *ret);

/* Write it as "2001:db8::/32" into buf and return buf. */
const char *prefix6_format(const struct prefix6 *p, char buf[static PREFIX6_TEXT]);

/* Is inner the same as outer, or a part of it? */
bool prefix6_contains(const struct prefix6 *outer, const struct prefix6 *inner);
bool prefix6_contains_addr(const struct prefix6 *p, const struct in6_addr *addr);

/* Order by address, then by length: <0, 0, >0. */
int prefix6_compare(const struct prefix6 *a, const struct prefix6 *b);
