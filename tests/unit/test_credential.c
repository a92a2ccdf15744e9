/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_credential.c - credentials, tokens and key files */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "credential.h"

#define FROM  UINT64_C(1700000000)
#define UNTIL UINT64_C(1800000000)
#define NOW   UINT64_C(1750000000)

static char err[CREDENTIAL_ERR];
static char dir[] = "/tmp/test_credential.XXXXXX";

static struct domain_key fixed_domain(void)
{
	struct domain_key key = {.domain.name = "example.org"};
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	memset(key.seed.b, 0x11, sizeof(key.seed.b));
	crypto_sign_seed_keypair(key.domain.key, secret, key.seed.b);
	return key;
}

static struct prefix6 prefix(const char *text)
{
	struct prefix6 p;

	assert_int_equal(prefix6_parse(text, &p), 0);
	return p;
}

static struct credential make(enum credential_role role)
{
	struct domain_key key = fixed_domain();
	struct credential cred = {.role = role, .node = "ar1", .from_s = FROM, .until_s = UNTIL};

	memset(cred.key, 0x22, sizeof(cred.key));
	if (role == CREDENTIAL_AMA) {
		cred.n_prefixes = 2;
		cred.prefixes[0] = prefix("2001:db8:2::/48"); /* not in order: signing sorts */
		cred.prefixes[1] = prefix("2001:db8:1::/48");
	}
	assert_int_equal(credential_sign(&cred, &key), 0);
	return cred;
}

static void form_is_golden(void **state)
{
	/* clang-format off */
	static const char want[] =
		"01"			/* version */
		"02"			/* role AMA */
		"03" "617231"		/* node "ar1" */
		"2222222222222222222222222222222222222222222222222222222222222222" /* X25519 key */
		"000000006553f100"	/* from 1700000000 */
		"000000006b49d200"	/* until 1800000000 */
		"d04ab232742bb4ab3a1368bd4615e4e6d0224ab71a016baf8520a332c9778737" /* domain's Ed25519 key */
		"0b" "6578616d706c652e6f7267" /* domain "example.org" */
		"02"			/* two prefixes, in order */
		"30" "20010db8000100000000000000000000"
		"30" "20010db8000200000000000000000000";
	/* clang-format on */
	struct credential cred = make(CREDENTIAL_AMA);
	uint8_t buf[CREDENTIAL_MAX];
	char hex[2 * CREDENTIAL_MAX + 1];
	int len = credential_write(&cred, buf, sizeof(buf));

	(void)state;
	assert_int_equal(len, (int)strlen(want) / 2 + 64);
	sodium_bin2hex(hex, sizeof(hex), buf, (size_t)len - 64);
	assert_string_equal(hex, want);
}

static void reads_what_it_writes(void **state)
{
	(void)state;
	for (int role = CREDENTIAL_MN; role <= CREDENTIAL_AMA; role++) {
		struct credential cred = make((enum credential_role)role), back;
		uint8_t buf[CREDENTIAL_MAX], again[CREDENTIAL_MAX];
		enum credential_why why;
		int len = credential_write(&cred, buf, sizeof(buf));

		assert_true(len >= CREDENTIAL_MIN);
		assert_int_equal(credential_read(buf, (size_t)len, &back, &why), 0);
		assert_int_equal(credential_write(&back, again, sizeof(again)), len);
		assert_memory_equal(buf, again, (size_t)len);
		assert_int_equal(credential_write(&cred, buf, (size_t)len - 1), -ENOSPC);
		/* truncated at every length, and one byte longer */
		for (size_t cut = 0; cut < (size_t)len; cut++)
			assert_int_equal(credential_read(buf, cut, &back, &why), -EBADMSG);
		buf[len] = 0;
		assert_int_equal(credential_read(buf, (size_t)len + 1, &back, &why), -EBADMSG);
	}
}

static void sizes_are_as_promised(void **state)
{
	struct domain_key key = fixed_domain();
	struct credential cred = {
		.role = CREDENTIAL_AMA, .from_s = 1, .until_s = 1, .n_prefixes = CREDENTIAL_PREFIXES_MAX};
	uint8_t buf[CREDENTIAL_MAX + 1];
	char text[CREDENTIAL_TEXT];

	(void)state;
	memset(cred.node, 'n', CREDENTIAL_NAME_MAX);
	memset(key.domain.name, 'd', CREDENTIAL_NAME_MAX);
	for (unsigned int i = 0; i < CREDENTIAL_PREFIXES_MAX; i++) {
		cred.prefixes[i].addr.s6_addr[1] = (uint8_t)i;
		cred.prefixes[i].len = 64;
	}
	assert_int_equal(credential_sign(&cred, &key), 0);
	assert_int_equal(credential_write(&cred, buf, sizeof(buf)), CREDENTIAL_MAX);
	assert_int_equal(credential_to_text(&cred, text), 0);
	assert_true(strlen(text) < sizeof(text));
	cred = (struct credential){.role = CREDENTIAL_MN, .node = "n"};
	(void)snprintf(key.domain.name, sizeof(key.domain.name), "d");
	assert_int_equal(credential_sign(&cred, &key), 0);
	assert_int_equal(credential_write(&cred, buf, sizeof(buf)), CREDENTIAL_MIN);
}

/* Every bit of it is either refused by the form or by the signature. */
static void bit_flips_are_refused(void **state)
{
	struct credential cred = make(CREDENTIAL_AMA), back;
	struct domain trusted = fixed_domain().domain;
	uint8_t buf[CREDENTIAL_MAX];
	enum credential_why why;
	int len = credential_write(&cred, buf, sizeof(buf));

	(void)state;
	assert_int_equal(credential_verify(&cred, &trusted, 1, NOW, &why), 0);
	for (int bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (!credential_read(buf, (size_t)len, &back, &why))
			assert_int_equal(credential_verify(&back, &trusted, 1, NOW, &why), -EACCES);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void form_is_canonical(void **state)
{
	struct credential cred = make(CREDENTIAL_AMA), back;
	uint8_t buf[CREDENTIAL_MAX];
	enum credential_why why;
	int len = credential_write(&cred, buf, sizeof(buf));
	size_t prefixes = (size_t)len - 64 - 2 * 17;

	(void)state;
	buf[0] = 2;
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), -EBADMSG);
	assert_int_equal(why, CREDENTIAL_WHY_VERSION);
	buf[0] = 1;
	buf[1] = 1; /* an MN with prefixes */
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), -EBADMSG);
	buf[1] = 2;
	buf[3] = ' '; /* in a name */
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), -EBADMSG);
	assert_int_equal(why, CREDENTIAL_WHY_MALFORMED);
	buf[3] = 'a';
	buf[prefixes + 16] = 1; /* bits behind the length */
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), -EBADMSG);
	buf[prefixes + 16] = 0;
	buf[prefixes + 6] = 2; /* the same prefix twice */
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), -EBADMSG);
	buf[prefixes + 6] = 3; /* not in order */
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), -EBADMSG);
	buf[prefixes + 6] = 1;
	buf[prefixes] = 129;
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), -EBADMSG);
	buf[prefixes] = 48;
	assert_int_equal(credential_read(buf, (size_t)len, &back, &why), 0);

	cred.prefixes[0] = cred.prefixes[1];
	assert_int_equal(credential_write(&cred, buf, sizeof(buf)), -EINVAL);
	cred = make(CREDENTIAL_MN);
	cred.n_prefixes = 1;
	assert_int_equal(credential_write(&cred, buf, sizeof(buf)), -EINVAL);
	cred = make(CREDENTIAL_MN);
	cred.until_s = cred.from_s - 1;
	assert_int_equal(credential_write(&cred, buf, sizeof(buf)), -EINVAL);
}

static void verify_says_why(void **state)
{
	struct credential cred = make(CREDENTIAL_MN);
	struct domain trusted[2] = {{.name = "other"}, fixed_domain().domain};
	enum credential_why why;

	(void)state;
	assert_int_equal(credential_verify(&cred, trusted, 2, NOW, &why), 0);
	assert_int_equal(credential_verify(&cred, trusted, 2, FROM, &why), 0);
	assert_int_equal(credential_verify(&cred, trusted, 2, UNTIL, &why), 0);
	assert_int_equal(credential_verify(&cred, trusted, 1, NOW, &why), -EACCES);
	assert_int_equal(why, CREDENTIAL_WHY_UNTRUSTED);
	assert_int_equal(credential_verify(&cred, trusted, 2, FROM - 1, &why), -EACCES);
	assert_int_equal(why, CREDENTIAL_WHY_NOT_YET);
	assert_int_equal(credential_verify(&cred, trusted, 2, UNTIL + 1, &why), -EACCES);
	assert_int_equal(why, CREDENTIAL_WHY_EXPIRED);
	cred.key[0] ^= 1;
	assert_int_equal(credential_verify(&cred, trusted, 2, NOW, &why), -EACCES);
	assert_int_equal(why, CREDENTIAL_WHY_SIGNATURE);
	for (int i = 0; i < CREDENTIAL_WHY_COUNT; i++)
		assert_string_not_equal(credential_why_name((enum credential_why)i), "?");
}

static void covers_parts_of_its_prefixes(void **state)
{
	struct credential ama = make(CREDENTIAL_AMA), mn = make(CREDENTIAL_MN);
	struct prefix6 same = prefix("2001:db8:1::/48"), part = prefix("2001:db8:2:3::/64"),
		       wider = prefix("2001:db8::/32"), other = prefix("2001:db8:3::/64");

	(void)state;
	assert_true(credential_covers(&ama, &same));
	assert_true(credential_covers(&ama, &part));
	assert_false(credential_covers(&ama, &wider));
	assert_false(credential_covers(&ama, &other));
	assert_false(credential_covers(&mn, &part));
}

static void tokens_travel(void **state)
{
	struct credential cred = make(CREDENTIAL_AMA), back;
	struct domain domain = fixed_domain().domain, domain_back;
	struct key_request req = {.role = CREDENTIAL_MN, .name = "laptop"}, req_back;
	char text[CREDENTIAL_TEXT], spaced[CREDENTIAL_TEXT + 8], damaged[CREDENTIAL_TEXT];
	char *p;

	(void)state;
	memset(req.key, 0x33, sizeof(req.key));
	assert_int_equal(credential_to_text(&cred, text), 0);
	(void)snprintf(spaced, sizeof(spaced), " %s\r\n", text);
	assert_int_equal(credential_from_text(spaced, &back, err), 0);
	assert_string_equal(back.node, "ar1");
	assert_int_equal(key_request_from_text(text, &req_back, err), -EBADMSG);
	assert_non_null(strstr(err, "dmm-key-1:"));
	(void)snprintf(spaced, sizeof(spaced), "%s x", text);
	assert_int_equal(credential_from_text(spaced, &back, err), -EBADMSG);

	assert_int_equal(domain_to_text(&domain, text), 0);
	assert_int_equal(domain_from_text(text, &domain_back, err), 0);
	assert_string_equal(domain_back.name, "example.org");
	assert_memory_equal(domain_back.key, domain.key, 32);

	assert_int_equal(key_request_to_text(&req, text), 0);
	assert_int_equal(key_request_from_text(text, &req_back, err), 0);
	assert_int_equal(req_back.role, CREDENTIAL_MN);
	assert_string_equal(req_back.name, "laptop");
	assert_memory_equal(req_back.key, req.key, 32);
	/* a mistyped character anywhere is noticed, and so is a missing end */
	for (p = text + strlen("dmm-key-1:"); *p; p++) {
		(void)snprintf(damaged, sizeof(damaged), "%s", text);
		damaged[p - text] = *p == 'A' ? 'B' : 'A';
		assert_int_equal(key_request_from_text(damaged, &req_back, err), -EBADMSG);
		damaged[p - text] = '\0';
		assert_int_equal(key_request_from_text(damaged, &req_back, err), -EBADMSG);
	}
	assert_int_equal(credential_from_text("", &back, err), -EBADMSG);
	assert_int_equal(credential_from_text("dmm-cred-1:!", &back, err), -EBADMSG);
}

static void names_are_checked(void **state)
{
	char longest[CREDENTIAL_NAME_MAX + 2];

	(void)state;
	assert_true(credential_name_is_valid("ar-1.Example_org"));
	assert_false(credential_name_is_valid(""));
	assert_false(credential_name_is_valid("a b"));
	assert_false(credential_name_is_valid("\xc3\xa4"));
	memset(longest, 'a', sizeof(longest));
	longest[CREDENTIAL_NAME_MAX + 1] = '\0';
	assert_false(credential_name_is_valid(longest));
	longest[CREDENTIAL_NAME_MAX] = '\0';
	assert_true(credential_name_is_valid(longest));
}

static void put_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void identity_files(void **state)
{
	struct identity id, back;
	struct domain_key domain = fixed_domain();
	struct key_request req;
	struct credential cred = {.from_s = FROM, .until_s = UNTIL};
	char path[128], text[4096];
	struct stat st;
	FILE *f;
	size_t n;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/identity", dir);
	assert_int_equal(identity_generate(CREDENTIAL_MN, "lap top", &id, err), -EINVAL);
	assert_int_equal(identity_generate(CREDENTIAL_MN, "laptop", &id, err), 0);
	assert_int_equal(identity_store(path, &id, err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(identity_load(path, &back, err), 0);
	assert_false(back.has_credential);
	assert_memory_equal(back.key.b, id.key.b, 32);
	assert_memory_equal(back.public_key, id.public_key, 32);

	/* request -> credential -> identity, as mnctl keygen, amactl domain add-mn and mnctl join do */
	identity_request(&id, &req);
	cred.role = req.role;
	memcpy(cred.node, req.name, sizeof(cred.node));
	memcpy(cred.key, req.key, sizeof(cred.key));
	assert_int_equal(credential_sign(&cred, &domain), 0);
	assert_int_equal(identity_set_credential(&id, &cred, err), 0);
	assert_int_equal(identity_store(path, &id, err), 0);
	assert_int_equal(identity_load(path, &back, err), 0);
	assert_true(back.has_credential);
	assert_string_equal(back.credential.domain, "example.org");

	cred.key[0] ^= 1;
	assert_int_equal(identity_set_credential(&id, &cred, err), -EINVAL);
	assert_non_null(strstr(err, "another key"));
	cred.key[0] ^= 1;
	cred.signature[0] ^= 1;
	assert_int_equal(identity_set_credential(&id, &cred, err), -EINVAL);

	assert_int_equal(chmod(path, 0640), 0);
	assert_int_equal(identity_load(path, &back, err), -EPERM);
	assert_non_null(strstr(err, "chmod 600"));
	assert_int_equal(chmod(path, 0600), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(path, 12345, 0), 0);
		assert_int_equal(identity_load(path, &back, err), -EPERM);
		assert_int_equal(chown(path, 0, 0), 0);
	}
	assert_int_equal(identity_load(dir, &back, err), -EINVAL);
	assert_int_equal(identity_store("/nonexistent/x/identity", &id, err), -ENOENT);

	/* no message may hold key material: damage the key in each way and look */
	f = fopen(path, "r");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	assert_int_equal(fclose(f), 0);
	for (int damage = 0; damage < 4; damage++) {
		char copy[4096], key[16], *p, *line;

		memcpy(copy, text, sizeof(copy));
		p = strstr(copy, "private-key = ") + strlen("private-key = ");
		memcpy(key, p + 8, sizeof(key) - 1);
		key[sizeof(key) - 1] = '\0';
		line = strstr(copy, "private-key");
		if (damage == 0)
			p[0] = '!';
		else if (damage == 1)
			line[0] = 'q'; /* unknown setting */
		else if (damage == 2)
			memcpy(line, "private-key   ", 14); /* no '=' */
		else
			memcpy(line, "name =        ", 14); /* the key where a name should be */
		put_file(path, copy, 0600);
		if (!identity_load(path, &back, err))
			assert_int_equal(damage, -1);
		assert_null(strstr(err, key));
		assert_non_null(strstr(err, path));
	}
	put_file(path, "role = mn\nname = x\n", 0600);
	assert_int_equal(identity_load(path, &back, err), -EBADMSG);
	assert_non_null(strstr(err, "private-key is missing"));
	(void)snprintf(path, sizeof(path), "%s/none", dir);
	assert_int_equal(identity_load(path, &back, err), -ENOENT);
	identity_done(&id);
	assert_true(sodium_is_zero((const uint8_t *)&id, sizeof(id)));
}

static void domain_files(void **state)
{
	struct domain_key key, back;
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/domain", dir);
	assert_int_equal(domain_key_generate("example.org", &key, err), 0);
	assert_int_equal(domain_key_store(path, &key, err), 0);
	assert_int_equal(domain_key_load(path, &back, err), 0);
	assert_memory_equal(&key, &back, sizeof(key));
	put_file(path, "domain = x\n", 0600);
	assert_int_equal(domain_key_load(path, &back, err), -EBADMSG);
	put_file(path, "", 0644);
	assert_int_equal(domain_key_load(path, &back, err), -EPERM);
	domain_key_done(&key);
}

static int setup(void **state)
{
	(void)state;
	return secret_start() || !mkdtemp(dir);
}

static int teardown(void **state)
{
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/identity", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/domain", dir);
	(void)unlink(path);
	return rmdir(dir); /* also shows that no temporary file was left behind */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(form_is_golden),
		cmocka_unit_test(reads_what_it_writes),
		cmocka_unit_test(sizes_are_as_promised),
		cmocka_unit_test(bit_flips_are_refused),
		cmocka_unit_test(form_is_canonical),
		cmocka_unit_test(verify_says_why),
		cmocka_unit_test(covers_parts_of_its_prefixes),
		cmocka_unit_test(tokens_travel),
		cmocka_unit_test(names_are_checked),
		cmocka_unit_test(identity_files),
		cmocka_unit_test(domain_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
