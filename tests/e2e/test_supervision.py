"""Supervised NFs: restarts, what waits for them, how their ends are shown."""

import os
import shutil
import signal

import pytest

from harness import (BUILD, assert_nothing_left, processes_of, program_of, read_capture, summed,
                     wait_until)
from supervised import kill_instance, pid_of, wait_successor
from test_scale import assert_flows_in_order, interleaved

CHAIN = "*, rx, forward\n*, forward, tx\n"
MAX_BURST = 64


def test_a_killed_nf_is_restarted_and_loses_no_more_than_a_burst(platform):
    """What waits in its rings is its successor's; what was in its hands too, as it is idempotent."""
    frames = interleaved(150_000)
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, steer\n*, steer, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    platform.start_supervised("forward")
    platform.start_supervised("steer", "--burst-us", "2000")
    for service in ("steer", "forward"):
        platform.wait_for(lambda status: summed(status)["tx"] > 0, "traffic")
        old = kill_instance(platform, service)
        status = wait_successor(platform, service, old)
        nf = platform.instances(service, status)[0]
        assert nf["restarts"] == 1 and nf["last_end"] == "killed by SIGKILL", nf
    stats = platform.finish()
    received = read_capture(target)
    assert_flows_in_order(received, complete=False)
    assert platform.instances("forward", stats)[0]["lost_in_crash"] == 0
    lost = platform.instances("steer", stats)[0]["lost_in_crash"]
    assert 0 < lost <= MAX_BURST
    assert stats["drops"] == {}
    assert len(received) == len(frames) - lost


@pytest.mark.parametrize("number, words", [(signal.SIGSEGV, "killed by SIGSEGV"),
                                           (signal.SIGKILL, "killed by SIGKILL")])
def test_the_default_is_no_restart_but_the_end_is_shown(platform, number, words):
    platform.start_manager("--port", "null")
    supervisor = platform.start_supervised("forward", restart="never")
    platform.wait_traffic()
    kill_instance(platform, "forward", number)
    supervisor.expected_status = 128 + number
    supervisor.expect(128 + number)
    platform.wait_for(lambda status: platform.nf("forward", status)["state"] == "failed"
                      and platform.nf("forward", status).get("last_end") == words, words)
    assert words in platform.hbctl("nfs")
    platform.assert_audit()
    platform.stop()


def test_an_nf_with_bad_options_is_not_restarted(platform):
    """It never worked: its line is printed once, its status is the supervisor's."""
    platform.start_manager("--port", "null")
    supervisor = platform.spawn("router", [BUILD / "bin" / "nf_supervisor", program_of("router"),
                                           "--restart", "always", "--prefix", platform.prefix,
                                           "--route-file", "/nowhere.csv"])
    supervisor.expected_status = 1
    supervisor.expect(1)
    assert supervisor.stderr.count("/nowhere.csv") == 1, supervisor.report()
    platform.stop()


@pytest.mark.parametrize("arguments, words", [
    (["--restart", "sometimes"], ["--restart", "sometimes"]),
    (["--instances", "0"], ["--instances"]),
    (["--instances", "many"], ["--instances", "many"]),
])
def test_bad_options_of_the_supervisor_are_refused(platform, arguments, words):
    platform.spawn("forward", [BUILD / "bin" / "nf_supervisor", program_of("forward"),
                               *arguments]).expect_refusal(*words)


def test_a_supervisor_without_a_manager_says_so(platform):
    platform.spawn("forward", [BUILD / "bin" / "nf_supervisor", program_of("forward"), "--prefix",
                               platform.prefix]).expect_refusal(platform.prefix, "manager")
    assert_nothing_left(platform.prefix)


def test_a_crash_loop_ends_in_failed(platform):
    """Five deaths soon after the start, in a row; then packets follow --missing-nf."""
    routes = platform.write("routes.csv", CHAIN)
    platform.start_manager("--port", "null", "--routes", routes)
    supervisor = platform.start_supervised("forward", restart="always")
    supervisor.expected_status = 128 + signal.SIGSEGV

    def next_or_none(status):
        nf = platform.nf("forward", status)
        return nf["state"] == "failed" or (nf["state"] == "running" and nf["pid"] != old)

    for _ in range(10):  # more than five: on a machine that stutters a life may be too long to count
        platform.wait_works("forward", 10)
        old = kill_instance(platform, "forward", signal.SIGSEGV)
        status = platform.wait_for(next_or_none, "the next one runs, or there is none")
        if platform.nf("forward", status)["state"] == "failed":
            break
    supervisor.expect(128 + signal.SIGSEGV)
    nf = platform.nf("forward", platform.wait_state("forward", "failed"))
    assert "crash loop" in nf["failure"] and nf["last_end"] == "killed by SIGSEGV", nf
    assert nf["restarts"] >= 4
    platform.wait_for(lambda status: status["missing_nf"].get("forward", 0) > 100, "drops")
    platform.assert_audit()
    platform.stop()


def test_packets_wait_while_the_restart_is_put_off(platform):
    """During the back-off nothing is dropped but what the rings can't hold; then it goes on."""
    frames = interleaved(150_000)
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", CHAIN)
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    platform.start_supervised("steer", "--burst-us", "2000", service="forward")
    for _ in range(3):  # the second and third restart come after a while
        platform.wait_works("forward", 100)
        wait_successor(platform, "forward", kill_instance(platform, "forward"))
    stats = platform.finish()
    received = read_capture(target)
    assert_flows_in_order(received, complete=False)
    assert stats["drops"] == {}
    lost = platform.nf("forward", stats)["lost_in_crash"]
    assert lost <= 3 * MAX_BURST
    assert len(received) == len(frames) - lost


def put_a_restart_off(platform, service):
    """The service's process is dead, and its seventh successor comes after 3.2 s. Returns its pid."""
    for _ in range(6):  # after 0, 0.1, 0.2, 0.4, 0.8, 1.6 s
        wait_successor(platform, service, kill_instance(platform, service))
    old = kill_instance(platform, service)
    platform.wait_state(service, "restarting")
    return old


def test_stop_while_a_restart_is_put_off(platform):
    """hbctl stop takes a place that waits away; packets follow --missing-nf."""
    routes = platform.write("routes.csv", CHAIN)
    platform.start_manager("--port", "null", "--routes", routes)
    supervisor = platform.start_supervised("forward", "--restart-limit", "0", restart="always")
    supervisor.expected_status = None
    put_a_restart_off(platform, "forward")
    platform.hbctl("stop", "forward")
    supervisor.wait()
    platform.wait_state("forward", "stopped")
    platform.wait_for(lambda status: status["missing_nf"].get("forward", 0) > 100, "drops")
    platform.assert_audit()
    platform.stop()


def test_a_change_of_routes_does_not_wait_for_a_restart(platform):
    """Another NF leaves while one waits for its restart: the drain takes what waits."""
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, last\n*, last, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.start_supervised("forward", "--restart-limit", "0", restart="always")
    last = platform.start_nf("forward", service="last")
    old = put_a_restart_off(platform, "forward")
    last.ctrl_c()
    last.expect(0)
    assert platform.nf("forward", platform.status())["state"] == "restarting"
    wait_successor(platform, "forward", old)
    platform.wait_works("forward", 1000)
    platform.stop()


def test_ctrl_c_ends_supervisor_and_nfs_in_order(platform):
    platform.start_manager("--port", "null")
    supervisor = platform.start_supervised("forward", restart="always", instances=2)
    platform.wait_traffic()
    supervisor.ctrl_c()
    supervisor.expect(0)
    status = platform.status()
    assert [nf["state"] for nf in status["nfs"]] == ["stopped", "stopped"]
    assert summed(status)["lost_in_crash"] == 0
    platform.stop()


def test_nfs_of_a_killed_supervisor_end_by_themselves(platform):
    """They drain and stop: no process stays that nobody would start again."""
    platform.start_manager("--port", "null")
    supervisor = platform.start_supervised("forward", restart="always", instances=2)
    platform.wait_traffic()
    supervisor.kill()
    platform.wait_for(lambda status: [nf["state"] for nf in status["nfs"]] == ["stopped"] * 2,
                      "both have stopped")
    stats = platform.stop()
    assert summed(stats)["lost_in_crash"] == 0


def test_a_place_that_waits_is_given_back_when_its_supervisor_is_killed(platform):
    """Each time all of it: eight contexts last for any number of such ends."""
    platform.start_manager("--port", "null", "--max-contexts", "8")
    for _ in range(9):
        supervisor = platform.start_supervised("forward", restart="always")
        platform.wait_traffic(100)
        supervisor.signal(signal.SIGSTOP)  # so that the next process does not come
        kill_instance(platform, "forward")
        platform.wait_for(lambda status: platform.nf("forward", status)["state"] in (
            "restarting", "failed"), "its death is seen")  # it fails when no word comes in a second
        supervisor.kill()
        platform.wait_state("forward", "failed")
    platform.start_nf("forward")
    platform.wait_works("forward")
    platform.stop()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_nf_ends_while_the_routes_to_it_are_not_in_force_yet(platform, how):
    """Packets that wait in a slow NF keep the change open; then they come to where it was."""
    routes = platform.write("routes.csv", "*, rx, slow\n*, slow, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--nf-timeout", "60000")
    platform.start_nf("steer", "--burst-us", "20000", service="slow")
    platform.wait_for(lambda status: status["ring_full"].get("slow", 0) > 1000, "its ring is full")
    for _ in range(3):
        forward = platform.start_nf("forward")
        if how == "stop":
            forward.ctrl_c()
            forward.expect(0)
        else:
            forward.kill()
        platform.wait_for(lambda status: not any(
            nf["pid"] for nf in platform.instances("forward", status).values()), "it is gone")
    platform.start_nf("forward", service="other")  # takes an endpoint that may have become free
    platform.start_nf("forward")
    platform.wait_works("forward", 200)
    platform.assert_audit()
    stats = platform.stop()
    assert platform.nf("other", stats)["rx"] == 0


def test_a_supervisor_ends_with_the_manager(platform):
    platform.start_manager("--port", "null")
    supervisor = platform.start_supervised("forward", restart="always")
    supervisor.expected_status = None
    platform.wait_traffic()
    platform.manager.kill()
    wait_until(lambda: not processes_of(platform.prefix), "all have ended")
    assert supervisor.wait() == 1
    assert "gone" in supervisor.stderr, supervisor.report()


def test_scale_out_and_in_under_traffic(platform):
    """1, 3, 1: nothing is lost, each flow stays in order, the newest leave first."""
    frames = interleaved(150_000)
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, steer\n*, steer, last\n*, last, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    platform.start_supervised("steer", "--burst-us", "4000")
    platform.start_nf("forward", service="last")
    platform.wait_for(lambda status: summed(status)["tx"] > 0, "traffic")
    first = pid_of(platform, "steer")
    assert "3" in platform.hbctl("scale", "steer", "3")
    platform.wait_instances("steer", 3)
    for instance in range(3):
        seen = platform.instances("steer", platform.status())[instance]["rx"]
        platform.wait_for(lambda status: platform.instances("steer", status)[instance]["rx"] > seen,
                          f"instance {instance} gets packets")
    platform.hbctl("scale", "steer", "1")
    status = platform.wait_instances("steer", 1)
    assert platform.instances("steer", status)[0]["pid"] == first
    assert summed(status)["tx"] < len(frames), "the capture was too short for this test"
    stats = platform.finish()
    assert stats["drops"] == {} and summed(stats)["lost_in_crash"] == 0
    received = read_capture(target)
    assert len(received) == len(frames)
    assert_flows_in_order(received)


def test_scale_says_what_it_can_not_do(platform):
    platform.start_manager("--port", "null")
    assert "forward" in platform.hbctl("scale", "forward", "2", status=1)
    platform.start_nf("forward", service="bare")
    assert "start_nf.sh" in platform.hbctl("scale", "bare", "2", status=1)
    platform.start_supervised("lonely")
    assert "only one" in platform.hbctl("scale", "lonely", "2", status=1)
    assert "hbctl stop" in platform.hbctl("scale", "lonely", "0", status=1)
    platform.stop()


@pytest.mark.parametrize("nf", ["steer", "lonely"], ids=["joins-first", "hands-over"])
def test_a_rolling_restart_under_traffic_loses_nothing(platform, nf):
    """The new processes run the program that is on disk now."""
    instances = 1 if nf == "lonely" else 2
    frames = interleaved(150_000)
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", f"*, rx, {nf}\n*, {nf}, slow\n*, slow, tx\n")
    program = platform.folder / nf
    shutil.copy(program_of(nf), program)
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    platform.start_supervised(nf, instances=instances, program=program)
    platform.start_nf("steer", "--burst-us", "4000", service="slow")
    platform.wait_for(lambda status: summed(status)["tx"] > 0, "traffic")
    before = {nf["pid"] for nf in platform.instances(nf, platform.status()).values()}
    program.unlink()
    shutil.copy(program_of(nf), program)
    assert f"{instances} restarted" in platform.hbctl("restart", nf)
    status = platform.wait_instances(nf, instances)
    after = {nf["pid"] for nf in platform.instances(nf, status).values() if nf["pid"]}
    assert len(after) == instances and not after & before
    for pid in after:
        assert os.readlink(f"/proc/{pid}/exe") == str(program)
    assert summed(status)["tx"] < len(frames), "the capture was too short for this test"
    stats = platform.finish()
    assert stats["drops"] == {} and summed(stats)["lost_in_crash"] == 0
    received = read_capture(target)
    assert len(received) == len(frames)
    assert_flows_in_order(received)


def test_a_rolling_restart_with_a_broken_program_leaves_the_old_one(platform):
    program = platform.folder / "forward"
    shutil.copy(program_of("forward"), program)
    platform.start_manager("--port", "null")
    platform.start_supervised("forward", program=program)
    old = pid_of(platform, "forward")
    program.unlink()
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    assert "exit status 3" in platform.hbctl("restart", "forward", status=1)
    platform.wait_works("forward", 1000)
    assert pid_of(platform, "forward") == old
    platform.stop()


def test_restart_says_what_it_can_not_do(platform):
    platform.start_manager("--port", "null")
    assert "forward" in platform.hbctl("restart", "forward", status=1)
    platform.start_nf("forward")
    assert "start_nf.sh" in platform.hbctl("restart", "forward", status=1)
    platform.stop()
