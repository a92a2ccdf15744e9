/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_ra.c - router advertisements from the link
 *
 * What is accepted keeps what the structure promises; what is refused leaves it as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mnd/ra.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct router_advert ra, before;
	uint8_t *copy = malloc(len ? len : 1); /* of its exact size: a read behind it is seen */

	if (!copy)
		return 0;
	if (len)
		memcpy(copy, data, len);
	memset(&ra, 0xa5, sizeof(ra));
	memcpy(&before, &ra, sizeof(ra));
	if (ra_read(copy, len, &ra) < 0) {
		if (memcmp(&ra, &before, sizeof(ra)) != 0)
			abort();
		free(copy);
		return 0;
	}
	free(copy);
	if (len < 16 || data[0] != 134 || ra.n_prefix > RA_PREFIX_MAX)
		abort();
	for (unsigned i = 0; i < ra.n_prefix; i++) {
		struct prefix6 masked = prefix6_make(&ra.prefix[i].prefix.addr, ra.prefix[i].prefix.len);

		if (ra.prefix[i].prefix.len > 128 || !prefix6_equal(&masked, &ra.prefix[i].prefix))
			abort();
	}
	/* an address that nobody elsewhere could send to is no AMA */
	if (ra.has_ama && (IN6_IS_ADDR_LINKLOCAL(&ra.ama) || IN6_IS_ADDR_MULTICAST(&ra.ama)))
		abort();
	return 0;
}
