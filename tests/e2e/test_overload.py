"""A chain that can't keep up loses packets where it is slow, or at RX; other chains don't notice."""

import pytest

from harness import summed
from live_traffic import frame, frames
from test_ports import receive

FLOWS = "fast, *, *, *, 53, udp\n"
ROUTES = """
*,    rx,   a
*,    a,    slow
*,    slow, tx:0
fast, rx,   f
fast, f,    tx:2
"""
RING_SIZE = 2048
BATCH = 32


def overloaded(platform, net_namespace, *words):
    """Port 0 floods a -> slow; ports 1 and 2 are cables, of which f serves one into the other."""
    for side in "ab":
        net_namespace.veth(f"in-{side}", f"out-{side}")
    # Not null: what it gives contains whatever was in the packet before, frames of type fast too.
    flood = platform.capture("flood.pcap", frames(64, [7]))
    platform.start_manager("--port", f"vdev:net_pcap0,rx_pcap={flood},infinite_rx=1",
                           "--port", "af_packet:in-a", "--port", "af_packet:in-b",
                           "--routes", platform.write("routes.csv", ROUTES),
                           "--flows", platform.write("flows.csv", FLOWS), *words)
    platform.start_nf("steer", "--burst-us", "10000", service="slow")
    for service in ("a", "f"):
        platform.start_nf("forward", service=service)
    platform.wait_works("slow", 5 * RING_SIZE)


def run(platform, net_namespace, *words):
    """Returns the statistics; all packets of the fast chain have come through by then, in order."""
    overloaded(platform, net_namespace, *words)
    with net_namespace.raw_socket("out-a") as a, net_namespace.raw_socket("out-b") as b:
        for number in range(0, 40 * BATCH, BATCH):
            batch = [frame(1, i, 53) for i in range(number, number + BATCH)]
            for data in batch:
                a.send(data)
            assert receive(b, batch) == batch
    platform.wait_works("slow", 2 * RING_SIZE)
    platform.assert_audit()
    stats = platform.stop()
    assert platform.nf("f", stats)["rx"] == platform.nf("f", stats)["tx"] == 40 * BATCH
    for where in ("ring_full", "overload_early"):
        assert "f" not in stats[where], stats[where]
    assert summed(stats)["nf_drops"] == 0
    return stats


@pytest.fixture
def make(make_platform, net_namespace):
    return lambda *words: run(make_platform(net_namespace=net_namespace.name), net_namespace,
                              *words)


def passed_in_vain(stats):
    """Packets that `a` worked on for each that `slow` could take."""
    nfs = {nf["service"]: nf for nf in stats["nfs"]}
    return nfs["a"]["rx"] / nfs["slow"]["rx"]


def test_late_drops_are_at_the_ring_of_the_slow_nf(make):
    stats = make()
    assert stats["ring_full"]["slow"] > 10 * RING_SIZE
    # Those that the start of each NF costs under a flood may be there besides.
    assert set(stats["drops"]) <= {"ring_full", "missing_nf", "reload_hold"}
    assert passed_in_vain(stats) > 10


def test_early_drops_are_at_rx(make):
    stats = make("--overload", "early")
    assert stats["overload_early"]["slow"] > 10 * RING_SIZE
    assert stats["drops"]["overload_early"] == sum(stats["overload_early"].values())
    assert passed_in_vain(stats) < 5
