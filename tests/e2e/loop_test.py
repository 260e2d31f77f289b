"""H18: two gateways between the same two networks. One of them works, nothing goes round or comes back, and the other
takes over when the first is gone."""
import collections
import signal
import socket
import time

import e2e
from lab import capture, net
from lab.process import run
from lab.sealcast import KeyServer, Wire


class Loop(e2e.EndToEnd):
    members = {"studio": "tv", "twin": "tv", "home": "tv"}

    def setUp(self):
        super().setUp()
        self.studio, self.twin, self.home = (self.lab.site(name) for name in self.members)
        self.keyserver = KeyServer(self.lab)
        self.keyserver.config.write_text(
            self.keyserver.config.read_text().replace('senders = ["studio"]', 'senders = ["studio", "twin"]'))
        self.keyserver.start()
        self.join_reds()
        for site, role in ((self.studio, "both"), (self.twin, "both"), (self.home, "receiver")):
            site.configure(role, keyservers=[self.keyserver.endpoint])
            site.config.write_text(site.config.read_text().replace(
                "[member]\n", f'[member]\nsite = "{"branch" if site is self.home else "hq"}"\n', 1))

    def join_reds(self):
        """One red segment for studio and twin: two switches with a cable between them. The host is at studio's."""
        network = self.lab.network
        for site in (self.studio, self.twin):
            run(["ip", "address", "flush", "dev", "eth0"], namespace=site.red)
            network.bridge(site.red, "br0")
            network.plug(site.red, "br0", "eth0")
        network.link(self.studio.red, "cable", self.twin.red, "cable")
        for site in (self.studio, self.twin):
            network.plug(site.red, "br0", "cable")
        network.address(self.studio.red, "br0", f"{self.studio.address}/24")
        network.multicast_route(self.studio.red, "br0")

    def start(self):
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")
        self.processes = {site.name: site.start() for site in self.lab.sites}
        e2e.wait_until(lambda: all(site.ready() for site in self.lab.sites), 15, "the gateways to be joined and linked")

    def standing(self, site):
        return site.status()["dataplane"]["red_segment"]["state"]

    def send(self, first, count, pause=0.01):
        with net.inside(self.studio.red):
            host = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(host.close)
        host.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self.studio.address))
        host.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 64)
        for number in range(first, first + count):
            host.sendto(b"datagram %08d" % number, (e2e.GROUP4, e2e.PORT))
            time.sleep(pause)

    def copies(self, path):
        """Number of the datagram → how often it was captured."""
        found = collections.Counter()
        for frame in capture.frames(path):
            at = frame.data.find(b"datagram ")
            if at != -1:
                found[int(frame.data[at + 9:at + 17])] += 1
        return found

    def test_H18_one_of_two_gateways_works_and_nothing_goes_round(self):
        self.start()
        e2e.wait_until(lambda: (self.standing(self.studio), self.standing(self.twin)) == ("works", "stands by"), 5,
                       "studio to work and twin to stand by")
        red = self.lab.capture(self.twin.red, "br0", self.lab.work / "red.pcap")
        far = self.lab.capture(self.home.red, "eth0", self.lab.work / "far.pcap")
        self.send(0, 50)
        e2e.wait_until(lambda: self.home.opened() >= 50, 5, "home to open the datagrams")
        time.sleep(0.5)
        for site, other in ((self.twin, "studio"), (self.studio, "twin")):
            e2e.wait_until(lambda: f"alarm: another gateway is on this red segment: {other} (site hq" in site.log.read_text(), 3,
                           f"{site.name} to raise the alarm")
        self.assertIn("stands by", self.lab.sealcast("status", "--socket", self.twin.admin_socket).stdout)
        self.assertGreater(self.drops(self.twin)["standing_by"], 0)

        # The one that works is killed in the midst of a stream.
        self.processes["studio"].child.send_signal(signal.SIGKILL)
        before = time.monotonic()
        opened = self.home.opened()
        number = 1000
        while self.home.opened() == opened and time.monotonic() < before + 10:
            self.send(number, 10)
            number += 10
        self.assertLess(time.monotonic() - before, 5, "twin did not take over")
        self.send(5000, 50)
        time.sleep(0.5)
        red.stop()
        far.stop()
        self.lab.close()

        once = {number: 1 for number in [*range(50), *range(5000, 5050)]}
        for name in ("red.pcap", "far.pcap"):
            copies = self.copies(self.lab.work / name)
            self.assertEqual({number: copies[number] for number in once}, once, f"{name}: lost, doubled or come back")
            self.assertLessEqual(max(copies.values()), 1, name)
        sealed = sum(1 for frame in capture.frames(self.wire.pcap) if frame.data[12:14] == b"\x08\x00" and frame.data[23] == 50)
        self.assertLessEqual(sealed, 100 + (number - 1000), "each was sealed once at most")

    def test_H18_where_neither_heeds_the_other_nothing_goes_round_either(self):
        for site in (self.studio, self.twin):
            site.config.write_text(site.config.read_text().replace("[red]\n", "[red]\nbeacon = false\n", 1))
        self.start()
        red = self.lab.capture(self.twin.red, "br0", self.lab.work / "red.pcap")
        self.send(0, 100)
        time.sleep(1)
        refused = sum(self.drops(site).get("local_source", 0) for site in (self.studio, self.twin))
        red.stop()
        self.lab.close()
        copies = self.copies(self.lab.work / "red.pcap")
        self.assertEqual([number for number in range(100) if copies[number] == 0], [], "what the host sent was captured")
        # The first one may overtake itself.
        self.assertEqual({number: seen for number, seen in copies.items() if number > 0 and seen > 1}, {})
        self.assertLessEqual(copies[0], 3)
        self.assertGreaterEqual(refused, 190, "each refused what the other had sealed")


if __name__ == "__main__":
    e2e.main()
