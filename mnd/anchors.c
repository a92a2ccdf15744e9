/* SPDX-License-Identifier: GPL-2.0-or-later */
/* anchors.c - the AMAs that this node knows: by their keys, each at one address, with their credentials
 *
 * What discovery says of them proves nothing (mnd_anchor_found); what it may change, and what only a handshake, is
 * decided here. */
#include "node.h"

#include <sodium.h>
#include <string.h>

#define DAY_S 86400

struct anchor *mnd_anchor_by_address(struct mnd *m, const struct in6_addr *address)
{
	for (unsigned i = 0; i < ANCHORS; i++)
		if (m->anchors[i].used && IN6_ARE_ADDR_EQUAL(&m->anchors[i].address, address))
			return &m->anchors[i];
	return NULL;
}

static struct anchor *anchor_by_key(struct mnd *m, const uint8_t key[32])
{
	for (unsigned i = 0; i < ANCHORS; i++)
		if (m->anchors[i].used && !memcmp(m->anchors[i].credential.key, key, 32))
			return &m->anchors[i];
	return NULL;
}

struct anchor *mnd_anchor_by_other(struct mnd *m, const struct in6_addr *address)
{
	for (unsigned i = 0; i < ANCHORS && !IN6_IS_ADDR_UNSPECIFIED(address); i++)
		if (m->anchors[i].used && IN6_ARE_ADDR_EQUAL(&m->anchors[i].other, address))
			return &m->anchors[i];
	return NULL;
}

struct anchor *mnd_anchor_by_peer(struct mnd *m, const struct channel_peer *peer)
{
	for (unsigned i = 0; i < ANCHORS; i++)
		if (m->anchors[i].used && m->anchors[i].peer == peer)
			return &m->anchors[i];
	return NULL;
}

bool mnd_anchor_is_needed(const struct mnd *m, const struct anchor *a)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected);

	if (ama && IN6_ARE_ADDR_EQUAL(ama, &a->address))
		return true;
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && (m->homes[i].anchor == a || IN6_ARE_ADDR_EQUAL(&m->homes[i].told, &a->address)))
			return true;
	return false;
}

/* It was asked and asked again, and said nothing. Through an AMA that says little: soon it is asked straight. */
static bool is_silent(const struct mnd *m, const struct anchor *a, uint64_t now_us)
{
	for (unsigned i = 0; i < HOMES; i++) {
		const struct home *x = &m->homes[i];

		if (x->used && x->anchor == a && x->bu.kind != LU_NONE && !x->bu.proxied &&
			(x->bu.tries > SILENT_TRIES || (x->bu.tries == SILENT_TRIES && lu_is_due(&x->bu, now_us))))
			return true;
	}
	return a->unheard >= HEARTBEATS_MISSED;
}

/* Its updates that wait begin again now: what was sent of them could not be answered. */
static void begin_again(struct mnd *m, const struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++) {
		struct home *x = &m->homes[i];

		if (!x->used || x->anchor != a || x->bu.kind == LU_NONE)
			continue;
		x->bu.tries = 0;
		x->bu.next_us = loop_now_us(m->daemon.loop);
	}
}

/* When a new one is asked for is spread, as all nodes know the same end. */
static void set_credential(struct anchor *a, const struct credential *credential)
{
	uint64_t early_s = (credential->until_s - credential->from_s) / 8;

	if (early_s > RENEW_S)
		early_s = RENEW_S;
	a->credential = *credential;
	a->renew_s = credential->until_s - early_s + randombytes_uniform((uint32_t)early_s / 2 + 1);
	a->asked = 0;
}

/* In this place, instead of the one that is there. */
static int fill_place(
	struct mnd *m, struct anchor *a, const struct in6_addr *address, const struct credential *credential)
{
	struct channel_peer *peer;
	int r = channel_peer_add(m->channel, credential, &peer);

	if (r < 0)
		return r;
	if (a->used)
		channel_peer_remove(m->channel, a->peer);
	memset(a, 0, sizeof(*a));
	a->used = true;
	a->peer = peer;
	a->address = *address;
	a->sequence = (uint16_t)randombytes_random();
	set_credential(a, credential);
	return 0;
}

/* One struct anchor a key, so that no two have the same peer of the channel, and what an AMA answers is for one.
 * Credentials of AMAs are kept while there is room, so that coming back costs no discovery. */
struct anchor *mnd_anchor_new(struct mnd *m, const struct in6_addr *address, const struct credential *credential)
{
	struct anchor *a = anchor_by_key(m, credential->key);

	if (a)
		return a;
	for (unsigned i = 0; i < ANCHORS && !a; i++)
		if (!m->anchors[i].used)
			a = &m->anchors[i];
	for (unsigned i = 0; i < ANCHORS && !a; i++)
		if (!mnd_anchor_is_needed(m, &m->anchors[i]))
			a = &m->anchors[i];
	return a && fill_place(m, a, address, credential) == 0 ? a : NULL;
}

static bool is_over(const struct anchor *a)
{
	return loop_wall_ns() / 1000000000 > a->credential.until_s;
}

/* Another credential of the same key. One that was signed earlier is taken only when ours is over: somebody has kept
 * it, and what it says of prefixes is true no more. */
static void renew(struct mnd *m, struct anchor *a, const struct credential *credential)
{
	bool over = is_over(a);

	if (!memcmp(a->credential.signature, credential->signature, sizeof(credential->signature)) ||
		(!over && credential->from_s < a->credential.from_s))
		return;
	if (channel_peer_add(m->channel, credential, &a->peer) < 0)
		return;
	log_info("attach", "%s has a new credential", credential->node);
	set_credential(a, credential);
	if (over)
		begin_again(m, a);
	mnd_save(m);
}

/* May somebody with another key be taken for the AMA at its address? Not while a lease of it lives, nor while it
 * may still answer. */
static bool is_replaceable(struct mnd *m, const struct anchor *a)
{
	for (unsigned i = 0; i < HOMES; i++)
		if (m->homes[i].used && m->homes[i].anchor == a && m->homes[i].h.known)
			return false;
	return !mnd_home_of_anchor(m, a) || is_silent(m, a, loop_now_us(m->daemon.loop));
}

void mnd_anchor_put(struct anchor *a, const struct in6_addr *address)
{
	a->address = *address;
	a->other = in6addr_any;
	a->elsewhere = false;
}

/* Discovery says that the AMA with this credential is at that address. That proves nothing: the credential is public,
 * and the answer may be relayed by anybody on a link that we are on. So it does not take an anchor away from where it
 * works:
 *
 * - An AMA that nothing depends on is where it was found last.
 * - Else it stays where it is, and the other address is remembered (anchor.other). A network that advertises that one
 *   is used as one without an AMA, and its AMA like any other anchor, until nothing depends on the old address.
 * - When it does not answer at the one address the other is tried, in turns (mnd_anchor_try_other), each with a
 * handshake: who does not have the key does not answer. The first address comes back with the next move, as who relays
 * may have kept us from it here. But an AMA that acknowledged an attach at the other address is there for good: it
 * takes that from its own links only.
 * - Where another AMA was before, its leases count as long as they live, and what it may still answer (is_replaceable).
 */
void mnd_anchor_found(struct mnd *m, const struct in6_addr *address, const struct credential *credential)
{
	struct anchor *here = mnd_anchor_by_address(m, address), *a = anchor_by_key(m, credential->key);

	if (here && here != a && !is_replaceable(m, here)) {
		if (!here->other_key)
			log_warning("attach",
				"%s now has another key than the anchor %s we know there; keeping the one we know",
				in6_text(address), here->credential.node);
		here->other_key = true;
		return;
	}
	if (!a) {
		if (!here)
			(void)mnd_anchor_new(m, address, credential);
		else if (fill_place(m, here, address, credential) == 0)
			begin_again(m, here);
		return;
	}
	renew(m, a, credential);
	if (a == here)
		return;
	if (here && mnd_anchor_is_needed(m, a))
		return; /* the place is taken until it is not */
	if (here) {
		for (unsigned i = 0; i < HOMES; i++)
			if (m->homes[i].used && m->homes[i].anchor == here)
				m->homes[i].anchor = a;
		channel_peer_remove(m->channel, here->peer);
		here->used = false;
		mnd_anchor_put(a, address);
		begin_again(m, a);
		return;
	}
	if (mnd_anchor_is_needed(m, a)) {
		log_info("attach", "%s says that it is at %s, too; as long as it answers at %s it stays there for us",
			credential->node, in6_text(address), in6_text(&a->address));
		if (!a->elsewhere) /* else `other` is the first one */
			a->other = *address;
		return;
	}
	mnd_anchor_put(a, address);
}

/* --- what becomes of them with time ----------------------------------------------------------------------------- */

/* From now on the AMA is where its other address says, unless another one is there. */
static void swap_addresses(struct mnd *m, struct anchor *a)
{
	struct in6_addr address = a->address;

	if (mnd_anchor_by_address(m, &a->other))
		return;
	a->address = a->other;
	a->other = address;
	a->elsewhere = !a->elsewhere;
	a->doubt = true;
	pmtu_stop(&a->pmtu);
}

/* An anchor that does not answer is tried at its other address, if it has one, and then again at this one. */
void mnd_anchor_try_other(struct mnd *m, struct anchor *a, uint64_t now_us, uint64_t *wake_us)
{
	if (IN6_IS_ADDR_UNSPECIFIED(&a->other) || !m->attach.selected || !is_silent(m, a, now_us))
		return;
	if (now_us >= a->swap_us) {
		log_info("lu", "%s does not answer at %s: trying %s", a->credential.node, in6_text(&a->address),
			in6_text(&a->other));
		swap_addresses(m, a);
		a->swap_us = now_us + SWAP_US;
		if (a->heartbeat_us)
			a->heartbeat_us = now_us;
		for (unsigned i = 0; i < HOMES; i++)
			if (m->homes[i].used && m->homes[i].anchor == a && m->homes[i].bu.kind != LU_NONE)
				m->homes[i].bu.next_us = now_us;
	}
	if (a->swap_us < *wake_us)
		*wake_us = a->swap_us;
}

/* Ask once more who is at the address of an anchor. Its credential is over, or soon will be: it may have a new one, and
 * without it nothing can be said to it. Or it is the AMA on the link and does not answer: it may have another key now.
 * Or it is said to be that AMA, and is kept at another address: that may have been somebody else's answer. */
void mnd_anchor_ask_again(struct mnd *m, struct anchor *a, uint64_t now_us, uint64_t *wake_us)
{
	const struct in6_addr *ama = attach_ama(m->attach.selected), *where = NULL;
	uint64_t now_s = loop_wall_ns() / 1000000000;

	if (!m->attach.selected)
		return;
	if (ama && !mnd_anchor_by_address(m, ama) && IN6_ARE_ADDR_EQUAL(ama, &a->other))
		where = ama;
	if (ama && IN6_ARE_ADDR_EQUAL(ama, &a->address) && is_silent(m, a, now_us))
		where = ama;
	if (mnd_anchor_is_needed(m, a)) {
		uint64_t left_s = a->renew_s > now_s ? a->renew_s - now_s : 0; /* may be very long */

		if (left_s == 0)
			where = &a->address;
		else if (now_us + (left_s < DAY_S ? left_s : DAY_S) * SEC < *wake_us)
			*wake_us = now_us + (left_s < DAY_S ? left_s : DAY_S) * SEC;
	}
	if (!where) {
		a->asked = 0;
		return;
	}
	if (a->asked == 0)
		a->ask_us = now_us;
	if (now_us >= a->ask_us) {
		if (a->asked == 0 && is_over(a))
			log_warning("attach",
				"the credential of %s is over: nothing can be said to it until it has a new one",
				a->credential.node);
		signalling_ask(m, where, now_us);
		a->ask_us = now_us + (SEC << (a->asked < 6 ? a->asked : 6));
		a->asked++;
	}
	if (a->ask_us < *wake_us)
		*wake_us = a->ask_us;
}

void mnd_anchor_moved(struct mnd *m, struct anchor *a, uint64_t now_us)
{
	pmtu_stop(&a->pmtu);
	a->asked = 0;
	a->other_key = false;
	a->swap_us = now_us + SWAP_MOVED_US; /* its silence was that of another link */
	if (a->elsewhere)
		swap_addresses(m, a);
}
