"""sealcast-keyserver over a real etcd on loopback: TLS both ways, error messages, hundreds of newcomers, and an
operator's view."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))

from ports import free_port

BINARIES = pathlib.Path(os.environ.get("SEALCAST_BIN", "build/dev/bin")).resolve()
_SOON = 30  # seconds, for steps that take one or two on an idle machine


def wait_until(condition, what, seconds=_SOON):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


class OverEtcd(unittest.TestCase):
    def setUp(self):
        for program in ("etcd", "openssl"):
            if shutil.which(program) is None:
                self.fail(f"expected the program {program}, found none: run scripts/deps test")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealcast-etcd-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.children = []
        self.addCleanup(self.end_children)
        self.run_tool("sealcast", "pki", "init", "--dir", "pki")
        self.run_tool("sealcast", "pki", "server", "ks.example", "--dir", "pki")
        key = self.folder / "cluster.key"
        key.write_text(os.urandom(32).hex() + "\n")
        key.chmod(0o600)
        self.etcd_port = free_port()

    def end_children(self):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.terminate()
                try:
                    child.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    child.kill()
            child.wait()

    def run_tool(self, program, *arguments, check=True):
        path = BINARIES / program
        done = subprocess.run([path if path.exists() else program, *map(str, arguments)], cwd=self.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{program} {arguments}: {done.returncode}: {done.stdout} {done.stderr}")
        return done

    def spawn(self, log, *argv):
        with open(self.folder / log, "ab") as output:
            child = subprocess.Popen([str(word) for word in argv], cwd=self.folder, stdin=subprocess.DEVNULL,
                                     stdout=output, stderr=output)
        self.children.append(child)
        return child

    # ---- certificates of etcd's own, as an operator makes them with openssl

    def make_ca(self, name):
        self.run_tool("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-days", 2, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def make_certificate(self, name, ca, alternative="IP:127.0.0.1"):
        (self.folder / f"{name}.ext").write_text(
            f"subjectAltName={alternative}\nextendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n")
        self.run_tool("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                      "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.run_tool("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                      "-CAcreateserial", "-days", 2, "-extfile", f"{name}.ext", "-out", f"{name}.pem")

    def make_etcd_pki(self):
        self.make_ca("etcd-ca")
        self.make_ca("other-ca")
        self.make_certificate("etcd-server", "etcd-ca")
        self.make_certificate("etcd-client", "etcd-ca")
        self.make_certificate("other-client", "other-ca")

    # ---- programs

    def start_etcd(self, tls=True, certificate="etcd-server"):
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.etcd_port}"
        peer = f"http://127.0.0.1:{free_port()}"
        argv = ["etcd", "--name", "one", "--data-dir", self.folder / "one.etcd", "--listen-client-urls", self.url,
                "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"one={peer}", "--logger", "zap", "--unsafe-no-fsync"]
        if tls:
            argv += ["--cert-file", f"{certificate}.pem", "--key-file", f"{certificate}.key",
                     "--trusted-ca-file", "etcd-ca.pem", "--client-cert-auth"]
        child = self.spawn("etcd.log", *argv)
        wait_until(lambda: "serving client traffic" in self.text("etcd.log"), "etcd to serve")
        return child

    def text(self, log):
        path = self.folder / log
        return path.read_text(errors="replace") if path.exists() else ""

    def start_keyserver(self, name="a", tls="", extra="", group="", senders=("load-0",)):
        port = free_port()
        names = ", ".join(f'"{sender}"' for sender in senders)
        (self.folder / f"{name}.toml").write_text(f'''[keyserver]
id = "ks.example"
listen = "127.0.0.1:{port}"
certificate = "pki/ks.example.pem"
private_key = "pki/ks.example.key"
ca = "pki/ca.pem"
state = "{name}.state"
admin_socket = "{name}.sock"
spi_range = ["0x10000000", "0x1fffffff"]
max_connections = 2000
max_connections_per_address = 2000
{extra}
[keyserver.cluster]
name = "{name}"
etcd = ["{self.url}"]
key_file = "cluster.key"
{tls}
[[keyserver.group]]
id = "load"
selectors = [ {{ destination = "239.1.1.0/24" }} ]
senders = [ {names} ]
{group}
''')
        child = self.spawn(f"{name}.log", BINARIES / "sealcast-keyserver", "-c", f"{name}.toml")
        wait_until(lambda: "is running" in self.text(f"{name}.log") or child.poll() is not None, "the key server to run")
        self.assertIsNone(child.poll(), self.text(f"{name}.log"))
        return child, port

    def status(self, name="a"):
        return json.loads(self.run_tool("sealcast", "status", "--json", "--socket", f"{name}.sock").stdout)

    def cluster(self, name="a"):
        return self.status(name)["cluster"]

    def serving(self, name="a"):
        wait_until(lambda: self.cluster(name)["state"] == "serving", f"{name} to serve: {self.text(f'{name}.log')[-600:]}")


TRUSTED = 'ca = "etcd-ca.pem"\ncertificate = "etcd-client.pem"\nprivate_key = "etcd-client.key"\n'


class Tls(OverEtcd):
    def setUp(self):
        super().setUp()
        self.make_etcd_pki()

    def refused(self, tls, *words):
        """It serves no member, and logs the reason in one line that names the address."""
        self.start_keyserver(tls=tls)

        def said():
            lines = [line for line in self.text("a.log").splitlines() if "cluster_cut_off" in line]
            return lines[-1] if lines else ""
        line = wait_until(said, "a line about etcd")
        for word in (f"127.0.0.1:{self.etcd_port}", *words):
            self.assertIn(word, line)
        state = self.cluster()
        self.assertNotEqual(state["state"], "serving")
        self.assertIn(words[0], state["state"], "the operator is told, too")

    def test_serves_with_certificates_both_ways(self):
        self.start_etcd()
        self.start_keyserver(tls=TRUSTED)
        self.serving()
        self.assertEqual(self.cluster()["leader"], "a")

    def test_refuses_an_etcd_of_another_ca(self):
        self.start_etcd()
        self.refused(TRUSTED.replace("etcd-ca.pem", "other-ca.pem"), "certificate", "ca")

    def test_refuses_an_etcd_with_another_name(self):
        self.make_certificate("etcd-elsewhere", "etcd-ca", "DNS:etcd.example,IP:192.0.2.1")
        self.start_etcd(certificate="etcd-elsewhere")
        self.refused(TRUSTED, "certificate", "name")

    def test_says_that_etcd_wants_a_certificate(self):
        self.start_etcd()
        self.refused('ca = "etcd-ca.pem"\n', "certificate")

    def test_says_that_etcd_wants_another_certificate(self):
        self.start_etcd()
        self.refused(TRUSTED.replace("etcd-client", "other-client"), "certificate")

    def test_says_that_etcd_speaks_no_tls(self):
        self.start_etcd(tls=False)
        self.url = self.url.replace("http:", "https:")
        self.refused(TRUSTED, "TLS")


class Newcomers(OverEtcd):
    def slow_from_then_on(self, etcd, begun):
        """Once `begun` is true, stops etcd for a little less than a request may take."""
        def stop_and_go():
            wait_until(begun, "the first to come", 20)
            etcd.send_signal(signal.SIGSTOP)
            time.sleep(0.8)
            etcd.send_signal(signal.SIGCONT)
        thread = threading.Thread(target=stop_and_go)
        thread.start()
        self.addCleanup(thread.join)

    def test_H13_hundreds_that_come_at_once_wait_for_slots_and_are_let_in(self):
        """More members than claimed slots, while etcd answers slowly."""
        members = 300
        etcd = self.start_etcd(tls=False)
        _, port = self.start_keyserver(senders=[f"load-{i}" for i in range(members)])
        self.serving()
        began = time.monotonic()
        self.slow_from_then_on(etcd, lambda: self.status()["members"] > 0)
        self.run_tool("member_load", "--server", f"127.0.0.1:{port}", "--pki", "pki", "--members", members, "--senders",
                      members, "--concurrent", members, "--rekeys", 0, "--hold", 1, "--check", "--json", "load.json")
        print(f"\n  {members} senders at once: {time.monotonic() - began:.1f} s in all")
        status = self.status()
        self.assertEqual(status["handshakes"]["failed"], {}, self.text("a.log")[-2000:])
        self.assertNotIn("more are on their way", self.text("a.log"))


class Status(OverEtcd):
    def test_operators_see_the_leader_its_peers_and_the_alarm(self):
        etcd = self.start_etcd(tls=False)
        servers = {name: self.start_keyserver(name)[0] for name in "abc"}
        for name in servers:
            self.serving(name)
        wait_until(lambda: all(len(self.cluster(name)["servers"]) == 3 and self.cluster(name)["leader"]
                               for name in servers), "three peers")
        cluster = self.cluster("b")
        leader = cluster["leader"]
        self.assertEqual([peer["name"] for peer in cluster["servers"] if peer["leader"]], [leader])
        self.assertEqual([peer["name"] for peer in cluster["servers"] if peer["self"]], ["b"])
        self.assertEqual(cluster["lease_ttl_s"], 5)
        self.assertGreater(cluster["revision"], 1)
        for peer in cluster["servers"]:
            self.assertIn("127.0.0.1:", peer["address"])
            self.assertLess(peer["seen_s"], 5)
        self.assertNotIn("alarm", cluster)
        group = self.status("b")["groups"][0]["cluster"]
        self.assertEqual(sorted(peer["name"] for peer in group["servers"]), ["a", "b", "c"])

        servers[leader].kill()
        other = next(name for name in servers if name != leader)
        wait_until(lambda: self.cluster(other)["leader"] not in ("", leader), "another leader")
        self.assertEqual([peer["name"] for peer in self.cluster(other)["gone"]], [leader])
        self.assertIn("vanished", self.run_tool("sealcast", "status", "--socket", f"{other}.sock").stdout)

        etcd.send_signal(signal.SIGSTOP)
        wait_until(lambda: "has not answered" in self.cluster(other).get("alarm", ""), "the first alarm")
        wait_until(lambda: "cut off" in self.cluster(other).get("alarm", ""), "the second")
        self.assertIn("ALARM", self.run_tool("sealcast", "status", "--socket", f"{other}.sock").stdout)
        self.assertIn("cluster_etcd_silent", self.text(f"{other}.log"))
        etcd.send_signal(signal.SIGCONT)
        self.serving(other)
        self.assertNotIn("alarm", self.cluster(other))


class Revocations(OverEtcd):
    def revocation(self):
        told = json.loads(self.run_tool("sealcast", "revocations", "--json", "--socket", "a.sock").stdout)
        return [entry["member"] for entry in told["revocations"]], {group["group"]: group for group in told["groups"]}

    def newest(self, name, group="load"):
        """The group's epoch if it is active and no newer one is pending, else 0."""
        state = next(entry for entry in self.status(name)["groups"] if entry["group"] == group)
        return state["epoch"] if state["cluster"]["active"] == state["cluster"]["highest"] else 0

    def start_two(self, **options):
        """Waits until both serve, and a has recorded its groups' members; returns (a's process, the epoch)."""
        server, _ = self.start_keyserver("a", **options)
        self.start_keyserver("b", **options)
        self.serving("a")
        self.serving("b")
        wait_until(lambda: "standing x" in self.text("a.state"), "a's record of its members")
        return server, wait_until(lambda: self.newest("b"), "the first epoch")

    def start_again(self, server, **options):
        server.kill()
        server.wait()
        (self.folder / "a.log").unlink()
        server, _ = self.start_keyserver("a", **options)
        self.serving("a")
        return server

    def test_H11_a_restart_forgets_none_and_makes_no_epoch_for_it_again(self):
        self.start_etcd(tls=False)
        lease = 'authority_lease = "5s"\n'
        server, before = self.start_two(group=lease)
        self.run_tool("sealcast", "revoke", "mallory", "--force", "--socket", "a.sock")
        epoch = wait_until(lambda: self.newest("b") > before and self.newest("b"), "the epoch after the revocation")
        began = time.monotonic()
        self.start_again(server, group=lease)
        members, groups = self.revocation()
        self.assertEqual(members, ["mallory"])
        self.assertFalse(groups["load"]["complete"], "which senders had switched the new process does not know")
        wait_until(lambda: self.revocation()[1]["load"]["complete"], "the leases of all senders to be over")
        self.assertGreater(time.monotonic() - began, 5, "not before")
        self.assertEqual([self.newest("a"), self.newest("b")], [epoch, epoch])
        self.assertNotIn("elsewhere=yes", self.text("a.log"))

    def test_H11_a_restart_with_other_senders_makes_an_epoch_and_one_without_does_not(self):
        self.start_etcd(tls=False)
        server, first = self.start_two()
        server = self.start_again(server)
        time.sleep(3)
        self.assertEqual(self.newest("b"), first)
        self.start_again(server, senders=("load-1",))
        wait_until(lambda: self.newest("b") > first, "an epoch that the member shut out does not have")
        self.assertIn("standing_changed group=\"load\"", self.text("a.log"))

    def test_H8_H11_a_new_revocation_list_makes_an_epoch_whoever_has_the_one_before(self):
        """A process before this one may have given the epoch to the revoked member."""
        self.start_etcd(tls=False)
        self.run_tool("sealcast", "pki", "member", "mallory", "--group", "load", "--dir", "pki")
        _, first = self.start_two(extra='crl = "pki/crl.pem"')
        self.run_tool("sealcast", "pki", "revoke", "mallory", "--dir", "pki")
        wait_until(lambda: self.newest("b") > first, "an epoch that those on the list do not have")

    def test_H11_a_group_that_comes_back_has_an_epoch_from_after_the_revocations(self):
        self.start_etcd(tls=False)
        more = ('[[keyserver.group]]\nid = "more"\nselectors = [ { destination = "239.1.2.0/24" } ]\n'
                'authority_lease = "1s"\n')
        # A revocation is complete once the leases of unseen senders have ended.
        servers = {"a": self.start_two(group='authority_lease = "1s"\n' + more)[0], "b": self.children[-1]}
        before = wait_until(lambda: self.newest("b", "more"), "the first epoch")

        def reload(with_more):
            for name, server in servers.items():
                path = self.folder / f"{name}.toml"
                path.write_text(path.read_text().replace(more, "") + (more if with_more else ""))
                server.send_signal(signal.SIGHUP)
            wait_until(lambda: all((len(self.status(name)["groups"]) == 2) == with_more for name in servers), "the reload")
        reload(False)
        time.sleep(2)  # its senders' leases have ended
        self.run_tool("sealcast", "revoke", "mallory", "--force", "--socket", "a.sock")
        reload(True)
        wait_until(lambda: self.newest("b", "more") > before and self.newest("a", "more") > before, "an epoch after it")


if __name__ == "__main__":
    if not (BINARIES / "sealcast-keyserver").exists():
        sys.exit(f"{BINARIES}/sealcast-keyserver is missing: build it first")
    unittest.main(verbosity=2)
