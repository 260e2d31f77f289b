"""Proves that the laboratory's checks find faults: captures made by hand, with each fault in turn. No root."""
import pathlib
import struct
import tempfile
import unittest

from lab import capture, plaintext

_ETHERNET = bytes.fromhex("01005e010101020000000001")


def ipv4(protocol, payload, source=(10, 1, 0, 1)):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 1, protocol, 0)
    return _ETHERNET + b"\x08\x00" + head + bytes(source) + bytes([239, 1, 1, 1]) + payload


def esp(spi, iv, sequence=None, body=b"sealed"):
    return ipv4(50, struct.pack(">IIQ", spi, iv & 0xFFFFFFFF if sequence is None else sequence, iv) + body)


class Capture(unittest.TestCase):
    def summary(self, *packets):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "test.pcap"
            capture.write(path, [capture.Frame(100 + number, data) for number, data in enumerate(packets)])
            return capture.summarize(path)

    def test_clean_capture(self):
        summary = self.summary(esp(0x10000001, 1), esp(0x10000001, 2), esp(0x10000002, 1), ipv4(2, b"\x16" * 8))
        self.assertEqual([packet.iv for packet in summary.esp], [1, 2, 1])
        self.assertEqual(summary.igmp, 1)
        self.assertEqual((summary.others, summary.repeated, summary.bad_numbers), ([], [], []))
        self.assertEqual(summary.spis(), [0x10000001, 0x10000002])

    def test_KEY2_repeated_pair_is_seen(self):
        self.assertEqual(self.summary(esp(7 << 8, 5), esp(7 << 8, 5, body=b"other")).repeated, [(7 << 8, 5)])
        self.assertEqual(self.summary(esp(7 << 8, 5), esp(7 << 8, 5)).repeated, [(7 << 8, 5)])

    def test_iv_above_32_bits_is_another_pair(self):
        summary = self.summary(esp(256, 5), esp(256, (1 << 32) + 5))
        self.assertEqual((summary.repeated, summary.bad_numbers), ([], []))

    def test_sequence_number_that_is_not_the_ivs_low_half_is_seen(self):
        self.assertEqual(self.summary(esp(256, 5, sequence=6)).bad_numbers, [(256, 6, 5)])

    def test_H10_clear_packets_and_strange_frames_are_seen(self):
        summary = self.summary(ipv4(17, b"\0" * 20), _ETHERNET + b"\x08\x06" + b"\0" * 28,
                               _ETHERNET + b"\x86\xdd" + b"\0" * 60)
        self.assertEqual(len(summary.others), 3)
        self.assertIn("IPv4 protocol 17, 10.1.0.1 to 239.1.1.1", summary.others[0])

    def test_frame_still_being_written_is_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "test.pcap"
            capture.write(path, [capture.Frame(1, esp(256, 1)), capture.Frame(2, esp(256, 2))])
            path.write_bytes(path.read_bytes()[:-3])
            self.assertEqual(len(capture.summarize(path).esp), 1)

    def test_file_that_grows_is_read_once(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "test.pcap"
            capture.write(path, [capture.Frame(number, esp(256, number)) for number in (1, 2, 3)])
            data, follower = path.read_bytes(), capture.Follower(path)
            path.write_bytes(data[:10])
            self.assertEqual(len(list(follower.new())), 0)
            path.write_bytes(data[:-3])
            self.assertEqual(len(list(follower.new())), 2)
            path.write_bytes(data)
            self.assertEqual([frame.seconds for frame in follower.new()], [3])


class Plaintext(unittest.TestCase):
    """H10: what the detector must find, and what it must not mistake for plaintext."""

    def plain(self, *frames):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "test.pcap"
            capture.write(path, [capture.Frame(100 + number, data) for number, data in enumerate(frames)])
            configuration = pathlib.Path(folder) / "test.toml"
            configuration.write_text('''[[member.group]]
selectors = [ { destination = "239.1.1.0/24", protocol = "udp", ports = "5000-5010" },
              { destination = "239.2.0.0/16", source = "10.1.0.1/32" },
              { destination = "ff1e::1:0/112", protocol = "udp", ports = "5000-5010" } ]
''')
            self.esp = []
            watch = plaintext.Watch(path, plaintext.protected([configuration]),
                                    lambda spi, iv: self.esp.append((spi, iv)))
            return watch.look()

    @staticmethod
    def udp(port, payload=b"hello"):
        return struct.pack(">HHHH", 4000, port, 8 + len(payload), 0) + payload

    @staticmethod
    def ipv6(next_header, payload, extensions=b""):
        head = struct.pack(">IHBB", 6 << 28, len(extensions + payload), next_header, 1)
        return (bytes.fromhex("333300010001020000000001") + b"\x86\xdd" + head + b"\xfd" + bytes(14) + b"\x01"
                + bytes.fromhex("ff1e0000000000000000000000010001") + extensions + payload)

    @staticmethod
    def tagged(frame, vlan=b"\x81\x00\x00\x07"):
        return frame[:12] + vlan + frame[12:]

    def test_H10_packets_of_a_protected_group_are_found(self):
        for frame in (ipv4(17, self.udp(5005)), self.tagged(ipv4(17, self.udp(5000))),
                      self.tagged(self.tagged(ipv4(17, self.udp(5010))), b"\x88\xa8\x00\x08"),
                      self.ipv6(17, self.udp(5005)),
                      self.ipv6(0, self.udp(5005), extensions=bytes([17, 0, 1, 4, 0, 0, 0, 0])),
                      ipv4(17, b"")):  # too short for a port: may be the protected one
            self.assertEqual(len(self.plain(frame)), 1, frame.hex())

    def test_H10_any_protocol_where_the_selector_names_none(self):
        other = ipv4(6, self.udp(80)).replace(bytes([239, 1, 1, 1]), bytes([239, 2, 3, 4]))
        self.assertEqual(len(self.plain(other)), 1)
        self.assertEqual(self.plain(other.replace(bytes([10, 1, 0, 1]), bytes([10, 1, 0, 2]))), [])

    def test_H10_later_fragments_show_no_port_and_are_found(self):
        frame = bytearray(ipv4(17, b"x" * 64))
        frame[20:22] = struct.pack(">H", 185)
        self.assertEqual(len(self.plain(bytes(frame))), 1)
        rest = self.ipv6(44, b"x" * 64, extensions=struct.pack(">BBHI", 17, 0, 185 << 3, 7))
        self.assertEqual(len(self.plain(rest)), 1)

    def test_H10_a_readable_datagram_anywhere_is_found(self):
        datagram = struct.pack("=IIQQ", 0x5EA1CA57, 700, 1, 2)
        for frame in (esp(256, 1, body=b"seal" + datagram), ipv4(17, self.udp(9, datagram)),
                      _ETHERNET + b"\x12\x34" + datagram):
            self.assertEqual(len(self.plain(frame)), 1, frame.hex())

    def test_what_may_be_there_is_not_plaintext(self):
        self.assertEqual(self.plain(esp(256, 1), self.tagged(esp(256, 2)), self.ipv6(50, struct.pack(">IIQ", 257, 3, 3)),
                                    ipv4(2, b"\x16" * 8), self.ipv6(58, b"\x8f" + bytes(7)),
                                    ipv4(17, self.udp(4999)), ipv4(6, self.udp(5005)),
                                    _ETHERNET + b"\x08\x06" + b"\0" * 28,
                                    esp(256, 9, body=struct.pack("=II", 0x5EA1CA57, 1 << 30))), [])
        self.assertEqual(self.esp, [(256, 1), (256, 2), (257, 3), (256, 9)])


if __name__ == "__main__":
    unittest.main()
