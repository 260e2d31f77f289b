"""Follows docs/operations.md like a newcomer: writes its files, runs its commands, in its order.

Replaces the example's addresses by loopback's, and /run/sealcast by a folder of the test's own (given to the tool
with --socket). A console block is left out only if a comment above it says why.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(sys.argv.pop(1)).resolve() if len(sys.argv) > 1 else ROOT / "build/dev/bin"
# Commands that ask a daemon, which has its socket in the test's folder here.
ASKS = ("groups", "status", "members", "rekey", "revoke", "reinstate", "revocations", "audit")


def blocks():
    """(kind, left out, lines) of every fenced block of the document, in order."""
    kind, lines, before = None, [], ""
    for line in (ROOT / "docs/operations.md").read_text().splitlines():
        if kind is None and line.startswith("```"):
            kind, lines = line[3:], []
        elif kind is not None and line == "```":
            yield kind, before.startswith("<!-- not run: "), lines
            kind, before = None, ""
        elif kind is not None:
            lines.append(line)
        elif line:
            before = line


class Operations(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sealcast-ops-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self.end_key_server)
        (self.folder / "run").mkdir()

    def end_key_server(self):
        try:
            os.kill(int((self.folder / "keyserver.pid").read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            pass

    def here(self, text):
        return text.replace("/run/sealcast/", f"{self.folder}/run/").replace("10.9.0.", "127.9.0.")

    def write(self, lines):
        named = re.fullmatch(r"# file: ([\w.-]+)", lines[0])
        self.assertTrue(named, f"a configuration says its name first: {lines[0]}")
        (self.folder / named[1]).write_text(self.here("\n".join(lines) + "\n"))

    def run_command(self, command):
        asks = re.match(rf"sealcast ({'|'.join(ASKS)})\b", command)
        if asks:
            command = re.sub(r"^sealcast \w+", rf"\g<0> --socket {self.folder}/run/keyserver.sock", command)
        environment = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}")
        # Files, not pipes: the key server in the background keeps the descriptors that it inherits.
        with open(self.folder / "out.txt", "w+") as out:
            done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                                  stdout=out, stderr=subprocess.STDOUT, timeout=60)
            out.seek(0)
            said = out.read()
        self.assertEqual(done.returncode, 0, f"{command}\n{said}\n{self.log()}")
        if command.startswith("sealcast check"):
            errors = [line for line in said.splitlines() if not line.startswith("warning")]
            self.assertEqual(errors, [], command)
        if command.startswith("sealcast-keyserver"):
            self.wait_for("is running")
        if command.startswith("kill -HUP"):
            self.wait_for("was read again")
        return said

    def wait_for(self, text):
        deadline = time.monotonic() + 30
        while text not in self.log():
            self.assertLess(time.monotonic(), deadline, f"no {text!r} in the key server's log:\n{self.log()}")
            time.sleep(0.05)

    def log(self):
        """The key server's log so far; empty until the shell that starts it in the background has opened the file."""
        log = self.folder / "keyserver.log"
        return log.read_text() if log.exists() else ""

    def test_a_newcomer_can_follow_the_document(self):
        said = {}
        for kind, left_out, lines in blocks():
            if kind == "toml":
                self.write(lines)
                continue
            self.assertEqual(kind, "console", "every block is a file or commands")
            for line in lines:
                self.assertTrue(line.startswith("$ "), line)
                if not left_out:
                    said[line[2:]] = self.run_command(line[2:])
        self.assertGreater(len(said), 25, "the search for commands is broken")
        self.assertRegex(said["sealcast groups"], r"tv .* 0 +0 +2\b")
        self.assertIn("attic", said["sealcast revocations"])
        self.assertIn("command revoke", said["sealcast audit --event operator_command"])
        self.assertIn('"expected":3', said["sealcast groups --json"])
        self.wait_for("stopped id=")

    def test_the_senders_that_datagrams_cannot_reach_are_announced(self):
        """`senders = "*"` with `rekey = "multicast"`: the document promises a warning."""
        self.run_command("sealcast pki init && sealcast pki server ks.example")
        text = next("\n".join(lines) for kind, _, lines in blocks() if lines[0] == "# file: multicast.toml")
        (self.folder / "star.toml").write_text(self.here(text.replace('["studio"]', '"*"')))
        self.assertIn("rekey: every member may send", self.run_command("sealcast check star.toml 2>&1"))


if __name__ == "__main__":
    unittest.main()
