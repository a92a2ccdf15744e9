# SPDX-License-Identifier: GPL-2.0-or-later
# lab: needs legacy ip6tables
"""Packet filters that drop what is needed, Docker's rule set among them: doctor names the rule, and its remedy, run as printed, mends it: the session goes on."""
from healing import healers
from lab import Lab

lab = Lab()
net = lab.roaming(networks=2, ra="MinRtrAdvInterval 3; MaxRtrAdvInterval 4;")
hoa1 = net.attach(1)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
node, anchor = healers(lab, net)
works = lambda: "PING" in net.mn.run("ping -6 -c 1 -W 1 -I %s 2001:db8:c::2" % hoa1, check=False) and ", 0% packet loss" in net.mn.run("ping -6 -c 1 -W 1 -I %s 2001:db8:c::2" % hoa1, check=False)
lab.wait(works, "the tunnel")

for rule in ("INPUT -p udp -m udp --sport 7872 -j DROP", "INPUT -p ipv6 -j REJECT", "INPUT -p ipv6-icmp -m icmp6 --icmpv6-type packet-too-big -j DROP"):
    net.mn.run("ip6tables-legacy -A " + rule)
net.mn.run("ip6tables-legacy -t raw -A PREROUTING -m rpfilter --invert -j DROP")
lab.check(not works(), "a packet filter of the node: nothing comes through")
node.heal(("firewall", "answers of anchors"), ("firewall", "tunnelled packets of anchors"), ("firewall", "packet-too-big"), ("rpfilter", "strict reverse path"))
lab.wait(works, "the tunnel, mended")

net.ar[1].run("ip6tables-legacy-restore", input="*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:DOCKER - [0:0]\n:DOCKER-ISOLATION-STAGE-1 - [0:0]\n:DOCKER-USER - [0:0]\n"
              "-A INPUT -p udp -m udp --dport 7872 -j DROP\n-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n"
              "-A FORWARD -o docker0 -j DOCKER\n-A DOCKER-ISOLATION-STAGE-1 -j RETURN\n-A DOCKER-USER -j RETURN\nCOMMIT\n")
lab.check(not works(), "Docker's rule set on the anchor: nothing is forwarded")
anchor.heal(("firewall", "location updates"), ("firewall", "packets that come out of the tunnel"), ("firewall", "packets that go into the tunnel"), ("firewall", "packets of nodes"))
lab.wait(works, "the tunnel, mended")
lab.check(True, "and the session works again after each")
lab.finish()
