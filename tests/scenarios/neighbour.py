# SPDX-License-Identifier: GPL-2.0-or-later
"""A neighbour on the access link sends with a source out of another node's prefix: nothing of it passes the AMA, while the node is at home, is served by the
AMA, or has gone. The node itself may change its link-layer address."""
import time

from lab import Lab, Radio, read_pcap

lab = Lab()
lab.add_hosts("eve")
net = lab.roaming(networks=2, mnd_config="updates = prefer-proxy")
eve = lab.host("eve")
eve.sysctl("net.ipv6.conf.all.forwarding", 0)
radio = Radio(eve, "wlan0", net.radio)
capture = net.cn.capture("eth0", "udp port 6666 or udp port 6667")
hoa1 = net.attach(1)
send = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("%s", 0))
for i in range(10): s.sendto(b"x", ("2001:db8:c::2", %d))
"""


def spoof(network, after):
    """As a neighbour in network; returns what its AMA counted."""
    radio.move(network)
    eve.ip("-6 route flush proto ra")
    lab.wait(lambda: "default" in eve.ip("-6 route"), "the neighbour's default route")
    eve.ip("addr replace %s/128 dev wlan0 nodad" % hoa1)
    lab.wait(lambda: eve.run(["/usr/bin/python3", "-c", send % (hoa1, 6666)], check=False) is not None, "its packets")
    lab.wait(lambda: net.amactl(network, "status")["counters"]["access-wrong-node"] >= after + 10, "the drops at AMA%d" % network)
    eve.ip("addr del %s/128 dev wlan0" % hoa1)
    return net.amactl(network, "status")["counters"]["access-wrong-node"]


def own(what):
    net.mn.run(["/usr/bin/python3", "-c", send % (hoa1, 6667)])
    n = lambda: len([p for p in read_pcap(capture.path) if p.between(hoa1, "2001:db8:c::2") and p.dport == 6667])
    lab.wait(lambda: n() % 10 == 0 and n() > own.seen, "the node's own packets " + what)
    own.seen = n()
    lab.check(True, "the node's own packets pass " + what)


own.seen = 0
own("at home")
n1 = spoof(1, 0)
lab.check(n1 >= 10, "at home: %d packets of a neighbour dropped" % n1)

# a node may change its address, as Wi-Fi clients do; its AMA hears of it
net.mn.ip("link set wlan0 address 02:00:00:00:77:01")
lab.wait(lambda: " 0% packet loss" in net.mn.run("ping -6 -c 2 -W 1 -I %s 2001:db8:c::2" % hoa1, check=False), "the node under its new address")
own("with another link-layer address")
lab.check(net.leases(1)[0]["link_layer"] == "02:00:00:00:77:01", "its AMA knows: " + net.leases(1)[0]["link_layer"])

# it changes again, its router does not hear of it and answers into nothing; then it moves: nothing is waited for on the network that it left
net.mn.sysctl("net.ipv6.conf.wlan0.ndisc_notify", 0)
net.mn.ip("link set wlan0 address 02:00:00:00:77:02")
time.sleep(1.5)
stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 10000)
lab.wait(lambda: len(stream.packets()) > 20, "the stream")
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == "proxied", "the binding through AMA2")
own("through AMA2")
n2 = spoof(2, 0)
lab.check(n2 >= 10, "served by AMA2: %d packets of a neighbour dropped" % n2)
n1 = spoof(1, n1) - n1
lab.check(n1 >= 10, "away: %d packets of a neighbour on its home link dropped" % n1)

net.amad[2].kill(9)
net.start_amad(2)
own("after AMA2 was killed and started again")
n2 = spoof(2, 0)
lab.check(n2 >= 10, "which knows the node: %d packets of a neighbour dropped" % n2)
lab.check(not [p for p in capture.packets() if p.dport == 6666], "nothing of the neighbour's arrived")
r = stream.end()
# packets of 10 ms: an answer that is waited for on the network that was left costs a second of them
lab.check(r["lost"] < 100, "the node's stream went on: %d of %d, longest gap %.0f ms" % (r["received"], r["sent"], r["gap_ms"]))
lab.finish()
