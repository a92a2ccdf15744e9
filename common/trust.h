/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trust.h - the domains a daemon believes: a file with one token a line */
#pragma once

#include <stddef.h>

#include "credential.h"

#define TRUST_MAX 32

/* Read path (may be missing) and add the domain that signed our own credential.
 *   ret  TRUST_MAX elements
 * Returns how many, or -EINVAL with "FILE:LINE: what" in reterr (CREDENTIAL_ERR bytes). */
int trust_load(const char *path, const struct identity *own, struct domain *ret, char *reterr);
