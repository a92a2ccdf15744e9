/* SPDX-License-Identifier: GPL-2.0-or-later */
/* homeaddr.h - life of one home address: the state machine (ARCHITECTURE, "Life of a home address"), pure */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "lu.h"
#include "prefix6.h"

enum homeaddr_state {
	HOMEADDR_ALLOCATING, /* the first attach is out, the anchor has not leased a prefix yet */
	HOMEADDR_NATIVE,     /* on its anchor's link: no binding, no tunnel */
	HOMEADDR_RETURNING,  /* back on its anchor's link, which still has a binding */
	HOMEADDR_DEPRECATED, /* away and unused: no binding, the anchor hears nothing until it is released */
	HOMEADDR_BINDING,    /* away and in use: the anchor has not acknowledged the present care-of address */
	HOMEADDR_BOUND,	     /* away and in use: tunnelled to the present care-of address */
	HOMEADDR_IDLE,	     /* away, bound, the last session ended: kept for the grace time */
	HOMEADDR_RELEASING,  /* the grace time is over: the release is out */
	HOMEADDR_RELEASED,   /* final: the owner removes it */
};
#define HOMEADDR_STATES (HOMEADDR_RELEASED + 1)
const char *homeaddr_state_name(enum homeaddr_state state);

/* Why the present state was entered. */
enum homeaddr_reason {
	HOMEADDR_NEW,	       /* an AMA on the link was asked for its first prefix */
	HOMEADDR_RESTARTED,    /* taken over from the last run of the daemon */
	HOMEADDR_LEASED,       /* the anchor granted a prefix */
	HOMEADDR_MOVED,	       /* the node left the anchor's link, or has another care-of address */
	HOMEADDR_CAME_BACK,    /* the node is on the anchor's link again */
	HOMEADDR_ACKNOWLEDGED, /* the anchor answered */
	HOMEADDR_SESSION_BEGAN,
	HOMEADDR_SESSION_ENDED, /* the last one */
	HOMEADDR_BINDING_ENDED, /* the binding's lifetime passed without a renewal */
	HOMEADDR_GRACE_OVER,
	HOMEADDR_GIVEN_UP,     /* its anchor is being drained and it is unused, or somebody told mnd to release it */
	HOMEADDR_REVOKED,      /* the anchor took the lease back */
	HOMEADDR_LEASE_ENDED,  /* the lease's time passed without a renewal */
	HOMEADDR_NEVER_LEASED, /* the node left before the anchor granted anything */
	HOMEADDR_REFUSED,      /* the anchor says that it is not, or no longer, ours */
	HOMEADDR_NO_ANSWER,    /* to the release: given up, the lease runs out by itself */
};
const char *homeaddr_reason_name(enum homeaddr_reason reason);

/* What the machine is told about the world; all of it is level, none is an edge, so a lost event costs nothing. */
struct homeaddr_world {
	uint64_t now_us;
	bool path;    /* there is a usable care-of address */
	bool at_home; /* ... and it is on the link of this home address's anchor */
	bool in_use;  /* a session or a pin uses this home address */
	/* its anchor is being drained, or somebody gave it up: released once unused, also at home */
	bool unwanted;
	struct in6_addr care_of; /* valid with path */
	uint32_t generation;	 /* changes when the anchor has to hear from us although the address did not change
				    (new link, resume from suspend) */
};

struct homeaddr_policy {
	uint64_t grace_us;    /* how long an unused earlier home address is kept */
	uint32_t lease_s;     /* lease time to ask for */
	uint32_t binding_s;   /* binding lifetime to ask for, multiple of 4 */
	unsigned release_try; /* unanswered releases after which the address is given up */
};

/* Owned by mnd. The fields above the line are set by homeaddr_init and homeaddr_acked and read by everybody. */
struct home_address {
	bool known;		 /* address and prefix are valid: the anchor has leased them */
	struct in6_addr address; /* the HoA, inside prefix */
	struct prefix6 prefix;	 /* the HNP */
	enum homeaddr_state state;
	enum homeaddr_reason reason; /* why it was entered */
	uint64_t since_us;	     /* and when */
	uint64_t lease_until_us;     /* 0 while not leased */

	enum lu_kind confirmed;		   /* what the anchor acknowledged last: LU_ATTACH, LU_BIND or LU_NONE */
	struct in6_addr confirmed_care_of; /* with LU_BIND */
	uint32_t confirmed_generation;
	uint64_t confirmed_until_us; /* with LU_BIND: end of the binding */
	uint64_t refresh_us;	     /* when the confirmed registration or the lease wants renewal */
	uint64_t idle_since_us;	     /* away and unused since, 0 = in use or at home */
	uint64_t hold_us;	     /* after a refusal: not before this time */
	enum lu_kind asked;	     /* what is outstanding, LU_NONE = nothing */
	struct in6_addr asked_care_of;
	uint32_t asked_generation;
};

enum homeaddr_action {
	HOMEADDR_WAIT,	 /* nothing to do until ret_wake_us or a change of the world */
	HOMEADDR_SEND,	 /* start the location update h->asked, replacing an outstanding one */
	HOMEADDR_CANCEL, /* the outstanding update is no longer wanted */
};

/* Begin a life. With prefix = NULL the anchor is asked for one; otherwise it is an address kept from an earlier run of
 * the daemon, leased until lease_until_us, about which the anchor has to be told anew. */
void homeaddr_init(struct home_address *h, const struct prefix6 *prefix, const struct in6_addr *address,
	uint64_t lease_until_us, uint64_t now_us);

/* Compare the world with what the anchor knows, enter the state that follows, and say what to send.
 *   ret_wake_us  absolute time at which to call again if nothing else happens, UINT64_MAX = never
 * Does no I/O, does not allocate. */
enum homeaddr_action homeaddr_step(struct home_address *h, const struct homeaddr_world *w,
	const struct homeaddr_policy *policy, uint64_t *ret_wake_us);

/* The anchor acknowledged h->asked (status < 128).
 *   sent_us    when the acknowledged update left: lifetimes count from there (RFC 6275 11.7.3)
 *   prefix     the prefix in the answer; address the HoA formed in it (taken when it differs from h's)
 *   lifetime_s binding lifetime granted; refresh_s Binding Refresh Advice or 0; lease_s lease granted or 0 = not told
 */
void homeaddr_acked(struct home_address *h, uint64_t sent_us, const struct prefix6 *prefix,
	const struct in6_addr *address, uint32_t lifetime_s, uint32_t refresh_s, uint32_t lease_s);

/* The anchor took the lease back (RFC 5846). */
void homeaddr_revoked(struct home_address *h, uint64_t now_us);
/* The anchor wants an update although nothing changed (RFC 6275 6.1.2). */
void homeaddr_refresh(struct home_address *h, uint64_t now_us);

/* The anchor refused h->asked with status (>= 128, not 135, which lu answers itself). */
void homeaddr_refused(struct home_address *h, uint8_t status, uint64_t now_us);

/* No answer to h->asked so far; tries = how often it was sent. Gives a release up after policy->release_try. */
void homeaddr_unanswered(struct home_address *h, unsigned tries, const struct homeaddr_policy *policy);

/* True while packets of this address should go through the tunnel to the anchor. */
bool homeaddr_is_tunnelled(const struct home_address *h);

/* True when the next step would act on an old count of sessions: the grace time is over and it would release, or the
 * binding is due for renewal. */
bool homeaddr_is_due(const struct home_address *h, uint64_t grace_us, uint64_t now_us);

/* True while a session that begins has to be noticed: away, leased, without one. */
bool homeaddr_is_unused(const struct home_address *h);
