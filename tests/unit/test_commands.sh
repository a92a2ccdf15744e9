#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What the commands say without a daemon.
builddir=${builddir:-.}
case $builddir in /*) ;; *) builddir=$PWD/$builddir ;; esac
failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

# status, words that the output has, command
says()
{
	want=$1 words=$2
	shift 2
	out=$("$@" 2>&1)
	got=$?
	case $out in *"$words"*) ;; *) echo "FAIL: $*: without '$words': $out"; failed=1 ;; esac
	[ $got = "$want" ] || { echo "FAIL: $*: exit status $got, not $want"; failed=1; }
}

says 3 "'mnctl doctor' looks for what is wrong" "$builddir/mnd/hoa-exec" --socket "$dir/sock" identify 1
says 3 "'mnctl doctor' looks for what is wrong" "$builddir/mnd/mnctl" --socket "$dir/sock" status
says 3 "'amactl doctor' looks for what is wrong" "$builddir/amad/amactl" --socket "$dir/sock" status
says 2 "a unit cannot be isolated" "$builddir/mnd/hoa-exec" --user --isolate enable nginx
says 2 "usage: mnctl release" "$builddir/mnd/mnctl" --socket "$dir/sock" release 2001:db8:x
says 2 "nothing follows 'status', but here does 'now'" "$builddir/mnd/mnctl" status now
says 2 "unknown command 'doktor' (--help lists them)" "$builddir/amad/amactl" doktor
# what commands are for, for programs
says 0 '{"token":"dmm-domain-1:' "$builddir/amad/amactl" --json domain init --dir "$dir" example
says 0 '{"identity":"'"$dir"'/ama1.identity"}' "$builddir/amad/amactl" --json domain add-ama --dir "$dir" --prefix 2001:db8::/32 ama1
says 0 '{"token":"dmm-key-1:' "$builddir/mnd/mnctl" --json --identity "$dir/identity" keygen laptop
says 0 '{"credential":"dmm-cred-1:' "$builddir/amad/amactl" --json domain add-mn --dir "$dir" --key "$("$builddir/mnd/mnctl" --identity "$dir/identity" keygen 2>/dev/null)" laptop
"$builddir/amad/amactl" domain add-mn --dir "$dir" --key "$("$builddir/mnd/mnctl" --identity "$dir/identity" keygen 2>/dev/null)" laptop >"$dir/line"
says 0 '{"node":"laptop","domain":"example","runs":false}' "$builddir/mnd/mnctl" --json --identity "$dir/identity" join "$(cat "$dir/line")"
# access: patterns are the interfaces that they match
printf '[ama]\naccess = l[o-p] eth-not-here\n' >"$dir/amad.conf"
says 1 "dev lo' gives it one" "$builddir/amad/amactl" --config "$dir/amad.conf" radvd-config
says 1 "dev eth-not-here' gives it one" "$builddir/amad/amactl" --config "$dir/amad.conf" radvd-config
exit $failed
