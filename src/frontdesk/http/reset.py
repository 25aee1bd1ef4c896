"""Ends a connection at once: what waits to be sent is thrown away, by this process and by its machine."""

import asyncio
import socket
import struct

_AT_ONCE = struct.pack("ii", 1, 0)


def reset(transport: asyncio.Transport) -> None:
    """An `abort` alone lets the machine go on sending what it holds for a peer that reads slowly: megabytes."""
    if not transport.is_closing():
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
