/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mhjson.h - a mobility header as a JSON object and back, by the table of mh.h
 *
 * An object has "type" and "name" of the message, "checksum", a member for each field of the table, and "options", an
 * array of objects of the same kind. A number whose values have names has a second member NAME_name. Only what is not
 * zero as it should be is there: "reserved" (hex), "header_reserved". Padding that stands where a writer puts it is
 * left out; otherwise "explicit_padding" is true and "pad1" and "padn" are among the options. So an object gives back
 * the very bytes it was made of. */
#pragma once

#include <jansson.h>

#include "mh.h"
#include "wire.h"

#define MHJSON_ERR 200

/* The object of a message that mh_read accepted; the caller's. NULL when out of memory. */
json_t *mhjson_from_message(const struct mh_msg *m);

/* Write the message that obj describes behind what w holds. Members that only explain ("NAME_name", and those listed in
 * mhjson.c that mhtool adds for packets) are not looked at; any other that the table does not know is an error. "name"
 * or "type" is enough. Without "checksum" it is 0. The result is read again with mh_read: what it would refuse is not
 * written. Returns 0, or -EINVAL with a sentence in reterr; w is then to be thrown away. */
int mhjson_to_message(const json_t *obj, struct wcur *w, char reterr[MHJSON_ERR]);
