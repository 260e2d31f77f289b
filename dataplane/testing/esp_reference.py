"""ESP with AES-GCM and the headers around it, coded from the RFCs (4303, 4106, 791, 8200, 768), independent of the
data plane: fixtures_test.py compares the worker's bytes with it. AES-GCM is python3-cryptography's."""

import ipaddress
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

ESP = 50
UDP = 17


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address):
    return ipaddress.ip_address(address).packed


def ipv4(payload, src="10.0.0.1", dst="239.1.1.5", proto=UDP, ttl=16, tos=0, ident=0x1234, flags=0x4000, options=b"",
         **lies):
    """lies: wrong values for version, ihl, total, checksum."""
    ihl = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH", (lies.get("version", 4) << 4) | lies.get("ihl", ihl), tos,
                         lies.get("total", 4 * ihl + len(payload)), ident, flags, ttl, proto, 0) + packed(src) + packed(dst)
    header += options
    right = checksum(header)
    return header[:10] + struct.pack("!H", lies.get("checksum", right)) + header[12:] + payload


def ipv6(payload, src="2001:db8::1", dst="ff1e:1::5", proto=UDP, hops=16, tclass=0, flow=0, extensions=b"", first=None,
         **lies):
    """extensions: bytes of extension headers; first is the type of the first one, and the last one names proto."""
    following = proto if first is None else first
    word = (lies.get("version", 6) << 28) | (tclass << 20) | flow
    return struct.pack("!IHBB", word, lies.get("length", len(extensions) + len(payload)), following, hops) + packed(
        src) + packed(dst) + extensions + payload


def udp(payload, sport=40000, dport=5000, sum_=0xBEEF, length=None):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload) if length is None else length, sum_) + payload


def multicast_mac(dst):
    raw = packed(dst)
    if len(raw) == 4:
        return b"\x01\x00\x5e" + bytes([raw[1] & 0x7F]) + raw[2:]
    return b"\x33\x33" + raw[12:]


def tags(ids):
    """802.1Q tags for VLAN ids, outermost first; the outer one of two is 802.1ad."""
    return b"".join(struct.pack("!HH", 0x88A8 if len(ids) == 2 and i == 0 else 0x8100, vlan)
                    for i, vlan in enumerate(ids))


def ethernet(packet, vlans=(), dst=None, kind=None, src=b"\x02\0\0\0\0\x01"):
    family = packet[0] >> 4 if packet else 4
    if dst is None:
        dst = multicast_mac(str(ipaddress.ip_address(packet[16:20] if family == 4 else packet[24:40])))
    if kind is None:
        kind = 0x86DD if family == 6 else 0x0800
    return dst + src + tags(vlans) + struct.pack("!H", kind) + packet


def esp(sa, number, text, next_header, *, sequence=None, padding=None, spi=None):
    """ESP header, IV, sealed text with padding and trailer, ICV. sa: (spi, key, salt)."""
    own_spi, key, salt = sa
    spi = own_spi if spi is None else spi
    if padding is None:
        count = -(len(text) + 2) % 4
        padding = bytes(range(1, count + 1)) + bytes([count])
    header = struct.pack("!II", spi, number & 0xFFFFFFFF if sequence is None else sequence)
    iv = struct.pack("!Q", number)
    return header + iv + AESGCM(key).encrypt(salt + iv, text + padding + bytes([next_header]), header)
