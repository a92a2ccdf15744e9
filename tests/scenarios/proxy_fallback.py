# SPDX-License-Identifier: GPL-2.0-or-later
"""Which way a location update goes, and why: an AMA that passes none on, one that is silent, an anchor that is dead and holds nobody up; three home addresses
of two domains, one updated directly and two through the AMA; the AMA before sends on what still arrives."""
import signal, time
from lab import Lab, now, sh

lab = Lab()
net = lab.roaming(networks=4, start=False, mnd_config="updates = prefer-proxy\ngrace = 60s")
# network 2 is of another domain: its AMA trusts ours and we trust it, but its credential is its own domain's
d = "/tmp/lab/domain"
sh(["amactl", "domain", "init", "--dir", "/tmp/lab/domain2", "other"])
token = open("/tmp/lab/domain2/trusted-domains").read().split()[0]
sh(["amactl", "domain", "add-ama", "--dir", "/tmp/lab/domain2", "ama2", "--prefix", "2001:db8:102::/48", "--out", d + "/ama2.identity", "--force"])
sh(["amactl", "domain", "trust", "--dir", d, token])
for i in net.ar:
    net.start_radvd(i)
    net.amad_config = "proxy = no" if i == 3 else ""
    net.start_amad(i)
net.start_mnd()

hoa, up, tcp = {}, {}, {}
core = net.core.capture("ar1", "ip6 proto 41")
hoa[1] = net.attach(1)
up[1] = net.stream(hoa[1], "2001:db8:c::2", net.mn, net.cn, 9001, 20000)
tcp[1] = net.session(hoa[1], 7101)
hoa[2] = net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
lab.check(net.amactl(2, "status")["domain"] == "other" and net.home(1)["path"] == "proxied", "an AMA of another domain passes our update on")
up[2] = net.stream(hoa[2], "2001:db8:c::2", net.mn, net.cn, 9002, 20000)
tcp[2] = net.session(hoa[2], 7102)
lab.wait(lambda: len(up[2].packets()) > 10, "the second stream")

# an AMA that passes nothing on
hoa[3] = net.attach(3)
lab.wait(lambda: all(net.home(i)["state"] == "bound" for i in (1, 2)), "both bindings")
lab.check(all(net.home(i)["path"] == "tunnel" for i in (1, 2)), "AMA3 passes nothing on: direct")
lab.check("refused" in net.home(1)["way"] or "no AMA here" in net.home(1)["way"], "and it is said why: " + net.home(1)["way"])
up[3] = net.stream(hoa[3], "2001:db8:c::2", net.mn, net.cn, 9003, 20000)
tcp[3] = net.session(hoa[3], 7103)
lab.wait(lambda: len(up[3].packets()) > 10, "the third stream")

# a dead anchor holds nobody up
net.amad[1].popen.send_signal(signal.SIGSTOP)
got = {i: len(up[i].packets()) for i in up}
net.radios[0].move(4)
at = now()
lab.wait(lambda: all(net.home(i)["state"] == "bound" and net.home(i)["path"] == "proxied" for i in (2, 3)), "the other two")
took = now() - at
lab.check(net.home(1)["state"] == "binding", "anchor 1 is dead: its address waits, and the others are bound through AMA4 (after %.2f s)" % took)
lab.wait(lambda: len(up[2].packets()) > got[2] + 20 and len(up[3].packets()) > got[3] + 20, "their streams")
lab.wait(lambda: "no answer through the AMA" in net.mnd.output() or any(b["anchor"] == "ama1" and b["tries"] > 1 for b in net.mnctl("bindings")["bindings"]), "direct tries at anchor 1")
net.amad[1].popen.send_signal(signal.SIGCONT)
lab.wait(lambda: net.home(1)["state"] == "bound", "anchor 1 again", 60)
paths = {i: net.home(i)["path"] for i in (1, 2, 3)}
lab.check(paths == {1: "tunnel", 2: "proxied", 3: "proxied"}, "one direct and two proxied, of two domains: %s" % paths)
print("# anchor 1: %s" % net.home(1)["way"])
lab.check([b["type"] for i in (1, 2, 3) for b in net.bindings(i)] == ["direct", "proxied", "proxied"], "the anchors say the same")
lab.check(len(net.amactl(4, "visits")["visits"]) == 2, "AMA4 serves two prefixes")
tunnels = lambda: {i: [line.split(" dst ")[1].split()[0] for line in net.ar[i].ip("nexthop show proto 108").splitlines() if " dst " in line] for i in (1, 2, 3)}
# AMA2 still sends on to network 3 what came late for its visitor, for some seconds after that move
lab.wait(lambda: all(len(t) == 1 for t in tunnels().values()), "the end of what an AMA that was left sends on", 10)
ends = tunnels()
lab.check(len(ends[1]) == 1 and ends[1][0].startswith("2001:db8:a4:") and ends[1][0] != "2001:db8:a4::1" and ends[2] == ends[3] == ["2001:db8:a4::1"],
          "the kernels of the anchors tunnel one prefix to the node and two to AMA4: %s" % ends)
upstream = net.ar[4].ip("-6 route show table 7790 proto 108")
lab.check(upstream.count("default from") == 2 and "dst 2001:db8:a2::1" in upstream and "dst 2001:db8:a3::1" in upstream, "AMA4's kernel sends two prefixes to their two anchors")
got = {i: len(up[i].packets()) for i in up}
lab.wait(lambda: all(len(up[i].packets()) > got[i] + 20 for i in up), "all three streams")
lab.check(True, "all three sessions go on")

# the AMA itself dies: its visits' sessions go on directly from the next network
net.amad[4].kill(signal.SIGKILL)
net.radios[0].move(2)
lab.wait(lambda: net.home(2)["state"] == "native" and all(net.home(i)["state"] == "bound" for i in (1, 3)), "a move away from a dead AMA")
got = {i: len(up[i].packets()) for i in up}
lab.wait(lambda: all(len(up[i].packets()) > got[i] + 20 for i in up), "all three streams")
lab.check(True, "all three sessions survived the death of their serving AMA and a move")
got = {i: tcp[i].progress() for i in tcp}
lab.wait(lambda: all(tcp[i].progress() > got[i] + 20000 for i in tcp), "the TCP sessions", 60)
for i in tcp:
    t = tcp[i].end()
    lab.check(t["ok"], "TCP session %d through all of it, checksums right: %d bytes up, %d down %s" % (i, t["up"], t["down"], t["errors"]))
tunnelled = [p for p in core.packets() if p.src == "2001:db8:a1::1"]
lab.check(tunnelled and all(p.inner and p.inner.dst.startswith("2001:db8:101:") and p.dst.startswith("2001:db8:a") for p in tunnelled),
          "on the wire anchor 1's tunnels carry its own prefix alone: %d packets, to %s" % (len(tunnelled), sorted({p.dst for p in tunnelled})))
lab.finish()
