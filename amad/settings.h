/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.h - settings of amad: amad.conf(5) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf.h"

struct amad_config {
	unsigned seccomp; /* enum priv_seccomp */
	char identity[CONF_TEXT], trusted_domains[CONF_TEXT], state_dir[CONF_TEXT], control_socket[CONF_TEXT],
		user[CONF_TEXT];
	char metrics[CONF_TEXT], key_log[CONF_TEXT]; /* "" = off */
	char tunnel_device[CONF_TEXT];
	struct conf_words access;
	struct conf_prefixes pool;
	uint64_t lease_us, binding_us, quarantine_us;
	struct in6_addr through; /* :: = none */
	uint32_t tunnel_mtu, port, max_nodes, leases_a_node, max_visits;
	bool flush_on_exit, source_check, proxy, accept_proxies;
};

extern const struct conf_section amad_sections[];
extern const struct conf_setting amad_settings[];

/* Read path and its drop-ins. Returns the number of faults; each was told. */
unsigned amad_config_read(const char *path, bool required, struct amad_config *ret, conf_fault_cb *fault, void *ctx);
