/* SPDX-License-Identifier: GPL-2.0-or-later */
/* conf.c - configuration files, on libinih
 *
 * libinih gives section, key and value; the line comes from the reader below, which also refuses lines that libinih
 * would cut. Each fault is reported and reading goes on, so that a person sees all of them at once. */
#include "conf.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MOST 180 /* libinih's own limit is 200 */

struct reader {
	FILE *f;
	const char *name;
	const struct conf_section *sections;
	const struct conf_setting *settings;
	uint8_t *value;
	conf_fault_cb *fault;
	void *ctx;
	unsigned line, faults;
	char section[CONF_TEXT];       /* as in the file */
	const struct conf_section *in; /* of it, NULL = unknown (reported) */
	uint8_t *element;
	unsigned seen[512]; /* line on which each setting of this section was given */
};

static void fault(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fault(struct reader *r, const char *format, ...)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "%.511s:%u: ", r->name, r->line);
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
	va_end(ap);
	r->faults++;
	r->fault(r->ctx, text);
}

/* Edit distance, for "did you mean". */
static unsigned distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);
	unsigned row[64];

	if (la >= 64 || lb >= 64)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned corner = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned up = row[j], best = corner + (a[i - 1] != b[j - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			corner = up;
			row[j] = best;
		}
	}
	return row[lb];
}

static void nearest(const char *word, const char *candidate, const char **best, unsigned *least)
{
	unsigned d = distance(word, candidate);

	if (d < *least) {
		*least = d;
		*best = candidate;
	}
}

static int read_time(const char *text, uint64_t *ret_us)
{
	static const struct {
		const char *unit;
		uint64_t us;
	} units[] = {{"ms", 1000}, {"s", 1000000}, {"m", 60000000ULL}, {"h", 3600000000ULL}, {"d", 86400000000ULL}};
	char *end;
	unsigned long long n;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || n > 1000000000ULL)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit))
			continue;
		*ret_us = n * units[i].us;
		return 0;
	}
	return -EINVAL;
}

static const char *words_next(const char **at, char *buf, size_t size)
{
	size_t n;

	*at += strspn(*at, " \t,");
	n = strcspn(*at, " \t,");
	if (n == 0)
		return NULL;
	if (n >= size)
		n = size - 1;
	memcpy(buf, *at, n);
	buf[n] = '\0';
	*at += strcspn(*at, " \t,");
	return buf;
}

/* Put one value where it belongs. r NULL: a default from the table, which is right. */
static void store(struct reader *r, const struct conf_setting *s, uint8_t *base, const char *text)
{
	void *to = base + s->offset;
	char word[CONF_TEXT];

	switch (s->kind) {
	case CONF_BOOL: {
		static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};

		for (int i = 0; i < 4; i++) {
			if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
				*(bool *)to = !strcmp(text, yes[i]);
				return;
			}
		}
		fault(r, "'%s' is not a value for %s: yes or no", text, s->key);
		return;
	}
	case CONF_UINT: {
		char *end;
		unsigned long long n;

		errno = 0;
		n = strtoull(text, &end, 10);
		if (*text < '0' || *text > '9' || *end || errno || n < s->min || n > s->max) {
			fault(r, "'%s' is not a value for %s: a number from %llu to %llu", text, s->key,
				(unsigned long long)s->min, (unsigned long long)s->max);
			return;
		}
		*(uint32_t *)to = (uint32_t)n;
		return;
	}
	case CONF_TIME: {
		uint64_t us;

		if (read_time(text, &us) < 0 || us < s->min * 1000000 || us > s->max * 1000000) {
			fault(r, "'%s' is not a value for %s: a time with unit ms, s, m, h or d, from %llus to %llus",
				text, s->key, (unsigned long long)s->min, (unsigned long long)s->max);
			return;
		}
		*(uint64_t *)to = us;
		return;
	}
	case CONF_STRING:
		if (strlen(text) >= CONF_TEXT) {
			fault(r, "the value of %s is longer than %d bytes", s->key, CONF_TEXT - 1);
			return;
		}
		(void)snprintf(to, CONF_TEXT, "%s", text);
		return;
	case CONF_CHOICE: {
		const char *at = s->preset;

		*(unsigned *)to = 0;
		for (unsigned i = 0; r && words_next(&at, word, sizeof(word)); i++) {
			*(unsigned *)to = i;
			if (!strcmp(text, word))
				return;
		}
		if (r)
			fault(r, "'%s' is not a value for %s: one of %s", text, s->key, s->preset);
		return;
	}
	case CONF_ADDRESS:
		if (inet_pton(AF_INET6, text, to) != 1)
			fault(r, "'%s' is not a value for %s: an IPv6 address", text, s->key);
		return;
	case CONF_PREFIXES: {
		struct conf_prefixes *list = to;

		while (words_next(&text, word, sizeof(word))) {
			if (list->n == CONF_LIST)
				fault(r, "%s has more than %d values", s->key, CONF_LIST);
			else if (prefix6_parse(word, &list->prefix[list->n]) < 0)
				fault(r,
					"'%s' is not a value for %s: an IPv6 prefix as 2001:db8:1::/48, with no bits set behind its length",
					word, s->key);
			else
				list->n++;
		}
		return;
	}
	case CONF_WORDS: {
		struct conf_words *list = to;

		while (words_next(&text, word, sizeof(word))) {
			if (list->n == CONF_LIST) {
				fault(r, "%s has more than %d values", s->key, CONF_LIST);
				return;
			}
			if (strlen(word) >= sizeof(list->word[0])) {
				fault(r, "'%s' is longer than the %zu bytes that a word of %s may have", word,
					sizeof(list->word[0]) - 1, s->key);
				continue;
			}
			memcpy(list->word[list->n++], word, strlen(word) + 1);
		}
		return;
	}
	}
}

static void preset_section(const struct conf_setting *settings, const char *section, uint8_t *base)
{
	for (const struct conf_setting *s = settings; s->section; s++)
		if (!strcmp(s->section, section) && s->preset)
			store(NULL, s, base, s->preset);
}

void conf_preset(const struct conf_section *sections, const struct conf_setting *settings, void *value)
{
	for (const struct conf_section *c = sections; c->name; c++)
		if (!c->argument)
			preset_section(settings, c->name, (uint8_t *)value + c->offset);
}

/* A line "[section]" was reached: find what it fills. */
static void enter_section(struct reader *r, const char *text)
{
	const char *best = NULL, *space = strchr(text, ' ');
	size_t n = space ? (size_t)(space - text) : strlen(text);
	unsigned least = 4;

	(void)snprintf(r->section, sizeof(r->section), "%s", text);
	r->in = NULL;
	for (const struct conf_section *c = r->sections; c->name; c++) {
		unsigned *count;

		if (strlen(c->name) != n || strncmp(c->name, text, n)) {
			char word[CONF_TEXT];

			(void)snprintf(word, sizeof(word), "%.*s", (int)n, text);
			nearest(word, c->name, &best, &least);
			continue;
		}
		if (c->argument != (space && space[1])) {
			fault(r,
				c->argument ? "section [%s] needs a name, as [%s wlan0]"
					    : "section [%s] takes no name: write [%s]",
				text, c->name);
			return;
		}
		r->in = c;
		r->element = r->value + c->offset;
		if (!c->argument)
			return;
		for (size_t i = 0; r->settings[i].section; i++) /* another element: nothing was given for it yet */
			if (!strcmp(r->settings[i].section, c->name))
				r->seen[i] = 0;
		count = (unsigned *)(void *)(r->value + c->count_offset);
		for (unsigned i = 0; i < *count; i++) { /* the same one again adds to it */
			r->element = r->value + c->offset + i * c->size;
			if (!strcmp((const char *)r->element, space + 1))
				return;
		}
		if (*count == c->max) {
			fault(r, "more than %u sections [%s ...]", c->max, c->name);
			r->in = NULL;
			return;
		}
		r->element = r->value + c->offset + (*count)++ * c->size;
		(void)snprintf((char *)r->element, CONF_TEXT, "%s", space + 1);
		preset_section(r->settings, c->name, r->element);
		return;
	}
	fault(r, "unknown section [%s]%s%s%s", text, best ? "; did you mean [" : "", best ? best : "",
		best ? "]?" : "");
}

static int handle(void *user, const char *section, const char *key, const char *value)
{
	struct reader *r = user;
	const char *best = NULL;
	unsigned least = 4;
	size_t i = 0;

	(void)section; /* next_line has it, and not cut to 50 bytes */
	if (!*r->section) {
		fault(r, "'%s' stands before the first [section]", key);
		return 1;
	}
	if (!r->in)
		return 1; /* reported with its section */
	for (const struct conf_setting *s = r->settings; s->section; s++, i++) {
		if (strcmp(s->section, r->in->name))
			continue;
		if (strcmp(s->key, key)) {
			nearest(key, s->key, &best, &least);
			continue;
		}
		if (r->seen[i] && s->kind != CONF_PREFIXES && s->kind != CONF_WORDS) {
			fault(r, "%s was already given on line %u", key, r->seen[i]);
			return 1;
		}
		if ((s->kind == CONF_PREFIXES || s->kind == CONF_WORDS) && !r->seen[i])
			*(unsigned *)(void *)(r->element + s->offset) = 0; /* the first line replaces the default */
		r->seen[i] = r->line;
		store(r, s, r->element, value);
		return 1;
	}
	fault(r, "unknown key '%s' in [%s]%s%s%s", key, r->in->name, best ? "; did you mean '" : "", best ? best : "",
		best ? "'?" : " (--help-config lists all)");
	return 1;
}

/* A line that begins a section. What is none is a fault, and the keys behind it are nobody's. */
static void read_section(struct reader *r, const char *line)
{
	const char *end = strchr(line, ']'), *rest;
	char text[CONF_TEXT];

	rest = end ? end + 1 + strspn(end + 1, " \t\r\n") : NULL;
	if (!end || end == line + 1 || (*rest && !strchr("#;", *rest))) {
		(void)snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\r\n"), line);
		(void)snprintf(r->section, sizeof(r->section), "%s", text);
		r->in = NULL;
		fault(r, "'%s' is not a section: write [name], and nothing behind it but a comment", text);
		return;
	}
	(void)snprintf(text, sizeof(text), "%.*s", (int)(end - line - 1), line + 1);
	if (strcmp(text, r->section))
		enter_section(r, text);
}

/* One line for libinih. Sections are read here: also those that have no keys behind them, and whatever their length. */
static char *next_line(char *buf, int size, void *stream)
{
	struct reader *r = stream;
	size_t n;
	char *p;

	for (;;) {
		if (!fgets(buf, size, r->f))
			return NULL;
		r->line++;
		n = strlen(buf);
		if (n > LINE_MOST) {
			int c;

			fault(r, "line is longer than %d bytes", LINE_MOST);
			if (buf[n - 1] != '\n')
				while ((c = fgetc(r->f)) != EOF && c != '\n')
					;
			continue;
		}
		if ((n == 0 || buf[n - 1] != '\n') && !feof(r->f)) {
			fault(r, "there is a NUL byte in this line");
			continue;
		}
		break;
	}
	p = buf + strspn(buf, " \t");
	if (*p == '[') {
		read_section(r, p);
		(void)snprintf(buf, (size_t)size, "[section]\n"); /* libinih only has to know that there is one */
	} else if (*p && !strchr("#;\r\n", *p) && !strpbrk(p, "=:")) {
		p[strcspn(p, "\r\n")] = '\0';
		fault(r, "'%s' is neither a section nor 'key = value'", p);
		buf[0] = '\n';
		buf[1] = '\0';
	} else {
		/* libinih would take a line that begins with a blank as the continuation of the one before */
		memmove(buf, p, strlen(p) + 1);
	}
	return buf;
}

unsigned conf_read_stream(FILE *f, const char *name, const struct conf_section *sections,
	const struct conf_setting *settings, void *value, conf_fault_cb *fault_cb, void *ctx)
{
	struct reader r = {.f = f,
		.name = name,
		.sections = sections,
		.settings = settings,
		.value = value,
		.fault = fault_cb,
		.ctx = ctx};

	(void)ini_parse_stream(next_line, &r, handle, &r);
	if (ferror(f))
		fault(&r, "cannot be read on: %s", strerror(errno));
	return r.faults;
}

static unsigned read_file(const char *path, bool required, const struct conf_section *sections,
	const struct conf_setting *settings, void *value, conf_fault_cb *fault_cb, void *ctx)
{
	FILE *f = fopen(path, "re");
	char text[512];
	unsigned n;

	if (!f) {
		if (errno == ENOENT && !required)
			return 0;
		(void)snprintf(text, sizeof(text), "%s: cannot be read: %s", path, strerror(errno));
		fault_cb(ctx, text);
		return 1;
	}
	n = conf_read_stream(f, path, sections, settings, value, fault_cb, ctx);
	(void)fclose(f);
	return n;
}

static int is_conf(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return n > 5 && d->d_name[0] != '.' && !strcmp(d->d_name + n - 5, ".conf");
}

unsigned conf_read(const char *path, bool required, const struct conf_section *sections,
	const struct conf_setting *settings, void *value, conf_fault_cb *fault_cb, void *ctx)
{
	struct dirent **list = NULL;
	char dir[512], file[1024];
	unsigned faults;
	int n;

	conf_preset(sections, settings, value);
	faults = read_file(path, required, sections, settings, value, fault_cb, ctx);
	(void)snprintf(dir, sizeof(dir), "%s.d", path);
	n = scandir(dir, &list, is_conf, alphasort);
	for (int i = 0; i < n; i++) {
		(void)snprintf(file, sizeof(file), "%s/%s", dir, list[i]->d_name);
		faults += read_file(file, true, sections, settings, value, fault_cb, ctx);
		free(list[i]);
	}
	free(list);
	return faults;
}

/* Bytes of a value; *ret_used: of them those that count. */
static size_t value_size(enum conf_kind kind, const void *value, size_t *ret_used)
{
	switch (kind) {
	case CONF_BOOL:
		return *ret_used = sizeof(bool);
	case CONF_UINT:
		return *ret_used = sizeof(uint32_t);
	case CONF_TIME:
		return *ret_used = sizeof(uint64_t);
	case CONF_STRING:
		*ret_used = strlen(value) + 1;
		return CONF_TEXT;
	case CONF_CHOICE:
		return *ret_used = sizeof(unsigned);
	case CONF_ADDRESS:
		return *ret_used = sizeof(struct in6_addr);
	case CONF_PREFIXES: {
		const struct conf_prefixes *list = value;

		*ret_used = offsetof(struct conf_prefixes, prefix) + list->n * sizeof(list->prefix[0]);
		return sizeof(*list);
	}
	case CONF_WORDS:
		break;
	}
	return *ret_used = sizeof(struct conf_words);
}

unsigned conf_keep(const struct conf_section *sections, const struct conf_setting *settings, const void *running,
	void *fresh, char *names, size_t size)
{
	unsigned n = 0;

	names[0] = '\0';
	for (const struct conf_setting *s = settings; s->section; s++) {
		const struct conf_section *c = sections;
		const uint8_t *old;
		uint8_t *new;
		size_t whole, used, used_new;

		while (c->name && strcmp(c->name, s->section))
			c++;
		if (!s->at_start || !c->name || c->argument)
			continue;
		old = (const uint8_t *)running + c->offset + s->offset;
		new = (uint8_t *)fresh + c->offset + s->offset;
		whole = value_size(s->kind, old, &used);
		(void)value_size(s->kind, new, &used_new);
		if (used == used_new && !memcmp(old, new, used))
			continue;
		memcpy(new, old, whole);
		(void)snprintf(names + strlen(names), size - strlen(names), "%s%s", n++ ? ", " : "", s->key);
	}
	return n;
}

void conf_print_help(FILE *f, const struct conf_setting *settings)
{
	const char *section = "";

	for (const struct conf_setting *s = settings; s->section; s++) {
		if (strcmp(section, s->section))
			(void)fprintf(f, "%s[%s]\n", *section ? "\n" : "", s->section);
		section = s->section;
		(void)fprintf(f, "# %s", s->help);
		if (s->kind == CONF_CHOICE)
			(void)fprintf(f, ": one of %s", s->preset);
		(void)fprintf(f, "%s\n#%s = %.*s\n", s->at_start ? " (read only at the start)" : "", s->key,
			s->kind == CONF_CHOICE ? (int)strcspn(s->preset, " ") : CONF_TEXT, s->preset ? s->preset : "");
	}
}
