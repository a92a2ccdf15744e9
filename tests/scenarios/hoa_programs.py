# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs of an unprivileged user, pinned by hoa-exec, over handovers: curl, ssh, a static binary, one that makes its system calls itself (as Go's runtime
does: no C library to preload anything into), a program for UDP, and a shell that starts them all. What they opened lives on, what they open is on the same
address, and nothing of them is ever seen under another one."""
import os, platform, socket, subprocess, sys
from lab import Lab, inside, sh

USER = "4242"
lab = Lab()
net = lab.roaming(networks=3, without_ama=(3,), mnd_config="user = nobody")
net.web(16)
d = "/tmp/lab/programs"
os.makedirs(d + "/home/.ssh")

# a connection that is kept, and what comes back over it
open(d + "/static.c", "w").write(r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int main(void)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(7793)};
	socklen_t len = sizeof(a);
	char text[64], line[] = "hello";
	int s = socket(AF_INET6, SOCK_STREAM, 0);
	inet_pton(AF_INET6, "2001:db8:c::2", &a.sin6_addr);
	if (connect(s, (struct sockaddr *)&a, sizeof(a)) < 0)
		return 1;
	getsockname(s, (struct sockaddr *)&a, &len);
	puts(inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof(text)));
	while (send(s, line, 5, MSG_NOSIGNAL) == 5 && recv(s, line, 5, MSG_WAITALL) == 5) {
		puts(line);
		fflush(stdout);
		usleep(50000);
	}
	return 1;
}
""")
# without any library: a datagram and a new connection each time; prints the address as 32 hexadecimal digits
open(d + "/raw.c", "w").write(r"""
static long call(long n, long a, long b, long c, long d, long e, long f)
{
	long r;
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return r;
}
struct address { unsigned short family, port; unsigned flow; unsigned char a[16]; unsigned scope; };
static const struct address web = {10, 0x901f, 0, {0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, [15] = 2}, 0}, sink = {10, 0x701e, 0, {0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, [15] = 2}, 0};
void _start(void)
{
	long wait[2] = {0, 50000000}, udp = call(41, 10, 2, 0, 0, 0, 0);
	for (;;) {
		struct address own;
		int len = sizeof(own), i, tcp = (int)call(41, 10, 1, 0, 0, 0, 0);
		char line[33];
		call(44, udp, (long)"raw", 3, 0, (long)&sink, sizeof(sink));
		if (call(42, tcp, (long)&web, sizeof(web), 0, 0, 0) == 0 && call(51, tcp, (long)&own, (long)&len, 0, 0, 0) == 0) {
			for (i = 0; i < 32; i++)
				line[i] = "0123456789abcdef"[own.a[i / 2] >> (i % 2 ? 0 : 4) & 15];
			line[32] = '\n';
			call(1, 1, (long)line, 33, 0, 0, 0);
		}
		call(3, tcp, 0, 0, 0, 0, 0);
		call(35, (long)wait, 0, 0, 0, 0, 0);
	}
}
""")
sh("cc -O1 -static -o %s/static %s/static.c" % (d, d))
raw = platform.machine() == "x86_64"
if raw:
    sh("cc -O1 -static -nostdlib -fno-stack-protector -fno-builtin -o %s/raw %s/raw.c" % (d, d))
open(d + "/udp.py", "w").write("""
import socket, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
while True:  # never bound, never connected: the route says which address, each time
    try:
        s.sendto(b"udp", ("2001:db8:c::2", 7791))
    except OSError:
        pass
    time.sleep(0.05)
""")
# the other end
echo = net.cn.spawn([sys.executable, "-c", """
import os, socketserver, threading, socket
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(100):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
threading.Thread(target=Server(("::", 7793), Echo).serve_forever).start()
def sink(port):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", port))
    while True:
        data, where = s.recvfrom(100)
        os.write(1, ("%s %s\\n" % (data.decode(), where[0])).encode())  # at once: two threads write
for port in (7791, 7792):
    threading.Thread(target=sink, args=(port,)).start()
"""], name="echo")
lab.wait(lambda: all(":%d" % p in net.cn.run("ss -6tulnH") for p in (7791, 7792, 7793)), "the other end")
open("/etc/passwd", "a").write("roamer:x:%s:%s::%s/home:/bin/sh\n" % (USER, USER, d))
os.makedirs("/run/sshd", exist_ok=True)
os.chmod("/run/sshd", 0o755)
for k in ("host", "home/.ssh/id_ed25519"):
    sh(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/" + k])
sh("cp %s/home/.ssh/id_ed25519.pub %s/authorized" % (d, d))
open(d + "/sshd_config", "w").write("Port 2222\nListenAddress ::\nHostKey %s/host\nAuthorizedKeysFile %s/authorized\nStrictModes no\nUsePAM no\nPidFile none\nPermitRootLogin yes\n" % (d, d))
sh("chown -R %s:%s %s/home" % (USER, USER, d))
sshd = net.cn.spawn(["/usr/sbin/sshd", "-D", "-e", "-f", d + "/sshd_config"])
lab.wait(lambda: "LISTEN" in net.cn.run("ss -6tlnH sport = :2222"), "sshd")

hoa1 = net.attach(1)
capture = net.mn.capture("wlan0", "ip6")
shell = """cd %s/home
curl -sS -g --limit-rate 300k -o /dev/null -w 'curl %%{http_code} %%{size_download} %%{local_ip}\\n' 'http://[2001:db8:c::2]:8080/file16' > curl.out 2>&1 &
(while :; do sleep 0.1; echo 'echo session $SSH_CONNECTION'; done) | ssh -p 2222 -o StrictHostKeyChecking=no -o LogLevel=ERROR -T root@2001:db8:c::2 sh > ssh.out 2>&1 &
%s/static > static.out 2>&1 &
%s > raw.out 2>&1 &
%s %s/udp.py > udp.out 2>&1 &
wait""" % (d, d, d + "/raw" if raw else "true", sys.executable, d)
program = net.mn.spawn(["setpriv", "--reuid=" + USER, "--regid=" + USER, "--clear-groups", "hoa-exec", "--socket", net.mn_dir + "/sock", "sh", "-c", shell], name="shell",
                       env=dict(os.environ, HOME=d + "/home"), start_new_session=True)


def out(name):
    try:
        return open("%s/home/%s.out" % (d, name), errors="replace").read()
    except FileNotFoundError:
        return ""


def heard(name):
    return [l.split()[1] for l in echo.output().splitlines() if l.split()[:1] == [name]]


def counts():
    return {"ssh": out("ssh").count("session"), "static": out("static").count("hello"), "udp": len(heard("udp")), **({"raw": out("raw").count("\n"), "raw udp": len(heard("raw"))} if raw else {})}


def go_on(where):
    before = counts()
    try:
        lab.wait(lambda: all(n > before[k] + 3 for k, n in counts().items()), "all programs to go on " + where, 40)
    except RuntimeError:
        print("# then %s\n# now %s\n# ssh: %s" % (before, counts(), out("ssh")[-500:]))
        raise
    lab.check(True, "all go on " + where)


go_on("at home")
hoa2 = net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
go_on("in network 2")
net.radios[0].move(3)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(1)["care_of"].startswith("2001:db8:a3:"), "the binding")
go_on("in network 3, which has no anchor")
net.attach(1)
go_on("back at home")
net.attach(2)
go_on("in network 2 again")
lab.wait(lambda: "curl" in out("curl"), "the end of the download", 120)
lab.check(out("curl").split() == ["curl", "200", str(16 << 20), hoa1], "curl: 16 MB over five networks: " + out("curl").strip())
lab.check({l.split()[1] for l in out("ssh").splitlines()} == {hoa1}, "ssh: one session on %s, all %d answers came" % (hoa1, counts()["ssh"]))
lab.check(out("static").splitlines()[0] == hoa1 and set(out("static").splitlines()[1:]) == {"hello"}, "the static binary: one connection, %d echoes" % counts()["static"])
if raw:
    lab.check(set(out("raw").split()) == {socket.inet_pton(socket.AF_INET6, hoa1).hex()} and set(heard("raw")) == {hoa1}, "the binary without C library: %d connections" % counts()["raw"])
lab.check(set(heard("udp")) == {hoa1}, "UDP: %d datagrams of a socket without an address" % counts()["udp"])
packets = [i for q in capture.packets() for i in (q, q.inner) if i and i.next in (6, 17) and i.dport in (8080, 2222, 7791, 7792, 7793)]
lab.check(len(packets) > 1000 and {q.src for q in packets} == {hoa1}, "captured: %d packets of these programs, all from %s" % (len(packets), {q.src for q in packets}))
pins = net.mnctl("pins")["pins"]
os.killpg(program.popen.pid, 9)
lab.wait(lambda: net.mnctl("pins")["pins"] == [], "the end")
lab.check(len(pins) == 1 and pins[0]["uid"] == int(USER), "one pin held them all, and ended with them")
lab.finish()
