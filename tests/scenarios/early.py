# SPDX-License-Identifier: GPL-2.0-or-later
"""An anchor turns its route before the serving AMA has read its yes. What comes in between is delivered, however long that takes, and nothing of it stays."""
import signal, socket
from lab import Lab, inside

lab = Lab()
net = lab.roaming(networks=2, radios=2, mnd_config="updates = prefer-proxy")
hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]
up = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9002, 20000)  # a session of the node
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, 5000)
lab.wait(lambda: len(down.packets()) > 100, "the stream")
with inside("core"):
    core = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x86dd))
core.bind(("ar1", 0x86dd))
AMAS = socket.inet_pton(socket.AF_INET6, "2001:db8:a1::1") + socket.inet_pton(socket.AF_INET6, "2001:db8:a2::1")


def signalled(packet):
    return packet[6] == 17 and packet[8:40] == AMAS and packet[40:42] == (7872).to_bytes(2, "big")


pulled = []  # numbers of the packets that an unplugged link may have taken with it, as ranges


def home_again():
    before = down.packets()[-1][0]
    net.radios[1].unplug()
    lab.wait(lambda: net.home(1)["state"] == "native", "native again")
    lab.wait(lambda: net.amactl(2, "visits")["visits"] == [], "AMA2 to forget the node", 20)
    pulled.append(range(before + 1, down.packets()[-1][0]))


net.radios[1].plug(2)  # once, so that the AMAs have a session
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
home_again()
dropped = net.amactl(2, "status")["counters"]

# the anchor's yes is on its way for 200 ms: when it is seen in the core, the AMA that waits for it is stopped. Not for long: after a second the node
# tells its anchor itself. On a machine on which that second is over too soon it is tried again.
net.delay(2, 400)
radio = net.ar[2].capture("lan0")
for attempt in range(8):
    core.settimeout(0)
    try:
        while core.recv(2048):  # what came until now
            pass
    except BlockingIOError:
        core.settimeout(60)
    net.radios[1].plug(2)
    while not signalled(core.recv(2048)):
        pass
    net.amad[2].popen.send_signal(signal.SIGSTOP)
    seen = len(down.packets())
    lab.wait(lambda: len(down.packets()) > seen + 60, "packets on the new path: those on the old one, and then some")
    routes = net.ar[2].ip("-6 route show table all proto 108")
    net.amad[2].popen.send_signal(signal.SIGCONT)
    lab.wait(lambda: net.home(1)["state"] == "bound", "the answer")
    if net.home(1)["path"] == "proxied":
        break
    home_again()
lab.check(net.home(1)["path"] == "proxied", "the yes came in time, at attempt %d" % (attempt + 1))
lab.check(prefix1 + " via fe80:" in routes and "table 7791" in routes, "AMA2 had not read the yes: a route for what the anchor sends")
lab.check(not [l for l in routes.splitlines() if l.startswith(prefix1) and "7791" not in l], "there was no route to the prefix for anything else")
lab.check(len([p for p in radio.packets() if p.between("2001:db8:c::2", "2001:db8:101:")]) > 10, "they came over network 2")
lab.check(net.ar[2].ip("-6 route show table 7791 proto 108") == "" and "via fe80:" in net.ar[2].ip("-6 route show " + prefix1 + " proto 108"), "after the yes it is a visit like any other")
r = down.end()
lost = set(range(r["sent"])) - {p[0] for p in r["packets"]}
air = {n for gone in pulled for n in gone if n in lost}
lab.check(lost == air, "%d of %d lost%s, longest gap %.0f ms; %d were on a link that was unplugged"
          % (len(lost - air), r["sent"], " " + str(sorted(lost - air)) if lost != air else "", r["gap_ms"], len(air)))
c = net.amactl(2, "status")["counters"]
lab.check(all(c[k] == dropped[k] for k in c if k.startswith("decap-") and k != "decap-passed"), "AMA2 dropped none at the end of the tunnel")
lab.finish()
