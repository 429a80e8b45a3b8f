"""An NF that writes garbage wherever it can reach: the manager goes on, and so do the others."""

import signal

import pytest

from harness import assert_nothing_left, read_capture, wait_until

def start(platform, what):
    routes = platform.write("routes.csv", "*, rx, before\n*, before, scribbler\n"
                                          "*, scribbler, after\n*, after, tx\n")
    platform.start_manager("--port", "null:size=200", "--routes", routes, "--pool", "4096")
    platform.start_nf("forward", service="before")
    platform.start_nf("forward", service="after")
    return platform.start_nf("scribbler", "--what", what, "--of", platform.prefix)


@pytest.mark.parametrize("what", ["headers", "packets", "constants", "page"])
def test_a_scribbling_nf_costs_packets_at_most(platform, what):
    """Accounts exact, pool whole; also when it is killed at it, and by what it left behind."""
    for _ in range(2):
        scribbler = (start(platform, what) if platform.manager is None else
                     platform.start_nf("scribbler", "--what", what, "--of", platform.prefix))
        platform.wait_works("scribbler", 2000)
        if what != "page":  # held packets that are none keep an audit from settling
            platform.assert_audit()
        scribbler.kill()
        platform.wait_state("scribbler", "failed")
        platform.assert_audit()
    stats = platform.stop()
    assert stats["refused"]["double_returns"] == 0
    if what == "headers":
        assert stats["drops"].get("bad_packet", 0) > 0


def test_garbage_in_the_indices_of_rings_does_not_end_the_manager(platform):
    """Packets are lost there, and the audit says so; the manager ends in order when it is told to."""
    scribbler = start(platform, "indices")
    platform.wait_for(lambda status: platform.nf("scribbler", status)["rx"] > 0, "it has a burst")
    platform.wait_for(lambda _: not platform.audit()["ok"], "the audit sees it")
    scribbler.kill()
    platform.wait_for(lambda status: not platform.nf("scribbler", status)["pid"], "its death is seen")
    assert platform.status() is not None
    for process in platform.processes:
        process.expected_status = None
    platform.manager.signal(signal.SIGINT)
    assert platform.manager.wait(60) in (0, 1), platform.report()
    for process in platform.processes:
        process.wait()
    assert not platform.final_stats()["audit"]["ok"]
    assert_nothing_left(platform.prefix)


def test_garbage_in_the_headers_of_free_packets_costs_none(platform):
    """RX waits for `after`, so that all packets are free when they are scribbled over."""
    frames = [bytes([number & 255, number >> 8]) + bytes(98) for number in range(2000)]
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, after\n*, after, tx\n")
    platform.start_manager("--port", f"pcap:rx={source},tx={target}", "--routes", routes,
                           "--exit-when-drained")
    scribbler = platform.start_nf("scribbler", "--what", "free", "--of", platform.prefix)
    wait_until(lambda: "all headers are garbage" in scribbler.stderr, "all headers are garbage")
    scribbler.kill()
    platform.spawn_nf("forward", service="after")
    stats = platform.finish()
    assert read_capture(target) == frames
    assert stats["audit"]["ok"]
