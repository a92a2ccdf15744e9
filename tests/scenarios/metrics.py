# SPDX-License-Identifier: GPL-2.0-or-later
"""Prometheus metrics of both daemons, fetched with curl: the text format kept to the letter, the same numbers as the status has, and a handover in them."""
import json
import os
import re
import shutil
import socket
import subprocess

from lab import Lab, inside

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(r'(%s)(?:\{([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"\})? (\+Inf|NaN|-?[0-9]+(?:\.[0-9]+)?)$' % NAME)


def parse(text):
    """{family: (type, {label value or None: number})}; an AssertionError where it is not the text format 0.0.4 or not as promtool wants it."""
    families, current, seen = {}, None, set()
    assert text.endswith("\n")
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            current, words = line[7:].split(" ", 1)
            assert re.fullmatch(NAME, current) and current not in families and words, line
            families[current] = [None, {}]
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            assert name == current and families[name][0] is None and not families[name][1], line
            assert kind in ("counter", "gauge", "histogram"), line
            assert (kind == "counter") == name.endswith("_total"), line
            families[name][0] = kind
        else:
            m = SAMPLE.match(line)
            assert m, line
            name, label, value, number = m.groups()
            assert (name, value) not in seen, "twice: " + line
            seen.add((name, value))
            kind = families[current][0]
            if kind == "histogram":
                assert name in (current + "_bucket", current + "_sum", current + "_count") and (label == "le") == name.endswith("_bucket"), line
                value = value if label else name[len(current):]
            else:
                assert name == current, "%s among those of %s" % (line, current)
            families[current][1][value] = float(number) if "." in number or number in ("+Inf", "NaN") else int(number)
    for name, (kind, samples) in families.items():
        assert kind and samples, name
        if kind == "histogram":
            buckets = [n for le, n in samples.items() if le[0] != "_"]
            assert buckets == sorted(buckets) and samples["+Inf"] == samples["_count"] and buckets[-1] == samples["+Inf"], name
        elif kind == "counter":
            assert all(n >= 0 for n in samples.values()), name
    return families


if __name__ == "__main__":
    lab = Lab()
    net = lab.roaming(networks=2, mnd_config="metrics = /tmp/lab/mn/metrics", amad_config="metrics = [::1]:9872")
    curl = ["curl", "-sS", "-g", "--fail", "--max-time", "30"]
    of_mnd = lambda: parse(net.mn.run(curl + ["--unix-socket", "/tmp/lab/mn/metrics", "http://localhost/metrics"]))
    of_amad = lambda i: parse(net.ar[i].run(curl + ["http://[::1]:9872/metrics"]))

    hoa = net.attach(1)
    before = of_mnd()
    lab.check(before["mnd_home_addresses"][1]["native"] == 1 and before["mnd_leases"][1][None] == 1 and before["mnd_bindings"][1][None] == 0, "at home: one lease, no binding")
    stream = net.stream(hoa, "2001:db8:c::2", net.mn, net.cn, 9001, 20000)
    lab.wait(lambda: len(stream.packets()) > 10, "the stream")
    net.radios[0].move(2)
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(2)["state"] == "native", "the handover")
    after = of_mnd()
    lab.check(after["mnd_home_addresses"][1]["bound"] == 1 and after["mnd_bindings"][1][None] == 1 and after["mnd_leases"][1][None] == 2 and after["mnd_sessions"][1][None] == 1 and
              after["mnd_peers"][1][None] == 2, "away: two leases, a binding, two AMAs")
    h = after["mnd_handover_duration_seconds"][1]
    status = net.mnctl("status")
    last = status["handovers"][-1]
    lab.check(h["_count"] == before["mnd_handover_duration_seconds"][1]["_count"] + 1 and
              h["_sum"] - before["mnd_handover_duration_seconds"][1]["_sum"] >= last["registration_ms"] / 1000 - 0.001, "the handover is in the histogram: %.3f s" % h["_sum"])
    lab.check(after["dmm_messages_sent_total"][1]["binding_update"] > before["dmm_messages_sent_total"][1]["binding_update"] and
              after["dmm_messages_received_total"][1]["binding_acknowledgement"] >= 2, "messages by type")
    stream.end()
    ama = of_amad(1)
    lab.check(ama["amad_leases"][1][None] == 1 and ama["amad_bindings"][1][None] == 1 and ama["amad_acknowledgements_total"][1]["0"] >= 2 and
              ama["dmm_kernel_requests_total"][1][None] > 0 and ama["dmm_tunnel_packets_received_total"][1]["wrong-source"] == 0, "at the anchor")
    lab.check(ama["dmm_build_info"][1] == {status["version"]: 1} and ama["process_start_time_seconds"][1][None] > 1e9 and
              ama["process_resident_memory_bytes"][1][None] > 1 << 20, "version, start, memory")

    # one source: each counter of the status is one of the samples, by its number, when nothing moves between the two readings
    KEYS = {"channel-": "dmm_channel_datagrams_received_total", "channel-tx-": "dmm_channel_datagrams_sent_total", "message-rx-": "dmm_messages_received_total",
            "message-tx-": "dmm_messages_sent_total", "mh-": "dmm_messages_refused_total", "restored-": "dmm_kernel_restored_total", "kernel-refused-": "dmm_kernel_refused_total",
            "decap-": "dmm_tunnel_packets_received_total", "udp-tx-": "dmm_udp_send_failures_total", "ba-status-": "amad_acknowledgements_total"}

    def same():
        counters, samples = net.amactl(1, "status")["counters"], of_amad(1)
        return all(counters[key + value] == n for key, family in KEYS.items() for value, n in samples[family][1].items()) and counters["kernel-requests"] == samples["dmm_kernel_requests_total"][1][None]
    lab.check(lab.wait(same, "the same numbers in the status"), "status and metrics tell the same")

    # who says nothing, or too much, does not keep the others from being answered
    with inside(net.ar[1].name):
        idle = [socket.create_connection(("::1", 9872)) for _ in range(7)]
        idle[0].sendall(b"A" * 3000)
        lab.check(of_amad(1)["amad_leases"][1][None] == 1, "answered beside seven who say nothing")
        for s in idle:
            s.settimeout(60)
        lab.check(all(s.recv(100) == b"" for s in idle), "who says nothing is sent away")
        refused = subprocess.run(["curl", "-sS", "-g", "-o", "/dev/null", "-w", "%{http_code}", "http://[::1]:9872/"], capture_output=True, text=True).stdout
        lab.check(refused == "404", "only /metrics is there")
    # the dashboard: each metric that it names is there
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../contrib/grafana/dmm.json")) as f:
        board = json.load(f)
    asked = [t["expr"] for p in board["panels"] for t in p.get("targets", [])] + [v["query"] for v in board["templating"]["list"]]
    named = set(re.findall(r"\b(?:dmm|mnd|amad|process)_[a-z_]+", " ".join(asked)))
    there = set(after) | set(ama) | {h + suffix for h in after for suffix in ("_bucket", "_sum", "_count") if after[h][0] == "histogram"}
    lab.check(len(board["panels"]) == len({p["id"] for p in board["panels"]}) > 15 and named <= there, "the dashboard's %d metrics are exported%s" % (len(named), ": not " + ", ".join(sorted(named - there)) if named - there else ""))
    labels = {(n, l) for e in asked for n, l in re.findall(r"sum by \([a-z, ]*?(result|reason|type|object|state|status)\) \(?(?:rate\(|increase\()?([a-z_]+)", e)}
    exported = dict(re.findall(r"^([a-z_]+)\{([a-z]+)=", net.ar[1].run(curl + ["http://[::1]:9872/metrics"]) + net.mn.run(curl + ["--unix-socket", "/tmp/lab/mn/metrics", "http://localhost/metrics"]), re.M))
    lab.check(len(labels) > 8 and all(exported.get(family) == label for label, family in labels), "by the labels that they have: %s" % [l for l in labels if exported.get(l[1]) != l[0]])
    listening = net.ar[1].run("ss -6tlnH sport = :9872")
    lab.check("[::1]:9872" in listening and len(listening.splitlines()) == 1, "on loopback only")
    names = json.dumps([after, ama])
    lab.check("2001:db8" not in names and "laptop" not in names and "ama1" not in names, "no name and no address in it")
    with open("/tmp/lab/open.conf", "w") as f:
        f.write("[mnd]\nmetrics = [::]:9872\n")
    r = subprocess.run(["mnd", "--check", "-c", "/tmp/lab/open.conf"], capture_output=True, text=True)
    lab.check(r.returncode == 2 and "neither the path of a socket nor a port of this machine" in r.stderr, "an address that others reach is refused: " + r.stderr.strip())
    if shutil.which("promtool"):
        p = subprocess.run(["promtool", "check", "metrics"], input=net.ar[1].run(curl + ["http://[::1]:9872/metrics"]), capture_output=True, text=True)
        lab.check(p.returncode == 0, "promtool: " + (p.stdout + p.stderr).strip())
    lab.finish()
