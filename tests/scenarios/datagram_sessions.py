# SPDX-License-Identifier: GPL-2.0-or-later
"""Sessions that are not TCP keep a home address through moves: UDP bound, UDP connected, UDP-Lite, raw and SCTP, where this kernel has them; what is bound
to no home address keeps none. UDP ends with its socket, of which there is news; of the others it is noticed when the binding is renewed."""
import socket
from lab import Lab, inside, now

GRACE, LIFETIME = 2, 8
lab = Lab()
net = lab.roaming(networks=3, mnd_config="grace = %ds\nbinding-lifetime = %ds" % (GRACE, LIFETIME))
CN = "2001:db8:c::2"
UDPLITE, SCTP = 136, 132


def node_socket(kind, protocol, bind=None, connect=None):
    """None where this kernel has no such sockets."""
    with inside("mn"):
        try:
            s = socket.socket(socket.AF_INET6, kind, protocol)
        except OSError:
            return None
    s.settimeout(5)
    if bind:
        s.bind((bind, 0))
    if connect:
        s.connect(connect)
    return s


def listener(kind, protocol, port):
    with inside("cn"):
        try:
            s = socket.socket(socket.AF_INET6, kind, protocol)
        except OSError:
            return None
    s.settimeout(5)
    s.bind(("::", port))
    return s


def both_ways(s, peer):
    """A datagram to the correspondent's socket peer and one back. The first may be lost: that is what a datagram is for."""
    for _ in range(3):
        try:
            s.sendto(b"there", (CN, peer.getsockname()[1])) if s.type != socket.SOCK_STREAM else s.send(b"there")
            data, source = peer.recvfrom(100)
            peer.sendto(b"back", source)
            if data == b"there" and s.recv(100) == b"back":
                return source[0]
        except TimeoutError:
            pass
    return None


def sessions():
    return {x["protocol"]: x for x in net.mnctl("sessions")["sessions"]}


peer, lite_peer = listener(socket.SOCK_DGRAM, 0, 7000), listener(socket.SOCK_DGRAM, UDPLITE, 7001)
hoa1 = net.attach(1)
lab.check(net.mnctl("sessions")["sessions"] == [], "no session yet")
loose = node_socket(socket.SOCK_DGRAM, 0)  # neither bound nor connected
loose.sendto(b"x", (CN, 7000))
peer.recvfrom(100)
any_port = node_socket(socket.SOCK_DGRAM, 0, bind="::")
lab.check(net.mnctl("sessions")["sessions"] == [], "a UDP socket that is not bound to an address, nor connected, is none")
lab.check(net.home(1)["sessions"] == 0, "nor does mnctl leases count one")
bound = node_socket(socket.SOCK_DGRAM, 0, bind=hoa1)
lab.check(both_ways(bound, peer) == hoa1, "a UDP socket bound to the first home address")
lab.check(net.home(1)["state"] == "native" and net.home(1)["sessions"] == 1, "mnctl leases counts it, at home, too")
hoa2 = net.attach(2)
connected = node_socket(socket.SOCK_DGRAM, 0, connect=(CN, 7000))
lab.check(connected.getsockname()[0] == hoa2 and both_ways(connected, peer) == hoa2, "in network 2, one connected: the kernel took that network's home address")

for network in (3, 1, 2, 3):
    net.attach(network)
    lab.wait(lambda: all(net.home(i)["state"] == ("native" if i == network else "bound") for i in (1, 2)), "the bindings in network %d" % network)
    lab.check(both_ways(bound, peer) == hoa1 and both_ways(connected, peer) == hoa2, "both go on in network %d, each under its address" % network)
shown = {x["home_address"]: x for x in net.mnctl("sessions")["sessions"]}
lab.check(shown[hoa1]["peer"] is None and shown[hoa2]["peer"] == CN and all(x["protocol"] == "udp" and x["tunnelled"] for x in shown.values()) and len(shown) == 2,
          "mnctl sessions shows the bound one without a peer, the connected one with it")
bound.close()
t0 = now()
lab.wait(lambda: "ama1" not in net.homes() and net.bindings(1) == [] and net.leases(1) == [], "the release", GRACE + 5)
lab.check(now() - t0 > GRACE / 2, "closed: its address is released after %.1f s" % (now() - t0))
lab.check(both_ways(connected, peer) == hoa2, "the other one goes on")
lab.wait(lambda: now() > t0 + LIFETIME * 2, "two lifetimes of the binding", 30)
lab.check(net.home(2)["state"] == "bound" and both_ways(connected, peer) == hoa2, "also when its binding has been renewed")
connected.close()
lab.wait(lambda: "ama2" not in net.homes(), "the release", GRACE + 5)

# --- protocols of whose end the kernel says nothing
hoa3 = net.home(3)["address"]
lite = node_socket(socket.SOCK_DGRAM, UDPLITE, bind=hoa3)
raw = node_socket(socket.SOCK_RAW, 253, bind=hoa3)
sctp, sctp_peer = None, listener(socket.SOCK_STREAM, SCTP, 7002)
if sctp_peer:
    sctp_peer.listen()
    sctp = node_socket(socket.SOCK_STREAM, SCTP, bind=hoa3, connect=(CN, 7002))
    accepted = sctp_peer.accept()[0]
have = [n for n, s in (("raw", raw), ("sctp", sctp), ("udplite", lite)) if s]
known = sessions()
lab.check(sorted(known) == have, "listed: " + " ".join(sorted(known)))
lab.check(known["raw"]["port"] == 253, "a raw socket's port is its protocol")
lab.check(net.home(3)["state"] == "native" and net.home(3)["sessions"] == len(have), "mnctl leases counts them all at home: %d" % len(have))
net.attach(1)
lab.wait(lambda: net.home(3)["state"] == "bound", "the binding")
lab.check(net.home(3)["sessions"] == len(have), "they keep the address through a move: %d" % net.home(3)["sessions"])
if lite:
    lab.check(both_ways(lite, lite_peer) == hoa3, "UDP-Lite goes on")
if sctp:
    sctp.send(b"there")
    lab.check(accepted.recv(100) == b"there", "SCTP goes on")
sequence = net.bindings(3)[0]["sequence"]
lab.wait(lambda: net.bindings(3)[0]["sequence"] != sequence, "a renewal", LIFETIME)
lab.check(net.home(3)["state"] == "bound", "and through a renewal of the binding")
for s in (lite, raw, sctp):
    if s:
        s.close()
t0 = now()
lab.wait(lambda: "ama3" not in net.homes() and net.leases(3) == [], "the release", LIFETIME + GRACE + 10)
lab.check(now() - t0 > GRACE / 2, "closed: released with the renewal that was due, and the grace time: %.1f s" % (now() - t0))
lab.finish()
