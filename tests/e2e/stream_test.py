"""The plain case, its timing, and the time before there is a key."""
import time

import e2e
from lab import capture
from lab.process import run

_JOIN_LIMIT = 0.5  # seconds from the member's first SYN to its first opened packet


class Stream(e2e.EndToEnd):
    def test_join_to_first_opened_packet(self):
        self.build()
        self.studio.start()
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=1000, size=700, seconds=60)
        e2e.wait_until(lambda: self.studio.status()["dataplane"]["sealed"] > 0, 15, "studio to seal")
        # The wire's own start-up must not count as join time: home reaches the key server only once its links are up.
        cable = (self.lab.management, "to-home")
        self.lab.network.set_link(*cable, False)
        self.home.start()
        e2e.wait_until(self.home.linked, 15, "home's links to be up")
        syn = self.lab.work / "syn.pcap"
        dump = self.lab.capture(self.home.outside, "mgmt0", syn, "tcp port 7400 and tcp[tcpflags] == tcp-syn")
        self.lab.network.set_link(*cable, True)
        self.wait_for_stream()
        sender.result()
        result = receiver.result()
        dump.stop()
        offset = time.time() - time.monotonic()  # the receiver stamps with the monotonic clock, pcap with wall time
        first_syn = next(frame.seconds for frame in capture.frames(syn))
        took = result["first_ns"] / 1e9 + offset - first_syn
        print(f"\n  first SYN to first opened packet at the receiver: {took * 1000:.0f} ms (limit {_JOIN_LIMIT * 1000:.0f})")
        self.assertLess(took, _JOIN_LIMIT)

    def test_H10_nothing_leaves_without_a_key_server(self):
        self.build()
        self.keyserver_process.kill()
        self.studio.start()
        self.home.start()
        e2e.wait_until(lambda: self.studio.linked() and self.home.linked(), 15, "all links to be up")
        receiver = self.receiver(self.home)
        sent = self.sender(self.studio, rate=1000, size=700, seconds=2).wait(10)["sent"]
        dropped = self.drops(self.studio)
        self.assertEqual(receiver.result()["received"], 0)
        self.lab.close()
        summary = capture.summarize(self.wire.pcap)
        self.assertEqual(summary.others, [])
        self.assertEqual(summary.esp, [])
        self.assertGreater(summary.igmp, 0, "the wire was open: home's IGMP report crossed it")
        self.assertGreaterEqual(dropped.get("no_sa", 0), sent, f"every packet is dropped with its reason: {dropped}")

    def test_H10_sender_stops_when_its_lease_ends(self):
        self.build(group_options='authority_lease = "3s"\n')
        self.start_gateways()
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=500, size=700, seconds=60)
        self.wait_for_stream()
        self.keyserver_process.kill()
        killed = time.time()
        time.sleep(6)
        sender.result()
        receiver.result()
        self.lab.close()
        summary = capture.summarize(self.wire.pcap)
        self.assert_only_ciphertext(summary)
        last = summary.esp[-1].seconds - killed
        print(f"\n  last sealed packet {last:.1f} s after the key server died (lease 3 s)")
        self.assertLess(last, 3.5)

    def test_KEY2_rekeys_while_the_stream_runs_lose_nothing(self):
        self.build(group_options='epoch_lifetime = "5s"\nactivation_delay = "300ms"\ndeactivation_delay = "1s"\n')
        self.start_gateways()
        receiver = self.receiver(self.home, quiet_ms=1500)
        sent = self.sender(self.studio, rate=500, size=700, seconds=11).wait(20)["sent"]
        received = receiver.wait(10)
        self.lab.close()
        self.assertEqual((received["received"], received["corrupt"], received["duplicates"]), (sent, 0, 0))
        summary = capture.summarize(self.wire.pcap)
        self.assert_only_ciphertext(summary)
        self.assertGreaterEqual(len(summary.spis()), 3, "each epoch has SPIs of its own")
        print(f"\n  {sent} packets over {len(summary.spis())} epochs, longest gap {received['longest_gap_ms']:.0f} ms")

    def test_wire_carries_esp_as_address_preserving_tunnel(self):
        self.build()
        self.start_gateways()
        receiver = self.receiver(self.home, quiet_ms=1000)
        sent = self.sender(self.studio, rate=1000, size=1316, seconds=2).wait(10)
        received = receiver.wait(10)
        self.assertEqual((received["received"], received["corrupt"], received["duplicates"]), (sent["sent"], 0, 0))
        self.lab.close()
        addresses = run(["tshark", "-r", self.wire.pcap, "-Y", "esp", "-T", "fields", "-e", "ip.src", "-e", "ip.dst",
                         "-e", "eth.dst", "-e", "ip.ttl"]).stdout.split("\n")
        self.assertEqual(set(filter(None, addresses)), {"10.1.0.1\t239.1.1.1\t01:00:5e:01:01:01\t1"})

    def test_packets_too_big_for_black_are_dropped_and_said_so(self):
        self.build()
        endpoint = [self.keyserver.endpoint]
        self.studio.configure("sender", keyservers=endpoint, black_mtu=1500)
        self.assertIn("too_big", self.lab.sealcast("check", self.studio.config).stderr)
        self.start_gateways()
        receiver = self.receiver(self.home)
        whole = self.sender(self.studio, rate=200, size=1472, seconds=1).wait(10)["sent"]  # 1500-byte IP packets
        self.assertEqual(self.drops(self.studio).get("too_big"), whole)
        self.assertEqual(receiver.result()["received"], 0)


if __name__ == "__main__":
    e2e.main()
