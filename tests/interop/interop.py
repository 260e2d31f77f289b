#!/usr/bin/python3
"""One interoperability case per call: real TLS stacks against ours, over loopback TCP.

usage: interop.py --peer HANDSHAKE_PEER --keyserver SEALCAST_KEYSERVER CASE      interop.py --list
"""
import argparse
import subprocess
import sys

import analyser
import attacks
import keyserver
import standard
from case import Case, Failed

CASES = {**standard.cases(), **analyser.cases(), **keyserver.cases(), **attacks.cases()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer")
    parser.add_argument("--keyserver")
    parser.add_argument("--list", action="store_true", help="every case, one a line")
    parser.add_argument("case", nargs="?", choices=sorted(CASES))
    options = parser.parse_args()
    if options.list or not options.case:
        print("\n".join(sorted(CASES)))
        return 0
    case = Case(options.peer, options.keyserver)
    try:
        CASES[options.case](case)
    except (Failed, subprocess.SubprocessError) as error:
        print(f"{options.case}: {error}", file=sys.stderr)
        return 1
    finally:
        case.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
