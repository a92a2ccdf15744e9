# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of README.md and of the manuals, and somebody who types them.

A comment before an example says what it is: in README.md `<!-- try: WHERE -->`, in a manual `.\\" example: KIND [WHERE]` before its .Bd or .Dl. KIND is
    try WHERE                         commands, typed at that machine of a scenario
    run                               commands that need no daemon: tried anywhere; with prompts before them ("$ "), the rest is what they print
    amad.conf, mnd.conf, radvd.conf   a file that the program finds nothing wrong with
    shown COMMAND                     what a command prints: only the headings are compared
    not WHY                           is not run, and why"""
import os, re, subprocess
from lab import inside, now

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
        d = self.folder = "/tmp/lab/private/" + host.name
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
        self.holder = host.spawn(["unshare", "--mount", "sh", "-ec", script], name="private")
        self.lab.wait(lambda: "ready" in self.holder.output(), "the private folders of " + host.name)
        self.into = ["nsenter", "--mount", "--target", str(self.holder.popen.pid), "env", "HOST=" + host.name, "PATH=/tmp/lab/bin:" + os.environ["PATH"], "HOME=/root"]

    def look(self, command):
        """Standard output, for waiting and for what a person does not type: not in the transcript."""
        with inside(self.host.name):
            return subprocess.run(self.into + ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60).stdout

    def type(self, command, timeout=60):
        """Returns (exit status, standard output)."""
        t = now()
        with inside(self.host.name):
            r = subprocess.run(self.into + ["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        self.note("%s# %s\n%s%s%s# %.1f s%s\n\n" % (self.host.name, command, r.stdout, r.stderr, "" if not r.stdout or r.stdout.endswith("\n") else "\n", now() - t,
                                                 "" if r.returncode == 0 else ", exit status %d" % r.returncode))
        return r.returncode, r.stdout

    def note(self, text):
        self.transcript.write(text)
        self.transcript.flush()


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
    laptop.look("echo 2001:db8:c::2 example.net >>/etc/hosts; mkdir -p /root/.ssh; cp %s/user /root/.ssh/id_ed25519; "
                "(printf 'example.net '; cat %s/host.pub) >/root/.ssh/known_hosts; chmod 600 /root/.ssh/*" % (d, d))
    net.lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :22"), "sshd")
