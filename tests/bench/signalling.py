# SPDX-License-Identifier: GPL-2.0-or-later
"""What a handover costs in signalling: datagrams and bytes (from the IPv6 header on) between the node and all anchors, from the move until the address
that was left is released, with 0, 1 and 10 sessions on ten earlier addresses of ten anchors. Path MTU probes are given apart. Prints lines "BENCH {json}".
Argument: moves a case."""
import json, socket, statistics, sys, time
from lab import Lab, inside

moves = int(sys.argv[1]) if len(sys.argv) > 1 else 6
OLD = 10
lab = Lab()
net = lab.roaming(networks=OLD + 2, mnd_config="grace = 1s")


def out(name, value, unit, limit, target):
    print("BENCH " + json.dumps({"name": name, "value": round(value, 3), "unit": unit, "limit": round(limit, 3), "ratio": round(value / limit, 3), "target": target}))


def settled(here, count):
    """The sessions' addresses are bound, the one here is native, no other is left and nothing is outstanding."""
    homes = net.homes()
    return (homes["ama%d" % here]["state"] == "native" and len(homes) == count + 1 and
            all(h["state"] == "bound" for name, h in homes.items() if name != "ama%d" % here) and
            all(b["outstanding"] == "none" for b in net.mnctl("bindings")["bindings"]))


def handovers(count):
    """Datagrams and bytes of each move, and the same of the probes, with count sessions."""
    out = []
    for k in range(moves + 1):
        target = OLD + 1 + k % 2
        capture = net.mn.capture("wlan0", "udp port 7872")
        net.radios[0].move(target)
        lab.wait(lambda: settled(target, count), "the handover to network %d" % target, 40)
        time.sleep(1)  # a probe that is lost would be sent again in this time
        heard = capture.packets()
        small, probes = [p.size for p in heard if p.size < 1280], [p.size for p in heard if p.size >= 1280]
        if k:  # the first comes from an old network
            out.append((len(small), sum(small), len(probes), sum(probes)))
    print("# %d sessions: datagrams %s, bytes %s, probes %s" % (count, [o[0] for o in out], [o[1] for o in out], [o[2] for o in out]))
    return [statistics.median(column) for column in zip(*out)]


sessions = []
with inside("cn"):
    listener = socket.create_server(("::", 7000), family=socket.AF_INET6)
net.attach(OLD + 1)
for count in (0, 1, OLD):
    while len(sessions) < count:
        hoa = net.attach(len(sessions) + 1)
        with inside("mn"):
            s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.bind((hoa, 0))
        s.connect(("2001:db8:c::2", 7000))
        sessions.append((s, listener.accept()[0]))
    datagrams, size, probes, probe_size = handovers(count)
    text = "%d session%s on old addresses, median" % (count, "" if count == 1 else "s")
    # an update and an answer for each address in use, for the new network's and for the one given back
    out("signalling a handover, messages, " + text, datagrams, "messages", 2 * (count + 2), "<= 1 (an update and its answer an address)")
    # update: IPv6 40, home address option 24, ESP 8 + 16 (AES-CBC), RFC 6275 6.1.7 with alternate care-of address 32 padded to 48, SHA1-96 12 = 148;
    # answer: 40, routing header 24, 24, 6.1.8 16 padded to 32, 12 = 132
    out("signalling a handover, bytes, " + text, size, "bytes", 280 * (count + 2), "<= 1 (as many of Mobile IPv6 with ESP, RFC 3776)")
    if count:
        out("path MTU probes a handover, " + text, probes, "messages", 2 * count, "<= 1 (one and its answer an anchor)")
lab.check(True, "measured")
lab.finish()
