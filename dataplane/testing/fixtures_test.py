"""Packets in, verdicts and packets out: the worker's whole path against tables of frames. esp_reference.py makes the
expected output and shares no line with the data plane. Every table runs with the best engine of this CPU and with
OpenSSL's.

Usage: fixtures_test.py FIXTURE_TOOL ESP_TOOL [unittest's arguments]
With SEALCAST_SEEDS=FOLDER the frames are written there too, as seeds for the fuzzer of the whole path: one for each
scenario, side, outcome and shape.
"""

import os
import random
import struct
import subprocess
import sys
import unittest

import esp_reference as ref

FIXTURE_TOOL = ESP_TOOL = None
SCENARIOS = ["preserve", "fixed4", "fixed6", "transport"]
SEEDS = os.environ.get("SEALCAST_SEEDS")
PAYLOADS = [0, 1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 200, 511, 512, 513, 1024, 1300]
VLANS = [(), (7,), (100, 200)]


def engines():
    names = subprocess.run([ESP_TOOL, "--engines"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return [names[0], "openssl"] if names[0] != "openssl" else names


class Path:
    """fixture_tool on a pipe; knows the next number of every SA that seals."""

    def __init__(self, engine, scenario):
        self.process = subprocess.Popen([FIXTURE_TOOL, engine, scenario], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.scenario = scenario
        self.sas = {}
        for line in self.process.stdout:
            if line == "ready\n":
                break
            _, group, owner, spi, key = line.split()
            raw = bytes.fromhex(key)
            self.sas[group, owner] = (int(spi, 16), raw[:-4], raw[-4:])
        self.sealed = {group: 0 for group, _ in self.sas}
        self.opened = {group: 0 for group, _ in self.sas}

    def ask(self, side, frame):
        self.process.stdin.write(f"{side} {frame.hex()}\n")
        self.process.stdin.flush()
        verdict, _, rest = self.process.stdout.readline().strip().partition(" ")
        if SEEDS:
            outcome = rest if verdict == "drop" else f"{verdict}-{len(frame) // 512}"
            name = f"{self.scenario}-{side}-{outcome}-{frame[12:14].hex()}"
            with open(os.path.join(SEEDS, name), "wb") as file:  # fuzz_path's input: scenario, shape, a raw frame
                file.write(bytes([SCENARIOS.index(self.scenario), 0, 0 if side == "black" else 1]) +
                           struct.pack("!H", len(frame)) + frame)
        return verdict, rest

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()

    def outer(self, scenario_outer, group="tv"):
        """The expected sealed frame: scenario_outer(sa, number) with the next number."""
        self.sealed[group] += 1
        return scenario_outer(self.sas[group, "own"], self.sealed[group])

    def number(self, group="tv"):
        self.opened[group] += 1
        return self.opened[group]


def on_every_path(scenario):
    def decorate(test):
        def run(self):
            for engine in engines():
                path = Path(engine, scenario)
                self.engine = engine
                try:
                    test(self, path)
                finally:
                    path.close()
        return run
    return decorate


# The packet that each mode makes of an inner one. dscp and ecn of the traffic class, TTL, DF and flow label follow the
# inner one unless the mode says otherwise.
def preserve4(sa, number, packet, vlans=()):
    src, dst = packet[12:16], packet[16:20]
    return ref.ethernet(ref.ipv4(ref.esp(sa, number, packet, 4), bytes_address(src), bytes_address(dst), ref.ESP,
                                 packet[8], packet[1], number & 0xFFFF, (packet[6] << 8) & 0x4000), vlans)


def preserve6(sa, number, packet, vlans=()):
    word = struct.unpack("!I", packet[:4])[0]
    return ref.ethernet(ref.ipv6(ref.esp(sa, number, packet, 41), bytes_address(packet[8:24]),
                                 bytes_address(packet[24:40]), ref.ESP, packet[7], (word >> 20) & 0xFF, word & 0xFFFFF),
                        vlans)


def inner_class(packet):
    return packet[1] if packet[0] >> 4 == 4 else (struct.unpack("!H", packet[:2])[0] >> 4) & 0xFF


def fixed4(sa, number, packet, vlans=()):
    is4 = packet[0] >> 4 == 4
    dont_fragment = not is4 or packet[6] & 0x40
    return ref.ethernet(ref.ipv4(ref.esp(sa, number, packet, 4 if is4 else 41), "10.9.0.2", "239.9.9.9", ref.ESP, 32,
                                 46 << 2 | inner_class(packet) & 3, number & 0xFFFF, 0x4000 if dont_fragment else 0),
                        vlans)


def fixed6(sa, number, packet, vlans=()):
    is4 = packet[0] >> 4 == 4
    label = (sa[0] * 2654435769 & 0xFFFFFFFF) >> 12
    return ref.ethernet(ref.ipv6(ref.esp(sa, number, packet, 4 if is4 else 41), "2001:db8:9::2", "ff1e:9::9", ref.ESP,
                                 packet[8] if is4 else packet[7], inner_class(packet), label), vlans)


def transport4(sa, number, packet, vlans=()):
    ihl = (packet[0] & 15) * 4
    esp = ref.esp(sa, number, packet[ihl:], packet[9])
    return ref.ethernet(ref.ipv4(esp, bytes_address(packet[12:16]), bytes_address(packet[16:20]), ref.ESP, packet[8],
                                 packet[1], struct.unpack("!H", packet[4:6])[0], struct.unpack("!H", packet[6:8])[0],
                                 packet[20:ihl]), vlans)


def transport6(sa, number, packet, vlans=(), kept=0, field=6):
    """kept: bytes of extension headers in front of ESP; field: offset of the next-header field in the last of them
    (or in the fixed header)."""
    following = packet[field]
    head = bytearray(packet[:40 + kept])
    head[field] = ref.ESP
    esp = ref.esp(sa, number, packet[40 + kept:], following)
    head[4:6] = struct.pack("!H", kept + len(esp))
    return ref.ethernet(bytes(head) + esp, vlans)


def bytes_address(raw):
    return str(ref.ipaddress.ip_address(raw))


def data(size):
    return bytes(i & 255 for i in range(size))


def tv4(size=64, **fields):
    return ref.ipv4(ref.udp(data(size)), **fields)


def tv6(size=64, **fields):
    return ref.ipv6(ref.udp(data(size)), **fields)


def hop_by_hop(following, options=b"\x01\x04\0\0\0\0"):
    return bytes([following, (len(options) + 2) // 8 - 1]) + options


def fragment_header(following, offset, more, ident=0x01020304):
    return struct.pack("!BBHI", following, 0, offset | more, ident)


class Table(unittest.TestCase):
    maxDiff = 400
    fixtures = 0

    @classmethod
    def tearDownClass(cls):
        print(f"{cls.__name__}: {cls.fixtures} packets", file=sys.stderr)

    def expect(self, path, name, side, frame, verdict, rest):
        type(self).fixtures += 1
        with self.subTest(fixture=name, engine=self.engine):
            got_verdict, got = path.ask(side, frame)
            want = rest.hex() if isinstance(rest, bytes) else rest
            self.assertEqual((got_verdict, got), (verdict, want))

    def seals(self, path, name, packet, make, vlans=(), group="tv", pad=b""):
        frame = ref.ethernet(packet, vlans) + pad
        self.expect(path, name, "red", frame, "forward", path.outer(lambda sa, n: make(sa, n, packet, vlans), group))

    def opens(self, path, name, packet, make, vlans=(), group="tv", becomes=None):
        black = make(path.sas[group, "peer"], path.number(group), packet, vlans)
        self.expect(path, name, "black", black, "forward", ref.ethernet(becomes or packet, vlans))

    def drops(self, path, name, side, frame, reason):
        self.expect(path, name, side, frame, "drop", reason)


class Seals(Table):
    """Red to black, every mode, both families, tags, sizes, and the fields that are copied."""

    def both(self, path, make4, make6):
        for vlans in VLANS:
            for size in PAYLOADS:
                self.seals(path, f"IPv4, {size} bytes, tags {vlans}", tv4(size), make4, vlans)
                self.seals(path, f"IPv6, {size} bytes, tags {vlans}", tv6(size), make6, vlans)
        for tos in (0, 1, 2, 3, 0xB8, 0xBB, 0xFF):
            self.seals(path, f"IPv4, TOS {tos:#x}", tv4(tos=tos), make4)
            self.seals(path, f"IPv6, traffic class {tos:#x}", tv6(tclass=tos), make6)
        for ttl in (1, 2, 64, 255):
            self.seals(path, f"IPv4, TTL {ttl}", tv4(ttl=ttl), make4)
            self.seals(path, f"IPv6, hop limit {ttl}", tv6(hops=ttl), make6)
        for flow in (0, 1, 0xFFFFF, 0x12345):
            self.seals(path, f"IPv6, flow label {flow:#x}", tv6(flow=flow), make6)
        self.seals(path, "IPv4 without DF", tv4(flags=0), make4)
        self.seals(path, "Ethernet padding is cut off", tv4(0), make4, pad=bytes(18))
        self.seals(path, "Ethernet padding is cut off, IPv6", tv6(0), make6, pad=b"\xff" * 6)
        self.seals(path, "UDP checksum 0 over IPv4", ref.ipv4(ref.udp(data(20), sum_=0)), make4)
        self.seals(path, "TCP-like protocol", ref.ipv4(data(20), proto=6), make4)
        self.seals(path, "an IP packet without payload", ref.ipv4(b"", proto=99), make4)
        self.seals(path, "an IPv6 packet without payload", ref.ipv6(b"", proto=99), make6)
        self.seals(path, "the group's last address", tv4(dst="239.1.1.255"), make4)
        self.seals(path, "the group's first address", tv4(dst="239.1.1.0"), make4)

    @on_every_path("preserve")
    def test_tunnel_with_the_inner_addresses(self, path):
        self.both(path, preserve4, preserve6)
        options = b"\x94\x04\0\0"
        self.seals(path, "IPv4 options stay inside", tv4(options=options), preserve4)
        self.seals(path, "a first fragment", tv4(flags=0x2000), preserve4)
        self.seals(path, "a later fragment, selectors without ports", tv4(flags=0x0010), preserve4)
        for kind, header in ((0, hop_by_hop(17)), (60, hop_by_hop(17))):
            self.seals(path, f"extension header {kind} stays inside", tv6(extensions=header, first=kind), preserve6)
        self.seals(path, "an IPv6 fragment", tv6(extensions=fragment_header(17, 0, 1), first=44), preserve6)

    @on_every_path("preserve")
    def test_groups_with_ports_and_sources(self, path):
        for port in (5000, 5001, 5010):
            self.seals(path, f"radio, port {port}", ref.ipv4(ref.udp(data(9), dport=port), dst="239.2.2.7"), preserve4,
                       group="radio")
            self.seals(path, f"radio, IPv6, port {port}", ref.ipv6(ref.udp(data(9), dport=port), dst="ff1e:2::7"),
                       preserve6, group="radio")
        for src in ("10.0.0.0", "10.255.255.255", "10.1.2.3"):
            self.seals(path, f"ssm from {src}", tv4(src=src, dst="232.1.1.9"), preserve4, group="ssm")
        self.seals(path, "ssm, IPv6", tv6(src="2001:db8:ffff::1", dst="ff3e:3::1"), preserve6, group="ssm")
        for port in (0, 4999, 5011, 65535):
            self.drops(path, f"radio, port {port}", "red",
                       ref.ethernet(ref.ipv4(ref.udp(data(9), dport=port), dst="239.2.2.7")), "no_policy")
            self.drops(path, f"radio, IPv6, port {port}", "red",
                       ref.ethernet(ref.ipv6(ref.udp(data(9), dport=port), dst="ff1e:2::7")), "no_policy")
        for src in ("9.255.255.255", "11.0.0.0", "192.168.1.1"):
            self.drops(path, f"ssm from {src}", "red", ref.ethernet(tv4(src=src, dst="232.1.1.9")), "no_policy")
        self.drops(path, "ssm, IPv6, another network", "red",
                   ref.ethernet(tv6(src="2001:db9::1", dst="ff3e:3::1")), "no_policy")
        self.drops(path, "another protocol where ports are named", "red",
                   ref.ethernet(ref.ipv4(data(20), proto=6, dst="239.2.2.7")), "no_policy")
        for dst in ("239.1.0.255", "239.1.2.0", "239.0.1.1", "224.1.1.1"):
            self.drops(path, f"beside the group: {dst}", "red", ref.ethernet(tv4(dst=dst)), "no_policy")
        self.drops(path, "beside the group: ff1e:4::1", "red", ref.ethernet(tv6(dst="ff1e:4::1")), "no_policy")

    @on_every_path("fixed4")
    def test_tunnel_to_given_ipv4_addresses(self, path):
        self.both(path, fixed4, fixed4)

    @on_every_path("fixed6")
    def test_tunnel_to_given_ipv6_addresses(self, path):
        self.both(path, fixed6, fixed6)

    @on_every_path("transport")
    def test_transport(self, path):
        self.both(path, transport4, transport6)
        self.seals(path, "IPv4 options stay in front", tv4(options=b"\x94\x04\0\0"), transport4)
        self.expect(path, "hop-by-hop options stay in front", "red",
                    ref.ethernet(tv6(extensions=hop_by_hop(17), first=0)), "forward",
                    path.outer(lambda sa, n: transport6(sa, n, tv6(extensions=hop_by_hop(17), first=0), (), 8, 40)))
        self.seals(path, "destination options are protected", tv6(extensions=hop_by_hop(17), first=60), transport6)
        for name, packet in (("first fragment", tv4(flags=0x2000)), ("later fragment", tv4(flags=0x0010)),
                             ("IPv6 fragment", tv6(extensions=fragment_header(17, 0, 1), first=44))):
            self.drops(path, f"transport takes whole packets only: {name}", "red", ref.ethernet(packet), "fragment")


class Opens(Table):
    """Black to red: packets sealed by another member of the group come out as they went in."""

    def both(self, path, make4, make6):
        for vlans in VLANS:
            for size in PAYLOADS:
                self.opens(path, f"IPv4, {size} bytes, tags {vlans}", tv4(size), make4, vlans)
                self.opens(path, f"IPv6, {size} bytes, tags {vlans}", tv6(size), make6, vlans)
        for tos in (0, 1, 2, 3, 0xB8):
            self.opens(path, f"IPv4, TOS {tos:#x}", tv4(tos=tos), make4)
            self.opens(path, f"IPv6, traffic class {tos:#x}", tv6(tclass=tos), make6)

    @on_every_path("preserve")
    def test_tunnel_with_the_inner_addresses(self, path):
        self.both(path, preserve4, preserve6)
        self.opens(path, "radio", ref.ipv4(ref.udp(data(9), dport=5005), dst="239.2.2.7"), preserve4, group="radio")
        self.opens(path, "ssm", tv4(src="10.4.4.4", dst="232.1.1.9"), preserve4, group="ssm")

    @on_every_path("fixed4")
    def test_tunnel_to_given_ipv4_addresses(self, path):
        self.both(path, fixed4, fixed4)

    @on_every_path("fixed6")
    def test_tunnel_to_given_ipv6_addresses(self, path):
        self.both(path, fixed6, fixed6)

    @on_every_path("transport")
    def test_transport(self, path):
        self.both(path, transport4, transport6)

    # RFC 6040 §4.2, figure 4: columns are the outer field Not-ECT, ECT(0), ECT(1), CE.
    @on_every_path("preserve")
    def test_congestion_marked_on_the_way(self, path):
        not_ect, ect0, ect1, ce = 0, 2, 1, 3
        table = {not_ect: (not_ect, not_ect, not_ect, None), ect0: (ect0, ect0, ect1, ce), ect1: (ect1, ect1, ect1, ce),
                 ce: (ce, ce, ce, ce)}
        for inner, row in table.items():
            for outer, result in zip((not_ect, ect0, ect1, ce), row):
                for family, make, plain in ((4, preserve4, lambda e: tv4(tos=0xB8 | e)),
                                            (6, preserve6, lambda e: tv6(tclass=0xB8 | e))):
                    sealed = bytearray(make(path.sas["tv", "peer"], path.number(), plain(inner)))
                    if family == 4:
                        sealed[15] = sealed[15] & 0xFC | outer
                        sealed[24:26] = b"\0\0"
                        sealed[24:26] = struct.pack("!H", ref.checksum(bytes(sealed[14:34])))
                    else:
                        sealed[15] = sealed[15] & 0xCF | outer << 4
                    name = f"IPv{family}, inner {inner}, outer {outer}"
                    if result is None:
                        self.drops(path, name, "black", bytes(sealed), "ecn_illegal")
                    else:
                        self.expect(path, name, "black", bytes(sealed), "forward", ref.ethernet(plain(result)))


class Hostile(Table):
    """Packets that a stranger, a former member or a lying member can send on either side."""

    @on_every_path("preserve")
    def test_frames_that_end_too_early(self, path):
        for side in ("red", "black"):
            for family, whole in ((4, ref.ethernet(tv4(8))), (6, ref.ethernet(tv6(8)))):
                header = 14 + (20 if family == 4 else 40)
                for length in range(0, header):
                    self.drops(path, f"{side}, IPv{family}, {length} bytes", side, whole[:length], "short_frame")
                for length in range(header, len(whole)):
                    self.drops(path, f"{side}, IPv{family}, {length} bytes", side, whole[:length], "truncated")
            for length in (14, 15, 17, 18, 19, 21):
                self.drops(path, f"{side}, cut inside tags, {length} bytes", side,
                           ref.ethernet(tv4(8), (1, 2))[:length], "short_frame")

    @on_every_path("preserve")
    def test_ip_headers_that_lie(self, path):
        for side in ("red", "black"):
            for name, packet, reason in (
                    ("version 5", tv4(version=5), "bad_ip_header"),
                    ("version 6 under IPv4's EtherType", tv4(version=6), "bad_ip_header"),
                    ("header of 16 bytes", tv4(ihl=4), "bad_ip_header"),
                    ("header longer than the packet", tv4(0, ihl=15), "bad_ip_header"),
                    ("total length below the header's", tv4(total=19), "bad_ip_header"),
                    ("total length beyond the frame", tv4(total=1000), "truncated"),
                    ("total length 65535", tv4(total=65535), "truncated"),
                    ("checksum", tv4(checksum=0x1111), "bad_ip_header"),
                    ("TTL 0", tv4(ttl=0), "bad_ip_header")):
                frame = ref.ethernet(packet, kind=0x0800, dst=ref.multicast_mac("239.1.1.5"))
                self.drops(path, f"{side}: {name}", side, frame, reason)
            for name, packet, reason in (
                    ("version 4", tv6(version=4), "bad_ip_header"),
                    ("hop limit 0", tv6(hops=0), "bad_ip_header"),
                    ("a multicast source", tv6(src="ff02::1"), "bad_ip_header"),
                    ("payload beyond the frame", tv6(length=1000), "truncated"),
                    ("a jumbogram", tv6(extensions=hop_by_hop(17, b"\xc2\x04\0\1\0\0"), first=0), "ipv6_extension"),
                    ("payload length 0 with options", tv6(extensions=hop_by_hop(17), first=0, length=0),
                     "ipv6_extension"),
                    ("an option beyond its header", tv6(extensions=hop_by_hop(17, b"\x05\x20\0\0\0\0"), first=0),
                     "ipv6_extension"),
                    ("hop-by-hop options twice", tv6(extensions=hop_by_hop(0) + hop_by_hop(17), first=0),
                     "ipv6_extension"),
                    ("hop-by-hop options in second place", tv6(extensions=hop_by_hop(0) + hop_by_hop(17), first=60),
                     "ipv6_extension"),
                    ("routing header type 0", tv6(extensions=b"\x11\0\0\0\0\0\0\0", first=43), "ipv6_extension"),
                    ("segments left", tv6(extensions=b"\x11\0\4\1\0\0\0\0", first=43), "ipv6_extension"),
                    ("nine extension headers", tv6(extensions=hop_by_hop(60) * 8 + hop_by_hop(17), first=60),
                     "ipv6_extension"),
                    ("an extension header beyond the packet", tv6(0, extensions=b"\x11\xff\1\4\0\0\0\0", first=60),
                     "ipv6_extension"),
                    ("two fragment headers", tv6(extensions=fragment_header(44, 0, 1) + fragment_header(17, 0, 1),
                                                 first=44), "ipv6_extension")):
                frame = ref.ethernet(packet, kind=0x86DD, dst=ref.multicast_mac("ff1e:1::5"))
                self.drops(path, f"{side}, IPv6: {name}", side, frame, reason)

    @on_every_path("preserve")
    def test_what_no_rule_lets_pass(self, path):
        for side in ("red", "black"):
            self.drops(path, f"{side}: unicast", side, ref.ethernet(tv4(dst="10.0.0.9"), dst=bytes(6)), "not_multicast")
            self.drops(path, f"{side}: IPv6 unicast", side, ref.ethernet(tv6(dst="2001:db8::9"), dst=bytes(6)),
                       "not_multicast")
            self.drops(path, f"{side}: broadcast", side, ref.ethernet(tv4(dst="255.255.255.255"), dst=b"\xff" * 6),
                       "not_multicast")
            self.drops(path, f"{side}: class E", side, ref.ethernet(tv4(dst="240.0.0.1"), dst=bytes(6)), "not_multicast")
            for kind in (0x0806, 0x88CC, 0x8863, 0x0000, 0xFFFF, 46):
                self.drops(path, f"{side}: EtherType {kind:#06x}", side, b"\xff" * 6 + bytes(6) + struct.pack("!H", kind)
                           + bytes(46), "not_ip")
            self.drops(path, f"{side}: three tags", side, ref.ethernet(tv4(), kind=0x8100)[:14] + ref.tags((1, 2)) +
                       b"\x08\x00" + tv4(), "not_ip")
        for proto in (50, 51):
            self.drops(path, f"red: protocol {proto} is never sealed again", "red",
                       ref.ethernet(ref.ipv4(data(60), proto=proto)), "esp_on_red")
            self.drops(path, f"red, IPv6: protocol {proto} is never sealed again", "red",
                       ref.ethernet(ref.ipv6(data(60), proto=proto)), "esp_on_red")
            self.drops(path, f"red, IPv6: protocol {proto} behind options", "red",
                       ref.ethernet(ref.ipv6(data(60), extensions=hop_by_hop(proto), first=60)), "esp_on_red")
        self.drops(path, "black: plain traffic of the group", "black", ref.ethernet(tv4()), "clear_on_black")
        self.drops(path, "black: plain IPv6 traffic of the group", "black", ref.ethernet(tv6()), "clear_on_black")
        self.drops(path, "black: AH", "black", ref.ethernet(ref.ipv4(data(60), proto=51)), "clear_on_black")
        self.drops(path, "black: multicast of no group", "black", ref.ethernet(tv4(dst="239.77.0.1")), "no_policy")
        self.drops(path, "red: UDP without room for its header", "red", ref.ethernet(ref.ipv4(data(7))), "short_frame")
        self.drops(path, "red: UDP without room for its header, IPv6", "red", ref.ethernet(ref.ipv6(data(7))),
                   "short_frame")

    @on_every_path("preserve")
    def test_too_big_for_black(self, path):
        self.seals(path, "the largest that fits", tv4(1446 - 28), preserve4)
        self.drops(path, "a byte more, DF", "red", ref.ethernet(tv4(1447 - 28)), "too_big")
        self.expect(path, "a byte more, without DF", "red", ref.ethernet(tv4(1447 - 28, flags=0)), "fragment", "1446")
        self.seals(path, "IPv6: the largest that fits", tv6(1426 - 48), preserve6)
        self.drops(path, "IPv6: a byte more", "red", ref.ethernet(tv6(1427 - 48)), "too_big")

    @on_every_path("preserve")
    def test_esp_from_strangers(self, path):
        sa = path.sas["tv", "peer"]
        good = preserve4(sa, path.number(), tv4())
        for bit in range(34 * 8, len(good) * 8, 3):
            bent = bytearray(good)
            bent[bit // 8] ^= 1 << bit % 8
            place = bit // 8 - 34
            if place < 4:
                continue  # the SPI: below
            reason = "iv_sequence_mismatch" if place < 8 or 12 <= place < 16 else "bad_tag"
            self.drops(path, f"bit {bit} turned over", "black", bytes(bent), reason)
        self.expect(path, "and the packet itself", "black", good, "forward", ref.ethernet(tv4()))
        self.drops(path, "again", "black", good, "replay")
        for spi in (0, 1, 255, 0x10000000 - 1, 0xFFFFFFFF, 0x20000000):
            self.drops(path, f"SPI {spi:#x}", "black", ref.ethernet(ref.ipv4(ref.esp(sa, 99, tv4(), 4, spi=spi),
                                                                             proto=50)), "unknown_spi")
        self.drops(path, "our own SPI", "black", preserve4(path.sas["tv", "own"], 1, tv4()), "own_spi")
        self.drops(path, "a slot far above those in use", "black",
                   ref.ethernet(ref.ipv4(ref.esp(sa, 99, tv4(), 4, spi=0x10000000 + 1000), proto=50)),
                   "slot_out_of_window")
        self.expect(path, "a slot with a key that is being derived", "black",
                    ref.ethernet(ref.ipv4(ref.esp(sa, 99, tv4(), 4, spi=0x10000003), proto=50)), "park", "")
        for size in range(0, 56):
            self.drops(path, f"ESP of {size} bytes", "black",
                       ref.ethernet(ref.ipv4((struct.pack("!I", sa[0]) + bytes(60))[:size], proto=50)),
                       "esp_length")
        for extra in (1, 2, 3):
            self.drops(path, f"{extra} bytes more than a multiple of 4", "black",
                       ref.ethernet(ref.ipv4(ref.esp(sa, 99, tv4(), 4) + bytes(extra), proto=50)), "esp_length")
        self.drops(path, "a fragment of ESP", "black",
                   ref.ethernet(ref.ipv4(ref.esp(sa, 99, tv4(), 4), proto=50, flags=0x2000)), "fragment")
        self.drops(path, "another outer destination", "black",
                   ref.ethernet(ref.ipv4(ref.esp(sa, 99, tv4(), 4), proto=50, dst="239.7.7.7")), "selector_mismatch")
        number = path.number()
        self.drops(path, "IV and sequence number differ", "black",
                   ref.ethernet(ref.ipv4(ref.esp(sa, number, tv4(), 4, sequence=number + 1), proto=50)),
                   "iv_sequence_mismatch")

    @on_every_path("preserve")
    def test_members_that_lie(self, path):
        sa = path.sas["tv", "peer"]

        def wrapped(text, next_header=4, outer=None, **esp):
            outer = dict(outer or {})
            return ref.ethernet(ref.ipv4(ref.esp(sa, path.number(), text, next_header, **esp), proto=50, **outer))

        inner = tv4()
        odd = ref.ipv4(ref.udp(data(63)))  # 91 bytes: a padding of 3, then two bytes
        for name, padding in (("zeros", b"\0\0\0\3"), ("from 2", b"\2\3\4\3"), ("backwards", b"\3\2\1\3"),
                              ("a length beyond the text", b"\1\2\3\xff"), ("last byte wrong", b"\1\2\4\3")):
            self.assertEqual((len(odd) + len(padding) + 1) % 4, 0)
            self.drops(path, f"padding: {name}", "black", wrapped(odd, padding=padding), "bad_padding")
        for next_header in (0, 1, 17, 50, 59, 255):
            self.drops(path, f"next header {next_header}", "black", wrapped(inner, next_header), "bad_next_header")
        self.drops(path, "IPv4 called IPv6", "black", wrapped(inner, 41), "bad_inner_packet")
        for name, packet, reason in (
                ("another source", tv4(src="10.0.0.2"), "outer_inner_mismatch"),
                ("another destination", tv4(dst="239.1.1.6"), "outer_inner_mismatch"),
                ("a wrong inner checksum", tv4(checksum=1), "bad_inner_packet"),
                ("inner TTL 0", tv4(ttl=0), "bad_inner_packet"),
                ("an inner packet longer than its ESP", tv4(total=200), "bad_inner_packet"),
                ("inner version 5", tv4(version=5), "bad_inner_packet"),
                ("ESP inside", ref.ipv4(data(60), proto=50), "nested_esp"),
                ("AH inside", ref.ipv4(data(60), proto=51), "nested_esp"),
                ("IGMP inside", ref.ipv4(data(8), proto=2), "igmp_not_allowed"),
                ("inner UDP without room", ref.ipv4(data(3)), "bad_inner_packet")):
            self.drops(path, name, "black", wrapped(packet), reason)
        self.drops(path, "a local source", "black",
                   wrapped(tv4(src="10.66.1.1"), outer={"src": "10.66.1.1"}), "local_red_source")
        self.drops(path, "a local IPv6 source", "black",
                   preserve6(sa, path.number(), tv6(src="2001:db8:66::1")), "local_red_source")

    @on_every_path("preserve")
    def test_H16_groups_stay_apart(self, path):
        """The key of one group does not permit sending in another."""
        radio = ref.ipv4(ref.udp(data(9), dport=5005), dst="239.2.2.7")
        other = ref.ipv4(ref.udp(data(9), dport=6000), dst="239.2.2.7")
        self.drops(path, "tv's key, radio's packet", "black", preserve4(path.sas["tv", "peer"], path.number("tv"), radio),
                   "selector_mismatch")
        self.drops(path, "radio's key, tv's packet", "black",
                   preserve4(path.sas["radio", "peer"], path.number("radio"), tv4()), "selector_mismatch")
        self.drops(path, "radio's key, a port it does not have", "black",
                   preserve4(path.sas["radio", "peer"], path.number("radio"), other), "selector_mismatch")
        self.drops(path, "ssm's key, a source it does not have", "black",
                   preserve4(path.sas["ssm", "peer"], path.number("ssm"), tv4(src="192.0.2.1", dst="232.1.1.9")),
                   "selector_mismatch")
        self.drops(path, "tv's key, an IPv6 group of ssm", "black",
                   preserve6(path.sas["tv", "peer"], path.number("tv"), tv6(src="2001:db8::1", dst="ff3e:3::1")),
                   "selector_mismatch")

    @on_every_path("fixed4")
    def test_fixed_tunnels_take_their_own_outer_group_only(self, path):
        sa = path.sas["tv", "peer"]
        text = ref.esp(sa, path.number(), tv4(), 4)
        self.drops(path, "the inner group outside", "black", ref.ethernet(ref.ipv4(text, proto=50)), "selector_mismatch")
        self.drops(path, "another family outside", "black", ref.ethernet(ref.ipv6(text, proto=50, dst="ff1e:9::9")),
                   "selector_mismatch")
        self.drops(path, "an inner packet of no group", "black", fixed4(sa, path.number(), tv4(dst="239.7.7.7")),
                   "selector_mismatch")
        self.expect(path, "and what belongs there", "black", fixed4(sa, path.number(), tv4()), "forward",
                    ref.ethernet(tv4()))

    @on_every_path("transport")
    def test_transport_that_lies(self, path):
        sa = path.sas["tv", "peer"]

        def wrapped(text, next_header, **outer):
            return ref.ethernet(ref.ipv4(ref.esp(sa, path.number(), text, next_header), proto=50, **outer))

        self.drops(path, "ESP in ESP", "black", wrapped(data(60), 50), "nested_esp")
        self.drops(path, "AH in ESP", "black", wrapped(data(60), 51), "nested_esp")
        self.drops(path, "a dummy packet", "black", wrapped(data(60), 59), "bad_next_header")
        self.drops(path, "IGMP", "black", wrapped(data(8), 2), "igmp_not_allowed")
        self.drops(path, "UDP without room", "black", wrapped(data(5), 17), "bad_inner_packet")
        self.drops(path, "another group", "black", wrapped(ref.udp(data(9)), 17, dst="239.2.2.2"), "selector_mismatch")
        for kind in (0, 43, 44):
            self.drops(path, f"IPv6 header {kind} behind ESP", "black", ref.ethernet(
                ref.ipv6(ref.esp(sa, path.number(), hop_by_hop(17) + ref.udp(data(9)), kind), proto=50)),
                "bad_next_header")

    @on_every_path("preserve")
    def test_noise(self, path):
        """Random bytes are never forwarded, and never end the process."""
        dice = random.Random(4303)
        seeds = [ref.ethernet(tv4()), ref.ethernet(tv6()), preserve4(path.sas["tv", "peer"], 1000, tv4()),
                 preserve6(path.sas["tv", "peer"], 1001, tv6())]
        for turn in range(1500):
            frame = bytearray(dice.choice(seeds)) if turn % 3 else bytearray(dice.randbytes(dice.randrange(200)))
            for _ in range(dice.randrange(1, 8) if frame else 0):
                frame[dice.randrange(len(frame))] = dice.randrange(256)
            verdict, rest = path.ask("black", bytes(frame))
            # Changed Ethernet addresses or unauthenticated outer fields leave a good packet good.
            self.assertIn(verdict, ("drop", "park", "forward", "hand_off"), frame.hex())
            if verdict == "forward":
                self.assertTrue(rest.endswith(tv4().hex()) or rest.endswith(tv6().hex()), frame.hex())


if __name__ == "__main__":
    FIXTURE_TOOL, ESP_TOOL = sys.argv[1:3]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
