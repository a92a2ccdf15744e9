#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The manuals: clean by mandoc's lint, and naming every setting and command that the programs name.
srcdir=${srcdir:-.}
builddir=${builddir:-.}
command -v mandoc >/dev/null 2>&1 || { echo "skipped: no mandoc"; exit 77; }
failed=0

fail()
{
	echo "FAIL: $*"
	failed=1
}

for page in "$srcdir"/man/*.[1-9]; do
	[ -f "$page" ] || { fail "no manuals in $srcdir/man"; break; }
	out=$(mandoc -Tlint -Wwarning "$page" 2>&1 | grep -v 'referenced manual not found')
	[ -z "$out" ] || fail "$out"
done

# names KIND MANUAL NAMES: each line of NAMES is an item of the manual
names()
{
	[ -n "$3" ] || fail "no $1 found for $2: does the program run?"
	# the names have no blanks but in commands of two words, and no shell or pattern characters
	while read -r name; do
		[ -z "$name" ] || grep -Eq "^\.It Cm $name( |\$)" "$srcdir/man/$2" || fail "$2 lacks the $1 '$name'"
	done <<-END
	$3
	END
}

settings()
{
	"$builddir/$1" --help-config | sed -n 's/^#\([a-z][a-z0-9-]*\) = .*/\1/p'
}

commands()
{
	"$builddir/$1" --help | sed -n 's/^  \([a-z][a-z-]*\)\( [a-z][a-z-]*\)\{0,1\} .*/\1\2/p'
}

# What is read only at the start, in the order of the table.
at_start()
{
	want=$("$builddir/$1" --help-config | sed -n '/(read only at the start)$/{n;s/^#\([a-z-]*\) = .*/\1/p}' | xargs)
	got=$(sed -n '/names those that wait for a$/,/^are read only at the start/p' "$srcdir/man/$2" | sed -n '/^\.Cm /{s/^\.Cm //;s/ ,//g;p}' | xargs)
	[ -n "$want" ] && [ "$want" = "$got" ] || fail "$2 names '$got' as read only at the start, the program '$want'"
}
at_start amad/amad amad.conf.5
at_start mnd/mnd mnd.conf.5

names setting amad.conf.5 "$(settings amad/amad)"
names setting mnd.conf.5 "$(settings mnd/mnd)"
names command mnctl.1 "$(commands mnd/mnctl)"
names command amactl.1 "$(commands amad/amactl)"

# checks of doctor
for daemon in mnd amad; do
	tool=$(echo $daemon | sed 's/mnd/mnctl/; s/amad/amactl/')
	checks=$(sed -n 's/^\t{"\([a-z]*\)", ".*judge_.*\|^\t{"\([a-z]*\)", ".*doctor_.*/\1\2/p' "$srcdir/$daemon/checks.c")
	[ -n "$checks" ] || fail "no checks found in $daemon/checks.c"
	for check in $checks; do
		grep -q "^\.It Li $check\$" "$srcdir/man/$tool.1" || fail "$tool.1 lacks the check '$check'"
	done
done
exit $failed
