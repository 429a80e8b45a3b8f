"""Routes, flows and NFs change under traffic: nothing is lost, flows keep their order, every packet
is judged by one version, and flows that do not change do not stop."""

import itertools
import json
import signal
import subprocess

import pytest

from harness import BUILD, SCALE, drops_of, summed
from live_traffic import Arrived, frames

N = 250_000
MARGIN = 100_000  # the last change is over before these have been received: 0.8 s or more
WEB, DNS, OTHER = 80, 53, 7
FLOWS = f"web, *, *, *, {WEB}, udp\nnames, *, *, *, {DNS}, udp\n"
DPORTS = [WEB, DNS, OTHER, WEB, OTHER, DNS, WEB]
FLOWS_OF = {port: {i for i, p in enumerate(DPORTS) if p == port} for port in (WEB, DNS, OTHER)}


def hbctl(platform, *words):
    """Runs hbctl to its end and returns what it answered."""
    done = subprocess.run([BUILD / "bin" / "hbctl", *words, "--json", "--prefix", platform.prefix],
                          check=False, capture_output=True, text=True, timeout=60 * SCALE)
    assert done.returncode == 0, done.stderr + platform.report()
    return json.loads(done.stdout)


def ask_change(platform, what, **fields):
    """The same over the socket, which takes less time."""
    reply = platform.ask("change", what=what, **fields)
    assert reply and reply["ok"], f"{reply}\n{platform.report()}"
    return reply["change"]


def start(platform, routes, flows=FLOWS, nfs=("a", "b", "x", "o"), slow=("b",), burst_us=2000):
    """A file port, a chain of stamps of which some are slow, so that much is on its way, and that the
    capture lasts for seconds, however fast the machine is."""
    target = platform.folder / "out.pcap"
    source = platform.capture("in.pcap", frames(N, DPORTS))
    words = ["--port", f"pcap:rx={source},tx={target}",
             "--routes", platform.write("routes.csv", routes)]
    words += ["--flows", platform.write("flows.csv", flows)] if flows else []
    platform.start_manager("--exit-when-drained", *words)
    for name in nfs:
        platform.spawn_nf("stamp", "--letter", name, "--burst-us",
                          str(burst_us if name in slow else 0), service=name)
    for name in nfs:  # RX waits for those only to which the first routes lead
        platform.wait_state(name, "running")
    platform.wait_for(lambda status: summed(status)["rx"] > 0, "RX runs")
    return target


def while_traffic(platform, change, least, passes):
    """Calls change(i) again and again while much is still to come; returns how often.

    @param least   so many changes are made in any case, each with packets behind it
    @param passes  a service that packets leave by whatever change
    """
    for i in itertools.count(1):
        change(i - 1)
        if i <= least:
            platform.wait_works(passes)
        rx = summed(platform.wait_for(lambda status: True, "status"))["rx"]
        assert rx < N, "the capture was too short for this test"
        if i >= least and rx > N - MARGIN:
            return i


CHAINS = {  # of type web, as rules
    "ab": {"rx": "a", "a": "b", "b": "tx"},
    "axb": {"rx": "a", "a": "x", "x": "b", "b": "tx"},
    "ba": {"rx": "b", "b": "a", "a": "tx"},
    "b": {"rx": "b", "b": "tx"},
}
OTHERS = "*, rx, o\n*, o, tx\n*, a, tx\n*, b, tx\n*, x, tx\n"


def rules(chain, type_name="web"):
    return "".join(f"{type_name}, {at}, {to}\n" for at, to in CHAINS[chain].items())


def test_routes_reload_under_traffic(platform):
    """An NF goes in, comes out, two change places; only web and names are touched."""
    files = {c: platform.write(f"{c}.csv", rules(c) + OTHERS) for c in CHAINS}
    target = start(platform, rules("ab") + OTHERS)
    order = list(CHAINS)
    reports = []
    times = while_traffic(platform, lambda i: reports.append(
        ask_change(platform, "routes", path=str(files[order[(i + 1) % len(order)]]))),
        least=len(CHAINS), passes="b")
    stats = platform.finish()
    assert stats["drops"] == {}
    assert stats["changes"]["n"] >= times
    arrived = Arrived(target)
    arrived.assert_complete_and_in_order(N, len(DPORTS))
    arrived.assert_one_version_each()
    assert set(arrived.paths(FLOWS_OF[WEB])) == set(CHAINS)
    assert arrived.paths(FLOWS_OF[OTHER]) == {"o": sum(arrived.paths(FLOWS_OF[OTHER]).values())}
    # Types whose routes stayed as they were went on: none of their packets was ever held.
    assert set(stats["changes"]["held"]) == {"web"}
    assert all(report["affected"] == ["web"] for report in reports)
    assert any(report["n_held"] > 0 for report in reports)
    assert all(report["hold_us"] <= report["total_us"] for report in reports)


def test_single_rules_change_under_traffic(platform):
    """hbctl route replace: x is put between a and b, and taken out again."""
    target = start(platform, rules("ab") + "web, x, b\n" + OTHERS)

    def change(i):
        report = hbctl(platform, "route", "replace", "web", "a", "x" if i % 2 == 0 else "b")
        assert report["affected"] == ["web"]

    while_traffic(platform, change, least=2, passes="b")
    stats = platform.finish()
    assert stats["drops"] == {}
    arrived = Arrived(target)
    arrived.assert_complete_and_in_order(N, len(DPORTS))
    arrived.assert_one_version_each()
    assert set(arrived.paths(FLOWS_OF[WEB])) == {"ab", "axb"}
    assert set(stats["changes"]["held"]) == {"web"}


def test_flows_reload_under_traffic(platform):
    """Packets of port 80 become names and web again; the chains of both differ in length."""
    routes = rules("axb") + "names, rx, o\nnames, o, tx\n*, rx, tx\n"
    files = [platform.write("swapped.csv", FLOWS.replace(str(WEB), "9999")
                            + f"names, *, *, *, {WEB}, udp\n"),
             platform.write("as-before.csv", FLOWS)]
    target = start(platform, routes, slow=("b", "o"))
    reports = []
    while_traffic(platform, lambda i: reports.append(
        ask_change(platform, "flows", path=str(files[i % 2]))), least=2, passes="o")
    stats = platform.finish()
    assert stats["drops"] == {}
    arrived = Arrived(target)
    arrived.assert_complete_and_in_order(N, len(DPORTS))
    arrived.assert_one_version_each()
    assert set(arrived.paths(FLOWS_OF[WEB])) == {"axb", "o"}
    assert set(arrived.paths(FLOWS_OF[DNS])) == {"o"}
    assert set(arrived.paths(FLOWS_OF[OTHER])) == {""}
    assert all(report["flows"] for report in reports)
    # A packet of port 80 is held while its type changes; no other is.
    assert "default" not in stats["changes"]["held"]
    assert sum(stats["changes"]["held"].values()) <= sum(arrived.paths(FLOWS_OF[WEB]).values())


def test_nfs_come_and_go_under_traffic(platform):
    """--missing-nf skip: the chain closes over the gap and opens again, and nothing is lost."""
    target = platform.folder / "out.pcap"
    source = platform.capture("in.pcap", frames(N, DPORTS))
    routes = platform.write("routes.csv", "*, rx, a\n*, a, x\n*, x, b\n*, b, tx\n")
    platform.start_manager("--port", f"pcap:rx={source},tx={target}", "--routes", routes,
                           "--missing-nf", "skip", "--exit-when-drained")
    for name in ("a", "b"):
        platform.start_nf("stamp", "--letter", name, "--burst-us", "2000" if name == "b" else "0",
                          service=name)
    guest = platform.start_nf("stamp", "--letter", "x", service="x")
    platform.wait_works("x")
    for _ in range(3):
        guest.ctrl_c()
        guest.expect(0)
        platform.wait_works("b")
        guest = platform.start_nf("stamp", "--letter", "x", service="x")
        status = platform.wait_works("x")
    assert summed(status)["rx"] < N, "the capture was too short for this test"
    stats = platform.finish()
    assert stats["drops"] == {}
    arrived = Arrived(target)
    arrived.assert_complete_and_in_order(N, len(DPORTS))
    arrived.assert_one_version_each()
    assert set(arrived.paths(set(range(len(DPORTS))))) == {"axb", "ab"}


def test_held_packets_do_not_hold_up_a_change(platform):
    """Versions go once round and on, while an NF keeps packets of an early one."""
    routes = platform.write("routes.csv", "*, rx, holder\n*, holder, forward\n*, forward, tx\n"
                                          "*, spare, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.start_nf("forward")
    platform.start_nf("holder", "--every", "100", "--release", "never")
    platform.wait_for(lambda status: drops_of(status, "holder").get("held_full"), "area is full")
    versions = set()
    for i in range(300):
        report = ask_change(platform, "replace", type="*", current="spare",
                            next="drop" if i % 2 == 0 else "tx")
        versions.add(report["version"])
    assert len(versions) > 250
    platform.assert_audit()
    stats = platform.stop()
    held = drops_of(stats, "holder").get("held_at_exit", 0) + stats["drops"].get("held_at_exit", 0)
    assert held == 1024


def test_held_packets_are_released_by_the_routes_of_then(platform):
    """Every packet that was held before a change goes by the table after it."""
    sent = frames(N, DPORTS)
    target = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, holder\n*, holder, a\n*, a, tx\n*, b, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={platform.capture('in.pcap', sent)},tx={target}")
    platform.spawn_nf("holder", "--every", "5", "--release", "tick")
    for name in ("a", "b"):
        platform.start_nf("stamp", "--letter", name, "--burst-us", "1000", service=name)
    platform.wait_for(lambda status: summed(status)["rx"] > 0, "RX runs")
    for i in range(20):
        ask_change(platform, "replace", type="*", current="holder", next="ba"[i % 2])
    assert summed(platform.wait_for(lambda status: True, "status"))["rx"] < N, "it was too short"
    stats = platform.finish()
    assert stats["drops"] == {}
    arrived = Arrived(target)
    arrived.assert_one_version_each()
    assert sorted(p[:2] for p in arrived.packets) == sorted(
        (i % len(DPORTS), i // len(DPORTS)) for i in range(N))
    assert set(p[2] for p in arrived.packets) == {"a", "b"}


def test_a_hung_nf_is_killed_after_the_drain_timeout(platform):
    routes = platform.write("routes.csv", "*, rx, a\n*, a, b\n*, b, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--drain-timeout", "300",
                           "--nf-timeout", "60000")
    platform.start_nf("forward", service="a")
    hung = platform.start_nf("forward", service="b")
    platform.wait_traffic()
    hung.signal(signal.SIGSTOP)
    hung.expected_status = None
    full = platform.wait_for(lambda status: True, "status")["ring_full"].get("b", 0)
    platform.wait_for(lambda status: status["ring_full"].get("b", 0) > full, "its ring is full")
    ask_change(platform, "replace", type="*", current="a", next="tx")
    assert hung.wait() == -signal.SIGKILL
    platform.wait_traffic()
    platform.assert_audit()
    stats = platform.stop()
    assert "b" in platform.manager.stderr and "--drain-timeout" in platform.manager.stderr
    assert 0 < platform.nf("b", stats)["lost_in_crash"] <= 64 or stats["missing_nf"]["b"] > 0


def test_a_slow_nf_outlives_the_drain_timeout(platform):
    """Its full ring lasts for several time-outs, but it ends bursts all the time."""
    routes = platform.write("routes.csv", "*, rx, slow\n*, slow, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--drain-timeout", "100")
    platform.start_nf("steer", "--burst-us", "10000", service="slow")
    platform.wait_works("slow")
    platform.wait_for(lambda status: status["ring_full"].get("slow", 0) > 0, "its ring is full")
    report = ask_change(platform, "replace", type="*", current="slow", next="drop")
    assert report["hold_us"] > 200_000
    platform.assert_audit()
    stats = platform.stop()
    assert "who has them: slow" in platform.manager.stderr
    assert platform.nf("slow", stats)["restarts"] == 0 and summed(stats)["lost_in_crash"] == 0


def test_the_hold_queue_overflows_with_a_reason_of_its_own(platform):
    """A slow NF, a fast port, a short queue."""
    routes = platform.write("routes.csv", "*, rx, a\n*, a, steer\n*, steer, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--hold-queue", "64")
    platform.start_nf("forward", service="a")
    platform.start_nf("steer", "--burst-us", "3000")
    platform.wait_works("steer")
    report = ask_change(platform, "replace", type="*", current="steer", next="drop")
    assert report["n_held"] >= 64
    stats = platform.stop()
    assert stats["drops"]["reload_hold"] > 0


def test_the_manager_looks_after_everything_while_it_reads_many_flow_rules(platform):
    """NFs die and start meanwhile; the rules are in force when hbctl says so."""
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    flows = platform.write("flows.csv", FLOWS)
    platform.start_manager("--port", "null", "--routes", routes, "--flows", flows,
                           "--flow-memory", "1024")
    many = platform.write("many.csv", "".join(
        f"t{i % 50}, 10.{i >> 8 & 255}.{i & 255}.0/24, {i % 977}-{i % 977 + i % 31}, "
        f"172.16.{i % 251}.0/24, {1000 + i % 53}, udp\n" for i in range(4000)))
    forward = platform.start_nf("forward")
    platform.wait_works("forward")
    lives = 0
    for _ in range(10):  # it takes not much longer than a life, and each has its good days
        reload = platform.spawn("hbctl", [BUILD / "bin" / "hbctl", "reload", "flows", many,
                                          "--prefix", platform.prefix])
        while reload.status is None:
            forward.kill()
            platform.wait_state("forward", "failed")
            forward = platform.start_nf("forward")
            platform.wait_works("forward")
            lives += reload.status is None
        reload.expect(0)
        if lives:
            break
    assert lives >= 1, "the rules were read too fast for this test"
    platform.assert_audit()
    platform.stop()


BROKEN = [
    ("routes", "web, rx, a\nweb, rx, b\n", [":2:", "second rule"]),
    ("routes", "web, rx\n", [":1:", "fields"]),
    ("routes", "*, rx, tx:9\n", [":1:", "port"]),
    ("routes", "*, a, tx\n", ["rx"]),
    ("flows", "web, *, *, *, 80, udp\nweb, *, *, *, 99999, udp\n", [":2:", "99999"]),
    ("flows", "web, 10.0.0.0/99, *, *, *, *\n", [":1:", "10.0.0.0/99"]),
    ("flows", "".join(f"t{i}, *, *, *, {i}, udp\n" for i in range(1, 80)), [":62:", "one too many"]),
]


@pytest.mark.parametrize("what, text, words", BROKEN, ids=lambda v: v if isinstance(v, str) and
                         len(v) < 10 else "")
def test_a_broken_file_changes_nothing_and_says_where(platform, what, text, words):
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    flows = platform.write("flows.csv", FLOWS)
    platform.start_manager("--port", "null", "--routes", routes, "--flows", flows)
    platform.start_nf("forward")
    platform.wait_traffic()
    broken = platform.write("broken.csv", text)
    before = platform.wait_for(lambda status: True, "status")
    platform.spawn("hbctl", [BUILD / "bin" / "hbctl", "reload", what, broken, "--prefix",
                             platform.prefix]).expect_refusal("broken.csv", *words)
    after = platform.wait_for(lambda status: True, "status")
    assert after["routes"] == before["routes"]
    assert after["changes"]["n"] == before["changes"]["n"]
    # A good one is taken afterwards.
    hbctl(platform, "reload", "flows")
    hbctl(platform, "reload", "routes")
    platform.wait_traffic()
    platform.stop()


@pytest.mark.parametrize("words, named", [
    (["reload", "routes", "absent.csv"], "absent.csv"), (["reload", "routes"], "--routes"),
    (["reload", "flows"], "--flows"), (["reload", "routes", "a", "b"], "one file"),
    (["route", "add", "*", "rx", "tx"], "reload routes"), (["route"], "--help"),
    (["route", "add", "*", "rx"], "NEXT")])
def test_hbctl_refuses_changes_that_make_no_sense(idle_platform, words, named):
    idle_platform.spawn("hbctl", [BUILD / "bin" / "hbctl", *words, "--prefix",
                                  idle_platform.prefix]).expect_refusal(named)


@pytest.mark.parametrize("words, named", [
    (["add", "*", "rx", "tx"], "replace"), (["replace", "web", "rx", "tx"], "no such rule"),
    (["del", "*", "nobody"], "no such rule"), (["del", "*", "rx"], "rx"),
    (["add", "*", "tx", "forward"], "tx"), (["replace", "*", "rx", "tx:7"], "port")])
def test_rules_that_can_not_be_changed_so(platform, words, named):
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.spawn("hbctl", [BUILD / "bin" / "hbctl", "route", *words, "--prefix",
                             platform.prefix]).expect_refusal(named)
    platform.stop()


def test_rules_are_added_and_taken_away(platform):
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.start_nf("forward")
    platform.start_nf("forward", service="late")
    platform.wait_traffic()
    hbctl(platform, "route", "add", "*", "late", "tx")
    hbctl(platform, "route", "replace", "*", "forward", "late")
    platform.wait_works("late")
    hbctl(platform, "route", "replace", "*", "forward", "tx:0")
    hbctl(platform, "route", "del", "*", "late")
    assert hbctl(platform, "routes") == [{"type": "*", "current": "rx", "next": "forward"},
                                         {"type": "*", "current": "forward", "next": "tx:0"}]
    platform.stop()
