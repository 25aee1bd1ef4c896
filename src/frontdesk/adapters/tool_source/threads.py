"""Threads for functions that may never return: a process that ends does not wait for them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any


class Threads:
    """At most `count` functions at a time, each in a thread of its own; others wait until one returns."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises. Cancelled, it goes on, and keeps its place until it returns."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def end(result: Any, error: BaseException | None) -> None:
            self._free.release()
            if outcome.done():
                return
            if error is None:
                outcome.set_result(result)
            else:
                outcome.set_exception(error)

        def work() -> None:
            result, error = None, None
            try:
                result = function()
            except BaseException as raised:  # noqa: BLE001  the worker step's boundary: the failure is the caller's
                odd = not isinstance(raised, Exception) or isinstance(raised, StopIteration)
                error = RuntimeError(repr(raised)) if odd else raised  # a task takes SystemExit and such for its own
            with suppress(RuntimeError):  # the loop is closed: the program ends
                loop.call_soon_threadsafe(end, result, error)

        Thread(target=work, name="tool", daemon=True).start()
        return await outcome
