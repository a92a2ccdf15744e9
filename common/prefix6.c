/* SPDX-License-Identifier: GPL-2.0-or-later */
/* prefix6.c - an IPv6 prefix as a value */
#include "prefix6.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct prefix6 prefix6_make(const struct in6_addr *addr, uint8_t len)
{
	struct prefix6 p = {.len = len > 128 ? 128 : len};

	memcpy(p.addr.s6_addr, addr->s6_addr, p.len / 8);
	if (p.len % 8)
		p.addr.s6_addr[p.len / 8] = (uint8_t)(addr->s6_addr[p.len / 8] & (0xff00 >> (p.len % 8)));
	return p;
}

int prefix6_parse(const char *text, struct prefix6 *ret)
{
	char buf[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	struct in6_addr addr;
	struct prefix6 p;
	unsigned long len;
	char *end;

	if (!slash || (size_t)(slash - text) >= sizeof(buf) || slash[1] < '0' || slash[1] > '9')
		return -EINVAL;
	memcpy(buf, text, (size_t)(slash - text));
	buf[slash - text] = '\0';
	len = strtoul(slash + 1, &end, 10);
	if (*end || len > 128 || inet_pton(AF_INET6, buf, &addr) != 1)
		return -EINVAL;
	p = prefix6_make(&addr, (uint8_t)len);
	if (!IN6_ARE_ADDR_EQUAL(&p.addr, &addr))
		return -EINVAL;
	*ret = p;
	return 0;
}

const char *prefix6_format(const struct prefix6 *p, char buf[PREFIX6_STRLEN])
{
	size_t n;

	(void)inet_ntop(AF_INET6, &p->addr, buf, PREFIX6_STRLEN);
	n = strlen(buf);
	(void)snprintf(buf + n, PREFIX6_STRLEN - n, "/%u", p->len);
	return buf;
}

bool prefix6_equal(const struct prefix6 *a, const struct prefix6 *b)
{
	return a->len == b->len && IN6_ARE_ADDR_EQUAL(&a->addr, &b->addr);
}

int prefix6_compare(const struct prefix6 *a, const struct prefix6 *b)
{
	int diff = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return diff ? diff : (int)a->len - (int)b->len;
}

bool prefix6_contains(const struct prefix6 *p, const struct in6_addr *addr)
{
	struct prefix6 q = prefix6_make(addr, p->len);

	return IN6_ARE_ADDR_EQUAL(&p->addr, &q.addr);
}

bool prefix6_covers(const struct prefix6 *outer, const struct prefix6 *inner)
{
	return inner->len >= outer->len && prefix6_contains(outer, &inner->addr);
}

static char *text_buffer(void)
{
	static char buf[8][PREFIX6_STRLEN];
	static unsigned turn;

	return buf[turn++ % 8];
}

const char *in6_text(const struct in6_addr *addr)
{
	return inet_ntop(AF_INET6, addr, text_buffer(), PREFIX6_STRLEN);
}

const char *prefix6_text(const struct prefix6 *p)
{
	return prefix6_format(p, text_buffer());
}

const char *link_layer_text(const uint8_t link_layer[6])
{
	const uint8_t *l = link_layer;
	char *buf = text_buffer();

	if (!(l[0] | l[1] | l[2] | l[3] | l[4] | l[5]))
		return NULL;
	(void)snprintf(buf, PREFIX6_STRLEN, "%02x:%02x:%02x:%02x:%02x:%02x", l[0], l[1], l[2], l[3], l[4], l[5]);
	return buf;
}

bool in6_is_global(const struct in6_addr *addr)
{
	return !IN6_IS_ADDR_UNSPECIFIED(addr) && !IN6_IS_ADDR_LOOPBACK(addr) && !IN6_IS_ADDR_MULTICAST(addr) &&
		!IN6_IS_ADDR_LINKLOCAL(addr) && !IN6_IS_ADDR_V4MAPPED(addr) && !IN6_IS_ADDR_V4COMPAT(addr);
}
