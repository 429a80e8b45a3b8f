"""ipsec end to end: two gateways in two processes, other implementations at the far end, kills."""

import os
import shutil
import subprocess

import pytest

from captures import CAPTURES, all_captures, read_capture, write_capture
from harness import BUILD, drops_of

SRC, DST = "192.0.2.1", "192.0.2.2"
AES128, AES256 = bytes(range(16)).hex(), bytes(range(100, 132)).hex()
SALT = "a0a1a2a3"
SHA1, SHA256 = bytes(range(50, 70)).hex(), bytes(range(60, 92)).hex()

TRANSFORMS = {
    "cbc128-sha1": f"enc cbc(aes) 0x{AES128} auth-trunc hmac(sha1) 0x{SHA1} 96",
    "cbc256-sha256": f"enc cbc(aes) 0x{AES256} auth-trunc hmac(sha256) 0x{SHA256} 128",
    "gcm128": f"aead rfc4106(gcm(aes)) 0x{AES128}{SALT} 128",
    "gcm256": f"aead rfc4106(gcm(aes)) 0x{AES256}{SALT} 128",
}
transforms = pytest.mark.parametrize("transform", TRANSFORMS)


def sa_line(transform, spi=0x301, src=SRC, dst=DST, more="replay-window 64"):
    return (f"ip xfrm state add src {src} dst {dst} proto esp spi {spi:#x} reqid 1 mode tunnel "
            f"{TRANSFORMS[transform]} {more}\n")


def inner_packets(path):
    """Frames of a capture with an IP packet, without what lies behind it, and how many others."""
    kept, others = [], 0
    for frame in read_capture(path):
        at, kind = 12, frame[12:14]
        while kind in (b"\x81\x00", b"\x88\xa8", b"\x91\x00") and at < 20:
            at += 4
            kind = frame[at:at + 2]
        ip = frame[at + 2:]
        if kind == b"\x08\x00" and len(ip) >= 20:
            size = int.from_bytes(ip[2:4], "big")
        elif kind == b"\x86\xdd" and len(ip) >= 40:
            size = 40 + int.from_bytes(ip[4:6], "big")
        else:
            size = 0
        if 20 <= size <= min(len(ip), 1900):  # larger ones and ESP around don't fit a buffer
            kept.append(frame[:at + 2 + size])
        else:
            others += 1
    return kept, others


def play(platform, source, target, nfs):
    """A file through NFs that follow one another: [(name, arguments)]."""
    names = [f"ipsec{number}" for number in range(len(nfs))]
    hops = "".join(f"*, {a}, {b}\n" for a, b in zip(["rx"] + names, names + ["tx"]))
    routes = platform.write("routes.csv", hops)
    return platform.run(["--port", f"pcap:rx={source},tx={target}", "--routes", routes],
                        [("ipsec", *arguments, {"service": name})
                         for name, arguments in zip(names, nfs)])


@transforms
def test_two_processes_and_a_capture_between_them(make_platform, tmp_path, transform):
    """What one process seals another one opens, byte for byte, IPv4 and IPv6, every capture's."""
    sa = tmp_path / "sa"
    sa.write_text(sa_line(transform, more="replay-window 64 flag esn"))
    frames, others = [], 0
    for path in all_captures():
        kept, left = inner_packets(path)
        frames += kept
        others += left
    assert len(frames) > 3000
    source = write_capture(tmp_path / "in.pcap", frames)
    sealed, opened = tmp_path / "esp.pcap", tmp_path / "out.pcap"
    stats = play(make_platform(), source, sealed, [["--sa", sa, "--direction", "encrypt"]])
    assert drops_of(stats, "ipsec0") == {}
    between = read_capture(sealed)
    assert len(between) == len(frames)
    assert len({frame[-60:] for frame in between}) == len(between)
    stats = play(make_platform(), sealed, opened, [["--sa", sa, "--direction", "decrypt"]])
    assert drops_of(stats, "ipsec0") == {}
    assert read_capture(opened) == frames


def test_a_chain_of_both_directions(make_platform, tmp_path):
    """In one platform, and a second pass of the same packets is a replay."""
    sa = tmp_path / "sa"
    sa.write_text(sa_line("gcm128", src="2001:db8::1", dst="2001:db8::2"))
    frames, _ = inner_packets(CAPTURES / "zeek-wikipedia.pcap")
    source = write_capture(tmp_path / "in.pcap", frames)
    target, sealed = tmp_path / "out.pcap", tmp_path / "esp.pcap"
    seal, unseal = [["--sa", sa, "--direction", way] for way in ("encrypt", "decrypt")]
    play(make_platform(), source, target, [seal, unseal])
    assert read_capture(target) == frames
    play(make_platform(), source, sealed, [seal])
    twice = write_capture(tmp_path / "twice.pcap", read_capture(sealed) * 2)
    stats = play(make_platform(), twice, target, [unseal])
    assert drops_of(stats, "ipsec0") == {"replay": len(frames)}
    assert read_capture(target) == frames


# Other implementations ---------------------------------------------------------------------------


def scapy_sa(transform, esn=False):
    ipsec = pytest.importorskip("scapy.layers.ipsec")
    inet = pytest.importorskip("scapy.layers.inet")
    key = bytes.fromhex(AES256 if "256" in transform.split("-")[0] else AES128)
    keywords = {"spi": 0x301, "tunnel_header": inet.IP(src=SRC, dst=DST)}
    if "gcm" in transform:
        keywords |= {"crypt_algo": "AES-GCM", "crypt_key": key + bytes.fromhex(SALT)}
    else:
        sha256 = "sha256" in transform
        keywords |= {"crypt_algo": "AES-CBC", "crypt_key": key,
                     "auth_algo": "SHA2-256-128" if sha256 else "HMAC-SHA1-96",
                     "auth_key": bytes.fromhex(SHA256 if sha256 else SHA1)}
    return ipsec.SecurityAssociation(ipsec.ESP, **keywords)


@transforms
def test_scapy_opens_what_is_sealed_here_and_seals_what_is_opened_here(make_platform, tmp_path,
                                                                       transform):
    inet = pytest.importorskip("scapy.layers.inet")
    sa = tmp_path / "sa"
    sa.write_text(sa_line(transform))
    mac = b"\x02" * 12 + b"\x08\x00"
    packets = [bytes(inet.IP(src="10.1.0.1", dst="10.2.0.1", ttl=9) / inet.UDP(sport=1, dport=2)
                     / bytes(range(size % 256)))for size in range(200)]
    source = write_capture(tmp_path / "in.pcap", [mac + packet for packet in packets])
    sealed = tmp_path / "esp.pcap"
    play(make_platform(), source, sealed, [["--sa", sa, "--direction", "encrypt"]])
    peer = scapy_sa(transform)
    for frame, packet in zip(read_capture(sealed), packets, strict=True):
        opened = peer.decrypt(inet.IP(frame[14:]), verify=True)
        assert bytes(opened) == packet
    peer = scapy_sa(transform)
    frames = [mac + bytes(peer.encrypt(inet.IP(packet))) for packet in packets]
    target = tmp_path / "out.pcap"
    play(make_platform(), write_capture(tmp_path / "scapy.pcap", frames), target,
         [["--sa", sa, "--direction", "decrypt"]])
    assert read_capture(target) == [mac + packet for packet in packets]


@transforms
def test_tshark_reports_good_icvs(make_platform, tmp_path, transform):
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not installed")
    sa = tmp_path / "sa"
    sa.write_text(sa_line(transform))
    frames, _ = inner_packets(CAPTURES / "zeek-wikipedia.pcap")
    source, sealed = write_capture(tmp_path / "in.pcap", frames), tmp_path / "esp.pcap"
    play(make_platform(), source, sealed, [["--sa", sa, "--direction", "encrypt"]])
    key = AES256 if "256" in transform.split("-")[0] else AES128
    cipher, auth, auth_key = {
        "cbc128-sha1": ("AES-CBC [RFC3602]", "HMAC-SHA-1-96 [RFC2404]", "0x" + SHA1),
        "cbc256-sha256": ("AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", "0x" + SHA256),
    }.get(transform, ("AES-GCM with 16 octet ICV [RFC4106]", "NULL", ""))
    secret = "0x" + key + (SALT if "gcm" in transform else "")
    entry = f'"IPv4","{SRC}","{DST}","0x301","{cipher}","{secret}","{auth}","{auth_key}"'
    command = ["tshark", "-r", sealed, "-o", "esp.enable_encryption_decode:TRUE",
               "-o", "esp.enable_authentication_check:TRUE", "-o", f"uat:esp_sa:{entry}",
               "-T", "fields", "-e", "esp.icv_good", "-e", "esp.icv_bad", "-e", "ip.src",
               "-e", "esp.sequence"]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unknown" in shown.stderr or "isn't a valid" in shown.stderr or shown.returncode != 0:
        entry = entry + ',"32-bit","0"'
        command[8] = f"uat:esp_sa:{entry}"
        shown = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in shown.stdout.splitlines()]
    assert len(rows) == len(frames)
    for number, (good, bad, addresses, sequence) in enumerate(rows):
        assert (good, bad) == ("1", "0"), f"frame {number + 1}: {rows[number]}"
        assert int(sequence) == number + 1
        if frames[number][12:14] == b"\x08\x00":
            inner = ".".join(str(byte) for byte in frames[number][26:30])
            assert addresses == f"{SRC},{inner}"


@pytest.mark.parametrize("capture,n_esp", [("zeek-ip6_esp.pcap", None),
                                           ("tcpdump-02-sunrise-sunset-esp.pcap", 8)])
def test_real_captures_of_other_gateways(make_platform, tmp_path, capture, n_esp):
    """Their transforms and keys are not ours: every packet has a reason, and none gets through.

    The SA has an SPI of the capture, so that its packets come as far as their ICV.
    """
    frames = read_capture(CAPTURES / capture)
    esp = [frame for frame in frames
           if (frame[12:14] == b"\x08\x00" and frame[23] == 50)
           or (frame[12:14] == b"\x86\xdd" and frame[20] == 50)]
    assert n_esp in (None, len(esp)) and esp
    six = esp[0][12:14] == b"\x86\xdd"
    at = 54 if six else 34
    address = ":".join(esp[0][i:i + 2].hex() for i in range(38, 54, 2)) if six else \
        ".".join(str(byte) for byte in esp[0][30:34])
    sa = tmp_path / "sa"
    sa.write_text(sa_line("cbc128-sha1", spi=int.from_bytes(esp[0][at:at + 4], "big"),
                          src="2001:db8::1" if six else SRC, dst=address))
    target = tmp_path / "out.pcap"
    stats = play(make_platform(), CAPTURES / capture, target,
                 [["--sa", sa, "--direction", "decrypt"]])
    drops = drops_of(stats, "ipsec0")
    assert sum(drops.values()) == len(frames)
    assert drops.get("not_esp", 0) + drops.get("not_ip", 0) == len(frames) - len(esp)
    assert drops.get("bad_icv", 0) + drops.get("malformed", 0) >= 1
    assert read_capture(target) == []


# State, keys, reload -----------------------------------------------------------------------------


def test_no_iv_comes_twice_over_a_hundred_kills(platform, tmp_path):
    """kill -9 under traffic: every packet that ever left has a sequence number and IV of its own."""
    sa = tmp_path / "sa"
    sa.write_text(sa_line("gcm128"))
    source = write_capture(tmp_path / "in.pcap", [bytes(60)])
    target = tmp_path / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, drop\n*, source, ipsec\n*, ipsec, tx:0\n")
    platform.start_manager("--routes", routes, "--port", f"pcap:rx={source},tx={target}")
    options = ["--sa", sa, "--direction", "encrypt"]
    ipsec = platform.start_nf("ipsec", *options)
    platform.start_nf("source", "--ipv4", "--count", "1000000000", "--at-once", "8")
    for _ in range(100):
        platform.wait_works("ipsec", 20)
        ipsec.kill()
        platform.wait_state("ipsec", "failed")
        ipsec = platform.start_nf("ipsec", *options)
    platform.wait_works("ipsec", 20)
    platform.stop()
    numbers, ivs, lives = [], set(), 0
    for frame in read_capture(target):
        assert frame[34:38] == (0x301).to_bytes(4, "big")
        numbers.append(int.from_bytes(frame[38:42], "big"))
        ivs.add(frame[42:50])
    assert len(ivs) == len(numbers)
    assert all(a < b for a, b in zip(numbers, numbers[1:])), "they grow in transmit order"
    # Each life began at a chunk of its own.
    lives = sum(1 for a, b in zip(numbers, numbers[1:]) if b // 1024 != a // 1024)
    assert lives >= 100


def test_a_replay_is_one_also_after_kills(make_platform, tmp_path):
    """The window survives: a successor refuses what the killed process let through."""
    sa = tmp_path / "sa"
    sa.write_text(sa_line("cbc128-sha1", more="replay-window 4096"))
    frames = list(dict.fromkeys(inner_packets(CAPTURES / "zeek-wikipedia.pcap")[0]))
    sealed, target = tmp_path / "esp.pcap", tmp_path / "out.pcap"
    play(make_platform(), write_capture(tmp_path / "in.pcap", frames), sealed,
         [["--sa", sa, "--direction", "encrypt"]])
    again = write_capture(tmp_path / "again.pcap", read_capture(sealed) * 2000)
    platform = make_platform()
    routes = platform.write("routes.csv", "*, rx, steer\n*, steer, ipsec\n*, ipsec, tx\n")
    # The file waits for both NFs.
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={again},tx={target}")
    options = ["--sa", sa, "--direction", "decrypt"]
    ipsec = platform.start_nf("ipsec", *options)
    platform.start_nf("steer", "--burst-us", "2000")

    def replayed(status):
        return drops_of(status, "ipsec").get("replay", 0)

    for _ in range(4):
        seen = replayed(platform.status())
        platform.wait_for(lambda status: replayed(status) > seen + 500, "replays are refused")
        ipsec.kill()
        platform.wait_state("ipsec", "failed")
        ipsec = platform.start_nf("ipsec", *options)
    platform.stop()
    received = read_capture(target)
    assert received and len(set(received)) == len(received)
    assert set(received) <= set(frames)


def mappings_with(pid, needles):
    """The mappings of a process that hold one of the byte strings: [(name, flags)]."""
    found, mapping = [], None
    regions = []
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            words = line.split()
            if "-" in words[0] and not words[0].endswith(":"):
                start, end = (int(word, 16) for word in words[0].split("-"))
                mapping = [start, end, words[1], words[5] if len(words) > 5 else "", []]
                regions.append(mapping)
            elif words[0] == "VmFlags:":
                mapping[4] = words[1:]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, mode, name, flags in regions:
            if "r" not in mode or name in ("[vvar]", "[vsyscall]") or "hugepages" in name:
                continue
            for at in range(start, end, 1 << 20):
                try:
                    memory.seek(at)
                    block = memory.read(min((1 << 20) + 64, end - at))
                except (OSError, ValueError):
                    break
                if any(needle in block for needle in needles):
                    found.append((name, flags))
    return found


def test_keys_are_only_in_memory_that_no_core_file_takes(platform, tmp_path):
    """Nor in the log, the status, or the file that survives."""
    sa = tmp_path / "sa"
    key = os.urandom(16)
    auth = os.urandom(20)
    sa.write_text(f"ip xfrm state add src {SRC} dst {DST} proto esp spi 0x301 mode tunnel "
                  f"enc cbc(aes) 0x{key.hex()} auth-trunc hmac(sha1) 0x{auth.hex()} 96\n")
    routes = platform.write("routes.csv", "*, rx, drop\n*, source, ipsec\n*, ipsec, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    ipsec = platform.start_nf("ipsec", "--sa", sa, "--direction", "encrypt")
    platform.start_nf("source", "--ipv4", "--count", "1000000000", "--at-once", "8")
    platform.wait_works("ipsec", 1000)
    needles = [key, auth, key.hex().encode(), auth.hex().encode()]
    holding = mappings_with(ipsec.pid, needles)
    assert holding, "the round keys begin with the key itself"
    assert all("dd" in flags for _, flags in holding), holding
    assert key.hex() not in str(platform.status())
    surviving = (platform.folder.__class__("/run/hummingbird") / platform.prefix
                 / "surviving-ipsec").read_bytes()
    assert not any(needle in surviving for needle in needles)
    platform.stop()
    assert key.hex() not in ipsec.stderr and auth.hex() not in ipsec.stderr
    assert "SA 0x301 to 192.0.2.2:" in ipsec.stderr


def reload_under_traffic(platform, sa, packets):
    """Gives a running ipsec a file with an error, which changes nothing and names its line, then
    another SA in place of 0x301."""
    def reload(*arguments):
        return subprocess.run([BUILD / "bin" / "hbctl", "--prefix", platform.prefix, "reload",
                               "ipsec", *arguments], capture_output=True, text=True, check=False)

    sa.write_text("nonsense\n")
    refused = reload()
    assert refused.returncode != 0 and f"{sa}:1:" in refused.stderr, refused
    other = sa.with_name("other")
    other.write_text(sa_line("cbc256-sha256", spi=0x999))
    taken = reload(other)
    assert taken.returncode == 0 and "1 SAs" in taken.stdout, taken
    sent = platform.nf("ipsec", platform.status())["tx"]
    platform.wait_for(lambda status: platform.nf("ipsec", status)["tx"] > sent + packets, "traffic")
    assert drops_of(platform.stop(), "ipsec") == {}


def assert_one_sa_after_the_other(frames):
    spis = [int.from_bytes(frame[34:38], "big") for frame in frames]
    assert set(spis) == {0x301, 0x999}
    assert spis == sorted(spis), "no packet takes the old SA after the new one"


def test_reload_under_traffic(platform, tmp_path):
    sa = tmp_path / "sa"
    sa.write_text(sa_line("gcm128"))
    source = write_capture(tmp_path / "in.pcap", [bytes(60)])
    target = tmp_path / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, drop\n*, source, ipsec\n*, ipsec, tx:0\n")
    platform.start_manager("--routes", routes, "--port", f"pcap:rx={source},tx={target}")
    platform.start_nf("ipsec", "--sa", sa, "--direction", "encrypt")
    platform.start_nf("source", "--ipv4", "--count", "1000000000", "--at-once", "8")
    platform.wait_works("ipsec", 100)
    reload_under_traffic(platform, sa, 10_000)
    assert_one_sa_after_the_other(read_capture(target))


@pytest.mark.parametrize("options,words", [
    ([], ["--sa"]),
    (["--sa", "/nonexistent"], ["/nonexistent", "No such file"]),
    (["--sa", "{bad}"], ["{bad}:2:", "hmac(md5)"]),
    (["--sa", "{good}"], ["{good}", "--direction"]),
    (["--sa", "{good}", "--direction", "sideways"], ["sideways"]),
    (["--sa", "{good}", "--mtu", "5"], ["--mtu"]),
    (["--sa", "{good}", "--gpu"], ["GPU"]),
])
def test_wrong_input_is_refused_with_one_line(idle_platform, tmp_path, options, words):
    names = {"bad": tmp_path / "bad.sa", "good": tmp_path / "good.sa"}
    names["bad"].write_text("\nip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi 257 "
                            "mode tunnel auth hmac(md5) 0x00 enc cbc(aes) 0x00\n")
    names["good"].write_text(sa_line("gcm128"))
    nf = idle_platform.spawn_nf("ipsec", *[option.format(**names) for option in options])
    nf.expect_refusal(*[word.format(**names) for word in words])
