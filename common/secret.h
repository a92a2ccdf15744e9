/* SPDX-License-Identifier: GPL-2.0-or-later */
/* secret.h - key material that is wiped when done with (libsodium) */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECRET_LEN 32

/* 32 bytes of key. Never printed, never copied but by secret_copy(); its owner calls secret_done() on all ways out. */
struct secret {
	uint8_t b[SECRET_LEN];
};

/* Initialise libsodium; call before anything else in secret, noise, credential and channel. Idempotent. 0 or -EIO. */
int secret_start(void);

void secret_copy(struct secret *to, const struct secret *from);
void secret_done(struct secret *s);

/* Wipe any buffer that held key material. */
void secret_wipe(void *p, size_t len);

/* Keep a long-lived key out of swap and core dumps, best effort: failure (RLIMIT_MEMLOCK) is no error.
 * secret_unlock() also wipes. */
void secret_lock(void *p, size_t len);
void secret_unlock(void *p, size_t len);
