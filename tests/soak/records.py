"""The records that the programs on the red sides write of every datagram, read meanwhile (sealcast-traffic
--record)."""
import array
import struct

_ENTRY = struct.Struct("=QQQ")  # sequence, sent, arrived: nanoseconds of the monotonic clock


class Tail:
    """The whole entries that a growing file got since the last look."""

    def __init__(self, path):
        self.path = path
        self._file = None
        self._rest = b""

    def entries(self):
        if self._file is None:
            try:
                self._file = open(self.path, "rb")
            except FileNotFoundError:
                return
        data = self._rest + self._file.read()
        whole = len(data) // _ENTRY.size * _ENTRY.size
        self._rest = data[whole:]
        for sequence, sent, arrived in _ENTRY.iter_unpack(data[:whole]):
            yield sequence, sent / 1e9, arrived / 1e9

    def close(self):
        if self._file is not None:
            self._file.close()


class Sent:
    """One stream by its sender's record: when every number left. Numbers begin at 0 and have no gaps."""

    def __init__(self, tail):
        self.tail = tail
        self.times = array.array("d")

    def update(self):
        for sequence, sent, _ in self.tail.entries():
            if sequence != len(self.times):
                raise ValueError(f"{self.tail.path}: expected number {len(self.times)}, got {sequence}")
            self.times.append(sent)


class Received:
    """One stream at one listener: which numbers came, which came twice, and when the last one that came was sent."""

    def __init__(self, tail):
        self.tail = tail
        self.seen = bytearray()
        self.count = 0
        self.doubled = []   # (sequence, when it was sent)
        self.newest = 0.0   # latest sending time of a received datagram
        self.slowest = 0.0  # longest time on the way, seconds

    def update(self, notice=None):
        """notice(sent): called for every datagram."""
        for sequence, sent, arrived in self.tail.entries():
            if sequence >= len(self.seen):
                self.seen.extend(bytes(sequence + 1024 - len(self.seen)))
            if self.seen[sequence]:
                self.doubled.append((sequence, sent))
            else:
                self.seen[sequence] = 1
                self.count += 1
            self.newest = max(self.newest, sent)
            self.slowest = max(self.slowest, arrived - sent)
            if notice is not None:
                notice(sent)

    def came(self, sequence):
        return sequence < len(self.seen) and self.seen[sequence] == 1
