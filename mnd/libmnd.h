/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libmnd.h - for programs that know what they want of their address: libmnd(3)
 *
 * The four kinds of address of RFC 8653, for one socket or for a whole process. mnd is asked over its control socket;
 * no privileges are needed. */
#ifndef LIBMND_H
#define LIBMND_H

#include <netinet/in.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is wanted of an address (RFC 8653 3.1). The numbers stay. */
enum mnd_type {
	MND_SESSION_LASTING = 0, /* kept as long as a session uses it, whatever network the node is in */
	MND_FIXED = 1,		 /* kept for good, and reachable from everywhere */
	MND_GRACEFUL_REPLACEMENT =
		2,		/* kept for what uses it; after a move there is a better one, and the program is told */
	MND_NON_PERSISTENT = 3, /* no mobility: the care-of address, gone with the network */
};

struct mnd; /* a connection to mnd; one thread at a time */

/* Connect to mnd at its control socket, NULL = where it is by default. Returns 0, or -errno: mnd does not run.
 * mnd_close takes NULL. */
int mnd_open(const char *path, struct mnd **ret);
void mnd_close(struct mnd *m);
/* Why the last call failed, as a sentence; "" = it did not. Valid until the next call. */
const char *mnd_error(const struct mnd *m);

/* All of these return 0 or -errno: -EADDRNOTAVAIL when there is no such address, which mnd_error explains. With an
 * anchor (NULL = any) the address is that of this anchor. They may wait some seconds for an anchor that is being asked.
 */

/* An address of this type, to bind to. */
int mnd_get_address(struct mnd *m, enum mnd_type type, const char *anchor, struct in6_addr *ret);
/* RFC 8653's setsc(): bind an IPv6 socket that is not bound yet to an address of this type; the port is chosen when it
 * is connected. */
int mnd_set_type(struct mnd *m, int fd, enum mnd_type type, const char *anchor);
/* Pin a process (0 = this one) and all that it will start, as hoa-exec(1) does. Not with MND_NON_PERSISTENT. */
int mnd_pin(struct mnd *m, pid_t pid, enum mnd_type type, const char *anchor);

/* A descriptor that becomes readable when addresses or networks have changed: for poll(2); the library's, one a
 * connection. Or -errno. */
int mnd_watch(struct mnd *m);
/* Something was readable there: take it. 0, or -ECONNRESET when mnd has ended; then close and open again. */
int mnd_read_news(struct mnd *m);
/* Would a new socket of this type get the address that fd is bound to? 1 yes; 0 no, there is a better one;
 * or -errno. */
int mnd_is_current(struct mnd *m, int fd, enum mnd_type type);

#ifdef __cplusplus
}
#endif
#endif
