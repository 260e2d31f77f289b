"""Two gateways as one transparent bridge: hosts of both red sides resolve each other if a rule lets them, and sealed
frames keep their VLAN tags."""
import logging
import re
import socket
import time

import e2e
from lab import capture, net
from lab.process import run
from lab.sealcast import KeyServer, Wire

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import IP, UDP  # noqa: E402

_COUNT = 20
_RULES = '''
[[bypass]]
name = "resolve"
direction = "both"
protocol = "arp"

[[bypass]]
name = "resolve6"
direction = "both"
protocol = "nd"
'''


class Bridge(e2e.EndToEnd):
    def build_with(self, rules=""):
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        self.keyserver = KeyServer(self.lab, selectors=e2e.SELECTORS)
        self.keyserver.start()
        for number, (site, role) in enumerate([(self.studio, "sender"), (self.home, "receiver")], 1):
            self.lab.network.enable_ipv6(site.red, "eth0", f"fd00:1::{number}/64")
            site.configure(role, keyservers=[self.keyserver.endpoint], export_keys=True, selectors=e2e.SELECTORS)
            site.config.write_text(site.config.read_text().replace("[member]\n", rules + "\n[member]\n", 1))
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")
        self.start_gateways()

    def resolved(self, family, address):
        """Whether studio's host learns which host has an address of home's."""
        with net.inside(self.studio.red):
            asking = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(asking.close)
        mac = re.search(r"link/ether (\S+)", run(["ip", "link", "show", "eth0"], namespace=self.home.red).stdout).group(1)
        for _ in range(15):
            asking.sendto(b"where are you?", (address, 5000))
            time.sleep(0.1)
            if mac in run(["ip", "neighbour", "show", address], namespace=self.studio.red).stdout:
                return True
        return False

    def on_wire(self, display_filter):
        return run(["tshark", "-r", self.wire.pcap, "-Y", display_filter]).stdout.splitlines()

    def test_hosts_resolve_each_other_where_a_rule_lets_them(self):
        self.build_with(_RULES)
        self.assertTrue(self.resolved(socket.AF_INET, self.home.address), "ARP")
        self.assertTrue(self.resolved(socket.AF_INET6, "fd00:1::2"), "ND")
        bypass = self.studio.status()["dataplane"]["bypass"]
        passed = {(rule["rule"], rule["direction"]): rule["passed"] for rule in bypass}
        for name in ("resolve", "resolve6"):
            for direction in ("red-to-black", "black-to-red"):
                self.assertGreater(passed[name, direction], 0, (name, direction))
        self.lab.close()
        self.assertTrue(self.on_wire("arp"))
        self.assertEqual(self.on_wire("udp"), [], "H10: what is said to the neighbour stays here")

    def test_H10_nothing_of_it_crosses_without_a_rule(self):
        self.build_with()
        self.assertFalse(self.resolved(socket.AF_INET, self.home.address), "ARP")
        self.assertFalse(self.resolved(socket.AF_INET6, "fd00:1::2"), "ND")
        self.lab.close()
        self.assertEqual(self.on_wire("arp or udp or icmpv6.type == 135 or icmpv6.type == 136"), [])

    def tagged_stream(self, tags):
        """Frames with tags (outermost first), between raw sockets: needs no kernel module for VLANs."""
        self.build_with()
        arrived = self.lab.work / "home.pcap"
        dump = self.lab.capture(self.home.red, "eth0", arrived)
        with net.inside(self.studio.red):
            mouth = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            mouth.bind(("eth0", 0))
        self.addCleanup(mouth.close)
        head = bytes.fromhex("01005e010101" "02000000aa01") + b"".join(b"\x81\x00" + tag.to_bytes(2, "big") for tag in tags)
        sent = [head + b"\x08\x00" + bytes(IP(src=self.studio.address, dst=e2e.GROUP4, ttl=5)
                                           / UDP(sport=4000, dport=e2e.PORT) / f"tagged {number}".encode())
                for number in range(_COUNT)]
        for frame in sent:
            mouth.send(frame)
            time.sleep(0.01)
        e2e.wait_until(lambda: self.home.opened() >= _COUNT, 5, "all frames to be opened at home")
        time.sleep(0.3)
        dump.stop()
        self.lab.close()
        tag_bytes = head[12:] + b"\x08\x00"
        at = 12 + len(tag_bytes)
        # af_packet adds no padding and the plane removes it: exactly the same frames, but from home's gateway.
        here = [frame.data for frame in capture.frames(arrived) if frame.data[at + 9:at + 10] == b"\x11"]
        self.assertEqual([frame[:6] + frame[12:] for frame in here], [frame[:6] + frame[12:] for frame in sent])
        self.assertEqual({frame[6:9] for frame in here}, {bytes.fromhex("0a5343")})
        sealed = [frame.data for frame in capture.frames(self.wire.pcap) if frame.data[at + 9] == 50]
        self.assertEqual([frame[12:at] for frame in sealed], [tag_bytes] * _COUNT, "tags stay in front of ESP on the pair")

    def test_a_VLAN_tag_stays_on_sealed_multicast(self):
        self.tagged_stream([7])

    def test_two_VLAN_tags_stay_on_sealed_multicast(self):
        self.tagged_stream([100, 200])


if __name__ == "__main__":
    e2e.main()
