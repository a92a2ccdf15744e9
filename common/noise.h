/* SPDX-License-Identifier: GPL-2.0-or-later */
/* noise.h - the Noise protocol framework, revision 34: 25519, ChaChaPoly, SHA256, patterns without psk
 *
 * The channel uses IK. The other patterns differ by a table row only, and let the published vectors test more of the
 * code. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secret.h"

#define NOISE_DH_LEN	  32
#define NOISE_HASH_LEN	  32
#define NOISE_TAG_LEN	  16
#define NOISE_MESSAGE_MAX 65535
#define NOISE_SUITE	  "25519_ChaChaPoly_SHA256"

struct noise_pattern; /* one row of the table in noise.c */

struct noise_cipher {
	struct secret key;
	uint64_t n; /* next nonce */
	bool has_key;
};

/* A handshake under way. Its owner ends it with noise_done(), which wipes it. May be copied as a value (then
 * end both). */
struct noise {
	const struct noise_pattern *pattern;
	bool initiator;
	unsigned int message; /* messages written and read so far */
	struct noise_cipher cipher;
	uint8_t ck[NOISE_HASH_LEN], h[NOISE_HASH_LEN];
	struct secret s, e;
	uint8_t s_public[NOISE_DH_LEN], e_public[NOISE_DH_LEN], rs[NOISE_DH_LEN], re[NOISE_DH_LEN];
	bool has_s, has_e, has_rs, has_re;
};

/* "IK" -> its pattern, or NULL. */
const struct noise_pattern *noise_find_pattern(const char *name);
bool noise_is_one_way(const struct noise_pattern *pattern);

/* Begin a handshake. s: own static private key, or NULL; rs: the other's static public key, or NULL.
 * 0, or -EINVAL if the pattern needs a key before the first message that is not given. */
int noise_init(struct noise *hs, const struct noise_pattern *pattern, bool initiator, const uint8_t *prologue,
	size_t prologue_len, const struct secret *s, const uint8_t *rs);
void noise_done(struct noise *hs);

/* For vectors: use this ephemeral key instead of a random one. */
void noise_set_ephemeral(struct noise *hs, const struct secret *e);

bool noise_is_finished(const struct noise *hs);
bool noise_is_our_turn(const struct noise *hs);

/* Bytes that the next message is longer than its payload. */
size_t noise_overhead(const struct noise *hs);

/* Write or read the next message. 0 with *ret_len set; -ENOBUFS if out is too small, -EBADMSG if the message is
 * malformed or not authentic, -EPROTO if it is not our turn or a static key is missing. After a failure hs can only be
 * ended: who wants to go on with it after a forged message reads with a copy. payload and out must not overlap. */
int noise_write(
	struct noise *hs, const uint8_t *payload, size_t payload_len, uint8_t *out, size_t size, size_t *ret_len);
int noise_read(struct noise *hs, const uint8_t *msg, size_t len, uint8_t *out, size_t size, size_t *ret_len);

/* The keys of a finished handshake: for our messages, and for theirs. After a one-way pattern only the initiator may
 * send. */
int noise_split(const struct noise *hs, struct noise_cipher *ret_send, struct noise_cipher *ret_recv);

/* One message after the handshake (no associated data, nonces count up). out takes len + 16, or len - 16 bytes; 0 or
 * -EBADMSG. */
int noise_encrypt(struct noise_cipher *c, const uint8_t *plain, size_t len, uint8_t *out);
int noise_decrypt(struct noise_cipher *c, const uint8_t *msg, size_t len, uint8_t *out);
