#!/usr/bin/env python3
"""The demo's figures: gateways are read in an order that never shows more opened than sealed, and close together."""
import io
import itertools
import json
import pathlib
import random
import socket
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "scripts" / "lib")]

import sampling  # noqa: E402
from lab.process import LabError  # noqa: E402
from live_table import LiveTable  # noqa: E402


def status(taken=0.0, sealed=0, opened=0, red_rx=0, black_tx=0, black_rx=0, red_tx=0, dropped=None):
    return {"dataplane": {
        "taken_s": taken, "sealed": sealed, "opened": opened,
        "ports": [{"name": "red", "rx_packets": red_rx, "tx_packets": red_tx},
                  {"name": "black", "rx_packets": black_rx, "tx_packets": black_tx}],
        "drops": [{"reason": reason, "packets": count} for reason, count in (dropped or {}).items()]}}


class World:
    """A stream from studio to home and attic. Every step takes time; a gateway reads its counters at any moment
    between the request and its answer, the worst one for us if `worst`."""

    def __init__(self, seed=None, worst=False):
        self.random, self.worst = random.Random(seed), worst
        self.now, self.sealed, self.opened = 0.0, 0, 0
        self.events = []

    def go_on(self):
        self.now += self.random.random()
        self.sealed += self.random.randrange(1000)
        self.opened = self.random.randint(self.opened, self.sealed)
        if self.worst:
            self.opened = self.sealed

    def connect(self, name, path):
        self.events.append(("connect", name))
        return Source(self, name, path)


class Source:
    def __init__(self, world, name, path):
        self.world, self.name, self.status = world, name, None
        assert path == f"/{name}.sock"

    def read(self):
        if self.status is None:
            world = self.world
            self.status = status(world.now, **({"sealed": world.sealed} if self.name == "studio" else {"opened": world.opened}))

    def ask(self):
        self.world.events.append(("ask", self.name))
        early = self.name == "studio" if self.world.worst else self.world.random.random() < 0.5
        if early:
            self.read()
        self.world.go_on()

    def answer(self):
        self.world.events.append(("answer", self.name))
        self.world.go_on()
        self.read()
        return self.status

    def close(self):
        self.world.events.append(("close", self.name))


class Look(unittest.TestCase):
    def look(self, world):
        world.go_on()
        return sampling.look({"home": "/home.sock", "attic": "/attic.sock"}, {"studio": "/studio.sock"}, world.connect)

    def test_never_more_opened_than_sealed(self):
        for seed, worst in itertools.product(range(300), (False, True)):
            world = World(seed, worst)
            for _ in range(3):
                statuses = self.look(world).statuses
                for receiver in ("home", "attic"):
                    self.assertLessEqual(statuses[receiver]["dataplane"]["opened"], statuses["studio"]["dataplane"]["sealed"])

    def test_the_order_is_what_makes_it_so(self):
        """The same worst case with the sender read first: the test above would notice."""
        world = World(1, worst=True)
        world.go_on()
        statuses = sampling.look({"studio": "/studio.sock"}, {"home": "/home.sock"}, world.connect).statuses
        self.assertGreater(statuses["home"]["dataplane"]["opened"], statuses["studio"]["dataplane"]["sealed"])

    def test_all_connections_first_then_all_requests_of_a_half_before_its_answers(self):
        world = World(0)
        self.look(world)
        self.assertEqual(world.events[:9], [
            ("connect", "home"), ("connect", "attic"), ("connect", "studio"),
            ("ask", "home"), ("ask", "attic"), ("answer", "home"), ("answer", "attic"),
            ("ask", "studio"), ("answer", "studio")])
        self.assertEqual(sorted(world.events[9:]), [("close", "attic"), ("close", "home"), ("close", "studio")])

    def test_senders_stand_first_and_the_spread_is_the_gateways_own(self):
        world = World(0)
        look = self.look(world)
        self.assertEqual(list(look.statuses), ["studio", "home", "attic"])
        times = [one["dataplane"]["taken_s"] for one in look.statuses.values()]
        self.assertEqual(look.spread_s, max(times) - min(times))

    def test_connections_are_closed_when_a_gateway_fails(self):
        world = World(0)

        def fail(self):
            raise LabError("gone")
        Source.answer, answer = fail, Source.answer
        self.addCleanup(setattr, Source, "answer", answer)
        with self.assertRaisesRegex(LabError, "gone"):
            self.look(world)
        self.assertEqual(len([event for event in world.events if event[0] == "close"]), 3)


class Connection(unittest.TestCase):
    """The real connection against a socket that answers as an admin socket does, or does not."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sealcast-sampling-")
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "admin.sock"

    def serve(self, *pieces):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()

        def answer():
            with listener, listener.accept()[0] as client:
                self.request = client.makefile("rb").readline()
                for piece in pieces:
                    client.sendall(piece)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        self.addCleanup(thread.join)

    def test_an_answer_in_pieces(self):
        text = json.dumps(status(1.5, sealed=7)).encode() + b"\n"
        self.serve(text[:10], text[10:])
        look = sampling.look({}, {"studio": self.path})
        self.assertEqual((look.statuses, look.spread_s), ({"studio": status(1.5, sealed=7)}, 0))
        self.assertEqual(json.loads(self.request), {"command": "status"})

    def test_a_refusal(self):
        self.serve(b'{"error": "too many clients (16); try again"}\n')
        with self.assertRaisesRegex(LabError, "home refused to give its status: too many clients"):
            sampling.look({"home": self.path}, {})

    def test_a_gateway_that_ends(self):
        self.serve(b'{"dataplane": ')
        with self.assertRaisesRegex(LabError, "home closed its admin socket"):
            sampling.look({"home": self.path}, {})

    def test_a_gateway_that_is_not_there(self):
        with self.assertRaisesRegex(LabError, "home does not serve its admin socket"):
            sampling.look({"home": self.path}, {})


class Table(unittest.TestCase):
    def test_rates_are_by_the_time_of_the_figures(self):
        out = io.StringIO()
        table = LiveTable(redraw=True, out=out)
        table.show("first", {"home": status(taken=100.0, black_rx=1000, red_tx=900)})
        table.show("second", {"home": status(taken=102.0, black_rx=3000, red_tx=1900, opened=1900,
                                             dropped={"unknown_spi": 3, "none": 9, "replay": 0})})
        row = out.getvalue().splitlines()[-1].split()
        self.assertEqual(row, ["home", "0", "0", "1000", "500", "0", "1900", "unknown_spi", "3"])
        self.assertIn("\x1b[3F\x1b[J", out.getvalue())

    def test_in_a_log_a_table_every_five_seconds(self):
        out = io.StringIO()
        table = LiveTable(redraw=False, out=out)
        for second in range(3):
            table.show(f"t = {second}", {"home": status(taken=float(second))})
        self.assertEqual(out.getvalue().count("t = "), 1)


if __name__ == "__main__":
    unittest.main()
