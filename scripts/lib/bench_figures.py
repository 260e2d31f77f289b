"""Processes raw results: medians, rates, the list of targets with verdicts. Pure functions, no process, no file."""
import collections
import re
import statistics

FRAME_SIZES = (64, 256, 512, 1024, 1400)
ALL_SIZES = (*FRAME_SIZES, 9000, "imix")
PAYLOAD_SIZES = (64, 128, 256, 512, 1024, 1400, 4096, 8192)

Target = collections.namedtuple("Target", "what measured wanted at_least command")
# wanted and measured are numbers; at_least False: at most. measured None: not measured in this run.


def verdict(target):
    if target.measured is None:
        return "not measured"
    met = target.measured >= target.wanted if target.at_least else target.measured <= target.wanted
    return "met" if met else "missed"


def short_name(name):
    return re.sub(r"(/process_time|/real_time|/manual_time|/iterations:\d+|/min_time:[\d.]+|/repeats:\d+)", "", name)


def entries(report, where):
    """A Google Benchmark report → name → list of its repetitions (dicts of counters and rates). A repetition with an
    error reported by the benchmark itself ends everything: its figure would be a lie."""
    found = collections.defaultdict(list)
    for entry in report["benchmarks"]:
        if entry.get("error_occurred"):
            raise SystemExit(f"bench: {where}: {entry['name']}: {entry['error_message']}")
        if entry.get("run_type", "iteration") == "iteration":
            found[short_name(entry["name"])].append(
                {key: value for key, value in entry.items() if isinstance(value, (int, float))})
    return dict(found)


def medians(repetitions):
    """name → list of repetitions → name → counter → median."""
    return {name: {key: statistics.median([r[key] for r in runs if key in r]) for key in runs[0]}
            for name, runs in repetitions.items()}


def merge(into, more):
    """Adds the repetitions of another round."""
    for name, runs in more.items():
        into.setdefault(name, []).extend(runs)


def ratio(ours, theirs):
    return None if not ours or not theirs else ours / theirs


def pair_rate(before, after):
    """Two statistics (sealing, opening) of a gateway pair, before and after → packets a second opened, and the
    losses. Full transmit rings are counted apart: the source offers more than a gateway can take. Any other loss is
    an error."""
    (seal0, open0), (seal1, open1) = before, after
    seconds = open1["seconds"] - open0["seconds"]
    lost = {}
    for task, then, now in (("sealing", seal0, seal1), ("opening", open0, open1)):
        for reason, count in now["drops"].items():
            if count != then["drops"].get(reason, 0):
                lost[f"{task} gateway: {reason}"] = count - then["drops"].get(reason, 0)
    if open1["red_tx_full"] != open0["red_tx_full"]:
        lost["opening gateway: red tx full"] = open1["red_tx_full"] - open0["red_tx_full"]
    if lost:
        raise SystemExit("bench: packets were dropped between the gateways: "
                         + ", ".join(f"{why} {count}" for why, count in lost.items()))
    return {"pps": (open1["opened"] - open0["opened"]) / seconds,
            "sealed_pps": (seal1["sealed"] - seal0["sealed"]) / (seal1["seconds"] - seal0["seconds"]),
            "ring_full_pps": (seal1["black_tx_full"] - seal0["black_tx_full"]) / (seal1["seconds"] - seal0["seconds"])}


def _get(results, *path):
    """The value at the end of the path, None if a step is missing. Keys are strings, sizes too."""
    for step in path:
        results = results.get(str(step)) if isinstance(results, dict) else None
    return results


_AEAD_WANTED = (  # lengths, keys a burst, least ratio
    ("64", 1, 2.8), ("128", 1, 2.1), ("256", 1, 1.55), ("512", 1, 1.2), ("1024", 1, 1.05), ("1400", 1, 1.0),
    ("4096", 1, 1.0), ("8192", 1, 1.0), ("64-256", 1, 1.7),
    *((lengths, keys, least) for keys, least in ((8, 1.7), (32, 1.3)) for lengths in ("64", "128", "256", "64-256")))


def _aead_targets(results, binaries):
    """A row for each kind of burst, judged by the least of its four ratios: AES-128 and -256, seal and open."""
    for lengths, keys, least in _AEAD_WANTED:
        rest = lengths if keys == 1 else f"{lengths}/keys:{keys}"
        ratios = {}
        for bits in (128, 256):
            for verb in ("seal", "open"):
                found = ratio(_get(results, "aead", f"{verb}/ipsec_mb_aad12/aes{bits}/{rest}", "ticks"),
                              _get(results, "aead", f"{verb}/burst/aes{bits}/{rest}", "ticks"))
                if found:
                    ratios[f"{verb} {bits}"] = found
        what = f"burst / IPsec-MB at its best, {lengths.replace('-', '–')} bytes"
        what += "" if keys == 1 else f", {keys} keys a burst"
        what += " (" + ", ".join(f"{name} {value:.2f}" for name, value in ratios.items()) + ")" if ratios else ""
        yield Target(what, min(ratios.values(), default=None), least, True,
                     f"{binaries}/aead_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=11 "
                     "--benchmark_min_time=0.01 --benchmark_filter='/(burst|ipsec_mb_aad12)/'")


def targets(results, binaries="build/release/bench"):
    """Every target of the data plane, in the order of the design."""
    all_targets = list(_aead_targets(results, binaries))

    def gateway(*parts):
        return _get(results, "gateway", "/".join(map(str, parts)), "pps")

    path = f"{binaries}/gateway_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=3 --benchmark_filter="
    plain = f"{path}'^gateway/(seal|open)/v4/aes128/[0-9]*/manual_time'"
    for verb in ("seal", "open"):
        for size, least in zip(FRAME_SIZES, (0.40, 0.40, 0.29, 0.24, 0.23)):
            all_targets.append(Target(
                f"gateway {verb}, AES-128, {size}-byte frames / testpmd io",
                ratio(gateway("gateway", verb, "v4", "aes128", size), _get(results, "testpmd_io", size)), least, True,
                f"{plain}, in turns with: " + (_get(results, "commands", "testpmd_io") or "dpdk-testpmd")))
    all_targets.append(Target(
        "gateway seal, AES-128, 64-byte frames / ipsec-secgw",
        ratio(gateway("gateway/seal/v4/aes128", 64), _get(results, "secgw", 64)), 3.0, True,
        f"{plain}, in turns with: " + (_get(results, "commands", "secgw") or "ipsec-secgw")))
    for verb in ("seal", "open"):
        name = f"gateway/{verb}/v4/aes128/64/groups:"
        all_targets.append(Target(
            f"gateway {verb}, 10,000 groups at random / one group, 64-byte frames",
            ratio(gateway(name + "10000"), gateway(name + "1")), 0.6, True, f"{path}'groups:'"))
    for verb in ("seal", "open"):
        all_targets.append(Target(
            f"everything but I/O and AEAD, {verb}, 64-byte frames, ticks a packet",
            _get(results, "stages", f"stages/{verb}/v4/aes128/64", "other"), 35, False, f"{path}'^stages/'"))
    for verb in ("seal", "open"):
        p99 = _get(results, "latency", f"latency/idle/{verb}/v4/aes128/64", "p99")
        all_targets.append(Target(f"one 64-byte packet, {verb}, rx return to tx call, p99 in ns", p99, 1000, False,
                                  f"{path}'^latency/'"))
    for size, least in ((64, 0.5), (1400, 0.33)):
        all_targets.append(Target(
            f"two gateways over vhost-user ↔ virtio-user / testpmd io over the same pair, {size} bytes",
            ratio(_get(results, "virtio", "gateway", size, "pps"), _get(results, "virtio", "testpmd_io", size)), least,
            True, "scripts/bench --only virtio"))
    return all_targets
