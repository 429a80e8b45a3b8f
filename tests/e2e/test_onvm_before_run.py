"""What OpenNetVM NFs do before they run, instead of running, and without a packet handler."""

import os
import signal

import pytest

from harness import REPO, drops_of
from onvm_nfs import NFS, start

ROUTES = "*, rx, drop\n*, early, drop\n"


def start_manager(platform, *words, routes=ROUTES):
    platform.start_manager("--port", "null", "--routes", platform.write("routes.csv", routes),
                           *words)


def test_packets_that_are_allocated_before_it_runs_are_sent(platform):
    start_manager(platform)
    nf = start(platform, "early", "-f", "3000", "-a", "700")
    platform.wait_for(lambda status: status["ports"][0]["tx_packets"] == 700, "all are sent")
    nf.ctrl_c()
    nf.expect(0)
    assert "early ran: 0" in nf.stdout and "gets no more" not in nf.stderr, nf.report()
    platform.assert_audit()
    stats = platform.stop()
    assert platform.nf("early", stats)["originated"] == 3700
    assert drops_of(stats, "early") == {"freed": 3000}


def test_all_that_an_nf_can_have_is_there_before_it_runs(platform):
    start_manager(platform)
    start(platform, "early", "-a", "1024")
    platform.wait_for(lambda status: status["ports"][0]["tx_packets"] == 1024, "all are sent")
    platform.stop()


@pytest.mark.parametrize("args", [("-a", "500", "-w"), ("-f", "40", "-w"), ("-a", "1", "-w")])
def test_killed_before_it_runs_its_packets_are_found(platform, args):
    start_manager(platform)
    nf = start(platform, "early", *args, wait=False)
    platform.wait_for(lambda status: platform.check_alive(nf) or "early waits" in nf.stdout,
                      "it has its packets")
    nf.kill()
    platform.wait_state("early", "failed")
    platform.assert_audit()
    lost = platform.nf("early", platform.stop())["lost_in_crash"]
    assert lost == int(args[1]) if args[0] == "-a" else lost <= 40


def test_an_nf_that_stops_without_having_run_leaves_nothing(platform):
    """Packets came for it as soon as it allocated one."""
    start_manager(platform, routes="*, rx, early\n*, early, tx\n")
    nf = start(platform, "early", "-f", "10", "-a", "90", "-x", wait=False)
    nf.expect(0)
    platform.wait_state("early", "stopped")
    platform.assert_audit()
    stats = platform.stop()
    assert platform.nf("early", stats)["lost_in_crash"] == 0
    assert platform.nf("early", stats)["originated"] == 100


def test_without_a_packet_handler_packets_are_dropped_and_counted(platform):
    start_manager(platform, routes="*, rx, early\n*, early, tx\n")
    nf = start(platform, "early", "-q")
    platform.wait_for(lambda status: drops_of(status, "early").get("dropped", 0) > 1000, "drops")
    nf.ctrl_c()
    nf.expect(0)
    stats = platform.stop()
    assert set(drops_of(stats, "early")) <= {"dropped"}
    assert platform.nf("early", stats)["tx"] == 0


def test_an_nf_without_a_packet_handler_ends_by_its_user_actions(platform):
    start_manager(platform)
    nf = start(platform, "early", "-q", "-n", "100", wait=False)
    nf.expect(0)
    assert "early ran: 0, passes 100" in nf.stdout
    platform.stop()


def test_a_loop_that_never_ran_is_a_failure(platform):
    start_manager(platform)
    nf = start(platform, "early", "-t", wait=False)
    nf.expect(0)
    assert "early ran: -1" in nf.stdout and "without a function table" in nf.stderr, nf.report()
    platform.assert_audit()
    platform.stop()


def test_what_an_nf_logs_by_any_of_its_types_is_seen(platform):
    start_manager(platform)
    nf = start(platform, "early", "-q", "-n", "1", wait=False)
    nf.expect(0)
    said = nf.stdout + nf.stderr
    assert "EARLY: early has 0 packets" in said and "USER8: and words of another type" in said
    assert "nobody has asked for" not in said
    platform.stop()


def test_successors_that_die_before_they_run_lose_nothing_unseen(platform):
    start_manager(platform, routes="*, rx, early\n*, early, drop\n")
    supervisor = platform.spawn("start_nf", [
        "env", "-C", platform.folder, f"HB_PREFIX={platform.prefix}", REPO / "start_nf.sh", "--onvm",
        NFS / "early", "--restart", "on-failure", "--", "-a", "50", "-w"])
    for number in range(1, 4):
        platform.wait_for(lambda status: platform.check_alive(supervisor)
                          or supervisor.stdout.count("early waits") == number, "it has its packets")
        os.kill(platform.nf("early", platform.status())["pid"], signal.SIGKILL)
        platform.wait_for(lambda status: platform.nf("early", status)["restarts"] == number,
                          "another is started")
        platform.assert_audit()
    platform.wait_for(lambda _: supervisor.stdout.count("early waits") == 4, "it has its packets")
    last = platform.nf("early", platform.status())["pid"]
    supervisor.kill()
    os.kill(last, signal.SIGKILL)
    stats = platform.stop()
    assert platform.nf("early", stats)["originated"] == 200
