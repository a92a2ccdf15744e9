# SPDX-License-Identifier: GPL-2.0-or-later
"""Mobility state exists as long as a session needs it, and no longer: what the old anchor hears and has, and what crosses the core, with no session,
with one, when it ends, when another one begins in the grace time, and when it begins before anything was bound."""
import json, socket, struct, threading
from lab import Lab, inside, now

GRACE = 4
lab = Lab()
net = lab.roaming(networks=3, mnd_config="grace = %ds\nuser = nobody" % GRACE)


def echo_server(port):
    """On the correspondent; each connection's bytes come back."""
    def serve(s):
        while data := s.recv(4096):
            s.sendall(data)
        s.close()

    def accept():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with inside("cn"):
        listener = socket.create_server(("::", port), family=socket.AF_INET6)
    threading.Thread(target=accept, daemon=True).start()


def connect(address, port=7000, timeout=10):
    with inside("mn"):
        s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        s.settimeout(timeout)
        s.bind((address, 0))
    s.connect(("2001:db8:c::2", port))
    return s


def works(s):
    s.send(b"x")
    return s.recv(1) == b"x"


class Monitor:
    """mnctl monitor or amactl monitor, running; events(name) are the data of its events."""

    def __init__(self, host, program, path):
        self.process = host.spawn([program, "--json", "--socket", path, "monitor"], name=program + "-monitor-" + host.name)
        lab.wait(lambda: self.all(), "the monitor")

    def all(self):
        return [json.loads(l) for l in self.process.output().splitlines() if l.endswith("}")]

    def events(self, name):
        return [e["data"] for e in self.all() if e["event"] == name]


def transitions(address):
    return [(e["to"], e["reason"]) for e in node.events("home_address") if e["address"] == address]


def released(i):
    return "ama%d" % i not in net.homes() and net.leases(i) == [] and net.bindings(i) == []


echo_server(7000)
node = Monitor(net.mn, "mnctl", net.mn_dir + "/sock")
anchor = Monitor(net.ar[1], "amactl", "/tmp/lab/ama1/sock")

# --- no session: the old anchor hears the release and nothing else
hoa1 = net.attach(1)
core = net.core.capture("ar1")
t0 = now()
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "deprecated", "the unused address to be deprecated")
lab.check(net.bindings(1) == [], "moved without a session: no binding at the old anchor")
lab.wait(lambda: released(1), "the release", GRACE + 5)
lab.check(now() - t0 >= GRACE - 0.5, "released after the grace time: %.1f s (configured: %d)" % (now() - t0, GRACE))
heard = core.packets()
lab.check(not [p for p in heard if p.inner], "no tunnel packet crossed the core")
signalling = [p for p in heard if p.is_signalling()]
kinds = [p.payload[8] >> 4 for p in signalling]
lab.check(1 <= kinds.count(8) <= 2 and len(kinds) <= 4, "the old anchor's link: %d datagrams of the secure channel, %d of them a handshake's" % (len(kinds), kinds.count(15)))
lab.check([e["event"] for e in anchor.all()[1:]] == ["lease_granted", "lease_released"], "the old anchor heard of the release only: " +
          " ".join(e["event"] for e in anchor.all()[1:]))
lab.check(transitions(hoa1) == [("native", "leased"), ("deprecated", "moved"), ("releasing", "grace time over"), ("released", "acknowledged")],
          "its life: " + ", ".join("%s (%s)" % t for t in transitions(hoa1)))
lab.check(hoa1 not in net.mn.ip("-6 addr") and "mnd0" not in net.ar[1].ip("-6 route show proto 108"), "nothing is left of it in the kernel")

# --- one session: exactly one binding; gone with it
hoa2 = net.home(2)["address"]
s = connect(hoa2)
lab.check(works(s), "a session on the address of network 2")
shown = net.mnctl("sessions")["sessions"]
lab.check(len(shown) == 1 and not shown[0]["tunnelled"] and shown[0]["anchor"] == "ama2", "mnctl sessions: native at its anchor")
core = {i: net.core.capture("ar%d" % i) for i in (2, 3)}
net.attach(3)
lab.wait(lambda: net.home(2)["state"] == "bound", "the binding")
lab.check([len(net.bindings(i)) for i in (1, 2, 3)] == [0, 1, 0], "away with one session: exactly one binding")
lab.check(works(s), "it goes on")
shown = net.mnctl("sessions")["sessions"]
lab.check(len(shown) == 1 and shown[0]["tunnelled"] and shown[0]["protocol"] == "tcp" and shown[0]["peer"] == "2001:db8:c::2" and shown[0]["peer_port"] == 7000
          and shown[0]["home_address"] == hoa2 and shown[0]["port"] == s.getsockname()[1], "mnctl sessions: tunnelled, with both ends")
lab.check([p["name"] for p in shown[0]["processes"]] == ["python3"], "and its process: %s" % shown[0]["processes"])
table = net.mn.run(["mnctl", "--socket", net.mn_dir + "/sock", "sessions"])
print("".join("# %s\n" % l for l in table.splitlines()), end="")
lab.check("python3(" in table and "[2001:db8:c::2]:7000" in table, "as a table")
since = shown[0]["since_s"]

# --- a restart of the daemon keeps session and since when it is known
t1 = now()
lab.wait(lambda: net.mnctl("sessions")["sessions"][0]["since_s"] >= since + 2, "two seconds")
net.mnd.kill(9)
net.start_mnd()
lab.wait(lambda: net.home(2)["state"] == "bound", "the binding after the restart")
after = net.mnctl("sessions")["sessions"]
lab.check(len(after) == 1 and since + 2 <= after[0]["since_s"] <= since + 3 + now() - t1, "killed and started again: known since %.0f s, %.0f s before" % (after[0]["since_s"], since))
lab.check(works(s), "and the session goes on")
node = Monitor(net.mn, "mnctl", net.mn_dir + "/sock")

# --- it ends, and another one begins in the grace time: bound as before, and nothing was said to the anchor
anchor = Monitor(net.ar[2], "amactl", "/tmp/lab/ama2/sock")
s.close()
lab.wait(lambda: net.home(2)["state"] == "idle", "idle")
s = connect(hoa2)
lab.wait(lambda: net.home(2)["state"] == "bound", "the new session to be noticed", 2)
lab.check(works(s), "a session that begins in the grace time works at once")
lab.check(transitions(hoa2)[-2:] == [("idle", "last session ended"), ("bound", "session began")], "and keeps the address: " + ", ".join("%s (%s)" % t for t in transitions(hoa2)[-2:]))
t0 = now()
lab.wait(lambda: now() > t0 + GRACE + 1, "more than the grace time", GRACE + 5)
lab.check(net.home(2)["state"] == "bound" and anchor.all()[1:] == [], "also when that is over, and the anchor has heard nothing of it")
s.close()
t0 = now()
lab.wait(lambda: released(2), "the release", GRACE + 5)
lab.check(now() - t0 >= GRACE - 0.5, "its last session closed: gone after %.1f s (grace time %d)" % (now() - t0, GRACE))
lab.check([e["event"] for e in anchor.all()[1:]] == ["binding_deleted", "lease_released"] or [e["event"] for e in anchor.all()[1:]] == ["lease_released"],
          "the anchor heard: " + " ".join(e["event"] for e in anchor.all()[1:]))
tunnelled = [p for i in core for p in core[i].packets() if p.inner]
lab.check(tunnelled and all(p.inner.between(hoa2, "2001:db8:c::2") for p in tunnelled), "only the session's packets were tunnelled: %d" % len(tunnelled))

# --- unused at the move, then used: noticed by its first packet
hoa3 = net.home(3)["address"]
net.attach(1)
lab.wait(lambda: net.home(3)["state"] == "deprecated", "deprecated")
t0 = now()
s = connect(hoa3)
lab.check(works(s), "a session that begins on an address without a binding: connected after %.1f s, by SYN %d" % (now() - t0, 1 + struct.unpack_from("I", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]))
lab.check(net.home(3)["state"] == "bound" and transitions(hoa3)[-2:] == [("binding", "session began"), ("bound", "acknowledged")],
          "noticed by its first packet: " + ", ".join("%s (%s)" % t for t in transitions(hoa3)))

# --- what is no session: a half-closed connection whose application is gone
with inside("cn"):
    l = socket.create_server(("2001:db8:c::2", 7001), family=socket.AF_INET6)
half = connect(hoa3, 7001)
peer = l.accept()[0]
s.close()
half.close()  # the peer does not close: FIN_WAIT2 here, for a minute
t0 = now()
lab.wait(lambda: "FIN-WAIT-2" in net.mn.run("ss -6tanH"), "FIN_WAIT2")
lab.wait(lambda: released(3), "the release", GRACE + 5)
lab.check(now() - t0 >= GRACE - 0.5, "a connection that only waits for its peer's end holds nothing: %.1f s" % (now() - t0))
lab.finish()
