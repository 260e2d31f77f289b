"""Requests to admin sockets that never hold up the soak's loop for long."""
import contextlib
import json
import socket
import time

_waited = 0.0


def waited():
    """Seconds spent so far on daemons that did not answer in time."""
    return _waited


def ask(path, request, seconds=0.3):
    """One request to an admin socket; None if there is no answer in time."""
    global _waited
    started = time.monotonic()
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(seconds)
        client.connect(str(path))
        client.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(client.makefile().readline())
    _waited += time.monotonic() - started
    return None
