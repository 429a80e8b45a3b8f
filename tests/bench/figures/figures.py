#!/usr/bin/env python3
"""The paper's figures on the device that is here: JSON with the machine, and plots beside it.

  limits  what the device and its bus can do: hb_doctor
  fig3    zero-copy persistent kernel against copy, launch, copy, by packet size
  fig4    CPUSyncer threads x RX threads for one and two GPU NFs
  fig5    each NF on the CPU and on the GPU
  fig6    chain IPsec, NIDS, router with the NIDS on the GPU against the CPU
  fig7    dynamic chains, 50/50 and 93/7, against the static chain with the same work
  fig8    throughput of a GPU NF per watt
  elastic work-groups that follow the load against each fixed split, two GPU NFs at 93/7

Every figure is taken --runs times: median, smallest, largest. A platform's throughput is its rate
under overload and the highest rate without a loss (RFC 2544, by bisection), with the latency from RX
to TX at that rate. Traffic is generated (gen: ports), and so said in the JSON. What can't be
measured here is listed under "missing" with the reason, never estimated.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from chains import run_elastic, run_fig6, run_fig7
from measure import (counters, harness, ipsec_options, machine, nids_options, output, report,
                     setup_of, spread, throughput)

ALL = ["limits", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "elastic"]


def doctor(args, *more):
    text = subprocess.run([harness.BUILD / "bin" / "hb_doctor", "--json", "--seconds",
                           str(args.seconds / 2), *more], text=True, capture_output=True,
                          timeout=240, check=False).stdout
    report = json.loads(text)
    for device in report["devices"]:
        if "error" not in device:
            return device
    raise harness.Failure(f"hb_doctor finds no device that works: {report}")


# Limits and figure 3 -------------------------------------------------------------------------------

def run_limits(args, results):
    runs = [doctor(args, "--sizes", "64,1472") for _ in range(args.runs)]
    rows = {}
    for key, pick in {
            "ping_pong_us": lambda d: d["ping_pong"]["p50_us"],
            "copy_in_gbps": lambda d: d["copies"]["in_gbps"],
            "copy_out_gbps": lambda d: d["copies"]["out_gbps"],
            "slots_mpps": lambda d: d["rates"][0]["slots_only"]["mpps"],
            "read_gbps": lambda d: d["rates"][-1]["read"]["gbps"],
            "read_write_gbps": lambda d: d["rates"][-1]["read_write"]["gbps"]}.items():
        with contextlib.suppress(KeyError):
            rows[key] = spread([pick(run) for run in runs])
    results["limits"] = {"device": runs[0]["name"], "memory_mode": runs[0]["memory_mode"],
                         "shape": runs[0]["shape"], **rows}
    for key, row in rows.items():
        print(f"limits  {key:18} {row['median']:9.2f}  [{row['low']:.2f} .. {row['high']:.2f}]")


def run_fig3(args, results):
    rows = []
    for rounds in (1, 2, 4):
        runs = [doctor(args, "--sizes", "64,256,512,1024,1472", "--rounds", str(rounds))
                for _ in range(args.runs)]
        for i, size in enumerate((64, 256, 512, 1024, 1472)):
            for way in ("read_write", "staged_read_write"):
                found = [run["rates"][i][way] for run in runs if way in run["rates"][i]]
                found = [one for one in found if "error" not in one]
                if not found:
                    continue
                row = {"bytes": size, "way": way, "rounds_in_flight": rounds,
                       "gbps": spread([one["gbps"] for one in found]),
                       "mpps": spread([one["mpps"] for one in found]),
                       "round_p99_us": spread([one["round_p99_us"] for one in found])}
                rows.append(row)
                print(f"fig3    {size:5} B  {way:18} {rounds} rounds "
                      f"{row['gbps']['median']:8.2f} Gbps  p99 {row['round_p99_us']['median']:9.1f} us")
    results["fig3"] = rows


# The whole platform --------------------------------------------------------------------------------

def run_fig4(args, folder, results):
    rows = []
    for n_nfs in (1, 2):
        nfs = [("forward", True, f"forward{i}", ()) for i in range(n_nfs)]
        for syncers in args.syncers:
            for rx_threads in args.rx:
                row = {"gpu_nfs": n_nfs, "syncers": syncers, "rx_threads": rx_threads, "bytes": 64,
                       **throughput(args, folder, setup_of(args, nfs, 64, syncers, rx_threads))}
                rows.append(row)
                report("fig4", f"{n_nfs} NFs, {syncers} CPUSyncers, {rx_threads} RX threads", row)
    results["fig4"] = rows


def run_fig5(args, folder, results):
    rows = []
    for size in (64, 512, 1472):
        for nf, options, payload in (("forward", (), None),
                                     ("nids", nids_options(args), args.payload),
                                     ("ipsec", ipsec_options(folder), None)):
            for on_gpu in (False, True):
                # An SA's packets are one CPUSyncer's: with more, ipsec has a part of the device.
                syncers = 1 if nf == "ipsec" else max(args.syncers)
                setup = setup_of(args, [(nf, on_gpu, nf, options)], size, syncers, max(args.rx),
                                 payload)
                row = {"nf": nf, "compute": "gpu" if on_gpu else "cpu", "bytes": size,
                       "syncers": syncers,
                       **throughput(args, folder, setup)}
                rows.append(row)
                report("fig5", f"{nf} on {row['compute']}, {size} B", row)
    results["fig5"] = rows


def watts():
    text = output("nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits")
    return float(text.splitlines()[0]) if text else None


def run_fig8(args, folder, results):
    if watts() is None:
        results["missing"]["fig8"] = "no NVIDIA card reports its power here"
        return
    setup = setup_of(args, [("nids", True, "nids", nids_options(args))], 1472, max(args.syncers),
                     max(args.rx), args.payload)
    port = f"gen:size=1472,flows=4096,payload={args.payload}"
    bench = harness.Platform(folder)
    try:
        bench.start_manager("--port", port, "--idle", args.idle, *setup["manager"], gpu=args.gpu)
        bench.start_nf("nids", *nids_options(args), "--workgroups", str(args.workgroups), gpu=True)
        bench.wait_works("nids")
        samples = []
        before = counters(bench.status())
        for _ in range(5):
            time.sleep(args.seconds / 5)
            samples.append(watts())
        after = counters(bench.status())
        bench.stop()
    finally:
        bench.clean_up()
    gbps = (after[0] - before[0]) / (after[2] - before[2]) * 1472 * 8e-9
    results["fig8"] = {"nf": "nids", "bytes": 1472, "gbps": gbps, "watts": spread(samples),
                       "gbps_per_watt": gbps / statistics.median(samples)}
    rapl = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
    if not os.access(rapl, os.R_OK):
        results["missing"]["fig8 CPU power"] = "RAPL can't be read here"
    print(f"fig8    nids on gpu: {gbps:.1f} Gbps at {statistics.median(samples):.0f} W, "
          f"{gbps / statistics.median(samples):.3f} Gbps per watt")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help=f"of {', '.join(ALL)} (default: all)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measured window")
    parser.add_argument("--idle", default="busy" if os.cpu_count() >= 8 else "adaptive",
                        choices=["adaptive", "busy"])
    parser.add_argument("--gpu", default="auto", choices=["auto", "cuda", "opencl"])
    parser.add_argument("--no-loss-free", dest="loss_free", action="store_false",
                        help="rates under overload only")
    parser.add_argument("--syncers", type=int, nargs="+",
                        default=[1, 2, 4] if os.cpu_count() >= 8 else [1])
    parser.add_argument("--rx", type=int, nargs="+",
                        default=[1, 2, 4] if os.cpu_count() >= 8 else [1])
    parser.add_argument("--tx", type=int, default=2 if os.cpu_count() >= 8 else 1,
                        help="TX threads")
    parser.add_argument("--workgroups", type=int, default=64 if os.cpu_count() >= 8 else 8)
    parser.add_argument("--workgroup-size", type=int, default=256 if os.cpu_count() >= 8 else 64)
    parser.add_argument("--pool", type=int, default=262144 if os.cpu_count() >= 8 else 16384)
    data = harness.CAPTURES.parent
    parser.add_argument("--rules", type=Path, default=data / "demo.rules")
    parser.add_argument("--payload", type=Path,
                        default=harness.CAPTURES / "zeek-http_byteranges.pcap")
    parser.add_argument("--out", type=Path, default=Path("figures.json"))
    args = parser.parse_args()
    what = args.what or ALL
    if unknown := set(what) - set(ALL):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    results = {"machine": machine(), "traffic": "generated by gen: ports",
               "tx_threads": args.tx, "missing": {}}
    with tempfile.TemporaryDirectory() as folder:
        steps = {"limits": lambda: run_limits(args, results),
                 "fig3": lambda: run_fig3(args, results),
                 "fig4": lambda: run_fig4(args, folder, results),
                 "fig5": lambda: run_fig5(args, folder, results),
                 "fig6": lambda: run_fig6(args, folder, results),
                 "fig7": lambda: run_fig7(args, folder, results),
                 "fig8": lambda: run_fig8(args, folder, results),
                 "elastic": lambda: run_elastic(args, folder, results)}
        for name in what:
            try:
                steps[name]()
            except (harness.Failure, AssertionError, subprocess.SubprocessError, ValueError) as why:
                results["missing"][name] = str(why)[:2000]
            args.out.write_text(json.dumps(results, indent=2) + "\n")
    for name, why in results["missing"].items():
        print(f"missing {name}: {why}")
    print(f"written to {args.out}; draw with plot.py")


if __name__ == "__main__":
    main()
