/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pin.bpf.c - see pin.h. Needs neither CO-RE nor kernel BTF. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ADDRESSES 5

struct pinned {
	__u32 address[ADDRESSES][4]; /* the home address, then those of sockets from before (graceful); :: = none */
	__u32 mark;
	__u32 lenient; /* sockets without a mark were there before */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pinned);
} pinned SEC(".maps");

/* The mark selects the home address's table, and with it the source. */
SEC("cgroup/sock_create")
int on_socket(struct bpf_sock *sk)
{
	__u32 zero = 0;
	struct pinned *p = bpf_map_lookup_elem(&pinned, &zero);

	if (p)
		sk->mark = p->mark;
	return 1;
}

/* Whatever a program binds to or asks for: nothing that goes beyond the link leaves under another address. */
SEC("cgroup_skb/egress")
int on_egress(struct __sk_buff *skb)
{
	__u32 zero = 0, source[4];
	struct pinned *p = bpf_map_lookup_elem(&pinned, &zero);

	if (skb->protocol != bpf_htons(ETH_P_IPV6))
		return 1;
	if (!p || bpf_skb_load_bytes(skb, 8, source, sizeof(source)) < 0)
		return 0;
	for (int i = 0; i < ADDRESSES; i++)
		if (source[0] == p->address[i][0] && source[1] == p->address[i][1] && source[2] == p->address[i][2] &&
			source[3] == p->address[i][3])
			return 1;
	if (p->lenient) {
		struct bpf_sock *sk = skb->sk ? bpf_sk_fullsock(skb->sk) : 0;

		if (sk && sk->mark == 0)
			return 1;
	}
	if ((source[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return 1; /* link-local */
	/* loopback and, in duplicate address detection and MLD, no address */
	return source[0] == 0 && source[1] == 0 && source[2] == 0 && (source[3] == 0 || source[3] == bpf_htonl(1));
}

char _license[] SEC("license") = "GPL";
