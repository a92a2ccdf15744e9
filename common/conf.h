/* SPDX-License-Identifier: GPL-2.0-or-later */
/* conf.h - configuration files: INI, table-driven, every fault located and explained
 *
 * A setting is one table row; help text, example file, parsing and the check of the manual go by the table. A whole
 * configuration is read into a new value; on any fault nothing of it is used. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "prefix6.h"

enum conf_kind {
	CONF_BOOL,     /* bool: yes, no (true, false, on, off, 1, 0) */
	CONF_UINT,     /* uint32_t within min..max */
	CONF_TIME,     /* uint64_t microseconds within min..max seconds; "90s", "10m", "24h", "500ms" */
	CONF_STRING,   /* char[CONF_TEXT] */
	CONF_CHOICE,   /* unsigned: index of the word in preset, which lists them all, the default first: "a b c" */
	CONF_ADDRESS,  /* struct in6_addr, unset = :: */
	CONF_PREFIXES, /* struct conf_prefixes: appended to by each line and each word */
	CONF_WORDS,    /* struct conf_words: likewise */
};

#define CONF_TEXT 256
#define CONF_LIST 32

struct conf_prefixes {
	unsigned n;
	struct prefix6 prefix[CONF_LIST];
};
struct conf_words {
	unsigned n;
	char word[CONF_LIST][64];
};

struct conf_setting {
	const char *section; /* NULL ends the table */
	const char *key;
	enum conf_kind kind;
	size_t offset;	    /* in the value that the section fills */
	const char *preset; /* default, as text; NULL = unset */
	uint64_t min, max;  /* CONF_UINT, CONF_TIME (seconds) */
	const char *help;
	bool at_start; /* read only when the program starts: conf_keep */
};

/* Sections with an argument, as [interface wlan0], fill an element of an array each. */
struct conf_section {
	const char *name;    /* NULL ends the table */
	bool argument;	     /* "[name ARGUMENT]": CONF_TEXT bytes at the beginning of each element */
	size_t offset, size; /* of the array's first element in the whole value, and of an element */
	size_t count_offset; /* of the unsigned that counts elements */
	unsigned max;
};

/* Called for each fault with a line "FILE:LINE: what, and what is allowed". */
typedef void conf_fault_cb(void *ctx, const char *text);

/* Fill value (zeroed by the caller, its layout as the tables say) with defaults, then from path, then from
 * path.d/NAME.conf in the order of their names. A missing path is a fault only if required. Returns the number of
 * faults; each was reported. */
unsigned conf_read(const char *path, bool required, const struct conf_section *sections,
	const struct conf_setting *settings, void *value, conf_fault_cb *fault, void *ctx);
/* The same from one stream, for tests and fuzzing. */
unsigned conf_read_stream(FILE *f, const char *name, const struct conf_section *sections,
	const struct conf_setting *settings, void *value, conf_fault_cb *fault, void *ctx);
/* Set the defaults only. */
void conf_preset(const struct conf_section *sections, const struct conf_setting *settings, void *value);
/* A configuration was read again: where settings that are read only at the start differ between running and fresh,
 * fresh gets back what is running, and names (size bytes) the keys: "port, user", cut if they are too many. Returns how
 * many. Of sections without an argument only. */
unsigned conf_keep(const struct conf_section *sections, const struct conf_setting *settings, const void *running,
	void *fresh, char *names, size_t size);
/* Every setting with its help and default, as a commented file. */
void conf_print_help(FILE *f, const struct conf_setting *settings);
