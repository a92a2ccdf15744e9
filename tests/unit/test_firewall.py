#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Doctors read real rule sets: what nft, ip6tables-nft and firewalld put into the kernel is found, and the remedy, run as printed, mends it. In network and
mount namespaces of its own; skipped where there are none, or this kernel has no nftables."""
import json, os, shutil, subprocess, sys, tempfile, time

BUILD = os.environ.get("builddir", ".")
failed = passed = 0
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth><policy context="default"><allow user="*"/><allow own="*"/>
<allow send_type="method_call"/><allow send_type="signal"/><allow send_requested_reply="true"/><allow receive_type="method_call"/><allow receive_type="signal"/><allow eavesdrop="true"/></policy></busconfig>"""


def check(condition, text):
    global failed, passed
    print(("ok - " if condition else "not ok - ") + text)
    failed, passed = failed + (not condition), passed + bool(condition)


def sh(command, **kw):
    return subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, timeout=120, **kw)


def doctor(tool, config):
    r = subprocess.run([BUILD + "/" + tool, "--json", "--config", config, "doctor"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=120)
    return [f for f in json.loads(r.stdout)["checks"] if f["check"] in ("firewall", "rpfilter") and f["level"] in ("warn", "fail")]


def heal(what, tool, config, *words):
    found = doctor(tool, config)
    for f in found:
        print("# %(level)s %(text)s\n#      %(remedy)s" % f)
    for w in words:
        check(any(w in f["text"] for f in found), "%s: %s: '%s' is found" % (what, os.path.basename(tool), w))
    for remedy in dict.fromkeys(f["remedy"] for f in found):
        r = sh(remedy)
        check(r.returncode == 0, "%s%s" % (remedy, ": " + r.stdout if r.returncode else ""))
    left = doctor(tool, config)
    check(not left, "%s: mended %s" % (what, left or ""))


def main(work):
    for c in ("ip link set lo up", "mount -t tmpfs tmpfs /run"):
        if sh(c).returncode:
            return 77
    with open(work + "/amad.conf", "w") as f:
        f.write("[ama]\naccess = lan0\n")
    with open(work + "/mnd.conf", "w") as f:
        f.write("[mnd]\n")
    mnctl, amactl = ("mnd/mnctl", work + "/mnd.conf"), ("amad/amactl", work + "/amad.conf")

    r = sh("nft add table inet own")
    if r.returncode:
        print("skipped: this kernel has no nftables: " + r.stdout)
        return 77
    r = sh("nft -f - <<'END'\ntable inet own {\n chain mine_in { type filter hook input priority 0; policy drop; iifname lo accept; ct state established,related accept; tcp dport { 22, 80-90 } accept;\n"
           " icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept; }\n chain mine_forward { type filter hook forward priority 0; policy drop; iifname { \"lan0\", \"up*\" } counter accept; oifname vmap { \"lan0\" : accept }; }\n"
           " chain mine_pre { type filter hook prerouting priority -300; meta nfproto ipv6 fib saddr . iif oif missing drop; }\n}\nEND")
    check(r.returncode == 0, "rules of a person's own " + r.stdout)
    heal("nft", *mnctl, "tunnelled packets of anchors", "reverse path")
    heal("nft", *amactl, "location updates", "packets that come out of the tunnel", "packets that go into the tunnel")
    sh("nft flush ruleset")

    if sh("ip6tables-nft -P FORWARD DROP && ip6tables-nft -A INPUT -p udp -m comment --comment 'not here' -m multiport --dports 1000:9000 -j REJECT && ip6tables-nft -A INPUT -p 41 -j DROP").returncode == 0:
        heal("ip6tables-nft", *amactl, "location updates", "tunnelled packets", "packets of nodes")
        sh("nft flush ruleset; ip6tables-nft -P FORWARD ACCEPT")

    if all(map(shutil.which, ("firewalld", "firewall-cmd", "dbus-daemon"))):
        shutil.copytree("/etc/firewalld", work + "/firewalld")
        if sh("mount --bind %s/firewalld /etc/firewalld && mkdir -p /run/dbus" % work).returncode:
            return 1
        with open(work + "/bus.conf", "w") as f:
            f.write(BUS)
        bus = subprocess.Popen(["dbus-daemon", "--config-file=" + work + "/bus.conf", "--nopidfile", "--nofork"])
        end = time.time() + 60
        while not os.path.exists("/run/dbus/system_bus_socket") and time.time() < end:
            time.sleep(0.05)
        daemon = subprocess.Popen(["firewalld", "--nofork", "--nopid"])
        while sh("firewall-cmd --state").returncode and daemon.poll() is None and time.time() < end:
            time.sleep(0.1)
        heal("firewalld", *mnctl, "tunnelled packets of anchors", "reverse path")
        heal("firewalld", *amactl, "location updates", "packets that come out of the tunnel")
        daemon.terminate()
        bus.terminate()
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    if os.environ.get("DMM_IN_NAMESPACE") != "1":
        if os.geteuid() != 0 or not shutil.which("nft") or sh("unshare --net --mount --pid --fork --mount-proc --propagation private true").returncode:
            print("skipped: needs root, nft and namespaces")
            sys.exit(77)
        with tempfile.TemporaryDirectory() as t:
            sys.exit(subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", sys.executable, os.path.abspath(__file__), t],
                                    env=dict(os.environ, DMM_IN_NAMESPACE="1")).returncode)
    sys.exit(main(sys.argv[1]))
