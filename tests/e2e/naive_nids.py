#!/usr/bin/env python3
"""Says which rules match which packets of a capture, in the slowest and plainest way.

The reference that the nids tests compare both twins with: every rule is tried on every packet, with
nothing but Python's own substring search and address arithmetic. It shares no code with the NF.

Usage: naive_nids.py --rules FILE [--rules FILE]... [--json] CAPTURE...
Prints `CAPTURE PACKET_NUMBER SID` per alert, or with --json one EVE-like object per line.
"""

import argparse
import datetime
import ipaddress
import json
import re
import struct
import sys
from collections import namedtuple

Packet = namedtuple("Packet", "number time_ns data")
View = namedtuple("View", "src dst number kind ports ip_payload l4_payload")
Rule = namedtuple("Rule", "gid sid rev msg proto src sport twoway dst dport contents")


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
    return _view(src, dst, data[9], data[header:total], fragment, {1: "icmp"})


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
                return _view(src, dst, number, rest, True, {})
            continue
        step = (rest[1] + 2) * 4 if number == 51 else (rest[1] + 1) * 8
        if step > len(rest):
            return None
        number, rest = rest[0], rest[step:]
    return _view(src, dst, number, rest, False, {58: "icmp"})


def _view(src, dst, number, payload, fragment, icmp):
    kind, ports, inner = None, None, None
    known = {6: "tcp", 17: "udp", **icmp}
    if not fragment and number not in known:
        return None  # tunnels and other protocols give no alerts
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
    return View(src, dst, number, kind, ports, payload, inner)


# Rules -------------------------------------------------------------------------------------------

NEUTRAL = {"msg", "sid", "rev", "gid", "classtype", "reference", "metadata", "priority", "target",
           "rem", "content", "nocase"}
HEADER = re.compile(r"^alert\s+(tcp|udp|icmp|ip)\s+(.+?)\s+(->|<>)\s+(.+?)\s*$", re.I | re.S)
OPTION = re.compile(r'\s*([\w.\-]+)\s*(?::((?:"(?:\\.|[^"\\])*"|\\.|[^";\\])*))?;', re.S)


def load_rules(paths):
    """Returns the rules that are supported, one for each gid and sid."""
    best = {}
    for path in paths:
        with open(path, encoding="latin-1", newline="") as handle:
            text = handle.read()
        text = "\n".join("" if re.match(r"\s*#", line) else line
                         for line in re.split(r"\r?\n", text))
        for line in text.replace("\\\n", "").split("\n"):
            rule = parse_rule(line.strip()) if line.strip() else None
            if rule is None:
                continue
            old = best.get((rule.gid, rule.sid))
            if old is None or rule.rev > old.rev:
                best[rule.gid, rule.sid] = rule
    return list(best.values())


def parse_rule(line):
    """Returns a Rule, or None for one that is not supported or wrong."""
    try:
        return _parse_rule(line)
    except (ValueError, AttributeError, IndexError, KeyError):
        return None


def _parse_rule(line):
    head, _, tail = line.partition("(")
    if not tail.endswith(")"):
        raise ValueError("no parentheses")
    proto, left, arrow, right = HEADER.match(head).groups()
    fields, pos, body = {}, 0, tail[:-1]
    contents = []
    while body[pos:].strip(" \t;"):
        match = OPTION.match(body, pos)
        name, value = match.group(1).lower(), (match.group(2) or "").strip()
        pos = match.end()
        if name not in NEUTRAL:
            return None
        if name == "content":
            raw, modifiers = re.fullmatch(r'"((?:\\.|[^"\\])*)"\s*(.*)', value, re.S).groups()
            folds = [m.strip().lower() for m in modifiers.split(",")[1:]]
            if set(folds) - {"nocase"} or (modifiers and not folds):
                return None
            contents.append([_content(raw), bool(folds)])
        elif name == "nocase":
            contents[-1][1] = True
        elif name == "msg":
            fields["msg"] = re.sub(r'\\([\\";:])', r"\1", re.fullmatch(r'"(.*)"', value).group(1))
        elif name in ("sid", "rev", "gid"):
            if name in fields:
                raise ValueError("twice")
            fields[name] = int(value)
    if fields["sid"] <= 0:
        raise ValueError("no sid")
    src, sport = _address_and_port(left)
    dst, dport = _address_and_port(right)
    contents = [(c.lower() if fold else c, fold) for c, fold in contents]
    return Rule(fields.get("gid", 1), fields["sid"], fields.get("rev", 0), fields.get("msg", ""),
                proto.lower(), src, sport, arrow == "<>", dst, dport, contents)


def _content(raw):
    out, parts = b"", re.split(r"\|", raw)
    if len(parts) % 2 == 0:
        raise ValueError("open pipe")
    for index, part in enumerate(parts):
        if index % 2:
            if not re.fullmatch(r"[0-9A-Fa-f ]*", part):
                raise ValueError("bad hex")
            out += bytes.fromhex(part.replace(" ", ""))
        else:
            if re.search(r'\\(?![\\";:])', re.sub(r"\\\\", "", part)):
                raise ValueError("bad escape")
            out += re.sub(r'\\([\\";:])', r"\1", part).encode("latin-1")
    if not out:
        raise ValueError("empty")
    return out


def _address_and_port(text):
    """Splits 'ADDRESS PORT' at the last blank outside brackets; returns two predicates."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += {"]": 1, "[": -1}.get(text[at], 0)
        if depth == 0 and text[at].isspace():
            return _predicate(text[:at].strip(), _address), _predicate(text[at:].strip(), _port)
    raise ValueError("no port")


def _predicate(text, leaf):
    """A function that says whether a value is in the set; None where it is everything."""
    if text.startswith("!"):
        inner = text[1:].strip()
        if "$" in inner:
            return None
        test = _predicate(inner, leaf)
        if test is None or inner.startswith("!"):
            raise ValueError("negates everything")
        return lambda value: not test(value)
    if text.startswith("$") or text.lower() == "any":
        return None
    if not text.startswith("["):
        return leaf(text)
    members, depth, start = [], 0, 1
    if not text.endswith("]"):
        raise ValueError("open list")
    for at, char in enumerate(text):
        depth += {"[": 1, "]": -1}.get(char, 0)
        if (char == "," and depth == 1) or (char == "]" and depth == 0):
            members.append(text[start:at].strip())
            start = at + 1
    if "" in members:
        raise ValueError("empty member")
    wanted = [_predicate(m, leaf) for m in members if not m.startswith("!")]
    unwanted = [_predicate(m, leaf) for m in members if m.startswith("!")]
    unwanted = [test for test in unwanted if test is not None]
    if (not wanted or None in wanted) and not unwanted:
        return None
    return lambda value: ((not wanted or any(t is None or t(value) for t in wanted))
                          and all(t(value) for t in unwanted))


def _address(text):
    if "-" in text:
        first, last = (ipaddress.ip_address(part.strip()) for part in text.split("-"))
        return lambda ip: ip.version == first.version and first <= ip <= last
    network = ipaddress.ip_network(text, strict=False)
    return lambda ip: ip.version == network.version and ip in network


def _port(text):
    if text.strip(" ") == ":":
        raise ValueError("no range")
    if ":" in text:
        low, high = text.split(":")
        low, high = int(low or 0), int(high or 65535)
    else:
        low = high = int(text)
    if not 0 <= low <= high <= 65535:
        raise ValueError("bad port")
    return lambda port: low <= port <= high


# Matching ----------------------------------------------------------------------------------------


def matches(rule, view):
    """True when the rule matches the packet."""
    if rule.proto == "ip":
        payload = view.ip_payload
    elif rule.proto == view.kind:
        payload = view.l4_payload
    else:
        return False
    for needle, fold in rule.contents:
        if needle not in (payload.lower() if fold else payload):
            return False
    ways = [(view.src, view.dst, view.ports)]
    if rule.twoway:
        ways.append((view.dst, view.src, view.ports and view.ports[::-1]))
    return any(_header(rule, *way) for way in ways)


def _header(rule, src, dst, ports):
    if ports is None and (rule.sport or rule.dport):
        return False
    return ((rule.src is None or rule.src(src)) and (rule.dst is None or rule.dst(dst))
            and (rule.sport is None or rule.sport(ports[0]))
            and (rule.dport is None or rule.dport(ports[1])))


def alerts(capture, rules):
    """Yields (Packet, View, Rule) for every alert of the capture, in packet order."""
    for packet in read_packets(capture):
        view = dissect(packet.data)
        if view is not None:
            for rule in rules:
                if matches(rule, view):
                    yield packet, view, rule


def alert_set(capture, rule_paths):
    """The set of (pcap_cnt, sid) that nids must give for the capture."""
    rules = load_rules(rule_paths)
    return {(packet.number, rule.sid) for packet, _, rule in alerts(capture, rules)}


def as_event(packet, view, rule):
    """The fields of the alert that nids must write; proto as the protocol's number."""
    seconds, nanoseconds = divmod(packet.time_ns, 10**9)
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    event = {"timestamp": f"{when:%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}+0000",
             "event_type": "alert", "pcap_cnt": packet.number, "src_ip": str(view.src),
             "dest_ip": str(view.dst), "protocol": view.number,
             "alert": {"signature_id": rule.sid, "rev": rule.rev, "signature": rule.msg,
                       "action": "allowed"}}
    if view.ports:
        event["src_port"], event["dest_port"] = view.ports
    return event


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rules", action="append", required=True)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("captures", nargs="+")
    args = parser.parse_args()
    rules = load_rules(args.rules)
    for capture in args.captures:
        for packet, view, rule in alerts(capture, rules):
            if args.json:
                print(json.dumps(as_event(packet, view, rule)))
            else:
                print(capture.rsplit("/", 1)[-1], packet.number, rule.sid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
