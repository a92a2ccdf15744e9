/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secret.c - key material that is wiped when done with */
#include "secret.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

int secret_start(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

void secret_copy(struct secret *to, const struct secret *from)
{
	memcpy(to->b, from->b, sizeof(to->b));
}

void secret_done(struct secret *s)
{
	sodium_memzero(s->b, sizeof(s->b));
}

void secret_wipe(void *p, size_t len)
{
	sodium_memzero(p, len);
}

void secret_lock(void *p, size_t len)
{
	int saved = errno;

	(void)sodium_mlock(p, len); /* also asks the kernel to leave it out of core dumps */
	errno = saved;
}

void secret_unlock(void *p, size_t len)
{
	int saved = errno;

	(void)sodium_munlock(p, len); /* wipes first, also where locking had failed */
	errno = saved;
}
