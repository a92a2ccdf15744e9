# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP download that begins in network 1 survives 20 handovers in a row, at a speed of the same order as with none; one of the networks
has no AMA at all. Afterwards everything of the old home addresses is released."""
from lab import Lab, now

lab = Lab()
net = lab.roaming(networks=4, without_ama=[4])
net.web(1, 48)
hoa1 = net.attach(1)

# the path's own speed is limited, so that the download lasts and the comparison is fair
for i in range(1, 5):
    net.core.run("tc qdisc replace dev ar%d root tbf rate 40mbit burst 64kb latency 50ms" % i)
t = now()
still = net.download(hoa1, 48, name="still")
still.popen.wait(120)
alone = now() - t
lab.check(net.checksum("still") == net.sums[48], "a download without moving: %.1f s" % alone)

t = now()
curl = net.download(hoa1, 48)
slow = []
for k in range(20):
    target = (2, 3, 4, 1)[k % 4]
    down, up = net.radios[0].move(target)
    want = "native" if target == 1 else "bound"
    lab.wait(lambda: net.home(1)["state"] == want and (want == "native" or net.bindings(1)[0]["care_of"].startswith("2001:db8:a%d:" % target)),
             "home address 1 %s in network %d" % (want, target))
    slow.append((now() - up) * 1000)
    lab.check(curl.alive() or k > 12, "handover %d to network %d, settled after %.0f ms" % (k + 1, target, slow[-1]))
curl.popen.wait(120)
moving = now() - t
lab.check(curl.popen.returncode == 0 and net.checksum() == net.sums[48], "the download's checksum is right after 20 handovers")
lab.check(moving < 4 * alone + 10, "it took %.1f s against %.1f s without moving" % (moving, alone))
net.radios[0].move(1)
lab.wait(lambda: set(net.homes()) == {"ama1"}, "unused home addresses to be released", 60)
lab.check(net.leases(2) == [] and net.leases(3) == [], "the other anchors have no lease left")
lab.check("encap" not in net.mn.ip("-6 route show table all"), "and the node no tunnel")
lab.finish()
