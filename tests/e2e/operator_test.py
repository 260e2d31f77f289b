"""An operator's view of a running data plane: ports, groups, sas, top, trace and DPDK's telemetry, from real
packets, each compared with what was really sent."""
import json
import pathlib
import re
import socket
import time

import e2e
from lab import net
from lab.process import Process, run

_BAD_PORT = 4999  # outside SELECTORS' ports of the group


class Operator(e2e.EndToEnd):
    def run_stream(self):
        """Starts everything, sends a counted stream from studio to home; returns how many packets."""
        self.build()
        self.studio.config.write_text(self.studio.config.read_text().replace("[gateway]", "[gateway]\ntelemetry = true"))
        self.assertIn("telemetry", self.studio.config.read_text())
        self.start_gateways()
        receiver = self.receiver(self.home)
        sent = self.sender(self.studio, rate=500, size=700, seconds=2).wait(10)["sent"]
        self.assertGreater(sent, 500)
        e2e.wait_until(lambda: self.home.opened() >= sent, 10, "home to have opened what was sent")
        self.assertEqual(receiver.result()["received"], sent)
        return sent

    def ask(self, site, *arguments):
        """A view of one gateway as text."""
        return self.lab.sealcast(*arguments, "--socket", site.admin_socket).stdout

    def asked(self, site, *arguments):
        """The same as JSON."""
        return json.loads(self.ask(site, *arguments, "--json"))

    def send_denied(self, count):
        """Datagrams to the group's address and a port that no selector covers."""
        sender, _, (group, _) = self.sockets(socket.AF_INET)
        for _ in range(count):
            sender.sendto(b"not for the group" * 4, (group, _BAD_PORT))
            time.sleep(0.002)

    def test_views_tell_what_was_sent(self):
        sent = self.run_stream()
        groups = self.asked(self.studio, "groups")
        tv = next(group for group in groups["groups"] if group["group"] == "tv")
        self.assertGreaterEqual(tv["sealed"], sent)
        sealing = [sa for sa in self.asked(self.studio, "sas")["sas"] if sa["direction"] == "out" and sa["packets"]]
        self.assertEqual(sum(sa["packets"] for sa in sealing), tv["sealed"])
        inbound = [sa for sa in self.asked(self.home, "sas")["sas"] if sa["direction"] == "in" and sa["packets"]]
        self.assertEqual({sa["spi"] for sa in inbound}, {sa["spi"] for sa in sealing})
        self.assertEqual([sa["sender"]["lost"] for sa in inbound], [0] * len(inbound))
        black = next(port for port in self.asked(self.home, "ports")["ports"] if port["name"] == "black")
        self.assertGreaterEqual(black["rx_packets"], sent)

        self.assertRegex(self.ask(self.studio, "groups"), rf"(?m)^ *tv\b.*\b{tv['sealed']:,}\b")
        self.assertIn("af_packet:red", self.ask(self.studio, "ports"))
        screens = self.ask(self.studio, "top", "--count", "2", "--interval", "0.5")
        self.assertEqual(len(re.findall(r"(?m)^ *tv\b", screens)), 2, screens)
        self.assertEqual(len(re.findall(r"(?m)^ *red\b", screens)), 2, screens)

    def test_trace_says_what_would_become_of_a_packet_and_what_became_of_one(self):
        self.run_stream()
        before = self.studio.status()["dataplane"]["sealed"]
        packet = ["trace", "--what-if", "--src", self.studio.address, "--dst", e2e.GROUP4, "--sport", "5000"]
        sealed = self.ask(self.studio, *packet, "--dport", e2e.PORT)
        self.assertRegex(sealed, r"(?m)^verdict +seal", sealed)
        denied = self.ask(self.studio, *packet, "--dport", _BAD_PORT)
        self.assertRegex(denied, r"(?m)^verdict +dropped: no_policy", denied)
        black = self.ask(self.home, "trace", "--what-if", "--side", "black", "--src", "10.1.0.1", "--dst", e2e.GROUP4,
                         "--dport", e2e.PORT)
        self.assertRegex(black, r"(?m)^verdict +dropped", "plain traffic from black goes nowhere")
        self.assertEqual(self.studio.status()["dataplane"]["sealed"], before, "nothing was sent")

        log = self.lab.work / "drops.txt"
        watch = self.lab.adopt(Process("trace", [self.lab.tool("sealcast"), "trace", "--drops", "--for", 20, "--count", 5,
                                                 "--socket", self.studio.admin_socket], log))
        time.sleep(1)
        self.send_denied(50)
        e2e.wait_until(lambda: not watch.running(), 15, "the trace to have seen five")
        seen = log.read_text()
        self.assertEqual(len(seen.splitlines()), 5, seen)
        lines = [line for line in seen.splitlines() if "no_policy" in line]  # home's IGMP report may be among the five
        self.assertGreaterEqual(len(lines), 3, seen)
        for line in lines:
            self.assertIn(e2e.GROUP4, line)
            self.assertIn(str(_BAD_PORT), line)
            self.assertNotIn("not for the group", line)
        self.assertGreaterEqual(self.drops(self.studio)["no_policy"], 50)

    def test_telemetry_answers_DPDKs_own_client(self):
        sent = self.run_stream()
        folder = pathlib.Path("/var/run/dpdk") / f"sealcast-{pathlib.Path(self.studio.admin_socket).stem}"
        self.assertEqual(folder.stat().st_mode & 0o777, 0o700)
        self.send_denied(20)
        time.sleep(1.5)  # figures are at most a second old

        def query(command):
            """DPDK's telemetry protocol: SOCK_SEQPACKET, a greeting, then one message each way."""
            with net.inside(self.studio.outside), socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
                client.settimeout(5)
                client.connect(str(folder / "dpdk_telemetry.v2"))
                client.recv(1024)
                client.send(command.encode())
                return json.loads(client.recv(1 << 16))[command.split(",")[0]]
        self.assertGreaterEqual(query("/sealcast/status")["sealed"], sent)
        groups = query("/sealcast/groups")
        self.assertIn("tv", json.dumps(groups))
        self.assertGreaterEqual(query("/sealcast/drops")["no_policy"], 20)
        for command in ("/sealcast/sas", "/sealcast/ports", "/sealcast/workers"):
            self.assertTrue(query(command), command)
        listed = run(["/usr/bin/python3", "/usr/bin/dpdk-telemetry.py", "-l"]).stdout
        self.assertIn(folder.name, listed, "DPDK's own client finds it")


if __name__ == "__main__":
    e2e.main()
