"""Things that must fail: each case ends in one clear line and the right exit code, and hangs nothing."""
import os
import socket
import ssl
import struct
import time

import e2e
from lab import net
from lab.process import Process, run
from lab.sealcast import KEYSERVER_PORT, KeyServer

_BAD_CONFIGURATION = 78


class Files(e2e.EndToEnd):
    """A program with a bad file ends at once with exit code 78 and says where the error is."""

    def refused(self, program, path, *expected):
        argv = [self.lab.tool(program), "check", path] if program == "sealcast" else [self.lab.tool(program), "-c", path]
        done = run(argv, check=False, timeout=20)
        self.assertEqual(done.returncode, _BAD_CONFIGURATION, f"{program}: {done.stderr}")
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        self.assertTrue(lines, f"{program} must say what is wrong: {done.stderr}")
        for text in expected:
            self.assertIn(text, "\n".join(lines))
        return lines

    def test_bad_toml_is_refused_with_its_place(self):
        self.build()
        bad = self.lab.work / "bad.toml"
        for program, good in (("sealcast-gateway", self.home.config), ("sealcast-keyserver", self.keyserver.config),
                              ("sealcast", self.home.config)):
            lines = good.read_text().splitlines()
            broken = len(lines) // 2
            bad.write_text("\n".join(lines[:broken] + ["this is = = not TOML"] + lines[broken:]))
            said = self.refused(program, bad, f"bad.toml:{broken + 1}:")
            self.assertEqual(len(said), 1, f"one clear line, got {said}")

    def test_unknown_key_and_bad_value_are_refused_with_their_places(self):
        self.build()
        text = self.home.config.read_text()
        self.assertIn("variant = 2", text)
        bad = self.lab.work / "bad.toml"
        bad.write_text(text.replace("variant = 2", 'varient = 2\nrole2 = "x"'))
        line = text[:text.index("variant = 2")].count("\n") + 1
        self.refused("sealcast", bad, f"bad.toml:{line}:", f"bad.toml:{line + 1}:")

    def test_missing_certificate_file_is_named(self):
        self.build()
        os.unlink(self.lab.work / "pki" / "home.pem")
        self.refused("sealcast", self.home.config, "home.pem")
        gateway = self.home.start(wait=False)
        self.assertIn(gateway.wait(20), (1, _BAD_CONFIGURATION))
        self.assertIn("home.pem", gateway.output())


class Missing(e2e.EndToEnd):
    """A gateway that lacks something reports the remedy in one line, and ends with exit code 1."""

    members = {"home": "tv"}

    def refused_without(self, before, after, *expected):
        site = self.lab.site("home").configure("receiver")
        text = site.config.read_text()
        self.assertIn(before, text)
        site.config.write_text(text.replace(before, after))
        gateway = site.start(wait=False)
        self.assertEqual(gateway.wait(10), 1)
        errors = [line for line in gateway.output().splitlines() if " error " in line]
        self.assertEqual(len(errors), 1, errors)
        for text in expected:
            self.assertIn(text, errors[0])

    def test_missing_hugepages(self):
        self.refused_without("memory_mb = ", "memory_mb = 90", "hugepages", "sysctl vm.nr_hugepages=")

    def test_missing_interface(self):
        self.refused_without("af_packet:red", "af_packet:nosuch", "no interface nosuch", "ip link")

    def test_key_server_address_of_another_machine(self):
        site = self.lab.site("home").configure("receiver", embedded=True)
        site.config.write_text(site.config.read_text().replace('listen = "10.9.0.1', 'listen = "10.9.0.77'))
        gateway = site.start(wait=False)
        self.assertEqual(gateway.wait(10), 1)
        self.assertIn("10.9.0.77", gateway.tail())


class Members(e2e.EndToEnd):
    """A member with the wrong credentials is refused with its own reason; it keeps running, keyless, and tries again."""

    members = {"studio": "tv", "home": "tv", "radio-fan": "radio"}

    def setUp(self):
        super().setUp()
        self.keyserver = KeyServer(self.lab)
        self.keyserver_process = self.keyserver.start()
        self.site = self.lab.site("home")
        self.lab.network.link(self.site.outside, "black", self.lab.network.namespace("black"), "nobody",
                              mtu=1600)

    def configure(self, **options):
        options.setdefault("keyservers", [self.keyserver.endpoint])
        self.site.configure("receiver", black="af_packet:black", **options)

    def assert_refused(self, member_says, server_says=None):
        gateway = self.site.start()
        self.wait_for_failure()
        group = self.site.membership()
        self.assertRegex(group["why"], member_says)
        lines = [line for line in gateway.output().splitlines() if group["why"] in line]
        self.assertTrue(lines, f"the log must say why: {group['why']}")
        self.assertEqual(self.site.key_count(), 0)
        if server_says:
            self.assertRegex(self.keyserver_process.output(), server_says)
        self.assertTrue(gateway.running(), "a refused member stays up and fails closed")
        self.assertEqual(gateway.stop(), 0)
        self.assertEqual(self.keyserver.status()["members"], 0)

    def wait_for_failure(self):
        e2e.wait_until(lambda: self.site.membership()["failures"] > 0, 10,
                       f"the join to fail; the log is {self.site.log}")

    def test_AUTH3_certificate_for_another_group(self):
        self.configure(certificate="radio-fan")
        self.assert_refused("access_denied", "certificate_wrong_group")

    def test_AUTH3_certificate_of_another_ca(self):
        self.lab.sealcast("pki", "init", "--dir", "other")
        self.lab.sealcast("pki", "member", "home", "--group", "tv", "--dir", "other")
        for kind in ("pem", "key"):
            os.replace(self.lab.work / "other" / f"home.{kind}", self.lab.work / "pki" / f"home.{kind}")
        self.configure()
        self.assert_refused("unknown_ca", "certificate_unknown_ca")

    def test_AUTH3_expired_certificate(self):
        expire(self.lab.work / "pki", "home")
        self.configure()
        self.assert_refused("certificate_expired", "certificate_expired")

    def test_AUTH3_server_name_mismatch(self):
        self.configure(keyserver_name="other.example")
        self.assert_refused("certificate_wrong_name.*other.example")

    def test_port_that_does_not_exist(self):
        self.configure(keyservers=[f"{self.keyserver.address}:7999"])
        self.assert_refused("10.9.0.100:7999.*refused")

    def test_host_that_does_not_exist(self):
        self.configure(keyservers=["10.9.0.250:7400"])
        self.assert_refused("10.9.0.250:7400.*No route")

    def test_H4_standard_server_is_refused(self):
        self.keyserver_process.stop()
        pki = self.lab.work / "pki"
        self.lab.adopt(Process("openssl s_server", [
            "openssl", "s_server", "-accept", f"{self.keyserver.address}:{KEYSERVER_PORT}", "-tls1_2", "-quiet",
            "-cert", pki / "ks.example.pem", "-key", pki / "ks.example.key", "-CAfile", pki / "ca.pem", "-Verify", "2",
        ], self.lab.work / "s_server.log", self.keyserver.outside))
        time.sleep(0.3)
        self.configure()
        gateway = self.site.start()
        self.wait_for_failure()
        self.assertRegex(self.site.membership()["why"], "flag_missing|standard_server_refused")
        self.assertEqual(gateway.stop(), 0)


class Port(e2e.EndToEnd):
    """Strangers on the key server's TCP port: each is turned away, and members are served all the while."""

    def setUp(self):
        super().setUp()
        self.keyserver = KeyServer(self.lab, server_options='handshake_timeout = "2s"\n')
        self.process = self.keyserver.start()

    def connect(self):
        """A connection made inside the key server's namespace."""
        with net.inside(self.keyserver.outside):
            stranger = socket.create_connection((self.keyserver.address, KEYSERVER_PORT), timeout=10)
        self.addCleanup(stranger.close)
        return stranger

    def ends_within(self, stranger, seconds):
        """Reads until the server closes; returns what it sent. Fails when it hangs."""
        stranger.settimeout(seconds)
        said = b""
        try:
            while block := stranger.recv(4096):
                said += block
        except ConnectionResetError:
            pass
        except socket.timeout:
            self.fail(f"the key server kept a stranger's connection for more than {seconds} s")
        return said

    def new_lines(self, before):
        return [line for line in self.process.output()[len(before):].splitlines() if line.strip()]

    def test_garbage_gets_one_alert_and_one_line(self):
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(2000), b"\x00" * 64, b"\x16\x03\x01\xff\xff" + bytes(100)):
            before = self.process.output()
            stranger = self.connect()
            stranger.sendall(garbage)
            said = self.ends_within(stranger, 5)
            self.assertTrue(said == b"" or (said[0] == 21 and len(said) == 7), f"nothing or one alert, got {said.hex()}")
            e2e.wait_until(lambda: self.new_lines(before), 5, "the key server to log the stranger")
            self.assertEqual(len(self.new_lines(before)), 1, self.new_lines(before))
        self.assertTrue(self.process.running())

    def test_half_a_handshake_ends_at_the_deadline(self):
        hello = with_group(client_hello(), b"tv")
        silent, half, whole = self.connect(), self.connect(), self.connect()
        half.sendall(hello[:len(hello) // 2])
        whole.sendall(hello)
        started = time.monotonic()
        self.assertEqual((self.ends_within(silent, 6), self.ends_within(half, 6)), (b"", b""))
        self.assertEqual(self.ends_within(whole, 6)[:1], b"\x16", "the server answered, then waited in vain")
        self.assertGreater(time.monotonic() - started, 1, "the deadline is 2 s, not at once")
        self.assertTrue(self.process.running())
        self.assertEqual(self.keyserver.status()["connections"], 0)

    def test_client_without_certificate_is_refused(self):
        done = run(["openssl", "s_client", "-connect", f"{self.keyserver.address}:{KEYSERVER_PORT}", "-tls1_2",
                    "-CAfile", self.lab.work / "pki" / "ca.pem"], namespace=self.keyserver.outside, check=False,
                   timeout=10)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("alert", done.stderr)
        self.assertTrue(self.process.running())


def client_hello():
    """A TLS 1.2 ClientHello as openssl sends it."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="ks.example")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def with_group(hello, group):
    """The same ClientHello with the extension that names a multicast group."""
    extension = struct.pack(">HHBB", 0xFF78, len(group) + 2, 0x82, len(group)) + group
    record = bytearray(hello)
    at = 9 + 2 + 32  # record and handshake headers, version, random
    at += 1 + record[at]  # session_id
    at += 2 + struct.unpack_from(">H", record, at)[0]  # cipher_suites
    at += 1 + record[at]  # compression_methods
    for offset, size in ((at, 2), (6, 3), (3, 2)):  # every length around it grows
        length = int.from_bytes(record[offset:offset + size], "big") + len(extension)
        record[offset:offset + size] = length.to_bytes(size, "big")
    return bytes(record) + extension


def expire(folder, name):
    """Signs a member's certificate anew, unchanged except that it has expired."""
    certificate, key, request = (folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
    run(["openssl", "x509", "-x509toreq", "-copy_extensions", "copyall", "-in", certificate, "-signkey", key, "-out",
         request])
    (folder / "ca.cnf").write_text(f"""[ca]
default_ca = this
[this]
database = {folder}/index.txt
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copyall
[any]
commonName = optional
""")
    (folder / "index.txt").write_text("")
    run(["openssl", "ca", "-batch", "-notext", "-config", folder / "ca.cnf", "-cert", folder / "ca.pem", "-keyfile",
         folder / "ca.key", "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-in", request, "-out",
         certificate])


if __name__ == "__main__":
    e2e.main()
