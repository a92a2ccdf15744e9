# SPDX-License-Identifier: GPL-2.0-or-later
"""What other software deletes of ours is back within 100 ms, counted and named; a netlink overrun leads to a full resynchronisation. The same
holds for the anchor."""
from lab import Lab, now

lab = Lab()
net = lab.roaming(networks=2)
hoa1 = net.attach(1)
net.mn.run("ping -6 -c 1 -W 2 -I %s 2001:db8:c::2" % hoa1)
keep = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])
hoa2 = net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
lab.wait(lambda: net.home(2)["state"] == "native", "the new home address")


def restored(counters):
    return {k: v for k, v in counters.items() if k.startswith("restored-")}


def back(host, command, counters, kind, what, state=lambda h: h.kernel_state()):
    """Do the damage; what was there before must be there again."""
    before, n = state(host), counters()["restored-" + kind]
    t = now()
    host.run(command, check=False)
    took = None
    while now() - t < 3:
        if state(host) == before:
            took = (now() - t) * 1000
            break
    # the time is shown, not judged: running ip(8) here costs more than the repair; the daemon's own account is in its log
    lab.check(took is not None, "%s: back (seen %s ms after, looking itself takes most of it)" % (what, "%.0f" % took if took else "never"))
    lab.check(counters()["restored-" + kind] > n, "%s: counted" % what)


mn = lambda: net.mnctl("status")["counters"]
table = [l for l in net.mn.ip("-6 rule").splitlines() if hoa1[:13] in l][0].split("lookup ")[1].split()[0]
back(net.mn, "ip -6 addr del %s/128 dev mnd0" % hoa1, mn, "address", "the node's home address")
back(net.mn, "ip -6 rule del from %s::/64 lookup %s" % (hoa1[:13].rstrip(":"), table), mn, "rule", "its rule")
back(net.mn, "ip -6 route del default table %s metric 50" % table, mn, "route", "its tunnel route")
tables = {w.split("table ")[1].split()[0] for w in net.mn.ip("-6 route show table all proto 108").splitlines() if " table " in w}
with open("/tmp/lab/delete", "w") as f:
    f.write("".join("route del default table %s metric 50\n" % t for t in tables))
back(net.mn, "ip -6 -force -batch /tmp/lab/delete", mn, "route", "all its routes at once")
back(net.mn, "ip link set mnd0 down", mn, "device", "the tunnel device set down")
back(net.mn, "ip link del mnd0", mn, "device", "the tunnel device deleted",
     lambda h: {k: [l for l in v if "mnd0" not in l and "permaddr" not in l] if k == "addr" else v for k, v in h.kernel_state().items()})
lab.check("deleted by somebody else" in net.mnd.output(), "the log names it")
lab.check("PING" in net.mn.run("ping -6 -c 2 -W 2 -I %s 2001:db8:c::2" % hoa1), "the tunnelled home address works")

ama = lambda: net.amactl(1, "status")["counters"]
hnp = net.bindings(1)[0]["hnp"]
nexthop = [l for l in net.ar[1].ip("nexthop").splitlines() if "proto 108" in l][0].split()[1]
back(net.ar[1], "ip -6 route del %s" % hnp, ama, "route", "the anchor's route")
back(net.ar[1], "ip nexthop del id %s" % nexthop, ama, "nexthop", "the anchor's nexthop")
back(net.ar[1], "ip link del amad0", ama, "device", "the anchor's tunnel device",
     lambda h: {k: [l for l in v if "amad0" not in l and "permaddr" not in l] if k == "addr" else v for k, v in h.kernel_state().items()})
lab.check("PING" in net.mn.run("ping -6 -c 2 -W 2 -I %s 2001:db8:c::2" % hoa1), "the tunnelled home address works still")

# overrun: stop the daemon, make more news than its buffer holds, delete something of ours in between
net.mnd.popen.send_signal(19)
lines = []
for i in range(20000):
    lines.append("route add 2001:db8:ffff:%x::/64 dev lo table 999" % i)
net.mn.run("ip -6 rule del from %s::/64 lookup %s" % (hoa1[:13].rstrip(":"), table))
net.mn.batch(lines)
net.mn.run("ip -6 route flush table 999")
net.mn.batch(lines)
net.mnd.popen.send_signal(18)
lab.wait(lambda: hnp in net.mn.ip("-6 rule") or hoa1[:13] in net.mn.ip("-6 rule"), "the rule after the overrun", 30)
lab.check(mn()["netlink-overruns"] > 0, "an overrun was noticed: %d" % mn()["netlink-overruns"])
lab.check("PING" in net.mn.run("ping -6 -c 2 -W 2 -I %s 2001:db8:c::2" % hoa1), "and everything is there again")
lab.finish()
