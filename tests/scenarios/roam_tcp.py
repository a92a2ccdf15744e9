# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP stream that begins in network 1 survives 20 handovers in a row, at a speed of the same order as with none; one of the networks
has no AMA at all. Afterwards everything of the old home addresses is released."""
import hashlib, os, socket, threading
from lab import Lab, inside, now

lab = Lab()
net = lab.roaming(networks=4, without_ama=[4])
hoa1 = net.attach(1)
BLOCK = os.urandom(1 << 16)
with inside("cn"):
    listener = socket.create_server(("::", 7000), family=socket.AF_INET6)


class Download:
    """The correspondent sends to the node until the node has had enough; both count and hash."""

    def __init__(self):
        with inside("mn"):
            self.client = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.client.bind((hoa1, 0))
        self.client.settimeout(120)
        self.client.connect(("2001:db8:c::2", 7000))
        self.server, self.begun = listener.accept()[0], now()
        self.stop, self.received, self.sums = threading.Event(), 0, [None, None]
        self.threads = [threading.Thread(target=f, daemon=True) for f in (self.send, self.receive)]
        for t in self.threads:
            t.start()

    def send(self):
        h = hashlib.sha256()
        while not self.stop.is_set():
            self.server.sendall(BLOCK)
            h.update(BLOCK)
        self.server.shutdown(socket.SHUT_WR)
        self.sums[0] = h.digest()

    def receive(self):
        h = hashlib.sha256()
        while data := self.client.recv(1 << 16):
            h.update(data)
            self.received += len(data)
        self.sums[1] = h.digest()

    def end(self):
        """Bytes a second; the connection is closed, all of it has arrived as it was sent."""
        self.stop.set()
        for t in self.threads:
            t.join(120)
        speed = self.received / (now() - self.begun)
        self.client.close(), self.server.close()
        return speed


# the path's own speed is limited, so that the comparison is fair
for i in range(1, 5):
    net.core.run("tc qdisc replace dev ar%d root tbf rate 20mbit burst 64kb latency 50ms" % i)
still = Download()
lab.wait(lambda: still.received > 8 << 20, "8 MB without moving")
alone = still.end()
lab.check(still.sums[0] == still.sums[1] is not None, "without moving: %.1f MB/s" % (alone / 1e6))

roaming = Download()
for k in range(20):
    target = (2, 3, 4, 1)[k % 4]
    down, up = net.radios[0].move(target)
    want = "native" if target == 1 else "bound"
    lab.wait(lambda: net.home(1)["state"] == want and (want == "native" or net.bindings(1)[0]["care_of"].startswith("2001:db8:a%d:" % target)),
             "home address 1 %s in network %d" % (want, target))
    settled, had = (now() - up) * 1000, roaming.received
    lab.wait(lambda: roaming.received > had + (1 << 18), "the stream in network %d" % target)
    lab.check(True, "handover %d to network %d, settled after %.0f ms, and the stream goes on" % (k + 1, target, settled))
speed = roaming.end()
lab.check(roaming.sums[0] == roaming.sums[1] is not None, "after 20 handovers all %d MB are as they were sent" % (roaming.received >> 20))
lab.check(speed > alone / 5, "at %.1f MB/s against %.1f MB/s without moving" % (speed / 1e6, alone / 1e6))
net.radios[0].move(1)
lab.wait(lambda: set(net.homes()) == {"ama1"}, "unused home addresses to be released", 60)
lab.check(net.leases(2) == [] and net.leases(3) == [], "the other anchors have no lease left")
lab.check("encap" not in net.mn.ip("-6 route show table all"), "and the node no tunnel")
lab.finish()
