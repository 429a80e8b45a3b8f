"""Drives the real programs: one Platform is a manager and its NFs under a prefix of its own.

Everything that is waited for is an event (a line of the statistics, a socket, a process' end) with
a deadline; nothing is waited for by time.
"""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

from accounting import assert_exact, drops_of, summed  # noqa: F401
from captures import CAPTURES, all_captures, read_capture, write_capture  # noqa: F401
from machine import (HUGEPAGES, MARK, assert_nothing_left, files_of, hugepages_missing,  # noqa: F401
                     pid_of_gpu_host, processes_of)

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
BUILD = Path(os.environ.get("HB_BUILD", REPO / "build"))

# An event that has not come by then will not come. Sanitizer builds set a larger scale.
SCALE = float(os.environ.get("HB_E2E_DEADLINE_SCALE", "1"))
DEADLINE_S = 30 * SCALE
POLL_S = 0.01

# What no user should meet: crashes, and lines of DPDK's own.
NOISE = re.compile(
    r"terminate called|what\(\):|Aborted|Segmentation|Sanitizer|PANIC|(EAL|ETHDEV|MBUF): ")

_counter = itertools.count()


class Failure(AssertionError):
    """A deadline passed, or a process ended that should not have."""


def wait_until(condition, what, deadline_s=None):
    """Calls condition() until it is true and returns its value."""
    deadline_s = DEADLINE_S if deadline_s is None else deadline_s
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"after {deadline_s:g} s still not: {what() if callable(what) else what}")
        time.sleep(POLL_S)


# Processes ---------------------------------------------------------------------------------------


class Process:
    """A program that was started; its output is in files."""

    def __init__(self, name, command, folder, environment, net_namespace=None):
        self.name = name
        self.command = [str(word) for word in command]
        if net_namespace:
            self.command = ["ip", "netns", "exec", net_namespace, *self.command]
        self._stdout, self._stderr = folder / f"{name}.out", folder / f"{name}.err"
        with open(self._stdout, "wb") as out, open(self._stderr, "wb") as err:
            self._popen = subprocess.Popen(  # a session of its own: Ctrl-C reaches only this group
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=environment, start_new_session=True)
        self.pid = self._popen.pid
        self.expected_status = 0  # at its end; None: whatever

    @property
    def stdout(self):
        return self._stdout.read_text(errors="replace")

    @property
    def stderr(self):
        """What it said, without terminal colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self._stderr.read_text(errors="replace"))

    @property
    def status(self):
        """Exit status, minus the signal that killed it, or None while it runs."""
        return self._popen.poll()

    def wait(self, deadline_s=None):
        """Waits for its end and returns the exit status."""
        deadline_s = DEADLINE_S if deadline_s is None else deadline_s
        try:
            return self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            pass
        raise Failure(f"{self.name} still runs after {deadline_s:g} s\n{self.report()}")

    def expect(self, status, deadline_s=None):
        """Waits for its end with that exit status."""
        got = self.wait(deadline_s)
        assert got == status, f"{self.name} ended with {got} instead of {status}\n{self.report()}"

    def expect_refusal(self, *words):
        """Waits until it ends by itself, with one clear line of error that has all the words."""
        status = self.expected_status = self.wait()
        assert status > 0, f"status {status}\n{self.report()}"
        lines = [line for line in self.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"\berror\b|^hbctl: ", line)]
        assert len(errors) == 1, f"{len(errors)} error lines\n{self.report()}"
        assert errors[0] == lines[-1], f"the error is not the last line\n{self.report()}"
        assert not NOISE.search(self.stderr), self.report()
        for word in words:
            assert word in errors[0], f"no '{word}' in: {errors[0]}"
        # What is wrong and what to do about it: more than a bare strerror.
        assert len(errors[0].split()) >= 6, errors[0]

    def signal(self, number):
        if self.status is None:
            os.kill(self.pid, number)

    def ctrl_c(self):
        """What a terminal does: SIGINT to the whole foreground group."""
        if self.status is None:
            os.killpg(self.pid, signal.SIGINT)

    def kill(self):
        """kill -9, and waits until the kernel has reported the death."""
        self.expected_status = None
        self.signal(signal.SIGKILL)
        self._popen.wait(DEADLINE_S)

    def report(self):
        end = "still runs" if self.status is None else f"ended with {self.status}"
        return (f"--- {' '.join(self.command)}\n--- {end}\n--- stdout\n{self.stdout[-2000:]}"
                f"--- stderr\n{self.stderr[-6000:]}")


def program_of(nf):
    """An NF's program; test-only ones lie in their own folder."""
    program = BUILD / "nfs" / nf
    return program if program.exists() else BUILD / "tests" / "nfs" / nf


class Platform:
    """A manager with its NFs, under a prefix that no other test has."""

    def __init__(self, folder, prefix=None, net_namespace=None):
        number = next(_counter)
        self.prefix = prefix or f"t{os.getpid()}-{number}"
        self.folder = Path(folder) / f"platform{number}"
        self.folder.mkdir()
        self.stats_file = self.folder / "stats.json"
        self.manager = None
        self.processes = []
        self._net_namespace = net_namespace
        self._names = itertools.count()

    # Starting

    def spawn(self, name, command, more_environment=None):
        """Starts a program that belongs to this platform."""
        environment = {**os.environ, MARK: self.prefix, **(more_environment or {})}
        process = Process(f"{next(self._names):02}-{name}", command, self.folder, environment,
                          self._net_namespace)
        self.processes.append(process)
        return process

    def spawn_manager(self, *args, gpu="none"):
        """Starts a manager and does not wait for it."""
        self.manager = self.spawn("manager", [
            BUILD / "bin" / "manager", "--prefix", self.prefix, "--stats", self.stats_file,
            "--gpu", gpu, *args])
        return self.manager

    def start_manager(self, *args, gpu="none"):
        """Starts a manager and waits until it takes NFs."""
        manager = self.spawn_manager(*args, gpu=gpu)
        self.wait_ready()
        return manager

    def wait_ready(self):
        """Waits until the manager answers."""
        self.wait_for(lambda status: True, "the manager answers")

    def spawn_nf(self, nf, *args, gpu=False, service=None):
        """Starts an NF and does not wait for it. Test-only NFs lie in their own folder."""
        command = [program_of(nf), "--prefix", self.prefix]
        command += ["--service", service] if service else []
        command += ["--gpu"] if gpu else []
        return self.spawn(service or nf, command + list(args))

    def start_nf(self, nf, *args, gpu=False, service=None):
        """Starts an NF and waits until it is running."""
        process = self.spawn_nf(nf, *args, gpu=gpu, service=service)
        self.wait_running(service or nf, process)
        return process

    def start_supervised(self, nf, *args, service=None, instances=1, restart="on-failure",
                         program=None):
        """Starts an NF as start_nf.sh does, and waits until all its instances are running."""
        command = [BUILD / "bin" / "nf_supervisor", program or program_of(nf), "--restart", restart,
                   "--instances", instances, "--prefix", self.prefix]
        command += ["--service", service] if service else []
        supervisor = self.spawn(f"{service or nf}-supervisor", command + list(args))
        self.wait_instances(service or nf, instances, supervisor)
        return supervisor

    def wait_instances(self, service, n, supervisor=None):
        """Waits until exactly n instances of the service are running, and no other is on its way."""
        def there(status):
            if supervisor:
                self.check_alive(supervisor)
            states = [nf["state"] for nf in self.instances(service, status).values()]
            return states.count("running") == n and not {"starting", "draining", "restarting"} & set(states)

        return self.wait_for(there, f"{n} instances of {service} are running")

    @staticmethod
    def instances(service, stats):
        """The service's entries in the statistics, by instance number."""
        return {nf["instance"]: nf for nf in stats["nfs"] if nf["service"] == service}

    def wait_running(self, service, process):
        def running(status):
            self.check_alive(process)
            return self.nf(service, status, pid=process.pid).get("state") == "running"

        self.wait_for(running, f"{service} is running")

    def write(self, name, text):
        """Writes a configuration file of this platform."""
        path = self.folder / name
        path.write_text(text)
        return path

    def capture(self, name, frames):
        return write_capture(self.folder / name, frames)

    # Asking

    def ask(self, op, **fields):
        """One request over the control socket; None when nobody answers."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(DEADLINE_S)
            try:
                client.connect(f"/run/hummingbird/{self.prefix}/control.sock")
                client.send(json.dumps({"op": op, **fields}).encode())
                reply = client.recv(1 << 20)
            except (FileNotFoundError, ConnectionError, BlockingIOError):  # the last: too many ask
                return None
        return json.loads(reply) if reply else None

    def status(self):
        reply = self.ask("status")
        return reply["status"] if reply and reply.get("ok") else None

    def hbctl(self, *words, status=0):
        """Runs hbctl to its end, which must have that exit status; returns what it printed."""
        done = subprocess.run([BUILD / "bin" / "hbctl", "--prefix", self.prefix, *words],
                              capture_output=True, text=True, timeout=DEADLINE_S)
        assert done.returncode == status, f"{words}: {done}\n{self.report()}"
        return done.stdout + done.stderr

    def audit(self):
        reply = self.ask("audit")
        if not reply or not reply.get("ok"):
            raise Failure(f"no audit but {reply}\n{self.report()}")
        return reply["audit"]

    def assert_audit(self):
        """Every packet of the pool is in exactly one place."""
        report = self.audit()
        assert report["ok"], f"{report}\n{self.report()}"

    @staticmethod
    def nf(service, stats, pid=None):
        """The entry of a service, of that process if a pid is given; the newest one, else {}."""
        found = [nf for nf in stats["nfs"]
                 if nf["service"] == service and pid in (None, nf.get("pid"))]
        return found[-1] if found else {}

    def check_alive(self, process):
        if process.status is not None:
            raise Failure(f"{process.name} ended with {process.status}\n{process.report()}")

    def wait_for(self, condition, what, deadline_s=None):
        """Waits until condition(statistics) is true; the manager must live until then."""
        last = None

        def check():
            nonlocal last
            self.check_alive(self.manager)
            last = self.status()
            return last is not None and condition(last) and last

        return wait_until(check, lambda: f"{what}; {json.dumps(last)}\n{self.report()}", deadline_s)

    def wait_traffic(self, packets=1000):
        """Waits until that many more packets than now have left through a port."""
        start = self.wait_for(lambda status: True, "status")
        sent = summed(start)["tx"]
        return self.wait_for(lambda status: summed(status)["tx"] >= sent + packets,
                             f"{packets} more packets are sent")

    def wait_works(self, service, packets=100):
        """Waits until that many more packets than now have left the service, by any instance: a new
        one may have the place of one that is gone, or another beside it."""
        def sent(status):
            return sum(nf["tx"] for nf in self.instances(service, status).values())

        start = sent(self.wait_for(lambda status: True, "status"))
        return self.wait_for(lambda status: sent(status) >= start + packets,
                             f"{packets} more packets leave {service}")

    def wait_state(self, service, state, deadline_s=None):
        return self.wait_for(lambda status: self.nf(service, status).get("state") == state,
                             f"{service} is {state}", deadline_s)

    # Ending

    def run(self, manager_args, nfs, gpu="none"):
        """Plays file ports through a chain to their end and returns the statistics.

        nfs are tuples of spawn_nf's arguments: (name, arguments..., {keywords}).
        """
        self.spawn_manager("--exit-when-drained", *manager_args, gpu=gpu)
        self.wait_ready()
        for nf in nfs:
            *words, keywords = nf if isinstance(nf[-1], dict) else (*nf, {})
            self.spawn_nf(*words, **keywords)
        return self.finish()

    def finish(self):
        """Waits until all have ended, checks accounting and traces, returns the statistics."""
        self.manager.expect(0)
        for process in self.processes:
            if process.expected_status is None:
                process.wait()
            else:
                process.expect(process.expected_status)
        stats = self.final_stats()
        assert_exact(stats)
        assert_nothing_left(self.prefix)
        return stats

    def stop(self):
        """Ctrl-C for the manager, then as finish()."""
        self.manager.ctrl_c()
        return self.finish()

    def final_stats(self):
        return json.loads(self.stats_file.read_text())

    def report(self):
        return "\n".join(process.report() for process in self.processes)

    def clean_up(self):
        """After a test, however it ended: kills by pid what is left, removes its files."""
        for process in self.processes:
            if process.status is None:
                process.kill()
        for pid in processes_of(self.prefix):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(lambda: not processes_of(self.prefix), "killed processes are gone")
        for path in files_of(self.prefix):
            subprocess.run(["rm", "-rf", str(path)], check=True)
