"""Hostile packets are forwarded or dropped with a counted reason; no process minds."""

import json
import random
import re
import struct

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR, IPOption_Timestamp
from scapy.layers.inet6 import (ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                                IPv6ExtHdrHopByHop, IPv6ExtHdrRouting)
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether

import naive_nids
from harness import HERE, all_captures, drops_of, read_capture
from router_model import Routes, route_all

MBUF_BYTES = 2048
RULES = HERE / "rules" / "words.rules"
TABLE = [("0.0.0.0/0", 0, "02:00:00:00:00:07")]


def hostile_frames():
    """Headers of each kind, cut at every length and bent in every field."""
    ether = Ether(src="02:aa:00:00:00:01", dst="02:bb:00:00:00:01")
    http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    whole = [
        ether / IP(dst="10.0.0.1") / TCP(dport=80) / http,
        ether / IP(dst="10.0.0.1", options=[IPOption_RR(length=39, routers=["1.2.3.4"] * 9)])
        / TCP(dport=80, options=[("MSS", 1460), ("NOP", None)] * 4) / http,
        ether / IP(dst="10.0.0.1", options=[IPOption_Timestamp()]) / UDP(dport=53) / http,
        ether / Dot1Q(vlan=5) / IP(dst="10.0.0.1") / TCP(dport=80) / http,
        ether / Dot1AD(vlan=5) / Dot1Q(vlan=6) / IP(dst="10.0.0.1") / TCP(dport=80) / http,
        ether / Dot1Q() / Dot1Q() / Dot1Q() / IP(dst="10.0.0.1") / TCP(dport=80) / http,
        ether / IP(dst="10.0.0.1") / ICMP() / bytes(range(0x10, 0x20)),
        ether / IPv6(dst="2001:db8::1") / TCP(dport=80) / http,
        ether / IPv6(dst="2001:db8::1") / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting()
        / IPv6ExtHdrDestOpt() / TCP(dport=80) / http,
        ether / IPv6(dst="2001:db8::1") / IPv6ExtHdrFragment(offset=0, m=1) / TCP() / http,
        ether / IPv6(dst="2001:db8::1") / IPv6ExtHdrFragment(offset=5, m=0) / http,
        ether / IPv6(dst="2001:db8::1") / IPv6ExtHdrFragment() / UDP() / http,
        ether / IPv6(dst="2001:db8::1") / ICMPv6EchoRequest(data=bytes(range(0x10, 0x20))),
    ]
    frames = []
    for packet in whole:
        frame = bytes(packet)
        frames += [frame[:length] for length in range(len(frame) + 1)]
    ip = dict(dst="10.0.0.1")
    frames += [bytes(packet) for packet in [
        *(ether / IP(**ip, len=length) / UDP() / http for length in (0, 1, 19, 20, 27, 28, 65535)),
        *(ether / IP(**ip, ihl=ihl) / TCP() / http for ihl in range(16)),
        *(ether / IP(**ip, version=version) / TCP() / http for version in (0, 5, 6, 15)),
        *(ether / IP(**ip, flags=flags, frag=offset) / TCP() / http
          for flags in (0, 1, 3) for offset in (0, 1, 8191)),
        *(ether / IP(**ip) / TCP(dataofs=offset) / http for offset in range(16)),
        *(ether / IP(**ip) / UDP(len=length) / http for length in (0, 7, 8, 9, 1000, 65535)),
        *(ether / IP(**ip, ttl=ttl) / UDP() / http for ttl in (0, 1, 2)),
        *(ether / IPv6(dst="::1", plen=length) / TCP() / http for length in (0, 1, 39, 65535)),
        *(ether / IPv6(dst="::1", nh=header) / bytes(64) for header in range(256)),
        *(ether / IP(**ip, proto=protocol) / bytes(64) for protocol in range(256)),
        ether / IP(**ip) / TCP(), ether / IP(**ip) / UDP(), ether / IP(**ip), ether / b"",
        ether / IP(dst="255.255.255.255") / UDP() / http, ether / IP(dst="224.0.0.1") / UDP(),
    ]]
    # An endless chain of extension headers, each of 8 bytes, and one that claims 2 KB.
    frames += [bytes(ether / IPv6(dst="::1", nh=60) / ((b"\x3c\0" + bytes(6)) * 200)),
               bytes(ether / IPv6(dst="::1", nh=0) / (b"\x06\xff" + bytes(6)))]
    rng = random.Random(6)
    for _ in range(300):  # one bit of a good packet, anywhere in its headers
        frame = bytearray(bytes(rng.choice(whole)))
        frame[rng.randrange(12, min(80, len(frame)))] ^= 1 << rng.randrange(8)
        frames.append(bytes(frame))
    frames += [b"", b"\0", bytes(13), bytes(14), bytes(60), b"\xff" * 60]
    # Lengths of 65536 and more do not fit into the 16 bits that some drivers count them in.
    for length in (MBUF_BYTES - 1, MBUF_BYTES, MBUF_BYTES + 1, 2 * MBUF_BYTES, 9000, 65535, 65536,
                   65537, 65536 + 1000, 65536 + MBUF_BYTES, 100_000):
        head = bytes(ether / IP(**ip, len=min(length - 14, 65535)) / UDP(len=0))
        frames.append(head + b"GET " + bytes(length - len(head) - 4))
    return frames


def alerts_of(path):
    return [(line["pcap_cnt"], line["alert"]["signature_id"])
            for line in map(json.loads, path.read_text().splitlines())]


@pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])
def test_hostile_packets_through_nids_and_router(platform, gpu):
    frames = hostile_frames()
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    alerts = platform.folder / "alerts.json"
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, router\n*, router, tx\n")
    table = platform.write("table.csv", Routes.text(TABLE))
    stats = platform.run(
        ["--port", f"pcap:rx={source},tx={target}", "--routes", routes],
        [("nids", "--rules", RULES, "--alerts", alerts, {"gpu": gpu}),
         ("router", "--route-file", table)], gpu="opencl" if gpu else "none")

    fitting = [frame for frame in frames if len(frame) <= MBUF_BYTES]
    assert stats["ports"][0]["rx_packets"] == len(frames)
    assert stats["drops"].get("too_big", 0) == len(frames) - len(fitting)
    received = read_capture(target)
    out, drops = route_all(fitting, Routes(TABLE), [received[0][6:12].hex(":")])
    assert received == out[0]
    assert drops_of(stats, "router") == drops

    too_big = {number for number, frame in enumerate(frames, 1) if len(frame) > MBUF_BYTES}
    expected = {(number, sid) for number, sid in naive_nids.alert_set(str(source), [str(RULES)])
                if number not in too_big}
    found = alerts_of(alerts)
    assert len(found) == len(set(found))
    assert set(found) == expected, sorted(set(found) ^ expected)[:20]


def test_snapped_packets_keep_what_was_captured(platform):
    """Records that say they were longer on the wire: the captured bytes pass."""
    frames = [frame for frame in read_capture(all_captures()[-1])][:100]
    source = platform.folder / "snapped.pcap"
    with open(source, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 64, 1))
        for frame in frames:
            out.write(struct.pack("<IIII", 1, 2, len(frame[:64]), len(frame)) + frame[:64])
    target = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    platform.run(["--port", f"pcap:rx={source},tx={target}", "--routes", routes], [("forward",)])
    assert read_capture(target) == [frame[:64] for frame in frames]


def test_a_capture_that_ends_in_the_middle_of_a_packet(platform):
    """What is whole is played, and the manager says that the file is cut short."""
    whole = platform.capture("whole.pcap", [bytes([2] * 60)] * 10).read_bytes()
    source, target = platform.folder / "cut.pcap", platform.folder / "out.pcap"
    source.write_bytes(whole[:-30])
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    platform.run(["--port", f"pcap:rx={source},tx={target}", "--routes", routes], [("forward",)])
    assert len(read_capture(target)) == 9
    assert "cut.pcap" in platform.manager.stderr


def test_a_file_port_never_loses_a_packet_unsaid(platform):
    """Records so large that a burst of them takes most of the smallest pool that is accepted."""
    small, large = bytes([2] * 60), bytes([3] * 262_144)
    frames = [small] * 10 + [large] * 64 + [small] * 10
    source = platform.capture("in.pcap", frames)
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    words = ["--port", f"pcap:rx={source}", "--routes", routes, "--mbuf-size", "256"]
    refused = platform.spawn_manager(*words, "--pool", "1024")
    refused.expect_refusal("--pool")
    least = re.findall(r"--pool (\d+)", refused.stderr)[-1]
    stats = platform.run([*words, "--pool", least], [("forward",)])
    assert stats["ports"][0]["rx_packets"] == len(frames)
    assert stats["drops"] == {"too_big": 64}
