"""Many paced streams on one timer of the event loop."""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil, inf

RESOLUTION = 0.002


class Wheel:
    """Calls back at or after the due time, at most 2 ms late on an idle loop. What is scheduled is never cancelled."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._order: list[int] = []
        self._timer: TimerHandle | None = None
        self._armed: float = inf

    def at(self, due: float, callback: Callable[[], None]) -> None:
        """`due` is on the loop's clock."""
        slot = ceil(due / RESOLUTION)
        bucket = self._slots.get(slot)
        if bucket is not None:
            bucket.append(callback)
            return
        self._slots[slot] = [callback]
        heappush(self._order, slot)
        if slot < self._armed:
            self._arm(slot)

    def _arm(self, slot: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = slot
        self._timer = self._loop.call_at(slot * RESOLUTION, self._tick)

    def _tick(self) -> None:
        # While callbacks run, nothing may arm the timer: it is armed once, below.
        self._timer, self._armed = None, -inf
        reached = int(self._loop.time() / RESOLUTION)
        while self._order and self._order[0] <= reached:
            for callback in self._slots.pop(heappop(self._order)):
                callback()
        self._armed = inf
        if self._order:
            self._arm(self._order[0])
