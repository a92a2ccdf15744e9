/* SPDX-License-Identifier: GPL-2.0-or-later */
/* channel.c - the secure channel
 *
 * Datagrams. The first word is PType(4 bits) SPI(28 bits), as in RFC 6618; the SPI is the one that the receiver chose.
 *
 *   transport  8 SPI | sequence(4) | ciphertext | tag(16)
 *              plaintext = mobility headers | padding 1 2 3 .. | pad length(1) | next header(1) = 135; nonce = sequence
 * number, associated data = the first 8 bytes. No mobility header at all is allowed: it only confirms a session. PType
 * 15:  15 SPI | type(1) version(1)=1 reserved(2)=0 | ... initiation SPI 0; initiator's SPI(4) | Noise message 1 |
 * mac1(16) | mac2(16) payload = timestamp(8, ns since 1970) flags(1) credential length(2) credential mobility headers;
 *              Noise prologue = PROLOGUE and the first 12 bytes of the datagram
 *   response   Noise message 2 | mac1(16); payload = responder's SPI(4) mobility headers
 *   cookie     SPI of the initiation | nonce(24) | XChaCha20-Poly1305(cookie(16)), associated data = mac1 of the
 * initiation discovery  request: SPI 0 | nonce(16) | zeros; reply: SPI 0 | nonce(16) | length(2) credential zeros; both
 * 1200 bytes
 *
 * mac1 and mac2 are keyed BLAKE2b of all bytes before them; mac1's key comes from the receiver's static key, so that
 * who does not know it costs us one hash; mac2's key is the cookie. A response has no mac2: who waits for one has few
 * handshakes of its own under way, and mac1 hides behind the initiator's key, which is not public.
 *
 * Sessions of a peer. `cur` is sent in. A responder's new session is `next` until something arrives in it, because
 * message 2 may get lost while the initiator goes on in the old session; then next becomes cur, and cur becomes prev,
 * kept to receive what is under way. An initiation with FLAG_FRESH says that its sender has no old session: then next
 * is cur at once. An initiator has proof, so its new session is cur at once. Where two handshakes cross, both sides end
 * up with both sessions. The one begun by the lesser static key is preferred: who hears something in it sends in it
 * from then on, and who notices the crossing sends an empty datagram to be heard.
 *
 * Rekeying is lazy: what is sent after REKEY time goes into a new initiation. Only the initiator of a session does so,
 * the responder waits twice as long, to keep handshakes from crossing.
 *
 * Timestamps. An initiation's is max(last + 1, wall clock), so that it grows although the clock steps back while we
 * run, and over a restart, too: the owner keeps a time that is up to an hour ahead (ops.timestamps), and that is where
 * the next run goes on if its clock is behind, as that of a machine without a battery is. An initiator that has lost
 * both its clock and this is refused until the responder has forgotten it (reject_after). A responder keeps none: when
 * it was restarted a recorded initiation can be replayed once, which the sequence numbers of its mobility headers
 * (which amad stores) then stop.
 *
 * Owners: the channel owns peers, a peer its sessions, handshakes and queue. After calling ops.recv nothing of the
 * peer is touched, as it may be gone. */
#include "channel.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

#include "noise.h"
#include "secret.h"
#include "wire.h"

#define PTYPE_SIGNALLING    8
#define PTYPE_HANDSHAKE	    15
#define NEXT_HEADER_MH	    135
#define HANDSHAKE_VERSION   1
#define SPI_MAX		    0x0fffffff
#define FLAG_FRESH	    1
#define TIMESTAMPS_AHEAD_NS 3600000000000ULL
#define PROLOGUE	    "DMM secure channel 1"
#define LABEL_MAC1	    "dmm-mac1"
#define LABEL_COOKIE	    "dmm-cookie"
#define MAC_LEN		    16
#define TAG_LEN		    16
#define HEADER_LEN	    8
#define INIT_HEADER_LEN	    12 /* and the initiator's SPI */
#define NOISE1_OVERHEAD	    96
#define NOISE2_OVERHEAD	    48
#define INIT_FIXED	    11 /* timestamp, flags, credential length */
#define COOKIE_LEN	    (HEADER_LEN + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES + MAC_LEN + TAG_LEN)
#define DISCOVERY_LEN	    1200
#define DISCOVERY_NONCE_LEN 16
#define IP_UDP_LEN	    48
#define SECOND		    UINT64_C(1000000)
#define COOKIE_LIFE	    (120 * SECOND)
/* a forced handshake younger than this serves another that is asked for */
#define JOIN_US	       (SECOND * 9 / 10)
#define ANSWER_US      (5 * SECOND) /* no answer after this: begin another when there is something to send */
#define CROSSING_US    (30 * SECOND)
#define PREV_US	       (180 * SECOND) /* keep a previous session after the present one was confirmed */
#define REKEY_MESSAGES (UINT64_C(1) << 31)
#define LAST_SEQUENCE  (UINT64_C(0xffffffff))
#define WINDOW_BITS    256
#define WINDOW_WORDS   (WINDOW_BITS / 64)
#define QUEUE_CHUNKS   16 /* datagrams that may wait for one peer's handshake */
/* ... that leave in a session when the turn ends: more than what is read in one can cause */
#define TURN_CHUNKS	1024
#define POOL_CHUNKS	1024
#define DISCOVERY_SLOTS 1024
#define DOMAINS		255 /* that ever signed for a peer, over all reloads */

enum handshake_type { INITIATION = 1, RESPONSE, COOKIE, DISCOVERY_REQUEST, DISCOVERY_REPLY };

/* One of our SPIs. First member of what it stands for. */
struct slot {
	struct slot *next; /* in the same bucket */
	struct channel_peer *peer;
	uint32_t spi;
	bool is_session; /* else an initiation without answer */
};

struct session {
	struct slot slot;
	struct secret send, recv;
	uint64_t born_us;
	uint64_t send_next;	       /* sequence number */
	uint64_t recv_next;	       /* one above the highest accepted */
	uint64_t window[WINDOW_WORDS]; /* a ring: bit n % WINDOW_BITS is sequence number n */
	uint32_t spi_remote;
	bool initiator; /* we began it */
	bool heard;	/* something arrived in it */
};

/* Our initiation that has no answer yet. */
struct pending {
	struct slot slot;
	struct noise hs;
	struct channel_endpoint ep; /* where it went */
	uint64_t born_us;
	bool forced;
	bool repeated; /* with a cookie */
	bool lost;     /* by channel_doubt: its answer is not waited for */
	size_t len;
	uint8_t packet[CHANNEL_DATAGRAM];
};

/* An initiation of the peer's that we answer at the next flush. */
struct reply {
	struct noise hs;
	struct channel_endpoint ep;
	uint32_t spi_remote;
	bool fresh;
};

struct cookie {
	uint64_t got_us;
	uint8_t value[MAC_LEN];
};

/* Messages that leave together. */
struct chunk {
	struct chunk *next;
	size_t len;
	uint8_t data[CHANNEL_MESSAGE_MAX];
};

struct channel_peer {
	struct table_entry in_table; /* channel.peers, by key */
	uint8_t key[32];
	struct channel_endpoint ep;
	struct session *cur, *prev, *next;
	struct pending *pending;
	struct reply *reply;
	struct cookie *cookie;
	struct chunk *queue; /* a ring: the last one, whose next is the first */
	struct channel_peer *dirty_next;
	uint64_t timestamp;		 /* of its last initiation */
	uint64_t heard_us, completed_us; /* last authentic datagram; last handshake of ours that was answered */
	char *name;			 /* in its credential; own_name, or allocated */
	uint8_t digest[16];		 /* of its credential, to know it again; keyed with channel.hash_key */
	uint32_t until_s;		 /* its credential's end */
	uint32_t trust; /* generation of channel.trusted that its credential was verified under; 0: by the owner */
	uint64_t rx_bytes, tx_bytes;
	uint16_t n_chunks;
	uint8_t domain; /* index of channel.domains */
	bool added : 1, pinned : 1, has_ep : 1, force : 1, confirm : 1, is_ama : 1, dirty : 1;
	char own_name[]; /* the first that it had */
};

struct channel {
	const struct channel_ops *ops;
	void *ctx;
	struct secret key;
	uint8_t public_key[32];
	enum credential_role role;
	uint8_t cred[CREDENTIAL_MAX];
	size_t cred_len;
	struct domain *trusted;
	size_t n_trusted;
	uint32_t trust; /* generation */
	uint32_t max_peers, handshakes_per_s, discoveries_per_s;
	uint64_t rekey_us, reject_us;
	const struct noise_pattern *pattern;
	uint8_t mac1_key[32], cookie_key[32];

	struct domain *domains;
	uint8_t n_domains;
	struct table peers;
	struct channel_peer *dirty;
	struct slot **by_spi;
	uint32_t spi_mask, n_slots;
	struct chunk *pool;
	unsigned int n_pool;

	uint64_t timestamp;			/* of our last initiation */
	uint64_t timestamps_until;		/* what ops.timestamps was told */
	uint64_t load_window_us, load_until_us; /* handshake rate meter */
	uint32_t load_count;
	struct secret cookie_secret;
	uint64_t cookie_secret_us;
	bool has_cookie_secret;
	struct secret nonce_secret;		     /* discovery nonces */
	uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* of peers and rate: nobody can choose to collide */
	uint64_t rate[DISCOVERY_SLOTS];		     /* per /64: theoretical arrival time (GCRA) */

	struct channel_counters counters;
	uint8_t plain[CHANNEL_DATAGRAM_MAX], tx[CHANNEL_DATAGRAM_MAX];
};

const char *channel_why_name(enum channel_why why)
{
	switch (why) {
	case CHANNEL_OK:
		return "ok";
	case CHANNEL_TOO_SHORT:
		return "too-short";
	case CHANNEL_TOO_LONG:
		return "too-long";
	case CHANNEL_PTYPE:
		return "ptype";
	case CHANNEL_HANDSHAKE_TYPE:
		return "handshake-type";
	case CHANNEL_UNKNOWN_SPI:
		return "unknown-spi";
	case CHANNEL_DEAD_SESSION:
		return "dead-session";
	case CHANNEL_REPLAY:
		return "replay";
	case CHANNEL_AUTH:
		return "auth";
	case CHANNEL_TRAILER:
		return "trailer";
	case CHANNEL_PAYLOAD:
		return "payload";
	case CHANNEL_MAC1:
		return "mac1";
	case CHANNEL_MAC2:
		return "mac2";
	case CHANNEL_HANDSHAKE_AUTH:
		return "handshake-auth";
	case CHANNEL_TIMESTAMP:
		return "timestamp";
	case CHANNEL_CREDENTIAL:
		return "credential";
	case CHANNEL_UNTRUSTED:
		return "untrusted";
	case CHANNEL_SIGNATURE:
		return "signature";
	case CHANNEL_EXPIRED:
		return "expired";
	case CHANNEL_REFUSED:
		return "refused";
	case CHANNEL_PEERS_FULL:
		return "peers-full";
	case CHANNEL_NO_MEMORY:
		return "no-memory";
	case CHANNEL_COOKIE:
		return "cookie";
	case CHANNEL_DISCOVERY_SIZE:
		return "discovery-size";
	case CHANNEL_DISCOVERY_RATE:
		return "discovery-rate";
	case CHANNEL_DISCOVERY_NONCE:
		return "discovery-nonce";
	case CHANNEL_DISCOVERY_NONE:
		return "discovery-none";
	case CHANNEL_WHY_COUNT:
		break;
	}
	return "?";
}

/* --- small parts --------------------------------------------------------------------------------------------- */

/* Is it a run of complete mobility headers (RFC 6275 6.1.1: header length in units of 8, not counting the first 8)? */
static bool is_mh_run(const uint8_t *buf, size_t len)
{
	struct rcur c = rcur_make(buf, len);

	while (rcur_left(&c)) {
		rcur_skip(&c, 1);
		rcur_skip(&c, (size_t)rcur_u8(&c) * 8 + 6);
	}
	return rcur_ok(&c);
}

static void count_types(uint64_t count[CHANNEL_TYPES], const uint8_t *buf, size_t len)
{
	struct rcur c = rcur_make(buf, len);

	while (rcur_left(&c)) {
		size_t more;
		uint8_t type;

		rcur_skip(&c, 1);
		more = (size_t)rcur_u8(&c) * 8 + 5;
		type = rcur_u8(&c);
		rcur_skip(&c, more);
		count[type < CHANNEL_TYPES ? type : CHANNEL_TYPES - 1]++;
	}
}

static size_t first_mh_len(const uint8_t *mh)
{
	return (size_t)mh[1] * 8 + 8;
}

static void derive_key(const char *label, const uint8_t public[32], uint8_t ret[32])
{
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, 32);
	crypto_generichash_update(&st, (const uint8_t *)label, strlen(label));
	crypto_generichash_update(&st, public, 32);
	crypto_generichash_final(&st, ret, 32);
}

static void mac(const uint8_t *key, size_t key_len, const uint8_t *buf, size_t len, uint8_t ret[MAC_LEN])
{
	crypto_generichash(ret, MAC_LEN, buf, len, key, key_len);
}

static void put_header(struct wcur *w, uint32_t spi, enum handshake_type type)
{
	wcur_u32(w, (uint32_t)PTYPE_HANDSHAKE << 28 | spi);
	wcur_u8(w, (uint8_t)type);
	wcur_u8(w, HANDSHAKE_VERSION);
	wcur_u16(w, 0);
}

/* --- SPIs: a table of chains; SPIs are random, so that they are their own hash ------------------------------- */

static struct slot *find_slot(const struct channel *ch, uint32_t spi)
{
	struct slot *s = ch->by_spi[spi & ch->spi_mask];

	while (s && s->spi != spi)
		s = s->next;
	return s;
}

static void link_slot(struct channel *ch, struct slot *s)
{
	struct slot **bucket = &ch->by_spi[s->spi & ch->spi_mask];

	s->next = *bucket;
	*bucket = s;
	ch->n_slots++;
}

static void unlink_slot(struct channel *ch, struct slot *s)
{
	struct slot **p = &ch->by_spi[s->spi & ch->spi_mask];

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	ch->n_slots--;
}

/* Twice the buckets when there are more SPIs than buckets. Failing to is no error: chains get longer. */
static void grow_slots(struct channel *ch)
{
	uint32_t old = ch->spi_mask + 1, size = old * 2;
	struct slot **table, **from = ch->by_spi;

	if (ch->n_slots < old || !(table = calloc(size, sizeof(*table))))
		return;
	ch->by_spi = table;
	ch->spi_mask = size - 1;
	ch->n_slots = 0;
	for (uint32_t i = 0; i < old; i++)
		for (struct slot *s = from[i], *next; s; s = next) {
			next = s->next;
			link_slot(ch, s);
		}
	free(from);
}

static void new_spi(struct channel *ch, struct slot *s, struct channel_peer *peer, bool is_session)
{
	grow_slots(ch);
	do
		s->spi = randombytes_random() & SPI_MAX;
	while (!s->spi || find_slot(ch, s->spi));
	s->peer = peer;
	s->is_session = is_session;
	link_slot(ch, s);
}

/* --- sessions ------------------------------------------------------------------------------------------------ */

static void session_free(struct channel *ch, struct session **ps)
{
	struct session *s = *ps;

	if (!s)
		return;
	unlink_slot(ch, &s->slot);
	secret_wipe(s, sizeof(*s));
	free(s);
	*ps = NULL;
	ch->counters.sessions--;
}

static void pending_free(struct channel *ch, struct channel_peer *peer)
{
	struct pending *p = peer->pending;

	if (!p)
		return;
	unlink_slot(ch, &p->slot);
	secret_wipe(p, sizeof(*p));
	free(p);
	peer->pending = NULL;
}

static void reply_free(struct channel_peer *peer)
{
	if (!peer->reply)
		return;
	noise_done(&peer->reply->hs);
	free(peer->reply);
	peer->reply = NULL;
}

static void session_keys(struct session *s, const struct noise *hs)
{
	struct noise_cipher send, recv;

	(void)noise_split(hs, &send, &recv); /* both messages are through */
	secret_copy(&s->send, &send.key);
	secret_copy(&s->recv, &recv.key);
	secret_wipe(&send, sizeof(send));
	secret_wipe(&recv, sizeof(recv));
}

static void log_key(const struct channel *ch, const char *what, uint32_t spi, const struct secret *key)
{
	if (ch->ops->key_log)
		ch->ops->key_log(ch->ctx, what, spi, key->b);
}

static void log_session(const struct channel *ch, const struct session *s)
{
	log_key(ch, "SESSION", s->spi_remote, &s->send);
	log_key(ch, "SESSION", s->slot.spi, &s->recv);
}

static bool is_alive(const struct channel *ch, const struct session *s, uint64_t now_us)
{
	return s && now_us - s->born_us < ch->reject_us && s->send_next <= LAST_SEQUENCE;
}

/* The session to send in, or NULL. */
static struct session *usable(const struct channel *ch, const struct channel_peer *peer, uint64_t now_us)
{
	if (is_alive(ch, peer->cur, now_us))
		return peer->cur;
	return is_alive(ch, peer->next, now_us) ? peer->next : NULL;
}

static bool is_rekey_due(const struct channel *ch, const struct session *s, uint64_t now_us)
{
	if (s->initiator)
		return now_us - s->born_us >= ch->rekey_us || s->send_next >= REKEY_MESSAGES;
	return now_us - s->born_us >= 2 * ch->rekey_us || s->send_next >= REKEY_MESSAGES + REKEY_MESSAGES / 2;
}

static bool is_replay(const struct session *s, uint64_t seq)
{
	if (seq >= s->recv_next)
		return false;
	if (seq + WINDOW_BITS < s->recv_next)
		return true;
	return s->window[seq % WINDOW_BITS / 64] >> (seq % 64) & 1;
}

static void mark_received(struct session *s, uint64_t seq)
{
	if (seq >= s->recv_next) {
		if (seq - s->recv_next >= WINDOW_BITS)
			memset(s->window, 0, sizeof(s->window));
		else
			for (uint64_t n = s->recv_next; n <= seq; n++)
				s->window[n % WINDOW_BITS / 64] &= ~(UINT64_C(1) << (n % 64));
		s->recv_next = seq + 1;
	}
	s->window[seq % WINDOW_BITS / 64] |= UINT64_C(1) << (seq % 64);
}

/* Were a and b made by handshakes that crossed? */
static bool is_crossing(const struct session *a, const struct session *b)
{
	uint64_t apart = a->born_us > b->born_us ? a->born_us - b->born_us : b->born_us - a->born_us;

	return a->initiator != b->initiator && apart < CROSSING_US;
}

static bool is_preferred(const struct channel *ch, const struct session *s)
{
	return s->initiator == (memcmp(ch->public_key, s->slot.peer->key, 32) < 0);
}

/* Something authentic arrived in s. */
static void session_heard(struct channel *ch, struct session *s)
{
	struct channel_peer *peer = s->slot.peer;

	s->heard = true;
	if (s == peer->next) {
		session_free(ch, &peer->prev);
		peer->prev = peer->cur;
		peer->cur = s;
		peer->next = NULL;
	} else if (s == peer->prev && peer->cur &&
		(is_crossing(peer->cur, s) ? is_preferred(ch, s) : s->born_us > peer->cur->born_us)) {
		peer->prev = peer->cur;
		peer->cur = s;
	}
}

/* A new session that we answered with message 2. */
static void install_as_responder(struct channel *ch, struct channel_peer *peer, struct session *s, bool fresh)
{
	if (peer->next) { /* the initiator may have got that message 2, and not get this one */
		session_free(ch, &peer->prev);
		peer->prev = peer->next;
		peer->next = NULL;
	}
	if (peer->cur && !fresh) {
		peer->next = s;
		return;
	}
	if (peer->cur) {
		session_free(ch, &peer->prev);
		peer->prev = peer->cur;
	}
	peer->cur = s;
}

/* A new session by the peer's message 2. Returns whether the peer has to hear a word in it, whatever there is to say:
 * another handshake crossed it, or it is the second one without a word in between, and what the peer sends in until
 * then is the session before both. */
static bool install_as_initiator(struct channel *ch, struct channel_peer *peer, struct session *s, uint64_t begun_us)
{
	bool crossed = peer->next || (peer->cur && !peer->cur->initiator && peer->cur->born_us >= begun_us);

	session_free(ch, &peer->prev);
	if (peer->next) {
		session_free(ch, &peer->cur);
		peer->prev = peer->next;
		peer->next = NULL;
	} else {
		peer->prev = peer->cur;
	}
	peer->cur = s;
	return crossed || (peer->prev && peer->prev->initiator && peer->prev->send_next == 0);
}

/* --- queues -------------------------------------------------------------------------------------------------- */

static void mark_dirty(struct channel *ch, struct channel_peer *peer)
{
	if (peer->dirty)
		return;
	peer->dirty = true;
	peer->dirty_next = ch->dirty;
	ch->dirty = peer;
}

/* Rare but at the head of the list. */
static void unmark_dirty(struct channel *ch, struct channel_peer *peer)
{
	struct channel_peer **at = &ch->dirty;

	if (!peer->dirty)
		return;
	while (*at != peer)
		at = &(*at)->dirty_next;
	*at = peer->dirty_next;
	peer->dirty = false;
}

static struct chunk *chunk_new(struct channel *ch)
{
	struct chunk *c = ch->pool;

	if (c) {
		ch->pool = c->next;
		ch->n_pool--;
	} else {
		c = malloc(sizeof(*c));
		if (!c)
			return NULL;
	}
	c->next = NULL;
	c->len = 0;
	return c;
}

static struct chunk *chunk_first(const struct channel_peer *peer)
{
	return peer->queue ? peer->queue->next : NULL;
}

/* Take the first chunk out of the queue. */
static void chunk_drop(struct channel *ch, struct channel_peer *peer)
{
	struct chunk *c = chunk_first(peer);

	if (c == peer->queue)
		peer->queue = NULL;
	else
		peer->queue->next = c->next;
	peer->n_chunks--;
	if (ch->n_pool < POOL_CHUNKS) {
		c->next = ch->pool;
		ch->pool = c;
		ch->n_pool++;
	} else {
		free(c);
	}
}

/* Give up what waits. */
static void queue_drop(struct channel *ch, struct channel_peer *peer)
{
	while (peer->queue) {
		const struct chunk *c = chunk_first(peer);

		for (size_t at = 0; at < c->len; at += first_mh_len(c->data + at))
			ch->counters.tx_dropped++;
		chunk_drop(ch, peer);
	}
}

/* Move as many messages from the queue to w as fit, in order. */
static void queue_take(struct channel *ch, struct channel_peer *peer, struct wcur *w, size_t room)
{
	while (peer->queue) {
		struct chunk *c = chunk_first(peer);
		size_t take = 0, len;

		while (take < c->len && (len = first_mh_len(c->data + take)) <= room) {
			take += len;
			room -= len;
		}
		wcur_bytes(w, c->data, take);
		if (take < c->len) {
			memmove(c->data, c->data + take, c->len - take);
			c->len -= take;
			return;
		}
		chunk_drop(ch, peer);
	}
}

int channel_send(struct channel *ch, struct channel_peer *peer, const uint8_t *mh, size_t len)
{
	return channel_send_flags(ch, peer, mh, len, 0);
}

int channel_send_flags(struct channel *ch, struct channel_peer *peer, const uint8_t *mh, size_t len, unsigned int flags)
{
	struct chunk *c = peer->queue;

	if (!len || !is_mh_run(mh, len))
		return -EINVAL;
	if (len > CHANNEL_MESSAGE_MAX)
		return -EMSGSIZE;
	if (!peer->has_ep)
		return -EDESTADDRREQ;
	if (!c || c->len + len > CHANNEL_MESSAGE_MAX) {
		if (peer->n_chunks >= (peer->cur && !peer->pending ? TURN_CHUNKS : QUEUE_CHUNKS)) {
			ch->counters.tx_dropped++;
			return -ENOBUFS;
		}
		c = chunk_new(ch);
		if (!c)
			return -ENOMEM;
		c->next = peer->queue ? peer->queue->next : c;
		if (peer->queue)
			peer->queue->next = c;
		peer->queue = c;
		peer->n_chunks++;
	}
	memcpy(c->data + c->len, mh, len);
	c->len += len;
	peer->force |= (flags & CHANNEL_FORCE_HANDSHAKE) != 0;
	count_types(ch->counters.tx_type, mh, len);
	mark_dirty(ch, peer);
	return 0;
}

/* --- sending ------------------------------------------------------------------------------------------------- */

/* Send payload in session s, with pad bytes of padding. */
static void send_transport(
	struct channel *ch, struct session *s, const uint8_t *payload, size_t len, size_t pad, unsigned int tx_flags)
{
	struct wcur w = wcur_make(ch->tx, sizeof(ch->tx));
	size_t plain_len = len + pad + 2;
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {0};

	wcur_u32(&w, (uint32_t)PTYPE_SIGNALLING << 28 | s->spi_remote);
	wcur_u32(&w, (uint32_t)s->send_next);
	wcur_bytes(&w, payload, len);
	for (size_t i = 1; i <= pad; i++)
		wcur_u8(&w, (uint8_t)i); /* RFC 4303 2.4 */
	wcur_u8(&w, (uint8_t)pad);
	wcur_u8(&w, NEXT_HEADER_MH);
	(void)wcur_room(&w, TAG_LEN);
	assert(wcur_ok(&w));
	for (int i = 0; i < 4; i++)
		nonce[4 + i] = (uint8_t)(s->send_next >> (8 * i));
	crypto_aead_chacha20poly1305_ietf_encrypt(
		ch->tx + HEADER_LEN, NULL, ch->tx + HEADER_LEN, plain_len, ch->tx, HEADER_LEN, NULL, nonce, s->send.b);
	s->send_next++;
	ch->counters.tx_transport++;
	s->slot.peer->tx_bytes += wcur_len(&w);
	ch->ops->send(ch->ctx, &s->slot.peer->ep, ch->tx, wcur_len(&w), tx_flags);
}

int channel_send_probe(struct channel *ch, struct channel_peer *peer, const uint8_t *mh, size_t len,
	size_t ip_packet_size, uint64_t now_us)
{
	struct session *s = usable(ch, peer, now_us);
	size_t least = IP_UDP_LEN + HEADER_LEN + len + 2 + TAG_LEN;

	if (!len || !is_mh_run(mh, len))
		return -EINVAL;
	if (ip_packet_size < least || ip_packet_size - least > 255 || ip_packet_size > CHANNEL_DATAGRAM_MAX)
		return -EMSGSIZE;
	if (!s || !peer->has_ep)
		return -ENOTCONN;
	count_types(ch->counters.tx_type, mh, len);
	send_transport(ch, s, mh, len, ip_packet_size - least, CHANNEL_TX_DONTFRAG);
	return 0;
}

/* Fill mac1 and mac2 behind the len bytes of an initiation. */
static void put_macs(const struct channel_peer *peer, uint8_t *packet, size_t len, uint64_t now_us)
{
	uint8_t key[32];

	derive_key(LABEL_MAC1, peer->key, key);
	mac(key, sizeof(key), packet, len, packet + len);
	if (peer->cookie && now_us - peer->cookie->got_us < COOKIE_LIFE)
		mac(peer->cookie->value, MAC_LEN, packet, len + MAC_LEN, packet + len + MAC_LEN);
	else
		memset(packet + len + MAC_LEN, 0, MAC_LEN);
}

static int init_noise(const struct channel *ch, struct noise *hs, bool initiator, const uint8_t header[INIT_HEADER_LEN],
	const uint8_t *rs)
{
	uint8_t prologue[sizeof(PROLOGUE) - 1 + INIT_HEADER_LEN];

	memcpy(prologue, PROLOGUE, sizeof(PROLOGUE) - 1);
	memcpy(prologue + sizeof(PROLOGUE) - 1, header, INIT_HEADER_LEN);
	return noise_init(hs, ch->pattern, initiator, prologue, sizeof(prologue), &ch->key, rs);
}

/* Begin a handshake that carries what fits of the queue. */
static void initiate(struct channel *ch, struct channel_peer *peer, bool forced, uint64_t now_us)
{
	uint64_t wall_ns = ch->ops->wall_ns(ch->ctx);
	struct wcur w, payload = wcur_make(ch->plain, sizeof(ch->plain));
	struct pending *p;
	size_t len = 0;

	pending_free(ch, peer);
	if (wall_ns / 1000000000 > peer->until_s && peer->until_s < UINT32_MAX) {
		ch->counters.why[CHANNEL_EXPIRED]++;
		queue_drop(ch, peer);
		return;
	}
	p = calloc(1, sizeof(*p));
	if (!p) {
		ch->counters.why[CHANNEL_NO_MEMORY]++;
		queue_drop(ch, peer);
		return;
	}
	new_spi(ch, &p->slot, peer, false);
	peer->pending = p;
	p->ep = peer->ep;
	p->born_us = now_us;
	p->forced = forced;
	w = wcur_make(p->packet, sizeof(p->packet));
	put_header(&w, 0, INITIATION);
	wcur_u32(&w, p->slot.spi);

	ch->timestamp = wall_ns > ch->timestamp ? wall_ns : ch->timestamp + 1;
	if (ch->ops->timestamps && ch->timestamp > ch->timestamps_until) {
		ch->timestamps_until = ch->timestamp + TIMESTAMPS_AHEAD_NS;
		ch->ops->timestamps(ch->ctx, ch->timestamps_until);
	}
	wcur_u64(&payload, ch->timestamp);
	wcur_u8(&payload, usable(ch, peer, now_us) ? 0 : FLAG_FRESH);
	wcur_u16(&payload, (uint16_t)ch->cred_len);
	wcur_bytes(&payload, ch->cred, ch->cred_len);
	queue_take(ch, peer, &payload,
		CHANNEL_DATAGRAM - INIT_HEADER_LEN - NOISE1_OVERHEAD - 2 * MAC_LEN - INIT_FIXED - ch->cred_len);
	if (init_noise(ch, &p->hs, true, p->packet, peer->key) ||
		noise_write(&p->hs, ch->plain, wcur_len(&payload), p->packet + INIT_HEADER_LEN,
			sizeof(p->packet) - INIT_HEADER_LEN - 2 * MAC_LEN, &len)) {
		pending_free(ch, peer); /* the peer's key is of low order: its owner gave us nonsense */
		ch->counters.why[CHANNEL_CREDENTIAL]++;
		return;
	}
	log_key(ch, "INITIATION", p->slot.spi, &p->hs.cipher.key); /* as its payload was sealed */
	p->len = INIT_HEADER_LEN + len + 2 * MAC_LEN;
	put_macs(peer, p->packet, p->len - 2 * MAC_LEN, now_us);
	ch->counters.tx_initiation++;
	peer->tx_bytes += p->len;
	ch->ops->send(ch->ctx, &peer->ep, p->packet, p->len, 0);
}

/* Answer the peer's initiation with message 2, which carries what fits of the queue. */
static void respond(struct channel *ch, struct channel_peer *peer, uint64_t now_us)
{
	struct reply *r = peer->reply;
	struct session *s = calloc(1, sizeof(*s));
	struct wcur w = wcur_make(ch->tx, CHANNEL_DATAGRAM), payload = wcur_make(ch->plain, sizeof(ch->plain));
	uint8_t key[32];
	size_t len = 0;

	if (!s) {
		ch->counters.why[CHANNEL_NO_MEMORY]++;
		reply_free(peer);
		return;
	}
	ch->counters.sessions++;
	new_spi(ch, &s->slot, peer, true);
	s->spi_remote = r->spi_remote;
	s->born_us = now_us;
	put_header(&w, r->spi_remote, RESPONSE);
	wcur_u32(&payload, s->slot.spi);
	queue_take(ch, peer, &payload, CHANNEL_DATAGRAM - HEADER_LEN - NOISE2_OVERHEAD - MAC_LEN - 4);
	if (noise_write(&r->hs, ch->plain, wcur_len(&payload), ch->tx + HEADER_LEN,
		    CHANNEL_DATAGRAM - HEADER_LEN - MAC_LEN, &len)) {
		session_free(ch, &s); /* its ephemeral key is of low order */
		ch->counters.why[CHANNEL_HANDSHAKE_AUTH]++;
		reply_free(peer);
		return;
	}
	session_keys(s, &r->hs);
	log_key(ch, "RESPONSE", r->spi_remote, &r->hs.cipher.key);
	log_session(ch, s);
	derive_key(LABEL_MAC1, peer->key, key);
	mac(key, sizeof(key), ch->tx, HEADER_LEN + len, ch->tx + HEADER_LEN + len);
	install_as_responder(ch, peer, s, r->fresh);
	if (peer->pending)
		peer->pending->forced = false; /* the peer is there, and has a session */
	ch->counters.tx_response++;
	peer->tx_bytes += HEADER_LEN + len + MAC_LEN;
	ch->ops->send(ch->ctx, &r->ep, ch->tx, HEADER_LEN + len + MAC_LEN, 0);
	reply_free(peer);
}

static bool is_same_way(const struct channel_endpoint *a, const struct channel_endpoint *b)
{
	return IN6_ARE_ADDR_EQUAL(&a->remote, &b->remote) && IN6_ARE_ADDR_EQUAL(&a->local, &b->local) &&
		a->ifindex == b->ifindex && a->port == b->port && a->relay == b->relay;
}

static void flush_peer(struct channel *ch, struct channel_peer *peer, uint64_t now_us)
{
	/* what went out on a network that was left is not waited for */
	bool lost = peer->pending &&
		(peer->pending->lost || (peer->pinned && !is_same_way(&peer->pending->ep, &peer->ep)));
	bool waits = peer->pending && !lost && now_us - peer->pending->born_us < ANSWER_US;
	bool force = peer->force || (lost && peer->pending->forced);
	struct session *s;

	peer->force = false;
	if (peer->reply) {
		respond(ch, peer, now_us);
		force = false; /* the peer has just shown that it is there */
	}
	if (peer->queue) {
		s = usable(ch, peer, now_us);
		if (force) {
			bool recent = (peer->pending && !lost && now_us - peer->pending->born_us < JOIN_US) ||
				(s && peer->completed_us && now_us - peer->completed_us < JOIN_US);

			if (!recent)
				initiate(ch, peer, true, now_us);
			else if (peer->pending)
				peer->pending->forced = true;
		} else if (!waits && (!s || is_rekey_due(ch, s, now_us))) {
			initiate(ch, peer, false, now_us);
		}
	}
	s = usable(ch, peer, now_us);
	if (!s || (peer->pending && peer->pending->forced))
		return; /* the rest waits for the answer */
	if (peer->confirm && !peer->queue)
		send_transport(ch, s, NULL, 0, 2, 0);
	peer->confirm = false;
	while (peer->queue && s->send_next <= LAST_SEQUENCE) {
		/* pad to a multiple of 4 (RFC 4303 2.4); mobility headers are multiples of 8 */
		const struct chunk *c = chunk_first(peer);

		send_transport(ch, s, c->data, c->len, 2, 0);
		chunk_drop(ch, peer);
	}
}

void channel_flush_peer(
	struct channel *ch, struct channel_peer *peer, const struct channel_endpoint *unless, uint64_t now_us)
{
	if (peer->queue && !is_same_way(&peer->ep, unless))
		flush_peer(ch, peer, now_us);
}

void channel_flush(struct channel *ch, uint64_t now_us)
{
	while (ch->dirty) {
		struct channel_peer *peer = ch->dirty;

		unmark_dirty(ch, peer);
		flush_peer(ch, peer, now_us);
	}
}

/* --- peers --------------------------------------------------------------------------------------------------- */

#define PEER(e) TABLE_OBJECT(e, struct channel_peer, in_table)

static uint64_t hash_key(const struct channel *ch, const uint8_t key[32])
{
	uint64_t h;

	crypto_shorthash((uint8_t *)&h, key, 32, ch->hash_key);
	return h;
}

static uint64_t hash_peer(const void *ctx, const struct table_entry *e)
{
	return hash_key(ctx, PEER(e)->key);
}

struct channel_peer *channel_find_peer(struct channel *ch, const uint8_t key[static 32])
{
	struct table_entry *e = table_first(&ch->peers, hash_key(ch, key));

	while (e && memcmp(PEER(e)->key, key, 32) != 0)
		e = e->next;
	return e ? PEER(e) : NULL;
}

static void digest(const struct channel *ch, const uint8_t *cred, size_t len, uint8_t ret[16])
{
	crypto_generichash(ret, 16, cred, len, ch->hash_key, sizeof(ch->hash_key));
}

/* Peers have an index instead of a key of 32 bytes. -ENOMEM also when there are more domains than anybody trusts. */
static int domain_index(struct channel *ch, const struct credential *cred, uint8_t *ret)
{
	struct domain *d;
	uint8_t i = 0;

	while (i < ch->n_domains && memcmp(ch->domains[i].key, cred->domain_key, sizeof(d->key)) != 0)
		i++;
	if (i == ch->n_domains) {
		d = i < DOMAINS ? reallocarray(ch->domains, i + 1u, sizeof(*d)) : NULL;
		if (!d)
			return -ENOMEM;
		ch->domains = d;
		memcpy(d[i].key, cred->domain_key, sizeof(d[i].key));
		memcpy(d[i].name, cred->domain, sizeof(d[i].name));
		ch->n_domains++;
	}
	*ret = i;
	return 0;
}

/* Of a credential only what is needed later is kept. */
static int set_cred(
	struct channel *ch, struct channel_peer *peer, const uint8_t *raw, size_t len, const struct credential *cred)
{
	if (strcmp(peer->name, cred->node) != 0) {
		char *copy = strdup(cred->node);

		if (!copy)
			return -ENOMEM;
		if (peer->name != peer->own_name)
			free(peer->name);
		peer->name = copy;
	}
	if (domain_index(ch, cred, &peer->domain) < 0)
		return -ENOMEM;
	digest(ch, raw, len, peer->digest);
	peer->until_s = cred->until_s < UINT32_MAX ? (uint32_t)cred->until_s : UINT32_MAX; /* 2106 */
	peer->is_ama = cred->role == CREDENTIAL_AMA;
	return 0;
}

static int peer_new(
	struct channel *ch, const uint8_t *raw, size_t len, const struct credential *cred, struct channel_peer **ret)
{
	size_t size = offsetof(struct channel_peer, own_name) + strlen(cred->node) + 1;
	struct channel_peer *peer;

	if (ch->counters.peers >= ch->max_peers)
		return -ENOSPC;
	/* a short name fits in the padding, but a copy has that, too */
	peer = calloc(1, size > sizeof(*peer) ? size : sizeof(*peer));
	if (!peer)
		return -ENOMEM;
	peer->name = peer->own_name;
	memcpy(peer->name, cred->node, strlen(cred->node) + 1);
	memcpy(peer->key, cred->key, 32);
	if (set_cred(ch, peer, raw, len, cred) < 0 || table_add(&ch->peers, &peer->in_table) < 0) {
		free(peer);
		return -ENOMEM;
	}
	ch->counters.peers++;
	*ret = peer;
	return 0;
}

int channel_peer_add(struct channel *ch, const struct credential *remote, struct channel_peer **ret)
{
	uint8_t raw[CREDENTIAL_MAX];
	int len = credential_write(remote, raw, sizeof(raw)), r;
	struct channel_peer *peer;

	if (len < 0 || !memcmp(remote->key, ch->public_key, 32))
		return -EINVAL;
	peer = channel_find_peer(ch, remote->key);
	/* a domain can sign for anybody's key: who has shown another credential with a proof is not what it says */
	if (peer &&
		(peer->is_ama != (remote->role == CREDENTIAL_AMA) ||
			memcmp(channel_peer_domain(ch, peer)->key, remote->domain_key, sizeof(remote->domain_key)))) {
		if (peer->trust && (peer->cur || peer->next))
			return -EEXIST;
		peer->trust = 0; /* this one it has not shown */
	}
	r = peer ? set_cred(ch, peer, raw, (size_t)len, remote) : peer_new(ch, raw, (size_t)len, remote, &peer);
	if (r)
		return r;
	peer->added = true;
	*ret = peer;
	return 0;
}

void channel_peer_release(struct channel_peer *peer)
{
	peer->added = false;
}

void channel_peer_remove(struct channel *ch, struct channel_peer *peer)
{
	unmark_dirty(ch, peer);
	queue_drop(ch, peer);
	session_free(ch, &peer->cur);
	session_free(ch, &peer->prev);
	session_free(ch, &peer->next);
	pending_free(ch, peer);
	reply_free(peer);
	free(peer->cookie);
	if (peer->name != peer->own_name)
		free(peer->name);
	table_remove(&ch->peers, &peer->in_table);
	ch->counters.peers--;
	free(peer);
}

void channel_peer_set_endpoint(struct channel_peer *peer, const struct channel_endpoint *ep)
{
	struct channel_endpoint to = *ep;

	if (IN6_IS_ADDR_UNSPECIFIED(&ep->local))
		to.local = peer->ep.local;
	peer->ep = peer->has_ep && is_same_way(&to, &peer->ep) ? to : *ep;
	peer->has_ep = peer->pinned = true;
}

/* An authentic datagram came from there. */
static void follow(struct channel_peer *peer, const struct channel_endpoint *ep)
{
	if (peer->pinned)
		return;
	peer->ep = *ep;
	peer->has_ep = true;
}

const uint8_t *channel_peer_key(const struct channel_peer *peer)
{
	return peer->key;
}

const char *channel_peer_name(const struct channel_peer *peer)
{
	return peer->name;
}

enum credential_role channel_peer_role(const struct channel_peer *peer)
{
	return peer->is_ama ? CREDENTIAL_AMA : CREDENTIAL_MN;
}

const struct domain *channel_peer_domain(const struct channel *ch, const struct channel_peer *peer)
{
	return &ch->domains[peer->domain];
}

void channel_peer_info(const struct channel_peer *peer, struct channel_peer_info *ret)
{
	const struct session *s = peer->cur ? peer->cur : peer->next;

	*ret = (struct channel_peer_info){
		.ep = peer->ep,
		.has_session = s != NULL,
		.in_handshake = peer->pending != NULL,
		.spi_local = s ? s->slot.spi : 0,
		.spi_remote = s ? s->spi_remote : 0,
		.born_us = s ? s->born_us : 0,
		.heard_us = peer->heard_us,
		.rx_bytes = peer->rx_bytes,
		.tx_bytes = peer->tx_bytes,
	};
	for (const struct chunk *c = peer->queue; c; c = c->next == peer->queue ? NULL : c->next)
		ret->queued += c->len;
}

/* --- receiving ----------------------------------------------------------------------------------------------- */

/* Last step of any input: nothing of peer may be touched behind it. */
static void deliver(struct channel *ch, struct channel_peer *peer, const struct channel_rx *rx, bool handshake,
	const uint8_t *mh, size_t len)
{
	struct channel_rx copy = *rx;

	copy.handshake = handshake;
	count_types(ch->counters.rx_type, mh, len);
	if (len)
		ch->ops->recv(ch->ctx, peer, &copy, mh, len);
}

static enum channel_why input_transport(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us)
{
	struct rcur c = rcur_make(buf, len);
	uint32_t spi = rcur_u32(&c) & SPI_MAX, seq = rcur_u32(&c);
	uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES] = {0};
	struct session *s;
	struct channel_peer *peer;
	struct slot *slot;
	size_t plain_len, pad;
	bool newest;

	if (!rcur_ok(&c) || rcur_left(&c) < 2 + TAG_LEN)
		return CHANNEL_TOO_SHORT;
	slot = find_slot(ch, spi);
	if (!slot || !slot->is_session)
		return CHANNEL_UNKNOWN_SPI;
	s = (struct session *)slot;
	if (now_us - s->born_us >= ch->reject_us)
		return CHANNEL_DEAD_SESSION;
	if (is_replay(s, seq))
		return CHANNEL_REPLAY;
	for (int i = 0; i < 4; i++)
		nonce[4 + i] = (uint8_t)(seq >> (8 * i));
	plain_len = rcur_left(&c) - TAG_LEN;
	if (crypto_aead_chacha20poly1305_ietf_decrypt(
		    ch->plain, NULL, NULL, c.pos, rcur_left(&c), buf, HEADER_LEN, nonce, s->recv.b))
		return CHANNEL_AUTH;
	newest = seq >= s->recv_next;
	mark_received(s, seq);
	peer = slot->peer;
	session_heard(ch, s);
	peer->heard_us = now_us;
	peer->rx_bytes += len;
	if (newest)
		follow(peer, &rx->ep);
	ch->counters.rx_transport++;

	pad = ch->plain[plain_len - 2];
	if (ch->plain[plain_len - 1] != NEXT_HEADER_MH || pad + 2 > plain_len)
		return CHANNEL_TRAILER;
	for (size_t i = 1; i <= pad; i++)
		if (ch->plain[plain_len - 2 - pad + i - 1] != (uint8_t)i)
			return CHANNEL_TRAILER;
	plain_len -= pad + 2;
	if (!is_mh_run(ch->plain, plain_len))
		return CHANNEL_PAYLOAD;
	deliver(ch, peer, rx, false, ch->plain, plain_len);
	return CHANNEL_OK;
}

/* Count an initiation that was made for us; are we under load? */
static bool meter_load(struct channel *ch, uint64_t now_us)
{
	if (now_us - ch->load_window_us >= SECOND) {
		ch->load_window_us = now_us;
		ch->load_count = 0;
	}
	if (++ch->load_count > ch->handshakes_per_s)
		ch->load_until_us = ch->load_window_us + 2 * SECOND;
	return now_us < ch->load_until_us;
}

/* The cookie of a source address and port. */
static void make_cookie(struct channel *ch, const struct channel_endpoint *ep, uint64_t now_us, uint8_t ret[MAC_LEN])
{
	uint8_t buf[18];
	struct wcur w = wcur_make(buf, sizeof(buf));

	if (!ch->has_cookie_secret || now_us - ch->cookie_secret_us >= COOKIE_LIFE) {
		randombytes_buf(ch->cookie_secret.b, sizeof(ch->cookie_secret.b));
		ch->cookie_secret_us = now_us;
		ch->has_cookie_secret = true;
	}
	wcur_in6(&w, &ep->remote);
	wcur_u16(&w, ep->port);
	mac(ch->cookie_secret.b, sizeof(ch->cookie_secret.b), buf, sizeof(buf), ret);
}

static void send_cookie(struct channel *ch, const struct channel_endpoint *ep, uint32_t spi,
	const uint8_t mac1[MAC_LEN], const uint8_t cookie[MAC_LEN])
{
	uint8_t out[COOKIE_LEN];
	struct wcur w = wcur_make(out, sizeof(out));
	uint8_t *nonce;

	put_header(&w, spi, COOKIE);
	nonce = wcur_room(&w, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	randombytes_buf(nonce, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(
		wcur_room(&w, MAC_LEN + TAG_LEN), NULL, cookie, MAC_LEN, mac1, MAC_LEN, NULL, nonce, ch->cookie_key);
	ch->counters.tx_cookie++;
	ch->ops->send(ch->ctx, ep, out, wcur_len(&w), 0);
}

static enum channel_why why_of(enum credential_why why)
{
	switch (why) {
	case CREDENTIAL_WHY_UNTRUSTED:
		return CHANNEL_UNTRUSTED;
	case CREDENTIAL_WHY_SIGNATURE:
		return CHANNEL_SIGNATURE;
	case CREDENTIAL_WHY_NOT_YET:
	case CREDENTIAL_WHY_EXPIRED:
		return CHANNEL_EXPIRED;
	case CREDENTIAL_WHY_MALFORMED:
	case CREDENTIAL_WHY_VERSION:
	case CREDENTIAL_WHY_COUNT:
		break;
	}
	return CHANNEL_CREDENTIAL;
}

/* Message 1 was decrypted with hs into the len bytes of ch->plain. */
static enum channel_why accept_initiation(struct channel *ch, const struct channel_rx *rx, const struct noise *hs,
	uint32_t spi_remote, size_t len, uint64_t now_us)
{
	uint64_t now_s = ch->ops->wall_ns(ch->ctx) / 1000000000;
	struct rcur c = rcur_make(ch->plain, len);
	uint64_t timestamp = rcur_u64(&c);
	uint8_t flags = rcur_u8(&c);
	size_t cred_len = rcur_u16(&c), mh_len;
	const uint8_t *raw = rcur_take(&c, cred_len), *mh;
	struct channel_peer *peer = channel_find_peer(ch, hs->rs);
	struct credential cred;
	enum credential_why why;
	struct reply *reply;
	uint8_t known[16];
	int r;

	/* first look at everything, then act */
	if (!raw)
		return CHANNEL_TOO_SHORT;
	mh_len = rcur_left(&c);
	mh = rcur_take(&c, mh_len);
	if (peer && timestamp <= peer->timestamp)
		return CHANNEL_TIMESTAMP;
	if (credential_read(raw, cred_len, &cred, &why) || memcmp(cred.key, hs->rs, sizeof(cred.key)))
		return CHANNEL_CREDENTIAL;
	digest(ch, raw, cred_len, known);
	if (peer && peer->trust == ch->trust && !memcmp(peer->digest, known, sizeof(known))) {
		if (now_s < cred.from_s || now_s > cred.until_s) /* the signature was checked before */
			return CHANNEL_EXPIRED;
	} else if (credential_verify(&cred, ch->trusted, ch->n_trusted, now_s, &why)) {
		return why_of(why);
	}
	if (!is_mh_run(mh, mh_len))
		return CHANNEL_PAYLOAD;
	if (!memcmp(hs->rs, ch->public_key, sizeof(hs->rs)) || (ch->ops->accept && ch->ops->accept(ch->ctx, &cred)))
		return CHANNEL_REFUSED;
	reply = malloc(sizeof(*reply));
	if (!reply)
		return CHANNEL_NO_MEMORY;
	r = peer ? set_cred(ch, peer, raw, cred_len, &cred) : peer_new(ch, raw, cred_len, &cred, &peer);
	if (r) {
		free(reply);
		return r == -ENOSPC ? CHANNEL_PEERS_FULL : CHANNEL_NO_MEMORY;
	}
	reply_free(peer);
	*reply = (struct reply){.hs = *hs, .ep = rx->ep, .spi_remote = spi_remote, .fresh = flags & FLAG_FRESH};
	peer->reply = reply;
	peer->trust = ch->trust;
	peer->timestamp = timestamp;
	peer->heard_us = now_us;
	peer->rx_bytes += INIT_HEADER_LEN + NOISE1_OVERHEAD + len + 2 * MAC_LEN;
	follow(peer, &rx->ep);
	mark_dirty(ch, peer);
	ch->counters.rx_initiation++;
	deliver(ch, peer, rx, true, mh, mh_len);
	return CHANNEL_OK;
}

static enum channel_why input_initiation(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us)
{
	struct rcur c = rcur_make(buf, len);
	const uint8_t *mac1 = buf + len - 2 * MAC_LEN, *mac2 = buf + len - MAC_LEN;
	uint8_t want[MAC_LEN], cookie[MAC_LEN];
	uint32_t spi_remote;
	struct noise hs;
	size_t plain_len;
	enum channel_why why;

	if (len < INIT_HEADER_LEN + NOISE1_OVERHEAD + INIT_FIXED + CREDENTIAL_MIN + 2 * MAC_LEN)
		return CHANNEL_TOO_SHORT;
	rcur_skip(&c, HEADER_LEN);
	spi_remote = rcur_u32(&c);
	if (!spi_remote || spi_remote > SPI_MAX)
		return CHANNEL_HANDSHAKE_TYPE;
	mac(ch->mac1_key, sizeof(ch->mac1_key), buf, len - 2 * MAC_LEN, want);
	if (sodium_memcmp(want, mac1, MAC_LEN))
		return CHANNEL_MAC1;
	if (meter_load(ch, now_us)) {
		make_cookie(ch, &rx->ep, now_us, cookie);
		mac(cookie, sizeof(cookie), buf, len - MAC_LEN, want);
		if (sodium_memcmp(want, mac2, MAC_LEN)) {
			send_cookie(ch, &rx->ep, spi_remote, mac1, cookie);
			return CHANNEL_MAC2;
		}
	}
	if (init_noise(ch, &hs, false, buf, NULL) ||
		noise_read(&hs, buf + INIT_HEADER_LEN, len - INIT_HEADER_LEN - 2 * MAC_LEN, ch->plain,
			sizeof(ch->plain), &plain_len))
		why = CHANNEL_HANDSHAKE_AUTH;
	else
		why = accept_initiation(ch, rx, &hs, spi_remote, plain_len, now_us);
	if (why == CHANNEL_OK)
		log_key(ch, "INITIATION", spi_remote, &hs.cipher.key);
	noise_done(&hs);
	return why;
}

static enum channel_why input_response(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us)
{
	struct rcur c = rcur_make(buf, len);
	struct slot *slot = find_slot(ch, rcur_u32(&c) & SPI_MAX);
	uint8_t want[MAC_LEN];
	struct channel_peer *peer;
	struct pending *p;
	struct session *s;
	struct noise hs;
	size_t plain_len, mh_len;
	uint32_t spi_remote;
	const uint8_t *mh;

	if (len < HEADER_LEN + NOISE2_OVERHEAD + 4 + MAC_LEN)
		return CHANNEL_TOO_SHORT;
	if (!slot || slot->is_session)
		return CHANNEL_UNKNOWN_SPI;
	mac(ch->mac1_key, sizeof(ch->mac1_key), buf, len - MAC_LEN, want);
	if (sodium_memcmp(want, buf + len - MAC_LEN, MAC_LEN))
		return CHANNEL_MAC1;
	p = (struct pending *)slot;
	hs = p->hs; /* a copy: a forged response must not spoil the handshake */
	if (noise_read(&hs, buf + HEADER_LEN, len - HEADER_LEN - MAC_LEN, ch->plain, sizeof(ch->plain), &plain_len)) {
		noise_done(&hs);
		return CHANNEL_HANDSHAKE_AUTH;
	}
	c = rcur_make(ch->plain, plain_len);
	spi_remote = rcur_u32(&c);
	mh_len = rcur_left(&c);
	mh = rcur_take(&c, mh_len);
	if (!mh || !spi_remote || spi_remote > SPI_MAX || !is_mh_run(mh, mh_len)) {
		noise_done(&hs);
		return CHANNEL_PAYLOAD;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		noise_done(&hs);
		return CHANNEL_NO_MEMORY;
	}
	session_keys(s, &hs);
	log_key(ch, "RESPONSE", slot->spi, &hs.cipher.key);
	noise_done(&hs);
	peer = slot->peer;
	s->slot = (struct slot){.spi = slot->spi, .peer = peer, .is_session = true};
	s->spi_remote = spi_remote;
	s->initiator = true;
	log_session(ch, s);
	s->born_us = now_us;
	if (install_as_initiator(ch, peer, s, p->born_us))
		peer->confirm = true;
	pending_free(ch, peer); /* gives the SPI up, which the session takes over */
	link_slot(ch, &s->slot);
	ch->counters.sessions++;
	peer->completed_us = peer->heard_us = now_us;
	peer->rx_bytes += len;
	follow(peer, &rx->ep);
	if (peer->queue || peer->confirm)
		mark_dirty(ch, peer);
	ch->counters.rx_response++;
	deliver(ch, peer, rx, true, mh, mh_len);
	return CHANNEL_OK;
}

static enum channel_why input_cookie(struct channel *ch, const uint8_t *buf, size_t len, uint64_t now_us)
{
	struct rcur c = rcur_make(buf, len);
	struct slot *slot = find_slot(ch, rcur_u32(&c) & SPI_MAX);
	uint8_t key[32], value[MAC_LEN];
	const uint8_t *nonce;
	struct channel_peer *peer;
	struct pending *p;

	if (len != COOKIE_LEN)
		return CHANNEL_TOO_SHORT;
	if (!slot || slot->is_session)
		return CHANNEL_UNKNOWN_SPI;
	p = (struct pending *)slot;
	peer = slot->peer;
	rcur_skip(&c, 4);
	nonce = rcur_take(&c, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
	derive_key(LABEL_COOKIE, peer->key, key);
	if (p->repeated ||
		crypto_aead_xchacha20poly1305_ietf_decrypt(
			value, NULL, NULL, c.pos, rcur_left(&c), p->packet + p->len - 2 * MAC_LEN, MAC_LEN, nonce, key))
		return CHANNEL_COOKIE;
	if (!peer->cookie && !(peer->cookie = malloc(sizeof(*peer->cookie))))
		return CHANNEL_NO_MEMORY;
	memcpy(peer->cookie->value, value, sizeof(value));
	peer->cookie->got_us = now_us;
	ch->counters.rx_cookie++;
	/* The responder did not look at the initiation, so that it may be sent again as it is, but for mac2. Once. */
	p->repeated = true;
	put_macs(peer, p->packet, p->len - 2 * MAC_LEN, now_us);
	ch->counters.tx_initiation++;
	ch->ops->send(ch->ctx, &peer->ep, p->packet, p->len, 0);
	return CHANNEL_OK;
}

/* --- discovery ----------------------------------------------------------------------------------------------- */

/* Nonces need no memory: the minute and whom we asked, under a key of ours. */
static void make_nonce(
	const struct channel *ch, const struct channel_endpoint *ep, uint64_t minute, uint8_t ret[MAC_LEN])
{
	uint8_t buf[26];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u64(&w, minute);
	wcur_in6(&w, &ep->remote);
	wcur_u16(&w, ep->port);
	mac(ch->nonce_secret.b, sizeof(ch->nonce_secret.b), buf, sizeof(buf), ret);
}

void channel_discover(struct channel *ch, const struct channel_endpoint *ep, uint64_t now_us)
{
	uint8_t out[DISCOVERY_LEN], nonce[DISCOVERY_NONCE_LEN];
	struct wcur w = wcur_make(out, sizeof(out));

	make_nonce(ch, ep, now_us / (60 * SECOND), nonce);
	put_header(&w, 0, DISCOVERY_REQUEST);
	wcur_bytes(&w, nonce, sizeof(nonce));
	wcur_zero(&w, sizeof(out) - wcur_len(&w));
	ch->counters.tx_discovery++;
	ch->ops->send(ch->ctx, ep, out, sizeof(out), 0);
}

/* May this /64 ask now? A token bucket in one number; neighbours in the table share, and no one can choose its
 * neighbours. */
static bool rate_ok(struct channel *ch, const struct in6_addr *from, uint64_t now_us)
{
	uint64_t interval = SECOND / ch->discoveries_per_s, burst = 2 * ch->discoveries_per_s - 1, h, *tat;

	crypto_shorthash((uint8_t *)&h, from->s6_addr, 8, ch->hash_key);
	tat = &ch->rate[h % DISCOVERY_SLOTS];
	if (*tat < now_us)
		*tat = now_us;
	if (*tat - now_us > burst * interval)
		return false;
	*tat += interval;
	return true;
}

static enum channel_why input_discovery_request(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us)
{
	uint8_t out[DISCOVERY_LEN];
	struct wcur w = wcur_make(out, sizeof(out));
	struct rcur c = rcur_make(buf, len);

	if (len != DISCOVERY_LEN)
		return CHANNEL_DISCOVERY_SIZE; /* so that the answer is never longer than the question */
	if (ch->role != CREDENTIAL_AMA)
		return CHANNEL_DISCOVERY_NONE; /* an MN's credential is nobody's business */
	if (!rate_ok(ch, &rx->ep.remote, now_us))
		return CHANNEL_DISCOVERY_RATE;
	rcur_skip(&c, HEADER_LEN);
	put_header(&w, 0, DISCOVERY_REPLY);
	wcur_bytes(&w, rcur_take(&c, DISCOVERY_NONCE_LEN), DISCOVERY_NONCE_LEN);
	wcur_u16(&w, (uint16_t)ch->cred_len);
	wcur_bytes(&w, ch->cred, ch->cred_len);
	wcur_zero(&w, sizeof(out) - wcur_len(&w));
	ch->counters.rx_discovery++;
	ch->counters.tx_discovery++;
	ch->ops->send(ch->ctx, &rx->ep, out, sizeof(out), 0);
	return CHANNEL_OK;
}

static enum channel_why input_discovery_reply(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us)
{
	struct rcur c = rcur_make(buf, len);
	uint64_t minute = now_us / (60 * SECOND);
	uint8_t now[DISCOVERY_NONCE_LEN], before[DISCOVERY_NONCE_LEN];
	const uint8_t *nonce, *raw;
	struct credential cred;
	enum credential_why why;
	size_t cred_len;

	if (len != DISCOVERY_LEN)
		return CHANNEL_DISCOVERY_SIZE;
	rcur_skip(&c, HEADER_LEN);
	nonce = rcur_take(&c, DISCOVERY_NONCE_LEN);
	make_nonce(ch, &rx->ep, minute, now);
	make_nonce(ch, &rx->ep, minute - 1, before);
	if (sodium_memcmp(nonce, now, sizeof(now)) && sodium_memcmp(nonce, before, sizeof(before)))
		return CHANNEL_DISCOVERY_NONCE;
	cred_len = rcur_u16(&c);
	raw = rcur_take(&c, cred_len);
	if (!raw || credential_read(raw, cred_len, &cred, &why) || cred.role != CREDENTIAL_AMA)
		return CHANNEL_CREDENTIAL;
	if (credential_verify(&cred, ch->trusted, ch->n_trusted, ch->ops->wall_ns(ch->ctx) / 1000000000, &why))
		return why_of(why);
	ch->counters.rx_discovery++;
	if (ch->ops->discovered)
		ch->ops->discovered(ch->ctx, &rx->ep.remote, &cred);
	return CHANNEL_OK;
}

/* --- the way in ---------------------------------------------------------------------------------------------- */

static enum channel_why input_handshake(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us)
{
	struct rcur c = rcur_make(buf, len);
	uint32_t spi = rcur_u32(&c) & SPI_MAX;
	uint8_t type = rcur_u8(&c), version = rcur_u8(&c);
	uint16_t reserved = rcur_u16(&c);
	bool has_spi = type == RESPONSE || type == COOKIE;

	if (!rcur_ok(&c))
		return CHANNEL_TOO_SHORT;
	if (version != HANDSHAKE_VERSION || reserved || has_spi != (spi != 0))
		return CHANNEL_HANDSHAKE_TYPE;
	switch (type) {
	case INITIATION:
		return input_initiation(ch, rx, buf, len, now_us);
	case RESPONSE:
		return input_response(ch, rx, buf, len, now_us);
	case COOKIE:
		return input_cookie(ch, buf, len, now_us);
	case DISCOVERY_REQUEST:
		return input_discovery_request(ch, rx, buf, len, now_us);
	case DISCOVERY_REPLY:
		return input_discovery_reply(ch, rx, buf, len, now_us);
	default: /* a byte from outside */
		return CHANNEL_HANDSHAKE_TYPE;
	}
}

enum channel_why channel_input(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us)
{
	struct rcur c = rcur_make(buf, len);
	uint8_t ptype = rcur_u8(&c) >> 4;
	enum channel_why why;

	if (!rcur_ok(&c))
		why = CHANNEL_TOO_SHORT;
	else if (len > CHANNEL_DATAGRAM_MAX)
		why = CHANNEL_TOO_LONG;
	else if (ptype == PTYPE_SIGNALLING)
		why = input_transport(ch, rx, buf, len, now_us);
	else if (ptype == PTYPE_HANDSHAKE)
		why = input_handshake(ch, rx, buf, len, now_us);
	else
		why = CHANNEL_PTYPE;
	ch->counters.why[why]++;
	return why;
}

/* --- life ---------------------------------------------------------------------------------------------------- */

static void expire_session(struct channel *ch, struct session **s, uint64_t now_us)
{
	if (*s && now_us - (*s)->born_us >= ch->reject_us)
		session_free(ch, s);
}

void channel_doubt(struct channel *ch)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&ch->peers, e, tmp) {
		if (PEER(e)->pending)
			PEER(e)->pending->lost = true;
	}
}

void channel_expire(struct channel *ch, uint64_t now_us)
{
	struct table_entry *e, *tmp;

	TABLE_EACH(&ch->peers, e, tmp) {
		struct channel_peer *peer = PEER(e);

		expire_session(ch, &peer->cur, now_us);
		expire_session(ch, &peer->prev, now_us);
		expire_session(ch, &peer->next, now_us);
		if (peer->prev && peer->cur && peer->cur->heard && now_us - peer->cur->born_us >= PREV_US)
			session_free(ch, &peer->prev);
		if (peer->pending && now_us - peer->pending->born_us >= ANSWER_US)
			pending_free(ch, peer);
		if (peer->cookie && now_us - peer->cookie->got_us >= COOKIE_LIFE) {
			free(peer->cookie);
			peer->cookie = NULL;
		}
		if (peer->pending || peer->reply || peer->dirty)
			continue;
		queue_drop(ch, peer); /* it waited for an answer that did not come */
		if (!peer->added && !peer->cur && !peer->next && !peer->prev) {
			if (ch->ops->peer_gone)
				ch->ops->peer_gone(ch->ctx, peer);
			channel_peer_remove(ch, peer);
		}
	}
}

int channel_set_trusted(struct channel *ch, const struct domain *trusted, size_t n)
{
	struct domain *copy = calloc(n ? n : 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, trusted, n * sizeof(*copy));
	free(ch->trusted);
	ch->trusted = copy;
	ch->n_trusted = n;
	ch->trust++;
	return 0;
}

int channel_set_credential(struct channel *ch, const struct credential *cred)
{
	uint8_t buf[CREDENTIAL_MAX];
	int len = credential_write(cred, buf, sizeof(buf));

	if (len < 0 || memcmp(cred->key, ch->public_key, sizeof(ch->public_key)))
		return -EINVAL;
	memcpy(ch->cred, buf, (size_t)len);
	ch->cred_len = (size_t)len;
	ch->role = cred->role;
	return 0;
}

void channel_go_on_after(struct channel *ch, uint64_t until_ns)
{
	ch->timestamp = ch->timestamps_until = until_ns;
}

uint64_t channel_wall_s(const struct channel *ch)
{
	return ch->ops->wall_ns(ch->ctx) / 1000000000;
}

const struct channel_counters *channel_counters(const struct channel *ch)
{
	return &ch->counters;
}

int channel_new(const struct channel_config *cfg, struct channel **ret)
{
	struct channel *ch;
	int r;

	if (!cfg->identity || !cfg->identity->has_credential || !cfg->ops || !cfg->ops->send || !cfg->ops->recv ||
		!cfg->ops->wall_ns || secret_start())
		return -EINVAL;
	ch = calloc(1, sizeof(*ch));
	if (!ch)
		return -ENOMEM;
	secret_lock(ch, sizeof(*ch));
	ch->ops = cfg->ops;
	ch->ctx = cfg->ctx;
	ch->pattern = noise_find_pattern("IK");
	ch->max_peers = cfg->max_peers ? cfg->max_peers : 200000;
	ch->handshakes_per_s = cfg->handshakes_per_s ? cfg->handshakes_per_s : 2000;
	ch->discoveries_per_s = cfg->discoveries_per_s ? cfg->discoveries_per_s : 10;
	ch->rekey_us = (cfg->rekey_after_s ? cfg->rekey_after_s : 3600) * SECOND;
	ch->reject_us = (cfg->reject_after_s ? cfg->reject_after_s : 26 * 3600) * SECOND;
	secret_copy(&ch->key, &cfg->identity->key);
	memcpy(ch->public_key, cfg->identity->public_key, sizeof(ch->public_key));
	derive_key(LABEL_MAC1, ch->public_key, ch->mac1_key);
	derive_key(LABEL_COOKIE, ch->public_key, ch->cookie_key);
	randombytes_buf(ch->nonce_secret.b, sizeof(ch->nonce_secret.b));
	randombytes_buf(ch->hash_key, sizeof(ch->hash_key));
	table_init(&ch->peers, hash_peer, ch);
	ch->spi_mask = 255;
	ch->by_spi = calloc(ch->spi_mask + 1, sizeof(*ch->by_spi));
	r = ch->by_spi ? channel_set_credential(ch, &cfg->identity->credential) : -ENOMEM;
	if (!r)
		r = channel_set_trusted(ch, cfg->trusted, cfg->n_trusted);
	if (r) {
		channel_free(ch);
		return r;
	}
	*ret = ch;
	return 0;
}

void channel_free(struct channel *ch)
{
	struct table_entry *e, *tmp;

	if (!ch)
		return;
	TABLE_EACH(&ch->peers, e, tmp) {
		channel_peer_remove(ch, PEER(e));
	}
	table_done(&ch->peers);
	while (ch->pool) {
		struct chunk *c = ch->pool;

		ch->pool = c->next;
		free(c);
	}
	free(ch->trusted);
	free(ch->domains);
	free(ch->by_spi);
	secret_unlock(ch, sizeof(*ch));
	free(ch);
}
