#!/usr/bin/python3
"""One interoperability case per call: real TLS stacks against the handshake library, over loopback TCP.

usage: interop.py --peer PATH CASE
"""
import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

LINE = "hello from the witness"
TIMEOUT = 20


class Failed(Exception):
    pass


class Case:
    def __init__(self, peer):
        self.peer = peer
        self.dir = tempfile.mkdtemp(prefix="sealcast-interop-")
        self.children = []
        subprocess.run([peer, "pki", self.dir], check=True, timeout=TIMEOUT)

    def path(self, name):
        return os.path.join(self.dir, name)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        shutil.rmtree(self.dir)

    def spawn(self, *command, stdin=subprocess.DEVNULL, env=None):
        child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                 errors="replace", env=env)
        self.children.append(child)
        return child

    # ---- our side

    def our_server(self, mode, key, *options):
        server = self.spawn(self.peer, mode, self.dir, key, *options)
        line = server.stdout.readline()
        if not line.startswith("PORT "):
            raise Failed("our server said: " + line + server.stderr.read())
        return server, int(line.split()[1])

    def our_client(self, port, *options):
        return subprocess.run([self.peer, "client", self.dir, str(port), *options], capture_output=True, text=True,
                              timeout=TIMEOUT)

    def expect_success(self, process, what):
        out, err = process.communicate(timeout=TIMEOUT)
        if process.returncode != 0:
            raise Failed(f"{what} ended with {process.returncode}: {out} {err}")
        return out

    # ---- foreign clients: send a line, wait for the echo, close

    def talk(self, child, what, expected=None):
        expected = expected or "echo: " + LINE
        child.stdin.write(LINE + "\n")
        child.stdin.flush()
        seen = ""
        while expected not in seen:
            got = child.stdout.readline()
            if not got:
                raise Failed(f"{what} ended without the echo; it said:\n{seen}\n{child.stderr.read()}")
            seen += got
        child.stdin.close()
        return seen

    def openssl_client(self, port, *options):
        return self.spawn("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "ks.example",
                          "-verify_hostname", "ks.example", "-CAfile", self.path("ca.pem"), "-verify_return_error",
                          "-quiet", "-no_ign_eof", *options, stdin=subprocess.PIPE)

    def gnutls_client(self, port, *options):
        return self.spawn("gnutls-cli", "--x509cafile", self.path("ca.pem"), "--verify-hostname", "ks.example",
                          "--sni-hostname", "ks.example", "-p", str(port), *options, "127.0.0.1", stdin=subprocess.PIPE)

    def client_identity(self, tool, key):
        cert, private = self.path(f"client-{key}.pem"), self.path(f"client-{key}.key")
        return ["-cert", cert, "-key", private] if tool == "openssl" else ["--x509certfile", cert, "--x509keyfile", private]

    def foreign_client(self, tool, key, mutual):
        options = ["--standard"] + (["--mutual"] if mutual else [])
        server, port = self.our_server("server", key, *options)
        identity = self.client_identity(tool, key) if mutual else []
        client = self.openssl_client(port, *identity) if tool == "openssl" else self.gnutls_client(port, *identity)
        self.talk(client, tool)
        out = self.expect_success(server, "our server")
        flow = "standard, mutual" if mutual else "standard"
        if f"ESTABLISHED {flow}," not in out:
            raise Failed(f"expected flow {flow}, our server said: {out}")
        if mutual and 'peer "client"' not in out:
            raise Failed("our server did not learn who the client is: " + out)

    # ---- foreign servers

    def free_port(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def wait_for(self, port, child):
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if child.poll() is not None:
                raise Failed("the server ended: " + child.stderr.read())
            with socket.socket() as probe:  # bound by us: not listening yet; in /proc: no connection is spent
                pass
            with open("/proc/net/tcp") as table:
                if any(f":{port:04X} " in row.split()[1] + " " and row.split()[3] == "0A" for row in table.readlines()[1:]):
                    return
            with open("/proc/net/tcp6") as table:
                if any(f":{port:04X} " in row.split()[1] + " " and row.split()[3] == "0A" for row in table.readlines()[1:]):
                    return
            time.sleep(0.02)
        raise Failed("the server does not listen")

    def openssl_server(self, key, *options):
        port = self.free_port()
        child = self.spawn("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", self.path(f"server-{key}.pem"),
                           "-key", self.path(f"server-{key}.key"), "-CAfile", self.path("ca.pem"), "-rev", *options)
        self.wait_for(port, child)
        return port

    def gnutls_server(self, key, *options):
        port = self.free_port()
        child = self.spawn("gnutls-serv", "--echo", "-p", str(port), "--x509certfile", self.path(f"server-{key}.pem"),
                           "--x509keyfile", self.path(f"server-{key}.key"), "--x509cafile", self.path("ca.pem"), *options)
        self.wait_for(port, child)
        return port

    def foreign_server(self, tool, key, mutual):
        if tool == "openssl":
            port = self.openssl_server(key, *(["-Verify", "2", "-verify_return_error"] if mutual else []))
            expected = "hello from sealcast"[::-1]
        else:
            port = self.gnutls_server(key, *(["--require-client-cert"] if mutual else ["--disable-client-cert"]))
            expected = "hello from sealcast"
        options = ["--standard"] + (["--mutual"] if mutual else []) + (["--rsa"] if key == "rsa" else [])
        client = self.our_client(port, *options)
        if client.returncode != 0 or expected not in client.stdout:
            raise Failed(f"our client against {tool}: {client.returncode} {client.stdout} {client.stderr}")
        flow = "standard, mutual" if mutual else "standard"
        if f"ESTABLISHED {flow}," not in client.stdout or 'peer "ks.example"' not in client.stdout:
            raise Failed("unexpected: " + client.stdout)

    def member_refused(self, port, reason):
        """H4: no fallback, and the message says why."""
        client = self.our_client(port)
        if client.returncode != 1 or "ESTABLISHED" in client.stdout:
            raise Failed(f"the member did not refuse: {client.stdout} {client.stderr}")
        if reason not in client.stderr or "never falls back" not in client.stderr:
            raise Failed("the message is not clear: " + client.stderr)
        print(client.stderr.strip())

    def flag_harmless(self, tool):
        server, port = self.our_server("puppet", "ecdsa")
        identity = self.client_identity(tool, "ecdsa")
        client = (self.openssl_client(port, "-tls1_2", *identity) if tool == "openssl" else
                  self.gnutls_client(port, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.2", *identity))
        self.talk(client, tool)
        self.expect_success(server, "the puppet")


def tshark(case, *options):
    return subprocess.run(["tshark", "-r", case.path("capture.pcap"), *options], capture_output=True, text=True,
                          check=True, timeout=TIMEOUT).stdout


def variant2_seen_by_tshark(case):
    """P2, P10, P22, P25: the analyser sees the extension, the flag, SMKE where Finished was due, and both key changes."""
    subprocess.run([case.peer, "capture", case.dir], check=True, timeout=TIMEOUT)
    fields = tshark(case, "-T", "fields", "-e", "tls.handshake.extension.type", "-e", "tls.handshake.cert_type")
    if "65400" not in fields:
        raise Failed("no multicast_group extension (65400) seen: " + fields)
    if not re.search(r"(^|[\t,])30([\t,]|$)", fields, re.M):
        raise Failed("no certificate type 30 seen: " + fields)
    # tshark has no name for type 240 and shows "Encrypted Handshake Message"; its debug log has what it decrypted.
    log = case.path("tls.debug")
    with_keys = ["-o", "tls.keylog_file:" + case.path("keys.log"), "-o", "tls.debug_file:" + log]
    changes = tshark(case, *with_keys, "-T", "fields", "-e", "tls.record.content_type",
                     "-Y", "tls.record.content_type == 20")
    if sum(line.count("20") for line in changes.splitlines()) != 4:
        raise Failed("expected four ChangeCipherSpec records: " + changes)
    with open(log, encoding="latin-1") as file:
        opened = re.findall(r"auth_tag\(OK\).*?Plaintext\[(\d+)\]:\n\| ([0-9a-f ]{11})", file.read(), re.S)
    messages = [start.split()[0] for size, start in opened if int(size) > 1]
    if "14" not in messages or "f0" not in messages:
        raise Failed(f"with ms1, Finished1 (14) and SMKE (f0) should be readable, tshark opened: {opened}")
    if sum(1 for size, start in opened if size == "1" and start.split()[0] == "01") < 2:
        raise Failed(f"both second ChangeCipherSpec should come under the first keys, tshark opened: {opened}")
    if messages.count("14") != 1:
        raise Failed(f"H2: neither Finished2 may be readable with ms1 alone, tshark opened: {opened}")
    plain = tshark(case, "-T", "fields", "-e", "tls.handshake.type", "-Y", "ip.src == 10.0.0.1")
    if re.search(r"(^|[\t,])240([\t,]|$)", plain, re.M):
        raise Failed("SMKE is seen without keys: " + plain)


def variant2_over_tcp(case):
    server, port = case.our_server("server", "ecdsa")
    client = case.our_client(port)
    if client.returncode != 0 or "ESTABLISHED variant 2" not in client.stdout or "control message" not in client.stdout:
        raise Failed(f"{client.stdout} {client.stderr}")
    out = case.expect_success(server, "our server")
    if 'peer "member-a", group "tv"' not in out:
        raise Failed("our server said: " + out)


def standard_client_refused_by_default(case):
    """H4: without allow_standard the server ends the handshake at ClientHello, with a clear line."""
    server, port = case.our_server("server", "ecdsa")
    client = case.openssl_client(port)
    _, said = client.communicate(timeout=TIMEOUT)
    _, err = server.communicate(timeout=TIMEOUT)
    if server.returncode != 1 or "standard_client_refused" not in err:
        raise Failed("our server said: " + err)
    if "handshake failure" not in said:
        raise Failed("openssl said: " + said)


def old_version_refused(case):
    """DOWN-1: TLS 1.0, 1.1 and 1.3-only hellos get protocol_version."""
    for option in ("-tls1", "-tls1_1", "-tls1_3"):
        server, port = case.our_server("server", "ecdsa", "--standard")
        client = case.openssl_client(port, option, "-cipher", "ALL:@SECLEVEL=0")
        _, said = client.communicate(timeout=TIMEOUT)
        _, err = server.communicate(timeout=TIMEOUT)
        if "protocol_version" not in err or "alert protocol version" not in said:
            raise Failed(f"{option}: our server said: {err}; openssl said: {said}")


CASES = {
    "openssl_client_ecdsa": lambda c: c.foreign_client("openssl", "ecdsa", False),
    "openssl_client_rsa": lambda c: c.foreign_client("openssl", "rsa", False),
    "openssl_client_mutual_ecdsa": lambda c: c.foreign_client("openssl", "ecdsa", True),
    "openssl_client_mutual_rsa": lambda c: c.foreign_client("openssl", "rsa", True),
    "gnutls_client_ecdsa": lambda c: c.foreign_client("gnutls", "ecdsa", False),
    "gnutls_client_rsa": lambda c: c.foreign_client("gnutls", "rsa", False),
    "gnutls_client_mutual_ecdsa": lambda c: c.foreign_client("gnutls", "ecdsa", True),
    "gnutls_client_mutual_rsa": lambda c: c.foreign_client("gnutls", "rsa", True),
    "openssl_server_ecdsa": lambda c: c.foreign_server("openssl", "ecdsa", False),
    "openssl_server_rsa": lambda c: c.foreign_server("openssl", "rsa", False),
    "openssl_server_mutual": lambda c: c.foreign_server("openssl", "ecdsa", True),
    "gnutls_server_ecdsa": lambda c: c.foreign_server("gnutls", "ecdsa", False),
    "gnutls_server_rsa": lambda c: c.foreign_server("gnutls", "rsa", False),
    "gnutls_server_mutual": lambda c: c.foreign_server("gnutls", "ecdsa", True),
    "member_refuses_openssl_server": lambda c: c.member_refused(c.openssl_server("ecdsa"), "standard_server_refused"),
    "member_refuses_openssl_server_that_asks_for_a_certificate":
        lambda c: c.member_refused(c.openssl_server("ecdsa", "-verify", "2"), "flag_missing"),
    "member_refuses_gnutls_server":
        lambda c: c.member_refused(c.gnutls_server("ecdsa", "--disable-client-cert"), "standard_server_refused"),
    "standard_client_refused_by_default": standard_client_refused_by_default,
    "flag_does_not_disturb_openssl": lambda c: c.flag_harmless("openssl"),
    "flag_does_not_disturb_gnutls": lambda c: c.flag_harmless("gnutls"),
    "old_version_refused": old_version_refused,
    "variant2_over_tcp": variant2_over_tcp,
    "variant2_seen_by_tshark": variant2_seen_by_tshark,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True)
    parser.add_argument("case", choices=sorted(CASES))
    options = parser.parse_args()
    case = Case(options.peer)
    try:
        CASES[options.case](case)
    except (Failed, subprocess.SubprocessError) as error:
        print(f"{options.case}: {error}", file=sys.stderr)
        return 1
    finally:
        case.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
