/* SPDX-License-Identifier: GPL-2.0-or-later */
/* channel.h - the secure channel (ARCHITECTURE, "Signalling"): RFC 6618 framing, Noise_IK handshakes, sessions; bytes
 * in, bytes out. No sockets, clocks or threads: the owner feeds datagrams and times in and is told by its operations.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "credential.h"

#define CHANNEL_PORT	     7872
#define CHANNEL_DATAGRAM     1232 /* largest UDP payload we send, but for probes: the IPv6 minimum MTU less headers */
#define CHANNEL_MESSAGE_MAX  1200 /* largest mobility header message (or run of them) in one channel_send() */
#define CHANNEL_TYPES	     32	  /* message types counted; what is above counts as the last, which is none */
#define CHANNEL_DATAGRAM_MAX 9216 /* largest UDP payload accepted, and IPv6 packet size of a probe */

struct channel;	     /* made by channel_new(), owned by the daemon, one a UDP port */
struct channel_peer; /* owned by the channel; lives until channel_peer_remove(), or peer_gone() told its end */

/* Where a datagram goes to, or came from. */
struct channel_endpoint {
	struct in6_addr remote;
	struct in6_addr
		local;	  /* our address: source to send from (:: = the kernel's choice), or destination it came to */
	uint32_t ifindex; /* 0 = any */
	uint16_t port;	  /* the remote's, host order */
	/* the owner's: not by UDP but through this peer, 0 = by UDP; ifindex is the owner's, too, then */
	uint16_t relay;
};

/* A received datagram's circumstances. */
struct channel_rx {
	struct channel_endpoint ep;
	uint8_t hoplimit;
	bool handshake; /* set by the channel for ops.recv: the payload rode in a handshake message */
};

#define CHANNEL_TX_DONTFRAG 1u /* do not fragment, ignore the cached path MTU: a path MTU probe */

/* What the channel calls. ctx is that of the configuration. They may call channel_send(), channel_find_peer() and the
 * channel_peer_*() functions (also channel_peer_remove() of the very peer); not channel_input, _flush, _expire or
 * _free. */
struct channel_ops {
	/* Queue one datagram for sending; buf is the channel's. */
	void (*send)(
		void *ctx, const struct channel_endpoint *ep, const uint8_t *buf, size_t len, unsigned int tx_flags);
	/* An authentic payload: one or more complete mobility header messages back to back (the lengths in their
	 * headers add up to len), to be checked further by the caller's codec. mh lives until the callback returns. */
	void (*recv)(void *ctx, struct channel_peer *peer, const struct channel_rx *rx, const uint8_t *mh, size_t len);
	/* May the holder of this verified credential become a peer? 0, or -errno to refuse it (counted). NULL:
	 * everybody. */
	int (*accept)(void *ctx, const struct credential *cred);
	/* A verified AMA answered channel_discover(). NULL: never asked. */
	void (*discovered)(void *ctx, const struct in6_addr *from, const struct credential *cred);
	/* channel_expire() ends a peer that was not added by channel_peer_add(); forget the pointer. May be NULL. */
	void (*peer_gone)(void *ctx, struct channel_peer *peer);
	/* A key has come into use, for whoever debugs with a capture: what is "INITIATION" or "RESPONSE" (the payload
	 * of that handshake message; spi: the initiator's) or "SESSION" (datagrams to that spi). NULL: nobody hears of
	 * keys. */
	void (*key_log)(void *ctx, const char *what, uint32_t spi, const uint8_t key[static 32]);
	/* The wall clock, nanoseconds since 1970: handshake timestamps and credential validity. */
	uint64_t (*wall_ns)(void *ctx);
	/* Timestamps up to this one (ns) are going to be used, an hour ahead: to be on disk before what is sent now
	 * leaves, for channel_go_on_after() of the next run. NULL: not kept over a restart. */
	void (*timestamps)(void *ctx, uint64_t until_ns);
};

struct channel_config {
	const struct identity *identity; /* copied; must have a credential */
	const struct domain *trusted;	 /* copied; the domains whose credentials we believe */
	size_t n_trusted;
	const struct channel_ops *ops; /* kept; must outlive the channel */
	void *ctx;
	/* 0 = the default */
	uint32_t max_peers;	    /* 200000; when full, handshakes of strangers are refused and counted */
	uint32_t rekey_after_s;	    /* 3600 */
	uint32_t reject_after_s;    /* 93600 (26 h) */
	uint32_t handshakes_per_s;  /* 2000; more initiations in a second: cookies are required in this and the next */
	uint32_t discoveries_per_s; /* 10 a second for each /64, in bursts of twice that */
};

/* What became of each datagram, and of each refusal: index of channel_counters()->why, metric label, test name. */
enum channel_why {
	CHANNEL_OK,		/* datagrams accepted, of any kind */
	CHANNEL_TOO_SHORT,	/* truncated, or no room for its fields */
	CHANNEL_TOO_LONG,	/* more than CHANNEL_DATAGRAM_MAX */
	CHANNEL_PTYPE,		/* not PType 8 or 15 */
	CHANNEL_HANDSHAKE_TYPE, /* PType 15 with a type or version that we do not know, or reserved bits set */
	CHANNEL_UNKNOWN_SPI,	/* no such session or handshake (any more) */
	CHANNEL_DEAD_SESSION,	/* older than reject_after */
	CHANNEL_REPLAY,		/* sequence number seen before, or left of the window */
	CHANNEL_AUTH,		/* the tag is wrong */
	CHANNEL_TRAILER,	/* authentic, but padding or next header is not as in RFC 4303 / 6618 */
	CHANNEL_PAYLOAD,	/* authentic, but not a run of complete mobility headers */
	CHANNEL_MAC1,		/* handshake not made for our key */
	CHANNEL_MAC2,		/* under load and without a valid cookie: a cookie reply was sent */
	CHANNEL_HANDSHAKE_AUTH, /* Noise message does not decrypt */
	CHANNEL_TIMESTAMP,	/* initiation not newer than the last of this key: replayed or reordered */
	CHANNEL_CREDENTIAL,	/* malformed, or not for the key it came with */
	CHANNEL_UNTRUSTED,	/* domain not trusted */
	CHANNEL_SIGNATURE,	/* credential's signature is wrong */
	CHANNEL_EXPIRED,	/* credential is not valid now */
	CHANNEL_REFUSED,	/* ops.accept said no */
	CHANNEL_PEERS_FULL,	/* max_peers reached */
	CHANNEL_NO_MEMORY,
	CHANNEL_COOKIE,		 /* cookie reply that does not decrypt or was not asked for */
	CHANNEL_DISCOVERY_SIZE,	 /* request or reply not of the one size allowed */
	CHANNEL_DISCOVERY_RATE,	 /* too many requests from this /64 */
	CHANNEL_DISCOVERY_NONCE, /* reply that was not asked for */
	CHANNEL_DISCOVERY_NONE,	 /* request, but we are no AMA */
	CHANNEL_WHY_COUNT,
};
const char *channel_why_name(enum channel_why why); /* "unknown-spi" */

struct channel_counters {
	uint64_t why[CHANNEL_WHY_COUNT];
	uint64_t rx_transport, tx_transport; /* datagrams accepted and sent, by kind */
	uint64_t rx_initiation, tx_initiation;
	uint64_t rx_response, tx_response;
	uint64_t rx_cookie, tx_cookie;
	uint64_t rx_discovery, tx_discovery; /* requests and replies alike */
	/* messages that never left: too many waited for the peer, or it ended or was silent */
	uint64_t tx_dropped;
	/* mobility messages by MH type: delivered, and taken by channel_send() */
	uint64_t rx_type[CHANNEL_TYPES], tx_type[CHANNEL_TYPES];
	uint32_t peers, sessions; /* now */
};

/* Make a channel; 0, or -EINVAL (no credential, ops missing) / -ENOMEM. channel_free() wipes all keys; it calls no
 * operation. */
int channel_new(const struct channel_config *cfg, struct channel **ret);
void channel_free(struct channel *ch);

/* Renew what a reload may change. Sessions stay; a peer's credential is checked again at its next handshake. */
int channel_set_trusted(struct channel *ch, const struct domain *trusted, size_t n);
int channel_set_credential(struct channel *ch, const struct credential *cred); /* -EINVAL if not for our key */
/* What ops.timestamps said last in an earlier run (ns; 0 = nothing): our initiations get later ones, although the wall
 * clock may stand before it. Before the first is sent. */
void channel_go_on_after(struct channel *ch, uint64_t until_ns);

/* The wall clock as the channel has it, seconds since 1970: what the validity of credentials is measured by. */
uint64_t channel_wall_s(const struct channel *ch);

const struct channel_counters *channel_counters(const struct channel *ch);

/* One received datagram. now_us is monotonic. Calls recv, accept and discovered before it returns; never sends a
 * datagram but cookie and discovery replies (ops.send); all else leaves at channel_flush(). Returns what became of it,
 * already counted. Nothing that an unauthenticated sender does changes state but counters, the load meter and the
 * discovery rate meter. */
enum channel_why channel_input(
	struct channel *ch, const struct channel_rx *rx, const uint8_t *buf, size_t len, uint64_t now_us);

/* We have moved: what was asked on the network that was left is not waited for. A handshake that has no answer yet is
 * begun anew with the next message. */
void channel_doubt(struct channel *ch);

/* The end of a loop turn: whatever was queued for peers leaves through ops.send, packed into as few datagrams as
 * possible. Costs nothing for peers that have nothing to send. */
void channel_flush(struct channel *ch, uint64_t now_us);

/* What is queued for one peer leaves now, if it is not to go by this way anyway. */
void channel_flush_peer(
	struct channel *ch, struct channel_peer *peer, const struct channel_endpoint *unless, uint64_t now_us);

/* Forget dead sessions, handshakes without answer, and peers that have neither; about once a minute. */
void channel_expire(struct channel *ch, uint64_t now_us);

/* Peers. A peer that called us appears by itself (after ops.accept); one that we want to call is added by its
 * credential, which the caller has verified. Adding a peer that is there already returns it, with what the credential
 * says now; but as it does not prove that whoever showed it has the key, a peer that has itself shown one of another
 * domain or role stays what it is (-EEXIST). An added peer stays until removed. Returns 0, -EEXIST, -EINVAL
 * (ourselves), -ENOSPC (max_peers) or -ENOMEM. */
int channel_peer_add(struct channel *ch, const struct credential *remote, struct channel_peer **ret);
struct channel_peer *channel_find_peer(struct channel *ch, const uint8_t key[static 32]); /* or NULL */
/* As if it had not been added: it stays while it has a session. Forget the pointer. */
void channel_peer_release(struct channel_peer *peer);
void channel_peer_remove(struct channel *ch, struct channel_peer *peer); /* no peer_gone; queued messages are dropped */

/* Where to send from now on (initiator side). Without it a peer's endpoint follows its last authentic datagram, that is
 * the newest by sequence number. After it, it stays where it was set. Message 2 of a handshake always goes where
 * message 1 came from. With local :: the same remote goes on to hear us from the address that it hears us from: what is
 * queued may be good from there only. */
void channel_peer_set_endpoint(struct channel_peer *peer, const struct channel_endpoint *ep);

const uint8_t *channel_peer_key(const struct channel_peer *peer); /* 32 bytes, its X25519 static public key */
const char *channel_peer_name(const struct channel_peer *peer);	  /* in its credential */
enum credential_role channel_peer_role(const struct channel_peer *peer);
/* that signed it */
const struct domain *channel_peer_domain(const struct channel *ch, const struct channel_peer *peer);

/* For display. */
struct channel_peer_info {
	struct channel_endpoint ep;
	bool has_session;		/* one that messages can be sent in */
	bool in_handshake;		/* we called and have no answer yet */
	uint32_t spi_local, spi_remote; /* of that session */
	uint64_t born_us;		/* of that session */
	uint64_t heard_us;		/* last authentic datagram in any session, 0 = never */
	size_t queued;			/* bytes waiting */
	uint64_t rx_bytes, tx_bytes;	/* of datagrams: authentic ones, and what was sent */
};
void channel_peer_info(const struct channel_peer *peer, struct channel_peer_info *ret);

/* What channel_send_flags() takes. */
#define CHANNEL_FORCE_HANDSHAKE                                                                                        \
	1u /* the last attempt got no answer, the peer may have lost the session: go in a new initiation.              \
	      One begun or answered within the last 0.9 s counts as new: the message joins it */

/* Queue one mobility header message, or several back to back, for peer; they leave at the next channel_flush(), by
 * 1. message 2 of a handshake that the peer began (sent even if nothing is queued),
 * 2. else the session, if there is one,
 * 3. else a new initiation, which carries what fits; the rest follows when the answer arrives.
 * Returns 0; -EINVAL if the lengths in the headers do not add up to len, -EMSGSIZE above CHANNEL_MESSAGE_MAX,
 * -EDESTADDRREQ if the peer has no endpoint, -ENOBUFS if too much waits already for an answer, -ENOMEM. There is no
 * retransmission here: the sender of a message repeats it (RFC 6275 11.8), with CHANNEL_FORCE_HANDSHAKE. */
int channel_send(struct channel *ch, struct channel_peer *peer, const uint8_t *mh, size_t len);
int channel_send_flags(
	struct channel *ch, struct channel_peer *peer, const uint8_t *mh, size_t len, unsigned int flags);

/* Send one datagram now (ops.send with CHANNEL_TX_DONTFRAG), alone, whose IPv6 packet has exactly ip_packet_size bytes:
 * 40 + 8 + 8 + len + padding + 2 + 16, with up to 255 bytes of padding inside the ciphertext; so len must be between
 * ip_packet_size - 329 and ip_packet_size - 74. Returns 0, -EMSGSIZE if it is not, -EINVAL, -ENOTCONN without a
 * session. */
int channel_send_probe(struct channel *ch, struct channel_peer *peer, const uint8_t *mh, size_t len,
	size_t ip_packet_size, uint64_t now_us);

/* Ask whoever is at ep for its credential (an AMA's is public); the answer comes by ops.discovered. Not repeated here.
 * Sends now. */
void channel_discover(struct channel *ch, const struct channel_endpoint *ep, uint64_t now_us);
