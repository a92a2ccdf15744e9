#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error message of the daemons is explained in the DIAGNOSTICS of a manual, or provoked by a test.

A message is the format of log_error and log_warning, and of what becomes such a line or the answer to a command (reterr, faults of a configuration). It is known by its
text with "..." for each conversion; the manual lists it so, and a test has its longest piece.

    test_messages.py --list      all of them, and where each is found
"""
import glob, os, re, sys

SRC = os.environ.get("srcdir", os.path.dirname(os.path.abspath(__file__)) + "/../..")
# programs of their own, which are no daemons
NOT_DAEMONS = ("mnctl.c", "amactl.c", "hoa-exec.c", "mhtool.c", "storectl.c", "checks.c", "ctl.c", "doctor.c", "facts.c", "firewall.c", "ping.c", "report.c")
CALLS = re.compile(r"\b(log_error|log_warning|log_about|log_write|complain|fault|snprintf)\s*\(")
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"')
LEAST = 8  # letters of a piece that says which message it is


def arguments(text, start):
    """Of a call, split at its commas; start is behind the parenthesis."""
    out, depth, i, begun = [], 0, start, start
    while True:
        c = text[i]
        if c == '"' or c == "'":
            i += 1
            while text[i] != c:
                i += 2 if text[i] == "\\" else 1
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            if depth == 0:
                return out + [text[begun:i]]
            depth -= 1
        elif c == "," and depth == 0:
            out.append(text[begun:i])
            begun = i + 1
        i += 1


def plain(literal):
    """A format as the manual writes it."""
    text = re.sub(r"%[-+ #0]*(\d+|\*)?(\.(\d+|\*))?(hh|h|ll|l|z|j|t)?[a-zA-Z]", "\1", literal.replace("%%", "\0")).replace("\0", "%")
    text = re.sub("\1+", "...", text)
    return text.replace('\\"', '"').replace("\\\\", "\\").replace("\\n", " ").strip()


def formats(argument):
    """The formats that an argument can be: one, or those of a choice."""
    joined = re.sub(r'"\s*"', "", argument.replace("\\\n", ""))
    joined = re.sub(r'"\s*(PRI\w+|SYSCONFDIR|RUNSTATEDIR|LOCALSTATEDIR)\s*"', "d", joined)
    return [plain(l) for l in LITERAL.findall(joined)]


def messages():
    out = {}
    for path in sorted(glob.glob(SRC + "/mnd/*.c") + glob.glob(SRC + "/amad/*.c") + glob.glob(SRC + "/common/*.c")):
        if os.path.basename(path) in NOT_DAEMONS or path.endswith(".bpf.c"):
            continue
        with open(path) as f:
            text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
        text = re.sub(r"^#define.*(\\\n.*)*", "", text, flags=re.M)
        for m in CALLS.finditer(text):
            args = [a.strip() for a in arguments(text, m.end())]
            if m.group(1) == "snprintf" and not (len(args) > 2 and (args[0].startswith("reterr") or (args[0] == "text" and path.endswith("settings.c")))):
                continue
            if m.group(1) in ("log_about", "log_write") and not args[0].endswith(("_ERROR", "_WARNING")):
                continue
            if m.group(1) == "fault" and args[0] not in ("r", "&r"):
                continue
            if m.group(1) == "complain" and args[0] != "reterr":
                continue
            # what is put in for a conversion may be a part of the sentence: that of a choice
            which = {"log_error": 1, "log_warning": 1, "log_about": 5, "log_write": 3, "fault": 1, "complain": 2, "snprintf": 2}[m.group(1)]
            if which < len(args):
                for f in formats(args[which]):
                    if len(re.sub(r"[^A-Za-z]", "", f.replace("...", ""))) >= LEAST:
                        out.setdefault(f, os.path.relpath(path, SRC))
    return out


def diagnostics():
    """Items of the DIAGNOSTICS of all manuals: text -> manual; and items without an explanation behind them."""
    items, bare = {}, []
    for path in sorted(glob.glob(SRC + "/man/*.[1-9]")):
        inside, last = False, None
        with open(path) as f:
            for line in f:
                if line.startswith(".Sh"):
                    inside = line.strip() == ".Sh DIAGNOSTICS"
                elif inside and (line.startswith(".It ") or line.startswith(".El")):
                    if last:
                        bare.append(last)
                    last = None
                    if line.startswith(".It "):
                        last = line[4:].strip().replace("\\(dq", '"').replace("\\&", "").replace("\\e", "\\")
                        items[last] = os.path.basename(path)
                elif inside and last and not line.startswith("."):
                    last = None
    return items, bare


def tests():
    out = []
    for path in glob.glob(SRC + "/tests/unit/*") + glob.glob(SRC + "/tests/scenarios/*.py"):
        if os.path.isfile(path) and not path.endswith("test_messages.py"):
            with open(path, errors="replace") as f:
                out.append(re.sub(r'"\s*\n\s*"', "", f.read()).replace('\\"', '"'))
    return "\n".join(out)


def main():
    found, (items, bare), tested = messages(), diagnostics(), tests()
    failed = 0
    for text, where in found.items():
        pieces = sorted(re.split(r"\.\.\.", text), key=len)
        known = items.get(text) or ("a test" if len(pieces[-1].strip()) >= LEAST and pieces[-1].strip() in tested else None)
        if "--list" in sys.argv:
            print("%-14s %-24s %s" % (known or "NOWHERE", where, text))
        elif not known:
            print("FAIL: no manual explains and no test provokes '%s' (%s)" % (text, where))
        failed += not known
    for text, manual in items.items():
        if text not in found and manual == "dmm-messages.7":
            print("FAIL: %s explains '%s', which no daemon says" % (manual, text))
            failed += 1
    for text in bare:
        print("FAIL: nothing is said about '%s'" % text)
        failed += 1
    if len(found) < 100:
        print("FAIL: only %d messages were found in the sources: does this test still read them?" % len(found))
        failed += 1
    print("%d messages, %d of them explained" % (len(found), sum(1 for t in found if t in items)))
    return 1 if failed else 0


sys.exit(main())
