#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Completion: every command and option of each program's --help and manual is offered by bash's own completion and, where they are
installed, fish's; zsh's script is read by zsh, and its lists are the same."""
import os
import re
import shutil
import subprocess
import sys

src = os.path.join(os.environ.get("srcdir", "."), "")
build = os.environ.get("DMM_BUILDDIR", os.environ.get("builddir", "."))
PROGRAMS = {"mnctl": ("mnd", "1"), "amactl": ("amad", "1"), "hoa-exec": ("mnd", "1"), "mhtool": ("common", "1"), "mnd": ("mnd", "8"), "amad": ("amad", "8")}
env = dict(os.environ, PATH=":".join(os.path.abspath(os.path.join(build, d)) for d in ("mnd", "amad", "common")) + ":" + os.environ["PATH"], HOME="/nonexistent")
env.pop("BASH_ENV", None)
failed = checks = 0


def check(ok, what):
    global failed, checks
    checks += 1
    if not ok:
        failed += 1
        print("FAIL: " + what)


def sh(argv, text=None):
    return subprocess.run(argv, input=text, capture_output=True, text=True, env=env, timeout=120)


def bash(line):
    """What bash offers at the end of the line, by the function that 'complete' names."""
    script = """source %scompletion/dmm.bash || exit 1
COMP_LINE=$1 COMP_POINT=${#1}
program=${1%%%% *}
f=$(complete -p "$program" | sed -E 's/.* -F ([^ ]+) .*/\\1/')
"$f" "$program"
printf '%%s\\n' "${COMPREPLY[@]}"
""" % src
    r = sh(["bash", "--norc", "-c", script, "bash", line])
    if r.stderr:
        print(line, r.stderr)
    return set(r.stdout.split("\n")) - {""}


def fish(line):
    script = "source %scompletion/dmm.fish; complete -C $argv[1]" % src
    return {l.split("\t")[0] for l in sh(["fish", "--no-config", "-c", script, line]).stdout.splitlines()}


shells = [bash] + ([fish] if shutil.which("fish") else [])
if fish not in shells:
    print("# no fish here")
for program, (folder, section) in PROGRAMS.items():
    text = sh([program, "--help"]).stdout
    manual = open("%sman/%s.%s" % (src, program, section)).read()
    options = set(re.findall(r"--[a-z][a-z-]*", text))
    # of the manual: those of the program itself are '.Fl -name' in its own lists of options
    listed = set("-" + o for o in re.findall(r"(-[a-z][a-z-]+)", " ".join(re.findall(r"^\.It (Fl .*)", manual, re.M))))
    check(listed and listed <= options, "%s --help lacks %s of the manual" % (program, ", ".join(sorted(listed - options))))
    commands = [m.split() for m in re.findall(r"^  ([a-z][a-z-]*(?: [a-z][a-z-]*)?)(?: .*)?$", text, re.M)]
    check(bool(commands) == (program not in ("mnd", "amad")), "commands of " + program)
    for shell in shells:
        name = shell.__name__
        check(options <= shell(program + " --"), "%s: %s lacks %s" % (name, program, ", ".join(sorted(options - shell(program + " --")))))
        first = shell(program + " ")
        for c in commands:
            check(c[0] in first, "%s: %s lacks the command %s" % (name, program, c[0]))
            check(len(c) == 1 or c[1] in shell("%s %s " % (program, c[0])), "%s: %s lacks %s" % (name, program, " ".join(c)))
for shell in shells:
    name = shell.__name__
    check(shell("mnctl st") == {"status"}, name + ": by what was begun")
    check(shell("mnctl --json --socket /tmp/x st") == {"status"}, name + ": behind options")
    check(shell("amactl --color=al") in ({"always"}, {"--color=always"}), name + ": a word of an option")
    check({"/etc/passwd"} <= shell("mnctl --socket /etc/passw"), name + ": a file of an option")
    check({"import", "export", "check"} <= shell("amactl store "), name + ": a command's second word")
    check({"/etc/passwd"} <= shell("amactl store import /etc/passw"), name + ": a file")
    check("off" in shell("amactl drain "), name + ": an optional word")
    check("session" in shell("hoa-exec --type "), name + ": a type")
    check("1" in shell("hoa-exec --pid 1"), name + ": a process")
    check("env" in shell("hoa-exec --new en") and "enable" in shell("hoa-exec --new en"), name + ": hoa-exec's command")
    check("no-such-command" not in shell("mnctl no-such-command "), name + ": nothing where there is nothing")
if shutil.which("zsh"):
    check(sh(["zsh", "-n", src + "completion/_dmm"]).returncode == 0, "zsh reads its script")
    for what in ("options", "commands"):
        for program in PROGRAMS:
            z = sh(["zsh", "-fc", "source %scompletion/_dmm; _dmm_%s %s" % (src, what, program)]).stdout
            b = sh(["bash", "--norc", "-c", "source %scompletion/dmm.bash; _dmm_%s %s" % (src, what, program)]).stdout
            check(z and sorted(z.splitlines()) == sorted(b.splitlines()) or program in ("mnd", "amad"), "zsh: %s of %s" % (what, program))
else:
    print("# no zsh here")
print("%d checks, %d failed" % (checks, failed))
sys.exit(1 if failed else 0)
