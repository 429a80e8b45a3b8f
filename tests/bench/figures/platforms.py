"""Figures of single NFs on a whole platform: 4, 5 and 8; and the bare libraries beside figure 5."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import nfs
import power
from measure import Session, harness, nf, setup_of, spread


def run_fig4(bench):
    """CPUSyncers x RX threads, one and two GPU NFs that do nothing. Corners and diagonal first."""
    args = bench.args
    grid = [(syncers, rx) for syncers in args.grid for rx in args.grid]
    grid.sort(key=lambda at: (at[0] != at[1], at))
    for syncers, rx in grid:
        for n in (1, 2):
            setup = setup_of(args, [nfs.forward(f"forward{i}", gpu=True) for i in range(n)], 64,
                             syncers, rx)
            bench.row("fig4", f"{n} GPU NFs, {syncers} CPUSyncers, {rx} RX threads", setup, gpu_nfs=n,
                      syncers=syncers, rx_threads=rx)


def single(bench, name, where):
    """The one NF's setup on "core" (one CPU core), "cores" (all that RX and TX threads leave), "gpu", or
    "gpu, SAs" (ipsec as one service for each CPUSyncer, each with an SA)."""
    args, folder = bench.args, bench.folder
    gpu = where.startswith("gpu")
    n = args.instances if where == "cores" else 1
    more = {}
    if name == "forward":
        chain = [nfs.forward(gpu=gpu, instances=n)]
    elif name == "nids":
        chain = [nfs.nids(args, folder, gpu=gpu, instances=n)]
    elif where == "gpu, SAs":
        chain, more = nfs.spread_ipsec(folder, args.syncers, gpu=True)
    elif n == 1:
        chain = [nfs.ipsec(folder, gpu=gpu)]
    else:
        chain, more = nfs.spread_ipsec(folder, n)
    return chain, more


def take_singles(bench, figure, sizes, then=None):
    """Each NF in each place, at each size."""
    args = bench.args
    places = ["core", "gpu"] + (["cores"] if args.instances > 1 else [])
    for size in sizes:
        for name in ("forward", "nids", "ipsec"):
            for where in places + ["gpu, SAs"] * (name == "ipsec" and args.syncers > 1):
                chain, more = single(bench, name, where)
                threads = {} if where != "cores" else {"rx": args.cores_rx, "tx": args.cores_tx}
                setup = setup_of(args, chain, size, payload=args.payload if name == "nids" else None,
                                 **threads, **more)
                label = {"core": "one CPU core", "gpu": "GPU", "gpu, SAs": f"GPU, {args.syncers} SAs",
                         "cores": f"{args.instances} CPU cores"}[where]
                bench.row(figure, f"{name} on {label}, {size} B", setup, nf=name, compute=where,
                          cores=args.instances if where == "cores" else 1,
                          then=then if size == sizes[-1] else None)


def run_fig5(bench):
    """The longest packets' rows have the watts that figure 8 needs."""
    bare_rates(bench)
    take_singles(bench, "fig5", bench.args.nf_sizes, then=with_power)
    if bench.args.instances == 1:
        bench.results["missing"]["fig5 on all cores"] = (
            f"{os.cpu_count()} CPUs are one for each thread of the platform, or fewer")


# The bare libraries -------------------------------------------------------------------------------

def bare_rates(bench):
    """intel-ipsec-mb and Hyperscan without a platform around them, on one core and, a process on each,
    on all: what a user's own program could do at most."""
    args = bench.args
    capture = bench.folder / "frames.pcap"
    cpus = sorted(os.sched_getaffinity(0))
    jobs = {"ipsec-mb": ["ipsec_bench", "--json", "--sizes", ",".join(map(str, args.nf_sizes))]}
    for size in args.nf_sizes:
        jobs[f"hyperscan {size}"] = ["nids_bench", "--json", "--frames",
                                     str(capture.with_stem(f"frames{size}")), str(args.rules)]
    rows = []
    for name, words in jobs.items():
        if not (harness.BUILD / "bench" / words[0]).exists():
            bench.results["missing"][f"fig5: {name}"] = f"{words[0]} is not built"
            continue
        if name.startswith("hyperscan"):
            size = int(name.split()[1])
            write_generated(bench, args, size, capture.with_stem(f"frames{size}"))
        alone = [run_bare(words, cpus[:1]) for _ in range(args.runs)]
        together = [run_bare(words, cpus) for _ in range(args.runs)] if len(cpus) > 1 else []
        for cores, runs in ((1, alone), (len(cpus), together)):
            for i, first in enumerate(runs[0] if runs else ()):
                rows.append({"library": name.split()[0], "cores": cores, "bytes": first["bytes"],
                             **({"rules": first["rules"]} if "rules" in first else {}),
                             "gbps": spread([run[i]["gbps"] for run in runs]),
                             "mpps": spread([run[i]["mpps"] for run in runs]),
                             "with_the_nf_around_it_gbps": spread([run[i]["nf_gbps"] for run in runs])})
                print(f"fig5    {name.split()[0]} alone, {cores} cores, {first['bytes']} B: "
                      f"{rows[-1]['gbps']['median']:.2f} Gbps")
    bench.results["fig5_libraries"] = rows


def run_bare(words, cpus):
    """The same program on each of the CPUs at once; rates summed up."""
    def one(cpu):
        done = subprocess.run(["taskset", "-c", str(cpu), harness.BUILD / "bench" / words[0],
                               *words[1:]], text=True, capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            raise harness.Failure(f"{words[0]} ends with {done.returncode}: {done.stderr[-500:]}")
        return json.loads(done.stdout)

    with ThreadPoolExecutor(len(cpus)) as pool:
        all_rows = list(pool.map(one, cpus))
    return [{**rows[0], **{key: sum(row[key] for row in rows)
                                           for key in ("gbps", "mpps", "nf_gbps")}}
            for rows in zip(*all_rows)]


def write_generated(bench, args, size, path):
    """The very packets that a loaded nids gets: as the generator makes them."""
    session = Session(args, bench.folder, setup_of(args, [nf("forward")], size,
                                                   payload=args.payload))
    try:
        kept = session.bench.folder / "kept.pcap"
        session.window(50_000, 0.1, sample=kept)
        harness.write_capture(path, harness.read_capture(kept))
        session.stop()
    finally:
        session.bench.clean_up()


# Figure 8 -----------------------------------------------------------------------------------------

def with_power(session, row):
    """Watts under overload. NVML's are the mean of a second, so that must have passed."""
    session.generate(rate=0)
    if not power.can_be_read():
        return
    time.sleep(1.2)
    (before, begin), meter = session.status(), power.Meter()
    meter.measure(1.0)
    after, end = session.status()
    packets = after["ports"][0]["tx_packets"] - before["ports"][0]["tx_packets"]
    row["power"] = {"gbps": packets / (end - begin) * row["bytes"] * 8e-9, "watts": meter.spreads()}


def run_fig8(bench):
    """Throughput for each core and each watt, of figure 5's rows if it was taken."""
    args, results = bench.args, bench.results
    results["fig8_power"] = power.sources()
    for of, said in results["fig8_power"].items():
        if said.startswith("not measured"):
            results["missing"][f"fig8: watts of the {of.upper()}"] = said
    if not results.get("fig5"):
        take_singles(bench, "fig8_rows", args.nf_sizes[-1:], then=with_power)
    gpu_cores = power.gpu_cores()
    if gpu_cores is None:
        results["missing"]["fig8 for each GPU core"] = "NVML does not say how many the device has"
    rows = []
    for row in results.pop("fig8_rows", None) or results.get("fig5", ()):
        if row["bytes"] != args.nf_sizes[-1]:
            continue
        on_gpu = row["compute"].startswith("gpu")
        cores = gpu_cores if on_gpu else row["cores"]
        found = {"label": row["label"], "nf": row["nf"], "compute": row["compute"], "cores": cores,
                 "threads": row["threads"], "bytes": row["bytes"],
                 "overload_gbps": row["overload_gbps"], "overload_latency": row["overload_latency"],
                 "loss_free_gbps": row.get("loss_free_gbps"),
                 "loss_free_latency": row["loss_free_latency"],
                 "gbps_per_core": row["overload_gbps"]["median"] / cores if cores else None}
        measured = row.get("power", {"watts": {}})
        watts = measured["watts"].get("gpu" if on_gpu else "cpu")
        found |= {"watts": measured["watts"],
                  "gbps_per_watt": measured["gbps"] / watts["median"] if watts else None}
        rows.append(found)
        print(f"fig8    {row['label']:40} {number(found['gbps_per_core'])} Gbps per core, "
              f"{number(found['gbps_per_watt'])} per watt")
    results["fig8"] = rows


def number(value):
    return "unknown" if value is None else f"{value:.4f}"
