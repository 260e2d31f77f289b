"""Rekeying by datagram through real gateways: one datagram tells the receivers, who misses it is told over its channel."""
import e2e
from lab import capture


class Datagram(e2e.EndToEnd):
    members = {"studio": "tv", "home": "tv", "attic": "tv"}

    def check(self, source):
        """source: whether the sender's gateway has an address to send datagrams from."""
        self.build(group_options='rekey = "multicast"\nrekey_on_leave = true\nactivation_delay = "2s"\n',
                   others=("attic",))
        if source:
            text = self.studio.config.read_text()
            self.studio.config.write_text(text.replace("[black]\n", '[black]\naddress4 = "10.1.0.201"\n'))
        attic = self.others["attic"]
        gateways = self.start_gateways()
        gateways["attic"] = attic.start()
        e2e.wait_until(attic.ready, 15, f"attic to be joined and linked; logs are in {self.lab.work}")
        home = self.receiver(self.home)
        sender = self.sender(self.studio, rate=500, size=700, seconds=120)
        self.wait_for_stream()

        def active(site, above):
            group = site.membership()
            return group["epoch"] > above and group["epoch_state"] == "active"

        first = self.home.membership()["epoch"]
        self.keyserver_rekey()
        e2e.wait_until(lambda: active(self.home, first) and active(attic, first), 15, "both to have the next epoch")
        taken = 1 if source else 0
        for site in (self.home, attic):
            self.assertEqual(site.membership()["datagrams"]["taken"], taken, site.membership())
            self.assertEqual(site.membership()["joins"], 1)

        # A leave ends the epoch: the leaver opens nothing of the next one.
        second = self.home.membership()["epoch"]
        gateways["attic"].stop()
        e2e.wait_until(lambda: active(self.home, second), 15, "the epoch after the leave")
        self.assertEqual(self.home.membership()["datagrams"]["taken"], 2 * taken)
        self.wait_for_stream()
        drops = self.drops(self.home)
        self.assertEqual(drops.get("group_datagram", 0) >= 2 * taken, True, drops)

        sent = sender.result()["sent"]
        result = home.result()
        self.lab.close()
        self.assertEqual((result["corrupt"], result["duplicates"]), (0, 0))
        self.assertLess(result["longest_gap_ms"], 1000, f"the stream goes on over the rekeys: {result}, sent {sent}")
        self.assert_only_ciphertext(capture.summarize(self.wire.pcap))

    def keyserver_rekey(self):
        self.lab.sealcast("rekey", "tv", "--socket", self.keyserver.admin_socket)

    def test_one_datagram_rekeys_the_receivers_and_shuts_a_leaver_out(self):
        self.check(source=True)

    def test_without_a_datagram_all_are_told_over_their_channels(self):
        self.check(source=False)


if __name__ == "__main__":
    e2e.main()
