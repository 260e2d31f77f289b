"""The programs that our figures are compared with: dpdk-testpmd, dpdk-test-crypto-perf and DPDK's ipsec-secgw
example."""
import os
import pathlib
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import time

IMIX = [64] * 7 + [594] * 4 + [1514]
SECGW_SOURCE = pathlib.Path("/usr/share/dpdk/examples/ipsec-secgw")
_EAL = ["--in-memory", "--no-pci", "--no-telemetry", "--log-level=3"]


class Unavailable(Exception):
    """A rival that this machine does not have; the report says why instead of a figure."""


def cores():
    """Two CPUs we may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        raise SystemExit("bench: expected two usable CPUs, one for main threads and one that works")
    return allowed[0], allowed[-1]


def say(argv):
    print("running " + " ".join(map(str, argv)), file=sys.stderr, flush=True)


def end(process, patience=10):
    """Ends a process that we started: with SIGTERM, then with SIGKILL."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def run_until(argv, rates, wanted, log, others=()):
    """Runs a program that prints a rate every second without end, until it has printed so many; returns the rates.
    others: processes that must outlive it."""
    say(argv)
    patience = time.monotonic() + wanted + 30
    with open(log, "wb") as output:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            while len(found := rates(log.read_text(errors="replace"))) < wanted:
                if time.monotonic() > patience or any(p.poll() is not None for p in (process, *others)):
                    break
                time.sleep(0.1)
        finally:
            end(process)
    if not found:
        raise SystemExit(f"bench: {argv[0]} gave no rate; its output ends:\n{log.read_text(errors='replace')[-2000:]}")
    return found


def frame(size, number, destination):
    """A plain UDP frame; the destination decides whether it is multicast."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, size - 14, number & 0xFFFF, 0, 64, 17, 0, bytes([192, 168, 105, 10]),
                       bytes(destination))
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", 0xFFFF - total) + head[12:]
    multicast = destination[0] >> 4 == 14
    to = bytes([1, 0, 0x5E, destination[1] & 0x7F, *destination[2:]]) if multicast else bytes.fromhex("020000000002")
    made = to + bytes.fromhex("0200000000010800") + head + struct.pack(">HHHH", 5000, 5000, size - 34, 0)
    return made.ljust(size, b"\0")


def write_frames(path, size, destination=(239, 1, 1, 1), count=512):
    """A pcap for a port to send for ever: equal frames, or the mix."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for number in range(count):
            # 5 and 12 have no common divisor: the mix in an order without a run of any size
            length = IMIX[number * 5 % len(IMIX)] if size == "imix" else size
            file.write(struct.pack("<IIII", 0, 0, length, length) + frame(length, number, destination))


def testpmd_rates(text, ports):
    """Rx-pps of port 0 for every second but the first, its warm-up."""
    rates = [int(value) for value in re.findall(r"Rx-pps:\s+(\d+)", text)][0::ports]
    return [rate for rate in rates if rate][1:]


def testpmd_argv(size, one_way, frames):
    main, worker = cores()
    jumbo = ["--mbuf-size=9728"] if size == 9000 else []
    return ["dpdk-testpmd", "-l", f"{main},{worker}", *_EAL, "-m", "384", "--vdev",
            f"net_pcap0,rx_pcap={frames},infinite_rx=1", "--vdev", "net_null0" + (",no-rx=1" if one_way else ""), "--",
            "--forward-mode=io", "--nb-cores=1", "--total-num-mbufs=16384", "--stats-period=1", "--no-flush-rx", *jumbo]


def testpmd(folder, size, seconds, one_way):
    """io forwarding, pcap (infinite) → null: packets a second of the pcap port. Not one_way: null → pcap at the same
    time, which takes half of the core and is not counted."""
    frames = folder / f"frames-{size}.pcap"
    write_frames(frames, size)
    rates = run_until(testpmd_argv(size, one_way, frames), lambda text: testpmd_rates(text, 2), seconds,
                      folder / "testpmd.log")
    frames.unlink()
    return statistics.median(rates)


def testpmd_pair_argv(folder, size, mode):
    """Two processes over one vhost-user ↔ virtio-user pair: (the receiving one, the sending one)."""
    first, second = cores()
    socket = folder / "testpmd.sock"
    more = ["--single-file-segments", "-m", "256"]
    tail = ["--nb-cores=1", "--total-num-mbufs=16384", "--stats-period=1", "--no-flush-rx", "--rxd=1024", "--txd=1024"]

    def argv(cpu, devices, forward):
        vdevs = [word for device in devices for word in ("--vdev", device)]
        return ["dpdk-testpmd", f"--lcores=0@{cpu},1@{cpu}", *_EAL, *more, *vdevs, "--", *forward, *tail]

    vhost = f"net_vhost0,iface={socket},client=1"
    virtio = f"net_virtio_user0,path={socket},server=1,queue_size=1024"
    if mode == "io":
        source = f"net_pcap0,rx_pcap={folder / 'pair.pcap'},infinite_rx=1"
        return (argv(second, [vhost, "net_null0,no-rx=1"], ["--forward-mode=io"]),
                argv(first, [source, virtio], ["--forward-mode=io"]))
    return (argv(second, [vhost], ["--forward-mode=rxonly"]),
            argv(first, [virtio], ["--forward-mode=txonly", f"--txpkts={size}"]))


def testpmd_pair(folder, size, seconds, mode):
    """Packets a second that arrive at the second process. mode: io (pcap → virtio-user, vhost → null), or txonly (frames
    from nowhere, received and freed)."""
    write_frames(folder / "pair.pcap", size)
    receiver_argv, sender_argv = testpmd_pair_argv(folder, size, mode)
    say(sender_argv)
    with open(folder / "sender.log", "wb") as output:
        sender = subprocess.Popen(sender_argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            rates = run_until(receiver_argv, lambda text: testpmd_rates(text, 2 if mode == "io" else 1), seconds,
                              folder / "receiver.log", [sender])
        finally:
            end(sender)
    (folder / "testpmd.sock").unlink(missing_ok=True)
    return statistics.median(rates)


def crypto_perf_argv(key_bits, operation, sizes, operations):
    main, worker = cores()
    return ["dpdk-test-crypto-perf", "-l", f"{main},{worker}", *_EAL, "-m", "256", "--vdev", "crypto_aesni_gcm0", "--",
            "--ptest", "throughput", "--devtype", "crypto_aesni_gcm", "--optype", "aead", "--aead-algo", "aes-gcm",
            "--aead-op", operation, "--aead-key-sz", str(key_bits // 8), "--aead-iv-sz", "12", "--aead-aad-sz", "8",
            "--digest-sz", "16", "--buffer-sz", ",".join(map(str, sizes)), "--burst-sz", "32", "--total-ops",
            str(operations), "--silent", "--csv-friendly"]


def crypto_perf_rows(text):
    """Payload bytes → figures, from its CSV."""
    rows = [line.split(",") for line in text.splitlines()]
    return {int(row[1]): {"gbps": float(row[8]), "ticks": float(row[9])}
            for row in rows if len(row) == 10 and row[0].isdigit()}


def crypto_perf(key_bits, sizes, operations):
    """dpdk-test-crypto-perf with the aesni_gcm driver: "seal/aes128/64" → figures."""
    results = {}
    for verb, operation in (("seal", "encrypt"), ("open", "decrypt")):
        argv = crypto_perf_argv(key_bits, operation, sizes, operations)
        say(argv)
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        rows = crypto_perf_rows(done.stdout)
        if not rows:
            raise SystemExit(f"bench: dpdk-test-crypto-perf gave no figures; its output ends:\n{done.stdout[-2000:]}")
        results |= {f"{verb}/aes{key_bits}/{size}": figures for size, figures in rows.items()}
    return results


def build_secgw(folder):
    """DPDK's example from Debian's dpdk-doc, built as its Makefile does. One line differs: the example insists on
    receive checksum offload, which a pcap port does not have."""
    if not SECGW_SOURCE.is_dir():
        raise Unavailable(f"{SECGW_SOURCE} is missing (Debian package dpdk-doc)")
    program = folder / "ipsec-secgw"
    if program.exists():
        return program
    source = folder / "ipsec-secgw.src"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(SECGW_SOURCE, source)
    main = source / "ipsec-secgw.c"
    main.write_text(main.read_text().replace(".offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM,", ".offloads = 0,"))
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libdpdk"], text=True, stdout=subprocess.PIPE,
                           check=True).stdout.split()
    argv = ["cc", "-O3", "-w", "-DALLOW_EXPERIMENTAL_API", *map(str, sorted(source.glob("*.c"))), "-o", str(program),
            *flags]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    shutil.rmtree(source)
    if done.returncode != 0:
        raise Unavailable(f"the example does not build: {done.stdout.strip().splitlines()[-1]}")
    return program


_SECGW_KEY = ":".join(["de", "ad", "be", "ef"] * 5)
_SECGW_CONFIG = f"""\
sp ipv4 out esp protect 5 pri 1 dst 192.168.115.0/24 sport 0:65535 dport 0:65535
sp ipv4 in esp protect 105 pri 1 dst 192.168.116.0/24 sport 0:65535 dport 0:65535
sa out 5 aead_algo aes-128-gcm aead_key {_SECGW_KEY} mode ipv4-tunnel src 172.16.1.5 dst 172.16.2.5
sa in 105 aead_algo aes-128-gcm aead_key {_SECGW_KEY} mode ipv4-tunnel src 172.16.2.5 dst 172.16.1.5
rt ipv4 dst 172.16.2.5/32 port 1
rt ipv4 dst 192.168.116.0/24 port 0
neigh port 1 02:00:00:00:00:09
neigh port 0 02:00:00:00:00:08
"""


def secgw_argv(program, frames, config):
    worker = cores()[1]
    return [str(program), f"--lcores={worker}@{worker}", *_EAL, "-m", "256", "--vdev",
            f"net_pcap0,rx_pcap={frames},infinite_rx=1", "--vdev", "net_null0,no-rx=1", "--vdev", "crypto_aesni_gcm0",
            "--", "-p", "0x3", "-P", "-u", "0x2", "--config", f"(0,0,{worker}),(1,0,{worker})", "-f", str(config), "-l",
            "-t", "1"]


def secgw_rates(text):
    """Packets sent in each second but the first, from its running totals."""
    totals = [int(value) for value in re.findall(r"Total packets sent:\s+(\d+)", text)]
    return [after - before for before, after in zip(totals[1:], totals[2:])]


def secgw(folder, build_folder, size, seconds):
    """ipsec-secgw, outbound, AES-128-GCM in tunnel mode, pcap (infinite) → null on one core: packets a second sent."""
    program = build_secgw(build_folder.resolve())
    frames, config = folder / "secgw.pcap", folder / "secgw.cfg"
    write_frames(frames, size, (192, 168, 115, 10))
    config.write_text(_SECGW_CONFIG)
    return statistics.median(run_until(secgw_argv(program, frames, config), secgw_rates, seconds, folder / "secgw.log"))


class GatewayPair:
    """Two of our gateways over one vhost-user ↔ virtio-user pair, each on a CPU of its own."""

    def __init__(self, program, folder, size):
        first, second = cores()
        socket = folder / "gateways.sock"
        self.socket = socket
        self.argv = ([str(program), "seal", str(socket), str(first), str(size), str(folder)],
                     [str(program), "open", str(socket), str(second)])
        self.processes = []

    def __enter__(self):
        try:
            for argv in self.argv:
                say(argv)
                self.processes.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for process in self.processes:
                if process.stdout.readline().strip() != "READY":
                    raise SystemExit(f"bench: {process.args[0]} {process.args[1]} did not start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            try:
                process.stdin.close()  # both end when their input does
                process.wait(10)
            except (OSError, subprocess.TimeoutExpired):
                pass
            end(process)
            process.stdout.close()
        self.socket.unlink(missing_ok=True)

    def ask(self):
        """Both processes' statistics, as text: (sealing, opening)."""
        for process in self.processes:
            process.stdin.write("stats\n")
            process.stdin.flush()
        return tuple(process.stdout.readline() for process in self.processes)

    def wait_for_traffic(self, opened, patience=15):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if opened(self.ask()[1]):
                return
            time.sleep(0.05)
        raise SystemExit(f"bench: nothing crossed between the two gateways in {patience} s")
