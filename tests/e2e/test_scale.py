"""Several processes offer one service: flows keep their instance and their order."""

import pytest

from harness import read_capture, summed

CHAIN = "*, rx, forward\n*, forward, tx\n"
N_FLOWS = 64


def frame(flow, number):
    """An Ethernet, IPv4, UDP frame of a flow, with its number in that flow as payload."""
    udp = (1000 + flow).to_bytes(2, "big") + (53).to_bytes(2, "big") + (16).to_bytes(2, "big") + b"\0\0"
    payload = number.to_bytes(8, "big")
    head = bytes([0x45, 0]) + (36).to_bytes(2, "big") + bytes(4) + bytes([64, 17]) + b"\0\0"
    ip = head + bytes([10, 0, flow >> 8, flow & 255]) + bytes([10, 1, 0, 1])
    ether = b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0\x02" + b"\x08\x00"
    return (ether + ip + udp + payload).ljust(60, b"\0")


def flow_and_number(data):
    return int.from_bytes(data[34:36], "big") - 1000, int.from_bytes(data[42:50], "big")


def interleaved(n_packets):
    """Frames of all flows in turn."""
    return [frame(i % N_FLOWS, i // N_FLOWS) for i in range(n_packets)]


def assert_flows_in_order(frames, complete=True):
    """In each flow numbers rise; from 0 without a gap if none may be missing."""
    last = {}
    for data in frames:
        flow, number = flow_and_number(data)
        expected = last.get(flow, -1) + 1
        assert number == expected if complete else number >= expected, (flow, number, last)
        last[flow] = number


def test_a_second_process_shares_the_flows(platform):
    """Each instance gets part of the flows; what they send is all of it, each flow in order."""
    frames = interleaved(20_000)
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, last\n*, last, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    platform.start_nf("forward")
    platform.start_nf("forward")
    platform.start_nf("forward", service="last")
    stats = platform.finish()
    shares = platform.instances("forward", stats)
    assert sorted(shares) == [0, 1]
    assert sum(nf["rx"] for nf in shares.values()) == len(frames)
    assert all(nf["rx"] > len(frames) // 4 for nf in shares.values()), shares
    received = read_capture(target)
    assert len(received) == len(frames)
    assert_flows_in_order(received)


def test_instances_join_and_leave_under_traffic(platform):
    """One, three, one: nothing is lost, and hbctl names each instance."""
    routes = platform.write("routes.csv", CHAIN)
    platform.start_manager("--port", "null", "--routes", routes)
    nfs = [platform.start_nf("forward")]
    platform.wait_traffic()
    for _ in range(2):
        nfs.append(platform.start_nf("forward"))
        platform.wait_traffic()
    shown = platform.hbctl("nfs")
    for number in range(3):
        assert f"forward/{number}" in shown, shown
    platform.hbctl("stop", "forward/1")
    nfs[1].expect(0)
    platform.wait_for(lambda status: platform.instances("forward", status)[1]["state"] == "stopped",
                      "forward/1 has stopped")
    assert platform.instances("forward", platform.status())[2]["state"] == "running"
    nfs[2].ctrl_c()
    nfs[2].expect(0)
    platform.wait_traffic()
    platform.assert_audit()
    again = platform.start_nf("forward")
    status = platform.status()
    assert platform.instances("forward", status)[1]["pid"] == again.pid, "the lowest free number"
    platform.hbctl("stop", "forward")
    for nf in (nfs[0], again):
        nf.expect(0)
    stats = platform.stop()
    assert sum(nf["lost_in_crash"] for nf in stats["nfs"]) == 0


def test_drops_are_counted_for_the_instance_that_dropped(platform):
    frames = interleaved(10_000)
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, steer\n*, steer, last\n*, last, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    for _ in range(2):
        platform.start_nf("steer", "--drop", "--every", "2")
    platform.start_nf("forward", service="last")
    stats = platform.finish()
    for nf in platform.instances("steer", stats).values():
        assert nf["drops"] == {"every_nth": nf["rx"] // 2}, nf
        assert nf["tx"] == nf["rx"] - nf["rx"] // 2


def test_one_of_several_instances_is_killed(platform):
    """Its packets in hand are lost and counted; the others take its flows, in order."""
    frames = interleaved(60_000)
    source, target = platform.capture("in.pcap", frames), platform.folder / "out.pcap"
    routes = platform.write("routes.csv", "*, rx, steer\n*, steer, last\n*, last, tx\n")
    platform.start_manager("--exit-when-drained", "--routes", routes, "--port",
                           f"pcap:rx={source},tx={target}")
    nfs = [platform.start_nf("steer", "--burst-us", "500") for _ in range(3)]
    platform.start_nf("forward", service="last")
    platform.wait_for(lambda status: summed(status)["tx"] > 1000, "traffic")
    nfs[1].kill()
    stats = platform.finish()
    received = read_capture(target)
    assert_flows_in_order(received, complete=False)
    lost = platform.instances("steer", stats)[1]["lost_in_crash"]
    assert lost <= 64
    assert len(received) == len(frames) - lost - stats["drops"].get("missing_nf", 0)


@pytest.mark.parametrize("first, second, arguments, words", [
    ("forward", "steer", ["--service", "forward"], ["forward", "steer"]),
    ("forward", "forward", ["--gpu"], ["forward", "CPU", "GPU"]),
    ("lonely", "lonely", [], ["lonely", "only one"]),
], ids=["another-program", "another-compute", "single"])
def test_who_may_not_join_is_refused(platform, first, second, arguments, words):
    platform.start_manager("--port", "null")
    platform.start_nf(first)
    platform.spawn_nf(second, *arguments).expect_refusal(*words)
    platform.wait_traffic()
    platform.stop()
