"""Groups joined on demand: a report on red fetches the key, the last listener's leave gives it back."""
import e2e
from lab import igmp, programs


class OnDemand(e2e.EndToEnd):
    def state(self):
        return self.home.membership()["state"]

    def ask_for_listeners(self, group=programs.GROUP):
        with igmp.link(self.home.red) as querier:
            querier.send(igmp.query(group))

    def test_a_report_joins_and_the_last_leave_releases(self):
        self.build()
        self.home.configure("receiver", keyservers=[self.keyserver.endpoint], group_lines='join = "on-demand"')
        self.studio.start()
        self.home.start()
        e2e.wait_until(lambda: self.studio.ready() and self.home.linked(), 15, "studio joined, all links up")
        sender = self.sender(self.studio, rate=200, size=700, seconds=90)
        e2e.wait_until(lambda: self.studio.status()["dataplane"]["sealed"] > 100, 15, "studio to seal")
        self.assertEqual(self.state(), "idle", "no host listens yet")
        self.assertEqual(self.home.opened(), 0)

        listener = self.receiver(self.home)
        e2e.wait_until(lambda: self.state() == "joined", 5, "home to join when its host reports")
        e2e.wait_until(lambda: self.home.opened() > 100, 5, "home to open the stream")
        self.assertGreater(listener.result()["received"], 0)

        # The listener is gone. Before the querier's question others might still be there.
        self.assertEqual(self.state(), "joined")
        self.ask_for_listeners()
        e2e.wait_until(lambda: self.state() == "idle", 6, "home to leave when no host answers")
        self.assertEqual(self.home.key_count(), 0, "keys of a group without listeners")
        opened = self.home.opened()

        again = self.receiver(self.home)
        e2e.wait_until(lambda: self.state() == "joined", 5, "home to join again")
        e2e.wait_until(lambda: self.home.opened() > opened + 100, 5, "home to open the stream again")
        self.assertGreater(again.result()["received"], 0)
        sender.result()
        self.assertEqual(self.home.membership()["joins"], 2)


if __name__ == "__main__":
    e2e.main()
