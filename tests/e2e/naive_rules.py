"""Reads rule files for naive_nids."""

import ipaddress
import re
from collections import namedtuple

from naive_steps import (CONTENT_MODIFIERS, STEPS, TESTS, NotUsed, content_step, finished, modify)

Rule = namedtuple("Rule", "gid sid rev msg proto src sport twoway dst dport action steps tests "
                          "threshold any_protocol")

# Rules -------------------------------------------------------------------------------------------

NEUTRAL = {"msg", "classtype", "reference", "metadata", "priority", "target", "rem", "pkt_data"}
HEADER = re.compile(
    r"^(alert|pass|drop|reject)\s+(tcp|tcp-pkt|udp|icmp|ip|ip4|ipv4|ip6|ipv6)\s+(.+?)\s+(->|<>)"
    r"\s+(.+?)\s*$", re.I | re.S)
OPTION = re.compile(r'\s*([\w.\-]+)\s*(?::((?:"(?:\\.|[^"\\])*"|\\.|[^";\\])*))?;', re.S)


def load_variables(path):
    """The variables of a --vars file in the form NAME: VALUE."""
    values = {}
    for line in open(path, encoding="latin-1"):
        match = re.match(r"\s*([\w-]+)\s*:\s*(\S.*?)\s*$", line.split("#")[0])
        if match:
            values[match.group(1)] = match.group(2).strip("\"'")
    return values


def load_rules(paths, variables=None):
    """Returns the rules that are supported, one for each gid and sid."""
    best = {}
    for path in paths:
        with open(path, encoding="latin-1", newline="") as handle:
            text = handle.read()
        text = "\n".join("" if re.match(r"\s*#", line) else line
                         for line in re.split(r"\r?\n", text))
        for line in text.replace("\\\n", "").split("\n"):
            rule = parse_rule(line.strip(), variables) if line.strip() else None
            if rule is None:
                continue
            old = best.get((rule.gid, rule.sid))
            if old is None or rule.rev > old.rev:
                best[rule.gid, rule.sid] = rule
    return list(best.values())


def parse_rule(line, variables=None):
    """Returns a Rule, or None for one that is not supported or wrong."""
    try:
        return _parse_rule(line, variables)
    except (ValueError, AttributeError, IndexError, KeyError, NotUsed):
        return None


def _parse_rule(line, variables):
    head, _, tail = line.partition("(")
    if not tail.endswith(")"):
        raise ValueError("no parentheses")
    action, proto, left, arrow, right = HEADER.match(head).groups()
    fields, pos, body = {}, 0, tail[:-1]
    steps, tests, threshold = [], [], None
    while body[pos:].strip(" \t;"):
        match = OPTION.match(body, pos)
        name, value = match.group(1).lower(), (match.group(2) or "").strip()
        pos = match.end()
        if name == "content":
            steps.append(content_step(value))
        elif name in CONTENT_MODIFIERS:
            modify([step for step in steps if isinstance(step, dict)][-1], name, value)
        elif name in STEPS:
            steps.append(STEPS[name](value))
        elif name in TESTS:
            tests.append(TESTS[name](value))
        elif name in ("threshold", "detection_filter"):
            threshold = _threshold(value, name)
        elif name in ("sid", "rev", "gid"):
            if name in fields:
                raise ValueError("twice")
            fields[name] = int(value)
        elif name not in NEUTRAL:
            raise NotUsed(name)
        elif name == "msg":
            fields["msg"] = re.sub(r'\\([\\";:])', r"\1", re.fullmatch(r'"(.*)"', value).group(1))
    if fields["sid"] <= 0:
        raise ValueError("no sid")
    proto = proto.lower().replace("-pkt", "")
    if proto[-1] in "46":
        version = int(proto[-1])
        tests.append(lambda view, payload: view.src.version == version)
        proto = "ip"
    src, sport = _address_and_port(left, variables)
    dst, dport = _address_and_port(right, variables)
    steps = [finished(step) if isinstance(step, dict) else step for step in steps]
    return Rule(fields.get("gid", 1), fields["sid"], fields.get("rev", 0), fields.get("msg", ""),
                proto, src, sport, arrow == "<>", dst, dport, action.lower(), steps, tests,
                threshold, re.search(r"ip_proto\s*:", body) is not None)


def _threshold(value, name):
    words = dict(item.split() for item in value.lower().split(","))
    kind = words["type"] if name == "threshold" else "filter"
    if words["track"] == "by_flow":
        raise NotUsed("by_flow")
    return kind, words["track"], int(words["count"]), int(words["seconds"])


def _address_and_port(text, variables):
    """Splits 'ADDRESS PORT' at the last blank outside brackets; returns two predicates."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += {"]": 1, "[": -1}.get(text[at], 0)
        if depth == 0 and text[at].isspace():
            return (_predicate(text[:at].strip(), _address, variables),
                    _predicate(text[at:].strip(), _port, variables))
    raise ValueError("no port")


def _predicate(text, leaf, variables):
    """A function that says whether a value is in the set; None where it is everything."""
    if text.startswith("!"):
        inner = text[1:].strip()
        if "$" in inner and variables is None:
            return None
        test = _predicate(inner, leaf, variables)
        if test is None or inner.startswith("!"):
            raise ValueError("negates everything")
        return lambda value: not test(value)
    if text.startswith("$") and variables is not None:
        return _predicate(variables[text[1:]], leaf, variables)
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
    wanted = [_predicate(m, leaf, variables) for m in members if not m.startswith("!")]
    unwanted = [_predicate(m, leaf, variables) for m in members if m.startswith("!")]
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
