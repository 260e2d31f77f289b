"""The results of a soak, as text and as Markdown."""
import collections

from world import GROUPS



def _span(values):
    values = [value for value in values if value is not None]
    return f"{max(values):.1f} s" if values else "-"


def event_rows(soak):
    """(kind, how many, longest recovery, datagrams lost) of every kind of event that occurred."""
    kinds = collections.Counter(kind for kind, _ in soak.done)
    rows = []
    for kind in sorted(kinds):
        found = [d for k, d in soak.done if k == kind and d is not None]
        longest = _span([d.recovery() for d in found])
        if kind == "rekey":
            longest = _span(soak.rekeys)
        rows.append((kind, kinds[kind], longest, soak.judge.lost.get(kind, 0)))
    return rows


def figures(soak):
    """(what, figure) of the whole run."""
    judge, black, watch = soak.judge, soak.black, soak.watch
    received = sum(pair.received.count for pair in judge.pairs)
    streams = {id(pair.sent): pair.sent for pair in judge.pairs}.values()
    rows = [("gateways, key servers, streams, streams at listeners",
             f"{len(soak.world.places)}, {len(soak.world.servers)}, {len(streams)}, {len(judge.pairs)}"),
            ("datagrams sent by the hosts", sum(len(sent.times) for sent in streams)),
            ("datagrams due at listeners", judge.judged),
            ("datagrams received", received),
            ("… lost in disturbances of that very sender or listener",
             sum(n for cause, n in judge.lost.items() if cause not in ("unexplained", "machine stood still"))),
            ("… lost while the whole machine stood still", judge.lost.get("machine stood still", 0)),
            ("… lost without a cause", judge.lost.get("unexplained", 0)),
            ("… received twice", sum(len(pair.received.doubled) for pair in judge.pairs)),
            ("longest recovery", _span([d.recovery() for _, d in soak.done if d is not None])),
            ("longest rekey, until everybody had it", _span(soak.rekeys)),
            ("longest revocation, until it was complete", _span(soak.revocations)),
            ("epochs seen", ", ".join(f"{group} {len(watch.epochs[group])}" for group in GROUPS)),
            ("ESP packets on black, SPIs", f"{black.esp}, {len(black.numbers)}"),
            ("(SPI, IV) twice, frames in clear", "see below" if judge.violations else "none, none"),
            ("the machine stood still", f"{soak.stalled:.1f} s")]
    return [(what, f"{figure:,}" if isinstance(figure, int) else figure) for what, figure in rows]


def _title(soak, options):
    spent = getattr(soak, "ended", soak.now()) - getattr(soak, "began", soak.started)
    return f"{spent / 60:.1f} minutes, seed {options.seed}, {options.rate} datagrams of {options.size} bytes a second and sender"


def text(soak, options):
    lines = ["", _title(soak, options), "", f"{'event':28}{'survived':>10}{'longest recovery':>20}{'datagrams lost':>18}"]
    for kind, count, longest, lost in event_rows(soak):
        lines.append(f"{kind:28}{count:>10}{longest:>20}{lost:>18,}")
    lines.append("")
    lines += [f"{what:56}{figure:>24}" for what, figure in figures(soak)]
    lines += ["", *(f"BROKEN: {violation.what}" for violation in soak.judge.violations[:20])]
    if not soak.judge.violations:
        lines.append("All invariants held.")
    return "\n".join(lines)


def markdown(soak, options):
    lines = [f"{_title(soak, options)}:", "", "| event | survived | longest recovery | datagrams lost |", "|---|---|---|---|"]
    lines += [f"| {kind} | {count} | {longest} | {lost:,} |" for kind, count, longest, lost in event_rows(soak)]
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {what} | {figure} |" for what, figure in figures(soak)]
    lines += ["", "All invariants held." if not soak.judge.violations else
              "BROKEN: " + "; ".join(violation.what for violation in soak.judge.violations)]
    return "\n".join(lines) + "\n"
