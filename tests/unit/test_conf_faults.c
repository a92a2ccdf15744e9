/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_conf_faults.c - configuration: every kind of value, every fault with its place */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"

struct link {
	char name[CONF_TEXT];
	uint32_t priority;
	bool wireless;
	struct conf_words tags;
};

static struct value {
	bool flag, other;
	uint32_t number;
	uint64_t time_us;
	char text[CONF_TEXT];
	struct in6_addr address;
	struct conf_prefixes prefixes;
	struct conf_words words;
	uint32_t log_level;
	struct link link[3];
	unsigned n_links;
} v;

static const struct conf_section sections[] = {
	{.name = "ama"},
	{.name = "log"},
	{.name = "interface",
		.argument = true,
		.offset = offsetof(struct value, link),
		.size = sizeof(struct link),
		.count_offset = offsetof(struct value, n_links),
		.max = 3},
	{0},
};

#define AT(x) offsetof(struct value, x)
static const struct conf_setting settings[] = {
	{.section = "ama", .key = "flag", .kind = CONF_BOOL, .offset = AT(flag), .preset = "yes", .help = "A flag."},
	{.section = "ama", .key = "other", .kind = CONF_BOOL, .offset = AT(other), .help = "Another."},
	{.section = "ama",
		.key = "number",
		.kind = CONF_UINT,
		.offset = AT(number),
		.preset = "7",
		.min = 1,
		.max = 100},
	{.section = "ama",
		.key = "time",
		.kind = CONF_TIME,
		.offset = AT(time_us),
		.preset = "90s",
		.min = 0,
		.max = 604800},
	{.section = "ama", .key = "text", .kind = CONF_STRING, .offset = AT(text), .preset = "/var/lib"},
	{.section = "ama", .key = "anchor", .kind = CONF_ADDRESS, .offset = AT(address)},
	{.section = "ama", .key = "pool", .kind = CONF_PREFIXES, .offset = AT(prefixes), .preset = "2001:db8:1::/48"},
	{.section = "ama", .key = "words", .kind = CONF_WORDS, .offset = AT(words), .preset = "one two"},
	{.section = "log", .key = "level", .kind = CONF_UINT, .offset = AT(log_level), .max = 7},
	{.section = "interface",
		.key = "priority",
		.kind = CONF_UINT,
		.offset = offsetof(struct link, priority),
		.preset = "50",
		.max = 1000},
	{.section = "interface", .key = "wireless", .kind = CONF_BOOL, .offset = offsetof(struct link, wireless)},
	{.section = "interface", .key = "tags", .kind = CONF_WORDS, .offset = offsetof(struct link, tags)},
	{0},
};

static char faults[65536];

static void on_fault(void *ctx, const char *text)
{
	size_t n = strlen(faults);

	(void)ctx;
	(void)snprintf(faults + n, sizeof(faults) - n, "%s\n", text);
}

static unsigned read_bytes(const char *bytes, size_t len)
{
	FILE *f = fmemopen((void *)(uintptr_t)bytes, len, "r");
	unsigned n;

	assert_non_null(f);
	memset(&v, 0, sizeof(v));
	faults[0] = '\0';
	conf_preset(sections, settings, &v);
	n = conf_read_stream(f, "f.conf", sections, settings, &v, on_fault, NULL);
	(void)fclose(f);
	return n;
}

static unsigned read_text(const char *text)
{
	return read_bytes(text, strlen(text));
}

/* Each of these alone is a fault with this text in it. */
static void is_fault(const char *text, const char *want)
{
	unsigned n = read_text(text);

	if (n != 1 || !strstr(faults, want))
		fail_msg("%s\ngives %u faults:\n%s", text, n, faults);
}

static void ok(const char *text)
{
	if (read_text(text) != 0)
		fail_msg("%s\ngives:\n%s", text, faults);
}

static void presets(void **state)
{
	(void)state;
	ok("# nothing\n");
	assert_true(v.flag);
	assert_false(v.other);
	assert_int_equal(v.number, 7);
	assert_true(v.time_us == 90000000);
	assert_string_equal(v.text, "/var/lib");
	assert_true(IN6_IS_ADDR_UNSPECIFIED(&v.address));
	assert_int_equal(v.prefixes.n, 1);
	assert_int_equal(v.words.n, 2);
	assert_string_equal(v.words.word[1], "two");
	assert_int_equal(v.n_links, 0);
}

static void every_kind(void **state)
{
	char buf[INET6_ADDRSTRLEN];

	(void)state;
	ok("; a comment\n[ama]\nflag = no\nother=on\n number = 100 \ntime = 500ms\ntext = a b c ; why\n"
	   "anchor = 2001:db8::1\npool = 2001:db8:2::/48, 2001:db8:3::/48\npool = 2001:db8:4::/64\nwords = x,y z\r\n"
	   "\n[log]\nlevel: 0\n");
	assert_false(v.flag);
	assert_true(v.other);
	assert_int_equal(v.number, 100);
	assert_true(v.time_us == 500000);
	assert_string_equal(v.text, "a b c");
	assert_string_equal(inet_ntop(AF_INET6, &v.address, buf, sizeof(buf)), "2001:db8::1");
	assert_int_equal(v.prefixes.n, 3); /* the default is replaced, the lines add up */
	assert_string_equal(prefix6_text(&v.prefixes.prefix[2]), "2001:db8:4::/64");
	assert_int_equal(v.words.n, 3);
	assert_string_equal(v.words.word[0], "x");
	assert_string_equal(v.words.word[2], "z");
	static const struct {
		const char *text;
		uint64_t us;
	} times[] = {{"0s", 0}, {"1ms", 1000}, {"2m", 120000000}, {"3h", 10800000000}, {"7d", 604800000000}};
	for (unsigned i = 0; i < 5; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "[ama]\ntime = %s\n", times[i].text);
		ok(text);
		assert_true(v.time_us == times[i].us);
	}
	static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
	for (unsigned i = 0; i < 4; i++) {
		char text[64];

		(void)snprintf(text, sizeof(text), "[ama]\nflag = %s\nother = %s", no[i], yes[i]);
		ok(text);
		assert_true(v.other && !v.flag);
	}
}

static void faults_have_a_place(void **state)
{
	(void)state;
	is_fault("# x\n[ama]\nanchr = ::1\n", "f.conf:3: unknown key 'anchr' in [ama]; did you mean 'anchor'?\n");
	is_fault("[ama]\nsomething-else = 1\n", "f.conf:2: unknown key 'something-else' in [ama] (");
	is_fault("[amma]\n", "f.conf:1: unknown section [amma]; did you mean [ama]?\n");
	is_fault("[amma]\nkey = 1\nother = 2\n", "f.conf:1: unknown section [amma]"); /* once */
	is_fault("[log]\nflag = yes\n", "f.conf:2: unknown key 'flag' in [log]");     /* another section's */
	is_fault("\nnumber = 3\n", "f.conf:2: 'number' stands before the first [section]\n");
	is_fault("[ama]\nnumber = 3\n\nnumber = 4\n", "f.conf:4: number was already given on line 2\n");
	is_fault("[ama]\nnumber\n", "f.conf:2: 'number' is neither a section nor 'key = value'\n");
	is_fault("[ama]\n = 3\n", "f.conf:2: unknown key ''");
	is_fault("[interface]\npriority = 1\n", "f.conf:1: section [interface] needs a name");
	is_fault("[interface ]\npriority = 1\n", "f.conf:1: section [interface ] needs a name");
	is_fault("[ama x]\nnumber = 1\n", "f.conf:1: section [ama x] takes no name: write [ama]\n");
	/* all of them are reported */
	assert_int_equal(read_text("[ama]\nnumber = 0\nflag = maybe\n[lgo]\nlevel = 1\n[log]\nlevel = 8\n"), 4);
	assert_non_null(strstr(faults, "f.conf:2: '0' is not a value for number: a number from 1 to 100\n"));
	assert_non_null(strstr(faults, "f.conf:3: 'maybe' is not a value for flag: yes or no\n"));
	assert_non_null(strstr(faults, "f.conf:4: unknown section [lgo]; did you mean [log]?\n"));
	assert_non_null(strstr(faults, "f.conf:7: '8' is not a value for level: a number from 0 to 7\n"));
}

static void bad_values(void **state)
{
	static const struct {
		const char *key;
		const char *values[12];
	} bad[] = {
		{"flag", {"", "YES", "2", "yes no"}},
		{"number", {"", "0", "101", "-1", "+5", "1.5", "0x10", "5 6", "99999999999999999999", "4294967297"}},
		{"time", {"", "5", "5 s", "s", "-1s", "1w", "8d", "1.5s", "99999999999999999999s", "1000000000d"}},
		{"anchor", {"", "1.2.3.4", "2001:db8::/32", "2001:db8::1%eth0", "::1 ::2", "x"}},
		{"pool",
			{"2001:db8::", "2001:db8::1/32", "2001:db8::/129", "2001:db8::/-1", "/64", "2001:db8::/", "x"}},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (unsigned j = 0; bad[i].values[j]; j++) {
			char text[128], want[128];

			(void)snprintf(text, sizeof(text), "[ama]\n%s = %s\n", bad[i].key, bad[i].values[j]);
			(void)snprintf(want, sizeof(want), "f.conf:2: '%s' is not a value for %s:", bad[i].values[j],
				bad[i].key);
			is_fault(text, want);
		}
	}
}

/* Lists say so when they are full; nothing is cut. */
static void lists_are_bounded(void **state)
{
	char text[16384] = "[ama]\n";
	char word[80];

	(void)state;
	for (unsigned i = 0; i < CONF_LIST; i++) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "words = w%u\npool = 2001:db8:%x::/48\n", i, i + 1);
	}
	ok(text);
	assert_int_equal(v.words.n, CONF_LIST);
	assert_int_equal(v.prefixes.n, CONF_LIST);
	(void)strcat(text, "words = more\npool = 2001:db8:ffff::/48\n");
	assert_int_equal(read_text(text), 2);
	assert_non_null(strstr(faults, "f.conf:66: words has more than 32 values\n"));
	assert_non_null(strstr(faults, "f.conf:67: pool has more than 32 values\n"));
	memset(word, 'w', sizeof(word));
	word[63] = '\0';
	(void)snprintf(text, sizeof(text), "[ama]\nwords = %s\n", word);
	ok(text);
	assert_string_equal(v.words.word[0], word);
	word[63] = 'w';
	word[64] = '\0';
	(void)snprintf(text, sizeof(text), "[ama]\nwords = %s\n", word);
	is_fault(text, "f.conf:2: ");
}

static void sections_with_a_name(void **state)
{
	(void)state;
	ok("[interface wlan0]\npriority = 10\n[interface eth0]\nwireless = no\n[ama]\nnumber = 3\n[interface wlan0]\n"
	   "wireless = yes\n");
	assert_int_equal(v.n_links, 2);
	assert_string_equal(v.link[0].name, "wlan0");
	assert_int_equal(v.link[0].priority, 10);
	assert_true(v.link[0].wireless);
	assert_string_equal(v.link[1].name, "eth0");
	assert_int_equal(v.link[1].priority, 50);
	assert_int_equal(v.number, 3);
	ok("[interface wlan0]\n"); /* without a setting it is still there */
	assert_int_equal(v.n_links, 1);
	assert_int_equal(v.link[0].priority, 50);
	is_fault("[interface a]\n[interface b]\n[interface c]\n[interface d]\npriority = 1\n",
		"f.conf:4: more than 3 sections [interface ...]\n");
	/* one section, whatever its name is long */
	ok("[interface abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz]\npriority = 1\n"
	   "wireless = on\n");
	assert_int_equal(v.n_links, 1);
	assert_int_equal(v.link[0].priority, 1);
}

/* A section that stands twice is one. */
static void sections_again(void **state)
{
	(void)state;
	ok("[ama]\npool = 2001:db8:2::/48\n[log]\nlevel = 1\n[ama]\npool = 2001:db8:3::/48\nnumber = 3\n");
	assert_int_equal(v.prefixes.n, 2);
	assert_int_equal(v.number, 3);
	is_fault("[ama]\nnumber = 3\n[log]\nlevel = 1\n[ama]\nnumber = 4\n",
		"f.conf:6: number was already given on line 2\n");
}

static void long_lines(void **state)
{
	char text[2048], line[1024];

	(void)state;
	memset(line, 'x', sizeof(line));
	for (size_t n = 150; n < 1000; n += 7) {
		line[n] = '\0';
		(void)snprintf(text, sizeof(text), "[ama]\ntext = %s\nnumber = 5\n", line);
		if (n + 8 <= 180) { /* with its end */
			ok(text);
			assert_int_equal(strlen(v.text), n);
		} else {
			is_fault(text, "f.conf:2: line is longer than 180 bytes\n");
			assert_string_equal(v.text, "/var/lib");
		}
		assert_int_equal(v.number, 5); /* the next line is read as ever */
		(void)snprintf(text, sizeof(text), "[ama]\n# %s\nnumber = 5", line);
		assert_true(read_text(text) <= 1);
		assert_int_equal(v.number, 5);
		line[n] = 'x';
	}
}

/* What is not configuration is never taken for one. */
static void garbage(void **state)
{
	(void)state;
	is_fault("[ama\nnumber = 3\n", "f.conf:1: ");
	assert_int_equal(v.number, 7);
	is_fault("[log]\nlevel = 1\n[ama\nlevel = 2\n", "f.conf:3: "); /* the key is not of the section before */
	is_fault("[ama] number = 3\n", "f.conf:1: ");
	is_fault("[ama]]\n", "f.conf:1: ");
	ok("[ama] # the anchor\nnumber = 3\n");
	assert_int_equal(v.number, 3);
	ok("[ama] ; the anchor\n");
	assert_int_equal(read_bytes("[ama]\nnumber = 3\0x\ntext = a\n", 28), 1);
	assert_non_null(strstr(faults, "f.conf:2: "));
	assert_string_equal(v.text, "a");
	assert_true(read_bytes("\0\0\0\0\n\0", 6) > 0);
	assert_true(read_text("\xff\xfe[ama]\n\x01\x02\x03\n") > 0);
	(void)read_text("[]\n[ ]\n[[[]]]\n=\n:\n==\n]\n;\n#\n=[\n");
	for (unsigned seed = 0; seed < 300; seed++) {
		static const char letters[] = "[]=: \n\n;#ama logtxnumber\"/64\t\r%s%n\\";
		char text[400];

		srand(seed);
		for (unsigned i = 0; i < sizeof(text) - 1; i++)
			text[i] = letters[(unsigned)rand() % (sizeof(letters) - 1)];
		text[sizeof(text) - 1] = '\0';
		(void)read_text(text);
	}
}

/* --- files ------------------------------------------------------------------------------------------------------ */

static char dir[64];

static void put(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static unsigned read_path(const char *path, bool required)
{
	memset(&v, 0, sizeof(v));
	faults[0] = '\0';
	return conf_read(path, required, sections, settings, &v, on_fault, NULL);
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_conf_faults.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void files(void **state)
{
	char path[128], sub[160];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/a.conf", dir);
	assert_int_equal(read_path(path, false), 0);
	assert_int_equal(v.number, 7); /* the defaults */
	assert_int_equal(read_path(path, true), 1);
	assert_non_null(strstr(faults, "/a.conf: cannot be read: No such file"));
	put("a.conf", "[ama]\nnumber = 3\ntext = a\npool = 2001:db8:2::/48\n[interface wlan0]\npriority = 1\n");
	assert_int_equal(read_path(path, true), 0);
	assert_int_equal(v.number, 3);
	/* drop-ins: in the order of their names, only *.conf, each may say again what stands before */
	(void)snprintf(sub, sizeof(sub), "%s.d", path);
	assert_int_equal(mkdir(sub, 0700), 0);
	put("a.conf.d/20.conf", "[ama]\nnumber = 5\n[interface wlan0]\nwireless = yes\n");
	put("a.conf.d/10.conf", "[ama]\nnumber = 4\ntext = b\n");
	put("a.conf.d/30.conf~", "[ama]\nnumber = 6\n");
	put("a.conf.d/.40.conf", "[ama]\nnumber = 6\n");
	put("a.conf.d/.conf", "[ama]\nnumber = 6\n");
	assert_int_equal(read_path(path, true), 0);
	assert_int_equal(v.number, 5);
	assert_string_equal(v.text, "b");
	assert_int_equal(v.n_links, 1);
	assert_int_equal(v.link[0].priority, 1);
	assert_true(v.link[0].wireless);
	put("a.conf.d/20.conf", "[ama]\n\nnumbr = 5\n");
	assert_int_equal(read_path(path, true), 1);
	assert_non_null(strstr(faults, "/a.conf.d/20.conf:3: unknown key 'numbr' in [ama]; did you mean 'number'?\n"));
	/* without the file itself */
	put("a.conf.d/20.conf", "");
	(void)unlink(path);
	assert_int_equal(read_path(path, false), 0);
	assert_int_equal(v.number, 4);
}

/* A directory opens, but cannot be read. */
static void not_a_file(void **state)
{
	(void)state;
	assert_int_equal(read_path(dir, true), 1);
	assert_non_null(strstr(faults, dir));
}

/* A fault in a file whose name alone is longer than any sentence. */
static void a_long_name(void **state)
{
	char name[3000];
	FILE *f = fmemopen((void *)(uintptr_t) "[amma]\n", 7, "r");

	(void)state;
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	faults[0] = '\0';
	assert_int_equal(conf_read_stream(f, name, sections, settings, &v, on_fault, NULL), 1);
	(void)fclose(f);
	assert_non_null(strstr(faults, "nnn"));
}

/* What --help-config prints is a file that may be used as it is, and with all comments taken off. */
static void help(void **state)
{
	char text[4096] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");

	(void)state;
	conf_print_help(f, settings);
	(void)fclose(f);
	assert_non_null(strstr(text, "[ama]\n# A flag.\n#flag = yes\n"));
	for (const struct conf_setting *s = settings; s->section; s++) {
		char want[64];

		(void)snprintf(want, sizeof(want), "#%s = %s\n", s->key, s->preset ? s->preset : "");
		assert_non_null(strstr(text, want));
	}
	*strstr(text, "[interface]") = '\0';
	ok(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(presets),
		cmocka_unit_test(every_kind),
		cmocka_unit_test(faults_have_a_place),
		cmocka_unit_test(bad_values),
		cmocka_unit_test(lists_are_bounded),
		cmocka_unit_test(sections_with_a_name),
		cmocka_unit_test(sections_again),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(garbage),
		cmocka_unit_test_setup_teardown(files, setup, teardown),
		cmocka_unit_test_setup_teardown(not_a_file, setup, teardown),
		cmocka_unit_test(a_long_name),
		cmocka_unit_test(help),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
