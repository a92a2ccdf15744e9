# SPDX-License-Identifier: GPL-2.0-or-later
"""The door to the kernel and the source check against a kernel that has all they need: their unit tests, with nothing skipped."""
import os
from lab import BUILD, Lab, sh

lab = Lab()
for name in ("test_nl", "test_srccheck"):
    program = "%s/tests/unit/%s" % (BUILD, name)
    if not os.path.exists(program):
        lab.skip("%s is not built (make check builds it)" % program)
    out = sh([program, "--all"], check=False, timeout=200)
    ok, missing = out.count("[       OK ]"), [l for l in out.splitlines() if "SKIPPED ]" in l or "FAILED" in l or "ERROR" in l or "LINE" in l]
    lab.check(ok > 3 and not missing, "%s: %d passed, none skipped" % (name, ok))
    if missing:
        print(out)
lab.finish()
