"""gpu_host, control processes and the GPU's neighbours die or hang at each step of what they do.

As test_fault_points.py; of gpu_host, what lay in its slots and bursts may be lost.
"""

import os
import signal

import pytest

from faults import KILL, MAX_BURST, SEGV, STOP, Chain, _platform, _traffic, hbctl_may_fail  # noqa: F401
from harness import HERE, pid_of_gpu_host
from supervised import kill_gpu_host, wait_next_gpu_host
from test_fault_points import BURST

FILLING = ["peeked", "slot_written", "record_named", "slots_filled"]
ON_THE_DEVICE = ["padded", "round_published", "launching", "launch_over"]
DRAINING = ["answers_read", "copied_to_control", "published", "slots_drained"]
ADDING = ["table_uploaded", "slice_made", "slice_shared"]
OPENING = ["registration_sent", "contexts_mapped", "self_tested"]
CHANGING = ["replacing", "changing_over", "replaced"]
REMOVING = ["slice_leaving", "share_ended", "slice_gone"]
FOREVER_MS = 60_000  # an --nf-timeout that leaves what is stopped to the test


PASS_ON = ('#include "packet.h"\nDEVICE void gpu_nf_round(const HbRound* round) {\n'
           "  HbPacket packet = hb_packet(round, round->lane);\n"
           "  hb_answer(round, round->lane, &packet, HB_VERDICT_NEXT, 0);\n}\n")


def play_gpu(platform, traffic, victim, reloads=False, nf_timeout_ms=200):
    """rx, slow, before, ids (GPU), after, tx. `victim` has points; so has gpu_host.

    Half of the packets go past ids, so that rounds are padded; each that it sees is copied to it.

    @param reloads  ids is an NF that can be given another kernel, and wants no copies
    """
    chain = Chain(platform, traffic, "*, rx, slow\n*, slow, before\nodd, before, ids\n"
                                     "*, before, after\nodd, ids, after\n*, after, tx\n", gpu="opencl",
                  nf_timeout_ms=nf_timeout_ms)
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
    chain = play_gpu(platform, traffic, None, nf_timeout_ms=FOREVER_MS)
    fault = platform.fault("gpu_host")
    pids = [pid_of_gpu_host(platform)]
    for point in points:
        fault.arm(point, STOP)  # it waits at the point for its death, until the next order is given
        os.kill(pids[-1], KILL)
        pids.append(fault.wait_fired(platform, point))
    os.kill(pids[-1], KILL)
    assert len(set(pids)) == 1 + len(points)
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


def hold_next_gpu_host(platform):
    """Kills gpu_host; the next one is stopped before it is ready. Returns the next one's pid."""
    fault = platform.fault("gpu_host")
    fault.arm("self_tested", STOP)  # the next one may come at once
    kill_gpu_host(platform)
    return fault.wait_fired(platform, "self_tested")


def start_nids(platform, *options):
    """A manager and a GPU NF that null packets go through; a gpu_host that is stopped stays."""
    platform.start_fault_manager("--port", "null", "--nf-timeout", FOREVER_MS, *options)
    return platform.start_nf("nids", "--rules", HERE / "rules" / "words.rules", "--alerts",
                             platform.folder / "alerts.json", gpu=True)


@pytest.mark.parametrize("missing", ["drop", "skip"])
def test_gpu_nfs_have_failed_until_the_next_gpu_host_is_ready(platform, missing):
    """Packets for them follow --missing-nf meanwhile; then they run again."""
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, forward\n*, forward, tx\n")
    start_nids(platform, "--routes", routes, "--missing-nf", missing)
    platform.start_nf("forward")
    platform.wait_works("nids", 1000)
    held = hold_next_gpu_host(platform)
    assert platform.nf("nids", platform.wait_traffic(0))["state"] == "failed"
    if missing == "skip":
        status = platform.wait_works("forward", 20_000)  # more than the pool: they came past nids
    else:
        before = platform.status()["missing_nf"].get("nids", 0)
        status = platform.wait_for(lambda now: now["missing_nf"].get("nids", 0) > before + 20_000,
                                   "packets for nids are dropped")
    assert platform.nf("nids", status)["state"] == "failed"
    os.kill(held, signal.SIGCONT)
    wait_next_gpu_host(platform, "nids", None)
    platform.wait_works("nids", 1000)
    platform.assert_audit()
    stats = platform.stop()
    assert ("missing_nf" in stats["drops"]) == (missing == "drop")


def test_a_gpu_nf_that_waits_for_gpu_host_can_be_stopped(platform):
    """And another one is none of its successors."""
    nids = start_nids(platform)
    platform.wait_works("nids", 1000)
    held = hold_next_gpu_host(platform)
    platform.wait_state("nids", "failed")
    platform.hbctl("stop", "nids")
    nids.expect(0)
    platform.wait_state("nids", "stopped")
    os.kill(held, signal.SIGCONT)
    platform.start_nf("nids", *nids.command[nids.command.index("--rules"):], gpu=True)
    platform.wait_works("nids", 1000)
    platform.assert_audit()
    platform.stop()


def test_counts_are_kept_when_the_platform_ends_while_gpu_host_comes_back(platform, traffic):
    chain = play_gpu(platform, traffic, None, nf_timeout_ms=FOREVER_MS)
    fault = platform.fault("gpu_host")
    fault.arm("slots_filled", STOP)
    fault.wait_fired(platform, "slots_filled")
    hold_next_gpu_host(platform)
    stats = chain.finish()
    assert 0 < platform.nf("ids", stats)["lost_in_crash"] <= GPU_BOUND


@pytest.mark.parametrize("point", ["stopping", "torn_down"])
def test_gpu_host_dies_at_the_end_of_the_platform(platform, traffic, point):
    chain = play_gpu(platform, traffic, None)
    platform.fault("gpu_host").arm(point, KILL)
    chain.finish()
    assert platform.fault("gpu_host").fired()
