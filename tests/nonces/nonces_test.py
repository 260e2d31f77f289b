"""The recorder records everything that is sealed, in any way, and survives kill -9; the checker finds repeats.

nonces_test.py NONCE_TOOL. No root."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

_E2E = pathlib.Path(__file__).resolve().parent.parent / "e2e"
sys.path.insert(0, str(_E2E))
from lab import nonces  # noqa: E402
from lab.process import LabError  # noqa: E402

TOOL = None


class Nonces(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def tool(self, *arguments, expect=0):
        """Runs the tool; returns the (SPI, IV) pairs of what it sealed."""
        done = subprocess.run([TOOL, *map(str, arguments)], env={**os.environ, "SEALCAST_NONCE_LOG": str(self.folder)},
                              capture_output=True, text=True, timeout=50)
        self.assertEqual(done.returncode, expect, done.stderr)
        return [(int(spi, 16), int(iv)) for spi, iv in map(str.split, done.stdout.splitlines())]

    def check(self, *folders):
        return subprocess.run(["/usr/bin/python3", str(_E2E / "nonce_check.py"), *map(str, folders or [self.folder])],
                              capture_output=True, text=True, timeout=50)

    def pairs(self):
        return sorted((run.spi, iv) for run in nonces.read_all([self.folder]) for iv in range(run.first, run.last + 1))

    def test_KEY2_every_way_of_sealing_is_recorded(self):
        sealed = self.tool("seal")
        self.assertEqual(len({spi >> 16 for spi, _ in sealed}), 3, "three modes")
        self.assertEqual(len({spi for spi, _ in sealed}), 6, "of two workers each")
        self.assertEqual(sorted(sealed), self.pairs())
        sealed += self.tool("announce", 5)
        self.assertEqual(sorted(sealed), self.pairs())
        self.assertEqual(self.check().returncode, 0, self.check().stderr)

    def test_KEY2_nothing_is_lost_by_kill_9(self):
        sealed = self.tool("die", expect=-9)
        self.assertGreater(len(sealed), 1000)
        self.assertEqual(sorted(sealed), self.pairs())

    def test_KEY2_a_restart_that_begins_again_is_found_and_named(self):
        self.tool("die", expect=-9)
        self.tool("seal")
        names = [str(path) for path in nonces.files([self.folder])]
        done = self.check()
        self.assertEqual(done.returncode, 1, done.stdout)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 6, done.stderr)
        for line in lines:
            self.assertRegex(line, r"repeated: SPI 0x100[012]000[01], key [0-9a-f]{16}: IVs 1\.\.\d+ twice: ")
            for name in names:
                self.assertIn(name, line)

    def test_KEY2_one_number_of_a_datagram_twice_is_found(self):
        for number in (1, 2, 3, 2):
            self.tool("announce", number)
        done = self.check()
        self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
        self.assertIn("SPI 0x10000064", done.stderr)
        self.assertIn("IVs 2..2 twice", done.stderr)

    def test_repeats_within_ranges_are_found(self):
        def lines(*ranges):
            return nonces.repeats([nonces.Run(key, first, last, 256, f"file{n}")
                                   for n, (key, first, last) in enumerate(ranges)])
        self.assertEqual(lines((1, 1, 10), (1, 11, 20), (2, 1, 20)), [])
        self.assertIn("IVs 10..10 twice: file0 sealed 1..10, file1 sealed 10..20", lines((1, 1, 10), (1, 10, 20))[0])
        # The checker still sees the widest run behind a short one that ended before.
        self.assertEqual(len(lines((1, 1, 100), (1, 5, 6), (1, 90, 91))), 2)

    def test_keys_do_not_stand_in_the_log(self):
        self.tool("announce", 1)
        data = nonces.files([self.folder])[0].read_bytes()
        key = bytes((0x10000064 >> 8 * (i % 4)) + 3 * i + 1 & 0xFF for i in range(32))  # key_of() in dataplane/testing
        self.assertNotIn(key[:8], data)
        self.assertEqual(len(data.rstrip(b"\0")), 64 + 32 - 3, "one run and nothing else")

    def test_what_was_not_recorded_is_told(self):
        recorded = nonces.Recorded([nonces.Run(1, 1, 5, 256, "a"), nonces.Run(2, 9, 9, 256, "b")])
        self.assertEqual([iv for iv in range(11) if recorded.has(256, iv)], [1, 2, 3, 4, 5, 9])
        self.assertFalse(recorded.has(257, 1))

    def test_nothing_to_check_is_an_error(self):
        self.assertEqual(self.check().returncode, 2)
        (self.folder / "strange").write_bytes(b"no log" * 20)
        self.assertEqual(self.check().returncode, 2)
        (self.folder / "strange").write_bytes(b"SCNONCE1" + (1).to_bytes(4, "little") + (1).to_bytes(4, "little") +
                                              (2).to_bytes(8, "little") + bytes(72))
        self.assertIn("full: 1 of 2", self.check().stderr)
        with self.assertRaises(LabError):
            nonces.read_all([self.folder])

    def test_without_a_folder_the_program_does_not_seal(self):
        environment = {name: value for name, value in os.environ.items() if name != "SEALCAST_NONCE_LOG"}
        done = subprocess.run([TOOL, "announce", "1"], env=environment, capture_output=True, text=True, timeout=50)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("SEALCAST_NONCE_LOG", done.stderr)


if __name__ == "__main__":
    TOOL = sys.argv.pop(1)
    unittest.main(verbosity=2)
