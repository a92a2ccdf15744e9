/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keylog.h - the secure channel's keys in a file, for whoever debugs with a capture: contrib/wireshark/dmm.lua reads it
 *
 * A line a key: WHAT SPI KEY, both in hex, as channel_ops.key_log tells them. Whoever reads the file reads the
 * signalling. */
#pragma once

#include <stdint.h>

#define KEYLOG_ERR 512

/* Open it to append, make it with mode 0600. One that others may read, or that is no file, is refused.
 * Returns a descriptor, or -errno with a sentence in reterr. */
int keylog_open(const char *path, char *reterr);
void keylog_write(int fd, const char *what, uint32_t spi, const uint8_t key[static 32]);
