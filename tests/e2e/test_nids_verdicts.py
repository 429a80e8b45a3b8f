"""What nids does with packets: drop, reject and pass rules, packet types, wrong configuration."""

import json

import pytest

import naive_nids
from harness import HERE, all_captures, drops_of, read_capture

VERDICTS = HERE / "rules" / "verdicts.rules"
LANGUAGE = HERE / "rules" / "language.rules"
MBUF_BYTES = 2048


def capture_of(name):
    return next(path for path in all_captures() if path.name == name)


WIKIPEDIA = capture_of("zeek-wikipedia.pcap")


def judged(capture, rules):
    packets = [packet for packet in naive_nids.read_packets(capture)
               if len(packet.data) <= MBUF_BYTES]
    return list(naive_nids.judgements(packets, naive_nids.load_rules([str(rules)])))


def alerts_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def play(platform, capture, *options, rules=VERDICTS):
    """Through one nids; returns what came out, the statistics and the alerts."""
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx\n")
    out, alerts = platform.folder / "out.pcap", platform.folder / "alerts.json"
    stats = platform.run(["--port", f"pcap:rx={capture},tx={out}", "--routes", routes],
                         [("nids", "--rules", rules, "--alerts", alerts, *options)])
    return read_capture(out), stats, alerts_of(alerts)


def test_drop_and_reject_rules_drop_and_pass_rules_come_first(platform):
    verdicts = judged(WIKIPEDIA, VERDICTS)
    dropped = {packet.number for packet, _, _, drop in verdicts if drop}
    assert 0 < len(dropped) < len(verdicts)
    out, stats, alerts = play(platform, WIKIPEDIA)
    assert out == [frame for number, frame in enumerate(read_capture(WIKIPEDIA), 1)
                   if number not in dropped]
    expected = {(packet.number, rule.sid, "blocked" if rule.action != "alert" else "allowed")
                for packet, _, alerting, _ in verdicts for rule in alerting}
    assert {(alert["pcap_cnt"], alert["alert"]["signature_id"], alert["alert"]["action"])
            for alert in alerts} == expected
    assert {kind for _, _, kind in expected} == {"blocked", "allowed"}
    drops = drops_of(stats, "nids")
    assert set(drops) == {"drop_rule", "reject_rule"} and sum(drops.values()) == len(dropped)


def test_alert_only_drops_nothing(platform):
    out, stats, alerts = play(platform, WIKIPEDIA, "--alert-only")
    assert out == read_capture(WIKIPEDIA) and not drops_of(stats, "nids")
    assert {alert["alert"]["action"] for alert in alerts} == {"allowed"}
    assert {(alert["pcap_cnt"], alert["alert"]["signature_id"]) for alert in alerts} == {
        (packet.number, rule.sid)
        for packet, _, alerting, _ in judged(WIKIPEDIA, VERDICTS) for rule in alerting}


def test_drop_hits_drops_every_packet_with_an_alert(platform):
    hit = {packet.number for packet, _, alerting, drop in judged(WIKIPEDIA, VERDICTS)
           if alerting or drop}
    out, _, _ = play(platform, WIKIPEDIA, "--drop-hits")
    assert out == [frame for number, frame in enumerate(read_capture(WIKIPEDIA), 1)
                   if number not in hit]


def test_hits_take_the_routes_of_their_type(platform):
    """Packets with an alert go on as type `suspect`, which another NF gets."""
    hit = {packet.number for packet, _, alerting, _ in judged(WIKIPEDIA, VERDICTS) if alerting}
    frames = read_capture(WIKIPEDIA)
    assert 0 < len(hit) < len(frames)
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx:0\nsuspect, nids, forward\n"
                                          "suspect, forward, tx:1\n")
    clean, suspect = platform.folder / "clean.pcap", platform.folder / "suspect.pcap"
    other = platform.capture("none.pcap", [])
    platform.run(["--port", f"pcap:rx={WIKIPEDIA},tx={clean}", "--port",
                  f"pcap:rx={other},tx={suspect}", "--routes", routes],
                 [("nids", "--rules", VERDICTS, "--alert-only", "--hit-type", "suspect",
                   "--alerts", platform.folder / "alerts.json"), ("forward",)])
    assert read_capture(suspect) == [frames[number - 1] for number in sorted(hit)]
    assert read_capture(clean) == [frame for number, frame in enumerate(frames, 1)
                                   if number not in hit]


@pytest.mark.parametrize("name,text,words", [
    ("vars", "HOME_NET: [10.0.0.0/8]\n", ("$EXTERNAL_NET", "language.rules:")),
    ("vars", "HOME_NET\n", ("x.vars:1:", "HOME_NET")),
    ("vars", "", ("x.vars:1:", "no variable")),
])
def test_wrong_variable_files_are_refused(idle_platform, name, text, words):
    path = idle_platform.write(f"x.{name}", text)
    idle_platform.spawn_nf("nids", "--rules", LANGUAGE, "--vars", path).expect_refusal(*words)


def test_an_unknown_hit_type_is_refused(idle_platform):
    idle_platform.spawn_nf("nids", "--rules", LANGUAGE, "--hit-type", "nobody").expect_refusal(
        "nobody", "routes.csv")
