/* SPDX-License-Identifier: GPL-2.0-or-later */
/* state.h - what mnd keeps over a restart: its home addresses and who anchors them (one small JSON file) */
#pragma once

#include <netinet/in.h>
#include <stdint.h>

#include "credential.h"
#include "prefix6.h"

struct state_home {
	struct in6_addr address;
	struct prefix6 prefix;
	uint64_t lease_until_s; /* wall clock, unix seconds */
	uint16_t sequence;      /* last one used with this anchor */
	struct in6_addr anchor;
	struct credential credential; /* of the anchor */
};

#define STATE_HOMES 64

/* Read path into homes (STATE_HOMES elements). Returns how many, 0 when there is no file, or -errno with a sentence in reterr
 * (CREDENTIAL_ERR bytes); a damaged file is moved aside to path.bad and said so. */
int state_load(const char *path, struct state_home *homes, char *reterr);

/* Replace path (0600, temporary file, fsync, rename). Returns 0 or -errno. */
int state_store(const char *path, const struct state_home *homes, unsigned n);
