/* SPDX-License-Identifier: GPL-2.0-or-later */
/* credential.c - domain keys, node keys and credentials
 *
 * A domain signs, with Ed25519, what its nodes are: role, name, X25519 key, validity, and an AMA's prefixes. Trusting a
 * domain is knowing its public key. There are no chains and no revocation lists: validity is short, and a domain
 * renews.
 *
 * The signature covers SIGN_LABEL and all bytes of the binary form before it. The form is canonical, so that a
 * credential has one encoding and one signature input.
 *
 * Files are "name = value" lines; '#' begins a comment. Tokens of keys carry a short checksum, because a mistyped
 * public key could otherwise only be noticed as a silent peer. */
#include "credential.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire.h"

#define VERSION	   1
#define SIGN_LABEL "dmm-credential-1"
#define CHECK_LEN  4 /* bytes of checksum in dmm-key-1 and dmm-domain-1 */
#define FILE_MAX   8192

static int complain(char *reterr, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int complain(char *reterr, int error, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(reterr, CREDENTIAL_ERR, format, args);
	va_end(args);
	return error;
}

/* --- names --------------------------------------------------------------------------------------------------- */

const char *credential_why_name(enum credential_why why)
{
	switch (why) {
	case CREDENTIAL_WHY_MALFORMED:
		return "malformed";
	case CREDENTIAL_WHY_VERSION:
		return "version";
	case CREDENTIAL_WHY_UNTRUSTED:
		return "untrusted";
	case CREDENTIAL_WHY_SIGNATURE:
		return "signature";
	case CREDENTIAL_WHY_NOT_YET:
		return "not-yet";
	case CREDENTIAL_WHY_EXPIRED:
		return "expired";
	case CREDENTIAL_WHY_COUNT:
		break;
	}
	return "?";
}

const char *credential_why_text(enum credential_why why)
{
	switch (why) {
	case CREDENTIAL_WHY_MALFORMED:
		return "the credential is malformed";
	case CREDENTIAL_WHY_VERSION:
		return "the credential is of a format version that this program does not know";
	case CREDENTIAL_WHY_UNTRUSTED:
		return "the credential was signed by a domain that is not trusted here";
	case CREDENTIAL_WHY_SIGNATURE:
		return "the credential's signature is wrong";
	case CREDENTIAL_WHY_NOT_YET:
		return "the credential is not valid yet (is the clock right?)";
	case CREDENTIAL_WHY_EXPIRED:
		return "the credential has expired (renew it, or is the clock wrong?)";
	case CREDENTIAL_WHY_COUNT:
		break;
	}
	return "?";
}

const char *credential_role_name(enum credential_role role)
{
	switch (role) {
	case CREDENTIAL_MN:
		return "mn";
	case CREDENTIAL_AMA:
		return "ama";
	}
	return "?";
}

int credential_role_parse(const char *text, enum credential_role *ret)
{
	if (!strcmp(text, "mn"))
		*ret = CREDENTIAL_MN;
	else if (!strcmp(text, "ama"))
		*ret = CREDENTIAL_AMA;
	else
		return -EINVAL;
	return 0;
}

static bool name_char(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
		c == '-';
}

bool credential_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!name_char((uint8_t)name[i]))
			return false;
	return len >= 1 && len <= CREDENTIAL_NAME_MAX;
}

/* --- binary form --------------------------------------------------------------------------------------------- */

static bool read_name(struct rcur *c, char ret[CREDENTIAL_NAME_MAX + 1])
{
	size_t len = rcur_u8(c);
	const uint8_t *p = len >= 1 && len <= CREDENTIAL_NAME_MAX ? rcur_take(c, len) : NULL;

	for (size_t i = 0; p && i < len; i++)
		if (!name_char(p[i]))
			return false;
	if (!p)
		return false;
	memcpy(ret, p, len);
	ret[len] = '\0';
	return true;
}

static void write_name(struct wcur *w, const char *name)
{
	wcur_u8(w, (uint8_t)strlen(name));
	wcur_bytes(w, name, strlen(name));
}

int credential_read(const uint8_t *buf, size_t len, struct credential *ret, enum credential_why *reterr_why)
{
	struct rcur c = rcur_make(buf, len);
	struct credential cred = {0};
	uint8_t version = rcur_u8(&c), role = rcur_u8(&c);

	if (rcur_ok(&c) && version != VERSION) {
		*reterr_why = CREDENTIAL_WHY_VERSION;
		return -EBADMSG;
	}
	*reterr_why = CREDENTIAL_WHY_MALFORMED;
	if (role != CREDENTIAL_MN && role != CREDENTIAL_AMA)
		return -EBADMSG;
	cred.role = role;
	if (!read_name(&c, cred.node))
		return -EBADMSG;
	rcur_bytes(&c, cred.key, sizeof(cred.key));
	cred.from_s = rcur_u64(&c);
	cred.until_s = rcur_u64(&c);
	rcur_bytes(&c, cred.domain_key, sizeof(cred.domain_key));
	if (!read_name(&c, cred.domain))
		return -EBADMSG;
	cred.n_prefixes = rcur_u8(&c);
	if (cred.n_prefixes > CREDENTIAL_PREFIXES_MAX || (cred.role == CREDENTIAL_MN && cred.n_prefixes))
		return -EBADMSG;
	for (unsigned int i = 0; i < cred.n_prefixes; i++) {
		struct in6_addr addr;
		uint8_t plen = rcur_u8(&c);

		rcur_in6(&c, &addr);
		if (plen > 128)
			return -EBADMSG;
		cred.prefixes[i] = prefix6_make(&addr, plen);
		if (!IN6_ARE_ADDR_EQUAL(&cred.prefixes[i].addr, &addr) ||
			(i && prefix6_compare(&cred.prefixes[i - 1], &cred.prefixes[i]) >= 0))
			return -EBADMSG;
	}
	rcur_bytes(&c, cred.signature, sizeof(cred.signature));
	if (!rcur_ok(&c) || rcur_left(&c) || cred.from_s > cred.until_s)
		return -EBADMSG;
	*ret = cred;
	return 0;
}

int credential_write(const struct credential *cred, uint8_t *buf, size_t size)
{
	struct wcur w = wcur_make(buf, size);

	if ((cred->role != CREDENTIAL_MN && cred->role != CREDENTIAL_AMA) || !credential_name_is_valid(cred->node) ||
		!credential_name_is_valid(cred->domain) || cred->from_s > cred->until_s ||
		cred->n_prefixes > (cred->role == CREDENTIAL_MN ? 0 : CREDENTIAL_PREFIXES_MAX))
		return -EINVAL;
	wcur_u8(&w, VERSION);
	wcur_u8(&w, (uint8_t)cred->role);
	write_name(&w, cred->node);
	wcur_bytes(&w, cred->key, sizeof(cred->key));
	wcur_u64(&w, cred->from_s);
	wcur_u64(&w, cred->until_s);
	wcur_bytes(&w, cred->domain_key, sizeof(cred->domain_key));
	write_name(&w, cred->domain);
	wcur_u8(&w, (uint8_t)cred->n_prefixes);
	for (unsigned int i = 0; i < cred->n_prefixes; i++) {
		if (i && prefix6_compare(&cred->prefixes[i - 1], &cred->prefixes[i]) >= 0)
			return -EINVAL;
		wcur_u8(&w, cred->prefixes[i].len);
		wcur_in6(&w, &cred->prefixes[i].addr);
	}
	wcur_bytes(&w, cred->signature, sizeof(cred->signature));
	return wcur_ok(&w) ? (int)wcur_len(&w) : -ENOSPC;
}

/* --- signature ----------------------------------------------------------------------------------------------- */

/* What is signed: SIGN_LABEL and the binary form without its last 64 bytes. Returns its length or -EINVAL. */
static int signed_bytes(const struct credential *cred, uint8_t buf[static sizeof(SIGN_LABEL) - 1 + CREDENTIAL_MAX])
{
	const int label = (int)sizeof(SIGN_LABEL) - 1;
	int len;

	memcpy(buf, SIGN_LABEL, (size_t)label);
	len = credential_write(cred, buf + label, CREDENTIAL_MAX);
	return len < 0 ? len : label + len - (int)sizeof(cred->signature);
}

int credential_verify(const struct credential *cred, const struct domain *trusted, size_t n, uint64_t now_s,
	enum credential_why *reterr_why)
{
	uint8_t buf[sizeof(SIGN_LABEL) - 1 + CREDENTIAL_MAX];
	size_t i;
	int len;

	for (i = 0; i < n; i++)
		if (!memcmp(trusted[i].key, cred->domain_key, sizeof(cred->domain_key)))
			break;
	if (i == n) {
		*reterr_why = CREDENTIAL_WHY_UNTRUSTED;
		return -EACCES;
	}
	if (now_s < cred->from_s || now_s > cred->until_s) {
		*reterr_why = now_s < cred->from_s ? CREDENTIAL_WHY_NOT_YET : CREDENTIAL_WHY_EXPIRED;
		return -EACCES;
	}
	len = signed_bytes(cred, buf);
	if (len < 0 || crypto_sign_verify_detached(cred->signature, buf, (unsigned long long)len, cred->domain_key)) {
		*reterr_why = len < 0 ? CREDENTIAL_WHY_MALFORMED : CREDENTIAL_WHY_SIGNATURE;
		return -EACCES;
	}
	return 0;
}

bool credential_covers(const struct credential *cred, const struct prefix6 *p)
{
	if (cred->role != CREDENTIAL_AMA)
		return false;
	for (unsigned int i = 0; i < cred->n_prefixes; i++)
		if (prefix6_covers(&cred->prefixes[i], p))
			return true;
	return false;
}

static int by_prefix(const void *a, const void *b)
{
	return prefix6_compare(a, b);
}

int credential_sign(struct credential *cred, const struct domain_key *key)
{
	uint8_t buf[sizeof(SIGN_LABEL) - 1 + CREDENTIAL_MAX];
	uint8_t public[crypto_sign_PUBLICKEYBYTES], secret[crypto_sign_SECRETKEYBYTES];
	int len;

	if (cred->n_prefixes > CREDENTIAL_PREFIXES_MAX)
		return -EINVAL;
	qsort(cred->prefixes, cred->n_prefixes, sizeof(cred->prefixes[0]), by_prefix);
	memcpy(cred->domain_key, key->domain.key, sizeof(cred->domain_key));
	memcpy(cred->domain, key->domain.name, sizeof(cred->domain));
	len = signed_bytes(cred, buf);
	if (len < 0)
		return len;
	crypto_sign_seed_keypair(public, secret, key->seed.b);
	crypto_sign_detached(cred->signature, NULL, buf, (unsigned long long)len, secret);
	secret_wipe(secret, sizeof(secret));
	return 0;
}

/* --- text forms ---------------------------------------------------------------------------------------------- */

#define BASE64 sodium_base64_VARIANT_URLSAFE_NO_PADDING

static void to_text(const char *tag, const uint8_t *bytes, size_t len, char *buf)
{
	size_t n = (size_t)snprintf(buf, CREDENTIAL_TEXT, "%s:", tag);

	sodium_bin2base64(buf + n, CREDENTIAL_TEXT - n, bytes, len, BASE64);
}

/* The bytes behind tag ":". what: "a credential", for the sentence. Returns their number, or -EBADMSG. */
static int from_text(const char *tag, const char *what, const char *text, uint8_t *bytes, size_t size, char *reterr)
{
	static const char space[] = " \t\r\n";
	size_t tag_len = strlen(tag), len;
	const char *end, *rest;

	text += strspn(text, space);
	end = text + strcspn(text, space);
	if (end[strspn(end, space)])
		return complain(reterr, -EBADMSG, "not %s: more than one word", what);
	if ((size_t)(end - text) <= tag_len || strncmp(text, tag, tag_len) || text[tag_len] != ':') {
		if (!strncmp(text, "dmm-", 4))
			return complain(reterr, -EBADMSG,
				"not %s, which begins with '%s:', but another kind of token: '%.*s'", what, tag,
				(int)strcspn(text, ": \t\r\n") < 20 ? (int)strcspn(text, ": \t\r\n") : 20, text);
		return complain(reterr, -EBADMSG, "not %s: it begins with '%s:'", what, tag);
	}
	text += tag_len + 1;
	if (sodium_base642bin(bytes, size, text, (size_t)(end - text), NULL, &len, &rest, BASE64) || rest != end)
		return complain(
			reterr, -EBADMSG, "not %s: damaged behind '%s:' (was it copied completely?)", what, tag);
	return (int)len;
}

int credential_from_text(const char *text, struct credential *ret, char *reterr)
{
	uint8_t buf[CREDENTIAL_MAX];
	enum credential_why why;
	int len = from_text("dmm-cred-1", "a credential", text, buf, sizeof(buf), reterr);

	if (len < 0)
		return len;
	if (credential_read(buf, (size_t)len, ret, &why))
		return complain(reterr, -EBADMSG, "not a usable credential: %s (was it copied completely?)",
			credential_why_text(why));
	return 0;
}

int credential_to_text(const struct credential *cred, char *buf)
{
	uint8_t bytes[CREDENTIAL_MAX];
	int len = credential_write(cred, bytes, sizeof(bytes));

	if (len < 0)
		return len;
	to_text("dmm-cred-1", bytes, (size_t)len, buf);
	return 0;
}

static void checksum(const char *tag, const uint8_t *bytes, size_t len, uint8_t ret[CHECK_LEN])
{
	uint8_t hash[crypto_generichash_BYTES_MIN];
	crypto_generichash_state st;

	crypto_generichash_init(&st, NULL, 0, sizeof(hash));
	crypto_generichash_update(&st, (const uint8_t *)tag, strlen(tag));
	crypto_generichash_update(&st, bytes, len);
	crypto_generichash_final(&st, hash, sizeof(hash));
	memcpy(ret, hash, CHECK_LEN);
}

/* Both key tokens: first byte (role, or 0 for a domain), name, key, checksum. */
static int key_to_text(const char *tag, uint8_t first, const char *name, const uint8_t key[32], char *buf)
{
	uint8_t bytes[CREDENTIAL_NAME_MAX + 64], check[CHECK_LEN];
	struct wcur w = wcur_make(bytes, sizeof(bytes));

	if (!credential_name_is_valid(name))
		return -EINVAL;
	wcur_u8(&w, first);
	write_name(&w, name);
	wcur_bytes(&w, key, 32);
	checksum(tag, bytes, wcur_len(&w), check);
	wcur_bytes(&w, check, sizeof(check));
	to_text(tag, bytes, wcur_len(&w), buf);
	return 0;
}

static int key_from_text(const char *tag, const char *what, const char *text, uint8_t *ret_first, char *ret_name,
	uint8_t ret_key[32], char *reterr)
{
	uint8_t bytes[CREDENTIAL_NAME_MAX + 64], check[CHECK_LEN], want[CHECK_LEN];
	int len = from_text(tag, what, text, bytes, sizeof(bytes), reterr);
	struct rcur c;
	bool ok;

	if (len < 0)
		return len;
	c = rcur_make(bytes, (size_t)len);
	*ret_first = rcur_u8(&c);
	ok = read_name(&c, ret_name);
	rcur_bytes(&c, ret_key, 32);
	checksum(tag, bytes, rcur_offset(&c), want);
	rcur_bytes(&c, check, sizeof(check));
	if (!ok || !rcur_ok(&c) || rcur_left(&c) || memcmp(check, want, sizeof(check)))
		return complain(
			reterr, -EBADMSG, "not %s: damaged behind '%s:' (was it copied completely?)", what, tag);
	return 0;
}

int key_request_from_text(const char *text, struct key_request *ret, char *reterr)
{
	struct key_request req = {0};
	uint8_t role;
	int r = key_from_text("dmm-key-1", "a node's public key", text, &role, req.name, req.key, reterr);

	if (r)
		return r;
	if (role != CREDENTIAL_MN && role != CREDENTIAL_AMA)
		return complain(reterr, -EBADMSG, "a node's public key, but of a role that this program does not know");
	req.role = role;
	*ret = req;
	return 0;
}

int key_request_to_text(const struct key_request *req, char *buf)
{
	return key_to_text("dmm-key-1", (uint8_t)req->role, req->name, req->key, buf);
}

int domain_from_text(const char *text, struct domain *ret, char *reterr)
{
	struct domain domain = {0};
	uint8_t first;
	int r = key_from_text("dmm-domain-1", "a domain's public key", text, &first, domain.name, domain.key, reterr);

	if (r)
		return r;
	if (first)
		return complain(
			reterr, -EBADMSG, "a domain's public key, but of a kind that this program does not know");
	*ret = domain;
	return 0;
}

int domain_to_text(const struct domain *domain, char *buf)
{
	return key_to_text("dmm-domain-1", 0, domain->name, domain->key, buf);
}

/* --- files --------------------------------------------------------------------------------------------------- */

/* Read the secret file at path into buf (FILE_MAX bytes, NUL-terminated; the caller wipes it). */
static int load_file(const char *path, char *buf, char *reterr)
{
	size_t len = 0;
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *guarded = getenv(
		"CREDENTIALS_DIRECTORY"); /* by the service manager, in its own way: an ACL looks like a group */
	int r = 0;

	if (fd < 0)
		return complain(reterr, -errno, "%s: cannot open: %s", path, strerror(errno));
	if (guarded && (strncmp(path, guarded, strlen(guarded)) || path[strlen(guarded)] != '/'))
		guarded = NULL;
	if (fstat(fd, &st))
		r = complain(reterr, -errno, "%s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		r = complain(reterr, -EINVAL, "%s: not a regular file", path);
	else if (!guarded && st.st_mode & 077)
		r = complain(reterr, -EPERM,
			"%s: holds a private key but others can access it (mode %04o): run 'chmod 600 %s'", path,
			(unsigned int)st.st_mode & 07777, path);
	else if (!guarded && st.st_uid && st.st_uid != geteuid())
		r = complain(reterr, -EPERM,
			"%s: belongs to user %u, but must belong to root or to user %u, who reads it", path,
			(unsigned int)st.st_uid, (unsigned int)geteuid());
	while (!r && len < FILE_MAX) {
		ssize_t n = read(fd, buf + len, FILE_MAX - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = complain(reterr, -errno, "%s: cannot read: %s", path, strerror(errno));
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (!r && len == FILE_MAX)
		r = complain(reterr, -EFBIG, "%s: too long to be a key file", path);
	if (!r && memchr(buf, '\0', len))
		r = complain(reterr, -EBADMSG, "%s: not a text file", path);
	if (!r)
		buf[len] = '\0';
	(void)close(fd);
	return r;
}

/* Write text beside path and rename it over path: whoever reads path sees the old or the new file, also after a power
 * cut. */
static int store_file(const char *path, const char *text, char *reterr)
{
	char temp[PATH_MAX], dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = strlen(text), done = 0;
	int fd, dir_fd, r = 0;

	if ((size_t)snprintf(temp, sizeof(temp), "%s.XXXXXX", path) >= sizeof(temp))
		return complain(reterr, -ENAMETOOLONG, "%s: the name is too long", path);
	fd = mkostemp(temp, O_CLOEXEC); /* 0600 */
	if (fd < 0)
		return complain(reterr, -errno, "%s: cannot create a file beside it: %s", path, strerror(errno));
	while (!r && done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			r = -errno;
		if (n > 0)
			done += (size_t)n;
	}
	if (!r && fsync(fd))
		r = -errno;
	if (close(fd) && !r)
		r = -errno;
	if (!r && rename(temp, path))
		r = -errno;
	if (r) {
		(void)unlink(temp);
		return complain(reterr, r, "%s: cannot write: %s", path, strerror(-r));
	}
	(void)snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd >= 0) {
		(void)fsync(dir_fd); /* some file systems cannot; the rename itself is done */
		(void)close(dir_fd);
	}
	return 0;
}

/* Next "name = value" line of *text, cut up in place; false at the end. *name is NULL if a line has no '='. */
static bool next_setting(char **text, unsigned int *line, char **name, char **value)
{
	while (**text) {
		char *p = *text, *end = p + strcspn(p, "\n"), *eq;

		*text = *end ? end + 1 : end;
		*end = '\0';
		(*line)++;
		p += strspn(p, " \t\r");
		if (!*p || *p == '#')
			continue;
		for (end = p + strlen(p); end > p && strchr(" \t\r", end[-1]);)
			*--end = '\0';
		eq = strchr(p, '=');
		*name = eq ? p : NULL;
		if (eq) {
			*value = eq + 1 + strspn(eq + 1, " \t");
			*eq = '\0';
			for (end = eq; end > p && strchr(" \t", end[-1]);)
				*--end = '\0';
		}
		return true;
	}
	return false;
}

static bool secret_from_base64(const char *text, struct secret *ret)
{
	size_t len;

	return !sodium_base642bin(ret->b, sizeof(ret->b), text, strlen(text), NULL, &len, NULL, BASE64) &&
		len == sizeof(ret->b);
}

static void secret_to_base64(const struct secret *s, char buf[64])
{
	sodium_bin2base64(buf, 64, s->b, sizeof(s->b), BASE64);
}

static int check_name(const char *what, const char *name, char *reterr)
{
	if (credential_name_is_valid(name))
		return 0;
	return complain(reterr, -EINVAL,
		"'%.80s' is no name for a %s: 1 to %d letters, digits, '.', '_' and '-' are allowed",
		strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._- ") == strlen(name)
			? name
			: "...",
		what, CREDENTIAL_NAME_MAX);
}

int identity_generate(enum credential_role role, const char *name, struct identity *ret, char *reterr)
{
	int r = check_name("node", name, reterr);

	if (r)
		return r;
	*ret = (struct identity){.role = role};
	(void)snprintf(ret->name, sizeof(ret->name), "%s", name);
	crypto_box_keypair(ret->public_key, ret->key.b);
	return 0;
}

int identity_set_credential(struct identity *id, const struct credential *cred, char *reterr)
{
	struct domain domain = {0};
	enum credential_why why;

	if (memcmp(cred->key, id->public_key, sizeof(id->public_key)))
		return complain(reterr, -EINVAL,
			"the credential is for another key (it was made for node '%s'; this node is '%s')", cred->node,
			id->name);
	if (cred->role != id->role || strcmp(cred->node, id->name))
		return complain(reterr, -EINVAL,
			"the credential is for '%s' in the role '%s', but this node is '%s', '%s'", cred->node,
			credential_role_name(cred->role), id->name, credential_role_name(id->role));
	memcpy(domain.key, cred->domain_key, sizeof(domain.key));
	if (credential_verify(cred, &domain, 1, cred->from_s, &why)) /* its time is looked at when it is used */
		return complain(reterr, -EINVAL, "%s", credential_why_text(why));
	id->credential = *cred;
	id->has_credential = true;
	return 0;
}

const char *identity_find(const char *path, const char *standard, char *buf, size_t size)
{
	const char *directory = getenv("CREDENTIALS_DIRECTORY"), *name = strrchr(standard, '/');

	if (!directory || !name || strcmp(path, standard) ||
		(size_t)snprintf(buf, size, "%s%s", directory, name) >= size || access(buf, F_OK) < 0)
		return path;
	return buf;
}

int identity_load(const char *path, struct identity *ret, char *reterr)
{
	char buf[FILE_MAX + 1], *text = buf, *name, *value, why[CREDENTIAL_ERR];
	struct identity id = {0};
	struct credential cred;
	bool has_key = false, has_credential = false;
	unsigned int line = 0;
	int r = load_file(path, buf, reterr);

	while (!r && next_setting(&text, &line, &name, &value)) {
		if (!name) {
			r = complain(reterr, -EBADMSG, "%s:%u: not of the form 'name = value'", path, line);
		} else if (!strcmp(name, "role")) {
			if (credential_role_parse(value, &id.role))
				r = complain(reterr, -EBADMSG, "%s:%u: the role must be 'mn' or 'ama'", path, line);
		} else if (!strcmp(name, "name")) {
			if (!credential_name_is_valid(value))
				r = complain(reterr, -EBADMSG, "%s:%u: not a valid node name", path, line);
			else
				(void)snprintf(id.name, sizeof(id.name), "%s", value);
		} else if (!strcmp(name, "private-key")) {
			has_key = secret_from_base64(value, &id.key);
			if (!has_key)
				r = complain(reterr, -EBADMSG, "%s:%u: the private key is damaged", path, line);
		} else if (!strcmp(name, "credential")) {
			has_credential = true;
			if (credential_from_text(value, &cred, why))
				r = complain(reterr, -EBADMSG, "%.200s:%u: %.200s", path, line, why);
		} else {
			r = complain(reterr, -EBADMSG,
				"%s:%u: unknown setting; allowed are role, name, private-key, credential", path, line);
		}
	}
	if (!r && (!id.role || !id.name[0] || !has_key))
		r = complain(reterr, -EBADMSG, "%s: not complete: %s is missing", path,
			!id.role	      ? "role"
				: !id.name[0] ? "name"
					      : "private-key");
	if (!r) {
		crypto_scalarmult_base(id.public_key, id.key.b);
		if (has_credential && identity_set_credential(&id, &cred, why))
			r = complain(reterr, -EBADMSG, "%.200s: %.200s", path, why);
	}
	if (!r)
		*ret = id;
	secret_wipe(buf, sizeof(buf));
	secret_wipe(&id, sizeof(id));
	return r;
}

int identity_store(const char *path, const struct identity *id, char *reterr)
{
	char buf[FILE_MAX], key[64], cred[CREDENTIAL_TEXT] = "";
	int r;

	if (id->has_credential && credential_to_text(&id->credential, cred))
		return complain(reterr, -EINVAL, "%s: the credential to be written breaks a rule of its form", path);
	secret_to_base64(&id->key, key);
	(void)snprintf(buf, sizeof(buf),
		"# Identity of a DMM node. Keep it secret: whoever has the private key is this node.\n"
		"role = %s\nname = %s\nprivate-key = %s\n%s%s%s",
		credential_role_name(id->role), id->name, key, cred[0] ? "credential = " : "", cred,
		cred[0] ? "\n" : "");
	r = store_file(path, buf, reterr);
	secret_wipe(buf, sizeof(buf));
	secret_wipe(key, sizeof(key));
	return r;
}

void identity_request(const struct identity *id, struct key_request *ret)
{
	*ret = (struct key_request){.role = id->role};
	memcpy(ret->name, id->name, sizeof(ret->name));
	memcpy(ret->key, id->public_key, sizeof(ret->key));
}

void identity_done(struct identity *id)
{
	secret_wipe(id, sizeof(*id));
}

static void seed_to_public(const struct secret *seed, uint8_t public[32])
{
	uint8_t secret[crypto_sign_SECRETKEYBYTES];

	crypto_sign_seed_keypair(public, secret, seed->b);
	secret_wipe(secret, sizeof(secret));
}

int domain_key_generate(const char *name, struct domain_key *ret, char *reterr)
{
	int r = check_name("domain", name, reterr);

	if (r)
		return r;
	*ret = (struct domain_key){0};
	(void)snprintf(ret->domain.name, sizeof(ret->domain.name), "%s", name);
	randombytes_buf(ret->seed.b, sizeof(ret->seed.b));
	seed_to_public(&ret->seed, ret->domain.key);
	return 0;
}

int domain_key_load(const char *path, struct domain_key *ret, char *reterr)
{
	char buf[FILE_MAX + 1], *text = buf, *name, *value;
	struct domain_key key = {0};
	bool has_seed = false;
	unsigned int line = 0;
	int r = load_file(path, buf, reterr);

	while (!r && next_setting(&text, &line, &name, &value)) {
		if (!name) {
			r = complain(reterr, -EBADMSG, "%s:%u: not of the form 'name = value'", path, line);
		} else if (!strcmp(name, "domain")) {
			if (!credential_name_is_valid(value))
				r = complain(reterr, -EBADMSG, "%s:%u: not a valid domain name", path, line);
			else
				(void)snprintf(key.domain.name, sizeof(key.domain.name), "%s", value);
		} else if (!strcmp(name, "signing-key")) {
			has_seed = secret_from_base64(value, &key.seed);
			if (!has_seed)
				r = complain(reterr, -EBADMSG, "%s:%u: the signing key is damaged", path, line);
		} else {
			r = complain(reterr, -EBADMSG, "%s:%u: unknown setting; allowed are domain, signing-key", path,
				line);
		}
	}
	if (!r && (!key.domain.name[0] || !has_seed))
		r = complain(
			reterr, -EBADMSG, "%s: not complete: %s is missing", path, has_seed ? "domain" : "signing-key");
	if (!r) {
		seed_to_public(&key.seed, key.domain.key);
		*ret = key;
	}
	secret_wipe(buf, sizeof(buf));
	secret_wipe(&key, sizeof(key));
	return r;
}

int domain_key_store(const char *path, const struct domain_key *key, char *reterr)
{
	char buf[FILE_MAX], seed[64];
	int r;

	secret_to_base64(&key->seed, seed);
	(void)snprintf(buf, sizeof(buf),
		"# Signing key of a DMM domain. Keep it secret, and a copy in a safe place: whoever has it can admit "
		"nodes.\n"
		"domain = %s\nsigning-key = %s\n",
		key->domain.name, seed);
	r = store_file(path, buf, reterr);
	secret_wipe(buf, sizeof(buf));
	secret_wipe(seed, sizeof(seed));
	return r;
}

void domain_key_done(struct domain_key *key)
{
	secret_wipe(key, sizeof(*key));
}
