# SPDX-License-Identifier: GPL-2.0-or-later
"""The test network: hosts are network namespaces joined by veth; scenarios describe a topology, run real programs and wait for
events. See README.md in this folder.

    lab = Lab()
    net = lab.roaming(networks=3)          # core, cn, ar1..3 with radvd and amad, mn with mnd
    net.radios[0].move(1)
    lab.wait(lambda: net.home(1)["state"] == "native", "the first home address")
    ...
    lab.finish()
"""
import atexit, contextlib, ctypes, hashlib, json, os, re, shlex, signal, socket, struct, subprocess, sys, threading, time

RESULTS = os.environ.get("LAB_RESULTS", "/tmp")
BUILD = os.environ.get("DMM_BUILDDIR", "build")
VERBOSE = os.environ.get("LAB_VERBOSE") == "1"
KERNEL = os.environ.get("LAB_KERNEL", "native")


def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)


def sh(command, check=True, input=None, timeout=60):
    r = subprocess.run(command if isinstance(command, list) else shlex.split(command), stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, input=input, timeout=timeout, stdin=None if input is not None else subprocess.DEVNULL)
    if check and r.returncode != 0:
        raise RuntimeError("%s: exit %d\n%s" % (command, r.returncode, r.stdout))
    return r.stdout


@contextlib.contextmanager
def inside(name):
    """This thread is in the host's network namespace, and so is what it starts: much cheaper than nsenter(1) or ip(8) -n, and /sys and the
    cgroup mounts stay as they are."""
    libc = ctypes.CDLL(None, use_errno=True)
    own, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open("/run/netns/" + name, os.O_RDONLY)
    try:
        if libc.setns(there, 0x40000000):  # CLONE_NEWNET
            raise OSError(ctypes.get_errno(), "setns " + name)
        try:
            yield
        finally:
            libc.setns(own, 0x40000000)
    finally:
        os.close(own)
        os.close(there)


class Process:
    """A program running in a host; its output is in log."""

    def __init__(self, host, command, log, **kw):
        self.host, self.command, self.log = host, command, log
        self.file = open(log, "ab")
        with inside(host.name):
            self.popen = subprocess.Popen(command, stdin=kw.pop("stdin", subprocess.DEVNULL), stdout=kw.pop("stdout", self.file),
                                          stderr=kw.pop("stderr", self.file), **kw)
        host.lab.processes.append(self)

    def output(self):
        return open(self.log, errors="replace").read()

    def alive(self):
        return self.popen.poll() is None

    def kill(self, sig=signal.SIGTERM, wait=True):
        if self.alive():
            self.popen.send_signal(sig)
            if wait:
                self.popen.wait(20)
        return self.popen.returncode


class Netlink:
    """Changes of links in another host's namespace from this process: microseconds instead of the start of ip(8), and exact times."""

    def __init__(self, name, groups=0):
        with inside(name):
            self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
            self.socket.bind((0, groups))
        self.sequence = 0

    def link(self, index, up=None, master=None):
        """Set a link up or down, or make it a port of the bridge with index master. Returns when it is done (CLOCK_MONOTONIC)."""
        self.sequence += 1
        body = struct.pack("=BxHiII", 0, 0, index, 1 if up else 0, 0 if up is None else 1)
        if master is not None:
            body += struct.pack("=HHI", 8, 10, master)  # IFLA_MASTER
        self.socket.send(struct.pack("=IHHII", 16 + len(body), 16, 5, self.sequence, 0) + body)  # RTM_NEWLINK, request and ack
        while True:
            answer = self.socket.recv(65536)
            kind, _, sequence = struct.unpack("=HHI", answer[4:12])
            if kind == 2 and sequence == self.sequence:  # NLMSG_ERROR
                error = -struct.unpack("=i", answer[16:20])[0]
                if error:
                    raise OSError(error, os.strerror(error))
                return now()

    def drain(self):
        self.socket.settimeout(0)
        try:
            while self.socket.recv(65536):
                pass
        except OSError:  # none left, or lost some: neither matters
            pass

    def wait_carrier_lost(self, index, deadline=2):
        """Until the kernel has told everybody in this namespace that the link has no carrier."""
        end = now() + deadline
        while True:
            self.socket.settimeout(max(end - now(), 0.001))
            data = self.socket.recv(65536)
            while len(data) >= 32:
                length, kind, flags, link = *struct.unpack("=IH", data[:6]), struct.unpack("=I", data[24:28])[0], struct.unpack("=i", data[20:24])[0]
                if kind == 16 and link == index and not flags & 0x40:  # RTM_NEWLINK, IFF_RUNNING
                    return
                data = data[(length + 3) & ~3:]


class Host:
    """A network namespace. Without duplicate address detection, unless dad says that this host shall do what a real one does: optimistic
    DAD, where the kernel has it."""

    def __init__(self, lab, name, dad=False):
        self.lab, self.name = lab, name
        if not os.path.exists("/run/netns/" + name):
            sh("ip netns add " + name)
        self.ip("link set lo up")
        if not dad or not os.path.exists("/proc/sys/net/ipv6/conf/all/optimistic_dad"):
            self.sysctl("net.ipv6.conf.all.accept_dad", 0)
            self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        else:
            for where in ("all", "default"):
                self.sysctl("net.ipv6.conf.%s.optimistic_dad" % where, 1)
                self.sysctl("net.ipv6.conf.%s.use_optimistic" % where, 1)

    def index(self, dev):
        return int(self.ip("-o link show dev " + dev).split(":")[0])

    def ip(self, arguments, check=True):
        if self.lab.queue is not None:
            self.lab.queue.setdefault(self.name, []).append(arguments.removeprefix("-6 "))
            return ""
        with inside(self.name):
            return sh("ip " + arguments, check)

    def batch(self, lines):
        """Several ip commands in one process: as fast as it goes."""
        with inside(self.name):
            return sh("ip -6 -batch -", input="\n".join(lines) + "\n")

    def run(self, command, check=True, timeout=60, input=None):
        words = command if isinstance(command, list) else shlex.split(command)
        with inside(self.name):
            return sh(words, check, timeout=timeout, input=input)

    def json(self, command):
        return json.loads(self.run(command))

    def spawn(self, command, name=None, **kw):
        words = command if isinstance(command, list) else shlex.split(command)
        log = "%s/%s-%s.log" % (RESULTS, self.name, name or os.path.basename(words[0]))
        return Process(self, words, log, **kw)

    def start_bus(self):
        """D-Bus, the system's, for programs that want one."""
        os.makedirs("/run/dbus", exist_ok=True)
        with open("/tmp/lab/bus.conf", "w") as f:
            f.write('<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">'
                    '<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>'
                    '<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_type="signal"/><allow send_requested_reply="true"/>'
                    '<allow receive_type="method_call"/><allow receive_type="signal"/><allow eavesdrop="true"/></policy></busconfig>')
        self.spawn(["dbus-daemon", "--config-file=/tmp/lab/bus.conf", "--nofork", "--nopidfile"])
        self.lab.wait(lambda: os.path.exists("/run/dbus/system_bus_socket"), "dbus")

    def sysctl(self, key, value):
        with inside(self.name), open("/proc/sys/" + key.replace(".", "/"), "w") as f:
            f.write(str(value))

    def address(self, dev, prefix):
        self.ip("-6 addr add %s dev %s nodad" % (prefix, dev))

    def route(self, text):
        self.ip("-6 route add " + text)

    def kernel_state(self):
        """Everything about forwarding, as comparable text; lifetimes and link-local noise left out."""
        out = {}
        for what in ("route show table all", "rule", "addr", "nexthop"):
            text = self.ip(("-6 " if what != "nexthop" else "") + what)
            text = re.sub(r"(expires|valid_lft|preferred_lft) \S+", "", text)
            out[what] = sorted(l.strip() for l in text.splitlines() if "fe80" not in l and "ff00::" not in l and "local" not in l.split()[:1])
        return out

    def footprint(self):
        """All that a daemon of ours may leave in the kernel, as comparable text. What router advertisements bring is not ours, and goes with time."""
        state = self.kernel_state()
        links = [l.split()[1].rstrip(":").split("@")[0] for l in self.ip("-o link").splitlines()]
        state["link"] = sorted(links)
        state["filters"] = [l for link in links for l in self.run("tc filter show dev %s ingress" % link, check=False).splitlines() if "bpf" in l]
        state["qdiscs"] = [l for l in self.run("tc qdisc show").splitlines() if "clsact" in l]
        state["settings"] = [l for link in links if link not in ("mnd0", "amad0") for l in self.run("sysctl -a -r ^net.ipv6.conf.%s" % link, check=False).splitlines() if "stable_secret" not in l]
        passing = ("proto ra", "proto kernel", "dynamic", "temporary", "fe80", "_lft")
        return {k: sorted({l for l in v if not any(w in l for w in passing)}) for k, v in state.items()}

    def capture(self, dev, filter=""):
        return Capture(self, dev, filter)


class Capture:
    """tcpdump on a device; packets() stops it and decodes."""

    def __init__(self, host, dev, filter):
        name = "%s-%d" % (dev, len(host.lab.processes))  # its own log: an earlier one says "listening" already
        self.path = "%s/%s-%s.pcap" % (RESULTS, host.name, name)
        self.process = host.spawn(["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-B", "8192", "-s", "2048", "-n", "-i", dev, "-w", self.path] + ([filter] if filter else []), name="tcpdump-" + name)
        host.lab.wait(lambda: "listening on" in self.process.output(), "tcpdump", 10)

    def stop(self):
        if self.process.alive():
            time.sleep(0.3)  # the kernel hands packets to tcpdump in blocks: there is no event for "all were written"
            self.process.kill(signal.SIGINT)

    def packets(self):
        """What was captured, decoded: a list of Packet."""
        self.stop()
        return read_pcap(self.path)

    def decode(self, *fields):
        """The same by tshark, for what packets() does not know: a list of dicts {field: first value}; fields are tshark's names."""
        self.stop()
        command = ["tshark", "-n", "-r", self.path, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=f"]
        for f in fields:
            command += ["-e", f]
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        if r.returncode != 0:
            raise RuntimeError("tshark: " + r.stderr)
        return [dict(zip(fields, line.split("\t"))) for line in r.stdout.splitlines()]


class Packet:
    """One IPv6 packet: src, dst, next header, udp ports, and the packet inside an IPv6-in-IPv6 tunnel."""

    def __init__(self, data):
        self.src, self.dst = (socket.inet_ntop(socket.AF_INET6, data[i:i + 16]) for i in (8, 24))
        self.next, self.size, self.inner, self.sport, self.dport = data[6], 40 + struct.unpack(">H", data[4:6])[0], None, None, None
        body = data[40:]
        self.payload = body
        if self.next == 41 and len(body) >= 40:
            self.inner = Packet(body)
        elif self.next in (6, 17) and len(body) >= 4:
            self.sport, self.dport = struct.unpack(">HH", body[:4])

    def is_signalling(self):
        return self.next == 17 and 7872 in (self.sport, self.dport)

    def between(self, a, b):
        """True if the ends are in the prefixes (text starts) a and b, either way."""
        return (self.src.startswith(a) and self.dst.startswith(b)) or (self.src.startswith(b) and self.dst.startswith(a))


def read_pcap(path):
    out = []
    with open(path, "rb") as f:
        link = struct.unpack("<I", f.read(24)[20:24])[0]
        while True:
            head = f.read(16)
            if len(head) < 16:
                return out
            data = f.read(struct.unpack("<IIII", head)[2])
            if link == 1:  # Ethernet
                if data[12:14] != b"\x86\xdd":
                    continue
                data = data[14:]
            if len(data) >= 40 and data[0] >> 4 == 6:
                out.append(Packet(data))


class Link:
    """A cable from host a to b. down() takes b's end down, so that a loses the carrier, as if unplugged."""

    def __init__(self, a, b, bdev):
        self.b, self.bdev = b, bdev

    def down(self):
        self.b.sysctl("net.ipv6.conf.%s.keep_addr_on_down" % self.bdev, 1)
        return Netlink(self.b.name).link(self.b.index(self.bdev), up=False)

    def up(self):
        return Netlink(self.b.name).link(self.b.index(self.bdev), up=True)


class Lab:
    def __init__(self):
        self.hosts, self.processes, self.passed, self.failed = {}, [], 0, 0
        self.finished, self.queue = False, None
        atexit.register(self.cleanup)
        signal.signal(signal.SIGTERM, lambda *_: self.fail_now("the scenario's time ran out"))
        os.makedirs("/tmp/lab", exist_ok=True)

    # --- topology -------------------------------------------------------------------------------------------
    def add_hosts(self, *names):
        """Their namespaces, in one go; host() then finds them."""
        sh("ip -batch -", input="".join("netns add %s\n" % n for n in names))

    @contextlib.contextmanager
    def together(self):
        """What link(), ip(), address() and route() are told in this block is done at its end, first the links, then host by host: each start
        of a program costs 30 ms in User-Mode Linux."""
        self.queue = {"": []}
        try:
            yield
            queue, self.queue = self.queue, None
            sh("ip -batch -", input="\n".join(queue.pop("")) + "\n")
            for name, lines in queue.items():
                self.hosts[name].batch(lines)
        finally:
            self.queue = None

    def host(self, name, dad=False):
        self.hosts[name] = Host(self, name, dad)
        return self.hosts[name]

    def link(self, a, adev, b, bdev, mtu=1500):
        text = "link add %s netns %s mtu %d type veth peer name %s netns %s mtu %d" % (adev, a.name, mtu, bdev, b.name, mtu)
        if self.queue is not None:
            self.queue[""].append(text)
        else:
            sh("ip " + text)
        a.ip("link set %s up" % adev)
        b.ip("link set %s up" % bdev)
        return Link(a, b, bdev)

    def netem(self, host, dev, text):
        host.run("tc qdisc replace dev %s root netem limit 100000 %s" % (dev, text))

    def roaming(self, networks=3, **kw):
        return Roaming(self, networks, **kw)

    # --- checks ---------------------------------------------------------------------------------------------
    def check(self, condition, text):
        if condition:
            self.passed += 1
            print("ok - " + text)
        else:
            self.failed += 1
            print("not ok - " + text)
        return bool(condition)

    def fail(self, text):
        return self.check(False, text)

    def fail_now(self, why):
        raise RuntimeError(why)

    def wait(self, predicate, what, deadline=20):
        """Until predicate() is true; an exception in it counts as not yet. A deadline is for what never comes, and costs nothing otherwise: in a
        kernel of our own, on a machine that is busy, all takes several times as long."""
        deadline *= 1 if KERNEL == "native" else 5
        end = now() + deadline
        last = None
        while now() < end:
            try:
                value = predicate()
                if value:
                    return value
            except Exception as e:
                last = e
            time.sleep(0.02)
        raise RuntimeError("waited %d s for %s%s" % (deadline, what, " (%r)" % last if last else ""))

    def skip(self, why):
        print("skipped: " + why)
        self.finished = True
        sys.exit(77)

    def finish(self):
        self.finished = True
        print("%d passed, %d failed" % (self.passed, self.failed))
        if self.failed:
            self.show()
        self.cleanup()
        sys.exit(1 if self.failed or not self.passed else 0)

    def show(self):
        for p in self.processes:
            broken = p.popen.poll() not in (None, 0, -signal.SIGTERM, -signal.SIGKILL, -signal.SIGINT)
            if broken or os.path.basename(p.command[0]) in ("mnd", "amad", "radvd"):
                print("--- %s %s\n%s" % (p.host.name, p.command[0], p.output()[-6000:] if os.path.exists(p.log) else ""))
        for name, h in self.hosts.items():
            if name.startswith(("mn", "ar")):
                for what in ("-6 rule", "-6 route show table all", "-6 addr", "nexthop"):
                    print("--- %s: ip %s\n%s" % (name, what, h.ip(what, check=False)))

    def cleanup(self):
        if not self.finished:
            self.finished = True
            self.show()
        for p in self.processes:
            try:
                p.kill(signal.SIGKILL)
            except Exception:
                pass
        for name in self.hosts:
            sh("ip netns del " + name, check=False)


# --- mobile nodes and access networks ---------------------------------------------------------------------------

class Radio:
    """wlan of a node: its peer sits in the radio namespace and is a port of the bridge of one access network."""

    def __init__(self, node, dev, radio):
        self.node, self.dev, self.radio = node, dev, radio
        self.peer = "%s.%s" % (node.name, dev)
        sh("ip link add %s netns %s type veth peer name %s netns %s" % (dev, node.name, self.peer, radio.name))
        radio.ip("link set %s down" % self.peer)
        node.ip("link set %s up" % dev)
        self.netlink, self.index, self.plugged = Netlink(radio.name), radio.index(self.peer), False
        self.news, self.dev_index = Netlink(node.name, groups=1), node.index(dev)
        self.bridges = {}

    def unplug(self):
        """Returns the time just before the carrier goes. Does not return before the node's kernel has told of it: a carrier that comes back
        sooner was never away for those who listen, which no real radio does."""
        self.news.drain()
        t = now()
        self.netlink.link(self.index, up=False)
        if self.plugged:
            self.news.wait_carrier_lost(self.dev_index)
            self.plugged = False
        return t

    def plug(self, network):
        """Into access network number network. Returns the time just before the carrier comes."""
        bridge = self.bridge(network)
        self.unplug()
        self.netlink.link(self.index, master=bridge)
        t = now()
        self.netlink.link(self.index, up=True)
        self.plugged = True
        return t

    def move(self, network):
        """Unplug and plug with as little between as possible (1 to 2 ms). Returns the times (just before the carrier goes, just before it comes)."""
        self.bridge(network)
        t = self.unplug()
        return t, self.plug(network)

    def bridge(self, network):
        if network not in self.bridges:
            self.bridges[network] = self.radio.index("lan%d" % network)
        return self.bridges[network]


class Roaming:
    """core, correspondent, access routers 1..n each with LAN 2001:db8:aN::/64 and pool 2001:db8:10N::/48, and a mobile node.
    without_ama: numbers of networks with a plain router. fastra: routers answer solicitations at once and say nothing unasked; else radvd."""

    def __init__(self, lab, networks, delay_ms=0, without_ama=(), radios=1, ra="MinRtrAdvInterval 0.03; MaxRtrAdvInterval 0.07;", start=True,
                 mnd_config="", amad_config="", radvd=True, fastra=False):
        self.lab, self.n, self.without_ama, self.ra = lab, networks, set(without_ama), ra
        self.mnd_config, self.amad_config, self.radvd_wanted, self.fastra = mnd_config, amad_config, radvd, fastra
        self.second = {}
        lab.add_hosts("core", "cn", "radio", "mn", *("ar%d" % i for i in range(1, networks + 1)))
        with lab.together():
            self.make_topology()
        for i in self.ar:
            if delay_ms:
                self.delay(i, delay_ms)
        self.mn_dir = "/tmp/lab/mn"
        os.makedirs(self.mn_dir, exist_ok=True)
        self.radios = [Radio(self.mn, "wlan%d" % i, self.radio) for i in range(radios)]
        self.make_domain()
        if start:
            self.start()

    def make_topology(self):
        lab = self.lab
        self.core, self.cn, self.radio, self.mn = lab.host("core"), lab.host("cn"), lab.host("radio"), lab.host("mn", dad=True)
        self.ar, self.amad, self.radvd = {}, {}, {}
        self.core.sysctl("net.ipv6.conf.all.forwarding", 1)
        lab.link(self.core, "cn", self.cn, "eth0")
        self.core.address("cn", "2001:db8:c::1/64")
        self.cn.address("eth0", "2001:db8:c::2/64")
        self.cn.route("default via 2001:db8:c::1")
        for i in range(1, self.n + 1):
            ar = self.ar[i] = lab.host("ar%d" % i)
            ar.sysctl("net.ipv6.conf.all.forwarding", 1)
            lab.link(self.core, "ar%d" % i, ar, "up0")
            self.core.address("ar%d" % i, "2001:db8:f:%d::1/64" % i)
            ar.address("up0", "2001:db8:f:%d::2/64" % i)
            ar.route("default via 2001:db8:f:%d::1" % i)
            self.core.route("2001:db8:a%d::/64 via 2001:db8:f:%d::2" % (i, i))
            self.core.route("2001:db8:10%d::/48 via 2001:db8:f:%d::2" % (i, i))
            self.radio.ip("link add lan%d type bridge mcast_snooping 0 forward_delay 0" % i)
            self.radio.ip("link set lan%d up" % i)
            lab.link(ar, "lan0", self.radio, "p%d" % i)
            self.radio.ip("link set p%d master lan%d" % (i, i))
            ar.address("lan0", "2001:db8:a%d::1/64" % i)

    def second_link(self, i, number):
        """Another access link of router i, lan1 in network number, whose advertisements name the same AMA. Before start()."""
        ar = self.ar[i]
        self.radio.ip("link add lan%d type bridge mcast_snooping 0 forward_delay 0" % number)
        self.radio.ip("link set lan%d up" % number)
        self.lab.link(ar, "lan1", self.radio, "p%d" % number)
        self.radio.ip("link set p%d master lan%d" % (number, number))
        ar.address("lan1", "2001:db8:a%d::1/64" % number)
        self.core.route("2001:db8:a%d::/64 via 2001:db8:f:%d::2" % (number, i))
        self.second[i] = ("interface lan1 { AdvSendAdvert on; %s MinDelayBetweenRAs 0.03; AdvIntervalOpt on; AdvDefaultLifetime 30; AdvHomeAgentFlag on;\n"
                          "prefix 2001:db8:a%d::/64 { AdvOnLink on; AdvAutonomous on; AdvValidLifetime 600; AdvPreferredLifetime 300; };\n"
                          "prefix 2001:db8:a%d::1/64 { AdvOnLink off; AdvAutonomous off; AdvRouterAddr on; }; };\n" % (self.ra, number, i))

    def delay(self, i, rtt_ms):
        """Round trip between the core and access router i."""
        half = "delay %.3fms" % (rtt_ms / 2)
        self.lab.netem(self.core, "ar%d" % i, half)
        self.lab.netem(self.ar[i], "up0", half)

    # --- the domain: what a person would type ---------------------------------------------------------------
    def make_domain(self):
        d = "/tmp/lab/domain"
        os.makedirs(d, exist_ok=True)
        sh(["amactl", "domain", "init", "--dir", d, "lab"])
        for i in self.ar:
            if i not in self.without_ama:
                sh(["amactl", "domain", "add-ama", "--dir", d, "ama%d" % i, "--prefix", "2001:db8:10%d::/48" % i])
        token = sh(["mnctl", "--identity", self.mn_dir + "/identity", "keygen", "laptop"]).split()[-1]
        line = sh(["amactl", "domain", "add-mn", "--dir", d, "laptop", "--key", token]).split()[-1]
        sh(["mnctl", "--identity", self.mn_dir + "/identity", "join", line])

    def start(self):
        for i in self.ar:
            if self.fastra:
                self.start_fastra(i)
            elif self.radvd_wanted:
                self.start_radvd(i)
            if i not in self.without_ama:
                self.start_amad(i)
        self.start_mnd()

    def start_radvd(self, i):
        path = "/tmp/lab/radvd%d.conf" % i
        ama = i not in self.without_ama
        with open(path, "w") as f:
            # radvd advertises fast only with the Mobile IPv6 extensions on
            f.write("interface lan0 { AdvSendAdvert on; %s AdvHomeAgentFlag %s;\n"
                    "prefix 2001:db8:a%d::1/64 { AdvOnLink on; AdvAutonomous on; AdvRouterAddr %s; AdvValidLifetime 600; AdvPreferredLifetime 300; }; };\n"
                    % (self.ra + " MinDelayBetweenRAs 0.03; AdvIntervalOpt on; AdvDefaultLifetime 30;" if ama else "MinRtrAdvInterval 3; MaxRtrAdvInterval 4;", "on" if ama else "off", i, "on" if ama else "off"))
            f.write(self.second.get(i, ""))
        self.radvd[i] = self.ar[i].spawn(["radvd", "-n", "-C", path, "-p", "/tmp/lab/radvd%d.pid" % i, "-m", "stderr", "-u", "root"])

    def start_fastra(self, i):
        self.radvd[i] = self.ar[i].spawn(["/usr/bin/python3", os.path.dirname(os.path.abspath(__file__)) + "/fastra.py", "lan0", "2001:db8:a%d::1" % i, "64"] +
                                         (["--plain"] if i in self.without_ama else []), name="fastra")
        self.lab.wait(lambda: "ready" in self.radvd[i].output(), "fastra")

    def start_amad(self, i):
        d = "/tmp/lab/ama%d" % i
        os.makedirs(d, exist_ok=True)
        with open(d + "/amad.conf", "w") as f:
            f.write("[ama]\nseccomp = trap\naccess = lan0\nidentity = /tmp/lab/domain/ama%d.identity\ntrusted-domains = /tmp/lab/domain/trusted-domains\n"
                    "state-dir = %s/state\ncontrol-socket = %s/sock\n%s\n" % (i, d, d, self.amad_config))
        self.amad[i] = self.ar[i].spawn(["amad", "-c", d + "/amad.conf"] + (["-d", "all"] if VERBOSE else []))
        self.lab.wait(lambda: self.amad[i].alive() and self.amactl(i, "status"), "amad %d" % i)

    def start_mnd(self):
        with open(self.mn_dir + "/mnd.conf", "w") as f:
            f.write("[mnd]\nseccomp = trap\nidentity = %s/identity\ntrusted-domains = /tmp/lab/domain/trusted-domains\nstate = %s/state.json\n"
                    "control-socket = %s/sock\n%s\n" % (self.mn_dir, self.mn_dir, self.mn_dir, self.mnd_config))
        self.mnd = self.mn.spawn(["mnd", "-c", self.mn_dir + "/mnd.conf"] + (["-d", "all"] if VERBOSE else []))
        self.lab.wait(lambda: self.mnd.alive() and self.mnctl("status"), "mnd")

    def set_mnd(self, key, value):
        """Change a setting of mnd while it runs."""
        path = self.mn_dir + "/mnd.conf"
        lines = [l for l in open(path).read().splitlines() if l.split("=")[0].strip() != key]
        with open(path, "w") as f:
            f.write("\n".join(lines + ["%s = %s" % (key, value)]) + "\n")
        sh(["mnctl", "--socket", self.mn_dir + "/sock", "reload"])

    # --- asking ---------------------------------------------------------------------------------------------
    def mnctl(self, command):
        return json.loads(sh(["mnctl", "--json", "--socket", self.mn_dir + "/sock", command]))

    def amactl(self, i, command):
        return json.loads(sh(["amactl", "--json", "--socket", "/tmp/lab/ama%d/sock" % i, command]))

    def homes(self):
        return {h["anchor_name"]: h for h in self.mnctl("leases")["leases"]}

    def home(self, i):
        return self.homes()["ama%d" % i]

    def bindings(self, i):
        return self.amactl(i, "bindings")["bindings"]

    def leases(self, i):
        return self.amactl(i, "leases")["leases"]

    def attach(self, network, radio=0, deadline=20):
        """Move the node's radio there and wait until its home address of that network is native. Returns it."""
        self.radios[radio].move(network)
        return self.lab.wait(lambda: [h for h in [self.home(network)] if h["state"] == "native" and h["path"] == "native"], "native at network %d" % network, deadline)[0]["address"]

    # --- traffic --------------------------------------------------------------------------------------------
    def stream(self, source, destination, sender, receiver, port, interval_us, seconds=600):
        """A numbered UDP stream. Returns it; call result() when it is over, or end() to end it."""
        return Stream(sender, receiver, source, destination, port, interval_us, seconds)

    def session(self, source, port=7100, rate=400000):
        """A TCP session between the node, bound to source, and the correspondent: random bytes both ways, so many a second, until end()."""
        return Session(source, port, rate)

    def download(self, source, size_mb, rate="", port=8080, name="curl"):
        """Start curl on the node, bound to source, from the web server on the correspondent (see web)."""
        command = ["curl", "-sS", "-g", "--interface", source, "-o", self.mn_dir + "/" + name, "-w", "%{http_code} %{size_download} %{speed_download}\n"]
        if rate:
            command += ["--limit-rate", rate]
        if os.path.exists(self.mn_dir + "/" + name):  # of an earlier download: it would look as if this one had begun
            os.unlink(self.mn_dir + "/" + name)
        curl = self.mn.spawn(command + ["http://[2001:db8:c::2]:%d/file%d" % (port, size_mb)], name=name)
        self.lab.wait(lambda: os.path.getsize(self.mn_dir + "/" + name) > 0, "the download to begin")
        return curl

    def web(self, *sizes_mb):
        os.makedirs("/tmp/lab/www", exist_ok=True)
        self.sums = {}
        for size in sizes_mb:
            with open("/tmp/lab/www/file%d" % size, "wb") as f:
                block = os.urandom(1 << 20)
                for i in range(size):
                    f.write(bytes([i & 255]) + block[1:])
            self.sums[size] = sh("sha256sum /tmp/lab/www/file%d" % size).split()[0]
        with open("/tmp/lab/nginx.conf", "w") as f:
            f.write("worker_processes 1; daemon off; pid /tmp/lab/nginx.pid; error_log stderr; user root; events {}\n"
                    "http { access_log off; send_timeout 600s; client_body_temp_path /tmp/lab/b; proxy_temp_path /tmp/lab/p; fastcgi_temp_path /tmp/lab/f; uwsgi_temp_path /tmp/lab/u; "
                    "scgi_temp_path /tmp/lab/s; server { listen [::]:8080; root /tmp/lab/www; } }\n")
        self.nginx = self.cn.spawn(["nginx", "-c", "/tmp/lab/nginx.conf"])
        self.lab.wait(lambda: "LISTEN" in self.cn.run("ss -6tlnH sport = :8080"), "the web server")

    def checksum(self, name="curl"):
        return sh("sha256sum %s/%s" % (self.mn_dir, name)).split()[0]


class Session:
    def __init__(self, source, port, rate, block=4096):
        with inside("cn"):
            listener = socket.create_server(("::", port), family=socket.AF_INET6)
        with inside("mn"):
            node = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        node.settimeout(60)
        node.bind((source, 0))
        node.connect(("2001:db8:c::2", port))
        peer = listener.accept()[0]
        listener.close()
        self.ends, self.over, self.pace, self.block = (node, peer), threading.Event(), block / rate, block
        self.written, self.read, self.sums, self.errors, self.threads = [0, 0], [0, 0], [None] * 4, [], []
        for side in (0, 1):
            peer.settimeout(60)
            for work in (self.write, self.receive):
                self.threads.append(threading.Thread(target=self.guard, args=(work, side), daemon=True))
                self.threads[-1].start()

    def guard(self, work, side):
        try:
            work(side)
        except OSError as e:
            self.errors.append("%s of %s: %s" % (work.__name__, ("the node", "the correspondent")[side], e))

    def write(self, side):
        digest = hashlib.sha256()
        while not self.over.wait(self.pace):
            block = os.urandom(self.block)
            self.ends[side].sendall(block)
            digest.update(block)
            self.written[side] += len(block)
        self.ends[side].shutdown(socket.SHUT_WR)
        self.sums[side] = digest.digest()

    def receive(self, side):
        digest = hashlib.sha256()
        while data := self.ends[side].recv(65536):
            digest.update(data)
            self.read[side] += len(data)
        self.sums[2 + side] = digest.digest()

    def abort(self):
        """It has lost its address: end it, whatever arrived."""
        self.over.set()
        for s in self.ends:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()

    def progress(self):
        """Bytes that arrived so far, at the slower end: wait for more of them."""
        return min(self.read)

    def end(self):
        """Returns what arrived in bytes, up and down, and whether it is what was sent, with its checksum."""
        self.over.set()
        for t in self.threads:
            t.join(120)
        for s in self.ends:
            s.close()
        ok = not self.errors and None not in self.sums and self.sums[0] == self.sums[3] and self.sums[1] == self.sums[2] and min(self.read) > 0
        return {"up": self.read[1], "down": self.read[0], "ok": ok, "errors": self.errors}


class Stream:
    def __init__(self, sender, receiver, source, destination, port, interval_us, seconds):
        self.interval_us = interval_us
        self.receiver = receiver.spawn(["labstream", "recv", str(port)], name="recv%d" % port)
        receiver.lab.wait(lambda: "ready" in self.receiver.output(), "labstream")
        self.sender = sender.spawn(["labstream", "send", source, destination, str(port), str(interval_us), str(seconds)], name="send%d" % port)

    def packets(self):
        """(sequence, sent_us, received_us) in order of arrival."""
        out = []
        for line in self.receiver.output().splitlines():
            w = line.split()
            if len(w) == 3 and w[2].isdigit():
                out.append(tuple(int(x) for x in w))
        return out

    def end(self):
        """Send no more, and the result."""
        self.sender.popen.terminate()
        return self.result()

    def result(self, timeout=60):
        self.sender.popen.wait(timeout)
        text = self.sender.output().split()
        sent, failed = int(text[1]), int(text[3])
        end = now() + 2  # for what is still on the way
        while now() < end and len({p[0] for p in self.packets()}) < sent:
            time.sleep(0.05)
        self.receiver.kill()
        got = self.packets()
        sequences = [p[0] for p in got]
        gap = max((b[2] - a[2] for a, b in zip(got, got[1:])), default=0)
        return {"sent": sent + failed, "received": len(set(sequences)), "lost": sent + failed - len(set(sequences)), "gap_ms": gap / 1000,
                "reordered": sum(1 for a, b in zip(sequences, sequences[1:]) if b < a), "packets": got}
