"""A receiver that was stopped during rekeys recovers by itself."""
import os
import signal
import time

import e2e

_REKEYS = 6  # more than the epochs that are kept at once


class Slept(e2e.EndToEnd):
    def rekey(self):
        e2e.wait_until(lambda: len(self.keyserver.status()["groups"][0]["epochs"]) < 4, 20, "an old epoch to retire")
        self.lab.sealcast("rekey", "tv", "--socket", self.keyserver.admin_socket)
        e2e.wait_until(lambda: not self.keyserver.status()["groups"][0]["handing_over"], 20, "the hand-over to end")

    def test_a_receiver_that_slept_through_rekeys_is_back_by_itself(self):
        self.build(group_options='activation_delay = "300ms"\ndeactivation_delay = "300ms"\n')
        home = self.start_gateways()["home"]
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=300, size=700, seconds=120)
        self.wait_for_stream()
        for _ in range(2):
            before = self.home.membership()["epoch"]
            os.kill(home.pid, signal.SIGSTOP)
            try:
                for _ in range(_REKEYS):
                    self.rekey()
                sealed = self.studio.status()["dataplane"]["sealed"]
                e2e.wait_until(lambda: self.studio.status()["dataplane"]["sealed"] > sealed + 100, 10,
                               "the sender to go on without the receiver")
            finally:
                os.kill(home.pid, signal.SIGCONT)
            took = self.wait_for_stream(20)
            e2e.wait_until(lambda: self.home.membership()["epoch"] == self.studio.membership()["epoch"], 20,
                           "home to hold the sender's epoch")
            self.assertGreater(self.home.membership()["epoch"], before)
            print(f"\n  slept through {_REKEYS} rekeys, opens packets {took:.2f} s after it woke")
        # From then on rekeys reach it like any other: nothing is lost.
        opened, drops = self.home.opened(), self.drops(self.home)
        self.rekey()
        self.rekey()
        time.sleep(1)
        self.assertGreater(self.home.opened(), opened)
        self.assertEqual(self.drops(self.home), drops)
        sender.result()
        result = receiver.result()
        self.assertEqual((result["corrupt"], result["duplicates"]), (0, 0))


if __name__ == "__main__":
    e2e.main()
