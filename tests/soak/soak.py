"""The soak: one loop that watches everything and runs events, each a generator, that do harm at random under a seed."""
import argparse
import json
import pathlib
import random
import shutil
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from lab import net
from lab.process import LabError

import asking
import events
import report
from blackwatch import BlackWatch
from judge import Judge, Pair
from records import Received, Sent, Tail
from watch import StatusWatch
from world import World, etcd_there

_TICK = 0.02        # seconds
_STALL = 0.8        # a longer turn of our own loop: the whole machine stood still
_LOOKS = 0.5        # seconds between two looks at records and capture
_BOUND = 30.0       # seconds until all is well again after the last blow
_AT_ONCE = 3        # events that may be under way together
_CALM = 5.0         # seconds at the end without any event and without any loss
_MOST_STALLED = 0.2  # of the time: with more, too little was judged


class Soak:
    def __init__(self, world, judge, black, seed, log):
        self.world, self.judge, self.black, self.log = world, judge, black, log
        self.watch = StatusWatch(world, judge, self.now)
        self.random = random.Random(seed)
        self.held = set()
        self.done = []       # (kind, disturbance or None) of events that ended
        self.rekeys = []     # seconds from the request until all members have it
        self.revocations = []  # seconds until complete
        self.stalled = 0.0
        self.started = self.now()
        self._active = []    # [generator, when it goes on, kind, locks]
        self._looked = 0.0

    @staticmethod
    def now():
        return time.monotonic()

    def say(self, text):
        line = f"{self.now() - self.started:8.2f}  {text}"
        print(line, file=self.log, flush=True)

    # ---- what events wait for

    def pause(self, seconds):
        yield seconds

    def until(self, condition, seconds, what, since=None):
        """True if the condition became true in time: from now on, or from the moment that since() names."""
        begun = self.now()
        while not condition():
            if self.now() > (since() if since else begun) + seconds:
                self.judge.violate(f"waited {seconds:.0f} s for {what}")
                return False
            yield 0.1
        return True

    def settle(self, disturbance, wrong, bound=_BOUND):
        """Waits until wrong() names nothing any more; it is a violation if that takes longer than `bound` from the
        last blow."""
        disturbance.over = self.now()
        last = ""
        while why := wrong():
            last = f"; until then {why}"
            if self.now() - self.last_blow(disturbance, disturbance.over) > bound:
                self.judge.violate(f"{disturbance.kind} {disturbance.detail}: not well again within {bound:.0f} s: {why}")
                break
            yield 0.1
        disturbance.settled = self.now()
        slow = disturbance.recovery() > 3
        self.say(f"  {disturbance.kind} {disturbance.detail}: well {disturbance.recovery():.1f} s after{last if slow else ''}")

    def last_blow(self, disturbance, last):
        """No gateway can be well while the key servers or the machine are not: their blows count, too."""
        for other in self.judge.disturbances:
            if other is disturbance or not (other.kind in events.CONTROL or other.kind == events.STALL):
                continue
            if other.settled is None or other.settled > disturbance.start:
                last = max(last, other.over or self.now())
        return last

    # ---- the loop

    def step(self):
        before, waited = self.now(), asking.waited()
        for entry in list(self._active):
            generator, when, kind, locks = entry
            if when > self.now():
                continue
            try:
                entry[1] = self.now() + next(generator)
            except StopIteration as stop:
                self._active.remove(entry)
                self.held -= locks
                if kind in events.KINDS:
                    self.done.append((kind, stop.value))
        self.watch.look()
        if self.now() - self._looked > _LOOKS:
            self._looked = self.now()
            self.judge.look()
            self.black.look()
        time.sleep(_TICK)
        took = self.now() - before
        if took - min(asking.waited() - waited, 10 * _STALL) > _STALL:
            stall = self.judge.disturb(events.STALL, None)
            stall.start, stall.over = before, self.now()
            stall.settled = stall.over
            self.stalled += took
            self.say(f"the machine stood still for {took:.1f} s")

    def begin(self, kind, generator, locks):
        self.held |= locks
        self._active.append([generator, self.now(), kind, locks])

    def busy(self):
        return bool(self._active)

    def maybe_begin(self, kinds):
        if len(self._active) >= _AT_ONCE:
            return
        planned = events.plan(self, kinds)
        if planned is not None:
            kind, generator, locks = planned
            self.begin(kind, generator, locks)

    def well(self, place, since, groups=None):
        """Joined, in the newest epoch, linked, and every stream to and from it flows."""
        return self.why_not(place, since, groups) is None

    def why_not(self, place, since, groups=None):
        status = place.status()
        if status is None:
            return f"{place.name} does not answer"
        self.watch.take(place, status)
        plane = status["dataplane"]
        for port in plane["ports"]:
            if not port["link_up"]:
                return f"{place.name}: {port['port'] if 'port' in port else 'a port'} has no link"
        for membership in status["agent"]["groups"]:
            group = membership["group"]
            if group not in (place.roles if groups is None else groups):
                continue
            if membership["state"] != "joined":
                return f"{place.name} is {membership['state']} in {group}: {membership['why']}"
            if membership.get("epoch", 0) < self.watch.newest[group]:
                return f"{place.name} is behind in {group}: {membership.get('epoch')} of {self.watch.newest[group]}"
            if place.sends(group) and membership.get("epoch_state") != "active":
                return f"{place.name} has no active epoch in {group}"
        stuck = self.judge.stuck(place.name, since, groups)
        return f"no stream of {stuck}" if stuck else None


def build_world(options, work):
    servers = options.key_servers or (3 if etcd_there() else 1)
    return World(work, options.binaries, servers, options.rate, options.size)


def open_judge(started):
    sent, pairs = {}, []
    for group, sender, listener, sent_path, received_path in started:
        if sent_path not in sent:
            sent[sent_path] = Sent(Tail(sent_path))
        pairs.append(Pair(group, sender, listener, sent[sent_path], Received(Tail(received_path))))
    return Judge(pairs)


def run(options, work, log):
    """The whole soak; returns the values for report.py."""
    world = build_world(options, work)
    try:
        world.start()
        judge = open_judge(world.streams())
        # A rekey datagram is the key server's, whichever sender's gateway sends it.
        black = BlackWatch(world.wire.pcap, judge.violate, [world.plain_bytes()],
                           relays=[place.black_address for place in world.places.values()])
        soak = Soak(world, judge, black, options.seed, log)
        beginning = judge.disturb(events.BEGINNING, None)
        soak.begin(events.BEGINNING, events.beginning(soak, beginning), frozenset())
        while soak.busy():
            soak.step()
        if judge.violations:
            keep_statuses(world, work)
            return soak
        soak.say(f"all {len(world.places)} gateways joined and {len(judge.pairs)} streams flow; seed {options.seed}")
        if options.sabotage:
            events.SABOTAGE[options.sabotage](soak)
        kinds = events.usable(world, options.only)
        soak.began = soak.now()
        end = soak.began + options.minutes * 60
        next_event = soak.now() + 1
        while soak.now() < end and not judge.violations:
            soak.step()
            if soak.now() >= next_event:
                soak.maybe_begin(kinds)
                next_event = soak.now() + soak.random.uniform(0.5, options.pace)
        soak.say("no more events")
        while soak.busy() and not judge.violations:
            soak.step()
        if not judge.violations:
            finish(soak)
        soak.ended = soak.now()
        if judge.violations:
            keep_statuses(world, work)
        return soak
    finally:
        world.close()


def keep_statuses(world, work):
    """The status of every daemon at the moment of a breach."""
    for thing in (*world.places.values(), *world.servers):
        status = thing.status()
        (work / f"{thing.name}-status.json").write_text(json.dumps(status, indent=1), encoding="utf-8")


def finish(soak):
    """All are joined, every stream flows and nothing is lost for a while."""
    judge = soak.judge
    since = soak.now()
    for place in soak.world.places.values():
        soak.begin("end", soak.until(lambda place=place: soak.well(place, since), 20,
                                     f"{place.name} to be joined at the end"), frozenset())
    calm = soak.now() + _CALM
    while (soak.busy() or soak.now() < calm) and not judge.violations:
        soak.step()
    for _ in range(12):  # datagrams still under way
        soak.step()
    judge.look()
    soak.black.look()
    total = soak.now() - soak.started
    if soak.stalled > _MOST_STALLED * total:
        judge.violate(f"the machine stood still for {soak.stalled:.0f} of {total:.0f} s: too little was judged")
    if not any(pair.received.count for pair in judge.pairs):
        judge.violate("nothing was received at all")


def parse():
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("minutes", type=float)
    parser.add_argument("--seed", type=int, default=None, help="of the events; default: of the clock")
    parser.add_argument("--key-servers", type=int, choices=(1, 3), help="3 over etcd where etcd is there, else 1")
    parser.add_argument("--rate", type=int, default=150, help="datagrams a second and sender (default 150)")
    parser.add_argument("--size", type=int, default=300, help="bytes of a datagram (default 300)")
    parser.add_argument("--pace", type=float, default=4.0, help="longest wait between two events' beginnings, seconds")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="only events of this kind")
    parser.add_argument("--markdown", metavar="FILE", help="write the summary as a table for docs/reliability.md, too")
    parser.add_argument("--sabotage", choices=sorted(events.SABOTAGE), help="break an invariant: the soak must notice")
    parser.add_argument("--keep", action="store_true", help="keep capture and records of a clean run, too")
    parser.add_argument("--binaries", default="build/release/bin", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="build/soak", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = parse()
    if options.seed is None:
        options.seed = int(time.time()) % 1000000
    unknown = set(options.only) - set(events.KINDS)
    if unknown:
        sys.exit(f"soak: unknown events {' '.join(sorted(unknown))}; there are {' '.join(events.KINDS)}")
    work = pathlib.Path(options.out).resolve()
    net.remove_leftovers()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    print(f"soak of {options.minutes:g} minutes, seed {options.seed}; events are written to {work / 'events.log'}", flush=True)
    with open(work / "events.log", "w", encoding="utf-8") as log:
        try:
            soak = run(options, work, log)
        except LabError as error:
            print(f"soak: the laboratory failed: {error}; logs are in {work}", file=sys.stderr)
            return 1
        for fault in soak.world.lab.faults():  # over all processes that ever were (KEY-2)
            soak.judge.violate(fault)
        for violation in soak.judge.violations:
            soak.say(f"BROKEN: {violation.what}")
    print(report.text(soak, options))
    if options.markdown:
        pathlib.Path(options.markdown).write_text(report.markdown(soak, options), encoding="utf-8")
    if soak.judge.violations:
        print(f"\nsoak: BROKEN; seed {options.seed}, logs, capture and records are in {work}", file=sys.stderr)
        return 1
    if not options.keep:
        for pattern in ("*.sent", "*.received", "*.pcap"):
            for path in work.glob(pattern):
                path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
