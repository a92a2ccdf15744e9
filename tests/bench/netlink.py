# SPDX-License-Identifier: GPL-2.0-or-later
"""Changes a second that nl.c gets through, against a plain batched netlink sender making the same changes in the same kernel: moving bindings of one
prefix (a nexthop replaced) and of four prefixes a node (new nexthop, routes replaced, old nexthop deleted). They run in turns; the best of each counts."""
import json
from lab import Lab

lab = Lab()
host = lab.host("ar")
host.sysctl("net.ipv6.route.max_size", 4000000)
host.ip("link add amad0 type ip6tnl external")
host.ip("link set amad0 up")
for prefixes in (1, 4):
    best = {"plain-netlink": 0, "nl-rate": 0}
    for turn in range(4):
        for program in best:
            out = host.run("%s amad0 2000 160000 512 %d" % (program, prefixes), timeout=300)
            print("# %s: %s" % (program, out.strip()))
            best[program] = max(best[program], json.loads(out.splitlines()[-1])["per_s"])
    print("BENCH " + json.dumps({"name": "kernel changes by nl, batches of 512, %d prefixes a node" % prefixes, "value": best["nl-rate"], "unit": "1/s", "limit": best["plain-netlink"],
                                 "ratio": round(best["nl-rate"] / best["plain-netlink"], 3), "target": ">= 0.95 of plain batched netlink"}))
lab.check(True, "measured")
lab.finish()
