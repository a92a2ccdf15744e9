#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An access router that answers router solicitations at once (RFC 4861 6.2.6 without the random delay of up to 500 ms), for measurements.
The advertisement is what radvd sends for an AMA: home-agent flag, and a prefix option with the router's own address and the R bit.

    fastra.py DEV ROUTER-ADDRESS PREFIX-LENGTH [--plain] [--unicast] [--mtu N] [--lifetime S] [--valid S] [--preferred S]"""
import argparse, fcntl, socket, struct, sys

IPPROTO_ICMPV6, ICMP6_FILTER, SIOCGIFHWADDR = 58, 1, 0x8927
RS, RA = 133, 134


def advertisement(args, mac):
    home = 0 if args.plain else 0x20
    out = struct.pack("!BBHBBHII", RA, 0, 0, 64, home, args.lifetime, 0, 0)  # the kernel fills in the checksum
    out += struct.pack("!BB", 1, 1) + mac  # source link-layer address
    if args.mtu:
        out += struct.pack("!BBHI", 5, 1, 0, args.mtu)
    # on-link, autonomous, and the router's address: the whole address stands where the prefix does (RFC 6275 7.2)
    out += struct.pack("!BBBBIII", 3, 4, args.length, 0xc0 | home, args.valid, args.preferred, 0)
    return out + socket.inet_pton(socket.AF_INET6, args.address)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dev")
    parser.add_argument("address", help="the router's, in the prefix")
    parser.add_argument("length", type=int, help="of the prefix")
    parser.add_argument("--plain", action="store_true", help="a router without an AMA")
    parser.add_argument("--unicast", action="store_true", help="answer the one who asked; else everybody, as radvd does")
    parser.add_argument("--mtu", type=int, help="MTU option")
    parser.add_argument("--lifetime", type=int, default=1800, help="of the router")
    parser.add_argument("--valid", type=int, default=600)
    parser.add_argument("--preferred", type=int, default=300)
    args = parser.parse_args()
    index = socket.if_nametoindex(args.dev)
    s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, IPPROTO_ICMPV6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, args.dev.encode() + b"\0")
    s.setsockopt(IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("8I", *(0xffffffff & ~(1 << (RS & 31) if i == RS >> 5 else 0) for i in range(8))))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, "ff02::2") + struct.pack("@I", index))
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    mac = fcntl.ioctl(s, SIOCGIFHWADDR, struct.pack("16s16x8x", args.dev.encode()))[18:24]
    packet = advertisement(args, mac)
    print("ready", flush=True)
    while True:
        data, source = s.recvfrom(2048)
        if len(data) < 8 or data[0] != RS:
            continue
        everybody = not args.unicast or source[0].split("%")[0] == "::"
        try:
            s.sendto(packet, ("ff02::1" if everybody else source[0].split("%")[0], 0, 0, index))
        except OSError as e:
            print("fastra: %s" % e, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
