/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trust.h - the domains a daemon believes, and what theirs may do here: a file with a line a domain, its token and what
 * is not as usual:
 *
 *   dmm-domain-1:...  lend=no max-visits=1000    # comment
 *
 * Trust has one direction: that domain has a line of its own for ours, or has not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "credential.h"
#include "prefix6.h"

#define TRUST_MAX      32
#define TRUST_PREFIXES 8

/* What nodes and AMAs of a domain may do at an AMA of ours. A node does not look at it. */
struct trust_policy {
	bool roaming;	     /* its nodes are served at all */
	bool lend;	     /* prefixes are leased to them */
	bool proxy;	     /* updates are passed on for its nodes and to its AMAs, and taken from its AMAs */
	uint32_t max_leases; /* of its nodes at once; UINT32_MAX = no limit but the general one */
	uint32_t max_visits; /* likewise */
	uint32_t updates;    /* a second that one AMA of it may pass on to us */
	/* its AMAs are believed about what is inside one of these, whatever its credentials say; none = as they say */
	unsigned n_prefixes;
	struct prefix6 prefix[TRUST_PREFIXES];
};
extern const struct trust_policy trust_default; /* of a line with a token alone, and of our own domain */

/* Read one line. Returns 1 with *ret and *ret_policy filled, 0 = nothing but white space or a comment, or -EINVAL with
 * a sentence in reterr (CREDENTIAL_ERR bytes). */
int trust_parse(const char *line, struct domain *ret, struct trust_policy *ret_policy, char *reterr);
/* May an AMA of a domain with this policy be believed about this prefix? (Its credential has to cover it as well.) */
bool trust_covers(const struct trust_policy *p, const struct prefix6 *prefix);
/* What a policy says otherwise than trust_default, as on a line, "" if nothing. Static, two at a time. */
const char *trust_policy_text(const struct trust_policy *p);

/* Read path (may be missing) and add the domain that signed our own credential, unless it is there.
 *   ret, ret_policy  TRUST_MAX elements; ret_policy may be NULL
 * Returns how many, or -EINVAL with "FILE:LINE: what" in reterr (CREDENTIAL_ERR bytes). */
int trust_load(const char *path, const struct identity *own, struct domain *ret, struct trust_policy *ret_policy,
	char *reterr);
