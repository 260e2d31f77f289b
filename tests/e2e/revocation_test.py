"""A revoked member is shut out at SIGHUP, while the stream goes on for the others (H8, H11)."""
import os
import signal

import e2e
from lab import capture


class Revocation(e2e.EndToEnd):
    members = {"studio": "tv", "home": "tv", "attic": "tv"}

    def check(self, embedded):
        self.build(embedded=embedded, server_options='crl = "pki/crl.pem"\n', others=("attic",))
        attic = self.others["attic"]
        gateways = self.start_gateways()
        gateways["attic"] = attic.start()
        e2e.wait_until(attic.ready, 15, f"attic to be joined and linked; logs are in {self.lab.work}")
        home, stays = self.receiver(self.home), self.receiver(attic)
        sender = self.sender(self.studio, rate=500, size=700, seconds=120)
        self.wait_for_stream()
        e2e.wait_until(lambda: attic.opened() > 100, 15, "attic to open the stream")

        self.lab.sealcast("pki", "revoke", "home", "--dir", "pki")
        server = gateways["studio"] if embedded else self.keyserver_process
        os.kill(server.pid, signal.SIGHUP)
        e2e.wait_until(lambda: self.home.membership()["state"] == "revoked", 10, "home to be told that it is revoked")
        # The sender switches when it gets Activate: from then on home never opens a packet again.
        revoked = self.home.opened()
        before = attic.opened()
        e2e.wait_until(lambda: attic.opened() > before + 1000, 15, "attic to go on with the stream")
        self.assertEqual(self.home.opened(), revoked, "H11: the revoked member opens nothing of the new epoch")
        self.assertGreater(self.drops(self.home).get("unknown_spi", 0) + self.drops(self.home).get("no_sa", 0), 0,
                           f"the stream still reaches home, sealed: {self.drops(self.home)}")
        self.assertEqual(self.home.key_count(), 0, "its keys are gone")

        sent = sender.result()["sent"]
        result = stays.result()
        home.result()
        self.lab.close()
        self.assertEqual((result["corrupt"], result["duplicates"]), (0, 0))
        self.assertLess(result["longest_gap_ms"], 1000, f"the stream goes on for the others over the rekey: {result}")
        summary = capture.summarize(self.wire.pcap)
        self.assert_only_ciphertext(summary)
        self.assertEqual(len(summary.spis()), 2, "two epochs")

    def test_H11_by_a_key_server_of_its_own(self):
        self.check(embedded=False)

    def test_H11_by_the_key_server_in_the_source(self):
        self.check(embedded=True)


if __name__ == "__main__":
    e2e.main()
