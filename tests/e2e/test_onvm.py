"""OpenNetVM NFs, in C and unmodified, in chains of the platform."""

import os

import pytest

from captures import read_capture
from harness import all_captures, drops_of
from onvm_nfs import start

# How often each NF is killed under traffic.
KILLS = int(os.environ.get("HB_ONVM_KILLS", "5"))


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


def test_a_long_setup_is_no_hang(platform):
    """Packets wait, and are dropped where there is no room, as long as it takes."""
    routes = platform.write("routes.csv", "*, rx, simple\n*, simple, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--nf-timeout", "200")
    start(platform, "simple", "-w", "1500")
    platform.wait_works("simple", 1000)
    assert platform.status()["ring_full"]["simple"] > 0, "packets did wait"
    platform.stop()


def test_a_generator_sends_its_own_packets_and_a_clone(platform):
    """Those that go round to itself end with the platform."""
    routes = platform.write("routes.csv", "*, rx, drop\n*, generator, tx:0\n")
    platform.start_manager("--port", "null", "--routes", routes)
    nf = start(platform, "generator", "-c", "200", "-g", "1000")
    platform.wait_for(lambda status: status["ports"][0]["tx_packets"] >= 1001, "all are sent")
    platform.wait_works("generator", 10_000)
    stats = platform.stop()
    assert stats["ports"][0]["tx_packets"] == 1001
    # The clone travels as a copy, and is freed itself.
    assert drops_of(stats, "generator") == {"leaving": 200, "freed": 1}
    assert platform.nf("generator", stats)["originated"] == 1202
    assert "rounds" in nf.stdout


def test_messages_pass_between_processes_and_within_one(platform):
    platform.start_manager("--port", "null")
    first = start(platform, "messages", "-d", "2", "-n", "300", "-e", "200", service=1, wait=False)
    second = start(platform, "messages", "-d", "1", "-n", "200", "-e", "300", service=2,
                   wait=False)
    alone = start(platform, "messages", "-d", "3", "-n", "500", "-e", "500", "-q", service=3,
                  wait=False)
    for nf in (first, second, alone):
        nf.expect(0)
    assert "sent 300, received 200" in first.stdout
    platform.stop()


@pytest.mark.parametrize("by_tx_q", [False, True])
def test_an_nf_that_polls_its_rings(platform, capture, by_tx_q):
    out = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, rings\n*, rings, tx\n")
    platform.spawn_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={capture},tx={out}")
    platform.wait_ready()
    start(platform, "rings", *(["-t"] if by_tx_q else []), wait=False)
    stats = platform.finish()
    sent = read_capture(capture)
    assert read_capture(out) == (sent[0::2] if by_tx_q else sent)
    assert drops_of(stats, "rings") == ({"dropped": len(sent) // 2} if by_tx_q else {})


def test_chains_of_the_flow_director_are_followed_by_other_nfs(platform, capture):
    """flows gives each flow the chain: service 2, out of port 0. simple only says NEXT."""
    out = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, flows\n*, flows, drop\n*, simple, drop\n")
    platform.spawn_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={capture},tx={out}")
    platform.wait_ready()
    start(platform, "simple", service=2)  # RX waits for flows alone: no route leads to this one
    flows = start(platform, "flows", "-d", "2", service=1, wait=False)
    stats = platform.finish()
    ipv4 = [frame for frame in read_capture(capture) if frame[14] >> 4 == 4]
    assert read_capture(out) == ipv4
    assert platform.nf("simple", stats)["rx"] == len(ipv4)
    assert "flows " in flows.stdout


@pytest.mark.parametrize("nf, args", [("simple", ()), ("sink", ("-n", "3", "-k", "3")),
                                      ("sink", ("-f",)), ("rings", ("-t",)),
                                      ("generator", ("-c", "200")), ("scaler", ("-n", "2")),
                                      ("flows", ("-d", "9"))])
def test_killed_again_and_again_under_traffic(platform, nf, args):
    """Whatever an NF holds when it is killed is found; a new one takes its place."""
    routes = platform.write("routes.csv", f"*, rx, {nf}\n*, {nf}, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    for _ in range(KILLS):
        process = start(platform, nf, *args)
        before = platform.nf(nf, platform.status())["rx"]
        platform.wait_for(lambda status: platform.nf(nf, status)["rx"] >= before + 100, "it works")
        process.kill()
        platform.wait_for(lambda status: all(one["state"] not in ("running", "starting")
                                             for one in status["nfs"]), "its death is seen")
        platform.assert_audit()
    stats = platform.stop()
    assert stats["missing_nf"].get(nf, 0) > 0


def test_children_share_the_work_of_their_service(platform):
    """Each is an instance; all end with their parent."""
    ip = (b"\x45\0" + (46).to_bytes(2, "big") + bytes(4) + b"\x40\x11\0\0"
          + b"\x0a\0\0\1\x0a\0\0\2")
    frames = [bytes(12) + b"\x08\0" + ip + port.to_bytes(2, "big") + b"\0\x50\0\x1a" + bytes(20)
              for port in range(1, 2000)]
    source = platform.capture("in.pcap", frames)
    routes = platform.write("routes.csv", "*, rx, scaler\n*, scaler, tx\n")
    platform.start_manager("--port", f"vdev:net_pcap0,rx_pcap={source},infinite_rx=1",
                           "--routes", routes)
    parent = start(platform, "scaler", "-n", "2")

    def instances(status):
        return [nf for nf in status["nfs"] if nf["service"] == "scaler" and nf["rx"] > 100]

    platform.wait_for(lambda status: len(instances(status)) == 3, "all three work")
    parent.ctrl_c()
    parent.expect(0)
    platform.assert_audit()
    platform.stop()
