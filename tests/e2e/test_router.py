"""The router against scapy: TTL, checksum, addresses, longest prefix, drop reasons."""

import random

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether

from harness import all_captures, drops_of, read_capture, write_capture
from router_model import Routes, route_all

MACS = ["02:00:00:00:00:0%x" % i for i in range(8)]
ROUTES = [
    ("0.0.0.0/0", 0, MACS[0]),
    ("10.0.0.0/8", 1, MACS[1]),
    ("10.1.0.0/16", 0, MACS[2]),
    ("10.1.2.0/24", 1, MACS[3]),
    ("10.1.2.3/32", 2, MACS[4]),
    ("10.1.2.128/25", 2, MACS[5]),
    ("192.168.0.0/17", 1, MACS[6]),
]


def play(platform, frames, routes, n_ports=3):
    """Routes frames that come in at port 0. Returns frames by output port, and statistics."""
    write_capture(platform.folder / "empty.pcap", [])
    platform.capture("in.pcap", frames)
    args = []
    for port in range(n_ports):
        source = platform.folder / ("empty.pcap" if port else "in.pcap")
        args += ["--port", f"pcap:rx={source},tx={platform.folder / f'out{port}.pcap'}"]
    chain = platform.write("routes.csv", "*, rx, router\n*, router, tx\n")
    table = platform.write("table.csv", Routes.text(routes))
    stats = platform.run([*args, "--routes", chain], [("router", "--route-file", table)])
    return [read_capture(platform.folder / f"out{port}.pcap") for port in range(n_ports)], stats


def port_macs(received):
    """The ports' own addresses, as the packets show them: one for each port, all different."""
    macs = []
    for port, frames in enumerate(received):
        seen = {frame[6:12] for frame in frames} or {bytes([2, 0xFF, 0, 0, 0, port])}
        assert len(seen) == 1, f"port {port} sends as {seen}"
        mac, = seen
        assert mac[0] & 1 == 0 and any(mac), mac
        macs.append(mac.hex(":"))
    assert len(set(macs)) == len(macs), macs
    return macs


def test_packets_leave_as_scapy_builds_them(platform):
    """Each packet is built twice: as it comes, and as it must go."""
    cases = [  # destination, port, next hop
        ("8.8.8.8", 0, MACS[0]),
        ("10.200.0.1", 1, MACS[1]),
        ("10.1.77.1", 0, MACS[2]),
        ("10.1.2.4", 1, MACS[3]),
        ("10.1.2.3", 2, MACS[4]),
        ("10.1.2.200", 2, MACS[5]),
        ("192.168.127.255", 1, MACS[6]),
        ("192.168.128.0", 0, MACS[0]),
    ]
    shapes = [
        lambda ip: ip / UDP(sport=1, dport=2) / b"payload",
        lambda ip: ip / TCP(sport=3, dport=80, flags="S"),
        lambda ip: ip / ICMP() / bytes(1200),
        lambda ip: ip,
    ]
    links = [lambda e: e, lambda e: e / Dot1Q(vlan=7), lambda e: e / Dot1AD(vlan=8) / Dot1Q(vlan=9)]
    options = [[], [IPOption_RR(length=11, routers=["0.0.0.0", "0.0.0.0"])]]
    random.seed(1812)
    plan = []
    for destination, port, mac in cases:
        for shape in shapes:
            for link in links:
                ttl, option = random.choice([2, 3, 64, 128, 255]), random.choice(options)
                plan.append((shape, link, ttl, option, destination, port, mac))

    def build(shape, link, ttl, option, destination, source_mac, mac):
        packet = shape(IP(src="172.16.0.1", dst=destination, ttl=ttl, id=7, options=option))
        return bytes(link(Ether(src=source_mac, dst=mac)) / packet)

    frames = [build(shape, link, ttl, option, destination, "02:aa:00:00:00:01", "02:bb:00:00:00:01")
              for shape, link, ttl, option, destination, _, _ in plan]
    received, stats = play(platform, frames, ROUTES)
    macs = port_macs(received)
    expected = [[], [], []]
    for shape, link, ttl, option, destination, port, mac in plan:
        expected[port].append(build(shape, link, ttl - 1, option, destination, macs[port], mac))
    assert received == expected
    assert drops_of(stats, "router") == {}


def test_what_can_not_be_routed_is_dropped_with_its_reason(platform):
    ether = Ether(src="02:aa:00:00:00:01", dst="02:bb:00:00:00:01")
    ip = IP(src="172.16.0.1", dst="10.9.9.9", ttl=64)
    wrong = {
        "not_ipv4": [ether / ARP(), ether / IPv6(dst="2001:db8::1") / UDP(), ether / b"",
                     ether / Dot1Q() / Dot1Q() / Dot1Q() / ip],
        "ttl_expired": [ether / IP(dst="10.9.9.9", ttl=0) / UDP(),
                        ether / IP(dst="10.9.9.9", ttl=1) / UDP()],
        "bad_checksum": [ether / IP(dst="10.9.9.9", chksum=0x1234) / UDP()],
        "no_route": [ether / IP(dst="11.0.0.1") / UDP()],
        "bad_header": [ether / IP(dst="10.9.9.9", len=19) / UDP(),
                       ether / IP(dst="10.9.9.9", len=200) / UDP(),
                       ether / IP(dst="10.9.9.9", ihl=4) / UDP(),
                       ether / IP(dst="10.9.9.9", version=5) / UDP(),
                       bytes(ether / ip)[:30], bytes(ether)[:13]],
    }
    good = bytes(ether / ip / UDP() / b"good")
    frames = [bytes(frame) for group in wrong.values() for frame in group] + [good]
    received, stats = play(platform, frames, [("10.0.0.0/8", 1, MACS[1])])
    assert drops_of(stats, "router") == {reason: len(group) for reason, group in wrong.items()}
    assert [len(frames) for frames in received] == [0, 1, 0]


def test_real_captures_are_routed_as_the_model_says(platform):
    frames = [frame for path in all_captures() for frame in read_capture(path)
              if len(frame) <= 2048]
    table = [("0.0.0.0/1", 0, MACS[0]), ("128.0.0.0/2", 1, MACS[1]), ("192.168.0.0/16", 2, MACS[2]),
             ("192.168.1.0/24", 1, MACS[3]), ("10.0.0.0/8", 2, MACS[4])]
    received, stats = play(platform, frames, table)
    expected, drops = route_all(frames, Routes(table), port_macs(received))
    assert received == [expected[port] for port in range(3)]
    assert drops_of(stats, "router") == drops
    assert sum(map(len, received)) > len(frames) // 2
