/* SPDX-License-Identifier: GPL-2.0-or-later */
/* firewall.h - would this machine's packet filter drop a packet that we need? (pure: reads what ip6tables-save and nft
 * -j print)
 *
 * Rules that look at something else than what is known of our packets (sets, rates, marks) may match or not. A drop by
 * such a rule is not held against it, and an accept by such a rule makes a later drop uncertain. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct firewall;

struct firewall_packet {
	const char *what;      /* for people: "location updates of nodes (UDP 7872)" */
	const char *hook;      /* input, output or forward */
	uint8_t protocol;      /* 17, 41, 58 */
	uint16_t sport, dport; /* with 17, 0 = any */
	uint8_t icmp_type;     /* with 58 */
	const char *iif, *oif; /* NULL = any that is not named by a rule */
	bool established;      /* an answer: connection tracking knows the flow */
};

enum firewall_verdict { FIREWALL_PASSES, FIREWALL_UNCERTAIN, FIREWALL_DROPS };

#define FIREWALL_TEXT 384

/* Who drops, as a person finds it, and the command before which it does not. */
struct firewall_drop {
	char rule[FIREWALL_TEXT]; /* "ip6tables-legacy: -A INPUT -p udp -j DROP" */
	char remedy[FIREWALL_TEXT];
};

struct firewall *firewall_new(void); /* NULL = no memory */
void firewall_free(struct firewall *f);
/* Add what "TOOL-save" printed (tool: ip6tables-legacy or ip6tables), or the object that "nft -j list ruleset" printed.
 * 0 or -ENOMEM. */
int firewall_add_save(struct firewall *f, const char *tool, const char *text);
int firewall_add_nft(struct firewall *f, const json_t *ruleset);

/* Does the packet get through all chains of its hook? *ret_drop is filled unless it passes. */
enum firewall_verdict firewall_try(
	const struct firewall *f, const struct firewall_packet *p, struct firewall_drop *ret_drop);
/* A rule that drops packets whose source is not reached through the interface they came in on (strict reverse path
 * check). */
bool firewall_has_rpfilter(const struct firewall *f, struct firewall_drop *ret);
