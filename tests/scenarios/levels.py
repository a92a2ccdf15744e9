# SPDX-License-Identifier: GPL-2.0-or-later
"""Several levels (framework, figure 4; RFC 5380): AMA3 and AMA4 pass updates on through AMA2, which stands in the middle. The anchor's LM maps the prefix to
AMA2, AMA2's to AMA3 or AMA4, theirs to the link. Between AMA3 and AMA4 the anchor hears nothing, and every packet of the session arrives."""
from lab import Lab

REGIONAL = "2001:db8:a2::1"
lab = Lab()
net = lab.roaming(networks=5, radios=2, start=False, mnd_config="updates = prefer-proxy\ngrace = 60s")
for i in net.ar:
    net.start_radvd(i)
    net.amad_config = "through = " + REGIONAL if i in (3, 4) else ""
    net.start_amad(i)
net.amad_config = ""
net.start_mnd()
hoa1 = net.attach(1)
net.attach(3)  # a first contact has 250 ms for who the AMAs on the way are; this is not about that
lab.wait(lambda: net.home(1)["state"] != "native", "the way to network 3")
net.attach(1)
prefix1 = net.home(1)["prefix"]
before = {i: net.ar[i].kernel_state() for i in net.ar}
up = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 10000)
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9002, 10000)
lab.wait(lambda: len(down.packets()) > 50, "the streams")
new, old = 1, 0


def visit(i):
    return next((v for v in net.amactl(i, "visits")["visits"] if v["hnp"] == prefix1), None)


def go(network, state="bound"):
    """Make before break. Returns once packets come over the new link."""
    global new, old
    ama = "2001:db8:a%d::1" % network
    net.radios[new].plug(network)
    lab.wait(lambda: net.home(1)["state"] == state and (state == "native" or net.home(1)["care_of"] == ama), "%s at network %d" % (state, network))
    net.radios[old].unplug()
    seen = len(down.packets())
    lab.wait(lambda: len(down.packets()) > seen + 50, "packets at network %d" % network)
    new, old = old, new


go(3)
h = net.home(1)
lab.check(h["path"] == "proxied" and REGIONAL in h["way"], "bound behind the regional AMA: " + h["way"])
lab.check([b["care_of"] for b in net.bindings(1)] == [REGIONAL], "the anchor's LM: prefix -> AMA2")
lab.check(visit(2)["through"] == "2001:db8:a3::1" and visit(2)["anchor"] == "2001:db8:a1::1", "AMA2's LM: prefix -> AMA3")
lab.check(visit(3)["interface"] == "lan0" and visit(3)["anchor"] == REGIONAL, "AMA3's LM: prefix -> the node's link")
lab.check("encap" not in net.mn.ip("-6 route show table all proto 108"), "the node has no tunnel")

state, requests = net.ar[1].kernel_state(), net.amactl(1, "status")["counters"]["kernel-requests"]
core = net.core.capture("ar1")
for network in (4, 3, 4):
    go(network)
    lab.check(visit(2)["through"] == "2001:db8:a%d::1" % network and visit(network)["interface"] == "lan0", "moved to AMA%d: AMA2's LM says so" % network)
lab.check(net.ar[1].kernel_state() == state and net.amactl(1, "status")["counters"]["kernel-requests"] == requests, "three moves: the anchor changed no route")
packets = core.packets()
told = [p for p in packets if p.is_signalling()]
lab.check(not told, "and heard no message" + "".join("; %s > %s %d" % (p.src, p.dst, p.size) for p in told))
tunnelled = [p for p in packets if p.inner]
lab.check(len(tunnelled) > 100 and all(p.between("2001:db8:a1::1", REGIONAL) for p in tunnelled), "its tunnel goes to AMA2: %d packets" % len(tunnelled))
lab.wait(lambda: visit(3) is None, "AMA3 to forget the node", 10)

# the AMA in the middle is killed and started again
kernel = net.ar[2].kernel_state()
net.amad[2].kill(9)
seen = len(down.packets())
net.start_amad(2)
lab.wait(lambda: visit(2) and visit(2)["through"] == "2001:db8:a4::1", "AMA2 to know where the node is")
lab.wait(lambda: net.ar[2].kernel_state() == kernel, "the same kernel state")
lab.wait(lambda: len(down.packets()) > seen + 100, "the stream to go on")
go(3)
lab.check(visit(2)["through"] == "2001:db8:a3::1", "AMA2 killed and started again: it knows its visitor, and lets it move")
lab.check(net.amactl(1, "status")["counters"]["kernel-requests"] == requests, "still the anchor changed nothing")

# out of the region, and home
go(5)
lab.check([b["care_of"] for b in net.bindings(1)] == ["2001:db8:a5::1"], "outside the region the anchor is told again")
lab.wait(lambda: visit(2) is None and visit(3) is None, "AMA2 and AMA3 to forget the node", 15)
go(4)
lab.check(visit(2)["through"] == "2001:db8:a4::1", "and inside again, behind AMA4")
go(1, "native")
r, rb = up.end(), down.end()
lab.check(r["lost"] == 0 and rb["lost"] == 0, "nothing was lost in eight moves: up %d of %d, down %d of %d" % (r["lost"], r["sent"], rb["lost"], rb["sent"]))
print("# gaps: up %.0f ms, down %.0f ms" % (r["gap_ms"], rb["gap_ms"]))
lab.wait(lambda: all(net.amactl(i, "visits")["visits"] == [] for i in (2, 3, 4, 5)), "the visits to end", 15)
for i in (2, 3, 4, 5):
    lab.wait(lambda: "7790" not in net.ar[i].ip("-6 rule show").replace("iif lan0 lookup 7790", ""), "the rule of AMA%d for the tunnel to go" % i)
    lab.check(net.ar[i].ip("-6 route show table 7790") == "" and net.ar[i].ip("-6 route show " + prefix1 + " proto 108") == "", "nothing of it is left at AMA%d" % i)
drops = {i: net.amactl(i, "status")["counters"] for i in net.ar}
lab.check(all(d["decap-unbound"] == 0 and d["decap-wrong-source"] == 0 for d in drops.values()), "no AMA dropped a packet at the end of a tunnel")

# the node's daemon is started again: it has forgotten what it said last to AMA2, which takes only what is newer
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9003, 10000)
up = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9004, 10000)
lab.wait(lambda: len(up.packets()) > 10, "a session")
go(3)
net.mnd.kill(9)
net.start_mnd()
lab.wait(lambda: net.home(1)["state"] == "bound", "mnd")
go(4)
lab.check(visit(2)["through"] == "2001:db8:a4::1", "mnd killed and started again: AMA2 takes its word")
lab.finish()
