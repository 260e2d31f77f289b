"""A bad black network: packets lost, doubled, overtaken. Each datagram comes out once or not at all, never changed."""
import e2e
from lab import capture

_RATE, _SECONDS = 1000, 4


class Impaired(e2e.EndToEnd):
    def stream_over(self, *options):
        """Sends a stream over a wire with these impairments; returns (sent, the receiver's counts)."""
        self.build(wire_options=options)
        self.start_gateways()
        receiver = self.receiver(self.home, quiet_ms=1000)
        sent = self.sender(self.studio, rate=_RATE, size=1000, seconds=_SECONDS).wait(20)["sent"]
        received = receiver.wait(10)
        self.dropped = self.drops(self.home)
        self.lab.close()
        summary = capture.summarize(self.wire.pcap)
        self.assert_only_ciphertext(summary)
        self.assertEqual(len(summary.esp), sent, "every packet reached the wire")
        self.assertEqual(received["corrupt"], 0)
        self.assertEqual(received["duplicates"], 0, "anti-replay: no packet is delivered twice")
        return sent, received

    def test_duplicates_are_never_delivered_twice(self):
        sent, received = self.stream_over("--duplicate", 0.3, "--seed", 11)
        self.assertEqual(received["received"], sent)
        self.assertGreater(self.dropped.get("replay", 0), sent * 0.2, self.dropped)

    def test_reordering_within_the_window_loses_nothing(self):
        sent, received = self.stream_over("--reorder", 0.2, "--reorder-depth", 32, "--seed", 12)
        self.assertEqual(received["received"], sent)
        self.assertGreater(received["reordered"], 0)

    def test_loss_duplicates_and_reordering_together(self):
        sent, received = self.stream_over("--drop", 0.1, "--duplicate", 0.1, "--reorder", 0.1, "--jitter", 2,
                                          "--delay", 3, "--seed", 21)
        self.assertAlmostEqual(received["received"] / sent, 0.9, delta=0.03)


if __name__ == "__main__":
    e2e.main()
