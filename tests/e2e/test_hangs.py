"""NFs that make no progress: which are killed, and which are left alone."""

import signal

from harness import summed, wait_until
from supervised import kill_instance, wait_successor

CHAIN = "*, rx, forward\n*, forward, tx\n"


def test_a_hung_nf_is_killed_and_restarted(platform):
    """Stopped with packets waiting: after --nf-timeout it is treated like a crash."""
    routes = platform.write("routes.csv", CHAIN)
    platform.start_manager("--port", "null", "--routes", routes, "--nf-timeout", "200")
    platform.start_supervised("forward")
    platform.wait_works("forward", 1000)
    old = kill_instance(platform, "forward", signal.SIGSTOP)
    status = wait_successor(platform, "forward", old)
    assert "hung" in platform.nf("forward", status)["last_end"]
    assert f"pid {old}) is hung" in platform.manager.stderr
    platform.wait_works("forward", 1000)
    platform.assert_audit()
    platform.stop()


def test_an_nf_in_an_endless_loop_is_killed(platform):
    routes = platform.write("routes.csv", "*, rx, steer\n*, steer, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--nf-timeout", "200")
    steer = platform.start_nf("steer", "--burst-us", "100000000")
    steer.expected_status = -signal.SIGKILL
    steer.expect(-signal.SIGKILL)
    nf = platform.nf("steer", platform.wait_state("steer", "failed"))
    assert "hung" in nf["failure"]
    platform.assert_audit()
    platform.stop()


def test_an_idle_nf_is_not_hung(platform):
    """Stopped, but nothing waits for it."""
    routes = platform.write("routes.csv", "*, rx, first\n*, first, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--nf-timeout", "50")
    platform.start_nf("forward", service="first")
    idle = platform.start_nf("forward", service="idle")  # no route leads there
    idle.signal(signal.SIGSTOP)
    platform.wait_traffic(20_000)
    idle.signal(signal.SIGCONT)
    assert platform.nf("idle", platform.status())["state"] == "running"
    platform.stop()


def test_a_debugger_is_left_alone(platform):
    routes = platform.write("routes.csv", CHAIN)
    platform.start_manager("--port", "null", "--routes", routes, "--nf-timeout", "50", "--debug-nf")
    forward = platform.start_nf("forward")
    platform.wait_works("forward", 1000)
    forward.signal(signal.SIGSTOP)
    wait_until(lambda: "--debug-nf" in platform.manager.stderr, "the manager says so")
    seen = summed(platform.status())["rx"]
    platform.wait_for(lambda status: summed(status)["rx"] > seen + 100_000, "time passes")
    forward.signal(signal.SIGCONT)
    platform.wait_works("forward", 1000)
    assert platform.manager.stderr.count("--debug-nf") == 1
    stats = platform.stop()
    assert platform.nf("forward", stats)["lost_in_crash"] == 0
