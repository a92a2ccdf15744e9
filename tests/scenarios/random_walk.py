# SPDX-License-Identifier: GPL-2.0-or-later
"""A node on a random walk: it moves, bounces, uses one or two radios, through networks with an AMA, with two links of one, with none; daemons are killed and
started again, packets are lost, other software deletes what is ours, the way of updates changes, the clock jumps, leases are taken back, anchors are drained;
sessions and pinned and isolated programs begin and end. After each step that leaves it a network everything comes to rest: sessions and programs go on, anchors
and node agree. At the end nothing is left of it. Arguments: steps (25), seed (1): by the seed's lowest bits it begins with prefer-proxy, and AMA 3 is below AMA 2."""
import random, signal, sys, time
from lab import KERNEL, Lab, sh

# a program with a connection, a line an answer
CLIENT = """
import socket, sys, time
s = socket.create_connection(("2001:db8:c::2", 7793))
while True:
    s.sendall(b"hello")
    got = b""
    while len(got) < 5:
        data = s.recv(5 - len(got))
        if not data:
            sys.exit("the connection has ended")
        got += data
    print(got.decode(), flush=True)
    time.sleep(0.05)
"""
ECHO = """
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    address_family = socketserver.socket.AF_INET6
Server(("::", 7793), Echo).serve_forever()
"""

STEPS, SEED = int((sys.argv + ["25"])[1]), int((sys.argv + ["", "1"])[2])
random.seed(SEED)
print("# seed %d, %d steps" % (SEED, STEPS))
lab = Lab()
WAYS = ("prefer-direct", "prefer-proxy", "direct-only")
net = lab.roaming(networks=4, without_ama=(4,), radios=2, start=False, mnd_config="grace = 2s\nupdates = " + WAYS[SEED % 2], amad_config="access = lan1\nbinding-lifetime = 24s")
net.second_link(2, 9)
REGIONAL = "2001:db8:a2::1" if SEED & 2 else None


def start_amad(i):
    net.amad_config = "access = lan1\nbinding-lifetime = 24s" + ("\nthrough = " + REGIONAL if REGIONAL and i == 3 else "")
    net.start_amad(i)


for i in (1, 2, 3):
    net.start_radvd(i)
    start_amad(i)
net.start_radvd(4)
net.start_mnd()
NETWORKS = (1, 2, 3, 4, 9)
AMA_OF = {1: 1, 2: 2, 3: 3, 9: 2}
sessions, programs, drained, where, ports, log = {}, {}, set(), [None, None], iter(range(7100, 7700)), []
wrong = 0  # the clock, seconds
net.cn.spawn([sys.executable, "-c", ECHO], name="echo")
lab.wait(lambda: ":7793" in net.cn.run("ss -6tlnH"), "the other end")

def selected():
    return [a for a in net.mnctl("status")["attachments"] if a["selected"]]


def open_session():
    """On the home address of the network that the node is in, if it has none yet."""
    for name, h in net.homes().items():
        if h["state"] == "native" and not h["deprecated"] and name not in sessions:
            sessions[name] = net.session(h["address"], port=next(ports), rate=40000)
            lab.wait(lambda: sessions[name].progress() > 0, "the first bytes of it")
            return "a session on %s" % name
    return "no session to begin"


def end_session():
    if len(sessions) < 2:
        return "no session to end"
    name = random.choice(sorted(sessions))
    end(name)
    return "the session on %s ends" % name


def end(name):
    r = sessions.pop(name).end()
    if not r["ok"]:
        lab.fail_now("the session on %s: %s" % (name, r))


def program():
    """One that is pinned, or isolated: begins, or ends."""
    how = random.choice(("pinned", "isolated"))
    if how in programs:
        if not programs[how].alive():
            lab.fail_now("the %s program: %s" % (how, programs[how].output()[-200:]))
        programs.pop(how).kill()
        return "the %s program ends" % how
    if not [h for h in net.homes().values() if h["state"] == "native" and not h["deprecated"]]:
        return "no home address for a program"
    programs[how] = net.mn.spawn(["hoa-exec", "--socket", net.mn_dir + "/sock"] + ["--isolate"] * (how == "isolated") + [sys.executable, "-c", CLIENT], name=how)
    lab.wait(lambda: "hello" in programs[how].output(), "the %s program" % how, 10)
    return "a program, %s on %s" % (how, [p["anchor"] for p in net.mnctl("pins")["pins"] if p["isolated"] == (how == "isolated")])


def end_programs(anchor):
    """Those whose home address is of this anchor."""
    for p in net.mnctl("pins")["pins"]:
        how = ("pinned", "isolated")[p["isolated"]]
        if p["anchor"] == anchor and how in programs:
            programs.pop(how).kill()


def revoke():
    """With it all ends that is on the address."""
    homes = {name: h for name, h in net.homes().items() if h["prefix"]}
    if not homes:
        return "no lease to take back"
    name = random.choice(sorted(homes))
    end_programs(name)
    if name in sessions:
        sessions.pop(name).abort()
    sh(["amactl", "--socket", "/tmp/lab/%s/sock" % name, "revoke", "--yes", homes[name]["prefix"]], check=False)  # the node may just have given it back
    lab.wait(lambda: homes[name]["prefix"] not in [h["prefix"] for h in net.homes().values()], "the node to drop %s" % homes[name]["prefix"], 30)
    return "%s takes %s back" % (name, homes[name]["prefix"])


def drain():
    i = random.choice((1, 2, 3))
    sh(["amactl", "--socket", "/tmp/lab/ama%d/sock" % i, "drain", "--yes"] + ["off"] * (i in drained))
    drained.symmetric_difference_update([i])
    return "AMA %d is %s" % (i, "drained" if i in drained else "no longer drained")


def clock():
    """Of all machines at once: they are on one kernel. Only on one of our own. Before credentials are valid nobody is believed: not that far back."""
    global wrong
    by, wrong = -wrong, random.choice((-3000, -300, -5, 5, 300, 7200))
    by += wrong
    if KERNEL != "native":
        time.clock_settime(time.CLOCK_REALTIME, time.time() + by)
    return "the clock jumps by %d s" % by


def plug(radio, network):
    net.radios[radio].plug(network)
    where[radio] = network


def unplug(radio):
    net.radios[radio].unplug()
    where[radio] = None


def move():
    network = random.choice(NETWORKS)
    plug(0, network)
    return "to network %d" % network


def bounce():
    networks = [random.choice(NETWORKS) for i in range(random.randint(2, 5))]
    for network in networks:
        plug(0, network)
        time.sleep(random.choice((0, 0.01, 0.05, 0.2, 0.6)))
    return "through networks %s" % networks


def other_radio():
    if where[1] is None:
        plug(1, random.choice([n for n in NETWORKS if n != where[0]]))
        return "the other radio comes up in network %d" % where[1]
    unplug(1)
    return "the other radio goes"


def make_before_break():
    network = random.choice(NETWORKS)
    plug(1, network)
    time.sleep(random.choice((0, 0.3, 1)))
    unplug(0)
    time.sleep(random.choice((0, 0.3, 1)))
    plug(0, network)
    unplug(1)
    return "over the other radio to network %d" % network


def kill_mnd():
    net.mnd.kill(signal.SIGKILL)
    text = "mnd is killed"
    if random.random() < 0.5:
        text += ", " + move()
    net.start_mnd()
    return text


def kill_amad():
    i = random.choice((1, 2, 3))
    net.amad[i].kill(signal.SIGKILL)
    text = "amad %d is killed" % i
    if random.random() < 0.5:
        text += ", " + move()
    time.sleep(random.choice((0, 0.3, 2)))
    start_amad(i)
    return text


def losses():
    i = random.choice((1, 2, 3))
    lab.netem(net.core, "ar%d" % i, "loss 30%")
    lab.netem(net.ar[i], "up0", "loss 30%")
    text = "a third lost at router %d, %s" % (i, move())
    time.sleep(random.choice((0.2, 1, 3)))
    for host, dev in ((net.core, "ar%d" % i), (net.ar[i], "up0")):
        host.run("tc qdisc del dev %s root" % dev)
    return text


def other_software():
    host = random.choice([net.mn] + [net.ar[i] for i in (1, 2, 3)])
    what = random.choice(("-6 route flush proto 108 table all", "-6 rule flush protocol 108", "nexthop flush protocol 108"))
    host.ip(what, check=False)
    return "ip %s on %s" % (what, host.name)


def other_way():
    way = random.choice(WAYS)
    net.set_mnd("updates", way)
    net.mnd_config = "grace = 2s\nupdates = " + way
    return "updates " + way


ACTIONS = ((move, 8), (bounce, 4), (other_radio, 3), (make_before_break, 2), (kill_mnd, 2), (kill_amad, 3), (losses, 2), (other_software, 2), (other_way, 2), (open_session, 4), (end_session, 1), (program, 4), (revoke, 1), (drain, 1), (clock, 2))


def care_of_known(name):
    """The anchor of a bound home address and the node are of one mind."""
    h, i = net.homes()[name], int(name[3:])
    b = [b for b in net.bindings(i) if b["hnp"] == h["prefix"]]
    return h["state"] == "bound" and len(b) == 1 and (b[0]["care_of"] == h["care_of"] or REGIONAL and (b[0]["care_of"], h["care_of"]) == (REGIONAL, "2001:db8:a3::1"))


def at_rest():
    at = selected()
    if not at:
        return False
    for name in sessions:
        h = net.homes()[name]
        if h["state"] == "native":
            if at[0]["ama_name"] != name or [b for b in net.bindings(int(name[3:])) if b["hnp"] == h["prefix"]]:
                return False
        elif not care_of_known(name):
            return False
    return True


def ours(host):
    """What is of a daemon in the kernel of a host."""
    out = [l.strip() for l in host.ip("-6 route show table all proto 108").splitlines() + host.ip("nexthop show proto 108", check=False).splitlines()]
    out += [l.strip() for l in host.ip("-6 rule").splitlines() if "proto 108" in l]
    return sorted(out + [l.split()[3] for dev in ("mnd0", "amad0") for l in host.ip("-o -6 addr show dev " + dev, check=False).splitlines() if "inet6" in l])


def settle(what):
    lab.wait(at_rest, "rest after step %s; where %s, sessions %s, homes %s" % (what, where, sorted(sessions), "see mnd's log"), 30)
    before = {name: s.progress() for name, s in sessions.items()}
    lines = {how: p.output().count("hello") for how, p in programs.items()}
    lab.wait(lambda: all(s.progress() > before[name] + 20000 for name, s in sessions.items()), "the sessions %s to go on after step %s" % (sorted(sessions), what), 30)
    lab.wait(lambda: all(p.output().count("hello") > lines[how] + 3 for how, p in programs.items()), "the programs %s to go on after step %s" % (sorted(programs), what), 30)


plug(0, 1)
lab.wait(lambda: net.home(1)["state"] == "native", "the first home address")
open_session()
worst = 0
for step in range(STEPS):
    action = random.choices([a for a, weight in ACTIONS], [weight for a, weight in ACTIONS])[0]
    what = action()
    log.append("%d: %s" % (step, what))
    print("# step %s; radios %s, sessions %s, programs %s" % (log[-1], where, sorted(sessions), sorted(programs)), flush=True)
    if random.random() < 0.7:
        t = time.monotonic()
        settle(log[-1])
        took = time.monotonic() - t
        worst = max(worst, took)
        if took > 5:
            print("# which took %.1f s to come to rest" % took, flush=True)
settle("the last")
lab.check(True, "%d steps: after each everything came to rest, after %.1f s at most, and every session went on" % (STEPS, worst))
for name in sorted(sessions):
    end(name)
for p in programs.values():
    p.kill()
for i in drained:
    sh(["amactl", "--socket", "/tmp/lab/ama%d/sock" % i, "drain", "--yes", "off"])
lab.check(True, "the sessions that were left had every byte right")
if where[1] is not None:
    unplug(1)
plug(0, 1)
lab.wait(lambda: [(n, h["state"]) for n, h in net.homes().items()] == [("ama1", "native")], "the node to have nothing but its address of network 1", 40)
lab.wait(lambda: not any(net.bindings(i) or net.amactl(i, "visits")["visits"] for i in (1, 2, 3)), "no binding and no visit to be left", 40)
lab.check(len(net.leases(1)) == 1 and not net.leases(2) and not net.leases(3), "at the end: one lease, no binding, no visit")
refused = {h: {k: n for k, n in s["counters"].items() if k.startswith("kernel-refused-") and n} for h, s in
           [("mn", net.mnctl("status"))] + [("ar%d" % i, net.amactl(i, "status")) for i in (1, 2, 3)]}
print("# the kernel refused since the last start: %s" % {h: r for h, r in refused.items() if r})
for host, daemon, start in ((net.mn, lambda: net.mnd, net.start_mnd), (net.ar[1], lambda: net.amad[1], lambda: start_amad(1)), (net.ar[2], lambda: net.amad[2], lambda: start_amad(2))):
    before = ours(host)
    daemon().kill(signal.SIGKILL)
    start()
    try:
        lab.wait(lambda: ours(host) == before, "what is in the kernel of %s to be what its daemon wants" % host.name, 5)
    except RuntimeError:
        lab.fail("what was in the kernel of %s and what its daemon wants: %s" % (host.name, sorted(set(before) ^ set(ours(host)))))
lab.check(True, "killed and started once more, each daemon finds all in the kernel that it wants, and nothing else of ours")
lab.finish()
