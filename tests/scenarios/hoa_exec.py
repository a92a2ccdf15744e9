# SPDX-License-Identifier: GPL-2.0-or-later
"""hoa-exec: what an unprivileged user runs with it, and all that this starts, is on one home address whatever network the node is in when a socket is
opened; nothing of it leaves under another address; nobody pins what is not theirs; it ends with its last process."""
import json, os, signal, subprocess, sys
from lab import Lab, inside

USER, OTHER, GRACE = "4242", "4243", 4
lab = Lab()
net = lab.roaming(networks=4, without_ama=(4,), mnd_config="grace = %ds\nuser = nobody" % GRACE)
net.web(1)
SOCK = net.mn_dir + "/sock"
URL = "http://[2001:db8:c::2]:8080/file1"
CURL = ["curl", "-sS", "-g", "-m", "20", "-o", "/dev/null", "-w", "%{local_ip}\n", URL]
# opens a TCP connection and sends a UDP datagram each 50 ms, and says under which address
OPENER = """
import socket, sys, time
def opened(kind, port):
    s = socket.socket(socket.AF_INET6, kind)
    s.settimeout(10)
    s.connect(("2001:db8:c::2", port))
    if kind == socket.SOCK_DGRAM:
        s.send(b"x")
    a = s.getsockname()[0]
    s.close()
    return a
while True:
    for kind, port in ((socket.SOCK_STREAM, 8080), (socket.SOCK_DGRAM, int(sys.argv[1]))):
        try:
            print(opened(kind, port), flush=True)
        except OSError as e:
            print("error", e, flush=True)
    time.sleep(0.05)
"""


def as_user(user, command):
    return ["setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups"] + command


def hoa_exec(*args, user=USER, **kw):
    with inside("mn"):
        return subprocess.run(as_user(user, ["hoa-exec", "--socket", SOCK] + list(args)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60, **({"stdin": subprocess.DEVNULL} | kw if "input" not in kw else kw))


def pins():
    return net.mnctl("pins")["pins"]


r = hoa_exec("true")
lab.check(r.returncode == 125 and "no home address yet" in r.stderr, "no network so far: " + r.stderr.splitlines()[0])
r = hoa_exec("--best-effort", "sh", "-c", "exit 3")
lab.check(r.returncode == 3 and "unpinned" in r.stderr, "with --best-effort it runs all the same")

hoa1 = net.attach(1)
opener = net.mn.spawn(as_user(USER, ["hoa-exec", "--socket", SOCK, sys.executable, "-c", OPENER, "7777"]), name="opener")
lab.wait(lambda: opener.output().count(hoa1) >= 4, "the pinned program")
p = pins()
lab.check(len(p) == 1 and p[0]["home_address"] == hoa1 and p[0]["uid"] == int(USER) and p[0]["pid"] == opener.popen.pid, "it is listed: %s %d" % (p[0]["command"], p[0]["pid"]))
capture = net.mn.capture("wlan0", "ip6")
hoa2 = net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
with inside("mn"):
    plain = subprocess.run(CURL, stdout=subprocess.PIPE, text=True).stdout.strip()
lab.check(plain == hoa2, "a program that is not pinned uses the address of network 2")
lab.check(hoa_exec(*CURL).stdout.strip() == hoa2, "pinned now: the same")
lab.check(hoa_exec("--anchor", "ama1", *CURL).stdout.strip() == hoa1, "--anchor: that of network 1")
lab.check(hoa_exec("--address", hoa1, "--", *CURL).stdout.strip() == hoa1, "--address")
out = hoa_exec("-n", "ama1", "sh", "-c", "%s & (%s) & wait" % (" ".join("'%s'" % w for w in CURL), " ".join("'%s'" % w for w in CURL))).stdout.split()
lab.check(out == [hoa1, hoa1], "a shell and its children")
inner = hoa_exec("-n", "ama1", "sh", "-c", "hoa-exec --socket %s --anchor ama2 %s; %s" % (SOCK, " ".join("'%s'" % w for w in CURL), " ".join("'%s'" % w for w in CURL))).stdout.split()
lab.check(inner == [hoa2, hoa1], "a pin inside a pin: the inner one counts, there")
r = hoa_exec("-n", "ama1", "sh", "-c", "cat; pwd; exit 7", input="in and out\n", cwd="/usr")
lab.check((r.returncode, r.stdout, r.stderr) == (7, "in and out\n/usr\n", ""), "input, directory and exit status are the command's")
lab.check(hoa_exec("/tmp/lab/no-such-command").returncode == 127 and hoa_exec("/etc/passwd").returncode == 126, "127 and 126 as a shell")
r = hoa_exec("--anchor", "nobody", "true")
lab.check(r.returncode == 125 and "mnctl leases" in r.stderr, "unknown anchor: " + r.stderr.splitlines()[0])

# whose
r = hoa_exec("--pid", str(opener.popen.pid), user=OTHER)
lab.check(r.returncode == 125 and "not yours" in r.stderr, "another user may not: " + r.stderr.strip())
r = hoa_exec("--pid", str(net.mnd.popen.pid))
lab.check(r.returncode == 125 and "not yours" in r.stderr, "nor pin the daemon")
running = net.mn.spawn(as_user(OTHER, [sys.executable, "-c", OPENER, "7778"]), name="running")
lab.wait(lambda: running.output().count(hoa2) >= 2, "an unpinned program")
r = hoa_exec("--pid", str(running.popen.pid), "--anchor", "ama1", user=OTHER)
lab.wait(lambda: running.output().split()[-2:] == [hoa1, hoa1], "it to go over")
lab.check(r.returncode == 0, "--pid: a running program goes over to " + hoa1)
lab.check(hoa_exec("identify", str(running.popen.pid)).stdout.strip() == hoa1, "identify")
lab.check(hoa_exec("identify", str(os.getpid())).returncode == 1, "identify: not pinned")
lab.check(sorted(hoa_exec("pids", hoa1).stdout.split()) == sorted([str(running.popen.pid), str(opener.popen.pid)]), "pids")
lab.check(json.loads(hoa_exec("--json", "identify", str(running.popen.pid)).stdout)["home_address"] == hoa1
          and sorted(json.loads(hoa_exec("--json", "pids", hoa1).stdout)["pids"]) == sorted([running.popen.pid, opener.popen.pid]), "both as JSON")

# other addresses
before = len(opener.output().splitlines())
care_of = net.mnctl("status")["attachments"][0]["care_of"]
r = hoa_exec("-n", "ama1", "curl", "-sS", "-g", "-m", "3", "--interface", care_of, URL)
lab.check(r.returncode != 0, "bound to the care-of address: nothing gets out")
BOUND = """
import socket, sys
for a in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind((a, 0))
    try:
        s.sendto(b"x", ("2001:db8:c::2", 7779))
        print("sent")
    except PermissionError:
        print("refused")
"""
r = hoa_exec("-n", "ama1", sys.executable, "-c", BOUND, care_of, hoa2, hoa1)
lab.check(r.stdout.split() == ["refused", "refused", "sent"], "a datagram from any other address of the node is refused")
r = hoa_exec("-n", "ama1", "ping", "-6", "-c", "1", "-W", "2", "2001:db8:c::2", user="0")
lab.check("1 received" in r.stdout, "ping is on it, too")

# over restarts of mnd and more moves
net.mnd.kill(signal.SIGKILL)
seen = opener.output().count(hoa1)
lab.wait(lambda: opener.output().count(hoa1) > seen + 4, "sockets while mnd is dead")
net.start_mnd()
lab.check(sorted(p["pid"] for p in pins()) == sorted([running.popen.pid, opener.popen.pid]), "mnd killed and started again: the pins are known")
net.attach(3)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
net.radios[0].move(4)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["care_of"].startswith("2001:db8:a4:"), "the binding")
seen = opener.output().count(hoa1)
lab.wait(lambda: opener.output().count(hoa1) > seen + 4, "sockets in a network without AMA")
lab.check(hoa_exec(*CURL).stdout.strip() in (hoa1, net.home(3)["address"]), "there a new pin takes a home address, not the care-of address")
net.attach(1)
lab.check(net.home(1)["sessions"] >= 0 and net.home(1)["state"] == "native", "back at home")
lines = opener.output().splitlines()
addresses = {l for l in lines if not l.startswith("error")}
lab.check(addresses == {hoa1}, "all %d sockets of the program, at five networks, were on %s; %d found no way" % (len(lines), addresses, len(lines) - len([l for l in lines if not l.startswith("error")])))

# as many as one user may have
shell = "for i in $(seq 31); do hoa-exec --socket %s sleep 100 & done; wait" % SOCK
crowd = net.mn.spawn(as_user(USER, ["sh", "-c", shell]), name="crowd", start_new_session=True)
lab.wait(lambda: len([p for p in pins() if p["uid"] == int(USER)]) == 32, "31 more pins")
r = hoa_exec("true")
lab.check(r.returncode == 125 and "32 of one user" in r.stderr, "one user has no more than half: " + r.stderr.splitlines()[0])
lab.check(hoa_exec("true", user="5555").returncode == 0, "another user is not held up")
os.killpg(crowd.popen.pid, signal.SIGKILL)
lab.wait(lambda: len(pins()) == 2, "their end")

# nothing else on the wire: those ports of the pinned program, by any other source
packets = [i for q in capture.packets() for i in (q, q.inner) if i]
wrong = [q for q in packets if q.next == 17 and q.dport in (7777, 7779) and q.src != hoa1]
udp = [q for q in packets if q.next == 17 and q.dport == 7777 and q.src == hoa1]
lab.check(udp and not wrong, "captured: %d datagrams, none by another address" % len(udp))

# the end
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding of a pin between its sockets")
cgroups = [p["cgroup"] for p in pins()]
running.kill()
opener.kill()
lab.wait(lambda: pins() == [], "the end of the pins")
lab.check(not any(os.path.exists("/sys/fs/cgroup" + c) for c in cgroups), "the cgroups are gone")
lab.wait(lambda: "ama1" not in net.homes(), "the release", GRACE + 10)
lab.check("fwmark" not in net.mn.run("ip -6 rule"), "so are the rules, and the address is released")
lab.finish()
