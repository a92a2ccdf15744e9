# SPDX-License-Identifier: GPL-2.0-or-later
"""The set-up with three routers of dmm(7), typed as it stands there; then the examples of the other manuals in that network. What dmm(7) shows is what the
programs print."""
import glob, json, re, subprocess
from lab import Lab, inside, sh
from examples import Person, TOP, commands, of_manual, ssh_server

lab = Lab()
net = lab.roaming(networks=3, start=False)
net.web(1)
laptop, office = Person(net.mn), Person(lab.host("office"))
routers = {i: Person(net.ar[i]) for i in net.ar}
people = {"laptop": laptop, "office": office, "router1": routers[1]}
ssh_server(net, laptop)
words = {}  # what commands printed, and what stands for it in the manuals


def fill(text):
    for placeholder, kind in (("TOKEN", "key"), ("LINE", "cred"), ("dmm-key-1:...", "key"), ("dmm-cred-1:...", "cred"), ("dmm-domain-1:...", "other"), ("4711", "pid")):
        text = text.replace(placeholder, words.get(kind, placeholder))
    return text


def type_it(person, command):
    status, out = person.type(fill(command))
    m = re.match(r"dmm-(\w+)-1:\S+", out)
    if m:
        words[m.group(1)] = m.group(0)
    return lab.check(status == 0, "%s# %s" % (person.host.name, command.splitlines()[0]))


def leases():
    return json.loads(laptop.look("mnctl --json leases"))["leases"]


def at_home(i):
    return [h for h in leases() if h["anchor_name"] == "ama%d" % i and h["state"] == "native"] and \
        all(h["state"] == "bound" for h in leases() if h["anchor_name"] != "ama%d" % i)


def headings(text):
    return text.splitlines()[0].split()


# --- the worked example
examples = of_manual(TOP + "/man/dmm.7")
radvd = [text for _, marker, text in examples if marker == "radvd.conf"][0]
shown = {}
net.radios[0].plug(1)
for _, marker, text in examples:
    kind, _, what = marker.partition(" ")
    if kind == "shown":
        shown[what] = text
    elif kind == "amad.conf":
        for i, r in routers.items():  # "is copied to its router ... mode 0600, and removed from the office"
            identity = "/etc/dmm/ama%d.identity" % i
            r.put("/etc/dmm/amad.identity", office.look("cat %s && rm %s" % (identity, identity)))
            r.put("/etc/dmm/amad.conf", text + "\n", 0o644)
    elif kind == "radvd.conf":
        for i, r in routers.items():  # "and of the others with their own address"
            r.put("/etc/radvd.conf", text.replace("db8:a1:", "db8:a%d:" % i) + "\n", 0o644)
    elif kind == "try":
        for command, _ in commands(text):
            for person in routers.values() if what == "routers" else [people[what]]:
                type_it(person, command)
            if command.startswith("mnctl join"):
                lab.wait(lambda: "native" in laptop.look("mnctl leases"), "the first home address")
                # "with a connection that began at the first and another that began at the second"
                for i in (1, 2):
                    with inside("mn"):
                        held = subprocess.Popen(laptop.into + ["ssh", "-n", "example.net", "sleep", "600"])
                    if i == 1:
                        first = held
                    lab.wait(lambda: [x for x in json.loads(laptop.look("mnctl --json sessions"))["sessions"] if x["anchor"] == "ama%d" % i and x["peer_port"] == 22],
                             "an ssh session on the home address of ama%d" % i)
                    net.radios[0].move(i + 1)
                    lab.wait(lambda: at_home(i + 1), "the move to router %d" % (i + 1))

lab.check(sorted((h["anchor_name"], h["state"], h["path"], h["sessions"]) for h in leases()) ==
          sorted((w[1], w[2], w[3], int(w[-1])) for w in (l.split() for l in shown["mnctl leases"].splitlines()[1:])), "three home addresses, as dmm(7) shows them")
for command, person in (("mnctl leases", laptop), ("amactl bindings", routers[1])):
    _, out = person.type(command)
    lab.check(headings(out)[:len(headings(shown[command]))] == headings(shown[command]), "%s prints the columns of dmm(7): %s" % (command, " ".join(headings(out))))
first.kill()
lab.wait(lambda: "ama1" not in laptop.look("mnctl leases") and "laptop" not in routers[1].look("amactl bindings"), "the end of the first", 60)
lab.check(True, "when its connection has ended the first home address goes, at both")

# --- the other manuals, each in its own order. The laptop's domain and key are there already: they are kept, or made elsewhere.
words["other"] = re.search(r"dmm-domain-1:\S+", sh(["amactl", "domain", "init", "--dir", "/tmp/lab/private/other", "another"])).group(0)
with inside("mn"):
    words["pid"] = str(subprocess.Popen(laptop.into + ["sleep", "600"]).pid)
net.radios[0].move(1)
lab.wait(lambda: [h for h in leases() if h["anchor_name"] == "ama1" and h["state"] == "native"], "a home address of ama1 again")
for page in sorted(glob.glob(TOP + "/man/*.[1-8]")):
    if page.endswith("dmm.7"):
        continue
    fresh = Person(lab.host("office%d" % len(lab.hosts)))  # a domain is made once at an office
    for _, marker, text in of_manual(page):
        kind, _, what = marker.partition(" ")
        if kind != "try":
            continue
        for command, _ in commands(text):
            # what is said to be typed where the domain's key is
            person = office if command.startswith("amactl domain add-mn") and what == "laptop" else fresh if what == "office" else people[what]
            type_it(person, command)
lab.finish()
