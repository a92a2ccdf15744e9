# SPDX-License-Identifier: GPL-2.0-or-later
"""What the packages do when they are removed: the kernel is as it was before they were installed. The daemons are stopped before, which leaves everything in it."""
import os, signal
from lab import Lab, sh

lab = Lab()
net = lab.roaming(networks=2, start=False)
before = {h: h.footprint() for h in (net.mn, net.ar[1])}
net.start()
hoa1 = net.attach(1)
hold = net.mn.spawn(["hoa-exec", "--socket", net.mn_dir + "/sock", "labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])
lab.wait(lambda: net.mnctl("pins")["pins"], "the pin")
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1), "the binding")
hold.kill()
isolated = net.mn.spawn(["hoa-exec", "--socket", net.mn_dir + "/sock", "--isolate", "sleep", "600"])
lab.wait(lambda: "clsact" in net.mn.run("tc qdisc show dev wlan0"), "the filters of an isolated program")
isolated.kill()
lab.check(net.mn.footprint()["settings"] != before[net.mn]["settings"] and net.mn.footprint()["qdiscs"], "while it runs, mnd has turned on settings of the kernel: %s" % sorted(set(net.mn.footprint()["settings"]) - set(before[net.mn]["settings"])))
for p in (net.mnd, net.amad[1]):
    p.kill(signal.SIGTERM)
stopped = {h: h.footprint() for h in before}
lab.check(all("proto 108" in str(stopped[h]) for h in before), "stopped, as for an upgrade: forwarding goes on")
net.radios[0].unplug()
for host, name in ((net.mn, "mnd"), (net.ar[1], "amad")):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../debian/%s.prerm" % name)
    if name == "mnd":  # where the unit has it
        host.run(["sh", "-c", "mkdir -p /run/dmm && cp %s/mnd.sysctl /run/dmm/" % net.mn_dir])
    host.run(["sh", script, "upgrade", "0.2"])
    lab.check("proto 108" in str(host.footprint()), name + ": an upgrade leaves it alone")
    host.run(["sh", script, "remove"])
    after = host.footprint()
    changed = {k: (sorted(set(before[host][k]) - set(after[k])), sorted(set(after[k]) - set(before[host][k]))) for k in after if k != "addr" and after[k] != before[host][k]}
    lab.check(not changed, "%s removed: routes, rules, nexthops, devices, filters and settings are as they were %s" % (name, changed or ""))
lab.check(not sh("find /sys/fs/cgroup -name 'hoa-exec-*'").strip(), "no cgroup of a pin is left")
lab.finish()
