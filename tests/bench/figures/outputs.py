"""Correctness while it is fast: samples of what a loaded platform sends, against the CPU twins.

The generator keeps copies of packets that come back in each measured window. What becomes of them:

  every NF  the packet that the generator made comes back whole: headers, checksum, payload
  ipsec     the CPU twin opens them (on its own keys), then the same of what is inside
  nids      the CPU twin judges them; the loaded platform's alerts on these very packets must be the
            same ones. A window in which alerts or evaluations were lost to overload may lack some,
            never have others; a further sample is taken at a rate at which none are
"""

import calendar
import collections
import json
import struct
import time

from measure import FLOWS, harness
from naive_packets import dissect, read_packets

DESTINATION = "198.18.0.1"
#: A sample without overload, of each setup that has a nids: packets a second, seconds.
EXACT_PPS, EXACT_S = 20_000, 0.1


def write_with_times(path, packets):
    """Packets with nanoseconds, as one capture."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for packet in packets:
            out.write(struct.pack("<IIII", packet.time_ns // 10**9, packet.time_ns % 10**9,
                                  len(packet.data), len(packet.data)))
            out.write(packet.data)


def payloads_of(path):
    """What the generator cuts its payloads from: those of a capture's packets, repeated if short."""
    views = [dissect(packet.data) for packet in read_packets(path)]
    once = b"".join(view.l4_payload for view in views if view and view.number in (6, 17)
                    and view.l4_payload)
    while len(once) < 4096:
        once += once
    return once


def one_complement_sum(header):
    total = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def wrong_with(frame, size, payloads, routed):
    """What is not as the generator made it; empty if all is.

    @param payloads  null: their bytes are whatever the buffer had held
    @param routed    a router has been there: another TTL and other Ethernet addresses
    """
    if len(frame) != size:
        return f"{len(frame)} bytes instead of {size}"
    if frame[12:15] != b"\x08\x00\x45" or one_complement_sum(frame[14:34]) != 0xFFFF:
        return "no IPv4 header with a right checksum"
    length, ttl, protocol = *struct.unpack_from(">H", frame, 16), frame[22], frame[23]
    source = struct.unpack_from(">I", frame, 26)[0] - (10 << 24 | 1)
    if (length, ttl, protocol) != (size - 14, 63 if routed else 64, 17):
        return f"length {length}, TTL {ttl}, protocol {protocol}"
    if not 0 <= source < FLOWS or frame[30:34] != bytes(map(int, DESTINATION.split("."))):
        return "other addresses"
    if struct.unpack_from(">HHHH", frame, 34) != (0xC000, 9, size - 34, 0):
        return "another UDP header"
    if not routed and frame[:12] != bytes((2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)):
        return "other Ethernet addresses"
    if payloads is not None and payloads.find(frame[42:]) < 0:
        return "a payload that the generator has not"
    return ""


class Outputs:
    """Of one figure: collects samples of its platforms, and compares them when they are gone, as the
    twins would take the platforms' cores."""

    def __init__(self, args, folder):
        self._args, self._folder = args, folder
        self._waiting = []

    def collect(self, session, setup, samples, row, label):
        """Reads what the platform wrote. row gets "outputs" at the end."""
        alerts = next((one["alerts"] for one in setup["nfs"] if one.get("alerts")), None)
        if alerts:
            path = session.bench.folder / "exact.pcap"
            samples = [*samples, (path, session.window(EXACT_PPS, EXACT_S, sample=path))]
        self._waiting.append({"label": label, "setup": setup, "row": row, "alerts": alerts, "samples": [
            (list(read_packets(path)), lost_alerts(window)) for path, window in samples]})

    def compare(self):
        """@return what was wrong, a line each"""
        opened = self._open_sealed()
        judged = self._judge()
        wrong = []
        for one in self._waiting:
            setup = one["setup"]
            names = [each["nf"] for each in setup["nfs"]]
            blob = payloads_of(setup["payload"]) if setup["payload"] else None
            sealed = "ipsec" in names
            packets = [packet for sample, _ in one["samples"] for packet in sample]
            frames = opened.get(id(one), []) if sealed else [packet.data for packet in packets]
            # A router behind ipsec changes the outer header.
            routed = "router" in names and not sealed
            faults = [fault for frame in frames
                      if (fault := wrong_with(frame, setup["size"], blob, routed))] if isinstance(
                          setup["size"], int) else []
            result = {"packets": len(packets), "wrong": len(faults), "how": ["as generated"]}
            if sealed:
                result["how"].insert(0, "opened by the CPU twin")
                result["not_opened"] = len(packets) - len(frames)
                result["wrong"] += result["not_opened"]
            if one["alerts"]:
                result |= self._compare_alerts(one, judged, faults)
                result["wrong"] += result["alerts_missing"] + result["alerts_odd"]
                result["how"].append("alerts as the CPU twin's")
            if not packets:
                faults.append("no packet came back to be looked at")
                result["wrong"] += 1
            if result["wrong"]:
                wrong.append(f"{one['label']}: {result}, {faults[:3]}")
            one["row"]["outputs"] = result
        self._waiting = []
        return wrong

    def _open_sealed(self):
        """Frames inside the sealed packets, by the id of what they belong to."""
        found = {}
        jobs = [one for one in self._waiting
                if any(each["nf"] == "ipsec" for each in one["setup"]["nfs"])]
        for one in jobs:
            options = next(each["keys"] for each in one["setup"]["nfs"] if each["nf"] == "ipsec")
            packets = [packet for sample, _ in one["samples"] for packet in sample]
            if not packets:
                continue
            sealed, out = self._folder / "sealed.pcap", self._folder / "opened.pcap"
            write_with_times(sealed, packets)
            self._twin(f"pcap:rx={sealed},tx={out}", "ipsec", "--direction", "decrypt", *options)
            found[id(one)] = harness.read_capture(out)
        return found

    def _judge(self):
        """The CPU twin's alerts: (microseconds, source address) of a packet -> sids, counted."""
        packets = [packet for one in self._waiting if one["alerts"]
                   for sample, _ in one["samples"] for packet in sample]
        if not packets:
            return {}
        seen, alerts = self._folder / "seen.pcap", self._folder / "twin.json"
        write_with_times(seen, packets)
        alerts.unlink(missing_ok=True)
        self._twin(f"pcap:rx={seen}", "nids", "--rules", str(self._args.rules), "--alerts",
                   str(alerts))
        found = collections.defaultdict(collections.Counter)
        for line in alerts.read_text().splitlines() if alerts.exists() else ():
            alert = json.loads(line)
            found[key_of(packets[alert["pcap_cnt"] - 1])][alert["alert"]["signature_id"]] += 1
        return found

    def _twin(self, port, nf, *options):
        bench = harness.Platform(self._folder)
        try:
            bench.run(["--port", port], [(nf, *options)])
        finally:
            bench.clean_up()

    def _compare_alerts(self, one, judged, faults):
        keys = {key_of(packet): lost for sample, lost in one["samples"] for packet in sample}
        seen = alerts_on(one["alerts"], keys)
        one["alerts"].unlink(missing_ok=True)
        missing = odd = compared = 0
        for key, lost in keys.items():
            twin, own = judged.get(key, {}), seen.get(key, {})
            compared += sum(twin.values())
            odd += sum((collections.Counter(own) - collections.Counter(twin)).values())
            if not lost:
                missing += sum((collections.Counter(twin) - collections.Counter(own)).values())
        if missing or odd:
            faults.append("alerts differ")
        return {"alerts": compared, "alerts_missing": missing, "alerts_odd": odd,
                "exact_samples": sum(not lost for _, lost in one["samples"])}


def lost_alerts(window):
    """Alerts and evaluations that a window lost to overload, as the counters say."""
    def total(status):
        return sum(one.get("counters", {}).get(key, 0) for one in status["nfs"]
                   for key in ("alerts_lost", "unevaluated"))

    return total(window["after"]) - total(window["before"])


def key_of(packet):
    """What an alert and a sampled packet have in common: a burst's packets are of different flows."""
    return packet.time_ns // 1000, ".".join(map(str, packet.data[26:30]))


def alerts_on(path, keys):
    """Those of an EVE file that are about these packets. The file may be long: most lines are told
    by their text alone."""
    found = collections.defaultdict(collections.Counter)
    sources = {source for _, source in keys}
    with open(path) as lines:
        for line in lines:
            at = line.find('"src_ip":"') + 10
            if line[at:line.find('"', at)] not in sources:
                continue
            alert = json.loads(line)
            when = microseconds(alert["timestamp"])
            if (when, alert["src_ip"]) in keys:
                found[when, alert["src_ip"]][alert["alert"]["signature_id"]] += 1
    return found


def microseconds(timestamp):
    """Of 2010-04-15T10:34:50.123456+0000, since 1970."""
    whole, _, rest = timestamp.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**6 + int(rest[:6])
