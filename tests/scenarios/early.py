# SPDX-License-Identifier: GPL-2.0-or-later
"""An anchor turns its route before the serving AMA has read its yes. What comes in between is delivered, however long that takes, and nothing of it stays."""
import signal
from lab import Lab

lab = Lab()
net = lab.roaming(networks=2, radios=2, mnd_config="updates = prefer-proxy")
hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]
up = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9002, 20000, 20)  # a session of the node
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, 5000, 18)
lab.wait(lambda: len(down.packets()) > 100, "the stream")
net.radios[1].plug(2)  # once, so that the AMAs have a session
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
net.radios[1].unplug()
lab.wait(lambda: net.home(1)["state"] == "native", "native again")
lab.wait(lambda: net.amactl(2, "visits")["visits"] == [], "AMA2 to forget the node", 20)
dropped = net.amactl(2, "status")["counters"]

net.delay(2, 400)
net.radios[1].plug(2)
lab.wait(lambda: net.bindings(1) and net.bindings(1)[0]["care_of"] == "2001:db8:a2::1", "the anchor to turn its route", 20)
net.amad[2].popen.send_signal(signal.SIGSTOP)  # the anchor's yes is on its way, for 200 ms
route = net.ar[2].ip("-6 route show table 7791 proto 108")
lab.check(route.startswith(prefix1 + " via fe80:"), "AMA2 has not read the yes: a route for what the anchor sends, " + route.strip())
radio = net.ar[2].capture("lan0")
seen = len(down.packets())
lab.wait(lambda: len(down.packets()) > seen + 200, "packets on the new path, for a second", 20)
lab.check(len([p for p in radio.packets() if p.between("2001:db8:c::2", "2001:db8:101:")]) > 100, "they come over network 2")
lab.check(net.ar[2].ip("-6 route show " + prefix1 + " proto 108") == "", "there is no route to the prefix for anything else")
net.amad[2].popen.send_signal(signal.SIGCONT)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == "proxied", "the answer", 20)
lab.check(net.ar[2].ip("-6 route show table 7791 proto 108") == "" and "via fe80:" in net.ar[2].ip("-6 route show " + prefix1 + " proto 108"), "after the yes it is a visit like any other")
r = down.result()
lab.check(r["lost"] == 0, "%s of %s lost, longest gap %.0f ms" % (r["lost"], r["sent"], r["gap_ms"]))
c = net.amactl(2, "status")["counters"]
lab.check(all(c[k] == dropped[k] for k in c if k.startswith("decap-") and k != "decap-passed"), "AMA2 dropped none at the end of the tunnel")
lab.finish()
