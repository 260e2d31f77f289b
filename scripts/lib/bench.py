"""Runs the benchmarks and their rivals one after another and prints one table of each kind; JSON beside it."""
import argparse
import json
import os
import pathlib
import platform
import re
import struct
import subprocess
import sys

FRAME_SIZES = (64, 256, 512, 1024, 1400)
PAYLOAD_SIZES = (64, 128, 256, 512, 1024, 1400, 4096, 8192)
_EAL = ["--in-memory", "--no-pci", "-m", "256", "--no-telemetry", "--log-level=3"]


def cores():
    """Two CPUs we may use: one for the rival's idle main thread, one that works."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("bench: expected two usable CPUs, one for each rival's main thread and one that works")
    return allowed[0], allowed[1]


def benchmark(binary, out, extra):
    """One Google Benchmark program; returns name → its entry (the median where it was repeated)."""
    if not binary.exists():
        raise SystemExit(f"bench: {binary} is missing; build the release preset first")
    print(f"running {binary.name}", file=sys.stderr, flush=True)
    subprocess.run([binary, f"--benchmark_out={out}", "--benchmark_out_format=json", *extra], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    entries = {}
    for entry in json.loads(out.read_text())["benchmarks"]:
        if entry.get("error_occurred"):
            raise SystemExit(f"bench: {entry['name']}: {entry['error_message']}")
        if entry.get("aggregate_name", "median") == "median":
            entries[re.sub(r"(/process_time|/real_time|/iterations:\d+|/min_time:[\d.]+|/repeats:\d+|_median)", "",
                           entry["name"])] = entry
    return entries


def write_frames(path, size, count=512):
    """A pcap of equal multicast UDP frames for testpmd to send for ever."""
    length = size - 14
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(count):
            head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, number, 0, 1, 17, 0, bytes([10, 1, 0, 1]),
                               bytes([239, 1, 1, 1]))
            total = sum(struct.unpack(">10H", head))
            total = (total & 0xFFFF) + (total >> 16)
            head = head[:10] + struct.pack(">H", 0xFFFF - total) + head[12:]
            frame = bytes.fromhex("01005e010101 020000000001 0800") + head
            frame += struct.pack(">HHHH", 5000, 5000, length - 20, 0)
            file.write(struct.pack("<IIII", 0, 0, size, size) + frame.ljust(size, b"\0"))


def testpmd(folder, size, seconds, one_way):
    """dpdk-testpmd io forwarding, pcap (infinite) → null, packets per second of the pcap port."""
    frames = folder / f"frames-{size}.pcap"
    write_frames(frames, size)
    main, worker = cores()
    argv = ["dpdk-testpmd", "-l", f"{main},{worker}", *_EAL, "--vdev", f"net_pcap0,rx_pcap={frames},infinite_rx=1",
            "--vdev", "net_null0" + (",no-rx=1" if one_way else ""), "--", "--forward-mode=io", "--nb-cores=1",
            "--total-num-mbufs=16384", "--stats-period=1", "--no-flush-rx"]
    print(f"running {' '.join(map(str, argv))}", file=sys.stderr, flush=True)
    text = subprocess.run(["timeout", "-s", "INT", str(seconds + 2), *argv], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
    frames.unlink()
    # Port 0 and port 1 alternate; the first second is warm-up.
    rates = [int(value) for value in re.findall(r"Rx-pps:\s+(\d+)", text)][0::2][1:]
    rates = sorted(rate for rate in rates if rate)
    if not rates:
        raise SystemExit(f"bench: dpdk-testpmd gave no rate; its output ends:\n{text[-2000:]}")
    return rates[len(rates) // 2]


def crypto_perf(key_bits, operations):
    """dpdk-test-crypto-perf with the aesni_gcm driver: payload bytes → (Gbit/s, cycles a packet), seal and open."""
    main, worker = cores()
    results = {}
    for verb, operation in (("seal", "encrypt"), ("open", "decrypt")):
        argv = ["dpdk-test-crypto-perf", "-l", f"{main},{worker}", *_EAL, "--vdev", "crypto_aesni_gcm0", "--",
                "--ptest", "throughput", "--devtype", "crypto_aesni_gcm", "--optype", "aead", "--aead-algo", "aes-gcm",
                "--aead-op", operation, "--aead-key-sz", str(key_bits // 8), "--aead-iv-sz", "12", "--aead-aad-sz", "8",
                "--digest-sz", "16", "--buffer-sz", ",".join(map(str, PAYLOAD_SIZES)), "--burst-sz", "32",
                "--total-ops", str(operations), "--silent", "--csv-friendly"]
        print(f"running {' '.join(argv)}", file=sys.stderr, flush=True)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        for line in done.stdout.splitlines():
            row = line.split(",")
            if len(row) == 10 and row[0].isdigit():
                results[verb, int(row[1])] = {"gbit_per_second": float(row[8]), "cycles_per_packet": float(row[9])}
        if not any(key[0] == verb for key in results):
            raise SystemExit(f"bench: dpdk-test-crypto-perf gave no figures; its output ends:\n{done.stdout[-2000:]}")
    return results


def table(title, head, rows):
    widths = [max(len(str(cell)) for cell in column) for column in zip(head, *rows)]
    print(f"\n{title}")
    for row in [head, *rows]:
        print("  " + "  ".join(str(cell).rjust(width) for cell, width in zip(row, widths)))


def print_aead(entries, rivals):
    engines = sorted({name.split("/")[1] for name in entries})
    for bits, rival in rivals.items():
        for verb in ("seal", "open"):
            rows = []
            for size in PAYLOAD_SIZES:
                cells = [entries.get(f"{verb}/{engine}/aes{bits}/{size}") for engine in engines]
                rows.append([size] + [f"{cell['cycles_per_packet']:.0f}" if cell else "-" for cell in cells]
                            + [f"{rival[verb, size]['cycles_per_packet']:.0f}" if (verb, size) in rival else "-"])
            table(f"AES-{bits}-GCM, {verb}, cycles a packet (time-stamp counter), bursts of 32 under one key",
                  ["payload bytes", *engines, "dpdk-test-crypto-perf aesni_gcm"], rows)


def print_gateway(entries, both_ways, one_way):
    rows = []
    for size in FRAME_SIZES:
        row = [size]
        for verb in ("seal", "open", "forward"):
            entry = entries.get(f"gateway/{verb}/aes128/{size}")
            row += [f"{entry['pps'] / 1e6:.2f}", f"{entry['pps'] / both_ways[size]:.2f}"] if entry else ["-", "-"]
        rows.append(row + [f"{both_ways[size] / 1e6:.1f}", f"{one_way[size] / 1e6:.1f}"])
    table("gateway, AES-128, one core, pcap (infinite) to null, million packets a second; x = ratio to testpmd io",
          ["frame bytes", "seal", "x", "open", "x", "forward", "x", "testpmd io", "testpmd io one way"], rows)


def print_handshake(entries):
    """Joins a second of each flow, in process and over TCP, and their ratio to OpenSSL's with the same kind of key."""
    rates = {name: entry["joins/s"] for name, entry in entries.items()}

    def cells(name, prefix):
        rate = rates.get(prefix + name)
        rival = rates.get(f"{prefix}openssl_mutual/{name.rsplit('/', 1)[1]}")
        if rate is None:
            return ["-", "-"]
        whole = rival and not name.startswith("server_only")  # half a handshake is no match for a whole one
        return [f"{rate:.0f}", f"{rate / rival:.2f}" if whole else "-"]

    names = [name.removeprefix("handshake/") for name in rates if not name.startswith("handshake/tcp/")]
    table("handshake, both ends on one core", ["flow", "joins a second", "/ OpenSSL", "over TCP", "/ OpenSSL"],
          [[name, *cells(name, "handshake/"), *cells(name, "handshake/tcp/")] for name in sorted(names)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    seconds, operations = (2, 500_000) if arguments.quick else (5, 10_000_000)
    extra = ["--benchmark_min_time=0.05"] if arguments.quick else ["--benchmark_repetitions=3"]

    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"bench: the load average is {load:.2f}; figures are only worth quoting on an idle machine", file=sys.stderr)
    aead = benchmark(arguments.binaries / "aead_bench", out / "aead.json", extra)
    rivals = {bits: crypto_perf(bits, operations) for bits in (128, 256)}
    gateway = benchmark(arguments.binaries / "gateway_bench", out / "gateway.json", extra)
    both_ways = {size: testpmd(out, size, seconds, False) for size in FRAME_SIZES}
    one_way = {size: testpmd(out, size, seconds, True) for size in FRAME_SIZES}
    # In turns: one after another, a minute in which the machine was slower would pass for a slower handshake.
    turns = [] if arguments.quick else ["--benchmark_repetitions=15", "--benchmark_min_time=0.1"]
    handshake = benchmark(arguments.binaries / "handshake_bench", out / "handshake.json",
                          [*(turns or extra), "--benchmark_enable_random_interleaving=true"])

    (out / "rivals.json").write_text(json.dumps({
        "testpmd_io_pps": both_ways, "testpmd_io_one_way_pps": one_way, "load_before": load,
        "crypto_perf": {f"{verb}/aesni_gcm/aes{bits}/{size}": figures
                        for bits, rival in rivals.items() for (verb, size), figures in rival.items()}}, indent=1))
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    print(f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}")
    print_aead(aead, rivals)
    print_gateway(gateway, both_ways, one_way)
    print_handshake(handshake)
    print(f"\nJSON: {out}/")


if __name__ == "__main__":
    main()
