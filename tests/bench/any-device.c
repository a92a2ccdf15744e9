/* SPDX-License-Identifier: GPL-2.0-or-later */
/* any-device.c - amad, or mnd, whose tunnel device may be of any kind, for measurements of what an update costs on
 * kernels without ip6tnl
 *
 * Linked in place of nl_tunnel_open(). The kernel takes nexthops with encapsulation and routes to them on any device,
 * at the same cost; only packets would not come through. */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>

#include "nl.h"

int __wrap_nl_tunnel_open(struct nl *nl, const char *name, uint32_t *ret_ifindex, char *reterr);
int __wrap_nl_tunnel_open(struct nl *nl, const char *name, uint32_t *ret_ifindex, char *reterr)
{
	(void)nl;
	*ret_ifindex = if_nametoindex(name);
	(void)snprintf(reterr, NL_ERR, "no device %s", name);
	return *ret_ifindex ? 0 : -ENODEV;
}
