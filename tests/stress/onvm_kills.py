#!/usr/bin/env python3
"""Kills OpenNetVM NFs under traffic, again and again, and looks for every packet after each kill.

Usage: onvm_kills.py [--kills N] [--only NF,NF...] [--seed N]

For each NF a manager with a traffic generator; the NF, and a simple one that some send to. Most kills
come when the NF has taken packets, at a random moment; one of five comes while it starts. After each
an audit finds every packet of the pool exactly once. At the end of each NF's turn packets in = out +
drops + lost, and the pool is whole.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))

from harness import Platform, hugepages_missing  # noqa: E402
from onvm_nfs import start  # noqa: E402

RULES = json.dumps({"all": {"ip": "0.0.0.0", "depth": 1, "action": 0},
                    "rest": {"ip": "128.0.0.0", "depth": 1, "action": 0}})
HELPER = 9  # the service id of the NF that stays

# NF: its arguments, FILE being replaced by a file with the text behind it.
NFS = {
    "simple": ([], None),
    "bridge": ([], None),
    "sink": (["-n", "3", "-k", "3"], None),
    "rings": (["-t"], None),
    "generator": (["-c", "200"], None),
    "scaler": (["-n", "2"], None),
    "flows": (["-d", str(HELPER)], None),
    "messages": (["-d", str(HELPER), "-n", "1000000000", "-e", "1"], None),
    "firewall": (["-f", "FILE"], RULES),
    "monitor": (["-p", "100"], None),
    "tracker": (["-n", "32", "-t", "5"], None),
    "balancer": (["-f", "FILE"], "10.9.0.1 02:00:00:00:00:01\n"),
    "scan": (["-s", "needle", "-i"], None),
    "lpm_router": (["-f", "FILE"], f"0.0.0.0 1 port 1\n128.0.0.0 1 service {HELPER}\n"),
    "cipher": (["-d", str(HELPER)], None),
    "children": (["-n", "2", "-d", str(HELPER)], None),
    "children -a": (["-a", "-n", "2", "-d", "2"], None),
    "speed": (["-d", str(HELPER), "-c", "300", "-l"], None),
    "arp": (["-s", "10.0.0.1"], None),
    "early": (["-f", "2000", "-a", "500"], None),
}


def end_of(platform, process):
    """The manager has seen the death: nothing of that process is running."""
    platform.wait_for(lambda status: all(nf.get("pid") != process.pid for nf in status["nfs"]),
                      "its death is seen")


def kill_one(name, folder, n_kills, chance):
    """@return what became of the packets"""
    nf = name.split()[0]
    args, text = NFS[name]
    platform = Platform(folder)
    try:
        if text is not None:
            args = [word if word != "FILE" else str(platform.write("file", text)) for word in args]
        routes = platform.write("routes.csv", f"*, rx, {nf}\n*, {nf}, tx:0\n*, helper, tx:1\n"
                                              "*, 2, tx:1\n")
        platform.start_manager("--port", "gen:size=200,flows=64", "--port", "null", "--routes",
                               routes)
        helper = start(platform, "simple", service=HELPER, onvm=("--service", "helper"))
        for _ in range(n_kills):
            starting = chance.random() < 0.2
            process = start(platform, nf, *args, wait=not starting)
            if not starting:
                before = platform.nf(nf, platform.status())["rx"]
                platform.wait_for(lambda status: platform.nf(nf, status)["rx"] >= before + 100,
                                  "it works")
            time.sleep(chance.random() * (0.4 if starting else 0.02))
            process.kill()
            end_of(platform, process)
            platform.assert_audit()
            platform.check_alive(helper)
        stats = platform.stop()
        return {"lost": sum(one["lost_in_crash"] for one in stats["nfs"]),
                "rx": sum(port["rx_packets"] for port in stats["ports"])}
    finally:
        platform.clean_up()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="of each NF")
    parser.add_argument("--only", default=",".join(NFS), help="comma-separated")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if why := hugepages_missing():
        print(why)
        return 77
    names = options.only.split(",")
    if unknown := [name for name in names if name not in NFS]:
        parser.error(f"no NF '{unknown[0]}': there are {', '.join(NFS)}")
    chance = random.Random(options.seed)
    for name in names:
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            result = kill_one(name, folder, options.kills, chance)
        print(f"{name}: {options.kills} kills, {options.kills} audits ok, "
              f"{result['lost']} packets lost in them, {result['rx']} received, "
              f"{time.monotonic() - started:.0f} s", flush=True)
    print(f"all found: {len(names) * options.kills} kills, seed {options.seed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
