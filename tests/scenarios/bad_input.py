# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input changes nothing: configuration faults are located and leave the kernel alone; forged, replayed, truncated and malformed packets are
counted and visible in amactl status; what is missing is said in one sentence."""
import os, socket, subprocess, random
from lab import Lab, sh, Packet

lab = Lab()
net = lab.roaming(networks=2)
hoa1 = net.attach(1)


def run(host, command):
    r = subprocess.run(["nsenter", "--net=/run/netns/" + host.name] + command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout.strip()


other = lab.host("other")
before = other.kernel_state()
with open("/tmp/lab/bad.conf", "w") as f:
    f.write("[ama]\naccess = lan0\ntunel-mtu = 1460\nlease = 5 weeks\npool = 2001:db8::1/48\n[amma]\n")
code, text = run(other, ["amad", "-c", "/tmp/lab/bad.conf"])
print("# " + text.replace("\n", "\n# "))
lab.check(code == 2, "a bad configuration file: exit status 2")
for line, words in ((3, "unknown key 'tunel-mtu' in [ama]; did you mean 'tunnel-mtu'"), (4, "'5 weeks' is not a value for lease"), (5, "is not a value for pool"), (6, "did you mean [ama]")):
    lab.check("/tmp/lab/bad.conf:%d: " % line in text and words in text, "line %d is named: %s" % (line, words))
code, text = run(other, ["mnd", "--check", "-c", "/tmp/lab/nothing.conf"])
lab.check(code == 2 and "nothing.conf" in text, "a configuration file that was asked for and is not there")
lab.check(other.kernel_state() == before, "the kernel was not touched")

with open("/tmp/lab/ok.conf", "w") as f:
    f.write("[ama]\naccess = nowhere0\nidentity = /tmp/lab/domain/ama2.identity\nstate-dir = /tmp/lab/other\ncontrol-socket = /tmp/lab/other.sock\n")
code, text = run(other, ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", "amad", "-c", "/tmp/lab/ok.conf"])
lab.check(code == 1 and "CAP_NET_ADMIN" in text, "no privilege: " + text.splitlines()[-1])
other.ip("link add taken type ip6tnl external")
code, text = run(other, ["amad", "-c", "/tmp/lab/ok.conf"])
lab.check(code == 1 and "taken" in text and "ip link del taken" in text, "the tunnel taken by another program: " + text.splitlines()[-1])
other.ip("link del taken")
os.chmod("/tmp/lab/domain/ama2.identity", 0o644)
code, text = run(other, ["amad", "-c", "/tmp/lab/ok.conf"])
lab.check(code == 1 and "identity" in text, "a key that others can read: " + text.splitlines()[-1])
os.chmod("/tmp/lab/domain/ama2.identity", 0o600)
p = other.spawn(["amad", "-c", "/tmp/lab/ok.conf"])
lab.wait(lambda: "is ready" in p.output(), "amad without its interface")
lab.check("waiting for nowhere0" in p.output(), "a missing access interface is waited for")
p.kill()

# packets: capture what the node says to its anchor, then send it again, cut and changed
capture = net.core.capture("ar1")
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
said = [p.payload[8:] for p in capture.packets() if p.is_signalling() and p.dst == "2001:db8:a1::1"]
lab.check(len(said) >= 1, "captured %d datagrams of the node" % len(said))
state, bindings = net.ar[1].kernel_state(), net.bindings(1)
counters = lambda: net.amactl(1, "status")["counters"]
n0 = counters()
sender = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
for line in sys.stdin:
    try: s.sendto(bytes.fromhex(line.strip()), ("2001:db8:a1::1", 7872))
    except OSError: pass
"""
random.seed(7)
lines = []
for data in said:
    lines.append(data.hex())
    lines += [data[:n].hex() for n in range(0, len(data), 7)]
    for _ in range(50):
        b = bytearray(data)
        b[random.randrange(len(b))] ^= 1 << random.randrange(8)
        lines.append(bytes(b).hex())
lines += [bytes(random.randrange(256) for _ in range(random.randrange(1, 1200))).hex() for _ in range(300)]
net.cn.run(["/usr/bin/python3", "-c", sender], input="\n".join(lines) + "\n")
lab.wait(lambda: counters()["udp-rx"] >= n0["udp-rx"] + len(lines) - 20, "the datagrams to arrive")
n1 = counters()
lab.check(net.bindings(1)[0]["care_of"] == bindings[0]["care_of"] and len(net.bindings(1)) == 1, "the binding is as it was")
lab.check(net.ar[1].kernel_state() == state, "the kernel is as it was")
changed = {k: n1[k] - n0.get(k, 0) for k in n1 if k.startswith("channel-") and n1[k] > n0.get(k, 0) and k != "channel-ok"}
lab.check(sum(changed.values()) >= len(lines) - 20, "each was counted by its reason: %s" % changed)
lab.check(any(k in changed for k in ("channel-replay", "channel-timestamp")), "replays among them")
text = sh(["amactl", "--socket", "/tmp/lab/ama1/sock", "status"])
lab.check("channel-mac1" in text or "channel-auth" in text, "amactl status shows them")

# the data plane: a spoofed tunnel packet is dropped and counted
spoof = """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 41)
inner = bytes([0x60,0,0,0, 0,8, 17, 64]) + socket.inet_pton(socket.AF_INET6, "%s") + socket.inet_pton(socket.AF_INET6, "2001:db8:c::2") + bytes([0x13,0x88,0x13,0x88,0,8,0,0])
for i in range(10): s.sendto(inner, ("2001:db8:a1::1", 0))
""" % hoa1
net.cn.run(["/usr/bin/python3", "-c", spoof])
lab.wait(lambda: counters()["decap-wrong-source"] >= 10, "the source check")
lab.check(counters()["decap-wrong-source"] == 10, "10 packets in the node's name from elsewhere: dropped and counted")
lab.check("PING" in net.mn.run("ping -6 -c 2 -W 2 -I %s 2001:db8:c::2" % hoa1), "and the node's own pass")
lab.finish()
