#!/usr/bin/python3
"""Runs a command in mount and process namespaces of its own, as root, in another root folder if one is named.

    contained.py [OPTION]... -- COMMAND...
      --root FOLDER                   the command's /
      --bind FROM TO, --view FROM TO  puts a file or folder of the machine there, the second one read-only
      --tmpfs TO, --proc TO           an empty folder in memory; the processes in here
      --folder FOLDER                 where the command starts
      --set NAME=VALUE                the command's environment has what is set and nothing else, if anything is
      --parent PID                    ends with this process, which started it
      --keep FD                       stays open until the last process is gone: a lock, which the command does not get

Three processes: this one waits outside; the first one inside mounts, starts the command and collects orphans; and the
command. When the first one inside ends, the kernel kills all others in there before any process notices, and with the
last of them go the mounts. The kernel ends it as well when this one is killed, so that kill -9 leaves nothing, either.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
GRACE = 10  # seconds from SIGTERM to SIGKILL
ASKS_TO_END = {signal.SIGTERM, signal.SIGHUP}
WATCHED = {signal.SIGCHLD, signal.SIGINT, signal.SIGQUIT, *ASKS_TO_END}

libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


def check(what, result):
    if result != 0:
        raise Failure(f"{what}: {os.strerror(ctypes.get_errno())}")


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: {done.stderr.strip()}")


def dies_with_parent():
    check("prctl", libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def exit_code(status):
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def to_pass_on(info):
    """Without the signals of a terminal's keys, which all processes get; the end of a terminal reaches only its
    first process."""
    return info.si_code <= 0 or info.si_signo == signal.SIGHUP


def place(root, source, target):
    """The place for a mount; made if it is missing. Never outside the root, whatever links are in it."""
    path = os.path.realpath(root + target)
    if not path.startswith(os.path.realpath(root or "/")):
        raise Failure(f"{target} leads out of {root}")
    if source is None or os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8"):
            pass
    return path


def prepare(options):
    check("unshare", libc.unshare(CLONE_NEWNS))
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    root = options.root or ""
    if root:
        # A root must be a mount: programs that change how it propagates, like ip netns, fail otherwise.
        run("mount", "--bind", root, root)
    for kind, *words in options.mounts:
        if kind in ("bind", "view"):
            source, target = words
            path = place(root, source, target)
            run("mount", "--rbind", source, path)
            if kind == "view":
                run("mount", "-o", "remount,bind,ro", path)
        else:
            path = place(root, None, words[0])
            run("mount", "-t", kind, kind, path, *(["-o", "mode=1777"] if words[0] == "/tmp" else []))
    if root:
        os.chdir(root)
        run("pivot_root", ".", ".")
        check("umount", libc.umount2(b".", MNT_DETACH))
        os.chdir("/")
    if options.folder:
        os.chdir(options.folder)


def start(options, mask):
    """The command; never returns."""
    for number in options.keep:
        os.close(number)
    for name in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    environment = dict(word.split("=", 1) for word in options.set) if options.set else os.environ
    code = 126
    try:
        os.execvpe(options.command[0], options.command, environment)
    except FileNotFoundError:
        code = 127
        print(f"{options.command[0]}: command not found", file=sys.stderr)
    except OSError as error:
        print(f"{options.command[0]}: {error.strerror}", file=sys.stderr)
    sys.stderr.flush()
    os._exit(code)


def ended(child):
    """The exit status of this child if it has ended; collects all others that have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid in (0, child):
            return status if pid else None


def first_inside(options, mask):
    """Process 1 of the namespace; returns the command's exit code."""
    prepare(options)
    command = os.fork()
    if command == 0:
        start(options, mask)
    while True:
        info = signal.sigwaitinfo(WATCHED)
        if info.si_signo == signal.SIGCHLD:
            status = ended(command)
            if status is not None:
                return exit_code(status)
        elif to_pass_on(info):
            try:
                os.kill(-1, info.si_signo)  # all processes in here but this one
            except ProcessLookupError:
                pass


def outside(first):
    """Passes on signals to this process, waits, returns the exit code."""
    waiting = None
    while True:
        info = signal.sigwaitinfo(WATCHED) if waiting is None else signal.sigtimedwait(WATCHED, waiting)
        if info is None:
            os.kill(first, signal.SIGKILL)
            waiting = None
        elif info.si_signo == signal.SIGCHLD:
            status = ended(first)
            if status is not None:
                return exit_code(status)
        elif to_pass_on(info):
            os.kill(first, info.si_signo)
            if info.si_signo in ASKS_TO_END:
                waiting = GRACE


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    many = {"action": "append", "default": []}

    class Mount(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None):
            namespace.mounts.append([self.dest, *values])

    parser.set_defaults(mounts=[])
    parser.add_argument("--root")
    for kind, words in (("bind", 2), ("view", 2), ("tmpfs", 1), ("proc", 1)):
        parser.add_argument(f"--{kind}", nargs=words, action=Mount)
    parser.add_argument("--folder")
    parser.add_argument("--set", **many)
    parser.add_argument("--parent", type=int)
    parser.add_argument("--keep", type=int, **many)
    end = sys.argv.index("--")
    options = parser.parse_args(sys.argv[1:end])
    options.command = sys.argv[end + 1:]

    if options.parent is not None:
        for name in (signal.SIGINT, signal.SIGQUIT):  # a shell's background command ignores them
            signal.signal(name, signal.SIG_DFL)
        dies_with_parent()
        if os.getppid() != options.parent:
            return 1
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    reader, writer = os.pipe()
    check("unshare", libc.unshare(CLONE_NEWPID))
    first = os.fork()
    if first != 0:
        os.close(reader)
        return outside(first)
    try:
        dies_with_parent()
        os.close(writer)
        os.set_blocking(reader, False)
        try:
            os.read(reader, 1)  # end of file: the parent ended before this process asked to die with it
            os._exit(1)
        except BlockingIOError:
            pass
        code = first_inside(options, mask)
    except (Failure, OSError) as error:
        print(f"contained.py: {error}", file=sys.stderr)
        code = 125
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        sys.exit(f"contained.py: {failure}")
