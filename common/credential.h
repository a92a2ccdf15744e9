/* SPDX-License-Identifier: GPL-2.0-or-later */
/* credential.h - domain keys, node keys and credentials (ARCHITECTURE, "Trust"); only the file functions do I/O */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "prefix6.h"
#include "secret.h"

#define CREDENTIAL_NAME_MAX	63  /* bytes in a node or domain name, [A-Za-z0-9._-] */
#define CREDENTIAL_PREFIXES_MAX 16  /* prefixes an AMA may anchor */
#define CREDENTIAL_MIN		151 /* bytes in binary form */
#define CREDENTIAL_MAX		547
#define CREDENTIAL_TEXT		768 /* room for any token below, with its NUL */
#define CREDENTIAL_ERR		512 /* room for any sentence written to reterr */

enum credential_role {
	CREDENTIAL_MN = 1,  /* mobile node */
	CREDENTIAL_AMA = 2, /* access mobility anchor */
};

/* A credential as signed by a domain. A plain value: copy it freely, it holds no secret. */
struct credential {
	enum credential_role role;
	char node[CREDENTIAL_NAME_MAX + 1];
	uint8_t key[32]; /* the node's X25519 static public key */
	uint64_t from_s; /* valid from .. until, unix seconds, both included */
	uint64_t until_s;
	uint8_t domain_key[32]; /* the domain's Ed25519 public key */
	char domain[CREDENTIAL_NAME_MAX + 1];
	unsigned int n_prefixes;			  /* an MN has none */
	struct prefix6 prefixes[CREDENTIAL_PREFIXES_MAX]; /* ascending by prefix6_compare(), no two equal */
	uint8_t signature[64];
};

/* A domain that somebody trusts. Public. */
struct domain {
	char name[CREDENTIAL_NAME_MAX + 1];
	uint8_t key[32]; /* Ed25519 public key */
};

/* A domain's signing key. Secret; end it with domain_key_done(). */
struct domain_key {
	struct domain domain;
	struct secret seed; /* of the Ed25519 key */
};

/* What a node is: its key, and its credential once it has one. Secret; end it with identity_done(). */
struct identity {
	enum credential_role role;
	char name[CREDENTIAL_NAME_MAX + 1];
	struct secret key; /* X25519 static private key */
	uint8_t public_key[32];
	bool has_credential;
	struct credential credential; /* role, node and key are the same as above (checked when loaded) */
};

/* What a node tells its domain to get a credential. Public. */
struct key_request {
	enum credential_role role;
	char name[CREDENTIAL_NAME_MAX + 1];
	uint8_t key[32];
};

/* Why a credential was refused: log text and counter. */
enum credential_why {
	CREDENTIAL_WHY_MALFORMED,
	CREDENTIAL_WHY_VERSION,	  /* a later version of the format */
	CREDENTIAL_WHY_UNTRUSTED, /* signed by a domain that is not among the trusted ones */
	CREDENTIAL_WHY_SIGNATURE,
	CREDENTIAL_WHY_NOT_YET,
	CREDENTIAL_WHY_EXPIRED,
	CREDENTIAL_WHY_COUNT,
};
const char *credential_why_name(enum credential_why why);		/* "expired" */
const char *credential_why_text(enum credential_why why);		/* a sentence */
const char *credential_role_name(enum credential_role role);		/* "mn", "ama" */
int credential_role_parse(const char *text, enum credential_role *ret); /* 0 or -EINVAL */
bool credential_name_is_valid(const char *name);

/* Binary form. Canonical: there is one encoding of a credential, everything else is refused.
 *   version(1)=1 role(1) node-len(1) node key(32) from(8) until(8) domain-key(32) domain-len(1) domain
 *   n-prefixes(1) { prefix-len(1) address(16) }* signature(64)
 * Reading checks the form only: see credential_verify(). Returns 0, or -EBADMSG with *reterr_why set.
 * Writing returns the length (<= CREDENTIAL_MAX), or -EINVAL if cred breaks a rule of the form, -ENOSPC. */
int credential_read(const uint8_t *buf, size_t len, struct credential *ret, enum credential_why *reterr_why);
int credential_write(const struct credential *cred, uint8_t *buf, size_t size);

/* Is it signed by one of the n trusted domains, and valid at now_s (unix seconds)? 0, or -EACCES with *reterr_why. */
int credential_verify(const struct credential *cred, const struct domain *trusted, size_t n, uint64_t now_s,
	enum credential_why *reterr_why);

/* May the holder anchor prefix p? (An AMA, and p is part of one of its prefixes.) */
bool credential_covers(const struct credential *cred, const struct prefix6 *p);

/* Fill domain, domain_key and signature; sorts the prefixes. 0, or -EINVAL if a field breaks a rule of the form. */
int credential_sign(struct credential *cred, const struct domain_key *key);

/* Text forms, one word each: "dmm-cred-1:...", "dmm-key-1:...", "dmm-domain-1:...". Reading skips white space around
 * the word; on failure returns -EBADMSG with a sentence in reterr (CREDENTIAL_ERR bytes). buf takes CREDENTIAL_TEXT
 * bytes. */
int credential_from_text(const char *text, struct credential *ret, char *reterr);
int credential_to_text(const struct credential *cred, char *buf);
int key_request_from_text(const char *text, struct key_request *ret, char *reterr);
int key_request_to_text(const struct key_request *req, char *buf);
int domain_from_text(const char *text, struct domain *ret, char *reterr);
int domain_to_text(const struct domain *domain, char *buf);

/* Where to read an identity: path, or, if path is the standard one, the copy that the service manager has handed over
 * to a daemon that cannot read root's files (LoadCredential= of systemd.exec(5), by the file's name); then its name in
 * buf. */
const char *identity_find(const char *path, const char *standard, char *buf, size_t size);
/* Node identities. generate makes a new key. store writes a temporary file (0600) beside path, syncs it and renames it
 * over path. load refuses a file that others can read or that belongs neither to us nor to root. All return 0 or -errno
 * with a sentence in reterr (CREDENTIAL_ERR bytes), which names the file and never a key. */
int identity_generate(enum credential_role role, const char *name, struct identity *ret, char *reterr);
int identity_load(const char *path, struct identity *ret, char *reterr);
int identity_store(const char *path, const struct identity *id, char *reterr);
void identity_request(const struct identity *id, struct key_request *ret);
/* Give an identity its credential: it must be for this key, name and role, and its signature right. */
int identity_set_credential(struct identity *id, const struct credential *cred, char *reterr);
void identity_done(struct identity *id);

/* The same for a domain's signing key. */
int domain_key_generate(const char *name, struct domain_key *ret, char *reterr);
int domain_key_load(const char *path, struct domain_key *ret, char *reterr);
int domain_key_store(const char *path, const struct domain_key *key, char *reterr);
void domain_key_done(struct domain_key *key);
