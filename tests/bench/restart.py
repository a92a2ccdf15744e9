# SPDX-License-Identifier: GPL-2.0-or-later
"""Restart of an anchor with many bindings until everything is reconciled: with the kernel's state in place (the daemon died) and without (the machine booted),
against the time ip -batch needs for the same routes. Argument: bindings."""
import os, re, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from anchorload import Anchor, out
from lab import Lab, now

n = int(sys.argv[1])
lab = Lab()
anchor = Anchor(lab)
ar = anchor.ar
anchor.start("/tmp/lab/state")
anchor.mnload(n // 10, "--prefixes", "10", "--moves", "0", "--window", "512")  # ten of each node: the load itself would not fit otherwise
lab.check(anchor.status()["bindings"] == n, "%d bindings" % n)
count = lambda: (ar.ip("-6 route show proto 108").count("nhid"), ar.ip("nexthop show proto 108").count("encap"))
lab.check(count() == (n, n // 10), "in the kernel")

anchor.stop(9)
adopted = anchor.start("/tmp/lab/state")
s = anchor.status()
lab.check(s["bindings"] == n and s["counters"]["kernel-requests"] == 0 and count() == (n, n // 10), "killed and started: all there, the kernel unchanged")

print("# adopted in %.2f s" % adopted)

# ip -batch makes the same: nexthops, then routes
anchor.stop(9)
nexthops, routes = ar.ip("nexthop show proto 108"), ar.ip("-6 route show proto 108")
batch = ["nexthop add id %s encap ip6 hoplimit 64 dst %s src %s dev amad0 proto 108" % (i, dst, src) for i, src, dst in re.findall(r"id (\d+)\s+encap ip6 .*?src (\S+) dst (\S+)", nexthops)]
batch += ["-6 route add %s nhid %s proto 108 metric 1024" % m for m in re.findall(r"^(\S+) nhid (\d+)", routes, re.M)]
lab.check(len(batch) == n + n // 10, "%d lines for ip -batch" % len(batch))


def empty():
    ar.ip("nexthop flush proto 108", check=False)
    ar.ip("-6 route flush proto 108", check=False)


empty()
by_ip = 0
for at in range(0, len(batch), 10000): # one process for all is killed for want of memory
    with open("/tmp/lab/batch", "w") as f:
        f.write("\n".join(l.replace("-6 route", "route") for l in batch[at:at + 10000]) + "\n")
    t = now()
    ar.run(["ip", "-6", "-batch", "/tmp/lab/batch"], timeout=600)
    by_ip += now() - t
lab.check(count() == (n, n // 10), "made by ip -batch in %.1f s" % by_ip)
empty()
booted = anchor.start("/tmp/lab/state", 120)
t = now()
lab.wait(lambda: count() == (n, n // 10), "the routes", 60)
booted += now() - t
lab.check(anchor.status()["bindings"] == n, "started with an empty kernel: all there")
out("restart with %d bindings to reconciled, kernel state in place" % n, adopted, "s", by_ip, adopted / by_ip, "< 5 s; limit: ip -batch for the same routes")
out("restart with %d bindings to reconciled, kernel empty" % n, booted, "s", by_ip, booted / by_ip, "< 5 s; limit: ip -batch for the same routes")
lab.finish()
