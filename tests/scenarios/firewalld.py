# SPDX-License-Identifier: GPL-2.0-or-later
"""A real firewalld on the node, in its default zone: a session that both sides speak in survives a move as it is; one in which only the other side speaks does not,
doctor names why, and its remedies, run as printed, mend it."""
import shutil
from healing import healers
from lab import Lab, sh

lab = Lab()
if not shutil.which("firewalld"):
    lab.skip("firewalld is not installed")
net = lab.roaming(networks=3, ra="MinRtrAdvInterval 3; MaxRtrAdvInterval 4;")
able = net.mn.run(["sh", "-c", "nft add table inet t && nft add chain inet t a && nft add rule inet t a fib saddr oif missing drop && nft delete table inet t && echo able"], check=False)
if not able.endswith("able\n") or "rror" in able:
    lab.skip("this kernel has no nftables for IPv6, which firewalld needs: './quickstart qemu' has one")
shutil.copytree("/etc/firewalld", "/tmp/lab/firewalld")
sh("mount --bind /tmp/lab/firewalld /etc/firewalld")
net.mn.run("firewall-offline-cmd --add-port=9001/udp")  # what its user wants to be reached at
net.mn.start_bus()
firewalld = net.mn.spawn(["firewalld", "--nofork", "--nopid"])
lab.wait(lambda: net.mn.run("firewall-cmd --state", check=False).strip() == "running", "firewalld", 120)
node, _ = healers(lab, net)

hoa1 = net.attach(1)
hold = net.mn.spawn(["hoa-exec", "--socket", net.mn_dir + "/sock", "--address", hoa1, "sleep", "1000"])
tcp = net.session(hoa1)
lab.wait(lambda: tcp.progress() > 50000, "the session at home")
net.radios[0].move(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == "tunnel", "the binding")
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 200000, "the session through the tunnel")
t = tcp.end()
lab.check(t["ok"], "firewalld as it is installed: a TCP session survives the move: %(up)d bytes up, %(down)d down %(errors)s" % t)

# only the other side speaks: for firewalld what comes out of the new tunnel is something new
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, 20000)
lab.wait(lambda: len(down.packets()) > 20, "packets of the other side")
air = net.mn.capture("wlan0", "ip6 proto 41")
net.radios[0].move(3)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["care_of"].startswith("2001:db8:a3:"), "the binding in network 3")
received = lambda: int(net.mn.json("ip -s -j link show dev wlan0")[0]["stats64"]["rx"]["packets"])
seen, before = len(down.packets()), received()
lab.wait(lambda: received() > before + 100, "packets to come to the node")
let_in = len(down.packets()) - seen
stalled = [p for p in air.packets() if p.inner and p.dst.startswith("2001:db8:a3:")]
lab.check(len(stalled) > 50 and let_in < 5, "%d packets of it come to the node in the tunnel, and firewalld lets %d of them in" % (len(stalled), let_in))
found = node.doctor(True)[1]
lab.check(any("tunnelled packets of anchors" in f["text"] and f["remedy"] for f in found) and any(f["check"] == "rpfilter" and f["remedy"] for f in found), "mnctl doctor names what it drops, and why")
for f in found:  # the bus gives up after 25 seconds, which a slow machine's firewalld can take for a reload: it goes on nevertheless
    net.mn.run(["sh", "-c", f["remedy"]], check=False)
lab.wait(lambda: not [f for f in node.doctor()[1] if f["check"] in ("firewall", "rpfilter")], "doctor to find nothing after its remedies", 60)
healed = len(down.packets())
lab.wait(lambda: len(down.packets()) > healed + 50, "the stream after the remedy")
lab.check(net.mn.run("firewall-cmd --query-protocol=ipv6", check=False).strip() == "yes" and firewalld.alive(), "with the remedy, which firewalld keeps, the stream goes on")
lab.finish()
