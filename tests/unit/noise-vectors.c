/* SPDX-License-Identifier: GPL-2.0-or-later */
/* noise-vectors.c - run published Noise test vectors: noise-vectors [FILE]
 *
 * Reads the key=value form (flynn/noise; Debian: golang-github-flynn-noise-dev) or the JSON form (cacophony, snow).
 * Every vector of a pattern and suite that noise.c implements is run from both sides; each message and the handshake
 * hash, where the file gives one, must be the same byte for byte. Without FILE, Debian's is used, and its absence means
 * skipped (77). Exit status: 0 all the same, 1 a difference or nothing to run, 2 cannot read. */
#include "noise.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEBIAN_FILE  "/usr/share/gocode/src/github.com/flynn/noise/vectors.txt"
#define MAX_MESSAGES 16
#define MAX_BYTES    4096

struct bytes {
	bool set;
	size_t len;
	uint8_t b[MAX_BYTES];
};

struct vector {
	char name[128];
	bool alternates_anew; /* key=value form: the first message after the handshake is always the initiator's */
	bool broken;	      /* a field could not be read */
	struct bytes prologue[2], s[2], e[2], rs[2], hash; /* [0] initiator's, [1] responder's */
	size_t n;
	struct bytes payload[MAX_MESSAGES], ciphertext[MAX_MESSAGES];
};

static struct vector v;
static unsigned int ran, skipped, failed, messages, hashes;

static bool set_hex(struct bytes *ret, const char *hex)
{
	const char *end;

	if (sodium_hex2bin(ret->b, sizeof(ret->b), hex, strlen(hex), NULL, &ret->len, &end) || *end) {
		v.broken = true;
		return false;
	}
	return ret->set = true;
}

static void fail(const char *what, size_t i)
{
	printf("DIFFERS: %s: %s %zu\n", v.name, what, i);
	failed++;
}

static bool same(const uint8_t *got, size_t len, const struct bytes *want)
{
	return len == want->len && !memcmp(got, want->b, len);
}

/* The static public key that side's peer has, if the vector gives the private one. */
static const uint8_t *remote_static(int side, uint8_t buf[32])
{
	if (v.rs[side].set)
		return v.rs[side].b;
	if (!v.s[!side].set)
		return NULL;
	crypto_scalarmult_base(buf, v.s[!side].b);
	return buf;
}

static void run(const struct noise_pattern *pattern)
{
	static uint8_t msg[NOISE_MESSAGE_MAX], plain[NOISE_MESSAGE_MAX];
	struct noise hs[2];
	struct noise_cipher send[2], recv[2];
	struct secret key;
	size_t in_handshake = 0, len, plain_len;

	ran++;
	for (int side = 0; side < 2; side++) {
		uint8_t buf[32];

		memcpy(key.b, v.s[side].b, sizeof(key.b));
		if (noise_init(&hs[side], pattern, side == 0, v.prologue[side].b, v.prologue[side].len,
			    v.s[side].set ? &key : NULL, remote_static(side, buf))) {
			fail("a static key is missing, side", (size_t)side);
			return;
		}
		memcpy(key.b, v.e[side].b, sizeof(key.b));
		if (v.e[side].set)
			noise_set_ephemeral(&hs[side], &key);
	}
	for (size_t i = 0; i < v.n; i++) {
		if (!noise_is_finished(&hs[0])) {
			int from = i % 2;

			if (noise_write(&hs[from], v.payload[i].b, v.payload[i].len, msg, sizeof(msg), &len) ||
				!same(msg, len, &v.ciphertext[i])) {
				fail("handshake message", i);
				return;
			}
			if (noise_read(&hs[!from], msg, len, plain, sizeof(plain), &plain_len) ||
				!same(plain, plain_len, &v.payload[i])) {
				fail("payload read from handshake message", i);
				return;
			}
			if (noise_is_finished(&hs[0])) {
				in_handshake = i + 1;
				if (memcmp(hs[0].h, hs[1].h, sizeof(hs[0].h)) ||
					(v.hash.set && !same(hs[0].h, sizeof(hs[0].h), &v.hash))) {
					fail("handshake hash after message", i);
					return;
				}
				hashes += v.hash.set;
				if (noise_split(&hs[0], &send[0], &recv[0]) ||
					noise_split(&hs[1], &send[1], &recv[1])) {
					fail("split after message", i);
					return;
				}
			}
		} else {
			int from = v.alternates_anew ? (i - in_handshake) % 2 : noise_is_one_way(pattern) ? 0 : i % 2;

			if (v.payload[i].len + NOISE_TAG_LEN != v.ciphertext[i].len ||
				noise_encrypt(&send[from], v.payload[i].b, v.payload[i].len, msg) ||
				!same(msg, v.ciphertext[i].len, &v.ciphertext[i])) {
				fail("transport message", i);
				return;
			}
			if (noise_decrypt(&recv[!from], msg, v.ciphertext[i].len, plain) ||
				memcmp(plain, v.payload[i].b, v.payload[i].len)) {
				fail("payload read from transport message", i);
				return;
			}
		}
		messages++;
	}
	if (!in_handshake)
		fail("handshake not finished after message", v.n);
}

/* A vector is complete: run it, if its name is of our suite and a pattern of ours. */
static void finish(void)
{
	const char *suite;
	char pattern_name[64];
	const struct noise_pattern *pattern = NULL;

	if (!v.name[0])
		return;
	if (!strncmp(v.name, "Noise_", 6) && (suite = strchr(v.name + 6, '_')) && !strcmp(suite + 1, NOISE_SUITE) &&
		(size_t)(suite - v.name - 6) < sizeof(pattern_name)) {
		(void)snprintf(pattern_name, sizeof(pattern_name), "%.*s", (int)(suite - v.name - 6), v.name + 6);
		pattern = noise_find_pattern(pattern_name);
	}
	if (!pattern)
		skipped++;
	else if (v.broken)
		fail("a field of it is not readable; messages read:", v.n);
	else
		run(pattern);
}

static void begin(const char *name)
{
	v.name[0] = '\0';
	v.broken = v.alternates_anew = false;
	for (int side = 0; side < 2; side++) {
		v.prologue[side].set = v.s[side].set = v.e[side].set = v.rs[side].set = false;
		v.prologue[side].len = 0;
	}
	v.hash.set = false;
	v.n = 0;
	(void)snprintf(v.name, sizeof(v.name), "%s", name);
}

static int read_key_value(FILE *f)
{
	char *line = NULL;
	size_t size = 0;
	int r = 0;

	v.name[0] = '\0';
	while (getline(&line, &size, f) >= 0) {
		char *value;
		unsigned int i;
		int end = 0;

		line[strcspn(line, "\r\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		value = strchr(line, '=');
		if (!value) {
			fprintf(stderr, "noise-vectors: a line without '=': %.40s\n", line);
			r = -EINVAL;
			break;
		}
		*value++ = '\0';
		if (!strcmp(line, "handshake")) {
			finish();
			begin(value);
			v.alternates_anew = true;
		} else if (!strcmp(line, "init_static")) {
			set_hex(&v.s[0], value);
		} else if (!strcmp(line, "resp_static")) {
			set_hex(&v.s[1], value);
		} else if (!strcmp(line, "gen_init_ephemeral")) {
			set_hex(&v.e[0], value);
		} else if (!strcmp(line, "gen_resp_ephemeral")) {
			set_hex(&v.e[1], value);
		} else if (!strcmp(line, "prologue")) {
			set_hex(&v.prologue[0], value);
			set_hex(&v.prologue[1], value);
		} else if (!strcmp(line, "handshake_hash")) {
			set_hex(&v.hash, value);
		} else if (sscanf(line, "msg_%u_payload%n", &i, &end) == 1 && end && !line[end] && i < MAX_MESSAGES &&
			i == v.n) {
			set_hex(&v.payload[i], value);
		} else if (sscanf(line, "msg_%u_ciphertext%n", &i, &end) == 1 && end && !line[end] &&
			i < MAX_MESSAGES && i == v.n) {
			set_hex(&v.ciphertext[i], value);
			v.n++;
		} else if (strcmp(line, "preshared_key")) {
			v.broken = true;
		}
	}
	finish();
	free(line);
	return r;
}

static bool json_hex(json_t *object, const char *key, struct bytes *ret)
{
	const char *hex = json_string_value(json_object_get(object, key));

	return hex && set_hex(ret, hex);
}

static int read_json(FILE *f)
{
	json_error_t error;
	json_t *root = json_loadf(f, 0, &error), *vectors, *vector, *message, *list;
	size_t i, j;

	if (!root) {
		fprintf(stderr, "noise-vectors: line %d: %s\n", error.line, error.text);
		return -EINVAL;
	}
	vectors = json_is_array(root) ? root : json_object_get(root, "vectors");
	json_array_foreach(vectors, i, vector)
	{
		const char *name = json_string_value(json_object_get(vector, "protocol_name"));

		if (!name)
			name = json_string_value(json_object_get(vector, "name"));
		begin(name ? name : "unnamed");
		json_hex(vector, "init_prologue", &v.prologue[0]);
		json_hex(vector, "resp_prologue", &v.prologue[1]);
		json_hex(vector, "init_static", &v.s[0]);
		json_hex(vector, "resp_static", &v.s[1]);
		json_hex(vector, "init_ephemeral", &v.e[0]);
		json_hex(vector, "resp_ephemeral", &v.e[1]);
		json_hex(vector, "init_remote_static", &v.rs[0]);
		json_hex(vector, "resp_remote_static", &v.rs[1]);
		json_hex(vector, "handshake_hash", &v.hash);
		list = json_object_get(vector, "messages");
		json_array_foreach(list, j, message)
		{
			if (j == MAX_MESSAGES || !json_hex(message, "payload", &v.payload[j]) ||
				!json_hex(message, "ciphertext", &v.ciphertext[j])) {
				v.broken = true;
				break;
			}
			v.n++;
		}
		finish();
	}
	json_decref(root);
	return 0;
}

int main(int argc, char **argv)
{
	const char *path = argc > 1 ? argv[1] : DEBIAN_FILE;
	FILE *f;
	int c, r;

	if (argc > 2 || (argc > 1 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: noise-vectors [FILE]\n");
		return 2;
	}
	if (secret_start())
		return 2;
	f = fopen(path, "r");
	if (!f && argc == 1 && errno == ENOENT) {
		printf("SKIP: %s is missing: install golang-github-flynn-noise-dev\n", path);
		return 77;
	}
	if (!f) {
		fprintf(stderr, "noise-vectors: %s: %s\n", path, strerror(errno));
		return 2;
	}
	do
		c = getc(f);
	while (c != EOF && isspace(c));
	(void)ungetc(c, f);
	r = c == '{' || c == '[' ? read_json(f) : read_key_value(f);
	(void)fclose(f);
	printf("%s: ran %u vectors (%u messages, %u handshake hashes), skipped %u of other patterns or suites, %u "
	       "failed\n",
		path, ran, messages, hashes, skipped, failed);
	if (!r && !ran)
		printf("FAIL: no vector of a pattern and suite that is implemented\n");
	return r ? 2 : failed || !ran ? 1 : 0;
}
