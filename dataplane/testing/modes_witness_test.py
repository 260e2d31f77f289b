"""Other programs read the data plane's sealed packets, in every mode and both families: tshark decrypts them and finds
every ICV right, scapy decrypts them to the byte.

Usage: modes_witness_test.py FIXTURE_TOOL
"""

import os
import subprocess
import sys
import tempfile
import unittest

from scapy.all import ESP, IP, IPv6, UDP, Ether, Raw, SecurityAssociation, wrpcap

FIXTURE_TOOL = None
SIZES = [0, 1, 2, 3, 17, 64, 200, 1000]
# Scenario: outer family of an inner IPv4 and of an inner IPv6 packet.
MODES = {"preserve": (4, 6), "fixed4": (4, 4), "fixed6": (6, 6), "transport": (4, 6)}


def plain(family, size):
    ip = IP(src="10.0.0.1", dst="239.1.1.5", ttl=16, flags="DF") if family == 4 else IPv6(
        src="2001:db8::1", dst="ff1e:1::5", hlim=16)
    mac = "01:00:5e:01:01:05" if family == 4 else "33:33:00:00:00:05"
    return Ether(bytes(Ether(dst=mac, src="02:00:00:00:00:01") / ip / UDP(sport=40000, dport=5000) /
                       Raw(bytes(i & 255 for i in range(size)))))


def sealed(scenario, frames):
    """The frames on black, and (SPI, key and salt) they were sealed under."""
    asked = "".join(f"red {bytes(frame).hex()}\n" for frame in frames)
    done = subprocess.run([FIXTURE_TOOL, "auto", scenario], input=asked, capture_output=True, text=True, timeout=60,
                          check=True)
    lines = done.stdout.splitlines()
    own = next(line.split() for line in lines if line.startswith("key tv own"))
    answers = [line.split() for line in lines[lines.index("ready") + 1:]]
    assert all(verdict == "forward" for verdict, _ in answers), answers
    return [bytes.fromhex(frame) for _, frame in answers], int(own[3], 16), bytes.fromhex(own[4])


class Modes(unittest.TestCase):
    def test_tshark_decrypts_every_mode_and_family_and_finds_every_icv_right(self):
        for scenario, outer in MODES.items():
            for family, outer_family in zip((4, 6), outer):
                with self.subTest(scenario=scenario, family=family), tempfile.TemporaryDirectory() as folder:
                    frames, spi, key = sealed(scenario, [plain(family, size) for size in SIZES])
                    forged = frames[-1][:-1] + bytes([frames[-1][-1] ^ 1])
                    capture = os.path.join(folder, "black.pcap")
                    wrpcap(capture, [Ether(frame) for frame in frames + [forged]])
                    kind = "IPv4" if outer_family == 4 else "IPv6"
                    entry = (f'uat:esp_sa:"{kind}","*","*","0x{spi:08x}","AES-GCM with 16 octet ICV [RFC4106]",'
                             f'"0x{key.hex()}","NULL",""')
                    done = subprocess.run(
                        ["tshark", "-r", capture, "-d", "udp.port==5000,data", "-o",
                         "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE", "-o", entry,
                         "-T", "fields", "-E", "separator=;", "-e", "udp.dstport", "-e", "udp.length", "-e",
                         "esp.icv_good", "-e", "esp.icv_bad"], capture_output=True, text=True, timeout=100, check=False)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    # Since tshark 4.2 truths are words.
                    rows = done.stdout.replace("True", "1").replace("False", "0").splitlines()
                    self.assertEqual(rows[:-1], [f"5000;{8 + size};1;0" for size in SIZES], done.stderr)
                    self.assertTrue(rows[-1].endswith("0;1"), rows[-1])

    def test_scapy_decrypts_every_mode_and_family_to_the_byte(self):
        tunnels = {("preserve", 4): IP(src="10.0.0.1", dst="239.1.1.5"),
                   ("preserve", 6): IPv6(src="2001:db8::1", dst="ff1e:1::5"),
                   ("fixed4", 4): IP(src="10.9.0.2", dst="239.9.9.9"), ("fixed4", 6): IP(src="10.9.0.2", dst="239.9.9.9"),
                   ("fixed6", 4): IPv6(src="2001:db8:9::2", dst="ff1e:9::9"),
                   ("fixed6", 6): IPv6(src="2001:db8:9::2", dst="ff1e:9::9"), ("transport", 4): None,
                   ("transport", 6): None}
        for (scenario, family), header in tunnels.items():
            with self.subTest(scenario=scenario, family=family):
                plains = [plain(family, size) for size in SIZES]
                frames, spi, key = sealed(scenario, plains)
                association = SecurityAssociation(ESP, spi=spi, crypt_algo="AES-GCM", crypt_key=key,
                                                  tunnel_header=header)
                for number, (before, frame) in enumerate(zip(plains, frames), start=1):
                    packet = Ether(frame).payload
                    self.assertEqual(packet[ESP].seq, number)
                    opened = association.decrypt(packet)  # raises when the ICV is wrong
                    self.assertEqual(bytes(opened), bytes(before.payload))


if __name__ == "__main__":
    FIXTURE_TOOL = sys.argv.pop(1)
    unittest.main(verbosity=2)
