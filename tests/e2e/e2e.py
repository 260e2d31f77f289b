"""Shared by all end-to-end tests: where the binaries are, a folder for each test, the usual laboratory."""
import os
import pathlib
import shutil
import socket
import struct
import sys
import time
import unittest

from lab import net, programs
from lab.process import run, wait_until
from lab.sealcast import KeyServer, Lab, Wire

BINARIES = pathlib.Path(os.environ.get("SEALCAST_BIN", "build/release/bin"))
WORK = pathlib.Path(os.environ.get("SEALCAST_WORK", "build/release/e2e"))

PORT, GROUP4, GROUP6 = 5005, "239.1.1.1", "ff1e::1:1"
SELECTORS = (f'[ {{ destination = "239.1.1.0/24", protocol = "udp", ports = "5000-5010" }}, '
              f'{{ destination = "ff1e::1:0/112", protocol = "udp", ports = "5000-5010" }} ]')


class EndToEnd(unittest.TestCase):
    """Makes a laboratory for each test; its folder stays behind with logs and captures."""

    members = {"studio": "tv", "home": "tv"}

    def setUp(self):
        work = WORK / self.id().removeprefix("__main__.")
        shutil.rmtree(work, ignore_errors=True)
        self.lab = Lab(work, BINARIES)
        self.addCleanup(self.prove_nothing_leaked)  # runs after close(): cleanups are called in reverse order
        self.addCleanup(self.lab.close)
        self.lab.make_pki(self.members)

    def prove_nothing_leaked(self):
        """KEY-2 and H10 after every test: checks what the checked daemons sealed and what crossed the wires."""
        self.assertEqual(self.lab.faults(), [])

    def build(self, embedded=False, wire_options=(), group_options="", server_options="", export_keys=False, others=()):
        """Key server, studio (sender), home and `others` (receivers) on one wire. Starts the key server and the wire."""
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        self.others = {name: self.lab.site(name) for name in others}
        keyserver_options = {"group_options": group_options, "server_options": server_options}
        if embedded:
            self.keyserver = None
            endpoint = f"{self.studio.management}:7400"
        else:
            self.keyserver = KeyServer(self.lab, **keyserver_options)
            self.keyserver_process = self.keyserver.start()
            endpoint = self.keyserver.endpoint
        self.studio.configure("sender", keyservers=[endpoint], embedded=embedded, export_keys=export_keys,
                              keyserver_options=keyserver_options)
        for site in (self.home, *self.others.values()):
            site.configure("receiver", keyservers=[endpoint], export_keys=export_keys)
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap",
                         options=wire_options)

    def start_gateways(self):
        """Starts studio and home and waits until packets can flow; returns name → Process."""
        processes = {site.name: site.start() for site in (self.studio, self.home)}
        wait_until(lambda: self.studio.ready() and self.home.ready(), 15,
                   f"both gateways to be joined and linked; logs are in {self.lab.work}")
        return processes

    def receiver(self, site, **options):
        counting = programs.Counting(self.lab.tool("sealcast-traffic"), "receive", site.red, site.address,
                                     self.lab.work / f"{site.name}-receiver.log", **options)
        self.lab.adopt(counting.process)
        return counting

    def sender(self, site, **options):
        counting = programs.Counting(self.lab.tool("sealcast-traffic"), "send", site.red, site.address,
                                     self.lab.work / f"{site.name}-sender.log", **options)
        self.lab.adopt(counting.process)
        return counting

    def sockets(self, family):
        """A sender on studio's red side and a listener on home's; and the group and port they share. SELECTORS cover them."""
        index = run(["ip", "-o", "link", "show", "eth0"], namespace=self.studio.red).stdout.split(":")[0]
        home_index = run(["ip", "-o", "link", "show", "eth0"], namespace=self.home.red).stdout.split(":")[0]
        with net.inside(self.studio.red):
            sender = socket.socket(family, socket.SOCK_DGRAM)
        with net.inside(self.home.red):
            receiver = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(sender.close)
        self.addCleanup(receiver.close)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        if family == socket.AF_INET:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self.studio.address))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0x20)
            receiver.bind((GROUP4, PORT))
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                socket.inet_aton(GROUP4) + socket.inet_aton(self.home.address))
            return sender, receiver, (GROUP4, PORT)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, int(index))
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0x20)
        receiver.bind((GROUP6, PORT))
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                            socket.inet_pton(socket.AF_INET6, GROUP6) + struct.pack("@I", int(home_index)))
        return sender, receiver, (GROUP6, PORT)

    def drops(self, site):
        """Reason → packets, those that occurred."""
        return {drop["reason"]: drop["packets"] for drop in site.status()["dataplane"]["drops"] if drop["packets"]}

    def wait_for_stream(self, seconds=15):
        """Waits until home opens packets again; returns how long that took."""
        started = time.monotonic()
        before = None

        def flowing():
            nonlocal before
            opened = self.home.opened()
            grown = before is not None and opened > before
            before = opened
            return grown
        wait_until(flowing, seconds, f"packets to be opened at home; logs are in {self.lab.work}")
        return time.monotonic() - started

    def assert_only_ciphertext(self, summary):
        """H10 and KEY-2 over everything the wire saw."""
        self.assertTrue(summary.esp, "the wire saw no ESP at all")
        self.assertEqual(summary.others, [], "H10: only ESP and IGMP may be on the wire")
        self.assertEqual(summary.repeated, [], "KEY-2: an (SPI, IV) pair was used twice")
        self.assertEqual(summary.bad_numbers, [], "the sequence number must be the IV's low half")


def main():
    if os.geteuid() != 0:
        sys.exit("the end-to-end tests make network namespaces and map hugepages: run as root")
    net.remove_leftovers()
    unittest.main(verbosity=2)
