"""Packets that an NF keeps for a while, and packets that it makes itself."""

import pytest

from harness import drops_of, read_capture

HELD_SLOTS = 1024  # of a context's held area


def frames_of(n):
    return [b"\x02" + bytes(12) + number.to_bytes(47, "big") for number in range(n)]


def play(platform, frames, nf, *manager_args):
    target = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", f"*, rx, {nf[0]}\n*, {nf[0]}, tx\n")
    stats = platform.run(
        ["--port", f"pcap:rx={platform.capture('in.pcap', frames)},tx={target}",
         "--routes", routes, *manager_args], [nf])
    return read_capture(target), stats


@pytest.mark.parametrize("when", ["tick", "flush", "burst"])
def test_held_packets_are_released_and_none_is_lost(platform, when):
    frames = frames_of(5000)
    received, stats = play(platform, frames, ("holder", "--every", "7", "--release", when))
    assert sorted(received) == frames
    passed_on = [frame for i, frame in enumerate(frames) if i % 7 != 6]
    assert [frame for frame in received if frame in set(passed_on)] == passed_on
    assert drops_of(stats, "holder") == {}


def test_held_packets_that_nobody_releases_are_counted(platform):
    frames = frames_of(1000)
    received, stats = play(platform, frames, ("holder", "--every", "10", "--release", "never"))
    assert received == [frame for i, frame in enumerate(frames) if i % 10 != 9]
    dropped = {**stats["drops"], **drops_of(stats, "holder")}
    assert dropped["held_at_exit"] == 100


def test_a_full_held_area_drops_with_its_reason(platform):
    frames = frames_of(3000)
    received, stats = play(platform, frames, ("holder", "--every", "1", "--release", "flush"))
    assert received == frames[:HELD_SLOTS]
    assert drops_of(stats, "holder") == {"held_full": 3000 - HELD_SLOTS}


def test_an_nf_that_leaves_with_held_packets_loses_none_uncounted(platform):
    """Ctrl-C of the NF while the platform goes on."""
    routes = platform.write("routes.csv", "*, rx, holder\n*, holder, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    holder = platform.start_nf("holder", "--every", "3", "--release", "never")
    platform.wait_for(lambda status: drops_of(status, "holder").get("held_full"), "area is full")
    holder.ctrl_c()
    holder.expect(0)
    platform.assert_audit()
    stats = platform.stop()
    held = drops_of(stats, "holder").get("held_at_exit", 0) + stats["drops"].get("held_at_exit", 0)
    assert held == HELD_SLOTS


def test_originated_packets_are_counted_and_complete(platform):
    """source makes packets until the end comes, and passes on what comes in."""
    frames = frames_of(5000)
    received, stats = play(platform, frames, ("source", "--count", "3000", "--bytes", "100"))
    made = [int.from_bytes(frame[14:22], "big") for frame in received if len(frame) == 100]
    assert [frame for frame in received if len(frame) != 100] == frames
    assert made and made == list(range(len(made)))
    assert platform.nf("source", stats)["originated"] == len(made)


def test_an_nf_originates_while_no_packet_comes(platform):
    routes = platform.write("routes.csv", "*, rx, drop\n*, source, tx:0\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.start_nf("source", "--count", "100000", "--bytes", "60")
    platform.wait_for(lambda status: status["ports"][0]["tx_packets"] == 100000, "all are sent")
    stats = platform.stop()
    assert platform.nf("source", stats)["originated"] == 100000


def test_a_source_that_is_killed_leaves_exact_accounts(platform):
    routes = platform.write("routes.csv", "*, rx, drop\n*, source, forward\n*, forward, tx:0\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.start_nf("forward")
    source = platform.start_nf("source", "--count", "1000000000", "--bytes", "60")
    platform.wait_traffic()
    source.kill()
    platform.wait_state("source", "failed")
    platform.assert_audit()
    stats = platform.stop()
    assert platform.nf("source", stats)["lost_in_crash"] <= 64
