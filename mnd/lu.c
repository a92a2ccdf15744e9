/* SPDX-License-Identifier: GPL-2.0-or-later */
/* lu.c - location updates
 *
 * When to send one and what it says. The sequence number comes from the caller, because it is counted per anchor and
 * shared by all home addresses of that anchor (RFC 6275 6.1.7, reference 6.1); the answer is matched by it. */
#include "lu.h"

#include "mh.h"

#define INITIAL_BINDACK_TIMEOUT_US	 1000000u /* RFC 6275 12 */
#define INITIAL_BINDACK_TIMEOUT_FIRST_US 1500000u
#define MAX_BINDACK_TIMEOUT_US		 32000000u

const char *lu_kind_name(enum lu_kind kind)
{
	switch (kind) {
	case LU_NONE:
		return "none";
	case LU_ATTACH:
		return "attach";
	case LU_BIND:
		return "bind";
	case LU_RELEASE:
		return "release";
	}
	return "?";
}

bool lu_is_due(const struct binding_update *bu, uint64_t now_us)
{
	return bu->kind != LU_NONE && now_us >= bu->next_us;
}

void lu_sent(struct binding_update *bu, uint16_t sequence, uint64_t now_us)
{
	uint64_t wait_us = bu->first ? INITIAL_BINDACK_TIMEOUT_FIRST_US : INITIAL_BINDACK_TIMEOUT_US;

	if (bu->tries == 0)
		bu->begun_us = now_us;
	for (unsigned i = 0; i < bu->tries && wait_us < MAX_BINDACK_TIMEOUT_US; i++)
		wait_us *= 2;
	if (wait_us > MAX_BINDACK_TIMEOUT_US)
		wait_us = MAX_BINDACK_TIMEOUT_US;
	bu->tries++;
	bu->sequence = sequence;
	bu->sent_us = now_us;
	bu->next_us = now_us + wait_us;
}

void lu_write(const struct binding_update *bu, uint16_t sequence, struct wcur *w)
{
	struct mh_bu head = {.sequence = sequence, .flags = MH_BU_A | MH_BU_H};
	struct dmmopt_lease lease = {.lifetime_s = bu->lease_s};
	struct mh_writer m;

	if (bu->kind == LU_BIND)
		head.lifetime_s = bu->lifetime_s;
	if (bu->kind == LU_ATTACH)
		lease.flags = DMMOPT_LEASE_ATTACH | (bu->wish ? DMMOPT_LEASE_NEW | DMMOPT_LEASE_WISH(bu->wish) : 0);
	if (bu->kind == LU_RELEASE)
		lease.lifetime_s = 0;
	m = mh_begin_bu(w, &head);
	mh_put_prefix(&m, MHOPT_HNP, &bu->prefix);
	if (bu->kind == LU_BIND)
		mh_put_address(&m, MHOPT_ALT_COA, &bu->care_of);
	if (bu->kind == LU_ATTACH) {
		mh_put_address(&m, MHOPT_LINK_LOCAL, &bu->link_local);
		mh_put_link_layer(&m, bu->link_layer);
	}
	if (bu->kind != LU_BIND || bu->lease_s)
		mh_put_lease(&m, &lease);
	if (bu->tunnel_mtu)
		mh_put_tunnel_mtu(&m, bu->tunnel_mtu);
	mh_end(&m);
}
