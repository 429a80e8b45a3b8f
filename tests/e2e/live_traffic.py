"""Captures with numbered flows, and what must hold of them when routes change under way.

Each packet says in its payload which flow it is of and its number there; the test NF `stamp` adds a
trail: who had the packet, and by which route version.
"""

import struct

from harness import read_capture

HEADERS = 42  # Ethernet, IPv4, UDP
NUMBERS = struct.Struct("!IQ")
TRAIL = HEADERS + NUMBERS.size  # as in tests/nfs/stamp
LENGTH = TRAIL + 1 + 16 + 8


def frame(flow, number, dport):
    """A UDP packet of 79 bytes; checksums are left out, nobody looks."""
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, LENGTH - 14, 0, 0, 64, 17, 0,
                     bytes([10, 0, flow >> 8, flow & 255]), bytes([10, 1, 0, 1]))
    udp = struct.pack("!HHHH", 1000 + flow, dport, LENGTH - 34, 0)
    return (b"\x02" + bytes(11) + b"\x08\x00" + ip + udp + NUMBERS.pack(flow, number)
            + bytes(LENGTH - TRAIL))


def frames(count, dports):
    """count packets, the flows in turn; flow i goes to port dports[i]."""
    numbers = [0] * len(dports)
    out = []
    for i in range(count):
        flow = i % len(dports)
        out.append(frame(flow, numbers[flow], dports[flow]))
        numbers[flow] += 1
    return out


class Arrived:
    """What came out: flow, number and trail of each packet."""

    def __init__(self, path):
        self.packets = []
        for data in read_capture(path):
            flow, number = NUMBERS.unpack_from(data, HEADERS)
            n = data[TRAIL]
            pairs = data[TRAIL + 1: TRAIL + 1 + 2 * n]
            self.packets.append((flow, number, pairs[0::2].decode(), tuple(pairs[1::2])))

    def assert_complete_and_in_order(self, sent, n_flows):
        """Every packet came out once, in its flow's order."""
        assert len(self.packets) == sent
        expected = [0] * n_flows
        for flow, number, _, _ in self.packets:
            assert number == expected[flow], f"flow {flow}: {number} instead of {expected[flow]}"
            expected[flow] += 1

    def assert_one_version_each(self):
        for packet in self.packets:
            assert len(set(packet[3])) <= 1, packet

    def paths(self, flows):
        """How many packets of these flows took each path."""
        count = {}
        for flow, _, letters, _ in self.packets:
            if flow in flows:
                count[letters] = count.get(letters, 0) + 1
        return count
