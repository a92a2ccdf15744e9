# SPDX-License-Identifier: GPL-2.0-or-later
"""Binding updates a second at one anchor, through the secure channel with kernel routes changed, against a plain batched netlink sender in the same
kernel; memory a binding. One virtual CPU is shared with the load generator, so the anchor's own CPU time is what is compared. Arguments: nodes, moves, prefixes of each node. With one prefix a
node a move is one replaced nexthop and one datagram; with several they share the datagram, and each has its route replaced."""
import json, os, re, sys, time
from lab import Lab, sh

nodes, moves = int(sys.argv[1]), int(sys.argv[2])
prefixes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
lab = Lab()
ar, load = lab.host("ar"), lab.host("load")
lab.link(ar, "lan0", load, "eth0")
ar.sysctl("net.ipv6.conf.all.forwarding", 1)
for h in (ar, load):
    h.sysctl("net.ipv6.route.max_size", 4000000)
ar.address("lan0", "2001:db8:a1::1/64")
load.address("eth0", "2001:db8:a1::2/64")
lab.wait(lambda: "fe80" in load.ip("-6 addr show dev eth0"), "a link-local address")
ll = load.ip("-6 addr show dev eth0 scope link").split("inet6 ")[1].split("/")[0]
ar.route("2001:db8:bb::/64 via %s dev lan0" % ll)
load.ip("-6 route add local 2001:db8:bb::/64 dev lo")
d = "/tmp/lab/domain"
os.makedirs(d)
sh(["amactl", "domain", "init", "--dir", d, "lab"])
sh(["amactl", "domain", "add-ama", "--dir", d, "ama", "--prefix", "2001:db8:1000::/40"])
with open("/tmp/lab/amad.conf", "w") as f:
    f.write("[ama]\naccess = lan0\nidentity = %s/ama.identity\ntrusted-domains = %s/trusted-domains\nstate-dir = /tmp/lab/state\ncontrol-socket = /tmp/lab/sock\nleases-a-node = 1000\n" % (d, d))
p = ar.spawn(["amad", "-c", "/tmp/lab/amad.conf"])
lab.wait(lambda: "is ready" in p.output(), "amad")


def process():
    """(anonymous memory in bytes, CPU seconds) of amad."""
    status = open("/proc/%d/status" % p.popen.pid).read()
    stat = open("/proc/%d/stat" % p.popen.pid).read().split()
    return int(re.search(r"RssAnon:\s+(\d+)", status).group(1)) * 1024, (int(stat[13]) + int(stat[14])) / 100


def mnload(*more):
    out = load.run(["mnload", "--json", "--domain-key", d + "/domain.key", "--prefix", "2001:db8:bb::/64", "--link-local", ll, "--nodes", str(nodes),
                    "--prefixes", str(prefixes), "--window", "512"] + list(more) + ["2001:db8:a1::1"], timeout=1500)
    return {j["phase"]: j for j in (json.loads(l) for l in out.splitlines() if l.startswith("{"))}


def quiet():
    before = process()[1]
    time.sleep(0.3)
    return process()[1] - before < 0.02


memory, _ = process()
r = mnload("--moves", "0")
bound, cpu0 = process()
status = json.loads(sh(["amactl", "--json", "--socket", "/tmp/lab/sock", "status"]))
c0 = status["counters"]["ba-status-0"]
lab.check(status["bindings"] == nodes * prefixes, "%d bindings" % status["bindings"])
r2 = mnload("--moves", str(moves))
_, cpu1 = process()
c1 = json.loads(sh(["amactl", "--json", "--socket", "/tmp/lab/sock", "status"]))["counters"]["ba-status-0"]
print("# %s" % r2)
updates = c1 - c0
rate = updates / (cpu1 - cpu0)
plain = []
for batch in (1, 64, 512):
    out = ar.run("plain-netlink amad0 %d %d %d %d" % (min(nodes, 2000), 32000, batch, prefixes), timeout=600)
    print("# " + out.strip())
    plain.append(float(out.split()[0]))
    lab.wait(lambda: quiet(), "amad to have read what that told it")


def out(name, value, unit, limit, ratio, target):
    print("BENCH " + json.dumps({"name": name, "value": round(value, 1), "unit": unit, "limit": round(limit, 1), "ratio": round(ratio, 3), "target": target}))


out("binding updates at an anchor with %d nodes of %d prefixes, a CPU second of amad" % (nodes, prefixes), rate, "1/s", max(plain), rate / max(plain), ">= 0.7 of plain batched netlink")
out("memory a binding: lease, binding, channel, route (user space), %d nodes of %d prefixes" % (nodes, prefixes), (bound - memory) / (nodes * prefixes), "bytes", 1024, (bound - memory) / (nodes * prefixes) / 1024, "<= 1 (1 KB at 100,000 bindings)")
lab.finish()
