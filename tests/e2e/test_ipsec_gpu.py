"""ipsec on the device end to end: what one twin seals the other one opens, and nothing comes twice."""

import os

import pytest

from captures import CAPTURES, all_captures, read_capture, write_capture
from harness import drops_of, pid_of_gpu_host
from supervised import kill_gpu_host, wait_next_gpu_host
from test_ipsec import (AES128, SHA1, assert_one_sa_after_the_other, inner_packets, mappings_with,
                        reload_under_traffic, sa_line, transforms)


def play(platform, source, target, *arguments, gpu):
    """A file through one ipsec, on the device or on the CPU. Returns its drops and the statistics."""
    routes = platform.write("routes.csv", "*, rx, ipsec\n*, ipsec, tx\n")
    stats = platform.run(["--port", f"pcap:rx={source},tx={target}", "--routes", routes],
                         [("ipsec", *arguments, {"gpu": gpu})], gpu="opencl" if gpu else "none")
    return drops_of(stats, "ipsec"), stats


def iv_key_free(frame):
    """What both twins agree on without a common IV: all up to the IV, and the length."""
    return frame[:42], len(frame)


@transforms
def test_what_one_twin_seals_the_other_one_opens(make_platform, tmp_path, transform):
    sa = tmp_path / "sa"
    sa.write_text(sa_line(transform, more="replay-window 64 flag esn"))
    frames = []
    for path in all_captures():
        frames += inner_packets(path)[0]
    source = write_capture(tmp_path / "in.pcap", frames)
    sealed = {True: tmp_path / "gpu.pcap", False: tmp_path / "cpu.pcap"}
    opened = tmp_path / "out.pcap"
    seal = ["--sa", sa, "--direction", "encrypt"]
    unseal = ["--sa", sa, "--direction", "decrypt"]
    for gpu, target in sealed.items():
        drops, _ = play(make_platform(), source, target, *seal, gpu=gpu)
        assert drops == {}
    here, there = (read_capture(path) for path in sealed.values())
    assert [iv_key_free(frame) for frame in here] == [iv_key_free(frame) for frame in there]
    for gpu, between in sealed.items():
        drops, _ = play(make_platform(), between, opened, *unseal, gpu=not gpu)
        assert drops == {}
        assert read_capture(opened) == frames


def test_damage_has_the_cpu_twins_reasons(make_platform, tmp_path):
    sa = tmp_path / "sa"
    sa.write_text(sa_line("cbc128-sha1") + sa_line("gcm128", spi=0x302))
    frames, _ = inner_packets(CAPTURES / "zeek-wikipedia.pcap")
    sealed = tmp_path / "esp.pcap"
    play(make_platform(), write_capture(tmp_path / "in.pcap", frames), sealed, "--sa", sa,
         "--direction", "encrypt", gpu=True)
    damaged = []
    for number, frame in enumerate(read_capture(sealed)):
        at = number % len(frame)
        damaged += [frame[:at] + bytes([frame[at] ^ 0x10]) + frame[at + 1:], frame[:at], frame]
    source = write_capture(tmp_path / "damaged.pcap", damaged + damaged)
    results = [play(make_platform(), source, tmp_path / f"out{gpu}.pcap", "--sa", sa, "--direction",
                    "decrypt", gpu=gpu)[0] for gpu in (False, True)]
    assert results[0] == results[1]
    assert {"bad_icv", "replay", "malformed", "no_sa"} <= set(results[0])
    assert read_capture(tmp_path / "outFalse.pcap") == read_capture(tmp_path / "outTrue.pcap")


def start_traffic(platform, tmp_path, sa):
    source = write_capture(tmp_path / "in.pcap", [bytes(60)])
    target = tmp_path / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, drop\n*, source, ipsec\n*, ipsec, tx:0\n")
    platform.start_manager("--routes", routes, "--port", f"pcap:rx={source},tx={target}",
                           gpu="opencl")
    options = ["--sa", sa, "--direction", "encrypt"]
    ipsec = platform.start_nf("ipsec", *options, gpu=True)
    platform.start_nf("source", "--ipv4", "--count", "1000000000", "--at-once", "8")
    return target, ipsec, options


@pytest.mark.parametrize("victim", ["gpu_host", "control process"])
def test_no_iv_comes_twice_over_kills(platform, tmp_path, victim):
    """kill -9 under traffic: every packet that ever left has a number and an IV of its own."""
    sa = tmp_path / "sa"
    sa.write_text(sa_line("gcm128"))
    target, ipsec, options = start_traffic(platform, tmp_path, sa)
    for _ in range(4):  # one more in such short lives would be a crash loop
        platform.wait_works("ipsec", 500)
        if victim == "gpu_host":
            wait_next_gpu_host(platform, "ipsec", kill_gpu_host(platform))
            platform.check_alive(ipsec)
        else:
            ipsec.kill()
            platform.wait_state("ipsec", "failed")
            ipsec = platform.start_nf("ipsec", *options, gpu=True)
    platform.wait_works("ipsec", 500)
    platform.stop()
    numbers, ivs = [], set()
    for frame in read_capture(target):
        assert frame[34:38] == (0x301).to_bytes(4, "big")
        numbers.append(int.from_bytes(frame[38:42], "big"))
        ivs.add(frame[42:50])
    assert len(ivs) == len(numbers) > 2000
    assert all(a < b for a, b in zip(numbers, numbers[1:])), "they grow in transmit order"


def test_reload_under_traffic(platform, tmp_path):
    sa = tmp_path / "sa"
    sa.write_text(sa_line("gcm128"))
    target, _, _ = start_traffic(platform, tmp_path, sa)
    platform.wait_works("ipsec", 100)
    reload_under_traffic(platform, sa, 5000)
    frames = read_capture(target)
    assert_one_sa_after_the_other(frames)
    for spi in (0x301, 0x999):
        numbers = [int.from_bytes(frame[38:42], "big") for frame in frames
                   if frame[34:38] == spi.to_bytes(4, "big")]
        assert numbers == list(range(1, len(numbers) + 1)), "none is left out"


def test_keys_are_in_no_core_file_of_either_process(platform, tmp_path):
    sa = tmp_path / "sa"
    key, auth = os.urandom(16), os.urandom(20)  # others may be some program's own vectors
    sa.write_text(sa_line("cbc128-sha1").replace(AES128, key.hex()).replace(SHA1, auth.hex()))
    _, ipsec, _ = start_traffic(platform, tmp_path, sa)
    platform.wait_works("ipsec", 100)
    # On the device's side round keys are numbers in the processor's order.
    words = b"".join(key[i:i + 4][::-1] for i in range(0, 16, 4))
    needles = [key, auth, words, key.hex().encode()]
    for pid in (ipsec.pid, pid_of_gpu_host(platform)):
        holding = mappings_with(pid, needles)
        assert holding, "the keys are somewhere"
        assert all("dd" in flags for _, flags in holding), (pid, holding)
    platform.stop()
