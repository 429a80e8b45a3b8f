"""gpu_host, control processes and the GPU's neighbours die or hang at each step of what they do.

As test_fault_points.py; of gpu_host, what lay in its slots and bursts may be lost.
"""

import contextlib
import os

import pytest

from faults import KILL, MAX_BURST, SEGV, STOP, Chain, _platform, _traffic, hbctl_may_fail  # noqa: F401
from harness import pid_of_gpu_host, wait_until
from test_fault_points import BURST

FILLING = ["peeked", "slot_written", "record_named", "slots_filled"]
ON_THE_DEVICE = ["padded", "round_published", "launching", "launch_over"]
DRAINING = ["answers_read", "copied_to_control", "published", "slots_drained"]
ADDING = ["table_uploaded", "slice_made", "slice_shared"]
OPENING = ["registration_sent", "contexts_mapped", "self_tested"]
CHANGING = ["replacing", "changing_over", "replaced"]
REMOVING = ["slice_leaving", "share_ended", "slice_gone"]


PASS_ON = ('#include "packet.h"\nDEVICE void gpu_nf_round(const HbRound* round) {\n'
           "  HbPacket packet = hb_packet(round, round->lane);\n"
           "  hb_answer(round, round->lane, &packet, HB_VERDICT_NEXT, 0);\n}\n")


def play_gpu(platform, traffic, victim, reloads=False):
    """rx, slow, before, ids (GPU), after, tx. `victim` has points; so has gpu_host.

    Half of the packets go past ids, so that rounds are padded; each that it sees is copied to it.

    @param reloads  ids is an NF that can be given another kernel, and wants no copies
    """
    chain = Chain(platform, traffic, "*, rx, slow\n*, slow, before\nodd, before, ids\n"
                                     "*, before, after\nodd, ids, after\n*, after, tx\n", gpu="opencl")
    rules = platform.write("odd.rules", 'alert udp any any -> any 54 (msg:"odd"; sid:1;)\n')
    ids = ["--rules", rules, "--alerts", platform.folder / "alerts.json", "--workgroups", "2"]
    # gpu_host takes seconds to come back on a busy machine, and the capture is to last until then.
    platform.start_nf("steer", "--burst-us", "16000", service="slow")
    for service in ("before", "after"):
        if service == victim:
            platform.start_with_points("steer", service=service)
        else:
            platform.start_nf("forward", service=service)
    if reloads:
        ids = ["--kernel", platform.write("pass_on.cl", PASS_ON), "--workgroups", "2"]
    platform.start_with_points("gpu_custom" if reloads else "nids", *ids, service="ids", gpu=True)
    platform.wait_works("after")
    return chain


def reload_ids(platform):
    hbctl_may_fail(platform, "reload", "ids", "--kernel", platform.folder / "pass_on.cl")


@pytest.mark.parametrize("victim", ["before", "after"])
def test_a_neighbour_of_the_gpu_dies_at_each_step_of_a_burst(platform, traffic, victim):
    chain = play_gpu(platform, traffic, victim)
    for point, number in BURST:
        chain.dies(victim, point, number, MAX_BURST, passes=3)
    chain.finish()


def test_a_control_process_dies_at_each_step(platform, traffic):
    """No packet is in its hands, so none is lost."""
    chain = play_gpu(platform, traffic, None)
    for point in ["registration_sent", "registered", "set_up", "table_made", "ready_sent", "running"]:
        chain.dies("ids", point, KILL, 0, trigger=lambda: chain.kill("ids"))
    for point in ["copy_handled", "copy_taken"]:
        chain.dies("ids", point, SEGV, 0, passes=3)
    chain.finish()


def test_a_control_process_dies_at_each_step_of_a_reload(platform, traffic):
    chain = play_gpu(platform, traffic, None, reloads=True)
    for point in ["reload_asked", "replacement_sent", "reload_done", "reload_answered"]:
        chain.dies("ids", point, KILL, 0, trigger=lambda: reload_ids(platform))
    chain.finish()


GPU_BOUND = 2 * 4 * MAX_BURST + 2 * MAX_BURST  # slots of its work-groups, and a burst each way


# Five deaths soon after the start would be a crash loop, so a platform sees four at most.
@pytest.mark.parametrize("points", [FILLING, ON_THE_DEVICE, DRAINING],
                         ids=["filling", "on-the-device", "draining"])
def test_gpu_host_dies_at_each_step_of_a_burst(platform, traffic, points):
    chain = play_gpu(platform, traffic, None)
    for point in points:
        chain.dies("ids", point, KILL, GPU_BOUND, passes=3, of="gpu_host")
        platform.wait_works("ids", MAX_BURST)
    chain.finish()


@pytest.mark.parametrize("points", [OPENING, ADDING], ids=["opening", "adding"])
def test_gpu_host_dies_at_each_step_of_its_start(platform, traffic, points):
    chain = play_gpu(platform, traffic, None)
    fault = platform.fault("gpu_host")
    dead = {pid_of_gpu_host(platform)}
    for point in points:
        fault.arm(point, KILL)
        if point == points[0]:
            os.kill(*dead, KILL)
        dead.add(fault.wait_fired(platform, point))
    assert len(dead) == 1 + len(points)
    platform.wait_works("ids", MAX_BURST)
    platform.assert_audit()
    chain.finish()


def test_gpu_host_dies_at_each_step_of_a_change_of_tables(platform, traffic):
    chain = play_gpu(platform, traffic, None, reloads=True)
    for point in CHANGING:
        chain.dies("ids", point, KILL, GPU_BOUND, of="gpu_host",
                   trigger=lambda: reload_ids(platform))
    chain.finish()


def test_gpu_host_dies_while_a_slice_is_given_back(platform, traffic):
    chain = play_gpu(platform, traffic, None)
    for point in REMOVING:
        chain.dies("ids", point, KILL, GPU_BOUND, of="gpu_host",
                   trigger=lambda: chain.kill("ids"))
    chain.finish()


def test_counts_are_kept_when_the_platform_ends_while_gpu_host_comes_back(platform, traffic):
    chain = play_gpu(platform, traffic, None)
    fault = platform.fault("gpu_host")
    fault.arm("slots_filled", STOP)
    first = fault.wait_fired(platform, "slots_filled")
    fault.arm("self_tested", STOP)  # the next one, which may come at once
    with contextlib.suppress(ProcessLookupError):  # the manager may have done so: it was hung
        os.kill(first, KILL)
    fault.wait_fired(platform, "self_tested")
    stats = chain.finish()
    assert 0 < platform.nf("ids", stats)["lost_in_crash"] <= GPU_BOUND


@pytest.mark.parametrize("point", ["stopping", "torn_down"])
def test_gpu_host_dies_at_the_end_of_the_platform(platform, traffic, point):
    chain = play_gpu(platform, traffic, None)
    platform.fault("gpu_host").arm(point, KILL)
    chain.finish()
    assert platform.fault("gpu_host").fired()
