"""Captures, read and written byte for byte."""

import struct
from pathlib import Path

CAPTURES = Path(__file__).resolve().parents[1] / "data" / "pcap"


def read_capture(path):
    """The packets of a pcap or pcapng file, byte for byte."""
    blob = Path(path).read_bytes()
    return list(_pcapng(blob) if blob[:4] == b"\n\r\r\n" else _pcap(blob))


def _pcap(blob):
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<",
             b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}[blob[:4]]
    at = 24
    while at < len(blob):
        _, _, captured, _ = struct.unpack_from(order + "IIII", blob, at)
        assert at + 16 + captured <= len(blob), f"record at {at} is cut short"
        yield blob[at + 16 : at + 16 + captured]
        at += 16 + captured


def _pcapng(blob):
    at = 0
    while at < len(blob):
        if blob[at : at + 4] == b"\n\r\r\n":
            order = "<" if blob[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        kind, size = struct.unpack_from(order + "II", blob, at)
        if kind == 6:
            captured, = struct.unpack_from(order + "I", blob, at + 20)
            yield blob[at + 28 : at + 28 + captured]
        elif kind in (2, 3):
            raise ValueError("obsolete and simple packet blocks are not read")
        at += size


def write_capture(path, frames, link_type=1):
    """Writes a pcap file with microseconds; packet i has the time 1000000000 s + i us."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link_type))
        for number, frame in enumerate(frames):
            seconds, microseconds = divmod(number, 1_000_000)
            out.write(struct.pack("<IIII", 1_000_000_000 + seconds, microseconds, len(frame),
                                  len(frame)))
            out.write(frame)
    return Path(path)


def all_captures():
    """The shipped captures, smallest first."""
    found = [path for path in CAPTURES.iterdir() if path.suffix in (".pcap", ".pcapng")]
    return sorted(found, key=lambda path: (path.stat().st_size, path.name))
