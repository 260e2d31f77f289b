"""scripts/in-debian leaves nothing behind, however it ends, and never takes half a release for a whole one.

A few programs in a folder stand in for a release, and a script for mmdebstrap, so that no network is needed. The
script runs in a project of its own: a copy of it and of the files it uses, with a scripts/deps made by the test.
"""
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import uuid

# Signals that a caller ignores, a script's children ignore as well; a suite run in the background ignores Ctrl-C.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    signal.signal(_number, signal.SIG_DFL)

_SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts"
_PROGRAMS = ("bash", "cat", "env", "ls", "mkdir", "mount", "sleep", "setsid", "touch")

_MMDEBSTRAP = """#!/bin/bash
echo "$*" >>"$SEALCAST_TEST/mmdebstrap.log"
cat "${@: -1}" >>"$SEALCAST_TEST/mmdebstrap.log"
sleep "$(cat "$SEALCAST_TEST/delay")"
cp -a "$SEALCAST_TEST/stand-in/." "${@: -2:1}"
[ ! -e "$SEALCAST_TEST/mmdebstrap.fails" ] || { echo "E: the archive is closed"; exit 25; }
"""
_APT_GET = """#!/bin/bash
own=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
echo "http://archive.example/debian/ main $own $own"
echo "http://archive.example/debian/ main oldstable-updates $own-updates"
echo "http://archive.example/debian/ contrib $own $own"
echo "http://other.example/debian/ main other-$own other-$own"
"""
_DEPS = """#!/usr/bin/env bash
echo "installing" >>deps.log
[ ! -e deps.stalls ] || sleep 1000
[ ! -e deps.fails ] || { echo "no such package"; exit 1; }
"""


def stand_in(folder):
    """A root folder with a handful of programs and the libraries they load."""
    for name in _PROGRAMS:
        program = pathlib.Path(shutil.which(name))
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.split()
        for file in [program, *(pathlib.Path(word) for word in libraries if word.startswith("/"))]:
            target = folder / str(file).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    for name in ("usr/bin", "usr/sbin", "etc"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(shutil.which("env"), folder / "usr/bin/env")


def wait_until(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class InDebianTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Not /tmp, which the script covers in there; a short name, because the test's own folder is mounted, too.
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="in-debian-", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.folder.chmod(0o755)
        stand_in(cls.folder / "stand-in")

    def setUp(self):
        self.mark = uuid.uuid4().hex
        self.place = self.folder / self.mark
        self.root, self.chroots = self.place / "project", self.place / "chroots"
        self.addCleanup(shutil.rmtree, self.place)
        self.addCleanup(self.end_all)
        self.addCleanup(self.nothing_left)
        (self.root / "scripts/lib").mkdir(parents=True)
        for name in ("in-debian", "lib/common.sh", "lib/contained.py", "lib/progress.sh"):
            shutil.copy(_SCRIPTS / name, self.root / "scripts" / name)
        self.script = self.root / "scripts/in-debian"
        self.write(self.root / "scripts/deps", _DEPS)
        self.write(self.folder / "bin/mmdebstrap", _MMDEBSTRAP)
        self.write(self.folder / "bin/apt-get", _APT_GET)
        self.write(self.folder / "delay", "0")
        for name in ("mmdebstrap.log", "mmdebstrap.fails"):
            (self.folder / name).unlink(missing_ok=True)
        self.environment = {**os.environ, "SEALCAST_CHROOTS": str(self.chroots), "SEALCAST_TEST": str(self.folder),
                            "SEALCAST_MARK": self.mark, "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}
        for name in ("SEALCAST_IN_DEBIAN", "SEALCAST_PHASES"):
            self.environment.pop(name, None)

    @staticmethod
    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def made(self):
        """A release that is there already."""
        shutil.copytree(self.folder / "stand-in", self.chroots / "debian-13", symlinks=True)

    def run_script(self, *words, **options):
        return subprocess.run([self.script, *words], env=self.environment, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, check=False, **options)

    def begin(self, *words, **options):
        return subprocess.Popen([self.script, *words], env=self.environment, stdout=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL, start_new_session=True, **options)

    def is_ours(self, process):
        try:
            return f"SEALCAST_MARK={self.mark}".encode() in (process / "environ").read_bytes()
        except OSError:
            return False  # gone meanwhile

    def processes(self):
        """Processes that this test started and that still run."""
        return [process.name for process in pathlib.Path("/proc").glob("[0-9]*") if self.is_ours(process)]

    def sleeping(self):
        """How many "sleep 1000" there are of this test's."""
        def is_one(process):
            try:
                return (process / "cmdline").read_bytes() == b"sleep\x001000\x00" and self.is_ours(process)
            except OSError:
                return False  # gone meanwhile
        return sum(map(is_one, pathlib.Path("/proc").glob("[0-9]*")))

    def end_all(self):
        """After a failure: the next test must not find them."""
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            if self.is_ours(process):
                os.kill(int(process.name), signal.SIGKILL)

    def mounts(self):
        """In any process's view."""
        found = set()
        for file in pathlib.Path("/proc").glob("[0-9]*/mountinfo"):
            try:
                found.update(line for line in file.read_text().splitlines() if self.mark in line)
            except OSError:
                pass
        return found

    def nothing_left(self):
        self.assertTrue(wait_until(lambda: not self.processes()), self.processes())
        self.assertEqual(self.mounts(), set())

    def nothing_half_made(self):
        self.assertEqual([path.name for path in self.chroots.iterdir() if path.is_dir() and
                          not path.name.startswith("packages-")], [])

    def running(self, command):
        """A command in there that has printed "ready", with a process that would never end by itself."""
        self.made()
        process = self.begin("13", "bash", "-c", f"setsid sleep 1000 & {command}; echo ready; wait; sleep 1000")
        self.assertEqual(process.stdout.readline(), "ready\n")
        self.addCleanup(process.stdout.close)
        self.assertTrue(self.mounts())
        return process

    def exit_code(self, pid):
        """Of a child that ends soon."""
        self.assertTrue(wait_until(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def ends(self, process, code):
        self.assertEqual(process.wait(20), code)
        self.nothing_left()

    # The command's surroundings

    def test_command_runs_in_the_projects_root_and_its_exit_code_is_passed_on(self):
        self.made()
        self.assertEqual(self.run_script("13", "bash", "-c", "pwd").stdout, f"{self.root}\n")
        self.assertEqual(self.run_script("13", "bash", "-c", "exit 7").returncode, 7)
        self.assertEqual(self.run_script("13", "bash", "-c", "kill -9 $$").returncode, 128 + 9)
        self.assertEqual(self.run_script("13", "no-such-program").returncode, 127)
        self.assertEqual(self.run_script("13", "bash", "-c", "echo \"$*\"", "--", "-x", "--").stdout, "-x --\n")

    def test_environment_is_clean(self):
        self.made()
        self.environment |= {"CI": "1", "SEALCAST_WORDS": "two words=2", "TERM": "dumb", "SECRET": "s"}
        found = dict(line.split("=", 1) for line in self.run_script("13", "env").stdout.splitlines())
        self.assertEqual((found["CI"], found["SEALCAST_WORDS"], found["TERM"]), ("1", "two words=2", "dumb"))
        self.assertNotIn("SECRET", found)
        self.assertNotIn(str(self.folder), found["PATH"])

    def test_build_folder_is_the_releases_own(self):
        self.made()
        (self.root / "build/release").mkdir(parents=True)
        self.assertEqual(self.run_script("13", "ls", "build").stdout, "")
        self.assertEqual(self.run_script("13", "touch", "build/file", "/tmp/file", "/dev/shm/file").returncode, 0)
        self.assertTrue((self.root / "build/debian-13/file").exists())
        self.assertFalse((self.chroots / "debian-13/tmp/file").exists())

    # Nothing stays behind

    def test_nothing_goes_on_after_success_or_failure(self):
        self.made()
        for code in (0, 3):
            self.assertEqual(self.run_script("13", "bash", "-c", f"setsid sleep 1000 & exit {code}").returncode, code)
            self.nothing_left()

    def test_nothing_stays_mounted_that_the_command_mounted(self):
        self.made()
        where = self.root / "mounted"
        where.mkdir()
        self.assertEqual(self.run_script("13", "mount", "-t", "tmpfs", "tmpfs", str(where)).returncode, 0)
        self.nothing_left()

    def test_kill_9_ends_everything(self):
        process = self.running("true")
        process.kill()
        self.ends(process, -9)

    def test_kill_9_of_the_first_process_inside_ends_everything(self):
        process = self.running("true")
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        self.ends(process, 128 + 9)

    def test_sigterm_leaves_time_to_clean_up(self):
        process = self.running("trap 'touch cleaned; exit 5' TERM")
        process.terminate()
        self.ends(process, 5)
        self.assertTrue((self.root / "cleaned").exists())

    def test_sigterm_ends_what_does_not_listen(self):
        process = self.running("trap '' TERM")
        started = time.monotonic()
        process.terminate()
        self.ends(process, 128 + 9)
        self.assertLess(time.monotonic() - started, 15)

    def test_ctrl_c_is_the_commands_to_answer(self):
        self.made()
        for command, code in (("trap 'touch cleaned; exit 5' INT", 5), ("true", 128 + 2)):
            pid, terminal = pty.fork()
            if pid == 0:
                os.execve(self.script, [self.script, "13", "bash", "-c",
                                        f"setsid sleep 1000 & {command}; echo ready; sleep 1000"], self.environment)
            seen = b""
            while b"ready" not in seen:
                seen += os.read(terminal, 1024)
            # While a shell is starting a program, it would take the key for the program's to answer.
            self.assertTrue(wait_until(lambda: self.sleeping() == 2))
            os.write(terminal, b"\x03")
            self.assertEqual(self.exit_code(pid), code)
            os.close(terminal)
            self.nothing_left()
        self.assertTrue((self.root / "cleaned").exists())

    def test_the_terminals_end_is_the_commands_end(self):
        self.made()
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(self.script, [self.script, "13", "bash", "-c", "echo ready; setsid sleep 1000"], self.environment)
        self.assertIn(b"ready", os.read(terminal, 1024))
        os.close(terminal)
        self.exit_code(pid)
        self.nothing_left()

    # Making

    def test_first_use_makes_the_release_from_the_machines_own_archives(self):
        done = self.run_script("13", "bash", "-c", "echo hello")
        self.assertEqual((done.returncode, done.stdout), (0, "hello\n"), done.stderr)
        log = (self.folder / "mmdebstrap.log").read_text()
        key = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
        self.assertEqual([line for line in log.splitlines() if line.startswith("deb ")],
                         [f"deb {key} http://archive.example/debian/ trixie main",
                          f"deb {key} http://archive.example/debian/ trixie-updates main"])
        self.assertEqual((self.root / "deps.log").read_text(), "installing\n")
        self.assertEqual(self.run_script("13", "bash", "-c", "echo hello").stderr, "")

    def test_of_several_first_uses_one_makes_and_the_others_wait(self):
        self.write(self.folder / "delay", "1")
        processes = [self.begin("13", "bash", "-c", "echo hello", stderr=subprocess.DEVNULL) for _ in range(4)]
        for process in processes:
            self.assertEqual((process.communicate(timeout=30)[0], process.returncode), ("hello\n", 0))
        self.assertEqual((self.root / "deps.log").read_text(), "installing\n")

    def test_failed_making_leaves_nothing_and_says_why(self):
        (self.root / "deps.fails").touch()
        done = self.run_script("13", "true")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such package", done.stderr)
        self.nothing_half_made()
        (self.folder / "mmdebstrap.fails").touch()
        self.assertIn("the archive is closed", self.run_script("13", "true").stderr)
        self.nothing_half_made()

    def making(self):
        """A run that makes a release and has got as far as scripts/deps."""
        (self.root / "deps.stalls").touch()
        process = self.begin("13", "true", stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.assertTrue(wait_until((self.root / "deps.log").exists))
        (self.root / "deps.stalls").unlink()
        return process

    def test_interrupted_making_leaves_nothing(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.making()
            process.send_signal(number)
            self.ends(process, 128 + number)
            self.nothing_half_made()
            (self.root / "deps.log").unlink()

    def test_making_killed_by_9_is_begun_anew(self):
        process = self.making()
        process.kill()
        self.ends(process, -9)
        self.assertFalse((self.chroots / "debian-13").exists())
        self.assertEqual(self.run_script("13", "bash", "-c", "exit 7").returncode, 7)
        self.assertEqual(sorted(path.name for path in self.chroots.iterdir()),
                         ["debian-13", "debian-13.lock", "packages-13"])

    # Removing

    def test_remove(self):
        self.made()
        (self.chroots / "packages-13").mkdir()
        self.assertEqual(self.run_script("13", "--remove").returncode, 0)
        self.assertEqual(sorted(path.name for path in self.chroots.iterdir()), ["debian-13.lock", "packages-13"])
        self.assertEqual(self.run_script("13", "--purge").returncode, 0)
        self.assertEqual([path.name for path in self.chroots.iterdir()], ["debian-13.lock"])

    def test_remove_waits_for_nobody_and_takes_nothing_that_is_in_use(self):
        process = self.running("true")
        done = self.run_script("13", "--remove")
        self.assertEqual((done.returncode, done.stderr), (1, "in-debian: Debian 13 is in use, or being made\n"))
        process.kill()
        self.ends(process, -9)
        self.assertEqual(self.run_script("13", "--remove").returncode, 0)

    def test_remove_follows_no_mount(self):
        self.made()
        precious = self.place / "precious"
        precious.mkdir()
        (precious / "file").touch()
        inside = self.chroots / "debian-13/mnt with space"
        inside.mkdir()
        done = subprocess.run(["unshare", "--mount", "bash", "-c", 'mount --bind "$0" "$1"; shift; "$@"', precious,
                               inside, self.script, "13", "--remove"], env=self.environment, capture_output=True,
                              text=True, check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (1, f"in-debian: {inside} is mounted; unmount it, then try again\n"))
        self.assertTrue((precious / "file").exists())
        self.assertTrue((self.chroots / "debian-13/usr/bin/env").exists())

    # Refusing

    def refuses(self, why, *words, **options):
        done = self.run_script(*words, **options)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(why, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_refusals_are_one_line(self):
        self.refuses("unknown release '11'; expected 12 or 13", "11", "true")
        self.refuses("what is to run", "13")
        self.refuses("unknown option '--delete'", "13", "--delete")
        self.refuses("run as root", "13", "true", user=65534)
        self.environment["SEALCAST_IN_DEBIAN"] = "13"
        self.refuses("inside of scripts/in-debian already", "13", "true")

    def test_what_a_making_lacks_is_said(self):
        def says(why):
            done = self.run_script("13", "true")
            self.assertEqual(done.returncode, 1)
            self.assertIn(why, done.stderr)
            self.nothing_half_made()

        self.write(self.folder / "bin/df", "#!/bin/sh\necho Avail\necho '  4999M'\n")
        says("5000 MB must be free")
        (self.folder / "bin/df").unlink()
        self.write(self.folder / "bin/apt-get", "#!/bin/sh\necho http://archive.example/debian/ main other other\n")
        says("no entry for Debian's own archive")
        (self.folder / "bin/mmdebstrap").unlink()
        tools = self.place / "tools"
        tools.mkdir()
        for folder in self.environment["PATH"].split(":"):
            for program in pathlib.Path(folder).glob("*"):
                if program.name != "mmdebstrap" and not (tools / program.name).exists():
                    (tools / program.name).symlink_to(program)
        self.environment["PATH"] = str(tools)
        says("mmdebstrap is missing. Install it: apt-get install mmdebstrap")

    def test_help(self):
        done = self.run_script("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("scripts/in-debian 13 scripts/test --unit", done.stdout)


if __name__ == "__main__":
    unittest.main()
