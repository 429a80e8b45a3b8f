"""What goes into `forward` comes out: every byte, every packet, in order."""

import pytest

from harness import all_captures, read_capture

MBUF_BYTES = 2048  # --mbuf-size's default: longer packets are dropped as too_big


def chain(*services):
    """Routes rx -> each service in turn -> tx."""
    hops = ["rx", *services, "tx"]
    return "".join(f"*, {here}, {there}\n" for here, there in zip(hops, hops[1:]))


def play(platform, source, services, *manager_args, nf_keywords=None):
    """Plays a capture through instances of forward; returns what came out and the statistics."""
    target = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", chain(*services))
    stats = platform.run(
        ["--port", f"pcap:rx={source},tx={target}", "--routes", routes, *manager_args],
        [("forward", {"service": service, **(nf_keywords or {})}) for service in services])
    return read_capture(target), stats


@pytest.mark.parametrize("name", [
    "zeek-chksums_ip4-bad-chksum.pcap",  # one packet
    "zeek-http_cooper-grill-dvwa.pcapng",  # pcapng, and packets that are too big
    "zeek-mixed-vlan-mpls.pcap",
    "zeek-ipv6-fragmented-dns.pcap",
    "zeek-http_methods.pcap",
])
def test_capture_comes_out_byte_for_byte(platform, name):
    source, = [path for path in all_captures() if path.name == name]
    sent = read_capture(source)
    fitting = [frame for frame in sent if len(frame) <= MBUF_BYTES]
    received, stats = play(platform, source, ["forward"])
    assert received == fitting
    assert stats["ports"][0]["rx_packets"] == len(sent)
    assert stats["ports"][0]["tx_packets"] == len(fitting)
    assert stats["ports"][0]["tx_bytes"] == sum(map(len, fitting))
    assert stats["drops"].get("too_big", 0) == len(sent) - len(fitting)


@pytest.mark.parametrize("n", [2, 4])
def test_order_is_kept_through_a_chain(platform, n):
    frames = [bytes.fromhex("020000000002 020000000001 88b5") + number.to_bytes(50, "big")
              for number in range(20_000)]
    services = [f"hop{i}" for i in range(n)]
    received, stats = play(platform, platform.capture("in.pcap", frames), services)
    assert received == frames
    for service in services:
        nf = platform.nf(service, stats)
        assert (nf["rx"], nf["tx"]) == (len(frames), len(frames))


def test_all_captures_at_once_through_one_forward(platform):
    """One file port each; `tx` is the paired port: 0 and 1, 2 and 3, ..."""
    sources = all_captures()[:14]
    words = []
    for port, source in enumerate(sources):
        words += ["--port", f"pcap:rx={source},tx={platform.folder / f'{port}.pcap'}"]
    stats = platform.run([*words, "--routes", platform.write("routes.csv", chain("forward"))],
                         [("forward",)])
    too_big = 0
    for port, source in enumerate(sources):
        sent = read_capture(source)
        fitting = [frame for frame in sent if len(frame) <= MBUF_BYTES]
        too_big += len(sent) - len(fitting)
        assert read_capture(platform.folder / f"{port ^ 1}.pcap") == fitting, source
        assert stats["ports"][port]["rx_packets"] == len(sent)
    assert stats["drops"].get("too_big", 0) == too_big > 0


def test_jumbo_packets_pass_with_a_larger_mbuf_size(platform):
    source, = [path for path in all_captures() if "ftp_bigtransfer" in path.name]
    received, stats = play(platform, source, ["forward"], "--mbuf-size", "16384", "--pool", "8192")
    assert received == read_capture(source)
    assert not any(stats["drops"].values())


def test_forward_on_the_gpu_changes_nothing(platform):
    source, = [path for path in all_captures() if "http_methods" in path.name]
    target = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", chain("forward"))
    stats = platform.run(["--port", f"pcap:rx={source},tx={target}", "--routes", routes],
                         [("forward", {"gpu": True})], gpu="opencl")
    assert read_capture(target) == read_capture(source)
    assert platform.nf("forward", stats)["compute"] == "gpu"


def test_a_route_that_drops_is_counted(platform):
    source, = [path for path in all_captures() if "zeek-web" in path.name]
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, drop\n")
    stats = platform.run(["--port", f"pcap:rx={source}", "--routes", routes], [("forward",)])
    n = len(read_capture(source))
    assert stats["drops"] == {"route_drop": n}
    assert stats["ports"][0]["tx_packets"] == 0


def test_an_empty_capture_ends_at_once(platform):
    received, stats = play(platform, platform.capture("in.pcap", []), ["forward"])
    assert received == []
    assert stats["ports"][0]["rx_packets"] == 0


def test_a_true_secondary_forwards_too(platform):
    source, = [path for path in all_captures() if "zeek-web" in path.name]
    routes = platform.write("routes.csv", chain("forward"))
    target = platform.folder / "out.pcap"
    stats = platform.run(["--port", f"pcap:rx={source},tx={target}", "--routes", routes],
                         [("forward", "--eal", "secondary")])
    assert read_capture(target) == read_capture(source)
    assert platform.nf("forward", stats)["isolation"] == "secondary"
