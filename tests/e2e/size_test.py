"""Datagrams longer than the black network carries: cut before they are sealed, whole at the other end; scapy, with
the exported keys, is the witness of the wire. Senders that accept it get the size that fits."""
import logging
import socket
import struct

import e2e
from lab import capture, net
from lab.process import run
from lab.sealcast import KeyServer, Wire

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import IP, UDP, defragment  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402

_BLACK_MTU = 1500
_BYTES = 4000
_COUNT = 40
_ADDRESS6 = "fd00:1::fe"  # the gateway's own on studio's red side
_IP_MTU_DISCOVER, _DONT, _DO = 10, 0, 2  # linux/in.h


def _payload(number, size=_BYTES):
    return struct.pack("!I", number) + bytes((number * 7 + i) & 255 for i in range(size - 4))


class Size(e2e.EndToEnd):
    def build_with(self, red_mtu):
        """Both red links carry red_mtu bytes, black 1500."""
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        self.keyserver = KeyServer(self.lab, selectors=e2e.SELECTORS)
        self.keyserver.start()
        for number, (site, role) in enumerate([(self.studio, "sender"), (self.home, "receiver")], 1):
            for namespace, interface in ((site.red, "eth0"), (site.outside, "red")):
                run(["ip", "link", "set", interface, "mtu", red_mtu], namespace=namespace)
            self.lab.network.enable_ipv6(site.red, "eth0", f"fd00:1::{number}/64")
            site.configure(role, keyservers=[self.keyserver.endpoint], export_keys=True, selectors=e2e.SELECTORS,
                           black_mtu=_BLACK_MTU)
            # The kernel reassembles a sender's fragments for af_packet: its frames must hold whole datagrams.
            site.config.write_text(site.config.read_text().replace(
                'device = "af_packet:red"\nmtu = 1500',
                f'device = "af_packet:red?framesz=8192"\nmtu = {red_mtu}\naddress6 = "{_ADDRESS6}"'))
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap",
                         options=["--mtu", _BLACK_MTU])
        self.start_gateways()

    def send(self, sender, receiver, group, payloads):
        """Waits for each before it sends the next; returns what arrived."""
        arrived = []
        receiver.settimeout(2)
        for payload in payloads:
            sender.sendto(payload, group)
            try:
                arrived.append(receiver.recv(65535))
            except TimeoutError:
                break
        return arrived

    def opened_by_scapy(self):
        """The packets inside the wire's ESP, in order; none on the wire exceeds the black MTU."""
        keys = {}
        for line in capture.sa_lines(self.studio.keys):
            cells = [cell.strip('"') for cell in line.split(",")]
            keys[int(cells[3], 16)] = bytes.fromhex(cells[5].removeprefix("0x"))
        inner = []
        for frame in capture.frames(self.wire.pcap):
            outer = Ether(frame.data)
            if ESP not in outer:
                continue
            self.assertLessEqual(len(frame.data), 14 + _BLACK_MTU)
            if IP in outer:
                self.assertEqual((outer[IP].frag, int(outer[IP].flags) & 1), (0, 0), "ESP itself is never fragmented")
            version, header = (IP, IP()) if IP in outer else (IPv6, IPv6())
            association = SecurityAssociation(ESP, spi=outer[ESP].spi, crypt_algo="AES-GCM",
                                              crypt_key=keys[outer[ESP].spi], tunnel_header=header)
            inner.append(association.decrypt(outer[version]))
        return inner

    def check_cut(self, least_pieces):
        sender, receiver, group = self.sockets(socket.AF_INET)
        sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DONT)
        payloads = [_payload(number) for number in range(_COUNT)]
        arrived = self.send(sender, receiver, group, payloads)
        self.assertEqual(arrived, payloads, f"drops at studio {self.drops(self.studio)}, home {self.drops(self.home)}")
        self.lab.close()
        others = run(["tshark", "-r", self.wire.pcap, "-Y", "not esp and not igmp and not icmpv6"]).stdout
        self.assertEqual(others, "", "H10: nothing but ESP and reports of listeners crosses black")
        pieces = [packet for packet in self.opened_by_scapy() if IP in packet]
        self.assertGreaterEqual(len(pieces), least_pieces * _COUNT, "each fragment is sealed by itself")
        self.assertTrue(all(piece.frag or int(piece.flags) & 1 for piece in pieces), "all of them are fragments inside")
        whole = [packet for packet in defragment(pieces) if UDP in packet]
        self.assertEqual([bytes(packet[UDP].payload) for packet in whole], payloads)

    def test_jumbo_datagrams_are_cut_sealed_and_arrive_whole(self):
        self.build_with(red_mtu=4100)
        self.check_cut(least_pieces=3)

    def test_datagrams_that_their_sender_fragmented_arrive_whole(self):
        self.build_with(red_mtu=1500)
        self.check_cut(least_pieces=3)

    def test_DF_is_heeded_and_IPv6_senders_are_told_what_fits(self):
        self.build_with(red_mtu=4100)
        sender, receiver, group = self.sockets(socket.AF_INET)
        sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _DO)
        self.assertEqual(self.send(sender, receiver, group, [_payload(0)]), [])
        self.assertEqual(self.drops(self.studio).get("too_big"), 1, "IPv4 with DF: dropped, and multicast is never answered")
        self.assertEqual(self.send(sender, receiver, group, [_payload(1, 1400)]), [_payload(1, 1400)])

        sender, receiver, group = self.sockets(socket.AF_INET6)
        with net.inside(self.studio.red):
            ear = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self.addCleanup(ear.close)
        ear.settimeout(3)
        sent = _payload(2)
        self.assertEqual(self.send(sender, receiver, group, [sent]), [])
        while True:
            message, (source, *_) = ear.recvfrom(65535)
            if message[0] == 2:
                break
        fits = struct.unpack_from("!I", message, 4)[0]
        told = IPv6(message[8:])
        self.assertEqual((source, told.dst, told[UDP].dport), (_ADDRESS6, e2e.GROUP6, e2e.PORT))
        self.assertTrue(sent.startswith(bytes(told[UDP].payload)[:1000]), "it quotes the packet it is about")
        self.assertEqual(self.drops(self.studio).get("too_big_answered"), 1)
        # The reported size is exactly the largest that passes.
        longest = fits - 40 - 8
        self.assertEqual(self.send(sender, receiver, group, [_payload(3, longest)]), [_payload(3, longest)])
        # Linux obeys: the same datagram now comes in fragments of that size, and crosses.
        self.assertEqual(self.send(sender, receiver, group, [sent]), [sent])
        self.lab.close()
        lengths = [len(frame.data) - 14 for frame in capture.frames(self.wire.pcap) if frame.data[12:14] == b"\x86\xdd"]
        self.assertGreater(max(lengths), _BLACK_MTU - 4, "no room was given away")


if __name__ == "__main__":
    e2e.main()
