# SPDX-License-Identifier: GPL-2.0-or-later
"""What the store costs: acknowledged binding updates with it against the same anchor without one, and what it adds to the answer of a node that is alone.
Arguments: nodes, moves. Both run in turns, the median of each counts."""
import os, statistics, sys
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from anchorload import Anchor, out
from lab import Lab

nodes, moves = sys.argv[1], sys.argv[2]
lab = Lab()
anchor = Anchor(lab)
rate, net, p99 = {}, {}, {}
for turn in range(5):
    for state in ("none", "/tmp/lab/state%d" % turn):
        kind = "without" if state == "none" else "with"
        anchor.start(state)
        anchor.mnload(nodes, "--moves", "0", "--window", "256")
        cpu, before = anchor.cpu(), anchor.status()["counters"]["ba-status-0"]
        r = anchor.mnload(nodes, "--moves", moves, "--window", "256")["move"]
        rate.setdefault(kind, []).append((anchor.status()["counters"]["ba-status-0"] - before) / (anchor.cpu() - cpu))
        net.setdefault(kind, []).append(r["per_s"])
        # few nodes, one at a time, at a pace that leaves the anchor idle between: the latency of one answer
        p99.setdefault(kind, []).append(anchor.mnload("50", "--moves", "1000", "--window", "1", "--rate", "300")["move"]["p99_us"])
        anchor.stop()
print("# a CPU second %s, wall %s, p99 us %s" % (rate, net, p99))
m = {k: statistics.median(v) for k, v in rate.items()}
out("acknowledged updates a CPU second of amad, with the store", m["with"], "1/s", m["without"], m["with"] / m["without"], ">= 0.5 of the same without a store")
m = {k: statistics.median(v) for k, v in net.items()}
out("acknowledged updates a second of wall time, with the store", m["with"], "1/s", m["without"], m["with"] / m["without"], ">= 0.5 of the same without a store")
m = {k: statistics.median(v) / 1000 for k, v in p99.items()}
out("answer of an update, 99 %, with the store", m["with"], "ms", m["without"], m["with"] / m["without"], "the store adds %.2f ms" % (m["with"] - m["without"]))
lab.check(True, "measured")
lab.finish()
