# SPDX-License-Identifier: GPL-2.0-or-later
"""Throughput of one TCP stream through the tunnel of amad and mnd, with and without the source check, against the same path with hand-made ip6tnl devices.

Everything stays as it is but the tunnel: the daemons run on, and a route of a better metric leads into the hand-made devices and back. The streams take turns
(ours, by hand, by hand, ours, ...), so that what else the machine does meets both; the ratio is the median of those of neighbours. Argument: pairs (30)."""
import ipaddress, json, statistics, sys
from lab import KERNEL, Lab

pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
lab = Lab()
net = lab.roaming(networks=2)
hoa1 = net.attach(1)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "600"])
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
coa, anchor = net.home(1)["care_of"], "2001:db8:a1::1"
hnp = str(ipaddress.ip_network(hoa1 + "/64", strict=False))
net.cn.spawn(["iperf3", "-s"])
lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :5201"), "iperf3")
ends = ((net.ar[1], anchor, coa, hnp), (net.mn, coa, anchor, "default table 9"))
for host, local, remote, _ in ends:
    host.ip("link add hand type ip6tnl mode ip6ip6 local %s remote %s encaplimit none hoplimit 64" % (local, remote))
    host.ip("link set hand mtu 1460")
net.mn.ip("-6 rule add pref 1 from %s lookup 9" % hnp)  # empty as long as the device is down


def by_hand(on):
    for host, _, _, route in ends:
        host.ip("link set hand " + ("up" if on else "down"))  # a device that is down neither sends nor takes anything; its route goes
        if on:
            host.ip("-6 route replace %s dev hand metric 1" % route)


def sent(host, dev):
    return int(host.json("ip -s -j link show dev " + dev)[0]["stats64"]["tx"]["packets"])


def stream(hand):
    """Mbit/s."""
    by_hand(hand)
    devices = [(net.ar[1], "hand"), (net.mn, "hand")] if hand else [(net.ar[1], "amad0"), (net.mn, "mnd0")]
    before = [sent(*d) for d in devices]
    j = json.loads(net.mn.run(["iperf3", "-6", "-c", "2001:db8:c::2", "-B", hoa1, "-R", "-n", "400M", "-J"]))
    if min(sent(*d) - b for d, b in zip(devices, before)) < 20:
        lab.fail("the stream did not go through %s" % devices)
    return j["end"]["sum_received"]["bits_per_second"] / 1e6


def compare(name):
    ours, hand = [], []
    for i in range(pairs):
        for kind in ((False, True) if i % 2 else (True, False)):
            (hand if kind else ours).append(stream(kind))
    ratios = sorted(o / h for o, h in zip(ours, hand))
    print("# %s: ratio %.3f, half of the pairs within %.3f and %.3f; ours %.0f, by hand %.0f Mbit/s" % (
        name, statistics.median(ratios), ratios[pairs // 4], ratios[-1 - pairs // 4], statistics.median(ours), statistics.median(hand)))
    print("BENCH " + json.dumps({"name": name, "value": round(statistics.median(ours)), "unit": "Mbit/s", "limit": round(statistics.median(hand)),
                                 "ratio": round(statistics.median(ratios), 3), "target": ">= 0.97 of a hand-made ip6tnl"}))


stream(False)
stream(True)  # once for the caches
compare("TCP through the tunnel, source check on" + (" (BPF interpreted in UML)" if KERNEL == "uml" else ""))
for h, dev in ((net.mn, "mnd0"), (net.ar[1], "amad0")):
    h.run("tc qdisc del dev %s clsact" % dev)
compare("TCP through the tunnel, source check off")
lab.check(net.home(1)["state"] == "bound", "the binding is still there")
lab.finish()
