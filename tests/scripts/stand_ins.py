"""Runs the project's shell scripts with stand-ins for the programs they call: small scripts first in PATH."""
import contextlib
import os
import pathlib
import pty
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class ScriptTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sealcast-scripts-")
        self.addCleanup(folder.cleanup)
        self.work = pathlib.Path(folder.name)
        (self.work / "scripts").symlink_to(ROOT / "scripts")
        (self.work / "bin").mkdir()

    def stand_in(self, name, body):
        """A program that the scripts find in place of the real one; HERE is the test's folder."""
        path = self.work / "bin" / name
        path.write_text(f"#!/usr/bin/env bash\nHERE={self.work}\n{body}\n", encoding="utf-8")
        path.chmod(0o755)

    def environment(self, **more):
        return {**os.environ, "PATH": f"{self.work}/bin:{os.environ['PATH']}", "TERM": "xterm", **more}

    def start(self, script, **more):
        """A bash script in the test's folder, its output in pipes and the signals as a new shell has them."""
        return subprocess.Popen(["bash", "-c", script], cwd=self.work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment(**more),
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def run_script(self, script, **more):
        process = self.start(script, **more)
        output, errors = process.communicate(timeout=30)
        return process.returncode, output, errors

    def run_on_terminal(self, script, columns=60):
        """The same with a terminal for its output; returns what it wrote there."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(["bash", "-c", f"stty cols {columns} <&1; {script}"], cwd=self.work,
                                   stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, env=self.environment())
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # Linux reports a closed other end like this
            while block := os.read(ours, 4096):
                written += block
        os.close(ours)
        self.assertEqual(process.wait(timeout=30), 0, written)
        return written.decode()

    def wait_for_file(self, name):
        """The words that a stand-in writes there, once it has."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(FileNotFoundError):
                words = (self.work / name).read_text(encoding="utf-8")
                if words.endswith("\n"):
                    return words.split()
            time.sleep(0.02)
        self.fail(f"{name} was not written")

    def assert_gone(self, pid):
        """It has ended, even if its exit code was not read yet."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                state = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            except FileNotFoundError:
                return
            if state == "Z":
                return
            time.sleep(0.02)
        self.fail(f"process {pid} still runs")
