#!/usr/bin/env python3
"""What a crash costs: a restarted `forward` is killed again and again while another chain goes on.

gen -> victim -> tx and gen -> other -> tx, by flow; the victim's supervisor starts it again. For each kill:
  restart    from the kill until the successor has taken a packet
  neighbour  the other chain's rate over --window-ms from the kill on, against the same time before it
  standstill the longest time around the kill in which the other chain's count did not move, as seen by
             asking the manager again and again: what asking takes is the least that can be seen
"""

import argparse
import json
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

from platform_bench import machine, started

ROUTES = "a, rx, victim\na, victim, tx\nb, rx, other\nb, other, tx\n"
FLOWS = "a, 10.0.0.0/27, *, *, *, *\nb, *, *, *, *, *\n"


def sample(bench):
    """(time, packets the other chain took, packets the victim took, the victim's entry)"""
    status = bench.status()
    now = time.monotonic()
    victim = bench.instances("victim", status)[0]
    return now, bench.nf("other", status)["rx"], victim["rx"], victim


def one_kill(bench, window_s):
    before = sample(bench)
    while (samples := [before, sample(bench)])[-1][0] - before[0] < window_s:
        pass
    old = samples[-1][3]["pid"]
    killed = time.monotonic()
    os.kill(old, signal.SIGKILL)
    at_kill = sample(bench)
    trail = [samples[-1], at_kill]
    back = None
    while back is None or trail[-1][0] - killed < window_s:
        trail.append(sample(bench))
        entry = trail[-1][3]
        if back is None and entry["pid"] not in (0, None, old) and entry["state"] == "running" \
                and trail[-1][2] > trail[-2][2]:
            back = trail[-1][0]
    after = next(s for s in trail if s[0] - killed >= window_s)
    rate_before = (samples[-1][1] - before[1]) / (samples[-1][0] - before[0])
    rate_after = (after[1] - at_kill[1]) / (after[0] - at_kill[0])
    standstill, moved_at, moved = 0.0, trail[0][0], trail[0][1]
    for now, other, _, _ in trail:
        if other != moved:
            standstill = max(standstill, now - moved_at)
            moved_at, moved = now, other
    return {"restart_ms": (back - killed) * 1e3, "neighbour": rate_after / rate_before,
            "standstill_ms": standstill * 1e3}


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--window-ms", type=float, default=200)
    parser.add_argument("--rate", type=int, default=1_000_000, help="packets a second of the generator")
    parser.add_argument("--idle", default="adaptive", choices=["adaptive", "busy"])
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    kills = []
    with tempfile.TemporaryDirectory() as folder, started(folder) as bench:
        bench.start_manager("--port", f"gen:size=64,flows=64,rate={args.rate}", "--idle", args.idle,
                            "--routes", bench.write("routes.csv", ROUTES),
                            "--flows", bench.write("flows.csv", FLOWS))
        bench.start_supervised("forward", service="victim", restart="always")
        bench.start_nf("forward", service="other")
        bench.wait_works("victim")
        bench.wait_works("other")
        for _ in range(args.kills):
            kills.append(one_kill(bench, args.window_ms / 1e3))
            bench.wait_instances("victim", 1)
            time.sleep(2.1)  # a life of less than 2 s would count towards a crash loop
    rows = {}
    for key in ("restart_ms", "neighbour", "standstill_ms"):
        values = [kill[key] for kill in kills]
        rows[key] = {"median": statistics.median(values), "p99": percentile(values, 0.99),
                     "low": min(values), "high": max(values)}
        print(f"recovery  {key:14} median {rows[key]['median']:8.3f}  p99 {rows[key]['p99']:8.3f}  "
              f"[{rows[key]['low']:.3f} .. {rows[key]['high']:.3f}]  {len(values)} kills")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "idle": args.idle, "rate": args.rate,
                                         "figures": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
