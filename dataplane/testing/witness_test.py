"""Two independent ESP implementations check our packets: scapy opens what we seal and seals what we open, tshark opens
a capture of what we seal and checks every ICV.

Usage: witness_test.py ESP_TOOL
"""

import os
import subprocess
import sys
import tempfile
import unittest

from scapy.all import ESP, IP, UDP, Ether, Raw, SecurityAssociation, wrpcap

ESP_TOOL = None
SIZES = list(range(0, 40)) + [63, 64, 65, 500, 1316, 1418]


def engines():
    names = subprocess.run([ESP_TOOL, "--engines"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    assert "openssl" in names, names
    return names


class Member:
    """esp_tool on a pipe."""

    def __init__(self, engine, key_bytes):
        self.process = subprocess.Popen([ESP_TOOL, engine, str(key_bytes)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.keys = {}
        for _ in range(2):
            owner, spi, key = self.process.stdout.readline().split()
            self.keys[owner] = (int(spi, 16), bytes.fromhex(key))

    def ask(self, command, frame):
        self.process.stdin.write(f"{command} {bytes(frame).hex()}\n")
        self.process.stdin.flush()
        verdict, rest = self.process.stdout.readline().split()
        return (verdict, bytes.fromhex(rest)) if verdict == "ok" else (verdict, rest)

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def plain(size, ttl=16):
    # Through bytes once, so that lengths and checksums are filled in.
    return Ether(bytes(Ether(dst="01:00:5e:01:01:05", src="02:00:00:00:00:01") / IP(src="10.0.0.1", dst="239.1.1.5",
                       ttl=ttl, flags="DF") / UDP(sport=40000, dport=5000) / Raw(bytes(i & 255 for i in range(size)))))


def with_each_member(test):
    def run(self):
        for engine in engines():
            for key_bytes in (16, 32):
                with self.subTest(engine=engine, key_bytes=key_bytes):
                    member = Member(engine, key_bytes)
                    try:
                        test(self, member)
                    finally:
                        member.close()
    return run


class Witness(unittest.TestCase):
    @with_each_member
    def test_scapy_opens_what_we_seal(self, member):
        spi, key = member.keys["own"]
        association = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=key,
                                          tunnel_header=IP(src="10.0.0.1", dst="239.1.1.5"))
        for number, size in enumerate(SIZES, start=1):
            frame = plain(size)
            verdict, sealed = member.ask("seal", frame)
            self.assertEqual(verdict, "ok")
            packet = Ether(sealed)[IP]
            self.assertEqual(packet.src, "10.0.0.1")
            self.assertEqual(packet.dst, "239.1.1.5")
            self.assertEqual(packet.proto, 50)
            self.assertEqual(packet.ttl, 16)
            self.assertEqual(packet[ESP].seq, number)
            self.assertEqual(packet[ESP].data[:8], number.to_bytes(8, "big"))
            opened = association.decrypt(packet)  # raises when the ICV is wrong
            self.assertEqual(bytes(opened), bytes(frame[IP]))

    @with_each_member
    def test_we_open_what_scapy_seals(self, member):
        spi, key = member.keys["peer"]
        association = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=key,
                                          tunnel_header=IP(src="10.0.0.1", dst="239.1.1.5"))
        for number, size in enumerate(SIZES, start=1):
            frame = plain(size)
            sealed = association.encrypt(frame[IP].copy(), seq_num=number, iv=number.to_bytes(8, "big"))
            outer = Ether(dst=frame.dst, src=frame.src) / sealed
            self.assertEqual(member.ask("open", outer), ("ok", bytes(frame)))
            self.assertEqual(member.ask("open", outer), ("drop", "replay"))

    @with_each_member
    def test_scapy_attacks(self, member):
        spi, key = member.keys["peer"]
        association = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=key,
                                          tunnel_header=IP(src="10.0.0.1", dst="239.1.1.5"))
        link = Ether(dst="01:00:5e:01:01:05", src="02:00:00:00:00:01")

        def send(inner, number, sequence=None, spi_written=None):
            sealed = association.encrypt(inner, seq_num=sequence or number, iv=number.to_bytes(8, "big"))
            if spi_written is not None:
                sealed[ESP].spi = spi_written
            return member.ask("open", link / sealed)

        self.assertEqual(send(plain(9)[IP], 7, sequence=8), ("drop", "iv_sequence_mismatch"))
        self.assertEqual(send(plain(9)[IP], 8, spi_written=member.keys["own"][0]), ("drop", "own_spi"))
        self.assertEqual(send(plain(9)[IP], 8, spi_written=0x11111111), ("drop", "unknown_spi"))
        # H16: the inner packet belongs to another group.
        foreign = IP(src="10.0.0.1", dst="239.2.2.2", ttl=9) / UDP(sport=1, dport=2) / Raw(b"x")
        association.tunnel_header.dst = "239.1.1.5"
        self.assertEqual(send(foreign, 9), ("drop", "outer_inner_mismatch"))
        association.tunnel_header.dst = "239.2.2.2"
        self.assertEqual(send(foreign, 10), ("drop", "selector_mismatch"))
        # A sequence number that wraps on the wire is just another number of the IV.
        association.tunnel_header.dst = "239.1.1.5"
        self.assertEqual(send(plain(9)[IP], (1 << 32) + 5, sequence=5)[0], "ok")

    @with_each_member
    def test_tshark_opens_what_we_seal_and_finds_every_icv_right(self, member):
        spi, key = member.keys["own"]
        sealed = [member.ask("seal", plain(size))[1] for size in SIZES]
        forged = bytearray(sealed[-1])
        forged[-1] ^= 1
        with tempfile.TemporaryDirectory() as folder:
            capture = os.path.join(folder, "black.pcap")
            wrpcap(capture, [Ether(frame) for frame in sealed] + [Ether(bytes(forged))])
            entry = (f'uat:esp_sa:"IPv4","*","*","0x{spi:08x}","AES-GCM with 16 octet ICV [RFC4106]",'
                     f'"0x{key.hex()}","NULL",""')
            # The payload is declared as plain data: if a dissector finds it malformed as its own protocol, tshark does
            # not report whether the ICV was right.
            done = subprocess.run(
                ["tshark", "-r", capture, "-d", "udp.port==5000,data", "-o", "esp.enable_encryption_decode:TRUE", "-o",
                 "esp.enable_authentication_check:TRUE", "-o", entry, "-T", "fields", "-E", "separator=;", "-e",
                 "udp.dstport", "-e", "udp.length", "-e", "esp.icv_good", "-e", "esp.icv_bad"],
                capture_output=True, text=True, timeout=100, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        # Since tshark 4.2 truths are words.
        rows = done.stdout.replace("True", "1").replace("False", "0").splitlines()
        self.assertEqual(rows[:-1], [f"5000;{8 + size};1;0" for size in SIZES], done.stderr)
        self.assertTrue(rows[-1].endswith("0;1"), rows[-1])


if __name__ == "__main__":
    ESP_TOOL = sys.argv.pop(1)
    unittest.main(verbosity=2)
