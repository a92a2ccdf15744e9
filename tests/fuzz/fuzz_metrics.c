/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_metrics.c - requests to the metrics endpoint
 *
 * The answer is one of those there are, and once it is known, more bytes change nothing. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *copy = malloc(len ? len : 1); /* of its exact size: a read behind it is seen */
	unsigned status, part;

	if (!copy)
		return 0;
	if (len)
		memcpy(copy, data, len);
	status = metrics_request(copy, len);
	part = metrics_request(copy, len / 2);
	free(copy);
	if (status != 0 && status != 200 && status != 400 && status != 404 && status != 405 && status != 431)
		abort();
	if (part != 0 && part != status)
		abort();
	if (status == 200 && (len < 25 || memcmp(data, "GET /metrics HTTP/1.", 20) != 0))
		abort();
	return 0;
}
