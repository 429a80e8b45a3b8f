"""NFs come and go under traffic, in any order; platforms stand side by side."""

import itertools
import signal

import pytest

from harness import HERE, all_captures, drops_of, read_capture, summed
from router_model import Routes

RULES = HERE / "rules" / "words.rules"
DEFAULT_ROUTE = [("0.0.0.0/0", 0, "02:00:00:00:00:07")]


def looped(name):
    """A port that plays a capture for ever, and sends to nowhere."""
    source, = [path for path in all_captures() if path.name == name]
    return f"vdev:net_pcap0,rx_pcap={source},infinite_rx=1"


def test_nfs_join_the_default_chain_under_traffic(platform):
    """Without --routes the chain is the NFs in the order of their start."""
    platform.start_manager("--port", "null")
    platform.wait_for(lambda status: status["ports"][0]["rx_packets"] > 1000, "traffic")
    for service in ("first", "second", "third"):
        platform.start_nf("forward", service=service)
        platform.wait_works(service, 1000)
        platform.wait_traffic()
    stats = platform.stop()
    counts = [platform.nf(service, stats)["rx"] for service in ("first", "second", "third")]
    assert counts == sorted(counts, reverse=True)


def test_an_nf_leaves_under_traffic_and_loses_nothing(platform):
    """Ctrl-C of the middle NF: the chain closes over the gap, the rings are emptied first."""
    platform.start_manager("--port", "null")
    nfs = {name: platform.start_nf("forward", service=name) for name in ("a", "b", "c")}
    platform.wait_traffic()
    nfs["b"].ctrl_c()
    nfs["b"].expect(0)
    platform.wait_state("b", "stopped")
    platform.wait_traffic()
    platform.assert_audit()
    platform.start_nf("forward", service="b")
    platform.wait_works("b")
    stats = platform.stop()
    assert sum(nf["lost_in_crash"] for nf in stats["nfs"]) == 0
    assert "missing_nf" not in stats["drops"]


def test_come_and_go_many_times(platform):
    platform.start_manager("--port", "null")
    platform.start_nf("forward", service="stays")
    for _ in range(8):
        guest = platform.start_nf("forward", service="guest")
        platform.wait_works("guest")
        guest.ctrl_c()
        guest.expect(0)
    platform.assert_audit()
    platform.stop()


def test_a_looped_capture_with_nids_and_router_joining(platform):
    """Real traffic without end; a GPU NF and a CPU NF join and leave."""
    platform.start_manager("--port", looped("zeek-http_methods.pcap"), gpu="opencl")
    platform.wait_for(lambda status: status["ports"][0]["rx_packets"] > 1000, "traffic")
    table = platform.write("table.csv", Routes.text(DEFAULT_ROUTE))
    alerts = platform.folder / "alerts.json"
    nids = platform.start_nf("nids", "--rules", RULES, "--alerts", alerts, gpu=True)
    platform.wait_works("nids", 1000)
    # The router decides on the port itself, so it ends the chain.
    platform.start_nf("router", "--route-file", table)
    platform.wait_works("router", 1000)
    platform.wait_traffic()
    nids.ctrl_c()
    nids.expect(0)
    platform.wait_traffic()
    assert alerts.read_text().endswith("\n")
    platform.stop()


@pytest.mark.parametrize("order", list(itertools.permutations(["nids", "router", "forward"])),
                         ids="-".join)
def test_any_start_order_plays_the_whole_capture(platform, order):
    """With --routes no packet moves before all are there, whoever comes last."""
    source, = [path for path in all_captures() if path.name == "zeek-wikipedia.pcap"]
    target, alerts = platform.folder / "out.pcap", platform.folder / "alerts.json"
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, router\n*, router, forward\n"
                                          "*, forward, tx\n")
    table = platform.write("table.csv", Routes.text(DEFAULT_ROUTE))
    options = {"nids": ("--rules", RULES, "--alerts", alerts), "router": ("--route-file", table),
               "forward": ()}
    platform.start_manager("--exit-when-drained", "--port", f"pcap:rx={source},tx={target}",
                           "--routes", routes, gpu="opencl")
    for nf in order[:-1]:
        platform.start_nf(nf, *options[nf], gpu=nf == "nids")
        assert summed(platform.status())["rx"] == 0
    platform.spawn_nf(order[-1], *options[order[-1]], gpu=order[-1] == "nids")
    stats = platform.finish()
    n_dropped = sum(drops_of(stats, "router").values())
    assert len(read_capture(target)) == len(read_capture(source)) - n_dropped
    assert stats["ports"][0]["tx_packets"] > 0
    assert len(alerts.read_text().splitlines()) == 166


def test_start_orders_under_traffic_without_waiting(platform):
    """All three at once, RX already running; routes.csv says their order."""
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, forward\n"
                                          "*, forward, router\n*, router, tx\n")
    platform.start_manager("--port", looped("zeek-http_methods.pcap"), "--routes", routes,
                           gpu="opencl")
    table = platform.write("table.csv", Routes.text(DEFAULT_ROUTE))
    started = [("nids", platform.spawn_nf("nids", "--rules", RULES, "--alerts",
                                          platform.folder / "alerts.json", gpu=True)),
               ("forward", platform.spawn_nf("forward")),
               ("router", platform.spawn_nf("router", "--route-file", table))]
    for service, process in started:
        platform.wait_running(service, process)
    for service, _ in started:
        platform.wait_works(service, 1000)
    platform.stop()


def test_two_platforms_side_by_side(make_platform):
    platforms = [make_platform(), make_platform()]
    source, = [path for path in all_captures() if path.name == "zeek-http_methods.pcap"]
    for platform in platforms:
        routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
        platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                               f"pcap:rx={source},tx={platform.folder / 'out.pcap'}")
    for platform in platforms:
        platform.spawn_nf("forward")
    for platform in platforms:
        platform.finish()
        assert read_capture(platform.folder / "out.pcap") == read_capture(source)


def test_sigterm_stops_the_platform_like_ctrl_c(platform):
    platform.start_manager("--port", "null")
    platform.start_nf("forward")
    platform.wait_traffic()
    platform.manager.signal(signal.SIGTERM)
    platform.finish()


def test_a_manager_without_terminal_says_lines(platform):
    """Its console is for terminals; elsewhere it says a line now and then."""
    platform.start_manager("--port", "null")
    platform.start_nf("forward")
    platform.wait_for(lambda _: len((platform.manager.stdout + platform.manager.stderr)
                                    .splitlines()) >= 2, "lines")
    platform.stop()
    assert "\x1b[" not in platform.manager.stdout
