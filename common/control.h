/* SPDX-License-Identifier: GPL-2.0-or-later */
/* control.h - control socket: a Varlink service (JSON objects that end in a NUL byte, over a Unix socket) */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "loop.h"

struct control;
struct control_call; /* one that is answered later: see control_defer */

#define CONTROL_ERR   256
#define CONTROL_LATER 1

/* One method of the daemon's interface.
 *   parameters  of the call, an object, the server's
 *   *ret        the reply's parameters, a new reference that passes to the server; NULL = {}
 * Returns 0, or -errno with a sentence in reterr (CONTROL_ERR bytes): the caller gets INTERFACE.Failed; or
 * CONTROL_LATER after control_defer. */
typedef int control_method_cb(void *ctx, const json_t *parameters, json_t **ret, char *reterr);

struct control_method {
	const char *name; /* without the interface; NULL ends the table */
	control_method_cb *cb;
	bool privileged; /* only root and the daemon's own user may call it */
};

struct control_config {
	const char *path;	 /* of the socket; its directory is made if missing */
	const char *interface;	 /* org.dmm.mnd */
	const char *description; /* the interface in Varlink's language */
	const char *product, *version;
	const struct control_method *methods;
	void *ctx;
};

/* A Unix socket to accept on, mode 0666, in place of one that was left over; its directory is made if missing. Returns
 * 0, or -errno with a sentence in reterr: another product answers there. */
int control_listen(const char *path, const char *product, int *ret_fd, char *reterr);

/* Open the socket (mode 0666: whoever may look may call; methods that change something are privileged) and serve it.
 * INTERFACE.Monitor streams events. Returns 0, or -errno with a sentence in reterr. */
int control_new(struct loop *loop, const struct control_config *cfg, struct control **ret, char *reterr);
void control_free(struct control *c);

/* Who makes the call that a method is answering (SO_PEERCRED: as it was when it connected). */
const struct ucred *control_caller(const struct control *c);

/* The call that a method is answering is answered later: the method returns CONTROL_LATER, and its owner calls
 * control_answer once, whether the caller is still there or not. Until then nothing else of this caller is read. NULL =
 * no memory. */
struct control_call *control_defer(struct control *c);
/* Answer it: with ret (the reference passes; NULL = {}) if failed is 0, else with the sentence in err. */
void control_answer(struct control_call *call, int failed, json_t *ret, const char *err);

/* The descriptor that the caller passed with this call (SCM_RIGHTS) or before, -1 = none; the server's. */
int control_passed_fd(const struct control *c);

/* True while somebody listens, so that events nobody hears need not be made. */
bool control_is_monitored(const struct control *c);
/* Send an event to all who monitor; takes the reference to parameters. A client that does not read is cut off. */
void control_emit(struct control *c, const char *event, json_t *parameters);
