/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_pmtu.c - the search against simulated paths of every size, with and without loss */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mnd/pmtu.h"

#define MOST 64

/* Runs a search over a path that takes packets up to path bytes and loses loss percent. Returns the time it took, with
 * the time until something smaller than the black hole was in use. */
static uint64_t search(struct pmtu *p, uint16_t path, int loss, uint32_t rtt_us, uint64_t *ret_relief_us)
{
	uint64_t now = 1000000, begin = now, wake, back_us[MOST];
	uint32_t back[MOST];
	unsigned n = 0, first = 0;
	bool changed;

	*ret_relief_us = 0;
	pmtu_start(p, 1500, rtt_us, now);
	for (int i = 0; i < 1000 && (p->state == PMTU_CONFIRM || p->state == PMTU_SEARCH); i++) {
		if (pmtu_step(p, now, &wake, &changed)) {
			assert_true(n < MOST);
			if (p->size <= path && rand() % 100 >= loss) {
				back[n] = p->id;
				back_us[n++] = now + rtt_us;
			}
		} else if (first < n && back_us[first] <= wake) { /* an answer comes first */
			now = back_us[first];
			(void)pmtu_answered(p, back[first++], now);
		} else if (wake != UINT64_MAX) {
			assert_true(wake > now);
			now = wake;
		}
		if (changed && !*ret_relief_us)
			*ret_relief_us = now - begin;
	}
	assert_int_equal(p->state, PMTU_DONE);
	return now - begin;
}

static void a_clear_path_costs_one_probe(void **state)
{
	struct pmtu p = {0};
	uint64_t relief;

	(void)state;
	assert_int_equal(search(&p, 1500, 0, 20000, &relief), 20000);
	assert_int_equal(p.id, 1);
	assert_int_equal(pmtu_inner_mtu(&p), 0);
}

static void finds_each_black_hole(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3 * 220; i++) {
		static const uint32_t rtts_us[] = {1000, 20000, 160000};
		uint16_t path = (uint16_t)(1280 + i / 3), inner;
		struct pmtu p = {0};
		uint64_t relief, took = search(&p, path, 0, rtts_us[i % 3], &relief);

		inner = pmtu_inner_mtu(&p);
		assert_true(took < 3000000);
		assert_true(relief < 1300000);
		if (path < 1320) {
			assert_int_equal(inner, 1280);
		} else {
			assert_true(inner + 40 <= path);
			assert_true(inner + 40 + 8 > path);
		}
	}
}

static void loss_is_not_a_black_hole(void **state)
{
	int wrong = 0;

	(void)state;
	srand(1);
	for (int i = 0; i < 1000; i++) {
		struct pmtu p = {0};
		uint64_t relief;

		(void)search(&p, 1500, 5, 20000, &relief);
		wrong += pmtu_inner_mtu(&p) != 0;
	}
	assert_true(wrong < 5); /* 0.05^3 */
}

static void late_and_forged_answers(void **state)
{
	struct pmtu p = {0};
	uint64_t wake;
	bool changed;

	(void)state;
	assert_false(pmtu_answered(&p, 0, 0));
	pmtu_start(&p, 1500, 0, 0);
	assert_false(pmtu_answered(&p, 0, 0));
	assert_true(pmtu_step(&p, 0, &wake, &changed));
	assert_true(pmtu_step(&p, wake, &wake, &changed));
	assert_false(pmtu_answered(&p, p.id + 1, 0));
	assert_int_equal(p.state, PMTU_CONFIRM);
	(void)pmtu_answered(&p, p.id - 1, 0); /* the first one was only slow */
	assert_int_equal(p.state, PMTU_DONE);
	assert_int_equal(pmtu_inner_mtu(&p), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clear_path_costs_one_probe),
		cmocka_unit_test(finds_each_black_hole),
		cmocka_unit_test(loss_is_not_a_black_hole),
		cmocka_unit_test(late_and_forged_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
