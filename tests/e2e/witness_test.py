"""Two independent ESP implementations, tshark's and scapy's, against ours: they open what we seal, we open what
scapy seals, and we drop what scapy forges, each for its own reason. The black side is a Linux bridge here, so that
any program can send on it."""
import collections
import logging
import secrets
import socket
import struct
import time

import e2e
from lab import capture, net, programs
from lab.cluster import Cluster
from lab.sealcast import KeyServer

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.ipsec import ESP, SecurityAssociation  # noqa: E402
from scapy.layers.l2 import Ether  # noqa: E402
from scapy.packet import Raw  # noqa: E402

_PACKETS = 400
_GROUP_MAC = "01:00:5e:01:01:01"
Key = collections.namedtuple("Key", "spi key")


def exported(path):
    """Key lines of a gateway's export: SPI → AES key and salt."""
    keys = {}
    for line in capture.sa_lines(path):
        cells = [cell.strip('"') for cell in line.split(",")]
        keys[int(cells[3], 16)] = bytes.fromhex(cells[5].removeprefix("0x"))
    return keys


class Witnesses(e2e.EndToEnd):
    """Sites on a Linux bridge, and what is recorded there."""
    members = {"studio": "tv", "home": "tv", "attic": "tv", "cellar": "tv"}

    def setUp(self):
        super().setUp()
        key = self.lab.work / "wrap.key"  # so that an epoch outlives the key server
        key.write_text(secrets.token_hex(32) + "\n")
        key.chmod(0o600)
        self.endpoints = self.start_key_servers()
        self.black = self.lab.network.namespace("black")
        self.lab.network.bridge(self.black, "br0")
        self.studio, self.home = self.site("studio", "sender"), self.site("home", "receiver")
        self.gateways = self.start_gateways()

    def start_key_servers(self):
        self.keyserver = KeyServer(self.lab, server_options='wrapping_key_file = "wrap.key"')
        self.keyserver_process = self.keyserver.start()
        return [self.keyserver.endpoint]

    def site(self, name, role):
        """One on the bridge, configured."""
        site = self.lab.site(name)
        self.lab.network.link(site.outside, "black", self.black, f"to-{name}", mtu=1600)
        self.lab.network.plug(self.black, "br0", f"to-{name}")
        site.configure(role, keyservers=self.endpoints, black="af_packet:black", export_keys=True)
        return site

    def stream(self):
        """Sends packets through and returns the capture of black."""
        pcap = self.lab.work / "black.pcap"
        dump = self.lab.capture(self.black, "br0", pcap, "esp")
        receiver = self.receiver(self.home, quiet_ms=800)
        sent = self.sender(self.studio, rate=400, size=500, seconds=_PACKETS / 400).wait(10)
        received = receiver.wait(10)
        self.assertEqual((sent["sent"], received["received"], received["corrupt"]), (_PACKETS, _PACKETS, 0))
        dump.stop()
        return pcap

    def record(self):
        """The frames of a stream, and a mouth to play them with."""
        recording = [frame.data for frame in capture.frames(self.stream())]
        self.assertEqual(len(recording), _PACKETS)
        with net.inside(self.black):
            self.mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.mouth.bind(("br0", 0))
        self.addCleanup(self.mouth.close)
        return recording

    def newcomer(self, name, recording):
        site = self.site(name, "receiver")
        site.start()
        e2e.wait_until(site.ready, 15, f"{name} to be joined")
        self.refuse_all(site, recording)
        return site

    def refuse_all(self, site, recording):
        def refused():
            drops = self.drops(site)
            return sum(drops.get(reason, 0) for reason in ("replay", "stale", "unknown_spi"))
        before, opened = refused(), site.opened()
        for frame in recording:
            self.mouth.send(frame)
            time.sleep(0.001)
        e2e.wait_until(lambda: refused() >= before + len(recording), 5, f"{site.name} to refuse all of them; drops now: "
                       f"{self.drops(site)}")
        self.assertEqual(site.opened(), opened, "it holds the key")

    def assert_opens_what_is_sent_now(self, site):
        before = site.opened()
        receiver = self.receiver(site)
        sent = self.sender(self.studio, rate=400, size=500, seconds=0.5).wait(10)["sent"]
        e2e.wait_until(lambda: site.opened() == before + sent, 5, "what is sent now to be opened")
        self.assertEqual(receiver.result()["received"], sent)


class Witness(Witnesses):
    def test_tshark_and_scapy_open_what_we_sealed(self):
        pcap = self.stream()
        by_tshark = capture.tshark_open(pcap, self.studio.keys)
        self.assertEqual(len(by_tshark), _PACKETS)
        self.assertTrue(all(packet.icv_good for packet in by_tshark), "tshark checks every ICV")
        self.assertEqual({(packet.source, packet.destination, packet.udp_port) for packet in by_tshark},
                         {(("10.1.0.1",) * 2, ("239.1.1.1",) * 2, programs.COUNT_PORT)}, "outer and inner addresses agree")

        keys, sequences = exported(self.studio.keys), []
        for frame, packet in zip(capture.frames(pcap), by_tshark):
            outer = Ether(frame.data)[IP]
            association = SecurityAssociation(ESP, spi=outer[ESP].spi, crypt_algo="AES-GCM",
                                              crypt_key=keys[outer[ESP].spi], tunnel_header=IP())
            inner = association.decrypt(outer)
            self.assertEqual((inner.src, inner.dst, inner.ttl, inner[UDP].dport),
                             ("10.1.0.1", "239.1.1.1", 1, programs.COUNT_PORT))
            self.assertEqual(bytes(inner[UDP].payload), packet.payload, "scapy and tshark see the same")
            sequences.append(struct.unpack_from("<Q", packet.payload, 8)[0])  # sealcast-traffic's own number
        self.assertEqual(sequences, list(range(_PACKETS)), "the inner packets are those that were sent")

    def test_we_open_what_scapy_sealed_and_drop_what_it_forged(self):
        pcap = self.stream()
        spi = capture.summarize(pcap).esp[-1].spi
        self.gateways["studio"].kill()  # scapy now sends with its SPI, from a number it never reached
        self.key = Key(spi, exported(self.home.keys)[spi])
        self.listen()
        last = capture.summarize(pcap).esp[-1]
        number = self.number_now(last) + 1000

        sealed = self.seal(number, b"from scapy")
        self.assertEqual(self.send(sealed), [b"from scapy"])
        self.assert_dropped("replay", sealed, "H9: the same packet again")
        forged = bytearray(self.seal(number + 1, b"x"))
        forged[-1] ^= 1
        self.assert_dropped("bad_tag", bytes(forged), "one bit of the ICV changed")
        self.assert_dropped("iv_sequence_mismatch", self.seal(number + 2, b"x", iv=number + 3), "IV and sequence differ")
        self.assert_dropped("replay", self.seal(number - (60_000 << 32), b"x"), "H17: a minute ago, before home joined")
        self.assert_dropped("early", self.seal(number + (20_000 << 32), b"x"), "H17: in twenty seconds")
        self.assert_dropped("unknown_spi", self.seal(number + 4, b"x", spi=0x1FFFFFF0), "an SPI that no member was given")
        self.assert_dropped("outer_inner_mismatch", self.seal(number + 5, b"x", inner="239.1.1.2"), "inner group differs")
        self.assert_dropped("selector_mismatch", self.seal(number + 6, b"x", port=6000), "DATA-1, H16: port outside")
        number = self.number_now(last) + 1100
        clear = bytes(Ether(dst=_GROUP_MAC) / IP(src="10.1.0.1", dst="239.1.1.1", ttl=1)
                      / UDP(sport=4000, dport=programs.COUNT_PORT) / Raw(b"clear"))
        self.assert_dropped("clear_on_black", clear, "H10: plain packets of a protected group do not come in")
        # None of these moved the window: a number in between still passes, once.
        self.assertEqual(self.send(self.seal(number - 1, b"late")), [b"late"])

    def test_H17_of_a_recording_nothing_comes_out(self):
        """Of the epoch that still runs: at a newcomer, at a gateway that was killed and started again, and at newcomers
        after the key server was. The latest packets are as fresh as can be."""
        recording = self.record()
        self.attic = self.newcomer("attic", recording)
        self.gateways["home"].kill()
        self.home.start()
        e2e.wait_until(self.home.ready, 15, "home to be joined again")
        self.refuse_all(self.home, recording)
        self.assert_opens_what_is_sent_now(self.attic)

        epoch = self.keyserver.status()["groups"][0]["epoch"]
        self.keyserver_process.kill()
        self.keyserver.start()
        e2e.wait_until(lambda: self.studio.ready() and self.home.ready(), 60, "members to be back")
        self.assertEqual(self.keyserver.status()["groups"][0]["epoch"], epoch, "the recording is of the epoch that still runs")
        self.newcomer("cellar", recording)

    @staticmethod
    def number_now(last):
        """A number of the present moment: as the last captured packet's, and what passed since. The capture's clock and
        ours are the same."""
        return last.iv + (int((time.time() - last.seconds) * 1000) << 32)

    def seal(self, number, payload, iv=None, spi=None, inner="239.1.1.1", port=programs.COUNT_PORT):
        """A frame as scapy's ESP makes it: tunnel mode, our numbers as IVs."""
        association = SecurityAssociation(ESP, spi=spi or self.key.spi, crypt_algo="AES-GCM", crypt_key=self.key.key,
                                          tunnel_header=IP(src="10.1.0.1", dst="239.1.1.1", ttl=1))
        plain = IP(src="10.1.0.1", dst=inner, ttl=1) / UDP(sport=4000, dport=port) / Raw(payload)
        sealed = association.encrypt(plain, seq_num=number & 0xFFFFFFFF, iv=struct.pack(">Q", number if iv is None else iv))
        return bytes(Ether(src="02:00:00:00:00:99", dst=_GROUP_MAC) / sealed)

    def listen(self):
        """An ordinary socket in home's red network, and a raw one on the black bridge."""
        with net.inside(self.home.red):
            self.ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.ear.bind((programs.GROUP, programs.COUNT_PORT))
            self.ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                socket.inet_aton(programs.GROUP) + socket.inet_aton(self.home.address))
        with net.inside(self.black):
            self.mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.mouth.bind(("br0", 0))
        self.addCleanup(self.ear.close)
        self.addCleanup(self.mouth.close)

    def send(self, frame):
        """Puts a frame on black; returns what came out at home within a moment."""
        self.mouth.send(frame)
        heard, end = [], time.monotonic() + 0.5
        while (left := end - time.monotonic()) > 0:
            self.ear.settimeout(left)
            try:
                heard.append(self.ear.recv(2000))
            except socket.timeout:
                break
        return heard

    def assert_dropped(self, reason, frame, why):
        before = self.drops(self.home).get(reason, 0)
        self.assertEqual(self.send(frame), [], why)
        e2e.wait_until(lambda: self.drops(self.home).get(reason, 0) == before + 1, 3, f"'{reason}' to be counted: {why}; drops "
                       f"now: {self.drops(self.home)}")


class InACluster(Witnesses):
    def start_key_servers(self):
        self.cluster = Cluster(self.lab)
        self.cluster.start()
        return self.cluster.endpoints()

    def test_H17_of_a_recording_nothing_comes_out(self):
        """At a newcomer, at a gateway that was killed, and at a newcomer after the leader was: the clock goes on."""
        recording = self.record()
        epoch = self.home.membership()["epoch"]
        attic = self.newcomer("attic", recording)
        self.gateways["home"].kill()
        self.home.start()
        e2e.wait_until(self.home.ready, 15, "home to be joined again")
        self.refuse_all(self.home, recording)
        self.assert_opens_what_is_sent_now(attic)

        leader = e2e.wait_until(self.cluster.leader, 10, "a leader")
        leader.process.kill()
        e2e.wait_until(lambda: self.studio.ready() and self.home.ready(), 60, "members to be back")
        e2e.wait_until(self.cluster.leader, 30, "another leader")
        self.newcomer("cellar", recording)
        self.assertEqual(self.home.membership()["epoch"], epoch, "the recording is of the epoch that still runs")
        self.assert_opens_what_is_sent_now(attic)


if __name__ == "__main__":
    e2e.main()
