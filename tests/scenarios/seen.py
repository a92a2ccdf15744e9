# SPDX-License-Identifier: GPL-2.0-or-later
"""What people and scripts see: each field of --json and of the events is in the manual and the other way round; mnctl history; mnctl top and
amactl top on a terminal that changes its size; colour only where it was asked for."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios

from lab import Lab, now

MAN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../man/")
lab = Lab()
net = lab.roaming(networks=2, mnd_config="updates = prefer-proxy")
MNCTL, AMACTL = ["mnctl", "--socket", "/tmp/lab/mn/sock"], ["amactl", "--socket", "/tmp/lab/ama1/sock"]
events = {"mnctl": net.mn.spawn(MNCTL[:1] + ["--json"] + MNCTL[1:] + ["monitor"], name="mnctl-monitor")}
for i in (1, 2):
    events["amactl%d" % i] = net.ar[i].spawn(["amactl", "--json", "--socket", "/tmp/lab/ama%d/sock" % i, "monitor"], name="amactl-monitor%d" % i)
lab.wait(lambda: all("ready" in e.output() for e in events.values()), "the monitors")


# --- a terminal -------------------------------------------------------------------------------------------------
class Terminal:
    def __init__(self, host, command, rows, columns, **env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.environ.update(env, TERM="xterm")
            os.execvp("ip", ["ip", "netns", "exec", host.name] + command)
        self.bytes = b""

    def read(self):
        while select.select([self.fd], [], [], 0)[0]:
            try:
                more = os.read(self.fd, 65536)
            except OSError:  # the other side has closed
                return self.bytes
            if not more:
                return self.bytes
            self.bytes += more
        return self.bytes

    def screen(self):
        """Lines of the last whole picture."""
        frames = re.findall(rb"\x1b\[H(.*?)\x1b\[J", self.read(), re.S)
        return [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", l) for l in frames[-1].decode().replace("\r", "").split("\n")] if frames else []

    def size(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def keys(self, text):
        os.write(self.fd, text)

    def end(self):
        """Its exit status, and what it said last."""
        status = None
        end = now() + 60
        while status is None and now() < end:
            self.read()
            pid, s = os.waitpid(self.pid, os.WNOHANG)
            status = os.waitstatus_to_exitcode(s) if pid else None
        self.read()
        return status


top = Terminal(net.mn, MNCTL + ["top"], 40, 200)
lab.wait(lambda: any("no home address" in l for l in top.screen()), "top")
lab.check(b"\x1b[?1049h" in top.bytes and b"\x1b[1mWHEN" not in top.bytes, "top has a screen of its own")

hoa = net.attach(1)
lab.wait(lambda: any(hoa in l and "native" in l for l in top.screen()), "top to show the address")
lab.check(b"\x1b[32mnative" in top.bytes, "in colour, on a terminal")
stream = net.stream(hoa, "2001:db8:c::2", net.mn, net.cn, 9001, 10000)
pinned = net.mn.spawn(["hoa-exec", "--socket", "/tmp/lab/mn/sock", "sleep", "1000"])
lab.wait(lambda: net.mnctl("pins")["pins"], "the pin")
net.radios[0].move(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["path"] == "proxied", "the handover")
lab.wait(lambda: any("ama2" in l and l.rstrip().split()[-7] != "-" for l in top.screen() if re.match(r"\d\d:\d\d:\d\d", l)), "top to show the handover")
lab.wait(lambda: any("labstream(" in l for l in top.screen()), "top to show the session")
top.size(6, 30)
lab.wait(lambda: 0 < len(top.screen()) <= 6 and max(len(l) for l in top.screen()) == 30, "top to fit a small terminal")
top.size(24, 80)
lab.wait(lambda: len(top.screen()) > 6 and 30 < max(len(l) for l in top.screen()) <= 80, "top to fit a larger one")
before = termios.tcgetattr(top.fd)[3]
top.keys(b"q")
lab.check(top.end() == 0 and top.bytes.rstrip().endswith(b"\x1b[?25h\x1b[?1049l"), "q ends it, and gives the screen and the cursor back")
lab.check(before & (termios.ECHO | termios.ICANON) == 0, "while it ran, keys were its own")

ama_top = Terminal(net.ar[1], AMACTL + ["top"], 40, 200)
lab.wait(lambda: any("ANSWERS/s" in l for l in ama_top.screen()) and any("2001:db8:101" in l and "proxied" in l for l in ama_top.screen()), "amactl top")
ama_top.keys(b"\x03")
lab.check(ama_top.end() == 0, "Ctrl-C ends it")
for host, command in (net.mn, MNCTL), (net.ar[1], AMACTL):
    text = host.run(command + ["top"])
    lab.check("\x1b" not in text and "up " in text.splitlines()[0], "without a terminal %s top prints once and plainly" % command[0])
    lab.check("\x1b[1m" in host.run([command[0], "--color=always"] + command[1:] + ["leases"]) and "\x1b" not in host.run(command + ["leases"]), "colour only when asked")
    r = subprocess.run([command[0], "--color=sometimes", "leases"], capture_output=True, text=True)
    lab.check(r.returncode == 2 and "--color takes auto, always or never" in r.stderr, "and only in words that there are")
for env, option, colour in ({}, [], True), ({"NO_COLOR": "1"}, [], False), ({"NO_COLOR": ""}, [], True), ({"NO_COLOR": "1"}, ["--color"], True), ({}, ["--color=never"], False):
    t = Terminal(net.mn, ["mnctl"] + option + MNCTL[1:] + ["leases"], 24, 80, **env)
    t.end()
    lab.check((b"\x1b[1m" in t.bytes) == colour, "terminal, %s %s: %s" % (env or "", " ".join(option), "colour" if colour else "none"))
rows = net.mn.run(MNCTL + ["leases"]).splitlines()
lab.check(len(rows) == 3 and len({row.index(re.split(" {2,}", row)[1]) for row in rows}) == 1, "columns stand below each other")

# --- history ----------------------------------------------------------------------------------------------------
h = net.mnctl("history")["handovers"]
lab.check(h == net.mnctl("status")["handovers"] and len(h) == 2, "history: both handovers")
last = h[-1]
lab.check(last["ama"] == "ama2" and last["sessions"] == 1 and last["tries"] >= 1 and last["datagrams_sent"] >= 1 and last["datagrams_received"] >= 1 and
          last["total_ms"] >= last["registration_ms"] > 0 and last["first_packet_ms"] is None, "its parts and what it cost: %s" % json.dumps(last))
table = net.mn.run(MNCTL + ["history"]).splitlines()
lab.check(len(table) == 3 and table[0].split()[0] == "WHEN" and table[2].split()[-3:] == [str(last[k]) for k in ("tries", "datagrams_sent", "datagrams_received")], "as a table")


# --- the manual -------------------------------------------------------------------------------------------------
def documented(page):
    """Words that the manual's section JSON names, and those that begin a family of names."""
    text = open(MAN + page).read()
    text = text[text.index(".Ss JSON"):]
    words = set()
    for line in re.sub(r"\n\.(S[shH]) (?!JSON).*", "", text, 0, re.S).splitlines():
        if re.match(r"\.(It )?(Li|Pq Li)\b", line):
            words.update(re.findall(r"[a-z][a-z0-9_-]*", re.sub(r"\b(Ar|Xr|No) \S+", "", line)))
        elif line.startswith(".Pq "):
            words.update(re.findall(r"[a-z][a-z0-9_-]*", line[4:]))
    return words


def fields(value, found):
    if isinstance(value, dict):
        for k, v in value.items():
            found.add(k)
            fields(v, found)
    elif isinstance(value, list):
        for v in value:
            fields(v, found)
    return found


def compare(page, found):
    words = documented(page)
    missing = {f for f in found if f not in words and not any(w.endswith("-") and f.startswith(w) for w in words)}
    lab.check(not missing and len(found) > 30, "%s names all %d fields%s" % (page, len(found), ": not " + ", ".join(sorted(missing)) if missing else ""))
    items = set()
    text = open(MAN + page).read()
    for line in re.findall(r"^\.It Li (.*)$", text[text.index(".Ss JSON"):], re.M):
        items.update(w for w in re.findall(r"[a-z][a-z0-9_-]*", line) if w not in EVENTS)
    return items - found


EVENTS = set()  # named as items beside the fields
for f in "mnd", "amad":
    text = open(MAN + "../%s/methods.c" % f).read()
    EVENTS.update(re.findall("[a-z_]+", text[text.index("event is"):text.index("method Monitor")]))
found, seen_events = {"mnctl": set(), "amactl": set()}, {"mnctl": set(), "amactl": set()}
for command in ("status", "leases", "bindings", "sessions", "pins", "history"):
    fields(net.mnctl(command), found["mnctl"])
for i in (1, 2):
    for command in ("status", "leases", "bindings", "visits", "peers"):
        fields(net.amactl(i, command), found["amactl"])
# these talk to the daemons, and have an exit status of what they found
for program, host, words in (("mnctl", net.mn, ["--config", net.mn_dir + "/mnd.conf", "doctor"]), ("mnctl", net.mn, ["--socket", net.mn_dir + "/sock", "ping", "ama1"]),
                             ("amactl", net.ar[1], ["--config", "/tmp/lab/ama1/amad.conf", "doctor"])):
    text = host.run([program, "--json"] + words, check=False)
    if not lab.check(text.startswith("{"), "%s %s: JSON" % (program, words[-1])):
        print("# " + text)
    else:
        fields(json.loads(text), found[program])
stream.end()
pinned.kill()
lab.wait(lambda: "location_update" in events["mnctl"].output() and "binding_created" in events["amactl1"].output() and "visit_began" in events["amactl2"].output(), "the events")
for name, e in events.items():
    for line in e.output().splitlines():
        event = json.loads(line)
        fields(event, found[name.rstrip("12")])
        seen_events[name.rstrip("12")].add(event["event"])
for program in found:
    left = compare(program + ".1", found[program])
    words = documented(program + ".1")
    lab.check(seen_events[program] <= words and len(seen_events[program]) >= 4, "%s.1 names the events: %s" % (program, ", ".join(sorted(seen_events[program]))))
    lab.check(not left, "and nothing but what there is%s" % (": not " + ", ".join(sorted(left)) if left else ""))
lab.finish()
