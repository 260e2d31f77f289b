"""Messages built by scapy cross the gateway or are refused, as they should be. scapy reads the reports of the gateway's
own listener, and tshark reads them without a complaint.

Usage: bypass_witness_test.py BYPASS_TOOL
"""

import os
import subprocess
import sys
import tempfile
import unittest

from scapy.all import ARP, IP, IPv6, UDP, Dot3, Ether, LLC, Raw, STP, wrpcap
from scapy.contrib.igmp import IGMP
from scapy.contrib.igmpv3 import IGMPv3, IGMPv3gr, IGMPv3mq, IGMPv3mr
from scapy.contrib.ospf import OSPF_Hdr, OSPF_Hello
from scapy.contrib.pim import PIMv2Hdr, PIMv2Hello
from scapy.layers.inet import IPOption_Router_Alert
from scapy.layers.inet6 import (ICMPv6EchoRequest, ICMPv6MLDMultAddrRec, ICMPv6MLDone, ICMPv6MLQuery, ICMPv6MLQuery2,
                                ICMPv6MLReport, ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_RS,
                                ICMPv6NDOptSrcLLAddr, IPv6ExtHdrHopByHop, RouterAlert)
from scapy.layers.vrrp import VRRP, VRRPv3

TOOL = None
MAC = "02:00:00:00:00:09"
ALERT = [IPOption_Router_Alert()]
GROUP, GROUP6 = "239.1.1.5", "ff3e::8000:1"


class Gateway:
    """bypass_tool on a pipe."""

    def __init__(self):
        self.process = subprocess.Popen([TOOL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def send(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def cross(self, side, frame):
        self.send(f"{side} {bytes(frame).hex()}")
        verdict, rest = self.process.stdout.readline().split()
        return ("ok", bytes.fromhex(rest)) if verdict == "ok" else (rest, None)

    def said(self, line):
        self.send(line)
        frames = []
        while (answer := self.process.stdout.readline().split()) != ["end"]:
            assert answer and answer[0] == "say", answer
            frames.append(bytes.fromhex(answer[1]))
        return frames

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def ether(payload, dst="01:00:5e:00:00:01"):
    return Ether(src=MAC, dst=dst) / payload


def v4(dst, message, ttl=1, options=ALERT):
    return ether(IP(src="10.0.0.9", dst=dst, ttl=ttl, options=options) / message)


def v6(dst, message, hlim=1, alert=True, src="fe80::9"):
    header = IPv6(src=src, dst=dst, hlim=hlim)
    return ether(header / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / message if alert else header / message,
                 "33:33:00:00:00:01")


def igmp_v3_report(*records):
    return IGMPv3(type=0x22) / IGMPv3mr(records=list(records))


def mld_v2_report(*records):
    return ICMPv6MLReport2(records=list(records))


REPORTS = {
    "IGMPv1 report": v4(GROUP, IGMP(type=0x12, mrcode=0, gaddr=GROUP), options=[]),
    "IGMPv2 report": v4(GROUP, IGMP(type=0x16, mrcode=0, gaddr=GROUP)),
    "IGMPv2 leave": v4("224.0.0.2", IGMP(type=0x17, mrcode=0, gaddr=GROUP)),
    "IGMPv3 report": v4("224.0.0.22", igmp_v3_report(IGMPv3gr(rtype=4, maddr=GROUP))),
    "IGMPv3 report with sources": v4("224.0.0.22", igmp_v3_report(IGMPv3gr(rtype=4, maddr=GROUP),
                                                                  IGMPv3gr(rtype=5, maddr="232.1.1.1",
                                                                           srcaddrs=["10.0.0.1", "10.0.0.2"]))),
    "MLDv1 report": v6(GROUP6, ICMPv6MLReport(mladdr=GROUP6)),
    "MLDv1 done": v6("ff02::2", ICMPv6MLDone(mladdr=GROUP6)),
    "MLDv2 report": v6("ff02::16", mld_v2_report(ICMPv6MLDMultAddrRec(rtype=4, dst=GROUP6))),
    "MLDv2 report with sources": v6("ff02::16", mld_v2_report(
        ICMPv6MLDMultAddrRec(rtype=3, dst=GROUP6, sources=["2001:db8::1", "2001:db8::2"]))),
}
QUERIES = {
    "IGMPv1 query": v4("224.0.0.1", IGMP(type=0x11, mrcode=0, gaddr="0.0.0.0"), options=[]),
    "IGMPv2 query": v4("224.0.0.1", IGMP(type=0x11, mrcode=100, gaddr="0.0.0.0")),
    "IGMPv3 query": v4("224.0.0.1", IGMPv3(type=0x11, mrcode=100) / IGMPv3mq(gaddr="0.0.0.0", qrv=2, qqic=125)),
    "IGMPv3 query of sources": v4(GROUP, IGMPv3(type=0x11, mrcode=10) /
                                  IGMPv3mq(gaddr=GROUP, qrv=2, qqic=125, srcaddrs=["10.0.0.1"])),
    "MLDv1 query": v6("ff02::1", ICMPv6MLQuery(mrd=10000)),
    "MLDv2 query": v6("ff02::1", ICMPv6MLQuery2(mrd=10000, QRV=2, QQIC=125)),
    "MLDv2 query of a group": v6(GROUP6, ICMPv6MLQuery2(mrd=1000, mladdr=GROUP6, QRV=2, QQIC=125)),
}
BOTH = {
    "PIM hello": ether(IP(src="10.0.0.9", dst="224.0.0.13", ttl=1) / PIMv2Hdr() / PIMv2Hello()),
    "OSPF hello": ether(IP(src="10.0.0.9", dst="224.0.0.5", ttl=1) / OSPF_Hdr() / OSPF_Hello()),
    "VRRP": ether(IP(src="10.0.0.9", dst="224.0.0.18", ttl=255) / VRRP(addrlist=["10.0.0.1"])),
    "VRRPv3": ether(IP(src="10.0.0.9", dst="224.0.0.18", ttl=255) / VRRPv3(addrlist=["10.0.0.1"])),
    "ARP request": ether(ARP(op=1, psrc="10.0.0.9", pdst="10.0.0.1"), "ff:ff:ff:ff:ff:ff"),
    "ARP reply": ether(ARP(op=2, psrc="10.0.0.9", pdst="10.0.0.1", hwdst="02:00:00:00:00:08"), "02:00:00:00:00:08"),
    "router solicitation": v6("ff02::2", ICMPv6ND_RS(), 255, False),
    "router advertisement": v6("ff02::1", ICMPv6ND_RA(), 255, False),
    "neighbour solicitation": v6("ff02::1:ff00:1", ICMPv6ND_NS(tgt="fe80::1") / ICMPv6NDOptSrcLLAddr(lladdr=MAC), 255,
                                 False),
    "neighbour advertisement": v6("fe80::8", ICMPv6ND_NA(tgt="fe80::9"), 255, False),
    "spanning tree": Dot3(src=MAC, dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP(),
}
# Reason on red, reason on black.
REFUSED = {
    "IGMPv2 report, TTL 2": (v4(GROUP, IGMP(type=0x16, mrcode=0, gaddr=GROUP), ttl=2), "igmp_not_allowed"),
    "IGMPv2 report, wrong checksum": (v4(GROUP, IGMP(type=0x16, mrcode=0, gaddr=GROUP, chksum=0x1234)),
                                      "igmp_not_allowed"),
    "IGMPv3 report that lies": (v4("224.0.0.22", igmp_v3_report(IGMPv3gr(rtype=4, maddr=GROUP, numsrc=9))),
                                "igmp_not_allowed"),
    "MLDv2 report, hop limit 255": (v6("ff02::16", mld_v2_report(ICMPv6MLDMultAddrRec(rtype=4, dst=GROUP6)), 255),
                                    "mld_not_allowed"),
    "MLDv2 report without Router Alert": (
        v6("ff02::16", mld_v2_report(ICMPv6MLDMultAddrRec(rtype=4, dst=GROUP6)), 1, False), "mld_not_allowed"),
    "MLDv2 report that lies": (
        v6("ff02::16", mld_v2_report(ICMPv6MLDMultAddrRec(rtype=4, dst=GROUP6, sources_number=9))), "mld_not_allowed"),
    "neighbour solicitation from afar": (v6("ff02::1:ff00:1", ICMPv6ND_NS(tgt="fe80::1"), 254, False), "no_policy"),
    "PIM from afar": (ether(IP(src="10.0.0.9", dst="224.0.0.13", ttl=2) / PIMv2Hdr() / PIMv2Hello()), "no_policy"),
    "VRRP from afar": (ether(IP(src="10.0.0.9", dst="224.0.0.18", ttl=64) / VRRP(addrlist=["10.0.0.1"])), "no_policy"),
    "ping": (v6("ff02::1", ICMPv6EchoRequest(), 1, False), "no_policy"),
    "unicast": (ether(IP(src="10.0.0.9", dst="10.0.0.1") / UDP(sport=1, dport=2)), "not_multicast"),
    "another EtherType": (Ether(src=MAC, dst="01:80:c2:00:00:0e", type=0x88cc) / Raw(bytes(46)), "not_ip"),
}


class Crossing(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway()
        self.addCleanup(self.gateway.close)

    def expect(self, side, name, frame, wanted):
        with self.subTest(side=side, message=name):
            verdict, out = self.gateway.cross(side, frame)
            self.assertEqual(verdict, wanted)
            if out is not None:
                self.assertEqual(bytes(frame)[:len(out)], out)

    def test_reports_leave_and_do_not_enter(self):
        for name, frame in REPORTS.items():
            self.expect("red", name, frame, "ok")
            self.expect("black", name, frame, "igmp_not_allowed" if "IGMP" in name else "mld_not_allowed")

    def test_queries_enter_and_do_not_leave(self):
        for name, frame in QUERIES.items():
            self.expect("black", name, frame, "ok")
            self.expect("red", name, frame, "igmp_not_allowed" if "IGMP" in name else "mld_not_allowed")

    def test_named_kinds_pass_in_both_directions(self):
        for name, frame in BOTH.items():
            self.expect("red", name, frame, "ok")
            self.expect("black", name, frame, "ok")

    def test_everything_else_is_refused(self):
        for name, (frame, reason) in REFUSED.items():
            self.expect("red", name, frame, reason)
            self.expect("black", name, frame, reason)


class Listening(unittest.TestCase):
    def setUp(self):
        self.gateway = Gateway()
        self.addCleanup(self.gateway.close)

    def test_scapy_reads_our_igmpv3_reports(self):
        [frame] = self.gateway.said("join 232.1.1.1 10.0.0.1 10.0.0.2")
        packet = Ether(frame)
        self.assertEqual((packet.dst, packet.src), ("01:00:5e:00:00:16", "02:00:00:00:00:01"))
        self.assertEqual((packet[IP].src, packet[IP].dst, packet[IP].ttl, packet[IP].tos),
                         ("10.9.0.2", "224.0.0.22", 1, 0xc0))
        self.assertEqual(bytes(packet[IP])[20:24], b"\x94\x04\x00\x00")
        # As scapy itself would write it, checksums included.
        rebuilt = IP(src="10.9.0.2", dst="224.0.0.22", ttl=1, tos=0xc0, id=0, options=ALERT) / igmp_v3_report(
            IGMPv3gr(rtype=5, maddr="232.1.1.1", srcaddrs=["10.0.0.1", "10.0.0.2"]))
        self.assertEqual(bytes(packet[IP])[24:], bytes(rebuilt)[24:])

    def test_scapy_reads_our_mldv2_reports(self):
        [frame] = self.gateway.said(f"join {GROUP6}")
        packet = Ether(frame)
        self.assertEqual(packet.dst, "33:33:00:00:00:16")
        self.assertEqual((packet[IPv6].src, packet[IPv6].dst, packet[IPv6].hlim), ("fe80::ff:fe00:1", "ff02::16", 1))
        self.assertEqual(packet[RouterAlert].value, 0)
        self.assertEqual(packet[ICMPv6MLDMultAddrRec].dst, GROUP6)
        self.assertEqual(packet[ICMPv6MLDMultAddrRec].rtype, 4)
        again = packet.copy()
        del again[ICMPv6MLReport2].cksum
        self.assertEqual(bytes(again), frame)

    def test_scapys_queries_are_answered(self):
        self.gateway.said(f"join {GROUP}")
        self.gateway.said(f"join {GROUP6}")
        self.gateway.said("wait 5000")
        for name, kinds in (("IGMPv3 query", 1), ("MLDv2 query", 1)):
            self.gateway.said(f"hear {bytes(QUERIES[name]).hex()}")
            self.assertEqual(len(self.gateway.said("wait 10000")), kinds, name)

    def test_tshark_finds_nothing_wrong(self):
        frames = []
        for line in (f"join {GROUP}", "join 232.1.1.1 10.0.0.1", f"join {GROUP6}", "join ff3e::9 2001:db8::1",
                     "wait 1000", f"hear {bytes(QUERIES['IGMPv3 query']).hex()}",
                     f"hear {bytes(QUERIES['MLDv2 query']).hex()}", "wait 10000",
                     f"hear {bytes(QUERIES['IGMPv2 query']).hex()}", f"hear {bytes(QUERIES['MLDv1 query']).hex()}",
                     "wait 10000", "leave"):
            frames += self.gateway.said(line)
        with tempfile.TemporaryDirectory() as folder:
            capture = os.path.join(folder, "reports.pcap")
            wrpcap(capture, [Ether(frame) for frame in frames])
            fields = ["igmp.type", "igmp.checksum.status", "icmpv6.type", "icmpv6.checksum.status", "ip.checksum.status",
                      "_ws.expert.severity", "_ws.malformed"]
            command = ["tshark", "-r", capture, "-o", "ip.check_checksum:TRUE", "-T", "fields"]
            for field in fields:
                command += ["-e", field]
            lines = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   check=True).stdout.splitlines()
        self.assertEqual(len(lines), len(frames))
        types = set()
        for line in lines:
            values = dict(zip(fields, line.split("\t") + [""] * len(fields)))
            types.add(values["igmp.type"] or values["icmpv6.type"])
            if values["igmp.type"]:
                self.assertEqual((values["igmp.checksum.status"], values["ip.checksum.status"]), ("1", "1"), line)
            else:
                self.assertEqual(values["icmpv6.checksum.status"], "1", line)
            self.assertEqual(values["_ws.malformed"], "", line)
            # Notes are fine (0x00200000 and below); warnings and errors are not.
            for severity in filter(None, values["_ws.expert.severity"].split(",")):
                self.assertLess(int(severity, 0), 0x600000, line)
        self.assertEqual(types, {"0x22", "0x16", "0x17", "143", "131", "132"})


if __name__ == "__main__":
    TOOL = sys.argv.pop(1)
    unittest.main(verbosity=2)
