#!/usr/bin/python3
"""One interoperability case per call: real TLS stacks against ours, over loopback TCP.

usage: interop.py --peer HANDSHAKE_PEER --keyserver SEALCAST_KEYSERVER CASE      interop.py --list
"""
import argparse
import importlib
import signal
import subprocess
import sys

from case import Case, Failed

MODULES = ("standard", "analyser", "keyserver", "attacks")  # the last one loads scapy, which takes most of a second


def find(name):
    for module in MODULES:
        case = importlib.import_module(module).cases().get(name)
        if case:
            return case
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer")
    parser.add_argument("--keyserver")
    parser.add_argument("--pki", help="a folder that `handshake_peer pki` filled; without: one of its own")
    parser.add_argument("--list", action="store_true", help="every case, one a line")
    parser.add_argument("case", nargs="?")
    options = parser.parse_args()
    if options.list or not options.case:
        print("\n".join(sorted(name for module in MODULES for name in importlib.import_module(module).cases())))
        return 0
    play = find(options.case)
    if not play:
        parser.error(f"expected one of the cases that --list names, got {options.case}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends children and removes the folder in any case
    case = Case(options.peer, options.keyserver, options.pki)
    try:
        play(case)
    except (Failed, subprocess.SubprocessError) as error:
        print(f"{options.case}: {error}", file=sys.stderr)
        return 1
    finally:
        case.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
