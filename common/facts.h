/* SPDX-License-Identifier: GPL-2.0-or-later */
/* facts.h - what a doctor looks at, read and not judged
 *
 * facts_gather gives one object; what could not be read is null or missing:
 *   program, daemon     names
 *   root                do we run as root?
 *   init                "systemd", "procd" or "none"
 *   now_s               wall clock
 *   config              {path, faults: [text], text}
 *   identity            {path, exists, mode, error, role, name, credential}, never a key;
 *                       credential: null or {domain, from_s, until_s, prefixes: [text]}
 *   trust               {path, error, domain_dir: where the domain's signing key is, if on this machine}
 *   answer              {error, pid}: of the daemon at its control socket
 *   status              of its GetStatus
 *   daemon_capabilities its effective set, as a number
 *   kernel              {feature: null or why not}, tried in a network namespace that is thrown away
 *   tunnel              {name, exists, external, other}
 *   port                {number, owners: [{pid, name}]}
 *   state               {path, exists, mode, writable, free_bytes}
 *   interfaces          [{name, up, carrier, ethernet, mtu, addresses: [text], link_local, accept_ra, autoconf,
 *                       disable_ipv6, forwarding}]
 *   forwarding          net.ipv6.conf.all
 *   default_route       in the main table
 *   processes           {name: pid} of known programs in this network namespace
 *   files               {path: text}: configuration of networkd, NetworkManager and radvd
 *   firewall            {ip6tables, ip6tables_legacy: text of -save, nft: object}
 *   cgroup2             is there a version 2 hierarchy? */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "ctl.h"

struct facts_request {
	const struct ctl *ctl;
	const char *config, *identity, *trusted, *state, *user, *tunnel;
	const json_t *faults; /* of the configuration */
	uint32_t port;
	bool state_is_file; /* else a folder */
};

/* What a command of ours prints (no text of others in it: a shell runs it); NULL when it fails. Freed by the caller. */
char *facts_output(const char *command);
/* A new reference; NULL = no memory. */
json_t *facts_gather(const struct facts_request *q);
