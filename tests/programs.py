# SPDX-License-Identifier: GPL-2.0-or-later
"""Real programs while the node moves: as they are, pinned by hoa-exec, and isolated (hoa-exec --isolate, where it exists). What survives a move from router 1 to
router 2, and what the user sees; a table for doc/programs.md in the results. Programs that are not installed are left out."""
import fcntl, functools, os, pty, re, shutil, struct, subprocess, termios
from lab import Lab, RESULTS, inside, now, sh

lab = Lab()
net = lab.roaming(networks=2)
D = "/tmp/lab/programs"
URL = "http://[2001:db8:c::2]:8080/"
os.makedirs(D, exist_ok=True)
os.makedirs("/run/sshd", exist_ok=True)
os.chmod("/tmp/lab", 0o755)
SSH = ["ssh", "-i", D + "/user", "-p", "2222", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def server():
    """nginx (files, a page, a git repository by plain HTTP, a video; each at the speed of a slow line), sshd."""
    os.makedirs("/tmp/lab/www/repo", exist_ok=True)
    with open("/tmp/lab/www/file", "wb") as f:
        f.write(os.urandom(6 << 20))
    with open("/tmp/lab/www/page.html", "w") as f:
        f.write("<html><body id=b>loading<script>var b=document.getElementById('b')</script><script src=http://[2001:db8:c::2]:8081/slow.js onerror=\"b.textContent='the load failed'\"></script></body></html>")
    with open("/tmp/lab/www/slow.js", "w") as f:
        f.write("//" + "x" * (6 << 20) + "\nb.textContent='the page is there'\n")
    if shutil.which("ffmpeg"):
        sh(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=duration=12:size=320x240:rate=10", "-c:v", "mpeg2video", "-b:v", "3M", "/tmp/lab/www/video.mkv"], timeout=200)
    git = ["git", "-c", "user.name=lab", "-c", "user.email=lab@example.net", "-C", "/tmp/lab/repo"]
    sh(["git", "init", "-q", "-b", "main", "/tmp/lab/repo"])
    for i in range(6):
        with open("/tmp/lab/repo/file%d" % i, "wb") as f:
            f.write(os.urandom(1 << 20))
        sh(git + ["add", "."])
        sh(git + ["commit", "-qm", "file %d" % i])
    sh(["git", "clone", "-q", "--bare", "/tmp/lab/repo", "/tmp/lab/www/repo.git"])
    sh(["git", "-C", "/tmp/lab/www/repo.git", "update-server-info"])
    with open("/tmp/lab/nginx.conf", "w") as f:
        f.write("worker_processes 1; daemon off; pid /tmp/lab/nginx.pid; error_log stderr; user root; events {}\n"
                "http { access_log off; send_timeout 600s; client_body_temp_path /tmp/lab/b; proxy_temp_path /tmp/lab/p; fastcgi_temp_path /tmp/lab/f; uwsgi_temp_path /tmp/lab/u; "
                "scgi_temp_path /tmp/lab/s; types { text/html html; text/javascript js; } server { listen [::]:8080; listen [::]:8081; root /tmp/lab/www; limit_rate 600k; } }\n")
    net.cn.spawn(["nginx", "-c", "/tmp/lab/nginx.conf"])
    for k in ("host", "user"):
        sh(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", D + "/" + k])
    with open(D + "/sshd_config", "w") as f:
        f.write("Port 2222\nListenAddress ::\nHostKey %s/host\nAuthorizedKeysFile %s/user.pub\nPidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n" % (D, D))
    net.cn.spawn(["/usr/sbin/sshd", "-D", "-e", "-f", D + "/sshd_config"])
    lab.wait(lambda: net.cn.run("ss -6tlnH sport = :2222 or sport = :8080 or sport = :8081").count("LISTEN") == 3, "the servers")


class Run:
    """One program in one way, and what became of it."""

    def __init__(self, mode, name, command, terminal=False, env={}):
        self.name, self.log = name, "%s/%s-%s" % (RESULTS, name, mode)
        words = (["hoa-exec", "--socket", net.mn_dir + "/sock"] + {"plain": [], "pinned": [], "isolated": ["--isolate"]}[mode] + ["--"] if mode != "plain" else []) + command
        out = open(self.log, "wb")
        self.terminal = None
        if terminal:
            self.terminal, end = pty.openpty()
            fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        with inside("mn"):
            self.popen = subprocess.Popen(words, stdin=end if terminal else subprocess.DEVNULL, stdout=end if terminal else out, stderr=end if terminal else out, env=os.environ | env,
                                          start_new_session=True)
        if terminal:
            os.close(end)
            os.set_blocking(self.terminal, False)
        self.text, self.typed = "", 0

    def read(self):
        if self.terminal is not None:
            try:
                self.text += os.read(self.terminal, 65536).decode(errors="replace")
            except (BlockingIOError, OSError):
                pass
            return self.text
        return open(self.log, errors="replace").read()

    def answer(self, deadline=60):
        """Type a line, and how many milliseconds its answer takes, or None."""
        self.typed += 1
        t = now()
        try:
            os.write(self.terminal, b"echo answer $((40+%d))\r" % self.typed)
            lab.wait(lambda: "answer %d" % (40 + self.typed) in self.read(), "an answer", deadline)
        except (RuntimeError, OSError):
            return None
        return (now() - t) * 1000


def programs(mode):
    """{name: (start, begun, verdict)}; verdict(run) -> (survived, what the user sees)."""
    out = {}
    d = D + "/" + mode
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d)

    def finished(good):
        def verdict(run):
            try:
                status = run.popen.wait(150)
            except subprocess.TimeoutExpired:
                return False, "hangs"
            return (True, "goes on, complete") if status == 0 and good(run) else (False, "ends: " + (run.read().strip().splitlines() or ["exit status %d" % status])[-1][:90])
        return verdict

    def answers(run):
        ms = run.answer()
        return (True, "goes on typing, first answer after %.0f ms" % ms) if ms is not None else (False, "no answer within a minute")

    def grown(path):
        return lambda run: any(os.path.getsize(os.path.join(p, f)) > 100000 for p, _, fs in os.walk(path) for f in fs)

    same = lambda path: open(path, "rb").read() == open("/tmp/lab/www/file", "rb").read()
    out["ssh"] = (functools.partial(Run, mode, "ssh", SSH + ["-tt", "root@2001:db8:c::2", "PS1= sh"], True), lambda run: run.answer() is not None, answers)
    out["curl"] = (functools.partial(Run, mode, "curl", ["curl", "-sS", "-g", "-o", d + "/curl", URL + "file"]), lambda run: os.path.getsize(d + "/curl") > 0, finished(lambda run: same(d + "/curl")))
    out["git clone (http)"] = (functools.partial(Run, mode, "git", ["git", "clone", "-q", URL + "repo.git", d + "/repo"]), lambda run: os.path.exists(d + "/repo/.git"),
                               finished(lambda run: os.path.exists(d + "/repo/file5")))
    if shutil.which("rsync"):
        out["rsync (ssh)"] = (functools.partial(Run, mode, "rsync", ["rsync", "-q", "--bwlimit=600", "-e", " ".join(SSH), "root@[2001:db8:c::2]:/tmp/lab/www/file", d + "/rsync/"]), grown(d + "/rsync"),
                              finished(lambda run: same(d + "/rsync/file")))
    if shutil.which("mosh-client"):
        def start():
            line = net.cn.run(["env", "LC_ALL=C.UTF-8", "mosh-server", "new", "-i", "2001:db8:c::2", "--", "sh"])
            port, key = re.search(r"MOSH CONNECT (\d+) (\S+)", line).groups()
            return Run(mode, "mosh", ["mosh-client", "2001:db8:c::2", port], True, {"MOSH_KEY": key, "LC_ALL": "C.UTF-8", "TERM": "xterm"})
        out["mosh"] = (start, lambda run: run.answer() is not None, answers)
    if shutil.which("mpv") and os.path.exists("/tmp/lab/www/video.mkv"):
        out["mpv (http)"] = (functools.partial(Run, mode, "mpv", ["mpv", "--no-config", "--vo=null", "--ao=null", "--cache=no", URL + "video.mkv"]), lambda run: "V: 00:00:01" in run.read() or "V: 00:00:02" in run.read(),
                             finished(lambda run: "End of file" in run.read() and "error" not in run.read().lower()))
    if shutil.which("chromium"):
        out["chromium"] = (functools.partial(Run, mode, "chromium", ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--single-process", "--no-zygote", "--user-data-dir=" + d + "/chromium",
                                                                    "--timeout=120000", "--dump-dom", URL + "page.html"], env={"HOME": d}),
                           lambda run: "ESTAB" in net.cn.run("ss -6tnH sport = :8081", check=False), finished(lambda run: "the page is there" in run.read()))
    return out


server()
modes = ["plain", "pinned"] + (["isolated"] if "--isolate" in sh(["hoa-exec", "--help"], check=False) else [])
rows = {}
for mode in modes:
    net.attach(1)
    started = []
    for name, (start, begun, verdict) in programs(mode).items():
        run = start()
        try:
            lab.wait(lambda: begun(run), name + " to begin", 60)
            started.append((name, run, verdict))
        except RuntimeError as e:
            print("# %s, %s: %s: %s" % (name, mode, e, (run.read().strip().splitlines() or [""])[-1][:300]), flush=True)
            rows.setdefault(name, {})[mode] = (None, "does not begin in the lab")
    net.radios[0].move(2)
    lab.wait(lambda: net.home(2)["state"] == "native" and net.home(1)["state"] in ("bound", "deprecated"), "the move")
    for name, run, verdict in started:
        rows.setdefault(name, {})[mode] = verdict(run)
        print("# %s, %s: %s" % (name, mode, rows[name][mode]), flush=True)
        run.popen.kill()
    lab.wait(lambda: "ama1" not in net.homes(), "the end of the old home address", 60)

titles = {"plain": "as it is", "pinned": "pinned (`hoa-exec`)", "isolated": "isolated (`hoa-exec --isolate`)"}
with open(RESULTS + "/programs.md", "w") as f:
    f.write("| program | %s |\n|%s\n" % (" | ".join(titles[m] for m in modes), " --- |" * (len(modes) + 1)))
    for name, row in rows.items():
        f.write("| %s | %s |\n" % (name, " | ".join(("" if row[m][0] is None else "survives: " if row[m][0] else "does not survive: ") + row[m][1] if m in row else "-" for m in modes)))
print(open(RESULTS + "/programs.md").read())
bad = ["%s, %s: %s" % (n, m, row[m][1]) for n, row in rows.items() for m in modes if m not in row or not row[m][0]]
lab.check({"ssh", "curl"} <= set(rows) and not bad, "all survive, in each way %s" % (bad or ""))
lab.finish()
