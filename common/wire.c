/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire.c - read and write cursors */
#include "wire.h"

#include <string.h>

struct rcur rcur_make(const void *buf, size_t len)
{
	const uint8_t *p = buf;

	return (struct rcur){.base = p, .pos = p, .end = len ? p + len : p}; /* NULL + 0 is not defined */
}

const uint8_t *rcur_take(struct rcur *c, size_t len)
{
	const uint8_t *p = c->pos;

	if (c->failed || (size_t)(c->end - c->pos) < len) {
		c->failed = true;
		return NULL;
	}
	c->pos += len;
	return p;
}

uint8_t rcur_u8(struct rcur *c)
{
	const uint8_t *p = rcur_take(c, 1);

	return p ? *p : 0;
}

uint16_t rcur_u16(struct rcur *c)
{
	const uint8_t *p = rcur_take(c, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

uint32_t rcur_u32(struct rcur *c)
{
	const uint8_t *p = rcur_take(c, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

uint64_t rcur_u64(struct rcur *c)
{
	uint64_t high, low;

	if (rcur_left(c) < 8) {
		c->failed = true;
		return 0;
	}
	high = rcur_u32(c);
	low = rcur_u32(c);
	return high << 32 | low;
}

void rcur_bytes(struct rcur *c, void *ret, size_t len)
{
	const uint8_t *p = rcur_take(c, len);

	if (p)
		memcpy(ret, p, len);
	else
		memset(ret, 0, len);
}

void rcur_in6(struct rcur *c, struct in6_addr *ret)
{
	rcur_bytes(c, ret, sizeof(*ret));
}

void rcur_skip(struct rcur *c, size_t len)
{
	(void)rcur_take(c, len);
}

struct rcur rcur_sub(struct rcur *c, size_t len)
{
	const uint8_t *p = rcur_take(c, len);
	struct rcur sub = rcur_make(p, p ? len : 0);

	sub.failed = !p;
	return sub;
}

struct wcur wcur_make(void *buf, size_t capacity)
{
	return (struct wcur){.base = buf, .pos = buf, .end = (uint8_t *)buf + capacity};
}

uint8_t *wcur_room(struct wcur *w, size_t len)
{
	uint8_t *p = w->pos;

	if (w->failed || (size_t)(w->end - w->pos) < len) {
		w->failed = true;
		return NULL;
	}
	w->pos += len;
	return p;
}

void wcur_bytes(struct wcur *w, const void *v, size_t len)
{
	uint8_t *p = wcur_room(w, len);

	if (p && len)
		memcpy(p, v, len);
}

void wcur_u8(struct wcur *w, uint8_t v)
{
	wcur_bytes(w, &v, 1);
}

void wcur_u16(struct wcur *w, uint16_t v)
{
	wcur_bytes(w, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

void wcur_u32(struct wcur *w, uint32_t v)
{
	wcur_bytes(w, (uint8_t[]){(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}, 4);
}

void wcur_u64(struct wcur *w, uint64_t v)
{
	uint8_t b[8];

	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (56 - 8 * i));
	wcur_bytes(w, b, sizeof(b));
}

void wcur_in6(struct wcur *w, const struct in6_addr *v)
{
	wcur_bytes(w, v, sizeof(*v));
}

void wcur_zero(struct wcur *w, size_t len)
{
	uint8_t *p = wcur_room(w, len);

	if (p)
		memset(p, 0, len);
}

void wcur_patch_u8(struct wcur *w, size_t offset, uint8_t v)
{
	if (offset >= wcur_len(w))
		w->failed = true;
	else
		w->base[offset] = v;
}

void wcur_patch_u16(struct wcur *w, size_t offset, uint16_t v)
{
	wcur_patch_u8(w, offset, (uint8_t)(v >> 8));
	wcur_patch_u8(w, offset + 1, (uint8_t)v);
}
