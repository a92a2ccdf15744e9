/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mh.h - mobility header: messages and options (RFC 6275 6; 4283, 4285, 5094, 5096, 5213, 5568, 5846, 5847, 6705, 8885)
 *
 * One table describes each message and option field by field: reading checks against it, mhtool prints and builds from
 * it. Daemons read what they use through the small structs below. Lifetimes are in seconds here; units of four seconds
 * end in this file. When written they are rounded down, but 1..3 s become one unit, because zero means "delete". */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prefix6.h"
#include "wire.h"

#define MH_MAX_LEN 2048 /* RFC 6275 6.1.1: 255 units of 8 octets and the first 8 */
#define MH_NO_NEXT 59	/* Payload Proto */
#define MH_OPTIONS 64	/* options of one message other than padding; more refuse it */

enum mh_type {
	MH_BRR = 0,
	MH_HOTI = 1,
	MH_COTI = 2,
	MH_HOT = 3,
	MH_COT = 4,
	MH_BU = 5,
	MH_BA = 6,
	MH_BE = 7,
	MH_EXPERIMENTAL = 11,
	MH_HEARTBEAT = 13,
	MH_REVOCATION = 16,
	MH_LRI = 17,
	MH_LRA = 18,
};

enum mhopt_type {
	MHOPT_PAD1 = 0,
	MHOPT_PADN = 1,
	MHOPT_REFRESH_ADVICE = 2,
	MHOPT_ALT_COA = 3,
	MHOPT_NONCE_INDICES = 4,
	MHOPT_AUTH_DATA = 5,
	MHOPT_MN_ID = 8,
	MHOPT_AUTH = 9,
	MHOPT_REPLAY = 10,
	MHOPT_EXPERIMENTAL = 18,
	MHOPT_VENDOR = 19,
	MHOPT_HNP = 22,
	MHOPT_HANDOFF = 23,
	MHOPT_ACCESS_TECH = 24,
	MHOPT_LL_ID = 25,
	MHOPT_LINK_LOCAL = 26,
	MHOPT_TIMESTAMP = 27,
	MHOPT_RESTART_COUNTER = 28,
	MHOPT_MAG_ADDRESS = 51,
	MHOPT_ANCHORED_PREFIX = 65,
	MHOPT_LOCAL_PREFIX = 66,
	MHOPT_PREVIOUS_MAAR = 67,
	MHOPT_SERVING_MAAR = 68,
	MHOPT_DLIF_LINK_LOCAL = 69,
	MHOPT_DLIF_LL_ID = 70,
};

/* Why a message was refused: counter, log text and test name at once. */
enum mh_why {
	MH_WHY_SHORT,		/* fewer bytes than its Header Len says, or than a header */
	MH_WHY_PROTO,		/* Payload Proto is not 59 */
	MH_WHY_UNKNOWN_TYPE,	/* MH type we do not implement */
	MH_WHY_LENGTH,		/* Header Len below the least of its type */
	MH_WHY_OPTION_OVERRUN,	/* option runs over the end of the message */
	MH_WHY_OPTION_LENGTH,	/* option of a known type with a length it cannot have */
	MH_WHY_OPTION_REPEATED, /* option that may stand once only stands twice */
	MH_WHY_OPTION_LAST,	/* an option behind one that must be the last */
	MH_WHY_OPTION_ORDER,	/* options of one type in the wrong order of their subtypes */
	MH_WHY_OPTION_MANY,	/* more options than we take */
	MH_WHY_VALUE,		/* a field has a value that it cannot have (prefix length over 128, ...) */
	MH_WHY_CHECKSUM,
	MH_WHY_N
};
const char *mh_why_name(enum mh_why why);

/* BU flags (RFC 6275 6.1.7 and its successors) and BA flags. */
#define MH_BU_A	       0x8000
#define MH_BU_H	       0x4000
#define MH_BU_P	       0x0200
#define MH_BU_D	       0x0010
#define MH_BA_P	       0x20
#define MH_BA_D	       0x02
#define MH_HEARTBEAT_U 0x0002
#define MH_HEARTBEAT_R 0x0001

/* Binding Revocation (RFC 5846): B. Type, why, and what became of it. */
#define MH_REVOCATION_INDICATION     1
#define MH_REVOCATION_ACK	     2
#define MH_REVOCATION_ADMINISTRATIVE 1	    /* trigger */
#define MH_REVOCATION_HANDOVER	     4	    /* trigger: inter-MAG, we do not know of which kind */
#define MH_REVOCATION_P		     0x8000 /* flag: of a proxy binding */
#define MH_REVOCATION_NO_BINDING     128    /* status of an acknowledgement */

/* BA status codes used here (RFC 6275 6.1.8, RFC 5213 8.9); the names of all are in mh_status_name. */
enum mh_status {
	MH_STATUS_OK = 0,
	MH_STATUS_UNSPECIFIED = 128,
	MH_STATUS_PROHIBITED = 129,
	MH_STATUS_RESOURCES = 130,
	MH_STATUS_NOT_HOME_AGENT = 133,
	MH_STATUS_SEQUENCE = 135,
	MH_STATUS_NO_PROXIES = 152,	    /* RFC 5213 8.9: proxy registration is not enabled */
	MH_STATUS_NOT_AUTHORISED_MAG = 154, /* RFC 5213 8.9: nor for this AMA */
	MH_STATUS_NOT_AUTHORISED_HNP = 155,
	MH_STATUS_INVALID_COA = 174,
};
const char *mh_status_name(uint8_t status);
bool mh_type_is_known(uint8_t type);
const char *mh_type_name(uint8_t type); /* "binding_update"; "unknown" */

struct mh_bu {
	uint16_t sequence;
	uint16_t flags;
	uint32_t lifetime_s;
};
struct mh_ba {
	uint8_t status;
	uint8_t flags;
	uint16_t sequence;
	uint32_t lifetime_s;
};
struct mh_heartbeat {
	uint16_t flags;
	uint32_t sequence;
};

struct mh_revocation {
	uint8_t b_type;
	uint8_t trigger; /* of an indication; the status of an acknowledgement */
	uint16_t sequence;
	uint16_t flags;
};

struct mh_layout;

/* One option: type, length and data lie in the bytes the message was read from. Its length was checked against the
 * table. */
struct mh_option {
	uint8_t type, len;
	const uint8_t *data; /* len bytes behind Type and Length */
};

struct mh_msg {
	uint8_t type;
	uint16_t checksum;
	const uint8_t *bytes; /* the whole message, len bytes: the reader's buffer must outlive this */
	size_t len;
	union { /* by type; the others are reached through mhtool's table only */
		struct mh_bu bu;
		struct mh_ba ba;
		struct mh_heartbeat heartbeat;
		struct mh_revocation revocation;
	};
	unsigned n_options;
	struct mh_option options[MH_OPTIONS]; /* without padding, in order */
};

/* Read one message and leave the cursor behind it, so that messages back to back are read in a loop.
 * All or nothing: one bad option refuses the message, *ret is then left as it was. The cursor stands behind the refused
 * message too, or has failed (MH_WHY_SHORT), which ends the loop. Unknown options are kept as bytes and otherwise
 * skipped. The checksum is not looked at. Returns 0, or -EBADMSG with *reterr_why set. Does not allocate, does not log.
 */
int mh_read(struct rcur *c, struct mh_msg *ret, enum mh_why *reterr_why);

/* The first option of a type behind prev (NULL = from the start), or NULL. */
const struct mh_option *mh_find(const struct mh_msg *m, uint8_t type, const struct mh_option *prev);

/* Read an option's value. They return false when opt is NULL, so that mh_find can stand inside. */
bool mhopt_address(const struct mh_option *opt, struct in6_addr *ret); /* 3, 26, 68, 69 */
bool mhopt_link_layer(const struct mh_option *opt, uint8_t ret[6]);    /* 25, of Ethernet; ret is zero when it is not */
bool mhopt_prefix(const struct mh_option *opt, struct prefix6 *ret);   /* 22, 65, 66 */
bool mhopt_u16(const struct mh_option *opt, uint16_t *ret);	       /* 2: units of 4 s as on the wire */
bool mhopt_u32(const struct mh_option *opt, uint32_t *ret);	       /* 28 */

/* Our vendor options (RFC 5094). The enterprise number is the one that RFC 5612 sets aside for examples: we have none
 * of our own yet. */
#define DMM_ENTERPRISE 32473
enum dmmopt_type {
	/* data of another length than this refuses the message; subtypes not listed are skipped */
	DMMOPT_LEASE = 1,      /* lifetime_s u32, flags u32 */
	DMMOPT_TUNNEL_MTU = 2, /* reserved u16, MTU u16: largest inner packet that fits the tunnel */
	DMMOPT_PROBE = 3,      /* id u32, size u16, reserved u16: a path MTU probe of that IPv6 packet size */
	DMMOPT_SEALED = 4, /* cookie u32, bytes: part of a datagram of the secure channel between two others; repeats */
	DMMOPT_ANCHOR = 5, /* address: the AMA to which an update is to be passed on */
	DMMOPT_REGIONAL = 6, /* address: the AMA through which updates from here go (RFC 5380: the MAP) */
	DMMOPT_FORMER = 7,   /* address: of the AMA that sends this, until now */
};
#define DMMOPT_LEASE_ATTACH 0x1 /* the sender is on this anchor's link: route natively */
#define DMMOPT_LEASE_NEW    0x2 /* another prefix than the one it has */
#define DMMOPT_LEASE_DRAIN  0x4 /* in an answer: the anchor is being drained, begin nothing new on this prefix */
/* With NEW: the node's number of this wish, so that asking again after a lost answer gets the same prefix; 0 = each is
 * another wish. */
#define DMMOPT_LEASE_WISH(n)   ((uint32_t)(n) << 16)
#define DMMOPT_LEASE_WISHED(f) ((uint16_t)((f) >> 16))
struct dmmopt_lease {
	uint32_t lifetime_s; /* wanted or granted; 0 = release */
	uint32_t flags;
};
struct dmmopt_probe {
	uint32_t id;
	uint16_t size;
};
/* The SEALED options of a message put together. Returns the length, 0 = none, too long for size, or of
 * several cookies. */
size_t dmmopt_sealed(const struct mh_msg *m, uint32_t *ret_cookie, uint8_t *buf, size_t size);
bool dmmopt_anchor(const struct mh_msg *m, struct in6_addr *ret);
bool dmmopt_regional(const struct mh_msg *m, struct in6_addr *ret);
bool dmmopt_former(const struct mh_msg *m, struct in6_addr *ret);
bool dmmopt_lease(const struct mh_msg *m, struct dmmopt_lease *ret);
bool dmmopt_tunnel_mtu(const struct mh_msg *m, uint16_t *ret);
bool dmmopt_probe(const struct mh_msg *m, struct dmmopt_probe *ret);

/* Writing: begin, options in any order, end. Padding before options and at the end is put in as their alignment asks.
 * A message that does not fit fails the cursor. */
struct mh_writer {
	struct wcur *w;
	size_t start;
};
struct mh_writer mh_begin_brr(struct wcur *w); /* Binding Refresh Request (RFC 6275 6.1.2) */
struct mh_writer mh_begin_bu(struct wcur *w, const struct mh_bu *bu);
struct mh_writer mh_begin_ba(struct wcur *w, const struct mh_ba *ba);
struct mh_writer mh_begin_heartbeat(struct wcur *w, const struct mh_heartbeat *hb);
/* Relay: our subtype of the experimental message (RFC 5096): a SEALED datagram on its way. */
#define MH_RELAY 0xd1
bool mh_is_relay(const struct mh_msg *m);
struct mh_writer mh_begin_relay(struct wcur *w);
struct mh_writer mh_begin_revocation(struct wcur *w, const struct mh_revocation *r);
void mh_put_bytes(struct mh_writer *m, uint8_t type, const void *data, uint8_t len);
void mh_put_address(struct mh_writer *m, uint8_t type, const struct in6_addr *address);
/* Mobile Node Link-layer Identifier (RFC 5213 8.6) of Ethernet; nothing when it is zero. */
void mh_put_link_layer(struct mh_writer *m, const uint8_t link_layer[6]);
void mh_put_prefix(struct mh_writer *m, uint8_t type, const struct prefix6 *prefix);
void mh_put_u16(struct mh_writer *m, uint8_t type, uint16_t v);
void mh_put_u32(struct mh_writer *m, uint8_t type, uint32_t v);
void mh_put_lease(struct mh_writer *m, const struct dmmopt_lease *lease);
void mh_put_tunnel_mtu(struct mh_writer *m, uint16_t mtu);
void mh_put_probe(struct mh_writer *m, const struct dmmopt_probe *probe);
void mh_put_anchor(struct mh_writer *m, const struct in6_addr *anchor);
void mh_put_regional(struct mh_writer *m, const struct in6_addr *ama);
void mh_put_former(struct mh_writer *m, const struct in6_addr *address);
/* As many options as the bytes need. */
void mh_put_sealed(struct mh_writer *m, uint32_t cookie, const uint8_t *bytes, size_t len);
/* PMIPv6's (RFC 5213 8.3, RFC 4283): who the node is, as a network access identifier. */
void mh_put_nai(struct mh_writer *m, const char *node);
/* Pad with PadN until the message has len bytes (a multiple of 8), if it is shorter. */
void mh_pad_to(struct mh_writer *m, size_t len);
/* Pad to a multiple of 8 and fill in Header Len. The checksum is left 0. */
void mh_end(struct mh_writer *m);

/* Checksum over pseudo-header and message with its checksum field taken as 0 (RFC 6275 6.1.1), host order. src is the
 * home address if a Home Address option is there, dst the one in a type 2 routing header. len is that of a whole
 * message: a multiple of 8, not 0. Inside the secure channel the field is 0 and nobody looks. */
uint16_t mh_checksum(const struct in6_addr *src, const struct in6_addr *dst, const uint8_t *mh, size_t len);
void mh_set_checksum(const struct in6_addr *src, const struct in6_addr *dst, uint8_t *mh, size_t len);

/* --- the table, for mhtool ------------------------------------------------------------------------------------- */

enum mh_kind {
	MH_END,	     /* no more fields */
	MH_RESERVED, /* size bytes, zero */
	MH_UINT,     /* size bytes, number */
	MH_TIME4,    /* u16 in units of four seconds */
	MH_FLAGS,    /* size bytes, bits with names */
	MH_ADDRESS,  /* 16 bytes */
	MH_PLEN,     /* 1 byte, prefix length 0..128 */
	MH_ALEN,     /* 1 byte, address length: always 128 */
	MH_BYTES,    /* the rest or size bytes, as hex */
	MH_TEXT,     /* the rest, as text if it is */
};
struct mh_flag {
	uint32_t bit;
	const char *name;
};
struct mh_field {
	const char *name;
	enum mh_kind kind;
	uint8_t size; /* bytes; 0 with MH_BYTES and MH_TEXT = all that is left */
	const struct mh_flag *flags;
	/* NULL, or what a number of one byte means (itself NULL for values nobody named) */
	const char *(*value_name)(uint8_t value);
};
struct mh_layout {
	uint8_t type; /* MH type, option type, or subtype of our vendor option */
	const char *name;
	uint8_t align, offset; /* option: Type byte stands at align * n + offset; align 0 = anywhere */
	bool repeats;	       /* option: may stand more than once */
	bool last;	       /* option: nothing but padding and others of this type behind it */
	bool at_end;	       /* option: not even padding behind it */
	bool once_a_subtype;   /* option: one of each subtype (first byte), where the message is about one node */
	bool ascending;	       /* option: subtypes in ascending order */
	bool several_nodes;    /* message: about more than one node */
	uint8_t first;	       /* message: holds for this value of the first field; 0 = for any */
	const struct mh_field *fields;
};
/* The rows, in order of type. */
const struct mh_layout *mh_layout_messages(size_t *ret_n);
const struct mh_layout *mh_layout_options(size_t *ret_n);
/* NULL for types we do not know; first is the first byte of Message Data (RFC 5846 has two messages under one type). */
const struct mh_layout *mh_layout_message(uint8_t type, uint8_t first);
const struct mh_layout *mh_layout_option(uint8_t type);
/* Data of the vendor option with our enterprise number. */
const struct mh_layout *mh_layout_vendor(uint8_t subtype);
/* Bytes of all fields of fixed size; *ret_open says whether more may follow. */
size_t mh_layout_size(const struct mh_layout *layout, bool *ret_open);
/* Put padding so that an option with this layout (NULL = any place) of data length len may begin. */
void mh_align(struct mh_writer *m, const struct mh_layout *layout, uint8_t len);
/* Begin a message of any type with the bytes of its fixed part. */
struct mh_writer mh_begin(struct wcur *w, uint8_t type, uint16_t checksum);
