# SPDX-License-Identifier: GPL-2.0-or-later
"""Binding updates at an anchor, of nodes that move to and fro between two AMAs and send them through these, against a plain batched netlink sender that makes the same
changes (a route replaced by one to another nexthop) in the same kernel, by CPU time as in anchor.py. All nodes share the two AMAs, so updates and answers
share datagrams as they do on a real network with many nodes on the move. Arguments: nodes, turns."""
import json, os, subprocess, sys
from anchorload import Limits, out, settled_cpu_s, tunnel_device
from lab import Lab, inside, sh

nodes, turns = int(sys.argv[1]), int(sys.argv[2])
lab = Lab()
core, load, d = lab.host("core"), lab.host("load"), "/tmp/lab/domain"
core.sysctl("net.ipv6.conf.all.forwarding", 1)
os.makedirs(d, exist_ok=True)
sh(["amactl", "domain", "init", "--dir", d, "lab"])
amads, hosts = {}, {}


def make(i):
    ar = hosts[i] = lab.host("ar%d" % i)
    ar.sysctl("net.ipv6.conf.all.forwarding", 1)
    lab.link(core, "ar%d" % i, ar, "up0")
    lab.link(load, "e%d" % i, ar, "lan0")
    core.address("ar%d" % i, "2001:db8:f:%d::1/64" % i)
    ar.address("up0", "2001:db8:f:%d::2/64" % i)
    ar.address("lan0", "2001:db8:a%d::1/64" % i)
    load.address("e%d" % i, "2001:db8:a%d::99/64" % i)
    load.ip("-6 addr add fe80::99/64 dev e%d nodad" % i)
    ar.route("default via 2001:db8:f:%d::1" % i)
    core.route("2001:db8:a%d::/64 via 2001:db8:f:%d::2" % (i, i))
    ar.route("2001:db8:bb:1::/64 via fe80::99 dev lan0")
    for h in (ar, load):
        h.sysctl("net.ipv6.route.max_size", 4000000)
    program = tunnel_device(ar)
    sh(["amactl", "domain", "add-ama", "--dir", d, "ama%d" % i, "--prefix", "2001:db8:10%d::/48" % i])
    with open("/tmp/lab/amad%d.conf" % i, "w") as f:
        f.write("[ama]\naccess = lan0\nidentity = %s/ama%d.identity\ntrusted-domains = %s/trusted-domains\nstate-dir = /tmp/lab/state%d\ncontrol-socket = /tmp/lab/sock%d\n" % (d, i, d, i, i))
    return program


def counters(i=1):
    return json.loads(sh(["amactl", "--json", "--socket", "/tmp/lab/sock%d" % i, "status"]))["counters"]


programs = {i: make(i) for i in (1, 4, 5)}
load.ip("-6 route add local 2001:db8:bb:1::/64 dev lo")
limits = Limits(hosts[1], nodes, 200000, 512)
limits.measure()
limits.measure()
for i in programs:
    p = amads[i] = hosts[i].spawn([programs[i], "-c", "/tmp/lab/amad%d.conf" % i])
    lab.wait(lambda: "is ready" in p.output(), "amad %d" % i)
through = [w for k in range(turns + 2) for w in ("--through", "2001:db8:a%d::1" % (4 + k % 2))]
with inside("load"):
    generator = subprocess.Popen(["mnload", "--json", "--step", "--domain-key", d + "/domain.key", "--prefix", "2001:db8:bb:1::/64", "--link-local", "fe80::99", "--nodes", str(nodes),
                                  "--window", "512", "--no-bind"] + through + ["2001:db8:a1::1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
json.loads(generator.stdout.readline())
n = cpu = datagrams = 0
for k in range(turns + 2):
    before, spent = counters(), settled_cpu_s(amads[1])
    generator.stdin.write("\n")
    generator.stdin.flush()
    j = json.loads(generator.stdout.readline())
    after, spent = counters(), settled_cpu_s(amads[1]) - spent
    diff = {c: after[c] - before[c] for c in ("ba-status-0", "udp-rx", "udp-tx", "kernel-requests", "handshakes")}
    print("# turn %d: %d updates in %.2f s, %.3f s of the anchor; %s; answers after %d us median" % (k, diff["ba-status-0"], j["seconds"], spent, diff, j["p50_us"]))
    if k > 1:  # the first two bring handshakes with the AMAs
        n, cpu, datagrams = n + diff["ba-status-0"], cpu + spent, datagrams + diff["udp-rx"] + diff["udp-tx"]
status = json.loads(sh(["amactl", "--json", "--socket", "/tmp/lab/sock1", "status"]))
lab.check(status["bindings"] == nodes and status["locators"] == 1, "all are bound behind one AMA")
for p in amads.values():
    p.kill()
hosts[1].ip("nexthop flush", check=False)
limits.measure()
limits.measure()
out("moves from AMA to AMA, through them, %d nodes, %.2f datagrams an update (to and fro)" % (nodes, datagrams / n), n / cpu, "1/CPU s", limits.of("shared"), n / cpu / limits.of("shared"),
    ">= 0.7 of plain batched netlink")
lab.finish()
