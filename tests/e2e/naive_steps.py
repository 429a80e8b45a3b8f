"""What rules ask of payloads and headers, for naive_nids.

A step is a function of (payload, place) that yields the places to which it can lead; a test is a
function of (view, payload).
"""

import re


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


class NotUsed(Exception):
    """A correct rule that nids does not use."""


CONTENT_MODIFIERS = {"nocase", "offset", "depth", "distance", "within", "startswith", "endswith",
                     "fast_pattern", "rawbytes"}


def content_step(value):
    negated, raw, modifiers = re.fullmatch(r'(!?)\s*"((?:\\.|[^"\\])*)"\s*(.*)', value, re.S).groups()
    content = {"bytes": _content(raw), "negated": bool(negated)}
    if modifiers:
        if modifiers[0] != ",":
            raise ValueError("text after the quote")
        for modifier in modifiers[1:].split(","):
            name, _, argument = modifier.strip().partition(" ")
            if name.lower() not in CONTENT_MODIFIERS:
                raise NotUsed(name)
            modify(content, name.lower(), argument.strip())
    return content


def modify(content, name, value):
    if name in ("offset", "depth", "distance", "within"):
        if re.match(r"[A-Za-z_]", value):
            raise NotUsed("variable")
        value = int(value, 0)
        if name in content:
            raise ValueError("twice")
    elif name == "fast_pattern":
        value = value or "yes"
    elif value:
        raise ValueError("a value where none is")
    content[name] = value


def finished(content):
    """The content's step."""
    needle, fold = content["bytes"], "nocase" in content
    relative = "distance" in content or "within" in content
    needle = needle.lower() if fold else needle
    size = len(needle)
    if relative and ({"offset", "depth", "startswith"} & set(content)):
        raise ValueError("relative and absolute")
    for name in ("depth", "within"):
        if name in content and content[name] < size:
            raise ValueError("too narrow")

    def window(payload, place):
        if relative:
            low = place + content.get("distance", 0)
            high = low + content["within"] if "within" in content else len(payload)
        elif "startswith" in content:
            low, high = 0, size
        else:
            low = content.get("offset", 0)
            high = low + content["depth"] if "depth" in content else len(payload)
        return max(low, 0), min(high, len(payload))

    def positions(payload, place):
        low, high = window(payload, place)
        text = payload.lower() if fold else payload
        at = text.find(needle, low, max(high, 0)) if low <= high else -1
        while at >= 0:
            if "endswith" not in content or at + size == len(payload):
                yield at + size
            at = text.find(needle, at + 1, high)

    def step(payload, place):
        if content["negated"]:
            return [place] if next(positions(payload, place), None) is None else []
        if content.get("fast_pattern") == "only":
            return [place] if next(positions(payload, place), None) is not None else []
        return positions(payload, place)

    return step


def _pcre(value):
    negated, pattern, flags = re.fullmatch(r'(!?)\s*"/(.*)/(\w*)"', value, re.S).groups()
    if set(flags) - set("imsxAERBO"):
        raise NotUsed("pcre flags")
    bits = sum({"i": re.I, "m": re.M, "s": re.S, "x": re.X}.get(flag, 0) for flag in flags)
    raw = pattern.encode("latin-1")

    def ends(subject, base):
        regex, at = re.compile(raw, bits), 0  # here: Python does not know every PCRE
        while at <= len(subject):
            found = regex.match(subject, at) if "A" in flags else regex.search(subject, at)
            if not found:
                return
            yield base + found.end()
            at = max(at, found.start()) + 1

    def step(payload, place):
        base = place if "R" in flags else 0
        found = ends(payload[base:], base)
        if negated:
            return [place] if next(found, None) is None else []
        return found

    return step


def _field(items, words):
    """A function of (payload, place) that reads a number: (value, end of the digits) or None."""
    if any(re.match(r"[A-Za-z_]", item) for item in items):
        raise NotUsed("variable")
    count, offset = (int(item, 0) for item in items)
    base = {"hex": 16, "oct": 8}.get(next((w for w in words if w in ("hex", "oct")), None), 10)
    order = "little" if "little" in words else "big"
    if not 1 <= count <= (23 if "string" in words else 8):
        raise ValueError("bytes")

    def read(payload, place):
        at = offset + (place if "relative" in words else 0)
        if at < 0 or at + count > len(payload):
            return None
        piece = payload[at : at + count]
        if "string" not in words:
            return int.from_bytes(piece, order), at + count
        digits = {8: b"[0-7]+", 10: b"[0-9]+", 16: b"(?:0[xX](?=[0-9a-fA-F]))?[0-9a-fA-F]+"}[base]
        match = re.match(rb"[ \t\n\v\f\r]*([+-]?)(" + digits + b")", piece)
        if not match:
            return None
        number = int(match.group(2), base)
        if number >= 2**64:
            return None
        return (-number if match.group(1) == b"-" else number) % 2**64, at + match.end()

    return read


def _words(items, known):
    for item in items:
        if item.split()[0] in ("dce",):
            raise NotUsed("dce")
        if item.split()[0] not in known:
            raise ValueError(item)
    return {item.split()[0]: item.split()[1] if " " in item else "" for item in items}


FIELD_WORDS = {"relative", "big", "little", "string", "hex", "dec", "oct"}


def _byte_test(value):
    items = [item.strip() for item in value.split(",")]
    words = _words(items[4:], FIELD_WORDS | {"bitmask"})
    read = _field([items[0], items[3]], words)
    if re.match(r"[A-Za-z_]", items[2]):
        raise NotUsed("variable")
    wanted, negated = int(items[2], 0), items[1].startswith("!")
    operator = items[1].lstrip("!").strip() or "="
    test = {"=": lambda v: v == wanted, "<": lambda v: v < wanted, ">": lambda v: v > wanted,
            "<=": lambda v: v <= wanted, ">=": lambda v: v >= wanted,
            "&": lambda v: v & wanted != 0, "^": lambda v: v ^ wanted != 0}[operator]
    mask = int(words["bitmask"], 0) if "bitmask" in words else None

    def step(payload, place):
        found = read(payload, place)
        if found is None:
            return []
        number = found[0]
        if mask:
            number = (number & mask) // (mask & -mask)
        return [place] if test(number) != negated else []

    return step


def _byte_jump(value):
    items = [item.strip() for item in value.split(",")]
    words = _words(items[2:], FIELD_WORDS | {"multiplier", "post_offset", "align",
                                             "from_beginning", "from_end"})
    read = _field(items[:2], words)
    factor, post = int(words.get("multiplier", 1)), int(words.get("post_offset", 0))

    def step(payload, place):
        found = read(payload, place)
        if found is None:
            return []
        jump = found[0] * factor
        if "align" in words:
            jump += -jump % 4
        start = (0 if "from_beginning" in words else len(payload) if "from_end" in words
                 else found[1])
        to = start + jump + post
        return [to] if 0 <= to <= len(payload) else []

    return step


def _isdataat(value):
    negated, rest = value.startswith("!"), value.lstrip("!")
    items = [item.strip() for item in rest.split(",")]
    if re.match(r"[A-Za-z_]", items[0]):
        raise NotUsed("variable")
    count, relative = int(items[0]), "relative" in items[1:]

    def step(payload, place):
        there = place + count <= len(payload) if relative else count < len(payload)
        return [place] if there != negated else []

    return step


STEPS = {"pcre": _pcre, "byte_test": _byte_test, "byte_jump": _byte_jump, "isdataat": _isdataat}


def steps_match(steps, payload, at=0, place=0, failed=None):
    """Backtracks through every way in which the steps can follow each other."""
    failed = set() if failed is None else failed
    if at == len(steps):
        return True
    if (at, place) in failed:
        return False
    for reached in steps[at](payload, place):
        if steps_match(steps, payload, at + 1, reached, failed):
            return True
    failed.add((at, place))
    return False


# Tests on headers: functions of (view, payload) --------------------------------------------------


def _number(value, dash=False):
    negated, text = value.startswith("!"), value.lstrip("!").strip()
    between = re.fullmatch(r"(\d+)\s*<>\s*(\d+)" + (r"|(\d+)\s*-\s*(\d+)" if dash else ""), text)
    if between:
        low, high = (int(group) for group in between.groups() if group is not None)
        test = lambda v: low < v < high  # noqa: E731
    else:
        operator, number = re.fullmatch(r"(<=|>=|<|>|=|)\s*(\d+)", text).groups()
        number = int(number)
        test = {"<": lambda v: v < number, ">": lambda v: v > number, "<=": lambda v: v <= number,
                ">=": lambda v: v >= number}.get(operator, lambda v: v == number)
    return lambda v: test(v) != negated


def _dsize(value):
    test = _number(value)
    return lambda view, payload: test(len(payload))


def _ttl(value):
    test = _number(value, dash=True)
    return lambda view, payload: test(view.ttl)


def _icmp(value, at):
    test = _number(value)
    return lambda view, payload: view.kind == "icmp" and test(view.ip_payload[at])


def _ip_proto(value):
    names = {"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "gre": 47, "esp": 50, "ah": 51,
             "ipv6-icmp": 58}
    text = re.sub(r"[a-z][a-z0-9-]*", lambda m: str(names[m.group(0)]), value.lower())
    test = _number(text)
    return lambda view, payload: test(view.number)


FLAG_BITS = {**dict(zip("FSRPAUEC", (1, 2, 4, 8, 16, 32, 64, 128))), "2": 64, "1": 128, "0": 0}


def _flags(value):
    letters, _, ignored = value.upper().replace(" ", "").partition(",")
    mode = "".join(c for c in letters if c in "+*!")
    wanted = 0
    for letter in letters.strip("+*!"):
        wanted |= FLAG_BITS[letter]
    mask = 255
    for letter in ignored:
        mask &= ~FLAG_BITS[letter]

    def test(view, payload):
        if view.kind != "tcp":
            return False
        flags = view.ip_payload[13]
        if wanted == 0 and flags:
            return mode == "!"
        flags &= mask
        return {"+": flags & wanted == wanted, "*": flags & wanted != 0,
                "!": flags & wanted != wanted}.get(mode, flags == wanted)

    return test


def _flow(value):
    words = {word.strip().lower() for word in value.split(",")}
    if "only_stream" in words:
        raise NotUsed("only_stream")
    server, client = words & {"to_server", "from_client"}, words & {"to_client", "from_server"}

    def test(view, payload):
        if ("only_frag" in words and not view.fragment) or ("no_frag" in words and view.fragment):
            return False
        if view.kind != "tcp" or not view.ip_payload[13] & 2:
            return True
        answer = view.ip_payload[13] & 16
        return not ("established" in words or (server and answer) or (client and not answer))

    return test


TESTS = {"dsize": _dsize, "ttl": _ttl, "itype": lambda v: _icmp(v, 0),
         "icode": lambda v: _icmp(v, 1), "ip_proto": _ip_proto, "flags": _flags, "flow": _flow}
