# SPDX-License-Identifier: GPL-2.0-or-later
"""The anchor's store: checked, exported and imported while amad does not run; damaged, it is put aside whole with a clear message, and the anchor begins anew."""
import json, os, shutil, subprocess
from lab import Lab, sh

lab = Lab()
net = lab.roaming(networks=2, mnd_config="heartbeat = 2s")
state = "/tmp/lab/ama1/state"


def amactl(*words, stdin=None):
    return subprocess.run(["amactl", "store", "--state-dir", state, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, input=stdin,
                          stdin=None if stdin is not None else subprocess.DEVNULL)


hoa1 = net.attach(1)
prefix1 = net.home(1)["prefix"]
stream = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9001, 20000)
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
r = amactl("check")
lab.check(r.returncode == 1 and "running amad" in r.stdout, "while amad runs: " + r.stdout.strip())
net.amad[1].kill()
r = amactl("check")
lab.check(r.returncode == 0 and "1 leases" in r.stdout and "1 bindings" in r.stdout, "stopped: " + r.stdout.strip())
exported = amactl("export").stdout
e = json.loads(exported)
lab.check([l["hnp"] for l in e["leases"]] == [prefix1] and e["leases"][0]["mn"] == "laptop" and [b["hnp"] for b in e["bindings"]] == [prefix1], "exported")
r = amactl("import", "-", stdin=exported)
lab.check(r.returncode == 1 and "--force" in r.stdout, "an existing store is not replaced: " + r.stdout.strip())
shutil.rmtree(state)
lab.check("there is no store" in amactl("check").stdout, "no store: said")
r = amactl("import", "-", stdin=exported)
lab.check(r.returncode == 0, r.stdout.strip())
again = json.loads(amactl("export").stdout)
lab.check(dict(again, restart_counter=0) == dict(e, restart_counter=0) and again["restart_counter"] == e["restart_counter"] + 1,
          "imported and exported again it is the same, but for the restart counter")
for bad, why in (("{", ":1:"), ("{}", "no export"), (exported.replace('"care_of": "', '"care_of": "x').replace('"care_of":"', '"care_of":"x'), "bindings, number 1")):
    r = amactl("import", "--force", "-", stdin=bad)
    lab.check(r.returncode == 1 and why in r.stdout, "refused: " + r.stdout.strip().splitlines()[-1])
shutil.rmtree(state)
amactl("import", "-", stdin=exported)
got = len(stream.packets())
net.start_amad(1)
lab.check(len(net.bindings(1)) == 1 and net.amactl(1, "status")["restart_counter"] == again["restart_counter"], "amad starts from what was imported")
lab.wait(lambda: len(stream.packets()) > got + 50, "the stream")

# damage: both meta pages
net.amad[1].kill()
with open(state + "/data.mdb", "r+b") as f:
    for at in (0, 4096):
        f.seek(at)
        f.write(b"this is not a store at all, sorry")
size = os.path.getsize(state + "/data.mdb")
r = amactl("check")
lab.check(r.returncode == 1 and "cannot open the store" in r.stdout, "check: " + r.stdout.strip())
net.start_amad(1)
log = net.amad[1].output()
aside = [d for d in os.listdir(state) if d.startswith("damaged-")]
lab.check(len(aside) == 1 and os.path.getsize("%s/%s/data.mdb" % (state, aside[0])) == size, "amad put it aside whole: " + aside[0])
lab.check("cannot open the store" in log and "was moved to" in log, "and said so: " + [l for l in log.splitlines() if "moved to" in l][-1])
lab.check(any("damaged" in e for e in net.amactl(1, "status")["errors"]), "also in amactl status")
lab.check(net.leases(1) == [] or net.leases(1)[0]["mn"] == "laptop", "it begins anew")
lab.wait(lambda: "ama1" not in net.homes(), "the node to hear that its lease is not known any more", 30)
net.attach(1)
lab.check(net.leases(1)[0]["mn"] == "laptop", "and to get another")

# it cannot be written
net.amad[1].kill()
sh("umount %s" % state, check=False)
sh(["mount", "-t", "tmpfs", "-o", "ro", "none", state])
p = net.ar[1].spawn(["amad", "-c", "/tmp/lab/ama1/amad.conf"])
lab.wait(lambda: not p.alive(), "amad to refuse")
lab.check(p.popen.returncode != 0 and "Read-only file system" in p.output(), "a directory that cannot be written: " + p.output().strip().splitlines()[-1])
sh("umount %s" % state)
lab.finish()
