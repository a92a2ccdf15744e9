# SPDX-License-Identifier: GPL-2.0-or-later
"""fig8, flat and client-based: the node sends its location update to the anchor itself. The life of a home address (ARCHITECTURE), step by
step, with the wire captured: native at home, no binding and no tunnel; a direct update away; native again on return."""
from lab import Lab

lab = Lab()
net = lab.roaming(networks=3)
core = {i: net.core.capture("ar%d" % i) for i in (1, 2)}

hoa1 = net.attach(1)
lab.check(hoa1.startswith("2001:db8:101:"), "AMA1 leased a home address: " + hoa1)
lab.check(len(net.leases(1)) == 1 and net.bindings(1) == [], "at home there is a lease and no binding")
lab.check("PING" in net.mn.run("ping -6 -c 1 -W 2 -I %s 2001:db8:c::2" % hoa1), "the home address works natively")
source = net.mn.run("ip -6 route get 2001:db8:c::2")
lab.check("src " + hoa1 in source, "a new session uses the home address of this network")

stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 10000)
back = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9002, 10000)
lab.wait(lambda: len(stream.packets()) > 50, "the stream")
tcp = net.session(hoa1)

hoa2 = net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
lab.wait(lambda: net.mnctl("history")["handovers"][-1]["first_packet_ms"], "the first packet through the tunnel")
first_ms = net.mnctl("history")["handovers"][-1]["first_packet_ms"]
b = net.bindings(1)
lab.check(len(b) == 1 and b[0]["hnp"] == net.home(1)["prefix"], "away: one binding at the anchor")
lab.check(b[0]["care_of"].startswith("2001:db8:a2:"), "its care-of address is of network 2: " + b[0]["care_of"])
lab.check(net.bindings(2) == [] and hoa2.startswith("2001:db8:102:"), "the new network leased %s, without a binding" % hoa2)
lab.check("src " + hoa2 in net.mn.run("ip -6 route get 2001:db8:c::2"), "a new session uses the new network's address")
lab.check("encap ip6" in net.mn.ip("-6 route show table all proto 108"), "the node tunnels the old home address")

anchor = net.ar[1].ip("-6 route show %s proto 108" % b[0]["hnp"])
lab.check("nhid" in anchor and "dst " + b[0]["care_of"] in net.ar[1].ip("nexthop show proto 108"), "the anchor's kernel leads the prefix into the tunnel: " + " ".join(anchor.split()))
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 50000, "the TCP session away from home")
net.radios[0].move(1)
lab.wait(lambda: net.home(1)["state"] == "native", "native again")
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 50000, "the TCP session at home")
t = tcp.end()
lab.check(t["ok"], "one TCP session away and back, checksums right: %(up)d bytes up, %(down)d down %(errors)s" % t)
lab.check(net.bindings(1) == [], "back at home the binding is gone")
lab.check("encap" not in net.ar[1].ip("-6 route show proto 108"), "and so is the tunnel route")
r, rb = stream.end(), back.end()
lab.check(0 < first_ms <= rb["gap_ms"] and net.mnctl("history")["handovers"][-2]["first_packet_ms"] == first_ms,
          "history: the first packet came %.1f ms after the address was usable; the stream waited for %.1f ms in all" % (first_ms, rb["gap_ms"]))
lab.check(r["received"] > 0.66 * r["sent"] and rb["received"] > 0.66 * rb["sent"], "the streams went on: up %d of %d, down %d of %d" % (r["received"], r["sent"], rb["received"], rb["sent"]))
print("# gaps: up %.0f ms, down %.0f ms" % (r["gap_ms"], rb["gap_ms"]))

lab.wait(lambda: "ama2" not in net.homes(), "the unused home address of network 2 to be released", 30)
lab.wait(lambda: net.leases(2) == [], "AMA2 to hear of it")
lab.check(True, "the unused home address was released")

seen = {i: core[i].packets() for i in core}
tunnelled = [p for p in seen[1] if p.inner]
lab.check(len(tunnelled) > 20, "IPv6-in-IPv6 was seen between the anchor and the node: %d packets" % len(tunnelled))
lab.check(all(p.between("2001:db8:a1::1", "2001:db8:a2:") for p in tunnelled), "only between the anchor's and the care-of address")
lab.check(all(p.inner.between("2001:db8:101:", "2001:db8:c::2") for p in tunnelled), "and only packets of the home address in it")
lab.check(len([p for p in seen[2] if p.inner]) > 20, "through network 2, where the node was")
signalling = [p for p in seen[1] if p.is_signalling()]
lab.check(2 <= len(signalling) <= 6, "signalling with the anchor across the core: %d datagrams" % len(signalling))
native = [p for p in seen[1] if not p.inner and p.between("2001:db8:101:", "2001:db8:c::2")]
lab.check(len(native) > 100, "before and after, the same packets without a tunnel: %d" % len(native))
lab.finish()
