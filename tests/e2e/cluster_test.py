"""Several key servers over a real etcd of three nodes: each fails in its turn while a stream runs. No packet is lost or
doubled, no (SPI, IV) pair is used twice, and the members are back within seconds."""
import time
import unittest

import e2e
from lab import capture
from lab.cluster import PAUSE, RESUME, Cluster
from lab.process import wait_until
from lab.sealcast import Wire

_RATE = 400      # packets a second
_BACK = 25       # seconds for members to be joined again: a silent key server is noticed after 12
_SWITCHED = 40   # seconds for a rekey, with a key server that vanished in the midst of it


class ClusterTest(e2e.EndToEnd):
    def build_cluster(self):
        self.studio, self.home, self.others = self.lab.site("studio"), self.lab.site("home"), {}
        self.cluster = Cluster(self.lab)
        self.cluster.start()
        endpoints = self.cluster.endpoints()
        self.studio.configure("sender", keyservers=endpoints)
        self.home.configure("receiver", keyservers=endpoints[1:] + endpoints[:1])  # another one than studio's
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.lab.work / "wire.pcap")
        self.start_gateways()

    def stream(self, seconds):
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=_RATE, size=500, seconds=seconds)
        self.wait_for_stream()
        return sender, receiver

    def epochs(self):
        return [site.membership()["epoch"] for site in (self.studio, self.home)]

    def back(self, what, started):
        """Both are joined at key servers that serve."""
        wait_until(lambda: self.cluster.joined() == 2, _BACK, f"both members to be back after: {what}; {self.lab.work}")
        print(f"\n  {what}: members joined {time.monotonic() - started:.1f} s after")

    def rekey(self, machine, what):
        """Both members come to one epoch above all earlier ones."""
        before = max(self.epochs())
        started = time.monotonic()
        self.lab.sealcast("rekey", "tv", "--socket", machine.admin_socket)
        wait_until(lambda: min(self.epochs()) > before, _SWITCHED, f"a new epoch at both after: {what}; {self.lab.work}")
        print(f"\n  {what}: new epoch at both {time.monotonic() - started:.1f} s after it was asked for")

    def finish(self, sender, receiver):
        sent = sender.result()
        time.sleep(0.5)
        received = receiver.result()
        self.lab.close()
        print(f"\n  sent {sent['sent']}, received {received['received']}")
        self.assertEqual(received["corrupt"], 0)
        self.assertEqual(received["duplicates"], 0)
        self.assertEqual(received["received"], sent["sent"], "no packet may be lost")
        self.assert_only_ciphertext(capture.summarize(self.wire.pcap))

    def serves(self, site):
        """The machine whose key server the site's member is joined at."""
        endpoint = site.membership()["keyserver"]
        return next(machine for machine in self.cluster.machines if machine.endpoint == endpoint)

    def other(self, machine):
        return next(m for m in self.cluster.machines if m is not machine and m.answers())

    def test_H9_KEY2_leader_killed_paused_and_cut_off(self):
        self.build_cluster()
        sender, receiver = self.stream(110)
        self.rekey(self.cluster.machines[2], "rekey asked of any key server")

        leader = wait_until(self.cluster.leader, 10, "a leader")
        started = time.monotonic()
        leader.process.kill()
        self.back("leader killed", started)
        self.rekey(self.other(leader), "while the killed one is away")
        leader.start()
        wait_until(leader.serving, 15, "the killed one to serve again")

        # The leader and the one that serves the sender, if that is another.
        paused = {wait_until(self.cluster.leader, 15, "a leader"), self.serves(self.studio)}
        started = time.monotonic()
        for machine in paused:
            machine.signal(PAUSE)
        self.back("leader and the sender's key server paused", started)
        for machine in paused:
            machine.signal(RESUME)
        for machine in paused:
            wait_until(machine.serving, 15, "the paused ones to serve again")
        self.back("they wake up", time.monotonic())

        # A rekey begins before its members have noticed anything.
        lost = self.serves(self.studio)
        started = time.monotonic()
        lost.link("down")
        self.rekey(self.other(lost), "the sender's key server and its etcd cut off")
        wait_until(lambda: self.cluster.joined([m for m in self.cluster.machines if m is not lost]) == 2, _BACK,
                   f"both members at the machines that are left; {self.lab.work}")
        lost.link("up")
        wait_until(lost.serving, 20, "the one that was cut off to serve again")
        self.finish(sender, receiver)

    def test_H9_KEY2_all_restarted_and_an_old_backup_restored(self):
        self.build_cluster()
        sender, receiver = self.stream(90)
        backup = self.lab.work / "backup.db"
        self.cluster.save(backup)
        self.rekey(self.cluster.machines[1], "after the backup")

        started = time.monotonic()
        for machine in self.cluster.machines:
            machine.process.kill()
        for machine in self.cluster.machines:
            machine.start()
        self.back("all key servers killed and started", started)

        before = max(self.epochs())
        started = time.monotonic()
        self.cluster.restore(backup)
        wait_until(lambda: min(self.epochs()) > before, _BACK + _SWITCHED, f"new epochs after the restore; {self.lab.work}")
        print(f"\n  old backup restored: new epoch at both {time.monotonic() - started:.1f} s after")
        self.back("old backup restored", started)
        self.finish(sender, receiver)

    def test_members_outlive_an_etcd_that_is_gone(self):
        self.build_cluster()
        sender, receiver = self.stream(45)
        for machine in self.cluster.machines:
            machine.etcd.kill()
        wait_until(lambda: not any(machine.serving() for machine in self.cluster.machines), 15, "nobody to serve")
        time.sleep(5)
        self.assertEqual(self.cluster.joined(), 0, "who is cut off keeps no members")
        started = time.monotonic()
        for machine in self.cluster.machines:
            machine.start_etcd()
        self.back("etcd there again", started)
        self.finish(sender, receiver)


if __name__ == "__main__":
    e2e.main()
