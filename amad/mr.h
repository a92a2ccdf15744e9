/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mr.h - mobility routing: locators, one nexthop object each, shared by all prefixes behind it (ARCHITECTURE, "Kernel
 * state"); pure */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where a tunnel ends. Owned by mr; lives while a binding refers to it. */
struct locator;
struct mr;

struct mr *mr_new(void);
void mr_free(struct mr *mr);

/* Take a reference to the locator for these outer addresses. A new one gets the id hint, if that is one of ours and
 * free. *ret_new: it was made now, its nexthop object has to be. NULL = no memory. */
struct locator *mr_get(
	struct mr *mr, const struct in6_addr *care_of, const struct in6_addr *self, uint32_t hint, bool *ret_new);
/* Give a reference back. Returns true when it was the last: the locator is gone, its nexthop object has to go; its id
 * is in *ret_id. */
bool mr_put(struct mr *mr, struct locator *l, uint32_t *ret_id);
/* The only user of l moves to new outer addresses for which there is no locator yet: change l itself, so that one
 * nexthop replacement moves the route. Returns false, nothing done, when l is shared or the other exists. */
bool mr_move(struct mr *mr, struct locator *l, const struct in6_addr *care_of, const struct in6_addr *self);

/* All users of l move there at once; the same. */
bool mr_move_all(struct mr *mr, struct locator *l, const struct in6_addr *care_of);
uint32_t mr_users(const struct locator *l);

uint32_t mr_id(const struct locator *l); /* of the nexthop object */
const struct in6_addr *mr_care_of(const struct locator *l);
const struct in6_addr *mr_self(const struct locator *l);
size_t mr_count(const struct mr *mr);
