"""Groups joined on demand: a report on red fetches the key, the last listener's leave gives it back."""
import textwrap

import e2e
from lab import programs
from lab.process import run

# A querier's question about one group (RFC 3376 §4.1), 1 s to answer, robustness 2: after 2 s without an answer nobody is left.
_QUERY = textwrap.dedent("""
    import socket, struct, sys

    def checksum(data):
        total = sum(struct.unpack(f"!{len(data) // 2}H", data))
        total = (total & 0xffff) + (total >> 16)
        return ~(total + (total >> 16)) & 0xffff

    interface, source, group = sys.argv[1], socket.inet_aton(sys.argv[2]), socket.inet_aton(sys.argv[3])
    message = struct.pack("!BBH4sBBH", 0x11, 10, 0, group, 2, 125, 0)
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    header = struct.pack("!BBHHHBBH4s4s4s", 0x46, 0xc0, 24 + len(message), 0, 0, 1, 2, 0, source, group, bytes([148, 4, 0, 0]))
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((interface, 0))
    mac = bytes([0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]])
    out.send(mac + bytes([2, 0, 0, 0, 0, 0xfe]) + struct.pack("!H", 0x0800) + header + message)
""")


class OnDemand(e2e.EndToEnd):
    def state(self):
        return self.home.membership()["state"]

    def ask_who_listens(self, group=programs.GROUP):
        run(["/usr/bin/python3", "-c", _QUERY, "eth0", "10.1.0.254", group], namespace=self.home.red)

    def test_a_report_joins_and_the_last_leave_releases(self):
        self.build()
        self.home.configure("receiver", keyservers=[self.keyserver.endpoint], group_lines='join = "on-demand"')
        self.studio.start()
        self.home.start()
        e2e.wait_until(lambda: self.studio.ready() and self.home.linked(), 15, "studio joined, all links up")
        sender = self.sender(self.studio, rate=200, size=700, seconds=90)
        e2e.wait_until(lambda: self.studio.status()["dataplane"]["sealed"] > 100, 15, "studio to seal")
        self.assertEqual(self.state(), "idle", "nobody listens yet")
        self.assertEqual(self.home.opened(), 0)

        listener = self.receiver(self.home)
        e2e.wait_until(lambda: self.state() == "joined", 5, "home to join when its host reports")
        e2e.wait_until(lambda: self.home.opened() > 100, 5, "home to open the stream")
        self.assertGreater(listener.result()["received"], 0)

        # The listener is gone. Without the querier's question others might still be there.
        self.assertEqual(self.state(), "joined")
        self.ask_who_listens()
        e2e.wait_until(lambda: self.state() == "idle", 6, "home to leave when nobody answers")
        self.assertEqual(self.home.status()["dataplane"]["sas"], [], "keys of a group that nobody wants")
        opened = self.home.opened()

        again = self.receiver(self.home)
        e2e.wait_until(lambda: self.state() == "joined", 5, "home to join again")
        e2e.wait_until(lambda: self.home.opened() > opened + 100, 5, "home to open the stream again")
        self.assertGreater(again.result()["received"], 0)
        sender.result()
        self.assertEqual(self.home.membership()["joins"], 2)


if __name__ == "__main__":
    e2e.main()
