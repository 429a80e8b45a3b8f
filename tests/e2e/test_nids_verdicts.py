"""What nids does with packets, on the CPU and on the GPU: drop, reject and pass rules, packet types,
wrong configuration."""

import json
import os
import signal
import struct

import pytest

import naive_nids
from harness import HERE, all_captures, drops_of, pid_of_gpu_host, read_capture, wait_until

TWINS = pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])

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
    whole = path.read_text().rpartition("\n")[0]  # the last line may be half written
    return [json.loads(line) for line in whole.splitlines()]


def by_flow(frames):
    """Frames by flow, both directions together: the GPU twin keeps the order within one."""
    flows = {}
    for frame in frames:
        key = frame[12:14]
        if key == b"\x08\0":
            l4 = 14 + (frame[14] & 15) * 4
            ports = struct.unpack_from("!HH", frame, l4) if frame[23] in (6, 17) else (0, 0)
            ends = sorted([(frame[26:30], ports[0]), (frame[30:34], ports[1])])
            key = (frame[23], *ends)
        elif key == b"\x86\xdd":
            ports = struct.unpack_from("!HH", frame, 54) if frame[20] in (6, 17) else (0, 0)
            ends = sorted([(frame[22:38], ports[0]), (frame[38:54], ports[1])])
            key = (frame[20], *ends)
        flows.setdefault(key, []).append(frame)
    return flows


def play(platform, capture, *options, rules=VERDICTS, gpu=False):
    """Through one nids; returns what came out, the statistics and the alerts."""
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx\n")
    out, alerts = platform.folder / "out.pcap", platform.folder / "alerts.json"
    stats = platform.run(["--port", f"pcap:rx={capture},tx={out}", "--routes", routes],
                         [("nids", "--rules", rules, "--alerts", alerts, *options, {"gpu": gpu})],
                         gpu="opencl" if gpu else "none")
    return read_capture(out), stats, alerts_of(alerts)


@TWINS
def test_drop_and_reject_rules_drop_and_pass_rules_come_first(platform, gpu):
    verdicts = judged(WIKIPEDIA, VERDICTS)
    dropped = {packet.number for packet, _, _, drop in verdicts if drop}
    assert 0 < len(dropped) < len(verdicts)
    out, stats, alerts = play(platform, WIKIPEDIA, gpu=gpu)
    wanted = [frame for number, frame in enumerate(read_capture(WIKIPEDIA), 1)
              if number not in dropped]
    assert by_flow(out) == by_flow(wanted)
    assert gpu or out == wanted
    expected = {(packet.number, rule.sid, "blocked" if rule.action != "alert" else "allowed")
                for packet, _, alerting, _ in verdicts for rule in alerting}
    assert {(alert["pcap_cnt"], alert["alert"]["signature_id"], alert["alert"]["action"])
            for alert in alerts} == expected
    assert {kind for _, _, kind in expected} == {"blocked", "allowed"}
    drops = drops_of(stats, "nids")
    assert set(drops) == {"drop_rule", "reject_rule"} and sum(drops.values()) == len(dropped)


@TWINS
def test_alert_only_drops_nothing(platform, gpu):
    out, stats, alerts = play(platform, WIKIPEDIA, "--alert-only", gpu=gpu)
    assert out == read_capture(WIKIPEDIA) and not drops_of(stats, "nids")
    assert {alert["alert"]["action"] for alert in alerts} == {"allowed"}
    assert {(alert["pcap_cnt"], alert["alert"]["signature_id"]) for alert in alerts} == {
        (packet.number, rule.sid)
        for packet, _, alerting, _ in judged(WIKIPEDIA, VERDICTS) for rule in alerting}


@TWINS
def test_drop_hits_drops_every_packet_with_an_alert(platform, gpu):
    hit = {packet.number for packet, _, alerting, drop in judged(WIKIPEDIA, VERDICTS)
           if alerting or drop}
    out, stats, _ = play(platform, WIKIPEDIA, "--drop-hits", gpu=gpu)
    assert by_flow(out) == by_flow(
        frame for number, frame in enumerate(read_capture(WIKIPEDIA), 1) if number not in hit)
    assert platform.nf("nids", stats)["tx"] == len(out)


@TWINS
def test_hits_take_the_routes_of_their_type(platform, gpu):
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
                   "--alerts", platform.folder / "alerts.json", {"gpu": gpu}), ("forward",)],
                 gpu="opencl" if gpu else "none")
    assert by_flow(read_capture(suspect)) == by_flow(frames[number - 1] for number in sorted(hit))
    assert by_flow(read_capture(clean)) == by_flow(
        frame for number, frame in enumerate(frames, 1) if number not in hit)


FLOWS = 50
BAD = ("drop udp any any -> any any (msg:\"bad\"; content:\"EVIL\"; content:\"!\"; distance:0; "
       "within:1; sid:1;)\n")


def numbered(flow, number):
    """A packet of a flow: every fifth is suspicious, and every tenth really is bad."""
    kind = b"EVIL!" if number % 10 == 3 else b"EVIL?" if number % 5 == 3 else b"good."
    payload = kind + struct.pack("!IQ", flow, number) + bytes(20)
    return bytes(12) + b"\x08\0" + struct.pack(
        "!BBHHHBBH4s4sHHHH", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, bytes([10, 0, 0, flow]),
        bytes([10, 1, 0, 1]), 1000 + flow, 53, 8 + len(payload), 0) + payload


def numbers_by_flow(path):
    flows = {}
    for frame in read_capture(path):
        flow, number = struct.unpack_from("!IQ", frame, 47)
        flows.setdefault(flow, []).append(number)
    return flows


@pytest.mark.parametrize("syncers", [1, 2])
def test_flows_keep_their_order_behind_packets_that_wait(platform, syncers):
    n = 2000  # of each flow
    capture = platform.capture("in.pcap", (numbered(i % FLOWS, i // FLOWS)
                                           for i in range(n * FLOWS)))
    out = platform.folder / "out.pcap"
    rules = platform.write("a.rules", BAD)
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx\n")
    stats = platform.run(["--port", f"pcap:rx={capture},tx={out}", "--routes", routes,
                          "--syncers", str(syncers)],
                         [("nids", "--rules", rules, "--alerts", platform.folder / "alerts.json",
                           {"gpu": True})], gpu="opencl")
    good = [number for number in range(n) if number % 10 != 3]
    assert numbers_by_flow(out) == {flow: good for flow in range(FLOWS)}
    assert drops_of(stats, "nids") == {"drop_rule": FLOWS * n // 10}
    nids = platform.nf("nids", stats)
    assert nids["counters"]["alerts"] == FLOWS * n // 10
    assert nids["counters"]["unevaluated"] == nids["counters"]["alerts_lost"] == 0


N_LONG = 4000  # packets of each flow, so many that a test can act among them


def start_dropping(platform, missing):
    """A GPU nids that has dropped packets, and has most of a capture before it."""
    capture = platform.capture("in.pcap", (numbered(i % FLOWS, i // FLOWS)
                                           for i in range(N_LONG * FLOWS)))
    out = platform.folder / "out.pcap"
    rules = platform.write("a.rules", BAD)
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx\n")
    platform.spawn_manager("--exit-when-drained", "--port", f"pcap:rx={capture},tx={out}",
                           "--routes", routes, "--missing-nf", missing, gpu="opencl")
    platform.wait_ready()
    nids = platform.spawn_nf("nids", "--rules", rules, "--alerts",
                             platform.folder / "alerts.json", gpu=True)
    platform.wait_for(lambda status: drops_of(status, "nids").get("drop_rule", 0) > 100, "drops")
    return nids, out


@pytest.mark.parametrize("missing", ["drop", "skip"])
def test_the_control_process_is_killed_while_packets_wait_for_it(platform, missing):
    """Nothing is lost with it: what waits for its word is dropped as unjudged, others go on."""
    nids, out = start_dropping(platform, missing)
    nids.signal(signal.SIGSTOP)
    platform.wait_for(lambda status: status["gpu"]["slices"][0]["waiting"] > 300, "packets wait")
    nids.kill()
    stats = platform.finish()
    drops = drops_of(stats, "nids")
    assert set(drops) <= {"drop_rule", "unjudged"} and drops["drop_rule"] > 100, drops
    assert drops.get("unjudged", 0) > 0, drops
    assert platform.nf("nids", stats)["lost_in_crash"] == 0, "only the CPUSyncer had packets"
    for flow, numbers in numbers_by_flow(out).items():
        assert numbers == sorted(set(numbers)), f"flow {flow} was reordered"
    if missing == "skip":
        assert all(numbers[-1] == N_LONG - 1 for numbers in numbers_by_flow(out).values())


@pytest.mark.parametrize("missing", ["drop", "skip"])
def test_gpu_host_is_killed_while_packets_wait(platform, missing):
    """The answers are lost with it: nothing that waited goes on, whatever --missing-nf says."""
    nids, out = start_dropping(platform, missing)
    nids.signal(signal.SIGSTOP)  # from here on the room only gets fuller
    status = platform.wait_for(lambda status: status["gpu"]["slices"][0]["waiting"] > 300,
                               "packets wait")
    waiting = status["gpu"]["slices"][0]["waiting"]
    os.kill(pid_of_gpu_host(platform), signal.SIGKILL)
    platform.wait_for(lambda status: drops_of(status, "nids").get("unjudged", 0) > 0, "they go")
    nids.signal(signal.SIGCONT)
    stats = platform.finish()
    drops = drops_of(stats, "nids")
    assert set(drops) == {"drop_rule", "unjudged"}, drops
    assert drops["unjudged"] + platform.nf("nids", stats)["lost_in_crash"] >= waiting
    for flow, numbers in numbers_by_flow(out).items():
        assert numbers == sorted(set(numbers)), f"flow {flow} was reordered"


@pytest.mark.parametrize("action", ["alert", "drop"])
def test_what_a_busy_control_process_does_not_see_is_counted(platform, action):
    """Alerts: packets go on, unevaluated. Drops: they are dropped, and said to be unjudged."""
    platform.start_manager("--port", "gen:size=200,flows=20,rate=50000", gpu="opencl")
    rules = platform.write("a.rules", f"{action} udp any any -> any any (sid:1;)\n")
    nids = platform.start_nf("nids", "--rules", rules, "--alerts", platform.folder / "alerts.json",
                             gpu=True)
    platform.wait_for(lambda status: platform.nf("nids", status)["counters"]["alerts"] > 100,
                      "alerts")
    nids.signal(signal.SIGSTOP)
    platform.wait_for(lambda status: platform.nf("nids", status)["counters"]["unevaluated"] > 1000,
                      "the queue of copies overflows")
    nids.signal(signal.SIGCONT)
    goal = platform.nf("nids", platform.status())["counters"]["alerts"] + 1000
    platform.wait_for(lambda status: platform.nf("nids", status)["counters"]["alerts"] > goal,
                      "it goes on")
    platform.assert_audit()
    stats = platform.stop()
    nf, drops = platform.nf("nids", stats), drops_of(stats, "nids")
    counters = nf["counters"]
    judged_now = counters["alerts"] + counters["alerts_lost"]
    assert judged_now + counters["unevaluated"] == nf["rx"]
    if action == "alert":
        assert not drops and nf["tx"] == nf["rx"]
    else:
        assert drops == {"drop_rule": judged_now, "unjudged": counters["unevaluated"]}
        assert nf["tx"] == 0
    lines = alerts_of(platform.folder / "alerts.json")
    assert len(lines) == counters["alerts"]


def test_new_rules_may_drop_where_the_old_ones_alerted(platform):
    """The table's version decides for each packet whether it waits."""
    platform.start_manager("--port", "gen:size=200,flows=20,rate=20000", gpu="opencl")
    alerting = platform.write("a.rules", "alert udp any any -> any any (sid:1;)\n")
    dropping = platform.write("b.rules", "drop udp any any -> any any (sid:1;)\n")
    platform.start_nf("nids", "--rules", alerting, "--alerts", platform.folder / "alerts.json",
                      gpu=True)
    platform.wait_works("nids", 1000)
    platform.hbctl("reload", "nids", "--rules", str(dropping))
    at_least = drops_of(platform.status(), "nids").get("drop_rule", 0) + 100
    platform.wait_for(lambda status: drops_of(status, "nids").get("drop_rule", 0) > at_least,
                      "packets are dropped")
    platform.hbctl("reload", "nids", "--rules", str(alerting))

    def versions():
        return {alert["alert"]["rules_version"]: alert["alert"]["action"]
                for alert in alerts_of(platform.folder / "alerts.json")}

    # An alert comes when it comes: the packet that it is about has left.
    wait_until(lambda: 3 in versions(), "an alert of the third rules")
    assert versions() == {1: "allowed", 2: "blocked", 3: "allowed"}
    platform.assert_audit()
    platform.stop()


@pytest.mark.parametrize("name,text,words", [
    ("vars", "HOME_NET: [10.0.0.0/8]\n", ("$EXTERNAL_NET", "language.rules:")),
    ("vars", "HOME_NET\n", ("x.vars:1:", "HOME_NET")),
    ("vars", "", ("x.vars:1:", "no variable")),
    ("vars", "HOME_NET: \"$EXTERNAL_NET\"\nEXTERNAL_NET: \"!$HOME_NET\"\n",
     ("$HOME_NET -> $EXTERNAL_NET -> $HOME_NET", "x.vars", "language.rules:")),
])
def test_wrong_variable_files_are_refused(idle_platform, name, text, words):
    path = idle_platform.write(f"x.{name}", text)
    idle_platform.spawn_nf("nids", "--rules", LANGUAGE, "--vars", path).expect_refusal(*words)


def test_an_unknown_hit_type_is_refused(idle_platform):
    idle_platform.spawn_nf("nids", "--rules", LANGUAGE, "--hit-type", "nobody").expect_refusal(
        "nobody", "routes.csv")


def test_an_empty_hit_type_is_refused(idle_platform):
    idle_platform.spawn_nf("nids", "--rules", LANGUAGE, "--hit-type", "").expect_refusal(
        "--hit-type", "no name")


def test_a_folder_is_no_rule_file(idle_platform):
    idle_platform.spawn_nf("nids", "--rules", idle_platform.folder).expect_refusal(
        f"{idle_platform.folder}: Is a directory")


@pytest.mark.parametrize("nf", ["nids", "forward"])
def test_work_groups_without_a_gpu_are_refused(idle_platform, nf):
    options = ["--rules", LANGUAGE] if nf == "nids" else []
    idle_platform.spawn_nf(nf, *options, "--workgroups", "2").expect_refusal("--workgroups 2",
                                                                             "--gpu")
