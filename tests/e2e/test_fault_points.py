"""Processes that die or hang at each step of what they do, in each place of a chain.

After each death: at most one burst, what was held, or what lay in GPU slots is lost, and counted;
an audit finds every packet once; packets go on through the process' successor. At the end the
accounts are exact, the pool is whole, no packet came out twice, and each flow kept its order.
"""

import os
import signal

import pytest

from faults import FAULTS, KILL, MAX_BURST, SEGV, STOP, Chain, _platform, _traffic, hbctl_may_fail  # noqa: F401
from harness import BUILD, summed

# In the order in which a process passes them.
STARTING = ["connected", "eal_started", "packets_mapped", "registering", "registration_sent",
            "registered", "page_mapped", "setting_up", "set_up", "ready_sent", "running"]
BURST = [("peeked", KILL), ("processed", SEGV), ("record_written", KILL), ("record_named", KILL),
         ("published", STOP), ("all_published", KILL), ("committed", SEGV)]
RELEASE = [("held", KILL), ("release_chosen", SEGV), ("record_named", KILL), ("published", KILL),
           ("release_published", STOP), ("held_cleared", KILL), ("release_over", KILL)]
RELOAD = ["reload_asked", "reload_done", "reload_answered"]
ENDING = ["stopping", "torn_down", "leaving", "bye_said"]


def play(platform, traffic, victim, nf, *args):
    """rx, slow, first, fan, then by type middle or side, fanin, last, tx; one of them with points."""
    chain = Chain(platform, traffic,
                  "*, rx, slow\n*, slow, first\n*, first, fan\n*, fan, middle\nodd, fan, side\n"
                  "*, middle, fanin\nodd, side, fanin\n*, fanin, last\n*, last, tx\n")
    for service in ("slow", "first", "fan", "middle", "side", "fanin", "last"):
        if service == victim:
            platform.start_with_points(nf, *args, service=service)
        else:
            slowly = ["--burst-us", "4000"] if service == "slow" else []
            platform.start_nf("steer" if slowly else "forward", *slowly, service=service)
    platform.wait_works(victim)
    return chain


@pytest.mark.parametrize("victim, nf", [("first", "forward"), ("fan", "steer"), ("middle", "steer"),
                                        ("fanin", "forward"), ("last", "steer")])
def test_an_nf_dies_at_each_step_of_a_burst(platform, traffic, victim, nf):
    chain = play(platform, traffic, victim, nf)
    for point, number in BURST:
        # forward is idempotent: what it had in hand is its successor's.
        chain.dies(victim, point, number, MAX_BURST if nf == "steer" else 0, passes=3)
    stats = chain.finish()
    assert platform.nf(victim, stats)["restarts"] == len(BURST)


def test_an_nf_dies_at_each_step_of_holding_and_releasing(platform, traffic):
    """It holds every packet and lets go of all before the next burst, so flows keep their order."""
    chain = play(platform, traffic, "middle", "holder", "--every", "1", "--release", "burst")
    for point, number in RELEASE:
        chain.dies("middle", point, number, 2 * MAX_BURST, passes=5)
    stats = chain.finish()
    assert platform.nf("middle", stats)["lost_in_crash"] > 0


def test_an_nf_that_originates_dies_at_each_step(platform, traffic):
    chain = play(platform, traffic, "first", "source", "--count", "1000000", "--ipv4")
    for point in ("fill_ring_peeked", "record_named", "published", "originated_published"):
        chain.dies("first", point, KILL, MAX_BURST, passes=9)
    platform.fault("first").disarm()
    platform.hbctl("stop", "first")  # its packets are no flow of the capture's
    stats = platform_end_without_order(chain)
    assert summed(stats)["originated"] > 0


def platform_end_without_order(chain):
    for process in chain.platform.processes:
        if process is not chain.platform.manager:
            process.expected_status = None
    return chain.platform.stop()


@pytest.mark.parametrize("victim", ["first", "last"])
def test_an_nf_dies_at_each_step_of_its_start(platform, traffic, victim):
    chain = play(platform, traffic, victim, "forward")
    for point in STARTING:
        chain.dies(victim, point, KILL, 0, trigger=lambda: chain.kill(victim))
    chain.finish()


def test_an_nf_dies_at_each_step_of_a_reload(platform, traffic):
    chain = play(platform, traffic, "middle", "steer")
    for point in RELOAD:
        chain.dies("middle", point, KILL, MAX_BURST, trigger=lambda: hbctl_may_fail(
            platform, "reload", "middle", "--every", "3"))
    chain.finish()


@pytest.mark.parametrize("nf, args, points", [
    ("forward", [], ENDING), ("holder", ["--every", "7", "--release", "never"], ["flushed"])])
def test_an_nf_dies_at_each_step_of_its_end(platform, traffic, nf, args, points):
    chain = play(platform, traffic, "middle", nf, *args)
    for point in points:
        fault = platform.fault("middle")
        fault.arm(point, KILL)
        platform.hbctl("stop", "middle")
        pid = fault.wait_fired(platform, point)
        platform.wait_for(lambda status: not any(nf["pid"] == pid for nf in status["nfs"]),
                          "its death is seen")
        platform.assert_audit()
        platform.wait_for(lambda status: not platform.nf("middle", status)["pid"], "it is gone")
        platform.start_with_points(nf, *args, service="middle")
        platform.wait_works("middle", MAX_BURST)
    stats = chain.finish()
    if nf == "forward":
        assert summed(stats)["lost_in_crash"] == 0


def test_shipped_programs_have_no_points():
    shipped = [path for folder in ("bin", "nfs") for path in (BUILD / folder).iterdir()
               if path.is_file() and os.access(path, os.X_OK)]
    assert {"gpu_host", "manager", "nf_supervisor", "forward"} <= {path.name for path in shipped}
    for path in shipped:
        blob = path.read_bytes()
        assert b"HB_FAULT_FILE" not in blob and b"fault_point" not in blob, path
        assert b"record_written" not in blob, path
    with_points = (FAULTS / "nfs" / "forward").read_bytes()
    assert b"HB_FAULT_FILE" in with_points and b"record_written" in with_points


def test_ctrl_c_between_running_and_hearing_of_it_is_an_orderly_end(platform):
    """Packets may come before the NF has read the answer to its ready."""
    platform.start_fault_manager("--port", "null", "--nf-timeout", "60000", gpu="none")
    fault = platform.fault("forward")
    fault.arm("ready_sent", STOP)
    forward = platform.spawn("forward", [FAULTS / "nfs" / "forward", "--prefix", platform.prefix],
                             fault.environment)
    fault.wait_fired(platform, "ready_sent")
    platform.wait_running("forward", forward)
    forward.ctrl_c()
    forward.signal(signal.SIGCONT)
    forward.expect(0)
    platform.stop()
