/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nl.c - the door to the kernel
 *
 * Requests: many messages in one send. Only the last of a batch asks for an acknowledgement; the kernel reports each
 * failure by itself, with the sequence number of its request, and answers in order, so what was not reported before the
 * last answer has succeeded. News: what our own request socket caused is recognised by its port and passed over. */
#include "nl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/filter.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/ip6_tunnel.h>
#include <linux/lwtunnel.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <libmnl/libmnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IFA_PROTO
#define IFA_PROTO 11
#endif

#define BATCH_BYTES   65536
#define BATCH_MOST    512
#define MESSAGE_ROOM  512     /* no message of ours is longer */
#define SOCKET_BUFFER 8388608 /* bytes: a batch of refusals fits many times */
#define ANSWER_BYTES  2048    /* of the receive buffer, that a refusal takes at most (1 KB in Linux 6.1) */
#define NEWS_A_CALL   64
#define DUMP_TRIES    5
#define HOPLIMIT      64
#define VETH_MTU      9000 /* of a veth: whatever a link may bring gets through */

struct nl {
	struct mnl_socket *req, *news;
	uint32_t seq;
	unsigned port;
	unsigned batch_most; /* whose answers fit the receive buffer */
	const struct nl_ops *ops;
	void *ctx;
	struct nl_counters counters;
	nl_fault_cb *fault;
	void *fault_ctx;
	uint8_t batch[BATCH_BYTES];
	uint8_t answer[BATCH_BYTES];
};

static struct mnl_socket *open_socket(unsigned groups)
{
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	int on = 1, size = SOCKET_BUFFER, fd;

	if (!s)
		return NULL;
	fd = mnl_socket_get_fd(s);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(s, NETLINK_CAP_ACK, &on, sizeof(on));
	(void)mnl_socket_setsockopt(s, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	/* connected: nobody else's unicast is taken */
	if (mnl_socket_bind(s, groups, MNL_SOCKET_AUTOPID) < 0 ||
		connect(fd, (const struct sockaddr *)&kernel, sizeof(kernel)) < 0) {
		int saved = errno;

		(void)mnl_socket_close(s);
		errno = saved;
		return NULL;
	}
	return s;
}

/* Half of all news are about what we did ourselves: the kernel need not tell. Without the filter (none is known to
 * refuse it) they come and are passed over. */
static void ignore_port(struct mnl_socket *s, unsigned port)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(port), 0, 1), /* the filter reads as from the network */
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	(void)setsockopt(mnl_socket_get_fd(s), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

int nl_new(const struct nl_ops *ops, void *ctx, struct nl **ret, char *reterr)
{
	int group = RTNLGRP_NEXTHOP, size = 0, r;
	socklen_t size_len = sizeof(size);
	struct nl *nl = calloc(1, sizeof(*nl));

	if (!nl)
		return -ENOMEM;
	nl->ops = ops;
	nl->ctx = ctx;
	nl->seq = 1;
	nl->req = open_socket(0);
	if (nl->req)
		nl->news = open_socket(
			RTMGRP_LINK | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | (1u << (RTNLGRP_IPV6_RULE - 1)));
	if (!nl->req || !nl->news) {
		r = -errno;
		(void)snprintf(reterr, NL_ERR, "cannot open a netlink socket: %s", strerror(-r));
		nl_free(nl);
		return r;
	}
	(void)getsockopt(mnl_socket_get_fd(nl->req), SOL_SOCKET, SO_RCVBUF, &size, &size_len);
	nl->batch_most = (unsigned)size / ANSWER_BYTES;
	if (nl->batch_most > BATCH_MOST)
		nl->batch_most = BATCH_MOST;
	if (nl->batch_most < 1)
		nl->batch_most = 1;
	(void)mnl_socket_setsockopt(nl->news, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group));
	(void)fcntl(mnl_socket_get_fd(nl->news), F_SETFL, O_NONBLOCK);
	nl->port = mnl_socket_get_portid(nl->req);
	ignore_port(nl->news, nl->port);
	*ret = nl;
	return 0;
}

void nl_free(struct nl *nl)
{
	if (!nl)
		return;
	if (nl->req)
		(void)mnl_socket_close(nl->req);
	if (nl->news)
		(void)mnl_socket_close(nl->news);
	free(nl);
}

int nl_fd(const struct nl *nl)
{
	return mnl_socket_get_fd(nl->news);
}

const struct nl_counters *nl_counters(const struct nl *nl)
{
	return &nl->counters;
}

void nl_set_fault(struct nl *nl, nl_fault_cb *cb, void *ctx)
{
	nl->fault = cb;
	nl->fault_ctx = ctx;
}

/* --- objects to messages --------------------------------------------------------------------------------------- */

static void put_in6(struct nlmsghdr *nlh, uint16_t type, const struct in6_addr *a)
{
	mnl_attr_put(nlh, type, sizeof(*a), a);
}

static void put_encap(struct nlmsghdr *nlh, uint16_t type_attr, uint16_t nest_attr, const struct fwd_encap *encap)
{
	struct nlattr *nest;

	mnl_attr_put_u16(nlh, type_attr, LWTUNNEL_ENCAP_IP6);
	nest = mnl_attr_nest_start(nlh, nest_attr);
	put_in6(nlh, LWTUNNEL_IP6_DST, &encap->dst);
	put_in6(nlh, LWTUNNEL_IP6_SRC, &encap->src);
	mnl_attr_put_u8(nlh, LWTUNNEL_IP6_HOPLIMIT, HOPLIMIT); /* the kernel's default here is 0 */
	mnl_attr_nest_end(nlh, nest);
}

static void put_route(struct nlmsghdr *nlh, enum fwd_op op, const struct fwd_object *o)
{
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	bool unicast = o->route.type == FWD_UNICAST;

	rtm->rtm_family = AF_INET6;
	rtm->rtm_dst_len = o->route.dst.len;
	rtm->rtm_protocol = FWD_PROTOCOL;
	rtm->rtm_scope = RT_SCOPE_UNIVERSE;
	rtm->rtm_type = unicast ? RTN_UNICAST : RTN_UNREACHABLE;
	rtm->rtm_table = o->route.table < 256 ? (uint8_t)o->route.table : RT_TABLE_COMPAT;
	put_in6(nlh, RTA_DST, &o->route.dst.addr);
	if (!o->route.brief && o->route.src.len) {
		rtm->rtm_src_len = o->route.src.len;
		put_in6(nlh, RTA_SRC, &o->route.src.addr);
	}
	mnl_attr_put_u32(nlh, RTA_TABLE, o->route.table);
	mnl_attr_put_u32(nlh, RTA_PRIORITY, o->route.metric);
	if (op == FWD_DELETE || !unicast)
		return;
	if (o->route.nexthop) {
		mnl_attr_put_u32(nlh, RTA_NH_ID, o->route.nexthop);
	} else {
		mnl_attr_put_u32(nlh, RTA_OIF, o->route.oif);
		if (!IN6_IS_ADDR_UNSPECIFIED(&o->route.gateway))
			put_in6(nlh, RTA_GATEWAY, &o->route.gateway);
		if (!o->route.brief && !IN6_IS_ADDR_UNSPECIFIED(&o->route.encap.dst))
			put_encap(nlh, RTA_ENCAP_TYPE, RTA_ENCAP, &o->route.encap);
	}
	if (!o->route.brief && !IN6_IS_ADDR_UNSPECIFIED(&o->route.prefsrc))
		put_in6(nlh, RTA_PREFSRC, &o->route.prefsrc);
	if (o->route.mtu) {
		struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_METRICS);

		mnl_attr_put_u32(nlh, RTAX_MTU, o->route.mtu);
		mnl_attr_nest_end(nlh, nest);
	}
}

static void put_nexthop(struct nlmsghdr *nlh, enum fwd_op op, const struct fwd_object *o)
{
	struct nhmsg *nhm = mnl_nlmsg_put_extra_header(nlh, sizeof(*nhm));

	nhm->nh_family = op == FWD_DELETE ? AF_UNSPEC : AF_INET6;
	nhm->nh_protocol = op == FWD_DELETE ? 0 : FWD_PROTOCOL;
	mnl_attr_put_u32(nlh, NHA_ID, o->nexthop.id);
	if (op == FWD_DELETE)
		return;
	mnl_attr_put_u32(nlh, NHA_OIF, o->nexthop.oif);
	put_encap(nlh, NHA_ENCAP_TYPE, NHA_ENCAP, &o->nexthop.encap);
}

static void put_rule(struct nlmsghdr *nlh, const struct fwd_object *o)
{
	struct fib_rule_hdr *frh = mnl_nlmsg_put_extra_header(nlh, sizeof(*frh));

	frh->family = AF_INET6;
	frh->src_len = o->rule.from.len;
	frh->action = FR_ACT_TO_TBL;
	frh->table = o->rule.table < 256 ? (uint8_t)o->rule.table : RT_TABLE_UNSPEC;
	if (o->rule.from.len)
		put_in6(nlh, FRA_SRC, &o->rule.from.addr);
	if (o->rule.iif[0])
		mnl_attr_put_strz(nlh, FRA_IIFNAME, o->rule.iif);
	if (o->rule.mark)
		mnl_attr_put_u32(nlh, FRA_FWMARK, o->rule.mark);
	mnl_attr_put_u32(nlh, FRA_TABLE, o->rule.table);
	mnl_attr_put_u32(nlh, FRA_PRIORITY, o->rule.priority);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, FWD_PROTOCOL);
}

static void put_address(struct nlmsghdr *nlh, enum fwd_op op, const struct fwd_object *o)
{
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	struct ifa_cacheinfo life = {.ifa_prefered = o->address.deprecated ? 0 : UINT32_MAX, .ifa_valid = UINT32_MAX};

	ifa->ifa_family = AF_INET6;
	ifa->ifa_prefixlen = 128;
	ifa->ifa_index = o->address.ifindex;
	put_in6(nlh, IFA_LOCAL, &o->address.address);
	put_in6(nlh, IFA_ADDRESS, &o->address.address);
	if (op == FWD_DELETE)
		return;
	/* RFC 6724 rule 4 looks at the home-address flag; nobody else can have this address, so no
	 * DAD (ARCHITECTURE) */
	mnl_attr_put_u32(nlh, IFA_FLAGS, IFA_F_HOMEADDRESS | IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
	mnl_attr_put(nlh, IFA_CACHEINFO, sizeof(life), &life);
	mnl_attr_put_u8(nlh, IFA_PROTO, FWD_PROTOCOL);
}

static const struct {
	uint16_t new, del;
} message_type[FWD_KINDS] = {
	[FWD_NEXTHOP] = {RTM_NEWNEXTHOP, RTM_DELNEXTHOP},
	[FWD_ADDRESS] = {RTM_NEWADDR, RTM_DELADDR},
	[FWD_ROUTE] = {RTM_NEWROUTE, RTM_DELROUTE},
	[FWD_RULE] = {RTM_NEWRULE, RTM_DELRULE},
};

static struct nlmsghdr *put_object(struct nl *nl, void *at, enum fwd_op op, const struct fwd_object *o)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(at);

	nlh->nlmsg_type = op == FWD_DELETE ? message_type[o->kind].del : message_type[o->kind].new;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	/* Whatever is there under the same identity is ours to replace; a rule has nothing that could differ. */
	if (op != FWD_DELETE)
		nlh->nlmsg_flags |= NLM_F_CREATE | (o->kind == FWD_RULE ? NLM_F_EXCL : NLM_F_REPLACE);
	nlh->nlmsg_seq = nl->seq++;
	switch (o->kind) {
	case FWD_NEXTHOP:
		put_nexthop(nlh, op, o);
		break;
	case FWD_ADDRESS:
		put_address(nlh, op, o);
		break;
	case FWD_ROUTE:
		put_route(nlh, op, o);
		break;
	case FWD_RULE:
		put_rule(nlh, o);
		break;
	case FWD_KINDS:
		break;
	}
	return nlh;
}

/* --- messages to objects --------------------------------------------------------------------------------------- */

#define ATTRS 64
struct attrs {
	const struct nlattr *a[ATTRS];
};

static int attr_cb(const struct nlattr *attr, void *data)
{
	struct attrs *t = data;
	uint16_t type = mnl_attr_get_type(attr);

	if (type < ATTRS)
		t->a[type] = attr;
	return MNL_CB_OK;
}

/* Attributes behind a header of that many bytes; false when the message is too short for the header. */
static bool attrs_of(const struct nlmsghdr *nlh, size_t header, struct attrs *t)
{
	size_t len = mnl_nlmsg_get_payload_len(nlh), at = MNL_ALIGN(header);

	memset(t, 0, sizeof(*t));
	if (len < header)
		return false;
	/* mnl_attr_parse() would round the length up */
	if (len > at)
		(void)mnl_attr_parse_payload((const uint8_t *)mnl_nlmsg_get_payload(nlh) + at, len - at, attr_cb, t);
	return true;
}

static void attrs_in(const struct nlattr *nest, struct attrs *t)
{
	memset(t, 0, sizeof(*t));
	if (nest)
		(void)mnl_attr_parse_nested(nest, attr_cb, t);
}

/* mnl_nlmsg_ok() lets lengths above 2^31 pass. */
static bool message_ok(const struct nlmsghdr *nlh, int left)
{
	return mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
}

static uint32_t get_u32(const struct attrs *t, unsigned type)
{
	const struct nlattr *a = t->a[type];

	return a && mnl_attr_get_payload_len(a) >= 4 ? mnl_attr_get_u32(a) : 0;
}

static uint8_t get_u8(const struct attrs *t, unsigned type)
{
	const struct nlattr *a = t->a[type];

	return a && mnl_attr_get_payload_len(a) >= 1 ? mnl_attr_get_u8(a) : 0;
}

/* "" when there is none. The bytes are the message's. */
static const char *get_text(const struct attrs *t, unsigned type)
{
	const struct nlattr *a = t->a[type];

	return a && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0 ? mnl_attr_get_str(a) : "";
}

static struct in6_addr get_in6(const struct attrs *t, unsigned type)
{
	struct in6_addr v = IN6ADDR_ANY_INIT;
	const struct nlattr *a = t->a[type];

	if (a && mnl_attr_get_payload_len(a) >= sizeof(v))
		memcpy(&v, mnl_attr_get_payload(a), sizeof(v));
	return v;
}

static struct fwd_encap get_encap(const struct attrs *t, unsigned type)
{
	struct fwd_encap e = {0};
	struct attrs in;

	if (!t->a[type])
		return e;
	attrs_in(t->a[type], &in);
	e.dst = get_in6(&in, LWTUNNEL_IP6_DST);
	e.src = get_in6(&in, LWTUNNEL_IP6_SRC);
	return e;
}

static bool read_route(const struct nlmsghdr *nlh, struct fwd_object *ret)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct in6_addr dst, src;
	struct attrs t, metrics;

	if (!attrs_of(nlh, sizeof(*rtm), &t) || rtm->rtm_family != AF_INET6 || rtm->rtm_protocol != FWD_PROTOCOL ||
		(rtm->rtm_flags & RTM_F_CLONED))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->kind = FWD_ROUTE;
	dst = get_in6(&t, RTA_DST);
	ret->route.dst = prefix6_make(&dst, rtm->rtm_dst_len);
	src = get_in6(&t, RTA_SRC);
	ret->route.src = prefix6_make(&src, rtm->rtm_src_len);
	ret->route.table = t.a[RTA_TABLE] ? get_u32(&t, RTA_TABLE) : rtm->rtm_table;
	ret->route.metric = get_u32(&t, RTA_PRIORITY);
	ret->route.type = rtm->rtm_type == RTN_UNICAST ? FWD_UNICAST : FWD_UNREACHABLE;
	ret->route.nexthop = get_u32(&t, RTA_NH_ID);
	if (!ret->route.nexthop) {
		ret->route.oif = get_u32(&t, RTA_OIF);
		ret->route.gateway = get_in6(&t, RTA_GATEWAY);
		ret->route.encap = get_encap(&t, RTA_ENCAP);
	}
	ret->route.prefsrc = get_in6(&t, RTA_PREFSRC);
	attrs_in(t.a[RTA_METRICS], &metrics);
	ret->route.mtu = get_u32(&metrics, RTAX_MTU);
	return true;
}

static bool read_nexthop(const struct nlmsghdr *nlh, struct fwd_object *ret)
{
	const struct nhmsg *nhm = mnl_nlmsg_get_payload(nlh);
	struct attrs t;

	if (!attrs_of(nlh, sizeof(*nhm), &t) || nhm->nh_protocol != FWD_PROTOCOL)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->kind = FWD_NEXTHOP;
	ret->nexthop.id = get_u32(&t, NHA_ID);
	ret->nexthop.oif = get_u32(&t, NHA_OIF);
	ret->nexthop.encap = get_encap(&t, NHA_ENCAP);
	return true;
}

static bool read_rule(const struct nlmsghdr *nlh, struct fwd_object *ret)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	struct in6_addr src;
	struct attrs t;

	if (!attrs_of(nlh, sizeof(*frh), &t) || frh->family != AF_INET6 || get_u8(&t, FRA_PROTOCOL) != FWD_PROTOCOL)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->kind = FWD_RULE;
	src = get_in6(&t, FRA_SRC);
	ret->rule.from = prefix6_make(&src, frh->src_len);
	(void)snprintf(ret->rule.iif, sizeof(ret->rule.iif), "%s", get_text(&t, FRA_IIFNAME));
	ret->rule.table = t.a[FRA_TABLE] ? get_u32(&t, FRA_TABLE) : frh->table;
	ret->rule.priority = get_u32(&t, FRA_PRIORITY);
	ret->rule.mark = get_u32(&t, FRA_FWMARK);
	return true;
}

static bool read_address(const struct nlmsghdr *nlh, struct nl_address *ret)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct ifa_cacheinfo life;
	uint32_t flags;
	struct attrs t;

	if (!attrs_of(nlh, sizeof(*ifa), &t) || ifa->ifa_family != AF_INET6)
		return false;
	flags = t.a[IFA_FLAGS] ? get_u32(&t, IFA_FLAGS) : ifa->ifa_flags;
	ret->ifindex = ifa->ifa_index;
	ret->len = ifa->ifa_prefixlen;
	ret->address = get_in6(&t, t.a[IFA_LOCAL] ? IFA_LOCAL : IFA_ADDRESS);
	ret->usable = (!(flags & IFA_F_TENTATIVE) || (flags & IFA_F_OPTIMISTIC)) && !(flags & IFA_F_DADFAILED);
	/* when the preferred lifetime is set to 0 the kernel tells of that first, and again when it has set the flag */
	memset(&life, 0xff, sizeof(life));
	if (t.a[IFA_CACHEINFO] && mnl_attr_get_payload_len(t.a[IFA_CACHEINFO]) >= sizeof(life))
		memcpy(&life, mnl_attr_get_payload(t.a[IFA_CACHEINFO]), sizeof(life));
	ret->deprecated = (flags & IFA_F_DEPRECATED) || life.ifa_prefered == 0;
	return true;
}

static bool read_link(const struct nlmsghdr *nlh, struct nl_link *ret)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct attrs t;

	if (!attrs_of(nlh, sizeof(*ifi), &t) || ifi->ifi_index <= 0 || !get_text(&t, IFLA_IFNAME)[0])
		return false;
	if (ifi->ifi_family != AF_UNSPEC)
		return false; /* AF_BRIDGE news about ports */
	memset(ret, 0, sizeof(*ret));
	ret->ifindex = (uint32_t)ifi->ifi_index;
	(void)snprintf(ret->name, sizeof(ret->name), "%s", get_text(&t, IFLA_IFNAME));
	ret->up = ifi->ifi_flags & IFF_UP;
	ret->carrier = (ifi->ifi_flags & IFF_UP) && (ifi->ifi_flags & IFF_LOWER_UP) && (ifi->ifi_flags & IFF_RUNNING);
	ret->loopback = ifi->ifi_flags & IFF_LOOPBACK;
	ret->ethernet = ifi->ifi_type == ARPHRD_ETHER;
	if (ret->ethernet && t.a[IFLA_ADDRESS] &&
		mnl_attr_get_payload_len(t.a[IFLA_ADDRESS]) == sizeof(ret->link_layer))
		memcpy(ret->link_layer, mnl_attr_get_payload(t.a[IFLA_ADDRESS]), sizeof(ret->link_layer));
	ret->port = t.a[IFLA_MASTER];
	ret->mtu = get_u32(&t, IFLA_MTU);
	ret->carrier_changes = get_u32(&t, IFLA_CARRIER_CHANGES);
	return true;
}

/* --- requests -------------------------------------------------------------------------------------------------- */

/* The kernel's own sentence of an error answer, or NULL. The bytes are the answer's. */
static const char *error_text(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	size_t skip = sizeof(*err);
	struct attrs t;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += err->msg.nlmsg_len - sizeof(err->msg);
	if (!attrs_of(nlh, skip, &t) || !get_text(&t, NLMSGERR_ATTR_MSG)[0])
		return NULL;
	return get_text(&t, NLMSGERR_ATTR_MSG);
}

typedef void answer_cb(void *ctx, uint32_t seq, int result, const char *text);

/* Send len bytes of messages, the last of which asks for an acknowledgement and has sequence number last, and pass on
 * each answer. The kernel has answered everything before the send returns, so nothing is waited for. Returns 0 or
 * -errno of the socket; -ENOBUFS when answers were lost. */
static int talk(struct nl *nl, const void *buf, size_t len, uint32_t last, answer_cb *cb, void *ctx)
{
	if (mnl_socket_sendto(nl->req, buf, len) < 0)
		return -errno;
	nl->counters.batches++;
	for (;;) {
		ssize_t n = recv(mnl_socket_get_fd(nl->req), nl->answer, sizeof(nl->answer), MSG_DONTWAIT);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->answer;
		int left = (int)n;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return errno == EAGAIN ? -ENOBUFS : -errno;
		}
		for (; message_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
			const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);

			if (nlh->nlmsg_type != NLMSG_ERROR || mnl_nlmsg_get_payload_len(nlh) < sizeof(*err))
				continue; /* left over from a dump that was given up */
			cb(ctx, nlh->nlmsg_seq, err->error, error_text(nlh));
			if (nlh->nlmsg_seq == last)
				return 0;
		}
	}
}

struct batch {
	struct fwd_set *set;
	struct fwd_entry *entry[BATCH_MOST];
	int result[BATCH_MOST];
	char text[BATCH_MOST][80];
	uint32_t first;
	unsigned n;
	struct nl *nl;
};

static void batch_answer(void *ctx, uint32_t seq, int result, const char *text)
{
	struct batch *b = ctx;
	uint32_t i = seq - b->first;

	if (i >= b->n)
		return;
	b->result[i] = result;
	if (text)
		(void)snprintf(b->text[i], sizeof(b->text[i]), "%s", text);
}

/* Send one message alone once more: a route that carries its own encapsulation can fail with a passing ENOMEM. */
static void again(struct batch *b, enum fwd_op op, const struct fwd_object *o, unsigned i)
{
	uint8_t buf[MESSAGE_ROOM * 2] = {0};
	struct nlmsghdr *nlh = put_object(b->nl, buf, op, o);
	struct batch *one = calloc(1, sizeof(*one));

	if (!one)
		return;
	nlh->nlmsg_flags |= NLM_F_ACK;
	one->first = nlh->nlmsg_seq;
	one->n = 1;
	if (talk(b->nl, nlh, nlh->nlmsg_len, nlh->nlmsg_seq, batch_answer, one) == 0) {
		b->result[i] = one->result[0];
		memcpy(b->text[i], one->text[0], sizeof(b->text[i]));
	}
	free(one);
}

int nl_apply(struct nl *nl, struct fwd_set *set)
{
	static struct batch b; /* large; the daemon has one thread and this does not nest */
	static const struct fwd_object *object[BATCH_MOST];
	static enum fwd_op op[BATCH_MOST];
	int total = 0;

	for (;;) {
		struct nlmsghdr *last = NULL;
		bool redone = false;
		size_t used = 0;
		int r = 0;

		b.set = set;
		b.nl = nl;
		b.n = 0;
		b.first = nl->seq;
		/* Nexthops and their routes must not share a batch with deletions that depend on them failing: the
		 * kernel takes the messages in order, so the order of fwd_next is enough. */
		while (b.n < nl->batch_most && used + MESSAGE_ROOM <= BATCH_BYTES) {
			struct fwd_entry *e = fwd_next(set, &op[b.n], &object[b.n]);
			int fault;

			if (!e)
				break;
			fault = nl->fault ? nl->fault(nl->fault_ctx, op[b.n], object[b.n]) : 0;
			if (fault) {
				fwd_result(set, e, fault, "injected fault");
				continue;
			}
			last = put_object(nl, nl->batch + used, op[b.n], object[b.n]);
			used += MNL_ALIGN(last->nlmsg_len);
			b.result[b.n] = 0;
			b.text[b.n][0] = '\0';
			b.entry[b.n++] = e;
		}
		if (b.n == 0)
			return total;
		last->nlmsg_flags |= NLM_F_ACK;
		nl->counters.requests += b.n;
		r = talk(nl, nl->batch, used, last->nlmsg_seq, batch_answer, &b);
		for (unsigned i = 0; i < b.n; i++) {
			if (r < 0)
				b.result[i] = r;
			else if (b.result[i] == -ENOMEM || (redone && b.result[i] < 0)) {
				/* what was refused behind it may have needed it */
				again(&b, op[i], object[i], i);
				redone = true;
			}
			if (b.result[i] == -EEXIST && object[i]->kind == FWD_RULE)
				b.result[i] = 0;
			if (b.result[i] < 0)
				nl->counters.failures++;
			fwd_result(set, b.entry[i], b.result[i], b.text[i][0] ? b.text[i] : NULL);
		}
		if (r < 0)
			return r;
		total += (int)b.n;
	}
}

static void one_answer(void *ctx, uint32_t seq, int result, const char *text)
{
	struct {
		int result;
		char text[NL_ERR];
	} *one = ctx;

	(void)seq;
	one->result = result;
	(void)snprintf(one->text, sizeof(one->text), "%s", text ? text : strerror(-result));
}

/* One request; the kernel's sentence in reterr when it refuses. */
static int request(struct nl *nl, struct nlmsghdr *nlh, char *reterr)
{
	struct {
		int result;
		char text[NL_ERR];
	} one = {0};
	int r;

	nlh->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	nlh->nlmsg_seq = nl->seq++;
	r = talk(nl, nlh, nlh->nlmsg_len, nlh->nlmsg_seq, one_answer, &one);
	if (r == 0)
		r = one.result;
	if (r < 0 && reterr)
		(void)snprintf(reterr, NL_ERR, "%s", one.text[0] ? one.text : strerror(-r));
	return r;
}

/* --- dumps ----------------------------------------------------------------------------------------------------- */

typedef void dump_cb(struct nl *nl, const struct nlmsghdr *nlh, void *data);

static int dump_once(struct nl *nl, uint16_t type, const void *header, size_t len, dump_cb *cb, void *data)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	uint32_t seq = nl->seq++;
	bool interrupted = false;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = seq;
	memcpy(mnl_nlmsg_put_extra_header(nlh, len), header, len);
	nl->counters.dumps++;
	if (mnl_socket_sendto(nl->req, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(nl->req, nl->answer, sizeof(nl->answer));
		const struct nlmsghdr *h = (const struct nlmsghdr *)nl->answer;
		int left = (int)n;

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		for (; message_ok(h, left); h = mnl_nlmsg_next(h, &left)) {
			if (h->nlmsg_seq != seq)
				continue;
			interrupted |= h->nlmsg_flags & NLM_F_DUMP_INTR;
			if (h->nlmsg_type == NLMSG_DONE)
				return interrupted ? -EAGAIN : 0;
			if (h->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *err = mnl_nlmsg_get_payload(h);

				return mnl_nlmsg_get_payload_len(h) < sizeof(*err) ? -EBADMSG : err->error;
			}
			cb(nl, h, data);
		}
	}
}

/* A dump that changed under it is taken again: everything it told is told once more, which nobody minds. -EAGAIN when
 * that does not end. */
static int dump(struct nl *nl, uint16_t type, const void *header, size_t len, dump_cb *cb, void *data)
{
	int r = -EAGAIN;

	for (int i = 0; i < DUMP_TRIES && r == -EAGAIN; i++)
		r = dump_once(nl, type, header, len, cb, data);
	return r;
}

static void dumped_link(struct nl *nl, const struct nlmsghdr *nlh, void *data)
{
	struct nl_link link;

	(void)data;
	if (nlh->nlmsg_type == RTM_NEWLINK && read_link(nlh, &link))
		nl->ops->link(nl->ctx, &link, true);
}

int nl_dump_links(struct nl *nl)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};

	return dump(nl, RTM_GETLINK, &ifi, sizeof(ifi), dumped_link, NULL);
}

static void dumped_address(struct nl *nl, const struct nlmsghdr *nlh, void *data)
{
	struct nl_address address;

	(void)data;
	if (nlh->nlmsg_type == RTM_NEWADDR && read_address(nlh, &address))
		nl->ops->address(nl->ctx, &address, true);
}

int nl_dump_addresses(struct nl *nl)
{
	struct ifaddrmsg ifa = {.ifa_family = AF_INET6};

	return dump(nl, RTM_GETADDR, &ifa, sizeof(ifa), dumped_address, NULL);
}

struct objects {
	struct fwd_set *set;
	uint32_t device;
};

static bool read_home_address(const struct nlmsghdr *nlh, uint32_t device, struct fwd_object *ret)
{
	struct nl_address a;

	if (!read_address(nlh, &a) || a.len != 128 || (device && a.ifindex != device))
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->kind = FWD_ADDRESS;
	ret->address.ifindex = a.ifindex;
	ret->address.address = a.address;
	ret->address.deprecated = a.deprecated;
	return true;
}

static bool read_object(const struct nlmsghdr *nlh, uint32_t device, struct fwd_object *ret)
{
	switch (nlh->nlmsg_type) {
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return read_route(nlh, ret);
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		return read_nexthop(nlh, ret);
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return read_rule(nlh, ret);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return read_home_address(nlh, device, ret);
	default:
		return false;
	}
}

static void dumped_object(struct nl *nl, const struct nlmsghdr *nlh, void *data)
{
	struct objects *objects = data;
	struct fwd_object o;

	(void)nl;
	if (read_object(nlh, objects->device, &o))
		fwd_found(objects->set, &o);
}

int nl_dump_objects(struct nl *nl, struct fwd_set *set, uint32_t device, bool count_restored)
{
	struct objects objects = {.set = set, .device = device};
	struct rtmsg rtm = {.rtm_family = AF_INET6, .rtm_protocol = FWD_PROTOCOL};
	struct fib_rule_hdr frh = {.family = AF_INET6};
	struct ifaddrmsg ifa = {.ifa_family = AF_INET6, .ifa_index = device};
	struct nhmsg nhm = {0};
	int r;

	fwd_forget(set, count_restored);
	r = dump(nl, RTM_GETNEXTHOP, &nhm, sizeof(nhm), dumped_object, &objects);
	if (r == -EOPNOTSUPP)
		r = 0;
	if (r == 0)
		r = dump(nl, RTM_GETROUTE, &rtm, sizeof(rtm), dumped_object, &objects);
	if (r == -ENOENT)
		r = 0; /* the filter matched no table */
	if (r == 0)
		r = dump(nl, RTM_GETRULE, &frh, sizeof(frh), dumped_object, &objects);
	if (r == 0 && device)
		r = dump(nl, RTM_GETADDR, &ifa, sizeof(ifa), dumped_object, &objects);
	return r;
}

/* --- news ------------------------------------------------------------------------------------------------------ */

static bool setting_is(const char *path, char value)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;

	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = 0;
	(void)close(fd);
	return c == value;
}

/* The kernel can be set not to tell of the routes that go with a device or a nexthop. */
static void mind_silence(struct nl *nl, uint16_t type, const struct nl_link *link)
{
	if (type == RTM_DELLINK || (type == RTM_NEWLINK && !link->up)) {
		if (setting_is("/proc/sys/net/ipv6/route/skip_notify_on_dev_down", '1'))
			nl->ops->overrun(nl->ctx);
	} else if (type == RTM_DELNEXTHOP && setting_is("/proc/sys/net/ipv4/nexthop_compat_mode", '0')) {
		nl->ops->overrun(nl->ctx);
	}
}

static void news(struct nl *nl, const struct nlmsghdr *nlh)
{
	struct nl_link link;
	struct nl_address address;
	struct fwd_object o;
	bool ours = nlh->nlmsg_pid == nl->port;

	nl->counters.news++;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		if (read_link(nlh, &link)) {
			mind_silence(nl, nlh->nlmsg_type, &link);
			nl->ops->link(nl->ctx, &link, nlh->nlmsg_type == RTM_NEWLINK);
		}
		return;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		if (read_address(nlh, &address))
			nl->ops->address(nl->ctx, &address, nlh->nlmsg_type == RTM_NEWADDR);
		break;
	default:
		break;
	}
	if (ours || !read_object(nlh, 0, &o))
		return;
	switch (nlh->nlmsg_type) {
	case RTM_DELROUTE:
	case RTM_DELNEXTHOP:
	case RTM_DELRULE:
	case RTM_DELADDR:
		mind_silence(nl, nlh->nlmsg_type, NULL);
		nl->ops->deleted(nl->ctx, &o);
		break;
	case RTM_NEWADDR: /* lifetimes tick: only the owner of the device knows whether this is a change */
	case RTM_NEWROUTE:
	case RTM_NEWNEXTHOP:
	case RTM_NEWRULE:
		nl->ops->changed(nl->ctx, &o);
		break;
	default:
		break;
	}
}

void nl_read_news(struct nl *nl)
{
	for (int i = 0; i < NEWS_A_CALL; i++) {
		struct sockaddr_nl from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(
			nl_fd(nl), nl->answer, sizeof(nl->answer), MSG_DONTWAIT, (struct sockaddr *)&from, &from_len);
		const struct nlmsghdr *nlh = (const struct nlmsghdr *)nl->answer;
		int left = (int)n;

		if (n < 0 && errno == ENOBUFS) {
			nl->counters.overruns++;
			nl->ops->overrun(nl->ctx);
			continue;
		}
		if (n <= 0)
			return;
		if (from.nl_pid != 0)
			continue; /* not the kernel */
		for (; message_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			news(nl, nlh);
	}
}

/* --- devices and settings -------------------------------------------------------------------------------------- */

struct tunnels {
	const char *name;
	uint32_t ifindex;	 /* of the device called name, 0 = none */
	bool external;		 /* ... and it is an ip6tnl in external mode */
	char other[IF_NAMESIZE]; /* an external ip6tnl under another name */
};

static void dumped_tunnel(struct nl *nl, const struct nlmsghdr *nlh, void *data)
{
	struct tunnels *x = data;
	struct attrs t, info, d;
	struct nl_link link;
	bool external = false;

	(void)nl;
	if (nlh->nlmsg_type != RTM_NEWLINK || !read_link(nlh, &link))
		return;
	(void)attrs_of(nlh, sizeof(struct ifinfomsg), &t);
	attrs_in(t.a[IFLA_LINKINFO], &info);
	if (!strcmp(get_text(&info, IFLA_INFO_KIND), "ip6tnl")) {
		attrs_in(info.a[IFLA_INFO_DATA], &d);
		external = d.a[IFLA_IPTUN_COLLECT_METADATA];
	}
	if (!strcmp(link.name, x->name)) {
		x->ifindex = link.ifindex;
		x->external = external;
	} else if (external) {
		memcpy(x->other, link.name, sizeof(x->other));
	}
}

static int find_tunnels(struct nl *nl, const char *name, struct tunnels *ret)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};

	memset(ret, 0, sizeof(*ret));
	ret->name = name;
	return dump(nl, RTM_GETLINK, &ifi, sizeof(ifi), dumped_tunnel, ret);
}

static int create_tunnel(struct nl *nl, const char *name, char *reterr)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nlattr *info, *data;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	(void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg)); /* zeroed: AF_UNSPEC */
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "ip6tnl");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put(nlh, IFLA_IPTUN_COLLECT_METADATA, 0, NULL);
	mnl_attr_put_u32(nlh, IFLA_IPTUN_FLAGS, IP6_TNL_F_IGN_ENCAP_LIMIT);
	mnl_attr_put_u8(nlh, IFLA_IPTUN_TTL, HOPLIMIT);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	return request(nl, nlh, reterr);
}

/* Two requests: the kernel would bring the device up, and give it a link-local address, before it looks at the rest.
 * mtu 0 = as it is. */
static int setup_device(struct nl *nl, uint32_t ifindex, uint32_t mtu, unsigned flags, char *reterr)
{
	int r = 0;

	for (int up = 0; up < 2 && r == 0; up++) {
		uint8_t buf[MESSAGE_ROOM] = {0};
		struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
		struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
		struct nlattr *spec, *in6;

		nlh->nlmsg_type = RTM_NEWLINK;
		ifi->ifi_family = AF_UNSPEC;
		ifi->ifi_index = (int)ifindex;
		if (up) {
			ifi->ifi_flags = ifi->ifi_change = flags | IFF_UP;
		} else {
			if (mtu)
				mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
			/* nothing speaks neighbour discovery there, and each address is news to applications */
			spec = mnl_attr_nest_start(nlh, IFLA_AF_SPEC);
			in6 = mnl_attr_nest_start(nlh, AF_INET6);
			mnl_attr_put_u8(nlh, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
			mnl_attr_nest_end(nlh, in6);
			mnl_attr_nest_end(nlh, spec);
		}
		r = request(nl, nlh, reterr);
	}
	return r;
}

int nl_tunnel_open(struct nl *nl, const char *name, uint32_t *ret_ifindex, char *reterr)
{
	struct tunnels x;
	char text[NL_ERR];
	int r = find_tunnels(nl, name, &x);

	if (r == 0 && x.ifindex && !x.external) {
		(void)snprintf(reterr, NL_ERR,
			"device %s exists and is not an external ip6tnl: remove it (ip link del %s) or choose another "
			"tunnel-device",
			name, name);
		return -EEXIST;
	}
	if (r == 0 && !x.ifindex) {
		r = create_tunnel(nl, name, text);
		if (r == -EPERM)
			(void)snprintf(reterr, NL_ERR,
				"not allowed to create the tunnel device %s: CAP_NET_ADMIN is needed (run as root)",
				name);
		else if (r == -EOPNOTSUPP)
			(void)snprintf(reterr, NL_ERR,
				"this kernel has no ip6tnl: load it with 'modprobe ip6_tunnel' or build it with "
				"CONFIG_IPV6_TUNNEL");
		else if (r == -EEXIST && x.other[0])
			(void)snprintf(reterr, NL_ERR,
				"%s already holds the one external ip6tnl that a network namespace can have: remove it "
				"(ip link del %s), or set tunnel-device = %s to share it",
				x.other, x.other, x.other);
		else if (r < 0)
			(void)snprintf(reterr, NL_ERR, "cannot create the tunnel device %s: %.300s", name, text);
		if (r < 0)
			return r;
		r = find_tunnels(nl, name, &x);
	}
	if (r == 0 && !x.ifindex)
		r = -ENODEV;
	if (r < 0) {
		(void)snprintf(reterr, NL_ERR, "cannot read the devices of this machine: %s", strerror(-r));
		return r;
	}
	*ret_ifindex = x.ifindex;
	return 0;
}

int nl_tunnel_up(struct nl *nl, uint32_t ifindex, uint32_t mtu, char *reterr)
{
	char text[NL_ERR];
	int r = setup_device(nl, ifindex, mtu, 0, text);

	if (r < 0)
		(void)snprintf(reterr, NL_ERR, "cannot bring up the tunnel device with MTU %u: %s", mtu, strerror(-r));
	return r;
}

int nl_tunnel_find(struct nl *nl, const char *name, uint32_t *ret_ifindex, bool *ret_external, char *ret_other)
{
	struct tunnels x;
	int r = find_tunnels(nl, name, &x);

	if (r < 0)
		return r;
	*ret_ifindex = x.ifindex;
	*ret_external = x.external;
	memcpy(ret_other, x.other, sizeof(x.other));
	return 0;
}

bool nl_link_is_up(uint32_t ifindex)
{
	struct ifreq ifr = {0};
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = if_indextoname(ifindex, ifr.ifr_name) && fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 &&
		(ifr.ifr_flags & IFF_UP);

	if (fd >= 0)
		(void)close(fd);
	return up;
}

int nl_link_delete(struct nl *nl, uint32_t ifindex)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	nlh->nlmsg_type = RTM_DELLINK;
	ifi->ifi_index = (int)ifindex;
	return request(nl, nlh, NULL);
}

int nl_link_up_quietly(struct nl *nl, uint32_t ifindex)
{
	return setup_device(nl, ifindex, 0, IFF_NOARP, NULL);
}

int nl_veth_open(struct nl *nl, const char *name, const char *inner, int netns, uint32_t *ret_ifindex, char *reterr)
{
	uint8_t buf[MESSAGE_ROOM] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nlattr *info, *data, *peer;
	int r;

	nlh->nlmsg_type = RTM_NEWLINK;
	nlh->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
	(void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	mnl_attr_put_u32(nlh, IFLA_MTU, VETH_MTU);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(nlh, VETH_INFO_PEER);
	(void)mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, inner);
	mnl_attr_put_u32(nlh, IFLA_MTU, VETH_MTU);
	mnl_attr_put_u32(nlh, IFLA_NET_NS_FD, (uint32_t)netns);
	mnl_attr_nest_end(nlh, peer);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	r = request(nl, nlh, reterr);
	if (r < 0)
		return r;
	*ret_ifindex = if_nametoindex(name);
	r = *ret_ifindex ? nl_link_up_quietly(nl, *ret_ifindex) : -ENODEV;
	if (r < 0)
		(void)snprintf(reterr, NL_ERR, "%s does not come up: %s", name, strerror(-r));
	return r;
}

static int sysctl_open(const char *ifname, const char *key, int flags)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/%s", ifname, key);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int nl_sysctl_get(const char *ifname, const char *key, int *ret)
{
	char buf[32] = "";
	int fd = sysctl_open(ifname, key, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read(fd, buf, sizeof(buf) - 1);
	(void)close(fd);
	if (n <= 0)
		return -EIO;
	*ret = atoi(buf);
	return 0;
}

int nl_sysctl_set(const char *ifname, const char *key, int value)
{
	char buf[32];
	int fd = sysctl_open(ifname, key, O_WRONLY), r = 0;
	int n = snprintf(buf, sizeof(buf), "%d\n", value);

	if (fd < 0)
		return fd;
	if (write(fd, buf, (size_t)n) != n)
		r = -errno;
	(void)close(fd);
	return r;
}

bool nl_is_wireless(const char *ifname)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "/sys/class/net/%s/phy80211", ifname);
	return access(path, F_OK) == 0;
}
