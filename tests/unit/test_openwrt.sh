#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The OpenWrt init script: a shell reads it, the amad.conf that it makes of a UCI configuration is one that amad takes, and it knows no setting that amad does not.
srcdir=${srcdir:-.}
builddir=${builddir:-.}
case $builddir in /*) ;; *) builddir=$PWD/$builddir ;; esac
script=$srcdir/openwrt/files/amad.init
failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

fail()
{
	echo "FAIL: $*"
	failed=1
}

sh -n "$script" || fail "the shell does not read it"
if command -v shellcheck >/dev/null; then
	shellcheck -s dash -e SC2034,SC3043,SC1091 "$script" || fail "shellcheck finds something"
fi
# what rc.common and the libraries offer, as far as it is used; the configuration: two networks, a pool, two settings
cat >"$dir/run" <<-'END'
	logger() { :; }
	config_load() { :; }
	config_list_foreach() { case $2 in network) $3 lan; $3 guest ;; pool) $3 2001:db8:101::/48 ;; esac; }
	config_get() { case $3 in lease) eval "$1=12h" ;; leases_a_node) eval "$1=4" ;; *) eval "$1=" ;; esac; }
	network_get_device() { [ "$2" = lan ] && eval "$1=br-lan"; }
END
# paths of a router are not here
sed -e "s,/var/,$dir/var/,g" -e "s,/srv/,$dir/srv/,g" -e '/^\t\. /d' "$script" >"$dir/script"
(. "$dir/run"; . "$dir/script"; write_conf) || fail "it does not write a configuration"
out=$("$builddir/amad/amad" --config "$dir/var/etc/amad.conf" --check 2>&1) || fail "amad refuses it: $out
$(cat "$dir/var/etc/amad.conf")"
for line in "access = br-lan" "pool = 2001:db8:101::/48" "lease = 12h" "leases-a-node = 4" "user = dmm"; do
	grep -qx "$line" "$dir/var/etc/amad.conf" || fail "'$line' is missing: $(cat "$dir/var/etc/amad.conf")"
done
known=$("$builddir/amad/amad" --help-config | sed -n 's/^#\([a-z][a-z0-9-]*\) = .*/\1/p')
for setting in $(. "$dir/run"; . "$dir/script"; echo "$SETTINGS"); do
	echo "$known" | grep -qx -- "$setting" || fail "amad has no setting '$setting'"
done
# no network is up: nothing is started that could not run
sed -i 's/\[ "$2" = lan \] \&\& eval "$1=br-lan"/:/' "$dir/run"
started=$( (. "$dir/run"; procd_open_instance() { echo "$1"; }; config_get_bool() { eval "$1=1"; }; . "$dir/script"; start_service) 2>&1)
[ -z "$started" ] || fail "without a network it starts $started"
grep -q '^define Package/amad/install' "$srcdir/openwrt/Makefile" || fail "no package"
exit $failed
