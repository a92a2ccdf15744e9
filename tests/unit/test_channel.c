/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_channel.c - the secure channel: two or three of them joined by a wire that loses, repeats, reorders and forges
 *
 * Includes channel.c, to see and move what no interface shows: sequence numbers near their end, sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>

#include "channel.c"

#define NOW_S	UINT64_C(1750000000)
#define MAX_OUT 256
#define SEC	UINT64_C(1000000)

/* --- randomness that is the same every time: ChaCha20 over a counter ----------------------------------------- */

static uint64_t random_counter;

static void test_random_buf(void *const buf, const size_t size)
{
	static const uint8_t seed[randombytes_SEEDBYTES] = "test_channel";
	uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];

	memcpy(nonce, &random_counter, sizeof(nonce));
	random_counter++;
	crypto_stream_chacha20(buf, size, nonce, seed);
}

static uint32_t test_random(void)
{
	uint32_t v;

	test_random_buf(&v, sizeof(v));
	return v;
}

static const char *test_random_name(void)
{
	return "test";
}

static randombytes_implementation test_implementation = {
	.implementation_name = test_random_name, .random = test_random, .buf = test_random_buf};

/* --- the world ----------------------------------------------------------------------------------------------- */

struct packet {
	struct channel_endpoint ep;
	unsigned int flags;
	size_t len;
	uint8_t buf[CHANNEL_DATAGRAM_MAX];
};

struct node {
	struct identity id;
	struct channel *ch;
	struct channel_endpoint self; /* remote = own address, as others see it */
	struct packet out[MAX_OUT];
	size_t n_out, n_in, n_gone, n_discovered;
	uint8_t in[MAX_OUT][CHANNEL_DATAGRAM_MAX]; /* payloads */
	size_t in_len[MAX_OUT];
	bool in_handshake[MAX_OUT];
	struct channel_endpoint in_ep;
	struct channel_peer *in_peer;
	struct credential discovered;
	bool refuse, echo, remove;
};

static uint64_t now_us, wall_ns;
static struct domain_key domain, stranger;
static struct node nodes[3];
#define mn   (&nodes[0])
#define ama  (&nodes[1])
#define ama2 (&nodes[2])

static void on_send(void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned int flags)
{
	struct node *n = ctx;
	struct packet *p = &n->out[n->n_out++];

	assert_true(n->n_out <= MAX_OUT);
	assert_true(len <= CHANNEL_DATAGRAM || flags);
	p->ep = *ep;
	p->len = len;
	p->flags = flags;
	memcpy(p->buf, buf, len);
}

static void on_recv(void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len)
{
	struct node *n = ctx;

	assert_true(n->n_in < MAX_OUT);
	memcpy(n->in[n->n_in], mh, len);
	n->in_len[n->n_in] = len;
	n->in_handshake[n->n_in] = rx->handshake;
	n->n_in++;
	n->in_ep = rx->ep;
	n->in_peer = peer;
	if (n->echo)
		assert_int_equal(channel_send(n->ch, peer, mh, len), 0);
	if (n->remove)
		channel_peer_remove(n->ch, peer);
}

static int on_accept(void *ctx, const struct credential *cred)
{
	assert_true(cred->role == CREDENTIAL_MN || cred->role == CREDENTIAL_AMA);
	return ((struct node *)ctx)->refuse ? -EACCES : 0;
}

static void on_discovered(void *ctx, const struct in6_addr *from, const struct credential *cred)
{
	struct node *n = ctx;

	(void)from;
	n->discovered = *cred;
	n->n_discovered++;
}

static void on_gone(void *ctx, struct channel_peer *peer)
{
	(void)peer;
	((struct node *)ctx)->n_gone++;
}

static uint64_t kept_ns; /* of anybody */

static void on_timestamps(void *ctx, uint64_t until_ns)
{
	(void)ctx;
	kept_ns = until_ns;
}

static uint64_t on_wall(void *ctx)
{
	(void)ctx;
	return wall_ns;
}

static const struct channel_ops ops = {
	.send = on_send,
	.recv = on_recv,
	.accept = on_accept,
	.discovered = on_discovered,
	.peer_gone = on_gone,
	.wall_ns = on_wall,
	.timestamps = on_timestamps,
};

static struct channel_config config(struct node *n)
{
	return (struct channel_config){
		.identity = &n->id, .trusted = &domain.domain, .n_trusted = 1, .ops = &ops, .ctx = n};
}

static void node_open(struct node *n, const struct channel_config *cfg)
{
	assert_int_equal(channel_new(cfg, &n->ch), 0);
}

static void node_restart(struct node *n)
{
	struct channel_config cfg = config(n);

	channel_free(n->ch);
	node_open(n, &cfg);
	n->n_out = n->n_in = 0;
}

static void certify(struct node *n, const struct domain_key *by, uint64_t from, uint64_t until)
{
	struct credential cred = {.role = n->id.role, .from_s = from, .until_s = until};
	char err[CREDENTIAL_ERR];

	memcpy(cred.node, n->id.name, sizeof(cred.node));
	memcpy(cred.key, n->id.public_key, sizeof(cred.key));
	if (cred.role == CREDENTIAL_AMA) {
		cred.n_prefixes = 1;
		cred.prefixes[0].addr.s6_addr[0] = 0x20;
		cred.prefixes[0].len = 32;
	}
	assert_int_equal(credential_sign(&cred, by), 0);
	assert_int_equal(identity_set_credential(&n->id, &cred, err), 0);
}

static int begin(void **state)
{
	static const char *const names[] = {"laptop", "ar1", "ar2"};
	static const char *const addresses[] = {"2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"};
	char err[CREDENTIAL_ERR];

	(void)state;
	random_counter = 0;
	now_us = 1000 * SEC;
	wall_ns = NOW_S * 1000000000;
	if (domain_key_generate("example.org", &domain, err) || domain_key_generate("stranger.org", &stranger, err))
		return -1;
	for (int i = 0; i < 3; i++) {
		struct node *n = &nodes[i];
		struct channel_config cfg;

		memset(n, 0, sizeof(*n));
		if (identity_generate(i ? CREDENTIAL_AMA : CREDENTIAL_MN, names[i], &n->id, err))
			return -1;
		certify(n, &domain, NOW_S - 1000, NOW_S + 100 * 24 * 3600);
		inet_pton(AF_INET6, addresses[i], &n->self.remote);
		n->self.port = CHANNEL_PORT;
		cfg = config(n);
		node_open(n, &cfg);
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		channel_free(nodes[i].ch);
	return 0;
}

/* A peer of from's for to, with to's address. */
static struct channel_peer *add_peer(struct node *from, const struct node *to)
{
	struct channel_peer *peer;

	assert_int_equal(channel_peer_add(from->ch, &to->id.credential, &peer), 0);
	channel_peer_set_endpoint(peer, &to->self);
	return peer;
}

static struct channel_peer *peer_of(struct node *n, const struct node *other)
{
	return channel_find_peer(n->ch, other->id.public_key);
}

/* A mobility header of units * 8 + 8 bytes whose third byte is tag. */
static size_t message(uint8_t *buf, unsigned int units, uint8_t tag)
{
	size_t len = units * 8 + 8;

	memset(buf, 0, len);
	buf[0] = 59;
	buf[1] = (uint8_t)units;
	buf[2] = tag;
	return len;
}

static void send_tag(struct node *n, struct channel_peer *peer, uint8_t tag)
{
	uint8_t buf[16];

	assert_int_equal(channel_send(n->ch, peer, buf, message(buf, 1, tag)), 0);
}

static void send_forced(struct node *n, struct channel_peer *peer, uint8_t tag)
{
	uint8_t buf[16];

	assert_int_equal(channel_send_flags(n->ch, peer, buf, message(buf, 1, tag), CHANNEL_FORCE_HANDSHAKE), 0);
}

static enum channel_why give(struct node *to, const struct node *from, const uint8_t *buf, size_t len)
{
	struct channel_rx rx = {.ep = from->self, .hoplimit = 64};
	/* exactly as large as it is, so that ASan sees any byte read behind it */
	uint8_t *copy = malloc(len ? len : 1);
	enum channel_why why;

	assert_non_null(copy);
	memcpy(copy, buf, len);
	rx.ep.local = to->self.remote;
	why = channel_input(to->ch, &rx, copy, len, now_us);
	free(copy);
	return why;
}

static enum channel_why give_packet(struct node *to, const struct node *from, const struct packet *p)
{
	return give(to, from, p->buf, p->len);
}

/* Flush from, and take what it sent to `to`; returns the number of datagrams, all accepted. */
static size_t carry(struct node *from, struct node *to)
{
	size_t n;

	channel_flush(from->ch, now_us);
	n = from->n_out;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(give_packet(to, from, &from->out[i]), CHANNEL_OK);
	from->n_out = 0;
	return n;
}

/* Carry to and fro until nothing moves. */
static void settle(struct node *a, struct node *b)
{
	while (carry(a, b) + carry(b, a))
		;
}

static uint8_t ptype(const struct packet *p)
{
	return p->buf[0] >> 4;
}

static uint8_t type(const struct packet *p)
{
	return ptype(p) == PTYPE_HANDSHAKE ? p->buf[4] : 0;
}

/* A session between mn and ama, in which ama has heard mn. */
static struct channel_peer *connect_mn(void)
{
	struct channel_peer *peer = add_peer(mn, ama);

	send_tag(mn, peer, 1);
	settle(mn, ama);
	send_tag(mn, peer, 2);
	settle(mn, ama);
	assert_true(peer_of(ama, mn)->cur->heard);
	mn->n_in = ama->n_in = 0;
	return peer;
}

static uint64_t why(const struct node *n, enum channel_why w)
{
	return channel_counters(n->ch)->why[w];
}

/* --- handshake ----------------------------------------------------------------------------------------------- */

static void check_hash(const struct packet *p, const char *want)
{
	uint8_t hash[32];
	char hex[65];

	crypto_hash_sha256(hash, p->buf, p->len);
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	if (strcmp(hex, want))
		print_message("got %s\n", hex);
	assert_string_equal(hex, want);
}

/* Fixed keys and randomness: whoever changes a byte on the wire sees it here. */
static void handshake_is_golden(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	const struct packet *p = &mn->out[0];

	(void)state;
	ama->echo = true;
	send_tag(mn, peer, 7);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 1);
	assert_memory_equal(p->buf, "\xf0\0\0\0\1\1\0\0", 8);
	/* header 12, Noise 96, timestamp 8, flags 1, length 2, credential, one message of 16, two macs */
	assert_int_equal(p->len, 12 + 96 + 11 + mn->ch->cred_len + 16 + 32);
	check_hash(p, "0287df6232655d82488999df855616f3735a9d3191f384d9f7a81e6e1e3af9d4");
	assert_int_equal(give_packet(ama, mn, p), CHANNEL_OK);
	assert_int_equal(ama->n_in, 1);
	assert_true(ama->in_handshake[0]);
	assert_int_equal(ama->in_len[0], 16);
	assert_int_equal(ama->in[0][2], 7);
	assert_int_equal(ama->n_out, 0); /* nothing leaves before the flush */
	channel_flush(ama->ch, now_us);
	assert_int_equal(ama->n_out, 1);
	p = &ama->out[0];
	assert_int_equal(p->len, 8 + 48 + 4 + 16 + 16);
	assert_memory_equal(p->buf + 1, mn->out[0].buf + 9, 3); /* the initiator's SPI, behind PType 15 */
	assert_int_equal(p->buf[0], 0xf0 | mn->out[0].buf[8]);
	check_hash(p, "2c70d0723ead7edbb86e1ad59946b0ba1773ef0acc6fd92bd0b067e43f908ffb");
	assert_int_equal(give_packet(mn, ama, p), CHANNEL_OK);
	assert_int_equal(mn->n_in, 1); /* the answer took exactly one round trip */
	mn->n_out = 0;
	send_tag(mn, peer, 8);
	channel_flush(mn->ch, now_us);
	p = &mn->out[0];
	assert_int_equal(p->len, 8 + 16 + 2 + 2 + 16);
	assert_int_equal(ptype(p), 8);
	assert_memory_equal(p->buf + 4, "\0\0\0\0", 4); /* RFC 6618: sequence starts at 0 */
	check_hash(p, "3ad81faeecc604161698e064275aa62fa0cbd44e316f4aa19261f24979a91803");
}

/* What is inside a transport datagram, opened with the keys. */
static void transport_is_as_rfc_6618_says(void **state)
{
	struct channel_peer *peer = connect_mn();
	uint8_t plain[64], nonce[12] = {0};
	const struct packet *p = &mn->out[0];

	(void)state;
	send_tag(mn, peer, 9);
	channel_flush(mn->ch, now_us);
	nonce[4] = p->buf[7];
	assert_int_equal(p->buf[7], 1); /* the second in this session */
	assert_int_equal(crypto_aead_chacha20poly1305_ietf_decrypt(
				 plain, NULL, NULL, p->buf + 8, p->len - 8, p->buf, 8, nonce, peer->cur->send.b),
		0);
	assert_memory_equal(plain,
		"\x3b\1\x9\0\0\0\0\0\0\0\0\0\0\0\0\0"
		"\1\2\2\x87",
		20);
}

static void empty_message_2_is_sent(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);

	(void)state;
	send_tag(mn, peer, 1);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(mn->n_in, 0);
	assert_non_null(peer->cur);
	assert_null(peer->pending);
	/* an idle node sends nothing */
	assert_int_equal(carry(mn, ama) + carry(ama, mn), 0);
	/* the responder can send at once, although nothing arrived in the session yet */
	send_tag(ama, peer_of(ama, mn), 2);
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(mn->in[0][2], 2);
}

static void queue_goes_in_few_datagrams(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	uint8_t buf[1200];
	size_t n = 0, at = 0, len;

	(void)state;
	for (uint8_t i = 0; i < 100; i++) { /* 100 * 40 bytes */
		len = message(buf, 4, i);
		assert_int_equal(channel_send(mn->ch, peer, buf, len), 0);
	}
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(carry(mn, ama), 4); /* the rest followed */
	for (size_t i = 0; i < ama->n_in; i++)
		for (at = 0; at < ama->in_len[i]; at += 40)
			assert_int_equal(ama->in[i][at + 2], n++); /* all, in order */
	assert_int_equal(n, 100);
	assert_int_equal(channel_send(mn->ch, peer, buf, message(buf, 149, 0)), 0); /* 1200, the largest */
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(channel_send(mn->ch, peer, buf, 7), -EINVAL);
	assert_int_equal(channel_send(mn->ch, peer, buf, 0), -EINVAL);
	buf[1] = 255;
	assert_int_equal(channel_send(mn->ch, peer, buf, 1200), -EINVAL);
}

static void a_large_message_follows_the_handshake(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	uint8_t buf[1200];

	(void)state;
	assert_int_equal(channel_send(mn->ch, peer, buf, message(buf, 149, 0)), 0);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(ama->n_in, 0);
	carry(ama, mn);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(ama->in_len[0], 1200);
}

/* A thousand nodes behind one AMA are answered in one turn: what leaves at its end is not bounded as what waits for a
 * handshake. */
static void a_turn_is_more_than_a_handshake_may_keep(void **state)
{
	struct channel_peer *peer = connect_mn();
	const int n = QUEUE_CHUNKS + 10;
	uint8_t buf[1200];
	size_t len = message(buf, 149, 0);

	(void)state;
	for (int i = 0; i < n; i++)
		assert_int_equal(channel_send(mn->ch, peer, buf, message(buf, 149, (uint8_t)i)), 0);
	assert_int_equal(carry(mn, ama), n);
	for (int i = 0; i < n; i++) /* in the order in which they were given */
		assert_int_equal(ama->in[i][2], i);
	for (int i = 0; i < TURN_CHUNKS; i++)
		assert_int_equal(channel_send(mn->ch, peer, buf, len), 0);
	assert_int_equal(channel_send(mn->ch, peer, buf, len), -ENOBUFS);
	assert_int_equal(channel_counters(mn->ch)->tx_dropped, 1);
}

static void too_much_waiting_is_refused(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	uint8_t buf[1200];
	size_t len = message(buf, 149, 0);
	int n = 0;

	(void)state;
	while (!channel_send(mn->ch, peer, buf, len))
		n++;
	assert_int_equal(n, QUEUE_CHUNKS);
	assert_int_equal(channel_send(mn->ch, peer, buf, len), -ENOBUFS);
	channel_flush(mn->ch, now_us);
	now_us += ANSWER_US;
	channel_expire(mn->ch, now_us); /* no answer came */
	assert_int_equal(channel_counters(mn->ch)->tx_dropped, QUEUE_CHUNKS + 2);
	assert_int_equal(channel_send(mn->ch, peer, buf, len), 0);
}

static void no_endpoint_no_send(void **state)
{
	struct channel_peer *peer;
	uint8_t buf[8];

	(void)state;
	assert_int_equal(channel_peer_add(mn->ch, &ama->id.credential, &peer), 0);
	assert_int_equal(channel_send(mn->ch, peer, buf, message(buf, 0, 0)), -EDESTADDRREQ);
	assert_int_equal(channel_peer_add(mn->ch, &mn->id.credential, &peer), -EINVAL); /* ourselves */
}

/* --- bad input ----------------------------------------------------------------------------------------------- */

struct view {
	struct channel_counters counters;
	struct channel_peer peer;
	struct session cur;
	bool has_peer;
};

/* The state that a stranger must not change. */
static struct view look(struct node *n, const struct node *other)
{
	struct channel_peer *peer = peer_of(n, other);
	struct view v = {.counters = *channel_counters(n->ch), .has_peer = peer != NULL};

	memset(v.counters.why, 0, sizeof(v.counters.why));
	v.counters.tx_cookie = 0;
	if (peer) {
		v.peer = *peer;
		if (peer->cur)
			v.cur = *peer->cur;
	}
	return v;
}

static void check_unchanged(struct node *n, const struct node *other, const struct view *before)
{
	struct view after = look(n, other);

	assert_memory_equal(&after, before, sizeof(after));
}

/* Every length and every bit of every kind of datagram: refused, counted, and nothing changed. */
static void spoil(struct node *to, const struct node *from, const struct packet *p)
{
	struct view before = look(to, from);
	struct packet q;
	uint64_t refused = 0, counted = 0;
	size_t n_in = to->n_in;

	for (size_t cut = 0; cut < p->len; cut++, refused++)
		assert_int_not_equal(give(to, from, p->buf, cut), CHANNEL_OK);
	for (size_t bit = 0; bit < p->len * 8; bit++, refused++) {
		q = *p;
		q.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(give_packet(to, from, &q), CHANNEL_OK);
	}
	q = *p;
	q.buf[q.len++] = 0;
	assert_int_not_equal(give_packet(to, from, &q), CHANNEL_OK);
	refused++;
	check_unchanged(to, from, &before);
	assert_int_equal(to->n_in, n_in);
	for (int i = CHANNEL_OK + 1; i < CHANNEL_WHY_COUNT; i++)
		counted += why(to, (enum channel_why)i);
	assert_true(counted >= refused);
	/* and the true one still goes */
	assert_int_equal(give_packet(to, from, p), CHANNEL_OK);
}

static void spoiled_datagrams_change_nothing(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);

	(void)state;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	/* mac2 is not looked at while there is no load: take it off before flipping */
	{
		struct packet p = mn->out[0];
		struct view before = look(ama, mn);

		for (size_t cut = 0; cut < p.len; cut++)
			assert_int_not_equal(give(ama, mn, p.buf, cut), CHANNEL_OK);
		for (size_t bit = 0; bit < (p.len - MAC_LEN) * 8; bit++) {
			struct packet q = p;

			q.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_int_not_equal(give_packet(ama, mn, &q), CHANNEL_OK);
		}
		check_unchanged(ama, mn, &before);
		assert_int_equal(ama->n_in, 0);
		assert_int_equal(give_packet(ama, mn, &p), CHANNEL_OK);
	}
	mn->n_out = 0;
	channel_flush(ama->ch, now_us);
	spoil(mn, ama, &ama->out[0]);
	ama->n_out = 0;
	send_tag(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	spoil(ama, mn, &mn->out[0]);
	assert_true(why(ama, CHANNEL_AUTH) && why(ama, CHANNEL_UNKNOWN_SPI) && why(ama, CHANNEL_TOO_SHORT));
	assert_true(why(ama, CHANNEL_MAC1) && why(ama, CHANNEL_PTYPE) && why(ama, CHANNEL_HANDSHAKE_TYPE));
}

/* Someone who knows our public key (an AMA's is public) can make mac1, but nothing else. */
static void right_mac1_wrong_noise(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	struct packet p;
	struct view before = look(ama, mn);

	(void)state;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	p = mn->out[0];
	for (size_t at = 12; at < p.len - 32; at += 5) {
		struct packet q = p;

		q.buf[at] ^= 0x40;
		put_macs(peer, q.buf, q.len - 32, now_us);
		assert_int_equal(give_packet(ama, mn, &q), CHANNEL_HANDSHAKE_AUTH);
	}
	/* the initiator's SPI is in the clear, but protected too */
	p.buf[11] ^= 1;
	put_macs(peer, p.buf, p.len - 32, now_us);
	assert_int_equal(give_packet(ama, mn, &p), CHANNEL_HANDSHAKE_AUTH);
	check_unchanged(ama, mn, &before);
}

static void garbage_is_counted(void **state)
{
	uint8_t buf[CHANNEL_DATAGRAM_MAX + 1] = {0};

	(void)state;
	assert_int_equal(give(ama, mn, buf, 0), CHANNEL_TOO_SHORT);
	assert_int_equal(give(ama, mn, buf, sizeof(buf)), CHANNEL_TOO_LONG);
	assert_int_equal(give(ama, mn, buf, 100), CHANNEL_PTYPE);
	buf[0] = 0x80;
	assert_int_equal(give(ama, mn, buf, 25), CHANNEL_TOO_SHORT);
	assert_int_equal(give(ama, mn, buf, 26), CHANNEL_UNKNOWN_SPI);
	buf[0] = 0xf0;
	assert_int_equal(give(ama, mn, buf, 8), CHANNEL_HANDSHAKE_TYPE);
	for (int i = 0; i < CHANNEL_WHY_COUNT; i++) {
		assert_string_not_equal(channel_why_name((enum channel_why)i), "?");
		for (int j = 0; j < i; j++)
			assert_string_not_equal(
				channel_why_name((enum channel_why)i), channel_why_name((enum channel_why)j));
	}
}

/* Authentic, but wrong inside. */
static void bad_payload_of_a_peer(void **state)
{
	struct channel_peer *peer = connect_mn();
	static const uint8_t short_mh[8] = {59, 1};
	static const uint8_t good[8] = {59, 0};

	(void)state;
	send_transport(mn->ch, peer->cur, short_mh, 8, 2, 0);
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_PAYLOAD);
	send_transport(mn->ch, peer->cur, short_mh, 3, 2, 0);
	assert_int_equal(give_packet(ama, mn, &mn->out[1]), CHANNEL_PAYLOAD);
	/* as much padding as there can be */
	send_transport(mn->ch, peer->cur, good, 8, 255, 0);
	assert_int_equal(give_packet(ama, mn, &mn->out[2]), CHANNEL_OK);
	assert_int_equal(ama->in_len[0], 8);
	assert_int_equal(ama->n_in, 1);
}

/* A transport datagram of mn's with this plaintext, payload and trailer alike, and a right tag. */
static enum channel_why give_plain(struct channel_peer *peer, const char *plain, size_t len)
{
	struct session *s = peer->cur;
	uint8_t buf[512], nonce[12] = {0};
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u32(&w, (uint32_t)PTYPE_SIGNALLING << 28 | s->spi_remote);
	wcur_u32(&w, (uint32_t)s->send_next);
	nonce[4] = (uint8_t)s->send_next++;
	crypto_aead_chacha20poly1305_ietf_encrypt(
		buf + 8, NULL, (const uint8_t *)plain, len, buf, 8, NULL, nonce, s->send.b);
	return give(ama, mn, buf, 8 + len + TAG_LEN);
}

static void bad_trailer_of_a_peer(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	assert_int_equal(give_plain(peer, "\0\x87", 2), CHANNEL_OK);			/* nothing inside */
	assert_int_equal(give_plain(peer, "\x3b\0\0\0\0\0\0\0\0\x87", 10), CHANNEL_OK); /* no padding */
	assert_int_equal(give_plain(peer, "\x3b\0\0\0\0\0\0\0\1\1\x87", 11), CHANNEL_OK);
	assert_int_equal(give_plain(peer, "\x3b\0\0\0\0\0\0\0\2\1\x87", 11), CHANNEL_TRAILER);
	assert_int_equal(give_plain(peer, "\x3b\0\0\0\0\0\0\0\0\x29", 10), CHANNEL_TRAILER); /* IPv6 inside */
	assert_int_equal(give_plain(peer, "\1\2\3\4\5\6\7\x8\x9\x87", 10), CHANNEL_TRAILER);
	assert_int_equal(give_plain(peer, "\xff\x87", 2), CHANNEL_TRAILER);
	assert_int_equal(ama->n_in, 2);
}

/* An initiation of mn's with this payload, else right. */
static enum channel_why give_initiation(uint64_t timestamp, size_t claimed_len, const uint8_t *mh, size_t mh_len)
{
	uint8_t buf[CHANNEL_DATAGRAM], payload[1000];
	struct wcur w = wcur_make(buf, sizeof(buf)), pw = wcur_make(payload, sizeof(payload));
	struct channel_peer *peer = add_peer(mn, ama);
	struct noise hs;
	size_t len;

	put_header(&w, 0, INITIATION);
	wcur_u32(&w, 99);
	wcur_u64(&pw, timestamp);
	wcur_u8(&pw, FLAG_FRESH);
	wcur_u16(&pw, (uint16_t)claimed_len);
	wcur_bytes(&pw, mn->ch->cred, mn->ch->cred_len);
	wcur_bytes(&pw, mh, mh_len);
	assert_int_equal(init_noise(mn->ch, &hs, true, buf, peer->key), 0);
	assert_int_equal(noise_write(&hs, payload, wcur_len(&pw), buf + 12, sizeof(buf) - 12, &len), 0);
	put_macs(peer, buf, 12 + len, now_us);
	return give(ama, mn, buf, 12 + len + 32);
}

static void bad_payload_of_an_initiation(void **state)
{
	size_t cred_len = mn->ch->cred_len;
	static const uint8_t half[16] = {59, 2};

	(void)state;
	assert_int_equal(give_initiation(5, cred_len, half, 16), CHANNEL_PAYLOAD);
	assert_int_equal(give_initiation(5, cred_len, half, 3), CHANNEL_PAYLOAD);
	assert_int_equal(give_initiation(5, cred_len + 1, NULL, 0), CHANNEL_TOO_SHORT);
	assert_int_equal(give_initiation(5, cred_len - 1, NULL, 0), CHANNEL_CREDENTIAL);
	assert_int_equal(give_initiation(5, cred_len + 1, half, 16), CHANNEL_CREDENTIAL);
	assert_null(peer_of(ama, mn));
	assert_int_equal(give_initiation(5, cred_len, NULL, 0), CHANNEL_OK);
	assert_int_equal(give_initiation(5, cred_len, NULL, 0), CHANNEL_TIMESTAMP);
	assert_int_equal(give_initiation(6, cred_len, NULL, 0), CHANNEL_OK);
}

/* A forged response, even with a right mac1, must not spoil the handshake. */
static void forged_response(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	struct packet p;

	(void)state;
	send_tag(mn, peer, 1);
	carry(mn, ama);
	channel_flush(ama->ch, now_us);
	p = ama->out[0];
	p.buf[p.len - MAC_LEN - 1] ^= 1;
	mac(mn->ch->mac1_key, 32, p.buf, p.len - MAC_LEN, p.buf + p.len - MAC_LEN);
	assert_int_equal(give_packet(mn, ama, &p), CHANNEL_HANDSHAKE_AUTH);
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_OK);
	assert_non_null(peer->cur);
}

/* --- replay, window ------------------------------------------------------------------------------------------ */

static void transport_replay_and_reordering(void **state)
{
	struct channel_peer *peer = connect_mn();
	struct view before;

	(void)state;
	for (uint8_t i = 0; i < 100; i++) {
		send_tag(mn, peer, i);
		channel_flush(mn->ch, now_us);
	}
	assert_int_equal(mn->n_out, 100);
	for (size_t i = 100; i-- > 0;) /* backwards */
		assert_int_equal(give_packet(ama, mn, &mn->out[i]), CHANNEL_OK);
	assert_int_equal(ama->n_in, 100);
	before = look(ama, mn);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(give_packet(ama, mn, &mn->out[i]), CHANNEL_REPLAY);
	check_unchanged(ama, mn, &before);
	assert_int_equal(why(ama, CHANNEL_REPLAY), 100);
}

static void window_edges(void **state)
{
	struct session s = {0};

	(void)state;
	assert_false(is_replay(&s, 0));
	mark_received(&s, 0);
	assert_true(is_replay(&s, 0));
	mark_received(&s, WINDOW_BITS - 1); /* 0 is the oldest that is remembered */
	assert_true(is_replay(&s, 0));
	assert_false(is_replay(&s, 1));
	mark_received(&s, WINDOW_BITS); /* 0 fell out: refused as too old */
	assert_true(is_replay(&s, 0));
	assert_false(is_replay(&s, 1));
	mark_received(&s, 1);
	assert_true(is_replay(&s, 1));
	mark_received(&s, WINDOW_BITS + 1);
	assert_true(is_replay(&s, 1));
	assert_false(is_replay(&s, 2));
	/* a jump of exactly the window, and a wide one, forget all */
	mark_received(&s, 2 * WINDOW_BITS + 1);
	for (uint64_t n = WINDOW_BITS + 2; n < 2 * WINDOW_BITS + 1; n++)
		assert_false(is_replay(&s, n));
	assert_true(is_replay(&s, WINDOW_BITS + 1));
	mark_received(&s, LAST_SEQUENCE);
	assert_true(is_replay(&s, LAST_SEQUENCE));
	assert_false(is_replay(&s, LAST_SEQUENCE - WINDOW_BITS + 1));
	assert_true(is_replay(&s, LAST_SEQUENCE - WINDOW_BITS));
}

/* Against a simple model, with a printed seed. */
static void window_as_a_model(void **state)
{
	static bool seen[20000];
	struct session s = {0};
	uint64_t top = 0;

	(void)state;
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < 100000; i++) {
		uint64_t jump = randombytes_uniform(20) ? randombytes_uniform(WINDOW_BITS + 100)
							: randombytes_uniform(3000);
		uint64_t seq = top + 40 > jump ? top + 40 - jump : 0;
		bool refuse;

		if (randombytes_uniform(200) == 0)
			seq = top + jump;
		if (seq >= sizeof(seen))
			break;
		refuse = seq < top && (seen[seq] || seq + WINDOW_BITS < top);
		if (is_replay(&s, seq) != refuse)
			fail_msg("step %d: sequence %llu below %llu", i, (unsigned long long)seq,
				(unsigned long long)top);
		if (!refuse) {
			mark_received(&s, seq);
			seen[seq] = true;
			if (seq >= top)
				top = seq + 1;
		}
	}
	assert_true(top > 10000);
}

static void initiation_replay(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	struct packet first, second;
	struct view before;

	(void)state;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	first = mn->out[0];
	now_us += SEC; /* no answer: again, with a new ephemeral key and timestamp */
	send_forced(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	second = mn->out[1];
	assert_memory_not_equal(first.buf + 12, second.buf + 12, 32);
	assert_int_equal(give_packet(ama, mn, &second), CHANNEL_OK);
	channel_flush(ama->ch, now_us);
	before = look(ama, mn);
	assert_int_equal(give_packet(ama, mn, &first), CHANNEL_TIMESTAMP); /* came late */
	assert_int_equal(give_packet(ama, mn, &second), CHANNEL_TIMESTAMP);
	assert_int_equal(give_packet(ama, ama2, &second), CHANNEL_TIMESTAMP); /* from elsewhere */
	check_unchanged(ama, mn, &before);
	assert_int_equal(ama->n_in, 1);
	channel_flush(ama->ch, now_us);
	assert_int_equal(ama->n_out, 1);
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_OK);
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_UNKNOWN_SPI); /* a response is good once */
}

static void clock_steps_back(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	wall_ns -= UINT64_C(500) * 1000000000; /* still within validity */
	for (int i = 0; i < 5; i++) {
		now_us += 2 * SEC;
		send_forced(mn, peer, 1);
		assert_int_equal(carry(mn, ama), 1); /* accepted */
		carry(ama, mn);
	}
}

/* --- who may ------------------------------------------------------------------------------------------------- */

static enum channel_why try_handshake(void)
{
	struct channel_peer *peer = add_peer(mn, ama);
	enum channel_why w;

	mn->n_out = 0;
	now_us += 10 * SEC;
	send_forced(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 1);
	w = give_packet(ama, mn, &mn->out[0]);
	mn->n_out = 0;
	return w;
}

static void strangers_are_refused(void **state)
{
	struct domain both[2];

	(void)state;
	certify(mn, &stranger, NOW_S - 1000, NOW_S + 1000);
	node_restart(mn);
	assert_int_equal(try_handshake(), CHANNEL_UNTRUSTED);
	assert_null(peer_of(ama, mn));
	channel_flush(ama->ch, now_us);
	assert_int_equal(ama->n_out, 0);
	/* trusting another domain is adding its key */
	both[0] = domain.domain;
	both[1] = stranger.domain;
	assert_int_equal(channel_set_trusted(ama->ch, both, 2), 0);
	assert_int_equal(try_handshake(), CHANNEL_OK);
	/* and no longer */
	assert_int_equal(channel_set_trusted(ama->ch, both, 1), 0);
	assert_int_equal(try_handshake(), CHANNEL_UNTRUSTED);
}

static void validity_is_checked(void **state)
{
	(void)state;
	certify(mn, &domain, NOW_S - 1000, NOW_S + 100);
	node_restart(mn);
	assert_int_equal(try_handshake(), CHANNEL_OK);
	wall_ns = (NOW_S + 100) * 1000000000;
	assert_int_equal(try_handshake(), CHANNEL_OK); /* known credential, last second */
	wall_ns = (NOW_S + 101) * 1000000000;
	assert_int_equal(try_handshake(), CHANNEL_EXPIRED);
	wall_ns = (NOW_S - 1001) * 1000000000;
	mn->ch->timestamp = (NOW_S + 200) * 1000000000;
	assert_int_equal(try_handshake(), CHANNEL_EXPIRED);
	wall_ns = NOW_S * 1000000000;
	/* renewed */
	certify(mn, &domain, NOW_S - 1000, NOW_S + 5000);
	assert_int_equal(channel_set_credential(mn->ch, &mn->id.credential), 0);
	assert_int_equal(try_handshake(), CHANNEL_OK);
	assert_int_equal(peer_of(ama, mn)->until_s, NOW_S + 5000);
	assert_int_equal(channel_set_credential(mn->ch, &ama->id.credential), -EINVAL);
}

/* A machine without a battery: after a restart its clock is behind. */
static void restarted_with_its_clock_behind(void **state)
{
	uint64_t kept;

	(void)state;
	kept_ns = 0;
	assert_int_equal(try_handshake(), CHANNEL_OK);
	kept = kept_ns;
	assert_true(kept > wall_ns);
	assert_int_equal(try_handshake(), CHANNEL_OK);
	assert_int_equal(kept_ns, kept); /* it is not written each time */
	wall_ns -= 500 * 1000000000ULL;
	node_restart(mn);
	assert_int_equal(try_handshake(), CHANNEL_TIMESTAMP);
	node_restart(mn);
	channel_go_on_after(mn->ch, kept);
	assert_int_equal(try_handshake(), CHANNEL_OK);
	assert_true(kept_ns > kept);
	assert_int_equal(try_handshake(), CHANNEL_OK);
	kept = kept_ns;
	wall_ns = kept + 1; /* the clock is right again, and goes on */
	assert_int_equal(try_handshake(), CHANNEL_OK);
	assert_true(kept_ns > kept);
}

static void nobody_is_called_with_an_expired_credential(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);

	(void)state;
	wall_ns = (ama->id.credential.until_s + 1) * 1000000000;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 0);
	assert_int_equal(why(mn, CHANNEL_EXPIRED), 1);
	assert_int_equal(channel_counters(mn->ch)->tx_dropped, 1);
}

static void forged_credentials_are_refused(void **state)
{
	(void)state;
	/* somebody else's credential with our key */
	memcpy(mn->ch->cred, ama2->ch->cred, ama2->ch->cred_len);
	mn->ch->cred_len = ama2->ch->cred_len;
	assert_int_equal(try_handshake(), CHANNEL_CREDENTIAL);
	/* our own, with another name */
	assert_int_equal(channel_set_credential(mn->ch, &mn->id.credential), 0);
	mn->ch->cred[3] ^= 1;
	assert_int_equal(try_handshake(), CHANNEL_SIGNATURE);
	/* the same once a true one is known */
	mn->ch->cred[3] ^= 1;
	assert_int_equal(try_handshake(), CHANNEL_OK);
	mn->ch->cred[3] ^= 1;
	assert_int_equal(try_handshake(), CHANNEL_SIGNATURE);
	assert_null(peer_of(ama, ama2));
}

static void owner_may_refuse(void **state)
{
	(void)state;
	ama->refuse = true;
	assert_int_equal(try_handshake(), CHANNEL_REFUSED);
	assert_null(peer_of(ama, mn));
	ama->refuse = false;
	assert_int_equal(try_handshake(), CHANNEL_OK);
}

static void peers_are_bounded(void **state)
{
	struct channel_config cfg = config(ama);
	struct channel_peer *peer;

	(void)state;
	channel_free(ama->ch);
	cfg.max_peers = 1;
	node_open(ama, &cfg);
	add_peer(ama, ama2);
	assert_int_equal(try_handshake(), CHANNEL_PEERS_FULL);
	assert_int_equal(channel_peer_add(ama->ch, &mn->id.credential, &peer), -ENOSPC);
	channel_peer_remove(ama->ch, peer_of(ama, ama2));
	assert_int_equal(try_handshake(), CHANNEL_OK);
}

/* --- cookies ------------------------------------------------------------------------------------------------- */

static void cookies_under_load(void **state)
{
	struct channel_config cfg = config(ama);
	struct channel_peer *peer;
	struct packet first;

	(void)state;
	channel_free(ama->ch);
	cfg.handshakes_per_s = 5;
	node_open(ama, &cfg);
	for (int i = 0; i < 6; i++) { /* the sixth in a second is too many */
		assert_int_equal(try_handshake(), i < 5 ? CHANNEL_OK : CHANNEL_MAC2);
		pending_free(mn->ch, peer_of(mn, ama));
		now_us -= 10 * SEC;
	}
	now_us += 10 * SEC;
	assert_int_equal(ama->n_out, 1);
	assert_int_equal(type(&ama->out[0]), COOKIE);
	assert_true(ama->out[0].len < 12 + 96 + 11 + CREDENTIAL_MIN + 32); /* shorter than any initiation */
	ama->n_out = 0;

	peer = peer_of(mn, ama);
	now_us += SEC; /* the next second too */
	send_forced(mn, peer, 77);
	channel_flush(mn->ch, now_us);
	first = mn->out[0];
	assert_int_equal(give_packet(ama, mn, &first), CHANNEL_MAC2);
	mn->n_out = 0;
	assert_int_equal(
		give_packet(mn, ama2, &ama->out[0]), CHANNEL_OK); /* bound to the initiation, not to the sender */
	assert_int_equal(mn->n_out, 1);				  /* sent again at once */
	assert_memory_equal(mn->out[0].buf, first.buf, first.len - 16);
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_COOKIE); /* no second time */
	assert_int_equal(give_packet(ama, ama2, &mn->out[0]), CHANNEL_MAC2);  /* from another address: no */
	ama->n_in = 0;
	ama->n_out = 0;
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_OK);
	assert_int_equal(ama->in[0][2], 77); /* what it carried got there */
	mn->n_out = 0;
	carry(ama, mn);
	assert_null(peer->pending);

	/* the cookie is kept, and used at once next time */
	now_us += SEC;
	ama->ch->load_until_us = now_us + 60 * SEC;
	send_forced(mn, peer, 78);
	carry(mn, ama);
	carry(ama, mn);
	/* until the secret has changed */
	now_us += 121 * SEC;
	ama->ch->load_until_us = now_us + 60 * SEC;
	send_forced(mn, peer, 79);
	channel_flush(mn->ch, now_us);
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_MAC2);
	mn->n_out = 0;
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(carry(mn, ama), 1);
	/* load has passed */
	mn->n_out = ama->n_out = 0;
	ama->ch->load_until_us = 0;
	assert_int_equal(try_handshake(), CHANNEL_OK);
}

static void forged_cookies_are_refused(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);
	struct packet p;

	(void)state;
	ama->ch->load_until_us = now_us + SEC;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_MAC2);
	p = ama->out[0];
	mn->n_out = 0;
	for (size_t cut = 0; cut < p.len; cut++)
		assert_int_not_equal(give(mn, ama, p.buf, cut), CHANNEL_OK);
	for (size_t bit = 0; bit < p.len * 8; bit++) {
		struct packet q = p;

		q.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(give_packet(mn, ama, &q), CHANNEL_OK);
	}
	assert_int_equal(mn->n_out, 0);
	assert_null(peer->cookie);
}

/* --- discovery ----------------------------------------------------------------------------------------------- */

static void discovery_finds_the_ama(void **state)
{
	struct packet p;

	(void)state;
	channel_discover(mn->ch, &ama->self, now_us);
	p = mn->out[0];
	assert_int_equal(give_packet(ama, mn, &p), CHANNEL_OK);
	assert_int_equal(ama->n_out, 1);
	assert_true(ama->out[0].len <= p.len); /* no amplification */
	now_us += 70 * SEC;		       /* a minute boundary between */
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_OK);
	assert_int_equal(mn->n_discovered, 1);
	assert_string_equal(mn->discovered.node, "ar1");
	assert_int_equal(ama->ch->counters.peers, 0);					/* stateless */
	assert_int_equal(give_packet(mn, ama2, &ama->out[0]), CHANNEL_DISCOVERY_NONCE); /* we did not ask there */
	now_us += 120 * SEC;
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_DISCOVERY_NONCE); /* too late */
	/* shorter or longer questions are not answered, nor does a mobile node answer */
	assert_int_equal(give(ama, mn, p.buf, p.len - 1), CHANNEL_DISCOVERY_SIZE);
	p.len++;
	assert_int_equal(give_packet(ama, mn, &p), CHANNEL_DISCOVERY_SIZE);
	p.len--;
	assert_int_equal(give_packet(mn, ama, &p), CHANNEL_DISCOVERY_NONE);
}

static void discovery_trusts_only_its_domains(void **state)
{
	(void)state;
	certify(ama, &stranger, NOW_S - 1000, NOW_S + 1000);
	assert_int_equal(channel_set_credential(ama->ch, &ama->id.credential), 0);
	channel_discover(mn->ch, &ama->self, now_us);
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_OK);
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_UNTRUSTED);
	ama->out[0].buf[8 + 16 + 2 + 3] ^= 2; /* its name */
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_UNTRUSTED);
	certify(ama, &domain, NOW_S - 1000, NOW_S - 1);
	assert_int_equal(channel_set_credential(ama->ch, &ama->id.credential), 0);
	ama->n_out = 0;
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_OK);
	assert_int_equal(give_packet(mn, ama, &ama->out[0]), CHANNEL_EXPIRED);
	assert_int_equal(mn->n_discovered, 0);
}

static void discovery_is_rate_limited(void **state)
{
	int n = 0;

	(void)state;
	channel_discover(mn->ch, &ama->self, now_us);
	for (int i = 0; i < 100; i++)
		n += give_packet(ama, mn, &mn->out[0]) == CHANNEL_OK;
	assert_int_equal(n, 20);
	mn->self.remote.s6_addr[15] ^= 0xff; /* another address of the same /64 */
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_DISCOVERY_RATE);
	assert_int_equal(give_packet(ama, ama2, &mn->out[0]), CHANNEL_OK); /* another /64 */
	now_us += SEC;
	for (int i = 0; i < 100; i++)
		n += give_packet(ama, mn, &mn->out[0]) == CHANNEL_OK;
	assert_int_equal(n, 30);
}

/* --- sessions ------------------------------------------------------------------------------------------------ */

static void rekey_is_lazy(void **state)
{
	struct channel_peer *peer = connect_mn();
	struct session *old = peer->cur;

	(void)state;
	now_us += 3600 * SEC;
	assert_int_equal(carry(mn, ama) + carry(ama, mn), 0); /* idle: nothing */
	channel_expire(mn->ch, now_us);
	channel_expire(ama->ch, now_us);
	assert_int_equal(carry(mn, ama) + carry(ama, mn), 0);
	/* the responder does not begin it: its answers go in the old session */
	send_tag(ama, peer_of(ama, mn), 1);
	channel_flush(ama->ch, now_us);
	assert_int_equal(ptype(&ama->out[0]), 8);
	settle(ama, mn);
	/* the initiator does, with its message inside */
	send_tag(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 1);
	assert_int_equal(type(&mn->out[0]), INITIATION);
	/* meanwhile the old session still carries */
	send_tag(mn, peer, 3);
	channel_flush(mn->ch, now_us);
	assert_int_equal(ptype(&mn->out[1]), 8);
	ama->echo = true;
	settle(mn, ama);
	assert_ptr_not_equal(peer->cur, old);
	assert_ptr_equal(peer->prev, old);
	assert_int_equal(ama->n_in, 2);
	/* the responder still sends in the old one, till it hears something in the new */
	assert_non_null(peer_of(ama, mn)->next);
	send_tag(ama, peer_of(ama, mn), 4);
	settle(ama, mn);
	assert_non_null(peer_of(ama, mn)->next);
	send_tag(mn, peer, 5);
	settle(mn, ama);
	assert_null(peer_of(ama, mn)->next);
	assert_non_null(peer_of(ama, mn)->prev);
	now_us += 181 * SEC;
	channel_expire(mn->ch, now_us);
	channel_expire(ama->ch, now_us);
	assert_null(peer_of(ama, mn)->prev);
	assert_null(peer->prev);
	assert_int_equal(channel_counters(ama->ch)->sessions, 1);
}

static void rekey_after_many_messages(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	peer->cur->send_next = REKEY_MESSAGES - 1;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	assert_int_equal(ptype(&mn->out[0]), 8);
	send_tag(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	assert_int_equal(type(&mn->out[1]), INITIATION);
	/* and the last number of all is used once */
	peer->cur->send_next = LAST_SEQUENCE;
	send_tag(mn, peer, 3);
	channel_flush(mn->ch, now_us);
	assert_int_equal(ptype(&mn->out[2]), 8);
	assert_memory_equal(mn->out[2].buf + 4, "\xff\xff\xff\xff", 4);
	send_tag(mn, peer, 4);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 3); /* waits for the handshake */
	settle(mn, ama);
	assert_int_equal(ama->in[ama->n_in - 1][2], 4);
}

static void dead_sessions(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	now_us += UINT64_C(26) * 3600 * SEC;
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_DEAD_SESSION);
	mn->n_out = 0;
	send_tag(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	assert_int_equal(type(&mn->out[0]), INITIATION);
	mn->n_out = 0;
	channel_expire(ama->ch, now_us);
	assert_int_equal(ama->n_gone, 1);
	assert_null(peer_of(ama, mn));
	assert_int_equal(channel_counters(ama->ch)->sessions, 0);
	channel_expire(mn->ch, now_us + ANSWER_US);
	assert_ptr_equal(peer_of(mn, ama), peer); /* added by its owner: stays */
	assert_int_equal(channel_counters(mn->ch)->sessions, 0);
}

static void peer_restarted(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	node_restart(ama);
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	assert_int_equal(give_packet(ama, mn, &mn->out[0]), CHANNEL_UNKNOWN_SPI); /* nothing comes back */
	mn->n_out = 0;
	now_us += SEC;
	ama->echo = true;
	send_forced(mn, peer, 2);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(mn->n_in, 1); /* one round trip after the retransmission */
	assert_int_equal(mn->in[0][2], 2);
}

/* The initiator restarts: what the anchor sends next must not go into the session that is gone. */
static void initiator_restarted(void **state)
{
	struct channel_peer *peer;

	(void)state;
	connect_mn();
	node_restart(mn);
	wall_ns += 1000000000;
	peer = add_peer(mn, ama);
	send_tag(mn, peer, 1);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(carry(ama, mn), 1);
	send_tag(ama, peer_of(ama, mn), 9);
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(mn->in[0][2], 9);
}

static void forced_handshakes_join(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	send_forced(mn, peer, 1);
	send_forced(mn, peer, 2);
	channel_flush(mn->ch, now_us); /* the handshake of connect_mn() just now counts as new */
	assert_int_equal(mn->n_out, 1);
	assert_int_equal(ptype(&mn->out[0]), 8);
	now_us += SEC;
	mn->n_out = 0;
	send_forced(mn, peer, 3);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 1);
	assert_int_equal(type(&mn->out[0]), INITIATION);
	now_us += SEC / 2;
	send_forced(mn, peer, 4); /* joins, waits */
	send_tag(mn, peer, 5);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 1);
	now_us += SEC / 2;
	send_forced(mn, peer, 6); /* still no answer: again, with all that waits */
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 2);
	mn->out[0] = mn->out[1]; /* the first was lost */
	mn->n_out = 1;
	ama->n_in = 0;
	settle(mn, ama);
	assert_int_equal(ama->n_in, 1);
	assert_int_equal(ama->in_len[0], 48);
	assert_int_equal(ama->in[0][2], 4);
	assert_int_equal(ama->in[0][34], 6);
}

/* A handshake that went out on a network that was left must not hold up what is said on the next. */
static void not_waited_for_after_a_move(void **state)
{
	struct channel_peer *peer;
	struct channel_endpoint ep = ama->self;

	(void)state;
	for (int round = 0; round < 4; round++) {
		bool session = round & 1, same_address = round & 2;

		peer = session ? connect_mn() : add_peer(mn, ama);
		channel_peer_set_endpoint(peer, &ama->self);
		now_us += 10 * SEC;
		send_forced(mn, peer, 3);
		channel_flush(mn->ch, now_us);
		assert_int_equal(mn->n_out, 1);
		mn->n_out = 0; /* lost */
		now_us += SEC / 10;
		send_tag(mn, peer, 4);
		channel_flush(mn->ch, now_us);
		assert_int_equal(mn->n_out, 0); /* here it waits */
		ep.local.s6_addr[15] = 77;
		if (same_address)
			channel_doubt(mn->ch);
		else
			channel_peer_set_endpoint(peer, &ep);
		now_us += SEC / 10;
		send_tag(mn, peer, 5);
		channel_flush(mn->ch, now_us);
		assert_int_equal(mn->n_out, 1);
		assert_int_equal(type(&mn->out[0]), INITIATION);
		settle(mn, ama);
		assert_int_equal(ama->n_in, 1);
		assert_int_equal(ama->in_len[0], 2 * 16);
		channel_peer_remove(mn->ch, peer);
		node_restart(ama);
	}
}

/* What is said to a peer for one way does not leave by another that is set in the same turn. */
static void leaves_by_its_way(void **state)
{
	struct channel_peer *peer = connect_mn();
	struct channel_endpoint other = ama->self;

	(void)state;
	other.relay = 3;
	mn->n_out = 0;
	channel_peer_set_endpoint(peer, &ama->self);
	send_tag(mn, peer, 1);
	channel_flush_peer(mn->ch, peer, &ama->self, now_us);
	assert_int_equal(mn->n_out, 0); /* it is the same way: what follows may share the datagram */
	channel_flush_peer(mn->ch, peer, &other, now_us);
	channel_peer_set_endpoint(peer, &other);
	send_tag(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 2);
	assert_int_equal(mn->out[0].ep.relay, 0);
	assert_int_equal(mn->out[1].ep.relay, 3);
}

/* What may come from any of our addresses does not take the one that something else of the turn must come from. */
static void any_address_keeps_the_one(void **state)
{
	struct channel_peer *peer = connect_mn();
	struct channel_endpoint ep = ama->self, any;

	(void)state;
	any = ep;
	ep.local.s6_addr[15] = 77;
	any.local = in6addr_any;
	mn->n_out = 0;
	channel_peer_set_endpoint(peer, &ep);
	send_tag(mn, peer, 1);
	channel_peer_set_endpoint(peer, &any);
	send_tag(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 1);
	assert_memory_equal(&mn->out[0].ep.local, &ep.local, 16);
	any.remote.s6_addr[15]++; /* another place: from there it may be another address */
	channel_peer_set_endpoint(peer, &any);
	send_tag(mn, peer, 3);
	channel_flush(mn->ch, now_us);
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&mn->out[1].ep.local));
}

/* A forced message that joins the initiation of a rekeying must not go into the session that may be gone. */
static void force_joins_a_rekeying(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	now_us += 3600 * SEC;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	assert_int_equal(type(&mn->out[0]), INITIATION);
	now_us += SEC / 2;
	send_forced(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	assert_int_equal(mn->n_out, 1);
	settle(mn, ama);
	assert_int_equal(ama->n_in, 2);
}

static void message_2_lost(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	now_us += 10 * SEC;
	ama->echo = true;
	send_forced(mn, peer, 1);
	carry(mn, ama);
	channel_flush(ama->ch, now_us);
	ama->n_out = 0; /* lost */
	/* the responder goes on in the old session, which the initiator still has */
	send_tag(ama, peer_of(ama, mn), 2);
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(mn->in[0][2], 2);
	/* and the retransmission heals */
	now_us += SEC;
	send_forced(mn, peer, 3);
	settle(mn, ama);
	assert_int_equal(mn->in[1][2], 3);
	send_tag(mn, peer, 4);
	settle(mn, ama);
	assert_int_equal(mn->in[2][2], 4);
	assert_null(peer_of(ama, mn)->next);
}

/* Two handshakes without a word in between, and the second message 2 is lost: the session of the first must
 * still go. */
static void second_message_2_lost(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	now_us += 10 * SEC;
	send_forced(mn, peer, 1);
	settle(mn, ama);
	now_us += 10 * SEC;
	send_forced(mn, peer, 2);
	carry(mn, ama);
	channel_flush(ama->ch, now_us);
	ama->n_out = 0; /* lost */
	now_us += ANSWER_US;
	channel_expire(mn->ch, now_us);
	session_free(mn->ch, &peer->prev); /* the one before both: the responder must leave it too */
	send_tag(mn, peer, 3);
	assert_int_equal(carry(mn, ama), 1);
	send_tag(ama, peer_of(ama, mn), 4);
	assert_int_equal(carry(ama, mn), 1);
	assert_int_equal(mn->in[mn->n_in - 1][2], 4);
}

/* The responder goes on in the session before both until it hears a word in a new one. */
static void two_handshakes_without_a_word(void **state)
{
	struct channel_peer *peer = connect_mn();

	(void)state;
	for (unsigned i = 1; i < 6; i++) {
		now_us += 10 * SEC;
		send_forced(mn, peer, i);
		settle(mn, ama);
		send_tag(ama, peer_of(ama, mn), 100 + i);
		assert_int_equal(carry(ama, mn), 1);
		assert_int_equal(mn->in[mn->n_in - 1][2], 100 + i);
	}
}

/* Both begin at once, in all orders of arrival; then both can send, in one and the same session. */
static void crossing(void **state)
{
	(void)state;
	for (unsigned int order = 0; order < 64; order++) {
		struct channel_peer *a, *b;
		struct channel_peer_info ia, ib;
		bool old = order & 32;

		node_restart(ama);
		node_restart(ama2);
		wall_ns += 1000000000;
		now_us += 100 * SEC;
		a = add_peer(ama, ama2);
		b = add_peer(ama2, ama);
		if (old) { /* with an older session in place */
			send_tag(ama, a, 0);
			settle(ama, ama2);
			send_tag(ama, a, 0);
			settle(ama, ama2);
			now_us += 10 * SEC;
		}
		send_forced(ama, a, 1);
		send_forced(ama2, b, 2);
		channel_flush(ama->ch, now_us);
		channel_flush(ama2->ch, now_us);
		assert_int_equal(ama->n_out, 1);
		assert_int_equal(ama2->n_out, 1);
		ama->n_in = ama2->n_in = 0;
		/* five independent choices of what moves first */
		if (order & 1)
			carry(ama, ama2);
		if (order & 2)
			carry(ama2, ama);
		if (order & 4)
			carry(ama, ama2);
		if (order & 8)
			carry(ama2, ama);
		if (order & 16)
			carry(ama, ama2);
		settle(ama, ama2);
		assert_int_equal(ama->n_in, 1);
		assert_int_equal(ama2->n_in, 1);
		for (uint8_t i = 0; i < 3; i++) {
			send_tag(ama, a, 3);
			carry(ama, ama2);
			send_tag(ama2, b, 4);
			carry(ama2, ama);
		}
		assert_int_equal(ama->n_in, 4);
		assert_int_equal(ama2->n_in, 4);
		channel_peer_info(a, &ia);
		channel_peer_info(b, &ib);
		assert_int_equal(ia.spi_local, ib.spi_remote);
		assert_int_equal(ib.spi_local, ia.spi_remote);
		assert_false(ia.in_handshake || ib.in_handshake);
		assert_int_equal(ia.queued + ib.queued, 0);
	}
}

/* The same in lockstep: each datagram of one side crosses one of the other's. */
static void crossing_in_lockstep(void **state)
{
	struct channel_peer *a = add_peer(ama, ama2), *b = add_peer(ama2, ama);

	(void)state;
	send_tag(ama, a, 1);
	send_tag(ama2, b, 2);
	for (int step = 0; step < 10; step++) {
		size_t na, nb;

		channel_flush(ama->ch, now_us);
		channel_flush(ama2->ch, now_us);
		na = ama->n_out;
		nb = ama2->n_out;
		for (size_t i = 0; i < na; i++)
			assert_int_equal(give_packet(ama2, ama, &ama->out[i]), CHANNEL_OK);
		for (size_t i = 0; i < nb; i++)
			assert_int_equal(give_packet(ama, ama2, &ama2->out[i]), CHANNEL_OK);
		ama->n_out = ama2->n_out = 0;
	}
	assert_int_equal(ama->n_in, 1);
	assert_int_equal(ama2->n_in, 1);
	assert_int_equal(a->cur->slot.spi, b->cur->spi_remote);
	assert_int_equal(a->cur->spi_remote, b->cur->slot.spi);
}

/* --- endpoints ----------------------------------------------------------------------------------------------- */

static void endpoint_follows_the_newest(void **state)
{
	struct channel_peer *peer = connect_mn();
	struct channel_peer *there = peer_of(ama, mn);
	struct node elsewhere = {.self = mn->self};
	struct packet late;

	(void)state;
	assert_memory_equal(&there->ep.remote, &mn->self.remote, 16);
	assert_memory_equal(&there->ep.local, &ama->self.remote, 16); /* answers come from where it sent to */
	elsewhere.self.remote.s6_addr[3] ^= 1;
	elsewhere.self.port = 4321;
	send_tag(mn, peer, 1);
	channel_flush(mn->ch, now_us);
	send_tag(mn, peer, 2);
	channel_flush(mn->ch, now_us);
	late = mn->out[0];
	assert_int_equal(give_packet(ama, &elsewhere, &mn->out[1]), CHANNEL_OK);
	assert_memory_equal(&there->ep.remote, &elsewhere.self.remote, 16);
	assert_int_equal(there->ep.port, 4321);
	assert_int_equal(give_packet(ama, mn, &late), CHANNEL_OK); /* an earlier one, late: read, not followed */
	assert_memory_equal(&there->ep.remote, &elsewhere.self.remote, 16);
	assert_int_equal(give_packet(ama, mn, &mn->out[1]), CHANNEL_REPLAY); /* a copy from elsewhere moves nothing */
	assert_memory_equal(&there->ep.remote, &elsewhere.self.remote, 16);
	send_tag(ama, there, 3);
	channel_flush(ama->ch, now_us);
	assert_memory_equal(&ama->out[0].ep.remote, &elsewhere.self.remote, 16);
	/* the initiator's stays where it was set */
	assert_int_equal(give_packet(mn, &elsewhere, &ama->out[0]), CHANNEL_OK);
	assert_memory_equal(&peer->ep.remote, &ama->self.remote, 16);
}

static void probes_have_exact_sizes(void **state)
{
	struct channel_peer *peer = connect_mn();
	uint8_t buf[2048];
	size_t len = message(buf, 150, 5); /* 1208 bytes */

	(void)state;
	assert_int_equal(channel_send_probe(mn->ch, peer, buf, len, 1500, now_us), 0);
	assert_int_equal(mn->n_out, 1);
	assert_int_equal(mn->out[0].len, 1500 - 48);
	assert_int_equal(mn->out[0].flags, CHANNEL_TX_DONTFRAG);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(ama->in_len[0], len);
	assert_int_equal(channel_send_probe(mn->ch, peer, buf, len, len + 74, now_us), 0);
	assert_int_equal(channel_send_probe(mn->ch, peer, buf, len, len + 73, now_us), -EMSGSIZE);
	assert_int_equal(channel_send_probe(mn->ch, peer, buf, len, len + 74 + 255, now_us), 0);
	assert_int_equal(channel_send_probe(mn->ch, peer, buf, len, len + 74 + 256, now_us), -EMSGSIZE);
	assert_int_equal(mn->out[1].len, len + 74 + 255 - 48);
	assert_int_equal(carry(mn, ama), 2);
	channel_peer_remove(ama->ch, peer_of(ama, mn));
	peer = add_peer(ama, mn);
	assert_int_equal(channel_send_probe(ama->ch, peer, buf, len, 1500, now_us), -ENOTCONN);
}

static void owner_may_remove_in_recv(void **state)
{
	struct channel_peer *peer = add_peer(mn, ama);

	(void)state;
	ama->remove = true;
	send_tag(mn, peer, 1);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(carry(ama, mn), 0);
	assert_int_equal(channel_counters(ama->ch)->peers, 0);
	ama->remove = false;
	now_us += ANSWER_US;
	connect_mn();
	ama->remove = ama->echo = true;
	send_tag(mn, peer, 2);
	assert_int_equal(carry(mn, ama), 1);
	assert_int_equal(carry(ama, mn), 0);
	assert_int_equal(channel_counters(ama->ch)->sessions, 0);
}

static void credential_of_a_peer(void **state)
{
	(void)state;
	connect_mn();
	assert_string_equal(channel_peer_name(peer_of(ama, mn)), "laptop");
	assert_memory_equal(channel_peer_key(peer_of(ama, mn)), mn->id.public_key, 32);
}

static void config_is_checked(void **state)
{
	struct channel_config cfg = config(mn);
	struct channel_ops none = {0};
	struct identity id = mn->id;
	struct channel *ch;

	(void)state;
	cfg.ops = &none;
	assert_int_equal(channel_new(&cfg, &ch), -EINVAL);
	cfg.ops = &ops;
	id.has_credential = false;
	cfg.identity = &id;
	assert_int_equal(channel_new(&cfg, &ch), -EINVAL);
	channel_free(NULL);
}

/* 100,000 peers are the goal: a peer with two sessions, without its credential (some 170 bytes). */
static void memory_is_small(void **state)
{
	(void)state;
	print_message("peer %zu, session %zu, together with two sessions %zu bytes\n", sizeof(struct channel_peer),
		sizeof(struct session), sizeof(struct channel_peer) + 2 * sizeof(struct session));
	assert_true(sizeof(struct channel_peer) + 2 * sizeof(struct session) <= 600);
}

/* Loss, repetition, reordering, both sides sending and time passing, at random; in the end all heals with one forced
 * handshake. */
static void random_life(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 30; seed++) {
		struct channel_peer *a, *b;

		random_counter = (uint64_t)seed << 32;
		node_restart(ama);
		node_restart(ama2);
		now_us += 1000 * SEC;
		wall_ns += UINT64_C(1000) * 1000000000;
		a = add_peer(ama, ama2);
		b = add_peer(ama2, ama);
		for (int step = 0; step < 200; step++) {
			struct node *n = randombytes_uniform(2) ? ama : ama2, *m = n == ama ? ama2 : ama;
			struct channel_peer *p = n == ama ? a : b;

			switch (randombytes_uniform(6)) {
			case 0:
				if (p->n_chunks < QUEUE_CHUNKS - 1)
					send_tag(n, p, (uint8_t)step);
				break;
			case 1:
				if (p->n_chunks < QUEUE_CHUNKS - 1)
					send_forced(n, p, (uint8_t)step);
				break;
			case 2:
				now_us += randombytes_uniform(2) ? randombytes_uniform(2 * SEC)
								 : randombytes_uniform(1800) * SEC;
				break;
			case 3:
				channel_expire(n->ch, now_us);
				break;
			default:
				channel_flush(n->ch, now_us);
				while (n->n_out) {
					size_t i = randombytes_uniform((uint32_t)n->n_out);

					if (randombytes_uniform(4))
						(void)give_packet(m, n, &n->out[i]);
					if (randombytes_uniform(4))
						n->out[i] = n->out[--n->n_out];
					if (n->n_out > 20)
						n->n_out = 0;
				}
			}
			ama->n_in = ama2->n_in = 0;
		}
		channel_flush(ama->ch, now_us); /* all that is under way is lost */
		channel_flush(ama2->ch, now_us);
		ama->n_out = ama2->n_out = 0;
		now_us += 10 * SEC;
		channel_expire(ama->ch, now_us);
		channel_expire(ama2->ch, now_us);
		send_forced(ama, a, 200);
		for (bool moved = true; moved;) { /* what waited may still go into sessions that the other has lost */
			struct node *n = ama, *m = ama2;

			moved = false;
			for (int side = 0; side < 2; side++, n = ama2, m = ama) {
				channel_flush(n->ch, now_us);
				for (size_t i = 0; i < n->n_out; i++, moved = true)
					(void)give_packet(m, n, &n->out[i]);
				n->n_out = 0;
			}
		}
		ama->n_in = ama2->n_in = 0;
		send_tag(ama, a, 201);
		settle(ama, ama2);
		send_tag(ama2, b, 202);
		settle(ama, ama2);
		if (ama2->n_in != 1 || ama->n_in != 1)
			fail_msg("seed %u: %zu and %zu arrived", seed, ama2->n_in, ama->n_in);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handshake_is_golden),
		TEST(transport_is_as_rfc_6618_says),
		TEST(empty_message_2_is_sent),
		TEST(queue_goes_in_few_datagrams),
		TEST(a_large_message_follows_the_handshake),
		TEST(a_turn_is_more_than_a_handshake_may_keep),
		TEST(too_much_waiting_is_refused),
		TEST(no_endpoint_no_send),
		TEST(spoiled_datagrams_change_nothing),
		TEST(right_mac1_wrong_noise),
		TEST(garbage_is_counted),
		TEST(bad_payload_of_a_peer),
		TEST(bad_trailer_of_a_peer),
		TEST(bad_payload_of_an_initiation),
		TEST(forged_response),
		TEST(transport_replay_and_reordering),
		TEST(window_edges),
		TEST(window_as_a_model),
		TEST(initiation_replay),
		TEST(clock_steps_back),
		TEST(strangers_are_refused),
		TEST(validity_is_checked),
		TEST(restarted_with_its_clock_behind),
		TEST(nobody_is_called_with_an_expired_credential),
		TEST(forged_credentials_are_refused),
		TEST(owner_may_refuse),
		TEST(peers_are_bounded),
		TEST(cookies_under_load),
		TEST(forged_cookies_are_refused),
		TEST(discovery_finds_the_ama),
		TEST(discovery_trusts_only_its_domains),
		TEST(discovery_is_rate_limited),
		TEST(rekey_is_lazy),
		TEST(rekey_after_many_messages),
		TEST(dead_sessions),
		TEST(peer_restarted),
		TEST(initiator_restarted),
		TEST(forced_handshakes_join),
		TEST(not_waited_for_after_a_move),
		TEST(force_joins_a_rekeying),
		TEST(message_2_lost),
		TEST(leaves_by_its_way),
		TEST(any_address_keeps_the_one),
		TEST(second_message_2_lost),
		TEST(two_handshakes_without_a_word),
		TEST(crossing),
		TEST(crossing_in_lockstep),
		TEST(endpoint_follows_the_newest),
		TEST(probes_have_exact_sizes),
		TEST(owner_may_remove_in_recv),
		TEST(credential_of_a_peer),
		TEST(config_is_checked),
		TEST(memory_is_small),
		TEST(random_life),
	};

	if (randombytes_set_implementation(&test_implementation) || secret_start())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
