# SPDX-License-Identifier: GPL-2.0-or-later
"""amad is killed with SIGKILL at many random moments under load. After each restart nothing that was acknowledged is missing and nothing that was given up has
come back: leases and bindings are those of the last acknowledged update of each node, or of one that was sent after it; the kernel has just their routes. A TCP
stream of a real node through this anchor goes on meanwhile. Arguments: how often (200), seed."""
import random, re, signal, socket, sys, threading, time
from lab import Lab, inside, now, sh

POINTS, SEED = int((sys.argv + ["200"])[1]), int(sys.argv[2] if len(sys.argv) > 2 else time.time())
NODES = 500
random.seed(SEED)
print("# seed %d, %d points" % (SEED, POINTS))
lab = Lab()
net = lab.roaming(networks=2, amad_config="quarantine = 2s")
hoa1 = net.attach(1)

# a TCP stream down to the node, 1000 bytes every 20 ms
with inside("cn"):
    listener = socket.create_server(("::", 7000), family=socket.AF_INET6)
with inside("mn"):
    client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
client.bind((hoa1, 0))
client.connect(("2001:db8:c::2", 7000))
server = listener.accept()[0]
# and one that has nothing to do with the anchor: what stops that is this machine
with inside("core"):
    beside = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
beside.connect(("2001:db8:c::2", 7000))
beside_server = listener.accept()[0]
stop, gaps, beside_gaps = threading.Event(), [], []


def send(to):
    to.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while not stop.is_set():
        to.sendall(b"x" * 1000)
        time.sleep(0.02)


def receive(of, gaps):
    last = now()
    of.settimeout(30)
    while not stop.is_set() and of.recv(65536):
        t = now()
        gaps.append(t - last)
        last = t


net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
threads = [threading.Thread(target=f, args=args, daemon=True)
           for f, args in ((send, (server,)), (receive, (client, gaps)), (send, (beside_server,)), (receive, (beside, beside_gaps)))]
for t in threads:
    t.start()

# many nodes on the anchor's link
load = lab.host("load")
lab.link(load, "eth0", net.radio, "load")
net.radio.ip("link set load master lan1")
load.address("eth0", "2001:db8:a1::99/64")
lab.wait(lambda: "fe80" in load.ip("-6 addr show dev eth0"), "a link-local address")
ll = load.ip("-6 addr show dev eth0 scope link").split("inet6 ")[1].split("/")[0]
net.ar[1].route("2001:db8:bb::/64 via %s dev lan0" % ll)
load.ip("-6 route add local 2001:db8:bb::/64 dev lo")
load.ip("-6 route replace default via 2001:db8:a1::1")
journal = "/tmp/lab/journal"
mnload = load.spawn(["mnload", "--domain-key", "/tmp/lab/domain/domain.key", "--prefix", "2001:db8:bb::/64", "--link-local", ll, "--nodes", str(NODES), "--window", "300",
                     "--seconds", "3600", "--mix", "20", "--journal", journal, "2001:db8:a1::1"])
lab.wait(lambda: "bind " in mnload.output(), "the load")


class Book:
    """What the nodes sent and were told."""

    def __init__(self):
        self.file, self.maybe, self.acked, self.rest = open(journal), {}, 0, ""

    def read(self):
        text = self.rest + self.file.read()
        lines = text.split("\n")
        self.rest = lines.pop()
        for line in lines:
            w = line.split()
            node, sequence = int(w[1]), int(w[2])
            ops = self.maybe.setdefault(node, [])
            if w[0] == "S":
                ops.append((sequence, w[3], w[4], w[5]))
            elif w[3] == "0" or w[3] == "133":
                at = [i for i, o in enumerate(ops) if o[0] == sequence]
                if at:
                    ops[:at[-1]] = []
                    ops[0] = (sequence, "r" if w[3] == "133" else ops[0][1], w[4], ops[0][3])
                    self.acked += 1
            else:  # refused: it was not done
                ops[:] = [o for o in ops if o[0] != sequence or o is ops[0]]


def matches(op, lease, binding):
    _, kind, prefix, care_of = op
    if kind == "r":
        return not lease and not binding
    if not lease or (prefix != "-" and lease["hnp"] != prefix):
        return False
    if kind == "b":
        return bool(binding) and binding["care_of"] == care_of
    return not binding


def check(point, book):
    leases = {l["mn"]: l for l in net.leases(1)}
    bindings = {b["mn"]: b for b in net.bindings(1)}
    for node, ops in book.maybe.items():
        name = "load%d" % node
        if not any(matches(o, leases.get(name), bindings.get(name)) for o in ops):
            lab.fail_now("point %d: %s has %s and %s, but was told or sent %s" % (point, name, leases.get(name), bindings.get(name), ops))
    if "laptop" not in bindings:
        lab.fail_now("point %d: the node's binding is gone" % point)


def kernel_is_reconciled():
    leases, bindings = net.leases(1), {b["hnp"]: b["care_of"] for b in net.bindings(1)}
    nexthops = {int(m[1]): m[2] for m in re.finditer(r"id (\d+)\s+encap ip6 .*?dst (\S+)", net.ar[1].ip("nexthop show proto 108"))}
    routes = {}
    for line in net.ar[1].ip("-6 route show proto 108").splitlines():
        w = line.split()
        if not line.startswith(("unreachable", " ", "\t")):
            routes[w[0]] = nexthops.get(int(w[w.index("nhid") + 1])) if "nhid" in w else "native"
    wanted = dict(bindings, **{l["hnp"]: "native" for l in leases if l["state"] == "native"})
    return routes == wanted and sorted(nexthops.values()) == sorted(set(bindings.values())) or (routes, wanted, nexthops)


book, began, worst_restart = Book(), now(), 0
for point in range(POINTS):
    time.sleep(random.random() ** 2 * 0.25)
    net.amad[1].popen.send_signal(signal.SIGKILL)
    mnload.popen.send_signal(signal.SIGSTOP)
    net.amad[1].popen.wait()
    t = now()
    net.start_amad(1)
    worst_restart = max(worst_restart, now() - t)
    book.read()
    check(point, book)
    if point % 20 == 0:
        r = kernel_is_reconciled()
        if r is not True:
            lab.fail_now("point %d: the kernel differs: %s" % (point, r))
    mnload.popen.send_signal(signal.SIGCONT)
took = now() - began
lab.check(mnload.alive(), "%d kills in %.0f s under load: %d acknowledgements, none missing, nothing came back" % (POINTS, took, book.acked))
mnload.kill()
lab.check(book.acked > 3 * POINTS, "the load was one: %.0f acknowledgements between two kills" % (book.acked / POINTS))
lab.wait(lambda: kernel_is_reconciled() is True, "the kernel to be reconciled")
lab.check(True, "the kernel has just the routes of leases and bindings")
stop.set()
print("# TCP: longest gap %.0f ms of %d, of the one beside %.0f ms of %d; slowest restart as seen by amactl %.0f ms"
      % (max(gaps[5:]) * 1000, len(gaps), max(beside_gaps[5:]) * 1000, len(beside_gaps), worst_restart * 1000))
lab.check(max(gaps[5:]) < 1.0 + max(beside_gaps[5:]) and len(gaps) > len(beside_gaps) / 2, "a TCP stream through the anchor never stopped for longer than its own retransmission")
lab.finish()
