"""Reads captures of the black wire: every frame is ESP, IGMP or something that should not be there."""
import collections
import struct

from .process import LabError, run

Frame = collections.namedtuple("Frame", "seconds data")
Esp = collections.namedtuple("Esp", "spi sequence iv size seconds")

_MAGICS = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9}  # classic pcap, micro- and nanosecond stamps
_ETHERNET = 1
_ESP, _IGMP = 50, 2


class Follower:
    """Reads a pcap file that may still grow: new() gives the whole frames since its last call. forget() frees the
    disk space of what was read, so that a long run may capture without limit; nothing can read that part any more."""

    def __init__(self, path):
        self._path, self._at, self._forgotten = path, 0, 0
        self._record = self._scale = None

    def new(self):
        with open(self._path, "rb") as file:
            if self._record is None and not self._read_head(file):
                return
            file.seek(self._at)
            while True:
                head = file.read(self._record.size)
                if len(head) < self._record.size:
                    return
                seconds, fraction, kept, original = self._record.unpack(head)
                data = file.read(kept)
                if len(data) < kept:
                    return
                if kept != original:
                    raise LabError(f"{self._path}: a frame of {original} bytes was cut to {kept}")
                self._at += len(head) + kept
                yield Frame(seconds + fraction * self._scale, data)

    def forget(self):
        blocks = self._at - self._at % 4096
        if blocks - self._forgotten < 1 << 26:
            return
        run(["fallocate", "--punch-hole", "--offset", self._forgotten, "--length", blocks - self._forgotten, self._path])
        self._forgotten = blocks

    def _read_head(self, file):
        head = file.read(24)
        if len(head) < 24:
            return False
        for order in "<>":
            magic, _, _, _, _, _, link = struct.unpack(order + "IHHiIII", head)
            if magic in _MAGICS:
                break
        else:
            raise LabError(f"{self._path}: expected a pcap file, its magic is {head[:4].hex()}")
        if link != _ETHERNET:
            raise LabError(f"{self._path}: expected Ethernet frames, got link type {link}")
        self._scale, self._record, self._at = _MAGICS[magic], struct.Struct(order + "IIII"), len(head)
        return True


def frames(path):
    """Every whole frame of a pcap file, in order. A last frame still being written is left out."""
    return Follower(path).new()


def write(path, chosen):
    """Writes frames to a pcap file (microseconds)."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _ETHERNET))
        for frame in chosen:
            whole = int(frame.seconds)
            file.write(struct.pack("<IIII", whole, int((frame.seconds - whole) * 1e6), len(frame.data), len(frame.data)))
            file.write(frame.data)


class Summary:
    """What a capture holds: `esp` in order, `igmp` count, `others` as short descriptions, `repeated` (SPI, IV) pairs."""

    def __init__(self):
        self.esp = []
        self.igmp = 0
        self.others = []
        self.repeated = []
        self.bad_numbers = []  # ESP with a sequence number that is not the IV's low half
        self._seen = set()

    def add(self, frame):
        data = frame.data
        if len(data) < 34 or data[12:14] != b"\x08\x00":
            self.others.append(f"EtherType 0x{data[12:14].hex()}, {len(data)} bytes")
            return
        header = (data[14] & 15) * 4
        protocol = data[23]
        payload = data[14 + header:]
        if protocol == _IGMP:
            self.igmp += 1
        elif protocol == _ESP and len(payload) >= 16:
            spi, sequence, iv = struct.unpack_from(">IIQ", payload)
            self.esp.append(Esp(spi, sequence, iv, len(data), frame.seconds))
            if sequence != iv & 0xFFFFFFFF:
                self.bad_numbers.append((spi, sequence, iv))
            if (spi, iv) in self._seen:
                self.repeated.append((spi, iv))
            self._seen.add((spi, iv))
        else:
            source, destination = (".".join(map(str, data[at:at + 4])) for at in (26, 30))
            self.others.append(f"IPv4 protocol {protocol}, {source} to {destination}, {len(data)} bytes")

    def first_esp_after(self, seconds):
        return next((packet for packet in self.esp if packet.seconds >= seconds), None)

    def spis(self):
        return sorted({packet.spi for packet in self.esp})


def summarize(path):
    summary = Summary()
    for frame in frames(path):
        summary.add(frame)
    return summary


def sa_lines(keys):
    """The SA lines of an exported key file, each once."""
    with open(keys, encoding="ascii") as file:
        return list(dict.fromkeys(line.strip() for line in file if line.startswith('"')))


def tshark_arguments(pcap, keys):
    """The command with which tshark opens ESP and checks each ICV. `keys` is a file of SA lines as gateways export it."""
    arguments = ["tshark", "-r", str(pcap), "-o", "esp.enable_encryption_decode:TRUE",
                 "-o", "esp.enable_authentication_check:TRUE"]
    for line in sa_lines(keys):
        arguments += ["-o", f"uat:esp_sa:{line}"]
    return arguments


Opened = collections.namedtuple("Opened", "spi sequence icv_good source destination udp_port payload")


def tshark_open(pcap, keys, display_filter="esp"):
    """Every ESP packet as tshark opened it: outer and inner addresses stand in `source` and `destination` as tuples."""
    fields = ["esp.spi", "esp.sequence", "esp.icv_good", "ip.src", "ip.dst", "udp.dstport", "udp.payload"]
    arguments = tshark_arguments(pcap, keys) + ["-Y", display_filter, "-T", "fields", "-E", "separator=;",
                                                "-d", "udp.port==1-65535,data"]
    for field in fields:
        arguments += ["-e", field]
    opened = []
    for line in run(arguments, timeout=120).stdout.splitlines():
        spi, sequence, good, source, destination, port, payload = line.split(";")
        opened.append(Opened(int(spi, 16), int(sequence), good in ("1", "True"), tuple(source.split(",")),
                             tuple(destination.split(",")), int(port) if port else None, bytes.fromhex(payload)))
    return opened
