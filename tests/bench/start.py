# SPDX-License-Identifier: GPL-2.0-or-later
"""Start-up of either daemon to ready, with the configuration and the sandboxing that it has by default; against a program of ours that only says its version."""
import os, statistics, sys, time
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from anchorload import out, tunnel_device
from lab import Lab, now, sh

D = "/tmp/lab/start"
lab = Lab()
ar, mn = lab.host("ar"), lab.host("mn")
lab.link(ar, "lan0", mn, "wlan0")
ar.sysctl("net.ipv6.conf.all.forwarding", 1)
ar.address("lan0", "2001:db8:a1::1/64")
os.makedirs(D)
sh(["amactl", "domain", "init", "--dir", D, "lab"])
sh(["amactl", "domain", "add-ama", "--dir", D, "ama", "--prefix", "2001:db8:101::/48"])
token = sh(["mnctl", "--identity", D + "/mn.identity", "keygen", "laptop"]).split()[-1]
sh(["mnctl", "--identity", D + "/mn.identity", "join", sh(["amactl", "domain", "add-mn", "--dir", D, "laptop", "--key", token]).split()[-1]])
with open(D + "/amad.conf", "w") as f:
    f.write("[ama]\naccess = lan0\nidentity = %s/ama.identity\ntrusted-domains = %s/trusted-domains\nstate-dir = %s/ama\ncontrol-socket = %s/amad.sock\n" % (D, D, D, D))
with open(D + "/mnd.conf", "w") as f:
    f.write("[mnd]\nidentity = %s/mn.identity\ntrusted-domains = %s/trusted-domains\nstate = %s/state.json\ncontrol-socket = %s/mnd.sock\n" % (D, D, D, D))


def ready(host, program, config):
    """Seconds from its start to its word, which is looked for every half millisecond."""
    t = now()
    p = host.spawn([program, "-c", config])
    while "is ready" not in p.output():
        if not p.alive():
            raise RuntimeError(p.output())
        time.sleep(0.0005)
    seconds = now() - t
    p.kill()
    os.unlink(p.log)
    return seconds


plain = statistics.median(-(t := now()) + (mn.run("mnctl --version") and now()) for _ in range(10))
for host, device, name in (ar, "amad0", "amad"), (mn, "mnd0", "mnd"):
    program = tunnel_device(host, device, name)
    times = sorted(ready(host, program, "%s/%s.conf" % (D, name)) for _ in range(20))
    s = statistics.median(times)
    print("# %s: %s ms" % (name, " ".join("%.0f" % (1000 * x) for x in times)))
    out("start of %s to ready, median of 20" % name, s * 1000, "ms", 100, s / 0.1, "<= 1 (100 ms); mnctl --version takes %.0f ms" % (plain * 1000))
lab.finish()
