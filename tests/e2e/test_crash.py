"""kill -9 of each kind of process: what it had in hand is counted, all else goes on."""

import os
import signal

import pytest

from harness import (DEADLINE_S, HERE, all_captures, assert_nothing_left, drops_of, files_of,
                     pid_of_gpu_host, processes_of, read_capture, summed, wait_until)
from supervised import kill_gpu_host, wait_next_gpu_host

RULES = HERE / "rules" / "words.rules"
MAX_BURST = 64


def nids_options(platform):
    return ["--rules", RULES, "--alerts", platform.folder / "alerts.json"]


@pytest.mark.parametrize("burst_us", [0, 2000], ids=["fast", "caught-at-work"])
def test_a_cpu_nf_is_killed_under_traffic(platform, burst_us):
    routes = platform.write("routes.csv", "*, rx, first\n*, first, steer\n*, steer, last\n"
                                          "*, last, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    for service in ("first", "last"):
        platform.start_nf("forward", service=service)
    for _ in range(4):
        steer = platform.start_nf("steer", "--burst-us", str(burst_us))
        platform.wait_works("steer", 200)
        before = platform.nf("steer", platform.status())["lost_in_crash"]
        steer.kill()
        platform.wait_state("steer", "failed")
        platform.assert_audit()
        after = platform.wait_for(lambda status: True, "status")
        assert platform.nf("steer", after)["lost_in_crash"] - before <= MAX_BURST
    stats = platform.stop()
    if burst_us:
        assert platform.nf("steer", stats)["lost_in_crash"] > 0
    assert stats["missing_nf"].get("steer", 0) > 0


def test_held_packets_of_a_killed_nf_are_lost_and_counted(platform):
    routes = platform.write("routes.csv", "*, rx, holder\n*, holder, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    holder = platform.start_nf("holder", "--every", "5", "--release", "never")
    platform.wait_for(lambda status: drops_of(status, "holder").get("held_full"), "area is full")
    holder.kill()
    platform.wait_state("holder", "failed")
    platform.assert_audit()
    stats = platform.stop()
    assert 1024 <= platform.nf("holder", stats)["lost_in_crash"] <= 1024 + MAX_BURST


def test_the_rest_of_a_capture_is_accounted_for_after_a_kill(platform):
    """A file port drains to its end past the dead NF."""
    frames = [b"\x02" + bytes(12) + number.to_bytes(47, "big") for number in range(20_000)]
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, steer\n*, steer, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    steer = platform.start_nf("steer", "--burst-us", "5000")
    platform.wait_for(lambda status: summed(status)["tx"] > 0, "the first packets are out")
    steer.kill()
    stats = platform.finish()
    received = read_capture(target)
    assert received == frames[:len(received)]
    lost = platform.nf("steer", stats)["lost_in_crash"]
    assert 0 < lost <= MAX_BURST
    assert stats["drops"] == {"missing_nf": len(frames) - len(received) - lost}


def test_kill_during_set_up_leaves_no_trace(platform):
    platform.start_manager("--port", "null")
    slow = platform.spawn_nf("steer", "--setup-ms", "60000")
    platform.wait_for(lambda status: platform.nf("steer", status).get("state") == "starting",
                      "steer registers")
    slow.kill()
    platform.wait_for(lambda status: platform.nf("steer", status).get("state") != "starting",
                      "its death is seen")
    platform.start_nf("steer")
    platform.wait_works("steer")
    platform.assert_audit()
    platform.stop()


def test_the_control_process_of_a_gpu_nf_is_killed(platform):
    """Its slice is given back; a new one takes it."""
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, gpu="opencl")
    platform.start_nf("forward")
    nids = platform.start_nf("nids", *nids_options(platform), gpu=True)
    platform.wait_works("nids", 1000)
    nids.kill()
    platform.wait_state("nids", "failed")
    platform.assert_audit()
    again = platform.start_nf("nids", *nids_options(platform), gpu=True)
    platform.wait_works("nids", 1000)
    assert again.status is None
    stats = platform.stop()
    assert stats["missing_nf"].get("nids", 0) > 0


@pytest.mark.parametrize("missing", ["drop", "skip"])
def test_gpu_host_is_killed(platform, missing):
    """Packets for GPU NFs follow --missing-nf; then they run again in a new gpu_host."""
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--missing-nf", missing,
                           gpu="opencl")
    platform.start_nf("forward")
    nids = platform.start_nf("nids", *nids_options(platform), gpu=True)
    for _ in range(2):
        platform.wait_works("nids", 1000)
        wait_next_gpu_host(platform, "nids", kill_gpu_host(platform))
        platform.assert_audit()
    platform.wait_works("nids", 1000)
    assert nids.status is None
    stats = platform.stop()
    assert missing == "drop" or "missing_nf" not in stats["drops"]


def test_alerts_go_on_after_gpu_host_is_killed(platform):
    """The new slice has the rules' table, and its copies reach the same control process."""
    source, = [path for path in all_captures() if path.name == "zeek-http_methods.pcap"]
    platform.start_manager("--port", f"vdev:net_pcap0,rx_pcap={source},infinite_rx=1",
                           gpu="opencl")
    platform.start_nf("nids", *nids_options(platform), gpu=True)
    alerts = platform.folder / "alerts.json"
    for _ in range(2):
        seen = alerts.stat().st_size if alerts.exists() else 0
        wait_until(lambda: alerts.exists() and alerts.stat().st_size > seen, "more alerts")
        wait_next_gpu_host(platform, "nids", kill_gpu_host(platform))
    seen = alerts.stat().st_size
    wait_until(lambda: alerts.stat().st_size > seen, "alerts of the third gpu_host")
    platform.stop()


def test_gpu_host_in_a_crash_loop_is_given_up(platform):
    """GPU NFs then end with a clear line."""
    platform.start_manager("--port", "null", gpu="opencl")
    nids = platform.start_nf("nids", *nids_options(platform), gpu=True)
    nids.expected_status = 1
    dead = set()

    def next_or_none(status):
        return status["gpu"]["state"] == "failed" or pid_of_gpu_host(platform) not in (None, *dead)

    for _ in range(10):  # more than five: on a machine that stutters a life may be too long to count
        status = platform.wait_for(next_or_none, "the next gpu_host, or there is none")
        if status["gpu"]["state"] == "failed":
            break
        dead.add(kill_gpu_host(platform))
    nids.expect(1)
    assert "gpu" in nids.stderr.lower(), nids.report()
    status = platform.wait_state("nids", "failed")
    assert "crash loop" in status["gpu"]["why"] and "SIGKILL" in status["gpu"]["why"]
    assert len(dead) >= 5
    platform.wait_traffic()
    platform.stop()


def test_a_control_process_that_dies_with_gpu_host_stays_dead(platform):
    platform.start_manager("--port", "null", gpu="opencl")
    nids = platform.start_nf("nids", *nids_options(platform), gpu=True)
    platform.wait_works("nids", 1000)
    old = pid_of_gpu_host(platform)
    os.kill(old, signal.SIGKILL)
    nids.kill()
    platform.wait_for(lambda status: platform.nf("nids", status)["pid"] == 0, "its death is seen")
    platform.wait_for(lambda status: status["gpu"]["state"] == "ready"
                      and pid_of_gpu_host(platform) not in (None, old), "a new gpu_host")
    platform.assert_audit()
    platform.start_nf("nids", *nids_options(platform), gpu=True)
    platform.wait_works("nids", 1000)
    platform.stop()


def test_a_hung_gpu_host_is_killed_and_started_again(platform):
    platform.start_manager("--port", "null", "--nf-timeout", "200", gpu="opencl")
    platform.start_nf("nids", *nids_options(platform), gpu=True)
    platform.wait_works("nids", 1000)
    old = pid_of_gpu_host(platform)
    os.kill(old, signal.SIGSTOP)
    wait_next_gpu_host(platform, "nids", old)
    assert "gpu_host" in platform.manager.stderr and "hung" in platform.manager.stderr
    platform.wait_works("nids", 1000)
    platform.assert_audit()
    platform.stop()


def test_a_hung_control_process_is_killed(platform):
    """Copies wait for it, and it takes none."""
    source, = [path for path in all_captures() if path.name == "zeek-http_methods.pcap"]
    platform.start_manager("--port", f"vdev:net_pcap0,rx_pcap={source},infinite_rx=1",
                           "--nf-timeout", "200", gpu="opencl")
    nids = platform.start_nf("nids", *nids_options(platform), gpu=True)
    platform.wait_works("nids", 1000)
    nids.signal(signal.SIGSTOP)
    nids.expected_status = -signal.SIGKILL
    nids.expect(-signal.SIGKILL)
    assert "hung" in platform.nf("nids", platform.wait_state("nids", "failed"))["failure"]
    platform.wait_traffic()
    platform.assert_audit()
    platform.stop()


@pytest.mark.parametrize("gpu", ["none", "opencl"])
def test_the_manager_is_killed(make_platform, tmp_path, gpu):
    """Orphans end by themselves and say why; the next start cleans up and works."""
    platform = make_platform()
    platform.start_manager("--port", "null", gpu=gpu)
    nfs = [platform.start_nf("forward"), platform.start_nf("steer", "--burst-us", "1000")]
    if gpu == "opencl":
        nfs.append(platform.start_nf("nids", *nids_options(platform), gpu=True))
    platform.wait_traffic()
    platform.manager.kill()
    wait_until(lambda: not processes_of(platform.prefix), "all orphans have ended")
    for nf in nfs:
        assert nf.wait() not in (0, None) and nf.status > 0, nf.report()
        lines = [line for line in nf.stderr.splitlines() if "manager" in line and "gone" in line]
        assert len(lines) == 1, nf.report()
    assert files_of(platform.prefix)  # a killed process can't clean up

    again = make_platform(prefix=platform.prefix)
    source, = [path for path in all_captures() if path.name == "zeek-web.pcap"]
    target = tmp_path / "out.pcap"
    routes = again.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    again.run(["--port", f"pcap:rx={source},tx={target}", "--routes", routes], [("forward",)])
    assert read_capture(target) == read_capture(source)


def test_the_manager_is_killed_while_it_starts(make_platform):
    """At every file that it makes on its way: the next start cleans up."""
    prefix = None
    for stage in ("registry", "routes", "control.sock"):
        platform = make_platform(prefix=prefix)
        prefix = platform.prefix
        manager = platform.spawn_manager("--port", "null")
        wait_until(lambda: manager.status is not None
                   or os.path.exists(f"/run/hummingbird/{prefix}/{stage}"), f"{stage} appears")
        manager.kill()
    wait_until(lambda: not processes_of(prefix), "orphans have ended")
    platform = make_platform(prefix=prefix)
    platform.start_manager("--port", "null")
    platform.start_nf("forward")
    platform.wait_traffic()
    platform.stop()


def test_stopped_processes_do_not_stop_the_manager(platform):
    """A SIGSTOPped NF holds up its own path only; when it goes on nothing is lost."""
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--debug-nf")
    forward = platform.start_nf("forward")
    platform.wait_traffic()
    forward.signal(signal.SIGSTOP)
    platform.wait_for(lambda status: status["ring_full"].get("forward", 0) > 1000,
                      "its ring is full")
    forward.signal(signal.SIGCONT)
    platform.wait_traffic()
    stats = platform.stop()
    assert platform.nf("forward", stats)["lost_in_crash"] == 0


def test_a_secondary_that_dies_with_a_lock_of_dpdk_does_not_keep_the_manager(platform):
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, lock_holder\n"
                                          "*, lock_holder, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.start_nf("forward")
    platform.spawn_nf("lock_holder", "--eal", "secondary").expected_status = None
    platform.wait_state("lock_holder", "failed")
    platform.wait_works("forward")
    platform.assert_audit()
    stats = platform.stop()
    assert 0 < platform.nf("lock_holder", stats)["lost_in_crash"] <= MAX_BURST
    assert "died with one of its locks" in platform.manager.stderr
    assert_nothing_left(platform.prefix)


def test_ctrl_c_ends_a_platform_whose_nf_hangs(platform):
    """A stopped NF can't answer: it is ended, its packets are counted."""
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    forward = platform.start_nf("forward")
    platform.wait_traffic()
    forward.signal(signal.SIGSTOP)
    forward.expected_status = None
    platform.manager.ctrl_c()
    platform.manager.expect(0, DEADLINE_S)
    platform.finish()
    assert_nothing_left(platform.prefix)
