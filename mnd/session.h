/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session.h - which home addresses have live sessions, from the kernel's socket tables (sock_diag) */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct session;

/* One socket on a home address. */
struct session_info {
	struct in6_addr home_address, peer; /* peer :: = not connected */
	uint16_t port, peer_port;	    /* of a raw socket: port is its protocol number */
	uint8_t protocol;		    /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDPLITE, IPPROTO_SCTP or IPPROTO_RAW */
	uint32_t uid;
	/* of the socket: finds the process in /proc/PID/fd; 0 = its process has closed it */
	uint32_t inode;
	uint64_t cookie;  /* the kernel's number of this socket, used once while the machine runs */
	uint64_t since_s; /* when session_list saw it first; wall clock, unix seconds */
};
/* Called for each socket with a local address; returns whether that is a home address of ours. Must not call back into
 * session. */
typedef bool session_cb(void *ctx, const struct session_info *info);
const char *session_protocol_name(uint8_t protocol);

/* Open the socket-diagnostics sockets. Returns 0 or -errno. */
int session_new(struct session **ret);
void session_free(struct session *s);

/* Descriptor that becomes readable when a TCP or UDP socket over IPv6 was destroyed. The kernel has no such news of
 * other protocols. */
int session_fd(const struct session *s);
/* Empty it. Returns true when a socket with a local address for which is_ours(ctx, addr) holds was among them, or when
 * news were lost: time to call session_list. */
bool session_read_news(struct session *s, bool (*is_ours)(void *ctx, const struct in6_addr *address), void *ctx);

/* Walk over the sockets with a local address: TCP and SCTP that hold a session (not listening, not in TIME_WAIT or
 * CLOSE), UDP, UDP-Lite and raw ones bound or connected. An SCTP association is told once for each of its addresses.
 * Remembers when those that are ours were seen first; now_s is the wall clock. A dump of the kernel's tables:
 * synchronous, not on a per-packet or per-message path. Returns 0 or -errno. */
int session_list(struct session *s, uint64_t now_s, session_cb *cb, void *ctx);

/* When a session was seen first, as it is kept over a restart of the daemon. */
struct session_seen {
	uint64_t cookie, since_s;
};
/* What session_list remembers, sorted by cookie; valid until the next session_list or session_remember. Returns how
 * many. */
unsigned session_seen(const struct session *s, const struct session_seen **ret);
/* Take over what an earlier run remembered; copied. Returns 0 or -ENOMEM. */
int session_remember(struct session *s, const struct session_seen *seen, unsigned n);

/* Put a BPF program on device ifindex, in place of an earlier one, that notices the first packet of each of n home
 * addresses that leaves there: it tells of a session that begins, which sock_diag does not. Returns a descriptor that
 * becomes readable then, or -errno. */
int session_watch(uint32_t ifindex, const struct in6_addr *addresses, unsigned n);
#define SESSION_WATCH_MAX 64
/* Take it off again, and close the descriptor. */
void session_watch_end(uint32_t ifindex, int fd);
