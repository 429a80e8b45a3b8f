"""The GPU as a live resource: kernels of the user's own, slices that change their size, tables and
code replaced under traffic."""

import ipaddress
import os
import signal
import struct
import subprocess
import sys
import time

import pytest

from harness import BUILD, CAPTURES, REPO, pid_of_gpu_host, read_capture, wait_until

EXAMPLE = REPO / "examples" / "static_nat"
CAPTURE = CAPTURES / "zeek-http_cooper-grill-dvwa.pcapng"
NULL = ["--port", "null:size=100"]


def hbctl(platform, *words, status=0):
    done = subprocess.run([BUILD / "bin" / "hbctl", *map(str, words), "--prefix", platform.prefix],
                          capture_output=True, text=True, check=False)
    assert done.returncode == status, f"{words}: {done}\n{platform.report()}"
    return done.stdout + done.stderr


def slice_of(status, service):
    return next((s for s in status["gpu"]["slices"] if s["service"] == service), {})


def static_nat_table(platform, text, name="table"):
    rules = platform.write(f"{name}.txt", text)
    table = platform.folder / name
    subprocess.run([sys.executable, EXAMPLE / "make_table.py", rules, table], check=True)
    return table


def updated(checksum, before, after):
    """RFC 1624, equation 3, in arithmetic modulo 2^16 - 1. Captures have checksums that were never
    right (the sender's card would have made them), so they can't be computed anew."""
    total = (0xFFFF - checksum) + sum(0xFFFF - word for word in struct.unpack(">HH", before)) + sum(
        struct.unpack(">HH", after))
    return 0xFFFF - (total % 0xFFFF or (0xFFFF if total else 0))


def translated(frame, rules):
    """What static_nat makes of a frame; None if it drops it."""
    if len(frame) < 34 or frame[12:14] != b"\x08\0":
        return frame
    target = rules.get(str(ipaddress.IPv4Address(frame[26:30])))
    if target is None:
        return frame
    if target == "drop":
        return None
    before, after = frame[26:30], ipaddress.IPv4Address(target).packed
    out = bytearray(frame)
    out[26:30] = after
    l4 = 14 + (frame[14] & 15) * 4
    for at in (24, l4 + {6: 16, 17: 6}[frame[23]]):
        old, = struct.unpack_from(">H", frame, at)
        struct.pack_into(">H", out, at, updated(old, before, after))
    return bytes(out)


def test_a_kernel_of_ones_own_rewrites_and_drops(platform):
    frames = [frame for frame in read_capture(CAPTURE) if len(frame) <= 2048]  # others don't fit
    sources = {str(ipaddress.IPv4Address(f[26:30])) for f in frames if f[12:14] == b"\x08\0"}
    rules = {"192.168.111.148": "203.0.113.7", "192.168.111.154": "drop"}
    assert set(rules) <= sources
    table = static_nat_table(platform, "".join(f"{a} {b}\n" for a, b in rules.items()))
    target = platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, nat\n*, nat, tx\n")
    stats = platform.run(
        ["--port", f"pcap:rx={CAPTURE},tx={target}", "--routes", routes],
        [("gpu_custom", "--kernel", EXAMPLE / "static_nat.cl", "--table", table,
          {"service": "nat", "gpu": True})], gpu="opencl")
    expected = [out for frame in frames if (out := translated(frame, rules)) is not None]
    assert read_capture(target) == expected
    assert platform.nf("nat", stats)["drops"] == {"blocked": len(frames) - len(expected)}


GOOD = ('#include "packet.h"\nDEVICE void gpu_nf_round(const HbRound* round) {\n'
        "  HbPacket packet = hb_packet(round, round->lane);\n%s\n"
        "  hb_answer(round, round->lane, &packet, HB_VERDICT_NEXT, 0);\n}\n")


@pytest.mark.parametrize("source, words", [
    (GOOD % "  int x = nonsense;", ["bad.cl:4", "nonsense"]),
    ('#include "packet.h"\nDEVICE void other(const HbRound* round) { (void)round; }\n',
     ["gpu_nf_round"]),
    ("//! writes_packets\n//! grows_sideways 4\n" + GOOD % "", ["bad.cl:2", "grows_sideways"]),
    ('#include "../../etc/passwd"\n' + GOOD % "", ["bad.cl:1", "passwd"]),
    (GOOD % "  hb_store8(&packet, 3, 7);", ["writes_packets"]),
    (GOOD % "  if (round->lane == 3) return;", ["unanswered"]),
    (GOOD % "  *(volatile GLOBAL u32*)0 = 1;", ["signal 11"]),
    (GOOD % "  for (volatile u32 i = 0; i < 2; i &= 1) i = 0;", ["did not end"]),
], ids=["syntax", "no-function", "declaration", "include", "secret-store", "unanswered", "wild-store",
        "endless"])
def test_a_bad_kernel_is_refused_and_disturbs_nobody(platform, source, words):
    platform.start_manager(*NULL, gpu="opencl")
    platform.start_nf("forward", gpu=True)
    platform.wait_works("forward")
    bad = platform.write("bad.cl", source)
    launched = platform.spawn_nf("gpu_custom", "--kernel", bad, service="mine", gpu=True)
    assert launched.wait(120) == 1, launched.report()
    launched.expected_status = 1
    for word in words:
        assert word in launched.stderr, launched.report()
    assert "generated" not in launched.stderr, "a compiler's small talk"
    platform.wait_works("forward", 1000)
    platform.wait_for(lambda status: not slice_of(status, "mine"), "its slice is given back")
    assert "gpu_host died" not in platform.manager.stderr
    platform.assert_audit()
    platform.stop()


def test_a_reload_finds_files_from_where_the_user_is_and_no_pipes(platform, tmp_path):
    """The NF runs in another folder than hbctl."""
    platform.start_manager(*NULL, gpu="opencl")
    kernel = platform.write("good.cl", GOOD % "")
    platform.start_nf("gpu_custom", "--kernel", kernel, service="mine", gpu=True)
    here = tmp_path / "elsewhere"
    here.mkdir()
    (here / "my.table").write_bytes(bytes(8))
    os.mkfifo(here / "pipe")
    with open(here / "huge", "wb") as huge:
        huge.truncate(1 << 40)

    def reload(table):
        return subprocess.run([BUILD / "bin" / "hbctl", "--prefix", platform.prefix, "reload", "mine",
                               "--table", table], cwd=here, capture_output=True, text=True,
                              check=False)

    done = reload("my.table")
    assert done.returncode == 0 and str(here / "my.table") in done.stdout, done
    for table, words in [("pipe", "is no regular file"), ("huge", "are the most"),
                         ("missing", "'missing' can't be read")]:
        refused = reload(table)
        assert refused.returncode == 1 and words in refused.stderr, refused
    platform.wait_works("mine", 100)
    platform.stop()


@pytest.mark.parametrize("instances", [1, 2])
def test_a_kernel_that_hangs_later_ends_gpu_host_and_nothing_else(platform, instances):
    """Its trial has no packet of 1234 bytes; traffic has."""
    kernel = platform.write("hangs.cl", GOOD % (
        "  for (volatile u32 i = 0; hb_length(&packet) == 1234u && i < 2; i &= 1) i = 0;"))
    platform.start_manager("--port", "null:size=1234", gpu="opencl")
    platform.start_nf("forward")
    platform.wait_traffic()
    for _ in range(instances):
        hangs = platform.spawn_nf("gpu_custom", "--kernel", kernel, "--workgroups", "2",
                                  service="hangs", gpu=True)
        hangs.expected_status = 1
    platform.wait_for(lambda status: "has not ended its round" in platform.manager.stderr,
                      "the manager says what hangs", 90)
    platform.wait_state("hangs", "failed", 60)
    platform.wait_traffic(1000)
    platform.wait_for(lambda status: status["gpu"]["state"] == "ready", "a new gpu_host")
    for process in platform.processes:
        if process.name == "hangs":
            process.wait()
    assert platform.manager.stderr.count("gpu_host died") == 1, platform.manager.stderr
    platform.stop()


@pytest.mark.parametrize("syncers", [1, 2])
def test_slices_change_their_size_under_traffic(platform, syncers):
    platform.start_manager(*NULL, "--syncers", str(syncers), gpu="opencl")
    platform.start_nf("forward", "--workgroups", "2", service="a", gpu=True)
    platform.start_nf("forward", "--workgroups", "2", service="b", gpu=True)
    platform.wait_works("b", 1000)
    for n in (4, syncers, 6, 2):
        assert f"a: {n} work-groups" in hbctl(platform, "gpu", "resize", "a", n)
        assert len(slice_of(platform.status(), "a")["workgroups"]) == n
        platform.wait_works("b", 1000)
    assert "are wanted" in hbctl(platform, "gpu", "resize", "b", 8, status=1)
    assert "at least" in hbctl(platform, "gpu", "resize", "b", syncers - 1, status=1)
    hbctl(platform, "gpu", "resize", "c", 2, status=1)
    shown = hbctl(platform, "gpu")
    assert "rounds/s" in shown and "P99" in shown, shown
    platform.assert_audit()
    platform.stop()


def test_a_gpu_nf_waits_for_what_a_dead_one_gives_back(platform):
    """All work-groups are a dead NF's, until gpu_host has let go of them."""
    platform.start_manager("--workgroups", "4", "--nf-timeout", "60000", *NULL, gpu="opencl")
    first = platform.start_nf("forward", "--workgroups", "4", gpu=True, service="first")
    gpu_host = pid_of_gpu_host(platform)
    os.kill(gpu_host, signal.SIGSTOP)
    first.kill()
    second = platform.spawn_nf("forward", "--workgroups", "4", gpu=True, service="second")
    platform.wait_for(lambda status: status["gpu"]["nfs_waiting"] == 1, "the second one waits")
    os.kill(gpu_host, signal.SIGCONT)
    platform.wait_running("second", second)
    third = platform.spawn_nf("forward", "--workgroups", "4", gpu=True, service="third")
    third.expect_refusal("0 of the GPU's 4 work-groups are free", "--workgroups")
    platform.stop()


def test_table_and_kernel_are_replaced_under_traffic(platform):
    platform.start_manager(*NULL, gpu="opencl")
    kernel = platform.write("mine.cl", GOOD % "")
    platform.start_nf("gpu_custom", "--kernel", kernel, service="mine", gpu=True)
    platform.wait_works("mine", 1000)
    for version in (2, 3):
        table = platform.write(f"table{version}", "x" * version)
        said = hbctl(platform, "reload", "mine", "--table", table)
        assert f"version {version}" in said, said
        platform.wait_works("mine", 1000)
    dropper = platform.write("dropper.cl", (GOOD % "").replace("VERDICT_NEXT", "VERDICT_DROP"))
    said = hbctl(platform, "reload", "mine", "--kernel", dropper, status=1)
    assert "dropped a packet for reason 0" in said, said  # it declares none
    broken = platform.write("broken.cl", GOOD % "  int x = nonsense;")
    assert "broken.cl:4" in hbctl(platform, "reload", "mine", "--kernel", broken, status=1)
    platform.wait_works("mine", 1000)
    other = platform.write("other.cl", GOOD % "  // the same, and yet another program")
    assert "version 4" in hbctl(platform, "reload", "mine", "--kernel", other)
    platform.wait_works("mine", 1000)
    assert slice_of(platform.status(), "mine")["table_version"] == 4
    platform.assert_audit()
    platform.stop()


def test_elastic_gives_work_groups_to_the_slice_with_the_backlog(platform):
    platform.start_manager(*NULL, "--elastic", gpu="opencl")
    slow = platform.write("slow.cl", GOOD % (
        "  u32 sum = 0;\n  for (u32 k = 0; k < 40u; ++k)\n"
        "    for (u32 i = 0; i < hb_length(&packet); ++i) sum += hb_load8(&packet, i) ^ k;\n"
        "  if (sum == 1u) hb_cut_back(&packet, 0);"))
    routes_end = time.monotonic() + 60
    platform.start_nf("gpu_custom", "--workgroups", "1", "--kernel", slow, service="slow", gpu=True)
    platform.start_nf("forward", "--workgroups", "4", service="fast", gpu=True)
    wait_until(lambda: len(slice_of(platform.status(), "slow").get("workgroups", [])) > 3,
               "the slow one gets more", max(1, routes_end - time.monotonic()))
    platform.wait_works("fast", 1000)
    platform.assert_audit()
    platform.stop()
