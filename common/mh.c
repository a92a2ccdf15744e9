/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mh.c - mobility header
 *
 * Two tables say what a message and an option look like; the reader checks lengths, repetition and order against them,
 * the writer takes alignment from them, mhtool prints and builds by them. There is no second decoder. */
#include "mh.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- names of values ------------------------------------------------------------------------------------------- */

const char *mh_status_name(uint8_t status)
{
	static const char *const accept[] = {"accepted", "accepted, prefix discovery necessary",
		"GRE key option not required", "GRE tunnelling without TLV header", "MCoA not complete",
		"MCoA return home without NDP", "accepted, transient-binding settings ignored"};
	static const char *const reject[] = {"reason unspecified", "administratively prohibited",
		"insufficient resources", "home registration not supported", "not home subnet",
		"not home agent for this mobile node", "duplicate address detection failed",
		"sequence number out of window", "expired home nonce index", "expired care-of nonce index",
		"expired nonces", "registration type change disallowed", "mobile router operation not permitted",
		"invalid prefix", "not authorised for prefix", "forwarding setup failed", "identifier mismatch",
		"message identifier required", "authentication failed", "permanent home keygen token unavailable",
		"CGA and signature verification failed", "permanent home keygen token exists",
		"non-null home nonce index expected", "service authorisation failed", "proxy registration not enabled",
		"not LMA for this mobile node", "MAG not authorised for proxy registration",
		"not authorised for home network prefix", "timestamp mismatch",
		"timestamp lower than previously accepted", "missing home network prefix option", "prefix sets differ",
		"missing mobile node identifier option", "missing handoff indicator option",
		"missing access technology type option", "GRE key option required", "MCoA malformed",
		"non-MCoA binding exists", "MCoA prohibited", "MCoA unknown care-of address",
		"MCoA bulk registration prohibited", "MCoA simultaneous home and foreign prohibited",
		"not authorised for IPv4 mobility", "not authorised for IPv4 home address",
		"not authorised for IPv6 mobility", "multiple IPv4 home addresses not supported",
		"invalid care-of address", "invalid mobile node group identifier",
		"security association to be made anew", "not authorised for delegated prefix",
		"requested delegated prefix in use", "cannot meet QoS request", "cannot support multipath binding"};

	if (status < sizeof(accept) / sizeof(accept[0]))
		return accept[status];
	if (status >= 128 && status - 128u < sizeof(reject) / sizeof(reject[0]))
		return reject[status - 128];
	return status < 128 ? "accepted, unknown code" : "refused, unknown code";
}

struct value {
	uint8_t value;
	const char *name;
};

static const char *name_in(const struct value *table, uint8_t value)
{
	for (; table->name; table++)
		if (table->value == value)
			return table->name;
	return NULL;
}

static const char *be_status_name(uint8_t v) /* RFC 6275 6.1.9 */
{
	return name_in((const struct value[]){{1, "unknown binding for Home Address destination option"},
			       {2, "unrecognised MH type"}, {0, NULL}},
		v);
}

static const char *revocation_trigger_name(uint8_t v) /* RFC 5846 5.1 */
{
	return name_in(
		(const struct value[]){{0, "unspecified"}, {1, "administrative reason"},
			{2, "inter-MAG handover, same access type"}, {3, "inter-MAG handover, different access type"},
			{4, "inter-MAG handover, unknown"}, {5, "user-initiated session termination"},
			{6, "access network session termination"}, {7, "possible out-of-sync binding cache entry"},
			{128, "per-peer policy"}, {129, "revoking mobility node local policy"}, {0, NULL}},
		v);
}

static const char *revocation_status_name(uint8_t v) /* RFC 5846 5.2 */
{
	return name_in((const struct value[]){{0, "success"}, {1, "partial success"}, {128, "binding does not exist"},
			       {129, "IPv4 home address option required"}, {130, "global revocation not authorised"},
			       {131, "revoked mobile node identity required"}, {132, "mobile node still attached"},
			       {133, "revocation trigger not supported"}, {134, "revocation function not supported"},
			       {135, "proxy binding revocation not supported"}, {0, NULL}},
		v);
}

static const char *lra_status_name(uint8_t v) /* RFC 6705 9.2 */
{
	return name_in((const struct value[]){{0, "success"}, {128, "localized routing not allowed"},
			       {129, "mobile node not attached"}, {0, NULL}},
		v);
}

static const char *mn_id_subtype_name(uint8_t v) /* RFC 4283 3, RFC 8371 */
{
	return name_in((const struct value[]){{1, "NAI"}, {2, "IPv6 address"}, {3, "IMSI"}, {4, "P-TMSI"},
			       {5, "EUI-48"}, {6, "EUI-64"}, {7, "GUTI"}, {8, "DUID"}, {0, NULL}},
		v);
}

static const char *auth_subtype_name(uint8_t v) /* RFC 4285 5 */
{
	return name_in((const struct value[]){{1, "MN-HA"}, {2, "MN-AAA"}, {0, NULL}}, v);
}

static const char *handoff_name(uint8_t v) /* RFC 5213 8.4 and registry */
{
	return name_in((const struct value[]){{1, "attachment over a new interface"},
			       {2, "handoff between two interfaces of the mobile node"},
			       {3, "handoff between mobile access gateways for the same interface"},
			       {4, "handoff state unknown"}, {5, "handoff state not changed (re-registration)"},
			       {6, "attachment over a new interface sharing prefixes"}, {0, NULL}},
		v);
}

static const char *access_technology_name(uint8_t v) /* RFC 5213 8.5 and registry */
{
	return name_in((const struct value[]){{1, "virtual"}, {2, "PPP"}, {3, "IEEE 802.3"}, {4, "IEEE 802.11a/b/g"},
			       {5, "IEEE 802.16e"}, {6, "3GPP GERAN"}, {7, "3GPP UTRAN"}, {8, "3GPP E-UTRAN"},
			       {9, "3GPP2 eHRPD"}, {10, "3GPP2 HRPD"}, {11, "3GPP2 1xRTT"}, {12, "3GPP2 UMB"},
			       {13, "3GPP NB-IoT"}, {0, NULL}},
		v);
}

/* --- the table ------------------------------------------------------------------------------------------------- */

/* clang-format off */
#define FIELDS(...) (const struct mh_field[]){__VA_ARGS__, {0}}
#define U8(n)       {n, MH_UINT, 1, NULL, NULL}
#define CODE(n, f)  {n, MH_UINT, 1, NULL, f}
#define U16(n)      {n, MH_UINT, 2, NULL, NULL}
#define U32(n)      {n, MH_UINT, 4, NULL, NULL}
#define U48(n)      {n, MH_UINT, 6, NULL, NULL}
#define RES(k)      {"reserved", MH_RESERVED, k, NULL, NULL}
#define IP6(n)      {n, MH_ADDRESS, 16, NULL, NULL}
#define TIME4(n)    {n, MH_TIME4, 2, NULL, NULL}
#define PLEN        {"prefix_length", MH_PLEN, 1, NULL, NULL}
#define ALEN        {"address_length", MH_ALEN, 1, NULL, NULL}
#define HEX(n, k)   {n, MH_BYTES, k, NULL, NULL}
#define TEXT(n)     {n, MH_TEXT, 0, NULL, NULL}
#define FLAGS(k, f) {"flags", MH_FLAGS, k, f, NULL}
/* clang-format on */

static const struct mh_flag bu_flags[] = {{0x8000, "A"}, {0x4000, "H"}, {0x2000, "L"}, {0x1000, "K"}, {0x0800, "M"},
	{0x0400, "R"}, {0x0200, "P"}, {0x0100, "F"}, {0x0080, "T"}, {0x0040, "B"}, {0x0020, "S"}, {0x0010, "D"},
	{0, NULL}};
static const struct mh_flag ba_flags[] = {
	{0x80, "K"}, {0x40, "R"}, {0x20, "P"}, {0x10, "T"}, {0x08, "B"}, {0x04, "S"}, {0x02, "D"}, {0, NULL}};
static const struct mh_flag heartbeat_flags[] = {{0x0002, "U"}, {0x0001, "R"}, {0, NULL}};
static const struct mh_flag revocation_flags[] = {{0x8000, "P"}, {0x4000, "V"}, {0x2000, "G"}, {0, NULL}};
static const struct mh_flag lra_flags[] = {{0x80, "U"}, {0, NULL}};
static const struct mh_flag lease_flags[] = {
	{DMMOPT_LEASE_ATTACH, "attach"}, {DMMOPT_LEASE_NEW, "new"}, {DMMOPT_LEASE_DRAIN, "drain"}, {0, NULL}};

static const struct mh_layout messages[] = {
	{MH_BRR, "binding_refresh_request", .fields = FIELDS(RES(2))},
	{MH_HOTI, "home_test_init", .fields = FIELDS(RES(2), HEX("cookie", 8))},
	{MH_COTI, "care_of_test_init", .fields = FIELDS(RES(2), HEX("cookie", 8))},
	{MH_HOT, "home_test", .fields = FIELDS(U16("nonce_index"), HEX("cookie", 8), HEX("keygen_token", 8))},
	{MH_COT, "care_of_test", .fields = FIELDS(U16("nonce_index"), HEX("cookie", 8), HEX("keygen_token", 8))},
	{MH_BU, "binding_update", .fields = FIELDS(U16("sequence"), FLAGS(2, bu_flags), TIME4("lifetime_s"))},
	{MH_BA, "binding_acknowledgement",
		.fields = FIELDS(
			CODE("status", mh_status_name), FLAGS(1, ba_flags), U16("sequence"), TIME4("lifetime_s"))},
	{MH_BE, "binding_error", .fields = FIELDS(CODE("status", be_status_name), RES(1), IP6("home_address"))},
	{MH_EXPERIMENTAL, "relay", .first = MH_RELAY, .fields = FIELDS(U8("subtype"), RES(1))},
	{MH_EXPERIMENTAL, "experimental", .fields = FIELDS(HEX("data", 0))},
	{MH_HEARTBEAT, "heartbeat", .fields = FIELDS(FLAGS(2, heartbeat_flags), U32("sequence"))},
	{MH_REVOCATION, "binding_revocation_indication", .first = 1,
		.fields = FIELDS(U8("b_type"), CODE("trigger", revocation_trigger_name), U16("sequence"),
			FLAGS(2, revocation_flags))},
	{MH_REVOCATION, "binding_revocation_acknowledgement", .first = 2,
		.fields = FIELDS(U8("b_type"), CODE("status", revocation_status_name), U16("sequence"),
			FLAGS(2, revocation_flags))},
	{MH_LRI, "localized_routing_initiation", .several_nodes = true,
		.fields = FIELDS(U16("sequence"), RES(2), U16("lifetime_s"))},
	{MH_LRA, "localized_routing_acknowledgement", .several_nodes = true,
		.fields = FIELDS(
			U16("sequence"), FLAGS(1, lra_flags), CODE("status", lra_status_name), U16("lifetime_s"))},
};

static const struct mh_layout options[] = {
	{MHOPT_REFRESH_ADVICE, "binding_refresh_advice", 2, 0, .fields = FIELDS(TIME4("interval_s"))},
	{MHOPT_ALT_COA, "alternate_care_of_address", 8, 6, .fields = FIELDS(IP6("address"))},
	{MHOPT_NONCE_INDICES, "nonce_indices", 2, 0, .fields = FIELDS(U16("home"), U16("care_of"))},
	{MHOPT_AUTH_DATA, "binding_authorization_data", 8, 2, .last = true, .at_end = true,
		.fields = FIELDS(HEX("authenticator", 12))},
	{MHOPT_MN_ID, "mobile_node_identifier", .repeats = true, .once_a_subtype = true,
		.fields = FIELDS(CODE("subtype", mn_id_subtype_name), TEXT("identifier"))},
	{MHOPT_AUTH, "mobility_message_authentication", 4, 1, .repeats = true, .last = true, .ascending = true,
		.fields = FIELDS(CODE("subtype", auth_subtype_name), U32("spi"), HEX("data", 0))},
	{MHOPT_REPLAY, "mesg_id", 8, 2, .fields = FIELDS(U32("seconds"), U32("fraction"))},
	{MHOPT_EXPERIMENTAL, "experimental_option", .repeats = true, .fields = FIELDS(HEX("data", 0))},
	{MHOPT_VENDOR, "vendor_specific", 4, 2, .repeats = true,
		.fields = FIELDS(U32("vendor"), U8("subtype"), HEX("data", 0))},
	{MHOPT_HNP, "home_network_prefix", 8, 4, .repeats = true, .fields = FIELDS(RES(1), PLEN, IP6("prefix"))},
	{MHOPT_HANDOFF, "handoff_indicator", .fields = FIELDS(RES(1), CODE("indicator", handoff_name))},
	{MHOPT_ACCESS_TECH, "access_technology_type",
		.fields = FIELDS(RES(1), CODE("technology", access_technology_name))},
	{MHOPT_LL_ID, "mobile_node_link_layer_identifier", 4, 0, .fields = FIELDS(RES(2), HEX("identifier", 0))},
	{MHOPT_LINK_LOCAL, "link_local_address", 8, 6, .fields = FIELDS(IP6("address"))},
	{MHOPT_TIMESTAMP, "timestamp", 8, 2, .fields = FIELDS(U48("seconds"), U16("fraction"))},
	{MHOPT_RESTART_COUNTER, "restart_counter", 4, 2, .fields = FIELDS(U32("counter"))},
	{MHOPT_MAG_ADDRESS, "mag_ipv6_address", 8, 4, .repeats = true, .fields = FIELDS(RES(1), ALEN, IP6("address"))},
	{MHOPT_ANCHORED_PREFIX, "anchored_prefix", 8, 4, .repeats = true,
		.fields = FIELDS(RES(1), PLEN, IP6("prefix"))},
	{MHOPT_LOCAL_PREFIX, "local_prefix", 8, 4, .repeats = true, .fields = FIELDS(RES(1), PLEN, IP6("prefix"))},
	{MHOPT_PREVIOUS_MAAR, "previous_maar", 8, 4, .repeats = true,
		.fields = FIELDS(RES(1), PLEN, IP6("maar"), IP6("prefix"))},
	{MHOPT_SERVING_MAAR, "serving_maar", 8, 6, .fields = FIELDS(IP6("address"))},
	{MHOPT_DLIF_LINK_LOCAL, "dlif_link_local_address", 8, 6, .fields = FIELDS(IP6("address"))},
	{MHOPT_DLIF_LL_ID, "dlif_link_layer_address", 4, 0, .fields = FIELDS(RES(2), HEX("identifier", 0))},
};

/* DMM_ENTERPRISE's subtypes of the vendor option */
static const struct mh_layout vendor_options[] = {
	{DMMOPT_LEASE, "lease", .fields = FIELDS(U32("lifetime_s"), FLAGS(4, lease_flags))},
	{DMMOPT_TUNNEL_MTU, "tunnel_mtu", .fields = FIELDS(RES(2), U16("mtu"))},
	{DMMOPT_PROBE, "probe", .fields = FIELDS(U32("id"), U16("size"), RES(2))},
	{DMMOPT_SEALED, "sealed", .repeats = true, .fields = FIELDS(U32("cookie"), HEX("bytes", 0))},
	{DMMOPT_ANCHOR, "anchor", .fields = FIELDS(IP6("address"))},
	{DMMOPT_REGIONAL, "regional", .fields = FIELDS(IP6("address"))},
	{DMMOPT_FORMER, "former", .fields = FIELDS(IP6("address"))},
};

#define N(table) (sizeof(table) / sizeof((table)[0]))

const struct mh_layout *mh_layout_messages(size_t *ret_n)
{
	*ret_n = N(messages);
	return messages;
}

const struct mh_layout *mh_layout_options(size_t *ret_n)
{
	*ret_n = N(options);
	return options;
}

static const struct mh_layout *layout_in(const struct mh_layout *table, size_t n, uint8_t type, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].type == type && (!table[i].first || table[i].first == first))
			return &table[i];
	return NULL;
}

const struct mh_layout *mh_layout_message(uint8_t type, uint8_t first)
{
	return layout_in(messages, N(messages), type, first);
}

const struct mh_layout *mh_layout_option(uint8_t type)
{
	return layout_in(options, N(options), type, 0);
}

const struct mh_layout *mh_layout_vendor(uint8_t subtype)
{
	return layout_in(vendor_options, N(vendor_options), subtype, 0);
}

size_t mh_layout_size(const struct mh_layout *layout, bool *ret_open)
{
	size_t size = 0;

	*ret_open = false;
	for (const struct mh_field *f = layout->fields; f->kind != MH_END; f++) {
		size += f->size;
		if ((f->kind == MH_BYTES || f->kind == MH_TEXT) && f->size == 0)
			*ret_open = true;
	}
	return size;
}

bool mh_type_is_known(uint8_t type)
{
	for (size_t i = 0; i < N(messages); i++)
		if (messages[i].type == type)
			return true;
	return false;
}

const char *mh_type_name(uint8_t type)
{
	for (size_t i = 0; i < N(messages); i++)
		if (messages[i].type == type && !messages[i].first)
			return messages[i].name;
	if (type == MH_REVOCATION) /* its two messages have names of their own */
		return "binding_revocation";
	return "unknown";
}

const char *mh_why_name(enum mh_why why)
{
	switch (why) {
	case MH_WHY_SHORT:
		return "mh-short";
	case MH_WHY_PROTO:
		return "mh-payload-proto";
	case MH_WHY_UNKNOWN_TYPE:
		return "mh-unknown-type";
	case MH_WHY_LENGTH:
		return "mh-header-length";
	case MH_WHY_OPTION_OVERRUN:
		return "mh-option-overrun";
	case MH_WHY_OPTION_LENGTH:
		return "mh-option-length";
	case MH_WHY_OPTION_REPEATED:
		return "mh-option-repeated";
	case MH_WHY_OPTION_LAST:
		return "mh-option-not-last";
	case MH_WHY_OPTION_ORDER:
		return "mh-option-order";
	case MH_WHY_OPTION_MANY:
		return "mh-too-many-options";
	case MH_WHY_VALUE:
		return "mh-field-value";
	case MH_WHY_CHECKSUM:
		return "mh-checksum";
	case MH_WHY_N:
		break;
	}
	return "?";
}

/* --- reading --------------------------------------------------------------------------------------------------- */

const struct mh_option *mh_find(const struct mh_msg *m, uint8_t type, const struct mh_option *prev)
{
	for (const struct mh_option *o = prev ? prev + 1 : m->options; o < m->options + m->n_options; o++)
		if (o->type == type)
			return o;
	return NULL;
}

/* Does this data fit the layout? If not, *reterr_why says whether length or value is wrong. */
static bool data_ok(const struct mh_layout *layout, struct rcur c, enum mh_why *reterr_why)
{
	bool open;
	size_t least = mh_layout_size(layout, &open);

	if (rcur_left(&c) < least || (!open && rcur_left(&c) != least)) {
		*reterr_why = MH_WHY_OPTION_LENGTH;
		return false;
	}
	for (const struct mh_field *f = layout->fields; f->kind != MH_END; f++) {
		uint8_t v = 0;

		if (f->kind == MH_PLEN || f->kind == MH_ALEN)
			v = rcur_u8(&c);
		else
			rcur_skip(&c, f->size);
		if (v > 128 || (f->kind == MH_ALEN && v != 128)) {
			*reterr_why = MH_WHY_VALUE;
			return false;
		}
	}
	return true;
}

/* Our vendor option: its data are as strict as the options themselves, so that a broken LEASE is never taken
 * for none. */
static bool vendor_ok(const struct mh_msg *m, const struct mh_option *opt, enum mh_why *reterr_why)
{
	struct rcur c = rcur_make(opt->data, opt->len);
	const struct mh_layout *layout;
	uint8_t subtype;

	if (rcur_u32(&c) != DMM_ENTERPRISE)
		return true;
	subtype = rcur_u8(&c);
	layout = mh_layout_vendor(subtype);
	if (!layout)
		return true;
	if (!data_ok(layout, c, reterr_why))
		return false;
	for (const struct mh_option *o = NULL; !layout->repeats && (o = mh_find(m, MHOPT_VENDOR, o));) {
		struct rcur other = rcur_make(o->data, o->len);
		uint32_t enterprise = rcur_u32(&other);

		if (enterprise == DMM_ENTERPRISE && rcur_u8(&other) == subtype) {
			*reterr_why = MH_WHY_OPTION_REPEATED;
			return false;
		}
	}
	return true;
}

/* How many of a type, and in which order. */
static bool repetition_ok(const struct mh_layout *message, const struct mh_layout *layout, const struct mh_msg *m,
	const struct mh_option *opt, enum mh_why *reterr_why)
{
	for (const struct mh_option *o = NULL; (o = mh_find(m, opt->type, o));) {
		if (!layout->repeats ||
			(layout->once_a_subtype && !message->several_nodes && o->data[0] == opt->data[0])) {
			*reterr_why = MH_WHY_OPTION_REPEATED;
			return false;
		}
		if (layout->ascending && o->data[0] >= opt->data[0]) {
			*reterr_why = o->data[0] == opt->data[0] ? MH_WHY_OPTION_REPEATED : MH_WHY_OPTION_ORDER;
			return false;
		}
	}
	return true;
}

static int read_options(struct rcur *c, const struct mh_layout *message, struct mh_msg *m, enum mh_why *reterr_why)
{
	const struct mh_layout *last = NULL;

	while (rcur_left(c) > 0) {
		struct mh_option opt = {.type = rcur_u8(c)};
		const struct mh_layout *layout;

		if (last && (last->at_end || (opt.type > MHOPT_PADN && opt.type != last->type))) {
			*reterr_why = MH_WHY_OPTION_LAST;
			return -EBADMSG;
		}
		if (opt.type == MHOPT_PAD1)
			continue;
		opt.len = rcur_u8(c);
		opt.data = rcur_take(c, opt.len);
		if (!rcur_ok(c)) {
			*reterr_why = MH_WHY_OPTION_OVERRUN;
			return -EBADMSG;
		}
		if (opt.type == MHOPT_PADN)
			continue;
		layout = mh_layout_option(opt.type);
		if (layout &&
			(!data_ok(layout, rcur_make(opt.data, opt.len), reterr_why) ||
				!repetition_ok(message, layout, m, &opt, reterr_why)))
			return -EBADMSG;
		if (opt.type == MHOPT_VENDOR && !vendor_ok(m, &opt, reterr_why))
			return -EBADMSG;
		if (layout && layout->last)
			last = layout;
		if (m->n_options == MH_OPTIONS) {
			*reterr_why = MH_WHY_OPTION_MANY;
			return -EBADMSG;
		}
		m->options[m->n_options++] = opt;
	}
	return 0;
}

int mh_read(struct rcur *c, struct mh_msg *ret, enum mh_why *reterr_why)
{
	struct rcur peek = *c, body;
	const struct mh_layout *layout;
	struct mh_msg m;
	uint8_t proto;
	size_t least;
	bool open;

	proto = rcur_u8(&peek);
	m.len = (rcur_u8(&peek) + 1u) * 8;
	m.type = rcur_u8(&peek);
	(void)rcur_u8(&peek);
	m.checksum = rcur_u16(&peek);
	m.n_options = 0;
	body = rcur_sub(c, m.len);
	if (!rcur_ok(&peek) || !rcur_ok(&body)) {
		*reterr_why = MH_WHY_SHORT;
		return -EBADMSG;
	}
	m.bytes = body.base;
	if (proto != MH_NO_NEXT) {
		*reterr_why = MH_WHY_PROTO;
		return -EBADMSG;
	}
	layout = mh_layout_message(m.type, rcur_u8(&peek));
	if (!layout) {
		/* RFC 5846 5: types other than 1 and 2 are reserved */
		*reterr_why = m.type == MH_REVOCATION ? MH_WHY_VALUE : MH_WHY_UNKNOWN_TYPE;
		return -EBADMSG;
	}
	least = 6 + mh_layout_size(layout, &open);
	if (m.len < least) {
		*reterr_why = MH_WHY_LENGTH;
		return -EBADMSG;
	}
	rcur_skip(&body, 6);
	m.heartbeat = (struct mh_heartbeat){0};
	switch (m.type) {
	case MH_BU:
		m.bu.sequence = rcur_u16(&body);
		m.bu.flags = rcur_u16(&body);
		m.bu.lifetime_s = rcur_u16(&body) * 4u;
		break;
	case MH_BA:
		m.ba.status = rcur_u8(&body);
		m.ba.flags = rcur_u8(&body);
		m.ba.sequence = rcur_u16(&body);
		m.ba.lifetime_s = rcur_u16(&body) * 4u;
		break;
	case MH_HEARTBEAT:
		m.heartbeat.flags = rcur_u16(&body);
		m.heartbeat.sequence = rcur_u32(&body);
		break;
	case MH_REVOCATION:
		m.revocation.b_type = rcur_u8(&body);
		m.revocation.trigger = rcur_u8(&body);
		m.revocation.sequence = rcur_u16(&body);
		m.revocation.flags = rcur_u16(&body);
		break;
	default:
		rcur_skip(&body, least - 6);
	}
	if (!open && read_options(&body, layout, &m, reterr_why) < 0)
		return -EBADMSG;
	/* only the options that are there: most of the array is not worth copying */
	memcpy(ret, &m, offsetof(struct mh_msg, options) + m.n_options * sizeof(m.options[0]));
	return 0;
}

bool mhopt_address(const struct mh_option *opt, struct in6_addr *ret)
{
	struct rcur c = rcur_make(opt ? opt->data : NULL, opt ? opt->len : 0);

	rcur_in6(&c, ret);
	return rcur_ok(&c);
}

bool mhopt_link_layer(const struct mh_option *opt, uint8_t ret[6])
{
	struct rcur c = rcur_make(opt ? opt->data : NULL, opt ? opt->len : 0);

	memset(ret, 0, 6);
	(void)rcur_u16(&c);
	if (rcur_left(&c) != 6)
		return false;
	rcur_bytes(&c, ret, 6);
	return rcur_ok(&c);
}

bool mhopt_prefix(const struct mh_option *opt, struct prefix6 *ret)
{
	struct rcur c = rcur_make(opt ? opt->data : NULL, opt ? opt->len : 0);
	struct in6_addr addr;
	uint8_t len;

	(void)rcur_u8(&c);
	len = rcur_u8(&c);
	rcur_in6(&c, &addr);
	if (!rcur_ok(&c))
		return false;
	*ret = prefix6_make(&addr, len);
	return true;
}

bool mhopt_u16(const struct mh_option *opt, uint16_t *ret)
{
	struct rcur c = rcur_make(opt ? opt->data : NULL, opt ? opt->len : 0);

	*ret = rcur_u16(&c);
	return rcur_ok(&c);
}

bool mhopt_u32(const struct mh_option *opt, uint32_t *ret)
{
	struct rcur c = rcur_make(opt ? opt->data : NULL, opt ? opt->len : 0);

	*ret = rcur_u32(&c);
	return rcur_ok(&c);
}

/* A cursor on the data of our vendor option of this subtype; failed if there is none. */
static struct rcur dmmopt_find(const struct mh_msg *m, enum dmmopt_type subtype)
{
	for (const struct mh_option *o = NULL; (o = mh_find(m, MHOPT_VENDOR, o));) {
		struct rcur c = rcur_make(o->data, o->len);
		uint32_t vendor = rcur_u32(&c);

		if (vendor == DMM_ENTERPRISE && rcur_u8(&c) == subtype)
			return c;
	}
	return (struct rcur){.failed = true};
}

bool dmmopt_lease(const struct mh_msg *m, struct dmmopt_lease *ret)
{
	struct rcur c = dmmopt_find(m, DMMOPT_LEASE);

	ret->lifetime_s = rcur_u32(&c);
	ret->flags = rcur_u32(&c);
	return rcur_ok(&c);
}

bool dmmopt_tunnel_mtu(const struct mh_msg *m, uint16_t *ret)
{
	struct rcur c = dmmopt_find(m, DMMOPT_TUNNEL_MTU);

	(void)rcur_u16(&c);
	*ret = rcur_u16(&c);
	return rcur_ok(&c);
}

bool dmmopt_probe(const struct mh_msg *m, struct dmmopt_probe *ret)
{
	struct rcur c = dmmopt_find(m, DMMOPT_PROBE);

	ret->id = rcur_u32(&c);
	ret->size = rcur_u16(&c);
	(void)rcur_u16(&c);
	return rcur_ok(&c);
}

static bool dmmopt_address(const struct mh_msg *m, enum dmmopt_type type, struct in6_addr *ret)
{
	struct rcur c = dmmopt_find(m, type);

	rcur_in6(&c, ret);
	return rcur_ok(&c);
}

bool dmmopt_anchor(const struct mh_msg *m, struct in6_addr *ret)
{
	return dmmopt_address(m, DMMOPT_ANCHOR, ret);
}

bool dmmopt_former(const struct mh_msg *m, struct in6_addr *ret)
{
	return dmmopt_address(m, DMMOPT_FORMER, ret);
}

bool dmmopt_regional(const struct mh_msg *m, struct in6_addr *ret)
{
	return dmmopt_address(m, DMMOPT_REGIONAL, ret);
}

size_t dmmopt_sealed(const struct mh_msg *m, uint32_t *ret_cookie, uint8_t *buf, size_t size)
{
	size_t len = 0;

	for (const struct mh_option *o = NULL; (o = mh_find(m, MHOPT_VENDOR, o));) {
		struct rcur c = rcur_make(o->data, o->len);
		uint32_t cookie;
		size_t n;

		if (rcur_u32(&c) != DMM_ENTERPRISE || rcur_u8(&c) != DMMOPT_SEALED)
			continue;
		cookie = rcur_u32(&c);
		n = rcur_left(&c);
		if (!rcur_ok(&c) || n > size - len || (len && cookie != *ret_cookie))
			return 0;
		*ret_cookie = cookie;
		rcur_bytes(&c, buf + len, n);
		len += n;
	}
	return len;
}

bool mh_is_relay(const struct mh_msg *m)
{
	return m->type == MH_EXPERIMENTAL && m->len >= 8 && m->bytes[6] == MH_RELAY;
}

/* --- writing --------------------------------------------------------------------------------------------------- */

static uint16_t to_time4(uint32_t s)
{
	uint32_t units = s / 4;

	if (units > 0xffff)
		return 0xffff;
	return s && !units ? 1 : (uint16_t)units;
}

struct mh_writer mh_begin(struct wcur *w, uint8_t type, uint16_t checksum)
{
	struct mh_writer m = {.w = w, .start = wcur_len(w)};

	wcur_u8(w, MH_NO_NEXT);
	wcur_u8(w, 0); /* Header Len: mh_end */
	wcur_u8(w, type);
	wcur_u8(w, 0);
	wcur_u16(w, checksum);
	return m;
}

struct mh_writer mh_begin_brr(struct wcur *w)
{
	struct mh_writer m = mh_begin(w, MH_BRR, 0);

	wcur_zero(w, 2);
	return m;
}

struct mh_writer mh_begin_bu(struct wcur *w, const struct mh_bu *bu)
{
	struct mh_writer m = mh_begin(w, MH_BU, 0);

	wcur_u16(w, bu->sequence);
	wcur_u16(w, bu->flags);
	wcur_u16(w, to_time4(bu->lifetime_s));
	return m;
}

struct mh_writer mh_begin_ba(struct wcur *w, const struct mh_ba *ba)
{
	struct mh_writer m = mh_begin(w, MH_BA, 0);

	wcur_u8(w, ba->status);
	wcur_u8(w, ba->flags);
	wcur_u16(w, ba->sequence);
	wcur_u16(w, to_time4(ba->lifetime_s));
	return m;
}

struct mh_writer mh_begin_heartbeat(struct wcur *w, const struct mh_heartbeat *hb)
{
	struct mh_writer m = mh_begin(w, MH_HEARTBEAT, 0);

	wcur_u16(w, hb->flags);
	wcur_u32(w, hb->sequence);
	return m;
}

struct mh_writer mh_begin_relay(struct wcur *w)
{
	struct mh_writer m = mh_begin(w, MH_EXPERIMENTAL, 0);

	wcur_u8(w, MH_RELAY);
	wcur_u8(w, 0);
	return m;
}

struct mh_writer mh_begin_revocation(struct wcur *w, const struct mh_revocation *r)
{
	struct mh_writer m = mh_begin(w, MH_REVOCATION, 0);

	wcur_u8(w, r->b_type);
	wcur_u8(w, r->trigger);
	wcur_u16(w, r->sequence);
	wcur_u16(w, r->flags);
	return m;
}

static void put_padding(struct mh_writer *m, size_t n)
{
	while (n > 0) {
		size_t k = n > 257 ? 257 : n;

		if (k == 1) {
			wcur_u8(m->w, MHOPT_PAD1);
		} else {
			wcur_u8(m->w, MHOPT_PADN);
			wcur_u8(m->w, (uint8_t)(k - 2));
			wcur_zero(m->w, k - 2);
		}
		n -= k;
	}
}

void mh_align(struct mh_writer *m, const struct mh_layout *layout, uint8_t len)
{
	size_t at = wcur_len(m->w) - m->start, align = 0, offset = 0;

	if (layout) {
		align = layout->align;
		offset = layout->offset;
	}
	if (layout && layout->type == MHOPT_AUTH) {
		/* RFC 4285 5: 4n+1; as the last option its end must also be the message's, so that padding stands
		 * before it */
		align = 8;
		offset = (8 - (len + 2u) % 8) % 8;
		if (offset % 4 != 1) {
			align = 4;
			offset = 1;
		}
	}
	if (align)
		put_padding(m, (align + offset - at % align) % align);
}

void mh_put_bytes(struct mh_writer *m, uint8_t type, const void *data, uint8_t len)
{
	mh_align(m, mh_layout_option(type), len);
	wcur_u8(m->w, type);
	wcur_u8(m->w, len);
	wcur_bytes(m->w, data, len);
}

void mh_put_link_layer(struct mh_writer *m, const uint8_t link_layer[6])
{
	static const uint8_t none[6];
	uint8_t data[8] = {0};

	if (!memcmp(link_layer, none, sizeof(none)))
		return;
	memcpy(data + 2, link_layer, 6);
	mh_put_bytes(m, MHOPT_LL_ID, data, sizeof(data));
}

void mh_put_address(struct mh_writer *m, uint8_t type, const struct in6_addr *address)
{
	mh_put_bytes(m, type, address, sizeof(*address));
}

void mh_put_prefix(struct mh_writer *m, uint8_t type, const struct prefix6 *prefix)
{
	uint8_t b[18] = {0, prefix->len};

	memcpy(b + 2, &prefix->addr, 16);
	mh_put_bytes(m, type, b, sizeof(b));
}

void mh_put_u16(struct mh_writer *m, uint8_t type, uint16_t v)
{
	mh_put_bytes(m, type, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

void mh_put_u32(struct mh_writer *m, uint8_t type, uint32_t v)
{
	mh_put_bytes(m, type, (uint8_t[]){(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v}, 4);
}

static void put_vendor(struct mh_writer *m, enum dmmopt_type subtype, uint32_t first, uint32_t second, bool two)
{
	uint8_t buf[16];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u32(&w, DMM_ENTERPRISE);
	wcur_u8(&w, (uint8_t)subtype);
	wcur_u32(&w, first);
	if (two)
		wcur_u32(&w, second);
	mh_put_bytes(m, MHOPT_VENDOR, buf, (uint8_t)wcur_len(&w));
}

void mh_put_lease(struct mh_writer *m, const struct dmmopt_lease *lease)
{
	put_vendor(m, DMMOPT_LEASE, lease->lifetime_s, lease->flags, true);
}

void mh_put_tunnel_mtu(struct mh_writer *m, uint16_t mtu)
{
	put_vendor(m, DMMOPT_TUNNEL_MTU, mtu, 0, false);
}

void mh_put_probe(struct mh_writer *m, const struct dmmopt_probe *probe)
{
	put_vendor(m, DMMOPT_PROBE, probe->id, (uint32_t)probe->size << 16, true);
}

static void put_vendor_address(struct mh_writer *m, enum dmmopt_type type, const struct in6_addr *address)
{
	uint8_t buf[5 + 16];
	struct wcur w = wcur_make(buf, sizeof(buf));

	wcur_u32(&w, DMM_ENTERPRISE);
	wcur_u8(&w, (uint8_t)type);
	wcur_in6(&w, address);
	mh_put_bytes(m, MHOPT_VENDOR, buf, sizeof(buf));
}

void mh_put_anchor(struct mh_writer *m, const struct in6_addr *anchor)
{
	put_vendor_address(m, DMMOPT_ANCHOR, anchor);
}

void mh_put_regional(struct mh_writer *m, const struct in6_addr *ama)
{
	put_vendor_address(m, DMMOPT_REGIONAL, ama);
}

void mh_put_former(struct mh_writer *m, const struct in6_addr *address)
{
	put_vendor_address(m, DMMOPT_FORMER, address);
}

void mh_put_sealed(struct mh_writer *m, uint32_t cookie, const uint8_t *bytes, size_t len)
{
	uint8_t buf[255];

	for (size_t at = 0, n; at < len; at += n) {
		struct wcur w = wcur_make(buf, sizeof(buf));

		n = len - at < sizeof(buf) - 9 ? len - at : sizeof(buf) - 9;
		wcur_u32(&w, DMM_ENTERPRISE);
		wcur_u8(&w, DMMOPT_SEALED);
		wcur_u32(&w, cookie);
		wcur_bytes(&w, bytes + at, n);
		mh_put_bytes(m, MHOPT_VENDOR, buf, (uint8_t)wcur_len(&w));
	}
}

void mh_put_nai(struct mh_writer *m, const char *node)
{
	char buf[132];
	int n = snprintf(buf, sizeof(buf), "%c%s", 1, node);

	mh_put_bytes(m, MHOPT_MN_ID, buf, (uint8_t)n);
}

void mh_pad_to(struct mh_writer *m, size_t len)
{
	size_t at = wcur_len(m->w) - m->start;

	if (at < len)
		put_padding(m, len - at);
}

void mh_end(struct mh_writer *m)
{
	size_t len;

	put_padding(m, (8 - (wcur_len(m->w) - m->start) % 8) % 8);
	len = wcur_len(m->w) - m->start;
	if (len > MH_MAX_LEN || len < 8)
		m->w->failed = true;
	else
		wcur_patch_u8(m->w, m->start + 1, (uint8_t)(len / 8 - 1));
}

static uint32_t sum16(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	return sum;
}

uint16_t mh_checksum(const struct in6_addr *src, const struct in6_addr *dst, const uint8_t *mh, size_t len)
{
	uint32_t sum = sum16(src->s6_addr, 16) + sum16(dst->s6_addr, 16) + (uint32_t)len + IPPROTO_MH;

	sum += sum16(mh, 4) + sum16(mh + 6, len - 6);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void mh_set_checksum(const struct in6_addr *src, const struct in6_addr *dst, uint8_t *mh, size_t len)
{
	struct wcur w = wcur_make(mh, len);

	(void)wcur_room(&w, 4);
	wcur_u16(&w, mh_checksum(src, dst, mh, len));
}
