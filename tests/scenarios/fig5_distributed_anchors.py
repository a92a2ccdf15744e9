# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten home addresses in use from ten networks, with ten anchors: each session stays on its own through every move, and each anchor is clean
when its session has ended, the others untouched."""
import socket, threading
from lab import Lab, inside, now

N, GRACE = 10, 2
lab = Lab()
net = lab.roaming(networks=N, mnd_config="grace = %ds" % GRACE)
clean = {i: net.ar[i].kernel_state() for i in net.ar}


def serve(s):
    while data := s.recv(4096):
        s.sendall(data)
    s.close()


def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


with inside("cn"):
    echo = socket.create_server(("::", 7000), family=socket.AF_INET6)
threading.Thread(target=accept, args=(echo,), daemon=True).start()
sessions, homes = {}, {}


def alive(i):
    """Through this session a byte there and back."""
    sessions[i].send(b"x")
    return sessions[i].recv(1) == b"x"


def bound_elsewhere(here):
    known = net.homes()
    return all(known["ama%d" % i]["state"] == ("native" if i == here else "bound") for i in sessions)


for i in range(1, N + 1):
    homes[i] = net.attach(i)
    with inside("mn"):
        sessions[i] = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    sessions[i].settimeout(20)
    sessions[i].connect(("2001:db8:c::2", 7000))  # the kernel chooses the address
    lab.wait(lambda: bound_elsewhere(i), "the bindings from network %d" % i)
    if not all([alive(k) for k in sessions]):
        lab.fail("every session works in network %d" % i)
lab.check(all(sessions[i].getsockname()[0] == homes[i] for i in sessions) and len(set(homes.values())) == N, "ten sessions, each on the home address of the network where it began")
here = N

core = net.core.capture("ar1", "ip6 proto 41")
tcp = net.session(homes[1])
for target in (1, 5, 3, 9, 2):
    before = tcp.progress()
    net.radios[0].move(target)
    lab.wait(lambda: bound_elsewhere(target), "the bindings from network %d" % target)
    ok = [i for i in sessions if alive(i)]
    care_of = {i: [b["care_of"] for b in net.bindings(i)] for i in sessions}
    lab.check(ok == sorted(sessions), "in network %d: all %d sessions go on" % (target, len(ok)))
    lab.check(all(len(c) == (0 if i == target else 1) and all(a.startswith("2001:db8:a%d:" % target) for a in c) for i, c in care_of.items()),
              "and each anchor has its one binding, to the care-of address there, but the one at home")
    lab.wait(lambda: tcp.progress() > before + 20000, "the TCP session from network %d" % target)
    here = target

t = tcp.end()
lab.check(t["ok"], "a TCP session on the first home address through five moves, checksums right: %(up)d bytes up, %(down)d down %(errors)s" % t)
tunnelled = [p for p in core.packets() if p.inner and p.inner.between("2001:db8:101:", "2001:db8:c::2")]
ends = {(p.src if p.dst == "2001:db8:a1::1" else p.dst).split("::")[0][:13] for p in tunnelled}
lab.check(len(tunnelled) > 100 and all("2001:db8:a1::1" in (p.src, p.dst) for p in tunnelled), "on the wire its packets are in tunnels of anchor 1 alone: %d" % len(tunnelled))
lab.check(all(any(e.startswith("2001:db8:a%d" % k) for e in ends) for k in (5, 3, 9, 2)), "which ended in each of the four networks")
shown = net.mnctl("sessions")["sessions"]
lab.check(sorted((s["anchor"], s["home_address"], s["tunnelled"]) for s in shown) == sorted(("ama%d" % i, homes[i], i != here) for i in sessions), "mnctl sessions: ten, nine tunnelled")
ports = {s.getsockname()[1] for s in sessions.values()}
lab.check({s["port"] for s in shown} == ports, "of these sockets")

took = []
for i in (7, 1, 10, 4, 3, 9, 8, 6, 5):
    sessions.pop(i).close()
    t0 = now()
    lab.wait(lambda: "ama%d" % i not in net.homes() and net.leases(i) == [] and net.bindings(i) == [], "anchor %d" % i, GRACE + 5)
    took.append(now() - t0)
    lab.wait(lambda: net.ar[i].kernel_state() == clean[i], "the kernel of access router %d as before" % i, 5)
    if not all([alive(k) for k in sessions]) or not bound_elsewhere(here):
        lab.fail("the other sessions go on when that of network %d has ended" % i)
lab.check(min(took) > GRACE / 2, "closed one by one: each anchor clean, to the last route, after %.1f to %.1f s (grace time %d)" % (min(took), max(took), GRACE))
lab.check(list(sessions) == [here] and alive(here) and [h["state"] for h in net.homes().values()] == ["native"], "what is left is the session of this network, native")
encap = [i for i in net.ar if "encap" in net.ar[i].ip("-6 route show table all")]
lab.check(encap == [] and "encap" not in net.mn.ip("-6 route show table all"), "and not one tunnel")
lab.finish()
