"""How long everything took, beside what it may take.

    timings.py phases FILE [--strict]     a table of the phases in FILE ("seconds<TAB>name" a line); those over their
                                          budget in red, and with --strict exit code 1 for one
    timings.py slowest FILE [COUNT]       the slowest tests of a JUnit file of CTest's, as rows for docs/testing.md
    timings.py document COLD WARM TESTS   writes the section "## Measured" of docs/testing.md: the phases of two runs of
                                          .ci/run, one that found nothing prepared and one after it, and the slowest
                                          tests of TESTS, a JUnit file (build/phases.tsv, build/release/tests.xml)

Budgets are the rows "| name | minutes | …" under "## Budgets" of docs/testing.md, and nowhere else.
"""
import datetime
import os
import pathlib
import re
import sys
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Problem(Exception):
    """One line for the user."""


def budgets(text):
    """Minutes by phase, from the text of docs/testing.md."""
    section = re.search(r"^## Budgets$(.*?)(?=^## |\Z)", text, re.M | re.S)
    if not section:
        raise Problem('docs/testing.md: expected a section "## Budgets", found none')
    rows = re.findall(r"^\| ([^|]+?) \| (\d+) \|", section[1], re.M)
    if not rows:
        raise Problem('docs/testing.md: expected rows "| phase | minutes | …" under "## Budgets", found none')
    return {name: int(minutes) for name, minutes in rows}


def phases(text):
    """Seconds by phase, in order; a phase that ran twice counts once, with both times."""
    taken = {}
    for number, line in enumerate(text.splitlines(), 1):
        seconds, tab, name = line.partition("\t")
        if not tab or not seconds.isdigit() or not name:
            raise Problem(f'line {number}: expected "seconds<TAB>phase", got {line!r}')
        taken[name] = taken.get(name, 0) + int(seconds)
    return taken


def clock(seconds):
    return f"{seconds // 60}:{seconds % 60:02d}"


def compare(taken, allowed, colour):
    """The table's lines, and the phases over their budgets."""
    over = [name for name, seconds in taken.items() if name in allowed and seconds > 60 * allowed[name]]
    lines = [f"{'phase':<28}{'took':>8}{'budget':>9}"]
    for name, seconds in taken.items():
        line = f"{name:<28}{clock(seconds):>8}{clock(60 * allowed[name]) if name in allowed else '':>9}"
        if name in over:
            line += "  over its budget"
            line = f"\x1b[31m{line}\x1b[0m" if colour else line
        lines.append(line)
    lines.append(f"{'all':<28}{clock(sum(taken.values())):>8}")
    return lines, over


def processor(text):
    """The processor's name in /proc/cpuinfo, and how many there are."""
    names = re.findall(r"^model name\s*: (.*)$", text, re.M)
    if not names:
        raise Problem('/proc/cpuinfo: expected a line "model name", found none')
    return f"{len(names)} × {names[0]}"


def measured(cold, warm, tests, machine, date):
    """The text of "## Measured": phases of two runs side by side, and the slowest tests."""
    names = [*cold, *(name for name in warm if name not in cold)]

    def cell(taken, name):
        return clock(taken[name]) if name in taken else "–"
    return "\n".join([
        "## Measured", "",
        f"`.ci/run` on {date}, {machine}, nothing else running; minutes:seconds. Cold: a fresh clone on a machine without the",
        "packages, with an empty compiler cache and no other Debian's folder. Warm: another fresh clone after that.", "",
        "| phase | cold | warm |", "|---|---|---|",
        *(f"| {name} | {cell(cold, name)} | {cell(warm, name)} |" for name in names),
        f"| all | {clock(sum(cold.values()))} | {clock(sum(warm.values()))} |", "",
        "The slowest tests, in seconds:", "",
        "| test | seconds |", "|---|---|",
        *(f"| `{name}` | {seconds:.1f} |" for seconds, name in tests),
        "",
        "Both tables: `/usr/bin/python3 scripts/lib/timings.py document COLD WARM TESTS`, from what the two runs left behind",
        "(`build/phases.tsv`, `build/release/tests.xml`).", ""])


def replaced(text, section):
    """docs/testing.md with this section in place of its present one."""
    heading = section.partition("\n")[0]
    new, count = re.subn(rf"^{re.escape(heading)}$.*?(?=^## |\Z)", lambda _: section + "\n", text, flags=re.M | re.S)
    if count != 1:
        raise Problem(f'docs/testing.md: expected one section "{heading}", found {count}')
    return new


def slowest(text, count):
    """Seconds and names of the slowest tests in CTest's JUnit output."""
    try:
        cases = xml.etree.ElementTree.fromstring(text).iter("testcase")
        found = sorted(((float(case.get("time")), case.get("name")) for case in cases), reverse=True)
    except (xml.etree.ElementTree.ParseError, TypeError, ValueError) as error:
        raise Problem(f"expected a JUnit file of CTest's, got {error}") from error
    return found[:count]


def main(words):
    if len(words) >= 2 and words[0] == "phases" and words[2:] in ([], ["--strict"]):
        taken = phases(pathlib.Path(words[1]).read_text())
        allowed = budgets((ROOT / "docs/testing.md").read_text())
        lines, over = compare(taken, allowed, colour=sys.stdout.isatty() or "CI" in os.environ)
        print("\n".join(lines))
        return 1 if over and words[2:] else 0
    if len(words) == 4 and words[0] == "document":
        cold, warm = (phases(pathlib.Path(word).read_text()) for word in words[1:3])
        tests = slowest(pathlib.Path(words[3]).read_text(), 20)
        page = ROOT / "docs/testing.md"
        machine = processor(pathlib.Path("/proc/cpuinfo").read_text())
        page.write_text(replaced(page.read_text(), measured(cold, warm, tests, machine, datetime.date.today())))
        return 0
    if len(words) in (2, 3) and words[0] == "slowest":
        for seconds, name in slowest(pathlib.Path(words[1]).read_text(), int(words[2]) if words[2:] else 20):
            print(f"| `{name}` | {seconds:.1f} |")
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError, Problem) as error:
        sys.exit(f"timings: {error}")
