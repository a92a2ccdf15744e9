/* SPDX-License-Identifier: GPL-2.0-or-later */
/* settings.h - settings of mnd: mnd.conf(5) */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf.h"

#define MND_INTERFACES 16
#define MND_PINS       16

/* Programs that are pinned by what they run in (rules.h), or by their file (exe.h). */
struct mnd_pin {
	char name[CONF_TEXT];					 /* first, as below */
	char unit[CONF_TEXT], cgroup[CONF_TEXT], exe[CONF_TEXT]; /* one of them */
	char anchor[CONF_TEXT];
	struct in6_addr address; /* :: = whichever */
	unsigned type;		 /* enum pin_type */
};

struct mnd_interface {
	char name[CONF_TEXT]; /* first: conf.h fills it from "[interface NAME]" */
	uint32_t priority;    /* 0 = by the kind of interface */
	bool ignore;
};

/* How location updates go while the node is with an AMA that could pass them on. */
enum mnd_proxy { MND_PREFER_DIRECT, MND_PREFER_PROXY, MND_DIRECT_ONLY };

struct mnd_config {
	unsigned seccomp; /* enum priv_seccomp */
	char identity[CONF_TEXT], trusted_domains[CONF_TEXT], state[CONF_TEXT], control_socket[CONF_TEXT],
		user[CONF_TEXT];
	char metrics[CONF_TEXT], key_log[CONF_TEXT]; /* "" = off */
	char tunnel_device[CONF_TEXT];
	struct conf_words interfaces;
	uint64_t grace_us, lease_us, binding_us, heartbeat_us;
	uint32_t tunnel_mtu, port;
	bool default_route, flush_on_exit, pins;
	unsigned updates; /* enum mnd_proxy */
	unsigned n_interface;
	struct mnd_interface interface[MND_INTERFACES];
	unsigned n_pin;
	struct mnd_pin pin[MND_PINS];
};

extern const struct conf_section mnd_sections[];
extern const struct conf_setting mnd_settings[];

/* Read path and its drop-ins. Returns the number of faults; each was told. */
unsigned mnd_config_read(const char *path, bool required, struct mnd_config *ret, conf_fault_cb *fault, void *ctx);
