"""Measuring a whole platform: what figures.py and chains.py have in common."""

import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
for place in (HERE.parents[1] / "e2e", HERE / "e2e"):
    if (place / "harness.py").exists():
        sys.path.insert(0, str(place))
import harness  # noqa: E402

LOSS_FREE_STEPS = 6

#: One SA that all packets of the generator are sealed with: AES-128-CBC and HMAC-SHA1-96, the paper's pair.
IPSEC_SA = f"""\
ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x301 reqid 1 mode tunnel \
enc cbc(aes) 0x{bytes(range(16)).hex()} auth-trunc hmac(sha1) 0x{bytes(range(20)).hex()} 96
ip xfrm policy add src 10.0.0.0/8 dst 0.0.0.0/0 dir out \
tmpl src 192.0.2.1 dst 192.0.2.2 proto esp reqid 1 mode tunnel
"""


def output(*command):
    """What a program prints; empty if there is none or it fails."""
    try:
        return subprocess.run(command, text=True, capture_output=True, timeout=60,
                              check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), "unknown")
    gpu = output("nvidia-smi", "--query-gpu=name,driver_version,pcie.link.gen.max,"
                 "pcie.link.width.max,power.limit", "--format=csv,noheader")
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "gpu": gpu or "none of NVIDIA's",
            "revision": os.environ.get("HB_REVISION") or
            output("git", "-C", str(HERE), "rev-parse", "--short", "HEAD")}


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values),
            "runs": len(values)}


def counters(status):
    return (status["ports"][0]["tx_packets"], sum(status["drops"].values()) +
            sum(sum(nf["drops"].values()) for nf in status["nfs"]), time.monotonic())


def trial(args, folder, setup, rate):
    """One window: packets per second sent, lost, and latency of the whole run."""
    port = f"gen:size={setup['size']},flows=4096"
    port += f",payload={setup['payload']}" if setup.get("payload") else ""
    port += f",rate={int(rate)}" if rate else ""
    bench = harness.Platform(folder)
    # Always with routes: packets that came before the NFs were there are dropped, not sent at once.
    services = ["rx", *(nf[2] for nf in setup["nfs"]), "tx"]
    chain = "".join(f"*, {here}, {there}\n" for here, there in zip(services, services[1:]))
    setup = {"routes": chain, **setup}
    try:
        files = [word for option in ("routes", "flows") if option in setup
                 for word in (f"--{option}", bench.write(f"{option}.csv", setup[option]))]
        bench.start_manager("--port", port, "--idle", args.idle, *setup["manager"], *files,
                            gpu=setup["gpu"])
        n_on_gpu = sum(nf[1] for nf in setup["nfs"])
        shares = iter(setup.get("shares") or [args.workgroups // n_on_gpu] * n_on_gpu
                      if n_on_gpu else [])
        for nf, on_gpu, service, options in setup["nfs"]:
            share = ["--workgroups", str(next(shares))] if on_gpu else []
            bench.start_nf(nf, *options, *share, gpu=on_gpu, service=service)
        for _, _, service, _ in setup["nfs"]:
            bench.wait_works(service)
        time.sleep(setup.get("warm_up", args.seconds))  # cores and device come up to speed
        before = counters(bench.status())
        time.sleep(args.seconds)  # the window that is measured
        status = bench.status()
        after = counters(status)
        final = bench.stop()
        harness.assert_exact(final)
    finally:
        bench.clean_up()
    seconds = after[2] - before[2]
    return {"pps": (after[0] - before[0]) / seconds, "lost": after[1] - before[1],
            "latency": status["ports"][0]["latency"]}


def throughput(args, folder, setup):
    """Rates under overload, then the highest one without a loss."""
    overload = [trial(args, folder, setup, 0) for _ in range(args.runs)]
    rates = [one["pps"] for one in overload]
    low, high, best = 0.0, statistics.median(rates), None
    for _ in range(LOSS_FREE_STEPS if args.loss_free else 0):
        rate = (low + high) / 2 if best or high < max(rates) else high * 0.9
        one = trial(args, folder, setup, rate)
        if one["lost"] == 0 and one["pps"] > 0.98 * rate:
            low, best = rate, one
        else:
            high = rate
    scale = setup["size"] * 8e-9 if setup["size"] != "imix" else None
    result = {"overload_mpps": spread([rate / 1e6 for rate in rates]),
              "overload_latency": overload[-1]["latency"],
              "loss_free_mpps": best["pps"] / 1e6 if best else None,
              "loss_free_latency": best["latency"] if best else None}
    if scale:
        result["overload_gbps"] = spread([rate * scale for rate in rates])
    return result


def setup_of(args, nfs, size, syncers=1, rx_threads=1, payload=None):
    on_gpu = any(nf[1] for nf in nfs)
    manager = ["--rx-threads", str(rx_threads), "--tx-threads", str(args.tx), "--pool",
               str(args.pool)]
    if on_gpu:
        manager += ["--syncers", str(syncers), "--workgroups", str(args.workgroups),
                    "--workgroup-size", str(args.workgroup_size)]
    return {"size": size, "manager": manager, "gpu": args.gpu if on_gpu else "none", "nfs": nfs,
            "payload": payload}


def report(name, label, row):
    gbps = row.get("overload_gbps", {}).get("median", 0)
    free = row["loss_free_mpps"]
    print(f"{name:7} {label:44} {row['overload_mpps']['median']:8.3f} Mpps {gbps:8.2f} Gbps  "
          f"loss-free {'-' if free is None else format(free, '.3f')}", flush=True)


def nids_options(args):
    return ["--rules", str(args.rules), "--alerts", "/dev/null"]


def ipsec_options(folder):
    path = Path(folder, "sa.txt")
    path.write_text(IPSEC_SA)
    return ["--sa", path]
