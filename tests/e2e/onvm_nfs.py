"""Starts OpenNetVM NFs: those of tests/onvm, as CMake has built them, by their own command line."""

import struct

from harness import BUILD

NFS = BUILD / "tests" / "onvm"


def start(platform, nf, *args, service=1, onvm=(), wait=True, program=None):
    """Its files go to the platform's folder."""
    process = platform.spawn(nf, [
        "env", "-C", platform.folder, program or NFS / nf, "-l", "0", "-n", "3",
        "--proc-type=secondary", "--", "-r", service, "--prefix", platform.prefix, *onvm, "--",
        *args])
    if wait:
        wait_running(platform, process)
    return process


def wait_running(platform, process):
    platform.wait_for(
        lambda status: platform.check_alive(process) or any(
            one.get("pid") == process.pid and one["state"] == "running"
            for one in status["nfs"]), f"{process.name} is running")


# Frames of Ethernet and IPv4, written out, so that what NFs do to them is compared with bytes.

def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def address(text):
    return bytes(map(int, text.split(".")))


def ipv4_header(src, dst, protocol, payload_bytes, ttl=64, ident=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + payload_bytes, ident, 0, ttl, protocol, 0,
                       address(src), address(dst))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:]


def _with_checksum(src, dst, protocol, l4, at):
    pseudo = address(src) + address(dst) + struct.pack(">BBH", 0, protocol, len(l4))
    total = checksum(pseudo + l4)
    if protocol == 17 and total == 0:
        total = 0xffff  # RFC 768: 0 would say that there is none
    return l4[:at] + struct.pack(">H", total) + l4[at + 2:]


def udp(src, dst, sport, dport, payload=b"", macs=(b"\2" * 6, b"\4" * 6), ttl=64):
    """macs: destination, source."""
    l4 = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    l4 = _with_checksum(src, dst, 17, l4, 6)
    return macs[0] + macs[1] + b"\x08\0" + ipv4_header(src, dst, 17, len(l4), ttl) + l4


def tcp(src, dst, sport, dport, payload=b"", macs=(b"\2" * 6, b"\4" * 6), ttl=64):
    l4 = struct.pack(">HHIIBBHHH", sport, dport, 1, 1, 0x50, 0x18, 512, 0, 0) + payload
    l4 = _with_checksum(src, dst, 6, l4, 16)
    return macs[0] + macs[1] + b"\x08\0" + ipv4_header(src, dst, 6, len(l4), ttl) + l4


def arp(opcode, sha, spa, tha, tpa, macs):
    """macs: destination, source."""
    return (macs[0] + macs[1] + b"\x08\x06" + struct.pack(">HHBBH", 1, 0x0800, 6, 4, opcode)
            + sha + address(spa) + tha + address(tpa))
