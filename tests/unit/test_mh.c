/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_mh.c - mobility headers: golden bytes of every message and option, what is refused, and random ones there and
 * back */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>

#include "mh.h"
#include "mhjson.h"
#include "wire.h"

#define PREFIX "20010db8010000000000000000000000"
#define MAAR   "20010db8000a00000000000000000002"

/* The layouts are those of the sections named; the four with a checksum were decoded by other implementations too. */
static const struct golden {
	const char *name, *hex;
} golden[] = {
	/* RFC 6275 6.1.2: nothing but two reserved bytes */
	{"binding_refresh_request", "3b000000 0000 0000"},
	/* 6.1.3, 6.1.4: reserved, cookie */
	{"home_test_init", "3b010100 0000 0000 0102030405060708"},
	{"care_of_test_init", "3b010200 0000 0000 0102030405060708"},
	/* 6.1.5, 6.1.6: nonce index 5, cookie, keygen token */
	{"home_test", "3b020300 0000 0005 0102030405060708 1112131415161718"},
	{"care_of_test", "3b020400 0000 0005 0102030405060708 1112131415161718"},
	/* 6.1.7: sequence 1, A|H, 15 units; 6.2.5: alternate care-of address at 8n+6, PadN before it */
	{"binding_update", "3b030500 71e4 0001 c000 000f 0100 0310 20010db8000200000000000000000010"},
	/* the same from another writer: Pad1 twice, and a PadN whose bytes are not 0 behind */
	{"binding_update",
		"3b040500 0000 0001 c000 000f 00 00 0310 20010db8000200000000000000000010 0106 010203040506"},
	/* options where we would not put them, a reserved byte and the unassigned flags set */
	{"binding_update", "3b0205ff 0000 0001 000f 000f 17 02 ff 03 18 02 00 04 00 00 00 00"},
	/* 6.2.6 nonce indices at 2n, 6.2.7 authorization data at 8n+2 and last */
	{"binding_update", "3b030500 0000 0001 8000 000f 0404 0001 0002 050c 0102030405060708090a0b0c"},
	/* RFC 4283 NAI "a@b"; RFC 4285: replay 10 at 8n+2, MN-HA at 8n+5 so that nothing follows: SPI 256, 96 bits */
	{"binding_update",
		"3b050500 0000 0001 c000 000f 0804 01 614062 0a08 e1e2e3e4 00000001 00"
		"0911 01 00000100 0102030405060708090a0b0c"},
	/* RFC 5096 option 18; RFC 5094 option 19 at 4n+2, enterprise 9, subtype 1; an option nobody knows */
	{"binding_update", "3b030500 0000 0001 c000 000f 1203 aabbcc 00 1307 00000009 01 beef c801 07 0100"},
	/* our LEASE (600 s, attach) and TUNNEL_MTU (1400) behind a home network prefix at 8n+4 */
	{"binding_update",
		"3b070500 0000 0001 c000 0000 1612 00 40 " PREFIX
		"0100 130d 00007ed9 01 00000258 00000001 00 1309 00007ed9 02 0000 0578 010100"},
	/* RFC 5213 8: A|P|D, MN-ID, prefix, handoff 3, technology 4, link-layer id, link-local, timestamp; RFC 8885
	   serving MAAR */
	{"binding_update",
		"3b0f0500 29f8 0007 8210 004b 0810016d6e31406578616d706c652e636f6d 0104 00000000 16120040 "
		"20010db8010000000000"
		"000000000000 17020003 18020004 1908 0000 020000000001 0102 0000 1a10 "
		"fe800000000000000000000000000001 0100"
		"1b08 00006553f100 8000 0100 4410 20010db8000a00000000000000000002"},
	/* 6.1.8: status 0, sequence 1, 15 units; 6.2.4: refresh advice 10 units */
	{"binding_acknowledgement", "3b010600 60c6 00 00 0001 000f 0202 000a"},
	/* RFC 8885 5: P|D, anchored and local prefix, previous MAAR at 8n+4, DLIF link-local at 8n+6, link-layer */
	{"binding_acknowledgement",
		"3b100600 0000 00 22 0001 000f 4112 00 40 " PREFIX "0102 0000 4212 00 40 " PREFIX
		"0102 0000 4322 00 40 " MAAR PREFIX
		"0104 00000000 4510 fe800000000000000000000000000001 4608 0000 020000000001 0104 00000000"},
	/* 6.1.9: status 1, home address */
	{"binding_error", "3b020700 0000 01 00 20010db8000100000000000000000010"},
	/* RFC 5096: free-form to the end */
	{"experimental", "3b010b00 0000 0101 0007 010203040506"},
	/* RFC 5847: response, sequence 42, restart counter 5 at 4n+2 */
	{"heartbeat", "3b020d00 3d9f 0001 0000002a 0100 1c04 00000005 0102 0000"},
	/* our PROBE: id 42, 1500 bytes */
	{"heartbeat", "3b030d00 0000 0000 0000002a 0100 130d 00007ed9 03 0000002a 05dc 0000 010100"},
	/* RFC 5846: indication, trigger 1, sequence 9, P; MN-ID */
	{"binding_revocation_indication", "3b021000 0000 01 01 0009 8000 0804 01 614062 0104 00000000"},
	{"binding_revocation_acknowledgement", "3b011000 0000 02 00 0009 2000 0102 0000"},
	/* RFC 6705: sequence 3, 120 s; two nodes, so two identifiers of one subtype; MAG address at 8n+4 */
	{"localized_routing_initiation",
		"3b071100 0000 0003 0000 0078 0802 01 61 0802 01 62 1612 00 40 " PREFIX "0102 0000 3312 00 80 " MAAR},
	{"localized_routing_acknowledgement", "3b011200 0000 0003 80 00 0078 0102 0000"},
};

#define N_GOLDEN (sizeof(golden) / sizeof(golden[0]))

/* Bytes of a hex string with spaces, in memory of just that size, so that a sanitizer sees a read beyond. */
static uint8_t *from_hex(const char *hex, size_t *ret_len)
{
	uint8_t *buf = malloc(strlen(hex) / 2 + 1), *exact;
	size_t n = 0;
	unsigned v;

	assert_non_null(buf);
	while (*hex) {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		assert_int_equal(sscanf(hex, "%2x", &v), 1);
		buf[n++] = (uint8_t)v;
		hex += 2;
	}
	exact = malloc(n ? n : 1);
	assert_non_null(exact);
	memcpy(exact, buf, n);
	free(buf);
	*ret_len = n;
	return exact;
}

/* Message -> JSON -> message: the very same bytes? */
static void assert_there_and_back(const struct mh_msg *m)
{
	uint8_t again[MH_MAX_LEN];
	struct wcur w = wcur_make(again, sizeof(again));
	char err[MHJSON_ERR] = "";
	json_t *obj = mhjson_from_message(m), *parsed;
	char *text = json_dumps(obj, JSON_COMPACT);
	json_error_t error;

	assert_non_null(text);
	parsed = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	if (mhjson_to_message(parsed, &w, err) < 0 || wcur_len(&w) != m->len || memcmp(again, m->bytes, m->len) != 0)
		fail_msg("%s: %s", err, text);
	free(text);
	json_decref(parsed);
	json_decref(obj);
}

static void golden_messages_are_read_and_come_back(void **state)
{
	bool messages[256] = {false}, options[256] = {false};
	const struct mh_layout *table;
	size_t n;

	(void)state;
	for (size_t i = 0; i < N_GOLDEN; i++) {
		size_t len;
		uint8_t *bytes = from_hex(golden[i].hex, &len);
		struct rcur c = rcur_make(bytes, len);
		struct mh_msg m;
		enum mh_why why;
		json_t *obj;

		if (mh_read(&c, &m, &why) < 0)
			fail_msg("%zu (%s): %s", i, golden[i].name, mh_why_name(why));
		assert_int_equal(rcur_left(&c), 0);
		assert_int_equal(m.len, len);
		assert_string_equal(mh_layout_message(m.type, bytes[6])->name, golden[i].name);
		messages[m.type] = true;
		for (unsigned k = 0; k < m.n_options; k++)
			options[m.options[k].type] = true;
		assert_there_and_back(&m);
		/* our own writer would put each option where it stands here, but for the two foreign ones */
		obj = mhjson_from_message(&m);
		if (!!json_object_get(obj, "explicit_padding") != (i == 6 || i == 7))
			fail_msg("%zu (%s): %s", i, golden[i].name, json_dumps(obj, 0));
		json_decref(obj);
		free(bytes);
	}
	/* a row of the table without a golden message would be a layout nobody checked */
	table = mh_layout_messages(&n);
	for (size_t i = 0; i < n; i++)
		assert_true(messages[table[i].type]);
	table = mh_layout_options(&n);
	for (size_t i = 0; i < n; i++)
		if (!options[table[i].type])
			fail_msg("no golden message has %s", table[i].name);
}

static void golden_fields_have_their_values(void **state)
{
	static const struct {
		size_t golden;
		const char *json;
	} cases[] = {
		{3, "{\"nonce_index\":5,\"cookie\":\"0102030405060708\",\"keygen_token\":\"1112131415161718\"}"},
		{5, "{\"sequence\":1,\"flags\":[\"A\",\"H\"],\"lifetime_s\":60,\"checksum\":\"0x71e4\"}"},
		{7, "{\"flags\":[\"0xf\"],\"header_reserved\":255,\"explicit_padding\":true}"},
		{13, "{\"status\":0,\"status_name\":\"accepted\",\"flags\":[],\"lifetime_s\":60}"},
		{15, "{\"status\":1,\"home_address\":\"2001:db8:1::10\"}"},
		{16, "{\"data\":\"01010007010203040506\"}"},
		{17,
			"{\"flags\":[\"R\"],\"sequence\":42,\"options\":[{\"type\":28,\"name\":\"restart_counter\","
			"\"counter\":5}]}"},
		{19, "{\"trigger\":1,\"trigger_name\":\"administrative reason\",\"sequence\":9,\"flags\":[\"P\"]}"},
		{20, "{\"status\":0,\"status_name\":\"success\",\"flags\":[\"G\"]}"},
		{21, "{\"sequence\":3,\"lifetime_s\":120}"},
		{22, "{\"flags\":[\"U\"],\"status\":0,\"lifetime_s\":120}"},
		{11,
			"{\"options\":[{\"type\":22,\"name\":\"home_network_prefix\",\"prefix_length\":64,\"prefix\":"
			"\"2001:db8:100::\"},"
			"{\"type\":19,\"name\":\"vendor_specific\",\"vendor\":32473,\"subtype\":1,\"subtype_name\":"
			"\"lease\","
			"\"lifetime_s\":600,\"flags\":[\"attach\"]},"
			"{\"type\":19,\"name\":\"vendor_specific\",\"vendor\":32473,\"subtype\":2,\"subtype_name\":"
			"\"tunnel_mtu\","
			"\"mtu\":1400}]}"},
		{9,
			"{\"options\":[{\"type\":8,\"name\":\"mobile_node_identifier\",\"subtype\":1,\"subtype_name\":"
			"\"NAI\","
			"\"identifier\":\"a@b\"},{\"type\":10,\"name\":\"mesg_id\",\"seconds\":3789743076,\"fraction\":1},"
			"{\"type\":9,\"name\":\"mobility_message_authentication\",\"subtype\":1,\"subtype_name\":\"MN-HA\","
			"\"spi\":256,\"data\":\"0102030405060708090a0b0c\"}]}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len;
		uint8_t *bytes = from_hex(golden[cases[i].golden].hex, &len);
		struct rcur c = rcur_make(bytes, len);
		struct mh_msg m;
		enum mh_why why;
		json_error_t error;
		json_t *want = json_loads(cases[i].json, 0, &error), *have, *value;
		const char *key;

		assert_non_null(want);
		assert_int_equal(mh_read(&c, &m, &why), 0);
		have = mhjson_from_message(&m);
		json_object_foreach(want, key, value) if (!json_equal(json_object_get(have, key), value))
			fail_msg("%zu: %s is %s", i, key, json_dumps(json_object_get(have, key), JSON_ENCODE_ANY));
		json_decref(want);
		json_decref(have);
		free(bytes);
	}
}

static void a_truncated_message_is_never_taken_for_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_GOLDEN; i++) {
		size_t len;
		uint8_t *bytes = from_hex(golden[i].hex, &len);

		for (size_t cut = 0; cut < len; cut++) {
			uint8_t *part = malloc(cut ? cut : 1);
			struct rcur c = rcur_make(part, cut);
			struct mh_msg m, before;
			enum mh_why why = MH_WHY_N;

			assert_non_null(part);
			memcpy(part, bytes, cut);
			memset(&m, 0xa5, sizeof(m));
			before = m;
			assert_int_equal(mh_read(&c, &m, &why), -EBADMSG);
			assert_int_equal(why, MH_WHY_SHORT);
			assert_false(rcur_ok(&c));
			assert_memory_equal(&m, &before, sizeof(m));
			/* also when the header claims no more than there is: nothing beyond may be touched */
			if (cut >= 8 && cut % 8 == 0) {
				part[1] = (uint8_t)(cut / 8 - 1);
				c = rcur_make(part, cut);
				if (mh_read(&c, &m, &why) == 0)
					assert_there_and_back(&m);
				assert_true(rcur_ok(&c));
			}
			free(part);
		}
		free(bytes);
	}
}

static void malformed_messages_are_refused_with_their_reason(void **state)
{
	static const struct {
		const char *what, *hex;
		enum mh_why why; /* MH_WHY_N = accepted */
	} cases[] = {
		{"Payload Proto 6", "06000000 0000 0000", MH_WHY_PROTO},
		{"type 8", "3b010800 0000 0001 c000 000f 01020000", MH_WHY_UNKNOWN_TYPE},
		{"type 255", "3b00ff00 0000 0000", MH_WHY_UNKNOWN_TYPE},
		{"update of 8 bytes", "3b000500 0000 0001", MH_WHY_LENGTH},
		{"test init of 8 bytes", "3b000100 0000 0001", MH_WHY_LENGTH},
		{"test of 16 bytes", "3b010300 0000 0001 0000000000000000", MH_WHY_LENGTH},
		{"error of 16 bytes", "3b010700 0000 0100 0000000000000000", MH_WHY_LENGTH},
		{"revocation of type 0", "3b011000 0000 00 00 0009 2000 01020000", MH_WHY_VALUE},
		{"revocation of type 3", "3b011000 0000 03 00 0009 2000 01020000", MH_WHY_VALUE},
		{"no options, padded", "3b010500 0000 0001 c000 000f 01020000", MH_WHY_N},
		{"no options, Pad1 only", "3b010500 0000 0001 c000 000f 00000000", MH_WHY_N},
		{"PadN over the end", "3b010500 0000 0001 c000 000f 01030000", MH_WHY_OPTION_OVERRUN},
		{"PadN without a length", "3b010500 0000 0001 c000 000f 00000001", MH_WHY_OPTION_OVERRUN},
		{"unknown option over the end", "3b010500 0000 0001 c000 000f c8030000", MH_WHY_OPTION_OVERRUN},
		{"unknown option twice", "3b010500 0000 0001 c000 000f c800c800", MH_WHY_N},
		{"zero-length handoff", "3b010500 0000 0001 c000 000f 17000000", MH_WHY_OPTION_LENGTH},
		{"handoff of 1 byte", "3b010500 0000 0001 c000 000f 17010000", MH_WHY_OPTION_LENGTH},
		{"handoff of 3 bytes", "3b020500 0000 0001 c000 000f 17030000 00000000 00000000", MH_WHY_OPTION_LENGTH},
		{"handoff twice", "3b020500 0000 0001 c000 000f 17020003 17020003 00000000", MH_WHY_OPTION_REPEATED},
		{"zero-length MN-ID", "3b010500 0000 0001 c000 000f 08000000", MH_WHY_OPTION_LENGTH},
		{"MN-ID without identifier", "3b010500 0000 0001 c000 000f 08010100", MH_WHY_N},
		{"MN-ID of two subtypes", "3b020500 0000 0001 c000 000f 08020161 08020562 00000000", MH_WHY_N},
		{"MN-ID twice of one subtype", "3b020500 0000 0001 c000 000f 08020161 08020162 00000000",
			MH_WHY_OPTION_REPEATED},
		{"prefix length 128", "3b030500 0000 0001 c000 000f 16120080 " PREFIX, MH_WHY_N},
		{"prefix length 129", "3b030500 0000 0001 c000 000f 16120081 " PREFIX, MH_WHY_VALUE},
		{"two prefixes", "3b060500 0000 0001 c000 000f 16120040 " PREFIX "0102 0000 16120040 " PREFIX,
			MH_WHY_N},
		{"MAG address length 64", "3b031100 0000 0001 0000 000f 33120040 " MAAR, MH_WHY_VALUE},
		{"padding behind the authorization data",
			"3b030500 0000 0001 8000 000f 050c 0102030405060708090a0b0c 0104 00000000", MH_WHY_OPTION_LAST},
		{"Pad1 behind the authorization data",
			"3b030500 0000 0001 8000 000f 050c 0102030405060708090a0b0c 000000000000", MH_WHY_OPTION_LAST},
		{"option behind the authorization data",
			"3b030500 0000 0001 8000 000f 050c 0102030405060708090a0b0c 0404 00010002", MH_WHY_OPTION_LAST},
		{"padding behind the authentication", "3b020500 0000 0001 8000 000f 00 0905 01 00000100 01020000",
			MH_WHY_N},
		{"option behind the authentication",
			"3b030500 0000 0001 8000 000f 00 0905 01 00000100 0404 00010002 0104 00000000",
			MH_WHY_OPTION_LAST},
		{"MN-HA, MN-AAA", "3b030500 0000 0001 8000 000f 00 0905 01 00000100 00 0905 02 00000003 00000000",
			MH_WHY_N},
		{"MN-AAA, MN-HA", "3b030500 0000 0001 8000 000f 00 0905 02 00000003 00 0905 01 00000100 00000000",
			MH_WHY_OPTION_ORDER},
		{"MN-HA twice", "3b030500 0000 0001 8000 000f 00 0905 01 00000100 00 0905 01 00000100 00000000",
			MH_WHY_OPTION_REPEATED},
		{"vendor option of 4 bytes", "3b020500 0000 0001 c000 000f 0100 1304 00007ed9 0102 0000",
			MH_WHY_OPTION_LENGTH},
		{"LEASE one byte short", "3b030500 0000 0001 c000 0000 0100 130c 00007ed9 01 00000258 000000 01020000",
			MH_WHY_OPTION_LENGTH},
		{"LEASE one byte long", "3b030500 0000 0001 c000 0000 0100 130e 00007ed9 01 00000258 0000000100 0000",
			MH_WHY_OPTION_LENGTH},
		{"LEASE twice",
			"3b050500 0000 0001 c000 0000 0100 130d 00007ed9 01 00000258 00000001 00 130d 00007ed9 01 "
			"00000000 00000000"
			"010100",
			MH_WHY_OPTION_REPEATED},
		{"LEASE and one of another vendor",
			"3b050500 0000 0001 c000 0000 0100 130d 00007ed9 01 00000258 00000001 00 130d 00000009 01 "
			"00000000 00000000"
			"010100",
			MH_WHY_N},
		{"our subtype 200", "3b020500 0000 0001 c000 0000 0100 1305 00007ed9 c8 010100", MH_WHY_N},
	};
	bool reached[MH_WHY_N] = {false};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len;
		uint8_t *bytes = from_hex(cases[i].hex, &len);
		struct rcur c = rcur_make(bytes, len);
		struct mh_msg m, before;
		enum mh_why why = MH_WHY_N;

		memset(&m, 0xa5, sizeof(m));
		before = m;
		if (len != (bytes[1] + 1u) * 8)
			fail_msg("%s: the test itself has %zu bytes", cases[i].what, len);
		if ((mh_read(&c, &m, &why) < 0) != (cases[i].why != MH_WHY_N) || why != cases[i].why)
			fail_msg("%s: %s", cases[i].what, mh_why_name(why));
		assert_int_equal(rcur_left(&c), 0); /* behind it in any case */
		assert_true(rcur_ok(&c));
		if (why == MH_WHY_N) {
			assert_there_and_back(&m);
		} else {
			reached[why] = true;
			assert_memory_equal(&m, &before, sizeof(m));
		}
		free(bytes);
	}
	reached[MH_WHY_SHORT] = reached[MH_WHY_OPTION_MANY] = reached[MH_WHY_CHECKSUM] = true; /* elsewhere */
	for (int i = 0; i < MH_WHY_N; i++)
		if (!reached[i])
			fail_msg("nothing is refused as %s", mh_why_name((enum mh_why)i));
}

static void every_option_is_refused_at_lengths_it_cannot_have(void **state)
{
	const struct mh_layout *table;
	size_t n;

	(void)state;
	table = mh_layout_options(&n);
	for (size_t i = 0; i < n; i++) {
		bool open;
		size_t least = mh_layout_size(&table[i], &open);

		for (size_t len = 0; len < 64; len++) {
			/* a bare update with the option at the very end: for 5, 9 there is nothing behind */
			size_t total = 12 + ((2 + len) + 7) / 8 * 8 + 4, at;
			uint8_t *bytes = calloc(1, total);
			struct rcur c = rcur_make(bytes, total);
			struct mh_msg m;
			enum mh_why why;

			assert_non_null(bytes);
			at = total - 2 - len;
			bytes[0] = MH_NO_NEXT;
			bytes[1] = (uint8_t)(total / 8 - 1);
			bytes[2] = MH_BU;
			bytes[at] = table[i].type;
			bytes[at + 1] = (uint8_t)len;
			if (table[i].type == MHOPT_MAG_ADDRESS && len > 1)
				bytes[at + 3] = 128;
			if (len < least || (!open && len != least)) {
				assert_int_equal(mh_read(&c, &m, &why), -EBADMSG);
				assert_int_equal(why, MH_WHY_OPTION_LENGTH);
			} else {
				if (mh_read(&c, &m, &why) < 0)
					fail_msg("%s of %zu: %s", table[i].name, len, mh_why_name(why));
				assert_int_equal(m.n_options, 1);
				assert_there_and_back(&m);
			}
			free(bytes);
		}
	}
}

static void too_many_options_are_refused(void **state)
{
	uint8_t bytes[12 + 2 * (MH_OPTIONS + 1) + 2] = {MH_NO_NEXT, sizeof(bytes) / 8 - 1, MH_BU};
	struct mh_msg m;
	enum mh_why why;

	(void)state;
	for (size_t k = 0; k < MH_OPTIONS + 1; k++)
		bytes[12 + 2 * k] = 200;
	assert_int_equal(sizeof(bytes) % 8, 0);
	struct rcur c = rcur_make(bytes, sizeof(bytes));

	assert_int_equal(mh_read(&c, &m, &why), -EBADMSG);
	assert_int_equal(why, MH_WHY_OPTION_MANY);
	bytes[12 + 2 * MH_OPTIONS] = MHOPT_PADN;
	c = rcur_make(bytes, sizeof(bytes));
	assert_int_equal(mh_read(&c, &m, &why), 0);
	assert_int_equal(m.n_options, MH_OPTIONS);
}

static void messages_back_to_back_are_read_in_a_loop(void **state)
{
	uint8_t buf[512], *one;
	size_t len, total = 0;
	/* update, one refused, acknowledgement */
	const char *parts[] = {golden[5].hex, "3b010500 0000 0001 c000 000f 17000000", golden[13].hex};
	struct rcur c;
	struct mh_msg m;
	enum mh_why why;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		one = from_hex(parts[i], &len);
		memcpy(buf + total, one, len);
		total += len;
		free(one);
	}
	c = rcur_make(buf, total);
	assert_int_equal(mh_read(&c, &m, &why), 0);
	assert_int_equal(m.type, MH_BU);
	assert_int_equal(m.bu.sequence, 1);
	assert_int_equal(m.bu.flags, MH_BU_A | MH_BU_H);
	assert_int_equal(m.bu.lifetime_s, 60);
	assert_int_equal(mh_read(&c, &m, &why), -EBADMSG);
	assert_int_equal(why, MH_WHY_OPTION_LENGTH);
	assert_int_equal(m.type, MH_BU); /* still the first */
	assert_int_equal(mh_read(&c, &m, &why), 0);
	assert_int_equal(m.type, MH_BA);
	assert_int_equal(m.ba.lifetime_s, 60);
	assert_int_equal(rcur_left(&c), 0);
}

static void checksums_are_those_of_the_golden_messages(void **state)
{
	static const struct {
		size_t golden;
		const char *src, *dst;
		uint16_t sum;
	} cases[] = {{5, "2001:db8:1::10", "2001:db8:1::1", 0x71e4}, {13, "2001:db8:1::1", "2001:db8:1::10", 0x60c6},
		{17, "2001:db8:b::1", "2001:db8:a::1", 0x3d9f}, {12, "2001:db8:a::1", "2001:db8:b::1", 0x29f8}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len;
		uint8_t *bytes = from_hex(golden[cases[i].golden].hex, &len);
		struct in6_addr src, dst;

		inet_pton(AF_INET6, cases[i].src, &src);
		inet_pton(AF_INET6, cases[i].dst, &dst);
		assert_int_equal(mh_checksum(&src, &dst, bytes, len), cases[i].sum);
		bytes[4] = bytes[5] = 0xff; /* what stands there does not count */
		assert_int_equal(mh_checksum(&src, &dst, bytes, len), cases[i].sum);
		mh_set_checksum(&src, &dst, bytes, len);
		assert_int_equal(bytes[4] << 8 | bytes[5], cases[i].sum);
		bytes[len - 1] ^= 1;
		assert_int_not_equal(mh_checksum(&src, &dst, bytes, len), cases[i].sum);
		free(bytes);
	}
}

static void lifetimes_are_rounded_as_promised(void **state)
{
	static const struct {
		uint32_t s, back;
	} cases[] = {{0, 0}, {1, 4}, {3, 4}, {4, 4}, {7, 4}, {8, 8}, {262140, 262140}, {262143, 262140},
		{UINT32_MAX, 262140}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buf[64];
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_writer bu = mh_begin_bu(&w, &(struct mh_bu){.lifetime_s = cases[i].s}), ba;
		struct rcur c;
		struct mh_msg m;
		enum mh_why why;

		mh_end(&bu);
		ba = mh_begin_ba(&w, &(struct mh_ba){.lifetime_s = cases[i].s});
		mh_end(&ba);
		assert_true(wcur_ok(&w));
		c = rcur_make(buf, wcur_len(&w));
		assert_int_equal(mh_read(&c, &m, &why), 0);
		assert_int_equal(m.bu.lifetime_s, cases[i].back);
		assert_int_equal(mh_read(&c, &m, &why), 0);
		assert_int_equal(m.ba.lifetime_s, cases[i].back);
	}
}

static void what_daemons_write_they_read(void **state)
{
	uint8_t buf[256];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct mh_writer m = mh_begin_bu(&w, &(struct mh_bu){.sequence = 7, .flags = MH_BU_A, .lifetime_s = 600});
	struct dmmopt_lease lease = {.lifetime_s = 86400, .flags = DMMOPT_LEASE_NEW};
	struct dmmopt_probe probe = {.id = 0x01020304, .size = 1460};
	struct in6_addr addr, coa;
	struct prefix6 prefix, hnp;
	struct mh_msg msg;
	enum mh_why why;
	struct rcur c;
	uint32_t counter;
	uint16_t v;

	(void)state;
	inet_pton(AF_INET6, "2001:db8:a2::10", &coa);
	assert_int_equal(prefix6_parse("2001:db8:101::/64", &hnp), 0);
	mh_put_u32(&m, MHOPT_RESTART_COUNTER, 0xdeadbeef);
	mh_put_prefix(&m, MHOPT_HNP, &hnp);
	mh_put_lease(&m, &lease);
	mh_put_address(&m, MHOPT_ALT_COA, &coa);
	mh_put_tunnel_mtu(&m, 1400);
	mh_put_u16(&m, MHOPT_REFRESH_ADVICE, 77);
	mh_put_probe(&m, &probe);
	mh_end(&m);
	assert_true(wcur_ok(&w));
	c = rcur_make(buf, wcur_len(&w));
	assert_int_equal(mh_read(&c, &msg, &why), 0);
	assert_int_equal(msg.n_options, 7);
	assert_true(mhopt_u32(mh_find(&msg, MHOPT_RESTART_COUNTER, NULL), &counter) && counter == 0xdeadbeef);
	assert_true(mhopt_prefix(mh_find(&msg, MHOPT_HNP, NULL), &prefix) && prefix6_equal(&prefix, &hnp));
	assert_true(mhopt_address(mh_find(&msg, MHOPT_ALT_COA, NULL), &addr) && IN6_ARE_ADDR_EQUAL(&addr, &coa));
	assert_true(mhopt_u16(mh_find(&msg, MHOPT_REFRESH_ADVICE, NULL), &v) && v == 77);
	assert_true(dmmopt_tunnel_mtu(&msg, &v) && v == 1400);
	memset(&lease, 0, sizeof(lease));
	memset(&probe, 0, sizeof(probe));
	assert_true(dmmopt_lease(&msg, &lease) && lease.lifetime_s == 86400 && lease.flags == DMMOPT_LEASE_NEW);
	assert_true(dmmopt_probe(&msg, &probe) && probe.id == 0x01020304 && probe.size == 1460);
	assert_null(mh_find(&msg, MHOPT_LINK_LOCAL, NULL));
	assert_false(mhopt_address(NULL, &addr));
	assert_there_and_back(&msg);
}

static void options_are_aligned_wherever_they_come(void **state)
{
	const struct mh_layout *table;
	size_t n;

	(void)state;
	table = mh_layout_options(&n);
	for (size_t i = 0; i < n; i++) {
		for (size_t before = 0; before < 16; before++) {
			uint8_t buf[256], data[64] = {0, 128, 0};
			struct wcur w = wcur_make(buf, sizeof(buf));
			struct mh_writer m;
			struct mh_msg msg;
			struct rcur c;
			enum mh_why why;
			bool open;
			size_t len = mh_layout_size(&table[i], &open), at;

			if (table[i].type == MHOPT_AUTH)
				len += 12;
			wcur_zero(&w, 3); /* places count from the beginning of the message, not of the buffer */
			m = mh_begin_bu(&w, &(struct mh_bu){.sequence = 1});
			mh_put_bytes(&m, 200, data, (uint8_t)before);
			mh_put_bytes(&m, table[i].type, data, (uint8_t)len);
			mh_end(&m);
			assert_true(wcur_ok(&w));
			c = rcur_make(buf + 3, wcur_len(&w) - 3);
			if (mh_read(&c, &msg, &why) < 0)
				fail_msg("%s behind %zu: %s", table[i].name, before, mh_why_name(why));
			at = (size_t)(msg.options[1].data - 2 - msg.bytes);
			if (table[i].align)
				assert_int_equal(at % table[i].align, table[i].offset);
			/* never more padding than needed */
			assert_true(at < 12 + 2 + before + (table[i].type == MHOPT_AUTH ? 8 : table[i].align) + 1);
			/* RFC 6275 6.2.7, RFC 4285 5: they end the message */
			if (table[i].last)
				assert_int_equal(at + 2 + len, msg.len);
		}
	}
}

static void what_does_not_fit_is_an_error_and_never_cut(void **state)
{
	uint8_t buf[4096];
	struct in6_addr addr = {0};

	(void)state;
	for (size_t capacity = 0; capacity <= 32; capacity++) {
		struct wcur w = wcur_make(buf, capacity);
		struct mh_writer m = mh_begin_bu(&w, &(struct mh_bu){.sequence = 1});

		mh_put_address(&m, MHOPT_ALT_COA, &addr);
		mh_end(&m);
		assert_int_equal(wcur_ok(&w), capacity == 32);
	}
	for (size_t len = 2040; len <= 2056; len += 8) {
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_writer m = mh_begin_bu(&w, &(struct mh_bu){.sequence = 1});

		mh_pad_to(&m, len);
		mh_end(&m);
		assert_int_equal(wcur_ok(&w), len <= MH_MAX_LEN);
		if (wcur_ok(&w))
			assert_int_equal((buf[1] + 1u) * 8, len);
	}
}

/* --- random ------------------------------------------------------------------------------------------------------ */

static uint64_t seed;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

static void random_data(const struct mh_layout *layout, uint8_t *data, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < len; i++)
		data[i] = rnd(4) ? (uint8_t)rnd(256) : 0;
	for (const struct mh_field *f = layout ? layout->fields : NULL; f && f->kind != MH_END; f++) {
		if (f->kind == MH_PLEN)
			data[at] = (uint8_t)rnd(129);
		else if (f->kind == MH_ALEN)
			data[at] = 128;
		else if (f->kind == MH_TEXT && rnd(2))
			for (size_t i = at; i < len; i++)
				data[i] = (uint8_t)(' ' + rnd(95));
		at += f->size;
	}
}

static void random_padding(struct wcur *w, size_t len)
{
	while (len > 0) {
		size_t k = len == 1 ? 1 : 1 + rnd((uint32_t)len);

		wcur_u8(w, k == 1 ? MHOPT_PAD1 : MHOPT_PADN);
		if (k > 1) {
			wcur_u8(w, (uint8_t)(k - 2));
			for (size_t i = 2; i < k; i++)
				wcur_u8(w, rnd(8) ? 0 : (uint8_t)rnd(256));
		}
		len -= k;
	}
}

/* A valid message of the table: aligned as a writer would, or anyhow. */
static void random_message(struct wcur *w)
{
	const struct mh_layout *messages, *options, *layout;
	size_t n_messages, n_options, len;
	uint8_t data[256];
	bool open, tidy = rnd(2), used[256] = {false};
	struct mh_writer m;

	messages = mh_layout_messages(&n_messages);
	options = mh_layout_options(&n_options);
	layout = &messages[rnd((uint32_t)n_messages)];
	m = mh_begin(w, layout->type, (uint16_t)rnd(0x10000));
	if (!tidy)
		wcur_patch_u8(w, m.start + 3, (uint8_t)rnd(256));
	len = mh_layout_size(layout, &open);
	if (open)
		len += 2 + 8 * rnd(8);
	random_data(tidy ? layout : NULL, data, len);
	if (layout->first)
		data[0] = layout->first;
	else if (layout->type == MH_EXPERIMENTAL && len > 0 && data[0] == MH_RELAY)
		data[0] = 0; /* that is another row */
	wcur_bytes(w, data, len);
	if (open)
		return mh_end(&m);
	for (uint32_t k = rnd(9); k > 0; k--) {
		const struct mh_layout *opt = rnd(8) ? &options[rnd((uint32_t)n_options)] : NULL;
		uint8_t type = opt ? opt->type : (uint8_t)(100 + rnd(100)), subtype = 0;
		bool ours = type == MHOPT_VENDOR && rnd(2);

		/* rules of repetition and order are kept simply: once each, and the last ones not here */
		if (used[type] || (opt && opt->last))
			continue;
		used[type] = opt && !(opt->repeats && !opt->once_a_subtype && !ours);
		len = opt ? mh_layout_size(opt, &open) : 0;
		if (!opt || open)
			len += rnd(20);
		if (ours) {
			subtype = (uint8_t)(1 + rnd(3));
			len = 5 + mh_layout_size(mh_layout_vendor(subtype), &open);
		}
		random_data(opt, data, len);
		if (ours)
			memcpy(data, (uint8_t[]){0, 0, 0x7e, 0xd9, subtype}, 5);
		if (tidy) {
			mh_put_bytes(&m, type, data, (uint8_t)len);
			continue;
		}
		random_padding(w, rnd(12));
		wcur_u8(w, type);
		wcur_u8(w, (uint8_t)len);
		wcur_bytes(w, data, len);
	}
	if (!tidy)
		random_padding(w, (8 - (wcur_len(w) - m.start) % 8) % 8 + 8 * rnd(3));
	else if (!rnd(4))
		mh_put_bytes(&m, MHOPT_AUTH_DATA, "0123456789ab", 12);
	else if (!rnd(4))
		mh_put_bytes(&m, MHOPT_AUTH,
			"\1\0\0\1\0"
			"0123456789ab",
			17);
	mh_end(&m);
}

static void random_messages_come_back(void **state)
{
	unsigned tidy = 0;

	(void)state;
	seed = 0x6275;
	for (int i = 0; i < 5000; i++) {
		uint64_t now = seed;
		uint8_t buf[MH_MAX_LEN], *exact;
		struct wcur w = wcur_make(buf, sizeof(buf));
		struct mh_msg m;
		struct rcur c;
		enum mh_why why;
		json_t *obj;

		random_message(&w);
		assert_true(wcur_ok(&w));
		exact = malloc(wcur_len(&w));
		assert_non_null(exact);
		memcpy(exact, buf, wcur_len(&w));
		c = rcur_make(exact, wcur_len(&w));
		if (mh_read(&c, &m, &why) < 0)
			fail_msg("seed 0x%llx: %s", (unsigned long long)now, mh_why_name(why));
		assert_int_equal(rcur_left(&c), 0);
		assert_there_and_back(&m);
		obj = mhjson_from_message(&m);
		tidy += !json_object_get(obj, "explicit_padding");
		json_decref(obj);
		/* one wrong bit: refused or not, but nothing beyond is touched, and what is taken comes back */
		exact[rnd((uint32_t)wcur_len(&w))] ^= (uint8_t)(1 << rnd(8));
		c = rcur_make(exact, wcur_len(&w));
		if (mh_read(&c, &m, &why) == 0)
			assert_there_and_back(&m);
		free(exact);
	}
	assert_in_range(tidy, 1500, 4500); /* both ways of padding were tried */
}

static void json_that_cannot_be_a_message_is_refused_with_a_sentence(void **state)
{
#define BU     "\"name\":\"binding_update\",\"sequence\":1,\"flags\":[\"A\"],\"lifetime_s\":60"
#define OPT(o) "{" BU ",\"options\":[" o "]}"
	static const struct {
		const char *json, *err;
	} cases[] = {
		{"[]", "must be a JSON object"},
		{"{}", "\"type\" or \"name\" is needed"},
		{"{\"name\":\"nonsense\"}", "name: there is no such message"},
		{"{\"type\":8}", "type: there is no such message"},
		{"{\"type\":6," BU "}", "type: binding_update is 5"},
		{"{\"type\":256}", "type: must be a number from 0 to 255"},
		{"{\"type\":-1}", "type: must be a number from 0 to 255"},
		{"{\"type\":16,\"b_type\":3}", "type: there is no such message"},
		{"{\"name\":\"binding_update\",\"flags\":[]}", "sequence: missing"},
		{"{" BU ",\"sequense\":1}", "sequense: there is no such field here"},
		{"{" BU ",\"lifetime_s\":61}", "lifetime_s: must be a multiple of 4 seconds"},
		{"{" BU ",\"lifetime_s\":262144}", "lifetime_s: must be a number from 0 to 262140"},
		{"{" BU ",\"sequence\":65536}", "sequence: must be a number from 0 to 65535"},
		{"{" BU ",\"checksum\":\"71e4\"}", "checksum: must be a number or like \"0x71e4\""},
		{"{" BU ",\"checksum\":65536}", "checksum: must be a number from 0 to 65535"},
		{"{" BU ",\"flags\":\"A\"}", "flags: must be an array of flag names"},
		{"{" BU ",\"flags\":[\"Z\"]}",
			"flags: element 0 is neither a flag of this message nor bits like \"0x1\""},
		{"{" BU ",\"flags\":[\"0x10000\"]}",
			"flags: element 0 is neither a flag of this message nor bits like \"0x1\""},
		{"{" BU ",\"options\":{}}", "options: must be an array"},
		{"{" BU ",\"explicit_padding\":1}", "explicit_padding: must be true or false"},
		{"{" BU ",\"explicit_padding\":true}",
			"explicit_padding: the message has 12 bytes, not a multiple of 8"},
		{OPT("7"), "option 1: must be a JSON object"},
		{OPT("{\"name\":\"x\"}"), "option 1: name: there is no such option"},
		{OPT("{\"name\":\"x\",\"type\":3}"), "option 1: name: type 3 is alternate_care_of_address"},
		{OPT("{\"type\":3,\"address\":\"192.0.2.1\"}"),
			"option 1, alternate_care_of_address: address: must be an IPv6 address"},
		{OPT("{\"type\":3,\"address\":5}"),
			"option 1, alternate_care_of_address: address: must be an IPv6 address"},
		{OPT("{\"type\":200,\"data\":\"0\"}"), "option 1, unknown: data: must be hex digits, two a byte"},
		{OPT("{\"type\":200,\"data\":\"0g\"}"), "option 1, unknown: data: must be hex digits, two a byte"},
		{OPT("{\"type\":5,\"authenticator\":\"00\"}"),
			"option 1, binding_authorization_data: authenticator: must be 12 bytes in hex, not 1"},
		{OPT("{\"type\":22,\"prefix_length\":129,\"prefix\":\"::\"}"),
			"option 1, home_network_prefix: prefix_length: must be a number from 0 to 128"},
		{OPT("{\"type\":0}"),
			"option 1, pad1: padding is put in by itself, unless \"explicit_padding\" is true"},
		{OPT("{\"type\":23,\"indicator\":3},{\"type\":23,\"indicator\":3}"), "mh-option-repeated"},
		{OPT("{\"type\":19,\"vendor\":32473,\"subtype\":1,\"data\":\"00\"}"), "mh-option-length"},
		{OPT("{\"type\":51,\"address_length\":64,\"address\":\"::\"}"), "mh-field-value"},
		{OPT("{\"type\":23,\"indicator\":3,\"\\u001b[31m\":1}"),
			"option 1, handoff_indicator: ?[31m: there is no such field here"},
		{"{\"type\":11,\"data\":\"0102\",\"options\":[{\"type\":0}]}", "options: experimental has none"},
	};
	char long_hex[2 * 255 + 3], text[3000], err[MHJSON_ERR];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buf[MH_MAX_LEN];
		struct wcur w = wcur_make(buf, sizeof(buf));
		json_error_t error;
		json_t *obj = json_loads(cases[i].json, 0, &error);

		assert_non_null(obj);
		err[0] = '\0';
		if (mhjson_to_message(obj, &w, err) != -EINVAL || strcmp(err, cases[i].err) != 0)
			fail_msg("%s: %s", cases[i].json, err);
		json_decref(obj);
	}
	/* 255 bytes fit an option, 256 do not */
	for (size_t len = 255; len <= 256; len++) {
		uint8_t buf[MH_MAX_LEN];
		struct wcur w = wcur_make(buf, sizeof(buf));
		json_error_t error;
		json_t *obj;

		memset(long_hex, '0', 2 * len);
		long_hex[2 * len] = '\0';
		(void)snprintf(text, sizeof(text), OPT("{\"type\":200,\"data\":\"%s\"}"), long_hex);
		obj = json_loads(text, 0, &error);
		assert_int_equal(mhjson_to_message(obj, &w, err), len == 255 ? 0 : -EINVAL);
		json_decref(obj);
	}
	assert_string_equal(err, "option 1, unknown: data: too long");
}

static void each_reason_has_a_name_of_its_own(void **state)
{
	(void)state;
	for (int i = 0; i < MH_WHY_N; i++)
		for (int k = 0; k < i; k++)
			assert_string_not_equal(mh_why_name((enum mh_why)i), mh_why_name((enum mh_why)k));
	/* the ends of the registry, so that a name that slips in or out of the list is noticed */
	assert_string_equal(mh_status_name(6), "accepted, transient-binding settings ignored");
	assert_string_equal(mh_status_name(7), "accepted, unknown code");
	assert_string_equal(mh_status_name(128), "reason unspecified");
	assert_string_equal(mh_status_name(135), "sequence number out of window");
	assert_string_equal(mh_status_name(152), "proxy registration not enabled");
	assert_string_equal(mh_status_name(155), "not authorised for home network prefix");
	assert_string_equal(mh_status_name(163), "GRE key option required");
	assert_string_equal(mh_status_name(174), "invalid care-of address");
	assert_string_equal(mh_status_name(180), "cannot support multipath binding");
	assert_string_equal(mh_status_name(181), "refused, unknown code");
	assert_string_equal(mh_type_name(MH_REVOCATION), "binding_revocation");
	assert_string_equal(mh_type_name(MH_EXPERIMENTAL), "experimental"); /* which a relay is, too */
	assert_string_equal(mh_type_name(99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_messages_are_read_and_come_back),
		cmocka_unit_test(golden_fields_have_their_values),
		cmocka_unit_test(a_truncated_message_is_never_taken_for_whole),
		cmocka_unit_test(malformed_messages_are_refused_with_their_reason),
		cmocka_unit_test(every_option_is_refused_at_lengths_it_cannot_have),
		cmocka_unit_test(too_many_options_are_refused),
		cmocka_unit_test(messages_back_to_back_are_read_in_a_loop),
		cmocka_unit_test(checksums_are_those_of_the_golden_messages),
		cmocka_unit_test(lifetimes_are_rounded_as_promised),
		cmocka_unit_test(what_daemons_write_they_read),
		cmocka_unit_test(options_are_aligned_wherever_they_come),
		cmocka_unit_test(what_does_not_fit_is_an_error_and_never_cut),
		cmocka_unit_test(random_messages_come_back),
		cmocka_unit_test(json_that_cannot_be_a_message_is_refused_with_a_sentence),
		cmocka_unit_test(each_reason_has_a_name_of_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
