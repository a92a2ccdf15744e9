# SPDX-License-Identifier: GPL-2.0-or-later
"""What the packages do when they are removed: the kernel is as it was before they were installed. The daemons are stopped before, which leaves everything in it."""
import os, signal
from lab import Lab, sh

lab = Lab()
net = lab.roaming(networks=2, start=False)


def kernel(host):
    state = host.kernel_state()
    state["link"] = sorted(l.split("@")[0] for l in host.ip("-o link").splitlines() if "amad0" in l or "mnd0" in l)
    state["filters"] = [l for link in ("lan0", "up0", "wlan0") for l in host.run("tc filter show dev %s ingress" % link, check=False).splitlines() if "bpf" in l]
    # what router advertisements bring is not ours, and goes with time
    return {k: [l for l in v if "proto ra" not in l and "proto kernel" not in l and "dynamic" not in l and "fe80" not in l and "temporary" not in l] for k, v in state.items()}


before = {h: kernel(h) for h in (net.mn, net.ar[1])}
net.start()
hoa1 = net.attach(1)
hold = net.mn.spawn(["hoa-exec", "--socket", net.mn_dir + "/sock", "labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])
lab.wait(lambda: net.mnctl("pins")["pins"], "the pin")
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1), "the binding")
hold.kill()
for p in (net.mnd, net.amad[1]):
    p.kill(signal.SIGTERM)
stopped = {h: kernel(h) for h in before}
lab.check(all("proto 108" in str(stopped[h]) for h in before), "stopped, as for an upgrade: forwarding goes on")
net.radios[0].unplug()
for host, name in ((net.mn, "mnd"), (net.ar[1], "amad")):
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../debian/%s.prerm" % name)
    host.run(["sh", script, "upgrade", "0.2"])
    lab.check("proto 108" in str(kernel(host)), name + ": an upgrade leaves it alone")
    host.run(["sh", script, "remove"])
    after = kernel(host)
    lab.check({k: v for k, v in after.items() if k != "addr"} == {k: v for k, v in before[host].items() if k != "addr"}, "%s removed: routes, rules, nexthops, devices and filters are as they were" % name)
    if after != before[host]:
        print("# before %s\n# after  %s" % (before[host], after))
lab.check(not sh("find /sys/fs/cgroup -name 'hoa-exec-*'").strip(), "no cgroup of a pin is left")
lab.finish()
