/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.h - what mnd keeps over a restart: its home addresses, who anchors them, since when
 * sessions are known, who is pinned (one small JSON file) */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "credential.h"
#include "pin.h"
#include "prefix6.h"
#include "session.h"

struct state_home {
	unsigned slot; /* that of its table: what is in the kernel stays where it is */
	struct in6_addr address;
	struct prefix6 prefix;
	uint64_t lease_until_s; /* wall clock, unix seconds */
	uint16_t sequence;	/* last one used with this anchor */
	struct in6_addr anchor;
	struct credential credential; /* of the anchor */
	bool fixed, exclusive;
	uid_t owner; /* with exclusive */
};

#define STATE_HOMES 64

#define STATE_SESSIONS 1024

/* All of it. About 100 KB: not for a small stack. */
struct state {
	struct state_home homes[STATE_HOMES];
	unsigned n_homes;
	struct session_seen sessions[STATE_SESSIONS];
	unsigned n_sessions;
	struct pin pins[PINS];
	unsigned n_pins;
	uint64_t timestamps_until; /* of handshakes (channel_go_on_after()) */
};

/* Read path. Returns 0, also when there is no file, or -errno with a sentence in reterr (CREDENTIAL_ERR bytes); a
 * damaged file is moved aside to path.bad and said so. Sessions and pins of another boot of this machine are left out.
 */
int state_load(const char *path, struct state *ret, char *reterr);

/* Replace path (0600, temporary file, fsync, rename). Returns 0 or -errno. */
int state_store(const char *path, const struct state *state);
