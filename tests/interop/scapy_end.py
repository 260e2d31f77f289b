#!/usr/bin/python3
"""scapy's TLS automatons as one end of a standard TLS 1.2 connection on loopback.

usage: scapy_end.py client PORT [--identity PEM KEY] [--say TEXT]
       scapy_end.py server PEM KEY [--mutual]

What scapy prints goes to standard output: "> TLS handshake completed!", "> Received: b'…'" for data, and for alerts.
Its server prints "PORT n" first, serves one connection and echoes. scapy verifies no certificate: it is a witness of
the protocol, not of the identities.

Deviations from the automatons as they come: the client's ClientHello is ours, because theirs offers neither
extended_master_secret nor ECDSA; the server's ServerHello has extended_master_secret and renegotiation_info, because
theirs has no extensions at all; scapy 2.5 announces rsa_pss_rsae_sha256 over whatever signature it makes, so that an
ECDSA key's is announced here as what it is.
"""
import argparse
import socket

from scapy.automaton import ATMT
from scapy.config import conf
from scapy.layers.tls.automaton_cli import TLSClientAutomaton
from scapy.layers.tls.automaton_srv import TLSServerAutomaton
from scapy.layers.tls.cert import PrivKeyECDSA
from scapy.layers.tls.extensions import (ServerName, TLS_Ext_ExtendedMasterSecret, TLS_Ext_RenegotiationInfo,
                                         TLS_Ext_ServerName, TLS_Ext_SignatureAlgorithms, TLS_Ext_SupportedGroups,
                                         TLS_Ext_SupportedPointFormat)
from scapy.layers.tls.handshake import TLSClientHello, TLSServerHello
from scapy.layers.tls.keyexchange import _TLSSignature

SUITES = [0xC02C, 0xC02B, 0xC030, 0xC02F]  # ECDHE with AES-GCM
ECDSA_SHA256 = 0x0403
_sign = _TLSSignature._update_sig


def _sign_as_the_key_does(signature, message, key):
    if isinstance(key, PrivKeyECDSA):
        signature.sig_alg = ECDSA_SHA256
    _sign(signature, message, key)


_TLSSignature._update_sig = _sign_as_the_key_does


def client_hello(suites=None, extensions=None):
    return TLSClientHello(ciphers=suites or SUITES, ext=hello_extensions() if extensions is None else extensions)


def hello_extensions(extended_master_secret=True):
    extensions = [TLS_Ext_ServerName(servernames=[ServerName(servername="ks.example")]),
                  TLS_Ext_SupportedGroups(groups=["secp256r1"]),
                  TLS_Ext_SupportedPointFormat(),
                  TLS_Ext_SignatureAlgorithms(sig_algs=["sha256+ecdsa", "sha256+rsa"]),
                  TLS_Ext_RenegotiationInfo()]
    return extensions + ([TLS_Ext_ExtendedMasterSecret()] if extended_master_secret else [])


class Client(TLSClientAutomaton):
    @ATMT.condition(TLSClientAutomaton.PREPARE_CLIENTFLIGHT1)
    def should_add_ClientHello(self):
        self.add_msg(client_hello())
        raise self.ADDED_CLIENTHELLO()

    @ATMT.state()
    def HANDLED_SERVERDATA(self):
        raise self.CLOSE_NOTIFY()  # the test needs only the answer


class Server(TLSServerAutomaton):
    def parse_args(self, listener=None, **options):
        super().parse_args(**options)
        self.listener = listener

    @ATMT.state()
    def BIND(self):
        self.serversocket = self.listener  # bound already, to a port the system chose
        raise self.WAITING_CLIENT()

    @ATMT.condition(TLSServerAutomaton.PREPARE_SERVERFLIGHT1)
    def should_add_ServerHello(self):
        ecdsa = isinstance(self.mykey, PrivKeyECDSA)
        offered = [suite for suite in ((0xC02C, 0xC02B) if ecdsa else (0xC030, 0xC02F)) if suite in self.cur_pkt.ciphers]
        self.add_msg(TLSServerHello(cipher=offered[0], ext=[TLS_Ext_RenegotiationInfo(), TLS_Ext_ExtendedMasterSecret()]))
        raise self.ADDED_SERVERHELLO()

    @ATMT.state(final=True)
    def SOCKET_CLOSED(self):
        pass

    @ATMT.condition(TLSServerAutomaton.CLOSE_NOTIFY)
    def close_session(self):
        raise self.CLOSE_NOTIFY_FINAL()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    roles = parser.add_subparsers(dest="role", required=True)
    client = roles.add_parser("client")
    client.add_argument("port", type=int)
    client.add_argument("--identity", nargs=2, default=(None, None))
    client.add_argument("--say")
    server = roles.add_parser("server")
    server.add_argument("certificate")
    server.add_argument("key")
    server.add_argument("--mutual", action="store_true")
    options = parser.parse_args()
    conf.verb = 0
    if options.role == "client":
        said = [options.say + "\n"] if options.say else []
        certificate, key = options.identity
        Client(server="127.0.0.1", dport=options.port, mycert=certificate, mykey=key, version="tls12",
               data=said + ["wait"] * 20 + ["quit"]).run()
        return
    listener = socket.create_server(("127.0.0.1", 0))
    print("PORT", listener.getsockname()[1], flush=True)
    Server(server="127.0.0.1", listener=listener, mycert=options.certificate, mykey=options.key,
           client_auth=options.mutual, curve="secp256r1", max_client_idle_time=5).run()


if __name__ == "__main__":
    main()
