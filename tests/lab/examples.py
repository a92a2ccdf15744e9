# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of README.md and of the manuals, and somebody who types them.

A comment before an example says what it is: in README.md `<!-- try: WHERE -->`, in a manual `.\\" example: KIND [WHERE]` before its .Bd or .Dl. KIND is
    try WHERE                         commands, typed at that machine of a scenario
    run                               commands that need no daemon: tried anywhere; with prompts before them ("$ "), the rest is what they print
    amad.conf, mnd.conf, radvd.conf   a file that the program finds nothing wrong with
    shown COMMAND                     what a command prints: only the headings are compared
    not WHY                           is not run, and why"""
import os, re, subprocess
from lab import inside, now, sh

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# A lab has no service manager: this does of `systemctl enable --now UNIT` what counts for a new user, from the units as they are installed: their directories,
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
    running = "/run/%s.systemctl" % unit
    if os.path.exists(running) and os.path.exists("/proc/" + open(running).read()):
        continue
    command = value("ExecStart").split()
    command[0] = os.path.basename(command[0])  # as it was built, not as it was installed
    log = open(os.environ["LAB_RESULTS"] + "/%s-%s.log" % (os.environ["HOST"], unit), "ab")
    if value("Type") != "notify":
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode:
            sys.exit("Job for %s.service failed, see its log" % unit)
        continue
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    name = "@%s-%s" % (os.environ["HOST"], unit)
    notify.bind("\0" + name[1:])
    notify.settimeout(0.2)
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {"NOTIFY_SOCKET": name}, start_new_session=True)
    open(running, "w").write(str(daemon.pid))
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


def commands(block):
    """[(command, what it prints or "")] of a block: a line each, but here documents and what ends in a backslash or a pipe. With prompts, lines without one
    are what the command before prints."""
    lines, out, prompts = block.splitlines(), [], re.search(r"^[$#] ", block, re.M)
    while lines:
        line = lines.pop(0)
        if prompts and not re.match(r"[$#] ", line):
            out[-1] = (out[-1][0], out[-1][1] + line + "\n")
            continue
        command = re.sub(r"^[#$] ", "", line)
        if "<<EOF" in command:
            while not command.endswith("\nEOF"):
                command += "\n" + lines.pop(0)
        while command.rstrip().endswith(("|", "\\")):
            command += "\n" + lines.pop(0)
        out.append((command, ""))
    return out


def of_readme():
    """[(where, command)] in the order of README.md, and its text."""
    with open(TOP + "/README.md") as f:
        text = f.read()
    out = []
    for where, block in re.findall(r"<!-- try: (\w+) -->\n((?:    .*\n)+)", text):
        out += [(where, c) for c, _ in commands("\n".join(l[4:] for l in block.splitlines()))]
    return out, text


def plain(line):
    """A line of a manual's literal text without mdoc's escapes."""
    for a, b in (("\\(dq", '"'), ("\\(aq", "'"), ("\\e", "\\"), ("\\&", ""), ("\\-", "-")):
        line = line.replace(a, b)
    return line


def of_manual(path):
    """[(line number, marker or None, text)] of the literal displays of a manual."""
    out, marker, block = [], None, None
    for number, line in enumerate(open(path).read().splitlines(), 1):
        m = re.match(r'\.\\" example: (.*)', line)
        if m:
            marker = m.group(1)
        elif line.startswith(".Bd -literal"):
            block = []
        elif line == ".Ed" and block is not None:
            out.append((number, marker, "\n".join(block)))
            block = marker = None
        elif line.startswith(".Dl "):
            out.append((number, marker, plain(line[4:])))
            marker = None
        elif block is not None:
            block.append(plain(line))
    return out


class Person:
    """At a machine with its own /etc, /var, /root and /run, in which nothing of ours is but what `make install` puts there. What is typed and answered
    is written to the results, as `transcript`."""

    def __init__(self, host):
        self.host, self.lab = host, host.lab
        self.transcript = open(os.environ["LAB_RESULTS"] + "/transcript", "a")
        self.into = self.sit_down("/tmp/lab/private/" + host.name)

    def sit_down(self, d):
        """The words before a command that make it run at this machine; d is a folder for what is written there."""
        os.makedirs("/tmp/lab/bin", exist_ok=True)
        with open("/tmp/lab/bin/systemctl", "w") as f:
            f.write(SYSTEMCTL)
        os.chmod("/tmp/lab/bin/systemctl", 0o755)
        # /run with the lab's own folders and nothing else; /run/systemd/system is how programs see that there is a service manager
        script = "mount --make-rprivate / && mkdir -p %s/run && mount -t tmpfs tmpfs %s/run && mkdir -p %s/run/systemd/system && " % (d, d, d)
        script += "for x in build src results; do [ ! -d /run/$x ] || { mkdir %s/run/$x && mount --bind /run/$x %s/run/$x; }; done && mount --rbind %s/run /run && " % (d, d, d)
        for what in ("etc", "var", "root"):
            os.makedirs("%s/%s/up" % (d, what))
            os.makedirs("%s/%s/work" % (d, what))
            script += "mount -t overlay -o lowerdir=/%s,upperdir=%s/%s/up,workdir=%s/%s/work overlay /%s && " % (what, d, what, d, what, what)
        script += "rm -rf /etc/dmm /var/lib/dmm /etc/radvd.conf && mkdir /etc/dmm && echo ready && exec sleep infinity"
        holder = self.host.spawn(["unshare", "--mount", "sh", "-ec", script], name="private")
        self.lab.wait(lambda: "ready" in holder.output(), "the private folders of " + self.host.name)
        return ["nsenter", "--mount", "--target", str(holder.popen.pid), "env", "HOST=" + self.host.name, "PATH=/tmp/lab/bin:" + os.environ["PATH"], "HOME=/root"]

    def run(self, command, timeout, input=None):
        with inside(self.host.name):
            return subprocess.run(self.into + ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                                  **({"stdin": subprocess.DEVNULL} if input is None else {"input": input}))

    def look(self, command):
        """Standard output, for waiting and for what a person does not type: not in the transcript."""
        return self.run(command, 60).stdout

    def put(self, path, text, mode=0o600):
        """A file that comes from elsewhere."""
        self.run("umask 077 && mkdir -p $(dirname %s) && cat >%s && chmod %o %s" % (path, path, mode, path), 60, text).check_returncode()

    def type(self, command, timeout=60):
        """Returns (exit status, standard output)."""
        t = now()
        r = self.run(command, timeout)
        r.stdout = re.sub(r"\(Reading database \.\.\. (?:\d+%)?\n", "", r.stdout)
        self.note("%s# %s\n%s%s%s# %.1f s%s\n\n" % (self.host.name, command, r.stdout, r.stderr, "" if not r.stdout or r.stdout.endswith("\n") else "\n", now() - t,
                                                 "" if r.returncode == 0 else ", exit status %d" % r.returncode))
        return r.returncode, r.stdout

    def note(self, text):
        self.transcript.write(text)
        self.transcript.flush()


class Machine(Person):
    """At a machine with a Debian of its own, as debootstrap makes it, that its own systemd has started; the network is the host's. Nothing of ours is there until
    somebody installs it. root is the folder of that Debian, on which nothing is written."""

    def __init__(self, host, root):
        self.root = root
        super().__init__(host)

    def sit_down(self, d):
        for what in ("up", "work", "root"):
            os.makedirs("%s/%s" % (d, what))
        cgroup = "/sys/fs/cgroup/" + self.host.name
        os.makedirs(cgroup, exist_ok=True)
        script = """mount --make-rprivate /
mount -t overlay -o lowerdir=%s,upperdir=%s/up,workdir=%s/work overlay %s/root
cd %s/root
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys # so there is no udev, which would rename devices
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t bpf bpf sys/fs/bpf
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/pts dev/shm dev/net
for d in null zero full random urandom tty net/tun; do cp -a /dev/$d dev/$d; done
mount -t devpts -o ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
pivot_root . mnt
umount -l mnt
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=lab /lib/systemd/systemd --log-target=journal --show-status=no
""" % (self.root, d, d, d, d)
        machine = self.host.spawn(["sh", "-c", "echo $$ >%s/cgroup.procs; exec unshare --pid --fork --kill-child --mount --cgroup --uts sh -ec '%s'" % (cgroup, script)], name="systemd")

        def first():
            with open("/proc/%d/task/%d/children" % (machine.popen.pid, machine.popen.pid)) as f:
                return f.read().split()[0]

        # as if logged in: what is typed runs in a session's cgroup
        session = "/sys/fs/cgroup/user.slice/user-0.slice/session-1.scope"
        self.lab.wait(first, "the first process of " + self.host.name)
        into = ["nsenter", "--target", first(), "--all", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive"]
        self.lab.wait(lambda: sh(into + ["systemctl", "is-system-running"], check=False).strip() in ("running", "degraded"), "systemd at " + self.host.name, 60)
        return into + ["sh", "-c", "mkdir -p %s; echo $$ >%s/cgroup.procs; exec \"$@\"" % (session, session), "sh"]


def ssh_server(net, laptop):
    """The server at the other end, which is no concern of the documentation: sshd on the correspondent, as example.net known to the laptop's resolver and ssh."""
    d = "/tmp/lab/ssh"
    for f in ("/run/sshd", d):
        os.makedirs(f, exist_ok=True)
    for k in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/" + k], check=True)
    with open(d + "/sshd_config", "w") as f:
        f.write("ListenAddress ::\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n" % (d, d))
    net.cn.spawn(["/usr/sbin/sshd", "-D", "-e", "-f", d + "/sshd_config"])
    laptop.look("echo 2001:db8:c::2 example.net >>/etc/hosts")
    laptop.put("/root/.ssh/id_ed25519", open(d + "/user").read())
    laptop.put("/root/.ssh/known_hosts", "example.net " + open(d + "/host.pub").read())
    net.lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :22"), "sshd")
