"""scapy as an attacker at the real key server's port. Each attack must end in the one alert that fits, be counted under
its reason, release nothing, and leave a server that serves members. Standard clients are allowed here, so that the
attacks get past the ClientHello; the names are those of docs/testing.md."""
import random
import socket
import time

from scapy.config import conf
from scapy.layers.tls.extensions import TLS_Ext_RenegotiationInfo, TLS_Ext_SupportedGroups, TLS_Ext_Unknown
from scapy.layers.tls.cert import Cert, PrivKey
from scapy.layers.tls.handshake import (TLSCertificate, TLSCertificateVerify, TLSClientKeyExchange, TLSFinished,
                                        TLSServerHelloDone)
from scapy.layers.tls.record import TLS, TLSAlert, TLSApplicationData, TLSChangeCipherSpec
from scapy.layers.tls.session import tlsSession

from case import ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, HANDSHAKE, TIMEOUT, Failed, records
from keyserver import KeyServer
from peers import PEERS
from scapy_end import client_hello, hello_extensions

conf.verb = 0

ALERTS = {"close_notify": 0, "unexpected_message": 10, "bad_record_mac": 20, "record_overflow": 22,
          "handshake_failure": 40, "illegal_parameter": 47, "access_denied": 49, "decode_error": 50, "decrypt_error": 51,
          "protocol_version": 70, "inappropriate_fallback": 86}
FATAL = 2
CLIENT_HELLO, FINISHED = 1, 20
FALLBACK_SCSV = 0x5600
MULTICAST_GROUP = 0xFF78
PROTOCOL_VERSION = 0x82  # of the group protocol
CCS = b"\x14\x03\x03\x00\x01\x01"


def record(kind, payload, version=b"\x03\x03"):
    return bytes([kind]) + version + len(payload).to_bytes(2, "big") + payload


def message(kind, body):
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


class Attacker:
    """One connection. `send` takes bytes as they are; `say` builds a record for the state of scapy's session and
    sends it; `build` does not send it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session = tlsSession(connection_end="client")
        self.got = b""
        self._read = 0  # bytes of `got` that scapy's session has seen

    def send(self, *blocks):
        for block in blocks:
            try:
                self.socket.sendall(block)
            except (BrokenPipeError, ConnectionResetError):
                return  # the server closed before all was sent; its answer is judged

    def build(self, *messages):
        return TLS(msg=list(messages), tls_session=self.session).raw_stateful()

    def say(self, *messages):
        self.send(self.build(*messages))

    def _receive(self):
        try:
            block = self.socket.recv(65536)
        except ConnectionResetError:
            return False
        except socket.timeout:
            raise Failed(f"the server neither answers nor closes; it sent {records(self.got)}") from None
        self.got += block
        return bool(block)

    def next(self):
        """The next record's messages, opened by scapy; None at the end."""
        while not self._whole_record():
            if not self._receive():
                return None
        size = 5 + int.from_bytes(self.got[self._read + 3:self._read + 5], "big")
        read = TLS(self.got[self._read:self._read + size], tls_session=self.session)
        self._read += size
        self.session = read.tls_session
        return read.msg

    def until(self, kind):
        """Reads up to the record that holds a message of this kind, and returns the message."""
        while (messages := self.next()) is not None:
            for part in messages:
                if isinstance(part, kind):
                    return part
        raise Failed(f"expected {kind.__name__} from the server, got {records(self.got)}")

    def server_flight(self):
        """Reads until ServerHelloDone, so that the session knows the server's share."""
        self.until(TLSServerHelloDone)
        return self

    def _whole_record(self):
        rest = self.got[self._read:]
        return len(rest) >= 5 and len(rest) >= 5 + int.from_bytes(rest[3:5], "big")

    def hello(self, **changes):
        """ClientHello as an ordinary client sends it; reads the server's flight."""
        self.say(client_hello(**changes))
        return self.server_flight()

    def shown_out(self):
        """Everything until the server closes."""
        while self._receive():
            pass
        self.socket.close()
        return records(self.got)


def attack(server, name, alert, reason, act):
    """Plays one attack on a connection of its own: one alert at the end, one more failure of that reason."""
    before = server.failures().get(reason, 0)
    attacker = Attacker(server.port)
    act(attacker)
    got = attacker.shown_out()
    wanted = (ALERT, bytes([FATAL, ALERTS[alert]]))
    if not got or got[-1] != wanted or sum(kind == ALERT for kind, _ in got) != 1:
        raise Failed(f"{name}: expected one alert {alert} at the end, got {got}; the key server said:\n{server.said()}")
    server.until(lambda: server.failures().get(reason, 0) == before + 1,
                 f"{name} to be counted as {reason}: {server.failures()}")


def campaign(case, attacks, options=""):
    """Several attacks on one server. None gets group state; a member is served after each."""
    server = KeyServer(case, "allow_standard = true\n" + options)
    for joined, (name, (alert, reason, act)) in enumerate(attacks.items(), 1):
        attack(server, name, alert, reason, act)
        server.serves_a_member()
        if len(server.lines("key_sent")) != joined:
            raise Failed(f"{name}: {joined} members joined, keys were sent {len(server.lines('key_sent'))} times")
    if server.lines("error"):
        raise Failed("the key server complains of itself: " + server.said())
    return server


# ---------------------------------------------------------------- hellos made by hand, where scapy builds none so wrong


def hello_bytes(version=0x0303, suites=(0xC02C,), extensions=b"", session_id=b""):
    listed = b"".join(suite.to_bytes(2, "big") for suite in suites)
    body = (version.to_bytes(2, "big") + bytes(range(32)) + bytes([len(session_id)]) + session_id +
            len(listed).to_bytes(2, "big") + listed + b"\x01\x00")
    return body + (len(extensions).to_bytes(2, "big") + extensions if extensions else b"")


def extension(kind, body=b""):
    return kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body


EXTENDED_MASTER_SECRET = extension(23)
GROUPS = extension(10, b"\x00\x02\x00\x17")
SIGNATURES = extension(13, b"\x00\x02\x04\x03")
ORDINARY = EXTENDED_MASTER_SECRET + GROUPS + SIGNATURES
ONLY_13 = extension(43, b"\x02\x03\x04")


def hello_record(**parts):
    return record(HANDSHAKE, message(CLIENT_HELLO, hello_bytes(**parts)))


def versions(case):
    """DOWN-1"""
    def send(**parts):
        return lambda a: a.send(hello_record(**parts))
    refused = ("protocol_version", "protocol_version")
    campaign(case, {
        "SSL 3.0": (*refused, send(version=0x0300, extensions=ORDINARY)),
        "TLS 1.0": (*refused, send(version=0x0301, extensions=ORDINARY)),
        "TLS 1.1": (*refused, send(version=0x0302, extensions=ORDINARY)),
        "TLS 1.3 alone": (*refused, send(extensions=ORDINARY + ONLY_13)),
        "TLS 1.1 with FALLBACK_SCSV": ("inappropriate_fallback", "inappropriate_fallback",
                                       send(version=0x0302, suites=(0xC02C, FALLBACK_SCSV), extensions=ORDINARY)),
        "no extended master secret": ("handshake_failure", "no_extended_master_secret",
                                      lambda a: a.say(client_hello(extensions=hello_extensions(False)))),
        "no hello extensions": ("handshake_failure", "no_extended_master_secret", send()),
        "RSA key exchange": ("handshake_failure", "no_common_suite", send(suites=(0x009C, 0x002F), extensions=ORDINARY)),
        "a weak curve": ("handshake_failure", "no_common_curve", lambda a: a.say(client_hello(
            extensions=[e for e in hello_extensions() if not isinstance(e, TLS_Ext_SupportedGroups)] +
            [TLS_Ext_SupportedGroups(groups=["secp192r1"])]))),
    })


def fallback_scsv_at_the_highest_version(case):
    """DOWN-1: RFC 7507 refuses it only below the server's highest version."""
    server = KeyServer(case, "allow_standard = true")
    Attacker(server.port).hello(suites=[0xC02C, FALLBACK_SCSV])
    server.serves_a_member()


def garbage(case):
    """REC-1"""
    noise = random.Random(1).randbytes(2000)
    no_tls = ("unexpected_message", "not_tls")
    campaign(case, {
        "HTTP": (*no_tls, lambda a: a.send(b"GET / HTTP/1.1\r\n\r\n")),
        "zeros": (*no_tls, lambda a: a.send(bytes(64))),
        "noise": (*no_tls, lambda a: a.send(b"\x99" + noise)),
        "an SSL 2 hello": (*no_tls, lambda a: a.send(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + noise[:37])),
        "content type 24": (*no_tls, lambda a: a.send(record(24, b"heartbeat"))),
        "noise in a handshake record": ("unexpected_message", "unexpected_message",
                                        lambda a: a.send(record(HANDSHAKE, b"\xee" + noise[:200]))),
        "noise in a ClientHello": ("decode_error", "decode_error",
                                   lambda a: a.send(record(HANDSHAKE, message(CLIENT_HELLO, b"\x03\x03" + bytes(20))))),
        "application data first": ("unexpected_message", "unexpected_message",
                                   lambda a: a.send(record(APPLICATION_DATA, noise[:100]))),
    })


def record_sizes(case):
    """REC-1"""
    too_long = ("record_overflow", "record_overflow")
    def header(size):
        return lambda a: a.send(b"\x16\x03\x01" + size.to_bytes(2, "big") + bytes(100))
    campaign(case, {
        "2^14 + 1": (*too_long, header(2**14 + 1)),
        "2^14 + 256": (*too_long, header(2**14 + 256)),
        "2^14 + 257": (*too_long, header(2**14 + 257)),
        "65535": (*too_long, header(65535)),
        "2^14 + 1 within the handshake": (*too_long, lambda a: a.hello().send(record(HANDSHAKE, bytes(2**14 + 1)))),
        "a message of 2^24 - 1 bytes": ("illegal_parameter", "handshake_too_large",
                                        lambda a: a.send(record(HANDSHAKE, b"\x01\xff\xff\xff" + bytes(1000)))),
        "an empty record": ("unexpected_message", "empty_record", lambda a: a.send(record(HANDSHAKE, b""))),
        "an empty record within the handshake": ("unexpected_message", "empty_record",
                                                 lambda a: a.hello().send(record(HANDSHAKE, b""))),
    })


def floods(case):
    """REC-1: and the server's memory does not grow with them."""
    def flood(block):
        return lambda a: a.send(*[block * 100] * 200)
    attacks = {
        "empty handshake records": ("unexpected_message", "empty_record", flood(record(HANDSHAKE, b""))),
        "empty application data": ("unexpected_message", "unexpected_message", flood(record(APPLICATION_DATA, b""))),
        "warnings": ("unexpected_message", "warning_flood", flood(record(ALERT, b"\x01\x5a"))),
        "ChangeCipherSpec": ("unexpected_message", "unexpected_message", flood(CCS)),
    }
    server = campaign(case, attacks)
    before = server.memory()
    for _ in range(20):
        for name, (alert, reason, act) in attacks.items():
            attack(server, name, alert, reason, act)
    grown = server.memory() - before
    if grown > 1 << 20:
        raise Failed(f"{20 * len(attacks)} floods made the key server grow by {grown} bytes")


def one_byte_fragments(case):
    """REC-1: the whole handshake in records of one byte, each in a TCP segment of its own, is served like any other."""
    server = KeyServer(case, "allow_standard = true")
    attacker = Attacker(server.port)

    def in_bytes(record_):
        for byte in record_[5:]:
            for part in record(HANDSHAKE, bytes([byte])):
                attacker.send(bytes([part]))

    in_bytes(attacker.build(client_hello()))
    attacker.server_flight()
    in_bytes(attacker.build(TLSClientKeyExchange()))
    for byte in attacker.build(TLSChangeCipherSpec()) + attacker.build(TLSFinished()):
        attacker.send(bytes([byte]))
    kinds = [kind for kind, _ in attacker.shown_out()]
    if kinds[-4:] != [CHANGE_CIPHER_SPEC, HANDSHAKE, APPLICATION_DATA, ALERT]:
        raise Failed(f"expected Finished, the status line and close_notify at the end, got {kinds}; {server.said()}")
    if server.status()["handshakes"]["standard"] != 1:
        raise Failed("the handshake was not counted: " + server.said())
    server.serves_a_member()


def change_cipher_spec_first(case):
    """CCS-2"""
    out_of_place = ("unexpected_message", "unexpected_message")
    campaign(case, {
        "as first record": (*out_of_place, lambda a: a.send(CCS)),
        "before the hello, in one segment": (*out_of_place, lambda a: a.send(CCS + a.build(client_hello()))),
        "right behind the hello": (*out_of_place, lambda a: a.send(a.build(client_hello()) + CCS)),
    })


def change_cipher_spec_early(case):
    """CCS-1, CVE-2014-0224: before the server flight is answered, the keys would come from an empty master secret."""
    def exchange_then(*blocks):
        def act(a):
            a.hello()
            a.send(a.build(TLSClientKeyExchange()) + b"".join(blocks))
        return act
    out_of_place = ("unexpected_message", "unexpected_message")
    half = message(CLIENT_HELLO, hello_bytes(extensions=ORDINARY))[:20]
    campaign(case, {
        "before ClientKeyExchange": (*out_of_place, lambda a: a.hello().send(CCS)),
        "before ClientKeyExchange, with what should be Finished":
            (*out_of_place, lambda a: a.hello().send(CCS + record(HANDSHAKE, bytes(40)))),
        "within a message": ("unexpected_message", "key_change_unaligned",
                             lambda a: a.send(record(HANDSHAKE, half) + CCS)),
        "doubled": ("bad_record_mac", "bad_record_mac", exchange_then(CCS, CCS)),
        "of two bytes": ("decode_error", "decode_error", exchange_then(record(CHANGE_CIPHER_SPEC, b"\x01\x01"))),
        "of no byte": ("unexpected_message", "empty_record", exchange_then(record(CHANGE_CIPHER_SPEC, b""))),
        "of value 2": ("illegal_parameter", "illegal_parameter", exchange_then(record(CHANGE_CIPHER_SPEC, b"\x02"))),
        "left out, Finished in clear": (*out_of_place, exchange_then(record(HANDSHAKE, message(FINISHED, bytes(12))))),
        "left out, data follows": (*out_of_place, exchange_then(record(APPLICATION_DATA, b"GET / HTTP/1.0\r\n\r\n"))),
    })


def finished(case):
    """FIN-1, FIN-2"""
    clear = record(HANDSHAKE, message(FINISHED, bytes(12)))

    def wrong(a):
        a.hello()
        a.say(TLSClientKeyExchange())
        a.say(TLSChangeCipherSpec())
        a.say(TLSFinished(vdata=bytes(12)))

    campaign(case, {
        "as first message": ("unexpected_message", "unexpected_message", lambda a: a.send(clear)),
        "instead of ClientKeyExchange": ("unexpected_message", "unexpected_message", lambda a: a.hello().send(clear)),
        "of zeros": ("decrypt_error", "finished_invalid", wrong),
    })


def renegotiation(case):
    """SEQ-4"""
    again = message(CLIENT_HELLO, hello_bytes(extensions=ORDINARY))
    out_of_place = ("unexpected_message", "unexpected_message")

    def instead_of_finished(a):
        a.hello()
        a.say(TLSClientKeyExchange())
        a.say(TLSChangeCipherSpec())
        a.say(client_hello())

    server = campaign(case, {
        "a second hello in the first flight": (*out_of_place, lambda a: a.send(a.build(client_hello()) + record(HANDSHAKE, again))),
        "a second hello instead of ClientKeyExchange": (*out_of_place, lambda a: a.hello().send(record(HANDSHAKE, again))),
        "a second hello instead of Finished": (*out_of_place, instead_of_finished),
        "HelloRequest from a client": (*out_of_place, lambda a: a.hello().send(record(HANDSHAKE, message(0, b"")))),
        "a first hello that claims to be a second": ("handshake_failure", "no_secure_renegotiation", lambda a: a.say(
            client_hello(extensions=[e for e in hello_extensions() if not isinstance(e, TLS_Ext_RenegotiationInfo)] +
                         [TLS_Ext_RenegotiationInfo(renegotiated_connection=bytes(12))]))),
    })
    # Behind Finished, in the same segment: it ends the connection, and no second ServerHello comes.
    attacker = Attacker(server.port).hello()
    attacker.say(TLSClientKeyExchange())
    attacker.say(TLSChangeCipherSpec())
    end = attacker.build(TLSFinished())
    attacker.send(end + attacker.build(client_hello()))
    refusal = attacker.until(TLSAlert)
    kinds = [kind for kind, _ in attacker.shown_out()]
    if refusal.descr != ALERTS["unexpected_message"] or kinds != [HANDSHAKE] * 4 + [CHANGE_CIPHER_SPEC, HANDSHAKE, ALERT]:
        raise Failed(f"renegotiation behind Finished: expected one flight, Finished and one alert unexpected_message, "
                     f"got {kinds} and {refusal.descr}")
    server.serves_a_member()


def asks_for(group):
    return [*hello_extensions(), TLS_Ext_Unknown(extension(MULTICAST_GROUP, bytes([PROTOCOL_VERSION, len(group)]) + group))]


def insider(case):
    """SEQ-1, SMKE-5, FIN-3, H3: a member with a good certificate runs variant 2 up to SMKE and then cheats. From
    there on it holds the epoch and is logged as a holder; it only becomes a member when it finishes."""
    server = KeyServer(case, 'handshake_timeout = "5s"')
    certificate, key = PEERS["scapy"].identity(case, "member-ecdsa")

    def up_to_smke():
        a = Attacker(server.port).hello(extensions=asks_for(b"tv"))
        a.session.client_key = PrivKey(key)
        a.say(TLSCertificate(certs=[Cert(certificate)]))
        a.say(TLSClientKeyExchange())
        a.say(TLSCertificateVerify())
        a.say(TLSChangeCipherSpec())
        a.say(TLSFinished())
        while [kind for kind, _ in records(a.got)].count(CHANGE_CIPHER_SPEC) < 2:
            if not a._receive():
                raise Failed(f"expected SMKE between two ChangeCipherSpec, got {records(a.got)}; {server.said()}")
        return a

    acts = {
        "data instead of ChangeCipherSpec": ("unexpected_message", lambda a: a.say(TLSApplicationData(data=b"keepalive"))),
        "another hello": ("unexpected_message", lambda a: a.say(client_hello())),
        "Finished without the second ChangeCipherSpec": ("unexpected_message", lambda a: a.say(TLSFinished(vdata=bytes(12)))),
        "the second ChangeCipherSpec in clear": ("bad_record_mac", lambda a: a.send(CCS)),
        "Finished in clear behind it": ("bad_record_mac", lambda a: a.send(
            a.build(TLSChangeCipherSpec()) + record(HANDSHAKE, message(FINISHED, bytes(12))))),
        "silence": ("handshake_timeout", lambda a: None),
    }
    for count, (name, (reason, act)) in enumerate(acts.items(), 1):
        before = server.failures().get(reason, 0)
        attacker = up_to_smke()
        act(attacker)
        kinds = [kind for kind, _ in attacker.shown_out()]
        alerts = 0 if reason == "handshake_timeout" else 1
        after = kinds[kinds.index(CHANGE_CIPHER_SPEC):]  # SMKE travels as a handshake record between the two
        if after != [CHANGE_CIPHER_SPEC, HANDSHAKE, CHANGE_CIPHER_SPEC] + [ALERT] * alerts:
            raise Failed(f"{name}: expected SMKE, no Finished and {alerts} alerts, got {after}; {server.said()}")
        server.until(lambda: server.failures().get(reason, 0) == before + 1, f"{name} to be counted as {reason}")
        status = server.status()
        if status["members"] or status["handshakes"]["completed"] or server.lines("member_joined"):
            raise Failed(f"{name}: a client that never finished counts as a member: {status}")
        if len(server.lines("key_sent")) != count:
            raise Failed(f"{name}: it holds the epoch and is not in the log: {server.said()}")
    server.serves_a_member()


def out_of_order(case):
    """SEQ-1, SEQ-2, AUTH-3"""
    asks = asks_for(b"tv")
    out_of_place = ("unexpected_message", "unexpected_message")
    campaign(case, {
        "a certificate that was not asked for": (*out_of_place, lambda a: a.hello().say(TLSCertificate(certs=[]))),
        "an unknown type": (*out_of_place, lambda a: a.hello().send(record(HANDSHAKE, message(99, bytes(10))))),
        "SMKE from a client": (*out_of_place, lambda a: a.hello().send(record(HANDSHAKE, message(240, bytes(100))))),
        "a group without a certificate": ("handshake_failure", "certificate_missing",
                                          lambda a: a.hello(extensions=asks).say(TLSCertificate(certs=[]))),
        "a group without Certificate": (*out_of_place, lambda a: a.hello(extensions=asks).say(TLSClientKeyExchange())),
        "a group that does not exist": ("access_denied", "group_refused", 
                              lambda a: a.say(client_hello(extensions=asks_for(b"other")))),
    })


def lengths(case):
    """PARSE-1: each length of a ClientHello one too large and one too small."""
    whole = message(CLIENT_HELLO, hello_bytes(extensions=ORDINARY))
    places = {"message": (1, 3), "session_id": (38, 1), "cipher_suites": (39, 2), "compression_methods": (43, 1),
              "extensions": (45, 2), "an extension": (49, 2), "supported_groups": (53, 2)}
    found = {}
    for name, (at, size) in places.items():
        value = int.from_bytes(whole[at:at + size], "big")
        for change in (1, -1):
            if value + change < 0:
                continue
            bad = whole[:at] + (value + change).to_bytes(size, "big") + whole[at + size:]
            if name == "message" and change == 1:
                bad += b"\x00"  # or the server would rightly wait for it
            found[f"{name} {change:+d}"] = ("decode_error", "decode_error", lambda a, b=bad: a.send(record(HANDSHAKE, b)))
    campaign(case, found)


def half_handshakes(case):
    """DOS-1, H13: a crowd that stops half-way, and one that sends a byte now and then, are cut off at the deadline;
    members are served all the while."""
    server = KeyServer(case, 'allow_standard = true\nhandshake_timeout = "4s"\nmax_handshakes_per_address = 200')
    hello = Attacker(server.port).build(client_hello())
    crowd = [Attacker(server.port) for _ in range(150)]
    for number, attacker in enumerate(crowd):
        attacker.send((b"", hello[:40], hello)[number % 3])
    slow = Attacker(server.port)
    started = time.monotonic()
    server.serves_a_member()
    if time.monotonic() - started > 3:
        raise Failed("a member waited for the crowd")
    for byte in hello:  # would take half a minute
        slow.send(bytes([byte]))
        time.sleep(0.2)
        if server.status()["connections"] == 0:
            break
    if time.monotonic() - started > 8:
        raise Failed("a slow sender was listened to beyond the deadline")
    for attacker in crowd:
        if any(kind == APPLICATION_DATA for kind, _ in attacker.shown_out()):
            raise Failed("half a handshake was given data")
    failed = server.failures()
    if failed.get("handshake_timeout", 0) != 151:
        raise Failed(f"151 connections should be counted as handshake_timeout: {failed}")
    if len(server.lines("handshake_failed")) > 25:
        raise Failed(f"{len(server.lines('handshake_failed'))} lines in the log for 151 of one kind")
    server.serves_a_member()


def cases():
    return {
        "attack_old_versions_and_weak_hellos": versions,
        "attack_fallback_scsv_at_the_highest_version_is_none": fallback_scsv_at_the_highest_version,
        "attack_garbage": garbage,
        "attack_record_sizes": record_sizes,
        "attack_floods": floods,
        "attack_one_byte_fragments": one_byte_fragments,
        "attack_change_cipher_spec_first": change_cipher_spec_first,
        "attack_change_cipher_spec_early": change_cipher_spec_early,
        "attack_finished_early_or_wrong": finished,
        "attack_renegotiation": renegotiation,
        "attack_messages_out_of_order": out_of_order,
        "attack_by_a_member_after_smke": insider,
        "attack_lengths_of_a_hello": lengths,
        "attack_half_handshakes": half_handshakes,
    }
