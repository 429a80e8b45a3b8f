"""Fixtures of the end-to-end tests. Run with the build in $HB_BUILD (default: build/)."""

import os
import signal

import pytest

import harness
from net_namespace import NetNamespace


@pytest.fixture(scope="session", autouse=True)
def hugepages():
    if reason := harness.hugepages_missing():
        pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """A shell starts background jobs with SIGINT ignored, and programs inherit that: a Ctrl-C that
    came before a program has its own say would be lost."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def kills_processes_only():
    """To kill(), 0 is the caller's whole group: the tests themselves, and who runs them."""
    kill = os.kill

    def checked(pid, number):
        assert pid > 0, f"{pid} is no process: it has ended, or is yet to come"
        kill(pid, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "kill", checked)
        yield


@pytest.fixture
def make_platform(tmp_path):
    """Makes platforms that are cleaned up after the test; each has a prefix of its own."""
    made = []

    def make(**keywords):
        made.append(harness.Platform(tmp_path, **keywords))
        return made[-1]

    yield make
    for platform in made:
        platform.clean_up()


@pytest.fixture
def platform(make_platform):
    return make_platform()


@pytest.fixture
def net_namespace():
    namespace = NetNamespace()
    yield namespace
    namespace.remove()


@pytest.fixture(scope="module")
def idle_platform(tmp_path_factory, hugepages):
    """One manager with one port and no GPU, for programs that are refused: it must not mind any."""
    shared = harness.Platform(tmp_path_factory.mktemp("idle"))
    shared.start_manager("--port", "null")
    try:
        yield shared
        shared.stop()
    finally:
        shared.clean_up()
