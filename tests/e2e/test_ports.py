"""Ports of the kernel, in a network namespace of their own: real frames in and out."""

from harness import wait_until
from router_model import Routes


def frames_of(n, tag):
    return [b"\x02\0\0\0\0\x09\x02\0\0\0\0\x08\x88\xb5" + tag + number.to_bytes(60, "big")
            for number in range(n)]


def receive(raw, wanted):
    """Reads frames until all wanted ones have come; ignores what the kernel says by itself."""
    missing, got = set(wanted), []
    while missing:
        frame = raw.recv(65536)
        if frame in missing:
            missing.remove(frame)
            got.append(frame)
    return got


def test_af_packet_over_veth_forwards_both_ways(make_platform, net_namespace):
    for side in "ab":
        net_namespace.veth(f"in-{side}", f"out-{side}")
    platform = make_platform(net_namespace=net_namespace.name)
    platform.start_manager("--port", "af_packet:in-a", "--port", "af_packet:in-b")
    platform.start_nf("forward")
    with net_namespace.raw_socket("out-a") as a, net_namespace.raw_socket("out-b") as b:
        for source, target, tag in ((a, b, b"->"), (b, a, b"<-")):
            frames = frames_of(200, tag)
            for frame in frames:
                source.send(frame)
            assert receive(target, frames) == frames
    stats = platform.stop()
    assert [port["tx_packets"] >= 200 for port in stats["ports"]] == [True, True]


def test_a_router_between_two_cables_uses_the_ports_own_addresses(make_platform, net_namespace):
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    for side in "ab":
        net_namespace.veth(f"in-{side}", f"out-{side}")
    platform = make_platform(net_namespace=net_namespace.name)
    table = platform.write("table.csv", Routes.text([("10.2.0.0/16", 1, "02:00:00:00:00:22")]))
    platform.start_manager("--port", "af_packet:in-a", "--port", "af_packet:in-b")
    platform.start_nf("router", "--route-file", table)

    def packet(ttl, source, target):
        return bytes(Ether(src=source, dst=target)
                     / IP(src="10.1.0.1", dst="10.2.0.1", ttl=ttl) / UDP(dport=9) / bytes(40))

    wanted = packet(9, net_namespace.mac("in-b"), "02:00:00:00:00:22")
    with net_namespace.raw_socket("out-a") as a, net_namespace.raw_socket("out-b") as b:
        a.send(packet(10, "02:00:00:00:00:11", net_namespace.mac("in-a")))
        assert receive(b, [wanted]) == [wanted]
    platform.stop()


def test_tap_port_is_an_interface_of_the_kernel(make_platform, net_namespace):
    platform = make_platform(net_namespace=net_namespace.name)
    platform.start_manager("--port", "tap:hbtap0", "--port", "tap:hbtap1")
    platform.start_nf("forward")
    for name in ("hbtap0", "hbtap1"):
        net_namespace.ip("link", "set", name, "arp", "off", "up")
    with net_namespace.raw_socket("hbtap0") as a, net_namespace.raw_socket("hbtap1") as b:
        frames = frames_of(100, b"->")
        for frame in frames:
            a.send(frame)
        assert receive(b, frames) == frames
    platform.stop()
    wait_until(lambda: "hbtap" not in net_namespace.shown(), "the interfaces are gone")


def test_an_interface_that_vanishes_does_not_end_the_platform(make_platform, net_namespace):
    for side in "ab":
        net_namespace.veth(f"in-{side}", f"out-{side}")
    platform = make_platform(net_namespace=net_namespace.name)
    platform.start_manager("--port", "af_packet:in-a", "--port", "null")
    platform.start_nf("forward")
    platform.wait_for(lambda status: status["ports"][1]["rx_packets"] > 1000, "traffic")
    net_namespace.ip("link", "del", "in-a")
    platform.wait_works("forward", 1000)
    platform.stop()
