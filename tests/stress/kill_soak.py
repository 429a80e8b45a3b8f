#!/usr/bin/env python3
"""Kills processes of every kind but the manager at random, under traffic, and looks at what is left.

Usage: kill_soak.py [--minutes M] [--kills K] [--seed N] [--verbose]

Ends after M minutes or K kills, whichever comes first. Several victims at a time get SIGKILL,
SIGSEGV or SIGSTOP: CPU NFs, control processes of GPU NFs, gpu_host, supervisors. Restart policies
bring them back. After each batch an audit must place every packet of the pool once. At the end
packets in = out + counted drops + lost in crashes, the pool is whole, no packet came home twice,
and the manager is the process that was started, no larger than it was.
"""

import argparse
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
os.environ.setdefault("HB_E2E_DEADLINE_SCALE", "4")  # many processes start at once, all the time

from harness import (BUILD, CAPTURES, Failure, MARK, Platform, hugepages_missing,  # noqa: E402
                     pid_of_gpu_host, program_of, summed)

ROUTES = """*, rx, first
*, first, steer
*, steer, gpu
odd, steer, holder
odd, holder, join
*, gpu, join
*, source, join
*, join, ids
*, ids, last
*, last, tx
"""
RULES = """alert udp any any -> any any (msg:"a request"; content:"GET "; sid:1;)
alert udp any any -> any any (msg:"an answer"; content:"200 OK"; sid:2;)
"""
PAYLOAD = CAPTURES / "zeek-http_methods.pcap"

SIGNALS = [signal.SIGKILL] * 5 + [signal.SIGSEGV] * 3 + [signal.SIGSTOP] * 2
# A stopped process for which no packet waits is not hung, and nobody but this program ends it.
STOPPED_S = 3.0
# The back-off after short lives would soon be 10 s; a gpu_host dies seldom enough to be spared it.
GPU_HOST_LIFE_S = 10.5
SUPERVISOR_EVERY = 40  # kills of others
# Young allocators grow: what counts is growth after this share of the kills.
WARM_UP = 0.2
GROWTH_KIB = 2048


class Victim:
    """A process that is about to be killed, held by its pidfd so that no other can be hit."""

    def __init__(self, pid, kind):
        self.pid, self.kind = pid, kind
        self.fd = os.pidfd_open(pid)
        self.stopped_at = None

    def send(self, number):
        signal.pidfd_send_signal(self.fd, number)

    def has_ended(self):
        return bool(select.select([self.fd], [], [], 0)[0])

    def close(self):
        os.close(self.fd)


class Soak:
    """The platform, its supervisors, and who has been killed."""

    def __init__(self, folder, seed, verbose):
        self.random = random.Random(seed)
        self.platform = Platform(folder)
        self.verbose = verbose
        self.kills = Counter()  # (kind, signal): how often
        self.audits = Counter()
        self.stopped = []
        self.killed = set()  # pids that may still be shown as running
        self.since_supervisor = 0
        self.gpu_host = (0, 0.0)  # pid, when it was first seen ready
        self.memory = []
        rules = self.platform.write("soak.rules", RULES)
        alerts = self.platform.folder / "alerts.json"
        self.services = {  # name: what start_nf.sh would be given
            "first": ["forward", "--instances", "2"],
            "steer": ["steer", "--instances", "2", "--every", "3", "--type", "odd"],
            "holder": ["holder", "--every", "4", "--release", "tick"],
            "source": ["source", "--count", "2000"],
            "join": ["forward", "--instances", "2"],
            "last": ["forward"],
            "gpu": ["forward", "--gpu", "--workgroups", "2"],
            "ids": ["nids", "--gpu", "--workgroups", "2", "--rules", rules, "--alerts", alerts],
        }
        self.supervisors = {}

    def n_kills(self):
        return sum(self.kills.values())

    def start(self):
        routes = self.platform.write("routes.csv", ROUTES)
        self.platform.start_manager(
            "--routes", routes, "--nf-timeout", "100", "--pool", "8192",
            "--missing-nf", self.random.choice(["drop", "skip"]),
            "--port", f"gen:size=400,flows=64,payload={PAYLOAD},rate=20000", gpu="opencl")
        for service in self.services:
            self.supervise(service)
        self.wait_all()

    def supervise(self, service):
        nf, *words = self.services[service]
        self.supervisors[service] = self.platform.spawn(f"{service}-supervisor", [
            BUILD / "bin" / "nf_supervisor", program_of(nf), "--prefix", self.platform.prefix,
            "--service", service, "--restart", "always", "--restart-wait", "0",
            "--restart-limit", "0", *words])
        self.supervisors[service].expected_status = None

    # Who there is to kill

    def candidates(self, status):
        """(pid, kind) of all that run and are not dying or stopped."""
        found = [(nf["pid"], "control process" if nf["compute"] == "gpu" else "CPU NF")
                 for nf in status["nfs"] if nf["state"] == "running" and nf["pid"]]
        if status["gpu"]["state"] == "ready" and (pid := pid_of_gpu_host(self.platform)):
            if pid != self.gpu_host[0]:
                self.gpu_host = (pid, time.monotonic())
            if time.monotonic() - self.gpu_host[1] > GPU_HOST_LIFE_S:
                found.append((pid, "gpu_host"))
        if self.since_supervisor >= SUPERVISOR_EVERY:
            found += [(process.pid, "supervisor") for process in self.supervisors.values()
                      if process.status is None]
        # A pid comes round again only after thousands of others: what is gone may be forgotten.
        self.killed &= {pid for pid, _ in found}
        stopped = {victim.pid for victim in self.stopped}
        return [(pid, kind) for pid, kind in found if pid not in self.killed | stopped]

    # Killing

    def kill_some(self, status):
        """@return how many signals were sent"""
        there = self.candidates(status)
        if not there:
            return 0
        chosen = self.random.sample(there, self.random.randint(1, len(there)))
        supervisors = [c for c in chosen if c[1] == "supervisor"]
        chosen = [c for c in chosen if c[1] != "supervisor"] + supervisors[:1]
        sent = 0
        for pid, kind in chosen:
            # A stopped supervisor would have to be found out by somebody: nobody does.
            number = self.random.choice(SIGNALS[:8] if kind == "supervisor" else SIGNALS)
            sent += self.kill(pid, kind, number)
        return sent

    def kill(self, pid, kind, number):
        try:
            victim = Victim(pid, kind)
        except ProcessLookupError:
            return 0
        if not _is_ours(pid, self.platform.prefix):
            victim.close()
            return 0
        victim.send(number)
        self.kills[kind, number.name] += 1
        if kind == "supervisor":
            self.since_supervisor = 0
        else:
            self.since_supervisor += 1
        if number == signal.SIGSTOP:
            victim.stopped_at = time.monotonic()
            self.stopped.append(victim)
        else:
            self.killed.add(pid)
            victim.close()
        return 1

    def end_stopped(self, all_of_them=False):
        """The manager kills those for which packets wait; this ends the others."""
        left = []
        for victim in self.stopped:
            if not victim.has_ended():
                if not all_of_them and time.monotonic() - victim.stopped_at < STOPPED_S:
                    left.append(victim)
                    continue
                victim.send(signal.SIGKILL)
            victim.close()
        self.stopped = left

    def revive(self, status):
        """New supervisors for services of which all processes have gone with the old one."""
        for service, process in self.supervisors.items():
            if process.status is None:
                continue
            if process.status >= 0:
                raise Failure(f"{process.name} gave up\n{process.report()}")
            if not any(nf["pid"] for nf in status["nfs"] if nf["service"] == service):
                self.platform.processes.remove(process)
                self.supervise(service)

    # Looking

    def audit(self):
        report = self.platform.audit()
        self.audits["settled" if report["quiesced"] else "while packets moved"] += 1
        if not report["ok"]:
            raise Failure(f"{report}\n{self.platform.report()}")
        self.memory.append((self.n_kills(), *self.size_of_manager()))

    def size_of_manager(self):
        """KiB resident, and open files."""
        folder = Path(f"/proc/{self.platform.manager.pid}")
        words = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return int(words["VmRSS"].split()[0]), len(list((folder / "fd").iterdir()))

    def check(self, status):
        assert status["refused"] == {"double_returns": 0, "bad_pointers": 0}, status["refused"]
        assert status["gpu"]["state"] != "failed", status["gpu"]

    def step(self):
        status = self.platform.wait_for(lambda _: True, "the manager answers")
        self.check(status)
        self.end_stopped()
        self.revive(status)
        if self.kill_some(status):
            self.audit()
        if self.verbose and self.random.random() < 0.02:
            print(self.summary(), flush=True)

    def run(self, minutes, most):
        end = time.monotonic() + 60 * minutes
        start = time.monotonic()
        while time.monotonic() < end and self.n_kills() < most:
            self.step()
        took_s = time.monotonic() - start
        self.calm_down()
        stats = self.platform.stop()
        self.check_growth()
        print(self.summary())
        lost = sum(nf["lost_in_crash"] for nf in stats["nfs"])
        print(f"{self.n_kills()} kills in {took_s:.0f} s; {lost} packets lost in crashes of "
              f"{summed(stats)['rx']} received; missing NF: {stats['drops'].get('missing_nf', 0)}")

    def wait_all(self):
        def all_there(status):
            self.check(status)
            self.revive(status)
            running = Counter(nf["service"] for nf in status["nfs"] if nf["state"] == "running")
            return all(running[service] for service in self.services)

        self.platform.wait_for(all_there, "all services run")

    def calm_down(self):
        """All live again, and packets pass through each of them."""
        self.end_stopped(all_of_them=True)
        self.wait_all()
        before = self.sent_by(self.platform.status())
        self.platform.wait_for(
            lambda status: all(n >= before[service] + 10 for service, n in
                               self.sent_by(status).items() if service != "source"),
            "packets leave every service")
        self.audit()

    @staticmethod
    def sent_by(status):
        """Packets that each service has passed on, all its instances together."""
        sent = Counter()
        for nf in status["nfs"]:
            sent[nf["service"]] += nf["tx"]
        return sent

    def check_growth(self):
        """The manager is no larger than it was early on, but for noise."""
        warm = [entry for entry in self.memory if entry[0] >= WARM_UP * self.n_kills()]
        first, last = warm[0], warm[-1]
        assert last[1] - first[1] < GROWTH_KIB, f"grown from {first[1]} to {last[1]} KiB"
        assert last[2] <= max(files for _, _, files in warm[:len(warm) // 2 + 1]) + 8, (first, last)

    def summary(self):
        kinds = {}
        for (kind, number), n in sorted(self.kills.items()):
            kinds.setdefault(kind, []).append(f"{n} {number}")
        killed = "; ".join(f"{kind}: {', '.join(words)}" for kind, words in kinds.items())
        warm = [entry for entry in self.memory if entry[0] >= WARM_UP * self.n_kills()]
        size = f"manager {warm[0][1]} -> {warm[-1][1]} KiB, {warm[-1][2]} files" if warm else ""
        return f"{self.n_kills()} kills ({killed}); audits ok: {dict(self.audits)}; {size}"


def _is_ours(pid, prefix):
    try:
        return f"{MARK}={prefix}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--kills", type=int, default=1 << 62)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verbose", action="store_true", help="say now and then how it goes")
    options = parser.parse_args()
    if why := hugepages_missing():
        print(why)
        return 77
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(folder, options.seed, options.verbose)
        try:
            soak.start()
            soak.run(options.minutes, options.kills)
        except (AssertionError, OSError):  # the last: of a manager that has died, among others
            manager = soak.platform.manager
            if manager:
                print(soak.summary(), manager.stderr[-200_000:],
                      f"the manager's exit status: {manager.status}", sep="\n", flush=True)
            raise
        finally:
            soak.end_stopped(all_of_them=True)
            soak.platform.clean_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
