#!/usr/bin/env python3
"""The paper's evaluation on the device that is here: JSON, and plots beside it.

  limits  what the device and its bus can do (with fig3)
  fig3    zero-copy persistent kernel against copy and relaunch, 1 to 16 batches in flight, 64..1472 B
  fig5    each NF on a CPU core, on all cores and on the GPU; ipsec-mb and Hyperscan by themselves
  fig6    chain IPsec, NIDS, router with the NIDS on the GPU against the CPU
  fig7    dynamic chains, 50/50 and 93/7, against the static chain with the same work
  fig8    throughput for each core of GPU and CPU, and for each watt
  fig4    CPUSyncer threads x RX threads for one and two GPU NFs
  elastic work-groups that follow the load against each fixed split, two GPU NFs at 93/7

Taken in this order, as far as --budget seconds go; what does not fit is in "left_out". Each row has
the rate under overload and the highest rate without loss (RFC 2544 section 26.1: bisection, trials of
--trial seconds after --settle seconds of warm-up at that rate, ended by waiting for what is still in
flight; a rate passes if every packet comes back and 98 % of it were offered; it is found to --resolution
of the overload rate), latency from RX to TX (p50, p99, p99.9) at both and at half of the latter, each
--runs times: median, smallest, largest. Traffic is generated (gen: ports). "limits" of a row says what
its threads did and where packets were dropped, "outputs" how many of its packets were compared with the
CPU twins. What can't be measured here is in "missing", with the reason; nothing is estimated. Exit status 1: an
output was wrong, or something failed.

On 16 cores and an H100, in 10 minutes:  figures.py --runs 5 --trial 0.1 --budget 570
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import nfs
from bench import Bench
from chains import run_elastic, run_fig6, run_fig7
from device import run_device
from measure import harness, machine
from outputs import payloads_of
from platforms import run_fig4, run_fig5, run_fig8

STEPS = {"fig3": run_device, "fig5": run_fig5, "fig6": run_fig6, "fig7": run_fig7, "fig8": run_fig8,
         "fig4": run_fig4, "elastic": run_elastic}
#: A list of rules as long as the paper's.
MOST_RULES = 147


def parse():
    cpus = len(os.sched_getaffinity(0))
    large = cpus >= 8
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("what", nargs="*", help=f"of {', '.join(STEPS)} (default: all; limits come with fig3)")
    add("--runs", type=int, default=5)
    add("--trial", type=float, default=0.2, help="seconds of each window that is measured")
    add("--settle", type=float, default=None, help="seconds before each (default: half of --trial)")
    add("--resolution", type=float, default=0.02, help="of the search, as a part of the overload rate")
    add("--warm-up", type=float, default=0.0, help="seconds of overload before a row's first window")
    add("--budget", type=float, default=3600.0, help="seconds in all")
    add("--quick", action="store_true", help="one run of few, short rows: does it all work?")
    add("--no-loss-free", dest="loss_free", action="store_false", help="rates under overload only")
    add("--idle", default="busy" if large else "adaptive", choices=["adaptive", "busy"])
    add("--gpu", default="auto", choices=["auto", "cuda", "opencl"])
    add("--cores", help="CPUs of the platform's threads, as manager --cores (default: all). The "
        "control thread has the first, then come TX threads, RX threads, NFs and CPUSyncers")
    add("--syncers", type=int, default=max(1, cpus // 4))
    add("--rx", type=int, default=max(1, cpus * 5 // 16), help="RX threads")
    add("--tx", type=int, default=max(1, cpus // 4), help="TX threads")
    add("--grid", type=int, nargs="+", default=[1, 2, 4] if large else [1], help="fig4's thread counts")
    add("--instances", type=int, default=max(1, cpus // 2 - 1),
        help="CPU NFs side by side where all cores are used")
    add("--cores-rx", type=int, default=max(1, cpus // 4), help="RX threads beside those")
    add("--cores-tx", type=int, default=max(1, cpus * 3 // 16), help="TX threads beside those")
    add("--rounds", type=int, nargs="+", default=[4],
        help="fig3's rounds in flight of each work-group, zero copy: 1, 2, 4, 8 or 16")
    add("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16] if large else [1, 2],
        help="fig3's copied batches in flight, each packed by a thread of its own")
    add("--sizes", type=int, nargs="+", help="of fig3, bytes")
    add("--nf-sizes", type=int, nargs="+", default=[64, 512, 1472], help="of the other figures")
    add("--workgroups", type=int, default=64 if large else 8)
    add("--workgroup-size", type=int, default=256 if large else 64)
    add("--pool", type=int, default=262144 if large else 16384)
    add("--sample", type=int, default=64, help="packets of a window that each TX thread keeps")
    add("--rules", type=Path, help="of the NIDS; they must be about UDP packets (default: "
        f"the first {MOST_RULES} of Emerging Threats' in tests/data that have a content, made so)")
    add("--payload", type=Path, default=harness.CAPTURES / "zeek-http_methods.pcap",
        help="capture that the NIDS' packets are cut from")
    add("--out", type=Path, default=Path("figures.json"))
    add("--plots", type=Path, help="folder for the plots (default: beside the JSON)")
    args = parser.parse_args()
    if unknown := set(args.what) - set(STEPS) - {"limits"}:
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    if args.quick:
        args.runs, args.trial, args.resolution = 1, 0.05, 0.25
        args.sizes, args.nf_sizes, args.grid, args.batches = [64, 1472], [1472], [1], [1, 2]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.settle = args.trial / 2 if args.settle is None else args.settle
    return args


def draw(args):
    """Plots, if there is matplotlib; else they can be drawn from the JSON elsewhere."""
    folder = args.plots or args.out.resolve().parent
    try:
        import plot
    except ImportError:
        print(f"no plots: matplotlib is not here; plot.py {args.out} draws them where it is")
        return
    plot.draw_all(args.out, folder)


def main():
    args = parse()
    # As Ctrl-C: what was started polls on all cores, and must not outlive this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # The pool's buffers and its region; mbufs of 2 KiB and their headers.
    no_pages = harness.hugepages_missing(256 + args.pool * 2560 // (2 << 20))
    results = {"machine": {**machine(), "hugepages": no_pages or "2 MiB"}, "traffic": "generated by gen: ports",
               "payload": args.payload.name,
               "begun": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
               "method": {key: getattr(args, key) for key in
                          ("runs", "trial", "settle", "resolution", "warm_up", "idle", "budget", "cores",
                           "pool", "workgroups", "workgroup_size", "sample")}}
    with tempfile.TemporaryDirectory(prefix="hb-figures-", dir=scratch()) as folder:
        folder = Path(folder)
        if args.rules is None:
            args.rules = folder / "udp.rules"
            n = nfs.write_rules(args.rules, nfs.rule_files(), MOST_RULES, payloads_of(args.payload))
            results["rules"] = f"{n}: Emerging Threats', for any UDP packet, and one that some alert on"
        else:
            results["rules"] = str(args.rules)
        bench = Bench(args, folder, results)
        for name in STEPS:
            if not args.what or name in args.what or (name == "fig3" and "limits" in args.what):
                bench.figure(name, STEPS[name])
    for name, why in results["missing"].items():
        print(f"missing {name}: {why[:300]}")
    for line in results["wrong_outputs"]:
        print(f"WRONG {line}")
    print(f"written to {args.out} after {sum(results['seconds'].values()):.0f} s")
    draw(args)
    sys.exit(1 if results["wrong_outputs"] or bench.failed else 0)


def scratch():
    """Samples and alerts are written beside a loaded platform: not to a disk, if that can be."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    main()
