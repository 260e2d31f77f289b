"""Every mode in both IP versions: plain sockets on the red sides, real gateways between them, tshark as the witness."""
import socket
import struct
import time

import e2e
from lab import capture
from lab.process import run
from lab.sealcast import KeyServer, Wire

_PORT, _GROUP4, _GROUP6 = e2e.PORT, e2e.GROUP4, e2e.GROUP6
_COUNT = 300


def _datagram(number, size):
    return struct.pack("!I", number) + bytes((number * 7 + i) & 255 for i in range(size - 4))


class Modes(e2e.EndToEnd):
    def build_mode(self, mode, outer=None):
        """outer: the configured destination and a source for each gateway."""
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        self.keyserver = KeyServer(self.lab, selectors=e2e.SELECTORS, mode=mode)
        self.keyserver.start()
        for number, (site, role) in enumerate([(self.studio, "sender"), (self.home, "receiver")], 1):
            self.lab.network.enable_ipv6(site.red, "eth0", f"fd00:1::{number}/64")
            lines = f'mode = "{mode}"\n'
            if outer:
                lines += f'outer = {{ destination = "{outer[0]}", source = "{outer[number]}", ttl = 9, dscp = 46 }}\n'
            site.configure(role, keyservers=[self.keyserver.endpoint], export_keys=True, selectors=e2e.SELECTORS,
                           group_lines=lines)
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")
        self.start_gateways()

    def stream(self, family):
        """Sends datagrams of many sizes; all arrive, unchanged and in order. Returns their texts."""
        sender, receiver, group = self.sockets(family)
        receiver.settimeout(3)
        texts = [_datagram(number, 4 + number % 1300) for number in range(_COUNT)]
        for text in texts:
            sender.sendto(text, group)
            time.sleep(0.001)
        received = []
        for _ in texts:
            try:
                received.append(receiver.recv(2048))
            except TimeoutError:
                break
        self.assertEqual(len(received), _COUNT, f"drops at studio {self.drops(self.studio)}, home {self.drops(self.home)}")
        self.assertEqual(received, texts)
        return texts

    def witness(self, texts, version, fields, expected):
        """tshark opens each packet of `version` on the wire with the exported keys; `fields` of all are as expected."""
        decrypt = capture.tshark_arguments(self.wire.pcap, self.studio.keys)
        lines = run(decrypt + ["-Y", f"esp && {version}", "-d", f"udp.port=={_PORT},data", "-T", "fields", "-E",
                               "separator=;", "-e", "esp.icv_good", "-e", "udp.payload", *[w for f in fields for w in ("-e", f)]],
                    timeout=120).stdout.splitlines()
        rows = [line.split(";") for line in lines]
        rows = [row for row in rows if row[1]]
        self.assertTrue(all(row[0] in ("1", "True") for row in rows), "a wrong ICV")
        self.assertEqual([bytes.fromhex(row[1]) for row in rows], texts)
        self.assertEqual({tuple(row[2:]) for row in rows}, {tuple(expected)})

    def only_sealed(self):
        """Nothing but ESP and reports of listeners crossed black."""
        self.lab.close()
        others = run(["tshark", "-r", self.wire.pcap, "-Y", "not esp and not igmp and not icmpv6"]).stdout
        self.assertEqual(others, "")
        plain = run(["tshark", "-r", self.wire.pcap, "-Y", "udp"]).stdout
        self.assertEqual(plain, "", "H10: plain text on black")

    def test_RFC5374_tunnel_preserve_carries_both_ip_versions_in_one_epoch(self):
        self.build_mode("tunnel-preserve")
        six = self.stream(socket.AF_INET6)
        four = self.stream(socket.AF_INET)
        self.only_sealed()
        self.witness(six, "ipv6", ["ipv6.src", "ipv6.dst", "eth.dst"],
                     ["fd00:1::1,fd00:1::1", f"{_GROUP6},{_GROUP6}", "33:33:00:01:00:01"])
        self.witness(four, "ip", ["ip.src", "ip.dst", "eth.dst"],
                     ["10.1.0.1,10.1.0.1", f"{_GROUP4},{_GROUP4}", "01:00:5e:01:01:01"])

    def test_tunnel_fixed_in_ipv4_hides_both_ip_versions(self):
        self.build_mode("tunnel-fixed", ("239.9.9.9", "10.9.7.1", "10.9.7.2"))
        four = self.stream(socket.AF_INET)
        six = self.stream(socket.AF_INET6)
        self.only_sealed()
        outer = ["01:00:5e:09:09:09"]
        self.witness(four, "ip and not ipv6", ["ip.src", "ip.dst", "ip.ttl", "ip.dsfield.dscp", "eth.dst"],
                     ["10.9.7.1,10.1.0.1", f"239.9.9.9,{_GROUP4}", "9,1", "46,8", *outer])
        self.witness(six, "ip and ipv6", ["ip.src", "ip.dst", "ipv6.dst", "ip.ttl", "eth.dst"],
                     ["10.9.7.1", "239.9.9.9", _GROUP6, "9", *outer])

    def test_tunnel_fixed_in_ipv6(self):
        self.build_mode("tunnel-fixed", ("ff1e::9:9", "fd09::1", "fd09::2"))
        four = self.stream(socket.AF_INET)
        self.only_sealed()
        self.witness(four, "ipv6", ["ipv6.src", "ipv6.dst", "ipv6.hlim", "ip.dst", "eth.dst"],
                     ["fd09::1", "ff1e::9:9", "9", _GROUP4, "33:33:00:09:00:09"])

    def test_RFC4303_transport_in_both_ip_versions(self):
        self.build_mode("transport")
        four = self.stream(socket.AF_INET)
        six = self.stream(socket.AF_INET6)
        self.only_sealed()
        self.witness(four, "ip", ["ip.src", "ip.dst", "ip.ttl"], ["10.1.0.1", _GROUP4, "1"])
        self.witness(six, "ipv6", ["ipv6.src", "ipv6.dst", "ipv6.hlim"], ["fd00:1::1", _GROUP6, "1"])

    def test_H12_a_member_of_another_mode_gets_no_key(self):
        self.studio = self.lab.site("studio")
        self.keyserver = KeyServer(self.lab, selectors=e2e.SELECTORS, mode="transport")
        self.keyserver.start()
        self.studio.configure("sender", keyservers=[self.keyserver.endpoint], selectors=e2e.SELECTORS)
        gateway = self.studio.start()
        gateway.wait_for("expected the mode tunnel-preserve, got transport", 15)
        self.assertEqual(self.studio.key_count(), 0)


if __name__ == "__main__":
    e2e.main()
