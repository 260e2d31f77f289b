"""nonce_check.py DIR...: whether any number was sealed twice under one key, by all processes with nonce logs in
these folders. If so, exit code 1 and a line for each repeat."""
import sys

from lab import nonces
from lab.process import LabError


def main(folders):
    if not folders or any(folder.startswith("-") for folder in folders):
        print("usage: nonce_check.py DIR...", file=sys.stderr)
        return 2
    try:
        runs = nonces.read_all(folders)
    except (LabError, OSError) as error:
        print(f"nonce_check: {error}", file=sys.stderr)
        return 2
    found = nonces.repeats(runs)
    for line in found:
        print(f"nonce_check: repeated: {line}", file=sys.stderr)
    print(f"{nonces.total(runs)} packets under {len({run.key for run in runs})} keys by "
          f"{len({run.file for run in runs})} processes: {len(found) or 'no'} repeats")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
