"""A checker that sees nothing proves nothing: here every invariant is broken once, and must be reported."""
import pathlib
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from blackwatch import BlackWatch, Numbers
from judge import HURRIED, Judge, Pair
from records import Received, Sent, Tail

_GROUP, _ALPHA, _BETA = b"\xef\x01\x01\x01", b"\x0a\x01\x00\x01", b"\x0a\x01\x00\x02"
_PLAIN = b"\x57\xca\xa1\x5e\x2c\x01\x00\x00"


def esp(spi, number, source=_ALPHA, sequence=None, body=b"sealed"):
    payload = struct.pack(">IIQ", spi, number if sequence is None else sequence, number) + body
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 1, 50, 0) + source + _GROUP
    return b"\x01\x00\x5e\x01\x01\x01\x02\x00\x00\x00\x00\x01\x08\x00" + header + payload


class BlackWatchTest(unittest.TestCase):
    def setUp(self):
        self.violations = []
        self.watch = BlackWatch("/nowhere", self.violations.append, [_PLAIN])
        self.addCleanup(self.watch.close)

    def see(self, *frames, moment=0.0):
        for frame in frames:
            self.watch.take(moment, frame)

    def assert_said(self, text):
        self.assertEqual(len(self.violations), 1, self.violations)
        self.assertIn(text, self.violations[0])

    def test_orderly_traffic_is_no_violation(self):
        self.see(*(esp(0x10000000, n) for n in (1, 2, 4, 3, 5)), esp(0x10000001, 1, source=_BETA))
        self.assertEqual(self.violations, [])

    def test_KEY2_a_number_twice(self):
        self.see(esp(0x10000000, 1), esp(0x10000000, 2), esp(0x10000000, 3), esp(0x10000000, 2))
        self.assert_said("used IV 2 twice")

    def test_H9_an_SPI_with_two_senders(self):
        self.see(esp(0x10000000, 1), esp(0x10000000, 2, source=_BETA))
        self.assert_said("two senders")

    def test_H10_a_plain_datagram(self):
        self.see(esp(0x10000000, 1, body=b"x" * 40 + _PLAIN))
        self.assert_said("plain")

    def test_H10_UDP_and_others(self):
        udp = bytearray(esp(0x10000000, 1))
        udp[23] = 17
        self.see(bytes(udp))
        self.assert_said("protocol 17")
        self.see(b"\xff" * 12 + b"\x08\x06" + b"\0" * 28)
        self.assertIn("EtherType 0x0806", self.violations[1])

    def test_a_sequence_number_that_is_not_the_IVs(self):
        self.see(esp(0x10000000, 7, sequence=8))
        self.assert_said("low half")

    def test_H11_an_epoch_that_a_revoked_member_knew(self):
        self.watch.forbid("home", [0x1000])
        since = self.watch.forbidden["home"][0]
        self.see(esp(0x10000000, 1), moment=since - 1)
        self.see(esp(0x10010000, 1), moment=since + 1)
        self.assertEqual(self.violations, [])
        self.see(esp(0x10000000, 2), moment=since + 1)
        self.assert_said("H11")

    def test_a_capture_read_while_it_grows(self):
        with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
            self.watch.path = file.name
            frame = esp(0x10000000, 1)
            data = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
            data += 2 * (struct.pack("<IIII", 1, 0, len(frame), len(frame)) + frame)
            for cut in (10, 24, 50, len(data) - 3, len(data)):
                file.seek(0)
                file.truncate()
                file.write(data[:cut])
                file.flush()
                self.watch.look()
            self.assertEqual(self.watch.esp, 2)
            self.assert_said("twice")

    def test_numbers_with_gaps(self):
        numbers = Numbers()
        self.assertTrue(all(numbers.add(n) for n in (5, 1, 3, 2, 4, 9, 7, 8)))
        self.assertFalse(any(numbers.add(n) for n in (1, 2, 3, 4, 5, 7, 8, 9)))
        self.assertTrue(numbers.add(6))


class JudgeTest(unittest.TestCase):
    """One stream of 100 datagrams a second from moment 100 on; the clock stands at 200."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.sent, self.received = (pathlib.Path(folder.name) / name for name in ("sent", "received"))
        with open(self.sent, "wb") as file:
            for n in range(1000):
                file.write(struct.pack("=QQQ", n, int((100 + n / 100) * 1e9), 0))
        pair = Pair("tv", "alpha", "home", Sent(Tail(self.sent)), Received(Tail(self.received)))
        for tail in (pair.sent.tail, pair.received.tail):
            self.addCleanup(tail.close)
        self.judge = Judge([pair], clock=lambda: 200.0)

    def receive(self, numbers):
        with open(self.received, "ab") as file:
            for n in numbers:
                moment = int((100 + n / 100) * 1e9)
                file.write(struct.pack("=QQQ", n, moment, moment + 1000))

    def said(self):
        self.judge.look()
        return [violation.what for violation in self.judge.violations]

    def disturb(self, kind, places, start, settled):
        disturbance = self.judge.disturb(kind, places)
        disturbance.start, disturbance.over, disturbance.settled = start, settled, settled
        return disturbance

    def test_all_that_was_sent_came(self):
        self.receive(range(1000))
        self.assertEqual(self.said(), [])
        self.assertEqual(self.judge.judged, 1000)

    def test_a_single_loss(self):
        self.receive(n for n in range(1000) if n != 500)
        self.assertIn("lost 1 from datagram 500", self.said()[0])
        self.assertEqual(self.judge.lost["unexplained"], 1)

    def test_everything_lost(self):
        self.assertIn("lost 1000", self.said()[0])

    def test_a_loss_that_its_own_disturbance_explains(self):
        disturbance = self.disturb("kill gateway", ["home"], 104, 106)
        self.receive(n for n in range(1000) if not 400 <= n < 600)
        self.assertEqual(self.said(), [])
        self.assertEqual(self.judge.lost, {"kill gateway": 200})
        self.assertAlmostEqual(disturbance.last_loss, 105.99)

    def test_a_disturbance_elsewhere_explains_nothing(self):
        self.disturb("kill gateway", ["attic"], 104, 106)
        self.receive(n for n in range(1000) if not 400 <= n < 600)
        self.assertIn("lost 200", self.said()[0])

    def test_key_servers_explain_nothing(self):
        self.disturb("kill key server", [], 104, 106)
        self.receive(n for n in range(1000) if n != 500)
        self.assertIn("lost 1", self.said()[0])

    def test_a_loss_after_all_was_well_again(self):
        self.disturb("kill gateway", ["home"], 104, 106)
        self.receive(n for n in range(1000) if not 400 <= n < 800)
        self.assertIn("lost 99 from datagram 701", self.said()[0])

    def test_a_revocation_that_could_not_reach_all(self):
        self.disturb("revoke and reinstate", ["attic"], 103, 107)
        self.disturb("cut off machine", [], 102, 108).takes_servers_away = True
        self.receive(n for n in range(1000) if n != 500)
        self.assertEqual(self.said(), [])
        self.assertEqual(self.judge.lost, {HURRIED: 1})

    def test_a_revocation_alone_explains_nothing_at_others(self):
        self.disturb("revoke and reinstate", ["attic"], 103, 107)
        self.receive(n for n in range(1000) if n != 500)
        self.assertIn("lost 1", self.said()[0])

    def test_a_datagram_twice(self):
        self.receive([*range(1000), 7])
        self.assertIn("datagram 7 came twice", self.said()[0])

    def test_H11_a_revoked_member_reads(self):
        self.judge.unread[("home", "tv")] = 105.0
        self.receive(range(1000))
        self.assertIn("H11", self.said()[0])

    def test_a_stream_that_does_not_flow(self):
        self.receive(range(500))
        self.judge.look()
        self.assertTrue(self.judge.flowing("home", 104))
        self.assertFalse(self.judge.flowing("home", 105))
        self.assertFalse(self.judge.flowing("alpha", 105))
        self.assertTrue(self.judge.flowing("attic", 105), "none of its streams")


if __name__ == "__main__":
    unittest.main()
