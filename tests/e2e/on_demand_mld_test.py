"""Groups joined on demand in IPv6: reports of hosts' kernels in both versions of MLD on red, and frames that only
look like reports."""
import socket
import struct
import threading
import time

from scapy.layers.inet6 import (ICMPv6MLDMultAddrRec, ICMPv6MLDone, ICMPv6MLQuery, ICMPv6MLQuery2, ICMPv6MLReport,
                                ICMPv6MLReport2, IPv6, IPv6ExtHdrHopByHop, RouterAlert)
from scapy.layers.l2 import Ether

import e2e
from lab import igmp, net
from lab.process import run
from lab.sealcast import KeyServer, Wire

_GROUP, _OTHER = e2e.GROUP6, "ff1e::2:1"  # the second is in no configured group
_ALL_NODES, _ALL_ROUTERS, _ALL_MLD2 = "ff02::1", "ff02::2", "ff02::16"
_CHANGE_TO_INCLUDE, _CHANGE_TO_EXCLUDE = 3, 4  # without a source: none, all (RFC 3810 §5.2.12)
_HOST, _QUERIER = "fe80::5", "fe80::fe"


def _mld(message, destination, source=_HOST, hop_limit=1, alert=True):
    header = IPv6(src=source, dst=destination, hlim=hop_limit)
    return header / IPv6ExtHdrHopByHop(options=RouterAlert(value=0)) / message if alert else header / message


def _report(kind, group=_GROUP):
    return ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=kind, dst=group)])


class OnDemandMld(e2e.EndToEnd):
    def build_six(self):
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        self.keyserver = KeyServer(self.lab, selectors=e2e.SELECTORS)
        self.keyserver.start()
        for number, (site, role) in enumerate([(self.studio, "sender"), (self.home, "receiver")], 1):
            self.lab.network.enable_ipv6(site.red, "eth0", f"fd00:1::{number}/64")
            site.configure(role, keyservers=[self.keyserver.endpoint], selectors=e2e.SELECTORS,
                           group_lines='join = "on-demand"' if role == "receiver" else "")
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")
        self.studio.start()
        self.home.start()
        e2e.wait_until(lambda: self.studio.ready() and self.home.linked(), 15, "studio joined, all links up")

    def say(self, packet):
        """From a host on home's red side."""
        self.to_gateway.send(bytes(Ether(src="02:00:00:00:00:05", dst="33:33:00:00:00:16") / packet))

    def ask(self, query):
        """A querier's message on that link, which also reaches the hosts."""
        frame = bytes(Ether(src="02:00:00:00:00:fe", dst="33:33:00:01:00:01") / _mld(query, _GROUP, _QUERIER))
        self.to_gateway.send(frame)
        self.to_hosts.send(frame)

    def listener(self):
        index = run(["ip", "-o", "link", "show", "eth0"], namespace=self.home.red).stdout.split(":")[0]
        with net.inside(self.home.red):
            out = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        self.addCleanup(out.close)
        out.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        out.bind((_GROUP, e2e.PORT))
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                       socket.inet_pton(socket.AF_INET6, _GROUP) + struct.pack("@I", int(index)))
        out.settimeout(5)
        return out

    def stream(self):
        """Datagrams from studio's red side until the returned function is called, or the test ends."""
        with net.inside(self.studio.red):
            out = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        index = run(["ip", "-o", "link", "show", "eth0"], namespace=self.studio.red).stdout.split(":")[0]
        out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, int(index))
        ended = threading.Event()

        def send():
            number = 0
            while not ended.wait(0.005):
                out.sendto(struct.pack("!I", number) + b"SEALCAST-ON-DEMAND" * 20, (_GROUP, e2e.PORT))
                number += 1

        thread = threading.Thread(target=send)
        thread.start()

        def stop():
            ended.set()
            thread.join()
            out.close()
        self.addCleanup(stop)
        return stop

    def state(self):
        return self.home.membership()["state"]

    def wait_for(self, state, seconds, what):
        e2e.wait_until(lambda: self.state() == state, seconds, what)

    def stays(self, state, seconds, why):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertEqual(self.state(), state, why)
            time.sleep(0.1)

    def test_RFC3810_a_report_joins_and_the_last_listener_releases(self):
        self.build_six()
        self.to_gateway, self.to_hosts = igmp.link(self.home.red), igmp.link(self.home.outside, "red")
        self.addCleanup(self.to_gateway.close)
        self.addCleanup(self.to_hosts.close)
        stop = self.stream()
        e2e.wait_until(lambda: self.studio.status()["dataplane"]["sealed"] > 100, 15, "studio to seal")
        self.assertEqual(self.state(), "idle", "no host listens yet")

        with self.subTest("what a router must not believe (RFC 3810 §6.2) fetches no key"):
            wrong_sum = _report(_CHANGE_TO_EXCLUDE)
            wrong_sum.cksum = 0x1234
            for why, packet in {
                    "hop limit 2": _mld(_report(_CHANGE_TO_EXCLUDE), _ALL_MLD2, hop_limit=2),
                    "a source from elsewhere": _mld(_report(_CHANGE_TO_EXCLUDE), _ALL_MLD2, source="fd00:1::5"),
                    "no Router Alert": _mld(_report(_CHANGE_TO_EXCLUDE), _ALL_MLD2, alert=False),
                    "wrong checksum": _mld(wrong_sum, _ALL_MLD2),
                    "another group": _mld(_report(_CHANGE_TO_EXCLUDE, _OTHER), _ALL_MLD2),
                    "a leave": _mld(_report(_CHANGE_TO_INCLUDE), _ALL_MLD2)}.items():
                self.say(packet)
                self.stays("idle", 0.4, why)
            self.assertEqual(self.home.opened(), 0)
            # Correct versions of the same, to prove that those above were refused for their fault.
            self.say(_mld(_report(_CHANGE_TO_EXCLUDE), _ALL_MLD2))
            self.wait_for("joined", 5, "home to join after a right report")
            self.ask(ICMPv6MLQuery2(mrd=1000, mladdr=_GROUP, QRV=2, QQIC=125))
            self.wait_for("idle", 6, "home to leave when no host answers")

        with self.subTest("a host's own kernel"):
            opened = self.home.opened()
            first = self.listener()
            self.wait_for("joined", 5, "home to join when its host reports")
            for _ in range(100):
                self.assertIn(b"SEALCAST-ON-DEMAND", first.recv(2048))
            second = self.listener()
            first.close()
            self.ask(ICMPv6MLQuery2(mrd=1000, mladdr=_GROUP, QRV=2, QQIC=125))
            self.stays("joined", 4, "a host still listens, and answers")
            self.assertIn(b"SEALCAST-ON-DEMAND", second.recv(2048))
            second.close()
            self.stays("joined", 1, "a leave alone proves nothing")
            self.ask(ICMPv6MLQuery2(mrd=1000, mladdr=_GROUP, QRV=2, QQIC=125))
            self.wait_for("idle", 6, "home to leave when no host answers")
            self.assertEqual(self.home.key_count(), 0, "keys of a group without listeners")
            self.assertGreater(self.home.opened(), opened + 100)

        with self.subTest("MLDv1 (RFC 2710)"):
            self.say(_mld(ICMPv6MLReport(mladdr=_GROUP), _GROUP))
            self.wait_for("joined", 5, "home to join after a report of the older version")
            self.say(_mld(ICMPv6MLDone(mladdr=_GROUP), _ALL_ROUTERS))
            self.stays("joined", 1, "a leave alone proves nothing")
            self.ask(ICMPv6MLQuery(mrd=1000, mladdr=_GROUP))
            self.wait_for("idle", 6, "home to leave when no host answers")

        self.assertEqual(self.home.membership()["joins"], 3)
        opened = self.home.opened()
        time.sleep(0.5)
        self.assertEqual(self.home.opened(), opened, "nothing is opened for a group without listeners")
        stop()
        self.lab.close()
        others = run(["tshark", "-r", self.wire.pcap, "-Y", "not esp and not icmpv6 and not igmp"]).stdout
        self.assertEqual(others, "", "H10: only sealed packets on black")


if __name__ == "__main__":
    e2e.main()
