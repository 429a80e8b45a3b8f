"""NFs that make no progress: which are killed, and which are left alone."""

import os
import signal

import pytest

from faults import STOP, _platform  # noqa: F401
from harness import pid_of_gpu_host, summed, wait_until
from supervised import kill_gpu_host, kill_instance, wait_successor
from test_fault_points import ENDING

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


def test_an_nf_that_hangs_on_its_way_out_is_killed(platform):
    """Nothing waits for it but its end. Eight contexts last for any number of such ends."""
    platform.start_fault_manager("--port", "null", "--nf-timeout", "200", "--max-contexts", "8",
                                 gpu="none")
    fault = platform.fault("forward")
    for point in (*ENDING, *ENDING, ENDING[0]):
        supervisor = platform.start_with_points("forward", service="forward")
        supervisor.expected_status = None
        platform.wait_works("forward")
        fault.arm(point, STOP)
        platform.hbctl("stop", "forward")
        pid = fault.wait_fired(platform, point)
        platform.wait_for(lambda status: not platform.nf("forward", status)["pid"], "it is gone")
        words = f"(pid {pid}) is hung: it is to end"
        assert words in platform.manager.stderr, (point, platform.report())
        supervisor.wait()
    platform.assert_audit()
    platform.stop()


def wait_new_gpu_host(platform, stopped):
    """Waits until the manager has killed the stopped one, and the next one is ready."""
    platform.wait_for(lambda status: status["gpu"]["state"] == "ready"
                      and pid_of_gpu_host(platform) not in (None, stopped), "a new gpu_host")
    assert f"gpu_host (pid {stopped}) is hung" in platform.manager.stderr, platform.report()
    platform.assert_audit()
    platform.stop()


@pytest.mark.parametrize("point", ["registration_sent", "self_tested"])
def test_a_gpu_host_that_hangs_while_it_starts_is_killed(platform, point):
    """No packet waits for it yet."""
    platform.start_fault_manager("--port", "null", "--nf-timeout", "200")
    platform.wait_for(lambda status: status["gpu"]["state"] == "ready", "gpu_host is ready")
    fault = platform.fault("gpu_host")
    fault.arm(point, STOP)
    kill_gpu_host(platform)  # the first one has to come up; what comes after it need not
    wait_new_gpu_host(platform, fault.wait_fired(platform, point))


def test_an_idle_gpu_host_that_hangs_is_killed(platform):
    platform.start_manager("--port", "null", "--nf-timeout", "200", gpu="opencl")
    platform.wait_for(lambda status: status["gpu"]["state"] == "ready", "gpu_host is ready")
    stopped = pid_of_gpu_host(platform)
    os.kill(stopped, signal.SIGSTOP)
    wait_new_gpu_host(platform, stopped)
