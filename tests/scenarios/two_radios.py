# SPDX-License-Identifier: GPL-2.0-or-later
"""Two interfaces: make before break. Nothing of a stream is lost in either direction while the node goes from one to the other."""
from lab import Lab

lab = Lab()
net = lab.roaming(networks=2, radios=2, delay_ms=10)
hoa1 = net.attach(1)
up = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 5000, 8)
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9002, 5000, 8)
lab.wait(lambda: len(down.packets()) > 100, "the stream")
for k in range(4):
    new, old, network = ((1, 0, 2), (0, 1, 1))[k % 2]
    net.radios[new].plug(network)
    want = "bound" if network == 2 else "native"
    lab.wait(lambda: net.home(1)["state"] == want, "home address 1 " + want)
    seen = len(down.packets())
    lab.wait(lambda: len(down.packets()) > seen + 20, "packets on the new path")
    net.radios[old].unplug()
    lab.wait(lambda: [a for a in net.mnctl("status")["attachments"] if a["interface"] == "wlan%d" % old and not a["usable"]], "the loss of the old link")
r, rb = up.result(), down.result()
lab.check(r["lost"] == 0, "up: %(lost)d of %(sent)d lost, longest gap %(gap_ms).0f ms, %(reordered)d reordered" % r)
lab.check(rb["lost"] == 0, "down: %(lost)d of %(sent)d lost, longest gap %(gap_ms).0f ms, %(reordered)d reordered" % rb)
lab.check(net.home(1)["state"] == "native", "and it is at home again")
lab.finish()
