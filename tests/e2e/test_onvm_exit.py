"""rte_exit() anywhere in an OpenNetVM NF: the process ends with the NF's words and status."""

import pytest

from machine import assert_nothing_left
from onvm_nfs import start

ROUTES = "*, rx, quitter\n*, quitter, tx\n"


@pytest.mark.parametrize("args", [(), ("-s", "0"), ("-p",), ("-c",), ("-p", "-c")])
def test_rte_exit_ends_it_with_its_words_and_status(platform, args):
    """Though the library's threads go on working until the process is gone."""
    platform.start_manager("--port", "null", "--routes", platform.write("routes.csv", ROUTES),
                           "--nf-timeout", "60000")  # its last words take long
    status = 0 if "-s" in args else 7
    nf = start(platform, "quitter", "-w", "1300", *args, wait=False)
    nf.expected_status = status
    nf.expect(status)
    lines = nf.stderr.splitlines()
    assert lines[-1] == "quitter's last words", "what it registered with atexit() has run"
    assert lines[-2].endswith("quitter has had enough"), nf.report()
    assert ("Error - exiting with code: 7" in nf.stderr) == (status != 0)
    instances = platform.instances("quitter", platform.wait_state("quitter", "failed")).values()
    assert [i["state"] for i in instances] == ["failed"] * (2 if "-c" in args else 1)
    platform.assert_audit()
    platform.stop()
    assert_nothing_left(platform.prefix)
