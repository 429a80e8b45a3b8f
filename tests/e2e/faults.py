"""Ends or stops a process at a named point: the order file of nf_lib/fault_point.h.

Only the programs in build/faults have points; the manager there is the shipped one.
"""

import mmap
import os
import signal
import struct
import subprocess

import pytest

from harness import BUILD, Platform, read_capture, summed, wait_until
from captures import write_capture
from live_traffic import HEADERS, NUMBERS, frames

FAULTS = BUILD / "faults"
ORDER = struct.Struct("=IIiI48s")  # state, signal, passes left, pid, name: FaultOrder
ARMED, FIRED = 1, 2

MAX_BURST = 64
N_FLOWS = 64
N_PACKETS = 250_000
# Never of type "odd", always of type "odd".
DPORTS = [53, 54] * (N_FLOWS // 2)
FLOWS = "odd, *, *, *, 54, udp\n"
KILL, SEGV, STOP = signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP


@pytest.fixture(scope="session", name="traffic")
def _traffic(tmp_path_factory):
    return write_capture(tmp_path_factory.mktemp("traffic") / "in.pcap", frames(N_PACKETS, DPORTS))


@pytest.fixture(name="platform")
def _platform(tmp_path):
    made = FaultPlatform(tmp_path)
    yield made
    made.clean_up()


class Fault:
    """An order for the processes that are started with its environment."""

    def __init__(self, path):
        path.write_bytes(bytes(ORDER.size))
        with open(path, "r+b") as file:
            self._order = mmap.mmap(file.fileno(), ORDER.size)
        self.environment = {"HB_FAULT_FILE": str(path)}

    def arm(self, point, number, passes=1):
        """The passes-th pass from now on, of whichever process comes there, fires."""
        self._order[:4] = bytes(4)
        self._order[4:] = ORDER.pack(0, number, passes, 0, point.encode())[4:]
        self._order[:4] = struct.pack("=I", ARMED)  # last: from here on it counts

    def disarm(self):
        self._order[:4] = bytes(4)

    def fired(self):
        """The pid of the process that fired, or 0."""
        state, _, _, pid, _ = ORDER.unpack(self._order[:])
        return pid if state == FIRED else 0

    def wait_fired(self, platform, point):
        return wait_until(self.fired,
                          lambda: f"'{point}' is passed; {platform.status()}\n{platform.report()}")


class FaultPlatform(Platform):
    """A platform of which the processes that are given a Fault have points."""

    def __init__(self, folder):
        super().__init__(folder)
        self._faults = {}

    def fault(self, name):
        """The fault of that name, one file each."""
        if name not in self._faults:
            self._faults[name] = Fault(self.folder / f"{name}.fault")
        return self._faults[name]

    def start_fault_manager(self, *args, gpu="opencl"):
        """As start_manager, with a gpu_host that has points and obeys fault('gpu_host')."""
        self.manager = self.spawn("manager", [
            FAULTS / "bin" / "manager", "--prefix", self.prefix, "--stats", self.stats_file,
            "--gpu", gpu, *args], self.fault("gpu_host").environment)
        self.wait_ready()

    def start_with_points(self, nf, *args, service, gpu=False):
        """A supervised NF with points that obeys fault(service)."""
        words = ["--gpu"] if gpu else []
        supervisor = self.spawn(f"{service}-supervisor", [
            BUILD / "bin" / "nf_supervisor", FAULTS / "nfs" / nf, "--prefix", self.prefix,
            "--service", service, "--restart", "always", "--restart-wait", "0", "--restart-limit",
            "0", *words, *args], self.fault(service).environment)
        self.wait_instances(service, 1, supervisor)
        return supervisor


class Chain:
    """A capture that is played slowly through a chain, until the test has seen enough."""

    def __init__(self, platform, traffic, routes, gpu="none", nf_timeout_ms=200):
        self.platform = platform
        self.target = platform.folder / "out.pcap"
        self.dead = set()
        routes = platform.write("routes.csv", routes)
        flows = platform.write("flows.csv", FLOWS)
        # RX starts when all are running: the capture would be over before.
        platform.start_fault_manager("--routes", routes, "--flows", flows, "--nf-timeout",
                                     nf_timeout_ms, "--exit-when-drained", "--port",
                                     f"pcap:rx={traffic},tx={self.target}", gpu=gpu)

    def wait_running(self, service):
        """Waits until the service has a process that has not been killed; returns its pid."""
        def living(status):
            return [nf["pid"] for nf in status["nfs"] if nf["service"] == service
                    and nf["state"] == "running" and nf["pid"] not in (0, *self.dead)]

        return living(self.platform.wait_for(living, f"{service} runs again"))[0]

    def kill(self, service):
        pid = self.wait_running(service)
        self.dead.add(pid)
        os.kill(pid, KILL)

    def lost(self, service):
        status = self.platform.wait_for(lambda _: True, "statistics")
        return sum(nf["lost_in_crash"] for nf in status["nfs"] if nf["service"] == service)

    def dies(self, service, point, number, bound, trigger=lambda: None, passes=1, of=None):
        """The process of the service (or `of`) dies at that point; then the rest goes on.

        @param trigger  makes a process come to that point
        @param bound    packets that may be lost
        """
        before = self.lost(service)
        fault = self.platform.fault(of or service)
        fault.arm(point, number, passes)
        trigger()
        pid = fault.wait_fired(self.platform, point)
        self.dead.add(pid)
        if of:  # its end is what the service's state follows from: the manager has to know of it
            wait_until(lambda: not os.path.exists(f"/proc/{pid}"), f"{of} {pid} is reaped")
        self.wait_running(service)
        assert self.lost(service) - before <= bound, (point, self.platform.status())
        self.platform.assert_audit()
        self.platform.wait_traffic(MAX_BURST)

    def finish(self):
        """Stops the platform; checks what came out."""
        for process in self.platform.processes:
            if process is not self.platform.manager:
                process.expected_status = None
        stats = self.platform.stop()
        assert summed(stats)["rx"] < N_PACKETS, "the capture was too short for this test"
        assert stats["refused"] == {"double_returns": 0, "bad_pointers": 0}
        last = {}
        for data in read_capture(self.target):
            flow, number = NUMBERS.unpack_from(data, HEADERS)
            assert number > last.get(flow, -1), f"flow {flow}: {number} after {last[flow]}"
            last[flow] = number
        return stats


def hbctl_may_fail(platform, *words):
    """Whom it asks may die before it answers."""
    done = subprocess.run([BUILD / "bin" / "hbctl", "--prefix", platform.prefix, *words],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done
