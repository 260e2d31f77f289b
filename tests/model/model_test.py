#!/usr/bin/python3
"""Checks handshake.pml: every flow holds, every deliberately broken copy fails, and nothing holds for want of a run.

  model_test.py                 all of it, with a table of the states explored
  model_test.py --trail CASE    the steps that break a broken copy, from SPIN's error trail

Needs spin and gcc (scripts/deps test). One core, a few hundred MiB, well under a minute.
"""
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "handshake.pml")

V1, V2_CLAIM5, V2_TEXT, V3_PASSWORD, V3_BOTH = 1, 2, 3, 4, 5
(INTACT, NO_SMKE_SIGNATURE, NO_CLOSING_FINISHED, NO_VERIFY_DATA, GROUP_SECRET_ALONE, NO_SERVER_FINISHED,
 ANY_CERTIFICATE, NO_EPOCH_MEMORY, FALLBACK) = range(9)

# Events that the search must reach in every flow; otherwise "no error" would mean nothing.
EVERYWHERE = {
    "a member joins in epoch 1",
    "a member joins in epoch 2",
    "a member joins while the attacker holds the same group key",
    "two joins of the member side by side",
    "a member takes epoch 2 by GroupUpdate",
    "a client goes on after an altered first flight",
    "a standard handshake between the same two ends completes",
    "the server counts the member",
    "the server counts the attacker's member",
    "the group is stripped from a member's hello",
    "the revoked member is refused",
}
OWN_HELLO = "variant 1: a member answers the attacker's own hello"
PASSWORD = "a member sends its password"
OTHER_FLOW = "a member is led to the other flow that it allows"
OTHER_TRANSCRIPT = "SMKE to a client that saw another handshake"


class Case:
    def __init__(self, name, flow, other, broken=INTACT, flag_in_request=1, bare=0, also=(), fails=None, automatic=0):
        self.name, self.flow, self.other, self.broken = name, flow, other, broken
        self.flag_in_request, self.bare, self.automatic = flag_in_request, bare, automatic
        self.must_reach = EVERYWHERE | set(also)
        self.fails = fails  # the requirement that must break; None: all hold

    def environment(self):
        return dict(os.environ, LC_ALL="C", SEALCAST_MODEL_FLOW=str(self.flow), SEALCAST_MODEL_OTHER=str(self.other),
                    SEALCAST_MODEL_BROKEN=str(self.broken), SEALCAST_MODEL_BARE=str(self.bare),
                    SEALCAST_MODEL_FLAG_IN_REQUEST=str(self.flag_in_request),
                    SEALCAST_MODEL_AUTOMATIC=str(self.automatic))


HOLD = [
    Case("variant 1", V1, V2_CLAIM5, also=[OWN_HELLO]),
    Case("variant 2, claim 5", V2_CLAIM5, V1),
    Case("variant 2, claim 5, flag in SMKE", V2_CLAIM5, V2_TEXT, flag_in_request=0),
    Case("variant 2, description", V2_TEXT, V2_CLAIM5),
    Case("variant 3, password", V3_PASSWORD, V2_CLAIM5, also=[PASSWORD]),
    Case("variant 3, certificate and password", V3_BOTH, V3_PASSWORD, also=[PASSWORD]),
    # a member that allows both flows (H30)
    Case("auto: variant 1, or variant 2", V1, V2_CLAIM5, also=[OWN_HELLO, OTHER_FLOW], automatic=1),
    Case("auto: variant 2, or variant 1", V2_CLAIM5, V1, also=[OWN_HELLO, OTHER_FLOW], automatic=1),
    Case("auto: variant 2 in either order", V2_TEXT, V2_CLAIM5, also=[OTHER_FLOW], automatic=1),
    Case("auto: flag in SMKE, variant 2 in either order", V2_CLAIM5, V2_TEXT, also=[OTHER_FLOW], flag_in_request=0,
         automatic=1),
    Case("auto: variant 3, certificate or not", V3_BOTH, V3_PASSWORD, also=[PASSWORD, OTHER_FLOW], automatic=1),
    # server_verify_data alone, without the other proofs of the same (README.md)
    Case("variant 2, claim 5, bare", V2_CLAIM5, V1, bare=1, also=[OTHER_TRANSCRIPT]),
    Case("variant 3, password, bare", V3_PASSWORD, V1, bare=1, also=[PASSWORD]),
    # ... and the other proofs, without server_verify_data
    Case("variant 2, claim 5, no verify_data", V2_CLAIM5, V1, NO_VERIFY_DATA),
]
FAIL = [
    Case("variant 1, SMKE unsigned", V1, V2_CLAIM5, NO_SMKE_SIGNATURE, fails="H1"),
    Case("auto: led to variant 1, SMKE unsigned", V2_CLAIM5, V1, NO_SMKE_SIGNATURE, fails="H1", automatic=1),
    Case("variant 1, no closing Finished", V1, V2_CLAIM5, NO_CLOSING_FINISHED, fails="H3"),
    Case("variant 2, claim 5, no closing Finished", V2_CLAIM5, V1, NO_CLOSING_FINISHED, fails="H3"),
    Case("variant 2, description, no closing Finished", V2_TEXT, V1, NO_CLOSING_FINISHED, fails="H3"),
    Case("variant 3, no closing Finished", V3_PASSWORD, V1, NO_CLOSING_FINISHED, fails="H3"),
    Case("variant 2, claim 5, no server Finished2", V2_CLAIM5, V1, NO_SERVER_FINISHED, fails="H3"),
    Case("variant 2, description, no server Finished2", V2_TEXT, V1, NO_SERVER_FINISHED, fails="H3"),
    Case("variant 2, claim 5, bare, no verify_data", V2_CLAIM5, V1, NO_VERIFY_DATA, bare=1, fails="H3"),
    Case("variant 2, description, bare, no verify_data", V2_TEXT, V1, NO_VERIFY_DATA, bare=1, fails="H3"),
    Case("variant 3, password, bare, no verify_data", V3_PASSWORD, V1, NO_VERIFY_DATA, bare=1, fails="H7"),
    Case("variant 1, group secret alone", V1, V2_CLAIM5, GROUP_SECRET_ALONE, fails="H2"),
    Case("variant 2, claim 5, group secret alone", V2_CLAIM5, V1, GROUP_SECRET_ALONE, fails="H2"),
    Case("variant 3, group secret alone", V3_PASSWORD, V1, GROUP_SECRET_ALONE, fails="H2"),
    Case("variant 2, any certificate as server", V2_CLAIM5, V1, ANY_CERTIFICATE, fails="H8"),
    Case("variant 3, any certificate as server", V3_PASSWORD, V1, ANY_CERTIFICATE, fails="H7"),
    Case("variant 2, no memory of epochs", V2_CLAIM5, V1, NO_EPOCH_MEMORY, fails="H5"),
    Case("variant 2, falls back", V2_CLAIM5, V1, FALLBACK, fails="H4"),
]


def build(folder):
    for command in (["spin", "-a", MODEL],
                    ["gcc", "-O1", "-w", "-DSAFETY", "-DMEMLIM=2048", "-o", "pan", "pan.c"]):
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit(f"{command[0]} is missing. Install it: apt-get install {command[0]} (or run scripts/deps test)")
        if done.returncode != 0 or "syntax error" in done.stdout:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def search(folder, case):
    """Returns (states, seconds, reached, violated, trail written, complaint); the complaint tells an unfinished search."""
    trail = os.path.join(folder, "handshake.pml.trail")
    if os.path.exists(trail):
        os.remove(trail)
    begin = time.monotonic()
    # -E: a run that cannot go on is no error; -m: depth, far above what any run reaches; -w: a small hash table.
    done = subprocess.run(["./pan", "-E", "-m10000", "-w21"], cwd=folder, env=case.environment(), capture_output=True,
                          text=True, timeout=300)
    text = done.stdout + done.stderr
    states = re.search(r"(\d+) states, stored", text)
    errors = re.search(r"errors: (\d+)", text)
    complaint = None
    if not states or not errors:
        complaint = "pan did not finish:\n" + text[-2000:]
    elif "max search depth too small" in text or "Search not completed" in text and errors.group(1) == "0":
        complaint = "the search was cut short"
    violated = re.findall(r"^violated: (.*)$", text, re.M)
    if not complaint and (errors.group(1) != "0") != bool(violated):
        complaint = f"{errors.group(1)} errors, but the properties violated are {violated}:\n{text[:2000]}"
    return (int(states.group(1)) if states else 0, time.monotonic() - begin, set(re.findall(r"^reached: (.*)$", text, re.M)),
            violated, os.path.exists(trail), complaint)


def judge(case, result):
    """One line that says what is wrong, or None."""
    _, _, reached, violated, trail, complaint = result
    if complaint:
        return complaint
    if case.fails is None:
        if violated:
            return f"expected every property to hold, violated: {violated[0]}"
        missing = case.must_reach - reached
        return f"holds for want of runs, never reached: {sorted(missing)}" if missing else None
    if not violated or not trail:
        return f"expected the broken copy to violate {case.fails} and leave an error trail; it holds"
    return None if f"({case.fails})" in violated[0] else f"expected {case.fails} to break, got: {violated[0]}"


def show_trail(folder, name):
    for case in FAIL:
        if case.name == name:
            search(folder, case)
            replay = subprocess.run(["./pan", "-r", "-n"], cwd=folder, env=case.environment(), capture_output=True, text=True)
            print(replay.stdout)
            return
    sys.exit("no such broken copy; there are:\n  " + "\n  ".join(case.name for case in FAIL))


def main():
    with tempfile.TemporaryDirectory(prefix="sealcast-model-") as folder:
        build(folder)
        if len(sys.argv) == 3 and sys.argv[1] == "--trail":
            show_trail(folder, sys.argv[2])
            return
        if len(sys.argv) != 1:
            sys.exit(__doc__)
        wrong = 0
        for case in HOLD + FAIL:
            result = search(folder, case)
            problem = judge(case, result)
            wrong += problem is not None
            verdict = problem or ("holds" if case.fails is None else "fails as it must: " + result[3][0])
            print(f"{'WRONG' if problem else 'ok':5} {case.name:45} {result[0]:9} states {result[1]:5.1f} s  {verdict}", flush=True)
        print(f"{len(HOLD) + len(FAIL)} searches, {wrong} wrong")
        sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
