# SPDX-License-Identifier: GPL-2.0-or-later
"""What the daemons cost when nothing happens, and how fast they answer: wake-ups of an idle mnd in 60 s, resident memory, and amactl with 10,000 bindings.
Argument: bindings."""
import os, statistics, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from anchorload import Anchor, out
from lab import Lab, now, sh

n = int(sys.argv[1])


def field(pid, name):
    with open("/proc/%d/status" % pid) as f:
        return next(int(l.split()[1]) for l in f if l.startswith(name + ":"))


lab = Lab()
net = lab.roaming(networks=1, fastra=True)  # no interval in its advertisements: a silent router is not missed
net.attach(1)
net.radvd[1].kill(9)  # what wakes mnd is to be its own; the lifetime goes on
time.sleep(5)  # what an attachment begins is over
pid = net.mnd.popen.pid
before = field(pid, "voluntary_ctxt_switches")
time.sleep(60)  # what is measured is that nothing happens
wakeups = field(pid, "voluntary_ctxt_switches") - before
resident = field(pid, "VmRSS")
lab.check(net.home(1)["state"] == "native", "mnd is idle, with a home address")
out("wake-ups of an idle mnd in 60 s", wakeups, "times", 1, wakeups, "none but the protocol's own timers (here: none); libev looks once a minute")
out("resident memory of an idle mnd", resident / 1024, "MB", 8, resident / 1024 / 8, "< 8 MB")
net.mnd.kill()
net.amad[1].kill()
for p in net.mnd, net.amad[1]:
    os.unlink(p.log)
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
