"""Rekeying by datagram through real gateways: one datagram reaches the receivers; a receiver that misses it gets the
epoch over its channel."""
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import e2e
from lab import capture


def learned(site):
    """Every key that a gateway ever had, as (key, salt): its export file only grows."""
    keys = (bytes.fromhex(re.search(r'"0x([0-9a-f]{40,})"', line)[1]) for line in capture.sa_lines(site.keys))
    return list(dict.fromkeys((key[:-4], key[-4:]) for key in keys))


def opened_by(keys, payload):
    """An ESP packet opened by one of the keys, whatever its SPI; None: by no key."""
    for key, salt in keys:
        try:
            return AESGCM(key).decrypt(salt + payload[8:16], payload[16:], payload[:8])
        except InvalidTag:
            continue
    return None


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

    def test_H11_who_kept_all_it_learned_opens_nothing_after_its_revocation_by_datagram(self):
        self.build(group_options='rekey = "multicast"\nactivation_delay = "2s"\n', export_keys=True, others=("attic",))
        text = self.studio.config.read_text()
        self.studio.config.write_text(text.replace("[black]\n", '[black]\naddress4 = "10.1.0.201"\n'))
        attic = self.others["attic"]
        self.start_gateways()
        attic.start()
        e2e.wait_until(attic.ready, 15, f"attic to be joined and linked; logs are in {self.lab.work}")
        self.receiver(self.home)
        self.sender(self.studio, rate=200, size=300, seconds=120)
        self.wait_for_stream()
        before = self.home.membership()["epoch"]
        self.keyserver_rekey()  # a rekey that attic takes part in: its path has followed the tree once
        e2e.wait_until(lambda: attic.membership()["epoch"] > before and attic.membership()["epoch_state"] == "active",
                       15, "attic to have the second epoch")
        self.assertEqual(attic.membership()["datagrams"]["taken"], 1)

        said = self.lab.sealcast("revoke", "attic", "--socket", self.keyserver.admin_socket, "--timeout", "60")
        self.assertIn("shut out, complete after", said.stdout)
        self.assertEqual(self.home.membership()["datagrams"]["taken"], 2, "home was told by the datagram")
        opened = self.home.opened()
        e2e.wait_until(lambda: self.home.opened() > opened + 300, 15, "home to open the stream under the new epoch")
        self.lab.close()

        esp = []
        for frame in capture.frames(self.wire.pcap):
            payload = frame.data[14 + (frame.data[14] & 15) * 4:]
            if frame.data[23] == 50 and len(payload) >= 32:
                esp.append(payload)
        theirs, ours = learned(attic), learned(self.home)
        spis = list(dict.fromkeys(payload[:4] for payload in esp if opened_by(ours, payload) is not None))
        stream = [spi for spi in spis if sum(payload[:4] == spi for payload in esp) > 3]  # not the datagrams' slots
        self.assertEqual(len(stream), 3, "three epochs of the stream")
        self.assertEqual(len(spis), 5, "and two datagrams")
        kept = [payload for payload in esp if payload[:4] in (stream[0], spis[-2])][:50]
        self.assertTrue(all(opened_by(theirs, payload) for payload in kept), "what it holds opens what came before")
        after = [payload for payload in esp if payload[:4] == stream[2]]
        self.assertGreater(len(after), 300)
        for payload in after:
            self.assertIsNotNone(opened_by(ours, payload))
            self.assertIsNone(opened_by(theirs, payload), "H11: nothing of the new epoch")

    def keyserver_rekey(self):
        self.lab.sealcast("rekey", "tv", "--socket", self.keyserver.admin_socket)

    def test_one_datagram_rekeys_the_receivers_and_shuts_a_leaver_out(self):
        self.check(source=True)

    def test_without_a_datagram_all_are_told_over_their_channels(self):
        self.check(source=False)


if __name__ == "__main__":
    e2e.main()
