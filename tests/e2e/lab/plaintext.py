"""Watches a capture of the black wire, while it grows or afterwards: a protected group may have nothing but ESP there.

Two ways to find plaintext, because each misses some: packets that match a protected selector and are not ESP,
whatever they carry; and the mark that sealcast-traffic puts into every datagram, anywhere in any frame."""
import ipaddress
import re
import struct
import tomllib

from . import capture

_MARK = struct.pack("=I", 0x5EA1CA57)  # Header::magic of tests/e2e/traffic.cc; the datagram's size follows
_SPI_AND_IV = struct.Struct(">I4xQ")
_VLANS = (b"\x81\x00", b"\x88\xa8")
_ESP, _IGMP, _ICMPV6, _UDP = 50, 2, 58, 17


class Selector:
    """One of a configuration's selectors."""

    def __init__(self, table):
        self._destination = ipaddress.ip_network(table["destination"])
        self._source = ipaddress.ip_network(table["source"]) if "source" in table else None
        protocol = table.get("protocol")
        self._protocol = {None: None, "udp": 17, "tcp": 6}.get(protocol, protocol)
        ports = re.fullmatch(r"(\d+)(?:-(\d+))?", str(table["ports"])) if "ports" in table else None
        self._ports = range(int(ports[1]), int(ports[2] or ports[1]) + 1) if ports else None

    def matches(self, packet):
        if packet.destination not in self._destination or (self._source and packet.source not in self._source):
            return False
        if self._protocol is not None and packet.protocol != self._protocol:
            return False
        return self._ports is None or packet.port is None or packet.port in self._ports


class Packet:
    """The outermost IP packet of a frame, with the fields that selectors use; None from parse() if there is none."""

    def __init__(self, source, destination, protocol, port):
        self.source, self.destination = ipaddress.ip_address(source), ipaddress.ip_address(destination)
        self.protocol, self.port = protocol, port  # port: None where it cannot be seen

    @staticmethod
    def parse(data):
        at = 12
        while data[at:at + 2] in _VLANS:
            at += 4
        ip = data[at + 2:]
        if data[at:at + 2] == b"\x08\x00" and len(ip) >= 20:
            header = (ip[0] & 15) * 4
            first = struct.unpack_from(">H", ip, 6)[0] & 0x1FFF == 0
            return Packet(ip[12:16], ip[16:20], ip[9], Packet._port(ip[9], ip[header:]) if first else None)
        if data[at:at + 2] == b"\x86\xdd" and len(ip) >= 40:
            protocol, header = ip[6], 40
            while protocol in (0, 43, 44, 60) and len(ip) >= header + 8:
                later = protocol == 44 and struct.unpack_from(">H", ip, header + 2)[0] & 0xFFF8
                size = 8 if protocol == 44 else 8 + 8 * ip[header + 1]
                protocol, header = ip[header], header + size
                if later:
                    return Packet(ip[8:24], ip[24:40], protocol, None)
            return Packet(ip[8:24], ip[24:40], protocol, Packet._port(protocol, ip[header:]))
        return None

    @staticmethod
    def _port(protocol, payload):
        return struct.unpack_from(">H", payload, 2)[0] if protocol in (6, _UDP) and len(payload) >= 4 else None

    def is_membership(self):
        return self.protocol == _IGMP or self.protocol == _ICMPV6


def protected(configurations):
    """The selectors of every group that gateways of these configuration files protect."""
    found = []
    for path in configurations:
        with open(path, "rb") as file:
            groups = tomllib.load(file).get("member", {}).get("group", [])
        found += [Selector(table) for group in groups for table in group["selectors"]]
    return found


def marked(data):
    """Offset of a readable sealcast-traffic datagram in the frame; -1: none."""
    at = data.find(_MARK)
    while at >= 0:
        size = data[at + 4:at + 8]
        if len(size) == 4 and 0 < struct.unpack("=I", size)[0] <= 65507:  # else four bytes of ciphertext, by chance
            return at
        at = data.find(_MARK, at + 1)
    return -1


class Watch:
    """Follows one capture file. look() may be called at any time; it reads what has come since. on_esp(spi, iv) is called
    for every ESP packet that shows both."""

    def __init__(self, path, selectors, on_esp=lambda spi, iv: None):
        self.frames = capture.Follower(path)
        self._selectors = selectors
        self._on_esp = on_esp
        self.seen = 0
        self.plain = []

    def look(self):
        """Reads what is new; returns every plaintext found so far, described."""
        for frame in self.frames.new():
            self.seen += 1
            data = frame.data
            if data[12:15] == b"\x08\x00\x45" and data[23] == _ESP and len(data) >= 50:  # nearly all, so by itself
                if not (data[20] & 31 or data[21]):
                    self._on_esp(*_SPI_AND_IV.unpack_from(data, 34))
                if _MARK in data and marked(data) >= 0:
                    self._found(frame, f"{len(data)} bytes of ESP with a readable datagram of sealcast-traffic")
                continue
            packet = Packet.parse(data)
            if packet is not None and packet.protocol == _ESP:
                self._note_esp(data)
            elif packet is not None and not packet.is_membership():
                if any(selector.matches(packet) for selector in self._selectors):
                    self._found(frame, f"protocol {packet.protocol} from {packet.source} to {packet.destination}, "
                                       f"port {packet.port}, not ESP")
            if marked(frame.data) >= 0:
                self._found(frame, f"{len(frame.data)} bytes with a readable datagram of sealcast-traffic")
        return self.plain

    def _note_esp(self, data):
        at = 12
        while data[at:at + 2] in _VLANS:
            at += 4
        ip = data[at + 2:]
        if ip[0] >> 4 == 4:
            if struct.unpack_from(">H", ip, 6)[0] & 0x1FFF:
                return  # a later fragment of an ESP packet shows neither SPI nor IV
            header = (ip[0] & 15) * 4
        else:
            protocol, header = ip[6], 40
            while protocol != _ESP:
                if protocol == 44 and struct.unpack_from(">H", ip, header + 2)[0] & 0xFFF8:
                    return
                size = 8 if protocol == 44 else 8 + 8 * ip[header + 1]
                protocol, header = ip[header], header + size
        if len(ip) >= header + 16:
            self._on_esp(*_SPI_AND_IV.unpack_from(ip, header))

    def _found(self, frame, what):
        if len(self.plain) < 20:
            self.plain.append(f"frame {self.seen} at {frame.seconds:.6f}: {what}")
