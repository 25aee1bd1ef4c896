"""Ports that a server keeps while it is down."""

import random
import socket


def lasting_port(ports: range) -> int:
    """A port that nothing else takes while a server is down for a moment."""
    for port in random.sample(ports, len(ports)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port is taken")
