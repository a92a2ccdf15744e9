/* SPDX-License-Identifier: GPL-2.0-or-later */
/* counters.h - what both daemons count: the channel, messages, UDP, the kernel, the source check, the loop,
 * the process */
#pragma once

#include <stdint.h>

#include "channel.h"
#include "fwd.h"
#include "loop.h"
#include "metrics.h"
#include "mh.h"
#include "nl.h"
#include "srccheck.h"
#include "transport.h"

struct counters_parts {
	const char *version;
	const struct channel *channel;
	const struct transport *transport;
	const struct fwd_set *set;
	const struct nl *nl;
	const struct srccheck *srccheck; /* NULL = none */
	const struct loop *loop;
	const uint64_t *mh;	  /* by enum mh_why */
	uint64_t restored_device; /* how often the tunnel device was made again */
};

void counters_put(struct metrics *w, const struct counters_parts *p);
