/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ra.c - router solicitations and advertisements
 *
 * The kernel forms the addresses; what it does not tell is the home-agent flag and the router's global address, which
 * say that an AMA is on the link and where. So mnd hears advertisements itself. */
#include "ra.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

#define ND_OPT_PREFIX	  3
#define ND_OPT_LINK_MTU	  5
#define ND_OPT_ADV_INTERV 7
#define RA_FLAG_HOME	  0x20
#define PIO_ONLINK	  0x80
#define PIO_AUTO	  0x40
#define PIO_ROUTER	  0x20

int ra_read(const uint8_t *buf, size_t len, struct router_advert *ret)
{
	struct rcur c = rcur_make(buf, len);
	struct router_advert ra = {0};
	uint8_t type, code;

	type = rcur_u8(&c);
	code = rcur_u8(&c);
	(void)rcur_u16(&c); /* checksum: the kernel verified it */
	(void)rcur_u8(&c);  /* current hop limit */
	ra.home_agent = rcur_u8(&c) & RA_FLAG_HOME;
	ra.lifetime_s = rcur_u16(&c);
	(void)rcur_u32(&c); /* reachable time */
	(void)rcur_u32(&c); /* retrans timer */
	if (!rcur_ok(&c) || type != ND_ROUTER_ADVERT || code != 0)
		return -EBADMSG;

	while (rcur_left(&c) > 0) {
		uint8_t opt = rcur_u8(&c);
		uint8_t units = rcur_u8(&c);
		struct rcur o;

		if (!rcur_ok(&c) || units == 0)
			return -EBADMSG;
		o = rcur_sub(&c, units * 8u - 2);
		if (!rcur_ok(&c))
			return -EBADMSG;
		switch (opt) {
		case ND_OPT_PREFIX: {
			struct ra_prefix p = {0};
			struct in6_addr addr;
			uint8_t plen = rcur_u8(&o), flags = rcur_u8(&o);

			p.valid_s = rcur_u32(&o);
			p.preferred_s = rcur_u32(&o);
			(void)rcur_u32(&o);
			rcur_in6(&o, &addr);
			if (!rcur_ok(&o) || plen > 128)
				return -EBADMSG;
			if (IN6_IS_ADDR_LINKLOCAL(&addr) || IN6_IS_ADDR_MULTICAST(&addr))
				break;
			p.on_link = flags & PIO_ONLINK;
			p.autonomous = flags & PIO_AUTO;
			p.prefix = prefix6_make(&addr, plen);
			if ((flags & PIO_ROUTER) && !ra.has_ama) {
				ra.has_ama = true;
				ra.ama = addr;
			}
			if (ra.n_prefix < RA_PREFIX_MAX)
				ra.prefix[ra.n_prefix++] = p;
			break;
		}
		case ND_OPT_LINK_MTU:
			(void)rcur_u16(&o);
			ra.mtu = rcur_u32(&o);
			break;
		case ND_OPT_ADV_INTERV:
			(void)rcur_u16(&o);
			ra.interval_ms = rcur_u32(&o);
			break;
		default:
			break;
		}
		if (!rcur_ok(&o))
			return -EBADMSG;
	}
	*ret = ra;
	return 0;
}

int ra_open(void)
{
	struct icmp6_filter filter;
	int on = 1, hops = 255, off = 0, r;
	int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);

	if (fd < 0)
		return -errno;
	ICMP6_FILTER_SETBLOCKALL(&filter);
	ICMP6_FILTER_SETPASS(ND_ROUTER_ADVERT, &filter);
	if (setsockopt(fd, IPPROTO_ICMPV6, ICMP6_FILTER, &filter, sizeof(filter)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof(hops)) < 0 ||
		setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &off, sizeof(off)) < 0) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	return fd;
}

int ra_receive(int fd, struct router_advert *ret, struct in6_addr *ret_router, uint32_t *ret_ifindex)
{
	uint8_t buf[2048], control[256];
	struct sockaddr_in6 from = {0};
	struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
	struct msghdr msg = {.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	uint32_t ifindex = 0;
	int hops = -1;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != IPPROTO_IPV6)
			continue;
		if (c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			ifindex = info.ipi6_ifindex;
		} else if (c->cmsg_type == IPV6_HOPLIMIT) {
			memcpy(&hops, CMSG_DATA(c), sizeof(hops));
		}
	}
	/* RFC 4861 6.1.2: the two checks that keep advertisements on the link */
	if (hops != 255 || !IN6_IS_ADDR_LINKLOCAL(&from.sin6_addr) || !ifindex || (msg.msg_flags & MSG_TRUNC))
		return -EBADMSG;
	if (ra_read(buf, (size_t)n, ret) < 0)
		return -EBADMSG;
	*ret_router = from.sin6_addr;
	*ret_ifindex = ifindex;
	return 1;
}

int ra_solicit(int fd, uint32_t ifindex, bool with_address)
{
	/* with our link-layer address (RFC 4861 4.1): a router that looked for us in vain while we were away finds us
	 * at once, not at its next try a second later */
	uint8_t rs[16] = {ND_ROUTER_SOLICIT, [8] = ND_OPT_SOURCE_LINKADDR, 1};
	struct ifreq ifr = {0};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_scope_id = ifindex};
	uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))] = {0};
	struct in6_pktinfo info = {.ipi6_ifindex = ifindex};
	struct iovec iov = {.iov_base = rs, .iov_len = sizeof(rs)};
	struct msghdr msg = {.msg_name = &to,
		.msg_namelen = sizeof(to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (!with_address || !if_indextoname(ifindex, ifr.ifr_name) || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		iov.iov_len = 8;
	else
		memcpy(rs + 10, ifr.ifr_hwaddr.sa_data, 6);
	(void)inet_pton(AF_INET6, "ff02::2", &to.sin6_addr);
	c->cmsg_level = IPPROTO_IPV6;
	c->cmsg_type = IPV6_PKTINFO;
	c->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(c), &info, sizeof(info));
	return sendmsg(fd, &msg, MSG_DONTWAIT) < 0 ? -errno : 0;
}
