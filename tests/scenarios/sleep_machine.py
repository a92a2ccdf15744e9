# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that really sleeps (suspend to RAM, woken by its clock): CLOCK_BOOTTIME goes on while CLOCK_MONOTONIC stands. mnd notices, asks its router and
its anchor at once instead of believing what was, and the session goes on, on the same network and on another. Needs a kernel that can be put to sleep with all of its
hosts: tests/lab/lab --kernel qemu --in-memory."""
import os, time
from lab import Lab, now

lab = Lab()
if os.environ.get("LAB_IN_MEMORY") != "1" or "mem" not in open("/sys/power/state").read():
    lab.skip("needs a machine that may be put to sleep: tests/lab/lab --kernel qemu --in-memory")
net = lab.roaming(networks=2)
hoa1 = net.attach(1)
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, 20000)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "600"])
lab.wait(lambda: len(down.packets()) > 10, "the stream")


def behind():
    """Seconds that this machine has slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


def sleep(seconds):
    before = behind()
    net.mn.run(["rtcwake", "-m", "mem", "-s", str(seconds)])
    slept = behind() - before
    lab.check(slept > 1, "the machine slept %.1f s, its monotonic clock stood still" % slept)
    return now()


def noticed():
    return net.mnd.output().count("asleep for")


def goes_on(since):
    lab.wait(lambda: any(p[2] > since * 1e6 for p in down.packets()), "the stream to go on")


answered = net.amactl(1, "status")["counters"]["ba-status-0"]
wire = net.mn.capture("wlan0", "icmp6 and ip6[40] = 133")
woke = sleep(4)
lab.wait(lambda: noticed() == 1, "mnd to notice")
lab.wait(lambda: net.amactl(1, "status")["counters"]["ba-status-0"] > answered, "the anchor to be asked")
goes_on(woke)
lab.check(len(wire.packets()) > 0, "on waking the node solicits its routers and asks its anchor again")
lab.check(net.home(1)["state"] == "native" and net.home(1)["address"] == hoa1, "the same network: native as before, the stream goes on")

net.radios[0].unplug()
sleep(4)
net.radios[0].plug(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a2:"), "the binding")
lab.wait(lambda: noticed() == 2, "mnd to notice")
goes_on(now())
lab.check(net.home(1)["address"] == hoa1, "asleep on the way to another network: bound there, the stream goes on")
before = len(net.bindings(1))
woke = sleep(4)
lab.wait(lambda: noticed() == 3, "mnd to notice")
goes_on(woke)
lab.check(before == len(net.bindings(1)) == 1 and net.home(1)["state"] == "bound", "away: bound as before, the stream goes on")
lab.finish()
