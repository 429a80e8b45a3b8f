#!/usr/bin/env python3
"""What a crash costs: instances of `forward` are killed one after another while another chain goes on.

gen -> victimK -> tx for some victims, and gen -> other -> tx, by flow; the victims' supervisors start
them again. Each has lived for ten seconds when it is killed, so that no back-off counts. For each kill:
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

LEAST_LIFE_S = 10.1


def routes(n):
    chains = [*(f"victim{k}" for k in range(n)), "other"]
    return "".join(f"t{service}, rx, {service}\nt{service}, {service}, tx\n" for service in chains)


def flows(n):
    """Four of the generator's 64 flows for each victim."""
    return "".join(f"tvictim{k}, 10.0.0.{4 * k}/30, *, *, *, *\n" for k in range(n)) + \
        "tother, *, *, *, *, *\n"


def sample(bench, service):
    """(time, packets the other chain took, packets the victim took, the victim's entry)"""
    status = bench.status()
    now = time.monotonic()
    victim = bench.instances(service, status)[0]
    return now, bench.nf("other", status)["rx"], victim["rx"], victim


def one_kill(bench, service, window_s):
    before = sample(bench, service)
    while (samples := [before, sample(bench, service)])[-1][0] - before[0] < window_s:
        pass
    old = samples[-1][3]["pid"]
    killed = time.monotonic()
    os.kill(old, signal.SIGKILL)
    at_kill = sample(bench, service)
    trail = [samples[-1], at_kill]
    back = None
    while back is None or trail[-1][0] - killed < window_s:
        trail.append(sample(bench, service))
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
    parser.add_argument("--victims", type=int, default=8)
    parser.add_argument("--window-ms", type=float, default=200)
    parser.add_argument("--rate", type=int, default=1_000_000, help="packets a second of the generator")
    parser.add_argument("--idle", default="adaptive", choices=["adaptive", "busy"])
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    kills = []
    with tempfile.TemporaryDirectory() as folder, started(folder) as bench:
        bench.start_manager("--port", f"gen:size=64,flows=64,rate={args.rate}", "--idle", args.idle,
                            "--routes", bench.write("routes.csv", routes(args.victims)),
                            "--flows", bench.write("flows.csv", flows(args.victims)))
        bench.start_nf("forward", service="other")
        born = {}
        for k in range(args.victims):
            bench.start_supervised("forward", service=f"victim{k}", restart="always")
            born[f"victim{k}"] = time.monotonic()
        for service in (*born, "other"):
            bench.wait_works(service)
        for i in range(args.kills):
            service = f"victim{i % args.victims}"
            time.sleep(max(0.0, born[service] + LEAST_LIFE_S - time.monotonic()))
            kills.append(one_kill(bench, service, args.window_ms / 1e3))
            print("kill      " + "  ".join(f"{key} {value:.3f}" for key, value in kills[-1].items()),
                  flush=True)
            bench.wait_instances(service, 1)
            born[service] = time.monotonic()
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
