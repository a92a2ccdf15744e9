/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_trust.c - the file of trusted domains */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trust.h"

static struct domain_key ours, theirs;
static char our_token[CREDENTIAL_TEXT], their_token[CREDENTIAL_TEXT], path[64];
static struct domain domain[TRUST_MAX];
static struct trust_policy policy[TRUST_MAX];

static int setup(void **state)
{
	char err[CREDENTIAL_ERR];

	(void)state;
	if (secret_start() < 0 || domain_key_generate("ours", &ours, err) < 0 ||
		domain_key_generate("theirs", &theirs, err) < 0)
		return -1;
	(void)domain_to_text(&ours.domain, our_token);
	(void)domain_to_text(&theirs.domain, their_token);
	(void)snprintf(path, sizeof(path), "/tmp/test_trust.XXXXXX");
	return close(mkstemp(path));
}

static int teardown(void **state)
{
	(void)state;
	domain_key_done(&ours);
	domain_key_done(&theirs);
	return unlink(path);
}

/* The file with these lines, read by somebody of our domain. */
static int load(const char *text, char *reterr)
{
	struct identity own = {.has_credential = true};
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
	memcpy(own.credential.domain_key, ours.domain.key, sizeof(ours.domain.key));
	memcpy(own.credential.domain, "ours", 5);
	return trust_load(path, &own, domain, policy, reterr);
}

/* Are AMAs of the first domain believed about it? */
static bool covers(const char *prefix)
{
	struct prefix6 p;

	assert_int_equal(prefix6_parse(prefix, &p), 0);
	return trust_covers(&policy[0], &p);
}

#define LINE(...) (snprintf(line, sizeof(line), __VA_ARGS__), line)

static void lines(void **state)
{
	char line[4096], err[CREDENTIAL_ERR];

	(void)state;
	/* our own is there without a line, as usual */
	assert_int_equal(load("", err), 1);
	assert_string_equal(domain[0].name, "ours");
	assert_string_equal(trust_policy_text(&policy[0]), "");
	assert_true(policy[0].roaming && policy[0].lend && policy[0].proxy);
	/* another one, with all that can be said */
	assert_int_equal(
		load(LINE("# friends\n\n \t%s  lend=no max-leases=10 max-visits=0\troaming=no proxy=no updates=7 # of the town\n",
			     their_token),
			err),
		2);
	assert_string_equal(domain[0].name, "theirs");
	assert_string_equal(
		trust_policy_text(&policy[0]), "roaming=no lend=no proxy=no max-leases=10 max-visits=0 updates=7");
	assert_string_equal(domain[1].name, "ours");
	/* prefixes that its AMAs are believed about */
	assert_int_equal(
		load(LINE("%s prefix=2001:db8:200::/40 lend=no prefix=2001:db8:300::/48\n", their_token), err), 2);
	assert_string_equal(trust_policy_text(&policy[0]), "lend=no prefix=2001:db8:200::/40 prefix=2001:db8:300::/48");
	assert_true(covers("2001:db8:2ff:1::/64") && covers("2001:db8:300:1::/64") && covers("2001:db8:200::/40"));
	assert_false(covers("2001:db8:301:1::/64") || covers("2001:db8::/32") || covers("::/0"));
	assert_int_equal(load(LINE("%s", their_token), err), 2);
	assert_true(covers("::/0"));
	/* our own with a policy, once; the last line without its end */
	assert_int_equal(load(LINE("%s\n%s proxy=yes lend=no", their_token, our_token), err), 2);
	assert_string_equal(trust_policy_text(&policy[0]), "");
	assert_string_equal(trust_policy_text(&policy[1]), "lend=no");
	/* a file that is not there */
	(void)unlink(path);
	assert_int_equal(trust_load(path, &(struct identity){0}, domain, NULL, err), 0);
	assert_int_equal(load("", err), 1);
}

static void faults(void **state)
{
	static const struct {
		const char *option, *says;
	} bad[] = {{"lent=no", "'lent=no' is not known"}, {"lend", "'lend' is not known"},
		{"lend=maybe", "lend is 'maybe': it takes yes or no"}, {"lend=", "yes or no"},
		{"max-leases=", "number from 0"}, {"max-leases=-1", "number from 0"},
		{"max-leases=1x", "number from 0"}, {"max-leases=10000001", "to 10000000"},
		{"max-visits=99999999999999999999", "to 10000000"}, {"updates=0", "number from 1"},
		{"=yes", "'=yes' is not known"}, {"prefix=2001:db8", "prefix is '2001:db8': it takes one such as"}};
	char line[4096], err[CREDENTIAL_ERR], at[128];

	(void)state;
	(void)snprintf(at, sizeof(at), "%s:2: ", path);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(load(LINE("# friends\n%s roaming=no %s\n", their_token, bad[i].option), err), -22);
		assert_memory_equal(err, at, strlen(at));
		assert_non_null(strstr(err, bad[i].says));
	}
	assert_int_equal(load(LINE("\nfriend lend=no\n"), err), -22);
	assert_memory_equal(err, at, strlen(at));
	/* which of the two would count? */
	assert_int_equal(load(LINE("%s\n%s lend=no\n", their_token, their_token), err), -22);
	assert_memory_equal(err, at, strlen(at));
	assert_non_null(strstr(err, "domain theirs is here already"));
	memset(line, 'x', sizeof(line) - 2);
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(load(line, err), -22);
}

static void too_many(void **state)
{
	char text[TRUST_MAX * (CREDENTIAL_TEXT + 1) + CREDENTIAL_TEXT + 1] = "", err[CREDENTIAL_ERR],
									token[CREDENTIAL_TEXT], at[128];
	struct domain_key key;

	(void)state;
	for (int i = 0; i <= TRUST_MAX; i++) {
		assert_int_equal(domain_key_generate("friend", &key, err), 0);
		(void)domain_to_text(&key.domain, token);
		domain_key_done(&key);
		(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", token);
	}
	(void)snprintf(at, sizeof(at), "%s:%d: more than %d domains", path, TRUST_MAX + 1, TRUST_MAX);
	assert_int_equal(load(text, err), -22);
	assert_string_equal(err, at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines), cmocka_unit_test(faults), cmocka_unit_test(too_many)};

	return cmocka_run_group_tests(tests, setup, teardown);
}
