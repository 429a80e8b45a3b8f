"""Who may talk to a manager, and what its files are."""

import os
import stat
import subprocess

import pytest

from harness import BUILD, DEADLINE_S, HUGEPAGES, files_of

NOBODY = 65534


def as_nobody(platform, *command):
    """Runs a command as another user, in a session that has no privilege left."""
    return subprocess.run(["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY),
                           "--clear-groups", *map(str, command)],
                          capture_output=True, text=True, timeout=DEADLINE_S, cwd="/")


@pytest.fixture
def readable_program(tmp_path_factory):
    """A copy of a program where another user can run it."""
    def copy(name, folder="bin"):
        target = f"/tmp/hb-e2e-{os.getpid()}-{name}"
        subprocess.run(["install", "-m", "755", BUILD / folder / name, target], check=True)
        made.append(target)
        return target

    made = []
    yield copy
    for path in made:
        os.unlink(path)


def test_all_files_are_the_owners_alone(platform):
    platform.start_manager("--port", "null")
    platform.start_nf("forward")
    folder = f"/run/hummingbird/{platform.prefix}"
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    names = os.listdir(folder)
    assert {"control.sock", "registry", "routes", "lock"} <= set(names)
    for name in names:
        assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600, name
    regions = [path for path in files_of(platform.prefix) if path.parent == HUGEPAGES]
    assert regions
    for path in regions:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    platform.stop()


@pytest.mark.parametrize("words", [["status"], ["stop", "forward"], ["audit"]], ids=" ".join)
def test_another_users_hbctl_is_refused(platform, readable_program, words):
    platform.start_manager("--port", "null")
    platform.start_nf("forward")
    done = as_nobody(platform, readable_program("hbctl"), "--prefix", platform.prefix, *words)
    assert done.returncode == 1 and done.stdout == "", done
    assert "belongs to another user" in done.stderr and done.stderr.count("\n") == 1, done
    platform.wait_works("forward", 100)
    platform.stop()


def test_another_user_is_refused_by_who_he_is(platform, readable_program):
    """Even where the files' modes would let him in."""
    platform.start_manager("--port", "null")
    folder = f"/run/hummingbird/{platform.prefix}"
    os.chmod(folder, 0o755)
    os.chmod(f"{folder}/control.sock", 0o666)
    done = as_nobody(platform, readable_program("hbctl"), "--prefix", platform.prefix, "status")
    assert done.returncode == 1 and done.stdout == "", done
    assert "belongs to another user" in done.stderr, done
    os.chmod(folder, 0o700)
    platform.stop()


def test_another_users_nf_is_refused(platform, readable_program):
    platform.start_manager("--port", "null")
    done = as_nobody(platform, readable_program("forward", "nfs"), "--prefix", platform.prefix)
    assert done.returncode == 1, done
    assert "belongs to another user" in done.stderr, done
    platform.stop()


@pytest.mark.parametrize("message", [
    {"op": "register"}, {"op": "register", "role": "gpu_host", "pid": 0},
    {"op": "scale", "service": ["x"], "instances": -1}, {"op": "restart"}, {"op": 7}, {},
    {"op": "stop_service", "service": None}, {"op": "child_ended", "pid": 1},
], ids=str)
def test_messages_that_make_no_sense_are_refused(platform, message):
    platform.start_manager("--port", "null")
    reply = platform.ask(message.pop("op", "nothing"), **message)
    assert reply["ok"] is False and reply["what"], reply
    platform.start_nf("forward")
    platform.wait_traffic()
    platform.stop()
