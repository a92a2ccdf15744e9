/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_homeaddr.c - the life of one home address (ARCHITECTURE), step by step and by random walks */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "mnd/homeaddr.h"

#define SEC 1000000ULL

static const struct homeaddr_policy policy = {
	.grace_us = 5 * SEC, .lease_s = 86400, .binding_s = 600, .release_try = 3};

static struct in6_addr addr(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static const struct prefix6 *hnp(void)
{
	static struct prefix6 p;
	struct in6_addr a = addr("2001:db8:101::");

	p = prefix6_make(&a, 64);
	return &p;
}

struct fixture {
	struct home_address h;
	struct homeaddr_world w;
	uint64_t wake_us;
	struct in6_addr hoa;
};

static void start(struct fixture *f)
{
	memset(f, 0, sizeof(*f));
	f->w.now_us = 100 * SEC;
	f->hoa = addr("2001:db8:101::1");
	f->w.care_of = addr("2001:db8:a1::10");
	f->w.path = f->w.at_home = true;
	f->w.generation = 1;
	homeaddr_init(&f->h, NULL, NULL, 0, f->w.now_us);
}

static enum homeaddr_action step(struct fixture *f)
{
	return homeaddr_step(&f->h, &f->w, &policy, &f->wake_us);
}

static void ack(struct fixture *f, uint32_t lifetime_s, uint32_t lease_s)
{
	homeaddr_acked(&f->h, f->w.now_us, hnp(), &f->hoa, lifetime_s, 0, lease_s);
}

/* Attached at home with a lease. */
static void start_native(struct fixture *f)
{
	start(f);
	assert_int_equal(step(f), HOMEADDR_SEND);
	assert_int_equal(f->h.asked, LU_ATTACH);
	ack(f, 0, 86400);
	assert_int_equal(step(f), HOMEADDR_WAIT);
	assert_int_equal(f->h.state, HOMEADDR_NATIVE);
}

static void move(struct fixture *f, const char *care_of)
{
	f->w.care_of = addr(care_of);
	f->w.at_home = false;
	f->w.generation++;
}

static void at_home_there_is_no_binding(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	assert_false(homeaddr_is_tunnelled(&f.h));
	/* the lease wants renewal at half time, and nothing earlier */
	assert_int_equal(f.wake_us, f.w.now_us + 43200 * SEC);
	f.w.now_us = f.wake_us;
	assert_int_equal(step(&f), HOMEADDR_SEND);
	assert_int_equal(f.h.asked, LU_ATTACH);
}

static void an_unused_address_costs_its_anchor_nothing_but_the_release(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	move(&f, "2001:db8:a2::10");
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_DEPRECATED);
	assert_int_equal(f.wake_us, f.w.now_us + policy.grace_us);
	f.w.now_us = f.wake_us;
	assert_int_equal(step(&f), HOMEADDR_SEND);
	assert_int_equal(f.h.asked, LU_RELEASE);
	assert_int_equal(f.h.state, HOMEADDR_RELEASING);
	ack(&f, 0, 0);
	assert_int_equal(f.h.state, HOMEADDR_RELEASED);
	assert_int_equal(step(&f), HOMEADDR_WAIT);
}

static void a_used_address_is_bound_and_follows_each_move(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.in_use = true;
	for (int i = 2; i < 20; i++) {
		char coa[64];

		snprintf(coa, sizeof(coa), "2001:db8:a%d::10", i);
		move(&f, coa);
		assert_int_equal(step(&f), HOMEADDR_SEND);
		assert_int_equal(f.h.asked, LU_BIND);
		assert_int_equal(f.h.state, HOMEADDR_BINDING);
		assert_true(homeaddr_is_tunnelled(&f.h));
		assert_int_equal(step(&f), HOMEADDR_WAIT); /* outstanding: lu retransmits, no second one */
		ack(&f, 600, 0);
		assert_int_equal(step(&f), HOMEADDR_WAIT);
		assert_int_equal(f.h.state, HOMEADDR_BOUND);
	}
}

static void moved_again_before_the_answer(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.in_use = true;
	move(&f, "2001:db8:a2::10");
	assert_int_equal(step(&f), HOMEADDR_SEND);
	move(&f, "2001:db8:a3::10");
	assert_int_equal(step(&f), HOMEADDR_SEND); /* at once, with the new care-of address: RFC 6275 11.7.1 */
	ack(&f, 600, 0);
	(void)step(&f);
	assert_true(IN6_ARE_ADDR_EQUAL(&f.h.confirmed_care_of, &f.w.care_of));
	assert_int_equal(f.h.state, HOMEADDR_BOUND);
}

static void a_binding_is_refreshed_before_it_ends(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.in_use = true;
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	ack(&f, 600, 0);
	(void)step(&f);
	assert_int_equal(f.wake_us, f.w.now_us + 450 * SEC);
	f.w.now_us = f.wake_us;
	assert_int_equal(step(&f), HOMEADDR_SEND);
	assert_int_equal(f.h.state, HOMEADDR_BOUND);
	/* not answered: at its end the binding is gone, and said to be */
	f.w.now_us += 150 * SEC;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_BINDING);
}

static void the_last_session_ends(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.in_use = true;
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	ack(&f, 600, 0);
	(void)step(&f);
	f.w.in_use = false;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_IDLE);
	/* a session that starts again in the grace time keeps it */
	f.w.now_us += 4 * SEC;
	f.w.in_use = true;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_BOUND);
	f.w.in_use = false;
	(void)step(&f);
	f.w.now_us += 4 * SEC;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	f.w.now_us += 1 * SEC;
	assert_int_equal(step(&f), HOMEADDR_SEND);
	assert_int_equal(f.h.asked, LU_RELEASE);
	homeaddr_unanswered(&f.h, 2, &policy);
	assert_int_equal(f.h.state, HOMEADDR_RELEASING);
	homeaddr_unanswered(&f.h, 3, &policy);
	assert_int_equal(f.h.state, HOMEADDR_RELEASED);
}

static void back_home_it_is_native_again(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.in_use = true;
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	ack(&f, 600, 0);
	(void)step(&f);
	move(&f, "2001:db8:a1::10");
	f.w.at_home = true;
	assert_int_equal(step(&f), HOMEADDR_SEND);
	assert_int_equal(f.h.asked, LU_ATTACH);
	assert_int_equal(f.h.state, HOMEADDR_RETURNING);
	ack(&f, 0, 86400);
	(void)step(&f);
	assert_int_equal(f.h.state, HOMEADDR_NATIVE);
}

static void with_no_path_nothing_is_sent_and_nothing_forgotten(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.path = false;
	f.w.at_home = false;
	f.w.now_us += 100 * SEC; /* longer than the grace time: a tunnel through a mountain is not an end */
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_NATIVE);
	move(&f, "2001:db8:a2::10");
	f.w.path = true;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_DEPRECATED);
	assert_int_equal(f.wake_us, f.w.now_us + policy.grace_us);
}

static void refusals(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	(void)step(&f);
	homeaddr_refused(&f.h, 130, f.w.now_us); /* pool full: carry on without, ask again in a while */
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_ALLOCATING);
	assert_int_equal(f.wake_us, f.w.now_us + 60 * SEC);
	f.w.now_us = f.wake_us;
	assert_int_equal(step(&f), HOMEADDR_SEND);
	homeaddr_refused(&f.h, 129, f.w.now_us);
	f.w.generation++; /* a new attachment asks at once */
	assert_int_equal(step(&f), HOMEADDR_SEND);

	start_native(&f);
	f.w.in_use = true;
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	homeaddr_refused(&f.h, 133, f.w.now_us); /* the anchor does not know the lease any more */
	assert_int_equal(f.h.state, HOMEADDR_RELEASED);
}

static void the_lease_runs_out(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.path = f.w.at_home = false;
	f.w.now_us += 86400 * SEC;
	(void)step(&f);
	assert_int_equal(f.h.state, HOMEADDR_RELEASED);
}

static void never_leased_and_gone(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	assert_int_equal(step(&f), HOMEADDR_SEND);
	move(&f, "2001:db8:a2::10");
	assert_int_equal(step(&f), HOMEADDR_CANCEL);
	assert_int_equal(f.h.state, HOMEADDR_RELEASED);
}

static void is(const struct fixture *f, enum homeaddr_state state, enum homeaddr_reason reason)
{
	assert_string_equal(homeaddr_state_name(f->h.state), homeaddr_state_name(state));
	assert_string_equal(homeaddr_reason_name(f->h.reason), homeaddr_reason_name(reason));
}

static void acked(struct fixture *f)
{
	ack(f, f->h.asked == LU_BIND ? 600 : 0, 86400);
	(void)step(f);
}

static void use(struct fixture *f, bool in_use)
{
	f->w.in_use = in_use;
	(void)step(f);
}

/* The whole life, each transition once, in the order of the drawing in homeaddr.c. */
static void every_transition_says_why(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	(void)step(&f);
	is(&f, HOMEADDR_ALLOCATING, HOMEADDR_NEW);
	acked(&f);
	is(&f, HOMEADDR_NATIVE, HOMEADDR_LEASED);
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	is(&f, HOMEADDR_DEPRECATED, HOMEADDR_MOVED);
	use(&f, true);
	is(&f, HOMEADDR_BINDING, HOMEADDR_SESSION_BEGAN);
	use(&f, false);
	is(&f, HOMEADDR_DEPRECATED, HOMEADDR_SESSION_ENDED);
	use(&f, true);
	acked(&f);
	is(&f, HOMEADDR_BOUND, HOMEADDR_ACKNOWLEDGED);
	move(&f, "2001:db8:a3::10");
	(void)step(&f);
	is(&f, HOMEADDR_BINDING, HOMEADDR_MOVED);
	acked(&f);
	is(&f, HOMEADDR_BOUND, HOMEADDR_ACKNOWLEDGED);
	use(&f, false);
	is(&f, HOMEADDR_IDLE, HOMEADDR_SESSION_ENDED);
	use(&f, true);
	is(&f, HOMEADDR_BOUND, HOMEADDR_SESSION_BEGAN);
	f.w.now_us += 700 * SEC;
	(void)step(&f);
	is(&f, HOMEADDR_BINDING, HOMEADDR_BINDING_ENDED);
	acked(&f);
	move(&f, "2001:db8:a1::10");
	f.w.at_home = true;
	(void)step(&f);
	is(&f, HOMEADDR_RETURNING, HOMEADDR_CAME_BACK);
	acked(&f);
	is(&f, HOMEADDR_NATIVE, HOMEADDR_ACKNOWLEDGED);
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	is(&f, HOMEADDR_BINDING, HOMEADDR_MOVED);
	acked(&f);
	use(&f, false);
	f.w.now_us += policy.grace_us;
	(void)step(&f);
	is(&f, HOMEADDR_RELEASING, HOMEADDR_GRACE_OVER);
	acked(&f);
	is(&f, HOMEADDR_RELEASED, HOMEADDR_ACKNOWLEDGED);

	/* away and back unused: the anchor still routes natively, nothing was said */
	start_native(&f);
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	move(&f, "2001:db8:a1::10");
	f.w.at_home = true;
	(void)step(&f);
	is(&f, HOMEADDR_NATIVE, HOMEADDR_CAME_BACK);

	/* the other ends */
	homeaddr_refused(&f.h, 133, f.w.now_us);
	is(&f, HOMEADDR_RELEASED, HOMEADDR_REFUSED);
	start_native(&f);
	f.w.now_us += 86400 * SEC;
	(void)step(&f);
	is(&f, HOMEADDR_RELEASED, HOMEADDR_LEASE_ENDED);
	start(&f);
	(void)step(&f);
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	is(&f, HOMEADDR_RELEASED, HOMEADDR_NEVER_LEASED);
	start_native(&f);
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	f.w.now_us += policy.grace_us;
	(void)step(&f);
	homeaddr_unanswered(&f.h, policy.release_try, &policy);
	is(&f, HOMEADDR_RELEASED, HOMEADDR_NO_ANSWER);
	start_native(&f);
	f.w.unwanted = true;
	(void)step(&f);
	f.w.now_us += policy.grace_us;
	(void)step(&f);
	is(&f, HOMEADDR_RELEASING, HOMEADDR_GIVEN_UP);
	use(&f, true);
	is(&f, HOMEADDR_NATIVE, HOMEADDR_SESSION_BEGAN);
	homeaddr_revoked(&f.h, f.w.now_us);
	is(&f, HOMEADDR_RELEASED, HOMEADDR_REVOKED);
}

/* After a restart nothing is known but the lease: what is found is not taken for an event. */
static void after_a_restart(void **state)
{
	for (int in_use = 0; in_use < 2; in_use++)
		for (int at_home = 0; at_home < 2; at_home++) {
			struct fixture f;

			(void)state;
			start(&f);
			homeaddr_init(&f.h, hnp(), &f.hoa, f.w.now_us + 3600 * SEC, f.w.now_us);
			is(&f, HOMEADDR_DEPRECATED, HOMEADDR_RESTARTED);
			f.w.in_use = in_use;
			f.w.at_home = at_home;
			(void)step(&f);
			is(&f,
				at_home		 ? HOMEADDR_RETURNING
					: in_use ? HOMEADDR_BINDING
						 : HOMEADDR_DEPRECATED,
				HOMEADDR_RESTARTED);
			if (at_home || in_use) {
				acked(&f);
				is(&f, at_home ? HOMEADDR_NATIVE : HOMEADDR_BOUND, HOMEADDR_ACKNOWLEDGED);
			}
		}
}

/* Before it acts on a count of sessions that may be old, the owner counts again. */
static void when_to_count_again(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	assert_false(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us + 100 * SEC));
	assert_false(homeaddr_is_unused(&f.h));
	f.w.in_use = true;
	move(&f, "2001:db8:a2::10");
	(void)step(&f);
	assert_false(homeaddr_is_unused(&f.h));
	acked(&f);
	assert_false(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us + 449 * SEC));
	assert_true(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us + 450 * SEC)); /* the renewal */
	f.w.now_us += 450 * SEC;
	(void)step(&f);
	assert_false(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us)); /* is out */
	homeaddr_refused(&f.h, 129, f.w.now_us);
	assert_false(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us)); /* is held back */
	f.w.now_us += 40 * SEC;
	acked(&f);
	use(&f, false);
	assert_true(homeaddr_is_unused(&f.h));
	assert_false(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us + policy.grace_us - 1));
	assert_true(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us + policy.grace_us));
	f.w.now_us += policy.grace_us;
	(void)step(&f);
	assert_false(homeaddr_is_due(&f.h, policy.grace_us, f.w.now_us));
	assert_false(homeaddr_is_unused(&f.h));
}

/* Its anchor is being drained: native while a session lasts, released after the grace time, and kept if it is not
 * drained after all. */
static void an_unwanted_address_is_released_at_home(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	f.w.unwanted = f.w.in_use = true;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.h.state, HOMEADDR_NATIVE);
	f.w.in_use = false;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_int_equal(f.wake_us, f.w.now_us + policy.grace_us);
	f.w.now_us += policy.grace_us - 1;
	f.w.unwanted = false;
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	f.w.unwanted = true;
	f.w.now_us += 1;
	assert_int_equal(step(&f), HOMEADDR_WAIT); /* the grace time began anew */
	f.w.now_us += policy.grace_us;
	assert_int_equal(step(&f), HOMEADDR_SEND);
	assert_int_equal(f.h.asked, LU_RELEASE);
	assert_int_equal(f.h.state, HOMEADDR_RELEASING);
	ack(&f, 0, 0);
	assert_int_equal(f.h.state, HOMEADDR_RELEASED);
}

static void revoked_and_asked_to_refresh(void **state)
{
	struct fixture f;

	(void)state;
	start_native(&f);
	homeaddr_refresh(&f.h, f.w.now_us);
	assert_int_equal(step(&f), HOMEADDR_SEND);
	assert_int_equal(f.h.asked, LU_ATTACH);
	ack(&f, 0, 86400);
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	homeaddr_revoked(&f.h, f.w.now_us);
	assert_int_equal(f.h.state, HOMEADDR_RELEASED);
	assert_int_equal(step(&f), HOMEADDR_WAIT);
	assert_false(homeaddr_is_tunnelled(&f.h));
	/* nothing confirmed: there is nothing to refresh */
	start(&f);
	homeaddr_refresh(&f.h, f.w.now_us);
	assert_true(f.h.refresh_us > f.w.now_us);
}

/* Whatever happens in whatever order: an outstanding update always matches the world, states say what is true, and once
 * the world is quiet and the anchor answers, the machine settles. */
static void random_walks(void **state)
{
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int walk = 0; walk < 300; walk++) {
		struct fixture f;

		start(&f);
		for (int i = 0; i < 200; i++) {
			char coa[64];

			switch (rand() % 9) {
			case 0:
				snprintf(coa, sizeof(coa), "2001:db8:a%d::10", rand() % 5 + 1);
				move(&f, coa);
				f.w.at_home = coa[10] == '1';
				break;
			case 1:
				f.w.in_use = !f.w.in_use;
				break;
			case 2:
				f.w.path = !f.w.path;
				break;
			case 3:
				if (f.h.asked != LU_NONE)
					homeaddr_refused(&f.h, (uint8_t[]){128, 129, 130, 133, 155, 174}[rand() % 6],
						f.w.now_us);
				break;
			case 4:
			case 5:
				if (f.h.asked != LU_NONE)
					ack(&f, f.h.asked == LU_BIND ? (uint32_t)(rand() % 600 + 4) : 0,
						rand() % 2 ? 86400 : 60);
				break;
			case 6:
				f.w.now_us += (uint64_t)(rand() % 100) * SEC;
				break;
			case 7:
				homeaddr_unanswered(&f.h, (unsigned)rand() % 6, &policy);
				break;
			case 8:
				if (f.wake_us != UINT64_MAX && f.wake_us > f.w.now_us)
					f.w.now_us = f.wake_us;
				break;
			}
			f.w.now_us++;
			(void)step(&f);
			if (f.h.state == HOMEADDR_RELEASED)
				break;
			if (f.w.path && f.h.state == HOMEADDR_BOUND)
				assert_true(IN6_ARE_ADDR_EQUAL(&f.h.confirmed_care_of, &f.w.care_of));
			if (f.w.path && f.w.at_home)
				assert_true(f.h.state == HOMEADDR_NATIVE || f.h.state == HOMEADDR_RETURNING ||
					f.h.state == HOMEADDR_ALLOCATING);
			if (f.h.asked == LU_BIND && f.w.path)
				assert_true(f.w.in_use && !f.w.at_home);
			assert_true(f.wake_us > f.w.now_us || f.h.asked != LU_NONE);
		}
		if (f.h.state == HOMEADDR_RELEASED)
			continue;
		f.w.path = f.w.in_use = true;
		f.w.generation++;
		for (int i = 0; i < 3 && f.h.state != HOMEADDR_RELEASED; i++) {
			(void)step(&f);
			if (f.h.asked != LU_NONE)
				ack(&f, 600, 86400);
			(void)step(&f);
		}
		assert_true(f.h.state == HOMEADDR_RELEASED ||
			f.h.state == (f.w.at_home ? HOMEADDR_NATIVE : HOMEADDR_BOUND));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_home_there_is_no_binding),
		cmocka_unit_test(an_unused_address_costs_its_anchor_nothing_but_the_release),
		cmocka_unit_test(a_used_address_is_bound_and_follows_each_move),
		cmocka_unit_test(moved_again_before_the_answer),
		cmocka_unit_test(a_binding_is_refreshed_before_it_ends),
		cmocka_unit_test(the_last_session_ends),
		cmocka_unit_test(back_home_it_is_native_again),
		cmocka_unit_test(with_no_path_nothing_is_sent_and_nothing_forgotten),
		cmocka_unit_test(refusals),
		cmocka_unit_test(the_lease_runs_out),
		cmocka_unit_test(never_leased_and_gone),
		cmocka_unit_test(an_unwanted_address_is_released_at_home),
		cmocka_unit_test(revoked_and_asked_to_refresh),
		cmocka_unit_test(every_transition_says_why),
		cmocka_unit_test(after_a_restart),
		cmocka_unit_test(when_to_count_again),
		cmocka_unit_test(random_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
