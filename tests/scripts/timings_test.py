"""The phases' budgets: phases over them are named, and an unreadable file is an error."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/lib"))
import timings  # noqa: E402


class Timings(unittest.TestCase):
    def test_a_phase_over_its_budget_is_named_and_no_other(self):
        lines, over = timings.compare({"packages": 181, "tests": 720, "formatting": 4000},
                                      {"packages": 3, "tests": 12}, colour=True)
        self.assertEqual(over, ["packages"])
        self.assertEqual([line for line in lines if "over its budget" in line],
                         ["\x1b[31m" + f"{'packages':<28}{'3:01':>8}{'3:00':>9}  over its budget" + "\x1b[0m"])
        self.assertEqual(lines[-1].split(), ["all", "81:41"])

    def test_a_phase_that_ran_twice_counts_once(self):
        self.assertEqual(timings.phases("3\tpackages\n60\ttests\n2\tpackages\n"), {"packages": 5, "tests": 60})

    def test_lines_that_are_no_phases_are_refused(self):
        for text in ("packages\t3\n", "3 packages\n", "3\t\n"):
            with self.assertRaises(timings.Problem):
                timings.phases(text)

    def test_budgets_are_those_of_the_documentation(self):
        allowed = timings.budgets((ROOT / "docs/testing.md").read_text())
        self.assertEqual(allowed, {"packages": 3, "release build": 11, "tests": 12, "Debian 13 chroot": 3,
                                   "sanitizers on Debian 13": 11})
        for text in ("", "## Budgets\n\nnone\n## More\n| tests | 3 |\n"):
            with self.assertRaises(timings.Problem):
                timings.budgets(text)

    def test_the_slowest_come_first(self):
        text = '<testsuite><testcase name="a" time="1.5"/><testcase name="b" time="20"/><testcase name="c" time="3"/></testsuite>'
        self.assertEqual(timings.slowest(text, 2), [(20.0, "b"), (3.0, "c")])
        with self.assertRaises(timings.Problem):
            timings.slowest("no xml", 2)

    def test_the_documentation_gets_phases_and_tests_in_the_place_of_the_old_ones(self):
        section = timings.measured({"packages": 61, "tests": 600}, {"tests": 500, "more": 5}, [(20.0, "b"), (3.0, "c")],
                                   timings.processor("model name\t: Fast\nx: y\nmodel name\t: Fast\n"), "2026-01-02")
        for line in ("2026-01-02, 2 × Fast", "| packages | 1:01 | – |", "| tests | 10:00 | 8:20 |", "| more | – | 0:05 |",
                     "| all | 11:01 | 8:25 |", "| `b` | 20.0 |\n| `c` | 3.0 |"):
            self.assertIn(line, section)
        self.assertEqual(timings.replaced("# Tests\n\n## Measured\n\nold\n\n## Names\n\nkept\n", section),
                         f"# Tests\n\n{section}\n## Names\n\nkept\n")
        self.assertEqual(timings.replaced(f"# Tests\n\n{section}\n", section), f"# Tests\n\n{section}\n")
        with self.assertRaises(timings.Problem):
            timings.replaced("# Tests\n", section)

    def test_strict_fails_where_a_phase_is_over(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "phases.tsv"
            for seconds, code in ((180, 0), (181, 1)):
                file.write_text(f"{seconds}\tpackages\n")
                command = [sys.executable, str(ROOT / "scripts/lib/timings.py"), "phases", str(file)]
                self.assertEqual(subprocess.run(command, capture_output=True, check=False).returncode, 0)
                self.assertEqual(subprocess.run(command + ["--strict"], capture_output=True, check=False).returncode, code)


if __name__ == "__main__":
    unittest.main()
