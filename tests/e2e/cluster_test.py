"""Several key servers over a real etcd of three nodes: each part fails in turn while a stream runs. No packet is
lost or doubled, no (SPI, IV) pair is used twice, nothing is in clear, and the members are back within seconds."""
import json
import time
import unittest

import e2e
from lab import capture
from lab.cluster import PAUSE, RESUME, Cluster
from lab.process import LabError, wait_until
from lab.sealcast import Wire

_RATE = 400  # packets a second
# A failure's delays by the configuration, in seconds; the test allows more for a machine that others use, too.
_LEASE = 5        # [keyserver.cluster] lease_ttl
_SILENCE = 12     # after which a member asks another key server
_GRACE = 10       # for the members of a key server that vanished
_ACTIVATION = 2   # activation_delay
_SLACK = 15
_BACK = _SILENCE + 2 * _LEASE + _SLACK
_SWITCHED = _SILENCE + 2 * _LEASE + _GRACE + _ACTIVATION + _SLACK
_SERVING = 3 * _LEASE + _SLACK
_FOR_EVER = 900   # of a stream: it ends when the test says so


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
        self.figures = {}

    def stream(self):
        receiver = self.receiver(self.home)
        sender = self.sender(self.studio, rate=_RATE, size=500, seconds=_FOR_EVER)
        self.wait_for_stream()
        return sender, receiver

    def note(self, what, seconds):
        self.figures[what] = round(seconds, 1)
        print(f"\n  {what}: {seconds:.1f} s")

    def epochs(self):
        return [site.membership()["epoch"] for site in (self.studio, self.home)]

    def back(self, what, started, machines=None):
        """Both are joined at key servers that serve."""
        wait_until(lambda: self.cluster.joined(machines) == 2, _BACK,
                   f"both members to be back after: {what}; {self.lab.work}")
        self.note(f"members back, {what}", time.monotonic() - started)

    def serving(self, *machines):
        for machine in machines:
            wait_until(machine.serving, _SERVING, f"{machine.name} to serve again; {self.lab.work}")

    def new_epoch(self, what, before, started):
        """Both members have come to one epoch above all earlier ones."""
        wait_until(lambda: min(self.epochs()) > before and len(set(self.epochs())) == 1, _SWITCHED,
                   f"a new epoch at both after: {what}; {self.lab.work}")
        self.note(f"new epoch, {what}", time.monotonic() - started)

    def rekey(self, machine, what):
        before, started = max(self.epochs()), time.monotonic()
        end = started + _SERVING

        def asked():  # a key server that is just coming back reports that, and is asked again
            try:
                self.lab.sealcast("rekey", "tv", "--socket", machine.admin_socket)
            except LabError:
                if time.monotonic() > end:
                    raise
                return False
            return True
        wait_until(asked, _SERVING, "the key server to take the order")
        self.new_epoch(what, before, started)

    def finish(self, sender, receiver):
        sent = sender.result()
        time.sleep(0.5)
        received = receiver.result()
        self.lab.close()
        print(f"\n  sent {sent['sent']}, received {received['received']}")
        self.assertGreater(sent["sent"], 5 * _RATE)
        self.assertEqual(received["corrupt"], 0)
        self.assertEqual(received["duplicates"], 0)
        self.assertEqual(received["received"], sent["sent"], "no packet may be lost")
        self.assert_only_ciphertext(capture.summarize(self.wire.pcap))
        self.figures.update(test=self.id().rpartition(".")[2], sent=sent["sent"], received=received["received"])
        with open(e2e.WORK / "cluster-figures.jsonl", "a", encoding="ascii") as file:
            file.write(json.dumps(self.figures) + "\n")

    def serves(self, site):
        """The machine with the key server that the site's member has joined."""
        endpoint = site.membership()["keyserver"]
        return next(machine for machine in self.cluster.machines if machine.endpoint == endpoint)

    def other(self, machine):
        return next(m for m in self.cluster.machines if m is not machine and m.answers() and m.serving())

    def leader(self):
        return wait_until(self.cluster.leader, _SERVING, "a leader")

    def test_H9_KEY2_leader_killed_paused_and_cut_off(self):
        self.build_cluster()
        sender, receiver = self.stream()
        self.rekey(self.cluster.machines[2], "asked of any key server")

        leader = self.leader()
        started = time.monotonic()
        leader.process.kill()
        self.back("leader killed", started)
        self.rekey(self.other(leader), "leader killed")
        leader.start()
        self.serving(leader)

        # Stops the leader, and the sender's key server if that is another, for longer than their leases.
        paused = {self.leader(), self.serves(self.studio)}
        started = time.monotonic()
        for machine in paused:
            machine.signal(PAUSE)
        self.back("leader and the sender's key server paused", started)
        time.sleep(max(0.0, started + 2 * _LEASE - time.monotonic()))
        for machine in paused:
            machine.signal(RESUME)
        self.serving(*paused)
        self.back("those paused wake up", time.monotonic())
        self.rekey(next(iter(paused)), "asked of one that was paused")

        # A rekey begins before any key server has noticed the loss.
        lost = self.leader()
        started = time.monotonic()
        lost.link("down")
        self.rekey(self.other(lost), "leader and its etcd cut off")
        self.back("leader and its etcd cut off", started, [m for m in self.cluster.machines if m is not lost])
        lost.link("up")
        self.serving(lost)
        self.finish(sender, receiver)

    def test_H9_KEY2_all_restarted_and_an_old_backup_restored(self):
        self.build_cluster()
        sender, receiver = self.stream()
        backup = self.lab.work / "backup.db"
        self.cluster.save(backup)
        self.rekey(self.cluster.machines[1], "after the backup")

        before, started = max(self.epochs()), time.monotonic()
        for machine in self.cluster.machines:
            machine.process.kill()
        for machine in self.cluster.machines:
            machine.start()
        self.back("all key servers killed and started", started)
        self.new_epoch("all key servers killed and started", before, started)

        started = time.monotonic()
        for machine in self.cluster.machines:
            machine.etcd.kill()
        for machine in self.cluster.machines:
            machine.start_etcd()
        self.serving(*self.cluster.machines)
        self.back("all etcd nodes killed and started", started)
        self.rekey(self.cluster.machines[2], "all etcd nodes killed and started")

        before, started = max(self.epochs()), time.monotonic()
        self.cluster.restore(backup)
        self.new_epoch("old backup restored", before, started)
        self.back("old backup restored", started)
        self.finish(sender, receiver)

    def test_one_view_from_any_key_server(self):
        """What is joined at one key server is there for all; their clocks are one; revoke says what it waits for."""
        self.build_cluster()

        def ask(machine, command):
            return json.loads(self.lab.sealcast(command, "--json", "--socket", machine.admin_socket).stdout)

        def seen(machine):
            return {(member["member"], member["keyserver"]) for member in ask(machine, "members")["members"]}
        truth = {(site.name, self.serves(site).name) for site in (self.studio, self.home)}
        for machine in self.cluster.machines:
            wait_until(lambda machine=machine: seen(machine) == truth, 5, f"{machine.name} to show both members: {truth}")
            group = ask(machine, "groups")["groups"][0]
            self.assertEqual((group["joined"], group["missing_count"]), (2, 0))
            here = sum(1 for _, server in truth if server == machine.name)
            self.assertEqual(group["joined_here"], here)
            self.assertLess(machine.status()["cluster"]["clock_error_s"], 0.5)
        # A name that only another key server has met is known; one that none has is not.
        away = next(m for m in self.cluster.machines if m is not self.serves(self.home))
        self.lab.sealcast("revoke", "home", "--socket", away.admin_socket)
        wait_until(lambda: all(("home", server.name) not in seen(machine) for machine in self.cluster.machines
                               for server in self.cluster.machines), 5, "home to be joined nowhere")
        for machine in self.cluster.machines:
            with self.assertRaises(LabError) as unknown:
                self.lab.sealcast("revoke", "hom", "--socket", machine.admin_socket)
            self.assertIn("similar: home", str(unknown.exception))

    def test_members_outlive_an_etcd_that_is_gone(self):
        self.build_cluster()
        sender, receiver = self.stream()
        for machine in self.cluster.machines:
            machine.etcd.kill()
        wait_until(lambda: not any(machine.serving() for machine in self.cluster.machines), _SERVING, "no key server to serve")
        time.sleep(_LEASE)
        self.assertEqual(self.cluster.joined(), 0, "key servers that are cut off keep no members")
        before, started = max(self.epochs()), time.monotonic()
        for machine in self.cluster.machines:
            machine.start_etcd()
        self.back("etcd there again", started)
        self.new_epoch("etcd there again", before, started)
        self.finish(sender, receiver)


if __name__ == "__main__":
    e2e.main()
