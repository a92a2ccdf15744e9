# SPDX-License-Identifier: GPL-2.0-or-later
"""One anchor and a host that acts as many nodes, for the benchmarks."""
import json, os, statistics, time
from lab import KERNEL, Lab, now, sh


def tunnel_device(host, device="amad0", program="amad"):
    """The tunnel device in this host, and the program to run there: the daemon, or where the kernel has no ip6tnl one that takes any device. What an
    update costs is the same: to routes and nexthops a device is a number."""
    if device in host.ip("link add %s type ip6tnl external encaplimit none" % device, check=False) + host.ip("link show"):
        host.ip("link set %s mtu 1460 up" % device)
        return program
    print("# no ip6tnl here: the tunnel device is a veth")
    host.ip("link add %s type veth peer name %s-peer" % (device, device))
    host.ip("link set %s-peer up" % device)
    host.ip("link set %s up" % device)
    return program + "-any-device"


def cpu_s(process):
    """Seconds on a processor, exact."""
    return int(open("/proc/%d/schedstat" % process.popen.pid).read().split()[0]) / 1e9


def settled_cpu_s(process):
    """... when it has nothing left to do: what comes later, as the store's way to the disk, counts."""
    while True:
        before = cpu_s(process)
        time.sleep(0.2)
        if cpu_s(process) - before < 0.001:
            return cpu_s(process)


class Limits:
    """What a plain batched netlink sender makes of the same changes, by CPU time; the median of several runs."""

    def __init__(self, host, *arguments):
        self.host, self.command, self.rates = host, ["plain-netlink", "amad0"] + [str(a) for a in arguments], {}

    def measure(self):
        for j in map(json.loads, self.host.run(self.command, timeout=600).splitlines()):
            print("# plain: %(phase)s: %(per_s)d a second, %(per_cpu_s)d a CPU second" % j)
            self.rates.setdefault(j["phase"], []).append(j["per_cpu_s"])

    def measure_answered(self, load, at, nodes, changes):
        """The moves again, each asked for by a datagram and answered by one; nobody looks into them."""
        answering = self.host.spawn([self.command[0], "amad0", str(nodes), str(changes), "512", "answer", "7873"])
        while "ready" not in answering.output():
            time.sleep(0.01)
        load.run([self.command[0], "amad0", str(nodes), str(changes), "512", "answer", "7873", at], timeout=600)
        answering.popen.wait(60)
        j = json.loads(answering.output().splitlines()[-1])
        print("# plain, datagrams answered: %(per_s)d a second, %(per_cpu_s)d a CPU second" % j)
        self.rates.setdefault(j["phase"], []).append(j["per_cpu_s"])
        os.unlink(answering.log)

    def of(self, phase):
        return statistics.median(self.rates[phase])


class Anchor:
    def __init__(self, lab):
        self.lab, self.ar, self.load = lab, lab.host("ar"), lab.host("load")
        lab.link(self.ar, "lan0", self.load, "eth0")
        self.ar.sysctl("net.ipv6.conf.all.forwarding", 1)
        for h in (self.ar, self.load):
            h.sysctl("net.ipv6.route.max_size", 4000000)
        self.ar.address("lan0", "2001:db8:a1::1/64")
        self.load.address("eth0", "2001:db8:a1::2/64")
        lab.wait(lambda: "fe80" in self.load.ip("-6 addr show dev eth0"), "a link-local address")
        self.ll = self.load.ip("-6 addr show dev eth0 scope link").split("inet6 ")[1].split("/")[0]
        self.ar.route("2001:db8:bb::/64 via %s dev lan0" % self.ll)
        self.load.ip("-6 route add local 2001:db8:bb::/64 dev lo")
        self.d, self.program = "/tmp/lab/load-domain", "amad"  # a scenario may have its own
        os.makedirs(self.d)
        sh(["amactl", "domain", "init", "--dir", self.d, "lab"])
        sh(["amactl", "domain", "add-ama", "--dir", self.d, "ama", "--prefix", "2001:db8:1000::/40"])

    def start(self, state, timeout=60):
        """Returns the seconds until it is ready."""
        with open("/tmp/lab/amad.conf", "w") as f:
            f.write("[ama]\naccess = lan0\nidentity = %s/ama.identity\ntrusted-domains = %s/trusted-domains\nstate-dir = %s\ncontrol-socket = /tmp/lab/sock\n"
                    "leases-a-node = 1000\nmax-nodes = 200000\n" % (self.d, self.d, state))
        t = now()
        self.p = self.ar.spawn([self.program, "-c", "/tmp/lab/amad.conf"])
        while "is ready" not in self.p.output():
            if not self.p.alive() or now() - t > timeout:
                self.lab.fail_now("amad does not start: " + self.p.output())
            time.sleep(0.005)
        return now() - t

    def stop(self, sig=15):
        self.p.kill(sig)
        os.unlink(self.p.log)  # the next start looks for its own word

    def status(self):
        return json.loads(sh(["amactl", "--json", "--socket", "/tmp/lab/sock", "status"]))

    def cpu(self):
        stat = open("/proc/%d/stat" % self.p.popen.pid).read().split()
        return (int(stat[13]) + int(stat[14])) / 100

    def mnload_command(self, nodes, *more):
        return ["mnload", "--json", "--domain-key", self.d + "/domain.key", "--prefix", "2001:db8:bb::/64", "--link-local", self.ll, "--nodes", str(nodes)] + list(more) + ["2001:db8:a1::1"]

    def mnload(self, nodes, *more):
        out = self.load.run(self.mnload_command(nodes, *more), timeout=1500)
        return {j["phase"]: j for j in (json.loads(l) for l in out.splitlines() if l.startswith("{"))}


def out(name, value, unit, limit, ratio, target):
    print("BENCH " + json.dumps({"name": name + {"native": "", "uml": " [UML]", "qemu": " [QEMU]"}[KERNEL], "value": round(value, 3), "unit": unit, "limit": round(limit, 3), "ratio": round(ratio, 3), "target": target}))
