/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mhjson.c - mobility header <-> JSON, both by the table of mh.c */
#include "mhjson.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_MAX (2 * MH_MAX_LEN + 1)
#define KEY_MAX 64

/* Members that describe the packet around the message, for people. */
static const char *const packet_keys[] = {
	"packet", "time", "src", "dst", "home_address_option", "type_2_routing_header", "checksum_ok", NULL};
static const char *const message_keys[] = {
	"type", "name", "header_reserved", "checksum", "explicit_padding", "options", NULL};
static const char *const option_keys[] = {"type", "name", NULL};
static const char *const pad_keys[] = {"type", "name", "length", "data", NULL};
static const char *const vendor_keys[] = {"subtype_name", NULL};

static const struct mh_field no_fields[] = {{0}};
static const struct mh_field any_fields[] = {{.name = "data", .kind = MH_BYTES}, {0}};
/* of an option that the table does not have */
static const struct mh_layout unknown_option = {.name = "unknown", .repeats = true, .fields = any_fields};

/* --- hex ------------------------------------------------------------------------------------------------------- */

static void hex_write(const uint8_t *p, size_t len, char ret[HEX_MAX])
{
	for (size_t i = 0; i < len; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", p[i]);
	ret[2 * len] = '\0';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool hex_put(struct wcur *w, const char *text)
{
	for (; *text; text += 2) {
		int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

		if (low < 0)
			return false;
		wcur_u8(w, (uint8_t)(high << 4 | low));
	}
	return true;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* --- message -> JSON -------------------------------------------------------------------------------------------- */

static json_t *hex_value(const uint8_t *p, size_t len)
{
	char buf[HEX_MAX];

	hex_write(p, len, buf);
	return json_string(buf);
}

static uint64_t number(struct rcur *c, size_t size)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v = v << 8 | rcur_u8(c);
	return v;
}

static json_t *flags_value(const struct mh_flag *flags, uint64_t v)
{
	json_t *array = json_array();

	for (const struct mh_flag *f = flags; f->name; f++) {
		if (v & f->bit)
			(void)json_array_append_new(array, json_string(f->name));
		v &= ~(uint64_t)f->bit;
	}
	if (v) { /* unassigned bits, together */
		char buf[24];

		(void)snprintf(buf, sizeof(buf), "0x%llx", (unsigned long long)v);
		(void)json_array_append_new(array, json_string(buf));
	}
	return array;
}

/* Text that a person can read and JSON can hold: UTF-8 without control characters. */
static json_t *text_value(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] < 0x20 || p[i] == 0x7f)
			return NULL;
	return json_stringn((const char *)p, len); /* NULL if it is not UTF-8 */
}

static void get_fields(json_t *obj, const struct mh_field *f, struct rcur *c)
{
	for (; f->kind != MH_END; f++) {
		char key[KEY_MAX];
		struct in6_addr addr;
		char text[INET6_ADDRSTRLEN];
		size_t len = f->size ? f->size : rcur_left(c);
		const uint8_t *p;
		const char *name;
		uint64_t v;
		json_t *value;

		switch (f->kind) {
		case MH_RESERVED:
			p = rcur_take(c, len);
			if (p && !is_zero(p, len))
				(void)json_object_set_new(obj, f->name, hex_value(p, len));
			break;
		case MH_UINT:
		case MH_PLEN:
		case MH_ALEN:
			v = number(c, len);
			(void)json_object_set_new(obj, f->name, json_integer((json_int_t)v));
			name = f->value_name ? f->value_name((uint8_t)v) : NULL;
			(void)snprintf(key, sizeof(key), "%s_name", f->name);
			if (name)
				(void)json_object_set_new(obj, key, json_string(name));
			break;
		case MH_TIME4:
			(void)json_object_set_new(obj, f->name, json_integer((json_int_t)number(c, len) * 4));
			break;
		case MH_FLAGS:
			(void)json_object_set_new(obj, f->name, flags_value(f->flags, number(c, len)));
			break;
		case MH_ADDRESS:
			rcur_in6(c, &addr);
			(void)json_object_set_new(
				obj, f->name, json_string(inet_ntop(AF_INET6, &addr, text, sizeof(text))));
			break;
		case MH_TEXT:
			p = rcur_take(c, len);
			value = text_value(p, len);
			(void)snprintf(key, sizeof(key), "%s%s", f->name, value ? "" : "_hex");
			(void)json_object_set_new(obj, key, value ? value : hex_value(p, len));
			break;
		case MH_BYTES:
			p = rcur_take(c, len);
			(void)json_object_set_new(obj, f->name, hex_value(p, len));
			break;
		case MH_END:
			break;
		}
	}
}

static json_t *option_value(const struct mh_option *opt)
{
	const struct mh_layout *layout = mh_layout_option(opt->type), *ours = NULL;
	struct rcur c = rcur_make(opt->data, opt->len), v = c;
	uint32_t enterprise = rcur_u32(&v);
	uint8_t subtype = rcur_u8(&v);
	json_t *obj = json_object();

	if (!layout)
		layout = &unknown_option;
	(void)json_object_set_new(obj, "type", json_integer(opt->type));
	(void)json_object_set_new(obj, "name", json_string(layout->name));
	if (opt->type == MHOPT_VENDOR && enterprise == DMM_ENTERPRISE)
		ours = mh_layout_vendor(subtype);
	if (!ours) {
		get_fields(obj, layout->fields, &c);
		return obj;
	}
	(void)json_object_set_new(obj, "vendor", json_integer(enterprise));
	(void)json_object_set_new(obj, "subtype", json_integer(subtype));
	(void)json_object_set_new(obj, "subtype_name", json_string(ours->name));
	get_fields(obj, ours->fields, &v);
	return obj;
}

/* The padding between two places of a message. */
static void get_padding(json_t *array, struct rcur *c, const uint8_t *until)
{
	while (rcur_left(c) > 0 && c->pos < until) {
		json_t *obj = json_object();
		uint8_t type = rcur_u8(c), len;
		const uint8_t *p;

		(void)json_object_set_new(obj, "type", json_integer(type));
		(void)json_object_set_new(obj, "name", json_string(type == MHOPT_PAD1 ? "pad1" : "padn"));
		if (type != MHOPT_PAD1) {
			len = rcur_u8(c);
			p = rcur_take(c, len);
			(void)json_object_set_new(obj, "length", json_integer(len));
			if (p && !is_zero(p, len))
				(void)json_object_set_new(obj, "data", hex_value(p, len));
		}
		(void)json_array_append_new(array, obj);
	}
}

static json_t *message_value(const struct mh_msg *m, bool with_padding)
{
	struct rcur c = rcur_make(m->bytes, m->len), first;
	json_t *obj = json_object(), *array = json_array();
	const struct mh_layout *layout;
	uint8_t reserved;
	char buf[8];
	bool open;

	rcur_skip(&c, 3);
	reserved = rcur_u8(&c);
	rcur_skip(&c, 2);
	first = c;
	layout = mh_layout_message(m->type, rcur_u8(&first));
	(void)json_object_set_new(obj, "type", json_integer(m->type));
	(void)json_object_set_new(obj, "name", json_string(layout->name));
	if (reserved)
		(void)json_object_set_new(obj, "header_reserved", json_integer(reserved));
	(void)snprintf(buf, sizeof(buf), "0x%04x", m->checksum);
	(void)json_object_set_new(obj, "checksum", json_string(buf));
	get_fields(obj, layout->fields, &c);
	if (with_padding)
		(void)json_object_set_new(obj, "explicit_padding", json_true());
	for (unsigned i = 0; i < m->n_options; i++) {
		const struct mh_option *opt = &m->options[i];

		if (with_padding)
			get_padding(array, &c, opt->data - 2);
		rcur_skip(&c, (size_t)(opt->data + opt->len - c.pos));
		(void)json_array_append_new(array, option_value(opt));
	}
	if (with_padding)
		get_padding(array, &c, m->bytes + m->len);
	(void)mh_layout_size(layout, &open);
	if (open) /* no room for options */
		json_decref(array);
	else
		(void)json_object_set_new(obj, "options", array);
	return obj;
}

json_t *mhjson_from_message(const struct mh_msg *m)
{
	uint8_t buf[MH_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));
	char err[MHJSON_ERR];
	json_t *obj = message_value(m, false);

	/* is this what a writer of ours would have sent? */
	if (obj && mhjson_to_message(obj, &w, err) == 0 && wcur_len(&w) == m->len && memcmp(buf, m->bytes, m->len) == 0)
		return obj;
	json_decref(obj);
	return message_value(m, true);
}

/* --- JSON -> message ------------------------------------------------------------------------------------------- */

/* Where we are, for the sentence when something is wrong. */
struct place {
	char *reterr;
	size_t option; /* 1..; 0 = the message itself */
	const char *name;
};

__attribute__((format(printf, 3, 4))) static int fault(const struct place *at, const char *key, const char *format, ...)
{
	char where[KEY_MAX + 32] = "", why[120], shown[KEY_MAX];
	size_t n = 0;
	va_list ap;

	/* a key is text from outside */
	for (; key && key[n] && n < sizeof(shown) - 1; n++)
		shown[n] = key[n] >= 0x20 && key[n] < 0x7f ? key[n] : '?';
	shown[n] = '\0';
	va_start(ap, format);
	(void)vsnprintf(why, sizeof(why), format, ap);
	va_end(ap);
	if (at->option)
		(void)snprintf(where, sizeof(where), "option %zu%s%s: ", at->option, at->name ? ", " : "",
			at->name ? at->name : "");
	(void)snprintf(at->reterr, MHJSON_ERR, "%s%s%s%s", where, shown, n ? ": " : "", why);
	return -EINVAL;
}

static bool in_list(const char *const *list, const char *key)
{
	for (; *list; list++)
		if (!strcmp(*list, key))
			return true;
	return false;
}

static bool in_fields(const struct mh_field *f, const char *key)
{
	for (; f->kind != MH_END; f++) {
		size_t n = strlen(f->name);

		if (strncmp(f->name, key, n) != 0)
			continue;
		if (!key[n] || (f->value_name && !strcmp(key + n, "_name")) ||
			(f->kind == MH_TEXT && !strcmp(key + n, "_hex")))
			return true;
	}
	return false;
}

static int check_keys(const struct place *at, const json_t *obj, const char *const *list, const char *const *more,
	const struct mh_field *fields, const struct mh_field *more_fields)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)obj, key, value)
	{
		if (!in_list(list, key) && !(more && in_list(more, key)) && !in_fields(fields, key) &&
			!(more_fields && in_fields(more_fields, key)))
			return fault(at, key, "there is no such field here");
	}
	return 0;
}

static int get_number(const struct place *at, const json_t *obj, const char *key, uint64_t max, uint64_t *ret)
{
	const json_t *value = json_object_get(obj, key);

	if (!value)
		return fault(at, key, "missing");
	if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t)json_integer_value(value) > max)
		return fault(at, key, "must be a number from 0 to %llu", (unsigned long long)max);
	*ret = (uint64_t)json_integer_value(value);
	return 0;
}

/* A string without NUL inside. NULL with the fault told if it is none. */
static const char *get_text(const struct place *at, const json_t *obj, const char *key, const char *what)
{
	const json_t *value = json_object_get(obj, key);
	const char *text = json_string_value(value);

	if (!value)
		(void)fault(at, key, "missing");
	else if (!text || strlen(text) != json_string_length(value)) {
		(void)fault(at, key, "must be %s", what);
		return NULL;
	}
	return text;
}

/* Hex digits of exactly size bytes; 0 = any number. */
static int put_hex(const struct place *at, const json_t *obj, const char *key, size_t size, struct wcur *w)
{
	const char *text = get_text(at, obj, key, "a string of hex digits");
	size_t before = wcur_len(w);

	if (!text)
		return -EINVAL;
	if (!hex_put(w, text))
		return fault(at, key, "must be hex digits, two a byte");
	if (!wcur_ok(w))
		return fault(at, key, "too long");
	if (size && wcur_len(w) - before != size)
		return fault(at, key, "must be %zu bytes in hex, not %zu", size, wcur_len(w) - before);
	return 0;
}

static void put_number(struct wcur *w, uint64_t v, size_t size)
{
	while (size-- > 0)
		wcur_u8(w, (uint8_t)(v >> (8 * size)));
}

static uint64_t max_of(size_t size)
{
	return (1ULL << (8 * size)) - 1; /* no field of the table has more than 6 bytes */
}

static int get_flags(const struct place *at, const json_t *obj, const struct mh_field *f, uint64_t *ret)
{
	const json_t *array = json_object_get(obj, f->name);
	size_t i;
	json_t *value;

	*ret = 0;
	if (!json_is_array(array))
		return fault(at, f->name, "must be an array of flag names");
	json_array_foreach(array, i, value)
	{
		const char *text = json_string_value(value);
		const struct mh_flag *flag = f->flags;
		unsigned long long bits;
		char *end;

		while (text && flag->name && strcmp(flag->name, text) != 0)
			flag++;
		if (text && flag->name) {
			*ret |= flag->bit;
			continue;
		}
		errno = 0;
		bits = text && !strncmp(text, "0x", 2) ? strtoull(text, &end, 16) : 0;
		if (!bits || *end || errno || bits > max_of(f->size))
			return fault(
				at, f->name, "element %zu is neither a flag of this message nor bits like \"0x1\"", i);
		*ret |= bits;
	}
	return 0;
}

static int put_field(const struct place *at, const json_t *obj, const struct mh_field *f, struct wcur *w)
{
	char key[KEY_MAX];
	struct in6_addr addr;
	const char *text;
	uint64_t v;

	switch (f->kind) {
	case MH_RESERVED:
		if (json_object_get(obj, f->name))
			return put_hex(at, obj, f->name, f->size, w);
		wcur_zero(w, f->size);
		return 0;
	case MH_UINT:
	case MH_PLEN:
	case MH_ALEN:
		if (get_number(at, obj, f->name, f->kind == MH_UINT ? max_of(f->size) : 128, &v) < 0)
			return -EINVAL;
		put_number(w, v, f->size);
		return 0;
	case MH_TIME4:
		if (get_number(at, obj, f->name, 4 * max_of(f->size), &v) < 0)
			return -EINVAL;
		if (v % 4)
			return fault(at, f->name, "must be a multiple of 4 seconds");
		put_number(w, v / 4, f->size);
		return 0;
	case MH_FLAGS:
		if (get_flags(at, obj, f, &v) < 0)
			return -EINVAL;
		put_number(w, v, f->size);
		return 0;
	case MH_ADDRESS:
		text = get_text(at, obj, f->name, "an IPv6 address");
		if (!text)
			return -EINVAL;
		if (inet_pton(AF_INET6, text, &addr) != 1)
			return fault(at, f->name, "must be an IPv6 address");
		wcur_in6(w, &addr);
		return 0;
	case MH_TEXT:
		(void)snprintf(key, sizeof(key), "%s_hex", f->name);
		if (json_object_get(obj, key))
			return put_hex(at, obj, key, 0, w);
		text = get_text(at, obj, f->name, "text");
		if (!text)
			return -EINVAL;
		wcur_bytes(w, text, strlen(text));
		return wcur_ok(w) ? 0 : fault(at, f->name, "too long");
	case MH_BYTES:
		return put_hex(at, obj, f->name, f->size, w);
	case MH_END:
		break;
	}
	return 0;
}

static int put_fields(const struct place *at, const json_t *obj, const struct mh_field *f, struct wcur *w)
{
	for (; f->kind != MH_END; f++)
		if (put_field(at, obj, f, w) < 0)
			return -EINVAL;
	return wcur_ok(w) ? 0 : fault(at, NULL, "too long");
}

/* "type" and "name": one is enough, two must agree. *ret_type < 0 if there is no "type". */
static int get_type(const struct place *at, const json_t *obj, const char **ret_name, int *ret_type)
{
	uint64_t v;

	*ret_type = -1;
	*ret_name = NULL;
	if (!json_is_object(obj))
		return fault(at, NULL, "must be a JSON object");
	if (json_object_get(obj, "type")) {
		if (get_number(at, obj, "type", 255, &v) < 0)
			return -EINVAL;
		*ret_type = (int)v;
	}
	if (json_object_get(obj, "name")) {
		*ret_name = get_text(at, obj, "name", "a name");
		if (!*ret_name)
			return -EINVAL;
	}
	if (*ret_type < 0 && !*ret_name)
		return fault(at, NULL, "\"type\" or \"name\" is needed");
	return 0;
}

static int put_pad(struct place *at, const json_t *obj, int type, bool explicit, struct wcur *w)
{
	uint64_t len;

	at->name = type == MHOPT_PAD1 ? "pad1" : "padn";
	if (!explicit)
		return fault(at, NULL, "padding is put in by itself, unless \"explicit_padding\" is true");
	if (check_keys(at, obj, pad_keys, NULL, no_fields, NULL) < 0)
		return -EINVAL;
	wcur_u8(w, (uint8_t)type);
	if (type == MHOPT_PAD1)
		return 0;
	if (get_number(at, obj, "length", 255, &len) < 0)
		return -EINVAL;
	wcur_u8(w, (uint8_t)len);
	if (json_object_get(obj, "data") && len)
		return put_hex(at, obj, "data", len, w);
	wcur_zero(w, len);
	return 0;
}

static int put_option(struct place *at, const json_t *obj, bool explicit, struct mh_writer *m)
{
	const struct mh_layout *layout = NULL, *table, *ours = NULL;
	uint8_t data[255];
	struct wcur w = wcur_make(data, sizeof(data));
	const char *name;
	uint64_t enterprise = 0, subtype = 0;
	size_t n;
	int type;

	if (get_type(at, obj, &name, &type) < 0)
		return -EINVAL;
	if (type < 0 && (!strcmp(name, "pad1") || !strcmp(name, "padn")))
		type = !strcmp(name, "pad1") ? MHOPT_PAD1 : MHOPT_PADN;
	if (type == MHOPT_PAD1 || type == MHOPT_PADN)
		return put_pad(at, obj, type, explicit, m->w);
	table = mh_layout_options(&n);
	for (size_t i = 0; i < n && !layout; i++)
		if (type < 0 ? !strcmp(table[i].name, name) : table[i].type == type)
			layout = &table[i];
	if (!layout && type < 0)
		return fault(at, "name", "there is no such option");
	if (!layout)
		layout = &unknown_option;
	if (name && strcmp(name, layout->name) != 0)
		return fault(at, "name", "type %d is %s", type, layout->name);
	at->name = layout->name;
	if (layout->type == MHOPT_VENDOR && layout != &unknown_option) {
		if (get_number(at, obj, "vendor", UINT32_MAX, &enterprise) < 0 ||
			get_number(at, obj, "subtype", 255, &subtype) < 0)
			return -EINVAL;
		/* its fields, unless somebody wants to give the bytes */
		if (enterprise == DMM_ENTERPRISE && !json_object_get(obj, "data"))
			ours = mh_layout_vendor((uint8_t)subtype);
	}
	if (ours) {
		if (check_keys(at, obj, option_keys, vendor_keys, layout->fields, ours->fields) < 0)
			return -EINVAL;
		wcur_u32(&w, (uint32_t)enterprise);
		wcur_u8(&w, (uint8_t)subtype);
		if (put_fields(at, obj, ours->fields, &w) < 0)
			return -EINVAL;
	} else {
		if (check_keys(at, obj, option_keys, NULL, layout->fields, NULL) < 0 ||
			put_fields(at, obj, layout->fields, &w) < 0)
			return -EINVAL;
	}
	if (layout != &unknown_option)
		type = layout->type;
	if (!explicit)
		mh_align(m, mh_layout_option((uint8_t)type), (uint8_t)wcur_len(&w));
	wcur_u8(m->w, (uint8_t)type);
	wcur_u8(m->w, (uint8_t)wcur_len(&w));
	wcur_bytes(m->w, data, wcur_len(&w));
	return 0;
}

/* A number, or hex with 0x in front. */
static int get_checksum(const struct place *at, const json_t *obj, uint16_t *ret)
{
	const char *text = json_string_value(json_object_get(obj, "checksum"));
	unsigned long v;
	uint64_t n;
	char *end;

	*ret = 0;
	if (!json_object_get(obj, "checksum"))
		return 0;
	if (!text) {
		if (get_number(at, obj, "checksum", 0xffff, &n) < 0)
			return -EINVAL;
		*ret = (uint16_t)n;
		return 0;
	}
	errno = 0;
	v = strtoul(text, &end, 16);
	if (strncmp(text, "0x", 2) != 0 || !text[2] || *end || errno || v > 0xffff)
		return fault(at, "checksum", "must be a number or like \"0x71e4\"");
	*ret = (uint16_t)v;
	return 0;
}

/* The message's row: by name, or by type and the first number of its data. */
static int get_layout(const struct place *at, const json_t *obj, const struct mh_layout **ret)
{
	const char *name;
	const struct mh_layout *table;
	uint64_t first = 0;
	size_t n;
	int type;

	if (get_type(at, obj, &name, &type) < 0)
		return -EINVAL;
	table = mh_layout_messages(&n);
	for (size_t i = 0; i < n; i++) {
		if (name ? strcmp(table[i].name, name) != 0 : table[i].type != type)
			continue;
		if (type >= 0 && table[i].type != type)
			return fault(at, "type", "%s is %u", table[i].name, table[i].type);
		if (table[i].first) {
			/* the next row holds for any */
			if (!name && i + 1 < n && table[i + 1].type == type && !table[i + 1].first &&
				!json_object_get(obj, table[i].fields[0].name))
				continue;
			if (get_number(at, obj, table[i].fields[0].name, 255, &first) < 0)
				return -EINVAL;
			if (name && first != table[i].first)
				return fault(at, table[i].fields[0].name, "%s has %u", name, table[i].first);
			if (first != table[i].first)
				continue;
		}
		*ret = &table[i];
		return 0;
	}
	return fault(at, name ? "name" : "type", "there is no such message");
}

int mhjson_to_message(const json_t *obj, struct wcur *w, char reterr[MHJSON_ERR])
{
	struct place at = {.reterr = reterr};
	const json_t *options = json_object_get(obj, "options"), *explicit = json_object_get(obj, "explicit_padding");
	const struct mh_layout *layout = NULL;
	struct mh_writer m;
	uint64_t reserved = 0;
	uint16_t checksum;
	enum mh_why why;
	struct mh_msg back;
	struct rcur c;
	json_t *value;
	size_t i, len;
	bool open;

	if (get_layout(&at, obj, &layout) < 0 ||
		check_keys(&at, obj, message_keys, packet_keys, layout->fields, NULL) < 0 ||
		get_checksum(&at, obj, &checksum) < 0)
		return -EINVAL;
	if (json_object_get(obj, "header_reserved") && get_number(&at, obj, "header_reserved", 255, &reserved) < 0)
		return -EINVAL;
	if (explicit && !json_is_boolean(explicit))
		return fault(&at, "explicit_padding", "must be true or false");
	if (options && !json_is_array(options))
		return fault(&at, "options", "must be an array");
	(void)mh_layout_size(layout, &open);
	if (open && json_array_size(options))
		return fault(&at, "options", "%s has none", layout->name);
	m = mh_begin(w, layout->type, checksum);
	if (!wcur_ok(w))
		return fault(&at, NULL, "no room");
	wcur_patch_u8(w, m.start + 3, (uint8_t)reserved);
	if (put_fields(&at, obj, layout->fields, w) < 0)
		return -EINVAL;
	json_array_foreach(options, i, value)
	{
		at.option = i + 1;
		at.name = NULL;
		if (put_option(&at, value, json_is_true(explicit), &m) < 0)
			return -EINVAL;
		if (!wcur_ok(w))
			return fault(&at, NULL, "the message is too long");
	}
	at.option = 0;
	len = wcur_len(w) - m.start;
	if (json_is_true(explicit) && len % 8)
		return fault(&at, "explicit_padding", "the message has %zu bytes, not a multiple of 8", len);
	mh_end(&m);
	if (!wcur_ok(w))
		return fault(&at, NULL, "the message is too long");
	c = rcur_make(w->base + m.start, wcur_len(w) - m.start);
	if (mh_read(&c, &back, &why) < 0)
		return fault(&at, NULL, "%s", mh_why_name(why));
	return 0;
}
