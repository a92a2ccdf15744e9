#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The examples of the manuals: each says what it is (tests/lab/examples.py); configuration files are given to the program that reads them. What is typed is tried in
a lab (tests/scenarios/manuals.py)."""
import glob, os, shutil, subprocess, sys, tempfile

top = os.environ.get("srcdir", ".")
build = os.environ.get("builddir", ".")
sys.path.insert(0, top + "/tests/lab")
sys.dont_write_bytecode = True
from examples import commands, of_manual

failed = checked = 0
KINDS = {"amad.conf": [build + "/amad/amad", "--check", "-c"], "mnd.conf": [build + "/mnd/mnd", "--check", "-c"], "radvd.conf": [shutil.which("radvd", path="/usr/sbin:/sbin:" + os.environ["PATH"]), "-c", "-m", "stderr", "-C"]}


def check(good, text):
    global failed, checked
    checked += 1
    if not good:
        failed += 1
        print("FAIL: " + text)


with tempfile.TemporaryDirectory() as d:
    pages = sorted(glob.glob(top + "/man/*.[1-9]"))
    check(len(pages) >= 9, "%d manuals in %s/man" % (len(pages), top))
    for page in pages:
        for number, marker, text in of_manual(page):
            where = "%s:%d: " % (os.path.basename(page), number)
            kind = marker.split()[0] if marker else None
            if kind == "run":
                for command, prints in commands(text):
                    r = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PATH": build + "/common:" + os.environ["PATH"]})
                    check(r.returncode == 0 and (not prints or "".join(r.stdout.split()) == "".join(prints.split())), "%s'%s' does not print what the manual says: %s" % (where, command, r.stdout))
                continue
            if kind not in KINDS:
                check(kind in ("try", "shown", "not") and len(marker.split()) > 1, where + ("unknown kind of example '%s'" % marker if marker else "an example that nobody tries: say what it is"))
                continue
            with open(d + "/" + kind, "w") as f:
                f.write(text + "\n")
            if KINDS[kind][0]:
                r = subprocess.run(KINDS[kind] + [d + "/" + kind], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                check(r.returncode == 0, where + r.stdout)
print("%d examples, %d faults" % (checked - 1, failed))
sys.exit(1 if failed else 0)
