"""TLS stacks that are not ours, each as a client and as a server of one connection. They all look alike from outside:

client(case, port, identity=KEY or None, say=True)   a running client that verifies the server; with `say` it sends LINE;
                                                     rsa_server: what key the server has
server(case, KEY, mutual)                            a listening port
KEY is "ecdsa" or "rsa".
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from case import LINE, OUR_LINE, TIMEOUT, Failed
from ports import free_port

HERE = os.path.dirname(os.path.abspath(__file__))


class Peer:
    waits_for_bye = False  # the client ends only on the server's close_notify
    refused_as = "andshake.failure"  # its client's name for the alert handshake_failure
    our_line = OUR_LINE  # our client sends this to its server
    answer = OUR_LINE  # a part of its server's answer

    def converse(self, client, expected):
        """Waits until the client prints `expected`, lets it end cleanly; returns all it printed."""
        seen = ""
        while expected not in seen:
            line = client.stdout.readline()
            if not line:
                raise Failed(f"{self.name} ended without '{expected}'; it said:\n{seen}\n"
                             f"{client.stderr.read() if client.stderr else ''}")
            seen += line
        if client.stdin:
            client.stdin.close()
            client.stdin = None
        return seen + self.end(client)

    def end(self, client, code=0):
        try:
            rest, errors = client.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} does not end") from None
        if code is not None and client.returncode != code:
            raise Failed(f"{self.name} ended with {client.returncode}: {rest} {errors}")
        return rest + (errors or "")

    @staticmethod
    def speak(client, say):
        if say:
            client.stdin.write(LINE + "\n")
            client.stdin.flush()
        return client


class Openssl(Peer):
    name = "openssl"
    answer = OUR_LINE[::-1]  # s_server -rev
    refused_as = "handshake failure"
    only_12 = ["-tls1_2"]

    def client(self, case, port, identity=None, say=True, options=(), rsa_server=False):
        own = ["-cert", case.path(f"client-{identity}.pem"), "-key", case.path(f"client-{identity}.key")] if identity else []
        return self.speak(case.spawn(
            "openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "ks.example", "-verify_hostname",
            "ks.example", "-CAfile", case.path("ca.pem"), "-verify_return_error", "-quiet", "-no_ign_eof", *own, *options,
            stdin=subprocess.PIPE), say)

    def server(self, case, key, mutual):
        port = free_port()
        child = case.spawn("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", case.path(f"server-{key}.pem"),
                           "-key", case.path(f"server-{key}.key"), "-CAfile", case.path("ca.pem"), "-rev",
                           *(["-Verify", "2", "-verify_return_error"] if mutual else []))
        case.wait_for(port, child)
        return port


class Gnutls(Peer):
    name = "gnutls"
    refused_as = "Handshake failed"
    only_12 = ["--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2"]

    def client(self, case, port, identity=None, say=True, options=(), rsa_server=False):
        own = (["--x509certfile", case.path(f"client-{identity}.pem"), "--x509keyfile", case.path(f"client-{identity}.key")]
               if identity else [])
        return self.speak(case.spawn(
            "gnutls-cli", "--x509cafile", case.path("ca.pem"), "--verify-hostname", "ks.example", "--sni-hostname",
            "ks.example", "-p", str(port), *own, *options, "127.0.0.1", stdin=subprocess.PIPE), say)

    def server(self, case, key, mutual):
        port = free_port()
        child = case.spawn("gnutls-serv", "--echo", "-p", str(port), "--x509certfile", case.path(f"server-{key}.pem"),
                           "--x509keyfile", case.path(f"server-{key}.key"), "--x509cafile", case.path("ca.pem"),
                           "--require-client-cert" if mutual else "--disable-client-cert")
        case.wait_for(port, child)
        return port


class Nss(Peer):
    """tstclnt reads a file to its end and then waits for the server's close_notify; selfserv only speaks HTTP.

    tstclnt verifies as old NSS does: an RSA server certificate must allow keyEncipherment whatever the cipher suite.
    Ours never decrypts and does not allow it, so that for RSA tstclnt gets -o to go on; `strict` leaves that out.
    """
    name = "nss"
    waits_for_bye = True
    refused_as = "SSL_ERROR_NO_CYPHER_OVERLAP"
    our_line = "GET / HTTP/1.0\r\n\r"
    answer = "HTTP/1.0 200 OK"
    only_12 = ["-V", "tls1.2:tls1.2"]

    def database(self, case, key):
        """Certificates and keys in NSS's form; one database for each kind of key, as it names both by subject."""
        folder = case.path(f"nss-{key}")
        if os.path.exists(folder):
            return f"sql:{folder}"
        os.mkdir(folder)
        case.run("certutil", "-N", "-d", f"sql:{folder}", "--empty-password")
        case.run("certutil", "-A", "-d", f"sql:{folder}", "-n", "ca", "-t", "CT,C,C", "-i", case.path("ca.pem"))
        for name in (f"client-{key}", f"server-{key}"):
            case.run("pk12util", "-d", f"sql:{folder}", "-i", pkcs12(case, name), "-W", "witness", "-K", "")
        return f"sql:{folder}"

    def client(self, case, port, identity=None, say=True, options=("-V", "tls1.2:tls1.3"), rsa_server=False, strict=False):
        line = case.path("line")
        with open(line, "w") as file:
            file.write(LINE + "\n" if say else "")
        with open(line) as file:
            return case.spawn("tstclnt", "-4", "-h", "127.0.0.1", "-p", str(port), "-a", "ks.example",
                              "-d", self.database(case, identity or "ecdsa"), *options,
                              *(["-o"] if rsa_server and not strict else []),
                              *(["-n", f"client-{identity}"] if identity else []), *(["-f"] if say else []), stdin=file)

    def server(self, case, key, mutual):
        port = free_port()
        child = case.spawn("selfserv", "-p", str(port), "-d", self.database(case, key), "-V", "tls1.2:tls1.3",
                           "-n", f"server-{key}", *(["-e", f"server-{key}"] if key == "ecdsa" else []),
                           *(["-r", "-r"] if mutual else []))
        case.wait_for(port, child)
        return port


class Jsse(Peer):
    name = "jsse"
    only_12 = []  # it also offers TLS 1.3, and takes 1.2
    answer = "echo: " + OUR_LINE
    java = ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", os.path.join(HERE, "Jsse.java"))

    def client(self, case, port, identity=None, say=True, options=(), rsa_server=False):
        own = [pkcs12(case, f"client-{identity}")] if identity else []
        return self.speak(case.spawn(*self.java, "client", str(port), case.path("ca.pem"), *own, stdin=subprocess.PIPE), say)

    def converse(self, client, expected):
        seen = super().converse(client, expected)
        if "CLOSED" not in seen:  # only JSSE reports whether our close_notify came
            raise Failed("JSSE saw no close_notify: " + seen)
        return seen

    def server(self, case, key, mutual):
        child = case.spawn(*self.java, "server", case.path("ca.pem"), pkcs12(case, f"server-{key}"),
                           *(["mutual"] if mutual else []))
        return case.port_of(child, "JSSE's server")


class Scapy(Peer):
    """Sends its line when it starts, closes after an answer, verifies no certificate."""
    name = "scapy"
    refused_as = "Missing TLS ServerHello message"
    only_12 = []
    python = ("/usr/bin/python3", os.path.join(HERE, "scapy_end.py"))

    def identity(self, case, name):
        """scapy reads PKCS #1 and SEC 1 keys."""
        key = case.path(name + ".traditional")
        case.run("openssl", "pkey", "-in", case.path(name + ".key"), "-traditional", "-out", key)
        return [case.path(name + ".pem"), key]

    def client(self, case, port, identity=None, say=True, options=(), rsa_server=False):
        own = ["--identity", *self.identity(case, f"client-{identity}")] if identity else []
        return case.spawn(*self.python, "client", str(port), *own, *(["--say", LINE] if say else []),
                          stderr=subprocess.STDOUT)

    def server(self, case, key, mutual):
        child = case.spawn(*self.python, "server", *self.identity(case, f"server-{key}"), *(["--mutual"] if mutual else []),
                           stderr=subprocess.STDOUT)
        return case.port_of(child, "scapy's server")


def pkcs12(case, name):
    path = case.path(name + ".p12")
    case.run("openssl", "pkcs12", "-export", "-in", case.path(name + ".pem"), "-inkey", case.path(name + ".key"),
             "-name", name, "-out", path, "-passout", "pass:witness")
    return path


PEERS = {peer.name: peer for peer in (Openssl(), Gnutls(), Nss(), Jsse(), Scapy())}
