"""Fresh packets of OpenNetVM NFs: who gets how many, and what becomes of those of dead ones."""

import pytest

from onvm_nfs import start


@pytest.mark.parametrize("lossless", [False, True])
def test_nfs_that_allocate_nothing_leave_fresh_packets_to_others(platform, lossless):
    rules = platform.write("routes.csv", "*, rx, drop\n*, simple, drop\n*, speed, tx:0\n"
                                         "*, generator, tx:0\n")
    port = f"pcap:rx={platform.capture('empty.pcap', [])}" if lossless else "null"
    platform.start_manager("--port", port, "--routes", rules)
    start(platform, "simple", "-d", "1", service=2)
    for service in range(10, 17):
        start(platform, "simple", service=service, onvm=("--service", f"idle{service}"))
    if not lossless:
        start(platform, "generator", "-c", "1024", service=3)
        platform.wait_works("generator", 10_000)
    nf = start(platform, "speed", "-d", "2", "-c", "512", "-n", "20000", wait=False)
    nf.expect(0)
    assert "packets 512, rounds 2" in nf.stdout and "gets no more" not in nf.stderr, nf.report()
    platform.assert_audit()
    platform.stop()


def test_fresh_packets_that_dead_nfs_did_not_take_are_others(platform):
    """What their fill rings had: most of what a lossless path gives."""
    rules = platform.write("routes.csv", "*, rx, drop\n*, simple, drop\n*, speed, tx:0\n")
    platform.start_manager("--port", f"pcap:rx={platform.capture('empty.pcap', [])}",
                           "--routes", rules)
    start(platform, "simple", "-d", "1", service=2)
    names = [f"dies{number}" for number in range(3)]
    dying = [start(platform, "generator", "-c", "10", service=10 + number,
                   onvm=("--service", name)) for number, name in enumerate(names)]
    for name in names:
        platform.wait_works(name, 1000)
    for nf in dying:
        nf.kill()
    for number, name in enumerate(names):
        platform.wait_state(name, "failed")
        # It may have a dead one's context.
        start(platform, "simple", service=20 + number, onvm=("--service", f"idle{number}"))
    nf = start(platform, "speed", "-d", "2", "-c", "512", "-n", "20000", wait=False)
    nf.expect(0)
    platform.assert_audit()
    stats = platform.stop()
    assert [platform.nf(name, stats)["originated"] for name in names] == [10] * 3
    assert platform.nf("speed", stats)["originated"] == 512


def test_an_nf_waits_for_a_context_that_is_being_given_back(platform):
    """There is but one: the next NF gets it once what lay in its fill ring is home."""
    rules = platform.write("routes.csv", "*, rx, drop\n*, generator, generator\n")
    platform.start_manager("--port", "null", "--routes", rules, "--max-contexts", "8")
    for number in range(5):  # and the manager and RX have one each
        platform.start_nf("forward", service=f"idle{number}")
    for _ in range(10):
        generator = start(platform, "generator", "-c", "100")
        platform.wait_works("generator", 1000)
        generator.ctrl_c()
        generator.expect(0)
    platform.assert_audit()
    assert platform.nf("generator", platform.stop())["originated"] == 1000


def test_what_keeps_fresh_packets_from_an_nf_is_said(platform):
    rules = platform.write("routes.csv", "*, rx, drop\n*, speed, drop\n*, generator, generator\n")
    platform.start_manager("--port", f"pcap:rx={platform.capture('empty.pcap', [])}",
                           "--routes", rules)
    start(platform, "generator", "-c", "600", service=1)
    platform.wait_works("generator", 10_000)
    nf = start(platform, "speed", "-c", "512", service=2, wait=False)
    nf.expected_status = 1  # by rte_exit
    nf.expect(1)
    assert "with file ports all NFs together have 1024 fresh ones" in nf.stderr, nf.report()
    platform.assert_audit()
    platform.stop()
