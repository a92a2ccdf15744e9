/* SPDX-License-Identifier: GPL-2.0-or-later */
/* session.bpf.c - see session_watch in session.h. Needs neither CO-RE nor kernel BTF. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64); /* SESSION_WATCH_MAX */
	__type(key, __u64);	 /* upper 64 bits of the source, as on the wire: a home network prefix has one node */
	__type(value, __u8);
} watched SEC(".maps");

/* One page, the least there is: the reader wants to know that something left, not what. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536); /* a multiple of the page on every machine */
} seen SEC(".maps");

SEC("tc")
int on_leaving(struct __sk_buff *skb)
{
	__u64 prefix = 0;

	if (skb->protocol == bpf_htons(ETH_P_IPV6) &&
		bpf_skb_load_bytes_relative(skb, 8, &prefix, sizeof(prefix), BPF_HDR_START_NET) == 0 &&
		bpf_map_lookup_elem(&watched, &prefix)) {
		(void)bpf_ringbuf_output(&seen, &prefix, sizeof(prefix), 0);
		(void)bpf_map_delete_elem(&watched, &prefix); /* once is enough */
	}
	return TC_ACT_UNSPEC; /* on to other filters */
}

char _license[] SEC("license") = "GPL";
