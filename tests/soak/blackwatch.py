"""Reads the black wire's capture while it grows: nothing in clear, no number twice under one SPI, one sender an SPI."""
import socket
import struct
import time

_MAGICS = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9}  # classic pcap, micro- and nanosecond stamps
_ESP, _IGMP = 50, 2
_ON_ITS_WAY = 0.25  # seconds from sealing to the capture, at most


class Numbers:
    """A set of numbers that come nearly in order, kept as intervals: bounded by its gaps."""

    def __init__(self):
        self._intervals = []  # [first, last], ascending

    def add(self, number):
        """False if it was there already."""
        at = len(self._intervals)
        while at > 0 and self._intervals[at - 1][0] > number:
            at -= 1
        below = self._intervals[at - 1] if at > 0 else None
        above = self._intervals[at] if at < len(self._intervals) else None
        if below is not None and number <= below[1]:
            return False
        joins_below = below is not None and number == below[1] + 1
        joins_above = above is not None and number == above[0] - 1
        if joins_below and joins_above:
            below[1] = above[1]
            del self._intervals[at]
        elif joins_below:
            below[1] = number
        elif joins_above:
            above[0] = number
        else:
            self._intervals.insert(at, [number, number])
        return True


class BlackWatch:
    """Calls violate(text) for every breach. `secrets`: byte strings of plain datagrams. `relays`: IPv4 addresses
    that also send what others sealed."""

    def __init__(self, path, violate, secrets=(), slot_bits=16, relays=()):
        self.path, self.violate, self.secrets, self.slot_bits = path, violate, tuple(secrets), slot_bits
        self.frames = self.esp = self.igmp = 0
        self.numbers = {}   # SPI → Numbers
        self.senders = {}   # SPI → outer source address
        self.relays = {socket.inet_aton(address) for address in relays}
        self.forbidden = {}  # name of a revoked member → (moment, blocks of SPIs with keys that it was given)
        self._file = None
        self._rest = b""
        self._order = "<"
        self._scale = 1e-9
        self._told = set()

    def forbid(self, name, blocks):
        """From now on no packet may be sealed with keys of these blocks: the revoked member keeps them for ever
        (H11)."""
        self.forbidden[name] = (time.time(), frozenset(blocks))

    def allow(self, name):
        self.forbidden.pop(name, None)

    def look(self):
        if self._file is None:
            try:
                self._file = open(self.path, "rb")
            except FileNotFoundError:
                return
            head = self._file.read(24)
            if len(head) < 24:
                self._file.close()
                self._file = None
                return
            for self._order in "<>":
                magic = struct.unpack_from(self._order + "I", head)[0]
                if magic in _MAGICS:
                    break
            else:
                self.violate(f"{self.path} is no capture")
                return
            self._scale = _MAGICS[magic]
        data = self._rest + self._file.read()
        at = 0
        record = struct.Struct(self._order + "IIII")
        while len(data) - at >= record.size:
            seconds, fraction, kept, original = record.unpack_from(data, at)
            if len(data) - at < record.size + kept:
                break
            at += record.size
            if kept != original:
                self._once(f"a frame of {original} bytes was cut to {kept} in the capture")
            self.take(seconds + fraction * self._scale, data[at:at + kept])
            at += kept
        self._rest = data[at:]

    def close(self):
        if self._file is not None:
            self._file.close()

    def _once(self, what, key=None):
        if (key or what) not in self._told:
            self._told.add(key or what)
            self.violate(what)

    def take(self, moment, frame):
        self.frames += 1
        for secret in self.secrets:
            if secret in frame:
                self._once(f"H10: bytes of a plain datagram on the black wire, in a frame of {len(frame)} bytes", "plain")
        if len(frame) < 34 or frame[12:14] != b"\x08\x00":
            self._once(f"H10: EtherType 0x{frame[12:14].hex()} on the black wire, {len(frame)} bytes",
                       ("type", frame[12:14]))
            return
        protocol = frame[23]
        payload = 14 + (frame[14] & 15) * 4
        if protocol == _IGMP:
            self.igmp += 1
        elif protocol == _ESP and len(frame) >= payload + 16:
            spi, sequence, number = struct.unpack_from(">IIQ", frame, payload)
            self._esp(moment, spi, sequence, number, frame[26:30])
        else:
            self._once(f"H10: IPv4 protocol {protocol} on the black wire, {len(frame)} bytes", ("protocol", protocol))

    def _esp(self, moment, spi, sequence, number, source):
        self.esp += 1
        if sequence != number & 0xFFFFFFFF:
            self._once(f"SPI 0x{spi:08x}: sequence number {sequence} is not the low half of IV {number}", ("low", spi))
        if spi not in self.numbers:
            self.numbers[spi] = Numbers()
            self.senders[spi] = source
        # Sequence numbers have no gaps but for losses; a whole number, which holds a time, has one each millisecond.
        if not self.numbers[spi].add(sequence):
            self._once(f"KEY-2: SPI 0x{spi:08x} used IV {number} twice", ("twice", spi))
        if self.senders[spi] != source and not {self.senders[spi], source} <= self.relays:
            self._once(f"H9: SPI 0x{spi:08x} has two senders: {'.'.join(map(str, self.senders[spi]))} and "
                       f"{'.'.join(map(str, source))}", ("senders", spi))
        for name, (since, blocks) in self.forbidden.items():
            if moment > since + _ON_ITS_WAY and spi >> self.slot_bits in blocks:
                self._once(f"H11: SPI 0x{spi:08x} of an epoch that {name} knew was on the black wire {moment - since:.3f} s "
                           "after the revocation was complete", ("known", name, spi))
