# SPDX-License-Identifier: GPL-2.0-or-later
"""Throughput of one TCP stream through the tunnel of amad and mnd, with and without the source check, against the same path with a hand-made ip6tnl."""
import json, os
from lab import Lab

lab = Lab()
net = lab.roaming(networks=2)
hoa1 = net.attach(1)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "600"])
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
coa = net.home(1)["care_of"]
net.cn.spawn(["iperf3", "-s"])
lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :5201"), "iperf3")


def iperf():
    rates = []
    for _ in range(3):
        j = json.loads(net.mn.run(["iperf3", "-6", "-c", "2001:db8:c::2", "-B", hoa1, "-R", "-t", "2", "-J"]))
        rates.append(j["end"]["sum_received"]["bits_per_second"] / 1e6)
    return max(rates)


ours = iperf()
for h, dev in ((net.mn, "mnd0"), (net.ar[1], "amad0")):
    h.run("tc qdisc del dev %s clsact" % dev)
unchecked = iperf()
# the same path by hand: the daemons stopped, classic tunnels in place of theirs
net.mnd.kill()
net.amad[1].kill()
hnp = hoa1[:13] + "::/64" if False else ":".join(hoa1.split(":")[:4]) + "::/64"
net.ar[1].ip("link add hand type ip6tnl mode ip6ip6 local 2001:db8:a1::1 remote %s encaplimit none hoplimit 64" % coa)
net.ar[1].ip("link set hand mtu 1460 up")
net.ar[1].ip("-6 route replace %s dev hand metric 1" % "2001:db8:101::/64")
net.mn.ip("link add hand type ip6tnl mode ip6ip6 local %s remote 2001:db8:a1::1 encaplimit none hoplimit 64" % coa)
net.mn.ip("link set hand mtu 1460 up")
net.mn.ip("-6 route replace default dev hand table 7700 metric 1")
by_hand = iperf()


def out(name, value):
    print("BENCH " + json.dumps({"name": name, "value": round(value), "unit": "Mbit/s", "limit": round(by_hand), "ratio": round(value / by_hand, 3), "target": ">= 0.97 of a hand-made ip6tnl"}))


out("TCP through the tunnel, source check on (BPF interpreted in UML)", ours)
out("TCP through the tunnel, source check off", unchecked)
lab.check(True, "measured")
lab.finish()
