"""Moving windows in this process's memory."""

from collections import OrderedDict, deque

from frontdesk.kit.clock import Clock
from frontdesk.ports.rate_limiter import Allowance, Limit

MAX_KEYS = 100_000


class InProcessRateLimiter:
    """Exact: the moment of every hit that still counts is kept. A key without one takes no memory.

    At most `MAX_KEYS` keys are kept for each limit; beyond, the one whose last hit is the oldest is forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[Limit, OrderedDict[str, deque[float]]] = {}

    async def hit(self, limit: Limit, key: str) -> Allowance:
        keys = self._windows.setdefault(limit, OrderedDict())
        now = self._clock.monotonic()
        self._expire(limit, keys, now)
        hits = keys.get(key) or deque()
        _drop_old(hits, limit, now)
        if len(hits) >= limit.amount:
            return _allowance(limit, hits, now)
        hits.append(now)
        keys[key] = hits
        keys.move_to_end(key)
        if len(keys) > MAX_KEYS:
            keys.popitem(last=False)
        return _allowance(limit, hits, now, counted=True)

    async def peek(self, limit: Limit, key: str) -> Allowance:
        now = self._clock.monotonic()
        hits = self._find(limit, key)
        _drop_old(hits, limit, now)
        return _allowance(limit, hits, now, counted=len(hits) < limit.amount)

    async def give_back(self, limit: Limit, key: str) -> None:
        hits = self._find(limit, key)
        if hits:
            hits.pop()
        if not hits:
            await self.reset(limit, key)

    async def reset(self, limit: Limit, key: str) -> None:
        self._windows.get(limit, OrderedDict[str, deque[float]]()).pop(key, None)

    async def aclose(self) -> None:
        self._windows.clear()

    def _find(self, limit: Limit, key: str) -> deque[float]:
        keys = self._windows.get(limit)
        return deque() if keys is None else keys.get(key, deque())

    def _expire(self, limit: Limit, keys: OrderedDict[str, deque[float]], now: float) -> None:
        """Keys stand in the order of their last hits, so those that count no more are all in front."""
        while keys:
            key = next(iter(keys))
            hits = keys[key]
            if hits and hits[-1] > now - limit.seconds:
                return
            del keys[key]


def _drop_old(hits: deque[float], limit: Limit, now: float) -> None:
    while hits and hits[0] <= now - limit.seconds:
        hits.popleft()


def _allowance(limit: Limit, hits: deque[float], now: float, *, counted: bool = False) -> Allowance:
    reset_after = hits[0] + limit.seconds - now if hits else 0.0
    return Allowance(counted, limit.amount - len(hits), reset_after, 0.0 if counted else reset_after)
