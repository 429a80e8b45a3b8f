"""Ctrl-C at any time: the platform ends and leaves nothing."""

import os
import signal
import time

import pytest

from harness import (HERE, all_captures, assert_exact, assert_nothing_left, processes_of,
                     wait_until)

RULES = HERE / "rules" / "words.rules"

# Files whose appearance marks how far the start is, and moments between them: the moments are
# not waited for, they only spread the signals.
STAGES = ["lock", "registry", "routes", "control.sock"]
MOMENTS_MS = [0, 5, 10, 20, 30, 40, 60, 80, 100, 130, 160, 200, 300, 400]


def interrupt(platform, manager):
    manager.ctrl_c()
    status = manager.wait()
    assert status in (0, 1, 2, 130, -signal.SIGINT), manager.report()
    wait_until(lambda: not processes_of(platform.prefix), "all processes have ended", 5)
    assert_nothing_left(platform.prefix)
    return status


@pytest.mark.parametrize("gpu", ["none", "opencl"])
def test_ctrl_c_while_starting(make_platform, gpu):
    for moment in [*STAGES, *MOMENTS_MS]:
        platform = make_platform()
        manager = platform.spawn_manager("--port", "null", gpu=gpu)
        if isinstance(moment, str):
            wait_until(lambda: manager.status is not None or os.path.exists(
                f"/run/hummingbird/{platform.prefix}/{moment}"), f"{moment} appears")
        else:
            time.sleep(moment / 1000)
        interrupt(platform, manager)


def test_ctrl_c_of_a_ready_platform_is_a_clean_end(platform):
    platform.start_manager("--port", "null")
    platform.stop()


def test_ctrl_c_under_traffic_through_cpu_and_gpu(platform):
    platform.start_manager("--port", "null:size=200", gpu="opencl")
    platform.start_nf("nids", "--rules", RULES, "--alerts", platform.folder / "alerts.json",
                      gpu=True)
    platform.start_nf("forward")
    platform.wait_traffic()
    platform.stop()


def test_ctrl_c_while_nfs_register(make_platform):
    for moment_ms in (0, 20, 50, 100, 150, 200):
        platform = make_platform()
        platform.start_manager("--port", "null")
        nfs = [platform.spawn_nf("forward", service=f"nf{i}") for i in range(3)]
        time.sleep(moment_ms / 1000)
        platform.manager.ctrl_c()
        platform.manager.expect(0)
        for nf in nfs:
            assert nf.wait() >= 0, nf.report()  # too late is an error, but never a crash
        assert_exact(platform.final_stats())
        assert_nothing_left(platform.prefix)


def test_ctrl_c_of_an_nf_while_it_starts(platform):
    platform.start_manager("--port", "null")
    for moment_ms in (0, 10, 20, 40, 60, 80, 100, 130, 160, 200):
        nf = platform.spawn_nf("forward")
        time.sleep(moment_ms / 1000)
        nf.ctrl_c()
        assert nf.wait() in (0, 1, 130, -signal.SIGINT), nf.report()
        nf.expected_status = None
    platform.start_nf("forward")
    platform.wait_works("forward")
    platform.assert_audit()
    platform.stop()


def test_ctrl_c_twice_ends_at_once(platform):
    """The second one is for those who can't wait: it may cut packets short, but leaves nothing."""
    platform.start_manager("--port", "null")
    platform.start_nf("forward")
    platform.wait_traffic()
    platform.manager.ctrl_c()
    platform.manager.ctrl_c()
    platform.manager.wait()
    wait_until(lambda: not processes_of(platform.prefix), "all processes have ended")
    assert_nothing_left(platform.prefix)


def test_ctrl_c_in_the_middle_of_a_capture(platform):
    """--exit-when-drained, but the user ends it first: what is on its way is counted."""
    source, = [path for path in all_captures() if path.name == "zeek-http_methods.pcap"]
    routes = platform.write("routes.csv", "*, rx, steer\n*, steer, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={platform.folder / 'out.pcap'}")
    platform.start_nf("steer", "--burst-us", "300000")
    platform.wait_for(lambda status: status["ports"][0]["tx_packets"] > 0, "the first are out")
    platform.stop()
