"""Messages of multicast hosts and queriers in IPv4: IGMPv3 frames (RFC 3376 §4), made by hand, because a kernel
cannot be made to ask at a given moment, or for a thousand groups at once."""
import socket
import struct

from . import net

_REPORTS_TO = "224.0.0.22"
_RECORDS = 150  # in a report: the most that 1500 bytes hold


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def _frame(message, source, destination):
    message = message[:2] + struct.pack("!H", _checksum(message)) + message[4:]
    group = socket.inet_aton(destination)
    header = struct.pack("!BBHHHBBH4s4s4s", 0x46, 0xc0, 24 + len(message), 0, 0, 1, 2, 0, socket.inet_aton(source), group,
                         bytes([148, 4, 0, 0]))  # TTL 1, Router Alert
    header = header[:10] + struct.pack("!H", _checksum(header)) + header[12:]
    mac = bytes([0x01, 0x00, 0x5e, group[1] & 0x7f, group[2], group[3]])
    return mac + bytes([2, 0, 0, 0, 0, 0xfe]) + struct.pack("!H", 0x0800) + header + message


def query(group, source="10.1.0.254"):
    """A querier's question about one group, 1 s to answer, robustness 2: after 2 s without an answer no listener is
    left."""
    return _frame(struct.pack("!BBH4sBBH", 0x11, 10, 0, socket.inet_aton(group), 2, 125, 0), source, group)


def reports(groups, source="10.1.0.77"):
    """Frames that report a host's wish for these groups, from any source."""
    for first in range(0, len(groups), _RECORDS):
        some = groups[first:first + _RECORDS]
        records = b"".join(struct.pack("!BBH4s", 4, 0, 0, socket.inet_aton(one)) for one in some)
        yield _frame(struct.pack("!BBHHH", 0x22, 0, 0, 0, len(some)) + records, source, _REPORTS_TO)


def link(namespace, interface="eth0"):
    """A socket that sends frames there; the caller closes it."""
    with net.inside(namespace):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind((interface, 0))
    return out
