/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_mhjson.c - any JSON to a message: refused with a sentence, or a message that is read again */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "mh.h"
#include "mhjson.h"
#include "wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t buf[MH_MAX_LEN], again[MH_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf)), back = wcur_make(again, sizeof(again));
	char err[MHJSON_ERR] = "";
	json_error_t error;
	json_t *obj = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error), *other;
	struct mh_msg m;
	struct rcur c;
	enum mh_why why;

	if (!obj)
		return 0;
	if (mhjson_to_message(obj, &w, err) < 0) {
		if (!err[0] || strlen(err) >= sizeof(err))
			abort();
		json_decref(obj);
		return 0;
	}
	c = rcur_make(buf, wcur_len(&w));
	if (mh_read(&c, &m, &why) < 0 || rcur_left(&c))
		abort();
	other = mhjson_from_message(&m);
	if (mhjson_to_message(other, &back, err) < 0 || wcur_len(&back) != m.len || memcmp(again, buf, m.len) != 0)
		abort();
	json_decref(other);
	json_decref(obj);
	return 0;
}
