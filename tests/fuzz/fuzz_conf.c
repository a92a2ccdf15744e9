/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_conf.c - a configuration file of any bytes
 *
 * Nothing may be written outside of the value, every fault has a place and one line, and faults are counted right. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct element {
	char name[CONF_TEXT];
	uint32_t number;
	struct conf_words words;
	uint64_t guard;
};

struct value {
	uint64_t guard[2];
	uint32_t number;
	uint64_t time_us;
	bool flag;
	char text[CONF_TEXT];
	struct in6_addr address;
	struct conf_prefixes prefixes;
	struct conf_words words;
	struct element element[4];
	unsigned n_elements;
	uint64_t end;
};

#define GUARD UINT64_C(0x5ec7e75ec7e7)
#define AT(x) offsetof(struct value, x)

static const struct conf_section sections[] = {
	{.name = "ama"},
	{.name = "interface",
		.argument = true,
		.offset = AT(element),
		.size = sizeof(struct element),
		.count_offset = AT(n_elements),
		.max = 4},
	{0},
};
static const struct conf_setting settings[] = {
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
		.min = 1,
		.max = 3600},
	{.section = "ama", .key = "flag", .kind = CONF_BOOL, .offset = AT(flag), .preset = "yes"},
	{.section = "ama", .key = "text", .kind = CONF_STRING, .offset = AT(text)},
	{.section = "ama", .key = "anchor", .kind = CONF_ADDRESS, .offset = AT(address)},
	{.section = "ama", .key = "pool", .kind = CONF_PREFIXES, .offset = AT(prefixes)},
	{.section = "ama", .key = "words", .kind = CONF_WORDS, .offset = AT(words), .preset = "a b"},
	{.section = "interface",
		.key = "number",
		.kind = CONF_UINT,
		.offset = offsetof(struct element, number),
		.max = 9},
	{.section = "interface", .key = "words", .kind = CONF_WORDS, .offset = offsetof(struct element, words)},
	{0},
};

static void on_fault(void *ctx, const char *text)
{
	unsigned *n = ctx;
	unsigned line;

	if (sscanf(text, "f.conf:%u: ", &line) != 1 || strchr(text, '\n'))
		abort();
	++*n;
}

static void check_words(const struct conf_words *w)
{
	if (w->n > CONF_LIST)
		abort();
	for (unsigned i = 0; i < w->n; i++)
		if (!memchr(w->word[i], '\0', sizeof(w->word[i])))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct value v;
	unsigned n = 0;
	FILE *f;

	if (!len)
		return 0;
	f = fmemopen((void *)(uintptr_t)data, len, "r");
	if (!f)
		return 0;
	memset(&v, 0, sizeof(v));
	v.guard[0] = v.guard[1] = v.end = GUARD;
	for (unsigned i = 0; i < 4; i++)
		v.element[i].guard = GUARD;
	conf_preset(sections, settings, &v);
	if (conf_read_stream(f, "f.conf", sections, settings, &v, on_fault, &n) != n)
		abort();
	(void)fclose(f);
	if (v.guard[0] != GUARD || v.guard[1] != GUARD || v.end != GUARD || v.n_elements > 4 || v.number < 1 ||
		v.number > 100 || v.time_us < 1000000 || v.time_us > 3600000000 ||
		!memchr(v.text, '\0', sizeof(v.text)) || v.prefixes.n > CONF_LIST)
		abort();
	check_words(&v.words);
	for (unsigned i = 0; i < v.prefixes.n; i++)
		if (v.prefixes.prefix[i].len > 128)
			abort();
	for (unsigned i = 0; i < 4; i++) {
		check_words(&v.element[i].words);
		if (v.element[i].guard != GUARD || v.element[i].number > 9 || (i < v.n_elements && !*v.element[i].name))
			abort();
	}
	return 0;
}
