/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_noise.c - Noise handshakes: golden bytes, truncation, forgeries (noise-vectors runs the published vectors) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "noise.h"

static struct secret counting(uint8_t first)
{
	struct secret s;

	for (int i = 0; i < SECRET_LEN; i++)
		s.b[i] = (uint8_t)(first + i);
	return s;
}

/* Both sides of IK with the keys of the published vectors. */
static void make_ik(struct noise *i, struct noise *r, const char *prologue)
{
	struct secret si = counting(0x00), sr = counting(0x01), ei = counting(0x20), er = counting(0x41);
	const struct noise_pattern *ik = noise_find_pattern("IK");
	uint8_t rs[32];

	crypto_scalarmult_base(rs, sr.b);
	assert_int_equal(noise_init(i, ik, true, (const uint8_t *)prologue, strlen(prologue), &si, rs), 0);
	assert_int_equal(noise_init(r, ik, false, (const uint8_t *)prologue, strlen(prologue), &sr, NULL), 0);
	noise_set_ephemeral(i, &ei);
	noise_set_ephemeral(r, &er);
}

static void check_hex(const uint8_t *got, size_t len, const char *want)
{
	char hex[512];

	assert_true(len * 2 + 1 <= sizeof(hex));
	sodium_bin2hex(hex, sizeof(hex), got, len);
	assert_string_equal(hex, want);
}

/* github.com/flynn/noise vectors.txt, Noise_IK_25519_ChaChaPoly_SHA256 with prologue "notsecret" and payloads */
static void ik_is_golden(void **state)
{
	struct noise i, r;
	struct noise_cipher is, ir, rs, rr;
	uint8_t msg[256], plain[256];
	size_t len, n;

	(void)state;
	make_ik(&i, &r, "notsecret");
	assert_int_equal(noise_overhead(&i), 96);
	assert_int_equal(noise_write(&i, (const uint8_t *)"test_msg_0", 10, msg, sizeof(msg), &len), 0);
	check_hex(msg, len,
		"358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254" /* e */
		"4f8445e5dc2467b1e32653192d05dee85c4781bf0dd8d33ceebb5905a7a069f0" /* s .. */
		"d6bc97dbce6f8f0ee33d49311a72d0f8"				   /* .. its tag */
		"0337527f958f92050deee33c19777fa17306346367055751bb3f");	   /* payload */
	assert_int_equal(noise_read(&r, msg, len, plain, sizeof(plain), &n), 0);
	assert_int_equal(n, 10);
	assert_memory_equal(plain, "test_msg_0", 10);
	assert_memory_equal(r.rs, i.s_public, 32);
	assert_int_equal(noise_overhead(&r), 48);
	assert_int_equal(noise_write(&r, (const uint8_t *)"test_msg_1", 10, msg, sizeof(msg), &len), 0);
	check_hex(msg, len,
		"64b101b1d0be5a8704bd078f9895001fc03e8e9f9522f188dd128d9846d48466"
		"cb4a35db52355821787bb67f33957e7809370c44d33538ad5a42");
	assert_int_equal(noise_read(&i, msg, len, plain, sizeof(plain), &n), 0);
	assert_memory_equal(plain, "test_msg_1", 10);
	assert_memory_equal(i.h, r.h, 32);
	assert_true(noise_is_finished(&i) && noise_is_finished(&r));
	assert_int_equal(noise_split(&i, &is, &ir), 0);
	assert_int_equal(noise_split(&r, &rs, &rr), 0);
	assert_int_equal(noise_encrypt(&is, (const uint8_t *)"yellowsubmarine", 15, msg), 0);
	check_hex(msg, 31, "226ca869f2777611f37350a7ab446f650c0cfe2855b7f020ce658bcf100f2d");
	assert_int_equal(noise_decrypt(&rr, msg, 31, plain), 0);
	assert_int_equal(noise_encrypt(&rs, (const uint8_t *)"submarineyellow", 15, msg), 0);
	check_hex(msg, 31, "90d84d69cd44829283b05d684879b53b8d714e51619b601438a1ae67caacd9");
	assert_int_equal(noise_decrypt(&ir, msg, 31, plain), 0);
	noise_done(&i);
	noise_done(&r);
	assert_true(sodium_is_zero((const uint8_t *)&i, sizeof(i)));
}

static void forgeries_are_refused(void **state)
{
	struct noise i, r, copy;
	uint8_t msg[256], plain[256];
	size_t len, n;

	(void)state;
	make_ik(&i, &r, "");
	assert_int_equal(noise_write(&i, (const uint8_t *)"0123456789", 10, msg, sizeof(msg), &len), 0);
	for (size_t cut = 0; cut < len; cut++) {
		copy = r;
		assert_int_equal(noise_read(&copy, msg, cut, plain, sizeof(plain), &n), -EBADMSG);
	}
	for (size_t bit = 0; bit < len * 8; bit++) {
		copy = r;
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* RFC 7748: the top bit of a public key is ignored in the product, but it is hashed */
		assert_int_equal(noise_read(&copy, msg, len, plain, sizeof(plain), &n), -EBADMSG);
		msg[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	copy = r;
	assert_int_equal(noise_read(&copy, msg, len, plain, 9, &n), -ENOBUFS);
	assert_int_equal(noise_read(&r, msg, len, plain, sizeof(plain), &n), 0);
	assert_int_equal(noise_read(&r, msg, len, plain, sizeof(plain), &n), -EPROTO); /* our turn */
	assert_int_equal(noise_write(&i, NULL, 0, msg, sizeof(msg), &n), -EPROTO);     /* their turn */
	/* a key of low order: all shared secrets would be zero */
	make_ik(&i, &r, "");
	memset(msg, 0, 32);
	assert_int_equal(noise_read(&r, msg, len, plain, sizeof(plain), &n), -EBADMSG);
}

static void prologue_and_key_matter(void **state)
{
	struct noise i, r, other, unused;
	uint8_t msg[256], plain[256];
	size_t len, n;

	(void)state;
	make_ik(&i, &unused, "a");
	make_ik(&unused, &r, "b");
	assert_int_equal(noise_write(&i, NULL, 0, msg, sizeof(msg), &len), 0);
	assert_int_equal(noise_read(&r, msg, len, plain, sizeof(plain), &n), -EBADMSG);
	assert_int_equal(noise_init(&other, noise_find_pattern("IK"), true, NULL, 0, &i.s, NULL), -EINVAL);
	assert_int_equal(noise_init(&other, noise_find_pattern("IK"), false, NULL, 0, NULL, NULL), -EINVAL);
	assert_null(noise_find_pattern("IKpsk2"));
	assert_null(noise_find_pattern(""));
}

static int setup(void **state)
{
	(void)state;
	return secret_start();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ik_is_golden),
		cmocka_unit_test(forgeries_are_refused),
		cmocka_unit_test(prologue_and_key_matter),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
