/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_wire.c - cursors: byte order, ends, stickiness */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "wire.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static void reads_numbers_in_network_order(void **state)
{
	struct rcur c = rcur_make(bytes, sizeof(bytes));

	(void)state;
	assert_int_equal(rcur_u8(&c), 0x01);
	assert_int_equal(rcur_u16(&c), 0x0203);
	assert_int_equal(rcur_u32(&c), 0x04050607);
	assert_true(rcur_u64(&c) == 0x08090a0b0c0d0e0fULL);
	assert_int_equal(rcur_offset(&c), 15);
	assert_int_equal(rcur_left(&c), 1);
	assert_true(rcur_ok(&c));
}

static void a_read_past_the_end_fails_for_good(void **state)
{
	struct in6_addr addr;
	uint8_t buf[4] = {0xff, 0xff, 0xff, 0xff};

	(void)state;
	for (size_t len = 0; len < 8; len++) {
		struct rcur c = rcur_make(bytes, len);

		assert_true(rcur_u64(&c) == 0);
		assert_false(rcur_ok(&c));
		assert_int_equal(rcur_left(&c), 0);
		assert_int_equal(rcur_u8(&c), 0); /* although there are bytes */
		assert_null(rcur_take(&c, 0));
	}
	struct rcur c = rcur_make(bytes, 3);

	rcur_bytes(&c, buf, sizeof(buf));
	assert_memory_equal(buf, "\0\0\0\0", 4);
	assert_false(rcur_ok(&c));
	c = rcur_make(bytes, 15);
	rcur_in6(&c, &addr);
	assert_false(rcur_ok(&c));
	c = rcur_make(bytes, 4);
	rcur_skip(&c, SIZE_MAX);
	assert_false(rcur_ok(&c));
	c = rcur_make(NULL, 0);
	assert_true(rcur_ok(&c) && rcur_left(&c) == 0);
}

static void a_nested_cursor_sees_its_part_only(void **state)
{
	struct rcur c = rcur_make(bytes, sizeof(bytes)), sub = rcur_sub(&c, 3);

	(void)state;
	assert_int_equal(rcur_left(&sub), 3);
	assert_int_equal(rcur_u32(&sub), 0);
	assert_false(rcur_ok(&sub));
	assert_true(rcur_ok(&c)); /* the outer one goes on behind it */
	assert_int_equal(rcur_u8(&c), 4);
	sub = rcur_sub(&c, 13);
	assert_false(rcur_ok(&sub));
	assert_false(rcur_ok(&c));
}

static void writes_what_is_read(void **state)
{
	uint8_t buf[34];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct in6_addr addr = {.s6_addr = {0x20, 0x01, [15] = 1}}, back;
	struct rcur c;

	(void)state;
	wcur_u8(&w, 0x01);
	wcur_u16(&w, 0x0203);
	wcur_u32(&w, 0x04050607);
	wcur_u64(&w, 0x08090a0b0c0d0e0fULL);
	assert_memory_equal(buf, bytes, 15);
	wcur_in6(&w, &addr);
	wcur_zero(&w, 2);
	wcur_bytes(&w, "z", 1);
	assert_true(wcur_ok(&w));
	assert_int_equal(wcur_len(&w), 34);
	c = rcur_make(buf, sizeof(buf));
	rcur_skip(&c, 15);
	rcur_in6(&c, &back);
	assert_memory_equal(&back, &addr, 16);
	assert_int_equal(rcur_u16(&c), 0);
	assert_int_equal(rcur_u8(&c), 'z');
}

static void a_write_past_the_end_fails_for_good_and_writes_nothing(void **state)
{
	uint8_t buf[4] = {0xee, 0xee, 0xee, 0xee};
	struct wcur w = wcur_make(buf, 3);

	(void)state;
	wcur_u32(&w, 0);
	assert_false(wcur_ok(&w));
	wcur_u8(&w, 0); /* would fit */
	assert_memory_equal(buf, "\xee\xee\xee\xee", 4);
	assert_int_equal(wcur_len(&w), 0);
	assert_null(wcur_room(&w, 1));
	w = wcur_make(buf, 4);
	wcur_zero(&w, SIZE_MAX);
	assert_false(wcur_ok(&w));
}

static void patches_only_what_was_written(void **state)
{
	uint8_t buf[4] = {0};
	struct wcur w = wcur_make(buf, sizeof(buf));

	(void)state;
	wcur_zero(&w, 3);
	wcur_patch_u16(&w, 1, 0xabcd);
	assert_true(wcur_ok(&w));
	assert_memory_equal(buf, "\x00\xab\xcd\x00", 4);
	wcur_patch_u16(&w, 2, 0xffff); /* its second byte is not there yet */
	assert_false(wcur_ok(&w));
	assert_int_equal(buf[3], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_numbers_in_network_order),
		cmocka_unit_test(a_read_past_the_end_fails_for_good),
		cmocka_unit_test(a_nested_cursor_sees_its_part_only),
		cmocka_unit_test(writes_what_is_read),
		cmocka_unit_test(a_write_past_the_end_fails_for_good_and_writes_nothing),
		cmocka_unit_test(patches_only_what_was_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
