/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_channel.c - datagrams from outside, to a node with a session, a handshake under way, and none
 *
 * Input: steps of mode(1) length(2) bytes. mode & 3:
 *   0 the bytes as a datagram
 *   1 the bytes as the plaintext of a transport datagram of a true peer (with a right tag)
 *   2 the bytes laid over a true datagram: initiation, response or transport (mode >> 4), with mac1 made right again
 *   3 the bytes as mobility headers to send; flush, let time pass
 * Nothing may crash, and what a stranger sends (0 and 2) must not reach ops.recv unless it is the true datagram. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "channel.c" /* to make mac1 and tags right, which no random input could */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct side {
	struct identity id;
	struct channel *ch;
	uint8_t out[CHANNEL_DATAGRAM_MAX];
	size_t out_len;
	unsigned int received;
};

static struct domain_key domain;
static struct side mn, ama;
static uint64_t now_us, counter;

static void fuzz_random_buf(void *const buf, const size_t size)
{
	static const uint8_t seed[32] = "fuzz_channel";
	uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	memcpy(nonce, &counter, sizeof(nonce));
	counter++;
	crypto_stream_chacha20(buf, size, nonce, seed);
}

static uint32_t fuzz_random(void)
{
	uint32_t v;

	fuzz_random_buf(&v, sizeof(v));
	return v;
}

static const char *fuzz_random_name(void)
{
	return "fuzz";
}

static randombytes_implementation implementation = {
	.implementation_name = fuzz_random_name, .random = fuzz_random, .buf = fuzz_random_buf};

static void on_send(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned int flags)
{
	struct side *s = ctx;

	(void)ep;
	(void)flags;
	memcpy(s->out, buf, len);
	s->out_len = len;
}

static void on_recv(void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len)
{
	struct side *s = ctx;

	(void)rx;
	if (!len || !is_mh_run(mh, len))
		abort();
	s->received++;
	(void)channel_send(s->ch, peer, mh, len);
}

static uint64_t on_wall(void *ctx)
{
	(void)ctx;
	return UINT64_C(1750000000) * 1000000000 + now_us * 1000;
}

static const struct channel_ops ops = {.send = on_send, .recv = on_recv, .wall_ns = on_wall};

static void side_init(struct side *s, enum credential_role role)
{
	struct credential cred = {.role = role, .node = "n", .until_s = UINT64_MAX};
	char err[CREDENTIAL_ERR];

	if (identity_generate(role, "n", &s->id, err))
		abort();
	memcpy(cred.key, s->id.public_key, sizeof(cred.key));
	if (credential_sign(&cred, &domain) || identity_set_credential(&s->id, &cred, err))
		abort();
}

static struct channel_peer *side_open(struct side *s, const struct side *other)
{
	struct channel_config cfg = {
		.identity = &s->id, .trusted = &domain.domain, .n_trusted = 1, .ops = &ops, .ctx = s};
	struct channel_endpoint ep = {.port = CHANNEL_PORT};
	struct channel_peer *peer;

	s->received = 0;
	s->out_len = 0;
	if (channel_new(&cfg, &s->ch) || channel_peer_add(s->ch, &other->id.credential, &peer))
		abort();
	channel_peer_set_endpoint(peer, &ep);
	return peer;
}

static enum channel_why give(struct side *to, const uint8_t *buf, size_t len)
{
	struct channel_rx rx = {.ep.port = CHANNEL_PORT};
	uint8_t *copy = malloc(len ? len : 1);
	enum channel_why why;

	if (!copy)
		abort();
	if (len)
		memcpy(copy, buf, len);
	why = channel_input(to->ch, &rx, copy, len, now_us);
	free(copy);
	return why;
}

static void move(struct side *from, struct side *to)
{
	from->out_len = 0;
	channel_flush(from->ch, now_us);
	if (from->out_len)
		(void)give(to, from->out, from->out_len);
}

/* Lay patch over base from its middle on, make mac1 right. */
static void patched(const struct channel_peer *key_of, const uint8_t *base, size_t base_len, const uint8_t *patch,
	size_t patch_len, size_t tail, struct side *to)
{
	uint8_t buf[CHANNEL_DATAGRAM_MAX], key[32];
	unsigned int before = to->received;

	memcpy(buf, base, base_len);
	for (size_t i = 0; i + 1 < patch_len; i += 2)
		if (base_len)
			buf[(patch[i] * 7U + i) % base_len] ^= patch[i + 1];
	if (tail && base_len >= tail) {
		derive_key(LABEL_MAC1, key_of->key, key);
		mac(key, sizeof(key), buf, base_len - tail, buf + base_len - tail);
	}
	if (memcmp(buf, base, base_len - tail) && give(to, buf, base_len) == CHANNEL_OK && to->received != before)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t hello[8] = {59, 0, 5};
	static bool ready;
	struct rcur c = rcur_make(data, len);
	struct channel_peer *a, *b;
	struct channel_peer_info info;

	if (!ready) {
		char err[CREDENTIAL_ERR];

		if (randombytes_set_implementation(&implementation) || secret_start() ||
			domain_key_generate("d", &domain, err))
			abort();
		side_init(&mn, CREDENTIAL_MN);
		side_init(&ama, CREDENTIAL_AMA);
		ready = true;
	}
	counter = 1000;
	now_us = SECOND;
	a = side_open(&mn, &ama);
	b = side_open(&ama, &mn);
	(void)channel_send(mn.ch, a, hello, sizeof(hello));
	move(&mn, &ama);
	move(&ama, &mn);
	for (int steps = 0; steps < 32 && rcur_left(&c) >= 3; steps++) {
		uint8_t mode = rcur_u8(&c);
		size_t n = rcur_u16(&c) % 2048;
		const uint8_t *bytes;

		if (n > rcur_left(&c))
			n = rcur_left(&c);
		bytes = rcur_take(&c, n);
		switch (mode & 3) {
		case 0: {
			unsigned int before = ama.received + mn.received;

			(void)give(mode & 4 ? &mn : &ama, bytes, n);
			if (before != ama.received + mn.received)
				abort();
			break;
		}
		case 1: {
			uint8_t buf[2048 + HEADER_LEN + TAG_LEN], nonce[12] = {0};
			struct session *s = usable(mn.ch, a, now_us);
			struct wcur w = wcur_make(buf, sizeof(buf));

			if (!s || n < 2)
				break;
			wcur_u32(&w, (uint32_t)PTYPE_SIGNALLING << 28 | s->spi_remote);
			wcur_u32(&w, (uint32_t)s->send_next);
			nonce[4] = (uint8_t)s->send_next;
			nonce[5] = (uint8_t)(s->send_next >> 8);
			s->send_next++;
			crypto_aead_chacha20poly1305_ietf_encrypt(
				buf + HEADER_LEN, NULL, bytes, n, buf, HEADER_LEN, NULL, nonce, s->send.b);
			(void)give(&ama, buf, HEADER_LEN + n + TAG_LEN);
			break;
		}
		case 2:
			if (mode >> 4 & 1) { /* transport */
				struct session *s = usable(mn.ch, a, now_us);

				if (s) {
					send_transport(mn.ch, s, hello, sizeof(hello), 2, 0);
					patched(b, mn.out, mn.out_len, bytes, n, 0, &ama);
				}
			} else {
				now_us += SECOND;
				(void)channel_send_flags(mn.ch, a, hello, sizeof(hello), CHANNEL_FORCE_HANDSHAKE);
				mn.out_len = 0;
				channel_flush(mn.ch, now_us);
				if (mode >> 4 & 2) { /* response */
					(void)give(&ama, mn.out, mn.out_len);
					ama.out_len = 0;
					channel_flush(ama.ch, now_us);
					if (ama.out_len)
						patched(b, ama.out, ama.out_len, bytes, n, ama.out_len >= 76 ? 16 : 0,
							&mn);
				} else if (mn.out_len >= 32) {
					if (mode >> 4 & 4)
						ama.ch->load_until_us = now_us + SECOND;
					patched(a, mn.out, mn.out_len, bytes, n, 32, &ama);
				}
			}
			break;
		case 3:
			(void)channel_send_flags(mode & 4 ? mn.ch : ama.ch, mode & 4 ? a : b, bytes, n, mode >> 3 & 1);
			(void)channel_send_probe(mn.ch, a, bytes, n, n * 2, now_us);
			if (mode & 16)
				now_us += 3000 * SECOND;
			if (mode & 32) {
				channel_expire(mn.ch, now_us);
				channel_expire(ama.ch, now_us);
			}
			if (mode & 64)
				move(&mn, &ama);
			if (mode & 128)
				move(&ama, &mn);
			break;
		}
	}
	channel_peer_info(a, &info);
	channel_free(mn.ch);
	channel_free(ama.ch);
	return 0;
}
