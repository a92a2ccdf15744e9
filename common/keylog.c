/* SPDX-License-Identifier: GPL-2.0-or-later */
/* keylog.c - the secure channel's keys in a file */
#include "keylog.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secret.h"

int keylog_open(const char *path, char *reterr)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600), r;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		r = -errno;
		(void)snprintf(reterr, KEYLOG_ERR, "cannot open the key log %.200s: %s", path, strerror(-r));
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_uid != geteuid()) {
		(void)snprintf(reterr, KEYLOG_ERR,
			"the key log %.200s is not a file that only its owner may read: remove it, or 'chmod 600' and chown it",
			path);
		(void)close(fd);
		return -EPERM;
	}
	return fd;
}

void keylog_write(int fd, const char *what, uint32_t spi, const uint8_t key[static 32])
{
	char hex[65], line[128];
	int n = snprintf(
		line, sizeof(line), "%s %07x %s\n", what, (unsigned)spi, sodium_bin2hex(hex, sizeof(hex), key, 32));

	(void)!write(fd, line, (size_t)n); /* a full disk costs a line, not the daemon */
	secret_wipe(hex, sizeof(hex));
	secret_wipe(line, sizeof(line));
}
