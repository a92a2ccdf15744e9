# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-networkd and NetworkManager as real processes manage the node's links, and are restarted during a session: it survives."""
import os, shutil, signal, subprocess, sys, time
from lab import Lab, sh

lab = Lab()
if not os.path.exists("/lib/systemd/systemd-networkd") or not shutil.which("NetworkManager"):
    lab.skip("systemd-networkd or NetworkManager is not installed")
net = lab.roaming(networks=2)
net.web(24)
# both look at /sys of their own network namespace, and talk over a bus of their own
# read-only, as in a container: neither waits for udev then
SHELL = "mount -t sysfs -o ro sysfs /sys; exec \"$@\""


def inside(command, name, environment=None):
    return net.mn.spawn(["env"] + ["%s=%s" % kv for kv in (environment or {}).items()] + ["unshare", "--mount", "sh", "-c", SHELL, "sh"] + command, name=name)


net.mn.start_bus()
os.makedirs("/run/systemd/network", exist_ok=True)
os.makedirs("/run/systemd/netif/links", exist_ok=True)
os.makedirs("/run/systemd/netif/leases", exist_ok=True)
os.makedirs("/run/systemd/netif/lldp", exist_ok=True)
sh("chown -R systemd-network /run/systemd/netif", check=False)
# what is among our examples, as a person would put it there, and a file of that person's that matches more than was meant
FRAGMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../systemd")
os.makedirs("/run/systemd/networkd.conf.d", exist_ok=True)
shutil.copy(FRAGMENTS + "/dmm.networkd.conf", "/run/systemd/networkd.conf.d/50-dmm.conf")
shutil.copy(FRAGMENTS + "/dmm.network", "/run/systemd/network/10-dmm.network")
with open("/run/systemd/network/20-all.network", "w") as f:
    f.write("[Match]\nName=wlan* mnd*\n[Network]\nIPv6AcceptRA=yes\nLinkLocalAddressing=ipv6\nDHCP=no\n[IPv6AcceptRA]\nUseDNS=no\nDHCPv6Client=no\n")


def session(manager, start):
    p = start()
    if manager == "networkd":
        lab.wait(lambda: net.mn.run("cat /proc/sys/net/ipv6/conf/wlan0/accept_ra").strip() == "0", "networkd to take wlan0 over")
    hoa1 = net.attach(1, deadline=40)
    curl = net.download(hoa1, 24, rate="1500K", name="curl-" + manager)
    lab.wait(lambda: ("Gained carrier" if manager == "networkd" else "Activation: successful") in p.output(), manager + " to manage wlan0")
    net.radios[0].move(2)
    lab.wait(lambda: net.home(1)["state"] == "bound", "the binding under " + manager, 40)
    for k in range(2):
        p.kill(signal.SIGTERM if k else signal.SIGKILL)
        p = start()
        time.sleep(2)  # the manager takes stock, and removes what it does not know: there is no event for "has finished"
        lab.check("PING" in net.mn.run("ping -6 -c 1 -W 5 -I %s 2001:db8:c::2" % hoa1, check=False) and p.alive(), "%s restarted: the home address works" % manager)
    net.radios[0].move(1)
    lab.wait(lambda: net.home(1)["state"] == "native", "native again under " + manager, 40)
    curl.popen.wait(60)
    lab.check(curl.popen.returncode == 0 and net.checksum("curl-" + manager) == net.sums[24], "%s: the download survived two restarts and two moves" % manager)
    restored = {k: v for k, v in net.mnctl("status")["counters"].items() if k.startswith("restored-") and v}
    print("# %s: restored so far %s" % (manager, restored))
    p.kill()


session("networkd", lambda: inside(["/lib/systemd/systemd-networkd"], "networkd", {"SYSTEMD_LOG_LEVEL": "info", "SYSTEMD_LOG_TARGET": "console"}))
lab.check(net.mn.run("cat /proc/sys/net/ipv6/conf/mnd0/accept_ra").strip() == "1", "networkd left mnd0 alone")  # it writes 0 where it manages
os.makedirs("/tmp/lab/nm/conf.d", exist_ok=True)
os.makedirs("/run/NetworkManager", exist_ok=True)
with open("/tmp/lab/nm/NetworkManager.conf", "w") as f:
    f.write("[main]\nplugins=keyfile\nno-auto-default=\ndns=none\nauth-polkit=false\n[keyfile]\npath=/tmp/lab/nm/connections\n[logging]\nlevel=INFO\n")
shutil.copy(FRAGMENTS + "/dmm.NetworkManager.conf", "/tmp/lab/nm/conf.d/50-dmm.conf")
os.makedirs("/tmp/lab/nm/connections", exist_ok=True)
with open("/tmp/lab/nm/connections/wlan0.nmconnection", "w") as f:
    f.write("[connection]\nid=wlan0\nuuid=9b4d4f0e-6f3b-4b7a-9d5e-111111111111\ntype=ethernet\ninterface-name=wlan0\nautoconnect=true\n[ipv4]\nmethod=disabled\n[ipv6]\nmethod=auto\naddr-gen-mode=eui64\nmay-fail=true\n")
os.chmod("/tmp/lab/nm/connections/wlan0.nmconnection", 0o600)
os.makedirs("/tmp/lab/nm/state", exist_ok=True)
session("NetworkManager", lambda: inside(["NetworkManager", "--debug", "--config=/tmp/lab/nm/NetworkManager.conf", "--config-dir=/tmp/lab/nm/conf.d", "--pid-file=/tmp/lab/nm.pid",
                                          "--state-file=/tmp/lab/nm/state/NetworkManager.state"], "NetworkManager"))
lab.finish()
