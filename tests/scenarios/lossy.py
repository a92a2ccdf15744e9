# SPDX-License-Identifier: GPL-2.0-or-later
"""A third of all round trips between the node and its anchor is lost (18 % each way): location updates are sent again by RFC 6275's timers, the binding always comes, and a TCP session
survives. Then the anchor is gone for a while: the update gets through when it is back."""
import os
from lab import Lab

lab = Lab()
net = lab.roaming(networks=3)
net.web(32)
hoa1 = net.attach(1)
curl = net.download(hoa1, 32, rate="1M")
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
for host, dev in ((net.core, "ar1"), (net.ar[1], "up0")):
    lab.netem(host, dev, "loss random 18%")
retried = 0
for k in range(6):
    target = (3, 2)[k % 2]
    net.radios[0].move(target)
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a%d:" % target), "the binding, move %d" % (k + 1), 60)
    lab.check(True, "bound in network %d in spite of the loss" % target)
n = net.amactl(1, "status")["counters"]
print("# handshakes at the anchor: %d, updates accepted: %d, sequence refusals: %d" % (n["handshakes"], n["ba-status-0"], n.get("ba-status-135", 0)))
for host, dev in ((net.core, "ar1"), (net.ar[1], "up0")):
    lab.netem(host, dev, "loss random 100%")
net.radios[0].move(3)
lab.wait(lambda: net.home(1)["state"] == "binding", "the move")
tries = lambda: max(b["tries"] for b in net.mnctl("bindings")["bindings"])
lab.wait(lambda: tries() >= 3, "retransmissions", 30)
lab.check(True, "no answer: sent %d times so far" % tries())
for host, dev in ((net.core, "ar1"), (net.ar[1], "up0")):
    host.run("tc qdisc del dev %s root" % dev)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding after the outage", 60)
curl.popen.wait(100)
lab.check(curl.popen.returncode == 0 and net.checksum() == net.sums[32], "the download's checksum is right")
lab.finish()
