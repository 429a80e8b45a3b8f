"""An alert file that is slow, or takes nothing: packets of file ports wait, and no alert is lost
without being counted. The file is a pipe, which is read when the test says so."""

import os
import select
import signal
import time

import pytest

from harness import wait_until
from test_nids_reload import TWINS, frame

RULES = "alert udp any any -> any any (msg:\"each\"; content:\"DATA\"; sid:1;)\n"
PACKETS = 40_000  # more alerts than the queue and the pipe have room for
QUEUE = 8192  # alerts


class Pipe:
    """A named pipe with a reader that is this process."""

    def __init__(self, folder):
        self.path = folder / "alerts.fifo"
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.n_lines = 0
        self._last = b"\n"

    def read(self, n_bytes=1 << 20):
        """Takes what is there, at most so much; returns how much it was."""
        try:
            data = os.read(self._fd, n_bytes)
        except BlockingIOError:
            return 0
        self.n_lines += data.count(b"\n")
        self._last = data[-1:] or self._last
        return len(data)

    def is_full(self):
        """Whether a writer would have to wait."""
        fd = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        writable = select.select([], [fd], [], 0)[1]
        os.close(fd)
        return not writable

    def read_rest(self):
        while self.read():
            pass
        os.close(self._fd)
        assert self._last == b"\n", "the last line is whole"
        return self.n_lines


def start(platform, gpu, *options, supervised=False):
    """A capture on its way through nids, whose alerts fill the pipe."""
    pipe = Pipe(platform.folder)
    capture = platform.capture("in.pcap", (frame(i) for i in range(PACKETS)))
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx\n")
    rules = platform.write("each.rules", RULES)
    platform.spawn_manager("--exit-when-drained", "--port", f"pcap:rx={capture}",
                           "--routes", routes, *options,
                           gpu="opencl" if gpu else "none")
    platform.wait_ready()
    if supervised:
        platform.start_supervised("nids", "--rules", rules, "--alerts", pipe.path)
    else:
        platform.spawn_nf("nids", "--rules", rules, "--alerts", pipe.path, gpu=gpu)
    return pipe


def wait_stalled(platform, pipe):
    """Until packets wait for the pipe: that is full, nids has taken more than the queue has room for,
    and takes no more. (That it takes no more could be for want of a processor.)"""
    seen = []

    def stalled(status):
        seen.append(platform.nf("nids", status).get("rx", 0))
        return (pipe.is_full() and seen[-1] > QUEUE and len(seen) > 10
                and len(set(seen[-10:])) == 1)

    platform.wait_for(stalled, "nids waits")


@TWINS
def test_packets_wait_for_a_pipe_that_stalls(platform, gpu):
    """For much longer than --nf-timeout; nids is not taken for hung."""
    pipe = start(platform, gpu, "--nf-timeout", "200")
    wait_stalled(platform, pipe)
    time.sleep(2)  # the stall
    wait_until(lambda: pipe.read() == 0 and platform.manager.status is not None, "the end")
    stats = platform.finish()
    nids = platform.nf("nids", stats)
    assert nids["rx"] == nids["tx"] == PACKETS
    assert nids["counters"]["alerts"] == PACKETS and nids["counters"]["alerts_lost"] == 0
    assert pipe.read_rest() == PACKETS
    assert "hung" not in platform.manager.stderr


@TWINS
def test_the_end_waits_for_a_pipe_that_is_slow(platform, gpu):
    """The last 8,000 alerts or so take about 8 s."""
    pipe = start(platform, gpu)
    while platform.manager.status is None:
        if pipe.n_lines >= PACKETS - 8000:
            time.sleep(0.013)  # it is slow
        pipe.read(4096)
    stats = platform.finish()
    counters = platform.nf("nids", stats)["counters"]
    assert counters["alerts"] == PACKETS and counters["alerts_lost"] == 0
    assert pipe.read_rest() == PACKETS
    assert "killing it" not in platform.manager.stderr


@pytest.mark.parametrize("gpu,how", [
    (False, "manager"), (False, "signal"), (False, "hbctl"), (False, "supervisor"),
    (True, "manager"), (True, "signal")])
def test_the_end_does_not_wait_for_a_pipe_that_nobody_reads(platform, gpu, how):
    pipe = start(platform, gpu, supervised=how == "supervisor")
    wait_stalled(platform, pipe)
    nids = platform.processes[-1]
    begin = time.monotonic()
    if how == "manager":
        platform.manager.ctrl_c()
    elif how == "hbctl":
        platform.hbctl("stop", "nids")
    elif how == "signal":
        nids.signal(signal.SIGINT)
    else:
        nids.ctrl_c()
    nids.expect(0)
    took = time.monotonic() - begin
    stats = platform.finish() if how == "manager" else platform.stop()
    entry = platform.nf("nids", stats)
    counters = entry["counters"]
    assert pipe.read_rest() == counters["alerts"] > 0
    # Each packet that has left has an alert.
    assert counters["alerts"] + counters["alerts_lost"] == entry["tx"]
    assert counters["alerts_lost"] > 0
    assert "killing it" not in platform.manager.stderr
    assert took < 12, f"it took {took:.1f} s"  # 2 s, on a machine that is busy
