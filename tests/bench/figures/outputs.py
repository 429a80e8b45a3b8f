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


def wrong_with(frame, size, payloads, ttl, other_macs):
    """What is not as the generator made it; empty if all is.

    @param payloads    null: their bytes are whatever the buffer had held
    @param other_macs  a router has been there
    """
    if len(frame) != size:
        return f"{len(frame)} bytes instead of {size}"
    if frame[12:15] != b"\x08\x00\x45" or one_complement_sum(frame[14:34]) != 0xFFFF:
        return "no IPv4 header with a right checksum"
    found = *struct.unpack_from(">H", frame, 16), frame[22], frame[23]
    source = struct.unpack_from(">I", frame, 26)[0] - (10 << 24 | 1)
    if found != (size - 14, ttl, 17):
        return "length {}, TTL {}, protocol {}".format(*found)
    if not 0 <= source < FLOWS or frame[30:34] != bytes(map(int, DESTINATION.split("."))):
        return "other addresses"
    if struct.unpack_from(">HHHH", frame, 34) != (0xC000, 9, size - 34, 0):
        return "another UDP header"
    if not other_macs and frame[:12] != bytes((2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)):
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

    @property
    def debt_s(self):
        """About how long compare() will take."""
        return sum(1.0 if "ipsec" in one["names"] else 0.2 for one in self._waiting)

    def collect(self, session, setup, samples, row, label):
        """Reads what the platform wrote. row gets "outputs" at the end."""
        alerts = [one["alerts"] for one in setup["nfs"] if one.get("alerts")]
        if alerts:
            path = session.bench.folder / "exact.pcap"
            samples = [*samples, (path, session.window(EXACT_PPS, EXACT_S, sample=path))]
        packets, lost = [], []  # of each packet: whether its window lost alerts
        for path, window in samples:
            more = list(read_packets(path))
            packets += more
            lost += [lost_alerts(window) > 0] * len(more)
        self._waiting.append({"label": label, "setup": setup, "row": row, "alerts": alerts,
                              "names": [each["nf"] for each in setup["nfs"]], "packets": packets,
                              "clear": packets, "lost": lost})

    def compare(self):
        """@return what was wrong, a line each"""
        for one in self._waiting:
            if "ipsec" in one["names"]:
                one["clear"] = self._opened(one)
        judged = self._judge()
        wrong = []
        for one in self._waiting:
            setup = one["setup"]
            blob = payloads_of(setup["payload"]) if setup["payload"] else None
            sealed, routed = "ipsec" in one["names"], "router" in one["names"]
            # Behind ipsec, the TTL that a router changes is the outer one's.
            ttl = 63 if routed and not sealed else 64
            faults = [fault for packet in one["clear"]
                      if (fault := wrong_with(packet.data, setup["size"], blob, ttl, routed))]
            result = {"packets": len(one["packets"]), "wrong": len(faults), "how": ["as generated"]}
            if sealed:
                result["how"].insert(0, "opened by the CPU twin")
                result["not_opened"] = len(one["packets"]) - len(one["clear"])
                result["wrong"] += result["not_opened"]
            if one["alerts"]:
                result |= self._compare_alerts(one, judged)
                result["wrong"] += result["alerts_missing"] + result["alerts_odd"]
                result["how"].append("alerts as the CPU twin's")
            if not one["packets"]:
                faults.append("no packet came back to be looked at")
                result["wrong"] += 1
            if result["wrong"]:
                wrong.append(f"{one['label']}: {result}, {faults[:3]}")
            one["row"]["outputs"] = result
        self._waiting = []
        return wrong

    def _opened(self, one):
        """What is inside the sealed packets, with their times as long as none is missing."""
        if not one["packets"]:
            return []
        options = next(each["keys"] for each in one["setup"]["nfs"] if each["nf"] == "ipsec")
        sealed, out = self._folder / "sealed.pcap", self._folder / "opened.pcap"
        write_with_times(sealed, one["packets"])
        self._twin(f"pcap:rx={sealed},tx={out}", "ipsec", "--direction", "decrypt", *options)
        return [packet._replace(data=frame)
                for packet, frame in zip(one["packets"], harness.read_capture(out))]

    def _judge(self):
        """The CPU twin's alerts: (microseconds, source address) of a packet -> sids, counted."""
        packets = [packet for one in self._waiting if one["alerts"] for packet in one["clear"]]
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
        routes = bench.write("routes.csv", f"*, rx, {nf}\n*, {nf}, tx\n")
        try:
            bench.run(["--port", port, "--routes", routes], [(nf, *options)])
        finally:
            bench.clean_up()

    def _compare_alerts(self, one, judged):
        keys = {key_of(packet): lost for packet, lost in zip(one["clear"], one["lost"])}
        seen = alerts_on(one["alerts"], keys)
        missing = odd = compared = 0
        for key, lost in keys.items():
            twin, own = judged.get(key, collections.Counter()), seen[key]
            compared += twin.total()
            odd += (own - twin).total()
            missing += 0 if lost else (twin - own).total()
        for path in one["alerts"]:
            path.unlink(missing_ok=True)
        return {"alerts": compared, "alerts_missing": missing, "alerts_odd": odd,
                "packets_without_lost_alerts": one["lost"].count(False)}


def lost_alerts(window):
    """Alerts and evaluations that a window and what came just before it lost to overload, as the
    counters say."""
    def total(status):
        return sum(one.get("counters", {}).get(key, 0) for one in status["nfs"]
                   for key in ("alerts_lost", "unevaluated"))

    return total(window["after"]) - total(window["earlier"])


def key_of(packet):
    """What an alert and a sampled packet have in common: a burst's packets are of different flows."""
    return packet.time_ns // 1000, ".".join(map(str, packet.data[26:30]))


def alerts_on(paths, keys):
    """Those of EVE files that are about these packets. The files may have millions of lines: most are
    told by their first bytes, {"timestamp":"2010-04-15T10:34:50.123456+0000"."""
    found = collections.defaultdict(collections.Counter)
    times = {time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // 10**6)) + f".{us % 10**6:06}"
             for us, _ in keys}
    for path in paths:
        with open(path) as lines:
            for line in lines:
                if line[14:40] not in times:
                    continue
                alert = json.loads(line)
                key = microseconds(alert["timestamp"]), alert["src_ip"]
                if key in keys:
                    found[key][alert["alert"]["signature_id"]] += 1
    return found


def microseconds(timestamp):
    """Of 2010-04-15T10:34:50.123456+0000, since 1970."""
    whole, _, rest = timestamp.partition(".")
    return calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) * 10**6 + int(rest[:6])
