"""Child processes that never outlive us: each is ended by its own pid, its output kept in a file."""
import ctypes
import os
import pathlib
import signal
import subprocess
import time

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class LabError(Exception):
    """A step that the laboratory needs failed; the message says which, and where to look."""


def wait_until(condition, seconds, what):
    """Polls `condition` until it is true; returns its value. LabError after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def run(argv, namespace=None, check=True, timeout=60, **options):
    """Runs a command to its end, output captured as text. LabError when it fails and `check` is set."""
    argv = _within(namespace, argv)
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def _within(namespace, argv):
    argv = [str(word) for word in argv]
    # nsenter, not "ip netns exec": the latter also makes a mount namespace, which fails in a plain chroot.
    return ["nsenter", f"--net=/run/netns/{namespace}", *argv] if namespace else argv


class Process:
    """One running program. `log` holds its standard error and, unless `stdout` says otherwise, standard output;
    `environment` is added to our own."""

    def __init__(self, name, argv, log, namespace=None, stdout=None, environment=None):
        self.name = name
        self.argv = [str(word) for word in argv]
        self.log = pathlib.Path(log)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as errors:
            self._log_start = errors.tell()
            output = open(stdout, "wb") if stdout else errors
            try:
                # nsenter becomes the program itself, so its pid is the program's.
                self.child = subprocess.Popen(_within(namespace, argv), stdin=subprocess.DEVNULL, stdout=output,
                                              stderr=errors, preexec_fn=_die_with_parent, start_new_session=True,
                                              env={**os.environ, **(environment or {})})
            finally:
                if stdout:
                    output.close()

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def output(self):
        """This run's log output so far."""
        with open(self.log, "rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_for(self, text, seconds=20):
        """Waits until the log holds `text`; LabError when the program ends before or takes too long."""
        def seen():
            if text in self.output():
                return True
            if not self.running():
                raise LabError(f"{self.name} ended with {self.child.returncode} before it said '{text}': {self.tail()}")
            return False
        wait_until(seen, seconds, f"'{text}' from {self.name}; its log, {self.log}, ends: {self.tail()}")

    def tail(self, lines=3):
        return " | ".join(self.output().strip().splitlines()[-lines:])

    def wait(self, seconds):
        """Waits for the program to end by itself; returns its exit code."""
        try:
            return self.child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} was still running after {seconds} s: {self.tail()}") from None

    def kill(self):
        """kill -9, at once."""
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
        self.child.wait()

    def stop(self, seconds=5):
        """SIGTERM, then SIGKILL if it does not end. Returns the exit code."""
        if self.running():
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.child.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.child.wait()
