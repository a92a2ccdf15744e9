# SPDX-License-Identifier: GPL-2.0-or-later
"""The Wireshark dissector on a capture of a node's first contact, a handover and heartbeats: the framing without keys, and with the key log of
either side every mobility message, as many as the daemons counted. The key log is for its owner alone, and said aloud."""
import os
import shutil
import stat
import subprocess

from lab import Lab

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../contrib/wireshark/dmm.lua")
lab = Lab()
if not shutil.which("tshark"):
    lab.skip("tshark is not installed")
net = lab.roaming(networks=2, mnd_config="key-log = /tmp/lab/mn/keys\nheartbeat = 1s", amad_config="key-log = /tmp/lab/amad.keys")
wire = net.mn.capture("wlan0", "udp port 7872")
hoa = net.attach(1)
stream = net.stream(hoa, "2001:db8:c::2", net.mn, net.cn, 9001, 20000)
lab.wait(lambda: len(stream.packets()) > 10, "the stream")
net.radios[0].move(2)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(2)["state"] == "native", "the handover")
lab.wait(lambda: net.amactl(1, "status")["counters"]["message-tx-heartbeat"] >= 2, "heartbeats")
stream.end()
net.mnd.kill()  # nothing more is said
wire.stop()


def tshark(keys, *fields, only="dmm"):
    """A list of tuples: the values of each field of each frame, as lists."""
    command = ["tshark", "-n", "-X", "lua_script:" + SCRIPT, "-r", wire.path, "-Y", only, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"]
    command += ["-o", "dmm.key_log:" + keys] if keys else []
    for f in fields:
        command += ["-e", f]
    r = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    lab.check(r.returncode == 0 and "Lua" not in r.stderr, "tshark has nothing to say: " + r.stderr.replace("\n", " ")) if r.returncode or "Lua" in r.stderr else None
    return [tuple(c.split(",") if c else [] for c in line.split("\t")) for line in r.stdout.splitlines()]


count = len(wire.packets())
plain = tshark(None, "dmm.ptype", "dmm.type", "dmm.spi", "dmm.sequence", "dmm.malformed", "mip6.mhtype", "dmm.decrypted", "dmm.credential")
kinds = [p[1][0] for p in plain if p[1]]
lab.check(len(plain) == count > 10 and not any(p[4] for p in plain), "all %d datagrams are of the channel, none is malformed" % count)
lab.check({"1", "2", "4", "5"} <= set(kinds), "handshakes and discoveries are seen")
sequences = {}
for p in plain:
    if p[0] == ["8"]:
        sequences.setdefault(p[2][0], []).append(int(p[3][0]))
lab.check(len(sequences) >= 2 and all(s == list(range(s[0], s[0] + len(s))) for s in sequences.values()), "sequence numbers count up in each of %d directions" % len(sequences))
lab.check(not any(p[5] for p in plain) and all(p[6] in ([], ["0"], ["False"]) for p in plain), "without keys no message is")

for whose, keys in ("the node's", "/tmp/lab/mn/keys"), ("the AMAs'", "/tmp/lab/amad.keys"):
    frames = tshark(keys, "mip6.mhtype", "dmm.decrypted", "dmm.type", "mip6.nemo.mnp.mnp", "mip6.ba.status", "mip6.bu.seqnr")
    sealed = [f for f in frames if f[2] not in (["4"], ["5"])]
    lab.check(sealed and all(f[1] in (["1"], ["True"]) for f in sealed), "with %s key log all %d sealed datagrams are read" % (whose, len(sealed)))
    types = [t for f in frames for t in f[0]]
    lab.check(types.count("5") >= 3 and types.count("6") >= 3 and types.count("13") >= 4, "updates, acknowledgements and heartbeats: %d, %d and %d" % tuple(types.count(t) for t in ("5", "6", "13")))
    lab.check(any(f[2] == ["1"] and "5" in f[0] for f in frames) and any(f[2] == ["2"] and "6" in f[0] for f in frames), "also those in handshakes")
    ours = tshark(keys, "dmm.option", "dmm.lease.lifetime", "dmm.lease.attach", "dmm.probe.size", "mip6.mhtype")
    probes = sorted({int(p) for o in ours for p in o[3]})
    lab.check({l for o in ours for l in o[1]} == {"86400"} and any(a in ("1", "True") for o in ours for a in o[2]) and probes and all(1280 < p <= 1500 for p in probes)
              and all(o[4] for o in ours if o[0]), "our own options, too: leases of a day, probes of %s bytes" % probes)
    lab.check([f[4] for f in frames if f[4]] and all(s == "0" for f in frames for s in f[4]), "each acknowledgement says yes")
sent = sum(net.amactl(i, "status")["counters"]["message-rx-binding_update"] for i in (1, 2))
lab.check(types.count("5") == sent, "as many updates as the AMAs counted: %d" % sent)
with open("/tmp/lab/wrong", "w") as f:
    for line in open("/tmp/lab/mn/keys"):
        what, spi, key = line.split()
        f.write("%s %s %s\n" % (what, spi, key[::-1]))
wrong = tshark("/tmp/lab/wrong", "mip6.mhtype", "dmm.decrypted")
lab.check(not any(w[0] for w in wrong), "with wrong keys nothing is")

mode = stat.S_IMODE(os.stat("/tmp/lab/mn/keys").st_mode)
lab.check(mode == 0o600, "the key log is its owner's: %o" % mode)
lab.check("THE KEYS OF THE SECURE CHANNEL ARE WRITTEN TO /tmp/lab/mn/keys" in net.mnd.output() and "THE KEYS" in net.amad[1].output(), "and said aloud")
os.chmod("/tmp/lab/mn/keys", 0o644)
again = net.mn.spawn(["mnd", "-c", "/tmp/lab/mn/mnd.conf"])
again.popen.wait(60)
lab.check(again.popen.returncode == 1 and "not a file that only its owner may read" in again.output(), "one that others may read is refused")
lab.finish()
