/* SPDX-License-Identifier: GPL-2.0-or-later */
/* node.h - the mobile node as the rooms of mnd share it: mnd.c (life, decisions of a turn), signalling.c (what is said
 * to AMAs and heard from them), pinning.c (who is pinned), methods.c (what mnctl asks). One struct mnd a daemon; mnd.c
 * owns it and what it points to. */
#pragma once

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "attach.h"
#include "channel.h"
#include "control.h"
#include "counters.h"
#include "daemon.h"
#include "exe.h"
#include "keylog.h"
#include "homeaddr.h"
#include "log.h"
#include "lu.h"
#include "mh.h"
#include "mnd.h"
#include "nl.h"
#include "pin.h"
#include "pmtu.h"
#include "priv.h"
#include "ra.h"
#include "rc.h"
#include "rules.h"
#include "session.h"
#include "srccheck.h"
#include "state.h"
#include "transport.h"
#include "trust.h"

#define SEC	  1000000ULL
#define MS	  1000ULL
#define HOMES	  STATE_HOMES
#define ANCHORS	  STATE_HOMES
#define HISTORY	  32
#define SESSIONS  256	    /* shown by ListSessions */
#define SETTLE_US (20 * MS) /* socket news are coalesced for this long */
/* after a packet of an unused home address, the next one is looked for no earlier */
#define WATCH_HOLD_US	  (1 * SEC)
#define DISCOVERY_TRIES	  8
#define LOCAL_IDLE_US	  (5 * SEC)   /* a regional AMA that was not heard for so long may have been started again */
#define INNER		  8	      /* datagrams inside one */
#define FORWARD_S	  4	      /* how long the AMA that served us until now forwards what still arrives there */
#define PINGS		  16	      /* of "mnctl ping" without an answer yet */
#define PING_ID		  0x80000000u /* and above: probes of "mnctl ping", not of the path MTU search */
#define HEARTBEATS_MISSED 3	      /* RFC 5847 5: MISSING_HEARTBEATS_ALLOWED */
#define SILENT_TRIES	  3	      /* of an update without an answer: its anchor does not answer */
#define RENEW_S		  3600	      /* before a credential is over its anchor is asked for a new one */
#define SWAP_MOVED_US	  (7 * SEC)   /* after a move, which is time for three tries of an update */
#define SWAP_US		  (32 * SEC)  /* a silent anchor with two addresses is tried at each for so long */

/* An AMA that we know by its credential: the serving one, or one that anchors a home address. One a key. */
struct anchor {
	bool used;
	struct credential credential;
	struct in6_addr address;
	struct in6_addr other; /* it was discovered there, too; :: = nowhere else (mnd_anchor_found) */
	bool elsewhere;	  /* address is what was `other` first: until the next move, or for good if it leases there */
	uint64_t swap_us; /* while it is silent: when the other one is tried */
	uint64_t renew_s; /* when its credential is soon over (unix seconds) */
	uint64_t ask_us;  /* with asked: when to ask again who is there */
	unsigned asked;	  /* how often it was, since there is a reason to */
	bool other_key;	  /* the log has it that somebody else is there now */
	struct channel_peer *peer;
	uint16_t sequence; /* last used; counted over all home addresses of this anchor (RFC 6275 6.1.7) */
	uint32_t rtt_us;   /* of the last update that was answered at the first try, 0 = unknown */
	bool doubt;	   /* suspended since we last spoke: the session may be gone at the other side */
	struct pmtu pmtu;
	uint32_t heartbeat;    /* sequence */
	uint64_t heartbeat_us; /* when the next is due, 0 = nothing at this anchor depends on it */
	unsigned unheard;      /* heartbeats since it was heard */
	bool restart_known;
	uint32_t restart_counter; /* RFC 5847 3.3; with restart_known */
	uint32_t restarts;	  /* seen */
	/* proxied updates (pLU); generations of attach, plus one */
	uint32_t refused_generation; /* as serving AMA: does not pass updates on */
	struct in6_addr regional;    /* as serving AMA: updates go through that one as well, :: = none */
	uint32_t flipped_generation; /* as anchor: the preferred way failed, the other one is taken */
	char way[64];		     /* why updates to this anchor go the way they go */
	bool forwards;		     /* as the AMA that served us before: was asked to, with this sequence number */
	uint16_t forward_sequence;
};

/* A datagram of the channel that came inside another one. */
struct inner {
	struct channel_rx rx;
	size_t len;
	uint8_t bytes[1000];
};

struct home {
	bool used;
	struct home_address h;
	struct anchor *anchor;
	struct binding_update bu;
	uint64_t wake_us;
	unsigned sessions;
	uint16_t told_mtu;    /* the tunnel MTU that the anchor was told */
	struct in6_addr told; /* the care-of address that the anchor was told: that of a regional AMA stays while we
				 move below it */
	bool draining;	      /* its anchor is: nothing new begins on it */
	bool given_up;	      /* somebody told us to release it, sessions or not */
	bool fixed;	      /* kept for good, in use or not (RFC 8653) */
	bool exclusive;	      /* for one pin of owner: no other program takes it by itself */
	uid_t owner;
	/* number of the request for another prefix than the node has of this anchor, 0 = any will do */
	uint16_t wish;
	enum homeaddr_state shown; /* in the last event, if begun */
	bool begun;
};

#define PIN_REQUESTS 32
#define PIN_WAIT_US  (5 * SEC) /* for an anchor that is being asked */

/* Somebody waits for an address: for a pin, or to bind to. */
struct pin_request {
	struct control_call *call; /* NULL = not in use */
	pid_t pid;
	uid_t uid;
	bool in_place, fresh, by_address;
	bool address_only; /* no pin: the caller binds to it */
	bool lenient;	   /* what it opened before goes on */
	int netns;	   /* the network namespace to isolate it in, -1 = none */
	enum pin_type type;
	struct in6_addr address;	      /* with by_address */
	char anchor[CREDENTIAL_NAME_MAX + 1]; /* "" = any */
	struct home *home;		      /* with fresh: the one that was asked for */
	uint64_t until_us;
	json_t *done; /* the answer, which leaves when the kernel has what it promises */
};

struct handover {
	uint64_t at_wall_s;
	char from[IF_NAMESIZE], to[IF_NAMESIZE];
	struct in6_addr care_of;
	char ama[CREDENTIAL_NAME_MAX + 1];
	uint64_t link_up_us, heard_us, usable_us, sent_us, acked_us; /* 0 = not yet, or not needed */
	uint64_t first_us;	  /* first packet through the tunnel; of the last handover the source check knows */
	uint64_t rx, tx;	  /* of transport's counters: at the beginning; with acked_us what the handover took */
	unsigned sessions, tries; /* with acked_us: on tunnelled addresses; of the update that they waited for */
};

struct mnd {
	struct mnd_config config;
	char config_path[CONF_TEXT];
	bool config_required;
	struct identity identity;
	struct domain trusted[TRUST_MAX];
	size_t n_trusted;

	struct daemon daemon;
	struct nl *nl;
	struct fwd_set *set;
	struct transport *transport;
	struct channel *channel;
	struct session *session;
	struct srccheck *srccheck;
	int ra_fd;
	uint32_t tunnel;

	struct loop_io rules_io, exe_io, nl_io, ra_io, session_io, watch_io, pin_io;
	struct loop_timer timer;

	struct attach attach;
	struct anchor anchors[ANCHORS];
	struct home homes[HOMES];
	struct inner inner[INNER];
	unsigned n_inner;
	struct in6_addr discovering; /* :: = not */
	unsigned discovery_tries;
	uint64_t discovery_us;
	uint32_t seen_generation;
	uint32_t ama_generation; /* that of attach when the node came to the AMA it is with: its other links are no news
				    to anchors */
	struct in6_addr ama;	 /* ... which is this one, :: = none */
	uint64_t session_due_us; /* when the socket tables are to be read, UINT64_MAX = not */
	int watch_fd;		 /* session_watch on the device watch_tunnel for the slots in watched, -1 = not open */
	uint32_t watch_tunnel;
	uint64_t watched, watch_hold_us;
	uint64_t timestamps_until; /* of our handshakes, in the state file; ns */
	struct pin pins[PINS];
	struct exe *exe;      /* NULL = no rule names a program by its path, or it cannot be seen */
	uint32_t exe_waits;   /* a bit a rule: its program runs, and there is no home address for it */
	pid_t exe_refused[8]; /* those that cannot be pinned, the newest first */
	int pin_fd;	      /* inotify: a pinned cgroup is empty */
	struct pin_request pin_requests[PIN_REQUESTS];
	struct isolate *isolate; /* NULL = not needed so far */
	struct rules *rules;
	bool ready, dirty, resync, tunnel_lost, need_source, source_known, stopping;
	uint64_t started_us, sysctl_off;
	uint64_t counter_mh[MH_WHY_N], counter_ba_unmatched, counter_ra_ignored, counter_device,
		counter_anchor_restarts;
	struct histogram handover_time; /* usable -> acknowledged */
	struct handover history[HISTORY];
	unsigned n_history; /* ever */
	struct {
		uint32_t id;
		uint64_t sent_us; /* 0 = free */
	} pings[PINGS];		  /* by id: the oldest is forgotten */
	uint32_t n_pings;
};

/* --- mnd/mnd.c: life, decisions of a turn */

/* Something changed: decide again before the turn ends. Every handler of input calls it; it does nothing itself. */
void mnd_touch(struct mnd *m);
/* Make the number of sessions of each home address true. */
void mnd_count_sessions(struct mnd *m);
/* Tell `mnctl monitor`. Takes data over. */
void mnd_emit(struct mnd *m, const char *event, json_t *data);
/* The first home address that it anchors, NULL = none. */
struct home *mnd_home_of_anchor(struct mnd *m, const struct anchor *a);
/* A home address to be, without a prefix yet: a further one asks for another than the anchor has given. NULL =
 * no room. */
struct home *mnd_home_new(struct mnd *m, struct anchor *a);
/* The home address in a /64: stable there and unlike those in other prefixes (RFC 7217, with our key as the secret). */
struct in6_addr mnd_form_address(const struct mnd *m, const struct prefix6 *prefix);
/* Write the state file: what a daemon that is started again has to know. Logs what fails. */
void mnd_save(struct mnd *m);
/* Steps of the end of a turn (loop_at_end), ctx is the mnd: look at everything once, then send the kernel
 * what differs. */
void mnd_decide(void *ctx);
void mnd_apply(void *ctx);
/* Read the configuration and the trusted domains again (daemon_watch); ctx is the daemon's struct. Returns 0, or -errno
 * with the faults in reterr (size bytes) and in the log, and the old configuration in force. */
int mnd_reload(void *ctx, char *reterr, size_t size);

/* --- mnd/anchors.c: the AMAs that we know */

/* The AMA with this address, or with this peer of the channel; NULL = not known. Valid until mnd_anchor_new or _found.
 */
struct anchor *mnd_anchor_by_address(struct mnd *m, const struct in6_addr *address);
struct anchor *mnd_anchor_by_peer(struct mnd *m, const struct channel_peer *peer);
/* Is it the AMA on the link, or does a home address depend on it? Of the others mnd_anchor_new may take the place. */
bool mnd_anchor_is_needed(const struct mnd *m, const struct anchor *a);
/* The AMA that was discovered at this address, too, but is kept at its old one; NULL = there is none. */
struct anchor *mnd_anchor_by_other(struct mnd *m, const struct in6_addr *address);
/* Know an AMA by its credential, verified before; both are copied. One whose key is known is that one, where it is.
 * NULL = all places are needed, or no memory. */
struct anchor *mnd_anchor_new(struct mnd *m, const struct in6_addr *address, const struct credential *credential);
/* Somebody at this address answered discovery with this credential, verified before; both are copied. */
void mnd_anchor_found(struct mnd *m, const struct in6_addr *address, const struct credential *credential);
/* From now on it is at this address, and no other is known. */
void mnd_anchor_put(struct anchor *a, const struct in6_addr *address);
/* Steps of a turn: try one that is silent at its other address; ask who is there now, when what we know of it is over
 * or wrong. *wake_us becomes when to look again, if that is sooner. */
void mnd_anchor_try_other(struct mnd *m, struct anchor *a, uint64_t now_us, uint64_t *wake_us);
void mnd_anchor_ask_again(struct mnd *m, struct anchor *a, uint64_t now_us, uint64_t *wake_us);
/* We are on another link: what was found out about its path and its silence is so no more. */
void mnd_anchor_moved(struct mnd *m, struct anchor *a, uint64_t now_us);

/* --- mnd/signalling.c: what is said to AMAs and heard from them. But for signalling_link_local and _input, callers
 * have seen that an attachment is selected. */

/* The link-local address of an attachment, :: = it has none. *ret_settled if it has: past duplicate
 * address detection. */
struct in6_addr signalling_link_local(const struct attachment *at, bool *ret_settled);
/* From now on what is sent to this AMA leaves from the care-of address, straight to it. */
void signalling_go_direct(struct mnd *m, struct anchor *a);
/* Is an update to it on its way through an AMA? Then what else it hears goes with that. */
bool signalling_is_proxied(const struct mnd *m, const struct anchor *a);
/* The AMA of this network if updates to anchor a go through it now, else NULL: the way that `updates` prefers, or the
 * other one in a network where that failed. */
struct anchor *signalling_proxy(struct mnd *m, struct anchor *a);
/* Have the AMA that served this home address until now send on what still arrives there (a binding of FORWARD_S). Sent
 * once; nothing if no AMA did or we are still with it. */
void signalling_ask_forwarding(struct mnd *m, const struct home *x);
/* Fill x->bu with what x->h wants to say now (h.asked), due at once; an update without answer is forgotten for it. */
void signalling_begin_update(struct mnd *m, struct home *x, uint64_t now_us);
/* Send x->bu, for the first time or again, by the way and from the place of now (RFC 6275 11.7.1, 11.8). */
void signalling_send_update(struct mnd *m, struct home *x, uint64_t now_us);
/* Ask once who is at an AMA's address. */
void signalling_ask(struct mnd *m, const struct in6_addr *ama, uint64_t now_us);
/* Ask who is at an AMA's address, until it answers or DISCOVERY_TRIES are over; call it each turn while the answer is
 * missing. *wake_us is lowered to when it has to be called next. */
void signalling_discover(struct mnd *m, const struct in6_addr *ama, uint64_t now_us, uint64_t *wake_us);
/* Send a heartbeat with this id that fills an IPv6 packet of size bytes (1280 to 2000); the anchor answers with as
 * much. 0 or -errno, -ENOTCONN without a session. */
int signalling_send_probe(struct mnd *m, struct anchor *a, uint32_t id, uint16_t size, uint64_t now_us);
/* The same for `mnctl ping`: the event pong tells of the answer to *ret_id. 0 there = a handshake was begun instead, so
 * that it can be asked again. */
int signalling_ping(struct mnd *m, struct anchor *a, uint16_t size, uint32_t *ret_id);
/* A datagram of the secure channel (transport_recv_cb); ctx is the mnd. What was sealed inside one is read after it. */
void signalling_input(void *ctx, const struct channel_rx *rx, const uint8_t *buf, size_t len);

/* --- mnd/pinning.c: who is pinned */

/* How many pins a home address has. */
unsigned pinning_count(const struct mnd *m, const struct home_address *h);
/* Are there sockets with its mark? Also those of graceful pins from before a move. */
bool pinning_has_mark(const struct mnd *m, const struct home_address *h);
/* Serve who waits for an address that has come, or will not; *wake_us is lowered to when waiting ends. Before the steps
 * of the home addresses: what they are used for counts there. */
void pinning_step(struct mnd *m, uint64_t now_us, uint64_t *wake_us);
/* Behind them: graceful pins go on to the home address of the network that the node is in. */
void pinning_follow(struct mnd *m);
/* The kernel has the rules: programs that have moved may use them, and who asked is answered. */
void pinning_answer(struct mnd *m);
/* Nobody will be served any more. */
void pinning_free(struct mnd *m);
/* There is news of the cgroups that rules are about. ctx is the mnd. */
void pinning_read_rules(void *ctx);
/* The same of programs that rules name by their path. */
void pinning_read_exe(void *ctx);
/* The configuration is another one. */
void pinning_load_rules(struct mnd *m);
/* After a start: the namespaces of pins from before are joined again. */
void pinning_adopt(struct mnd *m);
/* Is this device the outer end of a pair, and so no network? */
bool pinning_is_outer(const struct mnd *m, uint32_t ifindex);
/* inotify says that a cgroup is empty: pins that are over end. ctx is the mnd. */
void pinning_read_news(void *ctx);
/* The methods Pin, GetAddress and ListPins (control_method_cb). The first two are answered by pinning_answer. */
int pinning_pin(void *ctx, const json_t *parameters, json_t **ret, char *reterr);
int pinning_get_address(void *ctx, const json_t *parameters, json_t **ret, char *reterr);
int pinning_list(void *ctx, const json_t *parameters, json_t **ret, char *reterr);

/* --- mnd/methods.c: all that is counted (metrics_collect_cb); ctx is the mnd */
void methods_collect(void *ctx, struct metrics *w);

extern const struct channel_ops signalling_channel_ops;
/* --- mnd/methods.c: what mnctl asks; the interface org.dmm.mnd in the words of Varlink, and its methods */
extern const struct control_method mnd_methods[];
extern const char mnd_description[];
