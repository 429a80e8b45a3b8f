"""OpenNetVM NFs, in C and unmodified, in chains of the platform."""

import pytest

from captures import read_capture
from harness import BUILD, all_captures, drops_of

NFS = BUILD / "tests" / "onvm"


def start(platform, nf, *args, service=1, onvm=(), wait=True):
    """Starts an OpenNetVM NF by its own command line; its files go to the platform's folder."""
    process = platform.spawn(nf, [
        "env", "-C", platform.folder, NFS / nf, "-l", "0", "-n", "3", "--proc-type=secondary", "--",
        "-r", service, "--prefix", platform.prefix, *onvm, "--", *args])
    if wait:
        platform.wait_for(
            lambda status: platform.check_alive(process) or any(
                one.get("pid") == process.pid and one["state"] == "running"
                for one in status["nfs"]), f"{nf} is running")
    return process


@pytest.fixture
def capture():
    source, = [path for path in all_captures() if path.name == "zeek-web.pcap"]
    return source


def test_a_chain_of_onvm_and_native_nfs_changes_nothing(platform, capture):
    target = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, simple\n*, simple, forward\n*, forward, 3\n"
                                          "*, 3, tx\n")
    platform.spawn_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={capture},tx={target}")
    platform.wait_ready()
    start(platform, "simple", service=1, wait=False)
    platform.spawn_nf("forward")
    start(platform, "simple", "-p", "100", service=3, wait=False)
    stats = platform.finish()
    assert read_capture(target) == read_capture(capture)
    n = len(read_capture(capture))
    for service in ("simple", "3"):
        nf = platform.nf(service, stats)
        assert (nf["rx"], nf["tx"], nf["isolation"]) == (n, n, "private")


def test_bridge_sends_out_of_the_other_port(platform, capture):
    out = platform.folder / "out.pcap"
    empty = platform.capture("empty.pcap", [])
    routes = platform.write("routes.csv", "*, rx, bridge\n*, bridge, drop\n")
    platform.spawn_manager("--exit-when-drained", "--routes", routes,
                           "--port", f"pcap:rx={capture}", "--port", f"pcap:rx={empty},tx={out}")
    platform.wait_ready()
    start(platform, "bridge", wait=False)
    platform.finish()
    assert read_capture(out) == read_capture(capture)


@pytest.mark.parametrize("args, reason", [((), "dropped"), (("-f",), "freed"),
                                          (("-k", "3"), "dropped"), (("-f", "-k", "3"), "freed")])
def test_every_other_packet_is_dropped_or_freed(platform, capture, args, reason):
    out = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, sink\n*, sink, tx\n")
    platform.spawn_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={capture},tx={out}")
    platform.wait_ready()
    start(platform, "sink", "-n", "2", *args, wait=False)
    stats = platform.finish()
    sent = read_capture(capture)
    assert read_capture(out) == sent[0::2]
    assert drops_of(stats, "sink") == {reason: len(sent) // 2}


def test_tonf_overrides_the_routes(platform):
    routes = platform.write("routes.csv", "*, rx, simple\n*, simple, drop\n*, sink, drop\n")
    platform.start_manager("--port", "null", "--routes", routes)
    start(platform, "sink", service=7)
    start(platform, "simple", "-d", "7", service=2)
    platform.wait_for(lambda status: drops_of(status, "sink").get("dropped", 0) > 1000, "drops")
    stats = platform.stop()
    assert platform.nf("simple", stats)["drops"].get("dropped", 0) == 0


def test_ctrl_c_ends_an_onvm_nf_cleanly(platform):
    routes = platform.write("routes.csv", "*, rx, simple\n*, simple, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    nf = start(platform, "simple")
    platform.wait_traffic()
    nf.ctrl_c()
    nf.expect(0)
    assert (platform.folder / "simple_stats.csv").read_text().startswith("tag,service_id")
    platform.wait_state("simple", "stopped")
    platform.assert_audit()
    stats = platform.stop()
    assert platform.nf("simple", stats)["lost_in_crash"] == 0
