# SPDX-License-Identifier: GPL-2.0-or-later
"""An access router that answers router solicitations at once, as radvd would but without its delay (RFC 4861 6.2.6 lets a router
on a point-to-point-like link do so): for measuring. usage: fastra.py DEV ROUTER-ADDRESS PREFIX-LENGTH"""
import socket, struct, sys

dev, address, plen = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, dev.encode())
s.setsockopt(socket.IPPROTO_ICMPV6, 1, struct.pack("8I", *([0xffffffff] * 4 + [0xffffffff & ~(1 << (133 - 128))] + [0xffffffff] * 3)))
index = socket.if_nametoindex(dev)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, "ff02::2") + struct.pack("I", index))
raw = socket.inet_pton(socket.AF_INET6, address)
# H flag; prefix option with L, A and R; RFC 4861 4.2, RFC 6275 7
ra = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0x20, 1800, 0, 0) + struct.pack(">BBBBIII", 3, 4, plen, 0xe0, 600, 300, 0) + raw
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(2048)
    if data and data[0] == 133:
        s.sendto(ra, ("ff02::1%" + dev, 0, 0, index))
