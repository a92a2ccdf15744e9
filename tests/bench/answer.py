# SPDX-License-Identifier: GPL-2.0-or-later
"""How fast amactl answers with 10,000 bindings. Argument: bindings."""
import os, statistics, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from anchorload import Anchor, out
from lab import Lab, now, sh

n = int(sys.argv[1])
lab = Lab()
plain = statistics.median(-(t := now()) + (sh("mnctl --version") and now()) for _ in range(10))

anchor = Anchor(lab)
anchor.start("/tmp/lab/state")
anchor.mnload(n // 10, "--prefixes", "10", "--moves", "0", "--window", "512")
lab.check(anchor.status()["bindings"] == n, "%d bindings" % n)
for command, target in ("status", "< 50 ms, one screen"), ("bindings", "-"), ("--json bindings", "-"), ("top", "-"):
    times = []
    for _ in range(10):
        t = now()
        text = sh("amactl --socket /tmp/lab/sock " + command)
        times.append(now() - t)
    s = statistics.median(times)
    out("amactl %s with %d bindings, %d lines" % (command, n, len(text.splitlines())), s * 1000, "ms", plain * 1000, s / plain, target)
lab.finish()
