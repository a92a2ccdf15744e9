/* SPDX-License-Identifier: GPL-2.0-or-later */
/* noise.c - the Noise protocol framework, revision 34
 *
 * Names are those of the specification (section 5): CipherState, SymmetricState and HandshakeState with their
 * functions; a handshake pattern (section 7) is a row of tokens that noise_write() and noise_read() walk through.
 * Section numbers below are those of the specification. Left out: psk modifiers, fallback, other suites, Rekey(). */
#include "noise.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

enum token { END, E, S, EE, ES, SE, SS };

#define MESSAGES 3
#define TOKENS	 6

/* Section 7.4 and 7.5. Messages alternate, the initiator begins; pre_*: the static key that the other side knows
 * before. */
static const struct noise_pattern {
	char name[3];
	bool pre_i, pre_r;
	enum token messages[MESSAGES][TOKENS];
} patterns[] = {
	{"N", false, true, {{E, ES}}},
	{"K", true, true, {{E, ES, SS}}},
	{"X", false, true, {{E, ES, S, SS}}},
	{"NN", false, false, {{E}, {E, EE}}},
	{"NK", false, true, {{E, ES}, {E, EE}}},
	{"NX", false, false, {{E}, {E, EE, S, ES}}},
	{"KN", true, false, {{E}, {E, EE, SE}}},
	{"KK", true, true, {{E, ES, SS}, {E, EE, SE}}},
	{"KX", true, false, {{E}, {E, EE, SE, S, ES}}},
	{"XN", false, false, {{E}, {E, EE}, {S, SE}}},
	{"XK", false, true, {{E, ES}, {E, EE}, {S, SE}}},
	{"XX", false, false, {{E}, {E, EE, S, ES}, {S, SE}}},
	{"IN", false, false, {{E, S}, {E, EE, SE}}},
	{"IK", false, true, {{E, ES, S, SS}, {E, EE, SE}}},
	{"IX", false, false, {{E, S}, {E, EE, SE, S, ES}}},
};

const struct noise_pattern *noise_find_pattern(const char *name)
{
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (!strcmp(patterns[i].name, name))
			return &patterns[i];
	return NULL;
}

bool noise_is_one_way(const struct noise_pattern *pattern)
{
	return pattern->messages[1][0] == END;
}

/* --- CipherState (5.1) --------------------------------------------------------------------------------------- */

static void set_nonce(uint8_t nonce[12], uint64_t n)
{
	memset(nonce, 0, 4);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] = (uint8_t)(n >> (8 * i)); /* 12.3: little-endian behind 32 zero bits */
}

/* EncryptWithAd; out takes len + 16 bytes. */
static int cipher_encrypt(
	struct noise_cipher *c, const uint8_t *ad, size_t ad_len, const uint8_t *plain, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	if (c->n == UINT64_MAX)
		return -EPROTO;
	set_nonce(nonce, c->n++);
	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, plain, len, ad, ad_len, NULL, nonce, c->key.b);
	return 0;
}

static int cipher_decrypt(
	struct noise_cipher *c, const uint8_t *ad, size_t ad_len, const uint8_t *msg, size_t len, uint8_t *out)
{
	uint8_t nonce[12];

	if (len < NOISE_TAG_LEN || c->n == UINT64_MAX)
		return -EBADMSG;
	set_nonce(nonce, c->n);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(out, NULL, NULL, msg, len, ad, ad_len, nonce, c->key.b))
		return -EBADMSG; /* the nonce is not used up (5.1) */
	c->n++;
	return 0;
}

int noise_encrypt(struct noise_cipher *c, const uint8_t *plain, size_t len, uint8_t *out)
{
	return c->has_key ? cipher_encrypt(c, NULL, 0, plain, len, out) : -EPROTO;
}

int noise_decrypt(struct noise_cipher *c, const uint8_t *msg, size_t len, uint8_t *out)
{
	return c->has_key ? cipher_decrypt(c, NULL, 0, msg, len, out) : -EBADMSG;
}

/* --- SymmetricState (5.2) ------------------------------------------------------------------------------------ */

static void hmac(const uint8_t key[32], const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len, uint8_t out[32])
{
	crypto_auth_hmacsha256_state st;

	crypto_auth_hmacsha256_init(&st, key, 32);
	crypto_auth_hmacsha256_update(&st, a, a_len);
	crypto_auth_hmacsha256_update(&st, b, b_len);
	crypto_auth_hmacsha256_final(&st, out);
	sodium_memzero(&st, sizeof(st));
}

/* HKDF with two outputs (4.3). */
static void hkdf(const uint8_t ck[32], const uint8_t *ikm, size_t len, uint8_t out1[32], uint8_t out2[32])
{
	uint8_t temp[32], o1[32];

	hmac(ck, ikm, len, NULL, 0, temp);
	hmac(temp, (const uint8_t *)"\x01", 1, NULL, 0, o1);
	hmac(temp, o1, 32, (const uint8_t *)"\x02", 1, out2);
	memcpy(out1, o1, 32);
	sodium_memzero(temp, sizeof(temp));
	sodium_memzero(o1, sizeof(o1));
}

static void mix_hash(struct noise *hs, const uint8_t *data, size_t len)
{
	crypto_hash_sha256_state st;

	crypto_hash_sha256_init(&st);
	crypto_hash_sha256_update(&st, hs->h, sizeof(hs->h));
	crypto_hash_sha256_update(&st, data, len);
	crypto_hash_sha256_final(&st, hs->h);
}

static void mix_key(struct noise *hs, const uint8_t *ikm)
{
	hkdf(hs->ck, ikm, NOISE_DH_LEN, hs->ck, hs->cipher.key.b);
	hs->cipher.n = 0;
	hs->cipher.has_key = true;
}

/* out takes len bytes, and 16 more once there is a key. */
static int encrypt_and_hash(struct noise *hs, const uint8_t *plain, size_t len, uint8_t *out)
{
	size_t out_len = len + (hs->cipher.has_key ? NOISE_TAG_LEN : 0);
	int r = 0;

	if (hs->cipher.has_key)
		r = cipher_encrypt(&hs->cipher, hs->h, sizeof(hs->h), plain, len, out);
	else if (len)
		memcpy(out, plain, len);
	if (!r)
		mix_hash(hs, out, out_len);
	return r;
}

static int decrypt_and_hash(struct noise *hs, const uint8_t *msg, size_t len, uint8_t *out)
{
	int r = 0;

	if (hs->cipher.has_key)
		r = cipher_decrypt(&hs->cipher, hs->h, sizeof(hs->h), msg, len, out);
	else if (len)
		memcpy(out, msg, len);
	if (!r)
		mix_hash(hs, msg, len);
	return r;
}

/* --- HandshakeState (5.3) ------------------------------------------------------------------------------------ */

int noise_init(struct noise *hs, const struct noise_pattern *pattern, bool initiator, const uint8_t *prologue,
	size_t prologue_len, const struct secret *s, const uint8_t *rs)
{
	uint8_t name[NOISE_HASH_LEN] = "Noise_";

	if (((initiator ? pattern->pre_i : pattern->pre_r) && !s) ||
		((initiator ? pattern->pre_r : pattern->pre_i) && !rs))
		return -EINVAL;
	*hs = (struct noise){.pattern = pattern, .initiator = initiator, .has_s = s != NULL, .has_rs = rs != NULL};
	/* The name is at most 32 bytes long, so that h is the name itself, filled up with zeros (5.2
	 * InitializeSymmetric). */
	strcat((char *)name, pattern->name);
	strcat((char *)name, "_");
	memcpy(name + strlen((char *)name), NOISE_SUITE, strlen(NOISE_SUITE));
	memcpy(hs->h, name, sizeof(hs->h));
	memcpy(hs->ck, name, sizeof(hs->ck));
	mix_hash(hs, prologue, prologue_len);
	if (s) {
		secret_copy(&hs->s, s);
		crypto_scalarmult_base(hs->s_public, s->b);
	}
	if (rs)
		memcpy(hs->rs, rs, sizeof(hs->rs));
	if (pattern->pre_i)
		mix_hash(hs, initiator ? hs->s_public : hs->rs, NOISE_DH_LEN);
	if (pattern->pre_r)
		mix_hash(hs, initiator ? hs->rs : hs->s_public, NOISE_DH_LEN);
	return 0;
}

void noise_done(struct noise *hs)
{
	sodium_memzero(hs, sizeof(*hs));
}

void noise_set_ephemeral(struct noise *hs, const struct secret *e)
{
	secret_copy(&hs->e, e);
	crypto_scalarmult_base(hs->e_public, e->b);
	hs->has_e = true;
}

bool noise_is_finished(const struct noise *hs)
{
	return hs->message == MESSAGES || hs->pattern->messages[hs->message][0] == END;
}

bool noise_is_our_turn(const struct noise *hs)
{
	return !noise_is_finished(hs) && (hs->message % 2 == 0) == hs->initiator;
}

size_t noise_overhead(const struct noise *hs)
{
	bool has_key = hs->cipher.has_key;
	size_t len = 0;

	if (noise_is_finished(hs))
		return 0;
	for (const enum token *t = hs->pattern->messages[hs->message]; *t != END; t++)
		switch (*t) {
		case E:
			len += NOISE_DH_LEN;
			break;
		case S:
			len += NOISE_DH_LEN + (has_key ? NOISE_TAG_LEN : 0);
			break;
		case EE:
		case ES:
		case SE:
		case SS:
			has_key = true;
			break;
		case END:
			break;
		}
	return len + (has_key ? NOISE_TAG_LEN : 0);
}

/* EE, ES, SE, SS: first letter = the initiator's key. */
static int mix_dh(struct noise *hs, enum token t)
{
	bool ours_is_s = t == SS || t == (hs->initiator ? SE : ES);
	bool theirs_is_s = t == SS || t == (hs->initiator ? ES : SE);
	uint8_t shared[NOISE_DH_LEN];
	int r = 0;

	if ((ours_is_s ? !hs->has_s : !hs->has_e) || (theirs_is_s ? !hs->has_rs : !hs->has_re))
		return -EPROTO;
	/* A public key of low order gives all zeros: refused, as 12.1 allows. */
	if (crypto_scalarmult(shared, ours_is_s ? hs->s.b : hs->e.b, theirs_is_s ? hs->rs : hs->re))
		r = -EBADMSG;
	else
		mix_key(hs, shared);
	sodium_memzero(shared, sizeof(shared));
	return r;
}

int noise_write(
	struct noise *hs, const uint8_t *payload, size_t payload_len, uint8_t *out, size_t size, size_t *ret_len)
{
	size_t total = noise_overhead(hs) + payload_len;
	uint8_t *pos = out;
	int r = 0;

	if (!noise_is_our_turn(hs))
		return -EPROTO;
	if (total > size || total > NOISE_MESSAGE_MAX)
		return -ENOBUFS;
	for (const enum token *t = hs->pattern->messages[hs->message]; *t != END && !r; t++)
		switch (*t) {
		case E:
			if (!hs->has_e) {
				crypto_box_keypair(hs->e_public, hs->e.b);
				hs->has_e = true;
			}
			memcpy(pos, hs->e_public, NOISE_DH_LEN);
			pos += NOISE_DH_LEN;
			mix_hash(hs, hs->e_public, NOISE_DH_LEN);
			break;
		case S:
			if (!hs->has_s)
				return -EPROTO;
			r = encrypt_and_hash(hs, hs->s_public, NOISE_DH_LEN, pos);
			pos += NOISE_DH_LEN + (hs->cipher.has_key ? NOISE_TAG_LEN : 0);
			break;
		case EE:
		case ES:
		case SE:
		case SS:
			r = mix_dh(hs, *t);
			break;
		case END:
			break;
		}
	if (!r)
		r = encrypt_and_hash(hs, payload, payload_len, pos);
	if (r)
		return r;
	hs->message++;
	*ret_len = total;
	return 0;
}

int noise_read(struct noise *hs, const uint8_t *msg, size_t len, uint8_t *out, size_t size, size_t *ret_len)
{
	size_t overhead = noise_overhead(hs), n;
	int r = 0;

	if (noise_is_finished(hs) || noise_is_our_turn(hs))
		return -EPROTO;
	if (len < overhead || len > NOISE_MESSAGE_MAX)
		return -EBADMSG;
	if (len - overhead > size)
		return -ENOBUFS;
	/* len >= overhead, so that no key below can lie behind the end of msg. */
	for (const enum token *t = hs->pattern->messages[hs->message]; *t != END && !r; t++)
		switch (*t) {
		case E:
			memcpy(hs->re, msg, NOISE_DH_LEN);
			hs->has_re = true;
			mix_hash(hs, hs->re, NOISE_DH_LEN);
			msg += NOISE_DH_LEN;
			len -= NOISE_DH_LEN;
			break;
		case S:
			n = NOISE_DH_LEN + (hs->cipher.has_key ? NOISE_TAG_LEN : 0);
			r = decrypt_and_hash(hs, msg, n, hs->rs);
			hs->has_rs = !r;
			msg += n;
			len -= n;
			break;
		case EE:
		case ES:
		case SE:
		case SS:
			r = mix_dh(hs, *t);
			break;
		case END:
			break;
		}
	if (!r)
		r = decrypt_and_hash(hs, msg, len, out);
	if (r)
		return r;
	hs->message++;
	*ret_len = len - (hs->cipher.has_key ? NOISE_TAG_LEN : 0);
	return 0;
}

int noise_split(const struct noise *hs, struct noise_cipher *ret_send, struct noise_cipher *ret_recv)
{
	struct noise_cipher *from_initiator = hs->initiator ? ret_send : ret_recv;
	struct noise_cipher *from_responder = hs->initiator ? ret_recv : ret_send;

	if (!noise_is_finished(hs))
		return -EPROTO;
	*from_initiator = *from_responder = (struct noise_cipher){0};
	hkdf(hs->ck, NULL, 0, from_initiator->key.b, from_responder->key.b);
	from_initiator->has_key = from_responder->has_key = true;
	return 0;
}
