/* SPDX-License-Identifier: GPL-2.0-or-later */
/* priv.c - give up what start-up needed
 *
 * Netlink requests, sysctls below net, raw sockets and BPF need capabilities all our life, so a second process would remove little; what
 * goes is the identity of root (its files) and every other capability, also from the bounding set. */
#include "priv.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int fail(char *reterr, const char *what, int error)
{
	(void)snprintf(reterr, PRIV_ERR, "cannot give up privileges: %.120s: %s", what, strerror(error));
	return -error;
}

int priv_drop(const char *user, bool raw, bool cgroups, const char *const *own, char *reterr)
{
	struct passwd *pw = NULL;
	int r;

	if (*user) {
		errno = 0;
		pw = getpwnam(user);
		if (!pw) {
			(void)snprintf(reterr, PRIV_ERR, "there is no user '%.60s': make it (useradd --system %.60s) or leave 'user' out", user, user);
			return -ENOENT;
		}
		if (geteuid() != 0 && geteuid() != pw->pw_uid) {
			(void)snprintf(reterr, PRIV_ERR,
				"this was not started by root, so it cannot become user '%.60s': leave 'user' out",
				user);
			return -EPERM;
		}
		if (geteuid() == pw->pw_uid)
			pw = NULL; /* the service manager was there before us */
		for (; pw && own && *own; own++)
			if (chown(*own, pw->pw_uid, pw->pw_gid) < 0 && errno != ENOENT)
				return fail(reterr, *own, errno);
	}
	capng_clear(CAPNG_SELECT_BOTH);
	(void)capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, CAP_NET_ADMIN, CAP_BPF, -1);
	if (raw)
		(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, CAP_NET_RAW);
	if (cgroups)
		(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, CAP_DAC_OVERRIDE);
	if (pw)
		r = capng_change_id((int)pw->pw_uid, (int)pw->pw_gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
	else
		r = capng_apply(capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
	if (r != 0) {
		(void)snprintf(reterr, PRIV_ERR, "cannot give up privileges: libcap-ng says %d", r);
		return -EPERM;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(reterr, "no_new_privs", errno);
	if (pw && (setuid(0) == 0 || geteuid() != pw->pw_uid)) {
		(void)snprintf(reterr, PRIV_ERR, "cannot give up privileges: root could be regained");
		return -EPERM;
	}
	return 0;
}
