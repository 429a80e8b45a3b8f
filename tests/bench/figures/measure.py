"""A platform under generated load: its rates, latencies and samples of what it sends."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "e2e"))
# A device's first program may be compiled at a start.
os.environ.setdefault("HB_E2E_DEADLINE_SCALE", "4")
import harness  # noqa: E402
import profile_threads  # noqa: E402
from rfc2544 import search  # noqa: E402

FLOWS = 4096
#: So slow that nothing waits anywhere, and that packets still come.
TRICKLE_PPS = 1
START_PPS = 20_000


def output(*command):
    """What a program prints; empty if there is none or it fails."""
    try:
        return subprocess.run(command, text=True, capture_output=True, timeout=60,
                              check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def machine():
    """What the figures depend on: hardware, and versions of what is between it and the platform."""
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), "unknown")
    gpu = output("nvidia-smi", "--query-gpu=name,driver_version,pcie.link.gen.max,"
                 "pcie.link.width.max,power.limit", "--format=csv,noheader")
    versions = harness.BUILD / "versions.json"
    return {"cpu": model, "cpus": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "gpu": gpu or "none of NVIDIA's", "python": platform.python_version(),
            "built_with": json.loads(versions.read_text()) if versions.exists() else "unknown",
            "revision": os.environ.get("HB_REVISION") or
            output("git", "-C", str(HERE), "rev-parse", "--short", "HEAD") or "unknown"}


def spread(values):
    return {"median": statistics.median(values), "low": min(values), "high": max(values),
            "runs": len(values)}


def nf(name, service=None, gpu=False, options=(), instances=1, workgroups=None):
    """One NF of a setup."""
    return {"nf": name, "service": service or name, "gpu": gpu, "options": [str(o) for o in options],
            "instances": instances, "workgroups": workgroups}


def setup_of(args, nfs, size, syncers=None, rx=None, tx=None, payload=None, **more):
    """What a platform is started with. more: routes, flows (texts), manager (words)."""
    on_gpu = [one for one in nfs if one["gpu"]]
    for one in on_gpu:
        one["workgroups"] = one["workgroups"] or args.workgroups // len(on_gpu)
    rx, tx, syncers = rx or args.rx, tx or args.tx, syncers or args.syncers
    words = ["--rx-threads", rx, "--tx-threads", tx, "--pool", args.pool, "--idle", args.idle]
    words += ["--cores", args.cores] if args.cores else []
    if on_gpu:
        words += ["--syncers", syncers, "--workgroups", args.workgroups,
                  "--workgroup-size", args.workgroup_size]
    services = ["rx", *(one["service"] for one in nfs), "tx"]
    chain = "".join(f"*, {here}, {there}\n" for here, there in zip(services, services[1:]))
    return {"nfs": nfs, "size": size, "payload": payload, "routes": chain,
            "gpu": args.gpu if on_gpu else "none",
            "threads": {"rx": rx, "tx": tx, "syncers": syncers if on_gpu else 0},
            **more, "manager": [str(word) for word in words] + list(more.get("manager", ()))}


class Session:
    """A platform that runs, whose load is changed while it does."""

    def __init__(self, args, folder, setup):
        self._args, self._setup, self.size = args, setup, setup["size"]
        self.bench = harness.Platform(folder)
        port = f"gen:size={setup['size']},flows={FLOWS},rate={START_PPS}"
        port += f",payload={setup['payload']}" if setup["payload"] else ""
        try:
            files = [word for option in ("routes", "flows") if option in setup
                     for word in (f"--{option}", self.bench.write(f"{option}.csv", setup[option]))]
            self.bench.start_manager("--port", port, *setup["manager"], *files, gpu=setup["gpu"])
            for one in setup["nfs"]:
                share = ["--workgroups", str(one["workgroups"])] if one["gpu"] else []
                for _ in range(one["instances"]):
                    self.bench.start_nf(one["nf"], *one["options"], *share, gpu=one["gpu"],
                                        service=one["service"])
            for one in setup["nfs"]:
                self.bench.wait_works(one["service"])
        except BaseException:
            self.bench.clean_up()
            raise

    def generate(self, **what):
        answer = self.bench.ask("generate", port=0, **what)
        if not answer or not answer["ok"]:
            raise harness.Failure(f"generate {what}: {answer}\n{self.bench.report()}")
        return answer

    def status(self):
        status = self.bench.status()
        if status is None:
            raise harness.Failure(f"the manager does not answer\n{self.bench.report()}")
        return status, time.monotonic()

    def window(self, pps, seconds, sample=None, watch=False):
        """One trial at a rate (0: as fast as the RX threads poll), after args.settle seconds.

        @param sample  a capture to write copies of packets to that came back in the window
        @param watch   add what each thread and each queue did
        """
        earlier, _ = self.status()
        self.generate(rate=int(pps))
        time.sleep(self._args.settle)
        threads = profile_threads.times_of(self.bench.prefix) if watch else None
        before, begin = self.status()
        self.generate(rate=int(pps), **({"sample": self._args.sample} if sample else {}))
        time.sleep(seconds)  # the window that is measured
        after, end = self.status()
        later = profile_threads.times_of(self.bench.prefix) if watch else None
        written = self.write_sample(sample) if sample else 0
        count = lambda key: after["ports"][0][key] - before["ports"][0][key]  # noqa: E731
        passed = end - begin
        result = {"rate": pps, "seconds": passed, "offered_pps": count("rx_packets") / passed,
                  "sunk_pps": count("tx_packets") / passed, "latency": latency(after),
                  "earlier": earlier, "before": before, "after": after, "sampled": written}
        if watch:
            result["limits"] = profile_threads.limits(threads, later, before, after, passed,
                                                      self._setup)
        return result

    def write_sample(self, path):
        """Where a machine stutters, no packet may have come back yet.
        @return packets written"""
        for _ in range(100):
            if written := self.generate(write=str(path))["written"]:
                return written
            time.sleep(0.02)
        return 0

    def trial(self, pps):
        """RFC 2544 section 26.1: a window at a rate, and whether all of its packets came back.

        What is offered, sunk and in flight is compared when next to nothing moves: under load the
        three are read some microseconds apart, in which thousands of packets come and go. What was
        dropped in the warm-up has been counted by its end."""
        self.generate(rate=TRICKLE_PPS)
        first = self.drained()
        one = self.window(pps, self._args.trial)
        self.generate(rate=TRICKLE_PPS)
        last = self.drained()
        one["lost"] = unaccounted(last) - unaccounted(first) - (
            dropped(one["before"]) - dropped(first))
        one["passed"] = one["lost"] == 0 and one["offered_pps"] >= 0.98 * pps
        return one

    def drained(self):
        """Waits until packets have stopped coming back; the statistics then."""
        last = None
        for _ in range(200):
            status, _ = self.status()
            if status["in_flight"] < 64 and last == status["in_flight"]:
                return status
            last = status["in_flight"]
            time.sleep(0.002)
        return status  # an NF holds some

    def stop(self):
        """Ends the platform; it must have accounted for every packet."""
        try:
            self.generate(rate=TRICKLE_PPS)
            harness.assert_exact(self.bench.stop())
        finally:
            self.bench.clean_up()


def unaccounted(status):
    """Packets that came in and neither left nor are on their way."""
    port = status["ports"][0]
    return port["rx_packets"] - port["tx_packets"] - status["in_flight"]


def dropped(status):
    return sum(status["drops"].values()) + sum(sum(one["drops"].values()) for one in status["nfs"])


def latency(status):
    found = status["ports"][0]["latency"]
    return {key[:-3] + "_us": found[key] / 1e3 for key in ("p50_ns", "p99_ns", "p999_ns")}


def latencies(runs):
    runs = [one["latency"] for one in runs if one]
    return {key: spread([one[key] for one in runs]) for key in runs[0]} if runs else None


def throughput(args, session, samples):
    """Rate under overload, highest rate without loss, and latency at that and at half of it.

    @param samples  takes (capture, window) for each run
    """
    overload, best, half, n_trials, guess = [], [], [], 0, None
    for run in range(args.runs):
        path = session.bench.folder / f"sample{run}.pcap"
        over = session.window(0, args.trial, sample=path, watch=run == 0)
        samples.append((path, over))
        overload.append(over)
        if not args.loss_free:
            continue
        tried = []

        def trial(pps):
            tried.append(session.trial(pps))
            return tried[-1]

        step = args.resolution * over["sunk_pps"]
        found = search(trial, min(over["offered_pps"], 1.5 * over["sunk_pps"]), step,
                       guess or over["sunk_pps"])
        n_trials += len(tried)
        best.append(found)
        guess = found["rate"] if found else guess
        half.append(session.trial(found["rate"] / 2) if found else None)
    free = [one["sunk_pps"] if one else 0.0 for one in best]
    result = {"overload_mpps": spread([one["sunk_pps"] / 1e6 for one in overload]),
              "overload_offered_mpps": spread([one["offered_pps"] / 1e6 for one in overload]),
              "overload_latency": latencies(overload),
              "loss_free_mpps": spread([pps / 1e6 for pps in free]) if free else None,
              "loss_free_latency": latencies(best), "half_rate_latency": latencies(half),
              "half_rate_lost": sum(one["lost"] for one in half if one),
              "trials": n_trials, "limits": overload[0]["limits"]}
    for kind in ("overload", "loss_free"):
        if rates := result[f"{kind}_mpps"]:
            result[f"{kind}_gbps"] = {key: value if key == "runs" else value * session.size * 8e-3
                                      for key, value in rates.items()}
    return result
