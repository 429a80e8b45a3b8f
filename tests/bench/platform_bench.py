#!/usr/bin/env python3
"""Rates of the whole platform on this machine: real processes, counters of the manager.

  chain     null -> forward x N -> null, N = 1..5, 64-byte packets
  gpu-nids  captured HTTP traffic in a loop through nids on the device and on the CPU
  start     time from start to ready (manager), and to the first packet received (NF)
  rx        CPU time of the RX thread for a packet, null -> null, with --overload early against late,
            and, with --against, this build against another; both in turn, as ratios
  reload    how long a change of routes under traffic holds packets, and takes in all: null -> a -> b

Prints a line for each, and writes them with the machine to --json. A rate is the median of
--windows windows of a second each; beside it the smallest and the largest.
"""

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import harness  # noqa: E402

WINDOW_S = 1.0
ALL = ("chain", "gpu-nids", "start", "rx", "reload")


def machine():
    """What the figures depend on."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), "unknown")
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release()}


def received(bench, service):
    status = bench.status()
    return bench.nf(service, status)["rx"], time.monotonic()


def rate(bench, service, windows):
    """Packets per second that a service takes: (median, smallest, largest)."""
    bench.wait_works(service)
    rates = []
    before = received(bench, service)
    for _ in range(windows):
        time.sleep(WINDOW_S)  # the window that is measured
        now = received(bench, service)
        rates.append((now[0] - before[0]) / (now[1] - before[1]))
        before = now
    return statistics.median(rates), min(rates), max(rates)


@contextlib.contextmanager
def started(folder):
    """A platform that is stopped, and checked, at the end; after an error it is only cleaned up."""
    bench = harness.Platform(folder)
    try:
        yield bench
        bench.stop()
    finally:
        bench.clean_up()


def run_chain(folder, windows, idle, threads):
    rows = []
    for n in range(1, 6):
        with started(folder) as bench:
            bench.start_manager("--port", "null:size=64", "--idle", idle, *threads)
            for i in range(n):
                bench.start_nf("forward", service=f"forward{i}")
            median, low, high = rate(bench, f"forward{n - 1}", windows)
        rows.append({"bench": "chain", "forwards": n, "mpps": median / 1e6, "low": low / 1e6,
                     "high": high / 1e6})
        print(f"chain     {n} x forward  {median / 1e6:7.3f} Mpps  [{low / 1e6:.3f} .. {high / 1e6:.3f}]")
    return rows


def run_nids(folder, windows, idle):
    rows = []
    capture = harness.CAPTURES / "zeek-http_byteranges.pcap"
    rules = harness.CAPTURES.parent / "demo.rules"
    for gpu in (False, True):
        port = f"vdev:net_pcap0,rx_pcap={capture},infinite_rx=1"
        with started(folder) as bench:
            bench.start_manager("--port", port, "--idle", idle, gpu="opencl" if gpu else "none")
            bench.start_nf("nids", "--rules", rules, "--alerts", "/dev/null", gpu=gpu)
            median, low, high = rate(bench, "nids", windows)
        frames = harness.read_capture(capture)
        mean_bytes = sum(map(len, frames)) / len(frames)
        where = "gpu" if gpu else "cpu"
        rows.append({"bench": "nids", "compute": where, "mpps": median / 1e6, "low": low / 1e6,
                     "high": high / 1e6, "gbps": median * mean_bytes * 8 / 1e9})
        print(f"nids      {where}          {median / 1e6:7.3f} Mpps  "
              f"{median * mean_bytes * 8 / 1e9:6.2f} Gbps  [{low / 1e6:.3f} .. {high / 1e6:.3f}]")
    return rows


def run_start(folder, tries):
    ready, attached = [], []
    for _ in range(tries):
        with started(folder) as bench:
            begin = time.monotonic()
            bench.start_manager("--port", "null")
            ready.append(time.monotonic() - begin)
            begin = time.monotonic()
            bench.spawn_nf("forward")
            bench.wait_for(lambda s, b=bench: b.nf("forward", s).get("rx", 0) > 0, "forward receives")
            attached.append(time.monotonic() - begin)
    rows = []
    for name, values in (("manager ready", ready), ("NF receives", attached)):
        rows.append({"bench": "start", "what": name, "seconds": statistics.median(values),
                     "low": min(values), "high": max(values)})
        print(f"start     {name:14} {statistics.median(values):.3f} s  "
              f"[{min(values):.3f} .. {max(values):.3f}]")
    return rows


def rx_cpu_seconds(pid):
    """CPU time of the manager's RX thread: lcore 2."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text().strip().endswith("worker-2"):
            return int((task / "schedstat").read_text().split()[0]) / 1e9
    raise RuntimeError("no RX thread")


def rx_cost(folder, build, words):
    """Nanoseconds of the RX thread for each packet, over one window."""
    harness.BUILD = Path(build)
    with started(folder) as bench:
        routes = bench.write("routes.csv", "*, rx, tx\n")
        bench.start_manager("--port", "null:size=64", "--idle", "busy", "--routes", routes, *words)
        bench.wait_traffic(100_000)
        count = lambda: bench.status()["ports"][0]["rx_packets"]  # noqa: E731
        before, cpu = count(), rx_cpu_seconds(bench.manager.pid)
        time.sleep(WINDOW_S)  # the window that is measured
        return (rx_cpu_seconds(bench.manager.pid) - cpu) * 1e9 / (count() - before)


def run_rx(folder, windows, against):
    own = harness.BUILD
    pairs = [("itself", own, [], own, []),
             ("early against late", own, [], own, ["--overload", "early"])]
    if against:
        pairs.append(("this against the other build", against, [], own, []))
    rows = []
    for name, base, base_words, other, other_words in pairs:
        ratios, costs, base_costs = [], [], []
        for _ in range(windows):
            base_costs.append(rx_cost(folder, base, base_words))
            costs.append(rx_cost(folder, other, other_words))
            ratios.append(base_costs[-1] / costs[-1])
        harness.BUILD = own
        quartiles = statistics.quantiles(ratios, n=4)
        rows.append({"bench": "rx", "what": name, "ratio": quartiles[1], "low": quartiles[0],
                     "high": quartiles[2], "ns": statistics.median(costs),
                     "base_ns": statistics.median(base_costs)})
        print(f"rx        {name:30} {quartiles[1]:5.2f}x  [{quartiles[0]:.2f} .. {quartiles[2]:.2f}]  "
              f"{statistics.median(base_costs):.1f} -> {statistics.median(costs):.1f} ns a packet")
    return rows


def run_reload(folder, tries, idle):
    changes = []
    with started(folder) as bench:
        routes = bench.write("routes.csv", "*, rx, a\n*, a, b\n*, b, tx\n")
        bench.start_manager("--port", "null:size=64", "--idle", idle, "--routes", routes)
        for service in ("a", "b"):
            bench.start_nf("forward", service=service)
        bench.wait_works("b")
        for i in range(10 * tries):
            bench.wait_traffic(1000)
            reply = bench.ask("change", what="replace", type="*", current="a", next=["tx", "b"][i % 2])
            changes.append(reply["change"])
    rows = []
    for what, key in (("held for", "hold_us"), ("in all", "total_us"), ("packets held", "n_held")):
        values = [change[key] for change in changes]
        rows.append({"bench": "reload", "what": what, "median": statistics.median(values),
                     "low": min(values), "high": max(values)})
        unit = "" if key == "n_held" else " us"
        print(f"reload    {what:14} {statistics.median(values):9.0f}{unit}  "
              f"[{min(values)} .. {max(values)}]  {len(values)} changes")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=list(ALL), help="default: all")
    parser.add_argument("--against", type=Path, help="of rx: the build folder of another tree")
    parser.add_argument("--windows", type=int, default=5, help="windows, or tries, for each figure")
    parser.add_argument("--idle", default="adaptive", choices=["adaptive", "busy"])
    parser.add_argument("--rx-threads", type=int, default=1, help="of chain")
    parser.add_argument("--tx-threads", type=int, default=1, help="of chain")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    if unknown := set(args.what) - set(ALL):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if "chain" in args.what:
            rows += run_chain(folder, args.windows, args.idle,
                              ["--rx-threads", args.rx_threads, "--tx-threads", args.tx_threads])
        if "gpu-nids" in args.what:
            rows += run_nids(folder, args.windows, args.idle)
        if "start" in args.what:
            rows += run_start(folder, args.windows)
        if "rx" in args.what:
            rows += run_rx(folder, args.windows, args.against)
        if "reload" in args.what:
            rows += run_reload(folder, args.windows, args.idle)
    if args.json:
        revision = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, text=True,
                                  capture_output=True, check=False).stdout.strip()
        args.json.write_text(json.dumps({"machine": machine(), "revision": revision,
                                         "idle": args.idle, "figures": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
