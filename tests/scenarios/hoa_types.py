# SPDX-License-Identifier: GPL-2.0-or-later
"""hoa-exec: the kinds of address of RFC 8653. Fixed: kept when nobody uses it, also over a restart. New: of one program alone, and given back when it ends.
Graceful: sockets from before a move keep their address, those opened after it take the new network's. enable: a systemd unit starts pinned, as a whole."""
import json, os, signal, subprocess, sys
from lab import Lab, inside

USER, OTHER, GRACE = "4242", "4243", 2
lab = Lab()
net = lab.roaming(networks=3, without_ama=(3,), mnd_config="grace = %ds\nuser = nobody" % GRACE)
SOCK = net.mn_dir + "/sock"
# one UDP socket for good, and another one each time; says under which address each sends
OPENER = """
import socket, sys, time
def opened():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.connect(("2001:db8:c::2", int(sys.argv[1])))
    return s
def send(s, data):
    try:
        s.send(data)
    except ConnectionRefusedError:  # of the datagram before: nobody listens there
        pass
old = opened()
while True:
    try:
        send(old, b"old"); new = opened(); send(new, b"new")
        print(old.getsockname()[0], new.getsockname()[0], flush=True)
        new.close()
    except OSError as e:
        print("error", e, flush=True)
    time.sleep(0.05)
"""


def as_user(user, *command, **env):
    return ["setpriv", "--reuid=" + user, "--regid=" + user, "--clear-groups"] + list(command)


def hoa_exec(*args, user=USER, **kw):
    with inside("mn"):
        return subprocess.run(as_user(user, "hoa-exec", "--socket", SOCK, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=60, **kw)


def spawn(name, port, *args, user=USER):
    return net.mn.spawn(as_user(user, "hoa-exec", "--socket", SOCK, *args, sys.executable, "-c", OPENER, str(port)), name=name)


def last(p):
    return tuple(p.output().splitlines()[-1].split())


def pins():
    return {p["pid"]: p for p in net.mnctl("pins")["pins"]}


def leases():
    return {l["address"]: l for l in net.mnctl("leases")["leases"]}


net.radios[0].move(1)
lab.check(hoa_exec("true").returncode == 0, "right after the link is there: it waits for the anchor that is being asked")
hoa1 = net.attach(1)
capture = net.mn.capture("wlan0", "ip6")

# one of its own
fresh = spawn("fresh", 7781, "--new")
lab.wait(lambda: fresh.output(), "the program on an address of its own")
own = last(fresh)[1]
lab.check(own != hoa1 and own.startswith("2001:db8:101:") and last(fresh) == (own, own), "--new: %s, not %s" % (own, hoa1))
lab.check(len(net.leases(1)) == 2 and leases()[own]["exclusive"] and not leases()[hoa1]["exclusive"], "the anchor leased two")
lab.check(hoa_exec("--address", own, "true", user=OTHER).returncode == 125, "nobody else may take it")
lab.check(hoa_exec("--address", own, "true").returncode == 0, "its user may")
with inside("mn"):
    plain = subprocess.run([sys.executable, "-c", "import socket; s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.connect(('2001:db8:c::2', 9)); print(s.getsockname()[0])"], stdout=subprocess.PIPE, text=True).stdout.strip()
lab.check(plain == hoa1, "no other program takes it by itself")

# for good, and the one that follows
lab.check(hoa_exec("--type", "fixed", "true").returncode == 0 and leases()[hoa1]["fixed"], "--type fixed: kept for good")
graceful = spawn("graceful", 7782, "--type", "graceful")
session = spawn("session", 7783)
lab.wait(lambda: session.output() and graceful.output(), "both")
lab.check(pins()[graceful.popen.pid]["type"] == "graceful" and last(graceful) == (hoa1, hoa1), "graceful: on %s at first" % hoa1)
for options, why in ((("--type", "eternal"), "session, fixed or graceful"), (("--new", "--address", hoa1), "says which address"), (("--type", "graceful", "--new"), "graceful"),
                     (("--type", "graceful", "--anchor", "ama1"), "anchor to anchor"), (("--new", "--anchor", "ama2"), "only the anchor of the network")):
    r = hoa_exec(*options, "true")
    lab.check(r.returncode == 125 and why in r.stderr, "125: " + r.stderr.splitlines()[0])
hoa2 = net.attach(2)
lab.wait(lambda: last(graceful) == (hoa1, hoa2), "the new sockets of the graceful one on the new address")
lab.wait(lambda: last(session) == (hoa1, hoa1) and last(fresh) == (own, own), "the others where they were")
lab.check(pins()[graceful.popen.pid]["home_address"] == hoa2, "graceful: old socket on %s, new ones on %s" % (hoa1, hoa2))
net.mnd.kill(signal.SIGKILL)
net.start_mnd()
lab.check(leases()[hoa1]["fixed"] and leases()[own]["exclusive"] and pins()[graceful.popen.pid]["type"] == "graceful", "all of it is known after mnd was killed")
lab.wait(lambda: last(graceful) == (hoa1, hoa2), "the graceful one as before")
net.radios[0].move(3)
lab.wait(lambda: leases()[hoa2]["state"] == "bound", "the binding, in a network without anchor")
seen = len(graceful.output().splitlines())
lab.wait(lambda: len(graceful.output().splitlines()) > seen + 3 and last(graceful) == (hoa1, hoa2), "sockets there")
net.attach(2)

# the end
fresh.kill()
lab.wait(lambda: own not in leases() and own.rsplit(":", 4)[0] not in str(net.leases(1)), "the release of the program's own address", GRACE + 20)
graceful.kill()
session.kill()
lab.wait(lambda: not pins() and leases()[hoa1]["sessions"] == 0, "the end of the others")
net.mnctl("status")
for i in range(2):
    net.attach(1)
    net.attach(2)
lab.check(leases()[hoa1]["fixed"] and leases()[hoa1]["state"] == "bound", "nobody uses the fixed one: kept, and reachable")
r = hoa_exec("--type", "fixed", sys.executable, "-c", OPENER.replace("while True:", "for i in range(1):"), "7784")
lab.check(r.stdout.split() == [hoa1, hoa1], "--type fixed again: the same")
packets = [i for q in capture.packets() for i in (q, q.inner) if i]
wrong = [(q.src, q.dport, q.payload[8:]) for q in packets if q.next == 17 and (
    (q.dport == 7781 and q.src != own) or (q.dport == 7782 and (q.src not in (hoa1, hoa2) or (q.payload[8:] == b"old" and q.src != hoa1))) or (q.dport == 7783 and q.src != hoa1))]
lab.check(not wrong and len([q for q in packets if q.next == 17 and 7781 <= q.dport <= 7783]) > 30, "captured: none by another address " + str(wrong[:3]))

# a unit of systemd starts pinned: a real service manager, of an unprivileged user
home = "/tmp/lab/home"
os.makedirs(home + "/.config/systemd/user", exist_ok=True)
os.makedirs(home + "/run", mode=0o700, exist_ok=True)
open(home + "/.config/systemd/user/mail.service", "w").write("[Service]\nExecStart=%s -c \"import sys; sys.argv = ['x', '7785']; exec(open('%s/opener').read())\"\nStandardOutput=file:%s/out\n" % (sys.executable, home, home))
open(home + "/opener", "w").write(OPENER)
open(home + "/out", "w").close()
subprocess.run(["chown", "-R", USER + ":" + USER, home], check=True)
os.makedirs("/run/systemd/system", exist_ok=True)  # by which it tells that systemd is in use here
cgroup = "/sys/fs/cgroup/user-manager"
os.makedirs(cgroup)
for f in (cgroup, cgroup + "/cgroup.procs", cgroup + "/cgroup.subtree_control", cgroup + "/cgroup.threads"):
    os.chown(f, int(USER), int(USER))
env = dict(os.environ, HOME=home, XDG_RUNTIME_DIR=home + "/run")
env.pop("XDG_CONFIG_HOME", None)
manager = net.mn.spawn(["sh", "-c", "echo $$ > %s/cgroup.procs; exec %s" % (cgroup, " ".join(as_user(USER, "/usr/lib/systemd/systemd", "--user")))], name="systemd", env=env)


def as_me(*command):
    with inside("mn"):
        return subprocess.run(as_user(USER, *command), env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, timeout=60)


lab.wait(lambda: os.path.exists(home + "/run/systemd/private"), "systemd --user")
r = as_me("hoa-exec", "--socket", SOCK, "--user", "--anchor", "ama1", "enable", "mail")
lab.check(r.returncode == 0 and "pinned from its next start" in r.stdout and "did not read" not in r.stdout, "enable: " + r.stdout.strip())
r = as_me("systemctl", "--user", "start", "mail")
lab.check(r.returncode == 0, "systemctl start " + r.stdout)
mail = type("", (), {"output": lambda self: open(home + "/out").read()})()
lab.wait(lambda: len(mail.output().splitlines()) > 3, "the unit's program")
lab.check({a for l in mail.output().splitlines() for a in l.split()} == {hoa1}, "it began on %s, while the node is in network 2" % hoa1)
p = list(pins().values())
lab.check(len(p) == 1 and p[0]["in_place"] and p[0]["cgroup"].endswith("/mail.service"), "the pin is the unit's own cgroup")
as_me("systemctl", "--user", "restart", "mail")
lab.wait(lambda: mail.output() and last(mail) == (hoa1, hoa1) and len(pins()) == 1, "it to be pinned after a restart")
as_me("systemctl", "--user", "stop", "mail")
lab.wait(lambda: not pins(), "the end of the pin with the unit")
r = as_me("hoa-exec", "--socket", SOCK, "--user", "--anchor", "nobody", "enable", "mail.service")
r = as_me("systemctl", "--user", "start", "mail")
lab.check(r.returncode != 0, "no such anchor: the unit does not start")
r = as_me("hoa-exec", "--user", "disable", "mail")
lab.check(r.returncode == 0 and not os.path.exists(home + "/.config/systemd/user/mail.service.d"), "disable: " + r.stdout.strip())
as_me("systemctl", "--user", "reset-failed", "mail")
r = as_me("systemctl", "--user", "start", "mail")
lab.wait(lambda: mail.output() and last(mail) == (hoa2, hoa2), "it to start unpinned")
lab.check(as_me("hoa-exec", "--user", "disable", "mail").returncode == 1 and as_me("hoa-exec", "enable", "x.socket").returncode == 2 and as_me("hoa-exec", "enable", "x").returncode == 1, "what cannot be: said")
as_me("systemctl", "--user", "stop", "mail")
manager.kill()
lab.finish()
