"""One NF for each kind of NF that OpenNetVM ships: what it does to packets, byte for byte."""

import json
import re
import subprocess

import pytest

from captures import read_capture
from harness import BUILD, REPO, drops_of
from onvm_nfs import NFS, arp, checksum, ipv4_header, start, tcp, udp

CLIENT, SERVER = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"


def ports(platform, *frames_by_port):
    """--port arguments: captures with these frames; each port's output is outN.pcap."""
    words = []
    for number, frames in enumerate(frames_by_port):
        source = platform.capture(f"in{number}.pcap", frames)
        words += ["--port", f"pcap:rx={source},tx={platform.folder / f'out{number}.pcap'}"]
    return words


def sent(platform, port=0):
    return read_capture(platform.folder / f"out{port}.pcap")


def play(platform, frames, nf, *args, routes=None, **keywords):
    """Plays frames through the NF to port 0; returns the process and the statistics."""
    rules = platform.write("routes.csv", routes or f"*, rx, {nf}\n*, {nf}, tx\n")
    frames_by_port = frames if isinstance(frames[0], list) else [frames]
    platform.spawn_manager("--exit-when-drained", "--routes", rules,
                           *ports(platform, *frames_by_port))
    platform.wait_ready()
    process = start(platform, nf, *args, wait=False, **keywords)
    return process, platform.finish()


def mac_of(platform, port):
    """As `hbctl ports --json` shows it: before the end."""
    return bytes.fromhex(platform.status()["ports"][port]["mac"].replace(":", ""))


# --- firewall -----------------------------------------------------------------------------------

FROM = ["10.1.2.3", "10.1.9.9", "10.2.0.1", "192.168.7.7", "9.9.9.9"]


def test_a_firewall_passes_what_its_json_rules_allow(platform):
    frames = [udp(FROM[i % len(FROM)], "1.2.3.4", 1000 + i, 53, bytes(i % 64)) for i in range(500)]
    frames += [arp(1, CLIENT, "10.1.2.3", bytes(6), "10.0.0.1", (b"\xff" * 6, CLIENT))]
    rules = platform.write("rules.json", json.dumps({
        "net": {"ip": "10.1.0.0", "depth": 16, "action": 0},
        "but": {"ip": "10.1.9.9", "depth": 32, "action": 1},
        "one": {"ip": "192.168.7.7", "depth": 32, "action": 0}}))
    nf, stats = play(platform, frames, "firewall", "-f", rules)
    assert sent(platform) == [frame for i, frame in enumerate(frames[:500])
                              if FROM[i % len(FROM)] in ("10.1.2.3", "192.168.7.7")]
    assert "accepted 200, denied 300, other 1, ports 1" in nf.stdout
    assert drops_of(stats, "firewall") == {"dropped": 301}


@pytest.mark.parametrize("text, said", [("{\"a\": ", "this is not JSON"),
                                        ("{\"a\": {\"depth\": 8}}", "'a' has no address")])
def test_a_broken_rule_file_ends_the_firewall_and_nothing_else(platform, text, said):
    platform.start_manager("--port", "null")
    nf = start(platform, "firewall", "-f", platform.write("rules.json", text), wait=False)
    nf.expected_status = 1
    nf.expect(1)
    assert said in nf.stdout + nf.stderr
    platform.wait_for(lambda status: all(one["state"] != "running" for one in status["nfs"]),
                      "it has ended")
    platform.assert_audit()
    platform.stop()


# --- monitor ------------------------------------------------------------------------------------

def test_a_monitor_sends_packets_back_with_the_ports_address(platform):
    frames = [udp("10.0.0.1", "10.0.0.2", i, 7, bytes([i % 256]) * (i % 100)) for i in range(300)]
    rules = platform.write("routes.csv", "*, rx, monitor\n*, monitor, drop\n")
    platform.spawn_manager("--exit-when-drained", "--routes", rules,
                           *ports(platform, frames, frames[:7]))
    platform.wait_ready()
    macs = [mac_of(platform, port) for port in range(2)]
    nf = start(platform, "monitor", "-p", "1000", wait=False)
    platform.finish()
    for port, given in enumerate((frames, frames[:7])):
        assert sent(platform, port) == [f[6:12] + macs[port] + f[12:] for f in given]
    total = sum(map(len, frames)) + sum(map(len, frames[:7]))
    assert f"packets 307, bytes {total}, printed" in nf.stdout
    assert re.search(r"port 1: rx \d+, tx \d+", nf.stdout)


# --- flow tracker -------------------------------------------------------------------------------

def flow_frames(n):
    """Packets of n flows, each both ways."""
    frames = []
    for i in range(n):
        src = f"10.0.{i >> 8}.{i & 255}"
        frames += [tcp(src, "1.1.1.1", 4000, 80), tcp("1.1.1.1", src, 80, 4000, b"answer")]
    return frames


def test_a_flow_tracker_sees_both_directions_as_one(platform):
    frames = flow_frames(200)
    nf, _ = play(platform, frames, "tracker", "-n", "256")
    assert sent(platform) == frames
    assert "active 200, seen 200, aged 0, refused 0, packets 400" in nf.stdout
    assert nf.stdout.count("IP: ") == 200


def test_flows_beyond_the_table_are_refused_until_others_have_aged(platform):
    frames = flow_frames(200)
    nf, _ = play(platform, frames, "tracker", "-n", "64")
    assert sent(platform) == frames
    assert "active 64, seen 64, aged 0, refused 272, packets 128" in nf.stdout


def test_old_flows_make_room(platform):
    """A flow that is silent for 1 ms is away: whatever was seen has aged or is still there."""
    nf, _ = play(platform, flow_frames(500), "tracker", "-n", "8", "-t", "1")
    active, seen, aged = map(int, re.search(r"active (\d+), seen (\d+), aged (\d+)",
                                            nf.stdout).groups())
    assert active <= 8 and seen == active + aged


# --- load balancer ------------------------------------------------------------------------------

def test_a_load_balancer_keeps_flows_together_and_translates_both_ways(platform):
    gateway = "10.0.0.254"
    servers = [("10.9.0.1", b"\x06\0\0\0\0\x01"), ("10.9.0.2", b"\x06\0\0\0\0\x02")]
    listed = platform.write("servers", "".join(
        f"{ip} {':'.join(f'{b:02x}' for b in mac)}\n" for ip, mac in servers))
    asked = [udp("10.0.0.9", gateway, 2000 + i % 50, 80, bytes([i % 256]) * 9,
                 macs=(b"\x02" * 6, CLIENT)) for i in range(400)]
    asked += [arp(1, CLIENT, "10.0.0.9", bytes(6), gateway, (b"\xff" * 6, CLIENT))]
    rules = platform.write("routes.csv", "*, rx, balancer\n*, balancer, drop\n")
    # Answers come when all has been asked: by a port of a kernel interface they could; here the
    # translation back is seen by frames of a server that were asked for by nobody: dropped.
    answers = [udp(servers[0][0], "10.0.0.9", 80, 9999, b"nobody asked")]
    platform.spawn_manager("--exit-when-drained", "--routes", rules,
                           *ports(platform, asked, answers))
    platform.wait_ready()
    server_side = mac_of(platform, 1)
    nf = start(platform, "balancer", "-f", listed, wait=False)
    stats = platform.finish()
    expected = [udp("10.0.0.9", servers[i % 50 % 2][0], 2000 + i % 50, 80, bytes([i % 256]) * 9,
                    macs=(servers[i % 50 % 2][1], server_side)) for i in range(400)]
    assert sent(platform, 1) == expected
    assert "server 0: 200" in nf.stdout and "server 1: 200" in nf.stdout
    assert "back 0, other 1" in nf.stdout
    assert drops_of(stats, "balancer") == {"dropped": 2}


# --- payload scan -------------------------------------------------------------------------------

@pytest.mark.parametrize("inverted", [False, True])
def test_a_payload_scan_drops_what_has_the_text(platform, inverted):
    make = (tcp, udp)
    frames = [make[i % 2]("10.0.0.1", "10.0.0.2", 1, 2,
                          b"x" * (i % 90) + (b"needle" if i % 3 == 0 else b"need-le")
                          + bytes(i % 7)) for i in range(300)]
    frames += [b"\2" * 12 + b"\x08\0" + ipv4_header("1.1.1.1", "2.2.2.2", 1, 20) + b"needle" + bytes(14)]
    nf, _ = play(platform, frames, "scan", "-s", "needle", *(["-i"] if inverted else []))
    assert sent(platform) == [f for i, f in enumerate(frames[:300]) if (i % 3 == 0) == inverted]
    assert "found 100, not found 200, other 1" in nf.stdout


# --- router -------------------------------------------------------------------------------------

def test_a_router_sends_to_ports_and_services_and_answers_arp(platform):
    file = platform.write("route.conf", "10.1.0.0 16 port 1\n10.1.2.0 24 port 0\n"
                                        "10.3.0.0 16 service 9\n")
    to = ["10.1.0.1", "10.1.2.1", "10.3.0.1", "8.8.8.8"]
    frames = [udp("10.0.0.9", to[i % 4], 1, i, ttl=2 if i < 200 else 1) for i in range(400)]
    request = arp(1, CLIENT, "10.0.0.9", bytes(6), "10.0.0.1", (b"\xff" * 6, CLIENT))
    others = arp(1, CLIENT, "10.0.0.9", bytes(6), "10.0.0.2", (b"\xff" * 6, CLIENT))
    rules = platform.write("routes.csv", "*, rx, lpm_router\n*, lpm_router, drop\n*, simple, tx:0\n")
    platform.spawn_manager("--exit-when-drained", "--routes", rules,
                           *ports(platform, [request, others, *frames], []))
    platform.wait_ready()
    macs = [mac_of(platform, port) for port in range(2)]
    start(platform, "simple", service=9)
    nf = start(platform, "lpm_router", "-f", file, "-a", "10.0.0.1", wait=False)
    stats = platform.finish()

    def routed(i, port):
        frame = udp("10.0.0.9", to[i % 4], 1, i, ttl=1)
        return frame if port is None else frame[:6] + macs[port] + frame[12:]

    assert sent(platform, 1) == [routed(i, 1) for i in range(200) if i % 4 == 0]
    out = sent(platform, 0)
    reply = arp(2, macs[0], "10.0.0.1", CLIENT, "10.0.0.9", (CLIENT, macs[0]))
    by_port = [routed(i, 0) for i in range(200) if i % 4 == 1]
    by_service = [routed(i, None) for i in range(200) if i % 4 == 2]
    assert sorted(out) == sorted([reply, *by_port, *by_service])
    # Each way keeps its order; there is none between two ways.
    assert [f for f in out if f in set(by_service)] == by_service
    assert [f for f in out if f not in set(by_service)] == [reply, *by_port]
    assert "routed 150, answered 1, dropped 251" in nf.stdout
    assert drops_of(stats, "lpm_router") == {"dropped": 251}


# --- payload changed in place -------------------------------------------------------------------

def test_a_cipher_and_its_other_side_leave_packets_as_they_were(platform):
    frames = [udp("10.0.0.1", "10.0.0.2", 5, i, bytes([i % 256]) * (1 + i % 1200))
              for i in range(400)]
    frames += [tcp("10.0.0.1", "10.0.0.2", 5, 6, b"not changed")]
    rules = platform.write("routes.csv", "*, rx, there\n*, there, tap\n*, tap, back\n*, back, tx:0\n")
    platform.spawn_manager("--exit-when-drained", "--routes", rules, *ports(platform, frames))
    platform.wait_ready()
    start(platform, "cipher", service=1, onvm=("--service", "there"), wait=False)
    start(platform, "simple", service=2, onvm=("--service", "tap"), wait=False)
    start(platform, "cipher", service=3, onvm=("--service", "back"), wait=False)
    platform.finish()
    assert sent(platform) == frames


def test_a_ciphers_packets_have_right_checksums(platform):
    frames = [udp("10.0.0.1", "10.0.0.2", 5, i, b"plain text" * (1 + i % 50)) for i in range(100)]
    play(platform, frames, "cipher")
    out = sent(platform)
    assert len(out) == len(frames)
    for before, after in zip(frames, out):
        assert after[:40] == before[:40] and after[42:] != before[42:]
        pseudo = after[26:34] + bytes([0, 17]) + after[38:40]
        assert checksum(pseudo + after[34:]) == 0


# --- scaling ------------------------------------------------------------------------------------

@pytest.mark.parametrize("polls", [False, True])
def test_children_with_a_function_table_or_rings_of_their_own(platform, polls):
    frames = [udp("10.0.0.1", f"10.0.{i % 7}.1", 5, i % 97, bytes([i % 256])) for i in range(2000)]
    rules = platform.write("routes.csv", "*, rx, children\n*, children, drop\n*, 2, tx\n")
    manager = ["--routes", rules, "--port"]
    # Children come when the parent runs already, so frames must not end before.
    source = platform.capture("in.pcap", frames)
    platform.start_manager(*manager, f"vdev:net_pcap0,rx_pcap={source},infinite_rx=1")
    nf = start(platform, "children", "-n", "3", *(["-a"] if polls else []))

    def at_work(status):
        return [one for one in status["nfs"] if one["service"] == "2" and one["rx"] > 100]

    platform.wait_for(lambda status: len(at_work(status)) == 3, "three children work")
    platform.assert_audit()
    nf.ctrl_c()
    nf.expect(0)
    assert re.search(r"children 3, packets \d{3,}", nf.stdout), nf.stdout
    platform.assert_audit()
    platform.stop()


# --- speed tester -------------------------------------------------------------------------------

def test_a_speed_tester_sends_its_packets_round_by_another_nf(platform):
    """To simple and back, each by its number; those under way at the end are dropped as leaving."""
    rules = platform.write("routes.csv", "*, rx, drop\n*, simple, drop\n*, speed, tx:0\n")
    platform.start_manager("--port", "null", "--routes", rules)
    start(platform, "simple", "-d", "1", service=2)
    nf = start(platform, "speed", "-d", "2", "-c", "200", "-n", "20000", "-l", wait=False)
    nf.expect(0)
    packets, rounds, foreign, latencies = map(int, re.search(
        r"packets (\d+), rounds (\d+), foreign (\d+), latencies (\d+)", nf.stdout).groups())
    assert (packets, foreign) == (200, 0) and rounds >= 20000 and latencies == rounds
    platform.assert_audit()
    stats = platform.stop()
    assert platform.nf("speed", stats)["originated"] == 200


def test_arp_requests_are_answered_with_packets_of_the_nfs_own(platform):
    macs = (b"\xff" * 6, CLIENT)
    frames = [arp(1, CLIENT, "10.0.0.9", bytes(6), f"10.0.0.{i % 4}", macs) for i in range(100)]
    rules = platform.write("routes.csv", "*, rx, arp\n*, arp, tx:1\n")
    platform.spawn_manager("--exit-when-drained", "--routes", rules, *ports(platform, frames, []))
    platform.wait_ready()
    mac = mac_of(platform, 0)
    nf = start(platform, "arp", "-s", "10.0.0.3", wait=False)
    stats = platform.finish()
    answer = arp(2, mac, "10.0.0.3", CLIENT, "10.0.0.9", (CLIENT, mac))
    assert sent(platform, 0) == [answer] * 25
    assert sent(platform, 1) == [f for i, f in enumerate(frames) if i % 4 != 3]
    assert "answered 25" in nf.stdout
    assert platform.nf("arp", stats)["originated"] == 25


# --- their own folders --------------------------------------------------------------------------

def build(home, *words):
    """onvm_build.sh, to its end."""
    return subprocess.run([REPO / "scripts" / "onvm_build.sh", *words], capture_output=True,
                          text=True, check=False, env={
                              "HB_BUILD": str(BUILD), "HOME": str(home),
                              "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})


def test_flags_are_read_as_a_shell_would(tmp_path):
    """Quotes, spaces, backslashes, and options whose value is a word of its own."""
    folder = tmp_path / "quoted"
    files = {"two words/near.h": "#define NEAR 1\n", "far/far.h": "#define FAR 2\n",
             "before.h": "#define BEFORE 3\n", "three.c": "int three(void) { return 3; }\n",
             "quoted.c": '#include <near.h>\n#include <far.h>\n#include <stdio.h>\n'
                         "int three(void);\n"
                         "int main(void) {\n"
                         '  printf("%s|%s|%d\\n", TEXT, MORE, NEAR + FAR + BEFORE + FOUR + three());\n'
                         "  return 0;\n}\n",
             "Makefile": "APP = quoted\nSRCS-y := quoted.c\n"
                         "CFLAGS += -I 'two words' -isystem far -include before.h\n"
                         "CFLAGS += -D TEXT='\"one two\"' -DMORE=\\\"three\\\" -D FOUR=4\n"
                         "LDFLAGS += -L libs -l three\n"}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "libs").mkdir()
    subprocess.run(["gcc", "-c", "-o", "three.o", "three.c"], cwd=folder, check=True)
    subprocess.run(["ar", "rc", "libs/libthree.a", "three.o"], cwd=folder, check=True)
    done = build(tmp_path, folder)
    assert done.returncode == 0, done
    said = subprocess.run([folder / "build" / "quoted"], capture_output=True, text=True, check=True)
    assert said.stdout == "one two|three|13\n"

    (folder / "Makefile").write_text("SRCS-y := quoted.c\nCFLAGS += -DTEXT='one\n")
    done = build(tmp_path, folder)
    assert done.returncode == 1 and "quoted/Makefile' can't be read" in done.stderr, done


def built_and_run(tmp_path, folder, files):
    """Writes, builds and runs a program; what it prints."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    done = build(tmp_path, folder)
    assert done.returncode == 0, done
    program, = (folder / "build").iterdir()
    return subprocess.run([program], capture_output=True, text=True, check=True).stdout


def test_a_checkout_named_onvm_hides_no_path_of_the_nfs_own(tmp_path):
    """OpenNetVM's own paths are answered; those within the NF's folder are the NF's."""
    folder = tmp_path / "onvm" / "examples" / "own"
    (folder / "libs").mkdir(parents=True)
    (folder / "three.c").write_text("int three(void) { return 3; }\n")
    subprocess.run(["gcc", "-c", "-o", "three.o", "three.c"], cwd=folder, check=True)
    subprocess.run(["ar", "rc", "libs/libthree.a", "three.o"], cwd=folder, check=True)
    assert built_and_run(tmp_path, folder, {
        "include/near.h": "#define NEAR 1\n", "far/far.h": "#define FAR 2\n",
        "onvm/onvm_nflib.h": '#error "not this copy"\n',
        "own.c": '#include <near.h>\n#include <far.h>\n#include <onvm_nflib.h>\n'
                 "int three(void);\n"
                 'int main(void) { printf("%d", NEAR + FAR + three()); return 0; }\n',
        "Makefile": "include $(RTE_SDK)/mk/rte.vars.mk\nSRCS-y := own.c\n"
                    "CFLAGS += -I$(SRCDIR)/include -isystem $(CURDIR)/far -I$(SRCDIR)/onvm\n"
                    "CFLAGS += -I$(SRCDIR)/../../onvm/onvm_nflib\n"
                    "LDFLAGS += -L$(SRCDIR)/libs -lthree -L$(SRCDIR)/../../onvm/lib\n"}) == "6"


def test_instructions_that_an_nf_needs_are_kept_its_processor_is_not(tmp_path):
    assert built_and_run(tmp_path, tmp_path / "nf", {
        "nf.c": "#include <stdio.h>\n#if !defined(__AES__) || !defined(__PCLMUL__)\n"
                '#error "the Makefile says more"\n#endif\n'
                'int main(void) { printf("built"); return 0; }\n',
        "Makefile": "SRCS-y := nf.c\nCFLAGS += -maes -mpclmul -march=znver99 -mtune=nobodys\n"
                    }) == "built"


CXX = '#include <onvm_nflib.h>\n#include <string>\nint main() { puts(std::string("C++").c_str()); }\n'
C = '#include <stdio.h>\nint main(void) { const char *class = "C"; puts(class); return 0; }\n'


@pytest.mark.parametrize("makefile, source, said", [
    ("CC = g++\n", CXX, "C++"), ("CC := $(CROSS)g++-12\nCFLAGS += -std=c++11 -O3\n", CXX, "C++"),
    ("CFLAGS += -std=gnu++17\n", CXX, "C++"),
    ("CC = gcc\nCFLAGS += -std=gnu99\n", C, "C"), ("CXXFLAGS += -std=c++11\n", C, "C"),
    ("", C, "C")])
def test_sources_named_c_are_what_their_makefile_says(tmp_path, makefile, source, said):
    assert built_and_run(tmp_path, tmp_path / "nf", {
        "nf.c": source, "Makefile": "SRCS-y := nf.c\n" + makefile}) == said + "\n"


def test_a_folder_of_folders_names_them(tmp_path):
    (tmp_path / "Makefile").write_text("DIRS-y += bridge\nDIRS-y += monitor\n")
    done = build(tmp_path, tmp_path)
    assert done.returncode == 1 and "sub-folders: bridge monitor" in done.stderr, done


@pytest.mark.parametrize("name", ["cipher", "speed", "firewall"])
def test_folders_of_opennetvms_form_are_built_as_they_are(platform, name, tmp_path):
    """By onvm_build.sh: several sources, definitions and libraries of the Makefile's own."""
    output = tmp_path / "build"
    done = build(tmp_path, "--output", output, REPO / "tests" / "onvm" / name)
    assert done.returncode == 0, done
    assert (NFS / name).exists()
    frames = [udp("10.1.2.3", "10.0.0.2", 5, i, bytes([i % 256]) * (1 + i % 100)) for i in range(50)]
    if name == "speed":
        platform.start_manager("--port", "null", "--routes",
                               platform.write("routes.csv", "*, rx, drop\n*, speed, tx\n"))
        capture = platform.capture("replay.pcap", frames)
        nf = start(platform, name, "-o", capture, "-n", "5000", wait=False, program=output / name)
        nf.expect(0)
        assert re.search(r"packets 32, rounds \d{4,}", nf.stdout), nf.report()
        stats = platform.stop()
        assert platform.nf("speed", stats)["originated"] == 32
        return
    rules = platform.write("rules.json", '{"a": {"ip": "10.1.0.0", "depth": 16, "action": 0}}')
    nf, _ = play(platform, frames, name, *(["-f", rules] if name == "firewall" else []),
                 program=output / name)
    assert len(sent(platform)) == len(frames)
    if name == "cipher":
        assert f"changed 50, seed {0x2545f491}" in nf.stdout
    else:
        assert "accepted 50" in nf.stdout
