# SPDX-License-Identifier: GPL-2.0-or-later
"""What a handover costs: from the care-of address being usable to the first data packet on the new path, and from link-up to it, against the round trip
to the anchor measured in the same run; packets lost. Argument: nominal round trip in ms. Prints lines "BENCH {json}"."""
import json, re, statistics, sys, time
from lab import Lab, now

rtt_ms = float(sys.argv[1])
moves = int(sys.argv[2]) if len(sys.argv) > 2 else 20
INTERVAL = 2000 # us: finer than what is measured; losses are given for 100 a second
lab = Lab()
net = lab.roaming(networks=3, fastra=True)
hoa1 = net.attach(1)
if rtt_ms:  # all of the delay before the anchor, so that each direction passes it once
    net.lab.netem(net.core, "ar1", "delay %.3fms" % (rtt_ms / 2))
    net.lab.netem(net.ar[1], "up0", "delay %.3fms" % (rtt_ms / 2))
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "600"])
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
ping = net.mn.run("ping -6 -c 20 -i 0.05 -I %s 2001:db8:a1::1" % net.home(1)["care_of"])
rtts = [float(x) for x in re.findall(r"time=([0-9.]+)", ping)]
rtt = statistics.median(rtts)
usable, linkup, lost, allowed, gaps = [], [], [], [], []
stream = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, INTERVAL, moves * 3 + 10)
lab.wait(lambda: len(stream.packets()) > 100, "the stream")
for k in range(moves):
    target = (3, 2)[k % 2]
    n = len(net.mnctl("status")["handovers"])
    down, up = net.radios[0].move(target)
    time.sleep(0.25 + 3 * rtt / 1000)  # nobody asks the daemons meanwhile: there is one CPU
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a%d:" % target), "the binding")
    mark = now()
    lab.wait(lambda: len(stream.packets()) and stream.packets()[-1][2] > (mark + 0.3) * 1e6, "the stream")
    h = net.mnctl("status")["handovers"][-1]
    t0 = h["usable_at_us"]
    got = stream.packets()
    first = min(p[2] for p in got if p[2] > t0)
    usable.append((first - t0) / 1000)
    linkup.append((first - h["link_up_at_us"]) / 1000)
    seqs = [p[0] for p in got if down * 1e6 - 200000 <= p[2] <= (mark + 0.3) * 1e6]
    lost.append((max(seqs) - min(seqs) + 1 - len(set(seqs))) * INTERVAL / 10000)
    allowed.append((first - down * 1e6) / 10000 + 1)
    before = max(p[2] for p in got if p[2] <= t0)
    gaps.append((first - before) / 1000)
print("# rtt %.2f ms, usable->packet %s" % (rtt, " ".join("%.1f" % x for x in sorted(usable))))


def out(name, value, unit, limit, ratio, target):
    print("BENCH " + json.dumps({"name": name, "value": round(value, 3), "unit": unit, "limit": round(limit, 3), "ratio": round(ratio, 3), "target": target}))


m = statistics.median(usable)
out("handover, address usable to first packet, median, RTT %g ms nominal" % rtt_ms, m, "ms", 1.2 * rtt + 3, m / (1.2 * rtt + 3), "<= 1 (1.2 x RTT + 3 ms)")
m = statistics.median(linkup)
out("handover, link-up to first packet, median, RTT %g ms nominal" % rtt_ms, m, "ms", rtt + 50, m / (rtt + 50), "<= 1 (RTT + 50 ms)")
m = statistics.median(lost)
out("packets lost a handover of a 100/s stream, one interface, median, RTT %g ms nominal" % rtt_ms, m, "packets", statistics.median(allowed), m / statistics.median(allowed), "<= 1 (sent while the link was down, and one RTT)")
out("gap in the stream, median, RTT %g ms nominal" % rtt_ms, statistics.median(gaps), "ms", rtt, statistics.median(gaps) / rtt, "UMIP's best: 145 ms")
lab.check(True, "measured")
lab.finish()
