/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_credential.c - credentials from outside: binary form and tokens
 *
 * What is accepted must be written again as the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "credential.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct credential cred;
	struct key_request req;
	struct domain domain;
	enum credential_why why;
	uint8_t again[CREDENTIAL_MAX];
	char text[CREDENTIAL_TEXT], err[CREDENTIAL_ERR];
	char *word = malloc(len + 1);

	if (!word)
		return 0;
	if (!credential_read(data, len, &cred, &why)) {
		struct credential back;

		memcpy(domain.key, cred.domain_key, sizeof(domain.key));
		(void)credential_verify(&cred, &domain, 1, cred.from_s, &why);
		if (credential_write(&cred, again, sizeof(again)) != (int)len || memcmp(again, data, len))
			abort();
		if (credential_to_text(&cred, text) || credential_from_text(text, &back, err))
			abort();
	}
	memcpy(word, data, len);
	word[len] = '\0';
	if (!credential_from_text(word, &cred, err) && credential_to_text(&cred, text))
		abort();
	if (!key_request_from_text(word, &req, err) && key_request_to_text(&req, text))
		abort();
	if (!domain_from_text(word, &domain, err) && domain_to_text(&domain, text))
		abort();
	free(word);
	return 0;
}
