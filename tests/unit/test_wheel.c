/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_wheel.c - timer wheel: nothing too early, nothing forgotten */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "wheel.h"

#define SEC 1000000ULL

static struct wheel wheel;

static void fires_rounded_up(void **state)
{
	struct wheel_entry e = {0}, f = {0};

	(void)state;
	wheel_start(&wheel, 100 * SEC);
	wheel_set(&wheel, &e, 105 * SEC + 1);
	wheel_set(&wheel, &f, 105 * SEC);
	assert_int_equal(wheel.n, 2);
	assert_null(wheel_due(&wheel, 105 * SEC - 1));
	assert_ptr_equal(wheel_due(&wheel, 105 * SEC + 999999), &f);
	assert_null(wheel_due(&wheel, 105 * SEC + 999999));
	assert_ptr_equal(wheel_due(&wheel, 106 * SEC), &e);
	assert_null(wheel_due(&wheel, 106 * SEC));
	assert_int_equal(wheel.n, 0);
	/* taken out: it can be set again, and dropping it is no harm */
	wheel_drop(&wheel, &e);
	wheel_set(&wheel, &e, 107 * SEC);
	assert_ptr_equal(wheel_due(&wheel, 107 * SEC), &e);
}

static void the_past_fires_at_once(void **state)
{
	struct wheel_entry e = {0};

	(void)state;
	wheel_start(&wheel, 100 * SEC);
	wheel_set(&wheel, &e, 0);
	assert_ptr_equal(wheel_due(&wheel, 101 * SEC), &e);
	wheel_set(&wheel, &e, 50 * SEC);
	assert_ptr_equal(wheel_due(&wheel, 102 * SEC), &e);
}

static void moves_and_drops(void **state)
{
	struct wheel_entry e = {0}, f = {0};

	(void)state;
	wheel_start(&wheel, 0);
	wheel_drop(&wheel, &e); /* never set */
	wheel_set(&wheel, &e, 5 * SEC);
	wheel_set(&wheel, &f, 5 * SEC);
	wheel_set(&wheel, &e, 9 * SEC);
	assert_int_equal(wheel.n, 2);
	wheel_drop(&wheel, &f);
	wheel_drop(&wheel, &f);
	assert_int_equal(wheel.n, 1);
	assert_null(wheel_due(&wheel, 8 * SEC));
	wheel_set(&wheel, &e, 8 * SEC + 1); /* nearer */
	assert_ptr_equal(wheel_due(&wheel, 9 * SEC), &e);
	assert_int_equal(wheel.n, 0);
}

static void further_than_a_turn(void **state)
{
	struct wheel_entry e = {0}, never = {0};

	(void)state;
	wheel_start(&wheel, 3 * SEC);
	wheel_set(&wheel, &e, (3 + 2 * WHEEL_SLOTS) * SEC);
	assert_null(wheel_due(&wheel, (2 + 2 * WHEEL_SLOTS) * SEC));
	assert_ptr_equal(wheel_due(&wheel, (3 + 2 * WHEEL_SLOTS) * SEC), &e);
	/* a lifetime without end, as an absolute time */
	wheel_set(&wheel, &never, UINT64_MAX);
	assert_null(wheel_due(&wheel, (10 + 4 * WHEEL_SLOTS) * SEC));
	assert_int_equal(wheel.n, 1);
	wheel_drop(&wheel, &never);
}

/* After a long sleep all that ran out comes, each once, and soonest first by the second. */
static void a_long_sleep(void **state)
{
	static struct wheel_entry e[500];
	uint64_t before = 0;
	unsigned n = 0;

	(void)state;
	wheel_start(&wheel, 0);
	for (unsigned i = 0; i < 500; i++)
		wheel_set(&wheel, &e[i], ((i * 7919ULL) % 9000 + 1) * SEC);
	for (struct wheel_entry *x; (x = wheel_due(&wheel, 20000 * SEC));) {
		uint64_t at = ((uint64_t)(x - e) * 7919ULL) % 9000 + 1;

		assert_true(at >= before);
		before = at;
		n++;
	}
	assert_int_equal(n, 500);
}

#define ENTRIES 200

/* Against a list: what fires is due, what is due fires. */
static void walk(void **state)
{
	static struct wheel_entry e[ENTRIES];
	uint64_t at_us[ENTRIES], now_us = 12345678; /* 0 = not set */
	unsigned seed = getenv("SEED") ? (unsigned)atoi(getenv("SEED")) : (unsigned)time(NULL);

	(void)state;
	print_message("SEED=%u\n", seed);
	srand(seed);
	memset(at_us, 0, sizeof(at_us));
	wheel_start(&wheel, now_us);
	for (int step = 0; step < 20000; step++) {
		unsigned i = (unsigned)rand() % ENTRIES, n = 0;

		switch (rand() % 4) {
		case 0:
		case 1:
			at_us[i] = now_us + (unsigned)rand() % (rand() % 2 ? 20 : 3 * WHEEL_SLOTS) * SEC +
				(unsigned)rand() % SEC;
			wheel_set(&wheel, &e[i], at_us[i]);
			break;
		case 2:
			at_us[i] = 0;
			wheel_drop(&wheel, &e[i]);
			break;
		default:
			now_us += (unsigned)rand() % (rand() % 50 ? 3 * SEC : 3000 * SEC);
			for (struct wheel_entry *x; (x = wheel_due(&wheel, now_us));) {
				if (!at_us[x - e] || at_us[x - e] > now_us)
					fail_msg("%u fired too early", (unsigned)(x - e));
				at_us[x - e] = 0;
			}
			/* a second late at the most: it may have been set for this very second */
			for (i = 0; i < ENTRIES; i++)
				if (at_us[i] && at_us[i] + SEC <= now_us / SEC * SEC)
					fail_msg("%u was due", i);
		}
		for (i = 0; i < ENTRIES; i++)
			n += at_us[i] > 0;
		assert_int_equal(wheel.n, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fires_rounded_up),
		cmocka_unit_test(the_past_fires_at_once),
		cmocka_unit_test(moves_and_drops),
		cmocka_unit_test(further_than_a_turn),
		cmocka_unit_test(a_long_sleep),
		cmocka_unit_test(walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
