/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wire.h - read and write cursors: the only place that compares a length with the bytes left
 *
 * Both are sticky: the first access out of bounds marks the cursor as failed for good, reads then yield zero and writes
 * do nothing. The caller asks once, before acting on anything read, and at the end of writing. Multi-byte numbers are
 * in network order on the wire and in host order here. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rcur {
	const uint8_t *base, *pos, *end;
	bool failed;
};

struct rcur rcur_make(const void *buf, size_t len);
static inline bool rcur_ok(const struct rcur *c)
{
	return !c->failed;
}
/* Bytes left, 0 once failed. */
static inline size_t rcur_left(const struct rcur *c)
{
	return c->failed ? 0 : (size_t)(c->end - c->pos);
}
/* Bytes read so far. */
static inline size_t rcur_offset(const struct rcur *c)
{
	return (size_t)(c->pos - c->base);
}
uint8_t rcur_u8(struct rcur *c);
uint16_t rcur_u16(struct rcur *c);
uint32_t rcur_u32(struct rcur *c);
uint64_t rcur_u64(struct rcur *c);
void rcur_in6(struct rcur *c, struct in6_addr *ret);
/* Copy len bytes out; ret is zeroed if there are not as many. */
void rcur_bytes(struct rcur *c, void *ret, size_t len);
/* Pointer to the next len bytes, which stay the caller's; NULL if there are not as many. */
const uint8_t *rcur_take(struct rcur *c, size_t len);
void rcur_skip(struct rcur *c, size_t len);
/* A cursor for the next len bytes, which cannot see further; empty and failed if there are not as many. */
struct rcur rcur_sub(struct rcur *c, size_t len);

struct wcur {
	uint8_t *base, *pos, *end;
	bool failed;
};

struct wcur wcur_make(void *buf, size_t capacity);
static inline bool wcur_ok(const struct wcur *w)
{
	return !w->failed;
}
/* Bytes written so far. */
static inline size_t wcur_len(const struct wcur *w)
{
	return (size_t)(w->pos - w->base);
}
void wcur_u8(struct wcur *w, uint8_t v);
void wcur_u16(struct wcur *w, uint16_t v);
void wcur_u32(struct wcur *w, uint32_t v);
void wcur_u64(struct wcur *w, uint64_t v);
void wcur_in6(struct wcur *w, const struct in6_addr *v);
void wcur_bytes(struct wcur *w, const void *v, size_t len);
void wcur_zero(struct wcur *w, size_t len);
/* Room for len bytes to be filled by the caller, or NULL. */
uint8_t *wcur_room(struct wcur *w, size_t len);
/* Overwrite one byte or a 16-bit number that was written before, at offset from the beginning. */
void wcur_patch_u8(struct wcur *w, size_t offset, uint8_t v);
void wcur_patch_u16(struct wcur *w, size_t offset, uint16_t v);
