"""Packet types decide the path: flows.csv, routes.csv, and NFs that change a packet's type."""

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether

from harness import drops_of, read_capture, write_capture

WEB4 = bytes(Ether(dst="02:00:00:00:00:02") / IP(dst="10.0.0.1") / TCP(dport=80) / b"web")
WEB6 = bytes(Ether(dst="02:00:00:00:00:02") / IPv6(dst="2001:db8::1") / TCP(dport=443) / b"web6")
DNS6 = bytes(Ether(dst="02:00:00:00:00:02") / IPv6(dst="2001:db8::2") / UDP(dport=53) / b"dns6")
SSH4 = bytes(Ether(dst="02:00:00:00:00:02") / IP(dst="10.0.0.2") / TCP(dport=22) / b"ssh")
ARP4 = bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP())

FLOWS = """# type, source, destination
web,    *, *,  10.0.0.0/8,    80,      tcp
web,    *, *,  2001:db8::/64, 440-450, tcp
names,  *, *,  2001:db8::/64, 53,      udp
"""


def ports(platform, frames, n_ports=3):
    """--port options: frames come in at port 0, the other inputs are empty."""
    write_capture(platform.folder / "empty.pcap", [])
    platform.capture("in.pcap", frames)
    words = []
    for port in range(n_ports):
        source = platform.folder / ("empty.pcap" if port else "in.pcap")
        words += ["--port", f"pcap:rx={source},tx={platform.folder / f'out{port}.pcap'}"]
    return words


def received(platform, n_ports=3):
    return [read_capture(platform.folder / f"out{port}.pcap") for port in range(n_ports)]


def test_two_flow_types_take_different_paths(platform):
    frames = [WEB4, DNS6, SSH4, WEB6, ARP4, WEB4, DNS6] * 50
    routes = platform.write("routes.csv", """
        web,   rx,    left
        web,   left,  right   # both
        web,   right, tx:1
        names, rx,    right
        names, right, tx:2
        *,     rx,    tx:0
    """)
    flows = platform.write("flows.csv", FLOWS)
    stats = platform.run([*ports(platform, frames), "--routes", routes, "--flows", flows],
                         [("forward", {"service": "left"}), ("forward", {"service": "right"})])
    assert received(platform) == [[SSH4, ARP4] * 50, [WEB4, WEB6, WEB4] * 50, [DNS6, DNS6] * 50]
    assert platform.nf("left", stats)["rx"] == 150
    assert platform.nf("right", stats)["rx"] == 250


def test_the_first_matching_flow_wins(platform):
    flows = platform.write("flows.csv", "one, *, *, 10.0.0.1, *, *\n"
                                        "two, *, *, 10.0.0.0/8, *, tcp\n"
                                        "three, *, *, *, *, *\n")
    routes = platform.write("routes.csv", "one, rx, forward\ntwo, rx, tx:1\nthree, rx, tx:2\n"
                                          "one, forward, tx:0\n")
    platform.run([*ports(platform, [WEB4, SSH4, WEB6, ARP4]), "--routes", routes,
                  "--flows", flows], [("forward",)])
    assert received(platform) == [[WEB4], [SSH4], [WEB6, ARP4]]


def test_a_type_without_a_route_is_dropped_as_unrouted(platform):
    routes = platform.write("routes.csv", "web, rx, forward\nweb, forward, tx:0\n"
                                          "names, rx, forward\n")
    flows = platform.write("flows.csv", FLOWS)
    stats = platform.run([*ports(platform, [WEB4, SSH4, ARP4, DNS6]), "--routes", routes,
                          "--flows", flows], [("forward",)])
    assert received(platform)[0] == [WEB4]
    assert stats["drops"] == {"unrouted": 3}


def test_an_nf_changes_the_type_and_so_the_path(platform):
    """steer gives every second packet the type `names`."""
    routes = platform.write("routes.csv", "*, rx, steer\nnames, steer, tx:2\n*, steer, tx:1\n")
    flows = platform.write("flows.csv", FLOWS)
    frames = [b"\x02" + bytes(12) + number.to_bytes(47, "big") for number in range(1000)]
    platform.run([*ports(platform, frames), "--routes", routes, "--flows", flows],
                 [("steer", "--every", "2", "--type", "names")])
    assert received(platform) == [[], frames[0::2], frames[1::2]]


def test_an_nf_names_the_service_or_the_port(platform):
    frames = [b"\x02" + bytes(12) + number.to_bytes(47, "big") for number in range(999)]
    routes = platform.write("routes.csv", "*, rx, first\n*, first, tx:0\n"
                                          "names, first, other\n*, other, tx:1\n")
    stats = platform.run(
        [*ports(platform, frames), "--routes", routes],
        [("forward", {"service": "other"}),
         ("steer", "--every", "3", "--to-service", "other", {"service": "first"})])
    assert received(platform)[1] == frames[2::3]
    assert received(platform)[0] == [f for i, f in enumerate(frames) if i % 3 != 2]
    assert platform.nf("other", stats)["rx"] == len(frames[2::3])


def test_an_nf_sends_out_of_a_port_and_drops_with_its_own_reason(platform):
    frames = [b"\x02" + bytes(12) + number.to_bytes(47, "big") for number in range(1000)]
    routes = platform.write("routes.csv", "*, rx, to-port\n*, to-port, dropper\n"
                                          "*, dropper, tx:0\n")
    stats = platform.run(
        [*ports(platform, frames), "--routes", routes],
        [("steer", "--every", "2", "--to-port", "2", {"service": "to-port"}),
         ("steer", "--every", "5", "--drop", {"service": "dropper"})])
    rest = frames[0::2]
    assert received(platform)[2] == frames[1::2]
    assert received(platform)[0] == [f for i, f in enumerate(rest) if i % 5 != 4]
    assert drops_of(stats, "dropper") == {"every_nth": 100}


def test_missing_nf_skip_goes_past_an_nf_that_does_not_run(platform):
    """Without --exit-when-drained nobody waits; `skip` follows the missing NF's route."""
    routes = platform.write("routes.csv", "*, rx, absent\n*, absent, forward\n*, forward, tx\n")
    platform.start_manager("--port", "null", "--routes", routes, "--missing-nf", "skip")
    platform.start_nf("forward")
    platform.wait_traffic()
    stats = platform.stop()
    assert "missing_nf" not in stats["drops"]


def test_missing_nf_drop_counts_for_each_nf(platform):
    routes = platform.write("routes.csv", "*, rx, forward\n*, forward, absent\n*, absent, tx\n")
    platform.start_manager("--port", "null", "--routes", routes)
    platform.start_nf("forward")
    platform.wait_for(lambda status: platform.nf("forward", status)["rx"] > 1000, "traffic")
    stats = platform.stop()
    assert stats["ports"][0]["tx_packets"] == 0
    assert stats["missing_nf"]["absent"] > 1000
    assert stats["drops"]["missing_nf"] == sum(stats["missing_nf"].values())
