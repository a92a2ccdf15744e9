# SPDX-License-Identifier: GPL-2.0-or-later
"""Binding updates at one anchor, straight from the nodes, through the secure channel with kernel routes changed, against a plain batched netlink sender that makes
the same route changes in the same kernel; memory a binding. Arguments: nodes, moves, prefixes of each node (1).

A node goes away (a nexthop, and its routes go there instead of to the link), moves, comes home (native again, the nexthop goes). With one prefix a move is one
replaced nexthop; with several the updates share a datagram, and each has its route replaced. The load generator shares the machine with the anchor, so what is
compared is CPU time: amad's own, all of it from the first datagram to the store being on disk again, and the plain sender's own. That is measured
before amad runs and after, as nobody then listens to it."""
import json, re, subprocess, sys
from anchorload import Anchor, Limits, out, settled_cpu_s, tunnel_device
from lab import Lab, inside

nodes, moves = int(sys.argv[1]), int(sys.argv[2])
prefixes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
lab = Lab()
anchor = Anchor(lab)
ar = anchor.ar
anchor.program = tunnel_device(ar)
limits = Limits(ar, nodes, 200000, 512, prefixes, "lan0", anchor.ll)


def memory():
    return int(re.search(r"RssAnon:\s+(\d+)", open("/proc/%d/status" % anchor.p.popen.pid).read()).group(1)) * 1024


def answered():
    return anchor.status()["counters"]["ba-status-0"]


def phase(begin=True):
    """The load's next phase; amad's CPU seconds in it and how many updates it accepted are added up by name."""
    n, cpu = answered(), settled_cpu_s(anchor.p)
    if begin:
        generator.stdin.write("\n")
        generator.stdin.flush()
    j = json.loads(generator.stdout.readline())
    cpu, n = settled_cpu_s(anchor.p) - cpu, answered() - n
    print("# %s: %d in %.2f s, %.2f s of amad, %.2f s of the load; answers after %d us median, %d us 99 %%" % (
        j["phase"], n, j["seconds"], cpu, j["own_cpu_s"], j["p50_us"], j["p99_us"]))
    was = done.get(j["phase"], (0, 0))
    done[j["phase"]] = (was[0] + n, was[1] + cpu)


done = {}
limits.measure()
limits.measure()
if prefixes == 1:
    limits.measure_answered(anchor.load, "2001:db8:a1::1", nodes, 200000)
anchor.start("/tmp/lab/state")
memory_before = memory()
with inside("load"):
    generator = subprocess.Popen(anchor.mnload_command(nodes, "--step", "--home", "--prefixes", str(prefixes), "--window", "512", "--moves", str(moves // prefixes)),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
phase(begin=False)
phase()
used = memory() - memory_before
n = anchor.status()["bindings"]
lab.check(n == nodes * prefixes, "%d bindings" % n)
phase()
phase()
lab.check(anchor.status()["bindings"] == 0, "all came home")
phase()
end = json.loads(generator.stdout.readline())
generator.wait()
lab.check(done["move"][0] >= moves // prefixes * prefixes and not end["refused"], "all moves were accepted: %s" % end)
anchor.stop()
ar.ip("nexthop flush", check=False)
limits.measure()
limits.measure()
if prefixes == 1:
    limits.measure_answered(anchor.load, "2001:db8:a1::1", nodes, 200000)
of = "%d nodes of %d prefix%s, %d update%s a datagram" % (nodes, prefixes, "es"[:2 * (prefixes > 1)], prefixes, "s"[:prefixes > 1])
for name, what in (("going away", "bind"), ("moves", "move"), ("coming home", "home")):
    rate = done[what][0] / done[what][1]
    out("%s, %s" % (name, of), rate, "1/CPU s", limits.of(what), rate / limits.of(what), ">= 0.7 of plain batched netlink")
if prefixes == 1:
    rate, most = done["move"][0] / done["move"][1], limits.of("answered")
    out("a plain sender of moves that answers a datagram for each, and does nothing else", most, "1/CPU s", limits.of("move"), most / limits.of("move"), "what is left for any anchor")
    out("moves, against that", rate, "1/CPU s", most, rate / most, "1")
out("memory a binding: lease, binding, channel, route (user space), %d nodes of %d prefixes" % (nodes, prefixes), used / (nodes * prefixes), "bytes", 1024, used / (nodes * prefixes) / 1024, "<= 1 (1 KB at 100,000 bindings)")
lab.finish()
