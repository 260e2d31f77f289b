"""The ordinary programs on the red sides: ffmpeg, socat and the counting sender and receiver. None of them knows of
Sealcast."""
import hashlib
import json

from .process import LabError, Process, run, wait_until

GROUP = "239.1.1.1"
VIDEO_PORT = 5004
COUNT_PORT = 5005
_FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"


def video_sender(namespace, local, seconds, log):
    """ffmpeg: a moving test picture with a running clock and a beeping tone, as MPEG-TS over UDP multicast."""
    clock = (f"drawtext=fontfile={_FONT}:fontsize=40:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=12:"
             "x=(w-tw)/2:y=h-90:text='%{localtime\\:%H\\\\\\:%M\\\\\\:%S}  %{pts\\:hms}'")
    return Process("ffmpeg", [
        "ffmpeg", "-hide_banner", "-loglevel", "warning", "-nostdin", "-re",
        "-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=25:duration={seconds}",
        "-f", "lavfi", "-i", f"sine=frequency=440:beep_factor=4:sample_rate=48000:duration={seconds}",
        "-vf", clock, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
        "-g", "25", "-b:v", "2M", "-maxrate", "2M", "-bufsize", "1M", "-c:a", "aac", "-b:a", "96k",
        "-f", "mpegts", f"udp://{GROUP}:{VIDEO_PORT}?pkt_size=1316&ttl=1&localaddr={local}",
    ], log, namespace)


def stream_receiver(namespace, local, path, log):
    """socat: joins the group and writes the payload of every datagram to `path`, unchanged."""
    receiver = Process("socat", [
        "socat", "-u", "-b", "65536",
        f"UDP4-RECV:{VIDEO_PORT},bind={GROUP},reuseaddr,rcvbuf=4194304,ip-add-membership={GROUP}:{local}",
        f"OPEN:{path},creat,trunc,wronly",
    ], log, namespace)
    wait_until(lambda: joined(namespace, GROUP), 5, f"socat to join {GROUP} in {namespace}; its log is {log}")
    return receiver


def joined(namespace, group):
    return group in run(["ip", "maddress", "show"], namespace=namespace).stdout


def decode_frame(stream, png, at_seconds):
    """Decodes one picture of a transport stream into a PNG file."""
    run(["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", "-ss", at_seconds, "-i", stream,
         "-frames:v", "1", "-update", "1", png])


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Counting:
    """sealcast-traffic, one end. `result()` ends a receiver and returns its tally."""

    def __init__(self, binary, verb, namespace, local, log, port=COUNT_PORT, group=GROUP, **options):
        self._result = f"{log}.json"
        argv = [binary, "--group", group, "--port", port, "--local", local, verb]
        for key, value in options.items():
            argv += [f"--{key.replace('_', '-')}", value]
        self.process = Process(f"sealcast-traffic {verb}", argv, log, namespace, stdout=self._result)
        if verb == "receive":
            self.process.wait_for("receiving", 5)

    def wait(self, seconds):
        """Waits for the end (a sender's own, a receiver's silence); returns the tally."""
        self.process.wait(seconds)
        return self._read()

    def result(self):
        self.process.stop()
        return self._read()

    def _read(self):
        with open(self._result, encoding="ascii") as file:
            text = file.read()
        if not text:
            raise LabError(f"{self.process.name} gave no result: {self.process.tail()}")
        return json.loads(text)
