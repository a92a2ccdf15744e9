#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A program that says for each of its sockets what it wants of the address (RFC 8653), by libmnd and ctypes.

    address-types.py [--socket PATH] HOST PORT

Sends "TYPE ADDRESS" by UDP to HOST each second: from an address that is fixed, one that lasts as long as the socket, one that is gone with the network,
and one that is replaced, socket and all, as soon as the node is in another network that has a home address for it."""
import argparse, ctypes, os, select, socket, time

SESSION, FIXED, GRACEFUL, NON_PERSISTENT = range(4)
lib = ctypes.CDLL("libmnd.so.0", use_errno=True)
lib.mnd_error.restype = ctypes.c_char_p
lib.mnd_error.argtypes = lib.mnd_close.argtypes = lib.mnd_watch.argtypes = lib.mnd_read_news.argtypes = [ctypes.c_void_p]
lib.mnd_set_type.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
lib.mnd_is_current.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]


def check(result):
    if result < 0:
        raise OSError(-result, lib.mnd_error(mnd).decode() or os.strerror(-result))
    return result


def opened(kind, where):
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    check(lib.mnd_set_type(mnd, s.fileno(), kind, None))
    s.connect(where)
    return s


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--socket", help="control socket of mnd")
parser.add_argument("host")
parser.add_argument("port", type=int)
args = parser.parse_args()
mnd = ctypes.c_void_p()
r = lib.mnd_open(args.socket.encode() if args.socket else None, ctypes.byref(mnd))
if r < 0:
    raise SystemExit("mnd cannot be reached: " + os.strerror(-r))
news = check(lib.mnd_watch(mnd))
names = {FIXED: "fixed", SESSION: "session", GRACEFUL: "graceful", NON_PERSISTENT: "non-persistent"}
sockets = {kind: opened(kind, (args.host, args.port)) for kind in names}
while True:
    for kind, s in sockets.items():
        text = "%s %s" % (names[kind], s.getsockname()[0])
        print(text, flush=True)
        try:
            s.send(text.encode())
        except OSError as e:
            print("# %s: %s" % (names[kind], e.strerror), flush=True)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        if select.select([news], [], [], max(end - time.monotonic(), 0))[0]:
            check(lib.mnd_read_news(mnd))
            if not check(lib.mnd_is_current(mnd, sockets[GRACEFUL].fileno(), GRACEFUL)):
                sockets[GRACEFUL].close()
                sockets[GRACEFUL] = opened(GRACEFUL, (args.host, args.port))
