# SPDX-License-Identifier: GPL-2.0-or-later
"""Pins by rule in mnd.conf: a unit of systemd and a cgroup are pinned whenever they are there, without polling: what a user's service manager starts after
mnd, what runs already, and what begins before there is an address; and a program by its path. Connections from before a rule go on."""
import os, shutil, signal, subprocess, sys
from lab import Lab, inside, sh

USER = "4242"
lab = Lab()
net = lab.roaming(networks=2, mnd_config="user = nobody\npins = no\n[pin mail]\nunit = mail-*\nanchor = ama1\n[pin batch]\ncgroup = /jobs/*\ntype = graceful")
SOCK = net.mn_dir + "/sock"
OPENER = """
import socket, sys, time
def opened():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.connect(("2001:db8:c::2", int(sys.argv[1])))
    return s
def send(s):
    try:
        s.send(b"x")
        return s.getsockname()[0]
    except ConnectionRefusedError:
        return s.getsockname()[0]
    except OSError as e:
        return "error"
old = None
while True:
    try:
        old = old or opened()
        print(send(old), send(opened()), flush=True)
    except OSError as e:
        print("error error", flush=True)
    time.sleep(0.05)
"""
home = "/tmp/lab/home"
os.makedirs(home + "/.config/systemd/user")
os.makedirs(home + "/run", mode=0o700)
os.makedirs("/run/systemd/system", exist_ok=True)
open(home + "/opener", "w").write(OPENER)
for name, port in (("mail-client", 7801), ("other", 7802)):
    open(home + "/.config/systemd/user/%s.service" % name, "w").write(
        "[Service]\nExecStart=%s %s/opener %d\nStandardOutput=append:%s/%s.out\n" % (sys.executable, home, port, home, name))
    open("%s/%s.out" % (home, name), "w").close()
sh("chown -R %s:%s %s" % (USER, USER, home))
cgroup = "/sys/fs/cgroup/user-manager"
os.makedirs(cgroup)
for f in (cgroup, cgroup + "/cgroup.procs", cgroup + "/cgroup.subtree_control", cgroup + "/cgroup.threads"):
    os.chown(f, int(USER), int(USER))
env = dict(os.environ, HOME=home, XDG_RUNTIME_DIR=home + "/run")
env.pop("XDG_CONFIG_HOME", None)


def as_user(*command):
    return ["setpriv", "--reuid=" + USER, "--regid=" + USER, "--clear-groups"] + list(command)


def systemctl(*command):
    with inside("mn"):
        subprocess.run(as_user("systemctl", "--user", *command), env=env, check=True, stdin=subprocess.DEVNULL, timeout=60)


def last(name):
    return open("%s/%s.out" % (home, name)).read().splitlines()[-1].split()


def children(pid):
    return [int(p) for p in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]


def job(name, port):
    os.makedirs("/sys/fs/cgroup/jobs/" + name)
    return net.mn.spawn(["sh", "-c", "echo $$ > /sys/fs/cgroup/jobs/%s/cgroup.procs; exec %s" % (name, " ".join(as_user(sys.executable, home + "/opener", str(port))))], name=name)


def pins():
    return {p["cgroup"].split("/")[-1]: p for p in net.mnctl("pins")["pins"]}


manager = net.mn.spawn(["sh", "-c", "echo $$ > %s/cgroup.procs; exec %s" % (cgroup, " ".join(as_user("/usr/lib/systemd/systemd", "--user")))], name="systemd", env=env)
lab.wait(lambda: os.path.exists(home + "/run/systemd/private"), "systemd --user")
early = job("early", 7803)  # before there is any network
hoa1 = net.attach(1)
lab.wait(lambda: early.output().split()[-2:] == [hoa1, hoa1], "the early job")
lab.wait(lambda: "early" in pins(), "its pin")
capture = net.mn.capture("wlan0", "ip6")
hoa2 = net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
lab.wait(lambda: early.output().split()[-1] == hoa2, "the graceful job to go on to the new network's address")
systemctl("start", "mail-client", "other")
lab.wait(lambda: len(open(home + "/mail-client.out").read().split()) > 10 and len(open(home + "/other.out").read().split()) > 10, "the units")
lab.check(last("mail-client")[1] == hoa1 and last("other") == [hoa2, hoa2], "in network 2: the unit of the rule is on %s, another one on %s" % (hoa1, hoa2))
mail = open(home + "/mail-client.out").read().split()
lab.check(set(mail) == {hoa1}, "from its first socket on: %s" % set(mail))
p = pins()["mail-client.service"]
lab.check(p["in_place"] and p["uid"] == int(USER) and p["anchor"] == "ama1" and "other.service" not in pins(), "it is listed: %s of user %d" % (p["command"], p["uid"]))

# a rule that comes later: what is open goes on, what is opened is pinned
late = net.mn.spawn(["sh", "-c", "mkdir -p /sys/fs/cgroup/late/x; echo $$ > /sys/fs/cgroup/late/x/cgroup.procs; exec " + " ".join(as_user(sys.executable, home + "/opener", "7804"))], name="late")
lab.wait(lambda: late.output().split()[-2:] == [hoa2, hoa2], "a job without a rule")
late_rule = "[pin late]\ncgroup = /late/x\nanchor = ama1\n"
with open(net.mn_dir + "/mnd.conf", "a") as f:
    f.write(late_rule)
sh(["mnctl", "--socket", SOCK, "reload"])
lab.wait(lambda: late.output().split()[-2:] == [hoa2, hoa1], "its new sockets on the address of the rule, the old one where it was")
lab.check("error" not in late.output(), "a rule that comes later cuts nothing off")
lab.check(pins()["early"]["type"] == "graceful", "the other rule goes on")

# a program by its path: a user's own copy of the interpreter, so that nobody else runs it
reader = "/tmp/lab/programs/reader"
os.makedirs(os.path.dirname(reader))
shutil.copy(os.path.realpath(sys.executable), reader)
rule = "[pin reader]\nexe = %s\nanchor = ama1\n" % reader
with open(net.mn_dir + "/mnd.conf", "a") as f:
    f.write(rule)
sh(["mnctl", "--socket", SOCK, "reload"])
lab.wait(lambda: "CAP_SYS_PTRACE" in net.mnd.output(), "mnd to say that a rule of this kind needs another start")
net.mnd.kill()
net.mnd_config += "\n" + late_rule + rule
net.start_mnd()
lab.wait(lambda: net.home(1) and net.home(1)["state"] == "bound", "the binding after a restart")


def start_reader(name, port):
    return net.mn.spawn(as_user(reader, "-S", home + "/opener", str(port)), name=name)


by_path = start_reader("reader", 7805)
lab.wait(lambda: by_path.output().split()[-1:] == [hoa1], "the program of the rule to be on %s" % hoa1)
lab.check([(p["uid"], p["anchor"], p["in_place"]) for p in pins().values() if p["pid"] == by_path.popen.pid] == [(int(USER), "ama1", False)], "it is listed, and its user's")
lab.check("error" not in by_path.output(), "what it opened before goes on")
plain = net.mn.spawn(as_user(sys.executable, home + "/opener", "7806"), name="plain")
lab.wait(lambda: len(plain.output().split()) > 20, "the same script with another program")
lab.check(set(plain.output().split()) == {hoa2}, "another program is not pinned")
shutil.copy(reader, reader + ".new")  # as a package does with a new version
os.rename(reader + ".new", reader)
newer = start_reader("newer", 7807)
lab.wait(lambda: newer.output().split()[-1:] == [hoa1], "its next version to be pinned, too")
status = {pid: dict(line.split(":\t", 1) for line in open("/proc/%d/status" % pid).read().splitlines() if ":\t" in line) for pid in [net.mnd.popen.pid] + children(net.mnd.popen.pid)}
ptrace = {pid: int(s["CapPrm"], 16) for pid, s in status.items() if int(s["CapPrm"], 16) & 1 << 19}
lab.check(len(status) == 2 and list(ptrace.values()) == [1 << 19] and net.mnd.popen.pid not in ptrace, "CAP_SYS_PTRACE is the other process's, and all it has: %s" % ptrace)
looker = list(ptrace)[0]
lab.check(status[looker]["Seccomp"] == "2" and status[looker]["NoNewPrivs"] == "1" and status[looker]["Uid"].split()[0] != "0", "it is nobody, in a filter")
by_path.kill()
newer.kill()
plain.kill()

lab.wait(lambda: len(pins()) == 3, "the end of those pins")

# the end, and again
systemctl("restart", "mail-client")
lines = len(open(home + "/mail-client.out").read().split())
lab.wait(lambda: len(open(home + "/mail-client.out").read().split()) > lines + 40, "the unit after a restart")
lab.check("mail-client.service" in pins() and last("mail-client") == [hoa1, hoa1], "restarted, it is pinned again")
net.mnd.kill(9)
net.start_mnd()
lab.wait(lambda: "mail-client.service" in pins() and len(pins()) == 3, "the pins after mnd was killed")
systemctl("stop", "mail-client", "other")
early.kill()
lab.wait(lambda: "mail-client.service" not in pins(), "the end of the pin with its unit")
os.rmdir("/sys/fs/cgroup/jobs/early")
lab.wait(lambda: "early" not in pins(), "the end of a pin with its cgroup")
late.kill()
net.mnd.popen.send_signal(signal.SIGSTOP)
os.rmdir("/sys/fs/cgroup/late/x")
os.makedirs("/sys/fs/cgroup/late/x")
net.mnd.popen.send_signal(signal.SIGCONT)
lab.check("x" in pins(), "a cgroup that is made anew before mnd has seen the end of the first is pinned")
anew = net.mn.spawn(["sh", "-c", "echo $$ > /sys/fs/cgroup/late/x/cgroup.procs; exec " + " ".join(as_user(sys.executable, home + "/opener", "7808"))], name="anew")
lab.wait(lambda: len(anew.output().split()) > 10, "what runs in it")
lab.check(set(anew.output().split()) == {hoa1}, "... and what runs in it is on %s: %s" % (hoa1, set(anew.output().split())))
r = subprocess.run(["hoa-exec", "--socket", SOCK, "true"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
lab.check(r.returncode == 125 and "switched pinning off" in r.stdout, "rules are the administrator's: users may not, with pins = no")
packets = [i for q in capture.packets() for i in (q, q.inner) if i and i.next == 17]
lab.check({q.src for q in packets if q.dport == 7801} == {hoa1}, "captured: %d datagrams of the unit, all from %s" % (len([q for q in packets if q.dport == 7801]), hoa1))
anew.kill()
manager.kill()
lab.finish()
