"""The process that holds Chroma, as the program sees it: started, asked one thing after another, started again."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Any

from frontdesk.adapters.vector_index.chroma_wire import HEAD, Call, Reply, decode_reply, frame
from frontdesk.errors import ConfigurationError, SearchIndexError, UnavailableError

ANSWER_SECONDS = 60.0
# Opening brings what was logged since the last time into the graphs: about a second for a thousand vectors.
OPEN_SECONDS = 600.0
STOP_SECONDS = 10.0
_PROGRAM = "frontdesk.adapters.vector_index.chroma_process"
# Ended from outside. Any other end is the library's own, over what it found.
_KILLS = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})


class ChromaLink:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._calls: set[asyncio.Task[Any]] = set()
        self.is_damaged = False
        """The store as a whole cannot be opened."""

    async def open(self) -> None:
        """Raises `ConfigurationError`. A store that is damaged is opened so far that it can be put aside."""
        async with self._turn:
            if self._process is None:
                await self._start()

    async def ask(self, name: str, /, **arguments: Any) -> Any:
        """Raises `SearchIndexError` and `UnavailableError`. A caller that leaves does not keep the call from being
        made.
        """
        call = asyncio.create_task(self._ask(name, arguments))
        self._calls.add(call)
        call.add_done_callback(self._forget)
        return await asyncio.shield(call)

    async def put_damaged_aside(self) -> None:
        async with self._turn:
            if self._process is None and not self.is_damaged:
                await self._start()
            if self.is_damaged:
                if self._process is None:
                    await self._launch()
                self._result(await self._exchange("put_aside", {}))
                self.is_damaged = False

    async def aclose(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls)
        async with self._turn:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
            await self._end(patience=STOP_SECONDS)

    async def _ask(self, name: str, arguments: dict[str, Any]) -> Any:
        async with self._turn:
            if self._process is None:
                await self._start()
            if self.is_damaged:
                raise SearchIndexError(f"{self._directory} (CHAT_CHROMA_PERSIST_DIRECTORY) is damaged")
            return self._result(await self._exchange(name, arguments))

    async def _launch(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _PROGRAM, self._directory, stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        try:
            await self._answered(self._process, ANSWER_SECONDS)
        except SearchIndexError as error:
            raise ConfigurationError("CHAT_VECTOR_INDEX: Chroma's process does not start") from error

    async def _start(self) -> None:
        await self._launch()
        try:
            reply = await self._exchange("open", {})
        except SearchIndexError:  # it ended over what it found
            self.is_damaged = True
            return
        if reply.failure == "configuration":
            await self._end(patience=0)
            raise ConfigurationError(self._complaint(reply.result))
        self.is_damaged = reply.failure == "broken"

    async def _exchange(self, name: str, arguments: dict[str, Any]) -> Reply:
        process = self._process
        if process is None or process.stdin is None:
            raise UnavailableError("The process of the search index is not there")
        with suppress(OSError):  # its end is told where its answer is awaited
            process.stdin.write(frame(Call(name, arguments)))
            await process.stdin.drain()
        return await self._answered(process, OPEN_SECONDS if name == "open" else ANSWER_SECONDS)

    async def _answered(self, process: Process, patience: float) -> Reply:
        if process.stdout is None:
            raise AssertionError
        try:
            async with asyncio.timeout(patience):
                length = int.from_bytes(await process.stdout.readexactly(HEAD), "big")
                return decode_reply(await process.stdout.readexactly(length))
        except TimeoutError as error:
            await self._end(patience=0)
            raise UnavailableError("The search index took too long") from error
        except (OSError, asyncio.IncompleteReadError) as error:
            code = await self._end(patience=STOP_SECONDS)
            if code in _KILLS:
                raise UnavailableError("The process of the search index was ended") from error
            raise SearchIndexError(f"The search index could not be read (exit status {code})") from error
        except BaseException:
            await self._end(patience=0)  # its answer would be taken for the next call's
            raise

    async def _end(self, *, patience: float) -> int:
        """How it ended by itself within `patience` (seconds), or that it was killed."""
        process, self._process = self._process, None
        if process is None:
            return 0
        try:
            async with asyncio.timeout(patience):
                return await process.wait()
        except TimeoutError:
            process.kill()
            return await process.wait()

    def _forget(self, call: asyncio.Task[Any]) -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # a caller that has left does not make it an unhandled one

    def _result(self, reply: Reply) -> Any:
        if reply.failure is None:
            return reply.result
        if reply.failure == "broken":
            raise SearchIndexError(f"The search index cannot be used ({reply.result})")
        raise UnavailableError(f"The search index cannot be written or read now ({reply.result})")

    def _complaint(self, reason: str) -> str:
        if reason == "in use":
            return (
                f"{self._directory} (CHAT_CHROMA_PERSIST_DIRECTORY) is used by another process, and only one may write"
                " to it: stop that one, name another directory, or set CHAT_VECTOR_INDEX=pgvector to share the index"
            )
        return f"{self._directory} (CHAT_CHROMA_PERSIST_DIRECTORY) cannot be used: {reason}"
