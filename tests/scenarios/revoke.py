# SPDX-License-Identifier: GPL-2.0-or-later
"""Maintenance: an anchor takes a lease back (RFC 5846), and is drained; a node gives an address back. Whoever asks is told who is affected first."""
import os, pty, subprocess, time
from lab import Lab, inside, now, sh

lab = Lab()
net = lab.roaming(networks=2, mnd_config="grace = 2s\nheartbeat = 2s")
amactl = lambda i, *words: subprocess.run(["amactl", "--socket", "/tmp/lab/ama%d/sock" % i, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                          text=True, stdin=subprocess.DEVNULL)
hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]

# nobody to ask, no --yes: nothing happens, but it is said who would be affected
r = amactl(1, "revoke", "laptop")
lab.check(r.returncode == 1 and prefix1 in r.stdout and "--yes" in r.stdout, "without a terminal and --yes it says whom it would hit, and does nothing")
lab.check(len(net.leases(1)) == 1, "nothing was done")
r = amactl(1, "revoke", "nobody")
lab.check(r.returncode == 1 and "amactl leases" in r.stdout, "an unknown name: " + r.stdout.strip())
master, slave = pty.openpty()
p = subprocess.Popen(["amactl", "--socket", "/tmp/lab/ama1/sock", "revoke", "2001:db8:101::/48"], stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
os.write(master, b"n\n")
lab.check("Revoke 1 lease?" in p.communicate(timeout=10)[0] and p.returncode == 1 and len(net.leases(1)) == 1, "asked on a terminal, 'n' is no")

# bound, with a session
stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 20000)
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
r = amactl(1, "revoke", "--yes", prefix1)
lab.check(r.returncode == 0 and "1 revoked" in r.stdout, "revoked: " + r.stdout.strip())
lab.wait(lambda: "ama1" not in net.homes(), "the node to drop the address", 3)
lab.wait(lambda: net.leases(1) == [] and net.bindings(1) == [], "the anchor to be clean", 3)
lab.check(hoa1 not in net.mn.ip("-6 addr") and prefix1 not in net.mn.ip("-6 rule"), "the node has no address and no rule of it any more")
lab.check(prefix1 not in net.ar[1].ip("-6 route") and "encap" not in net.ar[1].ip("-6 route"), "the anchor has no route")
lab.check(prefix1 not in [l["hnp"] for l in net.leases(1)], "the lease is gone")
new = net.attach(1)
lab.check(new != hoa1, "back there the node gets another prefix: the revoked one rests")

# a node that does not answer
prefix = net.home(1)["prefix"]
net.mnd.popen.send_signal(19)  # SIGSTOP
told = net.ar[1].capture("lan0", "udp src port 7872")
at = now()
r = amactl(1, "revoke", "--yes", "all")
lab.wait(lambda: net.leases(1) == [], "the lease of a silent node to end", 6)
took = now() - at
told = [p for p in told.packets() if p.src == "2001:db8:a1::1"]
lab.check(took > 2.5 and len(told) == 2, "a node that does not answer is told twice (%d) and cut off after %.1f s (3)" % (len(told), took))
net.mnd.popen.send_signal(18)
lab.wait(lambda: net.home(1)["prefix"] != prefix and net.home(1)["state"] == "native", "it hears of it when it speaks again", 60)

# drain: no new lease, the session runs out, then nothing is left
hoa = net.home(1)["address"]
net.radios[0].move(1)
lab.wait(lambda: net.home(1)["state"] == "native", "home")
session = net.stream(hoa, "2001:db8:c::2", net.mn, net.cn, 9002, 20000)
lab.wait(lambda: len(session.packets()) > 20, "the session")
r = amactl(1, "drain", "--yes")
lab.check(r.returncode == 0 and "1 left" in r.stdout, "drain tells what is left: " + r.stdout.strip().splitlines()[-1])
lab.wait(lambda: net.home(1)["deprecated"], "the node to begin nothing new on it", 3)
lab.check(net.home(1)["state"] == "native" and net.amactl(1, "status")["draining"], "the session goes on")
got = session.end()
lab.check(got["lost"] == 0, "no packet of it was lost: %d of %d" % (got["received"], got["sent"]))
lab.wait(lambda: net.leases(1) == [], "the address to be released when the session is over", 10)
lab.wait(lambda: net.amactl(1, "status")["counters"].get("ba-status-130"), "a new request to be refused")
lab.check(net.leases(1) == [], "drained: nothing is left, nothing new is leased")
net.mnd.kill(9)
lab.check("not draining" in amactl(1, "drain", "off").stdout, "drain off")
net.start_mnd()
lab.wait(lambda: net.home(1)["state"] == "native", "leases again")

# the node gives an address back
hoa = net.home(1)["address"]
net.attach(2)
keep = net.stream(hoa, "2001:db8:c::2", net.mn, net.cn, 9003, 20000)
net.radios[0].move(1)
lab.wait(lambda: net.home(1)["state"] == "native", "home")
net.radios[0].move(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "bound")
mnctl = ["mnctl", "--socket", net.mn_dir + "/sock"]
r = subprocess.run(mnctl + ["release", hoa], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
lab.check(r.returncode == 1 and "1 session on it ends" in r.stdout, "mnctl release says which sessions would end, and needs --yes")
sh(mnctl + ["release", "--yes", hoa])
lab.wait(lambda: net.leases(1) == [], "the release")
lab.check("ama1" not in net.homes(), "released with a session on it")
lab.finish()
