/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mhtool.c - mobility headers for people: hex or a capture to JSON, JSON to hex
 *
 * Decoding and encoding are mhjson.c's; here are lines, the file format of captures, and the way from a frame to the
 * mobility header in it. Of a capture only what is IPv6 and ends in a mobility header is looked at; the rest is passed
 * over. A home address option stands for the source and a type 2 routing header for the destination in the checksum
 * (RFC 6275 6.1.1). Left out: pcapng, fragments, messages inside tunnels and inside the secure channel. */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mh.h"
#include "mhjson.h"
#include "wire.h"

#define FRAME_MAX    262144 /* the largest that tcpdump keeps of a packet */
#define EXTENSIONS   8	    /* extension headers of one packet that are followed */
#define IPV6_HEADER  40
#define NEXT_HOPOPTS 0
#define NEXT_ROUTING 43
#define NEXT_AH	     51
#define NEXT_DSTOPTS 60
#define NEXT_MH	     135
#define OPTION_PAD1  0
#define OPTION_HAO   0xc9 /* RFC 6275 6.3 */

struct addresses {
	struct in6_addr src, dst;
	bool known;
};

/* Where a message came from, for its object and for what is said of it. */
struct origin {
	char name[128];
	json_t *packet; /* members about the packet, or NULL */
};

/* --- one message ----------------------------------------------------------------------------------------------- */

static int say(const struct origin *origin, const char *what)
{
	(void)fflush(stdout); /* so that both are in order if they go to the same place */
	(void)fprintf(stderr, "mhtool: %s: %s\n", origin->name, what);
	return -1;
}

/* Print one message as JSON. A false checksum is told, but does not hide what the message says. */
static int decode_message(struct rcur *c, const struct addresses *a, struct origin *origin)
{
	struct mh_msg msg;
	enum mh_why why;
	uint16_t sum;
	char text[96];
	json_t *obj;
	int r = 0;

	if (mh_read(c, &msg, &why) < 0)
		return say(origin, mh_why_name(why));
	obj = mhjson_from_message(&msg);
	if (obj && origin->packet)
		(void)json_object_update_missing(obj, origin->packet);
	if (a->known) {
		sum = mh_checksum(&a->src, &a->dst, msg.bytes, msg.len);
		(void)json_object_set_new(obj, "checksum_ok", json_boolean(sum == msg.checksum));
		(void)snprintf(text, sizeof(text), "%s: is 0x%04x, should be 0x%04x", mh_why_name(MH_WHY_CHECKSUM),
			msg.checksum, sum);
		if (sum != msg.checksum)
			r = say(origin, text);
	}
	if (!obj || json_dumpf(obj, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0)
		r = say(origin, "cannot write the object");
	(void)putchar('\n');
	json_decref(obj);
	return r;
}

/* --- lines ----------------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef",
		   *p = c ? strchr(digits, c | ((c >= 'A' && c <= 'F') ? 0x20 : 0)) : NULL;

	return p ? (int)(p - digits) : -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Hex digits, two a byte, spaces between bytes as one likes. */
static bool read_hex(const char *line, struct wcur *w)
{
	for (;;) {
		int high, low;

		while (is_space(*line))
			line++;
		if (!*line)
			return true;
		high = hex_digit(line[0]);
		low = high < 0 ? -1 : hex_digit(line[1]);
		if (low < 0)
			return false;
		wcur_u8(w, (uint8_t)(high << 4 | low));
		line += 2;
	}
}

static bool is_blank(const char *line)
{
	while (is_space(*line))
		line++;
	return !*line;
}

static int decode_line(const char *line, const struct addresses *a, struct origin *origin)
{
	uint8_t buf[MH_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));
	struct rcur c, rest;
	char text[96];
	size_t need;

	if (!read_hex(line, &w))
		return say(origin, "not hex digits, two a byte");
	if (!wcur_ok(&w))
		return say(origin, "longer than a mobility header can be (2048 bytes)");
	c = rest = rcur_make(buf, wcur_len(&w));
	rcur_skip(&rest, 1);
	need = ((size_t)rcur_u8(&rest) + 1) * 8;
	if (rcur_ok(&rest) && need < wcur_len(&w)) {
		(void)snprintf(text, sizeof(text), "%zu bytes behind the end of the message (its Header Len says %zu)",
			wcur_len(&w) - need, need);
		return say(origin, text);
	}
	return decode_message(&c, a, origin);
}

static int encode_line(const char *line, const struct addresses *a, struct origin *origin)
{
	uint8_t buf[MH_MAX_LEN];
	struct wcur w = wcur_make(buf, sizeof(buf));
	char text[MHJSON_ERR];
	json_error_t error;
	json_t *obj = json_loads(line, JSON_REJECT_DUPLICATES, &error);
	int r;

	if (!obj) {
		(void)snprintf(text, sizeof(text), "column %d: %.150s", error.column, error.text);
		return say(origin, text);
	}
	r = mhjson_to_message(obj, &w, text);
	json_decref(obj);
	if (r < 0)
		return say(origin, text);
	if (a->known)
		mh_set_checksum(&a->src, &a->dst, buf, wcur_len(&w));
	for (size_t i = 0; i < wcur_len(&w); i++)
		(void)printf("%02x", buf[i]);
	(void)putchar('\n');
	return 0;
}

static int each_line(const struct addresses *a, int (*line_cb)(const char *, const struct addresses *, struct origin *))
{
	struct origin origin = {.packet = NULL};
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	int r = 0;

	for (unsigned long n = 1; (len = getline(&line, &size, stdin)) >= 0; n++) {
		(void)snprintf(origin.name, sizeof(origin.name), "line %lu", n);
		if (strlen(line) != (size_t)len)
			r = say(&origin, "has a NUL byte");
		else if (!is_blank(line) && line_cb(line, a, &origin) < 0)
			r = -1;
	}
	if (ferror(stdin)) {
		(void)fprintf(stderr, "mhtool: standard input: %s\n", strerror(errno));
		r = -1;
	}
	free(line);
	return r;
}

/* --- captures -------------------------------------------------------------------------------------------------- */

static void set_address(json_t *obj, const char *key, const struct in6_addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	(void)json_object_set_new(obj, key, json_string(inet_ntop(AF_INET6, addr, text, sizeof(text))));
}

/* Home address option of a destination options header: from then on the source (RFC 6275 6.3). */
static void read_dstopts(struct rcur c, struct addresses *a, json_t *packet)
{
	while (rcur_left(&c) > 0) {
		uint8_t type = rcur_u8(&c);
		struct rcur data;

		if (type == OPTION_PAD1)
			continue;
		data = rcur_sub(&c, rcur_u8(&c));
		if (rcur_ok(&data) && type == OPTION_HAO && rcur_left(&data) == 16) {
			rcur_in6(&data, &a->src);
			set_address(packet, "home_address_option", &a->src);
		}
	}
}

/* Type 2 routing header: until it has been used up, the destination is inside (RFC 6275 6.4). */
static void read_routing(struct rcur c, struct addresses *a, json_t *packet)
{
	uint8_t type = rcur_u8(&c), segments_left = rcur_u8(&c);

	rcur_skip(&c, 4);
	if (type != 2 || segments_left != 1 || rcur_left(&c) != 16)
		return;
	rcur_in6(&c, &a->dst);
	set_address(packet, "type_2_routing_header", &a->dst);
}

/* Leave the cursor on the mobility header of an IPv6 packet. False if there is none. */
static bool find_mh(struct rcur *c, struct addresses *a, json_t *packet)
{
	uint16_t payload;
	uint8_t next;

	if (rcur_left(c) < IPV6_HEADER || rcur_u32(c) >> 28 != 6)
		return false;
	payload = rcur_u16(c);
	next = rcur_u8(c);
	rcur_skip(c, 1);
	rcur_in6(c, &a->src);
	rcur_in6(c, &a->dst);
	a->known = true;
	set_address(packet, "src", &a->src);
	set_address(packet, "dst", &a->dst);
	if (rcur_left(c) > payload) /* padding of the link */
		*c = rcur_sub(c, payload);
	for (int i = 0; next != NEXT_MH && i < EXTENSIONS; i++) {
		uint8_t header = next, len;
		struct rcur body;

		if (header != NEXT_HOPOPTS && header != NEXT_ROUTING && header != NEXT_DSTOPTS && header != NEXT_AH)
			return false;
		next = rcur_u8(c);
		len = rcur_u8(c);
		body = rcur_sub(c, header == NEXT_AH ? (len + 2u) * 4 - 2 : len * 8u + 6);
		if (!rcur_ok(&body))
			return false;
		if (header == NEXT_DSTOPTS)
			read_dstopts(body, a, packet);
		else if (header == NEXT_ROUTING)
			read_routing(body, a, packet);
	}
	return next == NEXT_MH;
}

/* Leave the cursor on the IPv6 header of a frame (link types of pcap). False if it is something else. */
static bool find_ipv6(struct rcur *c, uint32_t link, bool swapped)
{
	uint32_t family;
	uint16_t type;

	switch (link) {
	case 0:	  /* null: family in the order of the machine that captured */
	case 108: /* loop: in network order */
		family = rcur_u32(c);
		if (link == 0 && swapped)
			family = __builtin_bswap32(family);
		return family == 10 || family == 24 || family == 28 || family == 30; /* Linux and the BSDs */
	case 1:									     /* Ethernet, also with VLAN tags */
		rcur_skip(c, 12);
		for (type = rcur_u16(c); type == 0x8100 || type == 0x88a8; type = rcur_u16(c))
			rcur_skip(c, 2);
		return type == 0x86dd;
	case 113: /* Linux cooked */
		rcur_skip(c, 14);
		return rcur_u16(c) == 0x86dd;
	case 276: /* Linux cooked v2 */
		type = rcur_u16(c);
		rcur_skip(c, 18);
		return type == 0x86dd;
	default: /* raw IP: the version tells */
		return true;
	}
}

static bool link_known(uint32_t link)
{
	static const uint32_t known[] = {0, 1, 12, 14, 101, 108, 113, 229, 276};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == link)
			return true;
	return false;
}

static uint32_t file_u32(struct rcur *c, bool swapped)
{
	uint32_t v = rcur_u32(c);

	return swapped ? __builtin_bswap32(v) : v;
}

/* One record; returns 1 at the end of the file, -1 when the file is broken or a message was refused (*ret_fatal tells
 * which). */
static int decode_record(FILE *f, const char *path, unsigned long n, uint32_t link, bool swapped, bool nanoseconds,
	uint8_t *frame, bool *ret_fatal)
{
	struct origin origin;
	struct addresses a = {.known = false};
	uint8_t header[16] = {0};
	struct rcur c = rcur_make(header, sizeof(header));
	size_t got = fread(header, 1, sizeof(header), f);
	uint32_t seconds, fraction, len;
	char text[64];
	int r = 0;

	(void)snprintf(origin.name, sizeof(origin.name), "%.80s, packet %lu", path, n);
	*ret_fatal = true;
	if (!got && !ferror(f))
		return 1;
	seconds = file_u32(&c, swapped);
	fraction = file_u32(&c, swapped);
	len = file_u32(&c, swapped);
	if (got != sizeof(header))
		return say(&origin, ferror(f) ? strerror(errno) : "the file ends in the middle");
	if (len > FRAME_MAX)
		return say(&origin, "is too long: this is not a capture, or a broken one");
	if (fread(frame, 1, len, f) != len)
		return say(&origin, ferror(f) ? strerror(errno) : "the file ends in the middle");
	*ret_fatal = false;
	c = rcur_make(frame, len);
	if (!find_ipv6(&c, link, swapped))
		return 0;
	origin.packet = json_object();
	(void)snprintf(text, sizeof(text), "%" PRIu32 ".%0*" PRIu32, seconds, nanoseconds ? 9 : 6, fraction);
	(void)json_object_set_new(origin.packet, "packet", json_integer((json_int_t)n));
	(void)json_object_set_new(origin.packet, "time", json_string(text));
	if (find_mh(&c, &a, origin.packet))
		r = decode_message(&c, &a, &origin);
	json_decref(origin.packet);
	return r;
}

static int decode_file(const char *path)
{
	static uint8_t frame[FRAME_MAX];
	uint8_t header[24] = {0};
	struct rcur c = rcur_make(header, sizeof(header));
	FILE *f = fopen(path, "rbe");
	bool swapped, nanoseconds, fatal = false;
	const char *fault = NULL;
	uint32_t magic, link;
	size_t got;
	int r = 0;

	if (!f) {
		(void)fprintf(stderr, "mhtool: %s: %s\n", path, strerror(errno));
		return -1;
	}
	got = fread(header, 1, sizeof(header), f);
	magic = rcur_u32(&c);
	swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	if (swapped)
		magic = __builtin_bswap32(magic);
	nanoseconds = magic == 0xa1b23c4d;
	rcur_skip(&c, 16);
	link = file_u32(&c, swapped) & 0x0fffffff; /* the upper bits speak of frame check sequences */
	if (ferror(f))
		fault = strerror(errno);
	else if (got >= 4 && magic == 0x0a0d0d0a)
		fault = "is pcapng: convert it first (editcap -F pcap IN OUT)";
	else if (got != sizeof(header) || (magic != 0xa1b2c3d4 && !nanoseconds))
		fault = "is not a pcap file";
	if (fault) {
		(void)fprintf(stderr, "mhtool: %s: %s\n", path, fault);
		r = -1;
	} else if (!link_known(link)) {
		(void)fprintf(stderr, "mhtool: %s: link type %" PRIu32 " is not known here\n", path, link);
		r = -1;
	}
	for (unsigned long n = 1; !fatal && !fault && link_known(link); n++)
		if (decode_record(f, path, n, link, swapped, nanoseconds, frame, &fatal) < 0)
			r = -1;
	(void)fclose(f);
	return r;
}

/* --- main ------------------------------------------------------------------------------------------------------ */

static void usage(FILE *f)
{
	(void)fprintf(f,
		"usage: mhtool decode [--src ADDR --dst ADDR] [FILE.pcap]\n"
		"       mhtool encode [--src ADDR --dst ADDR]\n\n"
		"  decode   mobility headers in hex, one a line, or those in a capture -> one JSON object a line\n"
		"  encode   such objects, one a line -> hex\n\n"
		"  --src, --dst   addresses for the checksum: decode checks it, encode fills it in\n"
		"  --help, --version\n\n"
		"Exit status: 0 done, 1 something was malformed (the reason is told), 2 wrong usage. See mhtool(1).\n");
}

enum { OPT_SRC = 256, OPT_DST, OPT_VERSION };

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"src", required_argument, NULL, OPT_SRC},
		{"dst", required_argument, NULL, OPT_DST}, {"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPT_VERSION}, {0}};
	struct addresses a = {.known = false};
	bool src = false, dst = false;
	const char *command;
	int opt, r;

	while ((opt = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		switch (opt) {
		case OPT_SRC:
		case OPT_DST:
			if (inet_pton(AF_INET6, optarg, opt == OPT_SRC ? &a.src : &a.dst) != 1) {
				(void)fprintf(stderr, "mhtool: --%s: '%s' is not an IPv6 address\n",
					opt == OPT_SRC ? "src" : "dst", optarg);
				return 2;
			}
			*(opt == OPT_SRC ? &src : &dst) = true;
			break;
		case OPT_VERSION:
			(void)printf("mhtool %s\n", PACKAGE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (src != dst) {
		(void)fprintf(stderr, "mhtool: --src and --dst go together\n");
		return 2;
	}
	a.known = src;
	command = optind < argc ? argv[optind] : "";
	argc -= optind;
	if (!strcmp(command, "decode") && argc == 2 && !src) {
		r = decode_file(argv[optind + 1]);
	} else if (!strcmp(command, "decode") && argc == 2) {
		(void)fprintf(
			stderr, "mhtool: --src and --dst are for hex: packets of a file have their own addresses\n");
		return 2;
	} else if (!strcmp(command, "decode") && argc == 1) {
		r = each_line(&a, decode_line);
	} else if (!strcmp(command, "encode") && argc == 1) {
		r = each_line(&a, encode_line);
	} else {
		usage(stderr);
		return 2;
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		(void)fprintf(stderr, "mhtool: standard output: %s\n", strerror(errno));
		return 1;
	}
	return r < 0 ? 1 : 0;
}
