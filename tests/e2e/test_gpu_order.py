"""Flows keep their order through chains that cross CPU and GPU several times, for every number of
CPUSyncers, while work-groups move.

HB_ORDER_PACKETS sets how many packets each case plays (10000000 for the long run).
"""

import os
import struct
import subprocess
import threading

import pytest

from harness import BUILD, drops_of

PACKETS = int(os.environ.get("HB_ORDER_PACKETS", "300000"))
FLOWS = 61
FRAME_BYTES = 64
RECORD = struct.Struct(f"<16x42xII{FRAME_BYTES - 50}x")  # flow and number, behind the UDP header


def write_flows(path):
    """A capture of UDP packets; each has its flow and its number in that flow in its payload."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        heads = []
        for flow in range(FLOWS):
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, FRAME_BYTES - 14, 0, 0, 64, 17, 0,
                             bytes([10, 0, 0, 1 + flow]), bytes([10, 1, 0, 1]))
            udp = struct.pack(">HHHH", 1000 + flow, 53, FRAME_BYTES - 34, 0)
            heads.append(struct.pack("<IIII", 1000, 0, FRAME_BYTES, FRAME_BYTES) + bytes(12)
                         + b"\x08\0" + ip + udp + struct.pack("<I", flow))
        tail = bytes(FRAME_BYTES - 50)
        rows = []
        for number in range(PACKETS):
            # Not in turn: neighbours of a burst are of many flows, and of the same one.
            flow = (number * 7919 >> 3) % FLOWS
            rows.append(heads[flow] + number.to_bytes(4, "little") + tail)
            if len(rows) == 100_000:
                out.write(b"".join(rows))
                rows.clear()
        out.write(b"".join(rows))
    return path


def check_order(path):
    """Every packet is there once, and none has overtaken another of its flow."""
    last = [-1] * FLOWS
    n = 0
    with open(path, "rb") as file:
        file.seek(24)
        while chunk := file.read(RECORD.size * 100_000):
            assert len(chunk) % RECORD.size == 0
            for flow, number in RECORD.iter_unpack(chunk):
                assert last[flow] < number, f"flow {flow}: {number} after {last[flow]}"
                last[flow] = number
                n += 1
    assert n == PACKETS


@pytest.mark.parametrize("syncers", [1, 2, 3, 4])
def test_flows_keep_their_order_while_work_groups_move(platform, syncers):
    source = write_flows(platform.folder / "in.pcap")
    target = platform.folder / "out.pcap"
    chain = ["g1", "c1", "g2", "c2", "g3"]
    hops = zip(["rx", *chain], [*chain, "tx"])
    routes = platform.write("routes.csv", "".join(f"*, {a}, {b}\n" for a, b in hops))
    platform.start_manager("--exit-when-drained", "--port", f"pcap:rx={source},tx={target}",
                           "--routes", routes, "--syncers", str(syncers), "--workgroups", "18",
                           gpu="opencl")
    for nf in chain[:-1]:
        gpu = nf.startswith("g")
        platform.start_nf("forward", *(["--workgroups", str(syncers)] if gpu else []), service=nf,
                          gpu=gpu)
    n_moves = 0
    ended = threading.Event()

    def move():
        nonlocal n_moves
        sizes = [syncers + 2, syncers, syncers + 1]
        while not ended.is_set():
            for nf in ("g1", "g2"):
                done = subprocess.run(
                    [BUILD / "bin" / "hbctl", "gpu", "resize", nf, str(sizes[0]), "--prefix",
                     platform.prefix], capture_output=True, check=False)
                n_moves += done.returncode == 0
            sizes.append(sizes.pop(0))

    mover = threading.Thread(target=move)
    mover.start()
    try:
        platform.spawn_nf("forward", "--workgroups", str(syncers), service="g3", gpu=True)
        platform.manager.wait(600 + PACKETS / 10_000)
    finally:
        ended.set()
        mover.join()
    stats = platform.finish()
    check_order(target)
    assert n_moves > 3
    for nf in chain:
        assert not drops_of(stats, nf)
    assert platform.nf("g3", stats)["rx"] == PACKETS
