# SPDX-License-Identifier: GPL-2.0-or-later
"""A new user with nothing but README.md: the commands that stand there, in that order, on two routers and a laptop with nothing set up. At the end an ssh session
goes on over a move. What was typed and answered is in the results, as `transcript`."""
import os, re, subprocess, sys, time
from lab import Lab, RESULTS, BUILD, inside, now, sh

README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../README.md")
ON = {"router1": "ar1", "router2": "ar2", "laptop": "mn"}
# What each step is expected to answer. A step of README that is not here, or the other way round, is a failure.
STEPS = [
    ("router1", "amactl domain init example", r"^dmm-domain-1:\S+$"),
    ("router1", "amactl domain add-ama ama1", r"^/etc/dmm/amad.identity$"),
    ("router1", "cat > /etc/dmm/amad.conf", r"^$"),
    ("router1", "cat > /etc/radvd.conf", r"^$"),
    ("router1", "systemctl enable --now amad radvd", r"^$"),
    ("router1", "amactl status", r"^anchor ama1 of domain example"),
    ("router1", "amactl domain add-ama ama2", r"^/root/ama2.identity$"),
    ("laptop", "mnctl keygen laptop", r"^dmm-key-1:\S+$"),
    ("router1", "amactl domain add-mn laptop --key TOKEN", r"^dmm-cred-1:\S+$"),
    ("laptop", "mnctl join LINE", r"^laptop is a node of domain example now; mnd runs"),
    ("laptop", "mnctl status", r"^node laptop of domain example"),
    ("laptop", "hoa-exec ssh example.net", None),
]
# The lab has no service manager: this does of `systemctl enable --now UNIT` what counts for a new user, from the units as they are installed: their directories,
# their command, and success only when the daemon says that it is ready.
SYSTEMCTL = r"""#!/usr/bin/python3
import os, re, socket, subprocess, sys
if sys.argv[1:3] != ["enable", "--now"]:
    sys.exit("systemctl: only enable --now in the lab")
for unit in sys.argv[3:]:
    path = next((p for p in ("%s/systemd/%s.service" % (os.environ["DMM_BUILDDIR"], unit), "/lib/systemd/system/%s.service" % unit) if os.path.exists(p)), None)
    if not path:
        sys.exit("Failed to enable unit: Unit file %s.service does not exist." % unit)
    text = open(path).read()
    value = lambda key: (re.findall(r"^%s=(.*)$" % key, text, re.M) or [""])[0]
    if value("ConditionPathExists") and not os.path.exists(value("ConditionPathExists")):
        sys.exit("%s was not started: there is no %s" % (unit, value("ConditionPathExists")))
    for key, base in (("RuntimeDirectory", "/run/"), ("StateDirectory", "/var/lib/")):
        for d in value(key).split():
            os.makedirs(base + d, exist_ok=True)
    command = value("ExecStart").split()
    command[0] = os.path.basename(command[0])  # as it was built, not as it was installed
    log = open(os.environ["LAB_RESULTS"] + "/%s-%s.log" % (os.environ["HOST"], unit), "ab")
    if value("Type") != "notify":
        status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode
        if status:
            sys.exit("Job for %s.service failed, see its log" % unit)
        continue
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = "@%s-%s" % (os.environ["HOST"], unit)
    notify.bind("\0" + name[1:])
    notify.settimeout(0.2)
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {"NOTIFY_SOCKET": name}, start_new_session=True)
    for _ in range(300):
        if daemon.poll() is not None:
            sys.exit("Job for %s.service failed, see its log" % unit)
        try:
            if b"READY=1" in notify.recv(4096):
                break
        except TimeoutError:
            pass
    else:
        sys.exit("Job for %s.service failed: it was not ready within a minute" % unit)
"""


def steps(text):
    """The commands of README that are marked to be tried: (host, command), here documents as one command."""
    out = []
    for where, block in re.findall(r"<!-- try: (\w+) -->\n((?:    .*\n)+)", text):
        lines = [l[4:] for l in block.splitlines()]
        while lines:
            command = lines.pop(0)
            if "<<EOF" in command:
                while not command.endswith("\nEOF"):
                    command += "\n" + lines.pop(0)
            out.append((where, command))
    return out


class Person:
    """At a machine with its own /etc, /var, /root and /run, in which nothing of ours is but what `make install` puts there."""

    def __init__(self, host):
        self.host, self.transcript = host, transcript
        d = "/tmp/lab/private/" + host.name
        # /run with the lab's own folders and nothing else; /run/systemd/system is how programs see that there is a service manager
        script = "mount --make-rprivate / && mkdir %s/run && mount -t tmpfs tmpfs %s/run && mkdir -p %s/run/systemd/system && " % (d, d, d)
        script += "for x in build src results; do [ ! -d /run/$x ] || { mkdir %s/run/$x && mount --bind /run/$x %s/run/$x; }; done && mount --rbind %s/run /run && " % (d, d, d)
        for what in ("etc", "var", "root"):
            os.makedirs("%s/%s/up" % (d, what))
            os.makedirs("%s/%s/work" % (d, what))
            script += "mount -t overlay -o lowerdir=/%s,upperdir=%s/%s/up,workdir=%s/%s/work overlay /%s && " % (what, d, what, d, what, what)
        script += "rm -rf /etc/dmm /var/lib/dmm /etc/radvd.conf && mkdir /etc/dmm && echo ready && exec sleep infinity"
        self.holder = host.spawn(["unshare", "--mount", "sh", "-ec", script], name="private")
        lab.wait(lambda: "ready" in self.holder.output(), "the private folders of " + host.name)
        self.into = ["nsenter", "--mount", "--target", str(self.holder.popen.pid), "env", "HOST=" + host.name, "PATH=/tmp/lab/bin:" + os.environ["PATH"], "HOME=/root"]

    def look(self, command):
        """Standard output, for waiting: not in the transcript."""
        with inside(self.host.name):
            return subprocess.run(self.into + ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60).stdout

    def type(self, command, timeout=60):
        """Returns (exit status, standard output); both outputs are in the transcript."""
        t = now()
        with inside(self.host.name):
            r = subprocess.run(self.into + ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        transcript.write("%s# %s\n%s%s%s# %.1f s%s\n\n" % (self.host.name, command, r.stdout, r.stderr, "" if not r.stdout or r.stdout.endswith("\n") else "\n", now() - t,
                                                     "" if r.returncode == 0 else ", exit status %d" % r.returncode))
        transcript.flush()
        return r.returncode, r.stdout


lab = Lab()
transcript = open(RESULTS + "/transcript", "w")
text = open(README).read()
found = steps(text)
todo = [s for s in found if s[0] != "install"]
lab.check([w for w, _ in found][:1] == ["install"], "README begins with how to install")
lab.check(len(todo) == len(STEPS) and all(w == s[0] and c.startswith(s[1]) for (w, c), s in zip(todo, STEPS)),
          "the steps of README are those that are tried here: %s" % [c.splitlines()[0] for _, c in todo])
lines = sum(len(c.splitlines()) - 2 for w, c in todo if w == "router1" and c.startswith("cat "))
lab.check(0 < lines <= 15, "a router is configured by %d lines" % lines)

net = lab.roaming(networks=2, start=False)  # links, addresses, forwarding: no daemon, no radvd
os.makedirs("/tmp/lab/bin")
with open("/tmp/lab/bin/systemctl", "w") as f:
    f.write(SYSTEMCTL)
os.chmod("/tmp/lab/bin/systemctl", 0o755)
people = {where: Person(net.ar[int(name[2:])] if name != "mn" else net.mn) for where, name in ON.items()}
laptop = people["laptop"]

# the server at the other end, which is no concern of README: sshd, known to the laptop's resolver and ssh
os.makedirs("/run/sshd", exist_ok=True)
os.makedirs("/tmp/lab/ssh", exist_ok=True)
for k in ("host", "user"):
    sh(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/tmp/lab/ssh/" + k])
with open("/tmp/lab/ssh/sshd_config", "w") as f:
    f.write("ListenAddress ::\nHostKey /tmp/lab/ssh/host\nAuthorizedKeysFile /tmp/lab/ssh/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n")
net.cn.spawn(["/usr/sbin/sshd", "-D", "-e", "-f", "/tmp/lab/ssh/sshd_config"])
with inside("mn"):
    subprocess.run(laptop.into + ["sh", "-ec", "echo 2001:db8:c::2 example.net >>/etc/hosts; mkdir -p /root/.ssh; cp /tmp/lab/ssh/user /root/.ssh/id_ed25519; "
                                               "(printf 'example.net '; cat /tmp/lab/ssh/host.pub) >/root/.ssh/known_hosts; chmod 600 /root/.ssh/*"], check=True)
lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :22"), "sshd")
net.radios[0].plug(1)

began, laptop_s, token, session = now(), 0, {}, None
for (where, command), (_, _, answer) in zip(todo, STEPS):
    if answer is None:
        break  # the ssh session: below
    t = now()
    if command == "mnctl status":  # the laptop comes up by itself; a person looks until it has
        lab.wait(lambda: "native" in people[where].look(command), "a home address")
    status, out = people[where].type(command.replace("TOKEN", token.get("key", "TOKEN")).replace("LINE", token.get("cred", "LINE")))
    token.update(re.findall(r"^dmm-(key|cred)-1:", out) and [(re.match(r"dmm-(\w+)-1", out).group(1), out.strip())] or [])
    if where == "laptop":
        laptop_s += now() - t
    if not lab.check(status == 0 and re.search(answer, out), "%s: %s" % (where, command.splitlines()[0])):
        print(open(RESULTS + "/transcript").read())
        lab.finish()
    # the second router, by what README says of it: the same with a name and prefixes of its own, and the identity copied
    if "ama2" in command:
        show = re.search(r"<!-- show: (.*) -->\n    (.*)\n", text)
        lab.check(show and show.group(1) == show.group(2) == "scp -p /root/ama2.identity router2:/etc/dmm/amad.identity", "the identity is copied")
        sh(["cp", "-p", "/tmp/lab/private/ar1/root/up/ama2.identity", "/tmp/lab/private/ama2.identity"])
        people["router2"].type("cp -p /tmp/lab/private/ama2.identity /etc/dmm/amad.identity")
        for w, c in todo:
            if w == "router1" and c.split()[0] in ("cat", "systemctl"):
                status, out = people["router2"].type(c.replace("db8:a1:", "db8:a2:"))
                lab.check(status == 0, "router2: " + c.splitlines()[0])
        lab.check(people["router2"].type("amactl status")[1].startswith("anchor ama2 of domain example"), "the second router is an anchor")
print("# routers and laptop up after %.1f s; on the laptop %.1f s" % (now() - began, laptop_s))
lab.check(laptop_s < 60 and now() - began < 300, "within a minute on the laptop, five for all")

with inside("mn"):
    session = subprocess.Popen(laptop.into + todo[-1][1].split()[:2] + ["-tt"] + todo[-1][1].split()[2:] + ["PS1= sh"], stdin=subprocess.PIPE, stdout=open(RESULTS + "/session", "wb"),
                               stderr=subprocess.STDOUT)
typed = 0


def goes_on(what):
    """A line is typed into the session, and answered."""
    global typed
    typed += 1
    session.stdin.write(b"echo answer $((40 + %d)) from $SSH_CONNECTION\n" % typed)
    session.stdin.flush()
    lab.wait(lambda: "answer %d from" % (40 + typed) in open(RESULTS + "/session").read(), "the shell's answer " + what, 60)
    line = [l for l in open(RESULTS + "/session").read().splitlines() if l.startswith("answer %d" % (40 + typed))][0]
    transcript.write("mn (session %s)# %s\n\n" % (what, line))
    return line.split()[3]


first = goes_on("at the first router")
lab.check(first.startswith("2001:db8:101:"), "ssh has a home address of ama1: " + first)
net.radios[0].move(2)
lab.wait(lambda: "bound" in laptop.look("mnctl status"), "the move")
lab.check(goes_on("at the second router") == first, "the session survives the move to the second router")
status, out = laptop.type("mnctl pins")
lab.check(first in out and "ssh" in out, "and is pinned")
lab.check("laptop" in people["router1"].type("amactl bindings")[1], "ama1 tunnels to it")
session.stdin.write(b"exit\n")
session.stdin.close()
lab.check(session.wait(30) == 0, "ssh ends by itself")
transcript.close()
lab.finish()
