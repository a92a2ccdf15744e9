# SPDX-License-Identifier: GPL-2.0-or-later
"""An anchor that lost its state, as in a power cut: heartbeats with restart counters (RFC 5847) tell the node, which registers again at once. An anchor
that is silent is noticed and said, and so is its return. Where no state exists, nobody asks."""
import os, shutil, signal, time
from lab import Lab, now, sh

PERIOD = 2
lab = Lab()
net = lab.roaming(networks=3, mnd_config="heartbeat = %ds\ngrace = 60s" % PERIOD)
hoa1 = net.attach(1)
state = "/tmp/lab/ama1/state"


def power_cut():
    """The machine of anchor 1 goes down: daemon, kernel state, and what the disk did not have; another boot."""
    net.amad[1].kill(signal.SIGKILL)
    net.ar[1].ip("link del amad0")
    net.ar[1].ip("-6 route flush proto 108", check=False)
    net.ar[1].ip("nexthop flush", check=False)
    shutil.rmtree(state)
    shutil.copytree("/tmp/lab/synced", state)
    with open("/tmp/lab/boot_id", "w") as f:
        f.write("another-boot-%d\n" % time.monotonic_ns())
    sh("mount --bind /tmp/lab/boot_id /proc/sys/kernel/random/boot_id")


time.sleep(0.3)  # the lease is on disk at once; this is for what waits 50 ms
shutil.copytree(state, "/tmp/lab/synced")
net.attach(2)
beats = lambda i: net.amactl(i, "status")["counters"]["heartbeats"]
before = (beats(1), beats(2))
time.sleep(2 * PERIOD)
lab.check((beats(1), beats(2)) == before, "no session, no binding: no heartbeat")

stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 20000)
net.attach(3)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
time.sleep(2.5 * PERIOD)
n = beats(1)
time.sleep(4 * PERIOD)
n = beats(1) - n
lab.check(3 <= n <= 5, "with a binding one heartbeat every %d s: %d in %d s" % (PERIOD, n, 4 * PERIOD))
lab.check(beats(2) == before[1], "and none to an anchor without one")
counter = net.amactl(1, "status")["restart_counter"]

net.mnd.popen.send_signal(signal.SIGSTOP)  # it could have registered again before we look
cut, before = now(), stream.packets()[-1][0]
power_cut()
net.start_amad(1)
lab.check(net.bindings(1) == [] and len(net.leases(1)) == 1, "after the power cut the lease is there and the binding is not")
lab.check(net.amactl(1, "status")["restart_counter"] == counter + 1, "the restart counter has moved on")
net.mnd.popen.send_signal(signal.SIGCONT)
began = now()
lab.wait(lambda: len(net.bindings(1)) == 1, "the node to register again", 10)
heard, back = beats(1), now()
lab.check(heard <= 2, "registered again by the first heartbeat that was answered (%d heard), after %.1f s" % (heard, back - began))
got = len(stream.packets())
lab.wait(lambda: len(stream.packets()) > got + 50, "the stream goes on")
r = stream.end()
print("# %(received)d of %(sent)d packets, longest gap %(gap_ms).0f ms" % r)
lost = set(range(before + 1, r["sent"])) - {p[0] for p in r["packets"]}
lab.check(r["gap_ms"] / 1000 < back - cut + 1 and len(lost) < r["gap_ms"] / 20 + 2,
          "the stream survived the anchor's power cut: %d lost, all in the %.0f ms of it" % (len(lost), r["gap_ms"]))

# silence, and return
keep = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9002, 20000)
lab.wait(lambda: len(keep.packets()) > 10, "another stream")
net.radios[0].move(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a2:"), "bound")
net.amad[1].popen.send_signal(signal.SIGSTOP)
lab.wait(lambda: "ama1 does not answer" in net.mnd.output(), "the silence to be noticed", 20)
lab.check(net.home(1)["state"] == "bound", "a silent anchor is said, its home address waits")
net.amad[1].popen.send_signal(signal.SIGCONT)
lab.wait(lambda: "ama1 is heard again" in net.mnd.output(), "its return", 40)
lab.check(net.mnd.output().count("does not answer") == 1, "each said once")
sh("umount /proc/sys/kernel/random/boot_id")
lab.finish()
