"""Gateways that reach the key server only over black, through their host interfaces."""
import socket

import e2e
from lab import capture, net
from lab.process import run

_KEYSERVER = "10.20.0.1"


class HostInterface(e2e.EndToEnd):
    def build_over_black(self):
        """The key server is embedded in studio and listens on studio's host interface; there is no management
        network."""
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        for number, (site, role) in enumerate(((self.studio, "sender"), (self.home, "receiver")), start=1):
            site.configure(role, keyservers=[f"{_KEYSERVER}:7400"], embedded=site is self.studio)
            text = site.config.read_text()
            text = text.replace(f'local_address = "{site.management}"\n', "")
            text = text.replace(f'listen = "{site.management}:7400"', f'listen = "{_KEYSERVER}:7400"')
            text = text.replace("mtu = 1600\n", f'mtu = 1600\nhost = "tap:sc-host"\nhost_address = "10.20.0.{number}/24"\n')
            site.config.write_text(text)
            self.lab.network.set_link(site.outside, "mgmt0", False)
        self.wire = e2e.Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")

    def test_H10_key_server_is_reached_over_black_and_nothing_else_is(self):
        self.build_over_black()
        processes = self.start_gateways()
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=500, size=700, seconds=60)
        self.wait_for_stream()

        # Packets that the interface may not send stay on this side: an echo, and TCP to another port.
        def echo(address):
            ping = ["ping", "-c", "2", "-i", "0.2", "-W", "1", address]
            return run(ping, namespace=self.home.outside, check=False).returncode == 0
        self.assertTrue(echo("10.20.0.2"), "its own address answers")
        self.assertFalse(echo(_KEYSERVER))
        with net.inside(self.home.outside):
            stranger = socket.socket()
        stranger.settimeout(1)
        with self.assertRaises(OSError):
            stranger.connect((_KEYSERVER, 22))
        stranger.close()
        self.assertGreater(self.drops(self.home).get("host_not_allowed", 0), 0)

        # The key server dies and restarts with its gateway: home joins again over black.
        processes["studio"].kill()
        self.studio.start()
        self.wait_for_stream(30)
        sender.result()
        result = receiver.result()
        self.assertEqual((result["corrupt"], result["duplicates"]), (0, 0))
        # Deleted under the gateway, the interface is made again.
        run(["ip", "link", "delete", "sc-host"], namespace=self.home.outside)
        e2e.wait_until(lambda: "10.20.0.2" in run(["ip", "-4", "addr", "show", "dev", "sc-host"],
                                                  namespace=self.home.outside, check=False).stdout, 10,
                       "home's host interface to be made again")
        self.lab.close()
        summary = capture.summarize(self.wire.pcap)
        self.assertTrue(summary.esp)
        self.assertEqual(summary.repeated, [])
        strangers = [line for line in summary.others
                     if not line.startswith("EtherType 0x0806,")
                     and not (line.startswith("IPv4 protocol 6, ") and _KEYSERVER in line)]
        self.assertEqual(strangers, [], "only ARP and TCP with the key server may be on the wire beside ESP and IGMP")


if __name__ == "__main__":
    e2e.main()
