"""The device by itself, by hb_doctor: its limits, and figure 3. No platform around it."""

import json
import subprocess

from measure import harness, spread

SIZES = [64, 256, 512, 1024, 1472]


def doctor(bench, *words):
    """What hb_doctor measured on the first device that works: a dict for each repetition."""
    args = bench.args
    command = [harness.BUILD / "bin" / "hb_doctor", "--json", "--seconds", max(args.trial, 0.05),
               "--repeat", args.runs, "--no-ipsec", "--work-groups", args.workgroups,
               "--work-group-size", args.workgroup_size, *words]
    # In the manager's order. One backend at a time, as each device that is found takes its time.
    said = []
    for backend in ["cuda", "opencl"] if args.gpu == "auto" else [args.gpu]:
        done = subprocess.run([str(word) for word in [*command, "--backend", backend]], text=True,
                              capture_output=True, timeout=max(60, bench.left_s), check=False)
        try:
            devices = json.loads(done.stdout)["devices"]
        except json.JSONDecodeError:
            devices = []
            said.append(f"{backend}: ends with {done.returncode}: {done.stderr[-500:]}")
        for device in devices:
            if "error" not in device:
                return device, [device, *device.get("repeats", [])]
            said.append(f"{backend}: {device['error']}")
    raise harness.Failure(f"hb_doctor finds no device that works: {'; '.join(said)}")


def over_runs(found):
    """The spread of each figure of the same measurement, one for each repetition; null without."""
    found = [one for one in found if one and "error" not in one and one["all_answered"]]
    if not found:
        return None
    return {key: spread([one[key] for one in found])
            for key in ("gbps", "mpps", "round_p50_us", "round_p99_us")}


def picked(runs, pick):
    """The spread of a figure that some device may not have."""
    try:
        return spread([pick(run) for run in runs])
    except KeyError:
        return None


def run_device(bench):
    """limits and fig3: in one process for each number of rounds, as starting a device takes seconds."""
    args, results = bench.args, bench.results
    sizes = args.sizes or SIZES
    lanes = args.workgroup_size
    rows = []
    for rounds in args.rounds:
        what = f"fig3: zero copy with {rounds} rounds in flight"
        per_size = 3 if rounds != args.rounds[0] else 3 + len(args.batches) * 3
        seconds = 5 + args.runs * len(sizes) * per_size * max(args.trial, 0.05)
        if not bench.has_time(what, seconds):
            continue
        more = ["--batches", "1", "--batch-packets", lanes]
        if rounds == args.rounds[0]:
            more = ["--batches", ",".join(map(str, args.batches)), "--batch-packets",
                    f"{4 * lanes},{16 * lanes},{64 * lanes}"]
        device, runs = doctor(bench, "--sizes", ",".join(map(str, sizes)), "--rounds", rounds, *more)
        if rounds == args.rounds[0]:
            results["limits"] = limits_of(device, runs)
        for i, size in enumerate(sizes):
            if row := over_runs([run["rates"][i].get("read_write") for run in runs]):
                rows.append({"bytes": size, "way": "zero copy, persistent", "rounds_in_flight": rounds,
                             **row})
            for at, batch in enumerate(runs[0]["rates"][i]["batches"] if rounds == args.rounds[0] else ()):
                if row := over_runs([run["rates"][i]["batches"][at] for run in runs]):
                    rows.append({"bytes": size, "way": "copy and relaunch",
                                 "batches_in_flight": batch["in_flight"],
                                 "batch_packets": batch["packets"], **row})
        results["fig3"] = rows
        bench.write()
    for row in rows:
        flight = (f"{row['rounds_in_flight']} rounds" if "rounds_in_flight" in row else
                  f"{row['batches_in_flight']} batches of {row['batch_packets']}")
        print(f"fig3    {row['bytes']:5} B  {row['way']:22} {flight:22} {row['gbps']['median']:8.2f} Gbps "
              f" p99 {row['round_p99_us']['median']:9.1f} us")


def limits_of(device, runs):
    """What no figure can pass: the lines in the plots."""
    limits = {"device": device["name"], "backend": device["backend"],
              "memory_mode": device["memory_mode"], "shape": device["shape"],
              "ping_pong_us": picked(runs, lambda run: run["ping_pong"]["p50_us"]),
              "copy_in_gbps": picked(runs, lambda run: run["copies"]["in_gbps"]),
              "copy_out_gbps": picked(runs, lambda run: run["copies"]["out_gbps"]),
              "slots_mpps": picked(runs, lambda run: run["rates"][0]["slots_only"]["mpps"])}
    for i, row in enumerate(runs[0]["rates"]):
        for way in ("read", "read_write"):
            limits[f"{way}_gbps_{row['bytes']}"] = picked(
                runs, lambda run, i=i, way=way: run["rates"][i][way]["gbps"])
    for way in ("read", "read_write"):  # of the longest packets
        limits[f"{way}_gbps"] = limits[f"{way}_gbps_{runs[0]['rates'][-1]['bytes']}"]
    return {key: value for key, value in limits.items() if value is not None}
