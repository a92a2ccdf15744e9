/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ping.h - "mnctl ping": round trip and path MTU of the channel to an anchor, by the method Ping and the event pong of
 * the daemon */
#pragma once

#include <jansson.h>

#include "ctl.h"

/* Ask count times, then search the largest packet that passes (RFC 8899).
 *   shown  print a line for each answer
 * Returns {"anchor", "address", "sent", "received", "min_ms", "avg_ms", "max_ms", "path_mtu"} (a new reference; null
 * without an answer), or NULL with why in reterr (CTL_ERR bytes). */
json_t *ping_anchor(const struct ctl *ctl, const char *anchor, unsigned count, bool shown, char *reterr);
/* The command: the same, and the summary. Returns an exit status. */
int ping_command(const struct ctl *ctl, const char *anchor, unsigned count);
