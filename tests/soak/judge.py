"""Finds the cause of every lost datagram. A loss that no disturbance explains is a violation."""
import collections
import threading
import time

_FINAL = 4.0    # seconds after which a missing datagram counts as lost
_BEFORE = 1.0   # datagrams under way when a disturbance began are lost with it
_AFTER = 1.0    # and those under way when all was well again

HURRIED = "revocation while a key server was away"

Violation = collections.namedtuple("Violation", "what")


class Disturbance:
    """Harm done to gateways. `places`: gateways that may lose packets meanwhile; None: all; empty: none.

    `over` is when the last blow ended (a daemon started again, a link up), `settled` when all was seen to be well.
    Losses are explained from a moment before `start` to a moment after `settled`.
    """

    def __init__(self, kind, places=(), groups=None):
        self.kind = kind
        self.places = None if places is None else frozenset(places)
        self.groups = None if groups is None else frozenset(groups)
        self.start = time.monotonic()
        self.over = None
        self.settled = None
        self.last_loss = None
        self.detail = ""
        self.takes_servers_away = False  # key servers cannot reach their members meanwhile

    def overlaps(self, other):
        return (self.settled is None or self.settled >= other.start) and (other.settled is None
                                                                          or other.settled >= self.start)

    def lasts_at(self, moment):
        return self.settled is None or moment <= self.settled + _AFTER

    def touches(self, group, sender, listener):
        if self.groups is not None and group not in self.groups:
            return False
        return self.places is None or sender in self.places or listener in self.places

    def explains(self, moment, group, sender, listener):
        return self.touches(group, sender, listener) and self.start - _BEFORE <= moment and self.lasts_at(moment)

    def recovery(self):
        """Seconds from the last blow until all was well."""
        return None if self.settled is None or self.over is None else max(0.0, self.settled - self.over)


class Pair:
    """One stream at one listener."""

    def __init__(self, group, sender, listener, sent, received):
        self.group, self.sender, self.listener = group, sender, listener
        self.sent, self.received = sent, received
        self.next = 0  # the first number not judged yet

    def __str__(self):
        return f"{self.group}: {self.sender} to {self.listener}"


class Judge:
    """All pairs, all disturbances, all violations so far. Other threads add disturbances and ask; one calls look()."""

    def __init__(self, pairs, clock=time.monotonic):
        self.pairs = pairs
        self.clock = clock
        self.disturbances = []
        self.violations = []
        self.lost = collections.Counter()  # cause → datagrams that did not reach a listener
        self.judged = 0
        self.unread = {}  # listener → (group → moment): it must read nothing sent later than this
        self._lock = threading.Lock()
        self._senders = {id(pair.sent): pair.sent for pair in pairs}

    def violate(self, what):
        with self._lock:
            self.violations.append(Violation(what))

    def disturb(self, kind, places=(), groups=None):
        disturbance = Disturbance(kind, places, groups)
        with self._lock:
            self.disturbances.append(disturbance)
        return disturbance

    def forbid(self, listener, groups):
        """From this moment on the listener must not read anything that is sent to these groups."""
        moment = self.clock()
        for group in groups:
            self.unread[(listener, group)] = moment

    def allow(self, listener, groups):
        for group in groups:
            self.unread.pop((listener, group), None)

    def look(self, final=_FINAL):
        """Reads what is new and judges what is old enough."""
        for sent in self._senders.values():
            sent.update()
        horizon = self.clock() - final
        for pair in self.pairs:
            known = len(pair.received.doubled)
            pair.received.update(lambda sent, pair=pair: self._notice(pair, sent))
            for sequence, _ in pair.received.doubled[known:]:
                self.violate(f"{pair}: datagram {sequence} came twice")
            self._judge(pair, horizon)

    def _notice(self, pair, sent):
        since = self.unread.get((pair.listener, pair.group))
        if since is not None and sent > since:
            del self.unread[(pair.listener, pair.group)]  # once is enough
            self.violate(f"H11: {pair}: a datagram sent {sent - since:.3f} s after the revocation was complete was read")

    def _judge(self, pair, horizon):
        times = pair.sent.times
        first = None
        while pair.next < len(times) and times[pair.next] < horizon:
            moment = times[pair.next]
            if not pair.received.came(pair.next):
                cause = self._cause(pair, moment)
                if cause is None:
                    cause = "unexplained"
                    first = first or (pair.next, moment)
                self.lost[cause] += 1
            pair.next += 1
            self.judged += 1
        if first:
            count = sum(not pair.received.came(n) for n in range(first[0], pair.next))
            near = sorted((d for d in self.disturbances if d.start <= first[1] + 1), key=lambda d: d.start)[-3:]
            told = ", ".join(f"{d.kind} {d.detail} {first[1] - d.start:.1f} s before" for d in near) or "nothing"
            self.violate(f"{pair}: lost {count} from datagram {first[0]} on (sent at {first[1]:.3f}) without a cause; "
                         f"last events: {told}")

    def _cause(self, pair, moment):
        found = None
        for disturbance in self.disturbances:
            if disturbance.explains(moment, pair.group, pair.sender, pair.listener):
                disturbance.last_loss = max(disturbance.last_loss or 0.0, moment)
                found = found or disturbance.kind
        return found or (HURRIED if self._hurried(moment) else None)

    def _hurried(self, moment):
        """A revocation does not wait for members that have lost their key server: they may miss the epoch's change."""
        hurry = [d for d in self.disturbances if d.kind == "revoke and reinstate"]
        away = [d for d in self.disturbances if d.takes_servers_away]
        return any(r.overlaps(c) and max(r.start, c.start) - _BEFORE <= moment and c.lasts_at(moment)
                   for r in hurry for c in away)

    def flowing(self, place, since, groups=None):
        return self.stuck(place, since, groups) is None

    def stuck(self, place, since, groups=None):
        """The first stream to or from the place that has not come through since, except for streams of other
        disturbances."""
        for pair in self.pairs:
            if place not in (pair.sender, pair.listener) or groups is not None and pair.group not in groups:
                continue
            other = pair.listener if place == pair.sender else pair.sender
            if self.disturbed(other, pair.group):
                continue
            if pair.received.newest <= since:
                return pair
        return None

    def disturbed(self, place, group):
        """Whether something that may lose packets there has begun and has not settled."""
        return any(d.settled is None and (d.places is None or place in d.places)
                   and (d.groups is None or group in d.groups) for d in list(self.disturbances))
