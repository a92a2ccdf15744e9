# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases, with times of seconds: renewed from a foreign network while a session needs them; a node that vanishes leaves its anchor as it was, to the
last route and nexthop; the prefix rests, also over a restart of the anchor, is not leased to others before, and is then; its own node gets it back;
a full pool refuses and the node goes on without."""
import json, os, time
from lab import Lab, now, sh

LEASE, QUARANTINE = 12, 12
lab = Lab()
# a pool of one prefix: whoever comes second waits for it
net = lab.roaming(networks=2, start=False, amad_config="lease = %ds\nquarantine = %ds\nbinding-lifetime = 8s\npool = 2001:db8:101:7::/64" % (LEASE, QUARANTINE),
                  mnd_config="lease = 30s\ngrace = 2s\nbinding-lifetime = 8s\nheartbeat = 2s")
net.start_radvd(1), net.start_amad(1)
net.amad_config = ""
net.start_radvd(2), net.start_amad(2)
clean = net.ar[1].kernel_state()
net.start_mnd()
hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]
lab.check(net.leases(1)[0]["remaining_s"] <= LEASE + 1, "the lease is the anchor's %d s, not the node's 30" % LEASE)

# renewal from abroad: the session outlives three leases
stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 20000, 3 * LEASE)
began = now()
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
low = LEASE
while now() - began < 3 * LEASE - 1:
    low = min(low, net.leases(1)[0]["remaining_s"])
    time.sleep(0.5)
r = stream.result()
lab.check(r["received"] > 0.97 * r["sent"], "a session outlived three leases of %d s: %d of %d packets" % (LEASE, r["received"], r["sent"]))
lab.check(LEASE / 4 < low < LEASE * 0.7, "renewed at half-time from abroad: never under %.1f s left" % low)

# the same key finds its prefix again, though it rests
lab.wait(lambda: net.leases(1) == [], "the release of the unused address", 10)
lab.check(net.attach(1) == hoa1, "back within the quarantine: the same prefix for the same key")

# vanishes: killed, no radio, no word
net.radios[0].unplug()
net.mnd.kill(9)
gone = now()
lab.wait(lambda: net.leases(1) == [], "the lease to run out", LEASE + 5)
took = now() - gone
lab.check(took > 1, "a node that vanished: its lease ran out after %.1f s" % took)
lab.check(net.bindings(1) == [] and net.ar[1].kernel_state() == clean, "and the anchor's kernel is as before the node came, to the last route and nexthop")

# another node: the pool is full until the quarantine is over, also when amad was killed in between
net.amad[1].kill(9)
net.amad_config = "lease = %ds\nquarantine = %ds\nbinding-lifetime = 8s\npool = 2001:db8:101:7::/64" % (LEASE, QUARANTINE)
net.start_amad(1)
os.rename(net.mn_dir, "/tmp/lab/first")
os.makedirs(net.mn_dir)
token = sh(["mnctl", "--identity", net.mn_dir + "/identity", "keygen", "other"]).split()[-1]
line = sh(["amactl", "domain", "add-mn", "--dir", "/tmp/lab/domain", "other", "--key", token]).split()[-1]
sh(["mnctl", "--identity", net.mn_dir + "/identity", "join", line])
net.start_mnd()
net.radios[0].move(1)
lab.wait(lambda: net.amactl(1, "status")["counters"].get("ba-status-130"), "the other node's request")
lab.check(now() - gone < LEASE + QUARANTINE and net.leases(1) == [], "while it rests, a stranger is refused with 130, after a restart of amad, too")
lab.check("1 received" in net.mn.run("ping -6 -c 1 -W 2 2001:db8:c::2"), "and works without a home address")
lab.wait(lambda: net.amactl(1, "status")["uptime_s"] > QUARANTINE + 1, "the quarantine to end", 20)
net.mnd.kill(9)
net.start_mnd()
lab.wait(lambda: [l["mn"] for l in net.leases(1)] == ["other"], "the lease of the other node")
lab.check(net.leases(1)[0]["hnp"] == prefix1, "after the quarantine the prefix is leased again, to the other node")

# the first one comes back and gets what is left: nothing
net.mnd.kill(9)
net.radios[0].unplug()
os.rename(net.mn_dir, "/tmp/lab/other")
os.rename("/tmp/lab/first", net.mn_dir)
net.start_mnd()
net.radios[0].move(1)
lab.wait(lambda: net.amactl(1, "status")["counters"].get("ba-status-130"), "the first node's refusal")
lab.check("ama1" not in net.homes() or net.home(1)["state"] == "allocating", "a full pool: the node goes on without")
lab.finish()
