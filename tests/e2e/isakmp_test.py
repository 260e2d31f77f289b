"""A gateway with a control connection in ISAKMP messages (P34), beside one that uses TLS alone: one key server, one
group, one stream."""
import collections

import e2e
from lab.process import run
from lab.sealcast import KeyServer, Wire

_PORT = 7500
_PACKETS = 400
Message = collections.namedtuple("Message", "from_server initiator responder version exchange flags id length segment next")


def read_by_tshark(pcap):
    """Every TCP segment with data as tshark's ISAKMP dissector reads it."""
    fields = ("tcp.srcport", "isakmp.ispi", "isakmp.rspi", "isakmp.version", "isakmp.exchangetype", "isakmp.flags",
              "isakmp.messageid", "isakmp.length", "tcp.len", "isakmp.nextpayload")
    arguments = ["tshark", "-r", pcap, "-d", f"tcp.port=={_PORT},isakmp", "-o", "tcp.analyze_sequence_numbers:FALSE",
                 "-Y", "tcp.len > 0", "-T", "fields", "-E", "separator=;", "-e", "tcp.seq"]
    for field in fields:
        arguments += ["-e", field]
    messages, known = [], set()
    for line in run(arguments).stdout.splitlines():
        number, *cells = line.split(";")
        if (number, cells[0]) in known:
            continue  # on a busy machine TCP resends data that arrived
        known.add((number, cells[0]))
        messages.append(Message(cells[0] == str(_PORT), *cells[1:]))
    return messages


class Isakmp(e2e.EndToEnd):
    def setUp(self):
        super().setUp()
        self.keyserver = KeyServer(self.lab, server_options=f'listen_isakmp = "10.9.0.100:{_PORT}"\n',
                                   group_options='epoch_lifetime = "8s"\nactivation_delay = "500ms"\n'
                                                 'deactivation_delay = "1s"\n')
        self.keyserver_process = self.keyserver.start()
        self.studio, self.home = self.lab.site("studio"), self.lab.site("home")
        self.studio.configure("sender", keyservers=[f"{self.keyserver.address}:{_PORT}"])
        self.studio.config.write_text(
            self.studio.config.read_text().replace('role = "sender"\n', 'role = "sender"\ncarriage = "isakmp"\n'))
        self.home.configure("receiver", keyservers=[self.keyserver.endpoint])
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")

    def test_P34_a_gateway_joins_over_isakmp_and_its_stream_is_opened(self):
        self.lab.sealcast("check", self.keyserver.config)
        self.lab.sealcast("check", self.studio.config)
        pcap = self.lab.work / "isakmp.pcap"
        dump = self.lab.capture(self.keyserver.outside, "mgmt0", pcap, f"tcp port {_PORT}")
        self.start_gateways()
        receiver = self.receiver(self.home, quiet_ms=800)
        sent = self.sender(self.studio, rate=400, size=500, seconds=_PACKETS / 400).wait(10)
        received = receiver.wait(10)
        self.assertEqual((sent["sent"], received["received"], received["corrupt"]), (_PACKETS, _PACKETS, 0))

        self.assertEqual([site.membership()["carriage"] for site in (self.studio, self.home)], ["isakmp", "tls"])
        status = self.keyserver.status()
        self.assertEqual(status["listen_isakmp"], f"{self.keyserver.address}:{_PORT}")
        self.assertEqual({member["member"]: member["carriage"] for member in status["groups"][0]["members"]},
                         {"studio": "isakmp", "home": "tls"})
        self.assertEqual(status["isakmp"], {"connections": 1, "cookies_shown": 1})
        self.assertRegex(self.lab.sealcast("status", "--socket", self.studio.admin_socket).stdout, "carriage: isakmp")
        self.assertIn("carriage isakmp", self.studio.log.read_text())
        self.assertRegex(self.keyserver.log.read_text(), 'member_joined .*member="studio" .*carriage=isakmp')

        e2e.wait_until(lambda: all(site.membership()["rekeys"] > 0 for site in (self.studio, self.home)), 15,
                       "the next epoch to reach both")
        self.assertEqual(self.studio.membership()["joins"], 1)
        dump.stop()
        self.look_at(read_by_tshark(pcap))

    def look_at(self, messages):
        self.assertGreaterEqual(len(messages), 11, "8 of the join, GroupUpdate, its acknowledgement, Activate")
        counts = {True: 0, False: 0}
        for place, message in enumerate(messages):
            with self.subTest(place=place, message=message):
                self.assertEqual((message.version, message.exchange, message.flags), ("0x10", "240", "0x00"))
                self.assertEqual(message.length, message.segment)
                self.assertEqual(message.initiator, messages[0].initiator)
                self.assertEqual(message.responder, messages[1].responder if place else "0" * 16)
                self.assertEqual(message.next, "128,0" if place > 1 else "0", "payload type 128, and one of them")
                if place >= 8:
                    counts[message.from_server] += 1
                self.assertEqual(int(message.id, 16), counts[message.from_server])

    def test_P34_a_restarted_key_server_gets_its_gateway_back(self):
        self.start_gateways()
        self.keyserver_process.kill()
        e2e.wait_until(lambda: self.studio.membership()["state"] == "reconnecting", 10, "studio to notice")
        self.keyserver.start()
        e2e.wait_until(lambda: self.studio.membership()["joins"] == 2, 20, "studio to join again")
        self.assertEqual(self.studio.membership()["carriage"], "isakmp")


if __name__ == "__main__":
    e2e.main()
