/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nl.h - the door to the kernel: links, addresses, routes, rules, nexthops, the tunnel device, per-interface settings
 *
 * Two sockets: one for requests and dumps (synchronous: rtnetlink answers while it takes the request), one for news.
 * Speaks fwd.h's words; only nl.c includes rtnetlink headers. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "fwd.h"

struct nl; /* made by nl_new, owned by the daemon, one a network namespace */

#define NL_ERR 512 /* room for any sentence written to reterr */

struct nl_link {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
	bool up, carrier; /* administratively up; up and able to carry packets */
	bool loopback;
	bool ethernet;	       /* ARPHRD_ETHER: wired, wireless, veth, ... */
	uint8_t link_layer[6]; /* with ethernet */
	bool port;	       /* enslaved to a bridge, bond or VRF */
	uint32_t mtu;
	/* how often the carrier came or went: a quick bounce is one piece of news with the same flags */
	uint32_t carrier_changes;
};

struct nl_address {
	uint32_t ifindex;
	struct in6_addr address;
	uint8_t len;
	bool usable; /* as a source, now: not tentative, or optimistic; not duplicated */
	bool deprecated;
};

/* News. They may queue changes in a fwd_set, not call nl functions. */
struct nl_ops {
	void (*link)(void *ctx, const struct nl_link *link, bool present);
	void (*address)(void *ctx, const struct nl_address *address, bool present);
	/* Somebody other than us deleted an object that may be ours: see fwd_lost. */
	void (*deleted)(void *ctx, const struct fwd_object *object);
	/* Somebody other than us added or changed an object with our protocol: see fwd_changed. */
	void (*changed)(void *ctx, const struct fwd_object *object);
	/* News were lost, or the kernel is set not to tell: dump and compare everything. */
	void (*overrun)(void *ctx);
};

/* Open both sockets. Returns 0, or -errno with a sentence in reterr (NL_ERR bytes). */
int nl_new(const struct nl_ops *ops, void *ctx, struct nl **ret, char *reterr);
void nl_free(struct nl *nl);

/* The news socket, and reading what is there: a bounded number of datagrams a call. */
int nl_fd(const struct nl *nl);
void nl_read_news(struct nl *nl);

/* Walk over what exists; ops.link and ops.address are called with present = true. 0 or -errno; -EAGAIN when it kept
 * changing under the walk: try again later. */
int nl_dump_links(struct nl *nl);
int nl_dump_addresses(struct nl *nl);
/* Tell the set what the kernel has of ours: nexthops, routes and rules with our protocol number, /128 addresses on
 * device (0 = none). Calls fwd_forget first. 0 or -errno. */
int nl_dump_objects(struct nl *nl, struct fwd_set *set, uint32_t device, bool count_restored);

/* Make all changes the set hands out, in as few system calls as possible, and tell it the results. Returns the number
 * of changes, or -errno when the socket itself failed (the caller dumps and compares). */
int nl_apply(struct nl *nl, struct fwd_set *set);

/* Create the ip6tnl device in external mode, or adopt one of that name as it is. A new one is down: what is to look at
 * its packets is attached first. Returns 0, or -errno with a sentence in reterr that says what to do. */
int nl_tunnel_open(struct nl *nl, const char *name, uint32_t *ret_ifindex, char *reterr);
/* Set its MTU (0 = as it is) and bring it up. 0, or -errno with a sentence in reterr. */
int nl_tunnel_up(struct nl *nl, uint32_t ifindex, uint32_t mtu, char *reterr);
/* Look for it: *ret_ifindex = 0 when there is no such device; *ret_external: it is an ip6tnl in external mode;
 * ret_other (IF_NAMESIZE bytes): an external ip6tnl under another name, "" = none. 0 or -errno. */
int nl_tunnel_find(struct nl *nl, const char *name, uint32_t *ret_ifindex, bool *ret_external, char *ret_other);
/* Is it there and up now? News may be of a time before we brought it up. */
bool nl_link_is_up(uint32_t ifindex);
int nl_link_delete(struct nl *nl, uint32_t ifindex);

/* Make a pair of veth devices, one end here and up, called name, the other in the network namespace netns, called
 * inner, as it is made. Neither gets an address by itself. Returns 0, or -errno with the kernel's sentence in reterr.
 */
int nl_veth_open(struct nl *nl, const char *name, const char *inner, int netns, uint32_t *ret_ifindex, char *reterr);
/* Bring a device up as it is (its address generation off): no address, and no neighbour discovery, comes of it. 0 or
 * -errno. */
int nl_link_up_quietly(struct nl *nl, uint32_t ifindex);

/* Read or write /proc/sys/net/ipv6/conf/IFNAME/KEY. -ENOENT where this kernel has no such setting. */
int nl_sysctl_get(const char *ifname, const char *key, int *ret);
int nl_sysctl_set(const char *ifname, const char *key, int value);
/* True when the interface is a radio (sysfs knows a phy for it). */
bool nl_is_wireless(const char *ifname);

struct nl_counters {
	uint64_t requests; /* changes of objects; what sets up a device does not count */
	uint64_t batches, failures, news, overruns, dumps;
};
const struct nl_counters *nl_counters(const struct nl *nl);

/* For tests: called before a change is sent; a result other than 0 is taken as the kernel's answer. NULL = off. */
typedef int nl_fault_cb(void *ctx, enum fwd_op op, const struct fwd_object *o);
void nl_set_fault(struct nl *nl, nl_fault_cb *cb, void *ctx);
