# SPDX-License-Identifier: GPL-2.0-or-later
"""A path in the middle with a smaller MTU, with packet-too-big messages getting through and without: no TCP session hangs, in either direction."""
import sys
from lab import Lab, now

lab = Lab()
net = lab.roaming(networks=3)
net.web(8)
hoa1 = net.attach(1)
upload = "import socket,sys;s=socket.socket(socket.AF_INET6);s.bind((sys.argv[1],0));s.connect(('2001:db8:c::2',9100));s.settimeout(30)\nfor i in range(64): s.sendall(b'x'*65536)\ns.shutdown(1);print(len(s.recv(100)))"
server = "import socket;l=socket.socket(socket.AF_INET6);l.setsockopt(1,2,1);l.bind(('::',9100));l.listen()\nwhile True:\n  s,_=l.accept();n=0\n  while True:\n    d=s.recv(65536)\n    if not d: break\n    n+=len(d)\n  s.sendall(str(n).encode());s.close()"
net.cn.spawn(["/usr/bin/python3", "-c", server], name="sink")
lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :9100"), "the sink")


def middle(i, mtu, blackhole):
    """The link between the core and access router i takes packets up to mtu; a black hole keeps quiet about larger ones."""
    for host, dev in ((net.core, "ar%d" % i), (net.ar[i], "up0")):
        host.ip("link set %s mtu %d" % (dev, mtu))
    # what a router says itself leaves by any of its interfaces; what the ends of the tunnel say is about what is inside, and gets through
    for host, devices in ((net.core, ["cn"] + ["ar%d" % k for k in net.ar]), (net.ar[i], ["up0", "lan0"])):
        for dev in devices:
            host.run("tc qdisc del dev %s clsact" % dev, check=False)
            if blackhole:
                host.run("tc qdisc add dev %s clsact" % dev)
                for about in (41, 17):  # IPv6 in IPv6; the probes
                    host.run("tc filter add dev %s egress protocol ipv6 u32 match ip6 protocol 58 0xff match u8 2 0xff at 40 match u8 %d 0xff at 54 action drop" % (dev, about))


def try_both(text):
    t = now()
    curl = net.download(hoa1, 8)
    curl.popen.wait(60)
    lab.check(curl.popen.returncode == 0 and net.checksum() == net.sums[8], "%s: download, %.1f s" % (text, now() - t))
    t = now()
    out = net.mn.run(["/usr/bin/python3", "-c", upload, hoa1], check=False, timeout=60)
    lab.check(out.strip().isdigit(), "%s: upload, %.1f s" % (text, now() - t))


# the session must exist before the move, so that its segments are as large as the home link's
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "200000", "600"])
cases = ((2, 1400, False), (3, 1400, True), (2, 1340, True), (3, 1500, False))
for network, mtu, blackhole in cases:
    middle(network, mtu, blackhole)
    curl = net.download(hoa1, 8, rate="3M", name="before")
    net.radios[0].move(network)
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a%d:" % network), "the binding")
    t = now()
    text = "MTU %d%s" % (mtu, " without packet-too-big" if blackhole else "")
    try_both(text)
    curl.popen.wait(60)
    lab.check(curl.popen.returncode == 0 and net.checksum("before") == net.sums[8], text + ": the download that was open before goes on")
    if blackhole:
        lab.wait(lambda: net.bindings(1)[0]["mtu"] + 40 <= mtu, "the anchor to know the tunnel's MTU")
        lab.check(mtu - 72 <= net.bindings(1)[0]["mtu"] <= mtu - 40, text + ": found by probing: %d inside" % net.bindings(1)[0]["mtu"])
    elif mtu == 1500:
        lab.wait(lambda: net.bindings(1)[0]["mtu"] == 1460, "the full size again")
        lab.check(True, "and the full size again on a clear path")
lab.finish()
