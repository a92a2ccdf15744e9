/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trust.c - the domains a daemon believes, and what theirs may do here */
#include "trust.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS	" \t\r\n"
#define LINE	2048
#define LIMIT	10000000
#define UPDATES 5000 /* a second: what an anchor does in a quarter of its time, or so */

const struct trust_policy trust_default = {.roaming = true,
	.lend = true,
	.proxy = true,
	.max_leases = UINT32_MAX,
	.max_visits = UINT32_MAX,
	.updates = UPDATES};

/* What may stand behind a token. */
static const struct option {
	const char *name;
	size_t offset;
	bool is_number;
	uint32_t least;
} options[] = {{"roaming", offsetof(struct trust_policy, roaming), false, 0},
	{"lend", offsetof(struct trust_policy, lend), false, 0},
	{"proxy", offsetof(struct trust_policy, proxy), false, 0},
	{"max-leases", offsetof(struct trust_policy, max_leases), true, 0},
	{"max-visits", offsetof(struct trust_policy, max_visits), true, 0},
	{"updates", offsetof(struct trust_policy, updates), true, 1}, {0}};

static int parse_prefix(const char *value, struct trust_policy *ret, char *reterr)
{
	if (ret->n_prefixes == TRUST_PREFIXES) {
		(void)snprintf(reterr, CREDENTIAL_ERR, "more than %d prefix= for a domain", TRUST_PREFIXES);
		return -EINVAL;
	}
	if (prefix6_parse(value, &ret->prefix[ret->n_prefixes]) < 0) {
		(void)snprintf(
			reterr, CREDENTIAL_ERR, "prefix is '%.100s': it takes one such as 2001:db8:100::/40", value);
		return -EINVAL;
	}
	ret->n_prefixes++;
	return 0;
}

bool trust_covers(const struct trust_policy *p, const struct prefix6 *prefix)
{
	for (unsigned i = 0; i < p->n_prefixes; i++)
		if (prefix6_covers(&p->prefix[i], prefix))
			return true;
	return p->n_prefixes == 0;
}

static int parse_option(const char *word, struct trust_policy *ret, char *reterr)
{
	const char *value = strchr(word, '=');
	size_t len = value ? (size_t)(value - word) : strlen(word);
	const struct option *o = options;
	unsigned long n;
	char *end;

	if (!strncmp(word, "prefix=", 7))
		return parse_prefix(word + 7, ret, reterr);
	while (o->name && (strlen(o->name) != len || strncmp(o->name, word, len) != 0))
		o++;
	if (!o->name || !value) {
		(void)snprintf(reterr, CREDENTIAL_ERR,
			"'%.100s' is not known: behind the token may stand roaming=, lend=, proxy= with yes or no, max-leases=, max-visits=, updates= with a number, prefix= with a prefix",
			word);
		return -EINVAL;
	}
	value++;
	if (!o->is_number) {
		if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0) {
			(void)snprintf(reterr, CREDENTIAL_ERR, "%s is '%.100s': it takes yes or no", o->name, value);
			return -EINVAL;
		}
		*(bool *)((char *)ret + o->offset) = !strcmp(value, "yes");
		return 0;
	}
	n = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end || n > LIMIT || n < o->least) {
		(void)snprintf(reterr, CREDENTIAL_ERR, "%s is '%.100s': it takes a number from %u to %d", o->name,
			value, o->least, LIMIT);
		return -EINVAL;
	}
	*(uint32_t *)(void *)((char *)ret + o->offset) = (uint32_t)n;
	return 0;
}

int trust_parse(const char *line, struct domain *ret, struct trust_policy *ret_policy, char *reterr)
{
	struct trust_policy policy = trust_default;
	char text[LINE], *at = text, *word;
	struct domain domain;

	if (strlen(line) >= sizeof(text)) {
		(void)snprintf(reterr, CREDENTIAL_ERR, "a line has at most %d bytes", LINE - 1);
		return -EINVAL;
	}
	memcpy(text, line, strlen(line) + 1);
	text[strcspn(text, "#")] = '\0';
	word = strtok_r(text, BLANKS, &at);
	if (!word)
		return 0;
	if (domain_from_text(word, &domain, reterr) < 0)
		return -EINVAL;
	while ((word = strtok_r(NULL, BLANKS, &at)))
		if (parse_option(word, &policy, reterr) < 0)
			return -EINVAL;
	*ret = domain;
	*ret_policy = policy;
	return 1;
}

const char *trust_policy_text(const struct trust_policy *p)
{
	static char text[2][160 + TRUST_PREFIXES * 52];
	static unsigned turn;
	char *buf = text[turn++ % 2];
	size_t len = 0;

	buf[0] = '\0';
	for (const struct option *o = options; o->name; o++) {
		const void *is = (const char *)p + o->offset, *usual = (const char *)&trust_default + o->offset;

		if (memcmp(is, usual, o->is_number ? sizeof(uint32_t) : sizeof(bool)) == 0)
			continue;
		if (o->is_number)
			(void)snprintf(buf + len, sizeof(text[0]) - len, "%s%s=%u", len ? " " : "", o->name,
				*(const uint32_t *)is);
		else
			(void)snprintf(buf + len, sizeof(text[0]) - len, "%s%s=%s", len ? " " : "", o->name,
				*(const bool *)is ? "yes" : "no");
		len = strlen(buf);
	}
	for (unsigned i = 0; i < p->n_prefixes; i++) {
		(void)snprintf(
			buf + len, sizeof(text[0]) - len, "%sprefix=%s", len ? " " : "", prefix6_text(&p->prefix[i]));
		len = strlen(buf);
	}
	return buf;
}

int trust_load(
	const char *path, const struct identity *own, struct domain *ret, struct trust_policy *ret_policy, char *reterr)
{
	FILE *f = fopen(path, "re");
	char line[LINE + 2], err[CREDENTIAL_ERR] = "";
	struct trust_policy policy;
	struct domain domain;
	bool has_own = !own->has_credential;
	unsigned n = 0;
	int count = 0, r = 0;

	while (f && fgets(line, sizeof(line), f)) {
		n++;
		r = trust_parse(line, &domain, &policy, err);
		if (r == 0)
			continue;
		for (int i = 0; r > 0 && i < count; i++)
			if (!memcmp(ret[i].key, domain.key, sizeof(domain.key))) {
				(void)snprintf(err, sizeof(err), "domain %s is here already: one line for each, please",
					domain.name);
				r = -EINVAL;
			}
		if (r > 0 && count == TRUST_MAX) {
			(void)snprintf(err, sizeof(err), "more than %d domains", TRUST_MAX);
			r = -EINVAL;
		}
		if (r < 0)
			break;
		has_own |= !memcmp(domain.key, own->credential.domain_key, sizeof(domain.key));
		if (ret_policy)
			ret_policy[count] = policy;
		ret[count++] = domain;
	}
	if (f)
		(void)fclose(f);
	if (r < 0) {
		(void)snprintf(reterr, CREDENTIAL_ERR, "%.200s:%u: %.280s", path, n, err);
		return r;
	}
	if (!has_own && count < TRUST_MAX) {
		memcpy(ret[count].key, own->credential.domain_key, sizeof(ret[count].key));
		memcpy(ret[count].name, own->credential.domain, sizeof(ret[count].name));
		if (ret_policy)
			ret_policy[count] = trust_default;
		count++;
	}
	return count;
}
