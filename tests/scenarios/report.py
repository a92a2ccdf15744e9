# SPDX-License-Identifier: GPL-2.0-or-later
"""mnctl report and amactl report have what a bug report needs and no private key of this machine in any encoding, not even where a person has written
one into a configuration file."""
import base64, json, re, subprocess
from lab import Lab, inside

lab = Lab()
net = lab.roaming(networks=1, ra="MinRtrAdvInterval 3; MaxRtrAdvInterval 4;")
hoa = net.attach(1)


def key(path, name):
    return base64.urlsafe_b64decode(re.search(name + r"\s*=\s*(\S+)", open(path).read()).group(1) + "==")


keys = {"the node": key(net.mn_dir + "/identity", "private-key"), "the anchor": key("/tmp/lab/domain/ama1.identity", "private-key"), "the domain": key("/tmp/lab/domain/domain.key", "signing-key")}
lab.check(all(len(k) == 32 for k in keys.values()), "three private keys are known to this test")


def encodings(k):
    forms = [base64.b64encode(k), base64.urlsafe_b64encode(k), k.hex().encode(), k.hex().upper().encode(), k, k[::-1]]
    return forms + [f.rstrip(b"=") for f in forms[:2]] + [b":".join(b"%02x" % b for b in k)]


traps = lambda k: "".join("; %s\n" % f.decode() for f in (base64.b64encode(k), base64.urlsafe_b64encode(k).rstrip(b"="), k.hex().encode(), k.hex().upper().encode()))
for host, tool, config, own in ((net.mn, "mnctl", net.mn_dir + "/mnd.conf", ("the node", "the domain")), (net.ar[1], "amactl", "/tmp/lab/ama1/amad.conf", ("the anchor", "the domain"))):
    with open(config, "a") as f:
        f.write("".join(traps(keys[k]) for k in own) + "; private-key = of another machine\n")
    for option in ("", "--json"):
        with inside(host.name):
            r = subprocess.run([tool] + ([option] if option else []) + ["--config", config, "report"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=120)
        lab.check(r.returncode == 0 and len(r.stdout) > 5000, "%s report %s: %d bytes" % (tool, option, len(r.stdout)))
        for whose, k in keys.items():
            found = [f for f in encodings(k) if f in r.stdout]
            lab.check(not found, "no key of %s in it %s" % (whose, found or ""))
        lab.check(b"of another machine" not in r.stdout and b"private-key" in r.stdout, "nor what stands behind private-key")
        if option:
            lab.check(json.loads(r.stdout)["doctor"]["fail"] == 0, "it is JSON")
        else:
            for what in (b"=== doctor", b"GetStatus", b"=== ip -6 route show table all", hoa[:13].encode(), b"=== " + config.encode(), b"=== facts", b"trusted-domains = "):
                lab.check(what in r.stdout, "it has %s" % what.decode())
lab.finish()
