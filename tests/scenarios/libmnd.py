# SPDX-License-Identifier: GPL-2.0-or-later
"""libmnd: a program, the example in Python, says for each socket which of RFC 8653's kinds of address it wants; and what becomes of a socket that says by
RFC 5014's option that it prefers a home or a care-of address."""
import os, subprocess, sys
from lab import Lab, inside, sh

USER = "4242"
lab = Lab()
net = lab.roaming(networks=2, mnd_config="user = nobody\ngrace = 2s")
EXAMPLE = os.path.dirname(os.path.abspath(__file__)) + "/../../examples/address-types.py"
BUILD = os.environ["DMM_BUILDDIR"]
env = dict(os.environ, LD_LIBRARY_PATH=BUILD)
# IPV6_ADDR_PREFERENCES: which source does the kernel take?
PREFERS = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, 72, int(sys.argv[1], 16))
s.connect(("2001:db8:c::2", 9))
print(s.getsockname()[0])
"""


def prefers(flag):
    return net.mn.run([sys.executable, "-c", PREFERS, flag]).strip()


def care_of():
    return [a for a in net.mnctl("status")["attachments"] if a["selected"]][0]["care_of"]


hoa1 = net.attach(1)
coa1 = care_of()
sink = net.cn.spawn([sys.executable, "-c", """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 7790))
while True:
    data, where = s.recvfrom(100)
    print(data.decode(), where[0], flush=True)
"""], name="sink")
lab.wait(lambda: ":7790" in net.cn.run("ss -6unlH"), "the other end")
example = net.mn.spawn(["setpriv", "--reuid=" + USER, "--regid=" + USER, "--clear-groups", sys.executable, EXAMPLE, "--socket", net.mn_dir + "/sock", "2001:db8:c::2", "7790"],
                       name="example", env=env)


def heard():
    """kind -> (what it says, what arrives), the last of each"""
    return {l.split()[0]: tuple(l.split()[1:]) for l in sink.output().splitlines() if len(l.split()) == 3}


lab.wait(lambda: len(heard()) == 4, "datagrams from four sockets")
lab.check(heard() == {"fixed": (hoa1, hoa1), "session": (hoa1, hoa1), "graceful": (hoa1, hoa1), "non-persistent": (coa1, coa1)}, "four sockets, two addresses: %s" % heard())
lab.check(net.home(1)["fixed"], "the fixed one is kept for good")
hoa2 = net.attach(2)
lab.wait(lambda: heard()["graceful"] == (hoa2, hoa2), "the graceful socket to be replaced")
count = len(sink.output().splitlines())
lab.wait(lambda: len(sink.output().splitlines()) > count + 6, "more of them")
lab.check(heard()["fixed"] == (hoa1, hoa1) and heard()["session"] == (hoa1, hoa1), "after a move the fixed and the session-lasting socket go on, on " + hoa1)
lab.check({l.split()[-1] for l in sink.output().splitlines()[count:]} <= {hoa1, hoa2, coa1}, "no other address was used")
lab.check(example.alive(), "the example runs on")
example.kill()

# RFC 5014
rule4 = "does not prefer home addresses" not in net.mnd.output()
home, care = prefers("400"), prefers("4")
lab.check(home == hoa2 and prefers("2") == hoa2, "IPV6_PREFER_SRC_HOME, as without: " + home)
lab.check(care == (care_of() if rule4 else hoa2), "IPV6_PREFER_SRC_COA: %s (%s)" % (care, "the care-of address" if rule4 else "this kernel has no rule 4 of RFC 6724: the default route decides"))

# a program in C, by pkg-config, and what libmnd exports
src = os.path.dirname(os.path.abspath(__file__)) + "/../../mnd"
open("/tmp/lab/kind.c", "w").write("""#include <libmnd.h>
#include <arpa/inet.h>
#include <stdio.h>
int main(int argc, char **argv)
{
	struct mnd *m;
	struct in6_addr a;
	char text[64];
	if (argc != 2 || mnd_open(argv[1], &m) < 0)
		return 1;
	if (mnd_get_address(m, MND_SESSION_LASTING, "ama1", &a) == 0)
		puts(inet_ntop(AF_INET6, &a, text, sizeof(text)));
	if (mnd_get_address(m, MND_SESSION_LASTING, "ama9", &a) < 0)
		puts(mnd_error(m));
	mnd_close(m);
	return 0;
}
""")
os.makedirs("/tmp/lab/inst/lib/pkgconfig", exist_ok=True)
os.makedirs("/tmp/lab/inst/include", exist_ok=True)
sh("cp %s/libmnd.so.0 %s/libmnd.a /tmp/lab/inst/lib/" % (BUILD, BUILD))
sh("ln -s libmnd.so.0 /tmp/lab/inst/lib/libmnd.so")
sh("cp %s/libmnd.h /tmp/lab/inst/include/" % src)
sh(["sed", "-e", "s,^prefix=.*,prefix=/tmp/lab/inst,", "-e", "s,^libdir=.*,libdir=/tmp/lab/inst/lib,", "-e", "s,^includedir=.*,includedir=/tmp/lab/inst/include,",
    "-e", "w /tmp/lab/inst/lib/pkgconfig/libmnd.pc", BUILD + "/mnd/libmnd.pc"])
for how, flags in (("shared", ""), ("static", "--static")):
    words = subprocess.run("pkg-config %s --cflags --libs libmnd" % flags, shell=True, env=dict(os.environ, PKG_CONFIG_PATH="/tmp/lab/inst/lib/pkgconfig"), stdout=subprocess.PIPE, text=True).stdout
    if flags:
        words = words.replace("-lmnd", "-Wl,-Bstatic -lmnd -Wl,-Bdynamic")
    sh("cc -Wall -Werror -o /tmp/lab/kind-%s /tmp/lab/kind.c %s" % (how, words))
    with inside("mn"):
        r = subprocess.run(["/tmp/lab/kind-" + how, net.mn_dir + "/sock"], stdout=subprocess.PIPE, text=True, env=dict(os.environ, LD_LIBRARY_PATH="/tmp/lab/inst/lib" if not flags else "/"))
    lab.check(r.stdout.splitlines() == [hoa1, "this node has no home address of ama9: 'mnctl leases' lists them"], "a C program, %s: %s" % (how, r.stdout.splitlines()))
lab.finish()
