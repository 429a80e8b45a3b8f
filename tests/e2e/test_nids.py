"""Both nids twins give the alerts that an independent, plain evaluation of the rules gives."""

import json

import pytest

import naive_nids
from harness import HERE, all_captures, read_capture, write_capture

RULES = HERE / "rules" / "words.rules"
MBUF_BYTES = 2048


def events(path):
    """The lines of an alert file: (pcap_cnt, sid) of each, and the lines."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["pcap_cnt"], line["alert"]["signature_id"]) for line in lines], lines


def expected_alerts(capture, rules=(RULES,)):
    """(pcap_cnt, sid) pairs, without the packets that do not fit and so never reach an NF."""
    too_big = {number for number, frame in enumerate(read_capture(capture), 1)
               if len(frame) > MBUF_BYTES}
    return {(number, sid) for number, sid in naive_nids.alert_set(capture, list(map(str, rules)))
            if number not in too_big}


def play(platform, capture, gpu_first, rules=(RULES,)):
    """Plays a capture through both twins, one after the other; returns their alert files."""
    on_gpu, on_cpu = platform.folder / "gpu.json", platform.folder / "cpu.json"
    target = platform.folder / "out.pcap"
    first, second = ("gpu", "cpu") if gpu_first else ("cpu", "gpu")
    routes = platform.write("routes.csv", f"*, rx, {first}\n*, {first}, {second}\n"
                                          f"*, {second}, tx\n")
    options = [word for path in rules for word in ("--rules", path)]
    stats = platform.run(
        ["--port", f"pcap:rx={capture},tx={target}", "--routes", routes],
        [("nids", *options, "--alerts", on_gpu, {"service": "gpu", "gpu": True}),
         ("nids", *options, "--alerts", on_cpu, {"service": "cpu"})], gpu="opencl")
    frames = [frame for frame in read_capture(capture) if len(frame) <= MBUF_BYTES]
    assert read_capture(target) == frames  # an IDS changes nothing and holds nothing back
    assert {platform.nf(name, stats)["compute"] for name in ("gpu", "cpu")} == {"gpu", "cpu"}
    return on_gpu, on_cpu


def check(platform, capture, gpu_first=True, rules=(RULES,)):
    expected = expected_alerts(capture, rules)
    for twin in play(platform, capture, gpu_first, rules):
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
            for field, value in expected.items():
                assert line[field] == value, (field, line)


def test_rules_that_are_not_supported_are_summed_up_in_one_line(platform):
    capture, = [path for path in all_captures() if path.name == "zeek-web.pcap"]
    play(platform, capture, gpu_first=True)
    for process in platform.processes:
        if process.name.endswith(("gpu", "cpu")):
            lines = [line for line in process.stderr.splitlines() if "skipped" in line]
            assert len(lines) == 1, process.report()
            assert "offset" in lines[0] and "depth" in lines[0], lines


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
