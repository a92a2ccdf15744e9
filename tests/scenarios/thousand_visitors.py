# SPDX-License-Identifier: GPL-2.0-or-later
"""1,000 nodes at one serving AMA, with prefixes of three anchors: each anchor has one locator and one nexthop object for all of them, the serving AMA one rule for
the link. The serving AMA moves to
another address, and all with it by three nexthop changes. Then all move to another serving AMA, one by one, and the first one is clean."""
import json, re, time
from lab import Lab, now, sh

NODES = 1000
lab = Lab()
net = lab.roaming(networks=5, start=False, amad_config="quarantine = 2s")
for i in net.ar:
    net.start_amad(i)
before = {i: net.ar[i].kernel_state() for i in (4, 5)}
load = lab.host("load")
for i in net.ar:
    lab.link(load, "e%d" % i, net.radio, "load%d" % i)
    net.radio.ip("link set load%d master lan%d" % (i, i))
    load.address("e%d" % i, "2001:db8:a%d::99/64" % i)
    load.ip("-6 addr add fe80::99/64 dev e%d nodad" % i)
procs = {}
for k in (1, 2, 3):
    load.ip("-6 route add local 2001:db8:bb:%d::/64 dev lo" % k)
    for i in (k, 4, 5):
        net.ar[i].route("2001:db8:bb:%d::/64 via fe80::99 dev lan0" % k)
    import subprocess
    procs[k] = load.spawn(["mnload", "--json", "--step", "--domain-key", "/tmp/lab/domain/domain.key", "--prefix", "2001:db8:bb:%d::/64" % k, "--link-local", "fe80::99",
                           "--nodes", str(NODES // 3 + (k == 1)), "--first", str(1000 * k), "--window", "100", "--no-bind", "--through", "2001:db8:a4::1", "--through", "2001:db8:a5::1",
                           "2001:db8:a%d::1" % k], name="mnload%d" % k, stdin=subprocess.PIPE, text=True)


def step(phase, count):
    for p in procs.values():
        p.popen.stdin.write("\n")
        p.popen.stdin.flush()
    lab.wait(lambda: all(p.output().count('"phase": "%s"' % phase) == count for p in procs.values()), "%s %d" % (phase, count), 60)


lab.wait(lambda: all('"phase": "attach"' in p.output() for p in procs.values()), "all to have a prefix", 60)
lab.check(sum(len(net.leases(k)) for k in (1, 2, 3)) == NODES, "%d nodes with prefixes of three anchors" % NODES)
t = now()
step("through", 1)
print("# all bound through AMA4 in %.1f s" % (now() - t))
v = net.amactl(4, "visits")["visits"]
lab.check(len(v) == NODES, "AMA4 serves %d prefixes" % len(v))
status = {k: net.amactl(k, "status") for k in (1, 2, 3)}
lab.check([s["locators"] for s in status.values()] == [1, 1, 1] and sum(s["bindings"] for s in status.values()) == NODES, "3 locators in all, one an anchor, for %d bindings" % NODES)
nexthops = [net.ar[k].ip("nexthop show proto 108").count("encap") for k in (1, 2, 3)]
lab.check(nexthops == [1, 1, 1], "3 nexthop objects in all")
rules = net.ar[4].ip("-6 rule show")
lab.check(rules.count("7790") == 1 and rules.count("7791") == 1 and len(rules.splitlines()) == 4, "AMA4: one rule for the access link and one for what comes early, none a prefix")
lab.check(net.ar[4].ip("-6 route show table 7791 proto 108") == "", "of which nothing is left")
lab.check(net.ar[4].ip("-6 route show table 7790 proto 108").count("default from") == NODES, "and a source-specific route each")
accepted = {p["name"]: p["accepted"] for p in net.amactl(4, "peers")["peers"]}
share = {"ama%d" % k: NODES // 3 + (k == 1) for k in (1, 2, 3)}
asked = {k: int(re.findall(r'"retries": (\d+)', p.output())[-1]) for k, p in procs.items()}
lab.check(all(share[k] <= accepted[k] for k in share) and sum(accepted.values()) <= NODES + sum(asked.values()),
          "each update was passed on once, and again only what a node sent again (%d): %s" % (sum(asked.values()), accepted))

# the serving AMA itself moves, its other address is its locator then: one change at each anchor for all that is behind it
AT = "2001:db8:f:4::2"
requests = {k: status[k]["counters"]["kernel-requests"] for k in status}
t = now()
told = json.loads(sh(["amactl", "--json", "--socket", "/tmp/lab/ama4/sock", "relocate", "2001:db8:a4::1", AT]))
lab.check(told == {"visits": NODES, "anchors": 3}, "AMA4 has another address, and tells 3 anchors: %s" % told)
lab.wait(lambda: all({b["care_of"] for b in net.bindings(k)} == {AT} for k in (1, 2, 3)), "all bindings at AMA4's other address")
print("# all moved with AMA4 in %.1f s" % (now() - t))
lab.wait(lambda: net.ar[4].ip("-6 route show table 7790 proto 108").count("src " + AT) == NODES, "AMA4 to send from there")
status = {k: net.amactl(k, "status") for k in (1, 2, 3)}
made = {k: status[k]["counters"]["kernel-requests"] - requests[k] for k in status}
lab.check(list(made.values()) == [1, 1, 1], "%d nodes moved with their AMA by 3 nexthop changes: %s" % (NODES, made))
lab.check([s["locators"] for s in status.values()] == [1, 1, 1] and all("dst %s " % AT in net.ar[k].ip("nexthop show proto 108") + " " for k in (1, 2, 3)), "the kernels of the anchors lead there")

requests = {k: status[k]["counters"]["kernel-requests"] for k in status}
t = now()
step("through", 2)
print("# all moved to AMA5 in %.1f s" % (now() - t))
after = {k: net.amactl(k, "status") for k in (1, 2, 3)}
made = sum(after[k]["counters"]["kernel-requests"] - requests[k] for k in after)
lab.check([s["locators"] for s in after.values()] == [1, 1, 1] and len(net.amactl(5, "visits")["visits"]) == NODES, "again 3 locators, at AMA5")
lab.check(made == NODES + 6, "each node moved by itself: %d routes, and 3 nexthops made and 3 deleted, %d changes in all" % (NODES, made))
lab.wait(lambda: net.amactl(4, "visits")["visits"] == [], "AMA4 to be told that they are elsewhere", 20)
for k in (1, 2, 3):
    net.ar[4].ip("-6 route del 2001:db8:bb:%d::/64" % k)
lab.wait(lambda: net.ar[4].kernel_state() == before[4], "the kernel of AMA4 as before")
lab.check(True, "nothing is left at AMA4")
refused = {k: {s: n for s, n in after[k]["counters"].items() if s.startswith("ba-status-") and s != "ba-status-0" and n} for k in after}
lab.check(not any(refused.values()), "no update was refused: %s" % refused)
lab.finish()
