"""Groups are added to running gateways and removed again (SIGHUP), and share one connection to the key server."""
import json
import signal
import time

import e2e
from lab import capture
from lab.process import run

_RADIO = "239.2.1.1"


def _group(site_text, name, selectors):
    """The text of the gateway's [[member.group]], for another group."""
    table = site_text[site_text.index("[[member.group]]"):]
    return table.replace('id = "tv"', f'id = "{name}"').replace(e2e_selectors(table), selectors)


def e2e_selectors(table):
    return next(line for line in table.splitlines() if line.startswith("selectors = ")).removeprefix("selectors = ")


class Groups(e2e.EndToEnd):
    members = {"studio": "tv", "home": "tv"}

    def setUp(self):
        super().setUp()
        for name in self.members:
            self.lab.sealcast("pki", "member", name, "--group", "tv", "--group", "radio", "--dir", "pki", "--force")

    def reload(self, process, log, path, text, expected):
        """Writes the configuration and sends SIGHUP; waits for the expected log line."""
        path.write_text(text)
        before = log.stat().st_size
        process.child.send_signal(signal.SIGHUP)

        def said():
            with open(log, encoding="utf-8") as file:
                file.seek(before)
                return expected in file.read()
        e2e.wait_until(said, 10, f"{log.name} to say: {expected}")

    def group(self, site, name):
        return next((one for one in site.status()["agent"]["groups"] if one["group"] == name), None)

    def connections_to_the_key_server(self, site):
        found = run(["ss", "-Htn", "state", "established", "dport", "=", ":7400"], namespace=site.outside).stdout
        return len(found.splitlines())

    def test_a_group_is_added_and_removed_while_another_streams(self):
        self.build()
        gateways = self.start_gateways()
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=1000, size=700, seconds=600)
        self.wait_for_stream()

        # The key server first, then the receiver, then the sender.
        alone = {site.name: site.config.read_text() for site in (self.studio, self.home)}
        selectors = '[ { destination = "239.2.1.0/24" } ]'
        ks_alone = self.keyserver.config.read_text()
        table = ks_alone[ks_alone.index("[[keyserver.group]]"):]
        ks_both = ks_alone + "\n" + table.replace('id = "tv"', 'id = "radio"').replace(e2e_selectors(table), selectors)
        both = {name: text + "\n" + _group(text, "radio", selectors) for name, text in alone.items()}
        self.reload(self.keyserver_process, self.keyserver.log, self.keyserver.config, ks_both, "reloaded id=")
        for site in (self.home, self.studio):
            self.reload(gateways[site.name], site.log, site.config, both[site.name], 'group "radio": taken up')
        for site in (self.home, self.studio):
            e2e.wait_until(lambda: self.group(site, "radio")["state"] == "joined", 10, f"{site.name} to join radio")
            self.assertEqual(self.connections_to_the_key_server(site), 1, "both groups share it")
        second = self.receiver_of(_RADIO)
        self.sender_of(_RADIO, count_seconds=3).wait(10)
        heard = second.result()
        self.assertEqual(heard["received"], 600)

        # An invalid file changes nothing.
        self.reload(gateways["home"], self.home.log, self.home.config, both["home"].replace("variant = 2", "variant = 9"),
                    "reload refused")
        self.assertEqual(self.group(self.home, "radio")["state"], "joined")

        # Gone at both ends: none of its packets crosses any more, least of all in clear.
        for site in (self.studio, self.home):
            self.reload(gateways[site.name], site.log, site.config, alone[site.name], 'group "radio": let go')
            self.assertIsNone(self.group(site, "radio"))
        dropped = self.drops(self.studio).get("no_policy", 0)
        third = self.receiver_of(_RADIO)
        sent = self.sender_of(_RADIO, count_seconds=2).wait(10)["sent"]
        self.assertEqual(third.result()["received"], 0)
        self.assertGreaterEqual(self.drops(self.studio).get("no_policy", 0) - dropped, sent)
        self.reload(self.keyserver_process, self.keyserver.log, self.keyserver.config, ks_alone, "reloaded id=")
        e2e.wait_until(lambda: len(self.keyserver.status()["groups"]) == 1, 5, "the key server to have let go of radio")

        tally = sender.result()
        time.sleep(0.5)
        result = receiver.result()
        self.assertEqual(result["received"], tally["sent"], "tv lost nothing over all that")
        self.assertEqual(result.get("duplicates", 0), 0)
        self.assertEqual(self.group(self.home, "tv")["state"], "joined")
        self.lab.close()
        self.assert_only_ciphertext(capture.summarize(self.wire.pcap))

    def test_a_hundred_groups_share_a_connection_and_come_and_go(self):
        self.build()
        gateways = self.start_gateways()
        count = 100
        ks_alone = self.keyserver.config.read_text()
        table = ks_alone[ks_alone.index("[[keyserver.group]]"):]
        alone = self.home.config.read_text()
        ks_all, every = ks_alone, alone
        for i in range(count):
            selectors = f'[ {{ destination = "239.3.{i}.0/24" }} ]'
            ks_all += "\n" + table.replace('id = "tv"', f'id = "g{i}"').replace(e2e_selectors(table), selectors)
            every += "\n" + _group(alone, f"g{i}", selectors)
        self.lab.sealcast("pki", "member", "home", "--all-groups", "--dir", "pki", "--force")
        self.reload(self.keyserver_process, self.keyserver.log, self.keyserver.config, ks_all, "reloaded id=")

        def joined():
            return self.home.status()["agent"]["joined"]
        for _ in range(3):
            self.reload(gateways["home"], self.home.log, self.home.config, every, 'group "g99": taken up')
            e2e.wait_until(lambda: joined() == count + 1, 20, "home to join all groups")
            self.assertLessEqual(self.connections_to_the_key_server(self.home), 2, "tv's is of the certificate before")
            self.reload(gateways["home"], self.home.log, self.home.config, alone, 'group "g99": let go')
            e2e.wait_until(lambda: joined() == 1, 5, "home to leave all but tv")
            sas = json.loads(self.lab.sealcast("sas", "--all", "--json", "--socket", self.home.admin_socket).stdout)["sas"]
            self.assertEqual({sa["group"] for sa in sas}, {"tv"}, "no key of any other is left")
        self.assertEqual(self.group(self.home, "tv")["joins"], 1)

    def receiver_of(self, group):
        counting = e2e.programs.Counting(self.lab.tool("sealcast-traffic"), "receive", self.home.red, self.home.address,
                                         self.lab.work / "radio-receiver.log", group=group)
        self.lab.adopt(counting.process)
        return counting

    def sender_of(self, group, count_seconds):
        counting = e2e.programs.Counting(self.lab.tool("sealcast-traffic"), "send", self.studio.red, self.studio.address,
                                         self.lab.work / "radio-sender.log", group=group, rate=200, size=300,
                                         seconds=count_seconds)
        self.lab.adopt(counting.process)
        return counting


if __name__ == "__main__":
    e2e.main()
