"""gen: ports: what is offered is what is accounted for, marked as generated, at the rate asked for."""

import time

import pytest
from harness import CAPTURES, assert_exact, read_capture

MAX_BURST = 64


@pytest.mark.parametrize("threads", [1, 2])
def test_a_generated_packet_is_like_any_other(platform, threads):
    platform.start_manager("--port", "gen:size=imix,flows=1000,rate=20000", "--rx-threads", threads)
    platform.start_nf("forward")
    platform.wait_works("forward", packets=20000)
    stats = platform.stop()
    assert_exact(stats)
    port = stats["ports"][0]
    assert port["generator"] is True
    assert port["spec"].startswith("gen:")
    assert port["latency"]["n"] == port["tx_packets"] > 0
    assert 0 < port["latency"]["p50_ns"] <= port["latency"]["p99_ns"] <= port["latency"]["p999_ns"]
    # 64, 594 and 1518 bytes as 7 : 4 : 1, whatever of the last dozen was cut off.
    assert port["rx_bytes"] / port["rx_packets"] == pytest.approx((7 * 64 + 4 * 594 + 1518) / 12,
                                                                  rel=0.01)


def test_several_tx_threads_share_what_nfs_send(platform):
    """Each instance's packets leave through a thread of its own, whatever it does with them."""
    rules = platform.write("drop.rules", 'drop udp 10.0.0.0/25 any -> any any (msg:"odd"; sid:1;)\n')
    platform.start_manager("--port", "gen:size=64,flows=200", "--port", "null:size=100",
                           "--tx-threads", 3, "--rx-threads", 2)
    for _ in range(3):
        platform.start_nf("nids", "--rules", rules, "--alerts", "/dev/null")
    platform.wait_for(lambda status: len(platform.instances("nids", status)) == 3
                      and all(nf["tx"] >= 20000 for nf in platform.instances("nids", status).values()),
                      "packets of all three")
    stats = platform.stop()
    assert_exact(stats)
    port = stats["ports"][0]
    assert port["latency"]["n"] == port["tx_packets"] > 0
    for nf in platform.instances("nids", stats).values():
        assert sum(nf["drops"].values()) > 0


def test_the_rate_is_never_exceeded(platform):
    rate = 30000
    platform.start_manager("--port", f"gen:size=64,rate={rate}")
    platform.start_nf("forward")
    platform.wait_works("forward", packets=1000)

    def received(status):
        return status["ports"][0]["rx_packets"]

    begin = time.monotonic()  # before the first statistics and after the last: longer than between them
    before = received(platform.wait_for(lambda status: True, "statistics"))
    after = received(platform.wait_for(lambda status: received(status) >= before + rate,
                                       "a second's packets"))
    elapsed = time.monotonic() - begin
    # It may owe a burst, and another be counted late; the manager's clock is good to a percent.
    assert after - before <= 1.01 * rate * elapsed + 4 * MAX_BURST
    assert_exact(platform.stop())


def test_a_pool_no_larger_than_the_threads_caches_does_not_run_dry(platform):
    routes = platform.write("routes.csv", "*, rx, drop\n")
    platform.start_manager("--port", "gen:size=64,flows=100", "--pool", 1024, "--rx-threads", 4,
                           "--routes", routes)
    platform.wait_for(lambda status: status["ports"][0]["rx_packets"] >= 20000,
                      "packets that come round again")
    assert_exact(platform.stop())


def test_a_rate_is_changed_while_packets_go_on(platform):
    platform.start_manager("--port", "gen:size=64,flows=100,rate=1000")
    platform.start_nf("forward")
    platform.wait_works("forward", packets=200)
    slow = platform.status()["ports"][0]["latency"]["n"]
    assert slow >= 200
    assert "20000 packets a second" in platform.hbctl("generate", "--rate", "20000")
    assert platform.status()["ports"][0]["latency"]["n"] < 20000, "counted anew"

    def received():
        return platform.status()["ports"][0]["rx_packets"], time.monotonic()

    before, begin = received()
    platform.wait_works("forward", packets=20000)
    after, end = received()
    assert after - before <= 1.01 * 20000 * (end - begin) + 1000 + 4 * MAX_BURST
    assert "no limit" in platform.hbctl("generate", "--port", "0", "--rate", "0")
    platform.wait_works("forward", packets=100_000)
    assert_exact(platform.stop())


def test_packets_that_come_back_are_kept_for_a_look(platform):
    platform.start_manager("--port", "gen:size=100,flows=100,rate=10000", "--tx-threads", 2)
    platform.start_nf("forward")
    platform.wait_works("forward")
    sample = platform.folder / "sample.pcap"
    platform.hbctl("generate", "--sample", "20")
    platform.wait_works("forward", packets=5000)
    assert "20 packets written" in platform.hbctl("generate", "--write", sample)
    frames = read_capture(sample)
    assert len(frames) == 20 and all(len(frame) == 100 for frame in frames)
    assert all(frame[26:29] == b"\x0a\0\0" and 1 <= frame[29] <= 100 for frame in frames)
    for words, said in (((), "nothing is asked"), (("--port", "1", "--rate", "5"), "out of range"),
                        (("--sample", "5000"), "out of range"),
                        (("--write", "/nonexistent/x.pcap"), "can't be written")):
        assert said in platform.hbctl("generate", *words, status=1)
    assert_exact(platform.stop())


def test_payloads_of_a_capture_raise_its_alerts(platform):
    rules = platform.write("get.rules", 'alert udp any any -> any any '
                           '(msg:"method"; content:"HTTP/1."; sid:1;)\n')
    platform.start_manager("--port", f"gen:size=1472,flows=8,rate=2000,payload="
                           f"{CAPTURES / 'zeek-http_methods.pcap'}")
    nids = platform.start_nf("nids", "--rules", rules, "--alerts", platform.folder / "alerts.json")
    platform.wait_works("nids", packets=2000)
    assert_exact(platform.stop())
    assert nids.status == 0
    alerts = (platform.folder / "alerts.json").read_text().splitlines()
    assert alerts and '"src_ip":"10.0.0.' in alerts[0].replace(" ", "")


def test_a_sample_is_not_written_over_a_file_that_a_port_reads(platform):
    payload = platform.folder / "payload.pcap"
    payload.write_bytes((CAPTURES / "zeek-http_methods.pcap").read_bytes())
    before = payload.read_bytes()
    platform.start_manager("--port", f"gen:size=500,rate=1000,payload={payload}")
    (platform.folder / "link.pcap").hardlink_to(payload)
    for name in ("payload.pcap", "link.pcap"):
        assert "is a file of --port" in platform.hbctl(
            "generate", "--rate", "5", "--write", platform.folder / name, status=1)
    assert "rate: 1000" in platform.hbctl("generate", "--sample", "1")
    assert payload.read_bytes() == before
    assert_exact(platform.stop())


def test_a_port_that_is_no_generator_says_nothing_of_it(platform):
    platform.start_manager("--port", "null")
    assert "generator" not in platform.status()["ports"][0]
    assert "no gen: port" in platform.hbctl("generate", "--rate", "5", status=1)
    platform.stop()
