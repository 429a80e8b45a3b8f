"""New rules under traffic: no packet is lost, and each is judged by the old or the new rules."""

import json
import re
import subprocess

import pytest

from harness import BUILD, CAPTURES, all_captures

IN_QUEUES = 8 * 4 * 64  # work-groups, rounds, slots: the manager's defaults
TWINS = pytest.mark.parametrize("gpu", [False, True], ids=["cpu", "gpu"])

OLD = ("alert udp any any -> any any (msg:\"old\"; content:\"DATA\"; sid:1; rev:1;)\n"
       "alert udp any any -> any any (msg:\"old, too\"; content:\"DATA\"; sid:2; rev:1;)\n")
NEW = ("alert udp any any -> any any (msg:\"new\"; content:\"DATA\"; sid:1; rev:2;)\n"
       "alert udp any any -> any any (msg:\"new, too\"; content:\"DATA\"; sid:3; rev:2;)\n")


def hbctl(platform, *words):
    done = subprocess.run([str(BUILD / "bin" / "hbctl"), *map(str, words), "--prefix",
                           platform.prefix], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def frame(number):
    payload = b"DATA" + number.to_bytes(4, "big") + bytes(40)
    udp = bytes([0x10, 0, 0x20, 0]) + (8 + len(payload)).to_bytes(2, "big") + bytes(2)
    total = 20 + len(udp) + len(payload)
    ip = bytes([0x45, 0]) + total.to_bytes(2, "big") + bytes([0, 1, 0, 0, 64, 17, 0, 0,
                                                              10, 0, 0, 1, 10, 0, 0, 2])
    return bytes(12) + b"\x08\x00" + ip + udp + payload


def many_rules(platform, name, text, n=2000):
    """Enough rules beside these that compiling takes a while."""
    others = "".join(f'alert tcp any any -> any any (content:"never{i:06}x"; sid:{10000 + i};)\n'
                     for i in range(n))
    return platform.write(name, text + others)


@TWINS
def test_reload_under_traffic(platform, gpu):
    """A long capture at full speed; rules go back and forth meanwhile."""
    n = 300_000
    capture = platform.capture("in.pcap", (frame(i) for i in range(n)))
    old, new = many_rules(platform, "old.rules", OLD), many_rules(platform, "new.rules", NEW)
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx\n")
    alerts = platform.folder / "alerts.json"
    platform.spawn_manager("--exit-when-drained", "--port",
                           f"pcap:rx={capture},tx={platform.folder / 'out.pcap'}",
                           "--routes", routes, gpu="opencl" if gpu else "none")
    platform.wait_ready()
    platform.spawn_nf("nids", "--rules", old, "--alerts", alerts, gpu=gpu)
    platform.wait_for(lambda status: platform.nf("nids", status).get("rx", 0) > 0, "traffic")
    n_reloads = 0
    while platform.manager.status is None and n_reloads < 6:
        status, said = hbctl(platform, "reload", "nids", "--rules",
                             new if n_reloads % 2 == 0 else old)
        if status != 0:
            break  # the capture has ended
        n_reloads += 1
        assert f"rules_version {n_reloads + 1}" in said
    stats = platform.finish()
    assert n_reloads > 0
    assert platform.nf("nids", stats)["rx"] == n
    by_packet, versions = {}, []
    for line in alerts.read_text().splitlines():
        event = json.loads(line)
        alert = event["alert"]
        by_packet.setdefault(event["pcap_cnt"], set()).add(
            (alert["rules_version"], alert["signature_id"], alert["rev"]))
    assert len(by_packet) == n
    for number, found in by_packet.items():
        version = next(iter(found))[0]
        wanted = {(version, 1, 1), (version, 2, 1)} if version % 2 else {
            (version, 1, 2), (version, 3, 2)}
        assert found == wanted, f"packet {number} was judged by a mixture: {found}"
        versions.append((number, version))
    # On the GPU a work-group begins with the new rules while another still answers a later round by
    # the old ones; never further apart than what lies in the queues.
    apart = IN_QUEUES if gpu else 0
    newest, so_far = 0, []
    for number, version in sorted(versions):
        so_far.append(newest := max(newest, version))
        before = so_far[number - apart - 2] if number - apart >= 2 else 0
        assert version >= before, f"packet {number} was judged by version {version}, not {before}"
    assert len({v for _, v in versions}) > 1, "packets on both sides of a reload"


@TWINS
def test_a_broken_file_changes_nothing_and_is_named(platform, gpu):
    platform.start_manager("--port", "null:size=64", gpu="opencl" if gpu else "none")
    rules = platform.write("a.rules", OLD)
    platform.start_nf("nids", "--rules", rules, "--alerts", platform.folder / "alerts.json",
                      gpu=gpu)
    broken = platform.write("b.rules", NEW + 'alert udp any any -> any any (content:"x; sid:9;)\n')
    status, said = hbctl(platform, "reload", "nids", "--rules", broken)
    assert status == 1 and f"{broken}:3: malformed rule: " in said, said
    status, said = hbctl(platform, "reload", "nids", "--rules", platform.folder / "none.rules")
    assert status == 1 and "none.rules" in said, said
    undefined = platform.write("c.rules", "alert udp $A any -> any any (sid:9;)\n")
    variables = platform.write("x.vars", "B: 10.0.0.0/8\n")
    status, said = hbctl(platform, "reload", "nids", "--rules", undefined, "--vars", variables)
    assert status == 1 and f"{undefined}:1: $A is not defined in {variables}" in said, said
    status, said = hbctl(platform, "reload", "nids", "--sideways")
    assert status == 1 and "--sideways" in said, said
    status, said = hbctl(platform, "reload", "nids")
    assert status == 0 and "rules_version 2" in said, said
    off = platform.write("d.rules", "".join(f"# {line}\n" for line in OLD.splitlines()))
    status, said = hbctl(platform, "reload", "nids", "--rules", off)
    assert status == 0 and "rules_version 3" in said and "no rule is in use" in said, said
    platform.stop()


@TWINS
def test_a_full_disk_loses_alerts_not_packets(platform, gpu):
    """Where the alert file takes nothing, packets go on and each lost alert is counted."""
    capture, = [path for path in all_captures() if path.name == "zeek-wikipedia.pcap"]
    rules = platform.write("a.rules", "alert ip any any -> any any (sid:1;)\n")
    routes = platform.write("routes.csv", "*, rx, nids\n*, nids, tx\n")
    stats = platform.run(["--port", f"pcap:rx={capture}", "--routes", routes],
                         [("nids", "--rules", rules, "--alerts", "/dev/full", {"gpu": gpu})],
                         gpu="opencl" if gpu else "none")
    assert platform.nf("nids", stats)["tx"] == stats["ports"][0]["rx_packets"]
    nids, = [process for process in platform.processes if process.name.endswith("nids")]
    lost, = re.findall(r"(\d+) alerts lost", nids.stderr)
    assert 0 < int(lost) <= stats["ports"][0]["rx_packets"]
    counters = platform.nf("nids", stats)["counters"]
    assert counters["alerts_lost"] == int(lost) and counters["alerts"] == 0


def test_a_large_rule_set_comes_into_force_on_the_gpu(platform):
    """All of Emerging Threats' files, and back."""
    everything = [word for path in sorted((CAPTURES.parent / "rules").glob("emerging-*.rules"))
                  for word in ("--rules", path)]
    small, marker = platform.write("a.rules", OLD), platform.write("b.rules", NEW)
    platform.start_manager("--port", "gen:size=300,flows=20,rate=20000", gpu="opencl")
    alerts = platform.folder / "alerts.json"
    platform.start_nf("nids", "--rules", small, "--alerts", alerts, gpu=True)
    platform.wait_works("nids", 1000)
    status, said = hbctl(platform, "reload", "nids", "--rules", marker, *everything)
    assert status == 0 and "rules_version 2" in said and "version 2 of the table" in said, said
    assert int(re.search(r"(\d+) of \d+ rules", said).group(1)) > 100, said
    platform.wait_works("nids", 1000)
    status, said = hbctl(platform, "reload", "nids", "--rules", small)
    assert status == 0 and "rules_version 3" in said, said
    platform.wait_works("nids", 1000)
    platform.assert_audit()
    platform.stop()
