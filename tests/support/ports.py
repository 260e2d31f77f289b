"""Ports of loopback for servers that cannot choose a free one themselves."""
import random
import socket

_OURS = range(10240, 32768)  # below Linux's range for outgoing connections, so that none of these takes one


def free_port(kind=socket.SOCK_STREAM):
    """A free port. Another test that asks at the same moment gets another one, except once in thousands."""
    for port in random.SystemRandom().sample(_OURS, 100):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("none of 100 ports of loopback is free")
