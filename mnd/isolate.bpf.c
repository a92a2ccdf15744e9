/* SPDX-License-Identifier: GPL-2.0-or-later */
/* isolate.bpf.c - see isolate.h. Needs neither CO-RE nor kernel BTF. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define AF_INET6 10

enum { NOWHERE, NATIVE, TUNNEL };

/* Without CAP_PERFMON the verifier of Linux 6.1 takes a number of 4 bytes on the stack for a pointer that the next one
 * beside it would spoil: addresses are written by 8 bytes, and so lie at multiples of 8. */
#define ALIGNED __attribute__((aligned(8)))

struct way {
	__u32 address[4]; /* the only source */
	__u32 kind, ifindex;
	__u32 router[4] ALIGNED, anchor[4] ALIGNED, care_of[4] ALIGNED;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32); /* ifindex of the outer end */
	__type(value, struct way);
} ways SEC(".maps");

struct address {
	__u32 a[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct address);
	__type(value, __u32); /* ifindex of the outer end */
} inside SEC(".maps");

static __always_inline int load(struct __sk_buff *skb, int offset, struct address *ret)
{
	return bpf_skb_load_bytes_relative(skb, offset, ret, sizeof(*ret), BPF_HDR_START_NET);
}

/* From the namespace, where the outer end receives it. */
SEC("tc")
int from_inside(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct way *w = bpf_map_lookup_elem(&ways, &ifindex);
	struct address source;

	if (!w || skb->protocol != bpf_htons(ETH_P_IPV6) || load(skb, 8, &source) < 0)
		return TC_ACT_SHOT;
	if (source.a[0] != w->address[0] || source.a[1] != w->address[1] || source.a[2] != w->address[2] ||
		source.a[3] != w->address[3])
		return TC_ACT_SHOT;
	if (w->kind == NATIVE) {
		struct {
			__u32 zero;
			struct bpf_redir_neigh to;
		} ALIGNED next = {.to.nh_family = AF_INET6};

		__builtin_memcpy(next.to.ipv6_nh, w->router, sizeof(w->router));
		return bpf_redirect_neigh(w->ifindex, &next.to, sizeof(next.to), 0);
	}
	if (w->kind == TUNNEL) {
		struct {
			__u32 zero;
			struct bpf_tunnel_key key;
		} ALIGNED tunnel = {.key.tunnel_ttl = 64};

		__builtin_memcpy(tunnel.key.remote_ipv6, w->anchor, sizeof(w->anchor));
		__builtin_memcpy(tunnel.key.local_ipv6, w->care_of, sizeof(w->care_of));
		if (bpf_skb_set_tunnel_key(skb, &tunnel.key, sizeof(tunnel.key), BPF_F_TUNINFO_IPV6) < 0)
			return TC_ACT_SHOT;
		return bpf_redirect(w->ifindex, 0);
	}
	return TC_ACT_SHOT;
}

/* Towards it, where a link or the tunnel device receives it: straight to the inner end. Everything else goes
 * its way. */
SEC("tc")
int to_inside(struct __sk_buff *skb)
{
	struct address destination;
	__u32 *outer;

	if (skb->protocol != bpf_htons(ETH_P_IPV6) || load(skb, 24, &destination) < 0)
		return TC_ACT_UNSPEC;
	outer = bpf_map_lookup_elem(&inside, &destination);
	return outer ? bpf_redirect_peer(*outer, 0) : TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";
