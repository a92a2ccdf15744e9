# SPDX-License-Identifier: GPL-2.0-or-later
"""Either daemon is killed and started again in the middle of a session: forwarding goes on without it, it adopts what carries our protocol
number, and the session does not notice."""
import signal, time
from lab import KERNEL, Lab

lab = Lab()
net = lab.roaming(networks=3)
net.web(64)
hoa1 = net.attach(1)
curl = net.download(hoa1, 64, rate="4M")
hold = net.stream(hoa1, "2001:db8:c::2", net.mn, net.cn, 9002, 200000)  # on a busy machine the download is over before the last move
net.attach(2)
lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
stream = net.stream("2001:db8:c::2", hoa1, net.cn, net.mn, 9001, 10000)
lab.wait(lambda: len(stream.packets()) > 50, "the stream")

before = net.ar[1].kernel_state()
net.amad[1].kill(signal.SIGKILL)
lab.check(net.ar[1].kernel_state() == before, "the anchor killed: its routes stay")
net.start_amad(1)
b = net.bindings(1)
lab.check(len(b) == 1 and b[0]["mn"] == "laptop", "started again: the binding is there")
lab.wait(lambda: net.ar[1].kernel_state() == before, "the same kernel state")
lab.check(net.amactl(1, "status")["counters"]["kernel-requests"] == 0, "adopted without one change: %d requests" % net.amactl(1, "status")["counters"]["kernel-requests"])

before = net.mn.kernel_state()
net.mnd.kill(signal.SIGKILL)
lab.check(net.mn.kernel_state() == before, "the node's daemon killed: its state stays")
net.start_mnd()
lab.wait(lambda: net.home(1)["state"] == "bound" and net.home(2)["state"] == "native", "both home addresses taken over")
lab.check(net.home(1)["address"] == hoa1, "with the same address")
lab.wait(lambda: net.mn.kernel_state() == before, "the same kernel state")
r = stream.end()
lab.check(r["lost"] <= 2, "the stream through both restarts: %(lost)d of %(sent)d lost, longest gap %(gap_ms).0f ms" % r)

net.radios[0].move(3)
lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a3:"), "a move after the restarts")
if KERNEL != "native":  # a machine without a battery: its clock goes on from some time before
    net.mnd.kill(signal.SIGKILL)
    time.clock_settime(time.CLOCK_REALTIME, time.time() - 1800)
    net.start_mnd()
    lab.wait(lambda: net.home(1)["state"] == "bound", "the binding")
    net.radios[0].move(2)
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a2:"), "a move with the clock behind")
    lab.check(True, "started with its clock half an hour behind the node is believed, too")
    net.radios[0].move(3)
    lab.wait(lambda: net.home(1)["state"] == "bound" and net.bindings(1)[0]["care_of"].startswith("2001:db8:a3:"), "and another one")
net.amad[1].kill(signal.SIGKILL)
net.radios[0].move(2)
net.start_amad(1)
lab.wait(lambda: net.bindings(1)[0]["care_of"].startswith("2001:db8:a2:"), "a move while the anchor was away", 40)
curl.popen.wait(120)
lab.check(curl.popen.returncode == 0 and net.checksum() == net.sums[64], "the download's checksum is right")

# stopped for good: nothing half-installed
net.radios[0].unplug()
net.mnd.kill(signal.SIGTERM)
net.mnd_config = "flush-on-exit = yes"
net.start_mnd()
net.mnd.kill(signal.SIGTERM)
text = net.mn.ip("-6 rule") + net.mn.ip("-6 route show table all") + net.mn.ip("link")
lab.check("108" not in net.mn.ip("-6 rule") and "proto 108" not in text and "mnd0" not in text, "flush-on-exit leaves nothing of ours")
lab.finish()
