"""Shared by all cases: a folder with certificates, child processes that end with it, our own ends, and a recorder
between two ends."""
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

LINE = "hello from the witness"
OUR_LINE = "hello from sealcast"
TIMEOUT = 20  # seconds, for steps that should take less than one


class Failed(Exception):
    pass


class Case:
    def __init__(self, peer, keyserver=None, pki=None):
        self.peer = peer
        self.keyserver = keyserver
        self.dir = tempfile.mkdtemp(prefix="sealcast-interop-")
        self.children = []
        self.recorders = []
        os.umask(0o077)  # private keys
        if pki:
            for name in os.listdir(pki):
                shutil.copyfile(os.path.join(pki, name), self.path(name))
        else:
            subprocess.run([peer, "pki", self.dir], check=True, timeout=TIMEOUT)

    def path(self, name):
        return os.path.join(self.dir, name)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
        for recorder in self.recorders:
            recorder.close()
        shutil.rmtree(self.dir)

    def spawn(self, *command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=None):
        try:
            child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, text=True,
                                     errors="replace", env=env)
        except FileNotFoundError:
            raise Failed(f"expected the program {command[0]}, found none: run scripts/deps test") from None
        self.children.append(child)
        return child

    def run(self, *command):
        """A tool that must succeed; returns its output."""
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
        except FileNotFoundError:
            raise Failed(f"expected the program {command[0]}, found none: run scripts/deps test") from None
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}: {done.returncode}: {done.stdout} {done.stderr}")
        return done.stdout

    def finish(self, process, what, code=0):
        """Waits for the end; returns standard output and standard error."""
        try:
            out, err = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            raise Failed(f"{what} does not end") from None
        if code is not None and process.returncode != code:
            raise Failed(f"{what} ended with {process.returncode}: {out} {err}")
        return out, err or ""

    # ---- our side

    def our_server(self, mode, key, *options):
        server = self.spawn(self.peer, mode, self.dir, key, *options)
        return server, self.port_of(server, "our server")

    def our_client(self, port, *options):
        return subprocess.run([self.peer, "client", self.dir, str(port), *options], capture_output=True, text=True,
                              timeout=TIMEOUT)

    def port_of(self, server, what):
        line = server.stdout.readline()
        if not line.startswith("PORT "):
            raise Failed(f"{what} said: {line}{server.stdout.read()}{server.stderr.read() if server.stderr else ''}")
        return int(line.split()[1])

    def record(self, port):
        recorder = Recorder(port)
        self.recorders.append(recorder)
        return recorder

    # ---- foreign servers that cannot be given port 0

    def wait_for(self, port, child):
        """Waits until a process listens there; looked up in /proc, because a connection would be taken for the one
        to serve."""
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            if child.poll() is not None:
                raise Failed(f"the server ended: {child.stdout.read()} {child.stderr.read()}")
            for table in ("/proc/net/tcp", "/proc/net/tcp6"):
                with open(table) as rows:
                    for row in rows.readlines()[1:]:
                        if row.split()[1].endswith(f":{port:04X}") and row.split()[3] == "0A":
                            return
            time.sleep(0.02)
        raise Failed("the server does not listen")


class Recorder:
    """Forwards one connection on loopback and keeps its bytes: `sent` by the side that connected, `got` by it."""

    def __init__(self, port):
        self.sent, self.got = bytearray(), bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._target = port
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        try:
            inside, _ = self._listener.accept()
            outside = socket.create_connection(("127.0.0.1", self._target))
        except OSError:
            return
        back = threading.Thread(target=self._pump, args=(outside, inside, self.got), daemon=True)
        back.start()
        self._pump(inside, outside, self.sent)
        back.join(TIMEOUT)
        inside.close()
        outside.close()

    @staticmethod
    def _pump(source, sink, kept):
        try:
            while block := source.recv(65536):
                kept += block
                sink.sendall(block)
        except OSError:
            pass
        try:
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def wait(self):
        self._thread.join(TIMEOUT)
        if self._thread.is_alive():
            raise Failed("the connection does not end")

    def close(self):
        self._listener.close()


def records(stream):
    """The TLS records of a stream as (type, payload); an incomplete record ends the list as ("rest", bytes)."""
    found, stream = [], bytes(stream)
    while len(stream) >= 5:
        size = int.from_bytes(stream[3:5], "big")
        if len(stream) < 5 + size:
            break
        found.append((stream[0], stream[5:5 + size]))
        stream = stream[5 + size:]
    if stream:
        found.append(("rest", stream))
    return found


CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23


def message_types(stream):
    """The handshake types sent in clear, in order."""
    text = b""
    for kind, payload in records(stream):
        if kind == CHANGE_CIPHER_SPEC:
            break
        if kind == HANDSHAKE:
            text += payload
    types = []
    while len(text) >= 4:
        types.append(text[0])
        text = text[4 + int.from_bytes(text[1:4], "big"):]
    return types
