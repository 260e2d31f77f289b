#!/usr/bin/env python3
"""scripts/lib/progress.sh and the build of common.sh: the output during long commands, and the processes left by a
script that is killed (none)."""
import re
import signal
import time
import unittest

from stand_ins import ScriptTest

# A cmake with a configuration that prints unknown lines and a build that prints ninja's.
BUILDING = '''
[ "$1" = --build ] || { echo "-- Configuring done"; exit; }
for step in $(seq 1 20); do echo "[$step/20] Building CXX object $step.o"; sleep 0.05; done
'''
BUILD = ". scripts/lib/common.sh; build release one two"


class Progress(ScriptTest):
    def test_a_log_gets_a_line_at_each_tenth_at_most(self):
        self.stand_in("cmake", BUILDING)
        code, output, errors = self.run_script(BUILD)
        self.assertEqual((code, errors), (0, ""))
        percents = [int(number) for number in re.findall(r"^ +(\d+) %  building: \d+ of 20 steps, 0:0\d$", output, re.M)]
        self.assertGreaterEqual(len(percents), 2, output)
        tenths = [percent // 10 for percent in percents]
        self.assertEqual(tenths, sorted(set(tenths)), output)
        self.assertNotIn("\r", output)
        self.assertRegex(output, r"\n  20 steps in 0:0\d\n$")

    def test_a_terminal_has_one_line_that_ends_empty(self):
        self.stand_in("cmake", BUILDING)
        written = self.run_on_terminal(BUILD, columns=24)
        self.assertIn("\r", written)
        lines = written.split("\r\n")
        self.assertEqual(len([line for line in lines if line]), 1, written)  # the steps; earlier lines were overwritten
        self.assertRegex(lines[0], r"\r\x1b\[K  20 steps in 0:0\d$")
        for drawn in re.findall(r"\r([^\r\x1b]*)\x1b\[K", written):
            self.assertLess(len(drawn), 24)  # a longer one would wrap, and could not be rewritten

    def test_a_sign_of_life_from_what_says_nothing(self):
        self.stand_in("cmake", "sleep 3.5")
        _, output, _ = self.run_script(BUILD.replace(";", "; progress_silence=1;", 1))
        self.assertGreaterEqual(output.count("  configuring, 0:0"), 2, output)

    def test_nothing_to_build(self):
        self.stand_in("cmake", '[ "$1" != --build ] || echo "ninja: no work to do."')
        self.assertEqual(self.run_script(BUILD), (0, "  up to date\n", ""))

    def test_the_targets_and_the_preset_reach_cmake(self):
        self.stand_in("cmake", 'echo "$*" >>"$HERE/asked"')
        self.run_script(BUILD)
        self.assertEqual((self.work / "asked").read_text(), "--preset release\n--build --preset release -- one two\n")

    def test_a_failure_shows_the_end_of_the_output_and_keeps_it_all(self):
        self.stand_in("cmake", 'for line in $(seq 1 100); do echo "line $line"; done; exit 3')
        code, _, errors = self.run_script(f"set -e; {BUILD}; echo not reached")
        self.assertEqual(code, 3)
        lines = errors.splitlines()
        self.assertEqual((lines[0], lines[59], len(lines)), ("line 41", "line 100", 61))
        self.assertIn("build/release.log", lines[60])
        self.assertEqual(len((self.work / "build/release.log").read_text().splitlines()), 100)


class Signals(ScriptTest):
    def killed(self, script, signals=("TERM", "INT", "HUP")):
        """Starts the script, waits for the processes that its stand-in names in `pids`, signals the script alone."""
        for name in signals:
            with self.subTest(signal=name):
                (self.work / "pids").unlink(missing_ok=True)
                process = self.start(script)
                pids = self.wait_for_file("pids")
                process.send_signal(getattr(signal, f"SIG{name}"))
                output, errors = process.communicate(timeout=20)
                self.assertEqual(process.returncode, 128 + getattr(signal, f"SIG{name}"), errors)
                self.assertEqual(errors.count(f"stopping for SIG{name}"), 1, errors)
                self.assertNotIn("not reached", output)
                for pid in pids:
                    self.assert_gone(pid)
                yield output, errors

    def test_a_build_ends_with_its_script(self):
        self.stand_in("cmake", 'sleep 1000 & echo "$$ $!" >"$HERE/pids"; wait')
        for output, _ in self.killed(f"trap 'echo cleaned up' EXIT; {BUILD}; echo not reached"):
            self.assertTrue(output.endswith("cleaned up\n"), output)

    def test_a_forwarded_signal_lets_the_program_clean_up(self):
        self.stand_in("polite", '''trap 'echo heard; kill $child; exit 5' INT TERM HUP
            sleep 1000 & child=$!; echo "$$ $child" >"$HERE/pids"; wait''')
        for output, _ in self.killed(". scripts/lib/progress.sh; forward polite; echo not reached"):
            self.assertEqual(output, "heard\n")

    def test_an_installation_ends_after_its_present_step(self):
        # apt-get gets INT and lets dpkg, which does not, finish.
        self.stand_in("apt-get", '''case $* in *install*) ;; *) exit ;; esac
            trap 'echo "Interrupted" >"$HERE/apt"' INT
            (trap '' INT; sleep 1; echo whole >"$HERE/dpkg") & echo "$$ $!" >"$HERE/pids"
            until wait; do :; done; while [ ! -e "$HERE/dpkg" ]; do sleep 0.1; done; exit 100''')
        self.stand_in("apt-cache", 'shift; printf "%s:\\n  Candidate: 1\\n" "$@"')
        self.stand_in("dpkg-query", "")
        self.stand_in("id", "echo 0")
        for _ in self.killed("scripts/deps format"):
            self.assertEqual((self.work / "dpkg").read_text(), "whole\n")
            self.assertEqual((self.work / "apt").read_text(), "Interrupted\n")
            (self.work / "dpkg").unlink()

    def test_the_callers_own_traps_are_there_again(self):
        code, output, _ = self.run_script('''trap 'echo own' TERM; . scripts/lib/progress.sh
            forward true; kill -TERM $$; echo "then $?"; trap - TERM; forward false || echo "code $?"''')
        self.assertEqual((code, output), (0, "own\nthen 0\ncode 1\n"))

    def test_a_short_command_does_not_wait(self):
        began = time.monotonic()
        self.run_script(". scripts/lib/progress.sh; forward true")
        self.assertLess(time.monotonic() - began, 5)


if __name__ == "__main__":
    unittest.main()
