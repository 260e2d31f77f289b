"""The demo behind scripts/demo: a test picture multicast through two gateways, with a third one that has no key."""
import argparse
import fcntl
import os
import pathlib
import shutil
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from lab import capture, net, programs  # noqa: E402
from lab.process import LabError, run, wait_until  # noqa: E402
from lab.sealcast import KEYSERVER_PORT, Lab, Wire  # noqa: E402
import sampling  # noqa: E402
from live_table import LiveTable, drops, port  # noqa: E402

LOAD_RATE, LOAD_SIZE, LOAD_SECONDS = 10_000, 1316, 4


class Verdict:
    """Every check of the demo with its result; one miss fails the whole."""

    def __init__(self):
        self.missed = 0

    def check(self, ok, what):
        print(f"  {'ok  ' if ok else 'MISS'}  {what}", flush=True)
        self.missed += not ok


def stop_on_signals():
    """Turns SIGINT, SIGTERM and SIGHUP into an ordinary exit, so that everything is cleaned up; once is enough."""
    def leave(number, _):
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        print("\nstopping: removing processes, namespaces and sockets", flush=True)
        sys.exit(128 + number)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, leave)


def prepare_output(path):
    """An empty folder, ours alone while we run."""
    path.mkdir(parents=True, exist_ok=True)
    lock = open(path / ".lock", "w", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LabError(f"another demo is using {path}") from None
    for old in path.iterdir():
        if old.is_dir():
            shutil.rmtree(old)
        elif old.name != ".lock":
            old.unlink()
    return lock


class Demo:
    def __init__(self, lab, out, seconds, redraw):
        self.lab, self.out, self.seconds = lab, out, seconds
        self.verdict = Verdict()
        self.table = LiveTable(redraw)

    def build_network(self):
        print("making a certification authority, a key server's certificate and three members'")
        self.lab.make_pki(members={"studio": "tv", "home": "tv", "intruder": "radio"})
        print("making namespaces studio, home, intruder, a gateway's namespace for each, and a management network")
        self.studio, self.home, self.intruder = (self.lab.site(name) for name in ("studio", "home", "intruder"))
        keyserver = [f"{self.studio.management}:{KEYSERVER_PORT}"]
        self.studio.configure("sender", embedded=True, export_keys=True)
        self.home.configure("receiver", keyservers=keyserver)
        self.intruder.configure("receiver", keyservers=keyserver)
        self.wire = Wire(self.lab, [site.black_socket for site in self.lab.sites], pcap=self.out / "wire.pcap")
        for site in self.lab.sites:
            site.start()
        started = time.monotonic()
        wait_until(lambda: self.studio.ready() and self.home.ready() and self.intruder.linked(), 30,
                   f"both gateways to join group tv, and intruder's links to be up; their logs are in {self.out}")
        print(f"studio and home have joined group tv ({time.monotonic() - started:.1f} s after start-up); "
              "intruder asks, too, and is refused")

    def send_stream(self):
        """The video, and the same ordinary receiver in all three red networks (in studio it hears ffmpeg directly)."""
        receivers = [self.lab.adopt(programs.stream_receiver(site.red, site.address, self.out / f"{site.name}.ts",
                                                             self.out / f"{site.name}-receiver.log"))
                     for site in self.lab.sites]
        print(f"\nffmpeg in studio sends a test picture with clock and tone to udp://{programs.GROUP}:"
              f"{programs.VIDEO_PORT} for {self.seconds} s; socat in home receives it\n")
        sender = self.lab.adopt(programs.video_sender(self.studio.red, self.studio.address, self.seconds,
                                                      self.out / "ffmpeg.log"))
        started = time.monotonic()
        while sender.running():
            self.show_table(f"t = {time.monotonic() - started:4.0f} s   ")
            time.sleep(1)
        self.verdict_of_sender = sender.wait(1)
        self.established = self.control_connections()
        time.sleep(0.5)
        for receiver in receivers:
            receiver.stop()

    def look(self):
        """Every gateway's status, such that home never seems to have opened what studio has not sealed."""
        return sampling.look(receivers={site.name: site.admin_socket for site in (self.home, self.intruder)},
                             senders={self.studio.name: self.studio.admin_socket})

    def show_table(self, prefix):
        look = self.look()
        group = look.statuses["home"]["agent"]["groups"][0]
        self.table.show(f"{prefix}group tv, epoch {group['epoch']}, {group['remaining_s']:.0f} s of its life remain; "
                        f"all read within {look.spread_s * 1000:.1f} ms, studio last", look.statuses)

    def control_connections(self):
        """Established TCP connections from home's gateway to the key server, over the management network."""
        lines = run(["ss", "-Htn", "state", "established", "dport", "=", f":{KEYSERVER_PORT}"],
                    namespace=self.home.outside).stdout.splitlines()
        return [line.split()[-2:] for line in lines if line.strip()]

    def send_load(self):
        print(f"\n{LOAD_RATE} packets/s of {LOAD_SIZE} bytes for {LOAD_SECONDS} s through the same path")
        binary = self.lab.tool("sealcast-traffic")
        receiver = programs.Counting(binary, "receive", self.home.red, self.home.address,
                                     self.out / "load-receiver.log", quiet_ms=1500)
        self.lab.adopt(receiver.process)
        self.load_began = time.time()
        sender = programs.Counting(binary, "send", self.studio.red, self.studio.address, self.out / "load-sender.log",
                                   rate=LOAD_RATE, size=LOAD_SIZE, seconds=LOAD_SECONDS)
        self.lab.adopt(sender.process)
        self.load_sent = sender.wait(LOAD_SECONDS + 15)
        self.load_received = receiver.wait(10) if self.home.opened() else receiver.result()

    def judge(self):
        statuses = self.look().statuses
        self.lab.close()  # every capture is complete now
        print("\nverdict")
        self.judge_stream()
        stream = self.judge_wire()
        self.judge_figures(statuses["studio"]["dataplane"]["sealed"], statuses["home"]["dataplane"]["opened"])
        self.judge_intruder(statuses["intruder"])
        self.judge_load()
        self.judge_witness(stream)

    def judge_stream(self):
        sent, received = self.out / "studio.ts", self.out / "home.ts"
        digest = programs.sha256(sent)
        self.verdict.check(self.verdict_of_sender == 0 and sent.stat().st_size > 0,
                           f"ffmpeg sent {sent.stat().st_size} bytes of transport stream")
        self.verdict.check(programs.sha256(received) == digest,
                           f"home received {received.stat().st_size} bytes, SHA-256 sent = received: {digest}")
        self.verdict.check(any(local.startswith(self.home.management) and remote.startswith(self.studio.management)
                               for local, remote in self.established),
                           "the control connection ran over the management network: "
                           f"{', '.join(' to '.join(pair) for pair in self.established) or 'no connection found'}")
        png = self.out / "frame.png"
        try:
            programs.decode_frame(received, png, self.seconds // 2)
        except LabError as error:
            print(f"        {error}")
        self.verdict.check(png.exists() and png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n",
                           f"a picture decoded from the received stream: {self.shown(png)}")

    def judge_wire(self):
        """Reads the whole capture; leaves the stream's part as black.pcap and returns its summary."""
        whole, stream, kept = capture.Summary(), capture.Summary(), []
        for frame in capture.frames(self.wire.pcap):
            whole.add(frame)
            if frame.seconds < self.load_began:
                stream.add(frame)
                kept.append(frame)
        capture.write(self.out / "black.pcap", kept)
        self.wire.pcap.unlink()
        self.verdict.check(whole.esp and not whole.others,
                           f"on the wire: {len(whole.esp)} ESP, {whole.igmp} IGMP, {len(whole.others)} others"
                           + (f" ({'; '.join(sorted(set(whole.others))[:3])})" if whole.others else ""))
        self.verdict.check(whole.esp and not whole.repeated and not whole.bad_numbers,
                           f"no (SPI, IV) pair twice among {len(whole.esp)} ESP packets")
        self.esp_on_wire = len(whole.esp)
        return stream

    def judge_figures(self, sealed, opened):
        self.verdict.check(sealed == opened == self.esp_on_wire,
                           f"studio sealed {sealed} packets, home opened {opened} of them")

    def judge_intruder(self, status):
        group = status["agent"]["groups"][0]
        self.verdict.check(group["state"] != "joined" and group["failures"] > 0,
                           f"the key server refused intruder: {group['why']}")
        reached = port(status, "black")["rx_packets"]
        opened = status["dataplane"]["opened"]
        leaked = (self.out / "intruder.ts").stat().st_size
        reasons = ", ".join(f"{reason} {count}" for reason, count in drops(status).items())
        self.verdict.check(reached >= self.esp_on_wire > 0 and sum(drops(status).values()) >= self.esp_on_wire,
                           f"intruder's gateway received all {self.esp_on_wire} ESP packets and dropped them ({reasons})")
        self.verdict.check(opened == 0 and leaked == 0,
                           f"intruder's gateway opened {opened}, its red network saw {leaked} bytes")

    def judge_load(self):
        sent, received = self.load_sent["sent"], self.load_received["received"]
        wrong = {key: self.load_received[key] for key in ("corrupt", "duplicates", "reordered")}
        self.verdict.check(sent == LOAD_RATE * LOAD_SECONDS and received == sent and not any(wrong.values()),
                           f"load: {sent} sent in {self.load_sent['seconds']} s, {sent - received} lost, "
                           + ", ".join(f"{count} {key}" for key, count in wrong.items())
                           + f"; longest delay {self.load_received['longest_delay_ms']:.1f} ms")

    def judge_witness(self, stream):
        """tshark, given the key, must open every packet and find exactly the stream that was sent."""
        wanted = {f'"0x{spi:08x}"' for spi in stream.spis()}
        lines = [line for line in capture.sa_lines(self.studio.keys) if line.split(",")[3] in wanted]
        keys = self.out / "sa-keys.txt"
        with open(keys, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o600)
            file.writelines(line + "\n" for line in lines)
        pcap = self.out / "black.pcap"
        opened = capture.tshark_open(pcap, keys)
        good = sum(packet.icv_good for packet in opened)
        self.verdict.check(opened and good == len(opened) == len(stream.esp),
                           f"tshark opened {good} of {len(stream.esp)} ESP packets, every ICV checked")
        payload = b"".join(packet.payload for packet in opened if packet.udp_port == programs.VIDEO_PORT)
        self.verdict.check(payload == (self.out / "studio.ts").read_bytes(),
                           "what tshark finds inside is the transport stream, byte for byte")
        options = " ".join(f"-o \"uat:esp_sa:$(sed -n {number}p {self.shown(keys)})\""
                           for number in range(1, len(lines) + 1))
        print(f"\nlook for yourself, from the project's folder:\n  tshark -r {self.shown(pcap)} -o esp.enable_encryption_decode:TRUE \\\n"
              f"    -o esp.enable_authentication_check:TRUE {options}")

    def shown(self, path):
        path = pathlib.Path(path)
        return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binaries", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=15)
    parser.add_argument("--check", action="store_true", help="no live redraw; the exit code is the verdict either way")
    arguments = parser.parse_args()
    stop_on_signals()
    out = arguments.out.resolve()
    try:
        lock = prepare_output(out)
        net.remove_leftovers()
        with lock, Lab(out, arguments.binaries, checked=False) as lab:
            demo = Demo(lab, out, arguments.seconds, redraw=sys.stdout.isatty() and not arguments.check)
            demo.build_network()
            demo.send_stream()
            demo.send_load()
            demo.judge()
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    print(f"\n{'MISS: ' + str(demo.verdict.missed) + ' checks failed' if demo.verdict.missed else 'all checks ok'}")
    return 1 if demo.verdict.missed else 0


if __name__ == "__main__":
    sys.exit(main())
