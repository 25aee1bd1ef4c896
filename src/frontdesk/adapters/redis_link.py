"""One connection to Redis: asked in batches, opened when it is first needed, and anew after it was lost."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

CONNECT_SECONDS = 1.0
# After no answer in time: whoever asks is told so at once, so that they do not all wait one after the other.
REST_SECONDS = 0.1
Command = tuple[str | bytes | int, ...] | bytes
_MORE = object()


class LinkLostError(Exception):
    """Redis cannot be reached, or did not answer in time. What was asked may have been done or not."""


class _Wire(asyncio.Protocol):
    """A connection whose greeting is over: one batch of commands goes out, and as many answers come in."""

    def __init__(self, transport: asyncio.Transport, parser: Any) -> None:
        self._transport = transport
        self._parser = parser
        self._answers: list[Any] = []
        self._count = 0
        self._whole: asyncio.Future[list[Any]] | None = None
        transport.set_protocol(self)

    @property
    def is_lost(self) -> bool:
        return self._transport.is_closing()

    async def exchange(self, commands: bytes, count: int) -> list[Any]:
        """Raises `ConnectionError`."""
        if self.is_lost:
            raise ConnectionResetError("the connection was lost since the last answer")
        self._answers, self._count = [], count
        self._whole = asyncio.get_running_loop().create_future()
        self._transport.write(commands)
        return await self._whole

    def data_received(self, data: bytes) -> None:
        answers, parser = self._answers, self._parser
        parser.feed(data)
        while (answer := parser.gets()) is not _MORE:
            answers.append(answer)
        if len(answers) == self._count and self._whole is not None and not self._whole.done():
            self._whole.set_result(answers)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._whole is not None and not self._whole.done():
            self._whole.set_exception(ConnectionResetError(str(exc or "the connection was closed")))


class Link:
    """`timeout` is in seconds, for a whole batch. One batch is under way at a time. Needs the extra `redis`.

    redis-py opens the connection, with all that a URL may ask for; then its answers are taken without a task for each.
    """

    def __init__(self, url: str, *, timeout: float) -> None:
        import hiredis  # noqa: PLC0415  an optional extra
        from redis import asyncio as redis  # noqa: PLC0415  as above
        from redis import exceptions  # noqa: PLC0415  as above
        from redis.asyncio.retry import Retry  # noqa: PLC0415  as above
        from redis.backoff import NoBackoff  # noqa: PLC0415  as above

        self._lost = (exceptions.RedisError, OSError, EOFError)
        self._pack: Callable[[tuple[Any, ...]], bytes] = hiredis.pack_command
        self._parser = hiredis.Reader
        self._timeout = timeout
        self._pool = redis.ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        self._connection: Any = None
        self._wire: _Wire | None = None
        self._turn = asyncio.Lock()
        self._rests_until = 0.0

    async def ask(self, *command: str | bytes | int) -> Any:
        """One command's answer. Raises `LinkLostError`, also when Redis refuses it."""
        (answer,) = await self.ask_all([command])
        if isinstance(answer, Exception):
            raise LinkLostError(str(answer)) from answer
        return answer

    async def ask_all(self, commands: Sequence[Command], *, within: float | None = None) -> list[Any]:
        """All in one write; each one's answer, or the error that Redis refused it with. Raises `LinkLostError`.

        A command is its words, or the bytes that say it. `within` is in seconds, where the link's own time does not
        suit.
        """
        packed = b"".join(each if isinstance(each, bytes) else self._pack(each) for each in commands)
        loop = asyncio.get_running_loop()
        async with self._turn:
            if loop.time() < self._rests_until:
                raise LinkLostError("it did not answer a moment ago")
            whole = False
            try:
                async with asyncio.timeout(within or self._timeout):
                    wire = self._wire or await self._open()
                    answers = await wire.exchange(packed, len(commands))
                whole = True
            except TimeoutError as error:
                self._rests_until = loop.time() + REST_SECONDS
                raise LinkLostError("no answer in time") from error
            except self._lost as error:
                raise LinkLostError(str(error)) from error
            finally:
                if not whole:
                    await self._drop()
        return answers

    async def renew(self) -> None:
        """Have a connection that was lost since the last answer fail nothing. For who need not know that Redis may be
        another one now.
        """
        if self._wire is not None and self._wire.is_lost and not self._turn.locked():
            await self._drop()

    async def aclose(self) -> None:
        await self._drop()

    async def _open(self) -> _Wire:
        self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis has it so
        await self._connection.connect()
        transport = self._connection._writer.transport  # noqa: SLF001  redis-py has no other way to it
        self._wire = _Wire(transport, self._parser(notEnoughData=_MORE))
        return self._wire

    async def _drop(self) -> None:
        connection, self._connection, self._wire = self._connection, None, None
        if connection is not None:
            await connection.disconnect(nowait=True)
