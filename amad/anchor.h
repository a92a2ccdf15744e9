/* SPDX-License-Identifier: GPL-2.0-or-later */
/* anchor.h - the access mobility anchor as the rooms of amad share it: amad.c (life, store, kernel, the end of a turn),
 * updates.c (what nodes and AMAs say), peers.c (other AMAs), methods.c (what amactl asks). One struct amad a daemon;
 * amad.c owns it and what it points to. */
#pragma once

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "amad.h"
#include "anchoring.h"
#include "channel.h"
#include "control.h"
#include "counters.h"
#include "daemon.h"
#include "keylog.h"
#include "lm.h"
#include "log.h"
#include "mh.h"
#include "mr.h"
#include "nl.h"
#include "priv.h"
#include "rc.h"
#include "serving.h"
#include "srccheck.h"
#include "store.h"
#include "table.h"
#include "transport.h"
#include "trust.h"

#define SEC 1000000ULL
#define MS  1000ULL
/* acknowledgements a turn: more than transport reads in one, 256 datagrams of at most 30 updates */
#define PENDING	     8192
#define ACCESS	     64
#define ABSENT	     64 /* interfaces that are not there, but nodes were on them */
#define SYNC_US	     (50 * MS)
#define ERRORS	     8
#define RELAYS	     1024      /* AMAs that pass updates on to us */
#define RELOCATED_US (5 * SEC) /* between two moves of one of them */
#define AMAS	     4096      /* anchors of nodes that are here */
#define ASKED	     64	       /* a power of two */
/* What is in the store was given for that at most, or for what is configured if that is more. */
#define USUAL_LEASE_US	 (7 * 86400 * SEC)
#define USUAL_BINDING_US (3600 * SEC)
#define INNER		 64		 /* sealed datagrams a datagram or so; what is more is sent again */
#define DOMAINS		 (2 * TRUST_MAX) /* those that were trusted before a reload may have leases */
#define NO_DOMAIN	 0xff
#define PING_US		 (5 * SEC)
#define CHALLENGE_US	 (10 * SEC)
#define SILENT_US	 (3 * SEC) /* without an answer to a heartbeat */
/* RFC 5846 13: InitMINDelayBRIs, MAX_BRACK_TIMEOUT; BRIMaxRetriesNumber is 1 */
#define REVOKE_FIRST_US	 (1 * SEC)
#define REVOKE_SECOND_US (2 * SEC)
#define TELL_LEFT_TRIES	 8
/* The place of an AMA from which nothing was heard for so long is another's. Whatever has its number came with an
 * update of it and is over sooner: a binding or a visit after 262140 s at most (73 h), where the channel answers a node
 * after 26 h. */
#define RELAY_UNUSED_US (80 * 3600 * SEC)

/* What was, so that an update which the store or the kernel refuses leaves nothing. */
struct before {
	bool leased, bound;
	uint32_t ifindex;
	struct in6_addr link_local;
	uint8_t link_layer[6];
	uint64_t leased_until_us;
	struct in6_addr care_of, self;
	uint64_t until_us;
	uint16_t mtu;
	bool proxied;
	uint16_t relay;
};

/* An AMA that passes updates on to us. */
struct relay {
	uint8_t key[32];
	struct channel_endpoint ep;	      /* where its last update came from */
	uint64_t heard_us;		      /* and when */
	uint64_t received, accepted, refused; /* updates */
	uint32_t ping;			      /* sequence number of the last heartbeat */
	bool waits;			      /* for its answer */
	uint64_t pinged_us, rtt_us;	      /* 0 = never */
	struct in6_addr former, moving_to;    /* it has moved, it says, and is asked there; moving_to :: = it has not */
	uint16_t moving_sequence;
	uint32_t challenge;
	uint64_t challenged_us, relocated_us;
	uint64_t whole_us; /* when it may pass on a burst again */
	char last_error[96];
};

/* Why something was refused to a node or an AMA of a domain: names of counters, and what to look at
 * in trusted-domains. */
enum refusal {
	REFUSAL_UNTRUSTED,
	REFUSAL_ROAMING,
	REFUSAL_LEND,
	REFUSAL_PROXY,
	REFUSAL_LEASES,
	REFUSAL_VISITS,
	REFUSAL_UPDATES,
	REFUSALS
};

/* A domain that is trusted, or was. Leases and visits know it by its index. */
struct known_domain {
	struct domain domain;
	bool trusted;
	struct trust_policy policy;
	uint32_t leases, visits; /* of its nodes */
	uint64_t refused[REFUSALS];
};

/* What a node sealed for us, out of an AMA's PBU: it is read when that has been. */
struct inner {
	struct channel_rx rx;
	uint16_t sequence;
	struct prefix6 prefix; /* the first of the PBU */
	size_t len;
	uint8_t sealed[1000];
};

/* An acknowledgement that waits for the store and the kernel. */
struct pending {
	struct channel_peer *peer;
	struct mh_ba ba;
	struct prefix6 prefix;
	struct dmmopt_lease lease;
	bool with_lease;
	uint16_t relay;		 /* the AMA that passed it on, 0 = it came straight from the node */
	uint16_t proxy_sequence; /* of its PBU */
	bool changes;		 /* something: a refusal puts back what was before */
	bool binds;		 /* waits for the source check, too */
	bool superseded;	 /* a later update of this turn took its place: it is answered instead */
	int kernel;		 /* its answer, 0 or -errno */
	struct before before;
};

/* A binding revocation without an answer yet (RFC 5846): a lease whose node was told that it ends (the lease is marked;
 * what it says counts), or an AMA that was told that a node has left it. */
struct revocation {
	struct revocation *prev, *next;
	struct revocation **list; /* that it is in: one of the two */
	struct table_entry by_question;
	struct prefix6 prefix;
	struct in6_addr left; /* the AMA's address; :: = to the node, of its lease */
	uint16_t sequence;
	uint8_t tries;
	uint64_t due_us;
};

struct amad {
	struct amad_config config;
	char config_path[CONF_TEXT];
	bool config_required;
	struct identity identity;
	struct known_domain domain[DOMAINS];
	unsigned n_domains;

	struct daemon daemon;
	struct nl *nl;
	struct fwd_set *set;
	struct transport *transport;
	struct channel *channel;
	struct srccheck *srccheck;
	struct anchoring *anchoring;
	struct lm *lm;
	struct mr *mr;
	struct serving *serving;
	struct store *store;
	uint32_t tunnel;
	struct store_meta meta;
	bool timestamps_due;		/* in meta, to be on disk before this turn's datagrams leave */
	uint64_t wall_us, wall_turn_us; /* see to_wall_s */

	struct loop_io nl_io;
	struct loop_timer tick, sync, retry, revoke;

	uint32_t access[ACCESS]; /* ifindexes on which nodes may attach */
	char access_name[ACCESS][IF_NAMESIZE];
	unsigned n_access;
	bool serves;			  /* the rules of visiting nodes are wanted on them */
	char absent[ABSENT][IF_NAMESIZE]; /* a lease's ifindex may be ABSENT_BIT | an index of this */
	unsigned n_absent;
	struct over {
		store_delete_fn *take_out;
		struct prefix6 prefix;
	} * over; /* of leases and bindings in the store whose time has come; only while loading */
	size_t n_over;
	struct relay relay[RELAYS]; /* ep.relay is its index + 1 */
	unsigned n_relays;
	struct inner inner[INNER];
	unsigned n_inner;
	const struct inner *reading; /* the one whose update is handled now */
	struct pending pending[PENDING];
	unsigned n_pending;
	uint64_t cookie; /* of the kernel's answer: that of pending[0] is cookie + 1; never used twice */
	bool ready, resync, tunnel_lost, syncing, draining;
	struct revocation *told_once, *told_twice; /* in order of due_us */
	struct table told;			   /* the same, by what an answer names: sequence number and prefix */
	struct asked {
		struct in6_addr address; /* of an AMA: who it is */
		uint64_t at_us;
	} asked[ASKED];	      /* by the address */
	uint16_t revocations; /* ever */
	uint64_t started_us;
	uint64_t count_status[256], count_mh[MH_WHY_N], count_heartbeat, count_unexpected, count_store, count_device,
		count_proxied, count_unsealed, count_sealed_bad, count_relays_full, count_refusal[REFUSALS],
		count_relocations;
	struct log_bucket refused_bucket, kernel_bucket, doubt_bucket;
	char error[ERRORS][160]; /* the last ones, for status */
	unsigned n_errors;
};

/* The interface index of a lease whose interface is not there now: its node is routed to again when it comes. */
#define ABSENT_BIT 0x80000000u

/* --- amad/amad.c: life, store, kernel, the end of a turn */

/* Tell `amactl monitor` of a lease or binding. care_of: NULL = it has none. */
void amad_emit(struct amad *a, const char *event, const struct lease *l, const struct in6_addr *care_of);
/* May nodes attach on this interface? */
bool amad_is_access(const struct amad *a, uint32_t ifindex);
/* Take note of what a function of store.h returned: failures are counted and shown in status. The commit at the end of
 * the turn is what refuses an update. */
void amad_stored(struct amad *a, int r);
/* Name of the interface that the lease's node is on, also of one that is not there now; "" = on none. In buf, or owned
 * by a; valid for this turn. */
const char *amad_lease_ifname(const struct amad *a, const struct lease *l, char buf[IF_NAMESIZE]);
/* Put a lease into the store. resting: it has ended, its quarantine begins. now: on disk before the commit of this turn
 * returns (a prefix that is promised for the first time), else within SYNC_US. */
void amad_write_lease(struct amad *a, const struct lease *l, bool resting, bool now);
/* The same for one that lives (or is being revoked, which is over in the store). */
void amad_keep_lease(struct amad *a, const struct lease *l, bool is_new);
/* Put a binding, with the sequence number of its lease, into the store. */
void amad_keep_binding(struct amad *a, const struct binding *b, const struct lease *l);
/* Take out a binding that came into being only by half: neither stored nor in the source check. */
void amad_drop_binding(struct amad *a, struct binding *b);
/* Do updates of nodes on our links go through a regional AMA (`through`)? */
bool amad_has_regional(const struct amad *a);
/* End a binding: store, source check, route, cache; b is gone. native: its route becomes the native one instead of
 * going. cookie: of the kernel's answer, 0 = nobody waits for it. */
void amad_end_binding(struct amad *a, struct binding *b, bool native, uint64_t cookie);
/* Have the kernel let only the lease's node send from its prefix on our links, also while it is elsewhere. */
void amad_check_sender(struct amad *a, const struct lease *l);
/* The node's domain has this lease, and the one before has it no more. */
void amad_set_domain(struct amad *a, struct lease *l, uint8_t domain);
/* End a lease with its binding; the prefix rests for `quarantine`. l is gone. */
void amad_end_lease(struct amad *a, struct lease *l, uint64_t cookie);
/* Everything of an update that was refused is as before it (p->before). What ended something is not undone: the node
 * was going to let go of it, and says so again. */
void amad_undo(struct amad *a, const struct pending *p);
/* The last step of a turn (loop_at_end), ctx is the amad: acknowledge each pending update with what store and kernel
 * said, and let the datagrams leave. */
void amad_answer(void *ctx);

/* --- amad/updates.c: what nodes and AMAs say */

/* Send a Proxy Binding Acknowledgement (RFC 5213 8.2). peer: NULL = nothing is sent. lifetime_s: of the binding, 0 with
 * a refusal. Status 129 names the regional AMA, if there is one: by that way. */
void updates_send_pba(struct amad *a, struct channel_peer *peer, uint16_t sequence, uint8_t status, uint32_t lifetime_s,
	const struct prefix6 *prefix);
/* What serving.c needs of us (serving_env): a PBA to the AMA that a node of ours is behind; ... */
void updates_answer_behind(
	void *ctx, const struct serving_via *via, uint8_t status, uint32_t lifetime_s, const struct prefix6 *prefix);
/* ... and to tell the AMA at this address, where a prefix was until now, that it is elsewhere (RFC 5846, trigger 4 with
 * flag P). Again until it has answered, eight times in 15 s: without it its links would lead the prefix's packets into
 * the void until the visit has run out. Also for bindings of our own. */
void updates_tell_previous(void *ctx, const struct in6_addr *ama, const struct prefix6 *prefix);
bool updates_attached_since(void *ctx, const uint8_t key[32], uint16_t sequence, uint32_t *ret_ifindex,
	struct in6_addr *ret_link_local, uint8_t ret_link_layer[6]);
/* Take a lease back (RFC 5846): the node is told, twice if it does not answer, then the lease ends. In the store it has
 * ended at once. l is gone on return if the node cannot be told. */
void updates_revoke(struct amad *a, struct lease *l);
/* The timer of that, ctx is the amad. */
void updates_revoke_due(void *ctx);
/* Before anything is told to anybody; and at the end: nobody is waited for any more. */
void updates_start(struct amad *a);
void updates_stop(struct amad *a);
/* A datagram of the secure channel (transport_recv_cb); ctx is the amad. What was sealed inside one is read
 * after it. */
void updates_input(void *ctx, const struct channel_rx *rx, const uint8_t *buf, size_t len);

/* --- amad/peers.c: other AMAs */

/* The AMA with this index (channel_endpoint.relay), ready to be sent to at the address that its last update came from;
 * NULL = 0 was given, or the channel has forgotten it. Its peer may be an anchor, too, whose address a node named: so
 * where its answers go is set each time. */
struct channel_peer *peers_relay(struct amad *a, uint16_t relay);
/* The one at this address that was heard last. */
struct channel_peer *peers_relay_at(struct amad *a, const struct in6_addr *address);
/* Has this AMA passed an update on before, or been told that a node left it? */
bool peers_knows(struct amad *a, const struct channel_peer *peer);
/* The index of the AMA that passed an update on, which came from there. 0 = no room for more of them, which is counted:
 * none of those that there are is over (RELAY_UNUSED_US). */
uint16_t peers_relay_index(struct amad *a, const struct channel_peer *peer, const struct channel_endpoint *ep);
/* These are trusted from now on, and no others. Returns 0, or -errno with a sentence in reterr (CREDENTIAL_ERR bytes),
 * nothing changed. */
int peers_set_trusted(
	struct amad *a, const struct domain *domain, const struct trust_policy *policy, unsigned n, char *reterr);
/* The number of the domain that signed for a peer, and of one that the store knows (store_lease.domain); NO_DOMAIN. */
const char *peers_refusal_name(enum refusal why); /* of a counter: "max-leases" */
uint8_t peers_domain(const struct amad *a, const struct channel_peer *peer);
uint8_t peers_domain_of_id(const struct amad *a, uint64_t id);
uint64_t peers_domain_id(const struct amad *a, uint8_t domain);
const char *peers_domain_name(const struct amad *a, uint8_t domain); /* NULL = not known */
/* Does the policy of a node's or an AMA's domain allow it? If not it is counted and logged; who is its name. */
bool peers_allow(struct amad *a, uint8_t domain, enum refusal what, const char *who);
/* May an AMA pass on one update more? */
bool peers_take_update(struct amad *a, uint16_t relay, const struct channel_peer *peer);
/* What serving.c needs of us (serving_env). */
bool peers_room(void *ctx, uint8_t domain, const char *node, unsigned more);
void peers_visit(void *ctx, uint8_t domain, int change);
/* Are nodes of the domain with this key served at all? */
bool peers_serves(const struct amad *a, const uint8_t domain_key[32]);
bool peers_may_ask(void *ctx, const struct credential *anchor);
bool peers_believe(void *ctx, const struct credential *anchor, const struct prefix6 *prefix);
/* What 'amactl status' shows of domains, an array. */
json_t *peers_domains_json(struct amad *a);
/* Send it a heartbeat (RFC 5847), to measure the round trip, unless one was sent just now; and its answer. */
void peers_ping(struct amad *a, struct relay *r);
void peers_ponged(struct amad *a, const struct channel_peer *peer, const struct in6_addr *from, uint32_t sequence);
/* An AMA says that it is at another address than until now. It is asked there; if it answers, all bindings that it
 * passed on, and that are at the former address, move with it. */
void peers_moves(struct amad *a, uint16_t relay, uint16_t sequence, const struct in6_addr *former);
/* Send the AMA that passed an update on its PBA, and count it. */
void peers_answer(struct amad *a, uint16_t relay, uint16_t sequence, uint8_t status, uint32_t lifetime_s,
	const struct prefix6 *prefix);
/* What another AMA said is not believed, and changes nothing: log why. ctx is the amad; prefix may be NULL. */
void peers_doubt(void *ctx, const struct channel_peer *peer, const struct prefix6 *prefix, const char *why);
/* What 'amactl peers' shows, an array. */
json_t *peers_json(struct amad *a);

/* --- amad/methods.c: what amactl asks; the interface org.dmm.amad in the words of Varlink, and its methods */

/* All that is counted (metrics_collect_cb); ctx is the amad. */
void methods_collect(void *ctx, struct metrics *w);
/* Read the configuration and the trusted domains again (daemon_watch); ctx is the daemon's struct. Returns 0, or -errno
 * with the faults in reterr (size bytes) and in the log, and the old configuration in force. */
int methods_reload(void *ctx, char *reterr, size_t size);

extern const struct channel_ops updates_channel_ops;
extern const struct control_method amad_methods[];
extern const char amad_description[];
