"""Test hosts: network namespaces that a test makes and removes."""

import ctypes
import itertools
import json
import os
import socket
import subprocess

import harness

_counter = itertools.count()


class NetNamespace:
    """A network namespace of its own, with IPv6 off so that the kernel says nothing by itself."""

    def __init__(self):
        self.name = f"hbe2e-{os.getpid()}-{next(_counter)}"
        _ip("netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
                 "net.ipv6.conf.default.disable_ipv6=1")

    def run(self, *command):
        subprocess.run(["ip", "netns", "exec", self.name, *command], check=True,
                       capture_output=True)

    def ip(self, *words):
        _ip("-n", self.name, *words)

    def veth(self, inner, outer):
        """A cable: the platform takes `inner`, the test takes `outer`."""
        self.ip("link", "add", inner, "type", "veth", "peer", "name", outer)
        for name in (inner, outer):
            self.ip("link", "set", name, "arp", "off", "up")

    def mac(self, interface):
        shown = subprocess.run(["ip", "-n", self.name, "-j", "link", "show", interface],
                               check=True, capture_output=True, text=True).stdout
        return json.loads(shown)[0]["address"]

    def shown(self):
        """The interfaces in there, as text."""
        return subprocess.run(["ip", "-n", self.name, "-o", "link"], check=True,
                              capture_output=True, text=True).stdout

    def raw_socket(self, interface):
        """A packet socket on an interface in there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as home, \
             open(f"/run/netns/{self.name}", "rb") as there:
            assert libc.setns(there.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
            try:
                raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
                raw.bind((interface, 3))
            finally:
                assert libc.setns(home.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
        raw.settimeout(harness.DEADLINE_S)
        return raw

    def remove(self):
        _ip("netns", "del", self.name)


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True)
