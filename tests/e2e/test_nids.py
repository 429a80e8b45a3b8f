"""Both nids twins give the alerts that an independent, plain evaluation of the rules gives."""

import json
import re

import pytest

import naive_nids
from harness import HERE, all_captures, read_capture, write_capture

RULES = HERE / "rules" / "words.rules"
LANGUAGE = HERE / "rules" / "language.rules"
VARIABLES = HERE / "rules" / "home.vars"
EMERGING = sorted((HERE.parent / "data" / "rules").glob("emerging-*.rules"))
MBUF_BYTES = 2048


def events(path):
    """The lines of an alert file: (pcap_cnt, sid) of each, and the lines."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["pcap_cnt"], line["alert"]["signature_id"]) for line in lines], lines


def judged(capture, rules=(RULES,), variables=None):
    """(Packet, View, rules that alert, dropped) for each IP packet; those that do not fit never
    reach an NF."""
    parsed = naive_nids.load_rules(list(map(str, rules)),
                                   naive_nids.load_variables(variables) if variables else None)
    packets = [packet for packet in naive_nids.read_packets(capture)
               if len(packet.data) <= MBUF_BYTES]
    return list(naive_nids.judgements(packets, parsed))


def expected_alerts(capture, rules=(RULES,), variables=None):
    """(pcap_cnt, sid) pairs."""
    return {(packet.number, rule.sid)
            for packet, _, alerting, _ in judged(capture, rules, variables) for rule in alerting}


def play(platform, capture, gpu_first, rules=(RULES,), variables=None):
    """Plays a capture through both twins, one after the other; returns their alert files."""
    on_gpu, on_cpu = platform.folder / "gpu.json", platform.folder / "cpu.json"
    target = platform.folder / "out.pcap"
    first, second = ("gpu", "cpu") if gpu_first else ("cpu", "gpu")
    routes = platform.write("routes.csv", f"*, rx, {first}\n*, {first}, {second}\n"
                                          f"*, {second}, tx\n")
    options = [word for path in rules for word in ("--rules", path)]
    options += ["--vars", variables] if variables else []
    stats = platform.run(
        ["--port", f"pcap:rx={capture},tx={target}", "--routes", routes],
        [("nids", *options, "--alerts", on_gpu, {"service": "gpu", "gpu": True}),
         ("nids", *options, "--alerts", on_cpu, {"service": "cpu"})], gpu="opencl")
    frames = [frame for frame in read_capture(capture) if len(frame) <= MBUF_BYTES]
    assert read_capture(target) == frames  # an IDS changes nothing and holds nothing back
    assert {platform.nf(name, stats)["compute"] for name in ("gpu", "cpu")} == {"gpu", "cpu"}
    return on_gpu, on_cpu


def check(platform, capture, gpu_first=True, rules=(RULES,), variables=None):
    expected = expected_alerts(capture, rules, variables)
    for twin in play(platform, capture, gpu_first, rules, variables):
        found, _ = events(twin)
        assert len(found) == len(set(found)), f"{twin}: an alert is given twice"
        assert set(found) == expected, f"{twin}: wrong {sorted(set(found) ^ expected)}"
    return len(expected)


# Together at least 20 captures; the rest of them are in the test of all captures in one.
CAPTURES = [path for path in all_captures() if path.suffix == ".pcap"][-10:] + [
    path for path in all_captures() if path.suffix == ".pcapng"]


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.name)
def test_twins_agree_with_the_plain_evaluation(platform, capture):
    check(platform, capture, gpu_first=CAPTURES.index(capture) % 2 == 0)


def test_all_captures_in_one(platform):
    """pcap_cnt over thousands of packets of every kind."""
    frames = [frame for path in all_captures() for frame in read_capture(path)]
    n = check(platform, write_capture(platform.folder / "all.pcap", frames))
    assert n > 1000


@pytest.mark.parametrize("name", ["zeek-wikipedia.pcap", "zeek-nmap-vsn.pcap",
                                  "sv-issue-5466-alert-then-pass-01.pcap",
                                  "zeek-tunnels_gre-within-gre.pcap"])
def test_every_option_means_the_same_to_all(platform, name):
    """With the captures' own times, which thresholds count by."""
    capture, = [path for path in all_captures() if path.name == name]
    assert check(platform, capture, rules=(LANGUAGE,), variables=VARIABLES) > 0


def test_every_option_on_all_captures_in_one(platform):
    frames = [frame for path in all_captures() for frame in read_capture(path)]
    capture = write_capture(platform.folder / "all.pcap", frames)
    sids = {sid for _, sid in expected_alerts(capture, (LANGUAGE,), VARIABLES)}
    assert sids == set(range(100, 150)) - {145, 146}, "each but the pass rules alerts somewhere"
    check(platform, capture, rules=(LANGUAGE,), variables=VARIABLES)


def test_emerging_threats_rules_on_all_captures_in_one(platform):
    frames = [frame for path in all_captures() for frame in read_capture(path)]
    capture = write_capture(platform.folder / "all.pcap", frames)
    sids = {sid for _, sid in expected_alerts(capture, EMERGING)}
    assert sids >= {2001219, 2018383}, "password guessing and Heartbleed are seen"
    check(platform, capture, rules=EMERGING, gpu_first=False)


def test_the_comparisons_mean_something():
    """At least 20 captures and all rules give alerts: the comparisons mean something."""
    per_capture = {path.name: len(expected_alerts(path)) for path in all_captures()}
    assert len(per_capture) >= 20
    assert sum(n > 0 for n in per_capture.values()) >= 20, per_capture
    sids = {sid for path in all_captures() for _, sid in expected_alerts(path)}
    assert sids == set(range(1, 21)), sorted(set(range(1, 21)) - sids)


def test_alert_lines_are_eve_json(platform):
    capture, = [path for path in all_captures() if path.name == "zeek-web.pcap"]
    wanted = {}
    rules = naive_nids.load_rules([str(RULES)])
    for packet, view, rule in naive_nids.alerts(capture, rules):
        wanted[packet.number, rule.sid] = naive_nids.as_event(packet, view, rule)
    assert wanted
    for twin in play(platform, capture, gpu_first=True):
        found, lines = events(twin)
        assert set(found) == set(wanted)
        for key, line in zip(found, lines):
            expected = dict(wanted[key])
            number = expected.pop("protocol")
            assert line["proto"] == {1: "ICMP", 6: "TCP", 17: "UDP", 58: "IPv6-ICMP"}[number]
            alert = {"gid": 1, "rules_version": 1, "severity": 3, "category": "",
                     **expected.pop("alert")}
            assert line["alert"] == alert
            for field, value in expected.items():
                assert line[field] == value, (field, line)


def test_rules_that_are_not_used_are_summed_up_and_listed(platform):
    capture, = [path for path in all_captures() if path.name == "zeek-web.pcap"]
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, drop\n")
    platform.run(["--port", f"pcap:rx={capture}", "--routes", routes],
                 [("nids", "--rules", RULES, "--rules", LANGUAGE, "--list-skipped",
                   "--alerts", platform.folder / "alerts.json")])
    nids, = [process for process in platform.processes if process.name.endswith("nids")]
    lines = nids.stderr.splitlines()
    summary, = [line for line in lines if "skipped" in line]
    assert ("70 of 74 rules in use; 4 skipped, not supported: flowbits 1, http.method 1, "
            "http.uri 1, protocol http 1, urilen 1") in summary
    listed = [line.split("not used: ")[1] for line in lines if "not used: " in line]
    number = RULES.read_text().splitlines().index(
        'alert tcp any any -> any any (msg:"not in use"; http.method; content:"GET"; urilen:3; '
        "sid:21; rev:1;)") + 1
    assert listed[0] == f"{RULES}:{number}: sid 21: http.method, urilen"
    assert len(listed) == 4


def test_every_unused_rule_is_named(platform):
    """Malformed ones and duplicates, too, however many; without --list-skipped not all."""
    used = 'alert tcp any any -> any any (content:"a"; sid:1; rev:2;)\n'
    broken = 'alert tcp any any -> any any (content:"a; sid:9;)\n' * 50
    rules = platform.write("a.rules", used + broken + used)
    platform.start_manager("--port", "null")
    for options in ([], ["--list-skipped"]):
        nids = platform.start_nf("nids", "--rules", rules, *options,
                                 "--alerts", platform.folder / "alerts.json")
        lines = nids.stderr.splitlines()
        named = [int(found.group(1)) for line in lines
                 if (found := re.search(rf"{rules}:(\d+): malformed rule", line))]
        duplicates = [line for line in lines
                      if f"{rules}:52: sid 1 rev 2: {rules}:1 has the same sid" in line]
        if options:
            assert named == list(range(2, 52)) and len(duplicates) == 1
        else:
            assert named == list(range(2, 22)) and not duplicates
            assert any("30 more malformed rules" in line for line in lines)
        platform.hbctl("stop", "nids")
        nids.expect(0)
    platform.stop()


def test_each_capture_port_counts_its_own_packets(platform):
    """Two file ports: pcap_cnt is the number on the port that a packet came from."""
    names = ["zeek-wikipedia.pcap", "zeek-http_pipelined-requests.pcap"]
    captures = [path for name in names for path in all_captures() if path.name == name]
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, drop\n")
    alerts = platform.folder / "alerts.json"
    ports = [word for path in captures for word in ("--port", f"pcap:rx={path}")]
    platform.run([*ports, "--routes", routes], [("nids", "--rules", RULES, "--alerts", alerts)])
    found, _ = events(alerts)
    assert sorted(found) == sorted(pair for path in captures for pair in expected_alerts(path))
