# SPDX-License-Identifier: GPL-2.0-or-later
"""hoa-exec --isolate: a command of an unprivileged user in a network namespace that holds just one address of the home network prefix. Its connections survive
moves, natively and through the tunnel; what watches netlink inside hears nothing of a move; nothing else gets out of it or into it; the node forwards nothing."""
import json, os, signal, subprocess, sys
from lab import Lab, inside, sh

USER, OTHER = "4242", "4243"
lab = Lab()
net = lab.roaming(networks=3, without_ama=(3,), mnd_config="user = nobody\ngrace = 2s")
net.web(8)
SOCK = net.mn_dir + "/sock"
# inside: everything that rtnetlink tells after it began, and a line a datagram that is answered
INSIDE = """
import os, select, socket, struct, sys, time
news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
news.bind((0, 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 0x800 | 0x20000))  # links; addresses, routes, settings, prefixes of both kinds
s = socket.create_connection(("2001:db8:c::2", 7793))
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.connect(("2001:db8:c::2", 7794))
print("address", s.getsockname()[0], os.getuid(), *sorted(set(os.listdir("/proc/self/net/dev_snmp6")) - {"ip6tnl0", "sit0", "tunl0"}), flush=True)
n = 0
while True:
    s.send(b"hello")
    try:
        u.send(b"dgram")
    except OSError:
        pass
    end = time.monotonic() + 0.05
    while (left := end - time.monotonic()) > 0:
        for r in select.select([news, s, u], [], [], left)[0]:
            data = r.recv(65536)
            if r is news:
                print("news", struct.unpack("=H", data[4:6])[0], flush=True)
            elif r is s and not data:
                sys.exit("the connection has ended")
            else:
                print("tcp" if r is s else "udp", flush=True)
"""


def as_user(user, *command):
    return ["setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups"] + list(command)


def hoa_exec(*args, user=USER):
    with inside("mn"):
        return subprocess.run(as_user(user, "hoa-exec", "--socket", SOCK, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=60)


echo = net.cn.spawn([sys.executable, "-c", """
import socketserver, threading, socket
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
threading.Thread(target=Server(("::", 7793), Echo).serve_forever).start()
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 7794))
while True:
    data, where = s.recvfrom(100)
    s.sendto(data * 280, where)
"""], name="echo")
lab.wait(lambda: all(":%d" % p in net.cn.run("ss -6tulnH") for p in (7793, 7794)), "the other end")
r = hoa_exec("--isolate", "true")
lab.check(r.returncode == 125 and "no home address yet" in r.stderr, "no network so far: 125")
hoa1 = net.attach(1)
capture = net.mn.capture("wlan0", "ip6")
program = net.mn.spawn(as_user(USER, "hoa-exec", "--socket", SOCK, "--isolate", sys.executable, "-c", INSIDE), name="inside")
lab.wait(lambda: program.output().count("tcp") > 3 and program.output().count("udp") > 3, "the isolated program")
first = program.output().splitlines()[0].split()
own = first[1]
lab.check(own.startswith("2001:db8:101:0:") and own != hoa1 and first[2:] == [USER, "home0", "lo"], "inside: %s, of the same home network prefix as %s; loopback and one device; still user %s" % (own, hoa1, first[2]))


def in_it(command):
    return sh(["nsenter", "-t", str(program.popen.pid), "-n"] + command.split())


addresses = [a["local"] for d in json.loads(in_it("ip -j -6 addr")) for a in d["addr_info"]]
lab.check(sorted(addresses) == sorted(["::1", own]), "no other address: %s" % addresses)
before = in_it("ip -6 addr") + in_it("ip -6 route show table all") + in_it("ip link")
p = net.mnctl("pins")["pins"]
lab.check(len(p) == 1 and p[0]["isolated"] and p[0]["home_address"] == own and p[0]["anchor"] == "ama1", "it is listed")
lab.check(hoa_exec("identify", str(program.popen.pid)).stdout.strip() == own, "identify")


def goes_on(where):
    n = [program.output().count(w) for w in ("tcp", "udp")]
    lab.wait(lambda: all(program.output().count(w) > k + 5 for w, k in zip(("tcp", "udp"), n)), "the isolated program to go on " + where)
    lab.check(program.alive(), "it goes on " + where)


net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
goes_on("in network 2, through the tunnel")
r = hoa_exec("--isolate", "--anchor", "ama1", "sh", "-c", "curl -sS -g -m 60 -o /dev/null -w '%{http_code} %{size_download} %{local_ip}' 'http://[2001:db8:c::2]:8080/file8'")
w = r.stdout.split()
lab.check(w[:2] == ["200", str(8 << 20)] and w[2].startswith("2001:db8:101:0:") and w[2] not in (own, hoa1), "another one, by the tunnel: 8 MB (%s, MTU right)" % r.stdout)
r = hoa_exec("--isolate", "curl", "-sS", "-g", "-m", "60", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{local_ip}", "http://[2001:db8:c::2]:8080/file8")
w = r.stdout.split()
lab.check(w[:2] == ["200", str(8 << 20)] and w[2].startswith("2001:db8:102:0:"), "natively: 8 MB " + r.stdout)
net.mnd.kill(signal.SIGKILL)
goes_on("while mnd is dead")
net.start_mnd()
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
goes_on("after mnd was started again")
net.radios[0].move(3)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["care_of"].startswith("2001:db8:a3:"), "the binding")
goes_on("in network 3, which has no anchor")
net.attach(1)
goes_on("back at home, natively")
lines = program.output().splitlines()
lab.check(not [l for l in lines if l.startswith("news")], "rtnetlink told nothing inside, in %d lines over four moves" % len(lines))
lab.check(in_it("ip -6 addr") + in_it("ip -6 route show table all") + in_it("ip link") == before, "and nothing has changed there")
with inside("mn"):
    forwarding = {i: open("/proc/sys/net/ipv6/conf/%s/forwarding" % i).read().strip() for i in os.listdir("/proc/sys/net/ipv6/conf")}
lab.check(set(forwarding.values()) == {"0"}, "forwarding is off on every device of the node: %s" % sorted(forwarding))

# who may: not into the namespace of somebody else
TRY = """
import array, json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
fd = os.open(sys.argv[2], os.O_RDONLY)
text = json.dumps({"method": "org.dmm.mnd.Pin", "parameters": {"isolate": True}}).encode() + b"\\0"
s.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))])
print(s.recv(4096).decode())
"""
open("/tmp/lab/try.py", "w").write(TRY)
for path, why in (("/proc/self/ns/net", "another one than mnd's"), ("/run/netns/cn", "not yours"), ("/etc/passwd", "network namespace")):
    r = net.mn.run(as_user(USER, sys.executable, "/tmp/lab/try.py", SOCK, path))
    lab.check("Failed" in r and why in r, "%s: %s" % (path, json.loads(r.strip().rstrip("\0"))["parameters"]["message"]))
lab.check("hoa" not in net.cn.ip("link"), "nothing was made there")
for options in (("--best-effort",), ("--pid", "1"), ("--type", "graceful")):
    lab.check(hoa_exec("--isolate", *options, *(() if "--pid" in options else ("true",))).returncode == 125, "not with " + " ".join(options))

# inside it is root who may do what it likes, and nothing else gets out
SPOOF = "ip addr add 2001:db8:101::bad/128 dev home0 && ping -6 -c 1 -W 1 -I 2001:db8:101::bad 2001:db8:c::2; ip addr del 2001:db8:101::bad/128 dev home0; ping -6 -c 1 -W 5 2001:db8:c::2 > /dev/null && echo pong"
r = hoa_exec("--isolate", "sh", "-c", SPOOF, user="0")
lab.check("pong" in r.stdout and "0 received" in r.stdout, "root's: on its own address, by no other (%s %s)" % (r.stdout.replace("\n", " "), r.stderr.strip()))
packets = [i for q in capture.packets() for i in (q, q.inner) if i]
lab.check(not [q for q in packets if q.src.endswith("::bad")], "captured: nothing by another address")
lab.check({q.src for q in packets if q.dport in (7793, 7794)} == {own}, "and all of the program by " + own)

program.kill()
lab.wait(lambda: net.mnctl("pins")["pins"] == [] and "hoa" not in net.mn.ip("link").replace("hoa-", ""), "the end of pin and device")
lab.wait(lambda: "7874" not in net.mn.run("tc filter show dev wlan0 ingress"), "the end of the filter")
lab.check(True, "nothing is left")
lab.finish()
