# SPDX-License-Identifier: GPL-2.0-or-later
"""What updates through the AMA cost and save, against direct ones, in one run: time of a handover at the same round trip to the anchor; what the anchor hears and
changes when a node moves 1,000 times between links of one AMA, and when it moves between two; bytes a packet on the access link; packets lost when the AMA
before sends on what still arrives. Arguments: moves between AMAs, moves between links."""
import json, statistics, sys, time
from lab import Lab, now

moves, link_moves = int(sys.argv[1]), int(sys.argv[2])
RTT = 20.0
lab = Lab()
net = lab.roaming(networks=3, start=False, radios=1, amad_config="access = lan1", mnd_config="grace = 60s", ra="MinRtrAdvInterval 0.03; MaxRtrAdvInterval 0.07;")
net.second_link(2, 9)
net.start()
hoa1 = net.attach(1)
net.lab.netem(net.core, "ar1", "delay %.3fms" % (RTT / 2))
net.lab.netem(net.ar[1], "up0", "delay %.3fms" % (RTT / 2))
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "2000"])


def out(name, value, unit, limit, target):
    print("BENCH " + json.dumps({"name": name, "value": round(value, 3), "unit": unit, "limit": round(limit, 3), "ratio": round(value / limit, 3) if limit else 0, "target": target}))


def go(network, way):
    where = "2001:db8:a%d::1" % (2 if network == 9 else network) if way == "proxied" else "2001:db8:a%d:" % network
    times = net.radios[0].move(network)
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith(where) and net.bindings(1)[0]["type"] == way, "%s at network %d" % (way, network))
    return times


def measured(stream, network, way):
    """ms from the care-of address being usable to the first packet; packets lost; from link down to the first packet (ms)"""
    down, up = net.radios[0].move(network)
    time.sleep(0.3)  # nobody asks the daemons meanwhile: there is one CPU
    where = "2001:db8:a%d::1" % network if way == "proxied" else "2001:db8:a%d:" % network
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith(where), "%s at network %d" % (way, network))
    mark = now()
    lab.wait(lambda: stream.packets() and stream.packets()[-1][2] > (mark + 0.3) * 1e6, "the stream")
    t0 = net.mnctl("status")["handovers"][-1]["usable_at_us"]
    got = stream.packets()
    first = min(p[2] for p in got if p[2] > t0)
    seqs = [p[0] for p in got if down * 1e6 - 200000 <= p[2] <= (mark + 0.3) * 1e6]
    return (first - t0) / 1000, max(seqs) - min(seqs) + 1 - len(set(seqs)), (first - down * 1e6) / 1000


INTERVAL = 2000  # us
times, lost, dark, sizes = {"direct": [], "proxied": []}, {"direct": [], "proxied": []}, {"direct": [], "proxied": []}, {}
for turn in range(3):
    for way in ("direct", "proxied"):
        net.set_mnd("updates", "prefer-proxy" if way == "proxied" else "direct-only")
        go(3, way)
        go(2, way)
        stream = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, INTERVAL, moves * 2 + 6)
        lab.wait(lambda: len(stream.packets()) > 100, "the stream")
        capture = net.mn.capture("wlan0", "ip6")
        for k in range(moves // 3):
            t, n, d = measured(stream, (3, 2)[k % 2], way)
            times[way].append(t), lost[way].append(n), dark[way].append(d)
        air = [p for p in capture.packets() if p.inner or p.between("2001:db8:c::2", "2001:db8:101:")]
        sizes[way] = statistics.median(p.size for p in air)
        stream.sender.kill()
        stream.receiver.kill()
m = {k: statistics.median(v) for k, v in times.items()}
print("# usable -> packet %s" % {k: [round(x, 1) for x in sorted(v)] for k, v in times.items()})
out("handover through the AMA, address usable to first packet, median, RTT %g ms" % RTT, m["proxied"], "ms", m["direct"], "direct in the same run (ratio ~1)")
out("bytes a packet on the access link, through the AMA", sizes["proxied"], "bytes", sizes["direct"], "40 less than direct: %d" % (sizes["proxied"] - sizes["direct"]))
air = {k: statistics.median(n - d * 1000 / INTERVAL for n, d in zip(lost[k], dark[k])) for k in lost}
out("packets lost a handover beyond those sent while there was no path, proxied, median", max(air["proxied"], 0), "packets", max(RTT * 1000 / INTERVAL, 1), "<= 1 (those in the air: one RTT of the stream)")

# inside one AMA: the anchor hears nothing
net.set_mnd("updates", "prefer-proxy")
go(2, "proxied")
time.sleep(1)
core, requests = net.core.capture("ar1", "udp port 7872"), net.amactl(1, "status")["counters"]["kernel-requests"]
visit = lambda: net.amactl(2, "visits")["visits"][0]["interface"]
began = now()
for k in range(link_moves):
    net.radios[0].move((9, 2)[k % 2])
    lab.wait(lambda: visit() == ("lan1", "lan0")[k % 2], "move %d inside AMA2" % k)
took = now() - began
heard, changed = len(core.packets()), net.amactl(1, "status")["counters"]["kernel-requests"] - requests
beats = int(took / 60) * 2 + 2  # heartbeats, whatever happens
print("# %d moves inside one AMA in %.0f s: %d datagrams at the anchor, %d of them may be heartbeats; %d changes" % (link_moves, took, heard, beats, changed))
out("anchor's messages for %d moves inside one AMA, heartbeats taken off" % link_moves, max(heard - beats, 0), "messages", 1, "0")
out("anchor's kernel changes for %d moves inside one AMA" % link_moves, changed, "changes", 1, "0")
core, requests = net.core.capture("ar1", "udp port 7872"), net.amactl(1, "status")["counters"]["kernel-requests"]
n = 10
for k in range(n):
    go((3, 2)[k % 2], "proxied")
time.sleep(0.5)
out("anchor's messages a move between two AMAs, through them", len(core.packets()) / n, "messages", 5, "<= 1 (PBU, PBA with the sealed answer, the word to the AMA before, its answer; one to spare)")
out("anchor's kernel changes a move between two AMAs", (net.amactl(1, "status")["counters"]["kernel-requests"] - requests) / n, "changes", 1, "1 (one nexthop)")
lab.check(True, "measured")
lab.finish()
