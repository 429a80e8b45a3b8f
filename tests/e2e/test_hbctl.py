"""hbctl and the control socket behind it."""

import json
import socket
import subprocess

import pytest

from harness import BUILD, assert_nothing_left

NULL = ["--port", "null"]


def hbctl(platform, *words):
    return platform.spawn("hbctl", [BUILD / "bin" / "hbctl", *words, "--prefix", platform.prefix])


@pytest.mark.parametrize("words", [["status"], ["nfs"], ["audit"], ["stop", "forward"]],
                         ids=" ".join)
def test_hbctl_without_a_manager_says_so(platform, words):
    hbctl(platform, *words).expect_refusal(platform.prefix, "manager")
    assert_nothing_left(platform.prefix)


@pytest.mark.parametrize("words, named", [([], "--help"), (["bogus"], "bogus"),
                                          (["status", "--bogus"], "--bogus"), (["stop"], "NF"),
                                          (["stop", "absent"], "absent")])
def test_hbctl_refuses(idle_platform, words, named):
    hbctl(idle_platform, *words).expect_refusal(named)


def test_hbctl_sees_nfs_come_and_go(platform):
    def ask(*words):
        done = subprocess.run([BUILD / "bin" / "hbctl", *words, "--prefix", platform.prefix],
                              check=True, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout

    platform.start_manager(*NULL)
    assert json.loads(ask("nfs", "--json")) in ([], {"nfs": []})
    forward = platform.start_nf("forward", service="mine")
    assert "mine" in ask("nfs") and "running" in ask("nfs")
    assert "mine" in ask("nfs", "--json")
    status = json.loads(ask("status", "--json"))
    assert status["ports"] and status["nfs"]
    assert "mine" in ask("status")
    assert json.loads(ask("audit", "--json"))["ok"] is True
    ask("audit")
    ask("stop", "mine")
    forward.expect(0)
    platform.wait_state("mine", "stopped")
    assert "running" not in ask("nfs")
    platform.stop()


def test_hbctl_audit_places_every_packet_under_load(platform):
    platform.start_manager(*NULL)
    platform.start_nf("forward")
    for _ in range(5):
        platform.wait_traffic()
        platform.assert_audit()
    platform.stop()


def test_the_manager_does_not_mind_strange_clients(platform):
    """Nonsense over the control socket is refused; nobody else notices."""
    platform.start_manager(*NULL)
    platform.start_nf("forward")
    path = f"/run/hummingbird/{platform.prefix}/control.sock"
    blobs = [b"", b"x", b"[]", b"{}", b'{"op":5}', b'{"op":"register"}', b'{"op":"nonsense"}',
             b'{"op":"register","role":"nf","service":7}', b'{"op":"ready"}', b'{"op":"bye"}',
             b'{"op":"stop"}', b'{"op":"register","role":"gpu_host"}', b"\xff" * 1000,
             b'{"op":' * 10_000, b'{"op":"stop_service"}', b'{"op":"stop_service","service":[]}']
    for blob in blobs:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.connect(path)
            client.send(blob)
            client.settimeout(0.05)
            try:
                client.recv(1 << 16)
            except (TimeoutError, ConnectionResetError):
                pass
    idle = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(100)]
    for client in idle:
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:
            pass
    for client in idle:
        client.close()
    platform.wait_traffic()
    platform.stop()


def test_reload_reaches_the_nf_under_traffic_and_its_answer_comes_back(platform):
    def reload(*words):
        return subprocess.run([BUILD / "bin" / "hbctl", "reload", "steer", *words, "--prefix",
                               platform.prefix], capture_output=True, text=True, check=False)

    platform.start_manager(*NULL)
    platform.start_nf("steer", "--drop", "--every", "1000000000")
    platform.wait_works("steer")
    done = reload("--every", "2")
    assert (done.returncode, done.stdout, done.stderr) == (
        0, "steer: treats every 2 packets\n", ""), done
    platform.wait_for(lambda status: platform.nf("steer", status)["drops"].get("every_nth", 0) > 100,
                      "steer drops every other packet")
    done = reload("--every", "none")
    assert done.returncode == 1 and "reload wants --every N" in done.stderr, done
    platform.start_nf("forward")
    hbctl(platform, "reload", "forward").expect_refusal("nothing that can be reloaded")
    hbctl(platform, "reload", "absent").expect_refusal("absent")
    platform.stop()
