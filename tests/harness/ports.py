"""Ports that a server keeps while it is down."""

import random
import socket

_held: list[socket.socket] = []


def lasting_port(ports: range) -> int:
    """A port that nothing else takes while a server is down for a moment, neither here nor in another run beside it.

    The same number's UDP port stands for it, and is held as long as this process lives.
    """
    for port in random.sample(ports, len(ports)):
        hold = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            hold.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            hold.close()
            continue
        _held.append(hold)
        return port
    raise AssertionError("every port is taken")
