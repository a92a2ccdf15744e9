/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_mh.c - mobility headers from outside, one behind the other as the secure channel delivers them
 *
 * What is accepted goes to JSON and back and must be the same bytes; what daemons ask of a message must be answered
 * without touching anything beyond it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "mh.h"
#include "mhjson.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static volatile uint32_t sink; /* keeps the compiler from leaving the questions out */

/* All that a daemon may ask. */
static uint32_t ask(const struct mh_msg *m)
{
	struct dmmopt_lease lease;
	struct dmmopt_probe probe;
	struct in6_addr addr;
	struct prefix6 prefix;
	uint32_t sum = 0, u32;
	uint16_t u16;

	sum += dmmopt_lease(m, &lease) ? lease.lifetime_s : 0;
	sum += dmmopt_tunnel_mtu(m, &u16) ? u16 : 0;
	sum += dmmopt_probe(m, &probe) ? probe.id : 0;
	for (unsigned type = 0; type < 256; type++) {
		for (const struct mh_option *o = NULL; (o = mh_find(m, (uint8_t)type, o));) {
			if (o->data < m->bytes || o->data + o->len > m->bytes + m->len)
				abort();
			sum += mhopt_address(o, &addr) ? addr.s6_addr[15] : 0;
			sum += mhopt_prefix(o, &prefix) ? prefix.len : 0;
			sum += mhopt_u16(o, &u16) ? u16 : 0;
			sum += mhopt_u32(o, &u32) ? u32 : 0;
		}
	}
	return sum;
}

static void there_and_back(const struct mh_msg *m)
{
	uint8_t again[MH_MAX_LEN];
	struct wcur w = wcur_make(again, sizeof(again));
	char err[MHJSON_ERR];
	json_error_t error;
	json_t *obj = mhjson_from_message(m);
	char *text = json_dumps(obj, JSON_COMPACT | JSON_ENSURE_ASCII);

	json_decref(obj);
	obj = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (mhjson_to_message(obj, &w, err) < 0 || wcur_len(&w) != m->len || memcmp(again, m->bytes, m->len) != 0)
		abort();
	json_decref(obj);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rcur c = rcur_make(data, len);
	struct in6_addr addr = {0};

	while (rcur_left(&c) > 0) {
		size_t before = rcur_left(&c);
		struct mh_msg m;
		enum mh_why why = MH_WHY_N;

		if (mh_read(&c, &m, &why) == 0) {
			if (m.len > before || m.len % 8 || !m.len)
				abort();
			sink = ask(&m) + mh_checksum(&addr, &addr, m.bytes, m.len);
			there_and_back(&m);
		} else if (why >= MH_WHY_N) {
			abort();
		}
		if (rcur_left(&c) >= before)
			abort(); /* the loop would never end */
	}
	return 0;
}
