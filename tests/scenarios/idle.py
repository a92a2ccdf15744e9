# SPDX-License-Identifier: GPL-2.0-or-later
"""When nothing happens nothing is done: an idle mnd is woken by the protocol's own timers only, of which none is due here, and it is small."""
import time
from lab import Lab

SECONDS = 60


def field(process, name):
    with open("/proc/%d/status" % process.popen.pid) as f:
        return next(int(l.split()[1]) for l in f if l.startswith(name + ":"))


lab = Lab()
net = lab.roaming(networks=1, fastra=True)  # no interval in its advertisements: a silent router is not missed
net.attach(1)
net.radvd[1].kill(9)  # what wakes mnd is to be its own; the lifetime goes on
time.sleep(5)  # what an attachment begins is over
before = field(net.mnd, "voluntary_ctxt_switches")
time.sleep(SECONDS)  # what is measured is that nothing happens
woken, resident = field(net.mnd, "voluntary_ctxt_switches") - before, field(net.mnd, "VmRSS") / 1024
lab.check(net.home(1)["state"] == "native", "there is a home address")
print("# woken %d times in %d s, %.1f MB resident" % (woken, SECONDS, resident))
lab.check(woken <= 2, "mnd sleeps")  # libev looks once a minute whether the clock has jumped
lab.check(resident < 8, "in less than 8 MB")
lab.finish()
