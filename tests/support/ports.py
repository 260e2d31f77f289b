"""Ports of loopback for servers that cannot be told to take any free one."""
import random
import socket

_OURS = range(10240, 32768)  # below those that Linux gives to outgoing connections, which so never take one first


def free_port(kind=socket.SOCK_STREAM):
    """A port that nobody has. Another test that asks at the same moment gets another one, but for one in thousands."""
    for port in random.SystemRandom().sample(_OURS, 100):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("none of 100 ports of loopback is free")
