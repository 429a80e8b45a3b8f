"""What any process of the same user may send to the manager's socket costs nobody but the sender."""

import os
import socket

import pytest

from harness import wait_until


@pytest.fixture(name="running")
def _running(platform):
    platform.start_manager("--port", "null:size=64")
    yield platform
    assert platform.status() is not None, platform.report()
    platform.assert_audit()
    platform.stop()


def connect(platform):
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.setblocking(False)
    client.connect(f"/run/hummingbird/{platform.prefix}/control.sock")
    return client


def test_a_client_that_never_reads_keeps_nobody_waiting(running):
    with connect(running) as client:
        def cut_off():
            try:
                client.send(b'{"op":"status"}')
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        wait_until(cut_off, "it is cut off")


@pytest.mark.parametrize("message", [
    b'{"op":"change","what":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    b'{"op":"register","build":{"x":[2.34e302]}}', b'{"op":"status","n":-0.5}',
    b"[" * 190_000, b'{"a":' * 30_000, b"\0\xff", b"null", b'{"op":{}}', b"x" * 190_000,
], ids=["deep-list", "huge-number", "negative-fraction", "open-lists", "open-objects", "bytes", "null", "wrong-type", "long"])
def test_a_message_that_makes_no_sense_is_refused(running, message):
    with connect(running) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        client.setblocking(True)
        client.settimeout(30)
        client.send(message)
        reply = client.recv(1 << 20)  # empty: the connection is closed
        assert not reply or b'"ok":false' in reply


@pytest.mark.parametrize("what", ["routes", "flows"])
def test_a_pipe_is_no_file_to_load(running, what):
    pipe = running.folder / "pipe"
    os.mkfifo(pipe)
    assert "regular file" in running.hbctl("reload", what, str(pipe), status=1)


def test_descriptors_that_nobody_wants_are_closed(running):
    def n_open():
        return len(os.listdir(f"/proc/{running.manager.pid}/fd"))

    before = n_open()
    with connect(running) as client, open(os.devnull, "rb") as file:
        for message in (b'{"op":"status"}', b'{"op":"register"}', b'{"op":"register","role":5}'):
            client.setblocking(True)
            socket.send_fds(client, [message], [file.fileno()] * 4)
            client.recv(1 << 20)
    # Fewer: a connection from before the test may not have been closed when they were counted.
    wait_until(lambda: n_open() <= before, "all are closed")
