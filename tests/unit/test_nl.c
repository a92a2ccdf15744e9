/* SPDX-License-Identifier: GPL-2.0-or-later */
/* test_nl.c - the door to the kernel: messages written, read and cut short; then a real kernel, in a network namespace
 * of its own
 *
 * Includes nl.c, for its readers and writers of messages. Where the kernel lacks something (privileges, ip6tnl) those
 * tests are skipped and say so; tests/scenarios/kernel_door.py runs the same program in a kernel that has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/veth.h>
#include <sched.h>
#include <sys/wait.h>

#include "../../common/nl.c"

#define SEC 1000000ULL

static bool in_namespace, has_tunnel;

/* --- what the owner of an nl is told ---------------------------------------------------------------------------- */

static struct {
	uint32_t gone; /* the last link that went; news of others may come after it */
	unsigned links, links_gone, addresses, deleted, changed, overruns, home_addresses;
	struct nl_link link;
	struct nl_address address;
	struct fwd_object object; /* last deleted or changed */
	struct fwd_set *set;	  /* deleted and changed go there, as in the daemons */
} told;

static void on_link(void *ctx, const struct nl_link *link, bool present)
{
	(void)ctx;
	told.links += present;
	told.links_gone += !present;
	if (!present)
		told.gone = link->ifindex;
	told.link = *link;
}

static void on_address(void *ctx, const struct nl_address *address, bool present)
{
	(void)ctx;
	told.addresses += present;
	told.address = *address;
}

static void on_deleted(void *ctx, const struct fwd_object *o)
{
	(void)ctx;
	told.deleted++;
	told.home_addresses += o->kind == FWD_ADDRESS;
	told.object = *o;
	if (told.set)
		(void)fwd_lost(told.set, o, 100 * SEC);
}

static void on_changed(void *ctx, const struct fwd_object *o)
{
	(void)ctx;
	told.changed++;
	told.home_addresses += o->kind == FWD_ADDRESS;
	told.object = *o;
	if (told.set)
		(void)fwd_changed(told.set, o, 100 * SEC);
}

static void on_overrun(void *ctx)
{
	(void)ctx;
	told.overruns++;
}

static const struct nl_ops ops = {on_link, on_address, on_deleted, on_changed, on_overrun};

static int forget(void **state)
{
	(void)state;
	memset(&told, 0, sizeof(told));
	return 0;
}

/* --- objects ---------------------------------------------------------------------------------------------------- */

static struct in6_addr in6(const char *text)
{
	struct in6_addr a;

	assert_int_equal(inet_pton(AF_INET6, text, &a), 1);
	return a;
}

static struct prefix6 prefix(const char *text)
{
	struct prefix6 p;

	assert_int_equal(prefix6_parse(text, &p), 0);
	return p;
}

static struct fwd_object zero(enum fwd_kind kind)
{
	struct fwd_object o;

	memset(&o, 0, sizeof(o)); /* padding too: objects are compared as bytes here */
	o.kind = kind;
	return o;
}

static struct fwd_object nexthop(uint32_t id, uint32_t oif, const char *dst)
{
	struct fwd_object o = zero(FWD_NEXTHOP);

	o.nexthop.id = id;
	o.nexthop.oif = oif;
	o.nexthop.encap.dst = in6(dst);
	o.nexthop.encap.src = in6("2001:db8:a1::1");
	return o;
}

static struct fwd_object address(uint32_t ifindex, const char *text, bool deprecated)
{
	struct fwd_object o = zero(FWD_ADDRESS);

	o.address.ifindex = ifindex;
	o.address.address = in6(text);
	o.address.deprecated = deprecated;
	return o;
}

static struct fwd_object unreachable(const char *dst, uint32_t table)
{
	struct fwd_object o = zero(FWD_ROUTE);

	o.route.dst = prefix(dst);
	o.route.type = FWD_UNREACHABLE;
	o.route.table = table;
	o.route.metric = 1024;
	return o;
}

static struct fwd_object route(const char *dst, uint32_t table, uint32_t oif, const char *gateway)
{
	struct fwd_object o = unreachable(dst, table);

	o.route.type = FWD_UNICAST;
	o.route.oif = oif;
	if (gateway)
		o.route.gateway = in6(gateway);
	return o;
}

static struct fwd_object behind(const char *dst, uint32_t id)
{
	struct fwd_object o = unreachable(dst, 254);

	o.route.type = FWD_UNICAST;
	o.route.nexthop = id;
	return o;
}

static struct fwd_object rule(const char *from, uint32_t table)
{
	struct fwd_object o = zero(FWD_RULE);

	o.rule.from = prefix(from);
	o.rule.table = table;
	o.rule.priority = 1078;
	return o;
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static struct nl *half(void)
{
	struct nl *nl = calloc(1, sizeof(*nl));

	assert_non_null(nl);
	nl->ops = &ops;
	nl->port = 4711;
	nl->seq = 1;
	return nl;
}

/* One of each kind, with every field in use somewhere. */
static unsigned samples(struct fwd_object *o)
{
	unsigned n = 0;

	o[n++] = nexthop(7, 3, "2001:db8:b2::2");
	o[n++] = address(3, "2001:db8:1001::1", false);
	o[n++] = behind("2001:db8:1001::/64", 7);
	o[n - 1].route.mtu = 1380;
	o[n++] = route("::/0", 7701, 4, "fe80::1");
	o[n - 1].route.prefsrc = in6("2001:db8:1001::1");
	o[n++] = route("2001:db8:1002::/64", 200, 4, NULL);
	o[n - 1].route.encap.dst = in6("2001:db8:b2::3");
	o[n - 1].route.encap.src = in6("2001:db8:a1::1");
	o[n++] = unreachable("2001:db8:1000::/40", 254);
	o[n++] = rule("2001:db8:1001::/64", 7701);
	return n;
}

static void written_and_read_again(void **state)
{
	struct fwd_object o[8], back;
	unsigned n = samples(o);
	struct nl *nl = half();

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		uint8_t buf[MESSAGE_ROOM] = {0};
		struct nlmsghdr *h = put_object(nl, buf, FWD_ADD, &o[i]);

		assert_true(h->nlmsg_len <= MESSAGE_ROOM - 64);
		assert_true(read_object(h, 0, &back));
		assert_memory_equal(&back, &o[i], sizeof(back));
		/* a deletion names the object, no more */
		memset(buf, 0, sizeof(buf));
		h = put_object(nl, buf, FWD_DELETE, &o[i]);
		if (o[i].kind != FWD_NEXTHOP) /* the kernel refuses a protocol there */
			assert_true(read_object(h, 0, &back));
	}
	free(nl);
}

static void golden_route(void **state)
{
#if __BYTE_ORDER == __LITTLE_ENDIAN
	static const uint8_t golden[] = {
		0x48, 0, 0, 0,	     /* struct nlmsghdr: length 72 */
		0x18, 0, 0x01, 0x05, /* RTM_NEWROUTE; NLM_F_REQUEST, CREATE and REPLACE */
		0x01, 0, 0, 0,	     /* sequence */
		0, 0, 0, 0,	     /* port: filled in by the kernel */
		10, 64, 0, 0,	     /* struct rtmsg: AF_INET6, /64, no source prefix, TOS 0 */
		254, 108, 0, 1,	     /* table main, protocol dmm, scope universe, unicast */
		0, 0, 0, 0,	     /* flags */
		20, 0, 1, 0,	     /* RTA_DST */
		0x20, 0x01, 0x0d, 0xb8, 0x10, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 2001:db8:1001:: */
		8, 0, 15, 0, 254, 0, 0, 0,					  /* RTA_TABLE */
		8, 0, 6, 0, 0, 4, 0, 0,						  /* RTA_PRIORITY 1024 */
		8, 0, 30, 0, 7, 0, 0, 0,					  /* RTA_NH_ID */
	};
	struct fwd_object o = behind("2001:db8:1001::/64", 7);
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nl *nl = half();

	(void)state;
	assert_int_equal(put_object(nl, buf, FWD_ADD, &o)->nlmsg_len, sizeof(golden));
	assert_memory_equal(buf, golden, sizeof(golden));
	free(nl);
#else
	(void)state;
	skip();
#endif
}

/* Whatever is missing at the end, nothing is read beyond it: each length has its own memory, for the sanitizer to
 * watch. */
static void truncated_at_every_length(void **state)
{
	struct fwd_object o[8];
	unsigned n = samples(o);
	struct nl *nl = half();

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		uint8_t buf[MESSAGE_ROOM] = {0};
		struct nlmsghdr *h = put_object(nl, buf, FWD_ADD, &o[i]);

		for (uint32_t len = sizeof(*h); len < h->nlmsg_len; len++) {
			struct nlmsghdr *cut = malloc(len);

			assert_non_null(cut);
			memcpy(cut, h, len);
			cut->nlmsg_len = len;
			news(nl, cut);
			free(cut);
		}
	}
	free(nl);
}

static void news_are_sorted(void **state)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct fwd_object o = rule("2001:db8:1001::/64", 7701);
	struct nl *nl = half();
	struct nlmsghdr *h = put_object(nl, buf, FWD_ADD, &o);

	(void)state;
	news(nl, h);
	assert_int_equal(told.changed, 1);
	assert_memory_equal(&told.object, &o, sizeof(o));
	h->nlmsg_pid = nl->port; /* our own doing */
	news(nl, h);
	assert_int_equal(told.changed, 1);
	h->nlmsg_pid = 0;
	h->nlmsg_type = RTM_DELRULE;
	news(nl, h);
	assert_int_equal(told.deleted, 1);
	/* other people's routes and cached ones are none of our business */
	o = unreachable("2001:db8:1000::/40", 254);
	memset(buf, 0, sizeof(buf));
	h = put_object(nl, buf, FWD_ADD, &o);
	((struct rtmsg *)mnl_nlmsg_get_payload(h))->rtm_protocol = RTPROT_RA;
	news(nl, h);
	((struct rtmsg *)mnl_nlmsg_get_payload(h))->rtm_protocol = FWD_PROTOCOL;
	((struct rtmsg *)mnl_nlmsg_get_payload(h))->rtm_flags = RTM_F_CLONED;
	news(nl, h);
	assert_int_equal(told.changed, 1);
	((struct rtmsg *)mnl_nlmsg_get_payload(h))->rtm_flags = 0;
	news(nl, h);
	assert_int_equal(told.changed, 2);
	free(nl);
}

static void address_flags(void **state)
{
	static const struct {
		uint32_t flags;
		bool usable, deprecated;
	} t[] = {
		{0, true, false}, {IFA_F_TENTATIVE, false, false}, {IFA_F_TENTATIVE | IFA_F_OPTIMISTIC, true, false},
		{IFA_F_DADFAILED, false, false}, {IFA_F_TENTATIVE | IFA_F_OPTIMISTIC | IFA_F_DADFAILED, false, false},
		{IFA_F_DEPRECATED | IFA_F_HOMEADDRESS, true, true},
		{IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE, true, false}, /* above the eight bits of the header */
	};
	struct nl *nl = half();

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t buf[MESSAGE_ROOM] = {0};
		struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
		struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(h, sizeof(*ifa));
		struct in6_addr a = in6("2001:db8:a1::5");

		h->nlmsg_type = RTM_NEWADDR;
		ifa->ifa_family = AF_INET6;
		ifa->ifa_prefixlen = 64;
		ifa->ifa_index = 9;
		put_in6(h, IFA_ADDRESS, &a);
		mnl_attr_put_u32(h, IFA_FLAGS, t[i].flags);
		news(nl, h);
		assert_int_equal(told.addresses, i + 1);
		assert_int_equal(told.address.ifindex, 9);
		assert_int_equal(told.address.len, 64);
		assert_int_equal(told.address.usable, t[i].usable);
		assert_int_equal(told.address.deprecated, t[i].deprecated);
	}
	assert_int_equal(told.changed, 0); /* not a home address */
	free(nl);
}

static void sentence_of_an_error(void **state)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nlmsgerr *err = mnl_nlmsg_put_extra_header(h, sizeof(*err));

	(void)state;
	err->error = -EINVAL;
	err->msg.nlmsg_len = sizeof(err->msg) + 40;
	assert_null(error_text(h));
	h->nlmsg_flags = NLM_F_ACK_TLVS | NLM_F_CAPPED;
	assert_null(error_text(h));
	mnl_attr_put_strz(h, NLMSGERR_ATTR_MSG, "Nexthop id does not exist");
	assert_string_equal(error_text(h), "Nexthop id does not exist");
	h->nlmsg_flags = NLM_F_ACK_TLVS; /* the request is repeated before it: 40 bytes that are not there */
	assert_null(error_text(h));
	/* not ended by a NUL */
	memset(buf, 0, sizeof(buf));
	h = mnl_nlmsg_put_header(buf);
	h->nlmsg_flags = NLM_F_ACK_TLVS | NLM_F_CAPPED;
	(void)mnl_nlmsg_put_extra_header(h, sizeof(*err));
	mnl_attr_put(h, NLMSGERR_ATTR_MSG, 3, "abc");
	assert_null(error_text(h));
}

/* --- a real kernel ---------------------------------------------------------------------------------------------- */

static struct nl *door, *other; /* ours, and somebody else's */
static uint32_t veth;		/* v0, up, with carrier */
static uint32_t tunnel;

static void set_up(uint32_t ifindex, bool up)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(h, sizeof(*ifi));

	h->nlmsg_type = RTM_NEWLINK;
	ifi->ifi_index = (int)ifindex;
	ifi->ifi_flags = up ? IFF_UP : 0;
	ifi->ifi_change = IFF_UP;
	assert_int_equal(request(other, h, NULL), 0);
}

static uint32_t make_veth(const char *name, const char *peer)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
	struct nlattr *info, *data, *end;

	h->nlmsg_type = RTM_NEWLINK;
	h->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	(void)mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(h, IFLA_LINKINFO);
	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	end = mnl_attr_nest_start(h, VETH_INFO_PEER);
	h->nlmsg_len += sizeof(struct ifinfomsg); /* zeroed */
	mnl_attr_put_strz(h, IFLA_IFNAME, peer);
	mnl_attr_nest_end(h, end);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	if (request(other, h, NULL) < 0)
		return 0;
	set_up(if_nametoindex(peer), true);
	set_up(if_nametoindex(name), true);
	return if_nametoindex(name);
}

/* Somebody else does this to one of our objects. */
static int foreign(enum fwd_op op, const struct fwd_object *o)
{
	uint8_t buf[MESSAGE_ROOM] = {0};

	return request(other, put_object(other, buf, op, o), NULL);
}

static void open_tunnel(uint32_t mtu)
{
	char err[NL_ERR];

	assert_int_equal(nl_tunnel_open(door, "tun0", &tunnel, err), 0);
	assert_int_equal(nl_tunnel_up(door, tunnel, mtu, err), 0);
}

static int open_doors(void **state)
{
	char err[NL_ERR];

	(void)forget(state);
	if (!in_namespace)
		return 0;
	assert_int_equal(nl_new(&ops, NULL, &door, err), 0);
	assert_int_equal(nl_new(&ops, NULL, &other, err), 0);
	veth = make_veth("v0", "v1");
	if (has_tunnel)
		open_tunnel(1400);
	nl_read_news(door);
	(void)forget(state);
	return 0;
}

static int close_doors(void **state)
{
	(void)state;
	if (!in_namespace)
		return 0;
	if (veth)
		(void)nl_link_delete(other, veth);
	if (tunnel)
		(void)nl_link_delete(other, tunnel);
	nl_free(door);
	nl_free(other);
	door = other = NULL;
	veth = tunnel = 0;
	return 0;
}

#define NEEDS(what)                                                                                                    \
	do {                                                                                                           \
		if (!(what))                                                                                           \
			skip();                                                                                        \
	} while (0)

static void read_all_news(void)
{
	uint64_t before;

	do {
		before = door->counters.news + door->counters.overruns;
		nl_read_news(door);
	} while (door->counters.news + door->counters.overruns != before);
}

static struct {
	unsigned n, failed;
	int result[2048];
	char text[128];
} answers;

static void on_done(void *ctx, uint64_t cookie, int result, const char *text)
{
	(void)ctx;
	assert_true(cookie < 2048);
	answers.n++;
	answers.failed += result < 0;
	answers.result[cookie] = result;
	if (text)
		(void)snprintf(answers.text, sizeof(answers.text), "%s", text);
}

static struct fwd_set *new_set(void)
{
	struct fwd_set *s = fwd_new(on_done, NULL);

	assert_non_null(s);
	memset(&answers, 0, sizeof(answers));
	return s;
}

/* What is wanted, in another set, is what a dump finds: nothing left to change. */
static void assert_in_kernel(const struct fwd_object *o, unsigned n, uint32_t device)
{
	struct fwd_set *s = new_set();

	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fwd_want(s, &o[i], 0), 0);
	assert_int_equal(nl_dump_objects(door, s, device, false), 0);
	assert_int_equal(nl_apply(door, s), 0);
	fwd_free(s);
}

static void links_and_addresses(void **state)
{
	unsigned before;

	(void)state;
	NEEDS(veth);
	assert_int_equal(nl_dump_links(door), 0);
	assert_true(told.links >= 3); /* lo, v0, v1 */
	(void)forget(NULL);
	set_up(veth, false);
	read_all_news();
	assert_true(told.links > 0 && told.links_gone == 0);
	set_up(veth, true);
	told.links = 0;
	read_all_news();
	assert_true(told.links > 0);
	assert_int_equal(nl_dump_links(door), 0);
	assert_true(nl_link_is_up(veth));
	before = told.links_gone;
	assert_int_equal(nl_link_delete(other, veth), 0);
	read_all_news();
	assert_int_equal(told.links_gone, before + 2); /* and its peer */
	assert_false(nl_link_is_up(veth));
	veth = 0;
}

static void wanted_is_what_is_found(void **state)
{
	struct fwd_object o[8], other_table;
	struct fwd_set *s;
	unsigned n = 0;

	(void)state;
	NEEDS(veth);
	s = new_set();
	o[n++] = route("::/0", 7701, veth, "fe80::1");
	o[n++] = unreachable("2001:db8:1000::/40", 254);
	o[n++] = rule("2001:db8:1001::/64", 7701);
	o[n++] = address(veth, "2001:db8:1001::1", false);
	o[n++] = route("2001:db8:1003::/64", 254, veth, "fe80::2");
	o[n - 1].route.mtu = 1300;
	o[n++] = route("::/0", 254, veth, "fe80::1"); /* its source has to be there first */
	o[n - 1].route.metric = 50;
	o[n - 1].route.prefsrc = in6("2001:db8:1001::1");
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fwd_want(s, &o[i], i + 1), 0);
	assert_int_equal(nl_apply(door, s), n);
	assert_int_equal(answers.n, n);
	assert_int_equal(answers.failed, 0);
	assert_in_kernel(o, n, veth);
	/* replaced in place, by one request each */
	o[0].route.gateway = in6("fe80::9");
	o[3].address.deprecated = true;
	o[4].route.mtu = 0;
	told.set = s;
	read_all_news();
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(fwd_want(s, &o[i], 0), 0);
	assert_int_equal(nl_apply(door, s), 3);
	assert_in_kernel(o, n, veth);
	/* what was our own doing is no news, or no alarm: the kernel does not say who changed an address */
	read_all_news();
	assert_int_equal(told.deleted + told.changed, told.home_addresses);
	assert_int_equal(nl_apply(door, s), 0);
	for (int i = 0; i < FWD_KINDS; i++)
		assert_int_equal(fwd_counters(s)->restored[i], 0);
	told.set = NULL;
	/* a restarted daemon finds what was before it, and takes out what it does not want */
	fwd_free(s);
	s = new_set();
	assert_int_equal(nl_dump_objects(door, s, veth, false), 0);
	assert_int_equal(fwd_count(s), n);
	assert_int_equal(nl_apply(door, s), n);
	assert_int_equal(fwd_count(s), 0);
	assert_in_kernel(NULL, 0, veth);
	/* twice: a rule that is there, and one that is not */
	other_table = rule("2001:db8:1002::/64", 7702);
	assert_int_equal(foreign(FWD_ADD, &other_table), 0);
	assert_int_equal(fwd_want(s, &other_table, 1), 0);
	assert_int_equal(nl_apply(door, s), 1);
	assert_int_equal(answers.result[1], 0);
	assert_int_equal(foreign(FWD_DELETE, &other_table), 0);
	fwd_unwant(s, &other_table, 2);
	assert_int_equal(nl_apply(door, s), 1);
	assert_int_equal(answers.result[2], 0);
	read_all_news();
	assert_int_equal(told.deleted + told.changed, told.home_addresses + 2); /* two rules were somebody else's */
	fwd_free(s);
}

/* More than a batch, with refusals in between: each is told about its own. */
static void refusals_find_their_request(void **state)
{
	struct fwd_set *s;
	struct fwd_object o;
	char text[64];

	(void)state;
	NEEDS(veth);
	s = new_set();
	for (unsigned i = 1; i <= 1500; i++) {
		(void)snprintf(text, sizeof(text), "2001:db8:%x::/64", i);
		o = i % 7 ? unreachable(text, 254) : behind(text, 12345); /* no such nexthop */
		assert_int_equal(fwd_want(s, &o, i), 0);
	}
	assert_int_equal(nl_apply(door, s), 1500);
	assert_int_equal(answers.n, 1500);
	for (unsigned i = 1; i <= 1500; i++)
		assert_int_equal(answers.result[i] < 0, i % 7 == 0);
	assert_int_equal(fwd_counters(s)->failures[FWD_ROUTE], 1500 / 7);
	assert_int_equal(door->counters.failures, 1500 / 7);
	if (answers.text[0]) /* this kernel has a sentence for it */
		assert_non_null(strstr(answers.text, "exthop"));
	assert_int_equal(nl_apply(door, s), 0); /* refused is refused, until there is a reason to try again */
	fwd_begin(s);
	fwd_end(s);
	assert_int_equal(nl_apply(door, s), 1500 - 1500 / 7);
	assert_in_kernel(NULL, 0, 0);
	fwd_free(s);
}

/* Answers that do not fit the receive buffer are missed, not waited for. */
static void lost_answers(void **state)
{
	struct fwd_object o;
	struct fwd_set *s;
	int size = 0;
	char text[64];

	(void)state;
	NEEDS(veth);
	s = new_set();
	assert_int_equal(setsockopt(mnl_socket_get_fd(door->req), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), 0);
	for (unsigned i = 1; i <= 400; i++) {
		(void)snprintf(text, sizeof(text), "2001:db8:%x::/64", i);
		o = behind(text, 12345);
		assert_int_equal(fwd_want(s, &o, i), 0);
	}
	assert_int_equal(nl_apply(door, s), -ENOBUFS);
	assert_int_equal(answers.n, 400);
	assert_int_equal(answers.failed, 400);
	fwd_free(s);
}

static int refuse_rules(void *ctx, enum fwd_op op, const struct fwd_object *o)
{
	(void)ctx;
	return op == FWD_ADD && o->kind == FWD_RULE ? -ENOSPC : 0;
}

static void injected_faults(void **state)
{
	struct fwd_object u = unreachable("2001:db8:1::/64", 254), r = rule("2001:db8:1::/64", 7700);
	struct fwd_set *s;

	(void)state;
	NEEDS(veth);
	s = new_set();
	nl_set_fault(door, refuse_rules, NULL);
	(void)fwd_want(s, &r, 1);
	(void)fwd_want(s, &u, 2);
	(void)nl_apply(door, s);
	assert_int_equal(answers.result[1], -ENOSPC);
	assert_int_equal(answers.result[2], 0);
	assert_in_kernel(&u, 1, 0);
	nl_set_fault(door, NULL, NULL);
	fwd_retry(s);
	assert_int_equal(nl_apply(door, s), 1);
	fwd_begin(s);
	fwd_end(s);
	assert_int_equal(nl_apply(door, s), 2);
	fwd_free(s);
}

static void what_others_do_is_undone(void **state)
{
	struct fwd_object o[5], changed;
	struct fwd_set *s;
	unsigned n = 0;

	(void)state;
	NEEDS(veth);
	s = new_set();
	o[n++] = address(veth, "2001:db8:1001::1", false);
	o[n++] = rule("2001:db8:1001::/64", 7701);
	o[n++] = unreachable("2001:db8:1001::/64", 7701);
	o[n++] = route("::/0", 7702, veth, "fe80::1");
	for (unsigned i = 0; i < n; i++)
		(void)fwd_want(s, &o[i], 0);
	assert_int_equal(nl_apply(door, s), n);
	told.set = s;
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(foreign(FWD_DELETE, &o[i]), 0);
		read_all_news();
		assert_int_equal(told.deleted, i + 1);
		assert_int_equal(nl_apply(door, s), 1);
		assert_int_equal(fwd_counters(s)->restored[o[i].kind], 1 + (i == 3));
	}
	assert_in_kernel(o, n, veth);
	/* changed, which no deletion is told of */
	changed = o[3];
	changed.route.gateway = in6("fe80::2");
	assert_int_equal(foreign(FWD_REPLACE, &changed), 0);
	changed = o[0];
	changed.address.deprecated = true;
	assert_int_equal(foreign(FWD_REPLACE, &changed), 0);
	read_all_news();
	assert_int_equal(nl_apply(door, s), 2);
	assert_int_equal(fwd_counters(s)->restored[FWD_ROUTE], 3);
	assert_int_equal(fwd_counters(s)->restored[FWD_ADDRESS], 2);
	assert_in_kernel(o, n, veth);
	/* somebody invents an object with our protocol number: it goes */
	changed = unreachable("2001:db8:5::/64", 254);
	assert_int_equal(foreign(FWD_ADD, &changed), 0);
	read_all_news();
	assert_int_equal(nl_apply(door, s), 1);
	assert_in_kernel(o, n, veth);
	/* in a fight we give up for a while */
	for (unsigned i = 0; i < 100 && foreign(FWD_DELETE, &o[1]) == 0; i++) {
		read_all_news();
		(void)nl_apply(door, s);
	}
	assert_int_equal(fwd_counters(s)->restored[FWD_RULE], 20);
	assert_int_equal(fwd_counters(s)->held_back, 1);
	fwd_release(s, fwd_wake_us(s));
	assert_int_equal(nl_apply(door, s), 1);
	assert_in_kernel(o, n, veth);
	fwd_begin(s);
	fwd_end(s);
	(void)nl_apply(door, s);
	fwd_free(s);
}

static void lost_news(void **state)
{
	struct fwd_object keep = rule("2001:db8:1001::/64", 7701), o;
	struct fwd_set *s;
	int size = 4096;
	char text[64];

	(void)state;
	NEEDS(veth);
	s = new_set();
	(void)fwd_want(s, &keep, 0);
	assert_int_equal(nl_apply(door, s), 1);
	assert_int_equal(setsockopt(nl_fd(door), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	for (unsigned i = 1; i <= 200; i++) {
		(void)snprintf(text, sizeof(text), "2001:db8:%x::/64", i);
		o = unreachable(text, 254);
		assert_int_equal(foreign(FWD_ADD, &o), 0);
		assert_int_equal(foreign(FWD_DELETE, &o), 0);
	}
	assert_int_equal(foreign(FWD_DELETE, &keep), 0); /* nobody hears of this */
	read_all_news();
	assert_true(told.overruns >= 1);
	assert_int_equal(door->counters.overruns, told.overruns);
	assert_int_equal(nl_dump_objects(door, s, 0, true), 0);
	assert_int_equal(nl_apply(door, s), 1);
	assert_int_equal(fwd_counters(s)->restored[FWD_RULE], 1);
	assert_in_kernel(&keep, 1, 0);
	fwd_unwant(s, &keep, 0);
	assert_int_equal(nl_apply(door, s), 1);
	fwd_free(s);
}

/* With skip_notify_on_dev_down the routes of a link go without a word. */
static void routes_that_go_silently(void **state)
{
	struct fwd_object o;
	int fd;

	(void)state;
	NEEDS(veth);
	o = route("2001:db8:7::/64", 254, veth, "fe80::1");
	fd = open("/proc/sys/net/ipv6/route/skip_notify_on_dev_down", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		skip(); /* /proc/sys may be read-only in a container */
	assert_int_equal(foreign(FWD_ADD, &o), 0);
	read_all_news();
	set_up(veth, false);
	read_all_news();
	assert_int_equal(told.overruns, 0);
	assert_int_equal(told.deleted, 1);
	set_up(veth, true);
	assert_int_equal(foreign(FWD_ADD, &o), 0);
	assert_int_equal(write(fd, "1", 1), 1);
	set_up(veth, false);
	read_all_news();
	assert_int_equal(told.deleted, 1);
	assert_true(told.overruns >= 1);
	set_up(veth, true);
	assert_int_equal(write(fd, "0", 1), 1);
	(void)close(fd);
}

static void settings(void **state)
{
	int v = -1;

	(void)state;
	NEEDS(veth);
	assert_int_equal(nl_sysctl_get("v0", "accept_ra", &v), 0);
	if (nl_sysctl_set("v0", "accept_ra", 0) == 0) { /* /proc/sys may be read-only in a container */
		assert_int_equal(nl_sysctl_get("v0", "accept_ra", &v), 0);
		assert_int_equal(v, 0);
	}
	assert_int_equal(nl_sysctl_get("v0", "no_such_setting", &v), -ENOENT);
	assert_int_equal(nl_sysctl_get("v9", "accept_ra", &v), -ENOENT);
	assert_false(nl_is_wireless("v0"));
}

static void no_tunnel_driver(void **state)
{
	char err[NL_ERR] = "";
	uint32_t ifindex;

	(void)state;
	if (has_tunnel)
		return; /* nothing to see */
	NEEDS(in_namespace);
	assert_int_equal(nl_tunnel_open(door, "tun0", &ifindex, err), -EOPNOTSUPP);
	assert_non_null(strstr(err, "modprobe ip6_tunnel"));
}

static void no_privilege(void **state)
{
	char err[NL_ERR] = "";
	uint32_t ifindex;
	int status;
	pid_t pid;

	(void)state;
	NEEDS(in_namespace);
	pid = fork();
	if (pid == 0) {
		struct nl *nl;

		if (seteuid(65534) < 0 || nl_new(&ops, NULL, &nl, err) < 0)
			_exit(2);
		_exit(nl_tunnel_open(nl, "tun9", &ifindex, err) == -EPERM && strstr(err, "CAP_NET_ADMIN") ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- with the tunnel device -------------------------------------------------------------------------------------- */

static void the_tunnel_device(void **state)
{
	char err[NL_ERR] = "";
	uint32_t again = 0;
	int v;

	(void)state;
	NEEDS(tunnel);
	assert_int_equal(nl_dump_links(door), 0);
	assert_true(nl_link_is_up(tunnel));
	/* adopted, and what somebody did to it undone */
	set_up(tunnel, false);
	assert_int_equal(nl_tunnel_open(door, "tun0", &again, err), 0);
	assert_int_equal(again, tunnel);
	assert_false(nl_link_is_up(tunnel)); /* what looks at its packets comes first */
	open_tunnel(1380);
	assert_true(nl_link_is_up(tunnel));
	assert_int_equal(nl_sysctl_get("tun0", "mtu", &v), 0);
	assert_int_equal(v, 1380);
	/* a namespace has room for one, and the sentence says who has it */
	assert_int_equal(nl_tunnel_open(door, "tun1", &again, err), -EEXIST);
	assert_non_null(strstr(err, "tun0 already holds"));
	/* and a device of that name which is another thing */
	assert_int_equal(nl_tunnel_open(door, "v0", &again, err), -EEXIST);
	assert_non_null(strstr(err, "v0 exists and is not an external ip6tnl"));
}

static unsigned bindings(struct fwd_object *o)
{
	unsigned n = 0;

	o[n++] = nexthop(7, tunnel, "2001:db8:b2::2");
	o[n++] = behind("2001:db8:1001::/64", 7);
	o[n++] = behind("2001:db8:1002::/64", 7);
	o[n - 1].route.mtu = 1300;
	o[n++] = address(tunnel, "2001:db8:1003::1", false);
	o[n++] = route("::/0", 7703, tunnel, NULL); /* a node's: with its own encapsulation */
	o[n - 1].route.encap.dst = in6("2001:db8:b2::3");
	o[n - 1].route.encap.src = in6("2001:db8:a1::1");
	o[n - 1].route.prefsrc = in6("2001:db8:1003::1");
	return n;
}

static void encapsulation(void **state)
{
	struct fwd_object o[8];
	struct fwd_set *s;
	unsigned n;

	(void)state;
	NEEDS(tunnel);
	s = new_set();
	n = bindings(o);
	for (unsigned i = n; i-- > 0;) /* said in the wrong order */
		assert_int_equal(fwd_want(s, &o[i], i + 1), 0);
	/* the address is said after the route that has it as source: that one is refused and comes with the next try */
	(void)nl_apply(door, s);
	fwd_retry(s);
	(void)nl_apply(door, s);
	assert_in_kernel(o, n, tunnel);
	/* the locator moves: one change, the routes stay */
	o[0] = nexthop(7, tunnel, "2001:db8:b3::2");
	assert_int_equal(fwd_want(s, &o[0], 1), 0);
	assert_int_equal(nl_apply(door, s), 1);
	assert_in_kernel(o, n, tunnel);
	/* to another locator, and the old one goes with the last that used it */
	o[n] = nexthop(8, tunnel, "2001:db8:b4::2");
	o[1] = behind("2001:db8:1001::/64", 8);
	o[2] = behind("2001:db8:1002::/64", 8);
	fwd_unwant(s, &o[0], 1);
	(void)fwd_want(s, &o[1], 2);
	(void)fwd_want(s, &o[2], 3);
	(void)fwd_want(s, &o[n], 4);
	assert_int_equal(nl_apply(door, s), 4);
	assert_int_equal(answers.result[1], 0);
	assert_in_kernel(o + 1, n, tunnel);
	read_all_news();
	assert_int_equal(told.deleted + told.changed, told.home_addresses); /* our own */
	fwd_begin(s);
	fwd_end(s);
	assert_int_equal(nl_apply(door, s), n);
	assert_in_kernel(NULL, 0, tunnel);
	fwd_free(s);
}

/* A nexthop takes its routes with it, the device takes everything. */
static void what_goes_with_others(void **state)
{
	struct fwd_object o[8];
	struct fwd_set *s;
	unsigned n;
	int fd;

	(void)state;
	NEEDS(tunnel);
	s = new_set();
	n = bindings(o);
	for (unsigned i = 0; i < n; i++)
		(void)fwd_want(s, &o[i], 0);
	assert_int_equal(nl_apply(door, s), n);
	assert_in_kernel(o, n, tunnel);
	told.set = s;
	assert_int_equal(foreign(FWD_DELETE, &o[0]), 0);
	read_all_news();
	assert_int_equal(told.deleted, 3);
	assert_int_equal(nl_apply(door, s), 3);
	assert_in_kernel(o, n, tunnel);
	/* the same where the kernel is set not to tell of the routes */
	fd = open("/proc/sys/net/ipv4/nexthop_compat_mode", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		assert_int_equal(write(fd, "0", 1), 1);
		(void)forget(NULL);
		told.set = s;
		assert_int_equal(foreign(FWD_DELETE, &o[0]), 0);
		read_all_news();
		assert_int_equal(told.deleted, 1);
		assert_int_equal(told.overruns, 1);
		assert_int_equal(nl_dump_objects(door, s, tunnel, true), 0);
		assert_int_equal(nl_apply(door, s), 3);
		assert_in_kernel(o, n, tunnel);
		assert_int_equal(write(fd, "1", 1), 1);
		(void)close(fd);
	}
	/* the device: a new one has another number, so the owner wants other objects */
	told.set = NULL;
	told.links_gone = 0;
	assert_int_equal(nl_link_delete(other, tunnel), 0);
	read_all_news();
	assert_int_equal(told.links_gone, 1);
	assert_int_equal(told.gone, tunnel);
	assert_false(nl_link_is_up(tunnel));
	open_tunnel(1400);
	fwd_begin(s);
	n = bindings(o);
	for (unsigned i = 0; i < n; i++)
		(void)fwd_want(s, &o[i], 0);
	fwd_end(s);
	assert_int_equal(nl_dump_objects(door, s, tunnel, true), 0);
	(void)nl_apply(door, s);
	assert_in_kernel(o, n, tunnel);
	fwd_begin(s);
	fwd_end(s);
	(void)nl_apply(door, s);
	assert_in_kernel(NULL, 0, tunnel);
	fwd_free(s);
}

/* What a real kernel's messages look like, for tests/fuzz/fuzz_nl: test_nl --seeds DIR */
static void write_seeds(const char *dir)
{
	static const struct {
		const char *name;
		uint16_t type;
		uint8_t family, header;
	} t[] = {
		{"links", RTM_GETLINK, AF_UNSPEC, sizeof(struct ifinfomsg)},
		{"addresses", RTM_GETADDR, AF_INET6, sizeof(struct ifaddrmsg)},
		{"routes", RTM_GETROUTE, AF_INET6, sizeof(struct rtmsg)},
		{"rules", RTM_GETRULE, AF_INET6, sizeof(struct fib_rule_hdr)},
		{"nexthops", RTM_GETNEXTHOP, AF_UNSPEC, sizeof(struct nhmsg)},
	};
	struct fwd_object o[8];
	struct fwd_set *s;
	unsigned n;

	(void)open_doors(NULL);
	s = new_set();
	n = has_tunnel ? bindings(o) : 0;
	o[n++] = unreachable("2001:db8:1000::/40", 254);
	o[n++] = rule("2001:db8:1001::/64", 7701);
	for (unsigned i = 0; i < n; i++)
		(void)fwd_want(s, &o[i], 0);
	(void)nl_apply(door, s);
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		uint8_t buf[MESSAGE_ROOM] = {0}, answer[65536];
		struct nlmsghdr *h = mnl_nlmsg_put_header(buf);
		char path[256];
		ssize_t len;
		int fd;

		h->nlmsg_type = t[i].type;
		h->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
		*(uint8_t *)mnl_nlmsg_put_extra_header(h, t[i].header) = t[i].family;
		assert_true(mnl_socket_sendto(other->req, h, h->nlmsg_len) > 0);
		len = mnl_socket_recvfrom(other->req, answer, sizeof(answer));
		(void)snprintf(path, sizeof(path), "%s/%s", dir, t[i].name);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		assert_true(fd >= 0 && len > 0 && write(fd, answer, (size_t)len) == len);
		(void)close(fd);
		while (recv(mnl_socket_get_fd(other->req), answer, sizeof(answer), MSG_DONTWAIT) > 0)
			; /* more of it */
	}
	fwd_free(s);
	(void)close_doors(NULL);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(written_and_read_again, forget),
		cmocka_unit_test_setup(golden_route, forget),
		cmocka_unit_test_setup(truncated_at_every_length, forget),
		cmocka_unit_test_setup(news_are_sorted, forget),
		cmocka_unit_test_setup(address_flags, forget),
		cmocka_unit_test_setup(sentence_of_an_error, forget),
		cmocka_unit_test_setup_teardown(links_and_addresses, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(wanted_is_what_is_found, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(refusals_find_their_request, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(lost_answers, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(injected_faults, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(what_others_do_is_undone, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(lost_news, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(routes_that_go_silently, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(settings, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(no_tunnel_driver, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(no_privilege, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(the_tunnel_device, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(encapsulation, open_doors, close_doors),
		cmocka_unit_test_setup_teardown(what_goes_with_others, open_doors, close_doors),
	};
	char err[NL_ERR];
	uint32_t ifindex;
	struct nl *nl;

	if (unshare(CLONE_NEWNET) == 0 && nl_new(&ops, NULL, &nl, err) == 0) {
		in_namespace = true;
		has_tunnel = nl_tunnel_open(nl, "probe0", &ifindex, err) == 0;
		if (has_tunnel)
			(void)nl_link_delete(nl, ifindex);
		nl_free(nl);
	}
	print_message("network namespace: %s, ip6tnl: %s\n", in_namespace ? "yes" : "no", has_tunnel ? "yes" : "no");
	if (argc == 3 && !strcmp(argv[1], "--seeds")) {
		write_seeds(argv[2]);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--all") && !has_tunnel)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
