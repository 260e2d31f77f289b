"""Looks at every daemon's status in turn while the soak runs: epochs never named twice, slots never given twice, no
daemon ends unasked."""
import collections

_EVERY = 1.0  # seconds between two looks at one daemon


class StatusWatch:
    def __init__(self, world, judge, clock):
        self.world, self.judge, self.clock = world, judge, clock
        self.newest = collections.defaultdict(int)  # group → highest epoch that was active at any member
        self.epochs = collections.defaultdict(set)
        self.latest = {}     # place → its last status
        self.expected = set()  # daemons that are down on purpose
        self._ids = {}       # (group, epoch) → epoch_id
        self._owners = {}    # (group, epoch, SPI) → place and its process
        self._highest = {}   # (place, group, pid) → highest active epoch
        self._due = collections.deque(world.places.values())
        self._next = clock()
        self._told = set()

    def look(self):
        """At most one daemon's status a call."""
        for thing in (*self.world.places.values(), *self.world.servers):
            if thing.process is not None and not thing.process.running() and thing.name not in self.expected:
                self._once(f"{thing.process.name} ended by itself with {thing.process.child.returncode}: "
                           f"{thing.process.tail()}", (thing.name, thing.process.pid))
        if self.clock() < self._next:
            return
        self._next = self.clock() + _EVERY / len(self._due)
        place = self._due[0]
        self._due.rotate(-1)
        status = place.status()
        if status is not None:
            self.take(place, status)

    def take(self, place, status):
        self.latest[place.name] = status
        for membership in status["agent"]["groups"]:
            group = membership["group"]
            for epoch in membership.get("epochs", []):
                self.epochs[group].add(epoch["epoch"])
                known = self._ids.setdefault((group, epoch["epoch"]), epoch["epoch_id"])
                if known != epoch["epoch_id"]:
                    self._once(f"H5: {group}: epoch {epoch['epoch']} has two identifiers, {known} and "
                               f"{epoch['epoch_id']} (at {place.name})")
            if membership.get("epoch_state") != "active":
                continue
            epoch = membership["epoch"]
            key = (place.name, group, place.process.pid)
            if epoch < self._highest.get(key, 0):
                self._once(f"H5: {group}: {place.name} went back from epoch {self._highest[key]} to {epoch}")
            self._highest[key] = max(epoch, self._highest.get(key, 0))
            if not self.judge.disturbed(place.name, group):
                self.newest[group] = max(epoch, self.newest[group])
            for spi in membership.get("own_slots", []):
                owner = (place.name, place.process.pid)
                known = self._owners.setdefault((group, epoch, spi), owner)
                if known != owner:
                    self._once(f"H9: {group}: {spi} of epoch {epoch} belongs to {known[0]} and to {place.name}")

    def _once(self, what, key=None):
        if (key or what) not in self._told:
            self._told.add(key or what)
            self.judge.violate(what)
