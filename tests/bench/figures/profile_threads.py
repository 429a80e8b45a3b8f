"""What limits a rate: the time of each thread, and where packets were dropped or waited."""

import os
import time
from pathlib import Path

import harness


def times_of(prefix):
    """Nanoseconds on a CPU, and of waiting for one, of each thread of a platform; and when that was."""
    found = {}
    now = time.monotonic()
    for pid in harness.processes_of(prefix):
        try:
            program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
            for task in Path(f"/proc/{pid}/task").iterdir():
                ran, waited, _ = (task / "schedstat").read_text().split()
                found[pid, int(task.name)] = (program, (task / "comm").read_text().strip(), int(ran),
                                              int(waited))
        except OSError:
            pass  # ended meanwhile
    return found, (now + time.monotonic()) / 2


def role_of(program, name, n_tx):
    """What a thread of the manager is for: its lcore 0 is the control thread, then come TX, then RX."""
    if program != "manager" or "worker" not in name:
        return name
    number = int(name.rpartition("-")[2])
    return f"TX {number - 1}" if number <= n_tx else f"RX {number - 1 - n_tx}"


def threads_between(before, after, packets, setup):
    """What those did that ran at all; threads of one name are taken together. One that polls without a
    rest takes 1.0 of a core whatever it has to do: its time for a packet is what a packet costs it only
    if it is the one that limits. Times are for each packet of the platform, so that the threads of a
    kind add up to what a packet costs."""
    (earlier, begin), (later, end) = before, after
    sums = {}
    for key, (program, name, ran, waited) in later.items():
        _, _, ran_before, waited_before = earlier.get(key, (program, name, 0, 0))
        role = role_of(program, name, setup["threads"]["tx"])
        row = sums.setdefault((program, role), [0, 0, 0])
        if ran > ran_before:
            for i, more in enumerate((1, ran - ran_before, waited - waited_before)):
                row[i] += more
    seconds = end - begin
    return [{"process": program, "thread": role, "threads": n, "cores": round(ran / 1e9 / seconds, 3),
             "waited": round(waited / 1e9 / seconds, 3),
             "ns_per_packet": round(ran / packets, 1) if packets else None}
            for (program, role), (n, ran, waited) in sorted(sums.items())
            if ran > 0.02 * 1e9 * seconds]


def slices_between(before, after, seconds):
    earlier = {(one["service"], one["instance"]): one for one in before["gpu"]["slices"]}
    rows = []
    for one in after["gpu"]["slices"]:
        old = earlier.get((one["service"], one["instance"]))
        rounds = one["rounds"] - old["rounds"] if old else 0
        packets = one["packets"] - old["packets"] if old else 0
        rows.append({"service": one["service"], "work_groups": len(one["workgroups"]),
                     "rounds_per_s": rounds / seconds,
                     "packets_per_round": packets / rounds if rounds else None,
                     "round_p50_us": one["latency_p50_us"], "backlog": one["backlog"],
                     "unevaluated": one["unevaluated"] - (old["unevaluated"] if old else 0)})
    return rows


def grown(before, after):
    return {key: value - before.get(key, 0) for key, value in after.items()
            if value > before.get(key, 0)}


def limits(threads_before, threads_after, before, after, seconds, setup):
    """Of one window under overload."""
    packets = after["ports"][0]["tx_packets"] - before["ports"][0]["tx_packets"]
    offered = after["ports"][0]["rx_packets"] - before["ports"][0]["rx_packets"]
    full = grown(before["ring_full"], after["ring_full"])
    drops = grown(before["drops"], after["drops"])
    in_front = {service: n / seconds for service, n in full.items()}
    rest = drops.get("ring_full", 0) - sum(full.values())
    if rest > 0:
        in_front["TX"] = rest / seconds
    slices = slices_between(before, after, seconds)
    return {"at": "overload", "threads": threads_between(threads_before, threads_after, packets,
                                                         setup),
            "dropped_per_s": {reason: n / seconds for reason, n in drops.items()},
            "dropped_in_front_of_per_s": in_front, "slices": slices,
            "says": verdict(in_front, offered / seconds, slices, setup)}


def verdict(in_front, offered_pps, slices, setup):
    """Packets are dropped in front of what is too slow; where none are, nobody brings in more."""
    if sum(in_front.values()) < 0.01 * offered_pps:
        return "RX: nothing is dropped, so the RX threads, which also make the packets, bring in no more"
    place = max(in_front, key=in_front.get)
    if place == "TX":
        return "TX: its rings are full"
    on_gpu = next((one["gpu"] for one in setup["nfs"] if one["service"] == place), False)
    if not on_gpu:
        return f"{place}: packets are dropped in front of its process"
    own = [one for one in slices if one["service"] == place]
    # All rounds full and all of them in flight: Little's law, with those that a work-group can have.
    busy = sum(one["rounds_per_s"] * one["round_p50_us"] * 1e-6 for one in own)
    groups = sum(one["work_groups"] for one in own)
    if groups and busy >= 0.9 * groups:
        return f"{place}: its work-groups always have a round, so the device or the bus limits"
    return (f"{place}: dropped in front of its CPUSyncers, while its {groups} work-groups have "
            f"{busy:.1f} rounds on average")
