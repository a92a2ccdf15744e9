#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What we give others to read is read by them: the radvd.conf of 'amactl radvd-config' by radvd, the firewall examples by nft and firewalld.
srcdir=${srcdir:-.}
builddir=${builddir:-.}
case $builddir in /*) ;; *) builddir=$PWD/$builddir ;; esac
case $srcdir in /*) ;; *) srcdir=$PWD/$srcdir ;; esac
PATH=$PATH:/usr/sbin:/sbin
if [ -z "$ALONE" ]; then # a network of our own
	unshare --net --map-root-user true 2>/dev/null || { echo "skipped: no network namespaces"; exit 77; }
	ALONE=1 exec unshare --net --map-root-user "$0"
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

fail()
{
	echo "FAIL: $*"
	failed=1
}

printf '[ama]\naccess = lo\n' >"$dir/amad.conf"
"$builddir/amad/amactl" --config "$dir/amad.conf" radvd-config >"$dir/radvd.conf" 2>"$dir/err" && fail "a configuration for an interface without an address"
grep -q "ip -6 addr add .* dev lo" "$dir/err" || fail "it does not say what to do: $(cat "$dir/err")"
ip link set lo up
ip -6 addr add 2001:db8:a1::1/64 dev lo
ip -6 addr add 2001:db8:a2::1/56 dev lo
"$builddir/amad/amactl" --config "$dir/amad.conf" radvd-config >"$dir/radvd.conf" || fail "radvd-config: exit status $?"
grep -q "prefix 2001:db8:a1::1/64 { AdvRouterAddr on; };" "$dir/radvd.conf" || fail "no prefix: $(cat "$dir/radvd.conf")"
grep -q "a2::" "$dir/radvd.conf" && fail "a prefix that no node can use"
chmod 644 "$dir/radvd.conf"
if command -v radvd >/dev/null; then
	radvd -c -C "$dir/radvd.conf" 2>"$dir/err" || fail "radvd refuses it: $(cat "$dir/err")"
else
	echo "no radvd here: not asked"
fi
if command -v nft >/dev/null; then
	for example in "$srcdir"/systemd/*.nft; do
		nft -c -f "$example" 2>"$dir/err" || fail "nft refuses $example: $(cat "$dir/err")"
	done
else
	echo "no nft here: not asked"
fi
[ ! -f "$builddir/mnd/libmnd.pc" ] || ! grep -q @ "$builddir/mnd/libmnd.pc" || fail "libmnd.pc has places that nobody filled"
for example in "$srcdir"/systemd/firewalld-*.xml; do
	python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$example" || fail "$example is not XML"
	if command -v firewall-offline-cmd >/dev/null; then # it reads what is there, and adds this
		name=$(basename "$example" .xml)
		mkdir -p "$dir/firewalld" && cp -r /etc/firewalld/. "$dir/firewalld" 2>/dev/null
		case $name in
		firewalld-service-*) out=$(firewall-offline-cmd --system-config="$dir/firewalld" --new-service-from-file="$example" --name=dmm 2>&1 &&
			firewall-offline-cmd --system-config="$dir/firewalld" --info-service=dmm 2>&1) ;;
		*) out=$(firewall-offline-cmd --system-config="$dir/firewalld" --new-policy-from-file="$example" --name="${name#firewalld-policy-}" 2>&1) ;;
		esac || fail "firewalld refuses $example: $out"
		case $name in firewalld-service-*) echo "$out" | grep -q "7872/udp" || fail "firewalld understood: $out" ;; esac
	fi
done
exit $failed
