#!/usr/bin/env python3
"""Says which rules match which packets of a capture, in the slowest and plainest way.

The reference that the nids tests compare both twins with: every rule is tried on every packet, with
nothing but Python's own strings, regular expressions and address arithmetic, backtracking through
every place where a content may lie. It shares no code with the NF.

Usage: naive_nids.py --rules FILE [--rules FILE]... [--json] CAPTURE...
Prints `CAPTURE PACKET_NUMBER SID` per alert, or with --json one EVE-like object per line.
"""

import argparse
import datetime
import json
import sys

from naive_packets import dissect, read_packets
from naive_rules import load_rules, load_variables
from naive_steps import steps_match

class Thresholds:
    """Counts of matches, by rule and what it tracks."""

    def __init__(self):
        self._counts = {}

    def count(self, rule, view, time_ns):
        """'nothing', 'action' or 'alert'."""
        kind, track, limit, seconds = rule.threshold
        who = {"by_src": view.src, "by_dst": view.dst, "by_rule": None,
               "by_both": frozenset((view.src, view.dst))}[track]
        start, n = self._counts.get((rule.gid, rule.sid, who), (None, 0))
        if start is None or not 0 <= time_ns - start < seconds * 10**9:
            start, n = time_ns, 0
        n += 1
        answer = {"limit": "alert" if n <= limit else "action",
                  "threshold": "alert" if n >= limit else "nothing",
                  "both": "nothing" if n < limit else "alert" if n == limit else "action",
                  "filter": "alert" if n > limit else "nothing"}[kind]
        if kind == "threshold" and n >= limit:
            n = 0
        self._counts[rule.gid, rule.sid, who] = start, n
        return answer


def matches(rule, view):
    """True when the rule matches the packet."""
    if not view.searched and not rule.any_protocol:
        return False
    if rule.proto == "ip":
        payload = view.ip_payload
    elif rule.proto == view.kind:
        payload = view.l4_payload
    else:
        return False
    ways = [(view.src, view.dst, view.ports)]
    if rule.twoway:
        ways.append((view.dst, view.src, view.ports and view.ports[::-1]))
    return (any(_header(rule, *way) for way in ways)
            and all(test(view, payload) for test in rule.tests)
            and (not rule.steps or len(payload) > 0 and steps_match(rule.steps, payload)))


def _header(rule, src, dst, ports):
    if ports is None and (rule.sport or rule.dport):
        return False
    return ((rule.src is None or rule.src(src)) and (rule.dst is None or rule.dst(dst))
            and (rule.sport is None or rule.sport(ports[0]))
            and (rule.dport is None or rule.dport(ports[1])))


def judge(rules, view, time_ns, thresholds):
    """(rules that alert, dropped) for one packet, in the order pass, drop, reject, alert."""
    found = [rule for rule in rules if matches(rule, view)]
    alerting, dropped = [], False
    for action in ("pass", "drop", "reject", "alert"):
        for rule in found:
            if rule.action != action:
                continue
            answer = thresholds.count(rule, view, time_ns) if rule.threshold else "alert"
            if answer == "nothing":
                continue
            if action == "pass":
                return alerting, dropped
            dropped = dropped or action != "alert"
            if answer == "alert":
                alerting.append(rule)
    return alerting, dropped


def judgements(packets, rules):
    """Yields (Packet, View, rules that alert, dropped) for every IP packet, in order."""
    thresholds = Thresholds()
    for packet in packets:
        view = dissect(packet.data)
        if view is not None:
            yield packet, view, *judge(rules, view, packet.time_ns, thresholds)


def alerts(capture, rules):
    """Yields (Packet, View, Rule) for every alert of the capture, in packet order."""
    for packet, view, alerting, _ in judgements(read_packets(capture), rules):
        for rule in alerting:
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
    parser.add_argument("--vars")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("captures", nargs="+")
    args = parser.parse_args()
    rules = load_rules(args.rules, load_variables(args.vars) if args.vars else None)
    for capture in args.captures:
        for packet, view, rule in alerts(capture, rules):
            if args.json:
                print(json.dumps(as_event(packet, view, rule)))
            else:
                print(capture.rsplit("/", 1)[-1], packet.number, rule.sid)
    return 0


if __name__ == "__main__":
    sys.exit(main())
