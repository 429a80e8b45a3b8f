"""The NFs of the figures, with their options."""

import itertools
import re

from measure import harness, nf

#: A rule's header, which is replaced: the generator's packets are UDP.
HEADER = re.compile(r"^(alert|drop)\s+\w+\s[^(]*\(")
#: Options that only a TCP packet can match, or that count: taken away.
TAKEN_AWAY = re.compile(r"\b(flags|flow|threshold|detection_filter|stateless)\s*:[^;]*;")
#: What asks for more than a payload.
FOREIGN = re.compile(r"\b(flowbits|itype|icode|ip_proto|http_\w+|uricontent)\b")


CONTENT = re.compile(r'content\s*:\s*(!?)\s*"((?:[^"\\]|\\.)*)"')
LEAST_CONTENT = 4  #: bytes

_number = itertools.count()


def longest_content(rule):
    """What a search looks for first in the rule's packets; empty without."""
    found = []
    for negated, text in CONTENT.findall(rule):
        parts = [bytes.fromhex(part.replace(" ", "")) if i % 2 else
                 re.sub(r"\\(.)", r"\1", part).encode("latin-1")
                 for i, part in enumerate(text.split("|"))]
        found += [] if negated else [b"".join(parts)]
    return max(found, key=len, default=b"")


def write_rules(path, sources, most, payloads):
    """The first rules whose content generated packets could have and have not, for any UDP packet; and
    one that has its content in one place of the payloads, so that some packets alert: an NF that found
    nothing would pass for a fast one. If most packets alerted, that would be measured.
    @return how many"""
    pieces = (payloads[at:at + 12] for at in range(len(payloads) // 3, len(payloads) - 12))
    once = next(piece for piece in pieces if payloads.count(piece) == 1)
    rules = [f'alert udp any any -> any any (msg:"one place of the payloads"; content:"|{once.hex(" ")}|"; '
             'sid:1000001; rev:1;)']
    lower = payloads.lower()
    for source in sources:
        for line in source.read_text(errors="replace").splitlines():
            if not HEADER.match(line) or FOREIGN.search(line):
                continue
            content = longest_content(line)
            if len(content) >= LEAST_CONTENT and content.lower() not in lower:
                rules.append(TAKEN_AWAY.sub("", HEADER.sub("alert udp any any -> any any (", line)))
    path.write_text("\n".join(rules[:most]) + "\n")
    return len(rules[:most])


def forward(service="forward", gpu=False, **more):
    return nf("forward", service, gpu, **more)


def nids(args, folder, service="nids", gpu=False, **more):
    alerts = folder / f"alerts-{next(_number)}.json"
    return {**nf("nids", service, gpu, ["--rules", args.rules, "--alerts", alerts], **more),
            "alerts": alerts}


def router(folder):
    routes = folder / "router.csv"
    routes.write_text("0.0.0.0/0, 0, 02:00:00:00:00:01\n")
    return nf("router", options=["--route-file", routes])


def state(number):
    """An SA: AES-128-CBC and HMAC-SHA1-96, the paper's pair."""
    key, auth = bytes((number + i) % 256 for i in range(16)), bytes(range(20))
    return (f"ip xfrm state add src 192.0.2.1 dst 192.0.2.{2 + number} proto esp spi "
            f"0x{0x301 + number:x} reqid {1 + number} mode tunnel enc cbc(aes) 0x{key.hex()} "
            f"auth-trunc hmac(sha1) 0x{auth.hex()} 96\n")


def ipsec(folder, service="ipsec", gpu=False, number=0, n_keys=1, **more):
    """Seals all packets by the SA of that number; `keys` are options that open those of all n."""
    path, keys = folder / f"sa{number}.txt", folder / f"keys{n_keys}.txt"
    path.write_text(state(number) +
                    "ip xfrm policy add src 10.0.0.0/8 dst 0.0.0.0/0 dir out tmpl src 192.0.2.1 "
                    f"dst 192.0.2.{2 + number} proto esp reqid {1 + number} mode tunnel\n")
    keys.write_text("".join(state(each) for each in range(n_keys)))
    return {**nf("ipsec", service, gpu, ["--sa", path], **more), "keys": ["--sa", str(keys)]}


def spread_ipsec(folder, n, **more):
    """As many ipsec services as cores or CPUSyncers: an SA's numbers are given out in one place, so
    each has its own SA, and its own part of the flows.
    @return NFs, and the texts of routes and flows"""
    nfs = [ipsec(folder, f"ipsec{i}", number=i, n_keys=n, **more) for i in range(n)]
    # 4096 flows are 10.0.0.1 to 10.0.16.0: 16 prefixes of 256.
    flows = "".join(f"t{i * n // 16}, 10.0.{i}.0/24, *, *, *, *\n" for i in range(16))
    flows += "t0, *, *, *, *, *\n"
    routes = "".join(f"t{i}, rx, ipsec{i}\nt{i}, ipsec{i}, tx\n" for i in range(n))
    return nfs, {"routes": routes, "flows": flows}


def rule_files():
    """Emerging Threats' rules of the tests' data."""
    return sorted((harness.CAPTURES.parent / "rules").glob("emerging-*.rules"))
