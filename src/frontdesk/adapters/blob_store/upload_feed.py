"""Pieces of one upload handed to a vendor's client, which takes them when it has room."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

from frontdesk.errors import StorageUnavailableError

_GIVE_UP_SECONDS = 10.0


class _GivenUpError(Exception):
    """Raised where the client reads: it then throws away what it has sent."""


class UploadFeed:
    """`store` is given the pieces and returns when all of them are stored; what it raises is raised here.

    Two pieces wait at most. Whoever begins a feed ends it, with `end` or with `give_up`.
    """

    def __init__(self, store: Callable[[AsyncIterator[bytes]], Awaitable[object]]) -> None:
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = asyncio.Event()
        self._is_whole = self._is_given_up = False
        self._storing = asyncio.ensure_future(store(self._taken()))
        self._storing.add_done_callback(lambda _: self._room.set())

    async def send(self, piece: bytes) -> None:
        """Returns when there is room for another."""
        self._pieces.put_nowait(piece)
        self._room.clear()
        if not self._storing.done():
            await self._room.wait()
        if self._storing.done():
            await self._storing
            raise StorageUnavailableError

    async def end(self) -> None:
        """All has come; returns when it is stored."""
        self._is_whole = True
        self._pieces.put_nowait(b"")
        try:
            await asyncio.shield(self._storing)
        except asyncio.CancelledError:
            await self.give_up()
            raise

    async def give_up(self) -> None:
        """Returns when what was sent is thrown away, or when that takes too long."""
        self._is_given_up = True
        self._pieces.put_nowait(b"")
        with suppress(Exception):
            await asyncio.wait_for(self._storing, _GIVE_UP_SECONDS)

    async def _taken(self) -> AsyncIterator[bytes]:
        while True:
            piece = await self._pieces.get()
            self._room.set()
            if self._is_given_up:
                raise _GivenUpError
            if not piece:
                return
            yield piece
