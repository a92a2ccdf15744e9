# SPDX-License-Identifier: GPL-2.0-or-later
"""fig4, hierarchical: the anchor's LM maps the prefix to the AMA that the node visits, that AMA's LM maps it to the node's link. The node moves between links
of the same AMA: the anchor hears nothing and changes nothing, no packet of the core changes its way, and the session goes on."""
from lab import Lab

lab = Lab()
net = lab.roaming(networks=2, start=False, mnd_config="updates = prefer-proxy", amad_config="access = lan1")
net.second_link(2, 9)
net.start()
hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]
stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 10000)
back = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9002, 10000)
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == "proxied", "the binding through AMA2")
visit = lambda: net.amactl(2, "visits")["visits"][0]
lab.check(visit()["interface"] == "lan0", "AMA2: the prefix is on lan0")
hoa2, since = net.home(2)["address"], net.bindings(1)[0]["since_s"]

core = net.core.capture("ar1")
requests = net.amactl(1, "status")["counters"]["kernel-requests"]
state = net.ar[1].kernel_state()
for turn in range(3):
    for network, interface in ((9, "lan1"), (2, "lan0")):
        got = len(back.packets())
        net.radios[0].move(network)
        lab.wait(lambda: visit()["interface"] == interface, "the visit to follow to " + interface)
        lab.wait(lambda: len(back.packets()) > got + 20, "the stream there")
lab.check(True, "six moves between two links of AMA2: the visit followed each")
lab.check(net.home(2)["address"] == hoa2 and net.home(2)["state"] == "native", "the prefix of AMA2 is native on both links")
lab.check(net.ar[1].kernel_state() == state and net.amactl(1, "status")["counters"]["kernel-requests"] == requests, "the anchor changed no route: 0 requests")
packets = core.packets()
lab.check(not [p for p in packets if p.is_signalling()], "and heard no message")
lab.check(all(p.between("2001:db8:a1::1", "2001:db8:a2::1") for p in packets if p.inner), "every tunnelled packet went between the two AMAs")
lab.check(len(net.bindings(1)) == 1 and net.bindings(1)[0]["care_of"] == "2001:db8:a2::1", "one binding, at AMA2")
r, rb = stream.end(), back.end()
lab.check(r["received"] > 0.9 * r["sent"] and rb["received"] > 0.9 * rb["sent"], "the streams went on: up %d of %d, down %d of %d" % (r["received"], r["sent"], rb["received"], rb["sent"]))
print("# gaps: up %.0f ms, down %.0f ms" % (r["gap_ms"], rb["gap_ms"]))
lab.finish()
