"""Runs the benchmarks and their rivals, one at a time, and prints the results. scripts/bench calls it."""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

import bench_figures as figures
import bench_report as report
import bench_rivals as rivals

PARTS = ("aead", "gateway", "latency", "virtio", "handshake")


class Run:
    """How long everything takes: a full run, a quick look, or a smoke test of our own programs alone."""

    def __init__(self, binaries, out, mode):
        self.binaries, self.out, self.mode = binaries, out, mode
        self.full, self.smoke = mode == "full", mode == "smoke"
        self.results = {"missing": [], "commands": {}}

    def pick(self, full, quick, smoke):
        return {"full": full, "quick": quick, "smoke": smoke}[self.mode]

    def missing(self, why):
        if why not in self.results["missing"]:
            print(f"bench: {why}", file=sys.stderr)
            self.results["missing"].append(why)

    def benchmark(self, program, pattern, min_time, repetitions, *more):
        """Runs a Google Benchmark program with its benchmarks' repetitions in random order: otherwise a slow minute
        of the machine would affect one benchmark alone."""
        binary = self.binaries / program
        if not binary.exists():
            raise SystemExit(f"bench: {binary} is missing; build the release preset first")
        raw = self.out / f"{program}.json"
        argv = [str(binary), f"--benchmark_filter={pattern}", f"--benchmark_min_time={min_time}",
                f"--benchmark_repetitions={repetitions}", "--benchmark_enable_random_interleaving=true", *more]
        rivals.say(argv)
        done = subprocess.run([*argv, f"--benchmark_out={raw}", "--benchmark_out_format=json"], check=False, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise SystemExit(f"bench: {program} failed (status {done.returncode}): {done.stderr[-2000:]}")
        found = figures.entries(json.loads(raw.read_text()), program)
        if not found:
            raise SystemExit(f"bench: {program} has no benchmark that matches {pattern}")
        return found


def aead(run):
    pattern = run.pick(".", "aes128/(64|256|1400|64-256|imix)(/keys:8)?$", "aes128/(64|64-256|imix)(/keys:8)?$")
    found = run.benchmark("aead_bench", pattern, run.pick(0.01, 0.005, 0.0005), run.pick(11, 3, 1))
    run.results["aead"] = figures.medians(found)
    if run.smoke:
        return
    run.results["crypto_perf"] = {}
    for bits in run.pick((128, 256), (128,), ()):
        run.results["crypto_perf"] |= rivals.crypto_perf(bits, figures.PAYLOAD_SIZES, run.pick(5_000_000, 500_000, 0))


def gateway(run):
    """Our gateway and its rivals in rounds, so that a slow minute affects all alike."""
    results = run.results
    sizes = run.pick(figures.ALL_SIZES, (64, 1400), ())
    seconds = run.pick(3, 2, 0)
    for name in ("testpmd_io", "testpmd_one_way", "secgw"):
        results[name] = {}
    taken = {name: {} for name in ("testpmd_io", "testpmd_one_way", "secgw")}
    found = {}
    # All but those with a colon, the many groups: these take long to set up and run separately.
    pattern = run.pick("^gateway/[^:]*$", "^gateway/[^:]*/(64|1400|imix)/manual",
                       "^gateway/[^:]*/(64|imix)(/[a-z_]*)?/manual|groups:100/")
    with tempfile.TemporaryDirectory(prefix="sealcast-bench-") as name:
        folder = pathlib.Path(name)
        secgw_missing = None
        for turn in range(run.pick(3, 1, 1)):
            figures.merge(found, run.benchmark("gateway_bench", pattern, run.pick(0.1, 0.02, 0.001), run.pick(3, 3, 1)))
            for size in sizes:
                take = lambda kind, rate: taken[kind].setdefault(str(size), []).append(rate)
                take("testpmd_io", rivals.testpmd(folder, size, seconds, False))
                if turn == 0:
                    take("testpmd_one_way", rivals.testpmd(folder, size, seconds, True))
                if size in figures.FRAME_SIZES and not secgw_missing:
                    try:
                        take("secgw", rivals.secgw(folder, run.out, size, seconds))
                    except rivals.Unavailable as why:
                        secgw_missing = f"ipsec-secgw: {why}"
                        run.missing(secgw_missing)
    if not run.smoke:
        figures.merge(found, run.benchmark("gateway_bench", run.pick("groups:", "groups:(1|100)/", ""),
                                           run.pick(0.2, 0.02, 0), run.pick(7, 3, 0)))
        results["commands"]["testpmd_io"] = shlex.join(rivals.testpmd_argv(64, False, "frames-64.pcap"))
        results["commands"]["secgw"] = shlex.join(rivals.secgw_argv("ipsec-secgw", "secgw.pcap", "secgw.cfg"))
    results["gateway"] = figures.medians(found)
    for kind, by_size in taken.items():
        results[kind] = {size: sorted(rates)[len(rates) // 2] for size, rates in by_size.items()}
    stages = run.benchmark("gateway_bench", "^stages/", run.pick(1, 0.1, 0.001), run.pick(3, 1, 1))
    results["stages"] = figures.medians(stages)


def latency(run):
    samples = run.pick(1 << 20, 1 << 20, 1 << 12)
    found = run.benchmark("gateway_bench", "^latency/", 1, run.pick(3, 1, 1), f"--latency_samples={samples}")
    run.results["latency"] = figures.medians(found)


def virtio(run):
    sizes = run.pick((64, 1400), (64, 1400), (64,))
    rounds = run.pick(2, 1, 1)
    seconds = run.pick(4, 2, 0.3)
    pairs = {str(size): [] for size in sizes}
    taken = {"testpmd_io": {str(size): [] for size in sizes}, "testpmd_txonly": {str(size): [] for size in sizes}}
    with tempfile.TemporaryDirectory(prefix="sealcast-bench-") as name:
        folder = pathlib.Path(name)
        for _ in range(rounds):
            for size in sizes:
                with rivals.GatewayPair(run.binaries / "virtio_gateway", folder, size) as pair:
                    pair.wait_for_traffic(lambda line: json.loads(line)["opened"] > 1000)
                    time.sleep(run.pick(1, 0.5, 0))
                    before = tuple(map(json.loads, pair.ask()))
                    time.sleep(seconds)
                    after = tuple(map(json.loads, pair.ask()))
                pairs[str(size)].append(figures.pair_rate(before, after))
                if run.smoke:
                    continue
                for kind, mode in (("testpmd_io", "io"), ("testpmd_txonly", "txonly")):
                    taken[kind][str(size)].append(rivals.testpmd_pair(folder, size, seconds, mode))
    middle = lambda values, key=None: sorted(values, key=key)[(len(values) - 1) // 2]
    run.results["virtio"] = {"gateway": {size: middle(rates, lambda rate: rate["pps"]) for size, rates in pairs.items()}}
    if not run.smoke:
        run.results["virtio"] |= {kind: {size: middle(rates) for size, rates in by_size.items()}
                                  for kind, by_size in taken.items()}


def handshake(run):
    found = run.benchmark("handshake_bench", run.pick(".", ".", "variant2/ecdsa"), run.pick(0.1, 0.05, 0.01),
                          run.pick(15, 1, 1))
    run.results["handshake"] = figures.medians(found)


def machine():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", info)
    bogomips = re.search(r"bogomips\s*: ([\d.]+)", info)  # twice the time-stamp counter's rate
    return {"model": model.group(1) if model else platform.machine(), "cpus": os.cpu_count(),
            "tsc_mhz": round(float(bogomips.group(1)) / 2) if bogomips else 0, "kernel": platform.release()}


def measure(arguments):
    run = Run(arguments.binaries, arguments.out, arguments.mode)
    load = os.getloadavg()[0]
    if load > 0.5 and not run.smoke:
        print(f"bench: the load average is {load:.2f}: something else works on this machine, or did a minute ago. Figures are "
              "only worth quoting on an idle one.", file=sys.stderr)
    run.results |= {"machine": machine(), "when": datetime.datetime.now().strftime("%Y-%m-%d %H:%M"), "load_before": load,
                    "quick": not run.full}
    for part in PARTS:
        if part in arguments.only:
            started = time.monotonic()
            globals()[part](run)
            print(f"bench: {part}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    (arguments.out / "results.json").write_text(json.dumps(run.results, indent=1, sort_keys=True) + "\n")
    return run.results


def parts_named(text):
    chosen = text.split(",")
    for part in chosen:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(PARTS)}, got '{part}'")
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", type=pathlib.Path, default=pathlib.Path("build/release/bench"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("build/bench"))
    parser.add_argument("--only", type=parts_named, default=list(PARTS), metavar=",".join(PARTS))
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--quick", dest="mode", action="store_const", const="quick", default="full")
    length.add_argument("--smoke", dest="mode", action="store_const", const="smoke")
    parser.add_argument("--from", dest="source", type=pathlib.Path, help="report these results again, measure nothing")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--publish", type=pathlib.Path, help="also put the plot here")
    arguments = parser.parse_args()

    # So that our child processes end with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = json.loads(arguments.source.read_text()) if arguments.source else measure(arguments)
    if arguments.mode == "smoke":
        return
    picture = arguments.out / "performance.png"
    drawn = report.plot(results, picture)
    if arguments.markdown:
        print(report.as_markdown(results, arguments.binaries))
    else:
        print(report.as_text(results, arguments.binaries))
    print(f"results: {arguments.source or arguments.out / 'results.json'}", file=sys.stderr)
    if not drawn:
        print("bench: no plot: nothing to draw, or python3-matplotlib is missing", file=sys.stderr)
    elif arguments.publish:
        arguments.publish.write_bytes(picture.read_bytes())
        print(f"plot: {arguments.publish}", file=sys.stderr)
    else:
        print(f"plot: {picture}", file=sys.stderr)


if __name__ == "__main__":
    main()
