/* SPDX-License-Identifier: GPL-2.0-or-later */
/* srccheck.bpf.c - see srccheck.h. Needs neither CO-RE nor kernel BTF. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct outer {
	__u32 addr[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	/* the loader says how many; allocated ahead: without that a burst meets a passing ENOMEM */
	__uint(max_entries, 1024);
	__type(key, __u64); /* upper 64 bits of the inner address, as on the wire */
	__type(value, struct outer);
} bindings SEC(".maps");

/* At a serving AMA: prefixes of others whose nodes are on its links, each with its anchor. Found by
 * inner destination. */
struct visiting {
	struct outer anchor; /* first */
	__u32 mark;	     /* of packets that come ahead of the anchor's word; 0 = it has said yes */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct visiting);
} visiting SEC(".maps");

/* What was still in the tunnel when a binding moved or ended: allowed for a moment longer. */
struct leaving {
	__u64 prefix;
	struct outer outer;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct leaving);
	__type(value, __u64); /* until, CLOCK_MONOTONIC in ns */
} left SEC(".maps");

/* At an AMA: whose packets may come from a prefix on an access interface; and, for a moment, whose could until now. */
struct here {
	__u32 ifindex;
	__u8 link_layer[6]; /* zero = not known */
	__u16 zero;
};

struct was_here {
	__u64 prefix;
	struct here here;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct here);
} on_link SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct was_here);
	__type(value, __u64); /* until, CLOCK_MONOTONIC in ns */
} was_on_link SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/* At a node: when the first packet came through the tunnel to the care-of address of the last move. */
struct awaited {
	__u32 care_of[4];
	__u64 first_ns; /* CLOCK_MONOTONIC, 0 = not yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct awaited);
} awaited SEC(".maps");

enum { PASSED, UNBOUND, WRONG_SOURCE, MALFORMED, WRONG_NODE };

static __always_inline int count(__u32 what, int verdict)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &what);

	if (n)
		(*n)++;
	return verdict;
}

enum { NONE, RIGHT, WRONG };

/* Without CAP_PERFMON the verifier of Linux 6.1 takes a number of 4 bytes on the stack for a pointer that the next one
 * beside it would spoil: addresses are written by 8 bytes, and so lie at multiples of 8. */
struct tunnel {
	__u32 zero;
	struct bpf_tunnel_key key; /* remote_ipv6 is 4 bytes behind its beginning */
} __attribute__((aligned(8)));

/* Is this outer source the one for the prefix of the inner address at offset? */
static __always_inline int compare(
	struct __sk_buff *skb, int offset, void *map, const struct tunnel *tunnel, __u64 *ret_prefix)
{
	const struct bpf_tunnel_key *key = &tunnel->key;
	struct leaving was = {};
	struct outer *outer;
	__u64 *until;

	if (bpf_skb_load_bytes(skb, offset, &was.prefix, sizeof(was.prefix)) < 0)
		return NONE;
	*ret_prefix = was.prefix;
	outer = bpf_map_lookup_elem(map, &was.prefix);
	if (outer && outer->addr[0] == key->remote_ipv6[0] && outer->addr[1] == key->remote_ipv6[1] &&
		outer->addr[2] == key->remote_ipv6[2] && outer->addr[3] == key->remote_ipv6[3])
		return RIGHT;
	__builtin_memcpy(&was.outer, key->remote_ipv6, sizeof(was.outer));
	until = bpf_map_lookup_elem(&left, &was);
	if (until && bpf_ktime_get_ns() < *until)
		return RIGHT;
	return outer ? WRONG : NONE;
}

static __always_inline int outer_of(struct __sk_buff *skb, struct bpf_tunnel_key *key)
{
	return skb->protocol == bpf_htons(ETH_P_IPV6) &&
		bpf_skb_get_tunnel_key(skb, key, sizeof(*key), BPF_F_TUNINFO_IPV6) == 0;
}

static __always_inline int verdict(int found)
{
	if (found == RIGHT)
		/* there may be a filter behind this one: mnd's isolated programs */
		return count(PASSED, TC_ACT_UNSPEC);
	return count(found == WRONG ? WRONG_SOURCE : UNBOUND, TC_ACT_SHOT);
}

/* An AMA: from a node, whose prefix it anchors, or from an anchor, for a node that it serves. */
SEC("tc")
int by_inner_source(struct __sk_buff *skb)
{
	struct tunnel tunnel = {};
	struct visiting *visitor;
	__u64 prefix = 0;
	int found;

	if (!outer_of(skb, &tunnel.key))
		return count(MALFORMED, TC_ACT_SHOT);
	found = compare(skb, 8, &bindings, &tunnel, &prefix);
	if (found != NONE)
		return verdict(found);
	found = compare(skb, 24, &visiting, &tunnel, &prefix);
	if (found == RIGHT) {
		visitor = bpf_map_lookup_elem(&visiting, &prefix);
		if (visitor)
			skb->mark = visitor->mark;
	}
	return verdict(found);
}

SEC("tc")
int by_inner_destination(struct __sk_buff *skb)
{
	struct tunnel tunnel = {};
	struct awaited *first;
	__u64 prefix = 0;
	__u32 zero = 0;
	int found;

	if (!outer_of(skb, &tunnel.key))
		return count(MALFORMED, TC_ACT_SHOT);
	found = compare(skb, 24, &bindings, &tunnel, &prefix);
	first = bpf_map_lookup_elem(&awaited, &zero);
	if (found == RIGHT && first && !first->first_ns && first->care_of[0] == tunnel.key.local_ipv6[0] &&
		first->care_of[1] == tunnel.key.local_ipv6[1] && first->care_of[2] == tunnel.key.local_ipv6[2] &&
		first->care_of[3] == tunnel.key.local_ipv6[3])
		first->first_ns = bpf_ktime_get_ns();
	return verdict(found);
}

#define SOURCE_OFFSET (ETH_HLEN + 8)

/* An access interface (RFC 7513 calls it a binding anchor): from a prefix that is leased or visiting, only its node
 * sends. Others are not our business. */
SEC("tc")
int by_node(struct __sk_buff *skb)
{
	struct was_here was = {};
	struct here *here;
	/* both whole before their interface is written: see struct tunnel */
	struct was_here told = {};
	const __u8 *mac = told.here.link_layer;
	__u64 *until;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) ||
		bpf_skb_load_bytes(skb, SOURCE_OFFSET, &was.prefix, sizeof(was.prefix)) < 0 ||
		bpf_skb_load_bytes(skb, ETH_ALEN, told.here.link_layer, sizeof(told.here.link_layer)) < 0)
		return TC_ACT_OK;
	here = bpf_map_lookup_elem(&on_link, &was.prefix);
	if (!here)
		return TC_ACT_OK;
	told.prefix = was.prefix;
	told.here.ifindex = was.here.ifindex = skb->ifindex;
	if (here->ifindex == skb->ifindex) {
		__u8 known = 0, other = 0;

		for (int i = 0; i < 6; i++) {
			known |= here->link_layer[i];
			other |= here->link_layer[i] ^ mac[i];
		}
		if (!known || !other)
			return TC_ACT_OK;
	}
	until = bpf_map_lookup_elem(&was_on_link, &was); /* where its link-layer address was not known */
	if (until && bpf_ktime_get_ns() < *until)
		return TC_ACT_OK;
	until = bpf_map_lookup_elem(&was_on_link, &told);
	if (until && bpf_ktime_get_ns() < *until)
		return TC_ACT_OK;
	return count(WRONG_NODE, TC_ACT_SHOT);
}

char _license[] SEC("license") = "GPL";
