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
	uint16_t port, peer_port;
	uint8_t protocol; /* IPPROTO_TCP or IPPROTO_UDP */
	uint32_t uid;
	uint32_t inode;   /* of the socket: finds the process in /proc/PID/fd */
};
/* Called for each socket whose local address is wanted; must not call back into session. */
typedef void session_cb(void *ctx, const struct session_info *info);

/* Open the socket-diagnostics sockets. Returns 0 or -errno. */
int session_new(struct session **ret);
void session_free(struct session *s);

/* Descriptor that becomes readable when a TCP or UDP socket over IPv6 was destroyed. */
int session_fd(const struct session *s);
/* Empty it. Returns true when a socket with a local address for which is_ours(ctx, addr) holds was among them, or when
 * news were lost: time to call session_list. */
bool session_read_news(struct session *s, bool (*is_ours)(void *ctx, const struct in6_addr *address), void *ctx);

/* Walk over all TCP sockets that hold a session (not listening, not in TIME_WAIT or CLOSE) and all UDP sockets with a local address.
 * A dump of the kernel's tables: synchronous, not on a per-packet or per-message path. Returns 0 or -errno. */
int session_list(struct session *s, session_cb *cb, void *ctx);
