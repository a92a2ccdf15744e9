/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_conf.c - configuration: values, and what a person reads when one is wrong */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "conf.h"

struct device {
	char name[CONF_TEXT];
	uint32_t priority;
};
struct value {
	bool on;
	uint32_t port;
	uint64_t lease_us;
	char path[CONF_TEXT];
	struct in6_addr address;
	struct conf_prefixes pool;
	struct conf_words access;
	unsigned n_device;
	struct device device[2];
};

#define AT(f) offsetof(struct value, f)
static const struct conf_section sections[] = {{.name = "ama"},
	{.name = "device",
		.argument = true,
		.offset = AT(device),
		.size = sizeof(struct device),
		.count_offset = AT(n_device),
		.max = 2},
	{0}};
static const struct conf_setting settings[] = {{"ama", "on", CONF_BOOL, AT(on), "yes", 0, 0, "a switch", false},
	{"ama", "port", CONF_UINT, AT(port), "7872", 1, 65535, "a number", true},
	{"ama", "lease", CONF_TIME, AT(lease_us), "24h", 1, 100000, "a time", false},
	{"ama", "path", CONF_STRING, AT(path), "/x", 0, 0, "a text", true},
	{"ama", "anchor", CONF_ADDRESS, AT(address), NULL, 0, 0, "an address", false},
	{"ama", "pool", CONF_PREFIXES, AT(pool), NULL, 0, 0, "prefixes", true},
	{"ama", "access", CONF_WORDS, AT(access), "*", 0, 0, "words", true},
	{"device", "priority", CONF_UINT, offsetof(struct device, priority), "5", 1, 9, "its priority", false}, {0}};

static char told[4096];

static void tell(void *ctx, const char *text)
{
	size_t n = strlen(told);

	(void)ctx;
	(void)snprintf(told + n, sizeof(told) - n, "%s\n", text);
}

static unsigned parse(const char *text, struct value *v)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	unsigned n;

	told[0] = '\0';
	memset(v, 0, sizeof(*v));
	conf_preset(sections, settings, v);
	n = conf_read_stream(f, "f.conf", sections, settings, v, tell, NULL);
	(void)fclose(f);
	return n;
}

static void reads_each_kind(void **state)
{
	struct value v;

	(void)state;
	assert_int_equal(
		parse("# comment\n[ama]\non = no\nport = 1\n  lease = 90s ; after the value\npath = a b=c\nanchor = 2001:db8::1\n"
		      "pool = 2001:db8:1::/48 2001:db8:2::/48\npool = 2001:db8:3::/64\naccess = lan0, lan1\n"
		      "[device a]\npriority = 9\n[device b]\n[device a]\n",
			&v),
		0);
	assert_string_equal(told, "");
	assert_false(v.on);
	assert_int_equal(v.port, 1);
	assert_int_equal(v.lease_us, 90000000);
	assert_string_equal(v.path, "a b=c");
	assert_int_equal(v.address.s6_addr[15], 1);
	assert_int_equal(v.pool.n, 3);
	assert_int_equal(v.pool.prefix[2].len, 64);
	assert_int_equal(v.access.n, 2);
	assert_string_equal(v.access.word[1], "lan1");
	assert_int_equal(v.n_device, 2);
	assert_string_equal(v.device[0].name, "a");
	assert_int_equal(v.device[0].priority, 9);
	assert_int_equal(v.device[1].priority, 5);
}

static void defaults_hold_where_nothing_is_said(void **state)
{
	struct value v;

	(void)state;
	assert_int_equal(parse("[ama]\n", &v), 0);
	assert_true(v.on);
	assert_int_equal(v.port, 7872);
	assert_int_equal(v.lease_us, 86400000000ULL);
	assert_string_equal(v.access.word[0], "*");
}

static void times_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
	} good[] = {
		{"1500ms", 1500000}, {"1s", 1000000}, {"2m", 120000000}, {"1h", 3600000000ULL}, {"1d", 86400000000ULL}};
	static const char *const bad[] = {
		"5", "s", "-1s", "1 s", "5 weeks", "0s", "100001s", "99999999999999999999s", ""};
	char text[64];
	struct value v;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(text, sizeof(text), "[ama]\nlease = %s\n", good[i].text);
		assert_int_equal(parse(text, &v), 0);
		assert_int_equal(v.lease_us, good[i].us);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), "[ama]\nlease = %s\n", bad[i]);
		assert_int_equal(parse(text, &v), 1);
		assert_non_null(strstr(told, "f.conf:2: "));
	}
}

/* Each fault is told once, with its place, what is wrong, and what is allowed. */
static void faults_are_located_and_explained(void **state)
{
	static const struct {
		const char *text, *says;
	} fault[] = {
		{"[ama]\nanchr = x\n", "f.conf:2: unknown key 'anchr' in [ama]; did you mean 'anchor'?"},
		{"[ama]\nzzzzzzzz = x\n", "f.conf:2: unknown key 'zzzzzzzz' in [ama] (--help-config lists all)"},
		{"\n[amma]\n", "f.conf:2: unknown section [amma]; did you mean [ama]?"},
		{"[amma]\nport = 1\nlease = 2\n", "f.conf:1: unknown section [amma]; did you mean [ama]?"},
		{"port = 1\n", "f.conf:1: 'port' stands before the first [section]"},
		{"[ama]\nport = 0\n", "f.conf:2: '0' is not a value for port: a number from 1 to 65535"},
		{"[ama]\nport = 65536\n", "a number from 1 to 65535"},
		{"[ama]\nport = 1x\n", "'1x' is not a value for port"},
		{"[ama]\non = maybe\n", "f.conf:2: 'maybe' is not a value for on: yes or no"},
		{"[ama]\nanchor = fe80:::1\n", "is not a value for anchor: an IPv6 address"},
		{"[ama]\npool = 2001:db8::1/48\n", "with no bits set behind its length"},
		{"[ama]\nport = 1\nport = 2\n", "f.conf:3: port was already given on line 2"},
		{"[ama]\nnonsense\n", "f.conf:2: 'nonsense' is neither a section nor 'key = value'"},
		{"[ama x]\n", "section [ama x] takes no name: write [ama]"},
		{"[device]\n", "section [device] needs a name"},
		{"[device a]\n[device b]\n[device c]\n", "f.conf:3: more than 2 sections [device ...]"},
	};
	struct value v;

	(void)state;
	for (size_t i = 0; i < sizeof(fault) / sizeof(fault[0]); i++) {
		unsigned n = parse(fault[i].text, &v);

		if (n != 1 || !strstr(told, fault[i].says))
			fail_msg("%s: %u faults: %s", fault[i].text, n, told);
	}
}

static void all_faults_of_a_file_are_told_at_once(void **state)
{
	struct value v;

	(void)state;
	assert_int_equal(parse("[ama]\nport = x\nlease = x\non = x\n", &v), 3);
	assert_non_null(strstr(told, "f.conf:2: "));
	assert_non_null(strstr(told, "f.conf:3: "));
	assert_non_null(strstr(told, "f.conf:4: "));
}

static void a_long_line_is_refused_not_cut(void **state)
{
	char text[4096] = "[ama]\npath = ";
	struct value v;

	(void)state;
	memset(text + strlen(text), 'x', 3000);
	strcat(text, "\nport = 9\n");
	assert_int_equal(parse(text, &v), 1);
	assert_non_null(strstr(told, "f.conf:2: line is longer"));
	assert_int_equal(v.port, 9); /* and the next line is read as one */
}

static void drop_ins_come_after_in_order(void **state)
{
	char dir[] = "/tmp/test-conf-XXXXXX", path[128], sub[160];
	struct value v = {0};
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/a.conf", dir);
	told[0] = '\0';
	assert_int_equal(conf_read(path, false, sections, settings, &v, tell, NULL), 0); /* may be missing */
	assert_int_equal(conf_read(path, true, sections, settings, &v, tell, NULL), 1);
	assert_non_null(strstr(told, "cannot be read: No such file"));
	(void)snprintf(sub, sizeof(sub), "%s.d", path);
	assert_int_equal(mkdir(sub, 0700), 0);
	for (int i = 0; i < 3; i++) {
		static const char *const name[] = {"20-b.conf", "10-a.conf", "30-c.txt"};

		(void)snprintf(sub, sizeof(sub), "%s.d/%s", path, name[i]);
		f = fopen(sub, "w");
		assert_non_null(f);
		(void)fprintf(f, "[ama]\nport = %d\n", 100 + i);
		(void)fclose(f);
	}
	memset(&v, 0, sizeof(v));
	assert_int_equal(conf_read(path, false, sections, settings, &v, tell, NULL), 0);
	assert_int_equal(v.port, 100);
	(void)snprintf(sub, sizeof(sub), "rm -rf %s", dir);
	assert_int_equal(system(sub), 0);
}

/* Settings that are read only at the start stay as they are, and are named; others are taken over. */
static void what_is_read_at_the_start_is_kept(void **state)
{
	struct value running = {0}, fresh = {0};
	char names[64], few[7];

	(void)state;
	(void)parse("[ama]\nport = 1\npath = /a-long-one\npool = 2001:db8::/32 2001:db9::/32\n", &running);
	(void)parse("[ama]\nport = 1\npath = /a-long-one\npool = 2001:db8::/32 2001:db9::/32\non = no\n", &fresh);
	assert_int_equal(conf_keep(sections, settings, &running, &fresh, names, sizeof(names)), 0);
	assert_string_equal(names, "");
	assert_false(fresh.on);
	/* what an earlier, longer value left behind a string's or list's end is no change */
	memset(&fresh.path[strlen(fresh.path) + 1], 'x', 8);
	memset(&fresh.pool.prefix[2], 'x', sizeof(fresh.pool.prefix[2]));
	assert_int_equal(conf_keep(sections, settings, &running, &fresh, names, sizeof(names)), 0);
	memset(&fresh, 0, sizeof(fresh));
	(void)parse("[ama]\nport = 2\npath = /b\npool = 2001:db8::/32\naccess = x\nlease = 5s\n", &fresh);
	assert_int_equal(conf_keep(sections, settings, &running, &fresh, few, sizeof(few)), 4);
	assert_string_equal(few, "port, ");
	assert_int_equal(fresh.port, 1);
	assert_string_equal(fresh.path, "/a-long-one");
	assert_int_equal(fresh.pool.n, 2);
	assert_string_equal(fresh.access.word[0], "*");
	assert_true(fresh.lease_us == 5000000);
	fresh.port = 3;
	assert_int_equal(conf_keep(sections, settings, &running, &fresh, names, sizeof(names)), 1);
	assert_string_equal(names, "port");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_each_kind),
		cmocka_unit_test(defaults_hold_where_nothing_is_said),
		cmocka_unit_test(times_have_units),
		cmocka_unit_test(faults_are_located_and_explained),
		cmocka_unit_test(all_faults_of_a_file_are_told_at_once),
		cmocka_unit_test(a_long_line_is_refused_not_cut),
		cmocka_unit_test(drop_ins_come_after_in_order),
		cmocka_unit_test(what_is_read_at_the_start_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
