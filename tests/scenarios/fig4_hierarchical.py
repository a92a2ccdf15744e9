# SPDX-License-Identifier: GPL-2.0-or-later
"""fig4, hierarchical: the anchor's LM maps the prefix to the AMA that the node visits, that AMA's LM maps it to the node's link. The node moves between links
of the same AMA: the anchor hears nothing and changes nothing, no packet of the core changes its way, and the session goes on."""
from lab import Lab, sh

lab = Lab()
net = lab.roaming(networks=2, start=False, mnd_config="updates = prefer-proxy", amad_config="access = lan1")
net.second_link(2, 9)
net.start()
hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]
stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 10000)
back = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9002, 10000)
tcp = net.session(hoa1)
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == "proxied", "the binding through AMA2")
visit = lambda: net.amactl(2, "visits")["visits"][0]
lab.check(visit()["interface"] == "lan0", "AMA2: the prefix is on lan0")
hoa2, since = net.home(2)["address"], net.bindings(1)[0]["since_s"]

core, radio = net.core.capture("ar1"), [net.ar[2].capture(dev) for dev in ("lan0", "lan1")]
upstream = net.ar[2].ip("-6 route show table 7790 proto 108")
lab.check("from " + prefix1 in upstream and "dst 2001:db8:a1::1" in upstream, "AMA2 sends by source to the anchor: " + upstream.strip())
requests = net.amactl(1, "status")["counters"]["kernel-requests"]
state = net.ar[1].kernel_state()
for turn in range(3):
    for network, interface in ((9, "lan1"), (2, "lan0")):
        got, bytes_got = len(back.packets()), tcp.progress()
        net.radios[0].move(network)
        lab.wait(lambda: visit()["interface"] == interface, "the visit to follow to " + interface)
        lab.wait(lambda: len(back.packets()) > got + 20 and tcp.progress() > bytes_got + 20000, "the stream and the TCP session there")
        care_of = [a["care_of"] for a in net.mnctl("status")["attachments"] if a["selected"]]
        if not care_of[0].startswith("2001:db8:a%d:" % network):
            lab.fail("the care-of address is of the link that the node is on: %s" % care_of)
        route = net.ar[2].ip("-6 route show " + prefix1 + " proto 108")
        if "dev " + interface not in route or net.ar[2].ip("-6 route show table 7790 proto 108") != upstream:
            lab.fail("AMA2's kernel leads down to %s and up to the anchor: %s" % (interface, route))
lab.check(True, "six moves between two links of AMA2: the visit followed each, its way up stayed")
lab.check(net.home(2)["address"] == hoa2 and net.home(2)["state"] == "native", "the prefix of AMA2 is native on both links")
lab.check(net.ar[1].kernel_state() == state and net.amactl(1, "status")["counters"]["kernel-requests"] == requests, "the anchor changed no route: 0 requests")
packets = core.packets()
lab.check(not [p for p in packets if p.is_signalling()], "and heard no message")
lab.check(all(p.between("2001:db8:a1::1", "2001:db8:a2::1") for p in packets if p.inner), "every tunnelled packet went between the two AMAs")
air = [p for c in radio for p in c.packets()]
lab.check(len([p for p in air if p.between("2001:db8:101:", "2001:db8:c::2")]) > 200 and not [p for p in air if p.inner], "on both radio links the packets are native")
lab.check(len(net.bindings(1)) == 1 and net.bindings(1)[0]["care_of"] == "2001:db8:a2::1", "one binding, at AMA2")
# an AMA that has no prefix for the node serves it all the same
sh(["amactl", "--socket", "/tmp/lab/ama2/sock", "drain", "--yes"])
sh(["amactl", "--socket", "/tmp/lab/ama2/sock", "revoke", "--yes", net.home(2)["prefix"]])
lab.wait(lambda: net.leases(2) == [] and [h for h in net.homes().values() if h["state"] == "allocating"], "the node to have nothing of AMA2, and ask for it")
for network, interface in ((9, "lan1"), (2, "lan0")):
    got, bytes_got = len(back.packets()), tcp.progress()
    net.radios[0].move(network)
    lab.wait(lambda: visit()["interface"] == interface, "the visit to follow to " + interface)
    lab.wait(lambda: len(back.packets()) > got + 20 and tcp.progress() > bytes_got + 20000, "the stream and the TCP session there")
lab.check(net.leases(2) == [], "two moves between its links while it is drained and refuses a prefix: the visit followed, too")
t = tcp.end()
lab.check(t["ok"], "one TCP session through all of it, checksums right: %(up)d bytes up, %(down)d down %(errors)s" % t)
r, rb = stream.end(), back.end()
lab.check(r["received"] > 0.9 * r["sent"] and rb["received"] > 0.9 * rb["sent"], "the streams went on: up %d of %d, down %d of %d" % (r["received"], r["sent"], rb["received"], rb["sent"]))
print("# gaps: up %.0f ms, down %.0f ms" % (r["gap_ms"], rb["gap_ms"]))
lab.finish()
