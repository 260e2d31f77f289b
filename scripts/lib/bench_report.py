"""Tables, the ready-made section of docs/performance.md, and the plot. Reads results only."""
from bench_figures import ALL_SIZES, PAYLOAD_SIZES, ratio, targets, verdict

_MISSING = "-"


def number(value, digits=2, scale=1.0):
    return _MISSING if value is None else f"{value / scale:.{digits}f}"


def text_table(title, head, rows):
    widths = [max(len(str(cell)) for cell in column) for column in zip(head, *rows)]
    lines = ["", title] if title else []
    for row in [head, *rows]:
        cells = [str(row[0]).ljust(widths[0])] + [str(c).rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def markdown_table(title, head, rows):
    lines = ["", f"**{title}**", ""] if title else [""]
    for row in [head, ["---"] * len(head), *rows]:
        lines.append("| " + " | ".join(str(cell) for cell in row) + " |")
    return "\n".join(lines)


def _aead_tables(results):
    entries = results.get("aead") or {}
    engines = [e for e in ("burst", "ipsec_mb_aad12", "ipsec_mb", "openssl") if any(f"/{e}/" in n for n in entries)]
    kinds = [*map(str, PAYLOAD_SIZES), "64-256", "0-1500", "imix",
             *(f"{size}/keys:{keys}" for keys in (8, 32) for size in ("64", "128", "256", "64-256"))]
    for bits in (128, 256):
        for verb in ("seal", "open"):
            rows = []
            for kind in kinds:
                ticks = [(entries.get(f"{verb}/{engine}/aes{bits}/{kind}") or {}).get("ticks") for engine in engines]
                if not any(ticks):
                    continue
                rival = (results.get("crypto_perf") or {}).get(f"{verb}/aes{bits}/{kind}") or {}
                best = dict(zip(engines, ticks))
                rows.append([kind.replace("/keys:", ", keys: "), *(number(t, 1) for t in ticks), number(rival.get("ticks"), 0),
                             number(ratio(best.get("ipsec_mb_aad12"), best.get("burst")))])
            if rows:
                yield (f"AES-{bits}-GCM, {verb}: ticks a packet, bursts of 32",
                       ["payload bytes", *engines, "crypto-perf aesni_gcm", "burst / ipsec_mb_aad12"], rows)


def _gateway_tables(results):
    entries = results.get("gateway") or {}
    if not entries:
        return

    def pps(name):
        return (entries.get(name) or {}).get("pps")

    def rivals(kind, size):
        return (results.get(kind) or {}).get(str(size))

    rows = []
    for size in ALL_SIZES:
        io = rivals("testpmd_io", size)
        row = [size]
        for name in (f"gateway/seal/v4/aes128/{size}", f"gateway/open/v4/aes128/{size}"):
            row += [number(pps(name), 2, 1e6), number((entries.get(name) or {}).get("gbps"), 1), number(ratio(pps(name), io))]
        row += [number(pps(f"gateway/forward/{size}"), 1, 1e6), number(io, 1, 1e6),
                number(rivals("testpmd_one_way", size), 1, 1e6), number(rivals("secgw", size), 2, 1e6)]
        if any(cell != _MISSING for cell in row[1:]):
            rows.append(row)
    yield ("One core, IPv4, AES-128, tunnel with address preservation: million packets a second, Gb/s of plain frames, ratio "
           "to testpmd io",
           ["frame bytes", "seal", "Gb/s", "/ io", "open", "Gb/s", "/ io", "loop alone", "testpmd io", "testpmd one way",
            "ipsec-secgw"], rows)
    rows = []
    for label, path in (("IPv4, AES-256", "v4/aes256"), ("IPv6, AES-128", "v6/aes128")):
        for size in ALL_SIZES:
            seal, opened = pps(f"gateway/seal/{path}/{size}"), pps(f"gateway/open/{path}/{size}")
            if seal or opened:
                rows.append([f"{label}, {size}", number(seal, 2, 1e6), number(opened, 2, 1e6)])
    for mode in ("tunnel_fixed", "transport"):
        for size in (64, 1400):
            name = f"v4/aes128/{size}/{mode}"
            if pps(f"gateway/seal/{name}"):
                rows.append([f"IPv4, AES-128, {mode.replace('_', ' ')}, {size}",
                             number(pps(f"gateway/seal/{name}"), 2, 1e6), number(pps(f"gateway/open/{name}"), 2, 1e6)])
    for groups in (1, 100, 10000):
        name = f"v4/aes128/64/groups:{groups}"
        if pps(f"gateway/seal/{name}"):
            rows.append([f"IPv4, AES-128, 64, {groups:,} group{'s' if groups > 1 else ''} at random",
                         number(pps(f"gateway/seal/{name}"), 2, 1e6), number(pps(f"gateway/open/{name}"), 2, 1e6)])
    if rows:
        yield ("One core, other traffic: million packets a second", ["traffic, frame bytes", "seal", "open"], rows)


def _other_tables(results):
    columns = ("rx", "frames", "parse", "lookup", "path", "aead", "tx", "ticks", "other")
    rows = [[name.removeprefix("stages/"), *(number(entry.get(column), 1) for column in columns)]
            for name, entry in sorted((results.get("stages") or {}).items())]
    if rows:
        yield ("Where the time goes: ticks a packet; other = everything but I/O and AEAD", ["stage", *columns], rows)
    columns = ("p50", "p99", "p99.9", "max")
    rows = [[name.removeprefix("latency/"), *(number(entry.get(column), 0) for column in columns),
             number(entry.get("pps"), 2, 1e6)] for name, entry in sorted((results.get("latency") or {}).items())]
    if rows:
        yield ("How long a worker keeps a packet: ns, over 2^20 packets", ["run", *columns, "million packets a second"], rows)
    virtio = results.get("virtio") or {}
    rows = []
    for size in (64, 1400):
        ours = (virtio.get("gateway") or {}).get(str(size)) or {}
        io, txonly = ((virtio.get(kind) or {}).get(str(size)) for kind in ("testpmd_io", "testpmd_txonly"))
        if ours or io:
            rows.append([size, number(ours.get("pps"), 2, 1e6), number(io, 2, 1e6), number(ratio(ours.get("pps"), io)),
                         number(txonly, 2, 1e6), number(ours.get("ring_full_pps"), 2, 1e6)])
    if rows:
        yield ("Two processes on two CPUs over vhost-user ↔ virtio-user: million packets a second that came out",
               ["frame bytes", "sealed and opened", "testpmd io", "ratio", "testpmd txonly → rxonly", "ring full at our sender"],
               rows)


def _handshake_tables(results):
    rates = {name: entry["joins/s"] for name, entry in (results.get("handshake") or {}).items()}
    if not rates:
        return

    def cells(name, prefix):
        rate = rates.get(prefix + name)
        rival = rates.get(f"{prefix}openssl_mutual/{name.rsplit('/', 1)[1]}")
        whole = rate and rival and not name.startswith("server_only")  # the others do only half a handshake
        return [number(rate, 0), number(ratio(rate, rival)) if whole else _MISSING]

    names = [name.removeprefix("handshake/") for name in rates if not name.startswith("handshake/tcp/")]
    yield ("Handshake, both ends on one core: joins a second", ["flow", "in process", "/ OpenSSL", "over TCP", "/ OpenSSL"],
           [[name, *cells(name, "handshake/"), *cells(name, "handshake/tcp/")] for name in sorted(names)])


def _target_table(results, binaries):
    rows, commands = [], []
    for target in targets(results, binaries):
        if target.command not in commands:
            commands.append(target.command)
        digits = 2 if target.at_least else (1 if target.wanted < 100 else 0)
        sign = "≥" if target.at_least else "≤"
        rows.append([target.what, number(target.measured, digits), f"{sign} {target.wanted:g}", verdict(target),
                     f"[{commands.index(target.command) + 1}]"])
    return ("Targets", ["what", "measured", "target", "", "command"], rows), commands


def _tables(results):
    yield from _aead_tables(results)
    yield from _gateway_tables(results)
    yield from _other_tables(results)
    yield from _handshake_tables(results)


def machine_line(results):
    machine = results["machine"]
    quick = " A quick run: only good for seeing that it works." if results.get("quick") else ""
    return (f"{machine['model']}, {machine['cpus']} CPUs, TSC {machine['tsc_mhz']} MHz, Linux {machine['kernel']}, "
            f"{results['when']}, load average before {results['load_before']:.2f}.{quick}")


def as_text(results, binaries="build/release/bench"):
    parts = [machine_line(results)] + [text_table(*table) for table in _tables(results)]
    table, commands = _target_table(results, binaries)
    parts.append(text_table(*table))
    parts += [f"  [{i + 1}] {command}" for i, command in enumerate(commands)]
    parts += [f"not measured: {why}" for why in results.get("missing", [])]
    return "\n".join(parts)


def as_markdown(results, binaries="build/release/bench"):
    """The section "The data plane" of docs/performance.md."""
    parts = ["### The data plane", "", machine_line(results), "", "![packets per second and Gb/s against frame size]"
             "(performance.png)"]
    table, commands = _target_table(results, binaries)
    parts.append(markdown_table(*table))
    parts.append("")
    parts += [f"{i + 1}. `{command}`" for i, command in enumerate(commands)]
    tables = [*_aead_tables(results), *_gateway_tables(results), *_other_tables(results)]
    parts += [markdown_table(*table) for table in tables]
    parts += ["", *(f"Not measured: {why}." for why in results.get("missing", []))]
    return "\n".join(parts).rstrip() + "\n"


_LINES = (  # label, where, name or None, colour, style
    ("Sealcast seal, AES-128", "gateway", "gateway/seal/v4/aes128/{}", "#0b6e4f", "o-"),
    ("Sealcast open, AES-128", "gateway", "gateway/open/v4/aes128/{}", "#6bbf59", "s-"),
    ("Sealcast seal, AES-256", "gateway", "gateway/seal/v4/aes256/{}", "#0b6e4f", "o:"),
    ("Sealcast seal, IPv6", "gateway", "gateway/seal/v6/aes128/{}", "#1f77b4", "^:"),
    ("testpmd io", "testpmd_io", None, "#888888", "d--"),
    ("testpmd io, one way", "testpmd_one_way", None, "#bbbbbb", "d--"),
    ("ipsec-secgw", "secgw", None, "#c0392b", "x-"),
    ("crypto-perf aesni_gcm, no I/O", "crypto_perf", None, "#8e44ad", "v:"))


def series(results, where, name):
    """[(frame bytes, packets a second)] of one line of the plot. Payload of a frame for crypto-perf: its IP packet."""
    points = []
    for size in (s for s in ALL_SIZES if s != "imix"):
        if where == "gateway":
            rate = ((results.get("gateway") or {}).get(name.format(size)) or {}).get("pps")
        elif where == "crypto_perf":
            figures = (results.get("crypto_perf") or {}).get(f"seal/aes128/{size}") or {}
            rate = figures["gbps"] * 1e9 / 8 / size if figures else None
        else:
            rate = (results.get(where) or {}).get(str(size))
        if rate:
            points.append((size, rate))
    return points


def plot(results, path):
    """False if there is nothing to draw, or no python3-matplotlib."""
    lines = [(label, series(results, where, name), colour, style) for label, where, name, colour, style in _LINES]
    lines = [line for line in lines if line[1]]
    if not lines:
        return False
    try:
        import matplotlib
        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    figure, (packets, bits) = pyplot.subplots(1, 2, figsize=(12, 5))
    for label, points, colour, style in lines:
        sizes = [size for size, _ in points]
        packets.plot(sizes, [rate / 1e6 for _, rate in points], style, color=colour, label=label)
        bits.plot(sizes, [rate * size * 8e-9 for size, rate in points], style, color=colour, label=label)
    for axes, what in ((packets, "million packets a second"), (bits, "Gb/s of plain frames")):
        axes.set_xscale("log", base=2)
        ticks = [size for size in ALL_SIZES if size != "imix"]
        axes.set_xticks(ticks, [str(size) for size in ticks], rotation=45, fontsize=8)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("frame bytes")
        axes.set_ylabel(what)
        axes.grid(True, which="both", alpha=0.25)
    packets.legend(fontsize=8)
    figure.suptitle(f"One core, pcap (infinite) → null. {results['machine']['model']}, {results['when'][:10]}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return True
