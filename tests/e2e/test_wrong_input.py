"""Wrong input: one clear line on stderr, a non-zero status, nothing left behind."""

import re

import pytest

from harness import BUILD, assert_nothing_left, write_capture

@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths by name: good ones, and files that are wrong in one way each."""
    folder = tmp_path_factory.mktemp("files")
    texts = {
        "good.csv": "*, rx, tx\n",
        "two-fields.csv": "*, rx, tx\n# comment\n\n*, forward\n",
        "no-rx.csv": "*, forward, tx\n",
        "bad-port.csv": "*, rx, forward\n*, forward, tx:7\n",
        "twice.csv": "*, rx, tx\n*, rx, drop\n",
        "binary.csv": "*, rx, tx\n\x01\x02\n",
        "bad-name.csv": "*, rx, for ward\n",
        "empty.csv": "",
        "bad-address.flows": "web, *, *, 10.0.0.0/8, 80, tcp\nweb, 10.0.0.256, *, *, *, tcp\n",
        "bad-length.flows": "web, 10.0.0.0/33, *, *, *, tcp\n",
        "bad-ports.flows": "web, *, 90-80, *, *, tcp\n",
        "bad-proto.flows": "web, *, *, *, *, tpc\n",
        "mixed.flows": "web, 10.0.0.1, *, ::1, *, *\n",
        "no.pcap": "this is no capture\n",
        "empty.pcap.txt": "",
        "good.table": "0.0.0.0/0, 0, 02:00:00:00:00:07\n",
        "bad-mac.table": "10.0.0.0/8, 0, 02:00:00:00:00:07\n11.0.0.0/8, 0, 02:00:00:00:00\n",
        "bad-prefix.table": "# table\n10.0.0.0/40, 0, 02:00:00:00:00:07\n",
        "bad-port.table": "10.0.0.0/8, 5, 02:00:00:00:00:07\n",
        "empty.table": "# nothing\n",
        "good.rules": 'alert tcp any any -> any any (msg:"a"; content:"a"; sid:1; rev:1;)\n',
        "no.rules": "this is no rule\nnor is this\n",
    }
    paths = {name: folder / name for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    paths["folder"] = folder
    paths["absent"] = folder / "absent"
    paths["good.pcap"] = write_capture(folder / "good.pcap", [bytes([2] * 60)] * 3)
    paths["wifi.pcap"] = write_capture(folder / "wifi.pcap", [bytes(60)], link_type=105)
    return paths


NULL = ["--port", "null"]
MANAGER_CASES = {
    # name: (arguments; {name} is a file, words of the message)
    "unknown option": ([*NULL, "--bogus"], ["--bogus"]),
    "stray word": ([*NULL, "stray"], ["stray"]),
    "option without value": ([*NULL, "--routes"], ["--routes"]),
    "no port": ([], ["--port"]),
    "unknown kind of port": (["--port", "ether:1"], ["ether:1"]),
    "empty port": (["--port", ""], ["--port"]),
    "unknown interface": (["--port", "af_packet:nosuchif0"], ["nosuchif0"]),
    "tap with a bad name": (["--port", "tap:this/is/no/name"], ["this/is/no/name"]),
    "null with a bad size": (["--port", "null:size=5"], ["size=5"]),
    "null too large": (["--port", "null:size=4096"], ["4096", "2048"]),
    "no such pci device": (["--port", "pci:0000:ff:1f.7"], ["ff:1f.7"]),
    "no pci address": (["--port", "pci:eth0"], ["eth0"]),
    "unknown vdev driver": (["--port", "vdev:net_nosuch0"], ["net_nosuch0"]),
    "vdev with bad arguments": (["--port", "vdev:net_pcap0,rx_pcap={absent}"], ["net_pcap0"]),
    "absent capture": (["--port", "pcap:rx={absent}"], ["absent", "No such file"]),
    "capture is a folder": (["--port", "pcap:rx={folder}"], ["no regular file"]),
    "no capture": (["--port", "pcap:rx={no.pcap}"], ["no.pcap"]),
    "empty file as capture": (["--port", "pcap:rx={empty.pcap.txt}"], ["empty.pcap.txt"]),
    "capture of another link": (["--port", "pcap:rx={wifi.pcap}"], ["Ethernet"]),
    "output folder is absent": (["--port", "pcap:rx={good.pcap},tx={absent}/out.pcap"], ["absent"]),
    "output is a folder": (["--port", "pcap:rx={good.pcap},tx={folder}"], ["folder"]),
    "output is the input": (["--port", "pcap:rx={good.pcap},tx={good.pcap}"], ["input"]),
    "same output twice": (["--port", "pcap:rx={good.pcap},tx={folder}/o.pcap",
                           "--port", "pcap:rx={good.pcap},tx={folder}/o.pcap"], ["o.pcap"]),
    "absent routes": ([*NULL, "--routes", "{absent}"], ["absent"]),
    "routes are a folder": ([*NULL, "--routes", "{folder}"], ["directory"]),
    "routes with two fields": ([*NULL, "--routes", "{two-fields.csv}"], ["two-fields.csv:4"]),
    "routes without rx": ([*NULL, "--routes", "{no-rx.csv}"], ["no-rx.csv", "rx"]),
    "routes to an absent port": ([*NULL, "--routes", "{bad-port.csv}"], ["bad-port.csv:2"]),
    "routes that say it twice": ([*NULL, "--routes", "{twice.csv}"], ["twice.csv:2", "line 1"]),
    "binary routes": ([*NULL, "--routes", "{binary.csv}"], ["binary.csv:2"]),
    "routes with a bad name": ([*NULL, "--routes", "{bad-name.csv}"], ["bad-name.csv:1"]),
    "empty routes": ([*NULL, "--routes", "{empty.csv}"], ["empty.csv"]),
    "absent flows": ([*NULL, "--flows", "{absent}"], ["absent"]),
    "flows with a bad address": ([*NULL, "--flows", "{bad-address.flows}"],
                                 ["bad-address.flows:2", "10.0.0.256"]),
    "flows with a bad length": ([*NULL, "--flows", "{bad-length.flows}"], ["bad-length.flows:1"]),
    "flows with bad ports": ([*NULL, "--flows", "{bad-ports.flows}"], ["bad-ports.flows:1"]),
    "flows with a bad protocol": ([*NULL, "--flows", "{bad-proto.flows}"], ["tpc"]),
    "flows with mixed addresses": ([*NULL, "--flows", "{mixed.flows}"], ["mixed.flows:1"]),
    "unknown gpu backend": ([*NULL, "--gpu", "vulkan"], ["vulkan"]),
    "no cuda device": ([*NULL, "--gpu", "cuda"], ["cuda"]),
    "no such gpu device": ([*NULL, "--gpu", "opencl", "--gpu-device", "9"], ["9"]),
    "work-groups 0": ([*NULL, "--workgroups", "0"], ["workgroups"]),
    "odd work-group size": ([*NULL, "--workgroup-size", "48"], ["power of two"]),
    "syncers 0": ([*NULL, "--syncers", "0"], ["syncers"]),
    "too many syncers": ([*NULL, "--syncers", "999"], ["syncers"]),
    "rx-threads 0": ([*NULL, "--rx-threads", "0"], ["rx-threads"]),
    "pool is a word": ([*NULL, "--pool", "many"], ["--pool"]),
    "pool too small": ([*NULL, "--pool", "7"], ["--pool"]),
    "pool too small for a file port": (["--port", "pcap:rx={good.pcap}", "--pool", "1024"],
                                       ["--pool", "1024"]),
    "pool too large for the machine": ([*NULL, "--pool", "8000000"], ["huge"]),
    "mbuf size too small": ([*NULL, "--mbuf-size", "10"], ["--mbuf-size"]),
    "mbuf size too large": ([*NULL, "--mbuf-size", "1000000"], ["--mbuf-size"]),
    "too many contexts": ([*NULL, "--max-contexts", "100000"], ["--max-contexts"]),
    "unknown idle": ([*NULL, "--idle", "lazy"], ["lazy"]),
    "unknown missing-nf": ([*NULL, "--missing-nf", "wait"], ["wait"]),
    "cores are a word": ([*NULL, "--cores", "all"], ["all"]),
    "a core that is not there": ([*NULL, "--cores", "4000"], ["4000"]),
    "stats in an absent folder": ([*NULL, "--stats", "{absent}/stats.json"], ["absent"]),
    "17 ports": (NULL * 17, ["17"]),
}


def filled(arguments, files):
    return [re.sub(r"\{([^}]*)\}", lambda match: str(files[match[1]]), word) for word in arguments]


@pytest.mark.parametrize("name", MANAGER_CASES)
def test_manager_refuses(platform, files, name):
    arguments, words = MANAGER_CASES[name]
    command = [BUILD / "bin" / "manager", "--prefix", platform.prefix]
    if "--gpu" not in arguments:
        command += ["--gpu", "none"]
    manager = platform.spawn("manager", command + filled(arguments, files))
    manager.expect_refusal(*words)
    assert_nothing_left(platform.prefix)
    assert len((files["good.pcap"]).read_bytes()) == 24 + 3 * 76  # inputs stay as they were


@pytest.mark.parametrize("prefix", ["", "a/b", "..", "with space", "x" * 25, "a,b"])
def test_manager_refuses_a_prefix_that_is_no_plain_word(platform, prefix):
    manager = platform.spawn("manager", [BUILD / "bin" / "manager", *NULL, "--prefix", prefix])
    manager.expect_refusal("prefix")


def test_a_second_manager_on_the_same_prefix_is_refused(platform):
    platform.start_manager(*NULL)
    platform.start_nf("forward")
    second = platform.spawn("second", [BUILD / "bin" / "manager", *NULL, "--gpu", "none",
                                       "--prefix", platform.prefix])
    second.expect_refusal(platform.prefix)
    platform.wait_traffic()
    platform.stop()


def test_help_goes_to_stdout_and_succeeds(platform):
    for program in ("bin/manager", "bin/hbctl", "nfs/forward", "nfs/router", "nfs/nids"):
        process = platform.spawn("help", [BUILD / program, "--help"])
        process.expect(0)
        assert process.stderr == "" and "--prefix" in process.stdout, process.report()


# NFs: (program, arguments, words of the message). The manager has one port and no GPU.
NF_CASES = {
    "unknown option": ("forward", ["--bogus"], ["--bogus"]),
    "unknown eal": ("forward", ["--eal", "public"], ["public"]),
    "cores are a word": ("forward", ["--cores", "all"], ["all"]),
    "a core that is not there": ("forward", ["--cores", "4000"], ["4000"]),
    "reserved service": ("forward", ["--service", "rx"], ["rx"]),
    "bad service name": ("forward", ["--service", "for ward"], ["for ward"]),
    "service name too long": ("forward", ["--service", "x" * 40], ["x" * 40]),
    "empty service name": ("forward", ["--service", ""], ["service"]),
    "gpu without a gpu": ("forward", ["--gpu"], ["GPU"]),
    "no gpu twin": ("router", ["--gpu", "--route-file", "{good.table}"], ["GPU"]),
    "router without a table": ("router", [], ["--route-file"]),
    "absent table": ("router", ["--route-file", "{absent}"], ["absent"]),
    "table with a bad mac": ("router", ["--route-file", "{bad-mac.table}"], ["bad-mac.table:2"]),
    "table with a bad prefix": ("router", ["--route-file", "{bad-prefix.table}"],
                                ["bad-prefix.table:2"]),
    "table to an absent port": ("router", ["--route-file", "{bad-port.table}"],
                                ["bad-port.table:1"]),
    "empty table": ("router", ["--route-file", "{empty.table}"], ["empty.table"]),
    "table is a folder": ("router", ["--route-file", "{folder}"], ["directory"]),
    "nids without rules": ("nids", ["--alerts", "/dev/null"], ["--rules"]),
    "absent rules": ("nids", ["--rules", "{absent}", "--alerts", "/dev/null"], ["absent"]),
    "no rules at all": ("nids", ["--rules", "{no.rules}", "--alerts", "/dev/null"],
                        ["no.rules:1"]),
    "rules are a folder": ("nids", ["--rules", "{folder}", "--alerts", "/dev/null"],
                           ["directory"]),
    "alerts in an absent folder": ("nids", ["--rules", "{good.rules}", "--alerts",
                                            "{absent}/alerts.json"], ["absent"]),
}


@pytest.mark.parametrize("nf", ["forward", "router", "nids"])
def test_an_nf_without_a_manager_is_refused(platform, files, nf):
    options = {"forward": [], "router": ["--route-file", files["good.table"]],
               "nids": ["--rules", files["good.rules"], "--alerts", "/dev/null"]}[nf]
    platform.spawn_nf(nf, *options).expect_refusal(platform.prefix, "manager")
    assert_nothing_left(platform.prefix)


@pytest.mark.parametrize("name", NF_CASES)
def test_nf_is_refused(idle_platform, files, name):
    nf, arguments, words = NF_CASES[name]
    idle_platform.spawn_nf(nf, *filled(arguments, files)).expect_refusal(*words)
    running = [nf for nf in idle_platform.status()["nfs"] if nf["state"] in ("running", "starting")]
    assert not running, running


def test_a_taken_service_name_is_refused(platform):
    platform.start_manager(*NULL)
    platform.start_nf("forward", service="mine")
    second = platform.spawn_nf("steer", service="mine")
    second.expect_refusal("mine", "forward", "steer")
    platform.wait_traffic()
    platform.stop()


def test_a_bad_alert_file_found_later_does_not_stop_traffic(platform, files):
    """A disk that is full: the NF says so, packets go on."""
    platform.start_manager(*NULL)
    platform.start_nf("nids", "--rules", files["good.rules"], "--alerts", "/dev/full")
    platform.wait_works("nids", 1000)
    platform.stop()


def test_malformed_rules_are_named_with_their_line_and_the_others_work(platform, files):
    """A file with some good rules loads; each wrong one is said with its line."""
    rules = platform.write("mixed.rules", files["good.rules"].read_text()
                           + "alert tcp any any -> any (msg:\"x\"; sid:2;)\n")
    platform.start_manager(*NULL)
    nids = platform.start_nf("nids", "--rules", rules, "--alerts", "/dev/null")
    assert f"{rules}:2" in nids.stderr, nids.report()
    platform.stop()


def test_no_hugepages_is_said(platform):
    """In a mount namespace without hugetlbfs."""
    command = ["unshare", "--mount", "sh", "-c",
               "umount -a -t hugetlbfs; exec \"$0\" \"$@\"", BUILD / "bin" / "manager", *NULL,
               "--gpu", "none", "--prefix", platform.prefix]
    manager = platform.spawn("manager", command)
    manager.expect_refusal("huge")
    assert_nothing_left(platform.prefix)
