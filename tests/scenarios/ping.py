# SPDX-License-Identifier: GPL-2.0-or-later
"""mnctl ping measures the round trip and the path MTU of the channel to an anchor, from where the node is now; doctor uses the same."""
import json, subprocess
from lab import Lab, inside

lab = Lab()
net = lab.roaming(networks=2, delay_ms=20)
hoa1 = net.attach(1)
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])


def mnctl(*arguments):
    with inside("mn"):
        r = subprocess.run(["mnctl", "--socket", net.mn_dir + "/sock"] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout


status, text = mnctl("ping", "--count", "3", "ama1")
print("# " + text.replace("\n", "\n# "))
lab.check(status == 0 and text.count("1280 bytes from ama1 (2001:db8:a1::1)") == 3 and "3 sent, 3 received, 0 % lost" in text, "three packets, three answers, a summary")
lab.check("path MTU 1500 bytes: packets of up to 1460 bytes fit" in text, "the path MTU on the link")

for host, dev in ((net.core, "ar1"), (net.ar[1], "up0")):  # the way to the first anchor, from elsewhere
    host.ip("link set %s mtu 1407" % dev)
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
status, text = mnctl("--json", "ping", "2001:db8:a1::1")
r = json.loads(text)
print("# %s" % r)
lab.check(status == 0 and r["anchor"] == "ama1" and r["received"] == 4 and 40 <= r["min_ms"] <= r["avg_ms"] <= r["max_ms"], "over two networks of 20 ms: at least 40 ms")
lab.check(r["path_mtu"] == 1407, "the path MTU to the byte: %s" % r["path_mtu"])

status, text = mnctl("ping", "nobody")
lab.check(status == 1 and "no anchor 'nobody' is known" in text, "an anchor that is not known")
status, text = mnctl("ping", "--count", "0", "ama1")
lab.check(status == 2, "wrong usage")
lab.netem(net.core, "ar1", "loss 100%")
status, text = mnctl("ping", "--count", "1", "ama1")
lab.check(status == 1 and "no answer from ama1" in text and "1 sent, 0 received, 100 % lost" in text, "an anchor that does not answer: exit status 1")
with inside("mn"):
    r = subprocess.run(["mnctl", "--json", "--config", net.mn_dir + "/mnd.conf", "doctor"], stdout=subprocess.PIPE, text=True, timeout=120, stdin=subprocess.DEVNULL)
found = [f for f in json.loads(r.stdout)["checks"] if f["check"] == "anchors"]
lab.check(r.returncode == 1 and len(found) == 1 and found[0]["level"] == "fail" and "ama1 at 2001:db8:a1::1 does not answer" in found[0]["text"], "doctor finds it: %s" % found)
lab.finish()
