# SPDX-License-Identifier: GPL-2.0-or-later
"""fig8, through the AMA (pLU): the node tells only the AMA that it is attached to, which tells the anchor. The tunnel runs between the AMAs, the radio
link carries no tunnel header, sessions survive; a move inside the serving AMA's network stays there; without it, updates go straight."""
from lab import Lab

lab = Lab()
net = lab.roaming(networks=3, mnd_config="updates = prefer-proxy")
core1 = net.core.capture("ar1")
radio = {i: net.ar[i].capture("lan0") for i in (2, 3)}
hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]
before = {i: net.ar[i].kernel_state() for i in net.ar}
stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 10000)
back = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9002, 10000)
tcp = net.session(hoa1)
lab.wait(lambda: len(stream.packets()) > 50 and len(back.packets()) > 50 and tcp.progress() > 0, "the streams")

net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
h = net.home(1)
lab.check(h["path"] == "proxied" and h["care_of"] == "2001:db8:a2::1", "bound through AMA2: %s at %s, %s" % (h["path"], h["care_of"], h["way"]))
b = net.bindings(1)
lab.check(len(b) == 1 and b[0]["type"] == "proxied" and b[0]["care_of"] == "2001:db8:a2::1", "the anchor's LM: prefix -> AMA2")
v = net.amactl(2, "visits")["visits"]
lab.check(len(v) == 1 and v[0]["hnp"] == prefix1 and v[0]["interface"] == "lan0", "AMA2's LM: prefix -> the node's link")
lab.check("encap" not in net.mn.ip("-6 route show table all proto 108"), "the node has no tunnel")
r2 = net.ar[2].ip("-6 route show table 7790 proto 108")
lab.check("from " + prefix1 in r2 and "encap ip6" in r2, "AMA2 sends by source: " + r2.strip())
lab.check(len(net.ar[2].ip("-6 rule show").split("lookup 7790")) == 2, "by one rule for the access interface")
p = net.amactl(2, "peers")["peers"]
lab.check(len(p) == 1 and p[0]["name"] == "ama1" and p[0]["state"] == "connected", "AMA2 knows its peer: %s, round trip %s ms" % (p[0]["name"], p[0]["rtt_ms"]))

# the serving AMA is killed and started again: it goes on serving
state = net.ar[2].kernel_state()
net.amad[2].kill(9)
got = len(back.packets())
net.start_amad(2)
lab.check(len(net.amactl(2, "visits")["visits"]) == 1 and net.amactl(2, "visits")["visits"][0]["hnp"] == prefix1, "AMA2 killed and started: it knows its visitor")
lab.wait(lambda: net.ar[2].kernel_state() == state, "the same kernel state")
lab.check(net.amactl(2, "status")["counters"]["kernel-requests"] == 0, "without one change")
lab.wait(lambda: len(back.packets()) > got + 50, "the stream to go on")

net.attach(3)
lab.wait(lambda: net.bindings(1)[0]["care_of"] == "2001:db8:a3::1", "the binding at AMA3")
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 50000, "the TCP session through AMA3")
lab.wait(lambda: net.amactl(2, "visits")["visits"] == [], "AMA2 to forget the node", 20)
packets = core1.packets()
core1 = net.core.capture("ar1")
net.radios[0].move(1)
lab.wait(lambda: net.home(1)["state"] == "native", "native again")
lab.check(net.bindings(1) == [], "back at home the binding is gone")
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 50000, "the TCP session at home")
t = tcp.end()
lab.check(t["ok"], "one TCP session through both AMAs and back, checksums right: %(up)d bytes up, %(down)d down %(errors)s" % t)
r, rb = stream.end(), back.end()
lab.check(r["received"] > 0.85 * r["sent"] and rb["received"] > 0.85 * rb["sent"], "the streams went on: up %d of %d, down %d of %d" % (r["received"], r["sent"], rb["received"], rb["sent"]))
print("# gaps: up %.0f ms, down %.0f ms" % (r["gap_ms"], rb["gap_ms"]))
lab.wait(lambda: net.amactl(3, "visits")["visits"] == [], "AMA3 to forget the node", 10)
lab.wait(lambda: all(net.leases(i) == [] for i in (2, 3)), "the release of the unused addresses", 40)
for i in (2, 3):
    lab.wait(lambda: net.ar[i].kernel_state() == before[i], "the kernel of AMA%d as before" % i)
lab.check(True, "nothing is left at AMA2 and AMA3")

def elsewhere(packets):
    """Tunnels that do not run between AMAs."""
    return [(p.src, p.dst) for p in packets if p.inner and not p.between("2001:db8:a1::1", "2001:db8:a2::1") and not p.between("2001:db8:a1::1", "2001:db8:a3::1")]


at_home = core1.packets()
tunnelled = [p for p in packets if p.inner]
lab.check(len(tunnelled) > 100 and elsewhere(packets) == [], "tunnels only between AMAs: %d packets, others: %s" % (len(tunnelled), set(elsewhere(packets)) or "none"))
# what was in the air during the move home follows the node: from the AMA that it left straight to its care-of address there
followed = elsewhere(at_home)
lab.check(all(src == "2001:db8:a3::1" and dst.startswith("2001:db8:a1:") and dst != "2001:db8:a1::1" for src, dst in followed),
          "on the way home %d packets followed the node from AMA3, others: none" % len(followed))
tunnelled += [p for p in at_home if p.inner]
lab.check(all(p.inner.between("2001:db8:101:", "2001:db8:c::2") for p in tunnelled), "with packets of the home address in them")
for i in (2, 3):
    air = radio[i].packets()
    lab.check(not [p for p in air if p.inner], "no tunnel header on the radio link of network %d" % i)
    native = [p for p in air if p.between("2001:db8:101:", "2001:db8:c::2")]
    lab.check(len(native) > 50, "the same packets native there: %d" % len(native))
lab.check(not [p for p in packets if p.is_signalling() and (p.between("2001:db8:a1::1", "2001:db8:a2:0:") or p.between("2001:db8:a1::1", "2001:db8:a3:0:"))],
          "the node and its anchor exchanged no datagram across the core")
lab.finish()
