# SPDX-License-Identifier: GPL-2.0-or-later
"""For scenarios about doctor: seed faults, have them found, run what is printed, see them mended."""
import json, subprocess
from lab import inside


class Healing:
    def __init__(self, lab, host, tool, config, answers):
        """answers: does the daemon answer? An exception is a no."""
        self.lab, self.host, self.tool, self.config, self.answers, self.seeded = lab, host, tool, config, answers, 0

    def doctor(self, show=False):
        """Exit status, and what is not ok."""
        with inside(self.host.name):
            r = subprocess.run([self.tool, "--json", "--config", self.config, "doctor"], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL, timeout=120)
        found = [f for f in json.loads(r.stdout)["checks"] if f["level"] in ("warn", "fail")]
        if show:
            print("".join("# %(level)s %(check)s: %(text)s\n#      %(remedy)s\n" % f for f in found), end="", flush=True)
        return r.returncode, found

    def is_well(self):
        status, found = self.doctor(True)
        self.lab.check(status == 0 and not found, "%s doctor finds nothing on a machine where nothing is wrong" % self.tool)

    def heal(self, *faults, rounds=1):
        """Each fault (check, words of its text) is found with a remedy; when all remedies were run as printed, nothing is left of these checks. A fault
        that hides another takes a round more."""
        for i in range(rounds):
            found = self.doctor(True)[1]
            for check, words in faults if i == 0 else []:
                self.seeded += 1
                self.lab.check(any(f["check"] == check and words in f["text"] and f["remedy"] for f in found), "%s doctor: %s: '%s' is found" % (self.tool, check, words))
            for f in found:
                if f["remedy"]:
                    with inside(self.host.name):
                        subprocess.run(["sh", "-c", f["remedy"]], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        checks = {check for check, _ in faults}
        if "daemon" in checks:
            self.lab.wait(self.answers, "the daemon that the remedy started")
        status, found = self.doctor()
        left = [f for f in found if f["check"] in checks]
        self.lab.check(not left, "%s doctor: mended: %s %s" % (self.tool, ", ".join(sorted(checks)), left or ""))
        self.lab.check(status == (1 if any(f["level"] == "fail" for f in found) else 0), "and its exit status says whether something is wrong")


def healers(lab, net):
    """For the node and the first anchor of a roaming network."""
    return (Healing(lab, net.mn, "mnctl", net.mn_dir + "/mnd.conf", lambda: net.mnctl("status")),
            Healing(lab, net.ar[1], "amactl", "/tmp/lab/ama1/amad.conf", lambda: net.amactl(1, "status")))


def edit(path, old, new):
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace(old, new))
