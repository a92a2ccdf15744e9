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
	__uint(max_entries, 1024); /* the loader says how many; allocated ahead: without that a burst meets a passing ENOMEM */
	__type(key, __u64); /* upper 64 bits of the inner address, as on the wire */
	__type(value, struct outer);
} bindings SEC(".maps");

/* At a serving AMA: prefixes of others whose nodes are on its links, each with its anchor. Found by inner destination. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct outer);
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

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

enum { PASSED, UNBOUND, WRONG_SOURCE, MALFORMED };

static __always_inline int count(__u32 what, int verdict)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &what);

	if (n)
		(*n)++;
	return verdict;
}

enum { NONE, RIGHT, WRONG };

/* Is this outer source the one for the prefix of the inner address at offset? */
static __always_inline int compare(struct __sk_buff *skb, int offset, void *map, const struct bpf_tunnel_key *key)
{
	struct leaving was = {};
	struct outer *outer;
	__u64 *until;

	if (bpf_skb_load_bytes(skb, offset, &was.prefix, sizeof(was.prefix)) < 0)
		return NONE;
	outer = bpf_map_lookup_elem(map, &was.prefix);
	if (outer && outer->addr[0] == key->remote_ipv6[0] && outer->addr[1] == key->remote_ipv6[1] &&
		outer->addr[2] == key->remote_ipv6[2] && outer->addr[3] == key->remote_ipv6[3])
		return RIGHT;
	was.outer.addr[0] = key->remote_ipv6[0];
	was.outer.addr[1] = key->remote_ipv6[1];
	was.outer.addr[2] = key->remote_ipv6[2];
	was.outer.addr[3] = key->remote_ipv6[3];
	until = bpf_map_lookup_elem(&left, &was);
	if (until && bpf_ktime_get_ns() < *until)
		return RIGHT;
	return outer ? WRONG : NONE;
}

static __always_inline int outer_of(struct __sk_buff *skb, struct bpf_tunnel_key *key)
{
	return skb->protocol == bpf_htons(ETH_P_IPV6) && bpf_skb_get_tunnel_key(skb, key, sizeof(*key), BPF_F_TUNINFO_IPV6) == 0;
}

static __always_inline int verdict(int found)
{
	if (found == RIGHT)
		return count(PASSED, TC_ACT_OK);
	return count(found == WRONG ? WRONG_SOURCE : UNBOUND, TC_ACT_SHOT);
}

/* An AMA: from a node, whose prefix it anchors, or from an anchor, for a node that it serves. */
SEC("tc")
int by_inner_source(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};
	int found;

	if (!outer_of(skb, &key))
		return count(MALFORMED, TC_ACT_SHOT);
	found = compare(skb, 8, &bindings, &key);
	if (found == NONE)
		found = compare(skb, 24, &visiting, &key);
	return verdict(found);
}

SEC("tc")
int by_inner_destination(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key = {};

	if (!outer_of(skb, &key))
		return count(MALFORMED, TC_ACT_SHOT);
	return verdict(compare(skb, 24, &bindings, &key));
}

char _license[] SEC("license") = "GPL";
