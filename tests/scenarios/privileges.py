# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemons run as an ordinary user with the capabilities they use, and do everything that way: attach, move, restore what was deleted, reload."""
import re, signal
from lab import Lab, sh

lab = Lab()
net = lab.roaming(networks=2, mnd_config="user = nobody", amad_config="user = nobody")


def status(p):
    text = open("/proc/%d/status" % p.popen.pid).read()
    return {k: v.strip() for k, v in re.findall(r"(\w+):\s*(.*)", text)}


for name, p, caps in (("mnd", net.mnd, (1 << 1) | (1 << 12) | (1 << 13) | (1 << 39)), ("amad", net.amad[1], (1 << 12) | (1 << 39))):
    s = status(p)
    lab.check(s["Uid"].split()[1] != "0", "%s runs as user %s" % (name, s["Uid"].split()[1]))
    lab.check(int(s["CapEff"], 16) == caps and int(s["CapPrm"], 16) == caps and int(s["CapBnd"], 16) & ~caps == 0, "%s has just the capabilities it uses: %s" % (name, s["CapEff"]))
    lab.check(s["NoNewPrivs"] == "1", name + " cannot gain new ones")
    lab.check(s["Seccomp"] == "2", name + " is in a filter of system calls")
hoa1 = net.attach(1)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
net.mn.ip("link del mnd0")
net.ar[1].ip("link del amad0")
lab.wait(lambda: "PING" in net.mn.run("ping -6 -c 1 -W 1 -I %s 2001:db8:c::2" % hoa1), "both tunnel devices to be back")
lab.check(True, "both tunnel devices were put back")

# started again by root: what was given to the user at the first start is no obstacle at the second
for p in (net.mnd, net.amad[1]):
    p.kill(signal.SIGKILL)
net.start_amad(1)
net.start_mnd()
lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1), "the session after the restart of both")
lab.check(status(net.mnd)["Uid"].split()[1] != "0" and status(net.amad[1])["Uid"].split()[1] != "0", "both were killed and started again, with the same user")

# reload: a bad file is refused whole, a good one is taken, the session stays
with open(net.mn_dir + "/mnd.conf") as f:
    good = f.read()
with open(net.mn_dir + "/mnd.conf", "w") as f:
    f.write(good + "grace = soon\n")
out = sh(["mnctl", "--socket", net.mn_dir + "/sock", "reload"], check=False)
lab.check("mnd.conf:" in out and "'soon' is not a value for grace" in out, "a bad configuration is refused: " + out.strip())
with open(net.mn_dir + "/mnd.conf", "w") as f:
    f.write(good + "grace = 1s\n")
net.mnd.popen.send_signal(signal.SIGHUP)
lab.wait(lambda: "configuration read again" in net.mnd.output(), "the reload")
lab.check(net.home(1)["state"] == "bound", "the session is as it was")
hold.kill()
lab.wait(lambda: "ama1" not in net.homes(), "the new grace time", 10)
lab.wait(lambda: net.leases(1) == [], "the release", 10)
lab.check(True, "and the new setting holds")
lab.finish()
