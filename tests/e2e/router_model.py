"""What an IPv4 router must do with a frame: RFC 1812, written plainly, on bytes."""

import ipaddress
import struct

from scapy.utils import checksum

VLAN_TYPES = (0x8100, 0x88A8, 0x9100)


class Routes:
    """A route table that is searched line by line."""

    def __init__(self, lines):
        self._routes = []
        for prefix, port, mac in lines:
            self._routes.append((ipaddress.IPv4Network(prefix), port, mac))
        self._routes.sort(key=lambda route: route[0].prefixlen, reverse=True)

    def find(self, address):
        for network, port, mac in self._routes:
            if ipaddress.IPv4Address(address) in network:
                return port, mac
        return None

    @staticmethod
    def text(lines):
        return "".join(f"{prefix}, {port}, {mac}\n" for prefix, port, mac in lines)


def route(frame, routes, port_macs):
    """Returns (port, new frame) or a drop reason."""
    if len(frame) < 14:
        return "bad_header"
    at = 12
    for _ in range(2):
        if struct.unpack_from("!H", frame, at)[0] in VLAN_TYPES:
            if len(frame) < at + 6:
                return "bad_header"
            at += 4
    if struct.unpack_from("!H", frame, at)[0] != 0x0800:
        return "not_ipv4"
    ip = frame[at + 2 :]
    if len(ip) < 20 or ip[0] >> 4 != 4:
        return "bad_header"
    header_bytes, total = (ip[0] & 15) * 4, struct.unpack_from("!H", ip, 2)[0]
    if header_bytes < 20 or total < header_bytes or total > len(ip):
        return "bad_header"
    if checksum(ip[:header_bytes]) != 0:
        return "bad_checksum"
    if ip[8] <= 1:
        return "ttl_expired"
    hop = routes.find(ip[16:20])
    if hop is None:
        return "no_route"
    header = bytearray(ip[:header_bytes])
    header[8] -= 1
    header[10:12] = b"\0\0"
    header[10:12] = struct.pack("!H", checksum(bytes(header)))
    macs = bytes.fromhex((hop[1] + port_macs[hop[0]]).replace(":", ""))
    return hop[0], macs + frame[12 : at + 2] + bytes(header) + ip[header_bytes:]


def route_all(frames, routes, port_macs):
    """Returns {port: frames in order} and {reason: n}."""
    out, drops = {port: [] for port in range(len(port_macs))}, {}
    for frame in frames:
        result = route(frame, routes, port_macs)
        if isinstance(result, str):
            drops[result] = drops.get(result, 0) + 1
        else:
            out[result[0]].append(result[1])
    return out, drops
