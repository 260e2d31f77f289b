"""One look at several gateways, for figures that can be compared with each other.

Counters go on while they are read. If the sender were asked before a receiver, the receiver could have opened
packets that the sender's figure lacks: more opened than sealed. So every receiver has answered before a sender is
asked, and a packet counts as sealed before it is sent: a receiver has never opened more than its senders have
sealed. Within either half all requests are sent before the first answer is read, so that the whole look takes about
a millisecond.
"""
import collections
import contextlib
import json
import socket

from lab.process import LabError

_ANSWER_SECONDS = 5

# statuses: name → status, in the order asked for; spread_s: from the first figure to the last, by the gateways' own
# clock, which is the machine's and hence the same for all.
Look = collections.namedtuple("Look", "statuses spread_s")


class AdminConnection:
    """A connection to a daemon's admin socket: the request and the answer, one by one."""

    def __init__(self, name, path):
        self._name = name
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER_SECONDS)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self.close()
            raise LabError(f"{name} does not serve its admin socket {path}: {error}") from None

    def close(self):
        self._socket.close()

    def ask(self):
        try:
            self._socket.sendall(b'{"command": "status"}\n')
        except OSError as error:
            raise LabError(f"{self._name} did not take the request for its status: {error}") from None

    def answer(self):
        try:
            with self._socket.makefile("rb") as lines:
                line = lines.readline()
        except OSError as error:
            raise LabError(f"{self._name} did not answer with its status: {error}") from None
        if not line.endswith(b"\n"):
            raise LabError(f"{self._name} closed its admin socket before it had answered")
        status = json.loads(line)
        if "error" in status:
            raise LabError(f"{self._name} refused to give its status: {status['error']}")
        return status


def look(receivers, senders, connect=AdminConnection):
    """receivers, senders: name → admin socket. Receivers are read first; see above."""
    with contextlib.ExitStack() as ending:
        halves = []
        for half in (receivers, senders):
            halves.append({name: ending.enter_context(contextlib.closing(connect(name, path)))
                           for name, path in half.items()})
        statuses = {}
        for half in halves:
            for connection in half.values():
                connection.ask()
            for name, connection in half.items():
                statuses[name] = connection.answer()
    times = [status["dataplane"]["taken_s"] for status in statuses.values()]
    return Look({name: statuses[name] for name in (*senders, *receivers)}, max(times) - min(times))
