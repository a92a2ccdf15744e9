# SPDX-License-Identifier: GPL-2.0-or-later
# lab: needs legacy ip6tables
"""Docker's rule set on the node and then on its anchor, as dockerd with ip6tables on leaves it: policy DROP for what is forwarded. The node does not mind it; at the
anchor nothing is forwarded, doctor names the policy, and its remedies, run as printed, mend it: the session that stood still goes on."""
from healing import healers
from lab import Lab

# the chains and rules of dockerd 28 after its start, with its default bridge (moby, integration/network/bridge/iptablesdoc/generated/new-daemon.md), and the policy
# that it sets where it turned forwarding on itself
DOCKER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-BRIDGE - [0:0]
:DOCKER-CT - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-BRIDGE -o docker0 -j DOCKER
-A DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-CT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -j DOCKER-BRIDGE
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
COMMIT
"""

lab = Lab()
net = lab.roaming(networks=3, ra="MinRtrAdvInterval 3; MaxRtrAdvInterval 4;")
node, anchor = healers(lab, net)
net.mn.run("ip6tables-legacy-restore", input=DOCKER)
hoa1 = net.attach(1)
tcp = net.session(hoa1)
lab.wait(lambda: tcp.progress() > 50000, "the session at home")
net.radios[0].move(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == "tunnel", "the binding")
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 200000, "the session through the tunnel")
found = [f for f in node.doctor()[1] if f["check"] == "firewall"]
lab.check(not found, "Docker's rules on the node: the session goes on after the move, and doctor has no fault to find with them %s" % (found or ""))

works = lambda: ", 0% packet loss" in net.mn.run("ping -6 -c 1 -W 1 -I %s 2001:db8:c::2" % hoa1, check=False)
lab.wait(works, "the tunnel")
net.ar[1].run("ip6tables-legacy-restore", input=DOCKER)
lab.check(not works(), "Docker's rules on the anchor: nothing is forwarded")
anchor.heal(("firewall", "packets that come out of the tunnel"), ("firewall", "packets that go into the tunnel"))
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 200000, "the session, mended")
net.radios[0].move(3)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["care_of"].startswith("2001:db8:a3:"), "the binding in network 3")
got = tcp.progress()
lab.wait(lambda: tcp.progress() > got + 200000, "the session after the next move")
t = tcp.end()
lab.check(t["ok"], "Docker's rules on the anchor: with the remedy the session goes on, also over the next move: %(up)d bytes up, %(down)d down %(errors)s" % t)
lab.finish()
