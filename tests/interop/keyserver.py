"""The real sealcast-keyserver at a port of its own, and its answer to standard peers: one alert, or one line of text
if they are allowed; never group state (P1, H4)."""
import json
import re
import socket
import ssl
import subprocess
import time

from case import ALERT, APPLICATION_DATA, HANDSHAKE, TIMEOUT, Failed, message_types, records
from peers import PEERS

ONE_HANDSHAKE_FAILURE = [(ALERT, b"\x02\x28")]


class KeyServer:
    """Groups "tv" (which member-a may join); `options` are further lines of its [keyserver] table."""

    def __init__(self, case, options=""):
        self.case = case
        self.log = case.path("keyserver.log")
        self.socket = case.path("keyserver.sock")
        with open(case.path("keyserver.toml"), "w") as file:
            file.write(f'''[keyserver]
id = "ks.example"
listen = "127.0.0.1:0"
certificate = "server-ecdsa.pem"
private_key = "server-ecdsa.key"
ca = "ca.pem"
state = "keyserver.db"
admin_socket = "{self.socket}"
spi_range = ["0x10000000", "0x1fffffff"]
{options}
[[keyserver.group]]
id = "tv"
selectors = [ {{ destination = "239.1.1.0/24" }} ]
senders = "*"
joins_per_minute = 60000
''')
        with open(self.log, "w") as log:
            self.child = subprocess.Popen([case.keyserver, "--config", case.path("keyserver.toml")],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        case.children.append(self.child)
        deadline = time.monotonic() + TIMEOUT
        while not (running := re.search(r"is running, port (\d+)", self.said())):
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise Failed("the key server does not run: " + self.said())
            time.sleep(0.01)
        self.port = int(running.group(1))

    def said(self):
        with open(self.log) as log:
            return log.read()

    def lines(self, event):
        return [line for line in self.said().splitlines() if f" {event} " in line]

    def status(self):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(TIMEOUT)
            admin.connect(self.socket)
            admin.sendall(b'{"command": "status"}\n')
            answer = b""
            while not answer.endswith(b"\n"):
                answer += admin.recv(65536)
        return json.loads(answer)

    def failures(self):
        """Failed handshakes by reason."""
        return self.status()["handshakes"]["failed"]

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.child.pid}/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmRSS:"))

    def until(self, condition, what, seconds=5):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Failed(f"waited {seconds} s for {what}; the key server said:\n{self.said()}")
            time.sleep(0.02)

    def never_gave_group_state(self):
        """No epoch was even begun, and no peer got its keys."""
        status = self.status()
        if status["members"] or status["groups"][0]["epochs"] or status["handshakes"]["completed"]:
            raise Failed(f"group state exists: {status}")
        if self.lines("key_sent") or self.lines("epoch_begun"):
            raise Failed("group state was given: " + self.said())

    def serves_a_member(self):
        """It not only runs: a member joins and gets its keys."""
        member = self.case.our_client(self.port)
        if member.returncode != 0 or "ESTABLISHED variant 2" not in member.stdout:
            raise Failed(f"a member cannot join: {member.stdout} {member.stderr}\n{self.said()}")


def refuses(case, peer):
    """H4: standard peers are not allowed by default; a real one gets one alert, and nothing of a group exists."""
    server = KeyServer(case)
    recorder = case.record(server.port)
    said = peer.end(peer.client(case, recorder.port, say=False), code=None)
    recorder.wait()
    if records(recorder.got) != ONE_HANDSHAKE_FAILURE:
        raise Failed(f"expected one alert handshake_failure, got {records(recorder.got)}")
    if not re.search(peer.refused_as, said):
        raise Failed(f"{peer.name} did not say why: {said}")
    if server.failures() != {"standard_client_refused": 1}:
        raise Failed(f"expected one standard_client_refused: {server.failures()}")
    server.never_gave_group_state()
    server.serves_a_member()


def answers(case, peer):
    """P1, H4: if allowed, a real standard client completes, and learns what this port is for."""
    server = KeyServer(case, "allow_standard = true")
    recorder = case.record(server.port)
    said = peer.converse(peer.client(case, recorder.port, say=False), "no group state is given")
    recorder.wait()
    if not re.search(r'Sealcast \d+\.\d+\.\d+ key server ks\.example: this port serves multicast groups', said):
        raise Failed(f"{peer.name} was not told where it is: {said}")
    if "tv" in said.split("Sealcast", 1)[1].split("\n")[0] or "239." in said:
        raise Failed("a stranger was told of a group: " + said)
    # On the wire: the standard server's flight, its Finished, one line of data, one alert (close_notify).
    if message_types(recorder.got) != [2, 11, 12, 14]:
        raise Failed(f"expected the standard server flight, these types were sent: {message_types(recorder.got)}")
    last = [kind for kind, _ in records(recorder.got)][-3:]
    if last != [HANDSHAKE, APPLICATION_DATA, ALERT]:
        raise Failed(f"expected Finished, one record of data and close_notify at the end, got {last}")
    if server.status()["handshakes"]["standard"] != 1 or len(server.lines("standard_client")) != 1:
        raise Failed("one standard client should be counted and logged: " + server.said())
    server.never_gave_group_state()
    server.serves_a_member()


def isakmp_port_refuses(case):
    """H4, P34: a port for ISAKMP messages has no standard flow, allowed or not: one alert for each client."""
    server = KeyServer(case, 'allow_standard = true\nlisten_isakmp = "127.0.0.1:0"')
    port = int(server.status()["listen_isakmp"].rpartition(":")[2])
    for count, peer in enumerate(PEERS.values(), 1):
        recorder = case.record(port)
        peer.end(peer.client(case, recorder.port, say=False), code=None)
        recorder.wait()
        if records(recorder.got) != [(ALERT, b"\x02\x0a")]:
            raise Failed(f"{peer.name}: expected one alert unexpected_message, got {records(recorder.got)}")
        if server.failures() != {"wrong_carriage": count}:
            raise Failed(f"expected {count} wrong_carriage: {server.failures()}")
    server.never_gave_group_state()
    server.serves_a_member()


def knocks(port, times):
    """Standard handshakes in a row; returns each one's answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    told = []
    for _ in range(times):
        try:
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as tcp, context.wrap_socket(tcp) as tls:
                told.append(tls.recv(4096).decode())
        except (ssl.SSLError, ConnectionError) as refused:
            told.append(str(refused))
    return told


def bounded_log(case, allow):
    """H13: a peer that connects again and again, allowed or not, is counted each time and logged a few times."""
    server = KeyServer(case, f"allow_standard = {'true' if allow else 'false'}")
    times, started = 300, time.monotonic()
    told = knocks(server.port, times)
    wanted = "no group state is given" if allow else "HANDSHAKE_FAILURE"
    if any(wanted not in text for text in told):
        raise Failed(f"expected '{wanted}' each time, got {sorted(set(told))}")
    counted = server.status()["handshakes"]["standard"] if allow else server.failures()["standard_client_refused"]
    if counted != times:
        raise Failed(f"{times} clients came, {counted} were counted")
    lines = server.lines("standard_client" if allow else "handshake_failed")
    most = 20 + (time.monotonic() - started) // 10 + 1  # at once, and one every ten seconds
    if not 20 <= len(lines) <= most:
        raise Failed(f"20 to {most} lines expected for {times} clients, got {len(lines)}")
    # Another kind of noise has its own lines, and a member's connection is no noise.
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        stranger.recv(64)
    server.until(lambda: "reason=not_tls" in server.said(), "the line of another kind")
    server.serves_a_member()
    if len(server.lines("member_joined")) != 1:
        raise Failed("the member's line is missing: " + server.said())
    # After a pause the next one is logged, and with it how many were not.
    server.until(lambda: knocks(server.port, 1) and "not_logged_before=" in server.said(), "what was held back", 15)
    held_back = sum(map(int, re.findall(r"not_logged_before=(\d+)", server.said())))
    if held_back < times - len(lines):
        raise Failed(f"{times - len(lines)} lines were held back, {held_back} are told of")


def cases():
    found = {
        "log_of_standard_clients_is_bounded": lambda c: bounded_log(c, True),
        "isakmp_port_refuses_standard_clients": isakmp_port_refuses,
        "log_of_refused_clients_is_bounded": lambda c: bounded_log(c, False),
    }
    for name, peer in PEERS.items():
        found[f"keyserver_refuses_{name}"] = lambda c, p=peer: refuses(c, p)
        found[f"keyserver_answers_{name}"] = lambda c, p=peer: answers(c, p)
    return found
