# SPDX-License-Identifier: GPL-2.0-or-later
"""Optimistic DAD (RFC 4429): mnd turns it on, and a new care-of address is used for the location update and by the tunnel while the kernel still looks for
duplicates of it. That takes 10 s here, so that it is not a matter of speed."""
import os
from lab import Lab

lab = Lab()
if not os.path.exists("/proc/sys/net/ipv6/conf/all/optimistic_dad"):
    lab.skip("this kernel has no optimistic DAD: tests/lab/lab --kernel qemu")
net = lab.roaming(networks=2, start=False)
for where in ("all", "default", "wlan0"):
    net.mn.sysctl("net.ipv6.conf.%s.optimistic_dad" % where, 0)
    net.mn.sysctl("net.ipv6.conf.%s.use_optimistic" % where, 0)
net.mn.sysctl("net.ipv6.neigh.wlan0.retrans_time_ms", 10000)
net.start()


def care_of(i):
    """The line of ip(8) for the address that the node has in network i."""
    lines = [l for l in net.mn.ip("-6 -o addr show dev wlan0").splitlines() if "2001:db8:a%d:" % i in l]
    return lines[0] if lines else ""


hoa1 = net.attach(1)
on = [net.mn.run("sysctl -n net.ipv6.conf.wlan0." + key).strip() for key in ("optimistic_dad", "use_optimistic")]
lab.check(on == ["1", "1"], "mnd has turned optimistic DAD on")
lab.check("tentative" in care_of(1) or "optimistic" in care_of(1), "leased and native while DAD goes on: " + " ".join(care_of(1).split()[3:9]))
stream = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, 20000)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "600"])
lab.wait(lambda: len(stream.packets()) > 10, "the stream")
net.radios[0].move(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
at = len(stream.packets())
lab.wait(lambda: len(stream.packets()) > at + 10, "the stream through the tunnel")
lab.check("optimistic" in care_of(2), "bound, and packets arrive, from an address that is still optimistic")
lab.wait(lambda: care_of(2) and "optimistic" not in care_of(2) and "tentative" not in care_of(2), "the end of DAD", 40)
lab.check(net.home(1)["state"] == "bound" and len(net.bindings(1)) == 1, "which changes nothing")
lab.finish()
