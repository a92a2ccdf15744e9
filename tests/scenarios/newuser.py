# SPDX-License-Identifier: GPL-2.0-or-later
"""A new user with nothing but README.md: the commands that stand there, in that order, on two routers and a laptop with nothing set up. At the end an ssh session
goes on over a move. What was typed and answered is in the results, as `transcript`.

With a folder as its argument, which tests/packages makes, each machine is a fresh Debian (FOLDER/root) with its own systemd, and begins with `apt-get install` from a
mirror (FOLDER/repo); the packages are then replaced by newer ones (FOLDER/newer) while the session is open, and purged when it is over."""
import json, os, re, subprocess, sys
from lab import Lab, RESULTS, inside, now
from examples import Machine, Person, of_readme, ssh_server

ON = {"router1": "ar1", "router2": "ar2", "laptop": "mn"}
# What each step is expected to answer. A step of README that is not here, or the other way round, is a failure.
STEPS = [
    ("router1", "amactl domain init example", r"^dmm-domain-1:\S+$"),
    ("router1", "amactl domain add-ama ama1", r"^/etc/dmm/amad.identity$"),
    ("router1", "cat > /etc/dmm/amad.conf", r"^$"),
    ("router1", "amactl radvd-config > /etc/radvd.conf", r"^$"),
    ("router1", "systemctl enable --now amad radvd", r"^$"),
    ("router1", "amactl status", r"^anchor ama1 of domain example"),
    ("router1", "amactl domain add-ama ama2", r"^/root/ama2.identity$"),
    ("laptop", "mnctl keygen laptop", r"^dmm-key-1:\S+$"),
    ("router1", "amactl domain add-mn laptop --key TOKEN", r"^dmm-cred-1:\S+$"),
    ("laptop", "mnctl join LINE", r"^laptop is a node of domain example now; mnd runs"),
    ("laptop", "mnctl status", r"^node laptop of domain example"),
    ("laptop", "hoa-exec ssh example.net", None),
]

lab = Lab()
found, text = of_readme()
todo = [s for s in found if s[0] != "install"]
lab.check([w for w, _ in found][:1] == ["install"], "README begins with how to install")
lab.check(len(todo) == len(STEPS) and all(w == s[0] and c.startswith(s[1]) for (w, c), s in zip(todo, STEPS)),
          "the steps of README are those that are tried here: %s" % [c.splitlines()[0] for _, c in todo])
lines = sum(len(c.splitlines()) - 2 for w, c in todo if w == "router1" and c.startswith("cat "))
lab.check(0 < lines <= 15, "a router is configured by %d lines" % lines)

net = lab.roaming(networks=2, start=False)  # links, addresses, forwarding: no daemon, no radvd
fresh = sys.argv[1] if len(sys.argv) > 1 else None
people = {where: Machine(lab.hosts[name], fresh + "/root") if fresh else Person(lab.hosts[name]) for where, name in ON.items()}
laptop = people["laptop"]
ssh_server(net, laptop)
net.radios[0].plug(1)
began, laptop_s, token, before = now(), 0, {}, {}


def stop_if(wrong):
    if wrong:
        print(open(RESULTS + "/transcript").read())
        lab.finish()


def mirror(*folders):
    for p in people.values():
        p.put("/etc/apt/sources.list", "".join("deb [trusted=yes] http://[2001:db8:c::2]:8080/%s ./\n" % f for f in folders), 0o644)


def install(where, package):
    """By apt-get, from the mirror, over the network that is there."""
    global laptop_s
    before[where], t = people[where].host.footprint(), now()
    status, _ = people[where].type("apt-get update -qq && apt-get install -qqy " + package, 300)
    stop_if(not lab.check(status == 0, "%s: apt-get install %s, %.1f s" % (where, package, now() - t)))
    laptop_s += now() - t if where == "laptop" else 0


if fresh:
    lab.check("`apt-get install amad` on a router, `apt-get install mnd` on a laptop" in text, "README says so")
    os.makedirs("/tmp/lab/www")
    for f in ("repo", "newer"):
        os.symlink(fresh + "/" + f, "/tmp/lab/www/" + f)
    net.web()
    mirror("repo")
    install("router1", "amad")

for (where, command), (_, _, answer) in zip(todo, STEPS):
    if answer is None:
        break  # the ssh session: below
    if fresh and command.startswith("mnctl keygen"):
        lab.wait(lambda: "2001:db8:a1:" in laptop.look("ip -6 addr show dev wlan0 scope global -tentative"), "the laptop to be in the network")
        install("laptop", "mnd")
    t = now()
    if command == "mnctl status":  # the laptop comes up by itself; a person looks until it has
        lab.wait(lambda: "native" in people[where].look(command), "a home address")
    status, out = people[where].type(command.replace("TOKEN", token.get("key", "TOKEN")).replace("LINE", token.get("cred", "LINE")))
    token.update(re.findall(r"^dmm-(key|cred)-1:", out) and [(re.match(r"dmm-(\w+)-1", out).group(1), out.strip())] or [])
    if where == "laptop":
        laptop_s += now() - t
    stop_if(not lab.check(status == 0 and re.search(answer, out), "%s: %s" % (where, command.splitlines()[0])))
    # the second router, by what README says of it: the same with a name and prefixes of its own, and the identity copied
    if "ama2" in command:
        if fresh:
            install("router2", "amad")
        show = re.search(r"<!-- show: (.*) -->\n    (.*)\n", text)
        lab.check(show and show.group(1) == show.group(2) == "scp -p /root/ama2.identity router2:/etc/dmm/amad.identity", "the identity is copied")
        people["router1"].note("ar1# %s\n\n" % show.group(1))
        people["router2"].put("/etc/dmm/amad.identity", people["router1"].look("cat /root/ama2.identity"))
        for w, c in todo:
            if w == "router1" and (c.split()[0] in ("cat", "systemctl") or "radvd-config" in c):
                status, out = people["router2"].type(c.replace("db8:a1:", "db8:a2:"))
                lab.check(status == 0, "router2: " + c.splitlines()[0])
        lab.check(people["router2"].type("amactl status")[1].startswith("anchor ama2 of domain example"), "the second router is an anchor")
print("# routers and laptop up after %.1f s; on the laptop %.1f s" % (now() - began, laptop_s))

t = now()
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
    laptop.note("mn (session %s)# %s\n\n" % (what, line))
    return line.split()[3]


def moved(network, state):
    """state: of the home address of ama1, then."""
    net.radios[0].move(network)
    lab.wait(lambda: [h for h in json.loads(laptop.look("mnctl --json leases"))["leases"] if h["anchor_name"] == "ama1" and h["state"] == state], "the move")


first = goes_on("at the first router")
lab.check(first.startswith("2001:db8:101:"), "ssh has a home address of ama1: " + first)
moved(2, "bound")
lab.check(goes_on("at the second router") == first, "the session survives the move to the second router")
laptop_s += now() - t
print("# from the first command to a session that survives a move: %.1f s of the laptop's user, %.1f s for all" % (laptop_s, now() - began))
lab.check(laptop_s < 60 and now() - began < 300, "within a minute on the laptop, five for all")
status, out = laptop.type("mnctl pins")
lab.check(first in out and "ssh" in out, "and is pinned")
lab.check("laptop" in people["router1"].type("amactl bindings")[1], "ama1 tunnels to it")

if fresh:  # newer packages for all three, while the session is open
    mirror("repo", "newer")
    for where, unit in (("laptop", "mnd"), ("router1", "amad"), ("router2", "amad")):
        p = people[where]
        pid = p.look("systemctl show -P MainPID " + unit)
        status, _ = p.type("apt-get update -qq && apt-get upgrade -qqy", 300)
        lab.check(status == 0 and "+1" in p.look("dpkg-query -W " + unit) and p.look("systemctl show -P MainPID " + unit) not in (pid, "0\n"), "%s: a newer %s runs" % (where, unit))
        lab.check(goes_on("after the upgrade of " + where) == first, "the session goes on")
    moved(1, "native")
    lab.check(goes_on("back at the first router") == first, "and survives a move back")
session.stdin.write(b"exit\n")
session.stdin.close()
lab.check(session.wait(30) == 0, "ssh ends by itself")
if fresh:
    for where, unit in (("laptop", "mnd"), ("router1", "amad")):
        lab.check("proto 108" in str(people[where].host.footprint()), where + ": there is something in the kernel")
        lab.check(people[where].type("apt-get purge -qqy --autoremove %s" % unit, 300)[0] == 0, "%s: purged" % where)
        after = people[where].host.footprint()
        changed = {k: (sorted(set(before[where][k]) - set(after[k])), sorted(set(after[k]) - set(before[where][k]))) for k in after if after[k] != before[where][k]}
        lab.check(not changed, "%s: the kernel is as it was before %s" % (where, changed or ""))
lab.finish()
