# SPDX-License-Identifier: GPL-2.0-or-later
"""A laptop roams 1 -> 2 -> 3 -> 1 with a download and an interactive ssh session open, both begun at the first router. Real programs: nginx,
curl, sshd, ssh, radvd, amad, mnd; the networks are namespaces."""
import os, subprocess, time
from lab import Lab, now, sh

lab = Lab()
say = lambda text="": print(text, flush=True)
say("""
        web server and sshd (cn)
                 |
               core
      10 ms /   10 ms |   \\ 10 ms
        AR1        AR2       AR3        each runs radvd and amad
         |          |         |
       (lan1) --> (lan2) --> (lan3) --> (lan1)
                 laptop (mn) runs mnd
""")
net = lab.roaming(networks=3, delay_ms=10)
say("The domain was made with: amactl domain init lab; amactl domain add-ama ama1 --prefix 2001:db8:101::/48 (and 2, 3);")
say("mnctl keygen laptop; amactl domain add-mn laptop --key ...; mnctl join ...")
net.web(1, 100)

# sshd as a person would use it: key login, a shell
d = "/tmp/lab/ssh"
os.makedirs(d + "/empty", exist_ok=True)
os.makedirs("/run/sshd", exist_ok=True)
os.chmod("/tmp/lab", 0o755)
for k in ("host", "user"):
    sh(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/" + k])
os.rename(d + "/user.pub", d + "/authorized")
with open(d + "/sshd_config", "w") as f:
    f.write("Port 2222\nListenAddress ::\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nPidFile %s/pid\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n" % (d, d, d))
net.cn.spawn(["/usr/sbin/sshd", "-D", "-e", "-f", d + "/sshd_config"])
lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :2222"), "sshd")

hoa1 = net.attach(1)
say("\n[at AR1] home address %s, leased by ama1, native: no binding, no tunnel" % hoa1)
curl = net.download(hoa1, 100, rate="5M")
ssh = net.mn.spawn(["ssh", "-tt", "-i", d + "/user", "-p", "2222", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
                    "-o", "BindAddress=" + hoa1, "root@2001:db8:c::2", "PS1='' sh"], stdin=subprocess.PIPE, name="ssh")
typed = 0


def type_line():
    """Type one line into the shell and wait for its answer: what a person would notice."""
    global typed
    typed += 1
    t = now()
    ssh.popen.stdin.write(b"echo answer $((40 + %d))\n" % typed)
    ssh.popen.stdin.flush()
    lab.wait(lambda: "answer %d" % (40 + typed) in ssh.output(), "the shell's answer", 30)
    return (now() - t) * 1000


type_line()  # the login
say("         download of 100 MB and ssh session opened; the shell answers in %.0f ms" % type_line())
down = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, 10000, 25)
lab.wait(lambda: len(down.packets()) > 20, "the stream that measures")
rows, later = [], []
for k, target in enumerate((2, 3, 1)):
    t = now()
    net.radios[0].move(target)
    want = "native" if target == 1 else "bound"
    lab.wait(lambda: net.home(1)["state"] == want and net.homes().get("ama%d" % target, {}).get("state") == "native", "the registrations")
    h, new = net.home(1), net.home(target)
    last = net.mnctl("status")["handovers"][-1]
    answer = type_line()
    at = [a for a in net.mnctl("status")["attachments"] if a["selected"]][0]
    say("\n[at AR%d] care-of address %s, AMA %s" % (target, at["care_of"], at["ama_name"]))
    say("         %s: %s" % (h["address"], "native again, the binding is gone" if target == 1 else "tunnel %s - %s" % (h["anchor"], h["care_of"])))
    if target != 1:
        say("         %s: new, native; sessions opened now use it" % new["address"])
    say("         router heard %s ms, address %s ms, registration %s ms after another; the shell answers in %.0f ms" %
        (tuple("%.1f" % last[x] if last[x] is not None else "-" for x in ("router_ms", "address_ms", "registration_ms")) + (answer,)))
    out = net.mn.run(["curl", "-sS", "-g", "-o", "/dev/null", "-w", "%{local_ip}", "http://[2001:db8:c::2]:8080/file1"])
    later.append((target, out, new["address"]))
    say("         a session opened here uses %s" % out)
    rows.append((target, t, now()))
    time.sleep(2)  # a look around, as a person would; nothing depends on it

r = down.result()
curl.popen.wait(120)
answer = type_line()
ssh.popen.stdin.write(b"exit\n")
ssh.popen.stdin.flush()
say("\nsummary")
say("  handover   gap      lost (of a 100/s stream)")
for target, t0, t1 in rows:
    window = [p for p in r["packets"] if t0 * 1e6 - 50000 <= p[2] <= t1 * 1e6 + 1000000]
    gap = max((b[2] - a[2] for a, b in zip(window, window[1:])), default=0) / 1000
    seq = [p[0] for p in window]
    lost = (max(seq) - min(seq) + 1 - len(set(seq))) if seq else 0
    say("  to AR%d     %3.0f ms   %d" % (target, gap, lost))
say()
lab.check(curl.popen.returncode == 0 and net.checksum() == net.sums[100], "the download survived: its checksum is right")
lab.check(typed == 6 and answer < 5000, "the ssh session survived: the shell still answers")
lab.check(all(out == new for _, out, new in later), "sessions opened later used the new network's address and no tunnel")
lab.finish()
