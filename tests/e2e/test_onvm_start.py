"""./start_nf.sh --onvm: every form of the command line, supervision, and what is refused."""

import json
import os
import signal
import subprocess

import pytest

from captures import read_capture
from harness import REPO, all_captures, summed
from onvm_nfs import NFS

ROUTES = "*, rx, simple\n*, simple, tx\n"


@pytest.fixture(scope="module", autouse=True)
def built():
    """What start_nf.sh would otherwise do within a test's deadline."""
    subprocess.run([REPO / "scripts" / "build.sh"], check=True)


def start(platform, *words, program=NFS / "simple", wait=None):
    """@param wait: how many processes of service simple are to run"""
    nf = platform.spawn("start_nf", ["env", "-C", platform.folder, f"HB_PREFIX={platform.prefix}",
                                     REPO / "start_nf.sh", "--onvm", program, *words])
    if wait:
        platform.wait_instances("simple", wait, nf)
    return nf


def running(platform):
    """(service, its number) of all that run."""
    return {(nf["service"], nf["service_id"]) for nf in platform.status()["nfs"]
            if nf["state"] == "running"}


CONFIG = {"dpdk": {"corelist": "0", "memory_channels": 3, "portmask": 1},
          "onvm": {"output": "stdout", "serviceid": 5}}


@pytest.mark.parametrize("words, number", [
    (["--", "-p", "10"], 1),
    ([], 1),
    (["-r", "7", "--", "-p", "10"], 7),
    (["-r7", "-t", "1000", "-m"], 7),
    (["6", "-p", "10"], 6),
    (["-l", "0", "-n", "3", "--proc-type=secondary", "--", "-r", "8", "-s", "--", "-p", "9"], 8),
    (["-F", "nf.json"], 5),
    (["-F", "nf.json", "--", "--", "-p", "10"], 5),
    (["-F", "nf.json", "--", "-r", "4", "--", "-p", "10"], 4),
])
def test_every_form_of_the_command_line(platform, words, number):
    source = next(path for path in all_captures() if path.name == "zeek-web.pcap")
    platform.write("nf.json", json.dumps(CONFIG))
    target = platform.folder / "out.pcap"
    platform.spawn_manager("--exit-when-drained", "--routes", platform.write("routes.csv", ROUTES),
                           "--port", f"pcap:rx={source},tx={target}")
    platform.wait_ready()
    nf = start(platform, *words)
    stats = platform.finish()
    assert platform.nf("simple", stats)["service_id"] == number
    assert ("IPv4: " in nf.stdout) == ("-p" in words), nf.report()
    assert read_capture(target) == read_capture(source)
    assert (platform.folder / "simple_stats.csv").exists()


def test_services_get_numbers_by_themselves_and_keep_them(platform):
    """So that -d finds them; several of one tag are instances of one service."""
    platform.start_manager("--port", "null")
    first = start(platform, wait=1)
    bridge = start(platform, program=NFS / "bridge")
    platform.wait_for(lambda status: platform.nf("bridge", status).get("state") == "running",
                      "bridge is running")
    start(platform, wait=2)
    assert running(platform) == {("simple", 1), ("bridge", 2)}
    third = start(platform, program=NFS / "sink")
    platform.wait_for(lambda status: platform.nf("sink", status).get("state") == "running",
                      "sink is running")
    for nf in (bridge, first):
        nf.ctrl_c()
        nf.expect(0)
    third.ctrl_c()
    start(platform, program=NFS / "bridge")
    platform.wait_for(lambda status: ("bridge", 2) in running(platform), "it has its number again")
    assert "ID" in platform.hbctl("nfs")
    platform.stop()


def test_ctrl_c_and_hbctl_stop_end_it_cleanly(platform):
    platform.start_manager("--port", "null", "--routes", platform.write("routes.csv", ROUTES))
    for end in (lambda nf: nf.ctrl_c(), lambda nf: platform.hbctl("stop", "simple")):
        nf = start(platform, wait=1)
        platform.wait_traffic()
        end(nf)
        nf.expect(0)
        platform.wait_state("simple", "stopped")
        platform.assert_audit()
    assert platform.nf("simple", platform.stop())["lost_in_crash"] == 0


def test_instances_scale_and_are_restarted(platform):
    platform.start_manager("--port", "null", "--routes", platform.write("routes.csv", ROUTES))
    supervisor = start(platform, "--restart", "on-failure", "--restart-wait", "50",
                       "--restart-limit=7", "--instances=2", wait=2)
    platform.hbctl("scale", "simple", "3")
    platform.wait_instances("simple", 3, supervisor)
    killed = platform.nf("simple", platform.status())["pid"]
    os.kill(killed, signal.SIGKILL)
    platform.wait_for(lambda status: any(nf.get("last_end") == "killed by SIGKILL"
                                         for nf in status["nfs"]), "its death is seen")
    platform.wait_instances("simple", 3, supervisor)
    assert sum(nf["restarts"] for nf in platform.status()["nfs"]) == 1
    assert "3 restarted" in platform.hbctl("restart", "simple")
    platform.wait_instances("simple", 3, supervisor)
    platform.wait_traffic()
    platform.assert_audit()
    platform.hbctl("stop", "simple")
    supervisor.expect(0)
    stats = platform.stop()
    assert summed(stats)["lost_in_crash"] <= 64


def test_a_parent_with_children_is_restarted_with_them(platform):
    """All its instances die with one process, and wait for one successor."""
    routes = platform.write("routes.csv", "*, rx, scaler\n*, scaler, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    supervisor = start(platform, "--restart", "on-failure", "--", "-n", "2",
                       program=NFS / "scaler")
    platform.wait_instances("scaler", 3, supervisor)
    for _ in range(2):
        old = platform.nf("scaler", platform.status())["pid"]
        os.kill(old, signal.SIGKILL)
        platform.wait_for(lambda status: [
            nf["state"] for nf in status["nfs"] if nf["pid"] not in (0, old)] == ["running"] * 3,
            "another process with two children runs")
        platform.assert_audit()
    supervisor.ctrl_c()
    supervisor.expect(0)
    stats = platform.stop()
    assert len(platform.instances("scaler", stats)) == 3, "the dead ones' places were taken"


@pytest.mark.parametrize("program, words, said", [
    ("nowhere", [], "onvm_build.sh"),
    (".", [], "is a folder"),
    ("routes.csv", [], "is not a program"),
    (NFS / "simple", ["-r", "32"], "1 to 31"),
    (NFS / "simple", ["-r", "0"], "1 to 31"),
    (NFS / "simple", ["-q"], "'-q' is not known"),
    (NFS / "simple", ["-t", "none"], "-t 'none'"),
    (NFS / "simple", ["-r", "7", "word", "-m", "--", "-p", "1"], "'word' does not belong"),
    (NFS / "simple", ["-F", "nf.json", "-r", "7", "--", "-p", "1"], "two '--'"),
    (NFS / "simple", ["--prefix"], "--prefix"),
    (NFS / "simple", ["--restart", "sometimes"], "sometimes"),
    (NFS / "simple", ["--restart-wait", "soon"], "soon"),
    (NFS / "simple", ["-F", "nowhere.json"], "nowhere.json"),
    (NFS / "simple", ["-F", "/"], "can't be read"),
    (NFS / "simple", ["-F", "routes.csv"], "routes.csv"),
    (NFS / "simple", ["--prefix", "nobody-has-this"], "no manager is running"),
])
def test_what_makes_no_sense_is_refused_with_a_line(platform, program, words, said):
    platform.start_manager("--port", "null", "--routes", platform.write("routes.csv", ROUTES))
    nf = start(platform, *words, program=program)
    nf.expected_status = 1
    nf.expect(1)
    lines = [line for line in (nf.stdout + nf.stderr).splitlines() if line.strip()]
    assert len(lines) == 1 and said in lines[0], nf.report()
    platform.assert_audit()
    platform.stop()
