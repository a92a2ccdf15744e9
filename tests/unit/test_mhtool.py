#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_mhtool.py - the program as people run it: lines, captures of every link type, exit statuses, sentences"""
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

MHTOOL = os.environ.get("MHTOOL", "common/mhtool")  # make check runs in the build directory

V1 = "3b03050071e40001c000000f0100031020010db8000200000000000000000010"  # update with alternate care-of address
V3 = "3b01060060c600000001000f0202000a"  # acknowledgement with refresh advice
V5 = "3b020d003d9f00010000002a01001c040000000501020000"  # heartbeat response with restart counter
V8 = ("3b0f050029f800078210004b0810016d6e31406578616d706c652e636f6d0104000000001612004020010db801000000000000000000"
      "0000170200031802000419080000020000000001010200001a10fe80000000000000000000000000000101001b0800006553f10080000100"
      "441020010db8000a00000000000000000002")  # proxy update with everything
HOA, COA, HA, MAG, LMA = "2001:db8:1::10", "2001:db8:2::10", "2001:db8:1::1", "2001:db8:a::1", "2001:db8:b::1"


def run(*args, stdin=""):
    r = subprocess.run([MHTOOL, *args], input=stdin, capture_output=True, text=True, timeout=20)
    return r.returncode, r.stdout, r.stderr


def addr(text):
    return socket.inet_pton(socket.AF_INET6, text)


def ipv6(src, dst, payload, next_header=135):
    return struct.pack("!IHBB", 6 << 28, len(payload), next_header, 64) + addr(src) + addr(dst) + payload


def hao(home, next_header=135):  # padding before it so that it stands at 8n+6
    return bytes([next_header, 2, 1, 2, 0, 0, 0xc9, 16]) + addr(home)


def rh2(home, next_header=135, segments_left=1):
    return bytes([next_header, 2, 2, segments_left, 0, 0, 0, 0]) + addr(home)


def pcap(packets, link=101, order="<", magic=0xa1b2c3d4):
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)
    for i, p in enumerate(packets):
        out += struct.pack(order + "IIII", 1700000000 + i, 5, len(p), len(p)) + p
    return out


class Mhtool(unittest.TestCase):
    def decode_pcap(self, data):
        with tempfile.NamedTemporaryFile(suffix=".pcap") as f:
            f.write(data)
            f.flush()
            status, out, err = run("decode", f.name)
            return status, [json.loads(line) for line in out.splitlines()], err.replace(f.name, "FILE")

    def test_golden_there_and_back(self):
        lines = "".join(v + "\n" for v in (V1, V3, V5, V8))
        status, out, err = run("decode", stdin=lines)
        self.assertEqual((status, err), (0, ""))
        objects = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([o["name"] for o in objects],
                         ["binding_update", "binding_acknowledgement", "heartbeat", "binding_update"])
        self.assertEqual(objects[0]["options"],
                         [{"type": 3, "name": "alternate_care_of_address", "address": COA}])
        self.assertEqual(objects[3]["flags"], ["A", "P", "D"])
        self.assertEqual([o["name"] for o in objects[3]["options"]],
                         ["mobile_node_identifier", "home_network_prefix", "handoff_indicator", "access_technology_type",
                          "mobile_node_link_layer_identifier", "link_local_address", "timestamp", "serving_maar"])
        self.assertEqual(run("encode", stdin=out), (0, lines, ""))

    def test_foreign_padding_there_and_back(self):
        line = "3b0405000000" "0001c000000f" "0000" "031020010db8000200000000000000000010" "0106010203040506\n"
        status, out, _ = run("decode", stdin=line)
        self.assertEqual(status, 0)
        self.assertTrue(json.loads(out)["explicit_padding"])
        self.assertEqual(run("encode", stdin=out), (0, line, ""))

    def test_hex_may_have_spaces_capitals_and_empty_lines(self):
        spaced = " ".join(V1[i:i + 2] for i in range(0, len(V1), 2)).upper()
        status, out, err = run("decode", stdin="\n" + spaced + "\r\n\n")
        self.assertEqual((status, err), (0, ""))
        self.assertEqual(run("encode", stdin=out)[1], V1 + "\n")

    def test_checksum(self):
        for v, src, dst in ((V1, HOA, HA), (V3, HA, HOA), (V5, LMA, MAG), (V8, MAG, LMA)):
            status, out, err = run("decode", "--src", src, "--dst", dst, stdin=v)
            self.assertEqual((status, err), (0, ""))
            o = json.loads(out)
            self.assertIs(o["checksum_ok"], True)
            del o["checksum"]
            self.assertEqual(run("encode", "--src", src, "--dst", dst, stdin=json.dumps(o)), (0, v + "\n", ""))
        status, out, err = run("decode", "--src", COA, "--dst", HA, stdin=V1)
        self.assertEqual(status, 1)
        self.assertIs(json.loads(out)["checksum_ok"], False)
        self.assertIn("mhtool: line 1: mh-checksum: is 0x71e4, should be 0x", err)
        self.assertNotIn("checksum_ok", json.loads(run("decode", stdin=V1)[1]))

    def test_malformed_lines_are_named_and_do_not_hide_the_others(self):
        status, out, err = run("decode", stdin="\n".join([V1, "zz", V1[:-1], V1[:-2], V1 + "00", "06" + V1[2:], V3]))
        self.assertEqual(status, 1)
        self.assertEqual(len(out.splitlines()), 2)
        self.assertEqual(err.splitlines(), [
            "mhtool: line 2: not hex digits, two a byte",
            "mhtool: line 3: not hex digits, two a byte",
            "mhtool: line 4: mh-short",
            "mhtool: line 5: 1 bytes behind the end of the message (its Header Len says 32)",
            "mhtool: line 6: mh-payload-proto"])
        status, out, err = run("decode", stdin="00" * 2049)
        self.assertEqual((status, out), (1, ""))
        self.assertIn("longer than a mobility header can be", err)

    def test_no_truncation_is_accepted(self):
        lines = [V8[:n] for n in range(2, len(V8), 2)]
        status, out, err = run("decode", stdin="\n".join(lines))
        self.assertEqual((status, out), (1, ""))
        self.assertEqual(len(err.splitlines()), len(lines))

    def test_malformed_json_is_named(self):
        status, out, err = run("encode", stdin='{\n{"name":"x"}\n{"type":5,"type":5}\n')
        self.assertEqual((status, out), (1, ""))
        lines = err.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith("mhtool: line 1: column "))
        self.assertEqual(lines[1], "mhtool: line 2: name: there is no such message")
        self.assertIn("duplicate object key", lines[2])

    def test_link_types(self):
        p = ipv6(HA, HOA, bytes.fromhex(V3))
        frames = {
            1: bytes(12) + b"\x86\xdd" + p,
            101: p, 12: p, 14: p, 229: p,
            113: bytes(14) + b"\x86\xdd" + p,
            276: b"\x86\xdd" + bytes(18) + p,
            108: struct.pack("!I", 24) + p,
        }
        for link, frame in frames.items():
            for order in "<>":
                with self.subTest(link=link, order=order):
                    status, objects, err = self.decode_pcap(pcap([frame], link, order))
                    self.assertEqual((status, err, len(objects)), (0, "", 1))
                    self.assertIs(objects[0]["checksum_ok"], True)
                    self.assertEqual((objects[0]["src"], objects[0]["dst"], objects[0]["packet"], objects[0]["time"]),
                                     (HA, HOA, 1, "1700000000.000005"))
        for order in "<>":  # family in the order of the machine that captured
            for family in (10, 24, 28, 30):
                status, objects, err = self.decode_pcap(pcap([struct.pack(order + "I", family) + p], 0, order))
                self.assertEqual((status, err, len(objects)), (0, "", 1))
        vlan = bytes(12) + b"\x81\x00\x00\x05\x86\xdd" + p
        self.assertEqual(len(self.decode_pcap(pcap([vlan], 1))[1]), 1)
        status, objects, _ = self.decode_pcap(pcap([p], 101, "<", 0xa1b23c4d))
        self.assertEqual((status, objects[0]["time"]), (0, "1700000000.000000005"))

    def test_home_address_and_routing_header_count_for_the_checksum(self):
        update = ipv6(COA, HA, hao(HOA) + bytes.fromhex(V1), 60)
        ack = ipv6(HA, COA, rh2(HOA) + bytes.fromhex(V3), 43)
        behind = ipv6(COA, HA, bytes([60, 0, 1, 4, 0, 0, 0, 0]) + hao(HOA) + bytes.fromhex(V1), 0)  # hop-by-hop first
        status, objects, err = self.decode_pcap(pcap([update, ack, behind]))
        self.assertEqual((status, err, len(objects)), (0, "", 3))
        self.assertEqual([o["checksum_ok"] for o in objects], [True, True, True])
        self.assertEqual((objects[0]["src"], objects[0]["home_address_option"]), (COA, HOA))
        self.assertEqual((objects[1]["dst"], objects[1]["type_2_routing_header"]), (COA, HOA))
        # objects of packets can be encoded: what is about the packet is not looked at
        text = "".join(json.dumps(o) + "\n" for o in objects)
        self.assertEqual(run("encode", stdin=text), (0, V1 + "\n" + V3 + "\n" + V1 + "\n", ""))
        # a routing header that was used up has the addresses exchanged
        status, objects, _ = self.decode_pcap(pcap([ipv6(HA, HOA, rh2(COA, 135, 0) + bytes.fromhex(V3), 43)]))
        self.assertEqual((status, objects[0]["checksum_ok"]), (0, True))

    def test_other_packets_are_passed_over(self):
        mh = ipv6(HA, HOA, bytes.fromhex(V3))
        others = [b"", b"\x60", b"\x45" + bytes(19), ipv6(HA, HOA, b"\0" * 8, 17), ipv6(HA, HOA, b"", 59),
                  ipv6(HA, HOA, bytes([135, 200]), 60),  # extension header over the end
                  ipv6(HA, HOA, bytes([0, 0, 0, 0, 0, 0, 0, 0]) * 20, 0)]
        status, objects, err = self.decode_pcap(pcap([*others, mh + b"padding of the link"]))
        self.assertEqual((status, err), (0, ""))
        self.assertEqual([o["packet"] for o in objects], [len(others) + 1])

    def test_malformed_packets_are_named(self):
        good = ipv6(HA, HOA, bytes.fromhex(V3))
        short = ipv6(HA, HOA, bytes.fromhex(V3)[:-1])
        wrong = ipv6(HA, HOA, bytes.fromhex(V3[:-2] + "0b"))
        status, objects, err = self.decode_pcap(pcap([good, short, wrong, good]))
        self.assertEqual(status, 1)
        self.assertEqual([o.get("checksum_ok") for o in objects], [True, False, True])
        self.assertEqual(err.splitlines()[0], "mhtool: FILE, packet 2: mh-short")
        self.assertIn("mhtool: FILE, packet 3: mh-checksum: is 0x60c6, should be 0x60c5", err)

    def test_broken_files(self):
        good = pcap([ipv6(HA, HOA, bytes.fromhex(V3))])
        for data, sentence in ((b"", "is not a pcap file"), (b"hello, this is no capture at all", "is not a pcap file"),
                               (good[:23], "is not a pcap file"), (good[:30], "the file ends in the middle"),
                               (good[:-1], "the file ends in the middle"),
                               (good[:32] + b"\xff\xff\xff\x7f" + good[36:], "is too long"),
                               (pcap([], 147), "link type 147 is not known here"),
                               (bytes.fromhex("0a0d0d0a1c0000004d3c2b1a") + bytes(20), "is pcapng: convert it first")):
            status, objects, err = self.decode_pcap(data)
            self.assertEqual((status, objects), (1, []))
            self.assertIn(sentence, err)
            self.assertEqual(len(err.splitlines()), 1)
        self.assertEqual(self.decode_pcap(pcap([])), (0, [], ""))
        status, _, err = run("decode", "/nonexistent.pcap")
        self.assertEqual((status, err), (1, "mhtool: /nonexistent.pcap: No such file or directory\n"))

    def test_usage(self):
        status, out, err = run("--help")
        self.assertEqual((status, err), (0, ""))
        self.assertIn("mhtool decode [--src ADDR --dst ADDR] [FILE.pcap]", out)
        status, out, err = run("--version")
        self.assertEqual((status, err), (0, ""))
        self.assertTrue(out.startswith("mhtool "))
        for args in ((), ("dance",), ("encode", "x"), ("decode", "a", "b"), ("decode", "--src", HOA),
                     ("decode", "--src", "192.0.2.1", "--dst", HA), ("--nonsense",),
                     ("decode", "--src", HOA, "--dst", HA, "x.pcap")):
            status, out, err = run(*args)
            self.assertEqual((status, out), (2, ""), args)
            self.assertNotEqual(err, "", args)

    def test_a_full_disk_is_noticed(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            r = subprocess.run([MHTOOL, "decode"], input=V1, stdout=full, stderr=subprocess.PIPE, text=True, timeout=20)
        self.assertEqual(r.returncode, 1)
        self.assertIn("No space left on device", r.stderr)


if __name__ == "__main__":
    if not os.access(MHTOOL, os.X_OK):
        print(f"test_mhtool.py: {MHTOOL} is not there: run it in the build directory, or set MHTOOL", file=sys.stderr)
        sys.exit(99)
    unittest.main()
