# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab itself, without our daemons: the topology carries packets, a node moves between access networks and gets addresses from radvd and
from the fast router, delay and losses are visible and measured, captures decode, the kernel has the data plane that we need."""
import glob, os, re, shutil, socket
from lab import BUILD, KERNEL, Lab, now

lab = Lab()
net = lab.roaming(networks=3, radios=2, delay_ms=20, start=False)
mn, cn, core, ar1 = net.mn, net.cn, net.core, net.ar[1]
dad = "optimistic DAD" if os.path.exists("/proc/sys/net/ipv6/conf/all/optimistic_dad") else "no optimistic DAD: accept_dad is 0"
print("# kernel: %s, %s; %s" % (KERNEL, os.uname().release, dad))


def ping(host, destination, *options):
    """Times of the answers in ms."""
    out = host.run(["ping", "-6", "-n", "-c", "3", "-i", "0.05", "-W", "2"] + list(options) + [destination], check=False)
    return [float(x) for x in re.findall(r"time=([0-9.]+)", out)]


def slaac(network, dev="wlan0", deadline=10):
    """The node's address in an access network."""
    found = lambda: re.search(r"inet6 (2001:db8:a%d:\S+)/64 (?!.*tentative(?!.*optimistic))" % network, mn.ip("-6 addr show dev " + dev))
    return lab.wait(found, "an address in network %d" % network, deadline)[1]


# the topology and its delay
for i in net.ar:
    times = ping(cn, "2001:db8:a%d::1" % i)
    lab.check(len(times) == 3, "the correspondent reaches access router %d" % i)
    lab.check(20 <= min(times) < 40, "through 20 ms of netem: %.1f ms" % min(times))

# the node moves between three networks with real radvds
for i in net.ar:
    net.start_radvd(i)
capture = ar1.capture("lan0", "icmp6")
for i in (1, 2, 3, 1):
    down, up = net.radios[0].move(i)
    address = slaac(i)
    lab.check(up - down < 0.5, "moved to network %d in %.1f ms, address %s after %.0f ms" % (i, (up - down) * 1000, address, (now() - up) * 1000))
    router = lab.wait(lambda: [l for l in mn.ip("-6 route show default").splitlines() if "expires" in l], "a default route")
    lab.check(len(ping(mn, "2001:db8:a%d::1" % i, "-I", address)) > 0, "and reaches its router")
ras = [p for p in capture.packets() if p.next == 58 and p.payload[0] == 134]
lab.check(ras and all(p.payload[5] & 0x20 for p in ras), "captured %d router advertisements with the home-agent flag" % len(ras))
if shutil.which("tshark"):
    rows = [r for r in capture.decode("ipv6.src", "icmpv6.type", "icmpv6.nd.ra.flag.h", "icmpv6.opt.prefix") if r["icmpv6.type"] == "134"]
    lab.check(len(rows) == len(ras) and all(r["icmpv6.nd.ra.flag.h"] == "1" and r["icmpv6.opt.prefix"] == "2001:db8:a1::1" for r in rows), "and tshark agrees")
for p in net.radvd.values():
    p.kill()

# the router that answers solicitations at once says the same
net.start_fastra(2)
capture = net.ar[2].capture("lan0", "icmp6")
net.radios[1].plug(2)
slaac(2, "wlan1")
fast = [p for p in capture.packets() if p.next == 58 and p.payload[0] == 134]


def prefix_option(payload):
    at = 16
    while payload[at] != 3:
        at += 8 * payload[at + 1]
    return payload[at:at + 32]


mine, radvd = prefix_option(fast[0].payload), prefix_option(ras[0].payload)
lab.check(mine[:16] == radvd[:16], "the fast router's prefix option has radvd's flags and lifetimes")
lab.check([socket.inet_ntop(socket.AF_INET6, x[16:]) for x in (mine, radvd)] == ["2001:db8:a2::1", "2001:db8:a1::1"], "and the router's own address")
lab.check(fast[0].payload[4:6] == ras[0].payload[4:6], "hop limit and flags are radvd's")
net.radios[1].unplug()

# losses and gaps are what was done to the stream
address = slaac(1)
mn.ip("-6 route replace default via 2001:db8:a1::1 dev wlan0")
stream = net.stream("2001:db8:c::2", address, cn, mn, 9001, 10000, 3)
lab.wait(lambda: len(stream.packets()) > 50, "the stream")
down = net.radios[0].unplug()
lab.wait(lambda: now() > down + 0.5, "half a second")
up = net.radios[0].plug(1)
r = stream.result()
away = (up - down) * 1000
lab.check(abs(r["gap_ms"] - away) < 200, "unplugged for %.0f ms: a gap of %.0f ms" % (away, r["gap_ms"]))
delays = [(p[2] - p[1]) / 1000 for p in r["packets"]]
missed = r["lost"] + sum(1 for d in delays if d > 60)  # a router that was just looking for its neighbour keeps some for later
lab.check(away / 10 - 10 <= missed <= away / 10 + 25, "and %d of %d lost or late" % (missed, r["sent"]))
lab.check(10 <= min(delays) < 30, "one-way times are exact: at least %.2f ms" % min(delays))
lab.netem(core, "ar1", "loss 50%")
times = len(ping(cn, "2001:db8:a1::1", "-c", "40", "-i", "0.01"))
lab.check(5 < times < 35, "netem loses: %d of 40 came back" % times)
lab.netem(core, "ar1", "delay 0ms")

# a cable of its own kind
a, b = lab.host("a"), lab.host("b")
link = lab.link(a, "eth0", b, "eth0", mtu=1400)
a.address("eth0", "2001:db8:9::1/64")
b.address("eth0", "2001:db8:9::2/64")
lab.check(len(ping(a, "2001:db8:9::2")) == 3 and "mtu 1400" in a.ip("link show eth0"), "a link with its own MTU")
link.down()
lab.wait(lambda: "NO-CARRIER" in a.ip("link show eth0"), "the carrier to go", 3)
link.up()
lab.wait(lambda: "NO-CARRIER" not in a.ip("link show eth0"), "the carrier to come", 3)
lab.check(len(ping(a, "2001:db8:9::2")) == 3, "unplugged and plugged again")

# the data plane: external ip6tnl, a shared nexthop object, a route over it
for h, me, other, inner, far in ((a, 1, 2, "2001:db8:7::1", "2001:db8:8::"), (b, 2, 1, "2001:db8:8::1", "2001:db8:7::")):
    h.ip("link add t0 type ip6tnl external encaplimit none")
    h.ip("link set t0 up mtu 1360")
    h.address("lo", inner + "/128")
    h.ip("-6 nexthop add id 7 encap ip6 hoplimit 64 dst 2001:db8:9::%d src 2001:db8:9::%d dev t0" % (other, me))
    h.ip("-6 route add %s/64 nhid 7 proto 108" % far)
state = a.kernel_state()
capture = b.capture("eth0", "ip6 proto 41")
lab.check(len(ping(a, "2001:db8:8::1", "-I", "2001:db8:7::1")) == 3, "a ping through the tunnel")
inside = [p.inner for p in capture.packets() if p.inner]
lab.check(len(inside) == 6 and all(p.between("2001:db8:7::1", "2001:db8:8::1") for p in inside), "its 6 packets were captured and decoded")
lab.check(a.kernel_state() == state, "the kernel's state compares equal when nothing changed")
a.ip("-6 route del 2001:db8:8::/64")
lab.check(a.kernel_state() != state, "and not when a route is gone")

# tc-BPF on the tunnel: the source check's object file, if the build left one
found = [f for f in glob.glob(BUILD + "/common/*.bpf.o")]
if found:
    b.run("tc qdisc add dev t0 clsact")
    out = b.run("tc filter add dev t0 ingress bpf direct-action object-file %s section tc" % found[0], check=False)
    lab.check("bpf" in b.run("tc filter show dev t0 ingress") and not out.strip(), "a BPF program is attached to the tunnel " + out.strip()[:200])
lab.finish()
