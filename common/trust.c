/* SPDX-License-Identifier: GPL-2.0-or-later */
/* trust.c - the domains a daemon believes */
#include "trust.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int trust_load(const char *path, const struct identity *own, struct domain *ret, char *reterr)
{
	FILE *f = fopen(path, "re");
	char line[CREDENTIAL_TEXT + 2], err[CREDENTIAL_ERR];
	unsigned n = 0;
	int count = 0;

	while (f && fgets(line, sizeof(line), f)) {
		n++;
		if (line[strspn(line, " \t\r\n")] == '\0' || line[strspn(line, " \t")] == '#')
			continue;
		if (count == TRUST_MAX || domain_from_text(line, &ret[count], err) < 0) {
			(void)snprintf(reterr, CREDENTIAL_ERR, "%.200s:%u: %.250s", path, n,
				count == TRUST_MAX ? "more domains than the daemon takes" : err);
			(void)fclose(f);
			return -EINVAL;
		}
		count++;
	}
	if (f)
		(void)fclose(f);
	if (count < TRUST_MAX && own->has_credential) {
		memcpy(ret[count].key, own->credential.domain_key, sizeof(ret[count].key));
		memcpy(ret[count].name, own->credential.domain, sizeof(ret[count].name));
		count++;
	}
	return count;
}
