"""kill -9 of every daemon while a stream runs: it resumes by itself, no nonce repeats, nothing leaves in clear."""
import secrets
import time

import e2e
from lab import capture

_RATE = 500  # packets a second: enough to notice a gap, little enough for two busy CPUs
_RESUMED = 20  # seconds a restarted daemon may take: its start-up, and the longest back-off of the others (10 s)


class Restart(e2e.EndToEnd):
    def stream(self):
        """Starts the gateways and a long stream; returns its two ends."""
        self.gateways = self.start_gateways()
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=_RATE, size=700, seconds=120)
        self.wait_for_stream()
        return sender, receiver

    def kill_and_restart(self, what, process, start):
        process.kill()
        time.sleep(1)  # long enough for packets to meet the gap
        process = start()
        print(f"\n  {what} killed and restarted: stream flows {self.wait_for_stream(_RESUMED):.2f} s after it was up")
        time.sleep(1)
        return process

    def finish(self, sender, receiver):
        sent = sender.result()
        time.sleep(0.5)
        received = receiver.result()
        self.lab.close()
        self.assertEqual(received["corrupt"], 0)
        self.assertEqual(received["duplicates"], 0)
        self.assertGreater(received["last"], sent["sent"] - _RATE, "the stream must run to its end")
        self.assert_only_ciphertext(capture.summarize(self.wire.pcap))

    def test_H9_H10_KEY2_every_daemon_killed_once(self):
        self.build()
        sender, receiver = self.stream()
        self.gateways["home"] = self.kill_and_restart("sink gateway", self.gateways["home"], self.home.start)
        self.gateways["studio"] = self.kill_and_restart("source gateway", self.gateways["studio"], self.studio.start)
        self.kill_and_restart("key server", self.keyserver_process, self.keyserver.start)
        # Gateways must have rejoined, not merely live on their leases.
        self.wait_for_members(2)
        self.gateways["studio"] = self.kill_and_restart("source gateway after the key server's restart",
                                                        self.gateways["studio"], self.studio.start)
        self.finish(sender, receiver)

    def test_H9_H10_KEY2_with_a_wrapping_key_the_epoch_outlives_the_key_server(self):
        key = self.lab.work / "wrap.key"
        key.write_text(secrets.token_hex(32) + "\n")
        key.chmod(0o600)
        self.build(server_options='wrapping_key_file = "wrap.key"')
        sender, receiver = self.stream()
        epoch = self.active_epoch()
        process = self.kill_and_restart("key server with a wrapping key", self.keyserver_process, self.keyserver.start)
        self.wait_for_members(2)
        time.sleep(3)  # longer than a hand-over takes, if one had begun
        self.assertEqual(self.active_epoch(), epoch, "sender and receiver go on in the same epoch")
        self.assertFalse(self.keyserver.status()["groups"][0]["handing_over"])
        # A sender that lost its slots meanwhile gets new ones in the next epoch.
        process.kill()
        self.gateways["studio"] = self.kill_and_restart("source gateway while the key server is away",
                                                        self.gateways["studio"],
                                                        lambda: (self.keyserver.start(), self.studio.start())[1])
        self.wait_for_members(2)
        self.assertGreater(self.active_epoch(), epoch)
        self.finish(sender, receiver)

    def active_epoch(self):
        return self.keyserver.status()["groups"][0]["epoch"]

    def test_H9_H10_KEY2_source_with_embedded_key_server_killed(self):
        self.build(embedded=True)
        sender, receiver = self.stream()
        for attempt in ("first", "second"):
            self.gateways["studio"] = self.kill_and_restart(f"source with key server, {attempt} time",
                                                            self.gateways["studio"], self.studio.start)
        self.finish(sender, receiver)

    def wait_for_members(self, count):
        e2e.wait_until(lambda: self.keyserver.status()["members"] >= count, 20,
                       f"{count} members to be joined again; logs are in {self.lab.work}")


if __name__ == "__main__":
    e2e.main()
