# SPDX-License-Identifier: GPL-2.0-or-later
"""Two domains, and trust between them in one direction, in both, and by policy. Whatever they think of each other, a TCP session of the node survives each move:
where its anchor does not believe the AMA it visits, or that AMA does not serve it, it tells its anchor itself."""
from lab import Lab, sh

lab = Lab()
net = lab.roaming(networks=2, start=False, mnd_config="updates = prefer-proxy\ngrace = 60s")
# AMA2 is of another domain. The node believes both; each AMA has a file of its own.
ours, theirs = "/tmp/lab/domain", "/tmp/lab/domain2"
sh(["amactl", "domain", "init", "--dir", theirs, "other"])
sh(["amactl", "domain", "add-ama", "--dir", theirs, "ama2", "--prefix", "2001:db8:102::/48", "--out", ours + "/ama2.identity", "--force"])
token = {1: open(ours + "/trusted-domains").read().split()[0], 2: open(theirs + "/trusted-domains").read().split()[0]}
sh(["amactl", "domain", "trust", "--dir", ours, token[2]])
for i in net.ar:
    sh(["mkdir", "-p", "/tmp/lab/trust%d" % i])
    net.start_radvd(i)
    sh(["mkdir", "-p", "/tmp/lab/ama%d/amad.conf.d" % i])
    with open("/tmp/lab/ama%d/amad.conf.d/trust.conf" % i, "w") as f:
        f.write("[ama]\ntrusted-domains = /tmp/lab/trust%d/trusted-domains\n" % i)
    net.start_amad(i)
net.start_mnd()


def trust(i, *words):
    """AMA i trusts the other domain, with these options."""
    sh(["amactl", "domain", "trust", "--dir", "/tmp/lab/trust%d" % i, token[3 - i], *words])
    sh(["amactl", "--socket", "/tmp/lab/ama%d/sock" % i, "reload"])


def distrust(i):
    open("/tmp/lab/trust%d/trusted-domains" % i, "w").close()
    sh(["amactl", "--socket", "/tmp/lab/ama%d/sock" % i, "reload"])


def count(i, name):
    return net.amactl(i, "status")["counters"][name]


def visit(path, what):
    """To network 2, where the update goes that way, and home again."""
    net.radios[0].move(2)
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == path, "%s: %s" % (what, path), 30)
    got = tcp.progress()
    lab.wait(lambda: tcp.progress() > got + 50000, "the session at network 2")
    b = net.bindings(1)
    lab.check(len(b) == 1 and b[0]["type"] == ("proxied" if path == "proxied" else "direct"), "%s: bound, %s (%s)" % (what, b[0]["type"], net.home(1)["way"]))


def home():
    net.radios[0].move(1)
    lab.wait(lambda: net.home(1)["state"] == "native", "native again")


hoa1 = net.attach(1)
tcp = net.session(hoa1)

trust(2)  # they trust us, we do not trust them
visit("tunnel", "they trust us alone")
lab.check(len(net.leases(2)) == 1 and net.leases(2)[0]["domain"] == "lab", "their AMA leases our node a prefix")
lab.check(count(1, "channel-untrusted") > 0 and net.amactl(1, "peers")["peers"] == [], "our anchor did not hear their AMA: %d handshakes refused" % count(1, "channel-untrusted"))
home()

distrust(2)  # we trust them, they do not trust us
trust(1)
visit("tunnel", "we trust them alone")
lab.check(net.amactl(2, "visits")["visits"] == [] and count(2, "trust-untrusted") > 0, "their AMA serves our node no more: %d times refused" % count(2, "trust-untrusted"))
home()

trust(2)  # both
visit("proxied", "both trust each other")
p1, p2 = net.amactl(1, "peers")["peers"], net.amactl(2, "peers")["peers"]
lab.check([(p["name"], p["domain"], p["state"], p["received_accepted"]) for p in p1] == [("ama2", "other", "connected", 1)], "AMA1: AMA2 of the other domain passed an update on")
lab.wait(lambda: net.amactl(1, "peers")["peers"][0]["rtt_ms"] is not None, "the round trip")
lab.check([(p["name"], p["domain"], p["accepted"]) for p in p2] == [("ama1", "lab", 1)] and p2[0]["rtt_ms"] > 0 and p2[0]["tx_bytes"] > 100, "AMA2: AMA1 took it")
lab.check(net.amactl(2, "visits")["visits"][0]["domain"] == "lab", "a visit of our domain there")
home()
lab.wait(lambda: net.amactl(2, "visits")["visits"] == [], "AMA2 to forget the node")

trust(1, "proxy=no")
visit("tunnel", "our policy: proxy=no")
d = {d["name"]: d for d in net.amactl(1, "status")["domains"]}
lab.check(d["other"]["proxy"] is False and d["other"]["refused"]["proxy"] > 0 and d["lab"]["leases"] == 1, "amactl status: the policy, and %d refused by it" % d["other"]["refused"]["proxy"])
lab.check("ama2 of domain other is refused: proxy in trusted-domains" in net.amad[1].output(), "and the log says so")
lab.check("the anchor refused" in net.home(1)["way"] and "no answer" not in net.home(1)["way"], "the node was told, it did not wait: " + net.home(1)["way"])
lab.check(net.amactl(1, "peers")["peers"][0]["policy"] == "proxy=no", "amactl peers: %s" % net.amactl(1, "peers")["peers"][0]["last_error"])
home()

with open("/tmp/lab/trust1/trusted-domains", "a") as f:
    f.write("# to be\n%s lent=no\n" % token[1])
r = sh(["amactl", "--socket", "/tmp/lab/ama1/sock", "reload"], check=False)
lab.check("/tmp/lab/trust1/trusted-domains:3: 'lent=no' is not known" in r, "a fault is refused with file and line: " + r.splitlines()[0])

r = tcp.end()
lab.check(r["ok"], "one TCP session through eight moves, checksums right: %(up)d bytes up, %(down)d down %(errors)s" % r)
lab.finish()
