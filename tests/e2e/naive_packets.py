"""Captures and headers for naive_nids: which bytes of a frame a rule is tried on."""

import ipaddress
import struct
from collections import namedtuple

Packet = namedtuple("Packet", "number time_ns data")
View = namedtuple("View", "src dst number kind ports ip_payload l4_payload ttl fragment searched")

# Captures ----------------------------------------------------------------------------------------


def read_packets(path):
    """Yields the packets of a pcap or pcapng file, numbered from 1."""
    with open(path, "rb") as handle:
        blob = handle.read()
    records = _pcapng(blob) if blob[:4] == b"\n\r\r\n" else _pcap(blob)
    for number, (time_ns, data) in enumerate(records, 1):
        yield Packet(number, time_ns, data)


def _pcap(blob):
    kinds = {
        b"\xd4\xc3\xb2\xa1": ("<", 1000),
        b"\xa1\xb2\xc3\xd4": (">", 1000),
        b"\x4d\x3c\xb2\xa1": ("<", 1),
        b"\xa1\xb2\x3c\x4d": (">", 1),
    }
    if blob[:4] not in kinds:
        raise ValueError("no pcap file")
    order, unit = kinds[blob[:4]]
    if struct.unpack(order + "I", blob[20:24])[0] & 0xFFFF != 1:
        raise ValueError("no Ethernet capture")
    pos = 24
    while pos + 16 <= len(blob):
        sec, frac, caplen, _ = struct.unpack(order + "IIII", blob[pos : pos + 16])
        yield sec * 10**9 + frac * unit, blob[pos + 16 : pos + 16 + caplen]
        pos += 16 + caplen


def _pcapng(blob):
    pos, order, interfaces = 0, "<", []
    while pos + 12 <= len(blob):
        if blob[pos : pos + 4] == b"\n\r\r\n":
            order = "<" if blob[pos + 8 : pos + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, size = struct.unpack(order + "II", blob[pos : pos + 8])
        body = blob[pos + 8 : pos + size - 4]
        if kind == 1:
            interfaces.append(_tick_ns(body[8:], order))
        elif kind == 6:
            iface, hi, lo, caplen = struct.unpack(order + "IIII", body[:16])
            yield (hi << 32 | lo) * interfaces[iface] // 10**9, body[20 : 20 + caplen]
        elif kind == 3:
            original = struct.unpack(order + "I", body[:4])[0]
            yield 0, body[4 : 4 + original]
        pos += size


def _tick_ns(options, order):
    """Length of one timestamp tick, in 1e-18 seconds; microseconds unless option 9 says else."""
    while len(options) >= 4:
        code, size = struct.unpack(order + "HH", options[:4])
        if code == 9:
            power = options[4] & 0x7F
            return 10**18 // (2**power if options[4] & 0x80 else 10**power)
        options = options[4 + (size + 3) // 4 * 4 :]
    return 10**12


# Packets -----------------------------------------------------------------------------------------


def dissect(frame):
    """Returns the View of an IP packet, None for anything else."""
    ethertype, rest = frame[12:14], frame[14:]
    for _ in range(2):
        if ethertype in (b"\x81\x00", b"\x88\xa8", b"\x91\x00"):
            ethertype, rest = rest[2:4], rest[4:]
    if ethertype == b"\x08\x00":
        return _dissect_v4(rest)
    if ethertype == b"\x86\xdd":
        return _dissect_v6(rest)
    return None


def _dissect_v4(data):
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    header = (data[0] & 15) * 4
    total, = struct.unpack("!H", data[2:4])
    total = total or len(data)
    if header < 20 or header > len(data) or total < header:
        return None
    flags, = struct.unpack("!H", data[6:8])
    src, dst = (ipaddress.IPv4Address(data[i : i + 4]) for i in (12, 16))
    fragment = bool(flags & 0x3FFF)
    return _view(src, dst, data[9], data[header:total], fragment, {1: "icmp"}, data[8])


def _dissect_v6(data):
    if len(data) < 40 or data[0] >> 4 != 6:
        return None
    src, dst = (ipaddress.IPv6Address(data[i : i + 16]) for i in (8, 24))
    number, size = data[6], struct.unpack("!H", data[4:6])[0]
    rest = data[40 : 40 + size] if size or number == 59 else data[40:]
    while number in (0, 43, 44, 51, 60, 135, 139, 140):
        if len(rest) < 8:
            return None
        if number == 44:
            number, offset_and_flag = rest[0], struct.unpack("!H", rest[2:4])[0] & 0xFFF9
            rest = rest[8:]
            if offset_and_flag:
                return _view(src, dst, number, rest, True, {}, data[7])
            continue
        step = (rest[1] + 2) * 4 if number == 51 else (rest[1] + 1) * 8
        if step > len(rest):
            return None
        number, rest = rest[0], rest[step:]
    return _view(src, dst, number, rest, False, {58: "icmp"}, data[7])


def _view(src, dst, number, payload, fragment, icmp, ttl):
    kind, ports, inner = None, None, None
    known = {6: "tcp", 17: "udp", **icmp}
    searched = fragment or number in known  # others only by rules with ip_proto
    name = None if fragment else known.get(number)
    if name == "tcp" and len(payload) >= 20 and 20 <= (payload[12] >> 4) * 4 <= len(payload):
        kind, inner = name, payload[(payload[12] >> 4) * 4 :]
    elif name == "udp" and len(payload) >= 8:
        length = struct.unpack("!H", payload[4:6])[0] or len(payload)
        if length >= 8:
            kind, inner = name, payload[8:length]
    elif name == "icmp" and len(payload) >= 8:
        kind, inner = name, payload[8:]
    if kind in ("tcp", "udp"):
        ports = struct.unpack("!HH", payload[:4])
    return View(src, dst, number, kind, ports, payload, inner, ttl, fragment, searched)
