"""The laboratory's judge must itself be able to say no: captures made by hand, with each fault in turn. No root."""
import pathlib
import struct
import tempfile
import unittest

from lab import capture

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


if __name__ == "__main__":
    unittest.main()
