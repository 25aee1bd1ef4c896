"""What comes to a store, gathered and held to its bound."""

from collections.abc import AsyncIterable, AsyncIterator

from frontdesk.errors import FileTooLargeError

PIECE_BYTES = 262_144


async def gathered(chunks: AsyncIterable[bytes], *, max_bytes: int) -> AsyncIterator[bytes]:
    """In pieces of `PIECE_BYTES` and a little more, but for the last: each costs its store a hop.

    Raises `FileTooLargeError` as soon as there are more than `max_bytes`.
    """
    held: list[bytes] = []
    total = size = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > max_bytes:
            raise FileTooLargeError(f"The file may have at most {max_bytes} bytes")
        held.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)
