#!/usr/bin/env python3
"""Long lives of GPU NFs, compressed: adds, removes, resizes and reloads them at random under traffic.

Usage: gpu_lives.py [--minutes M] [--seed N] [--syncers N]

Checks that nothing gets stuck (every step has a deadline), that every audit under way places every
packet, and that at the end packets in = out + counted drops and the pool is whole.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import BUILD, Failure, Platform, REPO, hugepages_missing, summed  # noqa: E402

NAMES = ["a", "b", "c", "d"]
KERNEL = REPO / "examples" / "static_nat" / "static_nat.cl"
MOST_WORK_GROUPS = 8


class Lives:
    """The platform and what runs on it."""

    def __init__(self, folder, seed, syncers):
        self.random = random.Random(seed)
        self.platform = Platform(folder)
        self.syncers = syncers
        self.running = {}  # name: (process, has a table)
        self.done = dict.fromkeys(("add", "remove", "kill", "resize", "refused", "reload"), 0)
        self.tables = [self.platform.folder / f"table{i}" for i in range(3)]
        for i, table in enumerate(self.tables):
            table.write_bytes(bytes([i, 0, 0, 0]) + bytes(8 * i))

    def start(self):
        self.platform.start_manager("--port", "null:size=200", "--syncers", str(self.syncers),
                                    gpu="opencl")
        self.platform.start_nf("forward", service="cpu")
        self.platform.wait_traffic()

    def hbctl(self, *words):
        return subprocess.run([BUILD / "bin" / "hbctl", *map(str, words), "--prefix",
                               self.platform.prefix], capture_output=True, text=True, check=False,
                              timeout=300)

    def used(self):
        return sum(len(s["workgroups"]) for s in self.platform.status()["gpu"]["slices"])

    def add(self):
        free = MOST_WORK_GROUPS - self.used()
        names = [name for name in NAMES if name not in self.running]
        if not names or free < self.syncers:
            return
        name = self.random.choice(names)
        n = str(self.random.randint(self.syncers, max(self.syncers, min(3, free))))
        custom = self.random.random() < 0.5
        words = (["gpu_custom", "--kernel", KERNEL, "--table", self.tables[0]] if custom
                 else ["forward"])
        process = self.platform.spawn_nf(*words, "--workgroups", n, service=name, gpu=True)
        try:
            self.platform.wait_running(name, process)
        except Failure:
            # With two CPUSyncers the free ones may all be the same one's.
            if process.wait() != 1 or "are wanted" not in process.stderr:
                raise
            process.expected_status = 1
            self.done["refused"] += 1
            return
        self.running[name] = (process, custom)
        self.done["add"] += 1

    def remove(self):
        if not self.running:
            return
        name = self.random.choice(sorted(self.running))
        process, _ = self.running.pop(name)
        if self.random.random() < 0.3:
            process.kill()
            self.done["kill"] += 1
        else:
            process.ctrl_c()
            process.expect(0, 60)
            self.done["remove"] += 1
        self.platform.wait_for(
            lambda status: all(s["service"] != name for s in status["gpu"]["slices"]),
            f"{name}'s slice is given back", 60)

    def resize(self):
        if not self.running:
            return
        name = self.random.choice(sorted(self.running))
        n = self.random.randint(1, 6)
        said = self.hbctl("gpu", "resize", name, n)
        if said.returncode == 0:
            self.done["resize"] += 1
        else:
            assert "are wanted" in said.stderr or "at least" in said.stderr, said
            self.done["refused"] += 1

    def reload(self):
        names = [name for name, (_, custom) in sorted(self.running.items()) if custom]
        if not names:
            return
        words = self.random.choice([("--table", self.random.choice(self.tables)),
                                    ("--kernel", KERNEL)])
        said = self.hbctl("reload", self.random.choice(names), *words)
        assert said.returncode == 0 and "version" in said.stdout, said
        self.done["reload"] += 1

    def audit(self):
        self.platform.assert_audit()

    def run(self, minutes):
        end = time.monotonic() + 60 * minutes
        steps = [self.add, self.add, self.remove, self.resize, self.resize, self.reload, self.audit]
        while time.monotonic() < end:
            step = self.random.choice(steps)
            step()
            self.platform.wait_traffic(100)
            for process, _ in self.running.values():
                self.platform.check_alive(process)
        stats = self.platform.stop()
        print(f"seed done: {self.done}; {summed(stats)}")
        assert all(self.done[what] for what in ("add", "remove", "resize", "reload")), self.done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--syncers", type=int, default=1)
    options = parser.parse_args()
    if why := hugepages_missing():
        print(why)
        return 77
    with tempfile.TemporaryDirectory() as folder:
        lives = Lives(folder, options.seed, options.syncers)
        try:
            lives.start()
            lives.run(options.minutes)
        finally:
            lives.platform.clean_up()
    return 0


if __name__ == "__main__":
    sys.exit(main())
