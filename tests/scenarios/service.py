# SPDX-License-Identifier: GPL-2.0-or-later
"""The units under a real systemd: ready, as its own user, in its sandbox each daemon does everything that it does outside: attaches, keeps a session over a move,
pins, reloads, is started again. Its log is in a real journal, with fields."""
import glob, json, os, signal, subprocess, sys
from lab import Lab, inside, sh

SYSTEMD = "/lib/systemd/systemd"
CAPS = {"mnd": (1 << 1) | (1 << 12) | (1 << 13) | (1 << 39), "amad": (1 << 12) | (1 << 39)}
lab = Lab()
if not os.path.exists(SYSTEMD):
    lab.skip("systemd is not installed")
net = lab.roaming(networks=2, start=False)
net.web(1)
for i in (1, 2):
    net.start_radvd(i)
net.start_amad(2)
build = os.path.dirname(sh(["sh", "-c", "command -v mnd"]).strip())
top = os.path.dirname(build)
units = "/tmp/lab/units"

# --- install, into this kernel's /etc, which is in memory
os.makedirs("/etc/dmm", exist_ok=True)
with open("/etc/dmm/mnd.conf", "w") as f:
    f.write("[mnd]\ngrace = 2s\n")
with open("/etc/dmm/amad.conf", "w") as f:
    f.write("[ama]\naccess = lan0\nkey-log = /var/lib/dmm/amad/keys\n")
sh("install -m 600 /tmp/lab/domain/ama1.identity /etc/dmm/amad.identity")
sh("install -m 600 %s/identity /etc/dmm/mnd.identity" % net.mn_dir)
sh("install -m 644 /tmp/lab/domain/trusted-domains /etc/dmm/trusted-domains")
sh("systemd-sysusers %s/systemd/sysusers.d/dmm.conf" % top)
os.makedirs(units)
sh("install -D -t /tmp/lab/bin %s/mnd/mnd %s/mnd/mnctl %s/mnd/hoa-exec %s/amad/amad" % (top, top, top, top))
for name in ("mnd", "amad"):
    with open("%s/systemd/%s.service" % (top, name)) as f:
        unit = f.read()
    lab.check("ExecStart=/usr/sbin/%s\n" % name in unit, "the unit starts /usr/sbin/" + name)
    with open("%s/%s.service" % (units, name), "w") as f:
        f.write(unit.replace("/usr/sbin/", "/run/bin/") + ("[Service]\nNetworkNamespacePath=/tmp/lab/ar1\n" if name == "amad" else ""))
for name in ("sysinit.target", "basic.target", "shutdown.target", "sockets.target", "network.target", "network-pre.target", "user.slice", "systemd-journald.service",
             "systemd-journald.socket", "systemd-journald-dev-log.socket", "paths.target", "timers.target", "slices.target", "umount.target", "final.target", "exit.target"):
    if os.path.exists("/lib/systemd/system/" + name):
        os.symlink("/lib/systemd/system/" + name, units + "/" + name)
with open(units + "/lab.target", "w") as f:
    f.write("[Unit]\nWants=systemd-journald.service user.slice\nAfter=systemd-journald.service\nDefaultDependencies=no\nAllowIsolate=yes\n")
# a machine of its own: processes, mounts, cgroups; the network is the node's
os.makedirs("/sys/fs/cgroup/machine", exist_ok=True)
with open("/tmp/lab/boot", "w") as f:
    f.write("""#!/bin/sh
set -e
mount --make-rprivate /
touch /tmp/lab/ar1
mount --bind /run/netns/ar1 /tmp/lab/ar1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mount --make-rshared /
mkdir -p /run/bin /run/systemd/system /run/log/journal
cp /tmp/lab/bin/* /run/bin/
exec env -i PATH=/run/bin:/usr/bin:/bin:/usr/sbin:/sbin container=lab SYSTEMD_UNIT_PATH=%s %s --unit=lab.target --log-target=console --show-status=no
""" % (units, SYSTEMD))
machine = net.mn.spawn(["sh", "-c", "echo $$ > /sys/fs/cgroup/machine/cgroup.procs; exec unshare --pid --fork --kill-child --mount --cgroup sh /tmp/lab/boot"], name="systemd")


def first():
    """The process number of that systemd."""
    with open("/proc/%d/task/%d/children" % (machine.popen.pid, machine.popen.pid)) as f:
        return f.read().split()[0]


def there(*command, check=True, **kw):
    r = subprocess.run(["nsenter", "-t", first(), "--all", "env", "PATH=/run/bin:/usr/bin:/bin:/usr/sbin:/sbin"] + list(command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       stdin=subprocess.DEVNULL, text=True, timeout=90, **kw)
    if check and r.returncode != 0:
        lab.fail_now("%s: %s%s" % (" ".join(command), r.stdout, there("journalctl", "-n", "30", check=False) if command[0] == "systemctl" else ""))
    return r.stdout


def show(unit, *names):
    values = dict(l.split("=", 1) for l in there("systemctl", "show", unit, *["--property=" + n for n in names]).splitlines())
    return [values[n] for n in names]


def homes():
    return {h["anchor_name"]: h for h in json.loads(there("mnctl", "--json", "leases"))["leases"]}


def journal(*match):
    return [json.loads(l) for l in there("journalctl", "-o", "json", "-u", "mnd", *match, check=False).splitlines() if l.startswith("{")]


lab.wait(lambda: there("systemctl", "is-active", "lab.target", check=False).strip() == "active", "systemd")
for name in ("mnd", "amad"):  # returns when the daemon has said that it is ready
    there("systemctl", "start", name)
    pid, active, watchdog = show(name, "MainPID", "ActiveState", "WatchdogUSec")
    with open("/proc/%s/root/proc/%s/status" % (first(), pid)) as f:
        status = dict(l.rstrip("\n").split(":\t", 1) for l in f if ":\t" in l)
    lab.check(active == "active" and watchdog == "30s", "%s.service is active" % name)
    lab.check(there("id", "-u", "dmm").strip() in status["Uid"].split() and "0" not in status["Uid"].split(), "as user dmm")
    lab.check(int(status["CapEff"], 16) == CAPS[name] and int(status["CapBnd"], 16) == CAPS[name], "with the capabilities it uses: " + status["CapEff"])
    lab.check(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "in a seccomp filter")

# --- what it is for
net.radios[0].plug(1)
lab.wait(lambda: homes()["ama1"]["state"] == "native", "the home address")
hoa1 = homes()["ama1"]["address"]
hold = net.mn.spawn(["labstream", "send", hoa1, "2001:db8:c::2", "9", "100000", "600"])
net.radios[0].move(2)
lab.wait(lambda: homes()["ama1"]["state"] == "bound", "the binding")
lab.check("1 received" in net.mn.run("ping -6 -c 1 -W 5 -I %s 2001:db8:c::2" % hoa1), "after a move the first home address is tunnelled")
CURL = "curl -sS -g -m 20 -o /dev/null -w %%{local_ip} http://[2001:db8:c::2]:8080/file1"


def pinned(cgroup):
    script = "mkdir -p /sys/fs/cgroup%s && echo $$ > /sys/fs/cgroup%s/cgroup.procs && exec setpriv --reuid 4242 --clear-groups hoa-exec --anchor ama1 %s" % (cgroup, cgroup, CURL.replace("%%", "%"))
    return there("sh", "-c", script, check=False).strip()


lab.check(pinned("/user.slice/user-4242.slice/session-1.scope") == hoa1, "hoa-exec works for users")
lab.check(pinned("/system.slice/x.service") == hoa1, "and for system services")
out = pinned("/elsewhere.slice")
lab.check("Read-only file system" in out and hoa1 not in out, "in no other cgroup: " + out.splitlines()[0])
optimistic = there("cat", "/proc/sys/net/ipv6/conf/wlan0/ndisc_notify").strip()
lab.check(optimistic == "1", "the interface's settings could be written")

# --- reload; what it tells of at the next start: a program by its path, and the keys
READER = "/run/bin/reader"
there("cp", os.path.realpath(sys.executable), READER)
with open("/etc/dmm/mnd.conf", "w") as f:
    f.write("[mnd]\ngrace = soon\n")
lab.check("failed" in there("systemctl", "reload", "mnd", check=False) and show("mnd", "ActiveState") == ["active"], "a bad configuration is refused whole")
lab.wait(lambda: any("'soon' is not a value for grace" in e["MESSAGE"] for e in journal()), "the journal to say why")
there("sh", "-c", "kill -HUP $(systemctl show -P MainPID mnd)")
lab.wait(lambda: any("configuration refused, keeping the old one" in e["MESSAGE"] for e in journal()), "SIGHUP: refused as well")
with open("/etc/dmm/mnd.conf", "w") as f:
    f.write("[mnd]\ngrace = 1s\ntunnel-mtu = 1400\nkey-log = /var/lib/dmm/mnd/keys\n[pin reader]\nexe = %s\nanchor = ama1\n" % READER)
there("systemctl", "reload", "mnd")
lab.wait(lambda: any("configuration read again" in e["MESSAGE"] for e in journal()), "the reload")
lab.check(homes()["ama1"]["state"] == "bound", "a good one is taken, and the session is as it was")
lab.check(json.loads(there("mnctl", "--json", "reload"))["restart"] == ["tunnel-mtu", "key-log"] and any(e["MESSAGE"].startswith("tunnel-mtu, key-log: changed, but") for e in journal()),
          "what waits for a restart is named")

# --- killed, and stuck
for what, how in (("killed", "kill -KILL"), ("stuck", "kill -STOP")):
    if what == "stuck":  # the watchdog's time is long; once is enough to wait for a short one
        os.makedirs(units + "/mnd.service.d")
        with open(units + "/mnd.service.d/lab.conf", "w") as f:
            f.write("[Service]\nWatchdogSec=4\n")
        lab.check(any("CAP_SYS_PTRACE" in e["MESSAGE"] for e in journal()) and show("mnd", "ActiveState") == ["active"], "a rule by path without the capability: said, and the rest works")
        sh("install -m 644 %s %s/mnd.service.d/" % (os.path.join(os.path.dirname(__file__), "../../systemd/mnd-exe.conf"), units))
        there("systemctl", "daemon-reload")
        there("systemctl", "restart", "mnd")
    before = int(show("mnd", "NRestarts")[0])
    pid = show("mnd", "MainPID")[0]
    there("sh", "-c", "%s %s" % (how, pid))
    lab.wait(lambda: int(show("mnd", "NRestarts")[0]) > before and show("mnd", "ActiveState", "SubState") == ["active", "running"] and show("mnd", "MainPID") != [pid], "the restart", 40)
    lab.wait(lambda: homes()["ama1"]["state"] == "bound", "the binding", 40)
    lab.check(homes()["ama1"]["address"] == hoa1 and hold.alive(), "%s: started again by systemd, the session goes on" % what)

# --- a program by its path; the keys
there("sh", "-c", "mkdir -p /sys/fs/cgroup/user.slice/user-4242.slice/app.scope && { echo $$ > /sys/fs/cgroup/user.slice/user-4242.slice/app.scope/cgroup.procs;"
      "setpriv --reuid 4242 --clear-groups %s -S -c 'import time; time.sleep(600)' < /dev/null > /dev/null 2>&1 & }" % READER)


def by_path():
    return [p for p in json.loads(there("mnctl", "--json", "pins"))["pins"] if p["cgroup"].startswith("/user.slice/user-4242.slice/app.scope/")]


lab.wait(by_path, "the pin of a program by its path")
lab.check(by_path()[0]["uid"] == 4242 and by_path()[0]["home_address"] == hoa1, "with mnd-exe.conf a user's program is pinned by its path, in the sandbox")
for name in ("mnd", "amad"):
    keys = there("stat", "-c", "%a %U %s", "/var/lib/dmm/" + name + "/keys").split()
    lab.check(keys[:2] == ["600", "dmm"] and int(keys[2]) > 0, "%s's key log is in its own directory: mode %s, of %s, %s bytes" % (name, *keys))

# --- the journal
ours = journal("ANCHOR=ama1")
lab.check(any(e.get("HNP") == "2001:db8:101::/64" and e["PRIORITY"] == "5" for e in ours), "%d messages of mnd with ANCHOR=ama1, and HNP= on them" % len(ours))
ours = [json.loads(l) for l in there("journalctl", "-o", "json", "-u", "amad", "MN=laptop").splitlines()]
lab.check(any("HNP" in e and e["_SYSTEMD_UNIT"] == "amad.service" for e in ours), "%d of amad with MN=laptop: %s" % (len(ours), ours[0]["MESSAGE"] if ours else ""))

# --- stopped
state = net.mn.kernel_state()
there("systemctl", "stop", "mnd")
lab.check(net.mn.kernel_state() == state, "stopped: what is in the kernel stays")
os.unlink("/etc/dmm/mnd.identity")
there("systemctl", "start", "mnd")
lab.check(show("mnd", "ActiveState", "ConditionResult") == ["inactive", "no"], "without an identity it is not started, and that is no failure")
lab.finish()
