# SPDX-License-Identifier: GPL-2.0-or-later
"""Binding updates at one anchor, through the secure channel with kernel routes changed, against a plain batched netlink sender that makes the same
route changes in the same kernel; memory a binding. Arguments: nodes, moves, prefixes of each node (1).

New bindings: a nexthop and a route each. Moves: with one prefix a node one replaced nexthop and one datagram; with several the updates share a datagram, and
each has its route replaced. The load generator shares the processor with the anchor, so what is compared is CPU time: amad's own, all of
it from the first datagram to the store being on disk again, and the plain sender's own. It is measured before amad runs and after, as nobody then listens to it."""
import json, re, statistics, subprocess, sys, time
from anchorload import Anchor, out
from lab import Lab, inside

nodes, moves = int(sys.argv[1]), int(sys.argv[2])
prefixes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
lab = Lab()
anchor = Anchor(lab)
ar = anchor.ar
ar.ip("link add amad0 type ip6tnl external encaplimit none")
ar.ip("link set amad0 mtu 1460 up")
limits = {"new": [], "moves": []}


def limit():
    for j in map(json.loads, ar.run("plain-netlink amad0 %d %d 512 %d" % (nodes, 400000, prefixes), timeout=600).splitlines()):
        print("# plain: %(phase)s: %(per_s)d a second, %(per_cpu_s)d a CPU second" % j)
        limits[j["phase"]].append(j["per_cpu_s"])


def cpu_s():
    return int(open("/proc/%d/schedstat" % anchor.p.popen.pid).read().split()[0]) / 1e9


def memory():
    return int(re.search(r"RssAnon:\s+(\d+)", open("/proc/%d/status" % anchor.p.popen.pid).read()).group(1)) * 1024


def answered():
    return anchor.status()["counters"]["ba-status-0"]


def phase():
    """The load's next phase, with amad's CPU seconds in it and how many updates it accepted."""
    n, cpu = answered(), cpu_s()
    if phases:
        generator.stdin.write("\n")
        generator.stdin.flush()
    j = json.loads(generator.stdout.readline())
    while True:  # what comes later, as the store's way to the disk, counts
        before = cpu_s()
        time.sleep(0.2)
        if cpu_s() - before < 0.001:
            break
    j["cpu_s"], j["n"] = cpu_s() - cpu, answered() - n
    print("# %s: %d in %.2f s, %.2f s of amad, %.2f s of the load; answers after %d us median, %d us 99 %%" % (
        j["phase"], j["n"], j["seconds"], j["cpu_s"], j["own_cpu_s"], j["p50_us"], j["p99_us"]))
    phases[j["phase"]] = j


phases = {}
limit()
limit()
anchor.start("/tmp/lab/state")
memory_before = memory()
with inside("load"):
    generator = subprocess.Popen(anchor.mnload_command(nodes, "--step", "--prefixes", str(prefixes), "--window", "512", "--moves", str(moves // prefixes)),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
phase()
phase()
used = memory() - memory_before
n = anchor.status()["bindings"]
lab.check(n == nodes * prefixes, "%d bindings" % n)
phase()
end = json.loads(generator.stdout.readline())
generator.wait()
lab.check(phases["move"]["n"] == moves // prefixes * prefixes and not end["refused"], "all moves were accepted: %s" % end)
anchor.stop()
ar.ip("nexthop flush", check=False)
limit()
limit()
for name, ours, plain in (("new bindings", "bind", "new"), ("moves", "move", "moves")):
    rate, most = phases[ours]["n"] / phases[ours]["cpu_s"], statistics.median(limits[plain])
    out("%s at an anchor, %d nodes of %d prefixes" % (name, nodes, prefixes), rate, "1/CPU s", most, rate / most, ">= 0.7 of plain batched netlink")
out("memory a binding: lease, binding, channel, route (user space), %d nodes of %d prefixes" % (nodes, prefixes), used / (nodes * prefixes), "bytes", 1024, used / (nodes * prefixes) / 1024, "<= 1 (1 KB at 100,000 bindings)")
lab.finish()
