#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The units: systemd reads them without complaint, their sandbox is as tight as promised (2.0 or better by 'systemd-analyze security'), and each
# setting of the sandbox has a reason beside it.
srcdir=${srcdir:-.}
builddir=${builddir:-.}
command -v systemd-analyze >/dev/null 2>&1 || { echo "skipped: no systemd-analyze"; exit 77; }
systemd-analyze --help | grep -q -- --offline || { echo "skipped: this systemd-analyze has no --offline"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

fail()
{
	echo "FAIL: $*"
	failed=1
}

for daemon in mnd amad; do
	unit=$daemon.service
	# the program is installed later
	sed -e "s,^\\(Exec[A-Za-z]*=\\)/[^ ]*/$daemon,\\1/bin/true," -e '/^Documentation=/d' "$builddir/systemd/$unit" >"$dir/$unit" || exit 1
	out=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$dir/$unit" 2>&1 | grep "$unit")
	[ -z "$out" ] || fail "$out"
	systemd-analyze security --no-pager --offline=true --threshold=20 "$dir/$unit" >"$dir/out" 2>&1 || fail "$unit is more exposed than 2.0: $(cat "$dir/out")"
	grep -- "exposure level" "$dir/out" || fail "$(cat "$dir/out")"
	# a line of [Service] stands below a comment, or below another line of the same group
	awk '/^\[/ { section = $0; said = 1; next } /^$/ { said = 0; next } /^#/ { said = 1; next } section == "[Service]" && !said { print; bad = 1 } END { exit bad }' \
		"$srcdir/systemd/$unit.in" || fail "$unit: no reason for these lines"
	grep '@[a-z]*@' "$dir/$unit" && fail "$unit: not all was filled in"
done
for fragment in sysusers.d tmpfiles.d; do
	grep -q '^[ud] ' "$builddir/systemd/$fragment/dmm.conf" || fail "$fragment/dmm.conf is empty"
done
systemd-sysusers --help 2>/dev/null | grep -q -- --root && {
	mkdir -p "$dir/root/usr/lib/sysusers.d" "$dir/root/etc" && cp "$builddir/systemd/sysusers.d/dmm.conf" "$dir/root/usr/lib/sysusers.d"
	if systemd-sysusers --root="$dir/root" dmm.conf >"$dir/out" 2>&1; then
		grep -q "^$(sed -n 's/^User=//p' "$dir/mnd.service"):" "$dir/root/etc/passwd" || fail "sysusers makes no user of the units"
	else
		[ "$(id -u)" != 0 ] || fail "$(cat "$dir/out")"
	fi
}
exit $failed
