"""One connection to Redis: asked in batches, opened when it is first needed, and anew after it was lost."""

import asyncio
from collections.abc import Sequence
from typing import Any

CONNECT_SECONDS = 1.0
# After no answer in time: whoever asks is told so at once, so that they do not all wait one after the other.
REST_SECONDS = 0.1


class LinkLostError(Exception):
    """Redis cannot be reached, or did not answer in time. What was asked may have been done or not."""


class Link:
    """`timeout` is in seconds, for a whole batch. One batch is under way at a time. Needs the extra `redis`."""

    def __init__(self, url: str, *, timeout: float) -> None:
        from redis import asyncio as redis  # noqa: PLC0415  an optional extra
        from redis import exceptions  # noqa: PLC0415  as above
        from redis.asyncio.retry import Retry  # noqa: PLC0415  as above
        from redis.backoff import NoBackoff  # noqa: PLC0415  as above

        self._lost = (exceptions.RedisError, OSError, EOFError)
        self._refusal = exceptions.ResponseError
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
        self._turn = asyncio.Lock()
        self._rests_until = 0.0

    async def ask(self, *command: Any) -> Any:
        """One command's answer. Raises `LinkLostError`, also when Redis refuses it."""
        (answer,) = await self.ask_all([command])
        if isinstance(answer, Exception):
            raise LinkLostError(str(answer)) from answer
        return answer

    async def ask_all(self, commands: Sequence[tuple[Any, ...]], *, within: float | None = None) -> list[Any]:
        """All in one write; each one's answer, or the error that Redis refused it with. Raises `LinkLostError`.

        `within` is in seconds, where the link's own time does not suit.
        """
        loop = asyncio.get_running_loop()
        async with self._turn:
            if loop.time() < self._rests_until:
                raise LinkLostError("it did not answer a moment ago")
            whole = False
            try:
                async with asyncio.timeout(within or self._timeout):
                    answers = await self._exchange(commands)
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

    async def aclose(self) -> None:
        await self._drop()

    async def _exchange(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        if self._connection is None:
            self._connection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis has it so
            await self._connection.connect()
        connection = self._connection
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
        except RuntimeError as error:  # uvloop's word for a connection that was lost since the last answer
            raise ConnectionResetError(str(error)) from error
        return [await self._answer(connection) for _ in commands]

    async def _answer(self, connection: Any) -> Any:
        try:
            return await connection.read_response(disable_decoding=True)
        except self._refusal as error:
            return error

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
