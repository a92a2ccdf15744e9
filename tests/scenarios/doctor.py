# SPDX-License-Identifier: GPL-2.0-or-later
"""mnctl doctor and amactl doctor: each seeded fault is found, and the command that is printed for it, run exactly as printed, mends it."""
import os
from healing import edit, healers
from lab import KERNEL, Lab, sh

lab = Lab()
net = lab.roaming(networks=1, ra="MinRtrAdvInterval 3; MaxRtrAdvInterval 4;")
net.attach(1)
mn, ar = net.mn, net.ar[1]
node, anchor = healers(lab, net)
node.is_well()
anchor.is_well()

# --- the node, while mnd runs: interfaces, and a network manager
mn.ip("link add spare0 type dummy")
mn.ip("link set spare0 up")
mn.ip("link add spare1 type dummy")
mn.sysctl("net.ipv6.conf.spare1.forwarding", 1)
mn.ip("link set spare1 up")
lab.wait(lambda: {"spare0", "spare1"} <= {a["interface"] for a in net.mnctl("status")["attachments"]}, "mnd to take the new interfaces")
mn.sysctl("net.ipv6.conf.spare0.disable_ipv6", 1)
mn.ip("link set wlan0 mtu 1300")
os.makedirs("/run/systemd/netif/links", exist_ok=True)
sh("chown -R systemd-network /run/systemd/netif", check=False)
networkd = mn.spawn(["unshare", "--mount", "sh", "-c", "mount -t sysfs -o ro sysfs /sys; exec /lib/systemd/systemd-networkd"], name="networkd")
lab.wait(lambda: "systemd-network" in sh("cat /proc/%d/comm" % networkd.popen.pid), "systemd-networkd")
node.heal(("interfaces", "IPv6 is switched off on spare0"), ("interfaces", "forwarding is on for spare1"), ("interfaces", "wlan0 takes packets of at most 1300"), ("managers", "systemd-networkd"))
networkd.kill()
mn.ip("link del spare0")
mn.ip("link del spare1")

# --- the node, before mnd can start
net.mnd.kill()
identity = net.mn_dir + "/identity"
os.chmod(identity, 0o644)
with open(node.config, "a") as f:
    f.write("grace = soon\n")
with open("/tmp/lab/domain/trusted-domains", "a") as f:
    f.write("nonsense\n")
edit(node.config, "state.json", "state/state.json")
mn.ip("link del mnd0")
mn.ip("link add other0 type ip6tnl external")
squatter = mn.spawn(["/usr/bin/python3", "-c", "import socket,time\ns=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)\ns.bind(('::',7872))\nprint('bound',flush=True)\ntime.sleep(600)"], name="squatter")
lab.wait(lambda: "bound" in squatter.output(), "another program at the port")
node.heal(("config", "'soon' is not a value for grace"), ("identity", "can be read by others"), ("trust", "trusted-domains:"), ("state", "does not exist"), ("port", "another program"),
          ("tunnel", "other0"), ("daemon", "does not answer"))

# --- the node's key; the domain's key is on the same machine here, so that the remedy is complete
sh("sh -c 'kill $(pidof mnd)'")
if sh("uname -n").strip() == "(none)":
    sh("sysctl -w kernel.hostname=laptop")
os.unlink(identity)
node.heal(("identity", "this machine has no key"), ("daemon", "does not answer"), rounds=2)

# --- the anchor, while amad runs
ar.sysctl("net.ipv6.conf.all.forwarding", 0)
ar.ip("link set up0 mtu 1310")
sh("amactl --socket /tmp/lab/ama1/sock drain --yes")
edit("/tmp/lab/radvd1.conf", "AdvHomeAgentFlag on", "AdvHomeAgentFlag off")
edit("/tmp/lab/radvd1.conf", "AdvRouterAddr on", "AdvRouterAddr off")
anchor.heal(("forwarding", "does not forward IPv6"), ("mtu", "up0 takes packets of at most 1310"), ("draining", "being drained"), ("radvd", "home-agent flag"), ("radvd", "this anchor's address"))

# --- the anchor, before amad can start
net.amad[1].kill()
net.radvd[1].kill()
sh("cp /tmp/lab/radvd1.conf /etc/radvd.conf")
os.chmod("/tmp/lab/domain/ama1.identity", 0o640)
with open(anchor.config, "a") as f:
    f.write("pool = 2001:db8:999::/48\n")
anchor.heal(("identity", "can be read by others"), ("daemon", "does not answer"), ("radvd", "radvd does not run"), rounds=2)
lab.check("#pool" in open(anchor.config).read(), "the pool that the credential does not cover was found when the key could be read")

# --- all of it works again
hoa = lab.wait(lambda: [h for h in [net.home(1)] if h["state"] == "native" and h["path"] == "native"], "a home address", 60)[0]["address"]
lab.wait(lambda: "PING" in mn.run("ping -6 -c 1 -W 5 -I %s 2001:db8:c::2" % hoa), "the home address to work")

# --- the clock, which is this kernel's own, and credentials that time has ended
if KERNEL != "native":
    now = int(sh("date +%s"))
    sh("date -s 2001-01-01")
    node.heal(("credential", "the clock is slow"))
    sh("date -s @%d" % (now + 3651 * 86400))
    node.heal(("credential", "is not valid after"))
    anchor.heal(("credential", "is not valid after"))
lab.check(node.seeded + anchor.seeded >= 15, "%d faults were seeded" % (node.seeded + anchor.seeded))
lab.finish()
