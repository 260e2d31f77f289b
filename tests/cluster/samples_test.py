"""The samples of docs/samples/cluster, as an operator uses them: certificates made, files checked, etcd accepts its
settings."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BINARIES = pathlib.Path(os.environ.get("SEALCAST_BIN", "build/dev/bin")).resolve()
SAMPLES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "samples" / "cluster"


class Samples(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealcast-samples-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        for path in SAMPLES.iterdir():
            shutil.copy(path, self.folder)
        sealcast = BINARIES / "sealcast"
        for words in (["init"], ["server", "ks.example"], ["member", "studio", "--group", "tv"]):
            self.run_tool(sealcast, "pki", *words, "--dir", "pki")
        self.run_tool("./etcd-certificates", "etcd-pki", "a=10.9.0.1", "b=10.9.0.2", "c=10.9.0.3")
        key = self.folder / "cluster.key"
        key.write_text(os.urandom(32).hex() + "\n")
        key.chmod(0o600)

    def run_tool(self, *argv):
        done = subprocess.run([str(word) for word in argv], cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, f"{argv}: {done.stdout} {done.stderr}")
        return done.stdout + done.stderr

    def test_key_servers_and_gateway_are_checked_without_a_word(self):
        text = (self.folder / "keyserver.toml").read_text()
        for name, number in (("a", 1), ("b", 2), ("c", 3)):
            own = text.replace('name = "a"', f'name = "{name}"').replace(
                'listen = "10.9.0.1:7400"', f'listen = "10.9.0.{number}:7400"')
            (self.folder / f"{name}.toml").write_text(own)
            self.assertNotIn("warning", self.run_tool(BINARIES / "sealcast", "check", f"{name}.toml"))
        self.run_tool(BINARIES / "sealcast", "check", "gateway.toml")

    def test_certificates_are_what_etcd_wants(self):
        for name, purpose in (("etcd-a", "sslserver"), ("etcd-b", "sslclient"), ("etcd-client", "sslclient")):
            self.run_tool("openssl", "verify", "-CAfile", "etcd-pki/etcd-ca.pem", "-purpose", purpose,
                          f"etcd-pki/{name}.pem")
        self.assertIn("10.9.0.2", self.run_tool("openssl", "x509", "-noout", "-ext", "subjectAltName", "-in",
                                                "etcd-pki/etcd-b.pem"))
        self.assertEqual((self.folder / "etcd-pki/etcd-ca.key").stat().st_mode & 0o077, 0)

    def test_etcd_knows_its_settings(self):
        flags = set(re.findall(r"--([a-z0-9-]+)", self.run_tool("etcd", "--help")))
        for line in (self.folder / "etcd.env").read_text().splitlines():
            if line and not line.startswith("#"):
                name = line.split("=")[0].removeprefix("ETCD_").lower().replace("_", "-")
                self.assertIn(name, flags)


if __name__ == "__main__":
    unittest.main(verbosity=2)
