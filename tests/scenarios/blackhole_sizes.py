# SPDX-License-Identifier: GPL-2.0-or-later
"""Black holes of sizes between 1281 and 1499 bytes, without a word from the path: the node finds each, and its anchor knows the size. How long it takes is
shown here; that the search takes less than 3 s for every size is test_pmtu's to prove."""
from lab import Lab, now

lab = Lab()
net = lab.roaming(networks=3, delay_ms=10)
for host, dev in [(net.core, "cn")] + [(net.core, "ar%d" % i) for i in net.ar] + [(net.ar[i], d) for i in net.ar for d in ("up0", "lan0")]:
    host.run("tc qdisc add dev %s clsact" % dev, check=False)  # amad has one
    host.run("tc filter add dev %s egress protocol ipv6 u32 match ip6 protocol 58 0xff match u8 2 0xff at 40 action drop" % dev)
hoa1 = net.attach(1)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "600"])
times = []
for k, mtu in enumerate((1281, 1333, 1390, 1455, 1499)):
    network = 2 + k % 2
    for host, dev in ((net.core, "ar%d" % network), (net.ar[network], "up0")):
        host.ip("link set %s mtu %d" % (dev, mtu))
    net.radios[0].move(network)
    there = lambda: [b for b in net.bindings(1) if b["care_of"].startswith("2001:db8:a%d:" % network)]
    lab.wait(there, "the binding")
    t = now()
    low, high = max(1280, mtu - 48), max(1280, mtu - 40)
    lab.wait(lambda: low <= there()[0]["mtu"] <= high, "the anchor to know the tunnel's MTU behind %d bytes" % mtu)
    times.append(now() - t)
    lab.check(True, "a black hole behind %d bytes: %d fit in the tunnel, known to the anchor %.1f s after the binding" % (mtu, there()[0]["mtu"], times[-1]))
print("# found after %.1f s at most" % max(times))
lab.finish()
